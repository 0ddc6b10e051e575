"""Short forms of what `python -m benchmarks.soak` does at length."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import PARTS

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["flips", "--count", "60"], ["kills", "--count", "3", "--kinds", "sweep.nc", "run.zarr", "figure.pdf"]]
)
def test_soak(words):
    command = [sys.executable, "-m", "benchmarks.soak", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_called(part):
    command = [sys.executable, "-m", "benchmarks.soak", part, "--help"]
    assert subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60).returncode == 0

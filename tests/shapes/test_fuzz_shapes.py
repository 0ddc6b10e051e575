"""The fuzz of shapes, traffic and modules of ``lab.ot`` at its smallest size, run as the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz_shapes import CHECKS


@pytest.mark.slow
def test_one_problem_of_each_check_holds():
    command = [sys.executable, "-m", "benchmarks.fuzz_shapes", "--problems", str(len(CHECKS))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 0, done.stdout + done.stderr

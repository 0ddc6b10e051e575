"""The commands that draw random problems, at a small size: each hands lists, arrays or files over, as a user does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("field", ["paths", "inverse", "sampling", "learning", "shapes", "numerics", "files"])
def test_random_problems_hold(field):
    command = [sys.executable, "-m", f"benchmarks.fuzz_{field}", "--problems", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["problems"] >= 8
    assert summary["failed"] == 0, done.stdout + done.stderr

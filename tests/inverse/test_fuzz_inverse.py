"""The fuzz of inverse problems and denoisers at its smallest size, run as the command: its checks hand over lists."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz_inverse import CHECKS


@pytest.mark.slow
def test_one_problem_of_each_check_holds():
    command = [sys.executable, "-m", "benchmarks.fuzz_inverse", "--problems", str(len(CHECKS))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == 0, done.stdout + done.stderr

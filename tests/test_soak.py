"""Short forms of what `python -m benchmarks.soak` does at length."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("words", [["flips", "--count", "60"], ["kills", "--count", "7"]])
def test_soak(words, tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks.soak", *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout

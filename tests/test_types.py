"""The types hold, as ``pyright`` reads them: a test, so that it shares the cores with the others."""

import subprocess
import sys
from pathlib import Path


def test_types_hold():
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-m", "pyright"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

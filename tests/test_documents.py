"""What the documents show is run as it stands: each block of Python in a fresh process, as a user pastes it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "CONTRIBUTING.md")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    )
]
LINES = re.findall(r"^    (lab .*?)(?: +#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
USED = """
import lab
lab.notebook()
result = MyMethod().run()
assert result.attrs["converged"]
MyMethod.pictures.plan(result)
from lab.studies.verify import verify
assert all(verdict.holds for verdict in verify(MyMethod))
"""  # what CONTRIBUTING says follows from its class


def run(text: str, folder: Path) -> subprocess.CompletedProcess:
    script = folder / "pasted.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "0"}
    return subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_when_pasted(block, tmp_path):
    done = run(block + (USED if "class MyMethod" in block else ""), tmp_path)
    assert done.returncode == 0, done.stderr


def test_each_document_has_its_blocks():
    assert len(BLOCKS) >= 6
    assert len(LINES) >= 12


@pytest.mark.slow
def test_the_lines_of_the_shell_run(tmp_path):
    """One after the other in one process; the key of a run is one of those that there are. ``lab doctor`` and ``lab verify``
    are run in tests/cli."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "my.npz", x=random.normal(size=(6, 2)), y=random.normal(size=(5, 2)))
    lines = [shlex.split(line)[1:] for line in LINES if not line.startswith(("lab doctor", "lab verify"))]
    script = f"""
import sys
from lab.cli import main
from lab.store import Store

for line in {lines!r}:
    if line[0] == "open":
        line[1] = Store().entries()[0].keys[0]
    try:
        status = main(line)
    except SystemExit as end:
        status = end.code
    assert not status, (line, status)
"""
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"run.nc", "plan.pdf", "strip.pdf", "grid.nc", "cell.pdf"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_examples_of_docstrings_hold(tmp_path):
    """As a user types them: in a process without the checks of types that the tests have."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "lab").rglob("*.py"))
        if ">>>" in path.read_text()
    ]
    assert len(names) >= 12
    script = f"""
import doctest, importlib
import jax
jax.config.update("jax_enable_x64", True)
failed = {{name: doctest.testmod(importlib.import_module(name)).failed for name in {names!r}}}
assert not any(failed.values()), failed
"""
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

"""Every notebook runs from its first cell to its last."""

import os
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))
# a kernel starts and imports for seconds, so notebooks take turns in one: what a notebook names it takes along, and what
# it compiles where there are too many programs; a run that ships or was kept is not computed again
_FORGET = """
import os
from lab import memory
from lab.store import Store, unpack
from lab.studies import Study
def run(study, report=None, Store=Store, unpack=unpack):  # the reset below removes the names
    store, recipe = Store(), study.recipe(study.load())
    try:
        return unpack(store.read([store.key(recipe)]), 0)
    except ValueError:  # it is not there
        return study.execute(report).result
Study.run = run
os.chdir({folder!r})
memory.make_room(30_000, left=0)
get_ipython().reset(new_session=True)
"""


@pytest.fixture(scope="module")
def kernel():
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.util import run_sync

    manager = AsyncKernelManager(kernel_name="python3")
    has_what_ships = {name: value for name, value in os.environ.items() if name != "LAB_RESULTS"}
    run_sync(manager.start_kernel)(env=has_what_ships)
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, kernel):
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    assert notebook.cells[0].cell_type == "markdown"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "lab.notebook()" in first.source
    notebook.cells.insert(0, nbformat.v4.new_code_cell(_FORGET.format(folder=str(tmp_path))))
    NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image" in kind or "html" in kind for output in outputs for kind in output.get("data", {}))

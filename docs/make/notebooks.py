"""Notebooks as pages: their text and code, and where they are run here, their outputs with pictures drawn as for print."""

import base64
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from . import pictures

FOLDER = Path(__file__).parents[2] / "notebooks"
QUICK = ("sweeps", "your_own_path")
"""Those that are run for the site. The others take minutes each; ``python -m docs.make --notebooks all`` runs all."""

_STILL = """
import io as _io
import holoviews as _hv
from lab.figures import export as _export

def _still(shown, include=None, exclude=None):
    drawn = _io.BytesIO()
    if isinstance(shown, _hv.HoloMap):
        shown = shown.last
    _export(shown, drawn, format="png", width=5.5)
    return {"image/png": drawn.getvalue()}

_bundle = get_ipython().display_formatter.mimebundle_formatter
_bundle.for_type(_hv.core.Dimensioned, _still)
"""
_MOST = 4000  # characters of a printed output


def names() -> list[str]:
    """All notebooks, by the names of their files."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def page(name: str, folder: Path, run: bool) -> str:
    """A notebook as Markdown; its pictures go to ``folder``."""
    import jupytext

    notebook = jupytext.read(FOLDER / f"{name}.py")
    if run:
        _execute(notebook, folder)
    told = "Run for this page." if run else "Its pictures are on the page of its study, or come when you run it."
    note = f"This is `notebooks/{name}.py`, which `make notebook` opens in JupyterLab and the tests run from end to end. {told}"
    parts = [part for cell in notebook.cells for part in _cell(cell, name, folder)]
    title, rest = parts[0].partition("\n")[::2]
    return "\n\n".join([title, f"{note}\n{{ .caption }}", rest.strip(), *parts[1:]]) + "\n"


def _execute(notebook: Any, folder: Path) -> None:
    import tempfile

    import nbformat
    from nbclient import NotebookClient

    first = next(at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(_STILL))
    with tempfile.TemporaryDirectory() as place:
        NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": place}}, extra_arguments=["--log-level=ERROR"]
        ).execute()
    del notebook.cells[first + 1]
    notebook.cells[first]["outputs"] = []  # scripts


def _cell(cell: Any, name: str, folder: Path) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for output in cell.get("outputs", ()):
        yield from _output(output, name, folder)


def _output(output: Mapping[str, Any], name: str, folder: Path) -> Iterator[str]:
    data = output.get("data", {})
    if png := data.get("image/png"):
        path = folder / f"{name}-{len(list(folder.glob(f'{name}-*'))):02}.webp"
        pictures.shrunk(base64.b64decode(png), path)
        yield f"![Output of the cell](../pictures/{path.name}){{ .output }}"
    elif "dataframe" in (html := data.get("text/html", "")) or "<table" in html[:200]:
        yield f'<div class="output">{html}</div>'
    elif not (text := output.get("text") or data.get("text/plain", "")).startswith(("<", ":")) and text:
        yield f'<pre class="output">{escape(text[:_MOST].rstrip())}</pre>'

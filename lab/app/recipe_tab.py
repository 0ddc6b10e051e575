"""The recipe of the result on the page: everything that is needed to compute it again."""

import json
from collections.abc import Iterable
from typing import Any

import panel as pn
import xarray as xr

from lab import datasets
from lab.studies import Study

from . import buttons, theme
from .session import Session

_CSS = theme.asset("recipe.css")


class RecipeTab(pn.viewable.Viewer):
    """The recipe in tables, with what copies it as Python, as a command, as a link, as JSON."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session
        self._pane = theme.html("", _CSS, css_classes=["recipe"])
        session.param.watch(self._refresh, ["result", "study", "fresh"])
        self._refresh()

    def __panel__(self):
        return self._pane

    def _refresh(self, *events: Any) -> None:
        self._pane.object = recipe_html(self._session)


def recipe_html(session: Session) -> str:
    """The tables of the result's recipe, or a sentence where there is no result yet."""
    result = session.result
    if result is None:
        return '<p class="muted">Nothing has been computed yet: the recipe comes with the first result.</p>'
    study, recipe = session.study, json.loads(result.attrs["recipe"])
    stale = "" if session.fresh else '<p class="stale">This is the recipe of the picture shown, not yet of the '
    stale += "" if session.fresh else "values that were just set.</p>"
    copies = " ".join(
        [
            buttons.copy("Copy as Python", study.as_python()),
            buttons.copy("Copy as command", study.as_command()),
            buttons.copy("Copy link", study.as_link(), prefix="origin"),
            *([buttons.copy("Copy the paper as BibTeX", study.paper.bibtex)] if study.paper.title else []),
            buttons.copy("Copy recipe as JSON", json.dumps(recipe, indent=2, ensure_ascii=False)),
        ]
    )
    return f'{stale}<div class="copies">{copies}</div>{tables(study, result)}'


def tables(study: Study, result: xr.Dataset) -> str:
    """Parameters, data and run of a result."""
    recipe = json.loads(result.attrs["recipe"])
    defaults = {name: parameter.default for name, parameter in study.parameters().items()}
    parameters = []
    for name, parameter in study.parameters().items():
        value = recipe["parameters"].get(name)
        unit = f' <span class="muted">{theme.escape(parameter.unit)}</span>' if parameter.unit else ""
        changed = "" if value == defaults[name] else ' <span class="changed">changed</span>'
        said = f"{_value(value)}{unit}{changed}"
        parameters.append((_symbol(name, parameter.symbol), said, theme.escape(parameter.doc or "")))
    origin = recipe["data"]
    data = [
        ("name", theme.escape(origin["title"] or origin["name"])),
        ("source", _linked(origin["source"])),
        ("licence", theme.escape(origin["licence"] or "not stated")),
        ("SHA-256", f'<code class="sha">{theme.escape(origin["sha256"])}</code>'),
    ]
    if not origin["named"]:
        inside = "their numbers are inside the recipe" if origin.get("embedded") else "too large to travel inside"
        data.append(("your data", inside))
    warm = result.attrs.get("warm_start")
    again = "began from its neighbour; an export computes it anew from the start" if warm else "from the start"
    run = [
        ("study", f"{theme.escape(study.slug)}, version {recipe['study_version']}"),
        ("ended", theme.escape(study.ended(result)[0])),
        ("computed", again),
        ("time", _times(result)),
        ("precision", theme.escape(recipe["dtype"])),
        ("device", theme.escape(recipe["device"])),
        ("versions", theme.escape(", ".join(f"{name} {number}" for name, number in recipe["versions"].items()))),
    ]
    about_data = "" if study.kind == datasets.NO_DATA else f"<div><h3>Data</h3>{_table(data)}</div>"
    return (
        f"<h3>Parameters</h3>{_table(parameters)}"
        f'<div class="two">{about_data}<div><h3>Run</h3>{_table(run)}</div></div>'
    )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join("<tr><th>{}</th>{}</tr>".format(row[0], "".join(f"<td>{c}</td>" for c in row[1:])) for row in rows)
    return f"<table>{body}</table>"


def _symbol(name: str, symbol: str) -> str:
    shown = theme.escape(name)
    return f'{theme.escape(symbol)} <span class="muted">{shown}</span>' if symbol and symbol != name else shown


def _value(value: Any) -> str:
    if value is None:
        return "auto"
    return theme.escape(f"{value:.12g}" if isinstance(value, float) else theme.number(value))


def _times(result: xr.Dataset) -> str:
    run, compiling = result.attrs["run_seconds"], result.attrs["compile_seconds"]
    said = f"{theme.duration(run)} to run"
    if result.attrs["programs_compiled"]:
        said += f", {theme.duration(compiling)} to compile"
    return said


def _linked(text: str) -> str:
    if text.startswith(("https://", "http://")) and " " not in text:
        return f'<a href="{theme.escape(text)}" target="_blank" rel="noopener noreferrer">{theme.escape(text)}</a>'
    return theme.escape(text or "not stated")

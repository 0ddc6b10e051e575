"""A study as one file of HTML that needs no server: pictures, sliders over kept results, steps, claims, recipe.

The file holds the pictures in each of their states, drawn here, and a small script that swaps them. Nothing is computed in it,
and it asks for nothing from outside. ``lab reproduce`` and ``lab open`` read its recipe as they read a figure's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

import lab.studies.draw as drawing
from lab import watch
from lab.disk import write
from lab.figures import fingerprint, recipe_of
from lab.figures.export import is_figure
from lab.inputs import cut, listed
from lab.numerics import Report
from lab.studies import Picture, Study, first_picture
from lab.studies.contract import as_text, told
from lab.studies.contract import measure as measured
from lab.sweeps.single import run
from lab.words import quantity

from .. import faults, theme
from ..controls import brief
from ..scrubber import in_logs, scaled
from ..steps import in_words
from . import page
from .cells import MOST, Cell, Count, Runs, asked, compute, grid_of
from .packing import Index, Pack
from .states import Album, Figure, Key, codes, document

__all__ = ["LIMIT", "MOST", "share"]

LIMIT = 5_000_000
"""Bytes of a share: frames are left out until it has no more, and where none are left it is refused."""
_FRAMES = 17  # of a picture that plays, in each cell
_HIGH = {True: 372, False: 360}  # pixels of the pictures that stand first: of one alone, of several
_LOW = 320  # of those below


def share(
    given: Study | type[Study] | xr.Dataset,
    target: str | Path | BinaryIO,
    pictures: Sequence[str] | None = None,
    along: str | Sequence[str] | None = None,
    values: Any = None,
    report: Report | None = None,
    *,
    day: date | None = None,
) -> None:
    """Write a study at a state, a run of it, or a kept sweep as one file of HTML.

    What the store holds or what ships is not computed again; the rest is computed and kept.

    Args:
        given: a study, with its parameters set; its run; or a sweep, whose grid the sliders then have.
        target: a path that ends in ``.html``, or a binary file to write to.
        pictures: names of those to show, the first ones large; those that the story shows first when None.
        along: the parameter of the slider, or several; the first that moves the hero of the story when None.
        values: of one slider a sequence, or a text such as ``"1e-3:1:log12"``; of several a mapping. Some of the
            parameter's range when None.
        report: called with how many runs and drawings are done; True ends it with a ValueError, and nothing is written.
        day: written into the file as that on which it was made; today when None.

    Raises:
        ValueError, TypeError: one sentence on what was given and what is allowed; or it would have more than ``LIMIT`` bytes.

    Examples:
        >>> import lab
        >>> from lab.studies import SparseOT
        >>> lab.share(SparseOT(), "plan.pdf")
        Traceback (most recent call last):
        ValueError: plan.pdf is not allowed: a share is one file of HTML, so end its name with .html
    """
    study, result, grid = asked(given)
    name = _named(target, study)
    heroes, more = _pictures(study, pictures)
    with watch.reporting(study.slug, "parts", report) as report:
        count = Count(report)
        result = result if result is not None else run(study, count)
        if not grid or along is not None or values is not None:
            attrs = result.attrs
            grid = grid_of(study, along, values, attrs["run_seconds"] + attrs["compile_seconds"])
        heroes = heroes or [first_picture(study.pictures, result)]
        runs = compute(study, result, grid, len(heroes) + len(more), count)
        content = _file(runs, heroes, more, name, count, day or datetime.now(UTC).date())
    if not isinstance(target, str | Path):
        target.write(content)
        return
    try:
        write(target, content, replaces=is_figure)
    except OSError as problem:
        raise ValueError(str(problem)) from None


def _named(target: str | Path | BinaryIO, study: Study) -> str:
    if not isinstance(target, str | Path):
        return f"{study.slug}.html"
    if Path(target).suffix.lower() != ".html":
        raise ValueError(f"{cut(target)} is not allowed: a share is one file of HTML, so end its name with .html")
    return Path(target).name


def _pictures(study: Study, names: Sequence[str] | None) -> tuple[list[Picture], list[Picture]]:
    """Those that stand first, and those below."""
    if isinstance(names, str):
        raise TypeError(f"pictures = {names!r}, but it must be a sequence of names: [{names!r}]")
    heroes = list(study.story.hero) if study.story is not None else []
    if names is None:
        return [study.pictures[name] for name in heroes], []
    if not names:
        raise ValueError(f"a share needs a picture; there are {listed(picture.name for picture in study.pictures)}")
    chosen = [study.pictures[name] for name in dict.fromkeys(names)]
    first = [picture for picture in chosen if picture.name in heroes] or chosen[:1]
    return first, [picture for picture in chosen if picture not in first]


@dataclass
class _Shown:
    """A picture of the share: its drawings, and which of them stands for each cell."""

    picture: Picture
    album: Album
    hero: bool
    cells: list[dict[str, Any]]  # {"why": ...} or {"light": [(figure, state), ...], "dark": ..., "places": [...]}
    axis: str = ""  # what it plays along


def _file(runs: Runs, heroes: Sequence[Picture], more: Sequence[Picture], name: str, count: Count, day: date) -> bytes:
    pack, high = Pack(), _HIGH[len(heroes) == 1]
    shown = [_drawn(runs, picture, True, high, pack, count) for picture in heroes]
    shown += [_drawn(runs, picture, False, _LOW, pack, count) for picture in more]
    recipe = _recipe(runs, shown)
    keep = 1
    while True:
        content, scripts, left_out = _packed(runs, shown, pack, keep)
        said = [*page.rounded(pack), *runs.left_out, *left_out]
        text = page.page(runs, heroes, more, recipe, content, scripts, said, f"{day:%Y-%m-%d}", name).encode(
            "utf-8", "surrogatepass"
        )
        most = max((len(cell.get("places", ())) for each in shown for cell in each.cells), default=0)
        if len(text) <= LIMIT:
            return text
        if most <= 2 * keep:
            raise ValueError(
                f"the share would have {len(text) / 1e6:.1f} MB, but at most {LIMIT / 1e6:g} are allowed: give fewer values "
                "along its slider, or fewer pictures"
            )
        keep *= 2


def _drawn(runs: Runs, picture: Picture, hero: bool, high: int, pack: Pack, count: Count) -> _Shown:
    """The picture in all cells and both themes."""
    shown = _Shown(picture, Album(picture, pack), hero, [])
    for cell in runs.cells:
        if picture.along is not None and shown.cells:  # it shows several runs, and no slider moves it
            shown.cells.append(shown.cells[0])
        else:
            shown.cells.append(_cell(shown, cell, runs, high, count))
        count()
    return shown


def _cell(shown: _Shown, cell: Cell, runs: Runs, high: int, count: Count) -> dict[str, Any]:
    picture, album = shown.picture, shown.album
    if cell.error and picture.along is None:
        return {"why": cell.error}
    result = cell.result
    if picture.along is not None:
        if why := picture.idle(runs.study, runs.study.load()):
            return {"why": why}
        result = runs.study.picture_result(picture, runs.state.result, count)
    if why := picture.applies(result):
        return {"why": why}
    frames: list[int | None] = [None]
    places: list[float] = []
    if picture.plays:
        every = picture.frames(result)
        few = np.unique(np.linspace(0, len(every) - 1, min(_FRAMES, len(every))).round().astype(int))
        frames, places = [int(at) for at in few], [float(every[at]) for at in few]
        shown.axis = drawing.label(result[picture.plays])
    try:
        light, dark = album.both(result, frames, high)
    except Exception as problem:
        return {"why": faults.undrawn(problem, f"the picture {picture.name}")}
    return {"light": light, "dark": dark, "places": places, "finding": picture.finding(result)}


def _recipe(runs: Runs, shown: Sequence[_Shown]) -> dict[str, Any]:
    """That of the state, as a figure of the first picture has it; and what the share shows."""
    state, at = runs.state.result, runs.at
    first = next((each.picture for each in shown if each.picture.along is None and "why" not in each.cells[at]), None)
    picture = first or first_picture(runs.study.pictures, state)
    recipe = recipe_of(picture, state)
    with drawing.theme("print"):
        recipe["figure"]["fingerprint"] = fingerprint(picture(state))
    along = {name: [as_text(value) for value in values] for name, values in runs.grid.items()}
    recipe["share"] = {"pictures": [each.picture.name for each in shown], "along": along}
    return recipe


# ---- what the script of the page reads ---------------------------------------------------------------------------


def _packed(
    runs: Runs, shown: Sequence[_Shown], pack: Pack, keep: int
) -> tuple[bytes, dict[str, tuple[list[str], str]], list[str]]:
    """Header and arrays with every ``keep``-th frame, the scripts of the figures by name, and what was left out."""
    texts: dict[str, tuple[list[str], str]] = {}
    for each in shown:
        for figure in each.album.figures:
            texts |= codes(figure, pack)
    names = {text: f"code-{number}" for number, text in enumerate(texts)}
    used: set[int] = set()
    pictures = [_picture(each, pack, keep, names, used) for each in shown]
    header = {"slug": runs.study.slug, "at": runs.at, "pictures": pictures, **_words(runs)}
    most = max((len(cell.get("places", ())) for each in shown for cell in each.cells), default=0)
    some = f"one frame in {keep} is kept" if keep > 1 else f"{_FRAMES} frames at most are kept"
    left = [f"Of pictures that move {some}."]
    content = pack.written(header, used)
    return content, {names[text]: told for text, told in texts.items()}, left if most else []


def _picture(shown: _Shown, pack: Pack, keep: int, names: Mapping[str, str], used: set[int]) -> dict[str, Any]:
    kept: dict[int, dict[int, int]] = {}  # of each figure the states that are shown, each with its place in the file

    def state(at: tuple[int, int]) -> list[int]:
        number, of = at
        states = kept.setdefault(number, {})
        return [number, states.setdefault(of, len(states))]

    cells = []
    for cell in shown.cells:
        if "why" in cell:
            cells.append(cell)
            continue
        frames = sorted({*range(len(cell["light"]) - 1, -1, -keep)})
        tones = {tone: [state(cell[tone][frame]) for frame in frames] for tone in ("light", "dark")}
        more = {"places": [cell["places"][frame] for frame in frames]} if cell["places"] else {}
        cells.append(tones | more | ({"finding": cell["finding"]} if cell["finding"] else {}))
    figures = []
    for number, figure in enumerate(shown.album.figures):
        chosen = [figure.states[of] for of in kept.get(number, {})]
        figures.append(_figure(figure, chosen, pack, names, used) if chosen else None)
    told = {"name": shown.picture.name, "hero": shown.hero, "plays": shown.axis, "cells": cells}
    return told | {"figures": figures}


def _figure(
    figure: Figure, states: list[dict[Key, int]], pack: Pack, names: Mapping[str, str], used: set[int]
) -> dict[str, Any]:
    part = Figure(figure.names, figure.models, [dict(state) for state in states])
    moving = part.moving(pack)
    rows = [[Index(state[key]) for key in moving] for state in part.states]
    used.update(index for row in rows for index in row)
    return {
        "whole": document(part, part.states[0], pack, names),
        "moving": [list(key) for key in moving],
        "states": rows,
    }


def _words(runs: Runs) -> dict[str, Any]:
    """What stands on the page beside the pictures: of each cell, slider and step."""
    study, names = runs.study, list(runs.grid)
    shape = [len(values) for values in runs.grid.values()]
    cells = []
    for number, cell in enumerate(runs.cells):
        grid = [int(at) for at in np.unravel_index(number, shape)] if number < int(np.prod(shape)) else None
        of = [at + 1 for at, place in enumerate(runs.steps) if place == number]
        here = brief(study.parameters()[names[0]].doc or "") if len(names) == 1 else page.setting(cell.study, names)
        if grid is None and study.story is not None:
            change = study.story.steps[of[0] - 1].change
            here = f"Step {of[0]}: {in_words(cell.study, change).removeprefix('Set ')}"
        cells.append({"grid": grid, "told": page.told(study, cell), "here": here})
    return {"cells": cells, "sliders": _sliders(runs), "steps": _steps(runs)}


def _sliders(runs: Runs) -> list[dict[str, Any]]:
    number, declared = measured(type(runs.study)), runs.study.parameters()
    label = next((result for result in runs.study.results if result.name == number), None)
    sliders = []
    for name, values in runs.grid.items():
        curve = {}
        if label is not None and len(runs.grid) == 1:
            results = [None if cell.error else cell.result for cell in runs.cells[: len(values)]]
            found = [float("nan") if each is None or number not in each else float(each[number]) for each in results]
            unit = label.unit if label.unit != "1" else ""
            texts = [f"{quantity(value, unit)} {label.label}" for value in found]
            curve = {
                "heights": scaled(found),
                "texts": texts,
                "label": label.label + (f" ({unit})" if unit else "") + (", log scale" if in_logs(found) else ""),
            }
        symbol = declared[name].symbol or name.replace("_", " ")
        texts = [theme.number(value) if isinstance(value, int | float) else as_text(value) for value in values]
        sliders.append({"symbol": symbol, "names": texts, "curve": curve})
    return sliders


def _steps(runs: Runs) -> list[dict[str, Any]]:
    steps = []
    for number, step in enumerate(runs.study.story.steps if runs.study.story is not None else ()):
        at = runs.steps[number]
        told_of: dict[str, Any] = {"answer": "", "holds": True, "refused": runs.refused.get(number, "")}
        if at is not None and runs.before is not None:
            after = runs.cells[at].result
            told_of |= {"answer": told(step.finding, after, runs.before), "holds": bool(step.holds(runs.before, after))}
        sets = in_words(type(runs.study)(**step.change), step.change) if at is not None else "not in this file"
        steps.append({"question": step.question, "sets": sets, "cell": at, **told_of})
    return steps

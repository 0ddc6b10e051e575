"""The runs of a share: that of its state, those along its sliders, and those of the steps of the story."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from lab.inputs import listed, shown
from lab.numerics import Progress, Report
from lab.studies import Choice, Real, Story, Study, Switch, Whole
from lab.studies.contract import scrubbed, span
from lab.studies.contract.along import places
from lab.studies.contract.sweeping import cell_text
from lab.sweeps import split
from lab.sweeps.single import run

MOST = 60
"""Cells along all sliders of a share."""
_USUAL, _LONG, _FEWER = 9, 10.0, 5  # values of a slider that nobody gave; seconds of a run of which fewer are had
_STORY = Story("", (), (), (), ())


@dataclass(eq=False)
class Cell:
    """A run of the share; ``error`` says why there is none."""

    study: Study
    result: xr.Dataset
    error: str = ""


@dataclass
class Runs:
    """All that a share shows.

    Attributes:
        grid: the values of each slider, in order.
        cells: by their place on the sliders, the last one counting fastest; then those of steps that are not on them.
        at: the cell of the state.
        steps: the cell of each step, None where it could not be computed: ``refused`` then says why.
        before: the run by default, with which steps compare.
        left_out: what there would have been, in sentences.
    """

    study: Study
    grid: dict[str, list[Any]]
    cells: list[Cell] = field(default_factory=list)
    at: int = 0
    steps: list[int | None] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    before: xr.Dataset | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def state(self) -> Cell:
        return self.cells[self.at]


def asked(given: Any) -> tuple[Study, xr.Dataset | None, dict[str, list[Any]]]:
    """The study, the run and the grid that are to be shared.

    Raises:
        TypeError: it is neither a study nor a result.
        ValueError: its recipe can't be read.
    """
    from lab.studies import named

    if isinstance(given, Study):
        return given, None, {}
    if isinstance(given, type) and issubclass(given, Study):
        return given(), None, {}
    if not isinstance(given, xr.Dataset):
        raise TypeError(f"{type(given).__name__} can't be shared: give a study, a run of one, or a sweep")
    if not isinstance(told := given.attrs.get("recipe"), str):
        raise ValueError("this result does not carry its recipe, so it can't be shared: give the study, or its run")
    recipe = json.loads(told)
    study = named(recipe.get("study")).from_recipe(recipe)
    if "swept" not in given.attrs:
        return study, given, {}
    grid = {name: list(values) for name, values in json.loads(given.attrs["swept"]).items()}
    grid = {name: values for name, values in grid.items() if len(values) > 1}
    middle = {
        name: study.parameters()[name].default
        if study.parameters()[name].default in values
        else values[len(values) // 2]
        for name, values in grid.items()
    }
    return study.but(**middle), None, grid


class Stopped(ValueError):
    """It was asked to end."""

    def __init__(self) -> None:
        super().__init__("stopped: nothing was shared")


class Count:
    """How much of a share is done: of runs and of drawings."""

    def __init__(self, report: Report | None):
        self._report, self._done, self.total = report, 0, 0

    def __call__(self, progress: Progress | None = None) -> bool:
        """Something is done, or under way where there is ``progress``; raises ``Stopped``."""
        self._done += progress is None
        seconds = 0.0 if progress is None else progress.seconds
        if self._report is not None and self._report(Progress(self._done, self.total, {}, None, seconds)):
            raise Stopped
        return False


def grid_of(study: Study, along: str | Sequence[str] | None, values: Any, seconds: float) -> dict[str, list[Any]]:
    """The values of each slider, the study's own among them.

    Args:
        seconds: that a run takes.
        along: the parameter of the slider, or several; the first that moves the hero of the story when None.
        values: of one slider a sequence, or a text such as ``"1e-3:1:log12"``; of several a mapping.

    Raises:
        ValueError: a parameter that there is not, or that can't be swept; values that are not allowed.
    """
    names = [along] if isinstance(along, str) else list(along or filter(None, [scrubbed(type(study))]))
    given = dict(values) if isinstance(values, Mapping) else {name: values for name in names if values is not None}
    if along is None and isinstance(values, Mapping):
        names = list(given)
    if values is not None and not names:
        raise ValueError(f"there are values and no slider of {study.slug} that they are of: name it with along")
    if len(names) > 1 and not isinstance(values, Mapping | None):
        raise ValueError(f"the share has {len(names)} sliders: give the values of each, as {{{names[0]!r}: [...]}}")
    declared = study.parameters()
    sweepable = [name for name, parameter in declared.items() if parameter.sweepable]
    for name in [*names, *given]:
        if name not in sweepable:
            raise ValueError(
                f"{shown(name)} is no parameter that {study.slug} can be shared along: {listed(sweepable)}"
            )
    grid: dict[str, list[Any]] = {}
    for name in names:
        own = getattr(study, name)
        if name in given:
            fixed, many = split(type(study), {name: given[name]})
            found = many.get(name) or [fixed[name]]
        else:
            story = study.story or _STORY
            tried = [step.change[name] for step in story.steps if [*step.change] == [name]]
            found = _few(_usual(study, name), own, _USUAL if seconds < _LONG else _FEWER)
            found = sorted({*found, *tried}) if tried else found
        grid[name] = _with(found, own)
    return {name: found for name, found in grid.items() if len(found) > 1}


def compute(study: Study, result: xr.Dataset, grid: Mapping[str, Sequence[Any]], pictures: int, count: Count) -> Runs:
    """The runs, by the store: what is kept or ships is not computed again.

    Args:
        result: that of the state.
        pictures: how many are drawn of each run.
    """
    runs = Runs(study, {name: list(values) for name, values in grid.items()})
    while np.prod([len(values) for values in runs.grid.values()]) > MOST:
        longest = max(runs.grid, key=lambda name: len(runs.grid[name]))
        values = _few(runs.grid[longest], getattr(study, longest), len(runs.grid[longest]) - 1)
        runs.left_out = [
            f"The sweep has more cells than a share holds: of each slider values were left out, to {MOST} in all."
        ]
        runs.grid[longest] = values
    points = [dict(zip(runs.grid, point, strict=True)) for point in product(*runs.grid.values())]
    story = study.story or _STORY
    count.total = (1 + pictures) * (len(points) + len(story.steps)) + 1
    known = [Cell(study, result)]

    def cell(made: Study) -> Cell:
        for each in known:
            if same(each.study, made):
                return each
        known.append(Cell(made, run(made, count)))
        return known[-1]

    for point in points:
        try:
            runs.cells.append(cell(study.but(**point)))
        except Stopped:
            raise
        except (ValueError, TypeError) as problem:  # its place says so
            runs.cells.append(Cell(study, result, error=f"{cell_text(point)}: {problem}"))
        count()
    runs.at = runs.cells.index(known[0])
    for number, step in enumerate(story.steps):
        try:
            found = cell(type(study)(**step.change))
            if runs.before is None:
                runs.before = cell(type(study)()).result
            if found not in runs.cells:
                runs.cells.append(found)
            runs.steps.append(runs.cells.index(found))
        except Stopped:
            raise
        except (ValueError, TypeError) as problem:
            runs.steps.append(None)
            runs.refused[number] = str(problem)
        count()
    return runs


def same(one: Study, other: Study) -> bool:
    """Whether two are of the same parameters."""
    mine, theirs = one.values(), other.values()
    return all(value is theirs[name] or value == theirs[name] for name, value in mine.items())


def _usual(study: Study, name: str) -> list[Any]:
    """The values of a slider that nobody gave."""
    parameter = study.parameters()[name]
    if isinstance(parameter, Choice):
        return list(parameter.objects)
    if isinstance(parameter, Switch):
        return [False, True]
    if not isinstance(parameter, Real | Whole) or None in span(parameter, study.limits(study.load()).get(name)):
        raise ValueError(f"{name} has no range that a slider could have: give the values along it")
    return places(study, name, study.load())


def _few(values: Sequence[Any], own: Any, most: int = _USUAL) -> list[Any]:
    """So many of the values at most, evenly, with both ends and the study's own."""
    if len(values) <= most:
        return list(values)
    chosen = {round(at) for at in np.linspace(0, len(values) - 1, most)}
    if own in values and values.index(own) not in chosen:
        nearest = min(chosen - {0, len(values) - 1}, key=lambda at: abs(at - values.index(own)))
        chosen = chosen - {nearest} | {values.index(own)}
    return [values[at] for at in sorted(chosen)]


def _with(values: Sequence[Any], own: Any) -> list[Any]:
    """The values and the study's own, in order where they have one."""
    found = list(dict.fromkeys(values if own in values else [*values, own]))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    return sorted(found) if numbers else found

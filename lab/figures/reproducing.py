"""A figure made again from its file alone, and compared with what is in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from lab import code, studies, sweeps
from lab.datasets import Data, entry_of
from lab.numerics import Progress, Report
from lab.studies import DataSource, Picture, Study
from lab.studies.draw import theme
from lab.sweeps.single import run

from .embed import read_recipe
from .export import drawn
from .panels import panels
from .provenance import Comparison, compare
from .sweep import View, sweep_picture


def reproduce(
    path: str | Path,
    report: Report | None = None,
    *,
    given: Sequence[type[Study]] = (),
    data: Data | str | None = None,
) -> Comparison:
    """Compute and draw a figure again from the file alone, and say whether data and picture agree.

    Of what the file says only the names of studies at hand and of named data are taken: it executes and opens nothing.

    Args:
        path: of a figure or a share that the lab has exported.
        report: called with the progress; True stops, and the comparison is then of what there is.
        given: studies of the file of which the figure's is one, where that is not installed; its code must be the recipe's.
        data: those of the figure, where it neither holds nor names them; their hash must be that of the recipe.

    Returns:
        whether data and picture agree, and sentences for a person.

    Raises:
        ValueError: no recipe in the file, no such study, or the data can't be had.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from lab import figures
        >>> from lab.studies import DataSource, Paper, Picture, Pictures, Result, Study, Whole, draw
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        ...     pictures = Pictures(Picture("line", "Line", "", lambda result: draw.plot(draw.hline(result.twice.item()))))
        >>> with TemporaryDirectory() as folder:
        ...     figures.export_picture(Twice.pictures.line, Twice(n=3).run(), Path(folder, "line.svg"))
        ...     found = figures.reproduce(Path(folder, "line.svg"), given=[Twice])
        >>> found.data_agrees, found.picture_agrees
        (True, True)
    """
    recipe = _read(path)
    figure = recipe["figure"]
    made = _study(path, recipe, given).from_recipe(recipe, data)
    try:
        if figure.get("view"):
            picture, result = _swept(made, figure, report)
        elif figure.get("panels"):
            picture, result = None, made.run(report)
        else:
            picture, result = _of_study(made, figure, report)
        with theme("print"):
            if picture is None:
                shown = panels(made, figure["panels"], result, figure.get("columns"), report)
            else:
                shown = drawn(picture, result, figure)
        found = compare(recipe, result, shown)
        if not found.data_agrees and not figure.get("view") and len(figure.get("swept") or ()) > 1:
            # arrays of a study's own picture once had the last swept parameter first
            turned = compare(recipe, result.transpose(*reversed(list(figure["swept"])), ...), shown)
            found = turned if turned.data_agrees else found
        return found
    except (
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        OverflowError,
    ) as problem:  # of a shape that the lab does not write
        raise ValueError(f"{path} can't be made again: its recipe is not as the lab writes it") from problem


def recall(
    path: str | Path,
    report: Report | None = None,
    *,
    given: Sequence[type[Study]] = (),
    data: Data | str | None = None,
) -> xr.Dataset:
    """The result that a figure shows, or the state of a share: what the store holds is not computed again.

    Args:
        path: of a figure or a share that the lab has exported.
        report: of a run as for ``Study.run``, of a sweep as for ``sweeps.complete``.
        given: studies of the file of which the figure's is one, where that is not installed; its code must be the recipe's.
        data: those of the figure, where it neither holds nor names them; their hash must be that of the recipe.

    Returns:
        the Dataset of the run, or of the sweep.

    Raises:
        ValueError: no recipe in the file, no such study, or the data can't be had.

    Examples:
        >>> from lab import figures
        >>> try:
        ...     figures.recall("/nowhere.pdf")
        ... except ValueError as problem:
        ...     print(str(problem).partition(":")[0])
        there is no file /nowhere.pdf
    """
    recipe = _read(path)
    figure = recipe["figure"]
    made = _study(path, recipe, given).from_recipe(recipe, data)
    if figure.get("swept"):
        return sweeps.complete(made, _grid(made, figure), report, keep=_kept(made, figure))
    return run(made, report)


def _read(path: str | Path) -> dict[str, Any]:
    """The recipe of a figure, of the form that the rest relies on."""
    recipe = read_recipe(path)
    figure = recipe.get("figure") or {}
    if "study" not in recipe or not isinstance(figure, Mapping) or "picture" not in figure:
        raise ValueError(f"the recipe in {path} does not say which study and picture it is of")
    forms = {
        "swept": Mapping,
        "view": Mapping,
        "results": Mapping,
        "fingerprint": Mapping,
        "kept": list,
        "panels": list,
        "picture": str,
    }
    wrong = [name for name, form in forms.items() if figure.get(name) and not isinstance(figure[name], form)]
    lists = [name for name in ("kept", "panels") for each in figure.get(name) or () if not isinstance(each, str)]
    if wrong or lists:
        raise ValueError(f"the recipe in {path} is damaged: {(wrong or lists)[0]} is not as the lab writes it")
    return recipe


def _study(path: str | Path, recipe: Mapping[str, Any], given: Sequence[type[Study]]) -> type[Study]:
    """The study of a recipe: an installed one, or that which the person at hand gives, if it is the recipe's."""
    name, made_by = recipe["study"], recipe.get("code", "")
    told = repr(str(name)[:60])
    if given:
        study = next((study for study in given if study.slug == name), None)
        if study is None:
            raise ValueError(
                f"{path} was made by the study {told}, which is not in the file given: give the file that has it"
            )
        if code.of_user(study) != made_by:
            raise ValueError(
                f"the file given for {told} is not that which made {path}: give it as it was then, or draw the figure anew"
            )
        return study
    try:
        return studies.named(name)
    except ValueError:
        if not made_by:
            raise
        raise ValueError(
            f"{path} was made by the study {told}, which is not installed: give its file with --study"
        ) from None


def _grid(study: Study, figure: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The swept parameters. A file says which, and nothing of where and how they are computed."""
    declared = study.parameters()
    for name, values in figure["swept"].items():
        if name not in declared or not declared[name].sweepable or not isinstance(values, list) or not values:
            raise ValueError(
                f"the recipe sweeps {name[:60]!r}, which is no parameter that {study.slug} can be swept along"
            )
        if isinstance(declared[name], DataSource) and not all(isinstance(v, str) and entry_of(v) for v in values):
            raise ValueError(
                "the recipe sweeps over data that have no name here, and a recipe opens no file: draw the figure anew, with "
                "the data at hand"
            )
    return dict(figure["swept"])


def _of_study(study: Study, figure: Mapping[str, Any], report: Report | None) -> tuple[Picture, xr.Dataset]:
    """One of the study's pictures, of a run or of the sweep that it needs."""
    picture = study.pictures[figure["picture"]]
    if figure.get("swept"):
        grid = _grid(study, figure)
        return picture, sweeps.complete(study, grid, report, keep=_kept(study, figure), store=False)
    return picture, study.run(report)


def _swept(study: Study, figure: Mapping[str, Any], report: Report | None) -> tuple[Picture, xr.Dataset]:
    """A view of a sweep, whose cells are computed anew, in batches as then."""
    picture = sweep_picture(type(study), View(**figure["view"]))

    def told(filling: sweeps.Filling) -> bool | None:
        return report and report(Progress(filling.done, filling.cells, {}, None, filling.seconds))

    return picture, sweeps.run(sweeps.Plan(study, _grid(study, figure), store=None, keep=_kept(study, figure)), told)


def _kept(study: Study, figure: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables that the figure's sweep was kept with, less the texts of its errors."""
    known = {result.name for result in study.results}
    return tuple(name for name in figure.get("kept") or () if name in known)

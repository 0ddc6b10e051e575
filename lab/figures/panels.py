"""Several pictures of one run in one figure, with letters; and the words that stand under a figure."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lab.datasets import NO_DATA
from lab.inputs import shown
from lab.studies.contract import as_text
from lab.studies.contract.parameters import DataSource

from .export import export
from .provenance import recipe_of
from .typeset import mathematics

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

    from lab.numerics import Report
    from lab.studies import Study

_MOST = 9


def check_panels(study: "Study", names: Sequence[str]) -> None:
    """Refuse panels that are too few, too many, the same twice, or no pictures of the study.

    Args:
        study: whose pictures they are.
        names: of the panels, in order.

    Raises:
        ValueError: what can't be, in a sentence.

    Examples:
        >>> from lab import figures
        >>> from lab.studies import SparseOT
        >>> figures.check_panels(SparseOT(), ["plan"])
        Traceback (most recent call last):
        ValueError: a figure of several panels has from 2 to 9 different pictures, not 'plan'
    """
    for name in names:
        _ = study.pictures[name]
    if not 2 <= len(names) <= _MOST or len({*names}) < len(names):
        raise ValueError(f"a figure of several panels has from 2 to {_MOST} different pictures, not {listed(names)}")


def listed(names: Sequence[str]) -> str:
    """The names, or how many there are where that would be long."""
    return shown(", ".join(names)) if len(names) < 12 else f"{len(names)} of them"


def columns_of(count: int, columns: int | None = None) -> int:
    """How many panels stand side by side; two where nothing is asked for, three of three or of more than four."""
    if columns is not None and not 1 <= columns <= _MOST:
        raise ValueError(f"columns = {shown(columns)} is not allowed: from 1 to {_MOST} panels stand side by side")
    return min(count, columns or (3 if count == 3 or count > 4 else 2))


def panels(
    study: "Study",
    names: Sequence[str],
    result: "xr.Dataset",
    columns: int | None = None,
    report: "Report | None" = None,
) -> "hv.Layout":
    """The pictures side by side, row by row: of this run, or of the sweeps of the study that they need.

    Args:
        study: with the values of the result.
        names: of the pictures, from 2 to 9 different ones.
        result: a run of the study.
        columns: panels side by side; 2 or 3 when omitted.
        report: as for ``Study.run``, of the runs that a picture needs.

    Returns:
        a ``Layout``.

    Raises:
        ValueError: what ``check_panels`` refuses, or a picture that can't show this run.

    Examples:
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import Picture, Pictures, Study, draw
        >>> class Two(Study):
        ...     pictures = Pictures(
        ...         Picture("line", "Line", "", lambda result: draw.plot(draw.curve([0, 1], [0, result.slope.item()]))),
        ...         Picture("level", "Level", "", lambda result: draw.plot(draw.hline(result.slope.item()))),
        ...     )
        >>> len(figures.panels(Two(), ["line", "level"], xr.Dataset({"slope": 2.0})))
        2
    """
    import holoviews as hv

    from lab.studies.draw import pen

    check_panels(study, names)
    made = [study.pictures[name](study.picture_result(study.pictures[name], result, report)) for name in names]
    with pen:
        layout: Any = hv.Layout(made).cols(columns_of(len(names), columns))
        return layout.opts(hv.opts.Layout(sublabel_format="", backend="matplotlib"))


def export_panels(
    study: "Study",
    names: Sequence[str],
    result: "xr.Dataset",
    target: str | Path | BinaryIO,
    *,
    columns: int | None = None,
    letters: bool = True,
    report: "Report | None" = None,
    **setting: Any,
) -> None:
    """Write several pictures of one run as one figure that ``reproduce`` makes again.

    Args:
        study: with the values of the result; sweeps that a picture needs are run with them.
        names: of the pictures, from 2 to 9 different ones.
        result: a run of the study, with its recipe.
        target: a path, or a binary file to write to.
        columns: panels side by side; 2 or 3 when omitted.
        letters: (a), (b), ... before the panels.
        report: as for ``Study.run``, of the runs that a picture needs.
        setting: format, width, height and style, as for ``export``.

    Raises:
        ValueError: pictures, a size or a format that can't be, or a result without its recipe.

    Examples:
        >>> from io import BytesIO
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import Picture, Pictures, Study, draw
        >>> class Two(Study):
        ...     pictures = Pictures(
        ...         Picture("line", "Line", "", lambda result: draw.plot(draw.curve([0, 1], [0, result.slope.item()]))),
        ...         Picture("level", "Level", "", lambda result: draw.plot(draw.hline(result.slope.item()))),
        ...     )
        >>> result, out = xr.Dataset({"slope": 2.0}, attrs={"recipe": "{}"}), BytesIO()
        >>> figures.export_panels(Two(), ["line", "level"], result, out, format="svg")
        >>> b"<svg" in out.getvalue()
        True
    """
    columns = columns_of(len(names), columns)
    made = panels(study, names, result, columns, report)
    recipe = recipe_of(study.pictures[names[0]], result)
    recipe["figure"] |= {"panels": list(names), "columns": columns, "letters": letters}
    export(made, target, recipe=recipe, letters=letters, **setting)


def caption(study: "Study", names: Sequence[str], result: "xr.Dataset", file: str = "figure.pdf") -> str:
    r"""A LaTeX figure environment for a file: how to read each panel, with which values, and that it did not converge where it
    did not.

    Args:
        study: with the values of the result.
        names: of its pictures, at most 9; with letters where there are several.
        result: the run that is shown.
        file: the figure's name, of which its label is made; a ``.pgf`` is read by ``\input``.

    Returns:
        the lines of LaTeX, one text.

    Raises:
        ValueError: the study has no such picture.

    Examples:
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import SparseOT
        >>> text = figures.caption(SparseOT(), ["plan"], xr.Dataset(attrs={"converged": 1}), "plan.pdf")
        >>> text.splitlines()[2].strip(), text.splitlines()[4].strip()
        ('\\includegraphics{plan.pdf}', '\\label{fig:plan}')
    """
    parts = []
    for letter, name in zip("abcdefghi", names, strict=False):
        picture = study.pictures[name]
        head = f"({letter}) " if len(names) > 1 else ""
        said = [picture.title, picture.finding(result), _on_paper(picture.caption)]
        parts.append(head + ". ".join(filter(None, said)).strip())
    parameters = study.parameters()
    values = [
        f"{parameters[name].symbol or name.replace('_', ' ')} = {as_text(value)}"
        for name, value in study.changed().items()
        if not isinstance(parameters[name], DataSource)
    ]
    origin = str(result.attrs.get("data_title", "")) or (study.data if isinstance(study.data, str) else study.data.name)
    paper = f" ({study.paper.short})" if study.paper.title else ""
    data = "" if study.kind == NO_DATA else f"data: {origin}; "
    made = f"{study.title}{paper}; {data}{', '.join(values) or 'default values'}."
    ended, mood = study.ended(result)
    if mood == "warn":
        made += f" Status: {ended}." if result.attrs.get("converged") else f" The run did not converge ({ended})."
    words = mathematics(" ".join([*parts, made]))
    stem = Path(file).stem
    include = rf"\input{{{file}}}" if file.endswith(".pgf") else rf"\includegraphics{{{file}}}"
    lines = [r"\centering", include, rf"\caption{{{words}}}", rf"\label{{fig:{stem}}}"]
    return "\n".join([r"\begin{figure}[t]", *(f"  {line}" for line in lines), r"\end{figure}", ""])


def _on_paper(text: str) -> str:
    """A caption as sentences, without those for a hand on the mouse."""
    clauses = re.split(r"(?<=[.;])\s+", text.strip())
    kept = " ".join(clause for clause in clauses if not re.match(r"(?i)(drag|click|play|turn|press)\b", clause))
    kept = kept.rstrip(" ;")
    return kept if not kept or kept.endswith((".", "!", "?")) else f"{kept}."

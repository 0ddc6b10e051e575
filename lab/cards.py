"""What a notebook shows of a study, a result, a solution: HTML that needs no script, no style sheet and no network."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from lab.words import duration, number

if TYPE_CHECKING:
    import xarray as xr

    from lab.studies import Study

_INCHES = 2.6  # of the small picture
_WARN = "#c2581f"
_MARK = {"good": "color:#2d7d5a", "warn": f"color:{_WARN}", "set": "font-weight:600", "": ""}
_TEXT = "font-size:13px;line-height:1.5"
_SMALL = "font-size:12px;opacity:.7"


def card(
    title: str, under: str, rows: Sequence[tuple[str, str, str]], says: str = "", picture: str = "", rest: str = ""
) -> str:
    """A title, a table of (name, value, mood), what there is to say, and a picture beside it.

    Args:
        picture: the address of an image, in it.
        rest: HTML that follows, as it is.
    """
    cells = "".join(
        f'<tr style="background:none"><td style="text-align:left;padding:1px 16px 1px 0;opacity:.7">{escape(name)}</td>'
        f'<td style="text-align:left;padding:1px 0;{_MARK[mood]}">{escape(value)}</td></tr>'
        for name, value, mood in rows
    )
    image = f'<img src="{picture}" alt="{escape(title)}" style="width:{_INCHES}in;background:#fff">' if picture else ""
    told = f'<div style="border-left:3px solid {_WARN};padding:2px 10px;margin-top:6px">{escape(says)}</div>'
    return (
        f'<div style="{_TEXT};display:flex;gap:28px;flex-wrap:wrap;align-items:flex-start"><div style="max-width:34em">'
        f'<div style="font-weight:600">{escape(title)}</div><div style="{_SMALL}">{escape(under)}</div>'
        f'<table style="margin:6px 0 0;border-collapse:collapse;{_TEXT}">{cells}</table>{told if says else ""}'
        f"</div>{image}</div>{rest}"
    )


def of_study(study: "Study") -> str:
    """Its parameters, those that are not at their default in bold."""
    changed = study.changed()
    rows = [
        (name, f"{getattr(value, 'name', 'auto' if value is None else value)}", "set" if name in changed else "")
        for name, value in study.values().items()
        if name in changed or not study.idle(name)
    ]
    return card(study.title, study.paper.short, rows)


def of_result(result: "xr.Dataset") -> str:
    """Its scalars, its verdict and a small picture, above what xarray shows of it; that alone, where it is not the lab's."""
    from lab import studies
    from lab.studies.contract import sweeping

    below = result._repr_html_()
    try:
        study = studies.find(str(result.attrs["study"]))
    except (KeyError, ValueError):
        return below
    rows = [
        (declared.label, f"{number(value)} {declared.unit.removeprefix('1')}".strip(), mood)
        for declared, value, mood in studies.headlines(study.results, result)
    ]
    if swept := sweeping.swept(result) if "parameters" in result.attrs else []:
        rows.append(("sweep", " x ".join(f"{result.sizes[name]} {name}" for name in swept), ""))
    converged = bool(result.attrs.get("converged", 0))
    ended = "converged" if converged else str(result.attrs.get("reason", "not converged"))
    rows.append(("ended", ended.replace("_", " "), "good" if converged else "warn"))
    if isinstance(seconds := result.attrs.get("run_seconds"), int | float):
        rows.append(("run", duration(float(seconds)), ""))
    under = str(result.attrs.get("command", ""))
    return card(
        str(result.attrs.get("title", study.title)),
        under,
        rows,
        str(result.attrs.get("advice", "")),
        _picture(study, result),
        below,
    )


def _picture(study: "type[Study]", result: "xr.Dataset") -> str:
    """The first picture that shows this result, as the address of an image; "" where none does."""
    from lab import figures
    from lab.studies import first_picture

    out = io.BytesIO()
    try:
        figures.export_picture(first_picture(study.pictures, result), result, out, format="png", width=_INCHES)
    except ValueError:  # none, or it was kept without what that draws
        return ""
    return as_uri(_shrunk(out.getvalue(), 2 * 96 * _INCHES))


def _shrunk(png: bytes, width: float) -> bytes:
    """A picture of so many pixels' width."""
    from PIL import Image

    drawn = Image.open(io.BytesIO(png))
    out = io.BytesIO()
    height = round(drawn.height * width / drawn.width)
    drawn.resize((round(width), height), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


def as_uri(png: bytes) -> str:
    """The address of an image, with the image in it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def of_solution(solution: Any) -> str:
    """The value, the marginals and the end of a solution of ``lab.ot.solve``, with its plan."""
    import numpy as np
    from jax.core import Tracer

    from lab.numerics import Reason

    if isinstance(solution.value, Tracer):
        return f"<pre>{escape(repr(type(solution)))}, traced</pre>"
    m, n = solution.problem.a.shape[-1], solution.problem.b.shape[-1]
    title, under = (
        "Transport plan",
        f"{m:,} x {n:,}, {type(solution.regularizer).__name__}, {solution.method or 'newton'}",
    )
    if np.ndim(solution.value):
        rows = [("converged", f"{int(np.sum(solution.converged)):,} of {np.size(solution.value):,} problems", "")]
        return card(title, under, rows)
    reason, total = Reason(int(solution.reason)), float(np.sum(solution.problem.a))
    moved = float(np.sum(solution.plan())) / total if hasattr(solution, "slack") and m * n <= 1 << 22 else 1.0
    relaxed = [("mass moved", f"{number(moved)} of that of the sources", "")] if hasattr(solution, "slack") else []
    rows = [
        ("value", number(float(solution.value)), ""),
        *relaxed,
        ("row error", f"{number(float(solution.row_error) / total)} of the mass", ""),
        ("column error", f"{number(float(solution.column_error) / total)} of the mass", ""),
        ("ended", f"{reason.name.lower().replace('_', ' ')} after {int(solution.iterations):,} iterations",
         "good" if reason.converged else "warn"),
    ]  # fmt: skip
    says = "" if reason.converged else f"Not converged: {reason.advice}."
    return card(title, under, rows, says, _plan(solution, m, n) if m * n <= 1 << 22 else "")


def _plan(solution: Any, m: int, n: int) -> str:
    """The plan by the mass in each of at most 128 x 128 cells, dark where there is much."""
    import numpy as np
    from PIL import Image

    plan = np.asarray(solution.plan(), float)
    rows, columns = min(m, 128), min(n, 128)
    pooled = np.add.reduceat(
        np.add.reduceat(plan, np.arange(rows) * m // rows, 0), np.arange(columns) * n // columns, 1
    )
    shade = np.sqrt(np.clip(pooled / (pooled.max() or 1.0), 0, 1))[..., None]
    pixels = np.round(255 + shade * (np.array([36, 86, 166]) - 255)).astype(np.uint8)
    out = io.BytesIO()
    scale = max(1, int(96 * _INCHES) // max(rows, columns))
    Image.fromarray(pixels).resize((scale * columns, scale * rows), Image.Resampling.NEAREST).save(out, "PNG")
    return as_uri(out.getvalue())

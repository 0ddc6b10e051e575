"""What a notebook shows of a result: its scalars, its verdict and its first picture."""

import io
from typing import TYPE_CHECKING

import xarray as xr

from lab.cards import INCHES, as_uri, card
from lab.studies import first_picture, headlines, named
from lab.studies.contract import sweeping
from lab.words import duration, number

from .export import export_picture

if TYPE_CHECKING:
    from lab.studies import Study


def card_of(result: xr.Dataset) -> str:
    """What a notebook shows of a result: its scalars, its verdict and a small picture, above what xarray shows of it.

    Args:
        result: a run or a sweep; of one that no study of the lab made xarray's own text is shown alone.

    Returns:
        HTML.

    Examples:
        >>> import xarray as xr
        >>> from lab import figures
        >>> card = figures.card_of(xr.Dataset({"nnz": 3}, attrs={"study": "sparse-ot"}))
        >>> "Sparsity-constrained optimal transport" in card
        True
    """
    below = result._repr_html_()
    try:
        study = named(str(result.attrs["study"]))
    except (KeyError, ValueError):
        return below
    rows = [
        (
            declared.label,
            declared.undefined_at(value) or f"{number(value)} {declared.unit.removeprefix('1')}".strip(),
            mood,
        )
        for declared, value, mood in headlines(study.results, result)
    ]
    if swept := sweeping.swept(result) if "parameters" in result.attrs else []:
        rows.append(("sweep", " x ".join(f"{result.sizes[name]} {name}" for name in swept), ""))
    rows.append(("ended", *study.ended(result)))
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


def _picture(study: "type[Study]", result: xr.Dataset) -> str:
    """The first picture that shows this result, as the address of an image; "" where none does."""
    out = io.BytesIO()
    try:
        export_picture(first_picture(study.pictures, result), result, out, format="png", width=INCHES)
    except ValueError:  # none, or it was kept without what that draws
        return ""
    return as_uri(_shrunk(out.getvalue(), 2 * 96 * INCHES))


def _shrunk(png: bytes, width: float) -> bytes:
    """A picture of so many pixels' width."""
    from PIL import Image

    drawn = Image.open(io.BytesIO(png))
    out = io.BytesIO()
    height = round(drawn.height * width / drawn.width)
    drawn.resize((round(width), height), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()

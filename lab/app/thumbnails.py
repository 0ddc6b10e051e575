"""The small pictures of the gallery: a real result of each study, drawn once and kept."""

import io
from pathlib import Path

import numpy as np
import xarray as xr

from lab import code
from lab.disk import cache
from lab.figures import plotted
from lab.numerics import Report
from lab.store import shipped
from lab.studies import Picture, Study, first_picture
from lab.studies.draw import theme
from lab.sweeps.single import run

from . import kept

TONES = ("light", "dark")
_INCHES, _DPI = (4.6, 2.4), 126  # twice the pixels that the card has; drawn larger, so that lines are fine
_FINE = 0.6  # of the outlines' width


def find(study: type[Study]) -> dict[str, bytes] | None:
    """The kept PNG for each tone, None when they have yet to be made."""
    if not kept.has("thumbnails", study):
        return None
    name = kept.identity(study)
    found = {tone: cache.read(_path(study, name, tone)) for tone in TONES}
    return {tone: png for tone, png in found.items() if png} if all(found.values()) else None


def shipping(study: type[Study]) -> dict[str, bytes] | None:
    """The PNG for each tone that ships with the lab, which an earlier code may have made; None where none does."""
    if code.of_user(study):
        return None
    found = {tone: next(shipped.folder().glob(f"{study.slug}-{tone}-*.png"), None) for tone in TONES}
    return {tone: path.read_bytes() for tone, path in found.items() if path} if all(found.values()) else None


def shipped_name(study: type[Study], tone: str) -> str:
    """The file that ships a PNG."""
    return f"{study.slug}-{tone}-{kept.identity_of_code(study)}.png"


def make(study: type[Study], report: Report | None = None) -> dict[str, bytes]:
    """The PNG for each tone: kept ones, those that ship if the present code made them, or a run of the default drawn and kept.

    Raises:
        ValueError: none of the pictures applies to the default result, or the default can't be run.
    """
    found = find(study)
    if found:
        return found
    ships = shipping(study)
    if ships and all((shipped.folder() / shipped_name(study, tone)).exists() for tone in TONES):
        return ships
    name = kept.identity(study)
    images = of(study, run(study(), report))
    for tone, png in images.items():
        cache.write(_path(study, name, tone), png)
    return images


def of(study: type[Study], result: xr.Dataset) -> dict[str, bytes]:
    """The PNG for each tone of a result of the study's default."""
    picture = first_picture(study.pictures, result)
    return {tone: draw(picture, result, tone) for tone in TONES}


def draw(picture: Picture, result: xr.Dataset, tone: str) -> bytes:
    """A PNG with a transparent ground: the marks and the axes of the picture, without their text."""
    with theme(tone, backend="matplotlib"), plotted(picture(result)) as figure:
        figure.set_size_inches(_INCHES)
        for axes in figure.axes:
            if axes.get_label() == "<colorbar>":
                axes.remove()
                continue
            for bar in list(axes.child_axes):
                bar.remove()
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set_visible(False)
                axis.set_tick_params(which="both", length=0, labelleft=False, labelright=False, labelbottom=False)
            for words in axes.texts:
                words.set_visible(False)
            for marks in axes.collections:
                marks.set_linewidth([_FINE * width for width in np.atleast_1d(marks.get_linewidth())])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, transparent=True, bbox_inches="tight", pad_inches=0.02)
    return buffer.getvalue()


def _path(study: type[Study], name: str, tone: str) -> Path:
    return kept.folder("thumbnails") / f"{study.slug}-{name}-{tone}.png"

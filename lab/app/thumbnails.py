"""The small pictures of the gallery: a real result of each study, drawn once and kept."""

import base64
import io
from pathlib import Path
from threading import Lock
from typing import Literal

import xarray as xr

from lab.numerics import Report
from lab.studies import Picture, Study
from lab.studies.draw import theme

from . import kept

type Tone = Literal["light", "dark"]
TONES: tuple[Tone, ...] = ("light", "dark")
_INCHES, _DPI = (2.9, 1.5), 200  # twice the pixels that the card has
_drawing = Lock()  # pyplot is not made for several threads


def find(study: type[Study]) -> dict[Tone, bytes] | None:
    """The kept PNG for each tone, None when they have yet to be made."""
    name = kept.identity(study)
    found = {tone: kept.read(_path(study, name, tone)) for tone in TONES}
    return {tone: png for tone, png in found.items() if png} if all(found.values()) else None


def make(study: type[Study], report: Report | None = None) -> dict[Tone, bytes]:
    """The PNG for each tone: kept ones, or a run of the study's default drawn and kept.

    Raises:
        ValueError: none of the pictures applies to the default result, or the default can't be run.
    """
    found = find(study)
    if found:
        return found
    name = kept.identity(study)
    default = study()
    result = default.run(report)
    picture = first_picture(default, result)
    images = {tone: draw(picture, result, tone) for tone in TONES}
    for tone, png in images.items():
        kept.write(_path(study, name, tone), png)
    return images


def first_picture(study: Study, result: xr.Dataset) -> Picture:
    """The first picture that this result can be drawn as without computing more."""
    for picture in study.pictures:
        if picture.along is None and not picture.applies(result):
            return picture
    raise ValueError(f"no picture of {study.slug} applies to its default result")


def draw(picture: Picture, result: xr.Dataset, tone: Tone) -> bytes:
    """A PNG with a transparent ground: the marks and the axes of the picture, without their text."""
    import holoviews as hv
    from matplotlib.figure import Figure

    with _drawing, theme(tone):
        figure: Figure = hv.renderer("matplotlib").get_plot(picture(result)).state
        figure.set_size_inches(_INCHES)
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set_visible(False)
                axis.set_tick_params(which="both", length=0, labelleft=False, labelright=False, labelbottom=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, transparent=True, bbox_inches="tight", pad_inches=0.02)
        return buffer.getvalue()


def as_uri(png: bytes) -> str:
    """A data URI for an ``<img>``."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _path(study: type[Study], name: str, tone: Tone) -> Path:
    return kept.folder("thumbnails") / f"{study.slug}-{name}-{tone}.png"

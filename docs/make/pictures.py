"""Stills of a study's hero for its page: drawn from the result that ships, in both tones, and kept for another build."""

import io
import shutil
from pathlib import Path

import xarray as xr
from PIL import Image

import lab
from lab.app import kept
from lab.disk import write
from lab.figures import export
from lab.studies import Picture, Study

from . import words

_INCHES, _PIXELS = 5.5, 1400
TONES = ("light", "dark")
KEPT = Path(__file__).parents[2] / "build" / "stills"


def hero(study: type[Study], folder: Path) -> str:
    """Draws the pictures that the story begins with into ``folder`` and returns the Markdown that shows them."""
    result = lab.run(study())
    names = study.story.hero if study.story else tuple(picture.name for picture in study.pictures)[:1]
    shown = [study.pictures[name] for name in names]
    drawn = [each for each in shown if not each.along and not each.applies(result)]
    return "\n\n".join(_one(f"{study.slug}-{each.name}", kept.identity(study), each, result, folder) for each in drawn)


def _one(stem: str, identity: str, picture: Picture, result: xr.Dataset, folder: Path) -> str:
    lines = []
    for tone in TONES:
        name = f"{stem}-{tone}.webp"
        made = KEPT / f"{identity}-{name}"
        if not made.exists():
            KEPT.mkdir(parents=True, exist_ok=True)
            still(picture, result, made, tone)
        shutil.copy(made, folder / name)
        lines.append(f"![{words.plain(picture.title)}](../pictures/{name}#only-{tone})")
    return (
        "\n".join(lines)
        + f"\n{{ .still }}\n\n{words.plain(picture.title)}: {words.plain(picture.caption)}\n{{ .caption }}"
    )


def still(picture: Picture, result: xr.Dataset, path: Path, tone: str) -> None:
    """One picture, on a transparent ground."""
    drawn = io.BytesIO()
    export(lambda: picture(result), drawn, format="png", width=_INCHES, tone=tone)
    shrunk(drawn.getvalue(), path)


def shrunk(png: bytes, path: Path) -> None:
    """A picture drawn for print, in the pixels of a screen."""
    image = Image.open(io.BytesIO(png))
    width = min(image.width, _PIXELS)
    small = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    small.save(screen := io.BytesIO(), format="webp", quality=88)
    write(path, screen.getvalue())

"""A recipe inside a figure: written to it and read from it, so that the file alone is enough."""

import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os.path import exists, expanduser
from pathlib import Path
from typing import Any

from lab.datasets import figure_files, isolated
from lab.datasets.figure_files import KEY, NAME, PNG, UUID
from lab.inputs import content, cut, mebibytes, parsed

FORMATS = ("pdf", "svg", "png", "eps")
MOVING = ("gif", "mp4")
FOLDED = ("pgf",)  # with images beside them
SHARED = ("html",)
_TAKEN = "PDF, SVG, PNG, EPS, PGF, GIF, MP4 or HTML file"
_FIGURE = 64 << 20  # bytes of a figure that does not move


def embed(figure: bytes, format: str, recipe: Mapping[str, Any]) -> bytes:
    """The figure with the recipe inside: a PDF attachment, an SVG ``<metadata>``, a PNG ``iTXt`` chunk, comments."""
    text = json.dumps(recipe, ensure_ascii=False, allow_nan=False)  # in order: that of swept parameters counts
    into = {"pdf": _into_pdf, "svg": _into_svg, "png": _into_png, "eps": _into_comments, "pgf": _into_comments}
    return into[format](figure, text)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe that is embedded in a figure.

    Args:
        path: of a PDF, SVG, PNG, EPS, PGF, GIF, MP4 or HTML file.

    Returns:
        the recipe, plain JSON.

    Raises:
        ValueError: there is no such file, it is of another kind, it holds no recipe, or one that can't be read.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> with TemporaryDirectory() as folder:
        ...     figures.export(draw.plot(draw.hline(1.0)), Path(folder, "line.svg"), recipe={"author": "me"})
        ...     recipe = figures.read_recipe(Path(folder, "line.svg"))
        >>> recipe["author"], recipe["figure"]["format"]
        ('me', 'svg')
    """
    path = Path(expanduser(path))
    if not path.is_file():
        there = "is a folder" if path.is_dir() else "is no regular file"
        why = f"{cut(path)} {there}" if exists(path) else f"there is no file {cut(path)}"
        raise ValueError(f"{why}: give a {_TAKEN} that the lab has exported")
    with isolated.reading(path.name):
        figure = content(path)
        format = figure_files.format_of(figure)
        if format is None:
            raise ValueError(f"{cut(path)} is not a figure that holds a recipe: it must be a {_TAKEN}")
        if format not in MOVING and len(figure) > _FIGURE:
            raise ValueError(
                f"{cut(path)} has {mebibytes(len(figure))}, but at most {mebibytes(_FIGURE)} are read of a figure"
            )
        text = figure_files.recipe(cut(path), figure, format)
        try:
            recipe = None if text is None else parsed(text)
        except ValueError as error:
            raise ValueError(f"{cut(path)} is damaged, its recipe can't be read: {cut(error)}") from None
        if not isinstance(recipe, dict):
            raise ValueError(f"{cut(path)} holds no recipe: only figures that the lab has exported can be made again")
        return recipe


def check_film() -> None:
    """Refuse an MP4 where what writes it is missing."""
    if not all(map(find_spec, ("imageio", "imageio_ffmpeg"))):
        raise ValueError('an MP4 needs imageio: pip install "transport-lab[animation]", or take a GIF')


def moving(images: Sequence[Any], kind: str, recipe: Mapping[str, Any], seconds: float) -> bytes:
    """A film of PIL images of one size, ``seconds`` long and a quarter more of rest, with the recipe inside."""
    text = json.dumps(recipe, ensure_ascii=False, allow_nan=False).encode()
    if kind == "gif":
        out, each = io.BytesIO(), 1000 * seconds / len(images)
        images[0].save(
            out,
            "GIF",
            save_all=True,
            append_images=images[1:],
            loop=0,
            comment=text,
            duration=[*[each] * (len(images) - 1), each + 250 * seconds],
        )
        return out.getvalue()
    check_film()
    import imageio.v3 as iio
    import numpy as np

    rate = len(images) / seconds
    frames = [np.asarray(image) for image in images]
    frames += [frames[-1]] * round(rate * seconds / 4)
    film = iio.imwrite(
        "<bytes>", frames, extension=".mp4", plugin="FFMPEG", fps=rate, codec="libx264", quality=8, macro_block_size=2
    )
    assert isinstance(film, bytes)
    return film + struct.pack(">I", 24 + len(text)) + b"uuid" + UUID + text


# ---- PDF -------------------------------------------------------------------------------------------------------


def _into_pdf(figure: bytes, text: str) -> bytes:
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, create_string_object

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(figure)))
    content = DecodedStreamObject()
    content.set_data(text.encode())
    packed = content.flate_encode()
    packed.update({NameObject("/Type"): NameObject("/EmbeddedFile"), NameObject("/Subtype"): NameObject("/json")})
    name = create_string_object(NAME)
    file = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Filespec"),
            NameObject("/F"): name,
            NameObject("/UF"): name,
            NameObject("/EF"): DictionaryObject({NameObject("/F"): writer._add_object(packed)}),
        }
    )
    files = DictionaryObject({NameObject("/Names"): ArrayObject([name, writer._add_object(file)])})
    writer.root_object[NameObject("/Names")] = DictionaryObject({NameObject("/EmbeddedFiles"): files})
    if len(text) < 1 << 16:  # attachments are lost in some tools that keep the metadata
        writer.add_metadata({f"/{KEY}": text})
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


# ---- SVG -------------------------------------------------------------------------------------------------------


def _into_svg(figure: bytes, text: str) -> bytes:
    safe = text.replace("]]>", "]]]]><![CDATA[>")
    block = f'\n <metadata id="{KEY}"><![CDATA[{safe}]]></metadata>'.encode()
    opening = re.search(rb"<svg\b[^>]*>", figure)
    assert opening is not None  # Matplotlib wrote it
    return figure[: opening.end()] + block + figure[opening.end() :]


# ---- PNG -------------------------------------------------------------------------------------------------------


def _into_png(figure: bytes, text: str) -> bytes:
    # keyword, then: compressed, by deflate, no language, no translated keyword
    body = KEY.encode() + b"\0\x01\0\0\0" + zlib.compress(text.encode(), 9)
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    header = len(PNG) + 25  # IHDR comes first and is 25 bytes long
    return figure[:header] + chunk + figure[header:]


# ---- HTML ------------------------------------------------------------------------------------------------------


def html_recipe(recipe: Mapping[str, Any]) -> str:
    """The element that holds the recipe in a page of HTML; nothing in it is taken for markup."""
    text = json.dumps(recipe, ensure_ascii=False, allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{KEY}">{safe}</script>'


# ---- EPS and PGF -----------------------------------------------------------------------------------------------


def _into_comments(figure: bytes, text: str) -> bytes:
    packed = base64.b64encode(zlib.compress(text.encode(), 9))
    lines = b"".join(b"%" + KEY.encode() + b" " + packed[at : at + 100] + b"\n" for at in range(0, len(packed), 100))
    first, _, rest = figure.partition(b"\n")
    return first + b"\n" + lines + rest

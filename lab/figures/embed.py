"""A recipe inside a figure: written to it and read from it, so that the file alone is enough."""

import base64
import io
import json
import logging
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from os.path import exists, expanduser
from pathlib import Path
from typing import Any
from xml.parsers import expat

from lab.inputs import Stream, content, cut, mebibytes, parsed, reading, spend

FORMATS = ("pdf", "svg", "png", "eps")
MOVING = ("gif", "mp4")
FOLDED = ("pgf",)  # with images beside them
SHARED = ("html",)
_TAKEN = "PDF, SVG, PNG, EPS, PGF, GIF, MP4 or HTML file"
_PGF = b"%% Creator: Matplotlib, PGF backend"
_UUID = b"transport-lab\0\0\0"  # of a box of an MP4 that players pass over
_NAME = "recipe.json"
_KEY = "lab-recipe"
_LIMIT = 64 << 20  # bytes that a recipe may unpack to
_FIGURE = 64 << 20  # bytes of a figure that does not move
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "http://www.w3.org/2000/svg"


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
    with reading(path.name):
        figure = content(path)
        if figure.startswith(b"%PDF"):
            read = _from_pdf
        elif figure.startswith(_PNG):
            read = _from_png
        elif figure[:15].lower() == b"<!doctype html>":
            read = _from_html
        elif b"<svg" in figure[:4096]:
            read = _from_svg
        elif figure.startswith((b"%!PS", _PGF)):
            read = _from_comments
        elif figure.startswith(b"GIF8"):
            read = _from_gif
        elif figure[4:8] == b"ftyp":
            read = _from_mp4
        else:
            raise ValueError(f"{cut(path)} is not a figure that holds a recipe: it must be a {_TAKEN}")
        if read not in (_from_gif, _from_mp4) and len(figure) > _FIGURE:
            raise ValueError(
                f"{cut(path)} has {mebibytes(len(figure))}, but at most {mebibytes(_FIGURE)} are read of a figure"
            )
        try:
            text = read(figure)
            recipe = None if text is None else parsed(text)
        except Exception as error:  # whatever a broken file makes its parser say
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
    return film + struct.pack(">I", 24 + len(text)) + b"uuid" + _UUID + text


def _from_gif(figure: bytes) -> str | None:
    from PIL import Image

    comment = Image.open(Stream("it", figure), formats=("GIF",)).info.get("comment")
    return comment.decode() if comment and comment.startswith(b"{") else None


def _from_mp4(figure: bytes) -> str | None:
    at = 0
    while at + 8 <= len(figure):
        (length,) = struct.unpack(">I", figure[at : at + 4])
        if figure[at + 4 : at + 24] == b"uuid" + _UUID:
            return figure[at + 24 : at + length].decode()
        spend()
        if length < 8:  # to the end of the file, or longer than four bytes can say
            return None
        at += length
    return None


# ---- PDF -------------------------------------------------------------------------------------------------------


def _into_pdf(figure: bytes, text: str) -> bytes:
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, create_string_object

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(figure)))
    content = DecodedStreamObject()
    content.set_data(text.encode())
    packed = content.flate_encode()
    packed.update({NameObject("/Type"): NameObject("/EmbeddedFile"), NameObject("/Subtype"): NameObject("/json")})
    name = create_string_object(_NAME)
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
        writer.add_metadata({f"/{_KEY}": text})
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _from_pdf(figure: bytes) -> str | None:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong with a file is told in one sentence, by us
    reader = PdfReader(Stream("it", figure))
    attached = reader.attachments.get(_NAME) if _NAME in reader.attachments else None
    if attached:
        return attached[0].decode()
    kept = (reader.metadata or {}).get(f"/{_KEY}")
    return None if kept is None else str(kept)


# ---- SVG -------------------------------------------------------------------------------------------------------


def _into_svg(figure: bytes, text: str) -> bytes:
    safe = text.replace("]]>", "]]]]><![CDATA[>")
    block = f'\n <metadata id="{_KEY}"><![CDATA[{safe}]]></metadata>'.encode()
    opening = re.search(rb"<svg\b[^>]*>", figure)
    assert opening is not None  # Matplotlib wrote it
    return figure[: opening.end()] + block + figure[opening.end() :]


def _from_svg(figure: bytes) -> str | None:
    found: list[str] = []
    inside = False

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        spend()
        inside = name == f"{_SVG} metadata" and attributes.get("id") == _KEY

    def end(name: str) -> None:
        if inside:
            raise StopIteration

    def refuse(*_: Any) -> None:
        raise ValueError("it defines entities")

    parser = expat.ParserCreate(namespace_separator=" ")  # no tree, which takes forty times the memory of the file
    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = begin, end, refuse
    parser.CharacterDataHandler = lambda text: found.append(text) if inside else None
    with suppress(StopIteration):
        parser.Parse(figure, True)
    return "".join(found) if found else None


# ---- PNG -------------------------------------------------------------------------------------------------------


def _into_png(figure: bytes, text: str) -> bytes:
    # keyword, then: compressed, by deflate, no language, no translated keyword
    body = _KEY.encode() + b"\0\x01\0\0\0" + zlib.compress(text.encode(), 9)
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    header = len(_PNG) + 25  # IHDR comes first and is 25 bytes long
    return figure[:header] + chunk + figure[header:]


def _from_png(figure: bytes) -> str | None:
    at = len(_PNG)
    while at + 12 <= len(figure):
        (length,) = struct.unpack(">I", figure[at : at + 4])
        spend()
        keyword = _KEY.encode() + b"\0"
        if figure[at + 4 : at + 8] == b"iTXt" and figure[at + 8 : at + 8 + len(keyword)] == keyword:
            rest = figure[at + 8 + len(keyword) : at + 8 + length]
            text = rest[2:].split(b"\0", 2)[2]
            if not rest[0]:
                return text.decode()
            return _inflated(text).decode()
        at += 12 + length
    return None


def _inflated(packed: bytes) -> bytes:
    unpack = zlib.decompressobj()
    plain = unpack.decompress(packed, _LIMIT)
    if unpack.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_LIMIT >> 20} MiB")
    return plain


# ---- HTML ------------------------------------------------------------------------------------------------------


def html_recipe(recipe: Mapping[str, Any]) -> str:
    """The element that holds the recipe in a page of HTML; nothing in it is taken for markup."""
    text = json.dumps(recipe, ensure_ascii=False, allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{_KEY}">{safe}</script>'


def _from_html(figure: bytes) -> str | None:
    begin = f'<script type="application/json" id="{_KEY}">'.encode()
    _, found, rest = figure.partition(begin)
    text, end, _ = rest.partition(b"</script>")
    return text.decode() if found and end else None


# ---- EPS and PGF -----------------------------------------------------------------------------------------------


def _into_comments(figure: bytes, text: str) -> bytes:
    packed = base64.b64encode(zlib.compress(text.encode(), 9))
    lines = b"".join(b"%" + _KEY.encode() + b" " + packed[at : at + 100] + b"\n" for at in range(0, len(packed), 100))
    first, _, rest = figure.partition(b"\n")
    return first + b"\n" + lines + rest


def _from_comments(figure: bytes) -> str | None:
    found = re.findall(rb"^%" + _KEY.encode() + rb" ([A-Za-z0-9+/=]+)$", figure, re.MULTILINE)
    return _inflated(base64.b64decode(b"".join(found))).decode() if found else None

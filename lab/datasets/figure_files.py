"""The text of a recipe in a figure that the lab exported, of any format: ``lab.figures`` reads and writes recipes."""

import base64
import logging
import re
import struct
import zlib
from contextlib import suppress
from typing import Any
from xml.parsers import expat

from lab.inputs import Stream, cut, spend

from . import isolated

KEY = "lab-recipe"
NAME = "recipe.json"
PNG = b"\x89PNG\r\n\x1a\n"
PGF = b"%% Creator: Matplotlib, PGF backend"
UUID = b"transport-lab\0\0\0"  # of a box of an MP4 that players pass over

_LIMIT = 64 << 20  # bytes that a recipe may unpack to
_SVG = "http://www.w3.org/2000/svg"


def format_of(figure: bytes) -> str | None:
    """The format of a figure by its first bytes; None where it is none that holds recipes."""
    if figure.startswith(b"%PDF"):
        return "pdf"
    if figure.startswith(PNG):
        return "png"
    if figure[:15].lower() == b"<!doctype html>":
        return "html"
    if b"<svg" in figure[:4096]:
        return "svg"
    if figure.startswith((b"%!PS", PGF)):
        return "comments"
    if figure.startswith(b"GIF8"):
        return "gif"
    return "mp4" if figure[4:8] == b"ftyp" else None


@isolated.reader("pypdf", "PIL.GifImagePlugin")
def recipe(name: str, figure: bytes, format: str) -> str | None:
    """The text of the recipe, None where there is none.

    Args:
        format: what ``format_of`` says.
    """
    read = {
        "pdf": _from_pdf,
        "png": _from_png,
        "html": _from_html,
        "svg": _from_svg,
        "comments": _from_comments,
        "gif": _from_gif,
        "mp4": _from_mp4,
    }
    try:
        return read[format](figure)
    except Exception as error:  # whatever a broken file makes its parser say
        raise ValueError(f"{name} is damaged, its recipe can't be read: {cut(error)}") from None


def _from_gif(figure: bytes) -> str | None:
    from PIL import Image

    comment = Image.open(Stream("it", figure), formats=("GIF",)).info.get("comment")
    return comment.decode() if comment and comment.startswith(b"{") else None


def _from_mp4(figure: bytes) -> str | None:
    at = 0
    while at + 8 <= len(figure):
        (length,) = struct.unpack(">I", figure[at : at + 4])
        if figure[at + 4 : at + 24] == b"uuid" + UUID:
            return figure[at + 24 : at + length].decode()
        spend()
        if length < 8:  # to the end of the file, or longer than four bytes can say
            return None
        at += length
    return None


def _from_pdf(figure: bytes) -> str | None:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # the lab's own error message says what is wrong with a file
    reader = PdfReader(Stream("it", figure))
    attached = reader.attachments.get(NAME) if NAME in reader.attachments else None
    if attached:
        return attached[0].decode()
    kept = (reader.metadata or {}).get(f"/{KEY}")
    return None if kept is None else str(kept)


def _from_svg(figure: bytes) -> str | None:
    found: list[str] = []
    inside = False

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        spend()
        inside = name == f"{_SVG} metadata" and attributes.get("id") == KEY

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


def _from_png(figure: bytes) -> str | None:
    at = len(PNG)
    while at + 12 <= len(figure):
        (length,) = struct.unpack(">I", figure[at : at + 4])
        spend()
        keyword = KEY.encode() + b"\0"
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


def _from_html(figure: bytes) -> str | None:
    begin = f'<script type="application/json" id="{KEY}">'.encode()
    _, found, rest = figure.partition(begin)
    text, end, _ = rest.partition(b"</script>")
    return text.decode() if found and end else None


def _from_comments(figure: bytes) -> str | None:
    found = re.findall(rb"^%" + KEY.encode() + rb" ([A-Za-z0-9+/=]+)$", figure, re.MULTILINE)
    return _inflated(base64.b64decode(b"".join(found))).decode() if found else None

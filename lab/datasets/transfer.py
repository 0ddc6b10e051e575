"""The format in which a process and its child exchange values: a header of JSON, and the bytes that the header refers to.

Nothing is unpickled. The receiver of a child's message believes nothing of it: every size, type, position and text is
checked, and ``matches`` compares the values with the annotation of the function that was called.
"""

import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO, TypeAliasType, get_args, get_origin, get_type_hints

import numpy as np

from lab import inputs
from lab.inputs import cut

_HEADER = 8  # bytes that tell the length of a header
_LONGEST = 2**25  # bytes of a header
_TYPES = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SU]\d{1,9}|[mM]8(\[\d{0,9}[a-zA-Z]+\])?)")


class Broken(Exception):
    """A message that is incomplete, or that no correct sender makes."""


def send(stream: BinaryIO, about: Mapping[str, Any], blobs: Sequence[Any]) -> None:
    """A header of JSON with the sizes of what follows, and what follows."""
    header = json.dumps({**about, "sizes": [memoryview(blob).nbytes for blob in blobs]}).encode()
    stream.write(len(header).to_bytes(_HEADER, "little") + header)
    for blob in blobs:
        stream.write(memoryview(blob))
    stream.flush()


def received(stream: BinaryIO, most: int | None) -> tuple[dict[str, Any], list[bytes]]:
    """A header and what follows it.

    Args:
        most: bytes in all, where the sender is not trusted.
    """
    size = int.from_bytes(_exactly(stream, _HEADER), "little")
    if most is not None and size > _LONGEST:
        raise Broken
    header = _exactly(stream, size)
    if most is None:
        about = json.loads(header)
    else:
        try:
            about = inputs.parsed(header)
        except ValueError:
            raise Broken from None
    sizes = about.get("sizes") if isinstance(about, dict) else None
    if not isinstance(sizes, list) or not all(type(each) is int and each >= 0 for each in sizes):
        raise Broken
    if most is not None and sum(sizes) > most:
        raise Broken
    return about, [_exactly(stream, each) for each in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise Broken
    return found


def packed(value: Any, last: bytes, on_disk: Callable[[Any], bool] = lambda _: False) -> tuple[Any, list[Any]]:
    """A value as JSON, and the bytes that it refers to by number. The bytes ``last`` are there already.

    Args:
        on_disk: whether a value is an open file that the receiver gets itself; the content of any other is sent.
    """
    blobs: list[Any] = []
    begin = np.frombuffer(last, np.uint8).__array_interface__["data"][0]

    def blob(content: Any) -> int:
        blobs.append(content)
        return len(blobs) - 1

    def of(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str | float):
            if isinstance(value, np.generic):
                return {"array": value.dtype.str, "shape": None, "blob": blob(np.array([value]).view(np.uint8))}
            return value
        if isinstance(value, bytes):
            return {"last": True} if value is last and last else {"bytes": blob(value)}
        if isinstance(value, np.generic):
            return {"array": value.dtype.str, "shape": None, "blob": blob(np.array([value]).view(np.uint8))}
        if isinstance(value, np.ndarray):
            return array(value)
        if isinstance(value, Mapping):
            return {"dict": [[str(key), of(each)] for key, each in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [of(each) for each in value]}
        if on_disk(value):
            return {"file": 0}
        if hasattr(value, "read"):
            return {"stream": blob(value.read())}
        return {"list": [of(each) for each in value]}

    def array(value: np.ndarray) -> dict[str, Any]:
        if value.dtype.kind in "OT":
            return {"texts": list(value.shape), "blobs": [blob(each) for each in _texts(value.ravel())]}
        if not _TYPES.fullmatch(value.dtype.str):
            raise ValueError(f"an array has the type {cut(value.dtype)}, but real numbers are needed")
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        about = {"array": value.dtype.str, "shape": list(value.shape), "order": order}
        at = value.__array_interface__["data"][0] - begin
        if value.flags.forc and value.size and 0 <= at <= len(last) - value.nbytes:
            return about | {"at": at}
        flat = np.ascontiguousarray(value.T if order == "F" else value).reshape(-1)
        return about | {"blob": blob(flat.view(np.uint8) if flat.size else b"")}

    return of(value), blobs


def _texts(values: np.ndarray) -> list[Any]:
    """Texts and what stands between them: which of the different values each is, and these values as text."""
    known: dict[Any, int] = {}
    codes = np.empty(len(values), np.int64)
    for i, value in enumerate(values.tolist()):
        codes[i] = known.setdefault(value if type(value) is str else (type(value), _plain(value)), len(known))
    inputs.spend()
    kinds, contents = [], []
    for key in known:
        kind, text = ("str", key) if isinstance(key, str) else key[1]
        kinds.append(_KINDS.index(kind))
        contents.append(text.encode(errors="replace"))
    lengths = np.array([len(each) for each in contents], np.int64)
    return [codes.view(np.uint8), bytes(kinds), lengths.view(np.uint8), b"".join(contents)]


_KINDS = ("str", "NoneType", "bool", "float", "int")


def _plain(value: Any) -> tuple[str, str]:
    kind = type(value).__name__
    if kind == "int" and abs(value) >= 2**63:
        kind = "other"
    return (kind, repr(value)) if kind in _KINDS else ("str", str(value))


def unpacked(told: Any, blobs: Sequence[bytes], last: bytes, files: Sequence[BinaryIO] = ()) -> Any:
    """The value that ``packed`` told of; ``Broken`` where it is none."""

    def of(told: Any) -> Any:
        match told:
            case None | bool() | int() | float() | str():
                return told
            case {"last": True}:
                return last
            case {"bytes": int(number)}:
                return blobs[number]
            case {"dict": list(items)}:
                return {_text(key): of(each) for key, each in items}
            case {"tuple": list(items)}:
                return tuple(of(each) for each in items)
            case {"list": list(items)}:
                return [of(each) for each in items]
            case {"file": int(number)}:
                return files[number]
            case {"stream": int(number)}:
                return io.BytesIO(blobs[number])
            case {"texts": list(shape), "blobs": [int(codes), int(kinds), int(lengths), int(content)]}:
                return _texts_of(blobs[codes], blobs[kinds], blobs[lengths], blobs[content]).reshape(shape)
            case {"array": str(dtype), "shape": None, "blob": int(number)}:
                return _numbers(dtype, blobs[number], 0, [1], "C")[0]
            case {"array": str(dtype), "shape": list(shape), "order": str(order), "blob": int(number)}:
                return _numbers(dtype, blobs[number], 0, shape, order)
            case {"array": str(dtype), "shape": list(shape), "order": str(order), "at": int(at)}:
                return _numbers(dtype, last, at, shape, order)
        raise Broken

    try:
        return of(told)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError):
        raise Broken from None


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise Broken
    return key


def _numbers(dtype: str, content: bytes, at: int, shape: Sequence[Any], order: str) -> np.ndarray:
    """An array whose every entry is a value of its type, where its bytes lie."""
    if not _TYPES.fullmatch(dtype) or not all(type(n) is int and n >= 0 for n in shape) or order not in ("C", "F"):
        raise Broken
    made, count = np.dtype(dtype), math.prod(shape)
    flat = np.frombuffer(content, made, count, at) if count * made.itemsize else np.empty(count, made)
    if made.kind == "b" and (flat.view(np.uint8) > 1).any():
        flat = flat.view(np.uint8) != 0
    if made.kind == "U" and flat.size and (flat.view(f"{made.str[0]}u4") > 0x10FFFF).any():
        raise Broken
    return flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)


def _texts_of(codes: bytes, kinds: bytes, lengths: bytes, content: bytes) -> np.ndarray:
    sizes = np.frombuffer(lengths, np.int64)
    if (sizes < 0).any() or len(sizes) != len(kinds) or int(sizes.sum()) != len(content):
        raise Broken
    values, at = np.empty(len(sizes), object), 0
    for i, size in enumerate(sizes.tolist()):
        text = content[at : at + size].decode()
        values[i] = {
            "str": lambda text: text,
            "NoneType": lambda text: None,
            "bool": lambda text: text == "True",
            "float": float,
            "int": int,
        }[_KINDS[kinds[i]]](text)
        at += size
    which = np.frombuffer(codes, np.int64)
    if which.size and not 0 <= which.min() <= which.max() < len(values):
        raise Broken
    return values[which]


@cache
def returned(function: Callable[..., Any]) -> Any:
    """The annotation of what a function returns."""
    return get_type_hints(function)["return"]


def matches(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, down to the last entry."""
    if isinstance(hint, TypeAliasType):
        hint = hint.__value__
    of, parts = get_origin(hint), get_args(hint)
    if of is dict:
        return isinstance(value, dict) and all(matches(each, parts[1]) for each in value.values())
    if of is list:
        return isinstance(value, list) and all(matches(each, parts[0]) for each in value)
    if of is tuple and parts[-1] is Ellipsis:
        return isinstance(value, tuple) and all(matches(each, parts[0]) for each in value)
    if of is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(matches, value, parts))
    if parts:  # a union
        return any(matches(value, part) for part in parts)
    return hint is Any or (value is None if hint in (None, type(None)) else isinstance(value, hint))

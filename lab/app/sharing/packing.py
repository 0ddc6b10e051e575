"""Arrays for a file that is sent around: each once, in as few bytes as the eye allows, and an account of what that changed."""

import base64
import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

SHADES = 254
"""Steps of the colour scale that a picture of values is rounded to: its colours are 256."""
PLACES = 65_534
"""Steps of the range of a column of places."""
_SEEN = 4096  # parts of the shorter axis that nobody tells apart
_FEW = 64  # numbers that are not worth rounding


@dataclass(frozen=True)
class Scale:
    """How the arrays of a figure are seen.

    Attributes:
        span: length of the shorter axis, 0 where an axis is not linear: places are then not rounded.
        shades: ends of the linear colour scales; none where one is not linear.
    """

    span: float = 0.0
    shades: tuple[tuple[float, float], ...] = ()


class Rounding(NamedTuple):
    """What rounding did to some arrays: how many they are, and the largest error, as a share of what is seen."""

    arrays: int = 0
    largest: float = 0.0

    def also(self, error: float) -> "Rounding":
        return Rounding(self.arrays + 1, max(self.largest, error))


class Blob(NamedTuple):
    """An array in the file: how it is kept, ``"raw"``, or as ``"shades"`` or ``"places"``: ``low + step * code``.

    The code above all others stands for nan.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    low: float
    step: float
    data: bytes


@dataclass
class Pack:
    """Values of properties, each once, and the arrays in them."""

    values: list[Any] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    shades: Rounding = field(default_factory=Rounding)
    places: Rounding = field(default_factory=Rounding)
    _known: dict[bytes, int] = field(default_factory=dict)
    _arrays: dict[bytes, int] = field(default_factory=dict)

    def value(self, value: Any, scale: Scale | None = None) -> int:
        """The number of a value, in which arrays are exchanged for the numbers of theirs."""
        kept = self._exchanged(value, scale or Scale())
        key = sha256(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass")).digest()
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(kept)
        return self._known[key]

    def _exchanged(self, value: Any, scale: Scale) -> Any:
        if isinstance(value, np.ndarray):
            return {"blob": self._blob(value, scale)}
        if isinstance(value, dict):
            return {name: self._exchanged(each, scale) for name, each in value.items()}
        if isinstance(value, list):
            return [self._exchanged(each, scale) for each in value]
        return value

    def _blob(self, array: np.ndarray, scale: Scale) -> int:
        key = sha256(f"{array.dtype} {array.shape} {scale}".encode() + array.tobytes()).digest()
        if key not in self._arrays:
            self._arrays[key] = len(self.blobs)
            self.blobs.append(self._rounded(array, scale))
        return self._arrays[key]

    def _rounded(self, array: np.ndarray, scale: Scale) -> Blob:
        if array.dtype.kind != "f" or array.size < _FEW:
            return Blob("raw", array.dtype.name, array.shape, 0.0, 0.0, _planes(array))
        finite = array[np.isfinite(array)].astype(float)
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        whole = finite.size + int(np.isnan(array).sum()) == array.size  # infinity has no code
        if array.ndim == 2 and scale.shades and whole:
            ends = min(scale.shades, key=lambda each: each[1] - each[0])
            first, last = min(low, ends[0]), max(high, ends[1])
            if 0 < last - first <= 1.02 * (ends[1] - ends[0]):
                self.shades = self.shades.also(0.5 * (last - first) / SHADES / (ends[1] - ends[0]))
                return _coded("shades", array, first, (last - first) / SHADES, np.uint8)
        step = (high - low) / PLACES
        if array.ndim == 1 and whole and 0 < 0.5 * step <= scale.span / _SEEN:
            self.places = self.places.also(0.5 * step / scale.span)
            return _coded("places", array, low, step, np.uint16)
        small = array.astype(np.float32)
        if np.isinf(small).any() and whole:  # beyond the range of single precision
            return Blob("raw", array.dtype.name, array.shape, 0.0, 0.0, _planes(array))
        return Blob("raw", "float32", array.shape, 0.0, 0.0, _planes(small))

    def written(self, header: dict[str, Any], used: Iterable[int]) -> bytes:
        """The header, the values that are used and their arrays, packed: base64 of zlib of a length, JSON and bytes."""
        used = sorted(set(used))
        numbers = {index: number for number, index in enumerate(used)}
        blobs: dict[int, int] = {}

        def told(value: Any) -> Any:
            if isinstance(value, dict):
                if value.keys() == {"blob"}:
                    return {"blob": blobs.setdefault(value["blob"], len(blobs))}
                return {name: told(each) for name, each in value.items()}
            return [told(each) for each in value] if isinstance(value, list) else value

        values = [told(self.values[index]) for index in used]
        told_header = told(_renumbered(header, numbers))
        kept = [self.blobs[index] for index in blobs]
        tables = [[b.kind, b.dtype, b.shape, b.low, b.step, len(b.data)] for b in kept]
        text = json.dumps(
            told_header | {"values": values, "blobs": tables},
            ensure_ascii=False,
            separators=(",", ":"),
            allow_nan=False,
        ).encode("utf-8", "surrogatepass")
        content = struct.pack("<I", len(text)) + text + b"".join(b.data for b in kept)
        return base64.b64encode(zlib.compress(content, 9))


class Index(int):
    """In a header, the number of a value of the pack."""


def _renumbered(header: Any, numbers: dict[int, int]) -> Any:
    if isinstance(header, Index):
        return numbers[header]
    if isinstance(header, dict):
        return {name: _renumbered(each, numbers) for name, each in header.items()}
    return [_renumbered(each, numbers) for each in header] if isinstance(header, list | tuple) else header


def _coded(kind: str, array: np.ndarray, low: float, step: float, dtype: Any) -> Blob:
    most = np.iinfo(dtype).max
    codes = np.where(np.isnan(array), most, np.round((np.nan_to_num(array.astype(float), nan=low) - low) / step))
    return Blob(kind, "float32", array.shape, low, step, _planes(codes.astype(dtype)))


def _planes(array: np.ndarray) -> bytes:
    """The bytes of an array, first those that count least of all its numbers: they pack better so."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize)
    return np.ascontiguousarray(flat.T).tobytes()

"""One batch of runs as one file: a zarr 3 group in a zip archive, whose every member has a checksum.

One file instead of a hundred: it appears and goes at once, and a cluster's file system counts it as one.
"""

import json
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

SUFFIX = ".zarr.zip"
_HEADER = "lab_store"  # the attribute of the group that says what the file is
_CHUNK = 8 << 20  # bytes
_CODECS = {"bytes", "vlen-utf8", "zstd"}  # that write uses; others unpack to anything, and one executes what it reads


# what Python says to a thread that reads while the process ends, or has no more threads: no fault of the file
_ENDING = ("cannot schedule new futures after", "can't start new thread")


class Damaged(Exception):
    """The file is not as it was written; the text says what was found."""


def write(path: Path, cells: "xr.Dataset", header: dict[str, Any]) -> None:
    """Write a packed Dataset to a new file. An OSError leaves a useless one behind.

    Not forced to the disk: that took seconds beside other writers, and a file that a power cut spoils is seen by its
    checksums and computed again.
    """
    header = header | {"variables": list(map(str, cells.variables)), "coords": list(map(str, cells.coords))}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {**cells.attrs, _HEADER: header}}
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:  # the chunks are compressed
        archive.writestr("zarr.json", json.dumps(group))
        for name, variable in cells.variables.items():
            _write_array(archive, str(name), variable)


def _write_array(archive: zipfile.ZipFile, name: str, variable: "xr.Variable") -> None:
    """An array of zarr 3. Written here: zarr itself takes a thousand calls for each, and half a second to be imported."""
    from numcodecs.zstd import Zstd

    values = variable.values
    if values.dtype.kind == "O" and not all(isinstance(value, str) for value in values.flat):
        raise ValueError(f"{name} holds objects that are no text, which the store can't keep")
    kind, nothing = _kind(name, values.dtype)
    chunk, zstd = _chunk(values), Zstd(level=0)
    serial = {"name": "vlen-utf8"} if kind == "string" else {"name": "bytes", "configuration": {"endian": "little"}}
    described = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": values.shape,
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": nothing,
        "codecs": [serial, {"name": "zstd", "configuration": {"level": 0, "checksum": False}}],
        "attributes": dict(variable.attrs),
        "dimension_names": list(map(str, variable.dims)),
    }
    archive.writestr(f"{name}/zarr.json", json.dumps(described))
    for at in np.ndindex(*(-(-size // part) for size, part in zip(values.shape, chunk, strict=True))):
        place = tuple(slice(i * part, (i + 1) * part) for i, part in zip(at, chunk, strict=True))
        content = zstd.encode(_serial(_filled(values[*place, ...], chunk)))
        archive.writestr(f"{name}/c{''.join(f'/{i}' for i in at)}", content)


def _kind(name: str, dtype: np.dtype) -> tuple[Any, Any]:
    """What zarr 3 calls values of this dtype, and what it writes for nothing."""
    match dtype.kind:
        case "b":
            return "bool", False
        case "i" | "u":
            return dtype.name, 0
        case "f" if dtype.itemsize <= 8:
            return dtype.name, 0.0
        case "c" if dtype.itemsize <= 16:
            return dtype.name, [0.0, 0.0]
        case "U":
            return {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}, ""
        case "O":
            return "string", ""
        case "M" | "m":
            unit, factor = np.datetime_data(dtype)
            name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
            return {"name": name, "configuration": {"unit": unit, "scale_factor": factor}}, 0
    raise ValueError(f"{name} holds values of type {dtype}, which the store can't keep")


def _filled(values: np.ndarray, chunk: tuple[int, ...]) -> np.ndarray:
    """A chunk at an edge in the size of all others, as zarr has them."""
    if values.shape == chunk:
        return values
    whole = np.full(chunk, "", object) if values.dtype.kind == "O" else np.zeros(chunk, values.dtype)
    whole[tuple(map(slice, values.shape))] = values
    return whole


def _serial(values: np.ndarray) -> bytes:
    """The values in order, the low bytes first; of text each with its length before it, and their number before all."""
    if values.dtype.kind != "O":
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [text.encode() for text in values.flat]
    numbers = (number.to_bytes(4, "little") for number in (len(texts), *map(len, texts)))
    return next(numbers) + b"".join(number + text for number, text in zip(numbers, texts, strict=True))


def read_header(path: Path) -> dict[str, Any]:
    """What ``write`` was told of the batch."""
    with _opened(path) as archive:
        return json.loads(archive.read("zarr.json"))["attributes"][_HEADER]


def read(path: Path, names: Collection[str] | None = None) -> "tuple[xr.Dataset, dict[str, Any]]":
    """The packed Dataset and its header; with ``names``, only those of its data variables.

    Raises:
        Damaged: a checksum differs, or something is missing.
        FileNotFoundError: there is no such file.
    """
    import xarray as xr
    import zarr
    from zarr.storage import ZipStore

    with _opened(path) as archive:
        members = set(archive.namelist())
    with _guarded(), warnings.catch_warnings(), ZipStore(path, mode="r") as store:
        warnings.simplefilter("ignore")
        # copies of the arrays' descriptions, in that of the group, could say anything
        group = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
        attrs = dict(group.attrs)
        header: Any = attrs.pop(_HEADER)
        wanted = [name for name in header["variables"] if names is None or name in names or name in header["coords"]]
        variables = {}
        for name in wanted:
            array: Any = group[name]
            if {codec["name"] for codec in array.metadata.to_dict()["codecs"]} - _CODECS:
                raise Damaged(f"{name} is packed in a way that is not the store's")
            if array.nchunks > len(members):  # else there may be too many to name them
                raise Damaged(f"{name} is not there as a whole")
            lost = {f"{name}/c{''.join(f'/{i}' for i in at)}" for at in np.ndindex(array.cdata_shape)} - members
            if lost and array.size:  # zarr would take a missing chunk for zeros
                raise Damaged(f"{min(lost)} is missing")
            values = np.asarray(array[...])
            values = values.astype(object) if values.dtype.kind == "T" else values
            variables[name] = xr.Variable(array.metadata.dimension_names or (), values, dict(array.attrs))
    coords = {name: variables.pop(name) for name in header["coords"]}
    return xr.Dataset(variables, coords, attrs), header


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _guarded(), zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise Damaged("its members are packed")
        yield archive


@contextmanager
def _guarded():
    """Whatever a broken archive makes of zipfile, zarr and its codecs is ``Damaged``."""
    try:
        yield
    except (Damaged, MemoryError):
        raise
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno is not None and problem.errno != 22:  # a seek before 0
            raise
        if type(problem) is RuntimeError and str(problem).startswith(_ENDING):
            raise
        raise Damaged(f"{type(problem).__name__}: {problem}") from problem


def _chunk(values: np.ndarray) -> tuple[int, ...]:
    """Whole cells, as many as make some megabytes: one cell is then read without its neighbours. A huge one in parts."""
    if not values.ndim:
        return ()
    row = values[:1].nbytes
    shape = [max(1, min(len(values), _CHUNK // max(row, 1))), *(max(1, size) for size in values.shape[1:])]
    while int(np.prod(shape)) * values.dtype.itemsize > 8 * _CHUNK:
        longest = int(np.argmax(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)

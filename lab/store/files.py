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
    import zarr
    from zarr.storage import ZipStore

    header = header | {"variables": list(map(str, cells.variables)), "coords": list(map(str, cells.coords))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text and dates have no final zarr 3 specification yet
        with ZipStore(path, mode="x", compression=zipfile.ZIP_STORED) as store:  # zarr has compressed the chunks
            group = zarr.create_group(store, attributes={**cells.attrs, _HEADER: header})
            for name, variable in cells.variables.items():
                values = variable.values
                text = values.dtype.kind == "O"
                if text and not all(isinstance(value, str) for value in values.flat):
                    raise ValueError(f"{name} holds objects that are no text, which the store can't keep")
                array: Any = group.create_array(
                    str(name),
                    shape=values.shape,
                    dtype=str if text else values.dtype,
                    chunks=_chunks(values),
                    dimension_names=list(map(str, variable.dims)),
                    attributes=dict(variable.attrs),
                    config={"write_empty_chunks": True},  # else -0.0 becomes 0.0, and a lost chunk looks like zeros
                )
                if values.size:
                    array[...] = values


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


def _chunks(values: np.ndarray) -> Any:
    """Whole cells, as many as make some megabytes: one cell is then read without its neighbours."""
    row = values[:1].nbytes if values.ndim else 0
    if row > 8 * _CHUNK:
        return "auto"
    first = max(1, min(len(values), _CHUNK // max(row, 1))) if values.ndim else 1
    return (first, *(max(1, size) for size in values.shape[1:])) if values.ndim else ()

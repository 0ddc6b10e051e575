"""Bytes into arrays, tables and pictures: what a file is follows from its content, and nothing in it is executed.

Each function takes the name that sentences call the file by. All raise ValueError with one sentence. Nothing is believed that
a file says of its own size: what is unpacked is counted while it comes, or found out from the pieces before a library that
can't be stopped gets them.
"""

import codecs
import csv as comma_separated
import json
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from math import ceil, prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.inputs import LIMIT, Exceeded, Stream, cut, fits, listed, mebibytes, parsed, shown, spend

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

UPLOAD_LIMIT = 64 * 2**20
"""The most bytes that an upload may have, all its files together."""

MEMBERS = 100_000
"""The most members of an archive or folder."""

_TEXT = 128 * 2**20  # bytes of a table as text; as objects in memory it is several times larger
_COLUMNS = 10_000
_HEADER = 2**20  # bytes of a table's first line
_ABOUT_LIMIT = 4 * 2**20  # bytes of lab.json
_CHUNKS = 100_000  # of a chunked array
_PIXELS = 50_000_000  # that are decoded
_KEPT_PIXELS = 4_000_000  # that are kept of them
_PIECE = 2**20
_SUFFIXES = {
    "npy": (".npy",),
    "npz": (".npz",),
    "parquet": (".parquet", ".pq"),
    "netcdf": (".nc", ".nc4", ".netcdf", ".h5", ".hdf5"),
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    "table": (".csv", ".tsv", ".txt"),
}
_NAMES = {
    "npy": "a NumPy array (.npy)",
    "npz": "a zip archive (.npz)",
    "parquet": "a Parquet table",
    "netcdf": "a netCDF file",
    "image": "a picture",
    "table": "text",
}
TAKEN = ".npz, .npy, .csv, .parquet, .nc, .zarr or pictures"
_OBJECTS = "holds Python objects, which are never loaded: save plain numbers"


def format_of(name: str, payload: bytes) -> str:
    """One of ``npy npz parquet netcdf image table``, by content; the suffix must not say otherwise."""
    found = _sniff(name, payload)
    suffix = Path(name).suffix.lower()
    claimed = next((kind for kind, suffixes in _SUFFIXES.items() if suffix in suffixes), found)
    if claimed != found:
        raise ValueError(f"{name} is named {suffix} but its content is {_NAMES[found]}: rename it or save it again")
    return found


def is_picture(path: Path) -> bool:
    """Whether the suffix is that of a picture."""
    return path.suffix.lower() in _SUFFIXES["image"]


def _sniff(name: str, payload: bytes) -> str:
    if not payload.removeprefix(b"\xef\xbb\xbf").strip():
        raise ValueError(f"{name} is empty")
    heads = {
        b"\x93NUMPY": "npy",
        b"PK\x03\x04": "npz",
        b"PK\x05\x06": "npz",
        b"PAR1": "parquet",
        b"\x89HDF\r\n\x1a\n": "netcdf",
        b"CDF\x01": "netcdf",
        b"CDF\x02": "netcdf",
        b"CDF\x05": "netcdf",
        b"\x89PNG": "image",
        b"\xff\xd8\xff": "image",
        b"GIF8": "image",
        b"BM": "image",
        b"II*\x00": "image",
        b"MM\x00*": "image",
    }
    for head, kind in heads.items():
        if payload.startswith(head) and not (head == b"BM" and _is_text(payload)):
            return kind
    if payload.startswith(b"RIFF") and payload[8:12] == b"WEBP":
        return "image"
    if payload[0] == 0x80 and payload[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ValueError(f"{name} is a Python pickle, which is never loaded: save plain numbers, for example as .npz")
    if _is_text(payload):
        return "table"
    raise ValueError(f"{name} is of a kind that is not read: give {TAKEN}")


def _is_text(payload: bytes) -> bool:
    if b"\0" in payload[:_PIECE]:  # soon, where it is no text
        return False
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for at in range(0, len(payload), _PIECE):  # a text as a whole takes four times its bytes
            if "\0" in decoder.decode(payload[at : at + _PIECE]):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


# -- arrays ------------------------------------------------------------------------------------------------------------


@contextmanager
def _decoding(failure: str) -> Iterator[None]:
    """Decoders raise a dozen things on damaged files; the user gets one sentence."""
    try:
        yield
    except Exceeded:
        raise
    except Exception:
        raise ValueError(failure) from None


def npy(name: str, payload: bytes) -> np.ndarray:
    """The array of a ``.npy`` file, read-only, where its bytes lie; one of Python objects is refused by its header, unread."""
    header = BytesIO(payload)
    with _decoding(f"{name} is a damaged NumPy array: save it again"):
        version = np.lib.format.read_magic(header)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(header)
    if dtype.hasobject:
        raise ValueError(f"{name} {_OBJECTS}")
    there = len(payload) - header.tell()
    if min(shape, default=1) < 0 or prod(shape) * dtype.itemsize > there:
        raise ValueError(f"{name} is a damaged NumPy array, it has fewer numbers than it says: save it again")
    with _decoding(f"{name} is a damaged NumPy array: save it again"):
        count = prod(shape)
        flat = np.frombuffer(payload, dtype, count, header.tell()) if count else np.empty(0, dtype)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


@contextmanager
def _archive(name: str, payload: bytes, failure: str) -> Iterator[zipfile.ZipFile]:
    if payload.count(b"PK\x01\x02") > MEMBERS:  # before an object is made for each
        raise ValueError(f"{name} holds more than the {MEMBERS:,} members that are read")
    with _decoding(failure):
        archive = zipfile.ZipFile(Stream(name, payload))
    with archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            seen: set[str] = set()
            twice = next(each for each in names if each in seen or seen.add(each))
            raise ValueError(f"{name} holds {shown(twice)} twice: pack it again")
        yield archive


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | str) -> bytes:
    """The content of a member, unpacked piece by piece and no further than the size that it states."""
    info = archive.getinfo(member) if isinstance(member, str) else member
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack a piece to any size
        raise ValueError
    pieces = []
    with archive.open(info) as file:
        while piece := file.read(_PIECE):
            spend()
            pieces.append(piece)
    return b"".join(pieces)


def _others(names: Iterable[str], most: int = 8) -> list[str]:
    """Names as sentences list them: those of no use are many in some files, and long in others."""
    every = [cut(name, 40) for name in names]
    return every if len(every) <= most else [*every[: most - 1], f"{len(every) - most + 1:,} more"]


def npz(
    name: str, payload: bytes, wanted: Iterable[str] | None = None
) -> tuple[dict[str, np.ndarray], list[str], bytes]:
    """The wanted arrays of a ``.npz`` file (None: all), the names of the others, and the member ``lab.json``."""
    damaged = f"{name} is a damaged or encrypted archive: save it again with numpy.savez"
    with _archive(name, payload, damaged) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        keys = [member.removesuffix(".npy") for member in sizes if member.endswith(".npy")]
        if not keys:
            raise ValueError(
                f"{name} is a zip archive without arrays or pictures, it holds {listed(sorted(sizes), 60) or 'nothing'}: "
                "save arrays with numpy.savez, or pack the pictures themselves"
            )
        among = None if wanted is None else set(wanted)
        chosen = [key for key in keys if among is None or key in among]
        about = [_ABOUT] if _ABOUT in sizes else []
        if about and sizes[_ABOUT] > _ABOUT_LIMIT:
            size, most = mebibytes(sizes[_ABOUT]), mebibytes(_ABOUT_LIMIT)
            raise ValueError(f"lab.json in {name} has {size}, but at most {most} are read")
        fits(name, sum(sizes[member] for member in [f"{key}.npy" for key in chosen] + about))
        with _decoding(damaged):
            content = {key: _member(archive, f"{key}.npy") for key in chosen}
            described = _member(archive, _ABOUT) if about else b""
    arrays = {key: npy(f"{cut(key, 40)} in {name}", member) for key, member in content.items()}
    return arrays, _others(key for key in keys if among is not None and key not in among), described


def holds_pictures(payload: bytes) -> bool:
    """Whether the bytes are a zip archive of pictures, without arrays."""
    try:
        with _archive("", payload, "") as archive:
            names = archive.namelist()
    except ValueError:
        return False
    return any(is_picture(Path(name)) for name in names) and not any(name.endswith(".npy") for name in names)


def zipped_pictures(name: str, payload: bytes) -> list[tuple[str, bytes]]:
    """The pictures of a zip archive, read in memory; hidden files and what is no picture are left out.

    Raises:
        ValueError: a member that would leave the folder, a damaged or encrypted archive, or one that unpacks to too much.
    """
    damaged = f"{name} is a damaged or encrypted archive: pack it again"
    with _archive(name, payload, damaged) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for info in members:
            parts = info.filename.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0]:
                raise ValueError(f"{name} holds {shown(info.filename)}, a path that leaves its folder: pack it again")
        chosen = [
            info
            for info in sorted(members, key=lambda info: info.filename)
            if is_picture(Path(info.filename))
            and not any(part.startswith((".", "__MACOSX")) for part in info.filename.split("/"))
        ]
        fits(name, sum(info.file_size for info in chosen))  # no more than these are read, whatever comes out
        with _decoding(damaged):
            return [(f"{cut(info.filename, 60)} in {name}", _member(archive, info)) for info in chosen]


_ABOUT = "lab.json"


def write_npz(arrays: dict[str, np.ndarray], about: bytes) -> bytes:
    """A compressed ``.npz`` with the member ``lab.json``: the same content gives the same bytes."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in sorted(arrays):
            member = BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[key]), allow_pickle=False)
            archive.writestr(_stamped(f"{key}.npy"), member.getvalue())
        archive.writestr(_stamped(_ABOUT), about)
    return stream.getvalue()


def _stamped(member: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


# -- arrays with dimensions --------------------------------------------------------------------------------------------

_DECODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "dtype")
"""The attributes that change what the numbers of a variable are; no other is read."""


def netcdf(name: str, payload: bytes, wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a netCDF file (3, or 4 as HDF5), and the names of the others."""
    damaged = f"{name} is a damaged netCDF file, or none that xarray opens: save it again"
    if payload.startswith(b"\x89HDF"):
        return _hdf5(name, payload, wanted, damaged)
    from scipy.io import netcdf_file

    with _decoding(damaged):  # its variables may share their bytes: the stream counts what it gives
        file = netcdf_file(Stream(name, payload), "r", mmap=False)
    keys = [str(key) for key in file.variables]
    chosen = [key for key in keys if key in set(wanted)]
    found = {}
    with _decoding(damaged):
        for key in chosen:
            variable = file.variables[key]
            array = np.asarray(variable.data)
            attributes = {at: _scalar(value) for at in _DECODED if (value := getattr(variable, at, None)) is not None}
            found[key] = (array.astype(array.dtype.newbyteorder("=")), attributes)
    return _decoded(name, found, damaged), _others(key for key in keys if key not in found)


def _hdf5(name: str, payload: bytes, wanted: Iterable[str], damaged: str) -> tuple[dict[str, np.ndarray], list[str]]:
    import h5py

    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    with _decoding(damaged):
        file = h5py.File(Stream(name, payload), "r")
    with file:
        variables = check_hdf5(name, file)
        chosen = [key for key in variables if key in set(wanted)]
        for key in chosen:
            if variables[key].dtype.kind in "OV":
                raise ValueError(f"{key} in {name} holds no plain numbers")
        fits(name, sum(variables[key].nbytes for key in chosen))
        with _decoding(damaged):
            for key in chosen:
                spend()
                part = variables[key]
                found[key] = (part[()], {at: _attribute(part, at) for at in _DECODED if at in part.attrs})
    return _decoded(name, found, damaged), _others(key for key in variables if key not in found)


def _attribute(part: Any, name: str) -> Any:
    """The one value of an attribute: any number of texts may be the same text of the file."""
    if _pointing(part, name) > 1:
        raise ValueError
    return _scalar(part.attrs[name])


def _pointing(part: Any, name: str) -> int:
    """How many values of an attribute are pointers to what lies elsewhere in the file, and of any size."""
    import h5py

    def among(dtype: np.dtype) -> int:
        if dtype.subdtype:
            return prod(dtype.subdtype[1]) * among(dtype.subdtype[0])
        if dtype.names:
            return sum(among(dtype[each]) for each in dtype.names)
        return dtype.kind == "O" and h5py.check_ref_dtype(dtype) is None

    found = part.attrs.get_id(name)
    return prod(found.shape) * among(found.dtype)


def _scalar(value: Any) -> Any:
    value = np.asarray(value).reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else value


def _decoded(name: str, found: dict[str, tuple[np.ndarray, dict]], damaged: str) -> dict[str, np.ndarray]:
    """The numbers that are meant: with fill values, scale and offset as the conventions of netCDF have them."""
    import xarray as xr

    for key, (array, _) in found.items():
        if array.dtype.kind not in "fiubc":
            raise ValueError(f"{key} in {name} holds no plain numbers")
    fits(name, sum(8 * array.size for array, _ in found.values()))
    with _decoding(damaged):
        dims = {key: [f"{key} {i}" for i in range(array.ndim)] for key, (array, _) in found.items()}
        plain = xr.Dataset({key: (dims[key], *pair) for key, pair in found.items()})
        meant = xr.decode_cf(plain, decode_times=False)
        return {key: meant[key].to_numpy() for key in found}


def check_hdf5(name: str, file: Any) -> dict[str, Any]:
    """The variables at the root of an open HDF5 file, after a look at every part of it.

    Raises:
        ValueError: parts that lie in other files (an upload must not read the disk of the server), too many of them, or
            chunks that unpack to more than they should.
    """
    import h5py

    parts: list[tuple[str, Any]] = []
    outside: list[str] = []

    def look(key: str, link: Any) -> bool | None:
        spend()
        if isinstance(link, h5py.ExternalLink):
            outside.append(key)
        elif isinstance(link, h5py.HardLink):
            part = file[key]
            parts.append((key, part))
            if isinstance(part, h5py.Dataset) and (part.external or part.is_virtual):
                outside.append(key)
        return True if outside or len(parts) > MEMBERS // 10 else None

    damaged = f"{name} is a damaged netCDF file: save it again"
    with _decoding(damaged):
        file.visititems_links(look)
        sets = {key: part for key, part in parts if isinstance(part, h5py.Dataset)}
    if outside:
        raise Exceeded(f"{cut(outside[0], 40)} in {name} lies in another file: save the numbers themselves")
    if len(parts) > MEMBERS // 10:
        raise Exceeded(f"{name} holds more than the {MEMBERS // 10:,} variables and groups that are read")
    for key, part in sets.items():
        with _decoding(damaged):
            _check_chunks(f"{cut(key, 40)} in {name}", part)
    with _decoding(damaged):
        return {key: part for key, part in sets.items() if "/" not in key and not _only_dimension(part)}


def _only_dimension(part: Any) -> bool:
    name = _attribute(part, "NAME") if "CLASS" in part.attrs and "NAME" in part.attrs else ""
    return str(name).startswith("This is a netCDF dimension but not")


def _check_chunks(what: str, part: Any) -> None:
    """Refuse chunks that unpack to more than they should: the library would unpack them to the end."""
    layout = part.id.get_create_plist()
    filters = [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]
    if not part.chunks:
        return
    count = prod(
        ceil(n / c) for n, c in zip(part.shape, part.chunks, strict=True)
    )  # those that are not there are read too
    if count > _CHUNKS:
        raise Exceeded(f"{what} has {count:,} chunks, but at most {_CHUNKS:,} are read: save it in larger ones")
    size = prod(part.chunks) * part.dtype.itemsize
    fits(what, size)  # whatever the shape
    deflate, shuffle, fletcher, lzf = 1, 2, 3, 32000
    packing = next((at for at, filter in enumerate(filters) if filter in (deflate, lzf)), len(filters))
    # what is unpacked first must be what is checked here
    if not {*filters[:packing]} <= {shuffle, fletcher} or filters[packing + 1 :] not in ([], [fletcher]):
        raise Exceeded(f"{what} is compressed in a way that is not read: save it with zlib or without")
    for i in range(part.id.get_num_chunks() if packing < len(filters) else 0):
        spend()
        chunk = part.id.get_chunk_info(i)
        if chunk.filter_mask >> packing & 1:  # it was left out there
            continue
        if filters[packing] == deflate:
            _inflates(what, part.id.read_direct_chunk(chunk.chunk_offset)[1], size + 4)
        else:
            fits(what, 90 * chunk.size)  # it repeats 264 bytes by 3


def _inflates(what: str, packed: bytes, size: int, window: int = zlib.MAX_WBITS) -> bytes:
    """What follows upon the stream, which unpacks to no more than ``size``."""
    unpack = zlib.decompressobj(window)
    came = 0
    while packed and came <= size and not unpack.eof:
        spend()
        came += len(unpack.decompress(packed, min(_PIECE, size + 1 - came)))
        packed = unpack.unconsumed_tail
    if came > size:
        raise Exceeded(f"{what} unpacks to more than it says: save it again")
    return unpack.unused_data


def check_kept(name: str, file: Any) -> None:
    """Refuse an open HDF5 file whose parts unpack to more than is read, or lie elsewhere."""
    import h5py

    size = file.seek(0, 2)
    with _decoding(f"{name} is a damaged netCDF file: save it again"), h5py.File(file, "r") as opened:
        check_hdf5(name, opened)
        if not all(isinstance(opened.get(key, getlink=True), h5py.HardLink) for key in opened):
            raise Exceeded(f"{name} holds links in place of variables: save the numbers themselves")
        few = max(32, LIMIT // size)  # texts may share their bytes: a few at a time can't fill the memory
        for part in (opened, *opened.values()):
            for at in part.attrs:
                spend()
                if _pointing(part, at) > few:
                    raise Exceeded(f"the attribute {cut(at, 40)} in {name} has more than {few} texts: leave it out")
        sets = {key: part for key, part in opened.items() if isinstance(part, h5py.Dataset)}
        fits(name, sum(part.nbytes for part in sets.values()), size)
        came = 0
        for key, part in sets.items():
            text = h5py.check_string_dtype(part.dtype) is not None
            if part.dtype.kind == "V" or (part.dtype.kind == "O" and not text):
                raise Exceeded(f"{cut(key, 40)} in {name} holds neither numbers nor texts")
            for piece in _pieces(part, max(1, LIMIT // 4 // size)) if part.dtype.kind == "O" else ():
                spend()
                came += sum(_TEXT_ITEM + len(each) for each in np.ravel(piece))
                fits(name, came)


def _pieces(part: Any, most: int, at: tuple[int, ...] = ()) -> Iterator[np.ndarray]:
    """An HDF5 array of any number of dimensions, at most so many of its values at a time."""
    if len(at) == part.ndim:
        yield part[at]
        return
    length, inner = part.shape[len(at)], prod(part.shape[len(at) + 1 :])
    if inner > most:
        for i in range(length):
            yield from _pieces(part, most, (*at, i))
        return
    step = most // max(inner, 1)
    for i in range(0, length, step):
        yield part[(*at, slice(i, i + step))]


DESCRIBING = {".zarray": 2, ".zgroup": 2, ".zattrs": 2, ".zmetadata": 2, "zarr.json": 3}
"""The files of a zarr folder that say what the others are, and of which format each is."""

_PACKING = {f"{of}{packing}": packing for packing in ("gzip", "zlib", "zstd", "blosc") for of in ("", "numcodecs.")}
_TEXT_ITEM = 64  # bytes that a short text takes as an object


def zarr(name: str, files: dict[str, bytes], wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a zarr folder, given as its files by their paths inside; and the names of the others."""
    dataset, others = _opened_zarr(name, files, set(wanted), decode_times=False)
    for key, variable in dataset.variables.items():
        if variable.dtype.kind not in "fiubc":
            raise ValueError(f"{key} in {name} holds no plain numbers")
    with _decoding(f"{name} is a damaged zarr folder: save it again"):
        return {str(key): variable.to_numpy() for key, variable in dataset.variables.items()}, _others(others)


def whole_zarr(name: str, files: dict[str, bytes]) -> Any:
    """The Dataset of a zarr folder that the lab wrote."""
    return _opened_zarr(name, files, None)[0].load()


def _opened_zarr(
    name: str, files: dict[str, bytes], wanted: Collection[str] | None, **options: Any
) -> "tuple[xr.Dataset, list[str]]":
    """A Dataset of the wanted arrays (None: all), not loaded yet, and the names of the others.

    What zarr is shown is nothing but the descriptions that were checked here, of one format, and the chunks that they speak
    of: what a folder says twice, it could say in two ways.
    """
    import xarray as xr
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    found = {DESCRIBING[base] for path in files if (base := path.rpartition("/")[2]) in DESCRIBING}
    if len(found) > 1:
        raise Exceeded(f"{name} is described both as zarr 2 and as zarr 3: save it again as one of them")
    three = found == {3}
    group, array = ("zarr.json", "zarr.json") if three else (".zgroup", ".zarray")
    told, chunks, seen = {}, {}, {}
    for path, content in files.items():
        key, _, base = path.rpartition("/")
        if base not in DESCRIBING:
            chunks.setdefault(path.partition("/")[0], {})[path] = content
        elif "/" not in key and base != ".zmetadata":
            with _decoding(f"{cut(path, 60)} in {name} is no JSON: save it again"):
                told[path], seen[path] = parsed(content), content
    damaged = f"{name} is a damaged zarr folder: save it again"
    with _decoding(damaged):
        keys = [path.rpartition("/")[0] for path in sorted(told) if path.endswith(f"/{array}")]
        keys = [key for key in keys if not three or told[f"{key}/{array}"]["node_type"] == "array"]
        if three:  # without the copies of its members' descriptions
            root = {"zarr_format": 3, "node_type": "group", "attributes": told[group].get("attributes", {})}
            seen[group] = json.dumps(root).encode()
    others = [key for key in keys if wanted is not None and key not in wanted]
    kept, size = {path: seen[path] for path in (group, ".zattrs") if path in seen}, 0
    for key in (key for key in keys if key not in others):
        with _decoding(damaged):
            described = told[f"{key}/{array}"]
            size += _check_zarr(f"{cut(key, 40)} in {name}", described, chunks.get(key, {}).values(), three)
        fits(name, size)
        kept |= {path: seen[path] for path in (f"{key}/{array}", f"{key}/.zattrs") if path in seen}
        kept |= chunks.get(key, {})
    make = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({path: make(content) for path, content in kept.items()}, read_only=True)
    with _decoding(damaged), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.open_zarr(store, zarr_format=3 if three else 2, consolidated=False, chunks=None, **options)
    fits(name, dataset.nbytes)  # scaled numbers are wider than those that are kept
    return dataset, others


def _check_zarr(what: str, told: dict[str, Any], contents: Iterable[bytes], three: bool) -> int:
    """The bytes that an array takes; refused where its size, chunks or ways of packing are not those that are read."""
    if three:
        regular, shape, chunks = (
            told["chunk_grid"]["name"] == "regular",
            told["shape"],
            told["chunk_grid"]["configuration"],
        )
        chunks, codecs = chunks["chunk_shape"], [codec["name"] for codec in told["codecs"]]
    else:
        regular, shape, chunks = True, told["shape"], told["chunks"]
        codecs = [part["id"] for part in [*(told["filters"] or []), told["compressor"]] if part]
    if not regular or told.get("storage_transformers") or min(shape, default=0) < 0 or min(chunks, default=1) < 1:
        raise ValueError
    if "pickle" in str(codecs).lower():
        raise Exceeded(f"{what} {_OBJECTS}")  # that codec would execute the chunks
    text = "vlen-utf8" in codecs
    itemsize = _TEXT_ITEM if text else _itemsize(what, told["data_type" if three else "dtype"])
    fits(what, size := prod(shape) * itemsize)
    fits(what, chunk := prod(chunks) * itemsize)
    count = prod(ceil(n / c) for n, c in zip(shape, chunks, strict=True))
    if count > _CHUNKS:
        raise Exceeded(f"{what} has {count:,} chunks, but at most {_CHUNKS:,} are read: save it in larger ones")
    # what is unpacked first must be what is checked here
    tail = 4 if three and codecs[-1] == "crc32c" else 0
    codecs = codecs[:-1] if tail else codecs
    packing = _PACKING.get(codecs[-1], "") if codecs else ""
    rest = [codec for codec in (codecs[:-1] if packing else codecs) if codec not in ("bytes", "transpose")]
    if text and (rest != ["vlen-utf8"] or packing != "zstd" or told["fill_value"] not in ("", 0, None)):
        raise Exceeded(f"{what} holds texts in a way that is not read: save it as the lab does, with zstd")
    if not text and not set(rest) <= {"shuffle", "numcodecs.shuffle"}:
        raise Exceeded(f"{what} is packed by {listed(codecs, 60)}, but one of gzip, zlib, zstd or blosc is needed")
    for content in contents if packing else ():
        spend()
        content = content[: len(content) - tail]
        if text:
            fits(what, size := size + _check_texts(what, content, prod(chunks)))
        else:
            _check_chunk(what, packing, content, chunk)
    return size


def _itemsize(what: str, dtype: Any) -> int:
    """Of numbers, and of texts of one length."""
    if isinstance(dtype, dict) and dtype["name"] == "fixed_length_utf32":
        return dtype["configuration"]["length_bytes"]
    try:
        found = np.dtype(dtype if isinstance(dtype, str) else object)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "fiubcSU":
        raise Exceeded(f"{what} holds no plain numbers")
    return found.itemsize


def _check_texts(what: str, content: bytes, most: int) -> int:
    """The bytes that a packed chunk of texts unpacks to; how many these are, it says in its first four."""
    from numcodecs import Zstd

    size = _zstd_size(content)
    fits(what, size)
    if size < 4 or int.from_bytes(bytes(Zstd().decode(content))[:4], "little") > most:
        raise Exceeded(f"{what} unpacks to another size than it says: save it again")
    return size


def _check_chunk(what: str, packing: str, content: bytes, size: int) -> None:
    if packing in ("gzip", "zlib"):
        if _inflates(what, content, size, zlib.MAX_WBITS | 32):  # gzip would go on there
            raise Exceeded(f"{what} unpacks to more than it says: save it again")
        return
    states = int.from_bytes(content[4:8], "little") if packing == "blosc" else _zstd_size(content)
    if states != size or (packing == "blosc" and int.from_bytes(content[12:16], "little") != len(content)):
        raise Exceeded(f"{what} unpacks to another size than it says: save it again")


def _zstd_size(frame: bytes) -> int:
    """What a Zstandard frame says that it unpacks to (RFC 8878, 3.1.1.1); -1 where it does not say."""
    if frame[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    flag, single, dictionary = frame[4] >> 6, frame[4] >> 5 & 1, frame[4] & 3
    at, width = 5 + (not single) + (0, 1, 2, 4)[dictionary], (single, 2, 4, 8)[flag]
    return int.from_bytes(frame[at : at + width], "little") + 256 * (width == 2) if width else -1


# -- tables ------------------------------------------------------------------------------------------------------------


def csv(name: str, payload: bytes) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The columns of comma, semicolon, tab or space separated text, and a notice where it has no header.

    The first line is a header unless all of it are numbers.
    """
    import pandas as pd

    if len(payload) > _TEXT:
        size = f"{mebibytes(len(payload))} of text, but at most {mebibytes(_TEXT)} are read"
        raise ValueError(f"{name} has {size}: save it as .npz")
    text = payload.removeprefix(codecs.BOM_UTF8).lstrip()
    first, second = _lines(name, text)
    separator = max(",;\t", key=first.count)
    separator = separator if separator in first else r"\s+"
    fields = _fields(name, first, separator)
    if len(fields) > _COLUMNS:
        raise ValueError(f"{name} has {len(fields):,} columns, but at most {_COLUMNS:,} are read: save it as .npz")
    if len(_fields(name, second, separator)) > len(fields):  # pandas would take the first column for an index
        raise ValueError(f"{name} has lines with more fields than its header")
    headless = all(is_number(field) for field in fields)
    if not headless:
        _distinct(name, fields)  # pandas would rename the second
    precision: Any = "round_trip"  # which the stubs of pandas do not know
    with _decoding(f"{name} is no table: its lines have different numbers of fields"):
        frame = pd.read_csv(
            Stream(name, text), sep=separator, header=None if headless else 0, skipinitialspace=True,
            float_precision=precision, low_memory=False,
        )  # fmt: skip
    if headless:
        frame.columns = [f"column {i}" for i in range(1, frame.shape[1] + 1)]
    notices = (f"{name} has no header: its first line of numbers is a point like the others",) if headless else ()
    return _columns(name, frame), notices


def _lines(name: str, text: bytes) -> tuple[str, str]:
    """The first two lines that are not empty, whatever ends a line."""
    head = text[: 2 * _HEADER].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = [line for line in head.decode(errors="replace").split("\n") if line.strip()]
    if len(lines[0]) > _HEADER:
        raise ValueError(f"{name} is no table: its first line has more than {_HEADER:,} characters")
    return lines[0], lines[1] if len(lines) > 1 else ""


def parquet(name: str, payload: bytes) -> dict[str, np.ndarray]:
    """The columns of a Parquet table."""
    import pandas as pd
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    damaged = f"{name} is a damaged Parquet table: save it again"
    with _decoding(damaged):
        file = ParquetFile(Stream(name, payload), thrift_string_size_limit=10**7, thrift_container_size_limit=10**6)
        about, schema = file.metadata, file.schema_arrow
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
    if about.num_columns > _COLUMNS:
        raise ValueError(
            f"{name} has {about.num_columns:,} columns, but at most {_COLUMNS:,} are read: save it as .npz"
        )
    _distinct(name, schema.names)
    fits(name, max(8 * about.num_rows * about.num_columns, sum(group.total_byte_size for group in groups)))
    nested = [field.name for field in schema if types.is_nested(field.type)]
    if nested:
        raise ValueError(f"the column {shown(nested[0])} of {name} holds lists, but one number in each row is needed")
    # a text that many rows share is kept once
    texts = [
        f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type) or types.is_binary(f.type)
    ]
    with _decoding(damaged):
        file = ParquetFile(Stream(name, payload), read_dictionary=texts)
        held, frames = 0, []
        for batch in file.iter_batches(batch_size=2**16):
            spend()
            fits(name, batch.nbytes)
            held += sum((c.indices if types.is_dictionary(c.type) else c).nbytes for c in batch.columns)
            fits(name, held)
            frames.append(batch.to_pandas())
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=schema.names)
        for text in texts:
            frame[text] = frame[text].astype(object)
    return _columns(name, frame)


def _distinct(name: str, labels: Iterable[str]) -> None:
    seen: set[str] = set()
    for label in filter(None, (label.strip() for label in labels)):
        if label in seen:
            raise ValueError(f"{name} has two columns called {shown(label)}: rename one")
        seen.add(label)


def _columns(name: str, frame: "pd.DataFrame") -> dict[str, np.ndarray]:
    labels = [str(column).strip() for column in frame.columns]
    _distinct(name, labels)
    if frame.empty:
        raise ValueError(f"{name} has no rows of data")
    return {label: frame.iloc[:, i].to_numpy() for i, label in enumerate(labels)}


def _fields(name: str, line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    with _decoding(f"{name} is no table: a field has more than {comma_separated.field_size_limit():,} characters"):
        return next(comma_separated.reader([line], delimiter=separator), [])


def is_number(field: str) -> bool:
    """Whether the text reads as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


# -- pictures ----------------------------------------------------------------------------------------------------------


def picture(name: str, payload: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """(height, width, 3) uint8, and what was done to the picture to get there."""
    from PIL import Image, ImageOps

    spend()
    damaged = f"{name} is a damaged picture: save it again"
    with _decoding(f"{damaged}, with fewer pixels if it has very many"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow refuses to open bombs, and warns of half a bomb
        image = Image.open(Stream(name, payload), formats=("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"))
    if image.width * image.height > _PIXELS:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels: scale it down to {_PIXELS:,} or fewer")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{name} has more than 8 bits a channel: save it with 8")
    notices = []
    with _decoding(damaged), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = ImageOps.exif_transpose(image)
        if image.width * image.height > _KEPT_PIXELS:
            width, height = image.size
            clear = image.has_transparency_data
            image = image.convert("RGBA" if clear else "RGB").reduce(ceil(sqrt(width * height / _KEPT_PIXELS)))
            notices.append(
                f"{name} has {width} x {height} pixels, and was scaled down to {image.width} x {image.height}"
            )
        clear = image.has_transparency_data
        if clear:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            notices.append(f"{name} has transparent parts, which are laid on white")
        pixels = np.asarray(image.convert("RGB"))
    return pixels, tuple(notices)

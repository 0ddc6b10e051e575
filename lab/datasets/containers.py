"""Arrays with dimensions: netCDF, which is HDF5 or a format of its own, and zarr, by the rules of ``formats``.

Both hold descriptions that their libraries follow: to other files, to codecs that execute what they decode, to sizes that no
chunk has. Each is checked before its library is shown anything.
"""

import json
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator
from math import ceil, prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lab.inputs import LIMIT, Exceeded, Stream, cut, fits, listed, parsed, spend

from . import isolated
from .formats import MEMBERS, OBJECTS, decoding, others_of

if TYPE_CHECKING:
    import xarray as xr

type Whole = tuple[dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]], list[str], dict[str, Any]]
"""Of a Dataset the dimensions, values and attributes of each variable; which variables are coordinates; its attributes."""

_CHUNKS = 100_000  # of an array
_PIECE = 2**20

_DECODED = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "dtype")
"""The attributes that change what the numbers of a variable are; no other is read."""


@isolated.reader("h5py", "scipy.io", "xarray", "dask.array")
def netcdf(name: str, payload: bytes, wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a netCDF file (3, or 4 as HDF5), and the names of the others."""
    damaged = f"{name} is a damaged netCDF file, or none that xarray opens: save it again"
    if payload.startswith(b"\x89HDF"):
        return _hdf5(name, payload, wanted, damaged)
    from scipy.io import netcdf_file

    with decoding(damaged):  # its variables may share their bytes: the stream counts what it gives
        file = netcdf_file(Stream(name, payload), "r", mmap=False)
    keys = [str(key) for key in file.variables]
    chosen = [key for key in keys if key in set(wanted)]
    found = {}
    with decoding(damaged):
        for key in chosen:
            variable = file.variables[key]
            array = np.asarray(variable.data)
            attributes = {at: _scalar(value) for at in _DECODED if (value := getattr(variable, at, None)) is not None}
            found[key] = (array.astype(array.dtype.newbyteorder("=")), attributes)
    return _decoded(name, found, damaged), others_of(key for key in keys if key not in found)


def _hdf5(name: str, payload: bytes, wanted: Iterable[str], damaged: str) -> tuple[dict[str, np.ndarray], list[str]]:
    import h5py

    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    with decoding(damaged):
        file = h5py.File(Stream(name, payload), "r")
    with file:
        variables = check_hdf5(name, file)
        chosen = [key for key in variables if key in set(wanted)]
        with decoding(damaged):  # a type may be none of NumPy's
            objects = [key for key in chosen if variables[key].dtype.kind in "OV"]
            size = sum(variables[key].nbytes for key in chosen)
        if objects:
            raise ValueError(f"{objects[0]} in {name} holds no plain numbers")
        fits(name, size)
        with decoding(damaged):
            for key in chosen:
                spend()
                part = variables[key]
                found[key] = (part[()], {at: _attribute(part, at) for at in _DECODED if at in part.attrs})
    return _decoded(name, found, damaged), others_of(key for key in variables if key not in found)


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
    with decoding(damaged):
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
    with decoding(damaged):
        file.visititems_links(look)
        sets = {key: part for key, part in parts if isinstance(part, h5py.Dataset)}
    if outside:
        raise Exceeded(f"{cut(outside[0], 40)} in {name} lies in another file: save the numbers themselves")
    if len(parts) > MEMBERS // 10:
        raise Exceeded(f"{name} holds more than the {MEMBERS // 10:,} variables and groups that are read")
    for key, part in sets.items():
        with decoding(damaged):
            _check_chunks(f"{cut(key, 40)} in {name}", part)
    with decoding(damaged):
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


@isolated.reader("h5py", "h5netcdf.legacyapi", "xarray", "dask.array")
def whole_netcdf(name: str, file: BinaryIO) -> Whole:
    """All of an open netCDF file that the lab wrote."""
    import xarray as xr

    _check_kept(name, file)
    size = file.seek(0, 2)
    file.seek(0)
    with decoding(f"{name} is a damaged netCDF file: save it again"), xr.open_dataset(file, engine="h5netcdf") as found:
        fits(name, found.nbytes, size)  # scaled numbers are wider than those that are kept
        return _parts(found)


@isolated.reader("h5py")
def texts(name: str, file: BinaryIO, wanted: Iterable[str]) -> dict[str, str]:
    """The wanted attributes of an open netCDF file that are one text each."""
    import h5py

    with decoding(f"{name} is a damaged netCDF file: save it again"), h5py.File(file, "r") as opened:
        there = {at: _attribute(opened, at) for at in wanted if at in opened.attrs}
    return {at: value for at, value in there.items() if isinstance(value, str)}


def _parts(dataset: "xr.Dataset") -> Whole:
    variables = {
        str(key): (tuple(map(str, each.dims)), each.values, each.attrs) for key, each in dataset.variables.items()
    }
    return variables, [str(key) for key in dataset.coords], dataset.attrs


def _check_kept(name: str, file: Any) -> None:
    """Refuse an open HDF5 file whose parts unpack to more than is read, or lie elsewhere."""
    import h5py

    size = file.seek(0, 2)
    with decoding(f"{name} is a damaged netCDF file: save it again"), h5py.File(file, "r") as opened:
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


@isolated.reader("xarray", "dask.array", "zarr.storage", "zarr.codecs", "numcodecs")
def zarr(name: str, files: dict[str, bytes], wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a zarr folder, given as its files by their paths inside; and the names of the others."""
    dataset, others = _opened_zarr(name, files, set(wanted), decode_times=False)
    for key, variable in dataset.variables.items():
        if variable.dtype.kind not in "fiubc":
            raise ValueError(f"{key} in {name} holds no plain numbers")
    with decoding(f"{name} is a damaged zarr folder: save it again"):
        return {str(key): variable.to_numpy() for key, variable in dataset.variables.items()}, others_of(others)


@isolated.reader("xarray", "dask.array", "zarr.storage", "zarr.codecs", "numcodecs")
def whole_zarr(name: str, files: dict[str, bytes]) -> Whole:
    """All of a zarr folder that the lab wrote."""
    dataset = _opened_zarr(name, files, None)[0]
    with decoding(f"{name} is a damaged zarr folder: save it again"):
        return _parts(dataset)


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
            with decoding(f"{cut(path, 60)} in {name} is no JSON: save it again"):
                told[path], seen[path] = parsed(content), content
    damaged = f"{name} is a damaged zarr folder: save it again"
    with decoding(damaged):
        keys = [path.rpartition("/")[0] for path in sorted(told) if path.endswith(f"/{array}")]
        keys = [key for key in keys if not three or told[f"{key}/{array}"]["node_type"] == "array"]
        if three:  # without the copies of its members' descriptions
            root = {"zarr_format": 3, "node_type": "group", "attributes": told[group].get("attributes", {})}
            seen[group] = json.dumps(root).encode()
    others = [key for key in keys if wanted is not None and key not in wanted]
    kept, size = {path: seen[path] for path in (group, ".zattrs") if path in seen}, 0
    for key in (key for key in keys if key not in others):
        with decoding(damaged):
            described = told[f"{key}/{array}"]
            size += _check_zarr(f"{cut(key, 40)} in {name}", described, chunks.get(key, {}).values(), three)
        fits(name, size)
        kept |= {path: seen[path] for path in (f"{key}/{array}", f"{key}/.zattrs") if path in seen}
        kept |= chunks.get(key, {})
    make = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({path: make(content) for path, content in kept.items()}, read_only=True)
    with decoding(damaged), warnings.catch_warnings():
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
        raise Exceeded(f"{what} {OBJECTS}")  # that codec would execute the chunks
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

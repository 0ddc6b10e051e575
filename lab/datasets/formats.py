"""Bytes into arrays, tables and pictures: what a file is follows from its content, and nothing in it is executed.

Each function takes the name that sentences call the file by. All raise ValueError with one sentence.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from csv import reader
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

UPLOAD_LIMIT = 64 * 2**20
"""The most bytes that an upload may have, all its files together."""

UNPACKED_LIMIT = 512 * 2**20
"""The most bytes that a file may unpack to."""

_PIXELS = 50_000_000
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
    if b"\0" in payload:
        return False
    try:
        payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def mebibytes(size: int) -> str:
    """A number of bytes as sentences write it."""
    return f"{size / 2**20:.3g} MiB"


def _unpacked(name: str, size: int) -> None:
    if size > UNPACKED_LIMIT:
        raise ValueError(f"{name} unpacks to {mebibytes(size)}, but at most {mebibytes(UNPACKED_LIMIT)} are read")


# -- arrays ------------------------------------------------------------------------------------------------------------


@contextmanager
def _decoding(failure: str) -> Iterator[None]:
    """Decoders raise a dozen things on damaged files; the user gets one sentence."""
    try:
        yield
    except Exception:
        raise ValueError(failure) from None


def npy(name: str, payload: bytes) -> np.ndarray:
    """The array of a ``.npy`` file; one of Python objects is refused by its header, unread."""
    try:
        return np.lib.format.read_array(BytesIO(payload), allow_pickle=False)
    except Exception as error:
        why = _OBJECTS if "Object arrays" in str(error) else "is a damaged NumPy array: save it again"
        raise ValueError(f"{name} {why}") from None


def npz(
    name: str, payload: bytes, wanted: Iterable[str] | None = None
) -> tuple[dict[str, np.ndarray], list[str], bytes]:
    """The wanted arrays of a ``.npz`` file (None: all), the names of the others, and the member ``lab.json``."""
    damaged = f"{name} is a damaged or encrypted archive: save it again with numpy.savez"
    with _decoding(damaged):
        archive = zipfile.ZipFile(BytesIO(payload))
    with archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        keys = [member.removesuffix(".npy") for member in sizes if member.endswith(".npy")]
        if not keys:
            held = ", ".join(sorted(sizes)[:3]) + (" ..." if len(sizes) > 3 else "") if sizes else "nothing"
            raise ValueError(
                f"{name} is a zip archive without arrays or pictures, it holds {held}: save arrays with numpy.savez, or pack "
                "the pictures themselves"
            )
        chosen = keys if wanted is None else [key for key in keys if key in set(wanted)]
        about = [_ABOUT] if _ABOUT in sizes else []
        _unpacked(name, sum(sizes[member] for member in [f"{key}.npy" for key in chosen] + about))
        with _decoding(damaged):
            content = {key: archive.read(f"{key}.npy") for key in chosen}
            described = archive.read(_ABOUT) if about else b""
    arrays = {key: npy(f"{key} in {name}", member) for key, member in content.items()}
    return arrays, [key for key in keys if key not in chosen], described


def holds_pictures(payload: bytes) -> bool:
    """Whether the bytes are a zip archive of pictures, without arrays."""
    try:
        with zipfile.ZipFile(BytesIO(payload)) as archive:
            names = archive.namelist()
    except Exception:
        return False
    return any(is_picture(Path(name)) for name in names) and not any(name.endswith(".npy") for name in names)


def zipped_pictures(name: str, payload: bytes) -> list[tuple[str, bytes]]:
    """The pictures of a zip archive, read in memory; hidden files and what is no picture are left out.

    Raises:
        ValueError: a member that would leave the folder, a damaged or encrypted archive, or one that unpacks to too much.
    """
    damaged = f"{name} is a damaged or encrypted archive: pack it again"
    with _decoding(damaged):
        archive = zipfile.ZipFile(BytesIO(payload))
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        for info in members:
            parts = info.filename.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0]:
                raise ValueError(f"{name} holds {info.filename!r}, a path that leaves its folder: pack it again")
        chosen = [
            info
            for info in sorted(members, key=lambda info: info.filename)
            if is_picture(Path(info.filename))
            and not any(part.startswith((".", "__MACOSX")) for part in info.filename.split("/"))
        ]
        _unpacked(name, sum(info.file_size for info in chosen))  # no more than these are read, whatever comes out
        with _decoding(damaged):
            return [(f"{info.filename} in {name}", archive.read(info)) for info in chosen]


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


def netcdf(name: str, payload: bytes, wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a netCDF file (3, or 4 as HDF5), and the names of the others."""
    import xarray as xr

    hdf5 = payload.startswith(b"\x89HDF")
    if hdf5:
        _only_inside(name, BytesIO(payload))
    with _decoding(f"{name} is a damaged netCDF file, or none that xarray opens: save it again"):
        dataset = xr.open_dataset(BytesIO(payload), engine="h5netcdf" if hdf5 else "scipy", decode_times=False)
    with dataset:
        return _variables(name, dataset, wanted)


def inside(path: Path) -> None:
    """Refuse a zarr folder or HDF5 file that would have its reader execute a pickle or open other files."""
    if path.is_dir():
        _no_pickles(path)
    elif path.is_file():
        with path.open("rb") as file:
            if file.read(4) == b"\x89HDF":
                _only_inside(path.name, file)


def _only_inside(name: str, source: IO[bytes]) -> None:
    """Refuse an HDF5 file with parts that lie in other files: an upload must not read the disk of the server."""
    import h5py

    outside = []

    def look(key: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(key)
        elif isinstance(link, h5py.HardLink) and isinstance(part := file[key], h5py.Dataset):
            outside.extend([key] if part.external or part.is_virtual else [])

    with _decoding(f"{name} is a damaged netCDF file: save it again"), h5py.File(source, "r") as file:
        file.visititems_links(look)
    if outside:
        raise ValueError(f"{outside[0]} in {name} lies in another file: save the numbers themselves")


def zarr(path: Path, wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted variables of a zarr folder, and the names of the others."""
    import xarray as xr

    _no_pickles(path)
    with _decoding(f"{path.name} is a damaged zarr folder, or none that xarray opens: save it again"):
        dataset = xr.open_zarr(path, decode_times=False, consolidated=False)
    with dataset:
        return _variables(path.name, dataset, wanted)


def _no_pickles(path: Path) -> None:
    for place in path.rglob("*"):
        if place.name in (".zarray", ".zgroup", ".zmetadata", "zarr.json") and _names_pickle(place):
            raise ValueError(f"{path.name} {_OBJECTS}")  # a pickle codec would execute the chunks


def _names_pickle(place: Path) -> bool:
    def within(part: Any) -> bool:
        if isinstance(part, dict):
            return any(within(value) for value in part.values())
        if isinstance(part, list):
            return any(within(value) for value in part)
        return isinstance(part, str) and "pickle" in part.lower()

    try:
        return within(json.loads(place.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return True  # what cannot be looked into is not opened


def _variables(name: str, dataset: "xr.Dataset", wanted: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    keys = [str(key) for key in dataset.variables]
    chosen = [key for key in keys if key in set(wanted)]
    for key in chosen:
        if dataset[key].dtype.kind == "O":
            raise ValueError(f"{key} in {name} holds no plain numbers")
    _unpacked(name, sum(dataset[key].nbytes for key in chosen))
    with _decoding(f"{name} is damaged: save it again"):
        arrays = {key: dataset[key].to_numpy() for key in chosen}
    return arrays, [key for key in keys if key not in chosen]


# -- tables ------------------------------------------------------------------------------------------------------------


def csv(name: str, payload: bytes) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The columns of comma, semicolon, tab or space separated text, and a notice where it has no header.

    The first line is a header unless all of it are numbers.
    """
    import pandas as pd

    text = payload.decode("utf-8-sig").lstrip()
    first, second = (*islice(filter(str.strip, StringIO(text)), 2), "")[:2]
    separator = max(",;\t", key=first.count)
    separator = separator if separator in first else r"\s+"
    fields = _fields(first, separator)
    if len(_fields(second, separator)) > len(fields):  # pandas would take the first column for an index
        raise ValueError(f"{name} has lines with more fields than its header")
    headless = all(is_number(field) for field in fields)
    precision: Any = "round_trip"  # which the stubs of pandas do not know
    with _decoding(f"{name} is no table: its lines have different numbers of fields"):
        frame = pd.read_csv(
            StringIO(text), sep=separator, header=None if headless else 0, skipinitialspace=True, float_precision=precision
        )  # fmt: skip
    if headless:
        frame.columns = [f"column {i}" for i in range(1, frame.shape[1] + 1)]
    notices = (f"{name} has no header: its first line of numbers is a point like the others",) if headless else ()
    return _columns(name, frame), notices


def parquet(name: str, payload: bytes) -> dict[str, np.ndarray]:
    """The columns of a Parquet table."""
    from pyarrow.parquet import ParquetFile

    damaged = f"{name} is a damaged Parquet table: save it again"
    with _decoding(damaged):
        file = ParquetFile(BytesIO(payload))
    _unpacked(name, 8 * file.metadata.num_rows * file.metadata.num_columns)
    with _decoding(damaged):
        frame = file.read().to_pandas()
    return _columns(name, frame)


def _columns(name: str, frame: "pd.DataFrame") -> dict[str, np.ndarray]:
    labels = [str(column).strip() for column in frame.columns]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"{name} has two columns called {twice!r}: rename one")
    if frame.empty:
        raise ValueError(f"{name} has no rows of data")
    return {label: frame.iloc[:, i].to_numpy() for i, label in enumerate(labels)}


def _fields(line: str, separator: str) -> list[str]:
    return line.split() if separator == r"\s+" else next(reader([line], delimiter=separator), [])


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

    damaged = f"{name} is a damaged picture: save it again"
    with _decoding(f"{damaged}, with fewer pixels if it has very many"):  # Pillow refuses to open bombs
        image = Image.open(BytesIO(payload), formats=("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"))
    if image.width * image.height > _PIXELS:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels: scale it down to {_PIXELS:,} or fewer")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{name} has more than 8 bits a channel: save it with 8")
    with _decoding(damaged):
        image = ImageOps.exif_transpose(image)
        clear = image.has_transparency_data
        if clear:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        pixels = np.asarray(image.convert("RGB"))
    return pixels, (f"{name} has transparent parts, which are laid on white",) if clear else ()

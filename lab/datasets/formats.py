"""Bytes into arrays, tables and pictures: what a file is follows from its content, and nothing in it is executed.

Each function takes the name that sentences call the file by. All raise ValueError with one sentence. Nothing is believed that
a file says of its own size: what is unpacked is counted while it comes, or found out from the pieces before a library that
can't be stopped gets them.
"""

import codecs
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from math import ceil, prod, sqrt
from pathlib import Path

import numpy as np

from lab.inputs import Exceeded, Stream, cut, fits, listed, mebibytes, shown, spend

from . import isolated

UPLOAD_LIMIT = 64 * 2**20
"""The most bytes that an upload may have, all its files together."""

MEMBERS = 100_000
"""The most members of an archive or folder."""

_ABOUT_LIMIT = 4 * 2**20  # bytes of lab.json
_PIXELS = 50_000_000  # that are decoded
_KEPT_PIXELS = 4_000_000  # that are kept of them
_PIECE = 2**20
_SUFFIXES = {
    "npy": (".npy",),
    "npz": (".npz",),
    "parquet": (".parquet", ".pq"),
    "feather": (".feather", ".arrow", ".ipc"),
    "netcdf": (".nc", ".nc4", ".netcdf", ".h5", ".hdf5"),
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    "table": (".csv", ".tsv", ".txt"),
}
_NAMES = {
    "npy": "a NumPy array (.npy)",
    "npz": "a zip archive (.npz)",
    "parquet": "a Parquet table",
    "feather": "a Feather table",
    "netcdf": "a netCDF file",
    "image": "a picture",
    "table": "text",
}
TAKEN = ".npz, .npy, .csv, .parquet, .feather, .nc, .zarr or pictures"
OBJECTS = "holds Python objects, which are never loaded: save plain numbers"


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
        b"ARROW1\x00\x00": "feather",
        b"FEA1": "feather",
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
    if Path(name).suffix.lower() in _SUFFIXES["table"]:
        raise ValueError(f"{name} is no UTF-8 text: save it as such (in Excel: CSV UTF-8)")
    suffix = Path(name).suffix.lower()
    if any(suffix in taken for taken in _SUFFIXES.values()):
        raise ValueError(f"{name} is no {suffix} file inside: it is damaged, or has another's ending")
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
def decoding(failure: str) -> Iterator[None]:
    """Decoders raise a dozen things on damaged files; the user gets one sentence."""
    try:
        yield
    except (Exceeded, MemoryError):
        raise
    except Exception:
        raise ValueError(failure) from None


@isolated.reader()
def npy(name: str, payload: bytes) -> np.ndarray:
    """The array of a ``.npy`` file, read-only, where its bytes lie; one of Python objects is refused by its header, unread."""
    header = BytesIO(payload)
    with decoding(f"{name} is a damaged NumPy array: save it again"):
        version = np.lib.format.read_magic(header)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(header)
    if dtype.hasobject:
        raise ValueError(f"{name} {OBJECTS}")
    there = len(payload) - header.tell()
    if min(shape, default=1) < 0 or prod(shape) * dtype.itemsize > there:
        raise ValueError(f"{name} is a damaged NumPy array, it has fewer numbers than it says: save it again")
    with decoding(f"{name} is a damaged NumPy array: save it again"):
        count = prod(shape)
        flat = np.frombuffer(payload, dtype, count, header.tell()) if count else np.empty(0, dtype)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


@contextmanager
def _archive(name: str, payload: bytes, failure: str) -> Iterator[zipfile.ZipFile]:
    if payload.count(b"PK\x01\x02") > MEMBERS:  # before an object is made for each
        raise ValueError(f"{name} holds more than the {MEMBERS:,} members that are read")
    with decoding(failure):
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


def others_of(names: Iterable[str], most: int = 8) -> list[str]:
    """Names as sentences list them: those of no use are many in some files, and long in others."""
    every = [cut(name, 40) for name in names]
    return every if len(every) <= most else [*every[: most - 1], f"{len(every) - most + 1:,} more"]


@isolated.reader()
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
        with decoding(damaged):
            content = {key: _member(archive, f"{key}.npy") for key in chosen}
            described = _member(archive, _ABOUT) if about else b""
    arrays = {key: npy(f"{cut(key, 40)} in {name}", member) for key, member in content.items()}
    return arrays, others_of(key for key in keys if among is not None and key not in among), described


@isolated.reader()
def holds_pictures(payload: bytes) -> bool:
    """Whether the bytes are a zip archive of pictures, without arrays."""
    try:
        with _archive("", payload, "") as archive:
            names = archive.namelist()
    except ValueError:
        return False
    return any(is_picture(Path(name)) for name in names) and not any(name.endswith(".npy") for name in names)


@isolated.reader()
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
        with decoding(damaged):
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


# -- pictures ----------------------------------------------------------------------------------------------------------


@isolated.reader("PIL.ImageOps", *(f"PIL.{kind}ImagePlugin" for kind in ("Png", "Jpeg", "Bmp", "Gif", "Tiff", "WebP")))
def picture(name: str, payload: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """(height, width, 3) uint8, and what was done to the picture to get there."""
    from PIL import Image, ImageOps

    spend()
    damaged = f"{name} is a damaged picture: save it again"
    with decoding(f"{damaged}, with fewer pixels if it has very many"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow refuses to open bombs, and warns of half a bomb
        image = Image.open(Stream(name, payload), formats=("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"))
    if image.width * image.height > _PIXELS:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels: scale it down to {_PIXELS:,} or fewer")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{name} has more than 8 bits a channel: save it with 8")
    notices = []
    with decoding(damaged), warnings.catch_warnings():
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

"""Bad files, made in memory: damaged ones, ones that lie about their size, bombs; the same in each run."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def npz(**arrays: Any) -> bytes:
    """An archive as NumPy writes it."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    """An array as NumPy writes it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def packed(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def lying(archive: bytes, size: int) -> bytes:
    """The archive with another unpacked size in all of its headers."""
    out = bytearray(archive)
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = out.find(signature)
        while place >= 0:
            out[place + at : place + at + 4] = struct.pack("<I", size)
            place = out.find(signature, place + 4)
    return bytes(out)


def header(shape: str, descr: str = "'<f8'") -> bytes:
    """The head of a .npy file alone."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def picture(kind: str, side: int = 20) -> bytes:
    """A good picture."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


def good() -> dict[str, bytes]:
    """A file of each format that would be taken, or nearly."""
    import pandas as pd
    import xarray as xr

    cost = np.arange(600.0).reshape(20, 30)
    table = pd.DataFrame({"u": np.arange(40.0), "v": np.arange(40.0) ** 2, "side": ["a", "b"] * 20})
    parquet = io.BytesIO()
    table.to_parquet(parquet)
    dataset = xr.Dataset({"cost": (("i", "j"), cost)})
    return {
        "npz": npz(cost=cost),
        "npy": npy(cost),
        "csv": table.to_csv(index=False).encode(),
        "parquet": parquet.getvalue(),
        "nc": bytes(dataset.to_netcdf(engine="h5netcdf", encoding={"cost": {"zlib": True}})),
        "nc3.nc": bytes(dataset.to_netcdf(engine="scipy")),
    } | {kind: picture(kind) for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff")}


def files(quick: bool) -> Iterator[tuple[str, bytes]]:
    """Damaged files, lies and bombs."""
    whole = good()
    for kind, payload in whole.items():
        name = f"f.{kind}"
        for share in (0.1, 0.3, 0.6, 0.9):  # a table that is cut may still be one: its side goes too
            yield f"cut{share}.{kind}", payload[: int(len(payload) * share)].replace(b"side", b"hide")
        yield f"head.{kind}", payload[:9] + bytes(len(payload) - 9)
        yield f"tail.{kind}", payload[: len(payload) // 3] + b"\xff" * (len(payload) - len(payload) // 3)
        other = "npz" if kind != "npz" else "png"
        yield f"{name}.{other}" if other != kind else name, payload
        yield f"empty.{kind}", b""
        yield f"white.{kind}", b" \n\r\n\t"
    yield "long" * 50 + ".npz", npz(weights=np.ones(2))
    yield "cr.csv", b"x,x,side\r1,2,a\r3,4,b\r"
    yield "field.csv", b"x," + b"y" * 200_000 + b"\n1,2\n"
    yield "wide.csv", ",".join(f"c{i}" for i in range(10**6)).encode() + b"\n1,2\n"
    yield "ragged.csv", b"x,y\n1,2\n1,2,3\n"
    yield "quote.csv", b'x,"y\n1,2\n' * 5
    yield "twice.csv", b"x,x,side\n1,2,a\n3,4,b\n"
    yield "text.csv", b"x,side\n" + b"z" * 10_000 + b",a\n1,b\n"
    yield "names.csv", b"x" * 50_000 + b",side\nq,a\n1,b\n"
    yield "line.csv", b"1" * 3_000_000
    yield "nul.csv", b"x,y\n1,\0\n"
    yield "latin.csv", "é,side\n1,a\n".encode("latin-1")
    yield "utf16.csv", "x,side\n1,a\n2,b\n".encode("utf-16")
    for text in ("(10**12,)", "(1000000000000,)", "(-1,)", "(2, -3)", "(1.5,)", "'x'", "(" * 200):
        yield "shape.npy", header(text) + bytes(16)
        yield "member.npz", packed({"cost.npy": header(text) + bytes(16)})
    yield "object.npy", header("(1,)", "'|O'") + b"\x80\x04N."
    yield "void.npy", header("(1,)", "'|V999999999999'")
    yield "length.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{"
    yield "members.npz", packed({f"{i:060d}": b"" for i in range(60_000)}, zipfile.ZIP_STORED)
    yield "many.npz", packed({f"{i:060d}.npy": b"" for i in range(20_000)}, zipfile.ZIP_STORED)
    yield "too-many.npz", packed({f"{i}": b"" for i in range(110_000)}, zipfile.ZIP_STORED)
    yield "out.zip", packed({"../a.png": b"x"})
    yield "bz2.npz", packed({"cost.npy": npy(np.ones((3, 3)))}, zipfile.ZIP_BZIP2)
    yield "about.npz", packed({"a.npy": npy(np.ones(3)), "lab.json": b" " * (300 * 2**20 if not quick else 6 * 2**20)})
    yield "json.npz", packed({"a.npy": npy(np.ones(3)), "lab.json": b"[" * 100_000})
    yield "numbers.npz", packed({"a.npy": npy(np.ones(3)), "lab.json": b'{"axes": ' + b"9" * 9999 + b"}"})
    big = 64 * 2**20 if quick else 1800 * 2**20
    bomb = packed({"cost.npy": header("(8, 8)") + bytes(big)})
    yield "small.npz", lying(bomb, 600)
    yield "large.npz", lying(packed({"cost.npy": npy(np.ones((4, 4)))}), 2**31 - 1)
    yield from hdf5_files(quick)
    yield from parquet_files(quick)
    side = 2_000 if quick else 7_000
    yield "large.png", _png(side, side)
    yield "bomb.png", _png(60_000, 60_000)
    yield "text.png", _png(9, 9, b"zTXt" + b"a\0\0" + zlib.compress(bytes(10**8 if not quick else 10**6)))


def _png(width: int, height: int, chunk: bytes = b"") -> bytes:
    def piece(content: bytes) -> bytes:
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

    head = piece(b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    row = b"\0" + bytes(3 * width)
    pack = zlib.compressobj(1)
    rows = min(height, 8_000)
    body = b"".join([*(pack.compress(row) for _ in range(rows)), pack.flush()])
    extra = piece(chunk) if chunk else b""
    return b"\x89PNG\r\n\x1a\n" + head + extra + piece(b"IDAT" + body) + piece(b"IEND")


def hdf5_files(quick: bool) -> Iterator[tuple[str, bytes]]:
    """HDF5 files that lie in others, unpack to more than they say, or have parts without number."""
    import h5py

    def made(fill: Callable[[Any], None]) -> bytes:
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            fill(file)
        return stream.getvalue()

    def lies(file: Any) -> None:
        part = file.create_dataset("cost", (8, 8), "f8", chunks=(8, 8), compression="gzip")
        part.id.write_direct_chunk((0, 0), zlib.compress(bytes(10**7 if quick else 10**9), 1))

    def groups(file: Any) -> None:
        for i in range(11_000):
            file.create_group(str(i))

    def text(file: Any) -> None:
        file["cost"] = ["a", "b"]

    def linked(file: Any) -> None:
        file["cost"] = h5py.ExternalLink("/etc/passwd", "cost")

    def outside(file: Any) -> None:
        file.create_dataset("cost", (2, 2), "u1", external=[("/etc/passwd", 0, 4)])

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "cost", (2, 2))
        file.create_virtual_dataset("cost", layout)

    def huge(file: Any) -> None:
        file.create_dataset("cost", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")

    def crumbs(file: Any) -> None:
        file.create_dataset("cost", (4000, 4000), "f8", chunks=(1, 1), compression="gzip")

    def loop(file: Any) -> None:
        file["group/again"] = file["/"]

    for fill in (lies, groups, text, linked, outside, virtual, huge, crumbs, loop):
        yield f"{fill.__name__}.nc", made(fill)


def parquet_files(quick: bool) -> Iterator[tuple[str, bytes]]:
    """Parquet tables that are small as files and large as tables."""
    import pyarrow as pa
    from pyarrow import parquet

    def made(columns: dict[str, Any]) -> bytes:
        stream = io.BytesIO()
        parquet.write_table(pa.table(columns), stream, compression="zstd")
        return stream.getvalue()

    rows = 10**5 if quick else 10**8
    yield "rows.parquet", made({"x": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [1.0])})
    yield "texts.parquet", made({"x": pa.DictionaryArray.from_arrays(np.zeros(10**5, np.int32), ["y" * 10**5])})
    yield "lists.parquet", made({"x": [[1.0, 2.0]], "side": ["a"]})
    yield "columns.parquet", made({f"c{i}": [1.0] for i in range(11_000)})
    two = io.BytesIO()
    parquet.write_table(pa.table([[1.0], [2.0]], names=["x", "x"]), two)
    yield "twice.parquet", two.getvalue()


def figures(quick: bool) -> Iterator[tuple[str, bytes]]:
    """Figures whose recipe is a bomb, damaged or none."""
    many = 10**6 if quick else 10**8
    png = _png(9, 9)
    for name, text in (
        ("none", b""),
        ("broken", b"{"),
        ("deep", b"[" * 10**6),
        ("many", b"[" + b"[]," * (2 * 10**6) + b"0]"),
        ("list", b"[]"),
        ("digits", b'{"study": ' + b"9" * 9999 + b"}"),
        ("other", b'{"study": "' + b"x" * 10**5 + b'", "figure": {"picture": "plan"}}'),
        ("bomb", bytes(many)),
    ):
        body = b"iTXtlab-recipe\0\x01\0\0\0" + zlib.compress(text)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        yield f"{name}.png", png[:33] + chunk + png[33:]
        if name != "bomb":
            inside = text.decode()
            yield (
                f"{name}.svg",
                (
                    f'<svg xmlns="http://www.w3.org/2000/svg"><metadata id="lab-recipe">{inside}</metadata></svg>'.encode()
                ),
            )
            yield (
                f"{name}.mp4",
                b"\0\0\0\x10ftypisomisom" + struct.pack(">I", 24 + len(text)) + b"uuidtransport-lab\0\0\0" + text,
            )
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    yield "laughs.svg", f'<!DOCTYPE svg [<!ENTITY a0 "ha">{laughs}]><svg>&a11;</svg>'.encode()
    yield "laughs16.svg", f"<!DOCTYPE svg [{laughs}]><svg>&a11;</svg><!--\u733c\u6776-->".encode("utf-16")
    yield "elements.svg", b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<a/>" * (many // 50) + b"</svg>"
    yield "boxes.mp4", b"\0\0\0\x10ftypisomisom" + b"\0\0\0\x08free" * (many // 100)
    yield "chunks.png", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * (many // 100)
    yield "cut.gif", picture("gif")[:40]
    yield "plain.gif", picture("gif")
    yield "head.pdf", b"%PDF-1.7\n" + b"1 0 obj\n" * 1000
    stream = zlib.compress(b"1 0 " * (many // 4))
    yield (
        "objects.pdf",
        (
            b"%PDF-1.7\n1 0 obj\n<</Type/ObjStm/N 9999999/First 9/Filter/FlateDecode/Length "
            + str(len(stream)).encode()
            + b">>\nstream\n"
            + stream
            + b"\nendstream\nendobj\ntrailer\n<</Root 2 0 R/Size 3>>\nstartxref\n0\n%%EOF"
        ),
    )

"""Bad inputs to every face: formats and their damages, options and odd values, links and uploads.

Each must be refused in one sentence of at most 300 characters (a link: moved into range with a notice of that length), without a
traceback, within seconds and without filling the memory. Prints a line for each fault, then the figures.
"""  # noqa: E501

import argparse
import contextlib
import io
import json
import os
import resource
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import SENTENCE

_SECONDS = 75.0  # the minute that readers allow themselves, and what a decoder takes to look at the clock
_MEBIBYTES = 2048.0  # above what the process has before


class Case(NamedTuple):
    """One bad input: where it goes, its name in a list, and the call that returns what the face says."""

    face: str
    name: str
    ask: Callable[[], str]


class Answer(NamedTuple):
    """What a face said, or the fault that it showed."""

    said: str
    fault: str
    seconds: float
    mebibytes: float


def options(parser: argparse.ArgumentParser) -> None:
    """What can be asked of this part."""
    parser.add_argument("--quick", action="store_true", help="leave out what takes more than a second")
    parser.add_argument("--face", choices=("command", "notebook", "link", "upload"), help="only this face")


def main(arguments: argparse.Namespace) -> int:
    """Ask every case, print the figures, return the number of faults."""
    from lab.home import start

    start()
    answers: list[tuple[Case, Answer]] = []
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = str(Path(folder, "home"))
        os.chdir(folder)
        try:
            for case in cases(Path(folder), arguments.quick):
                if arguments.face in (None, case.face):
                    answers.append((case, answer(case)))
                    if answers[-1][1].fault:
                        print(f"FAULT {case.face:<9} {case.name}: {answers[-1][1].fault}", flush=True)
        finally:
            os.chdir(before)
    if not answers:
        print("no case was asked")
        return 1
    faults = sum(bool(told.fault) for _, told in answers)
    for face in dict.fromkeys(case.face for case, _ in answers):
        print(f"{face:<9} {sum(case.face == face for case, _ in answers)} inputs")
    for word, unit, key in (
        ("longest sentence", "characters", lambda told: len(told.said)),
        ("slowest", "s", lambda told: told.seconds),
        ("largest memory", "MiB", lambda told: told.mebibytes),
    ):
        case, told = max(answers, key=lambda pair: key(pair[1]))
        print(f"{word}: {key(told):.3g} {unit} ({case.face}, {case.name})")
    print(f"{len(answers)} bad inputs, {faults} faults")
    return faults


def answer(case: Case) -> Answer:
    """Ask one case, and judge what came."""
    began, held = time.monotonic(), _peak(reset=True)
    said, fault = "", ""
    try:
        said = case.ask()
        if not said:
            fault = "taken without a word"
        elif "\n" in said or len(said) > SENTENCE:
            fault = f"no sentence: {len(said)} characters, {said[:80]!r}"
        elif "Traceback" in said or "[Errno" in said or "something went wrong" in said:
            fault = said
    except Exception as problem:
        fault = f"{type(problem).__name__}: {str(problem)[:200]}"
    seconds, grown = time.monotonic() - began, _peak() - held
    if seconds > _SECONDS or grown > _MEBIBYTES:
        fault = fault or f"took {seconds:.3g} s and {grown:.4g} MiB"
    return Answer(said, fault, seconds, grown)


def _peak(reset: bool = False) -> float:
    """The most MiB that the process has held: since the last reset, where Linux keeps count."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- the faces ---------------------------------------------------------------------------------------------------------


def command(*words: str) -> str:
    """What ``lab`` says on the error stream; raises where it does not end with 2."""
    from lab.cli import main as lab

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = lab(list(words))
    if code != 2:
        raise AssertionError(f"exit {code}, {out.getvalue()[-80:]!r}")
    return err.getvalue().removesuffix("\n")


def notebook(call: Callable[[], Any]) -> str:
    """The sentence that a call in a notebook raises."""
    try:
        call()
    except (ValueError, TypeError) as refusal:
        return str(refusal)
    return ""


def link(query: dict[str, str]) -> str:
    """The longest notice, or the error, of a page that is opened by a link."""
    from lab.app.session import Session
    from lab.studies import SparseOT

    session = Session(SparseOT)
    session.from_query(query)
    return max([*session.notices, session.error], key=len)


def upload(name: str, payload: bytes) -> str:
    """What a page says of a dropped file."""
    from lab.app.session import Session
    from lab.app.upload import Upload
    from lab.studies import SparseOT

    drop = Upload(Session(SparseOT))
    drop.take({name: payload})
    patience = time.monotonic() + _SECONDS
    while (state := json.loads(drop.state))["says"].startswith("Reading") and time.monotonic() < patience:
        time.sleep(0.01)
    return state["says"] if state["wrong"] else ""


# -- the inputs --------------------------------------------------------------------------------------------------------


def cases(folder: Path, quick: bool) -> Iterator[Case]:
    """All bad inputs, the same in each run."""
    for name, payload in files(quick):
        Path(folder, name).write_bytes(payload)
        yield Case("command", name, lambda name=name: command("run", "sparse-ot", "--data", name))
        yield Case("notebook", name, lambda name=name: notebook(lambda: _read(name)))
        if len(payload) < 64 * 2**20:
            yield Case("upload", name, lambda name=name, payload=payload: upload(name, payload))
        Path(folder, name).unlink()
    yield from _places(folder)
    for name, payload in figures(quick):
        Path(folder, name).write_bytes(payload)
        yield Case("command", f"reproduce {name}", lambda name=name: command("reproduce", name))
    for words in options_and_values():
        label = " ".join(word if len(word) < 40 else f"{word[:20]}...({len(word)})" for word in words)
        yield Case("command", label, lambda words=words: command(*words))
    for key, value in odd_values():
        yield Case(
            "notebook", f"{key} = {type(value)!s}", lambda k=key, v=value: notebook(lambda: _study(**{k: v}).run())
        )
    for key in ("gamma", "k", "n", "seed", "regularizer", "data"):
        for text in _TEXTS:
            yield Case("link", f"{key}={text[:20]}", lambda key=key, text=text: link({key: text}))


def _read(name: str) -> Any:
    from lab import datasets

    return datasets.read(name)


def _study(**values: Any) -> Any:
    from lab.studies import SparseOT

    return SparseOT(**values)


_TEXTS = (
    "",
    " ",
    "nan",
    "inf",
    "-1e999",
    "9" * 400,
    "x" * 10_000,
    "1_000",
    "１",
    "\x1b[31m",
    "None",
    "[1]",
    "0x10",
    "1;2",
    "{}",
)


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


def _places(folder: Path) -> Iterator[Case]:
    """Paths that are no regular file, and folders."""
    import xarray as xr

    def asked(name: str) -> Iterator[Case]:
        yield Case("command", name, lambda: command("run", "sparse-ot", "--data", name))
        yield Case("notebook", name, lambda: notebook(lambda: _read(name)))
        yield Case(
            "command", f"--from {name}", lambda: command("figure", "sparse-ot:plan", "--from", name, "-o", "x.pdf")
        )
        yield Case("command", f"reproduce {name}", lambda: command("reproduce", name))

    os.mkfifo(folder / "pipe.npz")
    os.mkfifo(folder / "pipe.nc")
    (folder / "bare").mkdir()
    (folder / "locked.npz").symlink_to("locked.npz")
    for name in (
        "pipe.npz",
        "pipe.nc",
        "/dev/zero",
        "bare",
        "locked.npz",
        "missing.nc",
        "a" * 5000,
        "\0",
        "~nobody/x",
        "/etc/",
    ):
        yield from asked(name)
    dataset = xr.Dataset({"cost": (("i", "j"), np.ones((4, 4)))})
    damages: dict[str, Callable[[Path], Any]] = {
        "json": lambda place: (place / "cost" / "zarr.json").write_text("{no json"),
        "deep": lambda place: (place / "cost" / "zarr.json").write_text("[" * 10**5),
        "link": lambda place: _instead(place / "cost" / "c", lambda p: p.symlink_to("/etc")),
        "pipe": lambda place: _instead(place / "cost" / "zarr.json", os.mkfifo),
        "chunk": lambda place: (place / "cost" / "c" / "0" / "0").write_bytes(b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 40),
        "shape": lambda place: _swap(place / "cost" / "zarr.json", "shape", [10**9, 10**9]),
        "codec": lambda place: _swap(place / "cost" / "zarr.json", "codecs", [{"name": "pickle"}]),
        "own": lambda place: _swap(place / "cost" / "zarr.json", "codecs", [{"name": "bytes"}, {"name": "mine"}]),
        "crumbs": lambda place: _swap(place / "cost" / "zarr.json", "shape", [8000, 8000]),
    }
    for word, damage in damages.items():
        place = folder / f"{word}.zarr"
        dataset.to_zarr(place, consolidated=False, encoding={"cost": {"chunks": (4, 4)}})
        damage(place)
        yield from asked(place.name)


def _instead(place: Path, make: Callable[[Path], Any]) -> None:
    import shutil

    shutil.rmtree(place) if place.is_dir() else place.unlink()
    make(place)


def _swap(place: Path, key: str, value: Any) -> None:
    place.write_text(json.dumps(json.loads(place.read_text()) | {key: value}))


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


def options_and_values() -> Iterator[tuple[str, ...]]:
    """Command lines with an odd value for each option."""
    run = ("run", "sparse-ot")
    for option in ("--gamma", "--k", "--n", "--seed", "--regularizer", "--data", "--preset"):
        for text in _TEXTS:
            if (option, text) not in (("--data", " "),):
                yield *run, option, text
    sweep = ("sweep", "sparse-ot", "--dry-run", "--k", "1,2")
    for values in (
        "1,,2",
        ",1,2",
        "1:",
        ":2",
        ":",
        "1:2:log",
        "0.1:inf:4",
        "0:1:log3",
        "1:1e400:3",
        "2:1:3",
        "1:2:9" + "9" * 99,
        "1:" + "9" * 400 + ":3",
        "1," * 5000 + "x",
        "1:2:3:4",
        "nan:1:3",
        "1_0,2_0",
    ):
        yield "sweep", "sparse-ot", "--dry-run", "--gamma", values
    for option, text in (
        ("--memory", "-1"),
        ("--memory", "nan"),
        ("--memory", "0"),
        ("--memory", "inf"),
        ("--memory", "x"),
        ("--keep", ""),
        ("--keep", ","),
        ("--keep", "x" * 10_000),
        ("--on", ""),
        ("--on", "local:x"),
        ("--on", "local:-1"),
        ("--on", "y" * 5000),
        ("--workers", ""),
        ("--workers", "2"),
        ("--preset", ""),
        ("-o", "x.nc/"),
        ("-o", ""),
        ("-o", "x" * 10_000),
        ("-o", "no/such/x.nc"),
    ):
        yield *sweep, option, text
    for text in ("x.nc/", "", ".nc", "x.pdf", "/no/such/folder/x.nc", "~nobody/x.nc", "a\0.nc", "x" * 9999 + ".nc"):
        yield *run, "-o", text
    figure = ("figure", "sparse-ot:plan", "-o", "x.pdf")
    for option, text in (
        ("--width", ""),
        ("--width", "nan"),
        ("--width", "x" * 9999),
        ("--height", ""),
        ("--height", "-1"),
        ("--style", ""),
        ("--style", "s" * 9999),
        ("--frames", "0"),
        ("--frames", "-1"),
        ("--at", "nan"),
        ("--from", ""),
        ("--preset", ""),
    ):
        yield *figure, option, text
    yield "figure", "sparse-ot", "-o", "x.pdf"
    yield "figure", "sparse-ot:" + "p" * 9999, "-o", "x.pdf"
    yield "figure", ":", "-o", "x.pdf"
    yield "figure", "sparse-ot:plan"
    yield "figure", "sparse-ot:plan", "-o", "x.pdf/"
    for word in ("", "x" * 10_000, "\0", "spars-ot", "x.py", "--", "\x1b[31m"):
        yield ("run", word)
        yield ("show", word)
        yield ("sweep", word)
        yield ("reproduce", word)
        yield ("open", word, "-o", "x.nc")
        yield ("serve", word)
        if word not in ("", "--"):
            yield (word,)
    yield "open", "0", "-o", "x.nc/"
    for option, text in (
        ("--study", ""),
        ("--study", "x" * 9999),
        ("--older-than", ""),
        ("--older-than", "9" * 400 + "d"),
        ("--older-than", "x"),
        ("--larger-than", ""),
        ("--larger-than", "-1MB"),
        ("--larger-than", "y" * 9999),
    ):
        yield "runs", option, text
    yield "runs", "--all"
    yield "runs", "--remove"
    for face in ("serve", "notebook"):
        for text in ("-1", "65536", "9" * 400, "", "x"):
            yield face, "--port", text
    yield "verify", "x" * 9999, "--quick"
    yield "doctor", ""


def odd_values() -> Iterator[tuple[str, Any]]:
    """Values of other types than a parameter has."""
    for key in ("gamma", "k", "n", "seed", "regularizer", "data"):
        for value in (
            10**400,
            -(10**400),
            float("nan"),
            [1] * 10**5,
            np.ones(3),
            np.ones((1, 1)),
            {"a": 1},
            b"1" * 9999,
            object(),
            "x" * 10_000,
            lambda: 1,
            1j,
            Path("x"),
        ):
            yield key, value
    yield "x" * 10_000, 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    options(parser)
    sys.exit(1 if main(parser.parse_args()) else 0)

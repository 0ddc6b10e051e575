r"""Damaged files of each format that the lab reads: each is accepted or refused with one error message, whatever is in it.

Of each format a valid file, which must be accepted, is mutated: bits, runs of bytes, lengths and counts, blocks that are
left out, doubled or moved, the end cut off. Where a checksum or a compression would hide most changes, half of the mutations
are made inside of it. The readers decode in a child process, as for a visitor of the server; here one child reads a hundred
files, or until it ends. A crash of the child is contained and counted. Wrong are an exception that is no ValueError, an error
message that is longer than 300 characters, not printable or without the name of the file, and a reader that fails with an
exception of its parser. Slow is a file that takes longer than 20 s: its child is ended, since parsers can loop forever.

    python -m benchmarks.fuzz_files [--problems 150000] [--seed 0] [--formats png npz]
"""

import io
import json
import struct
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import Report, options
from lab import datasets, inputs
from lab.datasets import containers, figure_files, formats, isolated, meshes

COST = np.arange(30.0).reshape(5, 6)
RECIPE = {"study": "fuzz", "parameters": {"k": 2, "word": "text with spaces"}}
OUTCOMES = ("accepted", "refused", "crashed", "slow", "wrong")
PATIENCE = 20.0  # seconds of a file
_CHUNK = 100  # files that one child reads
_SEVERAL = 3  # changes of a file


class Format(NamedTuple):
    """How files of a format are made and read."""

    whole: bytes
    read: Callable[[bytes], Any]
    inner: bytes | None = None
    wrap: Callable[[bytes], bytes] = bytes  # the whole file of what is inside it


# -- valid files -------------------------------------------------------------------------------------------------------


def _saved(write: Callable[[Any], Any]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def _data(name: str, kind: str = "transport") -> Callable[[bytes], Any]:
    return lambda payload: datasets.read_bytes(name, payload, kind=kind)


def _zip(name: str, content: bytes, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    def write(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w", packing) as archive:
            archive.writestr(name, content)

    return _saved(write)


def _tables() -> dict[str, Format]:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import feather, parquet

    frame = pd.DataFrame({"side": ["source", *["target"] * 4], "u": np.arange(5) / 2, "v": np.arange(5) / 3})
    table = pa.table({**{key: frame[key].to_numpy() for key in ("u", "v")}, "side": frame["side"].tolist()})
    coded = table.set_column(2, "side", table.column("side").dictionary_encode())

    def plain(stream: io.BytesIO) -> None:
        parquet.write_table(table, stream, compression="none", use_dictionary=False)

    return {
        "csv": Format(frame.to_csv(index=False).encode(), _data("a.csv")),
        "tsv": Format(frame.to_csv(index=False, sep="\t", decimal=",").encode(), _data("a.tsv")),
        "parquet": Format(_saved(lambda s: parquet.write_table(table, s)), _data("a.parquet")),
        "parquet-plain": Format(_saved(plain), _data("a.parquet")),
        "feather": Format(_saved(lambda s: feather.write_feather(coded, s)), _data("a.feather")),
        "feather-plain": Format(
            _saved(lambda s: feather.write_feather(table, s, compression="uncompressed")), _data("a.feather")
        ),
        "feather-dictionary": Format(
            _saved(lambda s: feather.write_feather(coded, s, compression="uncompressed")), _data("a.feather")
        ),
    }


def _arrays() -> dict[str, Format]:
    npy = _saved(lambda s: np.save(s, COST))
    packed = datasets.pack(datasets.load("four-atoms"))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def pack(about: bytes) -> bytes:
        def write(stream: io.BytesIO) -> None:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, content in {**members, "lab.json": about}.items():
                    archive.writestr(name, content)

        return _saved(write)

    return {
        "npy": Format(npy, _data("a.npy")),
        "npz": Format(
            _saved(lambda s: np.savez(s, cost=COST)),
            _data("a.npz"),
            npy,
            lambda b: _zip("cost.npy", b, zipfile.ZIP_STORED),
        ),
        "npz-deflated": Format(
            _saved(lambda s: np.savez_compressed(s, cost=COST)), _data("a.npz"), npy, lambda b: _zip("cost.npy", b)
        ),
        "npz-packed": Format(packed, datasets.unpack, members["lab.json"], pack),
    }


def _containers() -> dict[str, Format]:
    import h5py
    import xarray as xr

    dataset = xr.Dataset(
        {"cost": (("i", "j"), COST, {"scale_factor": 1.0}), "a": ("i", np.full(5, 6.0)), "b": ("j", np.full(6, 5.0))},
        attrs={"recipe": json.dumps(RECIPE), "version": 3, "list": [1.0, 2.0]},
    )
    texts = dataset.assign(word=("i", np.array(["a", "bc", "", "d", "efg"], object)))

    def plain(stream: io.BytesIO) -> None:
        with h5py.File(stream, "w") as file:
            file["cost"] = COST
            file.create_dataset("a", data=np.full(5, 6.0), chunks=(2,), compression="gzip", shuffle=True)

    def netcdf(of: xr.Dataset, **options: Any) -> bytes:
        made: Any = of.to_netcdf(engine="h5netcdf", **options)
        return bytes(made)

    packed = {"cost": {"zlib": True, "shuffle": True, "chunksizes": (2, 3)}}
    made = {
        "hdf5": Format(_saved(plain), _data("a.h5")),
        "netcdf3": Format(bytes(dataset.to_netcdf(engine="scipy")), _data("a.nc")),
        "netcdf4": Format(netcdf(dataset), _data("a.nc")),
        "netcdf4-deflated": Format(netcdf(dataset, encoding=packed), _data("a.nc")),
        "netcdf4-result": Format(netcdf(texts), lambda payload: containers.whole_netcdf("a.nc", io.BytesIO(payload))),
    }
    for version in (2, 3):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (dataset if version == 2 else texts).to_zarr(folder, zarr_format=version, consolidated=False)
            files = {each.relative_to(folder).as_posix(): each for each in Path(folder).rglob("*") if each.is_file()}
            content = {key: each.read_bytes() for key, each in sorted(files.items())}
        sizes = np.cumsum([0, *map(len, content.values())])
        made[f"zarr{version}"] = Format(b"".join(content.values()), _zarr(list(content), sizes))
    return made


def _zarr(names: list[str], sizes: np.ndarray) -> Callable[[bytes], Any]:
    """Reads the files of a folder, which were put one after the other; only the last changes its length."""

    def read(payload: bytes) -> Any:
        files = {name: payload[a:b] for name, a, b in zip(names, sizes, [*sizes[1:-1], None], strict=False)}
        containers.zarr("a.zarr", files, ["cost", "a", "b"])
        return containers.whole_zarr("a.zarr", files)

    return read


def _pictures() -> dict[str, Format]:
    from PIL import Image

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    other = _saved(lambda s: image.rotate(90).save(s, "PNG"))

    def picture(name: str) -> Callable[[bytes], Any]:
        def read(payload: bytes) -> Any:
            formats.format_of(name, payload)
            return formats.picture(name, payload)

        return read

    made = {
        kind.lower(): Format(_saved(lambda s, kind=kind: image.save(s, kind)), picture(f"a.{kind.lower()}"))
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
    }
    palette, clear = image.convert("P"), image.convert("RGBA")
    made |= {
        "png-palette": Format(_saved(lambda s: palette.save(s, "PNG", transparency=3)), picture("a.png")),
        "tiff-lzw": Format(_saved(lambda s: clear.save(s, "TIFF", compression="tiff_lzw")), picture("a.tiff")),
        "tiff-jpeg": Format(_saved(lambda s: image.save(s, "TIFF", compression="jpeg")), picture("a.tiff")),
    }
    made["png"] = made["png"]._replace(inner=made["png"].whole, wrap=_sealed)
    whole = made["png-palette"].whole
    at = whole.index(b"IDAT") + 4
    rows = zlib.decompress(whole[at : at + int.from_bytes(whole[at - 8 : at - 4], "big")])

    def filtered(rows: bytes) -> bytes:
        packed = zlib.compress(rows)
        return _sealed(whole[: at - 8] + len(packed).to_bytes(4, "big") + b"IDAT" + packed + bytes(4) + whole[-12:])

    made["png-palette"] = made["png-palette"]._replace(inner=rows, wrap=filtered)

    def pictures(content: bytes) -> bytes:
        def write(stream: io.BytesIO) -> None:
            with zipfile.ZipFile(stream, "w") as archive:
                for i in range(4):
                    archive.writestr(f"{i}.png", other if i else content)

        return _saved(write)

    return made | {"zip": Format(pictures(other), _data("a.zip", "images"), other, lambda b: pictures(_sealed(b)))}


def _sealed(png: bytes) -> bytes:
    """The same chunks with the checksums that they should have."""
    found, at = bytearray(png), 8
    while at + 12 <= len(found):
        (length,) = struct.unpack(">I", found[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(found):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


def _meshes() -> dict[str, Format]:
    import trimesh

    shape = trimesh.creation.icosphere(1)

    def mesh(kind: str, **options: Any) -> Format:
        content: Any = shape.export(file_type=kind, **options)
        content = content.encode() if isinstance(content, str) else content
        ending = kind.partition("_")[0]
        return Format(content, lambda payload: meshes.read_mesh(f"a.{ending}", payload))

    found = {kind: mesh(kind) for kind in ("off", "obj", "ply", "stl", "stl_ascii")}
    return found | {"ply-text": mesh("ply", encoding="ascii")}


def _figures() -> dict[str, Format]:
    from matplotlib.figure import Figure

    from lab.figures import embed

    def read(payload: bytes) -> Any:
        with isolated.reading("a"):
            format = figure_files.format_of(payload)
            if format is None:
                raise ValueError("a is not a figure")
            text = figure_files.recipe("a", payload, format)
            if text is None:
                raise ValueError("a holds no recipe")
            try:
                return inputs.parsed(text)
            except ValueError:
                raise ValueError("a is damaged") from None  # as lab.figures.read_recipe says it

    def drawn(kind: str) -> bytes:
        figure = Figure(figsize=(1, 1))
        figure.add_subplot().plot([0, 1])
        return embed.embed(_saved(lambda s: figure.savefig(s, format=kind)), kind, RECIPE)

    from PIL import Image

    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    text = json.dumps(RECIPE).encode()
    film = struct.pack(">I", 16) + b"ftypisom" + bytes(4)
    film += struct.pack(">I", 24 + len(text)) + b"uuid" + figure_files.UUID + text
    page = f"<!doctype html><html>{embed.html_recipe(RECIPE)}</html>".encode()
    made = {f"figure-{kind}": Format(drawn(kind), read) for kind in ("pdf", "svg", "png", "eps")}
    made["figure-png"] = made["figure-png"]._replace(inner=made["figure-png"].whole, wrap=_sealed)
    made["figure-gif"] = Format(embed.moving(frames, "gif", RECIPE, 1.0), read)
    return made | {"figure-mp4": Format(film, read), "figure-html": Format(page, read)}


GROUPS = (_tables, _arrays, _containers, _pictures, _meshes, _figures)


def every_format() -> dict[str, Format]:
    """All formats by name."""
    return {name: format for group in GROUPS for name, format in group().items()}


# -- mutations ---------------------------------------------------------------------------------------------------------


def mutated(payload: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to three changes."""
    found = bytearray(payload)
    for _ in range(rng.integers(1, _SEVERAL + 1)):
        size = len(found)
        if size < 2:
            break
        at = int(rng.integers(size))
        run = int(min(rng.integers(1, 65), size - at))
        change = rng.integers(8)
        if change == 0:
            for place in rng.integers(0, size, rng.integers(1, 9)):
                found[place] ^= 1 << int(rng.integers(8))
        elif change == 1:
            found[at : at + run] = [bytes(run), b"\xff" * run, rng.bytes(run)][rng.integers(3)]
        elif change in (2, 3):
            found = _relength(found, at, rng)
        elif change == 4:
            del found[at if rng.random() < 0.5 else size - run :]
        elif change == 5:
            found[at:at] = found[at : at + run] * int(rng.integers(1, 4))
        elif change == 6:
            del found[at : at + run]
        else:
            other = int(rng.integers(size))
            found[at : at + run] = payload[other : other + run]
    return bytes(found)


def _relength(found: bytearray, at: int, rng: np.random.Generator) -> bytearray:
    """Another number where a length, a count or an offset may be, of 1 to 8 bytes, in either order, or as text."""
    digits = [i for i, byte in enumerate(found[:4096]) if chr(byte).isdigit()]
    if digits and rng.random() < 0.25:
        place = digits[rng.integers(len(digits))]
        number = (b"0", b"-1", b"99999999", b"1e999", b"nan", b"4294967297", b"9" * 30)[rng.integers(7)]
        found[place : place + 1] = number
        return found
    width = (1, 2, 4, 8)[rng.integers(4)]
    at -= at % width if rng.random() < 0.7 else 0
    order = ("little", "big")[rng.integers(2)]
    old = int.from_bytes(found[at : at + width], order)
    values = (
        0,
        1,
        2 ** (8 * width) - 1,
        2 ** (8 * width - 1) - 1,
        2 ** (8 * width - 1),
        old + 1,
        old - 1,
        2 * old,
        len(found),
    )
    new = values[rng.integers(len(values))] % 2 ** (8 * width)
    found[at : at + width] = new.to_bytes(width, order)
    return found


def drawn(format: Format, number: int, seed: int) -> bytes:
    """The mutated file of a number."""
    rng = np.random.default_rng([seed, number])
    if format.inner is not None and rng.random() < 0.5:
        return format.wrap(mutated(format.inner, rng))
    return mutated(format.whole, rng)


# -- outcomes ----------------------------------------------------------------------------------------------------------


def outcome(format: Format, payload: bytes) -> tuple[str, str]:
    """One of ``OUTCOMES``, and the error message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            format.read(payload)
    except ValueError as error:
        said = str(error)
        if "the program that reads it crashed" in said:
            return "crashed", said
        if f"takes longer than {PATIENCE:g} s" in said:
            return "slow", said
        one = len(said) <= inputs.SENTENCE and said.isprintable() and "its reader failed" not in said
        named = any(name in said for name in ("a.", "a ", "packed data", "pictures"))
        return "refused" if type(error) in (ValueError, inputs.Exceeded) and one and named else "wrong", said
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"
    return "accepted", ""


def fuzz(format: Format, problems: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How often each outcome came, and the first error messages of those that are of interest."""
    with isolated.reading("a"):
        found, said = outcome(format, format.whole)
        assert found == "accepted", said
    counted, shown = Counter[str](), []
    for first in range(0, problems, _CHUNK):
        with isolated.reading("a"):
            told = [
                (number, *outcome(format, drawn(format, number, seed)))
                for number in range(first, min(first + _CHUNK, problems))
            ]
        for number, found, said in told:
            if found == "slow":  # it, or those before it in the same child
                found, said = outcome(format, drawn(format, number, seed))
            counted[found] += 1
            if found not in ("accepted", "refused"):
                shown.append(f"{number}: {found}: {said[:240]}")
    return counted, shown


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Read the same number of mutated files of each format, print a table and the line of JSON, and return its content."""
    given = options(__doc__, argv, problems=150_000, seed=0, formats=("all",), show=5)
    report, every = Report("fuzz_files", given), every_format()
    names = list(every) if "all" in given.formats else given.formats
    each, apart = max(given.problems // len(names), 1), max(len(names) // given.problems, 1)
    inputs.PATIENCE = PATIENCE
    print(f"{'format':20}" + "".join(f"{word:>10}" for word in OUTCOMES) + "   seconds")
    for name in names[::apart]:
        began = time.monotonic()
        counted, shown = fuzz(every[name], each, given.seed)
        seconds = time.monotonic() - began
        report.row({"format": name, "problems": each}, {"lab": seconds}, **{word: counted[word] for word in OUTCOMES})
        numbers = "".join(f"{counted[word]:10d}" for word in OUTCOMES)
        print(f"{name:20}{numbers}{seconds:10.1f}", flush=True)
        for line in shown[: given.show]:
            print("   ", line)
    failed = sum(row["found"]["wrong"] for row in report.rows)
    return report.end(problems=each * len(report.rows), failed=failed)


if __name__ == "__main__":
    main()

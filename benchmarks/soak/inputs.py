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
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import SENTENCE

from .damages import figures, files

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

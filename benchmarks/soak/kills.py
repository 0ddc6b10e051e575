"""Processes of the lab killed at any moment: a sweep, a run, a figure, and the files that they write over earlier ones.

Half of the kills are aimed: the process dies before its action number so-and-so on the disk (opening, renaming, removing, a
folder made), drawn evenly from all that it does. The others come at a random moment. After each, the earlier file or the new
one must be there whole, every cell that was held must be held, with the bits that the study gives, and nothing may be
damaged; at the end the same commands must run through. Processes are forks of one that has imported the lab.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

STUDY = """
import holoviews as hv
import numpy as np
from lab.datasets import Data
from lab.studies import DataSource, Paper, Picture, Pictures, Result, Study, Whole

class Killed(Study):
    slug, title, field, kind = "killed", "Killed", "Soak", "killed"
    about = "One. Two. Three."
    paper = Paper("Nobody", "Nothing", "Nowhere", 2026)
    data_options = ()
    dims = {"point": ("point", "")}
    results = (Result("x", ("point",), "x", "numbers"), Result("mean", (), "mean", "of x", headline=True))
    pictures = Pictures(Picture("x", "X", "numbers", lambda result: hv.Curve(result.x.values[:50], "point", "x")))
    data = DataSource("killed", doc="data")
    k = Whole(1, bounds=(0, None), traced=False, doc="which numbers")

    def load(self):
        return Data("killed", "killed", "killed", {"a": np.arange(3.0)}, "made here", "CC0")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        x = np.random.default_rng(p.k).normal(size=4000)
        return {"x": x, "mean": x.mean()}
"""

_ACTIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "sqlite3.connect"}
_WARM = (  # imported before the fork; none of them starts a thread
    "lab.figures",
    "lab.cli.commands",
    "lab.cli.sweep",
    "h5netcdf",
    "zarr",
    "scipy.linalg",
    "threadpoolctl",
    "pypdf",
    "PIL.Image",
    "holoviews.plotting.mpl",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "xarray.backends.zarr",
)
_KINDS = ("run.nc", "run.zarr", "sweep.nc", "sweep.zarr", "figure.pdf", "figure.png", "figure.svg")
_SWEPT = 6  # cells of a sweep


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS, help="what the processes are at")


def main(options: argparse.Namespace) -> int:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        met, faults = kills(Path(folder), options.count, options.seed, tuple(options.kinds))
    for (kind, end), count in sorted(met.items()):
        print(f"{kind:12} {end:34} {count:6}")
    for fault in faults:
        print(f"FAULT {fault}")
    seconds = time.perf_counter() - began
    killed = sum(count for (_, end), count in met.items() if end.startswith("killed"))
    print(f"{options.count} processes, {killed} killed, {len(faults)} faults, {seconds:.0f} s")
    return len(faults)


def kills(folder: Path, count: int, seed: int, kinds: tuple[str, ...] = _KINDS) -> tuple[Counter, list[str]]:
    """How the processes ended, by what they were at; and the faults in words."""
    rng = np.random.default_rng(seed)
    (folder / "killed.py").write_text(STUDY)
    met, faults = Counter(), []
    with _Nursery(folder) as nursery:
        bench = _Bench(folder)
        whole = {}  # kind -> actions and seconds of one that is not killed
        for kind in kinds:
            ended, actions, seconds = nursery.work(bench.words(kind))
            whole[kind] = actions, seconds
            faults += [f"{kind} at first: {ended}"] * (ended != "done") + bench.look(kind)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            actions, seconds = whole[kind]
            aimed = rng.random() < 0.5
            at = int(rng.integers(actions)) if aimed else None
            after = None if aimed else float(rng.uniform(0, 1.1 * seconds))
            ended, _, _ = nursery.work(bench.words(kind), at, after)
            if ended not in ("done", "killed"):
                faults.append(f"{number}, {kind}, at {at}, after {after}: {ended}")
            how = f"{ended}, {'aimed' if aimed else 'at a random moment'}"
            met[kind, how] += 1
            faults += [f"{number}, {kind}, at {at}, after {after}: {fault}" for fault in bench.look(kind)]
        for kind in kinds:
            ended, _, _ = nursery.work(bench.words(kind))
            faults += [f"{kind} at last: {ended}"] * (ended != "done") + bench.look(kind, new=True)
        left = [path for place in (folder, folder / "home" / "store" / "batches") for path in place.glob(".lab-*")]
        faults += [f"left behind: {path}" for path in left]
    return met, faults


class _Nursery:
    """A process that has imported the lab and computed nothing; it forks those that are killed. They ignore each other."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> "_Nursery":
        down, up = os.pipe(), os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(down[1])
            os.close(up[0])
            try:
                self._serve(down[0], up[1])
            finally:
                os._exit(0)
        os.close(down[0])
        os.close(up[1])
        self._down, self._up = os.fdopen(down[1], "w"), os.fdopen(up[0])
        return self

    def __exit__(self, *problem: Any) -> None:
        self._down.close()
        os.waitpid(self._pid, 0)

    def work(self, words: list[str], at: int | None = None, after: float | None = None) -> tuple[str, int, float]:
        """How ``lab WORDS`` ended: "done", "killed" or what it said; its actions on the disk, and seconds."""
        self._down.write(json.dumps([words, at]) + "\n")
        self._down.flush()
        pid = int(self._up.readline())
        began = time.perf_counter()
        if after is not None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it is not buried before it is waited for: nobody else has that pid
        self._down.write("\n")
        self._down.flush()
        ended, actions = json.loads(self._up.readline())
        return ended, actions, time.perf_counter() - began

    def _serve(self, down: int, up: int) -> None:
        os.environ["LAB_HOME"] = str(self._folder / "home")
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        os.chdir(self._folder)
        from lab import cli

        for module in _WARM:
            import_module(module)

        asked, told = os.fdopen(down), os.fdopen(up, "w")
        for line in asked:
            words, at = json.loads(line)
            said = self._folder / "said"
            pid = os.fork()
            if not pid:
                _child(cli.main, words, at, said)
            told.write(f"{pid}\n")
            told.flush()
            asked.readline()
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                end, actions = "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}", 0
            else:
                end, actions = json.loads(said.read_text())
            told.write(json.dumps([end, actions]) + "\n")
            told.flush()


def _child(main: Any, words: list[str], at: int | None, said: Path) -> None:
    done, off = 0, False

    def act(event: str, arguments: Any) -> None:
        nonlocal done
        if event in _ACTIONS and not off:
            if at is not None and done >= at:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1

    out = io.StringIO()
    try:
        sys.addaudithook(act)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(words)
        end = "done" if code == 0 else f"exit {code}: {out.getvalue()[-500:]}"
    except BaseException as problem:
        end = f"{type(problem).__name__}: {problem}"
    off = True
    said.write_text(json.dumps([end, done]))
    os._exit(0)


class _Bench:
    """What the processes wrote, and what it should be."""

    def __init__(self, folder: Path):
        from lab import studies
        from lab.store import Store, unpack

        self.folder, self._unpack = folder, unpack
        (self.study,) = studies.load_file(folder / "killed.py")
        self.store = Store(folder / "home" / "store")
        self._held: set[str] = set()
        self._checked: set[str] = set()
        self._next = 1
        self._earlier: dict[str, int] = {}  # kind -> the k of its file
        self._now: dict[str, int] = {}  # kind -> the k of that which is being written

    def words(self, kind: str) -> list[str]:
        """A command that computes what the store does not hold, and writes it over the earlier file."""
        k = self._next
        self._next += _SWEPT
        self._now[kind] = k
        verb = kind.partition(".")[0]
        what = "killed.py:x" if verb == "figure" else "killed.py"
        value = f"{k}:{k + _SWEPT - 1}" if verb == "sweep" else f"{k}"
        return [verb, what, "--k", value, "-o", kind]

    def look(self, kind: str, new: bool = False) -> list[str]:
        """The faults: a file or a cell that is gone or is not what it was."""
        faults = []
        now = self._now[kind]
        earlier = now if new else self._earlier.get(kind, now)
        try:
            k = self._k_of(kind)
            if k not in (earlier, now):
                faults.append(f"{kind} is of k = {k}, not of {earlier} or {now}")
            self._earlier[kind] = k
        except Exception as problem:
            faults.append(f"{kind} is not whole: {type(problem).__name__}: {problem}")
        held = {key for entry in self.store.entries() for key in entry.keys}
        if lost := self._held - held:
            faults.append(f"{len(lost)} cells are lost")
        self._held = held
        for key in held - self._checked:
            run = self._unpack(self.store.read([key]), 0)
            if not np.array_equal(run.x, _numbers(json.loads(run.attrs["parameters"])["k"])):
                faults.append(f"the cell {key} has other bits")
        self._checked = held
        if self.store.damaged():
            faults.append(f"damaged: {self.store.damaged()}")
        return faults

    def _k_of(self, kind: str) -> int:
        """Which k a file is of; an exception where it is not whole."""
        import xarray as xr

        path = self.folder / kind
        if kind.startswith("figure"):
            from lab.figures.embed import read_recipe

            content = path.read_bytes()
            end = {".pdf": b"%%EOF", ".svg": b"</svg>", ".png": b"IEND\xaeB`\x82"}[path.suffix]
            assert content.rstrip().endswith(end), "it ends in the middle"
            if path.suffix == ".png":
                from PIL import Image

                Image.open(io.BytesIO(content)).load()
            return int(read_recipe(path)["parameters"]["k"])
        kept = (
            xr.open_zarr(path, consolidated=False)
            if path.suffix == ".zarr"
            else xr.open_dataset(path, engine="h5netcdf")
        )
        with kept as opened:
            result = opened.load()
        ks = result.k.values if "k" in result.dims else [json.loads(result.attrs["parameters"])["k"]]
        rows = result.x.transpose("k", ...).values if "k" in result.dims else [result.x.values]
        assert len(ks) == (_SWEPT if kind.startswith("sweep") else 1)
        for k, row in zip(ks, rows, strict=True):
            assert np.array_equal(row, _numbers(int(k))), f"other bits at k = {k}"
        return int(ks[0])


def _numbers(k: int) -> np.ndarray:
    return np.random.default_rng(k).normal(size=4000)

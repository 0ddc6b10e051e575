"""What the lab saves in compiling: draws that are counted in a row, and loops that XLA does not unroll.

    python -m benchmarks.compile draws [DRAW ...] [--turns 3] [--axes 1 2 3 4]
    python -m benchmarks.compile loops [STUDY ...] [--turns 3]

``draws`` makes each draw of ``lab.numerics.random`` and of ``jax.random`` in arrays of as many entries along one to four axes,
and prints the seconds to compile them, with the flag of ``lab.home`` and as XLA unrolls loops by itself, and to run them, and
whether all bits are the same. ``loops`` runs defaults with the flag and without: to compile is a run in an empty home less one
with the programs kept, to run is one more in that last process, for which some of the first is remembered. All are
processor seconds of new processes, one after the other and in turns, and medians; no program is kept before.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.report import Report
from lab import studies
from lab.home import start
from lab.numerics import random

SHAPES = ((1 << 16,), (256, 256), (64, 32, 32), (16, 16, 16, 16))
DRAWS = {
    "normal": lambda by, key, shape: by.normal(key, shape),
    "uniform": lambda by, key, shape: by.uniform(key, shape),
    "randint": lambda by, key, shape: by.randint(key, shape, 0, 10),
    "rademacher": lambda by, key, shape: by.rademacher(key, shape),
    "categorical": lambda by, key, shape: by.categorical(key, jnp.zeros(shape)),
}
DEFAULTS = ("optimal-boundary", "dpm-ot", "kinetic-optimal-paths")
UNROLLED = "--xla_backend_extra_options=xla_nothing"  # any such option of the user's keeps the lab from setting its own
_AGAIN = 20


def spent(run: Any) -> tuple[float, Any]:
    began = process_time()
    made = jax.block_until_ready(run())
    return process_time() - began, made


def drawn(way: str, names: Sequence[str], axes: Sequence[int]) -> dict[str, tuple]:
    """Of each draw: seconds to compile, to run, and the hash of what is drawn; in a process that has compiled before."""
    start()
    by, key, found = {"ours": random, "jax": jax.random}[way], jax.random.key(0), {}
    jax.jit(jnp.cumsum).lower(jnp.ones(3)).compile()
    for name, draw in ((name, DRAWS[name]) for name in names):
        for shape in (SHAPES[n - 1] for n in axes):
            made = jax.jit(lambda key, draw=draw, shape=shape: draw(by, key, shape)).lower(key)
            compiling, ready = spent(made.compile)
            running, numbers = spent(lambda ready=ready: [jax.block_until_ready(ready(key)) for _ in range(_AGAIN)][-1])
            found[f"{name} {len(shape)}"] = compiling, running / _AGAIN, sha256(numbers.tobytes()).hexdigest()
    return found


def started(slug: str) -> dict[str, tuple]:
    """Seconds of the first run of a default in this process, and the median of those that follow."""
    start()
    study = studies.find(slug)()
    first, *others = (spent(study.run)[0] for _ in range(6))
    return {slug: (first, median(others))}


def child(what: str, home: str, *rest: str, **more: str) -> dict[str, tuple]:
    command = [sys.executable, "-m", "benchmarks.compile", "child", what, *rest]
    environment = os.environ | {"LAB_HOME": home, "LAB_RESULTS": ""} | more
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def draws(report: Report, turns: int, names: Sequence[str] = tuple(DRAWS), axes: Sequence[int] = (1, 2, 3, 4)) -> None:
    flags, rest = {"lab": {}, "unrolled": {"XLA_FLAGS": UNROLLED}}, (*names, "--axes", *map(str, axes))
    found: dict[tuple[str, str], list[dict[str, Any]]] = {(flag, by): [] for flag in flags for by in ("jax", "ours")}
    for _ in range(turns):
        for flag, by in found:
            found[flag, by].append(child(by, os.devnull, *rest, JAX_ENABLE_COMPILATION_CACHE="0", **flags[flag]))
    ways = f"{'jax.random':>10} {'ours':>7} {'ratio':>6}{'unrolled':>12} {'ours':>7} {'ratio':>6}"
    print(f"{'draw, axes':13} {ways}{'runs in':>12} {'ours':>7}")
    for name in found["lab", "ours"][0]:
        told, compiling = f"{name:13}", {}
        for flag in flags:
            theirs, ours = (median(turn[name][0] for turn in found[flag, by]) for by in ("jax", "ours"))
            compiling[flag] = {"lab": ours, "jax.random": theirs}
            told += f" {theirs:8.3f} s {ours:5.3f} s {theirs / ours:6.1f}  "
        their, our = (1e3 * median(turn[name][1] for turn in found["lab", by]) for by in ("jax", "ours"))
        same = len({turn[name][2] for turns in found.values() for turn in turns}) == 1
        print(f"{told} {their:6.2f} ms {our:4.2f} ms   {'the same bits' if same else 'OTHER BITS'}")
        times = {"lab": our / 1e3, "jax.random": their / 1e3}
        report.row({"draw": name}, times, compile_seconds=compiling, same_bits=same)


def loops(report: Report, slugs: Sequence[str], turns: int) -> None:
    print(f"{'study':24} {'compiles':>8} {'unrolled':>8} {'less by':>8}   {'runs in':>8} {'unrolled':>8}")
    for slug in slugs:
        found: dict[str, list[tuple[float, float]]] = {"lab": [], "unrolled": []}
        for turn in range(turns):
            for way in sorted(found, reverse=bool(turn % 2)):
                with TemporaryDirectory() as home:
                    more = {"XLA_FLAGS": UNROLLED} if way == "unrolled" else {}
                    (cold, _), (kept, again) = (child(slug, home, **more)[slug] for _ in range(2))
                found[way].append((cold - kept, again))
        (ours, our), (theirs, their) = ([median(each) for each in zip(*rows, strict=True)] for rows in found.values())
        print(
            f"{slug:24} {ours:6.2f} s {theirs:6.2f} s {1 - ours / theirs:8.0%}   {our:6.2f} s {their:6.2f} s",
            flush=True,
        )
        report.row({"study": slug}, {"lab": our, "unrolled": their}, compile_seconds={"lab": ours, "unrolled": theirs})


def main(argv: list[str] | None = None) -> dict[str, Any] | None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("draws", "loops", "child"))
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="draws or studies; by default all draws and three studies"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--axes", type=int, nargs="+", choices=range(1, 5), default=(1, 2, 3, 4))
    given = parser.parse_args(argv)
    if given.what == "child":
        what, *names = given.names
        print(json.dumps(drawn(what, names, given.axes) if what in ("ours", "jax") else started(what)))
        return None
    report = Report("compile", given)
    if given.what == "draws":
        draws(report, given.turns, given.names or tuple(DRAWS), given.axes)
    else:
        loops(report, given.names or DEFAULTS, given.turns)
    return report.end()


if __name__ == "__main__":
    main()

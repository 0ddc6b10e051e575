"""Options, clocks and the final line of JSON that all benchmarks share.

The last line that a benchmark prints is one JSON object with the same keys for each: ``benchmark``, ``options``, ``rows``,
``absent`` (peers that were left out, with the reason) and ``machine``. A row has ``size`` (what distinguishes it from other
rows), ``seconds`` by name (medians without compilation), ``ratio`` (the seconds of each peer over those of ``lab``),
``compile_seconds`` (the first call minus the median) and ``found`` (errors, values and counts). A number that is not finite is
null.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import numpy as np


class Times(NamedTuple):
    """Seconds of one function, and what its last call returned."""

    first: float  # with compilation
    spent: list[float]
    result: Any

    @property
    def median(self) -> float:
        return statistics.median(self.spent)


def clocked(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and its result."""
    began = time.perf_counter()
    result = jax.block_until_ready(run())
    return time.perf_counter() - began, result


def turns(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Call each function once, which compiles it, then all of them in turn, ``repeats`` times."""
    first = {name: clocked(run) for name, run in runs.items()}
    rounds = [{name: clocked(run) for name, run in runs.items()} for _ in range(repeats)]
    return {name: Times(first[name][0], [r[name][0] for r in rounds], [first, *rounds][-1][name][1]) for name in runs}


def options(text: str | None, argv: Sequence[str] | None, **defaults: Any) -> argparse.Namespace:
    """Parse a command line: each option has the type of its default, a sequence takes several values, False is a switch."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        if default is False:
            parser.add_argument(f"--{name}", action="store_true")
        elif isinstance(default, (list, tuple)):
            parser.add_argument(f"--{name}", nargs="+", type=type(default[0]), default=default)
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args(argv)


class Report:
    """The final line of a benchmark, collected row by row.

    Args:
        benchmark: the name of the command after ``python -m benchmarks.``.
        given: the options of this run.
    """

    def __init__(self, benchmark: str, given: argparse.Namespace | None = None):
        self.absent: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []
        self._head = {"benchmark": benchmark, "options": vars(given) if given else {}}

    def row(self, size: Mapping[str, Any], times: Mapping[str, Times | float], **found: Any) -> None:
        """Add a row: times are medians where they are numbers; ``found`` holds other results."""
        seconds = {name: each.median if isinstance(each, Times) else each for name, each in times.items()}
        compiled = {name: max(t.first - t.median, 0.0) for name, t in times.items() if isinstance(t, Times)}
        lab = seconds.get("lab")
        ratio = {name: each / lab for name, each in seconds.items() if name != "lab"} if lab else {}
        row = {"size": dict(size), "seconds": seconds, "ratio": ratio, "compile_seconds": compiled, "found": found}
        self.rows.append(row)

    def has(self, peer: str, module: str) -> bool:
        """Whether a peer's module is installed; if not, the peer is reported as absent."""
        if find_spec(module) is None:
            self.absent[peer] = f"the module {module} is not installed"
        return peer not in self.absent

    def runs(self, peer: str, python: str, *modules: str) -> bool:
        """Whether another interpreter imports a peer's modules; if not, the peer is reported as absent."""
        if not python:
            self.absent[peer] = f"no --torch PYTHON, an interpreter that imports {', '.join(modules)}"
            return False
        try:
            subprocess.run([python, "-c", f"import {', '.join(modules)}"], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            lines = getattr(error, "stderr", "").strip().splitlines()
            self.absent[peer] = f"{python} does not import it: {lines[-1] if lines else error}"
        return peer not in self.absent

    def end(self, **more: Any) -> dict[str, Any]:
        """Print and return the object; ``more`` are further keys of it."""
        machine = {"cores": os.cpu_count(), "device": str(jax.devices()[0]), "python": platform.python_version()}
        machine |= {"jax": jax.__version__, "system": platform.platform()}
        line = _plain(self._head | {"rows": self.rows, "absent": self.absent, "machine": machine} | more)
        for peer, reason in self.absent.items():
            print(f"without {peer}: {reason}")
        print(json.dumps(line, allow_nan=False), flush=True)
        return line


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)

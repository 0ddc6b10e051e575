"""Laplacian spectra of many frames, all at once and by a loop over scipy; and roads that are simulated side by side.

Seconds are medians of turns that go back and forth between the ways; the first call, which compiles, is apart.

    python -m benchmarks.traffic [--frames 1000] [--agents 40] [--repeats 7]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from scipy.spatial.distance import pdist, squareform

from lab.home import start
from lab.numerics.jit import jit
from lab.traffic import graphs, simulation, spectra


@jit
def _ours(positions: Any) -> Any:
    return spectra.spectrum(graphs.laplacian(graphs.adjacency(positions)))


def _theirs(positions: np.ndarray) -> list[Any]:
    found = []
    for frame in positions:
        away = squareform(pdist(frame))
        weights = np.where((away < 10) & (away > 0), np.exp(-away), 0)
        found.append(scipy.linalg.eigh(np.diag(weights.sum(axis=1)) - weights))
    return found


def _turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Seconds of the first call, and the median of those that follow, of each."""
    first, spent = {}, {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            took = time.perf_counter() - began
            if turn:
                spent[name].append(took)
            else:
                first[name] = took
    return {name: (first[name], statistics.median(times)) for name, times in spent.items()}


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--frames", type=int, default=1000)
    told.add_argument("--agents", type=int, default=40)
    told.add_argument("--repeats", type=int, default=7)
    given = told.parse_args()
    start()
    positions = np.random.default_rng(0).uniform(0, 60, (given.frames, given.agents, 2))
    placed = jnp.asarray(positions)
    apart = np.abs(np.asarray(_ours(placed).values) - np.array([values for values, _ in _theirs(positions)])).max()
    found = _turns({"all at once": lambda: _ours(placed), "loop over scipy": lambda: _theirs(positions)}, given.repeats)
    print(f"{given.frames} frames of {given.agents} agents, eigenvalues {apart:.1g} apart")
    for name, (first, median) in found.items():
        print(f"  {name}: {median:.3f} s, at first {first:.3f} s")
    print(f"  {found['loop over scipy'][1] / found['all at once'][1]:.1f} times as quick")
    roads = _turns({"16 roads": lambda: simulation.roads(range(16), 20, 32)[0].position}, given.repeats)
    first, median = roads["16 roads"]
    print(f"16 roads of 20 agents, 16 s: {median:.3f} s, at first {first:.3f} s")


if __name__ == "__main__":
    main()

"""Laplacian spectra of many frames, all at once and by a loop over scipy; and roads that are simulated side by side.

Seconds are medians of turns that go back and forth between the ways; the first call, which compiles, is apart.

    python -m benchmarks.traffic [--frames 1000] [--agents 40] [--repeats 7]
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from scipy.spatial.distance import pdist, squareform

from benchmarks.report import Report, options, turns
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, frames=1000, agents=40, repeats=7, roads=16)
    start()
    report = Report("traffic", given)
    positions = np.random.default_rng(0).uniform(0, 60, (given.frames, given.agents, 2))
    placed = jnp.asarray(positions)
    runs = {"lab": lambda: _ours(placed), "loop over SciPy": lambda: _theirs(positions)}
    times = turns(runs, given.repeats)
    apart = np.abs(np.asarray(times["lab"].result.values) - [values for values, _ in times["loop over SciPy"].result])
    report.row({"frames": given.frames, "agents": given.agents}, times, apart=apart.max())
    print(f"{given.frames} frames of {given.agents} agents, eigenvalues {apart.max():.1g} apart")
    for name, each in times.items():
        print(f"  {name}: {each.median:.3f} s, at first {each.first:.3f} s")
    print(f"  {times['loop over SciPy'].median / times['lab'].median:.1f} times as quick")
    roads = turns({"lab": lambda: simulation.roads(range(given.roads), 20, 32)[0].position}, given.repeats)
    report.row({"roads": given.roads, "agents": 20}, roads)
    print(f"{given.roads} roads of 20 agents, 16 s: {roads['lab'].median:.3f} s, at first {roads['lab'].first:.3f} s")
    return report.end()


if __name__ == "__main__":
    main()

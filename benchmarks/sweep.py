"""A sweep of sparse-ot over k and gamma, against POT cell by cell and a loop over our own compiled solve, in one run.

    python -m benchmarks.sweep [--n 128] [--cells 256]

POT runs to its own end on the same cells (500 iterations at most); the loop and the sweep to the certified optimum. The
sweep's time includes labelling, keeping and reading back every cell; choosing the way (which compiles) is told apart.
"""

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.report import Report, options
from benchmarks.sparse_ot import pots
from lab import ot, sweeps
from lab.home import start
from lab.store import Store
from lab.studies import SparseOT


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, n=128, cells=256)
    start()
    report, n, cells = Report("sweep", given), given.n, given.cells
    side = math.isqrt(cells)
    ks, gammas = list(range(1, side + 1)), [float(g) for g in np.geomspace(1e-2, 1, cells // side)]
    study = SparseOT(n=n)
    problem = study.inputs(study.load())["problem"]
    cost, a, b = (np.asarray(part) for part in problem)
    grid = [(k, gamma) for k in ks for gamma in gammas]

    began = time.perf_counter()
    theirs = np.array([pots(cost, a, b, gamma, k)[1] for k, gamma in grid])
    pot = time.perf_counter() - began

    jax.block_until_ready(ot.solve(problem, ot.KSparse(gammas[0], ks[0])).value)  # compiles
    began = time.perf_counter()
    alone = np.array([float(ot.solve(problem, ot.KSparse(gamma, k)).value) for k, gamma in grid])
    loop = time.perf_counter() - began

    study.run()
    began = time.perf_counter()
    for k, gamma in grid:
        study.but(k=k, gamma=gamma).run()
    labelled = time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        began = time.perf_counter()
        plan = sweeps.Plan(study, {"k": ks, "gamma": gammas}, store=store)
        planned = time.perf_counter() - began
        told = str(plan)
        chosen = time.perf_counter() - began
        began = time.perf_counter()
        result = sweeps.run(plan)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        again = sweeps.run(sweeps.Plan(study, {"k": ks, "gamma": gammas}, store=store))
        held = time.perf_counter() - began
    values = result.value.values.ravel()
    assert np.allclose(values, alone, rtol=1e-6)
    assert (again.value.values == result.value.values).all()
    print(told)
    print(f"n = {n}, {len(grid)} cells, {jax.devices()[0]}")
    print(
        f"POT, cell by cell       {pot:8.2f} s   ratio {pot / ours:5.2f}   our value is the better one in "
        f"{int((values >= theirs * (1 - 1e-9)).sum())} cells"
    )
    print(f"loop over our solve     {loop:8.2f} s   ratio {loop / ours:5.2f}")
    print(f"loop over Study.run     {labelled:8.2f} s   ratio {labelled / ours:5.2f}")
    print(f"sweep                   {ours:8.2f} s   and {chosen:.1f} s to choose the way the first time")
    print(f"planner                 {planned:8.2f} s   {1e3 * planned / len(grid):.2f} ms a cell")
    print(f"asked again             {held:8.2f} s   {1e3 * held / len(grid):.1f} ms a cell")
    times = {
        "lab": ours,
        "POT": pot,
        "loop over ot.solve": loop,
        "loop over Study.run": labelled,
        "from the store": held,
    }
    report.row({"n": n, "cells": len(grid)}, times, planning=planned, choosing=chosen)
    return report.end()


if __name__ == "__main__":
    main()

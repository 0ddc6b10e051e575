"""Sparsity-constrained transport: time to reach POT's dual value, in one run on the same work.

POT solves the semi-dual by L-BFGS-B from zero (500 iterations at most, its defaults). Ours is the default method from
the potentials of the linear program, which POT's network simplex finds within the time given. Each line gives POT's time
to its end, ours to a dual value and a row error that are both as good as POT's, and to the certified optimum (medians of
the repeats; compilation apart), with their ratios; then both dual values, where larger is better, and the row errors: of
the k-sparse plans, and of our relaxed plan, which is feasible.

    python -m benchmarks.sparse_ot [--sizes 128 512] [--ks 2 8] [--repeats 5]
"""

import contextlib
import io
import time
import warnings
from typing import Any

import jax
import numpy as np

from benchmarks.report import Report, Times, options, turns
from lab import ot
from lab.home import start
from lab.numerics import NotConverged, Reason


def colours(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two clouds of n colours in the unit cube, with uneven masses, and their squared distances."""
    rng = np.random.default_rng(seed)
    x, y = rng.beta(2, 5, (n, 3)), rng.beta(4, 3, (n, 3))
    a, b = rng.dirichlet(np.full(n, 2.0)), rng.dirichlet(np.full(n, 2.0))
    return ((x[:, None] - y[None]) ** 2).sum(-1), a, b


def pots(cost: np.ndarray, a: np.ndarray, b: np.ndarray, gamma: float, k: int) -> tuple[float, float, float]:
    """Seconds, dual value and row error of POT."""
    from ot.smooth import smooth_ot_semi_dual

    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan, log = smooth_ot_semi_dual(a, b, cost, gamma, reg_type="sparsity_constrained", max_nz=k, log=True)
    seconds = time.perf_counter() - began
    value = ot.semi_dual(ot.problem(cost, a, b), ot.KSparse(gamma, np.int32(k)), jax.numpy.asarray(log["alpha"])).value
    return seconds, float(value), float(np.abs(plan.sum(axis=1) - a).sum())


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, sizes=(128, 512, 1024), ks=(2, 8), repeats=3, gamma=1.0)
    start()
    report, gamma = Report("sparse_ot", given), given.gamma
    print(f"{jax.devices()[0]}, gamma = {gamma}, median of {given.repeats}")
    print(
        "   n   k |  POT s | as good s  ratio | optimum s  ratio | POT value     optimum     | row errors | iterations"
    )
    for n in given.sizes:
        cost, a, b = colours(n)
        problem = ot.problem(cost, a, b)
        for k in given.ks:
            seconds, value, error = pots(cost, a, b, gamma, k)

            def solve(limit: int | None, k: int = k, problem: ot.Problem = problem) -> ot.Solution:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", NotConverged)  # where it is stopped on purpose
                    return ot.solve(problem, ot.KSparse(gamma, k), init="exact", max_iterations=limit)

            def ours(limit: int | None = None) -> Times:
                return turns({"lab": lambda: solve(limit)}, given.repeats)["lab"]

            best = ours()
            solution, whole = best.result, best.median
            assert float(solution.value) >= value
            trace = {name: np.asarray(rows)[: int(solution.iterations)] for name, rows in solution.trace.items()}
            good = np.flatnonzero((trace["value"] >= value) & (trace["row_error"] <= error))
            first = int(good[0]) + 1 if good.size else int(solution.iterations)
            early = min(ours(first).median, whole)
            relaxed = float(np.abs(np.asarray(solution.relaxed_plan()).sum(axis=1) - a).sum())
            print(
                f"{n:5} {k:3} | {seconds:6.2f} | {early:9.3f} {seconds / early:6.1f} | {whole:9.3f} {seconds / whole:6.1f} | "
                f"{value:.9f} {float(solution.value):.9f} | {error:.1e} {float(solution.row_error):.1e} {relaxed:.1e} | "
                f"{first} of {int(solution.iterations)}, {Reason(int(solution.reason)).name.lower()}, compiled in "
                f"{best.first - whole:.1f} s",
                flush=True,
            )
            report.row(
                {"n": n, "k": k},
                {"lab": best, "POT": seconds, "lab, as good as POT": early},
                value=solution.value,
                pot_value=value,
                row_error=solution.row_error,
                pot_row_error=error,
            )
    return report.end()


if __name__ == "__main__":
    main()

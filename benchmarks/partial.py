"""Unbalanced and partial transport: time to a plan within 1e-6 (L1) of the optimum, side by side in one process.

Costs are negative log-probabilities of n samples in k clusters. At rho = 1 (sizes relaxed, all mass) POT and OTT-JAX solve
the same problem; at rho < 1 neither takes a weight for each column, so scaling stands for them: it is the algorithm of
P2OT's authors, here in the log domain. Every solver gets the loosest of its own thresholds whose plan is within 1e-6;
times are medians over seeds, in float64, compilation apart; ranges in brackets.

    python -m benchmarks.partial [--sizes 512 2048] [--clusters 10 50] [--rhos 1 0.1] [--epsilons 0.1 0.02] [--seeds 3]
"""

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options
from lab import ot
from lab.home import start
from lab.ot import partial
from lab.ot.problem import Problem

TARGET = 1e-6
LIMIT = 100_000


def cost(n: int, k: int, seed: int) -> np.ndarray:
    """-log softmax of normal logits of scale 3."""
    logits = 3 * np.random.default_rng([seed, n, k]).normal(size=(n, k))
    return -np.asarray(jax.nn.log_softmax(jnp.asarray(logits), axis=1))


def ours(problem: Problem, epsilon: float, rho: float, lam: float, method: str) -> Callable[[float], tuple]:
    def solve(tolerance: float):
        found = partial.solve(
            problem, ot.Entropic(epsilon), rho=rho, lam=lam, method=method, tolerance=tolerance, max_iterations=LIMIT
        )
        return found.plan().block_until_ready(), int(found.iterations)

    return solve


def pots(problem: Problem, epsilon: float, lam: float) -> Callable[[float], tuple]:
    import ot as pot

    c, a, b = map(np.asarray, problem)

    def solve(threshold: float):
        plan, log = pot.sinkhorn_unbalanced(
            a, b, c, epsilon, (np.inf, lam), reg_type="entropy", numItermax=LIMIT, stopThr=threshold, log=True
        )
        return plan, len(log["err"])

    return solve


def otts(problem: Problem, epsilon: float, lam: float) -> Callable[[float], tuple]:
    from ott.geometry import geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    @jax.jit
    def run(c, a, b, threshold):
        g = geometry.Geometry(cost_matrix=c, epsilon=epsilon)
        p = linear_problem.LinearProblem(g, a, b, tau_a=1.0, tau_b=lam / (lam + epsilon))
        out = sinkhorn.Sinkhorn(threshold=threshold, max_iterations=LIMIT)(p)
        return out.matrix, out.n_iters

    def solve(threshold: float):
        plan, iterations = run(*problem, threshold)
        return plan.block_until_ready(), int(iterations)

    return solve


def measure(solve: Callable[[float], tuple], reference: np.ndarray) -> tuple[float, float, int]:
    """Seconds, error and iterations at the loosest threshold that is good enough; seconds NaN if none is."""
    for threshold in 10.0 ** -np.arange(4, 14):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan, iterations = solve(threshold)
            error = float(np.abs(np.asarray(plan) - reference).sum())
            if error <= TARGET:
                began = time.perf_counter()
                solve(threshold)
                return time.perf_counter() - began, error, iterations
    return float("nan"), error, iterations


def main(argv: list[str] | None = None) -> dict[str, Any]:
    settings = {"rhos": (1.0, 0.1), "epsilons": (0.1, 0.02)}
    given = options(__doc__, argv, sizes=(512, 2048), clusters=(10, 50), **settings, seeds=3, lam=1.0)
    start()
    report, seeds, lam = Report("partial", given), given.seeds, given.lam
    peers = {"POT": pots} if report.has("POT", "ot") else {}
    peers |= {"OTT": otts} if report.has("OTT", "ott") else {}
    print(
        f"{jax.devices()[0]}, float64, lam = {lam}, median of {seeds} seeds [range], to a plan within {TARGET:g} (L1)"
    )
    print("    n   k  rho   eps | solver         seconds [range]            ratio  iterations  error")
    for n in given.sizes:
        for k in given.clusters:
            for rho in given.rhos:
                for epsilon in given.epsilons:
                    rows: dict[str, list] = {}
                    for seed in range(seeds):
                        problem = ot.problem(cost(n, k, seed))
                        reference = np.asarray(ours(problem, epsilon, rho, lam, "newton")(1e-13)[0])
                        solvers = {name: ours(problem, epsilon, rho, lam, name) for name in ("newton", "scaling")}
                        if rho == 1:
                            solvers |= {name: make(problem, epsilon, lam) for name, make in peers.items()}
                        for name, solve in solvers.items():
                            rows.setdefault(name, []).append(measure(solve, reference))
                    base = statistics.median(row[0] for row in rows["newton"])
                    for name, found in rows.items():
                        times = [row[0] for row in found]
                        middle = statistics.median(times)
                        print(
                            f"{n:5} {k:3} {rho:4} {epsilon:5} | {name:8} {middle:12.4f} [{min(times):.4f}, {max(times):.4f}] "
                            f"{middle / base:8.1f} {int(statistics.median(row[2] for row in found)):8} "
                            f"{max(row[1] for row in found):9.1e}",
                            flush=True,
                        )
                    medians = {name: statistics.median(row[0] for row in found) for name, found in rows.items()}
                    errors = {name: max(row[1] for row in found) for name, found in rows.items()}
                    size = {"n": n, "k": k, "rho": rho, "epsilon": epsilon}
                    report.row(size, {"lab": medians.pop("newton")} | medians, error=errors)
    return report.end()


if __name__ == "__main__":
    main()

"""Entropic transport: time to the same L1 error of both marginals, side by side in one process with OTT-JAX and POT.

Two clouds, x ~ N(0, I) and y ~ 0.8 N(0, I) + 0.5, uniform masses, squared distances divided by their mean, so that epsilon
is in units of the mean cost. All in float64. Times are of warm programs: the first call, which compiles, is told apart.
Every error is recomputed from the plan, |T1 - a| + |T'1 - b|. OTT stops on the L1 error of one marginal, POT on the L2
error, which gets the tolerance over sqrt(n). A peer that needs more than the patience is told by its estimate, with ~: the
time of a few hundred iterations, times the number that plain Sinkhorn needed.

    python -m benchmarks.entropic [--sizes 256 512] [--dimensions 2 16] [--epsilons 0.05 0.01 0.002] [--seeds 3]

A peer that takes longer than ``--patience`` seconds (5) is measured once, or estimated.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, clocked, options
from lab import ot
from lab.home import start

TOLERANCE = 1e-6
LIMIT = 60_000  # iterations of the peers


def clouds(n: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 0.8 * rng.normal(size=(n, d)) + 0.5
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    return cost / cost.mean()


def error(plan: Any) -> float:
    plan = np.asarray(plan)
    return float(np.abs(plan.sum(1) - 1 / plan.shape[0]).sum() + np.abs(plan.sum(0) - 1 / plan.shape[1]).sum())


def otts() -> dict[str, Callable]:
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.acceleration import AndersonAcceleration, Momentum
    from ott.solvers.linear.sinkhorn import Sinkhorn

    common = {"threshold": TOLERANCE, "norm_error": 1, "max_iterations": LIMIT, "inner_iterations": 10}
    solvers = {
        "ott": Sinkhorn(**common),
        "ott momentum": Sinkhorn(momentum=Momentum(value=1.5, start=20), **common),
        "ott anderson": Sinkhorn(anderson=AndersonAcceleration(memory=5, refresh_every=1), **common),
    }

    def compiled(solver):
        return jax.jit(lambda cost, epsilon: solver(LinearProblem(Geometry(cost, epsilon=epsilon))))

    return {name: compiled(solver) for name, solver in solvers.items()}


def pots(cost: np.ndarray, epsilon: float, method: str, iterations: int) -> tuple[float, np.ndarray]:
    import ot as pot

    a = np.full(len(cost), 1 / len(cost))
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stop = TOLERANCE / len(cost) ** 0.5
        plan = pot.sinkhorn(a, a, cost, epsilon, method=method, stopThr=stop, numItermax=iterations)
    return time.perf_counter() - began, plan


def exact(cost: np.ndarray) -> float:
    import ot as pot

    a = np.full(len(cost), 1 / len(cost))
    return clocked(lambda: pot.emd(a, a, cost))[0]


def row(n: int, d: int, epsilon: float, seeds: int, patience: float, peers: dict[str, Callable], report: Report):
    times: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    estimated, first, notes = set(), {}, []
    slow: set[str] = set()
    plain = LIMIT
    for seed in range(1, seeds + 1):
        cost = clouds(n, d, seed)
        problem, matrix, strength = ot.problem(cost), jnp.asarray(cost), jnp.asarray(epsilon)

        def note(name, seconds, plan):
            times.setdefault(name, []).append(seconds)
            if plan is not None:
                errors.setdefault(name, []).append(error(plan))

        def ours(problem=problem):
            return ot.solve(problem, ot.Entropic(epsilon), tolerance=TOLERANCE)

        before = clocked(ours)[0]
        repeats = [clocked(ours) for _ in range(3)]
        solution = repeats[0][1]
        note("lab", statistics.median(seconds for seconds, _ in repeats), solution.plan())
        first.setdefault("lab", before)
        notes.append(
            f"{solution.method}, {int(solution.iterations)} steps" + ("" if solution.converged else " NOT CONVERGED")
        )
        for name, solve in peers.items():
            if name in slow:
                continue
            before, found = clocked(lambda solve=solve, c=matrix, e=strength: solve(c, e))
            first.setdefault(name, before)
            # a long first run is hardly compilation: it is not repeated
            seconds = before if before > patience else clocked(lambda solve=solve, c=matrix, e=strength: solve(c, e))[0]
            if before > 4 * patience:
                slow.add(name)  # one seed tells
            note(name, seconds, found.matrix)
            if name == "ott":
                plain = int(found.n_iters)
        for method in ("sinkhorn_log", "sinkhorn_stabilized"):
            few = 100
            seconds, plan = pots(cost, epsilon, method, few)
            if seconds * plain / few > patience and error(plan) > TOLERANCE:
                estimated.add(f"pot {method[9:]}")
                note(f"pot {method[9:]}", seconds * plain / few, None)
            else:
                # its stopping rule may be out of reach by rounding
                note(f"pot {method[9:]}", *pots(cost, epsilon, method, min(LIMIT, 10 * plain)))
        note("pot emd", exact(cost), None)
    base = times["lab"]
    low, middle, high = min(base), statistics.median(base), max(base)
    print(f"\nn = {n}, d = {d}, epsilon = {epsilon}: {notes[0]}")
    print(
        f"  {'lab':16} {middle:9.4f} s [{low:.4f}, {high:.4f}]  error {max(errors['lab']):.1e}  first {first['lab']:.1f} s"
    )
    for name, seconds in times.items():
        if name == "lab":
            continue
        ratios = [t / ours for t, ours in zip(seconds, base, strict=False)]
        mark = "~" if name in estimated else " "
        reached = f"error {max(errors[name]):.1e}" if name in errors else ""
        print(
            f"  {name:16}{mark}{statistics.median(seconds):9.4f} s  x {statistics.median(ratios):7.1f} "
            f"[{min(ratios):.1f}, {max(ratios):.1f}]  {reached}"
            + (f"  first {first[name]:.1f} s" if name in first else ""),
            flush=True,
        )
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    worst = {name: max(each) for name, each in errors.items()}
    size = {"n": n, "d": d, "epsilon": epsilon}
    report.row(size, medians, error=worst, first_call=first, estimated=sorted(estimated))


def main(argv: list[str] | None = None) -> dict[str, Any]:
    settings = {"sizes": (256, 512), "dimensions": (2, 16), "epsilons": (0.05, 0.01, 0.002)}
    given = options(__doc__, argv, **settings, seeds=3, patience=5.0)
    start()
    print(
        f"{jax.devices()[0]}; L1 error {TOLERANCE}; medians of {given.seeds} seeds [range]; x: how many times our time"
    )
    report = Report("entropic", given)
    peers = otts() if report.has("OTT", "ott") else {}
    for n in given.sizes:
        for d in given.dimensions:
            for epsilon in given.epsilons:
                row(n, d, epsilon, given.seeds, given.patience, peers, report)
    return report.end()


if __name__ == "__main__":
    main()

r"""Random small problems over all doors of ``lab.ot``: how many converge, and whether any says so and has not.

Epsilon is 1 to 1e-4 of the mean cost (of the quadratic and the k-sparse regularizer, gamma times the mass). Costs are squared
and plain distances of normal, duplicate and far apart points, uniform numbers and a few whole ones, in units from 1e-3 to
1e3; masses are equal, random, or spread over 6 or 12 decades, of total 1e-8 to 1e8; a fifth are in float32. Default
settings.

Each answer that says converged is checked from its plan: both marginals, recomputed in float64, against what is asked for,
in units of the mass. What did not converge is solved again as its advice says, the first of these that works: the tolerance
times 100, in float64, more iterations, and a strength of 10 times as much.

    python -m benchmarks.fuzz [--problems 10000] [--seed 0] [--doors balanced partial]
"""

import collections
import time
import warnings
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options
from lab import ot
from lab.home import start
from lab.numerics import NotConverged, Reason

ENTROPIC = ("balanced", "unbalanced", "partial")
DOORS = (*ENTROPIC, "quadratic", "k-sparse")
SHAPES = ((20, 20), (30, 12), (12, 30))  # few, since each is a program for each door


class Case(NamedTuple):
    """One problem, and what is asked of it."""

    door: str
    problem: ot.Problem
    regularizer: Any
    marginals: Any
    kind: str  # of cost, of masses


def costs(rng: np.random.Generator, m: int, n: int) -> tuple[str, np.ndarray]:
    kind = ("clouds", "distances", "duplicates", "apart", "uniform", "whole")[rng.integers(6)]
    if kind == "uniform":
        cost = rng.random((m, n))
    elif kind == "whole":
        cost = rng.integers(0, 4, (m, n)).astype(float)
    else:
        d = (1, 2, 5)[rng.integers(3)]
        x, y = rng.normal(size=(m, d)), rng.normal(size=(n, d))
        if kind == "duplicates":
            x, y = x[rng.integers(0, m // 3, m)], (x if rng.random() < 0.5 else y)[rng.integers(0, n // 3, n)]
        if kind == "apart":
            x, y = x + 8.0 * rng.integers(0, 3, (m, 1)), y + 8.0 * rng.integers(0, 3, (n, 1))
        cost = ((x[:, None] - y[None]) ** 2).sum(-1)
        cost = np.sqrt(cost) if kind == "distances" else cost
    return kind, (cost + (10 * rng.random() if rng.random() < 0.2 else 0)) * 10 ** rng.uniform(-3, 3)


def masses(rng: np.random.Generator, size: int) -> tuple[str, np.ndarray]:
    kind = ("equal", "random", "6 decades", "12 decades")[rng.integers(4)]
    decades = {"6 decades": 6, "12 decades": 12}.get(kind, 0)
    mass = rng.dirichlet(np.ones(size)) if kind == "random" else 10 ** rng.uniform(-decades, 0, size)
    mass = np.maximum(mass, 1e-12 * mass.max())
    return kind, mass / mass.sum()


def draw(seed: int, door: str, shapes=SHAPES, single: float = 0.2) -> Case:
    """The problem of a number; ``single`` is the share in float32."""
    rng = np.random.default_rng([seed, DOORS.index(door)])
    m, n = shapes[rng.integers(len(shapes))]
    of_cost, cost = costs(rng, m, n)
    (of_a, a), (_, b) = masses(rng, m), masses(rng, n)
    total = 10 ** rng.uniform(-8, 8) if rng.random() < 0.3 else 1.0
    mean = cost.mean() or 1.0
    strength = mean * 10 ** rng.uniform(-4, 0)
    a, b, marginals = a * total, b * total, None
    if door == "unbalanced":
        a = a * 10 ** rng.uniform(-1, 1)
        weights = [mean * 10 ** rng.uniform(-2, 2, size) for size in (m, n)]
        one = rng.random() < 0.5
        weights = [np.full_like(w, w[0]) if one else w for w in weights]
        free = rng.integers(4)
        if free < 2:
            weights[free] = np.full_like(weights[free], np.inf)
        if free == 3 and rng.random() < 0.3:
            a, weights = a * (total / a.sum()), [np.full(size, np.inf) for size in (m, n)]
        marginals = ot.Unbalanced(*(jnp.asarray(w) for w in weights))
    if door == "partial":
        lam = np.inf if rng.random() < 0.5 else mean * 10 ** rng.uniform(-2, 2)
        marginals = ot.Partial(rng.uniform(0.01, 1), lam)
    dtype = np.float32 if rng.random() < single else np.float64
    cost, a, b = cost.astype(dtype), a.astype(dtype), b.astype(dtype)
    problem = ot.Problem(*map(jnp.asarray, ot.problem(cost, a, b, balanced=door != "unbalanced")))
    regularizer: Any = ot.Entropic(strength)
    if door in ("quadratic", "k-sparse"):
        gamma = strength / total
        regularizer = ot.Quadratic(gamma) if door == "quadratic" else ot.KSparse(gamma, int(rng.integers(1, m + 1)))
    return Case(door, problem, regularizer, marginals, f"{of_cost}, {of_a}, {np.dtype(dtype).name}")


def solve(case: Case, **options: Any) -> ot.Solution:
    return ot.solve(case.problem, case.regularizer, marginals=case.marginals, **options)


def off(case: Case, found: ot.Solution) -> float:
    """How far the marginals of the plan are from what is asked for, in L1, of the mass."""
    plan = np.asarray(found.plan() if case.door != "k-sparse" else found.relaxed_plan(), np.float64)
    a, b = np.asarray(case.problem.a, np.float64), np.asarray(case.problem.b, np.float64)
    rows, columns = plan.sum(1), plan.sum(0)
    if case.door == "unbalanced":
        kappa, lam = (np.asarray(w, np.float64) for w in case.marginals)
        phi, beta = np.asarray(found.alpha, np.float64) - case.regularizer.gamma, np.asarray(found.beta, np.float64)
        a, b = a * np.exp(-phi / kappa), b * np.exp(-beta / lam)
    if case.door == "partial":
        rho, lam = case.marginals
        b = rho * b * np.exp(-np.asarray(found.beta, np.float64) / lam)
        a = np.minimum(rows, a)
    whole = np.asarray(case.problem.a).sum() if case.door == "partial" else max(a.sum(), b.sum(), plan.sum())
    return float((np.abs(rows - a).sum() + np.abs(columns - b).sum()) / whole)


def allowed(case: Case) -> float:
    """Twice the default tolerance, as ``ot.solve`` documents it: rounding of the potentials comes on top."""
    cost = np.asarray(case.problem.cost, np.float64)
    single = case.problem.cost.dtype == jnp.float32
    least, most = max(1e-6 if case.marginals is None else 1e-10, 1e-5 * single), np.abs(cost).max()
    if case.door not in ENTROPIC:
        return 2 * least
    unit = np.finfo(np.float32 if single else np.float64).eps
    return 2 * float(np.clip(4 * unit * most / float(case.regularizer.gamma), least, 1e-3))


def followed(case: Case, found: ot.Solution) -> str | None:
    """What helped of what the advice says."""
    tolerance = allowed(case) / 2
    wider = case._replace(problem=ot.Problem(*(jnp.asarray(x, jnp.float64) for x in case.problem)))
    if case.marginals is None:
        b = wider.problem.b
        wider = wider._replace(problem=wider.problem._replace(b=b * (wider.problem.a.sum() / b.sum())))
    stronger = case._replace(regularizer=case.regularizer._replace(gamma=10 * case.regularizer.gamma))
    loosen = "loosen", case, {"tolerance": 100 * tolerance}
    tries = {
        Reason.STALLED: (loosen, ("float64", wider, {}), ("strengthen", stronger, {})),
        Reason.MAX_ITERATIONS: (("raise", case, {"max_iterations": 20_000}), loosen),
        Reason.NOT_FINITE: (("strengthen", stronger, {}), ("float64", wider, {})),
    }
    for name, again, changed in tries[Reason(int(found.reason))]:
        if solve(again, **changed).converged:
            return name
    return None


def run(
    problems: int = 10_000, seed: int = 0, doors=DOORS, show: int = 8, shapes=SHAPES, single: float = 0.2
) -> dict[str, Any]:
    """Solve, check and print; returns what was counted by door."""
    counted = {}
    for door in doors:
        began, reasons, helped, wrong, failed = (
            time.process_time(),
            collections.Counter(),
            collections.Counter(),
            [],
            [],
        )
        double = [0, 0]
        each = max(problems // len(doors), 1)
        for number in range(seed, seed + each):
            case = draw(number, door, shapes, single)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotConverged)
                found = solve(case)
                reason = Reason(int(found.reason))
                reasons[reason.name] += 1
                if case.problem.cost.dtype == jnp.float64:
                    double[0] += 1
                    double[1] += reason.converged
                if reason.converged:
                    apart = off(case, found)
                    if not apart <= allowed(case) or not np.isfinite(float(found.value)):
                        wrong.append((number, case.kind, f"{apart:.1e}", f"{float(found.value):.3g}"))
                else:
                    how = followed(case, found)
                    helped[how] += 1
                    strength = float(case.regularizer.gamma / case.problem.cost.mean())
                    failed.append((number, case.kind, f"{strength:.1e}", reason.name, how))
        counted[door] = {"reasons": dict(reasons), "wrong": len(wrong), "helped": dict(helped), "double": double}
        counted[door]["seconds"] = time.process_time() - began
        print(
            f"{door}: {each} problems, {100 * reasons['CONVERGED'] / each:.2f} % converged (float64: "
            f"{100 * double[1] / max(double[0], 1):.2f} %), {len(wrong)} of them not; "
            f"advice that helped: {dict(helped)}; {time.process_time() - began:.0f} s",
            flush=True,
        )
        for line in (*wrong[:show], *failed[:show]):
            print("   ", *line)
    return counted


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Solve, check and print; returns the content of the line of JSON."""
    given = options(__doc__, argv, problems=10_000, seed=0, doors=DOORS, show=8)
    start()
    report = Report("fuzz", given)
    counted = run(given.problems, given.seed, given.doors, given.show)
    for door, found in counted.items():
        report.row({"door": door, "problems": sum(found["reasons"].values())}, {"lab": found.pop("seconds")}, **found)
    return report.end(problems=given.problems, failed=sum(found["wrong"] for found in counted.values()))


if __name__ == "__main__":
    main()

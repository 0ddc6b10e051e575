"""Implicit derivatives of entropic transport, side by side in one process with OTT-JAX: time and error of a backward pass.

Two clouds, x ~ N(0, I) and y ~ 0.8 N(0, I) + 0.5 in the plane, uniform masses, squared distances divided by their mean,
in float64. Measured is the gradient, in the costs, of a fixed linear function of the row potentials, ``value_and_grad``
less the solve alone, warm and compiled; the first call, which compiles, is reported separately. The error is relative, against
a gradient by a dense solve of the optimality conditions in NumPy. OTT differentiates with its default implicit
differentiation (``ImplicitDiff()``, by lineax), at the same tolerance of the marginals.

    python -m benchmarks.derivatives [--sizes 128 512] [--epsilons 0.1 0.02] [--repeats 5]
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.entropic import clouds
from lab import ot
from lab.home import start

TOLERANCE = 1e-9


def reference(plan: np.ndarray, epsilon: float, weight: np.ndarray) -> np.ndarray:
    """The gradient of <weight, alpha> in the costs at a solved problem: the conditions of optimality, by a dense solve."""
    m, n = plan.shape
    system = np.block([[np.diag(plan.sum(1)), plan], [plan.T, np.diag(plan.sum(0))]]) / epsilon
    right = np.concatenate([weight - weight.mean(), np.zeros(n)])
    found = np.linalg.lstsq(system, right, rcond=None)[0]
    return plan / epsilon * (found[:m, None] + found[None, m:])


def timed(function, *arguments, repeats: int) -> tuple[float, float, object]:
    """Seconds of the first call, the median of the others, and what it returns."""
    begun = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    first, times = time.perf_counter() - begun, []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begun)
    return first, statistics.median(times), result


def of_lab(epsilon: float, weight: jax.Array):
    def potential(cost):
        found = ot.solve(ot.problem(cost), ot.Entropic(epsilon), tolerance=TOLERANCE)
        return weight @ found.alpha, found.plan()

    return potential


def of_ott(epsilon: float, weight: jax.Array):
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.implicit_differentiation import ImplicitDiff
    from ott.solvers.linear.sinkhorn import Sinkhorn

    solver = Sinkhorn(threshold=TOLERANCE, max_iterations=60_000, implicit_diff=ImplicitDiff())

    def potential(cost):
        found = solver(LinearProblem(Geometry(cost, epsilon=epsilon)))
        return weight @ found.f, found.matrix

    return potential


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.1, 0.02])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    start()
    rows = []
    print(f"{'n':>5} {'epsilon':>8} {'':>4} {'solve s':>9} {'backward s':>11} {'error':>9} {'compile s':>10}")
    for n in options.sizes:
        cost = jnp.asarray(clouds(n, 2, 0))
        weight = np.random.default_rng(1).normal(size=n)
        weight = jnp.asarray(weight - weight.mean())
        for epsilon in options.epsilons:
            row = {"n": n, "epsilon": epsilon}
            for name, make in (("lab", of_lab), ("ott", of_ott)):
                potential = make(epsilon, weight)
                _, forward, (_, plan) = timed(jax.jit(potential), cost, repeats=options.repeats)
                both = jax.jit(jax.value_and_grad(potential, has_aux=True))
                compiled, whole, (_, slope) = timed(both, cost, repeats=options.repeats)
                exact = reference(np.asarray(plan), epsilon, np.asarray(weight))
                error = float(np.abs(slope - exact).max() / np.abs(exact).max())
                backward = whole - forward
                row |= {f"{name}_solve": forward, f"{name}_backward": backward, f"{name}_error": error}
                print(f"{n:5} {epsilon:8g} {name:>4} {forward:9.4f} {backward:11.4f} {error:9.1e} {compiled:10.1f}")
            rows.append(row)
    print(json.dumps({"benchmark": "derivatives", "rows": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Implicit derivatives of entropic transport, side by side in one process with OTT-JAX: time and error of a backward pass.

Two clouds, x ~ N(0, I) and y ~ 0.8 N(0, I) + 0.5 in the plane, uniform masses, squared distances divided by their mean,
in float64. Measured is the gradient, in the costs, of a fixed linear function of the row potentials, ``value_and_grad``
less the solve alone, warm and compiled; the first call, which compiles, is reported separately. The error is relative, against
a gradient by a dense solve of the optimality conditions in NumPy. OTT differentiates with its default implicit
differentiation (``ImplicitDiff()``, by lineax), at the same tolerance of the marginals.

    python -m benchmarks.derivatives [--sizes 128 512] [--epsilons 0.1 0.02] [--repeats 5]
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.entropic import clouds
from benchmarks.report import Report, options, turns
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, sizes=[128, 512], epsilons=[0.1, 0.02], repeats=5)
    start()
    report = Report("derivatives", given)
    makers = {"lab": of_lab} | ({"OTT": of_ott} if report.has("OTT", "ott") else {})
    print(f"{'n':>5} {'epsilon':>8} {'':>4} {'solve s':>9} {'backward s':>11} {'error':>9} {'compile s':>10}")
    for n in given.sizes:
        cost = jnp.asarray(clouds(n, 2, 0))
        weight = np.random.default_rng(1).normal(size=n)
        weight = jnp.asarray(weight - weight.mean())
        for epsilon in given.epsilons:
            solves, backward, errors = {}, {}, {}
            for name, make in makers.items():
                potential = make(epsilon, weight)
                alone, both = jax.jit(potential), jax.jit(jax.value_and_grad(potential, has_aux=True))
                forward = turns({name: partial(alone, cost)}, given.repeats)[name]
                whole = turns({name: partial(both, cost)}, given.repeats)[name]
                exact = reference(np.asarray(forward.result[1]), epsilon, np.asarray(weight))
                errors[name] = float(np.abs(whole.result[1] - exact).max() / np.abs(exact).max())
                solves[name], backward[name] = forward.median, whole.median - forward.median
                told = f"{n:5} {epsilon:8g} {name:>4} {forward.median:9.4f} {backward[name]:11.4f} {errors[name]:9.1e}"
                print(f"{told} {whole.first:10.1f}", flush=True)
            report.row({"n": n, "epsilon": epsilon}, backward, solve_seconds=solves, error=errors)
    return report.end()


if __name__ == "__main__":
    main()

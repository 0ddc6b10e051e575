"""Derivatives of the public functions of ``lab.ot``. ``tests/ot/test_derivatives.py`` has all fields of balanced solutions."""

import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of
from derivatives.test_ot_modules_derivatives import TABLE as MODULES

from lab import ot

M, N = 5, 4


def balanced(direction):
    """A change of masses that keeps their total."""
    return (direction - direction.mean()) / 10


def masses(rng, size):
    return rng.dirichlet(np.full(size, 4.0))


def inputs(rng):
    return {"cost": rng.random((M, N)), "a": masses(rng, M), "b": masses(rng, N), "gamma": np.asarray(0.3)}


def of_solution(found):
    return (
        found.alpha, found.beta, found.value, found.plan(), found.transport_cost, *found.marginals(), found.kl_value,
        found.apply(jnp.arange(N) / N), found.apply_transposed(jnp.arange(M) / M), found.relaxed_plan(),
    )  # fmt: skip


def solve(rng):
    def fields(cost, a, b, gamma):
        return of_solution(ot.solve(ot.problem(cost, a, b), ot.Entropic(gamma), tolerance=1e-13))

    return fields, inputs(rng)


def solve_relaxed(rng):
    def fields(cost, a, b, gamma, rows, columns):
        found = ot.solve(
            ot.problem(cost, a, b, balanced=False),
            ot.Entropic(gamma),
            marginals=ot.Unbalanced(rows, columns),
            tolerance=1e-13,
        )
        products = found.apply(jnp.arange(N) / N), found.apply_transposed(jnp.arange(M) / M)
        return found.alpha, found.beta, found.value, found.plan(), found.transport_cost, *found.marginals(), *products

    return fields, inputs(rng) | {"rows": np.asarray(0.7), "columns": rng.uniform(0.5, 1.5, N)}


def solve_partial(rng):
    def fields(cost, a, b, gamma, rho, lam):
        found = ot.solve(ot.problem(cost, a, b), ot.Entropic(gamma), marginals=ot.Partial(rho, lam), tolerance=1e-13)
        return found.alpha, found.beta, found.slack, found.value, found.plan(), found.transport_cost, *found.marginals()

    return fields, inputs(rng) | {"rho": np.asarray(0.6), "lam": np.asarray(0.8)}


def problem(rng):
    given = inputs(rng)
    del given["gamma"]
    return (lambda cost, a, b: ot.problem(cost, a, b)), given


def points(make):
    def case(rng):
        given = {"x": rng.random((M, 2)), "y": rng.random((N, 2)), "a": masses(rng, M), "b": masses(rng, N)}
        if make is ot.cloud:
            return (lambda scale, **rest: ot.cloud(**rest, p=1.5, norm=3.0, scale=scale).dense()), given | {
                "scale": np.asarray(0.7)
            }
        return (lambda **rest: ot.from_points(**rest, p=1.5)), given

    return case


def objective(name, regularizer):
    def case(rng):
        given = inputs(rng) | {"alpha": 0.2 * rng.normal(size=M)}
        gamma = given.pop("gamma")
        if name == "dual":
            given["beta"] = 0.2 * rng.normal(size=N) + 0.6

        def function(cost, a, b, gamma, **potentials):
            return getattr(ot, name)(ot.Problem(cost, a, b), regularizer(gamma), **potentials)

        return function, given | {"gamma": gamma}

    return case


REGULARIZERS = (ot.Entropic, ot.Quadratic, lambda gamma: ot.KSparse(gamma, 2))
FIXED = {"a": balanced, "b": balanced}
TABLE = {
    "solve": Entry(
        (
            Case(solve, ("cost", "a", "b", "gamma"), moves=FIXED),
            Case(solve_relaxed, ("cost", "a", "b", "gamma", "rows", "columns")),
            Case(solve_partial, ("cost", "a", "b", "gamma", "rho", "lam"), moves=FIXED),
        ),
        ("formulation", "method", "axis", "tolerance", "max_iterations", "init", "loop"),
        {"problem": "cost", "regularizer": "gamma", "marginals": "rows"},
    ),
    "problem": Entry((Case(problem, ("cost", "a", "b"), moves=FIXED),), ("balanced",)),
    "from_points": Entry((Case(points(ot.from_points), ("x", "y", "a", "b"), moves=FIXED),), ("p", "balanced")),
    "cloud": Entry((Case(points(ot.cloud), ("x", "y", "a", "b", "scale"), moves=FIXED),), ("p", "norm", "block_bytes")),
    "semi_dual": Entry(
        tuple(Case(objective("semi_dual", each), ("cost", "a", "b", "gamma", "alpha")) for each in REGULARIZERS),
        ("within",),
        {"problem": "cost", "regularizer": "gamma"},
    ),
    "dual": Entry(
        tuple(Case(objective("dual", each), ("cost", "a", "b", "gamma", "alpha", "beta")) for each in REGULARIZERS),
        (),
        {"problem": "cost", "regularizer": "gamma"},
    ),
}

test_every_public_function_and_argument_is_listed, _ = tests_of("ot", TABLE | MODULES)
_, test_derivative = tests_of("ot", TABLE)

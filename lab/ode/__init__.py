r"""Differential equations whose solver tells its own error and stiffness, and fields that are trained to be cheap to solve.

>>> import jax
>>> import jax.numpy as jnp
>>> from lab import ode
>>> field = lambda t, y: jnp.stack([y[1], 5 * (1 - y[0] ** 2) * y[1] - y[0]])
>>> steps = ode.solve(field, jnp.array([2.0, 0.0]), 0.0, 1.0, h0=0.01)
>>> int(steps.accepted), int(steps.rejected), int(steps.evaluations)
(16, 1, 103)
>>> slope = jax.grad(lambda y: ode.error_of(ode.solve(field, y, 0.0, 1.0, h0=0.01)))(jnp.array([2.0, 0.0]))

Beside what is named here: ``solving`` (the step and the loop), ``fields`` (named ones), ``learning`` (a classifier),
``stochastic`` (equations with noise), ``on_diffrax`` (the same terms out of diffrax).
"""

from lab.ode.regularizers import (
    KINDS,
    aggregate,
    bending,
    derivative,
    error_of,
    local_error_of,
    penalty,
    squared_error_of,
    stiffness_of,
)
from lab.ode.solving import SOLVING, Controller, Problem, Steps, check, first_step, problem, solve
from lab.ode.steppers import RungeKutta
from lab.ode.tableaus import DOPRI5, TSIT5, Tableau, amplification, pair, real_limit
from lab.parts import parts

__all__ = [
    "DOPRI5",
    "KINDS",
    "SOLVING",
    "TSIT5",
    "Controller",
    "Problem",
    "RungeKutta",
    "Steps",
    "Tableau",
    "aggregate",
    "amplification",
    "bending",
    "check",
    "derivative",
    "error_of",
    "first_step",
    "local_error_of",
    "pair",
    "penalty",
    "problem",
    "real_limit",
    "solve",
    "squared_error_of",
    "stiffness_of",
]

__getattr__, __dir__ = parts(__name__)

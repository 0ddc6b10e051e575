"""Closed forms of potential flows, orders of the solvers, and values of an independent training."""

from typing import Any

import numpy as np

from lab.datasets.gaussians import S0, S1
from lab.paths import potentials
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.paths.potential_flows.claims import CROSSED, DIGITS
from lab.studies.vocabulary import number, of


def _heat_of_densities(runs: Runs) -> float:
    """T x energy of the heat flow N(0, [[1, .3], [.3, .5]]) to t = 1/2, by Gauss quadrature."""
    import jax.numpy as jnp

    zero, start = jnp.zeros(2), jnp.array([[1.0, 0.3], [0.3, 0.5]])
    u = potentials.FokkerPlanck(zero, start, zero, jnp.zeros((2, 2)))
    nodes, weights = np.polynomial.legendre.leggauss(12)
    speeds = [float(potentials.gaussian_energy(u, *u.law(t), t)) for t in (1 + nodes) / 4]
    return float(0.5 * (weights @ np.array(speeds)) / 4)


def _order(solver: str) -> Any:
    """Order of the error of the wave's flow between 16 and 32 steps."""

    def order(run: Any) -> float:
        error = run.step_error.sel(solver=solver, flow="wave")
        return np.log2(error.sel(count=16) / error.sel(count=32))

    return of(order, **CROSSED)


CHECKS = one_run(
    "no training: closed forms and exact assignments",
    (
        Claim(
            "closed-forms",
            "RK4 ends where the closed forms do.",
            number("gap", **CROSSED),
            0.0,
            "exponentials of matrices",
            "<=",
            1e-6,
        ),
        Claim(
            "same-ends",
            "The quadratic wave, heat and Hamilton-Jacobi flows take every point to the same endpoint.",
            number("ends_apart", **CROSSED),
            0.0,
            "Brenier's theorem: one optimal map",
            "<=",
            1e-6,
        ),
        Claim(
            "density",
            "Densities along points change by minus the log determinant of the map.",
            number("log_density", {"flow": "heat"}, {"t": -1}, **CROSSED),
            lambda runs: -0.5 * float(np.log(np.linalg.det(S1) / np.linalg.det(S0))),
            "Liouville's formula",
            "==",
            1e-6,
        ),
        Claim(
            "heat-of-densities",
            "T times the energy of the heat flow of densities is 0.48994, where W₂² is 0.47691.",
            _heat_of_densities,
            0.48994,
            "independent computation",
            "==",
            1e-5,
        ),
        Claim("euler-order", "Euler's method has order 1.", _order("euler"), 1.0, "Taylor expansion", "==", 0.15),
        Claim("rk4-order", "RK4 has order 4.", _order("rk4"), 4.0, "Taylor expansion", "==", 0.3),
        Claim(
            "one-step",
            "One Euler step is exact for Hamilton-Jacobi.",
            number("step_error", {"solver": "euler", "count": 1, "flow": "Hamilton-Jacobi"}, **CROSSED),
            0.0,
            "velocities are constant along lines",
            "<=",
            1e-10,
        ),
        Claim(
            "heat-is-told-apart",
            "The classifier is right for more than 90% of pairs if potentials follow the heat equation.",
            number("accuracy", **DIGITS, pde="heat"),
            0.9,
            "independent computation: 0.952 to 0.970",
            ">",
            quick=False,
            seeds=range(5),
        ),
        Claim(
            "lines-are-told-apart",
            "The classifier is right for more than 90% of pairs if potentials follow the Hamilton-Jacobi equation.",
            number("accuracy", **DIGITS, pde="hamilton-jacobi"),
            0.9,
            "independent computation: 0.978",
            ">",
            quick=False,
            seeds=range(5),
        ),
        Claim(
            "rest-is-learned",
            "Trained waves have a smaller initial velocity than untrained ones.",
            number("ic", **DIGITS),
            number("curve_ic", place={"train_step": slice(0, 4)}, reduce=np.mean, **DIGITS),
            "wave equation with ∇u(·, 0) = 0",
            "<",
            quick=False,
            seeds=range(5),
        ),
    ),
)

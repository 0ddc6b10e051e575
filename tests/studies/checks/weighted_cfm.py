"""Values of independent computations, closed forms and limits of weighted conditional flow matching."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lab.datasets.samples import ATOMS
from lab.paths.weighted import GaussianTilt, gaussian_tilt
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.paths.weighted_cfm.claims import TAU, excess
from lab.studies.vocabulary import Measure, apart, number, of

_I_CFM, _W_CFM, _OT_CFM, _EOT_CFM = ({"coupling": name} for name in ("I-CFM", "W-CFM", "OT-CFM", "EOT-CFM"))
_TABLE: dict[str, Any] = {"n": 1000, "particles": 1000, "steps": 40, "compare": False}
_ATOMS: dict[str, Any] = {"data": "four-atoms", "cost": "half-squared", "epsilon": 1.0}
_MANY: dict[str, Any] = _ATOMS | {"particles": 100_000, "compare": False}
_LINE: dict[str, Any] = {
    "data": "gaussian-1d",
    "cost": "half-squared",
    "epsilon": 1.0,
    "n": 4000,
    "particles": 100,
    "compare": False,
}


def _on_a_line(part: Callable[[GaussianTilt], Any]) -> Measure:
    """A number of the tilt of Gaussians on a line, in closed form."""
    return Measure(lambda runs: float(part(gaussian_tilt(2.0, 0.5, 1.0))))


def _quadrature(runs: Runs) -> float:
    """Maximum error of the masses under the weights, against midpoints of 4000 equal masses of the source."""
    from scipy.stats import norm

    x = norm.ppf((np.arange(4000) + 0.5) / 4000)
    tau = np.exp(-((x[:, None] - ATOMS[:, 0]) ** 2) / 2).mean(axis=0)
    return float(np.abs(tau / tau.sum() - TAU).max())


CHECKS = one_run(
    "no training: exact velocities; means over thousands of particles",
    (
        Claim(
            "share-rises",
            "The effective fraction of pairs rises with ε.",
            number("ess_kappa", reduce=lambda shares: np.diff(shares).min()),
            0.0,
            "the limit of equal weights",
            ">=",
        ),
        Claim(
            "tilt-vanishes",
            "At κ = 50 both marginals are unchanged: R is below 0.001.",
            number("tilt_kappa", place={"kappa": -1}, reduce=np.max),
            1e-3,
            "R tends to 0",
            "<=",
        ),
        Claim(
            "cheaper-pairs",
            "Weighted pairs cost less than independent pairs.",
            number("pair_cost", _W_CFM),
            number("pair_cost", _I_CFM),
            "the cost falls with ε",
            "<=",
        ),
        Claim(
            "no-batch",
            "In batches of one, OT-CFM is I-CFM: its energy is the same within 3%.",
            number("pe", _OT_CFM, batch=1),
            number("pe", _I_CFM, batch=1),
            "independent pairs, up to the kernel",
            "==",
            0.03,
            True,
        ),
        Claim(
            "atoms-weights",
            "The weights give the four points masses .168, .429, .355 and .048.",
            _quadrature,
            0.0,
            "quadrature over the source",
            "<=",
            1e-4,
        ),
        Claim(
            "atoms-source",
            "From the source, W-CFM ends at other masses: .174, .4045, .3625 and .059.",
            apart("mass", [0.174, 0.4045, 0.3625, 0.059], _W_CFM, **_MANY),
            0.0,
            "quadrature",
            "<=",
            2e-3,
            quick=False,
        ),
        *(
            Claim(
                name,
                f"{subject} has a mean squared displacement of {value}.",
                2 * number("transport", at, **_MANY, start=start),
                value,
                "quadrature",
                "==",
                2e-3,
                quick=False,
            )
            for name, subject, at, value, start in (
                ("atoms-cost", "From the source, W-CFM", _W_CFM, 0.2763, "source"),
                ("atoms-own-cost", "From the tilted source, W-CFM", _W_CFM, 0.2675, "tilted source"),
                ("atoms-independent-cost", "I-CFM", _I_CFM, 1.1413, "source"),
            )
        ),
        Claim(
            "atoms-entropic",
            "Entropic transport leaves the four masses at a quarter each.",
            apart("mass", 0.25, _EOT_CFM, **_ATOMS, particles=20_000, pairs=64, batch=16),
            0.0,
            "the potentials undo the tilt",
            "<=",
            4e-3,
            quick=False,
        ),
        Claim(
            "circle",
            "Data on a circle are not tilted: R is within its sampling error, 1/1000 per point.",
            number("tilt_data", data="circle-points", n=8),
            0.0,
            "τ depends on the norm alone",
            "<=",
            5e-3,
            quick=False,
        ),
        Claim(
            "line-share",
            "N(0, 1) and N(2, 1/4) at ε = 1: the effective fraction is .4407.",
            number("ess", **_LINE),
            _on_a_line(lambda tilt: tilt.ess),
            "closed form",
            "==",
            0.03,
            quick=False,
        ),
        Claim(
            "line-z",
            "N(0, 1) and N(2, 1/4) at ε = 1: the mean weight is .2741.",
            of(lambda run: np.exp(run.log_z), **_LINE),
            _on_a_line(lambda tilt: tilt.z),
            "closed form",
            "==",
            0.02,
            quick=False,
        ),
        Claim(
            "line-mean",
            "N(0, 1) and N(2, 1/4) at ε = 1: the mean of the data under the weights is 1.778.",
            of(lambda run: (run.tau * run.points[:, 0]).mean(), **_LINE),
            _on_a_line(lambda tilt: tilt.mean[1]),
            "closed form",
            "==",
            0.03,
            quick=False,
        ),
        *(
            Claim(
                f"{data}-{cost}-{epsilon:g}-{name}",
                f"{title}, {cost} cost, ε = {epsilon:g}: {what} is {value:g}.",
                number(variable, at, **_TABLE, data=data, cost=cost, epsilon=epsilon),
                value,
                source,
                "==",
                tolerance,
                quick=False,
            )
            for data, title, rows in (
                (
                    "eight-gaussians",
                    "Eight Gaussians",
                    (
                        ("norm", 8.0, 17.31, 0.980),
                        ("norm", 4.0, 16.49, 0.923),
                        ("norm", 2.0, 14.95, 0.729),
                        ("norm", 1.0, 12.28, 0.289),
                        ("half-squared", 20.0, 16.54, 0.931),
                        ("half-squared", 5.0, 13.23, 0.484),
                    ),
                ),
                (
                    "noisy-moons",
                    "Noisy moons",
                    (
                        ("norm", 8.0, 4.72, 0.968),
                        ("norm", 4.0, 3.79, 0.888),
                        ("norm", 2.0, 2.42, 0.679),
                        ("norm", 1.0, 1.03, 0.358),
                    ),
                ),
            )
            for cost, epsilon, energy, share in rows
            for name, variable, at, what, value, tolerance, source in (
                (
                    "energy",
                    "pe",
                    _W_CFM,
                    "the path energy of W-CFM",
                    energy,
                    0.4 if energy > 10 else 0.25,
                    "independent computation",
                ),
                ("ess", "ess", None, "the effective fraction", share, 0.02, "Monte Carlo, millions of pairs"),
            )
        ),
        *(
            Claim(
                f"{data}-{epsilon:g}-excess",
                f"{title}, ε = {epsilon:g}: above I-CFM's, W2 squared is {'at most ' if value < 0.1 else ''}{value:g}.",
                excess(**_TABLE, data=data, epsilon=epsilon),
                value,
                "independent computation",
                "<=" if value < 0.1 else "==",
                0.08 + 0.15 * value,
                quick=False,
            )
            for data, title, rows in (
                ("eight-gaussians", "Eight Gaussians", ((4.0, 0.006), (2.0, 0.014), (1.0, 0.158), (0.5, 0.938))),
                ("noisy-moons", "Noisy moons", ((8.0, 0.103), (4.0, 0.313), (2.0, 0.88), (1.0, 1.884))),
            )
            for epsilon, value in rows
        ),
    ),
)

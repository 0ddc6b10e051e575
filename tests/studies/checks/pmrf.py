"""Values of independent computations and closed forms of PMRF."""

from typing import Any

import jax
import numpy as np
from scipy.linalg import sqrtm

from lab import datasets
from lab.inverse.restoring import task
from lab.studies.contract import Claim, one_run
from lab.studies.inverse.pmrf.claims import MIXED, RING
from lab.studies.vocabulary import number, of

SCALAR: dict[str, Any] = {"data": "random-gaussian", "dimension": 1, "noise": 1.0, "sigma_s": 0.0, "euler_steps": 200}
_COLOURED: dict[str, Any] = MIXED | {"task": "coloured noise"}
_LINE: dict[str, Any] = {"data": "two-unlike-modes", "knows": "law", "noise": 1.0, "sigma_s": 0.0, "euler_steps": 200}
_LINE |= {"solver": "heun", "pairs": 2000, "least": 0.005, "particles": 60}
_SHEET: dict[str, Any] = RING | {"knows": "pairs", "pairs": 4000, "particles": 2000}
_EXACT: dict[str, Any] = _SHEET | {"knows": "law", "pairs": 1000}


def _scalar(sigma_s: float) -> float:
    """Error of the flow from N(0, 1/2) + noise to N(0, 1), of X = N(0, 1) and Y = X + N(0, 1)."""
    g = (0.5 + sigma_s**2) ** -0.5
    return 0.5 + (g - 1) ** 2 * 0.5 + g**2 * sigma_s**2


def _scalar_from(sigma_s: float) -> dict[str, Any]:
    return SCALAR | {"sigma_s": sigma_s}


def _moments(name: str, seed: int, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S, H and Q of a degradation of the random Gaussian with noise 1/2."""
    arrays = datasets.load("random-gaussian", seed=seed, **options).arrays
    h, q = task(name, options["dimension"], (), 0.5, jax.random.key(seed))
    return arrays["variances"][0], np.asarray(h), np.asarray(q)


def _straight(s: np.ndarray, h: np.ndarray, q: np.ndarray) -> float:
    """Error of PMRF without noise, by its map S*^1/2 (S*^-1/2 S S*^-1/2)^1/2 S*^-1/2: all its velocities commute."""
    star = s @ h.T @ np.linalg.solve(h @ s @ h.T + q, h @ s)
    root = np.real(sqrtm((star + star.T) / 2))
    inverse = np.linalg.inv(root)
    flow = root @ np.real(sqrtm(inverse @ s @ inverse)) @ inverse
    return float(2 * np.trace(s) - 2 * np.trace(flow @ star))


def _linear(noise: float) -> float:
    """Minimum error of a linear restorer of digits with white noise, by the eigenvalues of their covariance."""
    values = np.linalg.eigvalsh(np.cov(datasets.load("digit-samples").arrays["x"].T, bias=True))
    return float((values * noise**2 / (values + noise**2)).sum())


def _slope(run: Any) -> float:
    seen = run.cov_error_steps.sel(count=[10, 25, 100])
    return float(np.polyfit(np.log(seen["count"].values), np.log(seen.values), 1)[0])


def _line(run: Any) -> tuple[np.ndarray, np.ndarray]:
    """Initial and final positions of particles on the line, in order of the initial ones."""
    way = run.path.sel(flow="PMRF").values[..., 0].astype(float)
    order = np.argsort(way[0])
    return way[0][order], way[-1][order]


def _from_quantiles(run: Any) -> float:
    """The largest distance of an endpoint from F_X^-1(F_X*(start)); X* is an increasing function of Y."""
    from scipy.stats import norm

    weights, means, spread = np.array([0.4, 0.6]), np.array([-1.5, 1.0]), np.sqrt([0.15, 0.3])
    y, x = np.linspace(-7, 7, 40_001)[:, None], np.linspace(-5, 5, 40_001)[:, None]
    wide = np.sqrt(spread**2 + 1)
    share = weights * norm.pdf(y, means, wide)
    star = (share * (means + spread**2 / wide**2 * (y - means))).sum(1) / share.sum(1)
    start, end = _line(run)
    level = np.interp(start, star, norm.cdf(y, means, wide) @ weights)
    inside = (level > 0.01) & (level < 0.99)
    return float(np.abs(np.interp(level, norm.cdf(x, means, spread) @ weights, x[:, 0]) - end)[inside].max())


CHECKS = one_run(
    "no training: closed forms, or means over thousands of pairs",
    (
        Claim(
            "quantiles",
            "On a line the flow matches quantiles: it is the optimal map.",
            of(_from_quantiles, **_LINE),
            5e-3,
            "theorem: trajectories do not cross",
            "<=",
            quick=False,
        ),
        Claim(
            "scalar-mmse",
            "For a scalar with noise 1 the minimum mean squared error is 1/2.",
            number("mmse", **SCALAR),
            0.5,
            "Gaussian closed form",
            "==",
            1e-9,
            quick=False,
        ),
        Claim(
            "scalar-best",
            "The minimum error with the distribution of X is 2 - √2.",
            number("d_max", **SCALAR),
            2 - 2**0.5,
            "Gaussian closed form",
            "==",
            1e-9,
            quick=False,
        ),
        Claim(
            "scalar-sampling",
            "The mean squared error of a posterior sample is 1.",
            number("mse_sampling", **SCALAR),
            1.0,
            "Gaussian closed form",
            "==",
            1e-9,
            quick=False,
        ),
        *(
            Claim(
                f"scalar-noise-{sigma_s:g}",
                f"From noise {sigma_s:g} the flow has an error of {_scalar(sigma_s):.4f}.",
                number("mse_limit", **_scalar_from(sigma_s)),
                _scalar(sigma_s),
                "closed form",
                "==",
                1e-7,
                quick=False,
            )
            for sigma_s in (0.0, 0.1, 0.5)
        ),
        Claim(
            "coloured",
            "With colored noise S and S* do not commute, and the error of PMRF is slightly above D_max.",
            number("mse_limit", **_COLOURED) - number("d_max", **_COLOURED),
            1e-3,
            "Gaussian closed form",
            ">=",
        ),
        Claim(
            "closed-map",
            "Without noise at the start the map is S*^1/2 (S*^-1/2 S S*^-1/2)^1/2 S*^-1/2.",
            number("mse_limit", **MIXED),
            lambda runs: _straight(*_moments("mixing", 0, dimension=3)),
            "SciPy's matrix root",
            "==",
            1e-7,
        ),
        Claim(
            "same-flow",
            "Where H = I the flow from Y is PMRF, for any color of the noise.",
            number("mse_from_y", **_COLOURED),
            number("mse_pmrf", **_COLOURED),
            "both are functions of S Cov(Y)^-1",
            "==",
            1e-9,
        ),
        Claim(
            "first-order",
            "The error of the covariance falls like 1 / K.",
            of(_slope, **_COLOURED),
            -1.0,
            "Euler's method",
            "==",
            0.15,
        ),
        Claim(
            "images-mmse",
            "On digits the minimum error of a linear restorer follows from the eigenvalues.",
            number("mmse"),
            lambda runs: _linear(0.7),
            "NumPy",
            "==",
            1e-8,
        ),
        Claim(
            "monotone",
            "On a line the flow is non-decreasing.",
            of(lambda run: np.diff(_line(run)[1]).min(), **_LINE),
            -1e-6,
            "trajectories do not cross",
            ">=",
            quick=False,
        ),
        Claim(
            "ring-mmse",
            "Three modes with noise 3/2: the MMSE is 1.70.",
            number("mmse", **_SHEET),
            1.70,
            "computed independently",
            "==",
            0.15,
            quick=False,
        ),
        Claim(
            "ring-sampling",
            "A sample of the posterior has an error of 3.40.",
            number("mse_sampling", **_SHEET),
            3.40,
            "2 MMSE",
            "==",
            0.3,
            quick=False,
        ),
        Claim(
            "ring-pmrf",
            "PMRF has an error of 2.19.",
            number("mse_pmrf", **_SHEET),
            2.19,
            "computed independently",
            "==",
            0.15,
            quick=False,
        ),
        Claim(
            "ring-from-y",
            "The flow from Y has an error of 2.17.",
            number("mse_from_y", **_SHEET),
            2.17,
            "computed independently",
            "==",
            0.15,
            quick=False,
        ),
        Claim(
            "ring-best",
            "The minimum error with the distribution of X is 2.14, by assignment.",
            number("d_max", **_SHEET),
            2.14,
            "linear assignment",
            "==",
            0.15,
            quick=False,
        ),
        Claim(
            "ring-law",
            "The exact velocity gives the error of the pairs.",
            number("mse_pmrf", **_EXACT),
            number("mse_pmrf", **_SHEET),
            "two forms of one flow",
            "==",
            0.08,
            quick=False,
        ),
        Claim(
            "network",
            "The error of a network is within 10% of PMRF's.",
            number("net_mse", **RING, train_steps=3000),
            number("mse_pmrf", **RING),
            "regression of X - Z₀",
            "==",
            0.1,
            True,
            quick=False,
            seeds=range(5),
        ),
    ),
)

"""Gaussians of kind ``samples`` of whose paths nearly everything is known in closed form."""

from typing import Any

import numpy as np

from .registry import register
from .samples import KIND, LAW, SEED, SOURCE, N

SPECTRA = {
    "1.6, 0.4": (1.6, 0.4),
    "2, 0.9, 0.1": (2.0, 0.9, 0.1),
    "1, 1": (1.0, 1.0),
}
"""Eigenvalues of the covariance of the stretched Gaussian, of mean 1."""


@register(
    name="stretched-gaussian",
    title="A stretched Gaussian",
    kind=KIND,
    summary="A Gaussian with the eigenvalues chosen: with two distinct ones the best path is that of optimal transport.",
    options={"n": N, "spectrum": ("1.6, 0.4", tuple(SPECTRA)), "seed": SEED},
    sizes={"n": "n"},
)
def stretched_gaussian(n: int, spectrum: str, seed: int) -> dict[str, Any]:
    """``n`` points of a centred Gaussian whose variances are the eigenvalues, axis by axis."""
    e = np.array(SPECTRA[spectrum])
    x = np.sqrt(e)[None, :] * np.random.default_rng(seed).normal(size=(n, e.size))
    return {"arrays": {"x": x, "eigenvalues": e}, "axes": {"x": tuple(f"x{'₁₂₃'[k]}" for k in range(e.size))}}


def gaussian_pair(
    start: tuple[float, float], end: tuple[float, float], n: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Samples of two Gaussians on a line, given by mean and variance, with their laws."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for prefix, points, (mean, variance) in (("", "x", end), ("source_", "x0", start)):
        arrays[points] = mean + np.sqrt(variance) * rng.normal(size=(n, 1))
        arrays |= {f"{prefix}weights": np.ones(1), f"{prefix}centres": np.array([[mean]])}
        arrays |= {f"{prefix}variances": np.array([variance])}
    return arrays


@register(
    name="two-gaussians",
    title="Gaussian to Gaussian",
    kind=KIND,
    summary="From N(0, 1) to N(2, 1/4), on a line: the bridge and the divergences are known in closed form.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW, *SOURCE),
    sizes={"n": "n", "d": 1},
)
def two_gaussians(n: int, seed: int) -> dict[str, Any]:
    """``n`` points each of N(0, 1) and of N(2, 1/4), with both laws."""
    return {"arrays": gaussian_pair((0.0, 1.0), (2.0, 0.25), n, seed)}


@register(
    name="gaussian-1d",
    title="A Gaussian off the origin",
    kind=KIND,
    summary="From N(0, 1) to N(2, 1/4) on a line: the weighted coupling is Gaussian, and all of it is known.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW),
    sizes={"n": "n", "d": 1},
)
def gaussian_1d(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of N(2, 1/4), with their law."""
    x = 2 + 0.5 * np.random.default_rng(seed).normal(size=(n, 1))
    law = {"weights": np.ones(1), "centres": np.full((1, 1), 2.0), "variances": np.full(1, 0.25)}
    return {"arrays": {"x": x, **law}}


S0, S1 = np.array([[1.0, 0.6], [0.6, 0.5]]), np.array([[0.4, -0.2], [-0.2, 1.2]])
"""Covariances that do not commute."""


def _gaussians(n: int, seed: int, mean: np.ndarray, source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    rng, d = np.random.default_rng(seed), len(mean)
    x0, x = (rng.normal(size=(n, d)) @ np.linalg.cholesky(c).T for c in (source, target))
    one = np.ones(1)
    return {
        "arrays": {
            "x": mean + x,
            "weights": one,
            "centres": mean[None],
            "variances": target[None],
            "x0": x0,
            "source_weights": one,
            "source_centres": 0 * mean[None],
            "source_variances": source[None],
        },
        "axes": {"x": ("x₁", "x₂")[:d]},
    }


@register(
    name="crossed-gaussians",
    title="Two Gaussians that do not commute",
    kind=KIND,
    summary="Centred Gaussians whose covariances have other axes: the straight flow between them is not the optimal one.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW, *SOURCE),
    sizes={"n": "n", "d": 2},
)
def crossed_gaussians(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of two centred Gaussians in the plane whose covariances do not commute, with both laws."""
    return _gaussians(n, seed, np.zeros(2), S0, S1)


@register(
    name="gaussians-1d",
    title="A Gaussian that narrows",
    kind=KIND,
    summary="From N(0, 1) to N(2, 0.09) on a line: every quantity has a closed form.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW, *SOURCE),
    sizes={"n": "n", "d": 1},
)
def gaussians_1d(n: int, seed: int) -> dict[str, Any]:
    """``n`` points each of N(0, 1) and of N(2, 0.09), with both laws."""
    return _gaussians(n, seed, np.array([2.0]), np.eye(1), 0.09 * np.eye(1))


@register(
    name="many-dimensions",
    title="Five Gaussians in 128 dimensions",
    kind=KIND,
    summary="From N(0, I) to five round Gaussians of variances 1/4 to 1, their centres at distance 6 from 0.",
    options={"d": (128, (1, 1024)), "n": N, "seed": SEED},
    has=("x", *LAW, *SOURCE),
    sizes={"n": "n", "d": "d"},
)
def many_dimensions(d: int, n: int, seed: int) -> dict[str, Any]:
    """``n`` points of N(0, I) and of five round Gaussians in ``d`` dimensions, with both laws."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, d))
    centres *= 6 / np.linalg.norm(centres, axis=1, keepdims=True)
    variances, component = rng.uniform(0.25, 1.0, 5), rng.integers(5, size=n)
    x = centres[component] + np.sqrt(variances[component])[:, None] * rng.normal(size=(n, d))
    laws = {"weights": np.full(5, 0.2), "centres": centres, "variances": variances}
    source = {"source_weights": np.ones(1), "source_centres": np.zeros((1, d)), "source_variances": np.ones(1)}
    return {"arrays": {"x": x, "x0": rng.normal(size=(n, d)), **laws, **source}}

"""Small laws of kind ``samples`` on which restoration is known exactly: a ring of three modes, two on a line, any Gaussian."""

from typing import Any

import numpy as np

from .registry import register
from .samples import KIND, LAW, SEED, N, _mixture, _points, _ring


@register(
    name="ring-of-three",
    title="A ring of three Gaussians",
    kind=KIND,
    summary="Three Gaussians of standard deviation 1/4 at distance 2 from the origin; the law is known.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW),
    sizes={"n": "n", "d": 2},
)
def ring_of_three(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of three Gaussians at distance 2 from the origin, with their law."""
    x, law = _mixture(np.random.default_rng(seed), n, _ring(3, 2.0), 0.25**2)
    return {"arrays": _points(x, **law), "axes": {"x": ("x₁", "x₂")}}


@register(
    name="two-unlike-modes",
    title="Two unlike modes on a line",
    kind=KIND,
    summary="Modes at -1.5 and 1 of weights 0.4 and 0.6 and standard deviations 0.39 and 0.55, on a line; the law is known.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW),
    sizes={"n": "n", "d": 1},
)
def two_unlike_modes(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of two Gaussians on a line, with their law."""
    centres = np.array([[-1.5], [1.0]])
    x, law = _mixture(np.random.default_rng(seed), n, centres, [0.15, 0.3], [0.4, 0.6])
    return {"arrays": {"x": x, **law}}


@register(
    name="random-gaussian",
    title="A Gaussian of random covariance",
    kind=KIND,
    summary="A centred Gaussian whose covariance is drawn by the seed, of mean variance 1; on a line N(0, 1).",
    options={"dimension": (4, (1, 64)), "n": N, "seed": SEED},
    has=("x", *LAW),
    sizes={"n": "n", "d": "dimension"},
)
def random_gaussian(dimension: int, n: int, seed: int) -> dict[str, Any]:
    """``n`` points of a centred Gaussian whose covariance has the trace ``dimension``, with their law."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(dimension, dimension))
    covariance = half @ half.T / dimension + 0.1 * np.eye(dimension)
    covariance *= dimension / np.trace(covariance)
    x = rng.normal(size=(n, dimension)) @ np.linalg.cholesky(covariance).T
    law = {"weights": np.ones(1), "centres": np.zeros((1, dimension)), "variances": covariance[None]}
    return {"arrays": _points(x, **law)}

"""Pairs of Gaussians for which everything is known, of kind ``samples``; registered when the study is imported."""

from typing import Any

import numpy as np

from lab.datasets import samples
from lab.datasets.registry import register

_OPTIONS = {"n": (1000, (2, 100_000)), "seed": (0, (0, 2**32 - 1))}
S0, S1 = np.array([[1.0, 0.6], [0.6, 0.5]]), np.array([[0.4, -0.2], [-0.2, 1.2]])
"""Covariances that do not commute."""


def _gaussians(n: int, seed: int, mean: np.ndarray, source: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    rng, d = np.random.default_rng(seed), len(mean)
    x0, x = (rng.normal(size=(n, d)) @ np.linalg.cholesky(c).T for c in (source, target))
    one = np.ones(1)
    return {
        "arrays": {
            "x": mean + x, "weights": one, "centres": mean[None], "variances": target[None],
            "x0": x0, "source_weights": one, "source_centres": 0 * mean[None], "source_variances": source[None],
        },
        "axes": {"x": ("x₁", "x₂")[:d]},
    }  # fmt: skip


@register(
    name="crossed-gaussians",
    title="Two Gaussians that do not commute",
    kind=samples.KIND,
    summary="Centred Gaussians whose covariances have other axes: the straight flow between them is not the optimal one.",
    options=_OPTIONS,
)
def crossed_gaussians(n: int, seed: int) -> dict[str, Any]:
    return _gaussians(n, seed, np.zeros(2), S0, S1)


@register(
    name="gaussians-1d",
    title="A Gaussian that narrows",
    kind=samples.KIND,
    summary="From N(0, 1) to N(2, 0.09) on a line: every quantity has a closed form.",
    options=_OPTIONS,
)
def gaussians_1d(n: int, seed: int) -> dict[str, Any]:
    return _gaussians(n, seed, np.array([2.0]), np.eye(1), 0.09 * np.eye(1))

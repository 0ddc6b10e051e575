"""Sets of kind ``samples`` that show what the weights do; registered when the study is imported."""

from typing import Any

import numpy as np

from lab.datasets import samples
from lab.datasets.registry import register

_SEED = (0, (0, 2**32 - 1))
ATOMS = np.array([[-2.0], [-0.5], [1.0], [3.0]])
"""Four points on a line, for which the masses are known."""
_ARC = 128  # Gaussians of a moon


@register(
    name="noisy-moons",
    title="Two noisy moons",
    kind=samples.KIND,
    summary="scikit-learn's moons with noise 0.2, then three times as large and less 1, as is usual; the law is known.",
    options={"n": (1000, (2, 100_000)), "seed": _SEED},
)
def noisy_moons(n: int, seed: int) -> dict[str, Any]:
    """As ``make_moons`` has it: half of the points at equal angles on each arc, and a Gaussian about each.

    The law is that of the limit, with 128 places an arc.
    """

    def arcs(first: int, second: int) -> np.ndarray:
        a, b = np.linspace(0, np.pi, first), np.linspace(0, np.pi, second)
        return 3 * np.concatenate([np.c_[np.cos(a), np.sin(a)], np.c_[1 - np.cos(b), 0.5 - np.sin(b)]]) - 1

    centres, variance, k = arcs(_ARC, _ARC), 0.6**2, 2 * _ARC
    x = arcs(n // 2, n - n // 2) + np.sqrt(variance) * np.random.default_rng(seed).normal(size=(n, 2))
    law = {"weights": np.full(k, 1 / k), "centres": centres, "variances": np.full(k, variance)}
    return {"arrays": {"x": x, **law}, "axes": {"x": ("x₁", "x₂")}}


@register(
    name="four-atoms",
    title="Four points on a line",
    kind=samples.KIND,
    summary="The points -2, -0.5, 1 and 3 of equal mass: where each method carries how much is known.",
)
def four_atoms() -> dict[str, Any]:
    return {"arrays": {"x": ATOMS}}


@register(
    name="circle-points",
    title="Points on a circle",
    kind=samples.KIND,
    summary="Eight points at equal distance from the origin: data of constant norm, which the weights do not tilt.",
)
def circle_points() -> dict[str, Any]:
    angle = 2 * np.pi * np.arange(8) / 8
    return {"arrays": {"x": 3 * np.c_[np.cos(angle), np.sin(angle)]}, "axes": {"x": ("x₁", "x₂")}}


@register(
    name="gaussian-1d",
    title="A Gaussian off the origin",
    kind=samples.KIND,
    summary="From N(0, 1) to N(2, 1/4) on a line: the weighted coupling is Gaussian, and all of it is known.",
    options={"n": (1000, (2, 100_000)), "seed": _SEED},
)
def gaussian_1d(n: int, seed: int) -> dict[str, Any]:
    x = 2 + 0.5 * np.random.default_rng(seed).normal(size=(n, 1))
    law = {"weights": np.ones(1), "centres": np.full((1, 1), 2.0), "variances": np.full(1, 0.25)}
    return {"arrays": {"x": x, **law}}

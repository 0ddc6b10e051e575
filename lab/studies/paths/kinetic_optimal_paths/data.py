"""A Gaussian whose path of least energy is known in closed form, in the kind of data ``samples``."""

from typing import Any

import numpy as np

from lab.datasets.registry import register

SPECTRA = {
    "1.6, 0.4": (1.6, 0.4),
    "2, 0.9, 0.1": (2.0, 0.9, 0.1),
    "1, 1": (1.0, 1.0),
}
"""Eigenvalues of the covariance, of mean 1."""


@register(
    name="stretched-gaussian",
    title="A stretched Gaussian",
    kind="samples",
    summary="A Gaussian with the eigenvalues chosen: with two distinct ones the best path is that of optimal transport.",
    options={"n": (1000, (2, 100_000)), "spectrum": ("1.6, 0.4", tuple(SPECTRA)), "seed": (0, (0, 2**32 - 1))},
)
def stretched_gaussian(n: int, spectrum: str, seed: int) -> dict[str, Any]:
    e = np.array(SPECTRA[spectrum])
    x = np.sqrt(e)[None, :] * np.random.default_rng(seed).normal(size=(n, e.size))
    return {"arrays": {"x": x, "eigenvalues": e}, "axes": {"x": tuple(f"x{'₁₂₃'[k]}" for k in range(e.size))}}

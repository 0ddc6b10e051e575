"""The pair of laws of which nearly everything is known in closed form, and a mixture in as many dimensions as one likes."""

from typing import Any

import numpy as np

from lab.datasets.registry import register
from lab.datasets.samples import KIND


def gaussians(
    start: tuple[float, float], end: tuple[float, float], n: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Samples of two Gaussians, given by mean and variance, with their laws."""
    rng = np.random.default_rng(seed)
    laws = {}
    for prefix, points, (mean, variance) in (("", "x", end), ("source_", "x0", start)):
        laws[points] = mean + np.sqrt(variance) * rng.normal(size=(n, 1))
        laws |= {f"{prefix}weights": np.ones(1), f"{prefix}centres": np.array([[mean]])}
        laws |= {f"{prefix}variances": np.array([variance])}
    return laws


@register(
    name="two-gaussians", title="Gaussian to Gaussian", kind=KIND,
    summary="From N(0, 1) to N(2, 1/4), on a line: the bridge and the divergences are known in closed form.",
    options={"n": (1000, (2, 100_000)), "seed": (0, (0, 2**32 - 1))},
)  # fmt: skip
def two_gaussians(n: int, seed: int) -> dict[str, Any]:
    return {"arrays": gaussians((0.0, 1.0), (2.0, 0.25), n, seed)}


@register(
    name="many-dimensions", title="Five Gaussians in 128 dimensions", kind=KIND,
    summary="From N(0, I) to five round Gaussians of variances 1/4 to 1, their centres at distance 6 from 0.",
    options={"d": (128, (1, 1024)), "n": (1000, (2, 100_000)), "seed": (0, (0, 2**32 - 1))},
)  # fmt: skip
def many_dimensions(d: int, n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, d))
    centres *= 6 / np.linalg.norm(centres, axis=1, keepdims=True)
    variances, of = rng.uniform(0.25, 1.0, 5), rng.integers(5, size=n)
    x = centres[of] + np.sqrt(variances[of])[:, None] * rng.normal(size=(n, d))
    laws = {"weights": np.full(5, 0.2), "centres": centres, "variances": variances}
    source = {"source_weights": np.ones(1), "source_centres": np.zeros((1, d)), "source_variances": np.ones(1)}
    return {"arrays": {"x": x, "x0": rng.normal(size=(n, d)), **laws, **source}}

"""What the studies of probability paths share: the laws that samples come with, and the window of a cloud."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from lab import paths


def target_of(arrays: Mapping[str, Any]) -> paths.Mixture | paths.Boxes | paths.Empirical:
    """The law that the data were drawn from where it is known, else the data themselves."""
    if "centres" in arrays:
        return paths.Mixture(*(jnp.asarray(arrays[key]) for key in ("weights", "centres", "variances")))
    if "low" in arrays:
        return paths.Boxes(*(jnp.asarray(arrays[key]) for key in ("low", "high", "weights")))
    return paths.Empirical(jnp.asarray(arrays["x"]))


def source_of(arrays: Mapping[str, Any]) -> paths.Mixture | paths.Empirical:
    """The law at t = 0: of the data set where it has one, else N(0, I)."""
    if "source_centres" in arrays:
        keys = ("source_weights", "source_centres", "source_variances")
        return paths.Mixture(*(jnp.asarray(arrays[key]) for key in keys))
    if "x0" in arrays:
        return paths.Empirical(jnp.asarray(arrays["x0"]))
    return paths.standard(arrays["x"].shape[1])


def is_known(arrays: Mapping[str, Any]) -> bool:
    """Whether the law of the data is known, and not only samples of it."""
    return "centres" in arrays or "low" in arrays


def window(*clouds: Any, air: float = 0.06) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes that hold all but the farthest 1 in 500 points of each cloud, (..., 2), with a little air."""
    low = np.min([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.002, axis=0) for c in clouds], axis=0)
    high = np.max([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.998, axis=0) for c in clouds], axis=0)
    pad = air * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - pad, high + pad
    return (float(left), float(right)), (float(bottom), float(top))

"""The part of the plane that holds a cloud."""

from typing import Any

import numpy as np


def window(*clouds: Any, air: float = 0.06) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes that hold all but the farthest 1 in 500 points of each cloud, (..., 2), with a little air."""
    low = np.min([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.002, axis=0) for c in clouds], axis=0)
    high = np.max([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.998, axis=0) for c in clouds], axis=0)
    pad = air * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - pad, high + pad
    return (float(left), float(right)), (float(bottom), float(top))


def middles(low: float, high: float, n: int) -> np.ndarray:
    """(n,) middles of equal cells of an interval."""
    return low + (high - low) * (np.arange(n) + 0.5) / n

"""The part of the plane that holds a cloud."""

from typing import Any

import numpy as np


def window(*clouds: Any, air: float = 0.06) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes that hold all but the farthest points of each cloud, with a little air.

    Args:
        clouds: (..., 2) each; of every coordinate the quantiles 0.002 and 0.998 count, what is NaN is left out.
        air: on each side, as a share of the extent, which counts as 0.001 at least.

    Returns:
        (left, right) and (bottom, top).

    Examples:
        >>> from lab.studies import draw
        >>> draw.window([[0.0, 0.0], [0.0, 0.0]], air=1.0)
        ((-0.001, 0.001), (-0.001, 0.001))
    """
    low = np.min([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.002, axis=0) for c in clouds], axis=0)
    high = np.max([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.998, axis=0) for c in clouds], axis=0)
    pad = air * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - pad, high + pad
    return (float(left), float(right)), (float(bottom), float(top))


def middles(low: float, high: float, n: int) -> np.ndarray:
    """(n,) middles of equal cells of an interval."""
    return low + (high - low) * (np.arange(n) + 0.5) / n

"""The directions in which a cloud of points is widest, with a fixed sign, so that one cloud looks the same everywhere."""

import numpy as np
from jaxtyping import Float


def principal_axes(x: Float[np.ndarray, "n d"], count: int = 2) -> Float[np.ndarray, "d seen"]:
    """The first principal axes about 0, as columns; centre the points before. Of at most ``count`` dimensions those themselves.

    The largest entry of each axis is positive. Time O(n d min(n, d)).

    >>> principal_axes(np.array([[0.0, 3.0, 0.0], [0.0, -3.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])).T
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    n, d = x.shape
    if d <= count:
        return np.eye(d, dtype=x.dtype)
    few = n < d
    axes = (
        np.linalg.svd(x, full_matrices=False)[2][:count].T if few else np.linalg.eigh(x.T @ x)[1][:, : -count - 1 : -1]
    )
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return axes * np.where(largest < 0, -1.0, 1.0)[None, :].astype(x.dtype)

"""What the marks of a picture stand for: a pointer over one lights the same thing in every picture of a page."""

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np

WHO = hv.Dimension("who")  # by kind of thing, the number of each mark


def same[T](layer: T, **ids: Any) -> T:
    """The layer, of which it is known what its marks stand for: a pointer over one lights the same thing in other pictures.

    Args:
        layer: one layer, with a mark for each number.
        ids: for each kind of thing the whole number (n,) of each mark, in order; negative where it stands for none.

    Returns:
        a copy that says so.

    Examples:
        >>> from lab.studies import draw
        >>> from lab.studies.draw.sameness import known
        >>> known(draw.same(draw.points([0, 1], [0, 1]), row=[7, 3]))["row"].tolist()
        [7, 3]
    """
    told = {kind: np.atleast_1d(np.asarray(numbers)).astype(np.int64) for kind, numbers in ids.items()}
    return layer.clone(cdims={**layer.cdims, WHO: told})  # type: ignore[attr-defined]


def known(layer: Any) -> Mapping[str, np.ndarray]:
    """What the marks of a layer stand for, by kind."""
    return layer.cdims.get(WHO, {})


def began(positions: Any) -> np.ndarray:
    """A number for each particle by where it begins, so that it is the same one in all pictures.

    Args:
        positions: (n, d) where each begins.

    Returns:
        (n,) whole numbers, equal where the places are equal in single precision; -1 where a place is not finite.

    Examples:
        >>> from lab.studies import draw
        >>> first, second, third = draw.began([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
        >>> bool(first == third != second)
        True
    """
    start = np.ascontiguousarray(np.asarray(positions, np.float32) + 0.0)  # no zero with a sign
    bits = start.view(np.uint32).astype(np.uint64)
    hashed = np.zeros(len(start), np.uint64)
    for column in bits.T:
        hashed = (hashed ^ column) * np.uint64(1099511628211) & np.uint64(0xFFFFFFFFFFFF)
    return np.where(np.isfinite(start).all(axis=1), (hashed % np.uint64(2**31 - 1)).astype(np.int64), -1)

"""Functions of three shares that sum to 1, as colours on a triangle."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np

from .axes import frame
from .layers import COLUMNS
from .look import INK, MUTED, current, dress, ramp, sequential
from .pointers import tips
from .writing import text

_SIDE = 181  # pixels along the base
_HIGH = 3**0.5 / 2
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, _HIGH]])


def ternary_place(p: Any) -> np.ndarray:
    """Where mixtures of three sources are: the first alone bottom left, the second bottom right, the third on top.

    Args:
        p: (k, 3) shares that sum to 1, or (3,).

    Returns:
        (k, 2) places in a triangle of side 1, or (2,).

    Examples:
        >>> from lab.studies import draw
        >>> draw.ternary_place([[0, 1, 0], [0.5, 0.5, 0]]).tolist()
        [[1.0, 0.0], [0.5, 0.0]]
    """
    return np.asarray(p, float) @ _CORNERS


def ternary_shares(x: float, y: float, *, beyond: bool = False) -> np.ndarray | None:
    """The mixture at a place of the triangle; a finger's breadth outside counts as its edge.

    Args:
        x: the place, across.
        y: the place, up.
        beyond: all that is outside counts as its edge, as where a hand that drags has left it.

    Returns:
        (3,) shares that sum to 1; None outside of the triangle.

    Examples:
        >>> from lab.studies import draw
        >>> draw.ternary_shares(0.5, 0.0).tolist(), draw.ternary_shares(2.0, 0.0)
        ([0.5, 0.5, 0.0], None)
    """
    third = y / _HIGH
    p = np.array([1 - x - third / 2, x - third / 2, third])
    if p.min() < -0.06 and not beyond:
        return None
    p = np.maximum(p, 0)
    return p / p.sum()


def ternary(
    p: Any,
    values: Any,
    names: Sequence[str],
    *,
    marks: Sequence[Any] = (),
    clabel: str = "value",
    reverse: bool = False,
    height: int = 380,
) -> hv.Overlay:
    """A map of values over the simplex of three shares, straight between the mixtures at which they are known.

    Args:
        p: (k, 3) mixtures, the corners among them.
        values: (k,); the darkest is the largest; what is not finite is left out.
        names: of the three corners.
        marks: layers on top, at places of ``ternary_place``.
        clabel: what the colours are, with its unit.
        reverse: the darkest is the least.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> picture = draw.ternary(np.eye(3), [0.0, 0.0, 1.0], ["one", "two", "three"])
        >>> shade = picture.get(0).dimension_values("z", flat=False)  # the third share itself
        >>> round(float(np.nanmax(shade)), 1)
        1.0
    """
    p, values = np.asarray(p, float), np.asarray(values, float)
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    tints = ramp((current().wash, *sequential()[::64][1:]))
    picture = hv.Image(
        _pixels(p[known], values[known]).astype(np.float32), ["x", "y"], "z", bounds=(0.0, 0.0, 1.0, _HIGH)
    )
    dress(
        picture,
        both={"cmap": list(tints)[::-1] if reverse else list(tints), "clim": (low, high if high > low else low + 1.0)},
        bokeh={"colorbar": True, "clabel": "", **tips((clabel, "@image"))},
        mpl={"interpolation": "nearest"},
    )
    around = np.vstack([_CORNERS, _CORNERS[:1]])
    edge = hv.Curve((around[:, 0], around[:, 1]), "x", "y", **COLUMNS)
    dress(edge, both={"color": current().muted}, bokeh={"line_width": 1}, mpl={"linewidth": 0.5})
    words = [
        text([0.0], [-0.03], names[0], color=INK, up="top", side="left"),
        text([1.0], [-0.03], names[1], color=INK, up="top", side="right"),
        text([0.5], [_HIGH + 0.02], names[2], color=INK, up="bottom", side="center"),
    ]
    # what the colours are stands on top: beside the bar it would lie on the numbers where there are no axes
    words.append(text([-0.08], [_HIGH + 0.19], clabel, color=MUTED, up="top"))
    nothing = "" if known.any() else "nothing to show: there are no finite values"
    words.append(text([0.5], [0.2], nothing, color=MUTED, side="center"))
    layers = [picture, edge, *marks, *words]
    ends = (0.0, 1.0), (0.0, _HIGH)  # with which nothing but the map tells of itself under a pointer
    x, y = (-0.08, 1.08), (-0.12, _HIGH + 0.2)
    return frame(layers, x, y, equal=True, bare=True, height=height, bounds=ends, clabel="")


def _pixels(p: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rows from the top, NaN outside of the triangle."""
    from scipy.interpolate import LinearNDInterpolator

    x, y = (np.arange(n) + 0.5 for n in (_SIDE, round(_SIDE * _HIGH)))
    third = (y / y.size)[::-1, None]
    second = x[None, :] / x.size - third / 2
    inside = (second >= 0) & (1 - second - third >= 0)
    found = np.full(inside.shape, np.nan)
    if len(p) >= 3:
        shares = np.stack(
            [np.broadcast_to(second, inside.shape)[inside], np.broadcast_to(third, inside.shape)[inside]], 1
        )
        found[inside] = LinearNDInterpolator(p[:, 1:], values)(shares)
    return found

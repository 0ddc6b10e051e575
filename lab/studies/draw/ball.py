"""The unit sphere with ways on it, as a body in space."""

from functools import cache
from typing import Any

import numpy as np

from .look import INK, MUTED, SOURCE, TARGET, blend, current
from .space import Body

_PLACES, _PARTS = 1500, 16  # vertices of the sphere, and parts of a way
_ABOVE = 0.004  # radii that a way is above the sphere, of which the chords of its faces lie some way below


def geodesics(start: Any, end: Any, parts: int = _PARTS) -> np.ndarray:
    r"""The shortest ways on the unit sphere, at even distances; between antipodes, of which no way is shortest, one of them.

    $$ x(t) = \cos(t \theta) \, x + \sin(t \theta) \, v, \qquad
    \theta = \angle(x, y), \quad v = \frac{y - \langle x, y \rangle x}{\|y - \langle x, y \rangle x\|} $$

    Args:
        start: (n, 3) of length 1.
        end: (n, 3) of length 1.
        parts: how many steps each way has.

    Returns:
        (n, parts + 1, 3), from start to end.

    Examples:
        >>> from lab.studies import draw
        >>> draw.geodesics([[1, 0, 0]], [[0, 1, 0]], parts=2).round(3).tolist()
        [[[1.0, 0.0, 0.0], [0.707, 0.707, 0.0], [0.0, 1.0, 0.0]]]
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    away = end - (start * end).sum(1, keepdims=True) * start
    sine = np.linalg.norm(away, axis=1, keepdims=True)
    spare = np.eye(3)[np.abs(start).argmin(axis=1)]
    spare = spare - (spare * start).sum(1, keepdims=True) * start
    away = np.where(sine > 1e-9, away / np.maximum(sine, 1e-300), spare / np.linalg.norm(spare, axis=1, keepdims=True))
    angle = (
        np.arctan2(sine[:, 0], (start * end).sum(axis=1))[:, None, None] * np.linspace(0, 1, parts + 1)[None, :, None]
    )
    return np.cos(angle) * start[:, None] + np.sin(angle) * away[:, None]


def sphere_ways(start: Any, end: Any, weight: Any = 1.0, *, dots: int = 60) -> Body:
    """The unit sphere, the shortest ways from points to their images as strips on it, and the first of both marked.

    Args:
        start: (n, 3) of length 1, the points: blue.
        end: (n, 3) of length 1, their images: orange.
        weight: one for all or (n,); the strips are as wide, relative to the widest.
        dots: pairs that are marked.

    Returns:
        a ``Body`` for ``surfaces``.

    Examples:
        >>> from lab.studies import draw
        >>> body = draw.sphere_ways([[1, 0, 0]], [[0, 1, 0]])
        >>> len(body.marks), body.tints
        (2, ['source', 'target'])
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    ways = geodesics(start, end)
    weight = np.broadcast_to(np.asarray(weight, float), len(start))
    wide = 0.003 + 0.012 * weight / max(float(weight.max(initial=0.0)), 1e-12)
    along = np.gradient(ways, axis=1)
    across = np.cross(ways, along)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-12)
    sides = [ways + sign * wide[:, None, None] * across for sign in (-1, 1)]
    strips = (1 + _ABOVE) * np.stack(sides, axis=2)  # (n, parts + 1, 2, 3)
    corner = np.arange(strips[..., 0].size).reshape(strips.shape[:3])
    a, b, c, d = corner[:, :-1, 0], corner[:, :-1, 1], corner[:, 1:, 0], corner[:, 1:, 1]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    ball, skin = _ball()
    count = strips[..., 0].size
    tints = np.repeat(_shares([blend(MUTED, 0.3), blend(INK, 0.6)]), [len(ball), count], axis=0)
    marks = np.concatenate([start[:dots], end[:dots]])
    return Body(
        np.concatenate([ball, strips.reshape(-1, 3)]),
        np.concatenate([skin, faces + len(ball)]),
        tints,
        marks,
        [SOURCE] * len(start[:dots]) + [TARGET] * len(end[:dots]),
    )


@cache
def _ball() -> tuple[np.ndarray, np.ndarray]:
    """Even places on the unit sphere, and faces that all look outwards."""
    from scipy.spatial import ConvexHull

    turn = np.arange(_PLACES) * np.pi * (3 - 5**0.5)
    height = 1 - (2 * np.arange(_PLACES) + 1) / _PLACES
    flat = np.sqrt(1 - height**2)
    places = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
    faces = ConvexHull(places).simplices
    inwards = np.linalg.det(places[faces]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return places, faces


def _shares(tints: list[str]) -> np.ndarray:
    return np.array([[int(current().colour(tint)[i : i + 2], 16) / 255 for i in (1, 3, 5)] for tint in tints])

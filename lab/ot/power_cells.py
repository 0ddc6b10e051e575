r"""Power cells within the unit square, exactly: areas, their slopes in the heights, and second moments; on the host.

Cell i is $\{x : \langle x, y_i \rangle + h_i \ge \langle x, y_j \rangle + h_j \ \forall j\}$. Which cells touch is told by the
lower hull of (y, -2h) (Qhull); the square is clipped with the half-planes of those neighbours.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float, Int
from scipy.spatial import ConvexHull, QhullError

_SIDES = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [-1.0, 0.0, 0.0]])
"""Normal and level of the sides of the square, counter-clockwise from the bottom, whose tags are -1, ..., -4."""


class Diagram(NamedTuple):
    polygons: list[np.ndarray]
    edges: list[np.ndarray]  # tag of the edge from each corner to the next: the neighbor, or a side of the square
    area: np.ndarray
    slope: Any  # d area_i / d h_j, sparse


def whole(y: np.ndarray, h: np.ndarray) -> Diagram:
    """The power cells within the square, however small, of sites (n, 2) and heights (n,)."""
    found = cut(y, h, 0.0)
    assert found is not None  # no area is below 0
    return found


def cut(y: np.ndarray, h: np.ndarray, least: float) -> Diagram | None:
    """The power cells within the square, by clipping it with the half-planes of the neighbours in the plane; None as soon as
    one is found whose area is below ``least``."""
    around = _neighbours(y, h)
    polygons, tags, area, rows, columns, values = [], [], [], [], [], []
    for i, others in enumerate(around):
        corners, edges = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.arange(-1, -5, -1)
        for j in others:
            corners, edges = _clipped(corners, edges, y[j] - y[i], h[i] - h[j], j)
            if not len(corners):
                break
        polygons.append(corners)
        tags.append(edges)
        area.append(_area(corners))
        if area[-1] < least:
            return None
        lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1) if len(corners) else np.zeros(0)
        for j, length in zip(edges, lengths, strict=True) if len(corners) else ():
            if j >= 0:
                rows.append(i)
                columns.append(j)
                values.append(-length / np.linalg.norm(y[i] - y[j]))
    m = len(y)
    across: Any = scipy.sparse.csc_matrix((values, (rows, columns)), shape=(m, m))
    across = (across + across.T) / 2  # one edge, found from both sides
    slope = across - scipy.sparse.diags(np.asarray(across.sum(axis=1)).ravel())
    return Diagram(polygons, tags, np.array(area), slope.tocsc())


def _neighbours(y: np.ndarray, h: np.ndarray) -> list[list[int]]:
    """Which cells touch in the plane: the edges of the lower hull of (y, -2h); all pairs where these lie in a plane."""
    m = len(y)
    everyone = [[j for j in range(m) if j != i] for i in range(m)]
    if m <= 4:
        return everyone
    spread, axes = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)[1:]
    if spread[1] <= 1e-12 * spread[0]:
        return _neighbours_on_line(y @ axes[0], h, everyone)
    try:
        hull = ConvexHull(np.column_stack([y, -2 * h]))
    except QhullError:
        return everyone
    found: list[set[int]] = [set() for _ in range(m)]
    for simplex, normal in zip(hull.simplices, hull.equations, strict=True):
        if normal[2] < 1e-12:  # below, or upright
            for i in simplex:
                found[i].update(int(j) for j in simplex if j != i)
    # what is not on the hull has an empty cell, which any of its neighbours need not show: clip it with all
    return [sorted(others) if others else everyone[i] for i, others in enumerate(found)]


def _neighbours_on_line(t: np.ndarray, h: np.ndarray, everyone: list[list[int]]) -> list[list[int]]:
    """The same of points on a line, at t: cells are strips."""
    hull: list[int] = []
    for i in np.argsort(t).tolist():
        while len(hull) > 1:
            a, b = hull[-2:]
            if (t[b] - t[a]) * (h[b] - h[i]) + (t[i] - t[b]) * (h[b] - h[a]) > 0:  # b lies below the line from a to i
                break
            hull.pop()
        hull.append(i)
    found = list(everyone)
    for place, i in enumerate(hull):
        found[i] = [hull[other] for other in (place - 1, place + 1) if 0 <= other < len(hull)]
    return found


def _clipped(
    corners: np.ndarray, edges: np.ndarray, normal: np.ndarray, level: float, tag: int
) -> tuple[np.ndarray, np.ndarray]:
    """What of a polygon has <x, normal> <= level; edge k goes from corner k to the next, and the new one is tagged."""
    side = corners @ normal - level
    if (side <= 0).all():
        return corners, edges
    points, tags = [], []
    for k in range(len(corners)):
        here, there = side[k], side[(k + 1) % len(corners)]
        start, end = corners[k], corners[(k + 1) % len(corners)]
        if here <= 0:
            points.append(start)
            tags.append(edges[k])
        if (here < 0 < there) or (there < 0 < here):
            points.append(start + here / (here - there) * (end - start))
            tags.append(tag if here < 0 else edges[k])
        elif here <= 0 < there:  # the corner lies on the line
            tags[-1] = tag
    return (
        (np.array(points).reshape(-1, 2), np.array(tags, int))
        if len(points) > 2
        else (np.zeros((0, 2)), np.zeros(0, int))
    )


def _cross(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    after = np.roll(polygon, -1, axis=0)
    return after, polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]


def _area(polygon: np.ndarray) -> float:
    return float(_cross(polygon)[1].sum() / 2) if len(polygon) else 0.0


def second_moment(polygon: np.ndarray, point: np.ndarray) -> float:
    """The integral of |x - point|^2."""
    if not len(polygon):
        return 0.0
    moved = polygon - point
    after, cross = _cross(moved)
    return float(((moved**2 + moved * after + after**2).sum(axis=1) * cross).sum() / 12)


def lines(cells: Diagram) -> Int[np.ndarray, "n k 2"]:
    """The tags of the two edges that meet in each corner, the last corner repeated; one corner of the square for no cell."""
    most, found = max(4, *map(len, cells.edges)), []
    for edges in cells.edges:
        pairs = np.stack([np.roll(edges, 1), edges], axis=1) if len(edges) else np.array([[-4, -1]])
        found.append(np.concatenate([pairs, np.repeat(pairs[-1:], most - len(pairs), axis=0)]))
    return np.stack(found)


def corners(meet: Int[np.ndarray, "n k 2"], y: Float[Array, "n 2"], h: Float[Array, " n"]) -> Float[Array, "n k 2"]:
    """The corners of cells as functions of sites and heights, by the edges that meet in them."""
    own = np.arange(len(y))[:, None, None]
    apart = jnp.concatenate([y[meet] - y[own], (h[own] - h[meet])[..., None]], axis=-1)
    line = jnp.where((meet >= 0)[..., None], apart, jnp.asarray(_SIDES)[np.where(meet < 0, -meet - 1, 0)])
    (a, b, p), (c, d, q) = (jnp.moveaxis(line[:, :, i], -1, 0) for i in (0, 1))
    return jnp.stack([p * d - b * q, a * q - p * c], axis=-1) / (a * d - b * c)[..., None]


def moments(polygons: Float[Array, "n k 2"], y: Float[Array, "n 2"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The area of each cell and its integral of |x - y|^2."""
    moved = polygons - y[:, None]
    after = jnp.roll(moved, -1, axis=1)
    cross = moved[..., 0] * after[..., 1] - after[..., 0] * moved[..., 1]
    return cross.sum(axis=1) / 2, ((moved**2 + moved * after + after**2).sum(axis=-1) * cross).sum(axis=1) / 12


def settled(
    meet: Int[np.ndarray, "n k 2"], y: Float[Array, "n 2"], h: Float[Array, " n"], masses: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Heights of mean 0 whose cells have these masses, from such heights: with derivatives right to the third order."""

    def areas(free):
        return moments(corners(meet, y, jnp.concatenate([h[:1], free])), y)[0][1:]

    free = h[1:]
    for _ in range(2):
        free = free - jnp.linalg.solve(jax.jacfwd(areas)(free), areas(free) - masses[1:])
    found = jnp.concatenate([h[:1], free])
    return found - found.mean()

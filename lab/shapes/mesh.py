r"""Triangle meshes: surfaces as vertices in space and faces of three of them.

The area of a face is $\frac12 |e|\,|f_\perp|$, e one of its edges and f_\perp the part of another across it: right in any
dimension, also of thin faces, where a root of a difference of lengths is not.

Closed surfaces are not asked for: an edge of one face is a boundary, where functions have no slope across (Neumann). What is
wrong for a method is refused by that method, and ``faults`` tells all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from lab.inputs import listed
from lab.numerics.differentiation import NotDifferentiableError, needs_values

_FLAT = 1e-12  # twice the area of a face, in squares of its longest edge, at which it has none


_REMEDY = (
    "Its Laplacian is a matrix of SciPy: laplacian.dense is the differentiable one of vertices; or differentiate a Surface or "
    "a Spectrum."
)


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface; made by ``mesh``, which checks it. Its arrays are not to be written into.

    Attributes:
        vertices: places (n, d), d at least 2.
        faces: three vertices each (f, 3).
    """

    vertices: Float[np.ndarray, "n d"]
    faces: Int[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        if isinstance(self.vertices, Tracer) or isinstance(self.faces, Tracer):
            raise NotDifferentiableError(f"a Mesh is of NumPy and cannot be traced by jit, vmap or grad. {_REMEDY}")

    @property
    def n(self) -> int:
        """How many vertices."""
        return len(self.vertices)

    @cached_property
    def areas(self) -> Float[np.ndarray, " f"]:
        """Of the faces."""
        return _areas(self.vertices, self.faces)

    @property
    def area(self) -> float:
        """Of the surface."""
        return float(self.areas.sum())


@needs_values(_REMEDY)
def mesh(vertices: Any, faces: Any, *, degenerate: bool = False) -> Mesh:
    """A mesh of float64, checked.

    Args:
        vertices: places (n, d), finite.
        faces: whole numbers (f, 3) from 0 to n - 1.
        degenerate: take faces without area too, which only ``laplacian(..., robust=True)`` can use.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, faces that are no triangles of these vertices or have
            no area, vertices of no face.

    >>> mesh([[0, 0], [1, 0], [0, 1]], [[0, 1, 2]]).area
    0.5
    """
    vertices, faces = _places(vertices), _triples(faces)
    if (wrong := (faces < 0) | (faces >= len(vertices))).any():
        row = int(wrong.any(axis=1).argmax())
        raise ValueError(
            f"face {row} has vertices {faces[row].tolist()}, but there are {len(vertices)}: they are numbered from 0 to "
            f"{len(vertices) - 1}"
        )
    if (free := np.setdiff1d(np.arange(len(vertices)), faces)).size:
        raise ValueError(
            f"{_count(free.size, 'vertex', 'vertices')} of no face ({listed(free, 60)}): leave them out, or use repaired"
        )
    if not degenerate and (flat := _flat(vertices, faces)).size:
        raise ValueError(
            f"{_count(flat.size, 'face')} without area ({listed(flat, 60)}): leave them out, or use repaired"
        )
    vertices.flags.writeable = faces.flags.writeable = False
    return Mesh(vertices, faces)


def _places(vertices: Any) -> np.ndarray:
    try:
        vertices = np.array(vertices, float)
    except (TypeError, ValueError):
        raise ValueError("the vertices are no table of numbers, but places (n, d) are needed") from None
    if vertices.ndim != 2 or len(vertices) < 3 or vertices.shape[1] < 2:
        raise ValueError(
            f"the vertices have shape {vertices.shape}, but places (n, d) of at least 3 vertices are needed"
        )
    if (bad := np.flatnonzero(~np.isfinite(vertices).all(axis=1))).size:
        raise ValueError(
            f"{_count(bad.size, 'vertex', 'vertices')} with a place that is not finite ({listed(bad, 60)})"
        )
    return vertices


def _triples(faces: Any) -> np.ndarray:
    try:
        given = np.asarray(faces)
    except ValueError:  # of unlike lengths
        given = np.empty(0, object)
    if given.ndim != 2 or given.shape[1:] != (3,) or not len(given) or given.dtype.kind not in "iu":
        kind = "unlike lengths" if given.dtype == object else f"shape {given.shape} and type {given.dtype}"
        raise ValueError(
            f"the faces have {kind}, but triangles (f, 3) of whole numbers are needed: divide other faces before"
        )
    return given.astype(np.int64)


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    along, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    square = (along**2).sum(axis=1)
    share = (along * other).sum(axis=1) / np.where(square > 0, square, 1)
    return np.sqrt(square * ((other - share[:, None] * along) ** 2).sum(axis=1)) / 2


def _flat(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces that have no area."""
    corners = vertices[faces]
    longest = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=2).max(axis=1)
    return np.flatnonzero(2 * _areas(vertices, faces) <= _FLAT * longest)


def _count(size: int, one: str, many: str = "") -> str:
    return f"there is 1 {one}" if size == 1 else f"there are {size:,} {many or one + 's'}"


@needs_values(_REMEDY)
def repaired(vertices: Any, faces: Any) -> Mesh:
    r"""Vertices at one place made one, faces without area and vertices of no face left out.

    A face has no area where twice it, $|e \times f|$, is at most 1e-12 of the square of its longest edge.

    Args:
        vertices: places (n, d), finite.
        faces: whole numbers (f, 3) from 0 to n - 1.

    Returns:
        the mesh, whose vertices are in the order of their coordinates.

    Raises:
        ValueError: as ``mesh``, where nothing remains.

    Source:
        Botsch, Kobbelt, Pauly, Alliez and Levy, Polygon Mesh Processing, on repair.

    Examples:
        >>> from lab import shapes
        >>> found = shapes.repaired([[0, 0], [1, 0], [0, 1], [0, 1], [5, 5]], [[0, 1, 3], [0, 2, 3]])
        >>> found.n, len(found.faces)
        (3, 1)
    """
    vertices, faces = _places(vertices), _triples(faces)
    if (faces < 0).any() or (faces >= len(vertices)).any():
        mesh(vertices, faces)  # says so
    vertices, same = np.unique(vertices, axis=0, return_inverse=True)
    faces = same.reshape(-1)[faces]
    faces = np.delete(faces, _flat(vertices, faces), axis=0)
    if not len(faces):
        raise ValueError("no face has an area: nothing remains of this mesh")
    used, faces = np.unique(faces, return_inverse=True)
    return mesh(vertices[used], faces.reshape(-1, 3))


class Edges(NamedTuple):
    """All edges, each once."""

    ends: Int[np.ndarray, "e 2"]  # the lower first
    faces: Int[np.ndarray, " e"]  # of how many faces each is
    turns: Int[np.ndarray, " e"]  # how often it is run upwards, less how often downwards: 0 within an oriented surface


def edges(shape: Mesh) -> Edges:
    """The edges of a mesh."""
    run = np.concatenate([shape.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    ends, which, count = np.unique(np.sort(run, axis=1), axis=0, return_inverse=True, return_counts=True)
    turns = np.bincount(which.reshape(-1), np.where(run[:, 0] < run[:, 1], 1, -1)).astype(int)
    return Edges(ends, count, turns)


def boundary(shape: Mesh) -> Int[np.ndarray, "b 2"]:
    """Edges of one face; none of a closed surface."""
    found = edges(shape)
    return found.ends[found.faces == 1]


def components(shape: Mesh) -> Int[np.ndarray, " n"]:
    """Of each vertex the number of its connected part, from 0."""
    ends = edges(shape).ends
    joined = sparse.coo_array((np.ones(len(ends)), ends.T), shape=(shape.n, shape.n))
    return csgraph.connected_components(joined, directed=False)[1].astype(np.int64)


def flat_faces(shape: Mesh) -> Int[np.ndarray, " b"]:
    """The faces without area: twice it is below 1e-12 of the square of the longest edge."""
    return _flat(shape.vertices, shape.faces)


def faults(shape: Mesh) -> tuple[str, ...]:
    """What a method may refuse, or mind, a sentence each; none of a closed, connected and oriented surface."""
    return tuple(_faults(shape))


def _faults(shape: Mesh) -> Iterator[str]:
    found = edges(shape)
    if (flat := flat_faces(shape)).size:
        yield f"{_count(flat.size, 'face')} without area ({listed(flat, 60)})"
    if (many := found.ends[found.faces > 2]).size:
        yield f"{_count(len(many), 'edge')} of more than two faces ({listed(map(tuple, many.tolist()), 60)})"
    if (turned := found.ends[(found.faces == 2) & (found.turns != 0)]).size:
        yield f"{_count(len(turned), 'edge')} whose two faces are oriented unlike"
    if rim := int((found.faces == 1).sum()):
        yield f"the surface is open: {_count(rim, 'edge')} of one face"
    if parts := components(shape).max():
        yield f"the surface has {parts + 1} parts that are not connected"


def normalised(shape: Mesh) -> Mesh:
    """About the mean of its vertices, with area 1."""
    moved = (shape.vertices - shape.vertices.mean(axis=0)[None, :]) / np.sqrt(shape.area)
    return mesh(moved, shape.faces, degenerate=True)


def permuted(shape: Mesh, order: Int[np.ndarray, " n"]) -> Mesh:
    """The same surface with its vertices in another order: vertex i is what ``order[i]`` was.

    Raises:
        ValueError: an order that has not each vertex once.
    """
    order = np.asarray(order)
    if not np.array_equal(np.sort(order), np.arange(shape.n)):
        raise ValueError(f"the order must have each of the {shape.n} vertices once")
    return mesh(shape.vertices[order], np.argsort(order)[shape.faces], degenerate=True)


@needs_values(_REMEDY)
def transformed(shape: Mesh, matrix: Any, shift: Any = 0.0) -> Mesh:
    """Each place x as A x + b. Where A mirrors, the faces are turned too, so that their outside stays outside."""
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or matrix.shape[1] != shape.vertices.shape[1] or not np.isfinite(matrix).all():
        raise ValueError(f"matrix has shape {matrix.shape}, but a finite (e, {shape.vertices.shape[1]}) is needed")
    mirrors = matrix.shape[0] == matrix.shape[1] and np.linalg.det(matrix) < 0
    moved = shape.vertices @ matrix.T + np.broadcast_to(np.asarray(shift, float), matrix.shape[:1])[None, :]
    return mesh(moved, shape.faces[:, ::-1] if mirrors else shape.faces, degenerate=True)

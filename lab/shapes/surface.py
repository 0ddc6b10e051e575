r"""What learning needs of a surface, as arrays: its spectrum, features to begin with, and slopes.

A slope in the tangent plane is the least-squares fit of the differences to the neighbours,
$g_i = (W^\top W + \epsilon I)^{-1} W^\top (f_j - f_i)_j$, W being the edges from vertex i along a frame of its plane. The
frame is arbitrary: what is made of slopes must not depend on it.

Surfaces of unlike sizes are padded: what is added has mass 0.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.numerics.host import placed
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import Mesh, edges, normalised
from lab.shapes.signatures import wave_kernel
from lab.shapes.spectrum import spectrum

_TIED = 1e-5  # epsilon, in units of the trace of W^T W


class Surface(eqx.Module):
    """A surface of area 1; stacked ones have one axis more at the front.

    Attributes:
        values, functions, mass: the spectrum of the first k eigenfunctions.
        descriptors: features of each vertex to begin with.
        ends, weights: the edges, and -L_ij of each.
        neighbours: of each vertex m, itself where it has fewer.
        slopes: what each difference to a neighbour adds to the slope, in the frame of the vertex.
    """

    values: Float[Array, "*s k"]
    functions: Float[Array, "*s n k"]
    mass: Float[Array, "*s n"]
    descriptors: Float[Array, "*s n c"]
    vertices: Float[Array, "*s n 3"]
    ends: Int[Array, "*s e 2"]
    weights: Float[Array, "*s e"]
    neighbours: Int[Array, "*s n m"]
    slopes: Float[Array, "*s n m 2"]

    @property
    def inverse(self) -> Float[Array, "*s k n"]:
        r"""$\Phi^+ = \Phi^\top M$; 0 at padding."""
        return jnp.swapaxes(self.functions * self.mass[..., None], -1, -2)


def surface(
    shape: Mesh, k: int, descriptors: Any = None, *, channels: int = 128, robust: bool = False, dtype: Any = np.float32
) -> Surface:
    """A mesh, with area 1 about its mean. Descriptors may be traced.

    Args:
        k: eigenfunctions, for diffusion and for functional maps.
        descriptors: features (n, c) of the vertices; the wave kernel signature of the k eigenfunctions when omitted.
        channels: of that.
        robust: as of ``laplacian``.
        dtype: of the learning; the spectrum is of float64 anyway.

    Raises:
        ValueError: as ``laplacian``, ``spectrum`` and ``wave_kernel``, or descriptors that do not fit or are not finite.
    """
    shape = normalised(shape)
    operator = laplacian(shape, robust=robust)
    found = spectrum(operator, k)
    traced = isinstance(descriptors, Tracer)
    given: Any = wave_kernel(found, channels) if descriptors is None else descriptors
    given = given if traced else np.asarray(given, float)
    if given.ndim != 2 or len(given) != shape.n or not (traced or np.isfinite(given).all()):
        raise ValueError(f"the descriptors have shape {given.shape}, but finite ones ({shape.n}, c) are needed")
    stiffness = operator.stiffness.tocoo()
    upper = stiffness.row < stiffness.col
    ends = np.stack([stiffness.row, stiffness.col], axis=1)[upper]
    neighbours, slopes = tangent_slopes(shape)
    real = [found.values, found.functions, found.mass, shape.vertices, -stiffness.data[upper], slopes]
    values, functions, mass, vertices, weights, slopes = (placed(each.astype(dtype)) for each in real)
    given = given.astype(dtype) if traced else placed(given.astype(dtype))
    whole = [placed(each.astype(np.int32)) for each in (ends, neighbours)]
    return Surface(values, functions, mass, given, vertices, whole[0], weights, whole[1], slopes)


def tangent_slopes(shape: Mesh) -> tuple[Int[np.ndarray, "n m"], Float[np.ndarray, "n m 2"]]:
    """The neighbours of each vertex and their shares in its slope; the frame is along the first axis that is not the normal's.

    Raises:
        ValueError: a surface that is not in space, which has no normals.
    """
    if shape.vertices.shape[1] != 3:
        raise ValueError(
            f"the vertices have {shape.vertices.shape[1]} coordinates, but normals are of surfaces in space"
        )
    first, second = tangent_frames(shape)
    ends = edges(shape).ends
    both = np.concatenate([ends, ends[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    degree = np.bincount(both[:, 0], minlength=shape.n)
    place = np.arange(len(both)) - np.repeat(np.cumsum(degree) - degree, degree)
    neighbours = np.tile(np.arange(shape.n)[:, None], (1, int(degree.max())))
    neighbours[both[:, 0], place] = both[:, 1]
    along = shape.vertices[neighbours] - shape.vertices[:, None]
    flat = np.stack([(along * axis[:, None]).sum(axis=-1) for axis in (first, second)], axis=-1)
    gram = np.einsum("nmi,nmj->nij", flat, flat)
    tied = gram + _TIED * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(2)[None]
    return neighbours, np.einsum("nij,nmj->nmi", np.linalg.inv(tied), flat)


def tangent_frames(shape: Mesh) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Two unit vectors at each vertex, across the normal (of the areas of its faces), turning left seen from outside."""
    corners = shape.vertices[shape.faces]
    of_faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.stack([np.bincount(shape.faces.ravel(), np.repeat(each, 3), shape.n) for each in of_faces.T], axis=1)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    axis = np.eye(3)[np.abs(normal).argmin(axis=1)]
    first = axis - (axis * normal).sum(axis=1, keepdims=True) * normal
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(normal, first)


def stacked(surfaces: Sequence[Surface]) -> tuple[Surface, bool]:
    """Several as one, and whether any had to be padded for that. Works under ``jit``.

    Raises:
        ValueError: none, or surfaces of unlike numbers of eigenfunctions or descriptors.
    """
    if not surfaces or len({(each.values.size, each.descriptors.shape[1]) for each in surfaces}) > 1:
        raise ValueError("at least one surface is needed, and all with as many eigenfunctions and descriptors")
    n, m, e = (max(sizes) for sizes in zip(*(_sizes(each) for each in surfaces), strict=True))
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(surfaces))
    xp: Any = jnp if traced else np  # of NumPy nothing is compiled
    whole = [_padded(each, n, m, e, xp) for each in surfaces]
    joined = [xp.stack(leaves) for leaves in zip(*whole, strict=True)]
    return Surface(*map(placed, joined)), any(len(one.mass) < n for one in surfaces)


def _sizes(one: Surface) -> tuple[int, int, int]:
    n, m = one.neighbours.shape
    return n, m, len(one.ends)


def _padded(one: Surface, n: int, m: int, e: int, xp: Any) -> tuple[Any, ...]:
    """The arrays of a surface; what is added has mass 0, functions 0, edges of weight 0, and is its own neighbour."""

    def rows(given: Any, count: int) -> Any:
        array = xp.asarray(given)
        return xp.concatenate([array, xp.zeros((count - len(array), *array.shape[1:]), array.dtype)])

    size, width = one.neighbours.shape
    own = np.tile(np.arange(n, dtype=np.int32)[:, None], (1, m))
    wide = xp.concatenate([xp.asarray(one.neighbours), own[:size, width:]], axis=1)
    neighbours = xp.concatenate([wide, own[size:]])
    slopes = xp.asarray(one.slopes)
    slopes = rows(xp.concatenate([slopes, xp.zeros((size, m - width, 2), slopes.dtype)], axis=1), n)
    functions, mass, descriptors, vertices = (
        rows(each, n) for each in (one.functions, one.mass, one.descriptors, one.vertices)
    )
    ends, weights = rows(one.ends, e), rows(one.weights, e)
    return xp.asarray(one.values), functions, mass, descriptors, vertices, ends, weights, neighbours, slopes

r"""The Laplace-Beltrami operator of a mesh, by linear finite elements: stiffness L, positive semi-definite, and lumped mass M.

$$ L_{ij} = -\tfrac12 (\cot \alpha_{ij} + \cot \beta_{ij}), \qquad L_{ii} = -\sum_j L_{ij}, \qquad
   m_i = \tfrac13 \sum_{f \ni i} \mathrm{area}_f $$

with the angles opposite to edge ij. Of a face with edges of lengths a, b, c the angle opposite to a has
$\cot = (b^2 + c^2 - a^2) / (4\,\mathrm{area}) = \langle e, f \rangle / (2\,\mathrm{area})$, e and f being the edges at that
corner: lengths alone, so that surfaces in any dimension have one. A boundary has no slope across (Neumann).

With ``robust`` it is the tufted intrinsic Delaunay Laplacian, of the package robust-laplacian: the same operator on a better
triangulation of the same surface, which has no negative weight and takes faces without area and edges of many faces.

Source: Pinkall, Polthier, *Computing discrete minimal surfaces*, 1993; Sharp, Crane, *A Laplacian for nonmanifold triangle
meshes*, SGP 2020.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from scipy import sparse

from lab.inputs import listed
from lab.shapes.extras import extra
from lab.shapes.mesh import Mesh, edges, flat_faces

_CORNERS = (0, 1, 2), (1, 2, 0), (2, 0, 1)  # the first corner is opposite to the edge of the others


class Laplacian(NamedTuple):
    """L u = lambda M u."""

    stiffness: Any  # (n, n), symmetric, of rows that sum to 0; sparse but for ``dense``
    mass: Float[Any, " n"]  # of total the area


def laplacian(shape: Mesh, *, robust: bool = False) -> Laplacian:
    """The operator of a mesh. Error of an eigenvalue O(h^2) in the length h of edges.

    Args:
        robust: by the tufted intrinsic Delaunay triangulation, for bad triangles; in 3 dimensions.

    Raises:
        ValueError: faces without area or edges of more than two faces, which need ``robust``; or that in another dimension.
    """
    if robust:
        return _robust(shape)
    if (found := edges(shape)).faces.max() > 2:
        many = map(tuple, found.ends[found.faces > 2].tolist())
        raise ValueError(
            f"edges of more than two faces ({listed(many, 60)}): take robust=True, or leave out faces there"
        )
    if (flat := flat_faces(shape)).size:
        raise ValueError(f"faces without area ({listed(flat, 60)}): take robust=True, or leave them out")
    corners = shape.vertices[shape.faces]
    weights, at = [], []
    for i, j, k in _CORNERS:
        dots = ((corners[:, j] - corners[:, i]) * (corners[:, k] - corners[:, i])).sum(axis=1)
        weights.append(dots / (4 * shape.areas))
        at.append(shape.faces[:, [j, k]])
    weight, ends = np.concatenate(weights), np.concatenate(at)
    half = sparse.coo_array((weight, ends.T), shape=(shape.n, shape.n))
    both = (half + half.T).tocsr()
    stiffness = (sparse.diags_array(np.asarray(both.sum(axis=1)).ravel()) - both).tocsr()
    mass = np.bincount(shape.faces.ravel(), np.repeat(shape.areas / 3, 3), shape.n)
    return Laplacian(stiffness, mass)


def dense(vertices: ArrayLike, faces: Any) -> Laplacian:
    r"""The operator as matrices (n, n) and (n,) of JAX, differentiable in the vertices; memory O(n^2).

    For meshes whose vertices are traced, which ``laplacian`` cannot take: its stiffness is a sparse matrix of SciPy. Nothing is
    checked: a face without area gives NaN.

    Args:
        vertices: places (n, d), of one length unit.
        faces: whole numbers (f, 3) from 0 to n - 1.

    Returns:
        a ``Laplacian``: the stiffness (n, n), without unit, and the mass (n,), an area.

    >>> dense([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0, 1, 2]]).stiffness.tolist()
    [[1.0, -0.5, -0.5], [-0.5, 0.5, 0.0], [-0.5, 0.0, 0.5]]
    """
    places, faces = jnp.asarray(vertices, float), np.asarray(faces)
    corners = places[faces]
    e, f = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = f - ((e * f).sum(axis=1) / (e * e).sum(axis=1))[:, None] * e
    area = jnp.linalg.norm(e, axis=1) * jnp.linalg.norm(across, axis=1) / 2
    half = jnp.zeros((len(places), len(places)), places.dtype)
    for i, j, k in _CORNERS:
        dots = ((corners[:, j] - corners[:, i]) * (corners[:, k] - corners[:, i])).sum(axis=1)
        half = half.at[faces[:, j], faces[:, k]].add(dots / (4 * area))
    both = half + half.T
    mass = jnp.zeros(len(places), places.dtype).at[faces].add((area / 3)[:, None])
    return Laplacian(jnp.diag(both.sum(axis=1)) - both, mass)


def _robust(shape: Mesh) -> Laplacian:
    if shape.vertices.shape[1] != 3:
        raise ValueError(
            f"the vertices have {shape.vertices.shape[1]} coordinates, but robust=True takes places in space"
        )
    made = extra("robust_laplacian", "Laplacians of bad triangles").mesh_laplacian(shape.vertices, shape.faces)
    return Laplacian(sparse.csr_array(made[0]), made[1].diagonal())

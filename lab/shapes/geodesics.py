r"""Lengths of shortest ways on a surface, between all vertices, in units of $\sqrt{\mathrm{area}}$.

- ``"heat"``: the heat method of potpourri3d (geometry-central): $(M + t L) u = \delta$, $X = -\nabla u / |\nabla u|$,
  $L \phi = \nabla \cdot X$. It factorizes once and then takes a linear solve for each vertex, on bad triangles too: 0.25 s of
  800 vertices. It is 2% off the exact ones in the mean, and 13% too short between neighbours. (The fast marching of the
  package is 4% off and three times slower.)
- ``"exact"``: those of the polyhedron, by the windows of Mitchell, Mount and Papadimitriou (pygeodesic): 10 s of
  800 vertices.
- ``"edges"``: Dijkstra's ways along edges (scipy): 0.1 s, and 8% too long in the mean, since they zigzag.

Source: Crane, Weischedel, Wardetzky, *Geodesics in heat*, 2013; Mitchell, Mount, Papadimitriou, *The discrete geodesic
problem*, 1987.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from lab.choices import chosen
from lab.shapes.extras import extra
from lab.shapes.mesh import Mesh, components, edges

_MOST = 20_000  # vertices, whose distances take 3 GiB


@chosen
def geodesics(shape: Mesh, method: Literal["heat", "exact", "edges"] | str = "heat") -> Float[np.ndarray, "n n"]:
    """Distances (n, n), symmetric, 0 on the diagonal, divided by the root of the area.

    Raises:
        ValueError: a surface outside of space, of several parts, or of too many vertices.
    """
    if method != "edges" and shape.vertices.shape[1] != 3:
        raise ValueError(
            f"the vertices have {shape.vertices.shape[1]} coordinates, but {method!r} is of places in space: take 'edges'"
        )
    if shape.n > _MOST:
        raise ValueError(f"there are {shape.n:,} vertices, but distances of all pairs are kept: take at most {_MOST:,}")
    if parts := components(shape).max():
        raise ValueError(f"the surface has {parts + 1} parts, between which no way leads: take one part")
    found = {"heat": _heat, "exact": _exact, "edges": _along_edges}[method](shape)
    found = (found + found.T) / 2
    np.fill_diagonal(found, 0)
    return found / np.sqrt(shape.area)


def _heat(shape: Mesh) -> np.ndarray:
    solver = extra("potpourri3d", "geodesics").MeshHeatMethodDistanceSolver(shape.vertices, shape.faces)
    return np.stack([solver.compute_distance(source) for source in range(shape.n)])


def _exact(shape: Mesh) -> np.ndarray:
    solver = extra("pygeodesic.geodesic", "exact geodesics").PyGeodesicAlgorithmExact(shape.vertices, shape.faces)
    return np.stack([solver.geodesicDistances(np.array([source]))[0] for source in range(shape.n)])


def _along_edges(shape: Mesh) -> np.ndarray:
    ends = edges(shape).ends
    lengths = np.linalg.norm(shape.vertices[ends[:, 0]] - shape.vertices[ends[:, 1]], axis=1)
    return dijkstra(sparse.csr_array((lengths, ends.T), shape=(shape.n, shape.n)), directed=False)

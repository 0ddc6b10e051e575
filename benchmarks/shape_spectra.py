"""Geodesics, spectra and point maps of ``lab.shapes`` beside the libraries that one would take for them, on the same work.

Geodesics between all vertices: potpourri3d's heat method called bare and pygeodesic's exact windows, and how far both and ways
along edges are from the exact ones. Eigenpairs: robust-laplacian and SciPy's ``eigsh`` shifted by 1e-8, as the code of
DiffusionNet has it, and how near both are to dense ones. The point map of a functional map: SciPy's k-d tree. Runs are
interleaved, medians told; of what JAX compiles the first call apart.

    python -m benchmarks.shape_spectra [--k 100] [--repeats 5] [--exact]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
import potpourri3d
import robust_laplacian
from scipy import linalg, sparse
from scipy.sparse.linalg import eigsh
from scipy.spatial import KDTree

from lab.datasets import meshes
from lab.home import start
from lab.shapes import functional_maps
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import Mesh, normalised
from lab.shapes.spectrum import spectrum


def timed(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    """The answers of all ways; prints the median time of each after its first call, and that call where it was much longer."""
    clock: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            found[name] = jax.block_until_ready(way())
            clock[name].append(time.perf_counter() - began)
    for name, (first, *rest) in clock.items():
        told = f", {1e3 * first:.0f} ms at first" if first > 3 * statistics.median(rest) else ""
        print(f"  {name:28s} {1e3 * statistics.median(rest):9.1f} ms{told}")
    return found


def heat(shape: Mesh) -> np.ndarray:
    """As potpourri3d's page has it, made symmetric."""
    solver = potpourri3d.MeshHeatMethodDistanceSolver(shape.vertices, shape.faces)
    found = np.stack([solver.compute_distance(vertex) for vertex in range(shape.n)])
    return (found + found.T) / 2


def of_lab(shape: Mesh, k: int, robust: bool = False) -> Any:
    return spectrum(laplacian(shape, robust=robust), k)


def by_tree(c: np.ndarray, phi: np.ndarray) -> Any:
    return KDTree(phi @ c.T).query(phi)[1]


def shifted(shape: Mesh, k: int) -> Any:
    """Eigenpairs as the code of DiffusionNet takes them."""
    stiffness, mass = robust_laplacian.mesh_laplacian(shape.vertices, shape.faces)
    identity = sparse.identity(shape.n)
    return eigsh(stiffness + 1e-8 * identity, k, M=sparse.diags(mass.diagonal()), sigma=1e-8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--exact", action="store_true", help="exact geodesics too, which take 10 s of 800 vertices")
    given = parser.parse_args()
    start()
    for name, raw in (("person", meshes.body("person")), ("cortex", meshes.cortex("white"))):
        shape = normalised(raw)
        print(f"{name}, {shape.n} vertices: geodesics between all")
        ways = {"lab, heat": partial(geodesics, shape), "potpourri3d, heat": partial(heat, shape)}
        far = timed(ways | {"lab, along edges": partial(geodesics, shape, "edges")}, given.repeats)
        print(
            f"  apart by {np.abs(far['lab, heat'] - far['potpourri3d, heat'])[~np.eye(shape.n, dtype=bool)].max():.1e}"
        )
        if given.exact and name == "person":
            exact = timed({"lab, exact": partial(geodesics, shape, "exact")}, 1)["lab, exact"]
            there = exact > 0
            for way, found in far.items():
                print(
                    f"  {way}: {100 * np.abs(found[there] / exact[there] - 1).mean():.2f} % off the exact in the mean"
                )
        print(f"{name}: {given.k} eigenpairs, the operator included")
        pairs = timed(
            {
                "lab": partial(of_lab, shape, given.k),
                "lab, robust": partial(of_lab, shape, given.k, robust=True),
                "robust-laplacian and eigsh": partial(shifted, shape, given.k),
            },
            given.repeats,
        )
        operator = laplacian(shape, robust=True)
        dense = linalg.eigh(operator.stiffness.toarray(), np.diag(operator.mass), eigvals_only=True)[1 : given.k]
        for way, values in (("lab", pairs["lab, robust"].values), ("eigsh", pairs["robust-laplacian and eigsh"][0])):
            print(f"  {way}, robust: {np.abs(np.sort(values)[1:] / dense - 1).max():.1e} off dense ones")
        phi = pairs["lab"].functions
        c = phi.T @ (operator.mass[:, None] * phi[np.random.default_rng(0).permutation(shape.n)])
        tree = {
            "lab, point map": partial(functional_maps.point_map, c, phi, phi),
            "k-d tree, point map": partial(by_tree, c, phi),
        }
        matched = timed(tree, given.repeats)
        same = (np.asarray(matched["lab, point map"]) == matched["k-d tree, point map"]).mean()
        print(f"  {100 * same:.1f} % of the vertices alike")


if __name__ == "__main__":
    main()

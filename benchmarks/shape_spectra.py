"""Geodesics, spectra and point maps of ``lab.shapes`` beside the libraries that one would take for them, on the same work.

Geodesics between all vertices: potpourri3d's heat method called bare and pygeodesic's exact windows, and how far both and ways
along edges are from the exact ones. Eigenpairs: robust-laplacian and SciPy's ``eigsh`` shifted by 1e-8, as the code of
DiffusionNet has it, and how near both are to dense ones. The point map of a functional map: SciPy's k-d tree. Runs are
interleaved, medians told; of what JAX compiles the first call apart.

    python -m benchmarks.shape_spectra [--k 100] [--repeats 5] [--exact]
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import eigsh
from scipy.spatial import KDTree

from benchmarks.report import Report, Times, options, turns
from lab.datasets import meshes
from lab.home import start
from lab.shapes import functional_maps
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import Mesh, normalised
from lab.shapes.spectrum import spectrum


def timed(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Times]:
    """Time the functions in turn; prints each median, and the first call where it took much longer."""
    times = turns(runs, repeats)
    for name, each in times.items():
        told = f", {1e3 * each.first:.0f} ms at first" if each.first > 3 * each.median else ""
        print(f"  {name:28s} {1e3 * each.median:9.1f} ms{told}")
    return times


def heat(shape: Mesh) -> np.ndarray:
    """As potpourri3d's page has it, made symmetric."""
    import potpourri3d

    solver = potpourri3d.MeshHeatMethodDistanceSolver(shape.vertices, shape.faces)
    found = np.stack([solver.compute_distance(vertex) for vertex in range(shape.n)])
    return (found + found.T) / 2


def of_lab(shape: Mesh, k: int, robust: bool = False) -> Any:
    return spectrum(laplacian(shape, robust=robust), k)


def by_tree(c: np.ndarray, phi: np.ndarray) -> Any:
    return KDTree(phi @ c.T).query(phi)[1]


def shifted(shape: Mesh, k: int) -> Any:
    """Eigenpairs as the code of DiffusionNet takes them."""
    import robust_laplacian

    stiffness, mass = robust_laplacian.mesh_laplacian(shape.vertices, shape.faces)
    identity = sparse.identity(shape.n)
    return eigsh(stiffness + 1e-8 * identity, k, M=sparse.diags(mass.diagonal()), sigma=1e-8)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, k=100, repeats=5, exact=False, meshes=("person", "cortex"))
    start()
    report = Report("shape_spectra", given)
    peers = report.has("potpourri3d", "potpourri3d"), report.has("robust-laplacian", "robust_laplacian")
    for name in given.meshes:
        shape = normalised(meshes.cortex("white") if name == "cortex" else meshes.body(name))
        print(f"{name}, {shape.n} vertices: geodesics between all")
        ways = {"lab": partial(geodesics, shape), "lab, along edges": partial(geodesics, shape, "edges")}
        far = timed(ways | ({"potpourri3d": partial(heat, shape)} if peers[0] else {}), given.repeats)
        off = ~np.eye(shape.n, dtype=bool)
        apart = {way: np.abs(each.result - far["lab"].result)[off].max() for way, each in far.items()}
        size = {"mesh": name, "vertices": shape.n}
        report.row(size | {"task": "geodesics"}, far, apart=apart)
        if peers[0]:
            print(f"  apart by {apart['potpourri3d']:.1e}")
        if given.exact and name == "person":
            exact = timed({"lab, exact": partial(geodesics, shape, "exact")}, 1)["lab, exact"].result
            there = exact > 0
            for way, found in far.items():
                error = 100 * np.abs(found.result[there] / exact[there] - 1).mean()
                print(f"  {way}: {error:.2f} % off the exact in the mean")
        print(f"{name}: {given.k} eigenpairs, the operator included")
        ways = {"lab": partial(of_lab, shape, given.k), "lab, robust": partial(of_lab, shape, given.k, robust=True)}
        eigsh = {"robust-laplacian and eigsh": partial(shifted, shape, given.k)} if peers[1] else {}
        pairs = timed(ways | eigsh, given.repeats)
        operator = laplacian(shape, robust=True)
        dense = linalg.eigh(operator.stiffness.toarray(), np.diag(operator.mass), eigvals_only=True)[1 : given.k]
        values = {"lab, robust": pairs["lab, robust"].result.values} | {way: pairs[way].result[0] for way in eigsh}
        errors = {way: np.abs(np.sort(each)[1:] / dense - 1).max() for way, each in values.items()}
        report.row(size | {"task": "eigenpairs", "k": given.k}, pairs, error=errors)
        for way, error in errors.items():
            print(f"  {way}: {error:.1e} off dense ones")
        phi = pairs["lab"].result.functions
        c = phi.T @ (operator.mass[:, None] * phi[np.random.default_rng(0).permutation(shape.n)])
        tree = {"lab": partial(functional_maps.point_map, c, phi, phi), "k-d tree": partial(by_tree, c, phi)}
        matched = timed(tree, given.repeats)
        same = (np.asarray(matched["lab"].result) == matched["k-d tree"].result).mean()
        report.row(size | {"task": "point map", "k": given.k}, matched, same=same)
        print(f"  {100 * same:.1f} % of the vertices alike")
    return report.end()


if __name__ == "__main__":
    main()

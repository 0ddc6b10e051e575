"""The Laplacian against its laws, dense sums over faces, the flat torus, and the robust one."""

import numpy as np
import pytest

from lab.datasets import meshes
from lab.shapes import figures
from lab.shapes.laplacian import dense as dense_laplacian
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import mesh, transformed

FIN = mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0.3]], [[0, 1, 2], [0, 1, 3], [0, 1, 4]])


def by_edge_lengths(shape):
    """L by Heron's formula and the law of cosines, face by face."""
    out = np.zeros((shape.n, shape.n))
    for face in shape.faces:
        for i, j, k in (face, np.roll(face, 1), np.roll(face, 2)):
            a, b, c = (np.linalg.norm(shape.vertices[u] - shape.vertices[v]) for u, v in ((j, k), (k, i), (i, j)))
            s = (a + b + c) / 2
            cot = (b**2 + c**2 - a**2) / (4 * np.sqrt(s * (s - a) * (s - b) * (s - c)))
            out[j, k] -= cot / 2
            out[k, j] -= cot / 2
            out[j, j] += cot / 2
            out[k, k] += cot / 2
    return out


@pytest.mark.parametrize(
    "shape", [figures.sphere(1), figures.flat_torus(5, 4, (1.0, 0.3)), figures.sheet(5, 4, turn=2.0)]
)
def test_laws(shape):
    made = laplacian(shape)
    dense = made.stiffness.toarray()
    np.testing.assert_allclose(dense, by_edge_lengths(shape), atol=1e-12)
    np.testing.assert_array_equal(dense, dense.T)
    np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-12)
    assert np.linalg.eigvalsh(dense)[0] > -1e-12
    np.testing.assert_allclose(made.mass.sum(), shape.area, rtol=1e-13)


def test_energy_of_a_linear_function_is_its_slope_by_the_area():
    """Exactly, on a plane of any triangles."""
    rng = np.random.default_rng(0)
    flat = figures.sheet(6, 5)
    inner = (flat.vertices[:, :2] > 0.01).all(axis=1) & (flat.vertices[:, 0] < 1.9) & (flat.vertices[:, 1] < 0.9)
    moved = flat.vertices + 0.05 * inner[:, None] * rng.normal(size=flat.vertices.shape) * np.array([[1, 1, 0]])
    shape = mesh(moved, flat.faces)
    u = moved @ np.array([3.0, -2.0, 0.0])
    np.testing.assert_allclose(u @ laplacian(shape).stiffness @ u, 13 * 2, rtol=1e-12)


def test_robust_is_the_same_on_the_sphere_and_takes_bad_triangles():
    ball = figures.sphere(2)
    plain, robust = laplacian(ball), laplacian(ball, robust=True)
    np.testing.assert_allclose(robust.stiffness.toarray(), plain.stiffness.toarray(), atol=1e-4)  # mollified by 1e-5
    np.testing.assert_allclose(robust.mass, plain.mass, rtol=1e-4)
    flat = mesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0, 0]], [[0, 1, 2], [0, 2, 3], [0, 4, 1]], degenerate=True
    )
    for bad in (flat, FIN, meshes.body("person")):
        dense = laplacian(bad, robust=True).stiffness.toarray()
        assert np.isfinite(dense).all()
        np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-9)
        assert (dense - np.diag(np.diag(dense))).max() < 1e-5  # no negative weight, to what edges are flipped by
    assert (
        laplacian(meshes.body("person")).stiffness.toarray()[~np.eye(798, dtype=bool)].max() > 0
    )  # the plain one has some


def test_refusals():
    with pytest.raises(ValueError, match=r"edges of more than two faces \(\(0, 1\)\): take robust=True"):
        laplacian(FIN)
    with pytest.raises(ValueError, match=r"faces without area \(0\): take robust=True"):
        laplacian(mesh([[0, 0], [1, 1], [2, 2]], [[0, 1, 2]], degenerate=True))
    with pytest.raises(ValueError, match="4 coordinates, but robust=True takes places in space"):
        laplacian(figures.flat_torus(4, 4), robust=True)


def test_scale_leaves_stiffness_and_squares_mass():
    ball = figures.sphere(1)
    one, other = laplacian(ball), laplacian(transformed(ball, 3 * np.eye(3)))
    np.testing.assert_allclose(one.stiffness.toarray(), other.stiffness.toarray(), atol=1e-12)
    np.testing.assert_allclose(9 * one.mass, other.mass, rtol=1e-12)


def test_dense_operator_is_the_sparse_one():
    """Also in four dimensions."""
    for shape in (figures.sphere(1), figures.flat_torus(5, 4, (1.0, 0.7))):
        sparse, dense = laplacian(shape), dense_laplacian(shape.vertices, shape.faces)
        np.testing.assert_allclose(dense.stiffness, sparse.stiffness.toarray(), atol=1e-13)
        np.testing.assert_allclose(dense.mass, sparse.mass, rtol=1e-13)

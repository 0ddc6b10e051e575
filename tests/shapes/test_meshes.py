"""Meshes: areas, edges, faults, and what is refused in a sentence."""

import numpy as np
import pytest

from lab.shapes import figures
from lab.shapes.mesh import (
    boundary,
    components,
    edges,
    faults,
    flat_faces,
    mesh,
    normalised,
    permuted,
    repaired,
    transformed,
)

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def test_area_is_that_of_heron_in_any_dimension():
    corners = np.random.default_rng(0).normal(size=(3, 5))
    a, b, c = (np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (1, 2), (2, 0)))
    s = (a + b + c) / 2
    np.testing.assert_allclose(mesh(corners, [[0, 1, 2]]).area, np.sqrt(s * (s - a) * (s - b) * (s - c)), rtol=1e-12)
    thin = mesh([[0, 0], [1, 1e-9], [2, 0]], [[0, 1, 2]])
    np.testing.assert_allclose(thin.area, 1e-9, rtol=1e-12)


def test_edges_boundary_and_euler():
    ball, torus, sheet = figures.sphere(2), figures.flat_torus(5, 7), figures.sheet(4, 6)
    for shape, euler in ((ball, 2), (torus, 0), (sheet, 1)):
        assert shape.n - len(edges(shape).ends) + len(shape.faces) == euler
    assert len(boundary(ball)) == len(boundary(torus)) == 0
    assert len(boundary(sheet)) == 2 * (3 + 5)
    assert faults(ball) == faults(torus) == ()
    assert faults(sheet) == ("the surface is open: there are 16 edges of one face",)


def test_normalised_has_area_one_about_its_mean():
    made = normalised(transformed(figures.sphere(1), 3 * np.eye(3), [1, 2, 3]))
    np.testing.assert_allclose(made.area, 1, rtol=1e-13)
    np.testing.assert_allclose(made.vertices.mean(axis=0), 0, atol=1e-14)


def test_permuted_and_transformed_are_the_same_surface():
    shape = figures.sphere(1)
    order = np.random.default_rng(0).permutation(shape.n)
    other = permuted(shape, order)
    np.testing.assert_array_equal(other.vertices, shape.vertices[order])
    np.testing.assert_array_equal(other.vertices[other.faces], shape.vertices[shape.faces])
    mirrored = transformed(shape, np.diag([1.0, 1, -1]))
    for each in (shape, mirrored):  # the outside stays outside
        assert np.linalg.det(each.vertices[each.faces]).sum() > 0
    with pytest.raises(ValueError, match="each of the 42 vertices once"):
        permuted(shape, np.zeros(42, int))


def test_arrays_are_not_written_into():
    given = SQUARE.copy()
    made = mesh(given, HALVES)
    given[0] = 9
    assert made.vertices[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        made.vertices[0] = 1


@pytest.mark.parametrize(
    ("vertices", "faces", "said"),
    [
        ([[0, 0, np.nan], *SQUARE[1:]], HALVES, r"there is 1 vertex with a place that is not finite \(0\)"),
        (SQUARE, [[0, 1, 2, 3]], r"shape \(1, 4\) and type int64, but triangles"),
        (SQUARE, [[0, 1, 2], [0, 2]], "unlike lengths"),
        (SQUARE, HALVES.astype(float), "type float64"),
        (SQUARE, np.empty((0, 3), int), r"shape \(0, 3\)"),
        (SQUARE, [[0, 1, 4], [0, 2, 3]], r"face 0 has vertices \[0, 1, 4\], but there are 4"),
        (SQUARE, [[0, 1, 2], [0, -1, 3]], r"face 1 has vertices \[0, -1, 3\]"),
        (SQUARE, [[0, 1, 2]], r"there is 1 vertex of no face \(3\)"),
        (SQUARE, [[0, 1, 2], [0, 2, 3], [0, 2, 2], [1, 1, 3]], r"there are 2 faces without area \(2, 3\)"),
        ([[0, 0], [1, 1], [2, 2]], [[0, 1, 2]], "there is 1 face without area"),
        (SQUARE[:1], HALVES, r"shape \(1, 3\)"),
        ("abc", HALVES, "no table of numbers"),
    ],
)
def test_bad_meshes_are_refused(vertices, faces, said):
    with pytest.raises(ValueError, match=said):
        mesh(vertices, faces)


def test_repaired():
    """A triangle soup, with a face without area and a vertex of none."""
    soup = np.concatenate([SQUARE[HALVES].reshape(-1, 3), [[5.0, 5, 5]]])
    faces = np.array([[0, 1, 2], [3, 4, 5], [0, 3, 1]])
    made = repaired(soup, faces)
    assert (made.n, len(made.faces), made.area) == (4, 2, 1.0)
    with pytest.raises(ValueError, match="nothing remains"):
        repaired([[0, 0], [1, 1], [2, 2]], [[0, 1, 2]])
    with pytest.raises(ValueError, match="face 0 has vertices"):
        repaired(SQUARE, [[0, 1, 9]])


def test_faults_are_told():
    fins = mesh([*SQUARE, [0.5, 0.5, 1]], [*HALVES, [0, 2, 4]])
    assert any("there is 1 edge of more than two faces ((0, 2))" in said for said in faults(fins))
    turned = mesh(SQUARE, [[0, 1, 2], [0, 3, 2]])
    assert "there is 1 edge whose two faces are oriented unlike" in faults(turned)
    two = mesh(np.concatenate([SQUARE, SQUARE + 3]), np.concatenate([HALVES, HALVES + 4]))
    assert "the surface has 2 parts that are not connected" in faults(two)
    np.testing.assert_array_equal(components(two), [0] * 4 + [1] * 4)
    flat = mesh([*SQUARE, [0.5, 0, 0]], [*HALVES, [0, 4, 1]], degenerate=True)
    np.testing.assert_array_equal(flat_faces(flat), [2])
    assert "there is 1 face without area (2)" in faults(flat)

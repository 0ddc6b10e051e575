"""Geodesics on planes and spheres, and the quick ones against the exact ones."""

import sys

import numpy as np
import pytest

from lab.datasets import meshes
from lab.shapes import figures
from lab.shapes.geodesics import geodesics
from lab.shapes.mesh import mesh, transformed


def great_circles(ball):
    unit = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    return np.arccos(np.clip(unit @ unit.T, -1, 1))


def test_exact_on_a_plane_are_straight_and_on_a_cylinder_too():
    flat = figures.sheet(9, 5)
    straight = np.linalg.norm(flat.vertices[:, None] - flat.vertices[None], axis=-1) / np.sqrt(2)
    np.testing.assert_allclose(geodesics(flat, "exact"), straight, atol=1e-10)
    rolled = figures.sheet(21, 11, turn=3.0)
    straight = figures.sheet(21, 11).vertices
    straight = np.linalg.norm(straight[:, None] - straight[None], axis=-1)
    assert np.abs(geodesics(rolled, "exact") * np.sqrt(rolled.area) - straight).max() < 0.02


@pytest.mark.parametrize(
    ("method", "times", "mean", "most"), [("exact", 2, 0.016, 0.06), ("heat", 3, 0.025, 0.06), ("edges", 3, 0.12, 0.35)]
)
def test_great_circles(method, times, mean, most):
    ball = figures.sphere(times, 1.7)
    found = geodesics(ball, method)
    errors = np.abs(found * np.sqrt(ball.area) / 1.7 - great_circles(ball))
    assert errors.mean() < mean
    assert errors.max() < most
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 0)


def test_scale_leaves_distances_and_ways_along_edges_are_longer():
    ball = figures.sphere(2)
    exact, edges = (geodesics(ball, method) for method in ("exact", "edges"))
    assert (edges - exact).min() > -1e-9
    for method in ("heat", "edges"):
        np.testing.assert_allclose(
            geodesics(transformed(ball, 4 * np.eye(3)), method), geodesics(ball, method), rtol=1e-6, atol=1e-9
        )


def test_heat_is_near_the_exact_ones_on_a_body():
    shape = meshes.body("person")
    heat = geodesics(shape)
    edges = geodesics(shape, "edges")
    assert 0.88 < (heat.mean() / edges.mean()) < 0.96  # ways along edges are 8 % too long


def test_refusals(monkeypatch):
    ball = figures.sphere(1)
    two = mesh(np.concatenate([ball.vertices, ball.vertices + 5]), np.concatenate([ball.faces, ball.faces + ball.n]))
    with pytest.raises(ValueError, match="2 parts, between which no way leads"):
        geodesics(two)
    with pytest.raises(ValueError, match="4 coordinates, but 'heat' is of places in space: take 'edges'"):
        geodesics(figures.flat_torus(5, 5))
    assert np.isfinite(geodesics(figures.flat_torus(5, 5), "edges")).all()
    monkeypatch.setitem(sys.modules, "potpourri3d", None)
    with pytest.raises(ValueError, match=r"geodesics need potpourri3d: pip install 'transport-lab\[shapes\]'"):
        geodesics(ball)

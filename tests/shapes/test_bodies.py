"""Bodies of capsules, their skins that ship, and their poses."""

import numpy as np
import pytest

from benchmarks import shape_files
from lab.datasets import meshes
from lab.shapes import figures
from lab.shapes.mesh import edges, faults


@pytest.mark.parametrize(("name", "n"), [("person", 798), ("animal", 886)])
def test_skins_are_what_marching_cubes_finds(name, n):
    shape, body = meshes.body(name), figures.BODIES[name]
    vertices, faces = shape_files.skin(body)
    np.testing.assert_allclose(shape.vertices, vertices, atol=1e-6)
    np.testing.assert_array_equal(shape.faces, faces)
    assert (shape.n, len(shape.faces)) == (n, 2 * n - 4)  # of genus 0
    assert faults(shape) == ()
    assert np.linalg.det(shape.vertices[shape.faces]).sum() > 0  # oriented outwards
    assert np.abs(body.distance(shape.vertices)).max() < 0.025  # a fifth of the step


def test_distance_is_that_of_the_nearest_capsule_far_from_the_others():
    body = figures.PERSON
    end = np.array([[-1.35 - 0.4, 0.0, 1.15]])
    np.testing.assert_allclose(body.capsules(end)[0, 3], 0.4 - 0.12, atol=1e-12)
    np.testing.assert_allclose(body.distance(end), 0.28, atol=1e-6)
    np.testing.assert_allclose(body.capsules(body.a)[range(7), range(7)], -body.radius)


def test_pose_of_the_sheet():
    base, posed = meshes.body("person"), meshes.body("person", figures.POSE)
    ends = edges(base).ends
    lengths = [
        np.linalg.norm(shape.vertices[ends[:, 0]] - shape.vertices[ends[:, 1]], axis=1) for shape in (base, posed)
    ]
    low, middle, high = np.percentile(lengths[1] / lengths[0], [5, 50, 95])
    np.testing.assert_allclose([low, middle, high], [0.86, 1.0, 1.25], atol=0.01)
    np.testing.assert_array_equal(base.faces, posed.faces)


def test_poses():
    base = meshes.body("animal")
    np.testing.assert_allclose(meshes.body("animal", np.zeros((7, 3))).vertices, base.vertices, atol=1e-12)
    everything = np.tile([0.0, 0, np.pi / 2], (7, 1))
    one = figures.ANIMAL._replace(a=np.tile(figures.ANIMAL.a[:1], (7, 1)))  # all about one point: a motion
    turned = one.posed(base, everything).vertices - one.a[:1]
    before = base.vertices - one.a[:1]
    np.testing.assert_allclose(turned, before @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]), atol=1e-12)
    drawn = figures.ANIMAL.turns(3, 0.5)
    np.testing.assert_array_equal(drawn[0], 0)
    np.testing.assert_allclose(drawn, 5 * figures.ANIMAL.turns(3, 0.1), rtol=1e-12)
    assert np.abs(drawn - figures.ANIMAL.turns(4, 0.5)).max() > 0.1
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but a finite vector for each capsule is needed: \(7, 3\)"):
        meshes.body("person", np.zeros((2, 3)))


def test_cortex_is_an_icosphere_in_four_shapes():
    white, pial, inflated, ball = (meshes.cortex(name) for name in ("white", "pial", "inflated", "sphere"))
    for shape in (white, pial, inflated, ball):
        assert (shape.n, len(shape.faces)) == (2562, 5120)
        assert faults(shape) == ()
        np.testing.assert_array_equal(shape.faces, white.faces)
    degree = np.bincount(white.faces.ravel())
    assert np.bincount(degree).tolist() == [0] * 5 + [12, 2550]
    np.testing.assert_allclose(np.linalg.norm(ball.vertices, axis=1), 100, rtol=1e-3)
    assert np.linalg.det(ball.vertices[ball.faces]).min() > 0


def test_refusals():
    for make, said in (
        (lambda: figures.sphere(9), "times = 9"),
        (lambda: figures.sphere(1, -1.0), "radius = -1"),
        (lambda: figures.flat_torus(2, 5), "m, n = 2, 5"),
        (lambda: figures.sheet(1, 5), "m, n, turn = 1, 5, 0"),
        (lambda: figures.PERSON.turns(0, -1.0), "size = -1"),
    ):
        with pytest.raises(ValueError, match=said):
            make()

"""Pairs of surfaces: those that are named, and those that a user brings."""

import numpy as np
import pytest

from lab import datasets
from lab.shapes.mesh import edges, faults, mesh


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in datasets.catalogue("shapes")])
def test_named_pairs_correspond(name):
    data = datasets.load(name)
    x, y = (mesh(data.arrays[key], data.arrays[f"{key}_faces"]) for key in "xy")
    truth = data.arrays["truth"]
    assert truth.shape == (y.n,)
    if "sheet" not in name:
        assert faults(x) == faults(y) == ()
    if x.n == y.n:  # one surface in two shapes: its edges correspond, and most have kept their length
        assert sorted(truth) == list(range(x.n))
        ends = edges(y).ends
        there = {tuple(sorted(pair)) for pair in truth[ends].tolist()}
        assert there == {tuple(pair) for pair in edges(x).ends.tolist()}
        lengths = [
            np.linalg.norm(of.vertices[pair[:, 0]] - of.vertices[pair[:, 1]], axis=1) / np.sqrt(of.area)
            for of, pair in ((x, truth[ends]), (y, ends))
        ]
        low, middle, high = np.quantile(lengths[1] / lengths[0], [0.05, 0.5, 0.95])
        assert low > 0.55
        assert 0.9 < middle < 1.1
        assert high < 1.6
        if name in ("person-turned", "rolled-sheet"):
            np.testing.assert_allclose(lengths[0], lengths[1], rtol=5e-3)


def _off(x, faces):
    rows = [" ".join(map(str, row)) for row in x.tolist()] + [f"3 {i} {j} {k}" for i, j, k in faces.tolist()]
    return "\n".join([f"OFF\n{len(x)} {len(faces)} 0", *rows]).encode()


def test_two_meshes_are_a_pair(tmp_path):
    from lab.shapes import figures

    one, two = figures.sphere(1), figures.sphere(1, radius=2.0)
    paths = [tmp_path / "one.off", tmp_path / "two.off"]
    for path, shape in zip(paths, (one, two), strict=True):
        path.write_bytes(_off(shape.vertices, shape.faces))
    data = datasets.resolve(",".join(map(str, paths)), "shapes")
    np.testing.assert_allclose(data.arrays["y"], two.vertices, atol=1e-12)
    np.testing.assert_array_equal(data.arrays["x_faces"], one.faces)
    assert "truth" not in data.arrays
    with pytest.raises(ValueError, match="a pair is two meshes"):
        datasets.read(paths[0], kind="shapes")


ROW = {"x": np.random.default_rng(0).normal(size=(12, 3)), "x_faces": np.arange(12).reshape(4, 3)}
OPEN = {"x": np.random.default_rng(1).normal(size=(12, 3)), "x_faces": np.array([[i, i + 1, i + 2] for i in range(10)])}


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({**ROW, "y": ROW["x"], "y_faces": ROW["x_faces"]}, "has 4 parts that are not connected"),
        ({**OPEN, "y": OPEN["x"], "y_faces": OPEN["x_faces"] + 0.5}, "must be whole numbers"),
        ({**OPEN, "y": OPEN["x"], "y_faces": OPEN["x_faces"] + 5}, "they are numbered from 0 to 11"),
        ({**OPEN, "y": OPEN["x"][:5], "y_faces": OPEN["x_faces"][:3]}, "has 5 vertices, but from 12"),
        ({**OPEN, "y": OPEN["x"], "y_faces": OPEN["x_faces"], "truth": np.arange(12) + 1}, "from 0 to 11"),
        ({**OPEN, "y": 0 * OPEN["x"], "y_faces": OPEN["x_faces"]}, "without area"),
    ],
)
def test_what_is_no_pair_is_refused(arrays, told):
    with pytest.raises(ValueError, match=told):
        datasets.resolve(arrays, "shapes")


def test_open_surfaces_are_told_of():
    data = datasets.resolve({**OPEN, "y": OPEN["x"], "y_faces": OPEN["x_faces"]}, "shapes")
    assert any("the surface is open" in notice for notice in data.notices)

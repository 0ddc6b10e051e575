"""What one has in Python becomes the data that a file of it would be."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lab import datasets
from lab.datasets import held, read_bytes
from lab.studies import SparseOT, find

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(7, 2)), RNG.normal(size=(5, 2))
A = RNG.dirichlet(np.ones(7))
COST = ((X[:, None] - Y[None]) ** 2).sum(-1)


def arrays_of(data):
    return {key: np.asarray(value) for key, value in data.arrays.items()}


@pytest.mark.parametrize(
    "given",
    [
        {"x": X, "y": Y, "a": A, "more": 1},
        xr.Dataset({"x": (("i", "d"), X), "y": (("j", "d"), Y), "a": ("i", A)}),
        (X, Y, A, np.full(5, 0.2)),
    ],
    ids=["dict", "Dataset", "tuple"],
)
def test_arrays_are_those_of_a_file(given):
    import io

    file = io.BytesIO()
    np.savez(file, x=X, y=Y, a=A)
    expected, found = arrays_of(read_bytes("f.npz", file.getvalue())), arrays_of(held(given))
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-15)


def test_what_is_not_read_is_said_and_what_is_changed_later_changes_nothing():
    mine = COST.copy()
    data = held({"cost": mine, "wieghts": A})
    assert "wieghts in your dict ignored" in data.notices[0]
    before = data.sha256
    mine[:] = 0
    assert data.arrays["cost"].sum() == COST.sum()
    assert data.sha256 == before


def test_one_array_is_what_a_npy_holds():
    np.testing.assert_array_equal(held(COST).arrays["cost"], COST)
    import jax.numpy as jnp

    np.testing.assert_array_equal(held(jnp.asarray(X), "samples").arrays["x"], X)
    assert held(np.zeros((3, 8, 8), np.uint8), "images").arrays["pixels"].shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        (
            "transport",
            pd.DataFrame({"x": [0.0, 1.0, 2.0], "side": ["source", "target", "target"], "weight": [2, 1, 1]}),
        ),
        ("samples", pd.DataFrame({"u": [0.5, 1.5], "v": [2.0, 3.0]})),
        ("response", pd.DataFrame({"u": [0.5, 1.5, 2.5], "y": [2.0, 3.0, 4.0]})),
        ("training", pd.DataFrame({"u": [0.5, 1.5, 2.5], "y": [2.0, 3.0, 4.0]})),
        ("labelled", pd.DataFrame({"u": [0.5, 1.5, 2.5, 4.0], "classes": [0, 1, 0, 1]})),
    ],
)
def test_a_table_is_what_its_csv_would_be(kind, frame):
    expected = read_bytes("t.csv", frame.to_csv(index=False).encode(), kind=kind)
    found = held(frame, kind)
    assert expected.sha256 == found.sha256
    assert expected.axes == found.axes


def test_what_can_be_no_data_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"3 arrays were given, but arrays without names are \(x\) or \(x, x0\) here"):
        held((X, Y, A), "samples")
    with pytest.raises(TypeError, match="data of the type object can't be taken"):
        held(object())
    with pytest.raises(ValueError, match=r"cost in your dict has shape \(7,\)"):
        held({"cost": A})
    with pytest.raises(ValueError, match="holds Python objects, which are never loaded"):
        held({"cost": np.array([[{}]])})
    with pytest.raises(ValueError, match="cost in your arrays has masked entries"):
        held(np.ma.array(COST, mask=COST > 1))
    with pytest.raises(ValueError, match="x in your dict is no array: its rows have unlike lengths"):
        held({"x": [[1, 2], [3]], "y": Y})
    with pytest.raises(ValueError, match="a table can't be read as such data"):
        held(pd.DataFrame({"u": [1.0]}), "images")


@pytest.mark.slow
def test_a_study_takes_them_and_its_recipe_carries_them():
    study = SparseOT(data={"cost": COST}, gamma=1.0, k=2)
    assert isinstance(study.data, datasets.Data)
    result = study.run()
    again = find("sparse-ot").from_recipe(study.recipe())
    assert again.load().sha256 == study.load().sha256
    assert result.attrs["data_name"] == "your dict"
    study.data = (X, Y)
    assert study.load().arrays["x"].shape == (7, 2)


@pytest.mark.parametrize("given", [3, None, b"x", ""])
def test_what_is_no_data_at_all_is_refused_by_the_parameter(given):
    with pytest.raises(TypeError, match=r"data = .* is not allowed: it must be the name of a data set"):
        SparseOT(data=given)


def test_a_path_object_is_a_path(tmp_path):
    np.save(tmp_path / "c.npy", COST)
    assert SparseOT(data=tmp_path / "c.npy").load().arrays["cost"].shape == (7, 5)


@pytest.mark.slow
def test_ott_problems():
    from ott.geometry import costs, geometry, grid, pointcloud
    from ott.problems.linear.linear_problem import LinearProblem

    cloud = held(LinearProblem(pointcloud.PointCloud(X, Y, epsilon=0.1), a=A))
    np.testing.assert_array_equal(cloud.arrays["x"], X)
    np.testing.assert_allclose(cloud.arrays["a"], A)
    assert "cost" not in cloud.arrays
    assert "epsilon = 0.1 of your ott problem is not taken" in cloud.notices[0]
    other = held(pointcloud.PointCloud(X, Y, cost_fn=costs.Euclidean()))
    np.testing.assert_allclose(other.arrays["cost"], np.sqrt(COST), rtol=1e-12)
    np.testing.assert_allclose(held(geometry.Geometry(COST)).arrays["cost"], COST)
    square = held(grid.Grid(grid_size=(3, 4)))
    points = np.stack(
        [each.ravel() for each in np.meshgrid(np.linspace(0, 1, 3), np.linspace(0, 1, 4), indexing="ij")], 1
    )
    np.testing.assert_allclose(square.arrays["x"], points, atol=1e-15)
    with pytest.raises(ValueError, match="relaxes its marginals"):
        held(LinearProblem(geometry.Geometry(COST), tau_a=0.9))

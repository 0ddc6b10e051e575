"""Results of every kind, their recipes, and what it means that one came back as it was."""

import json

import numpy as np
import xarray as xr

from lab.store import Store
from lab.store.files import SUFFIX


def run(steps: int, seed: int = 0, **attrs) -> xr.Dataset:
    """A result with a trace of its own length, text coordinates and attributes of every kind."""
    rng = np.random.default_rng(seed)
    made = xr.Dataset(
        {
            "value": ((), rng.normal(), {"long_name": "value", "range": (0, 1)}),
            "plan": (("row", "col"), rng.normal(size=(3, 2)).astype("f4")),
            "converged": ((), steps > 2),
            "history": ("iteration", rng.normal(size=steps), {"units": "", "scale": np.float32(0.1)}),
            "support": ("iteration", rng.integers(0, 9, steps).astype("i4")),
            "when": ("iteration", np.datetime64("2026-01-01", "s") + np.arange(steps)),
        },
        coords={
            "row": ("row", ["a", "bé", "c"], {"long_name": "source"}),
            "col": ("col", np.array([0.5, 1.5]) + seed),
            "iteration": ("iteration", np.arange(steps), {"units": ""}),
            "axis": ("axis", ["longitude"[: steps + 2], "y"]),
            "group": ("row", np.array(["p", "q", "r" * steps], object)),
            "height": 3.5,
        },
    )
    made.attrs = {"title": f"run {seed}", "z": 1, "a": "same", "seed": seed, "none": None, "nan": float("nan")}
    made.attrs |= {"tuple": (1, 2.0), "array": np.arange(3), "scalar": np.float32(0.1), "nested": {"k": [1, (2,)]}}
    made.attrs |= attrs
    return made


def assert_same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Values bit for bit, dtypes, order, and attributes with their types."""
    for group in ("data_vars", "dims"):
        assert list(getattr(one, group)) == list(getattr(other, group))
    assert set(one.coords) == set(other.coords)
    for name in one.variables:
        mine, yours = one[name], other[name]
        assert mine.dims == yours.dims
        assert mine.dtype == yours.dtype, name
        assert mine.values.tobytes() == yours.values.tobytes() or mine.dtype == object
        assert mine.values.tolist() == yours.values.tolist() or mine.dtype.kind == "f"
        assert repr(mine.attrs) == repr(yours.attrs)
    assert repr(one.attrs) == repr(other.attrs)  # repr tells a tuple from a list, and keeps the order


def recipe(k: float = 2, **changes) -> dict:
    return {
        "study": "not-registered",
        "study_version": 1,
        "parameters": {"data": "points", "k": k, "gamma": 1.0, "seed": 0},
        "data": {"name": "points", "sha256": "ab" * 32},
        "dtype": "float64",
        "device": "CPU, 2 cores",
        "versions": {"lab": "0.1.0", "jax": "0.12.0", "jaxlib": "0.12.0", "numpy": "2.5.0", "python": "3.13.0"},
        "command": "lab run not-registered",
    } | changes


def result(k: float = 2, steps: int = 4) -> xr.Dataset:
    parameters = json.dumps(recipe(k)["parameters"])
    return run(steps, int(k), study="not-registered", data_name="points", parameters=parameters, reason="converged")


def files_of(store: Store) -> list:
    return sorted((store.folder / "batches").glob(f"*{SUFFIX}"))

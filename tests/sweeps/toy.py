"""A study that costs nothing, and can fail, be slow and be counted."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics import Loop, Method, Reason
from lab.studies import DataSource, Limit, Paper, Real, Result, Study, Switch, Whole
from lab.studies.contract import sweeping


class Problem(NamedTuple):
    target: jax.Array
    rate: jax.Array


METHOD = Method(
    init=lambda p: jnp.zeros_like(p.target),
    step=lambda p, x: x + p.rate * (p.target - x),
    done=lambda p, x: jnp.where(jnp.abs(p.target - x).max() < 1e-6, Reason.CONVERGED, Reason.RUNNING),
    measure=lambda p, x: {"error": jnp.abs(p.target - x).max()},
)

DATA = Data("toy", "a toy", "toy", {"a": np.arange(1.0, 5.0)}, "made here", "CC0")


class Toy(Study):
    slug = "toy"
    title = "Toy"
    field = "Tests"
    paper = Paper("A", "B", "C", 2000)
    about = "One. Two. Three."
    kind = "toy"
    data_options: ClassVar = ()
    dims: ClassVar = {"point": ("point", "m"), "iteration": ("iteration", "")}
    results = (
        Result("x", ("point",), "x", "where it ended"),
        Result("norm", (), "norm", "of x", headline=True),
        Result("iterations", (), "iterations", "steps"),
        Result("converged", (), "converged", "whether"),
        Result("history", ("iteration",), "error", "of each step"),
    )
    data = DataSource("toy", doc="data")
    rate = Real(0.5, bounds=(0, 1), inclusive_bounds=(False, True), scale="log", doc="rate")
    power = Whole(1, bounds=(1, None), doc="power")
    steps = Whole(200, bounds=(1, 10_000), traced=False, doc="limit of the steps")
    spoiled = Switch(False, doc="fails")

    def load(self) -> Data:
        return DATA

    def limits(self, data: Data) -> dict[str, Limit]:
        return {"power": Limit(1, 40, "for this is a toy")}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        if p.spoiled:
            raise ArithmeticError("this cell is spoiled")
        run = loop(METHOD, Problem(inputs["a"] ** p.power, jnp.asarray(p.rate, float)), max_iterations=p.steps)
        return {
            "x": run.state,
            "norm": jnp.linalg.norm(run.state),
            "iterations": run.iterations,
            "history": run.trace["error"],
            "reason": run.reason,
        }


_MUCH = bytes(10_000_000)  # some hundredths of a second of hashing


class Slow(Toy):
    """Not traceable; leaves a mark for each cell; can take long, be held at a pipe, or kill its process once."""

    slug = "slow"

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        folder = Path(os.environ["TOY_FOLDER"])
        with (folder / "computed").open("a") as marks:
            marks.write(f"{float(p.rate)} {int(p.power)}\n")
        trap = folder / f"kill-{int(p.power)}"
        if trap.exists():
            if trap.read_text() != "always":
                trap.unlink()
            os.kill(os.getpid(), 9)
        if (gate := folder / f"hold-{int(p.power)}").exists():
            gate.open().close()  # a pipe: until somebody opens it to write
        for _ in range(int(os.environ.get("TOY_WORK", "0"))):
            sha256(_MUCH)
        return Toy.compute(inputs, p, loop, warm)


def computed(tmp_path: Path) -> list[str]:
    marks = tmp_path / "computed"
    return marks.read_text().split("\n")[:-1] if marks.exists() else []


def one_by_one(study: Study, **grid: Sequence[Any]) -> xr.Dataset:
    """What a sweep must give, by another way: a run for each cell, and xarray puts them together."""
    points = list(product(*grid.values()))
    cells = [study.but(**dict(zip(grid, point, strict=True))).run() for point in points]
    table = np.empty(len(points), object)
    for at, cell in enumerate(cells):
        table[at] = cell
    nested = table.reshape([len(values) for values in grid.values()]).tolist()
    merged = xr.combine_nested(
        nested,
        concat_dim=list(grid),
        combine_attrs="drop",
        join="outer",
        coords="different",
        compat="equals",
        data_vars="all",
    )
    declared = study.parameters()
    merged = merged.assign_coords({n: sweeping.coordinate(n, declared[n], values) for n, values in grid.items()})
    for name in merged.variables:
        if name in cells[0].variables:
            merged[name].attrs = cells[0][name].attrs
    merged.attrs = dict(cells[0].attrs) | study.attributes(study.load())
    merged.attrs["swept"] = json.dumps({name: sweeping.names(values) for name, values in grid.items()})
    for key in ("compile_seconds", "run_seconds", "programs_compiled"):
        merged.attrs[key] = sum(cell.attrs[key] for cell in cells)
    merged.attrs["converged"] = min(cell.attrs["converged"] for cell in cells)
    merged.attrs["advice"] = sweeping.advice({at: cell.attrs["advice"] for at, cell in enumerate(cells)}, grid)
    return merged


def agree(one: xr.Dataset, other: xr.Dataset, exactly: bool = False) -> None:
    other = other.transpose(*one.dims)  # xarray has the first parameter last
    assert dict(one.sizes) == dict(other.sizes)
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        assert one[name].dims == other[name].dims, name
        assert one[name].dtype == other[name].dtype, name
        assert one[name].attrs == other[name].attrs, name
        if one[name].dtype.kind in "fc" and not exactly:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_array_equal(one[name], other[name])

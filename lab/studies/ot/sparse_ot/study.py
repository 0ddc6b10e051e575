"""The study: parameters, data and presets."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import ot
from lab.datasets import Data
from lab.ot.exact import linear_program
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Preset, Real, Study, Whole
from lab.studies.vocabulary import positive, size

from . import experiment
from .claims import CLAIMS, REPORTED
from .experiment import compute, holds
from .pictures import PICTURES
from .story import STORY

_SMALL = 1 << 16  # entries up to which a result also holds the plan of the linear program
_ONE, _TWO = {"data": "bump-to-bump"}, {"data": "one-bump-to-two"}


class SparseOT(Study):
    """Transport in which every target receives from at most k sources."""

    slug = "sparse-ot"
    title = "Sparsity-constrained optimal transport"
    field = "Optimal transport"
    paper = Paper(
        "Liu, Puigcerver, Blondel",
        "Sparsity-Constrained Optimal Transport",
        "ICLR",
        2023,
        "https://arxiv.org/abs/2209.15466",
    )
    text = "sparse_ot.md"
    kind = "transport"
    data_options = ("n", "seed")

    data = DataSource("photographs", doc="a named data set, or the path of your file: cost and masses, or points")
    k = Whole(
        2,
        bounds=(1, None),
        soft=(1, 64),
        scale="log",
        label="nonzeros in a column",
        symbol="k",
        when={"regularizer": ("k-sparse",)},
        doc="maximum number of sources per target (of targets per source, with rows)",
    )
    gamma = positive(
        1.0,
        (1e-3, 10.0),
        label="strength",
        symbol="γ",
        unit="cost/mass",
        doc="strength of the regularization; entries of a plan shrink as 1/(m n), so "
        "compare the effective strength across sizes",
    )
    regularizer = Choice(
        ["k-sparse", "quadratic", "entropic"],
        label="regularizer",
        symbol="Ω",
        doc="squared 2-norm with at most k nonzeros, squared 2-norm alone, or entropy (Sinkhorn)",
    )
    formulation = Choice(
        ["semi-dual", "dual"],
        label="solve",
        doc="semi-dual: m unknowns, column marginals exact at every step; dual: m + n unknowns",
    )
    plan = Choice(
        ["k-sparse", "relaxed"],
        label="plan",
        sweepable=False,
        when={"regularizer": ("k-sparse",)},
        doc="k-sparse: at most k nonzeros per column; relaxed: satisfies both marginals, tied columns have more",
    )
    n = size(
        None,
        (2, 8192),
        (8, 512),
        allow_None=True,
        label="size",
        symbol="n",
        group="more",
        doc="points, bins, colors or tokens of a named data set; colors of your own pictures",
    )
    constraint = Choice(
        ["columns", "rows"],
        label="constraint",
        group="more",
        doc="whether k limits the nonzeros of each column (target) or of each row (source)",
    )
    solver = Choice(
        ["auto", "newton", "ladder", "lbfgs", "adam"],
        label="solver",
        group="more",
        doc="auto selects a fast one; ladder: L-BFGS with k lowered step by step, as in the paper",
    )
    tolerance = Real(
        1e-6,
        bounds=(0, 1),
        inclusive_bounds=(False, False),
        soft=(1e-9, 1e-2),
        scale="log",
        label="tolerance",
        symbol="ε",
        group="more",
        doc="relative error (of the mass or of the value) at which the solver stops",
    )
    max_iterations = size(
        None,
        (1, 1_000_000),
        (10, 10_000),
        allow_None=True,
        label="iteration limit",
        group="more",
        doc="maximum number of iterations; auto: the solver's default",
    )

    dims: ClassVar = {
        "row": ("source i", ""),
        "col": ("target j", ""),
        "entry": ("nonzero of the plan", ""),
        "axis": ("coordinate", ""),
        "plane": ("principal axis", ""),
        "channel": ("color channel", ""),
        "source_height": ("pixel row", ""),
        "source_width": ("pixel column", ""),
        "target_height": ("pixel row", ""),
        "target_width": ("pixel column", ""),
    }
    presets = (
        Preset(
            "ties",
            "Columns that tie",
            "One bump to two at k = 2: exact plans with two sources per target exist, but the plan from the dual misses the "
            "row marginals.",
            _TWO | {"k": 2, "gamma": 1.0},
        ),
        Preset(
            "relaxed",
            "The relaxed plan",
            "The same problem: the relaxed plan satisfies both marginals, and its tied columns have more than k nonzeros.",
            _TWO | {"k": 2, "gamma": 1.0, "plan": "relaxed"},
        ),
        Preset(
            "routing",
            "Tokens to experts",
            "Each of 8 experts takes at most 32 of 256 tokens: transport leaves few tokens without an expert.",
            {"data": "tokens-to-experts", "k": 32, "gamma": 1.0},
        ),
        Preset(
            "figure-1d",
            "The paper's 1-D example",
            "At most two nonzeros in a column at strength 1; change the regularizer to compare.",
            _ONE | {"k": 2, "gamma": 1.0},
        ),
        Preset(
            "figure-2d",
            "The paper's 2-D example",
            "At most two links at each target; drag a point and they follow.",
            {"data": "gaussians-2d", "k": 2, "gamma": 10.0},
        ),
        Preset(
            "digits",
            "Two handwritten digits",
            "Moves the ink of one digit to the ink of another, pixel by pixel.",
            {"data": "digits-8x8", "k": 4, "gamma": 1.0},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The problem, the exact solution of its linear program, and points and images for the pictures."""
        wide = jnp.result_type(float)  # a file of float32 is worked on in the lab's precision
        arrays = {name: array.astype(wide) if array.dtype.kind == "f" else array for name, array in data.arrays.items()}
        masses = arrays["a"], arrays["b"]
        points = () if "cost" in arrays else (arrays["x"], arrays["y"])
        problem = ot.from_points(*points, *masses) if points else ot.problem(arrays["cost"], *masses)
        inputs: dict[str, Any] = {"problem": problem}
        if problem.cost.size <= experiment.DENSE:
            exact = linear_program(problem)
            inputs |= {"lp": exact.value, "prices": (exact.alpha, exact.beta)}
            if problem.cost.size <= _SMALL:
                inputs["lp_plan"] = exact.plan
        if "x" in arrays and arrays["x"].shape[1] <= 3:
            inputs |= {"x": arrays["x"], "y": arrays["y"]}
        if "x_2d" in arrays:
            inputs |= {"x_plane": arrays["x_2d"], "y_plane": arrays["y_2d"]}
        if "gates" in arrays:
            inputs["gates"] = arrays["gates"]
        if "source_image" in arrays:
            inputs |= {name: arrays[name] for name in ("source_image", "source_label", "target_image")}
        return inputs

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Bound k by the number of sources, or of targets where rows are constrained."""
        if self.regularizer != "k-sparse":
            return {}
        side, name = ("a", "sources (rows)") if self.constraint == "columns" else ("b", "targets (columns)")
        return {"k": Limit(1, data.arrays[side].size, f"the number of {name} of these data")}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Positions on a line where the points lie on one in order, names of the axes, what rows and columns are."""
        unit, axes = data.axes.get("unit", ""), data.axes.get("x", ())
        coords: dict[str, Any] = {}
        for dim, points, name in (("row", "x", "source"), ("col", "y", "target")):
            place = data.arrays.get(points)
            if place is not None and place.shape[1] == 1 and (np.diff(place[:, 0]) > 0).all():
                label = f"{name} {axes[0] if axes else 'position'}"
                coords[dim] = (dim, place[:, 0], {"long_name": label, "units": "" if unit in axes else unit})
        for dim, key in (("row", "rows"), ("col", "columns")):
            if key in data.axes:
                size = len(data.arrays["a" if dim == "row" else "b"])
                coords[dim] = (dim, np.arange(size), {"long_name": data.axes[key], "units": ""})
        if "x" in inputs and axes:
            coords["axis"] = ("axis", list(axes), {"units": unit})
        return coords

    @classmethod
    def ended(cls, result: xr.Dataset) -> tuple[str, Mood]:
        """How the run ended: the dual may have converged although the plan misses its marginals."""
        ended, errors = super().ended(result), ("row_error_l1", "column_error_l1")
        if ended[1] == "warn" or any(name not in result or result[name].dims for name in errors) or "a" not in result:
            return ended
        feasible = all(holds(float(result[name]), result) == "good" for name in errors)
        return ended if feasible else ("dual converged, plan infeasible", "warn")

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Why the plan misses a marginal, and what to do about it."""
        p = json.loads(result.attrs["parameters"])
        columns = p["constraint"] == "columns"
        error = float(result.row_error_l1 if columns else result.column_error_l1)
        ties = int(result.n_ties)
        sparse = p["regularizer"] == "k-sparse" and p["plan"] == "k-sparse"
        if not sparse or not result.attrs["converged"] or holds(error, result) == "good":
            return ""
        counted, missed = ("column", "source") if columns else ("row", "target")
        if not ties:
            return (
                f"The value is optimal to the tolerance, yet this plan misses the {missed} marginal by {error:.3g}. "
                "Lower the tolerance, or show the relaxed plan."
            )
        who = f"{ties} {counted}s tie" if ties > 1 else f"One {counted} ties"
        return (
            f"{who} at the optimum, so this plan misses the {missed} marginal by {error:.3g}. "
            "Raise k, or show the relaxed plan."
        )

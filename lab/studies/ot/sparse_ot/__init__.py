"""Sparsity-constrained optimal transport (Liu, Puigcerver, Blondel, ICLR 2023) as a study."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab import ot
from lab.datasets import Data
from lab.numerics import Loop
from lab.ot.bounds import bounds, effective_strength
from lab.ot.exact import linear_program
from lab.ot.plans import recoloured
from lab.ot.traces import best_so_far
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_DENSE = 1 << 22  # entries up to which a result holds the plan as a matrix, and the linear program is solved
_SMALL = 1 << 16  # entries up to which it also holds the plan of the linear program


def _holds(error: float, result: xr.Dataset) -> Mood:
    """Whether a marginal is satisfied to the tolerance of the run, and to 0.01% of the mass where that is loose."""
    tolerance = json.loads(result.attrs["parameters"])["tolerance"] if "parameters" in result.attrs else 1e-6
    return "good" if error <= min(max(tolerance, 1e-9), 1e-4) * float(result.a.sum()) else "warn"


_TOO_LARGE = "these data are too large for their linear program"
_NO_POINTS = "these data have no points, only a cost"
_NO_PICTURES = "these data do not come from two pictures"
_EMPTY = "points without mass have no finite price"
_WHOLE = "a small plan is kept whole"


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

    data = DataSource("photographs", doc="a named data set, or the path of a file of yours: cost and masses, or points")
    k = Whole(
        2, bounds=(1, None), soft=(1, 64), scale="log", label="nonzeros in a column", symbol="k",
        when={"regularizer": ("k-sparse",)}, doc="most sources that a target may receive from (targets, with rows)",
    )
    gamma = positive(
        1.0, (1e-3, 10.0), label="strength", symbol="γ", unit="cost/mass",
        doc="strength of the regularization; entries of a plan shrink as 1/(m n), so "
        "compare the effective strength across sizes",
    )
    regularizer = Choice(
        ["k-sparse", "quadratic", "entropic"], label="regularizer", symbol="Ω",
        doc="squared 2-norm with at most k nonzeros, squared 2-norm alone, or entropy (Sinkhorn)",
    )
    formulation = Choice(
        ["semi-dual", "dual"], label="solve",
        doc="semi-dual: m unknowns, the columns hold at every step; dual: m + n unknowns, neither marginal does",
    )
    plan = Choice(
        ["k-sparse", "relaxed"], label="plan", sweepable=False, when={"regularizer": ("k-sparse",)},
        doc="k-sparse: at most k nonzeros, rows may miss; relaxed: both marginals hold, tied columns have more",
    )
    n = size(
        None, (2, 8192), (8, 512), allow_None=True, label="size", symbol="n", group="more",
        doc="points, bins, colours or tokens of a named data set; colours of your own pictures",
    )
    constraint = Choice(
        ["columns", "rows"], label="constraint", group="more",
        doc="whose nonzeros are counted: those of each column (target) or of each row (source)",
    )
    solver = Choice(
        ["auto", "newton", "ladder", "lbfgs", "adam"], label="solver", group="more",
        doc="auto picks a fast one; ladder is the paper's L-BFGS with k lowered step by step",
    )
    tolerance = Real(
        1e-6, bounds=(0, 1), inclusive_bounds=(False, False), soft=(1e-9, 1e-2), scale="log", label="tolerance",
        symbol="ε", group="more", doc="stop when the error, as a share of the mass or of the value, is below this",
    )
    max_iterations = size(
        None, (1, 1_000_000), (10, 10_000), allow_None=True, label="iteration limit", group="more",
        doc="stop after so many iterations with the best so far; auto: the solver's own",
    )

    dims: ClassVar = {
        "row": ("source i", ""),
        "col": ("target j", ""),
        "iteration": ("iteration", ""),
        "entry": ("nonzero of the plan", ""),
        "axis": ("coordinate", ""),
        "plane": ("principal axis", ""),
        "channel": ("colour channel", ""),
        "source_height": ("pixel row", ""),
        "source_width": ("pixel column", ""),
        "target_height": ("pixel row", ""),
        "target_width": ("pixel column", ""),
    }
    results = (
        Result("value", (), "optimal value", "optimum of the dual: of the relaxed problem", headline=True),
        Result("transport_cost", (), "transport cost", "inner product of plan and cost", headline=True),
        Result("row_error_l1", (), "L1 row error", "how far the rows of the plan are from the source masses",
               headline=True, judge=_holds),
        Result("column_error_l1", (), "L1 column error", "how far the columns are from the target masses",
               headline=True, judge=_holds),
        Result("nnz", (), "nonzeros", "entries of the plan that carry mass", headline=True),
        Result("max_col_nnz", (), "most in a column", "largest number of nonzeros in a column of the plan"),
        Result("max_row_nnz", (), "most in a row", "largest number of nonzeros in a row of the plan"),
        Result("n_ties", (), "ties", "columns (rows) whose k-th and next score agree: there the plan from the dual "
               "may miss a marginal", headline=True, judge=lambda value, result: "warn" if value > 0 else "good"),
        Result("converged", (), "dual converged", "whether the dual optimum was reached to the tolerance; the plan "
               "recovered from it may still miss a marginal", headline=True,
               judge=lambda value, result: "good" if value else "warn"),
        Result("iterations", (), "iterations", "steps of the solver"),
        Result("lp_gap", (), "above the linear program", "value minus LP: what the regularization costs",
               absent=_TOO_LARGE),
        Result("lp", (), "linear program", "optimal cost without regularization, exact", absent=_TOO_LARGE),
        Result("lower", (), "lower bound", "LP + gamma L, known before solving", absent=_TOO_LARGE),
        Result("upper", (), "upper bound", "LP + gamma U, known before solving", absent=_TOO_LARGE),
        Result("strength", (), "effective strength", "gamma ||b||^2 / |LP|, comparable across sizes and units",
               absent=_TOO_LARGE, undefined="all costs are equal"),
        Result("plan", ("row", "col"), "mass", "the transport plan",
               absent="a large plan is kept by its entries: plan_row, plan_col, plan_value"),
        Result("plan_row", ("entry",), "source of the entry", "rows of a large plan's nonzeros", absent=_WHOLE),
        Result("plan_col", ("entry",), "target of the entry", "columns of a large plan's nonzeros", absent=_WHOLE),
        Result("plan_value", ("entry",), "mass of the entry", "values of a large plan's nonzeros", absent=_WHOLE),
        Result("lp_plan", ("row", "col"), "mass", "an optimal plan of the linear program",
               absent="these data are too large"),
        Result("alpha", ("row",), "source potential", "price of a unit more at a source; mean 0",
               undefined=_EMPTY),
        Result("beta", ("col",), "target potential", "price of a unit more at a target",
               undefined=_EMPTY),
        Result("a", ("row",), "source mass", "mass that each source has"),
        Result("b", ("col",), "target mass", "mass that each target asks for"),
        Result("history", ("iteration",), "value", "best objective so far, by iteration"),
        Result("history_error", ("iteration",), "L1 marginal error", "error of the marginals, by iteration"),
        Result("x", ("row", "axis"), "source position", "points of the sources", absent=_NO_POINTS),
        Result("y", ("col", "axis"), "target position", "points of the targets", absent=_NO_POINTS),
        Result("x_plane", ("row", "plane"), "source in the plane", "sources on two principal axes", absent=_NO_POINTS),
        Result("y_plane", ("col", "plane"), "target in the plane", "targets on two principal axes", absent=_NO_POINTS),
        Result("gates", ("row", "col"), "gate", "how much a token wants an expert",
               absent="these data have no gates of tokens to experts"),
        Result("source_image", ("source_height", "source_width", "channel"), "source picture", "as it is",
               absent=_NO_PICTURES),
        Result("transferred", ("source_height", "source_width", "channel"), "source picture in the target's colours",
               "each colour moved to the mean of where its mass goes", absent=_NO_PICTURES),
        Result("target_image", ("target_height", "target_width", "channel"), "target picture", "as it is",
               absent=_NO_PICTURES),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The problem, its linear program solved exactly, and what the pictures need."""
        wide = jnp.result_type(float)  # a file of float32 is worked on in the lab's precision
        arrays = {name: array.astype(wide) if array.dtype.kind == "f" else array for name, array in data.arrays.items()}
        masses = arrays["a"], arrays["b"]
        points = () if "cost" in arrays else (arrays["x"], arrays["y"])
        problem = ot.from_points(*points, *masses) if points else ot.problem(arrays["cost"], *masses)
        inputs: dict[str, Any] = {"problem": problem}
        if problem.cost.size <= _DENSE:
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
        """k counts sources, or targets where the rows are constrained; other regularizers do not look at it."""
        if self.regularizer != "k-sparse":
            return {}
        side, name = ("a", "sources (rows)") if self.constraint == "columns" else ("b", "targets (columns)")
        return {"k": Limit(1, data.arrays[side].size, f"the number of {name} of these data")}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Solve, and describe the plan."""
        problem = inputs["problem"]
        regularizer = _regularizer(p)
        init = warm if warm is not None and warm.axis == p.constraint else None
        newton = p.formulation == "semi-dual" and p.solver in ("auto", "newton") and p.regularizer != "entropic"
        if init is None and newton and "prices" in inputs:  # the paper's own solvers start at 0
            init = inputs["prices"][p.constraint == "rows"]
        solution = ot.solve(
            problem, regularizer, formulation=p.formulation, method=p.solver, axis=p.constraint,
            tolerance=p.tolerance, max_iterations=p.max_iterations, init=init, loop=loop,
        )
        bare = solution.bare()
        relaxed = p.regularizer == "k-sparse" and p.plan == "relaxed"
        plan = bare.relaxed_plan() if relaxed else bare.plan()
        output = {
            "value": solution.value,
            **ot.figures(problem, plan)._asdict(),
            "n_ties": solution.n_ties,
            "iterations": solution.iterations,
            "alpha": solution.alpha,
            "beta": solution.beta,
            "a": problem.a,
            "b": problem.b,
            "history": best_so_far(solution.trace["value"]),
            "history_error": solution.trace["row_error"],
            "reason": solution.reason,
            "warm": bare,
        }
        if plan.size <= _DENSE:
            output["plan"] = plan
        elif not isinstance(plan, Tracer):  # how many entries there are is known on the host only
            output["plan_row"], output["plan_col"] = i, j = np.nonzero(np.asarray(plan))
            output["plan_value"] = np.asarray(plan)[i, j]
        if "lp" in inputs:
            output |= {"lp": inputs["lp"], "lp_gap": solution.value - inputs["lp"]}
            output["strength"] = jnp.abs(effective_strength(problem, inputs["lp"], p.gamma))
            if p.regularizer != "entropic":
                turned = problem if p.constraint == "columns" else problem.T
                k = p.k if p.regularizer == "k-sparse" else turned.a.shape[0]
                output["lower"], output["upper"] = bounds(turned, inputs["lp"], p.gamma, k)
        if "source_image" in inputs:
            output["transferred"] = recoloured(plan, inputs["x"], inputs["y"], inputs["source_label"])
        passed = ("lp_plan", "x", "y", "x_plane", "y_plane", "gates", "source_image", "target_image")
        return output | {name: inputs[name] for name in passed if name in inputs}

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
        feasible = all(_holds(float(result[name]), result) == "good" for name in errors)
        return ended if feasible else ("dual converged, plan infeasible", "warn")

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Why the plan misses a marginal, and what to do about it."""
        p = json.loads(result.attrs["parameters"])
        columns = p["constraint"] == "columns"
        error = float(result.row_error_l1 if columns else result.column_error_l1)
        ties = int(result.n_ties)
        sparse = p["regularizer"] == "k-sparse" and p["plan"] == "k-sparse"
        if not sparse or not result.attrs["converged"] or _holds(error, result) == "good":
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


def _regularizer(p: Any) -> Any:
    if p.regularizer == "entropic":
        return ot.Entropic(p.gamma)
    return ot.Quadratic(p.gamma) if p.regularizer == "quadratic" else ot.KSparse(p.gamma, p.k)

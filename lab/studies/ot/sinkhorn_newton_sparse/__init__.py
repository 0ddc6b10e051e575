"""Sinkhorn-Newton-Sparse (Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, ICLR 2024) as a study."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import ot
from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.ot import comparison
from lab.ot.bounds import cost_unit
from lab.ot.plans import spread_ranks
from lab.ot.traces import COUNTS
from lab.studies.contract import Choice, DataSource, Paper, Real, Result, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_DENSE = 1 << 22  # entries up to which a result holds the plan
_NO_SPECTRUM = "s₂ is computed up to 1024 points of the smaller side"
_EMPTY = "points without mass have no finite price"
_NO_POINTS = "these data have no points, only a cost"


class SinkhornNewtonSparse(Study):
    """Entropic transport by Newton steps whose Hessian is made sparse, against Sinkhorn's algorithm."""

    slug = "sinkhorn-newton-sparse"
    title = "Sinkhorn-Newton-Sparse"
    field = "Optimal transport"
    paper = Paper(
        "Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying",
        "Accelerating Sinkhorn Algorithm with Sparse Newton Iterations",
        "ICLR",
        2024,
        "https://arxiv.org/abs/2401.12253",
    )
    text = "sinkhorn_newton_sparse.md"
    kind = "transport"
    data_options = ("n", "side", "seed")

    data = DataSource(
        "mnist-pixels", doc="a named data set, or the path of a file of yours: cost and masses, or points"
    )
    epsilon = positive(
        0.004, (1e-3, 1), label="entropy", symbol="ε", unit="unit cost",
        doc="strength of the entropy, in the unit of cost chosen below; small values are what is hard",
    )
    threshold = Choice(
        ["adaptive", "entries", "absolute"], label="what the Hessian drops", when={"backend": ("host", "ell")},
        doc="adaptive: at most theta or the error, in mass; entries: all but the largest (the paper); absolute: below rho",
    )
    theta = Real(
        1e-2, bounds=(0, 1), inclusive_bounds=(True, True), soft=(1e-4, 1), scale="log", label="dropped mass", symbol="θ",
        when={"threshold": ("adaptive",)}, doc="most mass that the Hessian may miss; never more than the marginal error",
    )
    per_row = Real(
        2.0, bounds=(1, None), soft=(1, 64), scale="log", label="entries in a row", symbol="λn",
        when={"threshold": ("entries",)}, doc="entries of the plan that the Hessian keeps, the largest, per row",
    )
    rho = Real(
        1e-5, bounds=(0, 1), inclusive_bounds=(True, True), soft=(1e-9, 1e-2), scale="log", label="smallest entry",
        symbol="ρ", unit="mass", when={"threshold": ("absolute",)}, doc="share of the mass below which an entry is dropped",
    )
    ladder = Switch(
        True, label="ladder in ε", doc="start at a large epsilon and lower it; off: at epsilon, as in the paper",
    )
    sweeps = Whole(
        1, bounds=(0, 100_000), soft=(0, 1000), label="sweeps before Newton", symbol="N₁",
        doc="Sinkhorn sweeps before the first Newton step, on each level of the ladder",
    )
    ground = Choice(
        ["given", "manhattan"], label="cost", doc="given: the data's own cost, or squared distances of its points; "
        "manhattan: L1 distances of its points, for which many plans are optimal",
    )
    baseline = Choice(
        ["plain", "relaxed", "anderson"], label="compared with",
        doc="Sinkhorn's sweeps in the kernel domain: plain, over-relaxed, or Anderson's combination on a ladder",
    )
    cost_unit = Choice(
        ["mean", "largest", "one"], label="unit cost", group="more",
        doc="what epsilon is counted in: the mean or the largest of the costs above the least, or the cost's own unit",
    )
    backend = Choice(
        ["host", "ell", "dense"], label="Hessian", group="more",
        doc="host: compressed rows, conjugate gradients in SciPy; ell: as many entries of each column, compiled; dense: "
        "factorized whole, exact Newton",
    )
    per_column = size(
        32, (1, 4096), (8, 64), label="entries in a column", group="more", when={"backend": ("ell",)},
        doc="most entries of a column that ell keeps; where they hold too little, it takes all",
    )
    n = size(
        None, (2, 4096), (16, 512), allow_None=True, label="size", symbol="n", group="more",
        doc="points, bins or colours of a named data set",
    )
    side = Whole(
        None, allow_None=True, bounds=(2, 28), soft=(6, 28), label="pixels a side", group="more", traced=False,
        doc="pixels a side of images that are taken whole; they have its square as many points",
    )
    tolerance = Real(
        1e-8, bounds=(0, 1), inclusive_bounds=(False, False), soft=(1e-12, 1e-2), scale="log", label="tolerance",
        group="more", doc="stop when the L1 error of both marginals, as a share of the mass, is below this",
    )
    max_iterations = size(
        500, (1, 10_000), (10, 1000), label="iteration limit", group="more",
        doc="steps of Sinkhorn-Newton-Sparse of both kinds, at most",
    )
    max_sweeps = size(
        20_000, (1, 30_000), (1, 30_000), label="limit of Sinkhorn", group="more",
        doc="sweeps of what it is compared with, at most; 1: it is not looked at",
    )

    dims: ClassVar = {
        "row": ("source i", ""),
        "col": ("target j", ""),
        "iteration": ("iteration", ""),
        "count": ("iteration", ""),
        "solver": ("solver", ""),  # not "method", which has a meaning of its own in sel
        "rank": ("entries in a row", ""),
        "axis": ("coordinate", ""),
    }
    results = (
        Result("newton_steps", (), "Newton steps", "solves with the Hessian, on all levels of the ladder", headline=True),
        Result("iterations", (), "iterations", "Newton steps and sweeps of Sinkhorn-Newton-Sparse", headline=True),
        Result("sinkhorn_sweeps", (), "Sinkhorn sweeps", "iterations of what it is compared with", headline=True),
        Result("sinkhorn_error", (), "Sinkhorn's error", "L1 error of both marginals where Sinkhorn ended"),
        Result("work_ratio", (), "work saved", "multiply-adds of Sinkhorn over those of Sinkhorn-Newton-Sparse, an "
               "exponential counted as 10; a lower bound where Sinkhorn met its limit"),
        Result("s2", (), "s₂", "second singular value of the plan scaled to rows and columns of mass 1: a sweep shrinks the "
               "error by its square", absent=_NO_SPECTRUM),
        Result("spectral_gap", (), "1 − s₂²", "what a sweep takes off the error", headline=True, absent=_NO_SPECTRUM),
        Result("sweeps_per_decade", (), "sweeps a decade, predicted", "ln 10 over −ln s₂²: plain sweeps for a tenth of the "
               "error", absent=_NO_SPECTRUM),
        Result("sweeps_per_decade_observed", (), "sweeps a decade, observed", "over the last decade of the error",
               undefined="the error did not fall through a decade in Sinkhorn's sweeps"),
        Result("row_error_l1", (), "L1 row error", "how far the rows of the plan are from the source masses, of mass 1",
               headline=True),
        Result("column_error_l1", (), "L1 column error", "how far the columns are from the target masses, of mass 1"),
        Result("value", (), "optimal value", "optimum of the dual"),
        Result("duality_gap", (), "duality gap", "entropic objective of the plan less the dual value"),
        Result("transport_cost", (), "transport cost", "inner product of plan and cost", headline=True),
        Result("eta", (), "η", "largest cost above the least over epsilon: the paper's 1200", headline=True),
        Result("converged", (), "converged", "whether Newton's marginals hold to the tolerance", headline=True,
               judge=lambda value, result: "good" if value else "warn"),
        Result("cutoff", (), "threshold", "smallest share of the mass that the last Hessian kept", unit="mass"),
        Result("kept_mass", (), "kept mass", "share of the mass in the entries above the threshold"),
        Result("err", ("solver", "count"), "L1 marginal error", "of both marginals, by iteration"),
        Result("f_gap", ("solver", "count"), "optimality gap", "best dual value less that of the iterate"),
        Result("work", ("solver", "count"), "multiply-adds", "so far, an exponential counted as 10"),
        Result("total_work", ("solver",), "multiply-adds", "in all"),
        Result("history_error", ("iteration",), "L1 marginal error", "of Sinkhorn-Newton-Sparse, by step"),
        Result("history_gap", ("iteration",), "optimality gap", "of Sinkhorn-Newton-Sparse, by step"),
        Result("history_epsilon", ("iteration",), "ε of the level", "that the ladder has come to"),
        Result("cg_iters", ("iteration",), "CG iterations", "of a Newton step; NaN for a sweep"),
        Result("nnz_row", ("iteration",), "entries in a row", "that the Hessian keeps, on average; NaN for a sweep"),
        Result("dropped_mass", ("iteration",), "dropped mass", "that the Hessian misses; NaN for a sweep"),
        Result("alpha", ("iteration",), "step size", "of the line search, 0 where it refused; NaN for a sweep"),
        Result("sorted_entry", ("rank",), "entry over row mass", "the entries of the plan from the largest, in units of the "
               "mean mass of a row"),
        Result("mass_beyond", ("rank",), "mass outside", "of as many of the largest entries"),
        Result("plan", ("row", "col"), "mass", "the transport plan",
               absent="the plan is too large to be kept whole: take fewer points"),
        Result("row_potential", ("row",), "source potential", "price of a unit more at a source; mean 0",
               undefined=_EMPTY),
        Result("column_potential", ("col",), "target potential", "price of a unit more at a target",
               undefined=_EMPTY),
        Result("a", ("row",), "source mass", "mass that each source has"),
        Result("b", ("col",), "target mass", "mass that each target asks for"),
        Result("x", ("row", "axis"), "source position", "points of the sources", absent=_NO_POINTS),
        Result("y", ("col", "axis"), "target position", "points of the targets", absent=_NO_POINTS),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The problem with each cost that these data have."""
        wide = jnp.result_type(float)  # a file of float32 is worked on in the lab's precision
        arrays = {name: array.astype(wide) if array.dtype.kind == "f" else array for name, array in data.arrays.items()}
        masses = arrays["a"], arrays["b"]
        own = "cost" in arrays
        problem = ot.problem(arrays["cost"], *masses) if own else ot.from_points(arrays["x"], arrays["y"], *masses)
        inputs: dict[str, Any] = {"given": problem}
        if "x" in arrays:
            apart = sum(np.abs(arrays["x"][:, None, k] - arrays["y"][None, :, k]) for k in range(arrays["x"].shape[1]))
            inputs["manhattan"] = ot.problem(apart, *masses)
            if arrays["x"].shape[1] <= 3:
                inputs |= {"x": arrays["x"], "y": arrays["y"]}
        return inputs

    def check(self, data: Data) -> None:
        """Distances need points."""
        super().check(data)
        if self.ground == "manhattan" and "x" not in data.arrays:
            why = "it must be given for these data, which have a cost but no points"
            raise ValueError(self.parameters()["ground"].refuse(self.ground, why))

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Solve by both methods from nothing, and describe what they did. No warm start: the counts are the answer."""
        problem = inputs[p.ground]
        threshold = {
            "adaptive": lambda: ot.Adaptive(p.theta),
            "entries": lambda: ot.Density(p.per_row / problem.b.shape[0]),
            "absolute": lambda: ot.Absolute(p.rho),
        }[p.threshold]()
        newton = ot.SinkhornNewton(p.backend, threshold, p.sweeps, p.ladder, p.per_column)
        sinkhorn = {
            "plain": ot.Sinkhorn("kernel", 1.0, memory=0, ladder=False),
            "relaxed": ot.Sinkhorn("kernel", "auto", memory=0, ladder=False),
            "anderson": ot.Sinkhorn("kernel"),
        }[p.baseline]
        entropic = ot.Entropic(p.epsilon * cost_unit(problem.cost, p.cost_unit))
        solved = partial(ot.solve, problem, entropic, tolerance=p.tolerance, loop=loop)
        fast = solved(method=newton, max_iterations=p.max_iterations)
        slow = solved(method=sinkhorn, max_iterations=p.max_sweeps)
        compared = comparison.compare(fast, slow, newton, p.tolerance, p.max_iterations, p.max_sweeps)
        output = {name: value for name, value in compared._asdict().items() if value is not None}
        output |= {"row_potential": fast.alpha, "column_potential": fast.beta, "a": problem.a, "b": problem.b}
        output |= {name: inputs[name] for name in ("x", "y") if name in inputs}
        if problem.cost.size <= _DENSE:
            output["plan"] = fast.bare().plan()
        reason = jnp.where(jnp.asarray(slow.reason) == Reason.STOPPED, Reason.STOPPED, jnp.asarray(fast.reason))
        return output | {"iterations": fast.iterations, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Which iterations and entries are kept, positions on a line, names of the axes."""
        m, n = inputs["given"].cost.shape
        coords: dict[str, Any] = {"solver": list(comparison.SOLVERS), "count": COUNTS, "rank": spread_ranks(m, n) / m}
        axes, unit = data.axes.get("x", ()), data.axes.get("unit", "")
        for dim, points, name in (("row", "x", "source"), ("col", "y", "target")):
            place = data.arrays.get(points)
            if place is not None and place.shape[1] == 1 and (np.diff(place[:, 0]) > 0).all():
                label = f"{name} {axes[0] if axes else 'position'}"
                coords[dim] = (dim, place[:, 0], {"long_name": label, "units": "" if unit in axes else unit})
        if "x" in inputs and axes:
            coords["axis"] = ("axis", list(axes), {"units": unit})
        return coords

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What a baseline that met its limit means."""
        p = sweeping.parameters(result)
        if not result.attrs["converged"] or p["max_sweeps"] == 1 or float(result.sinkhorn_error) <= p["tolerance"]:
            return ""
        return (
            f"Sinkhorn met its limit of {int(result.sinkhorn_sweeps)} sweeps at an error of "
            f"{float(result.sinkhorn_error):.2g}, so the work saved is a lower bound."
        )

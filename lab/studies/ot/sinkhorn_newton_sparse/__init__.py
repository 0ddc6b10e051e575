"""Sinkhorn-Newton-Sparse (Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, ICLR 2024) as a study."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import ot
from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.studies.contract import Choice, DataSource, Paper, Real, Result, Study, Switch, Whole

from .claims import CLAIMS
from .pictures import PICTURES, parameters
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

SOLVERS = ("Sinkhorn-Newton-Sparse", "Sinkhorn")
COUNT = np.unique(np.r_[np.arange(1, 65), np.round(np.geomspace(64, 1e6, 100))].astype(int))  # iterations that are kept
_SPECTRAL = 1024  # points of the smaller side up to which s_2 is computed
_DENSE = 1 << 22  # entries up to which a result holds the plan
_EXP = 10  # multiply-adds that an exponential takes as long as: measured, a pass of either over a matrix
_HALVINGS = 12  # trials of a refused step


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
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "transport"
    data_options = ("n", "side", "seed")

    data = DataSource(
        "mnist-pixels", doc="a named data set, or the path of a file of yours: cost and masses, or points"
    )
    epsilon = Real(
        0.004, bounds=(0, None), inclusive_bounds=(False, True), soft=(1e-3, 1), scale="log", label="entropy", symbol="ε",
        unit="unit cost", doc="strength of the entropy, in the unit of cost chosen below; small values are what is hard",
    )  # fmt: skip
    threshold = Choice(
        ["adaptive", "entries", "absolute"], label="what the Hessian drops", when={"backend": ("host", "ell")},
        doc="adaptive: at most theta or the error, in mass; entries: all but the largest (the paper); absolute: below rho",
    )  # fmt: skip
    theta = Real(
        1e-2, bounds=(0, 1), inclusive_bounds=(True, True), soft=(1e-4, 1), scale="log", label="dropped mass", symbol="θ",
        when={"threshold": ("adaptive",)}, doc="most mass that the Hessian may miss; never more than the marginal error",
    )  # fmt: skip
    per_row = Real(
        2.0, bounds=(1, None), soft=(1, 64), scale="log", label="entries in a row", symbol="λn",
        when={"threshold": ("entries",)}, doc="entries of the plan that the Hessian keeps, the largest, per row",
    )  # fmt: skip
    rho = Real(
        1e-5, bounds=(0, 1), inclusive_bounds=(True, True), soft=(1e-9, 1e-2), scale="log", label="smallest entry",
        symbol="ρ", unit="mass", when={"threshold": ("absolute",)}, doc="share of the mass below which an entry is dropped",
    )  # fmt: skip
    ladder = Switch(
        True, label="ladder in ε", doc="start at a large epsilon and lower it; off: at epsilon, as in the paper",
    )  # fmt: skip
    sweeps = Whole(
        1, bounds=(0, 100_000), soft=(0, 1000), label="sweeps before Newton", symbol="N₁",
        doc="Sinkhorn sweeps before the first Newton step, on each level of the ladder",
    )  # fmt: skip
    ground = Choice(
        ["given", "manhattan"], label="cost", doc="given: the data's own cost, or squared distances of its points; "
        "manhattan: L1 distances of its points, for which many plans are optimal",
    )  # fmt: skip
    baseline = Choice(
        ["plain", "relaxed", "anderson"], label="compared with",
        doc="Sinkhorn's sweeps in the kernel domain: plain, over-relaxed, or Anderson's combination on a ladder",
    )  # fmt: skip
    cost_unit = Choice(
        ["mean", "largest", "one"], label="unit cost", group="more",
        doc="what epsilon is counted in: the mean or the largest of the costs above the least, or the cost's own unit",
    )  # fmt: skip
    backend = Choice(
        ["host", "ell", "dense"], label="Hessian", group="more",
        doc="host: compressed rows, conjugate gradients in SciPy; ell: as many entries of each column, compiled; dense: "
        "factorized whole, exact Newton",
    )  # fmt: skip
    per_column = Whole(
        32, bounds=(1, 4096), soft=(8, 64), scale="log", label="entries in a column", group="more", traced=False,
        when={"backend": ("ell",)}, doc="most entries of a column that ell keeps; where they hold too little, it takes all",
    )  # fmt: skip
    n = Whole(
        None, allow_None=True, bounds=(2, 4096), soft=(16, 512), scale="log", label="size", symbol="n", group="more",
        traced=False, doc="points, bins or colours of a named data set",
    )  # fmt: skip
    side = Whole(
        None, allow_None=True, bounds=(2, 28), soft=(6, 28), label="pixels a side", group="more", traced=False,
        doc="pixels a side of images that are taken whole; they have its square as many points",
    )  # fmt: skip
    tolerance = Real(
        1e-8, bounds=(0, 1), inclusive_bounds=(False, False), soft=(1e-12, 1e-2), scale="log", label="tolerance",
        group="more", doc="stop when the L1 error of both marginals, as a share of the mass, is below this",
    )  # fmt: skip
    max_iterations = Whole(
        500, bounds=(1, 10_000), soft=(10, 1000), scale="log", label="iteration limit", group="more", traced=False,
        doc="steps of Sinkhorn-Newton-Sparse of both kinds, at most",
    )  # fmt: skip
    max_sweeps = Whole(
        20_000, bounds=(1, 30_000), soft=(1, 30_000), scale="log", label="limit of Sinkhorn", group="more",
        traced=False, doc="sweeps of what it is compared with, at most; 1: it is not looked at",
    )  # fmt: skip

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
               "error by its square", optional=True),
        Result("spectral_gap", (), "1 − s₂²", "what a sweep takes off the error", headline=True, optional=True),
        Result("sweeps_per_decade", (), "sweeps a decade, predicted", "ln 10 over −ln s₂²: plain sweeps for a tenth of the "
               "error", optional=True),
        Result("sweeps_per_decade_observed", (), "sweeps a decade, observed", "over the last decade of the error; NaN where "
               "it did not get below 0.01"),
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
        Result("plan", ("row", "col"), "mass", "the transport plan", optional=True),
        Result("row_potential", ("row",), "source potential", "price of a unit more at a source; mean 0"),
        Result("column_potential", ("col",), "target potential", "price of a unit more at a target"),
        Result("a", ("row",), "source mass", "mass that each source has"),
        Result("b", ("col",), "target mass", "mass that each target asks for"),
        Result("x", ("row", "axis"), "source position", "points of the sources", optional=True),
        Result("y", ("col", "axis"), "target position", "points of the targets", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The problem with each cost that these data have."""
        wide = jnp.zeros(()).dtype  # a file of float32 is worked on in the lab's precision
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
        epsilon = p.epsilon * _unit(problem.cost, p.cost_unit)
        n = problem.b.shape[0]
        threshold = {
            "adaptive": lambda: ot.Adaptive(p.theta),
            "entries": lambda: ot.Density(p.per_row / n),
            "absolute": lambda: ot.Absolute(p.rho),
        }[p.threshold]()
        newton = ot.SinkhornNewton(p.backend, threshold, p.sweeps, p.ladder, p.per_column)
        sinkhorn = {
            "plain": ot.Sinkhorn("kernel", 1.0, memory=0, ladder=False),
            "relaxed": ot.Sinkhorn("kernel", "auto", memory=0, ladder=False),
            "anderson": ot.Sinkhorn("kernel"),
        }[p.baseline]
        solved = partial(ot.solve, problem, ot.Entropic(epsilon), tolerance=p.tolerance, loop=loop)
        fast = solved(method=newton, max_iterations=p.max_iterations)
        slow = solved(method=sinkhorn, max_iterations=p.max_sweeps)
        traces = (_padded(fast.trace, p.max_iterations), _padded(slow.trace, p.max_sweeps))
        counts = jnp.asarray(fast.iterations), jnp.asarray(slow.iterations)
        # a trace of another length would be another program
        bare = replace(fast, trace={}, iterations=counts[0], reason=jnp.asarray(fast.reason))
        described = _describe(
            bare, epsilon, p.tolerance, threshold, traces, counts, p.backend == "dense",
        )  # fmt: skip
        passed = {name: inputs[name] for name in ("x", "y") if name in inputs}
        reason = jnp.where(jnp.asarray(slow.reason) == Reason.STOPPED, Reason.STOPPED, jnp.asarray(fast.reason))
        return described | passed | {"iterations": fast.iterations, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Which iterations and entries are kept, positions on a line, names of the axes."""
        m, n = inputs["given"].cost.shape
        coords: dict[str, Any] = {"solver": list(SOLVERS), "count": COUNT, "rank": _ranks(m, n) / m}
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
        p = parameters(result)
        if not result.attrs["converged"] or p["max_sweeps"] == 1 or float(result.sinkhorn_error) <= p["tolerance"]:
            return ""
        return (
            f"Sinkhorn met its limit of {int(result.sinkhorn_sweeps)} sweeps at an error of "
            f"{float(result.sinkhorn_error):.2g}, so the work saved is a lower bound."
        )


def _unit(cost: Any, unit: str) -> Any:
    if unit == "one":
        return jnp.ones((), cost.dtype)
    return _spread(cost)[unit]


@jax.jit
def _spread(cost: Any) -> dict[str, Any]:
    mean, largest = cost.mean() - cost.min(), cost.max() - cost.min()
    # of a constant cost every epsilon gives one plan
    return {"mean": jnp.where(mean > 0, mean, 1.0), "largest": jnp.where(largest > 0, largest, 1.0)}


def _padded(trace: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The trace with as many rows as it may have, NaN after the last."""
    if not isinstance(trace["value"], np.ndarray):
        return dict(trace)
    return {name: np.append(values, np.full(rows - len(values), np.nan)) for name, values in trace.items()}


def _ranks(m: int, n: int) -> np.ndarray:
    return np.unique(np.round(np.geomspace(1, m * n, 160)).astype(int))


def _at_counts(values: Any, last: Any) -> Any:
    """A trace at the iterations that are kept; NaN after the last one."""
    at = jnp.minimum(jnp.asarray(COUNT), values.shape[0]) - 1
    return jnp.where(jnp.asarray(COUNT) <= last, values[at], jnp.nan)


@partial(jax.jit, static_argnums=6)
def _describe(solution: ot.Solution, epsilon, tolerance, threshold, traces, counts, dense: bool) -> dict[str, Any]:
    problem: Any = solution.problem
    cost, mass = problem.cost, problem.a.sum()
    m, n = cost.shape
    plan = solution.plan()
    share = plan / mass
    fast, slow = traces
    newton = fast["kept"] > 0
    best = jnp.maximum(jnp.nanmax(fast["value"], initial=-jnp.inf), jnp.nanmax(slow["value"], initial=-jnp.inf))
    gaps = [jnp.maximum(best - trace["value"], 0) for trace in traces]  # NaN stays
    work = _work(fast, newton, m, n, dense), 2.0 * m * n * jnp.arange(1, slow["value"].shape[0] + 1)
    total = jnp.stack([jnp.where(k > 0, w[jnp.maximum(k, 1) - 1], 0) for w, k in zip(work, counts, strict=True)])
    cutoff, kept = _last_hessian(share, fast, newton, threshold, tolerance, dense)
    entropy = jnp.where(plan > 0, plan * jnp.log(jnp.where(plan > 0, plan, 1)), 0).sum()
    moved = (plan * cost).sum()
    rows, columns = (
        jnp.abs(share.sum(axis=1) - problem.a / mass).sum(),
        jnp.abs(share.sum(axis=0) - problem.b / mass).sum(),
    )
    ranked = jnp.sort(share.ravel())[::-1]
    ranks = jnp.asarray(_ranks(m, n)) - 1
    last = jnp.maximum(counts[1], 1) - 1

    def by_step(values):
        return jnp.where(newton, values, jnp.nan)

    def of_both(values):
        return jnp.stack([_at_counts(v, k) for v, k in zip(values, counts, strict=True)])

    output = {
        "newton_steps": newton.sum(),
        "sinkhorn_sweeps": counts[1],
        "sinkhorn_error": slow["residual"][last],
        "work_ratio": total[1] / total[0],
        "sweeps_per_decade_observed": _observed(slow["residual"], last),
        "row_error_l1": rows,
        "column_error_l1": columns,
        "value": solution.value,
        "duality_gap": moved + epsilon * entropy - solution.value,
        "transport_cost": moved,
        "eta": (cost.max() - cost.min()) / epsilon,
        "cutoff": cutoff,
        "kept_mass": kept,
        "err": of_both([trace["residual"] for trace in traces]),
        "f_gap": of_both(gaps),
        "work": of_both(work),
        "total_work": total,
        "history_error": fast["residual"],
        "history_gap": gaps[0],
        "history_epsilon": fast["epsilon"],
        "cg_iters": by_step(fast["inner"]),
        "nnz_row": by_step(fast["kept"] / m),
        "dropped_mass": by_step(fast["dropped"]),
        "alpha": by_step(fast["size"]),
        "sorted_entry": ranked[ranks] * m,
        "mass_beyond": jnp.maximum(jnp.cumsum(ranked[::-1])[::-1][ranks] - ranked[ranks], 0),
        "row_potential": solution.alpha,
        "column_potential": solution.beta,
        "a": problem.a,
        "b": problem.b,
    }
    if min(m, n) <= _SPECTRAL:
        # of the optimal plan, which an unfinished run does not have
        output |= {name: jnp.where(solution.converged, value, jnp.nan) for name, value in _spectrum(share).items()}
    if m * n <= _DENSE:
        output["plan"] = plan
    return output


def _work(trace: Mapping[str, Any], newton: Any, m: int, n: int, dense: bool) -> Any:
    """Multiply-adds up to each step: passes of exponentials, products with what the Hessian keeps, or its factor."""
    size, entries = trace["size"], float(m * n)
    trials = jnp.where(size > 0, 1 + jnp.maximum(-jnp.log2(jnp.where(size > 0, size, 1.0)), 0), _HALVINGS)
    solve = m * m * n + m**3 / 3 if dense else 2 * trace["inner"] * trace["kept"]
    level = jnp.append(trace["epsilon"][:1], trace["epsilon"][:-1])
    passes = jnp.where(newton, trials, 1.0) + (trace["epsilon"] < level)  # a lower level makes the plan again
    each = _EXP * entries * passes + jnp.where(newton, solve + entries, 0.0)
    return _EXP * entries + jnp.cumsum(each)


def _last_hessian(share: Any, trace: Mapping[str, Any], newton: Any, threshold: Any, tolerance: Any, dense: bool):
    """The threshold of the last Newton step, at the plan that came of it, and the mass of the entries above it."""
    if dense:
        return jnp.zeros_like(share[0, 0]), jnp.ones_like(share[0, 0])
    rows = newton.shape[0]
    at = rows - 1 - jnp.argmax(newton[::-1])
    error = trace["residual"][jnp.maximum(at - 1, 0)]
    error = jnp.where(newton.any() & jnp.isfinite(error), error, 1.0)
    cutoff = threshold.cutoff(share, error, jnp.asarray(tolerance, share.dtype))
    return cutoff, jnp.where(share >= cutoff, share, 0).sum()


def _observed(error: Any, last: Any) -> Any:
    """Sweeps for a tenth of the error, from the last decade of it."""
    end = error[last]
    first = jnp.minimum(jnp.argmax(error <= 10 * end), jnp.maximum(last - 1, 0))
    decades = jnp.log10(error[first] / end)
    settled = (end < 1e-2) & (decades > 0)
    return jnp.where(settled, (last - first) / jnp.where(settled, decades, 1.0), jnp.nan)


def _spectrum(share: Any) -> dict[str, Any]:
    s2 = ot.second_singular_value(share)
    second = s2**2
    rate = -jnp.log(jnp.maximum(second, jnp.finfo(share.dtype).tiny))
    return {"s2": s2, "spectral_gap": 1 - second, "sweeps_per_decade": jnp.log(10.0) / jnp.abs(rate)}

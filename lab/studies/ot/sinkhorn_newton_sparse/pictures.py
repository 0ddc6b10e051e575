"""The pictures of Sinkhorn-Newton-Sparse."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.words import number

_FLOOR = 1e-17  # of the value: below it a gap is rounding
_KEPT = (2.0, 3.0, 4.0, 8.0)  # entries in a row
_FACTORS = (0.1, 10**-0.5, 1.0, 10**0.5, 10.0)
_STRENGTHS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
_SIDES, _SIZES = (6, 8, 11, 16), (32, 64, 128, 256)
_DECADES = 20  # of the entries of a Hessian that are shown
_PIXELS = 512


# ---- one run -----------------------------------------------------------------------------------------------------


def _trace(result: xr.Dataset, name: str, solver: int, against: str = "count") -> tuple[np.ndarray, np.ndarray]:
    """What is kept of a trace, by iteration or by work."""
    values = result[name].isel(solver=solver).values
    at = result["work"].isel(solver=solver).values if against == "work" else result["count"].values
    kept = np.isfinite(values)
    return at[kept].astype(float), values[kept]


def _solvers() -> Any:
    return zip(range(2), ("Newton", "Sinkhorn"), (draw.SOURCE, draw.TARGET), strict=True)


def _gap(result: xr.Dataset, against: str) -> list[Any]:
    floor = _FLOOR * max(1.0, abs(float(result["value"])))
    lines = []
    for solver, name, color in _solvers():
        at, gap = _trace(result, "f_gap", solver, against)
        lines.append(draw.curve(at, np.maximum(gap, floor), name, color=color, markers=solver == 0))
    return lines


def _largest(values: xr.DataArray) -> float:
    """The end of an axis that leaves room for words at the top hangs on it."""
    return float(values.max()) if np.isfinite(values).any() else 1.0


def _first_step(result: xr.Dataset) -> int:
    """The iteration before the first Newton step."""
    return int(np.argmax(np.isfinite(result.nnz_row.values))) if np.isfinite(result.nnz_row.values).any() else 0


def _key_figure(result: xr.Dataset) -> Any:
    knee = max(_first_step(result), 1)
    return draw.plot(
        *_gap(result, "count"), draw.vline(knee, "first Newton step", color=draw.MUTED),
        xlabel=draw.label(result["count"]), ylabel="optimality gap", logx=True, logy=True,
        ylim=(None, 100 * _largest(result.f_gap)),
    )


def _against_work(result: xr.Dataset) -> Any:
    return draw.plot(
        *_gap(result, "work"), xlabel="multiply-adds, an exponential as 10", ylabel="optimality gap", logx=True, logy=True,
    )


def _convergence(result: xr.Dataset) -> Any:
    lines = []
    for solver, name, color in _solvers():
        lines.append(draw.curve(*_trace(result, "err", solver), name, color=color, markers=solver == 0))
    lines.append(draw.hline(sweeping.parameters(result)["tolerance"]))
    return draw.plot(
        *lines, xlabel=draw.label(result["count"]), ylabel="L1 error of both marginals", logx=True, logy=True,
        note="dashed: the tolerance", ylim=(None, 20 * _largest(result.err)),
    )


def kept_entries(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The plan of mass 1, and which of its entries the last Newton step kept."""
    plan = result.plan.values / float(result.a.sum())
    kept = plan >= float(result.cutoff) * (1 - 1e-12)  # the very entry that it is
    kept[np.arange(plan.shape[0]), plan.argmax(1)] = True  # the largest of each row and column stay
    kept[plan.argmax(0), np.arange(plan.shape[1])] = True
    return plan, kept


def hessians(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(m + n, m + n) each: the Hessian of the dual over eta at the plan, whole and as the last Newton step had it."""
    plan, kept = kept_entries(result)
    diagonal = np.r_[plan.sum(1), plan.sum(0)]  # full sums, whatever is dropped

    def hessian(block):
        m = len(block)
        whole = np.diag(diagonal)
        whole[:m, m:], whole[m:, :m] = block, block.T
        return whole

    return hessian(plan), hessian(np.where(kept, plan, 0))


def _hessian(result: xr.Dataset) -> Any:
    m, mass = result.sizes["row"], float(result.plan.sum()) / float(result.a.sum())
    panels = []
    for name, matrix in zip(("whole", "sparse"), hessians(result), strict=True):
        block = matrix[:m, m:]
        missed = 1 - block.sum() / mass
        shown = draw.pooled(matrix, _PIXELS)
        with np.errstate(divide="ignore"):
            depth = np.clip(1 + np.log10(shown / matrix.max()) / _DECADES, 0, 1)
        without = f", {number(float(missed), 2)} left out" if missed > 1e-15 else ""
        panels.append((f"{name}: {np.count_nonzero(block) / m:.3g} a row{without}", draw.shaded(depth)))
    return draw.strip(panels, height=340)


def stepped(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Which iterations are Newton steps, and their numbers."""
    at = np.flatnonzero(np.isfinite(result.nnz_row.values))
    return at, np.arange(1, at.size + 1)


def _steps(result: xr.Dataset) -> Any:
    at, step = stepped(result)
    return draw.plot(
        draw.curve(step, result.nnz_row.values[at], "entries in a row", markers=True),
        draw.curve(step, np.maximum(result.cg_iters.values[at], 0.5), "CG iterations", color=draw.TARGET, markers=True),
        draw.hline(result.sizes["col"], "all entries"),
        xlabel="Newton step", ylabel="number", logy=True, ylim=(None, 2.5 * result.sizes["col"]),
    )


def _dropped(result: xr.Dataset) -> Any:
    at, step = stepped(result)
    return draw.plot(
        draw.curve(step, result.history_error.values[at], "error after it", markers=True),
        draw.curve(step, result.dropped_mass.values[at], "mass left out", color=draw.TARGET, markers=True),
        draw.curve(step, result.alpha.values[at], "step size", color=draw.MUTED, markers=True),
        xlabel="Newton step", ylabel="share", logy=True,
    )


def _plan(result: xr.Dataset) -> Any:
    return draw.plan(
        result.plan.values, result.a.values, result.b.values, result.row.values, result.col.values,
        xlabel=draw.label(result.col), ylabel=draw.label(result.row),
    )


def linked(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries that are drawn."""
    rows, cols = np.nonzero(result.plan.values > 1e-3 * result.plan.values.max())
    return rows, cols


def _links(result: xr.Dataset) -> Any:
    i, j = linked(result)
    names = [draw.label(str(name), result.axis.attrs.get("units", "")) for name in result.axis.values]
    if result.axis.dtype.kind in "iu":
        names = ["x₁", "x₂"]
    return draw.links(
        result.x.values, result.y.values, i, j, result.plan.values[i, j], a=result.a.values, b=result.b.values,
        xlabel=names[0], ylabel=names[1],
    )


# ---- along epsilon -----------------------------------------------------------------------------------------------


def _around(study: Study, data: Data) -> list[float]:
    epsilon: Any = study.values()["epsilon"]
    return [float(f"{epsilon * factor:.3g}") for factor in _FACTORS]


def _family(result: xr.Dataset) -> Any:
    epsilons = result.epsilon.values
    order = np.argsort(-epsilons)
    return zip(order, epsilons[order], draw.colours(len(order), ordered=True), strict=True)


def _by_rank(name: str, ylabel: str, least: float) -> Any:
    """What is in the largest entries, or beyond them, for each epsilon."""

    def drawn(result: xr.Dataset) -> Any:
        lines = [
            draw.curve(result["rank"].values, np.maximum(result[name].isel(epsilon=k).values, least),
                       f"ε = {epsilon:.3g}", color=color)
            for k, epsilon, color in _family(result)
        ]
        return draw.plot(
            *lines, xlabel=draw.label(result["rank"]), ylabel=ylabel, logx=True, logy=True, ylim=(1e-12, None),
        )

    return drawn


def _second(result: xr.Dataset) -> Any:
    epsilon = result.epsilon.values
    return draw.plot(
        draw.curve(epsilon, result.spectral_gap.values, markers=True),
        xlabel="ε (unit cost)", ylabel="1 − s₂²", logx=True, logy=True,
    )


def _counts(result: xr.Dataset) -> Any:
    epsilon = result.epsilon.values
    return draw.plot(
        draw.curve(epsilon, result.sweeps_per_decade.values, "sweeps a decade", color=draw.MUTED, dash=True),
        draw.points(epsilon, result.sweeps_per_decade_observed.values, color=draw.TARGET),
        draw.curve(epsilon, result.newton_steps.values.astype(float), "Newton steps", markers=True),
        xlabel="ε (unit cost)", ylabel="iterations", logx=True, logy=True, note="dots: as observed",
        ylim=(None, 3 * _largest(result.sweeps_per_decade)),
    )


def _plans(result: xr.Dataset) -> Any:
    shown = [
        (f"ε = {epsilon:.3g}", draw.shaded(draw.pooled(result.plan.isel(epsilon=k).values[::-1], 256)))
        for k, epsilon, _ in _family(result)
    ]
    return draw.strip(shown)


# ---- what is kept ------------------------------------------------------------------------------------------------


def _kept(study: Study, data: Data) -> list[float]:
    n = len(data.arrays["b"])
    return [k for k in _KEPT if k < n] + [float(n)]


def _superlinear(result: xr.Dataset) -> Any:
    kept = result.per_row.values
    return draw.plot(
        draw.curve(kept, result.newton_steps.values.astype(float), markers=True),
        draw.hline(float(result.newton_steps[-1]), "all entries"),
        xlabel="entries in a row that the Hessian keeps", ylabel="Newton steps", logx=True, ylim=(0, None),
        xticks=[(float(k), f"{k:g}") for k in kept],
    )


def _tails(result: xr.Dataset) -> Any:
    lines = []
    for k, color in zip(range(result.sizes["per_row"]), draw.colours(result.sizes["per_row"], ordered=True), strict=True):
        run = result.isel(per_row=k)
        error = run.history_error.values[np.isfinite(run.nnz_row.values)]
        name = "all" if k == result.sizes["per_row"] - 1 else f"{float(run.per_row):g}"
        lines.append(draw.curve(np.arange(1, error.size + 1), error, name, color=color))
    return draw.plot(*lines, xlabel="Newton step", ylabel="L1 error of both marginals", logy=True)


# ---- where it pays -----------------------------------------------------------------------------------------------


def _over_sizes(study: Study, data: Data) -> dict[str, list]:
    source: Any = study.values()["data"]
    entry = datasets.entry_of(source) if isinstance(source, str) else None
    options = entry.allowed if entry else {}
    if "side" in options:
        low, high = options["side"]
        sizes = {"side": [k for k in _SIDES if low <= k <= high]}
    elif "n" in options:
        low, high = options["n"]
        sizes = {"n": [k for k in _SIZES if low <= k <= high]}
    else:
        raise ValueError("the size of these data can't be changed: choose normal-clouds, or another set that has sizes")
    return sizes | {"epsilon": list(_STRENGTHS)}


def _size(result: xr.Dataset) -> str:
    return "side" if "side" in result.dims else "n"


def _over_both(result: xr.Dataset) -> str:
    return "" if {"epsilon", _size(result)} <= set(result.dims) else "it shows a sweep over epsilon and sizes"


def sides_of(result: xr.Dataset) -> tuple[str, list[int]]:
    """Along which parameter the sizes are, and how many points they mean."""
    size = _size(result)
    return size, [int(k) ** 2 if size == "side" else int(k) for k in result[size].values]


def _ratio(result: xr.Dataset) -> Any:
    size, points = sides_of(result)
    ratio = result.work_ratio.transpose("epsilon", size).values[::-1]
    limited = (result.sinkhorn_error > sweeping.parameters(result)["tolerance"]).transpose("epsilon", size).values[::-1]
    y, x = np.indices(ratio.shape)
    texts = [f"{'≥ ' if few else ''}{value:.2g}" for value, few in zip(ratio.ravel(), limited.ravel(), strict=True)]
    return draw.heatmap(
        np.log10(ratio), [f"{e:g}" for e in result.epsilon.values[::-1]], [str(k) for k in points], signed=True,
        xlabel="points", ylabel="ε (unit cost)", clabel="log₁₀ of work saved", equal=False, outline=False,
        marks=[draw.text(x.ravel(), y.ravel(), texts, color=draw.INK, side="center")],
    )


_RATES = ("sweeps_per_decade", "sweeps_per_decade_observed", "newton_steps", "spectral_gap", "s2")
_ALONG_KEPT: dict[str, Any] = {"threshold": ("entries",), "max_sweeps": (1,), "per_row": _kept}

PICTURES = Pictures(
    Picture("gap", "Optimality gap", "The paper's key figure: Sinkhorn falls along a line, Newton drops once it is near.",
            _key_figure),
    Picture("plan", "Plan", "mass from source i to target j; on the bars, a line at what the plan really sums to", _plan,
            needs=("plan",)),
    Picture("hessian", "The Hessian, whole and made sparse", "Entries over 20 decades, dark is large; sources, then targets. "
            "Above: entries in a row, and the mass left out.", _hessian, needs=("plan",)),
    Picture("steps", "What each step took", "Entries of the plan in the Hessian, and iterations of conjugate gradients.",
            _steps),
    Picture("work", "Gap against work", "The same against multiply-adds, which do not depend on the machine.",
            _against_work),
    Picture("convergence", "Marginal error", "Each step of the ladder in ε throws the error up again.", _convergence),
    Picture("dropped", "Mass left out", "Where the mass left out shrinks with the error, steps are superlinear.", _dropped),
    Picture("links", "Links", "opacity is mass; drag the points of a cloud in the plane", _links, needs=("x", "plan"),
            where=lambda result: "" if result.sizes["axis"] == 2 else "links need points in the plane", edits=("x", "y")),
    Picture("rate", "Iterations against ε", "Sweeps for a tenth of the error, predicted from s₂ and seen (no dot: never near "
            "enough); Newton steps to the tolerance.", _counts, along={"epsilon": _around}, needs=_RATES),
    Picture("second", "Spectral gap against ε", "1 − s₂² of the plan at the optimum: the smaller, the slower is Sinkhorn.",
            _second, along={"epsilon": _around}, needs=_RATES),
    Picture("entries", "When is the plan sparse?", "All entries from the largest: a knee at one a row is a sparse plan.",
            _by_rank("sorted_entry", "entry over mass of a row", 1e-15), along={"epsilon": _around},
            needs=("sorted_entry", "mass_beyond")),
    Picture("outside", "Mass outside the largest entries", "What a Hessian with so many entries in a row misses.",
            _by_rank("mass_beyond", "mass outside the largest", 1e-18), along={"epsilon": _around},
            needs=("sorted_entry", "mass_beyond")),
    Picture("plans", "The plan along ε", "From the product of the masses to the optimal plan.", _plans,
            along={"epsilon": _around}, needs=("plan",)),
    Picture("superlinear", "From linear to superlinear", "Newton steps when a fixed number of entries is kept.",
            _superlinear, along=_ALONG_KEPT, needs=("newton_steps", "history_error", "nnz_row")),
    Picture("tails", "How the error falls", "By Newton step, for each number of entries in a row.", _tails,
            along=_ALONG_KEPT, needs=("newton_steps", "history_error", "nnz_row")),
    Picture("ratio", "Where it pays", "Work of Sinkhorn over that of Newton, by size and ε; above 1, Newton is ahead.",
            _ratio, where=_over_both, along=_over_sizes,
            needs=("work_ratio", "sinkhorn_error", "newton_steps", "sinkhorn_sweeps")),
)

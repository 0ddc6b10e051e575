"""Pictures of Sinkhorn-Newton-Sparse, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.words import number

from .experiment import SOLVERS

_FLOOR = 1e-17  # fraction of the value below which a gap is rounding
_KEPT = (2.0, 3.0, 4.0, 8.0)  # entries per row
_FACTORS = (0.1, 10**-0.5, 1.0, 10**0.5, 10.0)
_STRENGTHS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
_SIDES, _SIZES = (6, 8, 11, 16), (32, 64, 128, 256)
_DECADES = 20  # range of the entries of a Hessian that are drawn
_PIXELS = 512
_SMALL = 1e-6  # fraction of a row's mass below which an entry does not count

_BOTH = {name: name for name in SOLVERS}
WORK = Comparison(
    "work", "number of multiply-adds", _BOTH, result="total_work", along="solver", random=False, ours=SOLVERS[0]
)

# ---- one run -----------------------------------------------------------------------------------------------------


def _largest(values: xr.DataArray) -> float:
    """The upper limit of an axis with room for words depends on it."""
    return float(values.max()) if np.isfinite(values).any() else 1.0


def stepped(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Which iterations are Newton steps, and their numbers."""
    at = np.flatnonzero(np.isfinite(result.nnz_row.values))
    return at, np.arange(1, at.size + 1)


def _gap(result: xr.Dataset) -> Any:
    floor, lines = _FLOOR * max(1.0, abs(float(result["value"]))), []
    for solver, name, color in zip(range(2), ("Newton", "Sinkhorn"), (draw.SOURCE, draw.TARGET), strict=True):
        gap = result.f_gap.isel(solver=solver).dropna("count")
        at = gap["count"].values.astype(float)
        lines.append(draw.curve(at, np.maximum(gap.values, floor), name, color=color, markers=solver == 0))
    steps, _ = stepped(result)
    return draw.plot(
        *lines,
        draw.vline(max(int(steps[0]) if steps.size else 0, 1), "first Newton step", color=draw.MUTED),
        xlabel=draw.label(result["count"]),
        ylabel="optimality gap",
        logx=True,
        logy=True,
        ylim=(None, 100 * _largest(result.f_gap)),
    )


def _plan(result: xr.Dataset) -> Any:
    values = [result[name].values for name in ("plan", "a", "b", "row", "col")]
    return draw.plan(*values, xlabel=draw.label(result.col), ylabel=draw.label(result.row))


def kept_entries(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The plan of mass 1, and which of its entries the last Newton step kept."""
    plan = result.plan.values / float(result.a.sum())
    kept = plan >= float(result.cutoff) * (1 - 1e-12)  # the cutoff may equal an entry
    kept[np.arange(plan.shape[0]), plan.argmax(1)] = True  # the largest of each row and column stay
    kept[plan.argmax(0), np.arange(plan.shape[1])] = True
    return plan, kept


def hessians(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(m + n, m + n) each: the Hessian of the dual over η at the plan, full and as sparsified in the last Newton step."""
    plan, kept = kept_entries(result)
    diagonal = np.r_[plan.sum(1), plan.sum(0)]  # full sums, whatever is dropped

    def hessian(block: np.ndarray) -> np.ndarray:
        m = len(block)
        whole = np.diag(diagonal)
        whole[:m, m:], whole[m:, :m] = block, block.T
        return whole

    return hessian(plan), hessian(np.where(kept, plan, 0))


def _hessian(result: xr.Dataset) -> Any:
    m, mass = result.sizes["row"], float(result.plan.sum()) / float(result.a.sum())
    panels = []
    for name, matrix in zip(("full", "sparse"), hessians(result), strict=True):
        block = matrix[:m, m:]
        missed = 1 - block.sum() / mass
        shown = draw.pooled(matrix, _PIXELS)
        with np.errstate(divide="ignore"):
            depth = np.clip(1 + np.log10(shown / matrix.max()) / _DECADES, 0, 1)
        without = f", dropped mass {number(float(missed), 2)}" if missed > 1e-15 else ""
        panels.append((f"{name}: {np.count_nonzero(block) / m:.3g} per row{without}", draw.shaded(depth)))
    return draw.strip(panels, height=340)


def _hessian_finding(result: xr.Dataset) -> str:
    plan, kept = kept_entries(result)
    missed = float(plan[~kept].sum() / plan.sum())
    held = f"hold all but {number(missed, 2)} of the mass" if missed > 1e-15 else "hold all the mass"
    return f"{number(kept.sum() / len(plan), 3)} of {plan.shape[1]:,} entries in a row {held}"


# ---- along epsilon -----------------------------------------------------------------------------------------------


def _around(study: Study, data: Data) -> list[float]:
    epsilon: Any = study.values()["epsilon"]
    return [float(f"{epsilon * factor:.3g}") for factor in _FACTORS]


def _ends(result: xr.Dataset) -> list[tuple[int, str]]:
    """Places of the smallest and of the largest ε, with their names; one where they are equal."""
    epsilon = result.epsilon.values
    return [(int(k), f"ε = {epsilon[k]:.3g}") for k in dict.fromkeys((np.argmin(epsilon), np.argmax(epsilon)))]


def _entries(result: xr.Dataset) -> Any:
    epsilons = result.epsilon.values
    order, rank = np.argsort(-epsilons), result["rank"]
    lines = []
    for k, color in zip(order, draw.colours(len(order), ordered=True), strict=True):
        entry = np.maximum(result.sorted_entry.isel(epsilon=k).values, 1e-15)
        lines.append(draw.curve(rank.values, entry, f"ε = {epsilons[k]:.3g}", color=color))
    labels: dict[str, Any] = {"xlabel": draw.label(rank), "ylabel": "entry over mass of a row"}
    return draw.plot(*lines, **labels, logx=True, logy=True, ylim=(1e-12, None))


def _entries_finding(result: xr.Dataset) -> str:
    rank, found = result["rank"].values, []
    for k, epsilon in _ends(result):
        above = np.flatnonzero(result.sorted_entry.isel(epsilon=k).values >= _SMALL)
        found.append(f"{number(rank[above[-1]] if above.size else 0.0, 2)} at {epsilon}")
    return f"Entries per row above {_SMALL:.0e} of its mass: {', '.join(found)}"


def _rate(result: xr.Dataset) -> Any:
    epsilon = result.epsilon.values
    return draw.plot(
        draw.curve(epsilon, result.sweeps_per_decade.values, "sweeps per decade", color=draw.MUTED, dash=True),
        draw.points(epsilon, result.sweeps_per_decade_observed.values, color=draw.TARGET),
        draw.curve(epsilon, result.newton_steps.values.astype(float), "Newton steps", markers=True),
        xlabel="ε (unit cost)",
        ylabel="iterations",
        logx=True,
        logy=True,
        ylim=(None, 3 * _largest(result.sweeps_per_decade)),
    )


def _rate_finding(result: xr.Dataset) -> str:
    decade, steps, ends = result.sweeps_per_decade.values, result.newton_steps.values, _ends(result)
    if np.isnan(decade[[k for k, _ in ends]]).any():
        return f"Newton steps: {', '.join(f'{int(steps[k]):,} at {epsilon}' for k, epsilon in ends)}"
    found = [f"{number(decade[k], 3)} and {int(steps[k]):,} at {epsilon}" for k, epsilon in ends]
    return f"Sweeps per decade and Newton steps: {', '.join(found)}"


# ---- entries kept, sizes -----------------------------------------------------------------------------------------


def _kept(study: Study, data: Data) -> list[float]:
    n = len(data.arrays["b"])
    return [k for k in _KEPT if k < n] + [float(n)]


def _superlinear(result: xr.Dataset) -> Any:
    count, lines = result.sizes["per_row"], []
    for k, color in zip(range(count), draw.colours(count, ordered=True), strict=True):
        run = result.isel(per_row=k)
        at, step = stepped(run)
        name = "all" if k == count - 1 else f"{float(run.per_row):g}"
        lines.append(draw.curve(step, run.history_error.values[at], name, color=color))
    return draw.plot(*lines, xlabel="Newton step", ylabel="L1 error of both marginals", logy=True)


def _superlinear_finding(result: xr.Dataset) -> str:
    """The last run keeps all entries."""
    kept, steps = result.per_row.values, result.newton_steps.values.astype(int)
    if len(kept) == 1:
        return f"With all entries Newton takes {steps[-1]:,} steps"
    enough = int(np.flatnonzero(steps <= steps[-1])[0])
    text = f"Newton steps: {steps[-1]:,} with all entries, {steps[0]:,} with {kept[0]:g} per row"
    return f"{text}, {steps[enough]:,} with {kept[enough]:g}" if 0 < enough < len(kept) - 1 else text


def _over_sizes(study: Study, data: Data) -> dict[str, list]:
    source: Any = study.values()["data"]
    entry = datasets.entry_of(source) if isinstance(source, str) else None
    options = entry.allowed if entry else {}
    for name, values in (("side", _SIDES), ("n", _SIZES)):
        if name in options:
            low, high = options[name]
            return {name: [k for k in values if low <= k <= high], "epsilon": list(_STRENGTHS)}
    raise ValueError("the size of these data can't be changed: choose normal-clouds, or another set that has sizes")


def sides_of(result: xr.Dataset) -> tuple[str, list[int]]:
    """The parameter of the sizes, and the numbers of points."""
    size = "side" if "side" in result.dims else "n"
    return size, [int(k) ** 2 if size == "side" else int(k) for k in result[size].values]


def _over_both(result: xr.Dataset) -> str:
    both = "epsilon" in result.dims and ("side" in result.dims or "n" in result.dims)
    return "" if both else "it shows a sweep over epsilon and sizes"


def _ratio(result: xr.Dataset) -> Any:
    size, points = sides_of(result)
    ratio = result.work_ratio.transpose("epsilon", size).values[::-1]
    limited = (result.sinkhorn_error > sweeping.parameters(result)["tolerance"]).transpose("epsilon", size).values[::-1]
    y, x = np.indices(ratio.shape)
    texts = [f"{'≥ ' if few else ''}{value:.2g}" for value, few in zip(ratio.ravel(), limited.ravel(), strict=True)]
    return draw.heatmap(
        np.log10(ratio),
        [f"{e:g}" for e in result.epsilon.values[::-1]],
        [str(k) for k in points],
        signed=True,
        xlabel="points",
        ylabel="ε (unit cost)",
        clabel="log₁₀ of work saved",
        equal=False,
        outline=False,
        marks=[draw.text(x.ravel(), y.ravel(), texts, color=draw.INK, side="center")],
    )


def _ratio_finding(result: xr.Dataset) -> str:
    size, points = sides_of(result)
    ratio = result.work_ratio.transpose("epsilon", size).values
    ahead = int((ratio > 1).sum())
    if not ahead:
        return f"Newton takes more work than Sinkhorn in all {ratio.size} cells"
    i, j = np.unravel_index(int(np.nanargmax(ratio)), ratio.shape)
    error = result.sinkhorn_error.transpose("epsilon", size).values[i, j]
    bound = "at least " if error > sweeping.parameters(result)["tolerance"] else ""
    top = f"{bound}{number(ratio[i, j], 2)}-fold with {points[j]:,} points at ε = {result.epsilon.values[i]:g}"
    return f"Newton saves work in {ahead} of {ratio.size} cells, {top}"


PICTURES = Pictures(
    Picture("gap", "Optimality gap", "Blue: Sinkhorn-Newton-Sparse. Orange: Sinkhorn. Both axes logarithmic.", _gap),
    Picture(
        "plan",
        "Plan",
        "Squares: mass from source i to target j. Bars: prescribed marginals. Lines: row and column sums of the plan.",
        _plan,
        needs=("plan",),
    ),
    Picture(
        "hessian",
        "The full and the sparse Hessian",
        "Darkness: entry, logarithmic over 20 decades; sources, then targets. Titles: entries per row, dropped mass.",
        _hessian,
        needs=("plan",),
        finds=_hessian_finding,
    ),
    Picture(
        "rate",
        "Iterations against ε",
        "Dashed: sweeps for a tenth of the error, predicted from s₂. Dots: observed (none: not yet linear). Blue: Newton "
        "steps.",
        _rate,
        along={"epsilon": _around},
        needs=("sweeps_per_decade", "sweeps_per_decade_observed", "newton_steps", "spectral_gap", "s2"),
        finds=_rate_finding,
    ),
    Picture(
        "entries",
        "Sorted entries of the plan",
        "Lines: entries of the plan in decreasing order, one line for each ε. A sparse plan falls off at one per row.",
        _entries,
        along={"epsilon": _around},
        needs=("sorted_entry",),
        finds=_entries_finding,
    ),
    Picture(
        "superlinear",
        "Error for a fixed number of entries",
        "Lines: marginal error by Newton step, for each number of entries per row that the Hessian keeps.",
        _superlinear,
        along={"threshold": ("entries",), "max_sweeps": (1,), "per_row": _kept},
        needs=("newton_steps", "history_error", "nnz_row"),
        finds=_superlinear_finding,
    ),
    Picture(
        "ratio",
        "Work saved",
        "Numbers: multiply-adds of Sinkhorn over those of Newton, by size and ε; above 1, Newton needs less work.",
        _ratio,
        where=_over_both,
        along=_over_sizes,
        needs=("work_ratio", "sinkhorn_error", "newton_steps", "sinkhorn_sweeps"),
        finds=_ratio_finding,
    ),
)

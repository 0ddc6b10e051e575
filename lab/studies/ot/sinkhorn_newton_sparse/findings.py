"""What the pictures of Sinkhorn-Newton-Sparse show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import kept_entries, linked, sides_of, stepped

WORK = Comparison(
    "work", "number of multiply-adds", {"Sinkhorn-Newton-Sparse": "Sinkhorn-Newton-Sparse", "Sinkhorn": "Sinkhorn"},
    result="total_work", along="solver", random=False, ours="Sinkhorn-Newton-Sparse",
)

_SMALL = 1e-6  # of a row's mass: what is below does not count as an entry
_LEAST = 1e-12  # where the axes of the entries end


def _ends(result: xr.Dataset) -> list[tuple[int, str]]:
    """Where the least ε and the largest one are; one alone where there is no other."""
    epsilon = result.epsilon.values
    return [(int(k), f"ε = {epsilon[k]:.3g}") for k in dict.fromkeys((np.argmin(epsilon), np.argmax(epsilon)))]


# ---- one run -----------------------------------------------------------------------------------------------------


def _hessian(result: xr.Dataset) -> str:
    plan, kept = kept_entries(result)
    missed = float(plan[~kept].sum() / plan.sum())
    held = f"hold all but {number(missed, 2)} of the mass" if missed > 1e-15 else "hold all the mass"
    return f"{number(kept.sum() / len(plan), 3)} of {plan.shape[1]:,} entries in a row {held}"


def _links(result: xr.Dataset) -> str:
    mass = result.plan.values[linked(result)]
    return f"{len(mass):,} links carry {percent(mass.sum() / float(result.plan.sum()), 3)} of the mass"


def _steps(result: xr.Dataset) -> str:
    at, _ = stepped(result)
    if not at.size:
        return "No Newton step was taken"
    kept, most = result.nnz_row.values[at], int(result.cg_iters.values[at].max())
    span = " to ".join(dict.fromkeys(number(float(each), 2) for each in (kept.min(), kept.max())))
    text = f"The Hessian keeps {span} of {result.sizes['col']:,} entries in a row"
    return f"{text}; CG takes at most {most} iteration{'s' if most != 1 else ''}" if most else text


def _alone(result: xr.Dataset) -> bool:
    """Whether Sinkhorn is not looked at."""
    return sweeping.parameters(result)["max_sweeps"] == 1


def _convergence(result: xr.Dataset) -> str:
    ours, theirs = int(result.iterations), int(result.sinkhorn_sweeps)
    there = float(result.sinkhorn_error) <= sweeping.parameters(result)["tolerance"]
    text = f"Newton meets the tolerance in {ours:,} iterations"
    if not bool(result.converged):
        text = f"Newton does not meet the tolerance in {ours:,} iterations"
    if _alone(result):
        return text
    if bool(result.converged) == there:
        return f"{text}, Sinkhorn in {theirs:,}" if there else f"{text}, nor does Sinkhorn in {theirs:,}"
    return f"{text}, Sinkhorn {'does' if there else 'does not'} in {theirs:,}"


def _dropped(result: xr.Dataset) -> str:
    at, _ = stepped(result)
    if not at.size:
        return "No Newton step was taken"
    mass, error = ([number(float(each), 2) for each in result[name].values[at[[0, -1]]]]
                   for name in ("dropped_mass", "history_error"))
    if not result.dropped_mass.values[at].any():
        return f"No mass is left out; the error goes from {error[0]} to {error[1]}"
    if at.size == 1:
        return f"One step leaves out a mass of {mass[0]}, and an error of {error[0]}"
    return f"The mass left out goes from {mass[0]} to {mass[1]}, the error from {error[0]} to {error[1]}"


def _work(result: xr.Dataset) -> str:
    if _alone(result):
        return f"Newton takes {number(float(result.total_work[0]), 2)} multiply-adds"
    ratio = float(result.work_ratio)
    more, less = ("Sinkhorn", "Newton") if ratio >= 1 else ("Newton", "Sinkhorn")
    text = f"{more} takes {number(max(ratio, 1 / ratio), 3)} times the multiply-adds of {less}"
    if not bool(result.converged):
        return f"{text}; Newton has not converged"
    there = float(result.sinkhorn_error) <= sweeping.parameters(result)["tolerance"]
    return text if there else f"{text}, and has not converged" if more == "Sinkhorn" else f"{text}, which has not converged"


# ---- along epsilon -----------------------------------------------------------------------------------------------


def _entries(result: xr.Dataset) -> str:
    rank = result["rank"].values
    told = []
    for k, epsilon in _ends(result):
        above = np.flatnonzero(result.sorted_entry.isel(epsilon=k).values >= _SMALL)
        told.append(f"{number(rank[above[-1]] if above.size else 0.0, 2)} at {epsilon}")
    return f"Entries in a row above {_SMALL:.0e} of its mass: {', '.join(told)}"


def _outside(result: xr.Dataset) -> str:
    rank = result["rank"].values
    at = int(np.abs(np.log(rank / 2)).argmin())
    missed = [(result.mass_beyond.isel(epsilon=k).values[at], epsilon) for k, epsilon in _ends(result)]
    told = [f"{number(mass, 2) if mass >= _LEAST else f'below {_LEAST:.0e}'} at {epsilon}" for mass, epsilon in missed]
    return f"Mass outside the largest {number(rank[at], 2)} entries a row: {', '.join(told)}"


def _plans(result: xr.Dataset) -> str:
    told = []
    for k, epsilon in _ends(result):
        mass = np.cumsum(np.sort(result.plan.isel(epsilon=k).values, axis=None)[::-1])
        count = int(np.searchsorted(mass, 0.99 * mass[-1])) + 1
        told.append(f"{number(count / result.sizes['row'], 2)} at {epsilon}")
    return f"Entries a row that hold 99% of the mass: {', '.join(told)}"


def _rate(result: xr.Dataset) -> str:
    decade, steps = result.sweeps_per_decade.values, result.newton_steps.values
    ends = _ends(result)
    if np.isnan(decade[[k for k, _ in ends]]).any():
        return f"Newton steps: {', '.join(f'{int(steps[k]):,} at {epsilon}' for k, epsilon in ends)}"
    told = [f"{number(decade[k], 3)} and {int(steps[k]):,} at {epsilon}" for k, epsilon in ends]
    return f"Sweeps a decade and Newton steps: {', '.join(told)}"


def _second(result: xr.Dataset) -> str:
    gaps = [(result.spectral_gap.values[k], epsilon) for k, epsilon in _ends(result)]
    told = [f"{percent(gap)} at {epsilon}" for gap, epsilon in gaps if np.isfinite(gap)]
    return f"Near the optimum a sweep takes off the error {', '.join(told)}" if told else "The spectral gap is not known"


# ---- what is kept ------------------------------------------------------------------------------------------------


def _superlinear(result: xr.Dataset) -> str:
    """The last one keeps all entries, as the line in the picture has it."""
    kept, steps = result.per_row.values, result.newton_steps.values.astype(int)
    if len(kept) == 1:
        return f"With all entries Newton takes {steps[-1]:,} steps"
    enough = int(np.flatnonzero(steps <= steps[-1])[0])
    text = f"Newton steps: {steps[-1]:,} with all entries, {steps[0]:,} with {kept[0]:g} in a row"
    return f"{text}, {steps[enough]:,} with {kept[enough]:g}" if 0 < enough < len(kept) - 1 else text


def _tails(result: xr.Dataset) -> str:
    errors = []
    for k in (0, -1):
        run = result.isel(per_row=k)
        errors.append(run.history_error.values[np.isfinite(run.nnz_row.values)])
    step = min(len(each) for each in errors)
    if not step:
        return "No Newton step was taken"
    few, whole = (number(float(each[step - 1]), 2) for each in errors)
    text = f"After {step:,} Newton steps the error is {whole} with all entries"
    return f"{text}, {few} with {float(result.per_row[0]):g} in a row" if result.sizes["per_row"] > 1 else text


# ---- where it pays -----------------------------------------------------------------------------------------------


def _ratio(result: xr.Dataset) -> str:
    size, points = sides_of(result)
    ratio = result.work_ratio.transpose("epsilon", size).values
    ahead = int((ratio > 1).sum())
    if not ahead:
        return f"Newton takes more work than Sinkhorn in all {ratio.size} cells"
    i, j = np.unravel_index(int(np.nanargmax(ratio)), ratio.shape)
    error = result.sinkhorn_error.transpose("epsilon", size).values[i, j]
    least = "at least " if error > sweeping.parameters(result)["tolerance"] else ""
    most = f"{least}{number(ratio[i, j], 2)}-fold with {points[j]:,} points at ε = {result.epsilon.values[i]:g}"
    return f"Newton saves work in {ahead} of {ratio.size} cells, {most}"


FINDS = {
    "hessian": _hessian, "entries": _entries, "outside": _outside, "plans": _plans, "links": _links, "steps": _steps,
    "convergence": _convergence, "dropped": _dropped, "superlinear": _superlinear, "tails": _tails, "rate": _rate,
    "second": _second, "work": _work, "ratio": _ratio,
}

"""Pictures of regularized neural differential equations, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab import ode
from lab.ode.tableaus import PAIRS
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number, percent

from .experiment import NETWORK, NOISE

_TERMS = ("vanilla", "STEER", "Tay2", "SR", "ER", "ER+SR")
_PLAIN = "vanilla"  # the name of a training without regularizer
_TAIL = 25
_CLOSE = 0.02  # of the largest derivative: two derivatives agree


# ---- one solution --------------------------------------------------------------------------------------------------


def rows_of(result: xr.Dataset) -> dict[str, np.ndarray]:
    """Time, size, error, stiffness and acceptance of each attempted step."""
    live = np.isfinite(result.step_h.values) & (result.step_h.values > 0)
    rows = {name: result[f"step_{name}"].values[live] for name in ("t", "h", "E", "S")}
    return rows | {"taken": result.step_accepted.values[live] > 0}


def limit_of(result: xr.Dataset) -> float:
    """The stability limit of h S; not known of steps with noise."""
    if "misfit" in result:
        return np.nan
    return PAIRS[sweeping.parameters(result)["pair"]].limit if "way" in result else ode.TSIT5.limit


def _along(result: xr.Dataset, value: np.ndarray, ylabel: str, *more: Any, **axes: Any) -> Any:
    """A value of each step: accepted steps as dots, rejected steps as crosses."""
    rows = rows_of(result)
    t, taken = rows["t"], rows["taken"]
    lost = ~taken & np.isfinite(value) & (value > 0)
    size = float(np.clip(80 / max(taken.sum(), 1), 0.2, 0.8))
    end = float((t + rows["h"])[taken].max()) if taken.any() else 1.0
    whole: dict[str, Any] = {"xlim": (-0.03 * end, 1.02 * end), **axes}
    crosses = ["×"] * int(lost.sum()) or ["" for _ in t[lost]]
    return draw.plot(
        *more,
        draw.points(t[taken], value[taken], size=size),
        draw.text(t[lost], value[lost], crosses, color=draw.WARN, side="center"),
        xlabel="time t",
        ylabel=ylabel,
        logy=True,
        **whole,
    )


def _steps(result: xr.Dataset) -> Any:
    rows, limit = rows_of(result), limit_of(result)
    known = rows["taken"] & (rows["S"] > 0)
    high = 8 * float(rows["h"].max())
    name = "stable" if (limit / rows["S"][known] < high).any() else ""  # else it is out of sight
    bound = draw.curve(rows["t"][known], limit / rows["S"][known], name, color=draw.TARGET, dash=True)
    ylim = (0.6 * float(rows["h"].min()), high)
    return _along(result, rows["h"], "step size h", bound, ylim=ylim, xlim=None, height=380)


def _errors(result: xr.Dataset) -> Any:
    E = rows_of(result)["E"]
    known = E[(E > 0) & np.isfinite(E)]
    low = max(1e-6, float(known.min()) / 2) if known.size else 1e-3
    ylim = (low, 2 * max(float(known.max()), 1) if known.size else 2)
    return _along(result, E, "scaled error E", draw.hline(1.0, color=draw.MUTED), ylim=ylim, height=260)


def _errors_finding(result: xr.Dataset) -> str:
    rows = rows_of(result)
    E, taken = rows["E"], rows["taken"]
    tried = f"{'the first ' if result.accepted + result.rejected > E.size else ''}{E.size} steps"
    known = taken & np.isfinite(E)
    if not known.any():
        return f"None of {tried} is accepted"
    if taken.all():
        return f"None of {tried} is rejected: the largest scaled error is {number(float(E[known].max()), 2)}"
    median = number(float(np.median(E[known])), 2)
    return f"Rejected: {int((~taken).sum())} of {tried}; median scaled error of accepted steps: {median}"


def _plane(result: xr.Dataset, at: int) -> Any:
    """The solution at a fraction of the evaluations, on its trajectory."""
    taken = result.step_accepted.values > 0
    way = result.way.values[taken]
    xlim, ylim = draw.window(way)
    where, t = result.spent.values[at], float(result.when[at])
    ends = result.step_t.values[taken] + result.step_h.values[taken]
    so_far = way.copy()
    so_far[ends > t + 1e-12] = np.nan
    return draw.plot(
        draw.curve(way[:, 0], way[:, 1], color=draw.MUTED),
        draw.points(so_far[:, 0], so_far[:, 1], color=draw.SOURCE, size=0.4),
        draw.points(where[:1], where[1:], color=draw.TARGET, size=2.0),
        xlim=xlim,
        ylim=ylim,
        xlabel="y₁",
        ylabel="y₂",
        height=380,
        note=f"{float(result.share[at]):.0%} of the evaluations: t = {t:.2f}",
    )


def _flow(result: xr.Dataset, at: int) -> Any:
    series = draw.colours(int(result.labels.max()) + 1)
    name, tints = "test samples along the field", [series[int(label)] for label in result.labels.values]
    labels = dict(zip(("xlabel", "ylabel"), map(str, result.axis.values), strict=True))
    note = f"t = {float(result.t[at]):.2f}"
    ways = {name: result.paths.values}
    return draw.film(ways, at, colors={name: tints}, age=_TAIL, tails=60, note=note, size=0.5, **labels)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _tolerances(result: xr.Dataset) -> Any:
    each = 3 if sweeping.parameters(result)["system"] in NOISE else 6  # evaluations per step
    lines = {"evaluations": result.nfe, "of rejected steps": each * result.rejected}
    return draw.over(result.tolerance, lines, ylabel="evaluations", logy=True, ticks=False, height=300)


def _tolerances_finding(result: xr.Dataset) -> str:
    ordered = result.sortby("tolerance")
    low, high = (float(ordered.tolerance[at]) for at in (0, -1))
    tight, loose = (float(ordered.nfe[at]) for at in (0, -1))
    if low == high:
        return f"{tight:.0f} evaluations at this tolerance"
    return f"A tolerance {high / low:.2g} times larger takes {percent(loose / tight)} of the evaluations"


def _slopes(result: xr.Dataset) -> Any:
    return draw.over(
        result.mu,
        {"h fixed": result.slope_held, "through h": result.slope_through},
        guides={"by differences": result.slope_apart},
        colors={"by differences": draw.INK},
        levels={"": 0.0},
        ylabel="dR_E/dμ",
        height=320,
    )


def _slopes_finding(result: xr.Dataset) -> str:
    held, through, apart = (result[f"slope_{name}"].values.ravel() for name in ("held", "through", "apart"))
    both = np.isfinite(held) & np.isfinite(through)
    if not both.any():
        return "Neither derivative is known here"
    opposite = int((held * through < 0)[both].sum())
    signs = f"Opposite signs at {opposite} of {int(both.sum())} values of μ"
    off, scale = np.abs(through - apart), np.abs(through[both]).max()
    agree = np.isfinite(off).any() and np.nanmax(off) < _CLOSE * scale
    return f"{signs}; finite differences agree with the derivative through h" if agree else signs


def _bars(result: xr.Dataset) -> Any:
    """Evaluations in training in thousands, and at prediction, beside each other."""
    names = [str(term) for term in result.term.values]
    at = np.arange(len(names))
    train, test = result.nfe_train.values / result.nfe_train.values.max(), result.nfe.values / result.nfe.values.max()
    evaluations = [f"{value:.0f}" for value in result.nfe.values]
    thousands = [f"{value / 1e3:.1f} k" for value in result.nfe_train.values]
    return draw.plot(
        draw.bars(at - 0.2, train, color=draw.MUTED, width=0.36),
        draw.bars(at + 0.2, test, width=0.36),
        draw.text(at + 0.2, test + 0.02, evaluations, color=draw.SOURCE, side="center", up="bottom"),
        draw.text(at - 0.2, train + 0.02, thousands, color=draw.MUTED, side="center", up="bottom"),
        xlabel="regularizer",
        ylabel="fraction of the maximum",
        xticks=list(zip(at.tolist(), names, strict=True)),
        ylim=(0, 1.15),
        height=300,
    )


def _bars_finding(result: xr.Dataset) -> str:
    """The regularizers with the fewest evaluations, against none, or against the one with the largest number."""
    terms, values = [str(term) for term in result.term.values], result.nfe.values
    other = terms.index(_PLAIN) if _PLAIN in terms else int(values.argmax())
    first, fewest, plain = (
        [t for t, v in zip(terms, values, strict=True) if v == values.min()],
        values.min(),
        terms[other],
    )
    if plain in first:
        return f"One seed: no regularizer needs fewer evaluations at prediction than {plain} ({int(fewest)})"
    train = result.nfe_train.sel(term=first)
    name, one = " and ".join(first) if len(first) <= 2 else f"{len(first)} regularizers", len(first) == 1
    share = float(train.max() / result.nfe_train.sel(term=plain))
    used = f"{name} take{'s' * one} {percent(int(fewest) / int(values[other]))} of {plain}'s evaluations"
    return f"{used}, {'' if one else '≤ '}{percent(share)} in training (one seed)"


def _pareto(result: xr.Dataset) -> Any:
    nfe, right = result.nfe.values, 100 * result.accuracy.values
    span = max(float(np.ptp(nfe)), 1.0)
    return draw.plot(
        draw.curve(nfe, right, color=draw.MUTED, dash=True),
        draw.points(nfe, right, color=draw.colours(len(nfe), ordered=True), size=2.0),
        draw.text(nfe, right, [f"  {value:g}" for value in result.strength.values], color=draw.INK),
        xlabel="evaluations at prediction",
        ylabel="test accuracy (%)",
        xlim=(float(nfe.min()) - 0.08 * span, float(nfe.max()) + 0.15 * span),
        height=340,
    )


def _pareto_finding(result: xr.Dataset) -> str:
    ordered = result.sortby("strength")
    nfe, right, strength = ordered.nfe.values, ordered.accuracy.values, ordered.strength.values
    low = int(np.lexsort((-right, nfe))[0])
    at = f"One seed: λ₀ = {strength[low]:g} takes the fewest evaluations, {nfe[low]:.0f} (accuracy {right[low]:.1%})"
    return f"{at}; λ₀ = {strength[0]:g} takes {nfe[0]:.0f} ({right[0]:.1%})" if low else at


PICTURES = Pictures(
    Picture(
        "steps",
        "Step sizes",
        "Dots: accepted steps. Crosses: rejected steps. Dashed: stability limit by the solver's own stiffness estimate.",
        _steps,
    ),
    Picture(
        "plane",
        "The solution by evaluations",
        "Gray: trajectory. Blue: accepted steps so far. Orange: solution at this fraction of the evaluations.",
        _plane,
        needs=("spent",),
        plays="share",
    ),
    Picture(
        "flow",
        "Features along the field",
        "Points: test samples, moved by the field from their input (t = 0) to the classifier's features (t = 1). Color: class.",
        _flow,
        needs=("paths",),
        plays="t",
        finds="The classifier is correct for {accuracy:.1%} of the test samples",
    ),
    Picture(
        "errors",
        "Error of each step",
        "Dots: accepted steps. Crosses: rejected steps. Line: the tolerance, above which a step is rejected.",
        _errors,
        finds=_errors_finding,
    ),
    Picture(
        "tolerances",
        "Evaluations against tolerance",
        "Lines: evaluations of the field, and those of rejected steps. Where stability limits the steps, they hardly fall.",
        _tolerances,
        along={"tolerance": (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)},
        needs=("nfe", "rejected"),
        finds=_tolerances_finding,
    ),
    Picture(
        "slopes",
        "Two derivatives of the error regularizer",
        "Lines: dR_E/dμ on [0, 1] with fixed step sizes (used in training), and through the step sizes (exact). Black: "
        "finite differences.",
        _slopes,
        along={"mu": (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), "length": (1.0,)},
        needs=("slope_held", "slope_through", "slope_apart"),
        finds=_slopes_finding,
    ),
    Picture(
        "bars",
        "Work in training and at prediction",
        "Gray: forward evaluations of the whole training, in thousands (k). Blue: evaluations of one prediction.",
        _bars,
        along={"term": _TERMS, "system": (NETWORK,)},
        needs=("accuracy", "nfe", "nfe_train"),
        finds=_bars_finding,
    ),
    Picture(
        "pareto",
        "Accuracy against work",
        "Points: trainings with strength λ₀ of the regularizer (label).",
        _pareto,
        along={"strength": (0.0, 0.1, 0.3, 1.0, 3.0, 10.0), "system": (NETWORK,)},
        needs=("nfe", "accuracy"),
        finds=_pareto_finding,
    ),
)

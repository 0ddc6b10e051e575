"""What the pictures of regularised neural differential equations show now."""

import math

import numpy as np
import xarray as xr

from lab.studies.contract import sweeping
from lab.words import number, percent

from .variables import limit_of, rows_of

_PLAIN = "vanilla"  # the name of a training without a term
_SAME = 1.05  # a ratio up to which a stiffness does not change
_CLOSE = 0.02  # of the largest slope: a slope and that by differences agree
_STRAIGHT = 1e-3  # a detour below it is none


def _two(value: float) -> str:
    return number(float(value), 2)


# ---- one solution --------------------------------------------------------------------------------------------------


def _errors(result: xr.Dataset) -> str:
    rows = rows_of(result)
    E, taken = rows["E"], rows["taken"]
    tried = f"{'the first ' if result.accepted + result.rejected > E.size else ''}{E.size} steps"
    known = taken & np.isfinite(E)
    if not known.any():
        return f"None of {tried} is accepted"
    if taken.all():
        return f"None of {tried} is rejected: the largest error is {_two(E[known].max())} of what is allowed"
    return f"Rejected: {int((~taken).sum())} of {tried}; the median error of the others is {_two(np.median(E[known]))}"


def _edge(result: xr.Dataset) -> str:
    rows, limit = rows_of(result), limit_of(result)
    each = rows["h"] * rows["S"]
    known = np.isfinite(each)
    if not (known & rows["taken"]).any():
        return "The stiffness of no accepted step is known"
    largest, median = float(each[known].max()), float(np.median(each[known & rows["taken"]]))
    if not np.isfinite(limit):
        return f"h S is {_two(median)} at the median step, {_two(largest)} at most; what is stable is not known"
    reaches = f"h S reaches {percent(largest / limit)} of what is stable"
    return f"{reaches}; the median accepted step is at {percent(median / limit)}"


def _stiffness(result: xr.Dataset) -> str:
    rows = rows_of(result)
    S = rows["S"][rows["taken"] & np.isfinite(rows["S"]) & (rows["S"] > 0)]
    if not S.size:
        return "The stiffness of no accepted step is known"
    low, high = float(S.min()), float(S.max())
    if high < _SAME * low:
        return f"S stays near {_two(np.median(S))} all along"
    return f"S ranges over a factor of {_two(high / low)}, from {_two(low)} to {_two(high)}"


def _solution(result: xr.Dataset) -> str:
    error, tolerance = float(result.error), sweeping.parameters(result)["tolerance"]
    if not np.isfinite(error):
        return f"{float(result.accepted):.0f} steps are accepted; how far off the end is is not known"
    return f"The end is off by {_two(error)}, {_two(error / tolerance)} times what one step may err by"


def _work(result: xr.Dataset) -> str:
    known = np.isfinite(result.when.values)
    when, first = np.unique(result.when.values[known], return_index=True)
    if when.size < 2:
        return "No time passes with the evaluations that are spent"
    share = np.append(result.share.values[known][first][:-1], result.share.values[known][-1])  # rejected steps stand still
    span, cost = np.diff(when), np.diff(share)
    dear = np.argsort(span / cost)
    half = np.interp(cost.sum() / 2, np.cumsum(cost[dear]), np.cumsum(span[dear])) / span.sum()
    return f"Half of the evaluations are spent on {percent(half)} of the time"


def _bands(result: xr.Dataset) -> str:
    spread = np.sqrt(result.moment_variance)
    means, deviations = (
        float(np.sqrt(((each.sel(of="model") - each.sel(of="data")) ** 2).mean())) for each in (result.moment_mean, spread)
    )
    return f"Over time the means are off by {_two(means)}, the deviations by {_two(deviations)} (RMS)"


# ---- one training --------------------------------------------------------------------------------------------------


def _detour(paths: xr.DataArray) -> float:
    """How much longer ways are, as they are drawn, than straight lines between their ends."""
    at = paths.transpose("t", "particle", "axis").values
    along, straight = np.linalg.norm(np.diff(at, axis=0), axis=-1).sum(), np.linalg.norm(at[-1] - at[0], axis=-1).sum()
    return float(along / straight) - 1 if straight > 0 else 0.0


def _longer(paths: xr.DataArray) -> str:
    detour = _detour(paths)
    return percent(detour) if detour >= _STRAIGHT else f"less than {percent(_STRAIGHT)}"


def _flow(result: xr.Dataset) -> str:
    right = f"{percent(float(result.accuracy))} of the tests are right"
    return f"The ways are {_longer(result.paths)} longer than straight ones; {right}"


def _ends(curve: xr.DataArray) -> tuple[float, float]:
    """Means over the first and over the last tenth."""
    known = curve.values[np.isfinite(curve.values)]
    count = max(known.size // 10, 1)
    return (float(known[:count].mean()), float(known[-count:].mean())) if known.size else (math.nan, math.nan)


def _training(result: xr.Dataset) -> str:
    fit = "misfit" if "moment_mean" in result else "cross-entropy"
    (_, loss), (first, last) = _ends(result.curve_loss), _ends(result.curve_ce)
    if not np.isfinite(loss + first + last):
        return "No step of the training has a loss"
    falls = f"The {fit} goes from {_two(first)} to {_two(last)}"
    term = (loss - last) / loss if loss > 0 else 0.0
    return f"{falls}; {percent(term)} of the loss at the end is the term" if term >= 5e-4 else f"{falls}, with no term added"


def _solver(result: xr.Dataset) -> str:
    first, last = _ends(result.curve_nfe)
    if not np.isfinite(first):
        return "No solution of the training came to its end"
    return f"A solution takes {_two(first)} evaluations in the first tenth of the training, {_two(last)} in the last"


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _tolerances(result: xr.Dataset) -> str:
    ordered = result.sortby("tolerance")
    low, high = (float(ordered.tolerance[at]) for at in (0, -1))
    tight, loose = (float(ordered.nfe[at]) for at in (0, -1))
    if low == high:
        return f"{tight:.0f} evaluations at this tolerance"
    return f"A tolerance {high / low:.2g} times looser takes {percent(loose / tight)} of the evaluations"


def _slopes(result: xr.Dataset) -> str:
    held, through, apart = (result[f"slope_{name}"].values.ravel() for name in ("held", "through", "apart"))
    both = np.isfinite(held) & np.isfinite(through)
    if not both.any():
        return "Neither slope is known here"
    opposite = int((held * through < 0)[both].sum())
    signs = f"At {opposite} of {int(both.sum())} values of μ the two have opposite signs"
    off, scale = np.abs(through - apart), np.abs(through[both]).max()
    agree = np.isfinite(off).any() and np.nanmax(off) < _CLOSE * scale
    return f"{signs}; differences agree with that through h" if agree else signs


def _best(result: xr.Dataset, nfe: xr.DataArray) -> tuple[list[str], int, int, str]:
    """The terms with the fewest evaluations and these, and those of no term, or of the worst, with its name."""
    terms, values = [str(term) for term in result.term.values], nfe.values
    other = terms.index(_PLAIN) if _PLAIN in terms else int(values.argmax())
    best = [term for term, value in zip(terms, values, strict=True) if value == values.min()]
    return best, int(values.min()), int(values[other]), terms[other]


def _epochs(result: xr.Dataset) -> str:
    last = result.nfe_epoch.isel(epoch=-1)
    if not np.isfinite(last).all():
        return "Some trainings did not end an epoch"
    best, fewest, others, plain = _best(result, last)
    after = f"One seed: after {result.sizes['epoch']} epochs"
    if plain in best:
        return f"{after} no term takes fewer evaluations than {plain}: {fewest}"
    names = " and ".join(best) if len(best) <= 2 else f"{len(best)} of {result.sizes['term']} terms"
    return f"{after} {names} take{'s' * (len(best) == 1)} {fewest} evaluations, {plain} {others}"


def _bars(result: xr.Dataset) -> str:
    best, fewest, others, plain = _best(result, result.nfe)
    if plain in best:
        return f"One seed: no regularizer needs fewer evaluations at prediction than {plain} ({fewest})"
    train = result.nfe_train.sel(term=best)
    name = " and ".join(best) if len(best) <= 2 else f"{len(best)} terms"
    share = float(train.max() / result.nfe_train.sel(term=plain))
    used = f"{name} take{'s' * (len(best) == 1)} {percent(fewest / others)} of {plain}'s evaluations"
    return f"{used}, {'' if len(best) == 1 else '≤ '}{percent(share)} in training (one seed)"


def _pareto(result: xr.Dataset) -> str:
    ordered = result.sortby("strength")
    nfe, right, strength = ordered.nfe.values, ordered.accuracy.values, ordered.strength.values
    least = int(np.lexsort((-right, nfe))[0])
    at = f"One seed: λ₀ = {strength[least]:g} takes the fewest evaluations, {nfe[least]:.0f} ({right[least]:.1%} right)"
    return f"{at}; λ₀ = {strength[0]:g} takes {nfe[0]:.0f} ({right[0]:.1%})" if least else at


def _straighten(result: xr.Dataset) -> str:
    runs = [result.sel(strength=at) for at in np.sort(result.strength.values)[[0, -1]]]
    strengths = " to ".join(f"{float(run.strength):g}" for run in runs)
    detours = " to ".join(_longer(run.paths) for run in runs)
    right = " to ".join(percent(float(run.accuracy)) for run in runs)
    return f"From λ₀ = {strengths} detours go from {detours}, right answers from {right}"


FINDS = {
    "errors": _errors, "edge": _edge, "stiffness": _stiffness, "solution": _solution, "work": _work, "bands": _bands,
    "flow": _flow, "training": _training, "solver": _solver, "tolerances": _tolerances, "slopes": _slopes,
    "epochs": _epochs, "bars": _bars, "pareto": _pareto, "straighten": _straighten,
}

"""What the pictures of the search over starts show now."""

import math
from typing import Any

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .exact import left, medians, of_groups
from .pictures import decides, way_score

_ALL = {
    "random": "a random start", "searched": "the searched start", "zero": "x_T = 0", "ancestral": "ancestral sampling",
    "nearby": "a nearby start", "by gradients": "the start by gradients", "posterior mean": "the posterior mean",
}
SCORE = Comparison(
    "score", "error on held-out images", _ALL, result="way_score", along="way", at={"by": "metric"}, ours="searched",
    best_at=None,
)

_NEAR = 0.1  # an end from a mode on the line, or a start from 0
_AGREES = 0.1  # a rank correlation below it is none
_FULL = {"random": "a random start", "searched": "the found start", "zero": "x_T = 0", "ancestral": "ancestral sampling",
         "nearby": "a nearby start", "by gradients": "the start by gradients", "posterior mean": "the posterior mean"}


def _three(value: Any) -> str:
    return number(float(value), 3)


def _two(value: float) -> str:
    return number(float(value), 2)


# ---- one run -----------------------------------------------------------------------------------------------------


def _ranks(result: xr.Dataset) -> str:
    score = result.score.sel(by=decides(result)).transpose("image", "candidate").values
    best = int(np.argmin(np.where(np.isfinite(score.mean(axis=0)), score.mean(axis=0), np.inf)))
    above = (score < score[:, best, None]).sum(axis=1)
    first = float((above < max(score.shape[1] // 10, 1)).mean())
    return f"The candidate that the search selects is in the top tenth for {percent(first)} of the images"


def _agreement(result: xr.Dataset) -> str:
    known = result.agreement.dropna("group").sortby("group")
    if not known.size:
        return "No two groups of images rank the candidates"
    n, exact = int(known.group[-1]), float(of_groups(known.group.values)[-1])
    one = "Single images agree by {}" if known.group[0] == 1 else f"Groups of {int(known.group[0])} agree by {{}}"
    more = f", groups of {n} by {_two(known[-1])}" if known.size > 1 else ""
    return f"{one.format(_two(known[0]))}{more}; one shared ranking would give {_two(exact)}"


def _histogram(result: xr.Dataset) -> str:
    scores = result.test_score.sel(by=decides(result)).values
    scores = scores[np.isfinite(scores)]
    found, zero = (int((scores < way_score(result, way)).sum()) for way in ("searched", "zero"))
    return f"Candidates with a lower error than the searched start: {found} of {scores.size}; than x_T = 0: {zero}"


def _best(result: xr.Dataset) -> str:
    first, last = (_three(result.best_test[at]) for at in (0, -1))
    tried, zero = f"{int(result.tried[0])} to {int(result.tried[-1])}", _three(way_score(result, "zero"))
    return f"From K = {tried} the held-out error goes from {first} to {last}; x_T = 0 has {zero}"


def _sizes(result: xr.Dataset) -> str:
    few, many = (_three(result.size_score.isel(used=at, tried=-1)) for at in (0, -1))
    least, most = (int(result.used[at]) for at in (0, -1))
    return f"Of K = {int(result.tried[-1])}, R = {least} chooses a start with {few}, R = {most} one with {many}"


def _dimensions(result: xr.Dataset) -> str:
    k, here = int(result.tried[-1]), float(result.effective)
    low, high = (percent(float(np.interp(np.log(k), np.log(tried), share))) for tried, share in (left(here), left(1024)))
    return f"Of the excess error, {k} candidates leave {low} in the {_two(here)} dimensions here, {high} in 1024"


def _elsewhere(result: xr.Dataset) -> str:
    gain = 1 - result.elsewhere / result.elsewhere.sel(start="random")
    here = sweeping.parameters(result)["damage"]
    names = [str(name) for name in result.damage_used.values]

    def span(start: str, of: list[str]) -> str:
        values = gain.sel(start=start, damage_used=of).values
        ends = [percent(float(value)) for value in (np.nanmin(values), np.nanmax(values))]
        return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"

    others = [name for name in names if name != here]
    gains = [f"{span('searched', [here])} on its own damage"] if here in names else []
    gains += [f"{span('searched', others)} on others"] if others else []
    return f"The found start gains {', '.join(gains)}; x_T = 0 gains {span('zero', names)}"


def _line(result: xr.Dataset) -> str:
    apart = np.abs(medians(result) - result.line_mode.values)
    far = int(np.nanargmax(apart))
    near = f"x_T = 0 ends within {_NEAR} of the mode at {percent(float((apart < _NEAR).mean()))} of all y"
    return f"{near}, at most {_two(apart[far])} off, at y = {_two(result.y[far])}"


def _shared(result: xr.Dataset) -> str:
    away = np.abs(result.line_best.values)
    far, y = int(np.nanargmax(away)), result.y.values
    near = f"The optimal start is within {_NEAR} of 0 at {percent(float((away < _NEAR).mean()))} of all y"
    return f"{near}, at most {_two(away[far])} off, at y = {_two(y[far])}"


def _density(result: xr.Dataset) -> str:
    agrees = float(result.density_agrees) if "density_agrees" in result else math.nan
    if not np.isfinite(agrees):
        return f"The ends of x_T = 0 have the log-density {_three(result.zero_density)}"
    if abs(agrees) < _AGREES:
        return f"How probable its ends are says little of a start's score: rank correlation {_two(-agrees)}"
    return f"More probable ends score {'lower' if agrees > 0 else 'higher'}: rank correlation {_two(-agrees)} over starts"


def _starts(result: xr.Dataset) -> str:
    flat = result.starts.transpose("begin", ...).values.reshape(result.sizes["begin"], -1)
    names = [str(name) for name in result.begin.values]
    if len(names) == 1 or not np.isfinite(flat[-1]).all():
        return f"The numbers of the found start have a deviation of {_two(flat[0].std())}, those of noise 1"
    alike = float(flat[0] @ flat[-1] / max(np.linalg.norm(flat[0]) * np.linalg.norm(flat[-1]), 1e-300))
    turned = math.degrees(math.acos(min(max(alike, -1), 1)))
    return f"{_FULL[names[-1]][0].upper()}{_FULL[names[-1]][1:]} is turned by {turned:.0f}° from the one that was searched"


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _budget(result: xr.Dataset) -> str:
    most = result.isel(steps=int(result.steps.values.argmax()))
    found, fresh, zero = (_three(most[name]) for name in ("searched", "ancestral", "zero"))
    return f"In {int(most.steps)} steps the found start scores {found}, ancestral sampling {fresh}, x_T = 0 {zero}"


def _reuse(result: xr.Dataset) -> str:
    steps = np.sort(result.steps.values)
    few, many = int(steps[0]), int(steps[-1])
    ratio = float(result.reused.sel(steps=few, steps_used=many) / result.reused.sel(steps=many, steps_used=many)) - 1
    scores = "as one" if abs(ratio) < 5e-4 else f"{percent(abs(ratio))} {'above' if ratio > 0 else 'below'} one"
    return f"Searched with {few} steps and used with {many} a start scores {scores} searched with {many}"


def _noise(result: xr.Dataset) -> str:
    ends = [
        " to ".join(dict.fromkeys(percent(float(value)) for value in (gain.min(), gain.max())))
        for gain in (result.gain, 1 - result.zero / result.random)
    ]
    return f"At any noise the search gains {ends[0]} over a random start, x_T = 0 gains {ends[1]}"


FINDS = {
    "ranks": _ranks, "agreement": _agreement, "histogram": _histogram, "best": _best, "sizes": _sizes,
    "dimensions": _dimensions, "table": SCORE.finding, "elsewhere": _elsewhere, "line": _line, "shared": _shared,
    "density": _density, "starts": _starts, "budget": _budget, "reuse": _reuse, "noise": _noise,
}

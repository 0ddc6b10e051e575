"""What the pictures of data sources and their mixtures show now."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

from .pictures import given, names

_FORMS = {name: name for name in ("linear-OT", "PQ-OT", "notebook", "linear", "quadratic")} | {
    "rational": "the rational fit"
}
BEYOND = Comparison(
    "beyond", "error beyond the fitted mixtures", _FORMS, result="mae", along="form",
    at={"split": "extrapolation", "size": "N₁"}, ours="PQ-OT", best_at=None,
)
PROJECTED = Comparison(
    "projected", "error at N",
    {"mae_projected": "projecting fits", "mae_raw": "projecting trainings", "mae_same": "keeping the score at N₁"},
    ours="mae_projected", best_at={"measure": "log-loss"},
)
_LONG = 18  # letters of the name of a source that a sentence has room for
_LITTLE = 0.05  # a correlation that changes by less does not


def _off(value: Any, result: xr.Dataset, logs: bool = True) -> str:
    """An error, of a score as it is fitted (``logs``) or as it is."""
    loss = given(result, "measure") == "log-loss"
    return number(float(value), 2) + (" points" if not loss else " in log" if logs else "")


def _source(result: xr.Dataset, at: int) -> str:
    name = names(result)[at]
    return name if len(name) <= _LONG else f"source {at + 1}"


def _scatter(result: xr.Dataset) -> str:
    split, model = given(result, "held"), given(result, "model")
    known, told = result.score.sel(size="N₁").values, result.pred.sel(split=split, form=model, size="N₁").values
    among = result.fitted.sel(split=split).values > 0
    on, away = (float(np.abs(told - known)[part].mean()) for part in (among, ~among))
    where = "Beyond" if split == "extrapolation" else "Between"
    return f"{where} the mixtures it was fitted to, {model} is off by {_off(away, result)}, on them by {number(on, 2)}"


def _learning(result: xr.Dataset) -> str:
    def lowest(at: int) -> tuple[int, str, str]:
        errors, count = result.curve.isel(count=at).values, int(result["count"][at])
        low = int(np.nanargmin(errors))
        # a small grid has fewer to fit
        return min(count, result.sizes["mixture"] - 2), str(result.form.values[low]), number(float(errors[low]), 2)

    (few, first, before), (many, last, after) = lowest(0), lowest(-1)
    return f"One seed: smallest error after {few} mixtures {before} ({first}), after {many} {after} ({last})"


def _sizes(result: xr.Dataset) -> str:
    def side(which: str) -> str:
        gap = float((result.trained - result.pilot).sel(which=which, of="N"))
        return f"{_off(abs(gap), result, logs=False)} {'above' if gap > 0 else 'below'}" if abs(gap) > 5e-4 else "on"

    return f"At N = {given(result, 'n')} p* measures {side('p*')} its line, yours {side('yours')} its own"


def _worth(result: xr.Dataset) -> str:
    worth = result.worth.values
    best, worst = int(np.nanargmax(worth)), int(np.nanargmin(worth))
    if worth[best] == worth[worst]:
        return f"More of any source changes the distance equally, by {number(float(-worth[best]), 3)} per unit of share"
    way = ["lowers" if worth[at] > 0 else "raises" for at in (best, worst)]
    again = f" {way[1]} it" if way[0] != way[1] else ""
    falls, rises = (number(float(abs(worth[at])), 3) for at in (best, worst))
    other = f"{_source(result, worst)}{again} by {rises}"
    return f"Per unit of share {_source(result, best)} {way[0]} the distance by {falls}, {other}"


def _potential(result: xr.Dataset) -> str:
    order = np.argsort(result.potential.values, kind="stable")
    first = result.sample_source.values[order[: max(len(order) // 10, 1)]].astype(int)
    count = np.bincount(first, minlength=3)
    most = int(count.argmax())
    share = percent(count[most] / len(first))
    return f"{share} of the tenth of pilot points with the smallest potentials are of {_source(result, most)}"


def _plan(result: xr.Dataset) -> str:
    mass = result.plan.values
    away = mass.sum((1, 2)) - np.trace(mass, axis1=1, axis2=2)
    share = float(away.sum() / mass.sum())
    if share < 5e-5:
        return "All mass stays in its class"
    most = int(away.argmax())
    part = percent(float(away[most] / away.sum()))
    return f"{percent(share)} of the mass lands in another class, {part} of it from {_source(result, most)}"


def _weights(result: xr.Dataset) -> str:
    told = result.correlation.dropna("label_weight").sortby("label_weight")
    if not told.size:
        return "There is no correlation: the score is the same everywhere"
    size = np.abs(told.values)
    best, worst = int(size.argmax()), int(size.argmin())
    little = float(size[best] - size[worst]) < _LITTLE
    shown = told[[0, -1] if little else [best, worst]]
    one, other = (number(float(value), 2) for value in shown)
    here, there = (f"weight {float(at):g}" for at in shown.label_weight)
    if little:
        return f"Labels hardly matter: correlation {one} at {here}, {other} at {there}"
    return f"The strongest correlation is {one}, at {here}; the weakest {other}, at {there}"


def _wrong(result: xr.Dataset, *told: str) -> tuple[str, list[float]]:
    """From which to which share of wrong labels, and by how much results rise on the way."""
    ordered = result.sortby("noise")
    low, high = (percent(float(ordered.noise[at])) for at in (0, -1))
    over = f"From {low} to {high}" if ordered.sizes["noise"] > 1 else f"At {low}"
    return f"{over} wrong labels", [float(ordered[name][-1] - ordered[name][0]) for name in told]


def _moves(by: float, unit: str = "") -> str:
    return f"{'rises' if by > 0 else 'falls'} by {number(abs(by), 2)}{unit}" if by else "stays"


def _noise(result: xr.Dataset) -> str:
    along, (by,) = _wrong(result, "ot_here")
    return f"{along} the distance {_moves(by)}{', to' if by else ' at'} {number(float(result.sortby('noise').ot_here[-1]), 3)}"


def _noise_score(result: xr.Dataset) -> str:
    along, (seen, told) = _wrong(result, "measured", "predicted")
    name, unit = ("log-loss", "") if given(result, "measure") == "log-loss" else ("accuracy", " points")
    return f"{along} {name} {_moves(seen, unit)}, what is predicted {_moves(told)}"


FINDS = {
    "scatter": _scatter, "errors": BEYOND.finding, "learning": _learning, "sizes": _sizes, "checks": PROJECTED.finding,
    "worth": _worth, "potential": _potential, "plan": _plan, "weights": _weights, "noise": _noise,
    "noise_score": _noise_score,
}

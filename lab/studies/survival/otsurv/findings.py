"""What the pictures of survival from bags show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import sweeping
from lab.words import number, percent

from .pictures import by_use, pooled_folds, size_of


def _truth(result: xr.Dataset) -> str:
    tested = result.tested.values.astype(bool)
    true, risk = result.true_risk.values[tested], result.risk.values[tested]
    if min(np.ptp(true), np.ptp(risk)) < 1e-12 or not np.isfinite(risk).all():
        return f"The risk does not order the {len(risk)} test bags"
    return f"Over {len(risk)} test bags risk and truth correlate at {number(np.corrcoef(true, risk)[0, 1], 2)}"


def _plan(result: xr.Dataset) -> str:
    slide = int(sweeping.parameters(result)["slide"])
    n = size_of(result, slide)
    mass, out = result.plan.values[:n].sum(axis=0), float(result.slack.values[:n].sum())
    most = int(mass.argmax())
    took = f"prototype {most + 1} takes {percent(mass[most] / mass.sum())}"
    if out <= 1e-6:
        return f"Nothing of bag {slide} is left out; {took} of it"
    return f"{percent(out)} of bag {slide} is left out; {took} of the rest"


def _kinds(result: xr.Dataset) -> str:
    mass, names = result.kind_mass.values, [str(name) for name in result.kind.values]
    if not np.isfinite(mass).any():
        return "No patch is of a known kind"
    least, most = int(np.nanargmin(mass)), int(np.nanargmax(mass))
    if mass[most] - mass[least] < 1e-6:
        return "All kinds count alike"
    if sweeping.parameters(result)["pooling"] == "ot":
        return f"{percent(mass[least])} of {names[least]} is pooled, up to {percent(mass[most])} of {names[most]}"
    low, high = (number(mass[at], 2) for at in (least, most))
    return f"{names[least].capitalize()} weighs {low}, {names[most]} {high}"


def _training(result: xr.Dataset) -> str:
    loss = result.loss.values[np.isfinite(result.loss.values)]
    scores = f"C-index {float(result.cindex_train):.3f} in training, {float(result.cindex):.3f} in the test"
    if not loss.size:
        return f"The loss is no finite number; {scores}"
    return f"The loss goes from {number(loss[0], 3)} to {number(loss[-1], 3)}; {scores}"


def _schedule(result: xr.Dataset) -> str:
    share, rho = result.pooled_share.values, sweeping.parameters(result)["rho"]
    there = np.flatnonzero(np.abs(share - rho) < 1e-3 * rho)
    if not there.size:
        way = " to ".join(dict.fromkeys(percent(each) for each in share[[0, -1]]))
        return f"The pooled share is {way}, not yet ρ = {rho:g}"
    if there[0] == 0:
        return f"The pooled share is ρ = {rho:g} from the start"
    done = int(result.epoch[there[0]])
    return f"The pooled share begins at {percent(share[0])} and is ρ = {rho:g} after {done} epoch{'s' if done != 1 else ''}"


def _tail(result: xr.Dataset) -> str:
    most = [(float(values[0]), lam) for lam, values in sorted(by_use(result).items())]
    told = [f"{percent(share)} at λ = {lam:g}" for share, lam in dict.fromkeys((most[0], most[-1]))]
    return f"The largest prototype of a bag takes {', '.join(told)}"


def _folds(result: xr.Dataset) -> str:
    medians = {name: float(np.nanmedian(values)) for name, _, values in pooled_folds(result) if np.isfinite(values).any()}
    return f"Median C-index: {', '.join(f'{name} {value:.3f}' for name, value in medians.items())}"


def _shares(result: xr.Dataset) -> str:
    test, rho = np.atleast_1d(result.cindex.squeeze().values), result.rho.values
    few, many = int(np.argmin(rho)), int(np.argmax(rho))
    if few == many:
        return f"The C-index of the test is {test[0]:.3f} at ρ = {rho[0]:g}"
    way = "rises" if test[many] > test[few] else "falls" if test[many] < test[few] else "goes"
    return f"The C-index of the test {way} from {test[few]:.3f} at ρ = {rho[few]:g} to {test[many]:.3f} at ρ = {rho[many]:g}"


FINDS = {
    "truth": _truth, "folds": _folds, "shares": _shares, "plan": _plan, "kinds": _kinds, "tail": _tail,
    "training": _training, "schedule": _schedule,
}

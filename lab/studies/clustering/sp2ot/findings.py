"""What the pictures of progressive partial transport show now."""

import numpy as np
import xarray as xr

from lab.numerics.statistics import mean_interval
from lab.words import number, percent

from .pictures import sorted_shares, there, trained


def _ends(values: xr.DataArray) -> tuple[float, float]:
    """The first and the last number."""
    seen = values.values[np.isfinite(values.values)]
    return (float(seen[0]), float(seen[-1])) if seen.size else (0.0, 0.0)


def _plan(result: xr.Dataset) -> str:
    weight, right = result.row_weight.values, percent(float(result.precision_labelled))
    if weight.min() > 1 - 1e-6:
        return f"Every sample is labelled in full, and {right} of the mass gets its class"
    half = int((weight > 0.5).sum())
    if not half:
        return f"No sample is labelled by more than {percent(weight.max())}; {right} of the labels are right"
    return f"{half:,} of {len(weight):,} samples are labelled by more than half; {right} of the labels are right"


def _convergence(result: xr.Dataset) -> str:
    left = f"the residual is {number(_ends(result.history_residual)[1], 2)}"
    steps = f"{int(result.iterations)} iteration{'s' if int(result.iterations) != 1 else ''}"
    return f"After {steps} {left}" if bool(result.converged) else f"It does not converge: after {steps} {left}"


def _curves(result: xr.Dataset) -> str:
    (first, acc), (before, right) = _ends(result.curve_acc), _ends(result.curve_precision)
    return (
        f"Accuracy goes from {percent(first, 3)} to {percent(acc, 3)}, the precision of labels from {percent(before, 3)} to "
        f"{percent(right, 3)}"
    )


def _quality(result: xr.Dataset) -> str:
    seen = result.precision_labelled.squeeze().values.reshape(-1)
    few, many = int(np.argmin(result.rho.values)), int(np.argmax(result.rho.values))
    way = "falls" if seen[many] < seen[few] else "rises" if seen[many] > seen[few] else "goes"
    return (
        f"Precision {way} from {percent(seen[few], 3)} at ρ = {float(result.rho[few]):g} to {percent(seen[many], 3)} at "
        f"ρ = {float(result.rho[many]):g}"
    )


def _sizes(result: xr.Dataset) -> str:
    truth, shares = sorted_shares(result)
    off = {method: 0.5 * float(np.abs(share - truth).sum()) for method, share in shares.items()}
    near, far = min(off, key=lambda method: off[method]), max(off, key=lambda method: off[method])
    if off[near] == off[far]:
        return f"The sizes are off those of the classes by {percent(off[near])} of the mass"
    return f"{near} is off the sizes of the classes by {percent(off[near])} of the mass, {far} by {percent(off[far])}"


def _groups(result: xr.Dataset) -> str:
    """Of the best on average, beside clusters of equal size."""
    score = {method: result.group_acc.sel(algorithm=method).isel(epochs=-1).values for method, _ in there(result)}
    mean = {method: float(np.nanmean(each)) for method, each in score.items() if np.isfinite(each).any()}
    if not mean:
        return "No class was found"
    best = max(mean, key=lambda method: mean[method])
    other = "balanced" if "balanced" in mean and best != "balanced" else min(mean, key=lambda method: mean[method])
    told = [f"{method} {percent(score[method][0])} and {percent(score[method][2])}" for method in dict.fromkeys((best, other))]
    return f"Accuracy in frequent and in rare classes: {', '.join(told)}"


def _scores(result: xr.Dataset) -> str:
    of = {name: mean_interval(runs.macro_acc.values) for name, _, runs in trained(result)}
    order = sorted(of, key=lambda name: -of[name].mean)
    first, count = of[order[0]], result.sizes["seed"]
    tied = [name for name in order if count > 1 and of[name].high >= first.low] or order[:1]
    if len(tied) > 1:
        span = f"{percent(of[tied[-1]].mean, 3)} to {percent(first.mean, 3)}"
        return f"{' and '.join(filter(None, [', '.join(tied[:-1]), tied[-1]]))} tie for the highest accuracy, {span}"
    begun = f"{'' if count > 1 else 'One seed: '}{order[0]} has the highest mean accuracy, {percent(first.mean, 3)}"
    return f"{begun}; {order[1]} has {percent(of[order[1]].mean, 3)}" if len(order) > 1 else begun


def _steps(result: xr.Dataset) -> str:
    newton, scaling = (result.iterations.sel(solver=name).values.reshape(-1) for name in ("newton", "scaling"))
    few, many = int(np.argmin(result.rho.values)), int(np.argmax(result.rho.values))
    most = f"at most {newton.max():,.0f}" if newton.max() > newton.min() else f"{newton.max():,.0f}"
    told = f"{scaling[many]:,.0f} at ρ = {float(result.rho[many]):g}"
    told += f", {scaling[few]:,.0f} at ρ = {float(result.rho[few]):g}" if few != many else ""
    return f"Newton takes {most} iterations; scaling {told}"


def _outer(result: xr.Dataset) -> str:
    rises = []
    for shift in (False, True):
        values = result.history_objective.sel(psd_shift=shift).values.reshape(-1)
        values = values[np.isfinite(values)]
        steps = np.diff(values)
        rises.append((int((steps > 1e-9 * np.ptp(values)).sum()) if steps.size else 0, steps.size))
    (as_is, steps), (raised, _) = rises
    if not as_is and not raised:
        return "The objective falls at every step, also with the similarity as it is"
    return f"As it is, the objective rises in {as_is} of {steps} steps; made to descend, in {raised or 'none'}"


FINDS = {
    "plan": _plan, "quality": _quality, "sizes": _sizes, "curves": _curves, "groups": _groups, "scores": _scores,
    "convergence": _convergence, "steps": _steps, "outer": _outer,
}

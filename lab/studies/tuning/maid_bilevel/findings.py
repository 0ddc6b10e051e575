"""What the pictures of bilevel learning at adaptive accuracy show now."""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

from .pictures import RIVALS, above_least, bounded

COST = Comparison(
    "cost", "cost to 1% of the initial loss gap",
    {
        "maid_cost": "MAID", "fixed_cost": "the cheapest fixed accuracy", "hoag_cost": "geometric HOAG",
        "hoag_other": "cubic HOAG",
    },
    ours="maid_cost", best_at=None,
)
_NEAR = 0.01  # of the fall of the loss


def cheaper(result: xr.Dataset) -> str:
    return COST.finding(result) or "Fewer than two methods reduce the loss gap to 1% of its initial value"


def _accuracies(result: xr.Dataset) -> str:
    eps = result.eps.values[result.eps.values > 0]
    if not eps.size:
        return "No step was taken"
    first, last = number(eps[0], 2), number(eps[-1], 2)
    return f"ε stays at {first}" if first == last else f"ε goes from {first} to {last} in {eps.size} steps"


def _errors(result: xr.Dataset) -> str:
    error, bound, seen = bounded(result)
    if not seen.any():
        return "No error is there to compare with a bound"
    share = error[seen] / bound[seen]
    return f"Errors are {percent(np.median(share))} of their bound in the median, {percent(share.max())} at most"


def _costs(result: xr.Dataset) -> str:
    lower, products = result.cost_lower.values, result.cost_cg.values
    total = lower + products
    total, lower = total[np.isfinite(total)], lower[np.isfinite(total)]
    if not total.size or not total[-1]:
        return "No step was taken"
    each = np.diff(total, prepend=0)
    most = int(each.argmax())
    gradients, dearest = percent(lower[-1] / total[-1]), percent(each[most] / total[-1])
    return f"{gradients} of the cost are gradients; step {1 + most} alone took {dearest}"


def _rivals(result: xr.Dataset) -> str:
    start, needed = float(result.loss_start - result.least), {}
    for run, name in RIVALS.items():
        cost, loss = above_least(result, run)
        near = cost[loss <= _NEAR * start]
        if near.size:
            needed[name] = near[0]
    if not needed:
        return f"None comes to where {percent(_NEAR)} of the fall is left"
    told = ", ".join(f"{needed[name]:.0f} ({name})" for name in sorted(needed, key=lambda name: needed[name]))
    return f"Cost until {percent(_NEAR)} is left: {told}{'' if len(needed) == len(RIVALS) else '; others never'}"


def _range(values: Sequence[float]) -> str:
    known = np.asarray(values)[np.isfinite(values)]
    if not known.size:
        return "nowhere"
    low, high = number(known.min(), 3), number(known.max(), 3)
    return low if low == high else f"{low} to {high}"


def _two(one: str, other: str) -> Callable[[xr.Dataset], str]:
    def told(result: xr.Dataset) -> str:
        ends = (_range(result.loss.sel(rule=rule).values) for rule in (one, other))
        return "{} ends at {}, {} at {}".format(*chain(*zip((one, other), ends, strict=True)))

    return told


def _plane(result: xr.Dataset) -> str:
    lowest = number(float(result.plane.min()))
    return f"The path ends at {number(float(result.loss))}, the minimum on this grid is {lowest}"


def _digit(values: np.ndarray) -> float:
    """How many evaluations gain a digit, until no more is gained."""
    values = values[values > 0]
    if not values.size or values[0] <= 10 * values.min():
        return np.inf
    last = int(np.argmax(values <= 10 * values.min()))  # below that it may be rounding
    return last / np.log10(values[0] / values[last])


def _residuals(result: xr.Dataset) -> str:
    one, two = _digit(result.lower_residual.values), _digit(result.cg_residual.values)
    told = [f"{number(count, 2)} {what}" for count, what in ((one, "gradients"), (two, "products")) if np.isfinite(count)]
    return f"A digit takes {', or '.join(told)}" if told else "No digit is gained"


def _filters(result: xr.Dataset) -> str:
    start, end = result.filters_start.values, result.filters.values
    norms = np.sqrt((start**2).sum((1, 2)) * (end**2).sum((1, 2)))
    if not (norms > 0).any():
        return "All filters have vanished"
    along = ((start * end).sum((1, 2))[norms > 0] / norms[norms > 0]).clip(-1, 1)
    return f"Filters have turned by {np.degrees(np.arccos(along)).mean():.2g}° from where they began, on average"


def _decay(result: xr.Dataset) -> str:
    low, middle, high = (number(float(q), 2) for q in np.quantile(result.decay.values, (0, 0.5, 1)))
    return f"Log decays go from {low} to {high}, half of them are above {middle}"


def _noises(result: xr.Dataset) -> str:
    run = result.sortby("noise")
    gain = (run.psnr - run.psnr_noisy).values
    told = [f"{number(gain[k], 2)} dB at σ = {float(run.noise[k]):g}" for k in (0, -1)[: len(gain)]]
    return f"Denoising gains {', '.join(told)}"


FINDS = {
    "accuracies": _accuracies, "errors": _errors, "costs": _costs, "rivals": _rivals,
    "starts": _two("MAID", "fixed accuracy"), "steps": _two("MAID", "HOAG geometric"), "plane": _plane,
    "residuals": _residuals, "filters": _filters, "decay": _decay, "noises": _noises,
}

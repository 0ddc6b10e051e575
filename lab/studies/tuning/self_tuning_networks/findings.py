"""What the pictures of self-tuning networks show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

from .presets import DIGITS
from .variables import RANDOM

SEARCH = Comparison(
    "search", "validation loss",
    {
        "val_best": "the self-tuning network", "rival_least": "the selected run of the others",
        "rival_median": "their median run",
    },
    ours="val_best", best_at=DIGITS | {"compare": RANDOM},
)
_LOST = "All starts were lost"


def searched(result: xr.Dataset) -> str:
    return SEARCH.finding(result) or "The others hold their hyperparameters, or follow a schedule, for the same number of steps"


def _ends(values: xr.DataArray) -> np.ndarray:
    """At the last cycle, of the starts that were not lost."""
    last = values.isel(cycle=-1).values
    return last[np.isfinite(last).all(axis=tuple(range(1, last.ndim)))]


def _valley(result: xr.Dataset) -> str:
    last, least = _ends(result.lam)[:, 0], float(result.valley.min())
    if not last.size:
        return _LOST
    begun = np.interp(result.lam.values[0, :, 0], result.strength.values, result.valley.values).max() / least - 1
    above = float(result.excess) / 100
    ended = f"ends {percent(above)} above it" if np.isfinite(above) else "is lost"
    return f"Starts begin up to {percent(begun)} above the minimum; the one with the largest loss {ended}"


def _losses(result: xr.Dataset) -> str:
    ends = _ends(result.val_loss)
    if not ends.size:
        return _LOST
    if len(ends) == 1:
        return f"The validation loss ends at {number(ends[0])}"
    return f"Validation losses end at {number(ends.mean())}, {percent(np.ptp(ends) / ends.min())} apart"


def _plain(result: xr.Dataset) -> str:
    ends = _ends(result.lam)
    if not len(ends):
        return _LOST
    i, j = np.unravel_index(result.plain.values.argmin(), result.plain.shape)
    best = np.array([result.strength[i], result.other[j]])
    begun, ended = (np.linalg.norm(where - best, axis=1).max() for where in (result.lam.values[0], ends))
    return f"In λ the starts end within {max(ended, 0.1):.1f} of the minimum, having begun up to {begun:.1f} from it"


def _grid(result: xr.Dataset) -> str:
    least = result.by_two.transpose("first", "second").values
    i, j = np.unravel_index(np.nanargmin(least), least.shape)
    held = f"{number(float(result.first[i]), 2)} and {number(float(result.second[j]), 2)}"
    own = np.nanmin(result.val_loss.values)
    return f"Fixed values have a minimum of {number(least[i, j], 3)} at {held}; tuned ones reach {number(own, 3)}"


def _errors(result: xr.Dataset) -> str:
    slope, weights = (_ends(result[name]) for name in ("jac_error", "weight_error"))
    if not slope.size or not weights.size:
        return _LOST
    return f"At the end errors are at most {percent(slope.max())} of the slope and {percent(weights.max())} of the weights"


def _scales(result: xr.Dataset) -> str:
    ends, begun = _ends(result.sigma), float(result.sigma.values[0].mean())
    if not ends.size:
        return _LOST
    first, last = number(begun, 2), number(ends.mean(), 2)
    return f"Scales stay at {first}" if first == last else f"Scales go from {first} to {last} on average"


def _gates(result: xr.Dataset) -> str:
    best = float(result.known_lam)
    open_ = [np.interp(best, result.strength.values, gate) for gate in result.gates.transpose("unit", "strength").values]
    return f"At the optimal λ, {number(best, 3)}, gates are open from {percent(min(open_))} to {percent(max(open_))}"


def _by_scale(result: xr.Dataset) -> str:
    last = result.lam.isel(cycle=-1, hyper=0)
    off = np.abs(last - result.known_lam).transpose("sigma", "start").max("start", skipna=False).values
    sigma = result.coords["sigma"].values
    if not np.isfinite(off).any():
        return _LOST
    near, far = int(np.nanargmin(off)), int(np.nanargmax(off))
    text = f"At σ = {sigma[near]:g} all starts come within {number(off[near], 2)} of the best λ"
    return text if near == far else f"{text}; at σ = {sigma[far]:g} one ends {number(off[far], 2)} from it"


def _by_entropy(result: xr.Dataset) -> str:
    off = result.slope_off.values
    if not np.isfinite(off).any():
        return _LOST
    best = int(np.nanargmin(off))
    scale = number(float(result.sigma_end[best]), 2)
    return f"The slope is least off at τ = {float(result.entropy[best]):g}, by {percent(off[best])}, at a scale of {scale}"


def _by_rate(result: xr.Dataset) -> str:
    above, rate = result.excess.values / 100, result.hyper_rate.values
    if not np.isfinite(above).any():
        return _LOST
    best, worst = int(np.nanargmin(above)), int(np.nanargmax(above))
    text = f"At a rate of {rate[best]:g} the worst start ends {percent(above[best])} above the least"
    return text if best == worst else f"{text}; at {rate[worst]:g} it ends {percent(above[worst])} above"


FINDS = {
    "valley": _valley, "losses": _losses, "plain": _plain, "errors": _errors, "scales": _scales, "gates": _gates,
    "by_scale": _by_scale, "by_entropy": _by_entropy, "by_rate": _by_rate, "rivals": SEARCH.finding, "grid": _grid,
}

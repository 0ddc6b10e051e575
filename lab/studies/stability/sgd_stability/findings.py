"""What the pictures of the stability of SGD show now."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import along_rates, late_ways, limits, over_eta, ways_trained

TEST = Comparison("test", "test error", {"test_sgd": "SGD", "test_gd": "gradient descent"}, ours="test_sgd")
TRACE = Comparison(
    "trace", "trace of G at the end", {"SGD": "SGD", "GD": "gradient descent"}, result="tr_end", along="way", ours="SGD",
)


def _with_each(result: xr.Dataset, told: Callable[[str], float], digits: int = 2) -> str:
    """A number of each method, where it is finite."""
    values = {way: told(way) for way in ways_trained(result)}
    known = [f"{number(value, digits)} with {way}" for way, value in values.items() if np.isfinite(value)]
    return ", ".join(known)


def _sweep(result: xr.Dataset) -> str:
    trace, descent = limits(result)
    name, words, times = ("final_tr", "tr", trace) if np.isfinite(trace) else ("final_lmax", "λmax", descent)
    told = []
    for way in ways_trained(result):
        eta, values, done = along_rates(result, name, way)
        if done.any():
            told.append(f"{int((values[done] <= 2 * times / eta[done]).sum())} of {done.sum()} runs of {way}")
    if not told:
        return "No run interpolates, so that no bound applies"
    return f"Where the loss vanishes {words} is at most {over_eta(2 * times)} in {', '.join(told)}"


def _thresholds(result: xr.Dataset) -> str:
    held = result.isel(way=list(result.way.values).index(ways_trained(result)[0])).sel(drawn="with replacement")
    batch, star = held.batch.values, held.eta_star_B.values
    told = [f"{number(float(star[place]), 2)} at B = {batch[place]}" for place in (0, -1)[: len(batch)]]
    return f"η* is {', '.join(told)}, drawn with replacement"


def _table(result: xr.Dataset) -> str:
    def most(way: str) -> float:
        eta, trace, done = along_rates(result, "final_tr", way)
        return (eta * trace / 2)[done].max(initial=-np.inf)

    told = _with_each(result, most)
    return f"Where the loss vanishes η tr / 2 is at most {told}" if told else "No run interpolates, so that no bound applies"


def _error(result: xr.Dataset) -> str:
    told = []
    for way in ways_trained(result):
        eta, error, _ = along_rates(result, "final_test_error", way)
        if np.isfinite(error).any():
            best = np.nanargmin(error)
            told.append(f"{number(error[best], 2)} with {way} (η = {number(eta[best], 2)})")
    return f"Minimum test error over η: {', '.join(told)}" if told else "All runs diverge"


def _norms(result: xr.Dataset) -> str:
    largest = float(result.rates.max())
    told = _with_each(result, lambda way: along_rates(result, "final_path_norm", way)[1][-1])
    return f"At η = {number(largest, 2)} the norm ends at {told}" if told else f"At η = {number(largest, 2)} all runs diverge"


def _balance(result: xr.Dataset) -> str:
    told = _with_each(result, lambda way: float(result.imbalance.sel(way=way)[-1]))
    start = float(result.imbalance.sel(way=ways_trained(result)[0])[0])
    return f"The imbalance goes from {number(start, 2)} to {told}" if told else "All runs diverge"


def _spectrum(result: xr.Dataset) -> str:
    eta = sweeping.parameters(result)["eta"]
    told = _with_each(result, lambda way: eta * float(result.sharpness.sel(way=way)[-1]) / 2)
    return f"η λmax / 2 ends at {told}; stable is up to {limits(result)[1]:.3g}" if told else "All runs diverge"


def _before_after(result: xr.Dataset) -> str:
    told = _with_each(result, lambda way: float(result.sharpness.sel(way=way)[-1]))
    start = float(result.sharpness.sel(way=ways_trained(result)[0])[0])
    return f"λmax goes from {number(start, 2)} to {told}" if told else "All runs diverge"


def _hessian(result: xr.Dataset) -> str:
    squares, edges = result.hessian.values**2, result.layer_edge.values.astype(int)
    total = squares.sum()
    if not np.isfinite(total):
        return "Training diverged: there is no Hessian"
    if not total:
        return "The Hessian is 0"
    within = sum(squares[low:high, low:high].sum() for low, high in pairwise(edges)) / total
    return f"{percent(within)} of its square lies within layers, {percent(1 - within)} between them"


def _losses(result: xr.Dataset) -> str:
    told = _with_each(result, lambda way: float(result.loss.sel(way=way)[-1]))
    if not told:
        return "All runs diverge"
    if "test_error" not in result:
        return f"The training loss ends at {told}"
    error = _with_each(result, lambda way: float(result.test_error.sel(way=way)[-1]))
    return f"The test error ends at {error}{'' if late_ways(result) else '; the training loss vanishes'}"


def _alignment(result: xr.Dataset) -> str:
    def middle(way: str) -> float:
        mu = result.mu.sel(way=way).values
        return float(np.median(mu[np.isfinite(mu)])) if np.isfinite(mu).any() else np.nan

    told = _with_each(result, middle)
    return f"Over training μ is {told}, in the median" if told else "All runs diverge"


FINDS = {
    "sweep": _sweep, "thresholds": _thresholds, "table": _table, "error": _error, "norms": _norms, "balance": _balance,
    "spectrum": _spectrum, "before-after": _before_after, "hessian": _hessian, "losses": _losses, "alignment": _alignment,
}

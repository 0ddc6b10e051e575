"""What the pictures of road agents show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from . import scene
from .variables import PAIRS

ADE = Comparison(
    "ade", "mean displacement error in m",
    {"constant velocity": "constant velocity", "ridge": "the ridge", "one stream": "the one-stream LSTM",
     "two streams": "the two-stream LSTM"},
    result="ade", along="model",
)
_MOST = 0.9  # of all weight


def _seconds(result: xr.Dataset) -> float:
    return result.sizes["step"] * float(result.frame[1] - result.frame[0])


def _degrees(result: xr.Dataset) -> str:
    labels = result.behaviour.values[np.isfinite(result.behaviour.values)]
    if not labels.size:
        return "Nobody stays for a whole window"
    under, neutral, over = (percent((labels == label).mean()) for label in (-1, 0, 1))
    return f"On this road {neutral} of the labels are neutral, {under} under, {over} over"


def _scatter(result: xr.Dataset) -> str:
    window = scene.window_shown(result)
    truth, told = (result.label.sel(kind=kind).values[window] for kind in ("rule", "by positions"))
    known = np.isfinite(truth) & np.isfinite(told)
    if not known.any():
        return "Nobody stays for this window"
    return f"Predicted positions give {(truth == told)[known].sum()} of {known.sum()} agents their true label"


def _rmse(result: xr.Dataset) -> str:
    last = result.rmse.isel(step=-1)
    errors = {str(name): float(last.sel(model=name)) for name in result.model.values}
    errors = {name: error for name, error in errors.items() if np.isfinite(error)}
    if not errors:
        return "No window could be tested"
    best, after = min(errors, key=lambda name: errors[name]), f"After {_seconds(result):.3g} s"
    told = f"{number(errors[best], 2)} m by {'the ridge' if best == 'ridge' else best}"
    if best == "constant velocity":
        return f"{after} no forecast has a smaller RMSE than constant velocity, {number(errors[best], 2)} m"
    return f"{after} the RMSE is {told}, {number(errors['constant velocity'], 2)} m by constant velocity"


def _spectrum(result: xr.Dataset) -> str:
    pair, top = 2 * result.weight.max(["agent", "other"]).values, result.eigvals.values[:, -1]
    if not pair.any():
        return "Nobody has a neighbour"
    ratio = (top[pair > 0] / pair[pair > 0]).mean()
    return f"The largest eigenvalue is {ratio:.2f} times that of its strongest pair alone, on average"


def _laplacian(result: xr.Dataset) -> str:
    i, j = np.triu_indices(result.sizes["agent"], 1)
    weights = -np.sort(-result.weight.values[:, i, j], axis=1)
    weights = weights[weights[:, 0] > 0]
    if not len(weights):
        return "Nobody has a neighbour"
    heavy = 1 + (np.cumsum(weights, axis=1) < _MOST * weights.sum(1, keepdims=True)).sum(1)
    every = (weights > 0).sum(1)
    return f"{heavy.mean():.2g} of {every.mean():.2g} edges carry {percent(_MOST)} of the weight, on average over time"


def _regions(result: xr.Dataset) -> str:
    """The distance of the mean of each cluster from where it is predicted, at the last step."""
    off = []
    for at in range(result.sizes["moment"]):
        apart = result.path.values[at, :, -1] - result.position.values[scene.now(result, at) + result.sizes["step"]]
        there, cluster = np.isfinite(apart).all(axis=1), result.cluster.values[at]
        off += [np.linalg.norm(apart[there & (cluster == one)].mean(0)) for one in np.unique(cluster[there])]
    if not off:
        return "Nobody stays for a whole window"
    return f"{_seconds(result):.3g} s ahead the mean of a cluster is {number(np.mean(off), 2)} m from where it was predicted"


def _sees(result: xr.Dataset) -> str:
    seen = np.abs(result.correlation_driver.values)
    if not np.isfinite(seen).any():
        return "Nobody has a neighbour"
    speed = float(np.nanmean(result.speed_driver.values))
    return f"With the driver the correlation is at most {np.nanmax(seen):.2f} in size; that of speed is {speed:.2f}"


def _shares(result: xr.Dataset) -> str:
    run = result.sel({"class": "neutral"}).sortby("threshold")
    told = [f"{percent(float(run.share[k]))} at λ = {float(run.threshold[k]):g}" for k in (0, -1)[: run.sizes["threshold"]]]
    return f"Neutral are {', '.join(told)} per second"


def _pull(result: xr.Dataset) -> str:
    two, one, ridge = result.ade_two.values, float(result.ade_one[0]), float(result.ade_ridge[0])
    if not np.isfinite([*two, one]).any():
        return "No stream was trained to the end"
    best = int(np.nanargmin(two))
    least = f"Two streams {number(two[best], 3)} m (b₁ = {float(result.b1[best]):g})"
    return f"{least}, one stream {number(one, 3)} m, the ridge {number(ridge, 3)} m, with one seed"


def _training(result: xr.Dataset) -> str:
    first, last = float(result.curve_loss[0]), settled(result.curve_loss)
    if not np.isfinite(first + last):
        return "The training diverged"
    return f"The loss goes from {number(first, 3)} to {number(last, 3)}"


def _by_spectra(result: xr.Dataset) -> str:
    counts = result.confusion.sel(pair=PAIRS[2]).values
    if not counts.sum() > 0:
        return "No window could be tested"
    right, always = np.trace(counts) / counts.sum(), counts.sum(1).max() / counts.sum()
    return f"{percent(right)} of the labels are right; always the commonest would be {percent(always)}"


FINDS = {
    "degrees": _degrees, "scatter": _scatter, "radius": _sees, "scale": _sees, "shares": _shares, "laplacian": _laplacian,
    "spectrum": _spectrum, "rmse": _rmse, "regions": _regions, "pull": _pull, "training": _training, "by_spectra": _by_spectra,
}

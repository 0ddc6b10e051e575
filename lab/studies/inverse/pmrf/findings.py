"""What the pictures of posterior-mean rectified flow show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.studies.vocabulary.training import course
from lab.words import number, percent

from .pictures import WAYS

_LOST = "The flow leads to no finite numbers"
_WORDS = {
    "posterior mean": "the posterior mean", "PMRF": "PMRF", "optimal transport": "optimal transport",
    "posterior sampling": "posterior sampling", "flow given Y": "the flow given Y", "flow from Y": "the flow from Y",
}
ERROR = Comparison("error", "mean squared error", _WORDS, result="mse", along="estimator", ours="PMRF", best_at=None)
W2 = Comparison("w2", "W₂ to clean data", _WORDS, result="w2", along="estimator")


def _times(error: xr.DataArray | float, mmse: xr.DataArray | float) -> str:
    """An error as a multiple of the least one."""
    return number(float(error) / max(float(mmse), 1e-300), 3)


def _paths(result: xr.Dataset) -> str:
    far = {}
    for flow, way in WAYS.items():
        path = result.path.sel(flow=flow)
        if np.isfinite(path).all():
            apart = path.isel(t=-1) - path.isel(t=0)
            far[way] = number(float(np.sqrt((apart**2).sum("axis")).mean()), 2)
    told = ", ".join(f"{each} {way.replace(',', '')}" for way, each in far.items())
    return f"On average particles move by {told}" if far else _LOST


def _error(result: xr.Dataset) -> str:
    first, last = (_times(result.mse_steps[at], result.mmse) for at in (0, -1))
    if not np.isfinite(result.mse_steps[[0, -1]]).all():
        return _LOST
    steps, sample = int(result["count"][-1]), number(float(result.mse_sampling) / max(float(result.mmse), 1e-300), 2)
    return f"One step errs {first} times the MMSE, {steps} steps {last} times; a posterior sample {sample} times"


def _covariance(result: xr.Dataset) -> str:
    error = result.cov_error_steps.to_series()
    if not np.isfinite(error.values).all():
        return _LOST
    first, ten, last = (percent(error[k]) for k in (1, 10, 100))
    return f"The covariance is off by {first} after one step, {ten} after 10 and {last} after 100"


def _sigma(result: xr.Dataset) -> str:
    share = (result.mse_pmrf / result.mse_sampling).sortby("sigma_s").dropna("sigma_s")
    if not share.size:
        return _LOST
    sigma, values = share.sigma_s.values, share.values
    worse, last = np.flatnonzero(values > 1), f"{abs(values[-1] - 1):.0%} {'more' if values[-1] > 1 else 'less'}"
    if not worse.size:
        return f"At every σₛ PMRF errs less than a posterior sample, at {sigma[-1]:g} by {last}"
    if not worse[0]:
        return f"From σₛ = {sigma[0]:g} on PMRF errs more than a posterior sample, at {sigma[-1]:g} by {last}"
    return f"Up to σₛ = {sigma[worse[0] - 1]:g} PMRF errs less than a posterior sample; at {sigma[-1]:g} it errs {last}"


def _levels(result: xr.Dataset) -> str:
    times = (result.mse_pmrf / result.mmse).to_series().dropna()
    if times.empty:
        return _LOST
    low, high = (f"{number(times[at], 3)} (noise {at:g})" for at in (times.idxmin(), times.idxmax()))
    return f"PMRF errs {low} to {high} times the MMSE, sampling 2 times"


def _tasks(result: xr.Dataset) -> str:
    shares = []
    for name in ("mse_pmrf", "mse_from_y"):
        share = (result[name] / result.mse_sampling).to_series().dropna()
        low, high = (f"{share.min():.0%}", f"{share.max():.0%}") if share.size else ("", "")
        shares.append(low if low == high else f"{low} to {high}")
    if not shares[0]:
        return _LOST
    told = f"PMRF has {shares[0]} of the error of sampling"
    return f"{told}, the flow from Y {shares[1]}" if shares[1] else told


def _estimators(result: xr.Dataset) -> str:
    told = []
    for name in ("PMRF", "posterior sampling"):
        one = result.sel(estimator=name)
        told.append(f"{_times(one.mse, result.mmse)} times the MMSE at W₂ = {number(float(one.w2), 2)}")
    if not np.isfinite(result.mse_pmrf):
        return _LOST
    return f"PMRF errs {told[0]}, sampling {told[1].replace(' the MMSE', '')}"


def _velocity(result: xr.Dataset) -> str:
    speed = np.median(np.linalg.norm(result.velocity.values, axis=-1), axis=(1, 2))
    first, last = (number(float(each), 2) for each in speed[[0, -1]])
    return f"The median speed on the grid goes from {first} to {last} at t = {float(result.moment[-1]):g}"


def _density(result: xr.Dataset) -> str:
    x, density = result.x.values, result.density.values
    mass = density / np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
    middle = mass @ x
    mean, ours, clean = np.sqrt((mass * (x - middle[:, None]) ** 2).sum(axis=1))
    if not clean > 0:
        return "X has no width"
    return f"The posterior mean is {mean / clean:.0%} as wide as X, PMRF {ours / clean:.0%}"


def _network(result: xr.Dataset) -> str:
    error, far, exact, floor = (number(float(result[name]), 2) for name in ("net_mse", "net_w2", "mse_pmrf", "net_floor"))
    return f"The network errs by {error} at W₂ = {far}, exact PMRF by {exact}; two samples have {floor}"


def _training(result: xr.Dataset) -> str:
    return course(result.curve_loss)


FINDS = {
    "paths": _paths, "error": _error, "covariance": _covariance, "sigma": _sigma, "levels": _levels, "tasks": _tasks,
    "estimators": _estimators, "velocity": _velocity, "density": _density, "network": _network, "training": _training,
}

"""What the pictures of stochastic interpolants show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from .pictures import along_alone, shaded_nats, vertex

W2SQ = Comparison("w2sq", "W₂² to held-out data", {"w2sq_ode": "the ODE", "w2sq": "the SDE"})

_ASTRAY = "Particles go astray"


def _motion(result: xr.Dataset) -> str:
    if not sweeping.parameters(result)["epsilon"]:
        return "Without noise one start has one end"
    ends, data = (np.sqrt(cloud.var(axis=0).sum()) for cloud in (result.bundle.values[-1], result.target.values))
    return f"From one start the SDE's ends spread {percent(ends / data)} as wide as the data" if np.isfinite(ends) else _ASTRAY


def _distances(result: xr.Dataset) -> str:
    ode, sde, data = (number(float(result[name]), 2) for name in ("w2sq_ode", "w2sq", "w2sq_floor"))
    return f"W₂² to the data is {ode} by the ODE, {sde} by the SDE; of other data {data}"


def _samples(result: xr.Dataset) -> str:
    if "log_likelihood" in result:
        off = np.abs(result.log_likelihood.values - result.log_target.values)
        if np.isfinite(off).any():
            middle = np.nanmedian(off)
            if middle < 1e-3:
                return "Log-likelihoods are the exact log-density, to 0.001 nat in the median"
            return f"Log-likelihoods miss the exact log-density by {number(middle, 2)} nat in the median"
    return _distances(result) if np.isfinite(result.w2sq) and np.isfinite(result.w2sq_ode) else _ASTRAY


def _moments(result: xr.Dataset) -> str:
    exact, sampled = result.variance.values, result.variance_sampled.transpose("sampler", "t").values
    if not np.isfinite(sampled).all():
        return _ASTRAY
    ode, sde = np.abs(sampled - exact).max(1) / exact.max()
    return f"Variances of particles err by at most {percent(ode)} (ODE) and {percent(sde)} (SDE) of the peak"


def _accuracy(result: xr.Dataset) -> str:
    run = result.sortby("steps")
    steps, ode, sde = run.steps.values, *([number(w, 2) for w in run[name].values] for name in ("w2sq_ode", "w2sq"))
    text = f"In {steps[0]} steps W₂² is {ode[0]} by the ODE and {sde[0]} by the SDE"
    return text if len(steps) == 1 else f"{text}; in {steps[-1]} steps {ode[-1]} and {sde[-1]}"


def _images(result: xr.Dataset) -> str:
    ode, sde = result.walk.isel(t=-1).transpose("sampler", "shown", "coordinate").values
    apart = np.linalg.norm(ode - sde, axis=1).mean()
    others = np.linalg.norm(ode[:, None] - ode, axis=2)[~np.eye(len(ode), dtype=bool)].mean()
    if not np.isfinite(apart + others):
        return _ASTRAY
    if apart < 1e-6 * others:
        return "Both samplers make the same images"
    return f"Images of the two samplers are {percent(apart / others)} as far apart as two images of the ODE"


def _modes(logrho: np.ndarray) -> int:
    """The most local maxima of the density (t, position) at a time, of those that are shaded."""
    shade = shaded_nats(logrho)
    inner = shade[1:-1]
    return int(((inner > shade[:-2]) & (inner >= shade[2:])).sum(0).max())


def _counted(modes: int) -> str:
    return f"{modes} mode{'s' if modes != 1 else ''}"


def _smoothing(result: xr.Dataset) -> str:
    ours, plain = _modes(result.logrho.values), _modes(result.plain_logrho.values)
    if ours == plain:
        return f"The density has up to {_counted(ours)} at a time, with latent noise or without"
    return f"The density has up to {_counted(ours)} at a time with latent noise, {plain} without"


def _gammas(result: xr.Dataset) -> str:
    run = result.sortby("a")
    modes, a = [_modes(logrho.values) for logrho in run.logrho.transpose("a", "t", "position")], run.a.values
    text = f"The density has up to {_counted(modes[0])} at a = {a[0]:.3g}"
    return text if len(a) == 1 else f"{text}, up to {modes[-1]} at a = {a[-1]:.3g}"


def _schedules(result: xr.Dataset) -> str:
    chosen = sweeping.parameters(result)["schedule"]
    gamma = result.table_gamma.sel(kind=chosen).values
    if not gamma.max() > 0:
        return f"The {chosen} schedule has no latent noise here"
    at = float(result.t[gamma.argmax()])
    return f"The {chosen} schedule has its maximum latent noise at t = {at:.2g}, γ = {gamma.max():.2g}"


def _kl(result: xr.Dataset) -> str:
    run = along_alone(result, "epsilon")
    run = run.isel(epsilon=(run.epsilon.values > 0) & np.isfinite(run.kl.values))
    if not run.sizes["epsilon"]:
        return "No divergence is finite"
    kl, ode, at = run.kl.values, float(run.kl_ode.values[-1]), float(run.epsilon[int(run.kl.values.argmin())])
    if not np.isfinite(ode):
        return f"KL is minimal at ε = {at:.3g}, {number(kl.min(), 3)} nat"
    if max(kl.max(), ode) < 1e-9:
        return "Exact fields leave no divergence at any noise level"
    if kl.min() < ode:
        return f"Noise helps: KL is {number(kl.min(), 3)} nat at ε = {at:.3g}, {number(ode, 3)} without"
    return f"Noise does not help: KL is {number(ode, 3)} nat without, no less than {number(kl.min(), 3)} with it"


def _training(result: xr.Dataset) -> str:
    b, eta = settled(result.loss_b), settled(result.loss_eta)
    if not np.isfinite(b + eta):
        return "The training diverged at once"
    least_b, least_eta = (number(float(result[name]), 3) for name in ("floor_b", "floor_eta"))
    return f"Losses end at {number(b, 3)} (velocity) and {number(eta, 3)} (noise); lower bounds {least_b} and {least_eta}"


def _drift(result: xr.Dataset) -> str:
    a, told = result.a.values, []
    for e in sorted(result.epsilon.values)[:: max(1, result.sizes["epsilon"] - 1)]:
        at = vertex(a, result.drift_energy.sel(epsilon=e).values)[0]
        inside = 1.001 * a.min() < at < a.max() / 1.001
        place = f"at a = {at:.2g}" if inside else f"at the {'smallest' if at < a.mean() else 'largest'} a"
        told.append(f"{place} for ε = {float(e):.3g}")
    return f"The drift energy is minimal {', '.join(told)}"


def _latents(result: xr.Dataset) -> str:
    run = along_alone(result, "latent")
    energy = {kind: float(run.drift_energy.sel(latent=kind)) for kind in run.latent.values.tolist()}
    order = sorted((kind for kind in energy if np.isfinite(energy[kind])), key=lambda kind: energy[kind])
    if not order:
        return "No drift energy is finite"
    first, *rest = (f"{kind} ({energy[kind]:.4g})" for kind in order)
    return f"Minimum drift energy: {first}" + (f", then {rest[0]}" if rest else "")


def _map(result: xr.Dataset) -> str:
    before, after = result.map_before.values[:, 0], result.paths.values[-1, 0, :, 0]
    moved, spread = np.sqrt(((after - before) ** 2).mean()), before.std()
    if not np.isfinite(moved):
        return _ASTRAY
    if moved < 0.002 * spread:
        return "The map has not changed"
    return f"Ends have moved by {percent(moved / spread)} of their spread"


FINDS = {
    "motion": _motion, "samples": _samples, "moments": _moments, "accuracy": _accuracy, "images": _images,
    "smoothing": _smoothing, "gammas": _gammas, "schedules": _schedules, "kl": _kl, "training": _training, "drift": _drift,
    "latents": _latents, "map": _map,
}

"""Restore test images with FLAIR, with and without trajectory adjustment, and compare the samples with the posterior."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from lab import inverse
from lab.denoise.images import pool, pooling
from lab.inverse import ambiguous, metrics
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.numerics.statistics import student
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.inverse.imaging import Bed, bed, psnr, remembering, shared

ONE_STEP = "one step"
GRID = np.linspace(-2.4, 2.4, 41)
"""Both coordinates of the density in the plane."""

_PARTICLES = 300  # samples in the plane
_MOMENTS = 18  # frames of the plane
_CALIBRATING = 64  # held-out images beyond the test images
_UNKNOWN = "the posterior is known only for linear forward operators, or under the prior “optimal”"


def _step_mood(value: float, result: xr.Dataset) -> Mood:
    return "warn" if value > 2 else "good" if value <= 1 else ""


def _gain_mood(value: float, result: xr.Dataset) -> Mood:
    return "good" if value - float(result.dta_gain_half) > 0 else ""


class Experiment(Outputs):
    """Samples for all test images, one sample step by step, and the same method on a mixture in the plane."""

    psnr_one: Float[Array, ""] = out("PSNR of a sample", "mean over samples and test images", unit="dB", headline=True)
    psnr_average: Float[Array, ""] = out(
        "PSNR of the sample mean", "of the mean of all samples; mean over test images", unit="dB", headline=True
    )
    psnr_exact: Float[Array, ""] | None = out(
        "PSNR of E[x|y]",
        "of the exact posterior mean; mean over test images",
        unit="dB",
        headline=True,
        absent=_UNKNOWN,
    )
    spread: Float[Array, ""] = out(
        "sample deviation",
        "standard deviation over samples, mean over masked pixels, or over all pixels",
        headline=True,
    )
    spread_exact: Float[Array, ""] | None = out(
        "posterior deviation",
        "standard deviation of the posterior over the same pixels",
        headline=True,
        absent=_UNKNOWN,
    )
    spread_seen: Float[Array, ""] = out(
        "deviation of observed pixels", "standard deviation over samples at observed pixels of a mask; otherwise 0"
    )
    residual: Float[Array, ""] = out("misfit", "RMS of Ax - y divided by the noise; the truth has 1", headline=True)
    dta_gain: Float[Array, ""] = out(
        "gain by DTA",
        "PSNR with DTA less PSNR with new noise in each step; mean over test images",
        unit="dB",
        headline=True,
        half="dta_gain_half",
        judge=_gain_mood,
    )
    dta_gain_half: Float[Array, ""] = out(
        "± gain", "half width of the 95% interval of that mean (Student's t, over test images)", unit="dB"
    )
    psnr_fresh: Float[Array, ""] = out("PSNR without DTA", "of a sample, with new noise in each step", unit="dB")
    relaxation_most: Float[Array, ""] = out(
        "maximum of λ/t",
        "over the times visited: above 1 a step overshoots, above 2 it is unstable",
        headline=True,
        judge=_step_mood,
    )
    plane_distance: Float[Array, ""] = out("W₁ in the plane", "between samples with DTA and posterior, along x₁")
    plane_distance_fresh: Float[Array, ""] = out(
        "W₁ in the plane, no DTA", "between samples without DTA and posterior, along x₁"
    )
    psnr: Float[Array, "sample test"] = out("PSNR", "of each sample", unit="dB")
    data_residual: Float[Array, "sample test"] = out("misfit", "RMS of Ax - y divided by the noise, of each sample")
    psnr_start: Float[Array, " test"] = out("PSNR of the initial image", "of the pseudo-inverse or adjoint", unit="dB")
    e: Float[Array, " t"] = out("e(t)", "mean squared velocity error per pixel on held-out images")
    lambda_R: Float[Array, " t"] = out("λ(t)", "weight of the prior")
    time: Float[Array, " step"] = out("time t", "of each step")
    mu: Float[Array, "step channel y x"] = out("gray value", "estimate after each step, of the first sample")
    x_t: Float[Array, "step channel y x"] = out("gray value", "noised estimate, the input of the model")
    x0_hat: Float[Array, "step channel y x"] = out("gray value", "denoised image predicted by the model")
    x1_hat: Float[Array, "step channel y x"] = out("gray value", "noise endpoint predicted by the model")
    samples: Float[Array, "sample channel y x"] = out("gray value", "all samples for this image")
    average: Float[Array, "channel y x"] = out("gray value", "mean of the samples")
    std_map: Float[Array, "channel y x"] = out("standard deviation", "over samples")
    hidden: Float[Array, "channel y x"] = out(
        "masked", "1 where a mask hides a pixel; 1 everywhere for other operators"
    )
    clean: Float[Array, "channel y x"] = out("gray value", "true image")
    start: Float[Array, "channel y x"] = out("gray value", "pseudo-inverse or adjoint of the measurement")
    posterior_mean: Float[Array, "channel y x"] | None = out("gray value", "exact posterior mean", absent=_UNKNOWN)
    posterior_std: Float[Array, "channel y x"] | None = out(
        "standard deviation", "of the exact posterior", absent=_UNKNOWN
    )
    plane_path: Float[Array, "way moment particle axis"] = out("position", "x_t in the plane; the samples last")
    plane_mode: Int[Array, "way particle"] = out("mode", "of each sample in the plane")
    plane_share: Float[Array, "law mode"] = out("fraction", "of each mode")
    plane_density: Float[Array, "moment gy gx"] = out("density", "of exact posterior samples at the same noise level")


def restore(inputs: Mapping[str, Any], p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Draw samples for all test images with and without DTA, save one trajectory, and repeat in the plane.

    Args:
        inputs: training and test images, as ``Imaging.prepare`` returns them.
        p: parameters of the study.
        loop: runs the iterations.
        warm: not used.

    Returns:
        all results; the reason is the first failure among the runs.
    """
    made = bed(inputs, p, loop)
    table = _calibrated(inputs, p, made)
    how, steps = ("sgd", jnp.int32(1)) if p.hdc == ONE_STEP else (p.hdc, jnp.asarray(p.data_steps))
    method = inverse.Flair(
        table if p.crw else None, p.c, p.steps, p.t_min, p.dta, p.alpha_scale, how, steps, p.data_rate, p.shift
    )
    fresh = method._replace(adjust_scale=jnp.zeros(()))
    found, plain = (
        inverse.solve(made.problem, made.prior, each, key=made.key, seeds=p.answers, loop=loop)
        for each in (method, fresh)
    )
    image = jnp.asarray(p.example, jnp.int32)
    one = inverse.Problem(made.problem.operator, jnp.take(made.problem.y, image, axis=0), made.problem.noise)
    film = inverse.solve(one, made.prior, method, key=jax.random.fold_in(made.key, image), keep=True, loop=loop)
    plane = ambiguous.decide(method, p.noise, jax.random.fold_in(made.key, 1), _PARTICLES, loop)
    reason = first_failure(made.reason, found.reason, plain.reason, film.reason, plane.reason)
    images = shared(made, p.example)
    images.pop("psnr_posterior", None)
    outputs = Experiment(
        **images,
        **_numbers(made, method, table, found.x, plain.x, image),
        **_film(method, film.path, film.beside, jnp.asarray(film.iterations), made.shape),
        **_plane(method, plane._replace(reason=None), p.noise, jnp.asarray(GRID)),
    )
    return Run(outputs, reason, found.iterations)


def moments(steps: int) -> np.ndarray:
    """Return the steps that are shown of the plane; the last entry is the final sample."""
    return np.unique(np.round(np.linspace(0, steps, _MOMENTS)).astype(int))


def _calibrated(inputs: Mapping[str, Any], p: Any, made: Bed) -> inverse.Calibration:
    """Calibrate in closed form for the linear prior, otherwise on held-out images that are no test images."""
    known = (p.prior, p.train, p.pool, p.tests, p.seed, p.theta, p.radius, p.train_steps)

    def calibrate() -> inverse.Calibration:
        held = inputs["test"][p.tests : p.tests + _CALIBRATING]
        held = held if len(held) else inputs["test"]
        clean = pool(held, pooling(held.shape[2:], p.pool)).reshape(len(held), -1).astype(made.clean.dtype)
        return inverse.calibrated(made.prior, clean, jax.random.fold_in(made.key, 2))

    return remembering(inputs, p)(("calibration", known), calibrate, lambda _: made.reason == Reason.CONVERGED)


@jit
def _numbers(made: Bed, method: inverse.Flair, table: Any, found: Array, plain: Array, image: Array) -> dict[str, Any]:
    """Results of all samples, with (``found``) and without (``plain``) DTA: (images, samples, *inputs)."""
    operator, count = made.problem.operator, len(made.clean)
    x, other = (each.reshape(count, each.shape[1], -1) for each in (found, plain))
    hidden = ~operator.seen.ravel() if isinstance(operator, inverse.Mask) else jnp.ones(x.shape[2], bool)
    deviation, off = x.std(axis=1, ddof=1), made.problem.misfit(found)
    residual = jnp.sqrt(off / (operator.measurements * made.problem.noise**2)).T
    over = lambda each, where: (each * where[None]).sum(axis=1) / jnp.maximum(where.sum(), 1)  # noqa: E731
    quality, fresh = (psnr(each.swapaxes(0, 1), made.clean[None]) for each in (x, other))
    gain = quality.mean(axis=0) - fresh.mean(axis=0)
    shown = lambda rows: jnp.take(rows, image, axis=0).reshape(*rows.shape[1:-1], *made.shape)  # noqa: E731
    weight = table.weights(method.c, method.shift) if method.calibration is not None else method.c
    output = {
        "psnr": quality,
        "psnr_one": quality.mean(),
        "psnr_average": psnr(x.mean(axis=1), made.clean).mean(),
        "spread": over(deviation, hidden).mean(),
        "spread_seen": over(deviation, ~hidden).mean(),
        "data_residual": residual,
        "residual": residual.mean(),
        "dta_gain": gain.mean(),
        "dta_gain_half": float(student(count)) * metrics.mean(gain).error,
        "psnr_fresh": fresh.mean(),
        "relaxation_most": (method.weights() / method.times()).max(),
        "e": table.error,
        "lambda_R": jnp.broadcast_to(weight, table.t.shape),
        "time": method.times(),
        "samples": shown(x),
        "average": shown(x.mean(axis=1)),
        "std_map": shown(deviation),
        "hidden": hidden.reshape(made.shape).astype(float),
    }
    if made.known is not None:
        output["psnr_exact"] = psnr(made.known.mean, made.clean).mean()
        output["spread_exact"] = over(made.known.deviation, hidden).mean()
    return output


@jit
def _film(
    method: inverse.Flair, path: Any, beside: Any, iterations: Array, shape: tuple[int, int, int]
) -> dict[str, Any]:
    """One sample step by step; NaN after the run was stopped."""
    t, there = method.times().reshape(-1, 1, 1, 1), (jnp.arange(method.steps) < iterations).reshape(-1, 1, 1, 1)
    kept = (path, beside["x_t"], beside["x1_hat"])
    mu, x, x1 = (jnp.where(there, each.reshape(-1, *shape), jnp.nan) for each in kept)
    return {"mu": mu, "x_t": x, "x1_hat": x1, "x0_hat": (x - t * x1) / (1 - t)}


@jit
def _plane(method: inverse.Flair, found: ambiguous.Answers, noise: Any, grid: Any) -> dict[str, Any]:
    """Results in the plane, and the density on the square of this grid."""
    shown = moments(method.steps)
    times = jnp.append(method.times(), 0.0)[shown]
    return {
        "plane_path": found.path[:, shown],
        "plane_mode": found.mode,
        "plane_share": found.share,
        "plane_distance": found.distance[0],
        "plane_distance_fresh": found.distance[1],
        "plane_density": ambiguous.density(noise, times, grid, grid),
    }

"""The variables of the result, from what was computed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lab import inverse
from lab.denoise.images import pool, pooling
from lab.inverse import ambiguous, metrics
from lab.numerics import Reason
from lab.numerics.jit import jit
from lab.numerics.statistics import student
from lab.studies.inverse.imaging import Bed, psnr, remembering

_MOMENTS = 18
_CALIBRATING = 64  # held out images beyond the test images


def calibrated(inputs: Any, p: Any, made: Bed) -> inverse.Calibration:
    """Of the prior at hand: in closed form for the linear one, else on held out images that are not tested on."""
    known = (p.prior, p.train, p.pool, p.tests, p.seed, p.theta, p.radius, p.train_steps)

    def calibrate() -> inverse.Calibration:
        held = inputs["test"][p.tests : p.tests + _CALIBRATING]
        held = held if len(held) else inputs["test"]
        clean = pool(held, pooling(held.shape[2:], p.pool)).reshape(len(held), -1).astype(made.clean.dtype)
        return inverse.calibrated(made.prior, clean, jax.random.fold_in(made.key, 2))

    return remembering(inputs, p)(("calibration", known), calibrate, lambda _: made.reason == Reason.CONVERGED)


@jit
def numbers(made: Bed, method: inverse.Flair, table: Any, found: Array, plain: Array, image: Array) -> dict[str, Any]:
    """Of all answers, ``found`` by the method and ``plain`` without trajectory adjustment: (images, answers, *inputs)."""
    operator, count = made.problem.operator, len(made.clean)
    x, other = (each.reshape(count, each.shape[1], -1) for each in (found, plain))
    hidden = ~operator.seen.ravel() if isinstance(operator, inverse.Mask) else jnp.ones(x.shape[2], bool)
    deviation, off = x.std(axis=1, ddof=1), made.problem.misfit(found)
    residual = jnp.sqrt(off / (operator.measurements * made.problem.noise**2)).T
    over = lambda each, where: (each * where[None]).sum(axis=1) / jnp.maximum(where.sum(), 1)  # noqa: E731
    quality, fresh = (psnr(each.swapaxes(0, 1), made.clean[None]) for each in (x, other))
    gain = quality.mean(axis=0) - fresh.mean(axis=0)
    shown = lambda rows: jnp.take(rows, image, axis=0).reshape(*rows.shape[1:-1], *made.shape)  # noqa: E731
    weight = table.weights(method.c, method.shift) if method.calibration is not None else jnp.full(len(table.t), method.c)
    output = {
        "psnr": quality, "psnr_one": quality.mean(), "psnr_average": psnr(x.mean(axis=1), made.clean).mean(),
        "sample_std": over(deviation, hidden), "spread": over(deviation, hidden).mean(),
        "spread_seen": over(deviation, ~hidden).mean(), "data_residual": residual, "residual": residual.mean(),
        "dta_gain": gain.mean(), "dta_gain_half": float(student(count)) * metrics.mean(gain).error, "psnr_fresh": fresh.mean(),
        "relaxation_most": (method.weights() / method.times()).max(), "e": table.error, "lambda_R": weight,
        "relaxation": weight / jnp.maximum(table.t, 2e-3), "time": method.times(), "samples": shown(x),
        "average": shown(x.mean(axis=1)), "std_map": shown(deviation), "hidden": hidden.reshape(made.shape).astype(float),
    }
    if made.known is not None:
        output["psnr_exact"] = psnr(made.known.mean, made.clean).mean()
        output["spread_exact"] = over(made.known.deviation, hidden).mean()
    return output


@jit
def film(
    method: inverse.Flair, path: Any, beside: Any, iterations: Array, shape: tuple[int, int, int]
) -> dict[str, Any]:
    """One answer step by step; NaN after it was stopped."""
    t, there = method.times().reshape(-1, 1, 1, 1), (jnp.arange(method.steps) < iterations).reshape(-1, 1, 1, 1)
    kept = (path, beside["x_t"], beside["x1_hat"])
    mu, x, x1 = (jnp.where(there, each.reshape(-1, *shape), jnp.nan) for each in kept)
    return {"mu": mu, "x_t": x, "x1_hat": x1, "x0_hat": (x - t * x1) / (1 - t)}


def moments(steps: int) -> np.ndarray:
    """The steps that are shown of the plane, some of them and the answers last."""
    return np.unique(np.round(np.linspace(0, steps, _MOMENTS)).astype(int))


@jit
def plane(method: inverse.Flair, found: ambiguous.Answers, noise: Any, grid: Any) -> dict[str, Any]:
    """Of the answers in the plane, and the law beside them on this grid of both coordinates."""
    shown = moments(method.steps)
    times = jnp.append(method.times(), 0.0)[shown]
    return {
        "plane_path": found.path[:, shown], "plane_mode": found.mode, "plane_share": found.share,
        "plane_distance": found.distance[0], "plane_distance_fresh": found.distance[1],
        "plane_density": ambiguous.density(noise, times, grid, grid),
    }

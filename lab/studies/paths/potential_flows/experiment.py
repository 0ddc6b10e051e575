"""Carry points along exact potential flows of the plane, and train potentials on a generator."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from lab.datasets import Data
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.numerics.window import window
from lab.paths import autoencoder, laws, potential_learning
from lab.paths.potential_learning import TERMS, Settings
from lab.store import weights
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.paths import flow_comparison, traversals
from lab.studies.paths.flow_comparison import KINDS, Setting

GRID = 20  # points of each axis at which potentials are evaluated
AVERAGED = 200  # last training steps, whose mean is reported
BATCH = 64
CURVE = 400  # about the maximum number of values of a curve

_UNTRAINED = "no potentials were trained: set the training steps above 0"


def _recognized(value: float, result: xr.Dataset) -> Mood:
    return "good" if value >= 0.9 else "warn"


_NO_IMAGES = "no potentials were trained on images: set the training steps above 0, with data = digit-samples, say"
_RIPPLES = "ripples have no closed form: choose quadratic potentials"
_ENERGY = "T times the time integral of the mean squared velocity"
_trained = partial(out, absent=_UNTRAINED)
_final = partial(out, absent=_UNTRAINED, headline=True)


class Experiment(Outputs):
    """Energies and trajectories of the exact flows, and terms, images and scores of trained potentials."""

    w2sq: Float[Array, ""] = out("W₂²", "between endpoints of the Hamilton-Jacobi flow", headline=True)
    energy_wave: Float[Array, ""] = out("energy, wave", _ENERGY, headline=True)
    energy_heat: Float[Array, ""] = out("energy, heat", _ENERGY, headline=True)
    energy_hj: Float[Array, ""] = out("energy, Hamilton-Jacobi", _ENERGY, headline=True)
    ratio_wave: Float[Array, ""] = out("wave: energy / W₂²", "W₂² of its own endpoints; at least 1")
    ratio_heat: Float[Array, ""] = out("heat: energy / W₂²", "W₂² of its own endpoints; at least 1")
    ratio_hj: Float[Array, ""] = out("Hamilton-Jacobi: energy / W₂²", "1 until straight lines cross")
    shock: Float[Array, ""] = out(
        "first crossing", "time at which straight lines first cross", unit="time", undefined="the lines never cross"
    )
    met: Float[Array, ""] = out("points past a crossing", "fraction of points whose line has crossed its neighbors")
    gap: Float[Array, ""] | None = out(
        "error of RK4", "largest distance between a final point and its closed form", absent=_RIPPLES
    )
    ends_apart: Float[Array, ""] = out("difference of endpoints", "largest distance between those of three equations")
    total: Float[Array, " flow"] = out("kinetic energy", _ENERGY)
    w2: Float[Array, " flow"] = out("W₂²", "squared distance between initial and final points")
    ratio: Float[Array, " flow"] = out("energy / W₂²", "at least 1")
    energy: Float[Array, "flow t"] = out("E|∇u|²", "mean squared velocity over time")
    log_density: Float[Array, "flow t"] = out("change of log density", "mean along points: minus the integral of Δu")
    paths: Float[Array, "flow t particle axis"] = out("position", "of points that move along ∇u")
    height: Float[Array, "flow t gy gx"] = out("u", "potential on a grid of the plane")
    step_error: Float[Array, "solver count flow"] = out("error of the endpoint", "RMS, by solver and number of steps")
    accuracy: Float[Array, ""] | None = _final(
        "classification accuracy", "of the potential of a pair of outputs, at the end of training", judge=_recognized
    )
    vp_short: Float[Array, ""] | None = _final("VP score of one step", "accuracy of a new classifier")
    residual: Float[Array, ""] | None = _final("residual²", "of the equation, at the end of training")
    ic: Float[Array, ""] | None = _final("E|∇u(z, 0)|²", "squared initial velocity; the wave equation requires 0")
    jvp: Float[Array, ""] | None = _final("change of output J", "mean squared derivative along the velocity")
    displacement: Float[Array, ""] | None = _final("mean |z(T) - z(0)|", "over a full traversal")
    efficiency: Float[Array, ""] | None = _trained("energy / W₂²", "of the trained traversals, in unit steps")
    curve_loss: Float[Array, " train_step"] | None = _trained("loss", "of the potentials, on the batch of each step")
    curve_ce: Float[Array, " train_step"] | None = _trained("cross-entropy", "of the classifier")
    curve_accuracy: Float[Array, " train_step"] | None = _trained("accuracy", "on the batch of each step")
    curve_residual: Float[Array, " train_step"] | None = _trained("residual²", "of the equation")
    curve_ic: Float[Array, " train_step"] | None = _trained("E|∇u(z, 0)|²", "squared initial velocity")
    curve_jvp: Float[Array, " train_step"] | None = _trained("J", "change of the output")
    c: Float[Array, " k"] | None = _trained("c", "learned speed of the equation of each potential")
    energy_of: Float[Array, " k"] | None = _trained("kinetic energy", "of the traversal of each potential")
    w2_of: Float[Array, " k"] | None = _trained("W₂²", "between initial and final points of each traversal")
    path: Float[Array, "k start step entry"] | None = _trained("z", "latent points along each traversal")
    ways: Float[Array, "k step start axis"] | None = _trained("z", "the same, on the two axes of largest displacement")
    landscape: Float[Array, "kk step ly lx"] | None = _trained("u", "first potentials, on the plane of these two axes")
    vp: Float[Array, "way length"] | None = _trained("VP score", "accuracy of a classifier trained on 200 pairs")
    vp_error: Float[Array, "way length"] | None = _trained("standard error", "of the VP score")
    vp_length: Float[Array, " length"] | None = _trained("mean |Δz|", "common length of the compared traversals")
    images: Float[Array, "k image step row column"] | None = out(
        "intensity", "outputs of the generator along each traversal", absent=_NO_IMAGES
    )


class Inputs(NamedTuple):
    """Distributions of the plane, and rows on which a generator is trained."""

    source: Any  # distribution in the plane
    mean: Any
    covariance: Any
    goal: Any
    goal_covariance: Any
    grids: Any  # of quadratic potentials and of ripples, both axes (GRID,)
    rows: np.ndarray  # between 0 and 1, float32
    image: tuple[int, ...]  # height and width of gray images


def inputs_of(data: Data) -> Inputs:
    """Source and target in the plane; for data of more than two dimensions N(0, I) and the two principal coordinates."""
    arrays = {name: np.asarray(a, float) if a.dtype.kind == "f" else a for name, a in data.arrays.items()}
    x = arrays["x"]
    if x.shape[1] == 2:
        source, target = laws.source_of(arrays), laws.target_of(arrays)
        goal, covariance = (np.asarray(each) for each in _moments(target, x))
        mean, start = (np.asarray(each) for each in _moments(source, arrays.get("x0", x)))
        seen = x
    else:
        source, codes = laws.standard(2), principal_plane(x).project(x)
        seen = codes / (np.sqrt(codes.var(axis=0).mean()) or 1.0)
        mean, start, goal, covariance = np.zeros(2), np.eye(2), seen.mean(axis=0), np.cov(seen.T, bias=True)
    cloud = np.asarray(source.sample(jax.random.key(0), 2000))
    grids = [[np.linspace(*ends, GRID) for ends in window(*clouds)] for clouds in ((cloud, seen), (cloud,))]
    low, high = float(x.min()), float(x.max())
    shape = data.axes.get("image", ())
    image = tuple(int(side) for side in shape) if len(shape) == 2 and np.prod(shape) == x.shape[1] else ()
    rows = ((x - low) / ((high - low) or 1.0)).astype(np.float32)
    mean, start, goal, covariance = (placed(np.asarray(each, float)) for each in (mean, start, goal, covariance))
    placed_grids = tuple((placed(gx), placed(gy)) for gx, gy in grids)
    return Inputs(source, mean, start, goal, covariance, placed_grids, rows, image)


def _moments(law: Any, x: np.ndarray) -> tuple[Any, Any]:
    """Mean and covariance of a distribution if they are known, else of the points."""
    if isinstance(law, laws.Empirical):
        return x.mean(axis=0), np.cov(x.T, bias=True)
    known = law.moments()
    return known.mean, known.covariance


def run(inputs: Inputs, p: Any, loop: Loop, own: Any) -> Run[Experiment]:
    """Carry points along the exact flows; if training steps are set, train potentials and evaluate them."""
    key = jax.random.key(p.seed)
    gx, gy = inputs.grids[KINDS.index(p.potential)]
    start, sign = _drawn(inputs.source, key, p.particles), -1.0 if p.downhill else 1.0
    setting = Setting(start, *inputs[1:5], p.speed, p.amplitude, p.wavelength, p.time, sign)
    found, reason = flow_comparison.experiment(loop, p.potential, setting, key, gx, gy)
    if p.potential != "quadratic":
        del found["gap"]
    coords: dict[str, Any] = {}
    reasons = [reason]
    if p.train_steps and not (isinstance(reason, int) and reason == Reason.STOPPED):
        trained, coords, more = _learned(own, inputs, p, loop)
        found, reasons = found | trained, [*reasons, *more]
    return Run(Experiment(**found), first_failure(*reasons), coords=coords)


def _learned(own: Any, inputs: Inputs, p: Any, loop: Loop) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Results of a training by name, the window of the plane, and reasons; a trained generator is cached."""
    if own is not None:
        generator, reasons = own, []
    elif p.generator == "linear":
        generator, reasons = traversals.linear_generator(inputs.rows, p.latent), []
    else:
        made = autoencoder.train(inputs.rows, p.latent, p.decoder_steps, int(p.seed), loop=loop, keep=weights.kept)
        generator, reasons = made.model.decoder, [made.reason]
        if made.reason != Reason.CONVERGED:
            return {}, {}, reasons
    key = jax.random.key(p.seed)
    taught = potential_learning.train(
        loop,
        key,
        generator,
        p.latent,
        p.potentials,
        p.pde,
        Settings(weight_pde=p.weight, learning_rate=p.learning_rate),
        times=p.times,
        steps=p.train_steps,
        batch=BATCH,
        hidden=p.units,
        amp=p.bound,
        shared=p.shared,
    )
    found = {f"curve_{name}": _curve(taught.trace[name]) for name in TERMS if name != "displacement"}
    found |= {name: _last(taught.trace[name]) for name in TERMS[2:]}
    reasons.append(taught.reason)
    if not bool(jnp.isfinite(taught.trace["loss"][max(0, int(taught.iterations) - 1)])):
        return found, {}, reasons
    seen, reason = traversals.look(loop, key, taught.model, generator, p.times)
    pixels, limit = seen.pop("images"), seen.pop("landscape_at")
    if inputs.image:
        found["images"] = pixels.reshape(*pixels.shape[:3], *inputs.image)
    return found | {"ways": seen.pop("way")} | seen, {"plane": limit}, [*reasons, reason]


@jit
def _drawn(source: Any, key: Any, n: int) -> Any:
    return source.sample(key, n)


def binned(steps: int) -> int:
    """Number of training steps that each value of a curve averages."""
    return max(1, steps // CURVE)


@jit
def _curve(curve: Any) -> Any:
    """Means over equal numbers of steps; NaN for steps that were not taken."""
    width = binned(curve.shape[0])
    kept = curve[: curve.shape[0] // width * width].reshape(-1, width)
    return jnp.nanmean(kept.astype(jnp.float32), axis=1)


@jit
def _last(trace: Any) -> Any:
    """The mean over the last steps that were taken."""
    taken = jnp.isfinite(trace).sum()
    at = jnp.arange(trace.shape[0])
    return jnp.where((at < taken) & (at >= taken - AVERAGED), trace, 0).sum() / jnp.clip(taken, 1, AVERAGED)

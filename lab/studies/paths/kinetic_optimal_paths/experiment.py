"""Estimate the separation curve of the data, find the kinetic optimal schedule, and follow five schedules by Euler steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab import paths
from lab.numerics import Loop, Reason, Remembered, first_failure, pure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths import metrics, separation
from lab.paths.kinetic import KineticOptimal
from lab.paths.points import Look, View
from lab.studies.contract import Outputs, Run, out
from lab.studies.paths import schedule_family, separation_estimate
from lab.studies.paths.schedule_family import SCHEDULES

MOST = 64  # Euler steps
TIMES, MOMENTS, GRID = 201, 41, 32
_LATEST = 0.985  # time up to which the density is drawn: at t = 1 it has jumps
_UNTRAINED = "nothing was trained: set training steps above 0"
_CURVES = Remembered(bytes=1_000_000)  # a curve depends on the data, the seed and the number of draws only


class Inputs(NamedTuple):
    """Data of mean 0 and mean square 1, and their separation curve where it is exact."""

    target: Any  # the distribution
    curve: separation.Separation | None
    scale: Any  # by which the centered data were divided
    plane: Any  # (d, 2) principal axes; (1, 1) on the line
    shown: Any  # (k, 2) some points in this plane
    limit: Any  # half the side of the window
    sha: Any  # (32,) bytes, of the data


class Experiment(Outputs):
    """The curve of the data, five schedules, and particles that follow them."""

    phi_total: Float[Array, ""] = out(
        "angle Φ", "∫√γ dθ, the angle of the chord; straight lines are optimal at π/2", unit="rad", headline=True
    )
    least: Float[Array, ""] = out(
        "minimum energy E*", "2 - 2 cos Φ: energy of the kinetic optimal schedule, per dimension", headline=True
    )
    gain: Float[Array, ""] = out(
        "W₂² linear : optimal",
        "ratio of the squared distances to the data, linear over kinetic optimal schedule",
        headline=True,
        judge=lambda value, result: "good" if value > 1 else "",
    )
    w2sq_floor: Float[Array, ""] = out("floor of W₂²", "between two held-out samples of the data", headline=True)
    phi_error: Float[Array, ""] = out(
        "error of Φ", "standard error, as if the errors at all angles had the same sign", unit="rad"
    )
    deficit: Float[Array, ""] = out("∫(1 - λ) ds", "integral of the denoising error over the signal-to-noise ratio s")
    scale: Float[Array, ""] = out("scale", "number by which the centered data were divided")
    energy: Float[Array, " schedule"] = out(
        "energy E", "energy of the marginal velocity, per dimension; for VP up to t = 0.999"
    )
    energy_conditional: Float[Array, " schedule"] = out(
        "energy of pairs",
        "energy of single pairs, per dimension; for VP up to t = 0.999, for the optimal and the mixed schedule from "
        "t = 0.001",
    )
    w2sq: Float[Array, " schedule"] = out("W₂²", "squared distance of the particles from equally many held-out samples")
    gamma: Float[Array, " theta"] = out(
        "γ", "mean squared difference between the optimal and the linear denoiser, by angle"
    )
    gamma_error: Float[Array, " theta"] = out("error of γ", "standard error")
    lam: Float[Array, " theta"] = out(
        "λ", "data separation function: 1 minus the error of the optimal denoiser, per dimension"
    )
    a: Float[Array, "schedule t"] = out("a", "factor of the data")
    m: Float[Array, "schedule t"] = out("m", "factor of the noise")
    density: Float[Array, "schedule t"] = out("E|u|²/d", "energy of the marginal velocity at each time")
    density_conditional: Float[Array, "schedule t"] = out("energy of pairs", "a'² + m'² at each time")
    position: Float[Array, "schedule moment particle axis"] = out(
        "position",
        "particles; above two dimensions, on two principal axes of the data; on a line, with the initial position as first "
        "coordinate",
    )
    data_position: Float[Array, "point axis"] = out("data", "some points of the data, in the same plane")
    limit: Float[Array, ""] = out("half side", "half the side of the window around the data")
    marginal: Float[Array, "panel moment v u"] | None = out(
        "density",
        "exact density of the path, where the distribution is known in the plane",
        absent="the law is not known in the plane: choose a set with a density, such as checkerboard",
    )
    loss: Float[Array, "panel step"] | None = out(
        "loss", "training loss of the network of each schedule", absent=_UNTRAINED
    )
    loss_least: Float[Array, " panel"] | None = out(
        "minimum loss", "d (energy of pairs - energy): loss of the exact velocity", absent=_UNTRAINED
    )
    w2sq_network: Float[Array, " panel"] | None = out(
        "W₂² with network", "squared distance of particles that follow the trained network", absent=_UNTRAINED
    )


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Estimate the curve, compute schedules and energies, move particles, and train networks if requested."""
    curve, estimated = _curve(inputs, p.draws, p.seed, loop)
    weight = jnp.asarray(p.weight, curve.theta.dtype)
    optimal, cloud, learning = _drawn(curve, inputs.target, p.only("seed"), p.particles)

    def velocities(numbers: Any) -> schedule_family.ExactVelocities:
        return schedule_family.ExactVelocities(optimal, weight, placed(np.asarray(numbers)), inputs.target)

    moved = _moved(velocities(np.arange(len(SCHEDULES))), len(SCHEDULES), cloud, inputs, p.nfe, loop)
    found = _described(curve, weight) | _judged(moved.x, moved.end, cloud, inputs.plane)
    shown = velocities([0, 1, SCHEDULES.index(p.beside)])
    if inputs.target.dimension == 2 and not isinstance(inputs.target, paths.Empirical):
        found["marginal"] = _marginal(shown, inputs.limit)
    reasons = [estimated, moved.reason]
    if p.training_steps:
        learned = schedule_family.learn(learning, shown, p.training_steps, loop)
        ends = _moved(learned.velocities, 3, cloud, inputs, p.nfe, loop)
        found |= {"loss": learned.loss, "loss_least": learned.least}
        found["w2sq_network"] = _distances(ends.end, cloud.fresh)
        reasons += [learned.reason, ends.reason]
    data_position = _in_plane(inputs.shown, -inputs.limit)
    outputs = Experiment(**found, scale=inputs.scale, limit=inputs.limit, data_position=data_position)
    return Run(outputs, first_failure(*reasons))


class _Cloud(NamedTuple):
    """Initial particles, and two sets of equally many samples of the data."""

    start: Any  # (n, d)
    fresh: Any
    other: Any


def _curve(inputs: Inputs, draws: int | None, seed: Any, loop: Loop) -> tuple[separation.Separation, Any]:
    """The separation curve: exact where it is known, else cached or estimated."""
    if inputs.curve is not None:
        return inputs.curve, Reason.CONVERGED
    target = inputs.target
    pairs = separation_estimate.pairs_of(target) if draws is None else draws

    def estimate() -> separation_estimate.Estimated:
        key = jax.random.fold_in(jax.random.key(seed), 1)
        return separation_estimate.estimate(key, target, pairs, loop)

    if loop is pure:  # the seed may be traced
        return estimate()
    known = np.asarray(inputs.sha).tobytes(), str(inputs.plane.dtype), seed, pairs
    return _CURVES.get(known, estimate, worth=lambda found: found.reason == Reason.CONVERGED)


def _moved(velocities: Any, flows: int, cloud: _Cloud, inputs: Inputs, steps: Any, loop: Loop) -> paths.Carried:
    """Move the particles of these flows by Euler steps, and record them in the plane."""
    start = jnp.broadcast_to(cloud.start, (flows, *cloud.start.shape))
    look = Look(View(placed(np.zeros(start.shape[-1], start.dtype)), inputs.plane))
    moments = placed(np.linspace(0, 1, MOMENTS))
    return paths.carry(
        loop, velocities, start, paths.even(steps, MOST), solver="euler", steps=steps, keep=look, frames=moments
    )


def _in_plane(seen: Any, start: Any) -> Any:
    """Positions in the plane: on a line, the initial position becomes the first coordinate."""
    return seen if seen.shape[-1] == 2 else jnp.concatenate([jnp.broadcast_to(start, seen.shape), seen], axis=-1)


@jit
def _drawn(curve: separation.Separation, target: Any, p: Any, n: int) -> tuple[KineticOptimal, _Cloud, Any]:
    """The optimal schedule, all random points, and a key for the training."""
    noise, fresh, other, learning = jax.random.split(jax.random.fold_in(jax.random.key(p.seed), 2), 4)
    dtype = jax.tree.leaves(target)[0].dtype
    start = random.normal(noise, (n, target.dimension), dtype)
    return KineticOptimal(curve), _Cloud(start, target.sample(fresh, n), target.sample(other, n)), learning


@jit
def _described(curve: separation.Separation, weight: Any) -> dict[str, Any]:
    """The curve, the schedules, and their energies."""
    found = schedule_family.energies(curve, weight, jnp.linspace(0, 1, TIMES, dtype=curve.theta.dtype))
    return {
        "a": found.beta,
        "m": found.alpha,
        "density": found.density,
        "density_conditional": found.density_conditional,
        "energy": found.energy,
        "energy_conditional": found.energy_conditional,
        "phi_total": curve.total,
        "phi_error": curve.total_error,
        "least": curve.least,
        "deficit": curve.deficit,
        "gamma": curve.gamma,
        "gamma_error": curve.error,
        "lam": curve.lam,
    }


@jit
def _judged(seen: Any, ends: Any, cloud: _Cloud, plane: Any) -> dict[str, Any]:
    """Recorded particles, and the distance of their endpoints from the data."""
    distance = _distances(ends, cloud.fresh)
    return {
        "position": _in_plane(seen.swapaxes(0, 1), (cloud.start @ plane)[None, None]).astype(jnp.float32),
        "w2sq": distance,
        "w2sq_floor": metrics.squared_wasserstein(cloud.other, cloud.fresh),
        "gain": distance[1] / distance[0],
    }


def _distances(x: Any, fresh: Any) -> Any:
    return jax.vmap(lambda x: metrics.squared_wasserstein(x, fresh))(x)


@jit
def _marginal(velocities: schedule_family.ExactVelocities, limit: Any) -> Any:
    """The exact density of the path on a grid, at the recorded times."""
    dtype = velocities.optimal.curve.knots.dtype
    side = jnp.linspace(-1, 1, GRID, dtype=dtype) * limit
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    times = jnp.clip(jnp.linspace(0, 1, MOMENTS, dtype=dtype), None, _LATEST)
    found = schedule_family.densities(velocities, times, grid)
    return found.reshape(*found.shape[:2], GRID, GRID).astype(jnp.float32)

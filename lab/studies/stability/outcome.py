"""What a comparison of SGD and gradient descent came to: its records, and what can be held where each of them ended.

In all that is found the first axis, ``way``, is over the methods that were trained.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.stability import closed
from lab.stability.gradients import Sizes, call, gram, sizes
from lab.stability.initial import DIAGONAL, TWO_LAYER
from lab.stability.lanczos import ritz, tridiagonal
from lab.stability.moments import batch_sizes, in_modes, modes, share_of_noise
from lab.stability.thresholds import Bounds, bounds, critical, growth
from lab.studies.stability.trajectories import Comparison, Planned, State, last, noise_of, weights

ALL = 64
"""n k up to which thresholds are found for all batch sizes."""
ONE = 320
"""n k up to which they are found for the batch size that was asked for."""

_STEPS = 28  # of Lanczos: LAPACK's eigenvalues of 30 rows and more wait for its threads
_CELL = 14  # of Lanczos for a cell of the diagram, which is a picture
_ETAS = 24  # columns of the diagram
_UNITS = 400
_GRAM = 2000  # outputs of which the Gram matrix is made at the end


class Records(NamedTuple):
    """What was recorded on the way, by the names of ``lab.stability.training``."""

    trace: dict[str, Float[Array, "way record"]]  # at the first learning rate
    final: dict[str, Float[Array, "way rate"]]  # at the end, at all of them
    interpolated: Float[Array, "way rate"]  # 1 where the last loss is below a thousandth of that of f = 0


def records(problem: Comparison, state: State) -> Records:
    """Of all methods and learning rates."""
    y = problem.data.y
    ends = [last(problem, run) for run in state.runs]
    names = problem.sweeping.groups[0].track
    trace = {name: jnp.stack([run.trace[name][0, 0] for run in state.runs]) for name in names}
    final = {name: jnp.stack([end[name] for end in ends]) for name in names}
    nothing = (y**2).sum() / len(y) / 2  # the loss of f = 0
    return Records(trace, final, (final["loss"] <= 1e-3 * nothing).astype(nothing.dtype))


class Here(NamedTuple):
    """Of the batches that were drawn, at the learning rate that was asked for."""

    eta_star: Float[Array, " way"]  # largest stable learning rate
    rho: Float[Array, " way"]  # growth of the mean square distance in a step
    stable: Float[Array, " way"]  # 1 where the learning rate is at most eta_star


class ByBatch(NamedTuple):
    """Largest stable learning rates by batch size, with and without replacement, and their bounds."""

    eta_star: Float[Array, "way drawn batch"]
    bounds: Bounds  # (way, drawn, batch)


class Diagram(NamedTuple):
    """rho where the first method ended, of batches as they were drawn."""

    etas: Float[Array, " column"]
    rho: Float[Array, "batch column"]


class Held(NamedTuple):
    """What can be held where each method ended; NaN where its gradients are not finite."""

    sizes: Sizes  # (way,), of all samples, or as many as make 2000 outputs
    here: Here | None  # None above ``ONE`` outputs
    by_batch: ByBatch | None  # None above ``ALL`` outputs, and with momentum
    diagram: Diagram | None  # the same


def held(problem: Comparison, state: State) -> Held:
    """Thresholds at the ends, at the first learning rate. Time O(n^3 k^3), and for each threshold tens of n^2 k^2 r."""
    experiment = problem.experiment
    samples = problem.data.x[: max(1, _GRAM // experiment.outputs)]
    ends = jnp.stack([weights(run) for run in state.runs])

    def finite_gram(vector: Array) -> tuple[Array, Array]:
        k = gram(call, problem.rebuild(vector), samples)
        finite = jnp.isfinite(k).all()
        return jnp.where(finite, k, 0), finite

    k, finite = jax.lax.map(finite_gram, ends)

    def known(values: Array) -> Array:
        return jnp.where(finite.reshape(-1, *(1,) * (values.ndim - 1)), values, jnp.nan)

    measured = jax.tree.map(known, jax.vmap(lambda one: sizes(one, experiment.outputs))(k))
    if experiment.n * experiment.outputs > ONE:
        return Held(measured, None, None, None)
    own = jnp.asarray([noise_of(experiment, way) for way in experiment.ways])
    eta, momentum = problem.learning_rate, problem.momentum

    def threshold(pair):
        one, c = pair
        basis = modes(one, experiment.outputs)
        star = critical(basis, c, momentum, steps=_STEPS, tolerance=1e-5).value
        return star, growth(basis, eta, c, momentum, steps=_STEPS, tolerance=1e-4).value

    star, rho = map(known, jax.lax.map(threshold, (k, own)))
    here = Here(star, rho, jnp.where(jnp.isfinite(star), (eta <= star).astype(rho.dtype), jnp.nan))
    if experiment.n * experiment.outputs > ALL or momentum is not None:
        return Held(measured, here, None, None)
    c = jnp.asarray(
        [[share_of_noise(experiment.n, size, drawn) for size in batch_sizes(experiment.n)] for drawn in (True, False)]
    )

    def curve(one):
        found = critical(modes(one, experiment.outputs), c, steps=_STEPS, tolerance=1e-5).value
        return ByBatch(found, bounds(sizes(one, experiment.outputs), c, experiment.outputs))

    curves = jax.lax.map(curve, k)
    diagram = _diagram(experiment, k[0], finite[0], curves.eta_star[0], c)
    return Held(measured, here, jax.tree.map(known, curves), diagram)


def _diagram(
    experiment: Planned,
    k: Float[Array, "nk nk"],
    finite: ArrayLike,
    star: Float[Array, "drawn batch"],
    c: Float[Array, "drawn batch"],
) -> Diagram:
    """rho over learning rates, about those that are critical, and batch sizes."""
    drawn = 0 if experiment.sampling == "replacement" else 1
    known = jnp.where(jnp.isfinite(star[drawn]), star[drawn], 1.0)
    etas = jnp.exp(jnp.linspace(jnp.log(known.min() / 4), jnp.log(2.5 * known.max()), _ETAS))
    basis = modes(k, experiment.outputs)
    grid = jnp.meshgrid(etas, c[drawn], indexing="xy")
    start = jnp.diag((basis.values > 0).astype(k.dtype)).ravel()
    r = basis.values.size

    def cell(pair):
        def product(v):
            return in_modes(basis, v.reshape(r, r), pair[0], pair[1]).ravel()

        found = ritz(tridiagonal(product, start, _CELL))
        return jnp.where(found.valid, found.values, -jnp.inf).max()

    rho = jax.lax.map(cell, (grid[0].ravel(), grid[1].ravel())).reshape(grid[0].shape)
    return Diagram(etas, jnp.where(finite, rho, jnp.nan))


class Balance(NamedTuple):
    """How far the layers are balanced, at the frames; see ``closed.imbalance``."""

    pair: Float[Array, "way frame unit side"]  # a² and b², or d a² and |w|², of at most 400 units
    imbalance: Float[Array, "way frame"]  # sum |first - second| / sum (first + second)


def balance(problem: Comparison, kept: Float[Array, "way frame size"]) -> Balance | None:
    """Of a diagonal network or one with a hidden layer; None of other models."""
    if problem.experiment.model not in (DIAGONAL, TWO_LAYER):
        return None
    rebuild = problem.rebuild
    pairs = jax.vmap(jax.vmap(lambda vector: jnp.stack(closed.imbalance(rebuild(vector)), axis=1)))(kept)
    pairs = pairs[:, :, :_UNITS]
    first, second = pairs[..., 0], pairs[..., 1]
    return Balance(pairs, jnp.abs(first - second).sum(axis=2) / (first + second).sum(axis=2))


def frames(problem: Comparison, state: State) -> Float[Array, "way frame size"]:
    """The weights that were kept; where training ended before a frame, those of its end."""
    experiment = problem.experiment
    record = state.runs[0].step[0, 0] // experiment.every
    reached = jnp.arange(experiment.frames + 1) * experiment.stride <= record
    ends = jnp.stack([weights(run) for run in state.runs])
    return jnp.where(reached[None, :, None], state.kept, ends[:, None])

"""What trained potentials do: ways, images, heights, energies, what a classifier makes of them, and straight baselines."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import Loop, first_failure, map_rows, random
from lab.numerics.jit import jit
from lab.numerics.principal import fixed_sign
from lab.paths import metrics, predictability
from lab.paths.carry import carry
from lab.paths.potential_learning import Model, Outputs, Ways, one
from lab.studies.paths.flow_comparison import GRAIN, SHADES, steady

WAYS = ("potentials", "mean directions", "random directions")
PAIRS = 2000  # of the VP score
STARTS = 200
SHOWN = 3  # starts whose images are shown
DRAWN = 24  # starts whose ways are drawn
GRID = 20
LANDSCAPES = 6  # potentials whose heights are drawn


class Linear(eqx.Module):
    """A generator that is affine, of the principal axes of data: it needs no training."""

    centre: Float[Array, " n"]
    axes: Float[Array, "n d"]  # scaled, so that N(0, I) has the covariance of the data on them

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        return self.centre + self.axes @ z


def linear_generator(x: Float[np.ndarray, "rows n"], d: int) -> Linear:
    """Of the first d principal axes, on the host.

    Raises:
        ValueError: more axes than the data vary along.
    """
    from lab.numerics.principal import principal_axes

    centre = x.mean(axis=0)
    axes = principal_axes(x, min(d, *x.shape))
    spread = np.sqrt(((x - centre) @ axes).var(axis=0))
    there = int((spread > 1e-9 * max(float(np.abs(x).max()), 1e-30)).sum())
    if there < d:
        raise ValueError(f"latent = {d}, but these data vary along {there} axes: ask for at most as many")
    return Linear(jnp.asarray(centre, x.dtype), jnp.asarray(axes * spread[None, :], x.dtype))


class Plane(NamedTuple):
    """Where ways are looked at: the two axes along which points move most, and a window."""

    axes: Float[Array, "d 2"]
    limit: Float[Array, ""]


def look(
    loop: Loop, key: PRNGKeyArray, model: Model, decoder: Any, times: int, pairs: int = PAIRS
) -> tuple[dict[str, Any], Any]:
    """Follow all potentials from the same starts, and from others of each for the VP score.

    Args:
        times: T', unit steps of the traversal.
        pairs: in all, of the VP score of each length.

    Returns:
        variables by name, and the reason.
    """
    count, d = model.c.shape[0], model.landscape.point.weight.shape[-1]
    keys = jax.random.split(key, 3)
    start = _starts(keys[0], count, d, pairs // count, model.c.dtype)
    grid = np.arange(times + 1, dtype=model.c.dtype)
    run = carry(loop, Ways(model.landscape), start, grid, solver="euler")
    output, clouds, questions, labels = _seen(model, decoder, run.x, keys[1])
    w2, compared = map_rows(loop, metrics.cloud_distance, clouds)
    told = predictability.score(loop, keys[2], questions, labels, count)
    reason = first_failure(run.reason, compared, told.reason)
    return output | _judged(output["energy_of"], w2, told.accuracy, told.error, times), reason


@jit
def _starts(key: PRNGKeyArray, count: int, d: int, own: int, dtype: Any) -> Float[Array, "k n d"]:
    """STARTS that all potentials share, then some of each one's own."""
    first, second = jax.random.split(key)
    shared = jnp.broadcast_to(random.normal(first, (STARTS, d), dtype), (count, STARTS, d))
    return jnp.concatenate([shared, random.normal(second, (count, own, d), dtype)], axis=1)


@jit
def _seen(
    model: Model, decoder: Any, way: Float[Array, "times k n d"], key: PRNGKeyArray
) -> tuple[dict[str, Any], Array, Array, Array]:
    """Traversals on their plane, images, heights and energies; clouds to compare; pairs to classify, and their labels."""
    count, d = way.shape[1], way.shape[3]
    shared, own = way[:, :, :STARTS], way[:, :, STARTS:]
    moved = shared[-1] - shared[0]
    plane = _plane(shared)
    drawn = jnp.moveaxis(shared[:, :, :DRAWN] @ plane.axes, 0, 1)
    output = {
        "path": jnp.moveaxis(shared[:, :, :DRAWN], 0, 2),
        "way": steady(drawn, GRAIN * jnp.abs(drawn).max()),
        "images": _decoded(decoder, jnp.moveaxis(shared[:, :, :SHOWN], 0, 2)).astype(jnp.float32),
        "landscape": _heights(model, plane, way.shape[0]),
        "landscape_at": plane.limit,
        "energy_of": (way.shape[0] - 1) * (jnp.diff(shared, axis=0) ** 2).sum(axis=3).mean(axis=2).sum(axis=0),
        "c": model.c,
    }
    unit = moved.mean(axis=1)
    unit /= jnp.maximum(jnp.sqrt((unit**2).sum(axis=1, keepdims=True)), 1e-12)
    drawn = random.normal(key, (max(count, d), d), way.dtype)
    by_chance = (jnp.linalg.qr(drawn[:d].T)[0].T if count <= d else drawn)[:count]
    by_chance /= jnp.sqrt((by_chance**2).sum(axis=1, keepdims=True))
    length = jnp.sqrt(((own[1:] - own[:1]) ** 2).sum(axis=3)).mean(axis=(1, 2))
    straight = [own[0][None] + length[:, None, None, None] * lines[None, :, None] for lines in (unit, by_chance)]
    sets = jnp.stack([own[1:], *straight])  # ways, lengths, k, rows, d
    before = _decoded(decoder, own[0])
    after = _decoded(decoder, sets)
    pairs = jnp.concatenate([jnp.broadcast_to(before[None, None], after.shape), after], axis=-1)
    order = jax.random.permutation(key, count * own.shape[2])
    questions = pairs.reshape(-1, count * own.shape[2], pairs.shape[-1])[:, order]
    labels = jnp.repeat(jnp.arange(count), own.shape[2])[order]
    output["vp_length"] = length
    return output, jnp.stack([shared[0], shared[-1]], axis=1), questions, labels


def _plane(shared: Array) -> Plane:
    d = shared.shape[3]
    if d <= 2:
        return Plane(jnp.eye(d, 2, dtype=shared.dtype), 1.1 * jnp.abs(shared).max())
    moved = (shared[1:] - shared[:1]).reshape(-1, d)
    axes = fixed_sign(jnp.linalg.eigh(moved.T @ moved)[1][:, ::-1][:, :2])
    return Plane(axes, 1.1 * jnp.quantile(jnp.abs(shared @ axes), 0.999))


def _decoded(decoder: Any, z: Float[Array, "*any d"]) -> Float[Array, "*any n"]:
    flat = jax.vmap(Outputs(decoder))(z.reshape(-1, z.shape[-1]))
    return flat.reshape(*z.shape[:-1], -1)


def _heights(model: Model, plane: Plane, times: int) -> Float[Array, "k times grid grid"]:
    """The potentials over the plane through 0, at each whole time."""
    side = plane.limit * jnp.linspace(-1, 1, GRID, dtype=plane.axes.dtype)
    points = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2) @ plane.axes.T
    few = one(model.landscape, jnp.arange(min(LANDSCAPES, model.c.shape[0])))
    at = jnp.arange(times).astype(side.dtype)
    seen = jax.vmap(lambda u: jax.vmap(lambda t: jax.vmap(lambda z: u(z, t))(points))(at))(few)
    made = seen.reshape(*seen.shape[:2], GRID, GRID)
    return steady(made, jnp.maximum(jnp.abs(made).max(), 1e-6) / SHADES)


@jit
def _judged(energy: Array, w2: Array, accuracy: Array, error: Array, times: int) -> dict[str, Array]:
    score = accuracy.reshape(len(WAYS), times)
    return {
        "vp": score,
        "vp_error": error.reshape(len(WAYS), times),
        "vp_short": score[0, 0],
        "w2_of": w2,
        "efficiency": energy.mean() / w2.mean(),
    }

r"""Two streams of LSTMs: one predicts positions with their uncertainty, one the rows of eigenvectors of the traffic graph.

Each is an encoder over what was seen and a decoder that is fed with its own output. The first gives five numbers for each
step, a Gaussian in the plane,

$$ \mathrm{nll} = \log\left(2 \pi \sigma_1 \sigma_2 \sqrt{1 - \rho^2}\right) + \frac{z}{2 (1 - \rho^2)}, \qquad
   z = \frac{d_1^2}{\sigma_1^2} + \frac{d_2^2}{\sigma_2^2} - \frac{2 \rho\, d_1 d_2}{\sigma_1 \sigma_2} , $$

and what it learns is $\mathrm{mean}_i \sum_t [\mathrm{nll}_{it} + b_1 |\mu_{it} - c_i(t)|]$, where c is the mean true
position of the agents that the second stream puts into one cluster with i. The pull is in metres and c a constant. A point
forecast is mu. The second stream sees one agent at a time, its rows of the eigenvectors of the largest and of the smallest
eigenvalues, and learns by their squared error; so it fits any number of agents. Nothing is differentiated through an
eigenvector.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.numerics import random
from lab.numerics.arguments import ANY, arrays, real
from lab.numerics.iterate import Loop
from lab.numerics.lessons import Learned, Learning, learn
from lab.traffic import clusters
from lab.traffic.windows import Windows, outward

UNIT = 10.0
"""Metres that are 1 to the networks."""


class Gaussian(NamedTuple):
    """Gaussians in the plane."""

    mean: Float[Array, "*s 2"]
    sigma: Float[Array, "*s 2"]
    rho: Float[Array, "*s"]


def gaussian(mean: Float[Array, "*s 2"], raw: Float[Array, "*s 3"]) -> Gaussian:
    r"""Of a mean, and of $\log \sigma$, kept within ±5, and $\mathrm{artanh}\, \rho$, kept within ±0.99."""
    return Gaussian(mean, jnp.exp(jnp.clip(raw[..., :2], -5, 5)), 0.99 * jnp.tanh(raw[..., 2]))


def _check(told: Gaussian) -> None:
    real("sigma", told.sigma, low=0, strict=True)
    real("rho", told.rho, low=-1, high=1, strict=True)


@arrays(truth=ANY)
def nll(told: Gaussian, truth: Float[Array, "*s 2"]) -> Float[Array, "*s"]:
    """The negative log-likelihood of a point; the formula is above.

    Raises:
        ValueError: a sigma that is not positive, a rho outside (-1, 1), or points of another shape.
    """
    _check(told)
    if truth.shape != told.mean.shape:
        raise ValueError(f"truth has shape {truth.shape}, but the means have shape {told.mean.shape}")
    d = (truth - told.mean) / told.sigma
    free = 1 - told.rho**2
    z = (d**2).sum(axis=-1) - 2 * told.rho * d[..., 0] * d[..., 1]
    return jnp.log(2 * np.pi * told.sigma.prod(axis=-1) * jnp.sqrt(free)) + z / (2 * free)


def covariance(told: Gaussian) -> Float[Array, "*s 2 2"]:
    """Its covariance matrix.

    Raises:
        ValueError: a sigma that is not positive, or a rho outside (-1, 1).
    """
    _check(told)
    across = told.rho * told.sigma.prod(axis=-1)
    rows = [jnp.stack([told.sigma[..., 0] ** 2, across], -1), jnp.stack([across, told.sigma[..., 1] ** 2], -1)]
    return jnp.stack(rows, axis=-2)


_CHANGE = 0.1
"""Of the unit, what one number of the head changes a speed by in a step."""


class Stream(eqx.Module):
    """Encoder and decoder: from (o, d) seen to (steps, d) predicted, with ``more`` numbers beside each.

    With ``moves`` what the decoder gives changes the speed, so that before it has learned anything it says constant velocity;
    without, it changes the last output itself, and at first nothing changes. Beside what was seen the encoder is told how far
    that was from constant velocity, or from the last value: differences that would be lost in the whole.
    """

    encoder: eqx.nn.LSTMCell
    decoder: eqx.nn.LSTMCell
    head: eqx.nn.Linear
    moves: bool = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, size: int, more: int, units: int, moves: bool):
        keys = jax.random.split(key, 3)
        self.encoder = eqx.nn.LSTMCell(2 * size, units, dtype=jnp.float32, key=keys[0])
        self.decoder = eqx.nn.LSTMCell(2 * size, units, dtype=jnp.float32, key=keys[1])
        head = eqx.nn.Linear(units, size + more, dtype=jnp.float32, key=keys[2])
        self.head = jax.tree.map(jnp.zeros_like, head)
        self.moves = moves

    def __call__(self, past: Float[Array, "o d"], steps: int) -> Float[Array, "{steps} e"]:
        past = past.astype(jnp.float32)
        seen, size = past.shape
        speed = past[-1] - past[-2] if self.moves else jnp.zeros_like(past[-1])
        back = jnp.arange(1 - seen, 1, dtype=jnp.float32)[:, None]
        away = (past - past[-1:] - back * speed[None, :]) / _CHANGE
        zero = jnp.zeros(self.decoder.hidden_size, jnp.float32)
        given = jnp.concatenate([past, away], axis=1)
        state, _ = jax.lax.scan(lambda state, x: (self.encoder(x, state), None), (zero, zero), given)

        def decode(carry: tuple, _: None) -> tuple[tuple, Array]:
            state, at, speed, change = carry
            state = self.decoder(jnp.concatenate([at, change]), state)
            told = self.head(state[0])
            change = told[:size]
            now = speed + _CHANGE * change
            at = at + now
            return (state, at, now if self.moves else speed, change), jnp.concatenate([at, told[size:]])

        start = (state, past[-1], speed, jnp.zeros_like(speed))
        return jax.lax.scan(decode, start, None, length=steps)[1]


class Streams(eqx.Module):
    """The stream of positions by itself, the same with the pull of clusters, and the stream of spectra."""

    plain: Stream
    pulled: Stream
    spectral: Stream


def streams(key: PRNGKeyArray, k: int, units: int = 64) -> Streams:
    """Untrained ones.

    Args:
        key: of their first weights; both streams of positions begin alike.
        k: eigenvectors at each end of the spectrum.
        units: of each LSTM.
    """
    first, second = jax.random.split(key)
    plain = Stream(first, 2, 3, units, True)
    return Streams(plain, plain, Stream(second, 2 * k, 0, units, False))


def positions(stream: Stream, past: Float[Array, "*s o 2"], steps: int) -> Gaussian:
    """What a stream predicts, in metres, in the frame of the past."""
    flat = past.reshape(-1, *past.shape[-2:]) / UNIT
    told = jax.vmap(lambda each: stream(each, steps))(flat).reshape(*past.shape[:-2], steps, 5)
    found = gaussian(told[..., :2], told[..., 2:])
    return Gaussian(UNIT * found.mean, UNIT * found.sigma, found.rho)


def rows(stream: Stream, past: Float[Array, "*s o d"], steps: int) -> Float[Array, "*s {steps} d"]:
    """The rows of eigenvectors that a stream predicts."""
    flat = past.reshape(-1, *past.shape[-2:])
    return jax.vmap(lambda each: stream(each, steps))(flat).reshape(*past.shape[:-2], steps, past.shape[-1])


class Scenes(eqx.Module):
    """Windows to learn from, with the rows of eigenvectors: the k largest first, then the k smallest."""

    windows: Windows
    past_rows: Float[Array, "s n o d"]
    future_rows: Float[Array, "s n p d"]


def pull(told: Gaussian, future_rows: Float[Array, "s n p d"], scenes: Windows) -> Float[Array, "s n p"]:
    r"""$|\mu_{it} - c_i(t)|$ in metres, c the mean true position of i's cluster in the predicted embedding.

    Args:
        told: in metres, in the frame of each agent.
        future_rows: predicted; the second half of them is the embedding, in as many clusters as it has columns.
    """
    k = future_rows.shape[-1] // 2
    embedded = jax.lax.stop_gradient(jnp.swapaxes(future_rows[..., k:], 1, 2))  # (s, p, n, k)
    truth = jnp.swapaxes(outward(scenes.future, scenes.origin, scenes.heading), 1, 2)

    def centres(points: Array, at: Array, there: Array) -> Array:
        return clusters.centres(at, clusters.kmeans(points, k, there).labels, k, there)

    of_scene = jax.vmap(centres, in_axes=(0, 0, None))
    c = jnp.swapaxes(jax.vmap(of_scene)(embedded, truth.astype(embedded.dtype), scenes.there), 1, 2)
    away = outward(told.mean, scenes.origin, scenes.heading) - jax.lax.stop_gradient(c)
    return jnp.sqrt((away**2).sum(axis=-1) + 1e-12)  # its slope is finite where nothing is away


def _mean(values: Array, there: Array) -> Array:
    """Over the agents that count, of sums over steps."""
    return jnp.where(there, values.sum(axis=-1), 0.0).sum() / jnp.maximum(there.sum(), 1)


def trajectory_loss(
    stream: Stream, future_rows: Float[Array, "s n p d"] | None, scenes: Windows, b1: ArrayLike = 0.0
) -> Float[Array, ""]:
    """The loss of a stream of positions. A likelihood is in units of ``UNIT``.

    Args:
        future_rows: what the other stream predicts; None for one stream alone, which is what b1 = 0 gives too.
        b1: per metre.
    """
    told = positions(stream, scenes.past, scenes.future.shape[-2])
    small = Gaussian(told.mean / UNIT, told.sigma / UNIT, told.rho)
    alone = nll(small, (scenes.future / UNIT).astype(small.mean.dtype))
    whole = alone if future_rows is None else alone + (b1 * pull(told, future_rows, scenes)).astype(alone.dtype)
    return _mean(whole, scenes.there)


def spectral_loss(
    told: Float[Array, "s n p d"], truth: Float[Array, "s n p d"], there: Bool[Array, "s n"]
) -> Float[Array, ""]:
    """The mean squared error of predicted rows."""
    return _mean(((told - truth) ** 2).mean(axis=-1), there) / told.shape[2]


class Training(eqx.Module):
    """All three learn at once, each from its own loss."""

    scenes: Scenes
    b1: Float[Array, ""]
    batch: int = eqx.field(static=True)

    def loss(self, model: Streams, key: PRNGKeyArray) -> Float[Array, ""]:
        """Of some scenes, drawn anew."""
        drawn = random.randint(key, (self.batch,), 0, len(self.scenes.past_rows))
        scenes = jax.tree.map(lambda each: each[drawn], self.scenes)
        steps = scenes.future_rows.shape[2]
        told = rows(model.spectral, scenes.past_rows, steps)
        fixed = jax.lax.stop_gradient(told)
        pulled = trajectory_loss(model.pulled, fixed, scenes.windows, self.b1)
        plain = trajectory_loss(model.plain, None, scenes.windows)
        return plain + pulled + spectral_loss(told, scenes.future_rows, scenes.windows.there)


def train(
    loop: Loop,
    model: Streams,
    scenes: Scenes,
    key: PRNGKeyArray,
    *,
    b1: ArrayLike = 0.1,
    steps: int = 1000,
    batch: int = 16,
    learning_rate: ArrayLike = 3e-3,
    state: Learning | None = None,
) -> Learned:
    """Learn by Adam, on batches of whole scenes, at a rate that falls to 0.

    Args:
        loop: ``pure``, or a ``Chunked`` that reports and can be stopped.
        scenes: to learn from.
        b1: how strongly a predicted position is pulled to its cluster, per metre.
        state: where to go on.
    """
    lean: Any = jax.tree.map(lambda a: a.astype(jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a, scenes)
    problem = Training(lean, jnp.asarray(b1, jnp.float32), batch)
    return learn(loop, problem, model, key, steps=steps, learning_rate=learning_rate, average=0.99, state=state)

"""Several roads looked at: their graphs by a loop, windows of all of them, forecasts with their ellipses, what a rule says."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics.iterate import Loop
from lab.numerics.mapping import map_rows
from lab.traffic import behaviour, clusters, forecasting, metrics, spectra, streams, windows
from lab.traffic.graphs import Memory, Neighbours, adjacency, cumulative, degree, laplacian

MODELS = ("constant velocity", "ridge", "one stream", "two streams")
_TEST = 4  # one road of so many tests


@chosen
class Rule(eqx.Module):
    """How a graph is made. Lengths are traced."""

    radius: Float[Array, ""]
    scale: Float[Array, ""]
    nearest: int = eqx.field(static=True)
    neighbours: Neighbours = eqx.field(static=True)
    memory: Memory = eqx.field(static=True)
    window: int = eqx.field(static=True)  # frames over which an edge stays, in a cumulative graph

    def weights(self, positions: Float[Array, "*t n 2"], mask: Bool[Array, "*t n"]) -> Float[Array, "*t n n"]:
        """Of each frame by itself."""
        return adjacency(
            positions, mask, radius=self.radius, scale=self.scale, nearest=self.nearest, neighbours=self.neighbours
        )

    def along(self, positions: Float[Array, "t n 2"], mask: Bool[Array, "t n"]) -> Float[Array, "t n n"]:
        """Of frames in order, with what stays."""
        found = self.weights(positions, mask)
        return found if self.memory == "instant" else cumulative(found, mask, window=self.window)


@chosen
def rule(
    radius: ArrayLike = 10.0,
    scale: ArrayLike = 1.0,
    *,
    nearest: int = 4,
    neighbours: Neighbours = "radius",
    memory: Memory = "instant",
    window: int = 6,
) -> Rule:
    """A rule by which graphs are made: see ``graphs.adjacency`` and ``graphs.cumulative``."""
    return Rule(jnp.asarray(radius, float), jnp.asarray(scale, float), nearest, neighbours, memory, window)


class Graphs(NamedTuple):
    """What is kept of the graphs of all roads."""

    theta: Float[Array, "*r t n"]
    values: Float[Array, "*r t n"]  # eigenvalues
    rows: Float[Array, "*r t n d"]  # aligned eigenvectors: of the k largest eigenvalues, then of the k smallest
    top: Float[Array, "*r t k"]  # the k largest eigenvalues


class _Look(eqx.Module):
    """The work on one road."""

    rule: Rule
    k: int = eqx.field(static=True)

    def __call__(self, road: tuple[Array, Array]) -> Graphs:
        positions, mask = road
        weights = self.rule.along(positions, mask)
        found = spectra.spectrum(laplacian(weights), mask)
        most = spectra.largest(found, self.k)
        both = most.vectors, spectra.embedding(spectra.spectrum(spectra.tilted(laplacian(weights)), mask), self.k, mask)
        rows = jnp.concatenate([spectra.align(each) for each in both], axis=-1)
        return Graphs(degree(weights), found.values, rows, most.values)


def graphs(
    loop: Loop, positions: Float[Array, "r t n 2"], mask: Bool[Array, "r t n"], how: Rule, k: int
) -> tuple[Graphs, Int[Array, ""] | int]:
    """The graphs of all roads, road by road; NaN of those that a stop left out, and the reason."""
    return map_rows(loop, _Look(how, k), (positions, mask))


class Split(NamedTuple):
    """Which windows are learned from and which test, (roads, windows)."""

    train: np.ndarray
    test: np.ndarray


def split(roads: int, frames: int, first: np.ndarray, length: int) -> Split:
    """The last quarter of the roads tests; of one road its last third, and no window reaches into both.

    Raises:
        ValueError: a single road that is too short for that.
    """
    if roads > 1:
        tests = np.arange(roads) >= roads - max(1, roads // _TEST)
        test = np.repeat(tests[:, None], len(first), axis=1)
        return Split(~test, test)
    cut = 2 * frames // 3
    found = Split((first + length <= cut)[None], (first >= cut)[None])
    if not found.train.any() or not found.test.any():
        raise ValueError(
            f"{frames} frames of one road are too few to learn from windows of {length} and to test on others: bring "
            f"{3 * length + 3}, or shorten the window"
        )
    return found


def scenes(
    positions: Float[Array, "r t n 2"],
    mask: Bool[Array, "r t n"],
    rows: Float[Array, "r t n d"],
    first: np.ndarray,
    observed: int,
    predicted: int,
    turn: bool,
) -> streams.Scenes:
    """The windows of all roads, (roads x windows) of them in order."""
    cut = jax.vmap(lambda x, there: windows.cut(x, there, first, observed, predicted, turn))(positions, mask)
    at = np.minimum(first[:, None] + np.arange(observed + predicted), positions.shape[1] - 1)
    whole = jnp.swapaxes(rows[:, at], 2, 3)
    flat = lambda a: a.reshape(-1, *a.shape[2:])  # noqa: E731
    return streams.Scenes(jax.tree.map(flat, cut), flat(whole[:, :, :, :observed]), flat(whole[:, :, :, observed:]))


class Forecast(NamedTuple):
    """Where agents will be: means and covariances on the road, in metres."""

    mean: Float[Array, "s n p 2"]
    covariance: Float[Array, "s n p 2 2"]


class Forecaster(NamedTuple):
    """A forecast of one kind, fitted: of a past in the frame of its agent."""

    linear: forecasting.Ridge | None
    missed: Float[Array, "p 2 2"] | None
    stream: streams.Stream | None


@chosen
def fitted(
    model: Literal["constant velocity", "ridge", "one stream", "two streams"] | str,
    past: streams.Scenes,
    weight: Bool[Array, "s n"],
    penalty: ArrayLike,
    learned: streams.Streams | None = None,
) -> Forecaster:
    """A forecaster by its name, from the windows that count; streams were trained before.

    Raises:
        ValueError: streams are asked for and none were trained.
    """
    if model in MODELS[2:]:
        if learned is None:
            raise ValueError(f"model = {model!r} is not allowed without training: train the streams, or choose 'ridge'")
        return Forecaster(None, None, learned.plain if model == MODELS[2] else learned.pulled)
    seen = past.windows
    linear = forecasting.ridge(seen.past, seen.future, weight, penalty) if model == MODELS[1] else None
    told = _mean(Forecaster(linear, None, None), seen.past, seen.future.shape[-2])
    return Forecaster(linear, forecasting.missed(told, seen.future, weight), None)


def _mean(model: Forecaster, past: Array, steps: int) -> Array:
    return forecasting.constant_velocity(past, steps) if model.linear is None else model.linear(past)


def forecast(model: Forecaster, seen: windows.Windows) -> Forecast:
    """What it says of all windows, on the road."""
    steps = seen.future.shape[-2]
    if model.stream is not None:
        told = streams.positions(model.stream, seen.past, steps)
        mean, covariance = told.mean.astype(seen.past.dtype), streams.covariance(told).astype(seen.past.dtype)
    else:
        assert model.missed is not None
        mean = _mean(model, seen.past, steps)
        covariance = jnp.broadcast_to(model.missed, (*seen.past.shape[:2], *model.missed.shape))
    heading = seen.heading
    return Forecast(windows.outward(mean, seen.origin, heading), forecasting.turned(covariance, heading))


class Errors(NamedTuple):
    """How far forecasts are off, in metres."""

    ade: Float[Array, ""]
    fde: Float[Array, ""]
    rmse: Float[Array, " p"]


def errors(told: Forecast, seen: windows.Windows, counts: Bool[Array, "s n"]) -> Errors:
    """In metres, over the windows that count."""
    truth = windows.outward(seen.future, seen.origin, seen.heading)
    apart = metrics.distances(told.mean, truth)
    return Errors(metrics.ade(apart, counts), metrics.fde(apart, counts), metrics.rmse(apart, counts))


def ellipses(covariance: Float[Array, "*s 2 2"]) -> Float[Array, "*s 3"]:
    """Standard deviations along both axes of the road, and the correlation."""
    across = jnp.sqrt(jnp.stack([covariance[..., 0, 0], covariance[..., 1, 1]], axis=-1))
    return jnp.concatenate([across, (covariance[..., 0, 1] / across.prod(axis=-1))[..., None]], axis=-1)


def rates(
    theta: Float[Array, "r t n"], first: np.ndarray, observed: int, predicted: int, dt: ArrayLike
) -> Float[Array, "s n"]:
    """Of the future of each window, from where it was seen last; all roads in order."""
    last = first + observed - 1
    both = jnp.stack([theta[:, last], theta[:, last + predicted]])
    return behaviour.rate(both.reshape(2, -1, theta.shape[-1]), predicted * dt)


def foretold_rates(how: Rule, told: Forecast, seen: windows.Windows, dt: ArrayLike) -> Float[Array, "s n"]:
    """The rate from the graph of where all were seen last to that of where they are predicted at the end."""
    both = jnp.stack([seen.origin, told.mean[:, :, -1]])
    theta = degree(how.weights(both, jnp.broadcast_to(seen.seen, both.shape[:-1])))
    return behaviour.rate(theta, told.mean.shape[2] * dt)


def spectral_rates(
    future_rows: Float[Array, "s n p d"], past_rows: Float[Array, "s n o d"], top: Float[Array, "s k"], dt: ArrayLike
) -> Float[Array, "s n"]:
    """The rate by predicted rows of the eigenvectors of the largest eigenvalues, which stay as they were seen last.

    Args:
        top: the k largest eigenvalues where the past ends.
    """
    k = top.shape[-1]
    theta = [
        (rows[..., :k] ** 2 * top[:, None, :]).sum(axis=-1) for rows in (past_rows[:, :, -1], future_rows[:, :, -1])
    ]
    return behaviour.rate(jnp.stack(theta), future_rows.shape[2] * dt)


def clustered(rows: Float[Array, "t n d"], mask: Bool[Array, "t n"]) -> Int[Array, "t n"]:
    """Clusters in the spectral embedding, the second half of the rows, of each frame."""
    k = rows.shape[-1] // 2
    return jax.vmap(lambda points, there: clusters.kmeans(points, k, there).labels)(rows[..., k:], mask)


def correlation(a: Float[Array, "*s"], b: Float[Array, "*s"], there: Bool[Array, "*s"]) -> Float[Array, ""]:
    """Pearson's, over who counts; NaN where one of both does not vary."""
    weight = there.astype(a.dtype)
    centred = [
        jnp.where(there, each - (weight * jnp.where(there, each, 0.0)).sum() / weight.sum(), 0.0) for each in (a, b)
    ]
    spread = jnp.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return (centred[0] * centred[1]).sum() / jnp.where(spread > 0, spread, jnp.nan)

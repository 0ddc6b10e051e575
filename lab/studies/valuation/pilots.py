r"""Train on mixtures at two pilot sizes, fit their scores, and measure the errors of the fits.

Mixtures of a grid are trained at both sizes. Each model is fitted to all of them; to those with little of the second source,
and judged on the others (extrapolation); to a random part, and judged on the rest (interpolation); and to ever more of them.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics import Loop, pure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_axes
from lab.valuation import distance, draws, fits, logistic

FEATURES = 16  # principal axes that distances are measured along
PILOTS, VALIDATION = 100, 150  # of each source, and of the validation set: the most that distances see
COUNTS = (12, 16, 24, 32, 44, 56)  # of mixtures, along which fits get better
REPEATS = 4  # random choices of so many
SPLITS = ("extrapolation", "interpolation")
MODELS = (*fits.MODELS, "rational")
_EDGE, _SHARE = 0.5, 0.6  # where the held-out mixtures begin, and the part of mixtures that interpolation learns from

type Measure = Literal["accuracy", "log-loss"] | str


class Sources(NamedTuple):
    """Labelled points of several sources, and those of the data set that a model is to do well on."""

    x: Float[Array, "n d"]
    labels: Int[Array, " n"]
    source: Int[Array, " n"]
    kept: Bool[Array, " n"]  # one point of each class, whose label stays right
    features: Float[Array, "n e"]
    pilots: Int[Array, " m"]  # the points that distances see
    y: Float[Array, "v e"]  # features of the validation set
    y_labels: Int[Array, " v"]
    x_test: Float[Array, "t d"]
    test_labels: Int[Array, " t"]


def sources(x: Any, labels: Any, source: Any, seed: int = 0) -> Sources:
    """Points in an order of their own, with features on principal axes; on the host.

    Args:
        x: (n, d); labels: (n,) 0, 1, ...
        source: (n,) which source each point is of, 0, 1, ...; -1 marks those of the data set that a model is to do well on.
            Of these a third, at most 150, is what distances are measured to, and the rest is the test.
        seed: of the order.

    Raises:
        ValueError: as ``distance.check``, or no points of that data set.
    """
    x, labels, source = np.asarray(x, float), np.asarray(labels), np.asarray(source)
    order = np.random.default_rng(seed).permutation(len(x))
    x, labels, source = x[order], labels[order].astype(np.int32), source[order].astype(np.int32)
    ours, goal = np.flatnonzero(source >= 0), np.flatnonzero(source < 0)
    if goal.size < 2:
        raise ValueError(f"{goal.size} points have the source -1, but some are needed to compare with and to test on")
    seen = goal[: min(VALIDATION, goal.size // 3 + (goal.size < 3))]
    test = goal[seen.size :]
    count = int(source.max()) + 1
    distance.check(x[ours], labels[ours], source[ours], x[goal], labels[goal], count)
    axes = principal_axes(x[ours], FEATURES)
    features = (x - x[ours].mean(axis=0)) @ axes
    pilots = np.sort(np.concatenate([np.flatnonzero(source[ours] == i)[:PILOTS] for i in range(count)]))
    if missing := sorted({*labels[seen].tolist()} - {*labels[ours][pilots].tolist()}):
        raise ValueError(f"class {missing[0]} is so rare that no point of it is among the first {PILOTS} of any source")
    kept = np.zeros(ours.size, bool)
    kept[pilots[np.unique(labels[ours][pilots], return_index=True)[1]]] = True
    arrays = (
        x[ours],
        labels[ours],
        source[ours],
        kept,
        features[ours],
        pilots,
        features[seen],
        labels[seen],
        x[test],
        labels[test],
    )
    return Sources(*map(placed, arrays))


class Scores(NamedTuple):
    """Of mixtures, trained several times."""

    accuracy: Float[Array, "reps k"]  # %
    loss: Float[Array, "reps k"]  # nats
    iterations: Any
    reason: Any


def measure(
    key: Array,
    data: Sources,
    labels: Int[Array, " n"],
    p: Float[Array, "k sources"],
    sizes: Float[Array, " k"],
    *,
    classes: int,
    reps: int,
    most: int,
    penalty: ArrayLike = 0.1,
    steps: int = logistic.STEPS,
    loop: Loop = pure,
) -> Scores:
    """Train on draws of each mixture of each size, ``reps`` times, and test.

    Args:
        labels: what the sources say.
        most: at least the largest size.
    """
    weights = _drawn(key, p, data.source, sizes, reps, most)
    trained = logistic.train(weights, data.x, labels, classes, penalty, steps=steps, loop=loop)
    return Scores(*_judged(trained.theta, data.x_test, data.test_labels, reps), trained.iterations, trained.reason)


@jit
def _drawn(key: Array, p: Array, source: Array, sizes: Array, reps: int, most: int) -> Array:
    return draws.counts(key, jnp.tile(p, (reps, 1)), source, jnp.tile(sizes, reps), most)


@jit
def _judged(theta: Array, x: Array, labels: Array, reps: int) -> tuple[Array, Array]:
    accuracy, loss = logistic.judge(theta, x, labels)
    return accuracy.reshape(reps, -1), loss.reshape(reps, -1)


@chosen
def scored(scores: Scores, measure: Measure) -> Float[Array, " k"]:
    """What is fitted: the median accuracy over the repetitions, or the logarithm of the median loss."""
    if measure == "accuracy":
        return jnp.median(scores.accuracy, axis=0)
    return jnp.log(jnp.median(scores.loss, axis=0))


class Fitted(NamedTuple):
    """All models at both sizes, and how far they are off; the models are those of ``MODELS``."""

    whole: fits.Fit  # of all mixtures, (models of least squares, sizes)
    pred: Float[Array, "splits models sizes k"]  # of fits to the mixtures that are not tested
    mae: Float[Array, "splits models sizes"]  # of the tested ones
    r2: Float[Array, "splits models sizes"]
    condition: Float[Array, "splits models sizes"]  # NaN of the rational one
    curve: Float[Array, "models counts"]  # mean absolute error by the number of mixtures, at the second size


def splits(key: Array, p: Float[Array, "k sources"], counts: tuple[int, ...] = COUNTS) -> Float[Array, "parts k"]:
    """Which are fitted, 1 or 0: all; those of p_2 < 1/2; a random part; then ``REPEATS`` random choices of each count."""
    k = len(p)
    rank = jnp.argsort(jnp.argsort(random.uniform(key, (1 + REPEATS, k)), axis=1), axis=1)
    few = [rank[1:] < min(count, k - 2) for count in counts]
    parts = [jnp.ones((1, k), bool), (p[:, 1] < _EDGE - 1e-9)[None], rank[:1] < round(_SHARE * k), *few]
    return jnp.concatenate(parts).astype(p.dtype)


@jit
def fit_all(
    key: Array,
    p: Float[Array, "k sources"],
    ot: Float[Array, " k"],
    y: Float[Array, "2 k"],
    sizes: Float[Array, "2"],
    ridge: ArrayLike,
    logs: bool = False,
) -> Fitted:
    """Fit all models to all parts of the mixtures.

    Args:
        y: scores at both sizes, as ``scored``.
        sizes: N0 and N1.
        logs: y are logarithms of losses, and so are predictions and their errors.
    """
    parts = splits(key, p)
    z = jnp.stack([fits.padded(p, ot, model) for model in fits.MODELS])
    real = jnp.asarray([fits.count(model, p.shape[1]) - 1 for model in fits.MODELS])
    one = lambda z, real, y, w: fits.least_squares(z, y, real, ridge, w)  # noqa: E731
    by_size = jax.vmap(one, (None, None, 0, None))
    all_fits = jax.vmap(jax.vmap(by_size, (0, 0, None, None)), (None, None, None, 0))(z, real, y, parts)
    linear = all_fits.intercept[..., None] + jnp.einsum("mkc,amsc->amsk", z, all_fits.slopes)
    raw = jnp.exp(y) if logs else 100 - y
    rational = jax.vmap(lambda w: fits.fit_rational(p, sizes, raw, w))(parts)
    told = jax.vmap(lambda model: jax.vmap(lambda size: fits.predict_rational(model, p, size))(sizes))(rational)
    told = jnp.log(told) if logs else 100 - jnp.minimum(told, 100.0)
    pred = jnp.concatenate([linear, told[:, None]], axis=1)

    def judged(pred: Array, fitted: Array) -> fits.Errors:
        rest = 1 - fitted
        rest = jnp.where(rest.sum() > 0, rest, 1.0)
        return jax.vmap(jax.vmap(lambda pred, y: fits.errors(pred, y, rest)), (0, None))(pred, y)

    found = jax.vmap(judged)(pred, parts)
    curve = found.mae[3:, :, 1].reshape(-1, REPEATS, pred.shape[1]).mean(axis=1).T
    none = jnp.full((2, 1, 2), jnp.nan, pred.dtype)
    condition = jnp.concatenate([all_fits.condition[1:3], none], axis=1)
    whole = jax.tree.map(lambda each: each[0], all_fits)
    return Fitted(whole, pred[1:3], found.mae[1:3], found.r2[1:3], condition, curve)

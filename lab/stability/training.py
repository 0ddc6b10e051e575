r"""Gradient descent and SGD on square loss, as one scanned program, with what stability is about recorded on the way.

$$ L(\theta) = \frac1{2n} \sum_i |f(\theta; x_i) - y_i|^2, \qquad v \leftarrow \beta v - \eta \nabla L_S(\theta), \quad
   \theta \leftarrow \theta + v $$

A step of the loop is a scan of ``every`` steps of training, after which these are recorded:

| name | |
|---|---|
| loss | L on the training set, half the mean squared error |
| tr, fro, lmax | trace, Frobenius norm and top eigenvalue of the Gauss-Newton matrix G, from the Gram matrix |
| mu | alignment of the noise with G |
| norm | what the trace controls: the model's own ``norm()``, l1 or path norm |
| test_error | mean squared error on the test set |
| batch_sharpness | $g_S^T H_S g_S / |g_S|^2$, mean over a few batches as the steps draw them |
| sharpness | $\lambda_{\max}$ of the Hessian itself, by Lanczos; only when asked for |

The batch of a step is a function of the key and the step: a run that was stopped goes on bit for bit, and all learning rates
of a sweep see the same batches. Learning rate, batch size, momentum and key are traced; the trace is in the state.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, arguments, pure, random
from lab.stability.gradients import Predict, Tree, alignment, call, gram, join, part, residuals, samples
from lab.stability.lanczos import as_tree, ritz, tridiagonal
from lab.stability.models import Data

type Optimizer = optax.GradientTransformation | optax.GradientTransformationExtraArgs
type Sampling = Literal["replacement", "without", "reshuffle", "full"] | str
TRACKED = ("loss", "tr", "fro", "lmax", "mu", "norm", "test_error", "batch_sharpness")
_SHARP = 4  # batches of which the sharpness is averaged
_LANCZOS = 24


class Settings(NamedTuple):
    """Everything that may be swept; traced, but for what is None."""

    learning_rate: ArrayLike = 0.01
    batch_size: ArrayLike = 1
    momentum: ArrayLike | None = None
    clip: ArrayLike | None = None  # largest norm of a gradient; it hides an instability
    interpolation: ArrayLike = 1e-3  # loss below which a run counts as interpolating


class Work(eqx.Module):
    """A training, as the loop sees it. Its arrays have axes in front where many run at once."""

    key: Any
    free: Tree
    fixed: Tree
    rest: tuple = eqx.field(static=True)
    predict: Any
    data: Any  # Data
    settings: Any  # Settings
    steps: int = eqx.field(static=True)
    every: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    sampling: str = eqx.field(static=True)
    track: tuple[str, ...] = eqx.field(static=True)
    measured: int = eqx.field(static=True)
    optimizer: Any = eqx.field(static=True, default=None)  # of optax

    @property
    def n(self) -> int:
        return self.data.x.shape[0]


class State(NamedTuple):
    """Whence a training goes on."""

    free: Tree
    velocity: Tree  # or the state of an optimizer
    step: Int[Array, ""]
    trace: dict[str, Float[Array, " records"]]  # NaN where not yet recorded


class Training(NamedTuple):
    """A training that came to its end, was stopped, or diverged. Records are at steps 0, every, 2 every, ..."""

    params: Tree
    trace: dict[str, Float[Array, "*runs records"]]
    steps: Int[Array, " records"]
    diverged: Bool[Array, "*runs"]  # the loss became infinite or NaN
    interpolated: Bool[Array, "*runs"]  # the last loss is below settings.interpolation: only then thresholds bind
    measured: int  # samples that G was measured on
    iterations: Int[Array, ""] | int
    reason: Int[Array, ""] | int
    state: Any


# --- batches ---


def batches(work: Work, first: Int[Array, ""], count: int, stream: int = 0) -> tuple[Array, Array]:
    """Indices (count, batch) of ``count`` steps from ``first`` on, and which of them count.

    Without replacement by Floyd's algorithm, O(batch^2) and no sorting. An epoch of "reshuffle" ends with a smaller batch where
    the batch size does not divide n.
    """
    n, width, key = work.n, work.batch, jax.random.fold_in(work.key, stream)
    size, slots = jnp.asarray(work.settings.batch_size, jnp.int32), jnp.arange(work.batch, dtype=jnp.int32)
    steps = first + jnp.arange(count, dtype=jnp.int32)
    live = jnp.broadcast_to(slots[None, :] < size, (count, width))
    if work.sampling == "reshuffle":
        length = (n + size - 1) // size
        epoch, place = steps // length, steps % length
        shortest = -(-n // width)
        drawn = jax.vmap(lambda e: jax.random.permutation(jax.random.fold_in(key, e), n))(
            epoch[0] + jnp.arange(count // shortest + 2)
        )
        at = place[:, None] * size + slots[None, :]
        chosen = drawn[(epoch - epoch[0])[:, None], jnp.minimum(at, n - 1)]
        return chosen.astype(jnp.int32), live & (at < n)
    keys = jax.vmap(partial(jax.random.fold_in, key))(steps)
    if work.sampling == "replacement":
        return jax.vmap(lambda k: random.randint(k, (width,), 0, n))(keys).astype(jnp.int32), live
    top = jnp.clip(
        n - size + slots, 0, n - 1
    )  # Floyd: the i-th draw is among the first n - B + i + 1, or is the last of them
    drawn = jax.vmap(lambda k: random.randint(k, (width,), 0, top + 1))(keys).astype(jnp.int32)

    def put(i, chosen):
        taken = (chosen == drawn[:, i][:, None]).any(axis=1)
        return chosen.at[:, i].set(jnp.where(taken, top[i], drawn[:, i]))

    return jax.lax.fori_loop(0, width, put, jnp.full((count, width), -1, jnp.int32)), live


def _dense(work: Work) -> bool:
    """Whether a batch is taken as weights on all samples: one matrix product, shared by all learning rates of a sweep."""
    return work.sampling == "full" or 3 * work.batch >= work.n


def _rows(work: Work, chosen: Array | None, live: Array | None) -> tuple[Array, Array, Array]:
    """Samples of a batch, x and y, and their weights, which sum to 1."""
    x, y = work.data.x, work.data.y
    if chosen is None or live is None:
        return x, y, jnp.full(work.n, 1 / work.n, x.dtype)
    share = live.astype(x.dtype) / live.sum().astype(x.dtype)
    if _dense(work):
        return x, y, jnp.zeros(work.n, x.dtype).at[chosen].add(share)
    # XLA would fuse the gather with what comes before and after, and look its index up again for every number
    chosen = jax.lax.optimization_barrier(chosen)
    return *jax.lax.optimization_barrier((x[chosen], y[chosen])), share


def _batch_loss(work: Work, free: Tree, x: Array, y: Array, weights: Array) -> Float[Array, ""]:
    """Half the weighted mean squared error."""
    params = join(free, work.fixed, work.rest)
    if weights.size == 1:  # one sample: no axis of length 1 stands in the way of fusion
        return ((work.predict(params, x[0]) - y[0]) ** 2).sum() / 2
    error = jax.vmap(lambda a, b: ((work.predict(params, a) - b) ** 2).sum())(x, y)
    return jnp.vdot(weights, error) / 2


# --- what is recorded ---


def _record(work: Work, free: Tree, step: Array) -> dict[str, Array]:
    params, data, asked = join(free, work.fixed, work.rest), work.data, set(work.track)
    found: dict[str, Array] = {}
    error = residuals(work.predict, params, data.x, data.y)
    found["loss"] = (error**2).sum() / work.n / 2
    if asked & {"tr", "fro", "lmax", "mu"}:
        n, outputs = work.measured, error.shape[1]
        k = gram(work.predict, params, data.x[:n])
        found["tr"], found["fro"] = jnp.trace(k) / n, jnp.linalg.norm(k) / n
        if "lmax" in asked:
            start = random.normal(jax.random.key(0), (n * outputs,), k.dtype)
            found["lmax"] = _top(lambda v: k @ v, start) / n
        if "mu" in asked:
            found["mu"] = alignment(k, error[:n])
    if "norm" in asked:
        found["norm"] = params.norm()
    if "test_error" in asked:
        found["test_error"] = (residuals(work.predict, params, data.x_test, data.y_test) ** 2).sum(axis=1).mean()  # type: ignore[arg-type]
    if "batch_sharpness" in asked:
        found["batch_sharpness"] = _batch_sharpness(work, free, step)
    if "sharpness" in asked:
        vector, unravel = ravel_pytree(free)
        slope = jax.grad(lambda v: _batch_loss(work, unravel(v), *_rows(work, None, None)))
        start = random.normal(jax.random.key(0), vector.shape, vector.dtype)
        found["sharpness"] = _top(lambda v: jax.jvp(slope, (vector,), (v,))[1], start)
    return {name: found[name].astype(error.dtype) for name in work.track}


def _top(product: Callable[[Array], Array], start: Array) -> Array:
    found = ritz(tridiagonal(product, start, min(_LANCZOS, start.size)))
    return jnp.where(found.valid, found.values, -jnp.inf).max()


def _batch_sharpness(work: Work, free: Tree, step: Array) -> Array:
    """Batches without a gradient say nothing and are left out."""
    vector, unravel = ravel_pytree(free)

    def one(pair):
        rows = _rows(work, *pair)
        slope = jax.grad(lambda v: _batch_loss(work, unravel(v), *rows))
        g = slope(vector)
        square = jnp.vdot(g, g)
        tiny = jnp.finfo(g.dtype).tiny
        unit = g / jnp.sqrt(jnp.maximum(square, tiny))
        return jnp.vdot(unit, jax.jvp(slope, (vector,), (unit,))[1]), square > tiny

    if work.sampling == "full":
        value, real = one((None, None))
        return jnp.where(real, value, jnp.nan)
    values, real = jax.lax.map(one, batches(work, step, _SHARP, stream=1))
    return jnp.where(real, values, 0).sum() / jnp.where(real.any(), real.sum(), jnp.nan)


# --- the loop ---


def _init(work: Work) -> State:
    start = _record(work, work.free, jnp.int32(0))
    empty = {name: jnp.full(work.steps // work.every + 1, jnp.nan, value.dtype) for name, value in start.items()}
    trace = {name: empty[name].at[0].set(value) for name, value in start.items()}
    velocity: Tree = None
    if work.optimizer is not None:
        velocity = work.optimizer.init(work.free)
    elif work.settings.momentum is not None:
        velocity = jax.tree.map(jnp.zeros_like, work.free)
    return State(work.free, velocity, jnp.int32(0), trace)


def _step(work: Work, state: State) -> State:
    settings = work.settings

    def move(carry, drawn):
        free, velocity = carry
        rows = _rows(work, *drawn)
        slope = jax.grad(lambda free: _batch_loss(work, free, *rows))(free)
        rate = settings.learning_rate
        if settings.clip is not None:
            norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(slope)))
            share = jnp.minimum(1, settings.clip / jnp.maximum(norm, 1e-30))
            slope = jax.tree.map(lambda g: (share * g).astype(g.dtype), slope)
        if work.optimizer is not None:
            slope, velocity = work.optimizer.update(slope, velocity, free)
        if settings.momentum is None:
            return (jax.tree.map(lambda t, g: t - (rate * g).astype(t.dtype), free, slope), velocity), None
        beta = settings.momentum
        velocity = jax.tree.map(lambda v, g: (beta * v - rate * g).astype(v.dtype), velocity, slope)
        return (jax.tree.map(jnp.add, free, velocity), velocity), None

    start = (state.free, state.velocity)
    if work.sampling == "full":
        (free, velocity), _ = jax.lax.scan(lambda carry, _: move(carry, (None, None)), start, None, work.every)
    else:
        (free, velocity), _ = jax.lax.scan(move, start, batches(work, state.step, work.every))
    step = state.step + work.every
    found = _record(work, free, step)
    at = step // work.every
    return State(free, velocity, step, {name: rows.at[at].set(found[name]) for name, rows in state.trace.items()})


def _last(work: Work, state: State) -> dict[str, Array]:
    return {name: rows[state.step // work.every] for name, rows in state.trace.items()}


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.step >= work.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(_last(work, state)["loss"]), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, _last)


@chosen
def train(
    key: PRNGKeyArray,
    params: Tree,
    data: Data,
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    predict: Predict = call,
    sampling: Sampling = "replacement",
    steps: int = 10_000,
    every: int = 100,
    batch: int | None = None,
    track: Sequence[str] | None = None,
    measured: int | None = None,
    optimizer: Optimizer | None = None,
    state: State | None = None,
    loop: Loop = pure,
) -> Training:
    r"""Train one model by $v \leftarrow \beta v - \eta \nabla L_S(\theta)$, $\theta \leftarrow \theta + v$.

    It works under ``vmap`` with ``pure``; for many runs at once see ``sweep``. With ``pure`` the result is differentiable in
    parameters, data and settings, through all steps: reverse mode needs memory for each of them.
    Memory O(parameters + every * batch), at a record O(measured * parameters).

    Args:
        key: of the batches.
        params: a model, or any pytree for which ``predict`` is given.
        data: training and test samples.
        settings: what may be swept.
        predict: from parameters and one sample to its output; calls the model when omitted.
        sampling: of a batch: "replacement", "without" (each batch anew), "reshuffle" (without within an epoch), or "full",
            which is gradient descent and reads no batch size.
        steps: length, a multiple of ``every``.
        every: how often things are recorded, which is how often a run can stop.
        batch: rows drawn at a step, static; needed where ``settings.batch_size`` is traced, at most which may then count.
        track: names of the table above; all that the model and data allow when omitted, but "sharpness".
        measured: samples that G is measured on, from the first; when omitted all, or as many as make 2000 outputs.
        optimizer: an optax transformation without the learning rate, ``optax.scale_by_adam()``, in place of plain SGD:
            theta <- theta - learning_rate * update. It excludes ``settings.momentum``. The known thresholds are those of SGD.
        state: where to go on, from the result of a run with the same arguments.
        loop: ``pure``, or a ``Chunked`` that reports: its ``Progress.state.trace`` has what was recorded so far.

    Returns:
        the parameters, and what was recorded at steps 0, every, 2 every, ...

    Raises:
        ValueError: an argument outside what is allowed.

    Source:
        Wu and Su (2023), of the experiments.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> data = stability.Data(jnp.ones(1), jnp.zeros(1))  # w falls to (1 - eta)^2
        >>> settings = stability.Settings(learning_rate=0.5)
        >>> ran = stability.train(
        ...     jax.random.key(0), jnp.ones(()), data, settings, predict=jnp.multiply, sampling="full", steps=2, every=1
        ... )
        >>> float(ran.params), ran.trace["loss"].tolist()
        (0.25, [0.5, 0.125, 0.03125])
    """
    work = prepare(key, params, data, settings, predict, sampling, steps, every, batch, track, measured, optimizer)
    run = loop(STEPS, work, state, max_iterations=steps // every)
    return _told(work, run, join(run.state.free, work.fixed, work.rest), run.state.trace, settings)


def _told(work: Work, run, params: Tree, trace: dict[str, Array], settings: Settings) -> Training:
    loss, count = jnp.asarray(trace["loss"]), jnp.asarray(run.iterations)
    state = run.state[0] if type(run.state) is tuple else run.state  # of a sweep, whose runs are all at the same step
    at = state.step.ravel()[0] // work.every
    reached = (jnp.arange(loss.shape[-1]) <= at).reshape(*(1,) * (loss.ndim - 1), -1)
    diverged = (reached & ~jnp.isfinite(loss)).any(axis=-1)
    last = jnp.take(loss, at, axis=-1)
    steps = work.every * jnp.arange(loss.shape[-1])
    return Training(
        params, trace, steps, diverged, last < settings.interpolation, work.measured, count, run.reason, run.state
    )


def prepare(
    key, params, data: Data, settings: Settings, predict, sampling, steps, every, batch, track, measured, optimizer=None
) -> Work:
    """What ``train`` hands to the loop, checked. Arguments as there."""
    arguments.whole("steps", steps, 1)
    if steps % arguments.whole("every", every, 1):
        raise ValueError(f"steps = {steps} and every = {every}, but steps must be a positive multiple of every")
    arguments.real("learning_rate", settings.learning_rate, low=0, strict=True)
    data = data._replace(**{name: samples(name, each) for name, each in data._asdict().items() if each is not None})
    n, size = data.x.shape[0], settings.batch_size
    if sampling == "full":
        batch = n
    else:
        if batch is None:
            if isinstance(size, Tracer):
                raise ValueError("the batch size is traced: say with batch= how many rows are drawn at most")
            batch = int(np.max(np.asarray(size)))
        if not isinstance(size, Tracer) and not 1 <= int(size) <= batch:  # type: ignore[arg-type]
            raise ValueError(f"batch_size = {size}, but it must be between 1 and batch = {batch}")
        if sampling != "replacement" and batch > n:
            raise ValueError(f"batch_size = {batch}, but without replacement it must be at most n = {n}")
    for name, value in (("momentum", settings.momentum), ("clip", settings.clip)):
        low = name == "momentum"
        if value is None or isinstance(value, Tracer):
            continue
        if (low and not 0 <= value < 1) or (not low and not value > 0):  # type: ignore[operator]
            raise ValueError(f"{name} = {value}, but it must be {'at least 0 and below 1' if low else 'positive'}")
    parts = part(params)
    if optimizer is not None:
        _check_optimizer(optimizer, parts.free, settings)
    predict = as_tree(predict)
    shape = jax.eval_shape(lambda: predict(join(parts.free, parts.fixed, parts.rest), data.x[0])).shape
    if data.y.shape != (n, *shape):
        raise ValueError(f"y has shape {data.y.shape}, but the model gives {shape} at each of {n} samples")
    outputs = int(np.prod(shape))
    able = [
        name
        for name in TRACKED
        if (name != "norm" or hasattr(params, "norm")) and (name != "test_error" or data.x_test is not None)
    ]
    wanted = tuple(able if track is None else track)
    unknown = [name for name in wanted if name not in (*able, "sharpness")]
    if unknown:
        raise ValueError(f"cannot track {', '.join(unknown)} here; there are {', '.join((*able, 'sharpness'))}")
    if "loss" not in wanted:
        wanted = ("loss", *wanted)
    measured = min(n, max(1, 2000 // outputs) if measured is None else arguments.whole("measured", measured, 1))
    free, fixed, rest = parts.free, parts.fixed, parts.rest
    return Work(
        key, free, fixed, rest, predict, data, settings, steps, every, batch, sampling, wanted, measured, optimizer
    )


def _check_optimizer(optimizer: Optimizer, free: Tree, settings: Settings) -> None:
    if settings.momentum is not None:
        raise ValueError(
            "settings.momentum and an optimizer were given, but one of them moves the parameters: leave out one"
        )
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(
            f"optimizer is {optimizer!r}, but a transformation of optax is needed, as optax.scale_by_adam()"
        )
    with jax.ensure_compile_time_eval():
        ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), free)
        try:
            first, _ = optimizer.update(ones, optimizer.init(ones), ones)
        except TypeError as problem:
            raise ValueError(
                f"the optimizer needs more than gradients to take a step ({problem}), as a line search does: give one that is "
                "content with them, such as optax.scale_by_adam()"
            ) from problem
        uphill = sum(float(leaf.sum()) for leaf in jax.tree.leaves(first)) < 0
    if uphill:
        raise ValueError(
            "the optimizer has a learning rate of its own, but settings has it here: give the part without, as "
            "optax.scale_by_adam() for optax.adam"
        )


# --- many runs ---


class Sweeping(eqx.Module):
    """Runs over seeds and learning rates, as the loop sees them: for each batch size a ``Work`` with axes in front."""

    groups: tuple[Work, ...]


def _over(function: Callable, work: Work, *states: State) -> Any:
    """Over learning rates at once, which share data and batches; over seeds in turn, so that what is at work stays in cache."""
    own = ("key", "free", "fixed", "data")

    def seed(each):
        one, states = dataclasses.replace(work, **each[0]), each[1]
        at = [
            state._replace(step=state.step[0]) for state in states
        ]  # all are at the same step, whence the same batches

        def rate(eta, *states):
            return function(dataclasses.replace(one, settings=one.settings._replace(learning_rate=eta)), *states)

        return jax.vmap(rate, in_axes=(0, *[State(0, 0, None, 0)] * len(at)))(one.settings.learning_rate, *at)  # type: ignore[arg-type]

    return jax.lax.map(seed, ({name: getattr(work, name) for name in own}, states))


def _sweep_init(work: Sweeping) -> tuple[State, ...]:
    return tuple(_over(_init, group) for group in work.groups)


def _sweep_step(work: Sweeping, states: tuple[State, ...]) -> tuple[State, ...]:
    return tuple(_over(_step, group, state) for group, state in zip(work.groups, states, strict=True))


def _sweep_done(work: Sweeping, states: tuple[State, ...]) -> Array:
    each = jnp.stack([_over(_done, g, s) for g, s in zip(work.groups, states, strict=True)])
    over = jnp.where((each == Reason.NOT_FINITE).all(), Reason.NOT_FINITE, Reason.CONVERGED)
    return jnp.where((each == Reason.RUNNING).any(), Reason.RUNNING, over).astype(jnp.int32)


def _sweep_measure(work: Sweeping, states: tuple[State, ...]) -> dict[str, Array]:
    rows = [_over(_last, g, s) for g, s in zip(work.groups, states, strict=True)]
    found = {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}
    middle = {name: jnp.nanmedian(values) for name, values in found.items()}
    return {**middle, "finite": jnp.isfinite(found["loss"]).mean(dtype=found["loss"].dtype)}


SWEEP = Method(_sweep_init, _sweep_step, _sweep_done, _sweep_measure)


@chosen
@arguments.arrays(learning_rates=arguments.POSITIVE)
def sweep(
    keys: Array,
    make: Callable[[Any], tuple[Tree, Data]],
    learning_rates: Float[Array, " rates"],
    batch_sizes: Sequence[int] = (1,),
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    predict: Predict = call,
    sampling: Sampling = "replacement",
    steps: int = 10_000,
    every: int = 100,
    track: Sequence[str] | None = None,
    measured: int | None = None,
    optimizer: Optimizer | None = None,
    state: tuple[State, ...] | None = None,
    loop: Loop = pure,
) -> Training:
    r"""Train over batch sizes, seeds and learning rates in one program; results have axes (batch size, seed, rate) in front.

    Each run is $\theta \leftarrow \theta + v$ as in ``train``. One that diverges ends no other.

    Args:
        keys: one for each seed.
        make: from a key to initial parameters and data.
        learning_rates: (rates,), traced. All see the same data and batches at the same seed.
        batch_sizes: static: each is a program of its own in one, and costs what it draws.
        settings: what is shared.
        predict: as of ``train``.
        sampling: as of ``train``; "full" makes one run of the batch sizes.
        steps: as of ``train``.
        every: as of ``train``.
        track: as of ``train``.
        measured: as of ``train``.
        optimizer: as of ``train``.
        state: where to go on; resumes all runs.
        loop: ``pure``, or a ``Chunked`` that reports medians over the runs, and in ``Progress.state`` the traces of all,
            a tuple over batch sizes.

    Returns:
        the parameters and traces of all runs.

    Raises:
        ValueError: an argument outside what is allowed.

    Source:
        Wu and Su (2023), of the experiments.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> make = lambda key: (jnp.ones(()), stability.Data(jnp.ones(1), jnp.zeros(1)))
        >>> ran = stability.sweep(
        ...     jax.random.split(jax.random.key(0), 2), make, jnp.array([0.5, 1.0]), predict=jnp.multiply, sampling="full",
        ...     steps=2, every=1, track=["loss"],
        ... )
        >>> ran.params.shape, ran.params[0, 0].tolist()
        ((1, 2, 2), [0.25, 0.0])
    """
    if not len(batch_sizes):
        raise ValueError("batch_sizes is empty: at least one batch size is needed")
    params, data = jax.vmap(make)(keys)
    one, first = jax.tree.map(lambda leaf: leaf[0], (params, data))
    parts = part(params)
    groups = []
    for size in (1,) if sampling == "full" else batch_sizes:
        own = settings._replace(learning_rate=learning_rates[0], batch_size=size)
        work = prepare(keys[0], one, first, own, predict, sampling, steps, every, None, track, measured, optimizer)
        own = own._replace(learning_rate=learning_rates)
        groups.append(
            Work(
                keys,
                parts.free,
                parts.fixed,
                work.rest,
                work.predict,
                data,
                own,
                work.steps,
                work.every,
                work.batch,
                work.sampling,
                work.track,
                work.measured,
                work.optimizer,
            )
        )
    work = Sweeping(tuple(groups))
    run = loop(SWEEP, work, state, max_iterations=steps // every)
    states = run.state
    trace = {name: jnp.stack([s.trace[name] for s in states]) for name in states[0].trace}
    trained = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[s.free for s in states])
    fixed = jax.tree.map(
        lambda leaf: jnp.broadcast_to(
            leaf[None, :, None], (len(states), leaf.shape[0], learning_rates.size, *leaf.shape[1:])
        ),
        parts.fixed,
    )
    return _told(groups[0], run, join(trained, fixed, parts.rest), trace, settings)

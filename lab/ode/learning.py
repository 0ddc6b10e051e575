r"""A classifier whose features are carried along a learned field, and what its solver says, as part of the loss.

$$ z' = \tanh\big(W_2 [\tanh(W_1 [z; t] + b_1); t] + b_2\big), \quad z(0) = x, \qquad \text{logits} = C z(1) + c, \qquad
   L = \text{cross-entropy} + \lambda\, R $$

R is one of ``lab.ode.regularizers``; a whole batch is one state with one length of step. As in the experiments of Pal et al.:
momentum 0.9, a rate that falls as $1 / (1 + 10^{-5} k)$, and $\lambda$ that falls from epoch to epoch to a tenth,
$\lambda(e) = \lambda_0\, \mathrm{falls}^{-e / \mathrm{epochs}}$.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.jit import jit
from lab.numerics.learning import descend
from lab.ode.regularizers import How, Kind, bending, check_numbers, error_of, order_of, penalty, stiffness_of
from lab.ode.solving import Steps, solve

MOMENTUM = optax.trace(decay=0.9)
FIRST = 0.01
"""The first step of each solution."""


class Dynamics(eqx.Module):
    """A field of two layers that see the time."""

    first: Float[Array, "hidden d_and_time"]
    first_bias: Float[Array, " hidden"]
    second: Float[Array, "d hidden_and_time"]
    second_bias: Float[Array, " d"]

    def __call__(self, t: Array, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        inner = jnp.tanh(z @ self.first[:, :-1].T + (t * self.first[:, -1] + self.first_bias)[None])
        return jnp.tanh(inner @ self.second[:, :-1].T + (t * self.second[:, -1] + self.second_bias)[None])


class Classifier(eqx.Module):
    """A field, and a linear map of where it leads."""

    dynamics: Any
    head: Float[Array, "classes d"]
    bias: Float[Array, " classes"]

    def logits(self, z: Float[Array, "n d"]) -> Float[Array, "n classes"]:
        return z @ self.head.T + self.bias[None]


def _glorot(key: Array, out: int, into: int, dtype: Any) -> Array:
    reach = (6 / (into + out)) ** 0.5
    return random.uniform(key, (out, into), dtype, -reach, reach)


def classifier(key: PRNGKeyArray, d: int, hidden: int, classes: int, dtype: Any = None) -> Classifier:
    """With weights uniform as Glorot has them, and biases of 0."""
    dtype = jnp.dtype(float if dtype is None else dtype)
    one, two, three = jax.random.split(key, 3)
    dynamics = Dynamics(
        _glorot(one, hidden, d + 1, dtype),
        jnp.zeros(hidden, dtype),
        _glorot(two, d, hidden + 1, dtype),
        jnp.zeros(d, dtype),
    )
    return Classifier(dynamics, _glorot(three, classes, d, dtype), jnp.zeros(classes, dtype))


class Samples(NamedTuple):
    """To train on, and to test on."""

    x: Float[Array, "n d"]
    y: Int[Array, " n"]  # 0 ... classes - 1
    x_test: Float[Array, "tests d"]
    y_test: Int[Array, " tests"]


class Settings(NamedTuple):
    """What may be swept; traced."""

    strength: ArrayLike = 1.0  # lambda_0
    falls: ArrayLike = 10.0  # by what lambda is divided until the end
    learning_rate: ArrayLike = 0.1
    tolerance: ArrayLike = 1e-6  # relative and absolute
    spread: ArrayLike = 0.5  # b of STEER


@chosen
class Lesson(eqx.Module):
    """A training, as the loop sees it."""

    key: PRNGKeyArray
    model: Any
    samples: Samples
    settings: Settings
    steps: Int[Array, ""]
    kind: Kind = eqx.field(static=True)
    how: How = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    diff_h: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    @property
    def epoch(self) -> int:
        """Steps of an epoch; what is left of the samples after them is drawn in another epoch."""
        return self.samples.x.shape[0] // self.batch


class Seen(NamedTuple):
    """What a training tells of a step: the last three are of test samples, at ends of epochs, else NaN."""

    loss: Array
    ce: Array
    reg_E: Array  # mean of E h
    reg_S: Array  # mean of S
    nfe: Array
    test_nfe: Array
    test_accuracy: Array
    test_ce: Array


class State(NamedTuple):
    """Whence a training goes on."""

    model: Any
    moments: optax.OptState
    step: Int[Array, ""]
    short: Int[Array, ""]  # steps whose solution did not come to its end
    seen: Seen


class Learned(NamedTuple):
    """A trained classifier, with what was seen of each step."""

    model: Any
    seen: Seen  # each (steps,), NaN of steps that a stop left out
    short: Any
    iterations: Any
    reason: Any
    state: State


def solved(
    model: Classifier,
    x: Float[Array, "n d"],
    tolerance: ArrayLike,
    t1: ArrayLike = 1.0,
    *,
    max_steps: int = 40,
    k: int = 0,
    diff_h: bool = False,
    keep: bool = False,
) -> Steps:
    """The features of a batch, carried; with k the integral of |d^k z/dt^k|^2 / dim beside."""
    beside = bending(model.dynamics, k) if k else None
    return solve(
        model.dynamics,
        x,
        0.0,
        t1,
        rtol=tolerance,
        atol=tolerance,
        h0=FIRST,
        max_steps=max_steps,
        beside=beside,
        diff_h=diff_h,
        keep=keep,
        throw=False,
    )


def cross_entropy(logits: Float[Array, "n classes"], y: Int[Array, " n"]) -> Float[Array, ""]:
    """Mean over samples of -log p(y)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def loss(
    model: Classifier,
    lesson: Lesson,
    key: PRNGKeyArray,
    x: Float[Array, "n d"],
    y: Int[Array, " n"],
    strength: ArrayLike,
) -> tuple[Array, tuple[Array, Steps]]:
    """The loss of a batch, with its cross-entropy and the solution."""
    times, draws = jax.random.split(key)
    steer, b = lesson.kind.startswith("STEER"), lesson.settings.spread
    t1 = 1 + (b * random.uniform(times, (), x.dtype, -1, 1) if steer else jnp.zeros((), x.dtype))
    steps = solved(
        model,
        x,
        lesson.settings.tolerance,
        t1,
        max_steps=lesson.max_steps,
        k=order_of(lesson.kind),
        diff_h=lesson.diff_h,
    )
    ce = cross_entropy(model.logits(steps.y), y)
    term = penalty(lesson.kind, steps, jnp.asarray(strength, x.dtype), how=lesson.how, key=draws, t1=t1)
    return ce + term, (ce, steps)


def batch_of(lesson: Lesson, step: Int[Array, ""]) -> Int[Array, " batch"]:
    """Which samples a step sees: each epoch goes through all in an order of its own."""
    epoch, place = step // lesson.epoch, step % lesson.epoch
    order = jax.random.permutation(jax.random.fold_in(lesson.key, epoch), lesson.samples.x.shape[0])
    return jax.lax.dynamic_slice_in_dim(order, place * lesson.batch, lesson.batch)


def _init(lesson: Lesson) -> State:
    nothing = jnp.zeros((), lesson.samples.x.dtype)
    zero = jnp.int32(0)
    return State(lesson.model, MOMENTUM.init(lesson.model), zero, zero, Seen(*(nothing,) * len(Seen._fields)))


def _step(lesson: Lesson, state: State) -> State:
    samples, settings, dtype = lesson.samples, lesson.settings, lesson.samples.x.dtype
    chosen_ = batch_of(lesson, state.step)
    key = jax.random.fold_in(jax.random.fold_in(lesson.key, 1), state.step)
    part = (state.step // lesson.epoch * lesson.epoch) / lesson.steps
    strength = (settings.strength * jnp.asarray(settings.falls, dtype) ** (-part)).astype(dtype)
    (value, (ce, steps)), slope = jax.value_and_grad(loss, has_aux=True)(
        state.model, lesson, key, samples.x[chosen_], samples.y[chosen_], strength
    )
    eta = settings.learning_rate / (1 + 1e-5 * state.step)
    model, moments = descend(MOMENTUM, state.model, slope, state.moments, eta)
    nan = jnp.full((), jnp.nan, dtype)
    on_test = jax.lax.cond(
        (state.step + 1) % lesson.epoch == 0,
        lambda: tested(model, samples.x_test, samples.y_test, settings.tolerance, lesson.max_steps),
        lambda: (nan, nan, nan),
    )
    numbers = value, ce, error_of(steps, "mean"), stiffness_of(steps, "mean"), steps.evaluations
    seen = Seen(*(jnp.asarray(number, dtype) for number in (*numbers, *on_test)))
    short = state.short + (steps.reason != Reason.CONVERGED)
    return State(model, moments, state.step + 1, short.astype(jnp.int32), seen)


def tested(
    model: Classifier, x: Float[Array, "n d"], y: Int[Array, " n"], tolerance: ArrayLike, max_steps: int
) -> tuple[Array, Array, Array]:
    """Evaluations of the field for this batch; share of right answers and cross-entropy, if it comes to its end."""
    steps = solved(model, x, tolerance, max_steps=max_steps)
    return steps.evaluations.astype(x.dtype), *_judged(model, steps, y)


def _judged(model: Classifier, steps: Steps, y: Int[Array, " n"]) -> tuple[Array, Array]:
    """Share of right answers and cross-entropy; NaN of a solution that did not come to its end."""
    logits = model.logits(steps.y)
    right, ce = (logits.argmax(axis=1) == y).mean(dtype=logits.dtype), cross_entropy(logits, y)
    return jnp.where(steps.converged, right, jnp.nan), jnp.where(steps.converged, ce, jnp.nan)


def _done(lesson: Lesson, state: State) -> Array:
    reason = jnp.where(state.step >= lesson.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.seen.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


LEARNING = Method(_init, _step, _done, lambda lesson, state: state.seen._asdict())


@chosen
def learn(
    key: PRNGKeyArray,
    model: Classifier,
    samples: Samples,
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    kind: Kind = "ER",
    how: How = "mean",
    steps: int = 240,
    batch: int = 250,
    diff_h: bool = False,
    max_steps: int = 40,
    state: State | None = None,
    loop: Loop = pure,
) -> Learned:
    r"""Train a classifier with a term that makes its field cheap to solve.

    Args:
        key: of the order of samples, and of random times.
        model: of ``classifier``, or one of your own with ``dynamics(t, z)`` and ``logits(z)``.
        settings: what may be swept.
        kind: which term.
        how: it is put together over the accepted steps of a solution.
        steps: of the training, static; so is the batch.
        diff_h: whether gradients go through the lengths of the solver's steps.
        max_steps: of the solver; ``short`` counts solutions that did not come to their end.
        state: where to go on; with the same arguments the result is that of the uninterrupted run.
        loop: ``pure``, or a ``Chunked`` that reports and can be stopped; its ``Progress.state.model`` is the classifier so far.

    Raises:
        ValueError: numbers that can't be.

    Memory O(max_steps batch d).
    """
    n = samples.x.shape[0]
    if not 1 <= batch <= n:
        raise ValueError(f"batch = {batch}, but it must be from 1 to the {n} samples there are")
    if steps < 1 or max_steps < 1:
        raise ValueError(f"steps = {steps} and max_steps = {max_steps}, but both must be at least 1")
    b: Any = settings.spread
    if not isinstance(b, Tracer) and not 0 <= float(b) < 1:
        raise ValueError(f"spread = {b}, but STEER ends between 0 and 2: it must be at least 0 and below 1")
    check_numbers(
        {name: value for name, value in settings._asdict().items() if name != "spread"}, may_vanish=("strength",)
    )
    dtype = samples.x.dtype
    settings = Settings(*(jnp.asarray(value, dtype) for value in settings))
    lesson = Lesson(key, model, samples, settings, jnp.int32(steps), kind, how, batch, diff_h, max_steps)
    run = loop(LEARNING, lesson, state, max_iterations=steps)
    trace: dict[str, Any] = dict(run.trace)
    if not isinstance(run.iterations, Tracer) and len(trace["loss"]) < steps:
        lost = steps - len(trace["loss"])
        trace = {name: np.pad(rows, (0, lost), constant_values=np.nan) for name, rows in trace.items()}
    return Learned(run.state.model, Seen(**trace), run.state.short, run.iterations, run.reason, run.state)


class Looked(NamedTuple):
    """What a classifier does with test samples."""

    steps: Steps
    nfe: Array
    accuracy: Array
    ce: Array
    train_accuracy: Array
    train_ce: Array
    ways: Float[Array, "times n d"]  # of the test samples, at even times


@jit
def look(model: Classifier, samples: Samples, tolerance: ArrayLike, times: int = 25, max_steps: int = 40) -> Looked:
    """Solve for the test samples, and for those of the training; the ways by cubic interpolation between steps."""
    steps = solved(model, samples.x_test, tolerance, max_steps=max_steps, keep=True)
    accuracy, ce = _judged(model, steps, samples.y_test)
    train = solved(model, samples.x, tolerance, max_steps=max_steps)
    train_accuracy, train_ce = _judged(model, train, samples.y)
    ways = between(steps, jnp.linspace(0.0, 1.0, times), model.dynamics)
    return Looked(
        steps,
        steps.evaluations.astype(float),
        accuracy.astype(float),
        ce,
        train_accuracy.astype(float),
        train_ce,
        ways,
    )


def between(steps: Steps, times: Float[Array, " times"], field: Any) -> Float[Array, "times *y"]:
    """A solution that was kept, at times between its steps, by the cubic through both ends and their slopes."""
    rows = steps.rows
    after = jnp.where(rows.accepted, rows.t, jnp.inf)
    place = jnp.argsort(after)  # accepted steps in order, then the others
    last = rows.accepted.sum() - 1
    t = jnp.where(jnp.isfinite(after[place]), after[place], jnp.inf)
    at = jnp.clip(jnp.searchsorted(t, times, side="right") - 1, 0, last)
    ends = jnp.concatenate([steps.at[place], steps.y[None]]).at[last + 1].set(steps.y)
    slopes = jnp.concatenate([steps.slopes[place], steps.y[None]]).at[last + 1].set(field(steps.t, steps.y))
    h = rows.h[place][at]
    shape = (-1,) + (1,) * (steps.y.ndim)
    s = jnp.clip((times - t[at]) / jnp.where(h > 0, h, 1), 0, 1).reshape(shape)
    h = h.reshape(shape)
    y0, y1, f0, f1 = ends[at], ends[at + 1], slopes[at], slopes[at + 1]
    chord = y1 - y0
    return y0 + s * chord + s * (1 - s) * ((1 - s) * (h * f0 - chord) - s * (h * f1 - chord))

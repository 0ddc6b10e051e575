r"""Self-tuning networks: one training in which the hyperparameters move too.

Two players take turns. The response descends what is trained, around the hyperparameters; they descend what validates,
through the response:

$$ \min_\varphi\ \mathbb E_\varepsilon\, L_T\big(\lambda + \varepsilon,\, \hat w_\varphi(\lambda + \varepsilon)\big), \qquad
   \min_{\lambda, \sigma}\ \mathbb E_\varepsilon\, L_V\big(\hat w_\varphi(\lambda + \varepsilon)\big) - \tau \sum_i
   \log\big(\sigma_i \sqrt{2 \pi e}\big), \qquad \varepsilon \sim N(0, \mathrm{diag}\,\sigma^2) . $$

For a quadratic $L_T$ the first has its minimum at the true best response and its true slope, for any sigma: perturbations fit
a derivative, and none of second order is needed.

Source: MacKay, Vicol, Lorraine, Duvenaud, Grosse, *Self-Tuning Networks: Bilevel Optimization of Hyperparameters using
Structured Best-Response Functions*, ICLR 2019, algorithm 1, and its released code.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.learning import ADAM, descend
from lab.tuning.ranges import inverse_softplus


@runtime_checkable
class Task(Protocol):
    """What is trained: a pytree. ``lam`` are hyperparameters of each example, ``gate`` what the response is given of them."""

    batch: int

    def start(self, key: PRNGKeyArray) -> Any: ...

    def train(self, model: Any, lam: Array, gate: Array, key: PRNGKeyArray) -> Array: ...

    def valid(self, model: Any, lam: Array, gate: Array, key: PRNGKeyArray) -> Array: ...

    def seen(self, model: Any, lam: Array, gate: Array) -> dict[str, Array]: ...


class Rates(NamedTuple):
    """What may be swept; traced."""

    learning: ArrayLike = 0.01  # of the response
    hyper: ArrayLike = 3e-3  # of Adam, of the hyperparameters
    scale: ArrayLike = 3e-3  # of Adam, of the scales of their perturbation
    entropy: ArrayLike = 1e-3  # tau
    warmup: ArrayLike = 100  # cycles in which only the response learns
    clip: ArrayLike = 1.0  # the longest slope by which hyperparameters are moved


class Rules(NamedTuple):
    """What is compiled in."""

    trains: int = 2  # steps of the response in a cycle
    validates: int = 1  # and of the hyperparameters
    tuned: bool = True  # whether scales are tuned too, and validation perturbs
    centred: bool = False  # whether the response is given the perturbation alone
    shared: bool = False  # one perturbation for a whole batch
    responds: bool = True  # False: weights do not hang on the hyperparameters, as in any training


class Tuning(NamedTuple):
    """Where a training is, of one start."""

    model: Any
    moments: optax.OptState
    lam: Float[Array, " h"]
    scale: Float[Array, " h"]  # before softplus
    hyper_moments: optax.OptState
    train_loss: Float[Array, ""]


class Course(NamedTuple):
    """Where a training is, of all starts; ``seen`` has a row for each frame."""

    now: Tuning
    frame: Int[Array, ""]
    seen: dict[str, Array]


class Game(eqx.Module):
    """A training as the loop sees it: each step of the loop is ``every`` cycles, and a look at where they led."""

    task: Any
    key: PRNGKeyArray
    starts: Float[Array, "s h"]
    sigma: Float[Array, " s"]
    rates: Rates
    schedule: Float[Array, "s frames h"] | None  # that is followed, in place of tuning
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    rules: Rules = eqx.field(static=True)
    frames: int = eqx.field(static=True)
    every: int = eqx.field(static=True)


class Tuned(NamedTuple):
    """What became of each start, frame by frame; ``seen`` has what the task sees, ``lam`` and ``sigma``."""

    seen: Mapping[str, Float[Array, "frames s ..."]]
    now: Tuning
    reason: Any
    iterations: Any
    state: Course


def entropy(sigma: Float[Array, " h"]) -> Float[Array, ""]:
    r"""$\sum_i \log(\sigma_i \sqrt{2 \pi e})$, of the perturbation."""
    return (jnp.log(sigma) + math.log(2 * math.pi * math.e) / 2).sum()


def _drawn(game: Game, lam: Array, scale: Array, key: Array, still: bool) -> tuple[Array, Array]:
    """Hyperparameters of each example of a batch, and what the response is given of them."""
    rules, shape = game.rules, (1 if game.rules.shared else game.task.batch, lam.size)
    by = jnp.zeros(shape, lam.dtype) if still else jax.nn.softplus(scale)[None] * random.normal(key, shape, lam.dtype)
    by = jnp.broadcast_to(by, (game.task.batch, lam.size))
    each = lam[None] + by
    if not rules.responds:
        return each, jnp.zeros_like(each)
    return each, each - jax.lax.stop_gradient(lam)[None] if rules.centred else each


def train_step(game: Game, now: Tuning, key: PRNGKeyArray) -> Tuning:
    """The response learns from one batch; the hyperparameters stay."""
    of_noise, of_task = jax.random.split(key)
    lam, gate = _drawn(game, now.lam, now.scale, of_noise, still=False)
    value, slope = jax.value_and_grad(game.task.train)(now.model, lam, gate, of_task)
    model, moments = descend(game.optimizer, now.model, slope, now.moments, game.rates.learning)
    return now._replace(model=model, moments=moments, train_loss=value)


def valid_slopes(game: Game, now: Tuning, key: PRNGKeyArray) -> tuple[Float[Array, " h"], Float[Array, " h"]]:
    """Slopes of the validation loss, with the entropy, in the hyperparameters and in their scales."""
    of_noise, of_task = jax.random.split(key)

    def loss(lam: Array, scale: Array) -> Array:
        each, gate = _drawn(game, lam, scale, of_noise, still=not game.rules.tuned)
        found = game.task.valid(now.model, each, gate, of_task)
        return found - game.rates.entropy * entropy(jax.nn.softplus(scale)) if game.rules.tuned else found

    return jax.grad(loss, argnums=(0, 1))(now.lam, now.scale)


def valid_step(game: Game, now: Tuning, key: PRNGKeyArray) -> Tuning:
    """The hyperparameters and their scales descend what validates; the response stays."""
    of_lam, of_scale = valid_slopes(game, now, key)
    length = jnp.linalg.norm(of_lam)
    of_lam = of_lam * jnp.minimum(1, game.rates.clip / jnp.where(length > 0, length, 1))
    rates = (game.rates.hyper, game.rates.scale if game.rules.tuned else 0.0)
    (lam, scale), moments = descend(ADAM, (now.lam, now.scale), (of_lam, of_scale), now.hyper_moments, rates)
    return now._replace(lam=lam, scale=scale, hyper_moments=moments)


def _cycle(game: Game, now: Tuning, at: Array) -> Tuning:
    """Some steps of the one player, then of the other, who waits until the first has warmed up."""
    key = jax.random.fold_in(game.key, at)

    def train(now: Tuning, i: Array) -> tuple[Tuning, None]:
        return train_step(game, now, jax.random.fold_in(key, i)), None

    def valid(now: Tuning, i: Array) -> tuple[Tuning, None]:
        moved = valid_step(game, now, jax.random.fold_in(key, game.rules.trains + i))
        return jax.tree.map(lambda new, old: jnp.where(at >= game.rates.warmup, new, old), moved, now), None

    now = jax.lax.scan(train, now, jnp.arange(game.rules.trains))[0]
    if game.schedule is None:
        now = jax.lax.scan(valid, now, jnp.arange(game.rules.validates))[0]
    return now


def _init(game: Game) -> Course:
    of_model = jax.random.fold_in(game.key, 2**31 - 1)

    def begin(lam: Array, sigma: Array) -> Tuning:
        model = game.task.start(of_model)
        scale = jnp.broadcast_to(inverse_softplus(sigma), lam.shape)
        nothing = jnp.zeros((), lam.dtype)
        return Tuning(model, game.optimizer.init(model), lam, scale, ADAM.init((lam, scale)), nothing)

    now = jax.vmap(begin)(game.starts, game.sigma)
    shapes = jax.eval_shape(lambda now: jax.vmap(lambda each: _look(game, each))(now), now)
    seen = {name: jnp.full((game.frames, *shape.shape), jnp.nan, shape.dtype) for name, shape in shapes.items()}
    return Course(now, jnp.int32(0), seen)


def _look(game: Game, now: Tuning) -> dict[str, Array]:
    gate = 0 * now.lam if game.rules.centred or not game.rules.responds else now.lam
    told = game.task.seen(now.model, now.lam, gate)
    return told | {"lam": now.lam, "sigma": jax.nn.softplus(now.scale)}


def _step(game: Game, course: Course) -> Course:
    frame = course.frame

    def one(now: Tuning, follow: Array | None) -> tuple[Tuning, dict[str, Array]]:
        if follow is not None:
            now = now._replace(lam=follow[frame])
        now = jax.lax.fori_loop(0, game.every, lambda i, now: _cycle(game, now, frame * game.every + i), now)
        return now, _look(game, now)

    now, told = jax.vmap(one, in_axes=(0, None if game.schedule is None else 0))(course.now, game.schedule)
    seen = {name: course.seen[name].at[frame].set(told[name]) for name in told}
    return Course(now, frame + 1, seen)


def _done(game: Game, course: Course) -> Array:
    known = jnp.isfinite(course.now.train_loss).any()  # of one start that is lost the others are not
    reason = jnp.where(course.frame >= game.frames, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(known, reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(game: Game, course: Course) -> dict[str, Array]:
    return {"loss": jnp.nanmin(course.seen["val_loss"][course.frame - 1])}


STEPS = Method(_init, _step, _done, _measure)


def tune(
    loop: Loop,
    task: Task,
    key: PRNGKeyArray,
    starts: Any,
    *,
    frames: int = 150,
    every: int = 10,
    sigma: Any = 0.5,
    rates: Rates | None = None,
    rules: Rules | None = None,
    optimizer: optax.GradientTransformation = ADAM,
    schedule: Any = None,
    state: Course | None = None,
) -> Tuned:
    r"""Train a response from several starts of the hyperparameters, side by side, on the same draws.

    $$ \min_\varphi\ \mathbb E_\varepsilon\, L_T\big(\lambda + \varepsilon,\, \hat w_\varphi(\lambda + \varepsilon)\big), \qquad
       \min_{\lambda, \sigma}\ \mathbb E_\varepsilon\, L_V\big(\hat w_\varphi(\lambda + \varepsilon)\big) - \tau\, H(\sigma) $$

    Args:
        loop: ``pure``, or a ``Chunked`` that reports, stops, and hands back the state.
        task: what is trained and what validates.
        key: of all that is drawn.
        starts: lambda, (s, h), without bounds (``ranges.Range.inverse``).
        frames: looks at the training.
        every: cycles between them.
        sigma: the scale of the perturbations of lambda at first, of all starts or of each.
        rates: what may be swept.
        rules: what is compiled in.
        optimizer: of the response; an optax transformation.
        schedule: hyperparameters of each frame, (s, frames, h), which are followed, perturbed by ``sigma`` (0 is allowed), and
            not tuned; the values of ``starts`` are not looked at then.
        state: where to go on, of a training with the same arguments.

    Returns:
        what the task sees, lambda and sigma, by frame and start.

    Raises:
        ValueError: starts or a schedule of the wrong shape or not finite; no frames, or no cycles in one; a cycle without
            steps; a scale of 0 or less; an entropy weight below 0.

    Source:
        MacKay, Vicol, Lorraine, Duvenaud and Grosse (2019), algorithm 1.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import numerics, tuning
        >>> ridge = tuning.ridge.made(jax.random.key(0), 0.1, jnp.ones((2, 1)), n=4, tests=4)
        >>> try:
        ...     tuning.tune(numerics.pure, tuning.ridge.RidgeTask(ridge, 2), jax.random.key(1), jnp.zeros((1, 1)), sigma=0.0)
        ... except ValueError as error:
        ...     print(error)
        sigma = 0, but perturbations need a scale above 0: give 0.5, say
    """
    rates, rules = rates or Rates(), rules or Rules()
    starts = arguments.real("starts", starts, (None, None))
    frames, every = arguments.whole("frames", frames, 1), arguments.whole("every", every, 1)
    dtype = starts.dtype
    if schedule is not None:
        schedule = arguments.real("schedule", schedule, (len(starts), frames, starts.shape[1]), dtype=dtype)
    if np.ndim(sigma) and np.shape(sigma) != (len(starts),):
        raise ValueError(
            f"sigma has shape {np.shape(sigma)}: one number, or one for each of {len(starts)} starts, is needed"
        )
    sigma = arguments.real("sigma", sigma, finite=False)
    check(rates, rules, sigma, followed=schedule is not None)
    starts, schedule, sigma, rates = refuse_derivative(
        (starts, schedule, jnp.asarray(sigma, dtype), rates),
        "a training on random batches has no derivative in lab.tuning.tune",
    )
    made = Rates(*(jnp.asarray(rate, dtype) for rate in rates))
    scales = jnp.broadcast_to(jnp.asarray(sigma, dtype), starts.shape[:1])
    game = Game(task, key, starts, scales, made, schedule, optimizer, rules, frames, every)
    run = loop(STEPS, game, state, max_iterations=frames)
    return Tuned(run.state.seen, run.state.now, run.reason, run.iterations, run.state)


def check(rates: Rates, rules: Rules, sigma: ArrayLike, followed: bool = False) -> None:
    """Refuse what no training can be made of; traced numbers are left to whoever gave them."""
    for what, steps in (("trains", rules.trains), ("validates", rules.validates)):
        if steps < 1:
            raise ValueError(f"{what} = {steps}, but each player takes one step in a cycle at least: give 1 or more")
    if not isinstance(sigma, Tracer):
        least = float(np.min(np.asarray(sigma)))
        if not (least >= 0 if followed else least > 0):
            raise ValueError(f"sigma = {least:g}, but perturbations need a scale above 0: give 0.5, say")
    if not isinstance(rates.entropy, Tracer) and not (weight := float(np.asarray(rates.entropy))) >= 0:
        raise ValueError(f"the weight of the entropy is {weight:g}, but it must be 0 or more")

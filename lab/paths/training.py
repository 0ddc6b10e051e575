r"""One training loop: a network learns a conditional mean along a path, from a coupling and a schedule.

$$ \min_f\; E_{t, (x_0, x_1), z}\; w\, | f(t, x_t) - \mathrm{target} |^2, \qquad
   x_t = \alpha x_0 + \beta x_1 + \gamma z $$

| target | regresses on | learns |
|---|---|---|
| "velocity" | $\alpha' x_0 + \beta' x_1 + \gamma' z$ | $b = E[\dot x_t \mid x_t]$ |
| "denoiser" | $x_1$ | $E[x_1 \mid x_t]$ |
| "noise" | $x_0$ | $E[x_0 \mid x_t]$; minus the score times alpha, where the source is N(0, I) |
| "latent" | z | $E[z \mid x_t]$, minus the score times gamma |

Where the schedule has a latent, each pair is seen with z and with -z, which cancels the singular part of $\gamma'$.
Pairs are drawn anew at every step. Everything in ``Settings`` is traced: ``vmap`` sweeps learning rate, batch size and seed
with one compiled program, and a run stops, reports and resumes as any method of ``lab.numerics`` does, bit for bit.
"""

from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, random, tell
from lab.numerics.learning import ADAM, descend, rate
from lab.paths.couplings import Coupling, Independent
from lab.paths.laws import Pairs, law
from lab.paths.metrics import effective_sample_size
from lab.paths.network import row_by_row
from lab.paths.schedules import Linear, Schedule, conditional_velocity, has_latent, interpolate

type Target = Literal["velocity", "denoiser", "noise", "latent"] | str
type Network = Any
"""A pytree, called with times (n,) and points (n, d): see ``lab.paths.network``. Its arrays of real numbers are trained."""


class Parts(eqx.Module):
    """A network that holds more than weights, functions say, so that the loop sees its weights alone."""

    weights: Any
    rest: tuple = eqx.field(static=True)

    def __call__(self, t: ArrayLike, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return whole(self)(t, x)


def parts(network: Network) -> Network:
    """The network as the loop takes it: itself where all its leaves are weights."""
    leaves, shape = jax.tree.flatten(network)
    if all(eqx.is_inexact_array_like(leaf) for leaf in leaves):
        return network
    weights, rest = eqx.partition(leaves, eqx.is_inexact_array_like)
    if any(hasattr(leaf, "shape") for leaf in rest):
        raise ValueError(
            "the network holds arrays that are not of real numbers: make them static, or write them into it"
        )
    return Parts(weights, (tuple(rest), shape))


def whole(network: Network) -> Network:
    """The network itself, of what ``parts`` made."""
    if not isinstance(network, Parts):
        return network
    rest, shape = network.rest
    return jax.tree.unflatten(shape, eqx.combine(network.weights, list(rest)))


@runtime_checkable
class Sampler(Protocol):
    """Whatever can be drawn from: the laws of ``lab.paths.laws``, or a user's own. A joint law draws pairs."""

    def sample(self, key: PRNGKeyArray, n: int) -> Any: ...


class Settings(NamedTuple):
    """Everything that may be swept; traced."""

    learning_rate: ArrayLike = 1e-3
    batch_size: ArrayLike | None = None  # rows of the batch that count; all of them when None
    decay: ArrayLike = 0.999  # of the moving average of the weights; lower in the first steps
    warmup: ArrayLike = 0.0  # steps over which the learning rate rises
    anneal: ArrayLike = 0.0  # 1: the learning rate falls to 0 along a cosine; 0: it stays
    clip: ArrayLike = jnp.inf  # largest norm of a gradient
    earliest: ArrayLike = 1e-3  # times are drawn from [earliest, latest]
    latest: ArrayLike = 1 - 1e-3


class Work(eqx.Module):
    """A training, as the loop sees it."""

    key: PRNGKeyArray
    model: Network
    source: Sampler  # of pairs, where there are no data
    data: Sampler | None
    schedule: Schedule
    coupling: Coupling
    settings: Settings
    times: Float[Array, " times"] | None
    steps: Int[Array, ""]
    batch: int = eqx.field(static=True)
    target: str = eqx.field(static=True)
    latent: bool = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)


class State(NamedTuple):
    """Whence a training goes on. ``average`` is the network to use, also half way: a report may sample with it."""

    model: Network
    average: Network
    moments: optax.OptState
    step: Int[Array, ""]
    loss: Float[Array, ""]
    ess: Float[Array, ""]


class Training(NamedTuple):
    """A trained network. Its only stopping rule is its length: it converged if it came to it with finite numbers."""

    model: Network
    average: Network  # moving average of the weights
    loss: Float[Array, " steps"]  # of the batch of each step, before the step; per point, summed over dimensions
    ess: Float[Array, " steps"]  # effective share of each batch under the weights of the coupling
    iterations: Int[Array, ""] | int
    reason: Int[Array, ""] | int
    state: State


class Batch(NamedTuple):
    """What one step sees."""

    t: Float[Array, " n"]
    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]
    z: Float[Array, "n d"] | None
    log_weights: Float[Array, " n"]  # mean weight 1 over the rows that count
    live: Bool[Array, " n"]


def draw(work: Work, step: Int[Array, ""]) -> Batch:
    """The batch of a step: a pure function of the key and the step, so that a training resumes where it was."""
    keys = jax.random.split(jax.random.fold_in(work.key, step), 5)
    n = work.batch
    size = n if work.settings.batch_size is None else work.settings.batch_size
    live = jnp.arange(n) < size
    if work.data is None:
        x0, x1 = work.source.sample(keys[0], n)
    else:
        x0, x1 = work.source.sample(keys[0], n), work.data.sample(keys[1], n)
        x0 = x0.astype(x1.dtype)
    pairs = work.coupling(keys[2], x0, x1, live)
    if work.times is None:
        low, high = (jnp.asarray(end, x1.dtype) for end in (work.settings.earliest, work.settings.latest))
        t = low + (high - low) * random.uniform(keys[3], (n,), x1.dtype)
    else:
        t = jax.random.choice(keys[3], work.times.astype(x1.dtype), (n,))
    z = random.normal(keys[4], x1.shape, x1.dtype) if work.latent else None
    return Batch(t, pairs.x0, pairs.x1, z, jnp.where(live, pairs.log_weights, -jnp.inf), live)


def loss(model: Network, work: Work, batch: Batch) -> Float[Array, ""]:
    """The weighted mean squared error of a network on a batch, with both signs of the latent."""

    def error(z):
        x = interpolate(work.schedule, batch.t, batch.x0, batch.x1, z)
        wanted = {
            "velocity": lambda: conditional_velocity(work.schedule, batch.t, batch.x0, batch.x1, z),
            "denoiser": lambda: batch.x1,
            "noise": lambda: batch.x0,
            "latent": lambda: z,
        }[work.target]()
        return ((model(batch.t, x) - wanted) ** 2).sum(axis=1)

    each = error(None) if batch.z is None else (error(batch.z) + error(-batch.z)) / 2
    each = jnp.where(batch.live, each, 0.0)
    return (jnp.exp(batch.log_weights) * each).sum() / batch.live.sum()


def padded(loss: Any, steps: int) -> Float[Array, " steps"]:
    """The losses of a training, with NaN for the steps that a stop left out."""
    loss = jnp.asarray(loss)
    return jnp.pad(loss, (0, steps - loss.size), constant_values=jnp.nan)


def _init(work: Work) -> State:
    dtype = jax.tree.leaves(work.model)[0].dtype
    nothing = jnp.zeros((), dtype)
    return State(work.model, work.model, work.optimizer.init(work.model), jnp.int32(0), nothing, nothing + 1)


def _step(work: Work, state: State) -> State:
    settings = work.settings
    batch = draw(work, state.step)
    value, slope = jax.value_and_grad(loss)(state.model, work, batch)
    dtype = value.dtype
    step = state.step.astype(dtype)
    slope = jax.tree.map(lambda g: g * jnp.minimum(1, settings.clip / _norm(slope)).astype(g.dtype), slope)
    warm = (step + 1) / jnp.maximum(settings.warmup, 1)
    eta = rate(settings.learning_rate, step / work.steps, warm, settings.anneal)
    model, moments = descend(work.optimizer, state.model, slope, state.moments, eta)
    decay = jnp.minimum(settings.decay, (1 + step) / (10 + step))
    average = jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), state.average, model)
    ess = effective_sample_size(batch.log_weights)
    return State(model, average, moments, state.step + 1, value.astype(state.loss.dtype), ess.astype(state.ess.dtype))


def _norm(tree) -> Array:
    return jnp.maximum(optax.tree.norm(tree), 1e-30)


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.step >= work.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda work, state: {"loss": state.loss, "ess": state.ess})


@chosen
def train(
    key: PRNGKeyArray,
    model: Network,
    source: Any,
    data: Any = None,
    schedule: Schedule | None = None,
    coupling: Coupling | None = None,
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    target: Target = "velocity",
    steps: int = 2000,
    batch: int = 256,
    times: Float[Array, " times"] | None = None,
    latent: bool | None = None,
    optimizer: optax.GradientTransformation = ADAM,
    state: State | None = None,
    loop: Loop = pure,
) -> Training:
    r"""Train a network along a path.

    Args:
        key: of all that is drawn.
        model: called as ``model(t, x)``; a trained one is a warm start.
        source, data: points (n, d), drawn with replacement; laws, of numpyro too; or whatever has ``sample(key, n)``. A joint
            law (``laws.Pairs``, ``laws.Joint``) alone, as source. For ``Given`` two tables of points, row i with row i.
        schedule: ``Linear`` when omitted.
        coupling: ``Independent`` when omitted.
        settings: what may be swept.
        target: what is regressed on.
        steps: static.
        batch: rows drawn at a step, static; ``settings.batch_size`` says how many of them count, at the same cost.
        times: where given, times are drawn from these; ``jnp.zeros(1)`` distils one Euler step from given pairs.
        latent: whether the schedule has latent noise; found out when omitted.
        optimizer: optax transformation without the learning rate, e.g. ``optax.scale_by_adam()``.
        state: where to go on; with the same arguments and steps the result is that of the uninterrupted run.
        loop: ``pure`` (works under ``vmap``), or a ``Chunked`` that reports, whose ``Progress.state.average`` is the
            network so far.

    Raises:
        ValueError, TypeError: an argument outside what is allowed.

    Warns:
        NotConverged: the loss became infinite or NaN.

    Memory O(size of the network + batch (d + width)).
    """
    work = prepare(
        key,
        model,
        source,
        data,
        schedule,
        coupling,
        settings,
        target=target,
        steps=steps,
        batch=batch,
        times=times,
        latent=latent,
        optimizer=optimizer,
    )
    run = loop(STEPS, work, state, max_iterations=steps)
    if loop is pure:
        tell("lab.paths.train", run.reason, run.iterations)
    last = run.state
    return Training(
        whole(last.model), whole(last.average), run.trace["loss"], run.trace["ess"], run.iterations, run.reason, last
    )


@chosen
def prepare(
    key: PRNGKeyArray,
    model: Network,
    source: Any,
    data: Any = None,
    schedule: Schedule | None = None,
    coupling: Coupling | None = None,
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    target: Target = "velocity",
    steps: int = 2000,
    batch: int = 256,
    times: Float[Array, " times"] | None = None,
    latent: bool | None = None,
    optimizer: optax.GradientTransformation = ADAM,
) -> Work:
    """What ``train`` hands to the loop, checked: for ``draw``, ``loss`` or a loop of one's own. Arguments as there."""
    schedule = Linear() if schedule is None else schedule
    coupling = Independent() if coupling is None else coupling
    if getattr(coupling, "paired", False) and data is not None:
        source, data = Pairs(source, data), None
    source, data = _sampler(source), None if data is None else _sampler(data)
    drawn = [jax.eval_shape(partial(_two, each), key) for each in (source, data) if each is not None]
    if any(isinstance(each, tuple) for each in drawn) != (data is None):
        raise TypeError("without data the source must be a joint law, Pairs or Joint, and a joint law must come alone")
    shapes = [each.shape for each in jax.tree.leaves(drawn)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the source has dimension {shapes[0][1]} and the data {shapes[1][1]}: they must agree")
    latent = has_latent(schedule) if latent is None else latent
    if target == "latent" and not latent:
        raise ValueError("target = 'latent', but the schedule has no latent noise: give it one, or take 'noise'")
    _check(settings, steps, batch)
    # a plain function is no pytree; a Partial of it is one without leaves
    coupling = coupling if isinstance(coupling, eqx.Module) else jax.tree_util.Partial(coupling)
    schedule = schedule if isinstance(schedule, eqx.Module) else jax.tree_util.Partial(schedule)
    model = parts(model)
    row_by_row(model, shapes[0][1])
    return Work(
        key,
        model,
        source,
        data,
        schedule,
        coupling,
        settings,
        times,
        jnp.int32(steps),
        batch,
        target,
        latent,
        optimizer,
    )


def _two(law: Sampler, key: Array) -> Any:
    return law.sample(key, 2)


def _sampler(given: Any) -> Sampler:
    numpyro = type(given).__module__.partition(".")[0] == "numpyro"
    return given if hasattr(given, "sample") and not numpyro else law(given)


def _check(settings: Settings, steps: int, batch: int) -> None:
    def known(value) -> bool:
        return value is not None and not isinstance(value, Tracer)

    if steps < 1 or batch < 1:
        raise ValueError(f"steps = {steps} and batch = {batch}, but both must be at least 1")
    if known(settings.learning_rate) and not settings.learning_rate > 0:  # type: ignore[operator]
        raise ValueError(f"learning_rate = {settings.learning_rate}, but it must be positive")
    if known(settings.batch_size) and not 1 <= settings.batch_size <= batch:  # type: ignore[operator]
        raise ValueError(f"batch_size = {settings.batch_size}, but it must be between 1 and batch = {batch}")
    if known(settings.decay) and not 0 <= settings.decay < 1:  # type: ignore[operator]
        raise ValueError(f"decay = {settings.decay}, but it must be at least 0 and below 1")
    if known(settings.earliest) and known(settings.latest) and not 0 <= settings.earliest <= settings.latest <= 1:  # type: ignore[operator]
        raise ValueError(
            f"times from {settings.earliest} to {settings.latest}, but 0 <= earliest <= latest <= 1 is needed"
        )

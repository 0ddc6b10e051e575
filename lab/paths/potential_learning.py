r"""Training of K potentials on a frozen generator: each a direction of change that keeps an equation and can be recognised.

From a latent point $z_0 \sim N(0, I)$ a traversal takes unit steps, $z_{i+1} = z_i + \nabla u_k(z_i, i)$ up to i = T'. With t
uniform in 0 ... T'-2 the loss is

$$ \lambda_c\, \mathrm{CE}\big(C(G(z_{t+1}), G(z_{t+2})), k\big) + \lambda_p \Big( E|\nabla u_k(z_0, 0)|^2
   + \frac1{T'} \sum_{i < T'} E\,r(z_i, i)^2 - E\,\overline{(J_G(z_{t+1}) \nabla u_k(z_{t+1}, t+1))^2} \Big) $$

a classifier C that tells the potential from two consecutive outputs, a residual r of ``potentials.residual``, the condition of
rest at t = 0 for waves alone, and the change of the output, by one JVP, with the mean over outputs. That term has no bound: u
is between -amp and amp by its last tanh, which it can saturate.

Source: Song, Keller, Sebe, Welling, *Latent Traversals in Generative Models as Potential Flows*, ICML 2023, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, random, tell
from lab.numerics.learning import ADAM, descend
from lab.paths.autoencoder import Layer
from lab.paths.carry import Carried, Solver, carry
from lab.paths.potentials import PDE, Climb, derivatives, residual
from lab.paths.training import padded

FREQUENCIES = 4
TERMS = ("loss", "ce", "accuracy", "residual", "ic", "jvp", "displacement")
"""What is recorded of each step; the accuracy is that of the classifier on the batch, before the step."""


class Landscape(eqx.Module):
    r"""$u = a \tanh(w \cdot \tanh(W_f(\tanh(W_x z) + W_t e(t))))$ with $e(t) = \sin, \cos (2^j \pi t / 2T')$, j = 0 ... 3.

    Smooth, as its second derivatives are trained. K of them have arrays with one axis more; ``one`` takes one out.
    """

    point: Layer
    time: Float[Array, "*k h f"]
    mix: Layer
    last: Float[Array, "*k h"]
    amp: Float[Array, "*k"]
    horizon: Float[Array, "*k"]

    def __init__(
        self, key: PRNGKeyArray, d: int, hidden: int, times: int, amp: ArrayLike = 3.0, dtype: Any = jnp.float32
    ):
        keys = jax.random.split(key, 4)
        bound = 1 / np.sqrt(hidden)
        self.point, self.mix = Layer(keys[0], d, hidden, dtype), Layer(keys[1], hidden, hidden, dtype)
        shape = (hidden, 2 * FREQUENCIES)
        self.time = random.uniform(keys[2], shape, dtype, -1, 1) / np.sqrt(2 * FREQUENCIES).astype(dtype)
        self.last = random.uniform(keys[3], (hidden,), dtype, -bound, bound)
        self.amp, self.horizon = jnp.asarray(amp, dtype), jnp.asarray(times, dtype)

    def __call__(self, z: Float[Array, " d"], t: ArrayLike) -> Float[Array, ""]:
        angle = jnp.asarray(t, z.dtype) * jnp.pi / (2 * self.horizon) * 2.0 ** jnp.arange(FREQUENCIES, dtype=z.dtype)
        features = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])
        inner = jnp.tanh(self.mix(jnp.tanh(self.point(z)) + self.time @ features))
        return self.amp * jnp.tanh(self.last @ inner)


def landscapes(
    key: PRNGKeyArray, count: int, d: int, hidden: int, times: int, amp: ArrayLike = 3.0, dtype: Any = jnp.float32
) -> Landscape:
    """K of them, stacked."""
    return jax.vmap(lambda own: Landscape(own, d, hidden, times, amp, dtype))(jax.random.split(key, count))


def one(stacked: Any, k: Any) -> Any:
    """The k-th of stacked potentials; k may be traced."""
    return jax.tree.map(lambda leaf: leaf[k], stacked)


class Classifier(eqx.Module):
    """A perceptron of two hidden layers, 128 and 64, of ReLU, on two outputs side by side."""

    layers: tuple[Layer, Layer, Layer]

    def __init__(self, key: PRNGKeyArray, inputs: int, classes: int, dtype: Any = jnp.float32):
        sizes, keys = (inputs, 128, 64, classes), jax.random.split(key, 3)
        self.layers = tuple(Layer(k, m, n, dtype) for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True))  # type: ignore[assignment]

    def __call__(self, pair: Float[Array, " inputs"]) -> Float[Array, " classes"]:
        first, second, last = self.layers
        return last(jax.nn.relu(second(jax.nn.relu(first(pair)))))


class Outputs(eqx.Module):
    """A generator whose outputs are one row, in the precision of its latent points."""

    generator: Any

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        return self.generator(z).ravel().astype(z.dtype)


class Settings(NamedTuple):
    """What may be swept: all traced."""

    weight_class: ArrayLike = 1.0
    weight_pde: ArrayLike = 1.0
    weight_jvp: ArrayLike = 1.0  # within the terms that weight_pde scales
    weight_rest: ArrayLike = 1.0  # of the condition of waves at t = 0, likewise
    learning_rate: ArrayLike = 1e-3
    reflect: ArrayLike = 0.0  # how often a pair is reflected about its start, so that both directions are learned


class Model(NamedTuple):
    """What is trained together."""

    landscape: Landscape
    c: Float[Array, " k"]
    classifier: Classifier | None


@chosen
class Lesson(eqx.Module):
    """What is learned, on which generator, and how."""

    key: PRNGKeyArray
    model: Model
    decoder: Any
    settings: Settings
    steps: Int[Array, ""]
    pde: PDE = eqx.field(static=True)
    times: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    shared: bool = eqx.field(static=True)  # one index and one time for a batch
    detach: bool = eqx.field(static=True)


class Terms(NamedTuple):
    """The parts of the loss, and what is told beside."""

    ce: Float[Array, ""]
    accuracy: Float[Array, ""]
    residual: Float[Array, ""]
    ic: Float[Array, ""]
    jvp: Float[Array, ""]
    displacement: Float[Array, ""]


class State(NamedTuple):
    model: Model
    moments: Any
    step: Int[Array, ""]
    loss: Float[Array, ""]
    terms: Terms


class Rolled(NamedTuple):
    """Of one sample."""

    residual: Float[Array, ""]  # mean of squares
    rest: Float[Array, ""]
    change: Float[Array, ""]
    pair: Float[Array, " two_outputs"]
    displacement: Float[Array, ""]


def roll(lesson: Lesson, u: Callable, c: Array, z: Float[Array, " d"], t: Int[Array, ""], mirrored: Array) -> Rolled:
    """One traversal from z, and what the loss needs of it.

    Args:
        t: which of its outputs are seen, those at t + 1 and t + 2.
        mirrored: whether the pair is reflected about z, and in the other order.
    """

    def step(at: Array, i: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        # of a point that is held fixed the last move still has its slope, by which the classifier teaches
        when = i.astype(z.dtype)
        if lesson.pde == "none":
            slope, left = jax.grad(u)(at, when), jnp.zeros((), z.dtype)
        else:
            found = derivatives(u, at, when)
            slope, left = found.gradient, residual(lesson.pde, at, found, c)
        moved = at + slope
        return jax.lax.stop_gradient(moved) if lesson.detach else moved, (moved, slope, left**2)

    _, (moves, slopes, squares) = jax.lax.scan(step, z, jnp.arange(lesson.times))
    way = jnp.concatenate([z[None], moves])
    seen = jax.lax.stop_gradient(way) if lesson.detach else way
    first, second = way[t + 1], way[t + 2]
    first, second = (jnp.where(mirrored, 2 * z - other, at) for at, other in ((first, second), (second, first)))
    _, change = jax.jvp(lesson.decoder, (seen[t + 1],), (slopes[t + 1],))
    pair = jnp.concatenate([lesson.decoder(first), lesson.decoder(second)])
    far = jnp.sqrt(((way[-1] - z) ** 2).sum())
    return Rolled(squares.mean(), (slopes[0] ** 2).sum(), (change**2).mean(), pair, far)


class Batch(NamedTuple):
    """What a step draws: of each row of it one index, and of each of its samples where and when it is seen."""

    index: Int[Array, " rows"]
    z: Float[Array, "rows n d"]
    t: Int[Array, "rows n"]
    mirrored: Bool[Array, "rows n"]


def draw(lesson: Lesson, key: PRNGKeyArray) -> Batch:
    """One index and time for all, or a row for each index."""
    count, d = lesson.model.c.shape[0], lesson.model.landscape.point.weight.shape[-1]
    keys, dtype = jax.random.split(key, 4), lesson.model.c.dtype
    rows = 1 if lesson.shared else count
    shape = (rows, lesson.batch // rows)
    index = random.randint(keys[3], (1,), 0, count) if lesson.shared else jnp.arange(count, dtype=jnp.int32)
    t = random.randint(keys[1], (1, 1) if lesson.shared else shape, 0, lesson.times - 1)
    return Batch(
        index,
        random.normal(keys[0], (*shape, d), dtype),
        jnp.broadcast_to(t, shape),
        random.uniform(keys[2], shape, dtype) < lesson.settings.reflect,
    )


def loss(model: Model, lesson: Lesson, batch: Batch) -> tuple[Float[Array, ""], Terms]:
    """The loss of a batch, and its parts."""
    dtype, index = model.c.dtype, batch.index

    def of_index(u: Landscape, c: Array, z: Array, t: Array, mirrored: Array) -> Rolled:
        return jax.vmap(lambda z, t, m: roll(lesson, u, c, z, t, m))(z, t, mirrored)

    rolled = jax.vmap(of_index)(one(model.landscape, index), model.c[index], batch.z, batch.t, batch.mirrored)
    if model.classifier is None:
        ce, accuracy = jnp.zeros((), dtype), jnp.full((), jnp.nan, dtype)
    else:
        scores = jax.vmap(jax.vmap(model.classifier))(rolled.pair)
        own = jnp.broadcast_to(index[:, None], batch.t.shape)
        ce = -jnp.take_along_axis(jax.nn.log_softmax(scores), own[..., None], axis=2).mean()
        accuracy = (scores.argmax(axis=2) == own).mean(dtype=dtype)
    terms = Terms(
        ce, accuracy, rolled.residual.mean(), rolled.rest.mean(), rolled.change.mean(), rolled.displacement.mean()
    )
    w = lesson.settings
    rest = w.weight_rest * terms.ic if lesson.pde == "wave" else jnp.zeros((), dtype)
    physics = rest + terms.residual - w.weight_jvp * terms.jvp
    return jnp.asarray(w.weight_class * ce + w.weight_pde * physics, dtype), terms


def _init(lesson: Lesson) -> State:
    nothing = jnp.zeros((), lesson.model.c.dtype)
    return State(
        lesson.model, ADAM.init(eqx.filter(lesson.model, eqx.is_array)), jnp.int32(0), nothing, Terms(*6 * [nothing])
    )


def _step(lesson: Lesson, state: State) -> State:
    batch = draw(lesson, jax.random.fold_in(lesson.key, state.step))
    (value, terms), slope = jax.value_and_grad(loss, has_aux=True)(state.model, lesson, batch)
    model, moments = descend(ADAM, state.model, slope, state.moments, lesson.settings.learning_rate)
    fixed = lesson.model.landscape  # the scale and the horizon are no weights
    landscape = eqx.tree_at(lambda u: (u.amp, u.horizon), model.landscape, (fixed.amp, fixed.horizon))
    return State(model._replace(landscape=landscape), moments, state.step + 1, value, terms)


def _done(lesson: Lesson, state: State) -> Array:
    reason = jnp.where(state.step >= lesson.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda lesson, state: {"loss": state.loss} | state.terms._asdict())


class Trained(NamedTuple):
    """The potentials and what was seen on the way; ``state`` resumes the training."""

    model: Model
    trace: dict[str, Float[Array, " steps"]]  # by TERMS, NaN of the steps that a stop left out
    iterations: Any
    reason: Any
    state: State


@chosen
def prepare(
    key: PRNGKeyArray,
    decoder: Callable,
    d: int,
    count: int = 4,
    pde: PDE = "wave",
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    times: int = 5,
    steps: int = 2000,
    batch: int = 64,
    hidden: int = 32,
    amp: ArrayLike = 3.0,
    shared: bool = True,
    detach: bool = False,
    dtype: Any = jnp.float32,
) -> Lesson:
    """What ``train`` hands to the loop, checked; arguments as there."""
    if d < 1 or count < 1 or steps < 1:
        raise ValueError(f"d = {d}, count = {count} and steps = {steps}, but each must be at least 1")
    if times < 2:
        raise ValueError(f"times = {times}, but a traversal needs at least 2 steps: a pair and what comes before it")
    if count < 2 and not isinstance(settings.weight_class, Tracer) and settings.weight_class != 0:
        raise ValueError("one potential needs no classifier: give count of at least 2, or weight_class = 0")
    if batch < (1 if shared else count):
        raise ValueError(f"batch = {batch}, but each of {count} potentials needs a share of it: raise batch")
    outputs = checked(decoder, d, dtype)
    keys = jax.random.split(key, 3)
    model = Model(
        landscapes(keys[0], count, d, hidden, times, amp, dtype),
        jnp.ones(count, dtype),
        Classifier(keys[1], 2 * outputs, count, dtype) if count > 1 else None,
    )
    given = Settings(*(jnp.asarray(value, dtype) for value in settings))
    return Lesson(keys[2], model, Outputs(decoder), given, jnp.int32(steps), pde, times, batch, shared, detach)


def checked(decoder: Callable, d: int, dtype: Any = jnp.float32) -> int:
    """How many numbers a generator gives.

    Raises:
        ValueError: it fails on a point of d numbers, or gives nothing finite.
    """
    try:
        shape = jax.eval_shape(decoder, jax.ShapeDtypeStruct((d,), dtype))
    except Exception as problem:
        why = f"{type(problem).__name__}: {str(problem).splitlines()[0][:160]}" if str(problem) else repr(problem)
        raise ValueError(f"the generator fails on a latent point of {d} numbers: {why}") from problem
    if not hasattr(shape, "shape") or not jnp.issubdtype(shape.dtype, jnp.floating) or shape.size < 1:
        raise ValueError("the generator must give an array of real numbers, at least one, from a latent point (d,)")
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(decoder)):
        with jax.ensure_compile_time_eval():
            if not np.isfinite(np.asarray(decoder(jnp.full((d,), 0.5, dtype)))).all():
                raise ValueError("the generator gives values that are not finite at z = (0.5, ..., 0.5)")
    return shape.size


@chosen
def train(
    loop: Loop,
    key: PRNGKeyArray,
    decoder: Callable,
    d: int,
    count: int = 4,
    pde: PDE = "wave",
    settings: Settings = Settings(),  # noqa: B008  # immutable
    *,
    state: State | None = None,
    **sizes: Any,
) -> Trained:
    """Train K potentials, the speeds c of their equation and the classifier together, by Adam.

    Args:
        loop: ``pure`` or a ``Chunked``, which reports and stops.
        decoder: the frozen generator, from (d,) to real numbers of any shape; a pytree is given to the program, a plain
            function compiled in.
        count: K. One potential needs ``weight_class = 0``.
        pde: one of ``potentials.PDES``.
        times: T', steps of a traversal.
        batch: latent points of a step.
        shared: one index and one time for a whole batch, as in the published code; else each potential has a K-th of every
            batch, and each sample its own time. The expectation is the same; a classifier that sees one class at a time is
            not.
        hidden: units of a potential.
        amp: the bound of u.
        detach: gradients don't flow through earlier steps; a third to a half of the time.
        state: where to go on.

    Raises:
        ValueError: sizes that are not allowed, an unknown equation, a generator that fails.

    Warns:
        NotConverged: the loss became infinite or NaN; the trace tells which of its terms.

    Time of a step: T'(d + 1) second derivatives of the potentials and three passes of the generator for each sample.
    """
    lesson = prepare(key, decoder, d, count, pde, settings, **sizes)
    steps = sizes.get("steps", 2000)
    run = loop(STEPS, lesson, state, max_iterations=steps)
    if loop is pure:
        tell("lab.paths.potential_learning.train", run.reason, run.iterations)
    trace = {name: padded(run.trace[name], steps) for name in TERMS}
    return Trained(run.state.model, trace, run.iterations, run.reason, run.state)


@chosen
def traverse(
    loop: Loop,
    u: Callable,
    z: Float[Array, "n d"],
    times: Float[Array, " times"],
    solver: Solver = "euler",
    **options: Any,
) -> Carried:
    """Points along one potential: "euler" on whole times as it was trained, "rk4" between them; decreasing times go back.

    Args:
        times: (steps + 1,), from 0 to at most the horizon of a trained potential, T'.
        options: of ``carry``.

    Raises:
        ValueError: times outside what the potential was trained on.
    """
    if isinstance(u, Landscape) and not isinstance(u.horizon, Tracer) and not isinstance(times, Tracer):
        low, high, most = float(jnp.min(times)), float(jnp.max(times)), float(jnp.max(u.horizon))
        if low < 0 or high > most:
            raise ValueError(f"times go from {low:g} to {high:g}, but the potential was trained from 0 to {most:g}")
    return carry(loop, Climb(u), z, times, solver=solver, **options)


class Ways(eqx.Module):
    """All potentials at once, for ``carry`` of points (k, n, d)."""

    landscape: Landscape

    def __call__(self, t: ArrayLike, z: Float[Array, "k n d"]) -> Float[Array, "k n d"]:
        return jax.vmap(lambda u, own: Climb(u)(t, own))(self.landscape, z)

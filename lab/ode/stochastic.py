r"""Equations with noise, $dz = f(t, z)\,dt + g(t, z) \circ dW$, each number with its own, by steps that know their error.

The step is diffrax's ``SPaRK`` (Foster, *On the convergence of adaptive approximations for SDEs*, 2023), which asks drift and
diffusion three times and has an embedded error; the noise is a virtual Brownian tree, so that a step that is rejected is
tried again on the same path. The stages of SPaRK do not meet at one time, so the stiffness is that between the two
solutions of the pair,

$$ S = \frac{|f(t + h, y_1) - f(t + h, y_1 - \mathrm{err})|}{|\mathrm{err}|}, $$

which is $|\lambda|$ for $f = \lambda y$; it costs two evaluations of the drift more, which are not counted.

The equation of the experiment, in the sense of Ito with $a = 0.1$, $b = 2$, $g = 0.2$ (``spiral``; the correction of
$-g^2 u / 2$ makes it one of Stratonovich):

$$ du_1 = (-a u_1^3 + b u_2^3)\,dt + g u_1\,dW_1, \qquad du_2 = (-b u_1^3 - a u_2^3)\,dt + g u_2\,dW_2 . $$
"""

from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.jit import jit
from lab.numerics.learning import descend
from lab.ode.regularizers import How, Kind, check_numbers, error_of, penalty, stiffness_of
from lab.ode.solving import Steps, solve
from lab.ode.steppers import Tried

TREE = 1e-3
"""The resolution of the noise: no step is told anything finer."""
BELIEF = optax.scale_by_belief()
FIRST = 0.01


class Noisy(eqx.Module):
    """A step of SPaRK along one path of the noise.

    Attributes:
        drift, diffusion: f and g, called at (t, z), both of the shape of z.
        noise: the path, a ``diffrax.VirtualBrownianTree`` of the shape of z with space-time Levy area.
    """

    drift: Any
    diffusion: Any
    noise: diffrax.VirtualBrownianTree

    @property
    def order(self) -> float:
        return 1.0

    @property
    def evaluations(self) -> int:
        """Of the drift in a step, and as many of the diffusion."""
        return 3

    @property
    def begins(self) -> int:
        return 0

    def begin(self, t: Array, y: Array) -> None:
        return None

    def __call__(self, t: Array, h: Array, y: Array, memory: Any) -> Tried:
        t, later = jax.lax.stop_gradient((t, t + h))
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, args: self.drift(t, y)),
            diffrax.ControlTerm(
                lambda t, y, args: lineax.DiagonalLinearOperator(self.diffusion(t, y)),
                self.noise,
            ),
        )
        y1, error, _, _, _ = diffrax.SPaRK().step(terms, t, later, y, None, None, False)
        assert error is not None
        over = self.drift(later, y1) - self.drift(later, y1 - error)
        return Tried(y1, error, over, error, None, None)


def noise(key: PRNGKeyArray, shape: tuple[int, ...], t0: float = 0.0, t1: float = 1.0) -> diffrax.VirtualBrownianTree:
    """A path of Brownian motion for each number of a state."""
    return diffrax.VirtualBrownianTree(t0, t1, TREE, shape, key, levy_area=diffrax.SpaceTimeLevyArea)


class Spiral(eqx.Module):
    """The equation of the experiment."""

    a: Any = 0.1
    b: Any = 2.0
    g: Any = 0.2

    def drift(self, t: Array, z: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        cubes = z**3
        turned = jnp.stack(
            [-self.a * cubes[:, 0] + self.b * cubes[:, 1], -self.b * cubes[:, 0] - self.a * cubes[:, 1]], axis=1
        )
        return turned - self.g**2 / 2 * z

    def diffusion(self, t: Array, z: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        return self.g * z


class Learnt(eqx.Module):
    """Drift x^3 -> 2-50(tanh)-2 and a linear diffusion, as in the experiment."""

    first: Float[Array, "hidden 2"]
    first_bias: Float[Array, " hidden"]
    second: Float[Array, "2 hidden"]
    second_bias: Float[Array, " 2"]
    spread: Float[Array, "2 2"]
    spread_bias: Float[Array, " 2"]

    def drift(self, t: Array, z: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        return jnp.tanh(z**3 @ self.first.T + self.first_bias[None]) @ self.second.T + self.second_bias[None]

    def diffusion(self, t: Array, z: Float[Array, "n 2"]) -> Float[Array, "n 2"]:
        return z @ self.spread.T + self.spread_bias[None]


def learnt(key: PRNGKeyArray, hidden: int = 50) -> Learnt:
    """Before training: weights uniform as Glorot has them, biases of 0."""
    keys = jax.random.split(key, 3)

    def uniform(key: Array, out: int, into: int) -> Array:
        reach = (6 / (into + out)) ** 0.5
        return random.uniform(key, (out, into), float, -reach, reach)

    return Learnt(
        uniform(keys[0], hidden, 2),
        jnp.zeros(hidden),
        uniform(keys[1], 2, hidden),
        jnp.zeros(2),
        uniform(keys[2], 2, 2),
        jnp.zeros(2),
    )


def carried(
    equation: Any,
    key: PRNGKeyArray,
    n: int,
    tolerance: ArrayLike,
    *,
    start: tuple[float, float] = (2.0, 0.0),
    times: int = 30,
    max_steps: int = 128,
) -> Steps:
    """n paths as one state, at so many even times on (0, 1], with error and stiffness of every step."""
    y0 = jnp.broadcast_to(jnp.asarray(start), (n, 2))
    step = Noisy(equation.drift, equation.diffusion, noise(key, (n, 2)))
    stops = jnp.arange(1, times + 1) / times
    return solve(step, y0, stops=stops, rtol=tolerance, atol=tolerance, h0=FIRST, max_steps=max_steps, throw=False)


class Moments(NamedTuple):
    """Of paths at each time."""

    mean: Float[Array, "times 2"]
    variance: Float[Array, "times 2"]


def moments(paths: Float[Array, "times n 2"]) -> Moments:
    """Mean and variance at each time, over the paths."""
    return Moments(paths.mean(axis=1), paths.var(axis=1))


@jit
def known_moments(
    equation: Spiral, key: PRNGKeyArray, n: int = 10_000, times: int = 30, steps: int = 20, start: tuple = (2.0, 0.0)
) -> Moments:
    """Of the equation itself, by n paths of Heun's method in so many steps between two times: the data of the experiment."""
    h = 1 / (times * steps)

    def one(z: Array, key: Array) -> tuple[Array, None]:
        dw = h**0.5 * random.normal(key, z.shape, z.dtype)
        drift, spread = equation.drift(jnp.zeros(()), z), equation.diffusion(jnp.zeros(()), z)
        guess = z + h * drift + spread * dw
        drift, spread = drift + equation.drift(jnp.zeros(()), guess), spread + equation.diffusion(jnp.zeros(()), guess)
        return z + (h * drift + spread * dw) / 2, None

    def stretch(z: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        z, _ = jax.lax.scan(one, z, jax.random.split(key, steps))
        return z, (z.mean(axis=0), z.var(axis=0))

    z = jnp.broadcast_to(jnp.asarray(start, float), (n, 2))
    _, (mean, variance) = jax.lax.scan(stretch, z, jax.random.split(key, times))
    return Moments(mean, variance)


def misfit(paths: Float[Array, "times n 2"], goal: Moments) -> Float[Array, ""]:
    """Mean squared error of the means, and of the variances."""
    found = moments(paths)
    return ((found.mean - goal.mean) ** 2).mean() + ((found.variance - goal.variance) ** 2).mean()


@chosen
class Lesson(eqx.Module):
    """A training, as the loop sees it."""

    key: PRNGKeyArray
    model: Any
    goal: Moments
    strength: Float[Array, ""]
    learning_rate: Float[Array, ""]
    tolerance: Float[Array, ""]
    steps: Int[Array, ""]
    kind: Kind = eqx.field(static=True)
    how: How = eqx.field(static=True)
    paths: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)


class Seen(NamedTuple):
    """What is seen of a step of a training: losses, regularizers, evaluations."""

    loss: Array
    misfit: Array
    reg_E: Array  # sum of E h
    reg_S: Array  # mean of S
    nfe: Array  # of the drift, and as many of the diffusion


class State(NamedTuple):
    """Where a training is."""

    model: Any
    moments: optax.OptState
    step: Int[Array, ""]
    short: Int[Array, ""]
    seen: Seen


class Learned(NamedTuple):
    """A trained equation, with what was seen of each step."""

    model: Any
    seen: Seen
    short: Any
    iterations: Any
    reason: Any
    state: State


def _init(lesson: Lesson) -> State:
    zero = jnp.int32(0)
    return State(lesson.model, BELIEF.init(lesson.model), zero, zero, Seen(*(jnp.zeros(()),) * len(Seen._fields)))


def _step(lesson: Lesson, state: State) -> State:
    key = jax.random.fold_in(lesson.key, state.step)

    def loss(model: Any) -> tuple[Array, tuple[Array, Steps]]:
        found = carried(
            model, key, lesson.paths, lesson.tolerance, times=len(lesson.goal.mean), max_steps=lesson.max_steps
        )
        missed = misfit(found.ys, lesson.goal)
        return missed + penalty(lesson.kind, found, lesson.strength, how=lesson.how, key=key), (missed, found)

    (value, (missed, found)), slope = jax.value_and_grad(loss, has_aux=True)(state.model)
    eta = lesson.learning_rate / (1 + 1e-5 * state.step)
    model, moments_ = descend(BELIEF, state.model, slope, state.moments, eta)
    numbers = value, missed, error_of(found), stiffness_of(found, "mean"), found.evaluations
    short = state.short + (found.reason != Reason.CONVERGED)
    seen = Seen(*(jnp.asarray(number, float) for number in numbers))
    return State(model, moments_, state.step + 1, short.astype(jnp.int32), seen)


def _done(lesson: Lesson, state: State) -> Array:
    reason = jnp.where(state.step >= lesson.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.seen.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


LEARNING = Method(_init, _step, _done, lambda lesson, state: state.seen._asdict())


@chosen
def learn(
    key: PRNGKeyArray,
    model: Any,
    goal: Moments,
    *,
    kind: Kind = "ER",
    strength: ArrayLike = 0.2,
    how: How = "sum",
    learning_rate: ArrayLike = 0.01,
    tolerance: ArrayLike = 0.3,
    steps: int = 250,
    paths: int = 100,
    max_steps: int = 64,
    state: State | None = None,
    loop: Loop = pure,
) -> Learned:
    """Fit drift and diffusion to means and variances by time; each step sees paths of its own.

    Args:
        model: of ``learnt``, or one of your own with ``drift(t, z)`` and ``diffusion(t, z)``.
        goal: means and variances at even times on (0, 1].
        kind: ER, ER2, SR, ER+SR or local; there is no random end and no Taylor coefficient of paths.
        steps: of AdaBelief, static; so are the paths.
        state: where to go on.

    Raises:
        ValueError: a kind that equations with noise do not have, numbers that can't be.
    """
    if kind.startswith(("STEER", "Tay")):
        raise ValueError(f"kind = {kind!r}, but equations with noise take vanilla, ER, ER2, SR, ER+SR or local")
    if steps < 1 or paths < 2:
        raise ValueError(f"steps = {steps} and paths = {paths}, but a step and two paths are needed")
    if max_steps < 1:
        raise ValueError(f"max_steps = {max_steps}, but at least 1 is needed")
    given = {"strength": strength, "learning_rate": learning_rate, "tolerance": tolerance}
    check_numbers(given, may_vanish=("strength",))
    weight, rate, tol = (jnp.asarray(value, float) for value in (strength, learning_rate, tolerance))
    lesson = Lesson(key, model, goal, weight, rate, tol, jnp.int32(steps), kind, how, paths, max_steps)
    run = loop(LEARNING, lesson, state, max_iterations=steps)
    trace = run.trace
    if not isinstance(run.iterations, Tracer) and len(trace["loss"]) < steps:
        lost = steps - len(trace["loss"])
        trace = {name: np.pad(rows, (0, lost), constant_values=np.nan) for name, rows in trace.items()}
    return Learned(run.state.model, Seen(**trace), run.state.short, run.iterations, run.reason, run.state)

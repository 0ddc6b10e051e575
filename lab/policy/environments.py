r"""Environments: where an episode begins, and what an action does.

Equations and constants of the classic control tasks are those of Gymnasium (v1 of CartPole, Acrobot and Pendulum): Barto,
Sutton and Anderson, 1983; Sutton, 1996. An episode here ends where it is done, or after the steps of the task.

``reset(key)`` gives an observation and a state, ``step(key, state, action)`` an observation, a state, the reward, and
whether the episode is done. ``drawn(state)`` is a line in the plane that shows the state, ``seen(u, v)`` the observation
at two coordinates.
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.inputs import listed, shown
from lab.numerics import arguments, random

from .mdp import MDP
from .policies import drawn as _drawn

type Observation = Float[Array, " o"]
type Kind = Literal["discrete", "continuous"]


class Moved(NamedTuple):
    """After a step. The reward is a number, ``done`` whether the episode has ended."""

    observation: Any
    state: Any
    reward: Any
    done: Any


class Plane(NamedTuple):
    """Two coordinates that a policy is shown over: names and ranges."""

    names: tuple[str, str]
    x: tuple[float, float]
    y: tuple[float, float]


@runtime_checkable
class Environment(Protocol):
    """What a rollout needs; ``actions`` counts actions, or the coordinates of a continuous one."""

    @property
    def kind(self) -> str: ...
    @property
    def observations(self) -> int: ...
    @property
    def actions(self) -> int: ...
    def reset(self, key: PRNGKeyArray) -> tuple[Any, Any]: ...
    def step(self, key: PRNGKeyArray, state: Any, action: Any) -> Moved: ...


class CartPole(eqx.Module):
    """A pole on a cart that is pushed left (0) or right (1): 1 for every step until it falls or the cart is too far.

    State and observation: position (m), velocity, angle (rad), angular velocity.
    """

    kind = "discrete"
    observations = 4
    actions = 2
    plane = Plane(("angle (rad)", "angular velocity (rad/s)"), (-0.21, 0.21), (-2.5, 2.5))

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        state = random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return state, state

    def step(self, key: PRNGKeyArray, state: Float[Array, "4"], action: Any) -> Moved:
        x, v, angle, spin = state
        force = jnp.where(action == 1, 10.0, -10.0)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        pole, whole, half, tau = 0.1, 1.1, 0.5, 0.02  # masses, half of the length, seconds of a step
        push = (force + pole * half * spin**2 * sin) / whole
        turn = (9.8 * sin - cos * push) / (half * (4 / 3 - pole * cos**2 / whole))
        move = push - pole * half * turn * cos / whole
        state = jnp.stack([x + tau * v, v + tau * move, angle + tau * spin, spin + tau * turn])
        done = (jnp.abs(state[0]) > 2.4) | (jnp.abs(state[2]) > 12 * 2 * np.pi / 360)
        return Moved(state, state, jnp.ones(()), done)

    def drawn(self, state: Float[Array, "4"]) -> Float[Array, "k 2"]:
        x, angle = state[0], state[2]
        cart = x + jnp.array([-0.25, -0.25, 0.25, 0.25, -0.25, -0.25, 0.0])
        high = jnp.array([0.0, -0.15, -0.15, 0.0, 0.0, 0.0, 0.0])
        tip = jnp.stack([x + jnp.sin(angle), jnp.cos(angle)])
        return jnp.concatenate([jnp.stack([cart, high], axis=1), tip[None, :]])

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Observation:
        return jnp.stack([jnp.zeros_like(u), jnp.zeros_like(u), u, v])


class Acrobot(eqx.Module):
    """Two links that hang; torque -1, 0 or 1 at the joint between them. -1 for every step until the tip is a link above.

    State: both angles and their velocities; observation: cosines and sines in place of angles.
    """

    kind = "discrete"
    observations = 6
    actions = 3
    plane = Plane(("first angle (rad)", "second angle (rad)"), (-np.pi, np.pi), (-np.pi, np.pi))

    def observe(self, state: Float[Array, "4"]) -> Observation:
        a, b, c, d = state
        return jnp.stack([jnp.cos(a), jnp.sin(a), jnp.cos(b), jnp.sin(b), c, d])

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        state = random.uniform(key, (4,), minval=-0.1, maxval=0.1)
        return self.observe(state), state

    def _slope(self, state: Array, torque: Array) -> Array:
        """Of angles and velocities, for links of length and mass 1, centres at 1/2, moments of inertia 1 (Sutton and Barto)."""
        first, second, spin, turn = state
        cos = jnp.cos(second)
        d1 = 0.25 + (1.25 + cos) + 2.0
        d2 = 0.25 + 0.5 * cos + 1.0
        phi2 = 0.5 * 9.8 * jnp.cos(first + second - np.pi / 2)
        phi1 = -0.5 * turn**2 * jnp.sin(second) - turn * spin * jnp.sin(second)
        phi1 = phi1 + 1.5 * 9.8 * jnp.cos(first - np.pi / 2) + phi2
        after = torque + d2 / d1 * phi1 - 0.5 * spin**2 * jnp.sin(second) - phi2
        faster = after / (1.25 - d2**2 / d1)
        return jnp.stack([spin, turn, -(d2 * faster + phi1) / d1, faster])

    def step(self, key: PRNGKeyArray, state: Float[Array, "4"], action: Any) -> Moved:
        torque, tau = jnp.asarray(action, state.dtype) - 1, 0.2
        k1 = self._slope(state, torque)
        k2 = self._slope(state + tau / 2 * k1, torque)
        k3 = self._slope(state + tau / 2 * k2, torque)
        k4 = self._slope(state + tau * k3, torque)
        state = state + tau / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        most = np.pi * np.array([4, 9])
        state = jnp.concatenate([_wrapped(state[:2]), jnp.clip(state[2:], -most, most)])
        done = -jnp.cos(state[0]) - jnp.cos(state[1] + state[0]) > 1
        return Moved(self.observe(state), state, jnp.where(done, 0.0, -1.0), done)

    def drawn(self, state: Float[Array, "4"]) -> Float[Array, "k 2"]:
        a, b = state[0], state[0] + state[1]
        joint = jnp.stack([jnp.sin(a), -jnp.cos(a)])
        return jnp.stack([jnp.zeros(2), joint, joint + jnp.stack([jnp.sin(b), -jnp.cos(b)])])

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Observation:
        return self.observe(jnp.stack([u, v, jnp.zeros_like(u), jnp.zeros_like(u)]))


class Pendulum(eqx.Module):
    """A pendulum to be swung up by a torque of at most 2: minus angle², velocity² / 10 and torque² / 1000 at every step.

    State: angle from upright (rad) and its velocity; observation: cosine, sine, velocity.
    """

    kind = "continuous"
    observations = 3
    actions = 1
    plane = Plane(("angle (rad)", "angular velocity (rad/s)"), (-np.pi, np.pi), (-8.0, 8.0))

    def observe(self, state: Float[Array, "2"]) -> Observation:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        state = random.uniform(key, (2,), minval=-1.0, maxval=1.0) * np.array([np.pi, 1.0])
        return self.observe(state), state

    def step(self, key: PRNGKeyArray, state: Float[Array, "2"], action: Float[Array, "1"]) -> Moved:
        angle, spin = state
        torque, tau = jnp.clip(action[0], -2.0, 2.0), 0.05
        cost = _wrapped(angle) ** 2 + 0.1 * spin**2 + 0.001 * torque**2
        spin = jnp.clip(spin + (15.0 * jnp.sin(angle) + 3.0 * torque) * tau, -8.0, 8.0)
        state = jnp.stack([angle + spin * tau, spin])
        return Moved(self.observe(state), state, -cost, jnp.zeros((), bool))

    def drawn(self, state: Float[Array, "2"]) -> Float[Array, "k 2"]:
        return jnp.stack([jnp.zeros(2), jnp.stack([-jnp.sin(state[0]), jnp.cos(state[0])])])

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Observation:
        return self.observe(jnp.stack([u, v]))


class Tabular(eqx.Module):
    """A finite process, whose state is observed one-hot."""

    mdp: MDP

    kind = "discrete"

    @property
    def observations(self) -> int:
        return self.mdp.rewards.shape[0]

    @property
    def actions(self) -> int:
        return self.mdp.rewards.shape[1]

    def observe(self, state: Any) -> Observation:
        return jax.nn.one_hot(state, self.observations, dtype=self.mdp.rewards.dtype)

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        state = _drawn(self.mdp.start, key)
        return self.observe(state), state

    def step(self, key: PRNGKeyArray, state: Any, action: Any) -> Moved:
        after = _drawn(self.mdp.transitions[state, action], key)
        return Moved(self.observe(after), after, self.mdp.rewards[state, action], jnp.zeros((), bool))

    def drawn(self, state: Any) -> Float[Array, "k 2"]:
        """Its place on a circle of all states."""
        at = np.pi / 2 - 2 * np.pi * state / self.observations
        return jnp.stack([jnp.cos(at), jnp.sin(at)])[None, :]


@chosen
class Own(eqx.Module):
    """An environment of one's own: a step function, ``own`` makes it and looks at what it gives."""

    call: Callable[..., Any] = eqx.field(static=True)
    begin: Callable[..., Any] = eqx.field(static=True)
    observe: Callable[..., Any] = eqx.field(static=True)
    kind: Kind = eqx.field(static=True)
    observations: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Any]:
        state = self.begin(key)
        return self._looked(state), state

    def step(self, key: PRNGKeyArray, state: Any, action: Any) -> Moved:
        after, reward, done = self.call(key, state, action)
        after = jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), after, state)
        return Moved(self._looked(after), after, jnp.asarray(reward, float), jnp.asarray(done, bool))

    def _looked(self, state: Any) -> Array:
        return jnp.asarray(self.observe(state), float).reshape(-1)

    def drawn(self, state: Any) -> Float[Array, "k 2"]:
        """The first two numbers that are observed."""
        return jnp.pad(self._looked(state)[:2], (0, max(0, 2 - self.observations)))[None, :]

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Observation:
        place = jnp.stack([u, v])[: self.observations]
        return jnp.pad(place, (0, self.observations - place.size))


@chosen
def own(step: Callable[..., Any], start: Any, actions: int, *, kind: Kind = "discrete", observe: Any = None) -> Own:
    r"""An environment of a step function, $(s, a) \mapsto (s', r, \mathrm{done})$.

    Args:
        step: (state, action) or (state, action, key) to (state, reward, done), of jax.numpy.
        start: the first state, or a function of a key that draws one.
        actions: how many there are, or how many coordinates a continuous action has.
        kind: of the actions: whole numbers 0, 1, ..., or arrays (actions,).
        observe: what a policy sees of a state; all its numbers when omitted.

    Returns:
        the environment.

    Raises:
        ValueError: what does not fit together; the sentence says what was found.
        TypeError: the step function can't be called.

    Source:
        Sutton and Barto, Reinforcement Learning, on decision processes.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> walk = policy.own(lambda s, a: (s + a - 0.5, -abs(s), abs(s) > 5), 0.0, 2)
        >>> walk.observations, float(walk.step(jax.random.key(0), jnp.array(0.0), 1).state)
        (1, 0.5)
    """
    actions = arguments.whole("actions", actions, 1)
    if not callable(step):
        raise TypeError(f"step is a {type(step).__name__}, but a function of a state and an action is needed")
    takes_key = len(inspect.signature(step).parameters) > 2
    fixed = None if callable(start) else jax.tree.map(lambda x: jnp.asarray(x, float), start)
    begin = start if callable(start) else lambda key: fixed
    look = observe or (lambda state: jnp.concatenate([jnp.ravel(each) for each in jax.tree.leaves(state)]))

    def call(key: Array, state: Any, action: Any) -> Any:
        return step(state, action, key) if takes_key else step(state, action)

    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        state = jax.eval_shape(begin, key)
        seen = jax.eval_shape(look, state)
        act = jax.ShapeDtypeStruct(*(((), jnp.int32) if kind == "discrete" else ((actions,), jnp.zeros(()).dtype)))
        made = jax.eval_shape(call, key, state, act)
    except Exception as problem:
        raise TypeError(f"the step function can't be called: {problem}") from problem
    if not isinstance(made, tuple | list) or len(made) != 3:
        raise ValueError("the step function must give three things: the next state, the reward, and whether it is done")
    after, reward, done = made
    told = [jax.tree.map(jnp.shape, each) for each in (after, state)]
    if told[0] != told[1] or jax.tree.structure(after) != jax.tree.structure(state):
        raise ValueError(
            f"the step function gives a state of shape {told[0]} for one of {told[1]}: it must be the same"
        )
    if jnp.shape(reward) or jnp.shape(done):
        raise ValueError(
            f"the step function gives a reward of shape {jnp.shape(reward)} and done of {jnp.shape(done)}: each must be one "
            "number"
        )
    return Own(call, begin, look, kind, int(np.prod(seen.shape)), actions)


@chosen
class Foreign(eqx.Module):
    """An environment with the ``reset`` and ``step`` of gymnax; ``foreign`` makes it and looks at what it gives."""

    env: Any = eqx.field(static=True)
    params: Any
    kind: Kind = eqx.field(static=True)
    observations: int = eqx.field(static=True)
    actions: int = eqx.field(static=True)

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Any]:
        x, state = self.env.reset(key, self.params)
        return jnp.asarray(x, float).reshape(-1), state

    def step(self, key: PRNGKeyArray, state: Any, action: Any) -> Moved:
        x, state, reward, done, *rest = self.env.step(key, state, action, self.params)
        if len(rest) == 2:  # terminated, truncated, info
            done = done | rest[0]
        return Moved(jnp.asarray(x, float).reshape(-1), state, jnp.asarray(reward, float), jnp.asarray(done, bool))

    def drawn(self, state: Any) -> Float[Array, "k 2"]:
        """The first two numbers of the state."""
        flat = jnp.concatenate([jnp.ravel(jnp.asarray(each, float)) for each in jax.tree.leaves(state)])
        return jnp.pad(flat[:2], (0, max(0, 2 - flat.size)))[None, :]

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Observation:
        place = jnp.stack([u, v])[: self.observations]
        return jnp.pad(place, (0, self.observations - place.size))


@chosen
def foreign(env: Any, params: Any, actions: int, *, kind: Kind = "discrete") -> Foreign:
    """An environment of gymnax, or of its form: ``reset(key, params)`` and ``step(key, state, action, params)``.

    A step gives observation, state, reward, done and info, or terminated and truncated in place of done. What it resets inside
    does no harm: an episode counts to its first end.

    Raises:
        ValueError, TypeError: it has not this form.
    """
    if missing := [name for name in ("reset", "step") if not callable(getattr(env, name, None))]:
        raise TypeError(
            f"the environment has no {' and no '.join(missing)}: it needs reset(key, params) and step(key, ...)"
        )
    key = jax.eval_shape(lambda: jax.random.key(0))
    act = jax.ShapeDtypeStruct(*(((), jnp.int32) if kind == "discrete" else ((actions,), jnp.zeros(()).dtype)))
    try:
        x, state = jax.eval_shape(env.reset, key, params)
        made = jax.eval_shape(env.step, key, state, act, params)
    except Exception as problem:
        raise TypeError(f"the environment can't be stepped: {problem}") from problem
    if len(made) not in (5, 6):
        raise ValueError(f"a step of the environment gives {len(made)} values, but 5 or 6 are known")
    return Foreign(env, params, kind, int(np.prod(x.shape)), actions)


NAMED: dict[str, Callable[[], Any]] = {"CartPole": CartPole, "Acrobot": Acrobot, "pendulum": Pendulum}


def named(name: str) -> Any:
    r"""An environment by its name.

    Its episodes earn $\sum_h \gamma^h r_h$; equations and constants are those of Gymnasium.

    Args:
        name: "CartPole", "Acrobot" or "pendulum".

    Returns:
        the environment.

    Raises:
        ValueError: there is none of that name; the sentence has those that there are.

    Source:
        Barto, Sutton and Anderson (1983); Sutton (1996).

    Examples:
        >>> from lab import policy
        >>> cart = policy.named("CartPole")
        >>> cart.observations, cart.actions
        (4, 2)
    """
    if name not in NAMED:
        raise ValueError(f"there is no environment {shown(name)}; there are {listed(NAMED)}")
    return NAMED[name]()


def _wrapped(angle: Any) -> Any:
    """Into [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi

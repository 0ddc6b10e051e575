r"""Tabular decision processes, of which everything is known without a sample.

States s = 0, ..., S - 1, actions a = 0, ..., A - 1, H steps, and a policy $\pi_\theta(a|s) = \mathrm{softmax}(\theta_s)_a$:

$$ J(\theta) = E \sum_{h<H} \gamma^h R(s_h, a_h), \qquad
   \nabla J = \sum_h \gamma^h\, d_h(s)\, \pi(a|s)\, (Q_h(s, a) - V_h(s)), $$

with $d_h$ the law of the state at step h. Fatkhullin, Barakat, Kireeva, He, ICML 2023, section 2; the theorem is that of
Sutton, McAllester, Singh and Mansour, 2000.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics import arguments
from lab.numerics.host import placed

_MOST = 2_000_000  # trajectories that are enumerated


class MDP(eqx.Module):
    """Transitions P(s'|s, a), rewards R(s, a) and the law of the first state; ``checked`` makes one of arrays."""

    transitions: Float[Array, "S A S"] = eqx.field(converter=partial(arguments.real, "transitions"))
    rewards: Float[Array, "S A"] = eqx.field(converter=partial(arguments.real, "rewards"))
    start: Float[Array, " S"] = eqx.field(converter=partial(arguments.real, "start"))


class Values(NamedTuple):
    """What is still to be earned, discounted from the step on: V of states, Q of states and actions."""

    state: Float[Array, "H S"]
    action: Float[Array, "H S A"]


class Trajectories(NamedTuple):
    """All trajectories of a small process, and what each has of its probability without the policy."""

    states: Int[Array, "n H"]
    actions: Int[Array, "n H"]
    chance: Float[Array, " n"]


def checked(transitions: Any, rewards: Any, start: Any) -> MDP:
    """A process of arrays.

    Args:
        transitions: (S, A, S), each row P(.|s, a) at least 0 and of sum 1.
        rewards: (S, A), finite.
        start: (S,), at least 0 and of sum 1.

    Raises:
        ValueError: shapes that do not fit, or rows that are no probabilities; the sentence says which.
    """
    p, r, rho = (np.asarray(each, float) for each in (transitions, rewards, start))
    if p.ndim != 3 or 0 in p.shape or p.shape != (*r.shape, p.shape[0]) or rho.shape != (p.shape[0],):
        raise ValueError(
            f"transitions have the shape {p.shape}, rewards {r.shape} and start {rho.shape}, but (S, A, S), (S, A) and (S,) "
            "are needed"
        )
    if not np.isfinite(r).all():
        place = tuple(np.argwhere(~np.isfinite(r))[0].tolist())
        raise ValueError(f"the reward of state and action {place} is {r[place]}, but rewards must be finite")
    for name, rows in (("transitions", p), ("start", rho)):
        off = ~(np.isfinite(rows).all(axis=-1) & (rows >= 0).all(axis=-1) & (np.abs(rows.sum(axis=-1) - 1) < 1e-6))
        if off.any():
            place = tuple(np.argwhere(off)[0].tolist())
            at = f" of state and action {place}" if place else ""
            raise ValueError(f"{name}{at} are {rows[place]}, but probabilities must be at least 0 and sum to 1")
    return MDP(*map(placed, (p / p.sum(axis=-1, keepdims=True), r, rho / rho.sum())))


@arguments.arrays(discount=arguments.NOT_NEGATIVE)
def values(mdp: MDP, theta: Float[Array, "S A"], horizon: int, discount: ArrayLike) -> Values:
    r"""$Q_h = R + \gamma P V_{h+1}$, $V_h = \sum_a \pi Q_h$, from $V_H = 0$ back.

    Raises:
        ValueError: a horizon below 1, a negative discount, or theta that does not fit or is not finite.
    """
    horizon = _checked_horizon(mdp, theta, horizon)
    policy = jax.nn.softmax(theta, axis=1)

    def back(after: Array, _: None) -> tuple[Array, Values]:
        q = mdp.rewards + discount * mdp.transitions @ after
        v = (policy * q).sum(axis=1)
        return v, Values(v, q)

    return jax.lax.scan(back, jnp.zeros_like(mdp.start), None, length=horizon, reverse=True)[1]


def _checked_horizon(mdp: MDP, theta: Array, horizon: int) -> int:
    if theta.shape != mdp.rewards.shape:
        raise ValueError(f"theta has shape {theta.shape}: shape {mdp.rewards.shape} is needed, as of the rewards")
    return arguments.whole("horizon", horizon, 1)


@arguments.arrays()
def visits(mdp: MDP, theta: Float[Array, "S A"], horizon: int) -> Float[Array, "H S"]:
    """The distribution of the state at each step."""
    horizon = _checked_horizon(mdp, theta, horizon)
    moves = jnp.einsum("sa,sat->st", jax.nn.softmax(theta, axis=1), mdp.transitions)
    return jax.lax.scan(lambda law, _: (law @ moves, law), mdp.start, None, length=horizon)[1]


def value(mdp: MDP, theta: Any, horizon: int, discount: ArrayLike) -> Float[Array, ""]:
    """J, exactly."""
    return mdp.start @ values(mdp, theta, horizon, discount).state[0]


def gradient(mdp: MDP, theta: Any, horizon: int, discount: ArrayLike) -> Float[Array, "S A"]:
    """The gradient of J by the policy gradient theorem, exactly."""
    return value_and_gradient(mdp, theta, horizon, discount)[1]


def value_and_gradient(
    mdp: MDP, theta: Any, horizon: int, discount: ArrayLike
) -> tuple[Float[Array, ""], Float[Array, "S A"]]:
    """J and its gradient, exactly."""
    theta = arguments.real("theta", theta)
    told = values(mdp, theta, horizon, discount)
    weights = visits(mdp, theta, horizon) * jnp.asarray(discount, theta.dtype) ** jnp.arange(horizon)[:, None]
    policy = jax.nn.softmax(theta, axis=1)
    slope = jnp.einsum("hs,sa,hsa->sa", weights, policy, told.action - told.state[:, :, None])
    return mdp.start @ told.state[0], slope


def hessian(mdp: MDP, theta: Any, horizon: int, discount: ArrayLike) -> Float[Array, "d d"]:
    """The Hessian of J in the flat parameters, exactly."""
    theta = arguments.real("theta", theta)
    flat = theta.reshape(-1)
    return jax.jacfwd(lambda x: gradient(mdp, x.reshape(theta.shape), horizon, discount).reshape(-1))(flat)


def occupancy(mdp: MDP, theta: Any, horizon: int, discount: ArrayLike) -> Float[Array, " S"]:
    r"""The discounted law of the state, $\sum_h \gamma^h d_h / \sum_h \gamma^h$."""
    theta = arguments.real("theta", theta)
    weights = jnp.asarray(discount, theta.dtype) ** jnp.arange(arguments.whole("horizon", horizon, 1))
    return weights @ visits(mdp, theta, horizon) / weights.sum()


def fisher(mdp: MDP, theta: Any, horizon: int, discount: ArrayLike) -> Float[Array, "d d"]:
    r"""$F = E\,[\nabla \log \pi\, \nabla \log \pi^\top]$ over the discounted occupancy, in the flat parameters.

    It has a block $d(s)\,(\mathrm{diag}\,\pi_s - \pi_s \pi_s^\top)$ for each state, hence a null direction for each.
    """
    theta = arguments.real("theta", theta)
    policy = jax.nn.softmax(theta, axis=1)
    blocks = jax.vmap(jnp.diag)(policy) - policy[:, :, None] * policy[:, None, :]
    law = occupancy(mdp, theta, horizon, discount)
    s, a = theta.shape
    return jnp.einsum("s,sab,st->satb", law, blocks, jnp.eye(s)).reshape(s * a, s * a)


def optimum(mdp: MDP, horizon: int, discount: ArrayLike) -> Float[Array, ""]:
    """The largest J of all policies, also of those that look at the clock: dynamic programming."""

    def back(after: Array, _: None) -> tuple[Array, None]:
        return (mdp.rewards + discount * mdp.transitions @ after).max(axis=1), None

    horizon = arguments.whole("horizon", horizon, 1)
    discount = arguments.real("discount", discount, (), low=0)
    return mdp.start @ jax.lax.scan(back, jnp.zeros_like(mdp.start), None, length=horizon)[0]


def enumerated(mdp: MDP, horizon: int) -> Trajectories:
    """All $(S A)^H$ trajectories, on the host.

    Raises:
        ValueError: they are more than two millions, or there is no step.
    """
    s, a = mdp.rewards.shape
    if horizon < 1:
        raise ValueError(f"horizon = {horizon}, but a trajectory has at least one step")
    if (s * a) ** horizon > _MOST:
        raise ValueError(
            f"{s} states and {a} actions have {(s * a) ** horizon:.3g} trajectories of {horizon} steps, but at most "
            f"{_MOST:,} are enumerated: take fewer steps"
        )
    pairs = np.stack(np.meshgrid(*[np.arange(s * a)] * horizon, indexing="ij"), axis=-1).reshape(-1, horizon)
    states, actions = np.divmod(pairs, a)
    moves = np.asarray(mdp.transitions)[states[:, :-1], actions[:, :-1], states[:, 1:]]
    chance = np.asarray(mdp.start)[states[:, 0]] * moves.prod(axis=1)
    return Trajectories(jnp.asarray(states), jnp.asarray(actions), jnp.asarray(chance))


class Exact(eqx.Module):
    """J and its gradient of the tabular policy, whose flat parameters are (A, S), as ``ascent`` asks for them."""

    mdp: MDP
    horizon: int = eqx.field(static=True)
    discount: Float[Array, ""]

    def __call__(self, theta: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, " d"]]:
        earned, slope = value_and_gradient(self.mdp, table(self.mdp, theta), self.horizon, self.discount)
        return earned, slope.T.reshape(-1)


def table(mdp: MDP, theta: Float[Array, " d"]) -> Float[Array, "S A"]:
    """The flat parameters of ``policies.tabular`` by state and action."""
    return theta.reshape(mdp.rewards.shape[::-1]).T

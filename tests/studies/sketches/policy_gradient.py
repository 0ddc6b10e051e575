"""Policy gradient with normalised momentum on a small MDP (Fatkhullin et al., ICML 2023): a sketch in the vocabulary, with its
real mathematics. One trajectory is seen in a step; the gradient of the return is known exactly beside it.
"""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab.datasets import Data
from lab.numerics import Method, Reason
from lab.studies import Choice, Claim, DataSource, Paper, Picture, Pictures, Preset, Result, Study, draw
from lab.studies.vocabulary import mean, number, positive, size

METHODS = {"PG": 0.0, "N-PG-M": 2 / 3, "N-PG-IGT": 0.8, "N-HARPG": 1.0}
"""By name how fast what is remembered fades: eta_t = (2 / (t + 2))^power."""


class Ascent(eqx.Module):
    """What is climbed: an MDP of S states and A actions."""

    transition: jax.Array  # (S, A, S)
    reward: jax.Array  # (S, A)
    start: jax.Array  # (S,)
    discount: jax.Array
    horizon: int = eqx.field(static=True)
    rate: jax.Array
    method: str = eqx.field(static=True)
    steps: int
    key: jax.Array


class Climb(NamedTuple):
    """Logits (S, A) now and before, the direction, and the step."""

    theta: jax.Array
    before: jax.Array
    direction: jax.Array
    step: jax.Array


def value(work, theta):
    """J = sum_h gamma^h E r_h, exactly."""
    policy = jax.nn.softmax(theta)

    def advance(law, h):
        both = law[:, None] * policy
        return jnp.einsum("sa,sat->t", both, work.transition), work.discount**h * (both * work.reward).sum()

    return jax.lax.scan(advance, work.start, jnp.arange(work.horizon))[1].sum()


def trajectory(work, theta, key):
    """States, actions and discounted rewards to go, (H,)."""
    first, rest = jax.random.split(key)

    def move(state, key):
        here, there = jax.random.split(key)
        action = jax.random.categorical(here, theta[state])
        return jax.random.categorical(there, jnp.log(work.transition[state, action])), (state, action)

    start = jax.random.categorical(first, jnp.log(work.start))
    states, actions = jax.lax.scan(move, start, jax.random.split(rest, work.horizon))[1]
    gains = work.discount ** jnp.arange(work.horizon) * work.reward[states, actions]
    return states, actions, jnp.cumsum(gains[::-1])[::-1]


def surrogate(theta, seen, weights):
    """sum_h log pi(a_h | s_h) w_h: with the rewards to go its gradient is unbiased."""
    return (jax.nn.log_softmax(theta)[seen[0], seen[1]] * weights).sum()


def curvature(theta, seen, v):
    """B v of one trajectory, whose mean is the Hessian of J times v."""
    slope = lambda at: jax.grad(surrogate)(at, seen, seen[2])  # noqa: E731
    g, change = jax.jvp(slope, (theta,), (v,))
    return change + g * (jax.grad(surrogate)(theta, seen, jnp.ones_like(seen[2])) * v).sum()


def _step(work, at):
    drawn, mixed, other = jax.random.split(jax.random.fold_in(work.key, at.step), 3)
    fall = 2 / (at.step + 2)
    eta = fall ** METHODS[work.method]
    moved = at.theta - at.before
    here = at.theta + (1 - eta) / eta * moved if work.method == "N-PG-IGT" else at.theta
    seen = trajectory(work, here, drawn)
    old = at.direction
    if work.method == "N-HARPG":
        between = at.theta - jax.random.uniform(mixed) * moved
        old = old + curvature(between, trajectory(work, between, other), moved)
    direction = (1 - eta) * old + eta * jax.grad(surrogate)(here, seen, seen[2])
    if work.method == "PG":
        change = work.rate * fall ** (2 / 3) * direction
    else:
        change = work.rate * fall * direction / (jnp.linalg.norm(direction) + 1e-12)
    return Climb(at.theta + change, at.theta, direction, at.step + 1)


CLIMB = Method(
    lambda work: Climb(*3 * [jnp.zeros_like(work.reward)], jnp.int32(0)),
    _step,
    lambda work, at: jnp.where(at.step >= work.steps, Reason.CONVERGED, Reason.RUNNING),
    lambda work, at: {
        "value": value(work, at.theta),
        "error": jnp.linalg.norm(at.direction - jax.grad(value, argnums=1)(work, at.before)),
    },
)


class PolicyGradient(Study):
    """What one trajectory a step can tell of a gradient."""

    slug, title, field, kind = "policy-gradient-sketch", "Policy gradient, a sketch", "Learning", "mdp"
    paper = Paper("Fatkhullin, Barakat, Kireeva, He", "Stochastic Policy Gradient Methods", "ICML", 2023)
    about = "A policy is learnt from single trajectories. Choose how they are remembered. Look at the error of the direction."
    data_options = ()
    dims: ClassVar = {"iteration": ("trajectory", ""), "state": ("state", ""), "action": ("action", "")}
    data = DataSource("mdp", doc="a Markov decision process")
    method = Choice(list(METHODS), default="N-PG-IGT", doc="how directions of earlier steps are kept")
    rate = positive(1.0, (0.01, 3), symbol="γ₀", label="step size", doc="of the first step")
    discount = positive(0.95, (0.5, 1), bounds=(0, 1), symbol="γ", doc="of a reward one step later")
    steps = size(400, (1, 100_000), (100, 4000), label="steps", doc="each of one trajectory")
    results = (
        Result("gain", (), "return", "of the last policy, exactly", headline=True),
        Result("late", (), "error of the direction", "mean of the last fifth", headline=True),
        Result("value", ("iteration",), "return", "exactly"),
        Result("error", ("iteration",), "error of the direction", "distance from the gradient of the return"),
        Result("policy", ("state", "action"), "probability", "of the last policy"),
    )

    def load(self):
        rng = np.random.default_rng(1)
        arrays = {
            "transition": rng.dirichlet(0.5 * np.ones(5), (5, 3)), "reward": rng.random((5, 3)), "start": np.full(5, 0.2),
        }
        return Data("mdp", "Five states, three actions", self.kind, arrays, "made here", "none needed")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        work = Ascent(
            *(jnp.asarray(inputs[name]) for name in ("transition", "reward", "start")), jnp.asarray(p.discount), 20,
            jnp.asarray(p.rate), p.method, p.steps, jax.random.key(p.seed),
        )
        run = loop(CLIMB, work, max_iterations=p.steps + 1)
        error = run.trace["error"]
        return {
            "gain": value(work, run.state.theta), "late": error[-p.steps // 5 :].mean(), "value": run.trace["value"],
            "error": error, "policy": jax.nn.softmax(run.state.theta), "iterations": run.iterations, "reason": run.reason,
        }

    pictures = Pictures(
        Picture("errors", "Error of the direction", "against trajectories seen",
                lambda result: draw.training({"error": result.error}, ylabel="error of the direction", logy=True)),
        Picture("policy", "Policy", "probability of each action", lambda result: draw.heatmap(result.policy)),
        Picture("methods", "What is remembered", "return by step size", lambda result: draw.over(
            result.rate, {str(name): result.gain.sel(method=name) for name in result.method.values}),
                needs=("gain",), along={"rate": (0.1, 0.3, 1.0), "method": tuple(METHODS)}),
    )
    presets = (
        Preset("plain", "No memory", "The direction never gets better.", {"method": "PG", "rate": 0.1}),
        Preset("hessian", "With a Hessian-vector product", "The least error.", {"method": "N-HARPG"}),
    )
    claims = (
        Claim("better", "Memory makes the direction at least three times better.", number("late", method="PG", rate=0.1),
              3 * number("late"), "the paper's rates", ">="),
        Claim("learns", "The return rises, over seeds.", mean(number("gain", steps=3000), seed=range(4)), 6.105,
              "the policy to begin with, all actions alike", ">="),
    )

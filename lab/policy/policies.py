r"""Policies of one flat vector of parameters: what is done in a state, with which probability.

A policy has the parameters theta (d,), and for an observation x the law of the action: a softmax over a few actions, or a
Gaussian with a diagonal covariance. Both take their numbers from a perceptron with tanh between its layers; without hidden
layers it is linear. Over one-hot observations a linear softmax is the tabular policy.
"""

import itertools
from typing import Literal, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative

type Parameters = Float[Array, " d"]
_LAST = 0.1  # factor of the first weights of the last layer: all actions are about as likely


@runtime_checkable
class Policy(Protocol):
    """What is asked of a policy."""

    @property
    def size(self) -> int: ...
    def init(self, key: PRNGKeyArray) -> Parameters: ...
    def sample(self, theta: Parameters, x: Array, key: PRNGKeyArray) -> Array: ...
    def log_prob(self, theta: Parameters, x: Array, action: Array) -> Float[Array, ""]: ...


def check_sizes(sizes: tuple[int, ...]) -> None:
    """Check the sizes of the layers of a policy.

    Raises:
        ValueError: fewer than two layers, or a size that is not a whole number of at least 1.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes = {sizes!r} is not allowed: sizes must have observations first and actions last")
    for size in sizes:
        arguments.whole("sizes", size, 1)


def _shapes(sizes: tuple[int, ...], bias: bool) -> list[tuple[int, int]]:
    return [(n, m + bias) for m, n in itertools.pairwise(sizes)]


def _count(sizes: tuple[int, ...], bias: bool) -> int:
    return sum(n * m for n, m in _shapes(sizes, bias))


def _network(theta: Array, x: Array, sizes: tuple[int, ...], bias: bool) -> Array:
    """A perceptron whose layers lie one after the other in theta, each with its bias as the last column."""
    at = 0
    for number, (n, m) in enumerate(_shapes(sizes, bias)):
        layer = theta[at : at + n * m].reshape(n, m)
        at += n * m
        x = jnp.tanh(x) if number else x
        x = layer[:, : m - bias] @ x + (layer[:, -1] if bias else 0.0)
    return x


def _first(key: Array, sizes: tuple[int, ...], bias: bool) -> Array:
    """Weights uniform by the number of inputs, biases 0, the last layer small; 0 where there are no hidden layers."""
    if len(sizes) == 2:
        return jnp.zeros(_count(sizes, bias))
    shapes, parts = _shapes(sizes, bias), []
    for number, (n, m) in enumerate(shapes):
        scale = (_LAST if number == len(shapes) - 1 else 1.0) * np.sqrt(3 / (m - bias))
        layer = scale * random.uniform(jax.random.fold_in(key, number), (n, m), minval=-1.0, maxval=1.0)
        parts.append((layer.at[:, -1].set(0.0) if bias else layer).reshape(-1))
    return jnp.concatenate(parts)


class Softmax(eqx.Module):
    """A few actions 0, ..., A - 1 with $\\pi(a|x) = \\mathrm{softmax}(f_\\theta(x))_a$.

    Args:
        sizes: of the layers, observations first and actions last.
        bias: whether layers have one.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        check_sizes(self.sizes)

    @property
    def size(self) -> int:
        return _count(self.sizes, self.bias)

    def init(self, key: PRNGKeyArray) -> Parameters:
        return _first(key, self.sizes, self.bias)

    def logits(self, theta: Parameters, x: Float[Array, " n"]) -> Float[Array, " A"]:
        return _network(theta, x, self.sizes, self.bias)

    def sample(self, theta: Parameters, x: Float[Array, " n"], key: PRNGKeyArray) -> Int[Array, ""]:
        chances = jax.nn.softmax(self.logits(theta, x))
        return drawn(refuse_derivative(chances, "a drawn action jumps: estimate with lab.policy.gradient instead"), key)

    def log_prob(self, theta: Parameters, x: Float[Array, " n"], action: Int[Array, ""]) -> Float[Array, ""]:
        # a product with a one-hot row: its derivative needs no scatter, which is slow on a CPU
        return jax.nn.log_softmax(self.logits(theta, x)) @ jax.nn.one_hot(action, self.sizes[-1], dtype=theta.dtype)


class Gaussian(eqx.Module):
    """Actions in R^m: $a = f_\\theta(x) + \\sigma \\xi$, by default with learned $\\log \\sigma$ as the last m parameters.

    Args:
        sizes: of the layers, observations first and coordinates of the action last.
        bias: whether layers have one.
        sigma: the standard deviation where it is fixed; with full-rank features the Fisher matrix is then never degenerate.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    bias: bool = eqx.field(static=True, default=True)
    sigma: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_sizes(self.sizes)
        if self.sigma is not None:
            arguments.real("sigma", self.sigma, (), low=0, strict=True)

    @property
    def size(self) -> int:
        return _count(self.sizes, self.bias) + (self.sizes[-1] if self.sigma is None else 0)

    def init(self, key: PRNGKeyArray) -> Parameters:
        weights = _first(key, self.sizes, self.bias)
        return weights if self.sigma is not None else jnp.concatenate([weights, jnp.zeros(self.sizes[-1])])

    def mean(self, theta: Parameters, x: Float[Array, " n"]) -> Float[Array, " m"]:
        return _network(theta, x, self.sizes, self.bias)

    def log_sigma(self, theta: Parameters) -> Float[Array, " m"]:
        if self.sigma is not None:
            return jnp.full(self.sizes[-1], np.log(self.sigma), theta.dtype)
        return theta[-self.sizes[-1] :]

    def sample(self, theta: Parameters, x: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, " m"]:
        noise = random.normal(key, (self.sizes[-1],), theta.dtype)
        return self.mean(theta, x) + jnp.exp(self.log_sigma(theta)) * noise

    def log_prob(self, theta: Parameters, x: Float[Array, " n"], action: Float[Array, " m"]) -> Float[Array, ""]:
        spread = self.log_sigma(theta)
        off = (action - self.mean(theta, x)) * jnp.exp(-spread)
        return -(off**2 / 2 + spread + np.log(2 * np.pi) / 2).sum()


@chosen
def network(kind: Literal["discrete", "continuous"], observations: int, actions: int, units: tuple[int, ...]) -> Policy:
    r"""A perceptron as a policy: $\pi(a|x) = \mathrm{softmax}(f_\theta(x))_a$, or $a = f_\theta(x) + \sigma \xi$.

    Args:
        kind: of the actions, "discrete" or "continuous".
        observations: how many numbers there are.
        actions: how many actions there are, or coordinates of a continuous one.
        units: of the hidden layers; () for a linear policy.

    Returns:
        the policy.

    Raises:
        ValueError: another word for the kind, or a size below 1.

    Source:
        Sutton and Barto, Reinforcement Learning, on policy approximation.

    Examples:
        >>> from lab import policy
        >>> policy.network("discrete", 4, 2, (8,)).size  # 8 (4 + 1) + 2 (8 + 1)
        58
    """
    sizes = (
        arguments.whole("observations", observations, 1),
        *(arguments.whole("units", unit, 1) for unit in units),
        arguments.whole("actions", actions, 1),
    )
    return Softmax(sizes) if kind == "discrete" else Gaussian(sizes)


def tabular(states: int, actions: int) -> Softmax:
    r"""Of a finite process, theta (A, S) flat: one number for each action in each state, observed one-hot.

    $$ \pi(a|s) = \mathrm{softmax}(\theta_{\cdot s})_a $$

    Args:
        states: S.
        actions: A.

    Returns:
        the policy.

    Raises:
        ValueError: fewer than one state or action.

    Source:
        Fatkhullin, Barakat, Kireeva and He (2023), of the tabular softmax.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> one = policy.tabular(3, 2)
        >>> one.size, float(jnp.exp(one.log_prob(jnp.zeros(6), jnp.eye(3)[0], jnp.array(1))).round(9))
        (6, 0.5)
    """
    return Softmax((arguments.whole("states", states, 1), arguments.whole("actions", actions, 1)), bias=False)


def drawn(chances: Float[Array, " k"], key: PRNGKeyArray) -> Int[Array, ""]:
    """A place of these probabilities, by one uniform number."""
    below = jnp.cumsum(chances) < random.uniform(key, dtype=chances.dtype)
    return jnp.minimum(below.sum(), chances.size - 1)

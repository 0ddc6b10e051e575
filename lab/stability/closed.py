r"""Closed forms: Gaussian features, the diagonal network, the two-layer ReLU network.

They tell what stability costs in the norm of the function: a minimum that SGD with B = 1 holds has
$\mathrm{tr}\, G \le 2 / \eta$, one that gradient descent holds only $\lambda_{\max}(G) \le 2 / \eta$.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.stability.models import Diagonal, TwoLayer
from lab.stability.moments import positive


def gaussian(values: Float[Array, " r"], batch: ArrayLike = 1) -> Float[Array, ""]:
    r"""$\eta^*$ where the gradients are N(0, diag(values)) and the data infinite: the root of

    $$ \frac{\eta}{B} \sum_i \frac{\lambda_i}{2 - \eta \lambda_i (1 + 1/B)} = 1, \qquad \eta \lambda_{\max} (1 + 1/B) < 2 . $$

    By bisection, to rounding; 2 / lambda_max as B grows.
    """
    positive(batch=batch)
    values = jnp.where(values > 0, values, 0)
    share = 1 / jnp.asarray(batch, values.dtype)
    top = values.max()

    def halve(_, pair):
        low, high = pair
        eta = (low + high) / 2
        stable = eta * share * (values / (2 - eta * values * (1 + share))).sum() < 1
        return jnp.where(stable, eta, low), jnp.where(stable, high, eta)

    end = 2 / (jnp.where(top > 0, top, 1) * (1 + share))
    low, high = jax.lax.fori_loop(0, 60, halve, (jnp.zeros_like(end), end))
    eta = jax.lax.stop_gradient((low + high) / 2)
    ends = jax.lax.stop_gradient(2 - eta * top * (1 + share)) > 0

    def excess(eta):
        gap = jnp.where(ends, 2 - eta * values * (1 + share), 1)
        return eta * share * (values / gap).sum() - 1

    for _ in range(2):  # the bisection has no derivative of its own: Newton's steps carry the first and the second
        value, slope = jax.jvp(excess, (eta,), (jnp.ones_like(eta),))
        eta = jnp.where(ends & (top > 0), eta - value / jnp.where(slope > 0, slope, 1), eta)
    return jnp.where(top > 0, eta, jnp.inf)


def diagonal_trace(model: Diagonal, x: Float[Array, "n d"]) -> Float[Array, ""]:
    r"""$\mathrm{tr}\, G = \frac1n \sum_{ij} x_{ij}^2 (a_j^2 + b_j^2)$."""
    return (x**2).mean(axis=0) @ (model.a**2 + model.b**2)


def two_layer_trace(model: TwoLayer, x: Float[Array, "n d"]) -> Float[Array, ""]:
    r"""$\mathrm{tr}\, G = \frac1n \sum_{ij} [\mathrm{relu}(w_j \cdot x_i)^2 + a_j^2 1\{w_j \cdot x_i > 0\} |x_i|^2]$."""
    before = x @ model.w.T
    live = jnp.where(before > 0, (x**2).sum(axis=1)[:, None] * (model.a**2)[None, :], 0)
    return (jax.nn.relu(before) ** 2 + live).sum(axis=1).mean()


class Population(NamedTuple):
    """G where the data are infinite."""

    trace: Float[Array, ""]
    frobenius: Float[Array, ""]
    lambda_max: Float[Array, ""]


def diagonal_population(model: Diagonal, second: ArrayLike = 1.0) -> Population:
    r"""With $E x x^T = s I$ the eigenvalues of G are $s (a_j^2 + b_j^2)$ and zeros. s is 1/3 for x uniform on [-1, 1].

    Hence $\mathrm{tr} \ge 2 s \|\beta\|_1$, $\|G\|_F \ge 2 s \|\beta\|_2$, $\lambda_{\max} \ge 2 s \|\beta\|_\infty$, with
    equality where $|a_j| = |b_j|$.
    """
    values = second * (model.a**2 + model.b**2)
    return Population(values.sum(), jnp.linalg.norm(values), values.max())


def two_layer_population_trace(model: TwoLayer) -> Float[Array, ""]:
    r"""$\frac12 \sum_j (|w_j|^2 + d a_j^2) \ge \sqrt d\, \|\theta\|_P$, for x Gaussian or on the sphere of radius sqrt(d)."""
    return ((model.w**2).sum() + model.w.shape[1] * (model.a**2).sum()) / 2


def diagonal_limit(eta: ArrayLike, second: ArrayLike = 1.0) -> Float[Array, ""]:
    r"""$1 / (s \eta)$, which bounds $\|\beta\|_1$ under SGD with B = 1, under gradient descent $\|\beta\|_\infty$ only."""
    positive(eta=eta)
    return 1 / (jnp.asarray(second) * jnp.asarray(eta))


def two_layer_limit(eta: ArrayLike, d: int) -> Float[Array, ""]:
    r"""$\|\theta\|_P \le 2 / (\eta \sqrt d)$ for SGD with B = 1; gradient descent bounds no path norm."""
    positive(eta=eta)
    return 2 / (jnp.asarray(eta) * d**0.5)


def imbalance(model: Diagonal | TwoLayer) -> tuple[Array, Array]:
    r"""The pairs that SGD makes equal: $a_j^2, b_j^2$, or $d a_j^2, |w_j|^2$."""
    if isinstance(model, Diagonal):
        return model.a**2, model.b**2
    return model.w.shape[1] * model.a**2, (model.w**2).sum(axis=1)

"""Points that stand for a law with less noise than independent ones, and what is seen of points."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import random
from lab.numerics.mixtures import widened
from lab.paths.laws import Mixture


def systematic(key: PRNGKeyArray, weights: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """Rows in order, in proportion to their weights: of each stretch within one of its share."""
    ladder = jnp.cumsum(weights / weights.sum())
    at = (jnp.arange(count) + random.uniform(key)) / count
    return jnp.minimum(jnp.searchsorted(ladder, at), weights.shape[0] - 1)


def spread(law: Mixture, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
    """Points that stand for a law, without the noise of random ones where they can.

    Each component has its share. On a line and in the plane they are evenly spread within it: normal quantiles of
    the Kronecker sequence of the golden or the plastic number, shifted at random.
    """
    first, second, third = jax.random.split(key, 3)
    d = law.dimension
    if d > 2:
        z = random.normal(first, (n, d), law.means.dtype)
    else:
        steps = (0.6180339887498949,) if d == 1 else (0.7548776662466927, 0.5698402909980532)
        u = random.uniform(first, (1, d)) + jnp.arange(n)[:, None] * jnp.asarray(steps)[None]
        z = jax.scipy.special.ndtri(jnp.clip(u % 1, 1e-12, 1 - 1e-12)).astype(law.means.dtype)
    if law.weights.shape[0] == 1:
        return _about(law, jnp.zeros(n, jnp.int32), z)
    return jax.random.permutation(third, _about(law, systematic(second, law.weights, n), z))


def stratified(law: Any, key: PRNGKeyArray, n: int, samples: int) -> Float[Array, "samples n d"]:
    """Samples of a law; of a mixture each component has its share, which spares the noise of random shares."""
    if not isinstance(law, Mixture):
        return law.sample(key, samples * n).reshape(samples, n, -1)
    first, second = jax.random.split(key)
    which = jax.vmap(lambda key: systematic(key, law.weights, n))(jax.random.split(first, samples)).ravel()
    z = random.normal(second, (samples * n, law.dimension), law.means.dtype)
    return _about(law, which, z).reshape(samples, n, -1)


def _about(law: Mixture, which: Int[Array, " n"], z: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Points of these components, made of standard normal ones."""
    roots = jnp.linalg.cholesky(widened(law.covariances, 3, law.dimension))
    return law.means[which] + jnp.einsum("nab,nb->na", roots[which], z)


class View(eqx.Module):
    """What is seen of points: the plane through a centre along some axes."""

    centre: Float[Array, " d"]
    axes: Float[Array, "d e"]

    def __call__(self, z: Float[Array, "*any d"]) -> Float[Array, "*any e"]:
        return (z - self.centre.reshape((1,) * (z.ndim - 1) + (-1,))) @ self.axes


class Look(eqx.Module):
    """A view of what ``carry`` moves, to be given as its ``keep``."""

    view: View

    def __call__(self, t: Any, x: Float[Array, "*any d"], extra: Any) -> Float[Array, "*any e"]:
        return self.view(x)

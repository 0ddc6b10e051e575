r"""Rectified flows to a Gaussian mixture from what a measurement tells of it, exact up to the nodes that stand for Y.

Given Y = y of a linear measurement, X is a mixture again, of weights $r_k(y)$, means $m_k(y)$ and covariances $P_k$ that do not
depend on y. So for $Z_0 = a(y) + \sigma_s \varepsilon$ of any anchor a, the posterior mean or y itself,

$$ Z_t \mid y \sim \sum_k r_k(y)\, N\big(t\,m_k(y) + (1 - t)\,a(y),\; t^2 P_k + (1 - t)^2 \sigma_s^2 I\big), $$

and $E[X \mid Z_t = z]$ is a sum over components and an integral over y: by quadrature on a line, by a mean over draws
elsewhere. Unlike the law of pairs it does not repeat single x as t goes to 1, where $P_k$ is the width.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.inverse.operators import known
from lab.numerics import random, roots
from lab.numerics.arguments import real
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture, log_joint, widened


class Posteriors(NamedTuple):
    """The laws of X given each of several y: mixtures whose components have the same covariances."""

    weights: Float[Array, "n K"]
    means: Float[Array, "n K d"]
    covariances: Float[Array, "K d d"]
    log_evidence: Float[Array, " n"]  # log p(y)

    @property
    def mean(self) -> Float[Array, "n d"]:
        return jnp.einsum("nk,nkd->nd", self.weights, self.means)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "n d"]:
        """One draw for each y."""
        first, second = jax.random.split(key)
        chosen = random.categorical(first, jnp.log(self.weights), axis=1)
        z = random.normal(second, (len(chosen), self.means.shape[2]), self.means.dtype)
        spread = jnp.einsum("nab,nb->na", jax.vmap(roots.root)(self.covariances)[chosen], z)
        return jnp.take_along_axis(self.means, chosen[:, None, None], axis=1)[:, 0] + spread


@jit
def posteriors(
    prior: Mixture, operator: Float[Array, "m d"], noise: Float[Array, "m m"], y: Float[Array, "n m"]
) -> Posteriors:
    """X given each row of y = H x + N(0, Q). Time O(K d^3 + n K m d).

    >>> half = posteriors(Mixture([1.0], [[0.0]], [1.0]), jnp.eye(1), jnp.eye(1), jnp.ones((1, 1)))
    >>> round(float(half.mean[0, 0]), 9), round(float(half.covariances[0, 0, 0]), 9)
    (0.5, 0.5)
    """
    full = widened(prior.covariances, 3, prior.dimension)
    cross = jnp.einsum("kab,mb->kam", full, operator)
    marginal = jnp.einsum("ma,kan->kmn", operator, cross) + noise[None]
    logits, solved = log_joint(prior.weights, marginal, y[:, None, :] - (prior.means @ operator.T)[None])
    means = prior.means[None] + jnp.einsum("kam,nkm->nka", cross, solved)
    covariances = full - jnp.einsum("kam,kmb->kab", cross, jnp.linalg.solve(marginal, cross.swapaxes(1, 2)))
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    return Posteriors(jax.nn.softmax(logits, axis=1), means, covariances, jax.nn.logsumexp(logits, axis=1))


class MixtureFlow(eqx.Module):
    r"""The velocity $(E[X \mid Z_t] - z) / (1 - t)$ from $a(Y) + \sigma_s\varepsilon$ to X, as a field for ``lab.paths.carry``.

    Time and memory O(particles nodes K d).

    Args:
        nodes: X given each y that stands for Y.
        anchors: (J, d), a(y) of each.
        log_weights: (J,) of the nodes, up to a constant: 0 for draws of Y, log p(y) on an even grid.
        noise: sigma_s, not negative; traced.
        least: h, a least width of the noise at Z_t: without noise all mass is at the anchors at t = 0, where finitely many
            nodes say nothing between them.
    """

    nodes: Posteriors
    anchors: Float[Array, "J d"]
    log_weights: Float[Array, " J"]
    noise: ArrayLike
    least: ArrayLike = 0.0

    def __check_init__(self) -> None:
        if self.anchors.shape != (len(self.nodes.means), self.nodes.means.shape[2]):
            raise ValueError(
                f"anchors have shape {self.anchors.shape}, but the flow ends in dimension {self.nodes.means.shape[2]}, and "
                f"there are {len(self.nodes.means)} nodes: one of that dimension is needed for each"
            )
        noise, least = (real(name, getattr(self, name), (), low=0) for name in ("noise", "least"))
        if known(noise, least) and not float(noise + least) > 0:
            raise ValueError(
                "noise = 0 and least = 0 are not allowed: at t = 0 all mass is then at the anchors, and the velocity is not "
                "defined between them. Choose least above 0"
            )

    def clean(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """E[X | Z_t = z]."""
        t = jnp.asarray(t, z.dtype)
        m, p = self.nodes.means, self.nodes.covariances
        width = jnp.maximum((1 - t) * jnp.asarray(self.noise, z.dtype), jnp.asarray(self.least, z.dtype))
        within = t**2 * p + width**2 * jnp.eye(z.shape[1], dtype=z.dtype)[None]
        root = jnp.linalg.cholesky(within)
        eye = jnp.broadcast_to(jnp.eye(z.shape[1], dtype=z.dtype), root.shape)
        inverse = jax.lax.linalg.triangular_solve(root, eye, left_side=True, lower=True)
        at = t * m + (1 - t) * self.anchors[:, None, :]
        here, there = jnp.einsum("kab,nb->nka", inverse, z), jnp.einsum("kab,jkb->jka", inverse, at)
        apart = jnp.einsum("nka,jka->nkj", here, there) - (there**2).sum(axis=2).T[None] / 2
        scale = jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        logits = apart - (here**2).sum(axis=2)[:, :, None] / 2 - scale[None, :, None]
        logits = logits + (jnp.log(self.nodes.weights) + self.log_weights[:, None]).T[None]
        share = jax.nn.softmax(logits.reshape(len(z), -1), axis=1).reshape(logits.shape)
        off = share.sum(axis=2)[:, :, None] * z[:, None, :] - jnp.einsum("nkj,jkd->nkd", share, at)
        gain = t * jnp.einsum("kab,kcb,kcd->kad", p, inverse.swapaxes(1, 2), inverse)
        return jnp.einsum("nkj,jkd->nd", share, m) + jnp.einsum("kab,nkb->na", gain, off)

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return _velocity(self.clean, t, z)


class GivenMixture(eqx.Module):
    """The velocity from N(0, I) to the posterior of each particle's own y: row i of z goes with row i of the posteriors."""

    own: Posteriors

    def clean(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """E[X | Z_t = z, y]."""
        t = jnp.asarray(t, z.dtype)
        weights, m, p, _ = self.own
        within = t**2 * p + (1 - t) ** 2 * jnp.eye(z.shape[1], dtype=z.dtype)[None]
        logits, solved = log_joint(jnp.ones(len(p), z.dtype), within, z[:, None, :] - t * m)
        share = jax.nn.softmax(logits + jnp.log(weights), axis=1)
        return jnp.einsum("nk,nkd->nd", share, m + t * jnp.einsum("kab,nkb->nka", p, solved))

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return _velocity(self.clean, t, z)


class GivenPoints(eqx.Module):
    """The same where the prior is a set of points (N, d), of which ``log_likelihood`` (n, N) is log p(y | x)."""

    x: Float[Array, "N d"]
    log_likelihood: Float[Array, "n N"]

    def clean(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """E[X | Z_t = z, y]."""
        t = jnp.asarray(t, z.dtype)
        at = t * self.x
        apart = 2 * z @ at.T - (at * at).sum(axis=1)[None, :]
        return jax.nn.softmax(self.log_likelihood + apart / (2 * (1 - t) ** 2), axis=1) @ self.x

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return _velocity(self.clean, t, z)


def _velocity(clean: Any, t: ArrayLike, z: Array) -> Array:
    if known(t) and not float(np.asarray(t)) < 1:
        raise ValueError(f"t = {t}, but the velocity is (G - z) / (1 - t), for t below 1")
    return (clean(t, z) - z) / (1 - jnp.asarray(t, z.dtype))

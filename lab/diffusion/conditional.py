r"""The data given a linear measurement of them, under a mixture of Gaussians: exact denoisers for each of many y.

For a prior $\sum_k w_k N(m_k, C_k)$ and $y = A x_0 + \sigma\varepsilon$ the posterior is a mixture whose covariances $P_k$ do
not depend on y. Their eigenvectors are found once; what is left to know of a y are weights $w_k(y)$ and means $M_k(y)$:

$$ G_k = C_k A^\top (A C_k A^\top + \sigma^2 I)^{-1}, \quad M_k = m_k + G_k (y - A m_k), \quad P_k = C_k - G_k A C_k, \quad
   w_k(y) \propto w_k N(y;\, A m_k, A C_k A^\top + \sigma^2 I), $$

$$ D(x;\, a, s, y) = \sum_k g_k\, \big[ M_k + a P_k (a^2 P_k + s^2 I)^{-1} (x - a M_k) \big], \qquad
   g_k \propto w_k(y)\, N(x;\, a M_k, a^2 P_k + s^2 I) . $$

Source: Ma, Yang, Yang, Fu, Liu, *Solving Diffusion ODEs with Optimal Boundary Conditions for Better Image Super-Resolution*,
ICLR 2024; the closed forms are those of linear Gaussian models.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.numerics.arguments import real
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import Symmetric, symmetric
from lab.numerics.mixtures import OF_WEIGHTS, Mixture, log_joint, widened


class Given(NamedTuple):
    """What is known of the data after y; a row of them for each of several y."""

    log_weights: Float[Array, "*n K"]
    centres: Float[Array, "*n K d"]  # of the components


class Denoiser(eqx.Module):
    """The mean of the data given y and a noisy point: a ``Prediction``. Time O(n K d^2 + K d^3)."""

    posterior: Symmetric  # covariances P_k of the components
    given: Given

    def __call__(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, "n d"]:
        logs, back = self._parts(x, a, s)
        return (jax.nn.softmax(logs, axis=1)[:, :, None] * back).sum(axis=1)

    def log_density(self, x: Float[Array, "n d"], a: Any = 1.0, s: Any = 0.0) -> Float[Array, " n"]:
        r"""$\log p_t(x \mid y)$; of the data themselves when a and s are omitted."""
        return jax.nn.logsumexp(self._parts(x, jnp.asarray(a, x.dtype), jnp.asarray(s, x.dtype))[0], axis=1)

    def _parts(self, x: Array, a: Array, s: Array) -> tuple[Array, Array]:
        """Logarithms of the densities of x with the components' weights, and the means given x."""

        def of(posterior: Symmetric) -> tuple[Array, Array, Array]:
            spread = posterior.affine(a**2, s**2)
            squared = s**2
            pole = squared / jnp.maximum(a**2, jnp.finfo(x.dtype).tiny)
            gain = posterior.function(_gain, a, squared, pole=pole)
            return spread.function(jax.lax.rsqrt), spread.trace(jnp.log), gain

        white, scale, gain = jax.vmap(of)(self.posterior)
        apart = x[:, None, :] - (a * self.given.centres)[None]
        logs = -(jnp.einsum("nkd,kde->nke", apart, white) ** 2).sum(axis=2) / 2
        logs = logs + (self.given.log_weights - (scale + x.shape[1] * jnp.log(2 * jnp.pi)) / 2)[None]
        return logs, self.given.centres[None] + jnp.einsum("nkd,ked->nke", apart, gain)


def _gain(values: Array, a: Array, squared: Array) -> Array:
    return a * values / (a**2 * values + squared)


class Conditional(eqx.Module):
    """The posteriors of all y at once: called with one row of ``given`` it is the ``Denoiser`` of that y.

    Made by ``conditional``.
    """

    posterior: Symmetric  # covariances P_k
    means: Float[Array, "K d"]  # of the prior
    log_weights: Float[Array, " K"]
    gains: Float[Array, "K d m"]
    seen: Float[Array, "K m"]  # of the means
    marginals: Float[Array, "K m m"]  # covariances of y

    def __call__(self, given: Given) -> Denoiser:
        return Denoiser(self.posterior, given)

    def covariances(self) -> Float[Array, "K d d"]:
        """P_k, of the components of the posterior of any y."""
        return jax.vmap(Symmetric.full)(self.posterior)

    @jit
    def given(self, y: Float[Array, "n m"]) -> Given:
        """What each y tells; the weights sum to one.

        Raises:
            ValueError: y of another dimension than what is measured.
        """
        if y.ndim != 2 or y.shape[1] != self.seen.shape[1]:
            raise ValueError(f"y has shape {y.shape}, but rows of {self.seen.shape[1]} numbers are needed")
        logits, _ = log_joint(jnp.exp(self.log_weights), self.marginals, y[:, None, :] - self.seen[None])
        centres = self.means[None] + jnp.einsum("kdm,nkm->nkd", self.gains, y[:, None, :] - self.seen[None])
        return Given(jax.nn.log_softmax(logits, axis=1), centres)

    def law(self, given: Given) -> Mixture:
        """The posterior of one y. Outside ``jit`` its matrices are checked."""
        full = self.covariances()
        return Mixture(jnp.exp(given.log_weights), given.centres, (full + full.swapaxes(1, 2)) / 2)

    def mean(self, given: Given) -> Float[Array, "n d"]:
        """Of the posterior, for rows of several y: what has the least squared error."""
        return jnp.einsum("nk,nkd->nd", jnp.exp(given.log_weights), given.centres)

    def variance(self, given: Given) -> Float[Array, " n"]:
        """The trace of the covariance of the posterior, for each y: that least squared error."""
        weights = jnp.exp(given.log_weights)
        apart = given.centres - self.mean(given)[:, None, :]
        within = jnp.trace(self.covariances(), axis1=1, axis2=2)
        return (weights * ((apart**2).sum(axis=2) + within[None])).sum(axis=1)

    def sample(self, key: PRNGKeyArray, given: Given) -> Float[Array, "n d"]:
        """A draw from the posterior of each y."""
        first, second = jax.random.split(key)
        chosen = random.categorical(first, refuse_derivative(given.log_weights, OF_WEIGHTS), axis=1)
        z = random.normal(second, (len(chosen), self.means.shape[1]), self.means.dtype)
        centre = jnp.take_along_axis(given.centres, chosen[:, None, None], axis=1)[:, 0]
        roots = jax.vmap(lambda each: each.function(jnp.sqrt))(self.posterior)
        return centre + jnp.einsum("nde,ne->nd", roots[chosen], z)


def conditional(prior: Mixture, operator: Any, noise: ArrayLike) -> Conditional:
    r"""The posteriors of $y = A x_0 + \sigma\varepsilon$ under a mixture of Gaussians, for any y.

    Time O(K (d^3 + m^3)), once for all y.

    Args:
        prior: of the data, in dimension d.
        operator: A, (m, d).
        noise: sigma, one standard deviation above 0; traced.

    Returns:
        a ``Conditional``, of which ``given(y)`` is what is known of each y.

    Raises:
        ValueError: an operator for another dimension, or noise that is not positive.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion.conditional import conditional
        >>> from lab.numerics.mixtures import standard
        >>> half = conditional(standard(1), jnp.eye(1), 1.0)
        >>> round(float(half.mean(half.given(jnp.ones((1, 1))))[0, 0]), 6)  # y / 2
        0.5
    """
    operator = real("operator", operator, dtype=prior.means.dtype)
    if operator.ndim != 2 or operator.shape[1] != prior.dimension:
        raise ValueError(
            f"the operator has shape {operator.shape}, but a matrix (m, {prior.dimension}) is needed: the prior has dimension "
            f"{prior.dimension}"
        )
    noise = real("noise", noise, (), low=0, strict=True, dtype=operator.dtype)
    return _conditional(prior, operator, noise)


@jit
def _conditional(prior: Mixture, operator: Array, noise: Array) -> Conditional:
    full = widened(prior.covariances, 3, prior.dimension)
    cross = jnp.einsum("kab,mb->kam", full, operator)
    marginal = jnp.einsum("ma,kan->kmn", operator, cross)
    marginal = marginal + (noise**2 * jnp.eye(len(operator), dtype=operator.dtype))[None]
    gain = jnp.linalg.solve(marginal, cross.swapaxes(1, 2)).swapaxes(1, 2)
    left = full - jnp.einsum("kam,kbm->kab", gain, cross)
    # what A and no noise tell exactly is rounded to below 0
    posterior = jax.vmap(partial(symmetric, least=float(jnp.finfo(left.dtype).eps)))(left)
    return Conditional(
        posterior,
        prior.means,
        jnp.log(prior.weights),
        gain,
        prior.means @ operator.T,
        marginal,
    )

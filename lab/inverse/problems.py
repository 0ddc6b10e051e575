r"""A measurement and what is known of it, $y = A(x) + \sigma\varepsilon$; and the posterior where it is known.

For a prior $\sum_k w_k N(m_k, S_k)$ and a matrix H the posterior is a mixture again: with $M_k = H S_k H^\top + \sigma^2 I$ its
weights are in proportion to $w_k N(y; H m_k, M_k)$, whose sum is the evidence, and its components are
$N(m_k + S_k H^\top M_k^{-1} (y - H m_k),\; S_k - S_k H^\top M_k^{-1} H S_k)$.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab import precision
from lab.inverse.operators import Linear, Operator, known
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture, log_joint, widened


class Problem(eqx.Module):
    """One measurement. Made by ``problem`` or ``measure``.

    Attributes:
        y: (*outputs) of the operator.
        noise: standard deviation of each number; of a complex one of both parts.
    """

    operator: Operator
    y: Array
    noise: Float[Array, ""]

    def misfit(self, x: Any) -> Float[Array, "*batch"]:
        r"""$|A(x) - y|^2$ of each x (..., *inputs)."""
        found = self.operator(x)
        off = jnp.abs(found - jnp.broadcast_to(self.y, found.shape)) ** 2
        return off.sum(axis=tuple(range(off.ndim - self.y.ndim, off.ndim)))

    def start(self) -> Array:
        """Where solvers begin: the pseudo-inverse where it is known, else the adjoint over the squared norm, else zeros."""
        made = self.operator
        if not isinstance(made, Linear):
            return jnp.zeros(made.inputs, self.y.real.dtype)
        try:
            return made.pinv(self.y)
        except ValueError:
            return made.adjoint(self.y) / made.norm().astype(self.y.real.dtype) ** 2


def problem(operator: Operator, y: Any, noise: ArrayLike) -> Problem:
    """What was measured with an operator.

    Raises:
        ValueError: y of another shape, or with values that are not finite; noise below 0.
    """
    precision.uncut(y=y)
    y = jnp.asarray(y)
    if y.shape != operator.outputs:
        raise ValueError(f"y has shape {y.shape}, but the operator gives {operator.outputs}")
    if jnp.issubdtype(y.dtype, jnp.complexfloating) and not operator.is_complex:
        raise ValueError("y is complex, but the operator gives real numbers")
    y = y if jnp.issubdtype(y.dtype, jnp.inexact) else y.astype(jnp.result_type(float))
    if known(y) and not np.isfinite(np.asarray(y)).all():
        raise ValueError(
            f"y has {int((~np.isfinite(np.asarray(y))).sum())} values that are not finite: mask them, or fill them in"
        )
    if known(noise) and not (np.ndim(noise) == 0 and np.isfinite(level := np.asarray(noise, float)) and level >= 0):
        raise ValueError(f"noise = {noise}, but it is one standard deviation, 0 or more")
    return Problem(operator, y, jnp.asarray(noise, y.real.dtype))


def measure(operator: Operator, x: Any, noise: ArrayLike, key: PRNGKeyArray) -> Problem:
    """A measurement of x (*inputs) with noise; where a mask shows nothing there is none."""
    clean = operator(x)
    if clean.shape != operator.outputs:
        raise ValueError(f"x has shape {jnp.shape(x)}, but one array of shape {operator.inputs} is measured")
    first, second = jax.random.split(key)
    drawn = jax.random.normal(first, clean.shape, clean.real.dtype)
    if operator.is_complex:
        drawn = drawn + 1j * jax.random.normal(second, clean.shape, clean.real.dtype)
    seen = getattr(operator, "seen", True)  # of masks
    return problem(operator, clean + jnp.where(seen, jnp.asarray(noise, clean.real.dtype) * drawn, 0), noise)


def posterior(given: Problem, prior: Mixture) -> Mixture:
    """The law of the flattened x given y, of a linear operator and a prior on R^n with noise above 0. Time O(K (n^3 + m^3))."""
    h, y = _flat(given, prior)
    return prior.observe(h, y, given.noise**2 * jnp.eye(len(y), dtype=y.dtype))


def evidence(given: Problem, prior: Mixture) -> Float[Array, ""]:
    r"""$\log p(y)$; of a mask that of what is seen."""
    h, y = _flat(given, prior)
    return _evidence(h, y, given.noise, prior, jnp.asarray(given.operator.measurements))


@jit
def _evidence(h: Array, y: Array, noise: Array, prior: Mixture, count: Array) -> Array:
    full = widened(prior.covariances, 3, prior.dimension)
    marginal = jnp.einsum("ma,kab,nb->kmn", h, full, h) + noise**2 * jnp.eye(len(y), dtype=y.dtype)[None]
    logits, _ = log_joint(prior.weights, marginal, (y[None, :] - prior.means @ h.T)[None])
    # what is not seen is 0 without noise, but counted as drawn from it
    hidden = (len(y) - count) * jnp.log(2 * jnp.pi * noise**2) / 2
    return jax.nn.logsumexp(logits[0]) + hidden


def _flat(given: Problem, prior: Mixture) -> tuple[Array, Array]:
    """The matrix (m, n) and y (m,), real."""
    made = given.operator
    if not isinstance(made, Linear):
        raise ValueError("the posterior has a closed form for linear operators only")
    n = int(np.prod(made.inputs))
    if prior.dimension != n:
        raise ValueError(
            f"the prior has dimension {prior.dimension}, but the operator takes {made.inputs}, {n} numbers"
        )
    if known(given.noise) and not float(given.noise) > 0:
        raise ValueError("noise = 0, but the posterior in closed form needs noise above 0: take a little")
    y = given.y
    stacked = jnp.concatenate([y.real.ravel(), y.imag.ravel()]) if made.is_complex else y.ravel()
    return made.matrix(stacked.dtype), stacked

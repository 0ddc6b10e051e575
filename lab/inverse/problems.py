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
from lab.numerics import random
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture, log_joint, widened


class Problem(eqx.Module):
    """One measurement, or one of each of several images. Made by ``problem`` or ``measure``.

    Attributes:
        y: (*outputs) of the operator, or (images, *outputs).
        noise: standard deviation of each number; of a complex one of both parts.
    """

    operator: Operator
    y: Array
    noise: Float[Array, ""]

    @property
    def images(self) -> int | None:
        """How many images were measured; None of a single one without an axis."""
        return None if self.y.ndim == len(self.operator.outputs) else len(self.y)

    def misfit(self, x: Any) -> Float[Array, "*batch"]:
        r"""$|A(x) - y|^2$ of each x (..., *inputs), of several images (images, ..., *inputs)."""
        found = self.operator(x)
        inner = len(self.operator.outputs)
        y = self.y
        if self.images is not None:
            y = jnp.expand_dims(y, tuple(range(1, found.ndim - inner)))
        off = jnp.abs(found - jnp.broadcast_to(y, found.shape)) ** 2
        return off.sum(axis=tuple(range(off.ndim - inner, off.ndim)))

    def start(self) -> Array:
        """Where solvers begin: the pseudo-inverse where it is tame, else the adjoint over the squared norm, else zeros."""
        made = self.operator
        if not isinstance(made, Linear):
            images = () if self.images is None else (self.images,)
            return jnp.zeros((*images, *made.inputs), self.y.real.dtype)
        if made.is_tame:
            try:
                return made.pinv(self.y)
            except ValueError:  # too large
                pass
        return made.adjoint(self.y) / made.norm().astype(self.y.real.dtype) ** 2


def problem(operator: Operator, y: Any, noise: ArrayLike) -> Problem:
    r"""What was measured with an operator, $y = A(x) + \sigma\varepsilon$.

    Args:
        operator: A.
        y: (*outputs), or (images, *outputs) where several images were measured: ``solve`` answers for all at once. What a mask
            hides is not read, and may be NaN.
        noise: $\sigma$, standard deviation of each number, at least 0; of a complex one of both parts.

    Returns:
        a ``Problem``.

    Raises:
        ValueError: y of another shape, complex where the operator is real, or with values that are not finite; noise below 0.

    Source:
        Kaipio, Somersalo, Statistical and Computational Inverse Problems, 2005.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> given = inverse.problem(inverse.Identity((2,)), [1.0, 2.0], 0.1)
        >>> float(given.misfit(jnp.zeros(2)))  # 1 + 4
        5.0
    """
    precision.uncut(y=y)
    y = jnp.asarray(y)
    outputs = operator.outputs
    if y.shape[y.ndim - len(outputs) :] != outputs or y.ndim - len(outputs) not in (0, 1) or 0 in y.shape:
        raise ValueError(
            f"y has shape {y.shape}, but the operator gives {outputs}: one such array, or one for each image"
        )
    if jnp.issubdtype(y.dtype, jnp.complexfloating) and not operator.is_complex:
        raise ValueError("y is complex, but the operator gives real numbers")
    y = y if jnp.issubdtype(y.dtype, jnp.inexact) else y.astype(jnp.result_type(float))
    noisy = operator.noisy
    y = y if noisy is True else _read(noisy, y)
    if known(y) and not np.isfinite(np.asarray(y)).all():
        raise ValueError(
            f"y has {int((~np.isfinite(np.asarray(y))).sum())} values that are not finite: mask them, or fill them in"
        )
    if known(noise) and not (np.ndim(noise) == 0 and np.isfinite(level := np.asarray(noise, float)) and level >= 0):
        raise ValueError(f"noise = {noise}, but it is one standard deviation, 0 or more")
    return Problem(operator, y, jnp.asarray(noise, y.real.dtype))


def measure(operator: Operator, x: Any, noise: ArrayLike, key: PRNGKeyArray) -> Problem:
    r"""A measurement with noise, $y = A(x) + \sigma\varepsilon$; where a mask shows nothing there is none.

    Args:
        operator: A.
        x: (*inputs) or (images, *inputs).
        noise: $\sigma$, standard deviation of each number, at least 0; of a complex one of both parts.
        key: of the noise.

    Returns:
        a ``Problem``.

    Raises:
        ValueError: as ``problem``.

    Source:
        Kaipio, Somersalo, Statistical and Computational Inverse Problems, 2005.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import inverse
        >>> inverse.measure(inverse.average((1, 2, 2), 2), jnp.ones((1, 2, 2)), 0.0, jax.random.key(0)).y.tolist()
        [[[1.0]]]
    """
    clean = operator(x)
    return problem(operator, _noised(clean, operator.noisy, jnp.asarray(noise, clean.real.dtype), key), noise)


@jit
def _read(noisy: Array, y: Array) -> Array:
    """What a mask hides is not read."""
    return jnp.where(noisy, y, 0)


@jit
def _noised(clean: Array, noisy: Any, noise: Array, key: PRNGKeyArray) -> Array:
    first, second = jax.random.split(key)
    drawn = random.normal(first, clean.shape, clean.real.dtype)
    if jnp.iscomplexobj(clean):
        drawn = drawn + 1j * random.normal(second, clean.shape, clean.real.dtype)
    return clean + jnp.where(noisy, noise * drawn, 0)


def posterior(given: Problem, prior: Mixture) -> Mixture:
    r"""The law of the flattened x given y, of a linear operator and a mixture of Gaussians as the prior.

    $$ w_k N(y; H m_k, M_k), \qquad N\big(m_k + S_k H^\top M_k^{-1} (y - H m_k),\; S_k - S_k H^\top M_k^{-1} H S_k\big), \qquad
       M_k = H S_k H^\top + \sigma^2 I $$

    are its weights, up to a factor, and its components. Time O(K (n^3 + m^3)).

    Args:
        given: one measurement, of a linear operator, with noise above 0.
        prior: on R^n, n the numbers of x.

    Returns:
        a ``Mixture`` on R^n.

    Raises:
        ValueError: several images, an operator that is not linear, a prior of another dimension, or no noise.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> from lab import inverse, paths
        >>> found = inverse.posterior(inverse.problem(inverse.Identity((1,)), [2.0], 1.0), paths.standard(1))
        >>> round(float(found.means[0, 0]), 6), round(float(found.moments().covariance[0, 0]), 6)  # y / 2, and 1 / 2
        (1.0, 0.5)
    """
    return _observed(prior, *_flat(given, prior), given.noise)


def evidence(given: Problem, prior: Mixture) -> Float[Array, ""]:
    r"""The log-density of a measurement under a mixture of Gaussians, $\log p(y)$; of a mask that of what is seen.

    $$ p(y) = \sum_k w_k\, N(y;\, H m_k,\, H S_k H^\top + \sigma^2 I) $$

    Args:
        given: one measurement, of a linear operator, with noise above 0.
        prior: on R^n, n the numbers of x.

    Returns:
        one number, in nats.

    Raises:
        ValueError: as ``posterior``.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> from lab import inverse, paths
        >>> given = inverse.problem(inverse.Identity((1,)), [0.0], 1.0)
        >>> round(float(inverse.evidence(given, paths.standard(1))), 4)  # -log(2 pi 2) / 2
        -1.2655
    """
    h, y = _flat(given, prior)
    return _evidence(h, y, given.noise, prior, jnp.asarray(given.operator.measurements))


@jit
def _observed(prior: Mixture, h: Array, y: Array, noise: Array) -> Mixture:
    return prior.observe(h, y, noise**2 * jnp.eye(len(y), dtype=y.dtype))


@jit
def _evidence(h: Array, y: Array, noise: Array, prior: Mixture, count: Array) -> Array:
    full = widened(prior.covariances, 3, prior.dimension)
    marginal = jnp.einsum("ma,kab,nb->kmn", h, full, h) + noise**2 * jnp.eye(len(y), dtype=y.dtype)[None]
    logits, _ = log_joint(prior.weights, marginal, (y[None, :] - prior.means @ h.T)[None])
    # what is not seen is 0 without noise, but counted as drawn from it
    hidden = (len(y) - count) * jnp.log(2 * jnp.pi * noise**2) / 2
    return jax.nn.logsumexp(logits[0]) + hidden


def _flat(given: Problem, prior: Mixture) -> tuple[Array, Array]:
    """The matrix (m, n) and y (m,), where the posterior is known."""
    if given.images is not None:
        raise ValueError(f"y has {given.images} images, but the posterior is that of one: take one of them")
    h, y = flat(given, prior)
    if known(given.noise) and not float(given.noise) > 0:
        raise ValueError("noise = 0, but the posterior in closed form needs noise above 0: take a little")
    return h, y


def flat(given: Problem, prior: Mixture) -> tuple[Float[Array, "m n"], Float[Array, "*images m"]]:
    """The matrix and what was measured, real, for a prior on R^n.

    Raises:
        ValueError: an operator that is not linear, a prior of another dimension.
    """
    made = given.operator
    if not isinstance(made, Linear):
        raise ValueError("closed forms are known for linear operators only")
    n = int(np.prod(made.inputs))
    if prior.dimension != n:
        raise ValueError(
            f"the prior has dimension {prior.dimension}, but the operator takes {made.inputs}, {n} numbers"
        )
    images = () if given.images is None else (given.images,)
    y = given.y.reshape(*images, -1)
    stacked = jnp.concatenate([y.real, y.imag], axis=-1) if made.is_complex else y
    return made.matrix(stacked.dtype), stacked

r"""Determinantal point processes as numpyro distributions, to draw from and to infer their parameters.

All have exact ``sample`` and a ``log_prob`` that is differentiable in the features or the kernel, so that NUTS can infer, say,
a length-scale from observed subsets. What is impossible (an item twice, a determinant 0 to rounding) has -inf, never NaN.

- ``ProjectionDPP(features)``: m indices; ``log_prob`` of the unordered set.
- ``KDPP(kernel, k)``: k indices; ``log_prob`` of the unordered set.
- ``LEnsemble(kernel)``: a boolean mask of N.
- ``ContinuousDPP(basis)``: m points; density of the ordered tuple for $\mu^{\otimes m}$.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import Distribution, constraints

from lab.sampling import ensembles, projection
from lab.sampling.bases import Basis


class _Distinct(constraints._SingletonConstraint):
    """Vectors of distinct indices."""

    event_dim = 1
    is_discrete = True

    def __call__(self, x):
        order = jnp.sort(x, axis=-1)
        return jnp.all(order[..., 1:] > order[..., :-1], axis=-1) & (order[..., 0] >= 0)

    def feasible_like(self, prototype):
        return jnp.broadcast_to(jnp.arange(prototype.shape[-1]), jnp.shape(prototype))


distinct = _Distinct()


def log_minor(kernel: Array, items: Array) -> Array:
    """log det L_S of indices (k,); -inf where it is 0 to rounding or an index repeats or lies outside; gradients are finite."""
    n = kernel.shape[0]
    known = jnp.clip(items, 0, n - 1)
    block = kernel[known[:, None], known[None, :]]
    return _log_det(block, jnp.asarray(distinct(items)) & (items < n).all())


def _log_det(block: Array, allowed: Array) -> Array:
    k = block.shape[0]
    block = (block + block.T) / 2

    def pivots(a):
        return jnp.diagonal(jnp.linalg.cholesky(a, symmetrize_input=False))

    least = 4 * k * jnp.finfo(block.dtype).eps
    positive = pivots(jax.lax.stop_gradient(block)) ** 2 > least * jnp.diagonal(jax.lax.stop_gradient(block))
    allowed = allowed & positive.all()
    safe = jnp.where(allowed, block, jnp.eye(k))  # a gradient through the other branch would be NaN
    return jnp.where(allowed, 2 * jnp.log(pivots(safe)).sum(), -jnp.inf)


def _vectorize(function, value: Array, event: int) -> Array:
    """Over the axes in front of the last ``event``."""
    lead = value.shape[: value.ndim - event]
    flat = value.reshape((-1, *value.shape[value.ndim - event :]))
    return jax.lax.map(function, flat, batch_size=256).reshape(lead) if lead else function(value)


def _many(sample, key, shape: tuple[int, ...]) -> Array:
    found = sample(key, math.prod(shape) if shape else None)
    return found.reshape((*shape, *found.shape[1:])) if shape else found


class ProjectionDPP(Distribution):
    r"""m of N items, $P(S) = \det(X_S)^2 / \det(X^T X)$: the projection DPP of the column span of X.

    Args:
        features: X (N, m) of full column rank, or B with orthonormal columns, for which $P(S) = \det(B_S)^2$.
    """

    arg_constraints: ClassVar = {"features": constraints.real_matrix}
    support = distinct  # pyright: ignore[reportAssignmentType]
    pytree_data_fields = ("features",)

    def __init__(self, features: ArrayLike, *, validate_args: bool | None = None):
        self.features = jnp.asarray(features, float)
        if self.features.ndim != 2 or self.features.shape[0] < self.features.shape[1]:
            raise ValueError(f"features have shape {self.features.shape}, but must be (N, m) with N >= m")
        super().__init__((), (self.features.shape[1],), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        return _many(lambda key, size: projection.subset(key, self.features, size=size), key, sample_shape)

    def log_prob(self, value):
        rows, _ = jnp.linalg.qr(self.features)
        kernel = rows @ rows.T if rows.shape[0] <= 64 else None

        def of(items):
            if kernel is not None:
                return log_minor(kernel, items)
            known = jnp.clip(items, 0, rows.shape[0] - 1)
            part = rows[known]
            return _log_det(part @ part.T, jnp.asarray(distinct(items)) & (items < rows.shape[0]).all())

        return _vectorize(of, jnp.asarray(value), 1)


class KDPP(Distribution):
    r"""k of N items, $P(S) = \det L_S / e_k(\lambda)$.

    Args:
        kernel: L (N, N), symmetric positive semi-definite.
        k: static.

    Raises:
        ValueError: k above the rank of L, or L that is not positive semi-definite, where L is known.
    """

    arg_constraints: ClassVar = {"kernel": constraints.dependent(is_discrete=False, event_dim=2)}
    support = distinct  # pyright: ignore[reportAssignmentType]
    pytree_data_fields = ("kernel",)
    pytree_aux_fields = ("k",)

    def __init__(self, kernel: ArrayLike, k: int, *, validate_args: bool | None = None):
        self.kernel, self.k = ensembles.symmetric(kernel, "L"), k
        if not 1 <= k <= self.kernel.shape[0]:
            raise ValueError(f"k = {k}, but a subset of {self.kernel.shape[0]} items has 1 to {self.kernel.shape[0]}")
        super().__init__((), (k,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        given = ensembles.spectrum(self.kernel)
        return _many(lambda key, size: ensembles.k_dpp(key, given, self.k, size), key, sample_shape)

    def log_prob(self, value):
        total = ensembles.log_elementary(jnp.linalg.eigvalsh(self.kernel), self.k)
        return _vectorize(lambda items: log_minor(self.kernel, items) - total, jnp.asarray(value), 1)


class LEnsemble(Distribution):
    r"""Subsets of N items of any size, as masks: $P(S) = \det L_S / \det(I + L)$.

    Args:
        kernel: L (N, N), symmetric positive semi-definite.
    """

    arg_constraints: ClassVar = {"kernel": constraints.dependent(is_discrete=False, event_dim=2)}
    support = constraints.independent(constraints.boolean, 1)  # pyright: ignore[reportAssignmentType]
    pytree_data_fields = ("kernel",)

    def __init__(self, kernel: ArrayLike, *, validate_args: bool | None = None):
        self.kernel = ensembles.symmetric(kernel, "L")
        super().__init__((), (self.kernel.shape[0],), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        given = ensembles.spectrum(self.kernel)
        return _many(lambda key, size: ensembles.l_ensemble(key, given, size), key, sample_shape)

    def log_prob(self, value):
        n = self.kernel.shape[0]
        total = jnp.linalg.slogdet(jnp.eye(n) + self.kernel)[1]

        def of(mask):
            both = mask[:, None] & mask[None, :]
            return _log_det(jnp.where(both, self.kernel, jnp.eye(n)), jnp.asarray(True)) - total

        return _vectorize(of, jnp.asarray(value).astype(bool), 1)


class ContinuousDPP(Distribution):
    r"""m points of the projection DPP of a basis.

    $\log p = 2 \log|\det \Phi| - \log m!$ for $\mu^{\otimes m}$, of the ordered tuple.

    Args:
        basis: of a continuous law.
    """

    support = constraints.independent(constraints.real, 2)  # pyright: ignore[reportAssignmentType]
    pytree_data_fields = ("basis",)

    def __init__(self, basis: Basis, *, validate_args: bool | None = None):
        self.basis = basis
        d = jax.eval_shape(lambda key: basis.draw(key, 1), jax.random.key(0)).shape[1]
        super().__init__((), (basis.m, d), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        def draws(key, size):
            one = lambda key: projection.draw(key, self.basis).points  # noqa: E731
            return one(key) if size is None else jax.vmap(one)(jax.random.split(key, size))

        return _many(draws, key, sample_shape)

    def log_prob(self, value):
        m = self.basis.m
        return _vectorize(
            lambda x: 2 * jnp.linalg.slogdet(self.basis(x))[1] - math.lgamma(m + 1), jnp.asarray(value), 2
        )

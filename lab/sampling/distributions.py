r"""Determinantal point processes as numpyro distributions, to draw from and to infer their parameters.

All have exact ``sample`` and a ``log_prob`` that is differentiable in the features or the kernel, so that NUTS can infer, say,
a length-scale from observed subsets. What is impossible (an item twice, a determinant 0 to rounding) has -inf, never NaN.

- ``ProjectionDPP(features)``: m indices; ``log_prob`` of the unordered set.
- ``KDPP(kernel, k)``: k indices; ``log_prob`` of the unordered set.
- ``LEnsemble(kernel)``: a boolean mask of N.
- ``ContinuousDPP(basis)``: m points; density of the ordered tuple for Lebesgue measure, also as a latent site.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array
from numpyro.distributions import Distribution, biject_to, constraints, transforms

from lab.sampling import ensembles, projection
from lab.sampling.bases import Basis, Product, finite


class Distinct(constraints.Constraint):
    """Vectors of distinct indices 0 .. n - 1."""

    event_dim = 1
    is_discrete = True

    def __init__(self, n: int):
        self.n = n

    def __call__(self, x):
        order = jnp.sort(x, axis=-1)
        apart = jnp.all(order[..., 1:] > order[..., :-1], axis=-1)
        return apart & (order[..., 0] >= 0) & (order[..., -1] < self.n)

    def feasible_like(self, prototype):
        return jnp.broadcast_to(jnp.arange(prototype.shape[-1]), jnp.shape(prototype))

    def tree_flatten(self):
        return (), ((), {"n": self.n})

    def __eq__(self, other):
        return isinstance(other, Distinct) and other.n == self.n

    def __hash__(self):
        return hash((Distinct, self.n))


class Box(constraints.Constraint):
    """Coordinates (..., d), each between its own two ends, which may be infinite."""

    event_dim = 0
    is_discrete = False

    def __init__(self, ends: tuple[tuple[float, float], ...]):
        self.ends = ends

    def __call__(self, x):
        x = jnp.asarray(x)
        low, high = jnp.moveaxis(jnp.asarray(self.ends).reshape((1,) * (x.ndim - 1) + (-1, 2)), -1, 0)
        return (x >= low) & (x <= high)

    def feasible_like(self, prototype):
        return jnp.broadcast_to(BoxTransform(self.ends)(jnp.zeros(len(self.ends))), jnp.shape(prototype))

    def tree_flatten(self):
        return (), ((), {"ends": self.ends})

    def __eq__(self, other):
        return isinstance(other, Box) and other.ends == self.ends

    def __hash__(self):
        return hash((Box, self.ends))


class BoxTransform(transforms.Transform):
    """From all numbers to a ``Box``: the logistic function between finite ends, else the number itself."""

    domain = constraints.real  # pyright: ignore[reportAssignmentType]

    def __init__(self, ends: tuple[tuple[float, float], ...]):
        self.ends = ends
        if any(math.isinf(low) != math.isinf(high) for low, high in ends):
            raise ValueError(f"the ends are {ends}, but both of a coordinate must be finite, or neither")

    @property
    def codomain(self):
        return Box(self.ends)

    def _parts(self, like: Array) -> tuple[Array, Array, Array]:
        low, high = jnp.moveaxis(jnp.asarray(self.ends).reshape((1,) * (like.ndim - 1) + (-1, 2)), -1, 0)
        bounded = jnp.isfinite(high)
        return bounded, jnp.where(bounded, low, 0.0), jnp.where(bounded, high - low, 1.0)

    def __call__(self, x):
        bounded, low, width = self._parts(x)
        return jnp.where(bounded, low + width * jax.nn.sigmoid(x), x)

    def _inverse(self, y):
        bounded, low, width = self._parts(y)
        tiny = jnp.finfo(y.dtype).eps
        return jnp.where(bounded, jax.scipy.special.logit(jnp.clip((y - low) / width, tiny, 1 - tiny)), y)

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        bounded, _, width = self._parts(x)
        return jnp.where(bounded, jnp.log(width) + jax.nn.log_sigmoid(x) + jax.nn.log_sigmoid(-x), 0.0)

    def tree_flatten(self):
        return (), ((), {"ends": self.ends})

    def __eq__(self, other):
        return isinstance(other, BoxTransform) and other.ends == self.ends

    def __hash__(self):
        return hash((BoxTransform, self.ends))


biject_to.register(Box)(lambda box: BoxTransform(box.ends))


def log_minor(kernel: Array, items: Array) -> Array:
    """log det L_S of indices (k,); -inf where it is 0 to rounding or an index repeats or lies outside; gradients are finite."""
    n = kernel.shape[0]
    known = jnp.clip(items, 0, n - 1)
    block = kernel[known[:, None], known[None, :]]
    return _log_det(block, Distinct(n)(items))


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


def _vectorize(function, law: Distribution, value: ArrayLike) -> Array:
    """Over the axes in front of those of one draw.

    Raises:
        ValueError: values of another size.
    """
    value, event = jnp.asarray(value), len(law.event_shape)
    lead = value.shape[: value.ndim - event]
    if value.shape[len(lead) :] != law.event_shape:
        raise ValueError(
            f"the value has shape {value.shape}, but draws of shape (..., {str(law.event_shape)[1:]} are needed"
        )
    flat = value.reshape((-1, *value.shape[value.ndim - event :]))
    return jax.lax.map(function, flat, batch_size=256).reshape(lead) if lead else function(value)


def _many(sample, key, shape: tuple[int, ...]) -> Array:
    found = sample(key, math.prod(shape) if shape else None)
    return found.reshape((*shape, *found.shape[1:])) if shape else found


class ProjectionDPP(Distribution):
    r"""m of N items, $P(S) = \det(X_S)^2 / \det(X^T X)$: the projection DPP of the column span of X.

    Args:
        features: X (N, m) of full column rank, or B with orthonormal columns, for which $P(S) = \det(B_S)^2$.

    Raises:
        ValueError: features that are dependent or not finite, where they are known.
    """

    arg_constraints: ClassVar = {"features": constraints.real_matrix}
    pytree_data_fields = ("features",)

    def __init__(self, features: ArrayLike, *, validate_args: bool | None = None):
        self.features = jnp.asarray(features, float)
        if self.features.ndim != 2 or self.features.shape[0] < self.features.shape[1]:
            raise ValueError(f"features have shape {self.features.shape}, but must be (N, m) with N >= m")
        if not isinstance(self.features, Tracer):
            finite(self.features)
        super().__init__((), (self.features.shape[1],), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)  # pyright: ignore[reportArgumentType]
    def support(self):
        return Distinct(self.features.shape[0])

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
            return _log_det(part @ part.T, Distinct(rows.shape[0])(items))

        return _vectorize(of, self, value)


class KDPP(Distribution):
    r"""k of N items, $P(S) = \det L_S / e_k(\lambda)$.

    Args:
        kernel: L (N, N), symmetric positive semi-definite.
        k: static.

    Raises:
        ValueError: k above the rank of L, or L that is not positive semi-definite, where L is known.
    """

    arg_constraints: ClassVar = {"kernel": constraints.dependent(is_discrete=False, event_dim=2)}
    pytree_data_fields = ("kernel",)
    pytree_aux_fields = ("k",)

    def __init__(self, kernel: ArrayLike, k: int, *, validate_args: bool | None = None):
        self.kernel, self.k = ensembles.symmetric(kernel, "L"), k
        if not 1 <= k <= self.kernel.shape[0]:
            raise ValueError(f"k = {k}, but a subset of {self.kernel.shape[0]} items has 1 to {self.kernel.shape[0]}")
        if not isinstance(self.kernel, Tracer):
            ensembles.check_k(ensembles.spectrum(self.kernel), k)
        super().__init__((), (k,), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)  # pyright: ignore[reportArgumentType]
    def support(self):
        return Distinct(self.kernel.shape[0])

    def sample(self, key, sample_shape=()):
        given = ensembles.spectrum(self.kernel)
        return _many(lambda key, size: ensembles.k_dpp(key, given, self.k, size), key, sample_shape)

    def log_prob(self, value):
        values = jnp.linalg.eigvalsh(self.kernel)
        total = ensembles.log_elementary(values, self.k)
        possible = jnp.isfinite(total) & ensembles.is_semidefinite(values)  # of a kernel that is traced
        total = jnp.where(possible, total, jnp.inf)
        return _vectorize(lambda items: log_minor(self.kernel, items) - total, self, value)


class LEnsemble(Distribution):
    r"""Subsets of N items of any size, as masks: $P(S) = \det L_S / \det(I + L)$.

    Args:
        kernel: L (N, N), symmetric positive semi-definite.

    Raises:
        ValueError: L that is not positive semi-definite, where it is known.
    """

    arg_constraints: ClassVar = {"kernel": constraints.dependent(is_discrete=False, event_dim=2)}
    support = constraints.independent(constraints.boolean, 1)  # pyright: ignore[reportAssignmentType]
    pytree_data_fields = ("kernel",)

    def __init__(self, kernel: ArrayLike, *, validate_args: bool | None = None):
        self.kernel = ensembles.symmetric(kernel, "L")
        if not isinstance(self.kernel, Tracer):
            ensembles.check_semidefinite(jnp.linalg.eigvalsh(self.kernel))
        super().__init__((), (self.kernel.shape[0],), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        given = ensembles.spectrum(self.kernel)
        return _many(lambda key, size: ensembles.l_ensemble(key, given, size), key, sample_shape)

    def log_prob(self, value):
        n = self.kernel.shape[0]
        total = jnp.linalg.slogdet(jnp.eye(n) + self.kernel)[1]
        good = ensembles.is_semidefinite(jnp.linalg.eigvalsh(jax.lax.stop_gradient(self.kernel)))
        total = jnp.where(good, total, jnp.inf)  # of a kernel that is traced

        def of(given):
            mask = given.astype(bool)
            both = mask[:, None] & mask[None, :]
            return _log_det(jnp.where(both, self.kernel, jnp.eye(n)), (given == mask).all()) - total

        return _vectorize(of, self, value)


class ContinuousDPP(Distribution):
    r"""m points of the projection DPP of a basis.

    $\log p = 2 \log|\det \Phi| + \sum_i \log \mu(x_i) - \log m!$ for Lebesgue measure, of the ordered tuple, with the
    density $\mu$ of the basis's law; -inf where that is 0.

    Args:
        basis: of a continuous law with a density, a ``Product``. Of N points take ``ProjectionDPP``.

    Raises:
        TypeError: another basis.
    """

    pytree_data_fields = ("basis",)

    def __init__(self, basis: Basis, *, validate_args: bool | None = None):
        if not isinstance(basis, Product):
            raise TypeError(
                f"the basis is a {type(basis).__name__}, whose law has no density: take a Product of one-dimensional "
                "families, or ProjectionDPP for features on points"
            )
        self.basis: Product = basis
        super().__init__((), (basis.m, basis.d), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=2)  # pyright: ignore[reportArgumentType]
    def support(self):
        return constraints.independent(Box(tuple(family.support for family in self.basis.families)), 2)

    def sample(self, key, sample_shape=()):
        def draws(key, size):
            one = lambda key: projection.draw(key, self.basis).points  # noqa: E731
            return one(key) if size is None else jax.vmap(one)(jax.random.split(key, size))

        return _many(draws, key, sample_shape)

    def log_prob(self, value):
        def of(x):
            found = 2 * jnp.linalg.slogdet(self.basis(x))[1] + self.basis.log_density(x).sum()
            found = found - math.lgamma(self.basis.m + 1)
            return jnp.where(jnp.isnan(found), -jnp.inf, found)  # so far out that polynomials overflow

        return _vectorize(of, self, value)

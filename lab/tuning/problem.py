r"""Bilevel problems: hyperparameters whose loss is that of a minimiser.

$$ \min_\theta f(\theta) = g(\hat x(\theta)) + r(\theta), \qquad \hat x(\theta) = \arg\min_x h(x, \theta) , $$

$h(\cdot, \theta)$ strongly convex with the constant $\mu$, with an $L$-Lipschitz gradient and twice
differentiable; the gradient of
$g$ is $L_g$-Lipschitz. With $H = \nabla_{xx} h$ and $J = \partial_\theta \nabla_x h$ the slope is
$\nabla f = -J^\top H^{-1} \nabla g(\hat x) + \nabla r$.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.numerics import arguments, random

_FEW = 32  # hyperparameters, up to which J is a matrix
_POWER = 8  # iterations for the norm of J, of more
_LANCZOS = 24  # products with the Hessian for its extreme eigenvalues
_SLACK = 2.0  # by which estimates of L are raised and those of mu lowered


class Constants(NamedTuple):
    """What the bounds need to know of h(., theta) and g. None is estimated along the iterates, and nothing is then
    certified."""

    mu: Float[Array, ""]  # strong convexity of h
    smooth: Float[Array, ""]  # L, Lipschitz constant of grad_x h
    upper: Float[Array, ""]  # L_g, of grad g
    inverse: Float[Array, ""] | None = None  # L_Hinv, of x -> H(x)^-1; at most L_H / mu^2
    cross: Float[Array, ""] | None = None  # L_J, of x -> J(x)
    products: int = 0  # with the Hessian, that were spent on knowing mu and L


class Bilevel(eqx.Module):
    """A lower loss h(x, theta), an upper loss g(x) and a penalty r(theta). x is an array of any shape, theta (p,)."""

    convex: ClassVar[bool] = True
    """Whether g is convex."""

    @abstractmethod
    def lower(self, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Float[Array, ""]:
        """h(x, theta)."""

    @abstractmethod
    def upper(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """g(x)."""

    def penalty(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """r(theta), smooth; 0 unless a problem says another."""
        return jnp.zeros((), theta.dtype)

    @abstractmethod
    def constants(self, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Constants:
        """What is known of h(., theta) and g."""

    @abstractmethod
    def start(self, theta: Float[Array, " p"]) -> Float[Array, "..."]:
        """Where the first lower solve begins."""

    def cross_norm(self, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Float[Array, ""]:
        """||J(x, theta)||, spectral: of a matrix for few hyperparameters, by power iterations, from below, for many."""
        return norm_of_cross(self, x, theta)

    @property
    def certified(self) -> bool:
        """Whether all constants are bounds that are known to hold, the norm of J among them."""
        return False


def norm(x: Float[Array, "..."]) -> Float[Array, ""]:
    """The Euclidean norm of all entries."""
    return jnp.sqrt(jnp.vdot(x, x))


def slope(problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Float[Array, "..."]:
    """grad_x h."""
    return jax.grad(problem.lower)(x, theta)


def curved(
    problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"], v: Float[Array, "..."]
) -> Float[Array, "..."]:
    """H(x, theta) v, by one forward pass through the gradient."""
    return jax.jvp(lambda at: slope(problem, at, theta), (x,), (v,))[1]


def pulled(
    problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"], q: Float[Array, "..."]
) -> Float[Array, " p"]:
    """J(x, theta)^T q, by one reverse pass: the slope in theta of <grad_x h(x, theta), q>."""
    return jax.grad(lambda at: jnp.vdot(slope(problem, x, at), q))(theta)


def pushed(
    problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"], v: Float[Array, " p"]
) -> Float[Array, "..."]:
    """J(x, theta) v."""
    return jax.jvp(lambda at: slope(problem, x, at), (theta,), (v,))[1]


def norm_of_cross(problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Float[Array, ""]:
    """||J||: the root of the largest eigenvalue of J^T J for p <= 32, else a lower bound by eight power iterations."""
    if theta.size <= _FEW:
        columns = jax.vmap(lambda v: pushed(problem, x, theta, v).ravel())(jnp.eye(theta.size, dtype=theta.dtype))
        return jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(columns @ columns.T)[-1], 0.0))

    def body(_: Any, v: Array) -> Array:
        image = pulled(problem, x, theta, pushed(problem, x, theta, v))
        return image / jnp.maximum(norm(image), jnp.finfo(v.dtype).tiny)

    begin = random.normal(jax.random.key(0), theta.shape, theta.dtype)
    return norm(pushed(problem, x, theta, jax.lax.fori_loop(0, _POWER, body, begin / norm(begin))))


def eigenvalues(
    problem: Bilevel, x: Float[Array, "..."], theta: Float[Array, " p"], steps: int = _LANCZOS
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""The least and the largest eigenvalue of H(x, theta) as Lanczos' method sees them.

    Both lie within the spectrum: the first is at least the least eigenvalue, the second at most the largest; with
    as many
    steps as there are unknowns they are equal to them. Costs ``min(steps, d)`` products with the Hessian.
    """
    steps = min(steps, x.size)
    begin = random.normal(jax.random.key(1), x.shape, x.dtype).ravel()

    def body(i: Any, carry: tuple) -> tuple:
        basis, diagonal, beside = carry
        v = basis[i]
        image = curved(problem, x, theta, v.reshape(x.shape)).ravel()
        diagonal, whole = diagonal.at[i].set(jnp.vdot(v, image)), norm(image)
        for _ in range(2):  # twice is enough to stay orthogonal
            image = image - basis.T @ (basis @ image)
        length = norm(image)
        length = jnp.where(length > 1e-10 * whole, length, 0.0)  # below it the space has ended
        following = jnp.where(length > 0, image / jnp.where(length > 0, length, 1.0), 0.0)
        return basis.at[i + 1].set(following), diagonal, beside.at[i].set(length)

    basis = jnp.zeros((steps + 1, x.size), x.dtype).at[0].set(begin / norm(begin))
    _, diagonal, beside = jax.lax.fori_loop(
        0, steps, body, (basis, jnp.zeros(steps, x.dtype), jnp.zeros(steps, x.dtype))
    )
    # where the space ended early the rest is padding, which repeats the first Rayleigh quotient
    ended = jnp.cumsum(jnp.concatenate([jnp.zeros(1, x.dtype), jnp.where(beside[:-1] == 0, 1.0, 0.0)])) > 0
    diagonal = jnp.where(ended, diagonal[0], diagonal)
    beside = jnp.where(ended[1:], 0.0, beside[:-1])
    found = jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1))
    return found[0], found[-1]


class Own(Bilevel):
    """A problem of one's own: any lower and upper loss of JAX, with the constants that are known.

    Args:
        h: (x, theta) to a number.
        g: x to a number.
        x0: where the first lower solve begins; its shape is that of x.
        r: theta to a number, or None.
        mu, smooth, upper: strong convexity of h, Lipschitz constants of its gradient and of that of g, each a
        number, or a
            function of theta; of what is None the eigenvalues of the Hessian at hand are taken, within a factor of 2.
        inverse, cross: Lipschitz constants of the inverse Hessian and of J; None: secants along the iterates.
        is_convex: whether g is.
        few: theta has at most 32 entries, so that the norm of J is that of a matrix.
        data: arrays that h and g need, given to both as a last argument; None: they take none.
    """

    h: Callable = eqx.field(static=True)
    g: Callable = eqx.field(static=True)
    x0: Array = eqx.field(converter=partial(arguments.real, "x0"))
    r: Callable | None = eqx.field(static=True, default=None)
    mu: Any = None
    smooth: Any = None
    of_upper: Any = None
    inverse: Any = None
    cross: Any = None
    is_convex: bool = eqx.field(static=True, default=False)
    few: bool = eqx.field(static=True, default=True)
    data: Any = None

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.is_convex

    def _with(self, call: Callable, *arguments: Any) -> Array:
        return jnp.asarray(call(*arguments) if self.data is None else call(*arguments, self.data))

    @property
    def certified(self) -> bool:
        given = (self.mu, self.smooth, self.of_upper, self.inverse, self.cross)
        return self.few and all(each is not None for each in given)

    def lower(self, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Array:
        return self._with(self.h, x, theta)

    def upper(self, x: Float[Array, "..."]) -> Array:
        return self._with(self.g, x)

    def penalty(self, theta: Float[Array, " p"]) -> Array:
        return super().penalty(theta) if self.r is None else jnp.asarray(self.r(theta))

    def constants(self, x: Float[Array, "..."], theta: Float[Array, " p"]) -> Constants:
        of = lambda given: jnp.asarray(given(theta) if callable(given) else given, x.dtype)  # noqa: E731
        estimated = self.mu is None or self.smooth is None
        low, high = eigenvalues(self, x, theta) if estimated else (jnp.zeros(()), jnp.zeros(()))
        return Constants(
            jnp.where(low > 0, low / _SLACK, low) if self.mu is None else of(self.mu),
            _SLACK * high if self.smooth is None else of(self.smooth),
            _SLACK * _largest(self, x) if self.of_upper is None else of(self.of_upper),
            None if self.inverse is None else of(self.inverse),
            None if self.cross is None else of(self.cross),
            min(_LANCZOS, x.size) if estimated else 0,
        )

    def start(self, theta: Float[Array, " p"]) -> Float[Array, "..."]:
        return self.x0


def _largest(problem: Bilevel, x: Float[Array, "..."]) -> Float[Array, ""]:
    """The largest curvature of g at x in size, by power iterations."""
    product = lambda v: jax.jvp(jax.grad(problem.upper), (x,), (v,))[1]  # noqa: E731

    def body(_: Any, v: Array) -> Array:
        image = product(v)
        return image / jnp.maximum(norm(image), jnp.finfo(v.dtype).tiny)

    begin = random.normal(jax.random.key(2), x.shape, x.dtype)
    return norm(product(jax.lax.fori_loop(0, _POWER, body, begin / norm(begin))))

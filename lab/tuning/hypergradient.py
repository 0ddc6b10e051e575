r"""Inexact hypergradients, with the bound of their error (Salehi, Mukherjee, Roberts and Ehrhardt 2023).

At a point $\tilde x$ within $\varepsilon$ of the minimiser, and q with
$\|H(\tilde x) q - \nabla g(\tilde x)\| \le \delta$, the inexact
hypergradient is $z = -J(\tilde x)^\top q + \nabla r$, and

$$ \|z - \nabla f\| \le \omega = c\,\varepsilon + \tfrac{\|J\|}{\mu}\,\delta + \tfrac{L_J L_g}{\mu}\,\varepsilon^2, \qquad
   c = \tfrac{L_g \|J\|}{\mu} + L_{H^{-1}} \|\nabla g\| \|J\| + \tfrac{L_J}{\mu} \|\nabla g\| , $$

all at $\tilde x$. The four differences of a triangle inequality: of q from $H^{-1} \nabla g$, of $\nabla g$,
$H^{-1}$ and J at $\tilde x$
from those at the minimiser.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax
import optimistix
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Reason, arguments, tell
from lab.numerics.differentiation import refuse_derivative
from lab.tuning.problem import Bilevel, Constants, curved, norm, pulled, slope

CAP = 2000
"""Products of one linear solve, at most."""


class Linear(NamedTuple):
    """A solution of H q = b."""

    q: Float[Array, "..."]
    residual: Float[Array, ""]  # ||H q - b||
    products: Int[Array, ""]  # with H
    reached: Bool[Array, ""]
    curvature: Float[Array, ""]  # the least <p, H p> / <p, p> that was met; at most 0 where H is not positive
    history: Float[Array, " rows"]  # residuals by product, NaN after the last


def conjugate(
    problem: Bilevel,
    theta: Float[Array, " p"],
    x: Float[Array, "..."],
    b: Float[Array, "..."],
    q: Float[Array, "..."],
    delta: Any,
    cap: int = CAP,
    rows: int = 0,
) -> Linear:
    """Conjugate gradients for H(x, theta) q = b, from q, until the residual is at most delta (absolute).

    It ends where a direction has no positive curvature: h is then not strongly convex, ``reached`` is false and
    ``curvature``
    says by how much.
    """
    residual = b - curved(problem, x, theta, q)
    noted = jnp.full(rows, jnp.nan, x.dtype)
    noted = noted.at[0].set(norm(residual)) if rows else noted

    def going(carry: tuple) -> Array:
        _, _, _, square, count, curvature, _ = carry
        return (jnp.sqrt(square) > delta) & (count < cap) & (curvature > 0)

    def body(carry: tuple) -> tuple:
        q, residual, p, square, count, curvature, noted = carry
        image = curved(problem, x, theta, p)
        bent = jnp.vdot(p, image)
        curvature = jnp.minimum(curvature, bent / jnp.vdot(p, p))
        step = jnp.where(curvature > 0, square / bent, 0.0)
        q, residual = q + step * p, residual - step * image
        new = jnp.vdot(residual, residual)
        noted = noted.at[count].set(jnp.sqrt(new)) if rows else noted
        return q, residual, residual + new / square * p, new, count + 1, curvature, noted

    square = jnp.vdot(residual, residual)
    start = (q, residual, residual, square, jnp.int32(1), jnp.asarray(jnp.inf, x.dtype), noted)
    q, _, _, square, count, curvature, noted = jax.lax.while_loop(going, body, start)
    left = jnp.sqrt(square)
    return Linear(q, left, count, left <= delta, curvature, noted)


class Slope(NamedTuple):
    """An inexact hypergradient."""

    z: Float[Array, " p"]
    omega: Float[Array, ""]  # bound of ||z - grad f||
    linear: Linear
    pull: Float[Array, "..."]  # grad g
    cross: Float[Array, ""]  # ||J||


def bound(
    known: Constants, inverse: Any, cross: Any, size: Any, pull: Any, eps: Any, delta: Any
) -> Float[Array, "..."]:
    """omega.

    Args:
        known: constants of which mu and L_g are used.
        inverse, cross: L_Hinv and L_J, known or estimated.
        size, pull: ||J|| and ||grad g|| at the point.
        eps, delta: accuracies of the point and of the linear solve.

    Raises:
        ValueError: a negative number, or mu that is not positive.
    """
    mu = arguments.real("known.mu", known.mu, low=0, strict=True)
    given = {"known.upper": known.upper, "inverse": inverse, "cross": cross, "size": size, "pull": pull}
    given |= {"eps": eps, "delta": delta}
    upper, inverse, cross, size, pull, eps, delta = (arguments.real(*each, low=0) for each in given.items())
    known = known._replace(mu=mu, upper=upper)
    factor = known.upper * size / known.mu + inverse * pull * size + cross * pull / known.mu
    return factor * eps + size / known.mu * delta + cross * known.upper / known.mu * eps**2


def inexact(
    problem: Bilevel,
    theta: Float[Array, " p"],
    x: Float[Array, "..."],
    q: Float[Array, "..."],
    delta: Any,
    cap: int = CAP,
) -> tuple[Float[Array, " p"], Linear, Float[Array, "..."]]:
    """z at x, from a start q of the linear solve; with that solve, and grad g(x)."""
    pull = jax.grad(problem.upper)(x)
    linear = conjugate(problem, theta, x, pull, q, delta, cap)
    return jax.grad(problem.penalty)(theta) - pulled(problem, x, theta, linear.q), linear, pull


def secants(
    problem: Bilevel,
    theta: Float[Array, " p"],
    x: Float[Array, "..."],
    other: Float[Array, "..."],
    q: Float[Array, "..."],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""Estimates from below of the Lipschitz constants of H and J along x - other, in the direction q that matters.

    $\|(H(x) - H(x')) q\| / (\|q\| \|x - x'\|)$, and the same of $J^\top$. Zero where both points are one. Costs
    two products.
    """
    apart, size = norm(x - other), norm(q)
    scale = apart * size
    turned = curved(problem, x, theta, q) - curved(problem, other, theta, q)
    tilted = pulled(problem, x, theta, q) - pulled(problem, other, theta, q)
    safe = jnp.where(scale > 0, scale, 1.0)
    return jnp.where(scale > 0, norm(turned) / safe, 0.0), jnp.where(scale > 0, norm(tilted) / safe, 0.0)


@arguments.arrays(tolerance=arguments.POSITIVE)
def implicit(
    problem: Bilevel, theta: Float[Array, " p"], x: Float[Array, "..."], tolerance: float = 1e-12
) -> Float[Array, " p"]:
    r"""grad f by another way: optimistix finds the root of grad_x h by Newton's method and differentiates it implicitly.

    $$ \nabla f = -J^\top H^{-1} \nabla g(\hat x) + \nabla r $$

    The linear solves are those of lineax. It makes the Hessian a matrix, so it is for some thousand unknowns at most, and
    Newton's method is not damped: x must be near the minimiser where h is far from quadratic.

    Args:
        problem: of two levels.
        theta: hyperparameters, (p,).
        x: where Newton's method begins.
        tolerance: of Newton's method, relative and absolute.

    Returns:
        the slope (p,), differentiable in theta and in the arrays of the problem.

    Raises:
        ValueError: theta or x that is not finite, or of the wrong shape.

    Warns:
        NotConverged: Newton's method did not find the minimiser.

    Source:
        Salehi, Mukherjee, Roberts and Ehrhardt (2023), of the slope.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> line = tuning.quadratic.quadratic([[1.0]], [[1.0]], [[1.0]], [2.0], [5.0])  # f = (3 - theta)^2 / 2
        >>> tuning.implicit(line, jnp.zeros(1), jnp.zeros(1)).round(9)
        Array([-3.], dtype=float64)
    """

    x = refuse_derivative(x, "the start of Newton's method has no effect on the slope that it finds")

    def loss(theta: Array) -> tuple[Array, tuple[Array, Array]]:
        newton = optimistix.Newton(tolerance, tolerance, linear_solver=lineax.AutoLinearSolver(well_posed=True))
        root = optimistix.root_find(
            lambda x, theta: slope(problem, x, theta), newton, x, theta, max_steps=100, throw=False
        )
        told = jnp.asarray(root.result == optimistix.RESULTS.successful), jnp.asarray(root.stats["num_steps"])
        return problem.upper(root.value) + problem.penalty(theta), told

    found, (reached, steps) = jax.grad(loss, has_aux=True)(theta)
    if not isinstance(reached, Tracer) and not bool(reached):
        tell("lab.tuning.implicit", Reason.MAX_ITERATIONS, steps)
    return found

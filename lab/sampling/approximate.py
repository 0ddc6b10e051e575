"""A design, a fit and an error estimate for a function of one's own: response surface and quadrature in one call."""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics import arguments
from lab.sampling import least_squares, rules
from lab.sampling.bases import Basis, Finite, Product, Space, product
from lab.sampling.least_squares import Estimate, Fit


class Approximation(NamedTuple):
    """What ``design`` returns. Call it with coordinates (N, d), in the user's units, for the fit there."""

    points: Float[Array, "n d"]  # where f was evaluated, in the user's units
    weights: Float[Array, " n"]  # w
    values: Float[Array, " n"]  # f
    fit: Fit
    integral: Float[Array, ""]  # of the fit, for the law
    squared_error: Estimate  # of the fit in L2 of the law, by cross-validation
    integral_weights: Float[Array, " n"]  # integral = these . values
    design: rules.Design
    basis: Basis
    center: Float[Array, " d"]
    scale: Float[Array, " d"]

    @property
    def error(self) -> Array:
        """The root of the squared error: an L2 error in the units of f."""
        return jnp.sqrt(self.squared_error.value)

    def __call__(self, x: ArrayLike | Sequence) -> Float[Array, " N"]:
        x = arguments.real("x", x).astype(float)
        if x.ndim != 2 or x.shape[1] != self.center.shape[0]:
            raise ValueError(f"x has shape {x.shape}, but must be (N, {self.center.shape[0]}): one row a point")
        return self.basis.evaluate((x - self.center[None, :]) / self.scale[None, :]) @ self.fit.coefficients


@chosen
def design(
    f: Callable,
    basis: Basis | None = None,
    *,
    bounds: ArrayLike | Sequence | None = None,
    degree: int = 9,
    space: Space = "total-degree",
    rule: rules.Rule | None = None,
    key: Array | None = None,
    vectorized: bool = True,
) -> Approximation:
    r"""Evaluate f at few, well-placed points, fit it, integrate it, and say how wrong the fit is.

    $$ \hat f = \arg\min_{v \in V_m} \frac1n \sum_i w(x_i) (f(x_i) - v(x_i))^2 $$

    The error is cross-validated: over the repetitions of the rule, where it has at least two and was not thinned, else over
    single points; rather too high than too low, and far too high where n is close to m, when the points alone say little of it.

    Args:
        f: an ordinary function of points (n, d), an array of numpy, with values (n,); called once. What it closes over may
            be differentiated, and so may the bounds, if it is a function of JAX.
        basis: what to fit with; polynomials for the uniform law on the bounds if not given.
        bounds: (d, 2), the box of a polynomial basis, lower and upper of each coordinate; (2,) on the line. [-1, 1] if not
            given. With a basis of one's own the points are those of its law.
        degree: of the polynomials, as in ``product``.
        space: of the polynomials, as in ``product``.
        rule: how points are drawn. If not given, repeated projection DPPs of 3 m points, conditioned on lambda_min >= 1/2, or
            of 4, 6, 8 or 12 m where a hundred tries do not reach that.
        key: of the randomness; ``jax.random.key(0)`` if not given.
        vectorized: False where f takes one point (d,) at a time.

    Returns:
        an ``Approximation``: points, values, fit, integral, error; call it with coordinates (N, d) for the fit there.

    Raises:
        ValueError: bounds, or values of f that are of another shape or not finite.
        RuntimeError: the conditioning was not reached.

    Source:
        Nouy and Michel (2023); cross-validation is the lab's.

    Examples:
        >>> from lab import sampling
        >>> found = sampling.design(lambda x: x[:, 0] ** 2, bounds=[0, 3], degree=2, rule=sampling.Volume(5))
        >>> float(found.integral.round(6)), bool(found.error < 1e-9)  # the mean over the bounds; f is in the span
        (3.0, True)
    """
    if basis is None:
        low, high = _box(bounds)
        basis = product("legendre", len(low), degree, space)
        center, scale = (low + high) / 2, (high - low) / 2
    else:
        if bounds is not None:
            raise ValueError("bounds and basis were both given, but a basis has its own law: give one of them")
        d = basis.nodes.shape[1] if isinstance(basis, Finite) else _dimension(basis)
        center, scale = jnp.zeros(d), jnp.ones(d)
    key = jax.random.key(0) if key is None else key
    rule, found = _shortest(key, basis) if rule is None else (rule, rules.sample(key, rule, basis))
    points = center[None, :] + scale[None, :] * basis.coordinates(found.points)
    values = _evaluate(f, points, np.asarray(found.used), vectorized)
    phi = basis(found.points)
    fitted = least_squares.fit(phi, found.weights, values, found.used)
    parts = rule.parts if rule.parts > 1 and bool(found.used.all()) else phi.shape[0]
    quadrature = basis.quadrature(max(2, _size(basis)))
    means = basis(quadrature.points).T @ quadrature.masses  # of the functions
    q, r = jnp.linalg.qr(jnp.sqrt(fitted.weights)[:, None] * phi)
    return Approximation(
        points=points,
        weights=found.weights,
        values=values,
        fit=fitted,
        integral=means @ fitted.coefficients,
        squared_error=least_squares.cross_validation(phi, found.weights, values, parts, found.used),
        integral_weights=jnp.sqrt(fitted.weights) * (q @ jax.scipy.linalg.solve_triangular(r, means, trans=1)),
        design=found,
        basis=basis,
        center=center,
        scale=scale,
    )


def _shortest(key: Array, basis: Basis) -> tuple[rules.Rule, rules.Design]:
    for r in (3, 4, 6, 8):
        rule = rules.Conditioned(rules.Repeated(rules.Projection(), r))
        with contextlib.suppress(RuntimeError):
            return rule, rules.sample(key, rule, basis)
    rule = rules.Conditioned(rules.Repeated(rules.Projection(), 12))
    return rule, rules.sample(key, rule, basis)


def _size(basis: Basis) -> int:
    return max(family.size for family in basis.families) if isinstance(basis, Product) else 1


def _dimension(basis: Basis) -> int:
    return jax.eval_shape(lambda key: basis.draw(key, 1), jax.random.key(0)).shape[1]


def _box(bounds: ArrayLike | Sequence | None) -> tuple[Array, Array]:
    box = arguments.real("bounds", [[-1.0, 1.0]] if bounds is None else bounds, finite=False).astype(float)
    box = box[None] if box.ndim == 1 else box
    fits = box.ndim == 2 and box.shape[1] == 2
    if fits and not isinstance(box, Tracer):
        known = np.asarray(box)
        fits = np.isfinite(known).all() and (known[:, 0] < known[:, 1]).all()
    if not fits:
        raise ValueError("bounds must be (d, 2), finite, lower below upper in each row: say [[0, 1], [-2, 2]]")
    return box[:, 0], box[:, 1]


def _evaluate(f: Callable, points: Array, used: np.ndarray, vectorized: bool) -> Array:
    given = points[used] if isinstance(points, Tracer) else np.asarray(points)[used]
    values = f(given) if vectorized else [f(x) for x in given]
    if any(
        isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values)
    ):  # a function of JAX, differentiated or compiled
        values = jnp.asarray(values, float)
    else:
        values = np.asarray(values, float)
    if values.shape != (len(given),):
        raise ValueError(
            f"f returned an array of shape {values.shape} for {len(given)} points, but must return one number a point, "
            f"({len(given)},): take vectorized=False if it is a function of one point"
        )
    if not isinstance(values, Tracer) and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"f is NaN or infinite at {bad} of {len(given)} points: it must be finite on the whole domain")
    return jnp.zeros(len(used)).at[np.flatnonzero(used)].set(values)

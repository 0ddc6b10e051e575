r"""Distances by lines: clouds are projected to directions, and on each line transport is a matter of sorting.

$$ w_\theta = W_p^p(\theta^\top X, \theta^\top Y), \qquad SW_p^p = E_\theta\, w_\theta, \qquad
   \max SW_p^p = \max_\theta w_\theta, \qquad EBSW_p^p = E_{\theta \sim e^{w}}\, w_\theta $$

with theta uniform on the sphere, or in the last (energy-based) weighed by how much it sees. A translation by t has
$w_\theta = \langle \theta, t \rangle^2$ for p = 2, so that $SW_2^2 = |t|^2 / d$ and $\max SW_2 = |t|$. Time O(L n (d + log n))
for L directions, where a matrix of costs takes O(n^2 d). All are differentiable in the points, with their orders held fixed,
and in the masses, the directions and p.

Source: Bonneel et al., *Sliced and Radon Wasserstein barycenters*, 2015; Deshpande et al. (max), CVPR 2019; Nguyen, Ho,
*Energy-based sliced Wasserstein distance*, NeurIPS 2023; Le et al. (bidirectional), CVPR 2024.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import random
from lab.numerics.arguments import NOT_NEGATIVE, arrays, whole
from lab.numerics.differentiation import refuse_derivative, without_derivative
from lab.numerics.jit import jit
from lab.numerics.sorting import ascending

_TINY = 1e-12  # under a root, whose derivative at 0 is none


def directions(key: PRNGKeyArray, count: int, d: int, dtype: Any = float) -> Float[Array, "count d"]:
    r"""Unit vectors, uniform on the sphere: $\theta = z / |z|$ of standard normal z.

    Args:
        key: of the draws.
        count: how many.
        d: dimension.
        dtype: of the numbers.

    Returns:
        (count, d).

    Raises:
        ValueError: a count or a dimension below 1.

    Source:
        Muller, A note on a method for generating points uniformly on n-dimensional spheres, Communications of the ACM 1959.

    Examples:
        >>> import jax
        >>> from lab.ot import sliced
        >>> (sliced.directions(jax.random.key(0), 2, 3) ** 2).sum(axis=1).round(6).tolist()
        [1.0, 1.0]
    """
    drawn = random.normal(key, (whole("count", count, 1), whole("d", d, 1)), dtype)
    return drawn / jnp.sqrt((drawn**2).sum(axis=1, keepdims=True))


@arrays(a=NOT_NEGATIVE, b=NOT_NEGATIVE)
def on_line(
    u: Float[Array, "*lines m"],
    v: Float[Array, "*lines n"],
    a: Float[Array, " m"] | None = None,
    b: Float[Array, " n"] | None = None,
    *,
    p: ArrayLike = 2,
) -> Float[Array, "*lines"]:
    r"""$W_p^p$ on a line, exactly, of any sizes and weights: $\int_0^1 |F_u^{-1}(q) - F_v^{-1}(q)|^p\,dq$.

    Args:
        a, b: masses of total 1, zeros allowed; uniform when omitted.
        p: at least 1.

    Time O((m + n) log(m + n)) a line.

    Raises:
        ValueError: masses of another number than the points or of another total, no points, values that are not finite.

    >>> float(on_line(jnp.array([0.0, 1.0]), jnp.array([2.0])))  # both go to 2
    2.5
    """
    _check_power(p)
    _check_points(u, v, a, b)
    return _on_lines(u, v, a, b, p)


def _on_lines(u: Array, v: Array, a: Any, b: Any, p: ArrayLike) -> Array:
    if a is None and b is None and u.shape[-1] == v.shape[-1]:
        return _powered(ascending(u) - ascending(v), p).mean(axis=-1)
    first, second = (
        jnp.full(size, 1 / size, u.dtype) if each is None else each
        for each, size in ((a, u.shape[-1]), (b, v.shape[-1]))
    )
    one = jnp.vectorize(lambda u, v: _on_line(u, v, first, second, p), signature="(m),(n)->()")
    return one(u, v)


def _on_line(u: Array, v: Array, a: Array, b: Array, p: ArrayLike) -> Array:
    orders = jnp.argsort(u), jnp.argsort(v)
    levels = [jnp.cumsum(mass[order]) for mass, order in zip((a, b), orders, strict=True)]
    ends = jnp.sort(jnp.concatenate([levels[0], levels[1]]))
    begins = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    middle = (begins + ends) / 2
    u, v = (
        points[order][jnp.clip(jnp.searchsorted(level, middle), 0, points.size - 1)]
        for points, order, level in zip((u, v), orders, levels, strict=True)
    )
    return ((ends - begins) * _powered(u - v, p)).sum()


def _powered(z: Array, p: ArrayLike) -> Array:
    if isinstance(p, int) and p == 2:  # whole numbers are part of a program
        return z * z
    same = z == 0
    return jnp.where(same, 0.0, jnp.abs(jnp.where(same, 1.0, z)) ** p)


@arrays(a=NOT_NEGATIVE, b=NOT_NEGATIVE)
def by_direction(
    x: Float[Array, "m d"],
    y: Float[Array, "n d"],
    theta: Float[Array, "lines d"],
    a: Float[Array, " m"] | None = None,
    b: Float[Array, " n"] | None = None,
    *,
    p: ArrayLike = 2,
) -> Float[Array, " lines"]:
    """w of each direction.

    Raises:
        ValueError: clouds of unlike dimensions, masses of another number than the points or of another total, values that are
            not finite, p below 1 (values under ``jit`` are not checked).
    """
    _check_power(p)  # which a compiled function does not see
    _check_points(x.T, y.T, a, b)
    return _by_direction(x, y, theta, a, b, p)


@jit
def _by_direction(x: Array, y: Array, theta: Array, a: Any, b: Any, p: ArrayLike) -> Array:
    return _on_lines(theta @ x.T, theta @ y.T, a, b, p)


class Sliced(NamedTuple):
    """A distance by directions, and how sure it is."""

    value: Float[Array, ""]
    standard_error: Float[Array, ""]  # of the choice of directions, by the delta method; NaN of one direction
    by_direction: Float[Array, " lines"]  # w
    theta: Float[Array, "lines d"]


@arrays()
def sliced(
    x: Float[Array, "m d"],
    y: Float[Array, "n d"],
    theta: Float[Array, "lines d"],
    a: Float[Array, " m"] | None = None,
    b: Float[Array, " n"] | None = None,
    *,
    p: ArrayLike = 2,
) -> Sliced:
    r"""The sliced distance by the mean over ``directions``.

    $$ SW_p^p = E_\theta\, W_p^p(\theta^\top x, \theta^\top y) $$

    Args:
        x: (m, d) points.
        y: (n, d) points of the other cloud.
        theta: (lines, d) unit directions.
        a: (m,) masses of total 1; equal when omitted.
        b: (n,) masses of the other cloud, likewise.
        p: power, at least 1.

    Returns:
        a ``Sliced``: $SW_p$ (the p-th root of the mean) and its standard error, the p-th powers (lines,), and the directions.

    Raises:
        ValueError: as ``by_direction``.

    Source:
        Bonneel, Rabin, Peyré, Pfister, Sliced and Radon Wasserstein barycenters of measures, JMIV 2015.

    Examples:
        >>> import jax
        >>> from lab.ot import sliced
        >>> theta = sliced.directions(jax.random.key(0), 50, 3)
        >>> x = jax.random.normal(jax.random.key(1), (20, 3))
        >>> found = sliced.sliced(x, x + 1, theta)  # |t|^2 / d = 1
        >>> bool(abs(found.value - 1) < 4 * found.standard_error)
        True
    """
    each = by_direction(x, y, theta, a, b, p=p)
    return Sliced(*rooted(each, p), each, jnp.asarray(theta, each.dtype))


@arrays(each=NOT_NEGATIVE)
def rooted(each: Float[Array, " lines"], p: ArrayLike = 2) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The value and the standard error of ``sliced``, from w of each direction."""
    mean, count = each.mean(), each.size
    value = (mean + _TINY) ** (1 / p)
    spread = each.std(ddof=1) / count**0.5 if count > 1 else jnp.full((), jnp.nan, each.dtype)
    return value, spread * value / (p * (mean + _TINY))


@arrays()
def energy_based(
    x: Float[Array, "m d"], y: Float[Array, "n d"], theta: Float[Array, "lines d"], *, p: ArrayLike = 2
) -> Sliced:
    r"""$EBSW_p$ by importance sampling: $w^\top \mathrm{softmax}(w)$ over uniform directions, at least that of the mean.

    The weights take part in the derivative.
    """
    each = by_direction(x, y, theta, p=p)
    return Sliced(*energy_rooted(each, p), each, jnp.asarray(theta, each.dtype))


@arrays(each=NOT_NEGATIVE)
def energy_rooted(each: Float[Array, " lines"], p: ArrayLike = 2) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The value and the standard error of ``energy_based``, from w of each direction."""
    weight = jax.nn.softmax(each)
    mean = weight @ each
    value = (mean + _TINY) ** (1 / p)
    spread = jnp.sqrt((weight**2 * (each - mean) ** 2).sum())  # of a ratio of means
    return value, spread * value / (p * (mean + _TINY))


@chosen
@arrays()
def bidirectional(
    x: Float[Array, "m d"],
    y: Float[Array, "n d"],
    x_seen: Float[Array, "n d"],
    y_seen: Float[Array, "m d"],
    theta: Float[Array, "lines d"],
    *,
    a: Float[Array, " m"] | None = None,
    b: Float[Array, " n"] | None = None,
    p: ArrayLike = 2,
    root: Literal["joint", "separate"] | str = "joint",
    energy: bool = False,
) -> Float[Array, ""]:
    """Of x against y as x sees it, and of y against x as y sees it: 0 where both are met as multisets.

    Args:
        x_seen, y_seen: x by the rows of y, and y by those of x: products with soft assignments.
        a, b: masses of x and y_seen, and of y and x_seen, as of ``on_line``.
        root: of the sum of both, or the sum of the roots.
        energy: directions weighed as in ``energy_based``, by the sum of both.
    """
    one, other = by_direction(x, y_seen, theta, a, a, p=p), by_direction(y, x_seen, theta, b, b, p=p)
    weight = jax.nn.softmax(one + other) if energy else jnp.full(one.shape, 1 / one.size, one.dtype)
    if root == "joint":
        return (weight @ (one + other) + _TINY) ** (1 / p)
    return (weight @ one + _TINY) ** (1 / p) + (weight @ other + _TINY) ** (1 / p)


class Best(NamedTuple):
    """The direction that sees most."""

    value: Float[Array, ""]
    theta: Float[Array, " d"]
    trace: Float[Array, " steps"]  # of the value


@arrays()
def max_sliced(
    x: Float[Array, "m d"],
    y: Float[Array, "n d"],
    theta: Float[Array, "starts d"],
    a: Float[Array, " m"] | None = None,
    b: Float[Array, " n"] | None = None,
    *,
    p: ArrayLike = 2,
    steps: int = 100,
) -> Best:
    r"""$\max SW_p$ by ascent on the sphere from the best of the given directions: a lower bound, which no direction is above
    that was tried.

    Each step goes along the tangent, by a length that is halved where the value would fall. The value is differentiable in the
    points, the masses and p with the direction held fixed, which is its derivative (envelope theorem) unless the best direction
    is one where two orders of the points meet, as it may be of few points: w is the least of smooth functions, one for each
    order. There the direction itself has no derivative: using one raises an error, and so does the derivative in the starts,
    among which the choice jumps.

    Raises:
        ValueError: as ``by_direction``, or steps below 0.
    """
    _check_power(p)
    _check_points(x.T, y.T, a, b)
    theta = refuse_derivative(theta, "max_sliced has no derivative in theta: the choice among the starts jumps")
    return _best(x, y, theta, a, b, p, whole("steps", steps, 0))


@jit
def _best(x: Array, y: Array, theta: Array, a: Any, b: Any, p: ArrayLike, steps: int) -> Best:
    sources = x, y, a, b, p
    x_held, y_held, a_held, b_held, p_held = jax.lax.stop_gradient(sources)

    def seen(direction: Array) -> Array:
        return _by_direction(x_held, y_held, direction[None], a_held, b_held, p_held)[0]

    def step(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], Array]:
        direction, value, length = state
        slope = jax.grad(seen)(direction)
        tried = direction + length * (slope - (slope @ direction) * direction)
        tried = tried / jnp.sqrt((tried**2).sum())
        new = seen(tried)
        better = new > value
        state = jnp.where(better, tried, direction), jnp.where(better, new, value), length * jnp.where(better, 1.5, 0.5)
        return state, state[1]

    first = _by_direction(x_held, y_held, theta, a_held, b_held, p_held)
    start = theta[first.argmax()]
    begun = start, first.max(), 1 / jnp.maximum(p_held * first.max(), _TINY)  # as of a step of the power method
    (best, _, _), trace = jax.lax.scan(step, begun, None, length=steps)
    value = (_by_direction(x, y, best[None], a, b, p)[0] + _TINY) ** (1 / p)
    message = "the direction and the trace of max_sliced have no derivative: the best direction may jump; use its value"
    return Best(value, *without_derivative((best, trace ** (1 / p_held)), sources, message))


def _check_points(u: Array, v: Array, a: Any, b: Any) -> None:
    """At least one point on each side, and as many masses, of total 1."""
    for points, mass, (name, of) in ((u, a, ("a", "first")), (v, b, ("b", "second"))):
        if 0 in points.shape:
            raise ValueError(
                f"the {of} cloud (x or u is the first, y or v the second) has no points: at least one is needed"
            )
        if mass is None:
            continue
        if mass.shape != points.shape[-1:]:
            raise ValueError(f"{name} has {mass.size} masses, but the {of} cloud has {points.shape[-1]} points")
        if not isinstance(mass, Tracer):
            total = float(np.asarray(mass, float).sum())
            if abs(total - 1) > max(1e-6, 10 * mass.size * float(jnp.finfo(mass.dtype).eps)):
                raise ValueError(
                    f"{name} sums to {total:.9g}, but masses of total 1 are needed: divide them by their sum"
                )


def _check_power(p: ArrayLike) -> None:
    if not isinstance(p, Tracer) and not 1 <= float(np.asarray(p)) < np.inf:
        raise ValueError(f"p = {float(np.asarray(p)):g}, but the power of the distance must be at least 1 and finite")

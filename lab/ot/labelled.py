r"""How far apart two labelled data sets are, and how the distance of a mixture of sources changes with its shares.

A label is known by the points that have it: for points z = (x, y),

$$ c(z, z') = \tfrac{w_x}{2} |x - x'|^2 + \tfrac{w_y}{2} W(y, y'), \qquad W(y, y') = W_2^2(X_y, X'_{y'}) $$

of the clouds of both classes, exactly, or of the Gaussians that fit them, or of their means. For sources $\mu_i$ of uniform
points and shares p the distance of $\mu_p = \sum_i p_i \mu_i$ is convex in p where c does not depend on it, and its slope is
what the potential f says of each source:

$$ \mathrm{OT}_\varepsilon = \min_\pi \langle \pi, C \rangle + \varepsilon\,KL(\pi \,|\, \mu_p \otimes \nu), \qquad
   \partial_{p_i} \mathrm{OT}_\varepsilon = h_i = \langle f, \mu_i \rangle \ (+ \text{const}), \qquad
   g_i = \frac{h_i - \sum_j p_j h_j}{1 - p_i} $$

with g_i where p_i grows and the others shrink in proportion.

Source: Alvarez-Melis, Fusi, *Geometric dataset distances via optimal transport*, NeurIPS 2020; Just et al., *LAVA*, ICLR 2023;
Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, arrays, real
from lab.numerics.differentiation import held_constant, is_traced, needs_values
from lab.numerics.jit import jit
from lab.ot.exact import linear_program
from lab.ot.gaussian import bures
from lab.ot.problem import Problem, from_points
from lab.ot.regularizers import Entropic
from lab.ot.solve import solve

type How = Literal["exact", "gaussian", "means"] | str


@chosen
def label_distances(x: Any, labels: Any, y: Any, others: Any, how: How = "exact") -> np.ndarray | Array:
    """(classes, classes') squared 2-Wasserstein distances W between the clouds of each class; on the host.

    Differentiable in x and y outside ``jit`` and ``vmap``, exact distances once, with the optimal plans held.

    Args:
        x: (n, d) features.
        labels: (n,) of 0, 1, ...; each number up to the largest must occur.
        y, others: those of the other data set.
        how: of the clouds, of Gaussians with their means and covariances, or of the means alone.

    Raises:
        ValueError: features that do not fit or are not finite, or a class without points.
        NotDifferentiableError: under ``jit`` or ``vmap``.

    >>> x, y = np.array([[0.0], [2.0], [5.0]]), np.array([[1.0], [3.0]])
    >>> label_distances(x, [0, 0, 1], y, [0, 0]).tolist()
    [[1.0], [10.0]]
    """
    first, second = _clouds("x", x, labels), _clouds("y", y, others)
    if first[0].shape[1] != second[0].shape[1]:
        raise ValueError(
            f"the features have {first[0].shape[1]} and {second[0].shape[1]} columns, but both data sets must have the same"
        )
    xp: Any = jnp if is_traced(x, y) else np
    return xp.array([[_apart(one, other, how, xp) for other in second] for one in first])


def _apart(one: Any, other: Any, how: str, xp: Any) -> Any:
    if how == "exact":
        return linear_program(from_points(one, other), centred=False).value
    mean, others = one.mean(axis=0), other.mean(axis=0)
    if how == "means":
        return ((mean - others) ** 2).sum()
    first, second = (xp.atleast_2d(xp.cov(cloud.T, ddof=0)) for cloud in (one, other))
    return bures(mean, first, others, second).squared


@needs_values("Take lab.ot.bures of the moments of each class, or lab.ot.solve.")
def _values(points: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(points, float), np.asarray(labels)


def _clouds(name: str, given: Any, labels: Any) -> list[Any]:
    points, labels = _values(held_constant(given), labels)
    if points.ndim != 2 or labels.shape != points.shape[:1] or 0 in points.shape:
        raise ValueError(
            f"{name} has shape {points.shape} and labels {labels.shape}, but a table (points, features) with a label for "
            "each row is needed"
        )
    if not np.isfinite(points).all():
        raise ValueError(
            f"{name} has features that are not finite, the first in row {int(np.argwhere(~np.isfinite(points))[0, 0])}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"the labels of {name} must be whole numbers from 0 on")
    counts = np.bincount(labels)
    if (counts == 0).any():
        raise ValueError(f"no point of {name} has the label {int(np.argmin(counts))}: number the classes without gaps")
    of = jnp.asarray(given, float) if is_traced(given) else points
    return [of[labels == label] for label in range(counts.size)]


@arrays(between=NOT_NEGATIVE, feature_weight=NOT_NEGATIVE, label_weight=NOT_NEGATIVE)
def cost(
    x: Float[Array, "m d"],
    labels: Int[Array, " m"],
    y: Float[Array, "n d"],
    others: Int[Array, " n"],
    between: Float[Array, "classes others"],
    feature_weight: ArrayLike = 1.0,
    label_weight: ArrayLike = 1.0,
) -> Float[Array, "m n"]:
    """C of all pairs, both terms halved. Time and memory O(m n d) at most.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, negative weights, or labels that ``between`` lacks.
    """
    for name, given, size in (("labels", labels, between.shape[0]), ("others", others, between.shape[1])):
        if not isinstance(given, Tracer) and ((np.asarray(given) < 0) | (np.asarray(given) >= size)).any():
            raise ValueError(
                f"{name} must be from 0 to {size - 1}, the classes of between, which has shape {between.shape}"
            )
    return _cost(x, labels, y, others, between, feature_weight, label_weight)


@jit
def _cost(
    x: Array, labels: Array, y: Array, others: Array, between: Array, feature_weight: Any, label_weight: Any
) -> Array:
    apart = jax.vmap(lambda p: ((p[None, :] - y) ** 2).sum(axis=1))(x)
    return (feature_weight * apart + label_weight * between[labels][:, others]) / 2


def shares(p: Any, source: Any) -> Float[Array, " m"]:
    """The mass of each point in the mixture: p_i / n_i of source i. Of whole points nothing changes if all are doubled.

    Raises:
        ValueError: shares that are negative or do not sum to 1, or a source without points.
    """
    of = np.asarray(source)
    given: Any = p if isinstance(p, Tracer) else np.asarray(p, float)
    known = not isinstance(p, Tracer)
    if given.ndim != 1 or (
        known and (not np.isfinite(given).all() or (given < 0).any() or abs(given.sum() - 1) > 1e-6)
    ):
        raise ValueError(f"the shares are {given}, but numbers of at least 0 with sum 1 are needed")
    counts = np.bincount(of, minlength=given.size)
    if of.dtype.kind not in "iu" or counts.size > given.size or (counts == 0).any():
        raise ValueError(
            f"there are {given.size} shares and the points are of sources 0 to {int(of.max())}: each source needs a share "
            "and points"
        )
    return _shares(jnp.asarray(given), jnp.asarray(of))


def _shares(p: Array, source: Array) -> Array:
    counts = jnp.zeros(p.size, p.dtype).at[source].add(1)
    return (p / counts)[source]


class Potential(NamedTuple):
    """The distance of a mixture, and what it says of each of its points and sources."""

    value: Float[Array, ""]
    f: Float[Array, " m"]  # of all points, those without mass too
    mean: Float[Array, " sources"]  # h
    slope: Float[Array, " sources"]  # h less its mean: along the simplex
    calibrated: Float[Array, " sources"]  # g; NaN of a source that is all of the mixture
    converged: Any


@arrays(p=NOT_NEGATIVE, epsilon=POSITIVE, b=NOT_NEGATIVE, tolerance=POSITIVE)
def mixture(
    p: Float[Array, " sources"],
    matrix: Float[Array, "m n"],
    source: Int[Array, " m"],
    epsilon: ArrayLike,
    b: Float[Array, " n"] | None = None,
    *,
    own: Float[Array, "m m"] | None = None,
    tolerance: ArrayLike | None = None,
) -> Potential:
    r"""The entropic distance of a mixture of sources to a data set, with its slopes in the shares.

    $$ \min_\pi \langle \pi, C \rangle + \varepsilon\,KL(\pi \,|\, \mu_p \otimes \nu), \qquad
       \partial_{p_i} \mathrm{OT}_\varepsilon = h_i = \langle f, \mu_i \rangle $$

    With ``own`` less half of that of $\mu_p$ to itself, whose share of the slopes is taken too. (Of the Sinkhorn divergence
    this lacks what p does not change.) Works under ``jit``, ``vmap`` and ``grad``: all fields are differentiable in p, the
    costs, b and epsilon by the implicit function theorem. It does not warn where it did not converge: see ``converged``.

    Args:
        p: (sources,) shares, see ``shares``.
        matrix: C (m, n) between all points of all sources and the other data set.
        source: (m,) which source each point is of.
        epsilon: strength of the entropy, in units of the cost.
        b: (n,) masses of the other data set; uniform when omitted.
        own: C (m, m) between the points of the sources.
        tolerance: of the marginals (L1); 1e-9 when omitted, or what float32 resolves.

    Returns:
        a ``Potential``: the value in units of the cost, f (m,), and the slopes (sources,).

    Raises:
        ValueError: shares or masses that are negative or do not sum to 1, shapes that do not fit, values that are not finite, a
            source without points, or an epsilon that is not positive.

    Source:
        Just et al., LAVA, ICLR 2023; Kang et al., Performance scaling via optimal transport, NeurIPS 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import labelled
        >>> found = labelled.mixture(jnp.ones(1), jnp.asarray([[0.0], [2.0]]), jnp.zeros(2, int), 0.1)
        >>> round(float(found.value), 6)  # to one point there is one plan: the mean cost
        1.0
    """
    for name, mass in (("p", p), ("b", b)):
        if mass is not None:
            _check_total(name, mass)
    if not isinstance(source, Tracer) and (np.bincount(np.maximum(source, 0), minlength=p.size) == 0).any():
        raise ValueError(f"source must name each of the {p.size} sources of p: one has no points")
    if not isinstance(source, Tracer) and ((source < 0) | (source >= p.size)).any():
        raise ValueError(f"source must be from 0 to {p.size - 1}, the sources of p")
    return _mixture(p, matrix, source, epsilon, b, own, tolerance)


def _check_total(name: str, mass: Array) -> None:
    if not isinstance(mass, Tracer) and abs(float(np.asarray(mass).sum()) - 1) > max(
        1e-6, 10 * float(jnp.finfo(mass.dtype).eps)
    ):
        raise ValueError(
            f"{name} sums to {float(np.asarray(mass).sum()):.9g}, but it must sum to 1: divide it by its sum"
        )


@jit
def _mixture(p: Array, matrix: Array, source: Array, epsilon: Any, b: Any, own: Any, tolerance: Any) -> Potential:
    a = _shares(p, source)
    b = jnp.full(matrix.shape[1], 1 / matrix.shape[1], matrix.dtype) if b is None else b
    value, f, converged = _kl(a, b, matrix, epsilon, tolerance)
    if own is not None:
        inner, mine, also = _kl(a, a, own, epsilon, tolerance)
        value, f, converged = value - inner / 2, f - mine, converged & also
    h = _by_source(f, source, p.size)
    away = 1 - p
    calibrated = jnp.where(away > 0, (h - p @ h) / jnp.where(away > 0, away, 1), jnp.nan)
    return Potential(value, f, h, h - h.mean(), calibrated, converged)


def _kl(a: Array, b: Array, matrix: Array, epsilon: Any, tolerance: Any) -> tuple[Array, Array, Any]:
    """The value and the row potentials, at points without mass too; of equal sides the symmetric one."""
    epsilon = jnp.asarray(epsilon, matrix.dtype)
    problem, gamma = Problem(matrix, a, b), Entropic(epsilon)
    held, strength = jax.lax.stop_gradient((problem, gamma))
    tolerance = strength.reachable(1e-9, held) if tolerance is None else tolerance
    found = solve(problem, gamma, method="sinkhorn", tolerance=tolerance)

    def entropy(mass: Array) -> Array:
        return jnp.where(mass > 0, mass * jnp.log(jnp.where(mass > 0, mass, 1.0)), 0.0).sum()

    value = jax.lax.stop_gradient(found.value) - strength.gamma * (entropy(held.a) + entropy(held.b))
    beta = jnp.where(b > 0, found.beta, -jnp.inf)  # of no mass
    f = -epsilon * jax.nn.logsumexp((beta[None, :] - matrix) / epsilon, axis=1)
    value = _value(a, b, matrix, epsilon, f, beta, value)
    # the constant that is free: so that <f, a> is half of the value, as of two equal sides
    return value, f + value / 2 - jnp.where(a > 0, a * f, 0.0).sum(), found.converged


@jax.custom_jvp
def _value(a: Array, b: Array, matrix: Array, epsilon: Array, f: Array, beta: Array, value: Array) -> Array:
    """The value in its KL form, with its derivatives: potentials, plan and divergence."""
    return value


@_value.defjvp
def _value_jvp(primals, tangents):
    a, b, matrix, epsilon, f, beta, _ = primals
    change_a, change_b, change, change_epsilon, *_ = tangents
    # f and g of the KL form, where the plan is a b exp((f + g - C) / epsilon)
    density = jax.nn.softmax((beta[None, :] - matrix) / epsilon, axis=1)
    plan = a[:, None] * density
    some = b > 0
    g = jnp.where(some, jnp.where(some, beta, 0.0) - epsilon * jnp.log(jnp.where(some, b, 1.0)), 0.0)
    logs = (f[:, None] + g[None, :] - matrix) / epsilon
    divergence = jnp.where(plan > 0, plan * logs, 0.0).sum()
    slope = f @ change_a + g @ change_b + (plan * change).sum() + divergence * change_epsilon
    return _value(*primals), slope


def _by_source(f: Array, source: Array, count: int) -> Array:
    total = jnp.zeros(count, f.dtype).at[source].add(f)
    return total / jnp.zeros(count, f.dtype).at[source].add(1)


def exact_mixture(p: Any, matrix: Any, source: Any, b: Any = None) -> Potential:
    r"""The distance of a mixture of sources to a data set without an entropy, with its slopes in the shares.

    $$ \min_{\pi \in U(\mu_p, \nu)} \langle \pi, C \rangle, \qquad h_i = \langle f, \mu_i \rangle $$

    By linear programming on the host. The value is differentiable once, outside ``jit`` and ``vmap``, the other fields are
    not; those of ``mixture`` are. Where masses of both sides meet (p_i / n_i a multiple of 1 / n, say) the value has several
    slopes, of which this is one.

    Args:
        p: (sources,) shares, at least 0 and of sum 1.
        matrix: C (m, n) between all points of all sources and the other data set.
        source: (m,) which source each point is of.
        b: (n,) masses of the other data set; uniform when omitted.

    Returns:
        a ``Potential``: the value in units of the cost, f (m,), and the slopes (sources,).

    Raises:
        ValueError: as ``shares``, what does not fit, or masses b that are negative or do not sum to 1.
        NotDifferentiableError: under ``jit`` or ``vmap``, or where a derivative of another field than the value is used.

    Source:
        Just et al., LAVA, ICLR 2023; Kang et al., Performance scaling via optimal transport, NeurIPS 2023.

    Examples:
        >>> from lab.ot import labelled
        >>> found = labelled.exact_mixture([0.25, 0.75], [[0.0], [4.0]], [0, 1])
        >>> float(found.value), found.slope.tolist()  # 3/4 of 4, and 0 and 4 less their mean
        (3.0, [-2.0, 2.0])
    """
    a = shares(p, source)
    matrix, of = real("matrix", matrix).astype(float), jnp.asarray(source)
    if matrix.ndim != 2 or matrix.shape[0] != a.size:
        raise ValueError(f"the costs have shape {matrix.shape}, but a row for each of the {a.size} points is needed")
    b = (
        jnp.full(matrix.shape[1], 1 / matrix.shape[1])
        if b is None
        else real("b", b, matrix.shape[1:], low=0).astype(float)
    )
    _check_total("b", b)
    found = linear_program(Problem(matrix, a, b), centred=False)
    f = (matrix - found.beta[None, :]).min(axis=1)
    given = jnp.asarray(p, float)
    h = _by_source(f, of, given.size)
    away = 1 - given
    calibrated = jnp.where(away > 0, (h - given @ h) / jnp.where(away > 0, away, 1), jnp.nan)
    return Potential(found.value, f, h, h - h.mean(), calibrated, True)

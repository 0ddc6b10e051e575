r"""How far a map is from moving its points at the least cost: the Monge gap, for any map and any cost.

For samples x_i, where they are moved y_i = T(x_i), and a cost c,

$$ M = \frac1n \sum_i c(x_i, y_i) - \min_{P \in U_n} \langle P, C \rangle \ge 0, \qquad C_{ij} = c(x_i, y_j), $$

which is 0 exactly where the pairs are an optimal assignment. It says nothing of where the points should go: a constant map has
no gap. With an entropy the minimum is smooth, and has a bias that is known (n points, uniform weights):

$$ M_\varepsilon = \overline c - \min_P \langle P, C \rangle - \varepsilon H(P), \qquad
   M + \varepsilon \log n \le M_\varepsilon \le M + 2 \varepsilon \log n, \qquad
   M_{KL} = M_\varepsilon - 2 \varepsilon \log n \le M . $$

Both have one gradient, by the envelope theorem; of the squared distance it is $\partial M / \partial Y = 2 (P^\top X - X / n)$.
``debiased`` takes the Sinkhorn divergence in place of the minimum: a translation then has no gap of the squared distance at any
epsilon, but a bad map may have a negative one.

Source: Uscidda, Cuturi, *The Monge Gap: A Regularizer to Learn All Transport Maps*, ICML 2023.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Reason, pure, random, roots, tell
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, arrays, real, whole
from lab.numerics.differentiation import without_derivative
from lab.numerics.jit import jit
from lab.ot.gaussian import check_covariance
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic
from lab.ot.solve import solve

type Cost = Literal["squared", "distance", "geodesic"] | str | Callable[[Array, Array], Array]
"""The squared Euclidean distance, the distance, that on the unit sphere; or a function of two points (d,) in JAX."""

OFF_SPHERE = 1e-3
_FEW = 4  # coordinates up to which differences are as quick as a product of matrices
_MOST = 16_384  # points, of which a matrix of costs takes 2 GiB


class PNorm(eqx.Module):
    r"""$\frac1p \sum_k |x_k - y_k|^p$, with derivative 0 at equal coordinates.

    Raises:
        ValueError: p below 1, of which nothing is convex.

    >>> float(PNorm(3.0)(jnp.array([0.0, 1.0]), jnp.array([2.0, 1.0])))
    2.6666666666666665
    """

    p: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 1 <= self.p < np.inf:
            raise ValueError(f"p = {self.p:g}, but it must be at least 1 and finite")

    def __call__(self, x: Array, y: Array) -> Array:
        apart = jnp.abs(x - y)
        same = apart == 0
        return jnp.where(same, 0.0, jnp.where(same, 1.0, apart) ** self.p).sum() / self.p


def _length(z: Array) -> Array:
    """|z|, with derivative 0 at 0."""
    squared = (z**2).sum()
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


_COSTS: dict[str, Callable[[Array, Array], Array]] = {
    "squared": lambda x, y: ((x - y) ** 2).sum(),
    "distance": lambda x, y: _length(x - y),
    # of unit vectors the angle, to all digits also where they are equal or opposite
    "geodesic": lambda x, y: 2 * jnp.arctan2(_length(x - y), _length(x + y)),
}


@chosen
def function_of(cost: Cost) -> Callable[[Array, Array], Array]:
    """The cost of two points (d,)."""
    return _COSTS[cost] if isinstance(cost, str) else cost


@chosen
@arrays()
@jit
def pairwise(x: Float[Array, "m d"], y: Float[Array, "n d"], cost: Cost = "squared") -> Float[Array, "m n"]:
    """C. Time O(m n d), memory O(m n); of a function of one's own O(m n d) at most."""
    if cost == "squared" and x.shape[1] > _FEW:
        return _squares(x, y)
    one = function_of(cost)
    return jax.vmap(lambda p: jax.vmap(lambda q: one(p, q))(y))(x)


def _squares(x: Float[Array, "m d"], y: Float[Array, "n d"]) -> Float[Array, "m n"]:
    """Squared distances by a product of matrices, from the middle of all points: what cancels is no larger than they are."""
    middle = jax.lax.stop_gradient(x.mean(axis=0) + y.mean(axis=0)) / 2
    x, y = x - middle[None, :], y - middle[None, :]
    product = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * product, 0)


@chosen
@arrays()
@jit
def of_pairs(x: Float[Array, "n d"], y: Float[Array, "n d"], cost: Cost = "squared") -> Float[Array, " n"]:
    """c(x_i, y_i)."""
    return jax.vmap(function_of(cost))(x, y)


class Gap(NamedTuple):
    """The gap with an entropy, in its forms."""

    entropic: Float[Array, ""]  # with the bias above, between epsilon log n and twice that
    kl: Float[Array, ""]  # with a bias below; may be negative
    primal: Float[Array, ""]  # against the cost of the entropic plan; at most the exact gap
    displacement: Float[Array, ""]  # mean cost of the pairs
    contributions: Float[Array, " n"]  # of each pair, of mean ``entropic``
    epsilon: Float[Array, ""]
    reason: Any  # a Reason

    @property
    def converged(self) -> Any:
        return self.reason == Reason.CONVERGED


@chosen
def gap(
    x: Any,
    y: Any,
    cost: Cost = "squared",
    *,
    epsilon: ArrayLike | None = None,
    tolerance: ArrayLike | None = None,
    loop: Loop = pure,
) -> Gap:
    r"""The Monge gap of the pairs, with an entropy.

    $$ M_\varepsilon = \overline c - \min_P \langle P, C \rangle - \varepsilon H(P), \qquad
       M + \varepsilon \log n \le M_\varepsilon \le M + 2 \varepsilon \log n $$

    Time O(n^2) a sweep of Sinkhorn's algorithm, memory O(n^2 d) at most.

    Args:
        x: (n, d) points.
        y: (n, d) where each is moved.
        cost: by its name, or a function of two points in JAX.
        epsilon: strength of the entropy, in units of the cost; a hundredth of the mean cost of all pairs when omitted.
        tolerance: of the marginals of the plan (L1); 1e-9 when omitted, or what float32 resolves.
        loop: ``pure``, or a ``Chunked`` that reports and stops.

    Returns:
        a ``Gap``: the gap in its forms (with the bias, without most of it, and against the entropic plan's cost), all in
        units of the cost, the mean cost of the pairs, and what each pair contributes (n,).

    Raises:
        ValueError: points that do not fit or are not finite, off the sphere where the cost is a geodesic, or an epsilon that is
            not positive.

    Warns:
        NotConverged: the marginals of the plan are not within the tolerance.

    Source:
        Uscidda, Cuturi, The Monge Gap: A Regularizer to Learn All Transport Maps, ICML 2023.

    Examples:
        >>> import numpy as np
        >>> from lab.ot import monge
        >>> x = np.random.default_rng(0).normal(size=(20, 2))
        >>> found = monge.gap(x, x + 1, epsilon=0.01)  # a translation
        >>> bool(0.01 * np.log(20) <= found.entropic <= 0.02 * np.log(20))
        True
    """
    x, y = checked(x, y, cost)
    _check_epsilon(epsilon)
    # as arrays of one type: floats, scalars of NumPy and arrays would be a program each
    epsilon, tolerance = (None if each is None else jnp.asarray(each, x.dtype) for each in (epsilon, tolerance))
    if loop is pure:
        found, iterations = _gap(x, y, cost, epsilon, tolerance)
        tell("lab.ot.monge.gap", found.reason, iterations)
        return found
    problem, gamma, tolerance = _asked(x, y, cost, epsilon, tolerance)
    return _solved(x, y, cost, problem, gamma, tolerance, loop)[0]


@jit
def _gap(x: Array, y: Array, cost: Cost, epsilon: Any, tolerance: Any) -> tuple[Gap, Any]:
    problem, gamma, reachable = _asked(x, y, cost, epsilon, tolerance)
    return _solved(x, y, cost, problem, gamma, reachable, pure)


def _solved(
    x: Array, y: Array, cost: Cost, problem: Problem, gamma: Entropic, tolerance: Any, loop: Loop
) -> tuple[Gap, Any]:
    found = solve(problem, gamma, method="sinkhorn", tolerance=jax.lax.stop_gradient(tolerance), loop=loop)
    potentials = found.alpha, found.beta
    return _told(x, y, cost, (problem, gamma), potentials, found.value, found.reason), found.iterations


@jit
def _asked(x: Array, y: Array, cost: Cost, epsilon: Any, tolerance: Any) -> tuple[Problem, Entropic, Any]:
    n, matrix = x.shape[0], pairwise(x, y, cost)
    epsilon = jnp.asarray(_epsilon(matrix) if epsilon is None else epsilon, matrix.dtype)
    uniform = jnp.full(n, 1 / n, matrix.dtype)
    problem, gamma = Problem(matrix, uniform, uniform), Entropic(epsilon)
    return problem, gamma, gamma.reachable(1e-9, problem) if tolerance is None else tolerance


@jit
def _told(x: Array, y: Array, cost: Cost, asked: Any, potentials: Any, value: Array, reason: Any) -> Gap:
    (problem, gamma), n, each = asked, x.shape[0], of_pairs(x, y, cost)
    matrix, epsilon = problem.cost, gamma.gamma

    alpha, beta = potentials
    plan = jnp.exp((alpha[:, None] + beta[None, :] - epsilon - matrix) / epsilon)
    displacement = each.mean()
    entropic = displacement - value
    contributions = each - (alpha + beta - epsilon)
    shift = entropic - contributions.mean()  # what the marginals miss
    kl = entropic - 2 * epsilon * jnp.log(n)
    primal = displacement - (plan * matrix).sum()
    return Gap(entropic, kl, primal, displacement, contributions + shift, epsilon, jnp.asarray(reason))


def _epsilon(matrix: Array) -> Array:
    return jnp.maximum(0.01 * jax.lax.stop_gradient(matrix).mean(), jnp.finfo(matrix.dtype).tiny)


@chosen
@arrays(epsilon=POSITIVE, tolerance=POSITIVE)
def loss(
    x: Float[Array, "n d"],
    y: Float[Array, "n d"],
    epsilon: ArrayLike,
    cost: Cost = "squared",
    *,
    debiased: bool = False,
    tolerance: ArrayLike | None = None,
) -> Float[Array, ""]:
    """The gap to learn with: differentiable once in x and y, by the envelope theorem; under ``jit``, ``grad`` and ``vmap``.

    Args:
        epsilon: positive; 0.01 of the mean cost of a first batch, say, and then the same for all.
        cost: as of ``gap``; a symmetric one if ``debiased``.
        debiased: take the Sinkhorn divergence in place of the entropic minimum, whose bias it does not have.
        tolerance: of the marginals, on which the gradient depends; 1e-6 when omitted, or what float32 resolves.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or an epsilon or a tolerance that is not positive.
    """
    return _loss(x, y, epsilon, cost, debiased, tolerance)


@jit
def _loss(x: Array, y: Array, epsilon: Any, cost: Cost, debiased: bool, tolerance: Any) -> Array:
    if debiased:
        return of_pairs(x, y, cost).mean() - divergence(x, y, epsilon, cost, tolerance=tolerance)
    return of_pairs(x, y, cost).mean() - _entropic(pairwise(x, y, cost), epsilon, tolerance)


@chosen
@arrays(epsilon=POSITIVE, tolerance=POSITIVE)
def divergence(
    x: Float[Array, "m d"],
    y: Float[Array, "n d"],
    epsilon: ArrayLike,
    cost: Cost = "squared",
    *,
    tolerance: ArrayLike | None = None,
    constant: bool = True,
) -> Float[Array, ""]:
    r"""The Sinkhorn divergence $OT(x, y) - \frac12 OT(x, x) - \frac12 OT(y, y)$ of uniform clouds, with OT in its KL form.

    At least 0 of squared and plain distances, and 0 for equal clouds; differentiable once in both.

    Args:
        constant: with the term of y alone, which a training of x need not solve for.

    Raises:
        ValueError: as ``loss``.
    """
    return _divergence(x, y, epsilon, cost, tolerance, constant)


@jit
def _divergence(x: Array, y: Array, epsilon: Any, cost: Cost, tolerance: Any, constant: bool) -> Array:
    m, n = x.shape[0], y.shape[0]
    matrices = [pairwise(*pair, cost) for pair in ((x, y), (x, x), (y, y))[: 2 + constant]]
    if m == n:  # one solver is compiled, not three
        least = jax.lax.map(lambda matrix: _entropic(matrix, epsilon, tolerance), jnp.stack(matrices))
    else:
        least = [_entropic(matrix, epsilon, tolerance) for matrix in matrices]
    both, own = least[0] + epsilon * (jnp.log(m) + jnp.log(n)), least[1] + 2 * epsilon * jnp.log(m)
    if not constant:
        return both - own / 2
    return both - (own + least[2] + 2 * epsilon * jnp.log(n)) / 2


def _entropic(matrix: Array, epsilon: Any, tolerance: Any) -> Array:
    a, b = (jnp.full(size, 1 / size, matrix.dtype) for size in matrix.shape)
    gamma = Entropic(jnp.asarray(epsilon, matrix.dtype))
    return solve(Problem(matrix, a, b), gamma, method="sinkhorn", tolerance=tolerance).value


class ExactGap(NamedTuple):
    """The gap without an entropy."""

    value: Any  # a number
    displacement: Any
    contributions: (
        Any  # (n,) of each pair, at least 0 and of mean ``value``: what it costs above the optimal potentials
    )
    target: Any  # (n,) where the optimal assignment sends each


@chosen
def exact_gap(x: Any, y: Any, cost: Cost = "squared") -> ExactGap:
    r"""The Monge gap by the optimal assignment, on the host in float64: time up to O(n^3), a second at 2,000 points.

    $$ \frac1n \sum_i c(x_i, y_i) - \min_\sigma \frac1n \sum_i c(x_i, y_{\sigma(i)}) $$

    Numbers and arrays of NumPy; under ``jit``, ``vmap`` and ``grad`` those of JAX. The value is differentiable with the
    assignment held fixed, the contributions are not: their potentials jump.

    Args:
        x: (n, d) points.
        y: (n, d) where each is moved.
        cost: by its name, or a function of two points in JAX.

    Returns:
        an ``ExactGap``, in units of the cost.

    Raises:
        ValueError: as ``gap``.

    Source:
        Uscidda, Cuturi, The Monge Gap: A Regularizer to Learn All Transport Maps, ICML 2023.

    Examples:
        >>> import numpy as np
        >>> from lab.ot import monge
        >>> turned = np.array([[0.0, 1.0], [0.0, -1.0]])
        >>> float(monge.exact_gap(turned, -turned).value)  # both points change places
        4.0
    """
    x, y = checked(x, y, cost)
    matrix, each = pairwise(x, y, cost), of_pairs(x, y, cost)
    if not isinstance(matrix, Tracer):
        return ExactGap(*_assigned(matrix, each))
    n, dtype = len(x), matrix.dtype
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape in ((), (), (n,))] + [jax.ShapeDtypeStruct((n,), jnp.int32)]
    given = jax.lax.stop_gradient((matrix, each))
    value, displacement, contributions, target = jax.pure_callback(_narrowed, shapes, *given, vmap_method="sequential")
    slopes = each.mean() - matrix[jnp.arange(n), target].mean(), each.mean()
    value, displacement = (
        found + (slope - jax.lax.stop_gradient(slope))
        for found, slope in zip((value, displacement), slopes, strict=True)
    )
    message = (
        "the contributions of exact_gap have no derivative: optimal potentials jump; use gap, which has an entropy"
    )
    return ExactGap(value, displacement, without_derivative(contributions, (matrix, each), message), target)


def _assigned(matrix: ArrayLike, each: ArrayLike) -> tuple[float, float, np.ndarray, np.ndarray]:
    matrix, each = np.asarray(matrix, float), np.asarray(each, float)
    rows, columns = scipy.optimize.linear_sum_assignment(matrix)
    least = matrix[rows, columns]
    alpha = _potentials(matrix[:, columns] - least[None])
    beta = (matrix - alpha[:, None]).min(axis=0)
    return max(each.mean() - least.mean(), 0.0), float(each.mean()), np.maximum(each - alpha - beta, 0), columns


def _potentials(length: np.ndarray) -> np.ndarray:
    r"""Optimal row potentials: $\alpha_i - \alpha_l \le$ ``length[i, l]``, what row i pays more for the column of row l than l.

    Bellman and Ford's shortest paths from all rows at once. Where cycles have length 0 but for rounding, the rounding would be
    gone round for ever: a change that small ends it.
    """
    alpha, small = np.zeros(len(length)), 1e-14 * max(np.ptp(length), np.finfo(float).tiny)
    for _ in range(len(length)):
        before, alpha = alpha, (alpha[None] + length).min(axis=1)
        if (before - alpha).max() <= small:
            break
    return alpha


def _narrowed(matrix: Any, each: Any) -> tuple[np.ndarray, ...]:
    """``_assigned`` as a program of JAX calls it: in the types that it was promised."""
    *numbers, target = _assigned(matrix, each)
    return *(np.asarray(number, matrix.dtype) for number in numbers), np.asarray(target, np.int32)


@arrays()
def gaussian_gap(covariance: Float[Array, "d d"], matrix: Float[Array, "d d"]) -> Float[Array, ""]:
    r"""Of the affine map $x \mapsto A x + b$ and points of N(m, S), of the squared distance: with $K = S^{1/2} A S^{1/2}$
    the gap is $2 (\|K\|_* - \mathrm{tr}\,K)$, whatever m and b are; 0 exactly where K is symmetric and positive semi-definite.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a matrix that is no covariance.

    >>> float(gaussian_gap(jnp.eye(3), -jnp.eye(3)))
    12.0
    """
    check_covariance("covariance", covariance)
    return _gaussian_gap(covariance, matrix)


@jit
def _gaussian_gap(covariance: Array, matrix: Array) -> Array:
    root = roots.root(covariance)
    middle = root @ matrix @ root
    return 2 * (jnp.linalg.svd(middle, compute_uv=False).sum() - jnp.trace(middle))


def line_gap(x: Any, y: Any, h: Callable[[Array], Array]) -> Float[Array, ""]:
    """Of points (n,) on a line and the cost h(|x - y|), h convex: the optimal plan is the one in order. Time O(n log n).

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.

    >>> float(line_gap(jnp.array([0.0, 1.0]), jnp.array([3.0, 2.0]), jnp.square))  # (9 + 1) / 2 - 4
    1.0
    """
    x, y = real("x", x), real("y", y)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"the points have shapes {x.shape} and {y.shape}, but two lists of one length (n,) are needed")
    return h(jnp.abs(x - y)).mean() - h(jnp.abs(jnp.sort(x) - jnp.sort(y))).mean()


@arrays()
def conservativity(
    field: Callable[[Array], Array], x: Float[Array, "n d"], key: PRNGKeyArray, draws: int = 1
) -> Float[Array, ""]:
    r"""$E \|J - J^\top\|_F^2$ of the Jacobian of a field at the points, by $|J v - J^\top v|^2$ with v of N(0, I) (Hutchinson).

    0 of gradients. A transport map of the cost h(x - y) is $x - \nabla h^* (\nabla \varphi(x))$: the field within it is one.

    Args:
        field: of a point (d,), to (d,).
        draws: of v for each point.

    Time O(n draws) of one forward and one reverse derivative.

    Raises:
        ValueError: points that are not finite, or draws below 1.
    """
    return _conservativity(field, x, key, whole("draws", draws, 1))


@jit
def _conservativity(field: Callable[[Array], Array], x: Array, key: PRNGKeyArray, draws: int) -> Array:

    def one(point: Array, key: PRNGKeyArray) -> Array:
        v = random.normal(key, point.shape, point.dtype)
        value, forward = jax.jvp(field, (point,), (v,))
        (back,) = jax.vjp(field, point)[1](v.astype(value.dtype))
        return ((forward - back) ** 2).sum()

    keys = jax.random.split(key, (x.shape[0], draws))
    return jax.vmap(lambda point, each: jax.vmap(lambda k: one(point, k))(each).mean())(x, keys).mean()


@arrays(variance=POSITIVE)
@jit
def unexplained(mapped: Float[Array, "n d"], wanted: Float[Array, "n d"], variance: ArrayLike) -> Float[Array, ""]:
    r"""The unexplained variance of a map in percent, $100\,E|T(X) - T^*(X)|^2 / \mathrm{Var}$.

    It is 100 of the constant map to the mean.

    Args:
        mapped: (n, d), T(X).
        wanted: (n, d), where the points should go.
        variance: of the targets, the trace of their covariance.

    Returns:
        one number, in percent.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a variance that is not positive.

    Source:
        Korotin, Li, Genevay, Solomon, Filippov, Burnaev, Do neural optimal transport solvers work?, NeurIPS 2021.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import monge
        >>> float(monge.unexplained(jnp.zeros((2, 1)), jnp.asarray([[-1.0], [1.0]]), 1.0))  # to the mean
        100.0
    """
    return 100 * ((mapped - wanted) ** 2).sum(axis=1).mean() / variance


class EntropicMap(eqx.Module):
    """The map of a solved entropic problem: means of the targets, by weights that the point decides."""

    targets: Float[Array, "m d"]
    logs: Float[Array, " m"]
    epsilon: ArrayLike

    @arrays()
    @jit
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        if x.shape[1] != self.targets.shape[1]:
            raise ValueError(f"x has {x.shape[1]} coordinates and the targets have {self.targets.shape[1]}")
        scores = self.logs[None, :] - pairwise(x, self.targets) / self.epsilon
        return jax.nn.softmax(scores, axis=1) @ self.targets


@arrays(epsilon=POSITIVE, weights=NOT_NEGATIVE)
@jit
def entropic_map(
    y: Float[Array, "m d"], beta: Float[Array, " m"], epsilon: ArrayLike, weights: Float[Array, " m"] | None = None
) -> EntropicMap:
    r"""The map of a solved entropic problem of the squared distance, anywhere:
    $T(x) = \sum_j w_j(x) y_j$ with $w_j \propto b_j\,e^{(g_j - |x - y_j|^2) / \varepsilon}$.

    Args:
        y: targets.
        beta: their potentials: ``Solution.beta``.
        epsilon: that of the problem.
        weights: b, where the potentials are those of a problem in its KL form; a ``Solution`` has them in beta already.

    Source: Pooladian, Niles-Weed, *Entropic estimation of optimal transport maps*, 2021.
    """
    return EntropicMap(y, beta / epsilon + (0.0 if weights is None else jnp.log(weights)), epsilon)


@chosen
def checked(x: Any, y: Any, cost: Cost) -> tuple[Array, Array]:
    """Points and where each is moved, as real arrays; what can't be compared is refused, as ``gap`` says."""
    x, y = real("x", x, finite=False), real("y", y, finite=False)
    if x.ndim != 2 or x.shape != y.shape or 0 in x.shape:
        raise ValueError(
            f"the points have shapes {x.shape} and {y.shape}, but each point must be given with where it is moved: two tables "
            "(n, d)"
        )
    if len(x) > _MOST:
        raise ValueError(
            f"there are {len(x):,} points, but a cost of each pair is kept: take at most {_MOST:,} of them"
        )
    dtype = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
    x, y = x.astype(dtype), y.astype(dtype)
    if isinstance(x, Tracer) or isinstance(y, Tracer):
        return x, y
    for name, points in (("x", np.asarray(x)), ("y", np.asarray(y))):
        if not np.isfinite(points).all():
            raise ValueError(
                f"{name} has values that are not finite, the first in row {np.argwhere(~np.isfinite(points))[0][0]}"
            )
        if cost == "geodesic" and (off := np.abs(np.linalg.norm(points, axis=1) - 1).max()) > OFF_SPHERE:
            raise ValueError(
                f"{name} is off the unit sphere by {off:.2g}, where the geodesic cost is: divide by the norm"
            )
    return x, y


def _check_epsilon(epsilon: Any) -> None:
    if epsilon is not None and not isinstance(epsilon, Tracer) and not 0 < float(np.asarray(epsilon)) < np.inf:
        raise ValueError(
            f"epsilon = {float(np.asarray(epsilon)):g}, but it must be positive; without an entropy exact_gap evaluates a map"
        )

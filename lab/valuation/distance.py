r"""How far many mixtures of the same labelled sources are from a data set, side by side.

The cost of ``lab.ot.labelled`` does not depend on the shares p where what is between labels is computed once, from all points
of a class whatever their source. Then all mixtures share the kernel $K = e^{-C/\varepsilon}$, and a sweep of all is two
products of matrices:

$$ f \leftarrow -\varepsilon \log \sum_j b_j K_{ij} e^{g_j / \varepsilon}, \qquad
   g \leftarrow -\varepsilon \log \sum_i a_i K_{ij} e^{f_i / \varepsilon}, \qquad
   \mathrm{OT}_\varepsilon = \langle f, a \rangle + \langle g, b \rangle + \varepsilon (1 - |\pi|), $$

a hundred times faster than one by one in the log domain, and good down to where C/epsilon, less what is in all entries of a row
or column, is 600. What p gains is the mean h_i of f over each source: $\partial_{p_i} \mathrm{OT} = h_i$ but for a constant.

Potentials are differentiated as the fixed point of a sweep, $g = T(g; p, C, \varepsilon)$, by the implicit function theorem:
$b \odot (I - \partial_g T)\, dg = b \odot dT$ is symmetric at the fixed point and is solved by conjugate gradients, whose
products cost as much as a sweep.

The divergence $S = \mathrm{OT}(\mu, \nu) - \tfrac12 \mathrm{OT}(\mu, \mu) - \tfrac12 \mathrm{OT}(\nu, \nu)$ has
$f - f_{\mu\mu}$ in place of f. It is not convex in p, and OT is.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023; Feydy et al., *Interpolating between optimal
transport and MMD*, AISTATS 2019.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics import Reason, arguments, tell
from lab.numerics.jit import jit
from lab.ot import labelled
from lab.ot.exact import linear_program
from lab.ot.gaussian import bures
from lab.ot.problem import from_points
from lab.valuation.designs import mixtures
from lab.valuation.draws import masses

type Metric = Literal["gaussian", "exact", "means"] | str

_REACH = 600.0  # of C/epsilon, beyond which entries of the kernel are lost
_EVERY = 10  # sweeps between two looks at the error
_RELAXED = 1.5  # a third of the sweeps of plain ones
_SWEEPS = 4000
_PRODUCTS = 1000  # of a derivative, at most


def check(x: Any, labels: Any, source: Any, y: Any, others: Any, sources: int) -> None:
    """Refuse points that are no labelled sources and a labelled data set to compare them with.

    Raises:
        ValueError: features that are not finite or do not fit, a source without points, or a class of the data set that no
            source has.
    """
    x, labels, source, y, others = (np.asarray(each) for each in (x, labels, source, y, others))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"the features have shapes {x.shape} and {y.shape}, but (m, d) and (n, d) are needed")
    for name, points in (("the sources", x), ("the data set to compare with", y)):
        if not np.isfinite(points).all():
            row = int(np.argwhere(~np.isfinite(points))[0, 0])
            raise ValueError(f"{name} have features that are not finite, the first in row {row}: leave it out")
    counts = np.bincount(source, minlength=sources)
    if counts.size > sources or (counts == 0).any():
        empty = int(np.argmin(counts[:sources]))
        raise ValueError(f"source {empty} of 0 to {sources - 1} has no points: each source needs some")
    if missing := sorted({*others.tolist()} - {*labels.tolist()}):
        raise ValueError(
            f"class {missing[0]} of the data set to compare with has no point in any source, so nothing is known of its "
            "distance to other classes: leave its points out, or add a source that has it"
        )


@chosen
def between(
    x: Float[Array, "m d"],
    labels: Int[Array, " m"],
    y: Float[Array, "n d"],
    others: Int[Array, " n"],
    classes: int,
    metric: Metric = "gaussian",
) -> Float[Array, "classes classes"]:
    """Squared Wasserstein distances W between the clouds of all classes of two data sets; NaN of a class without points.

    Args:
        classes: of both, 0, 1, ...
        metric: of the Gaussians with the means and covariances of the clouds, or of the means alone; or of the clouds
            themselves, on the host, which takes a linear program for each pair. Its derivative is that of the cost at the
            optimal plan.
    """
    if metric != "exact":
        return _moments(x, labels, y, others, classes, metric == "gaussian")
    return _exact(x, labels, y, others, classes)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _exact(x: Array, labels: Array, y: Array, others: Array, classes: int) -> Array:
    def on_host(*given: Any) -> np.ndarray:
        x, labels, y, others = map(np.asarray, given)
        found = np.full((classes, classes), np.nan, x.dtype)
        (rows, ours), (columns, theirs) = (np.unique(each, return_inverse=True) for each in (labels, others))
        found[np.ix_(rows, columns)] = labelled.label_distances(x, ours, y, theirs)
        return found

    shape = jax.ShapeDtypeStruct((classes, classes), x.dtype)
    return jax.pure_callback(on_host, shape, x, labels, y, others, vmap_method="sequential")


@_exact.defjvp
def _exact_jvp(classes: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """Envelope theorem: the optimal plans of all pairs of classes stay as they are."""
    x, labels, y, others = primals

    def on_host(*given: Any) -> np.ndarray:
        x, labels, y, others = map(np.asarray, given)
        plans = np.zeros((len(x), len(y)), x.dtype)
        for pair in product(np.unique(labels), np.unique(others)):
            rows, columns = (np.flatnonzero(each == one) for each, one in zip((labels, others), pair, strict=True))
            plans[np.ix_(rows, columns)] = linear_program(from_points(x[rows], y[columns]), centred=False).plan
        return plans

    shape = jax.ShapeDtypeStruct((len(x), len(y)), x.dtype)
    held = map(jax.lax.stop_gradient, primals)
    plans = jax.pure_callback(on_host, shape, *held, vmap_method="sequential")
    ours, theirs = (jax.nn.one_hot(each, classes, dtype=x.dtype) for each in (labels, others))

    def squared(x: Array, y: Array) -> Array:
        apart = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * x @ y.T
        return ours.T @ (plans * apart) @ theirs

    return _exact(*primals, classes), jax.jvp(squared, (x, y), (tangents[0], tangents[2]))[1]


def _moments(x: Array, labels: Array, y: Array, others: Array, classes: int, spread: bool) -> Array:
    (mean, cov), (means, covs) = _gaussians(x, labels, classes), _gaussians(y, others, classes)
    return _between(mean, cov, means, covs, spread)


@jit
def _between(mean: Array, cov: Array, means: Array, covs: Array, spread: bool) -> Array:
    if not spread:
        return ((mean[:, None] - means[None]) ** 2).sum(axis=2)
    one = lambda m, s: jax.vmap(lambda n, t: bures(m, s, n, t).squared)(means, covs)  # noqa: E731
    return jax.vmap(one)(mean, cov)


@jit
def _gaussians(x: Array, labels: Array, classes: int) -> tuple[Array, Array]:
    hot = jax.nn.one_hot(labels, classes, dtype=x.dtype)
    count = hot.sum(axis=0)
    mean = (hot.T @ x) / count[:, None]
    apart = jnp.where(hot[:, :, None] > 0, x[:, None] - mean[None], 0.0)
    return mean, jnp.einsum("ncd,nce->cde", apart, apart) / count[:, None, None]


class Costs(NamedTuple):
    """What it costs to carry the points of all sources to those of a data set; with what debiasing needs, or without."""

    matrix: Float[Array, "m n"]
    own: Float[Array, "m m"] | None = None
    other: Float[Array, "n n"] | None = None


@chosen
def costs(
    x: Any,
    labels: Any,
    y: Any,
    others: Any,
    classes: int,
    metric: Metric = "gaussian",
    label_weight: ArrayLike = 1.0,
    debiased: bool = True,
) -> Costs:
    r"""C, half of squared distances of features and half of W, the latter times ``label_weight``; see ``labelled.cost``.

    $$ C_{ij} = \tfrac12 |x_i - y_j|^2 + \tfrac{w}{2} W_{c(i) c(j)} $$

    W is the squared Wasserstein distance between the clouds of two classes (``between``).

    Args:
        x: features of all sources, (m, d).
        labels: (m,) 0, 1, ...
        y: features of the data set, (n, d).
        others: its labels, (n,).
        classes: how many there are.
        metric: of W: "gaussian", "exact" or "means".
        label_weight: w.
        debiased: whether the costs of both to themselves are wanted, for the divergence.

    Returns:
        costs (m, n), and with debiasing (m, m) and (n, n).

    Raises:
        ValueError: features that are not finite or do not fit, labels that are no classes, a class of ``others`` that
            ``labels`` lacks, a negative label weight, or another word for the metric.

    Source:
        Kang et al. (2023); the label distance: Alvarez-Melis and Fusi, Geometric dataset distances (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> one = jnp.zeros(1, int)
        >>> valuation.costs(jnp.array([[3.0]]), one, jnp.array([[1.0]]), one, 1, "means", debiased=False).matrix  # 2 + 2
        Array([[4.]], dtype=float64)
    """
    x = arguments.real("x", x, (None, None))
    y = arguments.real("y", y, (None, x.shape[1]))
    classes = arguments.whole("classes", classes, 1)
    labels, others = _labels("labels", labels, len(x), classes), _labels("others", others, len(y), classes)
    label_weight = arguments.real("label_weight", label_weight, (), low=0, dtype=x.dtype)
    known = not isinstance(labels, Tracer) and not isinstance(others, Tracer)
    if known and (missing := sorted({*np.unique(others).tolist()} - {*np.unique(labels).tolist()})):
        raise ValueError(
            f"others has the class {missing[0]}, which labels lacks: its distance to other classes is unknown"
        )
    pairs = [(x, labels, y, others)] + [(x, labels, x, labels), (y, others, y, others)] * debiased
    # apart from the rest: the roots of covariances that have no inverse say to 1e-8 only how a program rounds
    apart = [between(*pair, classes, metric) for pair in pairs]
    return _costs(pairs, apart, label_weight)


def _labels(name: str, labels: Any, count: int, classes: int) -> Int[Array, " n"]:
    labels = jnp.asarray(labels)
    if labels.shape != (count,) or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"{name} has shape {labels.shape} and type {labels.dtype}: whole numbers of shape ({count},) are needed"
        )
    if not isinstance(labels, Tracer) and (np.any(np.asarray(labels) < 0) or np.any(np.asarray(labels) >= classes)):
        raise ValueError(f"{name} must be whole numbers from 0 to {classes - 1}, with classes = {classes}")
    return labels


@jit
def _costs(pairs: list[Any], apart: list[Any], label_weight: ArrayLike) -> Costs:
    weight = jnp.asarray(label_weight, pairs[0][0].dtype)
    matrix, *same = (
        labelled.cost(x, labels, y, others, each, 1.0, weight)
        for (x, labels, y, others), each in zip(pairs, apart, strict=True)
    )
    return Costs(matrix, *((each + each.T) / 2 for each in same))


class Distances(NamedTuple):
    """Of mixtures, a row each."""

    value: Float[Array, " k"]
    f: Float[Array, "k m"]  # what one more unit of mass costs at each point, also of sources without a share
    g: Float[Array, "k n"]
    mean: Float[Array, "k sources"]  # h
    converged: Bool[Array, ""]
    error: Float[Array, " k"]  # of the marginals, L1


class Warm(NamedTuple):
    """Where sweeps begin: potentials over epsilon."""

    g: Float[Array, "k n"]
    own: Float[Array, "k m"]
    other: Float[Array, "1 n"]


def cold(count: int, costs: Costs) -> Warm:
    """Potentials that know nothing."""
    m, n = costs.matrix.shape
    return Warm(*(jnp.zeros(shape, costs.matrix.dtype) for shape in ((count, n), (count, m), (1, n))))


def distances(
    p: ArrayLike | Sequence[Any],
    costs: Costs,
    source: ArrayLike | Sequence[int],
    epsilon: ArrayLike,
    *,
    tolerance: ArrayLike = 1e-7,
    sweeps: int = _SWEEPS,
) -> Distances:
    r"""$\mathrm{OT}_\varepsilon$ of each mixture, in its KL form, or S where the costs have what it needs.

    $$ \mathrm{OT}_\varepsilon = \langle f, a \rangle + \langle g, b \rangle + \varepsilon (1 - |\pi|), \qquad
       S = \mathrm{OT}(\mu, \nu) - \tfrac12 \mathrm{OT}(\mu, \mu) - \tfrac12 \mathrm{OT}(\nu, \nu) $$

    Time O(k m n) a sweep, memory O(m n + k (m + n)). Works under ``jit`` and ``vmap``. Value, f, g and mean are
    differentiable in p, costs and epsilon by the implicit function theorem, to second order; a derivative takes some
    conjugate gradients, each as costly as a sweep. ``error`` has no derivative.

    Args:
        p: shares (k, sources), a mixture a row, of sum 1.
        costs: of ``costs``.
        source: which source each point is of, (m,).
        epsilon: strength of the entropy, in units of the cost.
        tolerance: of the marginals (L1).
        sweeps: at most so many; ``converged`` says whether they sufficed.

    Returns:
        values (k,), potentials, and the slopes h in the shares (k, sources), which sum to 0 with weights p.

    Raises:
        ValueError: shares that are no mixtures, sources that do not fit the costs, an epsilon that is not positive, or so
            small that entries of the kernel would be lost.

    Warns:
        NotConverged: the marginals of some mixture are not within the tolerance.

    Source:
        Kang et al. (2023); Feydy et al. (2019).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> costs = valuation.Costs(jnp.array([[0.0], [2.0]]))  # two sources of one point each, one point to go to
        >>> found = valuation.distances(jnp.array([[1.0, 0.0], [0.5, 0.5]]), costs, jnp.array([0, 1]), 0.1)
        >>> found.value.round(6), found.mean[1].round(6)  # 0, and the mean cost; and what each source adds to it
        (Array([0., 1.], dtype=float64), Array([-1.,  1.], dtype=float64))
    """
    check_epsilon(costs, epsilon)
    p = arguments.real("p", p, (None, None), dtype=costs.matrix.dtype)
    source = check_source(source, costs, p.shape[1])
    if not isinstance(p, Tracer):
        mixtures(p)
    sweeps = arguments.whole("sweeps", sweeps, 1)
    found, count = _distances(p, costs, source, jnp.asarray(epsilon, costs.matrix.dtype), tolerance, sweeps)
    if not isinstance(found.converged, Tracer) and not bool(found.converged):
        tell("lab.valuation.distances", Reason.MAX_ITERATIONS, count)
    return found


def check_source(source: Any, costs: Costs, sources: int) -> Int[Array, " m"]:
    """Check the source of each point against the costs and the number of sources.

    Raises:
        ValueError: another number of points, whole numbers outside the range, or a source without points.
    """
    source, m = jnp.asarray(source), costs.matrix.shape[0]
    if source.shape != (m,) or not jnp.issubdtype(source.dtype, jnp.integer):
        raise ValueError(
            f"source has shape {source.shape} and type {source.dtype}: whole numbers of shape ({m},) are needed, one for each "
            "row of the costs"
        )
    if not isinstance(source, Tracer):
        found = np.unique(np.asarray(source))
        if found.tolist() != list(range(sources)):
            raise ValueError(
                f"source has the values {found.tolist()}: points of each of the sources 0 to {sources - 1} of the mixtures are "
                "needed, and of no others"
            )
    return source


def check_epsilon(costs: Costs, epsilon: Any) -> None:
    """Reject an epsilon that the kernel cannot resolve, and costs that are not finite; traced values are not checked."""
    if any(isinstance(each, Tracer) for each in costs):
        return
    for name, each in costs._asdict().items():
        if each is not None and not np.isfinite(np.asarray(each)).all():
            raise ValueError(f"costs.{name} has entries that are not finite: leave out the points that they are of")
    if isinstance(epsilon, Tracer):
        return
    least = max(np.ptp(_reduced(np.asarray(each))[0]) for each in costs if each is not None) / _REACH
    if not least < float(epsilon) < np.inf:
        raise ValueError(
            f"epsilon = {float(epsilon):.3g} is not allowed: these costs need a finite epsilon above {least:.3g}; "
            "lab.ot.labelled.exact_mixture has no entropy"
        )


@jit
def _distances(
    p: Array, costs: Costs, source: Array, epsilon: Array, tolerance: ArrayLike, sweeps: int
) -> tuple[Distances, Array]:
    still = jax.lax.stop_gradient
    tolerance, begin = jnp.asarray(tolerance, p.dtype), cold(len(p), costs)
    warm, error, count = settled(still(p), still(costs), source, still(epsilon), begin, still(tolerance), sweeps)
    found = read(p, costs, source, epsilon, warm)
    return Distances(*found, (error <= tolerance).all(), error), count


def settled(
    p: Array, costs: Costs, source: Array, epsilon: Array, start: Warm, tolerance: Array, sweeps: int
) -> tuple[Warm, Array, Array]:
    """Potentials of mixtures, swept from those of neighbouring ones; the L1 errors of the marginals, and the sweeps."""
    a = masses(p, source)
    b = _equal(costs)
    g, error, count = _cross(_Kernel.of(costs.matrix, epsilon), a, b, start.g, tolerance, sweeps)
    own, other = start.own, start.other
    if costs.own is not None and costs.other is not None:
        own, own_error, own_count = _itself(jnp.exp(-costs.own / epsilon), a, own, tolerance, sweeps)
        other, b_error, b_count = _itself(jnp.exp(-costs.other / epsilon), b[None, :], other, tolerance, sweeps)
        error = jnp.maximum(error, jnp.maximum(own_error, b_error[0]))
        count = jnp.maximum(count, jnp.maximum(own_count, b_count))
    return Warm(g, own, other), error, count


def read(
    p: Array, costs: Costs, source: Array, epsilon: Array, warm: Warm
) -> tuple[Float[Array, " k"], Float[Array, "k m"], Float[Array, "k n"], Float[Array, "k sources"]]:
    """Value, f, g and mean of the potentials that ``settled`` found; differentiable, as fixed points of a sweep."""
    a, b = masses(p, source), _equal(costs)
    kernel = _Kernel.of(costs.matrix, epsilon)
    weights = jnp.broadcast_to(b[None, :], warm.g.shape)
    g = _fixed(lambda g: _columns(kernel, a, _rows(kernel, b, g)), weights, warm.g, free=True)
    psi = _rows(kernel, b, g)
    value, f = _dual(kernel, a, b, psi, g, epsilon), epsilon * psi + kernel.rows[None, :]
    if costs.own is not None and costs.other is not None:
        self_value, self_f = _self(costs.own, a, epsilon, warm.own)
        other_value, _ = _self(costs.other, b[None, :], epsilon, warm.other)
        value, f = value - self_value / 2 - other_value[0] / 2, f - self_f
    f = f - (a * f).sum(axis=1, keepdims=True)  # the constant that is free
    return value, f, epsilon * g + kernel.columns[None, :], _means(f, source, p.shape[1])


def _equal(costs: Costs) -> Array:
    n = costs.matrix.shape[1]
    return jnp.full(n, 1 / n, costs.matrix.dtype)


def _fixed(sweep: Callable[[Array], Array], weights: Array, found: Array, free: bool) -> Array:
    """The fixed point of a sweep, which was found before, with its implicit derivative.

    ``weights`` make the equation symmetric; entries of weight 0 stay. ``free``: a constant may be added, and stays too.
    """
    found, weights = jax.lax.stop_gradient((found, weights))

    def residual(x: Array) -> Array:
        left = jnp.where(weights > 0, weights * (x - sweep(x)), x - found)
        return left + weights * (weights * (x - found)).sum(axis=1, keepdims=True) if free else left

    def solve(linear: Callable[[Array], Array], right: Array) -> Array:
        shape = jax.ShapeDtypeStruct(right.shape, right.dtype)
        operator = lx.FunctionLinearOperator(linear, shape, tags=lx.positive_semidefinite_tag)
        small = 16 * float(jnp.finfo(right.dtype).eps)
        return lx.linear_solve(operator, right, lx.CG(small, small, max_steps=_PRODUCTS), throw=False).value

    return jax.lax.custom_root(residual, found, lambda _, start: start, solve)


def _reduced(matrix: Any) -> tuple[Any, Any, Any]:
    """Less what is in all entries of a row, and then of a column: each has a 0 then."""
    rows = matrix.min(axis=1)
    columns = (matrix - rows[:, None]).min(axis=0)
    return matrix - rows[:, None] - columns[None, :], rows, columns


class _Kernel(NamedTuple):
    matrix: Float[Array, "m n"]
    rows: Float[Array, " m"]
    columns: Float[Array, " n"]

    @classmethod
    def of(cls, matrix: Array, epsilon: Array) -> "_Kernel":
        reduced, rows, columns = _reduced(matrix)
        return cls(jnp.exp(-reduced / epsilon), rows, columns)


def _rows(kernel: _Kernel, b: Array, g: Array) -> Array:
    return -jnp.log((b[None, :] * jnp.exp(g)) @ kernel.matrix.T)


def _columns(kernel: _Kernel, a: Array, psi: Array) -> Array:
    return -jnp.log((a * jnp.exp(psi)) @ kernel.matrix)


def _cross(kernel: _Kernel, a: Array, b: Array, g: Array, tolerance: Array, sweeps: int) -> tuple[Array, Array, Array]:
    """Column potentials of all mixtures, the L1 error of the rows, and the sweeps."""

    def sweep(_: Any, carry: tuple) -> tuple:
        psi, g, omega, _ = carry
        rows = _rows(kernel, b, g)
        error = (a * jnp.abs(jnp.expm1(psi - rows))).sum(axis=1)  # before they are made to hold
        psi = psi + omega * (rows - psi)
        columns = _columns(kernel, a, psi)
        return psi, g + omega * (columns - g), omega, error

    def some(carry: tuple) -> tuple:
        count, psi, g, tame, before = carry
        omega = jnp.where(tame & (count > 0), _RELAXED, 1.0)[:, None]
        psi, g, _, error = jax.lax.fori_loop(0, _EVERY, sweep, (psi, g, omega, before))
        return (
            count + _EVERY,
            psi,
            g,
            tame & (error <= before),
            error,
        )  # relaxed ones that lead away are plain from then on

    def unsettled(carry: tuple) -> Array:
        return (carry[0] < sweeps) & (carry[4] > tolerance).any()

    start = jnp.int32(0), _rows(kernel, b, g), g, jnp.ones(len(a), bool), jnp.full(len(a), jnp.inf, a.dtype)
    count, psi, _, _, error = jax.lax.while_loop(unsettled, some, start)
    return _columns(kernel, a, psi), error, count  # a plain one at the end: the columns hold


def _dual(kernel: _Kernel, a: Array, b: Array, psi: Array, g: Array, epsilon: Array) -> Array:
    mass = ((a * jnp.exp(psi)) @ kernel.matrix * (b[None, :] * jnp.exp(g))).sum(axis=1)
    rows, columns = epsilon * psi + kernel.rows[None, :], epsilon * g + kernel.columns[None, :]
    return (a * rows).sum(axis=1) + columns @ b + epsilon * (1 - mass)


def _itself(kernel: Array, a: Array, start: Array, tolerance: Array, sweeps: int) -> tuple[Array, Array, Array]:
    """The symmetric potentials of measures to themselves over epsilon, their L1 error, and the sweeps."""

    def sweep(_: Any, carry: tuple) -> tuple:
        f, _ = carry
        right = -jnp.log((a * jnp.exp(f)) @ kernel)
        return (f + right) / 2, (a * jnp.abs(jnp.expm1(f - right))).sum(axis=1)

    def some(carry: tuple) -> tuple:
        return carry[0] + _EVERY, *jax.lax.fori_loop(0, _EVERY, sweep, carry[1:])

    def unsettled(carry: tuple) -> Array:
        return (carry[0] < sweeps) & (carry[2] > tolerance).any()

    begin = jnp.int32(0), start, jnp.full(len(a), jnp.inf, a.dtype)
    count, f, error = jax.lax.while_loop(unsettled, some, begin)
    return f, error, count


def _self(matrix: Array, a: Array, epsilon: Array, found: Array) -> tuple[Array, Array]:
    """The value of measures to themselves, and their potentials in units of cost; those of points without mass follow."""
    kernel = jnp.exp(-matrix / epsilon)  # its diagonal is 1
    right = lambda f: -jnp.log((a * jnp.exp(f)) @ kernel)  # noqa: E731
    f = _fixed(right, a, found, free=False)
    f = jnp.where(a > 0, f, right(f))
    mass = ((a * jnp.exp(f)) @ kernel * (a * jnp.exp(f))).sum(axis=1)
    return epsilon * (2 * (a * f).sum(axis=1) + 1 - mass), epsilon * f


def _means(f: Array, source: Array, count: int) -> Array:
    total = jnp.zeros((len(f), count), f.dtype).at[:, source].add(f)
    return total / jnp.zeros(count, f.dtype).at[source].add(1)[None, :]


@jit
def calibrated(mean: Float[Array, "k sources"], p: Float[Array, "k sources"]) -> Float[Array, "k sources"]:
    r"""$(h_i - \sum_j p_j h_j) / (1 - p_i)$, the slope where p_i grows and the others shrink in proportion; NaN at p_i = 1.

    Args:
        mean: h, (k, sources), of ``distances``.
        p: shares (k, sources).

    Returns:
        slopes (k, sources).

    Source:
        Kang et al. (2023), the calibrated gradient.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> valuation.calibrated(jnp.array([[1.0, 3.0]]), jnp.array([[0.5, 0.5]]))
        Array([[-2.,  2.]], dtype=float64)
    """
    away = 1 - p
    slope = mean - (p * mean).sum(axis=1, keepdims=True)
    return jnp.where(away > 0, slope / jnp.where(away > 0, away, 1), jnp.nan)


@jit
def plan(
    p: Float[Array, "k sources"],
    g: Float[Array, "k n"],
    matrix: Float[Array, "m n"],
    source: Int[Array, " m"],
    epsilon: ArrayLike,
) -> Float[Array, "k m n"]:
    r"""$\pi_{ij} = a_i b_j\, e^{(f_i + g_j - c_{ij})/\varepsilon}$, of potentials of OT, with exact rows."""
    a = masses(p, source)
    logits = (g[:, None, :] - matrix[None]) / epsilon
    return a[:, :, None] * jax.nn.softmax(logits, axis=2)

r"""How far many mixtures of the same labelled sources are from a data set, side by side.

The cost of ``lab.ot.labelled`` does not depend on the shares p where what is between labels is computed once, from all points
of a class whatever their source. Then all mixtures share the kernel $K = e^{-C/\varepsilon}$, and a sweep of all is two
products of matrices:

$$ f \leftarrow -\varepsilon \log \sum_j b_j K_{ij} e^{g_j / \varepsilon}, \qquad
   g \leftarrow -\varepsilon \log \sum_i a_i K_{ij} e^{f_i / \varepsilon}, \qquad
   \mathrm{OT}_\varepsilon = \langle f, a \rangle + \langle g, b \rangle + \varepsilon (1 - |\pi|), $$

a hundred times faster than one by one in the log domain, and good down to where C/epsilon, less what is in all entries of a row
or column, is 600. What p gains is the mean h_i of f over each source: $\partial_{p_i} \mathrm{OT} = h_i$ but for a constant.

The divergence $S = \mathrm{OT}(\mu, \nu) - \tfrac12 \mathrm{OT}(\mu, \mu) - \tfrac12 \mathrm{OT}(\nu, \nu)$ has
$f - f_{\mu\mu}$ in place of f. It is not convex in p, and OT is.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023; Feydy et al., *Interpolating between optimal
transport and MMD*, AISTATS 2019.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics.jit import jit
from lab.ot import labelled
from lab.ot.gaussian import bures
from lab.valuation.draws import masses

type Metric = Literal["gaussian", "exact", "means"] | str

_REACH = 600.0  # of C/epsilon, beyond which entries of the kernel are lost
_EVERY = 10  # sweeps between two looks at the error
_RELAXED = 1.5  # a third of the sweeps of plain ones
_SWEEPS = 4000


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
            themselves, on the host, which takes a linear program for each pair.
    """
    if metric != "exact":
        return _moments(x, labels, y, others, classes, metric == "gaussian")
    shape = jax.ShapeDtypeStruct((classes, classes), x.dtype)
    host = lambda *given: _exact(given, classes).astype(x.dtype)  # noqa: E731
    return jax.pure_callback(host, shape, x, labels, y, others, vmap_method="sequential")


def _exact(points: tuple, classes: int) -> np.ndarray:
    x, labels, y, others = map(np.asarray, points)
    found = np.full((classes, classes), np.nan)
    (rows, ours), (columns, theirs) = (np.unique(each, return_inverse=True) for each in (labels, others))
    found[np.ix_(rows, columns)] = labelled.label_distances(x, ours, y, theirs)
    return found


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
    x: Float[Array, "m d"],
    labels: Int[Array, " m"],
    y: Float[Array, "n d"],
    others: Int[Array, " n"],
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
        ValueError: another word for the metric.

    Source:
        Kang et al. (2023); the label distance: Alvarez-Melis and Fusi, Geometric dataset distances (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> one = jnp.zeros(1, int)
        >>> valuation.costs(jnp.array([[3.0]]), one, jnp.array([[1.0]]), one, 1, "means", debiased=False).matrix  # 2 + 2
        Array([[4.]], dtype=float64)
    """
    pairs = [(x, labels, y, others)] + [(x, labels, x, labels), (y, others, y, others)] * debiased
    # apart from the rest: the roots of covariances that have no inverse say to 1e-8 only how a program rounds
    apart = [between(*pair, classes, metric) for pair in pairs]
    return _costs(pairs, apart, label_weight)


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


def cold(count: int, costs: Costs) -> Warm:
    """Potentials that know nothing."""
    m, n = costs.matrix.shape
    return Warm(jnp.zeros((count, n), costs.matrix.dtype), jnp.zeros((count, m), costs.matrix.dtype))


def distances(
    p: Float[Array, "k sources"],
    costs: Costs,
    source: Int[Array, " m"],
    epsilon: ArrayLike,
    *,
    tolerance: ArrayLike = 1e-7,
    sweeps: int = _SWEEPS,
) -> Distances:
    r"""$\mathrm{OT}_\varepsilon$ of each mixture, in its KL form, or S where the costs have what it needs.

    $$ \mathrm{OT}_\varepsilon = \langle f, a \rangle + \langle g, b \rangle + \varepsilon (1 - |\pi|), \qquad
       S = \mathrm{OT}(\mu, \nu) - \tfrac12 \mathrm{OT}(\mu, \mu) - \tfrac12 \mathrm{OT}(\nu, \nu) $$

    Time O(k m n) a sweep, memory O(m n + k (m + n)). Under ``jit`` and ``vmap``, and ``grad`` in p by the envelope theorem.

    Args:
        p: shares (k, sources), a mixture a row, as ``designs.mixtures`` checks them.
        costs: of ``costs``.
        source: which source each point is of, (m,).
        epsilon: strength of the entropy, in units of the cost.
        tolerance: of the marginals (L1).
        sweeps: at most so many; ``converged`` says whether they sufficed.

    Returns:
        values (k,), potentials, and the slopes h in the shares (k, sources), which sum to 0 with weights p.

    Raises:
        ValueError: an epsilon that is not positive, or so small that entries of the kernel would be lost.

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
    return _distances(p, costs, source, jnp.asarray(epsilon, costs.matrix.dtype), tolerance, sweeps)


def check_epsilon(costs: Costs, epsilon: Any) -> None:
    """Refuse a strength of the entropy that the kernel can't resolve, where it is known."""
    if isinstance(epsilon, Tracer) or isinstance(costs.matrix, Tracer):
        return
    least = max(np.ptp(_reduced(np.asarray(each))[0]) for each in costs if each is not None) / _REACH
    if not float(epsilon) > least:
        raise ValueError(
            f"epsilon = {float(epsilon):.3g}, but these costs need at least {least:.3g}: raise it, or take "
            "lab.ot.labelled.exact_mixture, which has no entropy"
        )


@jit
def _distances(p: Array, costs: Costs, source: Array, epsilon: Array, tolerance: ArrayLike, sweeps: int) -> Distances:
    return swept(p, costs, source, epsilon, cold(len(p), costs), tolerance, sweeps)[0]


def swept(
    p: Array, costs: Costs, source: Array, epsilon: Array, start: Warm, tolerance: ArrayLike, sweeps: int
) -> tuple[Distances, Warm]:
    """``distances`` from potentials of neighbouring mixtures, and those that it ends at."""
    a = jax.lax.stop_gradient(masses(p, source))
    b = jnp.full(costs.matrix.shape[1], 1 / costs.matrix.shape[1], a.dtype)
    kernel = _Kernel.of(costs.matrix, epsilon)
    tolerance = jnp.asarray(tolerance, a.dtype)
    g, error = _cross(kernel, a, b, start.g, tolerance, sweeps)
    psi = -jnp.log((b[None, :] * jnp.exp(g)) @ kernel.matrix.T)
    value, f = _dual(kernel, a, b, psi, g, epsilon), epsilon * psi + kernel.rows[None, :]
    own = start.own
    if costs.own is not None and costs.other is not None:
        own, own_error, self_value, self_f = _itself(costs.own, a, epsilon, start.own, tolerance, sweeps)
        start_b = jnp.zeros((1, b.size), a.dtype)
        _, b_error, other_value, _ = _itself(costs.other, b[None, :], epsilon, start_b, tolerance, sweeps)
        value, f = value - self_value / 2 - other_value[0] / 2, f - self_f
        error = jnp.maximum(error, jnp.maximum(own_error, b_error[0]))
    f = jax.lax.stop_gradient(f)
    f = f - (a * f).sum(axis=1, keepdims=True)  # the constant that is free
    h = _means(f, source, p.shape[1])
    still = jax.lax.stop_gradient
    value = still(value) + ((p - still(p)) * h).sum(axis=1)
    g = still(g)
    found = Distances(value, f, epsilon * g + kernel.columns[None, :], h, (error <= tolerance).all(), error)
    return found, Warm(g, still(own))


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


def _cross(kernel: _Kernel, a: Array, b: Array, g: Array, tolerance: Array, sweeps: int) -> tuple[Array, Array]:
    """Column potentials of all mixtures, and the L1 error of the rows."""

    def sweep(_: Any, carry: tuple) -> tuple:
        psi, g, omega, _ = carry
        rows = -jnp.log((b[None, :] * jnp.exp(g)) @ kernel.matrix.T)
        error = (a * jnp.abs(jnp.expm1(psi - rows))).sum(axis=1)  # before they are made to hold
        psi = psi + omega * (rows - psi)
        columns = -jnp.log((a * jnp.exp(psi)) @ kernel.matrix)
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

    psi = -jnp.log((b[None, :] * jnp.exp(g)) @ kernel.matrix.T)
    start = jnp.int32(0), psi, g, jnp.ones(len(a), bool), jnp.full(len(a), jnp.inf, a.dtype)
    _, psi, _, _, error = jax.lax.while_loop(unsettled, some, start)
    return -jnp.log((a * jnp.exp(psi)) @ kernel.matrix), error  # a plain one at the end: the columns hold


def _dual(kernel: _Kernel, a: Array, b: Array, psi: Array, g: Array, epsilon: Array) -> Array:
    mass = ((a * jnp.exp(psi)) @ kernel.matrix * (b[None, :] * jnp.exp(g))).sum(axis=1)
    rows, columns = epsilon * psi + kernel.rows[None, :], epsilon * g + kernel.columns[None, :]
    return (a * rows).sum(axis=1) + columns @ b + epsilon * (1 - mass)


def _itself(matrix: Array, a: Array, epsilon: Array, start: Array, tolerance: Array, sweeps: int) -> tuple:
    """The symmetric potentials of measures to themselves: over epsilon, their error, the value, and in units of cost."""
    kernel = jnp.exp(-matrix / epsilon)  # its diagonal is 1

    def sweep(_: Any, carry: tuple) -> tuple:
        f, _ = carry
        right = -jnp.log((a * jnp.exp(f)) @ kernel)
        return (f + right) / 2, (a * jnp.abs(jnp.expm1(f - right))).sum(axis=1)

    def some(carry: tuple) -> tuple:
        return carry[0] + _EVERY, *jax.lax.fori_loop(0, _EVERY, sweep, carry[1:])

    def unsettled(carry: tuple) -> Array:
        return (carry[0] < sweeps) & (carry[2] > tolerance).any()

    begin = jnp.int32(0), start, jnp.full(len(a), jnp.inf, a.dtype)
    _, f, error = jax.lax.while_loop(unsettled, some, begin)
    mass = ((a * jnp.exp(f)) @ kernel * (a * jnp.exp(f))).sum(axis=1)
    return f, error, epsilon * (2 * (a * f).sum(axis=1) + 1 - mass), epsilon * f


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

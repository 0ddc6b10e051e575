r"""The spectrum of a symmetric operator without forming it: density by stochastic Lanczos quadrature, and the trace.

A probe v drawn uniformly from the sphere sees the spectrum as the measure $\sum_i \langle v, u_i \rangle^2 \delta_{\lambda_i}$,
whose mean over probes is the density of eigenvalues. k steps of Lanczos from v give its Gauss quadrature: nodes are Ritz
values, weights the squared first components of the eigenvectors of T. Recurrences stop where the Krylov space is exhausted.

Traces: Hutchinson, Hutch++ (Meyer, Musco, Musco and Woodruff, 2021), XTrace (Epperly, Tropp and Webber, 2024). All errors are
standard errors, over the probes.

matfree (0.6.3) has Lanczos, quadrature, Hutchinson and XTrace, as fast and as accurate as these (``benchmarks/stability.py``
measures both), and would save some sixty lines. It is not used, since its recurrence allocates and runs a fixed number of
products and does not end where the Krylov space does, which here is a state that stops, reports between products and goes on;
its standard errors divide by m, not m - 1; XTrace takes a matrix as rank-deficient by an absolute threshold on R, which a
Hessian of another scale passes or fails by its units; and all probes are taken at once, where these are taken in chunks.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, arguments, pure, random
from lab.numerics.jit import jit
from lab.stability.lanczos import as_tree, ritz, tridiagonal


def _root(x: Array) -> Array:
    """The square root, whose derivative at 0 is 0 instead of NaN."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def deviation(each: Array) -> Array:
    """The standard deviation along the first axis, whose derivative where all are equal is 0 instead of NaN."""
    return _root(each.var(axis=0, ddof=1))


class Estimate(NamedTuple):
    """A number and how far it may be off."""

    value: Float[Array, ""]
    error: Float[Array, ""]  # standard error
    products: Int[Array, ""] | int  # with the operator


class Quadrature(NamedTuple):
    """The spectrum as each probe sees it. Weights of a probe sum to 1; 0 where a recurrence ended early."""

    nodes: Float[Array, "probes steps"]
    weights: Float[Array, "probes steps"]
    size: int
    reason: Int[Array, ""] | int
    state: Any

    def trace_of(self, f: Callable[[Array], Array] = lambda x: x) -> Estimate:
        r"""$\mathrm{tr}\, f(H)$, f elementwise: p times the mean of f. Probes not yet done are left out."""
        each = self.size * jnp.where(self.weights > 0, self.weights * f(self.nodes), 0).sum(axis=1)
        done = self.weights.sum(axis=1) > 0.5
        count = done.sum()
        mean = jnp.where(done, each, 0).sum() / count
        spread = _root(jnp.where(done, (each - mean) ** 2, 0).sum() / (count - 1) / count)
        return Estimate(mean, spread, (self.weights > 0).sum())


class Work(eqx.Module):
    """A quadrature, as the loop sees it."""

    operator: Any
    key: PRNGKeyArray
    like: Array
    size: int = eqx.field(static=True)
    probes: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)


class State(NamedTuple):
    """Whence a quadrature goes on."""

    nodes: Float[Array, "probes steps"]
    weights: Float[Array, "probes steps"]
    count: Int[Array, ""]


def _init(work: Work) -> State:
    empty = jnp.zeros((work.probes, work.steps), work.like.dtype)
    return State(empty, empty, jnp.int32(0))


def _step(work: Work, state: State) -> State:
    start = random.normal(jax.random.fold_in(work.key, state.count), (work.size,), work.like.dtype)
    found = ritz(tridiagonal(work.operator, start, work.steps))
    weights = jnp.where(found.valid, found.vectors[0] ** 2, 0)
    nodes = jnp.where(found.valid, found.values, 0)
    return State(state.nodes.at[state.count].set(nodes), state.weights.at[state.count].set(weights), state.count + 1)


def _done(work: Work, state: State) -> Array:
    reason = jnp.where(state.count >= work.probes, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.nodes).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: State) -> dict[str, Array]:
    last = state.count - 1
    return {"trace": work.size * state.weights[last] @ state.nodes[last], "top": state.nodes.max()}


QUADRATURE = Method(_init, _step, _done, _measure)


def quadrature(
    key: PRNGKeyArray,
    operator: Any,
    *,
    probes: int = 10,
    steps: int = 40,
    state: State | None = None,
    loop: Loop = pure,
) -> Quadrature:
    r"""Stochastic Lanczos quadrature: the spectrum as probes v see it, $\sum_i \langle v, u_i \rangle^2 \delta_{\lambda_i}$.

    ``probes * steps`` products. Memory O(steps p).

    Args:
        key: of the probes.
        operator: as made by ``hessian``; whatever has ``size``, ``dtype`` and a product.
        probes: at least two, for the standard error; static.
        steps: of Lanczos at most; static.
        state: where to go on.
        loop: ``pure``, or a ``Chunked``, which reports and stops between probes.

    Returns:
        nodes and weights (probes, steps), which sum to 1 over a probe.

    Raises:
        ValueError: fewer than two probes or one step.

    Source:
        Ubaru, Chen and Saad, Fast estimation of tr(f(A)) via stochastic Lanczos quadrature (2017).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = stability.hessian(lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2, jnp.ones(2))
        >>> seen = stability.quadrature(jax.random.key(0), bowl, probes=2)
        >>> seen.nodes[0].round(6), seen.weights.sum(axis=1).round(6)
        (Array([1., 3.], dtype=float64), Array([1., 1.], dtype=float64))
    """
    arguments.whole("probes", probes, 2)
    steps = min(arguments.whole("steps", steps, 1), operator.size)
    work = Work(as_tree(operator), key, jnp.zeros((), operator.dtype), operator.size, probes, steps)
    run = loop(QUADRATURE, work, state, max_iterations=probes)
    return Quadrature(run.state.nodes, run.state.weights, operator.size, run.reason, run.state)


class Density(NamedTuple):
    """A smoothed density of eigenvalues; it integrates to 1."""

    grid: Float[Array, " g"]
    density: Float[Array, " g"]
    error: Float[Array, " g"]  # standard error over the probes
    width: Float[Array, ""]  # standard deviation of the Gaussian it was smoothed with


@arguments.arrays()
def density(
    of: Quadrature, grid: Float[Array, " g"] | None = None, width: ArrayLike | None = None, points: int = 512
) -> Density:
    r"""The density on a grid, a Gaussian at each node; with the same grid and width spectra can be compared over training.

    $$ \frac1N \sum_v \sum_j w_{vj}\, \mathcal N(x; \theta_{vj}, \mathrm{width}^2) $$

    Args:
        of: from ``quadrature``.
        grid: where, (g,); the range of the nodes with five widths on each side when omitted.
        width: of the Gaussian; 0.015 of the range of the nodes when omitted.
        points: of the grid when that is omitted.

    Returns:
        density and its standard error over the probes, (g,), with grid and width.

    Raises:
        ValueError: a width that is not positive, or fewer than two points.

    Source:
        Lin, Saad and Yang, Approximating spectral densities of large matrices (2016).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = stability.hessian(lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2, jnp.ones(2))
        >>> seen = stability.density(stability.quadrature(jax.random.key(0), bowl, probes=2))
        >>> round(float(jnp.trapezoid(seen.density, seen.grid)), 4)
        1.0
    """
    arguments.whole("points", points, 2)
    real = of.weights > 0
    low = jnp.where(real, of.nodes, jnp.inf).min()
    high = jnp.where(real, of.nodes, -jnp.inf).max()
    if width is None:
        width = 0.015 * jnp.maximum(high - low, 1e-6 * jnp.maximum(jnp.abs(high), 1e-30))
    width = arguments.real("width", width, (), low=0, strict=True).astype(of.nodes.dtype)
    if grid is None:
        grid = jnp.linspace(low - 5 * width, high + 5 * width, points)

    def one(pair):
        nodes, weights = pair
        bumps = jnp.exp(-0.5 * ((grid[:, None] - nodes[None, :]) / width) ** 2) / (width * jnp.sqrt(2 * jnp.pi))
        return bumps @ weights

    each = jax.lax.map(one, (of.nodes, of.weights))
    done = of.weights.sum(axis=1) > 0.5
    count = done.sum()
    mean = jnp.where(done[:, None], each, 0).sum(axis=0) / count
    spread = jnp.where(done[:, None], (each - mean[None, :]) ** 2, 0).sum(axis=0)
    return Density(grid, mean, _root(spread / (count - 1) / count), width)


@jit
def hutchinson(key: PRNGKeyArray, operator: Any, products: int = 100, chunk: int = 1) -> Estimate:
    r"""The mean of $z^T H z$ over random signs z. Error $\sqrt{2 \sum_{i \ne j} H_{ij}^2 / m}$."""
    _enough(products, 2)
    keys = jax.random.split(key, products)

    def one(key):
        z = random.rademacher(key, (operator.size,), operator.dtype)
        return jnp.vdot(z, operator(z))

    each = jax.lax.map(one, keys, batch_size=chunk)
    return Estimate(each.mean(), deviation(each) / jnp.sqrt(products), products)


@jit
def hutch_pp(key: PRNGKeyArray, operator: Any, products: int = 90, chunk: int = 1) -> Estimate:
    """A third of the products finds the range, a third takes the trace there, a third estimates the rest.

    Memory O(products p / 3). Where the rest vanishes so does the error.
    """
    _enough(products, 6)
    m, size = products // 3, operator.size
    if m >= size:
        raise ValueError(f"products = {products}, but below three times the {size} parameters: take the full matrix")
    sketch, probe = jax.random.split(key)
    signs = random.rademacher(sketch, (m, size), operator.dtype)
    q = jnp.linalg.qr(jax.lax.map(operator, signs, batch_size=chunk).T)[0].T
    inside = jax.lax.map(lambda row: jnp.vdot(row, operator(row)), q, batch_size=chunk).sum()

    def one(key):
        z = random.rademacher(key, (size,), operator.dtype)
        z = z - jnp.matmul(jnp.matmul(q, z, precision="highest"), q, precision="highest")
        return jnp.vdot(z, operator(z))

    each = jax.lax.map(one, jax.random.split(probe, m), batch_size=chunk)
    return Estimate(inside + each.mean(), deviation(each) / jnp.sqrt(m), 3 * m)


@jit
def xtrace(key: PRNGKeyArray, operator: Any, products: int = 90, chunk: int = 1) -> Estimate:
    r"""Half of the products finds the range; every probe is then left out of it once, to estimate the rest.

    With $Y = H \Omega = Q R$ and $s_i$ the direction of column i of $R^{-T}$, leaving probe i out leaves the range of
    $Q (I - s_i s_i^T)$, and

    $$ t_i = \mathrm{tr}(Q^T H Q) - s_i^T Q^T H Q s_i + \frac{p - m + 1}{|u_i|^2} u_i^T H u_i , $$

    $u_i$ the part of $\omega_i$ outside that range. Where the probes already span the range of H (rank below m), R is singular
    and the trace within is exact. Memory O(products p).
    """
    _enough(products, 4)
    m, size = products // 2, operator.size
    if m >= size:
        raise ValueError(f"products = {products}, but below twice the {size} parameters: take the full matrix")
    omega = random.normal(key, (m, size), operator.dtype)
    y = jax.lax.map(operator, omega, batch_size=chunk)
    q, r = jnp.linalg.qr(y.T)
    z = jax.lax.map(operator, q.T, batch_size=chunk)  # rows H q_j
    h = jnp.matmul(z, q, precision="highest")
    w, t = jnp.matmul(q.T, omega.T, precision="highest"), jnp.matmul(z, omega.T, precision="highest")
    scale = jnp.abs(jnp.diag(r))
    spans = scale.min() <= 100 * size**0.5 * jnp.finfo(r.dtype).eps * scale.max()
    s = jnp.linalg.inv(jnp.where(spans, jnp.eye(m, dtype=r.dtype), r)).T
    s = s / jnp.linalg.norm(s, axis=0)[None, :]
    x = w - s * (s * w).sum(axis=0)[None, :]
    rest = (omega * y).sum(axis=1) - 2 * (t * x).sum(axis=0) + (x * (h @ x)).sum(axis=0)
    norms = (omega**2).sum(axis=1) - (x**2).sum(axis=0)
    each = jnp.trace(h) - (s * (h @ s)).sum(axis=0) + (size - m + 1) / norms * rest
    value = jnp.where(spans, jnp.trace(h), each.mean())
    return Estimate(value, jnp.where(spans, 0, deviation(each) / jnp.sqrt(m)), 2 * m)


def _enough(products: int, least: int) -> None:
    if products < least:
        raise ValueError(f"products = {products}, but at least {least} are needed")


type Estimator = Literal["hutchinson", "hutch++", "xtrace"] | str
TRACES: dict[Estimator, Callable[..., Estimate]] = {"hutchinson": hutchinson, "hutch++": hutch_pp, "xtrace": xtrace}


@chosen
def trace(
    key: PRNGKeyArray, operator: Any, products: int = 90, method: Estimator = "xtrace", chunk: int = 1
) -> Estimate:
    r"""The trace $\mathrm{tr}\, H$, with its standard error.

    Args:
        key: of the probes.
        operator: as made by ``hessian``; whatever has ``size``, ``dtype`` and a product.
        products: with the operator; static.
        method: "xtrace", "hutch++" or "hutchinson", the only one that holds no more than a few vectors.
        chunk: products at once.

    Returns:
        value, standard error, and products that were taken.

    Raises:
        ValueError: an unknown method, too few products, or more than the parameters make use of.

    Source:
        Hutchinson (1990); Meyer, Musco, Musco and Woodruff (2021); Epperly, Tropp and Webber (2024).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> bowl = stability.hessian(lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2, jnp.ones(2))
        >>> found = stability.trace(jax.random.key(0), bowl, 2, "hutchinson")  # exact for a diagonal matrix
        >>> float(found.value), float(found.error)
        (4.0, 0.0)
    """
    return TRACES[method](key, operator, arguments.whole("products", products), arguments.whole("chunk", chunk, 1))

r"""Lanczos with full reorthogonalisation, which stops when the Krylov space is exhausted.

From a start q_1 the recurrence $H q_j = \beta_{j-1} q_{j-1} + \alpha_j q_j + \beta_j q_{j+1}$ builds an orthonormal basis Q in
which H is tridiagonal, T. The eigenvalues $\theta$ of T, with $T s = \theta s$, approximate those of H, and

$$ |H Q s - \theta Q s| = \beta_k |s_k| $$

bounds the distance of $\theta$ from an eigenvalue. Every vector is made orthogonal to all before it, twice. Where $\beta_k$ is
0 to rounding, the space is invariant: what would follow is noise, so it ends there. (Implementations that go on return values
far beyond the largest eigenvalue.) From one start a repeated eigenvalue is seen once.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, arguments, pure, random, tell
from lab.numerics.jit import trace_state_clean

type Operator = Callable[[Array], Array]
"""A symmetric matrix as its product with a vector (p,): a pytree, as ``lab.stability.hessian`` makes them."""


class Tridiagonal(NamedTuple):
    """Where a recurrence stands. Entries from ``count`` on are 0."""

    alpha: Float[Array, " steps"]
    beta: Float[Array, " steps"]  # beta[j] couples j and j + 1
    basis: Float[Array, "steps p"]
    count: Int[Array, ""]
    exhausted: Bool[Array, ""]  # the Krylov space is invariant


class Ritz(NamedTuple):
    """Eigenvalues of T, ascending; the first ``count`` are real, the others only fill the shape."""

    values: Float[Array, " steps"]
    vectors: Float[Array, "steps steps"]  # in columns
    residuals: Float[Array, " steps"]  # beta_k |s_k|
    valid: Bool[Array, " steps"]


def begin(start: Float[Array, " p"], steps: int) -> Tridiagonal:
    """A recurrence of at most ``steps`` products, not yet begun."""
    size = norm(start)
    basis = jnp.zeros((steps, start.size), start.dtype).at[0].set(start / jnp.where(size > 0, size, 1))
    zeros = jnp.zeros(steps, start.dtype)
    return Tridiagonal(zeros, zeros, basis, jnp.int32(0), size == 0)


def extend(operator: Operator, state: Tridiagonal) -> Tridiagonal:
    """One product more."""
    k, basis = state.count, state.basis
    w = operator(basis[k])
    alpha = state.alpha.at[k].set(jnp.vdot(basis[k], w))
    for _ in range(2):  # once is not enough: cancellation leaves what the second pass removes
        w = w - jnp.matmul(jnp.matmul(basis, w, precision="highest"), basis, precision="highest")
    beta = norm(w)
    scale = jnp.maximum(jnp.abs(alpha).max(), state.beta.max())
    smallest = max(1e-10, 50 * float(jnp.finfo(w.dtype).eps))
    exhausted = beta <= smallest * scale
    following = jnp.where(exhausted, 0.0, w / jnp.where(exhausted, 1, beta))
    return Tridiagonal(
        alpha,
        state.beta.at[k].set(jnp.where(exhausted, 0, beta)),
        basis.at[k + 1].set(following, mode="drop"),
        k + 1,
        exhausted,
    )


def norm(x: Array) -> Float[Array, ""]:
    """The Euclidean norm, whose derivative at 0 is 0 instead of NaN."""
    squared = (x * x).sum()
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


@arguments.arrays()
def tridiagonal(operator: Operator, start: Float[Array, " p"], steps: int) -> Tridiagonal:
    r"""The whole recurrence: ``steps`` products, fewer where the space is exhausted. Memory O(steps p).

    Differentiable through the recurrence, in forward and reverse mode.

    $$ H q_j = \beta_{j-1} q_{j-1} + \alpha_j q_j + \beta_j q_{j+1} $$

    Args:
        operator: a product with a symmetric H.
        start: the first vector (p,), of any length.
        steps: products at most, static.

    Returns:
        alpha and beta (steps,), the basis (steps, p), and how many of them count.

    Raises:
        ValueError: steps below 1, or a start that is not finite.

    Source:
        Golub and Van Loan, Matrix Computations, on the Lanczos process.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> found = stability.tridiagonal(lambda v: jnp.array([1.0, 3.0]) * v, jnp.ones(2), 2)
        >>> found.alpha.round(9), found.beta.round(9)  # the mean of 1 and 3, and half their difference
        (Array([2., 2.], dtype=float64), Array([1., 0.], dtype=float64))
    """

    arguments.whole("steps", steps, 1)

    def step(state, _):
        return jax.lax.cond(state.exhausted, lambda state: state, lambda state: extend(operator, state), state), None

    return jax.lax.scan(step, begin(start, steps), None, steps)[0]


def ritz(state: Tridiagonal) -> Ritz:
    """The eigenvalues of T."""
    steps = state.alpha.size
    valid = jnp.arange(steps) < state.count
    last = jnp.arange(steps) == state.count - 1
    off = jnp.where(valid & ~last, state.beta, 0)
    # What fills the shape is larger than all of T, so that sorting puts it last and nothing mixes with it. Its entries
    # differ, since eigenvectors of a repeated eigenvalue have no derivative.
    beyond = 1 + 2 * jax.lax.stop_gradient(jnp.abs(state.alpha).max() + 2 * state.beta.max())
    beyond = beyond * (1 + jnp.arange(steps, dtype=state.alpha.dtype) / steps)
    t = jnp.diag(jnp.where(valid, state.alpha, beyond)) + jnp.diag(off[:-1], 1) + jnp.diag(off[:-1], -1)
    values, vectors = jnp.linalg.eigh(t)
    end = jnp.where(last, state.beta, 0) @ vectors
    return Ritz(values, vectors, jnp.abs(end), valid)


class Eigen(NamedTuple):
    """Eigenpairs of a symmetric operator, the wanted first. NaN where fewer were found than asked for."""

    values: Float[Array, " count"]
    vectors: Float[Array, "count p"]  # rows of norm 1
    residuals: Float[Array, " count"]  # |H v - value v|, which bounds the error of the value
    iterations: Int[Array, ""] | int  # products with H
    reason: Int[Array, ""] | int
    exhausted: Bool[Array, ""]  # the space was: the values are exact, but a repeated one is counted once
    state: Tridiagonal

    @property
    def converged(self) -> Array:
        return jnp.asarray(self.reason) == Reason.CONVERGED


class Work(eqx.Module):
    """A search for eigenpairs, as the loop sees it."""

    operator: Any
    start: Float[Array, " p"]
    tolerance: Float[Array, ""]
    count: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    which: str = eqx.field(static=True)


# LAPACK's eigenvalues of more rows than a few wait for its threads and take longer than a product: look there seldom
_FEW, _BETWEEN = 24, 8
type Which = Literal["largest", "smallest", "magnitude"] | str
_ORDER: dict[Which, Callable[[Array], Array]] = {"largest": lambda v: v, "smallest": lambda v: -v, "magnitude": jnp.abs}


def _among(work: Work, state: Tridiagonal) -> tuple[Array, Array, Array]:
    found = ritz(state)
    order = jnp.argsort(jnp.where(found.valid, _ORDER[work.which](found.values), -jnp.inf), descending=True)
    order = order[: work.count]
    valid = found.valid[order]
    return (
        jnp.where(valid, found.values[order], jnp.nan),
        jnp.where(valid, found.residuals[order], jnp.nan),
        jnp.where(valid[:, None], found.vectors[:, order].T, jnp.nan),
    )


def _best(work: Work, state: Tridiagonal) -> tuple[Array, Array, Array]:
    """Values, residuals and small eigenvectors of the wanted pairs."""
    few = max(_FEW, work.count)
    if work.steps <= few:
        return _among(work, state)

    def first():
        *known, small = _among(work, state._replace(alpha=state.alpha[:few], beta=state.beta[:few]))
        return *known, jnp.pad(small, ((0, 0), (0, work.steps - few)))

    return jax.lax.cond(state.count <= few, first, lambda: _among(work, state))


def _followed(work: Work, state: Tridiagonal) -> tuple[Array, Array]:
    """Values and residuals along the way: after more than ``_FEW`` products only now and then, NaN and inf between."""

    def unknown():
        nothing = jnp.full(work.count, jnp.nan, state.alpha.dtype)
        return nothing, jnp.full_like(nothing, jnp.inf)

    few = state.count <= max(_FEW, work.count)
    due = few | (state.count % _BETWEEN == 0) | (state.count == work.steps) | state.exhausted
    return jax.lax.cond(due, lambda: _best(work, state)[:2], unknown)


def _done(work: Work, state: Tridiagonal) -> Array:
    _, errors = _followed(work, state)
    scale = jnp.maximum(jnp.abs(state.alpha).max(), state.beta.max())
    # a value is wrong by residual^2 / gap at most, which the residual itself bounds safely
    good = jnp.all(errors <= work.tolerance * scale) & (state.count > 0)
    reason = jnp.where(good | state.exhausted, Reason.CONVERGED, Reason.RUNNING)
    finite = jnp.isfinite(state.alpha).all() & jnp.isfinite(state.beta).all()
    return jnp.where(finite, reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: Tridiagonal) -> dict[str, Array]:
    values, errors = _followed(work, state)
    return {"value": values[0], "residual": jnp.nanmax(errors)}


EIGEN = Method(
    init=lambda work: begin(work.start, work.steps),
    step=lambda work, state: extend(work.operator, state),
    done=_done,
    measure=_measure,
)


@chosen
def eigenpairs(
    operator: Operator,
    start: ArrayLike | Sequence | PRNGKeyArray,
    count: int = 1,
    *,
    steps: int = 40,
    which: Which = "largest",
    tolerance: float = 1e-6,
    state: Tridiagonal | None = None,
    loop: Loop = pure,
) -> Eigen:
    r"""Find the outer eigenvalues of a symmetric operator, with their vectors, $H v = \lambda v$.

    Time: ``steps`` products and O(steps^2 p). Memory O(steps p): 40 steps at p = 10^7 are 1.6 GB in float32.
    Residuals above the tolerance warn (``NotConverged``); they are in the answer.

    Values and vectors are differentiable in the operator, in both modes and to any order, by

    $$ d\lambda_i = v_i^T dH\, v_i, \qquad (\lambda_i - H)\, dv_i = (dH - d\lambda_i)\, v_i, \quad v_i^T dv_i = 0, $$

    where they converged and are simple. The derivative of a value costs one product; that of a vector a conjugate gradient
    solve in the complement of the pairs found, NaN if it fails. Residuals and state carry no derivative.

    Args:
        operator: a product with a vector; a pytree (a plain function is taken as one).
        start: vector (p,), not 0, or a key where the operator knows its ``size`` and ``dtype``. The pairs do not depend
            on it.
        count: how many; steps >= count is needed.
        steps: products at most, static.
        which: "largest", "smallest" or "magnitude".
        tolerance: on the residuals, relative to the operator. The error of a value is about the square of it over the gap.
        state: where to go on.
        loop: ``pure`` (works under ``jit`` and ``vmap``), or a ``Chunked``, which reports and stops between products.

    Returns:
        values (count,), the wanted first, vectors (count, p) in rows, and residuals; NaN where fewer were found.

    Raises:
        ValueError: an argument outside what is allowed.

    Source:
        Golub and Van Loan, Matrix Computations, on Lanczos with full reorthogonalisation.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.eigenpairs(lambda v: jnp.array([1.0, 2.0, 5.0]) * v, jnp.ones(3), 2).values.round(9)
        Array([5., 2.], dtype=float64)
    """
    if hasattr(start, "dtype") and jnp.issubdtype(start.dtype, jax.dtypes.prng_key):  # type: ignore[union-attr]
        start = random.normal(start, (operator.size,), operator.dtype)  # type: ignore[attr-defined]
    start = arguments.real("start", start, (None,))
    if not isinstance(start, Tracer) and not np.asarray(start).any():
        raise ValueError("start = 0 is not allowed: start must be a vector other than 0, from which products can begin")
    steps = min(arguments.whole("steps", steps, 1), start.size)
    arguments.whole("count", count, 1, steps)
    allowed = arguments.real("tolerance", tolerance, (), low=0).astype(start.dtype)
    operator = as_tree(operator, start)
    work = Work(_held(operator), _held(start), allowed, count, steps, which)
    run = loop(EIGEN, work, state, max_iterations=steps)
    if loop is pure:
        tell("lab.stability.eigenpairs", run.reason, run.iterations)
    last = run.state
    values, errors, small = _best(work, last)
    vectors = jnp.matmul(small, last.basis, precision="highest")
    values, vectors = _attached(operator, values, vectors, which)
    return Eigen(values, vectors, errors, last.count, run.reason, last.exhausted, last)


def as_tree(function: Any, *example: Array) -> Any:
    """A plain function as a pytree: of the traced arrays that it closes over, if an example of its arguments is given.

    A function that is a pytree already is returned unchanged.
    """
    if isinstance(function, eqx.Module | jax.tree_util.Partial):
        return function
    if example and not trace_state_clean():
        return eqx.filter_closure_convert(function, *example)
    return jax.tree_util.Partial(function)


def _held(tree: Any) -> Any:
    """The arrays of a pytree without their derivatives."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree)


@eqx.filter_custom_jvp
def _attached(operator: Any, values: Array, vectors: Array, which: str) -> tuple[Array, Array]:
    """Eigenpairs found before, as functions of the operator."""
    return values, vectors


@_attached.def_jvp
def _attached_jvp(primals, tangents):
    operator, values, vectors, which = primals
    values, vectors = _attached(operator, values, vectors, which)  # a function of the operator in the second order too
    change = tangents[0]
    if not jax.tree.leaves(change):
        return (values, vectors), (jnp.zeros_like(values), jnp.zeros_like(vectors))

    def products(operator):
        return jax.lax.map(operator, vectors)

    moved = eqx.filter_jvp(products, (operator,), (change,))[1]  # rows dH v_i
    across = jnp.matmul(moved, vectors.T, precision="highest")  # <dH v_i, v_j>
    same = jnp.eye(values.size, dtype=bool)
    inside = jnp.where(same, 0, across / jnp.where(same, 1, values[:, None] - values[None, :]))
    outside = jax.lax.map(lambda pair: _complement(operator, vectors, which, *pair), (values, moved - across @ vectors))
    return (values, vectors), (jnp.diagonal(across), inside @ vectors + outside)


def _complement(operator: Any, vectors: Array, which: str, value: Array, pull: Array) -> Array:
    """Solve (lambda - H) u = r in the complement of the pairs found, beyond which no eigenvalue lies: it is definite there."""
    sign = {"largest": 1.0, "smallest": -1.0}.get(which, jnp.where(value < 0, -1.0, 1.0))

    def outer(x):
        return x - jnp.matmul(jnp.matmul(vectors, x, precision="highest"), vectors, precision="highest")

    def apply(x):
        rest = outer(x)
        return sign * outer(value * rest - operator(rest)) + jnp.abs(value) * (x - rest)

    def solve(apply, b):
        size = norm(b)
        accurate = max(1e-11, 10 * float(jnp.finfo(b.dtype).eps))
        found = lx.linear_solve(
            lx.FunctionLinearOperator(apply, jax.ShapeDtypeStruct(b.shape, b.dtype), lx.positive_semidefinite_tag),
            b / jnp.where(size > 0, size, 1),
            lx.CG(rtol=accurate, atol=accurate, max_steps=10 * b.size),
            throw=False,
        )
        return jnp.where(found.result == lx.RESULTS.successful, found.value * size, jnp.nan)

    return outer(jax.lax.custom_linear_solve(apply, sign * outer(pull), solve, symmetric=True))

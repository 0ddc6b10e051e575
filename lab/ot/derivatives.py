r"""Derivatives of the optimal value (envelope theorem) and of the optimal plan (implicit differentiation).

On the support of the optimal plan, $\nabla\Omega(t_j) = \alpha + \beta_j 1 - c_j$. Differentiate this and the
marginals. With $W = 1/\Omega''(T)$ on the support and 0 elsewhere ($1/\gamma$ for quadratic and k-sparse, $T/\gamma$
for entropic regularization), $w = W^\top 1$, and $D = dC + d(\nabla\Omega)(T)$, the last for a change of Omega:

$$ J(X) = W \odot (X - 1 (1^\top (W \odot X) / w)), \qquad H = \mathrm{diag}(W 1) - W \mathrm{diag}(w)^{-1} W^\top, $$
$$ H\, d\alpha = da + J(D) 1 - W (db / w), \qquad dT = J(d\alpha 1^\top - D) + W \mathrm{diag}(db / w) . $$

The rules are forward ones and linear in what changes, so JAX has them transposed: ``jvp``, ``grad``, ``jacobian``
work, and second derivatives too, each at the cost of one more linear solve. None of them differentiates iterations.

Two things to know. The support must be locally constant. At ties in a column, where the plan jumps, the derivative is
that of the chosen selection. And H has one null vector for each connected component of the support, the bipartite
graph of rows and columns: between components the marginals can only change by moving the support, and the derivative
is that of minimal norm, which keeps the mass of each component.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.ot.problem import Problem
from lab.ot.regularizers import Regularizer
from lab.ot.solution import Solution
from lab.ot.solve import solve

_DENSE = 512  # rows up to which H is built and factorized: m^2 numbers


class Optimum(NamedTuple):
    """An optimal plan and its potentials."""

    plan: Float[Array, "m n"]
    alpha: Float[Array, " m"]
    beta: Float[Array, " n"]


def value(problem: Problem, regularizer: Regularizer, **options: Any) -> Float[Array, ""]:
    r"""The optimal value, differentiable in the cost, the masses and the regularizer.

    $$ \partial_C V = T, \quad \partial_a V = \alpha, \quad \partial_b V = \beta, \quad
       \partial_\gamma V = \sum_j \partial_\gamma \Omega(t_j) $$

    The masses must change so that their totals stay equal; alpha and beta are known up to a constant that this
    condition cancels. T is the relaxed plan, which differs from ``plan`` where columns are tied; there V has these
    first derivatives still, but no second ones.

    Works under ``jit``, ``vmap``, ``jvp`` and ``grad``, and twice: the Hessian in the cost is that of ``plan``.

    Args:
        problem: cost (m, n) and masses (m,), (n,).
        regularizer: as in ``lab.ot.solve``.
        options: passed on to ``solve``, as they are (not traced).

    Returns:
        the value, in units of cost times mass.

    Source:
        Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.

    Examples:
        >>> import jax, numpy as np
        >>> from lab import ot
        >>> slope = jax.grad(ot.derivatives.value)(ot.problem(1 - np.eye(2)), ot.Entropic(1 / np.log(3)))
        >>> slope.cost.round(6).tolist()  # the plan
        [[0.375, 0.125], [0.125, 0.375]]
    """
    solution, at = _solve(problem, regularizer, options)
    if solution.axis == "rows":
        return _value(problem.T, regularizer, at, solution.relaxed_plan().T, solution.value)
    return _value(problem, regularizer, at, solution.relaxed_plan(), solution.value)


def plan(problem: Problem, regularizer: Regularizer, **options: Any) -> Float[Array, "m n"]:
    r"""The optimal plan, differentiable in the cost, the masses and the regularizer by the implicit function theorem.

    $$ F(T, \theta) = 0 \;\Rightarrow\; \partial_T F\, dT = -\partial_\theta F\, d\theta $$

    of the conditions of optimality F. The module's text says what the derivative is at ties and on a disconnected support. The
    solve must be accurate enough to find the support. Works under ``jit``, ``vmap``, ``jvp`` and ``grad``. Time of one
    derivative O(m^2 (m + n)) and memory O(m (m + n)) for m <= 512, above that O(m n) for each iteration of conjugate gradients.

    Args:
        problem: cost (m, n) and masses (m,), (n,).
        regularizer: as in ``lab.ot.solve``.
        options: passed on to ``solve``.

    Returns:
        the plan (m, n), in units of mass.

    Source:
        Krantz, Parks, The Implicit Function Theorem, 2002; the plan: Liu, Puigcerver, Blondel (2023).

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> ot.derivatives.plan(ot.problem(1 - np.eye(2)), ot.Entropic(1 / np.log(3))).round(6).tolist()
        [[0.375, 0.125], [0.125, 0.375]]
    """
    solution, at = _solve(problem, regularizer, options)
    if solution.axis == "rows":
        return implicit(problem.T, regularizer, at).plan.T
    return implicit(problem, regularizer, at).plan


def tangent(problem: Problem, regularizer: Regularizer, optimum: Optimum, change: Problem) -> Optimum:
    """The change of an optimum that is at hand, for a given change of cost and masses; forward mode, no solve.

    Args:
        optimum: of ``problem`` and ``regularizer``, for example from a ``Solution``.
        change: a ``Problem`` of changes, whose masses have equal total.
    """
    return jax.jvp(lambda p: implicit(p, regularizer, optimum), (problem,), (change,))[1]


@jax.custom_jvp
def implicit(problem: Problem, regularizer: Regularizer, optimum: Optimum) -> Optimum:
    """Return ``optimum`` unchanged, as a differentiable function of the problem that it is the optimum of.

    However the optimum was found, this attaches the implicit derivative to it.
    """
    return optimum


@implicit.defjvp
def _implicit_jvp(primals, tangents):
    problem, regularizer, optimum = primals
    change, regularizer_change, _ = tangents
    optimum = implicit(problem, regularizer, optimum)  # itself differentiable: second derivatives come out right
    plan = optimum.plan

    def gradient(regularizer, t):
        return jax.grad(lambda t: regularizer.penalty(t).sum())(t)

    _, moved = jax.jvp(lambda r: gradient(r, plan), (regularizer,), (regularizer_change,))
    _, curvature = jax.jvp(lambda t: gradient(regularizer, t), (plan,), (jnp.ones_like(plan),))
    support = plan > 0
    weights = jnp.where(support, 1 / jnp.where(support, curvature, 1), 0)
    total = weights.sum(0)
    total = jnp.where(total > 0, total, 1)

    def spread(x):  # J without the last factor W: deviations from the weighted mean of the column
        return x - ((weights * x).sum(0) / total)[None, :]

    source = change.cost + moved
    share = change.b / total
    right = change.a + (weights * spread(source)).sum(1) - weights @ share
    alpha = _solve_laplacian(weights, total, right)
    shift = alpha[:, None] - source
    dplan = weights * (spread(shift) + share[None, :])
    beta = share - (weights * shift).sum(0) / total
    return optimum, Optimum(dplan, alpha, beta)


@jax.custom_jvp
def _value(problem: Problem, regularizer: Regularizer, optimum: Optimum, relaxed: Array, value: Array) -> Array:
    return value


@_value.defjvp
def _value_jvp(primals, tangents):
    problem, regularizer, optimum, relaxed, _ = primals
    change, regularizer_change, *_ = tangents
    at = implicit(problem, regularizer, optimum)
    plan = at.plan + (relaxed - optimum.plan)  # the value of relaxed, the derivative of plan
    _, penalty = jax.jvp(lambda r: r.penalty(at.plan).sum(), (regularizer,), (regularizer_change,))
    slope = jnp.sum(plan * change.cost) + at.alpha @ change.a + at.beta @ change.b + penalty
    return _value(*primals), slope


def _solve(problem: Problem, regularizer: Regularizer, options: dict[str, Any]) -> tuple[Solution, Optimum]:
    """Solve without derivative. The optimum is that of the transposed problem when k bounds the rows."""
    found = solve(*jax.lax.stop_gradient((problem, regularizer)), **options)
    if found.axis == "rows":
        return found, Optimum(found.plan().T, found.beta, found.alpha)
    return found, Optimum(found.plan(), found.alpha, found.beta)


def _solve_laplacian(weights: Array, total: Array, right: Array) -> Array:
    """The minimum-norm solution of H x = right, made regular by adding the projector on the null space of H."""
    m = weights.shape[0]
    eps = jnp.finfo(weights.dtype).eps
    # Links too weak for the precision count as absent: across them H is singular in this dtype.
    label = _components(jax.lax.stop_gradient(weights > eps * weights.max()))
    size = jnp.zeros(m, weights.dtype).at[label].add(1)
    diagonal = weights.sum(1) - ((weights / total[None, :]) * weights).sum(1)
    scale = jax.lax.stop_gradient(jnp.maximum(diagonal.mean(), eps * weights.max()))

    def means(x):
        return (jnp.zeros_like(x).at[label].add(x) / jnp.maximum(size, 1))[label]

    right = right - means(right)
    if m <= _DENSE:
        off = ((weights / total[None, :]) @ weights.T) * (1 - jnp.eye(m, dtype=weights.dtype))
        matrix = jnp.diag(off.sum(1)) - off  # a Laplacian: no cancellation on the diagonal
        projector = (label[:, None] == label[None, :]) / size[label][None, :]
        solution = jax.scipy.linalg.solve(matrix + scale * projector, right, assume_a="pos")
    else:

        def regular(x):
            return (weights * (x[:, None] - ((weights * x[:, None]).sum(0) / total)[None, :])).sum(1) + scale * means(x)

        jacobi = jax.lax.stop_gradient(1 / (diagonal + scale / jnp.maximum(size[label], 1)))

        def iterate(matvec, y):
            return jax.scipy.sparse.linalg.cg(matvec, y, tol=50 * float(eps), maxiter=10 * m, M=lambda x: jacobi * x)[0]

        # JAX's own rule for cg cannot be transposed here: it lets the starting point depend on `right`.
        solution = jax.lax.custom_linear_solve(regular, right, iterate, symmetric=True)
    return solution - means(solution)


def _components(support: Array) -> Int[Array, " m"]:
    """For each row, the smallest row of its connected component in the bipartite graph of the support."""
    m = support.shape[0]

    def relabel(label):
        columns = jnp.where(support, label[:, None], m).min(0)
        rows = jnp.where(support, columns[None, :], m).min(1)
        label = jnp.minimum(label, rows)
        return label[label]

    def body(carry):
        label, _ = carry
        new = relabel(label)
        return new, jnp.any(new != label)

    label, _ = jax.lax.while_loop(lambda carry: carry[1], body, (jnp.arange(m), jnp.asarray(m > 0)))
    return label

r"""Derivatives of a solution by the implicit function theorem: one linear solve, whatever method found the optimum.

At the optimum the row potentials $\alpha$ solve $a - T(\theta, \alpha) 1 = 0$, where $T$ is the plan of the semi-dual,
whose columns hold at every $\alpha$, and $\theta$ the cost, the masses and the strength. Hence

$$ H\, d\alpha = da - \partial_\theta (T 1)\, d\theta, \qquad
   H = \partial_\alpha (T 1) = \mathrm{diag}(W 1) - W \mathrm{diag}(W^\top 1)^{-1} W^\top, \qquad W = 1 / \Omega''(T) , $$

W on the support and 0 elsewhere. Everything else, $\beta$, the plan, marginals and costs, follows from $\alpha$ by the
chain rule. The value needs no solve for its first derivative (envelope theorem):
$\partial_C V = T$, $\partial_a V = \alpha$, $\partial_b V = \beta$, $\partial_\gamma V = \sum_j \Omega(t_j) / \gamma$.

The rules are forward ones, linear in what changes and themselves differentiable, so forward and reverse mode work, and
second derivatives too. No iteration is differentiated.

**Ties.** Where k binds, columns are tied at the optimum: more than k entries have scores $\alpha_i - c_{ij} \ge v_j$, those
at $v_j$ share what the k-th may hold, and the ties persist when the problem changes a little. With S the entries above
$v_j$, G those at $v_j$, q = k - |S| and K large,

$$ dt_S = (ds + d\beta_j) / \gamma, \quad dt_G = K (ds - dv_j), \quad \sum_G dt = q\, d\big((v_j + \beta_j) / \gamma\big),
   \quad \sum_S dt + \sum_G dt = db_j : $$

a stiff spring of constant K holds each tie, which leaves a relative error of about $1/(K\gamma)$.

**Components.** H has one null vector for each connected component of the bipartite graph of the support: between
components masses can only move by a change of the support, and potentials are free up to a constant for each. The
derivative is that of minimal norm, which keeps the mass of each component, and its mean.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, Int

from lab.numerics.differentiation import is_traced, with_derivative_of, without_derivative
from lab.numerics.jit import jit
from lab.ot.geometry import Cloud, log_mass
from lab.ot.operators import nearness, rounding, semi_dual
from lab.ot.problem import Problem
from lab.ot.regularizers import Regularizer

_DENSE = 1024  # rows up to which H is built and factorized: m^2 numbers
_STEPS = 5000  # of conjugate gradients
_MISSED = 1e-4  # of the right-hand side: a larger residual is no solution
_TRACE = (
    "the error trace and the state of a solver have no derivative: they record its iterations, which are not "
    "differentiated. Use ot.sinkhorn.unrolled to differentiate through a fixed number of sweeps"
)


def attach(found: Any, problem: Problem | Cloud, regularizer: Regularizer) -> Any:
    """Make a solution differentiable in the problem and the regularizer that it solves.

    Args:
        found: the ``Solution`` of the same problem without derivatives.
        problem: cost and masses, or points and masses, which may carry derivatives.
        regularizer: likewise.

    Returns:
        the solution, of the same values.
    """
    if not is_traced(problem, regularizer):
        return found
    optimum = None if isinstance(problem, Cloud) else found.relaxed_optimum()
    strength = regularizer.cast(problem.a.dtype)
    fields = _fields(problem, strength, found.alpha, found.beta, found.value, optimum, found.axis)
    alpha, beta, value, row_error, column_error = fields
    trace, state = without_derivative((found.trace, found.state), (problem, regularizer), _TRACE)
    return replace(
        found,
        alpha=alpha,
        beta=beta,
        value=value,
        row_error=with_derivative_of(found.row_error, row_error),
        column_error=with_derivative_of(found.column_error, column_error),
        trace=trace,
        state=state,
        problem=problem,
        regularizer=regularizer,
    )


@jit
def _fields(problem: Any, regularizer: Any, alpha: Array, beta: Array, value: Array, optimum: Any, axis: str):
    """Potentials, value and errors, with their derivatives."""
    columns = axis == "columns"
    side, own, other = (problem, alpha, beta) if columns else (problem.T, beta, alpha)
    if optimum is not None and not columns:
        optimum = optimum.T
    value = _value(side, regularizer, own, other, value, optimum)
    own = implicit(side, regularizer, own)
    if isinstance(side, Cloud):
        like = _columns(side, regularizer, own)
        plan_rows, plan_columns = _sums(side, regularizer, own, like)
    else:
        at = semi_dual(side, regularizer, own, rounding(own, side.cost))
        like, plan_rows, plan_columns = at.beta, at.plan.sum(axis=1), at.plan.sum(axis=0)
    other = with_derivative_of(other, like)
    alpha, beta = (own, other) if columns else (other, own)
    errors = jnp.abs(plan_rows - side.a).sum(), jnp.abs(plan_columns - side.b).sum()
    level = jnp.where(jnp.isfinite(alpha), alpha, 0.0).sum() / jnp.isfinite(alpha).sum()
    shift = with_derivative_of(jnp.zeros_like(level), level)
    return (alpha - shift, beta + shift, value, *(errors if columns else errors[::-1]))


@jax.custom_jvp
def implicit(problem: Problem | Cloud, regularizer: Regularizer, alpha: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return the optimal row potentials unchanged, as a differentiable function of the problem that they solve."""
    return alpha


@implicit.defjvp
def _implicit_jvp(primals, tangents):
    problem, regularizer, alpha = primals
    alpha = implicit(problem, regularizer, alpha)  # itself differentiable: second derivatives come out right
    if isinstance(problem, Cloud):
        return alpha, _cloud_tangent(problem, regularizer, alpha, *tangents[:2])
    change, strength, _ = tangents
    links = _links(problem, regularizer, alpha)
    moved, _ = links.follow(jnp.negative(change.cost), strength.gamma, change.b)
    return alpha, links.solve(change.a - moved.sum(axis=1))


@jax.custom_jvp
def relaxed(problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"], plan: Float[Array, "m n"]) -> Array:
    """Return the plan that is optimal for the relaxation, where columns are tied, as a differentiable function."""
    return plan


@relaxed.defjvp
def _relaxed_jvp(primals, tangents):
    problem, regularizer, alpha, _ = primals
    change, strength, dalpha, _ = tangents
    links = _links(problem, regularizer, alpha)
    scores = jnp.where(jnp.isfinite(alpha), dalpha, 0.0)[:, None] - change.cost
    return relaxed(*primals), links.follow(scores, strength.gamma, change.b)[0]


@jax.custom_jvp
def _value(problem: Any, regularizer: Any, alpha: Array, beta: Array, value: Array, plan: Any) -> Array:
    """The optimal value, whose first derivatives need no solve; ``alpha`` and ``beta`` are not differentiated."""
    return value


@_value.defjvp
def _value_jvp(primals, tangents):
    problem, regularizer, alpha, beta, _, plan = primals
    change, strength, *_ = tangents
    alpha = implicit(problem, regularizer, alpha)
    if isinstance(problem, Cloud):
        beta = with_derivative_of(beta, _columns(problem, regularizer, alpha))
        _, slope = jax.jvp(lambda p, r: _cloud_dual(p, r, alpha, beta), (problem, regularizer), (change, strength))
        return _value(*primals), slope
    at = semi_dual(problem, regularizer, alpha, rounding(alpha, problem.cost))
    beta = with_derivative_of(beta, at.beta)
    plan = relaxed(problem, regularizer, alpha, plan)
    penalty = regularizer.relaxed_penalty(plan).sum() / regularizer.gamma
    slope = (plan * change.cost).sum() + _dot(alpha, change.a) + _dot(beta, change.b) + penalty * strength.gamma
    return _value(*primals), slope


def _dot(potentials: Array, change: Array) -> Array:
    """Points without mass are absent, and their masses have no derivative."""
    return jnp.where(jnp.isfinite(potentials), potentials, 0.0) @ change


class _Links(NamedTuple):
    """How the plan follows scores: for each column the equations in the change of beta and of the tied score."""

    free: Float[Array, "m n"]  # 1 / Omega'' on the support, tied entries apart
    tied: Float[Array, "m n"] | None  # K at tied entries
    own: Float[Array, " n"]  # the inverse of the 2 x 2 matrix of the column
    cross: Float[Array, " n"]
    level: Float[Array, " n"]
    share: Float[Array, " n"]  # mass of the tied entries
    relative: Float[Array, "m n"]  # gradient of Omega over gamma: by what scores change with log gamma
    gamma: Float[Array, ""]

    def follow(self, scores: Array, dgamma: Array, db: Array) -> tuple[Array, Array]:
        """The change of the plan, and of the column potentials."""
        felt = scores - self.relative * dgamma
        first = db - (self.free * felt).sum(axis=0)
        if self.tied is None:
            dbeta = self.own * first
            return self.free * (felt + dbeta[None, :]), dbeta
        second = self.share * (dgamma / self.gamma)
        first, second = first + second, (self.tied * scores).sum(axis=0) + second
        dbeta, dv = self.own * first + self.cross * second, self.cross * first + self.level * second
        return self.free * (felt + dbeta[None, :]) + self.tied * (scores - dv[None, :]), dbeta

    def pulls(self, x: Array) -> Array:
        """H x."""
        zero = jnp.zeros_like(self.own)
        return self.follow(jnp.broadcast_to(x[:, None], self.free.shape), jnp.zeros_like(self.gamma), zero)[0].sum(
            axis=1
        )

    def dense(self) -> Float[Array, "m m"]:
        """H as a Laplacian: terms of one sign, and no cancellation on the diagonal."""
        off = (self.free * self.own[None, :]) @ self.free.T
        if self.tied is not None:
            mixed = (self.free * self.cross[None, :]) @ self.tied.T
            off = off - mixed - mixed.T + (self.tied * self.level[None, :]) @ self.tied.T
        off = off * (1 - jnp.eye(off.shape[0], dtype=off.dtype))
        return jnp.diag(off.sum(axis=1)) - off

    def solve(self, right: Array) -> Array:
        """The solution of H x = right of minimal norm: H is made regular by the projector on its null space."""
        weights = self.free if self.tied is None else self.free + self.tied
        m, eps = weights.shape[0], jnp.finfo(weights.dtype).eps
        # Links too weak for the precision count as absent: across them H is singular in this dtype.
        label = _components(jax.lax.stop_gradient(self.free > eps * self.free.max()) | (weights > self.free))
        size = jnp.zeros(m, weights.dtype).at[label].add(1)
        total = jnp.maximum(weights.sum(axis=0), jnp.finfo(weights.dtype).tiny)
        diagonal = weights.sum(axis=1) - ((weights / total[None, :]) * weights).sum(axis=1)
        scale = jax.lax.stop_gradient(jnp.maximum(diagonal.mean(), eps * weights.max()))
        scale = jnp.where(scale > 0, scale, 1)

        def means(x):
            return (jnp.zeros_like(x).at[label].add(x) / jnp.maximum(size, 1))[label]

        right = right - means(right)
        if m <= _DENSE:
            projector = (label[:, None] == label[None, :]) / size[label][None, :]
            operator = lx.MatrixLinearOperator(self.dense() + scale * projector, lx.positive_semidefinite_tag)
            solution = lx.linear_solve(operator, right, lx.Cholesky()).value
        else:
            jacobi = jax.lax.stop_gradient(1 / (diagonal + scale / jnp.maximum(size[label], 1)))
            solution = _conjugate_gradients(lambda x: self.pulls(x) + scale * means(x), right, jacobi)
        return solution - means(solution)


def _links(problem: Problem, regularizer: Regularizer, alpha: Float[Array, " m"]) -> _Links:
    """The linearization of the plan of the semi-dual at row potentials, tied columns relaxed."""
    cost = problem.cost
    at = semi_dual(problem, regularizer, alpha, rounding(alpha, cost))
    gamma = jnp.asarray(regularizer.gamma, cost.dtype)
    free = regularizer.inverse_curvature(at.plan)
    scores = alpha[:, None] - cost
    within = nearness(cost.dtype) * (cost.max() - cost.min())
    ties = jax.lax.stop_gradient(regularizer.ties(scores, at.plan, within))
    relative = jnp.where(at.plan > 0, scores + at.beta[None, :], 0.0) / gamma
    if ties is None:
        total = free.sum(axis=0)
        own = jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1), 0)
        return _Links(free, None, own, own, own, jnp.zeros_like(own), relative, gamma)
    share = jnp.where(ties, at.plan, 0.0).sum(axis=0)
    places = (ties & (at.plan > 0)).sum(axis=0) / gamma
    free = jnp.where(ties, 0.0, free)
    tied = ties * jnp.finfo(cost.dtype).eps ** -0.45 / gamma
    any_tied = ties.any(axis=0)
    a, b = free.sum(axis=0) + places, places
    d = jnp.where(any_tied, tied.sum(axis=0) + places, 1)
    a = jnp.where(a > 0, a, 1)
    # the determinant without cancellation: (F + q)(E + q) - q^2 = F E + F q + E q
    det = jnp.where(any_tied, (d - places) * a + (a - places) * places, a)
    present = (free.sum(axis=0) + places) > 0
    own, cross, level = (jnp.where(present, x / det, 0) for x in (d, -b, a))
    return _Links(free, tied, own, cross, jnp.where(any_tied, level, 0), share, relative, gamma)


def _conjugate_gradients(matvec: Any, right: Array, jacobi: Array) -> Array:
    """Solve by lineax, scaled to a unit diagonal and right-hand side; NaN where the residual does not fall enough."""
    tolerance = 1e4 * float(jnp.finfo(right.dtype).eps)
    structure = jax.ShapeDtypeStruct(right.shape, right.dtype)
    root = jnp.sqrt(jacobi)

    def iterate(matvec, y):
        unit = jnp.abs(root * y).max()
        unit = jnp.where(unit > 0, unit, 1)
        scaled = lx.FunctionLinearOperator(lambda z: root * matvec(root * z), structure, lx.positive_semidefinite_tag)
        solver = lx.CG(rtol=tolerance, atol=tolerance, max_steps=min(10 * right.shape[0], _STEPS))
        z = lx.linear_solve(scaled, root * y / unit, solver, throw=False).value
        missed = jnp.abs(scaled.mv(z) - root * y / unit).max()
        return jnp.where(missed <= _MISSED, unit * root * z, jnp.nan)

    return jax.lax.custom_linear_solve(matvec, right, iterate, symmetric=True)


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


def _scaled(cloud: Cloud, regularizer: Any, alpha: Array) -> tuple[Array, Array]:
    """Row potentials over epsilon, minus infinity where there is no mass, and epsilon."""
    epsilon = jnp.asarray(regularizer.gamma, alpha.dtype)
    alive = jnp.isfinite(alpha)
    return jnp.where(alive, jnp.where(alive, alpha, 0.0) / epsilon, -jnp.inf), epsilon


def _columns(cloud: Cloud, regularizer: Any, alpha: Array) -> Array:
    """The column potentials that make the columns hold."""
    u, epsilon = _scaled(cloud, regularizer, alpha)
    v = log_mass(cloud.b) - cloud.columns(u, epsilon)
    return jnp.where(cloud.b > 0, epsilon * (jnp.where(cloud.b > 0, v, 0.0) + 1), -jnp.inf)


def _sums(cloud: Cloud, regularizer: Any, alpha: Array, beta: Array) -> tuple[Array, Array]:
    """Row and column sums of the plan, which is never formed."""
    u, epsilon = _scaled(cloud, regularizer, alpha)
    v = _scaled(cloud, regularizer, beta)[0] - 1
    return jnp.exp(u + cloud.rows(v, epsilon)), jnp.exp(v + cloud.columns(u, epsilon))


def _cloud_dual(cloud: Cloud, regularizer: Any, alpha: Array, beta: Array) -> Array:
    rows, _ = _sums(cloud, regularizer, alpha, beta)
    return _dot(alpha, cloud.a) + _dot(beta, cloud.b) - regularizer.gamma * rows.sum()


def _cloud_tangent(cloud: Cloud, regularizer: Any, alpha: Array, change: Cloud, strength: Any) -> Array:
    """As for a matrix, by products with the plan: time O(m n d) for each iteration of conjugate gradients."""

    def rows(cloud, regularizer):
        return _sums(cloud, regularizer, alpha, _columns(cloud, regularizer, alpha))[0]

    _, moved = jax.jvp(rows, (cloud, regularizer), (change, strength))
    u, epsilon = _scaled(cloud, regularizer, alpha)
    v = _scaled(cloud, regularizer, _columns(cloud, regularizer, alpha))[0] - 1
    alive, taken = cloud.a > 0, cloud.b > 0
    held, count = rows(cloud, regularizer), alive.sum()

    def means(x):
        return jnp.where(alive, jnp.where(alive, x, 0.0).sum() / count, 0.0)

    scale = jax.lax.stop_gradient(held.sum() / count)

    def pulls(x):
        across = cloud.T.apply(v, u, epsilon, x) / jnp.where(taken, cloud.b, 1)
        return jnp.where(alive, held * x - cloud.apply(u, v, epsilon, across) + scale * means(x), x)

    right = epsilon * (change.a - moved)
    right = jnp.where(alive, right - means(right), 0.0)
    jacobi = jax.lax.stop_gradient(jnp.where(alive, 1 / jnp.where(alive, held, 1.0), 1.0))
    solution = _conjugate_gradients(pulls, right, jacobi)
    return solution - means(solution)

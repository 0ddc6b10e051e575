r"""What can be said about k-sparse transport before and after solving it: bounds, certificates, units."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, Range, arrays, whole
from lab.numerics.jit import jit
from lab.ot.problem import Problem
from lab.ot.rounding import round_plan

type Scalar = float | int | Float[Array, ""]
type Count = int | np.integer | Int[Array, ""]


class Bounds(NamedTuple):
    """An interval that contains the optimal value."""

    lower: Float[Array, ""]
    upper: Float[Array, ""]


def _check_k(k: Count, m: int) -> None:
    if not isinstance(k, Tracer):
        whole("k", int(k) if isinstance(k, jax.Array) and k.dtype.kind in "iu" else k, 1, m)


_STRENGTH = {"gamma": POSITIVE, "linear_program": Range()}


@arrays(**_STRENGTH)
def bounds(problem: Problem, linear_program: Scalar, gamma: Scalar, k: Count) -> Bounds:
    r"""Bounds on the value of k-sparse transport from the value LP of the linear program.

    $$ \mathrm{LP} + \gamma L \le V_k(\gamma) \le \mathrm{LP} + \gamma U, \quad
       L = \tfrac12 \max\Big( \sum_{ij} \big(\tfrac{a_i}{n} + \tfrac{b_j}{m} - \tfrac{M}{mn}\big)^2,\;
           \tfrac{1}{k} \|b\|_2^2 \Big), \quad U = \tfrac12 \|b\|_2^2 $$

    for total mass $M$; for $k = m$ (quadratic transport) also $U = \frac12 \min(\|a\|_2^2, \|b\|_2^2)$. The first
    term of $L$ is the projection of 0 on the marginals. The second holds because
    $\|t\|_1^2 / k \le \|t\|_{k\mathrm{sup}}^2 \le \|t\|_1^2$, and makes the interval a point at $k = 1$.

    ``gamma`` and ``k`` may be traced.

    Args:
        linear_program: optimal value without regularization, in units of cost times mass.
        gamma: positive strength, in units of cost per mass.
        k: 1 <= k <= m, most nonzeros in a column.

    References: Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023; Blondel, Seguy, Rolet,
        Smooth and Sparse Optimal Transport, AISTATS 2018.
    """
    _check_k(k, problem.a.size)
    return _bounds(problem, linear_program, gamma, jnp.asarray(k))


@jit
def _bounds(problem: Problem, linear_program: Scalar, gamma: Scalar, k: Array) -> Bounds:
    _, a, b = problem
    m, n = a.shape[0], b.shape[0]
    aa, bb, mass = jnp.sum(a**2), jnp.sum(b**2), jnp.sum(a)
    projection = aa / n + bb / m - mass**2 / (m * n)
    lower = jnp.maximum(projection, bb / k) / 2
    upper = jnp.where(k >= m, jnp.minimum(aa, bb), bb) / 2
    return Bounds(linear_program + gamma * lower, linear_program + gamma * upper)


@arrays()
def k_support_norm(t: Float[Array, " m"], k: Count) -> Float[Array, ""]:
    r"""The k-support norm, whose unit ball is the convex hull of the k-sparse vectors of the Euclidean unit ball.

    With $w$ the magnitudes in decreasing order, and the unique $r \in \{0, \dots, k-1\}$ such that
    $w_{k-r-1} > \frac{1}{r+1} \sum_{i \ge k-r} w_i \ge w_{k-r}$ (where $w_0 = \infty$),

    $$ \|t\|_{k\mathrm{sup}}^2 = \sum_{i < k-r} w_i^2 + \frac{1}{r+1} \Big( \sum_{i \ge k-r} w_i \Big)^2 . $$

    It is the 1-norm for k = 1 and the 2-norm for k = m. ``k`` may be traced. Where the norm is not differentiable
    (at entries that are 0, for k < m) ``grad`` gives a subgradient. O(m log m).

    References: Argyriou, Foygel, Srebro, Sparse prediction with the k-support norm, NeurIPS 2012, proposition 2.1.
    """
    _check_k(k, t.size)
    squared = _k_support_squared(t, k)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)  # grad at 0 is 0, not NaN


@arrays(plan=NOT_NEGATIVE, gamma=POSITIVE)
def relaxed_primal(plan: Float[Array, "m n"], cost: Float[Array, "m n"], gamma: Scalar, k: Count) -> Float[Array, ""]:
    r"""The objective that the k-sparse dual solves: the primal with the biconjugate in place of the regularizer.

    $$ \langle T, C \rangle + \sum_j \Omega_k^{**}(t_j), \qquad
       \Omega_k^{**}(t) = \tfrac{\gamma}{2} \|t\|_{k\mathrm{sup}}^2 \quad (t \ge 0) $$

    Its minimum over $U(a, b)$ is the optimal value of the dual. On a column with at most k nonzeros it equals the
    original $\frac{\gamma}{2} \|t\|_2^2$. ``gamma`` and ``k`` may be traced. Unlike ``KSparse.relaxed_penalty``, which
    iterates and is faster, this sorts, and is differentiable in the plan.

    References: Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.
    """
    _check_k(k, plan.shape[0])
    return jnp.sum(plan * cost) + gamma / 2 * jnp.sum(jax.vmap(_k_support_squared, (1, None))(plan, k))


@arrays(value=Range(), plan=NOT_NEGATIVE, gamma=POSITIVE)
def duality_gap(
    problem: Problem, value: Scalar, plan: Float[Array, "m n"], gamma: Scalar, k: Count
) -> Float[Array, ""]:
    r"""How far a dual value can be from the optimum, certified by weak duality.

    Every dual value is at most $V_k$, and $V_k$ is at most the relaxed primal of every feasible plan. The plan given
    is rounded to a feasible one first, so any plan certifies; the nearer to the optimal relaxed plan, the sharper.

    Args:
        value: dual or semi-dual objective at any potentials.
        plan: (m, n), non-negative, not necessarily feasible.

    Returns:
        A number >= 0 (up to rounding) that bounds ``V_k - value``.
    """
    feasible = round_plan(plan, problem.a, problem.b)
    return relaxed_primal(feasible, problem.cost, gamma, k) - value


@arrays(gap=NOT_NEGATIVE, epsilon=POSITIVE)
def vertex_bound(problem: Problem, gap: Scalar, epsilon: Scalar) -> Float[Array, ""]:
    r"""How far the entropic plan can be from the optimal vertex, in L1, when epsilon is small against the vertex gap.

    $$ \|T_\varepsilon - T^*\|_1 \le 6\, n^2 M e^{-\Delta / (M \varepsilon)} \quad \text{where} \quad
       \varepsilon < \frac{\Delta / M}{1 + 2 \log n}, $$

    n the larger side and M the total mass, for equal masses and a unique optimum; infinite where epsilon is larger. It is
    very loose: a curve to look at, not a rule for a threshold.

    Args:
        problem: cost (m, n) and masses (m,), (n,); its sides and its mass are used.
        gap: of ``vertex_gap``, in units of cost times mass.
        epsilon: strength of the entropy, in units of cost.

    Returns:
        the bound, in units of mass.

    Raises:
        ValueError: a negative gap, or an epsilon that is not positive.

    Source:
        Tang et al., Accelerating Sinkhorn algorithm with sparse Newton iterations, ICLR 2024, its theorem at infinitely many
        sweeps.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> crossed = ot.problem(1 - np.eye(2))  # of vertex gap 1
        >>> round(float(ot.vertex_bound(crossed, 1.0, 0.05) / np.exp(-20)), 6), float(ot.vertex_bound(crossed, 1.0, 1.0))
        (24.0, inf)
    """
    n, mass = max(problem.cost.shape[-2:]), problem.a.sum()
    relative = gap / mass / jnp.asarray(epsilon)
    return jnp.where(relative > 1 + 2 * np.log(n), 6 * n**2 * mass * jnp.exp(-relative), jnp.inf)


@arrays(plan=NOT_NEGATIVE)
def second_singular_value(plan: Float[Array, "m n"]) -> Float[Array, ""]:
    r"""$s_2$ of $\mathrm{diag}(T1)^{-1/2}\, T\, \mathrm{diag}(T^\top 1)^{-1/2}$, in [0, 1]; its largest is 1.

    Near the optimum a Sinkhorn sweep multiplies the error by $s_2^2$: $\ln 10 / (-2 \ln s_2)$ sweeps a decade. It is the
    maximal correlation of a row and a column drawn from the plan: 0 for the product of the marginals (and where a side
    has one point), 1 where the plan falls into parts. Rows and columns without mass are left out. Time
    O(m n l + l^3) with l the smaller side; works under ``jit`` and ``vmap``.

    Args:
        plan: (m, n), non-negative.

    Returns:
        the second singular value, without unit.

    Raises:
        ValueError: a plan that is not a table of finite numbers of at least 0.

    Source:
        Knight, The Sinkhorn-Knopp algorithm: convergence and applications, SIMAX 2008.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ot
        >>> round(float(ot.second_singular_value(jnp.asarray([[0.375, 0.125], [0.125, 0.375]]))), 6)  # 3/4 - 1/4
        0.5
    """
    plan = plan if plan.shape[0] <= plan.shape[1] else plan.T
    if plan.shape[0] == 1:
        return jnp.zeros((), plan.dtype)
    rows, columns = (jnp.where(mass > 0, mass, jnp.inf) for mass in (plan.sum(axis=1), plan.sum(axis=0)))
    scaled = plan / jnp.sqrt(rows)[:, None] / jnp.sqrt(columns)[None, :]
    return jnp.sqrt(jnp.clip(jnp.linalg.eigvalsh(scaled @ scaled.T)[-2], 0, 1))


class Rate(NamedTuple):
    """How fast Sinkhorn's sweeps converge near the optimum."""

    s2: Float[Array, ""]  # second singular value of the scaled plan
    spectral_gap: Float[Array, ""]  # 1 - s_2^2, what a sweep takes off the error
    sweeps_per_decade: Float[Array, ""]  # ln 10 / -ln s_2^2, sweeps for a tenth of the error


@arrays(plan=NOT_NEGATIVE)
def sinkhorn_rate(plan: Float[Array, "m n"]) -> Rate:
    r"""How fast Sinkhorn's sweeps converge near the optimum, from the optimal plan.

    A sweep multiplies the error by $s_2^2$, the square of ``second_singular_value``.

    Args:
        plan: (m, n), the optimal entropic one.

    Returns:
        a ``Rate``: $s_2$, the spectral gap $1 - s_2^2$, and the sweeps a decade $\ln 10 / (-\ln s_2^2)$.

    Raises:
        ValueError: as ``second_singular_value``.

    Source:
        Knight, The Sinkhorn-Knopp algorithm: convergence and applications, SIMAX 2008.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import ot
        >>> rate = ot.sinkhorn_rate(jnp.asarray([[0.375, 0.125], [0.125, 0.375]]))
        >>> round(float(rate.spectral_gap), 6), round(float(rate.sweeps_per_decade), 3)  # log 10 / log 4
        (0.75, 1.661)
    """
    s2 = second_singular_value(plan)
    square = s2**2
    rate = -jnp.log(jnp.maximum(square, jnp.finfo(plan.dtype).tiny))
    return Rate(s2, 1 - square, jnp.log(10.0) / jnp.abs(rate))


@chosen
@arrays()
@jit
def cost_unit(cost: Float[Array, "m n"], unit: Literal["mean", "largest", "one"] | str) -> Float[Array, ""]:
    """What strengths are counted in: the mean or the largest of the costs above the least, or the cost's own unit.

    1 for a constant cost, of which every strength gives one plan.
    """
    if unit == "one":
        return jnp.ones((), cost.dtype)
    spread = (cost.mean() if unit == "mean" else cost.max()) - cost.min()
    return jnp.where(spread > 0, spread, 1.0)


@arrays(gamma=POSITIVE)
@jit
def effective_strength(problem: Problem, linear_program: Scalar, gamma: Scalar) -> Float[Array, ""]:
    r"""The strength of the regularization without units, $\gamma \|b\|_2^2 / \mathrm{LP}$.

    Entries of a plan scale as 1 / (mn), so the same gamma acts differently at another size or cost; this number
    compares. Around 1 the regularization weighs as much as the cost.
    """
    return gamma * jnp.sum(problem.b**2) / linear_program


def _k_support_squared(t: Array, k: Count) -> Array:
    w = jnp.sort(jnp.abs(t), descending=True)
    tail = jnp.cumsum(w[::-1])[::-1]  # tail[p] = sum of w[p:]
    place = jnp.arange(t.shape[0])
    share = jnp.maximum(jnp.asarray(k) - place, 1).astype(w.dtype)  # r + 1, with p = k - r - 1 from 0
    # Once the tail's mean over its r + 1 places reaches w[p], it does for every later p: the first p is the one.
    # At p = k - 1 it always does, rounding included.
    p = jnp.argmax((tail >= share * w) | (place >= k - 1))
    head = jnp.sum(jnp.where(place < p, w**2, 0))
    return head + tail[p] ** 2 / share[p]

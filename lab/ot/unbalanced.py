r"""Entropic transport with marginals that may be missed at a price.

$$ \min_{T \ge 0} \langle T, C\rangle + \varepsilon\, h(T) + \sum_i \kappa_i\, \mathrm{KL}\big((T1)_i \mid a_i\big)
   + \sum_k \lambda_k\, \mathrm{KL}\big((T^\top 1)_k \mid b_k\big), \qquad
   h(T) = \sum_{ik} T_{ik} \log T_{ik} - \sum_{ik} T_{ik} + \sum_i a_i, $$

$\mathrm{KL}(x \mid y) = x \log(x/y) - x + y$. An infinite weight makes its marginal hold exactly: both infinite is
balanced transport, and where the rows hold $h$ is the entropy of ``Entropic``. With the row potentials eliminated,

$$ G(g) = \sum_i \psi_{\kappa_i}(a_i, \varphi_i) + \sum_k \psi_{\lambda_k}(b_k, g_k) + \varepsilon \sum_i (a_i - r_i),
   \qquad \psi_\lambda(m, x) = \lambda m (1 - e^{-x/\lambda}) \to m x, $$
$$ \varphi_i = \varepsilon f_i (\log a_i - L_i), \quad L_i = \mathrm{logsumexp}_k \tfrac{g_k - C_{ik}}{\varepsilon}, \quad
   f_i = \tfrac{\kappa_i}{\kappa_i + \varepsilon}, \quad r_i = a_i e^{-\varphi_i/\kappa_i}, \quad
   T_{ik} = r_i\, e^{(g_k - C_{ik})/\varepsilon - L_i}, $$
$$ \nabla G = t - s, \quad t_k = b_k e^{-g_k/\lambda_k}, \quad s = T^\top 1, \qquad
   -\nabla^2 G = \tfrac1\varepsilon \big(\mathrm{diag}(s) - T^\top \mathrm{diag}(f/r)\, T\big)
   + \mathrm{diag}(t/\lambda) $$

is concave in as many unknowns as there are columns. Newton's method needs some 5 steps where scaling,
$g_k \leftarrow \frac{\lambda_k}{\lambda_k + \varepsilon} (g_k + \varepsilon \log (b_k / s_k))$, contracts by about
$\lambda / (\lambda + \varepsilon)$ at best. A row or column of mass 0 is absent: it gets nothing, and has no derivative.

Sources: Zhang, Ren, He, P2OT, ICLR 2024 (weighted KL); Chizat, Peyre, Schmitzer, Vialard, Scaling algorithms for
unbalanced optimal transport problems, Math. Comp. 2018 (scaling). The semi-dual and its derivatives are derived here.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.linalg import cho_factor, cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.ot.geometry import log_mass
from lab.ot.problem import Problem, one
from lab.ot.regularizers import Entropic
from lab.ot.solution import Solution, judged

type Name = Literal["newton", "scaling"] | str
_LIMITS = {"newton": 200, "scaling": 20_000}
_FIRST = 0.1  # of the mean cost: the strength at which a cold start begins
_FACTOR = 0.25
_LOOSE = 0.05  # error at which the strength falls
_LOST = 1.0  # error of a start that is no better than none
_TRIALS = 40  # of a line search
_FAR = 20.0  # of a mass, in logarithms, from what is asked for: beyond it may not be there in float32
_PATIENCE = {"newton": 30, "scaling": 200}  # steps without progress


class Terms(NamedTuple):
    """What the objective consists of; everything in it is traced."""

    problem: Problem  # totals may differ; rows and columns of mass 0 are absent
    epsilon: Float[Array, ""]
    rows: Float[Array, " m"]  # 1 / kappa
    columns: Float[Array, " n"]  # 1 / lambda


class Evaluation(NamedTuple):
    """The semi-dual at column potentials g."""

    value: Float[Array, ""]
    plan: Float[Array, "m n"]
    phi: Float[Array, " m"]  # the best row potentials; 0 where there is no mass
    mass: Float[Array, " m"]  # r, of each row of the plan
    wanted: Float[Array, " n"]  # t
    gradient: Float[Array, " n"]  # t - s


def semi_dual(terms: Terms, g: Float[Array, " n"]) -> Evaluation:
    """G, its plan and its gradient. Time and memory O(m n)."""
    (cost, a, b), epsilon, rows, columns = terms
    there, here = a > 0, b > 0
    a, b = jnp.where(there, a, 0), jnp.where(here, b, 0)  # no derivative where there is nothing
    scores = jnp.where(here[None, :], (g[None, :] - jnp.where(there[:, None], cost, 0)) / epsilon, -jnp.inf)
    level = jax.nn.logsumexp(scores, axis=1)
    phi = jnp.where(there, epsilon / (1 + epsilon * rows) * (jnp.log(jnp.where(there, a, 1)) - level), 0)
    mass = a * jnp.exp(-phi * rows)
    plan = mass[:, None] * jnp.exp(scores - level[:, None])
    wanted = b * jnp.exp(-g * columns)
    value = _price(a, phi, rows) + _price(b, g, columns) + epsilon * (a - mass).sum()
    return Evaluation(value, plan, phi, mass, wanted, wanted - plan.sum(axis=0))


def _price(mass: Array, potential: Array, inverse: Array) -> Array:
    """The sum of psi, exact as the inverse weight goes to 0."""
    soft = inverse > 0
    safe = jnp.where(soft, inverse, 1)
    return (mass * jnp.where(soft, -jnp.expm1(-potential * safe) / safe, potential)).sum()


def hessian(terms: Terms, at: Evaluation) -> Float[Array, "n n"]:
    """Minus the Hessian of G, positive definite: each column is shifted by rounding of its own mass.

    A Laplacian and a positive diagonal, so that no digits cancel. Time O(m n^2), memory O(m n + n^2).
    """
    free = terms.epsilon * terms.rows / (1 + terms.epsilon * terms.rows)  # 1 - f
    rate = jnp.where(at.mass > 0, (1 - free) / jnp.where(at.mass > 0, at.mass, 1), 0)
    n, dtype = at.wanted.shape[0], at.plan.dtype
    joint = (at.plan * rate[:, None]).T @ at.plan * (1 - jnp.eye(n, dtype=dtype))
    # a column that whole rows serve has no curvature left but this, and its gradient is rounding
    shift = jax.lax.stop_gradient(10 * jnp.finfo(dtype).eps * at.plan.sum(axis=0) + jnp.finfo(dtype).tiny)
    diagonal = (joint.sum(axis=1) + free @ at.plan + shift) / terms.epsilon + at.wanted * terms.columns
    return jnp.diag(jnp.where(terms.problem.b > 0, diagonal, 1)) - joint / terms.epsilon


@jax.custom_jvp
def implicit(terms: Terms, g: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return the optimal ``g`` unchanged, as a differentiable function of the terms that it is the optimum of.

    By the implicit function theorem, whatever method found it: one n x n solve for each derivative. The rule is itself
    differentiable, so second derivatives are right too.
    """
    return g


@implicit.defjvp
def _implicit_jvp(primals, tangents):
    terms, g = primals
    g = implicit(terms, g)
    _, moved = jax.jvp(lambda terms: semi_dual(terms, g).gradient, (terms,), (tangents[0],))
    return g, cho_solve(cho_factor(hessian(terms, semi_dual(terms, g)), lower=True), moved)


class Relaxed(Solution):
    r"""The answer of ``unbalanced.solve`` and ``partial.solve``: a ``Solution`` whose marginals need not be a and b.

    The plan is $e^{(\alpha_i + \beta_k - C_{ik})/\varepsilon - 1}$, and value, potentials and plan are differentiable in
    cost, masses, strength and weights without unrolling. The potentials are unique unless all weights are infinite.
    ``row_error`` and ``column_error`` are the distances (L1) of the marginals from what the potentials ask for,
    $a_i e^{-\varphi_i/\kappa_i}$ with $\varphi = \alpha - \varepsilon$ and $b_k e^{-\beta_k/\lambda_k}$: the residuals of
    the optimality conditions, and the distances from a and b where weights are infinite.
    """

    slack: Float[Array, "*batch"] | None = None  # potential of the virtual column, of partial.solve
    near: tuple[Float[Array, "*batch m"], Float[Array, "*batch n"]] | None = None  # potentials moved against each other

    def plan(self) -> Float[Array, "m n"]:
        """The plan, dense. Time and memory O(m n)."""
        potentials = (self.alpha, self.beta) if self.near is None else self.near
        return _plan(self.problem, self.regularizer.gamma, *potentials)  # type: ignore[arg-type]

    def relaxed_plan(self) -> Float[Array, "m n"]:
        """The plan: it is optimal as it is."""
        return self.plan()

    @property
    def kl_value(self):
        """Not defined: where marginals are free, the plan itself depends on what the entropy is relative to.

        Subtract epsilon (log a_i + log b_j) from the cost to penalize KL(T | a b^T) instead of the entropy.
        """
        raise TypeError(
            "kl_value needs marginals that hold: with Unbalanced or Partial the plan itself depends on what the entropy is "
            "relative to. Subtract epsilon * (log(a)[:, None] + log(b)) from the cost to penalize KL(T | a b')"
        )


@jit
def _plan(problem: Problem, epsilon: Array, alpha: Array, beta: Array) -> Array:
    cost, a, b = problem
    present = (a > 0)[:, None] & (b > 0)[None, :]
    scores = (alpha[:, None] + beta[None, :] - jnp.where(present, cost, 0)) / epsilon - 1
    return jnp.where(present, jnp.exp(jnp.where(present, scores, 0)), 0)


class Work(NamedTuple):
    """What the methods iterate on."""

    terms: Terms
    start: Float[Array, " n"]
    cold: Bool[Array, ""]  # whether the start is a mere guess
    tolerance: Float[Array, ""]  # L1, of the mass


class State(NamedTuple):
    """An iterate of either method."""

    g: Float[Array, " n"]
    epsilon: Float[Array, ""]
    at: Evaluation
    residual: Float[Array, ""]  # |t - s|_1
    least: Float[Array, ""]  # the smallest one at this strength
    waited: Int[Array, ""]  # steps since

    @property
    def error(self) -> Array:
        """The residual as a part of the mass, of the plan or of what is asked for, whichever is more."""
        return self.residual / jnp.maximum(self.at.mass.sum(), self.at.wanted.sum())


def _begin(work: Work, epsilon: Array) -> State:
    at = semi_dual(work.terms._replace(epsilon=epsilon), work.start)
    residual = jnp.abs(at.gradient).sum()
    return State(work.start, epsilon, at, residual, residual, jnp.int32(0))


def _newton_init(work: Work) -> State:
    """At the strength asked for from a start that is near, else at a large one."""
    epsilon = work.terms.epsilon
    warm = _begin(work, epsilon)
    first = jnp.maximum(epsilon, _FIRST * _spread(work.terms.problem)[0])
    return jax.tree.map(partial(jnp.where, work.cold | ~(warm.error < _LOST)), _begin(work, first), warm)


def _spread(problem: Problem) -> tuple[Array, Array]:
    """The mean and the greatest cost, counted from the least, where there is mass."""
    cost, a, b = problem
    present = (a > 0)[:, None] & (b > 0)[None, :]
    least = jnp.where(present, cost, jnp.inf).min()
    above = jnp.where(present, cost - least, 0)
    return above.sum() / present.sum(), above.max()


def _newton_step(work: Work, state: State) -> State:
    """Scale the columns, shift them all, which both never go down, then Newton's step, shortened."""
    terms = work.terms._replace(epsilon=state.epsilon)
    dtype = state.g.dtype
    g = _scaled(terms, state.at)
    g = _shifted(terms, g, semi_dual(terms, g))
    at = semi_dual(terms, g)
    d = cho_solve(cho_factor(hessian(terms, at), lower=True), at.gradient)
    d = jnp.where(jnp.isfinite(d).all(), d, 0)
    size, at = _search(terms, g, at, d)
    g = g + size * d

    residual = jnp.abs(at.gradient).sum()
    loose = residual <= _LOOSE * jnp.maximum(at.mass.sum(), at.wanted.sum())
    lower = (state.epsilon > work.terms.epsilon) & loose
    epsilon = jnp.where(lower, jnp.maximum(state.epsilon * _FACTOR, work.terms.epsilon), state.epsilon)
    noise = 100 * jnp.finfo(dtype).eps * jnp.maximum(jnp.abs(at.value), state.epsilon * at.mass.sum())
    rose = at.value > state.at.value + noise
    at = jax.lax.cond(lower, lambda: semi_dual(terms._replace(epsilon=epsilon), g), lambda: at)
    return _next(state, g, epsilon, at, lower, rose, 0.9)


def _shifted(terms: Terms, g: Array, at: Evaluation) -> Array:
    """The best of g + constant: where weights are large the mass follows it slowly, and g has far to go.

    Both masses are then equal. The log of their ratio rises with the constant, linearly where weights are alike; what
    Newton's method finds is taken only if it is better. Where all weights are infinite any constant is as good.
    """
    here = terms.problem.b > 0
    up, down = terms.rows / (1 + terms.epsilon * terms.rows), jnp.where(here, terms.columns, 0)
    return g + jnp.where(here, _levelling(log_mass(at.mass), log_mass(at.wanted), up, down), 0)


def _levelling(one: Array, other: Array, up: Array, down: Array) -> Array:
    """The x for which masses exp(one + x up) and exp(other - x down) have equal totals, or 0 if it is not found."""

    def ratio(x):
        first, second = one + x * up, other - x * down
        slope = jax.nn.softmax(first) @ up + jax.nn.softmax(second) @ down
        return jax.nn.logsumexp(first) - jax.nn.logsumexp(second), slope

    def improve(_, x):
        off, slope = ratio(x)
        return x - jnp.where(slope > 0, off / jnp.where(slope > 0, slope, 1), 0)

    zero = jnp.zeros_like(one[0])
    found = jax.lax.fori_loop(0, 8, improve, zero)
    return jnp.where(jnp.abs(ratio(found)[0]) < jnp.abs(ratio(zero)[0]), found, zero)


def _search(terms: Terms, g: Array, at: Evaluation, d: Array) -> tuple[Array, Evaluation]:
    """How far to go along d: to where the slope has fallen, and is not yet that of a way down.

    The slope of a concave function falls all the way, and says near the optimum what a value drowned in rounding no
    longer says. At a small strength it falls at once, at the edge of a flat piece, which bisection finds.
    """
    slope = d @ at.gradient
    # along a direction without curvature Newton's step is far too long: potentials differ by the spread of costs
    spread = _spread(terms.problem)[1] + terms.epsilon
    longest = jnp.minimum(1, spread / jnp.maximum(jnp.abs(d).max(), jnp.finfo(d.dtype).tiny))

    def trial(carry):
        low, high, size, best, _, count = carry
        tried = semi_dual(terms, g + size * d)
        slope_there = d @ tried.gradient
        rises = jnp.isfinite(tried.value) & (slope_there >= -0.1 * slope)
        best = jax.tree.map(partial(jnp.where, rises), tried, best)
        low, high = jnp.where(rises, size, low), jnp.where(rises, high, size)
        over = rises & ((slope_there <= 0.7 * slope) | (size == longest)) | (low > 0) & (count >= 5)
        return low, high, jnp.where(low > 0, (low + high) / 2, size / 4), best, over, count + 1

    begun = jnp.zeros_like(slope), longest, longest, at, slope <= 0, jnp.int32(0)
    low, *_, best, _, _ = jax.lax.while_loop(lambda c: ~c[4] & (c[5] < _TRIALS), trial, begun)
    return low, best


def _scaled(terms: Terms, at: Evaluation) -> Array:
    """The best column potentials for the row potentials, in the log domain: a column that nothing reaches may have no mass."""
    (cost, a, b), epsilon = terms.problem, terms.epsilon
    there, here = a > 0, b > 0
    scores = jnp.where(there, at.phi, -jnp.inf)[:, None] - jnp.where(there[:, None], cost, 0)
    level = jax.nn.logsumexp(scores / epsilon, axis=0)  # log s - g / epsilon
    return jnp.where(here, epsilon * (jnp.log(jnp.where(here, b, 1)) - level) / (1 + epsilon * terms.columns), 0)


def _scaling_step(work: Work, state: State) -> State:
    """Columns, then rows."""
    g = _scaled(work.terms, state.at)
    no = jnp.array(False)
    return _next(state, g, state.epsilon, semi_dual(work.terms, g), no, no, 1.0)


def _next(state: State, g: Array, epsilon: Array, at: Evaluation, fresh: Array, rose: Array, factor: float) -> State:
    residual = jnp.abs(at.gradient).sum()
    waited = jnp.where(fresh | rose | (residual < factor * state.least), 0, state.waited + 1)
    least = jnp.where(fresh, residual, jnp.minimum(residual, state.least))
    return State(g, epsilon, at, residual, least, waited)


def _done(patience: int, work: Work, state: State) -> Array:
    final = state.epsilon <= work.terms.epsilon
    reason = jnp.where(state.waited >= patience, Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(final & (state.error <= work.tolerance), Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(state.at.value), reason, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(work: Work, state: State) -> dict[str, Array]:
    return {"value": state.at.value, "residual": state.residual}


NEWTON = Method(_newton_init, _newton_step, partial(_done, _PATIENCE["newton"]), _measure)
SCALING = Method(
    lambda work: _begin(work, work.terms.epsilon), _scaling_step, partial(_done, _PATIENCE["scaling"]), _measure
)


@chosen
def solve(
    problem: Problem,
    regularizer: Entropic,
    *,
    rows: ArrayLike = np.inf,
    columns: ArrayLike = np.inf,
    method: Name = "newton",
    tolerance: ArrayLike | None = None,
    max_iterations: int | None = None,
    init: Relaxed | ArrayLike | None = None,
    loop: Loop = pure,
) -> Relaxed:
    r"""Solve entropic transport with a KL penalty on one marginal or both.

    $$ \min_{T \ge 0} \langle T, C\rangle + \varepsilon\, h(T) + \sum_i \kappa_i\, \mathrm{KL}\big((T1)_i \mid a_i\big)
       + \sum_k \lambda_k\, \mathrm{KL}\big((T^\top 1)_k \mid b_k\big) $$

    Args:
        problem: as from ``lab.ot.problem(..., balanced=False)``. In a ``Problem`` made by hand a mass of 0 marks a row or
            column as absent (padding): whatever its cost, it carries no mass and no gradient, so that ``jax.vmap`` serves
            bags of different sizes.
        regularizer: ``Entropic(epsilon)``, traced.
        rows: positive weights kappa of the row penalty, a number or one for each row (m,), in units of cost; ``inf`` makes the
            marginal hold.
        columns: positive weights lambda of the column penalty, a number or one for each column (n,), likewise.
        method: ``newton`` takes O(m n^2 + n^3) a step, and few; put the smaller side in the columns (``problem.T``).
            ``scaling`` (Sinkhorn's, in the log domain) takes O(m n), and hundreds or thousands. Memory O(m n + n^2).
        tolerance: of the marginals, L1, relative to the mass of the plan or that asked for, whichever is more; 1e-10
            when omitted, in float32 1e-5; what rounding leaves of a plan where that is more, 4 u max|c| / epsilon with u the
            machine epsilon, and at most 1e-3.
        max_iterations: static; 200 for newton, 20000 for scaling when omitted.
        init: column potentials (n,), or the answer to a neighbouring problem.
        loop: ``lab.numerics.pure`` or a ``lab.numerics.Chunked``.

    Returns:
        a ``Relaxed``, whose ``plan()`` is (m, n).

    Raises:
        ValueError: an argument outside what is allowed, or masses of different totals where both marginals must hold.
        TypeError: a problem or regularizer of another type.

    Source:
        Chizat, Peyré, Schmitzer, Vialard, Scaling algorithms for unbalanced optimal transport problems, Math. Comp. 2018.

    Examples:
        >>> from lab import ot
        >>> p = ot.problem([[0.0, 1.0], [1.0, 0.0]], [0.3, 0.7], [0.6, 0.6], balanced=False)
        >>> ot.unbalanced.solve(p, ot.Entropic(0.1), columns=2.0).plan().sum(axis=1).round(6).tolist()  # the rows hold
        [0.3, 0.7]
    """
    check(problem, regularizer, tolerance, max_iterations)
    m, n = problem.cost.shape
    weights = inverse("rows", rows, m, problem.cost.dtype), inverse("columns", columns, n, problem.cost.dtype)
    if not any(isinstance(x, Tracer) for x in (*problem, *weights)) and not (weights[0].any() or weights[1].any()):
        total_a, total_b = float(problem.a.sum()), float(problem.b.sum())
        if abs(total_a - total_b) > 1e-6 * total_a:
            raise ValueError(
                f"the masses differ, sum(a) = {total_a:.9g} but sum(b) = {total_b:.9g}, and both marginals must hold: "
                "give a finite weight, rows or columns"
            )
    terms = Terms(problem, jnp.asarray(regularizer.gamma, problem.cost.dtype), *weights)
    return run(terms, init, method, tolerance, max_iterations, loop)


def run(terms: Terms, init: Any, method: str, tolerance: Any, max_iterations: int | None, loop: Loop) -> Relaxed:
    """Solve the terms by a method, from potentials of the columns or an earlier answer, by a loop."""
    dtype, n = terms.problem.cost.dtype, terms.problem.b.shape[0]
    start = init.beta if isinstance(init, Relaxed) else init
    if start is not None and jnp.shape(start) != (n,):
        raise ValueError(f"init has shape {jnp.shape(start)}, but {n} column potentials are needed, shape ({n},)")
    level, work = _prepare(terms, start if start is None else jnp.asarray(start, dtype), tolerance)
    ran = loop(
        NEWTON if method == "newton" else SCALING,
        work,
        max_iterations=_LIMITS[method] if max_iterations is None else max_iterations,
    )
    ended = np.int32(ran.reason) if isinstance(ran.reason, int) else ran.reason
    near, (alpha, beta), value, row_error, column_error, reason, none = _finish(
        terms, level, ran.state.g, ended, work.tolerance
    )
    return Relaxed(
        alpha,
        beta,
        value,
        row_error,
        column_error,
        none,
        ran.iterations,
        reason,
        dict(ran.trace),
        terms.problem,
        Entropic(terms.epsilon),
        None,
        "dual",
        "columns",
        method,
        near=near,
    )


def _level(terms: Terms) -> Array:
    r"""How far the difference of the masses takes the potentials against each other, which large weights let it do.

    Potentials $\varphi - s$ and $g + s$ solve the problem where $\varphi$ and $g$ solve that of the masses
    $a e^{s/\kappa}$ and $b e^{-s/\lambda}$, with the same plan. For the s at which their totals are equal the potentials are of
    the size of the costs, and the plan, which knows only their sums, loses no digits to s.
    """
    (_, a, b), _, rows, columns = jax.lax.stop_gradient(terms)
    rows, columns = jnp.where(a > 0, rows, 0), jnp.where(b > 0, columns, 0)
    most = _FAR / jnp.maximum(jnp.maximum(rows.max(), columns.max()), jnp.finfo(a.dtype).tiny)
    return jnp.clip(_levelling(log_mass(a), log_mass(b), rows, columns), -most, most)


def _moved(terms: Terms, level: Array) -> Terms:
    (cost, a, b), _, rows, columns = terms
    return terms._replace(problem=Problem(cost, a * jnp.exp(level * rows), b * jnp.exp(-level * columns)))


@jit
def _prepare(terms: Terms, start: Array | None, tolerance: Any) -> tuple[Array, Work]:
    if tolerance is None:
        tolerance = Entropic(terms.epsilon).reachable(1e-10, terms.problem)
    level = _level(terms)
    terms, start = jax.lax.stop_gradient((_moved(terms, level), start if start is None else start - level))
    g = jnp.zeros_like(terms.problem.b) if start is None else jnp.where(terms.problem.b > 0, start, 0)
    return level, Work(terms, g, (g == 0).all(), jax.lax.stop_gradient(jnp.asarray(tolerance, terms.epsilon.dtype)))


@jit
def _finish(terms: Terms, level: Array, g: Array, reason: Any, tolerance: Array):
    moved = _moved(terms, level)
    g = implicit(moved, jax.lax.stop_gradient(g))
    at = semi_dual(moved, g)
    near = at.phi + terms.epsilon, g
    (_, a, b), epsilon, rows, columns = terms
    a, b = jnp.where(a > 0, a, 0), jnp.where(b > 0, b, 0)  # no derivative where there is nothing
    value = _price(a, at.phi - level, rows) + _price(b, g + level, columns) + epsilon * (a - at.mass).sum()
    plan = _plan(terms.problem, epsilon, *near)
    row_error = jnp.abs(plan.sum(axis=1) - at.mass).sum()
    column_error = jnp.abs(plan.sum(axis=0) - at.wanted).sum()
    most = tolerance * jnp.maximum(at.mass.sum(), at.wanted.sum())
    reason = judged(jnp.asarray(reason), value, row_error + column_error, most, sufficient=True)
    there, here = terms.problem.a > 0, terms.problem.b > 0
    potentials = near[0] - jnp.where(there, level, 0), near[1] + jnp.where(here, level, 0)
    return near, potentials, value, row_error, column_error, reason, jnp.zeros_like(reason)


def check(problem: Any, regularizer: Any, tolerance: Any, max_iterations: Any) -> None:
    """Refuse what the solvers of this family can't take; inside ``jit`` the values are not known, and not checked."""
    if not isinstance(regularizer, Entropic):
        raise TypeError(f"the regularizer is {regularizer!r}, but relaxed marginals need Entropic(epsilon)")
    if not isinstance(problem, Problem):
        raise TypeError(f"a {type(problem).__name__} is given, but relaxed marginals need a Problem with a cost matrix")
    one(problem)
    for name, value in (("epsilon", regularizer.gamma), ("tolerance", 1.0 if tolerance is None else tolerance)):
        if not isinstance(value, Tracer) and not (np.ndim(value) == 0 and 0 < float(np.asarray(value)) < np.inf):
            raise ValueError(f"{name} = {value}, but it must be one positive finite number")
    if max_iterations is not None and not (isinstance(max_iterations, int | np.integer) and max_iterations >= 1):
        raise ValueError(f"max_iterations = {max_iterations!r}, but it must be a whole number of at least 1")


def inverse(name: str, weight: ArrayLike, size: int, dtype) -> Float[Array, " size"]:
    """One over each of the positive weights of a side, checked and spread to its size; 0 where the weight is infinite."""
    weight = weight if isinstance(weight, Tracer) else np.asarray(weight, dtype)  # on the host no length is a program
    if weight.shape not in ((), (size,)):
        raise ValueError(f"{name} has shape {weight.shape}, but one weight or {size} are needed, shape ({size},)")
    if isinstance(weight, Tracer):
        return jnp.broadcast_to(1 / weight.astype(dtype), (size,))
    if not (weight > 0).all():
        bad = float(weight.ravel()[np.argmin(weight.ravel() > 0)])
        raise ValueError(f"{name} has the weight {bad:g}, but weights of a KL penalty must be positive (inf: exact)")
    with np.errstate(over="ignore"):
        return placed(np.broadcast_to(1 / weight, (size,)))

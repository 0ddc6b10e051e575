r"""Sinkhorn's algorithm, and what makes it faster, for entropic transport.

$$ \min_{T \in U(a, b)} \langle T, C \rangle + \varepsilon \sum_{ij} T_{ij} \log T_{ij}, \qquad
   T_{ij} = e^{u_i + v_j - c_{ij}/\varepsilon} , $$

solved for the scaled potentials by making the rows hold, then the columns, in turn. One step is one sweep of both:

$$ u \leftarrow (1 - \omega)\,u + \omega\,(\log a - \mathrm{rows}(v)), \qquad
   v \leftarrow (1 - \omega)\,v + \omega\,(\log b - \mathrm{columns}(u)) . $$

The error contracts by $s_2^2$ a sweep, $s_2$ the second singular value of $\mathrm{diag}(a)^{-1/2}\, T\,
\mathrm{diag}(b)^{-1/2}$: fast where epsilon is of the order of the costs, thousands of sweeps where it is a hundredth.

- **Log domain** (``Sinkhorn(domain="log")``): nothing under- or overflows at any epsilon. An exponential for each entry
  and half sweep. The only one for a ``Cloud``, where a block of costs is made, used and forgotten.
- **Kernel domain with absorption** (``"kernel"``): half sweeps are products with
  $K = e^{u_0 + v_0 - C/\varepsilon}$, some five times faster; K is made again when the potentials have left
  $(u_0, v_0)$ far enough for digits to be lost.
- **Ladder**: epsilon starts at a tenth of the mean cost, and is halved when the error is small.
- **Over-relaxation**: $\omega = 2 / (1 + \sqrt{1 - s_2^2})$ takes about the square root of the number of sweeps.
  ``"auto"`` measures $s_2^2$ from plain sweeps first; a step that makes the error large takes it back.
- **Anderson acceleration**: u from the combination of the last sweeps with the least residual; taken only where the
  dual does not fall. So guarded it is the fastest: 172 sweeps where plain ones need 3,800 and over-relaxed ones 480
  (512 points in the plane, epsilon 0.01 of the mean cost, L1 error 1e-6). Unguarded it may wander for ever.

Zero masses are allowed: their potentials are $-\infty$ and their rows or columns of the plan 0.

Derivatives, of what and when:

- of the value, ``Solution.value``: the **envelope** theorem. Exact and free: nothing is differentiated but the objective at
  fixed potentials. Also in the points of a ``Cloud``.
- of potentials, plan, products, marginals and costs of a ``Solution``: the **implicit** function theorem, one linear solve,
  whichever method found the optimum; the error is that of the solve.
- of what a fixed number of sweeps computes, ``unrolled``: through the **iterations**. For layers that run few sweeps on
  purpose, whose derivative should be that of what was computed, not of an optimum that was not reached. Memory for
  every sweep's potentials in reverse mode, and a derivative that converges no faster than the sweeps.

References: Cuturi, Sinkhorn distances, NeurIPS 2013. Schmitzer, Stabilized sparse scaling algorithms, SISC 2019
(absorption, ladder). Thibault et al., Overrelaxed Sinkhorn-Knopp, 2017; Lehmann et al., A note on overrelaxation in the
Sinkhorn algorithm, 2022. Walker, Ni, Anderson acceleration for fixed-point iterations, SINUM 2011.
"""

import numbers
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import check_choices, chosen
from lab.numerics import Method, Reason
from lab.ot.geometry import Cloud, Geometry, Matrix, log_mass
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic

LIMIT = 20_000  # sweeps
_LOOSE = 0.05  # error at which epsilon falls
_FIRST = 0.1  # of the mean cost: where the ladder starts
_FACTOR = 0.5
_WINDOW = 10  # sweeps over which their rate is measured, after as many that settle it
_MOST = 1.99  # over-relaxation
_PATIENCE = 5000  # sweeps without a tenth less error: stalled


@chosen
class Sinkhorn(NamedTuple):
    """How to run Sinkhorn's algorithm; a ``method`` of ``solve``.

    Fields:
        domain: "log", or "kernel" (of a matrix of costs only), or "auto": kernel where it can be.
        relaxation: omega in [1, 2), or "auto"; with ``memory=0``.
        memory: sweeps that Anderson acceleration combines; 0 for none.
        ladder: start at a large epsilon.
    """

    domain: Literal["auto", "log", "kernel"] | str = "auto"
    relaxation: float | Literal["auto"] | str = 1.0
    memory: int = 5
    ladder: bool = True

    def check(self) -> None:
        """Refuse settings outside what is allowed; traced ones pass.

        Raises:
            ValueError: the setting, and what is allowed.
        """
        omega, memory = self.relaxation, self.memory
        check_choices(self)
        within(
            "memory", memory, lambda k: isinstance(k, numbers.Integral) and int(k) >= 0, "a whole number, 0 for none"
        )
        within("relaxation", omega, lambda w: w == "auto" or 1 <= float(w) < 2, "in [1, 2) or 'auto'")
        if memory and not isinstance(omega, Tracer) and omega != 1:
            raise ValueError(f"relaxation = {omega!r} with memory = {memory}: over-relaxation needs memory=0")


def within(name: str, value: Any, fine: Callable[[Any], bool], needed: str) -> None:
    """Refuse a setting that is known and not ``fine``."""
    if not isinstance(value, Tracer) and not fine(value):
        raise ValueError(f"{name} = {value!r}, but it must be {needed}")


class Task(NamedTuple):
    """What the steps need. Masses have total 1. All is traced."""

    geometry: Geometry
    a: Float[Array, " m"]
    b: Float[Array, " n"]
    epsilon: Float[Array, ""]
    first: Float[Array, ""]  # epsilon to start at
    start: Float[Array, " m"]  # potentials, in units of cost
    tolerance: Float[Array, ""]  # of the L1 error of both marginals
    relaxation: Float[Array, ""]  # 0: measured
    history: Float[Array, "memory m"]  # zeros: its shape says how much is kept for Anderson acceleration


class Reference(NamedTuple):
    """The kernel at a pair of potentials, by rows and by columns: products along the fast axis are five times faster."""

    u: Float[Array, " m"]
    v: Float[Array, " n"]
    kernel: Float[Array, "m n"]
    transposed: Float[Array, "n m"]


class State(NamedTuple):
    u: Float[Array, " m"]
    v: Float[Array, " n"]
    next_u: Float[Array, " m"]  # what makes the rows hold, given v
    epsilon: Float[Array, ""]
    row_error: Float[Array, ""]
    column_error: Float[Array, ""]
    value: Float[Array, ""]  # of the dual, in units of epsilon
    omega: Float[Array, ""]
    sweeps: Int[Array, ""]  # in a row with this omega
    earlier: Float[Array, ""]  # error when the measurement of the rate began
    least: Float[Array, ""]
    waited: Int[Array, ""]
    reference: Reference | None
    moves: Float[Array, "memory m"] | None  # changes of u, latest first
    residual_moves: Float[Array, "memory m"] | None  # changes of next_u - u
    known: Int[Array, ""]  # how many of them

    @property
    def error(self) -> Array:
        return self.row_error + self.column_error


def normal_exp(x: Array) -> Array:
    """exp, but 0 where it would be denormal: products with such numbers take a hundred times longer."""
    return jnp.where(x > jnp.log(jnp.finfo(x.dtype).tiny) + 20, jnp.exp(x), 0.0)


def first_epsilon(geometry: Geometry, epsilon: Array) -> Array:
    """Where a ladder starts."""
    return jnp.maximum(epsilon, _FIRST * geometry.mean())


def _refer(task: Task, u: Array, v: Array, epsilon: Array) -> Reference:
    kernel = normal_exp(_finite(u)[:, None] + _finite(v)[None, :] - task.geometry.cost / epsilon)  # type: ignore[union-attr]
    return Reference(_finite(u), _finite(v), kernel, kernel.T)


def _finite(u: Array) -> Array:
    return jnp.where(jnp.isfinite(u), u, 0.0)


def _reach(dtype) -> float:
    """How far a potential may leave that of the kernel: an entry lost to underflow stays below rounding."""
    return 100.0 if dtype == jnp.float64 else 20.0


def _rows(task: Task, reference: Reference | None, v: Array, epsilon: Array) -> Array:
    if reference is None:
        return task.geometry.rows(v, epsilon)
    sums = reference.kernel @ jnp.exp(v - reference.v)
    fine = ((sums > 0) & jnp.isfinite(sums)).all()
    return jax.lax.cond(fine, lambda: jnp.log(sums) - reference.u, lambda: task.geometry.rows(v, epsilon))


def _columns(task: Task, reference: Reference | None, u: Array, epsilon: Array) -> Array:
    if reference is None:
        return task.geometry.columns(u, epsilon)
    sums = reference.transposed @ jnp.exp(u - reference.u)
    fine = ((sums > 0) & jnp.isfinite(sums)).all()
    return jax.lax.cond(fine, lambda: jnp.log(sums) - reference.v, lambda: task.geometry.columns(u, epsilon))


def _miss(mass: Array, now: Array, right: Array) -> Array:
    """The L1 error of a marginal whose potentials would have to be ``right``."""
    change = jnp.where(mass > 0, now - right, 0.0)
    return (mass * jnp.abs(jnp.expm1(change))).sum()


def _blend(old: Array, new: Array, omega: Array) -> Array:
    return jnp.where(jnp.isfinite(new) & jnp.isfinite(old), old + omega * (new - old), new)


def _dual(task: Task, u: Array, v: Array, mass: Array) -> Array:
    return jnp.where(task.a > 0, task.a * u, 0.0).sum() + jnp.where(task.b > 0, task.b * v, 0.0).sum() + 1 - mass


def _init(task: Task, kernel: bool) -> State:
    epsilon = jnp.maximum(task.first, task.epsilon)
    u = jnp.where(task.a > 0, task.start / epsilon, -jnp.inf)
    v = log_mass(task.b) - task.geometry.columns(u, epsilon)
    reference = _refer(task, u, v, epsilon) if kernel else None
    zero, none = jnp.zeros_like(epsilon), jnp.int32(0)
    moves = jnp.zeros_like(task.history) if task.history.shape[0] else None
    state = State(
        u,
        v,
        u,
        epsilon,
        row_error=zero,
        column_error=zero,
        value=zero,
        omega=zero + 1,
        sweeps=none,
        earlier=zero,
        least=zero,
        waited=none,
        reference=reference,
        moves=moves,
        residual_moves=moves,
        known=none,
    )
    state = _look(task, state, state.v)
    return state._replace(earlier=state.error, least=state.error)


def _look(task: Task, state: State, right_v: Array) -> State:
    """The next potentials of the rows, and with them the errors of the present ones."""
    next_u = log_mass(task.a) - _rows(task, state.reference, state.v, state.epsilon)
    row_error, column_error = _miss(task.a, state.u, next_u), _miss(task.b, state.v, right_v)
    mass = jnp.where(task.a > 0, task.a * jnp.exp(state.u - next_u), 0.0).sum()
    value = _dual(task, state.u, state.v, mass)
    return state._replace(next_u=next_u, row_error=row_error, column_error=column_error, value=value)


def step(task: Task, state: State) -> State:
    """One sweep, and a lower epsilon where the error allows it."""
    before = state
    state = _relaxed_sweep(task, state) if state.moves is None else _accelerated_sweep(task, state)
    lower = (state.epsilon > task.epsilon) & (state.error <= _LOOSE)
    epsilon = jnp.where(lower, jnp.maximum(state.epsilon * _FACTOR, task.epsilon), state.epsilon)
    least = jnp.where(lower, jnp.inf, jnp.minimum(state.least, state.error))
    better = lower | (state.error <= 0.9 * before.least)
    state = state._replace(least=jnp.where(better, least, before.least), waited=jnp.where(better, 0, before.waited + 1))
    state = jax.lax.cond(lower, lambda s: _lowered(task, s, epsilon), lambda s: s, state)
    if state.reference is None:
        return state
    reference = state.reference
    away = jnp.maximum(
        jnp.where(task.a > 0, jnp.abs(state.u - reference.u), 0.0).max(),
        jnp.where(task.b > 0, jnp.abs(state.v - reference.v), 0.0).max(),
    )
    far = ~lower & (away > _reach(state.u.dtype))
    reference = jax.lax.cond(far, lambda: _refer(task, state.u, state.v, state.epsilon), lambda: reference)
    return state._replace(reference=reference)


def _lowered(task: Task, state: State, epsilon: Array) -> State:
    u = state.u * (state.epsilon / epsilon)
    v = log_mass(task.b) - task.geometry.columns(u, epsilon)
    reference = None if state.reference is None else _refer(task, u, v, epsilon)
    one, none = jnp.ones_like(epsilon), jnp.int32(0)
    state = state._replace(u=u, v=v, epsilon=epsilon, reference=reference, omega=one, sweeps=none, known=none)
    state = _look(task, state, v)
    return state._replace(earlier=state.error, least=state.error)


def _relaxed_sweep(task: Task, state: State) -> State:
    final = state.epsilon <= task.epsilon
    asked = jnp.where((task.relaxation > 0) & (state.error < 1), task.relaxation, state.omega)
    omega = jnp.where(final, asked, 1.0)
    u = _blend(state.u, state.next_u, omega)
    right = log_mass(task.b) - _columns(task, state.reference, u, state.epsilon)
    before, earlier = state.error, state.earlier
    state = _look(task, state._replace(u=u, v=_blend(state.v, right, omega)), right)

    # s_2^2 from the rate: (rate + omega - 1)^2 = rate omega^2 s_2^2 for omega up to the best one (Young)
    same = final & (omega == state.omega)
    sweeps = jnp.where(same, state.sweeps + 1, 0)
    marked = sweeps % _WINDOW == 0
    rate = (state.error / earlier) ** (1 / _WINDOW)
    rate = jnp.maximum(rate, omega - 1)
    known = marked & (sweeps >= 2 * _WINDOW) & (state.error < 0.5) & (rate < 1) & (task.relaxation == 0)
    second = jnp.clip((rate + omega - 1) ** 2 / (rate * omega**2), 0.0, 1.0)
    best = jnp.minimum(2 / (1 + jnp.sqrt(1 - second)), _MOST)
    omega = jnp.where(known & (best > omega + 0.1 * (2 - omega)), best, omega)
    bad = (state.error > 20 * state.least) & (state.error > before) & (state.error > 10 * task.tolerance)
    omega = jnp.where(bad | ~jnp.isfinite(state.error), 1.0, omega)
    return state._replace(omega=omega, sweeps=sweeps, earlier=jnp.where(marked, state.error, earlier))


def _accelerated_sweep(task: Task, state: State) -> State:
    """Anderson's combination (type II) of plain sweeps, undone where it makes the dual fall."""
    moves, residual_moves = state.moves, state.residual_moves
    assert moves is not None
    assert residual_moves is not None
    alive = task.a > 0
    residual = jnp.where(alive, state.next_u - state.u, 0.0)
    usable = (jnp.arange(moves.shape[0]) < state.known)[:, None]
    weight = jnp.sqrt(task.a)[None, :]  # the norm in which the sweep contracts
    basis = jnp.where(usable, residual_moves * weight, 0.0)
    gram = basis @ basis.T
    shift = 1e-12 * jnp.trace(gram) + jnp.finfo(gram.dtype).tiny
    mix = jnp.linalg.solve(gram + shift * jnp.eye(gram.shape[0], dtype=gram.dtype), basis @ (weight[0] * residual))
    bold = state.next_u - jnp.where(usable, mix[:, None] * (moves + residual_moves), 0.0).sum(axis=0)
    final = state.epsilon <= task.epsilon
    bold = jnp.where(alive & final & jnp.isfinite(bold), bold, state.next_u)

    def at(u):
        v = log_mass(task.b) - _columns(task, state.reference, u, state.epsilon)
        return _look(task, state._replace(u=u, v=v), v)

    tried = at(bold)
    noise = 100 * jnp.finfo(bold.dtype).eps * jnp.abs(state.value)
    fine = jnp.isfinite(tried.value) & (tried.value >= state.value - noise) & (tried.error < 2 * state.error)
    new = jax.lax.cond(fine, lambda: tried, lambda: at(state.next_u))
    change = jnp.where(alive, new.u - state.u, 0.0)
    turn = jnp.where(alive, new.next_u - new.u, 0.0) - residual
    return new._replace(
        moves=jnp.concatenate([change[None, :], moves[:-1]]),
        residual_moves=jnp.concatenate([turn[None, :], residual_moves[:-1]]),
        known=jnp.where(fine, jnp.minimum(state.known + 1, moves.shape[0]), 0),
    )


def done(task: Task, state: State) -> Array:
    """Whether the error is within the tolerance at the last epsilon, or no longer falls."""
    final = state.epsilon <= task.epsilon
    reason = jnp.where(state.waited >= _PATIENCE, Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(final & (state.error <= task.tolerance), Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(state.error), reason, Reason.NOT_FINITE).astype(jnp.int32)


def measure(task: Task, state: State) -> dict[str, Array]:
    """What the trace keeps of a sweep: value, errors, epsilon and relaxation."""
    return {
        "value": state.epsilon * state.value,
        "row_error": state.row_error,
        "residual": state.error,
        "epsilon": state.epsilon,
        "relaxation": state.omega,
    }


LOG = Method(lambda task: _init(task, False), step, done, measure)
KERNEL = Method(lambda task: _init(task, True), step, done, measure)


def unrolled(problem: Problem | Cloud, regularizer: Entropic, sweeps: int, start: ArrayLike | None = None):
    r"""The scaled potentials (u, v) after a fixed number of log-domain sweeps, differentiable through all of them.

    The plan is $e^{u_i + v_j - c_{ij}/\varepsilon}$, with exact columns. See the module's text for when to use it.

    Args:
        sweeps: static.
        start: (m,) potentials in units of cost; zeros when omitted.
    """
    geometry = Matrix(problem.cost) if isinstance(problem, Problem) else problem
    epsilon = jnp.asarray(regularizer.gamma, problem.a.dtype)
    u = jnp.zeros_like(problem.a) if start is None else jnp.asarray(start, problem.a.dtype) / epsilon
    log_a, log_b = log_mass(problem.a), log_mass(problem.b)

    def sweep(v, _):
        u = log_a - geometry.rows(v, epsilon)
        return log_b - geometry.columns(u, epsilon), u

    v = log_b - geometry.columns(u, epsilon)
    v, us = jax.lax.scan(sweep, v, None, length=sweeps)
    return us[-1], v

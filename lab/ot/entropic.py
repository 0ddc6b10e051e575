r"""Entropic transport behind the one door: which method, from where, and what comes out."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.numerics import Loop, Method
from lab.numerics.jit import jit
from lab.ot import sinkhorn, sinkhorn_newton
from lab.ot.geometry import Cloud, Geometry, Matrix, log_mass
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic
from lab.ot.sinkhorn import Sinkhorn
from lab.ot.sinkhorn_newton import SinkhornNewton
from lab.ot.solution import Solution, judged

LARGE = 0.05  # of the mean cost: an epsilon from which on Sinkhorn needs few sweeps
FACTORIZE = {"cpu": 512, "gpu": 8192}  # rows up to which a dense factor is the fastest
_LOST = 1.0  # L1 error of a start from which the ladder is climbed down again


class Choice(NamedTuple):
    """A method, its name and why it was taken: fixed sentences, for they are static in a ``Solution``."""

    config: Sinkhorn | SinkhornNewton
    name: str
    why: str


def choose(problem: Problem | Cloud, regularizer: Entropic, method: str | Sinkhorn | SinkhornNewton) -> Choice:
    """What to run.

    Raises:
        ValueError: a method that needs the matrix of costs, for a cloud.
    """
    cloud = isinstance(problem, Cloud)
    asked = method in ("sinkhorn", "newton") or not isinstance(method, str)
    why = "asked for"
    if method == "auto":
        if cloud:
            method, why = "sinkhorn", "the cost is given by points, and Sinkhorn never forms its matrix"
        elif not _traced(problem.cost, regularizer.gamma) and _is_large(problem, regularizer):
            method, why = "sinkhorn", f"epsilon is at least {LARGE} of the mean cost, where Sinkhorn needs few sweeps"
        else:
            method = "newton"
    config = {"sinkhorn": Sinkhorn(), "newton": SinkhornNewton()}[method] if isinstance(method, str) else method
    if isinstance(config, Sinkhorn):
        domain = ("log" if cloud else "kernel") if config.domain == "auto" else config.domain
        if cloud and domain == "kernel":
            raise ValueError("the kernel domain needs the matrix of costs: use domain='log', or Cloud.dense()")
        name = f"sinkhorn, {domain} domain" + (", Anderson" if config.memory else "")
        return Choice(config._replace(domain=domain), name, why)
    if cloud:
        raise ValueError("Newton's method needs the matrix of costs: use method='sinkhorn', or Cloud.dense()")
    backend = config.backend
    if backend == "auto":
        backend, reason = _backend(problem, regularizer)
        why = f"asked for; {reason}" if asked else f"epsilon is small or not known when compiling; {reason}"
    return Choice(config._replace(backend=backend), f"sinkhorn-newton, {backend}", why)


def _backend(problem: Problem, regularizer: Entropic) -> tuple[Literal["dense", "ell", "host"], str]:
    device = jax.default_backend()
    limit = FACTORIZE.get(device, FACTORIZE["gpu"])
    traced = _traced(problem.cost, regularizer.gamma)
    if problem.cost.shape[-2] <= (2 * limit if traced else limit):
        return "dense", "at this size a dense factor is the fastest"
    if device == "cpu" and not traced:
        return "host", "at this size sparse products on the host are the fastest"
    return "ell", "at this size sparse products are the fastest that can be compiled"


def _traced(*values: Any) -> bool:
    return any(isinstance(value, Tracer) for value in values)


def _is_large(problem: Problem, regularizer: Entropic) -> bool:
    return float(np.asarray(regularizer.gamma)) >= LARGE * float(_mean(problem.cost))


_mean = jit(lambda cost: Matrix(cost).mean())


def run(
    problem: Problem | Cloud,
    regularizer: Entropic,
    choice: Choice,
    tolerance: Array,
    start: Float[Array, " m"] | None,
    max_iterations: int | None,
    loop: Loop,
    axis: str,
) -> Solution:
    """Solve, and put the answer in the units of the problem. With ``axis="rows"`` the rows are the exact side."""
    side = problem if axis == "columns" else problem.T
    config = choice.config
    if isinstance(config, Sinkhorn):
        method, limit = sinkhorn.KERNEL if config.domain == "kernel" else sinkhorn.LOG, sinkhorn.LIMIT
    else:
        method, limit = _newton(config), sinkhorn_newton.LIMIT
    numbers, shape = _split(config)
    task = _prepare(side, regularizer, tolerance, start, jax.tree.map(jnp.asarray, numbers), shape)
    found = loop(method, task, max_iterations=limit if max_iterations is None else max_iterations)
    state = found.state._replace(reference=None) if isinstance(found.state, sinkhorn.State) else found.state
    ended = np.int32(found.reason) if isinstance(found.reason, int) else found.reason
    potentials, value, errors, reason, none, units = _finish(side, regularizer, state, ended, task.tolerance)
    (alpha, beta), (row_error, column_error) = (
        (potentials, errors) if axis == "columns" else (_centred(*potentials[::-1]), errors[::-1])
    )
    trace = dict(found.trace)
    if isinstance(trace["value"], np.ndarray):  # as long as the run was: on the host, where no length is a program
        trace |= _in_units(trace["value"], trace["row_error"], *map(np.asarray, units))
    else:
        trace |= _scaled(trace["value"], trace["row_error"], *units)
    return Solution(
        alpha,
        beta,
        value,
        row_error,
        column_error,
        none,
        found.iterations,
        reason,
        trace,
        problem,
        regularizer,
        state,
        "semi-dual",
        axis,
        choice.name,
        choice.why,
    )


@jit
def _centred(alpha: Array, beta: Array) -> tuple[Array, Array]:
    """The same plan from row potentials of mean 0, those of absent rows apart."""
    there = jnp.isfinite(alpha)
    level = jnp.where(there, alpha, 0.0).sum() / there.sum()
    return alpha - level, beta + level


def _newton(config: SinkhornNewton) -> Method:
    if config.backend == "ell":
        return sinkhorn_newton.ell(config.width)
    return {"dense": sinkhorn_newton.DENSE, "host": sinkhorn_newton.HOST}[config.backend]


def _split(config: Sinkhorn | SinkhornNewton):
    """What of a configuration is traced, and what is static."""
    if isinstance(config, Sinkhorn):
        relaxation = 0.0 if config.relaxation == "auto" else config.relaxation
        return (relaxation,), ("sinkhorn", config.memory, config.ladder)
    return (config.threshold, config.sweeps), ("newton", 0, config.ladder)


def _geometry(problem: Problem | Cloud) -> Geometry:
    return Matrix(problem.cost) if isinstance(problem, Problem) else problem


def _prepare_traced(problem, regularizer, tolerance, start, numbers, shape):
    problem, regularizer, start = jax.lax.stop_gradient((problem, regularizer, start))
    kind, memory, ladder = shape
    geometry, a, b = _geometry(problem), problem.a / problem.a.sum(), problem.b / problem.b.sum()
    epsilon = jnp.asarray(regularizer.gamma, a.dtype)
    if isinstance(geometry, Matrix):
        # a constant in the cost takes digits from the potentials
        geometry = Matrix(geometry.cost - geometry.cost.min())
    first = sinkhorn.first_epsilon(geometry, epsilon) if ladder else epsilon
    if start is None:
        start = jnp.zeros_like(a)
    elif ladder:
        u = jnp.where(a > 0, start / epsilon, -jnp.inf)
        v = log_mass(b) - geometry.columns(u, epsilon)
        rows = jnp.exp(u + geometry.rows(v, epsilon))
        lost = ~(jnp.abs(rows - a).sum() < _LOST)
        first = jnp.where(lost, first, epsilon)
    tolerance = jnp.asarray(tolerance, a.dtype)
    if kind == "sinkhorn":
        relaxation = jnp.asarray(numbers[0], a.dtype)
        history = jnp.zeros((memory, *a.shape), a.dtype)
        return sinkhorn.Task(geometry, a, b, epsilon, first, start, tolerance, relaxation, history)
    threshold, sweeps = jax.tree.map(jnp.asarray, numbers)
    threshold = jax.tree.map(lambda x: x.astype(a.dtype), threshold)
    sweeps = sweeps.astype(jnp.int32)
    return sinkhorn_newton.Task(geometry.cost, a, b, epsilon, first, start, tolerance, sweeps, threshold)  # type: ignore[union-attr]


_prepare = jit(_prepare_traced)


@jit
def _finish(problem: Problem | Cloud, regularizer: Entropic, state: Any, reason: Any, tolerance: Array):
    r"""Potentials, value and errors from the state's row potentials, the columns made exact; how it ended, ties, units.

    The value is $\alpha^\top a + \beta^\top b - \varepsilon \sum_{ij} e^{(\alpha_i + \beta_j - c_{ij})/\varepsilon - 1}$ at
    fixed potentials: what JAX makes of its derivative is the envelope theorem.
    """
    fixed, epsilon, state = jax.lax.stop_gradient((problem, jnp.asarray(regularizer.gamma, problem.a.dtype), state))
    alive, taken = fixed.a > 0, fixed.b > 0
    u = state.u if isinstance(state, sinkhorn.State) else state.z
    u = u * (state.epsilon / epsilon)  # another epsilon only where the ladder was not climbed down
    centre = jnp.where(alive, u, 0.0).sum() / alive.sum()
    u = jnp.where(alive, u - centre, -jnp.inf)
    geometry = _geometry(fixed)
    v = log_mass(fixed.b) - geometry.columns(u, epsilon)
    if isinstance(geometry, Matrix):
        plan = jnp.exp(u[:, None] + v[None, :] - geometry.cost / epsilon)
        rows, columns = plan.sum(axis=1), plan.sum(axis=0)
    else:
        rows, columns = jnp.exp(u + geometry.rows(v, epsilon)), jnp.exp(v + geometry.columns(u, epsilon))
    alpha, beta = epsilon * u, epsilon * (v + 1)

    def dual():
        strength = jnp.asarray(regularizer.gamma, problem.a.dtype)
        x = jnp.where(alive, jnp.where(alive, alpha, 0.0) / strength, -jnp.inf)
        y = jnp.where(taken, beta, 0.0) / strength - 1
        total = jnp.where(taken, jnp.exp(y + _geometry(problem).columns(x, strength)), 0.0).sum()
        linear = jnp.where(alive, alpha, 0.0) @ problem.a + jnp.where(taken, beta, 0.0) @ problem.b
        return linear - strength * total

    value, errors = dual(), (jnp.abs(rows - fixed.a).sum(), jnp.abs(columns - fixed.b).sum())
    reason = judged(jnp.asarray(reason), value, errors[0] + errors[1], tolerance * problem.a.sum(), sufficient=True)
    return (alpha, beta), value, errors, reason, jnp.zeros_like(reason), _units(problem, regularizer)


def _in_units(value: Any, row_error: Any, mass: Any, level: Any) -> dict[str, Any]:
    return {"value": value * mass + level, "row_error": row_error * mass}


_scaled = jit(_in_units)


def _units(problem: Problem | Cloud, regularizer: Entropic) -> tuple[Array, Array]:
    """The value of a plan of this mass is this much of that of mass 1, and its entropy has a term of its own."""
    mass = problem.a.sum()
    offset = problem.cost.min() * mass if isinstance(problem, Problem) else 0.0
    return mass, jnp.asarray(regularizer.gamma * mass * jnp.log(mass) + offset)

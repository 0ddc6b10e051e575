r"""Sinkhorn-Newton-Sparse: Newton's method on the entropic semi-dual, whose Hessian is made sparse.

$$ D(\alpha) = \alpha^\top a - \varepsilon \sum_j b_j \left(\mathrm{logsumexp}_i\big((\alpha_i - c_{ij})/\varepsilon\big)
   - \log b_j\right), \qquad T = b_j\,\mathrm{softmax}\big((\alpha - c_j)/\varepsilon\big), $$
$$ \nabla D = a - T 1, \qquad
   -\varepsilon \nabla^2 D = H = \mathrm{diag}(T 1) - T\,\mathrm{diag}(b)^{-1} T^\top . $$

This is the paper's dual with the column potentials eliminated (its Schur complement): half the unknowns, half the
eigenvalues, and columns that hold at every iterate. In H, entries of T below a threshold are left out of the product,
while the diagonal keeps the **full** row sums. With S the entries kept and D those left out,

$$ z^\top H_S z = \min_w \sum_{ij} S_{ij} (z_i - w_j)^2 + D_{ij} (z_i^2 + w_j^2) , $$

so that $H_S$ is positive semidefinite for every threshold.

- **Ladder**: epsilon starts at a tenth of the mean cost and is divided by 4 once the error is below 0.05, each level
  beginning with a Sinkhorn sweep. From zero at a small epsilon Newton's steps overshoot, and a hundred of them need not arrive.
- **Threshold**: by default at most $\min(\theta, e)$ of the mass is left out, e being the L1 error. With a fixed number of
  entries convergence is linear; shrinking with the error, it is superlinear at the same cost.
- **Line search** on D by halving, in differences summed from small terms. D changes by $e^2$, which drowns in rounding at
  an error of 1e-8: there a step is taken where the error falls.
- **Safeguard**: a Sinkhorn sweep, which never goes down, after every step that ends above an error of 0.01, and several
  after a refused step.

Backends differ in how they solve with H: ``dense`` factorizes the full one (exact Newton, time O(m^2 n + m^3), jitted);
``ell`` keeps a fixed number of entries of each column (jitted conjugate gradients, for ``vmap`` and GPUs; a step whose
width holds too little mass takes the whole plan); ``host`` compresses to CSR on the host (conjugate gradients in SciPy, or
a factor where they take too long). All pass O(m n) exponentials for each trial step and keep the cost and the plan.

References: Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, Accelerating Sinkhorn algorithm with sparse
Newton iterations, ICLR 2024. Brauer, Clason, Lorenz, Wirth, A Sinkhorn-Newton method for entropic optimal transport, 2017.
"""

import numbers
from contextlib import suppress
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse
from jax.scipy.linalg import cho_factor, cho_solve
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import check_choices, chosen
from lab.numerics import Method, Reason
from lab.numerics.select import kth_largest
from lab.ot.geometry import log_mass
from lab.ot.sinkhorn import normal_exp, within

LIMIT = 1000  # steps, of both kinds
_LOOSE = 0.05  # error at which epsilon falls
_FACTOR = 0.25
_SWEEPS = 1  # at the start of a level
_FAR = 1e-2  # error above which a sweep follows every step
_SHORT = 0.3  # size of a step below which one does: rows of little mass are far off, and do not show in the error
_HALVINGS = 12
_RISE = 1e-4
_WAIT = 30  # steps without less error: stalled
_FACTOR_LIMIT = 4096  # rows up to which the host factorizes where conjugate gradients take too long


class Adaptive(NamedTuple):
    """Leave out at most ``min(theta, error)`` of the mass, or what still leads below the tolerance."""

    theta: ArrayLike = 1e-2

    def cutoff(self, plan: Array, error: Array, tolerance: Array) -> Array:
        # a step multiplies the error by about the mass that it leaves out
        enough = jnp.maximum(error, 0.1 * tolerance / error)
        return jnp.minimum(jnp.asarray(self.theta), enough) * plan.sum() / plan.size


class Absolute(NamedTuple):
    """Leave out the entries below ``rho`` times the total mass."""

    rho: ArrayLike

    def cutoff(self, plan: Array, error: Array, tolerance: Array) -> Array:
        return jnp.asarray(self.rho) * plan.sum()


class Density(NamedTuple):
    """Keep the fraction ``density`` of the entries, the largest: the paper's rule."""

    density: ArrayLike

    def cutoff(self, plan: Array, error: Array, tolerance: Array) -> Array:
        k = jnp.clip(jnp.ceil(jnp.asarray(self.density) * plan.size).astype(jnp.int32), 1, plan.size)
        return kth_largest(plan.reshape(-1, 1), k)[0]


@chosen
class SinkhornNewton(NamedTuple):
    """How to run Sinkhorn-Newton-Sparse; a ``method`` of ``solve``.

    Fields:
        backend: "dense", "ell", "host", or "auto", by size and device.
        threshold: what is left out of the Hessian (not by ``dense``).
        sweeps: of Sinkhorn before the first Newton step of each level.
        ladder: start at a large epsilon.
        width: entries of each column that ``ell`` keeps.
    """

    backend: Literal["auto", "dense", "ell", "host"] | str = "auto"
    threshold: Adaptive | Absolute | Density = Adaptive()
    sweeps: int = _SWEEPS
    ladder: bool = True
    width: int = 32

    def check(self) -> None:
        """Refuse settings outside what is allowed; traced ones pass.

        Raises:
            ValueError: the setting, and what is allowed.
        """
        check_choices(self)
        whole = "a whole number of at least 1"
        within("width", self.width, lambda w: isinstance(w, numbers.Integral) and int(w) >= 1, whole)
        within("sweeps", self.sweeps, lambda w: int(w) >= 0, "at least 0")
        for number in self.threshold:
            within("threshold", number, lambda x: float(x) >= 0, "of numbers that are not negative")


class Task(NamedTuple):
    """What the steps need. Masses have total 1. All is traced."""

    cost: Float[Array, "m n"]
    a: Float[Array, " m"]
    b: Float[Array, " n"]
    epsilon: Float[Array, ""]
    first: Float[Array, ""]  # epsilon to start at
    start: Float[Array, " m"]
    tolerance: Float[Array, ""]
    sweeps: Int[Array, ""]
    threshold: Adaptive | Absolute | Density


class Solved(NamedTuple):
    """A direction, and what it took."""

    direction: Float[Array, " m"]  # of alpha / epsilon
    inner: Int[Array, ""]  # iterations of conjugate gradients; 0 when factorized
    kept: Int[Array, ""]  # entries of the plan in the Hessian
    dropped: Float[Array, ""]  # mass left out


class State(NamedTuple):
    z: Float[Array, " m"]  # alpha / epsilon
    log_scale: Float[Array, " n"]  # w: the plan is exp(z + w - cost / epsilon)
    epsilon: Float[Array, ""]
    plan: Float[Array, "m n"]
    row_error: Float[Array, ""]
    sweeps: Int[Array, ""]  # due before the next Newton step
    refused: Int[Array, ""]  # Newton steps in a row
    newton: Int[Array, ""]  # Newton steps in all
    least: Float[Array, ""]
    waited: Int[Array, ""]
    size: Float[Array, ""]  # of the last Newton step; 0 after a sweep
    solved: tuple[Array, Array, Array]  # inner, kept, dropped of the last Newton step


def _at(task: Task, z: Array, epsilon: Array):
    """The plan with exact columns, its column scales, and its row error."""
    x = z[:, None] - task.cost / epsilon
    top = x.max(axis=0)
    plan = normal_exp(x - top[None, :])
    total = plan.sum(axis=0)
    plan = plan * (task.b / total)[None, :]
    return log_mass(task.b) - jnp.log(total) - top, plan, jnp.abs(plan.sum(axis=1) - task.a).sum()


def _swept(task: Task, z: Array, log_scale: Array, plan: Array, epsilon: Array) -> Array:
    """The row potentials after one half of a Sinkhorn sweep."""
    rows = plan.sum(axis=1)
    sound = ((rows > 1e3 * jnp.finfo(rows.dtype).tiny) | (task.a == 0)).all()

    def from_logs():  # rows that underflowed
        return log_mass(task.a) - jax.nn.logsumexp(log_scale[None, :] - task.cost / epsilon, axis=1)

    return jax.lax.cond(sound, lambda: z + log_mass(task.a) - log_mass(rows), from_logs)


def init(task: Task) -> State:
    """The state before the first step, at the first epsilon of the ladder."""
    epsilon = jnp.maximum(task.first, task.epsilon)
    z = jnp.where(task.a > 0, task.start / epsilon, -jnp.inf)
    log_scale, plan, error = _at(task, z, epsilon)
    zero, none = jnp.zeros_like(epsilon), jnp.int32(0)
    sweeps = jnp.asarray(task.sweeps, jnp.int32)
    return State(
        z,
        log_scale,
        epsilon,
        plan,
        error,
        sweeps,
        refused=none,
        newton=none,
        least=error,
        waited=none,
        size=zero,
        solved=(none, none, zero),
    )


def _sweep(task: Task, state: State) -> State:
    z = _swept(task, state.z, state.log_scale, state.plan, state.epsilon)
    z = jnp.where(task.a > 0, z, -jnp.inf)
    log_scale, plan, error = _at(task, z, state.epsilon)
    none = jnp.int32(0), jnp.int32(0), jnp.zeros_like(error)
    return state._replace(
        z=z, log_scale=log_scale, plan=plan, row_error=error, sweeps=state.sweeps - 1, size=0 * error, solved=none
    )


def _newton(solve, task: Task, state: State) -> State:
    a, alive = task.a, task.a > 0
    gradient = a - state.plan.sum(axis=1)
    solved = solve(task, state, gradient)
    finite = jnp.isfinite(solved.direction).all()
    direction = jnp.where(finite & alive, solved.direction, 0.0)
    slope = direction @ gradient
    # alpha moves by at most the spread of costs: along a nearly null direction H asks for more
    spread = (task.cost.max() - task.cost.min()) / state.epsilon
    longest = jnp.minimum(1.0, (spread + 1) / jnp.maximum(jnp.abs(direction).max(), jnp.finfo(a.dtype).tiny))
    noise = 20 * jnp.finfo(a.dtype).eps * jnp.where(alive, jnp.abs(state.z), 1.0).max()

    def shorter(carry):
        size, count, *_ = carry
        size = jnp.where(count == 0, longest, size / 2)
        log_scale, plan, error = _at(task, jnp.where(alive, state.z + size * direction, -jnp.inf), state.epsilon)
        change = jnp.where(task.b > 0, log_scale - state.log_scale, 0.0)
        rise = size * (direction @ a) + task.b @ change
        lost = (size * slope < noise) & (error < state.row_error)  # D is lost in rounding, the error is not
        accepted = (rise >= _RISE * size * slope) & (error < 1e6) | lost
        return size, count + 1, accepted, log_scale, plan, error

    carry = (longest, jnp.int32(0), jnp.array(False), state.log_scale, state.plan, state.row_error)
    size, _, accepted, log_scale, plan, error = jax.lax.while_loop(
        lambda c: ~c[2] & (c[1] < jnp.where(slope > 0, _HALVINGS, 0)), shorter, carry
    )
    refused = jnp.where(accepted, 0, state.refused + 1)
    unsure = (error > _FAR) | (size < _SHORT)
    due = jnp.where(accepted, jnp.where(unsure, 1, 0), jnp.where(refused >= 3, 50, 5))
    return state._replace(
        z=jnp.where(accepted & alive, state.z + size * direction, state.z),
        log_scale=jnp.where(accepted, log_scale, state.log_scale),
        plan=jnp.where(accepted, plan, state.plan),
        row_error=jnp.where(accepted, error, state.row_error),
        sweeps=due.astype(jnp.int32),
        refused=refused,
        newton=state.newton + 1,
        size=jnp.where(accepted, size, 0.0),
        solved=(solved.inner, solved.kept, solved.dropped),
    )


def _step(solve, task: Task, state: State) -> State:
    before = state
    state = jax.lax.cond(state.sweeps > 0, _sweep, partial(_newton, solve), task, state)
    lower = (state.epsilon > task.epsilon) & (state.row_error <= _LOOSE)
    state = jax.lax.cond(lower, _lowered, lambda _, s: s, task, state)
    better = lower | (state.row_error < 0.9 * before.least)
    return state._replace(
        least=jnp.where(better, state.row_error, before.least),
        # a spell of sweeps after refused steps is not a stall
        waited=jnp.where(better, 0, before.waited + (before.sweeps == 0)),
    )


def _lowered(task: Task, state: State) -> State:
    epsilon = jnp.maximum(state.epsilon * _FACTOR, task.epsilon)
    z = state.z * (state.epsilon / epsilon)
    log_scale, plan, error = _at(task, z, epsilon)
    sweeps, none = jnp.asarray(task.sweeps, jnp.int32), jnp.int32(0)
    return state._replace(
        z=z, log_scale=log_scale, epsilon=epsilon, plan=plan, row_error=error, sweeps=sweeps, refused=none
    )


def done(task: Task, state: State) -> Array:
    """Whether the row error is within the tolerance at the last epsilon, or no longer falls."""
    final = state.epsilon <= task.epsilon
    reason = jnp.where(state.waited >= _WAIT, Reason.STALLED, Reason.RUNNING)
    reason = jnp.where(final & (state.row_error <= task.tolerance), Reason.CONVERGED, reason)
    return jnp.where(jnp.isfinite(state.row_error), reason, Reason.NOT_FINITE).astype(jnp.int32)


def measure(task: Task, state: State) -> dict[str, Array]:
    """What the trace keeps of a step: the value at the last epsilon, the row error, and what the linear solve was like."""

    def dual(epsilon, z, log_scale):
        potentials = jnp.where(task.a > 0, task.a * z, 0.0).sum() + jnp.where(task.b > 0, task.b * log_scale, 0.0).sum()
        return epsilon * potentials

    def lowered():
        z = state.z * (state.epsilon / task.epsilon)
        return dual(task.epsilon, z, _at(task, z, task.epsilon)[0])

    final = state.epsilon <= task.epsilon
    inner, kept, dropped = state.solved
    return {
        "value": jax.lax.cond(final, lambda: dual(task.epsilon, state.z, state.log_scale), lowered),
        "row_error": state.row_error,
        "residual": state.row_error,
        "epsilon": state.epsilon,
        "newton_steps": state.newton.astype(state.row_error.dtype),
        "size": state.size,
        "inner": inner.astype(dropped.dtype),  # not integers, which have no NaN for the rows after the last
        "kept": kept.astype(dropped.dtype),
        "dropped": dropped,
    }


def _forcing(task: Task, error: Array) -> Array:
    """How exactly to solve for the direction: enough for superlinear convergence, and not beyond the tolerance."""
    return jnp.minimum(0.1, jnp.maximum(jnp.sqrt(error), 0.1 * task.tolerance / error))


def _inverse(mass: Array) -> Array:
    return jnp.where(mass > 0, 1 / jnp.where(mass > 0, mass, 1.0), 0.0)


def _diagonal(task: Task, rows: Array) -> Array:
    """Row sums with which H is regular: 1 where there is no mass, and never below rounding."""
    return jnp.where(task.a > 0, jnp.maximum(rows, jnp.finfo(rows.dtype).eps * task.a), 1.0)


def _dense(task: Task, state: State, gradient: Array) -> Solved:
    plan = state.plan
    diagonal = _diagonal(task, plan.sum(axis=1))
    root = plan * jnp.sqrt(_inverse(task.b))[None, :]
    # The null vector is 1. A shift relative to each row, not to the largest, keeps rows of little mass.
    hessian = jnp.diag(diagonal * (1 + 10 * jnp.finfo(plan.dtype).eps)) - root @ root.T
    direction = cho_solve(cho_factor(hessian, lower=True), gradient)
    return Solved(direction, jnp.int32(0), jnp.int32(plan.size), jnp.zeros_like(state.row_error))


def _ell(width: int, task: Task, state: State, gradient: Array) -> Solved:
    plan, m = state.plan, state.plan.shape[0]
    cutoff = task.threshold.cutoff(plan, state.row_error, task.tolerance)
    # the selection in float32 is ten times faster, and only its order counts
    _, rows = jax.lax.top_k(plan.T.astype(jnp.float32), min(width, m))
    values = jnp.take_along_axis(plan.T, rows, axis=1)
    values = jnp.where(values >= cutoff, values, 0.0)
    full = plan.sum(axis=1)
    diagonal, inverse = _diagonal(task, full), _inverse(task.b)
    dropped = jnp.maximum(plan.sum() - values.sum(), 0.0)
    whole = dropped > jnp.maximum(0.5 * state.row_error, plan.size * cutoff)

    def kept(x):
        y = (values * x[rows]).sum(axis=1) * inverse
        return diagonal * x - jnp.zeros_like(x).at[rows].add(values * y[:, None])

    def all_(x):
        return diagonal * x - plan @ ((x @ plan) * inverse)

    squares = jnp.zeros_like(full).at[rows].add(values * values * inverse[:, None])
    direction, inner = jax.lax.cond(
        whole,
        lambda: _conjugate_gradients(
            all_, diagonal - (plan * plan) @ inverse, gradient, _forcing(task, state.row_error)
        ),
        lambda: _conjugate_gradients(kept, diagonal - squares, gradient, _forcing(task, state.row_error)),
    )
    count = jnp.where(whole, plan.size, (values > 0).sum(dtype=jnp.int32)).astype(jnp.int32)
    return Solved(direction, inner, count, jnp.where(whole, 0.0, dropped))


def _conjugate_gradients(matvec, jacobi: Array, right: Array, within: Array) -> tuple[Array, Array]:
    """Until |residual|_1 <= within |right|_1, at most 2 m iterations, or a direction without curvature is met."""
    eps = jnp.finfo(right.dtype).eps
    jacobi = 1 / jnp.maximum(jacobi, eps * jnp.abs(jacobi).max())
    goal = within * jnp.abs(right).sum()

    def go_on(carry):
        _, residual, _, _, count, flat = carry
        return (jnp.abs(residual).sum() > goal) & (count < 2 * right.shape[0]) & ~flat

    def improve(carry):
        x, residual, p, rho, count, _ = carry
        q = matvec(p)
        curvature = p @ q
        flat = curvature <= jnp.finfo(right.dtype).tiny
        size = jnp.where(flat, 0.0, rho / jnp.where(flat, 1.0, curvature))
        x, residual = x + size * p, residual - size * q
        z = jacobi * residual
        new = residual @ z
        return x, residual, z + (new / rho) * p, new, count + 1, flat

    z = jacobi * right
    carry = (jnp.zeros_like(right), right, z, right @ z, jnp.int32(0), jnp.array(False))
    x, _, _, _, count, _ = jax.lax.while_loop(go_on, improve, carry)
    return x, count


def _host(task: Task, state: State, gradient: Array) -> Solved:
    cutoff = task.threshold.cutoff(state.plan, state.row_error, task.tolerance)
    vector = jax.ShapeDtypeStruct(gradient.shape, gradient.dtype)
    scalar, count = jax.ShapeDtypeStruct((), gradient.dtype), jax.ShapeDtypeStruct((), jnp.int32)
    within = _forcing(task, state.row_error)
    shapes = (vector, count, count, scalar)
    diagonal = _diagonal(task, state.plan.sum(axis=1))
    found = jax.pure_callback(
        _on_host, shapes, state.plan, diagonal, _inverse(task.b), gradient, cutoff, within, vmap_method="sequential"
    )
    return Solved(*found)


def _on_host(plan, diagonal, inverse, gradient, cutoff, within):
    plan, diagonal, inverse, gradient = (np.asarray(x) for x in (plan, diagonal, inverse, gradient))
    kept = sparse(plan, float(cutoff))
    transposed = kept.T.tocsr()
    jacobi = diagonal - kept.multiply(kept) @ inverse

    def matvec(x):
        return diagonal * x - kept @ (inverse * (transposed @ x))

    m = plan.shape[0]
    # beyond this many products a factor of the matrix is faster
    factor = m <= _FACTOR_LIMIT
    most = 20 + int(m * m * (plan.shape[1] + m / 3) / (20 * (4 * kept.nnz + 20 * m))) if factor else 2 * m
    x, count, fine = _host_gradients(matvec, jacobi, gradient, float(within), min(most, 2 * m))
    if not fine and factor:
        root = (kept.multiply(np.sqrt(inverse)[None, :])).tocsr()
        hessian = -(root @ root.T).toarray()
        hessian[np.diag_indices(m)] += diagonal * (1 + 10 * np.finfo(plan.dtype).eps)
        with suppress(np.linalg.LinAlgError):  # else the line search judges what conjugate gradients have found
            x = scipy.linalg.cho_solve(scipy.linalg.cho_factor(hessian, lower=True, overwrite_a=True), gradient)
    dropped = max(float(plan.sum() - kept.sum()), 0.0)
    dtype = plan.dtype
    return x.astype(dtype), np.int32(count), np.int32(kept.nnz), np.asarray(dropped, dtype)


def sparse(plan: np.ndarray, cutoff: float) -> scipy.sparse.csr_array:
    """The entries of a plan that are at least ``cutoff``, and the largest of each row and column."""
    mask = plan >= cutoff
    mask[np.arange(plan.shape[0]), plan.argmax(axis=1)] = True
    mask[plan.argmax(axis=0), np.arange(plan.shape[1])] = True
    places = np.flatnonzero(mask)
    start = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    return scipy.sparse.csr_array((plan.ravel()[places], places % plan.shape[1], start), shape=plan.shape)


def _host_gradients(matvec, jacobi, right, within, most):
    eps = np.finfo(right.dtype).eps
    jacobi = 1 / np.maximum(jacobi, eps * np.abs(jacobi).max())
    x, residual = np.zeros_like(right), right.copy()
    goal = within * np.abs(right).sum()
    p = jacobi * residual
    rho = residual @ p
    for count in range(most):
        if np.abs(residual).sum() <= goal:
            return x, count, True
        q = matvec(p)
        curvature = p @ q
        if not curvature > 1e-300:
            return x, count, False
        size = rho / curvature
        x += size * p
        residual -= size * q
        z = jacobi * residual
        rho, before = residual @ z, rho
        p = z + (rho / before) * p
    return x, most, bool(np.abs(residual).sum() <= goal)


def _method(solve) -> Method:
    return Method(init, partial(_step, solve), done, measure, _kind)


def _kind(state: State) -> Array:
    return (state.sweeps > 0).astype(jnp.int32)


DENSE = _method(_dense)
HOST = _method(_host)


@lru_cache
def ell(width: int) -> Method:
    """The method with at most ``width`` entries of each column in the Hessian."""
    return _method(partial(_ell, width))

"""Descents side by side from several first accuracies, and what one came to: true losses, errors, a plane."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.numerics import Loop, Reason, Run, pure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.tuning import hypergradient, lower, maid, rivals
from lab.tuning.descent import Rules, State, Task
from lab.tuning.problem import Bilevel, norm

STARTS = (10.0, 1.0, 0.1, 1e-3, 1e-5)
"""First accuracies that are compared."""
FRAMES = 9
"""Steps that are looked at closely."""
CELLS = 11
"""Values a side of the loss in a plane."""
_TIGHT = 1e-9  # accuracy of what counts as exact
_PLANE = 1e-3  # and of the loss in a plane


class Fan(eqx.Module):
    """Descents of a comparison: of one, its first accuracy and a number that says how accuracies go on."""

    problem: Bilevel
    theta: Array
    alpha: Any
    rules: Rules
    rows: int = eqx.field(static=True)
    scheduled: bool = eqx.field(static=True)  # HOAG

    def run(self, eps: Any, flag: Any, loop: Loop) -> Run:
        """One descent, by the program of ``maid.minimise`` or ``rivals.hoag``."""
        method = rivals.HOAG if self.scheduled else maid.METHOD
        adaptive, schedule = jnp.asarray(flag > 0), jnp.asarray(flag, jnp.int32)
        if self.scheduled:
            adaptive = jnp.zeros_like(adaptive)
        task = Task(self.problem, self.theta, eps, eps, self.alpha, self.rules, adaptive, schedule, self.rows)
        return loop(method, task, max_iterations=self.rows)

    def __call__(self, item: Float[Array, " 2"]) -> dict[str, Array]:
        """What is told of one, where all are traced."""
        run = self.run(item[0], item[1], pure)
        return told(self.problem, run.state, run.trace["loss"], run.trace["cost_lower"] + run.trace["cost_cg"])


@jit
def told(problem: Bilevel, state: State, loss: Array, cost: Array) -> dict[str, Array]:
    """loss and cost by step, NaN after the last one; the true loss at the end; the ending."""
    known = problem.constants(state.x, state.theta)
    best = lower.solve(problem, state.theta, state.x, _TIGHT, known)
    last = problem.upper(best.x) + problem.penalty(state.theta)
    return {"loss": loss, "cost": cost, "last": last, "ending": state.ending.astype(last.dtype)}


def fan(
    problem: Bilevel, theta: Array, alpha: Any, rules: Rules, rows: int, loop: Loop
) -> tuple[dict[str, Array], Any]:
    """MAID and fixed accuracies from five first accuracies, and HOAG by three schedules from the third: 13 runs, in this order.

    Returns:
        what ``told`` gives, with a row for each run, and the reason: that of a stop, or CONVERGED.
    """
    dtype = theta.dtype
    adaptive = np.array([[eps, flag] for flag in (1, 0) for eps in STARTS], dtype)
    scheduled = np.array([[STARTS[2], number] for number in range(len(rivals.SCHEDULES))], dtype)
    parts, stopped = [], Reason.CONVERGED
    for hoag, items in ((False, adaptive), (True, scheduled)):
        each = Fan(problem, theta, alpha, rules, rows, hoag)
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((each, alpha))):
            parts.append(jax.lax.map(each, jnp.asarray(items)))
            continue
        for eps, flag in items:
            run = each.run(float(eps), flag, loop)
            if int(run.reason) == Reason.STOPPED:
                stopped = Reason.STOPPED
            loss, cost = (
                filled(values, rows) for values in (run.trace["loss"], run.trace["cost_lower"] + run.trace["cost_cg"])
            )
            parts.append(_row(problem, run.state, loss, cost))
    return _joined(parts), stopped


_row = jit(lambda *run: jax.tree.map(lambda leaf: leaf[None], told(*run)))
_joined = jit(lambda parts: jax.tree.map(lambda *rows: jnp.concatenate(rows), *parts))


def filled(values: Any, rows: int) -> Array:
    """NaN after the last one, as a pure loop has them."""
    if isinstance(values, Tracer):
        return values
    values = np.asarray(values)
    return placed(np.concatenate([values, np.full(rows - len(values), np.nan, values.dtype)]))


def names() -> list[str]:
    """Of the runs of ``fan``."""
    shown = [f"{eps:g}" for eps in STARTS]
    return (
        [f"MAID {eps}" for eps in shown] + [f"fixed {eps}" for eps in shown] + [f"HOAG {s}" for s in rivals.SCHEDULES]
    )


class Looked(NamedTuple):
    """Some steps of a descent, evenly chosen from the first to the last."""

    step: Array  # (FRAMES,) number of the step
    x: Array  # the minimiser
    loss: Array  # f
    error: Array  # ||z - grad f|| of the slope that was used
    theta: Array


@jit
def look(problem: Bilevel, path: Array, slopes: Array, count: Array) -> Looked:
    """Minimisers, true losses and errors of slopes, to an accuracy of 1e-9."""
    steps = jnp.round(jnp.linspace(0.0, 1.0, FRAMES) * count).astype(jnp.int32)

    def at(carry: tuple, step: Array) -> tuple[tuple, Looked]:
        x, q = carry
        theta = path[step]
        solved = lower.solve(problem, theta, x, _TIGHT, problem.constants(x, theta), 20_000)
        slope, linear, _ = hypergradient.inexact(problem, theta, solved.x, q, _TIGHT)
        loss = problem.upper(solved.x) + problem.penalty(theta)
        return (solved.x, linear.q), Looked(step, solved.x, loss, norm(slopes[step] - slope), theta)

    x = problem.start(path[0])
    return jax.lax.scan(at, (x, jnp.zeros_like(x)), steps)[1]


class Plane(NamedTuple):
    """The loss in a plane through the path."""

    u: Array  # (CELLS,)
    v: Array
    loss: Array  # (CELLS, CELLS), by v and u
    path: Array  # (rows + 1, 2)


@jit
def plane(problem: Bilevel, path: Array, count: Array) -> Plane:
    """f around the path: over both hyperparameters where there are two, else in the plane of its two principal directions."""
    there = (jnp.arange(len(path)) <= count)[:, None]
    origin, basis = jnp.zeros_like(path[0]), jnp.eye(path.shape[1], dtype=path.dtype)
    if path.shape[1] > 2:
        origin = path[count]
        basis = jnp.linalg.svd(jnp.where(there, path - origin[None], 0.0), full_matrices=False)[2][:2]
    way = jnp.where(there, (path - origin[None]) @ basis.T, jnp.nan)
    low, high = jnp.nanmin(way, axis=0), jnp.nanmax(way, axis=0)
    wide = jnp.maximum(high - low, 0.3 * (high - low).max() + 1e-3)
    middle = (low + high) / 2
    shares = jnp.linspace(-0.75, 0.75, CELLS)
    u, v = (middle[i] + wide[i] * shares for i in (0, 1))

    def at(x: Array, number: Array) -> tuple[Array, Array]:
        row, place = jnp.divmod(number, CELLS)
        column = jnp.where(
            row % 2 == 0, place, CELLS - 1 - place
        )  # there and back, so that neighbours follow each other
        theta = origin + jnp.stack([u[column], v[row]]) @ basis
        solved = lower.solve(problem, theta, x, _PLANE, problem.constants(x, theta))
        return solved.x, problem.upper(solved.x) + problem.penalty(theta)

    losses = jax.lax.scan(at, problem.start(path[0]), jnp.arange(CELLS**2))[1].reshape(CELLS, CELLS)
    return Plane(u, v, jnp.where((jnp.arange(CELLS) % 2 == 0)[:, None], losses, losses[:, ::-1]), way)

"""Points without mass, for methods that need a positive mass of each: they are left out, and put back into the answer."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from lab.ot.problem import Problem
from lab.ot.regularizers import Regularizer
from lab.ot.solution import Solution


class Present(NamedTuple):
    """Which points have mass."""

    rows: Bool[np.ndarray, " m"]
    columns: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, problem: Any) -> "Present | None":
        """None where all have, or where nobody knows: inside ``jit`` and ``vmap``."""
        if not isinstance(problem, Problem) or any(isinstance(x, Tracer) for x in problem) or problem.cost.ndim != 2:
            return None
        there = cls(np.asarray(problem.a) > 0, np.asarray(problem.b) > 0)
        return None if there.rows.all() and there.columns.all() else there

    def part(self, problem: Problem) -> Problem:
        """The problem of those that have."""
        return Problem(problem.cost[np.ix_(self.rows, self.columns)], problem.a[self.rows], problem.b[self.columns])

    def start(self, init: Any, axis: str) -> Any:
        """Potentials to start from, of these alone."""
        own = self.rows if axis == "columns" else self.columns
        if isinstance(init, Solution):
            init = init.alpha if axis == "columns" else init.beta
        return init if init is None or isinstance(init, str) or np.shape(init) != own.shape else jnp.asarray(init)[own]

    def potentials(self, cost: Array, alpha: Array, beta: Array) -> tuple[Array, Array]:
        """Potentials of all: those of a point without mass so low that it gets none."""
        rows, columns = jnp.asarray(self.rows), jnp.asarray(self.columns)
        spread = cost.max() - cost.min()
        all_alpha = jnp.zeros(self.rows.size, cost.dtype).at[np.flatnonzero(self.rows)].set(alpha)
        all_beta = jnp.zeros(self.columns.size, cost.dtype).at[np.flatnonzero(self.columns)].set(beta)
        free = jnp.where(columns[None, :], cost - all_beta[None, :], jnp.inf).min(axis=1)
        all_alpha = jnp.where(rows, all_alpha, free - spread)
        all_beta = jnp.where(columns, all_beta, (cost - all_alpha[:, None]).min(axis=0) - spread)
        level = all_alpha.mean()
        return all_alpha - level, all_beta + level

    def whole(self, array: Array) -> Array:
        """A plan of those that have mass as one of all."""
        return (
            jnp.zeros((self.rows.size, self.columns.size), array.dtype).at[np.ix_(self.rows, self.columns)].set(array)
        )


class Part(NamedTuple):
    """The state of an answer that was put together: that of the points with mass."""

    present: Present
    solution: Solution


class Restored(Solution):
    """An answer that was put together from that of the points with mass, its state a ``Part``."""

    def relaxed_optimum(self) -> Float[Array, "m n"]:
        """That of the points with mass, and nothing elsewhere."""
        part: Any = self.state
        return part.present.whole(part.solution.relaxed_optimum())


def restored(problem: Problem, regularizer: Regularizer, present: Present, found: Solution) -> Restored:
    """The answer for all points: a potential of one without mass is so low that it gets none."""
    alpha, beta = present.potentials(problem.cost, found.alpha, found.beta)
    return Restored(
        alpha,
        beta,
        found.value,
        found.row_error,
        found.column_error,
        found.n_ties,
        found.iterations,
        found.reason,
        found.trace,
        problem,
        regularizer,
        Part(present, found),
        found.formulation,
        found.axis,
        found.method,
        found.why,
    )

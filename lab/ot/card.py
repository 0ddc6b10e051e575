"""What a notebook shows of a solution."""

from html import escape
from typing import Any

import numpy as np
from jax.core import Tracer

from lab.cards import card, of_pixels
from lab.numerics import Reason
from lab.words import number


def of_solution(solution: Any) -> str:
    """The value, the marginals and the end of a solution of ``lab.ot.solve``, with its plan."""
    if isinstance(solution.value, Tracer):
        return f"<pre>{escape(repr(type(solution)))}, traced</pre>"
    m, n = solution.problem.a.shape[-1], solution.problem.b.shape[-1]
    title, under = (
        "Transport plan",
        f"{m:,} x {n:,}, {type(solution.regularizer).__name__}, {solution.method or 'newton'}",
    )
    if np.ndim(solution.value):
        rows = [("converged", f"{int(np.sum(solution.converged)):,} of {np.size(solution.value):,} problems", "")]
        return card(title, under, rows)
    reason, total = Reason(int(solution.reason)), float(np.sum(solution.problem.a))
    moved = float(np.sum(solution.plan())) / total if hasattr(solution, "slack") and m * n <= 1 << 22 else 1.0
    relaxed = [("mass moved", f"{number(moved)} of that of the sources", "")] if hasattr(solution, "slack") else []
    rows = [
        ("value", number(float(solution.value)), ""),
        *relaxed,
        ("row error", f"{number(float(solution.row_error) / total)} of the mass", ""),
        ("column error", f"{number(float(solution.column_error) / total)} of the mass", ""),
        (
            "ended",
            f"{reason.name.lower().replace('_', ' ')} after {int(solution.iterations):,} iterations",
            "good" if reason.converged else "warn",
        ),
    ]
    says = "" if reason.converged else f"Not converged: {reason.advice}."
    return card(title, under, rows, says, _plan(solution, m, n) if m * n <= 1 << 22 else "")


def _plan(solution: Any, m: int, n: int) -> str:
    """The plan by the mass in each of at most 128 x 128 cells, dark where there is much."""
    plan = np.asarray(solution.plan(), float)
    rows, columns = min(m, 128), min(n, 128)
    pooled = np.add.reduceat(
        np.add.reduceat(plan, np.arange(rows) * m // rows, 0), np.arange(columns) * n // columns, 1
    )
    shade = np.sqrt(np.clip(pooled / (pooled.max() or 1.0), 0, 1))[..., None]
    pixels = np.round(255 + shade * (np.array([36, 86, 166]) - 255)).astype(np.uint8)
    return of_pixels(pixels)

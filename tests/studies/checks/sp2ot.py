"""Checks of the plan of progressive partial transport."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of

_BLOBS: dict[str, Any] = {"data": "long-tailed-blobs"}


def _pot_apart(run: Any) -> Any:
    """All samples and relaxed sizes: the generalized Sinkhorn iteration of unbalanced transport, written out here."""
    n, k = run.sizes["sample"], run.sizes["cluster"]
    epsilon, lam = 0.1, 1.0
    # costs up to a constant of each row, from the plan's own optimality: the rows of a balanced plan hold
    cost = -epsilon * np.log(np.maximum(run.plan.values * n, 1e-300)) + run.potential.values[None, :]
    g = np.zeros(k)
    for _ in range(2000):
        scores = (g[None, :] - cost) / epsilon
        r = np.exp(scores - scores.max(1, keepdims=True))
        s = (r / r.sum(1, keepdims=True)).mean(0)
        g = lam / (lam + epsilon) * (g + epsilon * np.log(1 / k / s))
    return np.abs(g - run.potential.values).max()


CHECKS = one_run(
    "no training: a convex problem, solved to its optimum",
    (
        Claim(
            "rows", "No sample is labelled more than once.", number("row_residual"), 0.0, "the constraint", "<=", 1e-12
        ),
        Claim(
            "uot-fixed-point",
            "At rho = 1 the potentials are the fixed point of unbalanced Sinkhorn.",
            of(_pot_apart, algorithm="uot", **_BLOBS),
            0.0,
            "Chizat, Peyre, Schmitzer, Vialard, 2018",
            "<=",
            1e-6,
        ),
        Claim(
            "balanced-sizes",
            "Balanced labels have clusters of one size.",
            number("size_kl", algorithm="balanced"),
            0.0,
            "the constraint",
            "<=",
            1e-9,
        ),
    ),
)

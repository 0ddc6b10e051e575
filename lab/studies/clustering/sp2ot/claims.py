"""What the papers and mathematics say of progressive partial transport, measured."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import Measure, number, of, rise

_BLOBS: dict[str, Any] = {"data": "long-tailed-blobs"}
_SEMANTIC: dict[str, Any] = _BLOBS | {"algorithm": "sp2ot", "rho": 0.8, "strength": 2.0}


def _apart(runs: Runs) -> float:
    newton, scaling = (runs(solver=solver, rho=0.1) for solver in ("newton", "scaling"))
    return float(newton.sizes["sample"] * np.abs(newton.plan - scaling.plan).max())


def _column_law(run: Any) -> Any:
    return np.abs(run.cluster_mass - 0.4 / run.sizes["cluster"] * np.exp(-run.potential / 0.5)).max()


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


def _trained(name: str, algorithm: str) -> Measure:
    """After 40 epochs."""
    return number(name, algorithm=algorithm, epochs=40, rho=1.0)


CLAIMS = one_run("no training: a convex problem, solved to its optimum", (
    Claim("mass", "The plan has the mass rho exactly.", number("mass_residual"), 0.0,
          "the constraint", "<=", 1e-9),
    Claim("rows", "No sample is labelled more than once.", number("row_residual"), 0.0,
          "the constraint", "<=", 1e-12),
    Claim("column-law", "The size of a cluster is its prior times exp(-g / lambda).", of(_column_law, rho=0.4, lam=0.5), 0.0,
          "optimality in the column sums", "<=", 1e-9),
    Claim("solvers-agree", "Newton's plan is that of scaling.", _apart, 0.0, "the authors' scaling algorithm", "<=", 1e-6),
    Claim("few-steps", "At rho = 0.1 Newton's method needs at most 10 steps.",
          number("iterations", rho=0.1), 10, "strict concavity of the semi-dual", "<="),
    Claim("scaling-is-slow", "At rho = 0.1 scaling needs more than 300.",
          number("iterations", rho=0.1, solver="scaling"), 300, "Zhang, Ren, He, ICLR 2024", ">="),
    Claim("uot-fixed-point", "At rho = 1 the potentials are the fixed point of unbalanced Sinkhorn.",
          of(_pot_apart, algorithm="uot", **_BLOBS), 0.0,
          "Chizat, Peyre, Schmitzer, Vialard, 2018", "<=", 1e-6),
    Claim("price-of-sizes", "A higher price lambda brings the sizes nearer to the prior.",
          rise(number("size_kl"), lam=(0.01, 0.1, 1.0, 10.0, 100.0)), 0.0,
          "convexity", "<=", 1e-9),
    Claim("balanced-sizes", "Balanced labels have clusters of one size.",
          number("size_kl", algorithm="balanced"), 0.0, "the constraint", "<=", 1e-9),
    Claim("confident-first", "Labels of the confident tenth are right more often than those of all.",
          number("precision_labelled", rho=0.1),
          number("precision_labelled", rho=1.0), "Zhang, Ren, He, ICLR 2024", ">="),
    Claim("descent", "With a positive semi-definite similarity the objective never rises.",
          number("rise", psd_shift=True, **_SEMANTIC), 0.0, "majorization", "<=", 1e-9),
    Claim("no-descent", "With the authors' similarity it never rises.",
          number("rise", **_SEMANTIC), 0.0, "Zhang, Ren, He, 2024", "<=", 1e-9, should_hold=False,
          note="a zero diagonal makes the similarity indefinite, and then the surrogate is no majorizer"),
    Claim("flexible-sizes-win", "Trained on long-tailed digits, UOT has a higher macro accuracy than balanced labels.",
          _trained("macro_acc", "uot"), _trained("macro_acc", "balanced"),
          "Zhang, Ren, He, ICLR 2024, ablation", ">", quick=False, should_hold=False, seeds=range(5),
          note="a tie here: 0.61 against 0.59 over five seeds, and the 95% interval of the difference is -0.04 to 0.08"),
    Claim("progress-wins", "P2OT has a higher macro accuracy than UOT.",
          _trained("macro_acc", "p2ot"), _trained("macro_acc", "uot"),
          "Zhang, Ren, He, ICLR 2024, ablation", ">", quick=False, seeds=range(5)),
))

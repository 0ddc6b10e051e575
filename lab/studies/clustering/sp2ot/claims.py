"""What the papers and mathematics say of progressive partial transport, measured."""

import numpy as np

from lab.studies.contract import Claim, Runs

_BLOBS = {"data": "long-tailed-blobs"}
_SEMANTIC = _BLOBS | {"algorithm": "sp2ot", "rho": 0.8, "strength": 2.0}
_SEEDS = range(5)


def _number(runs: Runs, name: str, **parameters) -> float:
    return float(runs(**parameters)[name])


def _apart(runs: Runs) -> float:
    newton, scaling = (runs(solver=solver, rho=0.1) for solver in ("newton", "scaling"))
    return float(newton.sizes["sample"] * np.abs(newton.plan - scaling.plan).max())


def _column_law(runs: Runs) -> float:
    run = runs(rho=0.4, lam=0.5)
    k = run.sizes["cluster"]
    return float(np.abs(run.cluster_mass - 0.4 / k * np.exp(-run.potential / 0.5)).max())


def _pot_apart(runs: Runs) -> float:
    """All samples and relaxed sizes: the generalized Sinkhorn iteration of unbalanced transport, written out here."""
    run = runs(algorithm="uot", **_BLOBS)
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
    return float(np.abs(g - run.potential.values).max())


def _largest_rise_of_kl(runs: Runs) -> float:
    return float(max(np.diff([_number(runs, "size_kl", lam=lam) for lam in (0.01, 0.1, 1.0, 10.0, 100.0)])))


def _mean(runs: Runs, name: str, **parameters) -> float:
    return float(np.mean([_number(runs, name, seed=seed, epochs=40, rho=1.0, **parameters) for seed in _SEEDS]))


CLAIMS = (
    Claim("mass", "The plan has the mass rho exactly.", lambda runs: _number(runs, "mass_residual"), 0.0,
          "the constraint", "<=", 1e-9),
    Claim("rows", "No sample is labelled more than once.", lambda runs: _number(runs, "row_residual"), 0.0,
          "the constraint", "<=", 1e-12),
    Claim("column-law", "The size of a cluster is its prior times exp(-g / lambda).", _column_law, 0.0,
          "optimality in the column sums", "<=", 1e-9),
    Claim("solvers-agree", "Newton's plan is that of scaling.", _apart, 0.0, "the authors' scaling algorithm", "<=", 1e-6),
    Claim("few-steps", "At rho = 0.1 Newton's method needs at most 10 steps.",
          lambda runs: _number(runs, "iterations", rho=0.1), 10, "strict concavity of the semi-dual", "<="),
    Claim("scaling-is-slow", "At rho = 0.1 scaling needs more than 300.",
          lambda runs: _number(runs, "iterations", rho=0.1, solver="scaling"), 300, "Zhang, Ren, He, ICLR 2024", ">="),
    Claim("uot-fixed-point", "At rho = 1 the potentials are the fixed point of unbalanced Sinkhorn.", _pot_apart, 0.0,
          "Chizat, Peyre, Schmitzer, Vialard, 2018", "<=", 1e-6),
    Claim("price-of-sizes", "A higher price lambda brings the sizes nearer to the prior.", _largest_rise_of_kl, 0.0,
          "convexity", "<=", 1e-9),
    Claim("balanced-sizes", "Balanced labels have clusters of one size.",
          lambda runs: _number(runs, "size_kl", algorithm="balanced"), 0.0, "the constraint", "<=", 1e-9),
    Claim("confident-first", "Labels of the confident tenth are right more often than those of all.",
          lambda runs: _number(runs, "precision_labelled", rho=0.1),
          lambda runs: _number(runs, "precision_labelled", rho=1.0), "Zhang, Ren, He, ICLR 2024", ">="),
    Claim("descent", "With a positive semi-definite similarity the objective never rises.",
          lambda runs: _number(runs, "rise", psd_shift=True, **_SEMANTIC), 0.0, "majorization", "<=", 1e-9),
    Claim("no-descent", "With the authors' similarity it never rises.",
          lambda runs: _number(runs, "rise", **_SEMANTIC), 0.0, "Zhang, Ren, He, 2024", "<=", 1e-9, should_hold=False,
          note="a zero diagonal makes the similarity indefinite, and then the surrogate is no majorizer"),
    Claim("flexible-sizes-win", "Trained on long-tailed digits, UOT finds more of the classes than balanced labels.",
          lambda runs: _mean(runs, "macro_acc", algorithm="uot"), lambda runs: _mean(runs, "macro_acc", algorithm="balanced"),
          "Zhang, Ren, He, ICLR 2024, ablation", ">=", quick=False),
    Claim("progress-wins", "P2OT finds more than UOT.",
          lambda runs: _mean(runs, "macro_acc", algorithm="p2ot"), lambda runs: _mean(runs, "macro_acc", algorithm="uot"),
          "Zhang, Ren, He, ICLR 2024, ablation", ">=", quick=False),
)  # fmt: skip

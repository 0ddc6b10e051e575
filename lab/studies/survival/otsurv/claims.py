"""What the paper and mathematics say of survival from bags by transport, measured."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, Runs
from lab.studies.vocabulary import Measure, number, of, rise
from lab.survival.statistics import chi2_tail

from .presets import TABLE

_SHORT: dict[str, Any] = {"epochs": 2}
_ARTEFACTS: dict[str, Any] = {"data": "artefact-bags", "rho": 0.5, "share": 0.4}
_PUBLISHED = ((4.457, 3.5e-2), (12.916, 3.3e-4), (9.300, 2.3e-3), (7.146, 7.5e-3), (6.800, 9.1e-3), (38.428, 5.7e-10))


_SEEDS = range(5)
_ORACLE = number("cindex_oracle", epochs=0)


def _table(pooling: str) -> Measure:
    return number("cindex", pooling=pooling, **TABLE)


def _whole(run) -> np.ndarray:
    """The plan of the shown bag with the slack last."""
    return np.c_[run.plan.values, run.slack.values]


def _rows(run: Any) -> Any:
    return np.abs(run.sizes["patch"] * _whole(run).sum(axis=1) - 1).max()


def _mass(run: Any) -> Any:
    return max(np.abs(run.mass.sum("prototype") - 1).max(), abs(float(run.plan.sum()) - 0.5))


def _scaled(run: Any) -> Any:
    """The plan of the shown costs by the authors' scaling, written out here, against the one of the run."""
    rho, lam, epsilon = 0.5, 1.0, 0.1
    n, k = run.cost.shape
    kernel = np.exp(-np.c_[run.cost.values, np.zeros(n)] / epsilon)
    prior = np.append(np.full(k, rho / k), 1 - rho)
    power = np.append(np.full(k, lam / (lam + epsilon)), 1.0)
    b = np.ones(k + 1)
    for _ in range(20_000):
        a = 1 / n / (kernel @ b)
        b = (prior / (kernel.T @ a)) ** power
    a = 1 / n / (kernel @ b)
    return n * np.abs(a[:, None] * kernel * b[None, :] - _whole(run)).max()


def _as_mean(runs: Runs) -> float:
    ot, mean = runs(k=1, rho=1.0, ramp=0, **_SHORT), runs(pooling="mean", **_SHORT)
    return float(np.abs(ot.risk - mean.risk).max())


def _artefacts_last(run: Any) -> Any:
    """The pooled share of artefacts over that of the kind of tissue that is pooled least."""
    share = run.kind_mass.values
    return share[-1] / share[:-1].min()


def _share(epoch: int) -> Measure:
    return number("pooled_share", place={"epoch": epoch}, epochs=10, ramp=10, rho=1.0)


def _divergence(run: Any) -> Any:
    """Mean divergence of the masses from equal ones, less a constant."""
    m = run.mass.values
    return np.where(m > 0, m * np.log(np.where(m > 0, m, 1)), 0).sum(axis=1).mean()


def _published(runs: Runs) -> float:
    return max(abs(float(chi2_tail(chi2)) / p - 1) for chi2, p in _PUBLISHED)


CLAIMS = (
    Claim("rows", "Each patch is pooled or left out, and no more of it than there is.", of(_rows), 0.0, "the constraint", "<=",
          1e-9),
    Claim("mass", "The pooled mass is the share asked for, and the weights of a bag sum to 1.", of(_mass), 0.0,
          "the constraint", "<=", 1e-8),
    Claim("scaling", "The plan is that of the authors' scaling algorithm.", of(_scaled), 0.0, "Ren et al., 2025, algorithm",
          "<=", 1e-7),
    Claim("mean-pooling", "One prototype at full mass is mean pooling: trained from the same start, the same risks.",
          _as_mean, 0.0, "K = 1, ρ = 1", "<=", 1e-6, quick=False),
    Claim("share-begins", "While it trains, the pooled share begins at 0.1067.", _share(0), 0.1 + float(np.exp(-5)),
          "Ren et al., 2025, code", "==", 1e-12),
    Claim("share-late", "At 0.8 of the growth it is 0.919.", _share(8), 0.1 + float(np.exp(-0.2)), "Ren et al., 2025, code",
          "==", 1e-12),
    Claim("share-full", "At 0.9 of it, past 0.855, it is 1.", _share(9), 1.0, "Ren et al., 2025, code", "==", 1e-12),
    Claim("long-tail", "A higher price λ brings the masses of the prototypes nearer to each other.",
          rise(of(_divergence, epochs=0), lam=(0.01, 0.1, 1.0, 10.0)), 0.0,
          "convexity", "<=", 1e-9),
    Claim("artefacts-last", "A smaller fraction of artifacts is pooled than of any kind of tissue.",
          of(_artefacts_last, **_ARTEFACTS), 1.0, "Ren et al., 2025, local constraint", "<", seeds=_SEEDS),
    Claim("oracle", "The true risk has the C-index 0.810.", _ORACLE, 0.810, "independent simulation", "==", 1e-3,
          seeds=_SEEDS),
    Claim("published-p", "The published p-values are those of the published log-rank statistics. The predictions themselves "
          "are not computed here.", _published, 0.0, "Ren et al., 2025, released predictions", "<=", 0.03,
          one_run="exact: a distribution function"),
    Claim("near-the-truth", "After 40 epochs the C-index of transport pooling is at most 0.04 below that of the true risk.",
          _table("ot"), _ORACLE, "independent simulation", ">=", 0.04, quick=False, seeds=_SEEDS),
    Claim("table-ot", "The C-index of transport pooling is 0.783.", _table("ot"), 0.783,
          "independent training, mean of 3 seeds", "==", 0.03, quick=False, seeds=_SEEDS),
    Claim("table-mean", "The C-index of mean pooling is 0.783.", _table("mean"), 0.783,
          "independent training, mean of 3 seeds", "==", 0.03, quick=False, seeds=_SEEDS),
    Claim("table-attention", "The C-index of attention pooling is 0.791.", _table("attention"), 0.791,
          "independent training, mean of 3 seeds", "==", 0.05, quick=False, seeds=_SEEDS,
          note="of the three poolings this one depends most on the initial weights: C-indices of one data set differ by 0.1"),
)

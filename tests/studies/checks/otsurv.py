"""Checks of survival from bags: its plan, the schedule of the pooled share, and an independent training."""

from functools import partial
from typing import Any

import numpy as np

from lab.studies.contract import Claim
from lab.studies.survival.otsurv.claims import TABLE, share_at
from lab.studies.vocabulary import number, of

_trained = partial(Claim, tolerance=0.03, quick=False, seeds=range(5))
_OURS = "independent training, mean of 3 seeds"


def _whole(run: Any) -> np.ndarray:
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


CHECKS = (
    Claim("rows", "Each patch is pooled or left out, exactly once.", of(_rows), 0.0, "the constraint", "<=", 1e-9),
    Claim(
        "mass",
        "The pooled mass is the chosen share, and the weights of a bag sum to 1.",
        of(_mass),
        0.0,
        "the constraint",
        "<=",
        1e-8,
    ),
    Claim(
        "scaling",
        "The plan agrees with the authors' scaling algorithm.",
        of(_scaled),
        0.0,
        "Ren et al., 2025, algorithm",
        "<=",
        1e-7,
    ),
    Claim(
        "share-full",
        "At 0.9 of the growth, past 0.855, the pooled share is 1.",
        share_at(9),
        1.0,
        "Ren et al., 2025, code",
        "==",
        1e-12,
    ),
    _trained(
        "table-ot",
        "The C-index of transport pooling is 0.783.",
        number("cindex", pooling="ot", **TABLE),
        0.783,
        _OURS,
        "==",
    ),
    _trained(
        "table-mean",
        "The C-index of mean pooling is 0.783.",
        number("cindex", pooling="mean", **TABLE),
        0.783,
        _OURS,
        "==",
    ),
    _trained(
        "table-attention",
        "The C-index of attention pooling is 0.791.",
        number("cindex", pooling="attention", **TABLE),
        0.791,
        _OURS,
        "==",
        tolerance=0.05,
        note="of the three poolings this one depends most on the initial weights: C-indices of one data set differ by 0.1",
    ),
)

"""Claims of the paper, measured, and its numbers beside ours."""

from functools import cache, partial
from typing import Any

import numpy as np

from lab.studies.contract import Claim, Reported
from lab.studies.vocabulary import Measure, number, of

from .experiment import PERCEPTRON, RANDOM, SCHEDULES

NARROW: dict[str, Any] = {"sigma": 1e-3, "tuned": False}
WIDE: dict[str, Any] = {"sigma": 2.0, "tuned": False}
TWO: dict[str, Any] = {"groups": 2, "rows": 60}
_START: dict[str, Any] = {"lowest": -3.0, "highest": 1.0, "starts": 3, "learning_rate": 0.05, "seed": 1}
DIGITS: dict[str, Any] = {"problem": PERCEPTRON} | _START
_RANDOM: dict[str, Any] = DIGITS | {"compare": RANDOM}
_HERE = "independent computation"
_over_seeds = partial(Claim, seeds=range(5))
_slow = partial(_over_seeds, quick=False)


@cache
def _sigmoids() -> float:
    """Maximum difference between weights of the gated linear network and of ridge regression, over five strengths."""
    import jax.numpy as jnp

    from lab.tuning import ridge

    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(40, 8)), rng.normal(size=40)
    unit = ridge.linear_network(ridge.Part(jnp.asarray(x), jnp.asarray(t)))
    known = {lam: np.linalg.solve(x.T @ x + np.exp(lam) * np.eye(8), x.T @ t) for lam in (-4.0, -1.0, 0.0, 2.0, 6.0)}
    return max(float(np.abs(np.asarray(unit.weights(lam)) - w).max()) for lam, w in known.items())


def _from(which: int) -> Any:
    return lambda run: float(np.nanmin(run.val_loss.values[:, which]))


def _again(run: Any) -> float:
    """Minimum loss with the same schedule minus the one with its final values."""
    best = np.nanmin(run.rival_val.values, axis=0)
    return float(best[3] - best[0])


CLAIMS = (
    _over_seeds(
        "optimum", "All four starts end within 1% of the minimum validation loss.", number("excess"), 1.0, _HERE, "<"
    ),
    _over_seeds(
        "one",
        "All four starts, 8 apart, end within 0.5.",
        number("lam_spread"),
        0.5,
        "convergence to one schedule",
        "<",
    ),
    _over_seeds(
        "strength",
        "The final log-strength is the best one, within 0.1.",
        number("lam_end"),
        number("known_lam"),
        "a search over strengths",
        "==",
        0.1,
    ),
    _over_seeds(
        "response",
        "The slope of the response has a relative error below 0.1.",
        number("slope_off"),
        0.1,
        "the implicit function theorem",
        "<",
    ),
    Claim(
        "sigmoids",
        "The optimal response of a linear network is gated by sigmoids.",
        Measure(lambda runs: _sigmoids()),
        0.0,
        "theorem of the paper",
        "<=",
        1e-12,
    ),
    _slow(
        "narrow",
        "With a fixed perturbation of 0.001, one start ends more than 10% above the minimum loss (log10, mean).",
        of(lambda run: np.log10(run.excess), **NARROW),
        1.0,
        "section 4 of the paper: scales too small",
        ">",
    ),
    _slow(
        "wide",
        "With a fixed perturbation of 2 the relative error of the slope is at least 0.5.",
        number("slope_off", **WIDE),
        0.5,
        "section 4 of the paper: scales too large",
        ">=",
    ),
    _slow(
        "two",
        "With two strengths all starts end within 1% of the minimum validation loss.",
        number("excess", **TWO),
        1.0,
        "a search over strengths",
        "<",
        should_hold=False,
        note="on four of five draws; on the fifth one start ends 23% above the minimum",
    ),
    *(
        _slow(
            f"digits-{k}",
            f"On digits the {name} start reaches a validation loss below .15.",
            of(_from(k), **DIGITS),
            0.15,
            _HERE,
            "<",
            should_hold=not note,
            note=note,
        )
        for k, (name, note) in enumerate(
            (
                ("low", ""),
                ("middle", "a tie: .145 over five seeds, and the interval of the mean, .138 to .152, contains .15"),
                ("high", "a tie: .147 over five seeds, and the interval of the mean, .139 to .155, contains .15"),
            )
        )
    ),
    _slow(
        "digits-right", "On digits the test accuracy is above 95%.", number("accuracy_end", **DIGITS), 0.95, _HERE, ">"
    ),
    _slow(
        "digits-random",
        "The validation loss of one training is at most 5% above the best of ten random strengths.",
        number("val_best", **_RANDOM),
        1.05 * number("rival_least", **_RANDOM),
        _HERE,
        "<=",
    ),
    _slow(
        "digits-median",
        "The validation loss of one training is at least 20% below the median of ten random strengths.",
        number("val_best", **_RANDOM),
        0.8 * number("rival_median", **_RANDOM),
        "figure 3 of the paper",
        "<",
    ),
    _slow(
        "digits-schedule",
        "A training with the same schedule has a loss at most 0.01 above the one with the final values.",
        of(_again, **DIGITS, compare=SCHEDULES),
        0.0,
        "table 2 of the paper",
        "<=",
        0.01,
    ),
)

_DIGITS = "8 × 8 digits, two-layer perceptron, 3 starts"


def _of(preset: str, name: str) -> Any:
    return lambda runs: float(runs.preset(preset)[name])


def _row(method: str, theirs: float | None, ours: Any, how: str, **rest: Any) -> Reported:
    where, here = "table of final losses" if theirs else "figure of the search", f"{_DIGITS}, {how}"
    checked: dict[str, Any] = {"checked": False} if theirs else {}
    return Reported(
        f"Validation loss, {method}", where, theirs, "CIFAR-10, AlexNet", here, ours=ours, **checked, **rest
    )


_OWN, _BEST, _MEDIAN = _of("digits", "val_best"), *(_of("digits-random", f"rival_{at}") for at in ("least", "median"))

REPORTED = (
    _row("self-tuning network", 0.575, _OWN, "mean of the best on the way"),
    _row(
        "random search",
        0.921,
        _BEST,
        "best of ten draws",
        note="The paper reports random search far behind. Here the best of ten random draws, which costs ten trainings, "
        "is better than one self-tuning network; the median draw is worse (next row).",
        holds=lambda runs: _BEST(runs) < _OWN(runs) < _MEDIAN(runs),
    ),
    _row("median of random draws", None, _MEDIAN, "median of ten draws"),
    _row("grid search", 0.794, _of("digits-grid", "rival_least"), "best of the grid"),
    Reported(
        "Distance of the best response from gated sigmoids",
        "theorem on linear networks",
        "0 (theory)",
        "linear network",
        "ridge regression",
        claim="sigmoids",
    ),
    Reported(
        "Excess of the validation loss over the optimum",
        "ridge regression of the lab",
        None,
        "no closed form in the paper",
        "ridge regression, worst of 4 starts",
        ours="excess",
        unit="%",
    ),
)

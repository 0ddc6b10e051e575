"""What the paper and mathematics say of networks that tune themselves, measured."""

from functools import cache
from typing import Any

import numpy as np

from lab.studies.contract import Claim
from lab.studies.vocabulary import Measure, largest, mean, number, of

from .presets import DIGITS, NARROW, TWO, WIDE
from .variables import RANDOM, SCHEDULES

_SEEDS = range(3)
_RANDOM: dict[str, Any] = DIGITS | {"compare": RANDOM}


@cache
def _sigmoids() -> float:
    """Largest distance of the gated linear network's weights from those of a ridge regression, over five strengths."""
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
    """Best loss of the schedule that is followed again, less that of its end, held."""
    best = np.nanmin(run.rival_val.values, axis=0)
    return float(best[3] - best[0])


CLAIMS = (
    Claim("optimum", "All four starts come within half a percent of the least validation loss.", number("excess"), 0.5,
          "invariant of the sheet", "<="),
    Claim("seeds", "On other data within one percent, of three seeds.", largest(number("excess"), seed=(3, 4, 5)), 1.0,
          "the same", "<="),
    Claim("one", "They end at one strength, within a tenth.", number("lam_spread"), 0.1, "one schedule", "<="),
    Claim("strength", "It is the best one.", number("lam_end"), number("known_lam"), "a search over strengths", "==", 0.1),
    Claim("response", "The response has the true slope within a tenth.", number("slope_off"), 0.1,
          "the implicit function theorem", "<="),
    Claim("sigmoids", "A linear network's best response is gated by sigmoids.", Measure(lambda runs: _sigmoids()), 0.0,
          "theorem of the paper", "<=", 1e-12),
    Claim("narrow", "With a perturbation of 0.001 that is held a start is lost.", number("excess", **NARROW), 10.0,
          "section 4 of the paper: scales too small", ">="),
    Claim("wide", "With one of 2 the slope is wrong by half or more.", number("slope_off", **WIDE), 0.5,
          "section 4 of the paper: scales too large", ">="),
    Claim("silent", "Weights that do not respond leave hyperparameters where they are.",
          number("lam_spread", responds=False, tuned=False), 8.0, "no slope through the response", "==", 1e-9),
    Claim("two", "Two strengths are found as one is.", number("excess", **TWO), 1.0, "a search over strengths", "<="),
    *(
        Claim(f"digits-{i}", f"On digits the start {start} validates at .15 or better, mean of three seeds.",
              mean(of(_from(i), **DIGITS), seed=_SEEDS), 0.15, "acceptance of the sheet", "<=", 0.005, quick=False)
        for i, start in enumerate(("of low", "of middle", "of high"))
    ),
    Claim("digits-right", "It answers 95 of 100 right at least.", mean(number("accuracy_end", **DIGITS), seed=_SEEDS), 0.95,
          "the sheet's measurement", ">=", quick=False),
    Claim("digits-random", "One training is within a twentieth of the best of ten that were drawn.",
          mean(number("val_best", **_RANDOM), seed=_SEEDS), 1.05 * mean(number("rival_least", **_RANDOM), seed=_SEEDS),
          "acceptance of the sheet", "<=", quick=False),
    Claim("digits-median", "And far better than the middle one of them.", mean(number("val_best", **_RANDOM), seed=_SEEDS),
          0.8 * mean(number("rival_median", **_RANDOM), seed=_SEEDS), "figure 3 of the paper", "<=", quick=False),
    Claim("digits-schedule", "A training that follows the schedule again is no worse than one that holds its end.",
          mean(of(_again, **DIGITS, compare=SCHEDULES), seed=_SEEDS), 0.0, "table 2 of the paper", "<=", 0.01, quick=False),
)

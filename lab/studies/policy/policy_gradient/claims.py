"""What the paper and mathematics say of policy gradients with momentum, measured."""

from typing import Any

from lab.studies.contract import Claim
from lab.studies.vocabulary import mean, number, of

from .presets import CART, LARGE, LINKS, REGULATOR, SHEET, SMALL, SWING

_SEEDS = range(2)
_PAPER = "Fatkhullin et al., 2023"


def _begins(run: Any) -> float:
    return float(run.value.values[0, 0, 0])


def _first(run: Any) -> float:
    """The mean return of the first updates that are told of."""
    return float(run.ret[0, :, 0].mean())


def _doubled(run: Any) -> float:
    """Steps of the environment of N-HARPG, as a multiple of those of N-PG-IGT."""
    return float((run.steps.sel(rule="N-HARPG") / run.steps.sel(rule="N-PG-IGT"))[0, -1])


def _lengths(run: Any) -> float:
    """Of the normalised methods γ, from the way of one of them on two axes: a projection is never longer than the step."""
    way, gamma = run.way.sel(rule="N-PG-IGT").values, run.gamma.sel(rule="N-PG-IGT").values
    first = [i for i in range(len(way) - 1) if int(run["update"][i + 1]) == int(run["update"][i]) + 1]
    return max(float(((way[i + 1] - way[i]) ** 2).sum() ** 0.5 / gamma[i]) for i in first)


CLAIMS = (
    Claim("slope-momentum", "The error of N-PG-M falls as t^(-1/3).", mean(number("slope_npgm"), seed=_SEEDS), -1 / 3, _PAPER,
          "==", 0.12),
    Claim("slope-igt", "That of N-PG-IGT as t^(-2/5).", mean(number("slope_igt"), seed=_SEEDS), -2 / 5, _PAPER, "==", 0.12),
    Claim("slope-harpg", "That of N-HARPG as t^(-1/2).", mean(number("slope_nharpg"), seed=_SEEDS), -1 / 2, _PAPER, "==", 0.12),
    Claim("slope-plain", "Without a memory it does not fall.", mean(number("slope_pg"), seed=_SEEDS), 0.0, "one episode", "==",
          0.08),
    Claim("order-harpg", "At the end N-HARPG is nearer to the gradient than N-PG-IGT.", number("err_nharpg"), number("err_igt"),
          _PAPER, "<="),
    Claim("order-igt", "N-PG-IGT is nearer than N-PG-M.", number("err_igt"), number("err_npgm"), _PAPER, "<="),
    Claim("order-momentum", "And N-PG-M ten times nearer than plain ascent.", number("err_npgm"), 0.1 * number("err_pg"),
          "the sheet: 0.73 and 11.4", "<="),
    Claim("order-returns", "A method that is nearer to the gradient ends nearer to the best return.", number("gap_nharpg"),
          number("gap_npgm"), "what one would think", "<=", should_hold=False,
          note="N-HARPG is nearer and earns less at this step: the sheet has 1.04 and 1.10 after 4,000 updates of 24 seeds"),
    Claim("small-step", "HARPG earns more with half the step.", number("gap_harpg", **SMALL), number("gap_harpg"),
          "the variance of B v grows with the square of the step", "<="),
    Claim("stuck", "Errors near 0 may be far from the best: long steps make policies sure of themselves.",
          number("gap_igt", **LARGE), 2 * number("gap_igt"), "the Fisher matrix of a softmax degenerates", ">="),
    Claim("unbiased", "A mean of B v over episodes is within three of its standard errors of the exact product.",
          number("bias_each"), 3.0, "E B is the Hessian", "<="),
    Claim("biased", "A product of two means is not.", number("bias_means"), 5.0, "E of a score is 0", ">="),
    Claim("null", "A tabular softmax has a null direction for each state.", number("null"), 5.0, "constant shifts", "=="),
    Claim("begin", "At first J is 6.105.", of(_begins), 6.105, "the sheet's table", "==", 5e-4),
    Claim("twice", "An update of HARPG takes twice the episodes.", of(_doubled), 2.0, "g and B v are of different episodes"),
    Claim("length", "No step of a normalised method is longer than γ.", of(_lengths), 1.0, "d / |d|", "<=", 1e-6),
    Claim("sheet-momentum", "With 24 seeds and 4,000 updates: N-PG-M.", number("slope_npgm", **SHEET), -0.34, "the sheet", "==",
          0.12, quick=False),
    Claim("sheet-igt", "N-PG-IGT.", number("slope_igt", **SHEET), -0.43, "the sheet", "==", 0.12, quick=False),
    Claim("sheet-harpg", "N-HARPG.", number("slope_nharpg", **SHEET), -0.58, "the sheet", "==", 0.16, quick=False),
    Claim("cart", "N-PG-IGT balances the pole within 60 updates: more than 190 of 200.", number("last_igt", **CART), 190.0,
          "the sheet: 200", ">=", quick=False),
    Claim("links", "It swings up two links within 60 updates, in 150 of 400 steps at most.", number("last_igt", **LINKS),
          -150.0, "by measurement: -87, and -400 at first", ">=", quick=False),
    Claim("swing", "A pendulum costs a third less after 400 updates than at first.", number("last_igt", **SWING),
          of(_first, **SWING) * (2 / 3), "by measurement: -473 and -915", ">=", quick=False),
    Claim("regulator", "The Fisher matrix of a linear Gaussian policy is not degenerate.", number("null", **REGULATOR), 0.0,
          "full-rank features, fixed covariance", "==", quick=False),
)

"""What the paper and mathematics say of policy gradients with momentum, measured."""

from typing import Any

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of

from .presets import CART, LARGE, LINKS, REGULATOR, SHEET, SMALL, SWING

_SEEDS = range(5)
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


CLAIMS = one_run("no training: a property of every step, or a mean over episodes with its standard error", (
    Claim("slope-momentum", "The gradient error of N-PG-M falls as t^(-1/3).", number("slope_npgm"), -1 / 3, _PAPER,
          "==", 0.12, seeds=_SEEDS),
    Claim("slope-igt", "The gradient error of N-PG-IGT falls as t^(-2/5).",
          number("slope_igt"), -2 / 5, _PAPER, "==", 0.12, seeds=_SEEDS),
    Claim("slope-harpg", "The gradient error of N-HARPG falls as t^(-1/2).",
          number("slope_nharpg"), -1 / 2, _PAPER, "==", 0.12, seeds=_SEEDS),
    Claim("slope-plain", "Without a memory the gradient error does not fall.", number("slope_pg"), 0.0, "one episode", "==",
          0.08, seeds=_SEEDS),
    Claim("order-harpg", "At the end the gradient error of N-HARPG is below that of N-PG-IGT.", number("err_nharpg"),
          number("err_igt"), _PAPER, "<", seeds=_SEEDS),
    Claim("order-igt", "The gradient error of N-PG-IGT is below that of N-PG-M.", number("err_igt"), number("err_npgm"), _PAPER,
          "<", seeds=_SEEDS),
    Claim("order-momentum", "The gradient error of N-PG-M is below a tenth of that of plain ascent.", number("err_npgm"),
          0.1 * number("err_pg"), "independent computation: 0.73 and 11.4", "<", seeds=_SEEDS),
    Claim("order-returns", "A method with a smaller gradient error ends nearer to the best return.", number("gap_nharpg"),
          number("gap_npgm"), "natural expectation", "<", should_hold=False, seeds=_SEEDS,
          note="a tie: N-HARPG has the smaller gradient error, but the distances from the best return are 1.59 and 1.51 over "
          "five seeds"),
    Claim("small-step", "HARPG ends nearer to the best return with half the step length.", number("gap_harpg", **SMALL),
          number("gap_harpg"), "the variance of B v grows with the square of the step", "<", quick=False, seeds=_SEEDS,
          should_hold=False, note="a tie: 1.40 and 1.64 over five seeds, and the interval of the difference is -0.65 to 0.19"),
    Claim("stuck", "With three times the step length N-PG-IGT ends more than 1.5 times as far from the best return.",
          number("gap_igt", **LARGE), 1.5 * number("gap_igt"), "the Fisher matrix of a softmax degenerates", ">", quick=False,
          seeds=_SEEDS),
    Claim("unbiased", "A mean of B v over episodes is within three of its standard errors of the exact product.",
          number("bias_each"), 3.0, "E B is the Hessian", "<="),
    Claim("biased", "A product of two means is more than five standard errors from the exact product.",
          number("bias_means"), 5.0, "E of a score is 0", ">="),
    Claim("null", "A tabular softmax has a null direction for each state.", number("null"), 5.0, "constant shifts", "=="),
    Claim("begin", "At first J is 6.105.", of(_begins), 6.105, "independent computation", "==", 5e-4),
    Claim("twice", "An update of HARPG takes twice the episodes.", of(_doubled), 2.0, "g and B v are of different episodes"),
    Claim("length", "No step of a normalised method is longer than γ.", of(_lengths), 1.0, "d / |d|", "<=", 1e-6),
    Claim("sheet-momentum", "With 24 starts and 4,000 updates the slope of N-PG-M is -0.34.", number("slope_npgm", **SHEET),
          -0.34, "independent computation", "==", 0.12, quick=False, one_run="mean over 24 trainings in one run"),
    Claim("sheet-igt", "With 24 starts and 4,000 updates the slope of N-PG-IGT is -0.43.",
          number("slope_igt", **SHEET), -0.43, "independent computation", "==", 0.12,
          quick=False, one_run="mean over 24 trainings in one run"),
    Claim("sheet-harpg", "With 24 starts and 4,000 updates the slope of N-HARPG is -0.58.",
          number("slope_nharpg", **SHEET), -0.58, "independent computation", "==",
          0.16, quick=False, one_run="mean over 24 trainings in one run"),
    Claim("cart", "N-PG-IGT balances the pole within 60 updates: more than 190 of 200 steps.", number("last_igt", **CART),
          190.0, "independent computation: 200", ">", quick=False, seeds=_SEEDS),
    Claim("links", "N-PG-IGT swings up two links within 60 updates, in at most 150 of 400 steps.", number("last_igt", **LINKS),
          -150.0, "independent computation: -87, and -400 at first", ">", quick=False, seeds=_SEEDS, should_hold=False,
          note="a tie: 133 steps over five seeds, and the interval of the mean, 67 to 199, contains 150"),
    Claim("swing", "After 400 updates the cost of a pendulum episode is at least a third lower.", number("last_igt", **SWING),
          of(_first, **SWING) * (2 / 3), "independent computation: -473 and -915", ">", quick=False, seeds=_SEEDS),
    Claim("regulator", "The Fisher matrix of a linear Gaussian policy is not degenerate.", number("null", **REGULATOR), 0.0,
          "full-rank features, fixed covariance", "==", quick=False),
))

"""The argument of the page: lede, comparisons, steps and groups."""

from functools import partial

from lab.studies.contract import Comparison, Group, Step, Story

from .claims import LARGE, SMALL
from .experiment import SHORT

_ALL = {name: name for name in SHORT}
_compared = partial(Comparison, methods=_ALL, along="rule", over="run", at={"update": -1}, ours="N-HARPG")
RETURN = _compared("return", "final expected return J", better="higher", result="value")
DIRECTION = _compared("direction", "gradient error", result="err")
LAST = Comparison("last", "final return", {f"last_{SHORT[name]}": name for name in _ALL}, "higher")

STORY = Story(
    "Each update uses one episode. Momentum reduces the error of the gradient estimate; a small error need not mean a high "
    "return.",
    hero=("errors", "returns"),
    moves=("g0", "discount", "eta0"),
    steps=(
        Step(
            "What changes with three times the step length?",
            LARGE,
            "The gradient error of N-PG-IGT falls to {err_igt:.3f}, and its return ends {gap_igt:.1f} below the optimum "
            "instead of {before.gap_igt:.1f}: policies become nearly deterministic, and gradients vanish far from the optimum.",
            lambda before, after: after.err_igt < before.err_igt / 10 and after.gap_igt > 2 * before.gap_igt,
        ),
        Step(
            "What changes with half the step length?",
            SMALL,
            "PG ends {gap_pg:.2f} below the optimum instead of {before.gap_pg:.2f}. HARPG ends {gap_harpg:.2f}, N-HARPG "
            "{gap_nharpg:.2f} and N-PG-IGT {gap_igt:.2f} below it; the 95% intervals of these three overlap.",
            lambda before, after: (
                after.gap_harpg < after.gap_pg > before.gap_pg
                and RETURN.finding(after).startswith("HARPG, N-HARPG and N-PG-IGT tie")
            ),
        ),
        Step(
            "What if new gradients have a smaller weight?",
            {"eta0": 0.3},
            "The gradient error of N-HARPG is {err_nharpg:.2f} instead of {before.err_nharpg:.2f}: errors of its corrections "
            "decay more slowly.",
            lambda before, after: after.err_nharpg > 1.5 * before.err_nharpg,
        ),
        Step(
            "What changes with eight episodes per correction?",
            {"batch_hessian": 8},
            "The final gradient error of N-HARPG goes from {before.err_nharpg:.2f} to {err_nharpg:.2f}, a change within the "
            "95% intervals, for more than four times the episodes.",
            lambda before, after: after.err_nharpg < 0.9 * before.err_nharpg,
        ),
    ),
    groups=(
        Group(
            "Return at the end",
            "Gradient error and distance to the optimal return: N-HARPG {err_nharpg:.2f} and "
            "{gap_nharpg:.2f}, N-PG-IGT {err_igt:.2f} and {gap_igt:.2f}, PG {err_pg:.3g} and {gap_pg:.2f}.",
            ("gaps", "robust"),
        ),
        Group(
            "Optimization paths",
            "The bias of B v is {bias_means:.0f} standard errors for the product of two batch means and "
            "{bias_each:.1f} for products of single episodes.",
            ("path",),
        ),
        Group(
            "What was learned",
            "{null:.0f} directions of the parameters leave the policy almost unchanged.",
            ("episode", "choices", "spectrum"),
        ),
    ),
    says=(
        "Decay rates of the gradient error: N-PG-M {slope_npgm:.2f}, N-PG-IGT {slope_igt:.2f}, N-HARPG {slope_nharpg:.2f}; "
        "theory: -1/3, -2/5, -1/2.",
    ),
    compares=(RETURN, DIRECTION),
    question="How few trajectories does a policy gradient need?",
)

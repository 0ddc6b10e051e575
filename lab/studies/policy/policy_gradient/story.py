"""What the page of policy gradients tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import DIRECTION, FINDS, RETURN
from .presets import LARGE, MORE, SMALL

STORY = Story(
    "Each update sees one episode. Momentum reduces the error of the gradient estimate; a small error need not mean a high "
    "return.",
    hero=("errors", "returns"),
    moves=("g0", "discount", "eta0"),
    steps=(
        Step("What do steps three times as long change?", LARGE,
             "The gradient error of N-PG-IGT falls to {err_igt:.3f}, and its return ends {gap_igt:.1f} below the optimum "
             "instead "
             "of {before.gap_igt:.1f}: policies become nearly deterministic, and gradients vanish far from the optimum.",
             lambda before, after: after.err_igt < before.err_igt / 10 and after.gap_igt > 2 * before.gap_igt),
        Step("What do half as long steps change?", SMALL,
             "PG ends {gap_pg:.2f} below the optimum instead of {before.gap_pg:.2f}. HARPG ends {gap_harpg:.2f}, N-HARPG "
             "{gap_nharpg:.2f} and N-PG-IGT {gap_igt:.2f} below it; the 95% intervals of these three overlap.",
             lambda before, after: after.gap_harpg < after.gap_pg > before.gap_pg
             and RETURN.finding(after).startswith("HARPG, N-HARPG and N-PG-IGT tie")),
        Step("What if new gradients have a smaller weight?", {"eta0": 0.3},
             "The gradient error of N-HARPG is {err_nharpg:.2f} instead of {before.err_nharpg:.2f}: errors of its corrections "
             "decay more slowly.",
             lambda before, after: after.err_nharpg > 1.5 * before.err_nharpg),
        Step("What do eight episodes for each correction bring?", MORE,
             "The final gradient error of N-HARPG goes from {before.err_nharpg:.2f} to {err_nharpg:.2f}, a change within the "
             "95% "
             "intervals, for more than four times the episodes.",
             lambda before, after: after.err_nharpg < 0.9 * before.err_nharpg),
    ),
    groups=(
        Group("Return at the end", "Gradient error and distance to the optimal return: N-HARPG {err_nharpg:.2f} and "
              "{gap_nharpg:.2f}, N-PG-IGT {err_igt:.2f} and {gap_igt:.2f}, PG {err_pg:.3g} and {gap_pg:.2f}.",
              ("gaps", "robust")),
        Group("Optimization paths", "The bias of B v is {bias_means:.0f} standard errors for the product of two batch means "
                                    "and "
              "{bias_each:.1f} for products of single episodes.", ("path", "norms", "rates")),
        Group("What was learned", "{null:.0f} directions of the parameters change nothing, or next to it.",
              ("episode", "choices", "spectrum")),
    ),
    says=(
        "Decay rates of the gradient error: N-PG-M {slope_npgm:.2f}, N-PG-IGT {slope_igt:.2f}, N-HARPG {slope_nharpg:.2f}; "
        "theory: -1/3, -2/5, -1/2.",
    ),
    finds=FINDS,
    compares=(RETURN, DIRECTION),
    question="How few trajectories show the way up?",
)

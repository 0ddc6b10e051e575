"""What the page of policy gradients tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS
from .presets import LARGE, MORE, SMALL

STORY = Story(
    "From one episode an update a direction can come ever nearer to the true gradient, if the method remembers well.",
    hero=("errors", "returns"),
    moves=("g0", "discount", "eta0"),
    steps=(
        Step("And with steps three times as long?", LARGE,
             "Errors vanish ({err_igt:.3f} of N-PG-IGT), and so does learning: it ends {gap_igt:.1f} below the best, not "
             "{before.gap_igt:.1f}. Policies are all but sure of what they do, the Fisher matrix degenerates, and gradients "
             "are near 0 far from the best.",
             lambda before, after: after.err_igt < before.err_igt / 10 and after.gap_igt > 2 * before.gap_igt),
        Step("And with half as long ones?", SMALL,
             "HARPG ends {gap_harpg:.2f} below the best, not {before.gap_harpg:.2f}, and before all others: a large first "
             "step makes its correction noisy.",
             lambda before, after: after.gap_harpg < min(before.gap_harpg, after.gap_igt, after.gap_npgm, after.gap_pg)),
        Step("And if new gradients count for less?", {"eta0": 0.3},
             "N-HARPG is {err_nharpg:.2f} off, not {before.err_nharpg:.2f}: errors of its corrections are forgotten more "
             "slowly.",
             lambda before, after: after.err_nharpg > 1.5 * before.err_nharpg),
        Step("And with eight episodes for each correction?", MORE,
             "At the end N-HARPG is {err_nharpg:.2f} off, not {before.err_nharpg:.2f}, for more than four times the episodes.",
             lambda before, after: after.err_nharpg < 0.9 * before.err_nharpg),
    ),
    groups=(
        Group("What it earns", "Off the gradient and below the best at the end: N-HARPG {err_nharpg:.2f} and "
              "{gap_nharpg:.2f}, N-PG-IGT {err_igt:.2f} and {gap_igt:.2f}, plain ascent {err_pg:.3g} and {gap_pg:.2f}.",
              ("gaps", "robust")),
        Group("How each goes", "Where a product of two means is taken for the mean product, B v is {bias_means:.0f} "
              "standard errors off; of single episodes {bias_each:.1f}.", ("path", "norms", "rates")),
        Group("What was learned", "{null:.0f} directions of the parameters change nothing, or next to it.",
              ("episode", "choices", "spectrum")),
    ),
    says=(
        "Errors at the end: N-PG-M {err_npgm:.2f}, N-PG-IGT {err_igt:.2f}, N-HARPG {err_nharpg:.2f}, PG {err_pg:.1f}.",
        "Slopes: N-PG-M {slope_npgm:.2f}, N-PG-IGT {slope_igt:.2f}, N-HARPG {slope_nharpg:.2f}; theory: -1/3, -2/5, -1/2.",
        "Returns: N-PG-M {last_npgm:.4g}, N-PG-IGT {last_igt:.4g}, N-HARPG {last_nharpg:.4g}, HARPG {last_harpg:.4g}.",
    ),
    finds=FINDS,
    question="How few trajectories show the way up?",
)

"""What the page of diverse subsets tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "Rows that repel each other stand for all of a data set better than rows drawn at random.",
    hero=("choice", "beside"),
    moves=("step", "k", "length"),
    steps=(
        Step("Does a choice of five already cover the digits?", {"k": 5},
             "Five rows leave a mean distance of {cover:.2f}, twenty {before.cover:.2f}; random rows {cover_random:.2f}.",
             lambda before, after: after.cover > before.cover, look="coverage"),
        Step("What if rows count as alike only when they all but coincide?", {"length": 0.1},
             "Then the choice is chance: its error of sums is {error:.3f}, that of random rows {error_random:.3f}.",
             lambda before, after: abs(after.error / after.error_random - 1) < abs(before.error / before.error_random - 1),
             look="errors"),
        Step("And on two moons?", {"data": "two-moons", "length": 0.3},
             "The error of sums falls to {error:.3f}, where random rows have {error_random:.3f}.",
             lambda before, after: after.error < 2 / 3 * after.error_random, look="errors"),
    ),
    groups=(
        Group("What was chosen", "Every row that is chosen makes its neighbours unlikely.",
              ("gallery", "rows", "probabilities", "spectrum")),
        Group("Is it better than chance?", "Mean distance {cover:.3g}, of random rows {cover_random:.3g}; error of sums "
              "{error:.3g}, of random rows {error_random:.3g}.", ("coverage", "errors", "unbiased")),
        Group("Which length-scale?", "A short one is chance; a long one looks at the extremes.", ("tradeoff",)),
    ),
    says=("{rank:.0f} rows can be told apart by this kernel.",),
    finds=FINDS,
    question="Which few digits say the most?",
)

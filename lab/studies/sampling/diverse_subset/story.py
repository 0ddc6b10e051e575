"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import COVER, ERROR

STORY = Story(
    "A k-DPP selects rows that repel each other. Compare how well they cover the data and estimate sums with uniform and "
    "greedy selection.",
    hero=("choice", "beside"),
    moves=("step", "k", "length"),
    steps=(
        Step(
            "Do five rows already cover the digits?",
            {"k": 5},
            "The mean distance to the nearest chosen row is {cover:.2f} with five rows and {before.cover:.2f} with twenty; "
            "{cover_random:.2f} with five uniformly drawn rows.",
            lambda before, after: after.cover > before.cover,
            look="coverage",
        ),
        Step(
            "What if the kernel has a very short length-scale?",
            {"length": 0.1},
            "The k-DPP approaches uniform sampling: its error of sums is {error:.3f}, with random rows {error_random:.3f}.",
            lambda before, after: (
                abs(after.error / after.error_random - 1) < abs(before.error / before.error_random - 1)
            ),
            look="errors",
        ),
        Step(
            "Does repulsion help on two moons?",
            {"data": "two-moons", "length": 0.3},
            "The error of sums falls to {error:.3f}, where random rows have {error_random:.3f}.",
            lambda before, after: after.error < 2 / 3 * after.error_random,
            look="errors",
        ),
    ),
    groups=(
        Group(
            "The chosen rows",
            "The mean number of classes is {classes_found:.2f}, with random rows {classes_random:.2f}.",
            ("gallery", "probabilities", "spectrum"),
        ),
        Group("Comparison with uniform sampling", ERROR.finding, ("coverage", "errors")),
        Group(
            "Length-scale of the kernel",
            "The root mean square error of sums is {error:.3g}, with random rows {error_random:.3g}.",
            ("tradeoff",),
        ),
    ),
    says=("The kernel matrix has the numerical rank {rank:.0f}.",),
    compares=(COVER, ERROR),
    question="Which few rows represent a data set?",
)

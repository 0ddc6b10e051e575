"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .claims import LEARNED
from .pictures import ERROR

STORY = Story(
    "Two poses of a figure are matched point by point without labels, by the eigenfunctions of their Laplacians.",
    hero=("matched", "errors"),
    moves=("k", "zoom"),
    steps=(
        Step(
            "Is the match exact for a rotated figure?",
            {"data": "person-turned"},
            "The error is {error:.2g}%: signatures are invariant under rotations.",
            lambda before, after: after.error < 1e-6,
            look="matched",
        ),
        Step(
            "Can a network learn features from this pair alone?",
            LEARNED,
            "Their mean error is {error_nearest:.3g}%, for signatures {before.error_nearest:.3g}%.",
            lambda before, after: 3 * after.error_nearest < before.error_nearest,
            look="matched",
        ),
        Step(
            "Does the training need the transport loss?",
            LEARNED | {"ot_weight": 0.0},
            "One seed: without it the error after as many steps is {error_nearest:.3g}%. Over five seeds the 95% intervals "
            "with and without transport overlap.",
            lambda before, after: 9 < after.error_nearest < before.error_nearest,
            look="course",
        ),
        Step(
            "What if the surfaces are not isometric?",
            {"data": "cortex-inflated"},
            "The error of signatures is {error_waves:.3g}%, of the final map {error:.3g}%.",
            lambda before, after: after.error_waves > 30 and after.error > 10,
            look="errors",
        ),
    ),
    groups=(
        Group("Functional map", ERROR.finding, ("functions", "map", "correct", "sizes")),
        Group(
            "Training",
            "The unrefined map has an error of {error_map:.3g}%, nearest features of {error_nearest:.3g}%.",
            ("course", "crossing"),
        ),
    ),
    says=("The functional map of the true correspondence has an error of {floor:.2g}%.",),
    compares=(ERROR,),
    question="Which point of one body is which of the other?",
)

"""What the page of the correspondence tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import ERROR, FINDS
from .presets import LEARNED

STORY = Story(
    "Points of two poses of one figure are matched without labels, by the eigenfunctions of the Laplacian of each surface.",
    hero=("matched", "errors"),
    moves=("k", "zoom"),
    steps=(
        Step("Is it exact where nothing is bent?", {"data": "person-turned"},
             "Turned in space, all vertices are found: the error is {error:.2g}%.",
             lambda before, after: after.error < 1e-6, look="matched"),
        Step("Can better features be learned from this pair alone?", LEARNED,
             "The nearest features are off by {error_nearest:.3g}%, and by {before.error_nearest:.3g}% of signatures.",
             lambda before, after: 3 * after.error_nearest < before.error_nearest, look="matched"),
        Step("And without transport?", LEARNED | {"ot_weight": 0.0},
             "One seed: features are off by {error_nearest:.3g}% after as many steps. Over five seeds the 95% intervals with "
             "and without transport overlap.",
             lambda before, after: 9 < after.error_nearest < before.error_nearest, look="course"),
        Step("And where lengths are not kept?", {"data": "cortex-inflated"},
             "Signatures are off by {error_waves:.3g}%, and so is the map: {error:.3g}%.",
             lambda before, after: after.error_waves > 30 and after.error > 10, look="errors"),
    ),
    groups=(
        Group("What is compared", "The same heat flows on both: eigenfunctions correspond, up to signs and order.",
              ("functions", "spectrum")),
        Group("The map", ERROR.finding,
              ("map", "best", "correct", "sizes")),
        Group("Sliced transport", "One direction is a sort; the mean over many is a distance.", ("sliced", "weights")),
        Group("As it is learned", "What is left of the terms: bijectivity {bijectivity:.3g}, orthogonality "
              "{orthogonality:.3g}, coupling {coupling:.3g}.", ("film", "course", "terms", "refined")),
        Group("What it hangs on", "With this weight of transport the map is off by {error_map:.3g}%, features by "
              "{error_nearest:.3g}%.", ("crossing", "variants")),
    ),
    says=("The functional map of the true correspondence has an error of {floor:.2g}%.",),
    finds=FINDS,
    compares=(ERROR,),
    question="Which point of one body is which of the other?",
)

"""What the page of kinetic-optimal paths tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "The schedule of least kinetic energy carries noise to data in two steps, where straight lines need many.",
    hero=("particles", "chord"),
    moves=("moment", "nfe", "weight"),
    steps=(
        Step("Do more steps bring straight lines level?", {"nfe": 40},
             "In 40 steps they end {gain:.2f} times as far from the data (W₂²) as the best schedule, in two {before.gain:.1f} "
             "times.",
             lambda before, after: after.gain < before.gain / 3),
        Step("And one step, to a Gaussian?", {"data": "stretched-gaussian", "nfe": 1},
             "One is enough there: the best path, of energy {least:.4f}, is that of optimal transport, and straight lines end "
             "{gain:.0f} times as far.",
             lambda before, after: after.w2sq[0] < 3 * after.w2sq_floor and after.gain > 10),
        Step("When are straight lines the best?", {"data": "gaussian-points", "dimension": 128},
             "With few points in many dimensions: the angle of the chord opens from {before.phi_total:.2f} to {phi_total:.2f}; "
             "at π/2 = 1.57 they are.",
             lambda before, after: after.phi_total > 1.3 > before.phi_total, look="separation"),
        Step("What lies half way to straight lines?", {"beside": "between"},
             "A schedule with an energy in between: less than theirs, and more than the least, {least:.3f}.",
             lambda before, after: after.energy[0] < after.energy[4] < after.energy[1], look="integrand"),
    ),
    groups=(
        Group("Why it is the best", "Energy is length squared over time, so the chord has the least: E* = {least:.3f}.",
              ("energies", "integrand", "separation", "schedules")),
        Group("How many steps it takes", "Straight lines end {gain:.2f} times as far from the data (W₂²) as the best schedule.",
              ("steps", "weight")),
        Group("When straight lines are best", "The angle is {phi_total:.3f}; at π/2 = 1.571 straight lines are best.",
              ("curves",)),
        Group("With images, with networks", "Samples are as good as data where their W₂² is {w2sq_floor:.3g}, that of fresh "
              "data.", ("images", "training")),
    ),
    says=(
        "The angle of the chord is {phi_total:.3f} ± {phi_error:.3f}, and no schedule has less energy than {least:.3f}.",
        "Fresh data are at W₂² = {w2sq_floor:.3g} from each other: nothing below it can be told from them.",
    ),
    finds=FINDS,
    question="Which path to the data moves the least?",
)

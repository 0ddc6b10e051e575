"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import ENERGY, W2SQ

STORY = Story(
    "The schedule a(t), m(t) that mixes data and noise sets the kinetic energy of the flow. This study finds its minimum, and "
    "measures how many Euler steps each schedule takes.",
    hero=("particles", "chord"),
    moves=("moment", "nfe", "weight"),
    steps=(
        Step(
            "Do more steps close the gap to straight lines?",
            {"nfe": 40},
            "The W₂² of straight lines is {gain:.2f} times that of the kinetic optimal schedule in 40 steps, "
            "{before.gain:.1f} times in two.",
            lambda before, after: after.gain < before.gain / 3,
        ),
        Step(
            "Is one step enough for a Gaussian?",
            {"data": "stretched-gaussian", "nfe": 1},
            "Yes: the kinetic optimal path, of energy {least:.4f}, is the optimal transport path; the W₂² of straight lines "
            "is {gain:.0f} times as large.",
            lambda before, after: after.w2sq[0] < 3 * after.w2sq_floor and after.gain > 10,
        ),
        Step(
            "When are straight lines optimal?",
            {"data": "gaussian-points", "dimension": 128},
            "At an angle Φ of π/2 = 1.57. With few points in many dimensions Φ grows from {before.phi_total:.2f} to "
            "{phi_total:.2f}.",
            lambda before, after: after.phi_total > 1.3 > before.phi_total,
            look="separation",
        ),
        Step(
            "What is the energy of a mixture with straight lines?",
            {"beside": "between"},
            "It lies between that of straight lines and the minimum, {least:.3f}.",
            lambda before, after: after.energy[0] < after.energy[4] < after.energy[1],
            look="integrand",
        ),
    ),
    groups=(
        Group("Kinetic energy", ENERGY.finding, ("integrand", "separation")),
        Group("Accuracy in few steps", W2SQ.finding, ("steps",)),
        Group(
            "When straight lines are optimal",
            "The angle Φ is {phi_total:.3f}; straight lines are optimal at π/2 = 1.571.",
            ("curves",),
        ),
        Group("With networks", "W₂² between two samples of the data is {w2sq_floor:.3g}.", ("training",)),
    ),
    says=(
        "The minimum energy is {least:.3f}, from the angle Φ = {phi_total:.3f} ± {phi_error:.3f}.",
        "W₂² between two samples of the data is {w2sq_floor:.3g}.",
    ),
    compares=(W2SQ, ENERGY),
    question="Which schedule from noise to data has minimum kinetic energy?",
)

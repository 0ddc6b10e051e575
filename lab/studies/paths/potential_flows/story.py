"""What the page of potential flows tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, RATIO
from .presets import DIGITS

STORY = Story(
    "Points follow the gradient of a potential that solves a wave, heat or Hamilton-Jacobi equation; the equation sets the "
    "kinetic energy.",
    hero=("motion", "energies"),
    moves=("t", "amplitude", "time"),
    steps=(
        Step("What if all three equations do the same?", {"potential": "quadratic"},
             "They take every point to the same end. Hamilton-Jacobi pays {ratio_hj:.3f} W₂² for it, heat {ratio_heat:.3f}, "
             "and waves, which start from rest, {ratio_wave:.3f}.",
             lambda before, after: abs(after.ratio_hj - 1) < 1e-6 and after.ratio_heat > 1 and after.ratio_wave > 4 / 3,
             look="energies"),
        Step("And if lines go on after they have met?", {"amplitude": 2.0, "time": 3.0},
             "They first meet at t = {shock:.2g}; at the end {met:.0%} of them have, and going straight costs {ratio_hj:.3g} "
             "times W₂².",
             lambda before, after: after.met > 0.3 and after.ratio_hj > 1.1),
        Step("And before they meet?", {"amplitude": 0.3, "time": 1.0},
             "Then straight lines are optimal: {ratio_hj:.4f} W₂², where waves pay {ratio_wave:.3f}.",
             lambda before, after: after.met == 0 and abs(after.ratio_hj - 1) < 1e-6 < after.ratio_wave - 1),
        Step("What do trained potentials do to digits?", DIGITS,
             "Four waves are told apart in {accuracy:.1%} of pairs of images; their energy is {efficiency:.3f} W₂².",
             lambda before, after: after.accuracy > 0.9 and after.efficiency > 1, look="images"),
        Step("And without an equation?", DIGITS | {"pde": "none", "train_steps": 6000},
             "The change of the output grows to J = {jvp:.2g}, and only {accuracy:.0%} of pairs are told apart.",
             lambda before, after: after.jvp > 0.1 and after.accuracy < 0.9, look="images"),
    ),
    groups=(
        Group("What moves when", RATIO.finding,
              ("speed", "trajectories", "density", "speeds")),
        Group("How long straight lines stay optimal", "Lines first meet at t = {shock:.3g}; by the end {met:.0%} of them have.",
              ("shock",)),
        Group("How many steps?", "The endpoints of the three flows are {ends_apart:.3g} apart.", ("steps",)),
        Group("Potentials on a generator", "Train potentials, or choose a preset with digits.",
              ("climbing", "images", "ways", "kinetic")),
        Group("Are the potentials different?", "A new classifier predicts the potential from pairs of images.",
              ("vp", "confusion", "alike")),
        Group("What training depends on", "Loss terms and classification accuracy by equation, weights and number of "
                                          "potentials.",
              ("losses", "equations", "weights", "numbers", "longer")),
    ),
    says=(
        "The kinetic energy of the Hamilton-Jacobi flow is {energy_hj:.3g}; W₂² between its endpoints is {w2sq:.3g}.",
    ),
    finds=FINDS,
    compares=(RATIO,),
    question="Which equation moves mass at minimum cost?",
)

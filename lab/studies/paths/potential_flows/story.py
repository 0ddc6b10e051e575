"""The argument of the page: lede, comparison, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .claims import DIGITS, LONG, SHOCK, SHORT
from .pictures import RATIO

STORY = Story(
    "Points follow the gradient of a potential that solves a wave, heat or Hamilton-Jacobi equation. The equation sets the "
    "kinetic energy.",
    hero=("motion", "energies"),
    moves=("t", "amplitude", "time"),
    steps=(
        Step(
            "What if all three equations have the same endpoints?",
            {"potential": "quadratic"},
            "All three flows take every point to the same endpoint. The Hamilton-Jacobi flow has the energy {ratio_hj:.3f} "
            "W₂², the heat flow {ratio_heat:.3f}, and the wave flow, which starts from rest, {ratio_wave:.3f}.",
            lambda before, after: abs(after.ratio_hj - 1) < 1e-6 and after.ratio_heat > 1 and after.ratio_wave > 4 / 3,
            look="energies",
        ),
        Step(
            "What happens after straight lines cross?",
            SHOCK,
            "Lines first cross at t = {shock:.2g}. At T, {met:.0%} of the points are past a crossing, and the energy of the "
            "Hamilton-Jacobi flow is {ratio_hj:.3g} W₂².",
            lambda before, after: after.met > 0.3 and after.ratio_hj > 1.1,
        ),
        Step(
            "What happens before they cross?",
            SHORT,
            "Straight lines are optimal: their energy is {ratio_hj:.4f} W₂², the energy of the wave flow {ratio_wave:.3f}.",
            lambda before, after: after.met == 0 and abs(after.ratio_hj - 1) < 1e-6 < after.ratio_wave - 1,
        ),
        Step(
            "What do trained potentials change in images of digits?",
            DIGITS,
            "A classifier predicts which of four wave potentials changed an image for {accuracy:.1%} of pairs. The energy of "
            "the traversals is {efficiency:.3f} W₂².",
            lambda before, after: after.accuracy > 0.9 and after.efficiency > 1,
            look="images",
        ),
        Step(
            "What if potentials follow no equation?",
            LONG,
            "The change of the output grows to J = {jvp:.2g}, and the classifier is right for {accuracy:.0%} of pairs.",
            lambda before, after: after.jvp > 0.1 and after.accuracy < 0.9,
            look="images",
        ),
    ),
    groups=(
        Group("When points move, and for how long straight lines are optimal", RATIO.finding, ("speed", "shock")),
        Group(
            "Potentials trained on a generator",
            "Set the training steps, or choose a preset with digits.",
            ("images", "climbing", "vp"),
        ),
        Group("Which equation trained potentials need", "Each row is one training.", ("equations",)),
    ),
    says=(
        "The kinetic energy of the Hamilton-Jacobi flow is {energy_hj:.3g}; W₂² between its endpoints is {w2sq:.3g}.",
    ),
    compares=(RATIO,),
    question="Which equation moves mass at minimum cost?",
)

"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .claims import LEARNED
from .pictures import FIT, GAP

STORY = Story(
    "Many maps push the source forward to the target. The Monge gap is a map's excess cost over an optimal map onto the same "
    "image.",
    hero=("arrows", "sphere", "turns"),
    moves=("angle", "cost"),
    steps=(
        Step(
            "What if the map is not rotated?",
            {"angle": 0.0},
            "The Gaussian map has the gap {gap:.2g}, the rotated map {before.gap:.3g}; their divergences to the target are "
            "{fit:.2g} and {before.fit:.2g}.",
            lambda before, after: after.gap < 1e-9 < before.gap,
        ),
        Step(
            "What if the map is rotated by 180°?",
            {"angle": 180.0},
            "The gap is {gap:.3g} of a cost of {displacement:.3g}.",
            lambda before, after: after.gap > before.gap,
        ),
        Step(
            "Can a network learn the optimal map from samples?",
            LEARNED,
            "It leaves {uvp:.2g}% of the variance unexplained (one seed).",
            lambda before, after: after.uvp < 3,
            look="arrows",
        ),
        Step(
            "Is the divergence alone enough?",
            LEARNED | {"strength": 0.0},
            "No: the divergence to the target is {fit:.2g}, but the map leaves {uvp:.3g}% of the variance unexplained (one "
            "seed).",
            lambda before, after: after.uvp > 30,
            look="arrows",
        ),
    ),
    groups=(
        Group(
            "Entropic gap",
            "The entropic gap used in training is {gap_entropic:.3g}; the exact gap is {gap:.3g}.",
            ("bracket",),
        ),
        Group("Other maps", FIT.finding, ("rivals", "dimensions")),
        Group("Weights and costs", "{crossing:,.0f} pairs of lines cross.", ("weights", "costs")),
    ),
    says=("The map costs {displacement:.3g}; the minimum for the same images is {least:.3g}.",),
    compares=(GAP, FIT),
    question="How far is a map from moving optimally?",
)

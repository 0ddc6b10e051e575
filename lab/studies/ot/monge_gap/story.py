"""What the page of the Monge gap tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, FIT, GAP
from .presets import LEARNED

STORY = Story(
    "Many maps have the right image. The gap tells what each pays beyond the least, and is 0 only at the best.",
    hero=("arrows", "sphere", "turns"),
    moves=("angle", "cost"),
    steps=(
        Step("And if it isn't turned?", {"angle": 0.0},
             "The Gaussian map has a gap of {gap:.2g}, the turned one {before.gap:.3g}; their divergences are {fit:.2g} and "
             "{before.fit:.2g}.",
             lambda before, after: after.gap < 1e-9 < before.gap),
        Step("What if points change sides?", {"angle": 180.0},
             "All lines cross the middle: the gap is {gap:.3g} of {displacement:.3g}.",
             lambda before, after: after.gap > before.gap),
        Step("Can a network find the best map from samples?", LEARNED,
             "It leaves {uvp:.2g}% of the variance unexplained.",
             lambda before, after: after.uvp < 3, look="arrows"),
        Step("And by the divergence alone?", LEARNED | {"strength": 0.0},
             "The image is as near, {fit:.2g}, but {uvp:.3g}% are unexplained: it is another map.",
             lambda before, after: after.uvp > 30, look="arrows"),
    ),
    groups=(
        Group("What is paid for nothing", "The same images could be had for {least:.3g} in place of {displacement:.3g}.",
              ("both", "contributions")),
        Group("With an entropy", "It is learned by {gap_entropic:.3g}, where the exact gap is {gap:.3g}.", ("bracket",)),
        Group("Other maps", "A constant map has no gap: it says nothing of where points should go.",
              ("rivals", "field", "dimensions")),
        Group("As it is learned", "The images are {fit:.3g} from the targets in divergence, at a gap of {gap:.3g}.",
              ("film", "training", "loss")),
        Group("What it hangs on", "Too small a weight leaves any map, too large a one holds points back.",
              ("weights", "beside", "costs", "symmetry")),
    ),
    says=("The pairs cost {displacement:.3g}, the least is {least:.3g}.", "{crossing:.0f} pairs of lines cross."),
    finds=FINDS,
    compares=(GAP, FIT),
    repeats=("default", "best"),
    question="How far is a map from moving optimally?",
)

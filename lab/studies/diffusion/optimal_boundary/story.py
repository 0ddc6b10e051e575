"""What the page of the search over starts tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, SCORE

STORY = Story(
    "A flow from noise to images is a function of its first noise: some noises are better than others, for all images at once.",
    hero=("plane", "images"),
    moves=("tried", "steps", "candidates"),
    steps=(
        Step("Does the found start beat fresh noise?", {"steps": 40},
             "In 40 steps it scores {searched:.3g}, ancestral sampling {ancestral:.3g}, a random start {random:.3g}.",
             lambda before, after: after.searched < after.ancestral < after.random),
        Step("And the start at 0, which nobody searched?", {"metric": "perc"},
             "It beats the search, {zero:.3g} against {searched:.3g}, even where slopes are compared: its ends are near "
             "the posterior mean.",
             lambda before, after: after.zero < 0.9 * after.searched and before.zero < 0.9 * before.searched, look="histogram"),
        Step("What if sharing is exact?", {"modes": 1},
             "Under one Gaussian two images agree by {spearman_pairs:.2f} only, since each is one draw; halves by "
             "{spearman_halves:.2f}.",
             lambda before, after: after.spearman_pairs < 0.45 and after.spearman_halves > 0.75, look="agreement"),
        Step("Is a cheap search enough?", {"candidates": 10, "references": 5},
             "Ten starts on five images gain {gain:.0%}, where the default gains {before.gain:.0%}.",
             lambda before, after: after.gain < before.gain, look="sizes"),
    ),
    groups=(
        Group("Does one start serve all?", "Two images agree by {spearman_pairs:.2f}, halves by {spearman_halves:.2f}: on "
              "average yes, image by image hardly. It beats the median start on {wins:.0%} of the test images.",
              ("ranks", "agreement", "noise")),
        Group("What does searching bring?", "The found start scores {searched:.3g}, a random one {random:.3g}; gradients come "
              "to {refined:.3g}, and x_T = 0 has {zero:.3g}.", ("histogram", "best", "sizes", "dimensions", "table")),
        Group("Used otherwise", "What was found for {calls:.0f} evaluations serves other steps and other damages.",
              ("budget", "reuse", "elsewhere")),
        Group("Why it works, and where not", "Density and score agree by {density_agrees:.2f} over starts.",
              ("line", "shared", "density", "starts")),
    ),
    says=(
        "On images that it has not seen the found start scores {searched:.3g}; a random one {random:.3g}.",
        "x_T = 0 scores {zero:.3g} without any search: for metrics that like blur it is the best start of all.",
    ),
    finds=FINDS,
    compares=(SCORE,),
    repeats=("default", "best"),
    question="Is there one best noise to start from?",
)

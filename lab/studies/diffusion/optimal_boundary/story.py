"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import SCORE

STORY = Story(
    "A flow maps its initial noise to an image. Search for one initial noise that lowers the error on all images, and "
    "compare it with x_T = 0.",
    hero=("plane", "images"),
    moves=("tried", "steps", "candidates"),
    steps=(
        Step(
            "Does the searched start improve on random noise?",
            {"steps": 40},
            "Yes: in 40 steps its error is {searched:.3g}, that of ancestral sampling {ancestral:.3g}, of a random start "
            "{random:.3g}.",
            lambda before, after: after.searched < after.ancestral < after.random,
        ),
        Step(
            "How does x_T = 0 compare, which needs no search?",
            {"metric": "perc"},
            "Its error is {zero:.3g}, that of the searched start {searched:.3g}, also by the perceptual metric: it ends "
            "close to the posterior mean.",
            lambda before, after: after.zero < 0.9 * after.searched and before.zero < 0.9 * before.searched,
            look="histogram",
        ),
        Step(
            "What if all images share one ranking?",
            {"modes": 1},
            "Under one Gaussian the rank correlation of two images is only {spearman_pairs:.2f}, of two halves of the "
            "images {spearman_halves:.2f}.",
            lambda before, after: after.spearman_pairs < 0.45 and after.spearman_halves > 0.75,
            look="agreement",
        ),
        Step(
            "Is a cheap search enough?",
            {"candidates": 10, "references": 5},
            "Ten starts on five images lower the error by {gain:.0%}, the default search by {before.gain:.0%}.",
            lambda before, after: after.gain < before.gain,
            look="sizes",
        ),
    ),
    groups=(
        Group(
            "Does one start serve all?",
            "Rank correlation of starts: {spearman_pairs:.2f} between two images, {spearman_halves:.2f} between two halves "
            "of the images.",
            ("agreement",),
        ),
        Group("Gain of the search", SCORE.finding, ("histogram", "sizes")),
        Group(
            "Other steps and degradations",
            "The search took {calls:.0f} evaluations of the denoiser.",
            ("budget", "elsewhere"),
        ),
        Group(
            "Density and error",
            "Rank correlation of density and low error over starts: {density_agrees:.2f}.",
            ("line",),
        ),
    ),
    says=("The search lowers the held-out error from {random:.3g} (random start) to {searched:.3g}.",),
    compares=(SCORE,),
    question="Is there one optimal noise to start from?",
)

"""The argument of the page: lede, comparisons, steps and groups."""

from lab.denoise.lineup import NETWORKS
from lab.studies.contract import Comparison, Group, Step, Story

from .claims import LETTER

NAMES = {"optimal": "the optimal denoiser", "nearest": "the nearest image", "Wiener": "the Wiener filter"}
NAMES |= {name: name for name in ("PCA locality", "LS", "PSPC", "ELS")} | {name: f"the {name}" for name in NETWORKS}
LOW, MIDDLE = (
    Comparison(
        name,
        f"mean squared error at σ = {level:g}",
        NAMES,
        result="table_mse",
        along="denoiser",
        over="test",
        at={"table_level": level},
        ours="PCA locality",
        repeats="test images",
    )
    for name, level in (("low", 0.1), ("middle", 1.0))
)

STORY = Story(
    "The covariance of the images determines which pixels a denoiser uses: its sensitivity map needs no training.",
    hero=("look",),
    moves=("sigma", "row", "column"),
    steps=(
        Step(
            "How does the sensitivity map change at higher noise?",
            {"sigma": 2.0},
            "The Wiener filter's map covers {field_pixels:.0f} pixels; at the default noise it covers "
            "{before.field_pixels:.0f}.",
            lambda before, after: after.field_pixels > 1.5 * before.field_pixels,
        ),
        Step(
            "What does the exact minimizer of the training loss do at low noise?",
            {"sigma": 0.05},
            "It averages {ess_here:.2f} training images, so it copies one. Its error is {error_optimal:.2g}; PCA locality "
            "has {error_locality:.2g}.",
            lambda before, after: after.ess_here < 1.1 and after.error_locality < 0.5 * after.error_optimal,
            look="errors",
        ),
        Step(
            "What if every image contains the same letter?",
            {"plant": True, **LETTER, "row": 7, "column": 5},
            "The map of a pixel on the letter is the whole letter, near and far, in PCA locality and the Wiener filter.",
            lambda before, after: after.pattern_rows.sel(denoiser=["PCA locality", "Wiener"]).min() > 0.9,
            look="pattern",
        ),
        Step(
            "What if the threshold of the released mask is four times too high?",
            {"normalize": "row", "theta": 0.02, "sigma": 0.1},
            "The masks have only {mask_pixels:.2g} pixels, and the error is {error_locality:.2g}; the Wiener filter has "
            "{error_wiener:.2g}.",
            lambda before, after: after.mask_pixels < 1 and after.error_locality > 2 * after.error_wiener,
        ),
    ),
    groups=(
        Group(
            "What the covariance determines",
            "Directions with more variance than the noise pass; their sum is the sensitivity map.",
            ("spectrum", "sensitivity"),
        ),
        Group("Error of each denoiser", MIDDLE.finding, ("errors",)),
        Group(
            "Do networks behave alike?",
            "Agreement r² with the network: PCA locality {r2_locality:.3f}, Wiener {r2_wiener:.3f}, optimal "
            "{r2_optimal:.3f}.",
            ("agreement",),
        ),
        Group(
            "Samples or copies?",
            "The optimal denoiser averages {ess_here:.3g} images at this noise level; at low noise its samples are copies.",
            ("samples",),
        ),
        Group(
            "A planted pattern",
            "Where the noise exceeds all other variance, the map of a pixel on the pattern is the whole pattern; the map of "
            "LS ends with its patch.",
            ("pattern",),
        ),
    ),
    says=("Pixels in the PCA mask: {mask_pixels:.0f}; images averaged by the optimal denoiser: {ess_here:.2g}.",),
    compares=(LOW, MIDDLE),
    question="Which pixels does a denoiser use?",
)

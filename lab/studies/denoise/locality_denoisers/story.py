"""What the page of the locality of denoisers tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, LOW, MIDDLE
from .presets import LETTER

STORY = Story(
    "Where a denoiser looks is written in the data: its field needs no training.",
    hero=("look",),
    moves=("sigma", "row", "column"),
    steps=(
        Step("How far does a pixel look at higher noise?", {"sigma": 2.0},
             "The Wiener filter looks at {field_pixels:.0f} pixels, where it looked at {before.field_pixels:.0f}.",
             lambda before, after: after.field_pixels > 1.5 * before.field_pixels),
        Step("What does the exact minimiser of the training loss do at low noise?", {"sigma": 0.05},
             "It rests on {ess_here:.2f} of the images: a memory. Its error is {error_optimal:.2g}, that of PCA locality "
             "{error_locality:.2g}.",
             lambda before, after: after.ess_here < 1.1 and after.error_locality < 0.5 * after.error_optimal, look="errors"),
        Step("What if the same letter is hidden in every image?", {"plant": True, **LETTER, "row": 7, "column": 5},
             "A pixel on the letter now looks at all of it, near and far: PCA locality and Wiener find it without training.",
             lambda before, after: (after.pattern_rows.sel(denoiser=["PCA locality", "Wiener"]).min() > 0.9), look="pattern"),
        Step("And if the threshold of the released mask is four times too high?",
             {"normalize": "row", "theta": 0.02, "sigma": 0.1},
             "Masks are left with {mask_pixels:.2g} pixels, and the error rises to {error_locality:.2g}, that of Wiener is "
             "{error_wiener:.2g}.",
             lambda before, after: after.mask_pixels < 1 and after.error_locality > 2 * after.error_wiener),
    ),
    groups=(
        Group("What the data allow", "Only directions that vary more than the noise pass: their sum is where a pixel looks.",
              ("spectrum", "sensitivity", "directions", "sizes")),
        Group("Error of each denoiser", MIDDLE.finding, ("errors", "estimates", "error_table", "table")),
        Group("Is it what networks do?", "Agreement r² with the network: PCA locality {r2_locality:.3f}, Wiener "
              "{r2_wiener:.3f}, optimal {r2_optimal:.3f}.", ("agreement", "training")),
        Group("Samples, or copies?", "The optimal denoiser rests on {ess_here:.3g} of the images: at low noise its samples are "
              "copies.", ("samples", "memory")),
        Group("What each setting does", "At this θ masks have {mask_pixels:.3g} pixels, and PCA locality errs by "
              "{error_locality:.2g}.", ("theta", "patch", "training-size")),
        Group("A planted pattern", "Where the noise is far above what else varies, a pixel on the pattern looks at all of "
              "it, near and far; LS sees only its patch.",
              ("pattern", "pattern_table", "recovered")),
    ),
    says=("{mask_pixels:.0f} pixels are in the mask of PCA locality, and the optimal denoiser rests on "
          "{ess_here:.2g} of the images.",),
    finds=FINDS,
    compares=(LOW, MIDDLE),
    question="Where does a denoiser look?",
)

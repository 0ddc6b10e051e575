"""What the page of inverse problems tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import AWAY, FINDS, PSNR

STORY = Story(
    "All solvers use the same denoiser. Many recover the posterior mean, few the posterior spread.",
    hero=("answers", "pixel"),
    moves=("noise", "seen", "row", "column"),
    steps=(
        Step("Which is right where nothing is seen?", {"damage": "box", "hole": 0.5},
             "In the hole spread is what counts: over all pixels the posterior has {spread_true:.2f}, DPS "
             "{spread_dps:.2f}, RED-diff {spread_reddiff:.2f}.",
             lambda before, after: after.spread_reddiff < 0.75 * after.spread_true, look="spreads"),
        Step("How much do methods leave when a tenth of the pixels is seen?", {"seen": 0.1},
             "The posterior mean has {psnr_bound:.1f} dB and DPS {psnr_dps:.1f}, total variation {psnr_variation:.1f}: where "
             "little is seen all is guessed.",
             lambda before, after: after.psnr_bound < before.psnr_bound - 5 and after.spread_true > 1.5 * before.spread_true,
             look="errors"),
        Step("Do they know how sure they are?", {"noise": 0.3},
             "The truth lies in the 90% of exact samples for {coverage_exact:.0%} of the pixels, in those of DPS for "
             "{coverage_dps:.0%}, of RED-diff for {coverage_reddiff:.0%}.",
             lambda before, after: after.coverage_reddiff < after.coverage_exact - 0.1, look="coverage"),
    ),
    groups=(
        Group("PSNR of each method", PSNR.finding, ("quality", "away", "errors", "table")),
        Group("How sure are they?", "The posterior has a spread of {spread_true:.3f}; DPS {spread_dps:.3f}, RED-diff "
              "{spread_reddiff:.3f}.", ("spreads", "calibration", "coverage", "some")),
        Group("Like an image, or like one that was seen?",
              "Exact samples are {nearest_exact:.2f} from the nearest training image.", ("perception",)),
        Group("What each setting does", "Total variation, which knows no images, has {psnr_variation:.1f} dB here.",
              ("budget", "noise", "share", "calls", "seconds")),
    ),
    says=("The pseudo-inverse has a PSNR of {psnr_damaged:.1f} dB, the posterior mean {psnr_bound:.1f} dB.",),
    finds=FINDS,
    compares=(PSNR, AWAY),
    question="Whose answers spread as widely as the truth allows?",
)

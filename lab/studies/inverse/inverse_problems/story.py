"""What the page of inverse problems tells first."""

from lab.studies.contract import Group, Step, Story

STORY = Story(
    "All methods ask one denoiser; most find the middle of the posterior, and few its width.",
    hero=("answers", "pixel"),
    moves=("noise", "seen", "row", "column"),
    steps=(
        Step("Which is right where nothing is seen?", {"damage": "box", "hole": 0.5},
             "In the hole spread is what counts: over all pixels the posterior has {spread_true:.2f}, DPS "
             "{spread_dps:.2f}, RED-diff {spread_reddiff:.2f}.",
             lambda before, after: after.spread_reddiff < 0.75 * after.spread_true, look="spreads"),
        Step("What if the prior is the training images themselves?", {"prior": "optimal", "noise": 0.5},
             "Exact samples are then training images: their distance to one is {nearest_exact:.2g}, and the posterior mean "
             "has {psnr_bound:.1f} dB, where the Gaussian's had {before.psnr_bound:.1f}.",
             lambda before, after: after.nearest_exact < 1e-6 and after.psnr_bound < before.psnr_bound, look="perception"),
        Step("What is left when the damage is not linear?", {"damage": "clip"},
             "Half of the methods have no answer; the best of the others has {psnr_best:.1f} dB.",
             lambda before, after: (after.why == 1).sum() == 8, look="table"),
        Step("Do they know how sure they are?", {"noise": 0.3},
             "The truth lies in the 90 % of exact samples for {coverage_exact:.0%} of the pixels, in those of DPS for "
             "{coverage_dps:.0%}, of RED-diff for {coverage_reddiff:.0%}.",
             lambda before, after: after.coverage_reddiff < after.coverage_exact - 0.1, look="coverage"),
    ),
    groups=(
        Group("How good is one answer?", "The best has {psnr_best:.1f} dB, the start {psnr_damaged:.1f}, the posterior mean "
              "{psnr_bound:.1f}.", ("quality", "away", "errors", "table")),
        Group("How sure are they?", "The posterior has a spread of {spread_true:.3f}; DPS {spread_dps:.3f}, RED-diff "
              "{spread_reddiff:.3f}.", ("spreads", "calibration", "coverage", "some")),
        Group("Like an image, or like one that was seen?",
              "Exact samples are {nearest_exact:.2f} from the nearest training image.", ("perception",)),
        Group("What each setting does", "Total variation, which knows no images, has {psnr_variation:.1f} dB here.",
              ("budget", "noise", "share", "seconds")),
    ),
    says=("Of those that ask the denoiser the best comes within {away_best:.3f} of the posterior mean, a pixel.",
          "Plug-and-play has {psnr_plug:.1f} dB, DPS {psnr_dps:.1f}, RED-diff {psnr_reddiff:.1f}, FLAIR {psnr_flair:.1f}."),
)

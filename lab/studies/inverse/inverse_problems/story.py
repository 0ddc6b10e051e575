"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import AWAY, PSNR

STORY = Story(
    "All solvers use the same denoiser. Many recover the posterior mean, few the posterior spread.",
    hero=("answers", "pixel"),
    moves=("noise", "seen", "row", "column"),
    steps=(
        Step(
            "Which methods are uncertain where nothing is observed?",
            {"damage": "box", "hole": 0.5},
            "Over all pixels the posterior spread is {spread_true:.2f}; DPS has {spread_dps:.2f} and RED-diff "
            "{spread_reddiff:.2f}.",
            lambda before, after: after.spread_reddiff < 0.75 * after.spread_true,
            look="spreads",
        ),
        Step(
            "How much do methods recover from a tenth of the pixels?",
            {"seen": 0.1},
            "The posterior mean has a PSNR of {psnr_bound:.1f} dB, DPS {psnr_dps:.1f} dB and total variation "
            "{psnr_variation:.1f} dB; with half of the pixels the posterior mean has {before.psnr_bound:.1f} dB.",
            lambda before, after: (
                after.psnr_bound < before.psnr_bound - 5 and after.spread_true > 1.5 * before.spread_true
            ),
            look="quality",
        ),
        Step(
            "Do methods know their uncertainty?",
            {"noise": 0.3},
            "The truth lies in the 90% interval of exact samples for {coverage_exact:.0%} of the pixels, of DPS for "
            "{coverage_dps:.0%} and of RED-diff for {coverage_reddiff:.0%}.",
            lambda before, after: after.coverage_reddiff < after.coverage_exact - 0.1,
            look="coverage",
        ),
    ),
    groups=(
        Group("PSNR of each method", PSNR.finding, ("quality", "table", "noise")),
        Group(
            "Uncertainty",
            "The posterior has a spread of {spread_true:.3f}; DPS {spread_dps:.3f}, RED-diff {spread_reddiff:.3f}.",
            ("spreads", "calibration", "coverage"),
        ),
    ),
    says=("The pseudo-inverse has a PSNR of {psnr_damaged:.1f} dB, the posterior mean {psnr_bound:.1f} dB.",),
    compares=(PSNR, AWAY),
    question="Which samples vary as widely as the posterior?",
)

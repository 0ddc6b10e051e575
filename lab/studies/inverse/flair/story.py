"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import PLANE, PSNR

STORY = Story(
    "FLAIR adds noise, denoises with a flow model and projects onto the data. Its samples agree with the measurement and "
    "differ where nothing was observed.",
    hero=("answers", "spread"),
    moves=("c", "damage", "hdc"),
    steps=(
        Step(
            "What does a stronger prior change?",
            {"c": 1.0},
            "The standard deviation of samples rises from {before.spread:.2f} to {spread:.2f} (posterior: {spread_exact:.2f}). "
            "PSNR falls from {before.psnr_one:.1f} to {psnr_one:.1f} dB for one sample and is {psnr_average:.1f} dB for the "
            "sample mean.",
            lambda before, after: after.spread > 1.5 * before.spread and after.psnr_one < before.psnr_one,
            look="spread",
        ),
        Step(
            "Where do samples differ if a box is masked?",
            {"damage": "box"},
            "In the box, where the standard deviation is {spread:.2f} on average; at observed pixels it is {spread_seen:.2g}.",
            lambda before, after: after.spread_seen < 1e-9 and after.spread > 0.1,
            look="spread",
        ),
        Step(
            "Can a constant weight be used down to small times?",
            {"crw": False, "c": 0.5, "t_min": 0.02},
            "No. The weight reaches {relaxation_most:.0f} t; above 2 t errors grow in each step, and PSNR falls to "
            "{psnr_one:.0f} dB.",
            lambda before, after: after.psnr_one < 0 and after.relaxation_most > 2,
            look="calibration",
        ),
        Step(
            "Does trajectory adjustment raise PSNR?",
            {"prior": "optimal"},
            "Under the Gaussian prior it changes PSNR by {before.dta_gain:.2f} dB. Under the optimal denoiser of the training "
            "images it raises PSNR by {dta_gain:.1f} dB.",
            lambda before, after: abs(before.dta_gain) < 0.5 and after.dta_gain - after.dta_gain_half > 0.5,
        ),
        Step(
            "What if the data step is a single gradient step?",
            {"hdc": "one step"},
            "The misfit rises to {residual:.1f} times the noise. PSNR falls from {before.psnr_one:.1f} to {psnr_one:.1f} dB.",
            lambda before, after: after.residual > 0.3 and after.psnr_one < before.psnr_one,
        ),
    ),
    groups=(
        Group(
            "Weight of the prior",
            "The longest step moves μ by {relaxation_most:.2f} of its distance to the denoised image; above 2 the method is "
            "unstable.",
            ("calibration",),
        ),
        Group(
            "From noise to image",
            "Each step adds noise, denoises, moves the estimate and restores agreement with the data.",
            ("filmstrip",),
        ),
        Group(
            "Which component matters?",
            "DTA changes PSNR by {dta_gain:.2f} ± {dta_gain_half:.2f} dB here. The paper's order, DTA before HDC before CRW, "
            "does not hold under a Gaussian prior.",
            ("parts",),
        ),
        Group("Two modes in the plane", PLANE.finding, ("plane",)),
        Group(
            "Fidelity or diversity",
            "PSNR is {psnr_one:.1f} dB for one sample, {psnr_average:.1f} dB for the sample mean and {psnr_exact:.1f} dB for "
            "E[x | y].",
            ("tradeoff",),
        ),
    ),
    compares=(PSNR, PLANE),
    seeds=20,
    question="How can a flow model and a measurement agree on an image?",
)

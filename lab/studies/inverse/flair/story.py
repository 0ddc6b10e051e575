"""What the page of FLAIR tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, PLANE, PSNR

STORY = Story(
    "FLAIR adds noise, denoises with a flow model and projects onto the data. Its samples agree with the measurement and "
    "differ where nothing was observed.",
    hero=("answers", "spread"),
    moves=("c", "damage", "hdc"),
    steps=(
        Step("What if the prior pulls harder?", {"c": 1.0},
             "Answers spread by {spread:.2f}, where it was {before.spread:.2f} and the posterior has {spread_exact:.2f}; one "
             "answer falls from {before.psnr_one:.1f} to {psnr_one:.1f} dB, their mean has {psnr_average:.1f}.",
             lambda before, after: after.spread > 1.5 * before.spread and after.psnr_one < before.psnr_one, look="spread"),
        Step("Where does the variance sit when a box is hidden?", {"damage": "box"},
             "In the hole, {spread:.2f} on average; where the image is seen it is {spread_seen:.2g}.",
             lambda before, after: after.spread_seen < 1e-9 and after.spread > 0.1, look="spread"),
        Step("Is a constant weight as good, down to the data?", {"crw": False, "c": 0.5, "t_min": 0.02},
             "No: it reaches {relaxation_most:.0f} t, beyond 2 t answers grow without bound, and PSNR falls to "
             "{psnr_one:.0f} dB.",
             lambda before, after: after.psnr_one < 0 and after.relaxation_most > 2, look="relaxation"),
        Step("Does trajectory adjustment pay?", {"prior": "optimal"},
             "Under the Gaussian prior it changes PSNR by {before.dta_gain:.2f} dB; under one that knows the training images "
             "alone by {dta_gain:.1f} dB.",
             lambda before, after: abs(before.dta_gain) < 0.5 and after.dta_gain - after.dta_gain_half > 0.5),
        Step("And if the data only pull, by one gradient step?", {"hdc": "one step"},
             "Then answers miss the data by {residual:.1f} times the noise, and fall from {before.psnr_one:.1f} to "
             "{psnr_one:.1f} dB.",
             lambda before, after: after.residual > 0.3 and after.psnr_one < before.psnr_one),
    ),
    groups=(
        Group("How strongly to pull", "The largest step goes {relaxation_most:.2f} of the way to the denoised image: 2 is the "
              "limit.", ("calibration", "relaxation")),
        Group("On the way", "Each step noises, denoises, moves and projects; a constant weight must stop in time.",
              ("filmstrip", "stability")),
        Group("Which part matters", "Here DTA gains {dta_gain:.2f} ± {dta_gain_half:.2f} dB. The paper's order, DTA before HDC "
              "before CRW, is not found under a Gaussian prior.", ("parts", "priors")),
        Group("Two modes in the plane", PLANE.finding, ("plane", "modes")),
        Group("Fidelity or diversity", "One answer has {psnr_one:.1f} dB, the mean of all {psnr_average:.1f}, E[x | y] has "
              "{psnr_exact:.1f}.", ("tradeoff", "table")),
    ),
    says=(
        "One answer has {psnr_one:.1f} dB, the mean of all {psnr_average:.1f}; the exact posterior mean has {psnr_exact:.1f}.",
        "Answers spread by {spread:.2f} where nothing is seen, the posterior by {spread_exact:.2f}.",
        "Trajectory adjustment changes PSNR by {dta_gain:.2f} ± {dta_gain_half:.2f} dB here.",
    ),
    finds=FINDS,
    compares=(PSNR, PLANE),
    seeds=20,
    question="How do a flow and a measurement agree on an image?",
)

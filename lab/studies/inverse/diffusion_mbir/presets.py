"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

TABLE = {"side": "32", "steps": 200, "sigma_max": 20.0, "tv_steps": 300}
"""The sheet's scaled-down table: 24 slices of 32 x 32, eight views, 200 levels from 20."""

PRESETS = (
    Preset("eight-views", "Eight views", "Everything in a second: click places, move the views, the penalty, the noise.", {}),
    Preset("table", "The table at eight views", "24 slices of 32 x 32 and 200 levels: all methods beside each other.", TABLE),
    Preset("four-views", "Four views", "The paper's second row.", {**TABLE, "views": 4}),
    Preset("two-views", "Two views", "The paper's third row: hardly more than a shadow.", {**TABLE, "views": 2}),
    Preset("limited-angle", "A limited angle", "Views over 90 degrees alone, one in 1.5: edges along the others are not seen.",
           {**TABLE, "scanner": "limited angle", "views": 60}),
    Preset("mri", "MRI, twice as fast", "Half of the lines of frequencies, and one CG step, which is nearly exact there.",
           {**TABLE, "scanner": "MRI", "inner": 1}),
    Preset("released", "As released", "One CG step, 2000 levels from 378, the corrector at its own level, slices in a ring, "
           "a last step to the data; half a minute.",
           {**TABLE, "steps": 2000, "sigma_max": 378.0, "inner": 1, "corrector": "same level", "boundary": "periodic",
            "finish": True}),
    Preset("one-step", "One CG step", "M = 1 is slow to fit, but hardly ever diverges.", {**TABLE, "inner": 1}),
    Preset("not-shared", "Variables that are not shared", "u and w start anew at each level: the penalty is hardly felt.",
           {**TABLE, "share": False}),
    Preset("slow", "The slow version", "Twenty steps of ADMM at each level in place of shared variables.",
           {**TABLE, "share": False, "admm": 20}),
    Preset("diverges", "Too large a weight", "ρ = 1 ties x to its noisier last step: the diffusion diverges.",
           {"rho": 1.0, "sigma_max": 20.0}),
    Preset("digits", "Digits that turn into each other", "Real digits, real training slices, and a volume that changes faster.",
           {"data": "digit-stack"}),
    Preset("other-kind", "A prior of something else", "Ellipsoids, reconstructed by who has only seen digits.",
           {"learnt": "digits"}),
    Preset("memory", "A prior that memorises", "The exact posterior mean over training slices knows no others.",
           {"prior": "optimal"}),
    Preset("noisy", "Noise", "Five percent of what is measured.", {"noise": 0.05, "lam": 8e-3}),
)

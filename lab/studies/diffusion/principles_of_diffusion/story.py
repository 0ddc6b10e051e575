"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import ERROR, GRID

STORY = Story(
    "All deterministic samplers approximate one flow from noise to data; the error in few steps depends on the sampler and "
    "its time grid.",
    hero=("motion", "errors"),
    moves=("steps", "t"),
    steps=(
        Step(
            "What if the sampler is of first order?",
            {"sampler": "ddim"},
            "With equally many evaluations the error of DDIM against the exact flow is {error:.2g}, with DPM-Solver++ (2M) "
            "{before.error:.2g}.",
            lambda before, after: after.error > 1.5 * before.error and after.evaluations == before.evaluations,
        ),
        Step(
            "Does the grid matter?",
            {"spacing": "time"},
            "Yes: with steps even in time the error is {error:.2g} instead of {before.error:.2g}.",
            lambda before, after: after.error < 0.6 * before.error,
            look="grids",
        ),
        Step(
            "What do twice as many steps change?",
            {"steps": 20},
            "The error falls from {before.error:.2g} to {error:.2g}; a second-order method divides it by 4 asymptotically.",
            lambda before, after: after.error < 0.45 * before.error,
        ),
        Step(
            "Does guidance sample the tilted distribution?",
            {"guided": True, "w": 3.0, "steps": 40},
            "No: the standard deviation of the samples is {spread:.2g}, of the tilted distribution {spread_tilted:.2g}.",
            lambda before, after: after.spread < 0.9 * after.spread_tilted and after.share > 0.99,
            look="motion",
        ),
    ),
    groups=(
        Group("Samplers and grids", ERROR.finding, ("grids",)),
        Group("Schedules", "The sampler evaluates the denoiser {evaluations} times.", ("schedules", "spacetime")),
        Group("Guidance", "The standard deviation of the samples is {spread:.3g}.", ("guidance",)),
        Group(
            "Few-step models",
            "W₂² to held-out data: exact flow {w2sq_exact:.3g}, two samples of the data {w2sq_floor:.3g}.",
            ("few", "calls"),
        ),
    ),
    says=(
        "W₂² to held-out data: sampler {w2sq:.3g}, exact flow {w2sq_exact:.3g}, two samples of the data {w2sq_floor:.3g}.",
    ),
    compares=(ERROR, GRID),
    question="How accurate are diffusion samplers in few steps?",
)

"""What the page of the principles of diffusion tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import ERROR, FINDS, GRID

STORY = Story(
    "All samplers follow one flow from noise to data; what few steps miss of it depends on the sampler and on its grid.",
    hero=("motion", "errors"),
    moves=("steps", "t"),
    steps=(
        Step("What if the sampler is of first order?", {"sampler": "ddim"},
             "With as many evaluations DDIM ends {error:.2g} from the exact flow, where DPM-Solver++ (2M) ends "
             "{before.error:.2g} away.",
             lambda before, after: after.error > 1.5 * before.error and after.evaluations == before.evaluations),
        Step("Does the grid matter?", {"spacing": "time"},
             "Steps that are even in time are crowded where points choose between the modes: the error is {error:.2g} "
             "instead of {before.error:.2g}.",
             lambda before, after: after.error < 0.6 * before.error, look="grids"),
        Step("And twice as many steps?", {"steps": 20},
             "A quarter of the error or less, as the second order says: {error:.2g} against {before.error:.2g}.",
             lambda before, after: after.error < 0.45 * before.error),
        Step("Does guidance draw from the tilted law?", {"guided": True, "w": 3.0, "steps": 40},
             "No: the samples spread by {spread:.2g}, that law by {spread_tilted:.2g}.",
             lambda before, after: after.spread < 0.9 * after.spread_tilted and after.share > 0.99, look="motion"),
    ),
    groups=(
        Group("Which sampler, which grid?", "The sampler asks {evaluations} times, and its samples are at W₂² = {w2sq:.3g} "
              "from fresh data, those of the exact flow at {w2sq_exact:.3g}.", ("grids", "table")),
        Group("One flow, many words", "Data, noise, score, velocity and v hold the same, and all schedules pass through the "
              "same levels.",
              ("fields", "schedules", "weights", "spacetime")),
        Group("Asking for a class", "Guidance moves the samples away from what is likely without the class.",
              ("guidance",)),
        Group("In one call, or few", "What few-step models learn is the flow's own map: here beside the exact one.",
              ("few", "calls", "residuals", "training")),
    ),
    says=(
        "W₂² to fresh data: {w2sq:.3g} by the sampler, {w2sq_exact:.3g} by the exact flow; two samples of the data have "
        "{w2sq_floor:.3g}.",
    ),
    finds=FINDS,
    compares=(ERROR, GRID),
    repeats=("default", "best"),
    question="Which sampler comes closest in ten steps?",
)

"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import KL, SLICED, W2SQ

STORY = Story(
    "The geodesic between the Gaussian of images and white noise gives each frequency its own schedule, without a parameter "
    "to tune.",
    hero=("film", "curves"),
    moves=("gamma", "frame"),
    steps=(
        Step(
            "What if all frequencies go together?",
            {"gamma": 0.0},
            "The path length is {length:.4g} instead of {before.length:.4g}, and the KL divergence of the same sampler "
            "{error:.2g} instead of {before.error:.2g}.",
            lambda before, after: after.length > 1.01 * before.length and after.error > 100 * before.error,
            look="gamma",
        ),
        Step(
            "What if the same path has another speed?",
            {"warp": 2.0},
            "The length is the same, {length:.5g}, but KL is {error:.2g} instead of {before.error:.2g}.",
            lambda before, after: abs(after.length / before.length - 1) < 1e-6 and after.error > 3 * before.error,
            look="warp",
        ),
        Step(
            "Is the shortest path optimal for every sampler?",
            {"sampler": "ddim"},
            "No: DDIM has KL = {error:.2g}, with the cosine schedule {error_cosine:.2g}, but its minimum is close to γ = 1, "
            "not at "
            "it; with the small variance the minimum is far from 1.",
            lambda before, after: (
                after.error < after.error_cosine
                and 0 < abs(after.best_gamma.sel(sampler_name="ddim").item() - 1) <= 0.3
            ),
            look="gamma",
        ),
        Step(
            "Does it need fewer steps?",
            {"steps": 25},
            "Yes: in 25 steps KL is {error:.2g}; with the cosine schedule {error_cosine:.2g}, in 100 steps "
            "{before.error_cosine:.2g}.",
            lambda before, after: after.error < before.error_cosine < after.error_cosine,
            look="budgets",
        ),
    ),
    groups=(
        Group(
            "Why a schedule for each frequency?",
            "The Fisher-Rao distance to white noise is {distance:.4g}; the cosine schedule has the path length "
            "{length_cosine:.4g}.",
            ("toy", "speed"),
        ),
        Group("Cost of leaving the path", KL.finding, ("gamma", "warp", "budgets")),
        Group("Images that are not Gaussian", SLICED.finding, ("images",)),
    ),
    says=("The path length is {length:.4g}; the distance is {distance:.4g}.",),
    compares=(KL, W2SQ, SLICED),
    question="Which path from noise to images is the shortest?",
)

"""What the page of shortest-path diffusion tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, KL, SLICED, W2SQ

STORY = Story(
    "The shortest way from images to white noise takes coarse frequencies first, and has no number to tune.",
    hero=("film", "curves"),
    moves=("gamma", "frame"),
    steps=(
        Step("What if all frequencies go together?", {"gamma": 0.0},
             "The path is {length:.4g} long in place of {before.length:.4g}, and the same sampler in as many steps ends at "
             "KL = {error:.2g}, not {before.error:.2g}.",
             lambda before, after: after.length > 1.01 * before.length and after.error > 100 * before.error, look="gamma"),
        Step("And the same path at another speed?", {"warp": 2.0},
             "It is as long, {length:.5g}, but its steps are not even: KL = {error:.2g}, not {before.error:.2g}.",
             lambda before, after: abs(after.length / before.length - 1) < 1e-6 and after.error > 3 * before.error,
             look="warp"),
        Step("Is every sampler best on the shortest path?", {"sampler": "ddim"},
             "Nearly: DDIM ends at KL = {error:.2g}, with the cosine schedule at {error_cosine:.2g}. Its least is a little off "
             "γ = 1; with the small variance it is far off.",
             lambda before, after: after.error < after.error_cosine
             and 0 < abs(after.best_gamma.sel(sampler_name="ddim").item() - 1) <= 0.3, look="gamma"),
        Step("Does it need fewer steps?", {"steps": 25},
             "In 25 steps KL is {error:.2g}; with the cosine schedule it is {error_cosine:.2g}, and in 100 steps "
             "{before.error_cosine:.2g}.",
             lambda before, after: after.error < before.error_cosine < after.error_cosine, look="budgets"),
    ),
    groups=(
        Group("Why a schedule for each frequency?", "The data are {distance:.4g} from white noise, and the cosine schedule "
              "goes {length_cosine:.4g}.", ("heat", "spectra", "speed", "toy")),
        Group("What does leaving the path cost?", "With the paper's variance KL is least on the path or next to it, with "
              "DDIM a little beside it, with the small variance far off.", ("gamma", "warp", "blend", "distances")),
        Group("Where does it matter?", "In few steps, and where the spectrum is steep: data near white need no path.",
              ("budgets", "laws")),
        Group("On images that are no Gaussians", "In few steps drawn images are at {sliced:.2g} from held out ones, with the "
              "cosine schedule at {sliced_cosine:.2g}; known images are at {sliced_floor:.2g}.", ("images", "strip")),
    ),
    says=(
        "In as many steps the sampler ends at KL = {error:.2g}, with the cosine schedule at {error_cosine:.2g}.",
        "Its path is {length:.4g} long, of a least {distance:.4g}.",
    ),
    finds=FINDS,
    compares=(KL, W2SQ, SLICED),
    repeats=("default", "best"),
    question="Which way from noise to an image is the shortest?",
)

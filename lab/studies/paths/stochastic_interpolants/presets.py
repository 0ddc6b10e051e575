"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset(
        "two-to-three", "Two modes to three",
        "Six ridges without latent noise; move a and watch them merge while both ends stay as they are.", {},
    ),
    Preset(
        "paper-1d", "The paper's figure on a line", "Latent noise of a = 2 and much noise in the sampler: other ways, the same "
        "density.",
        {"a": 2.0, "epsilon": 5.0},
    ),
    Preset("merged", "Ridges merged", "So much latent noise that half way there is one mode.", {"a": 12.0}),
    Preset(
        "paper-2d", "The paper's figure in the plane", "From one Gaussian to three, at ε = 2: play it.",
        {"data": "three-gaussians", "epsilon": 2.0},
    ),
    Preset(
        "one-start", "One start, all of the data", "At ε = 5 the trajectories from one point fill all eight Gaussians; at 0 "
        "they are one.", {"data": "eight-gaussians", "schedule": "trigonometric", "epsilon": 5.0},
    ),
    Preset(
        "checkerboard", "Checkerboard, one-sided", "The Gaussian source is the latent noise itself: one field is enough.",
        {"data": "checkerboard", "schedule": "one-sided-linear"},
    ),
    Preset(
        "encode-decode", "Encode, then decode", "All becomes noise at t = 1/2, and data again.",
        {"schedule": "encoder-decoder", "latent": "sine-squared", "a": 1.0},
    ),
    Preset(
        "mirror", "Mirror", "From the data to the data: the ODE brings each particle back to its place, the SDE to another.",
        {"data": "eight-gaussians", "schedule": "mirror", "a": 4.0},
    ),
    Preset(
        "digits", "Digits from noise, without training", "The exact field of 1797 digits: it returns these digits.",
        {"data": "digit-samples", "schedule": "one-sided-linear", "epsilon": 0.5, "particles": 100},
    ),
    Preset(
        "misfit", "Fields that miss", "Velocity and score shifted: see the divergence by noise level, and the bound as quoted "
        "fail.",
        {"data": "two-gaussians", "a": 1.0, "epsilon": 0.5, "misfit_b": 0.3, "misfit_s": 0.6},
    ),
    Preset(
        "noise-heals", "When noise heals", "The score is nearly right: noise reduces the effect of the velocity's misfit.",
        {"data": "two-gaussians", "a": 1.0, "epsilon": 3.0, "misfit_b": 0.3, "misfit_s": 0.1},
    ),
    Preset(
        "many-dimensions", "In 128 dimensions", "From one Gaussian to five, with fields that miss: noise heals here as on a "
        "line. Takes half a minute.",
        {"data": "many-dimensions", "a": 1.0, "epsilon": 3.0, "misfit_b": 0.3, "misfit_s": 0.1},
    ),
    Preset(
        "bridge", "The bridge of Schrödinger", "At this a the linear path between two Gaussians is the bridge at ε = 0.3.",
        {"data": "two-gaussians", "a": 1.16619038, "epsilon": 0.3},
    ),
    Preset(
        "fitted-bridge", "As near as a polynomial comes", "From two modes to three no size of a Brownian latent is the bridge: "
        "the fitted latent noise has less drift energy than any.",
        {"latent": "bridge"},
    ),
    Preset(
        "rectified", "The same map, another way", "Ends coupled by the flow of independent ones: the new flow has the same "
        "map, and another variance on the way.",
        {"data": "two-gaussians", "coupling": "rectified", "latent": "none"},
    ),
    Preset(
        "learned", "Learned fields", "Networks for velocity and noise, 2000 steps: what they miss, and what that costs.",
        {"a": 1.0, "training": 2000},
    ),
)

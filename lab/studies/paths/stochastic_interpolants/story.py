"""What the page of stochastic interpolants tells first."""

import numpy as np

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, W2SQ

STORY = Story(
    "An ODE and an SDE with any noise level ε share the same density at all times: trajectories differ, distributions do not.",
    hero=("spacetime",),
    moves=("epsilon", "a"),
    steps=(
        Step("Does more noise change where the particles end?", {"epsilon": 5.0},
             "Not in distribution: their W₂² to the data is {w2sq:.3g}, with less noise {before.w2sq:.3g}, between two "
             "samples of "
             "the data {w2sq_floor:.3g}.",
             lambda before, after: after.w2sq < 8 * after.w2sq_floor),
        Step("What happens without noise?", {"epsilon": 0.0},
             "The SDE becomes the ODE: W₂² is {w2sq:.3g} and {w2sq_ode:.3g}, and each initial sample has one trajectory.",
             lambda before, after: np.ptp(after.bundle.values[-1]) < 1e-9 < np.ptp(before.bundle.values[-1]),
             look="motion"),
        Step("Can the ridges between the modes be merged?", {"a": 12.0},
             "So much latent noise leaves no more than the three modes of the data at any time, with a drift energy of "
             "{drift_energy:.3g} instead of {before.drift_energy:.3g}.",
             lambda before, after: after.modes.max() <= 3),
        Step("What if the velocity is a little wrong?", {"misfit_b": 0.3},
             "The KL divergence of the data from the samples is {kl:.3g} nat with noise and {kl_ode:.3g} without: the exact "
             "score "
             "corrects part of the error.",
             lambda before, after: 0 < after.kl < after.kl_ode, look="samples"),
        Step("Which latent noise approximates the Schrödinger bridge?", {"latent": "bridge"},
             "That of minimum drift energy: fitted, it has {drift_energy:.2f} instead of {before.drift_energy:.2f}.",
             lambda before, after: after.drift_energy < before.drift_energy, look="schedules"),
    ),
    groups=(
        Group("The same density, other trajectories", W2SQ.finding, ("motion", "samples", "moments", "accuracy", "images")),
        Group("What the latent noise does", "The drift energy is {drift_energy:.3g}, the path energy "
                                            "{path_energy:.3g}.", ("smoothing", "gammas", "schedules")),
        Group("Inexact fields", "The KL divergence is {kl:.3g} nat with this noise (bound: {kl_bound:.3g}) and {kl_ode:.3g} "
                                "without.", ("kl", "training")),
        Group("The Schrödinger bridge", "The bridge minimizes the drift energy; this path has {drift_energy:.4g}.",
              ("drift", "latents", "map")),
    ),
    says=("The ODE evaluates the velocity {nfe:.0f} times.",),
    finds=FINDS,
    compares=(W2SQ,),
    question="What does noise change on the same path of densities?",
)

"""What the page of stochastic interpolants tells first."""

import numpy as np

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, W2SQ

STORY = Story(
    "One density in time, and any amount of noise along it: particles take other ways, and are in the same places.",
    hero=("spacetime",),
    moves=("epsilon", "a"),
    steps=(
        Step("Does more noise change where the particles end?", {"epsilon": 5.0},
             "No: their W₂² from the data is {w2sq:.3g}, as with less noise ({before.w2sq:.3g}) and of other data "
             "({w2sq_floor:.3g}); only their ways are others.",
             lambda before, after: after.w2sq < 8 * after.w2sq_floor),
        Step("And none at all?", {"epsilon": 0.0},
             "Then the SDE is the ODE, W₂² {w2sq:.3g} and {w2sq_ode:.3g}, and one start has one way.",
             lambda before, after: np.ptp(after.bundle.values[-1]) < 1e-9 < np.ptp(before.bundle.values[-1]),
             look="motion"),
        Step("Can the ridges between the modes be merged?", {"a": 12.0},
             "So much latent noise leaves no more than the three modes of the data at any time, with a drift energy of "
             "{drift_energy:.3g} in place of {before.drift_energy:.3g}.",
             lambda before, after: after.modes.max() <= 3),
        Step("What if the velocity is a little wrong?", {"misfit_b": 0.3},
             "The divergence of the data from the samples is {kl:.3g} nat, and {kl_ode:.3g} without noise: as the score is "
             "right, noise takes some of it away.",
             lambda before, after: 0 < after.kl < after.kl_ode, look="samples"),
        Step("Which latent noise is the nearest to Schrödinger's bridge?", {"latent": "bridge"},
             "That of least drift energy, a fitted one with {drift_energy:.2f} in place of {before.drift_energy:.2f}.",
             lambda before, after: after.drift_energy < before.drift_energy, look="schedules"),
    ),
    groups=(
        Group("The same density, other ways", "Samples of the SDE are at W₂² = {w2sq:.3g} from fresh data, of the ODE at "
              "{w2sq_ode:.3g}, other data at {w2sq_floor:.3g}.", ("motion", "samples", "moments", "accuracy", "images")),
        Group("What the latent noise does", "Without it each pair of modes has a ridge of its own; the more there is, the more "
              "of them merge.", ("smoothing", "gammas", "schedules")),
        Group("Fields that miss", "The divergence is {kl:.3g} nat with this noise, at most {kl_bound:.3g}, and {kl_ode:.3g} "
              "without.", ("kl", "training")),
        Group("The bridge of Schrödinger", "Of all paths it has the least drift energy; this one has {drift_energy:.4g}.",
              ("drift", "latents", "map")),
    ),
    says=("A particle of the ODE takes {nfe:.0f} evaluations of the velocity.",),
    finds=FINDS,
    compares=(W2SQ,),
    repeats=("default", "best"),
    question="What does noise buy on the same path?",
)

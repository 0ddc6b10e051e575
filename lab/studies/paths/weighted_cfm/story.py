"""What the page of weighted flow matching tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import BENDING, FINDS, W2SQ

STORY = Story(
    "Weights on independent pairs make flows nearly as short as optimal transport does, and may quietly change the data.",
    hero=("motion", "reweighted"),
    moves=("epsilon", "t"),
    steps=(
        Step("What do weights cost on noisy moons?", {"data": "noisy-moons", "epsilon": 4.0},
             "The NPE looks better, {npe_weighted:.2g} against {npe_independent:.2g}, and the samples are wrong: W₂² is "
             "{w2sq:.2g} where independent pairs leave {w2sq_independent:.2g}.",
             lambda before, after: after.npe_weighted < after.npe_independent / 3
             and after.w2sq > 2 * after.w2sq_independent, look="reweighted"),
        Step("What if only the nearest pairs count?", {"epsilon": 0.4},
             "The weights leave {ess:.1%} of the pairs, where they left {before.ess:.0%}, and W₂² grows from {before.w2sq:.2g} "
             "to {w2sq:.2g}.",
             lambda before, after: after.ess < 0.01 < before.ess and after.w2sq > 2 * before.w2sq),
        Step("And if all pairs count nearly alike?", {"epsilon": 100.0},
             "Nothing is tilted, and nothing gained: the NPE is {npe_weighted:.2g}, that of independent pairs "
             "{npe_independent:.2g}.",
             lambda before, after: after.tilt_data < 0.1 * before.tilt_data
             and before.npe_weighted < 0.5 * after.npe_weighted
             and abs(after.npe_weighted / after.npe_independent - 1) < 0.2, look="elbow"),
        Step("Which data keep their masses?", {"data": "circle-points"},
             "Those at one distance from the middle: on a circle R is {tilt_data:.1g}, on eight Gaussians "
             "{before.tilt_data:.1g}.",
             lambda before, after: after.tilt_data < 0.1 * before.tilt_data, look="reweighted"),
    ),
    groups=(
        Group("Which ε?", "At this one the weights leave {ess:.0%} of the pairs, and the data tilt by R = {tilt_data:.2g}.",
              ("trap", "tradeoff", "trajectories", "elbow")),
        Group("Beside other couplings", "W₂² is {w2sq:.3g} by weights and {w2sq_independent:.3g} by independent pairs; "
              "{w2sq_floor:.3g} is that of two samples of the data.", ("table", "plans", "batches", "masses")),
        Group("In training", "Trained on weighted pairs, a network learns the same field, with the same tilt.",
              ("network", "training", "fid")),
    ),
    says=(
        "W₂² to fresh data: {w2sq:.3g} by weights, {w2sq_independent:.3g} by independent pairs.",
        "The path energy is {energy_ratio:.3g} times W₂² of source and data: below 1 a marginal is missed.",
    ),
    finds=FINDS,
    compares=(W2SQ, BENDING),
    repeats=("default", "best"),
    question="Can weights stand in for transport?",
)

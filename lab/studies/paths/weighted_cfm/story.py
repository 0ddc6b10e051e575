"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import BENDING, W2SQ

STORY = Story(
    "Weights on independent pairs shorten the paths of a flow toward optimal transport, but tilt the distribution of the "
    "data.",
    hero=("motion", "reweighted"),
    moves=("epsilon", "t"),
    steps=(
        Step(
            "What do weights cost on noisy moons?",
            {"data": "noisy-moons", "epsilon": 4.0},
            "The normalized path energy error falls from {npe_independent:.2g} to {npe_weighted:.2g}, but W₂² rises from "
            "{w2sq_independent:.2g} (independent pairs) to {w2sq:.2g}.",
            lambda before, after: (
                after.npe_weighted < after.npe_independent / 3 and after.w2sq > 2 * after.w2sq_independent
            ),
            look="reweighted",
        ),
        Step(
            "What if only close pairs have weight?",
            {"epsilon": 0.4},
            "The effective fraction of pairs falls from {before.ess:.0%} to {ess:.1%}, and W₂² rises from {before.w2sq:.2g} "
            "to {w2sq:.2g}.",
            lambda before, after: after.ess < 0.01 < before.ess and after.w2sq > 2 * before.w2sq,
        ),
        Step(
            "What if all pairs have nearly equal weight?",
            {"epsilon": 100.0},
            "The data are not tilted, and nothing is gained: the NPE is {npe_weighted:.2g}, with independent pairs "
            "{npe_independent:.2g}.",
            lambda before, after: (
                after.tilt_data < 0.1 * before.tilt_data
                and before.npe_weighted < 0.5 * after.npe_weighted
                and abs(after.npe_weighted / after.npe_independent - 1) < 0.2
            ),
            look="elbow",
        ),
        Step(
            "Which data are not tilted?",
            {"data": "circle-points"},
            "Data at equal distance from the center: the tilt R is {tilt_data:.1g} on a circle and {before.tilt_data:.1g} "
            "on eight Gaussians.",
            lambda before, after: after.tilt_data < 0.1 * before.tilt_data,
            look="reweighted",
        ),
    ),
    groups=(
        Group(
            "Choice of ε",
            "The effective fraction of pairs is {ess:.0%}, the tilt of the data R = {tilt_data:.2g}.",
            ("trap", "elbow"),
        ),
        Group("Comparison with other couplings", BENDING.finding, ("table", "plans", "batches")),
        Group("In training", "The exact field of weighted pairs has W₂² = {w2sq:.3g}.", ("training",)),
    ),
    says=(
        "W₂² between two samples of the data is {w2sq_floor:.3g}.",
        "The path energy is {energy_ratio:.3g} times W₂² between source and data; a value below 1 shows that a marginal is "
        "wrong.",
    ),
    measure="npe_weighted",
    compares=(W2SQ, BENDING),
    question="Can weights replace optimal transport couplings?",
)

"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import STABLE

STORY = Story(
    "A DPP draws evaluation points that repel each other. Compare the stability of least-squares fits with that for "
    "independent points.",
    hero=("chain",),
    moves=("step", "oversampling", "m"),
    steps=(
        Step(
            "How many points are enough?",
            {"oversampling": 5},
            "At n = 5 m, {stable:.0%} of the DPP designs and {stable_iid:.0%} of the i.i.d. Christoffel designs are stable.",
            lambda before, after: after.stable > before.stable and after.stable > 2 * after.stable_iid,
            look="stability",
        ),
        Step(
            "Are independent points enough?",
            {"sampler": "iid-optimal"},
            "No: {stable:.1%} of their designs are stable, and the median squared error is {ratio_here:.2f} times the "
            "projection error.",
            lambda before, after: after.stable < before.stable,
            look="errors",
        ),
        Step(
            "What about piecewise constant functions?",
            {"data": "jump", "family": "haar", "m": 8},
            "The DPP puts a point into each cell; {stable:.0%} of the designs are stable.",
            lambda before, after: after.stable > 0.999,
        ),
        Step(
            "What if a design is thinned?",
            {"thinned": 25},
            "It stays stable with few points, but its error can no longer be estimated from them.",
            lambda before, after: (after.thin_estimate > 2).mean() > 0.5,
            look="thinning",
        ),
    ),
    groups=(
        Group("Stability", STABLE.finding, ("stability",)),
        Group(
            "Error",
            "Median squared error relative to the L2 projection: {ratio_here:.2f}; with i.i.d. Christoffel points "
            "{ratio_iid:.2f}.",
            ("errors", "fit", "decay"),
        ),
        Group("Error estimates", "{points_used:.0f} points for {functions:.0f} functions.", ("thinning",)),
    ),
    says=("The fit uses {points_used:.0f} evaluations for {functions:.0f} functions.",),
    compares=(STABLE,),
    question="How few points make a fit stable?",
)

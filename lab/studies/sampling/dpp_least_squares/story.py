"""What the page of least squares on repelling points tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, STABLE

STORY = Story(
    "Points that repel each other make a least-squares fit stable with fewer evaluations than independent ones.",
    hero=("chain",),
    moves=("step", "oversampling", "m"),
    steps=(
        Step("How many points are enough?", {"oversampling": 5},
             "At n = 5 m {stable:.0%} of the DPP designs are stable, of independent points {stable_iid:.0%}.",
             lambda before, after: after.stable > before.stable and after.stable > 2 * after.stable_iid, look="stability"),
        Step("Would independent points do?", {"sampler": "iid-optimal"},
             "Hardly: {stable:.1%} of their designs are stable, and the error is {ratio_here:.2f} times the best.",
             lambda before, after: after.stable < before.stable, look="table"),
        Step("And for steps in place of polynomials?", {"data": "jump", "family": "haar", "m": 8},
             "Then the DPP puts a point into each cell, and every design is stable: {stable:.0%}.",
             lambda before, after: after.stable > 0.999),
        Step("What if a design is thinned?", {"thinned": 25},
             "It stays stable with few points, but from them alone nobody sees how large the error is.",
             lambda before, after: (after.thin_estimate > 2).mean() > 0.5, look="thinning"),
    ),
    groups=(
        Group("Stable", "At the chosen n/m {stable:.0%} of the designs are stable, of independent points {stable_iid:.0%}.",
              ("stability", "threshold", "heat", "table")),
        Group("Near the best", "The median of the squared error is {ratio_here:.2f} times the best, of independent points "
              "{ratio_iid:.2f} times.", ("errors", "fit", "decay")),
        Group("What one can know", "The error can be estimated from the points, unless there are hardly more than functions.",
              ("estimate", "thinning", "plane")),
    ),
    says=("{points_used:.0f} evaluations for {functions:.0f} functions.",),
    finds=FINDS,
    compares=(STABLE,),
    repeats=("default", "best"),
    question="How few points make a fit stable?",
)

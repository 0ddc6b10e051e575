"""What the page of the stability of SGD tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, TEST, TRACE

STORY = Story(
    "SGD is stable only at minima whose Hessian has a small trace; gradient descent requires only a small largest eigenvalue.",
    hero=("diagram", "edge"),
    moves=("eta", "B"),
    steps=(
        Step("What does a small learning rate hold?", {"eta": 0.01},
             "Then η tr / 2 of SGD is {half_tr_sgd:.2f} and its test error {test_sgd:.2g}; at the default it was "
             "{before.test_sgd:.2g}.",
             lambda before, after: after.half_tr_sgd <= 1.02, look="sweep"),
        Step("And batches of ten?", {"B": 10},
             "Larger batches hold sharper minima: η tr / 2 is {half_tr_sgd:.2f}, with single samples {before.half_tr_sgd:.2f}.",
             lambda before, after: after.half_tr_sgd >= before.half_tr_sgd - 0.05, look="edge"),
        Step("What if the first weights are larger?", {"scale": 2.0},
             "Gradient descent keeps them, η tr / 2 = {half_tr_gd:.2f} instead of {before.half_tr_gd:.2f}.",
             lambda before, after: after.half_tr_gd > before.half_tr_gd, look="edge"),
    ),
    groups=(
        Group("What each learning rate holds", "At this one η tr / 2 of SGD is {half_tr_sgd:.2f}, of GD {half_tr_gd:.2f}.",
              ("sweep", "thresholds", "table")),
        Group("Test error", TEST.finding, ("error", "norms", "balance")),
        Group("The Hessian", "Its largest eigenvalue bounds both: η λmax / 2 of GD is {half_lmax_gd:.2f}.",
              ("spectrum", "before-after", "hessian")),
        Group("Training", "The bounds bind only where the loss vanishes.", ("losses", "alignment")),
    ),
    finds=FINDS,
    compares=(TEST, TRACE),
    question="How sharp a minimum can SGD stay in?",
)

"""The argument of the page: lede, comparisons, steps and groups."""

from lab.studies.contract import Comparison, Group, Step, Story

_WAYS = {"SGD": "SGD", "GD": "gradient descent"}
TEST = Comparison("test", "test error", {"test_sgd": "SGD", "test_gd": "gradient descent"}, ours="test_sgd")
TRACE = Comparison("trace", "trace of G at the end", _WAYS, result="tr_end", along="way", ours="SGD")

STORY = Story(
    "SGD is stable only at minima whose Hessian has a small trace; gradient descent requires only a small largest eigenvalue.",
    hero=("diagram", "edge"),
    moves=("eta", "B"),
    steps=(
        Step(
            "Which minimum does SGD find with a small learning rate?",
            {"eta": 0.01},
            "There η tr / 2 is {half_tr_sgd:.2f} and the test error {test_sgd:.2g}, instead of {before.test_sgd:.2g} at the "
            "default.",
            lambda before, after: after.half_tr_sgd <= 1.02,
            look="sweep",
        ),
        Step(
            "And with batches of ten?",
            {"B": 10},
            "With larger batches SGD is stable at sharper minima: η tr / 2 is {half_tr_sgd:.2f}, with single samples "
            "{before.half_tr_sgd:.2f}.",
            lambda before, after: after.half_tr_sgd >= before.half_tr_sgd - 0.05,
            look="edge",
        ),
        Step(
            "What if the initial weights are larger?",
            {"scale": 2.0},
            "Gradient descent ends at a sharper minimum: η tr / 2 is {half_tr_gd:.2f} instead of {before.half_tr_gd:.2f}.",
            lambda before, after: after.half_tr_gd > before.half_tr_gd,
            look="edge",
        ),
    ),
    groups=(
        Group(
            "Trace by learning rate",
            "At this learning rate η tr / 2 of SGD is {half_tr_sgd:.2f}, of GD {half_tr_gd:.2f}.",
            ("sweep", "norms"),
        ),
        Group("Test error", TEST.finding, ("error", "balance")),
        Group(
            "The Hessian",
            "Its largest eigenvalue limits both methods: η λmax / 2 of GD is {half_lmax_gd:.2f}.",
            ("spectrum", "hessian"),
        ),
    ),
    compares=(TEST, TRACE),
    question="How sharp a minimum can SGD stay in?",
)

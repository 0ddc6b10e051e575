"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_OURS = "sparse regression, diagonal network, 40 samples in 100 dimensions, 6 learning rates"
_ONE = "the same, η = 0.08"

REPORTED = (
    Reported("Maximum of η tr(G)/2 where SGD interpolates", "linear stability, B = 1", PREDICTED, "theorem", _OURS,
             claim="sgd-below-one"),
    Reported("Maximum of η tr(G)/2 where gradient descent interpolates", "only λmax is bounded", PREDICTED,
             "exceeds the bound of SGD", _OURS, claim="gd-above-one"),
    Reported("Maximum of η λmax(G)/2 where gradient descent interpolates", "linear stability of gradient descent", PREDICTED,
             "theorem", _OURS, claim="gd-top-below-one"),
    Reported("Critical learning rate times λmax/2, full batch", "linear stability of gradient descent", PREDICTED, "theorem",
             _OURS, claim="full-batch"),
    Reported("|β|₁ over its bound 3/η", "implicit regularization of the norm", PREDICTED, "theorem, uniform inputs", _OURS,
             claim="norm-bound"),
    Reported("Test error of SGD", "figure of test errors", None, "value not available to us", _ONE, ours="test_sgd"),
    Reported("Test error of gradient descent", "figure of test errors", None, "value not available to us", _ONE,
             ours="test_gd"),
)

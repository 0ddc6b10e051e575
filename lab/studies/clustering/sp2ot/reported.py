"""The paper's numbers beside ours."""

from lab.studies.contract import Reported

_WHERE = "results, from a secondary source"
_OURS = "long-tailed 8 × 8 digits, ratio 10, 707 images, linear layer, 40 epochs, one seed"


def _accuracy(preset):
    return lambda runs: 100 * float(runs.preset(preset).macro_acc)


REPORTED = (
    Reported("Macro accuracy, P²OT over the best earlier method", _WHERE, "+0.9 on CIFAR100-LT, +5.9 on iNature100 (points)",
             "DINO ViT features, thousands of images", _OURS + "; over balanced labels", unit="points", checked=False,
             ours=lambda runs: 100 * float(runs.preset("trained").macro_acc - runs.preset("trained-balanced").macro_acc),
             note="The baselines differ: the paper's is the best earlier method, ours the same training with balanced labels. "
             "One seed varies by some 3 to 5 points."),
    Reported("Macro accuracy, P²OT", "tables of the paper", None, "DINO ViT features", _OURS, ours=_accuracy("trained"),
             unit="%"),
    Reported("Macro accuracy, balanced labels", "tables of the paper", None, "DINO ViT features", _OURS,
             ours=_accuracy("trained-balanced"), unit="%"),
    Reported("Iterations of the scaling algorithm at ρ = 0.1", "time of the solver", None, "time falls as ρ grows to 1",
             "the same digits, tolerance 1e-10", claim="scaling-is-slow"),
    Reported("Steps of Newton's method at ρ = 0.1", "the lab's solver", None, "the paper has no Newton method",
             "the same digits, tolerance 1e-10", claim="few-steps"),
    Reported("Error of the transported mass", "constraint of the problem", "0 (theory)", "mass exactly ρ", "the same digits",
             claim="mass"),
)

"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .claims import DIGITS, NARROW, WIDE
from .pictures import SEARCH, searched

STORY = Story(
    "Within one training, hyperparameters from several initial values converge to one schedule: the weights learn their "
    "response to hyperparameters.",
    hero=("response", "schedules"),
    moves=("sigma", "hyper_rate", "entropy"),
    steps=(
        Step(
            "What if weights do not respond?",
            {"responds": False, "tuned": False},
            "The hyperparameters have no gradient, and the starts stay {lam_spread:.3g} apart.",
            lambda before, after: after.lam_spread > 7.9 and before.lam_spread < 0.5,
        ),
        Step(
            "What if the perturbation is tiny?",
            NARROW,
            "The slope of the response is not learned: its error is {slope_off:.0%}, and a start ends {excess:.0f}% above the "
            "minimum.",
            lambda before, after: after.excess > 10 > before.excess,
        ),
        Step(
            "What if the perturbation is large?",
            WIDE,
            "A line does not fit so much of the curve: the error of its slope is {slope_off:.0%}, and λ ends at "
            "{lam_end:.2f} instead of {known_lam:.2f}.",
            lambda before, after: after.slope_off > 0.5 and abs(float(after.lam_end - after.known_lam)) > 0.15,
        ),
        Step(
            "Does the entropy correct a tiny scale?",
            {"sigma": 1e-3},
            "It increases scales to {sigma_end:.2g}; the maximum excess of a start is {excess:.2g}%.",
            lambda before, after: after.sigma_end > 0.01 and after.excess < 2,
        ),
        Step(
            "Does it work for a network?",
            DIGITS,
            "Three rates of dropout, tuned during training: accuracy {accuracy_end:.1%}. The starts agree in the loss, "
            "{val_best:.3f}, and less in the rates, {lam_spread:.2g} apart: two layers compensate each other.",
            lambda before, after: after.accuracy_end > 0.95 and after.val_best < 0.16,
            look="schedules",
        ),
    ),
    groups=(
        Group(
            "Convergence to the minimum",
            "The maximum excess of the validation loss is {excess:.2g}%.",
            ("valley", "losses", "plain"),
        ),
        Group("Accuracy of the response", "The final error of its slope is at most {slope_off:.1%}.", ("errors",)),
        Group("Scale of the perturbation", "A tiny one reveals no slope; a large one is not linear.", ("by_scale",)),
        Group("Compared with a search", searched, ("rivals",)),
    ),
    says=(
        "At the end, the starts are {lam_spread:.2g} apart; their mean validation loss is {val:.4g}.",
        "The final scale of the perturbation is {sigma_end:.2g}.",
    ),
    compares=(SEARCH,),
    repeats=("preset-digits-random",),
    question="Can hyperparameters be tuned during training?",
)

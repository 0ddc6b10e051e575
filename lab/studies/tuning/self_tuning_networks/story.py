"""What the page of self-tuning networks tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, SEARCH, searched
from .presets import DIGITS, NARROW, WIDE

STORY = Story(
    "Within one training, hyperparameters from several initial values converge to one schedule: the weights learn their "
    "response to hyperparameters.",
    hero=("response", "schedules"),
    moves=("sigma", "hyper_rate", "entropy"),
    steps=(
        Step("What if weights do not respond?", {"responds": False, "tuned": False},
             "Nothing has a slope, and the starts stay {lam_spread:.3g} apart.",
             lambda before, after: after.lam_spread > 7.9 and before.lam_spread < 0.5),
        Step("And if the perturbation is tiny?", NARROW,
             "The slope of the response isn't learned: it is off by {slope_off:.0%}, and a start ends {excess:.0f}% above the "
             "least.",
             lambda before, after: after.excess > 10 > before.excess),
        Step("And if it is large?", WIDE,
             "A line through so much of a curve is another line: its slope is off by {slope_off:.0%}, and λ comes to "
             "{lam_end:.2f} instead of {known_lam:.2f}.",
             lambda before, after: after.slope_off > 0.5 and abs(float(after.lam_end - after.known_lam)) > 0.15),
        Step("Does the entropy mend a tiny one?", {"sigma": 1e-3},
             "It raises scales to {sigma_end:.2g}, and the worst start ends {excess:.2g}% above the least.",
             lambda before, after: after.sigma_end > 0.01 and after.excess < 2),
        Step("And of a network?", DIGITS,
             "Three rates of dropout, tuned while it learns digits: {accuracy_end:.1%} right. The starts agree in the loss, "
             "{val_best:.3f}, and less in the rates, {lam_spread:.2g} apart: two layers trade off.",
             lambda before, after: after.accuracy_end > 0.95 and after.val_best < 0.16, look="schedules"),
    ),
    groups=(
        Group("Down what is never computed", "The largest excess over the minimum validation loss is {excess:.2g}%.",
              ("valley", "losses", "plain")),
        Group("Is the response right?", "At the end its slope is off by {slope_off:.1%} at most.",
              ("errors", "scales", "gates")),
        Group("What it hangs on", "Perturbations must be seen, and no larger than a line fits.",
              ("by_scale", "by_entropy", "by_rate")),
        Group("Compared with a search", searched,
              ("rivals", "grid")),
    ),
    says=(
        "At the end the starts are {lam_spread:.2g} apart, and validate at {val:.4g}.",
        "Perturbations have the scale {sigma_end:.2g}.",
    ),
    finds=FINDS,
    compares=(SEARCH,),
    repeats=("preset-digits-random",),
    question="Can one tune while one trains?",
)

"""What the page of progressive partial transport tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "A partial transport plan labels the confident samples first; the sizes of clusters are free at a price.",
    hero=("curriculum", "masses"),
    moves=("rho", "lam"),
    steps=(
        Step("Are the confident ones right more often?", {"rho": 0.1},
             "Of the first tenth {precision_labelled:.0%} get their class, of the first 30% {before.precision_labelled:.0%}.",
             lambda before, after: after.precision_labelled > before.precision_labelled),
        Step("And if all are labelled at once?", {"rho": 1.0},
             "Then {precision_labelled:.0%} of the labels are right.",
             lambda before, after: after.precision_labelled < before.precision_labelled),
        Step("What if all clusters must have one size?", {"algorithm": "balanced"},
             "The sizes are equal (KL {size_kl:.1g}), though the classes are not, and {precision_labelled:.0%} of the labels "
             "are right.",
             lambda before, after: after.size_kl < 1e-9 < before.size_kl, look="masses"),
        Step("How dear is it to leave the prior?", {"lam": 100.0},
             "At a high price the sizes are all but equal: their KL falls from {before.size_kl:.2g} to {size_kl:.2g}.",
             lambda before, after: after.size_kl < before.size_kl / 10, look="masses"),
    ),
    groups=(
        Group("What is right", "Of what is labelled {precision_labelled:.0%} has its class.", ("plan", "quality", "sizes")),
        Group("Training on the labels", "The network that gives the labels learns from them: it finds {macro_acc:.0%} of a "
              "class on average.", ("curves", "groups", "scores")),
        Group("How it is solved", "The plan took {iterations:.0f} steps.", ("convergence", "steps", "outer")),
    ),
    says=("The clusters of the network find {macro_acc:.0%} of the classes.",),
    finds=FINDS,
    question="Whom should one label first?",
)

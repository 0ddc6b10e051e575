"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

STORY = Story(
    "A partial transport plan labels the confident samples first; cluster sizes are flexible, with a penalty.",
    hero=("curriculum", "masses"),
    moves=("rho", "lam"),
    steps=(
        Step(
            "Are labels of confident samples more often correct?",
            {"rho": 0.1},
            "{precision_labelled:.0%} of the labels are correct for a share of 10%, {before.precision_labelled:.0%} for 30%.",
            lambda before, after: after.precision_labelled > before.precision_labelled,
        ),
        Step(
            "What if all samples are labelled?",
            {"rho": 1.0},
            "Then {precision_labelled:.0%} of the labels are correct.",
            lambda before, after: after.precision_labelled < before.precision_labelled,
        ),
        Step(
            "What if all clusters have equal sizes?",
            {"algorithm": "balanced"},
            "Sizes are equal (KL {size_kl:.1g}) although classes are not, and {precision_labelled:.0%} of the labels "
            "are correct.",
            lambda before, after: after.size_kl < 1e-9 < before.size_kl,
            look="masses",
        ),
        Step(
            "What does a large λ change?",
            {"lam": 100.0},
            "The sizes are nearly equal: their KL falls from {before.size_kl:.2g} to {size_kl:.2g}.",
            lambda before, after: after.size_kl < before.size_kl / 10,
            look="masses",
        ),
    ),
    groups=(
        Group(
            "Quality of the labels",
            "{precision_labelled:.0%} of the labelled mass has the correct class.",
            ("plan", "quality"),
        ),
        Group(
            "Training on the labels",
            "The network is trained on labels that it provides: its macro accuracy is {macro_acc:.0%}.",
            ("curves", "scores"),
        ),
        Group("Convergence", "The solver took {iterations:.0f} steps.", ("steps", "outer")),
    ),
    says=("The macro accuracy of the network is {macro_acc:.0%}.",),
    question="Which samples should be labelled first?",
)

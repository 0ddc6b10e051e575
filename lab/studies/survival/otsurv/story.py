"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

STORY = Story(
    "A transport plan pools a bag of patches into a few prototypes; patches that fit no prototype can be left out.",
    hero=("slide", "km"),
    moves=("share", "rho"),
    steps=(
        Step(
            "Does it predict more than chance before training?",
            {"epochs": 0},
            "Untrained, it orders {cindex:.0%} of the pairs correctly; trained, {before.cindex:.0%}.",
            lambda before, after: after.cindex < before.cindex,
        ),
        Step(
            "Is transport necessary, or does a mean suffice?",
            {"pooling": "mean"},
            "The C-index is {cindex:.3f} with a mean over all patches and {before.cindex:.3f} with transport (one seed).",
            lambda before, after: abs(after.cindex - before.cindex) < 0.1,
        ),
        Step(
            "Which patches are left out when only a part is pooled?",
            {"data": "artefact-bags", "rho": 0.5, "share": 0.4},
            "Artifacts, more than any kind of tissue; the test C-index is {cindex:.3f}.",
            lambda before, after: after.kind_mass[-1] < after.kind_mass[:-1].min(),
            look="kinds",
        ),
    ),
    groups=(
        Group(
            "Does the risk order the bags?",
            "It orders {cindex:.0%} of the comparable pairs of test bags correctly, the true risk {cindex_oracle:.0%}.",
            ("truth", "folds"),
        ),
        Group(
            "What does the plan leave out?",
            "It leaves out patches that fit no prototype; its columns are exact to {plan_residual:.1g}.",
            ("plan", "kinds", "tail"),
        ),
        Group(
            "How was it trained?",
            "After {iterations:.0f} batches the C-index is {cindex_train:.3f} in training and {cindex:.3f} in the test.",
            ("training",),
        ),
    ),
    says=(
        "The smallest pooled fraction of any kind of patch is {least_pooled:.0%}.",
        "High and low risk differ by a log-rank χ² of {chi2:.3g}.",
    ),
    measure="least_pooled",
    question="Which patches predict how long a patient lives?",
)

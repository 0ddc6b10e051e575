"""What the page of survival from bags tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "A transport plan pools a bag of patches into a few prototypes; patches that fit no prototype can be left out.",
    hero=("slide", "km"),
    moves=("share", "rho"),
    steps=(
        Step("Does it say more than chance before it has learnt?", {"epochs": 0},
             "Untrained it orders {cindex:.0%} of the pairs right, trained {before.cindex:.0%}.",
             lambda before, after: after.cindex < before.cindex),
        Step("Is transport needed, or does a mean do?", {"pooling": "mean"},
             "The C-index is {cindex:.3f} with a mean over all patches and {before.cindex:.3f} with transport (one seed).",
             lambda before, after: abs(after.cindex - before.cindex) < 0.1),
        Step("What is left out when only a part is pooled?", {"data": "artefact-bags", "rho": 0.5, "share": 0.4},
             "Artefacts, more than any kind of tissue; the C-index of the test is {cindex:.3f}.",
             lambda before, after: after.kind_mass[-1] < after.kind_mass[:-1].min(), look="kinds"),
    ),
    groups=(
        Group("Is the order right?", "Of the comparable pairs of test bags {cindex:.0%} are ordered right, by the truth "
              "{cindex_oracle:.0%}.", ("truth", "folds", "shares")),
        Group("What the plan does", "It leaves out what fits no prototype; its columns hold to {plan_residual:.1g}.",
              ("plan", "kinds", "tail")),
        Group("How it was learnt", "After {iterations:.0f} batches the C-index is {cindex_train:.3f} in training and "
              "{cindex:.3f} in the test.", ("training", "schedule")),
    ),
    says=(
        "The smallest pooled fraction of any kind of patch is {least_pooled:.0%}.",
        "High and low risk differ by a log-rank χ² of {chi2:.3g}.",
    ),
    measure="least_pooled",
    finds=FINDS,
    question="Which patches decide how long a patient lives?",
)

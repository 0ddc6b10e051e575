"""What the page of survival from bags tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "A bag of a thousand patches becomes a few prototypes by a plan of transport, and what fits none of them can be left out.",
    hero=("slide", "km"),
    moves=("share", "rho"),
    steps=(
        Step("Does it say more than chance before it has learnt?", {"epochs": 0},
             "Untrained it orders {cindex:.0%} of the pairs right, trained {before.cindex:.0%}.",
             lambda before, after: after.cindex < before.cindex),
        Step("Is transport needed, or does a mean do?", {"pooling": "mean"},
             "With a mean over all patches {cindex:.3f}, with transport {before.cindex:.3f}: on these bags much the same.",
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
        "Of the kind of patch that fits the prototypes least, {least_pooled:.0%} is pooled.",
        "High and low risk differ by a log-rank χ² of {chi2:.3g}.",
    ),
    measure="least_pooled",
    finds=FINDS,
    question="Which patches decide how long a patient lives?",
)

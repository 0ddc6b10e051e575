"""What the page of sparsity-constrained transport tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "Let at most k sources serve a target: the plan is sparse, and below some k it can no longer hold both marginals.",
    hero=("plan", "links", "transfer"),
    moves=("k", "gamma"),
    steps=(
        Step("What is lost when one source serves a target alone?", {"k": 1},
             "The rows are missed by {row_error_l1:.3f} of the mass, at the default k by {before.row_error_l1:.3f}.",
             lambda before, after: after.row_error_l1 > before.row_error_l1, look="plan"),
        Step("And with as many as eight?", {"k": 8},
             "The rows are missed by {row_error_l1:.2g}, and the value is {value:.4g} instead of {before.value:.4g}.",
             lambda before, after: after.row_error_l1 < before.row_error_l1 and after.value < before.value, look="plan"),
        Step("Would entropy do?", {"regularizer": "entropic"},
             "It holds both marginals, but all of its {nnz:.0f} entries carry mass, in place of {before.nnz:.0f}.",
             lambda before, after: after.nnz > 2 * before.nnz, look="plan"),
        Step("Which plan does the dual really solve for?", {"plan": "relaxed"},
             "The relaxed one, which misses the rows by {row_error_l1:.1g} only.",
             lambda before, after: after.row_error_l1 < before.row_error_l1, look="plan"),
    ),
    groups=(
        Group("What k costs", "The value is {value:.4g}, {lp_gap:.2g} above the linear program's.", ("value", "feasibility")),
        Group("What it is good for", "Tokens that find an expert, sources that serve cells.", ("routing", "cells")),
        Group("How it is solved", "{iterations:.0f} steps leave the rows off by {row_error_l1:.1g}, the columns by "
              "{column_error_l1:.1g}.", ("convergence",)),
        Group("In the paper", "Four regularizations of the same example.", ("paper_plans",)),
    ),
    says=("{nnz:.0f} entries of the plan carry mass, at most {max_col_nnz:.0f} in a column.",),
    finds=FINDS,
    question="How few links can carry all the mass?",
)

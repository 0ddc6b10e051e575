"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

STORY = Story(
    "Each target may receive mass from at most k sources. The plan recovered from the dual misses the row marginals where "
    "columns tie, although exact plans with at most 2 sources per target exist for the default data.",
    hero=("plan", "links", "transfer"),
    moves=("k", "gamma"),
    steps=(
        Step(
            "What if each target has a single source?",
            {"k": 1},
            "The L1 row-marginal error is {row_error_l1:.0%} of the mass at k = 1 and {before.row_error_l1:.0%} at the "
            "default "
            "k = 2.",
            lambda before, after: after.row_error_l1 > before.row_error_l1,
            look="plan",
        ),
        Step(
            "Are eight sources enough?",
            {"k": 8},
            "The L1 row-marginal error falls to {row_error_l1:.2g} of the mass, and the value from {before.value:.4g} to "
            "{value:.4g}.",
            lambda before, after: after.row_error_l1 < before.row_error_l1 and after.value < before.value,
            look="plan",
        ),
        Step(
            "Is entropic regularization an alternative?",
            {"regularizer": "entropic"},
            "Its plan satisfies both marginals, but all of its {nnz:.0f} entries carry mass instead of {before.nnz:.0f}.",
            lambda before, after: after.nnz > 2 * before.nnz,
            look="plan",
        ),
        Step(
            "Which plan does the dual optimum correspond to?",
            {"plan": "relaxed"},
            "To the relaxed plan, whose L1 row-marginal error is {row_error_l1:.1g}.",
            lambda before, after: after.row_error_l1 < before.row_error_l1,
            look="plan",
        ),
    ),
    groups=(
        Group(
            "Cost of sparsity",
            "The value is {value:.4g}, {lp_gap:.2g} above the linear program's.",
            ("value", "feasibility"),
        ),
        Group(
            "Applications",
            "A column has at most {max_col_nnz:.0f} entries with mass, a row at most {max_row_nnz:.0f}.",
            ("routing",),
        ),
        Group(
            "Convergence",
            "After {iterations:.0f} steps the L1 row-marginal error is {row_error_l1:.1g}, the "
            "column-marginal error "
            "{column_error_l1:.1g}; {n_ties:.0f} columns tie.",
            ("convergence",),
        ),
        Group("In the paper", "Four regularizations of the same example.", ("paper_plans",)),
    ),
    says=("{nnz:.0f} entries of the plan carry mass, at most {max_col_nnz:.0f} in a column.",),
    question="How few links can carry all the mass?",
)

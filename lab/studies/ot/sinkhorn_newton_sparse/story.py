"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import WORK

STORY = Story(
    "Close to the optimum the entropic plan is nearly sparse, so Newton steps with a sparsified Hessian replace many "
    "Sinkhorn sweeps.",
    hero=("gap", "plan"),
    moves=("epsilon", "tolerance"),
    steps=(
        Step(
            "Does Newton's method pay off at large ε?",
            {"epsilon": 0.5},
            "No: Sinkhorn needs {sinkhorn_sweeps:.0f} sweeps (default: {before.sinkhorn_sweeps:,.0f}) and {work_ratio:.2g} "
            "times the multiply-adds of Newton.",
            lambda before, after: after.sinkhorn_sweeps < before.sinkhorn_sweeps,
        ),
        Step(
            "Does it pay off at small ε?",
            {"epsilon": 0.005},
            "Yes: Newton takes {newton_steps:.0f} steps, and Sinkhorn needs {work_ratio:.3g} times as many multiply-adds.",
            lambda before, after: after.work_ratio > before.work_ratio,
        ),
        Step(
            "Does a small tolerance cost many steps?",
            {"tolerance": 1e-12},
            "No: {newton_steps:.0f} Newton steps instead of {before.newton_steps:.0f}.",
            lambda before, after: after.newton_steps <= before.newton_steps + 3,
        ),
    ),
    groups=(
        Group(
            "When is the plan sparse?",
            "The Hessian drops entries below {cutoff:.1g} of the mass.",
            ("hessian", "entries"),
        ),
        Group(
            "Newton's convergence", "{newton_steps:.0f} Newton steps, {sinkhorn_sweeps:.0f} sweeps.", ("superlinear",)
        ),
        Group("Sinkhorn's convergence", "The plan has the second singular value s₂ = {s2:.6f}.", ("rate",)),
        Group("Work", WORK.finding, ("ratio",)),
    ),
    compares=(WORK,),
    question="When does Newton's method need less work than Sinkhorn's?",
)

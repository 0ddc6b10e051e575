"""What the page of Sinkhorn-Newton-Sparse tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, WORK

STORY = Story(
    "Near the optimum the plan is all but sparse: a few Newton steps with a sparse Hessian do what thousands of sweeps do.",
    hero=("gap", "plan"),
    moves=("epsilon", "tolerance"),
    steps=(
        Step("Is Newton's method worth it where ε is large?", {"epsilon": 0.5},
             "There Sinkhorn needs {sinkhorn_sweeps:.0f} sweeps, at the default {before.sinkhorn_sweeps:.0f}.",
             lambda before, after: after.sinkhorn_sweeps < before.sinkhorn_sweeps),
        Step("And if ε is small?", {"epsilon": 0.005},
             "Newton takes {newton_steps:.0f} steps and {work_ratio:.3g} times less work than Sinkhorn's sweeps.",
             lambda before, after: after.work_ratio > before.work_ratio),
        Step("Does it hang on the digits that are asked for?", {"tolerance": 1e-12},
             "Hardly: {newton_steps:.0f} Newton steps in place of {before.newton_steps:.0f}.",
             lambda before, after: after.newton_steps <= before.newton_steps + 3),
    ),
    groups=(
        Group("When is the plan sparse?", "Newton's last Hessian drops what is below {cutoff:.1g} of the mass.",
              ("hessian", "entries", "outside", "plans", "links")),
        Group("How the steps go", "Newton took {newton_steps:.0f} steps, Sinkhorn {sinkhorn_sweeps:.0f} sweeps.",
              ("steps", "convergence", "dropped", "superlinear", "tails")),
        Group("What decides the sweeps", "The second singular value of the plan: s₂ = {s2:.6f}.", ("rate", "second")),
        Group("Where it pays", "Sinkhorn does {work_ratio:.3g} times the work of Newton here.", ("work", "ratio")),
    ),
    finds=FINDS,
    compares=(WORK,),
    question="When does Newton beat a thousand Sinkhorn steps?",
)

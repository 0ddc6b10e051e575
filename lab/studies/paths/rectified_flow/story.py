"""What the page of rectified flow tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS

STORY = Story(
    "Lines between random pairs cross; a flow turns off instead of crossing, and its own pairs can be joined by lines.",
    hero=("motion",),
    moves=("t", "k", "euler_steps"),
    steps=(
        Step("What if the flow is fitted once more, to its own pairs?", {"k": 2},
             "Its bending falls from {before.S:.3g} to {S:.1g}, and one Euler step leaves W₂² = {w2sq:.2g} in place of "
             "{before.w2sq:.2g}.",
             lambda before, after: after.S < 1e-12 and after.w2sq < 0.5 * before.w2sq),
        Step("Or take more Euler steps?", {"euler_steps": 16},
             "Sixteen of them bring W₂² from {before.w2sq:.2g} down to {w2sq:.2g}, at sixteen times the price; the flow itself "
             "has {w2sq_fine:.2g}.",
             lambda before, after: after.w2sq < 0.5 * before.w2sq),
        Step("Is the probability flow of a diffusion as straight?", {"schedule": "vp"},
             "No: it bends by S = {S:.3g}, where straight lines give {before.S:.3g}.",
             lambda before, after: after.S > before.S),
        Step("Is what is straight optimal?", {"data": "crossed-gaussians"},
             "Not in the plane: this flow costs {above_optimal:.1%} more than optimal transport, that between the modes "
             "{before.above_optimal:.1%}.",
             lambda before, after: after.above_optimal > 0.02 > before.above_optimal, look="optimal"),
    ),
    groups=(
        Group("What a round takes off", "The cost of the pairs fell to {square_cost:.3g}: S = {S:.3g} went into bending, "
              "V = {V_before:.3g} into crossing.", ("rewired", "ledger", "costs", "optimal")),
        Group("How many steps are enough?", "In these steps W₂² is {w2sq:.3g}, along the whole flow {w2sq_fine:.3g}.",
              ("steps", "bending", "speeds", "images")),
        Group("Without the exact field", "A mean over pairs blurs a little, and a network loses no less than V.",
              ("blur", "network", "training")),
    ),
    says=(
        "Particles move by a mean square of {square_cost:.3g}, {above_optimal:.1%} above the optimum.",
        "The flow ends at W₂² = {w2sq_fine:.3g} from the data; samples of the data differ by {w2sq_floor:.3g}.",
    ),
    finds=FINDS,
    question="Why does a straight path need only one step?",
)

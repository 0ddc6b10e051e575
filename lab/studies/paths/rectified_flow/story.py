"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Comparison, Group, Step, Story

W2SQ = Comparison(
    "w2sq",
    "W₂² to held-out data",
    {
        "w2sq": "the flow in K Euler steps",
        "w2sq_fine": "the finely integrated flow",
        "w2sq_distilled": "one-step distillation",
    },
)

STORY = Story(
    "Straight lines between random pairs cross. Flow trajectories cannot, so they bend. Reflow pairs each initial sample "
    "with its own endpoint and straightens the paths.",
    hero=("motion",),
    moves=("t", "k", "euler_steps"),
    steps=(
        Step(
            "What does a second rectification change?",
            {"k": 2},
            "The bending S falls from {before.S:.3g} to {S:.1g}, and the W₂² of one Euler step from {before.w2sq:.2g} to "
            "{w2sq:.2g}.",
            lambda before, after: after.S < 1e-12 and after.w2sq < 0.5 * before.w2sq,
        ),
        Step(
            "Do more Euler steps help as much?",
            {"euler_steps": 16},
            "Sixteen steps reduce W₂² from {before.w2sq:.2g} to {w2sq:.2g} at sixteen times the cost; the finely integrated "
            "flow has {w2sq_fine:.2g}.",
            lambda before, after: after.w2sq < 0.5 * before.w2sq,
        ),
        Step(
            "Is the probability flow of a diffusion as straight?",
            {"schedule": "vp"},
            "No: its bending is S = {S:.3g}; the linear schedule has {before.S:.3g}.",
            lambda before, after: after.S > before.S,
        ),
        Step(
            "Is a straight coupling optimal?",
            {"data": "crossed-gaussians"},
            "Not always: this flow costs {above_optimal:.1%} more than optimal transport; the default one costs "
            "{before.above_optimal:.1%} more.",
            lambda before, after: after.above_optimal > 0.02 > before.above_optimal,
            look="optimal",
        ),
    ),
    groups=(
        Group(
            "What a rectification changes",
            "The transport cost fell to {square_cost:.3g}, by the bending S = {S:.3g} and the crossing V = {V_before:.3g}.",
            ("rewired", "ledger", "optimal"),
        ),
        Group("How many steps are enough?", W2SQ.finding, ("steps", "speeds")),
        Group(
            "Without the exact field",
            "The crossing is V = {V:.3g} for the pairs of this flow and {V_before:.3g} one round before.",
            ("blur", "training"),
        ),
    ),
    says=(
        "The mean squared displacement is {square_cost:.3g}, {above_optimal:.1%} above the optimal coupling of the same "
        "endpoints.",
        "W₂² between two samples of the data is {w2sq_floor:.3g}.",
    ),
    compares=(W2SQ,),
    question="Why does a straight path need only one step?",
)

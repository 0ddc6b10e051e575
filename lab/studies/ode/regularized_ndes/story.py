"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .claims import DIGITS, STIFF

STORY = Story(
    "A solver estimates its error and the stiffness of the field at each step; both can be added to the training loss.",
    hero=("steps", "plane"),
    moves=("mu", "share", "tolerance"),
    steps=(
        Step(
            "Does a looser tolerance save work where the field is stiff?",
            STIFF | {"tolerance": 1e-3},
            "Hardly: {edge:.0%} of the steps are near the stability limit. The solution takes {nfe:.0f} evaluations, and its "
            "endpoint has an error of {error:.1g}.",
            lambda before, after: after.edge > 0.9 and after.nfe > 3000,
        ),
        Step(
            "Does stability limit the steps of a smooth problem?",
            {"system": "spiral", "mu": 2.0},
            "No: {edge:.0%} of the steps are near the stability limit, and {nfe:.0f} evaluations suffice.",
            lambda before, after: after.edge < 0.05,
        ),
        Step(
            "Which sign does the derivative of the error regularizer have?",
            {"mu": 5.0, "length": 1.0},
            "With fixed step sizes {slope_held:.3f}, exactly {slope_through:.3f}: the controller compensates a larger error "
            "by shorter steps.",
            lambda before, after: (
                after.slope_held > 0.1
                and after.slope_through < -0.1
                and abs(after.slope_through - after.slope_apart) < 1e-3
            ),
        ),
        Step(
            "How accurate is a classifier trained with the error regularizer?",
            DIGITS,
            "One seed: its accuracy is {accuracy:.1%} with {nfe:.0f} evaluations of the field; the picture Accuracy against "
            "work also shows the training without regularizer.",
            lambda before, after: after.nfe <= 25 and after.accuracy > 0.95,
            look="flow",
        ),
    ),
    groups=(
        Group(
            "What limits the steps?",
            "{accepted:.0f} steps were accepted, {rejected:.0f} rejected; {edge:.0%} are near the stability limit.",
            ("errors", "tolerances"),
        ),
        Group(
            "Training with regularizers",
            "One training per regularizer: it changes the number of evaluations and the accuracy.",
            ("pareto", "bars", "flow"),
        ),
        Group("The gradient of the regularizer", "Fixed step sizes may change its sign.", ("slopes",)),
    ),
    says=(
        "The solution took {nfe:.0f} evaluations of the field: {accepted:.0f} accepted and {rejected:.0f} rejected steps.",
        "R_E = {reg_E:.3g}, R_S = {reg_S:.3g}; {edge:.0%} of the steps are within a third of the stability limit.",
    ),
    question="What reduces the number of steps of a solver?",
)

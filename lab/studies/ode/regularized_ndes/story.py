"""What the page of regularised neural differential equations tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS
from .presets import DIGITS, STIFF

STORY = Story(
    "A solver estimates its error and the stiffness of the field at each step; both can be added to the training loss.",
    hero=("steps", "plane"),
    moves=("mu", "share", "tolerance"),
    steps=(
        Step("Does a looser tolerance save work where the field is stiff?", STIFF | {"tolerance": 1e-3},
             "Hardly: {edge:.0%} of the steps are near the longest that is stable, and {nfe:.0f} evaluations are needed "
             "for an end that "
             "is right to {error:.1g}.",
             lambda before, after: after.edge > 0.9 and after.nfe > 3000),
        Step("And where it is not?", {"system": "spiral", "mu": 2.0},
             "None of the steps is at the edge ({edge:.0%}): errors decide, and {nfe:.0f} evaluations are enough.",
             lambda before, after: after.edge < 0.05),
        Step("Which way does the error term slope?", {"mu": 5.0, "length": 1.0},
             "Up by {slope_held:.3f} with lengths held, down by {slope_through:.3f} in truth: the controller makes up for "
             "the error by shorter steps.",
             lambda before, after: after.slope_held > 0.1 and after.slope_through < -0.1
             and abs(after.slope_through - after.slope_apart) < 1e-3),
        Step("What does a classifier do that was trained with it?", DIGITS,
             "One seed: its accuracy is {accuracy:.1%} with {nfe:.0f} evaluations of the field; the picture Right by work also "
             "shows the training without the term.",
             lambda before, after: after.nfe <= 25 and after.accuracy > 0.95, look="flow"),
    ),
    groups=(
        Group("What the solver knows", "{accepted:.0f} steps were accepted, {rejected:.0f} rejected; {edge:.0%} are at the "
              "edge of stability.", ("errors", "edge", "stiffness", "solution", "work", "tolerances")),
        Group("Trained to be cheap", "One training per term: a term in the loss changes the evaluations and the accuracy.",
              ("pareto", "epochs", "bars", "straighten")),
        Group("What the paper does not say", "The term is trained by a slope that is not its own, and may have the other "
              "sign.", ("slopes",)),
        Group("One training", "R_E = {reg_E:.3g} and R_S = {reg_S:.3g} of the solution that is seen now.",
              ("flow", "training", "solver")),
        Group("With noise", "Paths by steps that know their error too, which learn means and variances.", ("bands",)),
    ),
    says=(
        "The solution took {nfe:.0f} evaluations of the field: {accepted:.0f} steps, and {rejected:.0f} that were rejected.",
        "R_E = {reg_E:.3g}, R_S = {reg_S:.3g}; {edge:.0%} of the steps are within a third of the longest that is stable.",
    ),
    finds=FINDS,
    question="What makes a solver take fewer steps?",
)

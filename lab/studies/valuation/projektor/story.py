"""What the page of data sources tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import BEYOND, FINDS, PROJECTED
from .presets import NEAR, PQ

STORY = Story(
    "The transport distance from a mixture of data sources to the validation set is correlated with the accuracy of a model "
    "trained on that mixture.",
    hero=("map", "distances"),
    moves=("first", "second", "third", "n"),
    steps=(
        Step("What is the distance of the first source alone?", {"second": 0.0, "third": 0.0},
             "The distance rises from {before.ot_here:.2f} to {ot_here:.2f}; the predicted accuracy is {predicted:.0f}%, the "
             "measured accuracy {measured:.0f}%.",
             lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 20),
        Step("What do wrong labels do?", {"noise": 0.6},
             "The distance rises from {before.ot_here:.2f} to {ot_here:.2f}, and accuracy falls from {before.measured:.0f} "
             "to {measured:.0f}%.",
             lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 3),
        Step("What do the ten columns of the paper change?", PQ,
             "PQ-OT has an error of {mae_between:.1f} points between the fitted mixtures and of {mae_pq:.0f} beyond them; "
             "there a quadratic without the distance has {mae_quadratic:.0f} and linear-OT {mae_ot:.1f} points.",
             lambda before, after: 3 * after.mae_ot < min(after.mae_pq, after.mae_quadratic), look="scatter"),
        Step("What if the pilot sizes are close?", NEAR,
             "Errors of the pilots grow by a factor of {amplification:.1f} up to N instead of {before.amplification:.1f}: "
             "projections have an error of {mae_projected:.1f} points, keeping the score at N₁ {mae_same:.1f}.",
             lambda before, after: after.mae_projected > after.mae_same, look="checks"),
    ),
    groups=(
        Group("Do fits extrapolate?", BEYOND.finding,
              ("scatter", "errors", "learning")),
        Group("Do projections to larger sizes hold?", PROJECTED.finding, ("sizes", "checks")),
        Group("What is a source worth?", "The distance of your mixture is {ot_here:.2f}; over the grid, distance and score "
              "have the correlation {correlation:.2f}.", ("worth", "potential", "plan", "weights")),
        Group("What do wrong labels do?", "The cost includes a term for labels.", ("noise", "noise_score")),
    ),
    says=(
        "Your mixture: predicted score at N {predicted:.4g}, measured {measured:.4g}.",
        "Selected mixture p*: predicted score {best_predicted:.4g}, measured {best_measured:.4g}; equal shares: measured "
        "{equal_measured:.4g}.",
    ),
    finds=FINDS,
    compares=(BEYOND, PROJECTED),
    question="What is a data source worth before one buys it?",
)

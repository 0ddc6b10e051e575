"""What the page of data sources tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS
from .presets import NEAR, PQ

STORY = Story(
    "How far a mixture of sources is from the data to do well on tells most of how good a model is that is trained on it.",
    hero=("map", "distances"),
    moves=("first", "second", "third", "n"),
    steps=(
        Step("And of the first source alone?", {"second": 0.0, "third": 0.0},
             "Its distance is {ot_here:.2f}, not {before.ot_here:.2f}; {predicted:.0f}% are predicted and {measured:.0f}% "
             "measured.",
             lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 20),
        Step("What do wrong labels do?", {"noise": 0.6},
             "The distance rises from {before.ot_here:.2f} to {ot_here:.2f}, and accuracy falls from {before.measured:.0f} "
             "to {measured:.0f}%.",
             lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 3),
        Step("And with the ten columns of the paper?", PQ,
             "Between mixtures they err by {mae_between:.1f} points, but beyond those that were fitted by {mae_pq:.0f}, a "
             "quadratic without the distance by {mae_quadratic:.0f}, and a line in the distance by {mae_ot:.1f}.",
             lambda before, after: 3 * after.mae_ot < min(after.mae_pq, after.mae_quadratic), look="scatter"),
        Step("And with pilots near each other?", NEAR,
             "Errors grow {amplification:.0f} times up to N, not {before.amplification:.1f} times: projections err by "
             "{mae_projected:.1f} points, and that nothing changes errs by {mae_same:.1f}.",
             lambda before, after: after.mae_projected > after.mae_same, look="checks"),
    ),
    groups=(
        Group("Do fits reach beyond what they saw?", "Where half or more is of the second source a line in the distance "
              "is {mae_ot:.3g} off, the paper's ten columns {mae_pq:.3g}; between mixtures these are {mae_between:.3g} off.",
              ("scatter", "errors", "learning")),
        Group("And to other sizes?", "Projected to N, ten mixtures are {mae_projected:.2g} off, by single trainings "
              "{mae_raw:.2g}, and if nothing changed {mae_same:.2g}: accuracy saturates, and a line in log "
              "N does not.", ("sizes", "checks")),
        Group("What is a source worth?", "The distance of your mixture is {ot_here:.2f}; over the grid it has the correlation "
              "{correlation:.2f} with the score.", ("worth", "potential", "plan", "weights")),
        Group("What of wrong labels?", "A distance that knows labels sees them.", ("noise", "noise_score")),
    ),
    says=(
        "Your mixture: {predicted:.4g} predicted at N, {measured:.4g} measured.",
        "Selected: {best_predicted:.4g} predicted, {best_measured:.4g} measured; equal shares have {equal_measured:.4g}.",
    ),
    finds=FINDS,
    question="What is a data source worth before one buys it?",
)

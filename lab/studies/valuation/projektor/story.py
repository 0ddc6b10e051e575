"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import BEYOND, PROJECTED

STORY = Story(
    "The transport distance from a mixture of data sources to the validation set is correlated with the accuracy of a model "
    "trained on that mixture.",
    hero=("map", "distances"),
    moves=("first", "second", "third", "n"),
    steps=(
        Step(
            "How accurate is a model trained on the first source alone?",
            {"second": 0.0, "third": 0.0},
            "The distance rises from {before.ot_here:.2f} to {ot_here:.2f}. The predicted accuracy is {predicted:.0f}%, the "
            "measured accuracy {measured:.0f}%.",
            lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 20,
        ),
        Step(
            "Does the distance detect wrong labels?",
            {"noise": 0.6},
            "The distance rises from {before.ot_here:.2f} to {ot_here:.2f}, and accuracy falls from {before.measured:.0f}% "
            "to {measured:.0f}%.",
            lambda before, after: after.ot_here > before.ot_here and after.measured < before.measured - 3,
        ),
        Step(
            "Do the paper's ten columns extrapolate?",
            {"model": "PQ-OT"},
            "PQ-OT has an error of {mae_between:.1f} points between the fitted mixtures and of {mae_pq:.0f} points beyond "
            "them. There, linear-OT has {mae_ot:.1f} points and a quadratic without the distance {mae_quadratic:.0f} points.",
            lambda before, after: 3 * after.mae_ot < min(after.mae_pq, after.mae_quadratic),
            look="scatter",
        ),
        Step(
            "What if the two pilots have similar sizes?",
            {"n0": 170, "n1": 200},
            "Errors of the pilots grow by a factor of {amplification:.1f} up to N instead of {before.amplification:.1f}. "
            "Projections have an error of {mae_projected:.1f} points, the scores at N₁ an error of {mae_same:.1f} points.",
            lambda before, after: after.mae_projected > after.mae_same,
            look="checks",
        ),
    ),
    groups=(
        Group("Do fits extrapolate?", BEYOND.finding, ("scatter", "errors")),
        Group("Do projections to larger sizes hold?", PROJECTED.finding, ("sizes", "checks")),
        Group(
            "What is a source worth?",
            "The distance of your mixture is {ot_here:.2f}; over the grid, distance and score have the correlation "
            "{correlation:.2f}.",
            ("worth",),
        ),
        Group("How does label noise affect the distance?", "The transport cost includes a label term.", ("noise",)),
    ),
    says=(
        "Your mixture: predicted score at N {predicted:.4g}, measured {measured:.4g}.",
        "Selected mixture p*: predicted score {best_predicted:.4g}, measured {best_measured:.4g}; equal: {equal_measured:.4g}.",
    ),
    compares=(BEYOND, PROJECTED),
    question="What is a data source worth before one buys it?",
)

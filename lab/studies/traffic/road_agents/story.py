"""What the page of road agents tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import ADE, FINDS
from .presets import LATER, QUICK, WIDE

STORY = Story(
    "A car's speed reveals its driver type; changes in its neighborhood do not. Its future position is largely a linear "
    "function of its past positions.",
    hero=("play", "confusion"),
    moves=("moment", "threshold", "radius"),
    steps=(
        Step("Does the rule see the driver after half a minute?", LATER,
             "No: the correlation of rate and driver is {correlation_driver:.2f}, though that of speed and driver is now "
             "{speed_driver:.2f}, not {before.speed_driver:.2f}; {neutral:.0%} are neutral, since most are alone.",
             lambda before, after: abs(after.correlation_driver) < 0.2 and after.speed_driver > 0.7
             and after.neutral > before.neutral),
        Step("Does a graph that reaches farther?", WIDE,
             "No: the correlation is {correlation_driver:.2f} with weights over 10 m and neighbours within 50 m.",
             lambda before, after: abs(after.correlation_driver) < 0.2, look="degrees"),
        Step("How far does constant velocity carry?", {"predicted": 4},
             "For two seconds it errs by {ade_velocity:.2f} m, the ridge by {ade_ridge:.2f} m; for five seconds by "
             "{before.ade_velocity:.2f} and {before.ade_ridge:.2f} m.",
             lambda before, after: after.ade_velocity < before.ade_velocity / 3 and after.ade_ridge < after.ade_velocity,
             look="rmse"),
        Step("What does an LSTM learn in seconds of training?", QUICK,
             "One stream has an error of {ade_one:.2f} m on held-out roads, two streams {ade_two:.2f} m, constant velocity "
             "{ade_velocity:.2f} m and the ridge {ade_ridge:.2f} m.",
             lambda before, after: after.ade_one < 0.9 * after.ade_velocity, look="rmse"),
    ),
    groups=(
        Group("What the rule sees", "{neutral:.0%} of the agents are neutral; the rate has the correlation "
              "{correlation_driver:.2f} with who drives and {correlation_speed:.2f} with speed.",
              ("degrees", "scatter", "radius", "scale", "shares")),
        Group("The graph and its spectrum", "An edge is strong only between neighbouring lanes, and each strong pair is an "
              "eigenvector by itself.", ("laplacian", "spectrum")),
        Group("Where everybody will be", ADE.finding, ("rmse", "regions", "pull")),
        Group("Two streams", "LSTMs of positions and of spectra are compared where they are trained: 800 steps take a minute.",
              ("training", "by_spectra")),
    ),
    says=(
        "The rule calls {neutral:.0%} of the agents neutral; of {accuracy_driver:.0%} its label is the kind of their driver.",
        "Predicted positions give {accuracy_foretold:.0%} of the labels by the rule; the mean recall of the three is "
        "{macro_foretold:.0%}.",
        "All models are tested on {tested:.0f} held-out windows.",
    ),
    finds=FINDS,
    compares=(ADE,),
    repeats=("default", "step", "preset-streams"),
    question="Can a graph tell who drives how?",
)

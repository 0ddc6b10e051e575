"""The argument of the page: lede, comparison, steps and groups."""

from lab.studies.contract import Comparison, Group, Step, Story

from .claims import LATER, QUICK, WIDE

_NAMES = {"constant velocity": "constant velocity", "ridge": "the ridge"}
_NAMES |= {"one stream": "the one-stream LSTM", "two streams": "the two-stream LSTM"}
ADE = Comparison("ade", "mean displacement error in m", _NAMES, result="ade", along="model")

STORY = Story(
    "A car's speed reveals its driver type; changes in its neighborhood do not. Its future position is largely a linear "
    "function of its past positions.",
    hero=("play", "confusion"),
    moves=("moment", "threshold", "radius"),
    steps=(
        Step(
            "Does the rule recognize drivers after half a minute?",
            LATER,
            "No: the correlation with driver type is {correlation_driver:.2f} for the rate; for speed it is "
            "{speed_driver:.2f}, not {before.speed_driver:.2f}. Of the labels, {neutral:.0%} are neutral, since few "
            "agents have neighbors.",
            lambda before, after: (
                abs(after.correlation_driver) < 0.2 and after.speed_driver > 0.7 and after.neutral > before.neutral
            ),
        ),
        Step(
            "Does a graph with a larger radius?",
            WIDE,
            "No: the correlation is {correlation_driver:.2f} with weights that decay over 10 m and neighbors within 50 m.",
            lambda before, after: abs(after.correlation_driver) < 0.2,
            look="degrees",
        ),
        Step(
            "How long is constant velocity accurate?",
            {"predicted": 4},
            "Over two seconds its error is {ade_velocity:.2f} m, and {ade_ridge:.2f} m for the ridge; over five seconds "
            "{before.ade_velocity:.2f} m and {before.ade_ridge:.2f} m.",
            lambda before, after: after.ade_velocity < before.ade_velocity / 3 and after.ade_ridge < after.ade_velocity,
            look="rmse",
        ),
        Step(
            "What does an LSTM learn in seconds of training?",
            QUICK,
            "One stream has an error of {ade_one:.2f} m on held-out roads, two streams {ade_two:.2f} m, constant velocity "
            "{ade_velocity:.2f} m and the ridge {ade_ridge:.2f} m.",
            lambda before, after: after.ade_one < 0.9 * after.ade_velocity,
            look="rmse",
        ),
    ),
    groups=(
        Group(
            "What does the rule measure?",
            "The rule labels {neutral:.0%} neutral. The rate has correlation "
            "{correlation_driver:.2f} with driver type and {correlation_speed:.2f} with speed.",
            ("degrees", "radius"),
        ),
        Group("Spectral clusters", "k-means in the spectral embedding finds k clusters in each frame.", ("regions",)),
        Group("Forecasts of positions", ADE.finding, ("rmse", "pull")),
        Group("Training of the streams", "LSTMs of positions and of spectra: 800 steps take a minute.", ("training",)),
    ),
    says=(
        "The rule labels {neutral:.0%} of the agents neutral; {accuracy_driver:.0%} of its labels match the driver type.",
        "Predicted positions reproduce {accuracy_foretold:.0%} of its labels; the macro recall is {macro_foretold:.0%}.",
        "All forecasts are tested on {tested:.0f} held-out windows.",
    ),
    compares=(ADE,),
    repeats=("default", "step", "preset-streams"),
    question="Does a traffic graph reveal how someone drives?",
)

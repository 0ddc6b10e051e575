"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

from .variables import CONVOLUTION, GRID, PERCEPTRON, RANDOM, SCHEDULES

NARROW: dict[str, Any] = {"sigma": 1e-3, "tuned": False}
WIDE: dict[str, Any] = {"sigma": 2.0, "tuned": False}
TWO: dict[str, Any] = {"groups": 2, "rows": 60}
DIGITS: dict[str, Any] = {
    "problem": PERCEPTRON, "lowest": -3.0, "highest": 1.0, "starts": 3, "learning_rate": 0.05, "seed": 1,
}
CUT: dict[str, Any] = DIGITS | {"problem": CONVOLUTION, "units": 64, "highest": 0.0, "starts": 2}

PRESETS = (
    Preset("ridge", "Four starts, one schedule", "A ridge regression, whose optimal strength is known in closed form.", {}),
    Preset("narrow", "Too small a perturbation", "The slope of the response isn't learned where nothing moves.", NARROW),
    Preset("wide", "Too large a perturbation", "A line through too much of a curve has another slope.", WIDE),
    Preset("much-entropy", "Entropy above all", "Scales grow beyond where a line fits the response.", {"entropy": 1.0}),
    Preset("no-response", "Weights that do not respond", "Without a response nothing tells hyperparameters where to go.",
           {"responds": False}),
    Preset("centred", "A response of the perturbation alone", "As in the successor of the method.",
           {"centred": True}),
    Preset("two", "Two strengths", "Paths over the landscape of the validation loss, which is known.", TWO),
    Preset("digits", "Digits: three rates of dropout", "A perceptron that finds its dropout while it learns.", DIGITS),
    Preset("digits-random", "Beside a random search", "Ten trainings of the same length, each with rates that were drawn.",
           DIGITS | {"compare": RANDOM}),
    Preset("digits-grid", "Over a grid", "Validation loss by the first two rates, and where the starts go.",
           DIGITS | {"compare": GRID}),
    Preset("digits-schedules", "Is it the value or the schedule?", "Held at its end, perturbed, a sine, and its schedule again "
           "(table 2, in small).", DIGITS | {"compare": SCHEDULES}),
    Preset("digits-decay", "Decay of weights too", "A fourth hyperparameter, on a logarithmic scale.",
           DIGITS | {"decays": True, "lowest": -6.0, "highest": -3.0, "learning_rate": 0.02}),
    Preset("cut-out", "Squares cut out of digits", "Whole hyperparameters: length and number, with noise and dropout.", CUT),
)

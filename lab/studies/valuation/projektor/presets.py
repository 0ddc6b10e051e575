"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

SHEET: dict[str, Any] = {"n0": 200, "n1": 400, "n": 2000, "reps": 3}
LOSS: dict[str, Any] = {"measure": "log-loss"}
PQ: dict[str, Any] = {"model": "PQ-OT"}
NEAR: dict[str, Any] = {"n0": 170, "n1": 200}

PRESETS = (
    Preset("mixture", "Three sources of digits", "Your mixture is mainly from one provider. Drag it over the triangle.", {}),
    Preset("columns", "The paper's ten columns", "Good between mixtures that were fitted, and wild beyond them.", PQ),
    Preset("quadratic", "Without a distance", "Quadratic in the shares: good between mixtures, and off beyond them.",
           {"model": "quadratic"}),
    Preset("sheet", "The table of 66 mixtures", "Pilots of 200 and 400, and medians of three trainings.",
           SHEET),
    Preset("loss", "A loss in place of accuracy", "The logarithm of a log-loss is fitted, and projected as a power.", LOSS),
    Preset("noise", "A source with wrong labels", "Six of ten labels of the first source are wrong; the distance sees it.",
           {"noise": 0.6}),
    Preset("near", "Pilots too near each other", "Errors of the fits grow tenfold on the way to N.", NEAR),
    Preset("mnist", "MNIST", "Sources of a thousand, on 50 principal axes; some minutes.",
           {"data": "mnist-sources", "n0": 200, "n1": 600, "n": 2500}),
)

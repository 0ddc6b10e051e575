"""What is worth trying, as parameter values."""

from lab.stability.initial import CONVOLUTIONAL, PERCEPTRON
from lab.studies.contract import Preset

_PAPER = {"n": 300, "d": 1000, "steps": 80_000}
_RELU = {
    "data": "relu-teacher", "n": 300, "d": 100, "m": 100, "clip": 100.0, "lowest": 2.5e-4, "highest": 4e-3,
}
_DIGITS = {"data": "digit-training", "m": 10, "rates": 0, "clip": 1e6}

PRESETS = (
    Preset("small", "SGD below 1, gradient descent above", "A diagonal network of 200 weights on 40 samples. Move η.", {}),
    Preset(
        "large-batch", "Batches of 16", "The trace of what SGD holds is no longer bounded by 2 / η: compare the test errors.",
        {"B": 16},
    ),
    Preset("small-weights", "Small initial weights", "Both methods find the sparse answer: the bias is in the start.",
           {"scale": 0.1}),
    Preset("not-there-yet", "Not there yet", "Too few steps: nothing interpolates, and thresholds do not bind.",
           {"steps": 200}),
    Preset("momentum", "With momentum", "β = 0.9 multiplies the effective learning rate by ten.",
           {"momentum": True, "eta": 0.01}),
    Preset(
        "table-diagonal", "The sheet's table: diagonal network",
        "300 samples, 2000 weights, 80,000 steps at η = 0.0631 and six others; over five minutes.", {**_PAPER, "eta": 0.0631},
    ),
    Preset(
        "row-diagonal", "A row of that table", "The same at one learning rate: half a minute.",
        {**_PAPER, "eta": 0.0316, "rates": 0},
    ),
    Preset(
        "table-relu", "The sheet's table: two-layer ReLU",
        "100 units, 600,000 steps of one sample at η = 0.001; SGD alone, a minute.",
        {**_RELU, "steps": 600_000, "eta": 1e-3, "rates": 0, "optimizer": "SGD"},
    ),
    Preset(
        "relu", "A small two-layer network", "Ten ReLUs learnt by twenty, with gradient descent beside SGD.",
        {"data": "relu-teacher", "n": 50, "d": 20, "m": 20, "eta": 0.02, "steps": 20_000, "clip": 100.0,
         "lowest": 2e-3, "highest": 0.025, "rates": 4},
    ),
    Preset(
        "edge", "Edge of stability", "Gradient descent on digits: the top eigenvalue climbs to 2 / η and stays there.",
        {**_DIGITS, "model": PERCEPTRON, "optimizer": "GD", "n": 60, "eta": 0.16, "steps": 4000},
    ),
    Preset(
        "mnist", "MNIST",
        "A perceptron of 8,000 weights: gradient descent rests at the edge, λmax = 2 / η; SGD has not interpolated, and "
        "is marked. Half a minute.",
        {"data": "mnist-training", "n": 30, "m": 10, "rates": 0, "eta": 0.12, "steps": 6000, "clip": 1e6},
    ),
    Preset(
        "convolutional", "A convolutional network on digits",
        "SGD with batches of 8: it has not interpolated yet, and is marked. See its Hessian by layers.",
        {**_DIGITS, "model": CONVOLUTIONAL, "m": 4, "B": 8, "eta": 0.1, "steps": 2000, "optimizer": "SGD"},
    ),
)

"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset(
        "eight", "Eight Gaussians: a gain", "At ε = 2 the samples are as good as those of I-CFM, at a tenth of its NPE.", {},
    ),
    Preset(
        "moons", "Noisy moons: the trap",
        "At ε = 4 the NPE is lower still, and wrong: mass went to the origin, and W₂² is near three times that of I-CFM.",
        {"data": "noisy-moons", "epsilon": 4.0},
    ),
    Preset(
        "moons-large", "Noisy moons, large ε", "At ε = 50 the samples are right, and little is gained.",
        {"data": "noisy-moons", "epsilon": 50.0},
    ),
    Preset(
        "table", "The table, in full", "1000 points and 1000 particles, as the numbers under “Does it hold?” have it.",
        {"n": 1000, "particles": 1000, "steps": 40},
    ),
    Preset(
        "squared", "The squared distance", "Half the square as cost: ε = 20 does what 4 does for the distance.",
        {"cost": "half-squared", "epsilon": 20.0},
    ),
    Preset(
        "degenerate", "Weights that degenerate", "Fewer than 1% of the pairs count, and the ring shrinks to its inner side.",
        {"epsilon": 0.4},
    ),
    Preset(
        "atoms", "Four points on a line", "Where each flow carries how much mass, against what the weights say.",
        {"data": "four-atoms", "cost": "half-squared", "epsilon": 1.0, "particles": 2000},
    ),
    Preset(
        "atoms-tilted", "Four points, from the tilted source", "From there W-CFM ends exactly at the masses of the weights.",
        {"data": "four-atoms", "cost": "half-squared", "epsilon": 1.0, "particles": 2000, "start": "tilted source"},
    ),
    Preset(
        "circle", "Points on a circle", "Data of constant norm are not tilted, whatever ε is.",
        {"data": "circle-points", "particles": 800},
    ),
    Preset(
        "line", "A Gaussian off the origin", "From N(0, 1) to N(2, 1/4): the weighted coupling is Gaussian, and pulled to 0.",
        {"data": "gaussian-1d", "cost": "half-squared", "epsilon": 1.0},
    ),
    Preset(
        "digits", "Digits", "64 dimensions, centred, ε = κ√d with κ = 0.5.",
        {"data": "digit-samples", "epsilon": 4.0, "centred": True, "particles": 200},
    ),
    Preset(
        "network", "A network beside the exact field", "A small network learns W-CFM from weighted pairs.",
        {"train_steps": 2000},
    ),
)

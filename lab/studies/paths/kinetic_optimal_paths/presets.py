"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset(
        "two-steps", "Two Euler steps",
        "The checkerboard in two Euler steps, by the kinetic optimal schedule and by straight lines.", {},
    ),
    Preset(
        "table", "The table of the checkerboard",
        "1500 particles, as in the figure of the paper: sweep the number of steps and the seed.", {"particles": 1500, "nfe": 6},
    ),
    Preset(
        "diffusion", "A diffusion beside it",
        "The variance preserving diffusion as third schedule: it stands still for long, and then all happens at once.",
        {"beside": "VP", "nfe": 8},
    ),
    Preset(
        "between", "Between two schedules",
        "A mixture of the kinetic optimal and the linear schedule: move w and watch energy and distance.",
        {"beside": "between", "nfe": 4},
    ),
    Preset(
        "two-points", "Two points on a line",
        "Data at -1 and 1, where all is known. Each particle is drawn above where it began: the map becomes a step.",
        {"data": "two-points", "nfe": 8},
    ),
    Preset(
        "gaussian", "Where it is optimal transport",
        "A Gaussian with two eigenvalues: the kinetic optimal path is that of optimal transport, and one step is enough.",
        {"data": "stretched-gaussian", "nfe": 1},
    ),
    Preset(
        "few-points", "Fifty points in 128 dimensions",
        "Paper, figure 1 in miniature: with the dimension of few points λ goes to 1 and the schedule to straight lines.",
        {"data": "gaussian-points", "dimension": 128, "draws": 2000},
    ),
    Preset(
        "digits", "Handwritten digits",
        "600 digits of 64 pixels: nearly all are told apart at little signal, so straight lines are nearly optimal.",
        {"data": "digit-samples", "n": 600, "nfe": 8, "particles": 200},
    ),
    Preset(
        "mnist", "MNIST by its pooling",
        "500 digits of 7 x 7 pixels; choose 14 or 28 a side, and the curve goes to 1 earlier.",
        {"data": "mnist-samples", "side": "7", "n": 500, "nfe": 8, "particles": 200, "draws": 1000},
    ),
    Preset(
        "network", "With trained networks",
        "A thousand training steps for each of three schedules: what is left of the differences when the velocity is learnt.",
        {"training_steps": 1000, "nfe": 6},
    ),
)

"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

RING: dict[str, Any] = {"data": "ring-of-three", "knows": "law", "noise": 1.5, "sigma_s": 0.1, "euler_steps": 50}
"""The mixture of the sheet: three modes, far more noise than their width."""
SCALAR: dict[str, Any] = {"data": "random-gaussian", "dimension": 1, "noise": 1.0, "sigma_s": 0.0, "euler_steps": 200}

PRESETS = (
    Preset("images", "Digits, by mean and covariance", "Images of 8 x 8, where all of the plane is exact: move K.", {}),
    Preset(
        "steps", "Few steps are the posterior mean",
        "Two steps hardly leave the posterior mean: raise K and see sharpness bought with error.", {"euler_steps": 2},
    ),
    Preset(
        "super-resolution", "Half the resolution (section 5)",
        "Four pixels become one: the posterior mean lives on fewer dimensions, and only σₛ fills the others.",
        {"task": "super-resolution", "noise": 0.05, "sigma_s": 0.1},
    ),
    Preset(
        "inpainting", "The middle is missing (section 5)", "Measured are the pixels around it: what is in it must be made up.",
        {"task": "inpainting", "noise": 0.05, "sigma_s": 0.1},
    ),
    Preset(
        "mnist", "MNIST, pooled to 14 x 14", "196 pixels, still exact: some ten seconds.",
        {"data": "mnist-samples", "side": "14", "particles": 100},
    ),
    Preset(
        "from-measurement", "Flow from Y, where Y is not alike",
        "A random mixing matrix: the flow from Y has a larger error than posterior sampling, PMRF a smaller one.",
        {"data": "random-gaussian", "dimension": 3, "task": "mixing", "sigma_s": 0.0, "euler_steps": 100},
    ),
    Preset(
        "coloured", "Covariances that do not commute",
        "Noise of another color than x: S and S* do not commute, and the error of PMRF is slightly above D_max.",
        {"data": "random-gaussian", "task": "coloured noise", "sigma_s": 0.0, "euler_steps": 200, "noise": 0.7},
    ),
    Preset(
        "scalar", "One number", "N(0, 1) with noise 1: errors 1/2, 0.586 and 1. On a line the flow is the optimal map.", SCALAR,
    ),
    Preset(
        "line", "Two modes on a line", "Histograms of the posterior mean, of PMRF and of x; the velocity is a quadrature.",
        {"data": "two-unlike-modes", "knows": "law", "noise": 1.0, "sigma_s": 0.0, "euler_steps": 100, "particles": 1000,
         "least": 0.005},
    ),
    Preset("ring", "Three modes in the plane", "From the posterior mean to the modes, by the exact velocity: play it.", RING),
    Preset(
        "pairs", "The same by pairs alone", "The flow of pairs repeats single x: lower the minimum width and see.",
        RING | {"knows": "pairs", "pairs": 2000},
    ),
    Preset(
        "network", "The same by a network", "Trained as in the paper: stratified times, AdamW, a moving average.",
        RING | {"train_steps": 2000},
    ),
    Preset(
        "network-images", "A network on digits (figure 1, in small)",
        "Images of 8 x 8: the network knows what mean and covariance do not. A minute or two.",
        {"train_steps": 2000, "units": 256, "sigma_s": 0.1},
    ),
)

"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

FULL = {"pool": 1, "train": 4000, "row": 14, "column": 14}
LETTER = {"sigma": 4.0, "strength": 8.0}
"""Noise and strength at which the pattern is far above all else that passes: c > σ > √λ."""

PRESETS = (
    Preset("mnist", "MNIST at half size", "Everything in a second: move σ, click pixels.", {}),
    Preset(
        "agreement", "Agreement with a U-Net", "The paper's comparison on small images: a U-Net is trained, about a minute.",
        {"networks": "U-Net", "train": 2000, "train_steps": 1200, "tests": 16},
    ),
    Preset(
        "table", "Paper's comparison at full size",
        "MNIST, 4000 images of 28 x 28, 32 test images, and a U-Net of 1200 steps: some ten minutes on two cores, once.",
        {**FULL, "networks": "U-Net", "train_steps": 1200, "tests": 32},
    ),
    Preset(
        "released", "The paper's own mask", "Normalised by rows, θ = 0.005, as released for MNIST.",
        {"normalize": "row", "theta": 0.005},
    ),
    Preset(
        "pitfall", "A threshold that empties masks", "By rows θ = 0.02 is too large on MNIST: at low noise nothing is left.",
        {"normalize": "row", "theta": 0.02, "sigma": 0.1},
    ),
    Preset(
        "architectures", "Digits and three architectures",
        "U-Net, perceptron and transformer look at the same places: 8 x 8 images, half a minute of training.",
        {"data": "digit-images", "train": 1400, "networks": "all", "row": 4, "column": 4, "sigma": 0.6},
    ),
    Preset(
        "patches", "Patches of photographs", "Shift invariant data: fields are round, and their width grows with σ.",
        {"data": "natural-patches", "train": 2000, "row": 8, "column": 8, "sigma": 0.3},
    ),
    Preset(
        "planted", "A planted pattern", "The same letter in every image: a pixel on it looks at all of it, near and far.",
        {"plant": True, **LETTER, "row": 7, "column": 5},
    ),
    Preset(
        "planted-networks", "A planted pattern and networks", "Convolutional or not, the networks look for the letter too.",
        {"data": "digit-images", "train": 1400, "networks": "all", "plant": True, **LETTER, "row": 3, "column": 6},
    ),
    Preset(
        "memory", "Few images, large masks", "With 50 images and masks of the whole image, samples are copies.",
        {"train": 50, "theta": 0.002},
    ),
    Preset("everyone", "All denoisers", "Also the nearest image, patch composites, and patches from anywhere.",
           {"others": True, "equivariant": "5", "train": 200}),
)

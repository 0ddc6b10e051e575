"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

TABLE: dict[str, Any] = {"pool": 1, "train": 4000, "seeds": 1}
"""MNIST at full size, as the numbers of the sheet were measured."""
PLAIN: dict[str, Any] = {"optimizer": "sgd", "reduction": "sum", "lam": 0.3, "rate": 0.5, "latest": 0.3}

PRESETS = (
    Preset("half", "Half of the pixels", "MNIST at half size: play the film, then change the order.", {}),
    Preset("table", "The table, weight “linear”", "MNIST, 28 x 28, 4000 training images: the weight of the paper.", TABLE),
    Preset("table-sqrt", "The table, weight “sqrt”", "The same with the square root of it.", {**TABLE, "weight": "sqrt"}),
    Preset("table-const", "The table, weight “const”", "The same with a constant weight.",
           {**TABLE, "weight": "const"}),
    Preset("ascending", "In ascending order", "The same steps from little noise to much: the answers end far off.",
           {"order": "ascending"}),
    Preset("released", "The released settings", "λ 0.25, rate 0.1 and 100 steps, as in the released example.",
           {"lam": 0.25, "rate": 0.1, "steps": 100}),
    Preset("sgd", "Plain gradient steps", "Over the lower third of the times, with the linear weight: steps of RED.", PLAIN),
    Preset("box", "A hole in the middle (inpainting)", "What is in the hole is not measured: the answers agree too much there.",
           {"damage": "box", "seeds": 8}),
    Preset("strokes", "Free-form strokes (inpainting)", "As in the paper's comparison on free-form masks.",
           {"damage": "strokes"}),
    Preset("superresolution", "Super-resolution", "Squares of 2 x 2 pixels became one.", {"damage": "average"}),
    Preset("blur", "Deblurring", "A Gaussian blur, and noise.", {"damage": "blur"}),
    Preset("phase", "Phase retrieval", "Only amplitudes of the Fourier transform are measured: no posterior in closed form.",
           {"damage": "phase retrieval", "steps": 1000, "rate": 0.05}),
    Preset("clip", "Clipped light (HDR)", "Grey values are doubled and cut: not linear.", {"damage": "clip"}),
    Preset("blur-of-light", "Non-linear blur", "Light is blurred, not grey values.", {"damage": "blur of light"}),
    Preset("patches", "Patches of photographs", "Grey patches of 16 x 16: smooth, with long edges.",
           {"data": "natural-patches"}),
    Preset("memory", "A prior that only remembers", "The optimal denoiser of 1000 images: the posterior chooses among them.",
           {"prior": "optimal"}),
    Preset("local", "A local prior", "PCA locality, whose posterior is not known: that of a Gaussian stands beside it.",
           {"prior": "PCA locality", "seeds": 1, "tests": 2}),
    Preset("many", "64 answers an image", "Their spread beside the posterior's.", {"seeds": 64}),
)

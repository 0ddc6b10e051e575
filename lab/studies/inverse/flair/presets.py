"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

FULL = {"pool": 1, "train": 4000}
RELEASED = {"c": 0.5, "hdc": "sgd", "data_steps": 15, "data_rate": 0.1}

PRESETS = (
    Preset("mask", "Half of the pixels", "MNIST at half size, half of its pixels seen with noise. Move c.", {}),
    Preset("box", "Box inpainting", "A third of the image is hidden, as in the paper: all variance sits in the hole.",
           {"damage": "box", "hole": 0.58, "c": 0.5}),
    Preset("super-resolution", "Super-resolution", "The mean of 2 x 2 pixels, with little noise; the data step is a prox.",
           {"damage": "average", "noise": 0.02}),
    Preset("motion", "Motion deblurring", "Blurred along a line, with little noise.", {"damage": "motion blur", "noise": 0.02}),
    Preset("released", "As released", "Weight 0.5 and at most 15 gradient steps of rate 0.1 on the data, noise of 0.01.",
           {**RELEASED, "noise": 0.01}),
    Preset("no-dta", "Without trajectory adjustment", "Ablation: fresh noise in every step.", {"alpha_scale": 0.0}),
    Preset("no-hdc", "Without hard data consistency", "Ablation: a single gradient step on the data.", {"hdc": "one step"}),
    Preset("no-crw", "Without calibrated weight", "Ablation: a constant weight of 0.5.", {"crw": False, "c": 0.5}),
    Preset("diverges", "A constant weight, down to the data", "Below t = 0.25 a weight of 0.5 is above 2t: answers grow."
           , {"crw": False, "c": 0.5, "t_min": 0.02}),
    Preset("memory", "A prior that memorises", "The optimal denoiser of the training images: here trajectory adjustment pays.",
           {"prior": "optimal"}),
    Preset("network", "A trained network as the prior", "A U-Net is trained on the same images, about a minute, once.",
           {"prior": "U-Net", "train_steps": 1200, "answers": 4}),
    Preset("table", "MNIST at full size", "28 x 28 pixels and 4000 images: the setting of the table of c and DTA.", FULL),
    Preset("photographs", "Patches of photographs", "Boxes in patches of natural images.",
           {"data": "natural-patches", "damage": "box", "hole": 0.4, "noise": 0.02}),
)

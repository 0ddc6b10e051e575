"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset("digits", "Digits", "8 x 8 pixels, and a denoiser that knows them all.",
           {"data": "digit-images", "known": 1400, "drawn": 100}),
    Preset("principal", "In principal axes", "Digits in the axes in which their covariance is diagonal, a little noise added.",
           {"data": "digit-images", "basis": "principal axes", "floor": 0.01, "known": 1400, "drawn": 100}),
    Preset("cifar", "The spectrum of CIFAR-10", "The law that the paper fits, on 32 x 32 pixels: the table of numbers.",
           {"spectrum": "law"}),
    Preset("few-steps", "Few steps", "Twenty-five steps, and five in the comparison of images.", {"steps": 25, "few": 5}),
    Preset("flow", "Without noise on the way", "DDIM, whose divergence is minimal slightly off γ = 1.", {"sampler": "ddim"}),
    Preset("all-alike", "All frequencies together", "γ = 0: the straight line of covariances, as with every schedule for all.",
           {"gamma": 0.0}),
    Preset("white", "White data", "m = 0 and c₁ = 1: nothing to go, and all frequencies are alike.",
           {"spectrum": "law", "c1": 1.0, "m": 0.0}),
    Preset("cosines", "In cosines", "The DCT, which has no jump from one border to the other.", {"basis": "dct"}),
)

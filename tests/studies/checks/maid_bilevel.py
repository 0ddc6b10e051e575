"""Independent values of the quadratic and of the noise."""

from lab.studies.contract import Claim, one_run
from lab.studies.tuning.maid_bilevel.claims import PAPER
from lab.studies.vocabulary import number

CHECKS = one_run(
    "no training of networks: strictly convex problems, solved to given accuracies",
    (
        Claim(
            "start",
            "The quadratic begins at 4440.09.",
            number("loss_start", **PAPER),
            4440.09,
            "closed form, seed 29",
            "==",
            0.01,
        ),
        Claim(
            "left",
            "After 200 steps the loss is 55 above the minimum.",
            number("loss", **PAPER) - number("least", **PAPER),
            55.35,
            "independent computation",
            "==",
            0.5,
        ),
        Claim("denoised", "Noise of 0.1 is 20 dB.", number("psnr_noisy"), 20.0, "10 log 100", "==", 0.2),
        Claim(
            "gain",
            "Total variation gains at least 3.5 dB on photographs.",
            number("psnr") - number("psnr_noisy"),
            3.5,
            "independent computation: 20.01 to 26.26 on two others",
            ">=",
        ),
    ),
)

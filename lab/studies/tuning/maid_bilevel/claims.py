"""What the paper and mathematics say of MAID, measured."""

from typing import Any

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import number, of

from .presets import CERTIFIED, CLASSIFY, PAPER

_SURE: dict[str, Any] = CERTIFIED | {"compare": False}

CLAIMS = one_run("no training of networks: strictly convex problems, solved to given accuracies", (
    Claim("one-curve", "From five first accuracies MAID comes to one loss, to 1e-4 of its fall.", number("agreement", **PAPER),
          1e-4, "the paper's robustness, on its quadratic", "<="),
    Claim("images-agree", "On images MAID comes from five first accuracies to one loss, to 1e-3 of its fall.",
          number("agreement"), 1e-3, "the paper's robustness", "<="),
    Claim("fan", "Runs with fixed accuracies end at losses that differ by at least half of the fall.",
          number("fixed_spread", **PAPER), 0.5, "the paper's comparison", ">="),
    Claim("start", "The quadratic begins at 4440.09.", number("loss_start", **PAPER), 4440.09, "closed form, seed 29", "==",
          0.01),
    Claim("left", "After 200 steps the loss is 55 above the least.", number("loss", **PAPER) - number("least", **PAPER), 55.35,
          "independent computation", "==", 0.5),
    Claim("monotone", "No accepted step raises the true loss.", number("rises", **PAPER), 0.0, "sufficient decrease", "<="),
    Claim("monotone-images", "On images, with bounds for all constants, no accepted step raises the true loss.",
          number("rises", **_SURE),
          0.0, "sufficient decrease", "<="),
    Claim("bound", "No error of a slope is above its bound.", number("violations", **PAPER), 0.0, "the error bound", "<="),
    Claim("bound-images", "On images, with certified constants, no error of a slope is above its bound.",
          number("violations", **_SURE), 0.0,
          "the bound of the error", "<="),
    Claim("loose", "The bound is loose: errors are a hundredth of it or less.", number("looseness", **PAPER), 0.01,
          "independent computation: 1e-4", "<="),
    Claim("denoised", "Noise of a tenth is 20 dB.", number("psnr_noisy"), 20.0, "10 log 100", "==", 0.2),
    Claim("gain", "Total variation gains 3.5 dB and more on photographs.",
          number("psnr") - number("psnr_noisy"), 3.5, "independent computation: 20.01 to 26.26 on two others", ">="),
    Claim("held-out", "The learned parameters gain at least 3 dB on held-out photographs.", number("psnr_test"),
          number("psnr_noisy") + 3.0, "held-out images", ">="),
    Claim("digits", "With learned decays the accuracy on held-out digits is above 93%.",
          number("accuracy", **CLASSIFY), 93.0, "independent computation: 96.5", ">", quick=False, seeds=range(5)),
    Claim("cheapest", "None of five fixed accuracies is near the least loss sooner.", number("maid_cost"), number("fixed_cost"),
          "the paper", "<="),
    Claim("schedule", "No schedule of HOAG is as cheap as MAID.", number("maid_cost"), number("hoag_cost"), "the paper", "<=",
          should_hold=False, note="a well-tuned geometric schedule is cheaper early; with the wrong first step it is not"),
    Claim("ends-at-once", "A rough accuracy that stays ends before it begins.",
          of(lambda run: run.sizes["iteration"], rule="fixed accuracy", eps0=1.0, compare=False), 2.0,
          "psi > 0 at all step lengths", "<="),
))

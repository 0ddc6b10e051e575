"""The paper's numbers beside ours."""

from lab.studies.contract import Reported

_FACES = "FFHQ, Stable Diffusion 3, 50 evaluations"
_ABLATION = "ablation, super-resolution ×12"
_OURS = "MNIST at 14 × 14, half of the pixels observed, Wiener denoiser, 50 steps, 16 samples of 8 images"

REPORTED = (
    Reported("FID, box inpainting", "results (from a secondary source)", "8.7 (the best earlier method: 42.5)", _FACES, _OURS,
             checked=False, note="FID needs a large set of images and a pretrained network, so it is not computed here."),
    Reported("PSNR gained by averaging samples", "ablation, averages of 8 samples", None, f"super-resolution, {_FACES}", _OURS,
             ours=lambda runs: float(runs().psnr_average - runs().psnr_one), unit="dB"),
    Reported("PSNR gained by the trajectory adjustment (DTA)", _ABLATION, None, _FACES, _OURS, ours="dta_gain", unit="dB",
             note="In the paper removing DTA costs most. Here it changes little, because a Gaussian prior has one mode; with "
             "the denoiser of the training images it helps (next row).",
             holds=lambda runs: abs(float(runs().dta_gain)) < 0.3),
    Reported("The same with the optimal denoiser of the training images", _ABLATION, None, _FACES,
             "the same with the optimal denoiser", claim="dta-memory", unit="dB"),
    Reported("PSNR gained by hard data consistency (HDC)", _ABLATION, None, _FACES, _OURS, claim="hdc", unit="dB"),
    Reported("PSNR gained by the calibrated weight (CRW)", _ABLATION, None, _FACES, _OURS + "; against a constant 0.5",
             claim="crw", unit="dB"),
    Reported("PSNR of one sample", "choice of measures", "not used as a measure", _FACES, _OURS, ours="psnr_one",
             unit="dB"),
)

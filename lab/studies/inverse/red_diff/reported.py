"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, Reported

_THEIRS = "ImageNet 256 × 256, 1,000 images, free-form inpainting, pretrained diffusion model"
_OURS = "MNIST at 14 × 14, half of the pixels observed, Wiener denoiser, 300 steps, 4 samples of 8 images"
_TABLE = "table of inpainting"

REPORTED = (
    Reported("PSNR of RED-diff", _TABLE, 23.29, _THEIRS, _OURS, ours="quality", unit="dB", checked=False),
    Reported("PSNR of DPS and ΠGDM", _TABLE, "21.27 and 20.30 dB", _THEIRS, "not part of this study", checked=False,
             note="The study of inverse problems compares them. There ΠGDM has a higher PSNR than RED-diff, the reverse of "
             "the paper: its Gaussian approximation is exact under a Gaussian prior."),
    Reported("PSNR of the posterior mean", ONLY_HERE, None, "not known for images", _OURS, ours="quality_posterior",
             unit="dB", note="If the prior is correct, no method has a lower expected squared error than the posterior mean."),
    Reported("PSNR of an exact posterior sample", ONLY_HERE, None, "not known for images", _OURS, ours="quality_draw",
             unit="dB"),
    Reported("PSNR with ascending times", "ablation of the order", "worse; value not available", _THEIRS, _OURS,
             ours=lambda runs: float(runs(order="ascending").quality), unit="dB"),
    Reported("PSNR with a constant weight", "ablation of the weight", "worse than 1/SNR; value not available", _THEIRS, _OURS,
             ours=lambda runs: float(runs(weight="const").quality), unit="dB",
             note="The paper finds the linear weight 1/SNR (first row) best. Here a constant weight is slightly better over "
             "all times at this learning rate.",
             holds=lambda runs: bool(runs(weight="const").quality > runs().quality)),
    Reported("Spread of the samples, as a share of the posterior spread", ONLY_HERE, None, "mode seeking", _OURS,
             ours=lambda runs: 100 * float(runs().spread_share), unit="%"),
)

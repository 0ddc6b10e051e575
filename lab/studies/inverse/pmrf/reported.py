"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Reported

_FACES = "CelebA-Test, blind restoration of faces"
_CONTROL = "controlled experiments, FFHQ to CelebA-HQ, 256 × 256"
_OURS = "handwritten digits (8 × 8), noise 0.7, estimators from mean and covariance, 25 Euler steps"

REPORTED = (
    Reported("FID of PMRF", "results on CelebA-Test", 37.46, _FACES, f"W₂ instead of FID; {_OURS}", ours="w2_pmrf",
             checked=False,
             note="FID and W₂ have different units: the comparison that counts is with the posterior mean (next row)."),
    Reported("W₂ of the posterior mean from the data", ONLY_HERE, None, _FACES, _OURS, ours="w2_mean"),
    Reported("SSIM of PMRF", "results on CelebA-Test", 0.7073, _FACES, _OURS, note="SSIM is not computed for 8 × 8 digits."),
    Reported("PSNR of PMRF", "results on CelebA-Test", 26.37, _FACES, _OURS, checked=False, unit="dB",
             note="The lab reports the squared error, over that of posterior sampling, instead (next row)."),
    Reported("Squared error over that of posterior sampling", "controlled experiments", "below 1; value not available",
             _CONTROL,
             _OURS, ours=lambda runs: float(runs().mse_pmrf / runs().mse_sampling)),
    Reported("Squared error over the minimum with perfect quality (D_max)", "Proposition 1", "1 if the map is optimal",
             "theorem",
             _OURS + "; exact flow", ours=lambda runs: float(runs().mse_limit / runs().d_max),
             note="The flow is not the optimal map where the covariances do not commute."),
    Reported("Squared error of PMRF, white noise", "section 2.4", PREDICTED, "optimal map between Gaussians",
             "random Gaussians", claim="commuting"),
)

"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_THEIRS = "CIFAR-10, trained U-Net"
_OURS = "Gaussian data with the power of photograph tiles, exact denoiser, 100 steps"
_TABLE = "table of FID"


def _kl(schedule):
    return lambda runs: float(runs().kl.sel(schedule=schedule, sampler_name="large"))


REPORTED = (
    Reported("Distance of the samples from the data, shortest path", _TABLE, "FID 2.74", _THEIRS, f"KL; {_OURS}",
             ours=_kl("by frequency"), checked=False,
             note="FID and KL have different units, so only the order of the schedules can be compared."),
    Reported("Distance of the samples from the data, cosine schedule", _TABLE, "FID 2.90 (improved DDPM)", _THEIRS,
             f"KL; {_OURS}",
             ours=_kl("cosine"), checked=False),
    Reported("Distance of the samples from the data, linear schedule", _TABLE, "FID 3.17 (DDPM)", _THEIRS, f"KL; {_OURS}",
             ours=_kl("linear"), checked=False),
    Reported("Distance of the samples from the data, blurring", _TABLE, "FID 3.17 (blurring diffusion)", _THEIRS,
             f"KL; {_OURS}",
             ours=_kl("blurring"), checked=False),
    Reported("Fisher length of the shortest path", "geodesic of Gaussians", PREDICTED, "theorem", _OURS, claim="geodesic"),
    Reported("Exponent γ of the lowest KL, variance of the paper", "any deviation is worse", PREDICTED,
             "experiment of the paper",
             _OURS, claim="best-gamma"),
    Reported("Exponent γ of the lowest KL, DDIM", "any deviation is worse", PREDICTED, "experiment of the paper", _OURS,
             claim="best-gamma-ddim", note="With DDIM the optimum is slightly off the shortest path."),
)

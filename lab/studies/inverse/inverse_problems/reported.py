"""The survey's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_SURVEY = "survey, no experiments of its own"
_OURS = "MNIST at 14 × 14, half of the pixels observed, noise 0.1, Wiener prior, 8 images, 16 samples"

REPORTED = (
    Reported("Spread of exact samples", "posterior sampling", PREDICTED, "posterior of a Gaussian prior", _OURS,
             claim="exact-spread"),
    Reported("Distance of the mean of 16 exact samples from the posterior mean", "posterior sampling", PREDICTED,
             "a quarter of the posterior spread", _OURS, claim="exact-mean"),
    Reported("Spread of DPS", "posterior sampling by approximate guidance", None, _SURVEY, _OURS, ours="spread_dps",
             note="The posterior spread in the first row is the value of an exact sampler: DPS is too wide and RED-diff too "
             "narrow.",
             holds=lambda runs: bool(runs().spread_reddiff < runs().spread_true < runs().spread_dps)),
    Reported("Spread of RED-diff", "variational methods", None, _SURVEY, _OURS, ours="spread_reddiff"),
    Reported("PSNR of the posterior mean", "minimum mean squared error", None, _SURVEY, _OURS, ours="psnr_bound", unit="dB"),
    Reported("PSNR of the best method", "comparison of methods", None, _SURVEY, _OURS, ours="psnr_best", unit="dB"),
)

"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Reported

_THEIRS = "CIFAR-10, CelebA and FFHQ, trained networks, about 10 evaluations"
_OURS = "eight Gaussians in the plane, exact score, 400 stored points, 400 samples, 6 evaluations, one seed"

REPORTED = (
    Reported("Distance of the samples of DPM-OT from the data", "abstract, FID tables", None, f"FID; {_THEIRS}", f"W₂; {_OURS}",
             ours="w2_express",
             note="The abstract reports a better FID than fast samplers. Here the plain flow is closer to the data with as "
             "many evaluations (next row). Most of the distance of DPM-OT is that of its 400 stored points."),
    Reported("The same of the plain flow, as many evaluations", "abstract, FID tables", None,
             f"FID of DDIM and DPM-Solver; {_THEIRS}", f"W₂; {_OURS}", ours=lambda runs: float(runs().w2.sel(way="flow"))),
    Reported("Mixed samples of DPM-OT (mode mixture rate)", "mode-mixture tables", None, f"classifier; {_THEIRS}",
             f"exact posterior, threshold 0.1; {_OURS}", ours=lambda runs: 100 * float(runs().mmr_express), unit="%"),
    Reported("Samples of DPM-OT off the modes", "measured only here", None, _THEIRS, _OURS,
             ours=lambda runs: 100 * float(runs().off_express), unit="%"),
    Reported("Samples of the plain flow off the modes", "measured only here", None, _THEIRS, _OURS,
             ours=lambda runs: 100 * float(runs().off_flow), unit="%",
             note="Here DPM-OT is better than the flow, as the paper's argument on mode mixture predicts."),
    Reported("Optimal cost of four points on a line under N(0, 1)", "semi-discrete transport, closed form", PREDICTED,
             "theorem", "points −1, 0.2, 0.7, 3", claim="line-gaussian"),
)

"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Measured, Reported

_THEIRS = "CIFAR-10, CelebA and FFHQ, trained networks, about 10 evaluations"
_OURS = "eight Gaussians in the plane, exact score, 400 stored points, 400 samples, 6 evaluations"
_W2 = "FID tables (W₂ here)"


def _percent(method):
    def measure(runs):
        return Measured(*(100 * each for each in runs.compared("off", method)))

    return measure


REPORTED = (
    Reported("Distance of the samples from the data, DPM-OT", _W2, None, f"FID; {_THEIRS}", f"W₂; {_OURS}",
             ours=lambda runs: runs.compared("w2", "DPM-OT"),
             holds=lambda runs: runs.compared("w2", "flow").value < runs.compared("w2", "DPM-OT").value,
             note="The abstract reports a better FID than fast samplers. Here the plain flow has the lower mean with as many "
             "evaluations (next row)."),
    Reported("Distance of the samples from the data, plain flow", _W2, None, f"FID of DDIM and DPM-Solver; {_THEIRS}",
             f"W₂; {_OURS}", ours=lambda runs: runs.compared("w2", "flow")),
    Reported("Mixed samples of DPM-OT (mode mixture rate)", "tables of the mode mixture rate", None, f"classifier; {_THEIRS}",
             f"exact posterior, threshold 0.1; {_OURS}, one seed", ours=lambda runs: 100 * float(runs().mmr_express), unit="%"),
    Reported("Samples of DPM-OT off the modes", ONLY_HERE, None, _THEIRS, _OURS, ours=_percent("DPM-OT"), unit="%"),
    Reported("Samples of the plain flow off the modes", ONLY_HERE, None, _THEIRS, _OURS, ours=_percent("flow"), unit="%",
             holds=lambda runs: runs.compared("off", "DPM-OT").high < runs.compared("off", "flow").low,
             note="DPM-OT is better than the flow by this measure, as the paper's argument on mode mixture predicts."),
    Reported("Optimal cost of four points on a line under N(0, 1)", "semi-discrete transport, closed form", PREDICTED,
             "theorem", "points −1, 0.2, 0.7, 3", claim="line-gaussian"),
)

"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Reported

_TABLE = "tables of LPIPS and PSNR"
_THEIRS = "super-resolution, SR3 and StableSR, few evaluations"
_OURS = "digits, 4×4 to 8×8, mixture prior, 100 candidates, 50 references, 10 steps, 80 test images"


def _score(metric, way):
    return lambda runs: float(runs().way_score.sel(by=metric, way=way))


REPORTED = (
    Reported("Mean squared error, random start", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS, ours="random"),
    Reported("Mean squared error, searched start", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS, ours="searched",
             note="As in the paper the searched start is better than a random one and than ancestral sampling. It is not the "
             "best start: x_T = 0, which needs no search, is better (next row).",
             holds=lambda runs: bool(runs().zero < runs().searched < runs().ancestral < runs().random)),
    Reported("Mean squared error, x_T = 0", ONLY_HERE, None, _THEIRS, _OURS, ours="zero"),
    Reported("Mean squared error, ancestral sampling", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS, ours="ancestral"),
    Reported("Perceptual stand-in, random start", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS + ", chosen by mean squared error",
             ours=_score("perc", "random")),
    Reported("Perceptual stand-in, searched start", _TABLE, None, f"LPIPS; {_THEIRS}",
             _OURS + ", chosen by mean squared error", ours=_score("perc", "searched")),
    Reported("Excess kept by the best of 10 starts in 8 dimensions", "argument of the search", PREDICTED,
             "minimum of K chi-squares", "simulated", claim="best-of-10-in-8"),
)

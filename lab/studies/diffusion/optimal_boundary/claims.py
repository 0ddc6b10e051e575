"""Statements of the paper and theorems, measured, and the paper's numbers beside ours."""

from functools import partial
from typing import Any

from lab.diffusion import boundary_theory as theory
from lab.studies.contract import ONLY_HERE, PREDICTED, Claim, Reported, one_run
from lab.studies.vocabulary import Measure, number, of

_PAPER = "Ma, Yang, Yang, Fu, Liu, ICLR 2024"
_PERC: dict[str, Any] = {"metric": "perc"}
_BEST = {(8, 10): 0.388, (8, 1000): 0.0970, (64, 100): 0.614, (1024, 1000): 0.863}

_mean = partial(Claim, seeds=range(5))

CLAIMS = one_run(
    "no training: means over images, sets of candidates and draws",
    (
        _mean(
            "better-than-random",
            "On held-out images the error of the searched start is more than 5% below that of a random one.",
            number("searched"),
            0.95 * number("random"),
            f"{_PAPER}: searched and random starts",
            "<",
        ),
        _mean(
            "better-than-noise",
            "The error of the searched start is below that of ancestral sampling in as many steps.",
            number("searched"),
            number("ancestral"),
            f"{_PAPER}: searched start and DDPM",
            "<",
        ),
        _mean(
            "better-than-noise-perc",
            "By the gradient metric, too, the error of the searched start is below that of ancestral sampling.",
            number("searched", **_PERC),
            number("ancestral", **_PERC),
            f"{_PAPER}: searched start and DDPM, by LPIPS",
            "<",
            quick=False,
        ),
        _mean(
            "best-of-all",
            "The error of the searched start is at most that of x_T = 0.",
            number("searched"),
            number("zero"),
            f"{_PAPER} does not test x_T = 0",
            "<=",
            should_hold=False,
            note="x_T = 0 ends near the posterior mean, which has the minimum squared error of all under the model",
        ),
        _mean(
            "best-of-all-perc",
            "By the gradient metric the error of the searched start is at most that of x_T = 0.",
            number("searched", **_PERC),
            number("zero", **_PERC),
            f"{_PAPER} does not test x_T = 0",
            "<=",
            should_hold=False,
            note="the stand-in for a perceptual metric favors the posterior mean, too",
            quick=False,
        ),
        _mean(
            "halves",
            "The rank correlation of the candidates' scores on two halves of the images is above 0.6.",
            number("spearman_halves"),
            0.6,
            f"{_PAPER}: the optimal start is nearly the same for all images",
            ">",
        ),
        _mean(
            "pairs",
            "The rank correlation of the candidates' scores on two single images is below 0.32.",
            number("spearman_pairs"),
            0.32,
            "normal scores of one shared ranking have rank correlation .32",
            "<",
        ),
        _mean(
            "density",
            "Starts whose final samples are more probable score better: rank correlation above 0.2.",
            number("density_agrees"),
            0.2,
            f"{_PAPER}: the optimal start maximizes p(h(x_T, y) | y)",
            ">",
        ),
        _mean(
            "other-damages",
            "Under degradations not used in the search, the searched start is no worse than a random one.",
            of(lambda run: (run.elsewhere.sel(start="searched") / run.elsewhere.sel(start="random")).max()),
            1.0,
            f"{_PAPER}: the start transfers to other degradations",
            "<=",
        ),
        *(
            Claim(
                f"best-of-{k}-in-{d}",
                f"The best of {k} starts in {d} dimensions keeps {value:g} of the excess error.",
                Measure(lambda runs, k=k, d=d: float(theory.best_of(k, d))),
                value,
                "minimum of K chi-squares",
                "==",
                0.0006,
            )
            for (d, k), value in _BEST.items()
        ),
    ),
)

_TABLE = "tables of LPIPS and PSNR"
_THEIRS = "super-resolution, SR3 and StableSR, few evaluations"
_OURS = "digits, 4×4 to 8×8, mixture prior, 100 candidates, 50 references, 10 steps, 80 test images"


def _perc(way: str) -> Any:
    return lambda runs: float(runs().way_score.sel(by="perc", way=way))


REPORTED = (
    Reported("Mean squared error, random start", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS, ours="random"),
    Reported(
        "Mean squared error, searched start",
        _TABLE,
        None,
        f"LPIPS; {_THEIRS}",
        _OURS,
        ours="searched",
        note="As in the paper the searched start is better than a random one and than ancestral sampling. It is not the "
        "best start: x_T = 0, which needs no search, is better (next row).",
        holds=lambda runs: bool(runs().zero < runs().searched < runs().ancestral < runs().random),
    ),
    Reported("Mean squared error, x_T = 0", ONLY_HERE, None, _THEIRS, _OURS, ours="zero"),
    Reported("Mean squared error, ancestral sampling", _TABLE, None, f"LPIPS; {_THEIRS}", _OURS, ours="ancestral"),
    Reported(
        "Perceptual stand-in, random start",
        _TABLE,
        None,
        f"LPIPS; {_THEIRS}",
        _OURS + ", chosen by mean squared error",
        ours=_perc("random"),
    ),
    Reported(
        "Perceptual stand-in, searched start",
        _TABLE,
        None,
        f"LPIPS; {_THEIRS}",
        _OURS + ", chosen by mean squared error",
        ours=_perc("searched"),
    ),
    Reported(
        "Excess kept by the best of 10 starts in 8 dimensions",
        "argument of the search",
        PREDICTED,
        "minimum of K chi-squares",
        "simulated",
        claim="best-of-10-in-8",
    ),
)

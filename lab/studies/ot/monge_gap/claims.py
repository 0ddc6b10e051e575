"""What the paper and mathematics say, and how it is measured."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim
from lab.studies.vocabulary import number, of

from .presets import LEARNED

_SEEDS = range(5)
_ALONE: dict[str, Any] = LEARNED | {"strength": 0.0}


def _below(run: Any) -> float:
    """How far the entropic gap is outside its bounds, in units of epsilon."""
    outside = np.maximum(run.low_by - run.entropic_by, run.entropic_by - run.high_by)
    return float(outside.max())


CLAIMS = (
    Claim("optimal-has-none", "The gradient of a convex function has no gap.", number("gap", angle=0.0), 0.0, "Brenier", "<=",
          1e-9),
    Claim("bounds", "With an entropy the gap is between ε log n and 2 ε log n above the exact one.", of(_below), 0.0,
          "the entropy of a plan of n points is between log n and 2 log n", "<=", 1e-5),
    Claim("kl-below", "In its KL form it is at most the exact one.", of(lambda run: float((run.kl_by - run.gap).max())), 0.0,
          "the same bounds", "<=", 1e-5),
    Claim("turned-twice", "A half turn costs four times tr C, as between Gaussians.",
          number("gap_closed", {"turn": 180.0}),
          number("gap_closed", {"turn": 60.0}, reduce=lambda value: 4 * float(value)), "2 (1 - cos θ) tr C", "==", 1e-8),
    Claim("constant-has-none", "A constant map has no gap, and explains nothing.",
          number("gap_of", {"rival": "constant"}), 0.0, "it is optimal to its own image", "<=", 1e-12),
    Claim("learned", "With λ = 1 the network leaves less than 5% of the variance of the map unexplained.",
          number("uvp", **LEARNED), 5.0, "independent computation: 1.7% after 600 steps", "<", quick=False, seeds=_SEEDS),
    Claim("alone", "Trained with the divergence alone, it leaves more than 30% unexplained.", number("uvp", **_ALONE), 30.0,
          "independent computation: 226%", ">", quick=False, seeds=_SEEDS),
    Claim("as-near", "The divergence from image to target is at most 30% larger without the gap.", number("fit", **_ALONE),
          1.3 * number("fit", **LEARNED), "independent computation: 0.39 and 0.37", "<=", quick=False, seeds=_SEEDS),
)

"""Checks of networks that tune themselves."""

from lab.studies.contract import Claim
from lab.studies.vocabulary import number

CHECKS = (
    Claim(
        "silent",
        "Weights that do not respond leave hyperparameters where they are.",
        number("lam_spread", responds=False, tuned=False),
        8.0,
        "no slope through the response",
        "==",
        1e-9,
    ),
)

"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Reported

_GAUSS = "Gaussians with a perturbed velocity"

REPORTED = (
    Reported("KL of the SDE over its bound", "Theorem 2.23", PREDICTED, "theorem", _GAUSS, claim="bound"),
    Reported("KL against half of that bound", "Theorem 2.23 as often quoted", PREDICTED, "half squares and half constants",
             "velocity off by 0.3, score by 0.6, ε = 0.5", claim="bound-quoted",
             note="The divergence exceeds this value: the constants belong to whole squares."),
    Reported("Noise level ε of the lowest bound", "Theorem 2.23", PREDICTED, "root of the ratio of both errors", _GAUSS,
             claim="best-noise"),
    Reported("Latent strength a of the Schrödinger bridge", "section on bridges", PREDICTED, "closed form",
             "N(0, 1) to N(2, 1/4), ε = 0.3", claim="bridge"),
    Reported("Maximum number of modes on the way from 2 to 3, no latent noise", "section 3.2", PREDICTED, "products of modes",
             "two modes to three on a line", claim="spurious-modes"),
    Reported("KL of ODE and SDE in 128 dimensions", "Gaussian-mixture study", None, "trained networks; values in figures only",
             "not shipped", note="A claim of the lab measures it (minutes): lab verify stochastic-interpolants."),
    Reported("W₂² of the SDE", ONLY_HERE, None, "2-D checkerboard, qualitative",
             "two modes to three on a line, 500 particles",
             ours="w2sq"),
    Reported("W₂² of two samples of the data", ONLY_HERE, None, "floor of the measure", "the same", ours="w2sq_floor"),
)

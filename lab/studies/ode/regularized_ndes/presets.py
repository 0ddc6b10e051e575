"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

DIGITS: dict[str, Any] = {"system": "classifier"}
VANILLA: dict[str, Any] = DIGITS | {"term": "vanilla"}
STIFF: dict[str, Any] = {"system": "relaxation", "mu": 200.0, "length": 10.0}
RING: dict[str, Any] = DIGITS | {"data": "disc-in-ring", "train_steps": 600}
NOISE: dict[str, Any] = {"system": "neural SDE", "tolerance": 3e-3, "learning_rate": 0.01, "units": 50, "train_steps": 250}
NOISE_ER: dict[str, Any] = NOISE | {"term": "ER", "strength": 0.05, "how": "sum"}

PRESETS = (
    Preset("jumps", "Slow stretches and jumps", "Van der Pol: long steps between jumps that take many.", {}),
    Preset("stiff", "As stiff as it says", "Solutions fall onto cos t at the rate μ: S is μ, and steps lie on the dashed line.",
           STIFF),
    Preset("stiff-loose", "The same at a loose tolerance", "A thousand times looser, and hardly less work: stability decides.",
           STIFF | {"tolerance": 1e-3}),
    Preset("spiral", "The cubic spiral", "Of the first neural differential equations: smooth, no stiffness, errors decide.",
           {"system": "spiral", "mu": 2.0}),
    Preset("brusselator", "A chemical clock", "The Brusselator swings; its jumps are where crosses are.",
           {"system": "brusselator", "mu": 3.0}),
    Preset("memory", "A controller with memory", "By the error before too: fewer rejected steps along the edge.",
           STIFF | {"controller": "with memory"}),
    Preset("digits", "Digits, cheap to solve (table 1, in small)", "The error of the solver as a term of the loss: half of the "
           "evaluations at equal answers.", DIGITS),
    Preset("digits-vanilla", "Digits without a term", "What is trained without a word about the solver.", VANILLA),
    Preset("digits-strong", "Too strong a term", "The field is all but 0; work rises again.", DIGITS | {"strength": 10.0}),
    Preset("digits-stiffness", "Digits, by stiffness", "The other heuristic: R_S falls, evaluations hardly.",
           DIGITS | {"term": "SR"}),
    Preset("digits-local", "One random step", "The follow-up's term: the error of one step, drawn by its length.",
           DIGITS | {"term": "local"}),
    Preset("digits-taylor", "Second derivatives instead (TayNODE)", "What higher derivatives buy, at their price in training.",
           DIGITS | {"term": "Tay2"}),
    Preset("digits-steer", "Random ends (STEER)", "Training ends between 1/2 and 3/2.", DIGITS | {"term": "STEER"}),
    Preset("ring", "A disc in a ring", "In the plane no flow can pull them apart: watch it try.", RING | {"term": "vanilla"}),
    Preset("spiral-noise", "The spiral with noise",
           "1000 paths as one state; a step that is rejected is tried again on the same paths.",
           {"system": "spiral SDE", "tolerance": 1e-3}),
    Preset("noise", "An equation that learns the spiral (table 3)", "Drift and diffusion from means and variances, with the "
           "error of the solver in the loss.", NOISE_ER),
    Preset("noise-vanilla", "The same without a term", "More work for paths of the same moments.",
           NOISE | {"term": "vanilla"}),
)

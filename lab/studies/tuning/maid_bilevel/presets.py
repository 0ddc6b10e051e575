"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

from .variables import DIGITS, EXPERTS, QUADRATIC

PAPER: dict[str, Any] = {"problem": QUADRATIC, "seed": 29, "steps": 200, "budget": 20_000}
CERTIFIED: dict[str, Any] = {"known": "bounds"}
FIXED: dict[str, Any] = {"rule": "fixed accuracy"}
CLASSIFY: dict[str, Any] = {
    "problem": DIGITS, "data": "digit-images", "steps": 40, "budget": 20_000, "alpha0": 1.0, "compare": False,
}
FILTERS: dict[str, Any] = {"problem": EXPERTS, "steps": 30, "budget": 1000, "images": 1, "compare": False, "alpha0": 0.01}

PRESETS = (
    Preset("denoise", "Two photographs", "Weight and smoothing of total variation, from any first accuracy.", {}),
    Preset("certified", "Certified steps", "All constants are bounds: each step lowers the true loss for certain.", CERTIFIED),
    Preset("paper", "The quadratic of the paper", "All is known in closed form; fixed accuracies fan out.", PAPER),
    Preset("decay", "A decay for each pixel", "Regression of digits learns which pixels to leave out.", CLASSIFY),
    Preset("filters", "Learned filters", "A field of experts learns what is unlike noise.", FILTERS),
    Preset("fixed", "An accuracy that stays", "No step can be certified: it ends at once.", FIXED),
)

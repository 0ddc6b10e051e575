"""MAID (Salehi, Mukherjee, Roberts, Ehrhardt, 2023) as a study: hyperparameters by gradient, at adaptive accuracy."""

from collections.abc import Mapping
from typing import Any, ClassVar

import xarray as xr

from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.studies.contract import Choice, DataSource, Live, Paper, Real, Study, Switch, Whole
from lab.studies.vocabulary import positive, size
from lab.tuning import survey

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIGITS, DIMS, EXPERTS, IMAGES, PROBLEMS, RESULTS, RULES, TV

_SEES = {"problem": IMAGES}
_CLASSIFIES = {"problem": (DIGITS,)}
_MOST = 1 << 16  # pixels that are denoised at once


class MaidBilevel(Study):
    """Descent on the loss of a minimiser that is never known exactly, with certified steps, from any first accuracy."""

    slug = "maid-bilevel"
    title = "Bilevel learning at adaptive accuracy"
    field = "Tuning"
    paper = Paper(
        "Salehi, Mukherjee, Roberts, Ehrhardt",
        "An adaptively inexact first-order method for bilevel optimization with application to hyperparameter learning",
        "SIAM J. Math. Data Sci.", 2025, "https://arxiv.org/abs/2308.10098",
    )
    text = "maid_bilevel.md"
    kind = "images"
    data_options = ("seed", "pixels")

    data = DataSource(
        "photograph-squares", doc="images to learn to denoise, or, with classes, to classify: a named set, or yours"
    )
    problem = Choice(
        list(PROBLEMS),
        doc="the lower problem: denoising by total variation or by learned filters, regression with learned decays, or "
        "the quadratic of the paper, of which all is known",
    )
    rule = Choice(
        list(RULES), label="accuracies",
        doc="how the accuracy of each step is chosen: by MAID; as at first; or by a schedule of HOAG, which has its own steps",
    )
    eps0 = positive(0.1, (1e-5, 10), bounds=(1e-10, 1e3), label="first accuracy", symbol="ε₀", unit="",
                    doc="of the lower solve; in units of its unknowns, and of the linear solve")
    alpha0 = positive(0.1, (1e-3, 10), bounds=(1e-8, 1e4), label="first step", symbol="α₀",
                      doc="step length that is tried first")
    noise = positive(0.1, (0.02, 0.4), bounds=(1e-3, 2), label="noise", symbol="σ", when=_SEES,
                     doc="standard deviation; images are from 0 to 1")
    start = Real(0.0, bounds=(-6, 6), soft=(-3, 3), label="start",
                 doc="added to the hyperparameters, which are logarithms, at which it begins")
    images = Whole(2, bounds=(1, 64), soft=(1, 8), traced=False, label="images", when=_SEES, doc="that are learned from")
    pixels = Choice(["48", "64", "96"], label="pixels", when=_SEES, doc="a side, of squares of photographs")
    share = Choice(["feature", "weight", "all"], label="decay for each", when=_CLASSIFIES,
                   doc="what has a decay of its own: a pixel, a weight, or one for all")
    filters = size(6, (1, 64), (2, 24), label="filters", when={"problem": (EXPERTS,)}, doc="of 5 x 5 pixels")
    known = Choice(["estimated", "bounds"], label="constants", when={"problem": (TV, DIGITS)},
                   doc="Lipschitz constants of Hessian and J: secants along the iterates, or bounds, which certify all steps")
    budget = Whole(2000, bounds=(10, 10_000_000), soft=(200, 20_000), scale="log", label="budget",
                   doc="lower gradients and products with the Hessian of each run")
    steps = Whole(60, bounds=(1, 2000), soft=(10, 200), traced=False, label="most steps", group="more", doc="of each run")
    compare = Switch(True, label="compare", group="more",
                     doc="MAID and fixed accuracies from five first accuracies, and HOAG with three schedules, beside it")
    eta = Real(0.9, bounds=(0.01, 0.99), label="share of the slope", symbol="η", group="more",
               doc="a slope is used where the bound of its error is below 1 - η of its length")
    lam = Real(0.1, bounds=(1e-4, 0.99), label="decrease", symbol="λ/η", group="more",
               doc="share of η α ‖z‖² by which a step must lower the loss")
    rho = Real(0.5, bounds=(0.05, 0.95), label="backtracking", symbol="ρ", group="more",
               doc="factor of a step length that failed")
    nu = Real(0.5, bounds=(0.05, 0.95), label="tightening", symbol="ν", group="more",
              doc="factor of accuracies at a failed test")
    nu_up = Real(1.05, bounds=(1, 2), label="loosening", symbol="ν̄", group="more", doc="factor of accuracies after a step")

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    ends: ClassVar = {
        Reason.MAX_ITERATIONS: "It took the most steps that it may: raise the most steps, or lower the budget.",
        Reason.STALLED: "It ended before its budget was spent.",
    }
    live = (Live("loss", {"loss": "loss"}), Live("accuracy", {"asked for": "eps", "reached": "reached"}))
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> variables.Inputs:
        """Greys to learn from and held out, and their classes."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """Images that are large enough and not too many; classes where rows are classified."""
        super().check(data)
        pixels = data.arrays["pixels"]
        h, w = pixels.shape[2:]
        if self.problem == DIGITS and "classes" not in data.arrays:
            raise ValueError(f"{data.name} has no classes, but multinomial regression needs them: choose data=digit-images")
        if self.problem == DIGITS and h != w:
            raise ValueError(f"{data.name} has images of {h} x {w} pixels, but squares are needed: cut them")
        if self.problem in IMAGES and (self.images * h * w > _MOST or min(h, w) < 8):
            raise ValueError(
                f"images = {self.images} of {h} x {w} pixels is not allowed: at least 8 pixels a side and at most {_MOST:,} in "
                "all are denoised; take fewer or smaller images"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """The descent, and those beside it."""
        return variables.run(inputs, p, loop)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of runs and axes, and places in the plane."""
        two = p.problem == TV
        axes = ["log weight", "log smoothing"] if two else ["first direction", "second direction"]
        found: dict[str, Any] = {"which": axes}
        if "run_last" in output:
            found["run"] = survey.names()
        return found

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Why it stalled; a bound that did not hold."""
        ending = int(result.ending)
        if ending > 2:
            return f"It ended since {variables.ENDINGS[ending]}."
        if int(result.violations) > 0:
            return f"At {int(result.violations)} steps the error is above its bound: estimated constants are too small there."
        return ""

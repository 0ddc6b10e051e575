"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import xarray as xr

from lab.datasets import Data
from lab.numerics import Reason
from lab.studies.contract import Choice, DataSource, Live, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.tuning import descents
from lab.studies.vocabulary import positive, size

from .claims import CERTIFIED, CLAIMS, CLASSIFY, FILTERS, FIXED, PAPER, REPORTED
from .experiment import DIGITS, ENDINGS, EXPERTS, IMAGES, PROBLEMS, RULES, TV, Inputs, compute, inputs_of
from .pictures import PICTURES
from .story import STORY

_OF_IMAGES, _OF_DIGITS = {"problem": IMAGES}, {"problem": (DIGITS,)}
_MOST = 1 << 16  # pixels in a run
_factor = partial(Real, group="more")


class MaidBilevel(Study):
    """Descent on the loss of an inexact minimizer, with certified steps, from any initial accuracy."""

    slug = "maid-bilevel"
    title = "Bilevel learning at adaptive accuracy"
    field = "Tuning"
    paper = Paper(
        "Salehi, Mukherjee, Roberts, Ehrhardt",
        "An adaptively inexact first-order method for bilevel optimization with application to hyperparameter learning",
        "SIAM J. Math. Data Sci.",
        2025,
        "https://arxiv.org/abs/2308.10098",
    )
    text = "maid_bilevel.md"
    kind = "images"
    data_options = ("seed", "pixels")

    data = DataSource("photograph-squares", doc="images to denoise, or with classes to classify: a named set, or yours")
    problem = Choice(
        list(PROBLEMS),
        doc="lower problem: denoising by total variation or learned filters, regression with decays, or a known quadratic",
    )
    rule = Choice(
        list(RULES),
        label="accuracies",
        doc="accuracy of each step: chosen by MAID, fixed, or a schedule of HOAG, which has its own steps",
    )
    eps0 = positive(
        0.1, (1e-5, 10), bounds=(1e-10, 1e3), label="initial accuracy", symbol="ε₀", doc="of lower and linear solves"
    )
    alpha0 = positive(
        0.1, (1e-3, 10), bounds=(1e-8, 1e4), label="initial step", symbol="α₀", doc="first step length that is tried"
    )
    noise = positive(
        0.1, (0.02, 0.4), bounds=(1e-3, 2), label="noise", symbol="σ", when=_OF_IMAGES, doc="standard deviation"
    )
    start = Real(
        0.0, bounds=(-6, 6), soft=(-3, 3), label="start", doc="shift of the initial hyperparameters, in logarithms"
    )
    images = Whole(
        2, bounds=(1, 64), soft=(1, 8), traced=False, label="images", when=_OF_IMAGES, doc="number of training images"
    )
    pixels = Choice(["48", "64", "96"], label="pixels", when=_OF_IMAGES, doc="side length of squares of photographs")
    share = Choice(
        ["feature", "weight", "all"], label="decay for each", when=_OF_DIGITS, doc="pixel, weight, or all together"
    )
    filters = size(
        6, (1, 64), (2, 24), label="filters", when={"problem": (EXPERTS,)}, doc="number of filters of 5 x 5 pixels"
    )
    known = Choice(
        ["estimated", "bounds"],
        label="constants",
        when={"problem": (TV, DIGITS)},
        doc="Lipschitz constants of Hessian and J: secants along the iterates, or bounds, which certify all steps",
    )
    budget = Whole(
        2000,
        bounds=(10, 10_000_000),
        soft=(200, 20_000),
        scale="log",
        label="budget",
        doc="lower gradients and products with the Hessian in each run",
    )
    steps = Whole(
        60, bounds=(1, 2000), soft=(10, 200), traced=False, label="maximum steps", group="more", doc="in each run"
    )
    compare = Switch(
        True, label="compare", group="more", doc="on: also run MAID and fixed accuracies from five accuracies, and HOAG"
    )
    eta = _factor(
        0.9, bounds=(0.01, 0.99), label="gradient condition", symbol="η", doc="error bound at most 1 - η of the norm"
    )
    lam = _factor(
        0.1,
        bounds=(1e-4, 0.99),
        label="decrease",
        symbol="λ/η",
        doc="fraction of η α ‖z‖² by which a step must decrease the loss",
    )
    rho = _factor(0.5, bounds=(0.05, 0.95), label="backtracking", symbol="ρ", doc="factor of a rejected step length")
    nu = _factor(0.5, bounds=(0.05, 0.95), label="tightening", symbol="ν", doc="factor of accuracies at a failed test")
    nu_up = _factor(1.05, bounds=(1, 2), label="loosening", symbol="ν̄", doc="factor of accuracies after a step")

    dims: ClassVar = {
        **dict.fromkeys(("iteration", "stage", "frame", "place"), ("step", "")),
        "picture": ("image", ""),
        "y": ("row", ""),
        "x": ("column", ""),
        "which": ("axis", ""),
        "u": ("first axis", ""),
        "v": ("second axis", ""),
    }
    ends: ClassVar = {
        Reason.MAX_ITERATIONS: "It took the maximum number of steps: increase it, or lower the budget.",
        Reason.STALLED: "It ended before its budget was spent.",
    }
    live = (Live("loss", {"loss": "loss"}), Live("accuracy", {"requested": "eps", "reached": "reached"}))
    presets = (
        Preset(
            "certified", "Certified steps", "All constants are bounds: each step decreases the true loss.", CERTIFIED
        ),
        Preset(
            "paper",
            "The quadratic of the paper",
            "The optimum is known; fixed accuracies end at different losses.",
            PAPER,
        ),
        Preset("decay", "A decay for each pixel", "Regression of digits learns which pixels to ignore.", CLASSIFY),
        Preset("filters", "Field of experts", "The denoiser learns its filters.", FILTERS),
        Preset("fixed", "A fixed accuracy", "No step can be certified: the descent ends at once.", FIXED),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Gray values for training and testing, and their classes."""
        return inputs_of(data)

    def check(self, data: Data) -> None:
        """Require classes for the regression, and images of suitable size and number for denoising."""
        super().check(data)
        pixels = data.arrays["pixels"]
        h, w = pixels.shape[2:]
        if self.problem == DIGITS and "classes" not in data.arrays:
            raise ValueError(
                f"{data.name} has no classes, but multinomial regression needs them: choose data=digit-images"
            )
        if self.problem == DIGITS and h != w:
            raise ValueError(f"{data.name} has images of {h} x {w} pixels, but squares are needed: cut them")
        if self.problem in IMAGES and (self.images * h * w > _MOST or min(h, w) < 8):
            raise ValueError(
                f"images = {self.images} of {h} x {w} pixels is not allowed: at least 8 pixels a side and at most {_MOST:,} in "
                "all are denoised; take fewer or smaller images"
            )

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of the axes and the runs."""
        axes = ["log weight", "log smoothing"] if p.problem == TV else ["first direction", "second direction"]
        return {"which": axes} | ({"run": descents.names()} if "run_last" in output else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Why it stalled; violated bounds."""
        ending, violations = int(result.ending), int(result.violations)
        if ending > 2:
            return f"It ended because {ENDINGS[ending]}."
        if violations > 0:
            return f"At {violations} steps the error exceeds its bound: the estimated constants are too small."
        return ""

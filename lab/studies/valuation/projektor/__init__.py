"""Projektor (Kang, Just, Sahu, Jia, NeurIPS 2023) as a study: how good a mixture of sources will be, from two small pilots."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.sources import KIND
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Paper, Real, Study, Whole, sweeping
from lab.studies.vocabulary import positive, size
from lab.valuation import fits, survey

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, MOST, RESULTS, SOURCES, Inputs

_ENTRIES = 4_000_000  # of the points, the most whose trainings end in a minute


def _share(default: float, which: str) -> Real:
    return Real(
        default, bounds=(0, 1), soft=(0, 1), label=f"{which} source",
        doc=f"what the {which} source counts in your mixture; the three are divided by their sum",
    )


class Projektor(Study):
    """What a data source is worth, and which mixture of three is best, without training on all of them."""

    slug = "projektor"
    title = "What a data source is worth"
    field = "Data valuation"
    paper = Paper(
        "Kang, Just, Sahu, Jia",
        "Performance Scaling via Optimal Transport: Enabling Data Selection from Partially Revealed Sources", "NeurIPS", 2023,
        "https://arxiv.org/abs/2307.02460",
    )
    text = "projektor.md"
    kind = KIND
    data_options = ("seed",)

    data = DataSource("digit-sources", doc="labelled samples of three sources, and of the data to do well on: named, or yours")
    first = _share(0.6, "first")
    second = _share(0.3, "second")
    third = _share(0.1, "third")
    n = Whole(400, bounds=(2, MOST), soft=(100, 4000), scale="log", label="size", symbol="N", unit="points",
              doc="how many points the model that is asked for would be trained on")
    n0 = Whole(100, bounds=(2, 2500), soft=(20, 1000), scale="log", label="small pilot", symbol="N₀", unit="points",
               doc="size of the smaller trainings")
    n1 = Whole(200, bounds=(3, MOST), soft=(40, 2000), scale="log", label="large pilot", symbol="N₁", unit="points",
               doc="size of the larger trainings; above N₀")
    model = Choice(
        list(fits.MODELS), label="fit",
        doc="columns: the distance alone; shares, their squares and both times the distance (the paper's); those of its "
        "notebook; and without the distance, linear or quadratic in the shares",
    )
    noise = Real(0.0, bounds=(0, 0.8), soft=(0, 0.8), label="wrong labels",
                 doc="share of the labels of one source that are wrong")
    noisy = Choice(list(SOURCES), label="of source", doc="the source whose labels are wrong")
    measure = Choice(["accuracy", "log-loss"], label="score", doc="what is predicted; a log-loss as a power of N")
    held = Choice(list(survey.SPLITS), label="held out",
                  doc="what the drawn fit is tested on: mixtures with half or more of the second source, or a random part")
    epsilon = Real(0.05, bounds=(0.01, 10), soft=(0.02, 1), scale="log", label="entropy", symbol="ε", unit="mean cost",
                   doc="strength of the entropy of the distance")
    label_weight = Real(1.0, bounds=(0, 100), soft=(0.01, 10), scale="log", label="weight of labels", symbol="λ_y",
                        doc="of the distance between labels; 0: of features alone")
    distance = Choice(["debiased", "plain"], label="distance", group="more",
                      doc="less half of the distances of both sides to themselves, or as it is, which is convex in the shares")
    metric = Choice(["gaussian", "exact", "means"], label="label metric", group="more",
                    doc="between classes: of the Gaussians that fit them, of their points (seconds more), or of their means")
    ridge = Real(0.0, bounds=(0, 1000), soft=(0, 3), label="ridge", symbol="α", group="more",
                 doc="of the standardised columns; 0: least squares")
    grid = size(10, (4, 20), (5, 12), label="steps of the grid", group="more",
                doc="of each share; 10: 66 mixtures are trained, and 45 columns of them have a test")
    reps = Whole(1, bounds=(1, 9), soft=(1, 5), label="repetitions", group="more", traced=False,
                 doc="trainings of each mixture, of which the median counts")
    steps = Whole(40, bounds=(1, 2000), soft=(20, 200), label="training steps", group="more", traced=False,
                  doc="of each logistic regression")
    penalty = positive(0.1, (1e-3, 10), label="penalty", symbol="λ", group="more",
                       doc="of the squared weights of a regression; 1/C of scikit-learn")

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The points in an order of their own."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """Pilots in order, a mixture of something, three sources, and no more than can be trained."""
        super().check(data)
        if self.n0 >= self.n1:
            raise ValueError(f"n0 = {self.n0} is not allowed with n1 = {self.n1}: the small pilot must be below the large one")
        if self.first + self.second + self.third <= 0:
            raise ValueError("first, second and third are all 0, which is no mixture: set one of them above 0")
        if (data.arrays["x"] == data.arrays["x"][0]).all():
            raise ValueError(f"all points of {data.name} are equal, so every distance is 0: bring points that differ")
        count = int(data.arrays["source"].max()) + 1
        if count != 3:
            raise ValueError(f"{data.name} has {count} sources, but mixtures of three are drawn: leave some out, or join them")
        entries, classes = data.arrays["x"].size, int(data.arrays["classes"].max()) + 1
        if entries > _ENTRIES or classes > 50:
            raise ValueError(
                f"{data.name} has {entries:,} features in all and {classes} classes, but at most {_ENTRIES:,} and 50 are "
                "trained on: take fewer samples, or fewer features of each"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train the grid, fit, select; what does not hang on the mixture is remembered."""
        return variables.run(inputs, p, loop)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names."""
        free = ("p₁", "p₂", "p₁²", "p₂²", "T", "p₁T", "p₂T", "p₁²T", "p₂²T")
        return {
            "source": list(data.axes.get("sources", ("source 1", "source 2", "source 3"))), "size": ["N₀", "N₁"],
            "split": list(survey.SPLITS), "form": list(survey.MODELS), "fit": list(fits.MODELS),
            "count": list(survey.COUNTS), "term": [f"column {i}" for i in range(len(free) + 1)],
            "which": ["yours", "p*"], "of": ["N₀", "N₁", "N"], "kind": ["measured", "fitted", "raw", "as at N₁"],
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Fits with too few mixtures, sizes too near each other, distances without precision."""
        mixtures, columns = result.sizes["mixture"], fits.count(sweeping.parameters(result)["model"], 3)
        if mixtures < columns:
            return f"{mixtures} mixtures for {columns} columns: a ridge of {fits.FEW} was used, so set more steps of the grid."
        if float(result.amplification) > 10:
            return (
                f"Errors of the pilots grow {float(result.amplification):.0f} times up to N: take N₁ further from N₀, or a "
                "smaller N."
            )
        if not np.isfinite(result.condition) or float(result.condition) > 1e6:
            return "The columns of the fit are nearly dependent: set a ridge, or take a fit of fewer columns."
        return ""


"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.sources import KIND
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Study, Whole, sweeping
from lab.studies.valuation import pilots
from lab.studies.vocabulary import positive, size
from lab.valuation import fits

from .claims import CLAIMS, REPORTED
from .experiment import MOST, SOURCES, Inputs, compute
from .pictures import PICTURES
from .story import STORY

_ENTRIES = 4_000_000  # features of all points together, up to which the trainings take a minute at most
_CLASSES = 50


def _weight(default: float, which: str) -> Real:
    doc = f"mixture weight of the {which} source; the three weights are divided by their sum"
    return Real(default, bounds=(0, 1), soft=(0, 1), label=f"{which} source", doc=doc)


_points = partial(Whole, scale="log", unit="points")
_log = partial(Real, scale="log")
_more = partial(Choice, group="more")
_static = partial(Whole, group="more", traced=False)


class Projektor(Study):
    """Predict the score of a mixture of three data sources, and select a mixture, from trainings at two pilot sizes."""

    slug = "projektor"
    title = "What a data source is worth"
    field = "Data valuation"
    paper = Paper(
        "Kang, Just, Sahu, Jia",
        "Performance Scaling via Optimal Transport: Enabling Data Selection from Partially Revealed Sources",
        "NeurIPS",
        2023,
        "https://arxiv.org/abs/2307.02460",
    )
    text = "projektor.md"
    kind = KIND
    data_options = ("seed",)

    data = DataSource(
        "digit-sources", doc="a named data set, or yours: labeled samples of three sources and a validation set"
    )
    first = _weight(0.6, "first")
    second = _weight(0.3, "second")
    third = _weight(0.1, "third")
    n = _points(400, bounds=(2, MOST), soft=(100, 4000), label="size", symbol="N", doc="training points to predict for")
    n0 = _points(100, bounds=(2, 2500), soft=(20, 1000), label="small pilot", symbol="N₀", doc="points per training")
    n1 = _points(200, bounds=(3, MOST), soft=(40, 2000), label="large pilot", symbol="N₁", doc="points per training")
    model = Choice(
        list(fits.MODELS), label="fit", doc="columns: distance; the paper's ten; its notebook's; or weights alone"
    )
    noise = Real(0.0, bounds=(0, 0.8), soft=(0, 0.8), label="label noise", doc="fraction of wrong labels in one source")
    noisy = Choice(list(SOURCES), label="noisy source", doc="the source with wrong labels")
    measure = Choice(["accuracy", "log-loss"], label="score", doc="the predicted score; log-loss is a power of N")
    held = Choice(list(pilots.SPLITS), label="test mixtures", doc="at least half of source 2, or a random part")
    epsilon = _log(
        0.05, bounds=(0.01, 10), soft=(0.02, 1), label="entropy", symbol="ε", unit="mean cost", doc="of the distance"
    )
    label_weight = _log(1.0, bounds=(0, 100), soft=(0.01, 10), label="label weight", symbol="λ_y", doc="in the cost")
    distance = _more(["debiased", "plain"], label="distance", doc="debiased: less half of both self-distances")
    metric = _more(["gaussian", "exact", "means"], label="label metric", doc="between class Gaussians, points or means")
    ridge = Real(0.0, bounds=(0, 1000), soft=(0, 3), label="ridge", symbol="α", group="more", doc="0: least squares")
    grid = size(10, (4, 20), (5, 12), label="grid steps", group="more", doc="per weight; 10 steps give 66 mixtures")
    reps = _static(1, bounds=(1, 9), soft=(1, 5), label="repetitions", doc="trainings per mixture; the median counts")
    steps = _static(40, bounds=(1, 2000), soft=(20, 200), label="training steps", doc="of each logistic regression")
    penalty = positive(
        0.1, (1e-3, 10), label="penalty", symbol="λ", group="more", doc="on squared weights; 1/C in sklearn"
    )

    dims: ClassVar = {
        "rep": ("repetition", ""),
        "form": ("fit", ""),
        "term": ("column", ""),
        "sample": ("pilot point", ""),
        "which": ("mixture", ""),
        "of": ("size", ""),
        "tested": ("mixture", ""),
    }
    presets = (
        Preset(
            "columns", "The paper's ten columns", "PQ-OT interpolates but does not extrapolate.", {"model": "PQ-OT"}
        ),
        Preset(
            "quadratic", "A quadratic fit", "Without the distance, fits do not extrapolate.", {"model": "quadratic"}
        ),
        Preset(
            "sheet",
            "Larger pilots",
            "Each score is a median over three trainings.",
            {"n0": 200, "n1": 400, "n": 2000, "reps": 3},
        ),
        Preset("loss", "Log-loss", "The log-loss is projected as a power of N.", {"measure": "log-loss"}),
        Preset("mnist", "MNIST", "Takes some minutes.", {"data": "mnist-sources", "n0": 200, "n1": 600, "n": 2500}),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Points in random order, with the features that distances are measured in."""
        arrays = data.arrays
        sources = pilots.sources(arrays["x"], arrays["classes"], arrays["source"])
        return Inputs(sources, data.sha256, int(arrays["classes"].max()) + 1)

    def check(self, data: Data) -> None:
        """Require ordered pilots, a mixture, three sources, and data small enough to train on."""
        super().check(data)
        if self.n0 >= self.n1:
            raise ValueError(
                f"n0 = {self.n0} is not allowed with n1 = {self.n1}: the small pilot must be below the large one"
            )
        if self.first + self.second + self.third <= 0:
            raise ValueError("first, second and third are all 0: at least one mixture weight must be positive")
        if (data.arrays["x"] == data.arrays["x"][0]).all():
            raise ValueError(
                f"all points of {data.name} are equal, so every distance is 0: use data with distinct points"
            )
        count = int(data.arrays["source"].max()) + 1
        if count != 3:
            raise ValueError(f"{data.name} has {count} sources, but three are needed: leave some out, or merge them")
        entries, classes = data.arrays["x"].size, int(data.arrays["classes"].max()) + 1
        if entries > _ENTRIES or classes > _CLASSES:
            raise ValueError(
                f"{data.name} has {entries:,} feature values and {classes} classes, but at most {_ENTRIES:,} and {_CLASSES} "
                "are supported: use fewer samples, features or classes"
            )

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of sources, fits, sizes and kinds of prediction."""
        return {
            "source": list(data.axes.get("sources", ("source 1", "source 2", "source 3"))),
            "size": ["N₀", "N₁"],
            "split": list(pilots.SPLITS),
            "form": list(pilots.MODELS),
            "fit": list(fits.MODELS),
            "term": [f"column {i}" for i in range(10)],
            "which": ["yours", "p*"],
            "of": ["N₀", "N₁", "N"],
            "kind": ["measured", "fitted", "raw", "as at N₁"],
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of too few mixtures, pilots of similar size, and dependent columns."""
        mixtures, columns = result.sizes["mixture"], fits.count(sweeping.parameters(result)["model"], 3)
        if mixtures < columns:
            return f"{mixtures} mixtures for {columns} columns: a ridge of {fits.FEW} was used. Set more grid steps."
        if (growth := float(result.amplification)) > 10:
            return f"Errors of the pilots grow {growth:.0f} times up to N: move N₁ away from N₀, or set a smaller N."
        if not np.isfinite(result.condition) or float(result.condition) > 1e6:
            return "The columns of the fit are nearly dependent: set a ridge, or choose a fit with fewer columns."
        return ""

"""Self-tuning networks (MacKay, Vicol, Lorraine, Duvenaud, Grosse, ICLR 2019) as a study: one training that tunes itself."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Live, Paper, Real, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import COMPARED, CONVOLUTION, DIMS, PERCEPTRON, PROBLEMS, RESULTS, RIDGE

_OF_RIDGE = {"problem": (RIDGE,)}
_OF_NETWORKS = {"problem": (PERCEPTRON, CONVOLUTION)}


class SelfTuningNetworks(Study):
    """Weights as a function of the hyperparameters, which descend the validation loss through it while one trains."""

    slug = "self-tuning-networks"
    title = "Self-tuning networks"
    field = "Tuning"
    paper = Paper(
        "MacKay, Vicol, Lorraine, Duvenaud, Grosse",
        "Self-Tuning Networks: Bilevel Optimization of Hyperparameters using Structured Best-Response Functions", "ICLR", 2019,
        "https://arxiv.org/abs/1903.03088",
    )
    text = "self_tuning_networks.md"
    kind = "labelled"
    data_options = ("seed",)

    data = DataSource("digit-classes", doc="samples with classes, for networks: a named set, or yours")
    problem = Choice(
        list(PROBLEMS),
        doc="what is trained: weights with a penalty, of which all is known; or a classifier with rates of dropout, or with "
        "noise and squares that are cut out of images",
    )
    lowest = Real(-6.0, bounds=(-30, 30), soft=(-8, 4), label="lowest start", symbol="λ_min", doc="of all hyperparameters, "
                  "without bounds: the logarithm of a penalty, the logit of a rate")
    highest = Real(2.0, bounds=(-30, 30), soft=(-8, 4), label="highest start", symbol="λ_max", doc="starts are even up to it")
    starts = Whole(4, bounds=(1, 32), soft=(1, 8), label="starts", traced=False, doc="trained side by side, on the same draws")
    sigma = positive(0.5, (1e-3, 3), label="scale", symbol="σ", doc="of the perturbation of hyperparameters, at first")
    tuned = Switch(True, label="scales are tuned", doc="by validation, with the entropy; otherwise they stay")
    entropy = Real(1e-3, bounds=(0, None), soft=(1e-5, 1), scale="log", label="weight of entropy", symbol="τ",
                   when={"tuned": (True,)}, doc="keeps scales from vanishing")
    hyper_rate = positive(0.01, (1e-4, 0.3), label="rate of tuning", doc="of Adam, for hyperparameters and scales")
    learning_rate = positive(0.01, (1e-4, 0.3), label="learning rate",
                             doc="of the weights, by Adam (ridge) or momentum 0.9 (networks, for which 0.05 is usual)")
    cycles = size(1500, (150, 100_000), (300, 6000), label="cycles", doc="each some steps of training, then of tuning")
    responds = Switch(True, label="weights respond", doc="off: they do not hang on hyperparameters, which then have no slope")
    compare = Choice(list(COMPARED), label="beside it", doc="what is trained for as long: hyperparameters that are held, drawn "
                     "or on a grid, or follow a schedule")
    warmup = Whole(100, bounds=(0, None), soft=(0, 500), label="warm-up", group="more", doc="cycles in which nothing is tuned")
    trains = Whole(2, bounds=(1, 50), soft=(1, 8), label="steps of training", traced=False, group="more", doc="in each cycle")
    validates = Whole(1, bounds=(1, 50), soft=(1, 8), label="steps of tuning", traced=False, group="more", doc="in each cycle")
    centred = Switch(False, label="centred response", group="more", doc="weights are a function of the perturbation alone")
    shared = Switch(False, label="one for a batch", group="more", doc="one perturbation for all examples of a batch")
    rows = size(30, (2, 10_000), (10, 200), label="rows", group="more", when=_OF_RIDGE,
                doc="to train on, and as many to validate on, of 20 features")
    noise = positive(1.0, (0.1, 5), label="noise", group="more", when=_OF_RIDGE, doc="of the target")
    groups = Whole(1, bounds=(1, 2), label="groups", group="more", traced=False, when=_OF_RIDGE,
                   doc="of weights, each with a strength")
    units = size(128, (4, 1024), (16, 256), label="units", group="more", when=_OF_NETWORKS, doc="of each hidden layer")
    batch = size(64, (1, 10_000), (16, 256), label="batch", group="more", when=_OF_NETWORKS, doc="samples of a step")
    decays = Switch(False, label="decay too", group="more", when={"problem": (PERCEPTRON,)},
                    doc="tune the decay of weights beside the rates of dropout")

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    live = (Live("validation loss", {"best start": "loss"}),)
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Samples to train, to validate and to test on."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """Starts out of order, and images that are none."""
        super().check(data)
        if self.lowest > self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is above highest = {self.highest:g}: exchange them")
        features = np.shape(data.arrays["x"])[1]
        if self.problem == CONVOLUTION and round(features**0.5) ** 2 != features:
            raise ValueError(
                f"problem = {self.problem} needs square images, and these samples have {features} features: choose the "
                "perceptron, or images"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train and tune from each start, and what is asked for beside it."""
        return variables.run(inputs, p, loop)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Cycles, starts and names."""
        return variables.coords(p)

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Starts that were lost, and starts that did not come together."""
        lost = int((~np.isfinite(result.train_loss.values[-1])).sum())
        if lost and result.attrs.get("reason") != "stopped":
            return f"{lost} of the starts diverged: lower the learning rate, or start from other λ."
        if float(result.lam_spread) > 1 and float(result.val_worst) > 1.02 * float(result.val):
            return (
                "The starts did not come together: the schedule is not known. More cycles, more entropy or a larger scale "
                "may help."
            )
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.host import placed
from lab.studies.contract import Choice, DataSource, Live, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.tuning import tuned_networks
from lab.studies.vocabulary import positive, size

from . import experiment as of
from .claims import CLAIMS, DIGITS, REPORTED, TWO
from .experiment import COMPARED, CONVOLUTION, GRID, PERCEPTRON, PROBLEMS, RANDOM, RIDGE, SCHEDULES, compute
from .pictures import PICTURES
from .story import STORY

_OF_RIDGE = {"problem": (RIDGE,)}
_OF_NETWORKS = {"problem": (PERCEPTRON, CONVOLUTION)}
_start = partial(Real, bounds=(-30, 30), soft=(-8, 4))
_steps = partial(Whole, bounds=(1, 50), soft=(1, 8), traced=False, group="more")
_CUT: dict[str, Any] = DIGITS | {"problem": CONVOLUTION, "units": 64, "highest": 0.0, "starts": 2}


class SelfTuningNetworks(Study):
    """Weights as a function of hyperparameters, which are tuned through this function during training."""

    slug = "self-tuning-networks"
    title = "Self-tuning networks"
    field = "Tuning"
    paper = Paper(
        "MacKay, Vicol, Lorraine, Duvenaud, Grosse",
        "Self-Tuning Networks: Bilevel Optimization of Hyperparameters using Structured Best-Response Functions",
        "ICLR",
        2019,
        "https://arxiv.org/abs/1903.03088",
    )
    text = "self_tuning_networks.md"
    kind = "labelled"
    data_options = ("seed",)

    data = DataSource("digit-classes", doc="samples with classes, for networks: named, or yours")
    problem = Choice(
        list(PROBLEMS),
        doc="ridge regression with known optimum; or a classifier with dropout, or with noise and cut-outs",
    )
    lowest = _start(-6.0, label="lowest start", symbol="λ_min", doc="lowest start: log of a penalty, logit of a rate")
    highest = _start(2.0, label="highest start", symbol="λ_max", doc="highest start")
    starts = Whole(4, bounds=(1, 32), soft=(1, 8), label="starts", traced=False, doc="number of trainings")
    sigma = positive(0.5, (1e-3, 3), label="scale", symbol="σ", doc="initial scale of the perturbation")
    tuned = Switch(True, label="scales are tuned", doc="tune scales by validation, with the entropy")
    entropy = Real(
        1e-3,
        bounds=(0, None),
        soft=(1e-5, 1),
        scale="log",
        label="weight of entropy",
        symbol="τ",
        when={"tuned": (True,)},
        doc="weight of the entropy, which prevents vanishing scales",
    )
    hyper_rate = positive(0.01, (1e-4, 0.3), label="rate of tuning", doc="learning rate of hyperparameters and scales")
    learning_rate = positive(
        0.01, (1e-4, 0.3), label="learning rate", doc="of Adam (ridge) or momentum 0.9 (networks: 0.05 is usual)"
    )
    cycles = size(
        1500, (150, 100_000), (300, 6000), label="cycles", doc="number of cycles: training steps, then tuning steps"
    )
    responds = Switch(True, label="weights respond", doc="off: weights do not depend on hyperparameters")
    compare = Choice(
        list(COMPARED),
        label="compared with",
        doc="trainings with fixed hyperparameters, random or on a grid, or a schedule",
    )
    warmup = Whole(100, bounds=(0, None), soft=(0, 500), label="warm-up", group="more", doc="cycles without tuning")
    trains = _steps(2, label="steps of training", doc="training steps in each cycle")
    validates = _steps(1, label="steps of tuning", doc="tuning steps in each cycle")
    centred = Switch(False, label="centered response", group="more", doc="weights depend on the perturbation only")
    shared = Switch(False, label="shared perturbation", group="more", doc="one perturbation for a batch")
    rows = size(
        30,
        (2, 10_000),
        (10, 200),
        label="rows",
        group="more",
        when=_OF_RIDGE,
        doc="to train on, and as many to validate on",
    )
    noise = positive(1.0, (0.1, 5), label="noise", group="more", when=_OF_RIDGE, doc="noise of the target")
    groups = Whole(
        1,
        bounds=(1, 2),
        label="groups",
        group="more",
        traced=False,
        when=_OF_RIDGE,
        doc="of weights, each with a strength",
    )
    units = size(
        128, (4, 1024), (16, 256), label="units", group="more", when=_OF_NETWORKS, doc="units of each hidden layer"
    )
    batch = size(64, (1, 10_000), (16, 256), label="batch", group="more", when=_OF_NETWORKS, doc="samples of a step")
    decays = Switch(
        False, label="decay too", group="more", when={"problem": (PERCEPTRON,)}, doc="tune the weight decay too"
    )

    dims: ClassVar = {
        "hyper": ("hyperparameter", ""),
        "strength": ("λ", ""),
        "other": ("λ of the second group", ""),
        "rival": ("compared training", ""),
    }
    live = (Live("validation loss", {"best start": "loss"}),)
    presets = (
        Preset("two", "Two strengths", "Paths over the landscape of the validation loss, which is known.", TWO),
        Preset("digits", "Digits: three rates of dropout", "A perceptron tunes its dropout during training.", DIGITS),
        Preset(
            "digits-random", "Random search", "Ten trainings with random fixed rates.", DIGITS | {"compare": RANDOM}
        ),
        Preset("digits-grid", "Grid search", "Trainings with fixed rates on a grid.", DIGITS | {"compare": GRID}),
        Preset(
            "digits-schedules",
            "Value or schedule",
            "Fixed, perturbed, a sine, or the same schedule again (table 2).",
            DIGITS | {"compare": SCHEDULES},
        ),
        Preset("cut-out", "Squares cut out of digits", "Integer hyperparameters: length and number.", _CUT),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Samples in random order, in parts to train, validate and test; in single precision, as networks are."""
        x, classes = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["classes"])
        order = np.random.default_rng(0).permutation(len(x))
        x = (x[order] / (np.abs(x).max() or 1.0)).astype(np.float32)
        y = np.unique(classes[order], return_inverse=True)[1].astype(np.int32)
        ends = min(300, max(1, len(x) // 4)), min(800, max(2, 2 * len(x) // 3)), min(1800, len(x))
        parts = [tuned_networks.Rows(placed(x[a:b]), placed(y[a:b])) for a, b in zip((0, *ends[:-1]), ends, strict=True)]
        return {"samples": tuned_networks.Samples(*parts), "classes": int(y.max()) + 1}

    def check(self, data: Data) -> None:
        """Require ordered starts and, for convolutions, square images."""
        super().check(data)
        if self.lowest > self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is above highest = {self.highest:g}: exchange them")
        features = np.shape(data.arrays["x"])[1]
        if self.problem == CONVOLUTION and round(features**0.5) ** 2 != features:
            raise ValueError(
                f"problem = {self.problem} needs square images, and these samples have {features} features: choose the "
                "perceptron, or images"
            )

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Cycles, starts and names."""
        every = max(1, p.cycles // of.FRAMES)
        found: dict[str, Any] = {
            "cycle": every * np.arange(1, of.FRAMES + 1),
            "start": 1 + np.arange(p.starts),
            "hyper": _hypers(p),
        }
        if p.problem == RIDGE:
            found["strength"] = np.linspace(*of.SPAN, of.LINE if p.groups == 1 else 41)
            found |= {"other": found["strength"]} if p.groups > 1 else {}
        if p.compare != of.NOTHING:
            many = of.DRAWS if p.compare == RANDOM else of.SIDE ** min(2, len(found["hyper"]))
            found["rival"] = list(of.WHATS) if p.compare == SCHEDULES else 1 + np.arange(many)
        return found

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of diverged starts, and of starts that did not converge to one schedule."""
        lost = int((~np.isfinite(result.train_loss.values[-1])).sum())
        if lost and result.attrs.get("reason") != "stopped":
            return f"{lost} of the starts diverged: lower the learning rate, or start from other λ."
        if float(result.lam_spread) > 1 and float(result.val_worst) > 1.02 * float(result.val):
            return "The starts did not converge to one schedule. More cycles, more entropy or a larger scale may help."
        return ""


def _hypers(p: Any) -> list[str]:
    """Names of the tuned hyperparameters."""
    if p.problem == RIDGE:
        return [f"group {i + 1}" for i in range(p.groups)] if p.groups > 1 else ["penalty"]
    return list(of.CUTS if p.problem == CONVOLUTION else of.RATES + of.DECAYS * p.decays)

"""The study: parameters, data and presets."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, training
from lab.numerics import Loop, Reason
from lab.stability import models
from lab.stability.initial import CONVOLUTIONAL, DIAGONAL, MODELS, PERCEPTRON, TWO_LAYER, Maker
from lab.stability.moments import batch_sizes
from lab.studies.contract import Choice, DataSource, Limit, Live, Paper, Preset, Real, Run, Study, Switch, Whole
from lab.studies.stability import curvature
from lab.studies.stability.trajectories import GD, SGD, WAYS, Planned
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import Experiment, Inputs, planned_of, train
from .pictures import PICTURES
from .story import STORY

_PARAMETERS = 60_000
_WIDE = {"model": ("auto", TWO_LAYER, PERCEPTRON, CONVOLUTIONAL)}
_OF_SGD = {"optimizer": ("SGD and GD", SGD)}
_RELU: dict[str, Any] = {"data": "relu-teacher", "n": 50, "d": 20, "m": 20, "eta": 0.02, "steps": 20_000}
_RELU |= {"clip": 100.0, "lowest": 2e-3, "highest": 0.025, "rates": 4}
_DIGITS: dict[str, Any] = {"data": "digit-training", "n": 60, "model": PERCEPTRON, "m": 10, "optimizer": "GD"}
_DIGITS |= {"eta": 0.16, "clip": 1e6, "rates": 0}
_rate = partial(positive, bounds=(0, 100))


class SGDStability(Study):
    """Stochastic and plain gradient descent from the same weights: the minima they find, and why these are stable."""

    slug = "sgd-stability"
    title = "Stability of SGD"
    field = "Stability of SGD"
    paper = Paper(
        "Wu, Su",
        "The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent",
        "ICML",
        2023,
        "https://arxiv.org/abs/2305.17490",
    )
    text = "sgd_stability.md"
    kind = training.KIND
    data_options = ("n", "d", "seed")
    own: ClassVar[Maker | None] = None
    """A model of the user's own; see ``model_study``."""

    data = DataSource("sparse-regression", doc="a named training set, or your table, whose last column is the target")
    model = Choice(["auto", *MODELS], doc="auto: the model that suits the data; the convolutional network takes images")
    optimizer = Choice(["SGD and GD", SGD, GD], doc="methods to train; GD is gradient descent on all samples")
    eta = _rate(
        0.08, (1e-3, 1), label="learning rate", symbol="η", doc="of both methods; or click in a picture to set it"
    )
    B = size(
        1,
        (1, 5000),
        (1, 40),
        label="batch size",
        symbol="B",
        when=_OF_SGD,
        doc="samples per step; or click in the diagram",
    )
    sampling = Choice(
        ["replacement", "without", "reshuffle"], when=_OF_SGD, doc="of a batch; reshuffle: every sample once per epoch"
    )
    steps = size(
        4000, (40, 2_000_000), (400, 100_000), label="steps", doc="of training, rounded up to a multiple of the records"
    )
    scale = _rate(1.0, (0.1, 3), label="initial scale", symbol="α", doc="factor of the initial weights")
    m = size(
        16, (1, 1000), (2, 100), label="width", symbol="m", when=_WIDE, doc="hidden units of each layer, or channels"
    )
    n = size(40, (2, 4000), (10, 300), label="training samples", symbol="n", doc="number, of a named data set")
    d = size(100, (1, 4000), (10, 1000), label="inputs", symbol="d", doc="dimension of the synthetic sets")
    momentum = Switch(False, group="more", doc="v ← βv - η∇L, θ ← θ + v, for both methods")
    beta = Real(
        0.9,
        bounds=(0, 0.999),
        soft=(0, 0.99),
        label="momentum coefficient",
        symbol="β",
        group="more",
        when={"momentum": True},
        doc="factor of the previous step",
    )
    clip = positive(
        50.0, (1, 1000), label="gradient clipping", group="more", doc="maximum norm; small values hide instability"
    )
    rates = Whole(
        6,
        bounds=(0, 30),
        soft=(0, 12),
        label="other learning rates",
        traced=False,
        group="more",
        doc="number of learning rates trained beside η, evenly spaced on a logarithmic scale",
    )
    lowest = _rate(10**-2.4, (1e-4, 0.1), label="minimum", group="more", doc="minimum of the other learning rates")
    highest = _rate(10**-0.9, (1e-2, 10), label="maximum", group="more", doc="maximum of the other learning rates")

    dims: ClassVar = (
        {"way": ("method", ""), "rate": ("learning rate", ""), "drawn": ("batches drawn", "")}
        | {"batch": ("batch size B", ""), "eta_column": ("learning rate", ""), "side": ("layer", "")}
        | {"moment": ("step", ""), "frame": ("step", ""), "bin": ("eigenvalue", "")}
        | {"row": ("parameter", ""), "column": ("parameter", ""), "edge": ("array of parameters", "")}
    )
    live = (
        Live("loss", {way: f"loss of {way}" for way in WAYS}),
        Live("η tr / 2, and the limit of stable SGD", {way: f"half tr of {way}" for way in WAYS}, "limit of tr"),
        Live("η λmax / 2, and the limit of both", {way: f"half lmax of {way}" for way in WAYS}, "limit of lmax"),
    )
    ends: ClassVar = {Reason.NOT_FINITE: ""}  # a run that diverges is a result, which the advice explains
    presets = (
        Preset("large-batch", "Batches of 16", "The bound on the trace is far above 2 / η.", {"B": 16}),
        Preset(
            "small-weights",
            "Small initial weights",
            "Both methods find the sparse solution, because of the initial weights.",
            {"scale": 0.1},
        ),
        Preset(
            "row-diagonal",
            "A larger diagonal network",
            "300 samples and 2000 weights at one learning rate: half a minute.",
            {"n": 300, "d": 1000, "steps": 80_000, "rates": 0, "eta": 0.0316},
        ),
        Preset("relu", "Two-layer ReLU network", "Twenty hidden units learn a network of ten.", _RELU),
        Preset(
            "edge",
            "Edge of stability",
            "Gradient descent on digits: the largest eigenvalue rises to 2 / η and stays there.",
            _DIGITS,
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Samples in float64."""
        arrays = data.arrays
        tested = "x_test" in arrays
        x, y = (jnp.asarray(arrays[name], float) for name in ("x", "y"))
        x_test, y_test = (jnp.asarray(arrays[name], float) for name in ("x_test", "y_test")) if tested else (x, y)
        return Inputs(models.Data(x, y, x_test, y_test), tested, data.axes.get("model", PERCEPTRON))

    @classmethod
    def planned(cls, data: Data, p: Any) -> Planned:
        """What is trained, and when it is recorded."""
        x, y = (data.arrays[name].shape for name in ("x", "y"))
        return planned_of(x, y, data.axes.get("model", PERCEPTRON), p, cls.own)

    def check(self, data: Data) -> None:
        """Reject models that do not take these data, and models that are too large."""
        planned = self.planned(data, self)
        if planned.model in (DIAGONAL, TWO_LAYER) and planned.outputs > 1:
            raise ValueError(
                f"model = {planned.model!r} gives one number, but {data.name} has {planned.outputs} outputs: choose perceptron"
            )
        if planned.size > _PARAMETERS:
            raise ValueError(
                f"the model has {planned.size:,} parameters, but at most {_PARAMETERS:,} are allowed: reduce the width, or "
                "use lab.stability, which has no such limit"
            )
        if self.lowest > self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is above highest = {self.highest:g}: exchange them")
        super().check(data)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """A batch without replacement is no larger than the data."""
        if self.sampling == "replacement":
            return {}
        n = len(data.arrays["x"])
        return {"B": Limit(1, n, f"since there are {n} samples")}

    @classmethod
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Train at all learning rates, then analyze the final weights at the first one."""
        return train(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, batch sizes, and the recorded steps."""
        planned = cls.planned(data, p)
        frames = planned.frame_steps
        paired = {"frame": frames} if "pair" in output else {}
        return paired | {
            "way": list(WAYS),
            "drawn": ["with replacement", "without"],
            "side": ["first", "second"],
            "batch": batch_sizes(len(data.arrays["x"])),
            "step": planned.records,
            "moment": frames[list(curvature.moments(planned))],
        }

    @classmethod
    def facts(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """The model, its arrays of parameters, and the meaning of a cell of the Hessian."""
        planned = cls.planned(data, p)
        return {
            "model": str(planned.model),
            "outputs": planned.outputs,
            "samples": planned.n,
            "arrays": json.dumps([name for name, _ in planned.arrays]),
            "cells": "entries" if planned.size <= curvature.CELLS else "means",
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Runs that diverged or did not interpolate, to which thresholds do not apply."""
        if not np.isfinite(result.loss.isel(step=0)).any():
            return "The loss of the initial weights is not finite: check the model and the data."
        gone, late = [], {}
        for way in WAYS:
            loss, good = (float(result[name].sel(way=way)[0]) for name in ("final_loss", "interpolated"))
            if np.isnan(good):
                continue
            if not loss <= 10 * float(result.loss.sel(way=way)[0]):
                gone.append(way)
            elif good == 0:
                late[way] = f"{loss:.2g}"
        advice = []
        if gone:
            eta = json.loads(result.attrs["parameters"])["eta"]
            advice.append(f"{' and '.join(gone)} diverged at the learning rate η = {eta:g}: lower it.")
        if late:
            advice.append(
                f"{' and '.join(late)} did not interpolate: the training loss is {' and '.join(late.values())}, so "
                "thresholds do not apply and η tr / 2 may exceed 1. Train for more steps."
            )
        return " ".join(advice)

"""Dynamical stability of SGD (Wu and Su, 2023) as a study: which minima SGD holds, at which learning rate and batch size."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from lab.datasets import Data, training
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.stability import comparison, curvature, models, outcome
from lab.stability.comparison import GD, SGD, WAYS, Comparison, Experiment, State
from lab.stability.initial import (
    CONVOLUTIONAL,
    DIAGONAL,
    MODELS,
    PERCEPTRON,
    TWO_LAYER,
    Maker,
    as_taken,
    initial,
)
from lab.stability.moments import batch_sizes
from lab.stability.training import Settings
from lab.studies.contract import Choice, DataSource, Limit, Live, Mood, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .labelled_analysis import ANALYSIS, analyze
from .pictures import PICTURES, limits
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

__all__ = ["ANALYSIS", "SGDStability", "analyze"]

_PARAMETERS = 60_000
_MANY = "thresholds for all batch sizes need at most 64 samples times outputs, and no momentum"
_NO_PAIRS = "only the diagonal and the two-layer network have pairs of layers to compare"
_UNTESTED = "there is no test set"
_GONE = "training at this learning rate diverged"
_NO_NORM = "this model has no path norm"
_OTHER_WAY = "the other method alone was trained: choose SGD and GD"


def _below(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= limits(result)[1] else "warn"


def _holds(value: float, result: xr.Dataset) -> Mood:
    limit = limits(result)[0]
    return "" if limit == np.inf else "good" if value <= limit else "warn"


def _interpolates(way: str) -> Any:
    def judge(value: float, result: xr.Dataset) -> Mood:
        return "good" if float(result.interpolated.sel(way=way)[0]) == 1 else "warn"

    return judge


class Inputs(eqx.Module):
    """Training and test samples; without a test set that is the training set, and ``tested`` False."""

    samples: models.Data
    tested: bool = eqx.field(static=True)
    suits: str = eqx.field(static=True)  # the model that suits them


class SGDStability(Study):
    """Stochastic and plain gradient descent from the same weights: where they come to rest, and why they can stay there."""

    slug = "sgd-stability"
    title = "Stability of SGD"
    field = "Stability of SGD"
    paper = Paper(
        "Wu, Su", "The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent", "ICML", 2023,
        "https://arxiv.org/abs/2305.17490",
    )
    text = "sgd_stability.md"
    kind = training.KIND
    data_options = ("n", "d", "seed")
    own: ClassVar[Maker | None] = None
    """A model that is not among those to choose from; see ``model_study``."""

    data = DataSource("sparse-regression", doc="a named training set, or a table of yours whose last column is learnt")
    model = Choice(["auto", *MODELS], doc="auto: the one that suits the data; the convolutional network takes images")
    optimizer = Choice(["SGD and GD", SGD, GD], doc="which are trained; GD is gradient descent on all samples at once")
    eta = Real(
        0.08, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-3, 1), scale="log", label="learning rate", symbol="η",
        doc="of both; or click in a picture",
    )
    B = size(
        1, (1, 5000), (1, 40), label="batch size", symbol="B", when={"optimizer": ("SGD and GD", SGD)},
        doc="samples in a step of SGD; or click in the diagram",
    )
    sampling = Choice(
        ["replacement", "without", "reshuffle"], when={"optimizer": ("SGD and GD", SGD)},
        doc="of a batch: with replacement, without, or every sample once in an epoch",
    )
    steps = size(
        4000, (40, 2_000_000), (400, 100_000), label="steps",
        doc="of training, rounded up to whole stretches between two records",
    )
    scale = Real(
        1.0, bounds=(0, 100), inclusive_bounds=(False, True), soft=(0.1, 3), scale="log", label="initial scale", symbol="α",
        doc="factor of the initial weights",
    )
    m = size(
        16, (1, 1000), (2, 100), label="width", symbol="m",
        when={"model": ("auto", TWO_LAYER, PERCEPTRON, CONVOLUTIONAL)},
        doc="hidden units, of each of the perceptron's two hidden layers, or channels; the diagonal network has none",
    )
    n = size(
        40, (2, 4000), (10, 300), label="training samples", symbol="n",
        doc="of a named set (those of a file are taken as they are)",
    )
    d = size(100, (1, 4000), (10, 1000), label="inputs", symbol="d", doc="of the synthetic sets")
    momentum = Switch(False, group="more", doc="v ← βv - η∇L, θ ← θ + v, for both")
    beta = Real(
        0.9, bounds=(0, 0.999), soft=(0, 0.99), label="its strength", symbol="β", group="more", when={"momentum": True},
        doc="share of the last step that is kept",
    )
    clip = positive(
        50.0, (1, 1000), label="largest gradient", group="more",
        doc="a longer one is shortened; it tames the first steps, and small values hide instability",
    )
    rates = Whole(
        6, bounds=(0, 30), soft=(0, 12), label="other learning rates", traced=False, group="more",
        doc="trained beside η, evenly spaced on a logarithmic scale",
    )
    lowest = Real(
        10**-2.4, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-4, 0.1), scale="log", label="lowest of them",
        group="more", doc="the smallest of the other learning rates",
    )
    highest = Real(
        10**-0.9, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-2, 10), scale="log", label="highest of them",
        group="more", doc="the largest of the other learning rates",
    )

    dims: ClassVar = {
        "way": ("method", ""),
        "step": ("step", ""),
        "rate": ("learning rate", ""),
        "drawn": ("batches drawn", ""),
        "batch": ("batch size B", ""),
        "eta_column": ("learning rate", ""),
        "moment": ("step", ""),
        "bin": ("eigenvalue", ""),
        "row": ("parameter", ""),
        "column": ("parameter", ""),
        "edge": ("array of parameters", ""),
        "frame": ("step", ""),
        "unit": ("unit", ""),
        "side": ("layer", ""),
    }
    results = (
        Result("half_tr_sgd", (), "η tr / 2 of SGD", "at most 1 at a minimum that SGD with B = 1 holds; with k outputs "
               "and batches k / c, which is k B with replacement", headline=True, judge=_holds, absent=_OTHER_WAY),
        Result("half_tr_gd", (), "η tr / 2 of GD", "gradient descent has no such limit", headline=True, absent=_OTHER_WAY),
        Result("half_lmax_gd", (), "η λmax / 2 of GD", "at most 1, with momentum 1 + β, at a minimum that gradient descent "
               "holds", headline=True,
               judge=_below, absent=_OTHER_WAY),
        Result("test_sgd", (), "test error of SGD", "mean squared error at the end", headline=True, absent=_UNTESTED),
        Result("test_gd", (), "test error of GD", "mean squared error at the end", headline=True, absent=_UNTESTED),
        Result("loss_sgd", (), "training loss of SGD", "thresholds bind only where it vanishes: below a thousandth of the loss "
               "of f = 0", headline=True, judge=_interpolates(SGD), absent=_OTHER_WAY),
        Result("loss_gd", (), "training loss of GD", "as for SGD", headline=True, judge=_interpolates(GD), absent=_OTHER_WAY),
        Result("loss", ("way", "step"), "loss L", "half the mean squared error on the training set"),
        Result("tr", ("way", "step"), "tr G", "trace of the Gauss-Newton matrix"),
        Result("fro", ("way", "step"), "|G|_F", "its Frobenius norm"),
        Result("lmax", ("way", "step"), "λmax(G)", "its largest eigenvalue"),
        Result("mu", ("way", "step"), "alignment μ", "tr(Σ G) / (2 L |G|²_F)"),
        Result("path_norm", ("way", "step"), "norm", "|a∘b|₁ of the diagonal network, else the path norm",
               absent=_NO_NORM),
        Result("test_error", ("way", "step"), "test error", "mean squared error on the test set", absent=_UNTESTED),
        Result("rates", ("rate",), "learning rates", "that were trained: η, then the others"),
        Result("final_loss", ("way", "rate"), "loss L", "at the end", undefined=_GONE),
        Result("final_tr", ("way", "rate"), "tr G", "at the end", undefined=_GONE),
        Result("final_fro", ("way", "rate"), "|G|_F", "at the end", undefined=_GONE),
        Result("final_lmax", ("way", "rate"), "λmax(G)", "at the end", undefined=_GONE),
        Result("final_mu", ("way", "rate"), "alignment μ", "at the end", undefined=_GONE),
        Result("final_path_norm", ("way", "rate"), "norm", "at the end", absent=_NO_NORM, undefined=_GONE),
        Result("final_test_error", ("way", "rate"), "test error", "at the end", absent=_UNTESTED, undefined=_GONE),
        Result("interpolated", ("way", "rate"), "interpolates", "1 where the loss is below a thousandth of that of f = 0"),
        Result("tr_end", ("way",), "tr G", "at the end, at η, of all samples"),
        Result("fro_end", ("way",), "|G|_F", "at the end, at η, of all samples"),
        Result("lmax_end", ("way",), "λmax(G)", "at the end, at η, of all samples"),
        Result("eta_star", ("way",), "η*", "largest stable learning rate of where a method ended", absent=_MANY),
        Result("stable", ("way",), "stable", "1 where η is at most η*", absent=_MANY),
        Result("rho", ("way",), "ρ", "growth of the mean square distance in a step", absent=_MANY),
        Result("eta_star_B", ("way", "drawn", "batch"), "η*", "by batch size", absent=_MANY),
        Result("bound_moments", ("way", "drawn", "batch"), "bound on η*", "2 tr / ((1-c) |G|²_F + c E|g|⁴)", absent=_MANY),
        Result("bound_trace", ("way", "drawn", "batch"), "bound on η*", "2 tr / ((1-c) |G|²_F + c tr²)", absent=_MANY),
        Result("bound_descent", ("way", "drawn", "batch"), "bound on η*", "2 / λmax", absent=_MANY),
        Result("eta_grid", ("eta_column",), "learning rate", "of the columns of the diagram", absent=_MANY),
        Result("rho_map", ("batch", "eta_column"), "ρ", "of the end of SGD, or of GD alone", absent=_MANY),
        Result("eigenvalue", ("bin",), "eigenvalue", "of the Hessian"),
        Result("density", ("way", "moment", "bin"), "density", "of eigenvalues of the Hessian; integrates to 1"),
        Result("density_error", ("way", "moment", "bin"), "standard error", "of the density, over probes"),
        Result("sharpness", ("way", "moment"), "λmax(H)", "of the Hessian itself, by Lanczos"),
        Result("hessian", ("row", "column"), "Hessian", "at the end of SGD, or of GD alone; means over blocks where large"),
        Result("layer_edge", ("edge",), "cell", "where arrays of parameters begin and end"),
        Result("pair", ("way", "frame", "unit", "side"), "square", "a² and b², or d a² and |w|²", absent=_NO_PAIRS),
        Result("imbalance", ("way", "frame"), "imbalance", "Σ|a² - b²| / Σ(a² + b²); 0 where balanced", absent=_NO_PAIRS),
        Result("measured", (), "samples measured", "that G is taken over along the way"),
        Result("iterations", (), "records", "that were made"),
        Result("converged", (), "finished", "whether training came to its end"),
    )
    live = (
        Live("loss", {way: f"loss of {way}" for way in WAYS}),
        Live("η tr / 2, against what SGD holds", {way: f"half tr of {way}" for way in WAYS}, "limit of tr"),
        Live("η λmax / 2, against what both hold", {way: f"half lmax of {way}" for way in WAYS}, "limit of lmax"),
    )
    ends: ClassVar = {Reason.NOT_FINITE: ""}  # a run that diverges is a result, of which the advice speaks
    pictures = PICTURES
    presets = PRESETS
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
    def _experiment(cls, data: Data, p: Any) -> Experiment:
        x, y = (data.arrays[name].shape for name in ("x", "y"))
        return _planned(x, y, data.axes.get("model", PERCEPTRON), p, cls.own)

    def check(self, data: Data) -> None:
        """The model takes these data, and is not too large."""
        planned = self._experiment(data, self)
        if planned.model in (DIAGONAL, TWO_LAYER) and planned.outputs > 1:
            raise ValueError(
                f"model = {planned.model!r} gives one number, but {data.name} has {planned.outputs} outputs: choose perceptron"
            )
        if planned.size > _PARAMETERS:
            raise ValueError(
                f"the model has {planned.size:,} parameters, but at most {_PARAMETERS:,} are taken: make it narrower, or use "
                "lab.stability, which has no such limit"
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
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train at all learning rates, then look at where the first one ended."""
        x, y = inputs.samples.x.shape, inputs.samples.y.shape
        planned = _planned(x, y, inputs.suits, p, cls.own)
        numbers = p.only("eta", "scale", "beta", "clip", "lowest", "highest", "seed", "momentum", "rates", "B")
        problem, rates, key = _begin(inputs.samples, numbers, planned, 0 if cls.own else p.m)
        run = loop(comparison.TRAIN, problem, max_iterations=planned.steps // planned.every)
        output = _variables(problem, run.state, key)
        if not inputs.tested:
            output = {name: value for name, value in output.items() if "test_" not in name}
        known = {"rates": rates, "measured": planned.measured, "iterations": run.iterations, "reason": run.reason}
        return output | known

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, batch sizes, and the steps at which something was recorded."""
        planned = cls._experiment(data, p)
        frames = planned.frame_steps
        paired = {"frame": frames} if "pair" in output else {}
        return paired | {
            "way": list(WAYS), "drawn": ["with replacement", "without"], "side": ["first", "second"],
            "batch": batch_sizes(len(data.arrays["x"])), "step": planned.records,
            "moment": frames[list(curvature.moments(planned))],
        }

    @classmethod
    def facts(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """The model that was trained, its arrays of parameters, and what the cells of the Hessian are."""
        planned = cls._experiment(data, p)
        return {
            "model": str(planned.model), "outputs": planned.outputs, "samples": planned.n,
            "arrays": json.dumps([name for name, _ in planned.arrays]),
            "cells": "entries" if planned.size <= curvature.CELLS else "means",
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Runs that diverged or did not interpolate, of which thresholds say nothing."""
        if not np.isfinite(result.loss.isel(step=0)).any():
            return "The loss of the initial weights is no finite number: look at the model and at the data."
        gone, late = [], {}
        for way in WAYS:
            loss, good = (float(result[name].sel(way=way)[0]) for name in ("final_loss", "interpolated"))
            if np.isnan(good):
                continue
            if not loss <= 10 * float(result.loss.sel(way=way)[0]):
                gone.append(way)
            elif good == 0:
                late[way] = f"{loss:.2g}"
        said = []
        if gone:
            eta = json.loads(result.attrs["parameters"])["eta"]
            said.append(
                f"{' and '.join(gone)} diverged: no minimum on the way can hold η = {eta:g}. Lower it to see what can."
            )
        if late:
            said.append(
                f"{' and '.join(late)} did not interpolate: the training loss is {' and '.join(late.values())}, so that "
                "thresholds do not bind and η tr / 2 may exceed 1. Train for more steps."
            )
        return " ".join(said)


def _planned(x: tuple[int, ...], y: tuple[int, ...], suits: str, p: Any, own: Maker | None) -> Experiment:
    """The experiment that shapes of x and y and the parameters decide, before anything is computed."""
    model = own or (suits if p.model == "auto" else p.model)
    ways = WAYS if p.optimizer == "SGD and GD" else (p.optimizer,)
    width = 0 if own else p.m
    return comparison.plan(
        model, x, y, width=width, ways=ways, sampling=p.sampling, batch=p.B, steps=p.steps, rates=1 + p.rates
    )


@jit
def _begin(samples: models.Data, p: Any, planned: Experiment, width: int) -> tuple[Comparison, Array, Array]:
    """All trainings, their learning rates, and a key for what is looked at afterwards."""
    eta, scale, beta, clip, low, high = (
        jnp.asarray(getattr(p, name), samples.x.dtype) for name in ("eta", "scale", "beta", "clip", "lowest", "highest")
    )
    keys = jax.random.split(jax.random.key(p.seed), 3)
    data = as_taken(planned.model, samples)
    model = initial(keys[0], planned.model, scale, data.x.shape[1:], samples.y.shape[1:], width)
    rates = jnp.concatenate([eta[None], low * (high / low) ** jnp.linspace(0, 1, p.rates)])
    settings = Settings(eta, p.B, beta if p.momentum else None, clip)
    return comparison.prepare(keys[1], model, data, settings, rates, planned), rates, keys[2]


@jit
def _variables(problem: Comparison, state: State, key: Array) -> dict[str, Array]:
    """What came of it, with a row for each of WAYS, NaN where there is none."""
    kept = outcome.frames(problem, state)
    records, held = outcome.records(problem, state), outcome.held(problem, state)
    spectra, balance = curvature.spectra(problem, kept, key), outcome.balance(problem, kept)
    cells = curvature.cells(problem, comparison.weights(state.runs[0]))
    called = {"norm": "path_norm"}
    by_way = {called.get(name, name): values for name, values in records.trace.items()}
    by_way |= {f"final_{called.get(name, name)}": values for name, values in records.final.items()}
    by_way |= {
        "interpolated": records.interpolated, "tr_end": held.sizes.trace, "fro_end": held.sizes.frobenius,
        "lmax_end": held.sizes.lambda_max, "density": spectra.density, "density_error": spectra.error,
        "sharpness": spectra.sharpness,
    }
    shared = {"eigenvalue": spectra.eigenvalues, "hessian": cells.hessian, "layer_edge": cells.edges}
    if held.here is not None:
        by_way |= held.here._asdict()
    if held.by_batch is not None:
        by_way |= {f"bound_{name}": values for name, values in held.by_batch.bounds._asdict().items()}
        by_way["eta_star_B"] = held.by_batch.eta_star
    if held.diagram is not None:
        shared |= {"eta_grid": held.diagram.etas, "rho_map": held.diagram.rho}
    if balance is not None:
        by_way |= balance._asdict()
    rows = np.array([WAYS.index(way) for way in problem.experiment.ways])
    output = shared | {
        name: jnp.full((len(WAYS), *values.shape[1:]), jnp.nan, values.dtype).at[rows].set(values)
        for name, values in by_way.items()
    }
    return _with_headlines(output, problem.experiment.ways, problem.learning_rate)


def _with_headlines(output: dict[str, Any], ways: tuple[str, ...], eta: Array) -> dict[str, Any]:
    """With the numbers of each method at η on their own."""
    for way, name in ((SGD, "sgd"), (GD, "gd")):
        if way in ways:
            row = WAYS.index(way)
            output[f"half_tr_{name}"] = eta * output["tr_end"][row] / 2
            output[f"loss_{name}"] = output["final_loss"][row, 0]
            output[f"test_{name}"] = output["final_test_error"][row, 0]
    if GD in ways:
        output["half_lmax_gd"] = eta * output["lmax_end"][WAYS.index(GD)] / 2
    return output

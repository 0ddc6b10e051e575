"""Dynamical stability of SGD (Wu and Su, 2023) as a study: which minima SGD holds, at which learning rate and batch size."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import stability
from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.studies.contract import Choice, DataSource, Limit, Live, Mood, Paper, Real, Result, Study, Switch, Whole

from . import looking
from .analysis import ANALYSIS, analyze
from .claims import CLAIMS
from .data import CONVOLUTIONAL, DIAGONAL, MODELS, PERCEPTRON, TWO_LAYER, check
from .family import GD, SGD, TRAIN, WAYS, Case, Inputs, Maker, case_of, initial, samples, work
from .pictures import PICTURES, limits
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

__all__ = ["ANALYSIS", "SGDStability", "analyze"]

_PARAMETERS = 60_000


def _below(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= limits(result)[1] else "warn"


def _holds(value: float, result: xr.Dataset) -> Mood:
    limit = limits(result)[0]
    return "" if limit == np.inf else "good" if value <= limit else "warn"


def _interpolates(way: str) -> Any:
    def judge(value: float, result: xr.Dataset) -> Mood:
        return "good" if float(result.interpolated.sel(way=way)[0]) == 1 else "warn"

    return judge


class SGDStability(Study):
    """Stochastic and plain gradient descent from the same weights: where they come to rest, and why they can stay there."""

    slug = "sgd-stability"
    title = "Stability of SGD"
    field = "Stability of SGD"
    paper = Paper(
        "Wu, Su", "The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent", "ICML", 2023,
        "https://arxiv.org/abs/2305.17490",
    )  # fmt: skip
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "training"
    data_options = ("n", "d", "seed")
    own: ClassVar[Maker | None] = None
    """A model that is not among those to choose from; see ``model_study``."""

    data = DataSource("sparse-regression", doc="a named training set, or a table of yours whose last column is learnt")
    model = Choice(["auto", *MODELS], doc="auto: the one that suits the data; the convolutional network takes images")
    optimizer = Choice(["SGD and GD", SGD, GD], doc="which are trained; GD is gradient descent on all samples at once")
    eta = Real(
        0.08, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-3, 1), scale="log", label="learning rate", symbol="η",
        doc="of both; or click in a picture",
    )  # fmt: skip
    B = Whole(
        1, bounds=(1, 5000), soft=(1, 40), scale="log", label="batch size", symbol="B", traced=False,
        when={"optimizer": ("SGD and GD", SGD)},
        doc="samples in a step of SGD; or click in the diagram",
    )  # fmt: skip
    sampling = Choice(
        ["replacement", "without", "reshuffle"], when={"optimizer": ("SGD and GD", SGD)},
        doc="of a batch: with replacement, without, or every sample once in an epoch",
    )  # fmt: skip
    steps = Whole(
        4000, bounds=(40, 2_000_000), soft=(400, 100_000), scale="log", label="steps", traced=False,
        doc="of training, rounded up to whole stretches between two records",
    )  # fmt: skip
    scale = Real(
        1.0, bounds=(0, 100), inclusive_bounds=(False, True), soft=(0.1, 3), scale="log", label="initial scale", symbol="α",
        doc="factor of the initial weights",
    )  # fmt: skip
    m = Whole(
        16, bounds=(1, 1000), soft=(2, 100), scale="log", label="width", symbol="m", traced=False,
        when={"model": ("auto", TWO_LAYER, PERCEPTRON, CONVOLUTIONAL)},
        doc="hidden units, of each of the perceptron's two hidden layers, or channels; the diagonal network has none",
    )  # fmt: skip
    n = Whole(
        40, bounds=(2, 4000), soft=(10, 300), scale="log", label="training samples", symbol="n", traced=False,
        doc="of a named set (those of a file are taken as they are)",
    )  # fmt: skip
    d = Whole(
        100, bounds=(1, 4000), soft=(10, 1000), scale="log", label="inputs", symbol="d", traced=False,
        doc="of the synthetic sets",
    )  # fmt: skip
    momentum = Switch(False, group="more", doc="v ← βv - η∇L, θ ← θ + v, for both")
    beta = Real(
        0.9, bounds=(0, 0.999), soft=(0, 0.99), label="its strength", symbol="β", group="more", when={"momentum": True},
        doc="share of the last step that is kept",
    )  # fmt: skip
    clip = Real(
        50.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(1, 1000), scale="log", label="largest gradient",
        group="more", doc="a longer one is shortened; it tames the first steps, and small values hide instability",
    )  # fmt: skip
    rates = Whole(
        6, bounds=(0, 30), soft=(0, 12), label="other learning rates", traced=False, group="more",
        doc="trained beside η, evenly spaced on a logarithmic scale",
    )  # fmt: skip
    lowest = Real(
        10**-2.4, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-4, 0.1), scale="log", label="lowest of them",
        group="more", doc="the smallest of the other learning rates",
    )  # fmt: skip
    highest = Real(
        10**-0.9, bounds=(0, 100), inclusive_bounds=(False, True), soft=(1e-2, 10), scale="log", label="highest of them",
        group="more", doc="the largest of the other learning rates",
    )  # fmt: skip

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
               "and batches k / c, which is k B with replacement", headline=True, judge=_holds, optional=True),
        Result("half_tr_gd", (), "η tr / 2 of GD", "gradient descent has no such limit", headline=True, optional=True),
        Result("half_lmax_gd", (), "η λmax / 2 of GD", "at most 1, with momentum 1 + β, at a minimum that gradient descent "
               "holds", headline=True,
               judge=_below, optional=True),
        Result("test_sgd", (), "test error of SGD", "mean squared error at the end", headline=True, optional=True),
        Result("test_gd", (), "test error of GD", "mean squared error at the end", headline=True, optional=True),
        Result("loss_sgd", (), "training loss of SGD", "thresholds bind only where it vanishes: below a thousandth of the loss "
               "of f = 0", headline=True, judge=_interpolates(SGD), optional=True),
        Result("loss_gd", (), "training loss of GD", "as for SGD", headline=True, judge=_interpolates(GD), optional=True),
        Result("loss", ("way", "step"), "loss L", "half the mean squared error on the training set"),
        Result("tr", ("way", "step"), "tr G", "trace of the Gauss-Newton matrix"),
        Result("fro", ("way", "step"), "|G|_F", "its Frobenius norm"),
        Result("lmax", ("way", "step"), "λmax(G)", "its largest eigenvalue"),
        Result("mu", ("way", "step"), "alignment μ", "tr(Σ G) / (2 L |G|²_F)"),
        Result("path_norm", ("way", "step"), "norm", "|a∘b|₁ of the diagonal network, else the path norm",
               optional=True),
        Result("test_error", ("way", "step"), "test error", "mean squared error on the test set", optional=True),
        Result("rates", ("rate",), "learning rates", "that were trained: η, then the others"),
        Result("final_loss", ("way", "rate"), "loss L", "at the end"),
        Result("final_tr", ("way", "rate"), "tr G", "at the end"),
        Result("final_fro", ("way", "rate"), "|G|_F", "at the end"),
        Result("final_lmax", ("way", "rate"), "λmax(G)", "at the end"),
        Result("final_mu", ("way", "rate"), "alignment μ", "at the end"),
        Result("final_path_norm", ("way", "rate"), "norm", "at the end", optional=True),
        Result("final_test_error", ("way", "rate"), "test error", "at the end", optional=True),
        Result("interpolated", ("way", "rate"), "interpolates", "1 where the loss is below a thousandth of that of f = 0"),
        Result("tr_end", ("way",), "tr G", "at the end, at η, of all samples"),
        Result("fro_end", ("way",), "|G|_F", "at the end, at η, of all samples"),
        Result("lmax_end", ("way",), "λmax(G)", "at the end, at η, of all samples"),
        Result("eta_star", ("way",), "η*", "largest stable learning rate of where a method ended", optional=True),
        Result("stable", ("way",), "stable", "1 where η is at most η*", optional=True),
        Result("rho", ("way",), "ρ", "growth of the mean square distance in a step", optional=True),
        Result("eta_star_B", ("way", "drawn", "batch"), "η*", "by batch size", optional=True),
        Result("bound_moments", ("way", "drawn", "batch"), "bound on η*", "2 tr / ((1-c) |G|²_F + c E|g|⁴)", optional=True),
        Result("bound_trace", ("way", "drawn", "batch"), "bound on η*", "2 tr / ((1-c) |G|²_F + c tr²)", optional=True),
        Result("bound_descent", ("way", "drawn", "batch"), "bound on η*", "2 / λmax", optional=True),
        Result("eta_grid", ("eta_column",), "learning rate", "of the columns of the diagram", optional=True),
        Result("rho_map", ("batch", "eta_column"), "ρ", "of the end of SGD, or of GD alone", optional=True),
        Result("eigenvalue", ("bin",), "eigenvalue", "of the Hessian"),
        Result("density", ("way", "moment", "bin"), "density", "of eigenvalues of the Hessian; integrates to 1"),
        Result("density_error", ("way", "moment", "bin"), "standard error", "of the density, over probes"),
        Result("sharpness", ("way", "moment"), "λmax(H)", "of the Hessian itself, by Lanczos"),
        Result("hessian", ("row", "column"), "Hessian", "at the end of SGD, or of GD alone; means over blocks where large"),
        Result("layer_edge", ("edge",), "cell", "where arrays of parameters begin and end"),
        Result("pair", ("way", "frame", "unit", "side"), "square", "a² and b², or d a² and |w|²", optional=True),
        Result("imbalance", ("way", "frame"), "imbalance", "Σ|a² - b²| / Σ(a² + b²); 0 where balanced", optional=True),
        Result("measured", (), "samples measured", "that G is taken over along the way"),
        Result("iterations", (), "records", "that were made"),
        Result("converged", (), "finished", "whether training came to its end"),
    )  # fmt: skip
    live = (
        Live("loss", {way: f"loss of {way}" for way in WAYS}),
        Live("η tr / 2, against what SGD holds", {way: f"half tr of {way}" for way in WAYS}, "limit of tr"),
        Live("η λmax / 2, against what both hold", {way: f"half lmax of {way}" for way in WAYS}, "limit of lmax"),
    )
    ends: ClassVar = {Reason.NOT_FINITE: ""}  # a run that diverges is a result, of which the advice speaks
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Samples in float64."""
        arrays = data.arrays
        tested = "x_test" in arrays
        x, y = (jnp.asarray(arrays[name], float) for name in ("x", "y"))
        x_test, y_test = (jnp.asarray(arrays[name], float) for name in ("x_test", "y_test")) if tested else (x, y)
        return Inputs(x, y, x_test, y_test, tested, data.axes.get("model", PERCEPTRON))

    def _case(self, data: Data) -> Case:
        x, y = (data.arrays[name].shape for name in ("x", "y"))
        return case_of(x, y, data.axes.get("model", PERCEPTRON), self, self.own)

    def check(self, data: Data) -> None:
        """The model takes these data, and is not too large."""
        check(data.name, data.arrays)
        case = self._case(data)
        if case.model in (DIAGONAL, TWO_LAYER) and case.outputs > 1:
            raise ValueError(
                f"model = {case.model!r} gives one number, but {data.name} has {case.outputs} outputs: choose perceptron"
            )
        if case.size > _PARAMETERS:
            raise ValueError(
                f"the model has {case.size:,} parameters, but at most {_PARAMETERS:,} are taken: make it narrower, or use "
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
        case = case_of(inputs.x.shape, inputs.y.shape, inputs.suits, p, cls.own)
        eta, scale, beta, clip, low, high = (
            jnp.asarray(getattr(p, name), inputs.x.dtype)
            for name in ("eta", "scale", "beta", "clip", "lowest", "highest")
        )
        keys = jax.random.split(jax.random.key(p.seed), 3)
        data = samples(inputs, case)
        width = 0 if cls.own else p.m
        model = initial(keys[0], scale, case, data.x.shape[1:], width, inputs.y.shape[1:])
        rates = jnp.concatenate([eta[None], low * (high / low) ** jnp.linspace(0, 1, p.rates)])
        settings = stability.Settings(eta, p.B, beta if p.momentum else None, clip)
        problem = work(keys[1], model, data, settings, rates, case)
        run = loop(TRAIN, problem, max_iterations=case.steps // case.every)
        told: dict[str, Any] = looking.look(problem, run.state, data, eta, beta, keys[2])
        told |= {"rates": rates, "measured": case.measured, "iterations": run.iterations, "reason": run.reason}
        if not inputs.tested:
            told = {name: value for name, value in told.items() if "test_error" not in name}
        for way, name in ((SGD, "sgd"), (GD, "gd")):
            if way in case.ways:
                row = WAYS.index(way)
                told |= {f"half_tr_{name}": eta * told["tr_end"][row] / 2, f"loss_{name}": told["final_loss"][row, 0]}
                if inputs.tested:
                    told[f"test_{name}"] = told["final_test_error"][row, 0]
        if GD in case.ways:
            told["half_lmax_gd"] = eta * told["lmax_end"][WAYS.index(GD)] / 2
        return told

    def label(self, output: dict[str, Any], data: Data, inputs: Any) -> xr.Dataset:
        """As every study; steps are known only from the parameters."""
        case = self._case(data)
        result = super().label(output, data, inputs)
        records = case.every * np.arange(case.steps // case.every + 1)
        frames = case.every * case.stride * np.arange(case.frames + 1)
        places = {"step": records, "frame": frames, "moment": frames[list(looking.moments(case))]}
        for dim, values in places.items():
            if dim in result.dims:
                result = result.assign_coords({dim: (dim, values, result[dim].attrs)})
        whole = case.size <= looking.CELLS
        names = json.dumps([name for name, _ in case.arrays])
        return result.assign_attrs(
            model=str(case.model),
            outputs=case.outputs,
            samples=case.n,
            arrays=names,
            cells="entries" if whole else "means",
        )

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Names, and batch sizes."""
        return {
            "way": list(WAYS), "drawn": ["with replacement", "without"], "side": ["first", "second"],
            "batch": looking.batches(len(data.arrays["x"])),
        }  # fmt: skip

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

"""Train SGD and gradient descent from the same weights, and analyze the minima at which they end."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from lab import stability
from lab.numerics import Loop
from lab.numerics.jit import jit
from lab.stability import models
from lab.stability.initial import Maker, as_taken, initial
from lab.stability.training import Settings
from lab.studies.contract import Mood, Outputs, Run, out, sweeping
from lab.studies.stability import curvature, outcome, trajectories
from lab.studies.stability.trajectories import GD, SGD, WAYS, Planned

_MANY = "thresholds for all batch sizes need at most 64 samples times outputs, and no momentum"
_NO_PAIRS = "only the diagonal and the two-layer network have pairs of layers to compare"
_UNTESTED = "there is no test set"
_GONE = "training at this learning rate diverged"
_NO_NORM = "this model has no path norm"
_OTHER_WAY = "only the other method was trained: choose SGD and GD"
_FINAL = {"loss": "loss", "tr": "tr", "lmax": "lmax", "norm": "path_norm", "test_error": "test_error"}


def ways_trained(result: xr.Dataset) -> list[str]:
    """The methods that were trained."""
    return [str(way) for way in result.way.values if bool(np.isfinite(result.interpolated.sel(way=way)).any())]


def limits(result: xr.Dataset) -> tuple[float, float]:
    """Upper limits of the trace at minima of stable SGD, and of λmax for either method, in units of 2 / η."""
    p, c = sweeping.parameters(result), 0.0
    if SGD in ways_trained(result):
        c = stability.noise(result.attrs["samples"], p["B"], p["sampling"] == "replacement")
    trace, descent = stability.limits(c, result.attrs["outputs"], p["beta"] if p["momentum"] else 0.0)
    return float(trace), float(descent)


def _below(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= limits(result)[1] else "warn"


def _below_trace(value: float, result: xr.Dataset) -> Mood:
    limit = limits(result)[0]
    return "" if limit == np.inf else "good" if value <= limit else "warn"


def _interpolates(way: str) -> Callable[[float, xr.Dataset], Mood]:
    return lambda value, result: "good" if float(result.interpolated.sel(way=way)[0]) == 1 else "warn"


_headline = partial(out, headline=True, absent=_OTHER_WAY)
_final = partial(out, undefined=_GONE)
_threshold = partial(out, absent=_MANY)


class Experiment(Outputs):
    """Training records, sizes of G and thresholds at the final weights, and spectra of the Hessian."""

    half_tr_sgd: Float[Array, ""] | None = _headline(
        "η tr / 2 of SGD",
        "at most 1 at a stable minimum if B = 1; at most k B with k outputs, drawn with replacement",
        judge=_below_trace,
    )
    half_tr_gd: Float[Array, ""] | None = _headline("η tr / 2 of GD", "not bounded at minima of gradient descent")
    half_lmax_gd: Float[Array, ""] | None = _headline(
        "η λmax / 2 of GD", "at most 1 at a stable minimum, with momentum at most 1 + β", judge=_below
    )
    test_sgd: Float[Array, ""] | None = _headline("test error of SGD", "mean squared error", absent=_UNTESTED)
    test_gd: Float[Array, ""] | None = _headline("test error of GD", "mean squared error", absent=_UNTESTED)
    loss_sgd: Float[Array, ""] | None = _headline(
        "training loss of SGD",
        "thresholds apply only if it vanishes: below a thousandth of the loss of f = 0",
        judge=_interpolates(SGD),
    )
    loss_gd: Float[Array, ""] | None = _headline("training loss of GD", "as for SGD", judge=_interpolates(GD))
    loss: Float[Array, "way step"] = out("loss L", "half the mean squared error on the training set")
    tr: Float[Array, "way step"] = out("tr G", "trace of the Gauss-Newton matrix")
    lmax: Float[Array, "way step"] = out("λmax(G)", "largest eigenvalue of the Gauss-Newton matrix")
    rates: Float[Array, " rate"] = out("learning rates", "all that were trained: η, then the others")
    final_loss: Float[Array, "way rate"] = _final("loss L", "at the final weights")
    final_tr: Float[Array, "way rate"] = _final("tr G", "at the final weights")
    final_lmax: Float[Array, "way rate"] = _final("λmax(G)", "at the final weights")
    final_path_norm: Float[Array, "way rate"] | None = _final(
        "norm", "|a∘b|₁ of the diagonal network, else the path norm", absent=_NO_NORM
    )
    final_test_error: Float[Array, "way rate"] | None = _final("test error", "mean squared error", absent=_UNTESTED)
    interpolated: Float[Array, "way rate"] = out("interpolates", "1 if L is below a thousandth of its value for f = 0")
    tr_end: Float[Array, " way"] = out("tr G", "at the final weights, at η, of all samples")
    lmax_end: Float[Array, " way"] = out("λmax(G)", "at the final weights, at η, of all samples")
    eta_star: Float[Array, " way"] | None = _threshold("η*", "critical learning rate at the final weights")
    rho: Float[Array, " way"] | None = _threshold("ρ", "growth factor of the mean squared distance per step")
    eta_star_B: Float[Array, "way drawn batch"] | None = _threshold("η*", "by batch size")
    bound_moments: Float[Array, "way drawn batch"] | None = _threshold("bound on η*", "2 tr / ((1-c) |G|²_F + c E|g|⁴)")
    bound_trace: Float[Array, "way drawn batch"] | None = _threshold("bound on η*", "2 tr / ((1-c) |G|²_F + c tr²)")
    bound_descent: Float[Array, "way drawn batch"] | None = _threshold("bound on η*", "2 / λmax")
    eta_grid: Float[Array, " eta_column"] | None = _threshold("learning rate", "columns of the diagram")
    rho_map: Float[Array, "batch eta_column"] | None = _threshold("ρ", "at the final weights of the first method")
    eigenvalue: Float[Array, " bin"] = out("eigenvalue", "of the Hessian")
    density: Float[Array, "way moment bin"] = out("density", "of eigenvalues of the Hessian; integrates to 1")
    density_error: Float[Array, "way moment bin"] = out("standard error", "of the density, over probes")
    sharpness: Float[Array, "way moment"] = out("λmax(H)", "largest eigenvalue of the Hessian, by Lanczos")
    hessian: Float[Array, "row column"] = out("Hessian", "at the final weights; means over blocks if large")
    layer_edge: Int[Array, " edge"] = out("cell", "first cell of each array of parameters, and the number of cells")
    pair: Float[Array, "way frame unit side"] | None = out("square", "a² and b², or d a² and |w|²", absent=_NO_PAIRS)
    imbalance: Float[Array, "way frame"] | None = out("imbalance", "Σ|a² - b²| / Σ(a² + b²)", absent=_NO_PAIRS)
    iterations: Int[Array, ""] | None = out("records", "number of records of the training")


class Inputs(eqx.Module):
    """Training and test samples; without a test set the training set replaces it, and ``tested`` is False."""

    samples: models.Data
    tested: bool = eqx.field(static=True)
    suits: str = eqx.field(static=True)  # the model that suits the samples


def planned_of(x: tuple[int, ...], y: tuple[int, ...], suits: str, p: Any, own: Maker | None) -> Planned:
    """The settings that shapes of x and y and the parameters determine before anything is computed."""
    model = own or (suits if p.model == "auto" else p.model)
    ways = WAYS if p.optimizer == "SGD and GD" else (p.optimizer,)
    width = 0 if own else p.m
    return trajectories.plan(
        model, x, y, width=width, ways=ways, sampling=p.sampling, batch=p.B, steps=p.steps, rates=1 + p.rates
    )


def train(inputs: Inputs, p: Any, loop: Loop, own: Maker | None) -> Run[Experiment]:
    """Train at all learning rates, then analyze the final weights at the first one."""
    planned = planned_of(inputs.samples.x.shape, inputs.samples.y.shape, inputs.suits, p, own)
    numbers = p.only("eta", "scale", "beta", "clip", "lowest", "highest", "seed", "momentum", "rates", "B")
    problem, rates, key = _begin(inputs.samples, numbers, planned, 0 if own else p.m)
    run = loop(trajectories.TRAIN, problem, max_iterations=planned.steps // planned.every)
    found = _analyzed(problem, run.state, key)
    if not inputs.tested:
        found = {name: values for name, values in found.items() if "test_" not in name}
    return Run(Experiment(rates=rates, **found), run.reason, run.iterations)


@jit
def _begin(samples: models.Data, p: Any, planned: Planned, width: int) -> tuple[trajectories.Comparison, Array, Array]:
    """All trainings, their learning rates, and a key for the analysis."""
    eta, scale, beta, clip, low, high = (
        jnp.asarray(getattr(p, name), samples.x.dtype) for name in ("eta", "scale", "beta", "clip", "lowest", "highest")
    )
    keys = jax.random.split(jax.random.key(p.seed), 3)
    data = as_taken(planned.model, samples)
    model = initial(keys[0], planned.model, scale, data.x.shape[1:], samples.y.shape[1:], width)
    rates = jnp.concatenate([eta[None], low * (high / low) ** jnp.linspace(0, 1, p.rates)])
    settings = Settings(eta, p.B, beta if p.momentum else None, clip)
    return trajectories.prepare(keys[1], model, data, settings, rates, planned), rates, keys[2]


@jit
def _analyzed(problem: trajectories.Comparison, state: trajectories.State, key: Array) -> dict[str, Array]:
    """Arrays of the experiment but the learning rates, with a row for each of WAYS, NaN if it was not trained."""
    kept = outcome.frames(problem, state)
    records, held = outcome.records(problem, state), outcome.held(problem, state)
    spectra, balance = curvature.spectra(problem, kept, key), outcome.balance(problem, kept)
    cells = curvature.cells(problem, trajectories.weights(state.runs[0]))
    by_way = {name: records.trace[name] for name in ("loss", "tr", "lmax")}
    by_way |= {f"final_{_FINAL[name]}": values for name, values in records.final.items() if name in _FINAL}
    by_way |= {
        "interpolated": records.interpolated,
        "tr_end": held.sizes.trace,
        "lmax_end": held.sizes.lambda_max,
        "density": spectra.density,
        "density_error": spectra.error,
        "sharpness": spectra.sharpness,
    }
    shared = {"eigenvalue": spectra.eigenvalues, "hessian": cells.hessian, "layer_edge": cells.edges}
    if held.here is not None:
        by_way |= {"eta_star": held.here.eta_star, "rho": held.here.rho}
    if held.by_batch is not None:
        by_way |= {f"bound_{name}": values for name, values in held.by_batch.bounds._asdict().items()}
        by_way["eta_star_B"] = held.by_batch.eta_star
    if held.diagram is not None:
        shared |= {"eta_grid": held.diagram.etas, "rho_map": held.diagram.rho}
    if balance is not None:
        by_way |= balance._asdict()
    ways, eta = problem.experiment.ways, problem.learning_rate
    rows = np.array([WAYS.index(way) for way in ways])
    found = shared | {
        name: jnp.full((len(WAYS), *values.shape[1:]), jnp.nan, values.dtype).at[rows].set(values)
        for name, values in by_way.items()
    }
    for row, name in ((row, WAYS[row].lower()) for row in rows):
        found[f"half_tr_{name}"] = eta * found["tr_end"][row] / 2
        found[f"loss_{name}"] = found["final_loss"][row, 0]
        found[f"test_{name}"] = found["final_test_error"][row, 0]
    if GD in ways:
        found["half_lmax_gd"] = eta * found["lmax_end"][WAYS.index(GD)] / 2
    return found

"""The results of the study, and what a run fills them with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from lab.datasets import Data
from lab.numerics import Chunked, Loop, Reason, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.store import weights
from lab.studies.contract import Result
from lab.traffic import behaviour, streams, survey, windows

STRIDE = 8  # frames from a window to the next, of those that are fitted and tested
KINDS = ("rule", "by positions", "by spectra", "driver")
PAIRS = ("rule, of drivers", "foretold by positions", "foretold by spectra")

_UNTRAINED = "no stream was trained: set the training steps above 0"
_ALIKE = "one of the two quantities is the same for all agents, so there is no correlation"
_STRANGERS = "who drives is not known: bring a column profile with -1, 0 or 1"
RESULTS = (
    Result("ade_velocity", (), "ADE, constant velocity", "mean distance from the truth, on roads not seen", "m", headline=True),
    Result("ade_ridge", (), "ADE, ridge", "the same, of a linear regression", "m", headline=True),
    Result("fde_velocity", (), "FDE, constant velocity", "at the last step", "m"),
    Result("fde_ridge", (), "FDE, ridge", "at the last step", "m"),
    Result("ade_one", (), "ADE, one stream", "of an LSTM that sees an agent's positions", "m", headline=True,
           absent=_UNTRAINED),
    Result("ade_two", (), "ADE, two streams", "of one that was pulled to its clusters too", "m", headline=True,
           absent=_UNTRAINED),
    Result("spectral_error", (), "error of spectra", "mean square of predicted rows of eigenvectors, over that of rows that "
           "stay as they were", absent=_UNTRAINED),
    Result("correlation_driver", (), "rate and driver", "correlation of the rate of the degree with who drives", headline=True,
           absent=_STRANGERS, undefined=_ALIKE),
    Result("correlation_speed", (), "rate and speed", "correlation of the rate with the mean speed in the window",
           headline=True, undefined=_ALIKE),
    Result("speed_driver", (), "speed and driver", "correlation of the mean speed with who drives", absent=_STRANGERS),
    Result("accuracy_driver", (), "rule, of drivers", "share of agents whose label by the rule is their driver's",
           headline=True, absent=_STRANGERS),
    Result("macro_driver", (), "macro recall, of drivers", "mean over kinds of drivers; 1/3 for who always says the same",
           absent=_STRANGERS),
    Result("accuracy_foretold", (), "labels foretold", "share of labels by the rule that predicted positions give",
           headline=True),
    Result("macro_foretold", (), "macro recall, foretold", "mean over the labels by the rule"),
    Result("accuracy_spectral", (), "foretold by spectra", "share of labels by the rule that predicted spectra give",
           absent=_UNTRAINED),
    Result("neutral", (), "neutral", "share of agents that the rule calls so"),
    Result("tested", (), "tested", "windows of agents that errors are means of"),
    Result("ade", ("model",), "ADE", "mean distance from the truth; NaN of what was not trained", "m"),
    Result("fde", ("model",), "FDE", "at the last step", "m"),
    Result("rmse", ("model", "step"), "RMSE", "root of the mean square, by step", "m"),
    Result("position", ("frame", "agent", "axis"), "position", "on the road that is shown; NaN where absent", "m"),
    Result("weight", ("frame", "agent", "other"), "weight", "of the edge of two agents"),
    Result("theta", ("frame", "agent"), "θ", "degree: sum of weights; NaN where absent"),
    Result("eigvals", ("frame", "mode"), "eigenvalue", "of the Laplacian, ascending"),
    Result("eigvecs", ("frame", "agent", "vector"), "eigenvector", "rows: of the k largest eigenvalues, then of the k "
           "smallest"),
    Result("behaviour", ("moment", "agent"), "behaviour", "by the rule, of the window that begins here; NaN of who is absent "
           "here or at its end"),
    Result("cluster", ("moment", "agent"), "cluster", "in the spectral embedding; NaN where absent"),
    Result("path", ("moment", "agent", "step", "axis"), "predicted position", "by the forecast that is drawn", "m"),
    Result("ellipse", ("moment", "agent", "part"), "ellipse", "at the last step: deviations along and across the road in m, "
           "correlation"),
    Result("driver", ("agent",), "driver", "-1, 0, 1: slower, neutral, faster", absent=_STRANGERS),
    Result("rate", ("window", "agent"), "rate", "of the degree, over the future of a window; NaN where absent", "1/s"),
    Result("rate_foretold", ("window", "agent"), "rate by predicted positions", "the same, from predicted positions", "1/s"),
    Result("label", ("kind", "window", "agent"), "label", "-1 under, 0 neutral, 1 over; NaN where there is none"),
    Result("window_road", ("window",), "road", "of each window, counted from 0"),
    Result("confusion", ("pair", "truth", "told"), "agents", "by the true and the told class"),
    Result("recall", ("pair", "class"), "recall", "share of a true class that is told rightly"),
    Result("share", ("class",), "share", "of agents that the rule calls so"),
    Result("curve_loss", ("train_step",), "loss", "of all three networks, on the scenes of each step", absent=_UNTRAINED),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "model": ("forecast", ""), "step": ("steps ahead", "frames"), "frame": ("time", "s"),
    "moment": ("time", "s"), "agent": ("agent", ""),
    "other": ("agent", ""), "axis": ("coordinate", "m"), "mode": ("mode", ""), "pair": ("labels", ""),
    "vector": ("vector", ""), "part": ("part", ""),
    "window": ("window", ""), "kind": ("label", ""), "truth": ("truth", ""), "told": ("told", ""), "class": ("class", ""),
    "train_step": ("training step", ""),
}


class Inputs(eqx.Module):
    """All roads."""

    positions: Array  # (r, t, n, 2)
    mask: Array  # (r, t, n)
    profile: Array | None  # (r, n)
    dt: Array
    digest: str = eqx.field(static=True)


def inputs(data: Data) -> Inputs:
    """The roads of the data; a recording of one road is one."""
    arrays = data.arrays
    positions = np.asarray(arrays["positions"], float)
    one = positions.ndim == 3
    mask, profile = np.asarray(arrays["mask"]) != 0, arrays.get("profile")
    who = None if profile is None else placed(np.asarray(profile, np.int32).reshape(-1, positions.shape[-2]))
    positions, mask = (positions[None], mask[None]) if one else (positions, mask)
    return Inputs(placed(positions), placed(mask), who, placed(np.asarray(arrays["dt"][0], float)), data.sha256)


class _Case(NamedTuple):
    """What is looked at, every so many frames."""

    positions: Array
    mask: Array
    dt: Array


@jit
def _case(given: Inputs, every: int) -> _Case:
    return _Case(given.positions[:, ::every], given.mask[:, ::every], given.dt * every)


@jit
def _rule(radius: Any, scale: Any, nearest: int, neighbours: str, memory: str, window: int) -> survey.Rule:
    return survey.rule(radius, scale, nearest=nearest, neighbours=neighbours, memory=memory, window=window)


class _Unfinished(Exception):
    """A training that was stopped: it is used, and not kept."""

    def __init__(self, learned: Any):
        super().__init__()
        self.learned = learned


def run(given: Inputs, p: Any, loop: Loop) -> dict[str, Any]:
    """Graphs of all roads, forecasts, labels; and the streams, where they are trained."""
    case = _case(given, p.every)
    how = _rule(p.radius, p.scale, p.nearest, p.neighbours, p.edges, p.observed)
    found, reason = survey.graphs(loop, case.positions, case.mask, how, p.k)
    shape = (p.observed, p.predicted, p.turn)
    learned, curve, trained = _learned(given, case, found, p, loop, shape) if p.train_steps else (None, {}, reason)
    numbers = p.only("threshold", "penalty", "road")
    told = _told(given, case, found, how, numbers, learned, shape, p.forecast)
    done = 0 if isinstance(reason, Tracer) else len(case.positions) + p.train_steps
    return told | curve | {"reason": first_failure(reason, trained), "iterations": done}


def _learned(given: Inputs, case: _Case, found: survey.Graphs, p: Any, loop: Loop, shape: tuple) -> tuple:
    """The streams: trained, or out of the store where they were trained before; a stopped training is not kept."""
    first, drawn = jax.random.split(jax.random.key(p.seed))
    model = streams.streams(first, p.k, p.units)
    seen = _scenes(case, found, shape)
    # a loop of its own: a training that comes from the store must not change the order of the other loops' calls
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop

    def train() -> Any:
        return streams.train(own, model, seen, drawn, b1=p.b1, steps=p.train_steps, batch=p.batch,
                             learning_rate=p.learning_rate)

    names = ("radius", "scale", "b1", "learning_rate", "seed", "nearest", "neighbours", "edges", "observed", "predicted",
             "turn", "k", "units", "batch", "train_steps", "every")
    values = {name: getattr(p, name) for name in names}
    if any(isinstance(value, Tracer) for value in values.values()):
        learned = train()
        return learned.model, {"curve_loss": learned.loss}, learned.reason

    def make() -> Any:
        learned = train()
        if int(learned.reason) != Reason.CONVERGED:
            raise _Unfinished(learned)
        return learned.model, learned.loss

    plain = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    recipe = {"title": "streams of road agents", "roads": given.digest} | plain
    try:
        model, loss = weights.kept(recipe, (model, jnp.zeros(p.train_steps, jnp.float32)), make)
    except _Unfinished as unfinished:
        learned = unfinished.learned
        return learned.model, {"curve_loss": learned.loss}, learned.reason
    return model, {"curve_loss": loss}, Reason.CONVERGED


@jit
def _scenes(case: _Case, found: survey.Graphs, shape: tuple) -> streams.Scenes:
    """All windows that are learned from, frame by frame."""
    roads, frames = case.mask.shape[:2]
    first = windows.starts(frames, *shape[:2])
    train = survey.split(roads, frames, first, shape[0] + shape[1]).train.ravel()
    whole = survey.scenes(case.positions, case.mask, found.rows, first, *shape)
    return jax.tree.map(lambda each: each[np.flatnonzero(train)], whole)


def tested(roads: int, frames: int, observed: int, predicted: int) -> tuple[np.ndarray, survey.Split]:
    """The first frames of the windows that are fitted and tested, and which do what; of a single road all that there are.

    Raises:
        ValueError: too few frames.
    """
    first = windows.starts(frames, observed, predicted, STRIDE if roads > 1 else 1)
    return first, survey.split(roads, frames, first, observed + predicted)


@jit
def _told(
    given: Inputs, case: _Case, found: survey.Graphs, how: survey.Rule, p: Any, learned: streams.Streams | None, shape: tuple,
    model: str,
) -> dict[str, Any]:
    roads, frames = case.mask.shape[:2]
    observed, predicted, _ = shape
    first, parts = tested(roads, frames, observed, predicted)
    seen = survey.scenes(case.positions, case.mask, found.rows, first, *shape)
    there = seen.windows.there
    train, test = (there & jnp.asarray(part.ravel())[:, None] for part in parts)
    names = survey.MODELS if learned is not None else survey.MODELS[:2]
    models = {name: survey.fitted(name, seen, train, p.penalty, learned) for name in names}
    forecasts = {name: survey.forecast(each, seen.windows) for name, each in models.items()}
    unknown = jnp.asarray(jnp.nan)
    missing = [survey.Errors(unknown, unknown, jnp.full(predicted, jnp.nan))] * (len(survey.MODELS) - len(names))
    errors = [survey.errors(forecasts[name], seen.windows, test) for name in names]
    table = jax.tree.map(lambda *each: jnp.stack(list(map(jnp.asarray, each))), *errors, *missing)
    told = {"ade": table.ade, "fde": table.fde, "rmse": table.rmse, "tested": test.sum().astype(float)}
    told |= dict(zip(("ade_velocity", "ade_ridge"), table.ade, strict=False))
    told |= dict(zip(("fde_velocity", "fde_ridge"), table.fde, strict=False))
    rows = None
    if learned is not None:
        rows = streams.rows(learned.spectral, seen.past_rows, predicted)
        still = jnp.broadcast_to(seen.past_rows[:, :, -1:], rows.shape)
        apart = [streams.spectral_loss(each.astype(float), seen.future_rows, test) for each in (rows, still)]
        told |= {"ade_one": table.ade[2], "ade_two": table.ade[3], "spectral_error": apart[0] / apart[1]}
    told |= _labels(given, case, found, how, p, seen, forecasts[model], rows, first, shape, test)
    return told | _road(case, found, how, p, models[model], shape, parts.test) | (
        {} if given.profile is None else {"driver": given.profile.astype(float)[_shown(parts.test, p.road)]}
    ) | {"window_road": jnp.asarray(np.repeat(np.arange(roads), len(first)).astype(float))}


def _labels(
    given: Inputs, case: _Case, found: survey.Graphs, how: survey.Rule, p: Any, seen: streams.Scenes, told: survey.Forecast,
    rows: Array | None, first: np.ndarray, shape: tuple, test: Array,
) -> dict[str, Any]:
    """Labels by the rule, those that forecasts give, and who drives; and how they agree."""
    observed, predicted, _ = shape
    there = seen.windows.there
    true = survey.rates(found.theta, first, observed, predicted, case.dt)
    foretold = survey.foretold_rates(how, told, seen.windows, case.dt)
    by_rule, by_positions = (behaviour.label(each, p.threshold) for each in (true, foretold))
    known = lambda each: jnp.where(there, each, jnp.nan)  # noqa: E731
    nothing = jnp.full(there.shape, jnp.nan)
    counts = [jnp.full((3, 3), jnp.nan), behaviour.confusion(by_rule, by_positions, test), jnp.full((3, 3), jnp.nan)]
    labels = [known(by_rule), known(by_positions), nothing, nothing]
    truth = windows.outward(seen.windows.future, seen.windows.origin, seen.windows.heading)
    away = truth[:, :, -1] - seen.windows.origin
    speed = jnp.hypot(away[..., 0], away[..., 1]) / (predicted * case.dt)
    out = {"correlation_speed": survey.correlation(true, speed, there)}
    if rows is not None:
        top = found.top[:, first + observed - 1].reshape(-1, found.top.shape[-1])
        spectral = behaviour.label(survey.spectral_rates(rows.astype(float), seen.past_rows, top, case.dt), p.threshold)
        labels[2], counts[2] = known(spectral), behaviour.confusion(by_rule, spectral, test)
        out["accuracy_spectral"] = behaviour.weighted_accuracy(counts[2])
    if given.profile is not None:
        driver = jnp.repeat(given.profile, len(first), axis=0)
        labels[3], counts[0] = known(driver), behaviour.confusion(driver, by_rule, there)
        out |= {"correlation_driver": survey.correlation(true, driver.astype(float), there),
                "speed_driver": survey.correlation(speed, driver.astype(float), there),
                "accuracy_driver": behaviour.weighted_accuracy(counts[0]), "macro_driver": behaviour.macro_recall(counts[0])}
    share = jnp.stack([((by_rule == label) & there).sum() for label in (-1, 0, 1)]) / there.sum()
    return out | {
        "accuracy_foretold": behaviour.weighted_accuracy(counts[1]), "macro_foretold": behaviour.macro_recall(counts[1]),
        "neutral": share[1], "share": share, "rate": known(true), "rate_foretold": known(foretold),
        "label": jnp.stack(labels), "confusion": jnp.stack(counts),
        "recall": jnp.stack([behaviour.recall(each) for each in counts]),
    }


def _shown(test: np.ndarray, road: Any) -> Any:
    """The number of the road that is shown, of those that test."""
    return jnp.asarray(np.flatnonzero(test.any(axis=1)))[road]


def _road(
    case: _Case, found: survey.Graphs, how: survey.Rule, p: Any, model: survey.Forecaster, shape: tuple, test: np.ndarray
) -> dict[str, Any]:
    """One road that tests: frame by frame, and what is told at moments with a whole past and future."""
    road = _shown(test, p.road)
    positions, mask = case.positions[road], case.mask[road]
    mine: survey.Graphs = jax.tree.map(lambda each: each[road], found)
    frames, (observed, predicted, turn) = len(mask), shape
    seen = windows.cut(positions, mask, windows.starts(frames, observed, predicted), observed, predicted, turn)
    told = survey.forecast(model, seen)
    moments = np.arange(observed - 1, frames - predicted)  # all that is seen before and after
    labels = behaviour.label((mine.theta[moments + predicted] - mine.theta[moments]) / (predicted * case.dt), p.threshold)
    ends, here = mask[moments] & mask[moments + predicted], mask[moments]
    ends_at = jnp.where(seen.seen[..., None], survey.ellipses(told.covariance[:, :, -1]), jnp.nan)
    return {
        "position": jnp.where(mask[..., None], positions, jnp.nan), "weight": how.along(positions, mask),
        "theta": jnp.where(mask, mine.theta, jnp.nan), "eigvals": mine.values, "eigvecs": mine.rows,
        "behaviour": jnp.where(ends, labels, jnp.nan),
        "cluster": jnp.where(here, survey.clustered(mine.rows[moments], here), jnp.nan),
        "path": jnp.where(seen.seen[..., None, None], told.mean, jnp.nan), "ellipse": ends_at,
    }

"""Build the graphs of all roads, forecast positions, label behavior, and train the streams if requested."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.datasets import Data
from lab.numerics import Chunked, Loop, Reason, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.store import weights
from lab.studies.contract import Outputs, Run, out
from lab.studies.traffic import road_comparison
from lab.traffic import behaviour as rules
from lab.traffic import streams, windows

STRIDE = 8  # frames between the windows that are fitted and tested
_OF_TRAINING = """radius scale b1 learning_rate seed nearest neighbours edges observed predicted turn k units batch train_steps
every""".split()
KINDS = ("rule", "by positions", "by spectra", "driver")
PAIRS = ("rule vs. driver", "positions vs. rule", "spectra vs. rule")  # labels vs. truth

_UNTRAINED = "no stream was trained: set the training steps above 0"
_UNKNOWN = "the driver types are unknown: add a column profile with -1, 0 or 1"
_CONSTANT = "one of both quantities is the same for all agents, so there is no correlation"


_of_drivers, _meters = partial(out, absent=_UNKNOWN), partial(out, unit="m", headline=True)
_of_streams = partial(_meters, absent=_UNTRAINED)


class Experiment(Outputs):
    """Errors of the forecasts, labels of behavior, and the graphs of the road that is shown."""

    ade_velocity: Float[Array, ""] = _meters("ADE, constant velocity", "mean distance from the truth, held-out roads")
    ade_ridge: Float[Array, ""] = _meters("ADE, ridge", "mean distance from the truth, of a linear regression")
    fde_velocity: Float[Array, ""] = out("FDE, constant velocity", "mean distance at the last step", unit="m")
    fde_ridge: Float[Array, ""] = out("FDE, ridge", "mean distance at the last step", unit="m")
    ade_one: Float[Array, ""] | None = _of_streams("ADE, one stream", "of an LSTM of positions")
    ade_two: Float[Array, ""] | None = _of_streams("ADE, two streams", "of an LSTM with spectral regularization")
    spectral_error: Float[Array, ""] | None = out(
        "error of spectra", "mean squared error of eigenvectors, relative to persistence", absent=_UNTRAINED
    )
    correlation_driver: Float[Array, ""] | None = _of_drivers(
        "rate and driver", "correlation of the rate of the degree with driver type", headline=True, undefined=_CONSTANT
    )
    correlation_speed: Float[Array, ""] = out(
        "rate and speed", "correlation of the rate with mean speed in the window", headline=True, undefined=_CONSTANT
    )
    speed_driver: Float[Array, ""] | None = _of_drivers("speed and driver", "correlation of mean speed and driver type")
    accuracy_driver: Float[Array, ""] | None = _of_drivers(
        "accuracy of the rule", "fraction of agents whose label by the rule is their driver type", headline=True
    )
    macro_driver: Float[Array, ""] | None = _of_drivers(
        "macro recall of the rule", "mean over driver types; 1/3 for a constant label"
    )
    accuracy_foretold: Float[Array, ""] = out(
        "accuracy of predicted labels", "fraction of labels that predicted positions reproduce", headline=True
    )
    macro_foretold: Float[Array, ""] = out("macro recall of predicted labels", "mean over the labels by the rule")
    neutral: Float[Array, ""] = out("neutral", "fraction of agents that the rule labels neutral")
    tested: Float[Array, ""] = out("tested", "number of windows of single agents in the test set")
    ade: Float[Array, " model"] = out("ADE", "mean distance from the truth; NaN if not trained", unit="m")
    fde: Float[Array, " model"] = out("FDE", "mean distance at the last step", unit="m")
    rmse: Float[Array, "model step"] = out("RMSE", "root mean square error by step", unit="m")
    position: Float[Array, "frame agent axis"] = out("position", "on the road that is shown; NaN if absent", unit="m")
    weight: Float[Array, "frame agent other"] = out("weight", "of the edge between two agents")
    theta: Float[Array, "frame agent"] = out("θ", "degree: sum of weights; NaN if absent")
    eigvals: Float[Array, "frame mode"] = out("eigenvalue", "of the Laplacian, ascending")
    eigvecs: Float[Array, "frame agent vector"] = out("eigenvector", "rows: k largest eigenvalues, then k smallest")
    behaviour: Float[Array, "moment agent"] = out("behavior", "label of the window from here; NaN if absent at an end")
    cluster: Float[Array, "moment agent"] = out("cluster", "in the spectral embedding; NaN if absent")
    path: Float[Array, "moment agent step axis"] = out("predicted position", "by the forecast that is drawn", unit="m")
    ellipse: Float[Array, "moment agent part"] = out("ellipse", "last step: standard deviations (m), correlation")
    driver: Float[Array, " agent"] | None = _of_drivers("driver", "-1, 0, 1: slow, neutral, fast")
    rate: Float[Array, "window agent"] = out("rate", "of the degree, over a future; NaN if absent", unit="1/s")
    label: Float[Array, "kind window agent"] = out("label", "-1 under, 0 neutral, 1 over; NaN if there is none")
    window_road: Float[Array, " window"] = out("road", "of each window, counted from 0")
    confusion: Float[Array, "pair truth told"] = out("agents", "by true and predicted label")
    curve_loss: Float[Array, " train_step"] | None = out("loss", "of all three networks, by step", absent=_UNTRAINED)


class Inputs(eqx.Module):
    """All roads."""

    positions: Array  # (r, t, n, 2)
    mask: Array  # (r, t, n)
    profile: Array | None  # (r, n)
    dt: Array
    digest: str = eqx.field(static=True)


def inputs_of(data: Data) -> Inputs:
    """The roads of a data set."""
    arrays = data.arrays
    positions = np.asarray(arrays["positions"], float)
    one = positions.ndim == 3
    mask, profile = np.asarray(arrays["mask"]) != 0, arrays.get("profile")
    who = None if profile is None else placed(np.asarray(profile, np.int32).reshape(-1, positions.shape[-2]))
    positions, mask = (positions[None], mask[None]) if one else (positions, mask)
    return Inputs(placed(positions), placed(mask), who, placed(np.asarray(arrays["dt"][0], float)), data.sha256)


class _Case(NamedTuple):
    """The frames in use, the rule of their graphs, and the graphs."""

    positions: Array
    mask: Array
    dt: Array
    how: road_comparison.Rule
    found: Any = None


@jit
def _case(given: Inputs, radius: Any, scale: Any, every: int, **rule: Any) -> _Case:
    frames = given.positions[:, ::every], given.mask[:, ::every], given.dt * every
    return _Case(*frames, road_comparison.rule(radius, scale, **rule))


class _Unfinished(Exception):
    """A stopped training: used, but not stored."""


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Build the graphs road by road, forecast and label; train the streams if steps are requested."""
    rule = {"nearest": p.nearest, "neighbours": p.neighbours, "memory": p.edges, "window": p.observed}
    case = _case(inputs, p.radius, p.scale, p.every, **rule)
    found, reason = road_comparison.graphs(loop, case.positions, case.mask, case.how, p.k)
    case, shape = case._replace(found=found), (p.observed, p.predicted, p.turn)
    learned, curve, trained = _learned(inputs, case, p, loop, shape) if p.train_steps else (None, {}, reason)
    numbers = p.only("threshold", "penalty", "road")
    output = _described(inputs, case, numbers, learned, shape, p.forecast)
    done = 0 if isinstance(reason, Tracer) else len(case.positions) + p.train_steps
    return Run(Experiment(**output, **curve), first_failure(reason, trained), done)


def _learned(given: Inputs, case: _Case, p: Any, loop: Loop, shape: tuple) -> tuple:
    """The streams, trained or read from the store; a stopped training is not stored."""
    first, drawn = jax.random.split(jax.random.key(p.seed))
    model = streams.streams(first, p.k, p.units)
    seen = _scenes(case, shape)
    # a separate loop: a training from the store must not change the order of the other loops' calls
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop

    how = {"b1": p.b1, "steps": p.train_steps, "batch": p.batch, "learning_rate": p.learning_rate}
    train = partial(streams.train, own, model, seen, drawn, **how)
    values = {name: getattr(p, name) for name in _OF_TRAINING}
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
        (learned,) = unfinished.args
        return learned.model, {"curve_loss": learned.loss}, learned.reason
    return model, {"curve_loss": loss}, Reason.CONVERGED


@jit
def _scenes(case: _Case, shape: tuple) -> streams.Scenes:
    """All training windows, frame by frame."""
    roads, frames = case.mask.shape[:2]
    first = windows.starts(frames, *shape[:2])
    train = road_comparison.split(roads, frames, first, shape[0] + shape[1]).train.ravel()
    whole = road_comparison.scenes(case.positions, case.mask, case.found.rows, first, *shape)
    return jax.tree.map(lambda each: each[np.flatnonzero(train)], whole)


def tested(roads: int, frames: int, observed: int, predicted: int) -> tuple[np.ndarray, road_comparison.Split]:
    """First frames of the windows, and which of them train and test; a single road has a window at every frame.

    Raises:
        ValueError: too few frames.
    """
    first = windows.starts(frames, observed, predicted, STRIDE if roads > 1 else 1)
    return first, road_comparison.split(roads, frames, first, observed + predicted)


@jit
def _described(
    given: Inputs, case: _Case, p: Any, learned: streams.Streams | None, shape: tuple, model: str
) -> dict[str, Any]:
    roads, frames = case.mask.shape[:2]
    observed, predicted, _ = shape
    first, parts = tested(roads, frames, observed, predicted)
    seen = road_comparison.scenes(case.positions, case.mask, case.found.rows, first, *shape)
    there = seen.windows.there
    train, test = (there & jnp.asarray(part.ravel())[:, None] for part in parts)
    names = road_comparison.MODELS if learned is not None else road_comparison.MODELS[:2]
    models = {name: road_comparison.fitted(name, seen, train, p.penalty, learned) for name in names}
    forecasts = {name: road_comparison.forecast(each, seen.windows) for name, each in models.items()}
    unknown = jnp.asarray(jnp.nan)
    missing = [road_comparison.Errors(unknown, unknown, jnp.full(predicted, jnp.nan))] * (
        len(road_comparison.MODELS) - len(names)
    )
    errors = [road_comparison.errors(forecasts[name], seen.windows, test) for name in names]
    table = jax.tree.map(lambda *each: jnp.stack(list(map(jnp.asarray, each))), *errors, *missing)
    output = {"ade": table.ade, "fde": table.fde, "rmse": table.rmse, "tested": test.sum().astype(float)}
    for name in ("ade", "fde"):
        output |= dict(zip((f"{name}_velocity", f"{name}_ridge"), output[name], strict=False))
    rows = None
    if learned is not None:
        rows = streams.rows(learned.spectral, seen.past_rows, predicted)
        still = jnp.broadcast_to(seen.past_rows[:, :, -1:], rows.shape)
        apart = [streams.spectral_loss(each.astype(float), seen.future_rows, test) for each in (rows, still)]
        output |= {"ade_one": table.ade[2], "ade_two": table.ade[3], "spectral_error": apart[0] / apart[1]}
    output |= _labels(given, case, p, seen, forecasts[model], rows, first, test)
    road = jnp.asarray(np.flatnonzero(parts.test.any(axis=1)))[p.road]
    if given.profile is not None:
        output["driver"] = given.profile.astype(float)[road]
    output["window_road"] = jnp.asarray(np.repeat(np.arange(roads), len(first)).astype(float))
    return output | _road(case, road, p.threshold, models[model], shape)


def _labels(given: Inputs, case: _Case, p: Any, seen: Any, forecast: Any, rows: Any, first: Any, test: Any) -> dict:
    """Labels by the rule, labels predicted by forecasts, driver types, and their agreement."""
    observed, predicted = seen.windows.past.shape[2], seen.windows.future.shape[2]
    there = seen.windows.there
    true = road_comparison.rates(case.found.theta, first, observed, predicted, case.dt)
    foretold = road_comparison.foretold_rates(case.how, forecast, seen.windows, case.dt)
    by_rule, by_positions = (rules.label(each, p.threshold) for each in (true, foretold))
    known = lambda each: jnp.where(there, each, jnp.nan)  # noqa: E731
    nothing = jnp.full(there.shape, jnp.nan)
    counts = [jnp.full((3, 3), jnp.nan), rules.confusion(by_rule, by_positions, test), jnp.full((3, 3), jnp.nan)]
    labels = [known(by_rule), known(by_positions), nothing, nothing]
    truth = windows.outward(seen.windows.future, seen.windows.origin, seen.windows.heading)
    away = truth[:, :, -1] - seen.windows.origin
    speed = jnp.hypot(away[..., 0], away[..., 1]) / (predicted * case.dt)
    output = {"correlation_speed": road_comparison.correlation(true, speed, there)}
    if rows is not None:
        top = case.found.top
        top = top[:, first + observed - 1].reshape(-1, top.shape[-1])
        spectral = rules.label(
            road_comparison.spectral_rates(rows.astype(float), seen.past_rows, top, case.dt), p.threshold
        )
        labels[2], counts[2] = known(spectral), rules.confusion(by_rule, spectral, test)
    if given.profile is not None:
        driver = jnp.repeat(given.profile, len(first), axis=0)
        labels[3], counts[0] = known(driver), rules.confusion(driver, by_rule, there)
        output |= {
            "correlation_driver": road_comparison.correlation(true, driver.astype(float), there),
            "speed_driver": road_comparison.correlation(speed, driver.astype(float), there),
            "accuracy_driver": rules.weighted_accuracy(counts[0]),
            "macro_driver": rules.macro_recall(counts[0]),
        }
    return output | {
        "accuracy_foretold": rules.weighted_accuracy(counts[1]),
        "macro_foretold": rules.macro_recall(counts[1]),
        "neutral": ((by_rule == 0) & there).sum() / there.sum(),
        "rate": known(true),
        "label": jnp.stack(labels),
        "confusion": jnp.stack(counts),
    }


def _road(case: _Case, road: Any, threshold: Any, model: road_comparison.Forecaster, shape: tuple) -> dict[str, Any]:
    """One test road frame by frame, with forecasts at moments that have a complete past and future."""
    positions, mask = case.positions[road], case.mask[road]
    mine: road_comparison.Graphs = jax.tree.map(lambda each: each[road], case.found)
    frames, (observed, predicted, turn) = len(mask), shape
    seen = windows.cut(positions, mask, windows.starts(frames, observed, predicted), observed, predicted, turn)
    forecast = road_comparison.forecast(model, seen)
    moments = np.arange(observed - 1, frames - predicted)
    labels = rules.label((mine.theta[moments + predicted] - mine.theta[moments]) / (predicted * case.dt), threshold)
    ends, here = mask[moments] & mask[moments + predicted], mask[moments]
    ends_at = jnp.where(seen.seen[..., None], road_comparison.ellipses(forecast.covariance[:, :, -1]), jnp.nan)
    return {
        "position": jnp.where(mask[..., None], positions, jnp.nan),
        "weight": case.how.along(positions, mask),
        "theta": jnp.where(mask, mine.theta, jnp.nan),
        "eigvals": mine.values,
        "eigvecs": mine.rows,
        "behaviour": jnp.where(ends, labels, jnp.nan),
        "cluster": jnp.where(here, road_comparison.clustered(mine.rows[moments], here), jnp.nan),
        "path": jnp.where(seen.seen[..., None, None], forecast.mean, jnp.nan),
        "ellipse": ends_at,
    }

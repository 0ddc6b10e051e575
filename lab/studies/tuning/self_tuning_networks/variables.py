"""The results of the study, and what its two kinds of training fill them with."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from lab.datasets import Data
from lab.numerics import Loop, first_failure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.studies.contract import Result
from lab.tuning import networks, ridge, self_tuning
from lab.tuning.ranges import Range, values

RIDGE, PERCEPTRON, CONVOLUTION = "ridge regression", "perceptron", "convolutional network"
PROBLEMS = (RIDGE, PERCEPTRON, CONVOLUTION)
NOTHING, RANDOM, GRID, SCHEDULES = "nothing", "random search", "grid search", "schedules"
COMPARED = (NOTHING, RANDOM, GRID, SCHEDULES)
WHATS = ("held at its end", "perturbed", "a sine", "its schedule again")
FRAMES, FEATURES, BATCH, DRAWS, SIDE, LINE = 150, 20, 32, 10, 5, 97
SPAN = (-8.0, 4.0)
_GRID = (0.03, 0.9)  # shares of a range
MOMENTUM = optax.trace(decay=0.9)
RATES, DECAYS = ("of the input", "of layer 1", "of layer 2"), ("decay",)
CUTS = ("dropout", "noise", "length", "holes")

_ONE = "one strength is tuned of a ridge regression only: choose it as the problem, with one group of weights"
_KNOWN = "the best response of a network is not known: choose ridge regression as the problem"
_NETWORK = "no network was trained: choose a perceptron or a convolutional network as the problem"
_ALONE = "nothing was trained beside it: choose what to compare with"
RESULTS = (
    Result("val", (), "validation loss", "at the end, mean of the starts", headline=True),
    Result("val_best", (), "best loss on the way", "least validation loss of each start, mean of them", headline=True),
    Result("val_worst", (), "loss of the worst start", "largest validation loss at the end", headline=True),
    Result("lam_spread", (), "spread of λ", "of the starts at the end, the most of all hyperparameters", headline=True),
    Result("sigma_end", (), "scale", "of the perturbation at the end, mean", headline=True),
    Result("lam_end", (), "λ", "at the end, mean of the starts", absent=_ONE, headline=True),
    Result("known", (), "least that is possible", "validation loss at the best strengths", absent=_KNOWN),
    Result("known_lam", (), "λ*", "the best strength, by a search", absent=_ONE),
    Result("excess", (), "above it", "validation loss at the end above the least, the worst start", "%", absent=_KNOWN,
           headline=True),
    Result("slope_off", (), "error of the response", "slope of the response against the true one, relative, the worst start",
           absent=_KNOWN, headline=True),
    Result("accuracy_end", (), "right", "share of test samples where each start validates best, mean", absent=_NETWORK,
           headline=True),
    Result("rival_least", (), "best of the others", "least validation loss on the way of what was trained beside it",
           absent=_ALONE),
    Result("rival_median", (), "median of the others", "the same, of the one in the middle", absent=_ALONE),
    Result("begin", ("start",), "λ at first", "of all hyperparameters of a start"),
    Result("lam", ("cycle", "start", "hyper"), "λ", "hyperparameter without bounds"),
    Result("value", ("cycle", "start", "hyper"), "value", "hyperparameter in its range"),
    Result("sigma", ("cycle", "start", "hyper"), "scale σ", "of the perturbation"),
    Result("train_loss", ("cycle", "start"), "training loss", "without regularization"),
    Result("val_loss", ("cycle", "start"), "validation loss", "mean squared error, or cross-entropy in nats"),
    Result("test_loss", ("cycle", "start"), "test loss", "the same of the test rows"),
    Result("accuracy", ("cycle", "start"), "right", "share of test samples", absent=_NETWORK),
    Result("jac_error", ("cycle", "start"), "slope off", "of the response, relative to the true slope", absent=_KNOWN),
    Result("weight_error", ("cycle", "start"), "weights off", "of the response at λ, relative to the best response",
           absent=_KNOWN),
    Result("here", ("cycle", "start"), "response", "at λ, along the weights without a penalty", absent=_KNOWN),
    Result("tilt", ("cycle", "start", "hyper"), "slope of the response", "along the same", absent=_KNOWN),
    Result("curve", ("strength",), "best response", "along the weights without a penalty", absent=_ONE),
    Result("valley", ("strength",), "validation loss", "of the best response", absent=_ONE),
    Result("plain", ("strength", "other"), "validation loss", "of the best response, by both strengths",
           absent="two strengths are tuned of a ridge regression in two groups only"),
    Result("gates", ("unit", "strength"), "gate", "of a hidden unit of the linear network", absent=_ONE),
    Result("rival_lam", ("rival", "hyper"), "λ", "that was held", absent=_ALONE),
    Result("by_two", ("first", "second"), "least validation loss", "by the first two hyperparameters, held",
           absent="choose grid search beside it, and a problem with two hyperparameters"),
    Result("rival_val", ("cycle", "rival"), "validation loss", "of what was trained beside it", absent=_ALONE),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "cycle": ("cycle", ""), "start": ("start", ""), "hyper": ("hyperparameter", ""), "strength": ("λ", ""),
    "first": ("λ of the first", ""), "second": ("λ of the second", ""),
    "other": ("λ of the second group", ""), "unit": ("hidden unit", ""), "rival": ("trained beside it", ""),
}


def inputs(data: Data) -> dict[str, Any]:
    """Samples in an order of their own, in parts to train, to validate and to test on; in single precision, as networks are."""
    x, classes = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["classes"])
    order = np.random.default_rng(0).permutation(len(x))
    x = (x[order] / (np.abs(x).max() or 1.0)).astype(np.float32)
    y = np.unique(classes[order], return_inverse=True)[1].astype(np.int32)
    ends = min(300, max(1, len(x) // 4)), min(800, max(2, 2 * len(x) // 3)), min(1800, len(x))
    parts = [networks.Rows(placed(x[a:b]), placed(y[a:b])) for a, b in zip((0, *ends[:-1]), ends, strict=True)]
    return {"samples": networks.Samples(*parts), "classes": int(y.max()) + 1}


def hypers(p: Any) -> list[str]:
    """Names of what is tuned."""
    if p.problem == RIDGE:
        return [f"group {i + 1}" for i in range(p.groups)] if p.groups > 1 else ["penalty"]
    return list(CUTS if p.problem == CONVOLUTION else RATES + DECAYS * p.decays)


@jit
def _table(key: Array, noise: Any, groups: int, rows: int) -> ridge.Ridge:
    dtype = jnp.result_type(float)
    return ridge.made(key, jnp.asarray(noise, dtype), jnp.asarray(ridge.grouped(FEATURES, groups), dtype), n=rows)


def _task(inputs: Mapping[str, Any], p: Any, key: Array) -> tuple[Any, tuple[Range, ...]]:
    if p.problem == RIDGE:
        return ridge.RidgeTask(_table(key, p.noise, p.groups, p.rows), BATCH), (Range(log=True),) * p.groups
    given = inputs["samples"], inputs["classes"], p.units, p.batch
    made: Any = networks.PerceptronTask(*given, p.decays) if p.problem == PERCEPTRON else networks.ConvolutionalTask(*given)
    return made, made.ranges


@jit
def _starts(lowest: Any, highest: Any, starts: int, h: int, dtype: Any) -> Array:
    """Starts of all hyperparameters alike, from the lowest to the highest."""
    at = jnp.linspace(lowest, highest, starts) if starts > 1 else jnp.asarray([(lowest + highest) / 2])
    return jnp.broadcast_to(at[:, None], (starts, h)).astype(dtype)


@jit
def _keys(p: Any) -> tuple[Array, ...]:
    return tuple(jax.random.split(jax.random.key(p.seed), 3))


def run(inputs: Mapping[str, Any], p: Any, loop: Loop) -> dict[str, Any]:
    """Tune from several starts side by side, and train beside it what is asked for."""
    of_data, of_training, of_rivals = _keys(p.only("seed"))
    task, ranges = _task(inputs, p, of_data)
    dtype = jnp.result_type(float) if p.problem == RIDGE else jnp.float32
    settings: dict[str, Any] = {
        "frames": FRAMES, "every": max(1, p.cycles // FRAMES),
        "optimizer": self_tuning.ADAM if p.problem == RIDGE else MOMENTUM,
        "rates": self_tuning.Rates(p.learning_rate, p.hyper_rate, p.hyper_rate, p.entropy, p.warmup),
    }
    rules = self_tuning.Rules(p.trains, p.validates, p.tuned, p.centred, p.shared, p.responds)
    starts = _starts(p.lowest, p.highest, p.starts, len(ranges), dtype)
    found = self_tuning.tune(loop, task, of_training, starts, sigma=p.sigma, rules=rules, **settings)
    told = _told(found.seen, ranges, found.iterations) | {"begin": starts[:, 0]}
    if p.problem == RIDGE:
        told |= _known(task.ridge, found.seen, found.iterations)
    reason = found.reason
    if p.compare != NOTHING:
        follow, sigma = _followed(found.seen, found.iterations, of_rivals, p.compare)
        settings |= {"sigma": sigma, "schedule": follow, "rules": rules._replace(responds=False)}
        beside = self_tuning.tune(loop, task, of_training, follow[:, 0], **settings)
        told |= _beside(beside.seen["val_loss"], follow, p.compare == GRID and len(ranges) > 1)
        reason = first_failure(reason, beside.reason)
    return told | {"reason": reason, "iterations": found.iterations * settings["every"]}


def _last(seen: Array, frames: Any) -> Array:
    return jax.lax.dynamic_index_in_dim(seen, jnp.maximum(frames, 1) - 1, keepdims=False)


@jit
def _told(seen: Mapping[str, Array], ranges: tuple[Range, ...], frames: Any) -> dict[str, Array]:
    """Curves, and what they end in."""
    kept = {name: seen[name] for name in ("lam", "sigma", "train_loss", "val_loss", "test_loss")}
    kept |= {name: seen[name] for name in ("jac_error", "weight_error", "accuracy", "tilt") if name in seen}
    if "along" in seen:
        kept["here"] = seen["along"]
    last = {name: _last(seen[name], frames) for name in ("lam", "sigma", "val_loss")}
    best = jnp.nanargmin(jnp.where(jnp.isfinite(seen["val_loss"]), seen["val_loss"], jnp.inf), axis=0)
    of_best = lambda name: jnp.take_along_axis(seen[name], best[None], axis=0)[0].mean()  # noqa: E731
    told = {
        "value": values(ranges, seen["lam"]), "val": last["val_loss"].mean(), "val_best": of_best("val_loss"),
        "val_worst": last["val_loss"].max(), "sigma_end": last["sigma"].mean(),
        "lam_spread": (last["lam"].max(axis=0) - last["lam"].min(axis=0)).max(),
    }
    if "accuracy" in seen:
        told["accuracy_end"] = of_best("accuracy")
    return kept | told


@jit
def _known(table: ridge.Ridge, seen: Mapping[str, Array], frames: Any) -> dict[str, Array]:
    """What is known of a ridge regression."""
    best = ridge.optimum(table, SPAN)
    least, h = table.validated(best), table.groups.shape[1]
    told = {
        "known": least, "excess": 100 * (_last(seen["val_loss"], frames).max() / least - 1),
        "slope_off": _last(seen["jac_error"], frames).max(),
    }
    axis = jnp.linspace(*SPAN, LINE if h == 1 else 41)
    if h > 1:
        pairs = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), axis=-1)
        return told | {"plain": jax.vmap(jax.vmap(table.validated))(pairs)}
    unit = ridge.linear_network(table.train)
    rows = jnp.log(len(table.train.x))  # its penalty is of the sum of squares
    return told | {
        "known_lam": best[0], "lam_end": _last(seen["lam"], frames).mean(), "valley": jax.vmap(table.validated)(axis[:, None]),
        "curve": ridge.response_along(table, axis[:, None]), "gates": jax.vmap(unit.gates, out_axes=1)(axis + rows),
    }


def _logit(share: Any) -> Any:
    return jnp.log(share) - jnp.log1p(-share)


@jit
def _followed(seen: Mapping[str, Array], frames: Any, key: Array, compare: str) -> tuple[Array, Array]:
    """(rivals, frames, h): hyperparameters of each frame of what is trained beside it, and how much they are perturbed."""
    lam = seen["lam"]
    h, dtype = lam.shape[2], lam.dtype
    held = lambda at: jnp.broadcast_to(at[:, None], (len(at), FRAMES, h)).astype(dtype)  # noqa: E731
    if compare == RANDOM:
        drawn = _logit(random.uniform(key, (DRAWS, h), dtype, 0.021, 0.947))
        return held(drawn), jnp.zeros(DRAWS, dtype)
    end = _last(lam, frames).mean(axis=0)
    if compare == GRID:
        axis = _logit(jnp.linspace(*_GRID, SIDE, dtype=dtype))
        pairs = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)[:, : min(2, h)]
        rest = jnp.broadcast_to(end[2:][None], (len(pairs), max(0, h - 2)))
        return held(jnp.concatenate([pairs, rest], axis=1)), jnp.zeros(len(pairs), dtype)
    wave = end[None] + jnp.sin(8 * jnp.pi * jnp.arange(FRAMES) / FRAMES)[:, None]
    again = jnp.where(jnp.isfinite(lam[:, 0]), lam[:, 0], end[None])
    rows = jnp.stack([*held(jnp.stack([end, end])), wave.astype(dtype), again])
    sigma = _last(seen["sigma"], frames).mean()
    return rows, jnp.stack([0 * sigma, sigma, 0 * sigma, 0 * sigma])


@jit
def _beside(losses: Array, follow: Array, square: bool) -> dict[str, Array]:
    least = jnp.where(jnp.isfinite(losses), losses, jnp.inf).min(axis=0)
    told = {"rival_lam": follow.mean(axis=1), "rival_val": losses} | ({"by_two": least.reshape(SIDE, SIDE)} if square else {})
    return told | {"rival_least": least.min(), "rival_median": jnp.median(least)}


def coords(p: Any) -> dict[str, Any]:
    """Cycles, starts and names."""
    every = max(1, p.cycles // FRAMES)
    found: dict[str, Any] = {"cycle": every * np.arange(1, FRAMES + 1), "start": 1 + np.arange(p.starts), "hyper": hypers(p)}
    if p.problem == RIDGE:
        found["strength"] = np.linspace(*SPAN, LINE if p.groups == 1 else 41)
        found |= {"other": found["strength"]} if p.groups > 1 else {"unit": 1 + np.arange(min(FEATURES, p.rows))}
    if p.compare != NOTHING:
        many = DRAWS if p.compare == RANDOM else SIDE ** min(2, len(found["hyper"]))
        found["rival"] = list(WHATS) if p.compare == SCHEDULES else 1 + np.arange(many)
        if p.compare == GRID and len(found["hyper"]) > 1:
            axis = np.linspace(*_GRID, SIDE)
            found |= dict.fromkeys(("first", "second"), np.log(axis / (1 - axis)))
    return found



"""Train networks that tune themselves from several starts, and compare them with other trainings."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from lab.numerics import Loop, first_failure, random
from lab.numerics.jit import jit
from lab.studies.contract import Outputs, Run, out
from lab.studies.tuning import tuned_networks
from lab.tuning import ridge, self_tuning
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
_ALONE = "no other training was compared: choose one"


class Experiment(Outputs):
    """Schedules and losses of a self-tuning training, by start."""

    val: Float[Array, ""] = out("validation loss", "at the end, mean over starts", headline=True)
    val_best: Float[Array, ""] = out("best loss", "minimum over cycles, mean over starts", headline=True)
    val_worst: Float[Array, ""] = out("loss of the worst start", "largest validation loss at the end", headline=True)
    lam_spread: Float[Array, ""] = out(
        "spread of λ", "of the final starts, maximum over hyperparameters", headline=True
    )
    sigma_end: Float[Array, ""] = out("scale", "of the perturbation at the end, mean over starts", headline=True)
    lam_end: Float[Array, ""] | None = out("λ", "at the end, mean over starts", absent=_ONE, headline=True)
    known: Float[Array, ""] | None = out("minimum validation loss", "at the best strengths", absent=_KNOWN)
    known_lam: Float[Array, ""] | None = out("λ*", "the best strength, by a search", absent=_ONE)
    excess: Float[Array, ""] | None = out(
        "excess", "of the final validation loss, maximum over starts", absent=_KNOWN, headline=True, unit="%"
    )
    slope_off: Float[Array, ""] | None = out(
        "error of the response", "of its slope, relative, maximum over starts", absent=_KNOWN, headline=True
    )
    accuracy_end: Float[Array, ""] | None = out(
        "accuracy", "on test samples at the minimum validation loss", absent=_NETWORK, headline=True
    )
    rival_least: Float[Array, ""] | None = out("best of the others", "their minimum validation loss", absent=_ALONE)
    rival_median: Float[Array, ""] | None = out(
        "median of the others", "median of their minimum validation losses", absent=_ALONE
    )
    begin: Float[Array, " start"] = out("initial λ", "of all hyperparameters of a start")
    lam: Float[Array, "cycle start hyper"] = out("λ", "hyperparameter without bounds")
    value: Float[Array, "cycle start hyper"] = out("value", "hyperparameter in its range")
    sigma: Float[Array, "cycle start hyper"] = out("scale σ", "of the perturbation")
    train_loss: Float[Array, "cycle start"] = out("training loss", "without regularization")
    val_loss: Float[Array, "cycle start"] = out("validation loss", "mean squared error, or cross-entropy in nats")
    test_loss: Float[Array, "cycle start"] = out("test loss", "the same for the test rows")
    accuracy: Float[Array, "cycle start"] | None = out("accuracy", "on test samples", absent=_NETWORK)
    jac_error: Float[Array, "cycle start"] | None = out("slope error", "relative to the true slope", absent=_KNOWN)
    weight_error: Float[Array, "cycle start"] | None = out(
        "weight error", "relative to the best response", absent=_KNOWN
    )
    here: Float[Array, "cycle start"] | None = out(
        "response", "at λ, along the weights without a penalty", absent=_KNOWN
    )
    tilt: Float[Array, "cycle start hyper"] | None = out(
        "slope of the response", "along the weights without a penalty", absent=_KNOWN
    )
    curve: Float[Array, " strength"] | None = out("best response", "along the weights without a penalty", absent=_ONE)
    valley: Float[Array, " strength"] | None = out("validation loss", "of the best response", absent=_ONE)
    plain: Float[Array, "strength other"] | None = out(
        "validation loss",
        "of the best response, by both strengths",
        absent="two strengths are tuned of a ridge regression in two groups only",
    )
    rival_lam: Float[Array, "rival hyper"] | None = out("λ", "mean over the training", absent=_ALONE)
    rival_val: Float[Array, "cycle rival"] | None = out("validation loss", "of the compared trainings", absent=_ALONE)


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Tune from several starts in parallel, and train the compared runs."""
    of_data, of_training, of_rivals = _keys(p.only("seed"))
    task, ranges = _task(inputs, p, of_data)
    dtype = jnp.result_type(float) if p.problem == RIDGE else jnp.float32
    settings: dict[str, Any] = {
        "frames": FRAMES,
        "every": max(1, p.cycles // FRAMES),
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
        told |= _beside(beside.seen["val_loss"], follow)
        reason = first_failure(reason, beside.reason)
    return Run(Experiment(**told), reason, found.iterations * settings["every"])


@jit
def _table(key: Array, noise: Any, groups: int, rows: int) -> ridge.Ridge:
    dtype = jnp.result_type(float)
    return ridge.made(key, jnp.asarray(noise, dtype), jnp.asarray(ridge.grouped(FEATURES, groups), dtype), n=rows)


def _task(inputs: Mapping[str, Any], p: Any, key: Array) -> tuple[Any, tuple[Range, ...]]:
    if p.problem == RIDGE:
        return ridge.RidgeTask(_table(key, p.noise, p.groups, p.rows), BATCH), (Range(log=True),) * p.groups
    given = inputs["samples"], inputs["classes"], p.units, p.batch
    made: Any = (
        tuned_networks.PerceptronTask(*given, p.decays) if p.problem == PERCEPTRON else tuned_networks.ConvolutionalTask(*given)
    )
    return made, made.ranges


@jit
def _starts(lowest: Any, highest: Any, starts: int, h: int, dtype: Any) -> Array:
    """Equal starts for all hyperparameters, evenly from the lowest to the highest."""
    at = jnp.linspace(lowest, highest, starts) if starts > 1 else jnp.asarray([(lowest + highest) / 2])
    return jnp.broadcast_to(at[:, None], (starts, h)).astype(dtype)


@jit
def _keys(p: Any) -> tuple[Array, ...]:
    return tuple(jax.random.split(jax.random.key(p.seed), 3))


def _last(seen: Array, frames: Any) -> Array:
    return jax.lax.dynamic_index_in_dim(seen, jnp.maximum(frames, 1) - 1, keepdims=False)


@jit
def _told(seen: Mapping[str, Array], ranges: tuple[Range, ...], frames: Any) -> dict[str, Array]:
    """Curves and their ends."""
    kept = {name: seen[name] for name in ("lam", "sigma", "train_loss", "val_loss", "test_loss")}
    kept |= {name: seen[name] for name in ("jac_error", "weight_error", "accuracy", "tilt") if name in seen}
    if "along" in seen:
        kept["here"] = seen["along"]
    last = {name: _last(seen[name], frames) for name in ("lam", "sigma", "val_loss")}
    best = jnp.nanargmin(jnp.where(jnp.isfinite(seen["val_loss"]), seen["val_loss"], jnp.inf), axis=0)
    of_best = lambda name: jnp.take_along_axis(seen[name], best[None], axis=0)[0].mean()  # noqa: E731
    told = {
        "value": values(ranges, seen["lam"]),
        "val": last["val_loss"].mean(),
        "val_best": of_best("val_loss"),
        "val_worst": last["val_loss"].max(),
        "sigma_end": last["sigma"].mean(),
        "lam_spread": (last["lam"].max(axis=0) - last["lam"].min(axis=0)).max(),
    }
    if "accuracy" in seen:
        told["accuracy_end"] = of_best("accuracy")
    return kept | told


@jit
def _known(table: ridge.Ridge, seen: Mapping[str, Array], frames: Any) -> dict[str, Array]:
    """Closed forms for a ridge regression."""
    best = ridge.optimum(table, SPAN)
    least, h = table.validated(best), table.groups.shape[1]
    told = {
        "known": least,
        "excess": 100 * (_last(seen["val_loss"], frames).max() / least - 1),
        "slope_off": _last(seen["jac_error"], frames).max(),
    }
    axis = jnp.linspace(*SPAN, LINE if h == 1 else 41)
    if h > 1:
        pairs = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), axis=-1)
        return told | {"plain": jax.vmap(jax.vmap(table.validated))(pairs)}
    return told | {
        "known_lam": best[0],
        "lam_end": _last(seen["lam"], frames).mean(),
        "valley": jax.vmap(table.validated)(axis[:, None]),
        "curve": ridge.response_along(table, axis[:, None]),
    }


def _logit(share: Any) -> Any:
    return jnp.log(share) - jnp.log1p(-share)


@jit
def _followed(seen: Mapping[str, Array], frames: Any, key: Array, compare: str) -> tuple[Array, Array]:
    """(rivals, frames, h): hyperparameters of the compared trainings at each frame, and the scale of their perturbation."""
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
def _beside(losses: Array, follow: Array) -> dict[str, Array]:
    least = jnp.where(jnp.isfinite(losses), losses, jnp.inf).min(axis=0)
    told = {"rival_lam": follow.mean(axis=1), "rival_val": losses}
    return told | {"rival_least": least.min(), "rival_median": jnp.median(least)}

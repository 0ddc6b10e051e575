"""The results of the study, and what its three kinds of run fill them with."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab import ode
from lab.datasets import Data
from lab.numerics import Chunked, Loop, Reason, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_axes
from lab.ode import fields, learning, stochastic
from lab.ode import survey as surveys
from lab.ode.tableaus import PAIRS
from lab.store import weights
from lab.studies.contract import Result, sweeping

FIELDS = tuple(fields.FIELDS)
NETWORK, SPIRAL, NEURAL = "classifier", "spiral SDE", "neural SDE"
SYSTEMS = (*FIELDS, NETWORK, SPIRAL, NEURAL)
NOISE = (SPIRAL, NEURAL)
TESTS, SHOWN, TIMES, MOMENTS = 250, 60, 25, 30
MOST_STEPS = 40  # of the solver in a training
_PATHS = 100

_NO_FIELD = "this run is of no field in the plane: choose van-der-pol, say, as the system"
_NO_CLASSES = "no classifier was trained: choose classifier as the system"
_NO_NOISE = "there is no noise here: choose spiral SDE or neural SDE as the system"
UNTRAINED = "nothing was trained: choose classifier or neural SDE as the system, and training steps above 0"
RESULTS = (
    Result("nfe", (), "evaluations", "of the field, for all that is solved at once: the work of the solution", headline=True),
    Result("accepted", (), "accepted steps", "of the solution", headline=True),
    Result("rejected", (), "rejected steps", "of the solution, which cost as much", headline=True),
    Result("reg_E", (), "R_E", "sum of E h over accepted steps", headline=True),
    Result("reg_S", (), "R_S", "sum of S h over accepted steps", headline=True),
    Result("edge", (), "steps at the edge", "share of accepted steps whose h S is above 2/3 of what is stable", headline=True,
           absent="how far steps with noise are stable is not known"),
    Result("error", (), "true error", "of the end, from a solution with a hundredth of the tolerance; NaN if that has too many "
           "steps", headline=True,
           absent=_NO_FIELD),
    Result("accuracy", (), "right", "share of test samples", headline=True, absent=_NO_CLASSES),
    Result("accuracy_train", (), "right in training", "share of the samples that were trained on", absent=_NO_CLASSES),
    Result("ce", (), "cross-entropy", "of the test samples", absent=_NO_CLASSES),
    Result("ce_train", (), "cross-entropy in training", "of the samples that were trained on", absent=_NO_CLASSES),
    Result("misfit", (), "misfit", "squared error of means and of variances over time", headline=True, absent=_NO_NOISE),
    Result("slope_held", (), "dR_E/dμ, h held", "slope of R_E with the lengths of steps held fixed", absent=_NO_FIELD),
    Result("slope_through", (), "dR_E/dμ through h", "with the lengths differentiated too", absent=_NO_FIELD),
    Result("slope_apart", (), "dR_E/dμ by differences", "finite differences; none where the number of steps changes",
           absent=_NO_FIELD),
    Result("nfe_train", (), "evaluations in training", "of the field, forward, by all its steps", absent=UNTRAINED),
    Result("short", (), "cut short", "solutions in training that did not come to their end", absent=UNTRAINED),
    Result("step_t", ("step",), "t", "where each step begins, tried ones too"),
    Result("step_h", ("step",), "length of the step h", "tried ones too"),
    Result("step_E", ("step",), "scaled error E", "a step is accepted below 1"),
    Result("step_S", ("step",), "stiffness S", "estimate of the largest eigenvalue"),
    Result("step_accepted", ("step",), "accepted", "1, or 0 where it was rejected"),
    Result("way", ("step", "axis"), "y", "after each step", absent=_NO_FIELD),
    Result("spent", ("share", "axis"), "y", "when this share of the evaluations was spent", absent=_NO_FIELD),
    Result("when", ("share",), "t", "that was come to with this share of the evaluations", absent=_NO_FIELD),
    Result("paths", ("t", "particle", "axis"), "feature", "of some test samples; of more than two on principal axes",
           absent=_NO_CLASSES),
    Result("labels", ("particle",), "class", "of these samples", absent=_NO_CLASSES),
    Result("nfe_epoch", ("epoch",), "evaluations", "for the test samples, after each epoch", absent=_NO_CLASSES),
    Result("accuracy_epoch", ("epoch",), "right", "share of test samples, after each epoch", absent=_NO_CLASSES),
    Result("ce_epoch", ("epoch",), "cross-entropy", "of the test samples, after each epoch", absent=_NO_CLASSES),
    Result("curve_loss", ("train_step",), "loss", "of the batch of each step", absent=UNTRAINED),
    Result("curve_ce", ("train_step",), "without the term", "cross-entropy, or misfit of the moments, of each step",
           absent=UNTRAINED),
    Result("curve_nfe", ("train_step",), "evaluations", "of the solution of each step of training", absent=UNTRAINED),
    Result("curve_E", ("train_step",), "E h", "mean over the steps of a solution, or sum where there is noise",
           absent=UNTRAINED),
    Result("curve_S", ("train_step",), "S", "mean over the steps of a solution", absent=UNTRAINED),
    Result("moment_mean", ("of", "moment", "axis"), "mean", "over paths", absent=_NO_NOISE),
    Result("moment_variance", ("of", "moment", "axis"), "variance", "over paths", absent=_NO_NOISE),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "step": ("step tried", ""), "axis": ("coordinate", ""), "share": ("share of the evaluations", ""), "t": ("time", ""),
    "particle": ("sample", ""), "epoch": ("epoch", ""), "train_step": ("training step", ""),
    "of": ("of", ""), "moment": ("time", ""),
}


def inputs(data: Data) -> dict[str, Any]:
    """The samples in an order of their own, so that the last ones can test; large numbers in units of their spread."""
    x, classes = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["classes"])
    order = np.random.default_rng(0).permutation(len(x))
    x = x[order] / (1.0 if np.abs(x).max() <= 5 else x.std())
    labels = np.unique(classes[order], return_inverse=True)[1].astype(np.int32)
    tests = min(TESTS, max(1, len(x) // 6))
    train = min(len(x) - tests, 6 * TESTS)
    cut = slice(0, train), slice(train, train + tests)
    arrays = [placed(each[part]) for part in cut for each in (x, labels)]
    samples = learning.Samples(*arrays)
    flat = x.shape[1] != 2
    axes = principal_axes(x - x.mean(axis=0), 2) if flat and x.shape[1] > 2 else np.eye(x.shape[1], 2)
    digest = sha256(x.tobytes() + labels.tobytes()).hexdigest()
    return {"samples": samples, "classes": int(labels.max()) + 1, "axes": placed(axes), "digest": digest}


def of_field(p: Any, loop: Loop) -> dict[str, Any]:
    """A field of the plane, solved."""
    numbers = jnp.asarray(p.mu, float), jnp.asarray(p.length, float), jnp.asarray(p.tolerance, float)
    mu, length, tolerance = numbers
    which, first = placed(np.int32(FIELDS.index(p.system))), jnp.asarray(p.h0, float)
    y0 = placed(np.asarray(fields.FIELDS[p.system].y0, float))
    control = surveys.CONTROLLERS[p.controller]
    found = surveys.survey(
        loop, fields.OneOf(which, mu), y0, length, tolerance, first, method=p.pair, controller=control
    )
    slope = surveys.slopes(jax.tree_util.Partial(fields.OneOf, which), mu, y0, length, tolerance, first, p.pair)
    told = found.told._asdict() | found.seen._asdict() | {"way": found.way, "spent": found.spent, "when": found.when}
    told |= {"error": found.error, "iterations": found.seen.accepted + found.seen.rejected, "reason": found.reason}
    return told | {f"slope_{name}": value for name, value in slope._asdict().items()}


class _Unfinished(Exception):
    """A training that was stopped: it is used, and not kept."""

    def __init__(self, learned: Any):
        super().__init__()
        self.learned = learned


def _kept(recipe: Mapping[str, Any], loop: Loop, noisy: bool, *given: Any, **settings: Any) -> Any:
    """What a training comes to, by its recipe; a stopped one is not kept. The others are arguments of ``learn``."""
    if any(isinstance(value, Tracer) for value in recipe.values()):
        return (stochastic if noisy else learning).learn(*given, **settings, loop=loop)
    # a loop of its own: a training that comes from the store must not change the order of the other loops' calls
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop

    def make() -> Any:
        learned = (stochastic if noisy else learning).learn(*given, **settings, loop=own)
        if int(learned.reason) != Reason.CONVERGED:
            raise _Unfinished(learned)
        return learned.model, seen(*(jnp.asarray(rows) for rows in learned.seen)), jnp.asarray(learned.short)

    seen: Any = stochastic.Seen if noisy else learning.Seen
    steps = settings["steps"]
    like = given[1], seen(*(jnp.zeros(steps),) * len(seen._fields)), jnp.int32(0)
    try:
        made, curves, short = weights.kept(recipe, like, make)
    except _Unfinished as unfinished:
        return unfinished.learned
    return learning.Learned(made, curves, short, steps, Reason.CONVERGED, None)  # pyright: ignore[reportArgumentType]


def _told(p: Any, *names: str) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return value if isinstance(value, Tracer | str | bool) else value.item() if hasattr(value, "item") else value

    return {name: plain(getattr(p, name)) for name in names}


@jit
def _described(looked: learning.Looked, axes: Any, labels: Any) -> dict[str, Any]:
    told = surveys.told_of(looked.steps)
    seen = surveys.steps_of(told, ode.TSIT5.evaluations, ode.TSIT5.limit)
    return told._asdict() | seen._asdict() | {
        "accuracy": looked.accuracy, "accuracy_train": looked.train_accuracy, "ce": looked.ce,
        "ce_train": looked.train_ce, "paths": looked.ways[:, :SHOWN] @ axes, "labels": labels[:SHOWN],
    }


def of_classifier(inputs: Mapping[str, Any], p: Any, loop: Loop) -> dict[str, Any]:
    """A classifier, trained or out of the store, and what it does with the test samples."""
    samples, steps = inputs["samples"], p.train_steps
    init, draws = jax.random.split(jax.random.key(p.seed))
    model = learning.classifier(init, samples.x.shape[1], p.units, inputs["classes"])
    settings = learning.Settings(p.strength, 10.0, p.learning_rate, p.tolerance, p.spread)
    batch = min(p.batch, len(samples.x))
    told: dict[str, Any] = {}
    reason: Any = Reason.CONVERGED
    if steps:
        recipe = {"title": "regularized classifier", "samples": inputs["digest"], "batch": batch} | _told(
            p, "strength", "learning_rate", "tolerance", "spread", "term", "how", "diff_h", "units", "train_steps", "seed"
        )
        learned = _kept(
            recipe, loop, False, draws, model, samples, settings, kind=p.term, how=p.how, steps=steps, batch=batch,
            diff_h=p.diff_h, max_steps=MOST_STEPS,
        )
        model, reason = learned.model, learned.reason
        told = curves(learned, "ce") | epochs(learned.seen, len(samples.x) // batch, steps)
    looked = learning.look(model, samples, p.tolerance, TIMES, 4 * MOST_STEPS)
    told = told | _described(looked, inputs["axes"], samples.y_test)
    return told | {"reason": first_failure(reason, looked.steps.reason), "iterations": steps}


def curves(learned: Any, fit: str) -> dict[str, Any]:
    """Of a training, step by step."""
    seen = learned.seen
    nfe = jnp.asarray(seen.nfe)
    told = {"loss": seen.loss, "ce": getattr(seen, fit), "nfe": nfe, "E": seen.reg_E, "S": seen.reg_S}
    return {f"curve_{name}": value for name, value in told.items()} | {
        "nfe_train": jnp.nansum(nfe), "short": jnp.asarray(learned.short, float),
    }


def epochs(seen: learning.Seen, epoch: int, steps: int) -> dict[str, Any]:
    """What was tested at the end of each epoch; of a training shorter than one, NaN."""
    ends = np.arange(epoch - 1, steps, epoch)
    pick = ends if len(ends) else np.array([steps - 1])
    told = {"nfe": seen.test_nfe, "accuracy": seen.test_accuracy, "ce": seen.test_ce}
    return {f"{name}_epoch": jnp.asarray(value)[pick] for name, value in told.items()}


def of_noise(p: Any, loop: Loop) -> dict[str, Any]:
    """Paths of the spiral, or of an equation that learned its moments."""
    init, data, draws, show = jax.random.split(jax.random.key(p.seed), 4)
    goal = stochastic.known_moments(stochastic.Spiral(), data, times=MOMENTS, steps=10)
    equation: Any = stochastic.Spiral()
    told: dict[str, Any] = {}
    reason: Any = Reason.CONVERGED
    if p.system == NEURAL:
        model = equation = stochastic.learnt(init, p.units)
        steps = p.train_steps
        if steps:
            recipe = {"title": "regularized equation with noise"} | _told(
                p, "strength", "learning_rate", "tolerance", "term", "how", "units", "train_steps", "seed"
            )
            learned = _kept(
                recipe, loop, True, draws, model, goal, kind=p.term, strength=p.strength, how=p.how,
                learning_rate=p.learning_rate, tolerance=p.tolerance, steps=steps, paths=_PATHS, max_steps=8 * MOST_STEPS,
            )
            equation, reason = learned.model, learned.reason
            told = curves(learned, "misfit")
    found = _paths(equation, show, p.tolerance, goal)
    return told | found | {
        "reason": first_failure(reason, found.pop("reason")), "iterations": p.train_steps if p.system == NEURAL else 0,
    }


@jit
def _paths(equation: Any, key: Any, tolerance: Any, goal: stochastic.Moments) -> dict[str, Any]:
    steps = stochastic.carried(equation, key, 1000, tolerance, times=MOMENTS, max_steps=surveys.MOST)
    told = surveys.told_of(steps)
    seen = surveys.steps_of(told, 3, jnp.inf, 0)
    found = stochastic.moments(steps.ys)
    known = seen._asdict()
    del known["edge"]
    return told._asdict() | known | {
        "misfit": stochastic.misfit(steps.ys, goal), "reason": steps.reason,
        "moment_mean": jnp.stack([goal.mean, found.mean]), "moment_variance": jnp.stack([goal.variance, found.variance]),
    }


def rows_of(result: xr.Dataset) -> dict[str, np.ndarray]:
    """What is told of each step that was tried."""
    live = np.isfinite(result.step_h.values) & (result.step_h.values > 0)
    rows = {name: result[f"step_{name}"].values[live] for name in ("t", "h", "E", "S")}
    return rows | {"taken": result.step_accepted.values[live] > 0}


def limit_of(result: xr.Dataset) -> float:
    """h S up to which the pair is stable; not known of steps with noise."""
    given = sweeping.parameters(result)
    return np.nan if "moment_mean" in result else PAIRS[given["pair"]].limit if "way" in result else ode.TSIT5.limit

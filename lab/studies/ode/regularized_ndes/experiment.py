"""Solve a field; or train a classifier or a neural SDE and solve it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab import ode
from lab.numerics import Chunked, Loop, Reason, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.ode import fields, learning, stochastic
from lab.store import weights
from lab.studies.contract import Outputs, Run, out
from lab.studies.ode import analysis

FIELDS = tuple(fields.FIELDS)
NETWORK, SPIRAL, NEURAL = "classifier", "spiral SDE", "neural SDE"
NOISE = (SPIRAL, NEURAL)
SYSTEMS = (*FIELDS, NETWORK, *NOISE)
TIMES = 25
_SHOWN, _MOMENTS = 60, 30
_MOST_STEPS = 40  # of the solver in a training
_PATHS = 100

_NO_FIELD = "no field in the plane was solved: choose van-der-pol, for example, as the system"
_NO_CLASSES = "no classifier was trained: choose classifier as the system"
_NO_NOISE = "the equation has no noise: choose spiral SDE or neural SDE as the system"
_UNTRAINED = "nothing was trained: choose classifier or neural SDE as the system, and training steps above 0"
_NO_LIMIT = "the stability limit of steps with noise is not known"


class Experiment(Outputs):
    """One solution, its steps, and the training of its field if there is one."""

    nfe: Float[Array, ""] = out("evaluations", "number of evaluations of the field (NFE)", headline=True)
    accepted: Float[Array, ""] = out("accepted steps", "number of accepted steps", headline=True)
    rejected: Float[Array, ""] = out("rejected steps", "number of rejected steps, which cost as much", headline=True)
    reg_E: Float[Array, ""] = out("R_E", "sum of E h over accepted steps", headline=True)
    reg_S: Float[Array, ""] = out("R_S", "sum of S h over accepted steps", headline=True)
    edge: Float[Array, ""] | None = out(
        "steps near the stability limit",
        "fraction of accepted steps whose h S is above 2/3 of the stability limit",
        headline=True,
        absent=_NO_LIMIT,
    )
    error: Float[Array, ""] | None = out(
        "true error",
        "of the endpoint, against a solution with a hundredth of the tolerance; NaN if that has too many steps",
        headline=True,
        absent=_NO_FIELD,
    )
    accuracy: Float[Array, ""] | None = out(
        "test accuracy", "fraction of test samples classified correctly", headline=True, absent=_NO_CLASSES
    )
    ce_train: Float[Array, ""] | None = out(
        "training cross-entropy", "cross-entropy of the training samples", absent=_NO_CLASSES
    )
    misfit: Float[Array, ""] | None = out(
        "misfit", "squared error of means and variances over time", headline=True, absent=_NO_NOISE
    )
    slope_held: Float[Array, ""] | None = out(
        "dR_E/dμ, h fixed", "derivative of R_E with fixed step sizes", absent=_NO_FIELD
    )
    slope_through: Float[Array, ""] | None = out(
        "dR_E/dμ through h", "derivative of R_E that also differentiates the step sizes", absent=_NO_FIELD
    )
    slope_apart: Float[Array, ""] | None = out(
        "dR_E/dμ by differences", "finite differences; none where the number of steps changes", absent=_NO_FIELD
    )
    nfe_train: Float[Array, ""] | None = out(
        "evaluations in training", "forward evaluations of the field over all training steps", absent=_UNTRAINED
    )
    short: Float[Array, ""] | None = out(
        "cut short", "solutions in training that did not reach their final time", absent=_UNTRAINED
    )
    step_t: Float[Array, " step"] = out("t", "initial time of each attempted step")
    step_h: Float[Array, " step"] = out("step size h", "of each attempted step")
    step_E: Float[Array, " step"] = out("scaled error E", "a step is accepted below 1")
    step_S: Float[Array, " step"] = out("stiffness S", "estimate of the largest eigenvalue")
    step_accepted: Float[Array, " step"] = out("accepted", "1 if the step was accepted, else 0")
    way: Float[Array, "step axis"] | None = out("y", "solution after each step", absent=_NO_FIELD)
    spent: Float[Array, "share axis"] | None = out(
        "y", "solution at this fraction of the evaluations", absent=_NO_FIELD
    )
    when: Float[Array, " share"] | None = out("t", "time reached at this fraction of the evaluations", absent=_NO_FIELD)
    paths: Float[Array, "t particle axis"] | None = out(
        "feature", "trajectories of some test samples, on principal axes if above two dimensions", absent=_NO_CLASSES
    )
    labels: Int[Array, " particle"] | None = out("class", "of these samples", absent=_NO_CLASSES)
    curve_loss: Float[Array, " train_step"] | None = out("loss", "loss of each training step", absent=_UNTRAINED)


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Solve a field; or train one, unless the store has the training, and solve it."""
    if p.system in FIELDS:
        return _of_field(p, loop)
    return _of_noise(p, loop) if p.system in NOISE else _of_classifier(inputs, p, loop)


def _of_field(p: Any, loop: Loop) -> Run[Experiment]:
    mu, length, tolerance = (jnp.asarray(value, float) for value in (p.mu, p.length, p.tolerance))
    which, first = placed(np.int32(FIELDS.index(p.system))), jnp.asarray(p.h0, float)
    y0 = placed(np.asarray(fields.FIELDS[p.system].y0, float))
    control, field = analysis.CONTROLLERS[p.controller], fields.OneOf(which, mu)
    found = analysis.survey(loop, field, y0, length, tolerance, first, method=p.pair, controller=control)
    slope = analysis.slopes(jax.tree_util.Partial(fields.OneOf, which), mu, y0, length, tolerance, first, p.pair)
    outputs = Experiment(
        **found.told._asdict(),
        **found.seen._asdict(),
        **{f"slope_{name}": value for name, value in slope._asdict().items()},
        way=found.way,
        spent=found.spent,
        when=found.when,
        error=found.error,
    )
    return Run(outputs, found.reason, found.seen.accepted + found.seen.rejected)


class _Unfinished(Exception):
    """A training that was stopped: its model is used, but not stored."""

    def __init__(self, learned: Any):
        super().__init__()
        self.learned = learned


def _stored(recipe: Mapping[str, Any], loop: Loop, noisy: bool, *given: Any, **settings: Any) -> Any:
    """A training from the store, or made and stored unless it is stopped. The others are arguments of ``learn``."""
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


def _plain(p: Any, *names: str) -> dict[str, Any]:
    """Values of parameters for a recipe."""

    def plain(value: Any) -> Any:
        return value if isinstance(value, Tracer | str | bool) else value.item() if hasattr(value, "item") else value

    return {name: plain(getattr(p, name)) for name in names}


def _of_training(learned: Any) -> dict[str, Any]:
    nfe = jnp.asarray(learned.seen.nfe)
    return {"curve_loss": learned.seen.loss, "nfe_train": jnp.nansum(nfe), "short": jnp.asarray(learned.short, float)}


@jit
def _described(looked: learning.Looked, axes: Any, labels: Any) -> dict[str, Any]:
    steps = analysis.told_of(looked.steps)
    seen = analysis.steps_of(steps, ode.TSIT5.evaluations, ode.TSIT5.limit)
    classified = {"accuracy": looked.accuracy, "ce_train": looked.train_ce}
    shown = {"paths": looked.ways[:, :_SHOWN] @ axes, "labels": labels[:_SHOWN]}
    return steps._asdict() | seen._asdict() | classified | shown


def _of_classifier(inputs: Mapping[str, Any], p: Any, loop: Loop) -> Run[Experiment]:
    """A classifier and its solution for the test samples."""
    samples, steps = inputs["samples"], p.train_steps
    init, draws = jax.random.split(jax.random.key(p.seed))
    model = learning.classifier(init, samples.x.shape[1], p.units, inputs["classes"])
    settings = learning.Settings(p.strength, 10.0, p.learning_rate, p.tolerance, p.spread)
    batch = min(p.batch, len(samples.x))
    training: dict[str, Any] = {}
    reason: Any = Reason.CONVERGED
    if steps:
        names = (
            "strength",
            "learning_rate",
            "tolerance",
            "spread",
            "term",
            "how",
            "diff_h",
            "units",
            "train_steps",
            "seed",
        )
        recipe = {"title": "regularized classifier", "samples": inputs["digest"], "batch": batch} | _plain(p, *names)
        options = {"kind": p.term, "how": p.how, "steps": steps, "batch": batch, "diff_h": p.diff_h}
        learned = _stored(recipe, loop, False, draws, model, samples, settings, **options, max_steps=_MOST_STEPS)
        model, reason, training = learned.model, learned.reason, _of_training(learned)
    looked = learning.look(model, samples, p.tolerance, TIMES, 4 * _MOST_STEPS)
    outputs = Experiment(**training, **_described(looked, inputs["axes"], samples.y_test))
    return Run(outputs, first_failure(reason, looked.steps.reason), steps)


def _of_noise(p: Any, loop: Loop) -> Run[Experiment]:
    """Paths of the spiral, or of an equation that learned its moments."""
    init, data, draws, show = jax.random.split(jax.random.key(p.seed), 4)
    goal = stochastic.known_moments(stochastic.Spiral(), data, times=_MOMENTS, steps=10)
    equation: Any = stochastic.Spiral()
    training: dict[str, Any] = {}
    reason: Any = Reason.CONVERGED
    steps = p.train_steps if p.system == NEURAL else 0
    if p.system == NEURAL:
        equation = stochastic.learnt(init, p.units)
    if steps:
        names = "strength", "learning_rate", "tolerance", "term", "how", "units", "train_steps", "seed"
        recipe = {"title": "regularized equation with noise"} | _plain(p, *names)
        options = {name: getattr(p, name) for name in ("strength", "how", "learning_rate", "tolerance")}
        options |= {"kind": p.term, "steps": steps, "paths": _PATHS, "max_steps": 8 * _MOST_STEPS}
        learned = _stored(recipe, loop, True, draws, equation, goal, **options)
        equation, reason, training = learned.model, learned.reason, _of_training(learned)
    found, ended = _paths(equation, show, p.tolerance, goal)
    return Run(Experiment(**training, **found), first_failure(reason, ended), steps)


@jit
def _paths(equation: Any, key: Any, tolerance: Any, goal: stochastic.Moments) -> tuple[dict[str, Any], Any]:
    solved = stochastic.carried(equation, key, 1000, tolerance, times=_MOMENTS, max_steps=analysis.MOST)
    steps = analysis.told_of(solved)
    seen = analysis.steps_of(steps, 3, jnp.inf, 0)._asdict()
    del seen["edge"]
    return steps._asdict() | seen | {"misfit": stochastic.misfit(solved.ys, goal)}, solved.reason

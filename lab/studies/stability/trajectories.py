"""SGD and gradient descent from the same weights on the same data, at one learning rate and a family of others.

All learning rates of a method are one program and see the same batches. Of the first one, the learning rate asked for, the
weights are kept along the way.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Method, Reason
from lab.stability import training
from lab.stability.gradients import Tree, call, join
from lab.stability.initial import Maker, parameters
from lab.stability.models import Data
from lab.stability.moments import share_of_noise
from lab.stability.thresholds import limits
from lab.stability.training import Sampling

WAYS = SGD, GD = ("SGD", "GD")
_TRACK = ("loss", "tr", "fro", "lmax", "mu", "norm", "test_error")
_RECORDS, _FRAMES = 40, 24  # at least so many records; at most so many frames
_GROWN = 1e6  # times the loss at the start: a run that diverged
_SEGMENT = 0.25  # seconds of training between two records, so that Stop is felt
_FLOPS, _STEP = 2e9, 1e-5  # operations a second, and seconds that a step takes beside them


@chosen
class Planned(NamedTuple):
    """What is trained and when it is looked at: all that the programs are compiled for."""

    model: str | Maker
    ways: tuple[str, ...]  # of WAYS
    sampling: Sampling  # of a batch of SGD
    batch: int
    steps: int  # whole stretches between two records
    every: int  # steps from one record to the next
    stride: int  # records from one frame to the next
    frames: int  # without the first
    measured: int  # samples that G is measured on along the way
    n: int
    outputs: int
    arrays: tuple[tuple[str, int], ...]  # of parameters: name, size
    normed: bool  # there is a norm that is followed

    @property
    def size(self) -> int:
        """Parameters."""
        return sum(size for _, size in self.arrays)

    @property
    def edges(self) -> tuple[int, ...]:
        """Where the arrays of parameters begin and end in the flat vector."""
        return (0, *np.cumsum([size for _, size in self.arrays]).tolist())

    @property
    def records(self) -> np.ndarray:
        """Steps at which something is recorded."""
        return self.every * np.arange(self.steps // self.every + 1)

    @property
    def frame_steps(self) -> np.ndarray:
        """Steps at which weights are kept."""
        return self.every * self.stride * np.arange(self.frames + 1)


@chosen
def plan(
    model: str | Maker,
    x: tuple[int, ...],
    y: tuple[int, ...],
    *,
    width: int = 0,
    ways: tuple[str, ...] = WAYS,
    sampling: Sampling = "replacement",
    batch: int = 1,
    steps: int = 4000,
    rates: int = 1,
) -> Planned:
    """Choose how long the stretches between records are, so that one takes a quarter of a second at most.

    Args:
        model, width: as of ``initial``.
        x, y: shapes of the training samples and of their outputs.
        ways: which methods are trained.
        sampling, batch: of SGD, as of ``training.train``.
        steps: of training, at least.
        rates: how many learning rates.
    """
    n, outputs = x[0], int(np.prod(y[1:]))
    known = parameters(model, x[1:], y[1:], width)
    size = sum(size for _, size in known.arrays)
    sample = 6.0 * size * known.uses * rates / _FLOPS  # seconds of one in a step
    step = len(ways) * _STEP + sample * ((batch if SGD in ways else 0) + (n if GD in ways else 0))
    every = int(np.clip(_SEGMENT / step, 1, -(-steps // _RECORDS)))
    records = -(-steps // every)
    stride = -(-records // _FRAMES)
    # of n samples the record takes n k jacobians of size p, and their products
    most = (_SEGMENT * _FLOPS / (2.0 * size * outputs**2 * rates * len(ways))) ** 0.5
    measured = int(np.clip(most, min(n, 20), n))
    return Planned(
        model,
        ways,
        sampling,
        batch,
        records * every,
        every,
        stride,
        records // stride,
        measured,
        n,
        outputs,
        known.arrays,
        known.normed,
    )


class Comparison(eqx.Module):
    """The problem of the loop ``TRAIN``. Its trainings have the axes (1, rate) in front."""

    sweeping: training.Sweeping  # one group for each way
    experiment: Planned = eqx.field(static=True)

    @property
    def data(self) -> Data:
        """The samples."""
        return jax.tree.map(lambda leaf: leaf[0], self.sweeping.groups[0].data)

    @property
    def learning_rate(self) -> Float[Array, ""]:
        """The one that was asked for."""
        return self.sweeping.groups[0].settings.learning_rate[0]  # type: ignore[index]

    @property
    def momentum(self) -> Float[Array, ""] | None:
        """What is kept of the last step, where anything is."""
        beta = self.sweeping.groups[0].settings.momentum
        return None if beta is None else jnp.ravel(jnp.asarray(beta))[0]

    @property
    def rebuild(self) -> Callable[[Float[Array, " size"]], Tree]:
        """From the flat vector of parameters to the model."""
        group = self.sweeping.groups[0]
        free, fixed = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (group.free, group.fixed))
        unravel = ravel_pytree(free)[1]
        return lambda vector: join(unravel(vector), fixed, group.rest)


class State(NamedTuple):
    """Where training stands."""

    runs: tuple[training.State, ...]  # for each way; arrays have the axes (1, rate) in front
    kept: Float[Array, "way frame size"]  # weights of the first learning rate


def prepare(
    key: PRNGKeyArray,
    model: Tree,
    data: Data,
    settings: training.Settings,
    rates: Float[Array, " rate"],
    experiment: Planned,
) -> Comparison:
    """All runs, as the loop takes them.

    Args:
        key: of the batches.
        model: with its first weights; called with a sample.
        data: samples as the model takes them.
        settings: batch size, momentum, clip.
        rates: learning rates, first the one of which weights are kept.
        experiment: of ``plan``.
    """
    front = partial(jax.tree.map, lambda leaf: leaf[None])
    track = tuple(name for name in _TRACK if name != "norm" or experiment.normed)
    groups = []
    for way in experiment.ways:
        one = training.prepare(
            key,
            model,
            data,
            settings,
            call,
            "full" if way == GD else experiment.sampling,
            experiment.steps,
            experiment.every,
            experiment.batch,
            track,
            experiment.measured,
        )
        groups.append(
            dataclasses.replace(
                one,
                key=key[None],
                free=front(one.free),
                fixed=front(one.fixed),
                data=front(data),
                settings=settings._replace(learning_rate=rates),
            )
        )
    return Comparison(training.Sweeping(tuple(groups)), experiment)


def weights(run: training.State) -> Float[Array, " size"]:
    """The flat vector of parameters at the first learning rate."""
    return ravel_pytree(jax.tree.map(lambda leaf: leaf[0, 0], run.free))[0]


def last(problem: Comparison, run: training.State) -> Mapping[str, Float[Array, " rate"]]:
    """What was recorded last."""
    record = run.step[0, 0] // problem.experiment.every
    return {name: rows[0, :, record] for name, rows in run.trace.items()}


@chosen
def noise_of(experiment: Planned, way: Literal["SGD", "GD"] | str) -> float:
    """c of the batches that a way draws; of reshuffled ones, as if drawn anew at every step."""
    if way == GD:
        return 0.0
    return share_of_noise(experiment.n, experiment.batch, experiment.sampling == "replacement")


def _init(problem: Comparison) -> State:
    runs = training.SWEEP.init(problem.sweeping)
    start = jnp.stack([weights(run) for run in runs])
    kept = jnp.zeros((len(runs), problem.experiment.frames + 1, problem.experiment.size), start.dtype)
    return State(runs, kept.at[:, 0].set(start))


def _step(problem: Comparison, state: State) -> State:
    experiment = problem.experiment
    runs = training.SWEEP.step(problem.sweeping, state.runs)
    record, stride = runs[0].step[0, 0] // experiment.every, experiment.stride
    frame = jnp.where(record % stride == 0, record // stride, experiment.frames + 1)
    now = jnp.stack([weights(run) for run in runs])
    return State(runs, state.kept.at[:, frame].set(now, mode="drop"))


def _done(problem: Comparison, state: State) -> Array:
    """Runs that diverge end no other; that the one asked for did is told at the end."""
    found = jnp.asarray(training.SWEEP.done(problem.sweeping, state.runs))
    # a gradient that is too long for its norm is clipped to nothing, so that a loss may stay finite for ever
    finite = jnp.stack(
        [last(problem, run)["loss"][0] <= _GROWN * run.trace["loss"][0, 0, 0] for run in state.runs]
    ).all()
    return jnp.where((found == Reason.CONVERGED) & ~finite, Reason.NOT_FINITE, found).astype(jnp.int32)


def _measure(problem: Comparison, state: State) -> dict[str, Array]:
    """Losses, and traces and largest eigenvalues in units of 2 / eta beside what is stable."""
    eta, experiment = problem.learning_rate, problem.experiment
    found = {}
    for way, run in zip(experiment.ways, state.runs, strict=True):
        now = last(problem, run)
        found |= {f"loss of {way}": now["loss"][0], f"half tr of {way}": eta * now["tr"][0] / 2}
        found |= {f"half lmax of {way}": eta * now["lmax"][0] / 2}
    beta = problem.momentum
    c = max(noise_of(experiment, way) for way in experiment.ways)
    stable = limits(c, experiment.outputs, 0.0 if beta is None else beta)
    found["limit of lmax"] = stable.descent.astype(eta.dtype)
    if c > 0 and beta is None:
        found["limit of tr"] = stable.trace.astype(eta.dtype)
    return found


TRAIN = Method(_init, _step, _done, _measure)

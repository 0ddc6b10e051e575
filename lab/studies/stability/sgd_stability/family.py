"""One learning rate and a family of others, trained together: SGD and gradient descent from the same weights, on the same data.

All learning rates of a method are one program and see the same batches. Of the first one, the learning rate asked for, the
weights are kept along the way.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lab import stability
from lab.numerics import Method, Reason
from lab.numerics.jit import jit
from lab.stability import training
from lab.stability.gradients import join
from lab.stability.models import Data

from .data import CONVOLUTIONAL, DIAGONAL, PERCEPTRON, TWO_LAYER

WAYS = SGD, GD = ("SGD", "GD")
TRACK = ("loss", "tr", "fro", "lmax", "mu", "norm", "test_error")
_RECORDS, _FRAMES = 40, 24  # at least so many records; at most so many frames
_GROWN = 1e6  # times the loss at the start: a run that diverged
_SEGMENT = 0.25  # seconds of training between two records, so that Stop is felt
_FLOPS, _STEP = 2e9, 1e-5  # operations a second, and seconds that a step takes beside them


class Maker(ABC):
    """A model that is not among ``MODELS``; compared by identity, since a program is compiled for it."""

    @abstractmethod
    def __call__(self, key: Array, scale: Any, shape: tuple[int, ...]) -> Any:
        """The model, called with a sample, with outputs of this shape; its weights times ``scale``."""


class Case(NamedTuple):
    """What the programs are compiled for."""

    model: str | Maker
    ways: tuple[str, ...]
    sampling: str
    batch: int
    steps: int
    every: int
    stride: int  # records from one frame to the next
    frames: int  # without the first
    measured: int  # samples that G is measured on along the way
    n: int
    outputs: int
    arrays: tuple[tuple[str, int], ...]  # of parameters: name, size
    normed: bool  # there is a norm that is followed
    momentum: bool
    rates: int

    @property
    def size(self) -> int:
        """Parameters."""
        return sum(size for _, size in self.arrays)


class Inputs(eqx.Module):
    """Training and test samples; without a test set that is the training set, and ``tested`` False."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array
    tested: bool = eqx.field(static=True)
    suits: str = eqx.field(static=True)  # the model that suits them


def case_of(x: tuple[int, ...], y: tuple[int, ...], suits: str, p: Any, own: Maker | None = None) -> Case:
    """How long the segments are between records, and all else that the shapes of x and y and the parameters decide."""
    model = own or (suits if p.model == "auto" else p.model)
    ways = WAYS if p.optimizer == "SGD and GD" else (p.optimizer,)
    n, outputs = x[0], int(np.prod(y[1:]))
    arrays, places, normed = _shaped(model, x[1:], 0 if own else p.m, y[1:])
    size = sum(size for _, size in arrays)
    rates = 1 + p.rates
    each = 6.0 * size * places * rates / _FLOPS  # of a sample
    step = len(ways) * _STEP + each * ((p.B if SGD in ways else 0) + (n if GD in ways else 0))
    every = int(np.clip(_SEGMENT / step, 1, -(-p.steps // _RECORDS)))
    records = -(-p.steps // every)
    stride = -(-records // _FRAMES)
    # of n samples the record takes n k jacobians of size p, and their products
    most = (_SEGMENT * _FLOPS / (2.0 * size * outputs**2 * rates * len(ways))) ** 0.5
    measured = int(np.clip(most, min(n, 20), n))
    return Case(
        model, ways, p.sampling, p.B, records * every, every, stride, records // stride, measured, n, outputs, arrays,
        normed, p.momentum, rates,
    )  # fmt: skip


@lru_cache(maxsize=64)
def _shaped(
    model: str | Maker, shape: tuple[int, ...], width: int, outputs: tuple[int, ...]
) -> tuple[tuple[tuple[str, int], ...], float, bool]:
    """Names and sizes of the arrays of parameters; how often a weight is used for a sample; whether there is a norm."""
    make = partial(_initial, model=model, shape=shape, width=width, outputs=outputs)
    tree = eqx.filter_eval_shape(make, jax.random.key(0))
    real = eqx.filter(tree, lambda leaf: jnp.issubdtype(getattr(leaf, "dtype", int), jnp.floating))
    paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(real)[0], strict=True)
    places = float(np.prod(shape)) if model == CONVOLUTIONAL else 1.0  # a convolution uses its own at every pixel
    if isinstance(model, str):
        two = {DIAGONAL: ("a", "b"), TWO_LAYER: ("w", "a")}
        names = two.get(model, ("W₁", "b₁", "W₂", "b₂", "W₃", "b₃"))
    else:
        names = [jax.tree_util.keystr(path, simple=True, separator="/").removeprefix("params/") for path in paths]
        arrays, rest = eqx.partition(tree, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        program = jax.jit(lambda arrays, x: eqx.combine(arrays, rest)(x))
        told = program.lower(arrays, jax.ShapeDtypeStruct(shape, float)).cost_analysis() or {}
        places = max(1.0, told.get("flops", 0.0) / (2 * sum(leaf.size for leaf in leaves)))
    return tuple((name, leaf.size) for name, leaf in zip(names, leaves, strict=True)), places, hasattr(tree, "norm")


def _initial(
    key: Array, scale: Any = 1.0, *, model: str | Maker, shape: tuple[int, ...], width: int, outputs: tuple[int, ...]
) -> Any:
    d, k = int(np.prod(shape)), int(np.prod(outputs))
    if isinstance(model, Maker):
        return model(key, scale, outputs)
    if model == DIAGONAL:
        return stability.diagonal(key, d, scale)
    if model == TWO_LAYER:
        return stability.two_layer(key, d, width, scale)
    if model == PERCEPTRON:
        return stability.perceptron(key, (d, width, width, k), "tanh", scale)
    if len(shape) != 2:
        raise ValueError(f"samples of shape {shape} were given, but a convolutional network takes images (h, w)")
    return stability.convolutional(key, (shape[0], shape[1]), width, k, "relu", scale)


@jit
def initial(key: Array, scale: Array, case: Case, shape: tuple[int, ...], width: int, outputs: tuple[int, ...]) -> Any:
    """The weights that all begin with."""
    return _initial(key, scale, model=case.model, shape=shape, width=width, outputs=outputs)


def samples(inputs: Inputs, case: Case) -> Data:
    """As the model takes them."""

    def seen(x: Array) -> Array:
        return x if case.model == CONVOLUTIONAL else x.reshape(len(x), -1)

    def told(y: Array) -> Array:
        return y.reshape(len(y)) if case.outputs == 1 else y

    if isinstance(case.model, Maker):
        return Data(inputs.x, inputs.y, inputs.x_test, inputs.y_test)
    return Data(seen(inputs.x), told(inputs.y), seen(inputs.x_test), told(inputs.y_test))


class Work(eqx.Module):
    """The problem of the loop."""

    sweeping: training.Sweeping
    case: Case = eqx.field(static=True)


class State(NamedTuple):
    """Where training stands."""

    runs: tuple[training.State, ...]  # for each way; arrays have the axes (1, rate) in front
    kept: Float[Array, "ways frames size"]  # weights of the first learning rate


def work(
    key: Array, model: Any, data: Data, settings: training.Settings, rates: Float[Array, " rates"], case: Case
) -> Work:
    """All runs, as the loop takes them."""
    groups = []
    front = partial(jax.tree.map, lambda leaf: leaf[None])
    track = tuple(name for name in TRACK if name != "norm" or case.normed)
    for way in case.ways:
        sampling = "full" if way == GD else case.sampling
        made = training.prepare(
            key,
            model,
            data,
            settings,
            stability.call,
            sampling,
            case.steps,
            case.every,
            case.batch,
            track,
            case.measured,
        )
        groups.append(
            training.Work(
                key[None], front(made.free), front(made.fixed), made.rest, made.predict, front(data),
                settings._replace(learning_rate=rates), made.steps, made.every, made.batch, sampling, made.track,
                made.measured,
            )
        )  # fmt: skip
    return Work(training.Sweeping(tuple(groups)), case)


def vector(run: training.State) -> Float[Array, " size"]:
    """The weights at the learning rate that was asked for."""
    return ravel_pytree(jax.tree.map(lambda leaf: leaf[0, 0], run.free))[0]


def rebuilder(work: Work) -> Callable[[Array], Any]:
    """From a vector to the model."""
    group = work.sweeping.groups[0]
    free, fixed = (jax.tree.map(lambda leaf: leaf[0], tree) for tree in (group.free, group.fixed))
    unravel = ravel_pytree(free)[1]
    return lambda v: join(unravel(v), fixed, group.rest)


def _init(work: Work) -> State:
    runs = training.SWEEP.init(work.sweeping)
    start = jnp.stack([vector(run) for run in runs])
    kept = jnp.zeros((len(runs), work.case.frames + 1, work.case.size), start.dtype)
    return State(runs, kept.at[:, 0].set(start))


def _step(work: Work, state: State) -> State:
    runs = training.SWEEP.step(work.sweeping, state.runs)
    at, stride = runs[0].step[0, 0] // work.case.every, work.case.stride
    place = jnp.where(at % stride == 0, at // stride, work.case.frames + 1)
    now = jnp.stack([vector(run) for run in runs])
    return State(runs, state.kept.at[:, place].set(now, mode="drop"))


def last(work: Work, run: training.State) -> Mapping[str, Float[Array, " rates"]]:
    """What was recorded last."""
    at = run.step[0, 0] // work.case.every
    return {name: rows[0, :, at] for name, rows in run.trace.items()}


def _done(work: Work, state: State) -> Array:
    """Runs that diverge end no other; that the one asked for did is told at the end."""
    found = jnp.asarray(training.SWEEP.done(work.sweeping, state.runs))
    # a gradient that is too long for its norm is clipped to nothing, so that a loss may stay finite for ever
    finite = jnp.stack([last(work, run)["loss"][0] <= _GROWN * run.trace["loss"][0, 0, 0] for run in state.runs]).all()
    return jnp.where((found == Reason.CONVERGED) & ~finite, Reason.NOT_FINITE, found).astype(jnp.int32)


def share(n: int, batch: int, replacement: bool) -> float:
    """c, known when the program is compiled."""
    with jax.ensure_compile_time_eval():
        return float(stability.noise(n, batch, replacement))


def noise_of(case: Case, way: str) -> float:
    """c of the batches that a way draws; of reshuffled ones, as if drawn anew at every step."""
    return 0.0 if way == GD else share(case.n, case.batch, case.sampling == "replacement")


def _measure(work: Work, state: State) -> dict[str, Array]:
    """What a page follows."""
    eta = work.sweeping.groups[0].settings.learning_rate[0]  # type: ignore[index]
    told = {}
    for way, run in zip(work.case.ways, state.runs, strict=True):
        found = last(work, run)
        told |= {f"loss of {way}": found["loss"][0], f"half tr of {way}": eta * found["tr"][0] / 2}
        told |= {f"half lmax of {way}": eta * found["lmax"][0] / 2}
    beta = work.sweeping.groups[0].settings.momentum
    noise = max(noise_of(work.case, way) for way in work.case.ways)
    limits = stability.limits(noise, work.case.outputs, 0.0 if beta is None else jnp.ravel(jnp.asarray(beta))[0])
    told["limit of lmax"] = limits.descent.astype(eta.dtype)
    if noise > 0 and beta is None:
        told["limit of tr"] = limits.trace.astype(eta.dtype)
    return told


TRAIN = Method(_init, _step, _done, _measure)

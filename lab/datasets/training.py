"""Training sets: synthetic ones with a known answer, digits, and a user's table.

Arrays: ``x`` (n, d) or images (n, h, w), ``y`` (n,) or (n, k), and ``x_test``, ``y_test`` where there is a test set.
``axes["model"]`` names the model that suits them, one of ``lab.stability.models.MODELS``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import packaged
from .data import Data
from .kinds import Kind, add_kind, answered, real_numbers, unread
from .registry import register
from .tables import Table

KIND = "training"
_DIAGONAL, _TWO_LAYER, _PERCEPTRON = "diagonal", "two-layer ReLU", "perceptron"  # as lab.stability.models names them
ROWS, COLUMNS, OUTPUTS = 5000, 4000, 20
"""The most that are taken."""

_TEST = 500  # samples of a test set
_SEED = (0, (0, 2**32 - 1))
_TESTED = ("x", "y", "x_test", "y_test")
_SIZES = {"n": (40, (2, ROWS)), "d": (100, (1, COLUMNS)), "seed": _SEED}


@register(
    name="sparse-regression",
    title="Sparse linear regression",
    kind=KIND,
    summary="x uniform on [-1, 1]^d, y the sum of its first three coordinates; fewer samples than coordinates.",
    options=_SIZES,
    has=_TESTED,
    sizes={"n": "n", "d": "d", "tests": _TEST},
)
def sparse(n: int, d: int, seed: int) -> dict[str, Any]:
    """``n`` samples of the sum of the first three of ``d`` coordinates, and others for the test."""
    x = np.random.default_rng(seed).uniform(-1, 1, (n + _TEST, d))
    return _split(x, x[:, :3].sum(axis=1), n, _DIAGONAL)


@register(
    name="relu-teacher",
    title="A sum of ten ReLUs",
    kind=KIND,
    summary="x uniform on the sphere of radius √d, y the sum of relu(v·x) over ten random unit vectors v.",
    options=_SIZES,
    has=_TESTED,
    sizes={"n": "n", "d": "d", "tests": _TEST},
)
def relu_teacher(n: int, d: int, seed: int) -> dict[str, Any]:
    """``n`` samples of a sum of ten ReLUs, and others for the test."""
    rng = np.random.default_rng(seed)
    v, x = rng.standard_normal((10, d)), rng.standard_normal((n + _TEST, d))
    v /= np.linalg.norm(v, axis=1)[:, None]
    x *= d**0.5 / np.linalg.norm(x, axis=1)[:, None]
    return _split(x, np.maximum(x @ v.T, 0).sum(axis=1), n, _TWO_LAYER)


def _split(x: np.ndarray, y: np.ndarray, n: int, model: str) -> dict[str, Any]:
    return {"arrays": {"x": x[:n], "y": y[:n], "x_test": x[n:], "y_test": y[n:]}, "axes": {"model": model}}


def _digits(key: str, side: int, n: int, seed: int) -> dict[str, Any]:
    images, classes = packaged.labelled_images(key)
    order = np.random.default_rng(seed).permutation(len(images))[: n + _TEST]
    x = images[order].reshape(-1, side, side).astype(float)
    x = x / (16 if side == 8 else 255) - 0.5
    return _split(x, np.eye(10)[classes[order]], n, _PERCEPTRON)


@register(
    name="digit-training",
    title="Handwritten digits",
    kind=KIND,
    summary="Images of 8 x 8 pixels between -0.5 and 0.5, and ten numbers each, 1 for their class and 0 elsewhere.",
    options={"n": (40, (2, 1200)), "seed": _SEED},
    has=_TESTED,
    sizes={"n": "n", "height": 8, "width": 8, "outputs": 10},
    **packaged.facts("digits"),
)
def digits(n: int, seed: int) -> dict[str, Any]:
    """``n`` digits of 8 x 8 pixels with ten numbers each, and others for the test."""
    return _digits("digits", 8, n, seed)


@register(
    name="mnist-training",
    title="MNIST",
    kind=KIND,
    summary="Images of 28 x 28 pixels between -0.5 and 0.5, and ten numbers each, 1 for their class and 0 elsewhere. "
    "Minutes with other learning rates beside η: set their number to 0.",
    options={"n": (40, (2, 4000)), "seed": _SEED},
    has=_TESTED,
    sizes={"n": "n", "height": 28, "width": 28, "outputs": 10},
    **packaged.facts("mnist"),
)
def mnist(n: int, seed: int) -> dict[str, Any]:
    """``n`` digits of 28 x 28 pixels with ten numbers each, and others for the test."""
    return _digits("mnist", 28, n, seed)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse test samples that are unlike those to train on, too few or too many samples, and nothing to learn."""
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"{name} has {', '.join(arrays)}, but x_test and y_test are needed together")
    if "x_test" in arrays and any(arrays[key].shape[1:] != arrays[f"{key}_test"].shape[1:] for key in ("x", "y")):
        raise ValueError(f"the test samples of {name} have other shapes than the training samples")
    x, y = arrays["x"], arrays["y"]
    for what, count, low, high in (
        ("samples", len(x), 2, ROWS),
        ("inputs", int(np.prod(x.shape[1:])), 1, COLUMNS),
        ("outputs", int(np.prod(y.shape[1:])), 1, OUTPUTS),
    ):
        if not low <= count <= high:
            found = f"{count:,} {what}" if count > 1 else f"a single {what[:-1]}"
            raise ValueError(f"{name} has {found}, but {low} to {high:,} {what} are taken")
    if not np.any(y):
        raise ValueError(f"the outputs y in {name} are all 0: there is nothing to learn")


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    notices: Sequence[str] = (),
) -> Data:
    """Training samples out of ``x``, ``y`` and, optionally, ``x_test`` and ``y_test``.

    Raises:
        ValueError: arrays that are none; the sentence says where.
    """
    TRAINING.check_there(name, [*arrays, *ignored])
    given = {
        key: real_numbers(f"{key} in {name}", arrays[key]).astype(float) for key in TRAINING.arrays if key in arrays
    }
    for key in ("x", "x_test"):
        if key in given and given[key].ndim == 1:
            given[key] = given[key][:, None]
    TRAINING.check(name, given)
    notes = [*notices, *unread(name, ignored, set(TRAINING.arrays) - set(given))]
    model = _PERCEPTRON if given["x"].ndim == 3 or given["y"].ndim == 2 else _DIAGONAL
    return Data(name, name, KIND, given, "brought by the user", "the user's", {"model": model}, tuple(notes))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """A table whose column ``y`` (or last one) is learnt from the others."""
    columns, (last, y), ignored = answered(name, table, "y", "inputs and an output", "write a number for each class")
    notes = (*notices, f"the outputs are those of the column {last!r}")
    return from_arrays(name, {"x": np.stack(list(columns.values()), axis=1), "y": y}, ignored, notes)


_INPUTS = (("d",), ("height", "width"), ("height", "width", "channels"))
_OUTPUTS = ((), ("outputs",))

TRAINING = add_kind(
    Kind(
        KIND,
        {
            "x": [("n", *each) for each in _INPUTS],
            "y": [("n", *each) for each in _OUTPUTS],
            "x_test": [("tests", *each) for each in _INPUTS],
            "y_test": [("tests", *each) for each in _OUTPUTS],
        },
        needed=(("x", "y"),),
        from_arrays=from_arrays,
        takes=".csv, .parquet or .feather with inputs and, last, an output in each row, or .npz, .nc with x and y",
        dims={"n": "samples", "d": "inputs", "tests": "test samples"},
        values=_values,
        from_table=from_table,
        bare={2: ("x", "y"), 4: ("x", "y", "x_test", "y_test")},
    )
)

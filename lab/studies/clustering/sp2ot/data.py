"""Labelled samples of classes of very different sizes: real digits, and blobs whose classes are known to be separable.

Arrays: ``x`` (n, d), centred features; ``classes`` (n,), 0 ... K - 1, the largest class first; ``x_2d`` (n, 2), the features on
their first two principal axes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.clustering.training import long_tail
from lab.datasets import Data, Reader, add_reader, packaged
from lab.datasets.readers import answered, real_numbers, unread
from lab.datasets.registry import register
from lab.datasets.tables import Table
from lab.datasets.transport import planar
from lab.inputs import shown

_OPTIONS = {"ratio": (10, (1, 100)), "seed": (0, (0, 2**32 - 1))}


def _labelled(x: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    x = x - x.mean(axis=0)
    flat = planar(x, x)["x_2d"] if x.shape[1] > 2 else x
    return {"x": x, "classes": classes.astype(np.int32), "x_2d": flat}


def _images(key: str, most: int, ratio: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, classes = packaged.labelled_images(key)
    kept = long_tail(classes.astype(int), ratio, seed, most)
    return pixels[kept].astype(float), classes[kept]


@register(
    name="long-tailed-digits",
    title="Handwritten digits, few of the last",
    kind="labelled",
    summary="8 x 8 images of digits; each next digit is rarer, the first by the ratio more frequent than the last.",
    options=_OPTIONS,
    **packaged.facts("digits"),
)
def digits(ratio: int, seed: int) -> dict[str, Any]:
    x, classes = _images("digits", 174, ratio, seed)
    return {"arrays": _labelled(x / 16, classes)}


@register(
    name="long-tailed-mnist",
    title="MNIST, few of the last",
    kind="labelled",
    summary="28 x 28 images of digits on their first 50 principal axes; each next digit is rarer.",
    options=_OPTIONS,
    **packaged.facts("mnist"),
)
def mnist(ratio: int, seed: int) -> dict[str, Any]:
    x, classes = _images("mnist", 250, ratio, seed)
    centred = (x - x.mean(axis=0)) / 255
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-51:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    # the content hash should not hang on the last bit of a linear algebra library
    return {"arrays": _labelled(np.round(centred @ axes, 6), classes)}


@register(
    name="long-tailed-blobs",
    title="Five Gaussian blobs, few of the last",
    kind="labelled",
    summary="Points round the corners of a pentagon; each next blob is rarer.",
    options=_OPTIONS,
)
def blobs(ratio: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(5), 200)
    angle = 2 * np.pi * classes / 5
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.22 * rng.normal(size=(1000, 2))
    kept = long_tail(classes, ratio, seed, 200)
    return {"arrays": _labelled(x[kept], classes[kept]), "axes": {"x": ("x₁", "x₂")}}


# -- what a user brings ------------------------------------------------------------------------------------------------


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), notices: Sequence[str] = ()) -> Data:
    """Labelled samples out of ``x`` (n, d), or images, and ``classes`` (n,), any whole numbers; the largest becomes 0.

    Raises:
        ValueError: arrays that are no labelled samples; the sentence says where.
    """
    missing = [key for key in ("x", "classes") if key not in arrays]
    if missing:
        raise ValueError(
            f"{name} has no {' and no '.join(missing)}, but x (samples, d) and classes (samples,) are needed"
        )
    x, classes = (real_numbers(f"{key} in {name}", arrays[key]) for key in ("x", "classes"))
    if x.ndim < 2 or 0 in x.shape or classes.shape != x.shape[:1]:
        raise ValueError(
            f"x and classes in {name} have shapes {x.shape} and {classes.shape}, but (n, d) and (n,) are needed"
        )
    if not np.isfinite(x).all() or not np.isfinite(classes).all() or (classes != np.round(classes)).any():
        raise ValueError(f"x in {name} must be finite, and classes whole numbers")
    known, which, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if not 2 <= known.size < len(x):
        raise ValueError(
            f"{name} has {known.size} classes of {len(x)} samples, but at least 2, and fewer than samples, are needed"
        )
    place = np.argsort(np.argsort(-counts, kind="stable"))
    made = _labelled(x.reshape(len(x), -1), place[which])
    notices = [*notices, *unread(name, ignored, set(READER.wanted) - set(arrays))]
    return Data(name, name, "labelled", made, "brought by the user", "the user's", {}, tuple(notices))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """Labelled samples out of a table: a column ``classes`` (or the last one) has whole numbers, the others are coordinates."""
    columns, (last, classes), ignored = answered(
        name, table, "classes", "coordinates and classes", "write a whole number for each class"
    )
    notes = (*notices, f"the classes are those of the column {shown(last)}")
    x = np.stack(list(columns.values()), axis=1)
    return from_arrays(name, {"x": x, "classes": classes}, ignored, notices=notes)


def check(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that are no labelled samples."""
    from_arrays(name, arrays)


READER = Reader(
    ("x", "classes"),
    from_arrays,
    check,
    ".csv with numbers and, in its column classes or last, a class in each row, or .npz, .nc with x (samples, d) and classes",
    from_table=from_table,
    bare={2: ("x", "classes")},
)
add_reader("labelled", READER)

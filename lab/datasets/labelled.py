"""The named sets of kind ``labelled``, and such samples out of a user's files.

Samples of classes of very different sizes: real digits, and blobs whose classes are known to be separable; and two sets of
classes of one size. Arrays: ``x`` (n, d), features, centred but for those two sets; ``classes`` (n,), 0 ... K - 1, the largest
class first; ``x_2d`` (n, 2), the features on their first two principal axes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.inputs import shown

from . import packaged
from .data import Data
from .kinds import Kind, add_kind, answered, real_numbers, unread
from .registry import register
from .tables import Table
from .transport import planar

KIND = "labelled"

_OPTIONS = {"ratio": (10, (1, 100)), "seed": (0, (0, 2**32 - 1))}


def long_tail(classes: np.ndarray, ratio: float, seed: int, most: int | None = None) -> np.ndarray:
    r"""Indices (m,) of samples whose class sizes fall off as $n_c = \lfloor n_0\, r^{-c/(K-1)} \rfloor$.

    Args:
        classes: (n,), whole numbers 0 ... K - 1.
        ratio: r, of the largest to the smallest class, at least 1.
        seed: which samples of a class stay.
        most: n_0; the size of the smallest class when omitted, the most that all ratios can have.

    Raises:
        ValueError: a ratio below 1, or more samples than a class has.
    """
    if not 1 <= ratio < np.inf:
        raise ValueError(
            f"ratio = {ratio}, but the largest class must be at least as large as the smallest: ratio >= 1"
        )
    counts = np.bincount(classes)
    k, most = counts.size, int(counts.min()) if most is None else most
    sizes = np.maximum((most * ratio ** (-np.arange(k) / max(k - 1, 1)) + 1e-9).astype(int), 1)
    if (sizes > counts).any():
        raise ValueError(f"{most} samples of the largest class are asked for, but the classes have {counts.tolist()}")
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(classes == c))[: sizes[c]] for c in range(k)])


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
    kind=KIND,
    summary="8 x 8 images of digits; each next digit is rarer, the first by the ratio more frequent than the last.",
    options=_OPTIONS,
    sizes={"d": 64},
    **packaged.facts("digits"),
)
def digits(ratio: int, seed: int) -> dict[str, Any]:
    """Digits of 8 x 8 pixels, each next class rarer."""
    x, classes = _images("digits", 174, ratio, seed)
    return {"arrays": _labelled(x / 16, classes)}


@register(
    name="long-tailed-mnist",
    title="MNIST, few of the last",
    kind=KIND,
    summary="28 x 28 images of digits on their first 50 principal axes; each next digit is rarer.",
    options=_OPTIONS,
    sizes={"d": 50},
    **packaged.facts("mnist"),
)
def mnist(ratio: int, seed: int) -> dict[str, Any]:
    """MNIST on its first 50 principal axes, each next class rarer."""
    from lab.numerics.principal import principal_axes

    x, classes = _images("mnist", 250, ratio, seed)
    centred = (x - x.mean(axis=0)) / 255
    # the content hash should not hang on the last bit of a linear algebra library
    return {"arrays": _labelled(np.round(centred @ principal_axes(centred, 50), 6), classes)}


@register(
    name="long-tailed-blobs",
    title="Five Gaussian blobs, few of the last",
    kind=KIND,
    summary="Points round the corners of a pentagon; each next blob is rarer.",
    options=_OPTIONS,
    sizes={"d": 2},
)
def blobs(ratio: int, seed: int) -> dict[str, Any]:
    """Points about the corners of a pentagon, each next corner rarer."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(5), 200)
    angle = 2 * np.pi * classes / 5
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.22 * rng.normal(size=(1000, 2))
    kept = long_tail(classes, ratio, seed, 200)
    return {"arrays": _labelled(x[kept], classes[kept]), "axes": {"x": ("x₁", "x₂")}}


@register(
    name="digit-classes",
    title="Handwritten digits with their classes",
    kind=KIND,
    summary="All 1797 images of 8 x 8 pixels between 0 and 1, not centred, and which digit each is.",
    sizes={"n": 1797, "d": 64},
    **packaged.facts("digits"),
)
def digit_classes() -> dict[str, Any]:
    """All digits of 8 x 8 pixels between 0 and 1, with their classes."""
    pixels, classes = packaged.labelled_images("digits")
    x = pixels.astype(float) / 16
    return {"arrays": _labelled(x, classes) | {"x": x}}


@register(
    name="disc-in-ring",
    title="A disc within a ring",
    kind=KIND,
    summary="Points of a disc, and of a ring about it: no continuous flow of the plane can pull them apart.",
    options={"n": (350, (20, 5000)), "seed": (0, (0, 2**32 - 1))},
    sizes={"n": "n", "d": 2},
)
def disc_in_ring(n: int, seed: int) -> dict[str, Any]:
    """``n`` points, in turn of a disc of radius 0.8 and of a ring from 1.2 to 1.8 about it."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    radius = np.where(classes == 0, 0.8 * np.sqrt(rng.uniform(size=n)), rng.uniform(1.2, 1.8, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return {"arrays": {"x": x, "classes": classes.astype(np.int32), "x_2d": x}, "axes": {"x": ("x₁", "x₂")}}


# -- what a user brings ------------------------------------------------------------------------------------------------


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), notices: Sequence[str] = ()) -> Data:
    """Labelled samples out of ``x`` (n, d), or images, and ``classes`` (n,), any whole numbers; the largest becomes 0.

    Raises:
        ValueError: arrays that are no labelled samples; the sentence says where.
    """
    LABELLED.check_there(name, [*arrays, *ignored])
    x, classes = (real_numbers(f"{key} in {name}", arrays[key]) for key in ("x", "classes"))
    if x.ndim > 2:
        x = x.reshape(len(x), -1)
    LABELLED.check(name, {"x": x, "classes": classes})
    _, which, counts = np.unique(classes, return_inverse=True, return_counts=True)
    place = np.argsort(np.argsort(-counts, kind="stable"))
    made = _labelled(x, place[which])
    notices = [*notices, *unread(name, ignored, set(LABELLED.arrays) - set(arrays))]
    return Data(name, name, KIND, made, "brought by the user", "the user's", {}, tuple(notices))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """Labelled samples out of a table: a column ``classes`` (or the last one) has whole numbers, the others are coordinates."""
    columns, (last, classes), ignored = answered(
        name, table, "classes", "coordinates and classes", "write a whole number for each class"
    )
    notes = (*notices, f"the classes are those of the column {shown(last)}")
    x = np.stack(list(columns.values()), axis=1)
    return from_arrays(name, {"x": x, "classes": classes}, ignored, notices=notes)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse classes that are none."""
    classes = arrays["classes"]
    if (classes != np.round(classes)).any():
        raise ValueError(
            f"classes in {name} has {classes[classes != np.round(classes)][0]:g}, but whole numbers are needed"
        )
    if not 2 <= (known := np.unique(classes).size) < classes.size:
        raise ValueError(
            f"{name} has {known} classes of {classes.size} samples, but at least 2, and fewer than samples, are needed"
        )


LABELLED = add_kind(
    Kind(
        KIND,
        {"x": ("n", "d"), "classes": ("n",)},
        needed=(("x", "classes"),),
        from_arrays=from_arrays,
        takes=".csv with numbers and, in its column classes or last, a class in each row, or .npz, .nc with x (samples, d) and "
        "classes",
        dims={"n": "samples", "d": "coordinates"},
        values=_values,
        from_table=from_table,
        bare={2: ("x", "classes")},
    )
)

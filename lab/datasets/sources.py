"""The named sets of kind ``sources``, and such data out of a user's files.

Labelled samples of several providers, and of the data set that a model is to do well on. Arrays: ``x`` (n, d), features;
``classes`` (n,), 0, 1, ...; ``source`` (n,), the provider 0, 1, ... of each, and -1 for those of that data set.
``axes["sources"]`` names the providers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.inputs import shown

from . import packaged
from .data import Data
from .kinds import Kind, add_kind, number_columns, real_numbers, unread
from .registry import register
from .tables import Table

KIND = "sources"

_SKEW = ((0.2425, 0.0050), (0.3200, 0.0057), (0.3300, 0.0014))
"""The share of a class that a source has much of, and of one that it has little of (the released design of Projektor)."""
_HAS = ((0, 1, 2, 3), (4, 5, 6), (7, 8, 9))
_NAMES = ("digits 0-3", "digits 4-6", "digits 7-9")
_OPTIONS = {"seed": (0, (0, 2**32 - 1))}
_HELD = 4  # one row of so many is held out where no row has the source -1


def skewed(classes: np.ndarray, each: int, goal: int, seed: int) -> np.ndarray:
    """Whose each sample is: of three sources with skewed classes, -1 of the data set that is as all are, -2 of none.

    Args:
        classes: (n,), ten of them.
        each, goal: samples of a source, and of that data set.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    source = np.full(classes.size, -2)
    source[rng.permutation(classes.size)[:goal]] = -1
    for i, (much, little) in enumerate(_SKEW):
        share = np.where(np.isin(np.arange(10), _HAS[i]), much, little)
        left = np.bincount(classes[source == -2], minlength=10)
        count = np.minimum(rng.multinomial(each, share / share.sum()), left)
        count[(left - count).argmax()] += each - count.sum()  # for what a class lacks
        for c in range(10):
            there = np.flatnonzero((source == -2) & (classes == c))
            source[rng.permutation(there)[: count[c]]] = i
    return source


def _digits(x: np.ndarray, classes: np.ndarray, each: int, goal: int, seed: int) -> dict[str, Any]:
    source = skewed(classes, each, goal, seed)
    there = source > -2
    arrays = {"x": x[there], "classes": classes[there].astype(np.int32), "source": source[there].astype(np.int32)}
    return {"arrays": arrays, "axes": {"sources": _NAMES}}


@register(
    name="digit-sources",
    title="Handwritten digits of three sources",
    kind=KIND,
    summary="8 x 8 images: one source has mostly 0 to 3, one 4 to 6, one 7 to 9, 300 each; 600 others with all alike.",
    options=_OPTIONS,
    sizes={"n": 1500, "d": 64},
    **packaged.facts("digits"),
)
def digits(seed: int) -> dict[str, Any]:
    """Digits of 8 x 8 pixels between 0 and 1, of three sources."""
    pixels, classes = packaged.labelled_images("digits")
    return _digits(pixels.astype(float) / 16, classes.astype(int), 300, 600, seed)


@register(
    name="mnist-sources",
    title="MNIST of three sources",
    kind=KIND,
    summary="28 x 28 images on their first 50 principal axes, of three such sources, 1000 each; 1500 others with all alike.",
    options=_OPTIONS,
    sizes={"n": 4500, "d": 50},
    **packaged.facts("mnist"),
)
def mnist(seed: int) -> dict[str, Any]:
    """MNIST on its first 50 principal axes, of three sources."""
    from lab.numerics.principal import principal_axes

    pixels, classes = packaged.labelled_images("mnist")
    centred = (pixels - pixels.mean(axis=0)) / 255
    # the content hash should not hang on the last bit of a linear algebra library
    return _digits(np.round(centred @ principal_axes(centred, 50), 6), classes.astype(int), 1000, 1500, seed)


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), notices: Sequence[str] = ()) -> Data:
    """Sources out of ``x`` (n, d), or images, ``classes`` (n,) and ``source`` (n,), any whole numbers.

    The classes and sources are counted anew from 0, in order. Where no source is -1, a quarter of the rows is held out as the
    data set to do well on.

    Raises:
        ValueError: arrays that are no such data; the sentence says where.
    """
    SOURCES.check_there(name, [*arrays, *ignored])
    x, classes, source = (real_numbers(f"{key} in {name}", arrays[key]) for key in SOURCES.arrays)
    x = x.reshape(len(x), -1) if x.ndim > 2 else x
    SOURCES.check(name, {"x": x, "classes": classes, "source": source})
    notices = [*notices, *unread(name, ignored, set(SOURCES.arrays) - set(arrays))]
    source = source.astype(int)
    if not (source == -1).any():
        source = source.copy()
        source[np.random.default_rng(0).permutation(source.size)[: source.size // _HELD]] = -1
        notices.append(f"no row of {name} has the source -1: a quarter of the rows is held out to do well on")
    which, ours = np.unique(source[source >= 0], return_inverse=True)
    source[source >= 0] = ours
    numbered = np.unique(classes, return_inverse=True)[1]
    made = {"x": x.astype(float), "classes": numbered.astype(np.int32), "source": source.astype(np.int32)}
    axes = {"sources": tuple(f"source {k}" for k in which)}
    return Data(name, name, KIND, made, "brought by the user", "the user's", axes, tuple(notices))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """Sources out of a table: the columns ``classes`` and ``source`` have whole numbers, the others are features."""
    columns, ignored = number_columns(name, table, "write a whole number for each class and source")
    if missing := [key for key in ("classes", "source") if key not in columns]:
        raise ValueError(f"{name} has no column {' and no column '.join(missing)}, but classes and source are needed")
    features = [column for key, column in columns.items() if key not in ("classes", "source")]
    if not features:
        raise ValueError(f"{name} has no column of features beside classes and source")
    given = {"x": np.stack(features, axis=1), "classes": columns["classes"], "source": columns["source"]}
    return from_arrays(name, given, ignored, notices)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse classes and sources that are none."""
    for key in ("classes", "source"):
        if (arrays[key] != np.round(arrays[key])).any():
            wrong = arrays[key][arrays[key] != np.round(arrays[key])][0]
            raise ValueError(f"{key} in {name} has {wrong:g}, but whole numbers are needed")
    if np.unique(arrays["classes"]).size < 2:
        raise ValueError(f"all samples of {name} are of one class, but at least 2 are needed")
    known = np.unique(arrays["source"])
    if known[0] < -1 or (known >= 0).sum() < 2:
        raise ValueError(
            f"the sources of {name} are {shown(known[:6].tolist())}, but two or more, numbered from 0, are needed, and -1 for "
            "rows of the data set to do well on"
        )


SOURCES = add_kind(
    Kind(
        KIND,
        {"x": ("n", "d"), "classes": ("n",), "source": ("n",)},
        needed=(("x", "classes", "source"),),
        from_arrays=from_arrays,
        takes=".csv with numbers, a class in the column classes and a provider in the column source, or .npz, .nc with x "
        "(samples, d), classes and source",
        dims={"n": "samples", "d": "features"},
        values=_values,
        from_table=from_table,
        bare={3: ("x", "classes", "source")},
    )
)

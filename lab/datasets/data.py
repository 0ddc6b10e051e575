"""What a data set is: named arrays with their origin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    r"""Arrays with a name, an origin and a content hash. Read-only: one object may serve many callers.

    For ``kind="transport"`` the arrays are ``a`` (m,) and ``b`` (n,), the masses of sources and targets, of one total,
    and points ``x`` (m, d) and ``y`` (n, d), or a ``cost`` (m, n), or both. Without ``cost`` the cost is the squared
    Euclidean distance of the points. What pictures need comes along:

    - ``x_2d`` (m, 2), ``y_2d`` (n, 2): points of more than two dimensions on the first two principal axes of all;
    - ``source_image`` (h, w, 3) uint8 and ``source_label`` (h, w), the same for the target: a small picture and which
      of the points, its colours, each pixel has; ``x[source_label]`` is the picture painted with them;
    - ``gates`` (tokens, experts): the affinities that ``cost`` is the negative of.

    Attributes:
        name: the registry's name, or the file's.
        title: what a heading says.
        kind: what the arrays mean, ``"transport"`` here; the module of each other kind says its own.
        arrays: C-contiguous and read-only.
        source: where the data come from.
        licence: under which terms.
        axes: labels: ``"x"``, the name of each coordinate; ``"unit"``, theirs; ``"rows"`` and ``"columns"``, what the
            sides of the cost are; ``"image"``, the (height, width) that a point is an image of. Each may be missing.
        notices: what was done on the way in that the user should know, one sentence each.
        truth: optimal values known from a closed form or an exact solver: ``lp`` without regularization,
            ``value_k1`` and ``value_quadratic`` with quadratic regularization of strength 1, one nonzero a column
            and any number.
    """

    name: str
    title: str
    kind: str
    arrays: Mapping[str, np.ndarray]
    source: str
    licence: str
    axes: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    truth: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        def frozen(array: np.ndarray) -> np.ndarray:
            view = np.ascontiguousarray(array).view()
            view.flags.writeable = False
            return view

        put = object.__setattr__
        put(self, "arrays", MappingProxyType({key: frozen(array) for key, array in self.arrays.items()}))
        put(self, "axes", MappingProxyType(dict(self.axes)))
        put(self, "truth", MappingProxyType(dict(self.truth)))
        put(self, "notices", tuple(self.notices))

    def __reduce__(self) -> tuple[Any, ...]:
        values = (getattr(self, each.name) for each in fields(self))
        return type(self), tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over the sorted names with their types, shapes and little-endian bytes."""
        digest = sha256()
        for key in sorted(self.arrays):
            array = self.arrays[key].astype(self.arrays[key].dtype.newbyteorder("<"), copy=False)
            digest.update(f"{key}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @cached_property
    def axes_sha256(self) -> str:
        """SHA-256 over the labels, which the content hash leaves out."""
        return sha256(json.dumps(dict(self.axes), sort_keys=True, default=str).encode()).hexdigest()

    @property
    def said(self) -> str:
        """The notices as sentences, one after the other."""
        return " ".join(f"{notice.rstrip('.')}." for notice in self.notices)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key} {array.shape}" for key, array in self.arrays.items())
        return f"<Data {self.name!r} ({self.kind}): {shapes}>"

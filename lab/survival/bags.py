"""Bags of patches of different sizes, kept end to end without padding."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from lab import precision
from lab.numerics.differentiation import held_constant, is_traced, needs_values
from lab.numerics.host import placed


class Bags(eqx.Module):
    """n bags: the patches of each lie side by side, and its time says how long it was seen.

    A batch is padded to the smallest of ``widths`` that holds its largest bag, so that few shapes are compiled and small
    bags cost little: powers of two up to the largest bag.
    """

    x: Float[Array, "patches d"]
    start: Int[Array, " n"]
    size: Int[Array, " n"]
    time: Float[Array, " n"]
    event: Float[Array, " n"]  # 1 where the event came at that time, 0 where censored
    widths: tuple[int, ...] = eqx.field(static=True)

    @property
    def count(self) -> int:
        return self.size.shape[0]

    def take(self, index: Int[Array, " b"], width: int) -> tuple[Float[Array, "b width d"], Bool[Array, "b width"]]:
        """The patches of some bags, padded to a width that holds them, and which of them are there."""
        at = jnp.arange(width)[None, :]
        place = jnp.minimum(self.start[index][:, None] + at, self.x.shape[0] - 1)
        return self.x[place], at < self.size[index][:, None]


def bags(x: Any, bag: Any, time: Any, event: Any) -> Bags:
    r"""Check and build ``Bags``, on the host: sets $\{x_{i1}, ..., x_{i n_i}\}$ of patches, each with a time and an event.

    Differentiable in x outside ``jit`` and ``vmap``; inside, make the bags before and replace their array x by ``eqx.tree_at``.

    Args:
        x: (patches, d) features.
        bag: (patches,) whole numbers 0 ... n - 1: the bag of each patch, in any order.
        time: (n,) how long each bag was seen, not negative.
        event: (n,) 1 where the event came then, 0 where it had not come yet.

    Returns:
        the bags, their patches side by side.

    Raises:
        ValueError: shapes that do not fit, an empty bag, NaN or infinity, a negative time, another event.
        NotDifferentiableError: under ``jit`` or ``vmap``, or in a derivative with respect to ``bag``, ``time`` or ``event``.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import numpy as np
        >>> from lab import survival
        >>> made = survival.bags(np.ones((3, 2)), np.array([1, 0, 1]), np.array([5.0, 7.0]), np.array([1, 0]))
        >>> made.size.tolist(), made.start.tolist()
        ([1, 2], [0, 1])
    """
    found, order = _bags(held_constant(x), bag, time, event)
    return eqx.tree_at(lambda made: made.x, found, x[order].astype(found.x.dtype)) if is_traced(x) else found


@needs_values("Make the bags outside, and differentiate in their array x with eqx.tree_at or dataclasses.replace.")
def _bags(x: Any, bag: Any, time: Any, event: Any) -> tuple[Bags, np.ndarray]:
    precision.uncut(x=x)
    arrays = {name: np.asarray(value) for name, value in (("x", x), ("bag", bag), ("time", time), ("event", event))}
    check("the bags", arrays)
    order = np.argsort(arrays["bag"], kind="stable")
    size = np.bincount(arrays["bag"].astype(np.int64), minlength=arrays["time"].size)
    largest = int(size.max())
    widths = (*(2**power for power in range(4, 31) if 2**power < largest and (size <= 2**power).any()), largest)
    dtype = arrays["x"].dtype if arrays["x"].dtype.kind == "f" else jnp.result_type(float)
    start = np.cumsum(size) - size
    made = Bags(
        placed(np.asarray(arrays["x"][order], dtype)),
        placed(start.astype(np.int32)),
        placed(size.astype(np.int32)),
        placed(np.asarray(arrays["time"], dtype)),
        placed(np.asarray(arrays["event"], dtype)),
        widths,
    )
    return made, order


def check(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that are no bags, in one sentence that says where."""
    x, bag, time, event = (arrays[key] for key in ("x", "bag", "time", "event"))
    for key, array in (("x", x), ("bag", bag), ("time", time), ("event", event)):
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{key} of {name} has the type {array.dtype}, but real numbers are needed")
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x of {name} has shape {x.shape}, but a table (patches, features) is needed, neither zero")
    if bag.shape != x.shape[:1]:
        raise ValueError(f"bag of {name} has shape {bag.shape}, but there are {len(x)} patches: ({len(x)},) is needed")
    if time.ndim != 1 or event.shape != time.shape:
        raise ValueError(
            f"time and event of {name} have shapes {time.shape} and {event.shape}, but one number for each bag is needed"
        )
    if not np.isfinite(x).all():
        i, j = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"x of {name} is {x[i, j]} at patch {i}, feature {j}: drop the patch or fill it in")
    n = time.size
    if not (np.isfinite(bag).all() and (bag == np.floor(bag)).all() and (bag >= 0).all() and (bag < n).all()):
        i = int(np.argmin(np.isfinite(bag) & (bag == np.floor(bag)) & (bag >= 0) & (bag < n)))
        raise ValueError(f"bag of {name} is {bag[i]} at patch {i}, but it must be a whole number from 0 to {n - 1}")
    counts = np.bincount(bag.astype(np.int64), minlength=n)
    if not counts.all():
        raise ValueError(f"bag {int(np.argmin(counts))} of {name} is empty: every bag needs at least one patch")
    if not (np.isfinite(time) & (time >= 0)).all():
        i = int(np.argmin(np.isfinite(time) & (time >= 0)))
        raise ValueError(f"time of {name} is {time[i]} for bag {i}, but it must be finite and not negative")
    if not np.isin(event, (0, 1)).all():
        i = int(np.argmin(np.isin(event, (0, 1))))
        raise ValueError(f"event of {name} is {event[i]} for bag {i}, but it must be 1 (it came) or 0 (censored)")


def numbers(name: str, given: Any, count: int, least: int = 1) -> Int[Array, " s"]:
    """Convert numbers of bags to an array and check them, unless they are traced.

    Raises:
        ValueError: fewer than ``least``, or some that are not whole numbers from 0 to ``count`` - 1.
    """
    if isinstance(given, Tracer):
        return given
    found = np.asarray(given)
    found = found if found.size else found.astype(int)
    fits = found.ndim == 1 and found.size >= least and found.dtype.kind in "iu"
    if not fits or ((found < 0) | (found >= count)).any():
        some = f", at least {least}" if least else ""
        raise ValueError(f"{name} must be numbers of bags, whole ones from 0 to {count - 1}{some}")
    return placed(found)

"""What the studies of probability paths share: the laws that samples come with, long work in pieces, the window of a cloud."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab import paths
from lab.numerics import Loop, Method, Reason
from lab.paths import metrics


def target_of(arrays: Mapping[str, Any]) -> paths.Mixture | paths.Boxes | paths.Empirical:
    """The law that the data were drawn from where it is known, else the data themselves."""
    if "centres" in arrays:
        return paths.Mixture(*(jnp.asarray(arrays[key]) for key in ("weights", "centres", "variances")))
    if "low" in arrays:
        return paths.Boxes(*(jnp.asarray(arrays[key]) for key in ("low", "high", "weights")))
    return paths.Empirical(jnp.asarray(arrays["x"]))


def source_of(arrays: Mapping[str, Any]) -> paths.Mixture | paths.Empirical:
    """The law at t = 0: of the data set where it has one, else N(0, I)."""
    if "source_centres" in arrays:
        keys = ("source_weights", "source_centres", "source_variances")
        return paths.Mixture(*(jnp.asarray(arrays[key]) for key in keys))
    if "x0" in arrays:
        return paths.Empirical(jnp.asarray(arrays["x0"]))
    return paths.standard(arrays["x"].shape[1])


def is_known(arrays: Mapping[str, Any]) -> bool:
    """Whether the law of the data is known, and not only samples of it."""
    return "centres" in arrays or "low" in arrays


class _Items(NamedTuple):
    work: Callable
    items: Any  # rows along the first axes


class _Found(NamedTuple):
    values: Any  # NaN where not known yet
    count: Any


def _nothing(task: _Items) -> _Found:
    length = jax.tree.leaves(task.items)[0].shape[0]
    one = jax.eval_shape(task.work, jax.tree.map(lambda rows: rows[0], task.items))
    return _Found(jax.tree.map(lambda z: jnp.full((length, *z.shape), jnp.nan, z.dtype), one), jnp.int32(0))


def _next(task: _Items, found: _Found) -> _Found:
    value = task.work(jax.tree.map(lambda rows: rows[found.count], task.items))
    return _Found(jax.tree.map(lambda all, one: all.at[found.count].set(one), found.values, value), found.count + 1)


def _all(task: _Items, found: _Found) -> Any:
    length = jax.tree.leaves(task.items)[0].shape[0]
    return jnp.where(found.count >= length, Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


_EACH = Method(_nothing, _next, _all, lambda task, found: {"pieces": jnp.asarray(found.count, jnp.float32)})


def each(loop: Loop, work: Callable, items: Any) -> tuple[Any, Any]:
    """``jax.lax.map(work, items)`` by the loop, item by item, so that it is reported and can be stopped.

    Args:
        work: a pytree that is called with a row of the items, such as an ``eqx.Module``; gives real numbers.
        items: arrays whose first axes have one length.

    Returns:
        the values, NaN of those that a stop left out, and the reason.
    """
    run = loop(_EACH, _Items(work, items), max_iterations=jax.tree.leaves(items)[0].shape[0])
    return run.state.values, run.reason


class Distance(eqx.Module):
    """The exact W2 squared of two clouds of one size, (2, n, d); NaN where one is not known."""

    def __call__(self, clouds: Any) -> Any:
        known = jnp.isfinite(clouds).all()
        x, y = jnp.where(known, clouds, 0)
        return jnp.where(known, metrics.squared_wasserstein(x, y), jnp.nan)


def window(*clouds: Any, air: float = 0.06) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes that hold all but the farthest 1 in 500 points of each cloud, (..., 2), with a little air."""
    low = np.min([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.002, axis=0) for c in clouds], axis=0)
    high = np.max([np.nanquantile(np.asarray(c, float).reshape(-1, 2), 0.998, axis=0) for c in clouds], axis=0)
    pad = air * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - pad, high + pad
    return (float(left), float(right)), (float(bottom), float(top))

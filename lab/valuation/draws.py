r"""Training sets drawn from a mixture of sources, and labels that are wrong.

A set of N points in proportions p: each is of source i with probability p_i, and is one of its n_i points, with replacement,
so that the counts are multinomial. (Rounding N p_i q_c to whole numbers, as is done elsewhere, leaves no point of a rare class
at small N.) A set is held as how often each point was drawn, so that all sets of all sizes have one shape.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.valuation.designs import mixtures


def counts(key: Array, p: Any, source: Any, size: Any, most: int) -> Float[Array, "k n"]:
    r"""How often each point is drawn: $\mathrm{Multinomial}(N, p_{i(j)} / n_{i(j)})$, a set for each mixture.

    Args:
        key: each mixture has its own draws.
        p: shares (k, sources), a mixture a row, as ``designs.mixtures`` checks them.
        source: which source each point is of, (n,); each has points, else its share is lost.
        size: N, traced; one for all mixtures or one for each.
        most: at least N. Time and memory O(k most).

    Returns:
        counts (k, n), whose rows sum to N. They are drawn: without derivative.

    Raises:
        ValueError: shares that are no mixtures, a size below 0 or above ``most``, sources that do not fit.

    Source:
        Kang et al. (2023).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> found = valuation.counts(jax.random.key(0), jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0, 1]), 6, 8)
        >>> found.sum(axis=1).tolist(), found[1].tolist()  # source 1 has one point
        ([6.0, 6.0], [0.0, 0.0, 6.0])
    """
    p = arguments.real("p", p, (None, None))
    if not isinstance(p, Tracer):
        mixtures(p)
    source = jnp.asarray(source)
    if source.ndim != 1 or not jnp.issubdtype(source.dtype, jnp.integer):
        raise ValueError(f"source has shape {source.shape} and type {source.dtype}: whole numbers (n,) are needed")
    if not isinstance(source, Tracer) and np.unique(np.asarray(source)).tolist() != list(range(p.shape[1])):
        raise ValueError(f"source must have each of the whole numbers 0 to {p.shape[1] - 1}: each source needs points")
    most = arguments.whole("most", most, 0)
    size = arguments.real("size", size, low=0, high=most)
    if size.shape not in ((), (len(p),)):
        raise ValueError(
            f"size has shape {size.shape}: one number, or one for each of the {len(p)} mixtures, is needed"
        )
    p, size = refuse_derivative((p, size), "counts are drawn and whole: lab.valuation.counts has no derivative")
    return _counts(key, p, source, size, most)


@jit
def _counts(key: Array, p: Array, source: Array, size: Array, most: int) -> Float[Array, "k n"]:
    edges = jnp.cumsum(masses(p, source), axis=1)

    def draw(key: Array, edges: Array, size: Array) -> Array:
        at = jnp.searchsorted(edges, edges[-1] * random.uniform(key, (most,), edges.dtype), side="right")
        at = jnp.where(jnp.arange(most) < size, jnp.minimum(at, source.size - 1), source.size)
        return jnp.zeros(source.size, edges.dtype).at[at].add(1.0, mode="drop")

    return jax.vmap(draw)(jax.random.split(key, len(p)), edges, jnp.broadcast_to(size, len(p)))


def masses(p: Float[Array, "k sources"], source: Int[Array, " n"]) -> Float[Array, "k n"]:
    """p_i / n_i at each point of source i, a mixture a row."""
    points = jnp.zeros(p.shape[1], p.dtype).at[source].add(1)
    return (p / jnp.maximum(points, 1)[None, :])[:, source]


@jit
def flipped(
    key: Array,
    labels: Int[Array, " n"],
    classes: int,
    rate: ArrayLike,
    among: Bool[Array, " n"],
    kept: Any = None,
) -> Int[Array, " n"]:
    """Labels of which a share is replaced by another class, each other one alike likely.

    Args:
        classes: how many there are.
        rate: the share, between 0 and 1. For one key the labels that are wrong at a rate are wrong at each higher one.
        among: where labels may be wrong.
        kept: (n,), where they stay nevertheless.
    """
    chance, other = jax.random.split(key)
    wrong = among & (random.uniform(chance, labels.shape) < rate)
    wrong = wrong if kept is None else wrong & ~kept
    step = random.randint(other, labels.shape, 1, classes, labels.dtype)
    return jnp.where(wrong, (labels + step) % classes, labels)

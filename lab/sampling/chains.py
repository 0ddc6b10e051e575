r"""Subsets by Markov chains, for ground sets whose kernel cannot be decomposed: exchange and add-delete.

A chain proposes to swap one item of the set for one outside (k-DPP), or to add or delete one item (L-ensemble), and accepts
with probability $\min(1, \det L_{S'} / \det L_S)$. With $M = L_S^{-1}$ and $u = L_{S j}$,

$$ \frac{\det L_{S + j}}{\det L_S} = L_{jj} - u^T M u, \qquad \frac{\det L_{S - i}}{\det L_S} = M_{ii}, \qquad
   \frac{\det L_{S - i + j}}{\det L_S} = M_{ii} (L_{jj} - u^T M u) + (M u)_i^2 , $$

so that a step reads k entries of L and costs O(k^2), whatever N is; M is computed anew at each recorded state.

Source: Li, Jegelka and Sra, *Fast mixing Markov chains for strongly Rayleigh measures, DPPs, and constrained sampling*, 2016.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import random
from lab.numerics.arguments import whole
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.sampling.ensembles import symmetric

type Kernel = Callable[[Array, Array], Array]
"""Entries of L: from indices (a,) and (b,) the block (a, b)."""


class Trajectory(NamedTuple):
    """Recorded states of a chain."""

    items: Int[Array, "states width"]  # the set; N in places that are empty
    log_det: Float[Array, " states"]  # of L_S
    acceptance: Float[Array, ""]  # share of proposals that were accepted

    def masks(self, n: int) -> Bool[Array, "states n"]:
        empty = jnp.zeros((self.items.shape[0], n + 1), bool)
        return empty.at[jnp.arange(self.items.shape[0])[:, None], self.items].set(True)[:, :n]

    def effective_size(self, statistic: ArrayLike | None = None) -> float:
        """How many independent states tell as much of the mean of a statistic (states,), log det L_S if not given.

        By Geyer's initial sequence (numpyro); on the host. A chain that never moved has 1.
        """
        from numpyro.diagnostics import effective_sample_size

        x = np.asarray(self.log_det if statistic is None else statistic, float)
        return 1.0 if np.ptp(x) < 1e-12 * (1 + np.abs(x).max()) else float(effective_sample_size(x[None, :]))


def entries(kernel: ArrayLike) -> Kernel:
    """The entries of a dense L."""
    l = symmetric(kernel, "L")
    return _Dense(l)


@jax.tree_util.register_pytree_node_class
class _Dense:
    def __init__(self, l):
        self.l = l

    def __call__(self, rows, columns):
        return self.l[rows[:, None], columns[None, :]]

    def tree_flatten(self):
        return (self.l,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def exchange(
    key: Array, kernel: Kernel | ArrayLike, n: int, start: ArrayLike | Sequence, states: int, thin: int | None = None
) -> Trajectory:
    """The k-DPP by swaps, from a set of k items with a determinant.

    Args:
        kernel: L (n, n), or a function of indices that gives its blocks, so that L need not exist.
        n: number of items.
        start: (k,) distinct indices, which L must give a positive determinant.
        states: how many states are recorded.
        thin: swaps between these; k if not given.

    Returns:
        a ``Trajectory``.

    Raises:
        ValueError: a kernel that does not fit n or is not symmetric, a start that is no such set, or counts below 1.
    """
    kernel, items, thin = _checked(kernel, n, start, states, thin)
    if items.shape[0] >= n:
        raise ValueError(f"the set holds all {n} items, so that there is none to swap for: take k < N")
    return _trajectory(key, kernel, items, n, states, thin or items.shape[0], False)


def _checked(
    kernel: Kernel | ArrayLike, n: int, start: ArrayLike | Sequence, states: int, thin: int | None
) -> tuple[Kernel, Array, int | None]:
    whole("n", n, 1)
    whole("states", states, 1)
    thin = thin if thin is None else whole("thin", thin, 1)
    items = _start(start, n)
    if not callable(kernel):
        dense = symmetric(kernel, "kernel")
        if dense.shape[0] != n:
            raise ValueError(f"kernel has shape {dense.shape}: shape ({n}, {n}) is needed, as n = {n}")
        kernel = _Dense(dense)
    _check_start(kernel, items, items.shape[0])
    return kernel, items, thin


def add_delete(
    key: Array,
    kernel: Kernel | ArrayLike,
    n: int,
    start: ArrayLike | Sequence,
    states: int,
    limit: int,
    thin: int | None = None,
) -> Trajectory:
    """The L-ensemble by adding and deleting, from a set with a determinant, which may be empty.

    Args:
        kernel, n, states: as in ``exchange``.
        start: (k,) distinct indices.
        limit: the largest set that is kept, which sizes the state. Additions beyond it are rejected, so take it where P(|S| >
            limit) does not matter: the rank of L is always enough.
        thin: proposals between records; ``limit`` if not given.

    Raises:
        ValueError: as ``exchange``, or a limit below the size of the start or above n.
    """
    kernel, items, thin = _checked(kernel, n, start, states, thin)
    whole("limit", limit, items.shape[0], n)
    items = jnp.concatenate([items, jnp.full(limit - items.shape[0], n, items.dtype)])
    return _trajectory(key, kernel, items, n, states, thin or max(limit, 1), True)


def _start(start: ArrayLike | Sequence, n: int) -> Array:
    given = np.asarray(start)
    given = given.astype(int) if given.size == 0 else given
    distinct = given.ndim == 1 and given.dtype.kind in "iu" and len(set(given.tolist())) == given.size
    if not distinct or ((given < 0) | (given >= n)).any():
        raise ValueError(f"start must be distinct indices from 0 to {n - 1}, (k,)")
    return placed(given.astype(int))


def _check_start(kernel: Kernel, items: Array, k: int) -> None:
    if k:
        values = jnp.linalg.eigvalsh(kernel(items, items))
        if not float(values[0]) > k * jnp.finfo(values.dtype).eps * float(values[-1]):
            raise ValueError("the set at start has determinant 0, from which no chain moves: start from another set")


@jit
def _trajectory(key, kernel, items, n, states, thin, free) -> Trajectory:
    width = items.shape[0]

    def block(items):
        """L_S, with ones on the diagonal of empty places."""
        real = items < n
        known = jnp.minimum(items, n - 1)
        both = real[:, None] & real[None, :]
        return jnp.where(both, kernel(known, known), jnp.eye(width))

    def column(items, j):
        """L_Sj, and L_jj."""
        value = kernel(jnp.minimum(items, n - 1), j[None])[:, 0]
        return jnp.where(items < n, value, 0.0), kernel(j[None], j[None])[0, 0]

    def replace(inverse, place, u, corner):
        """The inverse when row and column at a place become u and corner, by two Schur complements."""
        here = jnp.arange(width) == place
        m = inverse[:, place]
        rest = jnp.where(here[:, None] | here[None, :], 0.0, inverse - jnp.outer(m, m) / m[place])
        v = rest @ u
        schur = corner - u @ v
        edge = jnp.where(here, -1.0, v)
        return rest + jnp.outer(edge, edge) / schur

    def swap(carry, key):
        items, inverse, accepted = carry
        at, which, level = jax.random.split(key, 3)
        place = random.randint(at, (), 0, width)
        # uniform among the n - k items outside: the r-th index that is not in the set
        rank = random.randint(which, (), 0, n - width)
        j = rank + jnp.sum(jnp.sort(items) - jnp.arange(width) <= rank)
        u, corner = column(items, j)
        v = inverse @ u
        ratio = inverse[place, place] * (corner - u @ v) + v[place] ** 2
        take = random.uniform(level) < ratio
        u = jnp.where(jnp.arange(width) == place, 0.0, u)
        new = replace(inverse, place, u, corner)
        items = jnp.where(take & (jnp.arange(width) == place), j, items)
        return (items, jnp.where(take, new, inverse), accepted + take), None

    def toggle(carry, key):
        items, inverse, accepted = carry
        which, level = jax.random.split(key)
        j = random.randint(which, (), 0, n)
        inside = (items == j).any()
        full = ~(items == n).any()
        place = jnp.where(inside, jnp.argmax(items == j), jnp.argmax(items == n))
        u, corner = column(items, j)
        u = jnp.where(jnp.arange(width) == place, 0.0, u)
        ratio = jnp.where(inside, inverse[place, place], corner - u @ inverse @ u)
        take = (random.uniform(level) < ratio) & (inside | ~full)
        new = replace(inverse, place, jnp.where(inside, 0.0, u), jnp.where(inside, 1.0, corner))
        items = jnp.where(take & (jnp.arange(width) == place), jnp.where(inside, n, j), items)
        return (items, jnp.where(take, new, inverse), accepted + take), None

    def record(items, key):
        inverse = jnp.linalg.inv(block(items))
        keys = jax.random.split(key, thin)
        (items, _, accepted), _ = jax.lax.scan(toggle if free else swap, (items, inverse, jnp.asarray(0)), keys)
        return items, (items, jnp.linalg.slogdet(block(items))[1], accepted)

    _, (items, log_det, accepted) = jax.lax.scan(record, items, jax.random.split(key, states))
    return Trajectory(items, log_det, accepted.sum() / (states * thin))

r"""How well clusters agree with classes that the clustering did not know.

Clusters have no names: accuracy and F1 match each cluster with one class, so that most samples agree (Kuhn, Munkres).
Both are means over classes, so that a rare class counts as much as a frequent one. With the table $n_{ck}$ of classes
and clusters, $\mathrm{NMI} = 2\, I(c, k) / (H(c) + H(k))$ needs no matching.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Real


class Scores(NamedTuple):
    """Agreement of clusters and classes; 1 is perfect."""

    accuracy: Float[Array, ""]  # mean over classes of the recall, after matching
    nmi: Float[Array, ""]  # normalized mutual information, arithmetic mean
    f1: Float[Array, ""]  # mean over classes, after matching
    recall: Float[Array, " classes"]  # of each class, after matching
    match: Int[Array, " k"]  # class of each cluster


def table(classes: ArrayLike, clusters: ArrayLike, k: int) -> Float[Array, "k k"]:
    """How many samples of class c are in cluster j, (c, j).

    Args:
        classes, clusters: (n,), whole numbers.

    Raises:
        ValueError: shapes that differ, no samples, or labels that are not 0 ... k - 1; inside ``jit`` these are not known.
    """
    classes, clusters = jnp.asarray(classes), jnp.asarray(clusters)
    if classes.ndim != 1 or classes.shape != clusters.shape or not classes.size:
        raise ValueError(
            f"classes and clusters have shapes {classes.shape} and {clusters.shape}, but one label for each sample is needed"
        )
    for name, labels in (("classes", classes), ("clusters", clusters)):
        if isinstance(labels, Tracer):
            continue
        given = np.asarray(labels)
        if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= k:
            raise ValueError(
                f"the {name} go from {given.min()} to {given.max()}, but whole numbers from 0 to {k - 1} are needed: number "
                f"them anew with np.unique(..., return_inverse=True), or raise k = {k}"
            )
    return jnp.zeros((k, k)).at[classes, clusters].add(1)


def match(counts: Float[Array, "k k"]) -> Int[Array, " k"]:
    """The class of each cluster that makes most samples agree."""
    rows, columns = optax.assignment.hungarian_algorithm(-counts)
    return jnp.zeros(counts.shape[0], jnp.int32).at[columns].set(rows.astype(jnp.int32))


def scores(classes: ArrayLike, clusters: ArrayLike, k: int) -> Scores:
    """Score clusters 0 ... k - 1 of samples whose classes are 0 ... k - 1; a class without sample counts for nothing.

    Args:
        classes, clusters: (n,), whole numbers.

    Raises:
        ValueError: as ``table``.
    """
    counts = table(classes, clusters, k)
    matched = match(counts)
    ordered = jnp.zeros_like(counts).at[:, matched].set(counts)  # columns by the class that they stand for
    hit, size, found = jnp.diag(ordered), ordered.sum(axis=1), ordered.sum(axis=0)
    present = size > 0
    recall = hit / jnp.maximum(size, 1)
    f1 = 2 * hit / jnp.maximum(size + found, 1)
    many = present.sum()
    share = counts / counts.sum()
    information = _entropy(share.sum(1)) + _entropy(share.sum(0)) - _entropy(share)
    total = _entropy(share.sum(1)) + _entropy(share.sum(0))
    nmi = jnp.where(total > 0, 2 * information / jnp.where(total > 0, total, 1), 1.0)
    return Scores(recall.sum() / many, nmi, jnp.where(present, f1, 0).sum() / many, recall, matched)


def _entropy(p: Array) -> Array:
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum()


def by_frequency(recall: Float[Array, " k"], sizes: Real[Array, " k"]) -> Float[Array, " 3"]:
    """Mean recall of the head (30% of the classes, the most frequent), the middle and the tail (last 30%)."""
    k = recall.shape[0]
    ordered = recall[jnp.argsort(-sizes, stable=True)]
    head, tail = round(0.3 * k), k - round(0.3 * k)
    return jnp.stack([part.mean() for part in (ordered[:head], ordered[head:tail], ordered[tail:])])

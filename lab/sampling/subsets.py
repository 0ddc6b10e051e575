r"""A diverse subset of rows: a coreset that covers the data, with weights that make sums unbiased.

The k-DPP of a kernel of similarity takes rows that differ. A row has probability $\pi_i = P(i \in S)$, and with weights
$1/\pi_i$ sums over the subset are unbiased for sums over all rows, of less variance than of k rows at random where the
function is smooth for the kernel.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics import arguments
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.precision import need_float64
from lab.sampling import ensembles
from lab.sampling.ensembles import Spectrum
from lab.sampling.projection import DRAWN

type Kernel = Literal["gaussian", "matern", "laplace"] | str
KERNELS: dict[Kernel, Callable[[Array], Array]] = {
    "gaussian": lambda r: jnp.exp(-r * r / 2),
    "matern": lambda r: (1 + jnp.sqrt(3.0) * r) * jnp.exp(-jnp.sqrt(3.0) * r),  # of smoothness 3/2
    "laplace": lambda r: jnp.exp(-r),
}
_DENSE = 2000  # rows up to which the whole kernel is decomposed


class Subset(NamedTuple):
    """Rows that were chosen."""

    indices: Int[Array, "*size k"]
    weights: Float[Array, "*size k"]  # 1 / P(row in S)
    probabilities: Float[Array, " N"]  # P(row in S); they sum to k


@chosen
def kernel_matrix(a: Float[Array, "n d"], b: Float[Array, "m d"], kernel: Kernel, length_scale: float | Array) -> Array:
    """Similarities of rows, 1 at distance 0. One of ``KERNELS``, at distance over length-scale."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    apart = squared > 0  # the root has no derivative at 0, where that of these kernels is one-sided at most
    return KERNELS[kernel](jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0) / length_scale)


def median_distance(rows: ArrayLike | Sequence, most: int = 1000) -> Float[Array, ""]:
    """Between rows, over ``most`` of them, evenly spread: a length-scale to begin with.

    Raises:
        ValueError: fewer than 2 rows, rows that are not finite, or ``most`` below 2.
    """
    rows = _rows(rows)
    if rows.shape[0] < 2:
        raise ValueError(
            f"rows have shape {rows.shape}: the median distance is of pairs, so that at least 2 are needed"
        )
    return _median_distance(rows, arguments.whole("most", most, 2))


@jit
def _median_distance(rows: Float[Array, "N d"], most: int) -> Float[Array, ""]:
    some = rows[jnp.linspace(0, rows.shape[0] - 1, min(most, rows.shape[0])).astype(int)]
    squared = (some**2).sum(axis=1)
    apart = squared[:, None] + squared[None, :] - 2 * some @ some.T
    return jnp.sqrt(jnp.median(jnp.maximum(apart[jnp.triu_indices(some.shape[0], 1)], 0.0)))


def _length_of(rows: Array, length_scale: float | Array | None) -> float | Array:
    if length_scale is not None:
        return _length(length_scale)
    if rows.shape[0] == 1:
        return 1.0  # there is no other row to compare with
    length = median_distance(rows)
    if not isinstance(length, Tracer) and not float(length) > 0:
        raise ValueError(
            "at least half of the pairs of rows are equal, so that there is no length to compare with: leave "
            "repeated rows out, or give length_scale"
        )
    return length


class LowRank(NamedTuple):
    """$L \\approx F F^T$, and the rows that were its pivots, most different first: also the greedy choice of most volume."""

    features: Float[Array, "N rank"]
    pivots: Int[Array, " rank"]
    remainder: Float[Array, ""]  # trace of what is left of L, over the trace of L


@chosen
def low_rank(
    rows: ArrayLike | Sequence, rank: int, kernel: Kernel = "gaussian", length_scale: float | Array | None = None
) -> LowRank:
    """Pivoted Cholesky decomposition of the kernel of rows (N, d), which is never formed. Time O(N rank (rank + d)).

    Pivots repeat row 0 once nothing is left of L, to rounding.

    Raises:
        ValueError: rows that are not finite, or a rank below 1 or above N.
    """
    rows = _rows(rows)
    arguments.whole("rank", rank, 1, rows.shape[0])
    length = _length_of(rows, length_scale)
    return _low_rank(rows, length, rank, kernel)


@jit
def _low_rank(rows: Array, length: float | Array, rank: int, kernel: Kernel) -> LowRank:
    n = rows.shape[0]

    def step(j, state):
        f, left, pivots = state
        i = jnp.argmax(left)
        column = kernel_matrix(rows, rows[i][None], kernel, length)[:, 0] - f[:, i] @ f
        real = left[i] > 4 * n * jnp.finfo(left.dtype).eps
        column = jnp.where(real, column / jnp.sqrt(jnp.where(real, left[i], 1.0)), 0.0)
        left = jnp.where(jnp.arange(n) == i, 0.0, jnp.maximum(left - column**2, 0.0))
        return f.at[j].set(column), left, pivots.at[j].set(jnp.where(real, i, 0))

    start = jnp.zeros((rank, n)), jnp.ones(n), jnp.zeros(rank, int)
    f, left, pivots = jax.lax.fori_loop(0, rank, step, start)
    return LowRank(f.T, pivots, left.mean())


@chosen
def decompose(
    rows: ArrayLike | Sequence, k: int, kernel: Kernel = "gaussian", length_scale: float | Array | None = None
) -> Spectrum:
    """The spectrum of the kernel of rows: whole up to 2,000 rows, of rank min(N, max(10 k, 600)) beyond.

    What is cut makes subsets somewhat less even than they would be: on the 1,797 digits with k = 50, where the marginals differ
    from equal ones by 5.1 rows of 50, those at rank 600 differ from the true ones by 1.4, at 300 by 2.5.
    """
    rows = _rows(rows)
    length = _length_of(rows, length_scale)
    n = rows.shape[0]
    if n <= _DENSE:
        return ensembles.spectrum(kernel_matrix(rows, rows, kernel, length))
    return ensembles.spectrum_of_features(low_rank(rows, min(n, max(10 * k, 600)), kernel, length).features)


@chosen
def diverse(
    key: Array,
    rows: ArrayLike | Sequence,
    k: int,
    kernel: Kernel = "gaussian",
    length_scale: float | Array | None = None,
    size: int | None = None,
) -> Subset:
    r"""k rows of a data set that differ from each other, by a k-DPP of the kernel of the rows.

    $$ P(S) \propto \det L_S, \qquad |S| = k, \qquad L_{ij} = \kappa(|x_i - x_j| / \ell) $$

    Time O(N^3) up to 2,000 rows, O(N (10 k)^2) beyond, where the kernel is approximated by its pivoted Cholesky factor.

    Args:
        key: of the draws.
        rows: (N, d), of comparable columns: standardise them first where units differ.
        k: how many rows.
        kernel: "gaussian" $\exp(-r^2 / 2)$, "matern" $(1 + \sqrt 3 r) \exp(-\sqrt 3 r)$ or "laplace" $\exp(-r)$.
        length_scale: distance at which rows count as alike; the median distance if not given. Short: like chance; long: the
            extremes of the data.
        size: how many independent subsets; one without the axis if not given.

    Returns:
        indices and weights 1 / P(row in S), both (size, k) or (k,), and the probabilities (N,), which sum to k.

    Raises:
        ValueError: rows that are not finite, an unknown kernel, or k that is no whole number or above the rank of the kernel.

    Source:
        Kulesza and Taskar (2012).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> found = sampling.diverse(jax.random.key(0), jnp.array([[0.0], [0.1], [3.0], [6.0]]), 2)
        >>> round(float(found.probabilities.sum()), 9), bool(found.probabilities[3] > found.probabilities[1])
        (2.0, True)
    """
    count = np.shape(rows)[0] if np.ndim(rows) else 0
    arguments.whole("k", k, 1, count)
    rows, length_scale = refuse_derivative((rows if isinstance(rows, Tracer) else _rows(rows), length_scale), DRAWN)
    return from_spectrum(key, decompose(rows, k, kernel, length_scale), k, size)


def from_spectrum(key: Array, given: Spectrum, k: int, size: int | None = None) -> Subset:
    """As ``diverse``, from a kernel that is decomposed already: many k, many draws."""
    indices = ensembles.k_dpp(key, given, k, size)
    chance = ensembles.marginals(given, k)
    return Subset(indices, 1 / chance[indices], chance)


def coverage(rows: ArrayLike | Sequence, indices: Int[Array, " k"]) -> Float[Array, " N"]:
    """Distance of each row to the nearest row that was chosen: its mean and maximum say how well a subset covers.

    Raises:
        ValueError: rows that are not finite, no indices, or some that are not whole numbers from 0 to N - 1.
    """
    rows = _rows(rows)
    if not isinstance(indices, Tracer):
        given = np.asarray(indices)
        fits = given.ndim == 1 and given.size and given.dtype.kind in "iu"
        if not fits or given.min() < 0 or given.max() >= rows.shape[0]:
            raise ValueError(f"indices must be whole numbers from 0 to {rows.shape[0] - 1}, (k,), at least one")
        indices = placed(given)
    chosen = rows[indices]
    squared = (rows**2).sum(axis=1)[:, None] + (chosen**2).sum(axis=1)[None, :] - 2 * rows @ chosen.T
    nearest = squared.min(axis=1).at[indices].set(0.0)
    apart = nearest > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, nearest, 1.0)), 0.0)


@chosen
def residuals(
    rows: Float[Array, "N d"], order: Int[Array, " k"], kernel: Kernel, length_scale: float | Array
) -> Float[Array, "K N"]:
    r"""$L_{ii} - L_{iS} L_{SS}^{-1} L_{Si}$ for S the first 0, 1, ..., k of the rows in order: what row i would add.

    Its squared distance from the span of S in the space of the kernel. By Cholesky, column by column: O(N k (k + d)).
    """
    k = order.shape[0]
    across = kernel_matrix(rows, rows[order], kernel, length_scale)
    triangle = jnp.linalg.cholesky(across[order] + 1e-12 * jnp.eye(k))
    parts = jax.scipy.linalg.solve_triangular(triangle, across.T, lower=True)
    left = 1.0 - jnp.cumsum(parts**2, axis=0)
    return jnp.maximum(jnp.concatenate([jnp.ones((1, rows.shape[0])), left]), 0.0)


def _rows(rows: ArrayLike | Sequence) -> Array:
    need_float64("a determinantal point process")
    rows = arguments.real("rows", rows, finite=False).astype(float)
    if rows.ndim != 2 or rows.shape[0] < 1:
        raise ValueError(f"rows have shape {rows.shape}, but must be (N, d): one row an item")
    if not isinstance(rows, Tracer) and not np.isfinite(np.asarray(rows)).all():
        raise ValueError("rows hold NaN or infinity: leave these rows out, or fill them in")
    return rows


def _length(length_scale: float | Array) -> float | Array:
    if not isinstance(length_scale, Tracer):
        arguments.real("length_scale", length_scale, (), low=0, strict=True)
    return length_scale

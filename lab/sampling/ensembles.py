r"""Subsets of N items: L-ensembles, k-DPPs, any marginal kernel, and volume sampling of rows.

$$ P(S) = \frac{\det L_S}{\det(I + L)} \quad\text{(L-ensemble)}, \qquad
   P(S) = \frac{\det L_S}{e_k(\lambda)}, \; |S| = k \quad\text{(k-DPP)}, \qquad P(A \subseteq S) = \det K_A, $$

with $K = L (I + L)^{-1}$, $\lambda$ the eigenvalues of L and $e_k$ their elementary symmetric polynomial, all of whose sums are
taken of logarithms: k = 100 neither over- nor underflows.

L is given by its ``Spectrum``, made by ``spectrum(L)`` or, for $L = F F^T$, by ``spectrum_of_features(F)`` in O(N r^2).

Sources: Kulesza and Taskar, *Determinantal point processes for machine learning*, 2012; Launay, Galerne and Desolneux, *Exact
sampling of determinantal point processes without eigendecomposition*, 2020; Derezinski and Warmuth, *Reverse iterative volume
sampling for linear regression*, 2018.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import arguments, eigen, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.precision import need_float64
from lab.sampling.bases import finite
from lab.sampling.projection import DRAWN, chain, count, many, permutation

_NEGATIVE = 1e-8  # of the largest eigenvalue: what rounding of a kernel may leave below zero


class Spectrum(NamedTuple):
    r"""$L = V \mathrm{diag}(\lambda) V^T$, largest first, without eigenvalues that are rounding."""

    values: Float[Array, " r"]
    vectors: Float[Array, "N r"]

    @property
    def rank(self) -> int:
        return self.values.shape[0]


def spectrum(kernel: ArrayLike | Sequence) -> Spectrum:
    r"""Of a symmetric positive semi-definite L. Eigenvalues below N eps times the largest are zero. O(N^3).

    $$ L = V \mathrm{diag}(\lambda) V^T $$

    Differentiable where the positive eigenvalues differ: vectors of a repeated eigenvalue have no derivative, which is not
    finite then.

    Args:
        kernel: L, (N, N).

    Returns:
        eigenvalues (r,), largest first, and vectors (N, r); r is the rank to rounding, N under ``jit``.

    Raises:
        ValueError: L that is not square, finite, symmetric or positive semi-definite, or is zero.

    Source:
        Kulesza and Taskar (2012), on L-ensembles.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.spectrum(jnp.array([[2.0, 1.0], [1.0, 2.0]])).values.round(9)
        Array([3., 1.], dtype=float64)
    """
    l = symmetric(kernel, "L")
    cut = l.shape[0] * float(jnp.finfo(l.dtype).eps)
    values, vectors = eigen.eigh(l, cut)
    if isinstance(values, Tracer):  # of fixed shape: what would be cut is 0
        real = values > cut * values[-1]
        return Spectrum(jnp.where(real, values, 0.0)[::-1], vectors[:, ::-1])
    check_semidefinite(values)
    return _cut(values[::-1], vectors[:, ::-1])


def is_semidefinite(values: Float[Array, " N"]) -> Bool[Array, ""]:
    """Of eigenvalues, smallest first: whether none is below 0 but for rounding."""
    return values[0] >= -_NEGATIVE * jnp.maximum(values[-1], 0.0)


def check_semidefinite(values: Float[Array, " N"]) -> None:
    """Of eigenvalues, smallest first.

    Raises:
        ValueError: one is below 0.
    """
    if not bool(is_semidefinite(values)):
        raise ValueError(
            f"L is not positive semi-definite: its eigenvalues go from {float(values[0]):.3g} to {float(values[-1]):.3g}; "
            "take a kernel such as the Gaussian, or add a multiple of the identity"
        )


def spectrum_of_features(features: ArrayLike | Sequence) -> Spectrum:
    """Of $L = F F^T$. O(N r min(N, r)): no N x N matrix is formed, and small eigenvalues are twice as precise.

    Args:
        features: F, (N, r), one row an item.

    Returns:
        eigenvalues, largest first, and vectors (N, .); as many as the rank to rounding, min(N, r) under ``jit``.

    Raises:
        ValueError: features of another shape, not finite, or all zero.

    Source:
        Kulesza and Taskar (2012), on the dual representation.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.spectrum_of_features(jnp.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])).values.round(9)
        Array([4., 1.], dtype=float64)
    """
    f = arguments.real("features", features, finite=False).astype(float)
    if f.ndim != 2:
        raise ValueError(f"features have shape {f.shape}, but must be (N, r): one row an item")
    if not isinstance(f, Tracer) and not np.isfinite(np.asarray(f)).all():
        raise ValueError("features hold NaN or infinity: leave these items out, or fill them in")
    s, u = eigen.left_singular(f, max(f.shape) * float(jnp.finfo(f.dtype).eps))
    return Spectrum(s**2, u) if isinstance(s, Tracer) else _cut(s**2, u, s)


def _cut(values: Array, vectors: Array, sizes: Array | None = None) -> Spectrum:
    sizes = values if sizes is None else sizes  # singular values, where they are known
    rank = int((sizes > max(vectors.shape) * jnp.finfo(values.dtype).eps * sizes[0]).sum())
    if rank == 0:
        raise ValueError("L is zero, so that only the empty subset is possible: scale it up, or choose another kernel")
    return Spectrum(values[:rank], vectors[:, :rank])


def symmetric(kernel: ArrayLike | Sequence, name: str) -> Array:
    """A kernel matrix that is square, finite and symmetric, in float64."""
    l = arguments.real(name, kernel, finite=False)
    if l.ndim != 2 or l.shape[0] != l.shape[1] or l.shape[0] < 1:
        raise ValueError(f"{name} has shape {l.shape}, but must be square, (N, N): one row and column an item")
    need_float64("the sign of a determinant", **{name: l})
    if not isinstance(l, Tracer):
        if not np.isfinite(np.asarray(l)).all():
            raise ValueError(f"{name} holds NaN or infinity: mend the kernel, or leave these items out")
        known = np.asarray(l)  # under jit, JAX would trace what is known too
        if np.abs(known - known.T).max() > 1e-10 * np.abs(known).max():
            raise ValueError(f"{name} is not symmetric: give ({name} + {name}.T) / 2 if that is what is meant")
    return (l + l.T) / 2


# --- elementary symmetric polynomials ---


@jit
def log_elementary_table(values: Float[Array, " n"], k: int) -> Float[Array, "j l"]:
    r"""$\log e_l(\lambda_1, ..., \lambda_j)$ at [j, l], j = 0 .. n, l = 0 .. k, by $e_l \leftarrow e_l + \lambda_j e_{l-1}$."""
    logs = jnp.where(values > 0, jnp.log(jnp.where(values > 0, values, 1.0)), -jnp.inf)
    start = jnp.full(k + 1, -jnp.inf, values.dtype).at[0].set(0.0)

    def add(row, log_value):
        row = row.at[1:].set(jnp.logaddexp(row[1:], log_value + row[:-1]))
        return row, row

    return jnp.concatenate([start[None], jax.lax.scan(add, start, logs)[1]])


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def log_elementary(values: Float[Array, " n"], k: int) -> Float[Array, ""]:
    r"""$\log e_k(\lambda)$, of eigenvalues that are at least 0 (below: taken as 0); -inf where fewer than k are positive.

    Differentiable to any order, at zeros and at repeated values as well:
    $\partial_n \log e_k = e_{k-1}(\lambda_{-n}) / e_k(\lambda)$.
    """
    return log_elementary_table(values, k)[-1, k]


@log_elementary.defjvp
def _log_elementary_jvp(k, primals, tangents):
    return log_elementary(primals[0], k), _slope(primals[0], k) @ tangents[0]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _slope(values: Float[Array, " n"], k: int) -> Float[Array, " n"]:
    r"""$\partial_n \log e_k$, in O(n k); its own derivative takes O(n^2 k)."""
    if k == 0:
        return jnp.zeros_like(values)
    forward = log_elementary_table(values, k)
    total = forward[-1, k]
    backward = log_elementary_table(values[::-1], k)[::-1]
    without = jax.nn.logsumexp(forward[:-1, :k] + backward[1:, :k][:, ::-1], axis=1)  # e_{k-1} of the others
    return jnp.where(jnp.isfinite(total), jnp.exp(without - total), 0.0)


@_slope.defjvp
def _slope_jvp(k, primals, tangents):
    (values,), (change,) = primals, tangents
    slope = _slope(values, k)
    if k == 0:
        return slope, jnp.zeros_like(slope)

    def others(n):  # d log e_{k-1} of the eigenvalues without the n-th
        own = jnp.arange(values.size) == n
        return _slope(jnp.where(own, 0.0, values), k - 1) @ jnp.where(own, 0.0, change)

    return slope, slope * (jax.lax.map(others, jnp.arange(values.size)) - slope @ change)


def eigenvector_probabilities(values: Float[Array, " r"], k: int) -> Float[Array, " r"]:
    r"""$\lambda_n e_{k-1}(\lambda_{-n}) / e_k$: how probably each eigenvector takes part in a k-DPP; they sum to k."""
    return values * _slope(values, k)


def marginals(given: Spectrum, k: int | None = None) -> Float[Array, " N"]:
    """P(i in S) of each item, in the k-DPP, or in the L-ensemble if k is not given. O(N r)."""
    if k is not None:
        check_k(given, k)
    weights = given.values / (1 + given.values) if k is None else eigenvector_probabilities(given.values, k)
    return (given.vectors**2) @ weights


def marginal_kernel(given: Spectrum) -> Float[Array, "N N"]:
    """$K = L (I + L)^{-1}$ of the L-ensemble."""
    return (given.vectors * (given.values / (1 + given.values))[None, :]) @ given.vectors.T


# --- exact samplers ---


def l_ensemble(key: Array, given: Spectrum, size: int | None = None) -> Bool[Array, "*size N"]:
    r"""Subsets of the L-ensemble, as masks, of random sizes. Exact; works under ``jit`` and ``vmap``.

    $$ P(S) = \det L_S / \det(I + L) $$

    Each eigenvector is kept with probability lambda / (1 + lambda); then the projection DPP of those that are (Hough et al.).
    Time O(|S| r (N + r)) a draw, memory O(N + r^2).

    Args:
        key: of the draws.
        given: L by its spectrum, of N items.
        size: how many independent draws; one without the axis if not given.

    Returns:
        masks (size, N) or (N,), true where an item is in.

    Source:
        Hough, Krishnapur, Peres and Virag (2006); Kulesza and Taskar (2012).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> alike = sampling.spectrum(jnp.array([[1.0, 1.0], [1.0, 1.0]]))
        >>> masks = sampling.l_ensemble(jax.random.key(0), alike, 50)
        >>> masks.shape, bool(masks.all(axis=1).any())  # two equal items never come together
        ((50, 2), False)
    """
    return _l_ensemble(key, refuse_derivative(given, DRAWN), count(size))


@jit
def _l_ensemble(key: Array, given: Spectrum, size: int | None) -> Array:
    n, r = given.vectors.shape

    def sample(key):
        first, second = jax.random.split(key)
        keep = random.uniform(first, (r,)) * (1 + given.values) < given.values
        return chain(second, given.vectors, keep, r).mask

    return many(sample, key, size, n + r * r)


def k_dpp(key: Array, given: Spectrum, k: int, size: int | None = None) -> Int[Array, "*size k"]:
    r"""Subsets of k items of the k-DPP, as indices in exchangeable order. Exact; works under ``jit`` and ``vmap``.

    $$ P(S) = \det L_S / e_k(\lambda), \qquad |S| = k $$

    Of a spectrum that was made inside ``jit``, whose rank is not known, indices are N where k is above the rank.
    Time O(r k) once and O(N k^2) a draw, memory O(r k + N k).

    Args:
        key: of the draws.
        given: L by its spectrum, of N items.
        k: from 1 to the rank of L; static.
        size: how many independent draws; one without the axis if not given.

    Returns:
        indices (size, k) or (k,), all different.

    Raises:
        ValueError: k above the rank, so that no subset has a determinant; k below 1.

    Source:
        Kulesza and Taskar (2012).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> pair = sampling.spectrum(jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        >>> drawn = sampling.k_dpp(jax.random.key(0), pair, 2, 20)
        >>> bool((drawn == 2).any(axis=1).all())  # of two equal items one is taken, and the other item always
        True
    """
    check_k(given, k)
    return _k_dpp(key, refuse_derivative(given, DRAWN), int(k), count(size))


@jit
def _k_dpp(key: Array, given: Spectrum, k: int, size: int | None) -> Array:
    n, r = given.vectors.shape
    table = log_elementary_table(given.values, k)
    logs = jnp.log(given.values)

    def sample(key):
        first, second = jax.random.split(key)

        def decide(left, step):
            j, level = step  # eigenvectors 0 .. j are still open
            chance = jnp.exp(logs[j] + table[j, jnp.maximum(left - 1, 0)] - table[j + 1, left])
            keep = (left > 0) & (level < chance)
            return left - keep, keep

        levels = random.uniform(first, (r,))
        _, keep = jax.lax.scan(decide, jnp.asarray(k), (jnp.arange(r), levels), reverse=True)
        columns = jnp.nonzero(keep, size=k)[0]
        order = chain(second, given.vectors[:, columns], jnp.ones(k, bool), k).order
        return jnp.where(jnp.isfinite(table[-1, k]), order, n)

    return many(sample, key, size, n * k)


def check_k(given: Spectrum, k: int) -> None:
    """Refuse a k that is below 1 or above the rank."""
    arguments.whole("k", k, 1)
    if k > given.rank:
        raise ValueError(
            f"k = {k}, but L has rank {given.rank} (to rounding), so that every subset of {k} items has determinant 0: "
            f"take k <= {given.rank}, a shorter length-scale, or add a small multiple of the identity to L"
        )


def cholesky(key: Array, marginal: ArrayLike | Sequence, size: int | None = None) -> Bool[Array, "*size N"]:
    r"""Subsets of the DPP of a marginal kernel K, symmetric or not, as masks: item by item, without eigenvectors. Exact.

    $$ P(A \subseteq S) = \det K_A $$

    Item j is in with probability the pivot $K_{jj}$; then $K \leftarrow K - K_{:j} K_{j:} / p$ with p the pivot if it is in,
    and the pivot less 1 if it is out. Time O(N^3) a draw, memory O(N^2).

    Args:
        key: of the draws.
        marginal: K (N, N); that of an L-ensemble is ``marginal_kernel``.
        size: how many independent draws; one without the axis if not given.

    Returns:
        masks (size, N) or (N,), true where an item is in.

    Raises:
        ValueError: a symmetric K with eigenvalues outside [0, 1], or a diagonal outside; K not square or not finite.

    Source:
        Launay, Galerne and Desolneux (2020).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.cholesky(jax.random.key(0), jnp.diag(jnp.array([1.0, 0.0, 1.0])))
        Array([ True, False,  True], dtype=bool)
    """
    k = arguments.real("K", marginal, finite=False)
    if k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise ValueError(f"K has shape {k.shape}, but must be square, (N, N): one row and column an item")
    need_float64("the sign of a pivot", K=k)
    if not isinstance(k, Tracer):
        known = np.asarray(k)
        if not np.isfinite(known).all():
            raise ValueError("K holds NaN or infinity: mend the kernel, or leave these items out")
        even = np.abs(known - known.T).max() <= 1e-12
        bounds = np.linalg.eigvalsh(known) if even else np.diagonal(known)
        if bounds.min() < -_NEGATIVE or bounds.max() > 1 + _NEGATIVE:
            what = "eigenvalues" if even else "diagonal entries"
            raise ValueError(
                f"K has {what} from {float(bounds.min()):.3g} to {float(bounds.max()):.3g}, but they are probabilities: "
                "if this is an L, take marginal_kernel(spectrum(L))"
            )
    return _cholesky(key, refuse_derivative(k, DRAWN), count(size))


@jit
def _cholesky(key: Array, k: Array, size: int | None) -> Array:
    n = k.shape[0]
    tiny = jnp.finfo(k.dtype).tiny

    def sample(key):
        levels = random.uniform(key, (n,))

        def decide(a, j):
            keep = levels[j] < a[j, j]
            pivot = jnp.where(keep, a[j, j], a[j, j] - 1)
            pivot = jnp.where(jnp.abs(pivot) < tiny, tiny, pivot)  # K_jj = 1 exactly and out: has probability 0
            return a - jnp.outer(a[:, j], a[j, :]) / pivot, keep

        return jax.lax.scan(decide, k, jnp.arange(n))[1]

    return many(sample, key, size, n * n)


# --- volume sampling of rows ---


def volume(key: Array, rows: ArrayLike | Sequence, s: int, size: int | None = None) -> Int[Array, "*size s"]:
    r"""s of N rows with $P(S) = \det(X_S^T X_S) / [\binom{N-d}{s-d} \det(X^T X)]$, as indices in exchangeable order. Exact.

    A projection DPP of d rows, and s - d of the other rows at random (Cauchy and Binet). Least squares on them is unbiased,
    $E (X_S^T X_S)^{-1} = \frac{N-d+1}{s-d+1} (X^T X)^{-1}$, and at s = d the loss on all rows is d + 1 times the least.

    Args:
        key: of the draws.
        rows: X (N, d) of full column rank.
        s: from d to N; static.
        size: how many independent draws; one without the axis if not given.

    Returns:
        indices (size, s) or (s,), all different.

    Raises:
        ValueError: s outside [d, N]; dependent columns.

    Source:
        Derezinski and Warmuth (2018).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> rows = jnp.array([[1.0], [0.0], [2.0]])
        >>> drawn = sampling.volume(jax.random.key(0), rows, 1, 20)
        >>> bool((drawn == 1).any())  # a row of zeros has no volume
        False
    """
    basis = finite(rows)
    n, d = basis.rows.shape
    arguments.whole("s", s)
    if not d <= s <= n:
        raise ValueError(
            f"s = {s}, but volume sampling of rows takes at least d = {d} (the columns) and at most N = {n} (the rows)"
        )
    return _volume(key, refuse_derivative(basis.rows, DRAWN), int(s), count(size))


@jit
def _volume(key: Array, rows: Array, s: int, size: int | None) -> Array:
    n, d = rows.shape

    def sample(key):
        first, second, third = jax.random.split(key, 3)
        found = chain(first, rows, jnp.ones(d, bool), d)
        order = jnp.argsort(jnp.where(found.mask, jnp.inf, random.uniform(second, (n,))))
        return jnp.concatenate([found.order, order[: s - d]])[permutation(third, s)]

    return many(sample, key, size, n + d * d)


def log_volume(rows: Float[Array, "N d"], subset: Int[Array, " s"]) -> Float[Array, ""]:
    """The logarithm of that probability; -inf where an index repeats or lies outside.

    Raises:
        ValueError: fewer indices than columns, or more than rows.
    """
    n, d = rows.shape
    s = subset.shape[0]
    if not d <= s <= n:
        raise ValueError(f"the subset has {s} rows, but volume sampling takes from d = {d} (the columns) to N = {n}")
    order = jnp.sort(subset)
    allowed = (order[1:] > order[:-1]).all() & (order[0] >= 0) & (order[-1] < n)
    count = sum(np.log(n - d - i) - np.log(i + 1) for i in range(s - d))
    part, whole = (jnp.linalg.slogdet(x.T @ x)[1] for x in (rows[subset], rows))
    return jnp.where(allowed, part - whole - count, -jnp.inf)

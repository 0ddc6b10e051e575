r"""Projection determinantal point processes: exactly m points that repel each other.

$$ p(x_1, ..., x_m) = \frac{1}{m!} \det[\varphi_j(x_i)]^2 \quad\text{for}\ \mu^{\otimes m}, \qquad
   K(x, y) = \varphi(x) \cdot \varphi(y) . $$

The law depends on the span of the functions only. With $Q_k$ an orthonormal basis of the span of $\varphi(x_1), ...,
\varphi(x_k)$, the next point has density $(|\varphi(x)|^2 - |Q_k^T \varphi(x)|^2) / (m - k)$ for $\mu$ (chain rule).

- ``draw``: on the line or in a box, by rejection from the Christoffel density or as eigenvalues of a random matrix; exact.
- ``subset``: m of N items, by the chain rule in O(N m^2), or by rejection in O(m^2) a proposal, some m log m of them.

Sources: Hough, Krishnapur, Peres and Virag, *Determinantal processes and independence*, 2006; Nouy and Michel,
arXiv 2312.14057, 2023. That proposals of all steps come from one law, so that one stream serves them, is used here.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Num

from lab.choices import chosen
from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.sampling.bases import Basis, finite, points_of

type Method = Literal["auto", "rejection", "matrix"] | str
DRAWN = (
    "what is drawn has no derivative: it jumps. Differentiate probabilities instead, such as marginals of "
    "lab.sampling.ensembles or the log_prob of lab.sampling.distributions"
)
_CELLS = 1 << 18  # numbers that the draws of one block hold: 2 MB, so that they stay in the cache


class Draw(NamedTuple):
    """Points of a projection DPP, in exchangeable order."""

    points: Num[Array, "m d"]
    proposals: Int[Array, ""]  # that were drawn; m by a random matrix


@chosen
def draw(key: Array, basis: Basis, method: Method = "auto") -> Draw:
    r"""One exact draw of the projection DPP of a basis. Works under ``jit`` and ``vmap``.

    Args:
        method: ``rejection`` for any basis; ``matrix`` for whole one-dimensional families: Legendre (Jacobi unitary
            ensemble), Hermite (Gaussian unitary ensemble), Fourier (Haar unitary matrix), Haar (one point a cell); ``auto``
            takes a matrix where there is one.

    Rejection: proposals from $\nu_m$ in blocks, accepted with probability $|r|^2 / |\varphi|^2$, r the part of $\varphi$
    orthogonal to those accepted before: $m H_m$ proposals on average, O(m^2) each. Matrices: O(m^3). Memory O(m^2).

    Raises:
        ValueError: an unknown method, or a matrix where there is none.
    """
    if method != "rejection":
        first, second = jax.random.split(key)
        points = basis.eigenvalues(first)
        if points is not None:
            return Draw(points[permutation(second, basis.m)], jnp.asarray(basis.m))
        if method == "matrix":
            raise ValueError(
                "no random matrix has this projection DPP as eigenvalues (only whole one-dimensional Legendre, Hermite, "
                "Fourier and Haar bases have one): take method='rejection'"
            )
    return _rejection(key, basis)


class _Stream(NamedTuple):
    q: Float[Array, "m m"]  # orthonormal rows, the first k filled
    points: Num[Array, "m d"]
    k: Int[Array, ""]
    proposals: Int[Array, ""]
    block: Int[Array, ""]


def _rejection(key: Array, basis: Basis) -> Draw:
    m = basis.m
    key, last = jax.random.split(key)
    size = max(8, 2 * m)
    # P(not done) <= m exp(-t / m) after t proposals; the limit ends the loop for functions that are dependent
    limit = int(m * (math.log(m) + 60)) // size + 2

    def propose(state: _Stream, proposal):
        x, p, level = proposal
        r = p - state.q.T @ (state.q @ p)
        accept = (state.k < m) & (level * (p @ p) < r @ r)
        r = r - state.q.T @ (state.q @ r)
        here = (jnp.arange(m) == state.k) & accept  # no scatter: it is slow under vmap
        q = jnp.where(here[:, None], (r / jnp.linalg.norm(r))[None, :], state.q)
        points = jnp.where(here[:, None], x[None, :], state.points)
        return _Stream(q, points, state.k + accept, state.proposals + (state.k < m), state.block), None

    def advance(state: _Stream):
        where, accept = jax.random.split(jax.random.fold_in(key, state.block))
        x = basis.draw_christoffel(where, size)
        state, _ = jax.lax.scan(propose, state, (x, basis(x), random.uniform(accept, (size,))))
        return state._replace(block=state.block + 1)

    shape = jax.eval_shape(lambda: basis.draw_christoffel(key, m))
    zero = jnp.asarray(0)
    start = _Stream(jnp.zeros((m, m)), jnp.zeros(shape.shape, shape.dtype), zero, zero, zero)
    end = jax.lax.while_loop(lambda s: (s.k < m) & (s.block < limit), advance, start)
    return Draw(end.points[permutation(last, m)], end.proposals)


def conditional_densities(basis: Basis, points: ArrayLike | Sequence, at: ArrayLike | Sequence) -> Float[Array, "K n"]:
    r"""Densities for $\mu$ of the next point given the first 0, 1, ..., k of these: row j integrates to 1, for j < m.

    $(|\varphi(x)|^2 - |Q_j^T \varphi(x)|^2) / (m - j)$. With k = m the last row, of which there is no next point, is left out.

    Args:
        basis: m functions.
        points: (k, d), those that were drawn, in order; k <= m.
        at: (n, d), where the densities are wanted.

    Returns:
        densities (min(k + 1, m), n).

    Raises:
        ValueError: points that do not fit the basis, or more than m.

    Source:
        Hough, Krishnapur, Peres and Virag (2006); Nouy and Michel (2023).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> basis = sampling.legendre(3)
        >>> nodes, masses = basis.quadrature(10)
        >>> (sampling.conditional_densities(basis, jnp.array([[0.2]]), nodes) @ masses).round(9)
        Array([1., 1.], dtype=float64)
    """
    seen, grid = basis(points_of(basis, "points", points)), basis(points_of(basis, "at", at))
    if seen.shape[0] > basis.m:
        raise ValueError(
            f"points has {seen.shape[0]} rows, but a projection DPP of {basis.m} functions has {basis.m} points"
        )
    q, _ = jnp.linalg.qr(seen.T)  # column j spans with those before it the first j points
    taken = jnp.cumsum((grid @ q) ** 2, axis=1)
    left = (grid**2).sum(axis=1)[:, None] - jnp.concatenate([jnp.zeros((grid.shape[0], 1)), taken], axis=1)
    count = min(seen.shape[0] + 1, basis.m)
    return (jnp.maximum(left, 0.0)[:, :count] / (basis.m - jnp.arange(count))[None, :]).T


class Linear(NamedTuple):
    r"""Mean and variance of $\sum_i f(x_i)$ over a projection DPP."""

    mean: Float[Array, ""]
    variance: Float[Array, ""]


def linear_statistic(basis: Basis, f: Callable, n: int = 200) -> Linear:
    r"""Mean and variance of $S = \sum_i f(x_i)$ over a projection DPP.

    $E S = \int f k_m d\mu$ and $\mathrm{Var}\, S = \int f^2 k_m d\mu - \iint f(x) f(y) K(x, y)^2 d\mu\, d\mu$.

    Args:
        basis: m functions.
        f: from coordinates (n, e) to (n,).
        n: quadrature nodes a coordinate; the double integral is $|\int f \varphi \varphi^T d\mu|_F^2$.

    Returns:
        mean and variance.

    Source:
        Hough, Krishnapur, Peres and Virag (2006).

    Examples:
        >>> from lab import sampling
        >>> of = sampling.linear_statistic(sampling.hermite(5), lambda x: x[:, 0] ** 2)
        >>> round(float(of.mean), 9), round(float(of.variance), 9)  # m^2 and 2 m^2
        (25.0, 50.0)
    """
    points, masses = basis.quadrature(arguments.whole("n", n, 1))
    phi, value = basis(points), f(basis.coordinates(points))
    first = (phi * (masses * value)[:, None]).T @ phi
    return Linear(jnp.trace(first), masses @ (value**2 * (phi**2).sum(axis=1)) - (first**2).sum())


# --- finite ground sets ---


@chosen
def subset(
    key: Array,
    rows: ArrayLike | Sequence,
    method: Literal["chain", "rejection"] | str = "chain",
    size: int | None = None,
) -> Int[Array, "*size m"]:
    r"""m of N items with $P(S) = \det(B_S)^2$, B (N, m) with orthonormal columns; indices in exchangeable order.

    Args:
        key: of the draws.
        rows: B, or any features of full column rank, which are orthonormalised.
        method: ``chain`` updates the probabilities of all items after each choice: O(N m^2), nothing to prepare.
            ``rejection`` proposes items by their leverage: O(N m) once, then O(m^3 log m) a draw, whatever N is.
        size: how many independent draws; one without the axis if not given.

    Returns:
        indices (size, m) or (m,), all different.

    Raises:
        ValueError: features that are dependent.

    Source:
        Hough, Krishnapur, Peres and Virag (2006).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> rows = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> drawn = sampling.subset(jax.random.key(0), rows, size=20)
        >>> bool((drawn == 2).any(axis=1).all())  # rows 0 and 1 are parallel
        True
    """
    basis = refuse_derivative(finite(rows), DRAWN)
    if method == "rejection":
        return _subset_rejection(key, basis, count(size))
    return _subset_chain(key, basis.rows, count(size))


@jit
def _subset_chain(key: Array, rows: Array, size: int | None) -> Array:
    n, m = rows.shape
    active = jnp.ones(m, bool)
    return many(lambda key: chain(key, rows, active, m).order, key, size, n + m * m)


@jit
def _subset_rejection(key: Array, basis: Basis, size: int | None) -> Array:
    return many(lambda key: _rejection(key, basis).points[:, 0], key, size, 4 * basis.m**2)


def count(size: int | None) -> int | None:
    """The number of draws, checked."""
    return None if size is None else arguments.whole("size", size, 1)


def many(sample: Callable, key: Array, size: int | None, cells: int):
    """``sample`` for each of the keys that ``key`` is split into, in blocks of draws that hold ``cells`` numbers each."""
    if size is None:
        return sample(key)
    return jax.lax.map(sample, jax.random.split(key, size), batch_size=max(1, min(size, _CELLS // cells)))


def permutation(key: Array, n: int) -> Int[Array, " n"]:
    """Of 0 .. n - 1, as the ranks of uniform numbers: O(n^2), but without a sort, which takes XLA seconds to compile."""
    u = random.uniform(key, (n,))
    before = jnp.arange(n)[None, :] < jnp.arange(n)[:, None]
    return jnp.sum((u[None, :] < u[:, None]) | ((u[None, :] == u[:, None]) & before), axis=1)


class Chain(NamedTuple):
    """A subset, and the order in which its items were chosen."""

    mask: Bool[Array, " N"]
    order: Int[Array, " k"]  # N after the last


def chain(key: Array, vectors: Float[Array, "N r"], active: Bool[Array, " r"], limit: int) -> Chain:
    r"""The projection DPP on the active columns, which are orthonormal: one item after the other.

    Item i is next with probability proportional to $d_i$, its squared distance from the span of the items before; with q the
    normalised residual of the chosen row, $d \leftarrow d - (V q)^2$. Over draws that share V this is one matrix product.

    Args:
        limit: static, at least the number of active columns.

    Time O(k r (N + r)), memory O(N + r^2).
    """
    n, r = vectors.shape
    count = active.sum()
    levels = random.uniform(key, (limit,))
    columns = active.astype(vectors.dtype)

    def choose(state):
        k, q, d, mask, order = state
        i = _categorical(levels[k], d)
        row = vectors[i] * columns
        for _ in range(2):  # once more, or orthogonality is lost where rows nearly coincide
            row = row - q.T @ (q @ row)
        row = row / jnp.linalg.norm(row)
        q = jnp.where((jnp.arange(limit) == k)[:, None], row[None, :], q)
        chosen = jnp.arange(n) == i
        d = jnp.where(chosen, 0.0, jnp.maximum(d - (vectors @ row) ** 2, 0.0))
        return k + 1, q, d, mask | chosen, jnp.where(jnp.arange(limit) == k, i, order)

    d = (vectors**2) @ columns
    start = (jnp.asarray(0), jnp.zeros((limit, r), d.dtype), d, jnp.zeros(n, bool), jnp.full(limit, n))
    *_, mask, order = jax.lax.while_loop(lambda state: state[0] < count, choose, start)
    return Chain(mask, order)


def _categorical(level: Array, weights: Array) -> Array:
    """The item whose part of [0, sum of weights) holds level times the sum; in two stages, each a short cumulative sum."""
    n = weights.shape[0]
    width = max(1, int(n**0.5))
    blocks = jnp.pad(weights, (0, -n % width)).reshape(-1, width)
    ends = jnp.cumsum(blocks.sum(axis=1))
    target = level * ends[-1]
    block = jnp.sum(ends <= target)
    inner = jnp.cumsum(blocks[block])
    rest = target - jnp.where(block > 0, ends[block - 1], 0.0)
    rest = jnp.clip(rest, 0.0, inner[-1] * (1 - jnp.finfo(weights.dtype).eps))
    return block * width + jnp.sum(inner <= rest)

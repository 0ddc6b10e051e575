r"""Spectra of traffic graphs: eigenpairs of all frames, made to go on from frame to frame, and how far they can move.

Eigenvalues have a derivative where they are apart, and eigenvectors too; that of an eigenvector grows without bound where
eigenvalues meet, and is NaN or infinite where they are equal, as in a graph of several parts.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from lab.choices import chosen
from lab.numerics.arguments import NOT_NEGATIVE, arrays
from lab.numerics.roots import rotation

type Alignment = Literal["sign", "procrustes"] | str


class Spectrum(NamedTuple):
    """L = U diag(values) U^T. Modes of absent agents come first, with the eigenvalue 0, then those of the others, ascending."""

    values: Float[Array, "*t n"]
    vectors: Float[Array, "*t n n"]  # a column for each mode


@arrays()
def spectrum(laplacian: Float[Array, "*t n n"], mask: Bool[Array, "*t n"] | None = None) -> Spectrum:
    r"""All eigenpairs of all frames, $L = U \Lambda U^\top$. The vectors of who is there are 0 at who is absent.

    Args:
        laplacian: (..., n, n), with zero rows and columns of who is absent.
        mask: who is there, (..., n); all when omitted.

    Returns:
        eigenvalues (..., n), ascending, those of absent agents first, and vectors (..., n, n) in columns.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.

    Source:
        Chung, Spectral Graph Theory (1997).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.spectrum(jnp.array([[3.0, -3.0], [-3.0, 3.0]])).values.round(9) + 0  # 0, and twice the weight
        Array([0., 6.], dtype=float64)
    """
    if mask is None:
        return Spectrum(*jnp.linalg.eigh(laplacian))
    # no eigenvalue is above twice the largest degree: so those of absent agents come last, apart from the null space
    n = laplacian.shape[-1]
    i, above = jnp.arange(n), 3 * jnp.abs(jax.lax.stop_gradient(laplacian)).max(axis=(-1, -2)) + 1
    values, vectors = jnp.linalg.eigh(laplacian.at[..., i, i].add(jnp.where(mask, 0.0, above[..., None])))
    absent = n - mask.sum(axis=-1, keepdims=True)
    order = (jnp.broadcast_to(i, values.shape) - absent) % n
    values = jnp.where(jnp.broadcast_to(i, values.shape) < absent, 0.0, jnp.take_along_axis(values, order, -1))
    return Spectrum(values, jnp.take_along_axis(vectors, order[..., None, :], -1))


@arrays()
def tilted(laplacian: Float[Array, "*t n n"]) -> Float[Array, "*t n n"]:
    r"""$L + 10^{-6}\, \mathrm{diag}(e^{i / n})$: one basis of the null space, where several parts are not connected.

    Any vectors span that space, and a solver takes some. Tilted, they are the parts themselves, to $10^{-6}$ of a gap, in the
    order of the mean tilt of their agents: a diagonal does not mix parts, and no two sets have the same sum of such numbers.
    """
    n = laplacian.shape[-1]
    i = jnp.arange(n)
    return laplacian.at[..., i, i].add(1e-6 * jnp.exp(i / n))


def largest(found: Spectrum, k: int) -> Spectrum:
    """The k pairs of the largest eigenvalues, ascending: those that the degrees are made of."""
    _check_k(k, found)
    return Spectrum(found.values[..., -k:], found.vectors[..., -k:])


@arrays()
def embedding(found: Spectrum, k: int, mask: Bool[Array, "*t n"] | None = None) -> Float[Array, "*t n k"]:
    r"""Rows of the k eigenvectors of the smallest eigenvalues of who is there: what spectral clustering looks at.

    $$ L u_j = \lambda_j u_j, \qquad i \mapsto (u_{1i}, ..., u_{ki}) $$

    Where more than k parts of the graph are not connected, these are some k vectors of the null space; agents of one part have
    one row all the same. Fewer than k agents: the last vector is repeated.

    Args:
        found: from ``spectrum``.
        k: from 1 to n.
        mask: who is there, (..., n); all when omitted.

    Returns:
        rows (..., n, k), 0 of who is absent.

    Raises:
        ValueError: k outside 1 ... n.

    Source:
        von Luxburg, A tutorial on spectral clustering (2007).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> pair = traffic.spectrum(jnp.array([[3.0, -3.0], [-3.0, 3.0]]))
        >>> rows = traffic.embedding(pair, 1)  # the constant vector
        >>> rows.shape, bool(jnp.allclose(rows[0], rows[1]))
        ((2, 1), True)
    """
    _check_k(k, found)
    if mask is None:
        return found.vectors[..., :k]
    n = mask.shape[-1]
    first = (n - mask.sum(axis=-1))[..., None]
    columns = jnp.minimum(first + jnp.broadcast_to(jnp.arange(k), (*first.shape[:-1], k)), n - 1)
    return jnp.where(mask[..., None], jnp.take_along_axis(found.vectors, columns[..., None, :], -1), 0.0)


def _check_k(k: int, found: Spectrum) -> None:
    n = found.values.shape[-1]
    if not 1 <= k <= n or int(k) != k:
        raise ValueError(f"k = {k} eigenpairs is not allowed: a graph of {n} agents has {n}, so choose 1 to {n}")


def low_rank_degree(kept: Spectrum) -> Float[Array, "*t n"]:
    r"""$\mathrm{diag}(U_k \Lambda_k U_k^\top)$ of the k largest pairs: at most the largest dropped eigenvalue below theta."""
    return (kept.vectors**2 * kept.values[..., None, :]).sum(axis=-1)


@chosen
@arrays()
def align(vectors: Float[Array, "t n k"], how: Alignment = "sign") -> Float[Array, "t n k"]:
    r"""Eigenvectors that go on from frame to frame, whatever signs the solver gave them.

    In the first frame the entry of largest modulus of each vector becomes positive. Each later frame follows the one before:
    $\langle u_t, u_{t-1} \rangle \ge 0$, or the least $|V_t R - V_{t-1}|$.

    Args:
        vectors: (t, n, k), in columns.
        how: ``"sign"`` turns each vector so that its inner product with the one before is not negative (where that is 0, as
            the first frame); ``"procrustes"`` turns all together by $R = P Q^\top$, $V_t^\top V_{t-1} = P S Q^\top$, which
            minimises $|V_t R - V_{t-1}|$: for eigenvalues that nearly meet, whose vectors are mixed anew in each frame.

    Returns:
        the vectors (t, n, k), turned; differentiable with the signs held fixed.

    Raises:
        ValueError: another word for how, no frame, or values that are not finite.

    Source:
        Schonemann, A generalized solution of the orthogonal Procrustes problem (1966).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.align(jnp.stack([-jnp.eye(2), jnp.eye(2), -jnp.eye(2)]))[2]
        Array([[1., 0.],
               [0., 1.]], dtype=float64)
    """

    def step(before: Array, now: Array) -> tuple[Array, Array]:
        product = before.T @ now
        if how == "procrustes":
            turned = now @ rotation(product.T)
        else:
            along = jnp.diag(product)
            turned = now * jnp.where(jnp.abs(along) > 1e-9, _signs(along), _signs(_peaks(now)))[None, :]
        return turned, turned

    if not vectors.size:
        raise ValueError(f"vectors has shape {vectors.shape}, but at least one frame and one vector are needed")
    first = vectors[0] * _signs(_peaks(vectors[0]))[None, :]
    return jnp.concatenate([first[None], jax.lax.scan(step, first, vectors[1:])[1]])


def _peaks(vectors: Array) -> Array:
    """The entry of largest modulus of each column; the first of those that differ by rounding errors, as of a pair alone."""
    size = jnp.abs(vectors)
    first = (size >= (1 - 1e-6) * size.max(axis=0)[None]).argmax(axis=0)
    return jnp.take_along_axis(vectors, first[None], 0)[0]


def _signs(values: Array) -> Array:
    return jnp.where(values < 0, -1.0, 1.0).astype(values.dtype)


@arrays()
def gaps(values: Float[Array, "*t n"]) -> Float[Array, "*t n"]:
    r"""$g_j = \min(\lambda_j - \lambda_{j-1}, \lambda_{j+1} - \lambda_j)$: from each eigenvalue to the nearest other one."""
    ends = jnp.full((*values.shape[:-1], 1), jnp.inf, values.dtype)
    steps = jnp.concatenate([ends, jnp.diff(values, axis=-1), ends], axis=-1)
    return jnp.minimum(steps[..., :-1], steps[..., 1:])


class Bounds(NamedTuple):
    """How far eigenvectors can move; infinite where eigenvalues meet."""

    sine: Float[Array, "*t n"]  # of the angle between u and the moved u
    distance: Float[Array, "*t n"]  # |u - moved u|, after the choice of sign


@arrays(error=NOT_NEGATIVE)
def bounds(values: Float[Array, "*t n"], error: ArrayLike) -> Bounds:
    r"""Davis and Kahan as Yu, Wang and Samworth state it: $\sin \le 2|E|_2/g_j$, distance $\le 2^{3/2} |E|_2 / g_j$.

    Args:
        values: eigenvalues of L, ascending.
        error: $|E|_2$ or a bound of it, of L + E.
    """
    gap = gaps(values)
    sine = jnp.where(gap > 0, 2 * error / jnp.where(gap > 0, gap, 1.0), jnp.inf)
    return Bounds(sine, jnp.sqrt(2.0).astype(sine.dtype) * sine)


@arrays()
def error_bound(change: Float[Array, "*t n n"]) -> Any:
    r"""$|E|_2 \le 2 \max_i \sum_j |\Delta A_{ij}|$, of the Laplacian whose weights changed by $\Delta A$."""
    return 2 * jnp.abs(change).sum(axis=-1).max(axis=-1)

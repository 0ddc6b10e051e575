r"""The traffic graph: who is near whom in each frame, as weights and as a Laplacian.

$$ A_{ij} = e^{-|v_i - v_j| / s} \text{ if } i \ne j \text{ and } |v_i - v_j| < r, \quad 0 \text{ else}; \qquad L = D - A, \;
   D = \mathrm{diag}(A 1) . $$

Positions are in metres. An agent that is not in a frame has a zero row and column there, whatever its position says: two absent
agents at (0, 0) would otherwise be neighbours of weight 1.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from lab.choices import chosen
from lab.numerics.arguments import ANY, NOT_NEGATIVE, arrays, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.roots import length

type Neighbours = Literal["radius", "nearest"] | str
type Memory = Literal["instant", "cumulative"] | str


def _known(*values: Any) -> bool:
    return not any(isinstance(value, Tracer) for value in values)


def _check(positions: Any, mask: Any, **lengths: Any) -> None:
    """Refuse what no graph can be made of, where the numbers are known."""
    for name, value in lengths.items():
        if _known(value) and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value} m is not allowed: it must be a length above 0")
    if _known(positions, mask):
        there = np.ones(positions.shape[:-1], bool) if mask is None else np.asarray(mask)
        wrong = there & ~np.isfinite(np.asarray(positions)).all(axis=-1)
        if wrong.any():
            raise ValueError(
                f"the position at {tuple(map(int, np.argwhere(wrong)[0]))} is not finite: give it, or mask the agent there"
            )


def _distances(positions: Array, mask: Array) -> Array:
    """(*t, n, n); infinite to oneself and to whom is absent."""
    at = jnp.where(mask[..., None], positions, 0.0)
    apart = at[..., :, None, :] - at[..., None, :, :]
    pairs = (
        mask[..., :, None]
        & mask[..., None, :]
        & ~jnp.broadcast_to(jnp.eye(mask.shape[-1], dtype=bool), apart.shape[:-1])
    )
    return jnp.where(pairs, length(jnp.where(pairs[..., None], apart, 0.0)), jnp.inf)


@chosen
@arrays(positions=ANY)
def adjacency(
    positions: Float[Array, "*t n 2"],
    mask: Bool[Array, "*t n"] | None = None,
    *,
    radius: ArrayLike = 10.0,
    scale: ArrayLike = 1.0,
    nearest: int = 4,
    neighbours: Neighbours = "radius",
) -> Float[Array, "*t n n"]:
    r"""The weights A of all frames: symmetric, none negative, 0 on the diagonal.

    $$ A_{ij} = e^{-|v_i - v_j| / s} \text{ if } i \ne j \text{ and } |v_i - v_j| < r, \quad 0 \text{ else} $$

    Args:
        positions: of n agents in metres, (..., n, 2).
        mask: who is there, (..., n); all when omitted. Positions of others are not looked at.
        radius: r in metres, beyond which nobody is a neighbour.
        scale: s in metres, over which a weight falls by e.
        nearest: how many neighbours each agent chooses, with ``neighbours="nearest"``; the graph is made symmetric by
            the larger of both weights.
        neighbours: all within ``radius``, or the ``nearest`` ones.

    Returns:
        weights (..., n, n), differentiable in the positions and the scale, with the pairs that are neighbours held fixed.

    Raises:
        ValueError: positions or a mask of another shape, a radius or scale that is not above 0, a position that is not finite
            of an agent that is there, or nearest below 1.
        NotDifferentiableError: when differentiated in the radius, at which weights jump.

    Source:
        Chandra et al. (2020), of traffic graphs.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.adjacency(jnp.array([[0.0, 0.0], [2.0, 0.0], [99.0, 0.0]]))[0].round(4)  # exp(-2), and nobody
        Array([0.    , 0.1353, 0.    ], dtype=float64)
    """
    _check(positions, mask, radius=radius, scale=scale)
    whole("nearest", nearest, 1)
    radius = refuse_derivative(radius, "adjacency has no derivative in the radius, at which weights jump")
    there = jnp.ones(positions.shape[:-1], bool) if mask is None else mask
    apart = _distances(positions, there)
    near = jnp.isfinite(apart)  # so that a derivative in the scale does not meet infinity
    weights = jnp.where(near, jnp.exp(-jnp.where(near, apart, 0.0) / scale), 0.0)
    if neighbours == "radius":
        return jnp.where(apart < radius, weights, 0.0)
    rank = jnp.argsort(jnp.argsort(apart, axis=-1), axis=-1)
    directed = jnp.where(rank < nearest, weights, 0.0)
    return jnp.maximum(directed, jnp.swapaxes(directed, -1, -2))


@arrays()
def cumulative(
    weights: Float[Array, "t n n"], mask: Bool[Array, "t n"] | None = None, *, window: int | None = None
) -> Float[Array, "t n n"]:
    """Weights that stay: in each frame the largest that a pair had in the ``window`` frames up to it, in all when omitted.

    Raises:
        ValueError: a window below 1 frame.
    """
    if window is not None and (window < 1 or int(window) != window):
        raise ValueError(f"window = {window} frames is not allowed: it must be a whole number of at least 1")
    if window is None:
        kept = jax.lax.cummax(weights, axis=0)
    else:
        frames = len(weights)
        past = jnp.concatenate([jnp.zeros((min(window, frames) - 1, *weights.shape[1:]), weights.dtype), weights])
        kept = jnp.stack([past[back : back + frames] for back in range(min(window, frames))]).max(axis=0)
    return kept if mask is None else jnp.where(mask[:, :, None] & mask[:, None, :], kept, 0.0)


@arrays()
def degree(weights: Float[Array, "*t n n"]) -> Float[Array, "*t n"]:
    r"""$\theta_i = L_{ii} = \sum_j A_{ij}$."""
    return weights.sum(axis=-1)


@arrays()
def laplacian(weights: Float[Array, "*t n n"]) -> Float[Array, "*t n n"]:
    """$L = D - A$: symmetric, positive semidefinite, L 1 = 0; the trace is twice the sum of the weights of all edges.

    Args:
        weights: A, (..., n, n), symmetric, 0 on the diagonal.

    Returns:
        L, (..., n, n).

    Raises:
        ValueError: weights that are not square or not finite.

    Source:
        Chung, Spectral Graph Theory (1997).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import traffic
        >>> traffic.laplacian(jnp.array([[0.0, 3.0], [3.0, 0.0]]))
        Array([[ 3., -3.],
               [-3.,  3.]], dtype=float64)
    """
    i = jnp.arange(weights.shape[-1])
    return (-weights).at[..., i, i].add(degree(weights))


@arrays(weights=NOT_NEGATIVE)
def arrival(laplacian: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, "n+1 n+1"]:
    r"""The Laplacian when an agent m comes, with these weights to the others.

    $$ L' = \mathrm{pad}(L) + \sum_j w_j (e_j - e_m)(e_j - e_m)^\top , $$

    an update of rank 1 for each new edge. Each is positive semidefinite, so no eigenvalue falls.
    """
    n = len(weights)
    edges = jnp.eye(n, n + 1).at[:, n].set(-1.0)
    return jnp.pad(laplacian, (0, 1)) + edges.T @ (weights[:, None] * edges)

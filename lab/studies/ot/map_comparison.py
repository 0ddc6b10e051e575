r"""Maps with one image, told apart by what they cost: the numbers and curves that a Monge gap is looked at by.

Between Gaussians N(m, S) and N(n, T) with optimal matrix B, every rotation R gives a map with the right image,

$$ T_R(x) = n + B S^{1/2} R\, S^{-1/2} (x - m), \qquad M(T_R) = 2\, (\mathrm{tr}\, C - \mathrm{tr}\, C R), \quad
   C = S^{1/2} B S^{1/2}, $$

whose gap of the squared distance is $2 (1 - \cos\theta)\, \mathrm{tr}\, C$ in the plane: 0 only at angle 0. A divergence
between the images can't tell them apart.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab import precision
from lab.choices import chosen
from lab.numerics import Loop, frames
from lab.numerics.jit import jit
from lab.ot import monge
from lab.ot.convex import LearnedPotentials
from lab.ot.gaussian import Bures, bures
from lab.ot.maps import LearnedMap, moments
from lab.ot.monge import Cost
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic
from lab.ot.solve import solve

ANGLES = np.linspace(-180.0, 180.0, 37)
SHARES = tuple(float(share) for share in 10.0 ** np.arange(-2, 0.25, 0.5))
"""Epsilons at which a map is looked at, as shares of the mean cost of all pairs."""


class Affine(eqx.Module):
    r"""$x \mapsto n + A (x - m)$, of points (n, d)."""

    matrix: Float[Array, "d d"]
    source: Float[Array, " d"]
    target: Float[Array, " d"]

    @jit
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.target[None, :] + (x - self.source[None, :]) @ self.matrix.T


class OnSphere(eqx.Module):
    """Another map, its images divided by their norms."""

    move: Any

    @jit
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        out = self.move(x)
        return out / jnp.sqrt((out**2).sum(axis=1, keepdims=True) + 1e-16)


@jit
def turned(best: Bures, covariance: Float[Array, "d d"], angle: ArrayLike) -> Affine:
    """The map T_R between two Gaussians, R by an angle in degrees in the first two whitened coordinates.

    Args:
        best: the optimal map.
        covariance: S, of the source; with an inverse.

    Raises:
        ValueError: points on a line, which can't be turned.
    """
    d = covariance.shape[0]
    if d < 2:
        raise ValueError("points on a line can't be turned: at least two coordinates are needed")
    values, vectors = jnp.linalg.eigh(covariance)
    root = (vectors * jnp.sqrt(values)[None, :]) @ vectors.T
    inverse = (vectors / jnp.sqrt(values)[None, :]) @ vectors.T
    angle = jnp.deg2rad(jnp.asarray(angle, covariance.dtype))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.eye(d, dtype=covariance.dtype)
    turn = turn.at[:2, :2].set(jnp.array([[cos, -sin], [sin, cos]]))
    return Affine(best.matrix @ root @ turn @ inverse, best.source, best.target)


class ByAngle(NamedTuple):
    """Gaps of the maps T_R on points."""

    gap: Float[Array, " angles"]  # exact, of the points
    closed: Float[Array, " angles"]  # of Gaussians and the squared distance; NaN for another cost


@chosen
@jit
def by_angle(x: Float[Array, "n d"], y: Float[Array, "m d"], cost: Cost = "squared", angles: Any = ANGLES) -> ByAngle:
    """The gap of all T_R between the moments of two clouds, at the points of the first.

    Time O(n^3) an angle at most, 0.02 s of 200 points; memory O(n^2) times the angles.
    """
    source, target = moments(x), moments(y)
    best = bures(*source, *target)

    def one(angle: Array) -> tuple[Array, Array]:
        move = turned(best, source[1], angle)
        images = OnSphere(move)(x) if cost == "geodesic" else move(x)
        closed = monge.gaussian_gap(source[1], move.matrix) if cost == "squared" else jnp.nan
        return monge.pairwise(x, images, cost), jnp.asarray(closed, x.dtype)

    matrices, closed = jax.vmap(one)(jnp.asarray(angles, x.dtype))
    pairs = jnp.trace(matrices, axis1=1, axis2=2) / x.shape[0]
    shape = jax.ShapeDtypeStruct(pairs.shape, pairs.dtype)
    least = jax.pure_callback(_least, shape, jax.lax.stop_gradient(matrices), vmap_method="broadcast_all")
    return ByAngle(jnp.maximum(pairs - least, 0), closed)


def _least(matrices: Any) -> np.ndarray:
    """The mean cost of the best assignment of each matrix."""
    matrices = np.asarray(matrices)
    made = np.empty(matrices.shape[:-2], matrices.dtype)
    for index in np.ndindex(made.shape):
        made[index] = matrices[index][scipy.optimize.linear_sum_assignment(matrices[index])].mean()
    return made


class ByShare(NamedTuple):
    """The forms of the gap of one map at falling epsilons."""

    epsilon: Float[Array, " shares"]
    entropic: Float[Array, " shares"]
    kl: Float[Array, " shares"]
    primal: Float[Array, " shares"]
    low: Float[Array, " shares"]  # of the entropic one, from the exact gap
    high: Float[Array, " shares"]
    converged: Any


@chosen
def by_share(
    x: Float[Array, "n d"], y: Float[Array, "n d"], exact: ArrayLike, cost: Cost = "squared", shares: Any = SHARES
) -> ByShare:
    """Of the pairs, with the bounds that their exact gap gives."""
    return _by_share(*monge.checked(x, y, cost), exact, cost, shares)


@jit
def _by_share(x: Array, y: Array, exact: ArrayLike, cost: Cost, shares: Any) -> ByShare:
    mean = monge.pairwise(x, y, cost).mean()
    epsilon = jnp.where(mean > 0, mean, 1.0) * jnp.asarray(shares, x.dtype)
    tolerance = precision.reachable(1e-6, x.dtype)
    told = jax.lax.map(lambda each: monge.gap(x, y, cost, epsilon=each, tolerance=tolerance), epsilon)
    entropy = epsilon * np.log(len(x))
    low = jnp.asarray(exact) + entropy
    return ByShare(epsilon, told.entropic, told.kl, told.primal, low, low + entropy, told.converged.all())


def entropic(x: Float[Array, "n d"], y: Float[Array, "m d"], share: ArrayLike = 0.05) -> monge.EntropicMap:
    """The entropic map between two clouds, of the squared distance; epsilon as a share of the mean cost of all pairs."""
    matrix = monge.pairwise(x, y)
    epsilon = jnp.maximum(share * matrix.mean(), jnp.finfo(matrix.dtype).tiny)
    a, b = (jnp.full(size, 1 / size, matrix.dtype) for size in matrix.shape)
    found = solve(Problem(matrix, a, b), Entropic(epsilon), method="sinkhorn")
    return monge.entropic_map(y, found.beta, epsilon)


class Taught(NamedTuple):
    """A map that was learned, and how it came about."""

    map: Callable[[Array], Array]
    loss: Float[Array, " steps"]  # NaN where a stop left it out
    moved: Float[Array, "frames n d"]  # where points went, evenly over the steps
    reason: Any
    iterations: Any


def teach(
    loop: Loop, x: Float[Array, "n d"], first: Callable[[Array], Array], learn: Callable[..., Any], *, steps: int
) -> Taught:
    """Learn a map as ``maps.learn`` or ``convex.learn`` does, looking at where it takes points meanwhile.

    Args:
        loop: ``pure`` or a ``Chunked``; the training is the uninterrupted one.
        x: the points that are followed.
        first: the map with which it begins.
        learn: takes ``steps``, ``loop`` and ``state``, and returns what was learned.
    """
    found = frames.followed(loop, learn, lambda part: _map(part)(x), first(x), steps)
    loss = jnp.full(steps, jnp.nan)
    for part in found.parts:
        loss = jnp.where(jnp.isfinite(part.loss), part.loss, loss)
    last = found.last
    return Taught(_map(last), loss, jnp.stack(found.seen), last.reason, last.state.step)


def _map(found: LearnedMap | LearnedPotentials) -> Callable[[Array], Array]:
    return found.map if isinstance(found, LearnedMap) else found.forth


class Told(NamedTuple):
    """What a map does."""

    gap: monge.ExactGap
    fit: Float[Array, ""]
    unexplained: Any  # percent; NaN where the best map is not known


@chosen
class Bench(NamedTuple):
    """What maps are looked at on: points and targets that none was learned from."""

    x: Float[Array, "n d"]
    y: Float[Array, "m d"]
    cost: Cost
    epsilon: Float[Array, ""]  # of the divergence
    truth: Float[Array, "n d"] | None = None  # where the best map sends x

    def fit(self, mapped: Float[Array, "n d"]) -> Float[Array, ""]:
        """The Sinkhorn divergence of images from the targets."""
        return monge.divergence(mapped, self.y, self.epsilon, tolerance=1e-5)

    def told(self, mapped: Float[Array, "n d"]) -> Told:
        """Of a map with these images."""
        gap, fit = monge.exact_gap(self.x, mapped, self.cost), self.fit(mapped)
        if self.truth is None:
            return Told(gap, fit, jnp.nan)
        return Told(gap, fit, monge.unexplained(mapped, self.truth, jnp.var(self.truth, axis=0).sum()))


@jit
def crossings(start: Float[Array, "n 2"], end: Float[Array, "n 2"]) -> Int[Array, ""]:
    """How many pairs of the straight lines from ``start`` to ``end`` cross inside. Time and memory O(n^2)."""

    def side(a: Array, b: Array, c: Array) -> Array:
        """On which side of the line from a to b the point c is."""
        return jnp.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    a, b, c, d = start[:, None], end[:, None], start[None], end[None]
    apart = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return apart.sum() // 2

r"""Maps with one image, told apart by what they cost: the numbers and curves that a Monge gap is looked at by.

Between Gaussians N(m, S) and N(n, T) with optimal matrix B, every rotation R gives a map with the right image,

$$ T_R(x) = n + B S^{1/2} R\, S^{-1/2} (x - m), \qquad M(T_R) = 2\, (\mathrm{tr}\, C - \mathrm{tr}\, C R), \quad
   C = S^{1/2} B S^{1/2}, $$

whose gap of the squared distance is $2 (1 - \cos\theta)\, \mathrm{tr}\, C$ in the plane: 0 only at angle 0. A divergence
between the images can't tell them apart.
"""

import inspect
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab import precision
from lab.choices import chosen
from lab.numerics import Loop
from lab.numerics.jit import jit
from lab.ot import maps, monge
from lab.ot.gaussian import Bures, bures
from lab.ot.maps import Map, moments
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

    gap: np.ndarray  # (angles,) exact, of the points
    closed: np.ndarray  # (angles,) of Gaussians and the squared distance; NaN for another cost


@chosen
def by_angle(x: Float[Array, "n d"], y: Float[Array, "m d"], cost: Cost = "squared", angles: Any = ANGLES) -> ByAngle:
    """The gap of all T_R between the moments of two clouds, at the points of the first. Time O(n^3) an angle at most."""
    source, target = moments(x), moments(y)
    best = bures(*source, *target)
    made = [turned(best, source[1], angle) for angle in np.asarray(angles)]
    seen = [OnSphere(each) if cost == "geodesic" else each for each in made]
    gaps = np.array([monge.exact_gap(x, each(x), cost).value for each in seen])
    if cost == "squared":
        return ByAngle(gaps, np.array([float(monge.gaussian_gap(source[1], each.matrix)) for each in made]))
    return ByAngle(gaps, np.full(len(gaps), np.nan))


class ByShare(NamedTuple):
    """The forms of the gap of one map at falling epsilons."""

    epsilon: np.ndarray
    entropic: np.ndarray
    kl: np.ndarray
    primal: np.ndarray
    low: np.ndarray  # of the entropic one, from the exact gap
    high: np.ndarray
    converged: bool


@chosen
def by_share(
    x: Float[Array, "n d"], y: Float[Array, "n d"], exact: float, cost: Cost = "squared", shares: Any = SHARES
) -> ByShare:
    """Of the pairs, with the bounds that their exact gap gives."""
    mean = float(monge.pairwise(x, y, cost).mean()) or 1.0
    epsilon, tolerance = mean * np.asarray(shares, float), precision.reachable(1e-6, x.dtype)
    found = [monge.gap(x, y, cost, epsilon=each, tolerance=tolerance) for each in epsilon]
    entropic, kl, primal = (
        np.array([float(getattr(one, name)) for one in found]) for name in ("entropic", "kl", "primal")
    )
    low = exact + epsilon * np.log(len(x))
    return ByShare(
        epsilon, entropic, kl, primal, low, low + epsilon * np.log(len(x)), all(bool(one.converged) for one in found)
    )


def entropic(x: Float[Array, "n d"], y: Float[Array, "m d"], share: float = 0.05) -> Callable[[Array], Array]:
    """The entropic map between two clouds, of the squared distance; epsilon as a share of the mean cost of all pairs."""
    matrix = monge.pairwise(x, y)
    epsilon = jnp.maximum(share * matrix.mean(), jnp.finfo(matrix.dtype).tiny)
    a, b = (jnp.full(size, 1 / size, matrix.dtype) for size in matrix.shape)
    found = solve(Problem(matrix, a, b), Entropic(epsilon), method="sinkhorn")
    return monge.entropic_map(y, found.beta, epsilon)


FRAMES = 17
"""How often a training is looked at, at most."""


def moments_of(steps: int) -> np.ndarray:
    """The steps after which a training is looked at, 0 and the last among them."""
    return np.unique(np.linspace(0, steps, FRAMES).round().astype(int))


class Taught(NamedTuple):
    """A map that was learned, and how it came about."""

    map: Map
    loss: np.ndarray  # (steps,); NaN where a stop left it out
    moved: np.ndarray  # (frames, n, d) where points went, evenly over the steps
    reason: Any
    iterations: int


def teach(loop: Loop, key: PRNGKeyArray, source: Array, target: Array, x: Float[Array, "n d"], **given: Any) -> Taught:
    """Learn a map as ``maps.learn`` does, looking at where it takes points meanwhile.

    Args:
        loop: ``pure`` or a ``Chunked``; the training is the uninterrupted one.
        x: the points that are followed.
        given: as for ``maps.learn``.
    """
    steps = given.pop("steps")
    asked = inspect.signature(maps.prepare).parameters
    cuts = moments_of(steps)
    begun = maps.prepare(key, source, target, **{name: value for name, value in given.items() if name in asked})
    moved, loss, learned = [np.asarray(begun.map(x))], np.full(steps, np.nan), None
    for first, last in itertools.pairwise(cuts):

        def part(
            method: Any, problem: Any, state: Any = None, *, max_iterations: int, most: int = int(last - first)
        ) -> Any:
            return loop(method, problem, state, max_iterations=min(most, max_iterations))

        learned = maps.learn(
            key, source, target, **given, steps=steps, loop=part, state=None if learned is None else learned.state
        )
        told = np.isfinite(learned.loss)
        loss[told] = np.asarray(learned.loss)[told]
        moved.append(np.asarray(learned.map(x)))
        if int(learned.state.step) < last:  # stopped, or no longer finite
            break
    assert learned is not None
    return Taught(learned.map, loss, np.stack(moved), learned.reason, int(learned.state.step))


class Told(NamedTuple):
    """A map in three numbers."""

    gap: float
    fit: float
    unexplained: float  # percent; NaN where the best map is not known


@chosen
class Bench(NamedTuple):
    """What maps are looked at on: points and targets that none was learned from."""

    x: Float[Array, "n d"]
    y: Float[Array, "m d"]
    cost: Cost
    epsilon: Float[Array, ""]  # of the divergence
    truth: Float[Array, "n d"] | None = None  # where the best map sends x

    def fit(self, mapped: Float[Array, "n d"]) -> float:
        """The Sinkhorn divergence of images from the targets."""
        return float(monge.divergence(mapped, self.y, self.epsilon, tolerance=1e-5))

    def told(self, move: Callable[[Array], Array]) -> Told:
        mapped = move(self.x)
        gap = monge.exact_gap(self.x, mapped, self.cost).value
        if self.truth is None:
            return Told(gap, self.fit(mapped), np.nan)
        variance = jnp.var(self.truth, axis=0).sum()
        return Told(gap, self.fit(mapped), float(monge.unexplained(mapped, self.truth, variance)))


def crossings(start: Any, end: Any) -> int:
    """How many pairs of the straight lines from ``start`` to ``end``, both (n, 2), cross inside. Time and memory O(n^2)."""
    start, end = np.asarray(start, float), np.asarray(end, float)

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """On which side of the line from a to b the point c is."""
        return np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    a, b, c, d = start[:, None], end[:, None], start[None], end[None]
    apart = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return int(apart.sum()) // 2

r"""Costs as the entropic solvers see them: a matrix, or two clouds of points whose matrix is never formed.

All that a solver needs are the log-sums over one side,

$$ \mathrm{rows}(v)_i = \log \sum_j e^{v_j - c_{ij}/\varepsilon}, \qquad
   \mathrm{columns}(u)_j = \log \sum_i e^{u_i - c_{ij}/\varepsilon} . $$
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics import arguments
from lab.ot.marginals import Unbalanced
from lab.ot.problem import Problem, masses, points, problem

# Of a block of the cost matrix. On a CPU what a core's cache holds is five times faster than 8 MiB; a GPU wants to be filled.
_BYTES = {"cpu": 1 << 20, "gpu": 256 << 20}
_SAMPLE = 512  # points of each side from which the mean cost is estimated


def log_mass(mass: Array) -> Array:
    """The logarithm of masses; minus infinity where there is none, with a derivative of 0."""
    return jnp.where(mass > 0, jnp.log(jnp.where(mass > 0, mass, 1.0)), -jnp.inf)


class Matrix(NamedTuple):
    """A cost matrix at hand. Time and memory O(m n) for each log-sum."""

    cost: Float[Array, "m n"]

    @property
    def shape(self) -> tuple[int, int]:
        return self.cost.shape[-2], self.cost.shape[-1]

    @property
    def T(self) -> "Matrix":
        return Matrix(self.cost.T)

    def rows(self, v: Float[Array, " n"], epsilon: Float[Array, ""]) -> Float[Array, " m"]:
        return jax.nn.logsumexp(v[None, :] - self.cost / epsilon, axis=1)

    def columns(self, u: Float[Array, " m"], epsilon: Float[Array, ""]) -> Float[Array, " n"]:
        return jax.nn.logsumexp(u[:, None] - self.cost / epsilon, axis=0)

    def mean(self) -> Float[Array, ""]:
        """The mean of the costs, counted from the least."""
        return self.cost.mean() - self.cost.min()


class Cloud(eqx.Module):
    r"""The transport problem between two clouds of points, with the cost $c_{ij} = s\,\|x_i - y_j\|_q^p$.

    It stands where a ``Problem`` stands, in ``solve`` with ``Entropic``; the matrix of costs is never formed, so that
    50,000 points a side fit: memory O((m + n) d) and ``block_bytes`` of working space. Build it with ``cloud``.
    """

    x: Float[Array, "m d"]
    y: Float[Array, "n d"]
    a: Float[Array, " m"]
    b: Float[Array, " n"]
    scale: Float[Array, ""]
    power: float = eqx.field(static=True, default=2.0)
    norm: float = eqx.field(static=True, default=2.0)
    block_bytes: int = eqx.field(static=True, default=_BYTES["cpu"])

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], self.y.shape[0]

    @property
    def dtype(self):
        return self.x.dtype

    @property
    def T(self) -> "Cloud":
        """The same problem with sources and targets exchanged."""
        return Cloud(self.y, self.x, self.b, self.a, self.scale, self.power, self.norm, self.block_bytes)

    def dense(self) -> Problem:
        """The same problem with its matrix of costs. Memory O(m n)."""
        return Problem(jax.vmap(lambda x: _cost(x, self.y, self.power, self.norm))(self.x) * self.scale, self.a, self.b)

    def rows(self, v: Float[Array, " n"], epsilon: Float[Array, ""]) -> Float[Array, " m"]:
        """Time O(m n d), in blocks of rows; differentiable in the points, in the same memory."""
        x, y, unit = self.x, self.y, self.scale / epsilon
        return self._by_block(lambda p: jax.nn.logsumexp(v - unit * _cost(p, y, self.power, self.norm)), x)

    def columns(self, u: Float[Array, " m"], epsilon: Float[Array, ""]) -> Float[Array, " n"]:
        return self.T.rows(u, epsilon)

    def apply(self, u: Array, v: Array, epsilon: Array, values: Float[Array, "n *rest"]) -> Float[Array, "m *rest"]:
        r"""$T V$ for the plan $T_{ij} = e^{u_i + v_j - c_{ij}/\varepsilon}$, without the plan. Time O(m n (d + rest))."""
        y, unit = self.y, self.scale / epsilon

        def row(each):
            p, level = each
            return jnp.tensordot(jnp.exp(level + v - unit * _cost(p, y, self.power, self.norm)), values, axes=1)

        return self._by_block(row, (self.x, u))

    def transport_cost(self, u: Array, v: Array, epsilon: Array) -> Float[Array, ""]:
        r"""$\langle T, C \rangle$ for the plan of ``apply``, without the plan. Time O(m n d)."""
        y, scale = self.y, self.scale

        def row(each):
            p, level = each
            cost = scale * _cost(p, y, self.power, self.norm)
            return (jnp.exp(level + v - cost / epsilon) * cost).sum()

        return self._by_block(row, (self.x, u)).sum()

    def mean(self) -> Float[Array, ""]:
        """The mean of the costs, from at most 512 points of each side, evenly taken."""
        x, y = (z[:: -(-z.shape[0] // _SAMPLE)] for z in (self.x, self.y))
        return self.scale * jax.vmap(lambda p: _cost(p, y, self.power, self.norm))(x).mean()

    def _by_block(self, row, each):
        size = max(1, min(self.x.shape[0], self.block_bytes // (self.y.shape[0] * self.x.dtype.itemsize)))
        # the checkpoint keeps reverse mode from storing a matrix
        return jax.lax.map(jax.checkpoint(row), each, batch_size=size)


Geometry = Matrix | Cloud


def _cost(point: Float[Array, " d"], others: Float[Array, "n d"], power: float, norm: float) -> Float[Array, " n"]:
    """The cost to one point, from differences: exact zeros, and no cancellation, unlike the expansion of the square."""
    d = others.shape[1]
    # coordinate by coordinate the compiler fuses the sum with what follows, and nothing of size (n, d) is written
    apart = [others[:, k] - point[k] for k in range(d)] if d <= 32 else None
    if norm == 2:
        total = sum(z * z for z in apart) if apart is not None else ((others - point[None, :]) ** 2).sum(axis=1)
    else:
        parts = apart if apart is not None else list((others - point[None, :]).T)
        total = sum(jnp.abs(z) if norm == 1 else _power(jnp.abs(z), norm) for z in parts)
    return _power(jnp.asarray(total), power / norm)


def _power(t: Array, exponent: float) -> Array:
    """t^exponent, whose derivative at 0 is 0 where it does not exist."""
    if exponent == 1:
        return t
    if exponent == 2:
        return t * t
    zero = t == 0
    return jnp.where(zero, 0.0, jnp.where(zero, 1.0, t) ** exponent)


def cloud(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2.0,
    norm: float = 2.0,
    scale: ArrayLike = 1.0,
    block_bytes: int | None = None,
) -> Cloud:
    r"""Check and build a ``Cloud``: cost $s\,\|x_i - y_j\|_q^p$, never a matrix.

    Args:
        x: (m, d) sources.
        y: (n, d) targets.
        a: (m,) source masses, as in ``problem``; zeros are allowed.
        b: (n,) target masses, likewise.
        p: positive power of the distance.
        norm: q >= 1 of the norm; 2 is Euclidean.
        scale: positive factor s of the cost.
        block_bytes: of working space for a block of rows of the matrix; 1 MiB on a CPU and 256 MiB on a GPU when omitted.

    Returns:
        a ``Cloud``, which ``solve`` takes in place of a ``Problem`` with ``Entropic``; ``.dense()`` is the ``Problem``.

    Raises:
        ValueError: tables that do not fit or are not finite, a power, norm or factor outside its range, or masses as in
            ``problem``.
        TypeError: as in ``problem``.

    Source:
        Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019), on log-sums whose matrix is never formed.

    Examples:
        >>> from lab import ot
        >>> points = ot.cloud([[0.0, 0.0]], [[3.0, 4.0], [1.0, 1.0]], p=1, norm=1)
        >>> points.shape, points.dense().cost.tolist()
        ((1, 2), [[7.0, 2.0]])
    """
    sources, targets = points(x, y)
    if not p > 0:
        raise ValueError(f"p = {p}, but the power of the distance must be positive")
    if not 1 <= norm < np.inf:
        raise ValueError(f"norm = {norm}, but it must be at least 1 and finite")
    scale = arguments.real("scale", scale, (), low=0, strict=True)
    both = masses(a, b, (len(sources), len(targets)), sources.dtype)
    arrays = (jnp.asarray(z, sources.dtype) for z in (sources, targets, *both, scale))
    size = _BYTES.get(jax.default_backend(), _BYTES["gpu"]) if block_bytes is None else int(block_bytes)
    return Cloud(*arrays, power=float(p), norm=float(norm), block_bytes=size)


def from_ott(given: Any) -> tuple[Problem | Cloud, float, Unbalanced | None]:
    """The problem of an ``ott`` geometry or linear problem, and the epsilon and relaxed marginals that it carries.

    A point cloud with squared Euclidean or p-norm cost becomes a ``Cloud``, as does a grid with the former; of any other the
    cost matrix is taken.

    Raises:
        TypeError: what is neither a geometry nor a linear problem.
    """
    import ott.geometry.costs as costs
    import ott.geometry.geometry as geometries
    import ott.geometry.grid as grids
    import ott.geometry.pointcloud as pointclouds

    geometry = getattr(given, "geom", given)
    if not isinstance(geometry, geometries.Geometry):
        raise TypeError(f"{type(given).__name__} is not supported: give an ott Geometry or LinearProblem")
    tau = float(getattr(given, "tau_a", 1.0)), float(getattr(given, "tau_b", 1.0))
    a, b = getattr(given, "_a", None), getattr(given, "_b", None)
    epsilon = float(geometry.epsilon)
    if tau != (1.0, 1.0):
        weights = (epsilon * t / (1 - t) if t < 1 else np.inf for t in tau)
        return problem(_matrix(geometry), a, b, balanced=False), epsilon, Unbalanced(*weights)
    if isinstance(geometry, pointclouds.PointCloud):
        cost, unit = geometry.cost_fn, float(geometry.inv_scale_cost)
        kinds: dict[type, Any] = {
            costs.SqEuclidean: lambda c: (2.0, 2.0, 1.0),
            costs.Euclidean: lambda c: (1.0, 2.0, 1.0),
            costs.PNormP: lambda c: (c.p, c.p, 1 / c.p),
            costs.EuclideanP: lambda c: (c.p, 2.0, 1.0),
            costs.SqPNorm: lambda c: (2.0, c.p, 0.5),
        }
        if type(cost) in kinds:
            p, norm, scale = kinds[type(cost)](cost)
            return cloud(geometry.x, geometry.y, a, b, p=float(p), norm=float(norm), scale=scale * unit), epsilon, None
    if isinstance(geometry, grids.Grid) and all(type(cost) is costs.SqEuclidean for cost in geometry.cost_fns):
        points = np.stack([axis.ravel() for axis in np.meshgrid(*geometry.x, indexing="ij")], axis=1)
        return cloud(points, points, a, b), epsilon, None
    return problem(_matrix(geometry), a, b), epsilon, None


def _matrix(geometry: Any) -> np.ndarray:
    """The costs, which ``ott`` does not add up over the axes of a grid."""
    sizes = getattr(geometry, "grid_size", None)
    if sizes is None:
        return np.asarray(geometry.cost_matrix)
    total = np.zeros((*sizes, *sizes), geometry.dtype)
    for axis, line in enumerate(geometry.geometries):
        along = [size if place == axis else 1 for place, size in enumerate(sizes)]
        total += np.asarray(line.cost_matrix).reshape(*along, *along)
    return total.reshape(geometry.shape)

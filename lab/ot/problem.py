r"""The discrete transport problem, checked once, at the door."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab import precision
from lab.numerics.host import placed


class Problem(NamedTuple):
    r"""Move the mass ``a`` of m sources to the mass ``b`` of n targets at a given cost.

    $$ U(a, b) = \{ T \ge 0 : T 1 = a,\; T^\top 1 = b \} $$

    Build it with ``problem`` or ``from_points``, which check their input; inside ``jit`` and
    ``vmap`` the tuple itself is the constructor and checks nothing.
    """

    cost: Float[Array, "*batch m n"]
    a: Float[Array, "*batch m"]
    b: Float[Array, "*batch n"]

    @property
    def T(self) -> "Problem":
        """The same problem with sources and targets exchanged."""
        return Problem(jnp.swapaxes(self.cost, -1, -2), self.b, self.a)


def problem(
    cost: ArrayLike, a: ArrayLike | None = None, b: ArrayLike | None = None, *, balanced: bool = True
) -> Problem:
    r"""Check and build a ``Problem`` between m sources and n targets.

    $$ U(a, b) = \{ T \ge 0 : T 1 = a,\; T^\top 1 = b \} $$

    is what its plans may be. Of arrays with values: under ``jit`` and ``grad`` build ``Problem(cost, a, b)`` itself.

    Args:
        cost: (m, n), finite.
        a: (m,) source masses, zeros among them allowed; uniform of total mass 1 (or of the total of ``b``) when omitted.
        b: (n,) target masses; likewise.
        balanced: False leaves the masses as they are, for ``lab.ot.unbalanced``.

    Returns:
        a ``Problem`` in the type of the cost, whole numbers as floats; balanced, ``b`` is rescaled to the total of ``a``.

    Raises:
        ValueError: a shape that does not fit, a value that is not finite, a negative mass, or, of balanced
            masses, totals that differ by more than 1e-6 relative.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 2.

    Examples:
        >>> import numpy as np
        >>> from lab import ot
        >>> ot.problem(np.zeros((2, 3))).a.tolist()
        [0.5, 0.5]
        >>> ot.problem(np.zeros((2, 2)), [1.0, 3.0]).b.tolist()  # of the total of a
        [2.0, 2.0]
    """
    precision.uncut(cost=cost, a=a, b=b)
    cost = np.asarray(cost)
    if cost.dtype.kind not in "fiu":
        raise ValueError(f"the cost has type {cost.dtype}, but real numbers are needed")
    if not np.issubdtype(cost.dtype, np.floating):
        cost = cost.astype(jnp.result_type(float))
    if cost.ndim != 2 or 0 in cost.shape:
        raise ValueError(
            f"the cost has shape {cost.shape}, but a matrix (sources, targets) without empty side is needed"
        )
    if not np.isfinite(cost).all():
        i, j = np.argwhere(~np.isfinite(cost))[0]
        raise ValueError(f"the cost is {cost[i, j]} at row {i}, column {j}: every entry must be finite")
    return Problem(*map(placed, (cost, *masses(a, b, cost.shape, cost.dtype, balanced))))


def from_points(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2.0,
    balanced: bool = True,
) -> Problem:
    r"""The problem between two clouds of points with cost $c_{ij} = \|x_i - y_j\|_2^p$.

    Args:
        x: (m, d) sources.
        y: (n, d) targets.
        a: (m,) source masses, as in ``problem``.
        b: (n,) target masses, as in ``problem``.
        p: positive power of the Euclidean distance.
        balanced: False leaves the masses as they are.

    Returns:
        a ``Problem`` whose costs are in units of length to the power p.

    Raises:
        ValueError: tables that do not fit or are not finite, a power that is not positive, or masses as in ``problem``.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 2.

    Examples:
        >>> from lab import ot
        >>> ot.from_points([[0.0], [1.0]], [[0.0], [3.0]]).cost.tolist()
        [[0.0, 9.0], [1.0, 4.0]]
        >>> ot.from_points([[0.0, 0.0]], [[3.0, 4.0]], p=1).cost.tolist()
        [[5.0]]
    """
    precision.uncut(x=x, y=y)
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"the points have shapes {x.shape} and {y.shape}, but two tables (points, dimension) of one dimension are needed"
        )
    for name, points in (("x", x), ("y", y)):
        if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
            raise ValueError(f"the points {name} must be finite real numbers; look at row {_first_bad(points)}")
    if not p > 0:
        raise ValueError(f"p = {p}, but the power of the distance must be positive")
    x, y = (z if np.issubdtype(z.dtype, np.floating) else z.astype(jnp.result_type(float)) for z in (x, y))
    squared = sum((x[:, k, None] - y[None, :, k]) ** 2 for k in range(x.shape[1]))  # exact zeros, unlike the expansion
    return problem(squared if p == 2 else squared ** (p / 2), a, b, balanced=balanced)


def one(problem: Problem) -> None:
    """Refuse a batch of problems, which is for ``jax.vmap``."""
    if problem.cost.ndim != 2:
        raise ValueError(
            f"the cost has shape {problem.cost.shape}: one problem (m, n) is solved, use jax.vmap for batches"
        )


def masses(
    a: ArrayLike | None, b: ArrayLike | None, shape: tuple[int, int], dtype, balanced: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Masses of both sides, checked; where balanced, ``b`` gets the total of ``a``."""
    total = 1.0 if a is None and b is None else float(np.sum(np.asarray(a if a is not None else b)))
    total = total if np.isfinite(total) else 1.0  # refused below, on its own side
    both: list[np.ndarray] = []
    for name, given, size in zip("ab", (a, b), shape, strict=True):
        mass = np.full(size, total / size) if given is None else np.asarray(given)
        if mass.shape != (size,):
            side = "sources" if name == "a" else "targets"
            raise ValueError(f"{name} has shape {mass.shape}, but there are {size} {side}: ({size},) is needed")
        if mass.dtype.kind not in "fiu" or not np.isfinite(mass).all():
            raise ValueError(f"{name} must be finite real numbers; entry {_first_bad(mass)} is not")
        if (mass < 0).any():
            i = int(np.argmax(mass < 0))
            raise ValueError(f"{name}[{i}] = {mass[i]:.6g}, but no mass may be negative")
        if not mass.any():
            raise ValueError(f"{name} is zero throughout: at least one mass must be positive")
        both.append(mass.astype(dtype))
    if not balanced:
        return both[0], both[1]
    total_a, total_b = (float(mass.sum()) for mass in both)
    if abs(total_a - total_b) > 1e-6 * total_a:
        raise ValueError(
            f"the masses differ: sum(a) = {total_a:.9g} but sum(b) = {total_b:.9g}; rescale one so that they agree, or give "
            "balanced=False for ot.Unbalanced"
        )
    return both[0], both[1] * np.asarray(total_a / total_b, dtype)


def _first_bad(values: np.ndarray) -> int:
    if values.dtype.kind not in "fiu":
        return 0
    return int(np.argwhere(~np.isfinite(values))[0][0]) if not np.isfinite(values).all() else 0

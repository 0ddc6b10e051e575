r"""The discrete transport problem, checked once, at the door."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab import precision
from lab.numerics import arguments
from lab.numerics.differentiation import is_traced
from lab.numerics.host import placed


class Problem(NamedTuple):
    r"""Move the mass ``a`` of m sources to the mass ``b`` of n targets at a given cost.

    $$ U(a, b) = \{ T \ge 0 : T 1 = a,\; T^\top 1 = b \} $$

    Build it with ``problem`` or ``from_points``, which check their input; the tuple itself checks nothing.
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

    is the set of its plans. Works under ``jit``, ``vmap`` and ``grad``, where shapes are checked and values are not.

    Args:
        cost: (m, n), finite. float16 and bfloat16 become float32.
        a: (m,) source masses, zeros among them allowed; uniform of total mass 1 (or of the total of ``b``) when omitted.
        b: (n,) target masses; likewise.
        balanced: False leaves the masses as they are, for ``lab.ot.unbalanced``.

    Returns:
        a ``Problem`` in the type of the cost, whole numbers as floats; balanced, ``b`` is rescaled to the total of ``a``.

    Raises:
        ValueError: a shape that does not fit, a value that is not finite, a negative mass, or, of balanced
            masses, totals that differ by more than 1e-6 relative.
        TypeError: an argument that does not hold real numbers, or a torch tensor that requires a gradient.

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
    matrix = as_numbers("cost", cost)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"the cost has shape {matrix.shape}: a matrix (sources, targets) without empty side is needed; "
            "use jax.vmap for a batch of problems"
        )
    _check_costs(matrix)
    return Problem(*map(placed, (matrix, *masses(a, b, matrix.shape, matrix.dtype, balanced))))


def as_numbers(name: str, value: Any) -> Any:
    """Real numbers in at least single precision: traced as they are, else of NumPy and finite.

    Raises:
        ValueError: other than finite real numbers, or float64 while float64 is off.
        TypeError: a tensor of another library that requires a gradient.
    """
    arguments.refuse_foreign_gradient(name, value)
    precision.uncut(**{name: value})
    array = value if isinstance(value, Tracer) else np.asarray(value)
    if array.dtype.kind not in "fiu" and array.dtype != jnp.bfloat16:
        raise ValueError(f"{name} has type {array.dtype}, but real numbers are needed")
    if array.dtype.kind in "iu":
        array = array.astype(jnp.result_type(float))
    elif array.dtype.itemsize < 4:
        array = array.astype(jnp.float32)
    if not isinstance(array, Tracer) and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        where = f"row {place[0]}, column {place[1]}" if array.ndim == 2 else f"entry {', '.join(map(str, place))}"
        raise ValueError(f"{name} is {array[tuple(place)]} at {where}: every entry must be finite")
    return array


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
        TypeError: as in ``problem``.

    Source:
        Peyré, Cuturi, Computational Optimal Transport, 2019, chapter 2.

    Examples:
        >>> from lab import ot
        >>> ot.from_points([[0.0], [1.0]], [[0.0], [3.0]]).cost.tolist()
        [[0.0, 9.0], [1.0, 4.0]]
        >>> ot.from_points([[0.0, 0.0]], [[3.0, 4.0]], p=1).cost.tolist()
        [[5.0]]
    """
    sources, targets = points(x, y)
    if not p > 0:
        raise ValueError(f"p = {p}, but the power of the distance must be positive")
    apart = (sources[:, k, None] - targets[None, :, k] for k in range(sources.shape[1]))
    with np.errstate(over="ignore"):  # an overflow raises the error below
        squared: Any = sum(d**2 for d in apart)  # exact zeros, unlike the expansion
        cost = squared if p == 2 else _power(squared, p / 2)
    if not isinstance(cost, Tracer) and not np.isfinite(cost).all():
        largest = max(float(np.abs(each).max()) for each in (sources, targets))
        raise ValueError(
            f"x and y have coordinates of magnitude up to {largest:.6g}: their distances to the power {p:g} overflow "
            f"{cost.dtype}; choose another unit of length"
        )
    return problem(cost, a, b, balanced=balanced)


def points(x: Any, y: Any) -> tuple[Any, Any]:
    """Two tables of points in one dimension, checked, of one type.

    Raises:
        ValueError: tables that do not fit or are not finite.
    """
    x, y = as_numbers("x", x), as_numbers("y", y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in (*x.shape, *y.shape):
        raise ValueError(
            f"the points have shapes {x.shape} and {y.shape}, but two tables (points, dimension) of one dimension are "
            "needed; use jax.vmap for a batch"
        )
    dtype = jnp.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def _power(squared: Any, exponent: float) -> Any:
    """A power of squared distances; where points coincide its derivative is 0 even if it does not exist."""
    if not isinstance(squared, Tracer):
        return squared**exponent
    apart = squared > 0
    return jnp.where(apart, jnp.where(apart, squared, 1.0) ** exponent, 0.0)


def one(problem: Problem) -> None:
    """Refuse a batch of problems, which is for ``jax.vmap``."""
    if problem.cost.ndim != 2:
        raise ValueError(
            f"the cost has shape {problem.cost.shape}: one problem (m, n) is solved, use jax.vmap for batches"
        )


def masses(
    a: ArrayLike | None, b: ArrayLike | None, shape: tuple[int, int], dtype, balanced: bool = True
) -> tuple[Any, Any]:
    """Masses of both sides, checked; where balanced, ``b`` gets the total of ``a``."""
    given = [x if x is None else as_numbers(name, x) for name, x in zip("ab", (a, b), strict=True)]
    known = [x for x in given if x is not None]
    for name, mass in zip("ab", given, strict=True):
        if mass is not None and not isinstance(mass, Tracer) and mass.size:
            _check_total(name, mass, dtype)
    total = known[0].sum() if known else 1.0
    both: list[Any] = []
    for name, mass, size in zip("ab", given, shape, strict=True):
        if mass is None:
            xp = jnp if isinstance(total, Tracer) else np
            mass = xp.full(size, total / size)
        if mass.shape != (size,):
            side = "sources" if name == "a" else "targets"
            raise ValueError(f"{name} has shape {mass.shape}, but there are {size} {side}: ({size},) is needed")
        if not isinstance(mass, Tracer):
            if (mass < 0).any():
                i = int(np.argmax(mass < 0))
                raise ValueError(f"{name}[{i}] = {mass[i]:.6g}, but no mass may be negative")
            if not mass.any():
                raise ValueError(f"{name} is zero throughout: at least one mass must be positive")
        both.append(mass.astype(dtype))
    if not balanced:
        return both[0], both[1]
    total_a, total_b = (mass.sum() if isinstance(mass, Tracer) else float(mass.sum()) for mass in both)
    if not is_traced(total_a, total_b) and abs(total_a - total_b) > 1e-6 * total_a:
        raise ValueError(
            f"the masses differ: sum(a) = {total_a:.9g} but sum(b) = {total_b:.9g}; rescale one so that they agree, or give "
            "balanced=False for ot.Unbalanced"
        )
    ratio = total_a / total_b
    return both[0], both[1] * (ratio.astype(dtype) if isinstance(ratio, Tracer) else np.asarray(ratio, dtype))


def _check_total(name: str, mass: np.ndarray, dtype: Any) -> None:
    """Refuse masses whose total is infinite in this type, or too small to be divided by."""
    limits, largest = jnp.finfo(dtype), float(mass.max())
    most, least = float(limits.max) / mass.size, float(limits.tiny / limits.eps)
    if largest > most:
        raise ValueError(
            f"{name} has a mass of {largest:.6g}, whose total overflows {np.dtype(dtype)}: each of {mass.size} masses may be "
            f"at most {most:.3g}; divide all masses by their largest"
        )
    if 0 < largest < least:
        raise ValueError(
            f"the largest mass of {name} is {largest:.6g}, but shares of it can't be told apart in {np.dtype(dtype)} below "
            f"{least:.3g}; divide all masses by their largest"
        )


def _check_costs(cost: Any) -> None:
    """Refuse costs whose sum may overflow; traced ones have no values."""
    if isinstance(cost, Tracer):
        return
    largest, most = float(np.abs(cost).max()), float(jnp.finfo(cost.dtype).max) / cost.size
    if largest > most:
        raise ValueError(
            f"the cost has an entry of magnitude {largest:.6g}, whose sums overflow {cost.dtype}: in a matrix of shape "
            f"{cost.shape} at most {most:.3g} is allowed; divide the costs by their mean"
        )

r"""Transport of a density to points: power cells, exactly on a line and in the square, and by Monte Carlo anywhere.

Of $\mu$ with a density and targets $y_i$ of mass $\nu_i$, for the cost $|x - y|^2$, with heights h

$$ u_h(x) = \max_i \langle x, y_i \rangle + h_i, \qquad W_i(h) = \{x : i \text{ attains it}\}, \qquad w_i(h) = \mu(W_i(h)), $$

$E(h) = \int u_h\,d\mu - \sum_i \nu_i h_i$ is convex with $\partial E / \partial h_i = w_i - \nu_i$. At its minimum
$x \mapsto y_i$ on $W_i$ is optimal, and $W_2^2 = E|x|^2 + \sum_i \nu_i |y_i|^2 - 2 \min E$. Heights are given with mean 0. In
terms of potentials $g_i = 2 h_i + |y_i|^2$; Voronoi cells have $g = 0$.

| door | source | how |
|---|---|---|
| ``on_line`` | uniform on [0, 1], or N(0, 1) | in closed form |
| ``in_square`` | uniform on the unit square | Newton's method on exact areas |
| ``by_samples`` | any that can be drawn | averaged stochastic gradients |

Source: Aurenhammer, Hoffmann, Aronov, *Minkowski-type theorems and least-squares clustering*, Algorithmica 1998; Kitagawa,
Mérigot, Thibert, *Convergence of a Newton algorithm for semi-discrete optimal transport*, JEMS 2019; Li et al., *DPM-OT*, ICCV
2023.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jax.core import Tracer
from jax.scipy.special import gammaln, ndtri
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, arrays, real, whole
from lab.numerics.differentiation import held_constant, is_traced, needs_values, refuse_derivative, without_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.ot import power_cells

_TOLERANCE = 1e-12  # of the masses, where they are exact
_NEWTON_STEPS = 100
_HALVINGS, _FEW_HALVINGS = 60, 3
_BLOCK = 4096  # targets whose scores are held at a time
_BYTES = {"cpu": 1 << 18, "gpu": 256 << 20}  # of a block of scores: on a processor what stays near it
_ROWS = 64  # of a block, at least
_EXACT = jax.lax.Precision.HIGHEST  # a GPU would multiply with 10 bits
_DOUBLINGS = 3  # of the points of an iteration, at most
_LOOKED_AT = 1024  # points of the source that tell where it lies
_DECADES = 3.0  # by which the rate falls
_HALF_LIFE = 0.5  # from this share of the iterations on, heights are averaged


class Cells(NamedTuple):
    """Heights and what they cut out."""

    heights: Float[Array, " m"]
    masses: Float[Array, " m"]
    cost: Float[Array, ""]  # W_2^2 when the masses are those asked for
    reason: Any
    iterations: Any
    polygons: Any = None  # in the square: of each cell its corners (k, 2), counter-clockwise
    trace: Any = None  # by samples: what was measured, by iteration
    path: Any = None  # heights on the way: of each Newton step, or at the iterations that were marked
    standard_error: Any = None  # of the cost, by samples


@arrays()
def assign(
    heights: Float[Array, " m"], y: Float[Array, "m d"], x: Float[Array, "n d"], block: int = _BLOCK
) -> Int[Array, " n"]:
    r"""The cell that each x lies in, $\arg\max_i \langle x, y_i \rangle + h_i$, the lowest number among equals.

    Time O(n m d), in blocks of targets and of points: no more than some megabytes of scores are held, of however many.

    Args:
        heights: (m,), of the targets.
        y: (m, d) targets.
        x: (n, d) points.
        block: how many targets' scores are held at a time; static.

    Returns:
        the number of the cell of each point, (n,).

    Raises:
        ValueError: shapes that do not fit, no target, or values that are not finite.
        NotDifferentiableError: when differentiated, since the number of a cell jumps.

    Source:
        Aurenhammer, Hoffmann, Aronov, Minkowski-type theorems and least-squares clustering, Algorithmica 1998.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import semidiscrete
        >>> y, x = jnp.asarray([[0.0], [1.0]]), jnp.asarray([[0.4], [0.6]])
        >>> semidiscrete.assign(semidiscrete.voronoi(y), y, x).tolist()  # to the nearest
        [0, 1]
    """
    if not y.size:
        raise ValueError(f"y has shape {y.shape}, but at least one target is needed")
    heights, y, x = refuse_derivative((heights, y, x), "assign has no derivative: the number of a cell jumps")
    return _assign(heights, y, x, whole("block", block, 1))


@jit
def _assign(
    heights: Float[Array, " m"], y: Float[Array, "m d"], x: Float[Array, "n d"], block: int = _BLOCK
) -> Int[Array, " n"]:
    n, (m, d) = x.shape[0], y.shape
    count = -(-m // block)
    block = -(-m // count)  # even ones
    points = jnp.concatenate([y, jnp.zeros((count * block - m, d), y.dtype)]).reshape(count, block, d)
    levels = jnp.concatenate([heights, jnp.full(count * block - m, -jnp.inf, heights.dtype)]).reshape(count, block)
    starts = (block * jnp.arange(count)).astype(jnp.int32)
    number = jnp.arange(block, dtype=jnp.int32)

    def of_rows(rows):
        def better(best, each):
            (top, where), (points, level, start) = best, each
            scores = jnp.matmul(rows, points.T, precision=_EXACT) + level[None, :]
            score = scores.max(axis=1)
            # the largest and its number by two reductions: several times as fast as argmax on a processor
            here = jnp.where(scores == score[:, None], number[None, :], block - 1).min(axis=1)
            wins = score > top
            return (jnp.where(wins, score, top), jnp.where(wins, here + start, where)), None

        none = jnp.full(rows.shape[0], -jnp.inf, x.dtype), jnp.zeros(rows.shape[0], jnp.int32)
        return jax.lax.scan(better, none, (points, levels, starts))[0][1]

    size = max(_ROWS, _BYTES.get(jax.default_backend(), _BYTES["gpu"]) // (block * x.dtype.itemsize))
    return of_rows(x) if size >= n else _by_rows(of_rows, x, size)


def _by_rows(work: Callable[[Array], Any], x: Array, size: int) -> Any:
    """``work`` on so many rows at a time."""
    count = -(-x.shape[0] // size)
    padded = jnp.concatenate([x, jnp.zeros((count * size - x.shape[0], x.shape[1]), x.dtype)])
    found = jax.lax.map(work, padded.reshape(count, size, x.shape[1]))
    return jax.tree.map(lambda each: each.reshape(count * size, *each.shape[2:])[: x.shape[0]], found)


@arrays()
def voronoi(y: Float[Array, "m d"]) -> Float[Array, " m"]:
    """The heights at which each cell holds what is nearest to its point: $-|y_i|^2 / 2$ less their mean.

    Args:
        y: (m, d) targets.

    Returns:
        heights (m,), of mean 0.

    Source:
        Aurenhammer, Hoffmann, Aronov, Minkowski-type theorems and least-squares clustering, Algorithmica 1998.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import semidiscrete
        >>> semidiscrete.voronoi(jnp.asarray([[0.0], [2.0]])).tolist()
        [1.0, -1.0]
    """
    heights = -(y**2).sum(axis=1) / 2
    return heights - heights.mean()


# ---------------------------------------------------------------------------------------------------------- exactly


@chosen
def on_line(y: Any, weights: Any = None, source: Literal["uniform", "gaussian"] | str = "uniform") -> Cells:
    r"""Points on a line: $h_{i+1} - h_i = -(y_{i+1} - y_i)\,F^{-1}(\nu_1 + \dots + \nu_i)$, in the order of y.

    F is the distribution function of the source; cells are intervals between its quantiles. In closed form. Differentiable in
    y and in the weights (which are divided by their sum).

    Args:
        y: (m,), all different, at least two.
        weights: (m,), positive, of sum one; equal when omitted.
        source: "uniform" on [0, 1], or "gaussian", N(0, 1).

    Returns:
        a ``Cells``: heights of mean 0 and masses (m,), and the cost $W_2^2$ in units of length squared.

    Raises:
        ValueError: points or weights that do not fit, or a source of another name.

    Source:
        Villani, Topics in Optimal Transportation, 2003, section 2.2: on a line the optimal map is the monotone one.

    Examples:
        >>> from lab.ot import semidiscrete
        >>> round(float(semidiscrete.on_line([0.25, 0.75]).cost), 6)  # two halves, of variance 1/48
        0.020833
        >>> round(float(semidiscrete.on_line([-1.0, 0.2, 0.7, 3.0], [0.1, 0.4, 0.3, 0.2]).cost), 6)
        1.005333
    """
    shape = np.shape(y)
    points, nu = map(jnp.asarray, _targets(_column(y), weights))
    if points.shape[1] != 1:
        raise ValueError(f"y has shape {shape}, but points on a line (m,) are needed")
    order = jnp.argsort(jax.lax.stop_gradient(points[:, 0]))
    at, mass = points[order, 0], nu[order]
    share = jnp.cumsum(mass)[:-1]
    cut = share if source == "uniform" else ndtri(share)
    heights = jnp.concatenate([jnp.zeros(1), -jnp.cumsum(jnp.diff(at) * cut)])
    heights = jnp.zeros_like(heights).at[order].set(heights - heights.mean())
    if source == "uniform":
        ends = jnp.concatenate([jnp.zeros(1), cut, jnp.ones(1)])
        cost = ((ends[1:] - at) ** 3 - (ends[:-1] - at) ** 3).sum() / 3
    else:
        height = jnp.concatenate([jnp.zeros(1), jnp.exp(-(cut**2) / 2) / jnp.sqrt(2 * jnp.pi), jnp.zeros(1)])
        cost = 1 + mass @ at**2 - 2 * at @ (height[:-1] - height[1:])
    return Cells(heights, nu, cost, Reason.CONVERGED, 0)


_ON_HOST = "Leave jit and vmap, under which there are no values, or take on_line or by_samples."


def in_square(y: Any, weights: Any = None, heights: Any = None) -> Cells:
    r"""Points in the plane, the density uniform on [0, 1]^2: Newton's method, damped so that no cell becomes empty.

    $$ \partial E / \partial h_i = w_i(h) - \nu_i $$

    is brought to 0, $w_i$ the area of the cell of $y_i$. On the host, with exact areas. Differentiable in y and in the weights
    (which are divided by their sum) outside ``jit`` and ``vmap``: cells keep their neighbors, and heights are those of the
    implicit function theorem. The derivatives are those of the solution only if the method converged. Their time is O(m^3).

    Args:
        y: (m, 2), at least two, all different. Outside the square they may have empty Voronoi cells; then give heights.
        weights: (m,), positive, of sum one; equal when omitted.
        heights: (m,) to start from; Voronoi's when omitted.

    Returns:
        a ``Cells``: heights of mean 0, areas, the cost $W_2^2$, the corners of each cell, and the heights of each step.

    Raises:
        ValueError: points or weights that do not fit, or a start with an empty cell.
        NotDifferentiableError: under ``jit`` or ``vmap``, or where a derivative of ``path`` is used.

    Source:
        Kitagawa, Mérigot, Thibert, Convergence of a Newton algorithm for semi-discrete optimal transport, JEMS 2019.

    Examples:
        >>> from lab.ot import semidiscrete
        >>> found = semidiscrete.in_square([[0.25, 0.5], [0.75, 0.5]])
        >>> found.masses.round(6).tolist(), round(float(found.cost), 6)  # 1/48 + 1/12
        ([0.5, 0.5], 0.104167)
    """
    found, cells = _in_square(*held_constant((y, weights, heights)))
    if not is_traced(y, weights):
        return found
    points, nu = (jnp.asarray(each, float) for each in _targets(y, weights))
    meet = power_cells.lines(cells)
    h = power_cells.settled(meet, points, found.heights, nu)
    corners = power_cells.corners(meet, points, h)
    areas, costs = power_cells.moments(corners, points)
    polygons = [corners[i, : len(polygon)] for i, polygon in enumerate(found.polygons)]
    path = without_derivative(jnp.asarray(found.path), (points, nu), "Steps of Newton's method have no derivative.")
    return found._replace(heights=h, masses=areas, cost=costs.sum(), polygons=polygons, path=path)


@needs_values(_ON_HOST)
def _in_square(y: Any, weights: Any, heights: Any) -> tuple[Cells, power_cells.Diagram]:
    points, nu = _targets(y, weights)
    if points.shape[1] != 2:
        raise ValueError(f"y has shape {points.shape}, but points in the plane (m, 2) are needed")
    h = np.asarray(voronoi(jnp.asarray(points)) if heights is None else heights, float)
    _check_heights(h, len(points))
    cells = power_cells.whole(points, h)
    if cells.area.min() <= 0:
        empty = int(cells.area.argmin())
        raise ValueError(
            f"the cell of point {empty}, {points[empty].tolist()}, is empty to begin with: move the points into the square, or "
            "give heights with which none is"
        )
    path = [h - h.mean()]
    least, reason, done = min(cells.area.min(), nu.min()) / 2, Reason.MAX_ITERATIONS, 0
    while done < _NEWTON_STEPS:
        lack = nu - cells.area
        if np.abs(lack).max() <= _TOLERANCE:
            reason = Reason.CONVERGED
            break
        step = np.zeros_like(h)
        solved: Any = scipy.sparse.linalg.spsolve(cells.slope[1:, 1:], lack[1:])
        step[1:] = solved
        near = np.abs(lack).max() <= 100 * _TOLERANCE  # where sites are close, rounding is all that is left
        size, found = 1.0, None
        for _ in range(_FEW_HALVINGS if near else _HALVINGS):
            trial = power_cells.cut(points, h + size * step, least)
            if trial is not None and np.linalg.norm(nu - trial.area) <= (1 - size / 2) * np.linalg.norm(lack):
                found = trial
                break
            size /= 2
        if found is None:
            reason = Reason.CONVERGED if near else Reason.STALLED
            break
        h, cells, done = h + size * step, found, done + 1
        path.append(h - h.mean())
    cost = sum(power_cells.second_moment(polygon, point) for polygon, point in zip(cells.polygons, points, strict=True))
    level = jnp.asarray(h - h.mean())
    found = Cells(level, jnp.asarray(cells.area), jnp.asarray(cost), reason, done, cells.polygons, path=np.stack(path))
    return found, cells


@arrays()
def areas(y: Float[Array, "m 2"], heights: Float[Array, " m"]) -> Float[np.ndarray | Array, " m"]:
    """Of power cells in the unit square, exactly; 0 of those that are empty. Differentiable outside ``jit`` and ``vmap``.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
        NotDifferentiableError: under ``jit`` or ``vmap``.

    >>> areas(np.array([[0.25, 0.5], [0.75, 0.5]]), np.array([0.25, 0.0])).tolist()
    [0.5, 0.5]
    """
    cells = _cells(*held_constant((y, heights)))
    if not is_traced(y, heights):
        return cells.area
    return power_cells.moments(power_cells.corners(power_cells.lines(cells), y, heights), y)[0]


@needs_values(_ON_HOST)
def _cells(y: Any, heights: Any) -> power_cells.Diagram:
    return power_cells.whole(np.asarray(y, float), np.asarray(heights, float))


# ------------------------------------------------------------------------------------------------------ by sampling


class Gaussian(eqx.Module):
    """The source N(0, I), as ``by_samples`` draws it; those of one dimension share their programs."""

    dimension: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        whole("dimension", self.dimension, 1)

    def __call__(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        return random.normal(key, (n, self.dimension))


class Uniform(eqx.Module):
    """The source that is uniform on the unit cube."""

    dimension: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        whole("dimension", self.dimension, 1)

    def __call__(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        return random.uniform(key, (n, self.dimension))


class Work(NamedTuple):
    """What the stochastic method iterates on; ``draw`` is called with a key and a number."""

    draw: Callable[[PRNGKeyArray, int], Array]
    y: Float[Array, "m d"]
    weights: Float[Array, " m"]
    start: Float[Array, " m"]
    rate: Float[Array, ""]
    total: Int[Array, ""]  # iterations that are planned
    key: PRNGKeyArray
    batch: Any  # an array of as many zeros as points are drawn
    patience: Int[Array, ""]  # 0: as many points in each iteration
    marks: Int[Array, " frames"]  # iterations after which heights are kept


class State(NamedTuple):
    h: Float[Array, " m"]
    first: Float[Array, " m"]  # moments of Adam
    second: Float[Array, " m"]
    mean: Float[Array, " m"]  # of the heights of the later iterations
    count: Int[Array, ""]
    apart: Float[Array, ""]  # total variation of this batch's masses
    norm: Float[Array, ""]  # of the gradient
    empty: Int[Array, ""]  # cells without a point
    best: Float[Array, ""]  # norm with as many points
    waited: Int[Array, ""]
    doublings: Int[Array, ""]
    path: Float[Array, "frames m"]


def _masses(work: Work, h: Array, key: PRNGKeyArray, doublings: Array) -> Array:
    """Of some batches together. Scores are of single precision: what is nearer to an edge than that is noise here."""
    n = work.batch.shape[0]
    y = (work.y - work.y.mean(axis=0)[None, :]).astype(jnp.float32)
    level = h.astype(jnp.float32)

    def more(number, counts):
        x = jnp.asarray(work.draw(jax.random.fold_in(key, number), n), jnp.float32)
        return counts.at[_assign(level, y, x)].add(1)

    times = 2**doublings
    counts = jax.lax.fori_loop(0, times, more, jnp.zeros(h.shape, jnp.int32))
    return counts / (n * times).astype(h.dtype)


def _init(work: Work) -> State:
    zero, far = jnp.zeros_like(work.start), jnp.asarray(jnp.inf, work.start.dtype)
    none = jnp.int32(0)
    path = jnp.broadcast_to(work.start[None, :], (work.marks.shape[0], work.start.shape[0]))
    return State(work.start, zero, zero, work.start, none, far, far, none, far, none, none, path)


def _step(work: Work, state: State) -> State:
    key = jax.random.fold_in(work.key, state.count)
    masses = _masses(work, state.h, key, state.doublings)
    gradient = masses - work.weights
    count = state.count + 1
    first, second = 0.9 * state.first + 0.1 * gradient, 0.99 * state.second + 0.01 * gradient**2
    t = count.astype(gradient.dtype)
    direction = first / (1 - 0.9**t) / (jnp.sqrt(second / (1 - 0.99**t)) + 1e-12)
    late = t / work.total
    # cells are small: a rate that does for the way there is a thousand times too large for their edges
    h = state.h - work.rate * 10 ** (-_DECADES * late) * 0.8**state.doublings * direction
    h = h - h.mean()
    number = jnp.maximum(t - jnp.floor(_HALF_LIFE * work.total), 1.0)
    mean = jnp.where(number > 1, state.mean + (h - state.mean) / number, h)
    # more points where the gradient is no longer than its noise
    norm = jnp.sqrt((gradient**2).sum())
    better = norm < state.best
    waited = jnp.where(better, 0, state.waited + 1)
    doubled = (work.patience > 0) & (waited >= work.patience) & (state.doublings < _DOUBLINGS)
    best = jnp.where(doubled, jnp.inf, jnp.where(better, norm, state.best))
    seen = jnp.where(late < _HALF_LIFE, h, mean)
    path = jnp.where((work.marks >= count)[:, None], seen[None, :], state.path)  # the last one before a mark stays
    return State(
        h,
        first,
        second,
        mean,
        count,
        jnp.abs(gradient).sum() / 2,
        norm,
        (masses <= 0).sum().astype(jnp.int32),
        best,
        jnp.where(doubled, 0, waited).astype(jnp.int32),
        state.doublings + doubled,
        path,
    )


def _done(work: Work, state: State) -> Array:
    bad = ~jnp.isfinite(state.h).all()
    over = jnp.where(state.count >= work.total, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(bad, Reason.NOT_FINITE, over).astype(jnp.int32)


def _measure(work: Work, state: State) -> dict[str, Array]:
    points = work.batch.shape[0] * 2**state.doublings
    return {
        "apart": state.apart,
        "norm": state.norm,
        "empty": state.empty.astype(state.norm.dtype),
        "points": points.astype(state.norm.dtype),
    }


_ASCENT = Method(_init, _step, _done, _measure)


def by_samples(
    draw: Callable[[PRNGKeyArray, int], Array],
    y: Any,
    weights: Any = None,
    *,
    key: PRNGKeyArray,
    iterations: int = 1000,
    batch: int = 4096,
    rate: Any = None,
    heights: Any = None,
    patience: Any = 0,
    marks: Any = (),
    tested: int = 16,
    loop: Loop = pure,
) -> Cells:
    r"""Any source: Adam on fresh batches, with a rate that falls by three decades and an average over the later half.

    The gradient is $w_i(h) - \nu_i$, with the share of the batch in each cell for $w_i$. Time O(batch m d) an iteration, memory
    O(m (d + marks)): 50,000 targets are no matter. Under ``jit`` the points are not checked.

    Args:
        draw: called with a key and a number n, returns (n, d): ``Gaussian(d)``, ``Uniform(d)``, or one of yours.
        y: (m, d), all different, at least two.
        weights: (m,), positive, of sum one; equal when omitted.
        key: of all that is drawn.
        iterations: of Adam; static.
        batch: points of an iteration; the error of a mass is that of the points of some hundred batches at best.
        rate: of Adam at first, in units of heights; a fiftieth of the spread of the points when omitted. Within a factor of ten
            it hardly matters.
        heights: to start from. When omitted, those whose cells are Voronoi's of the points moved and scaled onto the source, so
            that hardly any is empty wherever the points lie.
        patience: after so many iterations without a shorter gradient twice as many points are drawn and the rate is 0.8 times
            what it was, three times at most; 0: never. (DPM-OT has 50.)
        marks: iterations after which the heights are kept, in ``path``; 0 is the start.
        tested: batches of the last estimate.
        loop: ``lab.numerics.pure``, or a ``Chunked`` that reports and stops.

    Returns:
        heights, and masses and cost as one more draw of ``tested`` batches estimates them: their total variation from the
        weights is that of ``floor(weights, tested * batch)`` even at the solution. ``standard_error`` is
        that of the cost over those points; the error of the heights comes on top. The trace has for each iteration ``apart``
        (total variation of the batch's masses), ``norm`` of the gradient, ``empty`` cells, and ``points`` that were drawn.

    Raises:
        ValueError: points, weights or heights that do not fit, a count below 1, a rate that is not positive, or a source of
            another dimension.
        NotDifferentiableError: when differentiated: the heights come of random batches.

    Source:
        Li et al., DPM-OT, ICCV 2023.

    Examples:
        >>> import jax
        >>> from lab.ot import semidiscrete
        >>> draw, key = semidiscrete.Uniform(1), jax.random.key(0)
        >>> found = semidiscrete.by_samples(draw, [[0.0], [1.0]], key=key, iterations=2, batch=64)
        >>> float(found.masses.sum()), bool(abs(found.masses - 0.5).max() < 0.1)
        (1.0, True)
    """
    targets, mass = (each if isinstance(each, Tracer) else placed(each) for each in _targets(y, weights))
    if heights is not None:
        _check_heights(heights, targets.shape[0])
        heights = jnp.asarray(heights)
    rate = None if rate is None else real("rate", rate, (), low=0, strict=True)
    for name, count in (("iterations", iterations), ("batch", batch), ("tested", tested)):
        whole(name, count, 1)
    if not isinstance(patience, Tracer):
        whole("patience", int(patience) if np.ndim(patience) == 0 and patience == patience // 1 else patience, 0)
    targets, mass, rate, heights = refuse_derivative(
        (targets, mass, rate, heights),
        "by_samples has no derivative: its heights come of random batches; take on_line where there is a closed form",
    )
    drawn = jax.eval_shape(lambda key: draw(key, 2), key).shape
    if drawn != (2, targets.shape[1]):
        raise ValueError(
            f"of 2 points the source draws {drawn}, but (2, {targets.shape[1]}) is needed, the dimension of y"
        )
    kept = jnp.asarray(marks, jnp.int32)
    work = _begun(draw, targets, mass, key, jnp.zeros(batch), rate, heights, jnp.int32(patience), kept, iterations)
    ran = loop(_ASCENT, work, max_iterations=iterations)
    level, masses, cost, error = _judged(work, ran.state, tested)
    return Cells(
        level,
        masses,
        cost,
        ran.reason,
        ran.iterations,
        trace=ran.trace,
        path=ran.state.path,
        standard_error=error,
    )


@jit
def _begun(
    draw: Any,
    y: Array,
    mass: Array,
    key: Any,
    batch: Array,
    rate: Any,
    heights: Any,
    patience: Any,
    marks: Any,
    total: int,
) -> Work:
    start = matched(draw, y, key) if heights is None else jnp.asarray(heights, y.dtype)
    rate = 0.02 * jnp.sqrt(y.var(axis=0).sum()) if rate is None else jnp.asarray(rate, y.dtype)
    return Work(draw, y, mass, start - start.mean(), rate, jnp.int32(total), key, batch, patience, marks)


def _check_heights(heights: Any, m: int) -> None:
    if np.shape(heights) != (m,):
        raise ValueError(f"heights have shape {np.shape(heights)}, but one for each of the {m} points of y is needed")
    if not isinstance(heights, Tracer) and not np.isfinite(np.asarray(heights)).all():
        raise ValueError("some heights are NaN or infinite")


@arrays()
def matched(draw: Any, y: Float[Array, "m d"], key: PRNGKeyArray) -> Float[Array, " m"]:
    """Heights whose cells are Voronoi's of the points moved and scaled onto the source: $-c |y - b|^2 / 2$."""
    x = jnp.asarray(draw(jax.random.fold_in(key, 2**31 - 2), _LOOKED_AT), y.dtype)
    mean = y.mean(axis=0)
    scale = jnp.sqrt(x.var(axis=0).mean() / y.var(axis=0).mean())
    # <x, y> - |c (y - mean) + m|^2 / (2 c) + ... : of y' = c (y - mean) + m the scores <x, y'> - |y'|^2 / 2, over c
    moved = scale * (y - mean[None, :]) + x.mean(axis=0)[None, :]
    heights = -(moved**2).sum(axis=1) / (2 * scale)
    return heights - heights.mean()


@jit
def _judged(work: Work, state: State, tested: int) -> tuple[Array, Array, Array, Array]:
    """Heights, and their masses and mean cost on fresh points, with the standard error of the cost."""
    heights = state.mean - state.mean.mean()
    n = work.batch.shape[0]

    def one(key):
        x = jnp.asarray(work.draw(key, n), work.y.dtype)
        where = _assign(heights, work.y, x)
        each = ((x - work.y[where]) ** 2).sum(axis=1)
        return jnp.zeros_like(heights).at[where].add(1.0 / n), each.mean(), each.var()

    keys = jax.random.split(jax.random.fold_in(work.key, 2**31 - 1), tested)
    masses, costs, within = jax.lax.map(one, keys)
    variance = (within.mean() + costs.var()) / jnp.maximum(n * tested - 1, 1)  # of the mean of all n tested points
    return heights, masses.mean(axis=0), costs.mean(), jnp.sqrt(variance)


class Floor(NamedTuple):
    """What masses estimated from N points miss even at the solution."""

    total_variation: Float[Array, ""]  # its mean, exactly
    norm: Float[Array, ""]  # root mean square of |w - nu|


@arrays(weights=NOT_NEGATIVE)
def floor(weights: Float[Array, " m"], points: Any) -> Floor:
    r"""$E\tfrac12\sum_i |n_i / N - \nu_i|$ by de Moivre's formula, about $0.4\sqrt{m / N}$ of equal weights, and
    $\sqrt{(1 - \sum_i \nu_i^2) / N}$.

    Args:
        points: N, at least 1; there is no derivative in it, which counts.

    Raises:
        ValueError: weights that are negative or above 1, or N below 1.

    >>> round(float(floor(jnp.array([0.5, 0.5]), 2).total_variation), 12)  # 0 or 1/2, each half of the time
    0.25
    """
    nu, n = real("weights", weights, high=1 + 1e-6), real("points", points, low=1).astype(float)
    n = refuse_derivative(n, "floor has no derivative in points, which counts")
    k = jnp.minimum(jnp.floor(n * nu), n - 1)
    # E|X - N p| = 2 (k + 1) C(N, k + 1) p^(k + 1) (1 - p)^(N - k), k = floor(N p)
    some = (nu > 0) & (nu < 1)  # all or nothing is drawn without an error
    p = jnp.where(some, nu, 0.5)
    logs = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k) + (k + 1) * jnp.log(p) + (n - k) * jnp.log1p(-p)
    return Floor(jnp.where(some, jnp.exp(logs), 0).sum() / n, jnp.sqrt((1 - (nu**2).sum()) / n))


@arrays(weights=POSITIVE)
def chi_squared(counts: Any, weights: Float[Array, " m"]) -> Float[Array, ""]:
    r"""$\sum_i (w_i - \nu_i)^2 / \nu_i$ from counts of N points, without bias.

    It is $\sum_i (n_i^2 - n_i) / (\nu_i N (N - 1)) - 1$, and may be a little below 0.

    Args:
        counts: (m,), at least 2 in all.
        weights: (m,), positive.

    Raises:
        ValueError: shapes that do not fit, negative counts or fewer than 2, or weights that are not positive.

    >>> float(chi_squared([3, 1], [0.5, 0.5]))
    0.0
    """
    n = real("counts", counts, weights.shape, low=0).astype(float)
    total = n.sum()
    if not isinstance(total, Tracer) and total < 2:
        raise ValueError(f"the counts sum to {float(total):g}, but at least 2 points are needed")
    return ((n**2 - n) / weights).sum() / (total * (total - 1)) - 1


def _targets(y: Any, weights: Any) -> tuple[Any, Any]:
    if isinstance(y, Tracer) or not hasattr(y, "dtype") or y.dtype.kind not in "fiub":  # float64 stays in NumPy
        y = real("y", y, finite=False)
    points: Any = y if isinstance(y, Tracer) else np.asarray(y, float)
    if points.ndim != 2 or len(points) < 2:
        raise ValueError(f"y has shape {points.shape}, but at least two points (m, d) are needed")
    if not isinstance(points, Tracer):
        if not np.isfinite(points).all():
            raise ValueError("y has values that are not finite")
        if len(np.unique(points, axis=0)) < len(points):
            raise ValueError("some points of y are equal: leave them out and add up their weights")
    m = len(points)
    nu: Any = (
        np.full(m, 1 / m) if weights is None else weights if isinstance(weights, Tracer) else np.asarray(weights, float)
    )
    if nu.shape != (m,):
        raise ValueError(f"the weights have shape {nu.shape}, but ({m},) is needed")
    if not isinstance(nu, Tracer):
        if not (np.isfinite(nu).all() and (nu > 0).all()):
            raise ValueError("the weights must be positive and finite")
        if abs(nu.sum() - 1) > 1e-6:
            raise ValueError(f"the weights sum to {nu.sum():.9g}, but they must sum to one: divide them by their sum")
    return points, nu / nu.sum()


def _column(y: Any) -> Any:
    """Points on a line as a table."""
    table = y if isinstance(y, Tracer | jax.Array) else np.asarray(y)
    return table[:, None] if table.ndim == 1 else table

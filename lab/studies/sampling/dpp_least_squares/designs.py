r"""Many replicates of five designs at all n/m at once.

The points of a design are drawn in ``MOST`` blocks of m. The first r blocks are the design of n = r m points: repetitions of
a projection DPP, independent points, and volume-rescaled sampling as one projection DPP followed by independent points. So one
draw serves every n/m, and the triangular factor of the least-squares problem grows block by block,

$$ \begin{pmatrix} R_{r-1} \\ \sqrt{W_r}\,[\Phi_r, f_r] \end{pmatrix} = Q R_r , $$

in O(m^3) a block, without normal equations. Designs of one draw share their randomness, so that they can be compared.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab import sampling
from lab.numerics import Method, Reason
from lab.sampling import least_squares, projection, rules
from lab.sampling.bases import Basis, Product, finite, index_set, product
from lab.sampling.families import FAMILIES, Legendre

from .data import FUNCTIONS

IID, IID_OPTIMAL, VOLUME, VOLUME_OPTIMAL, DPP = rules.NAMES
DESIGNS = (IID, VOLUME, IID_OPTIMAL, VOLUME_OPTIMAL, DPP)
MOST = 12
"""The largest n/m."""
KEPT = 20
"""Draws whose points are kept, fewer where a step has fewer."""
_NUMBERS = 4_000_000  # that one step holds
_BATCH = 100
_NODES = {2: 100, 3: 40}  # of the quadrature, a coordinate
_PANELS, _GAUSS = 100, 20  # and on a line, so that corners at 0 and jumps at 0.3 lie between panels


class Setting(eqx.Module):
    """The functions that one fits with, and what is fitted."""

    basis: Basis
    y: Any = None  # of a table
    formula: str = eqx.field(static=True, default="")

    def values(self, points: Any) -> Any:
        """f at points of the basis."""
        return FUNCTIONS[self.formula](points) if self.formula else self.y[points[:, 0]]


def basis_of(family: str, d: int, m: int, space: str) -> Product:
    """m functions of one variable, or in more the largest whole index set of at most m functions."""
    if d == 1:
        one = FAMILIES[family](m)
        return Product((one,), tuple((i,) for i in range(m)))
    best = product(family, d, 0, space)
    for degree in range(1, m + 1):
        size = len(index_set(FAMILIES[family].up_to(degree).degrees, d, degree, space))
        if size > m:
            break
        best = product(family, d, degree, space)
    return best


def features(x: Any, m: int) -> Any:
    """The first m products of Legendre polynomials in the columns, scaled to [-1, 1]: the constant, lines, then products."""
    low, high = x.min(axis=0), x.max(axis=0)
    scaled = (x - (low + high)[None] / 2) / jnp.where(high > low, (high - low) / 2, 1.0)[None]
    d, degree = x.shape[1], 1
    found = ((0,) * d, *(tuple(int(i == j) for i in range(d)) for j in range(d)))
    while len(found) < m:
        degree += 1
        found = index_set(range(degree + 1), d, degree, "total-degree")
    return Product((Legendre(degree + 1),) * d, found[:m])(scaled)


class Work(eqx.Module):
    """What a step needs."""

    setting: Setting
    truth: least_squares.Truth
    key: Any
    t: Any
    total: int = eqx.field(static=True)  # replicates

    @property
    def batch(self) -> int:
        """Replicates of a step."""
        m = self.setting.basis.m
        return max(1, min(_BATCH, self.total, _NUMBERS // (len(DESIGNS) * MOST * m * (m + 1))))


class Drawn(NamedTuple):
    """Filled replicate by replicate; NaN where there is none yet."""

    done: Any
    lambda_min: Any  # (design, n_over_m, draw)
    cond: Any
    err2: Any
    linear: Any  # (design, draw): the sum of |x|^2 over the first m points
    proposals: Any  # (draw,): of the first DPP
    points: Any  # (kept, design, MOST m, e) of the first draws
    weights: Any


class Points(NamedTuple):
    """The designs of one draw, at their largest n."""

    points: Any  # (design, MOST m, e), of the basis
    weights: Any  # (design, MOST m)
    proposals: Any


def points(key: Any, basis: Basis, t: Any) -> Points:
    """MOST m points of each design, and their weights."""
    m, n = basis.m, MOST * basis.m
    one, two, three, four = jax.random.split(key, 4)
    found = jax.vmap(lambda key: projection.draw(key, basis))(jax.random.split(one, MOST))
    dpp = found.points.reshape(n, -1)
    free = basis.draw(two, n)
    optimal = basis.draw_christoffel(three, n)
    mixed = jnp.where((jax.random.uniform(four, (n,)) < t)[:, None], optimal, free)
    first = dpp[:m]
    every = jnp.stack([free, jnp.concatenate([first, free[m:]]), mixed, jnp.concatenate([first, mixed[m:]]), dpp])
    k = jax.vmap(basis.christoffel)(every)
    share = jnp.stack([jnp.zeros_like(t), jnp.zeros_like(t), t, t, jnp.ones_like(t)])[:, None]
    return Points(every, 1 / ((1 - share) + share * k / m), found.proposals[0])


class Fits(NamedTuple):
    """Of one design at each n/m."""

    coefficients: Any  # (n_over_m, m)
    lambda_min: Any
    cond: Any


def fits(phi: Any, weights: Any, values: Any) -> Fits:
    """The least-squares fits of the first 1, 2, ... blocks."""
    m = phi.shape[1]
    rows = (jnp.sqrt(weights)[:, None] * jnp.concatenate([phi, values[:, None]], axis=1)).reshape(MOST, m, m + 1)

    def add(r, step):
        block, count = step
        r = jnp.linalg.qr(jnp.concatenate([r, block]), mode="r")
        sizes = jnp.linalg.svd(r[:m, :m], compute_uv=False)
        c = jax.scipy.linalg.solve_triangular(r[:m, :m], r[:m, m])
        return r, Fits(c, sizes[-1] ** 2 / (count * m), (sizes[0] / sizes[-1]) ** 2)

    return jax.lax.scan(add, jnp.zeros((m + 1, m + 1)), (rows, jnp.arange(1.0, MOST + 1)))[1]


def _init(work: Work) -> Drawn:
    n = -(-work.total // work.batch) * work.batch
    three = jnp.full((len(DESIGNS), MOST, n), jnp.nan, work.t.dtype)  # of a weak type the loop would compile twice
    shapes = jax.eval_shape(lambda: points(work.key, work.setting.basis, work.t))
    x, weights = (jnp.zeros((min(KEPT, work.batch), *s.shape), s.dtype) for s in (shapes.points, shapes.weights))
    return Drawn(jnp.int32(0), three, three, three, three[:, 0], three[0, 0], x, weights)


def _step(work: Work, state: Drawn) -> Drawn:
    basis = work.setting.basis

    def one(number):
        drawn = points(jax.random.fold_in(work.key, number), basis, work.t)

        def fitted(x, w):
            found = fits(basis(x), w, work.setting.values(x))
            err2 = work.truth.squared_error(found.coefficients)
            return found.lambda_min, found.cond, jnp.where(jnp.isfinite(err2), err2, jnp.inf)

        linear = (jax.vmap(basis.coordinates)(drawn.points[:, : basis.m]) ** 2).sum(axis=(1, 2))
        numbers = *jax.vmap(fitted)(drawn.points, drawn.weights), linear, drawn.proposals.astype(work.t.dtype)
        return numbers, drawn

    at = state.done * work.batch
    made, drawn = jax.vmap(one, out_axes=(-1, 0))(at + jnp.arange(work.batch))
    put = [
        jax.lax.dynamic_update_slice_in_dim(kept, new, at, axis=kept.ndim - 1)
        for kept, new in zip(state[1:6], made, strict=True)
    ]
    first = [
        jnp.where(state.done == 0, new[: len(kept)], kept)
        for kept, new in zip(state[6:], (drawn.points, drawn.weights), strict=True)
    ]
    return Drawn(state.done + 1, *put, *first)


def _done(work: Work, state: Drawn) -> Any:
    whole = state.done * work.batch >= work.total
    return jnp.where(whole, jnp.int32(Reason.CONVERGED), jnp.int32(Reason.RUNNING))


DRAW = Method(_init, _step, _done, lambda work, state: {"replicates": (state.done * work.batch).astype(float)})


def truth_of(setting: Setting) -> least_squares.Truth:
    """The projection of f; its last bits of error are none."""
    basis = setting.basis
    if isinstance(basis, Product) and basis.d == 1:
        x, w = np.polynomial.legendre.leggauss(_GAUSS)
        low, high = basis.families[0].bracket
        wide = (high - low) / _PANELS
        nodes = jnp.asarray((low + wide * (np.arange(_PANELS)[:, None] + (x + 1) / 2)).reshape(-1, 1))
        masses = basis.density(nodes) * jnp.asarray(np.tile(w * wide / 2, _PANELS))
    else:
        nodes, masses = basis.quadrature(_NODES[basis.d] if isinstance(basis, Product) else 0)
    phi, values = basis(nodes), setting.values(nodes)
    c = phi.T @ (masses * values)
    best = masses @ (values - phi @ c) ** 2
    return least_squares.Truth(c, jnp.where(best > 1e-26 * (masses @ values**2), best, 0.0))


def quantiles(values: Any, levels: Sequence[float]) -> Any:
    """Along the last axis, over what is not NaN; infinite values are the largest."""
    n = values.shape[-1]
    count = n - jnp.isnan(values).sum(axis=-1)
    ordered = jnp.sort(values, axis=-1)

    def at(level):
        place = level * jnp.maximum(count - 1, 0)
        low = jnp.floor(place).astype(int)
        pair = [jnp.take_along_axis(ordered, jnp.minimum(low + k, n - 1)[..., None], axis=-1)[..., 0] for k in (0, 1)]
        part = place - low
        return jnp.where(part < 1e-9, pair[0], (1 - part) * pair[0] + part * pair[1])

    return jnp.stack([at(level) for level in levels], axis=-1)


def estimates(setting: Setting, x: Any, weights: Any, used: Any, repeated: Any) -> Any:
    """The cross-validated squared error of a fit: over repetitions where ``repeated``, else over single points."""
    phi, values = setting.basis(x), setting.values(x)
    blocks, single = (
        least_squares.cross_validation(phi, weights, values, parts, used).value for parts in (MOST, x.shape[0])
    )
    return jnp.where(repeated, blocks, single)


class Thinned(NamedTuple):
    """Designs that reached the threshold, before and after points were deleted; NaN where too few did."""

    n_used: Any  # (thinned,)
    lambda_min: Any
    err2: Any
    estimate: Any
    before_err2: Any
    before_estimate: Any


def thinned(work: Work, lambda_min: Any, number: Any, r: Any, delta: Any, count: int) -> Thinned:
    """Of the replicates of design ``number`` at n/m = r, the first ``count`` that reach the threshold, thinned.

    Args:
        lambda_min: (draw,) of that design.
    """
    basis = work.setting.basis
    reached = jnp.nonzero(lambda_min >= 1 - delta, size=count, fill_value=-1)[0]

    def one(which):
        drawn = points(jax.random.fold_in(work.key, jnp.maximum(which, 0)), basis, work.t)
        x, w = drawn.points[number], drawn.weights[number]
        used = jnp.arange(x.shape[0]) < r * basis.m
        least = jnp.where(which >= 0, lambda_min[which], 0.0)  # 0: left as it is
        whole = rules.Design(x, w, used, least, jnp.asarray(1), jnp.asarray(0))
        fewer = sampling.thin(whole, basis, delta)
        phi, values = basis(x), work.setting.values(x)

        def judged(used, repeated):
            c = least_squares.fit(phi, w, values, used).coefficients
            return work.truth.squared_error(c), estimates(work.setting, x, w, used, repeated)

        before = judged(used, number == DESIGNS.index(DPP))
        after = judged(fewer.used, jnp.asarray(False))
        n = fewer.used.sum().astype(w.dtype)
        made = Thinned(n, fewer.lambda_min, *after, *before)
        return jax.tree.map(lambda value: jnp.where(which >= 0, value, jnp.nan), made)

    return jax.lax.map(one, reached)


def table_basis(x: Any, m: int) -> Basis:
    """Polynomials of the columns, orthonormal on the rows.

    Raises:
        ValueError: rows that are too few, or too alike, for m functions.
    """
    return finite(features(x, m), nodes=x)

"""What is looked at after training: exact thresholds, spectra along the way, the Hessian, and how balanced the layers are."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab import stability
from lab.numerics import Reason
from lab.numerics.jit import jit
from lab.stability import closed
from lab.stability.lanczos import ritz, tridiagonal
from lab.stability.models import Data
from lab.stability.moments import in_modes
from lab.stability.spectrum import Quadrature

from .data import DIAGONAL, TWO_LAYER
from .family import WAYS, Case, State, Work, last, noise_of, rebuilder, share, vector

ALL = 64
"""n k up to which thresholds are found for all batch sizes."""
ONE = 320
"""n k up to which they are found for the batch size that was asked for."""
CELLS = 256
"""Parameters up to which every entry of the Hessian is shown; means over blocks beyond."""

_STEPS = 28  # of Lanczos: LAPACK's eigenvalues of 30 rows and more wait for its threads
_CELL = 14  # of Lanczos for a cell of the diagram, which is a picture
_ETAS = 24  # columns of the diagram
_POOLED = 80  # cells a side of a Hessian that is pooled
_GRID = 256
_PROBES = 5
_UNITS = 400
_GRAM = 2000  # outputs of which the Gram matrix is made at the end


def batches(n: int) -> list[int]:
    """Powers of two up to n, and n."""
    return [2**i for i in range(n.bit_length()) if 2**i < n] + [n]


def moments(case: Case) -> tuple[int, ...]:
    """Frames whose spectra are looked at: as many as a second or so allows, the first and the last among them."""
    product = 5e-5 + 10 * case.n * case.size / 2e9
    count = int(np.clip(2.0 / (product * _PROBES * _STEPS * len(case.ways)), 2, 9))
    return tuple(sorted({round(at) for at in np.linspace(0, case.frames, count)}))


def edges(work: Work) -> tuple[int, ...]:
    """Of the arrays of parameters, as places in the vector."""
    return (0, *np.cumsum([size for _, size in work.case.arrays]).tolist())


def cuts(arrays: tuple[int, ...]) -> tuple[int, ...]:
    """Of the cells of the Hessian: every parameter, or a share of each array, at least one cell."""
    size = arrays[-1]
    if size <= CELLS:
        return tuple(range(size + 1))
    found = [0]
    for low, high in pairwise(arrays):
        count = min(high - low, max(1, round(_POOLED * (high - low) / size)))
        found += np.linspace(low, high, count + 1).round().astype(int)[1:].tolist()
    return tuple(found)


@jit
def look(work: Work, state: State, data: Data, eta: Array, beta: Array, key: Array) -> dict[str, Array]:
    """The results of a run, with a row for each of WAYS, NaN where there is none."""
    case = work.case
    told = _traces(work, state, data)
    at = state.runs[0].step[0, 0] // case.every
    ends = jnp.stack([vector(run) for run in state.runs])
    reached = jnp.arange(case.frames + 1) * case.stride <= at
    kept = jnp.where(reached[None, :, None], state.kept, ends[:, None])
    told |= _thresholds(work, data, ends, eta, beta) | _spectra(work, data, kept, key) | _matrix(work, data, ends[0])
    if case.model in (DIAGONAL, TWO_LAYER):
        rebuild = rebuilder(work)
        pairs = jax.vmap(jax.vmap(lambda v: jnp.stack(closed.imbalance(rebuild(v)), axis=1)))(kept)
        pairs = pairs[:, :, :_UNITS]
        first, second = pairs[..., 0], pairs[..., 1]
        told["pair"] = _rows(case, pairs)
        told["imbalance"] = _rows(case, jnp.abs(first - second).sum(axis=2) / (first + second).sum(axis=2))
    return told


def _rows(case: Case, values: Array) -> Array:
    at = np.array([WAYS.index(way) for way in case.ways])
    return jnp.full((len(WAYS), *values.shape[1:]), jnp.nan, values.dtype).at[at].set(values)


def _traces(work: Work, state: State, data: Data) -> dict[str, Array]:
    """Records along the way, and how all learning rates ended."""
    case = work.case
    names = {name: "path_norm" if name == "norm" else name for name in work.sweeping.groups[0].track}
    final = [last(work, run) for run in state.runs]
    told = {}
    for name, called in names.items():
        told[called] = _rows(case, jnp.stack([run.trace[name][0, 0] for run in state.runs]))
        told[f"final_{called}"] = _rows(case, jnp.stack([each[name] for each in final]))
    nothing = (data.y**2).sum() / len(data.y) / 2  # the loss of f = 0
    told["interpolated"] = (told["final_loss"] <= 1e-3 * nothing).astype(nothing.dtype)
    told["interpolated"] = jnp.where(_rows(case, jnp.ones((len(case.ways), 1))) == 1, told["interpolated"], jnp.nan)
    return told


def _thresholds(work: Work, data: Data, ends: Float[Array, "w p"], eta: Array, beta: Array) -> dict[str, Array]:
    case, rebuild = work.case, rebuilder(work)
    few = data.x[: max(1, _GRAM // case.outputs)]

    def gram(v: Array) -> tuple[Array, Array]:
        k = stability.gram(stability.call, rebuild(v), few)
        good = jnp.isfinite(k).all()
        return jnp.where(good, k, 0), good

    k, good = jax.lax.map(gram, ends)
    size = jax.vmap(lambda one: stability.sizes(one, case.outputs))(k)
    known = lambda values: jnp.where(good.reshape(-1, *(1,) * (values.ndim - 1)), values, jnp.nan)  # noqa: E731
    told = {
        "tr_end": _rows(case, known(size.trace)), "fro_end": _rows(case, known(size.frobenius)),
        "lmax_end": _rows(case, known(size.lambda_max)),
    }  # fmt: skip
    if case.n * case.outputs > ONE:
        return told
    own = jnp.asarray([noise_of(case, way) for way in case.ways])
    momentum = beta if case.momentum else None

    def here(pair):
        one, c = pair
        basis = stability.modes(one, case.outputs)
        star = stability.critical(basis, c, momentum, steps=_STEPS, tolerance=1e-5).value
        return star, stability.growth(basis, eta, c, momentum, steps=_STEPS, tolerance=1e-4).value

    star, rho = jax.lax.map(here, (k, own))
    told |= {"eta_star": _rows(case, known(star)), "rho": _rows(case, known(rho))}
    told["stable"] = jnp.where(jnp.isfinite(told["eta_star"]), (eta <= told["eta_star"]).astype(rho.dtype), jnp.nan)
    if case.n * case.outputs > ALL or case.momentum:
        return told
    c = jnp.asarray([[share(case.n, batch, drawn) for batch in batches(case.n)] for drawn in (True, False)])

    def curve(one):
        found = stability.critical(stability.modes(one, case.outputs), c, steps=_STEPS, tolerance=1e-5).value
        return found, stability.bounds(stability.sizes(one, case.outputs), c, case.outputs)

    star, bounds = jax.lax.map(curve, k)
    told["eta_star_B"] = _rows(case, known(star))
    told |= {f"bound_{name}": _rows(case, known(getattr(bounds, name))) for name in bounds._fields}
    return told | _diagram(case, k[0], good[0], star[0], c)


def _diagram(case: Case, k: Array, good: Array, star: Array, c: Array) -> dict[str, Array]:
    """rho over learning rates and batch sizes, at the first way's end, for batches as they were drawn."""
    row = 0 if case.sampling == "replacement" else 1
    finite = jnp.where(jnp.isfinite(star[row]), star[row], 1.0)
    etas = jnp.exp(jnp.linspace(jnp.log(finite.min() / 4), jnp.log(2.5 * finite.max()), _ETAS))
    basis = stability.modes(k, case.outputs)
    grid = jnp.meshgrid(etas, c[row], indexing="xy")
    start = jnp.diag((basis.values > 0).astype(k.dtype)).ravel()
    r = basis.values.size

    def cell(pair):
        def product(v):
            return in_modes(basis, v.reshape(r, r), pair[0], pair[1]).ravel()

        found = ritz(tridiagonal(product, start, _CELL))
        return jnp.where(found.valid, found.values, -jnp.inf).max()

    rho = jax.lax.map(cell, (grid[0].ravel(), grid[1].ravel())).reshape(grid[0].shape)
    return {"eta_grid": etas, "rho_map": jnp.where(good, rho, jnp.nan)}


def _loss(model: Any, x: Array, y: Array) -> Array:
    error = jax.vmap(model)(x) - y
    return (error**2).sum() / len(y) / 2


def _spectra(work: Work, data: Data, kept: Float[Array, "w f p"], key: Array) -> dict[str, Array]:
    case, rebuild = work.case, rebuilder(work)
    chosen = kept[:, np.array(moments(case))]
    ways, count, size = chosen.shape
    good = jnp.isfinite(chosen).all(axis=2)
    steps = min(_STEPS, size)

    def one(v):
        operator = stability.hessian(_loss, rebuild(v), data.x, data.y)
        found = stability.quadrature(key, operator, probes=_PROBES, steps=steps)
        return found.nodes, found.weights

    nodes, weights = jax.lax.map(one, jnp.where(good[..., None], chosen, 0).reshape(-1, size))
    real = weights > 0
    low, high = jnp.where(real, nodes, 0.0).min(), jnp.where(real, nodes, 0.0).max()
    width = 0.015 * jnp.maximum(high - low, 1e-12)
    grid = jnp.linspace(low - 4 * width, high + 4 * width, _GRID)

    def smooth(pair):
        of = Quadrature(pair[0], pair[1], size, Reason.CONVERGED, None)
        return stability.density(of, grid, width)

    found = jax.lax.map(smooth, (nodes, weights))
    shaped = lambda values: _rows(  # noqa: E731
        case, jnp.where(good[..., None], values.reshape(ways, count, -1), jnp.nan)
    )
    top = jnp.where(real, nodes, -jnp.inf).max(axis=(1, 2))
    return {
        "density": shaped(found.density), "density_error": shaped(found.error), "eigenvalue": grid,
        "sharpness": shaped(top)[..., 0],
    }  # fmt: skip


def _matrix(work: Work, data: Data, end: Float[Array, " p"]) -> dict[str, Array]:
    arrays = edges(work)
    cells = cuts(arrays)
    operator = stability.hessian(_loss, rebuilder(work)(jnp.where(jnp.isfinite(end), end, 0)), data.x, data.y)
    found = stability.pooled(operator, cells)
    places = jnp.searchsorted(jnp.asarray(cells), jnp.asarray(arrays))
    return {"hessian": jnp.where(jnp.isfinite(end).all(), found, jnp.nan), "layer_edge": places}

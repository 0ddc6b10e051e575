"""The Hessian of the training loss along a comparison: its spectrum at some of the frames, and a picture of it at the end."""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Reason
from lab.stability.gradients import Tree
from lab.stability.hessian import hessian, pooled
from lab.stability.spectrum import Quadrature, density, quadrature
from lab.studies.stability.trajectories import Comparison, Planned

CELLS = 256
"""Parameters up to which every entry of the Hessian is shown; means over blocks beyond."""

_STEPS = 28  # of Lanczos: LAPACK's eigenvalues of 30 rows and more wait for its threads
_PROBES = 5
_GRID = 256
_POOLED = 80  # cells a side of a Hessian that is pooled


def loss(model: Tree, x: Array, y: Array) -> Float[Array, ""]:
    r"""$L = \frac1{2n} \sum_i |f(x_i) - y_i|^2$."""
    error = jax.vmap(model)(x) - y
    return (error**2).sum() / len(y) / 2


def moments(experiment: Planned) -> tuple[int, ...]:
    """Frames whose spectra are found: as many as a second or so allows, the first and the last among them."""
    product = 5e-5 + 10 * experiment.n * experiment.size / 2e9  # seconds
    count = int(np.clip(2.0 / (product * _PROBES * _STEPS * len(experiment.ways)), 2, 9))
    return tuple(sorted({round(frame) for frame in np.linspace(0, experiment.frames, count)}))


class Spectra(NamedTuple):
    """Of the Hessian of the loss, at ``moments``."""

    eigenvalues: Float[Array, " bin"]  # one grid for all
    density: Float[Array, "way moment bin"]  # it integrates to 1
    error: Float[Array, "way moment bin"]  # standard error over probes
    sharpness: Float[Array, "way moment"]  # the largest eigenvalue


def spectra(problem: Comparison, kept: Float[Array, "way frame size"], key: PRNGKeyArray) -> Spectra:
    """By stochastic Lanczos quadrature; NaN where weights are not finite.

    Args:
        kept: weights at the frames.
        key: of the probes, the same at all moments.
    """
    data, rebuild = problem.data, problem.rebuild
    chosen = kept[:, np.array(moments(problem.experiment))]
    ways, count, size = chosen.shape
    finite = jnp.isfinite(chosen).all(axis=2)
    steps = min(_STEPS, size)

    def probed(vector):
        found = quadrature(key, hessian(loss, rebuild(vector), data.x, data.y), probes=_PROBES, steps=steps)
        return found.nodes, found.weights

    nodes, weights = jax.lax.map(probed, jnp.where(finite[..., None], chosen, 0).reshape(-1, size))
    real = weights > 0
    low, high = jnp.where(real, nodes, 0.0).min(), jnp.where(real, nodes, 0.0).max()
    width = 0.015 * jnp.maximum(high - low, 1e-12)
    grid = jnp.linspace(low - 4 * width, high + 4 * width, _GRID)

    def smooth(pair):
        return density(Quadrature(pair[0], pair[1], size, Reason.CONVERGED, None), grid, width)

    def known(values: Array) -> Array:
        return jnp.where(finite[..., None], values.reshape(ways, count, -1), jnp.nan)

    found = jax.lax.map(smooth, (nodes, weights))
    top = jnp.where(real, nodes, -jnp.inf).max(axis=(1, 2))
    return Spectra(grid, known(found.density), known(found.error), known(top)[..., 0])


def cuts(edges: tuple[int, ...]) -> tuple[int, ...]:
    """Between the cells of a picture of the Hessian: every parameter, or a share of each array, at least one cell.

    Args:
        edges: where the arrays of parameters begin and end, from 0.
    """
    size = edges[-1]
    if size <= CELLS:
        return tuple(range(size + 1))
    found = [0]
    for low, high in pairwise(edges):
        count = min(high - low, max(1, round(_POOLED * (high - low) / size)))
        found += np.linspace(low, high, count + 1).round().astype(int)[1:].tolist()
    return tuple(found)


class Cells(NamedTuple):
    """The Hessian at the end of the first method; NaN where its weights are not finite."""

    hessian: Float[Array, "row column"]  # entries, or their means over the blocks between ``cuts``
    edges: Int[Array, " edge"]  # cells at which arrays of parameters begin and end


def cells(problem: Comparison, end: Float[Array, " size"]) -> Cells:
    """A product with the Hessian for each row of cells.

    Args:
        end: weights.
    """
    edges = problem.experiment.edges
    between = cuts(edges)
    model = problem.rebuild(jnp.where(jnp.isfinite(end), end, 0))
    found = pooled(hessian(loss, model, problem.data.x, problem.data.y), between)
    places = jnp.searchsorted(jnp.asarray(between), jnp.asarray(edges))
    return Cells(jnp.where(jnp.isfinite(end).all(), found, jnp.nan), places)

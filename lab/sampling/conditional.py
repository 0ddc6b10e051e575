"""The law of a projection DPP point by point, as densities on a line, in the plane, or on the rows of a table."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from lab.sampling.bases import Basis, Product
from lab.sampling.projection import conditional_densities

_LINE, _SIDE = 401, 48  # places on a line, and on a side of the plane


class Places(NamedTuple):
    """Where densities are looked at: a line, a plane, or the rows of a table."""

    grid: Float[Array, "place axis"]  # of one or two coordinates
    points: Num[Array, "place d"]  # of the basis: in more variables a slice through the middle of the others
    layers: Num[Array, "layer place d"]  # of the basis: what is integrated over the coordinates that are not shown
    masses: Float[Array, " layer"]


def places(basis: Basis, rows: Float[Array, "N axis"]) -> Places:
    """Places to look at: midpoints of a line or of the plane, where there is mass; the ``rows`` of a finite basis.

    Args:
        rows: where the points of a finite basis are shown; read for such a basis only.
    """
    if not isinstance(basis, Product):
        points = jnp.arange(rows.shape[0])[:, None]
        return Places(rows, points, points[None], jnp.ones(1))
    low, high = basis.families[0].bracket
    edge = 2 * max(family.size for family in basis.families) ** 0.5 + 1
    low, high = max(low, -edge), min(high, edge)  # of a normal law only where the functions live
    if basis.d == 1:
        grid = ((jnp.arange(_LINE) + 0.5) / _LINE * (high - low) + low)[:, None]
        return Places(grid, grid, grid[None], jnp.ones(1))
    middle = (jnp.arange(_SIDE) + 0.5) / _SIDE * (high - low) + low
    grid = jnp.stack(jnp.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    if basis.d == 2:
        return Places(grid, grid, grid[None], jnp.ones(1))
    if basis.d > 3:
        raise ValueError(f"the basis has {basis.d} variables, but densities are looked at in at most 3")
    nodes, masses = map(jnp.asarray, basis.families[2].gauss(basis.families[2].size))
    count = len(masses)
    plane = jnp.broadcast_to(grid, (count, *grid.shape))
    layers = jnp.concatenate([plane, jnp.broadcast_to(nodes[:, None, None], (count, len(grid), 1))], axis=2)
    third = jnp.full((len(grid), 1), (low + high) / 2)
    return Places(grid, jnp.concatenate([grid, third], axis=1), layers, masses)


class Densities(NamedTuple):
    """For Lebesgue measure on a line or the plane, of the coordinates that are shown; on a table the masses of rows."""

    law: Float[Array, " place"]  # the reference law
    christoffel: Float[Array, " place"]  # of the Christoffel law: of the first point
    conditional: Float[Array, "step place"]  # of the next point, given the points so far


def densities(basis: Basis, points: Num[Array, "m d"], at: Places) -> Densities:
    """The densities of the points of a projection DPP, each given those before it."""

    def layer(x):
        return conditional_densities(basis, points, x)

    chain = jnp.tensordot(at.masses, jax.vmap(layer)(at.layers), 1)
    if isinstance(basis, Product):
        shown = basis.families[: at.grid.shape[1]]
        law = jnp.stack([family.density(at.grid[:, i]) for i, family in enumerate(shown)]).prod(axis=0)
    else:
        law = basis.quadrature().masses
    return Densities(law, chain[0] * law, chain * law[None, :])

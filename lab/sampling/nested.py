r"""Five designs at all n/m at once, of one draw.

The points of a design are drawn in ``MOST`` blocks of m. The first r blocks are the design of n = r m points: repetitions of
a projection DPP, independent points, and volume-rescaled sampling as one projection DPP followed by independent points. So one
draw serves every n/m, and the triangular factor of the least-squares problem grows block by block,

$$ \begin{pmatrix} R_{r-1} \\ \sqrt{W_r}\,[\Phi_r, f_r] \end{pmatrix} = Q R_r , $$

in O(m^3) a block, without normal equations. Designs of one draw share their randomness, so that they can be compared.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from lab.numerics import random
from lab.sampling import least_squares, projection, rules
from lab.sampling.bases import Basis

IID, IID_OPTIMAL, VOLUME, VOLUME_OPTIMAL, DPP = rules.NAMES
DESIGNS = (IID, VOLUME, IID_OPTIMAL, VOLUME_OPTIMAL, DPP)
"""In the order of every axis ``design``."""
MOST = 12
"""The largest n/m."""


class NestedDesigns(NamedTuple):
    """The five designs of one draw, at their largest n, which is ``MOST`` m."""

    points: Num[Array, "design n e"]  # of the basis
    weights: Float[Array, "design n"]
    proposals: Int[Array, ""]  # points that were drawn for the first projection DPP


def draw(key: PRNGKeyArray, basis: Basis, t: Float[Array, ""]) -> NestedDesigns:
    r"""Draw all five. ``t`` is the share of the Christoffel law in what is independent and not of $\mu$."""
    m, n = basis.m, MOST * basis.m
    one, two, three, four = jax.random.split(key, 4)
    repeated = jax.vmap(lambda key: projection.draw(key, basis))(jax.random.split(one, MOST))
    dpp = repeated.points.reshape(n, -1)
    free = basis.draw(two, n)
    optimal = basis.draw_christoffel(three, n)
    mixed = jnp.where((random.uniform(four, (n,)) < t)[:, None], optimal, free)
    first = dpp[:m]
    points = jnp.stack([free, jnp.concatenate([first, free[m:]]), mixed, jnp.concatenate([first, mixed[m:]]), dpp])
    k = jax.vmap(basis.christoffel)(points)
    share = jnp.stack([jnp.zeros_like(t), jnp.zeros_like(t), t, t, jnp.ones_like(t)])[:, None]
    return NestedDesigns(points, 1 / ((1 - share) + share * k / m), repeated.proposals[0])


class NestedFits(NamedTuple):
    """Of one design at each n/m = 1, ..., ``MOST``."""

    coefficients: Float[Array, "n_over_m m"]
    lambda_min: Float[Array, " n_over_m"]  # of G
    cond: Float[Array, " n_over_m"]


def fits(phi: Float[Array, "n m"], weights: Float[Array, " n"], values: Float[Array, " n"]) -> NestedFits:
    """The least-squares fits of the first 1, 2, ..., ``MOST`` blocks of m points. Time O(n m^2)."""
    m = phi.shape[1]
    rows = (jnp.sqrt(weights)[:, None] * jnp.concatenate([phi, values[:, None]], axis=1)).reshape(MOST, m, m + 1)

    def add(r, step):
        block, count = step
        r = jnp.linalg.qr(jnp.concatenate([r, block]), mode="r")
        sizes = jnp.linalg.svd(r[:m, :m], compute_uv=False)
        c = jax.scipy.linalg.solve_triangular(r[:m, :m], r[:m, m])
        return r, NestedFits(c, sizes[-1] ** 2 / (count * m), (sizes[0] / sizes[-1]) ** 2)

    return jax.lax.scan(add, jnp.zeros((m + 1, m + 1)), (rows, jnp.arange(1.0, MOST + 1)))[1]


def estimate(
    phi: Float[Array, "n m"],
    weights: Float[Array, " n"],
    values: Float[Array, " n"],
    used: Bool[Array, " n"],
    repeated: Bool[Array, ""],
) -> Float[Array, ""]:
    """The cross-validated squared error of a fit: over the ``MOST`` blocks where they are ``repeated``, else over points."""
    blocks, single = (
        least_squares.cross_validation(phi, weights, values, parts, used).value for parts in (MOST, phi.shape[0])
    )
    return jnp.where(repeated, blocks, single)

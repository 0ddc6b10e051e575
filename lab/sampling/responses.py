r"""What a least-squares fit is asked for: a function, or the values on the rows of a table, and its best approximation."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from lab.sampling.bases import Basis, Product
from lab.sampling.least_squares import Truth, project

_NODES = {2: 100, 3: 40}  # of the quadrature, a coordinate
_PANELS, _GAUSS = 100, 20  # and on a line, so that corners at 0 and jumps at 0.3 lie between panels


def _squared(x: Any) -> Any:
    return (x**2).sum(axis=1)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "runge": lambda x: 1 / (1 + 25 * _squared(x)),
    "distance": lambda x: jnp.sqrt(_squared(x)),
    "bell": lambda x: 1 / (1 + _squared(x)),
    "waves": lambda x: jnp.exp(jnp.sin(2 * jnp.pi * x).sum(axis=1)),
    "jump": lambda x: jnp.where(x.sum(axis=1) > 0.3, 1.0, 0.0),
    "ridge": lambda x: jnp.tanh(3 * x.sum(axis=1)),
    "cubic": lambda x: (x**3 - x).sum(axis=1),
}
"""From coordinates (N, d) to values (N,). The names are those of ``lab.datasets``, of kind ``response``."""


class Response(eqx.Module):
    """A basis, and what is fitted with it: ``rows``, its values on the points of a finite basis, or a ``function``."""

    basis: Basis
    rows: Float[Array, " N"] | None = None
    function: Callable[[Array], Array] | None = eqx.field(static=True, default=None)  # of coordinates (n, d)

    def __check_init__(self):
        if (self.rows is None) == (self.function is None):
            raise ValueError("a response is the values on the rows of a table or a function: give one of them")

    def __call__(self, points: Num[Array, "n d"]) -> Float[Array, " n"]:
        """f at points of the basis."""
        if self.function is not None:
            return self.function(self.basis.coordinates(points))
        assert self.rows is not None
        return self.rows[points[:, 0]]

    def truth(self) -> Truth:
        r"""The projection $Pf$ and $\|f - Pf\|^2$, which is 0 below 1e-26 of $\|f\|^2$: its last bits are rounding.

        On a line by Gauss' rule on each of 100 panels, in more variables by that of the law, on a table by its rows.
        """
        if isinstance(self.basis, Product) and self.basis.d == 1:
            nodes, masses = _panels(self.basis)
        else:
            nodes, masses = self.basis.quadrature(_NODES[self.basis.d] if isinstance(self.basis, Product) else 0)
        values = self(nodes)
        found = project(self.basis(nodes), masses, values)
        return found._replace(best=jnp.where(found.best > 1e-26 * (masses @ values**2), found.best, 0.0))


def _panels(basis: Product) -> tuple[Float[Array, "n 1"], Float[Array, " n"]]:
    """Nodes and masses of a law on the line."""
    x, w = np.polynomial.legendre.leggauss(_GAUSS)
    low, high = basis.families[0].bracket
    wide = (high - low) / _PANELS
    nodes = jnp.asarray((low + wide * (np.arange(_PANELS)[:, None] + (x + 1) / 2)).reshape(-1, 1))
    return nodes, basis.density(nodes) * jnp.asarray(np.tile(w * wide / 2, _PANELS))

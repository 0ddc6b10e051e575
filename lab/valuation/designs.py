r"""Mixtures of sources: points of the simplex $\{p \ge 0, \sum_i p_i = 1\}$, and which of them are tried."""

from itertools import combinations
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics import arguments
from lab.numerics.differentiation import refuse_derivative


def mixtures(p: Any, sources: int | None = None) -> Any:
    r"""Shares as an array, one mixture a row: points of $\{p \ge 0, \sum_i p_i = 1\}$. One alone becomes a row.

    Args:
        p: (k, sources) or (sources,). Traced values are not checked.
        sources: how many there must be; any number when omitted.

    Returns:
        the mixtures (k, sources).

    Raises:
        ValueError: shares that are negative, do not sum to 1 (1e-6), or are of another number of sources.

    Source:
        Kang et al. (2023).

    Examples:
        >>> from lab import valuation
        >>> valuation.mixtures([0.25, 0.75])
        array([[0.25, 0.75]])
    """
    given = jnp.atleast_2d(p) if isinstance(p, Tracer) else np.atleast_2d(np.asarray(p, float))
    if given.ndim != 2 or 0 in given.shape or (sources is not None and given.shape[1] != sources):
        needed = "shares" if sources is None else f"{sources} shares, one for each source,"
        raise ValueError(f"the mixtures have shape {np.shape(p)}, but rows of {needed} are needed")
    if isinstance(given, Tracer):
        return given
    wrong = ~np.isfinite(given).all(axis=1) | (given < 0).any(axis=1) | (np.abs(given.sum(axis=1) - 1) > 1e-6)
    if wrong.any():
        first = given[wrong][0].tolist()
        raise ValueError(f"a mixture is {first}, but shares of at least 0 with sum 1 are needed: divide by their sum")
    return given


def simplex_grid(sources: int, steps: int) -> Float[np.ndarray, "k sources"]:
    r"""All mixtures whose shares are multiples of 1/steps, $\binom{steps + m - 1}{m - 1}$ of them, the first share fastest.

    Args:
        sources: m, at least 1.
        steps: at least 1.

    Returns:
        the mixtures (k, sources).

    Raises:
        ValueError: fewer than one source or one step.

    Source:
        Kang et al. (2023), of the mixtures that are tried.

    Examples:
        >>> from lab import valuation
        >>> valuation.simplex_grid(3, 10).shape
        (66, 3)
    """
    sources, steps = arguments.whole("sources", sources, 1), arguments.whole("steps", steps, 1)
    places = steps + sources - 1
    # the number of rows is stated, since one source has no bar
    bars = np.array(list(combinations(range(places), sources - 1)), int).reshape(comb(places, sources - 1), sources - 1)
    edges = np.c_[np.full(len(bars), -1), bars, np.full(len(bars), places)]
    return (np.diff(edges, axis=1) - 1)[:, ::-1] / steps


def dirichlet(key: Array, count: int, sources: int, concentration: ArrayLike = 1.0) -> Float[Array, "count sources"]:
    r"""Random mixtures, of density $\propto \prod_i p_i^{\alpha - 1}$: uniform on the simplex at concentration 1.

    Args:
        key: of the draws.
        count: how many.
        sources: how many shares each has.
        concentration: alpha, above 0; above 1 nearer to equal shares.

    Returns:
        the mixtures (count, sources). They are drawn by rejection: without derivative.

    Raises:
        ValueError: no mixtures, no sources, or a concentration that is not positive.

    Source:
        Johnson, Kotz and Balakrishnan, Continuous Multivariate Distributions, on the Dirichlet distribution.

    Examples:
        >>> import jax
        >>> import numpy as np
        >>> from lab import valuation
        >>> p = valuation.dirichlet(jax.random.key(0), 5, 3)
        >>> p.shape, bool(np.allclose(p.sum(axis=1), 1))
        ((5, 3), True)
    """
    count, sources = arguments.whole("count", count, 1), arguments.whole("sources", sources, 1)
    alpha = arguments.real("concentration", concentration, (), low=0, strict=True)
    alpha = refuse_derivative(alpha, "mixtures are drawn by rejection: lab.valuation.dirichlet has no derivative")
    return jax.random.dirichlet(key, jnp.full(sources, alpha), (count,))

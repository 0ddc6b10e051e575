r"""What is asked of the marginals of a plan, beside the default: that both hold."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

_FEW = 512  # columns up to which a Newton step, O(m n^2 + n^3), beats the hundreds of scaling steps that it saves


class Unbalanced(NamedTuple):
    r"""Marginals that may be missed at the price $\sum_i \kappa_i \mathrm{KL}((T1)_i \mid a_i) +
    \sum_j \lambda_j \mathrm{KL}((T^\top 1)_j \mid b_j)$; see ``lab.ot.unbalanced``.

    Weights are in units of cost, one number or one for each row or column; ``inf`` makes the marginal hold.
    """

    rows: ArrayLike = np.inf
    columns: ArrayLike = np.inf


class Partial(NamedTuple):
    r"""A share $\rho \in (0, 1]$ of the mass, the cheapest first, the columns tied to $\rho b$ by
    $\lambda\,\mathrm{KL}$, exactly where $\lambda = \infty$; see ``lab.ot.partial``."""

    rho: ArrayLike
    lam: ArrayLike = np.inf


def choose(columns: int) -> tuple[str, str]:
    """The method for so many columns, and why."""
    if columns <= _FEW:
        return "newton", f"up to {_FEW} columns a few Newton steps are faster than hundreds of scaling steps"
    return "scaling", f"beyond {_FEW} columns a Newton step costs more than the scaling steps that it saves"

r"""Entropic partial transport: a share of the mass, the cheapest first, towards marginals of given or flexible sizes.

$$ \min_{T \ge 0} \langle T, C\rangle + \lambda\, \mathrm{KL}(T^\top 1 \mid \rho\, b) + \varepsilon\, h([T, \xi])
   \quad \text{subject to} \quad \xi = a - T1 \ge 0, \quad 1^\top T 1 = \rho\, 1^\top a . $$

A virtual column of cost 0 takes what is left, $\xi$: with it this is ``unbalanced`` transport whose rows hold, whose
columns have weight $\lambda$ and prior $\rho b$, and whose last column has weight $\infty$ and mass $(1 - \rho) 1^\top a$.
At the optimum a row is used by a soft threshold on how well it fits,

$$ w_i = \tfrac{1}{a_i} \sum_k T_{ik} = \mathrm{sigmoid}\Big(\log \sum_k e^{(g_k - C_{ik})/\varepsilon}
   - g_\xi/\varepsilon\Big), $$

whose level $g_\xi$ is such that the mean of $w$ is $\rho$. At $\rho = 1$ the virtual column is gone: transport with one
relaxed marginal, and at $\lambda = \infty$ too balanced transport.

Source: Zhang, Ren, He, P2OT: Progressive Partial Optimal Transport for Deep Imbalanced Clustering, ICLR 2024.
"""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array

from lab.choices import chosen
from lab.numerics import Loop, pure
from lab.numerics.jit import jit
from lab.ot import unbalanced
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic
from lab.ot.unbalanced import Relaxed


@chosen
def solve(
    problem: Problem,
    regularizer: Entropic,
    *,
    rho: ArrayLike,
    lam: ArrayLike = np.inf,
    method: unbalanced.Name = "newton",
    tolerance: ArrayLike | None = None,
    max_iterations: int | None = None,
    init: Relaxed | ArrayLike | None = None,
    loop: Loop = pure,
) -> Relaxed:
    r"""Solve entropic partial transport: a share $\rho$ of the mass moves, the cheapest first.

    $$ \min_{T \ge 0} \langle T, C\rangle + \lambda\, \mathrm{KL}(T^\top 1 \mid \rho\, b) + \varepsilon\, h([T, \xi])
       \quad \text{subject to} \quad \xi = a - T1 \ge 0, \quad 1^\top T 1 = \rho\, 1^\top a $$

    The answer has ``slack``, the potential of the virtual column (0 at rho = 1, where there is none). Its ``column_error``
    counts that column too, so that it bounds the error of the transported mass. The rows hold: T 1 <= a.

    Args:
        problem: balanced, as from ``lab.ot.problem``: b is the prior of the column masses, scaled by rho. In a ``Problem``
            made by hand a mass of 0 marks a row or column as absent (padding), without mass or gradient.
        regularizer: ``Entropic(epsilon)``, traced; the entropy counts the virtual column.
        rho: share of the mass that is transported, in (0, 1]; traced.
        lam: positive weight of the penalty on the column masses, one number or one for each column, in units of cost;
            ``inf`` (default) makes them rho b exactly. Traced.
        method: "newton" or "scaling", as in ``unbalanced.solve``.
        tolerance: of the marginals, as in ``unbalanced.solve``.
        max_iterations: static, as in ``unbalanced.solve``.
        init: the answer to a neighbouring problem, or the potentials of the columns and of the virtual one, (n + 1,).
        loop: ``lab.numerics.pure`` or a ``lab.numerics.Chunked``.

    Returns:
        a ``Relaxed``, whose ``plan()`` is (m, n), without the virtual column.

    Raises:
        ValueError: an argument outside what is allowed.
        TypeError: a problem or regularizer of another type.

    Source:
        Zhang, Ren, He, P2OT: Progressive Partial Optimal Transport for Deep Imbalanced Clustering, ICLR 2024.

    Examples:
        >>> from lab import ot
        >>> p = ot.problem([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> found = ot.partial.solve(p, ot.Entropic(0.01), rho=2 / 3)
        >>> found.plan().sum(axis=1).round(6).tolist()  # the third source is left out
        [0.333333, 0.333333, 0.0]
    """
    unbalanced.check(problem, regularizer, tolerance, max_iterations)
    check(rho)
    if isinstance(init, Relaxed):
        init = jnp.append(init.beta, 0 if init.slack is None else init.slack)
    inverse = unbalanced.inverse("lam", lam, problem.b.shape[0], problem.cost.dtype)
    found = unbalanced.run(
        _terms(problem, rho, regularizer.gamma, inverse), init, method, tolerance, max_iterations, loop
    )
    beta, slack = _parted(found.beta)
    return replace(found, problem=problem, beta=beta, slack=slack, near=None)


@jit
def _terms(problem: Problem, rho: Any, gamma: Any, inverse: Array) -> unbalanced.Terms:
    dtype = problem.cost.dtype
    whole = virtual(problem, jnp.asarray(rho, dtype))
    return unbalanced.Terms(whole, jnp.asarray(gamma, dtype), jnp.zeros_like(problem.a), jnp.append(inverse, 0))


_parted = jit(lambda beta: (beta[:-1], beta[-1]))


def check(rho: Any) -> None:
    """Refuse a share of the mass that is none."""
    if not isinstance(rho, Tracer) and not (np.ndim(rho) == 0 and 0 < float(np.asarray(rho)) <= 1):
        raise ValueError(f"rho = {rho}, but the transported share of the mass must lie in (0, 1]")


def virtual(problem: Problem, rho: Array) -> Problem:
    """The problem with the virtual column last; at rho = 1 its mass is 0, and it is absent."""
    column = jnp.zeros_like(problem.a)[:, None]
    masses = jnp.append(rho * problem.b, (1 - rho) * problem.a.sum())
    return Problem(jnp.concatenate([problem.cost, column], axis=1), problem.a, masses)


def row_weights(solution: Relaxed) -> Any:
    """The share w of each row's mass that is transported, (m,), in [0, 1]; 0 for absent rows."""
    a = solution.problem.a
    return jnp.where(a > 0, solution.plan().sum(axis=1) / jnp.where(a > 0, a, 1), 0)

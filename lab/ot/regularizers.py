r"""Column-separable regularizers $\Omega$ and their conjugates, for all columns of a plan at once.

$$ \Omega^*_+(s) = \max_{t \ge 0} s^\top t - \Omega(t), \qquad
   \Omega^*_b(s) = \max_{t \ge 0,\; 1^\top t = b} s^\top t - \Omega(t) . $$

A regularizer gives the maximisers; the values follow by substitution. Strengths, and k, are traced: one
compiled program serves every value of them.
"""

import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab import precision
from lab.numerics.projections import share, simplex, sparse_simplex
from lab.numerics.select import largest
from lab.ot.geometry import Cloud, log_mass
from lab.ot.problem import Problem


class Entropic(NamedTuple):
    r"""$\Omega(t) = \gamma \sum_i t_i \log t_i$, so that Sinkhorn at $\varepsilon = \gamma$ solves it.

    $\nabla\Omega^*_+(s) = e^{s/\gamma - 1}$ and $\nabla\Omega^*_b(s) = b\,\mathrm{softmax}(s/\gamma)$: dense plans.
    """

    gamma: ArrayLike

    def penalty(self, t):
        return self.gamma * jnp.where(t > 0, t * jnp.log(jnp.where(t > 0, t, 1.0)), 0.0).sum(axis=0)

    def relaxed_penalty(self, t):
        return self.penalty(t)

    def maximizer(self, s):
        return jnp.exp(self._scaled(s) - 1)

    def column_maximizer(self, s, b, within: ArrayLike = 0.0):
        z = self._scaled(s)
        log_sum = jax.nn.logsumexp(z, axis=0)
        t = b[None, :] * jnp.exp(z - log_sum[None, :])
        return t, self.gamma * (log_mass(b) - log_sum + 1)

    def _scaled(self, s):
        """Scores over gamma; those of a row without mass are minus infinity, and have no derivative."""
        there = s > -jnp.inf
        return jnp.where(there, jnp.where(there, s, 0.0) / self.gamma, -jnp.inf)

    def inverse_curvature(self, t):
        return t / self.gamma

    def ties(self, scores, t, within):
        return None

    def rescaled(self, cost_scale, mass):
        return Entropic(self.gamma / cost_scale)

    def shift(self, mass: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.asarray(self.gamma) * jnp.log(mass)  # the plan is exponential in the potentials

    def cast(self, dtype: Any) -> "Entropic":
        return Entropic(jnp.asarray(self.gamma, dtype))

    def limited(self, side: int) -> "Entropic":
        return self

    def reachable(self, tolerance: float, problem: Problem | Cloud) -> Float[Array, "*batch"]:
        r"""The given one (in float32 1e-5), or what the rounding of scores leaves of a plan.

        $e^{(\alpha + \beta - c) / \varepsilon}$ has a relative error of half the machine epsilon u times
        $|\alpha| + |\beta| + |c|$, and what their sums round, over $\varepsilon$: for both marginals
        $4 u \max |c| / \varepsilon$ is allowed, but not above 1e-3.
        """
        if isinstance(problem, Cloud):
            sides = jnp.maximum(problem.x.max(0) - problem.y.min(0), problem.y.max(0) - problem.x.min(0))
            most = problem.scale * jnp.linalg.norm(sides, problem.norm) ** problem.power
        else:
            there = (problem.a > 0)[:, None] & (problem.b > 0)[None, :]
            most = jnp.where(there, jnp.abs(problem.cost), 0).max()
        unit = jnp.finfo(most.dtype).eps
        return jnp.clip(4 * unit * most / self.gamma, precision.reachable(tolerance, most.dtype), 1e-3)

    def check(self, side: int, name: str) -> None:
        _check_gamma(self.gamma)

    def check_rounding(self, problem: Problem) -> None:
        _check_rounding("gamma", self.gamma, 1.0, problem)


class Quadratic(NamedTuple):
    r"""$\Omega(t) = \frac{\gamma}{2}\|t\|^2$: smooth and sparse (Blondel, Seguy, Rolet, AISTATS 2018).

    $\nabla\Omega^*_+(s) = [s]_+/\gamma$ and $\nabla\Omega^*_b(s) = [s/\gamma - \theta]_+$ with $\beta = -\gamma\theta$.

    $\gamma$ is in units of cost over mass, and is felt as $\gamma/n$ where masses are about 1/n: between 500 points and 500 in
    the plane, at a transport cost of 5, $\gamma = 1$ leaves 2 sources to a target, $\gamma = 50$ five.
    """

    gamma: ArrayLike

    def penalty(self, t):
        return self.gamma / 2 * (t * t).sum(axis=0)

    def relaxed_penalty(self, t):
        return self.penalty(t)

    def maximizer(self, s):
        return jnp.maximum(s, 0.0) / self.gamma

    def column_maximizer(self, s, b, within: ArrayLike = 0.0):
        t, theta = simplex(s / self.gamma, b)
        return t, jnp.negative(self.gamma) * theta

    def inverse_curvature(self, t):
        return (t > 0) / self.gamma

    def ties(self, scores, t, within):
        return None

    def rescaled(self, cost_scale, mass):
        return Quadratic(self.gamma * mass / cost_scale)

    def shift(self, mass: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.zeros_like(mass)

    def cast(self, dtype: Any) -> "Quadratic":
        return Quadratic(jnp.asarray(self.gamma, dtype))

    def limited(self, side: int) -> "Quadratic":
        return self

    def reachable(self, tolerance: float, problem: Problem | Cloud) -> float:
        return precision.reachable(tolerance, problem.a.dtype)

    def check(self, side: int, name: str) -> None:
        _check_gamma(self.gamma)

    def check_rounding(self, problem: Problem) -> None:
        _check_rounding("gamma times the mass", self.gamma, problem.a, problem)


class KSparse(NamedTuple):
    r"""$\Omega(t) = \frac{\gamma}{2}\|t\|^2$ if t has at most k nonzeros, infinite otherwise
    (Liu, Puigcerver, Blondel, ICLR 2023).

    Not convex for $k < m$. Its biconjugate on $t \ge 0$ is half the squared k-support norm,
    $\Omega^{**}(t) = \frac{\gamma}{2} \min\{\sum_i t_i^2/\eta_i : 0 \le \eta \le 1, \sum_i \eta_i \le k\}$; the dual
    solves the problem with $\Omega^{**}$. $\gamma$ is in units of cost over mass, as that of ``Quadratic``.
    """

    gamma: ArrayLike
    k: int | Int[Array, "*batch"]

    def penalty(self, t):
        return self.gamma / 2 * (t * t).sum(axis=0)

    def relaxed_penalty(self, t):
        q = share(t, jnp.asarray(self.k, jnp.int32))[None, :]
        # eta = min(q t, 1); t^2 / eta is t / q where eta < 1
        return self.gamma / 2 * jnp.where(t * q >= 1, t * t, jnp.maximum(t, 0.0) / q).sum(axis=0)

    def maximizer(self, s):
        k = jnp.asarray(self.k, jnp.int32)
        crowded = (s > 0).sum(axis=0, dtype=jnp.int32) > k
        chosen = largest(s, k, crowded) | ~crowded[None, :]
        return jnp.where(chosen, jnp.maximum(s, 0.0), 0.0) / self.gamma

    def column_maximizer(self, s, b, within: ArrayLike = 0.0):
        t, theta = sparse_simplex(s / self.gamma, b, jnp.asarray(self.k, jnp.int32), within / self.gamma)
        return t, jnp.negative(self.gamma) * theta

    def inverse_curvature(self, t):
        return (t > 0) / self.gamma

    def ties(self, scores, t, within):
        taken = t > 0
        last = jnp.where(taken, scores, jnp.inf).min(axis=0)
        left_out = jnp.where(taken, -jnp.inf, scores).max(axis=0)
        tied = (taken.sum(axis=0, dtype=jnp.int32) == self.k) & (last - left_out <= within)
        return tied[None, :] & (jnp.abs(scores - last[None, :]) <= within)

    def rescaled(self, cost_scale, mass):
        return KSparse(self.gamma * mass / cost_scale, self.k)

    def shift(self, mass: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.zeros_like(mass)

    def cast(self, dtype: Any) -> "KSparse":
        return KSparse(jnp.asarray(self.gamma, dtype), jnp.asarray(self.k, jnp.int32))

    def limited(self, side: int) -> "KSparse":
        return KSparse(self.gamma, jnp.minimum(self.k, side))

    def reachable(self, tolerance: float, problem: Problem | Cloud) -> float:
        return precision.reachable(tolerance, problem.a.dtype)

    def check(self, side: int, name: str) -> None:
        k: Any = self.k
        if isinstance(k, bool) or not (isinstance(k, numbers.Integral) or _is_integer_array(k)):
            raise TypeError(f"k = {k!r}, but it must be an integer: a number of nonzeros")
        if not isinstance(k, Tracer) and not (np.all(np.asarray(k) >= 1) and np.all(np.asarray(k) <= side)):
            raise ValueError(f"k = {int(np.asarray(k))} with {name} = {side}: k must be between 1 and {side}")
        _check_gamma(self.gamma)

    def check_rounding(self, problem: Problem) -> None:
        _check_rounding("gamma times the mass", self.gamma, problem.a, problem)


Regularizer = Entropic | Quadratic | KSparse
"""What the operators and the solvers take. Each gives, for a plan ``t`` (m, n) or scores ``s`` (m, n):

- ``penalty(t)`` (n,): Omega of each column; ``relaxed_penalty(t)``: its biconjugate on t >= 0, all that the dual knows;
- ``maximizer(s)`` (m, n): the gradient of the conjugate on t >= 0, the plan of the dual;
- ``column_maximizer(s, b, within)``: the gradient of the conjugate on the simplex of total b, and the potential of each
  column; scores that differ by at most ``within`` count as equal where some must be chosen;
- ``inverse_curvature(t)`` (m, n): 1 / Omega'' on the support of a plan, 0 elsewhere;
- ``ties(scores, t, within)`` (m, n): the entries of tied columns whose scores equal the last one taken, None where a
  regularizer has no ties;
- ``rescaled(cost_scale, mass)``: the regularizer with which cost / cost_scale and plan / mass solve the same problem;
  ``shift(mass)``: by how much the column potentials of that one's dual are then too low;
- ``cast(dtype)``: with its numbers as arrays; ``limited(side)``: for columns of so many entries;
- ``reachable(tolerance, problem)``: a default tolerance of the marginals, for work in the precision of the problem.

Two methods refuse what can't be solved, inside ``jit`` as far as it is known there. They raise ValueError or TypeError:

- ``check(side, name)``: numbers outside what is allowed, in columns of ``side`` entries, which a user calls ``name``;
- ``check_rounding(problem)``: a strength that costs round away: no potentials of this precision have a plan, and values
  may overflow.
"""


def as_sparse(regularizer: Quadratic | KSparse, side: int) -> KSparse:
    """The quadratic regularizer as the k-sparse one whose k leaves none of ``side`` entries out."""
    if isinstance(regularizer, Quadratic):
        return KSparse(regularizer.gamma, jnp.int32(side))
    return regularizer


def _check_gamma(gamma: Any) -> None:
    if not isinstance(gamma, Tracer) and not (np.all(np.asarray(gamma) > 0) and np.all(np.isfinite(np.asarray(gamma)))):
        raise ValueError(f"gamma = {float(np.asarray(gamma))}, but it must be positive and finite")


def _check_rounding(name: str, gamma: Any, mass: Any, problem: Problem) -> None:
    """``mass``: what gamma is multiplied by, to be in the units of the costs; an array is summed."""
    if np.ndim(gamma) or any(isinstance(number, Tracer) for number in (gamma, *problem)):
        return
    largest = float(np.abs(np.asarray(problem.cost)).max())
    strength = float(np.asarray(gamma)) * float(np.asarray(mass).sum())
    if 0 < strength < float(jnp.finfo(problem.cost.dtype).eps) * largest:
        raise ValueError(
            f"{name} = {strength:.3g} with costs up to {largest:.3g}, whose rounding in {problem.cost.dtype} is more: divide "
            "the costs by their mean, or give a larger gamma"
        )


def _is_integer_array(k: Any) -> bool:
    return hasattr(k, "dtype") and jnp.issubdtype(k.dtype, jnp.integer) and jnp.ndim(k) == 0

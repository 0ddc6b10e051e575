r"""Column-separable regularizers $\Omega$ and their conjugates, for all columns of a plan at once.

$$ \Omega^*_+(s) = \max_{t \ge 0} s^\top t - \Omega(t), \qquad
   \Omega^*_b(s) = \max_{t \ge 0,\; 1^\top t = b} s^\top t - \Omega(t) . $$

A regularizer gives the maximisers; the values follow by substitution. Strengths, and k, are traced: one
compiled program serves every value of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from lab.numerics.projections import share, simplex, sparse_simplex
from lab.numerics.select import largest


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
        return jnp.exp(s / self.gamma - 1)

    def column_maximizer(self, s, b, within: ArrayLike = 0.0):
        z = s / self.gamma
        log_sum = jax.nn.logsumexp(z, axis=0)
        t = b[None, :] * jnp.exp(z - log_sum[None, :])
        return t, self.gamma * (jnp.log(b) - log_sum + 1)

    def rescaled(self, cost_scale, mass):
        return Entropic(self.gamma / cost_scale)


class Quadratic(NamedTuple):
    r"""$\Omega(t) = \frac{\gamma}{2}\|t\|^2$: smooth and sparse (Blondel, Seguy, Rolet, AISTATS 2018).

    $\nabla\Omega^*_+(s) = [s]_+/\gamma$ and $\nabla\Omega^*_b(s) = [s/\gamma - \theta]_+$ with $\beta = -\gamma\theta$.
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

    def rescaled(self, cost_scale, mass):
        return Quadratic(self.gamma * mass / cost_scale)


class KSparse(NamedTuple):
    r"""$\Omega(t) = \frac{\gamma}{2}\|t\|^2$ if t has at most k nonzeros, infinite otherwise
    (Liu, Puigcerver, Blondel, ICLR 2023).

    Not convex for $k < m$. Its biconjugate on $t \ge 0$ is half the squared k-support norm,
    $\Omega^{**}(t) = \frac{\gamma}{2} \min\{\sum_i t_i^2/\eta_i : 0 \le \eta \le 1, \sum_i \eta_i \le k\}$; the dual
    solves the problem with $\Omega^{**}$.
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

    def rescaled(self, cost_scale, mass):
        return KSparse(self.gamma * mass / cost_scale, self.k)


Regularizer = Entropic | Quadratic | KSparse
"""What the operators and the solvers take. Each gives, for a plan ``t`` (m, n) or scores ``s`` (m, n):

- ``penalty(t)`` (n,): Omega of each column; ``relaxed_penalty(t)``: its biconjugate on t >= 0, all that the dual knows;
- ``maximizer(s)`` (m, n): the gradient of the conjugate on t >= 0, the plan of the dual;
- ``column_maximizer(s, b, within)``: the gradient of the conjugate on the simplex of total b, and the potential of each
  column; scores that differ by at most ``within`` count as equal where some must be chosen;
- ``rescaled(cost_scale, mass)``: the regularizer with which cost / cost_scale and plan / mass solve the same problem.
"""

r"""Pooling a bag of patches into a few vectors: by heterogeneity-aware transport, by the mean, by attention.

A bag of n patches with features $h_i \in \mathbb R^D$ becomes K vectors $G = A^\top H$, where $A \ge 0$ has total mass 1.
Transport to K trainable prototypes $z_k$ gives $A = Q / \rho$ with the partial plan Q of ``lab.ot.partial``,

$$ \min_{Q \ge 0} \langle Q, C\rangle + \lambda\, \mathrm{KL}(Q^\top 1 \mid \tfrac{\rho}{K} 1) + \varepsilon\, h([Q, \xi])
   \quad \text{subject to} \quad \xi = \tfrac1n 1 - Q 1 \ge 0, \quad 1^\top Q 1 = \rho, $$
$$ C_{ik} = d_{ik} / \max_{ik} d_{ik}, \qquad
   d_{ik} = \big| (h_i - \min_d h_{id}) - (z_k - \min_d z_{kd}) \big|_2 . $$

The relaxed sizes let the use of the prototypes have a long tail without a collapse onto one (the *global* part); the mass
$\rho$ leaves out the patches that fit no prototype (the *local* part). With K = 1 and $\rho = 1$ it is the mean.

Every pooling has the same signature, works on padded bags (absent patches have no mass and no gradient), and is
differentiable in patches, prototypes, $\rho$, $\varepsilon$ and $\lambda$: the plan by the implicit function theorem, one
(K+1) x (K+1) solve, whatever the number of its iterations.

Sources: Ren, Wang, Fang, Ling, You, OTSurv, MICCAI 2025 (transport); Ilse, Tomczak, Welling, Attention-based Deep Multiple
Instance Learning, ICML 2018 (attention).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.numerics import random
from lab.ot import partial
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic


class Transport(NamedTuple):
    """What the plan depends on beside the patches; traced. Poolings without a plan take it and ignore it."""

    rho: ArrayLike = 1.0  # share of the mass that is pooled, in (0, 1]
    epsilon: ArrayLike = 0.1  # entropy, in units of the cost, which lies in [0, 1]
    lam: ArrayLike = 1.0  # price of uneven use of the prototypes; inf: even use
    tolerance: ArrayLike | None = None  # of the plan, as in lab.ot.partial


class Pooled(NamedTuple):
    """A pooled bag."""

    vectors: Float[Array, "k d"]  # A^T H: a prototype of little mass gives a short vector
    weights: Float[Array, "n k"]  # A, of total mass 1
    potentials: Float[Array, " k_and_1"]  # of the prototypes and the slack; a start for a neighbouring plan
    residual: Float[Array, ""]  # L1 error of the plan's columns; 0 where there is no plan


def cost(
    h: Float[Array, "n d"], z: Float[Array, "k d"], present: Bool[Array, " n"] | None = None
) -> Float[Array, "n k"]:
    """C, in [0, 1]; the row minima and the maximum are part of the graph. Time O(n k d), memory O(n k).

    Where all distances are 0, so is the cost. Absent patches have cost 0 and do not count for the maximum.
    """
    here = jnp.ones(h.shape[0], bool) if present is None else present
    h = jnp.where(here[:, None], h, 0)
    h, z = (v - v.min(axis=1, keepdims=True) for v in (h, z))
    squared = (h * h).sum(axis=1)[:, None] + (z * z).sum(axis=1)[None, :] - 2 * h @ z.T
    apart = here[:, None] & (squared > 1e-12)  # the norm has no gradient at 0
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)
    largest = distance.max()
    return distance / jnp.where(largest > 0, largest, 1)


class OTPooling(eqx.Module):
    """Heterogeneity-aware transport to trainable prototypes."""

    prototypes: Float[Array, "k d"]

    def __init__(self, k: int, width: int, key: PRNGKeyArray, dtype=None):
        """K prototypes drawn from N(0, I).

        Raises:
            ValueError: k below 1.
        """
        if k < 1:
            raise ValueError(f"k = {k}, but pooling needs at least one prototype")
        self.prototypes = random.normal(key, (k, width), dtype or jnp.result_type(float))

    @property
    def k(self) -> int:
        return self.prototypes.shape[0]

    def __call__(
        self,
        h: Float[Array, "n d"],
        present: Bool[Array, " n"],
        transport: Transport,
        start: Float[Array, " k_and_1"] | None = None,
    ) -> Pooled:
        """Pool one bag; ``jax.vmap`` serves many.

        Args:
            h: features; rows that are not present may hold anything finite.
            present: at least one.
            transport: share, entropy, price.
            start: potentials of a neighbouring plan.
        """
        n = present.sum().astype(h.dtype)
        rows = jnp.where(present, 1 / n, 0)
        columns = jnp.full(self.k, 1 / self.k, h.dtype)
        problem = Problem(cost(h, self.prototypes, present), rows, columns)
        found = partial.solve(
            problem,
            Entropic(transport.epsilon),
            rho=transport.rho,
            lam=transport.lam,
            tolerance=transport.tolerance,
            init=start,
        )
        plan = found.plan()
        weights = plan / plan.sum()  # rho, but for the tolerance
        potentials, residual = jnp.append(found.beta, jnp.asarray(found.slack)), jnp.asarray(found.column_error)
        return Pooled(_pool(weights, h, present), weights, potentials, residual)


class MeanPooling(eqx.Module):
    """The mean of the patches: K = 1."""

    @property
    def k(self) -> int:
        return 1

    def __call__(
        self,
        h: Float[Array, "n d"],
        present: Bool[Array, " n"],
        transport: Transport | None = None,
        start: Float[Array, " k_and_1"] | None = None,
    ) -> Pooled:
        """As that of ``OTPooling``."""
        weights = jnp.where(present, 1 / present.sum().astype(h.dtype), 0)[:, None]
        return Pooled(_pool(weights, h, present), weights, jnp.zeros(2, h.dtype), jnp.zeros((), h.dtype))


class AttentionPooling(eqx.Module):
    r"""A learned mean, K = 1: $A_i \propto \exp\langle w, \tanh(V h_i)\rangle$."""

    inner: eqx.nn.Linear
    score: eqx.nn.Linear

    def __init__(self, width: int, key: PRNGKeyArray, hidden: int = 16, dtype=None):
        first, second = jax.random.split(key)
        self.inner = eqx.nn.Linear(width, hidden, key=first, dtype=dtype)
        self.score = eqx.nn.Linear(hidden, 1, use_bias=False, key=second, dtype=dtype)

    @property
    def k(self) -> int:
        return 1

    def __call__(
        self,
        h: Float[Array, "n d"],
        present: Bool[Array, " n"],
        transport: Transport | None = None,
        start: Float[Array, " k_and_1"] | None = None,
    ) -> Pooled:
        """As that of ``OTPooling``."""
        h = jnp.where(present[:, None], h, 0)
        scores = jax.vmap(lambda row: self.score(jnp.tanh(self.inner(row))))(h)
        weights = jax.nn.softmax(jnp.where(present[:, None], scores, -jnp.inf), axis=0)
        return Pooled(_pool(weights, h, present), weights, jnp.zeros(2, h.dtype), jnp.zeros((), h.dtype))


type Pooling = OTPooling | MeanPooling | AttentionPooling


def _pool(weights: Array, h: Array, present: Array) -> Array:
    return weights.T @ jnp.where(present[:, None], h, 0)

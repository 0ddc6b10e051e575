r"""Routing of tokens to experts in a sparse mixture of experts.

A router decides which expert computes which token (``dispatch``); the answers are summed with the gates as weights,
so no gradient passes through the decision. All routers here take gates (tokens, experts), the softmax of the gate's
logits over experts, and

- ``choice="experts"``: every expert takes at most ``k`` tokens, its ``capacity``; a token may be left uncovered;
- ``choice="tokens"``: every token goes to at most ``k`` experts; an expert may be crowded, and a ``limit`` drops what
  exceeds it.

They are pure: ``vmap`` routes many groups of tokens at once.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from lab.choices import chosen
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, arrays, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.select import largest
from lab.ot.operators import semi_dual
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic, KSparse
from lab.ot.solve import solve

type Choice = Literal["experts", "tokens"] | str
type Count = int | np.integer | Int[Array, ""]
type Scalar = float | int | Float[Array, ""]
type Gates = Float[Array, "tokens experts"]


class Routing(NamedTuple):
    """Which token goes where, and with which weight its answers are summed."""

    dispatch: Bool[Array, "tokens experts"]
    combine: Float[Array, "tokens experts"]  # gates where dispatched, 0 elsewhere


class Statistics(NamedTuple):
    """What a routing does to a group of tokens."""

    uncovered: Float[Array, ""]  # fraction of the tokens that no expert computes
    load: Int[Array, " experts"]  # tokens of each expert
    gate_mass: Float[Array, ""]  # gates that are kept, mean over tokens; 1 if every expert computed every token


_DECISION = "a routing has a derivative in the gates it keeps, not in the settings of the router: the decision jumps"


def _check(k: Count, limit: Count | None, iterations: Count | None = None) -> None:
    for name, count, least in (("k", k, 1), ("limit", limit, 0), ("iterations", iterations, 0)):
        if count is not None and not isinstance(count, Tracer):
            whole(name, int(count) if isinstance(count, jax.Array) and count.dtype.kind in "iu" else count, least)


def capacity(tokens: int, experts: int, factor: float | int = 1.0) -> int:
    """Tokens for each expert, tokens * factor / experts, rounded up to a multiple of 4, at most ``tokens``.

    Args:
        factor: capacity factor; 1 lets every token be computed by one expert on average.

    Raises:
        ValueError: a count below 1, or a factor that is not positive.
    """
    if tokens < 1 or experts < 1 or not 0 < factor < math.inf:
        raise ValueError(f"{tokens} tokens, {experts} experts, factor {factor}: all three must be positive")
    return min(4 * math.ceil(math.ceil(tokens * factor / experts) / 4), tokens)


@chosen
@arrays(gates=NOT_NEGATIVE)
def top_k_routing(gates: Gates, k: Count, *, choice: Choice = "experts", limit: Count | None = None) -> Routing:
    r"""The baseline: every expert (or token) takes its k largest gates, $\arg\max_{|S| = k} \sum_{i \in S} g_{ij}$.

    Args:
        gates: (tokens, experts), of which rows sum to 1.
        k: of tokens for each expert, or of experts for each token. May be traced.
        choice: "experts" or "tokens", who chooses.
        limit: most tokens of an expert, for ``choice="tokens"``; first choices come before second ones, then
            earlier tokens before later ones.

    Returns:
        a ``Routing``: who computes which token, and the gates there.

    Raises:
        ValueError: an unknown choice.

    Source:
        Zhou et al., Mixture-of-experts with expert choice routing, NeurIPS 2022; Shazeer et al., ICLR 2017, of tokens' choice.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import routing
        >>> routing.top_k_routing(jnp.asarray([[0.9, 0.1], [0.6, 0.4]]), 1).dispatch.tolist()
        [[True, False], [False, True]]
    """
    _check(k, limit)
    return _routing(gates, _select(jax.lax.stop_gradient(gates), jnp.asarray(k), choice), limit)


@chosen
@arrays(gates=NOT_NEGATIVE, epsilon=POSITIVE)
def sinkhorn_routing(
    gates: Gates,
    k: Count,
    *,
    epsilon: Scalar = 1.0,
    iterations: Count = 20,
    choice: Choice = "experts",
    limit: Count | None = None,
) -> Routing:
    r"""The k largest entries of a balanced plan: entropic transport with cost $-\log$ gates.

    Every token has mass 1 and every expert tokens / experts. A fixed number of Sinkhorn iterations.

    Args:
        gates: (tokens, experts), of which rows sum to 1.
        k: of tokens for each expert, or of experts for each token. May be traced.
        epsilon: strength of the entropy, in units of the logarithm of a gate.
        iterations: of Sinkhorn's algorithm.
        choice: "experts" or "tokens", who chooses.
        limit: most tokens of an expert, for ``choice="tokens"``, as in ``top_k_routing``.

    Returns:
        a ``Routing``: who computes which token, and the gates there.

    Raises:
        ValueError: an unknown choice.

    Source:
        Clark et al., Unified scaling laws for routed language models, ICML 2022, on Sinkhorn's routing.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import routing
        >>> routing.sinkhorn_routing(jnp.asarray([[0.9, 0.1], [0.6, 0.4]]), 1).dispatch.tolist()
        [[True, False], [False, True]]
    """
    _check(k, limit, iterations)
    epsilon = refuse_derivative(epsilon, _DECISION)
    logits = jnp.log(jnp.maximum(jax.lax.stop_gradient(gates), jnp.finfo(gates.dtype).tiny))
    plan = _sinkhorn(_problem(logits, "experts"), Entropic(epsilon), jnp.asarray(iterations))
    return _routing(gates, _select(plan, jnp.asarray(k), choice), limit)


@chosen
@arrays(gates=NOT_NEGATIVE, gamma=POSITIVE, learning_rate=POSITIVE)
def sparse_ot_routing(
    gates: Gates,
    k: Count,
    *,
    gamma: Scalar = 1.0,
    iterations: Count | None = 20,
    learning_rate: Scalar = 1e-2,
    choice: Choice = "experts",
    limit: Count | None = None,
) -> Routing:
    r"""Dispatch along the support of the k-sparse transport plan with cost minus the gates.

    $$ \min_T\; -\langle T, G \rangle + \tfrac{\gamma}{2} \|T\|^2 \quad
       \text{with token masses } 1, \text{ expert masses tokens/experts}, \text{ at most } k \text{ nonzeros} $$

    in the column of each expert (``choice="experts"``) or of each token (``choice="tokens"``). The columns hold
    exactly and the rows nearly, so compared with ``top_k_routing`` few tokens are left uncovered, or few experts
    crowded.

    Args:
        gates: (tokens, experts), of which rows sum to 1.
        k: of tokens for each expert, or of experts for each token. May be traced, like gamma, iterations and
            learning_rate.
        gamma: positive strength; the smaller, the nearer to an assignment without regard to mass spread.
        iterations: ADAM steps from zero on the semi-dual; None solves to convergence by ``lab.ot.solve``.
        learning_rate: of ADAM.
        choice: "experts" or "tokens", whose nonzeros k bounds.
        limit: most tokens of an expert, for ``choice="tokens"``, as in ``top_k_routing``.

    Returns:
        a ``Routing``: who computes which token, and the gates there.

    Raises:
        ValueError: an unknown choice.

    Source:
        Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import routing
        >>> routing.sparse_ot_routing(jnp.asarray([[0.9, 0.1], [0.6, 0.4]]), 1).dispatch.tolist()
        [[True, False], [False, True]]
    """
    _check(k, limit, iterations)
    gamma, learning_rate = refuse_derivative((gamma, learning_rate), _DECISION)
    problem, regularizer = _problem(jax.lax.stop_gradient(gates), choice), KSparse(gamma, jnp.asarray(k, jnp.int32))
    if iterations is None:
        plan = solve(problem, regularizer).plan()
    else:
        plan = _adam(problem, regularizer, jnp.asarray(iterations), learning_rate)
    return _routing(gates, (plan if choice == "experts" else plan.T) > 0, limit)


@arrays(gates=NOT_NEGATIVE)
def statistics(gates: Gates, routing: Routing) -> Statistics:
    """Coverage, load and kept gate mass of a routing."""
    dispatch = routing.dispatch
    return Statistics(
        uncovered=(~dispatch.any(axis=1)).mean(dtype=gates.dtype),
        load=dispatch.sum(axis=0),
        gate_mass=jnp.where(dispatch, gates, 0).sum() / gates.shape[0],
    )


# Both loops carry the plan at the potentials before the last update: the operator is then compiled once only.


@jit
def _adam(problem: Problem, regularizer: KSparse, iterations: Count, learning_rate: Scalar) -> Array:
    optimizer = optax.adam(learning_rate)

    def iterate(_, carry):
        alpha, state, _ = carry
        plan = semi_dual(problem, regularizer, alpha).plan
        update, state = optimizer.update(plan.sum(axis=1) - problem.a, state)
        return alpha + update, state, plan

    start = jnp.zeros_like(problem.a)
    initial = start, optimizer.init(start), jnp.zeros_like(problem.cost)
    return jax.lax.fori_loop(0, iterations + 1, iterate, initial)[2]


@jit
def _sinkhorn(problem: Problem, regularizer: Entropic, iterations: Count) -> Array:
    def iterate(_, carry):
        alpha, _ = carry
        plan = semi_dual(problem, regularizer, alpha).plan
        return alpha + regularizer.gamma * jnp.log(problem.a / plan.sum(axis=1)), plan

    initial = jnp.zeros_like(problem.a), jnp.zeros_like(problem.cost)
    return jax.lax.fori_loop(0, iterations + 1, iterate, initial)[1]


def _problem(similarity: Gates, choice: Choice) -> Problem:
    tokens, experts = similarity.shape
    each, share = jnp.ones(tokens, similarity.dtype), jnp.full(experts, tokens / experts, similarity.dtype)
    problem = Problem(-similarity, each, share)
    return problem if choice == "experts" else problem.T


@jit
def _select(scores: Gates, k: Count, choice: Choice) -> Bool[Array, "tokens experts"]:
    k = jnp.asarray(k, jnp.int32)
    return largest(scores, k) if choice == "experts" else largest(scores.T, k).T


def _routing(gates: Gates, dispatch: Bool[Array, "tokens experts"], limit: Count | None) -> Routing:
    if limit is not None:
        order = jnp.argsort(jnp.argsort(-jax.lax.stop_gradient(gates), axis=1), axis=1)  # 0: the token's first choice
        tokens = gates.shape[0]
        turn = jnp.where(dispatch, order * tokens + jnp.arange(tokens)[:, None], gates.size)
        dispatch &= jnp.argsort(jnp.argsort(turn, axis=0), axis=0) < limit
    return Routing(dispatch, jnp.where(dispatch, gates, 0))

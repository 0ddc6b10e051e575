r"""Pseudo-labels: the plan that a method solves for between samples and clusters, and how good it is.

The costs are $C_{ik} = -\log p_{ik}$ of a model's probabilities, samples and clusters have equal masses, and the plan labels
the share $\rho$ of the samples that fit best. With a similarity of the samples the plan is that of ``semantic``, without one
that of ``lab.ot.partial``.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.clustering import semantic
from lab.clustering.metrics import Scores, by_frequency, scores
from lab.clustering.semantic import Similarity
from lab.clustering.training import Model, Settings, clusters_of, logits, match_labels
from lab.numerics import Loop, arguments, pure
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.ot import partial
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic


class Labels(NamedTuple):
    """Pseudo-labels, and how they were found."""

    plan: Float[Array, "n k"]  # of mass rho
    potentials: Float[Array, " k_and_1"]  # of the clusters and the slack
    objective: Float[Array, ""]
    rise: Float[Array, ""]  # the largest of the objective in one step: 0 without a similarity
    iterations: Any
    reason: Any
    objectives: Float[Array, " steps"]  # by iteration
    residuals: Float[Array, " steps"]  # by iteration: L1 error of the sizes; with a similarity, change of the objective


@jit
def problem(model: Model, x: Float[Array, "n d"]) -> Problem:
    r"""Costs $-\log p$ (n, k) of samples and clusters, both of equal masses and total 1."""
    cost = -jax.nn.log_softmax(logits(model, x), axis=1)
    n, k = cost.shape
    return Problem(cost, jnp.full(n, 1 / n, x.dtype), jnp.full(k, 1 / k, x.dtype))


@chosen
def label(
    costs: Problem,
    settings: Settings,
    rho: ArrayLike,
    similarity: Similarity | None = None,
    *,
    solver: Literal["newton", "scaling"] | str = "newton",
    loop: Loop = pure,
) -> Labels:
    r"""The plan of these costs: partial transport of the share $\rho$ of the samples that fit best.

    With a similarity it is that of ``sp2ot``, which has a strength mu; without, that of ``lab.ot.partial``.

    Args:
        costs: (n, k), as ``problem`` makes them, $-\log p$ in nats.
        settings: epsilon, lam and, with a similarity, strength are used.
        rho: the share that is labelled, in (0, 1].
        similarity: of the samples; draws similar ones to the same cluster.
        solver: ``newton`` or ``scaling``, where there is no similarity.
        loop: ``pure``, or a ``Chunked`` that reports and stops.

    Returns:
        the plan (n, k) of mass rho, its potentials (k + 1,), the slack last, and how it was found.

    Raises:
        ValueError: another word for the solver, or what the solvers refuse.

    Source:
        Zhang, Ren and He (2024), P2OT; with a similarity SP2OT.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import clustering, ot
        >>> costs = ot.problem(jnp.array([[0.0, 3.0], [3.0, 0.0], [2.0, 2.0], [2.0, 2.0]]))
        >>> found = clustering.label(costs, clustering.Settings(epsilon=0.05), 0.5)
        >>> found.plan.sum(axis=1).round(3)  # the two that fit are labelled
        Array([0.25, 0.25, 0.  , 0.  ], dtype=float64)
    """
    entropy = Entropic(settings.epsilon)
    if similarity is not None:
        drawn = semantic.solve(
            costs, entropy, similarity, rho=rho, lam=settings.lam, strength=settings.strength, loop=loop
        )
        return Labels(
            drawn.plan,
            drawn.potentials,
            drawn.objective,
            drawn.rise,
            drawn.iterations,
            drawn.reason,
            jnp.asarray(drawn.trace["objective"]),
            jnp.abs(drawn.trace["change"]),
        )
    found = partial.solve(costs, entropy, rho=rho, lam=settings.lam, method=solver, loop=loop)
    objectives, residuals = (placed(found.trace[name]) for name in ("value", "residual"))
    plan, potentials, rise = _read(found.bare())
    return Labels(plan, potentials, found.value, rise, found.iterations, found.reason, objectives, residuals)


@jit
def _read(found: Any) -> tuple[Array, Array, Array]:
    return found.plan(), jnp.append(found.beta, jnp.asarray(found.slack)), jnp.zeros_like(found.value)


class Judged(NamedTuple):
    """Pseudo-labels against the true classes; clusters stand in the order of the classes that they match."""

    scores: Scores  # of the model's clusters
    recall: Float[Array, " 3"]  # mean over the head, the middle and the tail of the classes by frequency
    plan: Float[Array, "n k"]
    potentials: Float[Array, " k"]
    weight: Float[Array, " n"]  # share of each sample that is labelled, in [0, 1]
    mass: Float[Array, " k"]
    labelled_precision: Float[Array, ""]  # share of the labelled mass that has its class
    labelled_recall: Float[Array, ""]  # share of all samples' mass that is labelled with its class
    row_excess: Float[Array, ""]  # L1, of the rows over 1 / n
    mass_error: Float[Array, ""]  # of the plan, from rho
    size_divergence: Float[Array, ""]  # KL of the clusters' shares of the mass from equal ones, in nats


@arguments.arrays()
def judge(
    plan: Float[Array, "n k"],
    potentials: Float[Array, " k_and_1"],
    rho: ArrayLike,
    model: Model,
    x: Float[Array, "n d"],
    classes: Int[Array, " n"],
    sizes: ArrayLike,
) -> Judged:
    r"""Compare pseudo-labels with classes 0 ... k - 1 that the method does not know.

    Clusters are put in the order of the classes that they match. The sizes are compared by
    $\mathrm{KL}(m / |m| \mid 1/k)$, m the masses of the clusters.

    Args:
        plan: (n, k), of ``Labels``.
        potentials: (k + 1,), of ``Labels``, the slack last.
        rho: that the plan was asked for.
        model: whose clusters are scored.
        x: (n, d), the samples.
        classes: (n,).
        sizes: (k,), of the classes.

    Returns:
        scores of the model's clusters, and precision, recall and masses of the pseudo-labels; these are differentiable in
        the plan, where its matching does not change.

    Raises:
        ValueError: arrays that do not fit or are not finite, or classes outside 0 ... k - 1.

    Source:
        Zhang, Ren and He (2024), SP2OT; matching by Kuhn, The Hungarian method (1955).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import clustering
        >>> model = clustering.training.Model(jnp.eye(2), jnp.eye(2)[::-1])  # cluster 0 is class 1
        >>> plan = jnp.array([[0.0, 0.5], [0.5, 0.0]])
        >>> seen = clustering.judge(plan, jnp.zeros(3), 1.0, model, jnp.eye(2), jnp.array([0, 1]), jnp.ones(2))
        >>> float(seen.scores.accuracy), float(seen.labelled_precision), seen.plan.tolist()
        (1.0, 1.0, [[0.5, 0.0], [0.0, 0.5]])
    """
    k = plan.shape[1]
    if potentials.shape != (k + 1,):
        raise ValueError(f"potentials has shape {potentials.shape}: shape ({k + 1},) is needed, one more than clusters")
    if not isinstance(classes, Tracer) and ((np.asarray(classes) < 0).any() or (np.asarray(classes) >= k).any()):
        raise ValueError(f"classes must be whole numbers from 0 to {k - 1}: the plan has {k} clusters")
    sizes = arguments.real("sizes", sizes, (k,), low=0)
    model, x, sizes = refuse_derivative((model, x, sizes), "clusters and their scores are counted: both jump")
    return _judge(plan, potentials, arguments.real("rho", rho, (), low=0, high=1), model, x, classes, sizes)


@jit
def _judge(plan: Array, potentials: Array, rho: Array, model: Model, x: Array, classes: Array, sizes: Array) -> Judged:
    n, k = plan.shape
    judged = scores(classes, clusters_of(model, x), k)
    order = jnp.argsort(judged.match)
    plan, rows = plan[:, order], plan.sum(axis=1)
    mass = plan.sum(axis=0)
    hit = (match_labels(classes, plan) == classes) * rows
    share = mass / mass.sum()
    return Judged(
        judged,
        by_frequency(judged.recall, sizes),
        plan,
        potentials[:-1][order],
        jnp.clip(n * rows, 0, 1),
        mass,
        hit.sum() / plan.sum(),
        hit.sum(),
        jnp.maximum(rows - 1 / n, 0).sum(),
        jnp.abs(plan.sum() - rho),
        jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1) * k), 0).sum(),
    )

"""What a trained model says of every bag, and the plan of one of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.numerics import arguments
from lab.numerics.jit import jit
from lab.survival import losses
from lab.survival.bags import Bags, numbers
from lab.survival.pooling import OTPooling, Transport, cost
from lab.survival.training import Model


class Scores(NamedTuple):
    """What a model says of every bag, without dropout."""

    risk: Float[Array, " n"]
    mass: Float[Array, "n k"]  # of each prototype, of sum 1
    row_mass: Float[Array, "n width"]  # share of each patch that is pooled, times what it would get if all were alike
    main: Int[Array, "n width"]  # prototype that gets most of the patch
    potentials: Float[Array, "n k_and_1"]  # of each bag's plan
    residual: Float[Array, " n"]


def score(model: Model, bags: Bags, transport: Transport, *, chunk: int = 16) -> Scores:
    r"""Pool and judge all bags, ``chunk`` at a time. Memory O(chunk (largest bag) (width + k)).

    ``row_mass`` is $n_i \rho \sum_k A_{ik}$: in [0, 1] for ``ot``, with mean rho. It and ``main`` are padded to the largest
    bag, with 0 and -1.

    Args:
        model: from a bag to its risk.
        bags: n, which are judged without dropout.
        transport: share, entropy and price; ignored by poolings without a plan.
        chunk: bags at once.

    Returns:
        risks (n,), masses (n, k), and for each patch how much of it is pooled, and where.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax
        >>> import numpy as np
        >>> from lab import survival
        >>> bags = survival.bags(np.eye(3), np.array([0, 0, 1]), np.array([5.0, 7.0]), np.array([1, 1]))
        >>> model = survival.model(jax.random.key(0), 3, pooling="mean", width=2)
        >>> survival.score(model, bags, survival.Transport()).row_mass  # each patch counts alike; bag 1 has one
        Array([[1., 1.],
               [1., 0.]], dtype=float64)
    """
    transport = jax.tree.map(lambda number: jnp.asarray(number, bags.x.dtype), transport)
    return _score(model, bags, transport, min(chunk, bags.count))


@jit
def _score(model: Model, bags: Bags, transport: Transport, chunk: int) -> Scores:
    wide = bags.widths[-1]

    def one(index):
        x, here = bags.take(index[None], wide)
        said, pooled = model(x[0], here[0], transport)
        risk = said[0] if said.shape[0] == 1 else losses.risk_of(said[None])[0]
        share = transport.rho if isinstance(model.pooling, OTPooling) else 1.0
        row = bags.size[index] * share * pooled.weights.sum(axis=1)
        main = jnp.where(here[0], pooled.weights.argmax(axis=1), -1).astype(jnp.int32)
        return Scores(risk, pooled.weights.sum(axis=0), row, main, pooled.potentials, pooled.residual)

    return jax.lax.map(one, jnp.arange(bags.count), batch_size=chunk)


class BagPlan(NamedTuple):
    """The plan of one bag, NaN beyond its patches."""

    cost: Float[Array, "width k"]  # in [0, 1]
    plan: Float[Array, "width k"]  # mass of each patch at each prototype
    slack: Float[Array, " width"]  # mass of each patch that is left out


@arguments.arrays(potentials=arguments.ANY)
def bag_plan(
    model: Model, bags: Bags, index: Int[Array, ""], potentials: Float[Array, "n k_and_1"], transport: Transport
) -> BagPlan:
    r"""Costs, plan and slack of a bag, from the potentials that ``score`` found for the same transport.

    $$ Q_{ik} = \frac1n\, \mathrm{softmax}_k\big((g_k - C_{ik}) / \varepsilon\big), \qquad C_{i, K+1} = 0, $$

    with the slack as prototype K + 1, which gets nothing where rho = 1.

    Args:
        model: that pools by transport.
        bags: n.
        index: of the bag.
        potentials: of all bags, (n, k + 1), the slack last.
        transport: traced.

    Returns:
        cost and plan (width, k) and slack (width,), NaN beyond the patches of the bag.

    Raises:
        TypeError: a model that has no plan, or an index that is not a whole number.
        ValueError: an index that is no bag's, or potentials that do not fit.

    Source:
        Ren et al. (2025), OTSurv; Zhang, Ren and He (2024), P2OT.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from lab import survival
        >>> bags = survival.bags(np.eye(3), np.array([0, 0, 1]), np.array([5.0, 7.0]), np.array([1, 1]))
        >>> model, whole = survival.model(jax.random.key(0), 3, k=2, width=2), survival.Transport(rho=1.0)
        >>> said = survival.score(model, bags, whole)
        >>> survival.bag_plan(model, bags, jnp.array(0), said.potentials, whole).plan.sum(axis=1).round(9)  # 1 / n
        Array([0.5, 0.5], dtype=float64)
    """
    if not isinstance(model.pooling, OTPooling):
        raise TypeError(f"the model pools by {type(model.pooling).__name__}, which has no plan: OTPooling has one")
    numbers("index", index[None], bags.count)
    wanted = (bags.count, model.pooling.prototypes.shape[0] + 1)
    if potentials.shape != wanted:
        raise ValueError(f"potentials has shape {potentials.shape}: shape {wanted} is needed, as from score")
    return _bag_plan(model, model.pooling.prototypes, bags, index, potentials, transport)


@jit
def _bag_plan(
    model: Model, prototypes: Array, bags: Bags, index: Array, potentials: Array, transport: Transport
) -> BagPlan:
    (x,), (here,) = bags.take(index[None], bags.widths[-1])
    costs = cost(model.features(x), prototypes, here)
    g, slack = potentials[index, :-1], jnp.where(jnp.asarray(transport.rho) < 1, potentials[index, -1], -jnp.inf)
    scores = jnp.c_[g[None, :] - costs, jnp.full(x.shape[0], slack)] / transport.epsilon
    whole = jnp.where(here[:, None], jax.nn.softmax(scores, axis=1) / here.sum().astype(x.dtype), jnp.nan)
    return BagPlan(jnp.where(here[:, None], costs, jnp.nan), whole[:, :-1], whole[:, -1])


@arguments.arrays(values=arguments.ANY)
@jit
def mean_by_kind(kind: Int[Array, "n width"], values: Float[Array, "n width"], kinds: int) -> Float[Array, " kinds"]:
    r"""The mean of a value over all patches of each kind, 0 where there is none.

    $$ \bar v_c = \sum_{j: \mathrm{kind}_j = c} v_j \,/\, |\{j: \mathrm{kind}_j = c\}| $$

    Args:
        kind: (n, width), 0 ... kinds - 1, and below 0 where there is no patch.
        values: of the patches, (n, width).
        kinds: static.

    Returns:
        means (kinds,).

    Source:
        Of the lab; the masses are those of Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> survival.mean_by_kind(jnp.array([[0, 1], [0, -1]]), jnp.array([[1.0, 5.0], [3.0, 9.0]]), 3)
        Array([2., 5., 0.], dtype=float64)
    """
    member = kind[None] == jnp.arange(kinds)[:, None, None]
    return jnp.where(member, values[None], 0).sum(axis=(1, 2)) / jnp.maximum(member.sum(axis=(1, 2)), 1)

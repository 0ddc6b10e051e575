r"""A small mixture of experts for classification, to see what a router does to training.

Embedding, one residual layer of experts, linear head:

$$ h = [A x + a]_+, \qquad G = \mathrm{softmax}(W h), \qquad
   \mathrm{logits} = B \Big( h + \sum_{e} D_{te}\, G_{te}\, f_e(h) \Big) + b, \qquad
   f_e(h) = V_e\, [U_e h + u_e]_+ + v_e $$

with the dispatch D of a router from ``lab.ot.routing``. A token that no expert takes keeps its residual only.
All experts are evaluated on all tokens and masked: simple, and fast at this size.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import check_choices, chosen
from lab.numerics import random
from lab.numerics.differentiation import refuse_derivative
from lab.ot import routing

type Router = Literal["top-k", "sinkhorn", "sparse-ot"] | str

ROUTERS = {
    "top-k": routing.top_k_routing,
    "sinkhorn": routing.sinkhorn_routing,
    "sparse-ot": routing.sparse_ot_routing,
}


@chosen
class Settings(NamedTuple):
    """What fixes the shapes and the length of a training; hashable, static under ``jit``."""

    router: Router = "sparse-ot"
    choice: routing.Choice = "experts"
    factor: float | int = 1.0  # capacity factor, for choice="experts"
    experts_per_token: int = 1  # for choice="tokens"
    experts: int = 4
    width: int = 32  # of the embedding and of each expert
    batch: int = 128  # tokens that are routed together
    epochs: int = 15


class Labelled(NamedTuple):
    """Points and their classes 0, 1, ..."""

    x: Float[Array, "points features"]
    y: Int[Array, " points"]


class History(NamedTuple):
    """What happened in a training; the epochs in order."""

    loss: Float[Array, " epochs"]  # mean cross-entropy over the epoch, in nats
    accuracy: Float[Array, " epochs"]  # on the test set, after the epoch
    uncovered: Float[Array, " epochs"]  # fraction of training tokens without expert
    load: Float[Array, "epochs experts"]  # share of the dispatched training tokens; 1 / experts is balance
    test: routing.Statistics  # of the test set, routed as one group, after the last epoch


class Mixture(eqx.Module):
    """The network. Call it with a group of tokens (points, features)."""

    embedding: tuple[Array, Array]
    gate: Array
    inner: tuple[Array, Array]
    outer: tuple[Array, Array]
    head: tuple[Array, Array]

    def __init__(self, features: int, classes: int, experts: int, width: int, dtype, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)

        def normal(key, *shape):  # He: variance 2 / inputs
            return random.normal(key, shape, dtype) * (2 / shape[-2]) ** 0.5

        self.embedding = normal(keys[0], features, width), jnp.zeros(width, dtype)
        self.gate = normal(keys[1], width, experts)
        self.inner = normal(keys[2], experts, width, width), jnp.zeros((experts, width), dtype)
        self.outer = normal(keys[3], experts, width, width), jnp.zeros((experts, width), dtype)
        self.head = normal(keys[4], width, classes), jnp.zeros(classes, dtype)

    def __call__(
        self, x: Float[Array, "tokens features"], settings: Settings
    ) -> tuple[Float[Array, "tokens classes"], routing.Statistics]:
        h = jax.nn.relu(_affine(x, self.embedding))
        gates = jax.nn.softmax(h @ self.gate, axis=-1)
        routed = route(gates, settings)
        (u, u0), (v, v0) = self.inner, self.outer
        hidden = jax.nn.relu(jnp.einsum("td,edf->etf", h, u) + u0[:, None, :])
        answers = jnp.einsum("etf,efd->etd", hidden, v) + v0[:, None, :]
        h = h + jnp.einsum("te,etd->td", routed.combine, answers)
        return _affine(h, self.head), routing.statistics(gates, routed)


def route(gates: Float[Array, "tokens experts"], settings: Settings) -> routing.Routing:
    """Route a group of tokens as the settings say."""
    tokens, experts = gates.shape
    check_choices(settings)
    by_expert = settings.choice == "experts"
    k = routing.capacity(tokens, experts, settings.factor) if by_expert else settings.experts_per_token
    return ROUTERS[settings.router](gates, k, choice=settings.choice)


def train(
    key: PRNGKeyArray,
    data: Labelled,
    test: Labelled,
    settings: Settings,
    learning_rate: float | Float[Array, ""] = 3e-3,
    *,
    classes: int,
) -> tuple[Mixture, History]:
    """Train a mixture by ADAM on the cross-entropy; pure, so ``vmap`` over keys trains many seeds at once.

    Args:
        key: of the initial weights and of the order of the points.
        data, test: the dtype of their points decides the dtype of the work. Points beyond a whole number of batches
            sit out, others in each epoch.
        settings: static.
        learning_rate: may be traced.
        classes: number of classes, static.

    Returns:
        The trained network and its history.

    Raises:
        ValueError: fewer training points than one batch.
    """
    points, features = data.x.shape
    batches = points // settings.batch
    if batches < 1:
        raise ValueError(
            f"{points} training points, but a batch has {settings.batch}: give more points or a smaller batch"
        )
    data, test, learning_rate = refuse_derivative(
        (data, test, learning_rate),
        "lab.ot.mixture.train has no derivative: the dispatch of tokens jumps, and a training does not end at a minimum",
    )
    first, later = jax.random.split(key)
    model = Mixture(features, classes, settings.experts, settings.width, data.x.dtype, first)
    optimizer = optax.adam(learning_rate)

    def loss(model, x, y):
        logits, statistics = model(x, settings)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), statistics

    def step(carry, chosen):
        model, state = carry
        (value, statistics), slope = jax.value_and_grad(loss, has_aux=True)(model, data.x[chosen], data.y[chosen])
        update, state = optimizer.update(slope, state)
        return (eqx.apply_updates(model, update), state), (value, statistics)

    def epoch(carry, key):
        order = jax.random.permutation(key, points)[: batches * settings.batch]
        carry, (losses, statistics) = jax.lax.scan(step, carry, order.reshape(batches, settings.batch))
        logits, tested = carry[0](test.x, settings)
        accuracy = (logits.argmax(axis=-1) == test.y).mean(dtype=data.x.dtype)
        load = statistics.load.sum(axis=0).astype(data.x.dtype)
        return carry, (losses.mean(), accuracy, statistics.uncovered.mean(), load / load.sum(), tested)

    keys = jax.random.split(later, settings.epochs)
    state = optimizer.init(model)  # type: ignore[arg-type]  # optax has no type for modules
    (model, _), (losses, accuracy, uncovered, load, tested) = jax.lax.scan(epoch, (model, state), keys)
    return model, History(losses, accuracy, uncovered, load, jax.tree.map(lambda each: each[-1], tested))


def _affine(x: Array, weights: tuple[Array, Array]) -> Array:
    return x @ weights[0] + weights[1][None, :]

r"""One step of learning, for whatever is trained: Adam of optax, with weight decay, at a rate that warms up and falls.

The schedules and ``adamw`` of optax need their lengths when they are built. Here they are traced, as all that one sweeps is,
so the rate is an argument of the step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

ADAM = optax.scale_by_adam()


def rate(peak: ArrayLike, part: ArrayLike, warm: ArrayLike = 1.0, depth: ArrayLike = 1.0) -> Float[Array, ""]:
    r"""The learning rate $\eta \min(w, 1) \left(1 - d\,\frac{1 - \cos \pi p}{2}\right)$.

    Args:
        peak: eta, the highest.
        part: p in [0, 1], how much of the training is done.
        warm: w, how much of the warm-up is done.
        depth: d: 1 lets the rate fall to 0 along a cosine, 0 leaves it as it is.
    """
    return jnp.minimum(1, warm) * peak * (1 - depth * (1 - jnp.cos(jnp.pi * part)) / 2)


def descend(
    optimizer: optax.GradientTransformation,
    model: Any,
    slope: Any,
    moments: optax.OptState,
    rates: Any,
    decay: ArrayLike | None = None,
) -> tuple[Any, optax.OptState]:
    r"""$\theta \leftarrow \theta - \eta\,(u + \delta\,\theta)$, u being what the optimizer makes of the slope.

    Args:
        optimizer: of optax, without a learning rate, as ``ADAM``.
        model: a pytree of arrays.
        slope: the gradient, as the model.
        moments: the state of the optimizer.
        rates: eta: one, or a tree that is a prefix of the model.
        decay: delta, of the weights (AdamW); none when omitted.

    Returns:
        the model, in the types that its numbers had, and the state of the optimizer.
    """
    update, moments = optimizer.update(slope, moments, model)

    def moved(at, by, eta):
        by = by if decay is None else by + decay * at
        return (at - eta * by).astype(at.dtype)

    return jax.tree.map(moved, model, update, jax.tree.broadcast(rates, model)), moments

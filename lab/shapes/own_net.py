"""A network of one's own in the place of DiffusionNet."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.surface import Surface


class _Rest:
    """All of a module that is not learned; it is what it is, and not compared."""

    def __init__(self, module: Any):
        self.module = module


class OwnNet(eqx.Module):
    """Any module that takes a surface and gives features of its vertices: its arrays of real numbers are learned.

    Attributes:
        weights: the module with those arrays alone.
    """

    weights: Any
    rest: _Rest = eqx.field(static=True)

    def __init__(self, net: Callable[[Surface], Array], dtype: Any = jnp.float32):
        """``net`` is of JAX, called with a ``Surface``; its weights are taken over in ``dtype``.

        Raises:
            ValueError: it has nothing to learn.
        """
        weights, rest = eqx.partition(net, eqx.is_inexact_array)
        if not jax.tree.leaves(weights):
            raise ValueError("the network has no arrays of real numbers, so nothing of it can be learned")
        self.weights, self.rest = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), weights), _Rest(rest)

    def __call__(
        self, on: Surface, dropout: ArrayLike = 0.0, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """Features of each vertex; it has no dropout."""
        return eqx.combine(self.weights, self.rest.module)(on)

    def clamped(self) -> "OwnNet":
        """As it is: nothing bounds its weights."""
        return self


type Net = DiffusionNet | OwnNet
"""What learns features."""


def checked_features(found: Any, on: Surface, name: str) -> Any:
    """Features (n, c) as they are, where there is one row for each vertex.

    Raises:
        ValueError: there is not.
    """
    shape, count = tuple(getattr(found, "shape", ())), len(on.mass)
    if len(shape) != 2 or shape[0] != count or shape[1] < 1:
        raise ValueError(f"{name} gives features of shape {shape}, but ({count}, c) are needed: a row for each vertex")
    return found

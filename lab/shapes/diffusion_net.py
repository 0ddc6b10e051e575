r"""DiffusionNet: features of the vertices of a surface, by layers that do not see how it was triangulated.

Each block diffuses its features over the surface for times that are learned, one for each channel,

$$ f \mapsto \Phi\, e^{-\Lambda t}\, \Phi^+ f , $$

takes the slopes g = g_x + i g_y of what was diffused, of them $\tanh\, \mathrm{Re}(\bar g \odot A g)$ with a complex matrix A,
which no turn of the tangent frames changes, and puts the three through a perceptron at each vertex, added to what was.
Without the slopes a surface and its mirror image have the same features.

Source: Sharp, Attaiki, Crane, Ovsjanikov, *DiffusionNet: Discretization agnostic learning on surfaces*, 2022.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import random
from lab.numerics.arguments import NOT_NEGATIVE, arrays
from lab.shapes.surface import Surface

_LEAST = 1e-8  # of a time


class Block(eqx.Module):
    """One layer of diffusion; ``turn`` is the real and the imaginary part of A, or None without slopes."""

    times: Float[Array, " width"]
    turn: tuple[Float[Array, "width width"], Float[Array, "width width"]] | None
    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, key: PRNGKeyArray, width: int, gradients: bool, dtype: Any):
        of_turn, *of_layers = jax.random.split(key, 4)
        self.times = jnp.full(width, _LEAST, dtype)
        bound = width**-0.5
        drawn = random.uniform(of_turn, (2, width, width), dtype, -bound, bound)
        self.turn = (drawn[0], drawn[1]) if gradients else None
        sizes = [(3 if gradients else 2) * width, width, width, width]
        self.layers = tuple(
            eqx.nn.Linear(m, n, dtype=dtype, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], of_layers, strict=True)
        )

    def __call__(
        self, x: Float[Array, "n width"], on: Surface, dropout: ArrayLike, key: PRNGKeyArray | None
    ) -> Float[Array, "n width"]:
        diffused = diffuse(x, on, self.times)
        parts = [x, diffused]
        if self.turn is not None:
            parts.append(slope_features(diffused, on, *self.turn))
        h = jnp.concatenate(parts, axis=1)
        for i, layer in enumerate(self.layers):
            if i > 0:
                h = _dropped(jax.nn.relu(h), dropout, None if key is None else jax.random.fold_in(key, i))
            h = _each(layer, h)
        return x + h


@arrays(times=NOT_NEGATIVE)
def diffuse(f: Float[Array, "n width"], on: Surface, times: Float[Array, " width"]) -> Float[Array, "n width"]:
    r"""$\Phi\, e^{-\Lambda t}\, \Phi^+ f$: the heat equation, within the eigenfunctions that there are."""
    return on.functions @ (jnp.exp(-on.values[:, None] * times[None, :]) * (on.inverse @ f))


@arrays()
def slope_features(
    f: Float[Array, "n width"], on: Surface, real: Float[Array, "width width"], imaginary: Float[Array, "width width"]
) -> Float[Array, "n width"]:
    r"""$\tanh(g_x (A_r g_x - A_i g_y) + g_y (A_i g_x + A_r g_y))$ of the slopes g of f."""
    steps = f[on.neighbours] - f[:, None, :]
    gx, gy = (jnp.einsum("nmw,nm->nw", steps, on.slopes[..., i]) for i in (0, 1))
    return jnp.tanh(gx * (gx @ real.T - gy @ imaginary.T) + gy * (gx @ imaginary.T + gy @ real.T))


def _each(layer: eqx.nn.Linear, x: Array) -> Array:
    return x @ layer.weight.T + jnp.asarray(layer.bias)[None, :]


def _dropped(x: Array, dropout: ArrayLike, key: PRNGKeyArray | None) -> Array:
    if key is None:
        return x
    keep = random.uniform(key, x.shape, x.dtype) >= dropout
    return jnp.where(keep, x / (1 - jnp.asarray(dropout, x.dtype)), 0)


class DiffusionNet(eqx.Module):
    """From the descriptors of a surface to features of its vertices."""

    first: eqx.nn.Linear
    blocks: tuple[Block, ...]
    last: eqx.nn.Linear

    def __init__(
        self,
        key: PRNGKeyArray,
        inputs: int = 128,
        outputs: int = 256,
        *,
        width: int = 128,
        blocks: int = 4,
        gradients: bool = True,
        dtype: Any = jnp.float32,
    ):
        """At its start: matrices uniform in ± 1 / sqrt(inputs), times 1e-8.

        Args:
            gradients: with slopes, which tell left from right.

        Raises:
            ValueError: a size below 1.
        """
        for name, size in (("inputs", inputs), ("outputs", outputs), ("width", width), ("blocks", blocks)):
            if size < 1 or int(size) != size:
                raise ValueError(f"{name} = {size}, but at least 1 is needed")
        of_first, of_last, *of_blocks = jax.random.split(key, blocks + 2)
        self.first = eqx.nn.Linear(inputs, width, dtype=dtype, key=of_first)
        self.blocks = tuple(Block(each, width, gradients, dtype) for each in of_blocks)
        self.last = eqx.nn.Linear(width, outputs, dtype=dtype, key=of_last)

    def __call__(
        self, on: Surface, dropout: ArrayLike = 0.0, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """Features of each vertex. Time O(n (k + width) width) a block.

        Args:
            dropout: the share of hidden numbers that is set to 0; without a key none is.

        Raises:
            ValueError: another number of descriptors than the network takes, or a dropout outside [0, 1).
        """
        given = on.descriptors.shape[-1]
        if given != self.first.in_features:
            raise ValueError(f"on.descriptors has {given} columns, but the network takes {self.first.in_features}")
        if key is not None and not isinstance(dropout, Tracer) and not 0 <= float(np.asarray(dropout)) < 1:
            raise ValueError(f"dropout = {float(np.asarray(dropout)):g} is not allowed: it must be in [0, 1)")
        x = _each(self.first, on.descriptors)
        for i, block in enumerate(self.blocks):
            x = block(x, on, dropout, None if key is None else jax.random.fold_in(key, i))
        return _each(self.last, x)

    def clamped(self) -> "DiffusionNet":
        """With times of at least 1e-8, as after each step of learning: a bound within would have no slope at the start."""
        times = [jnp.maximum(block.times, _LEAST) for block in self.blocks]
        return eqx.tree_at(lambda net: [block.times for block in net.blocks], self, times)

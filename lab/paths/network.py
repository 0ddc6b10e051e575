r"""Small networks of a time and a point, for velocities, denoisers and noise: multilayer perceptrons only.

A network is a pytree, called as ``network(t, x)`` with a time () or a time of each row (n,) and points (n, d), and answers
(n, d). Any other such pytree can be trained in their place, equinox's own among them.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray


def time_features(t: Float[Array, " n"], frequencies: int) -> Float[Array, "n features"]:
    r"""$[t, \cos 2^k \pi t, \sin 2^k \pi t]$ for k below ``frequencies``: $1 + 2\,\mathrm{frequencies}$ columns."""
    angle = jnp.pi * t[:, None] * 2.0 ** jnp.arange(frequencies, dtype=t.dtype)[None, :]
    return jnp.concatenate([t[:, None], jnp.cos(angle), jnp.sin(angle)], axis=1)


class Perceptron(eqx.Module):
    """Layers of equal width on [x, time features].

    Args:
        key: of the initial weights, uniform within one over the root of the number of inputs.
        dimension: d, of the points.
        width, depth: of the hidden layers, and their number.
        frequencies: of the time features; 0 gives the time itself.
        activation: elementwise.
        dtype: of the weights; that of the points should be the same.
    """

    layers: tuple[eqx.nn.Linear, ...]
    frequencies: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        dimension: int,
        width: int = 64,
        depth: int = 3,
        frequencies: int = 0,
        activation: Callable[[Array], Array] = jax.nn.silu,
        dtype=None,
    ):
        sizes = [dimension + 1 + 2 * frequencies, *[width] * depth, dimension]
        keys = jax.random.split(key, depth + 1)
        self.layers = tuple(
            eqx.nn.Linear(m, n, dtype=dtype, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.frequencies, self.activation = frequencies, activation

    def __call__(self, t: ArrayLike, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        h = jnp.concatenate([x, time_features(_rows(t, x), self.frequencies)], axis=1)
        for layer in self.layers[:-1]:
            h = self.activation(_affine(layer, h))
        return _affine(self.layers[-1], h)


class Residual(eqx.Module):
    r"""Residual blocks that see the time each, $h \leftarrow h + B\,\sigma(A\,\sigma(h) + T \tau(t))$; B starts at 0.

    For more dimensions (digits) than ``Perceptron``; arguments as there, depth counts blocks.
    """

    first: eqx.nn.Linear
    blocks: tuple[tuple[eqx.nn.Linear, eqx.nn.Linear, eqx.nn.Linear], ...]
    last: eqx.nn.Linear
    frequencies: int = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        dimension: int,
        width: int = 256,
        depth: int = 3,
        frequencies: int = 4,
        activation: Callable[[Array], Array] = jax.nn.silu,
        dtype=None,
    ):
        start, end, *keys = jax.random.split(key, 2 + 2 * depth)

        def block(a, t):
            outer = eqx.nn.Linear(width, width, dtype=dtype, key=a)
            outer = jax.tree.map(jnp.zeros_like, outer)
            time = eqx.nn.Linear(1 + 2 * frequencies, width, use_bias=False, dtype=dtype, key=t)
            return eqx.nn.Linear(width, width, dtype=dtype, key=a), time, outer

        self.first = eqx.nn.Linear(dimension, width, dtype=dtype, key=start)
        self.blocks = tuple(block(a, t) for a, t in zip(keys[::2], keys[1::2], strict=True))
        self.last = eqx.nn.Linear(width, dimension, dtype=dtype, key=end)
        self.frequencies, self.activation = frequencies, activation

    def __call__(self, t: ArrayLike, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        features, h = time_features(_rows(t, x), self.frequencies), _affine(self.first, x)
        for inner, time, outer in self.blocks:
            h = h + _affine(outer, self.activation(_affine(inner, self.activation(h)) + _affine(time, features)))
        return _affine(self.last, self.activation(h))


def small(key: PRNGKeyArray, dimension: int, dtype=None) -> Perceptron | Residual:
    """A network that is trained in seconds: a ``Perceptron`` of width 64 up to the plane, a ``Residual`` of 128 beyond."""
    if dimension <= 2:
        return Perceptron(key, dimension, width=64, dtype=dtype)
    return Residual(key, dimension, width=128, dtype=dtype)


def _rows(t: ArrayLike, x: Array) -> Array:
    """The time of each row, in the dtype of the points."""
    return jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])


def _affine(layer: eqx.nn.Linear, x: Array) -> Array:
    y = x @ layer.weight.T
    return y if layer.bias is None else y + layer.bias[None, :]


def row_by_row(network: Callable, dimension: int, dtype=None) -> None:
    """Check that a network takes a time of each row: ``t`` of as many rows as there are columns would pass unseen.

    Raises:
        ValueError: it fails, or answers with another shape, where rows and columns differ in number.
    """
    n = dimension + 1
    t, x = (jax.ShapeDtypeStruct(shape, dtype or jnp.result_type(float)) for shape in ((n,), (n, dimension)))
    try:
        shape = eqx.filter_eval_shape(network, t, x).shape
    except (TypeError, ValueError) as problem:
        raise ValueError(
            f"the network fails on times ({n},) and points ({n}, {dimension}), so that it must take a time of each row, as "
            f"t[:, None] does: {str(problem).splitlines()[0]}"
        ) from problem
    if shape != (n, dimension):
        raise ValueError(
            f"the network gives {shape} at times ({n},) and points ({n}, {dimension}): it must agree with them"
        )

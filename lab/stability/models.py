r"""The models of the study, each a pytree called with one sample, and the synthetic data sets, as pure functions of a key.

| model | f(x) | norm that the trace controls |
|---|---|---|
| ``Diagonal`` | $\langle a \circ b, x \rangle$ | $\|a \circ b\|_1$ |
| ``TwoLayer`` | $\sum_j a_j \mathrm{relu}(w_j \cdot x)$ | $\sum_j |a_j| \|w_j\|_2$ |
| ``Perceptron`` | layers with tanh or relu | sum over paths of the product of the weights' sizes |
| ``Convolutional`` | two 3 x 3 convolutions, each with a mean over 2 x 2, and a linear layer | the same |

Any other pytree, an equinox module say, can be trained in their place; one with a method ``norm`` has its norm followed.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen


class Diagonal(eqx.Module):
    r"""A diagonal linear network, $\beta = a \circ b$."""

    a: Float[Array, " d"]
    b: Float[Array, " d"]

    @property
    def beta(self) -> Array:
        return self.a * self.b

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.vdot(self.beta, x)

    def norm(self) -> Float[Array, ""]:
        return jnp.abs(self.beta).sum()


def diagonal(key: PRNGKeyArray, d: int = 1000, scale: ArrayLike = 1.0, dtype=None) -> Diagonal:
    """a and b from N(0, scale^2)."""
    drawn = scale * jax.random.normal(key, (2, d), dtype)
    return Diagonal(drawn[0], drawn[1])


class TwoLayer(eqx.Module):
    """A ReLU network with one hidden layer and no biases."""

    w: Float[Array, "m d"]
    a: Float[Array, " m"]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.vdot(self.a, jax.nn.relu(self.w @ x))

    def norm(self) -> Float[Array, ""]:
        return (jnp.abs(self.a) * jnp.linalg.norm(self.w, axis=1)).sum()


def two_layer(key: PRNGKeyArray, d: int = 100, m: int = 100, scale: ArrayLike = 1.0, dtype=None) -> TwoLayer:
    r"""a from N(0, scale^2), w from N(0, scale^2 I / sqrt(d)): large, the path norm is about 0.8 m d^(1/4)."""
    one, two = jax.random.split(key)
    scale = jnp.asarray(scale)
    return TwoLayer(
        scale * jax.random.normal(one, (m, d), dtype) / d**0.25, scale * jax.random.normal(two, (m,), dtype)
    )


class Layer(eqx.Module):
    """An affine map."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        y = x @ self.weight.T
        return y + self.bias.reshape(*(1,) * (y.ndim - 1), -1)


def _layer(key: PRNGKeyArray, inputs: int, outputs: int, gain: ArrayLike, dtype) -> Layer:
    weight = gain * jax.random.normal(key, (outputs, inputs), dtype) / inputs**0.5
    return Layer(weight, jnp.zeros(outputs, weight.dtype))


type Activation = Literal["tanh", "relu"] | str
ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def _gain(activation: Activation, scale: ArrayLike) -> Array:
    return jnp.asarray(scale) * (2**0.5 if activation == "relu" else 1.0)


@chosen
class Perceptron(eqx.Module):
    """Layers; a last one of width 1 gives a scalar."""

    layers: tuple[Layer, ...]
    activation: Activation = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, "*k"]:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        y = self.layers[-1](x)
        return y[0] if y.size == 1 else y

    def norm(self) -> Float[Array, ""]:
        h = jnp.ones(self.layers[0].weight.shape[1], self.layers[0].weight.dtype)
        for layer in self.layers:
            h = jnp.abs(layer.weight) @ h
        return h.sum()


@chosen
def perceptron(
    key: PRNGKeyArray, sizes: Sequence[int], activation: Activation = "tanh", scale: ArrayLike = 1.0, dtype=None
) -> Perceptron:
    """Weights from N(0, scale^2 / inputs), twice the variance with relu; biases 0. ``sizes``: inputs, widths, outputs."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes = {tuple(sizes)}, but inputs and outputs are needed, each at least 1")
    gain, keys = _gain(activation, scale), jax.random.split(key, len(sizes) - 1)
    gains = [gain] * (len(sizes) - 2) + [jnp.asarray(scale)]
    layers = tuple(_layer(k, a, b, g, dtype) for k, a, b, g in zip(keys, sizes[:-1], sizes[1:], gains, strict=True))
    return Perceptron(layers, activation)


@chosen
class Convolutional(eqx.Module):
    """A small convolutional network on one-channel images (h, w), h and w multiples of 4.

    A convolution is a product with the 9 shifted images: XLA's own is slow inside a scan on the CPU.
    """

    first: Layer
    second: Layer
    last: Layer
    activation: Activation = eqx.field(static=True)

    def __call__(self, x: Float[Array, "h w"]) -> Float[Array, "*k"]:
        h = x[:, :, None]
        for layer in (self.first, self.second):
            h = _pool(ACTIVATIONS[self.activation](layer(_patches(h))))
        y = self.last(h.ravel())
        return y[0] if y.size == 1 else y

    def norm(self) -> Float[Array, ""]:
        size = self.last.weight.shape[1] // self.second.weight.shape[0]
        # on a plane without borders every place is alike: the paths into one place, then the last layer
        inner = jnp.abs(self.first.weight).sum(axis=1)
        inner = jnp.abs(self.second.weight).reshape(-1, 9, inner.size).sum(axis=1) @ inner
        return (jnp.abs(self.last.weight).reshape(-1, size, inner.size) @ inner).sum()


def _patches(x: Float[Array, "h w c"]) -> Float[Array, "h w nine_c"]:
    h, w, _ = x.shape
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=2)


def _pool(x: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).mean(axis=(1, 3))


@chosen
def convolutional(
    key: PRNGKeyArray,
    shape: tuple[int, int],
    channels: int = 8,
    outputs: int = 10,
    activation: Activation = "relu",
    scale: ArrayLike = 1.0,
    dtype=None,
) -> Convolutional:
    """Initial weights as of ``perceptron``."""
    if shape[0] % 4 or shape[1] % 4:
        raise ValueError(f"images are {shape[0]} x {shape[1]}, but both sides must be multiples of 4: crop or pad them")
    gain, keys = _gain(activation, scale), jax.random.split(key, 3)
    left = channels * (shape[0] // 4) * (shape[1] // 4)
    return Convolutional(
        _layer(keys[0], 9, channels, gain, dtype),
        _layer(keys[1], 9 * channels, channels, gain, dtype),
        _layer(keys[2], left, outputs, jnp.asarray(scale), dtype),
        activation,
    )


class Data(NamedTuple):
    """Training and test samples; x is (n, ...), y is (n,) or (n, k)."""

    x: Array
    y: Array
    x_test: Array | None = None
    y_test: Array | None = None


def sparse_regression(
    key: PRNGKeyArray, n: int = 300, d: int = 1000, nonzero: int = 3, test: int = 2000, dtype=None
) -> Data:
    r"""x uniform on [-1, 1]^d, $y = \langle \beta^*, x \rangle$, $\beta^*$ = (1, ..., 1, 0, ..., 0)."""
    if not 1 <= nonzero <= d:
        raise ValueError(f"nonzero = {nonzero}, but it must be between 1 and d = {d}")
    x = jax.random.uniform(key, (n + test, d), dtype, -1, 1)
    y = x[:, :nonzero].sum(axis=1)
    return Data(x[:n], y[:n], x[n:], y[n:])


def sphere(key: PRNGKeyArray, n: int, d: int, dtype=None) -> Float[Array, "n d"]:
    """Uniform on the sphere of radius sqrt(d)."""
    x = jax.random.normal(key, (n, d), dtype)
    return x * (d**0.5 / jnp.linalg.norm(x, axis=1))[:, None]


def teacher(key: PRNGKeyArray, n: int = 300, d: int = 100, units: int = 10, test: int = 2000, dtype=None) -> Data:
    r"""x uniform on the sphere of radius sqrt(d), $y = \sum_{j \le k} \mathrm{relu}(v_j \cdot x)$, $v_j$ on the unit sphere."""
    one, two = jax.random.split(key)
    v = sphere(one, units, d, dtype) / d**0.5
    x = sphere(two, n + test, d, dtype)
    y = jax.nn.relu(x @ v.T).sum(axis=1)
    return Data(x[:n], y[:n], x[n:], y[n:])

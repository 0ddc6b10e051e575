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
from lab.numerics import arguments, random


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
    r"""A diagonal linear network, $f(x) = \langle a \circ b, x \rangle$, with a and b from N(0, scale^2).

    Args:
        key: of the draw.
        d: inputs.
        scale: standard deviation of the weights.
        dtype: of the weights; jax's when omitted.

    Returns:
        the model, called with one sample (d,).

    Source:
        Wu and Su (2023), of the experiment.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> net = stability.diagonal(jax.random.key(0), 4)
        >>> bool(net(jnp.ones(4)) == net.beta.sum())
        True
    """
    drawn = arguments.real("scale", scale, ()) * random.normal(key, (2, arguments.whole("d", d, 1)), dtype)
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
    r"""A ReLU network, $f(x) = \sum_j a_j \mathrm{relu}(w_j \cdot x)$, a from N(0, scale^2), w from N(0, scale^2 I / sqrt(d)).

    Large: at scale 1 the path norm $\sum_j |a_j| |w_j|$ is about 0.8 m d^(1/4).

    Args:
        key: of the draw.
        d: inputs.
        m: hidden units.
        scale: of the weights.
        dtype: of the weights; jax's when omitted.

    Returns:
        the model, called with one sample (d,).

    Source:
        Wu and Su (2023), of the experiment.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> net = stability.two_layer(jax.random.key(0), 3, 5)
        >>> bool(jnp.allclose(net(2 * jnp.ones(3)), 2 * net(jnp.ones(3))))  # without biases
        True
    """
    one, two = jax.random.split(key)
    scale, d, m = arguments.real("scale", scale, ()), arguments.whole("d", d, 1), arguments.whole("m", m, 1)
    return TwoLayer(scale * random.normal(one, (m, d), dtype) / d**0.25, scale * random.normal(two, (m,), dtype))


class Layer(eqx.Module):
    """An affine map."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        y = x @ self.weight.T
        return y + self.bias.reshape(*(1,) * (y.ndim - 1), -1)


def _layer(key: PRNGKeyArray, inputs: int, outputs: int, gain: ArrayLike, dtype) -> Layer:
    weight = gain * random.normal(key, (outputs, inputs), dtype) / inputs**0.5
    return Layer(weight, jnp.zeros(outputs, weight.dtype))


type Activation = Literal["tanh", "relu"] | str
ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def _gain(activation: Activation, scale: ArrayLike) -> Array:
    return arguments.real("scale", scale, ()) * (2**0.5 if activation == "relu" else 1.0)


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
    r"""Layers $h \mapsto \sigma(W h + b)$, the last one linear; W from N(0, scale^2 / inputs) and b = 0.

    With relu the variance is twice that, but in the last layer.

    Args:
        key: of the draw.
        sizes: inputs, widths, outputs.
        activation: ``tanh`` or ``relu``.
        scale: of the weights.
        dtype: of the weights; jax's when omitted.

    Returns:
        the model, called with one sample; of one output it gives a scalar.

    Raises:
        ValueError: fewer than two sizes, one below 1, an unknown activation.

    Source:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), of the variance with relu.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> float(stability.perceptron(jax.random.key(0), [3, 5, 1])(jnp.zeros(3)))
        0.0
    """
    sizes = [arguments.whole("sizes", size, 1) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(
            f"sizes = {tuple(sizes)} is not allowed: sizes must be of inputs and outputs, and of layers between"
        )
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
    r"""A small convolutional network: twice a 3 x 3 convolution, the activation and a mean over 2 x 2, then a linear layer.

    Weights from N(0, scale^2 / inputs), $\mathrm{inputs} = 9\, c$ of a convolution of c channels; twice the variance with relu,
    but for the last layer.

    Args:
        key: of the draw.
        shape: (h, w) of the images, multiples of 4.
        channels: of both convolutions.
        outputs: of the last layer.
        activation: ``tanh`` or ``relu``.
        scale: of the weights.
        dtype: of the weights; jax's when omitted.

    Returns:
        the model, called with one image (h, w); of one output it gives a scalar.

    Raises:
        ValueError: sides that are no multiples of 4, an unknown activation.

    Source:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), of the variance with relu.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> stability.convolutional(jax.random.key(0), (4, 8), channels=2, outputs=3)(jnp.zeros((4, 8)))
        Array([0., 0., 0.], dtype=float64)
    """
    arguments.whole("channels", channels, 1)
    arguments.whole("outputs", outputs, 1)
    if len(shape) != 2 or min(shape) < 4:
        raise ValueError(f"shape = {shape} is not allowed: shape must be (h, w), both positive multiples of 4")
    if shape[0] % 4 or shape[1] % 4:
        raise ValueError(f"shape = {shape}, but both sides must be multiples of 4: crop or pad them")
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
    r"""x uniform on [-1, 1]^d, $y = \langle \beta^*, x \rangle$, $\beta^*$ = (1, ..., 1, 0, ..., 0).

    Args:
        key: of the draw.
        n: training samples.
        d: inputs.
        nonzero: ones in $\beta^*$.
        test: test samples.
        dtype: of the data; jax's when omitted.

    Returns:
        x (n, d) and y (n,), and those of the test.

    Raises:
        ValueError: a count that is no whole number or too small, or nonzero above d.

    Source:
        Wu and Su (2023), of the experiment.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> data = stability.sparse_regression(jax.random.key(0), n=5, d=4, nonzero=2, test=1)
        >>> bool(jnp.allclose(data.y, data.x[:, 0] + data.x[:, 1]))
        True
    """
    _check_counts(n, d, test)
    arguments.whole("nonzero", nonzero, 1, d)
    x = random.uniform(key, (n + test, d), dtype, -1, 1)
    y = x[:, :nonzero].sum(axis=1)
    return Data(x[:n], y[:n], x[n:], y[n:])


def _check_counts(n: int, d: int, test: int) -> None:
    for name, value, least in (("n", n, 1), ("d", d, 1), ("test", test, 0)):
        arguments.whole(name, value, least)


def sphere(key: PRNGKeyArray, n: int, d: int, dtype=None) -> Float[Array, "n d"]:
    """Uniform on the sphere of radius sqrt(d)."""
    x = random.normal(key, (n, d), dtype)
    return x * (d**0.5 / jnp.linalg.norm(x, axis=1))[:, None]


def teacher(key: PRNGKeyArray, n: int = 300, d: int = 100, units: int = 10, test: int = 2000, dtype=None) -> Data:
    r"""x uniform on the sphere of radius sqrt(d), $y = \sum_{j \le k} \mathrm{relu}(v_j \cdot x)$, $v_j$ on the unit sphere.

    Args:
        key: of the draw, of v too.
        n: training samples.
        d: inputs.
        units: k.
        test: test samples.
        dtype: of the data; jax's when omitted.

    Returns:
        x (n, d) and y (n,), and those of the test.

    Raises:
        ValueError: a count that is no whole number or too small.

    Source:
        Wu and Su (2023), of the experiment.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import stability
        >>> data = stability.teacher(jax.random.key(0), n=3, d=4, units=2, test=1)
        >>> jnp.linalg.norm(data.x, axis=1).round(9), bool((data.y >= 0).all())
        (Array([2., 2., 2.], dtype=float64), True)
    """
    _check_counts(n, d, test)
    arguments.whole("units", units, 1)
    one, two = jax.random.split(key)
    v = sphere(one, units, d, dtype) / d**0.5
    x = sphere(two, n + test, d, dtype)
    y = jax.nn.relu(x @ v.T).sum(axis=1)
    return Data(x[:n], y[:n], x[n:], y[n:])

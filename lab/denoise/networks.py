r"""Trained networks as denoisers: preconditioning, three architectures, and their training by the loop of ``lab.paths``.

$$ D = c_{skip}\, x + c_{out}\, F\big(\tfrac14\ln\sigma,\ c_{in} x\big), \qquad c_{skip} = \frac{s^2}{\sigma^2 + s^2}, \quad
   c_{out} = \frac{\sigma s}{\sqrt{\sigma^2 + s^2}}, \quad c_{in} = \frac{1}{\sqrt{\sigma^2 + s^2}} $$

with s the standard deviation of the pixels (Karras, Aittala, Aila, Laine, NeurIPS 2022). With $\sigma = s\tan\theta$ the
weighted loss $\frac{\sigma^2 + s^2}{(\sigma s)^2}|D - x_0|^2$ is $|F - (\sin\theta\, x_0 / s - \cos\theta\,\varepsilon)|^2$ at
$c_{in} x_\sigma = \cos\theta\, x_0 / s + \sin\theta\,\varepsilon$: the regression of the velocity along the trigonometric path
from noise to $x_0 / s$. So the training loop of ``lab.paths`` trains it as it is, with times that make $\ln\sigma$ normal.

A core F is called like the networks of ``lab.paths.network``, ``core(noise, x)`` with noise (b,) and x (b, n), so that these
can be cores too. All is products of matrices: XLA's convolutions are slow inside a loop on a CPU (16 times here), so that a
3 x 3 convolution is nine shifted copies and one product.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import choices, chosen
from lab.denoise.base import Denoiser, Shape
from lab.denoise.images import Images
from lab.numerics import Loop, pure, random
from lab.numerics.mixtures import standard
from lab.paths.laws import Empirical
from lab.paths.network import Residual, time_features
from lab.paths.schedules import Trigonometric, as_pytree
from lab.paths.training import Settings, State, train, whole

MEAN, SPREAD = -0.4, 1.4
"""Of the logarithm of the noise level, in training."""
_TIMES = 4096  # levels that are drawn from
_FREQUENCIES = 3  # of the features of the noise level


class Network(Denoiser):
    """A preconditioned network.

    Args:
        core: called with ln(sigma) / 4 (b,) and the scaled images (b, n).
        sigma_data: standard deviation of the pixels.
        shape: (C, H, W).
    """

    core: Any
    sigma_data: Float[Array, ""]
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, core: Any, sigma_data: ArrayLike, shape: Shape, name: str = "network"):
        self.core, self.sigma_data, self.shape, self.name = as_pytree(core), jnp.asarray(sigma_data), shape, name

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self.denoise_each(x, jnp.full(len(x), sigma))

    def denoise_each(self, x: Float[Array, "b n"], sigma: Float[Array, " b"]) -> Float[Array, "b n"]:
        s = self.sigma_data.astype(x.dtype)
        root = jnp.sqrt(sigma**2 + s**2)[:, None]
        weights = jax.tree.leaves(eqx.filter(self.core, eqx.is_inexact_array))
        own = weights[0].dtype if weights else x.dtype
        found = self.core((jnp.log(sigma) / 4).astype(own), (x / root).astype(own)).astype(x.dtype)
        return (s / root) ** 2 * x + sigma[:, None] * s / root * found

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Four standard deviations of ln(sigma) in training."""
        return float(np.exp(MEAN - 4 * SPREAD)), float(np.exp(MEAN + 4 * SPREAD))


# ------------------------------------------------------------------------------------------------------- architectures


class UNet(eqx.Module):
    r"""A small convolutional network: 2 x 2 pixels as channels, five residual blocks at a half and a quarter of the size.

    A block is two 3 x 3 convolutions, each after RMS normalisation over all of (H, W, C) and SiLU, with an embedding of the
    noise level between them, and a 1 x 1 convolution beside. 270 thousand weights; a gradient of 64
    images of 28 x 28 takes 0.2 to 0.3 s of a core.

    Args:
        key: of the initial weights.
        shape: (C, H, W); inside, the last row and column are repeated until both sides are multiples of 4.
        width: channels at half the size; twice as many at a quarter.
    """

    enter: Array
    blocks: tuple["_Block", ...]
    leave: Array
    shape: Shape = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, shape: Shape, width: int = 32, dtype: Any = jnp.float32):
        c = shape[0]
        keys = jax.random.split(key, 7)
        sizes = ((width, width), (width, 2 * width), (2 * width, 2 * width), (2 * width, 2 * width), (3 * width, width))
        self.enter = _weights(keys[0], 9 * 4 * c, width, dtype)
        self.blocks = tuple(_Block(k, *size, dtype) for k, size in zip(keys[1:6], sizes, strict=True))
        self.leave = 0 * _weights(keys[6], 9 * width, 4 * c, dtype)
        self.shape = shape

    def __call__(self, noise: ArrayLike, x: Float[Array, "b n"]) -> Float[Array, "b n"]:
        c, rows, columns = self.shape
        h, w = -(-rows // 4) * 4, -(-columns // 4) * 4
        noise = jnp.broadcast_to(jnp.asarray(noise, x.dtype), x.shape[:1])
        features = time_features(noise, _FREQUENCIES)
        padded = x.reshape(-1, c, rows, columns)
        if (h, w) != (rows, columns):
            padded = jnp.pad(padded, ((0, 0), (0, 0), (0, h - rows), (0, w - columns)), mode="edge")
        pixels = (
            padded.reshape(-1, c, h // 2, 2, w // 2, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, h // 2, w // 2, 4 * c)
        )
        first, down, middle, low, last = self.blocks
        beside = first(features, _convolved(pixels, self.enter))
        b, high, wide, channels = beside.shape
        small = beside.reshape(b, high // 2, 2, wide // 2, 2, channels).mean(axis=(2, 4))
        small = low(features, middle(features, down(features, small)))
        large = jnp.repeat(jnp.repeat(small, 2, axis=1), 2, axis=2)
        found = last(features, jnp.concatenate([large, beside], axis=3))
        out = _convolved(jax.nn.silu(_normalised(found)), self.leave)
        out = out.reshape(b, h // 2, w // 2, c, 2, 2).transpose(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)
        return out[:, :, :rows, :columns].reshape(b, -1)


class _Block(eqx.Module):
    first: Array
    second: Array
    embed: Array
    skip: Array | None

    def __init__(self, key: PRNGKeyArray, have: int, want: int, dtype: Any):
        keys = jax.random.split(key, 4)
        self.first = _weights(keys[0], 9 * have, want, dtype)
        self.second = 0.1 * _weights(keys[1], 9 * want, want, dtype)
        self.embed = _weights(keys[2], 1 + 2 * _FREQUENCIES, want, dtype)
        self.skip = None if have == want else _weights(keys[3], have, want, dtype)

    def __call__(self, features: Array, x: Float[Array, "b h w c"]) -> Array:
        found = _convolved(jax.nn.silu(_normalised(x)), self.first) + (features @ self.embed)[:, None, None]
        found = _convolved(jax.nn.silu(_normalised(found)), self.second)
        return found + (x if self.skip is None else x @ self.skip)


def _convolved(x: Float[Array, "b h w c"], weights: Float[Array, "k d"]) -> Float[Array, "b h w d"]:
    """A 3 x 3 convolution with zeros beyond the border."""
    _, h, w, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=3) @ weights


def _normalised(x: Array) -> Array:
    """Each image divided by its root mean square."""
    return x * jax.lax.rsqrt((x**2).mean(axis=tuple(range(1, x.ndim)), keepdims=True) + 1e-6)


class Transformer(eqx.Module):
    """A small transformer: patches as tokens, learned places, attention and a perceptron in each layer; no convolution.

    Args:
        key: of the initial weights.
        shape: (C, H, W), height and width multiples of ``patch``.
        patch: side of a patch in pixels.
        width, depth, heads: of the layers.

    Raises:
        ValueError: patches that do not fit.
    """

    enter: Array
    places: Array
    embed: Array
    layers: tuple[tuple[Array, Array, Array, Array], ...]  # queries keys values, their mix, up, down
    leave: Array
    shape: Shape = eqx.field(static=True)
    patch: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        shape: Shape,
        patch: int = 4,
        width: int = 96,
        depth: int = 3,
        heads: int = 4,
        dtype: Any = jnp.float32,
    ):
        c, h, w = shape
        if h % patch or w % patch:
            raise ValueError(f"images of {h} x {w} pixels were given, but patches of {patch} must fit in them")
        keys = iter(jax.random.split(key, 4 + 4 * depth))
        self.enter = _weights(next(keys), c * patch**2, width, dtype)
        self.places = 0.3 * random.normal(next(keys), (h // patch * (w // patch), width), dtype)
        self.embed = _weights(next(keys), 1 + 2 * _FREQUENCIES, width, dtype)
        self.layers = tuple(
            (
                _weights(next(keys), width, 3 * width, dtype),
                0.3 * _weights(next(keys), width, width, dtype),
                _weights(next(keys), width, 4 * width, dtype),
                0.3 * _weights(next(keys), 4 * width, width, dtype),
            )
            for _ in range(depth)
        )
        self.leave = 0 * _weights(next(keys), width, c * patch**2, dtype)
        self.shape, self.patch, self.heads = shape, patch, heads

    def __call__(self, noise: ArrayLike, x: Float[Array, "b n"]) -> Float[Array, "b n"]:
        (c, h, w), p = self.shape, self.patch
        noise = jnp.broadcast_to(jnp.asarray(noise, x.dtype), x.shape[:1])
        cut = x.reshape(-1, c, h // p, p, w // p, p).transpose(0, 2, 4, 1, 3, 5).reshape(len(x), -1, c * p * p)
        tokens = cut @ self.enter + self.places[None] + (time_features(noise, _FREQUENCIES) @ self.embed)[:, None]
        b, t, width = tokens.shape
        for both, mix, up, down in self.layers:
            parts = (_level(tokens) @ both).reshape(b, t, 3, self.heads, -1)
            q, k, v = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
            logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
            seen = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits, axis=3), v)
            tokens = tokens + seen.reshape(b, t, width) @ mix
            tokens = tokens + jax.nn.silu(_level(tokens) @ up) @ down
        out = (_level(tokens) @ self.leave).reshape(b, h // p, w // p, c, p, p)
        return out.transpose(0, 3, 1, 4, 2, 5).reshape(b, -1)


def _level(tokens: Array) -> Array:
    """Each token divided by its root mean square."""
    return tokens * jax.lax.rsqrt((tokens**2).mean(axis=2, keepdims=True) + 1e-6)


def _weights(key: Array, have: int, want: int, dtype: Any) -> Array:
    return random.normal(key, (have, want), dtype) / have**0.5


type Kind = Literal["U-Net", "perceptron", "transformer"] | str
CORES = choices(Kind)


@chosen
def core(kind: Kind, key: PRNGKeyArray, shape: Shape) -> Any:
    """A core by its name, with its usual size, in float32.

    Raises:
        ValueError: an unknown name, or an image size that the architecture does not take.
    """
    if kind == "U-Net":
        return UNet(key, shape)
    if kind == "perceptron":
        c, h, w = shape
        return Residual(key, c * h * w, width=512, depth=3, frequencies=_FREQUENCIES, dtype=jnp.float32)
    sides = [p for p in (4, 2, 1) if shape[1] % p == 0 and shape[2] % p == 0 and shape[1] * shape[2] >= 16 * p * p]
    return Transformer(key, shape, patch=(sides or [1])[0])


# ------------------------------------------------------------------------------------------------------------ training


class Learned(NamedTuple):
    """A trained network."""

    denoiser: Network  # of the averaged weights
    loss: Float[Array, " steps"]  # weighted, a pixel, of the batch of each step; about 1 before training
    iterations: Any
    reason: Any
    state: State  # to go on from


class Flow(eqx.Module):
    """A core as the velocity that ``lab.paths.training`` trains."""

    core: Any
    sigma_data: Float[Array, ""]

    def __call__(self, t: ArrayLike, x: Float[Array, "b n"]) -> Float[Array, "b n"]:
        angle = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1]) * jnp.pi / 2
        s = jax.lax.stop_gradient(self.sigma_data).astype(x.dtype)
        return jnp.pi / 2 * self.core(jnp.log(s / jnp.tan(angle)) / 4, x)


def learn(
    key: PRNGKeyArray,
    core: Any,
    images: Images,
    *,
    steps: int = 1200,
    batch: int = 64,
    settings: Settings | None = None,
    name: str = "network",
    state: State | None = None,
    loop: Loop = pure,
) -> Learned:
    r"""Train a denoiser by the loss of the module with $\ln\sigma \sim N(-0.4, 1.4^2)$.

    $$ \tfrac{\sigma^2 + s^2}{(\sigma s)^2}\, |D - x_0|^2 $$

    with s the standard deviation of the pixels, and D preconditioned.

    Args:
        key: of all that is drawn.
        core: see ``core``, whose U-Net on 4000 images of MNIST takes 1200 steps.
        images: training set.
        steps: of Adam; static.
        batch: of images at a step; static.
        settings: learning rate 2e-3 with 100 steps of warm-up and a cosine, decay of the average 0.995, and gradients of norm
            at most 1, when None.
        name: of the denoiser.
        state: where to go on.
        loop: ``pure``, or a ``Chunked`` that reports; ``network_of(progress.state, ...)`` is the denoiser so far.

    Returns:
        a ``Learned``: the denoiser of the averaged weights, the loss of each step, the reason, and the state.

    Raises:
        ValueError: constant images.

    Warns:
        NotConverged: the loss became infinite or NaN. A training that was stopped says so in ``reason``.

    Source:
        Karras, Aittala, Aila, Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import denoise
        >>> from lab.paths.network import Residual
        >>> images = denoise.Images(jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1))
        >>> core = Residual(jax.random.key(0), 1, width=4, depth=1, frequencies=1)
        >>> found = denoise.learn(jax.random.key(1), core, images, steps=1, batch=2)
        >>> found.loss.shape, found.denoiser.shape
        ((1,), (1, 1, 1))
    """
    dtype = jax.tree.leaves(eqx.filter(core, eqx.is_inexact_array))[0].dtype
    numbers = images.numbers(dtype=dtype)
    spread = float(numbers.std())
    if not spread > 0:
        raise ValueError("all pixels of all images are equal: there is nothing to learn")
    from scipy.stats import norm

    levels = np.exp(MEAN + SPREAD * norm.ppf((np.arange(_TIMES) + 0.5) / _TIMES))
    times = jnp.asarray(1 - 2 / np.pi * np.arctan(levels / spread), dtype)
    scale = images.n * np.pi**2 / 4  # of the loop's loss beside the mean one
    if settings is None:
        settings = Settings(learning_rate=2e-3, decay=0.995, warmup=100.0, anneal=1.0, clip=scale)
    flow = Flow(core, jnp.asarray(spread, dtype))
    done = train(
        key,
        flow,
        standard(images.n, dtype),
        Empirical(numbers / spread),
        Trigonometric(),
        settings=settings,
        steps=steps,
        batch=batch,
        times=times,
        latent=False,
        state=state,
        loop=loop,
    )
    return Learned(
        network_of(done.state, images.shape, name), done.loss / scale, done.iterations, done.reason, done.state
    )


def network_of(state: State, shape: Shape, name: str = "network") -> Network:
    r"""The denoiser of the averaged weights of a training, also half way.

    $$ D = c_{skip}\, x + c_{out}\, F\big(\tfrac14\ln\sigma,\ c_{in} x\big) $$

    Args:
        state: of a training, ``Learned.state`` or what a loop reports.
        shape: (C, H, W).
        name: what a legend says.

    Returns:
        a ``Network``.

    Source:
        Karras, Aittala, Aila, Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022, eq. 7.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import denoise
        >>> from lab.paths.network import Residual
        >>> images = denoise.Images(jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1))
        >>> core = Residual(jax.random.key(0), 1, width=4, depth=1, frequencies=1)
        >>> found = denoise.learn(jax.random.key(1), core, images, steps=1, batch=2)
        >>> float(denoise.network_of(found.state, (1, 1, 1)).sigma_data)  # of -1 and 1
        1.0
    """
    flow = whole(state.average)
    return Network(flow.core, flow.sigma_data, shape, name)

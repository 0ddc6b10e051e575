r"""Beds on which solvers are tried: images damaged in a named way, a prior of training images, and the posterior beside it.

Two priors have a posterior in closed form. That of the Wiener denoiser is a Gaussian $N(m, S)$, for linear operators: with
$M = H S H^\top + \sigma^2 I$

$$ E[x \mid y] = m + S H^\top M^{-1} (y - H m), \qquad \mathrm{Cov}[x \mid y] = S - S H^\top M^{-1} H S . $$

That of the optimal denoiser is the law of the training images themselves, whose posterior has the weights
$w_k \propto \exp(-|y - A(x_k)|^2 / (2 \sigma^2))$, whatever A is.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import choices, chosen
from lab.denoise.images import Spectrum
from lab.inverse.fourier import MaskedFourier, lines
from lab.inverse.kernels import Blur, gaussian, motion
from lab.inverse.linear import Identity, Mask, average, bicubic, box, free_form, scattered
from lab.inverse.nonlinear import Clip, LinearLightBlur, PhaseRetrieval
from lab.inverse.operators import Linear, Operator, Shape
from lab.inverse.problems import Problem
from lab.inverse.solving import each
from lab.inverse.tomography import radon
from lab.numerics import random
from lab.numerics.jit import jit

type LinearDamage = Literal[
    "random mask",
    "box",
    "strokes",
    "blur",
    "motion blur",
    "average",
    "bicubic",
    "tomography",
    "magnetic resonance",
    "noise",
]
type OtherDamage = Literal["phase retrieval", "clip", "blur of light"]
type Damage = LinearDamage | OtherDamage | str
LINEAR, NONLINEAR = choices(LinearDamage), choices(OtherDamage)


class Extent(NamedTuple):
    """How much is damaged.

    Attributes:
        seen: share of the pixels of a *random mask*, of the frequencies of *magnetic resonance*; traced.
        hole: share of the side that a *box* in the middle hides, a sixth of it the width of the *strokes*; traced.
        width: of a *blur* and a *blur of light*, in pixels; traced.
        factor: pixels a side that are one in *average* and *bicubic*, half the length of a *motion blur*; static.
        views: of *tomography*; static.
        gain: of *clip*; traced.
    """

    seen: ArrayLike = 0.5
    hole: ArrayLike = 0.4
    width: ArrayLike = 1.0
    factor: int = 2
    views: int = 8
    gain: ArrayLike = 2.0


@chosen
def damage(name: Damage, shape: Shape, extent: Extent, key: PRNGKeyArray) -> Operator:
    """The operator of this name for images (C, H, W); masks are drawn from the key.

    Raises:
        ValueError: images that it can't be applied to.
    """
    _, h, w = shape
    odd = min(h, w) - 1 + min(h, w) % 2
    match name:
        case "random mask":
            return Mask(scattered(key, (h, w), extent.seen), shape)
        case "box":
            tall, wide = (jnp.round(jnp.asarray(extent.hole) * side) for side in (h, w))
            return Mask(box((h, w), (h - tall) // 2, (w - wide) // 2, tall, wide), shape)
        case "strokes":
            return Mask(free_form(key, (h, w), width=jnp.asarray(extent.hole) / 6), shape)
        case "blur":
            return Blur(shape, gaussian(extent.width, odd))
        case "motion blur":
            return Blur(shape, motion(min(2 * extent.factor + 1, odd), 30.0))
        case "average":
            return average(shape, extent.factor)
        case "bicubic":
            return bicubic(shape, extent.factor)
        case "tomography":
            return radon(shape, extent.views)
        case "magnetic resonance":
            return MaskedFourier(shape, lines(key, (h, w), 1 / jnp.asarray(extent.seen)))
        case "phase retrieval":
            return PhaseRetrieval(shape)
        case "clip":
            return Clip(shape, extent.gain)
        case "blur of light":
            made = Blur(shape, gaussian(extent.width, odd))
            return LinearLightBlur(made)  # pyright: ignore[reportCallIssue]
    return Identity(shape)


class Known(NamedTuple):
    """The posterior of each image: its mean and standard deviation, pixel by pixel, and what a histogram needs."""

    mean: Float[Array, "images n"]
    deviation: Float[Array, "images n"]
    weights: Float[Array, "images N"] | None  # of the training images, where the prior is their law


@jit
def gaussian_posterior(problem: Problem, spectrum: Spectrum) -> Known:
    """Under the Gaussian that has the mean and the covariance of images, for a linear operator and noise above 0.

    Time O(n^3 + m^3), once for all images.

    Raises:
        ValueError: another operator, or a single image without an axis.
    """
    made = problem.operator
    if not isinstance(made, Linear):
        raise ValueError("the posterior of a Gaussian is known for linear operators only")
    count = _several(problem)
    y = problem.y.reshape(count, -1)
    y = jnp.concatenate([y.real, y.imag], axis=1) if made.is_complex else y
    dtype = y.dtype
    h = made.matrix(dtype)
    mean, values, vectors = (z.astype(dtype) for z in (spectrum.mean, spectrum.values, spectrum.vectors))
    root = (h @ vectors) * jnp.sqrt(values)[None, :]  # of H S H'
    factor = jnp.linalg.cholesky(root @ root.T + problem.noise**2 * jnp.eye(len(h), dtype=dtype))
    solved = jax.scipy.linalg.solve_triangular(factor, root, lower=True)
    off = jax.scipy.linalg.solve_triangular(factor, (y - (h @ mean)[None]).T, lower=True)
    back = vectors * jnp.sqrt(values)[None, :]
    found = mean[None] + (back @ (solved.T @ off)).T
    variance = (back**2).sum(axis=1) - ((back @ solved.T) ** 2).sum(axis=1)
    deviation = jnp.sqrt(jnp.maximum(variance, 0))
    return Known(found, jnp.broadcast_to(deviation, found.shape), None)


@jit
def empirical_posterior(problem: Problem, pixels: Float[Array, "N n"]) -> Known:
    """Under the law of these images, for any operator and noise above 0."""
    made = problem.operator
    seen = made(pixels.reshape(-1, *made.inputs)).reshape(len(pixels), -1)
    y = problem.y.reshape(_several(problem), -1)
    squared = jax.lax.map(lambda each: (jnp.abs(seen - each[None]) ** 2).sum(axis=1), y)
    weights = jax.nn.softmax(-squared / (2 * problem.noise**2), axis=1)
    mean = weights @ pixels
    variance = jnp.maximum(weights @ pixels**2 - mean**2, 0)
    return Known(mean, jnp.sqrt(variance), weights)


def _several(problem: Problem) -> int:
    if problem.images is None:
        raise ValueError("the measurements must have an axis of images")
    return problem.images


@jit
def pixel_law(
    known: Known, pixels: Float[Array, "N n"], image: Any, pixel: Any, edges: Float[Array, " ends"]
) -> Float[Array, " bins"]:
    """The posterior probability of each bin of grey values of one pixel; beyond the last edges is no bin."""
    if known.weights is None:
        mean, spread = known.mean[image, pixel], known.deviation[image, pixel]
        spread = jnp.maximum(spread, jnp.finfo(spread.dtype).tiny)
        return jnp.diff(jax.scipy.stats.norm.cdf((edges - mean) / spread))
    values, weights = pixels[:, pixel], known.weights[image]
    inside = (values[:, None] >= edges[None, :-1]) & (values[:, None] < edges[None, 1:])
    return weights @ inside.astype(weights.dtype)


def posterior_samples(
    problem: Problem, spectrum: Spectrum, image: ArrayLike, key: PRNGKeyArray, count: int
) -> Float[Array, "count n"]:
    r"""Exact draws under the Gaussian prior, by conditioning: with $x \sim N(m, S)$ and $y' = H x + \sigma\varepsilon$

    $$ x + S H^\top M^{-1} (y - y') $$

    has the law of the posterior.
    """
    one = Problem(problem.operator, problem.y[image][None], problem.noise)
    return _conditioned(one, spectrum, key, count)[0]


def posterior_draw(
    problem: Problem, spectrum: Spectrum, known: Known, pixels: Float[Array, "N n"], key: PRNGKeyArray
) -> Float[Array, "images n"]:
    """One exact draw for each image, under the prior that ``known`` is of."""
    return posterior_draws(problem, spectrum, known, pixels, key, 1)[:, 0]


def posterior_draws(
    problem: Problem, spectrum: Spectrum, known: Known, pixels: Float[Array, "N n"], key: PRNGKeyArray, seeds: int
) -> Float[Array, "images seeds n"]:
    """Exact draws for each image, under the prior that ``known`` is of."""
    if known.weights is not None:
        return _among(pixels, known.weights, key, seeds)
    return _conditioned(problem, spectrum, key, seeds)


@jit
def _among(pixels: Array, weights: Array, key: PRNGKeyArray, seeds: int) -> Array:
    return pixels[random.categorical(key, jnp.log(weights)[:, None], shape=(len(weights), seeds))]


@jit
def _conditioned(problem: Problem, spectrum: Spectrum, key: PRNGKeyArray, seeds: int) -> Float[Array, "images seeds n"]:
    """Draws for each measurement."""
    images, problem = _several(problem), each(problem, seeds)
    made = problem.operator
    first, second, third = jax.random.split(key, 3)
    eps = random.normal(first, (_several(problem), len(spectrum.mean)), problem.y.real.dtype)
    # the symmetric root of S: signs and turns of its eigenvectors are free, and the compiler chooses them
    x = spectrum.mean[None] + ((eps @ spectrum.vectors) * jnp.sqrt(spectrum.values)[None]) @ spectrum.vectors.T
    y = made(x.reshape(-1, *made.inputs))
    noise = random.normal(second, y.shape, y.real.dtype)
    if made.is_complex:
        noise = noise + 1j * random.normal(third, y.shape, y.real.dtype)
    off = problem.y - y - jnp.where(made.noisy, problem.noise * noise, 0)
    centred = eqx.tree_at(lambda of: of.mean, spectrum, jnp.zeros_like(spectrum.mean))
    return (x + gaussian_posterior(Problem(made, off, problem.noise), centred).mean).reshape(images, seeds, -1)

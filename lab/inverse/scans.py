r"""A volume that is scanned slice by slice, and what is made of the scan without a diffusion.

Of all slices the matrix is the same, so that everything here is of one slice: with $G = A^\top A$ and $b = A^\top y$ the answer
of least norm is $G^+ b$, and for a Gaussian prior $N(m, S)$, $S = U \Lambda U^\top$, the most probable slice is

$$ m + U \Lambda^{1/2} \big(\Lambda^{1/2} U^\top G\, U \Lambda^{1/2} + r I\big)^{-1} \Lambda^{1/2} U^\top (b - G m) $$

with r the variance of the noise.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.choices import chosen
from lab.denoise.images import Spectrum
from lab.inverse.fourier import MaskedFourier, lines
from lab.inverse.mbir import differences, planes, varied
from lab.inverse.metrics import ssim
from lab.inverse.operators import Linear
from lab.inverse.problems import Problem, problem
from lab.inverse.tomography import filtered_backprojection, views
from lab.numerics import random
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import symmetric

type Scanner = Literal["sparse views", "limited angle", "MRI"]

RIDGE = 1e-4
"""The least variance of the noise that the most probable slice is computed with."""

_SAME = 1e-10  # of the largest eigenvalue: a direction that is not measured
_WINDOW = 7  # pixels a side that a similarity needs


class Scan(NamedTuple):
    """What was measured of a volume.

    Attributes:
        problem: operator, data, noise.
        back: $A^\\top y$.
        gram: $A^\\top A$ of one slice.
        angles: of tomography, in degrees, NaN beyond the last; of resonance none.
        seen: of resonance the frequencies that are measured, frequency 0 first.
    """

    problem: Problem
    back: Float[Array, "Z n n"]
    gram: Float[Array, "n n"]
    angles: Float[Array, " views"] | None
    seen: Bool[Array, "h w"] | None


@chosen
def scan(
    volume: Float[Array, "Z n n"],
    scanner: Scanner | str,
    key: PRNGKeyArray,
    *,
    count: ArrayLike = 8,
    span: ArrayLike = 180.0,
    acceleration: ArrayLike = 2.0,
    noise: Any = 0.0,
) -> Scan:
    """Measure a volume.

    Args:
        scanner: tomography by ``count`` views over half a turn, or over ``span`` degrees; or resonance with a share
            1 / acceleration of the lines.
        noise: standard deviation, as a share of the root mean square of what is measured.
    """
    noise = jnp.asarray(noise, volume.dtype)
    if scanner == "MRI":
        slices, h, w = volume.shape
        seen = lines(key, (h, w), acceleration)
        made, one = (MaskedFourier((count, h, w), seen) for count in (slices, 1))
        return Scan(*_measured(made, volume, noise, key), _gram(one), None, seen)
    whole = jnp.asarray(180.0) if scanner == "sparse views" else jnp.asarray(span)
    made, angles = views(volume.shape, jnp.asarray(count), whole)
    return Scan(*_measured(made, volume, noise, key), made.gram, angles, None)


@jit
def _measured(made: Linear, volume: Array, noise: Array, key: PRNGKeyArray) -> tuple[Problem, Array]:
    clean = made.apply(volume)
    size = jnp.abs(clean)
    seen = size > 0  # what is not measured has no noise either
    level = noise * jnp.sqrt((size**2).sum() / jnp.maximum(seen.sum(), 1))
    first, second = jax.random.split(jax.random.fold_in(key, 1))
    drawn: Array = random.normal(first, clean.shape, volume.dtype)
    if made.is_complex:
        level = level / jnp.sqrt(2.0)
        drawn = drawn + 1j * random.normal(second, clean.shape, volume.dtype)
    y = clean + jnp.where(seen, level * drawn, 0)
    return problem(made, y, level), made.back(y)


@jit
def _gram(one: MaskedFourier) -> Array:
    h, w = one.inputs[1:]
    made = jax.vmap(one.normal)(jnp.eye(h * w).reshape(h * w, 1, h, w))
    return made.reshape(h * w, h * w)


def back_projected(given: Scan) -> Float[Array, "Z n n"]:
    """Filtered back-projection; of resonance what is not measured is taken as 0."""
    if given.angles is None:
        return given.back
    return filtered_backprojection(given.problem.y, given.angles)


def least_norm(given: Scan) -> Float[Array, "Z n n"]:
    """Of all volumes that fit best the smallest."""
    return _least_norm(given.back, given.gram)


@jit
def _least_norm(back: Array, gram: Array) -> Array:
    made = symmetric(gram)
    inverse = made.function(_inverse, jax.lax.stop_gradient(_SAME * made.values[-1]))
    return (back.reshape(len(back), -1) @ inverse).reshape(back.shape)


def _inverse(values: Array, least: Array) -> Array:
    """Reciprocals, 0 of eigenvalues that count as 0: the derivative is that of a change that leaves the rank as it is."""
    there = values > least
    return jnp.where(there, 1 / jnp.where(there, values, 1), 0)


def most_probable(given: Scan, spectrum: Spectrum) -> Float[Array, "Z n n"]:
    """Of each slice alone, if slices were Gaussian with this mean and covariance; the noise has at least ``RIDGE`` as its
    variance."""
    return _most_probable(given.back, given.gram, spectrum, given.problem.noise)


@jit
def _most_probable(back: Array, gram: Array, spectrum: Spectrum, noise: Array) -> Array:
    root, variance = jnp.sqrt(spectrum.values), jnp.maximum(noise**2, RIDGE)
    half = spectrum.vectors * root[None, :]
    matrix = half.T @ gram @ half + variance * jnp.eye(len(root), dtype=gram.dtype)
    right = (back.reshape(len(back), -1) - (gram @ spectrum.mean)[None, :]) @ half
    found = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), right.T).T
    return (spectrum.mean[None, :] + found @ half.T).reshape(back.shape)


class Quality(NamedTuple):
    """How good volumes are; planes are axial, coronal, sagittal, and for the first also the whole."""

    psnr: Float[Array, "methods 4"]
    ssim: Float[Array, "methods 3"]  # NaN where a plane is smaller than a window of 7 x 7
    residual: Float[Array, " methods"]
    variation: Float[Array, " methods"]  # mean |D_z x|


@jit
def quality(volumes: Float[Array, "methods Z n n"], truth: Float[Array, "Z n n"], given: Problem) -> Quality:
    """Of reconstructions of one scan."""
    span = truth.max() - truth.min()

    def similar(x):
        found = []
        for axis in range(3):
            one, other = (jnp.moveaxis(each, axis, 0)[:, None] for each in (x, truth))
            fits = min(one.shape[-2:]) >= _WINDOW
            found.append(varied(ssim(one / span, other / span, 1.0), other[:, 0]) if fits else jnp.asarray(jnp.nan))
        return jnp.stack(found)

    def left(x):
        return jnp.linalg.norm(given.operator.apply(x) - given.y) / jnp.linalg.norm(given.y)

    return Quality(
        jax.vmap(lambda x: jnp.stack(planes(x, truth)))(volumes),
        jax.vmap(similar)(volumes),
        jax.vmap(left)(volumes),
        jax.vmap(lambda x: jnp.abs(differences(x)[:-1]).mean())(volumes),
    )


@jit
def along(path: Float[Array, "steps Z n n"], truth: Float[Array, "Z n n"]) -> Float[Array, " steps"]:
    """The PSNR of the whole volume after each step."""
    return jax.lax.map(lambda x: planes(x, truth).volume, path)


def unrelated(spectrum: Spectrum, sigma: Any) -> Float[Array, "*levels"]:
    r"""How rough a stack of slices is that have nothing to do with each other, with noise of this level:
    $\sqrt{\mathrm{tr} S / n + \sigma^2}$ a pixel. A diffusion that leaves more than that diverges."""
    return jnp.sqrt(spectrum.trace / spectrum.mean.size + jnp.asarray(sigma) ** 2)

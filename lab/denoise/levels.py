"""A denoiser with a parameter that depends on the noise level, such as the patch size, chosen to match another."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lab.denoise.base import Denoiser, Shape
from lab.denoise.metrics import mse
from lab.numerics import random
from lab.numerics.arguments import real


class ByLevel(Denoiser):
    """One denoiser up to each edge of the noise level, and one beyond the last.

    Args:
        parts: k denoisers of images of one shape.
        edges: (k - 1,) rising levels.

    Raises:
        ValueError: edges that do not fit, or parts of different shapes.
    """

    parts: tuple[Denoiser, ...]
    edges: Float[Array, " edges"]
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, parts: Sequence[Denoiser], edges: Any, name: str | None = None):
        edges = np.asarray(edges, float).reshape(-1)
        if len(parts) != len(edges) + 1 or not (np.diff(edges) > 0).all() or np.isnan(edges).any():
            raise ValueError(
                f"{len(parts)} denoisers need {len(parts) - 1} rising edges, but they are {edges.tolist()}"
            )
        if len({part.shape for part in parts}) > 1:
            raise ValueError(
                f"the denoisers are of images {', '.join(str(part.shape) for part in parts)}: one shape is needed"
            )
        self.parts, self.edges = tuple(parts), jnp.asarray(edges)
        self.shape, self.name = parts[0].shape, parts[0].name if name is None else name

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        which = jnp.searchsorted(self.edges, sigma.astype(self.edges.dtype))
        branches = [lambda part=part: part.denoise(x, sigma) for part in self.parts]
        return jax.lax.switch(which, branches)

    def at(self, sigma: float) -> Denoiser:
        return self.parts[int(np.searchsorted(np.asarray(self.edges), sigma))].at(sigma)


class Calibrated(NamedTuple):
    """The best value at each level, with the error of all."""

    denoiser: ByLevel
    values: list[Any]  # chosen, by rising level
    errors: np.ndarray  # (levels, values), mean squared difference from the reference


def calibrated(
    make: Callable[[Any], Denoiser],
    values: Sequence[Any],
    reference: Denoiser,
    images: Float[Array, "b n"],
    sigmas: Any,
    key: PRNGKeyArray,
) -> Calibrated:
    r"""Choose at each level the value whose denoiser is closest to a reference, on the same noisy images.

    $$ v(\sigma) = \arg\min_v \frac{1}{B n} \sum_i |D_v(x_i + \sigma\varepsilon_i) - D(x_i + \sigma\varepsilon_i)|^2 $$

    Args:
        make: a denoiser from a value, such as ``lambda p: LS(data, p)``.
        values: to choose from.
        reference: a trained network, say.
        images: clean ones, (B, n).
        sigmas: levels; the chosen denoiser changes half way between their logarithms.
        key: of the noise.

    Returns:
        a ``Calibrated``: the denoiser, the values by rising level, and the mean square errors (levels, values).

    Raises:
        ValueError: no values or levels, levels that are not positive, or images that are not finite or of another shape.

    Source:
        Kamb, Ganguli, An analytic theory of creativity in convolutional diffusion models, 2024.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import denoise
        >>> images = denoise.Images(jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1))
        >>> make = lambda tau: denoise.Optimal(images, tau)
        >>> denoise.calibrated(make, [1.0, 4.0], make(4.0), images.numbers(), [1.0], jax.random.key(0)).values
        [4.0]
    """
    levels = np.sort(np.asarray(real("sigmas", sigmas, low=0, strict=True), float).reshape(-1))
    if not levels.size or not len(values):
        raise ValueError(
            f"sigmas has {levels.size} levels and values {len(values)} values: at least one of each is needed"
        )
    images = real("images", images, ("B", prod(reference.shape)))
    noise = random.normal(key, images.shape, images.dtype)
    made, errors = [make(value) for value in values], np.empty((len(levels), len(values)))
    for i, sigma in enumerate(levels):
        x = images + jnp.asarray(sigma, images.dtype) * noise
        wanted = reference(x, sigma)
        errors[i] = [float(mse(each(x, sigma), wanted).mean()) for each in made]
    best = errors.argmin(axis=1)
    edges = np.sqrt(levels[1:] * levels[:-1])
    return Calibrated(ByLevel([made[k] for k in best], edges), [values[k] for k in best], errors)

r"""What tells the mean of the data given a noisy point: exact laws, denoisers of ``lab.denoise``, and guided ones.

A prediction is a pytree that is called at points (n, d) and the two numbers of a level,

$$ D(x;\, a, s) = E[x_0 \mid a x_0 + s\varepsilon = x] . $$

A function of one's own of the same arguments is one too. Guidance moves it away from what is likely without the condition c,

$$ D_w = (1 + w)\,D(x \mid c) - w\,D(x), $$

the same rule for noise, score, velocity and v, which are affine in D. w = 0 is the condition alone, w = -1 none. The law at
the end is *not* the tilted density $\propto p(x \mid c)^{1+w} p(x)^{-w}$, though at each time the score is that of the tilted
$p_t$: ``guided_gaussian`` and ``tilted_gaussian`` show the two.

Source: Ho, Salimans, *Classifier-Free Diffusion Guidance*, 2022; Lai, Song, Kim, Mitsufuji, Ermon, *The Principles of Diffusion
Models*, 2025.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.denoise.base import Denoiser
from lab.numerics.arguments import real
from lab.paths.laws import Boxes, Empirical, Mixture
from lab.paths.schedules import known

_NODES = 200  # of the quadrature over levels


@runtime_checkable
class Prediction(Protocol):
    """What a prediction of one's own must be."""

    def __call__(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, "n d"]: ...


class Exact(eqx.Module):
    """The mean of the data under a law that knows it at every level: ``Mixture``, ``Boxes`` or ``Empirical`` of ``lab.paths``.

    Under the data themselves, ``Exact(paths.Empirical(data))``, it is a softmax over them, which at low noise gives one of them
    back.
    """

    law: Any

    def __call__(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, "n d"]:
        return self.law.denoise(x, a, jnp.asarray(s) ** 2)[0]

    def log_density(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, " n"]:
        """$\\log p_t(x)$."""
        return self.law.denoise(x, a, jnp.asarray(s) ** 2)[1]


class Denoised(eqx.Module):
    """A denoiser of ``lab.denoise``, D(x / a, s / a)."""

    denoiser: Denoiser

    def __call__(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, "n d"]:
        return self.denoiser.denoise(x / a, s / a)


class Guided(eqx.Module):
    """Classifier-free guidance of a strength w: one number, which may be traced, or (n, 1), one for each point."""

    conditional: Any
    unconditional: Any
    w: float | Array

    def __call__(self, x: Float[Array, "n d"], a: Array, s: Array) -> Float[Array, "n d"]:
        return (1 + self.w) * self.conditional(x, a, s) - self.w * self.unconditional(x, a, s)


def of_class(law: Mixture | Boxes | Empirical, members: Any) -> Any:
    r"""The law of a class, $p(x \mid i \in S)$: some components of a mixture, some boxes, or some of the points.

    Args:
        law: a ``Mixture``, ``Boxes`` or ``Empirical``.
        members: numbers of those, S, at least one.

    Returns:
        a law of the same kind, with their weights divided by the sum.

    Raises:
        ValueError: no member, or one that is not there.

    Source:
        Ho, Salimans, Classifier-free diffusion guidance, 2022, of which it gives the conditional law.

    Examples:
        >>> from lab import diffusion
        >>> from lab.numerics.mixtures import Mixture
        >>> three = Mixture([0.5, 0.25, 0.25], [[0.0], [1.0], [2.0]], [1.0, 1.0, 1.0])
        >>> diffusion.of_class(three, [1, 2]).weights.tolist()
        [0.5, 0.5]
    """
    given, count = np.atleast_1d(np.asarray(members)), law.weights.shape[0]
    whole = given.ndim == 1 and given.size and given.dtype.kind in "iu"
    if not whole or not ((given >= 0) & (given < count)).all():
        raise ValueError(
            f"members = {given.tolist()}, but whole numbers from 0 to {count - 1} are needed, at least one"
        )
    chosen = np.unique(given)

    def some(values: Array) -> Array:
        return values[chosen]

    weights = some(law.weights) / some(law.weights).sum()
    if known(weights) and not float(weights.sum()) > 0:
        raise ValueError(f"members = {given.tolist()} have no weight: their law is not defined")
    if isinstance(law, Empirical):
        return Empirical(some(law.points), weights, law.block_bytes)
    if isinstance(law, Boxes):
        return Boxes(some(law.low), some(law.high), weights)
    return Mixture(weights, some(law.means), some(law.covariances))


class Normal(NamedTuple):
    mean: Float[Array, ""]
    deviation: Float[Array, ""]


def guided_gaussian(mean: ArrayLike | Sequence, deviation: ArrayLike | Sequence, w: ArrayLike | Sequence) -> Normal:
    r"""Where guidance ends, of two Gaussians, on a schedule that keeps the variance.

    From N(0, 1), of $x_0 \mid c \sim N(m, s_0^2)$ and $x_0 \sim N(0, 1)$: with $V(a) = 1 - a^2 (1 - s_0^2)$

    $$ \text{deviation } s_0^{1+w}, \qquad
       \text{mean } V(1)^{(1+w)/2} \int_0^1 (1 + w)\,m\,V(a)^{-1-(1+w)/2}\,da . $$

    Args:
        mean: m, a number or an array.
        deviation: s_0, positive, of the same shape.
        w: strength of the guidance, of the same shape.

    Returns:
        the mean and the deviation at the end.

    Raises:
        ValueError: a deviation that is not positive, or shapes that differ.

    Source:
        Ho, Salimans, Classifier-Free Diffusion Guidance, 2022, of the rule; the integral is derived in the lab.

    Examples:
        >>> from lab.diffusion import predictions
        >>> found = predictions.guided_gaussian(1.5, 0.5, 2.0)
        >>> round(float(found.mean), 6), float(found.deviation)  # 1/2 to the power 3
        (2.25, 0.125)
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    share = jnp.asarray((nodes + 1) / 2)
    mean, deviation, w = (each[..., None] for each in _guidance(mean, deviation, w))
    # V falls to s0^2 in a layer at a = 1: even steps in 1 - a = e^u - e^{u_0} resolve it
    thin = jnp.minimum(deviation**2, 1.0)
    low, high = jnp.log(thin), jnp.log1p(thin)
    u = low + share * (high - low)
    from_one = jnp.exp(u) - thin
    left = from_one * (2 - from_one) * (1 - deviation**2) + deviation**2
    height = (1 + w) * mean * (deviation**2 / left) ** ((1 + w) / 2) / left
    whole = (height * jnp.exp(u) * (high - low)) @ jnp.asarray(weights / 2)
    return Normal(whole, (deviation ** (1 + w))[..., 0])


def _guidance(mean: Any, deviation: Any, w: Any) -> tuple[Array, Array, Array]:
    """The arguments, checked."""
    mean = real("mean", mean, dtype=float)
    deviation, w = real("deviation", deviation, low=0, strict=True, dtype=float), real("w", w, dtype=float)
    shape = jnp.broadcast_shapes(mean.shape, deviation.shape, w.shape)
    if any(each.shape not in ((), shape) for each in (mean, deviation, w)):
        raise ValueError(
            f"mean, deviation and w have shapes {mean.shape}, {deviation.shape} and {w.shape}: give one shape"
        )
    return jnp.broadcast_to(mean, shape), jnp.broadcast_to(deviation, shape), jnp.broadcast_to(w, shape)


def tilted_gaussian(mean: ArrayLike | Sequence, deviation: ArrayLike | Sequence, w: ArrayLike | Sequence) -> Normal:
    r"""The law $\propto p(x \mid c)^{1+w} p(x)^{-w}$ of two Gaussians; NaN where it has no finite mass.

    With $x_0 \mid c \sim N(m, s_0^2)$ and $x_0 \sim N(0, 1)$ its precision is $(1 + w) / s_0^2 - w$.

    Args:
        mean: m, a number or an array.
        deviation: s_0, positive, of the same shape.
        w: strength of the guidance, of the same shape.

    Returns:
        its mean and deviation.

    Raises:
        ValueError: a deviation that is not positive, or shapes that differ.

    Source:
        Ho, Salimans, Classifier-Free Diffusion Guidance, 2022.

    Examples:
        >>> from lab.diffusion import predictions
        >>> found = predictions.tilted_gaussian(1.5, 0.5, 2.0)
        >>> round(float(found.mean), 6), round(float(found.deviation), 4)  # 18 / 10, and one over the root of 10
        (1.8, 0.3162)
    """
    mean, deviation, w = _guidance(mean, deviation, w)
    precision = (1 + w) / deviation**2 - w
    precision = jnp.where(precision > 0, precision, jnp.nan)
    return Normal((1 + w) * mean / deviation**2 / precision, 1 / jnp.sqrt(precision))

r"""Five ways to say the same: what a network may predict of a noisy point, and each from each.

Of $x = a x_0 + s\varepsilon$, let D and $\hat\varepsilon$ be the means of data and noise given x: $x = aD + s\hat\varepsilon$.

| name | value | D | noise |
|---|---|---|---|
| data | D | | $(x - aD) / s$ |
| noise | $\hat\varepsilon$ | $(x - s\hat\varepsilon) / a$ | |
| score | $S = \nabla \log p_t$ | $(x + s^2 S) / a$ | $-sS$ |
| velocity | $u = a' D + s' \hat\varepsilon$ | $(s' x - s u) / (a s' - a' s)$ | $(a u - a' x) / (a s' - a' s)$ |
| v | $a\hat\varepsilon - sD$ | $(a x - s v) / (a^2 + s^2)$ | $(s x + a v) / (a^2 + s^2)$ |

u is the velocity of the probability flow, $dx/dt = u = f x - g^2 S / 2$. Squared errors are in fixed proportions too
(``error_ratios``), so that a loss in one is a weighted loss in another.

Source: Lai, Song, Kim, Mitsufuji, Ermon, *The Principles of Diffusion Models*, 2025; Salimans, Ho, *Progressive Distillation*,
ICLR 2022 (v); Karras et al., *Elucidating the Design Space*, NeurIPS 2022 (``Preconditioning``).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.diffusion.schedules import Level
from lab.numerics.arguments import real
from lab.paths.schedules import known

type Kind = Literal["data", "noise", "score", "velocity", "v"] | str
KINDS = ("data", "noise", "score", "velocity", "v")


class Means(NamedTuple):
    """Of data and noise, given the point."""

    data: Float[Array, "*n"]
    noise: Float[Array, "*n"]


@chosen
def means(level: Level, x: Float[Array, "*n"], value: Float[Array, "*n"], kind: Kind) -> Means:
    """Both means from a prediction of that kind.

    Args:
        level: of numbers, or of arrays that broadcast against x.

    Raises:
        ValueError: noise or score where nothing of the data is left (a = 0): they do not tell D.
    """
    a, s, da, ds = level
    if kind == "data":
        return Means(value, (x - a * value) / s)
    if kind == "velocity":
        both = a * ds - da * s
        return Means((ds * x - s * value) / both, (a * value - da * x) / both)
    if kind == "v":
        both = a**2 + s**2
        return Means((a * x - s * value) / both, (s * x + a * value) / both)
    if known(a) and not (np.asarray(a) > 0).all():
        raise ValueError(f"a = 0 at this time, where the {kind} does not tell the data: predict data, velocity or v")
    noise = value if kind == "noise" else -s * value
    return Means((x - s * noise) / a, noise)


@chosen
def convert(level: Level, x: ArrayLike | Sequence, value: ArrayLike | Sequence, have: Kind, want: Kind) -> Array:
    r"""A prediction of one kind as one of another, by $x = aD + s\hat\varepsilon$.

    Args:
        level: of numbers, or of arrays that broadcast against x.
        x: (..., n) noisy points.
        value: of their shape, the prediction.
        have: its kind, "data", "noise", "score", "velocity" or "v".
        want: the kind to say it in.

    Returns:
        the prediction of the other kind, of the shape of x.

    Raises:
        ValueError: noise or score where nothing of the data is left (a = 0): they do not tell D; data where there is no noise
            (s = 0): they do not tell the noise. Or shapes that differ.

    Source:
        Salimans, Ho, Progressive distillation for fast sampling of diffusion models, ICLR 2022, on v; the table of the module.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> level, x, data = diffusion.noise("vp")(0.5), jnp.ones(2), jnp.array([0.3, 0.4])
        >>> velocity = diffusion.convert(level, x, data, "data", "velocity")
        >>> [round(float(each), 6) for each in diffusion.convert(level, x, velocity, "velocity", "data")]
        [0.3, 0.4]
    """
    x = real("x", x, finite=False)
    value = real("value", value, x.shape, finite=False)
    if have == want:
        return value
    if want != "data" and known(level.s) and not (np.asarray(level.s) > 0).all():
        raise ValueError(f"s = 0 at this time, where the {have} does not tell the {want}: take a time with noise")
    data, noise = means(level, x, value, have)
    if want == "velocity":
        return level.da * data + level.ds * noise
    return {"data": data, "noise": noise, "score": -noise / level.s, "v": level.a * noise - level.s * data}[want]


def error_ratios(level: Level) -> dict[str, Array]:
    r"""By kind of prediction, its squared error over that of the data prediction.

    $$ \text{noise } \tfrac{a^2}{s^2}, \quad \text{score } \tfrac{a^2}{s^4}, \quad
       \text{velocity } \tfrac{(a s' - a' s)^2}{s^2}, \quad \text{v } \tfrac{(a^2 + s^2)^2}{s^2} $$

    Args:
        level: of numbers or arrays.

    Returns:
        arrays of the shape of the level, by the names of the kinds; "data" is 1.

    Raises:
        ValueError: a level without noise (s = 0), where the ratios are infinite.

    Source:
        Lai, Song, Kim, Mitsufuji, Ermon, The Principles of Diffusion Models, 2025.

    Examples:
        >>> from lab import diffusion
        >>> ratios = diffusion.error_ratios(diffusion.noise("edm")(2.0))  # a = 1, s = 2
        >>> float(ratios["noise"]), float(ratios["score"])
        (0.25, 0.0625)
    """
    a, s, da, ds = level
    if known(s) and not (np.asarray(s) > 0).all():
        raise ValueError("s = 0 at this time, where the ratios are infinite: take a time with noise")
    return {
        "data": jnp.ones_like(a),
        "noise": (a / s) ** 2,
        "score": (a / s**2) ** 2,
        "velocity": ((a * ds - da * s) / s) ** 2,
        "v": ((a**2 + s**2) / s) ** 2,
    }


class Preconditioning(NamedTuple):
    r"""$D(x, \sigma) = c_{skip}\,x + c_{out}\,F(c_{in}\,x, c_{noise})$: inputs and targets of F have variance one."""

    skip: Array
    out: Array
    into: Array
    noise: Array
    weight: Array  # of |D - x0|^2, which makes it |F - target|^2


def preconditioning(sigma: ArrayLike | Sequence, deviation: ArrayLike = 0.5) -> Preconditioning:
    r"""EDM's preconditioning at noise levels sigma: $D(x) = c_{skip}\,x + c_{out}\,F(c_{in}\,x, c_{noise})$.

    Args:
        sigma: noise levels, any shape.
        deviation: standard deviation of the data.

    Returns:
        a ``Preconditioning``: ``skip``, ``out``, ``into``, ``noise`` and the loss's ``weight``, each of the shape of sigma.

    Raises:
        ValueError: a noise level or a deviation that is not positive.

    Source:
        Karras, Aittala, Aila, Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022, table 1.

    Examples:
        >>> from lab import diffusion
        >>> found = diffusion.preconditioning(0.5)  # as much noise as data
        >>> [round(float(each), 4) for each in found[:3]]  # 1/2, 1/4 over the root of 1/2, and one over it
        [0.5, 0.3536, 1.4142]
    """
    sigma = real("sigma", sigma, low=0, strict=True, dtype=float)
    deviation = real("deviation", deviation, (), low=0, strict=True, dtype=float)
    whole = sigma**2 + deviation**2
    return Preconditioning(
        deviation**2 / whole,
        sigma * deviation / jnp.sqrt(whole),
        1 / jnp.sqrt(whole),
        jnp.log(sigma) / 4,
        whole / (sigma * deviation) ** 2,
    )

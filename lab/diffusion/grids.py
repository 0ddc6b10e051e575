r"""The times at which a sampler stops: N steps from the last time of a schedule to its first.

| name | even in |
|---|---|
| time | t |
| log-snr | $\lambda = \log(a/s)$ |
| karras | $\sigma^{1/\rho}$, $\sigma = s/a$ (EDM, $\rho = 7$) |
| quadratic | $\sqrt t$ |
| change | $\int \sqrt{E|dD/d\lambda|^2}\,d\lambda$ along a probability flow: how much the denoised points change |

"change" is the criterion of kinetic-optimal paths for the clock of a sampler: along it the denoised points move at constant
root-mean-square speed. Ask ``by_change`` for it, with a prediction and some points.

Source: Karras et al., *Elucidating the Design Space*, NeurIPS 2022, table 1; Lu et al., *DPM-Solver*, NeurIPS 2022; Song, Meng,
Ermon, *DDIM*, ICLR 2021 (quadratic).
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.diffusion.schedules import Noise
from lab.inputs import shown
from lab.numerics.arguments import real, whole
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths.schedules import known

type Spacing = Literal["time", "log-snr", "karras", "quadratic"] | str

_STILL = 1e-12  # of the data's root mean square: a move that is none


@chosen
def grid(noise: Noise, steps: Any, spacing: Spacing = "log-snr", *, rho: ArrayLike = 7.0) -> Float[Array, " times"]:
    r"""The times at which a sampler stops: falling, evenly spaced in t, $\log(a/s)$, $\sigma^{1/\rho}$ or $\sqrt t$.

    Args:
        noise: the schedule, from whose last time to its first they go.
        steps: how many, at least 1.
        spacing: "time", "log-snr", "karras" or "quadratic".
        rho: of "karras", positive; 1 is even in sigma.

    Returns:
        (steps + 1,) falling times.

    Raises:
        ValueError: no whole number of steps, rho that is not positive, or a spacing in log-SNR where that is infinite.

    Source:
        Karras, Aittala, Aila, Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022, table 1.

    Examples:
        >>> from lab import diffusion
        >>> [round(float(t), 3) for t in diffusion.grid(diffusion.noise("edm"), 3, "karras")]
        [80.0, 9.723, 0.47, 0.002]
    """
    _check_steps(steps)
    rho = real("rho", rho, (), low=0, strict=True)
    times, ends = _grid(noise, _shares(steps), spacing, rho)
    if spacing in ("log-snr", "karras") and known((noise, ends)):
        ends = np.asarray(ends)
        if not np.isfinite(ends).all():
            raise ValueError(
                f"log(a/s) goes from {ends[0]:g} to {ends[1]:g} on this schedule, and can't be cut into even steps: give "
                "it other ends, or space the steps in time"
            )
    return times


def _check_steps(steps: Any) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps = {shown(steps)}, but a whole number of at least one is needed")


def _shares(steps: int) -> Float[Array, " times"]:
    return placed(np.arange(steps + 1) / steps)


@chosen
def padded(noise: Noise, steps: Any, most: int, spacing: Spacing = "log-snr", rho: ArrayLike = 7.0) -> Array:
    """(most + 1,) times of a number of steps that may be traced: those after its last repeat that."""
    return _grid(noise, jnp.minimum(jnp.arange(most + 1) / steps, 1.0), spacing, rho)[0]


@jit
def _grid(noise: Noise, share: Array, spacing: str, rho: Any) -> tuple[Array, Array]:
    """The times, and log(a/s) at the last and at the first."""
    share = share.astype(float)
    ended = share >= 1
    times = _spaced(noise, share, spacing, rho).at[0].set(noise.last)
    return jnp.where(ended, noise.first, times), noise(jnp.stack([noise.last, noise.first])).log_snr


def _spaced(noise: Noise, share: Array, spacing: str, rho: Any) -> Array:
    first, last = jnp.asarray(noise.first), jnp.asarray(noise.last)
    if spacing == "time":
        return last + share * (first - last)
    if spacing == "quadratic":
        return (jnp.sqrt(last) + share * (jnp.sqrt(first) - jnp.sqrt(last))) ** 2
    ends = noise(jnp.stack([last, first]))
    if spacing == "log-snr":
        low, high = ends.log_snr
        wanted = low + share * (high - low)
    else:
        low, high = ends.sigma ** (1 / rho)
        wanted = -rho * jnp.log(low + share * (high - low))
    return noise.time(wanted)


def by_change(
    noise: Noise, predict: Any, x: ArrayLike | Sequence, steps: int, fine: int = 200
) -> Float[Array, " times"]:
    r"""Falling times between which the denoised points move equally far, root mean square.

    $$ \int \sqrt{E|dD/d\lambda|^2}\,d\lambda $$

    along the probability flow is cut into equal parts.

    Args:
        noise: the schedule.
        predict: a ``Prediction``.
        x: (n, d) at the last time, which are carried by ``fine`` steps of DDIM, even in log-SNR.
        steps: how many, at least 1; static.
        fine: steps of DDIM; static.

    Returns:
        (steps + 1,) times, from the schedule's last to its first.

    Raises:
        ValueError: no whole number of steps.

    Source:
        Shaul, Chen, Nickel, Le, Lipman, On kinetic optimal probability paths for generative models, ICML 2023: its criterion.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> from lab.numerics.mixtures import standard
        >>> x = 80 * jnp.ones((1, 1))
        >>> times = diffusion.by_change(diffusion.noise("edm"), diffusion.Exact(standard(1)), x, 2)
        >>> [round(float(t), 1) for t in times]  # D = x / (1 + t^2) has gone half its way at 1.7
        [80.0, 1.7, 0.0]
    """
    _check_steps(steps)
    return _by_change(noise, predict, real("x", x, ("n", "d")), steps, whole("fine", fine, 1))


@jit
def _by_change(noise: Noise, predict: Any, x: Array, steps: int, fine: int) -> Array:
    times = _grid(noise, _shares(fine), "log-snr", 7.0)[0]
    levels = noise(times)

    def one(carry, level):
        x, (a, s) = carry
        data = predict(x, a, s)
        new = level[0] * data + level[1] * (x - a * data) / s
        return (new, level), data

    (end, (a, s)), data = jax.lax.scan(one, (x, (levels.a[0], levels.s[0])), (levels.a[1:], levels.s[1:]))
    data = jnp.concatenate([data, predict(end, a, s)[None]])
    moved = jnp.sqrt(((data[1:] - data[:-1]) ** 2).sum(axis=2).mean(axis=1))
    # where nothing moves, as among data far wider than the noise, the times are even in log-SNR: they have to fall
    moved = jnp.maximum(moved, _STILL * jnp.sqrt((data**2).sum(axis=2).mean()) + jnp.finfo(moved.dtype).tiny)
    gone = jnp.concatenate([jnp.zeros(1, moved.dtype), jnp.cumsum(moved)])
    found = jnp.interp(_shares(steps).astype(gone.dtype) * gone[-1], gone, levels.log_snr)
    return noise.time(found).at[0].set(times[0]).at[-1].set(times[-1])

r"""One field, five ways to say it, for a path from Gaussian noise: $x_t = \alpha e + \beta x_1$, $e \sim N(0, I)$.

| form | what it is |
|---|---|
| ``denoiser`` | $D = E[x_1 \mid x]$ |
| ``noise`` | $E[e \mid x]$ |
| ``score`` | $\nabla\log p_t(x) = -E[e \mid x] / \alpha$ |
| ``velocity`` | $\alpha' E[e \mid x] + \beta' D$ |
| ``v`` | $\beta E[e \mid x] - \alpha D$, the prediction of progressive distillation |

Two paths with the same noise-to-data ratio $\sigma = \alpha / \beta$ carry the same points in other units: ``change`` goes from
one schedule to another (variance preserving, variance exploding, flow), ``as_seen`` takes a velocity field along.

Sources: Karras et al., NeurIPS 2022, section 2; Salimans, Ho, ICLR 2022, appendix D; Lai et al., *The principles of diffusion
models*, 2025.
"""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lab.choices import choices, chosen
from lab.paths.fields import Field
from lab.paths.schedules import Coefficients, Schedule, inside, known

type Form = Literal["denoiser", "noise", "score", "velocity", "v"] | str
FORMS = choices(Form)


@chosen
def convert(
    schedule: Schedule, t: Any, x: Float[Array, "n d"], value: Float[Array, "n d"], have: Form, want: Form
) -> Float[Array, "n d"]:
    r"""Say a field in another form, by $x_t = \alpha x_0 + \beta x_1$ and the means of both ends given x_t.

    Args:
        schedule: without latent noise; its source is N(0, I).
        t: scalar time.
        x: (n, d) points.
        value: (n, d), the field at t and x in the form ``have``.
        have: "denoiser", "noise", "score", "velocity" or "v".
        want: the form to say it in.

    Returns:
        (n, d), the field in the form ``want``.

    Raises:
        ValueError: an unknown form, a schedule with latent noise, or a form that says nothing of the other at this time: the
            noise and the score of the data where $\beta = 0$, the denoiser of the noise where $\alpha = 0$.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025); Salimans, Ho, ICLR 2022, of v.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> x, data = jnp.ones((1, 1)), jnp.full((1, 1), 3.0)
        >>> paths.convert.convert(paths.Linear(), 0.5, x, data, "denoiser", "velocity").tolist()  # (3 - x) / (1 - t)
        [[4.0]]
    """
    if have == want:
        return value
    c = Coefficients(*(z.astype(x.dtype) for z in inside(schedule, t)))
    if known(c):
        _possible(c, t, have, want)
    a, b, a_dot, b_dot = c.alpha, c.beta, c.d_alpha, c.d_beta
    # both means, each by the formula that does not divide by what may be 0
    if have == "denoiser":
        denoiser, noise = value, (x - b * value) / a
    elif have in ("noise", "score"):
        noise = value if have == "noise" else -a * value
        denoiser = (x - a * noise) / b
    elif have == "velocity":
        turn = a * b_dot - a_dot * b
        denoiser, noise = (a * value - a_dot * x) / turn, (b_dot * x - b * value) / turn
    else:
        square = a * a + b * b
        denoiser, noise = (b * x - a * value) / square, (a * x + b * value) / square
    if want == "denoiser":
        return denoiser
    if want == "noise":
        return noise
    if want == "score":
        return -noise / a
    if want == "velocity":
        return a_dot * noise + b_dot * denoiser
    return b * noise - a * denoiser


def _possible(c: Coefficients, t: Any, have: str, want: str) -> None:
    if float(c.gamma) > 0:
        raise ValueError("with latent noise one form does not determine the others: convert a schedule without gamma")
    if float(c.beta) == 0 and have in ("noise", "score") and want not in ("noise", "score"):
        raise ValueError(
            f"at t = {float(t):g} there is no data in x, so the {have} says nothing of it: use a later time"
        )
    if float(c.alpha) == 0 and (have == "denoiser" or (have == "score" and want != "denoiser")):
        raise ValueError(
            f"at t = {float(t):g} there is no noise in x, so the {have} says nothing of it: use an earlier time"
        )
    if float(c.alpha) == 0 and want == "score":
        raise ValueError(f"at t = {float(t):g} there is no noise in x: the score is that of the data itself")


def sigma(schedule: Schedule, t: Any) -> Array:
    r"""$\sigma(t) = \alpha/\beta$, the noise in the units of the data: the time of the variance exploding path."""
    c = schedule(t)
    return c.alpha / c.beta


def time_of(schedule: Schedule, level: Any) -> Array:
    r"""The time at which $\alpha/\beta$ is ``level``, by bisection to rounding; $\alpha/\beta$ must fall over [0, 1].

    A level beyond what the schedule reaches gives its end.
    """
    level = jnp.asarray(level)
    level = level if jnp.issubdtype(level.dtype, jnp.floating) else level.astype(jnp.result_type(float))

    def narrow(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        c = schedule(middle)
        noisier = c.alpha > level * c.beta
        return jnp.where(noisier, middle, low), jnp.where(noisier, high, middle)

    halvings = jnp.finfo(level.dtype).nmant + 8
    low, high = jax.lax.fori_loop(0, halvings, narrow, (jnp.zeros_like(level), jnp.ones_like(level)))
    return jnp.where(jnp.isposinf(level), 0.0, jnp.where(level <= 0, 1.0, (low + high) / 2)).astype(level.dtype)


def change(schedule: Schedule, other: Schedule, t: Any, x: Float[Array, "n d"]) -> tuple[Array, Float[Array, "n d"]]:
    r"""The same particles in the coordinates of another schedule: the time t' of equal $\sigma$ and $x' = (\beta'/\beta)\, x$.

    Where $\beta = 0$ it is $x' = (\alpha'/\alpha)\, x$.
    """
    c = schedule(jnp.asarray(t, x.dtype))
    later = time_of(other, jnp.where(c.beta == 0, jnp.inf, c.alpha / jnp.where(c.beta == 0, 1, c.beta)))
    d = other(later)
    # by the larger of the two coefficients: neither divides by 0
    by_data = c.beta > c.alpha
    scale = jnp.where(by_data, d.beta, d.alpha) / jnp.where(by_data, c.beta, c.alpha)
    return later, scale.astype(x.dtype) * x


class Seen(eqx.Module):
    """The velocity field that ``as_seen`` returns; a function of (t, x)."""

    velocity: Callable
    schedule: Schedule
    other: Schedule

    def __call__(self, t: Any, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        time, points = change(self.other, self.schedule, t, x)
        out = self.velocity(time, points)
        value = out.velocity if isinstance(out, Field) else out
        denoiser = convert(self.schedule, time, points, value, "velocity", "denoiser")
        return convert(self.other, t, x, denoiser, "denoiser", "velocity")


def as_seen(velocity: Callable, schedule: Schedule, other: Schedule) -> Seen:
    """A velocity field (t, x) -> (n, d) of one schedule as that of another: the same denoiser, other curves.

    A network trained on one path so serves every other.
    """
    return Seen(velocity, schedule, other)

r"""Samplers: from noise to data on a grid of times, each a step function of ``lab.diffusion.walk``.

From t to an earlier r, with D and $\hat\varepsilon$ at (x, t), $\lambda = \log(a/s)$, $h = \lambda_r - \lambda_t > 0$:

| name | step | order | evaluations |
|---|---|---|---|
| euler | $x + (r - t)\,u$ | 1 | 1 |
| heun | the mean of two slopes | 2 | 2 |
| edm-heun | heun in $x/a$ along $\sigma = s/a$, after churn | 2 | 2, the last 1 where it ends at $\sigma = 0$ |
| ddim | $a_r D + \sqrt{s_r^2 - v}\,\hat\varepsilon + \sqrt{v}\,z$, $v = \eta^2 s_r^2 s_{t|r}^2 / s_t^2$ | 1 | 1 |
| ancestral | ddim with $\eta = 1$: the posterior of DDPM | | 1 |
| dpm-2 | DPM-Solver-2, by the middle of $\lambda$ | 2 | 2 |
| dpm++1s | $\frac{s_r}{s_t} x - a_r (e^{-h} - 1) D$, which is ddim | 1 | 1 |
| dpm++2m | the same with $(1 + \frac{1}{2q}) D - \frac{1}{2q} D_{before}$, $q = h_{before} / h$ | 2 | 1 |
| sde | Euler-Maruyama of $dx = [f x - \frac{1+\eta^2}{2} g^2 S]\,dt + \eta g\,d\bar W$ | | 1 |
| corrected | sde, then steps of Langevin dynamics at r | | 1 and one a correction |
| langevin | annealed: at each level steps of Langevin dynamics alone | | one a step |

with $s_{t|r}^2 = s_t^2 - (a_t/a_r)^2 s_r^2$. euler and heun depend on the clock of the schedule; in $x/a$ along $\lambda$ all
schedules give one equation, and on the same $\lambda$ edm-heun, ddim, dpm-2 and dpm++2m end in the same points for each.

A sampler of your own is a pytree with the call of ``Sampler``.

Source: Lai, Song, Kim, Mitsufuji, Ermon, *The Principles of Diffusion Models*, 2025; Ho, Jain, Abbeel, NeurIPS 2020 (DDPM);
Song, Meng, Ermon, ICLR 2021 (DDIM); Song et al., ICLR 2021 (SDE, corrector); Karras et al., NeurIPS 2022 (EDM); Lu et al.,
NeurIPS 2022 and *DPM-Solver++*, 2022; Song, Ermon, NeurIPS 2019 (annealed Langevin).
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.diffusion import walk
from lab.diffusion.predictions import Prediction
from lab.diffusion.schedules import Level, Noise
from lab.diffusion.walk import Knot as Knot
from lab.diffusion.walk import Moved, Sampler, Step, Trajectory
from lab.diffusion.walk import between as between
from lab.diffusion.walk import knots as knots
from lab.diffusion.walk import walked as walked
from lab.numerics import Loop, pure, random
from lab.numerics.arguments import real, whole

_FEW = 15  # steps below which the last of dpm++2m is of first order
_SMALLEST = 1e-30

type Name = (
    Literal[
        "euler",
        "heun",
        "edm-heun",
        "ddim",
        "ancestral",
        "dpm-2",
        "dpm++1s",
        "dpm++2m",
        "sde",
        "corrected",
        "langevin",
    ]
    | str
)


class _Plain(eqx.Module):
    """Without memory, one evaluation."""

    @property
    def evaluations(self) -> int:
        return 1

    def begin(self, x: Array) -> None:
        return None


def _nonnegative(sampler: Any, *names: str) -> None:
    for name in names:
        value = getattr(sampler, name)
        if value is not None and not isinstance(value, Tracer) and eqx.is_array_like(value):
            real(name, value, low=0)


def _asked(predict: Prediction, level: Level, x: Array) -> tuple[Array, Array]:
    data = predict(x, level.a, level.s)
    return data, (x - level.a * data) / level.s


def _slope(level: Level, data: Array, noise: Array) -> Array:
    return level.da * data + level.ds * noise


class Euler(_Plain):
    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now, step.later
        data, noise = _asked(predict, now.level, x)
        return Moved(x + (later.t - now.t) * _slope(now.level, data, noise), data, None)


class _Double(_Plain):
    @property
    def evaluations(self) -> int:
        return 2


class Heun(_Double):
    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now, step.later
        h = later.t - now.t
        data, noise = _asked(predict, now.level, x)
        first = _slope(now.level, data, noise)
        second = _slope(later.level, *_asked(predict, later.level, x + h * first))
        return Moved(x + h * (first + second) / 2, data, None)


class EDMHeun(_Double):
    """Heun in x / a along s / a. Churn first adds noise, between levels ``churn_from`` and ``churn_to``.

    Args:
        churn: of all steps together, not negative; 0 for none, as when omitted, where no noise is drawn.
        churn_from, churn_to: levels s / a between which it is added.
        inflation: of the noise that is added.
    """

    churn: float | Array | None = None
    churn_from: float | Array = 0.0
    churn_to: float | Array = float("inf")
    inflation: float | Array = 1.0

    def __check_init__(self) -> None:
        _nonnegative(self, "churn", "inflation")

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now.level, step.later.level
        sigma, goal = now.sigma, later.sigma
        one = jnp.ones_like(sigma)
        z, high = x / now.a, sigma
        if self.churn is not None:
            active = (self.churn_from <= sigma) & (sigma <= self.churn_to)
            more = jnp.where(active, jnp.minimum(self.churn / step.steps, 2**0.5 - 1), 0.0)
            high = sigma * (1 + more)
            added = self.inflation * sigma * jnp.sqrt(more * (2 + more))
            z = z + added * random.normal(step.key, x.shape, x.dtype)
        data = predict(z, one, high)
        first = (z - data) / high
        moved = z + (goal - high) * first
        end = goal <= 0  # there the denoised point is where the first slope leads, and there is no second
        safe = jnp.where(end, 1.0, goal)
        second = jnp.where(end, first, (moved - predict(moved, one, safe)) / safe)
        return Moved(later.a * (z + (goal - high) * (first + second) / 2), data, None)


class DDIM(_Plain):
    """eta = 0 is deterministic, eta = 1 draws from the posterior of DDPM.

    Args:
        eta: from 0 to 1; above it the variance that is drawn soon exceeds that of the level, and laws are not kept. Omitted
            it is 0, and no noise is drawn.
    """

    eta: float | Array | None = None

    def __check_init__(self) -> None:
        _nonnegative(self, "eta")

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now.level, step.later.level
        data, noise = _asked(predict, now, x)
        if self.eta is None:
            return Moved(later.a * data + later.s * noise, data, None)
        between = now.s**2 - (now.a / later.a * later.s) ** 2
        variance = self.eta**2 * later.s**2 * between / now.s**2
        fresh = jnp.sqrt(variance) * random.normal(step.key, x.shape, x.dtype)
        kept = jnp.sqrt(jnp.maximum(later.s**2 - variance, 0.0))
        return Moved(later.a * data + kept * noise + fresh, data, None)


def _exponential(now: Level, later: Level, x: Array, noise: Array) -> Array:
    """The exact step of a noise that does not change; s_r (e^h - 1) without the infinity of h at s_r = 0."""
    return later.a / now.a * x - (later.a * now.sigma - later.s) * noise


class DPMSolver2(_Double):
    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, middle, later = step.now.level, step.middle.level, step.later.level
        data, noise = _asked(predict, now, x)
        half = _exponential(now, middle, x, noise)
        return Moved(_exponential(now, later, x, _asked(predict, middle, half)[1]), data, None)


class DPMSolver1S(_Plain):
    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        data = _asked(predict, step.now.level, x)[0]
        return Moved(_toward(step, x, data), data, None)


class DPMSolver2M(_Plain):
    """Two steps together.

    Args:
        steady: the last of fewer than 15 steps, which may be very long in log-SNR, is of first order.
    """

    steady: bool = eqx.field(static=True, default=True)

    def begin(self, x: Array) -> tuple[Array, Array]:
        return jnp.zeros_like(x), jnp.ones((), x.dtype)

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: tuple[Array, Array]) -> Moved:
        old, before = memory
        data = _asked(predict, step.now.level, x)[0]
        h = step.later.level.log_snr - step.now.level.log_snr  # 0 where a padded grid has come to its end
        last = self.steady & (step.number == step.steps - 1) & (step.steps < _FEW)
        lower = (step.number == 0) | last | ~jnp.isfinite(h) | (h <= 0)
        half = jnp.where(lower, 0.0, h / jnp.where(before > 0, before, 1.0) / 2)
        return Moved(_toward(step, x, (1 + half) * data - half * old), data, (data, h))


def _toward(step: Step, x: Array, data: Array) -> Array:
    now, later = step.now.level, step.later.level
    # -a_r (e^-h - 1) = a_r - s_r a_t / s_t
    return later.s / now.s * x + (later.a - later.s / now.sigma) * data


class SDE(_Plain):
    """Euler-Maruyama of the reverse equation: eta = 1 Anderson's, eta = 0 the probability flow.

    Args:
        eta: not negative; the larger, the more steps are needed.
    """

    eta: float | Array = 1.0

    def __check_init__(self) -> None:
        _nonnegative(self, "eta")

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now, step.later
        data, noise = _asked(predict, now.level, x)
        g2, h = now.level.diffusion, later.t - now.t
        drift = now.level.drift * x + (1 + self.eta**2) / 2 * g2 * noise / now.level.s
        fresh = self.eta * jnp.sqrt(g2 * -h) * random.normal(step.key, x.shape, x.dtype)
        return Moved(x + h * drift + fresh, data, None)


class Corrected(eqx.Module):
    r"""The reverse equation, then Langevin steps of $e = 2 (r |z| / |S|)^2$, norms of the whole cloud: at $s_r$.

    Args:
        ratio: r, of signal to noise in a step.
        corrections: steps at each level.
    """

    ratio: float | Array = 0.16
    corrections: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        _nonnegative(self, "ratio")
        whole("corrections", self.corrections, 0)

    @property
    def evaluations(self) -> int:
        return 1 + self.corrections

    def begin(self, x: Array) -> None:
        return None

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        first, *keys = jax.random.split(step.key, 1 + self.corrections)
        level = step.later.level
        moved = SDE()(predict, step._replace(key=first), x, None)
        x = moved.x
        for key in keys:
            z = random.normal(key, x.shape, x.dtype)
            score = -_asked(predict, level, x)[1] / level.s
            size = 2 * (self.ratio * _norm(z) / jnp.maximum(_norm(score), _SMALLEST)) ** 2
            x = x + size * score + jnp.sqrt(2 * size) * z
        return Moved(x, moved.data, None)


def _norm(x: Array) -> Array:
    return jnp.sqrt((x**2).sum(axis=1)).mean()


class Langevin(eqx.Module):
    r"""At each level steps $x + e S + \sqrt{2 e}\,z$ with $e = \kappa s^2$, where the last x, scaled, is the start.

    Args:
        size: kappa, below 1; steps of Gaussian data are stable below 2.
        repeats: steps at each level.
    """

    size: float | Array = 0.1
    repeats: int = eqx.field(static=True, default=5)

    def __check_init__(self) -> None:
        _nonnegative(self, "size")
        whole("repeats", self.repeats, 1)

    @property
    def evaluations(self) -> int:
        return self.repeats

    def begin(self, x: Array) -> None:
        return None

    def __call__(self, predict: Prediction, step: Step, x: Array, memory: None) -> Moved:
        now, later = step.now.level, step.later.level
        x = x * later.a / now.a
        size = self.size * later.s**2

        def one(x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
            data, noise = _asked(predict, later, x)
            fresh = jnp.sqrt(2 * size) * random.normal(key, x.shape, x.dtype)
            return (x - size * noise / later.s + fresh).astype(x.dtype), data

        x, data = jax.lax.scan(one, x, jax.random.split(step.key, self.repeats))
        return Moved(x, data[0], None)


SAMPLERS: dict[str, Sampler] = {
    "euler": Euler(),
    "heun": Heun(),
    "edm-heun": EDMHeun(),
    "ddim": DDIM(),
    "ancestral": DDIM(1.0),
    "dpm-2": DPMSolver2(),
    "dpm++1s": DPMSolver1S(),
    "dpm++2m": DPMSolver2M(),
    "sde": SDE(),
    "corrected": Corrected(),
    "langevin": Langevin(),
}


@chosen
def sample(
    predict: Any,
    noise: Any,
    times: Any,
    x: Any,
    sampler: Name | Sampler = "dpm++2m",
    *,
    key: PRNGKeyArray | None = None,
    keep: bool = True,
    loop: Loop = pure,
) -> Trajectory:
    r"""Carry points from the first of falling times to the last.

    $$ x = aD + s\hat\varepsilon, \qquad \tfrac{dx}{dt} = a' D + s' \hat\varepsilon \quad \text{(the probability flow)} $$

    or the diffusion with its marginals, by the step of the sampler.

    Args:
        predict: the mean of the data, a ``Prediction``.
        noise: the schedule.
        times: (N + 1,) falling, as ``grid`` gives them; within the ends of the schedule.
        x: (n, d) at the first of them: ``start`` draws such.
        sampler: a name in the table of the module, or a ``Sampler``.
        key: of the noise that is drawn; the same for every call when omitted.
        keep: the points of all times.
        loop: ``lab.numerics.pure``, or a ``Chunked`` that reports and stops, which tells of its end by ``reason`` alone.

    Returns:
        a ``Trajectory``: times, points (N + 1, n, d) and predictions of the data, the end (n, d), the evaluations, and where it
        ceased to be finite.

    Raises:
        ValueError: times that do not fall, or lie above the schedule's last or below 0; points that are no real (n, d), or not
            finite; a prediction that is not of their shape.
        TypeError: something else in place of a schedule or a sampler.

    Warns:
        NotConverged: a value that is not finite: ``lost`` says after which step. At a last time without noise (s = 0) that
            is so of heun, corrected and langevin, at a first one without data (a = 0) of edm-heun, dpm-2, sde, corrected and
            langevin.

    Source:
        Lai, Song, Kim, Mitsufuji, Ermon, The Principles of Diffusion Models, 2025; of each sampler, the text of the module.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import diffusion
        >>> from lab.numerics.mixtures import standard
        >>> x, vp = jnp.array([[1.0, -2.0]]), diffusion.noise("vp")
        >>> end = diffusion.sample(diffusion.Exact(standard(2)), vp, diffusion.grid(vp, 100), x).end
        >>> bool(jnp.allclose(end, x, atol=0.01))  # N(0, I) stays where it is
        True
    """
    sampler = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    return walk.carried(predict, noise, times, x, sampler, key, keep, loop)


def start(noise: Noise, key: PRNGKeyArray, n: int, d: int) -> Float[Array, "n d"]:
    """Points of the law that samplers start from, $N(0, s(T)^2 I)$, T the last time of the schedule.

    Args:
        noise: the schedule.
        key: of the points.
        n: how many.
        d: their dimension.

    Returns:
        (n, d).

    Raises:
        ValueError: n or d that is no whole number of at least 1.

    Source:
        Song et al., Score-based generative modeling through SDEs, ICLR 2021.

    Examples:
        >>> import jax
        >>> from lab import diffusion
        >>> x = diffusion.start(diffusion.noise("edm"), jax.random.key(0), 500, 2)
        >>> x.shape, bool(abs(x.std() / 80 - 1) < 0.1)
        ((500, 2), True)
    """
    n, d = whole("n", n, 1), whole("d", d, 1)
    scale = noise(noise.last).s
    return scale * random.normal(key, (n, d), scale.dtype)

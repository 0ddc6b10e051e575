r"""Maps of the flow that a small network has learned, so that a few calls of it lead from noise to data.

All work in coordinates that no schedule changes: $y = x/a$ at the noise level $\sigma = s/a$, and for the two of average
velocity $z = y / (1 + \sigma) = (1 - \tau) x_0 + \tau \varepsilon$ on the straight clock $\tau = \sigma / (1 + \sigma)$. So a
map that was learned once serves every schedule. With sg a stopped gradient, v the variance of the data, and F the network:

- consistency: $\Psi_{\sigma \to \sigma_0} = c_{skip}\,y + c_{out} F$; its loss asks that
  $\Psi_\sigma(y) = \mathrm{sg}\,\Psi_\rho(\hat y)$, $\rho$ being the next lower level, with

$$ c_{skip} = \frac{v}{(\sigma - \sigma_0)^2 + v}, \qquad c_{out} = \frac{(\sigma - \sigma_0) \sqrt v}{\sqrt{\sigma^2 + v}} . $$

- ctm: $\Psi_{\sigma \to \rho} = \frac\rho\sigma y + (1 - \frac\rho\sigma)\,g$, g preconditioned as by EDM; the ways from
  $\sigma$ to $\rho$, straight and by $\hat y$, shall end alike at $\sigma_0$, and g be D where $\rho = \sigma$.
- shortcut: $\bar u(z, \tau, d)$ of a step d; two steps of d shall be one of 2d, and $\bar u = \varepsilon - x_0$ where d = 0.
- meanflow: $\bar u(z, \tau, r)$ from $\tau$ to r; it shall be $\mathrm{sg}\,[u - (\tau - r)\,\frac{d}{d\tau} \bar u]$ along
  $u = \varepsilon - x_0$.

$\hat y$ is one step of Heun's method with a teacher's denoiser (distillation), or the same data with the same noise at the
lower level (training), which needs no teacher and has more variance.

Squares of the first two are over $\sigma - \rho$ (Song, Dhariwal, 2024): without it the map of the sheet's three Gaussians ends
four times as far off. MeanFlow as published divides each row's square by itself; in many dimensions these are alike, in the
plane that leads to modes instead of means, and it is left out here. Its times are even: the published ones hardly see the
last of the noise.

Source: Song, Dhariwal, Chen, Sutskever, *Consistency Models*, ICML 2023; Song, Dhariwal, *Improved Techniques for Training
Consistency Models*, ICLR 2024; Kim et al., *Consistency Trajectory Models*, ICLR 2024; Frans, Hafner, Levine, Abbeel, *One Step
Diffusion via Shortcut Models*, ICLR 2025; Geng et al., *Mean Flows for One-step Generative Modeling*, 2025; Karras et al.,
*Elucidating the Design Space*, NeurIPS 2022 (levels, preconditioning).
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.diffusion import flow_maps, grids, samplers
from lab.diffusion.parametrisations import preconditioning
from lab.diffusion.schedules import Noise
from lab.diffusion.schedules import noise as named
from lab.inputs import shown
from lab.numerics import Loop, random
from lab.numerics.jit import jit
from lab.numerics.lessons import Learned, Learning, Problem, learn
from lab.paths import metrics
from lab.paths.network import Perceptron, Residual

type Learns = Literal["consistency", "ctm", "shortcut", "meanflow"] | str
LEARNS = ("consistency", "ctm", "shortcut", "meanflow")
TAUGHT = LEARNS[:2]  # those that a teacher's denoiser can teach

BATCH = 256
LEVELS = 40  # of Karras' grid, along which consistency models and CTM learn
_RHO = 7.0
_HALVINGS = 7  # a shortcut is 2^-7 to 1 of the way
_APART = 0.25  # share of a batch whose two times differ: of shortcut and MeanFlow


@chosen
class Map(eqx.Module):
    """A learned map of the flow, of points y at levels sigma; ``on`` gives it in the coordinates of a schedule."""

    network: Any
    deviation: Float[Array, ""]  # of a coordinate of the data
    least: Float[Array, ""]  # sigma_0, where the data are
    learns: Learns = eqx.field(static=True)

    def __call__(self, y: Float[Array, "n d"], sigma: ArrayLike, rho: ArrayLike) -> Float[Array, "n d"]:
        r"""$\Psi_{\sigma \to \rho}$, for levels () or (n,), $\rho \le \sigma$.

        A consistency model knows $\rho = \sigma_0$ alone, and leads there whatever is asked.
        """
        sigma, rho = (jnp.broadcast_to(jnp.asarray(each, y.dtype), y.shape[:1])[:, None] for each in (sigma, rho))
        if self.learns not in TAUGHT:
            now, later = sigma / (1 + sigma), rho / (1 + rho)
            z = y / (1 + sigma)
            return (z - (now - later) * self.velocity(z, now, later)) / (1 - later)
        if self.learns == "ctm":
            return rho / sigma * y + (1 - rho / sigma) * self.denoised(y, sigma, rho)
        v, above = self.deviation**2, sigma - self.least
        out = above * self.deviation / jnp.sqrt(sigma**2 + v)
        scaled = y / jnp.sqrt(sigma**2 + v)
        return v / (above**2 + v) * y + out * self._ask(scaled, jnp.log(sigma) / 4, jnp.zeros_like(sigma))

    def denoised(self, y: Array, sigma: Array, rho: Array) -> Array:
        """CTM's g: where its straight line from (y, sigma) through the image at rho ends at no noise. (n, 1) levels."""
        c = preconditioning(sigma, self.deviation)
        return c.skip * y + c.out * self._ask(c.into * y, c.noise, jnp.log(rho) / 4)

    def velocity(self, z: Array, now: Array, later: Array) -> Array:
        """The average velocity from a time of the straight clock to another. (n, 1) times."""
        wide = jnp.sqrt((1 - now) ** 2 * self.deviation**2 + now**2)
        return self._ask(z / wide, now, now - later) * jnp.sqrt(self.deviation**2 + 1)

    def _ask(self, x: Array, now: Array, other: Array) -> Array:
        return self.network(now[:, 0], jnp.concatenate([x, other], axis=1))[:, : x.shape[1]]

    def on(self, noise: Noise) -> Any:
        """The map as ``flow_maps.identities`` takes one: called at points x (n, d) and two times of the schedule."""

        def psi(x: Array, t: ArrayLike, r: ArrayLike) -> Array:
            now, later = noise(t), noise(r)
            return later.a * self(x / now.a, now.sigma, later.sigma)

        return psi


class _Levels(eqx.Module):
    """What is learned along levels: consistency models and CTM."""

    law: Any
    teacher: Any  # a prediction, or None
    start: Map  # whose network is trained
    sigma: Float[Array, " levels"]  # rising

    def loss(self, model: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        keys = jax.random.split(key, 4)
        dtype, n = self.sigma.dtype, BATCH
        data = self.law.sample(keys[0], n).astype(dtype)
        noise = random.normal(keys[1], data.shape, dtype)
        psi, known = (eqx.tree_at(lambda each: each.network, self.start, one) for one in _both(model))
        at = random.randint(keys[2], (n,), 1, LEVELS)
        sigma, next_ = self.sigma[at][:, None], self.sigma[at - 1][:, None]
        y = data + sigma * noise
        lower = data + next_ * noise if self.teacher is None else self._taught(y, sigma, next_)
        least = self.sigma[0]
        if self.start.learns == "consistency":
            apart = psi(y, sigma[:, 0], least) - known(lower, next_[:, 0], least)
            return (apart**2 / (sigma - next_)).sum(axis=1).mean()
        rho = self.sigma[random.randint(keys[3], (n,), 0, at)]
        image, other = psi(y, sigma[:, 0], rho), known(lower, next_[:, 0], rho)
        apart = known(image, rho, least) - known(other, rho, least)
        goal = data if self.teacher is None else self._asked(y, sigma)
        denoised = psi.denoised(y, sigma, sigma) - goal
        weight = preconditioning(sigma, self.start.deviation).weight
        return (apart**2 / (sigma - next_)).sum(axis=1).mean() + (weight * denoised**2).sum(axis=1).mean()

    def _taught(self, y: Array, sigma: Array, rho: Array) -> Array:
        """Heun's step from level to level, each row from its own."""

        first = (y - self._asked(y, sigma)) / sigma
        end = y + (rho - sigma) * first
        return y + (rho - sigma) * (first + (end - self._asked(end, rho)) / rho) / 2

    def _asked(self, y: Array, sigma: Array) -> Array:
        ask = jax.vmap(lambda row, s: self.teacher(row[None], jnp.ones_like(s), s)[0])
        return ask(y, sigma[:, 0]).astype(y.dtype)


class _Straight(eqx.Module):
    """What is learned on the straight clock: shortcut models and MeanFlow."""

    law: Any
    start: Map
    ends: Float[Array, "2"]

    def loss(self, model: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        keys = jax.random.split(key, 5)
        dtype, n = self.ends.dtype, BATCH
        data = self.law.sample(keys[0], n).astype(dtype)
        noise = random.normal(keys[1], data.shape, dtype)
        learner, known = (eqx.tree_at(lambda each: each.network, self.start, one) for one in _both(model))
        low, high = self.ends
        apart = (jnp.arange(n) < _APART * n)[:, None]
        u = noise - data
        if self.start.learns == "shortcut":
            # two steps of d from tau, on the grid that steps of 2d make
            part = jnp.exp2(-random.randint(keys[2], (n, 1), 0, _HALVINGS).astype(dtype))
            place = jnp.ceil(random.uniform(keys[3], (n, 1), dtype) / part) * part
            now = jnp.where(
                apart, low + (high - low) * place, low + (high - low) * random.uniform(keys[4], (n, 1), dtype)
            )
            half = jnp.where(apart, (high - low) * part / 2, 0)
            z = (1 - now) * data + now * noise
            first = known.velocity(z, now, now - half)
            second = known.velocity(z - half * first, now - half, now - 2 * half)
            wanted = jnp.where(apart, (first + second) / 2, u)
            return ((learner.velocity(z, now, now - 2 * half) - wanted) ** 2).sum(axis=1).mean()
        times = low + (high - low) * random.uniform(keys[2], (2, n, 1), dtype)
        now = times.max(axis=0)
        now, later = jnp.where(apart, now, times[0]), jnp.where(apart, times.min(axis=0), times[0])
        z = (1 - now) * data + now * noise
        mean, turned = jax.jvp(lambda z, now: learner.velocity(z, now, later), (z, now), (u, jnp.ones_like(now)))
        return ((mean - jax.lax.stop_gradient(u - (now - later) * turned)) ** 2).sum(axis=1).mean()


def _both(model: Any) -> tuple[Any, Any]:
    return model, jax.lax.stop_gradient(model)


def problem(law: Any, start: Map, noise: Noise, teacher: Any = None) -> Problem:
    """What is asked of the network of a map, for ``lab.numerics.lessons.learn`` or a loop of one's own."""
    dtype = start.least.dtype
    ends = jnp.stack([noise(noise.first).sigma, noise(noise.last).sigma]).astype(dtype)
    if start.learns not in TAUGHT:
        return _Straight(law, start, ends / (1 + ends))
    low, high = ends ** (1 / _RHO)
    return _Levels(law, teacher, start, (low + jnp.linspace(0, 1, LEVELS, dtype=dtype) * (high - low)) ** _RHO)


def _checked(noise: Noise, learns: Learns, teacher: Any) -> None:
    ends = np.asarray(jnp.stack([noise(noise.first).sigma, noise(noise.last).sigma]))
    if not np.isfinite(ends).all() or not ends[0] > 0:
        raise ValueError(
            f"noise levels go from {shown(ends[0])} to {shown(ends[1])}, but both must be positive and finite"
        )
    if learns not in TAUGHT and teacher is not None:
        raise ValueError(f"teacher is given, but learns = {learns!r} asks none: leave it out")


class Taught(NamedTuple):
    """A learned map, and how it was learned."""

    map: Map
    learned: Learned


@chosen
def train(
    loop: Loop,
    key: PRNGKeyArray,
    law: Any,
    noise: Noise,
    learns: Learns,
    *,
    teacher: Any = None,
    deviation: ArrayLike | None = None,
    units: int = 64,
    steps: int = 3000,
    learning_rate: ArrayLike = 2e-3,
    state: Learning | None = None,
) -> Taught:
    """Teach a small network one of the identities of a flow map.

    Args:
        law: of the data: whatever has ``sample(key, n)``, as ``lab.paths.Mixture`` or ``Empirical``.
        noise: its first and last time say between which levels is learned.
        teacher: a prediction, for distillation of consistency models and CTM; None: from the data alone. The others need none.
        deviation: of a coordinate of the data; by 4096 samples when omitted.
        units: of each of three hidden layers.
        state: where to go on, of a training with the same arguments that was stopped.

    Raises:
        ValueError: levels that are not finite, or a teacher that would not be asked.
    """
    _checked(noise, learns, teacher)
    first, second, third = jax.random.split(key, 3)
    sample = jax.eval_shape(lambda k: law.sample(k, 2), third)
    d = sample.shape[1]
    if deviation is None:
        deviation = jnp.sqrt(law.sample(third, 4096).var(axis=0).mean())
    kind = Perceptron if d <= 2 else Residual
    network = kind(first, d + 1, units, frequencies=3, dtype=jnp.float32)
    least = noise(noise.first).sigma.astype(jnp.float32)
    start = Map(network, jnp.asarray(deviation, jnp.float32), least, learns)
    asked = problem(law, start, noise, teacher)
    found = learn(loop, asked, network, second, steps=steps, learning_rate=learning_rate, state=state)
    return Taught(eqx.tree_at(lambda each: each.network, start, found.model), found)


@jit
def sampled(
    psi: Map,
    noise: Noise,
    x: Float[Array, "n d"],
    times: Float[Array, " times"],
    key: PRNGKeyArray,
    gamma: ArrayLike = 1.0,
) -> Float[Array, "n d"]:
    r"""From noise to data by one call of the map for each time but the last.

    From a level to the next, $\rho$: the map leads to $\sqrt{1 - \gamma^2}\,\rho$, and noise of $\gamma \rho$ is added.
    $\gamma = 1$ goes to the data and back each time (multistep sampling of consistency models, which can do nothing else),
    $\gamma = 0$ adds none. The last call ends at the last time.

    Args:
        x: points at the first of the times.
        times: (calls + 1,), falling.
        gamma: between 0 and 1; a consistency model takes it for 1.
    """
    levels = noise(times)
    sigma = levels.sigma.astype(x.dtype)
    gamma = 1.0 if psi.learns == "consistency" else gamma

    def step(y, at):
        now, later, key, last = at
        part = jnp.where(last, 0.0, jnp.asarray(gamma, x.dtype))
        image = psi(y, now, jnp.maximum(jnp.sqrt(1 - part**2) * later, psi.least))
        return image + part * later * random.normal(key, y.shape, y.dtype), None

    calls = times.size - 1
    keys = jax.random.split(key, calls)
    y, _ = jax.lax.scan(step, x / levels.a[0], (sigma[:-1], sigma[1:], keys, jnp.arange(calls) == calls - 1))
    return levels.a[-1] * y


COUNTS = (1, 2, 4, 8)
MAKERS = ("map", "ddim", "dpm++2m")
IDENTITIES = ("eulerian", "semigroup", "lagrangian")
LOOKED = 16  # levels at which residuals are taken
_POINTS = 64


class Judged(NamedTuple):
    """What a learned map is worth."""

    ends: Float[Array, "counts n d"]  # of 1, 2, 4, 8 calls
    w2sq: Float[Array, " counts"]  # from fresh data
    errors: Float[
        Array, "makers counts"
    ]  # root mean square distances from the exact flow, of samplers that ask as often too
    residuals: Float[Array, "identities levels"]  # root mean squares, in units of the data
    log_snr: Float[Array, " levels"]


@jit
def judged(
    psi: Map,
    predict: Any,
    noise: Noise,
    flow: Float[Array, "frames n d"],
    log_snr: Float[Array, " frames"],
    fresh: Float[Array, "m d"],
    key: PRNGKeyArray,
) -> Judged:
    """A learned map beside samplers of as many evaluations, and what is left of the identities, on the exact flow.

    Args:
        predict: the denoiser of the flow.
        flow: the exact way of n points, at rising log-SNRs; at least 17 of them.
        fresh: data to compare with, m <= n.

    Residuals are of the map to the data, the Eulerian for a unit of log-SNR, and of the semigroup by the middle of the straight
    clock; of the map to that middle, the Lagrangian, for a unit of log-SNR too. MeanFlow's identity is the Eulerian one over
    $\\tau - r$, and the shortcut's that of the semigroup. A consistency model adds fresh noise between its calls, so
    that only its first has an error, and knows the Eulerian alone; the others are NaN.
    """
    x = flow[0]
    ends, errors = [], []
    for count in COUNTS:
        times = grids.grid(noise, count, "karras")
        made = [sampled(psi, noise, x, times, key, 0.0)]
        made += [samplers.sample(predict, noise, times, x, name).end for name in MAKERS[1:]]
        ends.append(made[0])
        errors.append(jnp.stack([jnp.sqrt(((each - flow[-1]) ** 2).sum(axis=1).mean()) for each in made]))
    w2sq = jnp.stack([metrics.cloud_distance(jnp.stack([each[: fresh.shape[0]], fresh])) for each in ends])
    errors = jnp.stack(errors, axis=1)

    straight = named("linear")
    on = psi.on(straight)
    every = (flow.shape[0] - 1) // LOOKED
    levels = log_snr[:-1:every][:LOOKED]
    scaled = flow[:-1:every][:LOOKED, :_POINTS] / noise(noise.time(levels)).a[:, None, None]
    end = 1 / (1 + jnp.exp(log_snr[-1]))

    def left(y: Array, level: Array) -> Array:
        t = 1 / (1 + jnp.exp(level))
        middle = (t + end) / 2

        def asked(r: Array) -> flow_maps.Identities:
            return flow_maps.identities(on, lambda x, t: flow_maps.velocity(predict, straight, x, t), (1 - t) * y, t, r)

        whole, half = asked(end), asked(middle)
        found = (whole.eulerian * t * (1 - t), whole.semigroup, half.lagrangian * middle * (1 - middle))
        return jnp.stack([jnp.sqrt((each**2).sum(axis=1).mean()) for each in found])

    residuals = jax.lax.map(lambda each: left(*each), (scaled, levels)).T
    if psi.learns == "consistency":
        residuals, errors = residuals.at[1:].set(jnp.nan), errors.at[0, 1:].set(jnp.nan)
    return Judged(jnp.stack(ends), w2sq, errors, residuals, levels)

"""Four noise schedules on one spectrum, deviations from the shortest path, corrupted images and drawn samples."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Real

from lab.diffusion import shortest, spectra
from lab.diffusion import shortest_sampling as back
from lab.diffusion.shortest import Corruption
from lab.numerics import random
from lab.numerics.host import placed
from lab.numerics.iterate import Loop, first_failure
from lab.numerics.jit import jit
from lab.numerics.mapping import map_rows
from lab.numerics.values import Values
from lab.paths import metrics

SCHEDULES = ("by frequency", "cosine", "linear", "blurring")
FILMED = ("by frequency", "cosine", "blurring")
SAMPLERS = {"large": "large", "small": "small", "ddim": "none"}
FAMILIES = ("gamma", "warp", "blend")
FAMILY_VALUES = np.stack(
    [
        [0, 0.25, 0.5, 0.75, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.5, 2, 2.5, 3, 4],
        np.geomspace(0.25, 4, 17),
        np.linspace(0, 1, 17),
    ]
)
BUDGETS = (5, 10, 25, 50, 100, 250)
EXPONENTS = np.linspace(0, 3, 9)
TIMES = np.linspace(0, 1, 41)
FRAMES = np.linspace(0, 0.5, 16)  # afterwards there is little but noise to see
PLACES: dict[str, Any] = {
    "schedule": list(SCHEDULES),
    "filmed": list(FILMED),
    "sampler_name": list(SAMPLERS),
    "t": TIMES,
    "frame": FRAMES,
    "family": list(FAMILIES),
    "exponent": EXPONENTS,
    "budget": list(BUDGETS),
    "part": ["signal", "noise"],
    "way": ["shortest", "straight"],
    "axis": ["pixel", "right of it"],
    "other": ["pixel", "right of it"],
}
"""What the axes of all that is looked at count."""

_EDGE = 2e-3  # speeds are not looked at nearer to the ends, where some are infinite
_LEVELS = 64  # of a film between 0 and 1: what a screen tells apart
_SHOWN = 8  # drawn images that are kept
_PIECES = 180  # of the straight line


class Deviation(NamedTuple):
    """From the shortest path: as ``shortest`` takes gamma and warp; blend is the share of the cosine schedule."""

    gamma: Any
    warp: Any
    blend: Any


class Bed(NamedTuple):
    """A spectrum, and the images that it is of."""

    power: Float[Array, " k"]  # D
    measured: Float[Array, " k"]
    radius: Float[Array, " k"]
    law: spectra.PowerLaw  # fitted to what was measured
    known: Float[Array, "n c k"]  # coefficients that the denoiser knows
    held: Float[Array, "m c k"]
    shown: Float[Array, "c k"]
    basis: Any


# ------------------------------------------------------------------------------------------------------------- a bed


def scaled(pixels: Any) -> Any:
    """In double precision, and between -1 and 1 where they are bytes."""
    return pixels.astype(float) / 127.5 - 1 if pixels.dtype == np.uint8 else pixels.astype(float)


@jit
def bed(
    images: Real[Array, "n c h w"],
    held: Real[Array, "m c h w"],
    every: Real[Array, "all c h w"],
    brought: Float[Array, "h w"] | None,
    number: Any,
    basis: str,
    center: bool,
    spectrum: str,
    law: tuple[Any, Any, Any],
    floor: Any,
    count: int,
) -> Bed:
    """Measure, and choose.

    Args:
        brought: a spectrum in place of what is measured, in "fft".
        every: of which one is shown, with this number, counted round.
        basis: "fft", "dct" or "principal axes".
        spectrum: "measured", "fitted" or "law".
        law: c1, c2 and m.
        floor: variance of white noise that is added to what is measured.
        count: images that the denoiser knows, at most.
    """
    images, held = scaled(images), scaled(held)
    (n, channels), shape = images.shape[:2], (images.shape[2], images.shape[3])
    mean = images.mean(axis=0)[None] * center
    images, held = images - mean, held - mean
    shown = scaled(every[number % every.shape[0]])[None] - mean
    flat = images.reshape(-1, *shape)
    chosen: Any = spectra.principal(flat.reshape(flat.shape[0], -1)) if basis == "principal axes" else basis

    def rows(x):
        return spectra.coefficients(x.reshape(-1, *shape), chosen).reshape(-1, channels, shape[0] * shape[1])

    given = brought if basis == "fft" else None
    measured = (spectra.spectrum(flat, basis=chosen) if given is None else given).ravel() + floor
    radius = jnp.asarray(spectra.radii(shape, chosen))
    fitted = spectra.fit(jnp.maximum(measured, 1e-300), radius)
    c1, c2, m = {"law": law, "fitted": fitted[:3], "measured": fitted[:3]}[spectrum]
    power = measured if spectrum == "measured" else c1 / (c2 + radius) ** m
    known = rows(images[: min(count, n)])
    return Bed(power, measured, radius, fitted, known, rows(held), rows(shown)[0], chosen)


@jit
def keys(p: Values) -> tuple[Any, ...]:
    """Three, by the number ``seed``."""
    return tuple(jax.random.split(jax.random.key(p.seed), 3))


@jit
def least_power(images: Real[Array, "n c h w"], basis: str, center: bool) -> Float[Array, ""]:
    """Of all coefficients, as a share of the largest."""
    images = scaled(images)
    flat = (images - images.mean(axis=0)[None] * center).reshape(-1, *images.shape[2:])
    chosen: Any = spectra.principal(flat.reshape(flat.shape[0], -1)) if basis == "principal axes" else basis
    found = spectra.spectrum(flat, basis=chosen)
    return found.min() / found.max()


# --------------------------------------------------------------------------------------------------------- schedules


def at_times(bed: Bed, away: Deviation, t: Array) -> list[Corruption]:
    """All schedules, in their order, at times between 0 and 1."""
    tau = ((1 - t) ** away.warp)[:, None]
    l = (away.gamma * jnp.log(bed.power))[None, :]
    plain = shortest.cosine_at(t)
    ours = shortest.blended(Corruption(shortest.signal(l, tau), shortest.noise(l, tau)), plain, away.blend)
    found = [ours, plain, shortest.linear_at(t), shortest.blurring_at(t, bed.radius)]
    return [Corruption(*(jnp.broadcast_to(part, ours.signal.shape) for part in each)) for each in found]


class Clock(NamedTuple):
    """Where the steps of schedules are, so that rows of several numbers of steps may be stacked."""

    tau: Any  # (steps,)
    t: Any  # (steps,)
    cosine: Corruption  # (steps, 1)
    linear: Corruption


def clock(steps: int, grid: str = "official", rows: int | None = None) -> Clock:
    """Of so many steps; filled up to ``rows`` by repeating the last, which changes nothing."""
    at = np.minimum(np.arange(rows or steps), steps - 1)
    plain, linear = (Corruption(*shortest.host_schedule(name, steps)) for name in ("cosine", "linear"))
    whole = Clock(shortest.host_times(steps, grid), np.arange(1, steps + 1) / steps, plain, linear)
    return jax.tree.map(lambda part: part[at], whole)


def at_steps(power: Array, radius: Array, away: Deviation, clock: Clock) -> list[Corruption]:
    """All schedules, in their order, after each step."""
    ours = shortest.blended(
        shortest.shortest(power, clock.tau, away.gamma, away.warp), clock.cosine, jnp.asarray(away.blend)
    )
    found = [ours, clock.cosine, clock.linear, shortest.blurred(clock.cosine, clock.t, radius)]
    return [Corruption(*(jnp.broadcast_to(part, ours.signal.shape) for part in each)) for each in found]


class Score(NamedTuple):
    """Of a schedule on Gaussian data; of each sampler in order, and of the path."""

    kl: Float[Array, " sampler"]
    w2sq: Float[Array, " sampler"]
    length: Float[Array, ""]
    sum_kl: Float[Array, ""]


def score(power: Array, corruption: Corruption) -> Score:
    """What samplers end in, and how long the path is from the data to white noise."""
    ends = [back.outcome(power, corruption, variance) for variance in SAMPLERS.values()]
    path = corruption.spectra(power)
    kls = shortest.divergence(path[:-1], path[1:])
    return Score(
        jnp.stack([end.kl for end in ends]),
        jnp.stack([end.w2_squared for end in ends]),
        shortest.length(path),
        kls.sum(),
    )


class Trial(NamedTuple):
    """One to be scored: which schedule, how it deviates, and m of the law where the spectrum is to have it."""

    schedule: Array
    away: Deviation
    m: Array  # NaN: the spectrum as it is


class Trials(eqx.Module):
    """Scores trials on one clock."""

    power: Array
    radius: Array
    law: tuple[Any, Any]
    clock: Clock

    def __call__(self, trial: Trial) -> Score:
        c1, c2 = self.law
        own = c1 / (c2 + self.radius) ** jnp.where(jnp.isnan(trial.m), 1.0, trial.m)
        power = jnp.where(jnp.isnan(trial.m), self.power, own)
        found = at_steps(power, self.radius, trial.away, self.clock)
        return score(power, jax.tree.map(lambda *each: jnp.stack(each)[trial.schedule], *found))


class Budgets(eqx.Module):
    """Scores a schedule in a number of steps."""

    power: Array
    radius: Array
    away: Deviation

    def __call__(self, item: tuple[Array, Clock]) -> Array:
        found = at_steps(self.power, self.radius, self.away, item[1])
        return score(self.power, jax.tree.map(lambda *each: jnp.stack(each)[item[0]], *found)).kl


class Scores(NamedTuple):
    """Of all that is compared; the last axis of kl and w2sq is that of samplers."""

    here: Score  # of each schedule
    family: Score  # (family, value)
    law: Score  # (exponent, schedule)
    budget: Array  # (budget, schedule, sampler)
    reason: Any


def scores(bed: Bed, away: Deviation, law: tuple[Any, Any], steps: int, grid: str, loop: Loop) -> Scores:
    """Score the schedules as they are, the families of deviations, laws of other exponents, and other numbers of steps."""
    trials = Trials(bed.power, bed.radius, law, jax.tree.map(placed, clock(steps, grid)))
    found, first = map_rows(loop, trials, _trials(away))
    rows = [clock(budget, grid, max(BUDGETS)) for budget in BUDGETS for _ in SCHEDULES]
    stacked = jax.tree.map(lambda *parts: placed(np.stack(parts)), *rows)
    which = placed(np.tile(np.arange(len(SCHEDULES)), len(BUDGETS)))
    budget, second = map_rows(loop, Budgets(bed.power, bed.radius, away), (which, stacked))
    return Scores(*_parted(found, budget), first_failure(first, second))


@jit
def _trials(away: Deviation) -> Trial:
    count = len(SCHEDULES)
    pure = np.repeat([[1.0, 1.0, 0.0]], FAMILY_VALUES.size, axis=0)
    for family, values in enumerate(FAMILY_VALUES):
        pure[family * len(values) : (family + 1) * len(values), family] = values
    alike = [jnp.asarray(value, float) for value in away]
    aways = [
        jnp.concatenate([jnp.full(count, own), each, jnp.full(count * len(EXPONENTS), own)])
        for own, each in zip(alike, pure.T, strict=True)
    ]
    schedule = [*range(count), *np.zeros(len(pure), int), *np.tile(np.arange(count), len(EXPONENTS))]
    m = np.r_[np.full(count + len(pure), np.nan), np.repeat(EXPONENTS, count)]
    return Trial(jnp.asarray(np.asarray(schedule)), Deviation(*aways), jnp.asarray(m))


@jit
def _parted(found: Score, budget: Array) -> tuple[Score, Score, Score, Array]:
    count, families = len(SCHEDULES), FAMILY_VALUES.shape
    last = count + FAMILY_VALUES.size

    def part(begin: int, end: int | None, *shape: int) -> Score:
        return jax.tree.map(lambda each: each[begin:end].reshape(*shape, *each.shape[1:]), found)

    return (
        part(0, count, count),
        part(count, last, *families),
        part(last, None, len(EXPONENTS), count),
        budget.reshape(len(BUDGETS), count, -1),
    )


# ------------------------------------------------------------------------------------------------------------ looks


def rings(shape: tuple[int, int]) -> int:
    """How many rings of whole |f| there are."""
    return int(np.round(np.sqrt(shape[0] * shape[1]) * np.hypot(0.5, 0.5))) + 1


@jit
def curves(bed: Bed, away: Deviation, count: int) -> dict[str, Array]:
    """Over time, in rings of |f|: fraction of the signal that is left, and noise; the Fisher speed; the distance."""
    t = jnp.asarray(TIMES)
    ring = jnp.round(bed.radius)[:, None] == jnp.arange(count)[None, :]
    held = ring.sum(axis=0)[None, :]
    share = jnp.where(held > 0, ring / held, jnp.nan)  # XLA makes 0 of the quotient, since what it divides is a choice
    every = at_times(bed, away, t)
    power, few = bed.power[None, :], jnp.clip(t, _EDGE, 1 - _EDGE)

    def logs(t):
        return [jnp.log(each.signal * power + each.noise) for each in at_times(bed, away, t)]

    _, slopes = jax.jvp(logs, (few,), (jnp.ones_like(few),))
    return {
        "abar": jnp.stack([each.signal @ share for each in every]),
        "noise": jnp.stack([each.noise @ share for each in every]),
        "speed": jnp.stack([jnp.sqrt((each**2).sum(axis=1) / 2) for each in slopes]),
        "measured": jnp.exp(jnp.log(bed.measured) @ share),
        "distance": jnp.sqrt((jnp.log(bed.power) ** 2).sum() / 2),
    }


@jit
def film(bed: Bed, away: Deviation, shape: tuple[int, int], key: Any) -> dict[str, Array]:
    """Signal and noise of the shown image, with the same noise for all schedules: (2, schedule, frame, c, h, w)."""
    u = bed.shown
    fresh = random.normal(key, u.shape)
    every = at_times(bed, away, jnp.asarray(FRAMES))
    kept = [every[SCHEDULES.index(name)] for name in FILMED]
    parts = jnp.stack(
        [
            jnp.stack([jnp.sqrt(each.signal)[:, None] * u[None] for each in kept]),
            jnp.stack([jnp.sqrt(each.noise)[:, None] * fresh[None] for each in kept]),
        ]
    )
    images = spectra.composed(parts.reshape(-1, parts.shape[-1]), shape, bed.basis)
    return {"film": _screened(images.reshape(*parts.shape[:-1], *shape))}


def _screened(images: Array) -> Array:
    return jnp.round(images * _LEVELS) / _LEVELS


class Pairs(NamedTuple):
    """Two neighbouring pixels on their way to white noise."""

    covariance: Float[Array, "way frame 2 2"]
    points: Float[Array, "way frame n 2"]
    length: Float[Array, " way"]
    distance: Float[Array, "way frame"]  # gone so far, in Fisher length


@jit
def pairs(covariance: Float[Array, "2 2"], points: Float[Array, "n 2"], key: Any) -> Pairs:
    """Along the geodesic, and along the straight line of covariances, on which every isotropic schedule lies."""
    s = jnp.linspace(0, 1, _PIECES + 1)
    values, vectors = jnp.linalg.eigh(covariance)
    l = jnp.log(values)[None, :]
    both = [
        Corruption(shortest.signal(l, (1 - s)[:, None]), shortest.noise(l, (1 - s)[:, None])),
        Corruption(jnp.broadcast_to((1 - s)[:, None], (len(s), 2)), jnp.broadcast_to(s[:, None], (len(s), 2))),
    ]
    spectrum = jnp.stack([each.signal * values[None] + each.noise for each in both])
    gone = jnp.sqrt((jnp.diff(jnp.log(spectrum), axis=1) ** 2).sum(axis=2) / 2)
    gone = jnp.concatenate([jnp.zeros((2, 1)), jnp.cumsum(gone, axis=1)], axis=1)
    at = np.round(FRAMES * _PIECES).astype(int)
    u, fresh = points @ vectors, random.normal(key, points.shape)
    moved = [
        jnp.sqrt(each.signal[at])[:, None] * u[None] + jnp.sqrt(each.noise[at])[:, None] * fresh[None] for each in both
    ]
    wide = jnp.einsum("ik,wfk,jk->wfij", vectors, spectrum[:, at], vectors)
    return Pairs(wide, _screened(jnp.stack(moved) @ vectors.T), gone[:, -1], gone[:, at])


# ------------------------------------------------------------------------------------------------------------- draws


class Draws(NamedTuple):
    """Images drawn by the best denoiser of those that it knows, along each schedule."""

    images: Float[Array, "schedule example c h w"]
    real: Float[Array, "example c h w"]
    sliced: Float[Array, " schedule"]  # W2 squared to held out images, by lines
    floor: Float[Array, ""]  # of known images
    nearest: Float[Array, " schedule"]  # root mean square of pixels, to the nearest known image
    reason: Any


def draws(
    bed: Bed,
    away: Deviation,
    shape: tuple[int, int],
    steps: int,
    grid: str,
    count: int,
    variance: str,
    key: Any,
    loop: Loop,
) -> Draws:
    """Draw so many images in so many steps, along each schedule from the same noise."""
    known, ways, first, second = _ready(bed, away, jax.tree.map(placed, clock(steps, grid)), key)
    ran = [
        back.sample(back.OfData(known), way, first, count, known.shape[1], SAMPLERS[variance], follow=1, loop=loop)
        for way in ways
    ]
    found = _judged(bed, known, [each.end for each in ran], shape, second)
    images, real, apart, floor, near = found
    return Draws(images, real, apart, floor, near, first_failure(*(each.reason for each in ran)))


@jit
def _ready(bed: Bed, away: Deviation, clock: Clock, key: Any) -> tuple[Array, list[Corruption], Any, Any]:
    """The images that are known, the schedules for all channels, and keys."""
    ways = [
        Corruption(*(jnp.tile(part, (1, bed.known.shape[1])) for part in each))
        for each in at_steps(bed.power, bed.radius, away, clock)
    ]
    first, second = jax.random.split(key)
    return bed.known.reshape(bed.known.shape[0], -1), ways, first, second


@jit
def _judged(bed: Bed, known: Array, drawn: list[Array], shape: tuple[int, int], key: Any) -> tuple[Array, ...]:
    ends = jnp.stack(drawn)
    held = bed.held.reshape(bed.held.shape[0], -1)

    def images(rows):
        flat = spectra.composed(rows.reshape(-1, shape[0] * shape[1]), shape, bed.basis)
        return _screened(flat.reshape(*rows.shape[:-1], bed.known.shape[1], *shape))

    def near(end):
        squares = (end**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None, :] - 2 * end @ known.T
        return jnp.sqrt(jnp.maximum(squares.min(axis=1), 0).mean() / known.shape[1])

    apart = jnp.stack([metrics.sliced_wasserstein(key, end, held).value for end in ends])
    floor = metrics.sliced_wasserstein(key, known[: ends.shape[1]], held).value
    shown = min(_SHOWN, ends.shape[1], held.shape[0])
    return images(ends[:, :shown]), images(held[:shown]), apart, floor, jnp.stack([near(end) for end in ends])


@jit
def told(scored: Scores, drawn: Draws, sampler: int) -> dict[str, Array]:
    """All scores by name, and the numbers of the schedule at hand with the cosine beside it."""
    here, family, law = scored.here, scored.family, scored.law
    numbers = {
        "length": here.length[0],
        "length_cosine": here.length[1],
        "error": here.kl[0, sampler],
        "error_cosine": here.kl[1, sampler],
        "sliced": drawn.sliced[0],
        "sliced_cosine": drawn.sliced[1],
        "sliced_floor": drawn.floor,
    }
    best = jnp.asarray(FAMILY_VALUES[0])[jnp.argmin(family.kl[0], axis=0)]
    return numbers | {
        "kl": here.kl,
        "w2sq": here.w2sq,
        "fisher_length": here.length,
        "sum_kl": here.sum_kl,
        "family_kl": family.kl,
        "family_length": family.length,
        "family_value": jnp.asarray(FAMILY_VALUES),
        "best_gamma": best,
        "law_kl": law.kl,
        "budget_kl": scored.budget,
        "images": drawn.images,
        "held_out": drawn.real,
        "sliced_all": drawn.sliced,
        "nearest": drawn.nearest,
    }

"""All denoisers at all noise levels: what they make of the same noisy images, and where their own paths from noise lead."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab import denoise
from lab.denoise import Denoiser, Images, Spectrum
from lab.numerics import Method, Reason

OPTIMAL, NEAREST, WIENER, LOCAL, LS, SQUARES, ELS = ANALYTIC = (
    "optimal", "nearest", "Wiener", "PCA locality", "LS", "PSPC", "ELS",
)  # fmt: skip
NETWORKS = ("U-Net", "perceptron", "transformer")
METHODS = (*ANALYTIC, *NETWORKS)
LEVELS = np.asarray(denoise.released_levels(10))[:-1]
FIELDS = (2, 4, 5, 6, 7, 8)
"""Levels at which sensitivity fields are looked at, by number: 12, 3.4, 2.0, 1.2, .72 and .34."""
TABLE = np.array([0.1, 0.3, 1.0, 3.0, 10.0])
"""Levels of the table of errors."""
ELS_IMAGES = 100  # whose patches compete: the cost grows with the square of the pixels
_NOTHING = 1e-11  # of the largest eigenvalue: rounding


class Case(NamedTuple):
    """What the programs are compiled for."""

    shape: tuple[int, int, int]
    names: tuple[str, ...]  # analytic methods, in the order of METHODS
    normalize: str
    orientation: str
    chunk: int | None  # of softmaxes that are averaged as released
    patch: int  # of ELS


class Set(eqx.Module):
    """Training images, their spectrum, and what the denoisers are made with."""

    pixels: Float[Array, "N n"]
    spectrum: Spectrum
    networks: tuple[Denoiser, ...]
    theta: Float[Array, ""]
    radius: Int[Array, ""]
    tau: Float[Array, ""]
    case: Case = eqx.field(static=True)

    @property
    def images(self) -> Images:
        return Images(self.pixels, self.case.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all denoisers, in the order of ``denoisers``."""
        return (*self.case.names, *(each.name for each in self.networks))

    def coupling(self) -> denoise.PCALocality:
        """The paper's denoiser, which also makes the masks."""
        case = self.case
        how = {"normalize": case.normalize, "orientation": case.orientation, "chunk": case.chunk}
        accumulate = "exact" if case.chunk is None else "chunk_mean"
        return denoise.PCALocality(self.images, self.spectrum, self.theta, self.tau, accumulate=accumulate, **how)

    def denoisers(self, mask: Float[Array, "n n"]) -> list[Denoiser]:
        """All of them at one level, whose mask is given."""
        case, images = self.case, self.images
        side = jnp.minimum(2 * self.radius + 1, min(case.shape[1:]))
        make = {
            OPTIMAL: lambda: denoise.Optimal(images, self.tau),
            NEAREST: lambda: denoise.Nearest(images),
            WIENER: lambda: denoise.Wiener(self.spectrum, case.shape),
            LOCAL: lambda: denoise.Masked(images, mask, self.tau, case.chunk),
            LS: lambda: denoise.LS(images, 2 * self.radius + 1, tau=self.tau),
            SQUARES: lambda: denoise.SquareComposite(images, side, self.tau),
            ELS: lambda: denoise.ELS(Images(self.pixels[:ELS_IMAGES], case.shape), case.patch, "broken", self.tau),
        }
        return [*(make[name]() for name in case.names), *self.networks]


def spectrum_of(pixels: Float[Array, "N n"]) -> Spectrum:
    """Mean and eigenbasis of the covariance (divisor N - 1): ``denoise.spectrum`` as a pure function, O(N n^2 + n^3)."""
    wide = pixels.astype(jnp.zeros(()).dtype)
    mean = wide.mean(axis=0)
    apart = wide - mean[None, :]
    covariance = apart.T @ apart / (len(pixels) - 1)
    values, vectors = jnp.linalg.eigh(covariance)
    values = jnp.where(values > _NOTHING * jnp.maximum(values[-1], 0), values, 0.0)[::-1]
    return Spectrum(mean, values, vectors[:, ::-1], jnp.trace(covariance))


class Walk(eqx.Module):
    """The problem of the loop over levels."""

    data: Set
    clean: Float[Array, "B n"]
    noise: Float[Array, "B n"]
    start: Float[Array, "S n"]
    levels: Float[Array, " L+1"]  # falling, the last one is 0

    @property
    def count(self) -> int:
        return len(self.data.case.names) + len(self.data.networks)


class State(NamedTuple):
    """What is known so far, NaN where nothing is."""

    x: Float[Array, "M S n"]  # each method's own path
    single: Float[Array, "L M B n"]  # estimates from the same noisy images
    path: Float[Array, "L M S n"]  # estimates along the own paths
    masks: Float[Array, "F n n"]  # of the levels in FIELDS
    sizes: Float[Array, " L"]
    ess: Float[Array, "L B"]
    step: Int[Array, ""]


def _init(walk: Walk) -> State:
    (tests, n), samples, dtype = walk.clean.shape, len(walk.start), walk.clean.dtype
    levels, m = len(walk.levels) - 1, walk.count
    wide = walk.levels.dtype

    def none(*sizes: int, dtype: Any = dtype) -> Array:
        return jnp.full(sizes, jnp.nan, dtype)

    x = jnp.broadcast_to(walk.start, (m, samples, n))
    masks = jnp.zeros((len(FIELDS), n, n), jnp.float32)
    sizes, ess = none(levels, dtype=wide), none(levels, tests, dtype=wide)
    return State(x, none(levels, m, tests, n), none(levels, m, samples, n), masks, sizes, ess, jnp.int32(0))


def _step(walk: Walk, state: State) -> State:
    """One level: all methods on the noisy images, and one step of DDIM of each on its own path."""
    at, dtype = state.step, walk.clean.dtype
    now, then = walk.levels[at].astype(dtype), walk.levels[at + 1].astype(dtype)
    noisy = walk.clean + now * walk.noise
    mask = walk.data.coupling().mask(walk.levels[at])
    tests = len(noisy)
    single, x0, after = [], [], []
    for k, each in enumerate(walk.data.denoisers(mask)):
        found = each.denoise(jnp.concatenate([noisy, state.x[k]]), now)
        single.append(found[:tests])
        x0.append(found[tests:])
        after.append(found[tests:] + then * (state.x[k] - found[tests:]) / now)
    slot = jnp.asarray([FIELDS.index(level) if level in FIELDS else len(FIELDS) for level in range(len(LEVELS))])[at]
    ess = averaged(walk.data, noisy, now)
    return State(
        jnp.stack(after),
        state.single.at[at].set(jnp.stack(single)),
        state.path.at[at].set(jnp.stack(x0)),
        state.masks.at[slot].set(mask.astype(jnp.float32), mode="drop"),
        state.sizes.at[at].set((mask != 0).sum(axis=0).mean()),
        state.ess.at[at].set(ess.astype(state.ess.dtype)),
        at + 1,
    )


def _done(walk: Walk, state: State) -> Array:
    over = jnp.where(state.step >= len(walk.levels) - 1, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x).all(), over, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(walk: Walk, state: State) -> dict[str, Array]:
    return {"sigma": walk.levels[jnp.maximum(state.step - 1, 0)]}


class Tabled(NamedTuple):
    """The errors at the levels of the table."""

    errors: Float[Array, "T M B"]  # mean squared a pixel, to the clean image
    sizes: Float[Array, " T"]
    ess: Float[Array, "T B"]
    step: Int[Array, ""]


def _table_init(walk: Walk) -> Tabled:
    wide, tests = walk.levels.dtype, len(walk.clean)
    none = jnp.full((len(TABLE), walk.count, tests), jnp.nan, wide)
    return Tabled(none, none[:, 0, 0], none[:, 0], jnp.int32(0))


def _table_step(walk: Walk, state: Tabled) -> Tabled:
    """One level: all methods on the noisy images."""
    at, wide = state.step, walk.levels.dtype
    level = jnp.asarray(TABLE, wide)[at]
    noisy = walk.clean + level.astype(walk.clean.dtype) * walk.noise
    mask = walk.data.coupling().mask(level)
    found = jnp.stack([each.denoise(noisy, level.astype(noisy.dtype)) for each in walk.data.denoisers(mask)])
    errors = ((found.astype(wide) - walk.clean.astype(wide)[None]) ** 2).mean(axis=2)
    return Tabled(
        state.errors.at[at].set(errors),
        state.sizes.at[at].set((mask != 0).sum(axis=0).mean()),
        state.ess.at[at].set(averaged(walk.data, noisy, level).astype(wide)),
        at + 1,
    )


def _table_done(walk: Walk, state: Tabled) -> Array:
    return jnp.where(state.step >= len(TABLE), Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


def averaged(data: Set, noisy: Float[Array, "B n"], level: Array) -> Float[Array, " B"]:
    """How many training images the optimal denoiser averages."""
    return 1 / (denoise.Optimal(data.images, data.tau)._weights(noisy, level.astype(noisy.dtype)) ** 2).sum(axis=1)


TABLED = Method(
    _table_init,
    _table_step,
    _table_done,
    lambda walk, state: {"sigma": jnp.asarray(TABLE, walk.levels.dtype)[jnp.maximum(state.step - 1, 0)]},
    lambda state: state.step,
)
WALK = Method(_init, _step, _done, _measure, lambda state: state.step)  # a level may take long: report after each

"""All denoisers of a lineup at many noise levels: what they make of the same noisy images, and where their own paths lead."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lab.denoise.lineup import Lineup
from lab.numerics import Method, Reason


class Comparison(eqx.Module):
    """The problem of ``COMPARISON``: images with noise that all denoise, and noise that each follows to a sample."""

    lineup: Lineup
    clean: Float[Array, "B n"]
    noise: Float[Array, "B n"]
    start: Float[Array, "S n"]  # at the first level
    levels: Float[Array, " levels_and_0"]  # falling, the last one is 0
    kept: tuple[int, ...] = eqx.field(static=True)  # levels, by number, whose masks are kept


class Compared(NamedTuple):
    """What is known so far, NaN where nothing is."""

    x: Float[Array, "M S n"]  # each method's own path
    single: Float[Array, "L M B n"]  # estimates from the same noisy images
    path: Float[Array, "L M S n"]  # estimates along the own paths
    masks: Float[Array, "F n n"]  # of the levels that are kept
    sizes: Float[Array, " L"]  # pixels in the mask, mean over pixels
    averaged: Float[Array, "L B"]  # training images that the optimal denoiser averages
    step: Int[Array, ""]


def _init(problem: Comparison) -> Compared:
    (tests, n), samples, dtype = problem.clean.shape, len(problem.start), problem.clean.dtype
    levels, m = len(problem.levels) - 1, problem.lineup.count
    wide = problem.levels.dtype

    def none(*sizes: int, dtype: Any = dtype) -> Array:
        return jnp.full(sizes, jnp.nan, dtype)

    x = jnp.broadcast_to(problem.start, (m, samples, n))
    masks = jnp.zeros((len(problem.kept), n, n), jnp.float32)
    sizes, averaged = none(levels, dtype=wide), none(levels, tests, dtype=wide)
    return Compared(x, none(levels, m, tests, n), none(levels, m, samples, n), masks, sizes, averaged, jnp.int32(0))


def _step(problem: Comparison, state: Compared) -> Compared:
    """One level: all methods on the noisy images, and one step of DDIM of each on its own path."""
    at, dtype, lineup = state.step, problem.clean.dtype, problem.lineup
    now, then = problem.levels[at].astype(dtype), problem.levels[at + 1].astype(dtype)
    noisy = problem.clean + now * problem.noise
    mask = lineup.mask(problem.levels[at])
    tests = len(noisy)
    single, x0, after = [], [], []
    for k, denoiser in enumerate(lineup.denoisers(mask)):
        found = denoiser.denoise(jnp.concatenate([noisy, state.x[k]]), now)
        single.append(found[:tests])
        x0.append(found[tests:])
        after.append(found[tests:] + then * (state.x[k] - found[tests:]) / now)
    kept = problem.kept
    levels = range(len(problem.levels) - 1)
    slot = jnp.asarray([kept.index(level) if level in kept else len(kept) for level in levels])[at]
    averaged = lineup.averaged(noisy, now)
    return Compared(
        jnp.stack(after),
        state.single.at[at].set(jnp.stack(single)),
        state.path.at[at].set(jnp.stack(x0)),
        state.masks.at[slot].set(mask.astype(jnp.float32), mode="drop"),
        state.sizes.at[at].set((mask != 0).sum(axis=0).mean()),
        state.averaged.at[at].set(averaged.astype(state.averaged.dtype)),
        at + 1,
    )


def _done(problem: Comparison, state: Compared) -> Array:
    over = jnp.where(state.step >= len(problem.levels) - 1, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x).all(), over, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(problem: Comparison, state: Compared) -> dict[str, Array]:
    return {"sigma": problem.levels[jnp.maximum(state.step - 1, 0)]}


COMPARISON = Method(_init, _step, _done, _measure, lambda state: state.step)
"""Reports after each level, which may take long."""


class ErrorTable(eqx.Module):
    """The problem of ``ERRORS``: images with noise at some levels."""

    lineup: Lineup
    clean: Float[Array, "B n"]
    noise: Float[Array, "B n"]
    levels: Float[Array, " T"]


class Errors(NamedTuple):
    """The errors at these levels, NaN where nothing is known."""

    errors: Float[Array, "T M B"]  # mean squared a pixel, to the clean image
    sizes: Float[Array, " T"]  # pixels in the mask, mean over pixels
    averaged: Float[Array, "T B"]  # training images that the optimal denoiser averages
    step: Int[Array, ""]


def _first_errors(problem: ErrorTable) -> Errors:
    levels, tests = problem.levels, len(problem.clean)
    none = jnp.full((len(levels), problem.lineup.count, tests), jnp.nan, levels.dtype)
    return Errors(none, none[:, 0, 0], none[:, 0], jnp.int32(0))


def _next_errors(problem: ErrorTable, state: Errors) -> Errors:
    """One level: all methods on the noisy images."""
    at, wide, lineup = state.step, problem.levels.dtype, problem.lineup
    level = problem.levels[at]
    noisy = problem.clean + level.astype(problem.clean.dtype) * problem.noise
    mask = lineup.mask(level)
    found = [denoiser.denoise(noisy, level.astype(noisy.dtype)) for denoiser in lineup.denoisers(mask)]
    errors = ((jnp.stack(found).astype(wide) - problem.clean.astype(wide)[None]) ** 2).mean(axis=2)
    return Errors(
        state.errors.at[at].set(errors),
        state.sizes.at[at].set((mask != 0).sum(axis=0).mean()),
        state.averaged.at[at].set(lineup.averaged(noisy, level).astype(wide)),
        at + 1,
    )


def _all_errors(problem: ErrorTable, state: Errors) -> Array:
    return jnp.where(state.step >= len(problem.levels), Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


ERRORS = Method(
    _first_errors,
    _next_errors,
    _all_errors,
    lambda problem, state: {"sigma": problem.levels[jnp.maximum(state.step - 1, 0)]},
    lambda state: state.step,
)

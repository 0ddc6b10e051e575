"""The variables of the result, from what was computed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from lab.datasets import volumes
from lab.denoise import Images, Optimal, Wiener, dense_spectrum
from lab.denoise.base import Denoiser
from lab.denoise.images import Spectrum
from lab.inverse import Problem, Radon, Reconstruction, Slices, scans
from lab.numerics import Reason
from lab.numerics.jit import jit

FBP, LEAST, MAP, TV, ALONE, MBIR = METHODS = ("FBP", "least norm", "MAP", "TV", "slice-wise", "MBIR")
PLANES = ("axial", "coronal", "sagittal", "volume")
ALL_SIDES = np.arange(0.0, 180.0, 2.0)
"""Degrees of the sinogram that is shown."""

NOTHING = 1e-30
"""An ADMM weight that ties no slice to another."""

DIVERGED = 1.1
"""Times as rough as unrelated slices: by chance a diffusion of them comes to 1."""


class Prior(NamedTuple):
    """What is known of slices."""

    denoiser: Denoiser
    spectrum: Spectrum


def pooling(side: int, by: int | None, easy: int) -> int:
    """Pixels a side that become one: ``by``, or where it is None the least that leaves at most ``easy``."""
    return by or -(-side // easy)


def pooled(slices: Any, by: int) -> Array:
    """Slices (N, n, n) as numbers, squares of so many pixels averaged; bytes stand for v / 255."""
    return _pooled(jnp.asarray(slices), by)


@jit
def _pooled(slices: Array, by: int) -> Array:
    numbers = slices.astype(jnp.result_type(float)) / (255 if slices.dtype == jnp.uint8 else 1)
    side = slices.shape[1] // by
    return numbers[:, : side * by, : side * by].reshape(len(slices), side, by, side, by).mean(axis=(2, 4))


def prior(training: Any, by: int, shape: tuple[int, ...], learnt: str, denoiser: str) -> Prior:
    """Of training slices of the volume's kind; of ellipsoids where there are none, or of what is asked for."""
    count, side, _ = shape
    if learnt == "digits":
        slices = pooled(volumes.digit_slices(side), 1)
    elif learnt == "ellipsoids" or training is None:
        slices = pooled(volumes.ellipsoid_slices(side), 1)
    else:
        slices = pooled(training, by)
    spectrum = dense_spectrum(slices.reshape(len(slices), -1))
    one = (1, side, side)
    made = Optimal(Images(slices[:, None])) if denoiser == "optimal" else Wiener(spectrum, one)
    return Prior(Slices(made, count), spectrum)


def is_whole(found: Reconstruction) -> bool:
    """Whether it ran to its end, diverged or not."""
    return bool(found.reason != Reason.STOPPED)


def compared(
    found: Reconstruction, alone: Reconstruction, others: Sequence[Array], truth: Array, given: Problem,
    spectrum: Spectrum, sigma: Array,
) -> dict[str, Array]:
    """What depends on no cross-hair."""
    assert found.path is not None
    traces = [jnp.asarray(found.trace[name]) for name in ("roughness", "residual")]
    return _compared(others, (alone.x, found.x), found.path, truth, given, spectrum, sigma, traces)


def _whole(trace: Array, sigma: Array) -> Array:
    """A number for each step; NaN for those that were not done."""
    known = trace[: len(sigma)]
    return jnp.full(len(sigma), jnp.nan).at[: len(known)].set(known)


@jit
def _compared(
    others: Sequence[Array], diffused: tuple[Array, Array], path: Array, truth: Array, given: Problem, spectrum: Spectrum,
    sigma: Array, traces: Sequence[Array],
) -> dict[str, Array]:
    volumes = jnp.stack([*others, *(x[0] for x in diffused)])
    rough, residual = (_whole(trace, sigma) for trace in traces)
    good = scans.quality(volumes, truth, given)
    done = jnp.isfinite(rough)
    absolute, unrelated = rough * sigma, scans.unrelated(spectrum, sigma)
    spoiled = ~jnp.isfinite(volumes[-1]).all() | ~done.any()
    largest = jnp.where(done, absolute / unrelated, -jnp.inf).max()
    of = {name: k for k, name in enumerate(METHODS)}
    return {
        "psnr": good.psnr[of[MBIR], 3], "psnr_alone": good.psnr[of[ALONE], 3], "psnr_tv": good.psnr[of[TV], 3],
        "psnr_map": good.psnr[of[MAP], 3], "residual": good.residual[of[MBIR]],
        "roughness": jnp.where(spoiled, jnp.inf, largest),
        **{f"psnr_{plane}": good.psnr[of[MBIR], k] for k, plane in enumerate(PLANES[:3])},
        "tv_z": good.variation[of[MBIR]], "tv_alone": good.variation[of[ALONE]],
        "tv_truth": jnp.abs(jnp.diff(truth, axis=0)).mean(),
        "psnr_of": good.psnr, "ssim_of": jnp.pad(good.ssim, ((0, 0), (0, 1)), constant_values=jnp.nan),
        "residual_of": good.residual, "tv_of": good.variation,
        "sigma": sigma, "residual_path": residual, "psnr_path": jnp.where(done, scans.along(path[:, 0], truth), jnp.nan),
        "roughness_path": absolute, "unrelated": unrelated,
        "volume": volumes[-1], "volumes": volumes, "truth": truth,
    }


def seen(given: scans.Scan, truth: Array, paths: tuple[Any, Any], z: Any, row: Any) -> dict[str, Array]:
    """What the cross-hair shows."""
    z, row = (jnp.asarray(place, jnp.int32) for place in (z, row))
    found = {"coronal_path": _rows(*paths, row)}
    if given.angles is not None:
        return found | {"sinogram": _sinogram(truth, z), "measured": given.angles}
    lines = jnp.fft.fftshift(given.seen[0]).astype(truth.dtype)  # pyright: ignore
    return found | {"spectrum": _spectrum(truth, z), "lines": lines}


@jit
def _rows(found: Array, alone: Array, row: Array) -> Array:
    return jnp.stack([jnp.take(path[:, 0], row, axis=2) for path in (found, alone)])


@jit
def _sinogram(truth: Array, z: Array) -> Array:
    return Radon((1, *truth.shape[1:]), ALL_SIDES).apply(truth[z][None])[0]


@jit
def _spectrum(truth: Array, z: Array) -> Array:
    return jnp.log10(jnp.abs(jnp.fft.fftshift(jnp.fft.fft2(truth[z], norm="ortho"))) + 1e-6)

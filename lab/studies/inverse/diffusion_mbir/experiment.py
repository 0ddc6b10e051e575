"""Scan a volume, reconstruct it with each method, and compare the reconstructions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.datasets.volumes import digit_slices, ellipsoid_slices
from lab.denoise import Images, Optimal, Wiener, dense_spectrum
from lab.denoise.base import Denoiser
from lab.denoise.images import Spectrum
from lab.inverse import Problem, Radon, Reconstruction, Slices, mbir, scans
from lab.inverse.solving import solve
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.numerics.remembered import Remembered
from lab.studies.contract import Outputs, Run, out

FBP, LEAST, MAP, TV, ALONE, MBIR = METHODS = ("FBP", "least norm", "MAP", "TV", "slice-wise", "MBIR")
PLANES = ("axial", "coronal", "sagittal", "volume")
ALL_SIDES = np.arange(0.0, 180.0, 2.0)
"""Angles of the sinogram that is shown, in degrees."""
CORRECTORS = {"next level": "next", "same level": "same", "off": "none"}
DIVERGED = 1.1
"""Roughness in units of unrelated slices; a diffusion of unrelated slices reaches 1 by chance."""

_REMEMBERED = Remembered(bytes=512 << 20)
_EASY = 32  # pixels a side to which slices are averaged by default
_NOTHING = 1e-30  # an ADMM weight that ties no slices together
_NO_VIEWS, _NO_LINES = "it is no tomograph: choose sparse views or a limited angle", "it is a tomograph: choose MRI"


class Experiment(Outputs):
    """The reconstructions of one scan, and their errors."""

    psnr: Float[Array, ""] = out(
        "PSNR",
        "PSNR of the volume by DiffusionMBIR, over the range of the truth",
        unit="dB",
        headline=True,
        judge=lambda value, result: "good" if value > max(result.psnr_tv, result.psnr_alone) else "warn",
    )
    psnr_alone: Float[Array, ""] = out(
        "PSNR slice by slice", "PSNR of the same diffusion without a penalty", unit="dB", headline=True
    )
    psnr_tv: Float[Array, ""] = out(
        "PSNR of TV alone", "PSNR of total variation across slices, without a diffusion", unit="dB", headline=True
    )
    psnr_map: Float[Array, ""] = out(
        "PSNR of Gaussian MAP", "PSNR of the MAP of each slice under a Gaussian prior", unit="dB", headline=True
    )
    residual: Float[Array, ""] = out("residual", "|A x - y| / |y| by DiffusionMBIR", headline=True)
    roughness: Float[Array, ""] = out(
        "roughness",
        "maximum over levels, relative to unrelated slices with noise of that level: above 1 the diffusion diverges",
        headline=True,
        judge=lambda value, result: "warn" if not value <= DIVERGED else "good",
    )
    psnr_axial: Float[Array, ""] = out("axial PSNR", "mean over axial slices", unit="dB")
    psnr_coronal: Float[Array, ""] = out("coronal PSNR", "mean over coronal slices", unit="dB")
    psnr_sagittal: Float[Array, ""] = out("sagittal PSNR", "mean over sagittal slices", unit="dB")
    tv_z: Float[Array, ""] = out("flicker", "mean |D_z x| by DiffusionMBIR")
    tv_alone: Float[Array, ""] = out("flicker slice by slice", "mean |D_z x| of the diffusion without a penalty")
    tv_truth: Float[Array, ""] = out("flicker of the truth", "mean |D_z x| of the truth")
    psnr_of: Float[Array, "solver plane"] = out("PSNR", "of each method; mean over the slices of a plane", unit="dB")
    ssim_of: Float[Array, "solver plane"] = out("SSIM", "mean over slices; windows of 7 x 7, range of the truth")
    residual_of: Float[Array, " solver"] = out("residual", "|A x - y| / |y| of each method")
    tv_of: Float[Array, " solver"] = out("flicker", "mean |D_z x| of each method")
    sigma: Float[Array, " step"] = out("noise level σ", "of each step")
    residual_path: Float[Array, " step"] = out("residual", "after each step")
    psnr_path: Float[Array, " step"] = out("PSNR", "after each step", unit="dB")
    roughness_path: Float[Array, " step"] = out("roughness", "standard deviation of D_z x over √2, after each step")
    unrelated: Float[Array, " step"] = out("unrelated slices", "roughness of unrelated slices with noise of that level")
    volume: Float[Array, "z y x"] = out("gray value", "reconstruction by DiffusionMBIR")
    volumes: Float[Array, "solver z y x"] = out("gray value", "reconstruction by each method")
    truth: Float[Array, "z y x"] = out("gray value", "scanned volume")
    coronal_path: Float[Array, "diffusion step z x"] = out("gray value", "row of the cross-hair after each step")
    sinogram: Float[Array, "detector angle"] | None = out(
        "sum along lines", "sinogram of the slice of the cross-hair", absent=_NO_VIEWS
    )
    measured: Float[Array, " view"] | None = out("angle", "angles of the views", unit="°", absent=_NO_VIEWS)
    spectrum: Float[Array, "ky kx"] | None = out(
        "log₁₀ |F x|", "spectrum of the slice of the cross-hair, frequency 0 in the center", absent=_NO_LINES
    )
    lines: Float[Array, " kx"] | None = out("measured", "1 where a line of frequencies is measured", absent=_NO_LINES)


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Scan, reconstruct with each method, compare. Each part is cached, so that a click computes only what it shows."""
    by = pooling(inputs["volume"].shape[1], p.pool)
    remembered = _REMEMBERED.within((bytes(np.asarray(inputs["digest"])), by), p)
    truth, key = _pooled(inputs["volume"], by), jax.random.key(p.seed)
    own = {"MRI": (p.acceleration,), "limited angle": (p.views, p.span)}.get(p.scanner, (p.views,))
    scanned, learnt = (p.scanner, own, p.noise, p.seed), (p.learnt, p.prior)
    measured = {"count": p.views, "span": p.span, "acceleration": p.acceleration, "noise": p.noise}
    given = remembered(("scan", scanned), lambda: scans.scan(truth, p.scanner, key, **measured))
    prior = remembered(("prior", learnt), lambda: _prior(inputs.get("training"), by, truth.shape, *learnt))
    method = mbir.MBIR(p.lam, p.rho, p.steps, p.sigma_min, p.sigma_max, p.admm, p.inner, p.share)
    method = method._replace(corrector=CORRECTORS[p.corrector], snr=p.snr)
    method = method._replace(periodic=p.boundary == "periodic", finish=p.finish)

    def diffused(method: mbir.MBIR) -> Reconstruction:
        return remembered(
            ("diffusion", scanned, learnt, method),
            lambda: solve(given.problem, prior.denoiser, method, key=jax.random.fold_in(key, 1), keep=True, loop=loop),
            _is_whole,
        )

    found, alone = diffused(method), diffused(method._replace(lam=0.0, rho=_NOTHING, share=True))
    variation = {"steps": p.tv_steps, "inner": 4, "periodic": method.periodic, "tolerance": 0.0}
    others = remembered(
        ("others", scanned, learnt, p.tv_lam, p.tv_rho, p.tv_steps, method.periodic),
        lambda: (
            *(scans.back_projected(given), scans.least_norm(given), scans.most_probable(given, prior.spectrum)),
            mbir.total_variation(given.problem, p.tv_lam, p.tv_rho, **variation).x,
        ),
    )

    def compared() -> dict[str, Array]:
        assert found.path is not None  # keep=True
        traces = [jnp.asarray(found.trace[name]) for name in ("roughness", "residual")]
        x = (*others, alone.x[0], found.x[0])
        return _compared(x, found.path, truth, given.problem, prior.spectrum, method.levels(), traces)

    numbers = remembered(
        ("numbers", scanned, learnt, method, p.tv_lam, p.tv_rho, p.tv_steps),
        compared,
        lambda _: _is_whole(found) and _is_whole(alone),
    )
    outputs = Experiment(**numbers, **_at_cross_hair(given, truth, (found.path, alone.path), p.slice, p.row))
    wild = jnp.where(outputs.roughness <= DIVERGED, Reason.CONVERGED, Reason.NOT_FINITE)
    return Run(outputs, first_failure(found.reason, alone.reason, wild), found.iterations)


def pooling(side: int, by: int | None) -> int:
    """Side of the squares that are averaged: ``by``, or by default the minimum that leaves at most ``_EASY`` pixels."""
    return by or -(-side // _EASY)


def _pooled(slices: Any, by: int) -> Array:
    """Slices (N, n, n) with squares of ``by`` pixels averaged; a byte v represents v / 255."""
    return _averaged(jnp.asarray(slices), by)


@jit
def _averaged(slices: Array, by: int) -> Array:
    numbers = slices.astype(jnp.result_type(float)) / (255 if slices.dtype == jnp.uint8 else 1)
    side = slices.shape[1] // by
    return numbers[:, : side * by, : side * by].reshape(len(slices), side, by, side, by).mean(axis=(2, 4))


class _Prior(NamedTuple):
    denoiser: Denoiser
    spectrum: Spectrum  # of the training slices


def _prior(training: Any, by: int, shape: tuple[int, ...], learnt: str, denoiser: str) -> _Prior:
    count, side, _ = shape
    if learnt == "digits":
        slices = _pooled(digit_slices(side), 1)
    elif learnt == "ellipsoids" or training is None:
        slices = _pooled(ellipsoid_slices(side), 1)
    else:
        slices = _pooled(training, by)
    spectrum = dense_spectrum(slices.reshape(len(slices), -1))
    made = Optimal(Images(slices[:, None])) if denoiser == "optimal" else Wiener(spectrum, (1, side, side))
    return _Prior(Slices(made, count), spectrum)


def _is_whole(found: Reconstruction) -> bool:
    """Whether the diffusion reached its last level, diverged or not."""
    return bool(found.reason != Reason.STOPPED)


def _by_step(trace: Array, sigma: Array) -> Array:
    """A number for each step; NaN for steps that were not taken."""
    known = trace[: len(sigma)]
    return jnp.full(len(sigma), jnp.nan).at[: len(known)].set(known)


@jit
def _compared(
    every: Sequence[Array],
    path: Array,
    truth: Array,
    given: Problem,
    spectrum: Spectrum,
    sigma: Array,
    traces: Sequence[Array],
) -> dict[str, Array]:
    """The results that do not depend on the cross-hair."""
    volumes = jnp.stack(every)
    rough, residual = (_by_step(trace, sigma) for trace in traces)
    good, done = scans.quality(volumes, truth, given), jnp.isfinite(rough)
    absolute, unrelated = rough * sigma, scans.unrelated(spectrum, sigma)
    spoiled = ~jnp.isfinite(volumes[-1]).all() | ~done.any()
    largest = jnp.where(done, absolute / unrelated, -jnp.inf).max()
    at = METHODS.index
    scores = {"psnr": MBIR, "psnr_alone": ALONE, "psnr_tv": TV, "psnr_map": MAP}
    found = {name: good.psnr[at(method), 3] for name, method in scores.items()}
    found |= {f"psnr_{plane}": good.psnr[at(MBIR), k] for k, plane in enumerate(PLANES[:3])}
    found |= {"residual": good.residual[at(MBIR)], "roughness": jnp.where(spoiled, jnp.inf, largest)}
    found |= {"tv_z": good.variation[at(MBIR)], "tv_alone": good.variation[at(ALONE)]}
    found |= {"tv_truth": jnp.abs(jnp.diff(truth, axis=0)).mean(), "psnr_of": good.psnr}
    found |= {"ssim_of": jnp.pad(good.ssim, ((0, 0), (0, 1)), constant_values=jnp.nan), "tv_of": good.variation}
    found |= {"residual_of": good.residual, "sigma": sigma, "residual_path": residual, "roughness_path": absolute}
    found |= {"psnr_path": jnp.where(done, scans.along(path[:, 0], truth), jnp.nan), "unrelated": unrelated}
    return found | {"volume": volumes[-1], "volumes": volumes, "truth": truth}


def _at_cross_hair(given: scans.Scan, truth: Array, paths: tuple[Any, Any], z: Any, row: Any) -> dict[str, Array]:
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

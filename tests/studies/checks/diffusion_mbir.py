"""Values of independent computations for DiffusionMBIR: a matrix by SciPy's interpolation, least squares, definitions."""

from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates

from lab import datasets
from lab.studies.contract import Claim, one_run
from lab.studies.inverse.diffusion_mbir.claims import TABLE
from lab.studies.vocabulary import number, of

_ONE: dict[str, Any] = {**TABLE, "inner": 1}
_WILD: dict[str, Any] = {**TABLE, "rho": 1.0}


@cache
def _matrix(angles: tuple[float, ...], n: int) -> np.ndarray:
    """Sums along lines, by SciPy's interpolation of one pixel after the other: (n, views, n n)."""
    middle = n // 2
    i, j = np.meshgrid(np.arange(n) - middle, np.arange(n) - middle, indexing="ij")
    rows = []
    for angle in np.deg2rad(np.asarray(angles)):
        at = np.cos(angle) * i - np.sin(angle) * j + middle, np.cos(angle) * j + np.sin(angle) * i + middle
        each = [
            map_coordinates(one.reshape(n, n), at, order=1, mode="grid-constant").sum(axis=0) for one in np.eye(n * n)
        ]
        rows.append(np.stack(each, axis=1))
    return np.stack(rows, axis=1)


def _views(result: xr.Dataset) -> np.ndarray:
    n = result.sizes["x"]
    return _matrix(tuple(result.measured.dropna("view").values.tolist()), n).reshape(-1, n * n)


def _scan(result: xr.Dataset) -> np.ndarray:
    """The matrix of the views of the result, divided by its largest singular value."""
    made = _views(result)
    return made / np.linalg.norm(made, 2)


def _flat(volume: xr.DataArray) -> np.ndarray:
    return volume.values.reshape(volume.sizes["z"], -1)


def _sinogram(result: xr.Dataset) -> float:
    angles = result.angle.values[::15]
    wanted = _matrix(tuple(angles.tolist()), result.sizes["x"]) @ _flat(result.truth)[7]
    return float(np.abs(result.sinogram.sel(angle=angles).values - wanted).max())


def _residual(result: xr.Dataset) -> float:
    """The relative residual of the volume, by the independent matrix."""
    made = _scan(result)
    y = _flat(result.truth) @ made.T
    return float(np.linalg.norm(_flat(result.volume) @ made.T - y) / np.linalg.norm(y))


def _least(result: xr.Dataset) -> float:
    made = _scan(result)
    wanted = np.linalg.lstsq(made, made @ _flat(result.truth).T, rcond=1e-9)[0].T
    return float(np.abs(_flat(result.volumes.sel(solver="least norm")) - wanted).max())


def _probable(result: xr.Dataset) -> float:
    """Deviation of the MAP from a least-squares problem that stacks data and prior."""
    training = datasets.load("ellipsoid-volume").arrays["training"].reshape(-1, 576) / 255.0
    mean = training.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(training.T))
    there = values > 1e-11 * values[-1]
    half = vectors[:, there] * np.sqrt(values[there])
    made = _views(result)
    apart = (_flat(result.truth) - mean) @ made.T
    stacked = np.concatenate([made @ half / 1e-2, np.eye(half.shape[1])])
    right = np.concatenate([apart.T / 1e-2, np.zeros((half.shape[1], len(apart)))])
    wanted = mean + (half @ np.linalg.lstsq(stacked, right, rcond=None)[0]).T
    return float(np.abs(_flat(result.volumes.sel(solver="MAP")) - wanted).max())


def _objective(made: np.ndarray, y: np.ndarray, x: np.ndarray, lam: float) -> float:
    return 0.5 * ((x @ made.T - y) ** 2).sum() + lam * np.abs(np.diff(x, axis=0)).sum()


def _variation(result: xr.Dataset) -> float:
    """Relative excess of the objective of TV over its minimum on lines to other methods and to the truth."""
    made = _scan(result)
    y = _flat(result.truth) @ made.T
    own = _flat(result.volumes.sel(solver="TV"))
    others = [result.truth, *(result.volumes.sel(solver=name) for name in ("least norm", "MAP", "MBIR", "FBP"))]
    reached = _objective(made, y, own, 1e-3)
    there = [_objective(made, y, own + t * (_flat(x) - own), 1e-3) for x in others for t in (1e-3, 1e-2, 0.1, 0.5, 1.0)]
    return reached / min(there) - 1


def _decibels(result: xr.Dataset) -> float:
    """The largest deviation of PSNRs from their definition."""
    truth, span, off = result.truth.values, np.ptp(result.truth.values), []
    for name, x in zip(result.solver.values, result.volumes.values, strict=True):
        for axis, plane in enumerate(("axial", "coronal", "sagittal")):
            shown = [k for k in range(truth.shape[axis]) if np.ptp(truth.take(k, axis)) > 0]
            mse = [((x - truth).take(k, axis) ** 2).mean() for k in shown]
            wanted = np.mean([10 * np.log10(span**2 / each) for each in mse])
            off.append(float(result.psnr_of.sel({"solver": name, "plane": plane})) - wanted)
    return float(np.abs(off).max())


CHECKS = one_run(
    "no training: linear denoisers, for which rounding does not grow",
    (
        Claim(
            "sinogram",
            "Sums along lines equal sums of bilinear interpolation.",
            of(_sinogram),
            0.0,
            "scipy.ndimage.map_coordinates, pixel by pixel",
            "==",
            1e-9,
        ),
        Claim(
            "residual",
            "The residual equals the residual of the independent matrix.",
            number("residual") - of(_residual),
            0.0,
            "the same matrix",
            "==",
            1e-9,
        ),
        Claim("least-norm", "Least norm equals A⁺ y.", of(_least), 0.0, "numpy.linalg.lstsq", "==", 1e-6),
        Claim(
            "map",
            "The MAP solves the least-squares problem of data and prior.",
            of(_probable),
            0.0,
            "numpy.linalg.lstsq",
            "==",
            1e-6,
        ),
        Claim(
            "variation",
            "No other volume on the lines to other methods has a lower value of ½|y - Ax|² + λ|D_z x|₁ than TV.",
            of(_variation, tv_steps=400),
            0.0,
            "the objective in NumPy",
            "<=",
            1e-6,
            quick=False,
        ),
        Claim(
            "decibels",
            "PSNR is 10 log₁₀ (range² / MSE), averaged over slices in which the truth varies.",
            of(_decibels),
            0.0,
            "NumPy",
            "==",
            1e-8,
        ),
        Claim(
            "flicker",
            "The flicker is the mean of |x_{k+1} - x_k|.",
            number("tv_z") - of(lambda result: np.abs(np.diff(result.volume.values, axis=0)).mean()),
            0.0,
            "NumPy",
            "==",
            1e-12,
        ),
        Claim(
            "harmless",
            "The diffusion does not diverge by default.",
            number("roughness"),
            0.8,
            "it stays below unrelated slices",
            "<=",
        ),
        Claim(
            "data",
            "The residual is smaller with M = 10 CG steps than with M = 1.",
            number("residual", inner=10) - 0.7 * number("residual", inner=1),
            0.0,
            "independent computation",
            "<=",
        ),
        Claim(
            "last-step",
            "A last step of SIRT lowers the residual.",
            number("residual", finish=True) - number("residual"),
            0.0,
            "independent computation",
            "<=",
        ),
        # ---- independent computation, 24 slices of 32 x 32
        Claim(
            "table-steps",
            "PSNR is at least 3 dB higher with M = 5 than with M = 1.",
            number("psnr", **TABLE) - number("psnr", **_ONE),
            3.0,
            "independent computation: 34.4 and 29.5",
            ">=",
            quick=False,
        ),
        Claim(
            "diverges",
            "With ρ = 1 the volume is lost: PSNR below 0.",
            number("psnr", **_WILD),
            0.0,
            "independent computation: -17 dB",
            "<=",
            quick=False,
        ),
        Claim(
            "diverges-flag",
            "With ρ = 1 the volume is rougher than unrelated slices.",
            number("roughness", **_WILD),
            1.1,
            "independent computation",
            ">=",
            quick=False,
        ),
    ),
)

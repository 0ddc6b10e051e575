"""Values of independent computations for inverse problems: posteriors and measures in NumPy, and the methods that apply."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view

from lab import datasets
from lab.studies.contract import Claim, one_run
from lab.studies.inverse.inverse_problems.claims import MEMORY, mean
from lab.studies.vocabulary import number, of

_SURE = ("linear", "total variation", "PnP-ADMM", "PnP-HQS", "RED")  # methods that draw nothing
_VIEWS: dict[str, Any] = {"damage": "tomography", "views": 6}


def _trained() -> np.ndarray:
    """The first 1000 training images, squares of 2 pixels averaged."""
    data = datasets.resolve("mnist-images", "images", seed=0)
    pixels = data.arrays["pixels"][~data.arrays["held_out"]][:1000] / 127.5 - 1
    return pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(pixels), -1)


def _measured(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The pixels observed through a mask, and their measurements: the pseudo-inverse is 0 elsewhere."""
    start = result.start.values.ravel()
    return start != 0, start[start != 0]


def _gaussian(result: xr.Dataset) -> float:
    """The largest deviation of the posterior's mean and standard deviation from those of NumPy."""
    seen, y = _measured(result)
    images = _trained()
    m, s = images.mean(axis=0), np.cov(images.T, ddof=1)
    gain = np.linalg.solve(s[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum()), s[seen]).T
    mean, variance = m + gain @ (y - m[seen]), np.diag(s - gain @ s[seen])
    off = result.posterior_mean.values.ravel() - mean
    wide = result.posterior_std.values.ravel() - np.sqrt(np.maximum(variance, 0))
    return float(max(np.abs(off).max(), np.abs(wide).max()))


def _remembered(result: xr.Dataset) -> float:
    """The deviation of the posterior mean under the distribution of the training images."""
    seen, y = _measured(result)
    images = _trained()
    squared = ((images[:, seen] - y) ** 2).sum(axis=1)
    weights = np.exp(-(squared - squared.min()) / (2 * MEMORY["noise"] ** 2))
    mean = weights @ images / weights.sum()
    return float(np.abs(result.posterior_mean.values.ravel() - mean).max())


def _again(value: Callable[[np.ndarray, np.ndarray], float], variable: str, result: xr.Dataset) -> float:
    """The largest deviation of a measure of this image from another library."""
    clean = result.clean.values[0]
    theirs = [value(result.answer.sel(solver=name).values[0], clean) for name in _SURE]
    return float(np.abs(result[variable].isel(test=0).sel(solver=list(_SURE)).values - theirs).max())


def _decibels(x: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(4 / ((x - clean) ** 2).mean()))


def _alike(x: np.ndarray, clean: np.ndarray) -> float:
    """The mean over windows of 7 x 7, from sums over each."""
    a, b = (sliding_window_view(each, (7, 7)).reshape(-1, 49) for each in (x, clean))
    ma, mb = a.mean(axis=1), b.mean(axis=1)
    mixed = ((a - ma[:, None]) * (b - mb[:, None])).sum(axis=1) / 48
    one, two = 0.02**2, 0.06**2
    similar = (2 * ma * mb + one) * (2 * mixed + two)
    return float((similar / (ma**2 + mb**2 + one) / (a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1) + two)).mean())


def _law(result: xr.Dataset) -> float:
    """The distance of the posterior of the pixel from that of its mean and deviation, by the largest bin."""
    row, column = 7, 9
    m, s = (float(result[name][0, row, column]) for name in ("posterior_mean", "posterior_std"))
    at = result.bin.values
    return max(
        abs((result.pixel_law.values * at).sum() - m), abs((result.pixel_law.values * (at - m) ** 2).sum() ** 0.5 - s)
    )


CHECKS = one_run(
    "no training: means over test images and samples",
    (
        Claim(
            "gaussian",
            "The posterior of a Gaussian prior equals the closed form of its matrices.",
            of(_gaussian),
            0.0,
            "closed form, numpy.linalg.solve",
            "==",
            1e-8,
        ),
        Claim(
            "tikhonov",
            "The PSNR of Tikhonov, which ignores the covariance, is at least 3 dB below the posterior mean.",
            number("psnr_bound") - mean("psnr", "Tikhonov"),
            3.0,
            "half of the pixels must be inferred from the others",
            ">=",
        ),
        Claim("psnr", "PSNR equals NumPy's.", of(partial(_again, _decibels, "psnr")), 0.0, "numpy", "==", 1e-9),
        Claim(
            "ssim", "SSIM equals sums over each window.", of(partial(_again, _alike, "ssim")), 0.0, "NumPy", "==", 1e-9
        ),
        Claim(
            "pixel",
            "The posterior of a pixel has its mean and standard deviation.",
            of(_law),
            0.0,
            "sums over the bins",
            "==",
            0.02,
        ),
        Claim(
            "memory",
            "Under the distribution of the training images the posterior mean is their weighted mean.",
            of(_remembered, **MEMORY),
            0.0,
            "softmax, NumPy",
            "==",
            1e-8,
            quick=False,
        ),
        Claim(
            "views",
            "From six views the highest PSNR is at least 4 dB above filtered backprojection.",
            number("psnr_best", **_VIEWS) - mean("psnr", "backprojection", **_VIEWS),
            4.0,
            "independent computation",
            ">=",
            quick=False,
        ),
        Claim(
            "not-linear",
            "Eight methods need a linear operator.",
            of(lambda result: (result.why == 1).sum(), damage="clip"),
            8,
            "their equations",
            quick=False,
        ),
    ),
)

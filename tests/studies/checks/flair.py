"""Values of independent computations for FLAIR: its steps by linear solves, and MNIST at full size."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lab import datasets
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import number, of

_TABLE: dict[str, Any] = {"pool": 1, "train": 4000, "answers": 6}
_INDEPENDENT = {  # PSNR of a sample, of the mean of 6, standard deviation, and PSNR of a sample with t_min = 0.02, DTA on
    0.1: (20.3, 20.6, 0.050, 19.9),
    0.25: (21.0, 21.8, 0.077, 20.9),
    0.5: (20.3, 21.9, 0.103, 20.1),
    1.0: (19.2, 21.6, 0.137, 18.6),
}
_ALL: dict[str, Any] = {"damage": "noise", "hdc": "project"}
_EXACT = 22.8  # PSNR of the posterior mean, on other test images
_WIDE = 0.156  # standard deviation of the posterior there
_E = (0.31, 0.31, 0.31, 0.31, 0.32, 0.34, 0.38, 0.45, 0.58)
"""An independently computed e(t) of the Wiener denoiser of 4000 images at t = .9, .8, ..., .1."""


def _law() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the default's prior: its training images, pooled by NumPy."""
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"][~data["held_out"]][:1000].astype(float) / 127.5 - 1
    pixels = pixels.reshape(1000, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(1000, 196)
    return pixels.mean(axis=0), np.cov(pixels.T)


def _velocity_error(runs: Runs) -> float:
    """The largest relative error of e(t), compared with traces of NumPy's covariance."""
    run, values = runs(), np.linalg.eigvalsh(_law()[1])
    t = np.clip(run.t.values, 2e-3, 1 - 2e-3)
    square = (t / (1 - t))[:, None] ** 2
    exact = (values * square / (values + square)).sum(axis=1) / (196 * t**2)
    return float(np.abs(run.e.values / exact - 1).max())


def _own_noise(runs: Runs) -> float:
    """The coefficient of the last noise endpoint in each noise, less α(t) = 1 - t: the largest mean over ten steps."""
    run = runs()
    t, mu = run.time.values, np.concatenate([run.start.values[None], run.mu.values[:-1]]).reshape(50, -1)
    eps = (run.x_t.values.reshape(50, -1) - (1 - t)[:, None] * mu) / t[:, None]
    before = run.x1_hat.values.reshape(50, -1)[:-1]
    off = (eps[1:] * before).sum(axis=1) / (before**2).sum(axis=1) - (1 - t[1:])
    return float(np.abs([part.mean() for part in np.array_split(off, 5)]).max())


def _weights(runs: Runs) -> float:
    run = runs()
    b = 1 / (run.e.values + 1e-7)
    b = b / b.mean()
    return float(np.abs(run.lambda_R.values - 0.25 * np.maximum(b - b[-1], 0)).max())


def _replayed(runs: Runs) -> float:
    """The largest error of the trajectory, each step computed from the one before by linear solves."""
    run, (mean, S) = runs(), _law()
    mu, seen = run.start.values.ravel(), run.hidden.values.ravel() == 0
    y, off = mu.copy(), 0.0
    for step, t in enumerate(run.time.values):
        x = run.x_t.values[step].ravel()
        eps = (x - (1 - t) * mu) / t
        C = (1 - t) ** 2 * S + t**2 * np.eye(196)
        v = -mean + (t * np.eye(196) - (1 - t) * S) @ np.linalg.solve(C, x - (1 - t) * mean)
        weight = run.lambda_R.values[np.abs(run.t.values - t).argmin()]
        mu = np.where(seen, y, mu - weight * (v - (eps - mu)))
        for name, made in (("mu", mu), ("x1_hat", x + (1 - t) * v)):
            off = max(off, np.abs(made - run[name].values[step].ravel()).max())
    return float(off)


def _below(column: str, independent: float, **parameters: Any) -> Callable[[Runs], float]:
    """The distance of a PSNR from the posterior mean's, less the same distance in the independent computation."""
    return lambda runs: (lambda run: float(run.psnr_exact - run[column]) - (_EXACT - independent))(
        runs(**_TABLE, **parameters)
    )


CHECKS = one_run(
    "no training: linear denoisers, means over test images",
    (
        Claim(
            "velocity-error",
            "e(t) of the Wiener denoiser is Σ λs²/(λ + s²) / (n t²) with s = t/(1 - t).",
            _velocity_error,
            0.0,
            "closed form, numpy.linalg.eigvalsh",
            "==",
            1e-6,
        ),
        Claim(
            "own-noise",
            "The noise of each step is α(t) = 1 - t times the last noise endpoint, plus new noise.",
            _own_noise,
            0.0,
            "definition of DTA: projection on the noise endpoint",
            "<=",
            0.06,
        ),
        Claim(
            "weights",
            "The calibrated weight is c max(b(t) - b(0), 0), where b is proportional to 1/e and has mean 1.",
            _weights,
            0.0,
            "the formula of the weight, in NumPy",
            "==",
            1e-12,
        ),
        Claim(
            "at-the-data",
            "The calibrated weight vanishes at the data.",
            number("lambda_R", place={"t": -1}),
            0.0,
            "by construction",
            "==",
            1e-12,
        ),
        Claim(
            "steps",
            "Each estimate follows from the one before by the equations of the method.",
            _replayed,
            0.0,
            "numpy.linalg.solve",
            "==",
            1e-8,
        ),
        Claim(
            "projection",
            "After the projection observed pixels equal the data.",
            number("data_residual", reduce=np.max),
            0.0,
            "the projection of the method",
            "<=",
            1e-10,
        ),
        Claim(
            "all-seen",
            "If all pixels are observed, the sample is the measurement.",
            number("psnr_one", **_ALL),
            number("psnr_start", reduce=np.mean, **_ALL),
            "hard data consistency",
            "==",
            1e-9,
        ),
        Claim(
            "neutral",
            "DTA changes PSNR by less than 0.3 dB under a Gaussian prior.",
            abs(number("dta_gain")),
            0.3,
            "independent computation",
            "<=",
        ),
        Claim(
            "full-posterior",
            "MNIST at full size, half of the pixels: the posterior mean has 22.8 dB.",
            number("psnr_exact", **_TABLE),
            _EXACT,
            "independent computation, on other test images",
            "==",
            1.2,
            quick=False,
        ),
        Claim(
            "full-e",
            "e(t) is .31, .31, .31, .31, .32, .34, .38, .45, .58 at t = .9, .8, ..., .1.",
            of(lambda run: np.abs(run.e.interp(t=np.linspace(0.9, 0.1, 9)) - np.array(_E)).max(), **_TABLE),
            0.0,
            "independent computation",
            "<=",
            0.02,
            quick=False,
        ),
        *(
            Claim(
                f"table-{c:g}-{name}",
                f"With c = {c:g}, {words}: PSNR is as far below the posterior mean as computed independently.",
                _below(column, _INDEPENDENT[c][place], c=c, **more),
                0.0,
                "independent computation, other test images",
                "==",
                0.5,
                quick=False,
            )
            for c in _INDEPENDENT
            for name, words, column, place, more in (
                ("one", "one sample", "psnr_one", 0, {}),
                ("mean", "the mean of 6", "psnr_average", 1, {}),
                ("near", "one sample, t_min = .02", "psnr_one", 3, {"t_min": 0.02}),
            )
        ),
        *(
            Claim(
                f"table-{c:g}-spread",
                f"With c = {c:g} the standard deviation of samples is {_INDEPENDENT[c][2] / _WIDE:.2f} of the posterior's, at "
                "masked pixels.",
                (5 / 6) ** 0.5 * number("spread", **_TABLE, c=c) / number("spread_exact", **_TABLE, c=c),
                _INDEPENDENT[c][2] / _WIDE,
                "independent computation, whose deviations divide by 6",
                "==",
                0.05,
                True,
                quick=False,
            )
            for c in _INDEPENDENT
        ),
    ),
)

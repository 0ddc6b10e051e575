"""What the paper and mathematics say of FLAIR, measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.numerics.statistics import mean_interval
from lab.studies.contract import Claim, Measured, Runs, one_run
from lab.studies.vocabulary import number, of

from .presets import FULL

_TABLE: dict[str, Any] = {**FULL, "answers": 6}
_SHEET = {  # PSNR of one answer, of the mean of 6, spread, and PSNR of one with t_min = .02, DTA on
    0.1: (20.3, 20.6, 0.050, 19.9), 0.25: (21.0, 21.8, 0.077, 20.9), 0.5: (20.3, 21.9, 0.103, 20.1),
    1.0: (19.2, 21.6, 0.137, 18.6),
}
_ALL: dict[str, Any] = {"damage": "noise", "hdc": "project"}
_BEST = 22.8  # of the posterior mean, on other test images
_WIDE = 0.156  # spread of the posterior there
_E = (0.27, 0.31, 0.31, 0.31, 0.31, 0.32, 0.34, 0.38, 0.45, 0.58)
"""An independently computed e(t) of the Wiener denoiser of 4000 images at t = 1, .9, ..., .1."""


def _pixels() -> np.ndarray:
    """The default's training images, pooled by NumPy."""
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"][~data["held_out"]][:1000].astype(float) / 127.5 - 1
    return pixels.reshape(1000, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(1000, 196)


def _law() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the default's prior."""
    return _pixels().mean(axis=0), np.cov(_pixels().T)


def _velocity_error(runs: Runs) -> float:
    """The largest relative error of e(t) against traces of NumPy's covariance."""
    run, values = runs(), np.linalg.eigvalsh(_law()[1])
    t = np.clip(run.t.values, 2e-3, 1 - 2e-3)
    square = (t / (1 - t))[:, None] ** 2
    exact = (values * square / (values + square)).sum(axis=1) / (196 * t**2)
    return float(np.abs(run.e.values / exact - 1).max())


def _weights(runs: Runs) -> float:
    run = runs()
    b = 1 / (run.e.values + 1e-7)
    b = b / b.mean()
    return float(np.abs(run.lambda_R.values - 0.25 * np.maximum(b - b[-1], 0)).max())


def _replayed(runs: Runs) -> float:
    """The largest error of what the film shows, each step from the one before, by linear solves."""
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


def _own_noise(runs: Runs) -> float:
    """The correlation of each step's noise with the noise end before it, less α(t) = 1 - t: the largest mean over ten steps."""
    run = runs()
    t, mu = run.time.values, np.concatenate([run.start.values[None], run.mu.values[:-1]]).reshape(50, -1)
    eps = (run.x_t.values.reshape(50, -1) - (1 - t)[:, None] * mu) / t[:, None]
    before = run.x1_hat.values.reshape(50, -1)[:-1]
    share = (eps[1:] * before).sum(axis=1) / (before**2).sum(axis=1) - (1 - t[1:])
    return float(np.abs([part.mean() for part in np.array_split(share, 5)]).max())


def _below(column: str, sheet: float, **parameters: Any) -> Callable[[Runs], float]:
    """How far a PSNR is from the posterior mean's, less how far that of the independent computation is."""
    return lambda runs: (lambda run: float(run.psnr_exact - run[column]) - (_BEST - sheet))(runs(**_TABLE, **parameters))


def _ahead(other: dict[str, Any], **parameters: Any) -> Callable[[Runs], Measured]:
    """Mean PSNR of an answer less that of runs with other parameters, of the same test images."""

    def measure(runs: Runs) -> Measured:
        each = [runs(**values).psnr.mean("sample") for values in (parameters, other)]
        found = mean_interval((each[0] - each[1]).values)
        return Measured(found.mean, found.low, found.high)

    return measure


def _gain(run: xr.Dataset) -> Measured:
    return Measured(float(run.dta_gain), *(float(run.dta_gain + side * run.dta_gain_half) for side in (-1, 1)))


CLAIMS = one_run("no training: linear denoisers, means over test images", (
    Claim("velocity-error", "e(t) of the Wiener denoiser is Σ λs²/(λ + s²) / (n t²) with s = t/(1 - t).", _velocity_error, 0.0,
          "closed form, numpy.linalg.eigvalsh", "==", 1e-6),
    Claim("weights", "The calibrated weight is c max(b(t) - b(0), 0), b in proportion to 1/e and of mean 1.", _weights, 0.0,
          "the formula of the weight, in NumPy", "==", 1e-12),
    Claim("at-the-data", "The calibrated weight vanishes at the data.",
          number("lambda_R", place={"t": -1}), 0.0, "by construction", "==", 1e-12),
    Claim("steps", "Every estimate follows from the one before by the equations of the method.", _replayed, 0.0,
          "numpy.linalg.solve", "==", 1e-8),
    Claim("own-noise", "The noise of a step is α(t) = 1 - t times the noise end before it, and fresh noise.", _own_noise, 0.0,
          "section 2.4, projection on the noise end", "<=", 0.06),
    Claim("projection", "After the projection what was seen is exactly so.", number("data_residual", reduce=np.max), 0.0,
          "the projection of the method", "<=", 1e-10),
    Claim("no-spread", "Samples do not differ at observed pixels.", number("spread_seen"), 0.0,
          "the data are kept exactly", "<=", 1e-12),
    Claim("all-seen", "Where everything is seen the answer is the measurement.",
          number("psnr_one", **_ALL), number("psnr_start", reduce=np.mean, **_ALL),
          "the data are kept exactly", "==", 1e-9),
    Claim("crw", "The calibrated weight is at least 2 dB ahead of a constant 0.5, at t_min = .18.",
          _ahead({"crw": False, "c": 0.5}), 2.0, "independent computation", ">="),
    Claim("constant", "A constant weight 0.5 is above 2t below t = .25: at t_min = .02 PSNR is below 0 dB.",
          number("psnr_one", crw=False, c=0.5, t_min=0.02), 0.0, "the weight 2t of the objective", "<="),
    Claim("mean-of-answers", "Averaging answers raises PSNR, by at least 0.5 dB.", number("psnr_average") - number("psnr_one"),
          0.5, "independent computation", ">="),
    Claim("no-better", "No mean of answers is better than the posterior mean.", number("psnr_average", c=1.0),
          number("psnr_exact"), "it has the least error, where the prior is true", "<=", 0.3),
    Claim("hdc", "Hard data consistency gains at least 0.3 dB over a single gradient step.", _ahead({"hdc": "one step"}),
          0.3, "the paper's ablation, qualitatively", ">="),
    Claim("neutral", "DTA changes PSNR by less than 0.3 dB under a Gaussian prior.", abs(number("dta_gain")), 0.3,
          "independent computation", "<="),
    Claim("dta-memory", "Under the optimal denoiser of the training images DTA gains at least 0.5 dB.",
          lambda runs: _gain(runs(prior="optimal", tests=32)), 0.5, "the paper's direction", ">="),
    Claim("paper-order", "Without DTA more is lost than without HDC.", number("dta_gain"),
          number("psnr_one") - number("psnr_one", hdc="one step"), "the paper's ablation", ">=", should_hold=False,
          note="Under a Gaussian prior there is one mode, and so no choice of one that DTA could keep."),
    Claim("plane-modes", "In the plane both modes that agree with the data get their share of the answers, within .1.",
          of(lambda run: np.abs(run.plane_share.sel(law="with DTA") - run.plane_share.sel(law="posterior")).max()), 0.0,
          "the exact posterior", "<=", 0.1),
    Claim("plane-dta", "With DTA answers are nearer to the posterior in the plane.", number("plane_distance"),
          number("plane_distance_fresh"), "the paper's direction", "<=", should_hold=False,
          note="The adjusted noise keeps the way, also the undecided one: some answers are left between the modes."),
    Claim("full-posterior", "MNIST at full size, half of the pixels: the posterior mean has 22.8 dB.",
          number("psnr_exact", **_TABLE), _BEST, "independent computation, on other test images", "==", 1.2, quick=False),
    Claim("full-e", "e(t) is .27, .31, .31, .31, .31, .32, .34, .38, .45, .58 at t = 1, .9, ..., .1.",
          of(lambda run: np.abs(run.e.interp(t=np.linspace(0.9, 0.1, 9)) - np.array(_E[1:])).max(), **_TABLE), 0.0,
          "independent computation", "<=", 0.02, quick=False),
    *(
        Claim(f"table-{c:g}-{name}", f"With c = {c:g}, {words}: PSNR is as far below the posterior mean as computed "
              "independently.",
              _below(column, _SHEET[c][place], c=c, **more), 0.0, "independent computation, other test images", "==", 0.5,
              quick=False)
        for c in _SHEET
        for name, words, column, place, more in (
            ("one", "one answer", "psnr_one", 0, {}), ("mean", "the mean of 6", "psnr_average", 1, {}),
            ("near", "one answer, t_min = .02", "psnr_one", 3, {"t_min": 0.02}),
        )
    ),
    *(
        Claim(f"table-{c:g}-spread", f"With c = {c:g} answers spread by {_SHEET[c][2] / _WIDE:.2f} of the posterior, on hidden "
              "pixels.", (5 / 6) ** 0.5 * number("spread", **_TABLE, c=c) / number("spread_exact", **_TABLE, c=c),
              _SHEET[c][2] / _WIDE, "independent computation, whose deviations divide by 6", "==", 0.05, True, quick=False)
        for c in _SHEET
    ),
))

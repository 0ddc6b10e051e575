"""What the papers and mathematics say of immiscible diffusion, measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import Measure, apart, number, of

_SHEET = "exact denoiser, computed independently"
_DIGITS: dict[str, Any] = {"data": "digit-samples", "draws": 400, "batch": 32, "euler_steps": 1}
_LARGE: dict[str, Any] = {"data": "gaussian-points", "dimension": 3072, "n": 400, "scaling": 0.5, "k": 8, "euler_steps": 1}
_TIMED: dict[str, Any] = {"data": "digit-samples", "batch": 1024, "draws": 2, "timed": True, "k": 8, "euler_steps": 1}
_H = {1: (1.00, 0.97, 0.87, 0.59), 2: (0.99, 0.94, 0.81, 0.51), 4: (0.97, 0.90, 0.75, 0.45), 8: (0.95, 0.86, 0.69, 0.39),
      16: (0.93, 0.83, 0.65, 0.36), 64: (0.86, 0.73, 0.54, 0.27)}
_MSE = {1: (0.006, 0.027, 0.070), 2: (0.006, 0.025, 0.054), 4: (0.005, 0.024, 0.046), 8: (0.005, 0.022, 0.042),
        16: (0.005, 0.019, 0.035), 64: (0.004, 0.016, 0.027)}


def _nearest(name: str, **parameters) -> Measure:
    return number(name, {"rule": "nearest"}, **parameters)


def _assignment(name: str, **parameters) -> Measure:
    return number(name, {"rule": "assignment"}, **parameters)


def _at_noise(k: int) -> Measure:
    return number("H", {"rule": "nearest", "t": 0.0}, k=k)


def _largest_rise(name: str) -> Callable[[Runs], float]:
    """Of a measure with k, in standard errors."""

    def measured(runs: Runs) -> float:
        found = []
        for fewer, more in ((1, 2), (2, 4), (4, 8)):
            a, b = (runs(k=k).sel(rule="nearest", t=slice(0.001, 0.7)) for k in (fewer, more))
            found.append(((b[name] - a[name]) / np.hypot(a[f"{name}_error"], b[f"{name}_error"])).max())
        return float(max(found))

    return measured


def _relative_error(expected: tuple[float, ...], **parameters) -> Measure:
    """The largest of the e-MSE at three levels of noise."""

    def measured(run: xr.Dataset) -> float:
        found = run.eps_mse.sel(rule="nearest", t=[0.02, 0.1, 0.3]).values
        return np.abs(found / np.array(expected) - 1).max()

    return of(measured, **parameters)


def _grows(run: xr.Dataset) -> float:
    """How often the cluster distance grows, from independent to nearest to assignment."""
    independent, assignment, nearest = run.cluster_dist.values
    return float(nearest > independent) + float(assignment > nearest)


CLAIMS = one_run("no training: exact denoisers; means over thousands of draws", (
    *(
        Claim(f"three-points-k{k}", f"Three points, pure noise, k = {k}: H = {value}.", _at_noise(k), value, _SHEET, "==", 0.06)
        for k, value in ((2, 0.848), (4, 0.472), (8, 0.139), (32, 0.0004))
    ),
    Claim("vanilla", "One noise to choose from: pure noise tells nothing: H = 1.", _at_noise(1), 1.0, "closed form", "==",
          1e-9),
    Claim("k-one", "k = 1 is the independent rule.",
          of(lambda run: np.abs(run.H.sel(rule="nearest") - run.H.sel(rule="independent")).max(), k=1), 0.0, "k = 1", "<=",
          1e-12),
    Claim("H-falls", "H falls with k at every level of noise, within 3 standard errors.", _largest_rise("H"), 3.0, "section 3",
          "<="),
    Claim("loss-falls", "The least training loss falls with k at every level of noise, within 3 standard errors.",
          _largest_rise("eps_mse"), 3.0, "section 3", "<="),
    Claim("assignment-keeps-noise", "Assignment keeps the law of the noise: Kolmogorov's test does not reject.",
          _assignment("ks_p", k=8), 0.01, "a permutation", ">="),
    Claim("nearest-tilts-noise", "Nearest of 8 tilts the distribution of the noise: Kolmogorov's test rejects.",
          _nearest("ks_p", k=8), 0.01, "p_k(n | x)", "<="),
    Claim("assignment-mixes-less", "Assignment in batches of 32 mixes three images less than independent noise does.",
          number("H_assignment"), number("H_independent"), "section 3", "<="),
    Claim("scaling", "Images twice as large are another level of noise.", number("H_independent", scaling=2.0),
          number("H_independent", alpha_bar=4 * 0.1 / (1 - 0.1 + 4 * 0.1)), "c²ᾱ/(1 - ᾱ + c²ᾱ)", "==", 1e-12),
    Claim("noise-is-the-image", "With 4096 noises to choose from, a noise tells its image.", number("H_nearest", k=4096), 0.0,
          "k to infinity", "<=", 1e-6, quick=False),
    Claim("misplaced", "From N(0, I) the denoiser of k = 64 misplaces more samples than that of k = 1.",
          _nearest("share_error", k=64), _nearest("share_error", k=1), "the law of the noise", ">="),
    *(
        Claim(f"digits-H-k{k}", f"The 1797 digits, k = {k}: H at ᾱ = 0, .02, .1, .3 is {', '.join(map(str, _H[k]))}.",
              apart("H", _H[k], {"rule": "nearest", "t": [0.0, 0.02, 0.1, 0.3]}, **_DIGITS, k=k), 0.0, _SHEET, "<=", 0.03,
              quick=False)
        for k in _H
    ),
    *(
        Claim(f"digits-loss-k{k}", f"Digits, k = {k}: ε-MSE at ᾱ = .02, .1, .3 is {', '.join(map(str, _MSE[k]))}.",
              _relative_error(_MSE[k], **_DIGITS, k=k), 0.0, _SHEET, "<=", 0.15, quick=False)
        for k in _MSE
    ),
    *(
        Claim(f"digits-nearer-k{k}", f"Digits, k = {k}: noise is {value}% nearer.", _nearest("reduction", **_DIGITS, k=k),
              value, _SHEET, "==", 0.4, quick=False)
        for k, value in ((2, 4.4), (4, 8.5), (8, 11.6), (16, 14.3), (64, 18.6))
    ),
    *(
        Claim(f"digits-norm-k{k}", f"Digits, k = {k}: E|n|²/d is {value}.",
              1 + _nearest("norm_drift", **_DIGITS, k=k) / 100, value, _SHEET, "==", 0.008, quick=False)
        for k, value in ((2, 0.94), (4, 0.89), (8, 0.86), (16, 0.83), (64, 0.79))
    ),
    *(
        Claim(f"digits-assigned-{batch}", f"Digits, assignment in batches of {batch}: {value}% nearer.",
              _assignment("reduction", **_DIGITS | {"batch": batch, "draws": 16}), value, _SHEET, "==", tolerance,
              quick=False, note=note)
        for batch, value, tolerance, note in (
            (64, 8.9, 0.8, "the value of the source is of one batch, whose spread is 0.5"), (128, 9.1, 0.4, ""),
            (256, 9.6, 0.4, ""), (512, 10.6, 0.4, ""), (1024, 11.0, 0.3, ""),
        )
    ),
    Claim("large-nearer", "In 3072 dimensions with |x|² = d/4, k = 8 brings noise 1.78% nearer.",
          _nearest("reduction", **_LARGE, batch=16, draws=500), 1.78, "expansion for many dimensions", "==", 0.08, quick=False),
    Claim("large-norm", "In 3072 dimensions with |x|² = d/4, k = 8 lowers E|n|² by 91.7, of 3072.",
          30.72 * _nearest("norm_drift", **_LARGE, batch=16, draws=500), -91.7, "expansion for many dimensions", "==", 7.0,
          quick=False),
    *(
        Claim(f"large-assigned-{batch}", f"In 3072 dimensions, assignment in batches of {batch} brings noise {value}% nearer.",
              _assignment("reduction", **_LARGE | {"n": 1000}, batch=batch, draws=8), value, _SHEET, "==", 0.15,
              quick=False)
        for batch, value in ((128, 1.68), (256, 1.98), (512, 2.16))
    ),
    Claim("clusters", "Mean noises of two digits are farther apart under nearest (k = 8) than under independent, and farther "
          "still under assignment (B = 128).", of(_grows, **_DIGITS | {"batch": 128, "draws": 60}, k=8), 2.0,
          "paper, cluster distances .92, 2.17, 4.11", "==", quick=False),
    Claim("time", "A batch of 1024 takes assignment at least 5 times as long as the nearest of 8.",
          _assignment("time_ms", **_TIMED) / _nearest("time_ms", **_TIMED), 5.0, "paper, table of times: 30 times, on a GPU",
          ">=", quick=False),
))

"""What the paper and mathematics say, and this study can show."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.denoise.lineup import NETWORKS
from lab.numerics.statistics import mean_interval
from lab.studies.contract import Claim, Measured, Runs, one_run

from .presets import FULL, LETTER

_LOCAL, _WIENER, _OPTIMAL = "PCA locality", "Wiener", "optimal"
_TABLE: dict[str, Any] = {**FULL, "networks": "U-Net", "train_steps": 1200, "tests": 64, "samples": 1}
_ROW: dict[str, Any] = {"normalize": "row", "theta": 0.005}
_SIZES: dict[str, Any] = {**FULL, **_ROW, "tests": 16, "samples": 1}
_PATCHES: dict[str, Any] = {
    "data": "natural-patches", "train": 2000, "networks": "U-Net", "train_steps": 800, "tests": 64, "samples": 1,
    "row": 8, "column": 8,
}
_PLANTED: dict[str, Any] = {"plant": True, **LETTER, "row": 7, "column": 5}
_ALL = {
    "data": "digit-images",
    "train": 1400,
    "networks": "all",
    "samples": 1,
    "plant": True,
    **LETTER,
    "row": 3,
    "column": 6,
}
_ERRORS = {
    _OPTIMAL: (0.097, 0.097, 0.093, 0.120, 0.228),
    _WIENER: (0.0047, 0.0215, 0.073, 0.159, 0.230),
    _LOCAL: (0.0016, 0.0072, 0.044, 0.130, 0.228),
}
"""At noise levels of .1, .3, 1, 3 and 10, 16 images of MNIST, one draw of noise: an independent computation."""
_TRAINED = "one training of minutes; five exceed the time of a check"


def _number(name: str, **parameters: Any) -> Callable[[Runs], float]:
    return lambda runs: float(runs(**parameters)[name])


def _error(result: xr.Dataset, name: str) -> xr.DataArray:
    return result.mse_clean.sel(denoiser=name).mean("test")


def _training(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the default's training images, pooled by NumPy."""
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"][~data["held_out"]][:500].astype(float) / 127.5 - 1
    x = pixels.reshape(500, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(500, 196)
    return x.mean(axis=0), np.cov(x.T)


def _wiener_by_hand(runs: Runs) -> float:
    """The largest error of the Wiener estimate, against a linear solve."""
    run = runs()
    mean, S = _training(run)
    apart = run.noisy.values.ravel() - mean
    wanted = mean + S @ np.linalg.solve(S + 0.5**2 * np.eye(196), apart)
    return float(np.abs(run.estimate_here.sel(denoiser=_WIENER).values.ravel() - wanted).max())


def _field_by_hand(runs: Runs) -> float:
    """The largest error of its field, against the row of S (S + s^2 I)^-1."""
    run = runs()
    _, S = _training(run)
    row = np.linalg.solve(S + 0.5**2 * np.eye(196), S)[7 * 14 + 7]
    return float(np.abs(run.field.sel(denoiser=_WIENER).values.ravel() - row).max())


def _slope(runs: Runs) -> float:
    """The largest error of the field of PCA locality along a direction, against a central difference of two runs' estimates."""
    run = runs()
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"][~data["held_out"]][:500].astype(float) / 127.5 - 1
    x = pixels.reshape(500, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(500, 196)
    mask = run.mask_here.values.ravel()
    y, way = run.noisy.values.ravel(), np.random.default_rng(5).standard_normal(196)

    def pixel(y: np.ndarray) -> float:
        logits = -((y - x) ** 2) @ mask / (2 * 0.5**2)
        w = np.exp(logits - logits.max())
        return float(w @ x[:, 7 * 14 + 7] / w.sum())

    step = 1e-5
    slope = (pixel(y + step * way) - pixel(y - step * way)) / (2 * step)
    return abs(float(run.field.sel(denoiser=_LOCAL).values.ravel() @ way) - slope)


def _gap(levels: tuple[float, ...], **parameters: Any) -> Callable[[Runs], float]:
    """The largest excess of the error of PCA locality over Wiener's at these levels."""

    def measure(runs: Runs) -> float:
        run = runs(**parameters)
        apart = _error(run, _LOCAL) - _error(run, _WIENER)
        return float(apart.sel(level=list(levels), method="nearest").max())

    return measure


def _memorised(runs: Runs) -> float:
    """At the lowest level, how far the optimal denoiser's errors are from the distances to the nearest training image."""
    run = runs()
    error = run.mse_clean.sel(denoiser=_OPTIMAL).sel(level=0.01, method="nearest")
    return float(np.abs(error - run.test_distance.values**2).max())


def _mean(values: Any) -> Measured:
    found = mean_interval(values)
    return Measured(found.mean, found.low, found.high)


def _agreement(name: str, **parameters: Any) -> Callable[[Runs], Measured]:
    """Mean r^2 over levels and images, with its interval over images."""
    return lambda runs: _mean(runs(**parameters).r2_net.sel(denoiser=name).mean("level"))


def _ahead(sigma: float | None, **parameters: Any) -> Callable[[Runs], Measured]:
    """Mean r^2 of PCA locality less Wiener's of the same images, at a level or over all."""

    def measure(runs: Runs) -> Measured:
        r2 = runs(**parameters).r2_net
        r2 = r2.mean("level") if sigma is None else r2.sel(level=sigma, method="nearest")
        return _mean(r2.sel(denoiser=_LOCAL) - r2.sel(denoiser=_WIENER))

    return measure


def _off_the_table(name: str) -> Callable[[Runs], float]:
    """The largest deviation of a denoiser's errors from the table, in standard errors over images: its noise is unknown."""

    def measure(runs: Runs) -> float:
        found = runs(**_SIZES).table_mse.sel(denoiser=name)
        error = found.std("test", ddof=1) / found.sizes["test"] ** 0.5
        return float((np.abs(found.mean("test") - np.array(_ERRORS[name])) / error).max())

    return measure


def _shown(name: str, **parameters: Any) -> Callable[[Runs], float]:
    """The least correlation with a planted pattern among the fields of single pixels on it."""
    return lambda runs: float(runs(**parameters).pattern_rows.sel(denoiser=name).min())


def _growth(name: str) -> Callable[[Runs], float]:
    """The least step of a number from a level between .3 and 4 to the next."""
    return lambda runs: float(np.diff(runs().sortby("level")[name].sel(level=slice(0.3, 4)).values).min())


CLAIMS = one_run("no training: closed-form denoisers on given images", (
    Claim("wiener", "The Wiener estimate solves the linear system of mean and covariance.", _wiener_by_hand, 0.0,
          "closed form, numpy.linalg.solve", "==", 1e-9),
    Claim("wiener-field", "The sensitivity map of the Wiener estimate is the row of S (S + σ²I)⁻¹.",
          _field_by_hand, 0.0, "numpy.linalg.solve", "==", 1e-9),
    Claim("locality-field", "The field of PCA locality is the derivative of its pixel.", _slope, 0.0,
          "central difference of an independent implementation", "==", 1e-5),
    Claim("memorises", "At σ = 0.01 the optimal denoiser gives the nearest training image, or one as near up to the noise.",
          _memorised, 0.0, "the limit of low noise", "==", 2e-3),
    Claim("locality-wins", "At σ of .34 and .72 the error of PCA locality is below Wiener's.", _gap((0.342, 0.724)), 0.0,
          "independent computation", "<="),
    Claim("copies", "Samples of the optimal denoiser are training images.",
          lambda runs: float(runs().nearest_distance.sel(denoiser=_OPTIMAL).max()), 0.01, "the paper, section 3", "<="),
    Claim("no-copies", "Samples of PCA locality are no training images: their distance is at least a tenth of a test image's.",
          lambda runs: float(runs().nearest_distance.sel(denoiser=_LOCAL).min()),
          lambda runs: 0.1 * float(runs().test_distance.mean()), "the paper, qualitatively", ">="),
    Claim("masks-grow", "Masks grow with the noise.", _growth("mask_size"), 0.0, "independent computation", ">="),
    Claim("whole-patch", "With patches of the whole image LS is the optimal denoiser.",
          lambda runs: float(np.abs(runs(radius=13).estimate.sel(denoiser="LS")
                                    - runs(radius=13).estimate.sel(denoiser=_OPTIMAL)).max()),
          0.0, "equal softmaxes", "==", 1e-8, quick=False),
    Claim("spectrum", "On 4000 images of MNIST the largest eigenvalue of the covariance is 20.5.",
          lambda runs: float(runs(**_SIZES).eigenvalue[0]), 20.5, "independent computation", "==", 0.06,
          quick=False),
    Claim("directions", "On 4000 images of MNIST 644 of 784 eigenvalues of the covariance are above 1e-10.",
          lambda runs: float((runs(**_SIZES).eigenvalue > 1e-10).sum()), 644,
          "independent computation", quick=False),
    *(
        Claim(f"mask-{sigma:g}", f"The released mask has {size} pixels on average at σ = {sigma:g}.",
              lambda runs, sigma=sigma: float(runs(**_SIZES).table_mask_size.sel(table_level=sigma)), size,
              "independent computation", "==", 0.5, quick=False)
        for sigma, size in ((0.1, 3), (0.3, 14), (1.0, 50), (3.0, 203), (10.0, 318))
    ),
    Claim("pitfall", "With θ = 0.02 most released masks are empty at σ = 0.01: r² of at most 0.5 with any good denoiser.",
          lambda runs: float(runs(**{**_SIZES, "theta": 0.02}).mask_size.sel(level=0.01, method="nearest")), 0.5,
          "independent computation", "<=", quick=False),
    *(
        Claim(f"errors-{name.split()[-1].lower()}", f"MNIST, errors of {name} at σ = .1, .3, 1, 3 and 10 agree with "
              "independent ones within two standard errors of 16 images.", _off_the_table(name), 2.0,
              "independent computation with other noise", "<=", quick=False)
        for name in _ERRORS
    ),
    Claim("agreement-released", "MNIST, mean r² of the paper's mask with a U-Net, 64 images: at least .92.",
          _agreement(_LOCAL, **_TABLE, **_ROW), 0.92, "independent computation", ">=", quick=False,
          one_run=_TRAINED),
    Claim("agreement-symmetric", "MNIST, mean r² of the symmetric mask with a U-Net, 64 images: at least .93.",
          _agreement(_LOCAL, **_TABLE), 0.93,
          "independent computation", ">=", quick=False, one_run=_TRAINED),
    Claim("agreement-wiener", "MNIST, mean r² of the Wiener filter with a U-Net, 64 images: at least .90.",
          _agreement(_WIENER, **_TABLE), 0.90,
          "independent computation", ">=", quick=False, one_run=_TRAINED),
    Claim("agreement-optimal", "MNIST, mean r² of the optimal denoiser with a U-Net, 64 images: at most .83.",
          _agreement(_OPTIMAL, **_TABLE), 0.83,
          "independent computation", "<=", quick=False, one_run=_TRAINED),
    *(
        Claim(f"ahead-{sigma:g}", f"The paper's mask is ahead of Wiener by .03 at σ = {sigma:g}.",
              _ahead(sigma, **_TABLE, **_ROW), 0.03, "independent computation", ">=", quick=False,
              one_run=_TRAINED)
        for sigma in (0.724, 1.24, 2.04)
    ),
    Claim("patches-order", "Patches of photographs, U-Net of 800 steps: mean r² of PCA locality less Wiener's, at least 0.",
          _ahead(None, **_PATCHES), 0.0, "the paper's order", ">=", quick=False,
          note="The order is not settled here: this U-Net denoises worse than PCA locality, and flat patches spread r².",
          one_run=_TRAINED),
    Claim("planted-field-wiener", "The field of any pixel on a planted letter is the letter, Wiener: at least .9.",
          _shown(_WIENER, **_PLANTED), 0.9, "W' - W is a multiple of u uᵀ, and u of P at high noise", ">="),
    Claim("planted-field-locality", "The field of any pixel on a planted letter is the letter, PCA locality: at least .9.",
          _shown(_LOCAL, **_PLANTED), 0.9,
          "the paper, figure on planted patterns", ">="),
    Claim("planted-nothing", "Without the letter no field correlates with it above .5.",
          lambda runs: float(runs(**{**_PLANTED, "strength": 0.0}).pattern_rows.sel(denoiser=_WIENER).max()), 0.5,
          "a control", "<="),
    Claim("planted-patch", "LS, which sees a patch only, can't see the letter: below .5.",
          lambda runs: float(runs(**_PLANTED).pattern_rows.sel(denoiser="LS").max()), 0.5, "it is local by construction", "<="),
    *(
        Claim(f"planted-field-{name.lower()}", f"The field of a pixel on a planted letter is the letter, {name}: at least .9.",
              _shown(name, **_ALL), 0.9, "the paper, figure on planted patterns", ">=", quick=False, one_run=_TRAINED)
        for name in NETWORKS
    ),
    *(
        Claim(f"planted-{name.lower()}", f"Jᵀ P, where a {name} looks for the whole letter, correlates with it above .9.",
              lambda runs, name=name: float(runs(**_ALL).pattern_match.sel(denoiser=name)), 0.9,
              "the paper, figure on planted patterns", ">=", quick=False, one_run=_TRAINED)
        for name in (_WIENER, *NETWORKS)
    ),
    Claim("width", "On patches of photographs the Wiener filter sees at least three times more pixels at σ = 0.6 than at 0.2.",
          _number("field_pixels", data="natural-patches", row=8, column=8, train=2000, sigma=0.6),
          lambda runs: 3 * float(runs(data="natural-patches", row=8, column=8, train=2000, sigma=0.2).field_pixels),
          "widths grow with σ where power falls as 1/f²", ">=", quick=False),
))

"""What the papers and mathematics say of immiscible diffusion, measured."""

from collections.abc import Callable

import numpy as np

from lab.studies.contract import Claim, Runs

_SHEET = "exact denoiser, computed independently"
_DIGITS = {"data": "digit-samples", "draws": 400, "batch": 32, "euler_steps": 1}
_LARGE = {"data": "gaussian-points", "dimension": 3072, "n": 400, "scaling": 0.5, "k": 8, "euler_steps": 1}
_H = {1: (1.00, 0.97, 0.87, 0.59), 2: (0.99, 0.94, 0.81, 0.51), 4: (0.97, 0.90, 0.75, 0.45), 8: (0.95, 0.86, 0.69, 0.39),
      16: (0.93, 0.83, 0.65, 0.36), 64: (0.86, 0.73, 0.54, 0.27)}  # fmt: skip
_MSE = {1: (0.006, 0.027, 0.070), 2: (0.006, 0.025, 0.054), 4: (0.005, 0.024, 0.046), 8: (0.005, 0.022, 0.042),
        16: (0.005, 0.019, 0.035), 64: (0.004, 0.016, 0.027)}  # fmt: skip


def _of(name: str, rule: str = "nearest", **parameters) -> Callable[[Runs], float]:
    return lambda runs: float(runs(**parameters)[name].sel(rule=rule))


def _number(name: str, **parameters) -> Callable[[Runs], float]:
    return lambda runs: float(runs(**parameters)[name])


def _at_noise(k: int) -> Callable[[Runs], float]:
    return lambda runs: float(runs(k=k).H.sel(rule="nearest", t=0.0))


def _falls(name: str) -> Callable[[Runs], float]:
    """The largest rise of a measure with k, in standard errors."""

    def rise(runs: Runs) -> float:
        found = []
        for fewer, more in ((1, 2), (2, 4), (4, 8)):
            a, b = (runs(k=k).sel(rule="nearest", t=slice(0.001, 0.7)) for k in (fewer, more))
            found.append(((b[name] - a[name]) / np.hypot(a[f"{name}_error"], b[f"{name}_error"])).max())
        return float(max(found))

    return rise


def _table(k: int) -> Callable[[Runs], float]:
    """The largest deviation of H from the table, at four levels of noise."""

    def gap(runs: Runs) -> float:
        H = runs(**_DIGITS, k=k).H.sel(rule="nearest", t=[0.0, 0.02, 0.1, 0.3]).values
        return float(np.abs(H - np.array(_H[k])).max())

    return gap


def _errors(k: int) -> Callable[[Runs], float]:
    """The largest deviation of the e-MSE from the table, at three levels, relative."""

    def gap(runs: Runs) -> float:
        found = runs(**_DIGITS, k=k).eps_mse.sel(rule="nearest", t=[0.02, 0.1, 0.3]).values
        return float(np.abs(found / np.array(_MSE[k]) - 1).max())

    return gap


def _order(runs: Runs) -> float:
    """Cluster distance of the nearest over independent, less that of assignment over nearest, in signs: 2 where both grow."""
    independent, assignment, nearest = runs(**_DIGITS | {"batch": 128, "draws": 60}, k=8).cluster_dist.values
    return float(nearest > independent) + float(assignment > nearest)


def _ratio(fast: str, slow: str, batch: int) -> Callable[[Runs], float]:
    def of(runs: Runs) -> float:
        took = runs(data="digit-samples", batch=batch, draws=2, timed=True, k=8, euler_steps=1).time_ms
        return float(took.sel(rule=slow) / took.sel(rule=fast))

    return of


CLAIMS = (
    *(
        Claim(f"three-points-k{k}", f"Three points, pure noise, k = {k}: H = {value}.", _at_noise(k), value, _SHEET, "==", 0.06)
        for k, value in ((2, 0.848), (4, 0.472), (8, 0.139), (32, 0.0004))
    ),
    Claim("vanilla", "One noise to choose from: pure noise tells nothing: H = 1.", _at_noise(1), 1.0, "closed form", "==",
          1e-9),
    Claim("k-one", "k = 1 is the independent rule.",
          lambda runs: float(np.abs(runs(k=1).H.sel(rule="nearest") - runs(k=1).H.sel(rule="independent")).max()), 0.0,
          "k = 1", "<=", 1e-12),
    Claim("H-falls", "H falls with k at every level of noise, within 3 standard errors.", _falls("H"), 3.0, "section 3", "<="),
    Claim("loss-falls", "So does the least loss of training.", _falls("eps_mse"), 3.0, "section 3", "<="),
    Claim("assignment-keeps-noise", "Assignment keeps the law of the noise: Kolmogorov's test does not reject.",
          _of("ks_p", "assignment", k=8), 0.01, "a permutation", ">="),
    Claim("nearest-tilts-noise", "Nearest of 8 tilts it: the test rejects.", _of("ks_p", k=8), 0.01, "p_k(n | x)", "<="),
    Claim("assignment-mixes-less", "Assignment in batches of 32 mixes three images less than independent noise does.",
          _number("H_assignment"), _number("H_independent"), "section 3", "<="),
    Claim("scaling", "Images twice as large are another level of noise.", _number("H_independent", scaling=2.0),
          _number("H_independent", alpha_bar=4 * 0.1 / (1 - 0.1 + 4 * 0.1)), "c²ᾱ/(1 - ᾱ + c²ᾱ)", "==", 1e-12),
    Claim("noise-is-the-image", "With 4096 noises to choose from, a noise tells its image.", _number("H_nearest", k=4096), 0.0,
          "k to infinity", "<=", 1e-6, quick=False),
    Claim("misplaced", "From N(0, I) the denoiser of k = 64 misplaces more samples than that of k = 1.",
          _of("share_error", k=64), _of("share_error", k=1), "the law of the noise", ">="),
    *(
        Claim(f"digits-H-k{k}", f"The 1797 digits, k = {k}: H at ᾱ = 0, .02, .1, .3 is {', '.join(map(str, _H[k]))}.",
              _table(k), 0.0, _SHEET, "<=", 0.03, quick=False)
        for k in _H
    ),
    *(
        Claim(f"digits-loss-k{k}", f"Digits, k = {k}: ε-MSE at ᾱ = .02, .1, .3 is {', '.join(map(str, _MSE[k]))}.", _errors(k),
              0.0, _SHEET, "<=", 0.15, quick=False)
        for k in _MSE
    ),
    *(
        Claim(f"digits-nearer-k{k}", f"Digits, k = {k}: noise is {value} % nearer.", _of("reduction", **_DIGITS, k=k), value,
              _SHEET, "==", 0.4, quick=False)
        for k, value in ((2, 4.4), (4, 8.5), (8, 11.6), (16, 14.3), (64, 18.6))
    ),
    *(
        Claim(f"digits-norm-k{k}", f"Digits, k = {k}: E|n|²/d is {value}.", lambda runs, k=k: 1 + _of(
              "norm_drift", **_DIGITS, k=k)(runs) / 100, value, _SHEET, "==", 0.008, quick=False)
        for k, value in ((2, 0.94), (4, 0.89), (8, 0.86), (16, 0.83), (64, 0.79))
    ),
    *(
        Claim(f"digits-assigned-{batch}", f"Digits, assignment in batches of {batch}: {value} % nearer.",
              _of("reduction", "assignment", **_DIGITS | {"batch": batch, "draws": 16}), value, _SHEET, "==", tolerance,
              quick=False, note=note)
        for batch, value, tolerance, note in (
            (64, 8.9, 0.8, "the value of the source is of one batch, whose spread is 0.5"), (128, 9.1, 0.4, ""),
            (256, 9.6, 0.4, ""), (512, 10.6, 0.4, ""), (1024, 11.0, 0.3, ""),
        )
    ),
    Claim("large-nearer", "In 3072 dimensions with |x|² = d/4, k = 8 brings noise 1.78 % nearer.",
          _of("reduction", **_LARGE, batch=16, draws=500), 1.78, "expansion for many dimensions", "==", 0.08, quick=False),
    Claim("large-norm", "And lowers E|n|² by 91.7, of 3072.",
          lambda runs: 30.72 * _of("norm_drift", **_LARGE, batch=16, draws=500)(runs), -91.7,
          "expansion for many dimensions", "==", 7.0, quick=False),
    *(
        Claim(f"large-assigned-{batch}", f"There, assignment in batches of {batch} brings it {value} % nearer.",
              _of("reduction", "assignment", **_LARGE | {"n": 1000}, batch=batch, draws=8), value, _SHEET, "==", 0.15,
              quick=False)
        for batch, value in ((128, 1.68), (256, 1.98), (512, 2.16))
    ),
    Claim("clusters", "Mean noises of two digits are farther apart under nearest (k = 8) than under independent, and farther "
          "still under assignment (B = 128).", _order, 2.0, "paper, cluster distances .92, 2.17, 4.11", "==", quick=False),
    Claim("time", "A batch of 1024 takes assignment at least 5 times as long as the nearest of 8.",
          _ratio("nearest", "assignment", 1024), 5.0, "paper, table of times: 30 times, on a GPU", ">=", quick=False),
)  # fmt: skip

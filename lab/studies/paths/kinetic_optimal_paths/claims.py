"""What the paper and mathematics say of kinetic-optimal paths, measured."""

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics.jit import jit
from lab.paths import Linear, Trigonometric, kinetic, separation
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import Measure, number, of

_TWO: dict[str, Any] = {"data": "two-points", "particles": 100}
_GAUSSIAN: dict[str, Any] = {"data": "stretched-gaussian"}
_THREE: dict[str, Any] = _GAUSSIAN | {"spectrum": "2, 0.9, 0.1"}
_FEW: dict[str, Any] = {"data": "gaussian-points", "particles": 50}
_LIKE: dict[str, Any] = _FEW | {"draws": 2000}
_DIGITS: dict[str, Any] = {"data": "digit-samples", "draws": 4 * 1797, "particles": 50}
_BOARD: dict[str, Any] = {"draws": 6000}
_MNIST: dict[str, Any] = {"data": "mnist-samples", "n": 500, "draws": 1000, "particles": 50}

_SEEDS = range(5)
_TABLE = {  # independent computation: mean of 3 seeds, 1500 particles
    "linear": {2: 0.446, 4: 0.138, 6: 0.075, 10: 0.042, 16: 0.029, 40: 0.021},
    "trigonometric": {2: 0.065, 4: 0.029, 6: 0.022, 10: 0.020, 16: 0.020, 40: 0.019},
    "kinetic optimal": {2: 0.043, 4: 0.019, 6: 0.017, 10: 0.017, 16: 0.017, 40: 0.018},
}

_SPREAD = 0.013  # twice the error of a difference of two means of 3 seeds, each seed's deviation being 0.008


def _lam(s: float, **parameters: Any) -> Measure:
    return of(lambda run: np.interp(np.arctan(s), run.theta, run.lam), **parameters)


def _energy(schedule: str, **parameters: Any) -> Measure:
    return number("energy", {"schedule": schedule}, **parameters)


@cache
def _quadrature() -> dict[str, float]:
    """Of the two points, without Monte Carlo."""
    curve = separation.of_two_points()
    energy = jit(kinetic.energy)
    found = {"phi_total": curve.total, "least": curve.least}
    found |= {"linear": energy(Linear(), curve).marginal, "trigonometric": energy(Trigonometric(), curve).marginal}
    return {name: float(value) for name, value in found.items()}


def _geodesic_apart(run: xr.Dataset) -> Any:
    """From the schedule of optimal transport between N(0, I) and the Gaussian with two eigenvalues."""
    t, e = run.t.values, np.sqrt([1.6, 0.4])
    a = np.sqrt(t**2 + 2 * t * (1 - t) / e.sum())
    m = np.sqrt((1 - t) ** 2 + 2 * t * (1 - t) * e.prod() / e.sum())
    best = run.sel(schedule="kinetic optimal")
    return max(np.abs(best.a - a).max(), np.abs(best.m - m).max())


def _radius_off(run: xr.Dataset) -> Any:
    best, b = run.sel(schedule="kinetic optimal"), float(run.least)
    return np.abs(best.a**2 + best.m**2 - (1 - b * run.t * (1 - run.t))).max()


def _schur(runs: Runs) -> float:
    """The worst of lambda minus the floor sin^2 over four data sets."""
    cases = ({}, _TWO, _GAUSSIAN, _LIKE | {"dimension": 8})
    return float(min((run.lam - np.sin(run.theta) ** 2).min() for run in (runs(**case) for case in cases)))


CLAIMS = one_run("no training: integrals of given points", (
    Claim("two-steps", "At 2 Euler steps the kinetic optimal schedule has at least 5 times lower squared W2 than straight "
          "lines.", number("gain", particles=1000), 5.0, "Shaul et al., figure 2", ">="),
    Claim("board-angle", "The checkerboard has the angle 0.331.", number("phi_total", **_BOARD), 0.331,
          "independent numerical check", tolerance=0.004, quick=False),
    Claim("board-energy", "The least energy of the checkerboard is 0.1085.",
          number("least", **_BOARD), 0.1085, "independent numerical check",
          tolerance=0.0025, quick=False),
    Claim("board-trigonometric", "The trigonometric schedule has 0.168.", _energy("trigonometric", **_BOARD), 0.168,
          "independent numerical check", tolerance=0.004, quick=False),
    Claim("board-linear", "Straight lines have 0.536, of which 0.429 come from the radius alone.",
          _energy("linear", **_BOARD), 0.536, "quadrature of the same curve", tolerance=0.004, quick=False),
    Claim("least", "No schedule is below the least energy.", of(lambda run: run.energy[1:].min()), number("least"),
          "the chord is the shortest way", ">="),
    Claim("attained", "The kinetic optimal schedule attains the least energy.", _energy("kinetic optimal"), number("least"),
          "E* = 2 - 2 cos Φ", tolerance=1e-6),
    Claim("radius", "The squared radius of the kinetic optimal path is 1 - b t + b t².",
          of(_radius_off), 0.0, "Shaul et al., theorem 3.3", "<=", 1e-10),
    Claim("two-points-angle", "Two points have the angle 0.691264.", number("phi_total", **_TWO),
          lambda runs: _quadrature()["phi_total"], "quadrature of E tanh(s² + s z)", tolerance=1.5e-3, quick=False),
    Claim("two-points-energy", "The least energy of two points is 0.459119.", number("least", **_TWO),
          lambda runs: _quadrature()["least"], "quadrature", tolerance=2e-3, quick=False),
    Claim("two-points-linear", "Straight lines to two points have 0.982398.", _energy("linear", **_TWO),
          lambda runs: _quadrature()["linear"], "quadrature", tolerance=3e-3, quick=False),
    Claim("two-points-trigonometric", "The trigonometric schedule to two points has 0.868956.",
          _energy("trigonometric", **_TWO), lambda runs: _quadrature()["trigonometric"], "quadrature", tolerance=3e-3,
          quick=False),
    Claim("two-points-lambda", "λ(1) of two points is E tanh(1 + z) = 0.5504005.", _lam(1.0, **_TWO), 0.5504005, "quadrature",
          tolerance=3e-3, quick=False),
    Claim("two-points-transport",
          "The least energy of two points is above W2² = 2 - 2 √(2/π): it is the best Gaussian path only.",
          number("least", **_TWO), 2 - 2 * np.sqrt(2 / np.pi), "closed form", ">=", quick=False),
    Claim("transport", "With two eigenvalues the schedule is that of optimal transport.", of(_geodesic_apart, **_GAUSSIAN),
          0.0, "closed form", "<=", 1e-6),
    Claim("transport-energy", "With two eigenvalues the least energy is 2 - 2 mean √e = 0.1026334.",
          number("least", **_GAUSSIAN),
          2 - np.sqrt([1.6, 0.4]).sum(), "closed form", tolerance=1e-7),
    Claim("transport-linear", "Straight lines have 0.50981 there.", _energy("linear", **_GAUSSIAN), 0.50981,
          "independent numerical check", tolerance=1e-5),
    Claim("three-eigenvalues", "With the eigenvalues 2, 0.9 and 0.1 the least energy is above W2²/d, by 0.0025.",
          number("least", **_THREE) - (2 - 2 * np.sqrt([2, 0.9, 0.1]).mean()), 0.0025, "independent numerical check",
          tolerance=0.0005),
    Claim("nothing-to-move", "From N(0, I) to N(0, I) the least energy is 0.",
          number("least", **{**_GAUSSIAN, "spectrum": "1, 1"}), 0.0, "closed form", "<=", 1e-12),
    Claim("floor", "λ is at least sin² θ on every data set.", _schur, 0.0, "γ is a mean square", ">=", 1e-12),
    Claim("n-over-root-d", "For 50 points in 32 dimensions ∫(1 - λ) ds is at most 3n/√d.",
          number("deficit", **_LIKE, dimension=32), 150 / np.sqrt(32), "Shaul et al., theorem 4.1", "<="),
    Claim("dimension", "The least energy of 50 points grows with the dimension.", number("least", **_LIKE, dimension=32),
          number("least", **_LIKE, dimension=8), "Shaul et al., figure 1", ">="),
    *(
        Claim(f"few-points-{d}", f"50 Gaussian points in {d} dimensions have E* = {energy}.",
              number("least", **_FEW, dimension=d), energy,
              "independent numerical check, other points", tolerance=tolerance, quick=False, seeds=_SEEDS)
        for d, energy, tolerance in ((2, 0.150, 0.05), (8, 0.744, 0.05), (32, 1.302, 0.03), (128, 1.644, 0.02))
    ),
    Claim("digits-angle", "Handwritten digits have the angle 1.271.", number("phi_total", **_DIGITS), 1.271,
          "independent numerical check", tolerance=0.004, quick=False),
    Claim("digits-energy", "The least energy of handwritten digits is 1.410.",
          number("least", **_DIGITS), 1.410, "independent numerical check",
          tolerance=0.006, quick=False),
    Claim("digits-linear", "Straight lines to digits have 1.582.", _energy("linear", **_DIGITS), 1.582,
          "independent numerical check", tolerance=0.006, quick=False),
    Claim("digits-trigonometric", "The trigonometric schedule to digits has 1.811.", _energy("trigonometric", **_DIGITS),
          1.811, "independent numerical check", tolerance=0.008, quick=False),
    *(
        Claim(f"digits-lambda-{s}", f"λ({s}) of digits is {lam}.", _lam(s, **_DIGITS), lam, "independent numerical check",
              tolerance=0.006, quick=False)
        for s, lam in ((0.199, 0.177), (0.369, 0.490), (0.560, 0.764), (1.08, 0.983), (1.50, 0.998))
    ),
    Claim("resolution", "Of the same MNIST digits, those of 28 x 28 pixels are told apart sooner than those of 7 x 7.",
          number("deficit", **_MNIST, side="28"), number("deficit", **_MNIST, side="7"), "Shaul et al., figure 1", "<=",
          quick=False),
    *(
        Claim(f"board-{name.split()[0]}-{nfe}", f"At {nfe} Euler steps the {name} schedule has squared W2 {value}.",
              number("w2sq", {"schedule": name}, nfe=nfe, particles=1500), value,
              "independent numerical check, mean of 3 seeds", tolerance=_SPREAD + 0.03 * value, quick=False,
              seeds=_SEEDS)
        for name, row in _TABLE.items() for nfe, value in row.items()
    ),
))

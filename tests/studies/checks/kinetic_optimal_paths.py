"""Values of quadrature, closed forms and independent computations of kinetic-optimal paths."""

from functools import cache
from typing import Any

import numpy as np

from lab.numerics.jit import jit
from lab.paths import Linear, Trigonometric, kinetic, separation
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import Measure, number, of

_TWO: dict[str, Any] = {"data": "two-points", "particles": 100}
_GAUSSIAN: dict[str, Any] = {"data": "stretched-gaussian"}
_THREE: dict[str, Any] = _GAUSSIAN | {"spectrum": "2, 0.9, 0.1"}
_FEW: dict[str, Any] = {"data": "gaussian-points", "particles": 50}
_DIGITS: dict[str, Any] = {"data": "digit-samples", "draws": 4 * 1797, "particles": 50}
_BOARD: dict[str, Any] = {"draws": 6000}
_MNIST: dict[str, Any] = {"data": "mnist-samples", "n": 500, "draws": 1000, "particles": 50}
_CHECK = "independent numerical check"

_SEEDS = range(5)
_TABLE = {  # independent computation: mean of 3 seeds, 1500 particles
    "linear": {2: 0.446, 4: 0.138, 6: 0.075, 10: 0.042, 16: 0.029, 40: 0.021},
    "trigonometric": {2: 0.065, 4: 0.029, 6: 0.022, 10: 0.020, 16: 0.020, 40: 0.019},
    "kinetic optimal": {2: 0.043, 4: 0.019, 6: 0.017, 10: 0.017, 16: 0.017, 40: 0.018},
}
_SPREAD = 0.013  # twice the error of a difference of two means of 3 seeds with a standard deviation of 0.008 per seed


def _lam(s: float, **parameters: Any) -> Measure:
    return of(lambda run: np.interp(np.arctan(s), run.theta, run.lam), **parameters)


def _energy(schedule: str, **parameters: Any) -> Measure:
    return number("energy", {"schedule": schedule}, **parameters)


@cache
def _quadrature() -> dict[str, float]:
    """Numbers of the two points, without Monte Carlo."""
    curve = separation.of_two_points()
    energy = jit(kinetic.energy)
    found = {"phi_total": curve.total, "least": curve.least}
    found |= {"linear": energy(Linear(), curve).marginal, "trigonometric": energy(Trigonometric(), curve).marginal}
    return {name: float(value) for name, value in found.items()}


def _schur(runs: Runs) -> float:
    """Minimum of lambda minus its lower bound sin^2 over four data sets."""
    cases = ({}, _TWO, _GAUSSIAN, _FEW | {"draws": 2000, "dimension": 8})
    return float(min((run.lam - np.sin(run.theta) ** 2).min() for run in (runs(**case) for case in cases)))


CHECKS = one_run(
    "no training: integrals of given points",
    (
        *(
            Claim(name, statement, measured, expected, source, tolerance=tolerance, quick=False)
            for name, statement, measured, expected, source, tolerance in (
                (
                    "board-angle",
                    "The checkerboard has the angle 0.331.",
                    number("phi_total", **_BOARD),
                    0.331,
                    _CHECK,
                    0.004,
                ),
                (
                    "board-energy",
                    "The minimum energy of the checkerboard is 0.1085.",
                    number("least", **_BOARD),
                    0.1085,
                    _CHECK,
                    0.0025,
                ),
                (
                    "board-trigonometric",
                    "The trigonometric schedule has 0.168.",
                    _energy("trigonometric", **_BOARD),
                    0.168,
                    _CHECK,
                    0.004,
                ),
                (
                    "board-linear",
                    "Straight lines have 0.536, of which 0.429 come from the radius alone.",
                    _energy("linear", **_BOARD),
                    0.536,
                    "quadrature of the same curve",
                    0.004,
                ),
                (
                    "two-points-angle",
                    "Two points have the angle 0.691264.",
                    number("phi_total", **_TWO),
                    lambda runs: _quadrature()["phi_total"],
                    "quadrature of E tanh(s² + s z)",
                    1.5e-3,
                ),
                (
                    "two-points-energy",
                    "The minimum energy of two points is 0.459119.",
                    number("least", **_TWO),
                    lambda runs: _quadrature()["least"],
                    "quadrature",
                    2e-3,
                ),
                (
                    "two-points-linear",
                    "Straight lines to two points have 0.982398.",
                    _energy("linear", **_TWO),
                    lambda runs: _quadrature()["linear"],
                    "quadrature",
                    3e-3,
                ),
                (
                    "two-points-trigonometric",
                    "The trigonometric schedule to two points has 0.868956.",
                    _energy("trigonometric", **_TWO),
                    lambda runs: _quadrature()["trigonometric"],
                    "quadrature",
                    3e-3,
                ),
                (
                    "two-points-lambda",
                    "λ(1) of two points is E tanh(1 + z) = 0.5504005.",
                    _lam(1.0, **_TWO),
                    0.5504005,
                    "quadrature",
                    3e-3,
                ),
                (
                    "digits-angle",
                    "Handwritten digits have the angle 1.271.",
                    number("phi_total", **_DIGITS),
                    1.271,
                    _CHECK,
                    0.004,
                ),
                (
                    "digits-energy",
                    "The minimum energy of handwritten digits is 1.410.",
                    number("least", **_DIGITS),
                    1.410,
                    _CHECK,
                    0.006,
                ),
                (
                    "digits-linear",
                    "Straight lines to digits have 1.582.",
                    _energy("linear", **_DIGITS),
                    1.582,
                    _CHECK,
                    0.006,
                ),
                (
                    "digits-trigonometric",
                    "The trigonometric schedule to digits has 1.811.",
                    _energy("trigonometric", **_DIGITS),
                    1.811,
                    _CHECK,
                    0.008,
                ),
                *(
                    (f"digits-lambda-{s}", f"λ({s}) of digits is {lam}.", _lam(s, **_DIGITS), lam, _CHECK, 0.006)
                    for s, lam in ((0.199, 0.177), (0.369, 0.490), (0.560, 0.764), (1.08, 0.983), (1.50, 0.998))
                ),
            )
        ),
        Claim(
            "transport-energy",
            "With two eigenvalues the minimum energy is 2 - 2 mean √e = 0.1026334.",
            number("least", **_GAUSSIAN),
            2 - np.sqrt([1.6, 0.4]).sum(),
            "closed form",
            tolerance=1e-7,
        ),
        Claim(
            "transport-linear",
            "Straight lines have 0.50981 there.",
            _energy("linear", **_GAUSSIAN),
            0.50981,
            _CHECK,
            tolerance=1e-5,
        ),
        Claim(
            "three-eigenvalues",
            "With the eigenvalues 2, 0.9 and 0.1 the minimum energy is above W2²/d, by 0.0025.",
            number("least", **_THREE) - (2 - 2 * np.sqrt([2, 0.9, 0.1]).mean()),
            0.0025,
            _CHECK,
            tolerance=0.0005,
        ),
        Claim(
            "nothing-to-move",
            "From N(0, I) to N(0, I) the minimum energy is 0.",
            number("least", **{**_GAUSSIAN, "spectrum": "1, 1"}),
            0.0,
            "closed form",
            "<=",
            1e-12,
        ),
        Claim("floor", "λ is at least sin² θ on every data set.", _schur, 0.0, "γ is a mean square", ">=", 1e-12),
        *(
            Claim(
                f"few-points-{d}",
                f"50 Gaussian points in {d} dimensions have E* = {energy}.",
                number("least", **_FEW, dimension=d),
                energy,
                "independent numerical check, other points",
                tolerance=tolerance,
                quick=False,
                seeds=_SEEDS,
            )
            for d, energy, tolerance in ((2, 0.150, 0.05), (8, 0.744, 0.05), (32, 1.302, 0.03), (128, 1.644, 0.02))
        ),
        Claim(
            "resolution",
            "For the same MNIST digits, ∫(1 - λ) ds is smaller with 28 x 28 pixels than with 7 x 7.",
            number("deficit", **_MNIST, side="28"),
            number("deficit", **_MNIST, side="7"),
            "Shaul et al., figure 1",
            "<=",
            quick=False,
        ),
        *(
            Claim(
                f"board-{name.split()[0]}-{nfe}",
                f"At {nfe} Euler steps the {name} schedule has squared W2 {value}.",
                number("w2sq", {"schedule": name}, nfe=nfe, particles=1500),
                value,
                "independent numerical check, mean of 3 seeds",
                tolerance=_SPREAD + 0.03 * value,
                quick=False,
                seeds=_SEEDS,
            )
            for name, row in _TABLE.items()
            for nfe, value in row.items()
        ),
    ),
)

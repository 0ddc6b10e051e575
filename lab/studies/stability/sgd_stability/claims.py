"""Statements of the paper and theorems, measured, and the paper's numbers beside ours."""

from functools import partial
from typing import Any

import xarray as xr

from lab.studies.contract import PREDICTED, Claim, Reported, one_run
from lab.studies.vocabulary import Measure, number, of


def _largest(way: str) -> Measure:
    """The largest η tr / 2 over runs that interpolate."""
    return of(lambda run: (run.rates * run.final_tr / 2).sel(way=way).where(run.interpolated.sel(way=way) == 1).max())


def _norm(run: xr.Dataset) -> Any:
    """The largest η |a∘b|₁ / 3 over runs of SGD that interpolate."""
    return (run.rates * run.final_path_norm / 3).sel(way="SGD").where(run.interpolated.sel(way="SGD") == 1).max()


def _smallest_rise(run: xr.Dataset) -> Any:
    """The smallest relative rise of η* from one batch size to the next."""
    return (run.eta_star_B.diff("batch") / run.eta_star_B.isel(batch=0)).min()


def _tightest(run: xr.Dataset) -> Any:
    """The largest ratio of η* to one of its bounds."""
    return max((run.eta_star_B / run[name]).max() for name in ("bound_moments", "bound_trace", "bound_descent"))


def _full(run: xr.Dataset) -> Any:
    return run.eta_star_B.sel(way="GD", drawn="without")[-1] * run.lmax_end.sel(way="GD") / 2


_claim = partial(Claim, expected=1.0, seeds=range(5))
_exact = partial(Claim, tolerance=1e-6)
_PAPER = "Wu and Su 2023"

CLAIMS = one_run(
    "an inequality that holds for every draw",
    (
        _claim(
            "sgd-below-one",
            "At the interpolating minima of SGD with B = 1 the largest η tr(G) / 2 is below 1.",
            _largest("SGD"),
            source=f"{_PAPER}, tr(H) ≤ 2/η",
            relation="<",
        ),
        _claim(
            "gd-above-one",
            "Among the interpolating minima of gradient descent the largest η tr(G) / 2 is above 1.",
            _largest("GD"),
            source=f"{_PAPER}: only λmax is bounded",
            relation=">",
        ),
        _claim(
            "gd-top-below-one",
            "At the minimum of gradient descent η λmax(G) / 2 is below 1.",
            number("half_lmax_gd"),
            source="theorem: linear stability of gradient descent",
            relation="<",
        ),
        _claim(
            "norm-bound",
            "Interpolating minima of SGD have |β|₁ < 3/η, for x uniform on [-1, 1]^d.",
            of(_norm),
            source=f"{_PAPER}: tr = Σ(a² + b²)/3 ≥ 2|β|₁/3, in expectation over x",
            relation="<",
        ),
        _exact("batches-help", "η* grows with the batch size.", of(_smallest_rise), 0.0, "theorem: D(M) ≥ HMH", ">="),
        _exact("bounds", "η* is below each scalar bound.", of(_tightest), 1.0, "theorem: ⟨I, T(I)⟩ ≤ ⟨I, I⟩", "<="),
        _exact(
            "full-batch",
            "Batches of all samples without replacement: η* λmax / 2 = 1.",
            of(_full),
            1.0,
            "theorem: linear stability of gradient descent",
        ),
    ),
)

_OURS = "sparse regression, diagonal network, 40 samples in 100 dimensions, 6 learning rates"
_theorem = partial(Reported, paper=PREDICTED, paper_setting="theorem", our_setting=_OURS)
_test = partial(Reported, where="figure of test errors", paper=None, paper_setting="value not available to us")
_LINEAR = "linear stability of gradient descent"

REPORTED = (
    _theorem("Maximum of η tr(G)/2 where SGD interpolates", "linear stability, B = 1", claim="sgd-below-one"),
    _theorem(
        "Maximum of η tr(G)/2 where gradient descent interpolates",
        "only λmax is bounded",
        paper_setting="exceeds the bound of SGD",
        claim="gd-above-one",
    ),
    _theorem("Maximum of η λmax(G)/2 where gradient descent interpolates", _LINEAR, claim="gd-top-below-one"),
    _theorem("Critical learning rate times λmax/2, full batch", _LINEAR, claim="full-batch"),
    _theorem(
        "|β|₁ over its bound 3/η",
        "implicit regularization of the norm",
        paper_setting="theorem, uniform inputs",
        claim="norm-bound",
    ),
    _test("Test error of SGD", our_setting="the same, η = 0.08", ours="test_sgd"),
    _test("Test error of gradient descent", our_setting="the same, η = 0.08", ours="test_gd"),
)

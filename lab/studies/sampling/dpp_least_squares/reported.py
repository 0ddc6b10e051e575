"""The paper's numbers beside ours."""

from lab.studies.contract import PREDICTED, Measured, Reported

_THEIRS = "polynomials, repeated designs; the figure's values were not readable"
_OURS = "Legendre polynomials, m = 10, n = 30, δ = 1/2, Runge's function, 500 designs"
_WHERE = "figures of the stability probability"


def _stable(design):
    def measure(runs):
        result = runs()
        at = {"design": design, "n_over_m": 3}
        value, error = float(result.probability.sel(at)), float(result.probability_error.sel(at))
        half = 1.96 * error
        return Measured(100 * value, 100 * (value - half), 100 * (value + half))

    return measure


REPORTED = (
    Reported("Stable designs, repeated DPP", _WHERE, None, _THEIRS, _OURS, ours=_stable("dpp"), unit="%",
             note="As in the paper, repeated DPPs are stable more often than the other designs with as many points.",
             holds=lambda runs: _stable("volume-optimal")(runs).high < _stable("dpp")(runs).low),
    Reported("Stable designs, volume sampling of the Christoffel "
             "distribution", _WHERE, None, _THEIRS, _OURS, ours=_stable("volume-optimal"), unit="%"),
    Reported("Stable designs, independent Christoffel points", _WHERE, None, _THEIRS, _OURS, ours=_stable("iid-optimal"),
             unit="%"),
    Reported("Median squared error over the best, repeated DPP", "figures of the error", None, _THEIRS, _OURS,
             ours="ratio_here"),
    Reported("Median squared error over the best, independent Christoffel points", "figures of the error", None, _THEIRS, _OURS,
             ours="ratio_iid"),
    Reported("λmin of the Gram matrix of a DPP design of m steps", "projection DPP, n = m", PREDICTED,
             "one point in each cell, so G = I", "piecewise constant functions", claim="haar-strata"),
)

"""What the pictures of least squares on repelling points show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number

from .pictures import BOXES, TITLES, n_over_m

_ALL = {
    "iid": "i.i.d. sampling", "volume": "volume sampling", "iid-optimal": "i.i.d. Christoffel sampling",
    "volume-optimal": "volume-rescaled sampling", "dpp": "the DPP",
}
STABLE = Comparison(
    "stable", "fraction of stable designs", _ALL, "higher", result="probability", along="design",
    at={"n_over_m": "oversampling"}, share=True, ours="dpp",
)

_FREE = "iid-optimal"  # what the DPP is compared with


def _first(n: np.ndarray, holds: np.ndarray) -> str:
    """From where on along n/m something holds first."""
    return f"at n = {_times(int(n[holds.argmax()]))}" if holds.any() else f"not even at n = {_times(int(n[-1]))}"


def _times(ratio: int) -> str:
    return f"{ratio} m" if ratio > 1 else "m"


def _stability(result: xr.Dataset) -> str:
    n = result.n_over_m.values
    ours, free = (_first(n, result.probability.sel(design=name).values >= 0.5) for name in ("dpp", _FREE))
    same = "too" if ours == free else free
    return f"Half of the DPP designs are stable {ours}, of the {TITLES[_FREE]} ones {same}"


def _threshold(result: xr.Dataset) -> str:
    middle = result.lambda_min.sel(n_over_m=n_over_m(result))
    ours, free = (middle.sel(design=name).dropna("draw").values for name in ("dpp", _FREE))
    if not ours.size or not free.size:
        return "No draw has a finite λmin"
    ours, free = number(np.median(ours), 2), number(np.median(free), 2)
    return f"The median λmin is {ours} for the DPP, {free} for {TITLES[_FREE]} points"


def _table(result: xr.Dataset) -> str:
    tries, draws = result.tries.sel(n_over_m=n_over_m(result)), result.sizes["draw"]
    ours, free = (float(tries.sel(design=name)) for name in ("dpp", _FREE))
    if not np.isfinite(ours):
        return f"No DPP design of {draws} is stable{'' if np.isfinite(free) else f', nor one of {TITLES[_FREE]} points'}"
    told = f"A stable design of the DPP takes {number(ours, 2)} draw{'s' * (ours > 1)}"
    return f"{told}, of {TITLES[_FREE]} points {number(free, 2) if np.isfinite(free) else f'none in {draws} is'}"


def _exact(result: xr.Dataset) -> bool:
    return not bool((result.err2_best > 1e-20).all())


_WITHIN = "f lies in the space: every fit is exact, whatever the design"


def _errors(result: xr.Dataset) -> str:
    if _exact(result):
        return _WITHIN
    at = min(BOXES, key=lambda box: abs(box - n_over_m(result)))
    worst = result.ratio_quantile.sel(n_over_m=at, level=0.95)
    ours, free = (number(float(worst.sel(design=name)), 2) for name in ("dpp", _FREE))
    return f"95% quantile of the squared-error ratio at n = {_times(at)}: {ours} (DPP), {free} ({TITLES[_FREE]})"


def _fit(result: xr.Dataset) -> str:
    if _exact(result):
        return _WITHIN
    name, at = sweeping.parameters(result)["sampler"], n_over_m(result)
    ratio = float(result.ratio.sel(design=name, n_over_m=at)[0])
    return f"This fit of {at * result.sizes['step']} values has {number(ratio, 3)} times the squared error of the projection"


def _estimate(result: xr.Dataset) -> str:
    true = result.err2.sel(n_over_m=n_over_m(result), design="dpp").values[: result.sizes["kept"]]
    shares = result.estimate.sel(design="dpp").values / np.where(true > 1e-20, true, np.nan)
    shares = shares[np.isfinite(shares)]
    if not shares.size:
        return _WITHIN if _exact(result) else "The DPP's points alone give no estimate here"
    told = f"For the DPP the estimate is {number(np.median(shares), 2)} times the squared error"
    if "thin_estimate" in result and np.isfinite(result.thin_estimate).any():
        return f"{told}, for a thinned design {number(np.nanmedian(result.thin_estimate), 2)} times"
    return f"{told} in the median"


def _thinning(result: xr.Dataset) -> str:
    told = f"Of {int(result.points_used)} points {number(float(np.nanmean(result.n_used)), 3)} are left"
    before, after = (number(float(result[name].median()), 2) for name in ("whole_ratio", "thin_ratio"))
    return f"{told}, and the squared error goes from {before} to {after} times the projection's"


def _plane(result: xr.Dataset) -> str:
    first = result.lambda_min.sel(n_over_m=n_over_m(result)).isel(draw=0)
    ours, free = (number(float(first.sel(design=name)), 2) for name in ("dpp", _FREE))
    return f"The DPP's points have λmin = {ours}, the {TITLES[_FREE]} ones {free}"


def _heat(result: xr.Dataset) -> str:
    p, m, n = sweeping.parameters(result), result.m.values, result.n_over_m.values
    stable = result.lambda_median.sel(design=p["sampler"]).transpose("m", "n_over_m").values >= 1 - p["delta"]
    small, large = int(m.argmin()), int(m.argmax())
    told = f"{TITLES[p['sampler']]}: with m = {m[small]} half are stable {_first(n, stable[small])}"
    return told if small == large else f"{told}, with m = {m[large]} {_first(n, stable[large])}"


def _decay(result: xr.Dataset) -> str:
    median = result.ratio_quantile.sel(n_over_m=n_over_m(result), level=0.5)
    known = median.where(result.err2_best > 1e-20)
    if not bool(known.notnull().any()):
        return _WITHIN
    ours, free = (number(float(known.sel(design=name).max()) ** 0.5, 3) for name in ("dpp", _FREE))
    return f"Median errors reach {ours} (DPP) or {free} ({TITLES[_FREE]}) times the projection error"


FINDS = {
    "stability": _stability, "threshold": _threshold, "table": _table, "errors": _errors, "fit": _fit, "estimate": _estimate,
    "thinning": _thinning, "plane": _plane, "heat": _heat, "decay": _decay,
}

"""What the pictures of FLAIR show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number

from .pictures import OFF, ON, SD3, SWITCHES

_LOST = "The answers are not finite"
PSNR = Comparison(
    "psnr", "PSNR",
    {"psnr_one": "one FLAIR sample", "psnr_fresh": "one sample without DTA", "psnr_average": "the mean of FLAIR samples",
     "psnr_exact": "the posterior mean"},
    "higher", ours="psnr_one", best_at={"prior": "optimal"},
)
PLANE = Comparison(
    "plane", "W₁ to the posterior in the plane",
    {"plane_distance": "FLAIR", "plane_distance_fresh": "FLAIR without DTA"},
    ours="plane_distance", best_at={"crw": False, "c": 0.5, "t_min": 0.02},
)
_MODES = ("left mode", "right mode", "mode below")


def _db(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _signed(value: float) -> str:
    rounded = round(value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def _calibration(result: xr.Dataset) -> str:
    own, theirs = float(result.t[result.e.values.argmin()]), float(SD3[SD3[:, 1].argmin(), 0])
    weight = number(float(result.lambda_R.max()), 2)
    return f"The velocity error is minimal at t = {own:.2g}, for SD3 at {theirs:.2g}; the weight is at most {weight}"


def _relaxation(result: xr.Dataset) -> str:
    most = float(result.relaxation_most)
    if most <= 1:
        return f"No step overshoots: the longest goes {most:.{0 if most < 0.99 else 1}%} of the way"
    steps = np.interp(result.time.values, result.t.values[::-1], result.relaxation.values[::-1])
    many = f"{max(int((steps > (2 if most > 2 else 1)).sum()), 1)} of {steps.size}"
    told = f"The longest step goes {number(most, 2)} times the way: {many}"
    return f"{told} go beyond 2, where errors grow" if most > 2 else f"{told} overshoot"


def _filmstrip(result: xr.Dataset) -> str:
    off = np.sqrt(((result.mu - result.clean) ** 2).mean(("channel", "y", "x"), skipna=False).values)
    there = np.flatnonzero(np.isfinite(off))
    if not there.size:
        return _LOST
    first, last = number(off[there[0]], 2), number(off[there[-1]], 2)
    return f"μ errs by {first} a pixel after the first step, by {last} after the last"


def _plane(result: xr.Dataset) -> str:
    times = np.append(result.time.values, 0.0)[result.moment.values - 1]
    sides = np.sign(result.plane_path.transpose("way", "moment", "particle", "axis").values[..., 0])
    if not np.isfinite(sides).all():
        return _LOST
    told = []
    for way, side in zip(result.way.values, sides, strict=True):
        undecided = np.flatnonzero((side == side[-1]).mean(axis=1) < 0.9)
        since = times[undecided[-1] + 1 if undecided.size else 0]
        told.append(f"{way.removesuffix(' DTA')} DTA {f'from t = {since:.2f}' if since else 'at the end'}")
    return f"9 in 10 answers are on their side {', '.join(told)}"


def _modes(result: xr.Dataset) -> str:
    share = result.plane_share
    mode = int(share.sel(law="posterior").values.argmax())
    true, ours, fresh = (f"{float(share.sel(law=law)[mode]):.0%}" for law in ("posterior", "with DTA", "without"))
    return f"The {_MODES[mode]} has {true} of the posterior, {ours} of the answers with DTA, {fresh} without"


def _parts(result: xr.Dataset) -> str:
    whole = float(result.psnr_one.sel(ON))
    change = {key: float(result.psnr_one.sel(ON | {name: OFF[name]})) - whole for key, name in SWITCHES.items()}
    change = {key: value for key, value in change.items() if np.isfinite(value)}
    if not change:
        return _LOST
    first, *others = sorted(change, key=lambda key: change[key])
    told = "".join(f", without {key} by {_signed(change[key])}" for key in others)
    return f"Without {first} PSNR changes by {_signed(change[first])} dB{told}"


def _priors(result: xr.Dataset) -> str:
    told = []
    for prior in result.prior.values:
        gain = result.dta_gain.sel(prior=prior).dropna("c").values
        if gain.size:
            low, high = _signed(gain.min()), _signed(gain.max())
            told.append(f"{low if low == high else f'{low} to {high}'} dB under {prior}")
    return f"DTA changes PSNR by {', '.join(told)}" if told else _LOST


def _tradeoff(result: xr.Dataset) -> str:
    own = result.sel(alpha_scale=1.0)
    if not np.isfinite(own.psnr_one).any():
        return _LOST
    best = own.isel(c=int(np.nanargmax(own.psnr_one.values)))
    told = f"One answer with DTA is best at c = {float(best.c):g}, {_db(float(best.psnr_one))} dB, where the spread is"
    known = float(result.spread_exact.max()) if "spread_exact" in result else 0.0
    if not known > 1e-9:
        return f"{told} {number(float(best.spread), 2)}"
    return f"{told} {float(best.spread) / known:.0%} of the posterior's"


def _table(result: xr.Dataset) -> str:
    told = []
    for name in ("psnr_average", "psnr_one"):
        values = result[name].sel(t_min=0.18).max("alpha_scale").to_series().dropna()
        if values.empty:
            return _LOST
        told.append(f"{_db(values.max())} dB at c = {values.idxmax():g}")
    return f"The mean of {result.sizes['sample']} answers reaches {told[0]}, one answer {told[1]}"


def _stability(result: xr.Dataset) -> str:
    last = result.sel(t_min=result.t_min.min()).squeeze()
    ours, fixed = (float(last.psnr_one.sel(crw=crw)) for crw in (True, False))
    ours, fixed = (f"{_db(each)} dB" if np.isfinite(each) else "no finite answer" for each in (ours, fixed))
    return f"Down to t = {float(last.t_min):g} the calibrated weight has {ours}, the constant one {fixed}"


FINDS = {
    "calibration": _calibration, "relaxation": _relaxation, "filmstrip": _filmstrip, "plane": _plane, "modes": _modes,
    "parts": _parts, "priors": _priors, "tradeoff": _tradeoff, "table": _table, "stability": _stability,
}

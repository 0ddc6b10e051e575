"""Pictures of self-tuning networks, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

from .claims import DIGITS
from .experiment import RANDOM, SCHEDULES

_HEIGHT = 360
SEARCH = Comparison(
    "search",
    "validation loss",
    {
        "val_best": "the self-tuning network",
        "rival_least": "the selected run of the others",
        "rival_median": "their median run",
    },
    ours="val_best",
    best_at=DIGITS | {"compare": RANDOM},
)
_LOST = "All starts were lost"


def searched(result: xr.Dataset) -> str:
    return SEARCH.finding(result) or "The compared trainings have fixed hyperparameters or a schedule, and equal length"


def _ends(values: xr.DataArray) -> np.ndarray:
    """Values at the last cycle, without lost starts."""
    last = values.isel(cycle=-1).values
    return last[np.isfinite(last).all(axis=tuple(range(1, last.ndim)))]


def _tints(result: xr.Dataset) -> list[str]:
    """Colors of the starts, from low to high."""
    return draw.colours(result.sizes["start"], ordered=True) if result.sizes["start"] > 1 else [draw.SOURCE]


def _named(result: xr.Dataset) -> list[str]:
    return [f"from {begin:.3g}" for begin in result.begin.values]


def _lines(result: xr.Dataset, values: np.ndarray, title: str, tint: str) -> list[Any]:
    """One line per start over cycles, the first with a title."""
    return [draw.curve(result.cycle, way, "" if i else title, color=tint) for i, way in enumerate(values.T)]


def _schedules(result: xr.Dataset) -> Any:
    names, cycle = [str(name) for name in result.hyper.values], result.cycle.values
    rates = bool((result.value.values[np.isfinite(result.value.values)] < 1).all()) and len(names) > 1
    shown = (result.value if rates else result.lam).values
    layers: list[Any] = []
    if "known_lam" in result:
        layers.append(draw.hline(float(result.known_lam), "best", color=draw.TARGET))
    if len(names) == 1:
        layers += [draw.curve(cycle, shown[:, i, 0], color=tint) for i, tint in enumerate(_tints(result))]
        begin, end = shown[0, :, 0], shown[-1, :, 0]
        for falls in (True, False):  # on the side to which no line goes
            told = [name if way == falls else "" for name, way in zip(_named(result), begin > end, strict=True)]
            side = "bottom" if falls else "top"
            layers.append(draw.text([cycle[2]] * len(told), begin, told, color=draw.MUTED, up=side))
    else:
        for j, (name, tint) in enumerate(zip(names, draw.colours(len(names)), strict=True)):
            layers += _lines(result, shown[:, :, j], name, tint)
    told, air = "rate of dropout" if rates else "hyperparameter λ", 0.12 * np.nanmax([np.ptp(shown), 0.1])
    room = (0, 1) if rates else (np.nanmin(shown) - air, np.nanmax(shown) + air) if len(names) == 1 else None
    return draw.plot(*layers, xlabel="cycle", ylabel=told, ylim=room, height=_HEIGHT)


def _response(result: xr.Dataset, at: int) -> Any:
    """The true response and the linear approximations at the starts."""
    strength, curve = result.strength.values, result.curve.values
    high = 1.15 * float(curve.max())
    layers: list[Any] = [draw.curve(strength, curve, color=draw.MUTED)]
    if "known_lam" in result:
        layers.append(draw.vline(float(result.known_lam), "best", color=draw.TARGET, dash=True))
    for i, tint in enumerate(_tints(result)):
        lam, sigma = (float(result[name].values[at, i, 0]) for name in ("lam", "sigma"))
        here, tilt = float(result.here.values[at, i]), float(result.tilt.values[at, i, 0])
        reach = np.array([-2 * sigma, 2 * sigma])
        layers.append(draw.curve(lam + reach, here + tilt * reach, color=tint))
        layers.append(draw.points([lam], [here], color=tint, size=1.6))
    return draw.plot(
        *layers,
        xlabel="logarithm of the penalty, λ",
        ylabel="remaining weight",
        xlim=(strength[0], strength[-1]),
        ylim=(-0.15 * high, high),
        height=_HEIGHT,
        note=f"cycle {int(result.cycle[at])}",
    )


def _losses(result: xr.Dataset) -> Any:
    layers: list[Any] = [draw.hline(float(result.known), "minimum", color=draw.TARGET)] if "known" in result else []
    starts = zip(result.val_loss.values.T, _tints(result), strict=True)
    layers += [draw.curve(result.cycle, way, color=tint) for way, tint in starts]
    known = result.val_loss.values[np.isfinite(result.val_loss.values)]
    high = float(np.quantile(known, 0.95)) if known.size else 1.0
    low = float(known.min()) if known.size else 0.0
    return draw.plot(
        *layers,
        xlabel="cycle",
        ylabel="validation loss",
        height=320,
        ylim=(low - 0.1 * (high - low), high + 0.3 * (high - low)),
    )


def _losses_finding(result: xr.Dataset) -> str:
    ends = _ends(result.val_loss)
    if not ends.size:
        return _LOST
    if len(ends) == 1:
        return f"The validation loss ends at {number(ends[0])}"
    return f"Validation losses end at {number(ends.mean())}, {percent(np.ptp(ends) / ends.min())} apart"


def _valley(result: xr.Dataset, at: int) -> Any:
    where = result.lam.values[at, :, 0]
    level = np.interp(where, result.strength.values, result.valley.values)
    return draw.plot(
        draw.curve(result.strength, result.valley, color=draw.MUTED),
        draw.points(where, level, color=_tints(result), size=1.6),
        xlabel="logarithm of the penalty, λ",
        ylabel="validation loss of the best response",
        height=280,
        note=f"cycle {int(result.cycle[at])}",
    )


def _valley_finding(result: xr.Dataset) -> str:
    last, least = _ends(result.lam)[:, 0], float(result.valley.min())
    if not last.size:
        return _LOST
    begun = np.interp(result.lam.values[0, :, 0], result.strength.values, result.valley.values).max() / least - 1
    above = float(result.excess) / 100
    ended = f"ends {percent(above)} above it" if np.isfinite(above) else "is lost"
    return f"Starts begin up to {percent(begun)} above the minimum; the one with the largest loss {ended}"


def _plain(result: xr.Dataset) -> Any:
    plain, marks = result.plain.values, []
    for way in result.lam.values.swapaxes(0, 1):
        marks += [draw.curve(*way.T, color=draw.INK), draw.points(*way[-1:].T, color=draw.TARGET, size=1.6)]
    return draw.heatmap(
        np.log(plain / plain.min()).T,
        result.other.values,
        result.strength.values,
        xlabel="λ of the first group",
        ylabel="λ of the second group",
        clabel="log of validation loss / minimum",
        marks=marks,
        equal=True,
        height=380,
    )


def _plain_finding(result: xr.Dataset) -> str:
    ends = _ends(result.lam)
    if not len(ends):
        return _LOST
    i, j = np.unravel_index(result.plain.values.argmin(), result.plain.shape)
    best = np.array([result.strength[i], result.other[j]])
    begun, ended = (np.linalg.norm(where - best, axis=1).max() for where in (result.lam.values[0], ends))
    return f"In λ the starts end within {max(ended, 0.1):.1f} of the minimum, having begun up to {begun:.1f} from it"


def _rivals(result: xr.Dataset) -> Any:
    """Minimum validation loss of each training so far."""
    best = np.fmin.accumulate(result.rival_val.values, axis=0)
    own = np.fmin.accumulate(result.val_loss.values, axis=0)
    if sweeping.parameters(result)["compare"] == SCHEDULES:
        names = [str(name) for name in result.rival.values]
        told = zip(best.T, names, draw.colours(len(names) + 1)[1:], strict=True)
        layers = [draw.curve(result.cycle, way, name, color=tint) for way, name, tint in told]
    else:
        layers = _lines(result, best, "fixed", draw.MUTED)
    layers += _lines(result, own, "tuned", draw.SOURCE)
    low = float(min(np.nanmin(best), np.nanmin(own)))
    high = float(np.nanquantile(best[len(best) // 2 :], 0.9))
    return draw.plot(
        *layers, xlabel="cycle", ylabel="minimum validation loss so far", ylim=(0.9 * low, 1.3 * high), height=340
    )


def _errors(result: xr.Dataset) -> Any:
    layers = _lines(result, result.jac_error.values, "slope", draw.SOURCE)
    layers += _lines(result, result.weight_error.values, "weights", draw.TARGET)
    return draw.plot(*layers, xlabel="cycle", ylabel="relative error of the response", logy=True, height=280)


def _errors_finding(result: xr.Dataset) -> str:
    slope, weights = (_ends(result[name]) for name in ("jac_error", "weight_error"))
    if not slope.size or not weights.size:
        return _LOST
    return f"Final errors are at most {percent(slope.max())} of the slope and {percent(weights.max())} of the weights"


def _by_scale(result: xr.Dataset) -> Any:
    last = result.lam.isel(cycle=-1, hyper=0)
    lines = dict(zip(_named(result.isel(sigma=0)), last.transpose("start", ...), strict=True))
    return draw.over(
        result.coords["sigma"],
        lines,
        ordered=True,
        levels={"best": float(result.known_lam.values.flat[0])},
        colors={"best": draw.TARGET},
        xlabel="scale σ, fixed",
        ylabel="λ at the end",
        logx=True,
        ticks=False,
        height=300,
    )


def _by_scale_finding(result: xr.Dataset) -> str:
    last = result.lam.isel(cycle=-1, hyper=0)
    off = np.abs(last - result.known_lam).transpose("sigma", "start").max("start", skipna=False).values
    sigma = result.coords["sigma"].values
    if not np.isfinite(off).any():
        return _LOST
    near, far = int(np.nanargmin(off)), int(np.nanargmax(off))
    text = f"At σ = {sigma[near]:g} all starts come within {number(off[near], 2)} of the best λ"
    return text if near == far else f"{text}; at σ = {sigma[far]:g} one ends {number(off[far], 2)} from it"


PICTURES = Pictures(
    Picture("schedules", "Schedules of hyperparameters", "Lines: trainings from different starts.", _schedules),
    Picture(
        "response",
        "The optimal weights and their approximation",
        "Gray: optimal weights under each penalty; short lines: approximation of each training, up to two scales.",
        _response,
        needs=("curve",),
        plays="cycle",
    ),
    Picture(
        "losses", "Validation loss", "Lines: starts, from light (low) to dark (high).", _losses, finds=_losses_finding
    ),
    Picture(
        "valley",
        "Descent of the validation loss",
        "Line: validation loss of the optimal weights, which no training computes; points: trainings.",
        _valley,
        needs=("valley",),
        plays="cycle",
        finds=_valley_finding,
    ),
    Picture(
        "plain",
        "Two strengths",
        "Color: validation loss of the optimal weights; lines: paths of the starts.",
        _plain,
        needs=("plain",),
        finds=_plain_finding,
    ),
    Picture(
        "rivals",
        "Compared with other trainings",
        "Lines: minimum so far; blue: self-tuning networks; others: fixed hyperparameters or schedules.",
        _rivals,
        needs=("rival_val",),
        finds=SEARCH.finding,
    ),
    Picture(
        "errors",
        "Accuracy of the response",
        "Lines: errors relative to the optimal weights and their derivative.",
        _errors,
        needs=("jac_error",),
        finds=_errors_finding,
    ),
    Picture(
        "by_scale",
        "Scale of the perturbation",
        "Lines: final λ of each start, with fixed σ.",
        _by_scale,
        along={"sigma": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0), "tuned": (False,)},
        needs=("lam", "begin", "known_lam"),
        finds=_by_scale_finding,
    ),
)

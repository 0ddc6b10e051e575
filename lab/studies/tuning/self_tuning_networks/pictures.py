"""The pictures of self-tuning networks."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .variables import SCHEDULES

_HEIGHT = 360


def _tints(result: xr.Dataset) -> list[str]:
    """Of the starts, from low to high."""
    return draw.colours(result.sizes["start"], ordered=True) if result.sizes["start"] > 1 else [draw.SOURCE]


def _named(result: xr.Dataset) -> list[str]:
    return [f"from {begin:.3g}" for begin in result.begin.values]


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
            layers.append(draw.text([cycle[2]] * len(told), begin, told, color=draw.MUTED, up="bottom" if falls else "top"))
    else:
        for j, (name, tint) in enumerate(zip(names, draw.colours(len(names)), strict=True)):
            layers += [draw.curve(cycle, shown[:, i, j], name if i == 0 else "", color=tint) for i in range(shown.shape[1])]
    told, air = "rate of dropout" if rates else "hyperparameter λ", 0.12 * np.nanmax([np.ptp(shown), 0.1])
    room = (0, 1) if rates else (np.nanmin(shown) - air, np.nanmax(shown) + air) if len(names) == 1 else None
    return draw.plot(*layers, xlabel="cycle", ylabel=told, ylim=room, height=_HEIGHT)


def _response(result: xr.Dataset, at: int) -> Any:
    """The curve that is to be known, and the lines that stand for it where the starts are."""
    strength, curve = result.strength.values, result.curve.values
    high = 1.15 * float(curve.max())
    layers: list[Any] = [draw.curve(strength, curve, color=draw.MUTED)]
    if "known_lam" in result:
        layers.append(draw.vline(float(result.known_lam), "best", color=draw.TARGET, dash=True))
    for i, tint in enumerate(_tints(result)):
        lam, sigma = (float(result[name].values[at, i, 0]) for name in ("lam", "sigma"))
        here, tilt = float(result.here.values[at, i]), float(result.tilt.values[at, i, 0])
        reach = np.array([-2 * sigma, 2 * sigma])
        layers += [
            draw.curve(lam + reach, here + tilt * reach, color=tint),
            draw.points([lam], [here], color=tint, size=1.6),
        ]
    return draw.plot(
        *layers, xlabel="logarithm of the penalty, λ", ylabel="weight that is left", xlim=(strength[0], strength[-1]),
        ylim=(-0.15 * high, high), height=_HEIGHT, note=f"cycle {int(result.cycle[at])}",
    )


def _losses(result: xr.Dataset) -> Any:
    layers: list[Any] = [draw.hline(float(result.known), "least", color=draw.TARGET)] if "known" in result else []
    layers += [draw.curve(result.cycle, result.val_loss.values[:, i], color=tint) for i, tint in enumerate(_tints(result))]
    known = result.val_loss.values[np.isfinite(result.val_loss.values)]
    high = float(np.quantile(known, 0.95)) if known.size else 1.0
    low = float(known.min()) if known.size else 0.0
    return draw.plot(
        *layers, xlabel="cycle", ylabel="validation loss", height=320,
        ylim=(low - 0.1 * (high - low), high + 0.3 * (high - low)),
    )


def _valley(result: xr.Dataset, at: int) -> Any:
    where = result.lam.values[at, :, 0]
    level = np.interp(where, result.strength.values, result.valley.values)
    return draw.plot(
        draw.curve(result.strength, result.valley, color=draw.MUTED), draw.points(where, level, color=_tints(result), size=1.6),
        xlabel="logarithm of the penalty, λ", ylabel="validation loss of the best response", height=280,
        note=f"cycle {int(result.cycle[at])}",
    )


def _paths(result: xr.Dataset, columns: np.ndarray) -> list[Any]:
    layers: list[Any] = []
    for i in range(result.sizes["start"]):
        way = columns[:, i]
        layers += [draw.curve(way[:, 0], way[:, 1], color=draw.INK), draw.points(*way[-1:].T, color=draw.TARGET, size=1.6)]
    return layers


def _plain(result: xr.Dataset) -> Any:
    plain = result.plain.values
    return draw.heatmap(
        np.log(plain / plain.min()).T, result.other.values, result.strength.values, xlabel="λ of the first group",
        ylabel="λ of the second group", clabel="log of validation loss above the least",
        marks=_paths(result, result.lam.values), equal=True, height=380,
    )


def _grid(result: xr.Dataset) -> Any:
    least, names = result.by_two.values, [str(name) for name in result.hyper.values]
    high = float(np.nanquantile(least[np.isfinite(least)], 0.9))
    return draw.heatmap(
        least.T, result.second.values, result.first.values, xlabel=f"λ {names[0]}", ylabel=f"λ {names[1]}",
        clabel="least validation loss", clim=(float(least.min()), high), marks=_paths(result, result.lam.values[:, :, :2]),
        equal=True, height=380,
    )


def _rivals(result: xr.Dataset) -> Any:
    """What each training has reached, by cycle: the best so far."""
    best = np.fmin.accumulate(result.rival_val.values, axis=0)
    own = np.fmin.accumulate(result.val_loss.values, axis=0)
    if sweeping.parameters(result)["compare"] == SCHEDULES:
        names = [str(name) for name in result.rival.values]
        layers = [draw.curve(result.cycle, best[:, i], name, color=tint)
                  for i, (name, tint) in enumerate(zip(names, draw.colours(len(names) + 1)[1:], strict=True))]
    else:
        layers = [draw.curve(result.cycle, best[:, i], "" if i else "held", color=draw.MUTED) for i in range(best.shape[1])]
    layers += [draw.curve(result.cycle, own[:, i], "" if i else "tuned", color=draw.SOURCE) for i in range(own.shape[1])]
    low = float(min(np.nanmin(best), np.nanmin(own)))
    high = float(np.nanquantile(best[len(best) // 2 :], 0.9))
    return draw.plot(*layers, xlabel="cycle", ylabel="least validation loss so far", ylim=(0.9 * low, 1.3 * high), height=340)


def _scales(result: xr.Dataset) -> Any:
    names = [str(name) for name in result.hyper.values]
    one = len(names) == 1
    layers = []
    for j, of_hyper in enumerate(draw.colours(len(names))):
        for i, of_start in enumerate(_tints(result)):
            named = names[j] if i == 0 and not one else ""
            layers.append(draw.curve(result.cycle, result.sigma.values[:, i, j], named, color=of_start if one else of_hyper))
    return draw.plot(*layers, xlabel="cycle", ylabel="scale σ", logy=True, height=280)


def _errors(result: xr.Dataset) -> Any:
    layers = [draw.curve(result.cycle, result.jac_error.values[:, i], "slope" if i == 0 else "", color=draw.SOURCE)
              for i in range(result.sizes["start"])]
    layers += [draw.curve(result.cycle, result.weight_error.values[:, i], "weights" if i == 0 else "", color=draw.TARGET)
               for i in range(result.sizes["start"])]
    return draw.plot(*layers, xlabel="cycle", ylabel="relative error of the response", logy=True, height=280)


def _gates(result: xr.Dataset) -> Any:
    tints = draw.colours(result.sizes["unit"], ordered=True)
    layers = [draw.curve(result.strength, result.gates.values[i], color=tint) for i, tint in enumerate(tints)]
    return draw.plot(*layers, xlabel="logarithm of the penalty, λ", ylabel="gate of a hidden unit", ylim=(0, 1.02), height=280)


def _over_scale(result: xr.Dataset) -> Any:
    last = result.lam.isel(cycle=-1, hyper=0)
    lines = dict(zip(_named(result.isel(sigma=0)), last.transpose("start", ...), strict=True))
    return draw.over(
        result.coords["sigma"], lines, ordered=True, levels={"best": float(result.known_lam.values.flat[0])},
        colors={"best": draw.TARGET}, xlabel="scale σ, held", ylabel="λ at the end", logx=True, ticks=False, height=300,
    )


def _over_entropy(result: xr.Dataset) -> Any:
    lines = {"scale at the end": result.sigma_end, "slope of the response off": result.slope_off}
    return draw.over(result.entropy, lines, ylabel="", logy=True, ticks=False, height=300)


def _over_rate(result: xr.Dataset) -> Any:
    return draw.over(result.hyper_rate, {"above the least": result.excess}, ylabel="validation loss above the least (%)",
                     logy=True, ticks=False, height=280)


PICTURES = Pictures(
    Picture("schedules", "Schedules of hyperparameters", "Each line a training of its own, from its own start.", _schedules),
    Picture("response", "The optimal weights and their approximation", "Grey: what is left of the weights under each penalty. "
            "Short lines: what each training knows of it, as far as two scales.", _response, needs=("curve",), plays="cycle"),
    Picture("losses", "Validation loss", "Of each start, from light (low) to dark, without regularization.", _losses),
    Picture("valley", "Down the validation loss", "Loss of the exactly optimal weights, which no training computes.", _valley,
            needs=("valley",), plays="cycle"),
    Picture("plain", "Over both strengths", "Colours: what is known; lines: paths of the starts to the minimum.", _plain,
            needs=("plain",)),
    Picture("grid", "Over a grid of trainings", "Each square a training of its own with its two hyperparameters held; lines: "
            "ways of the starts, each in one training.", _grid, needs=("by_two",)),
    Picture("rivals", "Beside others of the same length", "Minimum so far: blue, the self-tuning network; others hold or "
            "follow their hyperparameters.", _rivals, needs=("rival_val",)),
    Picture("scales", "Scales of the perturbation", "Validation shrinks them, the entropy holds them up.", _scales),
    Picture("errors", "Is the response right?", "Relative to the optimal weights and their derivative.", _errors,
            needs=("jac_error",)),
    Picture("gates", "Why gates", "A linear network answers a penalty by gates that are sigmoids of its logarithm, one for "
            "each principal axis: strong axes close late.", _gates, needs=("gates",)),
    Picture("by_scale", "How large a perturbation?", "Held: too small a one learns no slope, too large a one another slope.",
            _over_scale, along={"sigma": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0), "tuned": (False,)},
            needs=("lam", "begin", "known_lam")),
    Picture("by_entropy", "How much entropy?", "The scale at the end, and how far the response's slope is off.", _over_entropy,
            along={"entropy": (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)}, needs=("sigma_end", "slope_off")),
    Picture("by_rate", "How fast?", "Largest excess of all starts at the end, by the tuning rate.", _over_rate,
            along={"hyper_rate": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)}, needs=("excess",)),
)

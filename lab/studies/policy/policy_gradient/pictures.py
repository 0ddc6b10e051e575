"""The pictures of policy gradients."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .variables import LQR, RULES, SHORT, TABULAR

_THEORY = (("-1/3", -1 / 3), ("-2/5", -2 / 5), ("-1/2", -1 / 2))
_STEPS = (0.03, 0.1, 0.3, 1.0, 3.0)
_TAIL = 12


def _tint(rule: Any) -> str:
    """One colour for a method in all pictures; plain ascent is grey."""
    return dict(zip(RULES, (draw.MUTED, *draw.colours(4)), strict=True))[str(rule)]


def rules(result: xr.Dataset) -> list[str]:
    return [str(rule) for rule in result.rule.values]


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two standard errors of the mean over seeds."""
    mean = values.mean(axis=0)
    error = 2 * values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    return mean - error, mean + error


def _by_update(result: xr.Dataset, name: str, ylabel: str, *more: Any, below: Any = None, **axes: Any) -> Any:
    t = result["update"].values
    seen = t >= 1
    layers: list[Any] = [*more]
    for rule in rules(result):
        values = result[name].sel(rule=rule).values
        values = values if below is None else below - values
        layers.append(draw.curve(t[seen], values.mean(axis=0)[seen], rule, color=_tint(rule)))
    return draw.plot(*layers, xlabel="update t", ylabel=ylabel, logx=True, **axes)


def _errors(result: xr.Dataset) -> Any:
    """The slopes of the theory fan out below, where no line is in their way."""
    t = result["update"].values.astype(float)
    end = max(float(t[-1]) / 20, 2.0)
    first = result.err.mean("run").values
    known = first[np.isfinite(first)]
    level = 0.1 * float(known.max()) if known.size else 1.0
    fan = [
        draw.curve([1, end], [level, level * end**slope], f"t^({told})", color=draw.MUTED, dash=True)
        for told, slope in _THEORY
    ]
    return _by_update(result, "err", "|d - ∇J|, mean over seeds", *fan, logy=True, height=400)


def _gaps(result: xr.Dataset) -> Any:
    return _by_update(result, "value", "J* - J(θ), mean over seeds", below=float(result.best), ylim=(0, None), height=300)


def _returns(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    for rule in rules(result):
        own = result.sel(rule=rule)
        at = own.steps.mean("run").values
        layers.append(draw.band(at, *_band(own.ret.values), color=_tint(rule)))
        layers.append(draw.curve(at, own.ret.mean("run").values, rule, color=_tint(rule)))
    return draw.plot(*layers, xlabel="steps of the environment", ylabel="return", height=380)


def last_returns(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """Returns at the end along the first step, of the methods that ran."""
    return {rule: result[f"last_{SHORT[rule]}"] for rule in RULES if np.isfinite(result[f"last_{SHORT[rule]}"]).any()}


def _robust(result: xr.Dataset) -> Any:
    lines = last_returns(result)
    return draw.over(
        result.g0, lines, colors={rule: _tint(rule) for rule in lines}, xlabel="step γ₀ (PG and HARPG: a share of it)",
        ylabel="return at the end", height=320,
    )


def alive(result: xr.Dataset, part: int) -> int:
    return max(1, int(result.alive.values[part].sum()))


def _states(result: xr.Dataset, ground: np.ndarray, environment: str) -> list[str]:
    """The numbers of the states of a finite process, beside their places on the circle."""
    if environment != TABULAR:
        return ["" for _ in ground]
    turn = (np.pi / 2 - np.arctan2(ground[:, 1], ground[:, 0])) % (2 * np.pi)
    states = np.round(turn * result.sizes["row"] / (2 * np.pi)).astype(int) % result.sizes["row"]
    return [str(result.row.values[state]) for state in states]


def _episode(result: xr.Dataset, at: int) -> Any:
    """Before and after the training, side by side, from the same start."""
    lines, rewards = result.line.values, result.reward.values
    seen = [lines[part, : alive(result, part)].reshape(-1, 2) for part in range(2)]
    finite = np.concatenate(seen)
    xlim, ylim = draw.window(finite)
    given = sweeping.parameters(result).get("environment", "")
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    layers: list[Any] = []
    for part, name in enumerate(("before", "after")):
        left, now = part * 1.15 * wide, min(at, alive(result, part) - 1)
        trail = lines[part, max(0, now - _TAIL) : now + 1, -1]
        shape = lines[part, now]
        ground = np.unique(finite.round(6), axis=0) if given == TABULAR else trail
        layers += [
            draw.points(ground[:, 0] + left, ground[:, 1], color=draw.MUTED, size=2.0 if given == TABULAR else 0.3),
            draw.curve(trail[:, 0] + left, trail[:, 1], color=draw.MUTED),
            draw.curve(shape[:, 0] + left, shape[:, 1], color=draw.SOURCE),
            draw.points(shape[-1:, 0] + left, shape[-1:, 1], color=draw.TARGET, size=2.5),
            draw.text(
                1.15 * ground[:, 0] + left, 1.15 * ground[:, 1], _states(result, ground, given), side="center",
            ),
            draw.text(
                [xlim[0] + left], [ylim[1] + 0.18 * high], f"{name}: {rewards[part, : now + 1].sum():.4g} so far",
                color=draw.INK,
            ),
        ]
    return draw.frame(
        layers, (xlim[0] - 0.05 * wide, xlim[0] + 2.2 * wide), (ylim[0] - 0.1 * high, ylim[1] + 0.25 * high), bare=True,
        equal=lines.shape[2] > 1 or given in (TABULAR, LQR), height=300,
    )


def plane_of(result: xr.Dataset) -> list[str]:
    """Names of the axes of the map of choices, and of its value."""
    return result.attrs.get("plane", "action | state | probability").split(" | ")


def _choices(result: xr.Dataset) -> Any:
    x, y, value = plane_of(result)
    signed = value == "mean action"
    return draw.heatmap(
        result.choice.values, result.row.values, result.column.values, xlabel=x, ylabel=y, clabel=value, signed=signed,
        clim=None if signed else (0, 1), equal=False, outline=False, height=320,
    )


def _spectrum(result: xr.Dataset) -> Any:
    values = result.spectrum.values
    peak = np.nanmax(values) if np.isfinite(values).any() else 1.0
    count = max(2, int((values > 1e-9 * peak).sum(axis=1).max()))
    at = 1 + np.arange(values.shape[1])
    tints = draw.colours(len(values), ordered=True)
    layers = []
    for row, tint, t in zip(values, tints, result.look.values, strict=True):
        told = f"t = {t}" if t in (result.look.values[0], result.look.values[-1]) else ""
        seen = np.where(row > 1e-9 * peak, row, np.nan)
        layers.append(draw.curve(at, seen, told, color=tint, markers=values.shape[1] < 40))
    note = f"{int(result.null)} of {values.shape[1]} are below a millionth of the largest at the end"
    return draw.plot(
        *layers, xlabel="number of the eigenvalue", ylabel="eigenvalue", logy=True, xlim=(0.5, 1.25 * count), note=note,
        height=320,
    )


def _path(result: xr.Dataset) -> Any:
    ways, drawn = result.way.values, result.sampled.values
    xlim, ylim = draw.window(ways[np.isfinite(ways).all(axis=2)])
    layers: list[Any] = []
    for rule, way, seen in zip(rules(result), ways, drawn, strict=True):
        if rule == "N-PG-IGT" or "HARPG" in rule:
            inside = (seen >= [xlim[0], ylim[0]]) & (seen <= [xlim[1], ylim[1]])
            seen = np.where(inside.all(axis=1, keepdims=True), seen, np.nan)
            if rule == "N-PG-IGT":
                ends = way[:, 0], way[:, 1], seen[:, 0], seen[:, 1]
                layers.append(draw.segments(*ends, color=_tint(rule), width=0.3))
            layers.append(draw.points(seen[:, 0], seen[:, 1], color=_tint(rule), size=0.35))
        layers.append(draw.curve(way[:, 0], way[:, 1], rule, color=_tint(rule)))
    room = xlim[0], xlim[1] + 0.18 * (xlim[1] - xlim[0])  # for a name at the right end
    return draw.plot(*layers, xlim=room, ylim=ylim, xlabel="first principal axis of θ", ylabel="second", height=360)


def _norms(result: xr.Dataset) -> Any:
    logs = [np.log10(np.maximum(result[name].values, 1e-12)) for name in ("g_norm", "bv_norm")]
    low = min(np.quantile(each, 0.005) for each in logs)
    edges = np.linspace(low, max(each.max() for each in logs) + 1e-9, 36)
    middle = (edges[1:] + edges[:-1]) / 2
    shares = [np.histogram(each, edges)[0] / each.size for each in logs]
    return draw.plot(
        draw.bars(middle, shares[0], color=draw.SOURCE), draw.curve(middle, shares[1], color=draw.TARGET),
        *draw.legend([("|g|", draw.SOURCE), ("|B v|", draw.TARGET)], float(edges[1]), (0.0, max(map(np.max, shares)))),
        xlabel="log₁₀ of the length", ylabel="share of episodes", ylim=(0, None), height=260,
    )


def _rates(result: xr.Dataset) -> Any:
    t = result["update"].values
    layers = [
        draw.curve(t[t >= 1], result.eta.sel(rule=rule).values[t >= 1], rule, color=_tint(rule)) for rule in rules(result)
    ]
    return draw.plot(*layers, xlabel="update t", ylabel="weight η of the new gradient", logx=True, logy=True, height=260)


_LAST = tuple(f"last_{short}" for short in SHORT.values())
PICTURES = Pictures(
    Picture("errors", "How far directions are from gradients", "Dashed: how the theory says that they fall, of N-PG-M, "
            "N-PG-IGT and HARPG.", _errors, needs=("err",)),
    Picture("returns", "Return by steps of the environment", "Means over seeds with two standard errors. HARPG takes twice the "
            "episodes of an update.", _returns),
    Picture("gaps", "Distance to the optimal return", "J* - J, computed exactly.", _gaps, needs=("value", "best")),
    Picture("robust", "Return by step", "What is earned at the end, by the length of the first step.", _robust,
            needs=_LAST, along={"g0": _STEPS}),
    Picture("path", "Ways of the parameters", "One seed on two principal axes. Points: where episodes were drawn, ahead of the "
            "way (IGT) or between its last two places (HARPG).", _path),
    Picture("rates", "Memory", "η of each method: the smaller, the longer it remembers.", _rates),
    Picture("episode", "An episode", "Before the training and after it, from one start; grey: where it was.", _episode,
            plays="step"),
    Picture("choices", "What is done where", "The policy that is shown, at the end.", _choices),
    Picture("spectrum", "Spectrum of the Fisher matrix", "From light at first to dark at the end.", _spectrum),
    Picture("norms", "Lengths of single estimates", "Of single episodes at the start; v is a unit vector along "
            "the way of the training.", _norms),
)

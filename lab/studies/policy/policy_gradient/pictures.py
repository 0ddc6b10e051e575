"""The pictures of policy gradients: their captions and findings."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number, percent

from .experiment import LQR, RULES, SHORT, TABULAR
from .story import DIRECTION, LAST, RETURN

_THEORY = (("-1/3", -1 / 3), ("-2/5", -2 / 5), ("-1/2", -1 / 2))
_STEPS = (0.03, 0.1, 0.3, 1.0, 3.0)
_TAIL = 12
_PLANE = "action | state | probability"
_LAST = tuple(f"last_{short}" for short in SHORT.values())


def _tint(rule: Any) -> str:
    """The color of a method in all pictures; plain ascent is gray."""
    return dict(zip(RULES, (draw.MUTED, *draw.colours(4)), strict=True))[str(rule)]


def _rules(result: xr.Dataset) -> list[str]:
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
    for rule in _rules(result):
        values = result[name].sel(rule=rule).values
        values = values if below is None else below - values
        layers.append(draw.curve(t[seen], values.mean(axis=0)[seen], rule, color=_tint(rule)))
    return draw.plot(*layers, xlabel="update t", ylabel=ylabel, logx=True, **axes)


def _errors(result: xr.Dataset) -> Any:
    """The slopes of the theory are drawn below the lines."""
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
    axes = {"below": float(result.best), "ylim": (0, None), "height": 300}
    return _by_update(result, "value", "J* - J(θ), mean over seeds", **axes)


def _returns(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    for rule in _rules(result):
        own = result.sel(rule=rule)
        at = own.steps.mean("run").values
        layers.append(draw.band(at, *_band(own.ret.values), color=_tint(rule)))
        layers.append(draw.curve(at, own.ret.mean("run").values, rule, color=_tint(rule)))
    return draw.plot(*layers, xlabel="steps of the environment", ylabel="return", height=380)


def _last_returns(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """Final returns by the first step, of the methods that ran."""
    return {rule: result[f"last_{SHORT[rule]}"] for rule in RULES if np.isfinite(result[f"last_{SHORT[rule]}"]).any()}


def _robust(result: xr.Dataset) -> Any:
    lines = _last_returns(result)
    return draw.over(
        result.g0,
        lines,
        colors={rule: _tint(rule) for rule in lines},
        xlabel="step γ₀ (PG and HARPG: a fraction of it)",
        ylabel="final return",
        height=320,
    )


def _robust_finding(result: xr.Dataset) -> str:
    return LAST.finding_by(result, "g0", "γ₀", sweeping.parameters(result)["seeds"]) or "All methods diverged"


def _alive(result: xr.Dataset, part: int) -> int:
    return max(1, int(result.alive.values[part].sum()))


def _states(result: xr.Dataset, ground: np.ndarray, environment: str) -> list[str]:
    """The numbers of the states of a finite process, beside their places on the circle."""
    if environment != TABULAR:
        return ["" for _ in ground]
    turn = (np.pi / 2 - np.arctan2(ground[:, 1], ground[:, 0])) % (2 * np.pi)
    states = np.round(turn * result.sizes["row"] / (2 * np.pi)).astype(int) % result.sizes["row"]
    return [str(result.row.values[state]) for state in states]


def _episode(result: xr.Dataset, at: int) -> Any:
    """Episodes before and after training side by side, from the same initial state."""
    lines, rewards = result.line.values, result.reward.values
    seen = [lines[part, : _alive(result, part)].reshape(-1, 2) for part in range(2)]
    finite = np.concatenate(seen)
    xlim, ylim = draw.window(finite)
    given = sweeping.parameters(result).get("environment", "")
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    layers: list[Any] = []
    for part, name in enumerate(("before", "after")):
        left, now = part * 1.15 * wide, min(at, _alive(result, part) - 1)
        trail = lines[part, max(0, now - _TAIL) : now + 1, -1]
        shape = lines[part, now]
        ground = np.unique(finite.round(6), axis=0) if given == TABULAR else trail
        layers += [
            draw.points(ground[:, 0] + left, ground[:, 1], color=draw.MUTED, size=2.0 if given == TABULAR else 0.3),
            draw.curve(trail[:, 0] + left, trail[:, 1], color=draw.MUTED),
            draw.curve(shape[:, 0] + left, shape[:, 1], color=draw.SOURCE),
            draw.points(shape[-1:, 0] + left, shape[-1:, 1], color=draw.TARGET, size=2.5),
            draw.text(1.15 * ground[:, 0] + left, 1.15 * ground[:, 1], _states(result, ground, given), side="center"),
            draw.text(
                [xlim[0] + left],
                [ylim[1] + 0.18 * high],
                f"{name}: {rewards[part, : now + 1].sum():.4g} so far",
                color=draw.INK,
            ),
        ]
    return draw.frame(
        layers,
        (xlim[0] - 0.05 * wide, xlim[0] + 2.2 * wide),
        (ylim[0] - 0.1 * high, ylim[1] + 0.25 * high),
        bare=True,
        equal=lines.shape[2] > 1 or given in (TABULAR, LQR),
        height=300,
    )


def _episode_finding(result: xr.Dataset) -> str:
    steps = [_alive(result, part) for part in range(2)]
    earned = [float(result.reward.values[part, :n].sum()) for part, n in enumerate(steps)]
    if not np.isfinite(earned).all():
        return "The training diverged"
    before, after = (number(each, 4) for each in earned)
    if steps[0] == steps[1]:
        return f"The episode earns {after} after the training, {before} before it"
    return f"The episode earns {after} in {steps[1]} steps after the training, {before} in {steps[0]} before it"


def _choices(result: xr.Dataset) -> Any:
    x, y, value = result.attrs.get("plane", _PLANE).split(" | ")
    signed = value == "mean action"
    return draw.heatmap(
        result.choice.values,
        result.row.values,
        result.column.values,
        xlabel=x,
        ylabel=y,
        clabel=value,
        signed=signed,
        clim=None if signed else (0, 1),
        equal=False,
        outline=False,
        height=320,
    )


def _choices_finding(result: xr.Dataset) -> str:
    value, seen = result.attrs.get("plane", _PLANE).split(" | ")[2], result.choice.values
    if not np.isfinite(seen).all():
        return "The training diverged"
    if value == "probability":
        sure = int((seen.max(axis=1) > 0.9).sum())
        which = f"In {sure} of {len(seen)} states an" if sure else "In no state an"
        return f"{which} action has more than 90% of the probability"
    if value == "mean action":
        return f"Over these states the mean action goes from {number(seen.min(), 2)} to {number(seen.max(), 2)}"
    sure = float((np.maximum(seen, 1 - seen) > 0.9).mean())
    return f"In {percent(sure)} of these states the choice is within 0.1 of the first or of the last action"


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
        *layers,
        xlabel="number of the eigenvalue",
        ylabel="eigenvalue",
        logy=True,
        xlim=(0.5, 1.25 * count),
        note=note,
        height=320,
    )


def _spectrum_finding(result: xr.Dataset) -> str:
    """Null directions have eigenvalues below a millionth of the largest, as everywhere on the page."""
    values = result.spectrum.values
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values) or values[-1].max() <= 0:
        return "The training diverged"
    end, peaks = values[-1], values.max(axis=1)
    null = int((end < 1e-6 * peaks[-1]).sum())
    if not null:
        return f"No direction is null: the smallest eigenvalue is {percent(end.min() / peaks[-1])} of the largest"
    first, last = (number(peak, 2) for peak in peaks[[0, -1]])
    return f"{null} of {len(end)} directions are null; the largest eigenvalue goes from {first} to {last}"


def _path(result: xr.Dataset) -> Any:
    ways, drawn = result.way.values, result.sampled.values
    xlim, ylim = draw.window(ways[np.isfinite(ways).all(axis=2)])
    layers: list[Any] = []
    for rule, way, seen in zip(_rules(result), ways, drawn, strict=True):
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


def _path_finding(result: xr.Dataset) -> str:
    names, way = _rules(result), result.way.values
    seen = [each[np.isfinite(each).all(axis=1)] for each in way]
    far = [float(np.linalg.norm(each[-1] - each[0])) if len(each) else 0.0 for each in seen]
    most = int(np.argmax(far))
    text = f"{names[most]} ends farthest from its start, {number(far[most], 2)} away"
    text = text if len(names) > 1 else f"{names[0]} ends {number(far[0], 2)} from its start"
    if "N-PG-IGT" not in names:
        return text
    which = names.index("N-PG-IGT")
    ahead = np.linalg.norm(result.sampled.values[which] - way[which], axis=1)
    ahead = ahead[np.isfinite(ahead)]
    who = "it" if most == which else "N-PG-IGT"
    return f"{text}; {who} draws episodes up to {number(float(ahead.max()), 2)} ahead" if ahead.size else text


PICTURES = Pictures(
    Picture(
        "errors",
        "Gradient error by update",
        "Lines: distance of the direction d from the exact gradient, mean over seeds. Dashed: rates in theory for N-PG-M, "
        "N-PG-IGT and HARPG.",
        _errors,
        needs=("err",),
        finds=DIRECTION.finding,
    ),
    Picture(
        "returns",
        "Return by steps of the environment",
        "Lines: means over seeds. Bands: two standard errors. HARPG uses twice the episodes per update.",
        _returns,
    ),
    Picture(
        "gaps",
        "Distance to the optimal return",
        "Lines: J* - J, computed exactly, mean over seeds.",
        _gaps,
        needs=("value", "best"),
        finds=RETURN.finding,
    ),
    Picture(
        "robust",
        "Final return by first step",
        "Lines: final return of each method by the first step length γ₀.",
        _robust,
        needs=_LAST,
        along={"g0": _STEPS},
        finds=_robust_finding,
    ),
    Picture(
        "path",
        "Trajectories of the parameters",
        "Lines: one seed on two principal axes. Dots: sampling points, ahead of θ (IGT) or between two updates (HARPG).",
        _path,
        finds=_path_finding,
    ),
    Picture(
        "episode",
        "An episode",
        "Left: before training, right: after it, from one initial state. Gray: previous states. Orange: current state.",
        _episode,
        plays="step",
        finds=_episode_finding,
    ),
    Picture(
        "choices",
        "Final policy",
        "Color: probability of each action in each state, or the mean action by state.",
        _choices,
        finds=_choices_finding,
    ),
    Picture(
        "spectrum",
        "Spectrum of the Fisher matrix",
        "Lines: eigenvalues, from the first update (light) to the last (dark).",
        _spectrum,
        finds=_spectrum_finding,
    ),
)

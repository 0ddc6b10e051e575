"""The pictures of road agents."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.traffic.behaviour import CLASSES

from . import scene
from .variables import PAIRS

TINTS = (draw.SOURCE, draw.MUTED, draw.TARGET)  # under, neutral, over
_MARKS = ("▼", "●", "▲")
_DRIVERS = ("slow", "neutral", "fast")
_RADII = (3.0, 5.0, 10.0, 20.0, 50.0)
_SCALES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_THRESHOLDS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_PULLS = (0.0, 0.03, 0.1, 0.3, 1.0)


def _tint(labels: np.ndarray) -> list[str]:
    return [draw.current().colour(TINTS[int(label) + 1] if np.isfinite(label) else draw.MUTED) for label in labels]


def _strip(result: xr.Dataset, now: int, lower: float, labels: np.ndarray, names: tuple[str, ...], title: str) -> list[Any]:
    """All agents of a frame in the colours of some labels, under their names."""
    (left, right), (_, high) = scene.limits(result)
    here = result.position.values[now] - scene.camera(result)[now] + np.array([0, lower])
    words = [draw.text([left + 0.01 * (right - left)], [high + lower + 1], title, color=draw.INK, up="top")]
    place = right
    for name, tint, mark in reversed([*zip(names, TINTS, _MARKS, strict=True)]):
        place -= draw.current().across(f"{mark}  {name} ") * (right - left)
        words.append(draw.text([place], [high + lower + 1], f"{mark} {name}", color=tint, up="top"))
    y = np.array([2.0, 6.0, 10.0]) + lower
    rules = [draw.segments([left] * 3, y, [right] * 3, y, color=draw.MUTED, width=0.3)] if scene.simulated(result) else []
    agents = draw.same(draw.points(here[:, 0], here[:, 1], color=_tint(labels), size=1.7), agent=np.arange(len(here)))
    return [*rules, agents, *words]


def _play(result: xr.Dataset, at: int) -> Any:
    (left, right), (low, high) = scene.limits(result)
    gap, now = 1.35 * (high - low), scene.now(result, at)
    here = result.position.values[now] - scene.camera(result)[now]
    i, j = np.nonzero(np.triu(result.weight.values[now]))
    weight = np.sqrt(result.weight.values[now][i, j])
    path = result.path.values[at] - scene.ahead(result, now)[None]
    lines = scene.broken(np.concatenate([here[:, None], path], axis=1))
    rings = scene.broken(scene.ellipses(path[:, -1], result.ellipse.values[at]))
    layers = [
        draw.segments(here[i, 0], here[i, 1], here[j, 0], here[j, 1], weight, color=draw.INK, width=2.0),
        draw.curve(lines[:, 0], lines[:, 1], color=draw.GOOD), draw.curve(rings[:, 0], rings[:, 1], color=draw.GOOD),
        *_strip(result, now, 0.0, result.behaviour.values[at], CLASSES, "rule"),
    ]
    known = "driver" in result
    if known:
        layers += _strip(result, now, -gap, result.driver.values, _DRIVERS, "driver")
    seconds = result.sizes["step"] * float(result.frame[1] - result.frame[0])
    return draw.plot(
        *layers, xlim=(left, right), ylim=((low - gap) if known else low, high + 0.25 * (high - low)), yticks=[],
        xlabel="along the road, from the middle (m)", ylabel="lanes", height=420,
        note=f"t = {float(result.moment[at]):.1f} s; ellipses: +{seconds:.3g} s",
    )


def _degrees(result: xr.Dataset, at: int) -> Any:
    """theta of each agent from this frame on, less what it is now."""
    theta, ahead, now = result.theta.values, result.sizes["step"], scene.now(result, at)
    change = theta[now : now + ahead + 1] - theta[now]
    t = result.frame.values[now : now + ahead + 1] - result.frame.values[now]
    dt, threshold = float(result.frame[1] - result.frame[0]), sweeping.parameters(result)["threshold"]
    every = np.concatenate([np.abs(theta[k : k + ahead + 1] - theta[k]).ravel() for k in range(len(theta) - 1)])
    high = max(1.3 * float(np.nanquantile(every, 0.98)), 2 * threshold * dt * ahead, 1e-9)
    whole = np.array([0, ahead * dt])
    layers: list[Any] = [draw.band(whole, -threshold * whole, threshold * whole, color=draw.GOOD)]
    labels = result.behaviour.values[at]
    for label, tint in zip((-1, 0, 1), TINTS, strict=True):
        ways = np.stack([np.broadcast_to(t[:, None], change.shape).T, change.T], axis=2)[labels == label]
        line = scene.broken(ways) if len(ways) else np.full((1, 2), np.nan)
        layers.append(draw.curve(line[:, 0], line[:, 1], color=tint))
    rows = [(f"{name}: {int((labels == i - 1).sum())}", TINTS[i]) for i, name in enumerate(CLASSES)]
    layers += draw.legend(rows[::-1], 0.03 * whole[1], (-0.95 * high, 0.76 * high))
    return draw.plot(*layers, xlim=(0, 1.02 * whole[1]), ylim=(-high, high), xlabel="time from here (s)",
                     ylabel="change of the degree θ", note=f"t = {float(result.moment[at]):.1f} s", height=340)


def _scatter(result: xr.Dataset) -> Any:
    """The last window of the road that is shown: truth above, prediction below."""
    window = scene.window_shown(result)
    threshold = sweeping.parameters(result)["threshold"]
    rates = [result[name].values[window] for name in ("rate", "rate_foretold")]
    labels = [result.label.sel(kind=kind).values[window] for kind in ("rule", "by positions")]
    known = np.abs(np.concatenate(rates))
    peak = max(float(np.nanquantile(known, 0.97)) if np.isfinite(known).any() else 0.0, 2 * threshold, 1e-12)
    n, layers = result.sizes["agent"], []
    for middle, rate, label in zip((1.25, -1.25), rates, labels, strict=True):
        layers.append(draw.band([-1, n], [middle - threshold / peak] * 2, [middle + threshold / peak] * 2, color=draw.GOOD))
        at = middle + np.clip(rate / peak, -1.05, 1.05)
        for value, tint, mark in zip((-1, 0, 1), TINTS, _MARKS, strict=True):
            which = np.flatnonzero(label == value)
            here = (which, at[which], [mark] * which.size) if which.size else ([np.nan], [np.nan], [""])
            layers.append(draw.text(*here, color=tint, side="center"))
    layers += [draw.text([-0.7], [2.42], "truth", color=draw.INK), draw.text([-0.7], [-0.08], "predicted", color=draw.INK)]
    ticks = [(m + d, f"{d * peak:.1g}") for m, ds in ((-1.25, (-1, 0)), (1.25, (0, 1))) for d in ds]
    return draw.plot(*layers, xlim=(-1, n), ylim=(-2.5, 2.65), yticks=ticks, xlabel="agent", ylabel="rate (1/s)", height=380)


def _rmse(result: xr.Dataset) -> Any:
    lines = {str(name): result.rmse.sel(model=name) for name in result.model.values
             if np.isfinite(result.rmse.sel(model=name)).all()}
    dt = float(result.frame[1] - result.frame[0])
    return draw.over(dt * result.step, lines, xlabel="time ahead (s)", ylabel="RMSE (m)", logy=True, ticks=False, height=340)


def _spectrum(result: xr.Dataset, at: int) -> Any:
    values = result.eigvals.values
    shown = min(6, values.shape[1])
    top = 2 * max(float(values.max()), 1e-12)
    low = 5e-6 * top
    kept = np.where(values > low, values, np.nan)
    tints = draw.colours(shown, ordered=True)[::-1]
    lines = [draw.curve(result.frame, kept[:, -1 - i], f"λ{values.shape[1] - i}", color=tints[i]) for i in range(shown)]
    here = draw.curve([float(result.moment[at])] * 2, [low, top], color=draw.INK, dash=True)
    return draw.plot(*lines, here, logy=True, ylim=(low, top), xlabel="time (s)", ylabel="largest eigenvalues", height=340)


def _laplacian(result: xr.Dataset, at: int) -> Any:
    """Agents in order along the road, as they are in this frame."""
    now = scene.now(result, at)
    along = result.position.values[now, :, 0]
    order = np.argsort(np.where(np.isfinite(along), along, np.inf), kind="stable")
    weight = result.weight.values[now][np.ix_(order, order)]
    peak = float(np.quantile(result.theta.fillna(0).max("agent"), 0.9)) or 1.0
    names = [str(int(i)) for i in order]
    return draw.heatmap(np.diag(weight.sum(axis=1)) - weight, names, names, signed=True, clim=(-peak, peak), outline=False,
                        xlabel=f"agent, from the rear to the front at {float(result.moment[at]):.1f} s", ylabel="agent",
                        clabel="L", height=400)


def _regions(result: xr.Dataset, at: int) -> Any:
    """Where the agents of the clusters are in the seconds ahead, and where their means are predicted."""
    (left, right), (low, high) = scene.limits(result)
    now = scene.now(result, at)
    ahead = scene.ahead(result, now)
    after = result.position.values[now + 1 : now + 1 + len(ahead)]
    truth = (after - ahead[: len(after), None]).reshape(-1, 2)
    truth = truth[np.isfinite(truth).all(axis=1)]
    gx, gy = np.linspace(left, right, 90), np.linspace(low, high, 45)
    wide, tall = 0.02 * (right - left), 0.05 * (high - low)
    bump = [np.exp(-((g[:, None] - truth[None, :, i]) ** 2) / (2 * s**2)) for i, (g, s) in enumerate(((gx, wide), (gy, tall)))]
    density = bump[1] @ bump[0].T if len(truth) else np.zeros((45, 90))
    path = result.path.values[at] - ahead[None]
    here = result.position.values[now] - scene.camera(result)[now]
    cluster, k = result.cluster.values[at], int(sweeping.parameters(result)["k"])
    layers: list[Any] = []
    for number, tint in enumerate(draw.colours(k)):
        ours = np.flatnonzero((cluster == number) & np.isfinite(path[:, 0, 0]))
        mean = path[ours].mean(axis=0) if ours.size else np.full((len(ahead), 2), np.nan)
        members = here[cluster == number] if (cluster == number).any() else np.full((1, 2), np.nan)
        layers += [draw.points(members[:, 0], members[:, 1], color=tint, size=1.2),
                   draw.curve(mean[:, 0], mean[:, 1], color=tint, markers=True)]
    peak = float(density.max()) or 1.0
    return draw.heatmap(density / peak, gy, gx, xlabel="along the road, from the middle of all (m)", ylabel="across (m)",
                        outline=False, equal=False, marks=layers, room=(0.001, 0.0), clim=(0, 1.5), height=360)


def _confusion(result: xr.Dataset, pairs: tuple[str, ...]) -> Any:
    """Shares of each true class, side by side."""
    pairs = tuple(pair for pair in pairs if np.isfinite(result.confusion.sel(pair=pair)).all())
    blocks, marks = [], []
    for number, pair in enumerate(pairs):
        counts = result.confusion.sel(pair=pair).values
        blocks += [counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.full((3, 1), np.nan)]
        i, j = np.indices((3, 3)).reshape(2, -1)
        head = draw.current().brief(pair, 0.64 / len(pairs))
        marks += [draw.text(4 * number + j, i, [f"{int(each)}" for each in counts.ravel()], color=draw.INK, side="center"),
                  draw.text([4 * number - 0.45], [2.62], head, color=draw.INK, up="bottom")]
    names = [name for _ in pairs for name in (*CLASSES, "")][:-1]
    return draw.heatmap(np.concatenate(blocks[:-1], axis=1), list(CLASSES), names, xlabel="label that is told", ylabel="truth",
                        clim=(0, 1), outline=False, equal=False, marks=marks, room=(0.001, 0.16), height=300)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _sees(result: xr.Dataset, along: str) -> Any:
    lines = {"driver": result.correlation_driver, "speed": result.correlation_speed}
    return draw.over(result[along], lines, guides={"speed and driver": result.speed_driver}, levels={"": 0.0},
                     ylabel="correlation with the rate", ylim=(-0.6, 1.0), height=320)


def _shares(result: xr.Dataset) -> Any:
    lines = {name: 100 * result.share.sel({"class": name}) for name in CLASSES}
    return draw.over(result.threshold, lines, colors=dict(zip(CLASSES, TINTS, strict=True)), ylabel="agents (%)", ticks=False,
                     ylim=(0, 102), height=320)


def _pull(result: xr.Dataset) -> Any:
    return draw.over(result.b1, {"two streams": result.ade_two}, levels={"ridge": float(result.ade_ridge[0]),
                     "one stream": float(result.ade_one[0])}, ylabel="ADE (m)", ticks=False, height=320)


_SEEN = ("correlation_driver", "correlation_speed", "speed_driver")

PICTURES = Pictures(
    Picture("play", "The road", "Above, agents by the rule, with the edges of their graph (width: √weight) and where "
            "they are predicted (ellipses: one deviation). Below, by who drives.", _play, plays="moment"),
    Picture("degrees", "What the rule looks at", "Change of the degree of each agent over the window that begins here; "
            "who ends above the band is over, who ends below is under.", _degrees, plays="moment"),
    Picture("scatter", "Rates, agent by agent", "The last window of this road: the rate of the degree in truth and from "
            "predicted positions. Green: ±λ; beyond the axis at its edge.", _scatter),
    Picture("rmse", "Errors by time", "Root mean square error on roads that were not seen.", _rmse),
    Picture("spectrum", "The spectrum", "The largest eigenvalues of the Laplacian over time; the line is this moment.",
            _spectrum, plays="moment"),
    Picture("laplacian", "The Laplacian", "Degrees on the diagonal, minus the weights beside it: what is near it is a pair in "
            "neighbouring lanes.", _laplacian, plays="moment"),
    Picture("regions", "Clusters, and where they go", "Dots: agents by their cluster; lines: the predicted mean of each; "
            "ground: where agents truly are in the seconds ahead.", _regions, plays="moment"),
    Picture("confusion", "What is told, and what is true", "Each row is a true class: shares as colours, and how many agents.",
            lambda result: _confusion(result, PAIRS[:2])),
    Picture("by_spectra", "Labels from predicted spectra", "The same of labels that the second stream foretells.",
            lambda result: _confusion(result, PAIRS[2:]), needs=("curve_loss",)),
    Picture("radius", "Does another radius see the driver?", "Correlation of the rate with driver and speed; dashed: of speed "
            "and driver.", lambda result: _sees(result, "radius"), along={"radius": _RADII, "scale": (5.0,)}, needs=_SEEN),
    Picture("scale", "Or another scale?", "The same by the distance over which a weight falls, with all within 50 m.",
            lambda result: _sees(result, "scale"), along={"scale": _SCALES, "radius": (50.0,)}, needs=_SEEN),
    Picture("shares", "The threshold decides", "How many the rule calls under, neutral and over.", _shares,
            along={"threshold": _THRESHOLDS}, needs=("share",)),
    Picture("pull", "What the pull of clusters costs", "Error of two streams by how strongly predictions are pulled.", _pull,
            along={"b1": _PULLS, "train_steps": (200,), "units": (32,)}, needs=("ade_two", "ade_one", "ade_ridge")),
    Picture("training", "Training", "The loss of all three networks.",
            lambda result: draw.training({"loss": result.curve_loss}), needs=("curve_loss",)),
)

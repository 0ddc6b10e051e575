"""Pictures of road agents, each with its caption and finding."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.studies.vocabulary.training import course
from lab.traffic.behaviour import CLASSES
from lab.words import number, percent

TINTS = (draw.SOURCE, draw.MUTED, draw.TARGET)  # under, neutral, over
_MARKS = ("▼", "●", "▲")
_DRIVERS = ("slow", "neutral", "fast")
_RADII = (3.0, 5.0, 10.0, 20.0, 50.0)
_PULLS = (0.0, 0.03, 0.1, 0.3, 1.0)
_ROUND = np.linspace(0, 2 * np.pi, 33)
_ALONG = "along the road, from the median agent (m)"


def _camera(result: xr.Dataset) -> np.ndarray:
    """(frames, 2): median position of the agents, on simulated roads along the road only; interpolated if there are none."""
    at, nobody = result.position.values, np.full(2, np.nan)
    middle = np.stack([np.nanmedian(f, axis=0) if np.isfinite(f).any() else nobody for f in at])
    known = np.isfinite(middle[:, 0])
    middle = np.stack([np.interp(np.arange(len(at)), np.flatnonzero(known), middle[known, i]) for i in (0, 1)], axis=1)
    if _is_simulated(result):
        middle[:, 1] = 0.0
    return middle


def _seconds(result: xr.Dataset) -> float:
    return result.sizes["step"] * float(result.frame[1] - result.frame[0])


def _now(result: xr.Dataset, at: int) -> int:
    return at + int(sweeping.parameters(result)["observed"]) - 1


def _is_simulated(result: xr.Dataset) -> bool:
    return str(result.attrs["data_name"]).startswith("highway-")


def _ahead(result: xr.Dataset, frame: int) -> np.ndarray:
    """(steps, 2): positions of the camera if it keeps the velocity of the last second."""
    middle = _camera(result)
    back = max(frame - 2, 0)
    speed = (middle[frame] - middle[back]) / max(frame - back, 1)
    return middle[frame] + (1 + np.arange(result.sizes["step"]))[:, None] * speed


def _broken(paths: np.ndarray) -> np.ndarray:
    """(n, t, 2) paths as one line with gaps."""
    return np.concatenate([paths, np.full((len(paths), 1, 2), np.nan)], axis=1).reshape(-1, 2)


def _ellipses(center: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(n, 33, 2): outlines of one standard deviation."""
    along, across, rho = shape.T
    y = rho[:, None] * np.cos(_ROUND) + np.sqrt(1 - rho[:, None] ** 2) * np.sin(_ROUND)
    return center[:, None] + np.stack([along[:, None] * np.cos(_ROUND), across[:, None] * y], axis=2)


def _limits(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of both axes relative to the camera that contain all agents in all frames."""
    away = result.position.values - _camera(result)[:, None]
    (left, right), (low, high) = draw.window(away[np.isfinite(away[..., 0])])
    return (left - 10, right + 10), ((-3.0, 15.0) if _is_simulated(result) else (low, high))


def _strip(result: xr.Dataset, now: int, lower: float, labels: Any, names: Any, title: str) -> list[Any]:
    """All agents of a frame, colored by labels, with a legend."""
    (left, right), (_, high) = _limits(result)
    here = result.position.values[now] - _camera(result)[now] + np.array([0, lower])
    words = [draw.text([left + 0.01 * (right - left)], [high + lower + 1], title, color=draw.INK, up="top")]
    place = right
    for name, tint, mark in reversed([*zip(names, TINTS, _MARKS, strict=True)]):
        place -= draw.current().across(f"{mark}  {name} ") * (right - left)
        words.append(draw.text([place], [high + lower + 1], f"{mark} {name}", color=tint, up="top"))
    y, color = np.array([2.0, 6.0, 10.0]) + lower, draw.current().colour
    rules = [draw.segments([left] * 3, y, [right] * 3, y, color=draw.MUTED, width=0.3)] if _is_simulated(result) else []
    tints = [color(TINTS[int(label) + 1] if np.isfinite(label) else draw.MUTED) for label in labels]
    agents = draw.same(draw.points(here[:, 0], here[:, 1], color=tints, size=1.7), agent=np.arange(len(here)))
    return [*rules, agents, *words]


def _play(result: xr.Dataset, at: int) -> Any:
    (left, right), (low, high) = _limits(result)
    gap, now = 1.35 * (high - low), _now(result, at)
    here = result.position.values[now] - _camera(result)[now]
    i, j = np.nonzero(np.triu(result.weight.values[now]))
    weight = np.sqrt(result.weight.values[now][i, j])
    path = result.path.values[at] - _ahead(result, now)[None]
    lines = _broken(np.concatenate([here[:, None], path], axis=1))
    rings = _broken(_ellipses(path[:, -1], result.ellipse.values[at]))
    layers = [
        draw.segments(here[i, 0], here[i, 1], here[j, 0], here[j, 1], weight, color=draw.INK, width=2.0),
        draw.curve(lines[:, 0], lines[:, 1], color=draw.GOOD),
        draw.curve(rings[:, 0], rings[:, 1], color=draw.GOOD),
        *_strip(result, now, 0.0, result.behaviour.values[at], CLASSES, "rule"),
    ]
    known, top = "driver" in result, high + 0.25 * (high - low)
    if known:
        layers += _strip(result, now, -gap, result.driver.values, _DRIVERS, "driver")
    note = f"t = {float(result.moment[at]):.1f} s; ellipses: +{_seconds(result):.3g} s"
    xlim, ylim = (left, right), (low - gap if known else low, top)
    return draw.plot(*layers, xlim=xlim, ylim=ylim, yticks=[], xlabel=_ALONG, ylabel="lanes", height=420, note=note)


def _degrees(result: xr.Dataset, at: int) -> Any:
    """Change of θ of each agent from this frame on."""
    theta, ahead, now = result.theta.values, result.sizes["step"], _now(result, at)
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
        line = _broken(ways) if len(ways) else np.full((1, 2), np.nan)
        layers.append(draw.curve(line[:, 0], line[:, 1], color=tint))
    rows = [(f"{name}: {int((labels == i - 1).sum())}", TINTS[i]) for i, name in enumerate(CLASSES)]
    layers += draw.legend(rows[::-1], 0.03 * whole[1], (-0.95 * high, 0.76 * high))
    look = {"xlabel": "time from here (s)", "ylabel": "change of the degree θ", "height": 340}
    note = f"t = {float(result.moment[at]):.1f} s"
    return draw.plot(*layers, xlim=(0, 1.02 * whole[1]), ylim=(-high, high), note=note, **look)


def _degrees_finding(result: xr.Dataset) -> str:
    labels = result.behaviour.values[np.isfinite(result.behaviour.values)]
    if not labels.size:
        return "No agent stays for an entire window"
    under, neutral, over = (percent((labels == label).mean()) for label in (-1, 0, 1))
    return f"On this road {neutral} of the labels are neutral, {under} under, {over} over"


def _rmse(result: xr.Dataset) -> Any:
    known = result.rmse.dropna("model")
    lines = {str(name): known.sel(model=name) for name in known.model.values}
    times = float(result.frame[1] - result.frame[0]) * result.step
    return draw.over(times, lines, xlabel="time ahead (s)", ylabel="RMSE (m)", logy=True, ticks=False, height=340)


def _rmse_finding(result: xr.Dataset) -> str:
    last = result.rmse.isel(step=-1).dropna("model")
    if not last.size:
        return "No window is for testing"
    best, after = str(last.idxmin().item()), f"After {_seconds(result):.3g} s"
    error, still = (number(float(last.sel(model=name)), 2) for name in (best, "constant velocity"))
    if best == "constant velocity":
        return f"{after} no forecast has a smaller RMSE than constant velocity, {still} m"
    return f"{after} the RMSE is {error} m for {best}, {still} m for constant velocity"


def _mean(paths: np.ndarray, members: np.ndarray) -> np.ndarray:
    return paths[members].mean(axis=0) if members.any() else np.full(paths.shape[1:], np.nan)


def _regions(result: xr.Dataset, at: int) -> Any:
    """Agents by cluster, with the true and the predicted mean of each cluster."""
    xlim, ylim = _limits(result)
    now, k = _now(result, at), int(sweeping.parameters(result)["k"])
    ahead = _ahead(result, now)
    path = result.path.values[at] - ahead[None]
    truth = result.position.values[now + 1 : now + 1 + len(ahead)].swapaxes(0, 1) - ahead[None]
    here = result.position.values[now] - _camera(result)[now]
    layers: list[Any] = []
    for index, tint in enumerate(draw.colours(k)):
        members = result.cluster.values[at] == index
        dots = here[members] if members.any() else np.full((1, 2), np.nan)
        layers.append(draw.points(dots[:, 0], dots[:, 1], color=tint, size=1.2))
        for paths, dash in ((path, False), (truth, True)):
            mean = _mean(paths, members & np.isfinite(path[:, 0, 0]))
            layers.append(draw.curve(mean[:, 0], mean[:, 1], color=tint, dash=dash))
    return draw.plot(*layers, xlim=xlim, ylim=ylim, xlabel=_ALONG, ylabel="across (m)", height=360)


def _regions_finding(result: xr.Dataset) -> str:
    """Mean distance between the true and the predicted mean of a cluster at the last step."""
    off = []
    for at in range(result.sizes["moment"]):
        apart = result.path.values[at, :, -1] - result.position.values[_now(result, at) + result.sizes["step"]]
        there, cluster = np.isfinite(apart).all(axis=1), result.cluster.values[at]
        off += [np.linalg.norm(apart[there & (cluster == one)].mean(0)) for one in np.unique(cluster[there])]
    if not off:
        return "No agent stays for an entire window"
    return f"{_seconds(result):.3g} s ahead the mean of a cluster is {number(np.mean(off), 2)} m from its prediction"


def _confusion(result: xr.Dataset) -> Any:
    """Fractions of each true class, side by side."""
    blocks, marks, known = [], [], np.isfinite(result.confusion.values).all(axis=(1, 2))
    for index, at in enumerate(np.flatnonzero(known)):
        counts = result.confusion.values[at]
        blocks += [counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.full((3, 1), np.nan)]
        i, j = np.indices((3, 3)).reshape(2, -1)
        head = draw.current().brief(str(result.pair.values[at]), 0.64 / known.sum())
        marks += [
            draw.text(4 * index + j, i, [f"{int(each)}" for each in counts.ravel()], color=draw.INK, side="center"),
            draw.text([4 * index - 0.45], [2.62], head, color=draw.INK, up="bottom"),
        ]
    names = [name for _ in range(known.sum()) for name in (*CLASSES, "")][:-1]
    look = {"xlabel": "predicted label", "ylabel": "true label", "clim": (0, 1), "room": (0.001, 0.16), "height": 300}
    rates = np.concatenate(blocks[:-1], axis=1)
    return draw.heatmap(rates, list(CLASSES), names, outline=False, equal=False, marks=marks, **look)


def _radius(result: xr.Dataset) -> Any:
    lines = {"driver": result.correlation_driver, "speed": result.correlation_speed}
    look: dict[str, Any] = {"ylabel": "correlation with the rate", "ylim": (-0.6, 1.0), "height": 320}
    return draw.over(result.radius, lines, guides={"speed and driver": result.speed_driver}, levels={"": 0.0}, **look)


def _radius_finding(result: xr.Dataset) -> str:
    seen = np.abs(result.correlation_driver.values)
    if not np.isfinite(seen).any():
        return "No agent has a neighbor"
    speed = float(np.nanmean(result.speed_driver.values))
    return f"Correlation with driver type: rate at most {np.nanmax(seen):.2f} in absolute value, speed {speed:.2f}"


def _pull(result: xr.Dataset) -> Any:
    levels = {"ridge": float(result.ade_ridge[0]), "one stream": float(result.ade_one[0])}
    return draw.over(
        result.b1, {"two streams": result.ade_two}, levels=levels, ylabel="ADE (m)", ticks=False, height=320
    )


def _pull_finding(result: xr.Dataset) -> str:
    two, one, ridge = result.ade_two.values, float(result.ade_one[0]), float(result.ade_ridge[0])
    if not np.isfinite([*two, one]).any():
        return "No training was completed"
    best = int(np.nanargmin(two))
    lowest = f"Two streams {number(two[best], 3)} m (b₁ = {float(result.b1[best]):g})"
    return f"{lowest}, one stream {number(one, 3)} m, the ridge {number(ridge, 3)} m, with one seed"


_moving = partial(Picture, plays="moment")

PICTURES = Pictures(
    _moving(
        "play",
        "The road",
        "Color: label by the rule (top), driver type (bottom). Black: edges, width √weight. Green: forecasts, "
        "ellipses of one standard deviation.",
        _play,
    ),
    Picture(
        "confusion",
        "Predicted and true labels",
        "Rows: true label. Columns: predicted label. Color: fraction of the row. Numbers: agents.",
        _confusion,
    ),
    _moving(
        "degrees",
        "Degrees and the rule",
        "Lines: change of each agent's degree, colored by label. Green band: ±λ times the time.",
        _degrees,
        finds=_degrees_finding,
    ),
    Picture(
        "radius",
        "Correlation by radius",
        "Lines: correlation of the rate with driver type and speed. Dashed: of speed with driver type.",
        _radius,
        along={"radius": _RADII, "scale": (5.0,)},
        needs=("correlation_driver", "correlation_speed", "speed_driver"),
        finds=_radius_finding,
    ),
    _moving(
        "regions",
        "Clusters and their forecasts",
        "Dots: agents by cluster. Lines: predicted mean of each cluster. Dashed: true mean.",
        _regions,
        finds=_regions_finding,
    ),
    Picture("rmse", "Error by time", "Lines: error of each forecast on held-out roads.", _rmse, finds=_rmse_finding),
    Picture(
        "pull",
        "Error by spectral regularization",
        "Line: error of two streams. Level lines: ridge, and one stream.",
        _pull,
        along={"b1": _PULLS, "train_steps": (200,), "units": (32,)},
        needs=("ade_two", "ade_one", "ade_ridge"),
        finds=_pull_finding,
    ),
    Picture(
        "training",
        "Training",
        "Line: loss of all three networks, on the scenes of each step.",
        lambda result: draw.training({"loss": result.curve_loss}),
        needs=("curve_loss",),
        finds=lambda result: course(result.curve_loss),
    ),
)

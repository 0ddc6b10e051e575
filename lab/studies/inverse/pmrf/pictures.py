"""Pictures of PMRF, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.vocabulary.training import course
from lab.words import number

_SIGMAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0)
_COMPETITORS = ("posterior mean", "optimal transport", "posterior sampling", "flow given Y", "flow from Y")
_WAYS = {"PMRF": "from X*", "flow given Y": "from noise, given Y", "flow from Y": "from Y"}
_LOST = "The flow is not finite"


def _tints() -> dict[str, str]:
    return {"PMRF": draw.SOURCE} | dict(zip(_COMPETITORS, (draw.INK, *draw.colours(6)[1:5]), strict=True))


def _steps(result: xr.Dataset) -> int:
    return int(sweeping.parameters(result)["euler_steps"])


def _levels(result: xr.Dataset) -> dict[str, float]:
    return {"MMSE": float(result.mmse), "MMSE + W₂²": float(result.d_max), "2 MMSE": float(result.mse_sampling)}


def _times(error: xr.DataArray | float, mmse: xr.DataArray | float) -> str:
    return number(float(error) / max(float(mmse), 1e-300), 3)


def _plane(result: xr.Dataset) -> Any:
    tints, least = _tints(), float(result.mmse)
    mse, w2 = (result[name].to_series().to_dict() for name in ("mse", "w2"))
    high = float(max(result.w2_steps.max(), result.w2.max()))
    shown = [mse[name] for name in (*_COMPETITORS, "PMRF") if np.isfinite(mse[name])]
    left, right = min(least, *result.mse_steps.values), max(shown)
    low, top, right = left - 0.08 * (right - left), 1.12 * high, right + 0.08 * (right - left)
    rows = [("optimal trade-off", draw.MUTED), ("PMRF, by steps", draw.SOURCE)]
    marks = []
    for name in _COMPETITORS:
        x, y = (v if np.isfinite(mse[name]) else np.nan for v in (mse[name], w2[name]))
        marks.append(draw.points([x], [y], color=tints[name], size=2.0))
        rows.append((name if np.isfinite(mse[name]) else f"{name}: Y is shorter than X", tints[name]))
    walk = result.mse_steps.values, result.w2_steps.values
    span, named, last = np.array([[right - low], [top]]), [], np.full(2, np.inf)
    for k, at in zip(result["count"].values, (walk / span).T, strict=True):
        clear = np.abs(at - last).max() > 0.06  # of the number before
        named.append(str(k) if clear else "")
        last = at if clear else last
    floor, wide = float(result.w2_floor), max(draw.current().across(name) for name, _ in rows)
    rows += [("level line: two samples of X", draw.MUTED)] if floor else []
    return draw.plot(
        draw.curve(*result.curve.values, color=draw.MUTED, dash=True),
        draw.curve(*walk, color=draw.SOURCE, markers=True),
        draw.text(walk[0] + 0.015 * (right - low), walk[1] + 0.02 * top, named, color=draw.SOURCE),
        *marks,
        draw.points([mse["PMRF"]], [w2["PMRF"]], color=draw.SOURCE, size=4.5),
        draw.hline(floor if floor else np.nan),
        *draw.legend(rows, low + min(0.52, 0.97 - wide) * (right - low), (0.0, (0.98 if wide < 0.45 else 0.9) * top)),
        xlabel="E|X - X̂|²",
        ylabel="W₂ from the distribution of X",
        xlim=(low, right),
        ylim=(-0.04 * top, top),
        height=400,
        note=f"large point: K = {_steps(result)}",
    )


def _plane_finding(result: xr.Dataset) -> str:
    if not np.isfinite(result.mse_pmrf):
        return _LOST
    found = []
    for name in ("PMRF", "posterior sampling"):
        one = result.sel(estimator=name)
        found.append(f"{_times(one.mse, result.mmse)} times the MMSE at W₂ = {number(float(one.w2), 2)}")
    return f"PMRF has {found[0]}, sampling {found[1].replace(' the MMSE', '')}"


def _images(result: xr.Dataset) -> Any:
    tiles, rows = result.images.values, [str(name) for name in result.shown.values]
    if "net_images" in result:
        place = len(rows) - 2
        tiles = np.insert(tiles, place, result.net_images.values, axis=0)
        rows.insert(place, "network")
    return draw.mosaic(tiles, rows)


def _paths(result: xr.Dataset, at: int) -> Any:
    ways = {title: draw.plane(result.path.sel(flow=name)) for name, title in _WAYS.items()}
    ways = {title: way for title, way in ways.items() if np.isfinite(way).all()}
    goals = {title: draw.behind(result.goal.values, way) for title, way in ways.items()}
    return draw.film(ways, at, goals=goals, tails=40, age=40, note=f"t = {float(result.t[at]):.2f}")


def _paths_finding(result: xr.Dataset) -> str:
    far = {}
    for flow, way in _WAYS.items():
        path = result.path.sel(flow=flow)
        if np.isfinite(path).all():
            apart = path.isel(t=-1) - path.isel(t=0)
            far[way] = number(float(np.sqrt((apart**2).sum("axis")).mean()), 2)
    found = ", ".join(f"{each} {way.replace(',', '')}" for way, each in far.items())
    return f"Mean displacement: {found}" if far else _LOST


def _error(result: xr.Dataset) -> Any:
    lines, here = {"": result.mse_steps}, _steps(result)
    return draw.over(result["count"], lines, levels=_levels(result), here=here, logx=True, ylabel="E|X - X̂|² of PMRF")


def _error_finding(result: xr.Dataset) -> str:
    if not np.isfinite(result.mse_steps[[0, -1]]).all():
        return _LOST
    first, last = (_times(result.mse_steps[at], result.mmse) for at in (0, -1))
    return f"The error is {first} times the MMSE after one step, {last} times after {int(result['count'][-1])}"


def _network(result: xr.Dataset) -> Any:
    exact = draw.plane(result.path.sel(flow="PMRF"))
    panels = {"PMRF, K steps": exact[-1], "network, K steps": result.net_end.values, "X": result.goal.values}
    if result.sizes["axis"] == 1:  # quantiles
        wide = np.linspace(0, np.ptp(result.goal.values), len(exact[-1]))
        panels = {name: np.c_[wide, np.sort(values[:, -1])] for name, values in panels.items()}
    xlim, ylim = draw.window(*panels.values())
    drawn = {name: draw.Panel(at, color=draw.TARGET if name == "X" else draw.SOURCE) for name, at in panels.items()}
    return draw.particles(drawn, xlim, ylim, height=300)


def _sigma(result: xr.Dataset) -> Any:
    known = bool(np.isfinite(result.mse_limit).all())
    lines = {"PMRF, K steps": result.mse_pmrf} | ({"infinitely many steps": result.mse_limit} if known else {})
    levels = _levels(result.mean("sigma_s"))
    return draw.over(result.sigma_s, lines, levels=levels, logx=True, ylabel="E|X - X̂|²", ticks=False)


def _sigma_finding(result: xr.Dataset) -> str:
    share = (result.mse_pmrf / result.mse_sampling).sortby("sigma_s").dropna("sigma_s")
    if not share.size:
        return _LOST
    (low, high), (first, last) = share.sigma_s.values[[0, -1]], share.values[[0, -1]]
    return f"PMRF has {first:.0%} of the error of a posterior sample at σₛ = {low:g}, {last:.0%} at {high:g}"


def possible(study: Study, data: Data) -> list[str]:
    """The tasks for which the study is defined: some need longer data, or noise at the start."""

    def is_taken(task: str) -> bool:
        try:
            study.but(task=task).check(data)
        except ValueError:
            return False
        return True

    return [task for task in study.parameters()["task"].objects if is_taken(task)]


def _tasks(result: xr.Dataset) -> Any:
    tints, at = _tints(), np.arange(result.sizes["task"], dtype=float)
    names = ("optimal transport", "PMRF", "posterior sampling", "flow from Y")
    lines = (result[name] for name in ("d_max", "mse_pmrf", "mse_sampling", "mse_from_y"))
    shares = {name: (line / result.mmse).values for name, line in zip(names, lines, strict=True)}
    top = float(np.nanmax([np.nanmax(values) for values in shares.values()]))
    bars = [
        draw.bars(at + 0.2 * (k - 1.5), np.nan_to_num(values), width=0.19, color=tints[name])
        for k, (name, values) in enumerate(shares.items())
    ]
    legend = draw.legend([(name, tints[name]) for name in shares], -0.45, (0.0, 1.45 * top))
    return draw.plot(
        *bars,
        draw.hline(1.0, "MMSE"),
        *legend,
        xlabel="",
        ylabel="error / MMSE",
        ylim=(0, 1.5 * top),
        xlim=(-0.5, at[-1] + 0.5),
        xticks=[(float(k), str(name)) for k, name in zip(at, result.task.values, strict=True)],
    )


def _tasks_finding(result: xr.Dataset) -> str:
    shares = []
    for name in ("mse_pmrf", "mse_from_y"):
        share = (result[name] / result.mse_sampling).to_series().dropna()
        low, high = (f"{share.min():.0%}", f"{share.max():.0%}") if share.size else ("", "")
        shares.append(low if low == high else f"{low} to {high}")
    if not shares[0]:
        return _LOST
    found = f"PMRF has {shares[0]} of the error of sampling"
    return f"{found}, the flow from Y {shares[1]}" if shares[1] else found


PICTURES = Pictures(
    Picture(
        "plane",
        "Error and distance from the data",
        "Line: PMRF by number of steps K (numbers). Dashed: optimal trade-off. Dots: other estimators. Left: small error. "
        "Down: near the data distribution.",
        _plane,
        finds=_plane_finding,
    ),
    Picture(
        "images",
        "Reconstructions",
        "Rows, from the top: measurement, posterior mean, PMRF in few and in K steps, posterior sample, truth.",
        _images,
        needs=("images",),
        finds="The error of PMRF is {mse_pmrf:.3g}, of the posterior mean {mmse:.3g}, of a posterior sample "
        "{mse_sampling:.3g}",
    ),
    Picture(
        "paths",
        "Trajectories of three flows",
        "Blue: particles. Gray tails: their trajectories. Orange: clean x.",
        _paths,
        plays="t",
        finds=_paths_finding,
    ),
    Picture(
        "error",
        "Error by number of steps",
        "Line: error of PMRF. Level lines: MMSE (posterior mean), MMSE + W₂² (optimal map), 2 MMSE (posterior sampling).",
        _error,
        finds=_error_finding,
    ),
    Picture(
        "sigma",
        "Error by noise of the start",
        "Lines: error of PMRF in K and in infinitely many steps. Level lines: MMSE, MMSE + W₂², 2 MMSE (posterior sampling).",
        _sigma,
        along={"sigma_s": _SIGMAS},
        needs=("mse_pmrf", "mse_limit", "mmse", "d_max", "mse_sampling"),
        finds=_sigma_finding,
    ),
    Picture(
        "tasks",
        "Error by degradation",
        "Bars: error as a multiple of the MMSE. Where Y has fewer coordinates than X, the flow from Y has no bar.",
        _tasks,
        along={"task": possible},
        needs=("mse_pmrf", "mmse", "d_max", "mse_sampling", "mse_from_y"),
        finds=_tasks_finding,
    ),
    Picture(
        "network",
        "Trained network and exact flow",
        "Blue: endpoints of the exact flow and of the network's flow. Orange: clean x.",
        _network,
        needs=("net_end",),
        finds="Error: network {net_mse:.2g}, PMRF {mse_pmrf:.2g}; W₂: network {net_w2:.2g}, two samples {net_floor:.2g}",
    ),
    Picture(
        "training",
        "Training",
        "Line: training loss; its minimum is the variance of X - Z₀ given Z_t.",
        lambda result: draw.training({"network": result.curve_loss}, ylim=(0, None)),
        needs=("curve_loss",),
        finds=lambda result: course(result.curve_loss),
    ),
)

"""The pictures of posterior-mean rectified flow."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .variables import possible

_SIGMAS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0)
_NOISES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
_COMPETITORS = ("posterior mean", "optimal transport", "posterior sampling", "flow given Y", "flow from Y")
_LINES = 40
WAYS = {"PMRF": "from X*", "flow given Y": "from noise, given Y", "flow from Y": "from Y"}


def _tints() -> dict[str, str]:
    return {"PMRF": draw.SOURCE} | dict(zip(_COMPETITORS, (draw.INK, *draw.colours(6)[1:5]), strict=True))


def _steps(result: xr.Dataset) -> int:
    return int(sweeping.parameters(result)["euler_steps"])


def _levels(result: xr.Dataset) -> dict[str, float]:
    return {"MMSE": float(result.mmse), "MMSE + W₂²": float(result.d_max), "2 MMSE": float(result.mse_sampling)}


# ---- one run -----------------------------------------------------------------------------------------------------


def _plane(result: xr.Dataset) -> Any:
    tints, least = _tints(), float(result.mmse)
    mse, w2 = (result[name].to_series().to_dict() for name in ("mse", "w2"))
    high = float(max(result.w2_steps.max(), result.w2.max()))
    shown = [mse[name] for name in (*_COMPETITORS, "PMRF") if np.isfinite(mse[name])]
    left, right = min(least, *result.mse_steps.values), max(shown)
    low, top, right = left - 0.08 * (right - left), 1.12 * high, right + 0.08 * (right - left)
    rows = [("best of all", draw.MUTED), ("PMRF, by steps", draw.SOURCE)]
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
        xlabel="E|X - X̂|²", ylabel="W₂ from the law of X", xlim=(low, right), ylim=(-0.04 * top, top), height=400,
        note=f"large point: K = {_steps(result)}",
    )


def _images(result: xr.Dataset) -> Any:
    tiles, rows = result.images.values, [str(name) for name in result.shown.values]
    if "net_images" in result:
        place = len(rows) - 2
        tiles = np.insert(tiles, place, result.net_images.values, axis=0)
        rows.insert(place, "network")
    return draw.mosaic(tiles, rows)


def _ways(result: xr.Dataset) -> dict[str, np.ndarray]:
    ways = {title: draw.plane(result.path.sel(flow=name)) for name, title in WAYS.items()}
    return {title: way for title, way in ways.items() if np.isfinite(way).all()}


def _paths(result: xr.Dataset, at: int) -> Any:
    ways = _ways(result)
    goals = {title: draw.behind(result.goal.values, way) for title, way in ways.items()}
    return draw.film(ways, at, goals=goals, tails=_LINES, age=40, note=f"t = {float(result.t[at]):.2f}")


def _error(result: xr.Dataset) -> Any:
    lines, here = {"": result.mse_steps}, _steps(result)
    return draw.over(result["count"], lines, levels=_levels(result), here=here, logx=True, ylabel="E|X - X̂|² of PMRF")


def _covariance(result: xr.Dataset) -> Any:
    counts, errors = result["count"].values, result.cov_error_steps.values
    return draw.over(
        result["count"], {"PMRF": errors}, guides={"1 / K": errors[2] * counts[2] / counts}, here=_steps(result), logx=True,
        logy=True, ylabel="|Cov X̂ - Cov X| / |Cov X|",
    )


def _table(result: xr.Dataset) -> Any:
    columns = {"E|X - X̂|²": result.mse, "over MMSE": result.mse / result.mmse, "W₂": result.w2, "covariance": result.cov_error}
    return draw.table({"estimator": result.estimator.values.tolist()} | {name: each.values for name, each in columns.items()})


def _quiver(result: xr.Dataset, at: int) -> Any:
    gx, gy = np.meshgrid(result.gx.values, result.gy.values)
    v = result.velocity.values
    step = float(result.gx[1] - result.gx[0])
    arrow = v[at] * step / (np.quantile(np.linalg.norm(v, axis=3), 0.9) or 1.0)
    arrow = arrow * np.minimum(1, 1.4 * step / np.maximum(np.linalg.norm(arrow, axis=2, keepdims=True), 1e-12))
    x, y = (gx + arrow[..., 0]).ravel(), (gy + arrow[..., 1]).ravel()
    now = result.path.sel(flow="PMRF").interp(t=float(result.moment[at])).values
    return draw.plot(
        draw.points(*result.goal.values.T, color=draw.TARGET, size=0.15, alpha=0.35),
        draw.points(*now.T, color=draw.SOURCE, size=0.15, alpha=0.6),
        draw.segments(gx.ravel(), gy.ravel(), x, y, color=draw.INK, width=0.7),
        draw.points(x, y, color=draw.INK, size=0.12),
        xlabel="x₁", ylabel="x₂", equal=True, height=400, note=f"t = {float(result.moment[at]):.2f}",
        xlim=(gx.min() - step, gx.max() + step), ylim=(gy.min() - step, gy.max() + step),
    )


def _density(result: xr.Dataset) -> Any:
    x, top, (mean, flow, clean) = result.x.values, float(result.density.max()), result.density.values
    rows = [("posterior mean", draw.MUTED), (f"PMRF, K = {_steps(result)}", draw.SOURCE), ("X", draw.TARGET)]
    return draw.plot(
        draw.bars(x, flow, color=draw.SOURCE), draw.curve(x, mean, color=draw.MUTED), draw.curve(x, clean, color=draw.TARGET),
        *draw.legend(rows, float(x[0]), (0.0, 1.1 * top)),
        xlabel="x", ylabel="density", ylim=(0, 1.15 * top),
    )


def _network(result: xr.Dataset) -> Any:
    exact = draw.plane(result.path.sel(flow="PMRF"))
    panels = {"PMRF, K steps": exact[-1], "network, K steps": result.net_end.values, "X": result.goal.values}
    if result.sizes["axis"] == 1:  # quantiles
        wide = np.linspace(0, np.ptp(result.goal.values), len(exact[-1]))
        panels = {name: np.c_[wide, np.sort(values[:, -1])] for name, values in panels.items()}
    xlim, ylim = draw.window(*panels.values())
    drawn = {name: draw.Panel(cloud, color=draw.TARGET if name == "X" else draw.SOURCE) for name, cloud in panels.items()}
    return draw.particles(drawn, xlim, ylim, height=300)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _limit(result: xr.Dataset) -> dict[str, Any]:
    known = bool(np.isfinite(result.mse_limit).all())
    return {"PMRF, K steps": result.mse_pmrf} | ({"the flow itself": result.mse_limit} if known else {})


def _sigma(result: xr.Dataset) -> Any:
    levels = _levels(result.mean("sigma_s"))
    return draw.over(result.sigma_s, _limit(result), levels=levels, logx=True, ylabel="E|X - X̂|²", ticks=False)


def _noise(result: xr.Dataset) -> Any:
    lines = {"posterior sampling": result.mse_sampling, "flow from Y": result.mse_from_y, "MMSE + W₂²": result.d_max}
    lines |= _limit(result)
    shares = {name: line / result.mmse for name, line in lines.items() if np.isfinite(line).all()}
    return draw.over(result.noise, shares, levels={"MMSE": 1.0}, logx=True, ylabel="error / MMSE")


def _tasks(result: xr.Dataset) -> Any:
    tints, at = _tints(), np.arange(result.sizes["task"], dtype=float)
    names = ("optimal transport", "PMRF", "posterior sampling", "flow from Y")
    lines = (result[name] for name in ("d_max", "mse_pmrf", "mse_sampling", "mse_from_y"))
    shares = {name: (line / result.mmse).values for name, line in zip(names, lines, strict=True)}
    top = float(np.nanmax([np.nanmax(values) for values in shares.values()]))
    bars = [draw.bars(at + 0.2 * (k - 1.5), np.nan_to_num(values), width=0.19, color=tints[name])
            for k, (name, values) in enumerate(shares.items())]
    return draw.plot(
        *bars, draw.hline(1.0, "MMSE"), *draw.legend([(name, tints[name]) for name in shares], -0.45, (0.0, 1.45 * top)),
        xlabel="", ylabel="error / MMSE", ylim=(0, 1.5 * top), xlim=(-0.5, at[-1] + 0.5),
        xticks=[(float(k), str(name)) for k, name in zip(at, result.task.values, strict=True)],
    )


PICTURES = Pictures(
    Picture("plane", "Error and distance from the law of the data", "Left: small error; down: near the data distribution. "
            "Dashed: the optimal trade-off. PMRF moves from one end to the other as K grows.", _plane),
    Picture("images", "What becomes of a measurement", "From above: what was measured, the posterior mean, PMRF in few and "
            "many steps, a sample of the posterior, and the truth.", _images, needs=("images",)),
    Picture("paths", "Three ways to the data", "Each particle from its start (grey tail) to where it ends; orange: the x that "
            "were measured. From the posterior mean the way is short.", _paths, plays="t"),
    Picture("error", "Error against steps", "One step gives the posterior mean, where the start has no noise; "
            "more of them cost error.", _error),
    Picture("covariance", "How the covariance is reached", "Euler's method is of order one: ten times the steps, a tenth of "
            "the error.", _covariance),
    Picture("sigma", "What the noise of the start costs", "Small σₛ costs almost no error, but many steps where Y does "
            "not determine x. With large σₛ the error exceeds that of a posterior sample.", _sigma, along={"sigma_s": _SIGMAS},
            needs=("mse_pmrf", "mse_limit", "mmse", "d_max", "mse_sampling")),
    Picture("levels", "From little noise to much", "Errors as multiples of the MMSE: posterior sampling has 2 at any noise.",
            _noise, along={"noise": _NOISES},
            needs=("mse_pmrf", "mse_limit", "mmse", "d_max", "mse_sampling", "mse_from_y")),
    Picture("tasks", "What is measured", "Errors as multiples of the MMSE. There is no flow from Y where Y is shorter.",
            _tasks, along={"task": possible},
            needs=("mse_pmrf", "mmse", "d_max", "mse_sampling", "mse_from_y")),
    Picture("estimators", "All estimators", "Error, also as a multiple of the MMSE, distance from X, and error of the "
            "covariance.", _table),
    Picture("velocity", "Where the flow leads", "The velocity of PMRF, with its particles (blue) and x (orange). Play it.",
            _quiver, needs=("velocity",), plays="moment"),
    Picture("density", "Histograms on a line", "The posterior mean is too narrow; the flow spreads it to the law of x.",
            _density, needs=("density",)),
    Picture("network", "A network in place of the exact flow", "Where the particles end, beside the x that were measured.",
            _network, needs=("net_end",)),
    Picture("training", "Training", "The loss of the network: what is left of it is how little Z_t tells of x.",
            lambda result: draw.training({"network": result.curve_loss}, ylim=(0, None)), needs=("curve_loss",)),
)

"""Pictures of least squares on repelling points, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.words import number

_TITLES = {
    "iid": "i.i.d. μ",
    "volume": "volume μ",
    "iid-optimal": "i.i.d. Christoffel",
    "volume-optimal": "volume Christoffel",
    "dpp": "DPP",
}
_NAMES = {
    "iid": "i.i.d. sampling",
    "volume": "volume sampling",
    "iid-optimal": "i.i.d. Christoffel sampling",
    "volume-optimal": "volume-rescaled sampling",
    "dpp": "the DPP",
}


STABLE = Comparison(
    "stable",
    "fraction of stable designs",
    _NAMES,
    "higher",
    result="probability",
    along="design",
    at={"n_over_m": "oversampling"},
    share=True,
    ours="dpp",
)
_FREE = "iid-optimal"  # compared with the DPP
_WITHIN = "f lies in the space: every fit is exact, whatever the design"


def _tint(design: str) -> str:
    blue, orange, green, purple = draw.colours(4)
    tints = {"dpp": blue, "iid-optimal": orange, "volume-optimal": green, "volume": purple}
    return tints.get(design, draw.current().muted)


def _ratio(result: xr.Dataset) -> int:
    return int(sweeping.parameters(result)["oversampling"])


def _first(n: np.ndarray, holds: np.ndarray) -> str:
    """The first n/m at which something holds."""
    return f"at n = {_times(int(n[holds.argmax()]))}" if holds.any() else f"not even at n = {_times(int(n[-1]))}"


def _times(ratio: int) -> str:
    return f"{ratio} m" if ratio > 1 else "m"


def _exact(result: xr.Dataset) -> bool:
    return not bool((result.err2_best > 1e-20).all())


def _square(values: np.ndarray) -> np.ndarray:
    side = round(values.shape[-1] ** 0.5)
    return values.reshape(*values.shape[:-1], side, side)


def _window(grid: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    side = round(len(grid) ** 0.5)
    half = (grid[1, 0] - grid[0, 0]) / 2
    low, high = grid[0] - half, grid[side * side - 1] + half
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _so_far(points: np.ndarray, count: int, m: int) -> np.ndarray:
    """The first ``count`` of m points; the others are nowhere, so that every frame has as many."""
    return np.where(np.arange(m)[:, None] < count, points[:m], np.nan)


def _chain(result: xr.Dataset, frame: int) -> Any:
    m = result.sizes["step"]
    points = result.points.isel(kept=0)
    dpp, free = (points.sel(design=name).values[:m] for name in ("dpp", "iid-optimal"))
    note = f"{frame} of {m} points"
    grid, chain, first = result.grid.values, result.conditional.values, result.christoffel.values
    if result.tabled:
        return _chain_rows(result, frame, note)
    if result.sizes["axis"] == 1:
        x = grid[:, 0]
        top = 1.15 * float(np.quantile(chain.max(axis=0), 0.9))
        at = float(dpp[frame, 0])
        height = min(float(np.interp(at, x, chain[frame])), top)
        layers = [
            draw.curve(x, first, color=draw.TARGET, dash=True),
            draw.curve(x, chain[frame]),
            draw.segments([at], [-0.08 * top], [at], [height], color=draw.INK),
        ]
        for row, (name, where, tint) in enumerate((("DPP", dpp, draw.SOURCE), ("independent", free, draw.TARGET))):
            y = -(0.08 + 0.1 * row) * top
            seen = _so_far(where, frame, m)[:, 0]
            size = np.where(np.arange(m) == frame - 1, 2.0, 0.9)
            layers.append(draw.points(seen, np.full(m, y), color=tint, size=size))
            layers.append(draw.text([x[-1] + 0.02 * np.ptp(x)], [y], name, color=tint))
        layers.append(draw.text([x[-1] + 0.36 * np.ptp(x)], [0.97 * top], note, up="top", side="right"))
        return draw.plot(
            *layers,
            xlabel="x",
            ylabel="density of the next point",
            ylim=(-0.24 * top, top),
            xlim=(x[0] - 0.02 * np.ptp(x), x[-1] + 0.36 * np.ptp(x)),
            height=380,
            xticks=[round(float(tick), 2) for tick in np.linspace(x[0], x[-1], 5)],
        )
    xlim, ylim = _window(grid)
    peak = float(np.quantile(chain.max(axis=0), 0.97))
    panels = {
        "DPP, density of the next point": draw.Panel(_so_far(dpp, frame, m)[:, :2], density=_square(chain[frame])),
        "independent": draw.Panel(_so_far(free, frame, m)[:, :2], density=_square(first), color=draw.TARGET),
    }
    return draw.particles(panels, xlim, ylim, peak=peak, size=0.9, note=note, height=380)


def _chain_rows(result: xr.Dataset, frame: int, note: str) -> Any:
    m = result.sizes["step"]
    shown = result.isel(kept=0)
    layers, grid = [], result.grid.values
    chance = result.conditional.values[frame] * len(grid)
    rows = grid if grid.shape[1] == 2 else np.c_[grid, result.f.values]
    layers.append(draw.points(*rows.T, color=draw.MUTED, size=np.clip(chance, 0.02, 8) * 0.35, alpha=0.6))
    for name, tint in (("iid-optimal", draw.TARGET), ("dpp", draw.SOURCE)):
        one = shown.sel(design=name)
        points, y = one.points.values[:m], one["values"].values[:m]
        at = points if points.shape[1] == 2 else np.c_[points, y]
        layers.append(draw.points(*_so_far(at, frame, m).T, color=tint, size=1.8))
    return draw.plot(
        *layers,
        note=f"{note}: DPP blue, independent orange",
        xlabel=str(result.axis.values[0]),
        ylabel=str(result.axis.values[1]) if grid.shape[1] == 2 else "value",
        height=400,
    )


def _stability(result: xr.Dataset) -> Any:
    at = result.n_over_m.values
    delta = sweeping.parameters(result)["delta"]
    lines = [
        draw.curve(at, result.probability.sel(design=name).values, _TITLES[name], color=_tint(name), markers=True)
        for name in result.design.values.tolist()
    ]
    return draw.plot(
        *lines,
        draw.vline(_ratio(result), "here", color=draw.MUTED, dash=True),
        xlabel="n/m",
        ylabel=f"P(λmin ≥ {1 - delta:.3g})",
        ylim=(-0.02, 1.16),
        yticks=[0, 0.25, 0.5, 0.75, 1],
    )


def _stability_finding(result: xr.Dataset) -> str:
    n = result.n_over_m.values
    ours, free = (_first(n, result.probability.sel(design=name).values >= 0.5) for name in ("dpp", _FREE))
    same = "too" if ours == free else free
    return f"Half of the DPP designs are stable {ours}, of the {_TITLES[_FREE]} ones {same}"


def _errors(result: xr.Dataset) -> Any:
    at, layers = result.n_over_m.values, []
    for name in result.design.values.tolist():
        median, high = (result.ratio_quantile.sel(design=name, level=level).values for level in (0.5, 0.95))
        layers += [
            draw.curve(at, high, color=_tint(name), dash=True),
            draw.curve(at, median, _TITLES[name], color=_tint(name), markers=True),
        ]
    largest = float(result.ratio_quantile.sel(level=0.95).max())
    return draw.plot(
        *layers,
        draw.hline(1.0, color=draw.MUTED),
        draw.vline(_ratio(result), "here", color=draw.MUTED, dash=True),
        logy=True,
        xlabel="n/m",
        ylabel="squared error / best",
        ylim=(0.9, min(1.1 * largest, 1e4) if largest > 1 else 10.0),
        height=340,
    )


def _errors_finding(result: xr.Dataset) -> str:
    if _exact(result):
        return _WITHIN
    at = _ratio(result)
    high = result.ratio_quantile.sel(n_over_m=at, level=0.95)
    ours, free = (number(float(high.sel(design=name)), 2) for name in ("dpp", _FREE))
    return f"95% quantile of the squared-error ratio at n = {_times(at)}: {ours} (DPP), {free} ({_TITLES[_FREE]})"


def _fit(result: xr.Dataset) -> Any:
    name, n = sweeping.parameters(result)["sampler"], _ratio(result) * result.sizes["step"]
    one = result.isel(kept=0).sel(design=name)
    points, weights, values = (one[key].values[:n] for key in ("points", "weights", "values"))
    fit, best, f = result.fit.sel(design=name).values, result.best_fit.values, result.f.values
    tint = _tint(name)
    size = np.clip(1.2 * weights / weights.mean(), 0.25, 6)
    if result.tabled:
        low, high = float(f.min()), float(f.max())
        return draw.plot(
            draw.curve([low, high], [low, high], color=draw.MUTED, dash=True),
            draw.points(f, best, color=draw.MUTED, size=0.5, alpha=0.7),
            draw.points(f, fit, color=tint, size=0.5),
            draw.text([low], [high], f"fit of {len(points)} values, {_TITLES[name]}", color=tint, up="top"),
            draw.text([low], [high - 0.08 * (high - low)], f"fit of all {len(f)}", up="top"),
            xlabel="value",
            ylabel="fitted value",
            height=380,
        )
    if result.sizes["axis"] == 1:
        x, span = result.grid.values[:, 0], float(np.ptp(f)) or 1.0
        return draw.plot(
            draw.curve(x, f, "f", color=draw.INK),
            draw.curve(x, best, "best", color=draw.MUTED, dash=True),
            draw.curve(x, fit, "fit", color=tint),
            draw.points(points[:, 0], values, color=tint, size=size),
            xlabel="x",
            ylabel="f(x)",
            ylim=(f.min() - 0.5 * span, f.max() + 0.5 * span),
            height=340,
            note=f"{_TITLES[name]}, n = {len(points)}",
        )
    (x0, x1), (y0, y1) = _window(result.grid.values)
    side = round(len(result.grid) ** 0.5)
    cols, rows = (np.linspace(a, b, 2 * side + 1)[1::2] for a, b in ((x0, x1), (y0, y1)))
    wrong = _square(fit - f)
    reach = float(np.quantile(np.abs(wrong), 0.98)) or 1.0
    return draw.heatmap(
        wrong,
        rows,
        cols,
        xlabel="x₁",
        ylabel="x₂",
        clabel="fit - f",
        signed=True,
        clim=(-reach, reach),
        outline=False,
        equal=True,
        marks=[draw.points(points[:, 0], points[:, 1], color=draw.INK, size=size)],
        height=400,
    )


def _fit_finding(result: xr.Dataset) -> str:
    if _exact(result):
        return _WITHIN
    name, at = sweeping.parameters(result)["sampler"], _ratio(result)
    ratio = float(result.ratio.sel(design=name, n_over_m=at)[0])
    return f"This fit of {at * result.sizes['step']} values has {number(ratio, 3)} times the squared error of the projection"


def _thinning(result: xr.Dataset) -> Any:
    layers, every = [], []
    for name, kind, tint in (("whole designs", "whole", draw.SOURCE), ("thinned", "thin", draw.WARN)):
        error = result[f"{kind}_ratio"].values
        estimate = error * result[f"{kind}_estimate"].values
        layers.append(draw.points(error, estimate, name, color=tint))
        every.append(np.r_[error, estimate])
    known = np.concatenate(every)[np.isfinite(np.concatenate(every))]
    ends = [0.8 * known.min(), 1.4 * known.max()] if known.size else [1.0, 10.0]
    return draw.plot(
        draw.curve(ends, ends, color=draw.MUTED, dash=True),
        *layers,
        logx=True,
        logy=True,
        xlabel="squared error / best",
        ylabel="estimated squared error / best",
        height=340,
    )


def _thinning_finding(result: xr.Dataset) -> str:
    told = f"{int(result.points_used)} points are thinned to {number(float(np.nanmean(result.n_used)), 3)}"
    before, after = (number(float(result[name].median()), 2) for name in ("whole_estimate", "thin_estimate"))
    return f"{told}; estimated / true squared error: {before} before, {after} after"


def _sizes(study: Study, data: Data) -> list[int]:
    """Of the space, as the functions and the data allow."""
    limit, family = study.limits(data).get("m"), study.values()["family"] if "formula" in data.arrays else ""
    sizes = {"fourier": (3, 5, 11, 15, 21, 31, 41), "haar": (2, 4, 8, 16, 32)}.get(family, (2, 5, 10, 15, 20, 30, 40))
    return [m for m in sizes if limit is None or m <= limit.high]


def _decay(result: xr.Dataset) -> Any:
    at = result.m.values
    best = np.sqrt(result.err2_best.values)
    here = result.ratio_quantile.sel(n_over_m=_ratio(result), level=0.5).transpose("design", "m").values
    lines = [draw.curve(at, best, "best", color=draw.INK, dash=True)]
    for k, name in enumerate(result.design.values.tolist()):
        lines.append(draw.curve(at, best * np.sqrt(here[k]), _TITLES[name], color=_tint(name), markers=True))
    return draw.plot(*lines, logy=True, xlabel="m", ylabel=f"median L2 error at n = {_ratio(result)} m", height=340)


def _decay_finding(result: xr.Dataset) -> str:
    median = result.ratio_quantile.sel(n_over_m=_ratio(result), level=0.5)
    known = median.where(result.err2_best > 1e-20)
    if not bool(known.notnull().any()):
        return _WITHIN
    ours, free = (number(float(known.sel(design=name).max()) ** 0.5, 3) for name in ("dpp", _FREE))
    return f"Median errors reach {ours} (DPP) or {free} ({_TITLES[_FREE]}) times the projection error"


PICTURES = Pictures(
    Picture(
        "chain",
        "Point by point",
        "Line: density of the next point of the DPP; dashed: Christoffel density, from which independent points (orange) come; "
        "vertical: next point.",
        _chain,
        plays="step",
    ),
    Picture(
        "stability",
        "Number of points",
        "Lines: fraction of stable designs. The further left a line rises, the fewer evaluations are needed.",
        _stability,
        finds=_stability_finding,
    ),
    Picture(
        "errors",
        "Errors",
        "Squared error divided by that of the L2 projection. Lines: median over draws; dashed: 95% quantile.",
        _errors,
        finds=_errors_finding,
    ),
    Picture(
        "fit",
        "Function and fit",
        "Lines: f, its L2 projection, and the fit of the first draw of the chosen design; area of a point: its weight.",
        _fit,
        finds=_fit_finding,
    ),
    Picture(
        "thinning",
        "Error estimates of thinned designs",
        "Points: stable designs before and after points were deleted while they stayed stable; dashed: estimate equals error.",
        _thinning,
        needs=("n_used",),
        where=lambda result: "" if np.isfinite(result.n_used).any() else "no design was stable, so none was thinned",
        finds=_thinning_finding,
    ),
    Picture(
        "decay",
        "Error against m",
        "Lines: median L2 error at the chosen n/m; dashed: L2 projection.",
        _decay,
        along={"m": _sizes},
        needs=("lambda_median", "probability", "ratio_quantile", "err2_best"),
        finds=_decay_finding,
    ),
)

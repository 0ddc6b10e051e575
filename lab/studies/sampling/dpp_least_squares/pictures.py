"""The pictures of least squares on repelling points."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.words import number

TITLES = {
    "iid": "i.i.d. μ", "volume": "volume μ", "iid-optimal": "i.i.d. Christoffel", "volume-optimal": "volume Christoffel",
    "dpp": "DPP",
}
BOXES = (1, 2, 3, 5, 8, 12)
_SIZES = (2, 5, 10, 15, 20, 30, 40)


def _tint(design: str) -> str:
    blue, orange, green, purple = draw.colours(4)
    return {
        "dpp": blue, "iid-optimal": orange, "volume-optimal": green, "volume": purple, "iid": draw.current().muted,
    }[design]


def _variables(result: xr.Dataset) -> int:
    return result.sizes["axis"]


def _tabled(result: xr.Dataset) -> bool:
    return bool(result.tabled)


def n_over_m(result: xr.Dataset) -> int:
    return int(sweeping.parameters(result)["oversampling"])


# ---- one run -----------------------------------------------------------------------------------------------------


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
    if _tabled(result):
        return _chain_rows(result, frame, note)
    if _variables(result) == 1:
        x = grid[:, 0]
        top = 1.15 * float(np.quantile(chain.max(axis=0), 0.9))
        at = float(dpp[frame, 0])
        height = min(float(np.interp(at, x, chain[frame])), top)
        layers = [
            draw.curve(x, first, color=draw.TARGET, dash=True),
            draw.curve(x, chain[frame]),
            draw.segments([at], [-0.08 * top], [at], [height], color=draw.INK),
        ]
        words = []
        for row, (name, where, tint) in enumerate((("DPP", dpp, draw.SOURCE), ("independent", free, draw.TARGET))):
            y = -(0.08 + 0.1 * row) * top
            seen = _so_far(where, frame, m)[:, 0]
            size = np.where(np.arange(m) == frame - 1, 2.0, 0.9)
            layers.append(draw.points(seen, np.full(m, y), color=tint, size=size))
            words.append(draw.text([x[-1] + 0.02 * np.ptp(x)], [y], name, color=tint))
        words.append(draw.text([x[-1] + 0.36 * np.ptp(x)], [0.97 * top], note, up="top", side="right"))
        return draw.plot(
            *layers, *words, xlabel="x", ylabel="density of the next point", ylim=(-0.24 * top, top),
            xlim=(x[0] - 0.02 * np.ptp(x), x[-1] + 0.36 * np.ptp(x)), height=380,
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
    (left, right), (low, high) = ((float(v.min()), float(v.max())) for v in rows.T)
    return draw.plot(
        *layers, note=f"{note}: DPP blue, independent orange", xlabel=str(result.axis.values[0]),
        ylabel=str(result.axis.values[1]) if grid.shape[1] == 2 else "value", height=400,
        xlim=(left - 0.05 * (right - left), right + 0.05 * (right - left)),
        ylim=(low - 0.05 * (high - low), high + 0.12 * (high - low)),
    )


def _stability(result: xr.Dataset) -> Any:
    at = result.n_over_m.values
    delta = sweeping.parameters(result)["delta"]
    lines = [
        draw.curve(at, result.probability.sel(design=name).values, TITLES[name], color=_tint(name), markers=True)
        for name in result.design.values.tolist()
    ]
    return draw.plot(
        *lines, draw.vline(n_over_m(result), "here", color=draw.MUTED, dash=True),
        xlabel="n/m", ylabel=f"P(λmin ≥ {1 - delta:.3g})", ylim=(-0.02, 1.16),
        yticks=[0, 0.25, 0.5, 0.75, 1],
    )


def _threshold(result: xr.Dataset) -> Any:
    """The share of draws above each level: what another δ would give."""
    levels = np.linspace(0, 1, 101)
    lines = []
    for name in result.design.values.tolist():
        values = np.sort(result.lambda_min.sel(design=name, n_over_m=n_over_m(result)).values)
        values = values[np.isfinite(values)]
        share = 1 - np.searchsorted(values, levels - 1e-12) / max(len(values), 1)
        lines.append(draw.curve(levels, share, color=_tint(name)))
    names = result.design.values.tolist()
    key = [draw.text([1.03], [1.0 - 0.09 * k], TITLES[name], color=_tint(name)) for k, name in enumerate(names[::-1])]
    delta = sweeping.parameters(result)["delta"]
    return draw.plot(
        *lines, *key, draw.vline(1 - delta, "1 - δ", color=draw.MUTED, dash=True), xlabel="threshold s",
        ylabel="P(λmin ≥ s)", xlim=(0, 1.45), ylim=(-0.02, 1.08), xticks=[0, 0.25, 0.5, 0.75, 1],
        note=f"n = {n_over_m(result)} m",
    )


def _errors(result: xr.Dataset) -> Any:
    names = result.design.values.tolist()
    wide, layers, ends = 0.8 / len(names), [], []
    top = 1.0
    for k, name in enumerate(names):
        q = result.ratio_quantile.sel(design=name, n_over_m=list(BOXES)).transpose("n_over_m", "level").values
        q = np.maximum(q, 1.0)
        top = max(top, float(np.nanmax(np.where(np.isfinite(q), q, 1.0))))
        at = np.arange(len(BOXES)) + (k - (len(names) - 1) / 2) * wide
        tint, half = _tint(name), 0.4 * wide
        ends.append((at, q[:, 4], tint))
        layers += [
            draw.segments(at, q[:, 0], at, q[:, 4], color=tint, width=0.5),
            draw.rectangles((at - half, q[:, 1], at + half, q[:, 3], q[:, 3] - q[:, 1]), "", tint, alpha=0.55),
            draw.segments(at - half, q[:, 2], at + half, q[:, 2], color=draw.INK),
        ]
    top = min(top, 1e4)
    words = [  # what goes on beyond the axis
        draw.text(at, np.where(high > top, top, np.nan), ["▲"] * len(at), color=tint, side="center", up="top")
        for at, high, tint in ends
    ]
    words += [
        draw.text([len(BOXES) - 0.4], [top ** (0.97 - 0.08 * k)], TITLES[name], color=_tint(name))
        for k, name in enumerate(names)
    ]
    beyond = "▲ goes on" if any((high > top).any() for _, high, _ in ends) else ""
    words.append(draw.text([len(BOXES) - 0.4], [top ** (0.97 - 0.08 * len(names))], beyond))
    return draw.plot(
        *layers, *words, draw.hline(1.0, color=draw.MUTED), logy=True, xlabel="n/m", ylabel="squared error / best",
        xticks=[(k, str(r)) for k, r in enumerate(BOXES)], ylim=(0.9, 1.1 * top), xlim=(-0.6, len(BOXES) + 1.9), height=340,
    )


def _shown(result: xr.Dataset) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """The design on show: its name, and points, relative weights and values of its first draw at n/m here."""
    name = sweeping.parameters(result)["sampler"]
    one = result.isel(kept=0).sel(design=name)
    n = n_over_m(result) * result.sizes["step"]
    weights = one.weights.values[:n]
    return name, one.points.values[:n], weights / weights.mean(), one["values"].values[:n]


def _fit(result: xr.Dataset) -> Any:
    name, points, weights, values = _shown(result)
    fit, best, f = result.fit.sel(design=name).values, result.best_fit.values, result.f.values
    tint = _tint(name)
    size = np.clip(1.2 * weights, 0.25, 6)
    if _tabled(result):
        low, high = float(f.min()), float(f.max())
        return draw.plot(
            draw.curve([low, high], [low, high], color=draw.MUTED, dash=True),
            draw.points(f, best, color=draw.MUTED, size=0.5, alpha=0.7), draw.points(f, fit, color=tint, size=0.5),
            draw.text([low], [high], f"fit of {len(points)} values, {TITLES[name]}", color=tint, up="top"),
            draw.text([low], [high - 0.08 * (high - low)], f"fit of all {len(f)}", up="top"),
            xlabel="value", ylabel="fitted value", height=380,
        )
    if _variables(result) == 1:
        x, span = result.grid.values[:, 0], float(np.ptp(f)) or 1.0
        return draw.plot(
            draw.curve(x, f, "f", color=draw.INK), draw.curve(x, best, "best", color=draw.MUTED, dash=True),
            draw.curve(x, fit, "fit", color=tint), draw.points(points[:, 0], values, color=tint, size=size),
            xlabel="x", ylabel="f(x)", ylim=(f.min() - 0.5 * span, f.max() + 0.5 * span), height=340,
            note=f"{TITLES[name]}, n = {len(points)}",
        )
    (x0, x1), (y0, y1) = _window(result.grid.values)
    side = round(len(result.grid) ** 0.5)
    cols, rows = (np.linspace(a, b, 2 * side + 1)[1::2] for a, b in ((x0, x1), (y0, y1)))
    wrong = _square(fit - f)
    reach = float(np.quantile(np.abs(wrong), 0.98)) or 1.0
    return draw.heatmap(
        wrong, rows, cols, xlabel="x₁", ylabel="x₂", clabel="fit - f", signed=True, clim=(-reach, reach), outline=False,
        equal=True, marks=[draw.points(points[:, 0], points[:, 1], color=draw.INK, size=size)], height=400,
    )


def _in_plane(result: xr.Dataset) -> str:
    flat = _variables(result) == 2 and not _tabled(result)
    return "" if flat else "it shows designs in the plane: raise the number of variables"


def _plane(result: xr.Dataset) -> Any:
    xlim, ylim = _window(result.grid.values)
    n = n_over_m(result) * result.sizes["step"]
    first = _square(result.christoffel.values)
    panels = {
        TITLES[name]: draw.Panel(
            result.isel(kept=0).sel(design=name).points.values[:n, :2], density=first, color=_tint(name)
        )
        for name in ("iid", "iid-optimal", "volume-optimal", "dpp")
    }
    return draw.particles(
        panels,
        xlim,
        ylim,
        peak=float(np.quantile(first, 0.97)),
        size=0.55,
        note=f"n = {n}, m = {result.sizes['step']}",
        height=260,
    )


def _estimate(result: xr.Dataset) -> Any:
    """What the points alone say of the error, against the error."""
    names = result.design.values.tolist()
    layers, key = [], []
    true = result.err2.sel(n_over_m=n_over_m(result)).isel(draw=slice(result.sizes["kept"])).values
    best = float(result.err2_best) or 1.0
    pairs = [
        (TITLES[name], true[k] / best, result.estimate.values[k] / best, _tint(name)) for k, name in enumerate(names)
    ]
    if "thin_estimate" in result:
        ratio = result.thin_ratio.values
        pairs.append(("thinned", ratio, ratio * result.thin_estimate.values, draw.WARN))
    every = []
    for name, x, y, tint in pairs:
        seen = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
        layers.append(draw.points(np.where(seen, x, np.nan), np.where(seen, y, np.nan), color=tint, size=0.8))
        every.append(np.r_[x[seen], y[seen]])
        key.append((name if seen.any() else f"{name}: infinite", tint))
    values = np.concatenate(every) if every else np.ones(1)
    if not values.size:
        values = np.ones(1)
    low, high = 0.7 * values.min(), 1.6 * values.max()
    right = high * (high / low) ** 0.4
    words = [
        draw.text([high], [high * (low / high) ** (0.04 + 0.09 * k)], text, color=tint)
        for k, (text, tint) in enumerate(key)
    ]
    return draw.plot(
        draw.curve([low, high], [low, high], color=draw.MUTED, dash=True), *layers, *words, logx=True, logy=True,
        xlabel="squared error / best", ylabel="estimate / best", xlim=(low, right), ylim=(low, high), height=340,
    )


def _table(result: xr.Dataset) -> Any:
    names = result.design.values.tolist()
    here = result.sel(n_over_m=n_over_m(result))
    columns = {
        f"n = {int(here.points_used)}": [TITLES[name] for name in names],
        "P(stable)": [f"{v:.3f}" for v in here.probability.values],
        "λmin": [f"{v:.3g}" for v in here.lambda_median.values],
        "mean": [number(float(v), 3) for v in here.ratio_mean.values],
        "median": [number(float(v), 3) for v in here.ratio_quantile.sel(level=0.5).values],
        "if stable": [number(float(v), 3) for v in here.ratio_stable.values],
        "tries": [number(float(v), 3) for v in here.tries.values],
    }
    if "n_used" in result:
        ratio = result.thin_ratio.values
        n = np.nanmean(result.n_used.values) if np.isfinite(ratio).any() else np.nan
        row = (
            f"thinned to {n:.3g}", "1", f"{np.nanmedian(result.thin_lambda_min):.3g}", f"{np.nanmean(ratio):.3g}",
            f"{np.nanmedian(ratio):.3g}", f"{np.nanmean(ratio):.3g}", "",
        )
        for values, cell in zip(columns.values(), row, strict=True):
            values.append(cell)
    return draw.table(columns)


def _thinning(result: xr.Dataset) -> Any:
    """Points left and error of each thinned design, and that of the whole one."""
    n, m = result.n_used.values, result.sizes["step"]
    whole = int(result.points_used)
    apart = np.linspace(-0.2, 0.2, len(n))
    return draw.plot(
        draw.points(n + apart, result.thin_ratio.values, color=draw.WARN),
        draw.points(np.full(len(n), whole) + apart, result.whole_ratio.values),
        draw.text([whole], [float(np.nanmax(result.thin_ratio))], "whole designs ", color=draw.SOURCE, side="right", up="top"),
        draw.text([float(np.nanmax(n)) + 0.6], [float(np.nanmax(result.thin_ratio))], "thinned", color=draw.WARN, up="top"),
        draw.vline(m, "m", color=draw.MUTED, dash=True), xlabel="points n", ylabel="squared error / best",
        xlim=(m - 1, whole + 1),
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _sizes(study: Study, data: Data) -> list[int]:
    """Of the space, as the functions and the data allow."""
    limit = study.limits(data).get("m")
    sizes = list(_SIZES)
    if "formula" in data.arrays:
        if study.values()["family"] == "fourier":
            sizes = [3, 5, 11, 15, 21, 31, 41]
        if study.values()["family"] == "haar":
            sizes = [2, 4, 8, 16, 32]
    return [m for m in sizes if limit is None or m <= limit.high]


def _heat(result: xr.Dataset) -> Any:
    name = sweeping.parameters(result)["sampler"]
    values = result.lambda_median.sel(design=name).transpose("m", "n_over_m").values
    return draw.heatmap(
        values, result.m.values.astype(str), result.n_over_m.values, xlabel="n/m", ylabel="m", clim=(0, 1),
        clabel=f"median λmin, {TITLES[name]}",
        outline=False, equal=False,
    )


def _decay(result: xr.Dataset) -> Any:
    at = result.m.values
    best = np.sqrt(result.err2_best.values)
    here = result.ratio_quantile.sel(n_over_m=n_over_m(result), level=0.5).transpose("design", "m").values
    lines = [draw.curve(at, best, "best", color=draw.INK, dash=True)]
    for k, name in enumerate(result.design.values.tolist()):
        lines.append(draw.curve(at, best * np.sqrt(here[k]), TITLES[name], color=_tint(name), markers=True))
    return draw.plot(
        *lines, logy=True, xlabel="m", ylabel=f"median L2 error at n = {n_over_m(result)} m", height=340,
    )


_ALONG: dict[str, Any] = {
    "along": {"m": _sizes}, "needs": ("lambda_median", "probability", "ratio_quantile", "err2_best"),
}

PICTURES = Pictures(
    Picture("chain", "Point by point", "Each point of the DPP takes a bite out of the density of the next; independent points "
            "(orange) all come from the first one, dashed. The upright line is where the next point falls.", _chain,
            plays="step"),
    Picture("stability", "How many points", "Share of stable designs: the farther left a curve rises, the fewer evaluations.",
            _stability),
    Picture("errors", "Errors", "Squared error over that of the L2 projection: quartiles, median, and lines from 5 to 95% of "
                                "the draws.",
            _errors),
    Picture("fit", "Function and fit", "The first draw of the chosen design: f, its L2 projection and the fit; larger "
            "points weigh more.", _fit),
    Picture("table", "In numbers", "At the chosen n/m: P(stable), median λmin, mean and median of the squared error "
            "over the projection's, its mean over stable draws, and how many designs one draws until one is stable.", _table),
    Picture("threshold", "Any threshold", "Share of draws with λmin above s, at the chosen n/m: what another δ would give.",
            _threshold),
    Picture("estimate", "Is the estimate right?", "Error estimated from the points alone against the true one; on the dashed "
            "line it is right. Where n is near m, as after thinning, it is far too high.", _estimate),
    Picture("thinning", "Thinning", "Stable designs before and after points were deleted while they stayed stable.", _thinning,
            needs=("n_used",), where=lambda result: "" if np.isfinite(result.n_used).any() else
            "no design was stable, so that none was thinned"),
    Picture("plane", "Designs in the plane", "The points of four designs over the Christoffel density.", _plane,
            where=_in_plane),
    Picture("heat", "Stability over m and n/m", "Median of λmin of the chosen design: 1 is perfect.", _heat, **_ALONG),
    Picture("decay", "Error against m", "Median L2 error at the chosen n/m, and that of the L2 projection.", _decay, **_ALONG),
)

"""The pictures of diverse subsets."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.numerics.window import window
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw import blend

_SHOWN = 3000  # rows that are drawn
_LENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _tint(way: str) -> str:
    return {"k-DPP": draw.SOURCE, "random": draw.TARGET, "greedy": draw.GOOD}[way]


def _some(count: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, _SHOWN)).astype(int)


def _limits(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of the rows but for a few outliers, all that were chosen, and a line of text at the top."""
    at = result.position.values
    (left, right), (low, high) = window(at)
    chosen = at[result.indices.values.ravel()]
    air = 0.03 * np.array([right - left, high - low])
    (x0, y0), (x1, y1) = chosen.min(axis=0) - air, chosen.max(axis=0) + air
    return (min(left, x0), max(right, x1)), (min(low, y0), max(high, y1) + 2 * air[1])


def _names(result: xr.Dataset) -> dict[str, Any]:
    x, y = (str(name) for name in result.axis.values)
    return {"xlabel": x, "ylabel": y}


def _choice(result: xr.Dataset, frame: int) -> Any:
    """Rows shaded by what each still adds, and those chosen so far."""
    at, k = result.position.values, result.sizes["chosen"]
    some = _some(len(at))
    shades = [blend(draw.SOURCE, 0.1 + 0.45 * i / 20) for i in range(21)]
    level = np.clip(np.round(20 * result.residual.values[frame][some]), 0, 20).astype(int)
    order = result.indices.sel(way="k-DPP").values
    seen = np.where(np.arange(k)[:, None] < frame, at[order], np.nan)
    size = np.where(np.arange(k) == frame - 1, 3.0, 1.6)
    xlim, ylim = _limits(result)
    left = float(result.residual.values[frame].mean())
    return draw.plot(
        draw.same(draw.points(*at[some].T, color=[shades[i] for i in level], size=0.6), row=some),
        draw.same(draw.points(*seen.T, color=draw.TARGET, size=size), row=order),
        xlim=xlim, ylim=ylim, equal=True, note=f"{frame} of {k} rows; {left:.0%} of the kernel is left", height=400,
        **_names(result),
    )


def _beside(result: xr.Dataset) -> Any:
    at = result.position.values
    xlim, ylim = _limits(result)
    seen = at[_some(len(at))][:: max(1, len(at) // 400)]
    seen = seen[((seen >= (xlim[0], ylim[0])) & (seen <= (xlim[1], ylim[1]))).all(axis=1)]
    panels = {}
    for way in result.way.values.tolist():
        rows = result.indices.sel(way=way).values
        panels[way] = draw.Panel(at[rows], None, None, seen, _tint(way), blend(draw.MUTED, 0.6), who=rows, kind="row")
    return draw.particles(panels, xlim, ylim, size=0.7, height=280, note="grey: all rows")


def pixels_of(result: xr.Dataset) -> np.ndarray | None:
    """The chosen rows as pictures, of a named set."""
    given = sweeping.parameters(result)
    name = result.attrs["data_name"]
    if datasets.entry_of(name) is None:
        return None
    data = datasets.load(name, strict=False, n=given["n"], seed=given["seed"])
    shape = data.axes.get("image")
    if shape is None or len(shape) != 2:
        return None
    order = result.indices.transpose("way", "chosen").values
    return data.arrays["x"][order].reshape(*order.shape, *shape)


def _gallery(result: xr.Dataset) -> Any:
    """The chosen pictures of each way, one sheet for each."""
    pixels = pixels_of(result)
    assert pixels is not None  # the picture applies
    low, high = pixels.min(), pixels.max()
    sheets = {}
    for way, own in zip(result.way.values.tolist(), pixels, strict=True):
        shown = own[:50]
        wide = int(np.ceil(len(shown) ** 0.5))
        tall = -(-len(shown) // wide)
        h, w = shown.shape[1:]
        sheet = np.full((tall * (h + 1), wide * (w + 1)), high)
        for place, one in enumerate(shown):
            i, j = divmod(place, wide)
            sheet[i * (h + 1) : i * (h + 1) + h, j * (w + 1) : j * (w + 1) + w] = high + low - one
        sheets[way] = np.kron((sheet - low) / ((high - low) or 1.0), np.ones((4, 4)))
    return draw.strip(sheets, height=300)


def _rows(result: xr.Dataset) -> Any:
    order = result.indices.sel(way="k-DPP").values[:12]
    at = result.position.values[order]
    chance = result.probability.values[order]
    x, y = (str(name) or "y" for name in result.axis.values)
    return draw.table({
        "row": [int(i) for i in order], x: [f"{v:.3g}" for v in at[:, 0]], y: [f"{v:.3g}" for v in at[:, 1]],
        "P(row in S)": [f"{v:.3g}" for v in chance], "weight": [f"{1 / v:.3g}" for v in chance],
    })


def _shares(variable: str, xlabel: str):
    def drawn(result: xr.Dataset) -> Any:
        layers, every = [], []
        for way in ("k-DPP", "random"):
            values = np.sort(result[variable].sel(way=way).values)
            layers.append(draw.curve(values, (np.arange(len(values)) + 1) / len(values), color=_tint(way)))
            every.append(values)
        one = float(result[variable].sel(way="greedy").values[0])
        every = np.append(np.concatenate(every), one)
        low, high = float(np.nanmin(every)), float(np.nanmax(every))
        wide = (high - low) or 1.0
        key = [
            draw.text([high + 0.06 * wide], [1.0 - 0.1 * row], way, color=_tint(way))
            for row, way in enumerate(("k-DPP", "random", "greedy"))
        ]
        return draw.plot(
            *layers, *key, draw.vline(one, color=draw.GOOD, dash=True), xlabel=xlabel, ylabel="share of draws",
            ylim=(0, 1.1), xlim=(low - 0.04 * wide, high + 0.32 * wide),
        )

    return drawn


def _probabilities(result: xr.Dataset) -> Any:
    at = result.position.values
    some = _some(len(at))
    relative = result.probability.values[some] * len(at) / result.sizes["chosen"]
    xlim, ylim = _limits(result)
    return draw.plot(
        draw.points(*at[some].T, size=0.5 * relative, alpha=0.7), xlim=xlim, ylim=ylim, equal=True, height=400,
        note=f"{relative.min():.2g} to {relative.max():.2g} times k/N", **_names(result),
    )


def _spectrum(result: xr.Dataset) -> Any:
    at = np.arange(1, result.sizes["mode"] + 1)
    values = np.maximum(result.eigenvalue.values / result.eigenvalue.values[0], 1e-17)
    taken = np.maximum(result.taken.values, 1e-17)
    return draw.plot(
        draw.curve(at, values, "eigenvalue / largest"), draw.curve(at, taken, "P(taken)", color=draw.TARGET),
        draw.vline(result.sizes["chosen"], "k", color=draw.MUTED, dash=True), logy=True, xlabel="eigenvector",
        ylabel="share; probability", ylim=(max(1e-8, min(values.min(), taken.min()) / 3), 3),
    )


def _lengths(study: Study, data: Data) -> list[float]:
    """As far as the kernel still tells the default number of rows apart."""
    return [value for value in _LENGTHS if value <= max(study.values()["length"], 0.5)]


def _tradeoff(result: xr.Dataset) -> Any:
    shares = {
        "distance to the chosen": result.cover / result.cover_random, "error of sums": result.error / result.error_random,
    }
    return draw.over(result.length, shares, levels={"": 1.0}, ylabel="k-DPP / random")


PICTURES = Pictures(
    Picture("choice", "Row by row", "Strong blue rows would still add much: each chosen row (orange) makes its neighbours "
            "fade.",
            _choice, plays="step"),
    Picture("beside", "Beside chance", "The rows that the k-DPP, chance and the greedy rule choose, over all rows.", _beside,
            share=1.6),
    Picture("gallery", "As pictures", "What each of them chooses.", _gallery,
            where=lambda result: "" if pixels_of(result) is not None else "the rows are no pictures"),
    Picture("coverage", "How well they cover", "Mean distance of a row to the nearest chosen one, over draws; further left "
                                               "is lower.",
            _shares("coverage", "mean distance (median distance)")),
    Picture("errors", "Error of sums", "Error of sums with optimal weights, at once for all functions smooth "
            "for the kernel; further left is lower.", _shares("mmd_best", "error of sums (MMD), best weights")),
    Picture("unbiased", "With unbiased weights", "The same with weights 1 / P(row in S), whose sums are right on average.",
            _shares("mmd", "error of sums (MMD), unbiased weights")),
    Picture("rows", "The chosen rows", "Twelve of them, by number from 0, with their weights.", _rows),
    Picture("probabilities", "Who is likely", "Areas follow P(row in S): lonely rows are chosen more often, weigh less.",
            _probabilities),
    Picture("spectrum", "Spectrum", "The k-DPP mixes over eigenvectors: those of large eigenvalues take part nearly always.",
            _spectrum),
    Picture("tradeoff", "Which length-scale", "Against random rows, 1: a short one is chance.", _tradeoff,
            along={"length": _lengths}, needs=("cover", "cover_random", "error", "error_random")),
)

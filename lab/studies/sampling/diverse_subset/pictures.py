"""Pictures of diverse subsets, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.numerics.window import window
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.studies.draw import blend
from lab.words import number

_SHOWN = 3000  # rows that are drawn
_LENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _tint(way: str) -> str:
    return {"k-DPP": draw.SOURCE, "random": draw.TARGET, "greedy": draw.GOOD}[way]


def _some(count: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, _SHOWN)).astype(int)


def _limits(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits that hold most rows, all chosen ones, and a line of text at the top."""
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
    """Rows shaded by their residual variance, and the rows chosen so far."""
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
        xlim=xlim,
        ylim=ylim,
        equal=True,
        note=f"{frame} of {k} rows; {left:.0%} of the variance is left",
        height=400,
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
    return draw.particles(panels, xlim, ylim, size=0.7, height=280, note="gray: all rows")


def pixels_of(result: xr.Dataset) -> np.ndarray | None:
    """The chosen rows as images, for named sets of images."""
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
    """One sheet of chosen images per selection."""
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
            *layers,
            *key,
            draw.vline(one, color=draw.GOOD, dash=True),
            xlabel=xlabel,
            ylabel="fraction of draws",
            ylim=(0, 1.1),
            xlim=(low - 0.04 * wide, high + 0.32 * wide),
        )

    return drawn


def _probabilities(result: xr.Dataset) -> Any:
    at = result.position.values
    some = _some(len(at))
    relative = result.probability.values[some] * len(at) / result.sizes["chosen"]
    xlim, ylim = _limits(result)
    return draw.plot(
        draw.points(*at[some].T, size=0.5 * relative, alpha=0.7),
        xlim=xlim,
        ylim=ylim,
        equal=True,
        height=400,
        note=f"{relative.min():.2g} to {relative.max():.2g} times k/N",
        **_names(result),
    )


def _spectrum(result: xr.Dataset) -> Any:
    at = np.arange(1, result.sizes["mode"] + 1)
    values = np.maximum(result.eigenvalue.values / result.eigenvalue.values[0], 1e-17)
    taken = np.maximum(result.taken.values, 1e-17)
    return draw.plot(
        draw.curve(at, values, "eigenvalue / largest"),
        draw.curve(at, taken, "P(selected)", color=draw.TARGET),
        draw.vline(result.sizes["chosen"], "k", color=draw.MUTED, dash=True),
        logy=True,
        xlabel="eigenvector",
        ylabel="relative eigenvalue; probability",
        ylim=(max(1e-8, min(values.min(), taken.min()) / 3), 3),
    )


def _lengths(study: Study, data: Data) -> list[float]:
    """Length-scales at which the kernel has sufficient rank."""
    return [value for value in _LENGTHS if value <= max(study.values()["length"], 0.5)]


def _tradeoff(result: xr.Dataset) -> Any:
    shares = {
        "distance to the nearest chosen row": result.cover / result.cover_random,
        "error of sums": result.error / result.error_random,
    }
    return draw.over(result.length, shares, levels={"": 1.0}, ylabel="k-DPP / random")


# ---- findings ----------------------------------------------------------------------------------------------------

_ALL = {"k-DPP": "the k-DPP", "random": "uniform sampling", "greedy": "the greedy choice"}


def _of(name: str, quantity: str) -> Comparison:
    return Comparison(
        name,
        quantity,
        _ALL,
        result=name,
        along="way",
        over="draw",
        single=("greedy",),
        ours="k-DPP",
        repeats="draws",
    )


COVER = _of("coverage", "mean distance to the chosen rows")
ERROR = _of("mmd_best", "error of sums")


def _gallery_finding(result: xr.Dataset) -> str:
    if "classes_found" in result and np.isfinite(result.classes_found):
        ours, chance = (f"{float(result[name]):.1f}" for name in ("classes_found", "classes_random"))
        return f"The k-DPP finds {ours} classes on average, random selection {chance if chance != ours else 'as many'}"
    pixels = pixels_of(result)
    if pixels is None or pixels.shape[1] < 2:
        return "One image is chosen"
    flat = pixels.reshape(*pixels.shape[:2], -1).astype(float)
    apart = np.stack([np.sqrt(((each[:, None] - each[None]) ** 2).mean(-1)) for each in flat])
    nearest = (apart + np.where(np.eye(apart.shape[1]), np.inf, 0)).min(-1).mean(-1)
    ours, chance = (number(nearest[result.way.values.tolist().index(way)], 3) for way in ("k-DPP", "random"))
    return f"Nearest chosen images differ by {ours} per pixel with the k-DPP, by {chance} with random rows"


def _probabilities_finding(result: xr.Dataset) -> str:
    least, most = float(result.probability.min()), float(result.probability.max())
    if not least > 1e-9:
        return f"One row is chosen in {most:.0%} of the draws, another never"
    often = number(most / least, 2)
    if often == "1":
        return "All rows are equally likely"
    return f"Inclusion probabilities of rows differ by a factor of up to {often}"


def _spectrum_finding(result: xr.Dataset) -> str:
    k = result.sizes["chosen"]
    top = min(k, result.sizes["mode"])
    if k == 1:
        return f"{float(result.taken[0]):.0%} of the draws select the eigenvector of the largest eigenvalue"
    inside = number(float(result.taken[:top].sum()), 2)
    return f"On average {inside} of the {k} selected eigenvectors belong to the {top} largest eigenvalues"


def _tradeoff_finding(result: xr.Dataset) -> str:
    lengths, ratio = result.length.values, (result.error / result.error_random).values
    there = np.flatnonzero(np.isfinite(ratio))
    if not there.size:
        return "No length-scale has a finite error"
    places = sorted({int(there[i]) for i in (0, ratio[there].argmin(), -1)})
    told = [f"{number(ratio[at], 3)} at ℓ = {lengths[at]:g}" for at in places]
    return f"Error of sums relative to random rows: {', '.join(told)}"


PICTURES = Pictures(
    Picture(
        "choice",
        "Row by row",
        "Blue: rows; the darker, the larger the residual variance. Orange: rows chosen so far.",
        _choice,
        plays="step",
    ),
    Picture(
        "beside",
        "Three selections",
        "Color: rows chosen by the k-DPP, at random and greedily. Gray: all rows.",
        _beside,
        share=1.6,
    ),
    Picture(
        "gallery",
        "Chosen images",
        "Each sheet: images chosen by one selection.",
        _gallery,
        where=lambda result: "" if pixels_of(result) is not None else "the rows are not images",
        finds=_gallery_finding,
    ),
    Picture(
        "coverage",
        "Coverage",
        "Lines: distribution over draws of the mean distance to the nearest chosen row. Dashed: greedy selection. The "
        "further left, the closer.",
        _shares("coverage", "mean distance (median distance)"),
        finds=COVER.finding,
    ),
    Picture(
        "errors",
        "Error of sums",
        "Lines: distribution over draws of the maximal error of sums over the unit ball of the kernel, with optimal "
        "weights. Dashed: greedy selection. The further left, the smaller the error.",
        _shares("mmd_best", "error of sums (MMD), optimal weights"),
        finds=ERROR.finding,
    ),
    Picture(
        "probabilities",
        "Inclusion probabilities",
        "Area: inclusion probability P(row in S) of each row.",
        _probabilities,
        finds=_probabilities_finding,
    ),
    Picture(
        "spectrum",
        "Spectrum of the kernel",
        "Blue: eigenvalues relative to the largest. Orange: probability that the k-DPP selects the eigenvector.",
        _spectrum,
        finds=_spectrum_finding,
    ),
    Picture(
        "tradeoff",
        "Length-scale",
        "Lines: k-DPP relative to random rows (1), against the length-scale.",
        _tradeoff,
        along={"length": _lengths},
        needs=("cover", "cover_random", "error", "error_random"),
        finds=_tradeoff_finding,
    ),
)

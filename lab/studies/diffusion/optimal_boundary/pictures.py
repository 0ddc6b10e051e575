"""Pictures of the search over starts, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

_STEPS = (5, 10, 20, 40)
_NAMED = 40  # pixels of an image with room for its name
_NEAR = 0.1  # from an endpoint to a mode on the line
_NAMES = {"mse": "mean squared error", "perc": "difference of gradients", "1-ssim": "1 - SSIM", "own": "your metric"}
_WAYS = ("random", "searched", "zero", "ancestral", "nearby", "by gradients", "posterior mean")
_LABELS = {name: "x_T = 0" if name == "zero" else name for name in _WAYS}
_METHODS = _LABELS | {
    "random": "a random start",
    "searched": "the searched start",
    "ancestral": "ancestral sampling",
    "nearby": "a nearby start",
    "by gradients": "the start by gradients",
    "posterior mean": "the posterior mean",
}
_AT: Any = {"result": "way_score", "along": "way", "at": {"by": "metric"}}
SCORE = Comparison("score", "error on held-out images", _METHODS, ours="searched", best_at=None, **_AT)


def _tints() -> dict[str, str]:
    _, _, *others = draw.colours(6)
    tints = (draw.MUTED, draw.SOURCE, draw.TARGET, draw.INK, *others[:3])
    return dict(zip(_WAYS, tints, strict=True))


def _decides(result: xr.Dataset) -> str:
    return "own" if "own" in result.by.values else str(sweeping.parameters(result)["metric"])


def _way_score(result: xr.Dataset, way: str) -> float:
    return float(result.way_score.sel(by=_decides(result), way=way))


def _three(value: Any) -> str:
    return number(float(value), 3)


# ---- the search ------------------------------------------------------------------------------------------------


def _images(result: xr.Dataset) -> Any:
    names, look = [str(name) for name in result.tile.values], draw.current()
    if look.wide:  # fewer random starts, so that the others have room for their names
        drawn = [name for name in names if name.startswith("random ")]
        rest = len(names) - len(drawn)
        drawn = drawn[max(1, int(look.wide / _NAMED) - rest) :]
        result, names = result.drop_sel(tile=drawn), [name for name in names if name not in drawn]
    short = {
        "measured": "LR",
        "truth": "HR",
        "searched": "found",
        "ancestral": "DDPM",
        "gradients": "grad.",
        "zero": "0",
    }
    return draw.mosaic(result.samples.values, cols=[short.get(name, name.replace("random ", "")) for name in names])


def _plane(result: xr.Dataset, at: int) -> Any:
    """The first candidates in the plane of two metrics; the path of the minimum."""
    tints, mine = _tints(), _decides(result)
    other = "perc" if mine != "perc" else "mse"
    x, y = (result.test_score.sel(by=name).values for name in (mine, other))
    tried, order = int(result.tried[at]), result.best.values[: at + 1]
    path = order[np.r_[True, np.diff(order) != 0]]
    ways = [name for name in _LABELS if np.isfinite(_way_score(result, name)) and name not in ("random", "searched")]
    spots = {name: [float(result.way_score.sel(by=each, way=name)) for each in (mine, other)] for name in ways}
    ends = np.array([*spots.values(), [np.nanmin(x), np.nanmin(y)], [np.nanmax(x), np.nanmax(y)]])
    (left, low), (right, high) = np.nanmin(ends, axis=0), np.nanmax(ends, axis=0)
    wide, tall = right - left or 1.0, high - low or 1.0
    rows = [("a random start", draw.MUTED), ("the best so far", draw.SOURCE)]
    rows += [(_LABELS[name], tints[name]) for name in ways]
    return draw.plot(
        draw.points(np.where(np.arange(len(x)) < tried, x, np.nan), y, color=draw.MUTED, size=0.7, alpha=0.7),
        draw.curve(x[path], y[path], color=draw.SOURCE),
        draw.points(x[path[-1:]], y[path[-1:]], color=draw.SOURCE, size=3.5),
        *(draw.points(spots[name][:1], spots[name][1:], color=tints[name], size=2.5) for name in ways),
        *draw.legend(rows, left - 0.02 * wide, (high - 0.85 * tall, high + 0.06 * tall)),
        xlabel=f"{_NAMES[mine]}, on test images",
        ylabel=f"{_NAMES[other]}, on test images",
        xlim=(left - 0.06 * wide, right + 0.06 * wide),
        ylim=(low - 0.08 * tall, high + 0.2 * tall),
        height=400,
        note=f"K = {tried}",
    )


def _histogram(result: xr.Dataset) -> Any:
    tints, scores = _tints(), result.test_score.sel(by=_decides(result)).values
    counts, edges = np.histogram(scores[np.isfinite(scores)], bins=24)
    top = 1.35 * counts.max()
    shown = (name for name in _WAYS if name not in ("random", "nearby"))
    ways = {name: at for name in shown if np.isfinite(at := _way_score(result, name))}
    rows = [("candidates", draw.MUTED), *((_LABELS[name], tints[name]) for name in ways)]
    ends = [*edges[[0, -1]], *ways.values()]
    wide = max(ends) - min(ends)
    words = 1.1 * wide * draw.current().letter * (max(len(name) for name, _ in rows) + 1)
    return draw.plot(
        draw.bars((edges[1:] + edges[:-1]) / 2, counts, color=draw.MUTED),
        *(draw.vline(at, color=tints[name]) for name, at in ways.items()),
        *draw.legend(rows, max(ends) + 0.05 * wide - words, (0.0, 0.97 * top)),
        xlabel=f"{_NAMES[_decides(result)]}, on test images",
        ylabel="candidates",
        ylim=(0, top),
        xlim=(min(ends) - 0.05 * wide, max(ends) + 0.05 * wide),
        height=300,
    )


def _histogram_finding(result: xr.Dataset) -> str:
    scores = result.test_score.sel(by=_decides(result)).values
    scores = scores[np.isfinite(scores)]
    found, zero = (int((scores < _way_score(result, way)).sum()) for way in ("searched", "zero"))
    return f"Candidates with a lower error than the searched start: {found} of {scores.size}; than x_T = 0: {zero}"


def _sizes(result: xr.Dataset) -> Any:
    rows, cols = ([str(n) for n in result[dim].values] for dim in ("used", "tried"))
    names = {"xlabel": "candidates K", "ylabel": "reference images R", "clabel": "test score"}
    look: Any = {"clim": (float(result.size_score.min()), float(result.size_score.max())), "outline": False, **names}
    return draw.heatmap(result.size_score.values, rows=rows, cols=cols, equal=False, height=320, **look)


def _sizes_finding(result: xr.Dataset) -> str:
    few, many = (_three(result.size_score.isel(used=at, tried=-1)) for at in (0, -1))
    least, most = (int(result.used[at]) for at in (0, -1))
    k = int(result.tried[-1])
    return f"With K = {k} candidates the test score is {few} for R = {least} and {many} for R = {most}"


# ---- sharing ---------------------------------------------------------------------------------------------------


def _shared(n: np.ndarray) -> np.ndarray:
    """The rank correlation of two groups of n images whose normal scores share one ranking."""
    return 6 / np.pi * np.arcsin(n / (n + 2) / 2)


def _agreement(result: xr.Dataset) -> Any:
    guides = {"if all shared one ranking": _shared(result.group.values)}
    axes: Any = {"logx": True, "ylim": (0, 1.05), "ylabel": "rank correlation of two groups", "height": 320}
    return draw.over(result.group, {"here": result.agreement.values}, guides=guides, **axes)


def _agreement_finding(result: xr.Dataset) -> str:
    known = result.agreement.dropna("group").sortby("group")
    if not known.size:
        return "No two groups of images rank the candidates"
    n, exact = int(known.group[-1]), float(_shared(known.group.values)[-1])
    first, last = (number(float(known[at]), 2) for at in (0, -1))
    one = (
        f"Single images agree by {first}"
        if known.group[0] == 1
        else f"Groups of {int(known.group[0])} agree by {first}"
    )
    more = f", groups of {n} by {last}" if known.size > 1 else ""
    return f"{one}{more}; one shared ranking would give {number(exact, 2)}"


def _elsewhere(result: xr.Dataset) -> Any:
    tints, here = _tints(), sweeping.parameters(result)["damage"]
    names, starts = ([str(name) for name in result[dim].values] for dim in ("damage_used", "start"))
    share = result.elsewhere / result.elsewhere.sel(start="random")
    layers = [
        draw.bars(np.arange(len(names)) + 0.26 * (at - 1), share.sel(start=start), color=tints[start], width=0.24)
        for at, start in enumerate(starts)
    ]
    return draw.plot(
        *layers,
        *draw.legend([(_LABELS[start], tints[start]) for start in starts], -0.45, (0.0, 1.62)),
        xticks=list(enumerate(names)),
        ylim=(0, 1.7),
        xlabel=f"degradation; searched on {here}",
        ylabel="score relative to a random start",
        height=320,
    )


def _elsewhere_finding(result: xr.Dataset) -> str:
    gain = 1 - result.elsewhere / result.elsewhere.sel(start="random")
    here = sweeping.parameters(result)["damage"]
    names = [str(name) for name in result.damage_used.values]

    def span(start: str, of: list[str]) -> str:
        values = gain.sel(start=start, damage_used=of).values
        return " to ".join(dict.fromkeys(percent(float(value)) for value in (np.nanmin(values), np.nanmax(values))))

    others = [name for name in names if name != here]
    gains = [f"{span('searched', [here])} on its own degradation"] if here in names else []
    gains += [f"{span('searched', others)} on others"] if others else []
    return f"Gain of the search: {', '.join(gains)}; of x_T = 0: {span('zero', names)}"


# ---- steps, and a line -----------------------------------------------------------------------------------------


def _budget(result: xr.Dataset) -> Any:
    lines = {_LABELS[name]: result[name].values for name in _WAYS[:4]}
    colors = {_LABELS[name]: tint for name, tint in _tints().items() if _LABELS[name] in lines}
    return draw.over(result.steps, lines, colors=colors, logx=True, ylabel="score on test images", height=340)


def _budget_finding(result: xr.Dataset) -> str:
    most = result.isel(steps=int(result.steps.values.argmax()))
    found, fresh, zero = (_three(most[name]) for name in ("searched", "ancestral", "zero"))
    return f"Score after {int(most.steps)} steps: searched start {found}, ancestral sampling {fresh}, x_T = 0 {zero}"


def _medians(result: xr.Dataset) -> np.ndarray:
    """The endpoint of the flow from 0, for each y."""
    return np.array([np.interp(0.0, result.x_start.values, end) for end in result.line_end.values])


def _line(result: xr.Dataset, at: int) -> Any:
    """The flow from x_T to x₀ as a curve, both densities beside it, and the path back from the mode."""
    starts, places = result.x_start.values, result.place.values
    end, density = result.line_end.values[at], result.line_density.values[at]
    mode, best, y = float(result.line_mode[at]), float(result.line_best[at]), float(result.y[at])
    median = float(_medians(result)[at])
    left, low = -3.0, -2.0
    side = left - 1.3 + 1.2 * density / max(float(result.line_density.max()), 1e-9)
    bell = low - 0.9 + 0.8 * np.exp(-(starts**2) / 2)
    shown = np.abs(end) <= 2.0
    return draw.plot(
        draw.curve(side, places, color=draw.TARGET),
        draw.curve(starts, bell, color=draw.MUTED),
        draw.curve(np.where(shown, starts, np.nan), np.where(shown, end, np.nan), color=draw.SOURCE),
        draw.curve([left - 1.3, best, best], [mode, mode, low - 0.9], color=draw.GOOD),
        draw.curve([left - 1.3, 0, 0], [median, median, low - 0.9], color=draw.MUTED, dash=True),
        draw.points([best], [mode], color=draw.GOOD, size=2),
        draw.points([0], [median], color=draw.MUTED, size=2),
        draw.text([0.75], [-0.75], f"optimal start {best:.2f}", color=draw.GOOD),
        draw.text([0.75], [-1.05], f"x_T = 0 ends at {median:.2f}", color=draw.MUTED),
        draw.text([0.75], [-1.35], "the flow", color=draw.SOURCE),
        draw.text([left - 1.2], [2.15], f"density of x₀ given y = {y:.2f}", color=draw.TARGET),
        xlabel="start x_T",
        ylabel="endpoint x₀",
        xlim=(left - 1.35, 3.0),
        ylim=(low - 0.95, 2.3),
        height=420,
        xticks=[-2, -1, 0, 1, 2],
        yticks=[-2, -1, 0, 1, 2],
    )


def _line_finding(result: xr.Dataset) -> str:
    apart = np.abs(_medians(result) - result.line_mode.values)
    far = int(np.nanargmax(apart))
    near = f"x_T = 0 ends within {_NEAR} of the mode at {percent(float((apart < _NEAR).mean()))} of all y"
    return f"{near}; its maximum distance is {number(float(apart[far]), 2)}, at y = {number(float(result.y[far]), 2)}"


PICTURES = Pictures(
    Picture(
        "images",
        "Samples from several starts",
        "Rows: test images. Columns: measurement (LR), original (HR), samples from five random starts, from the searched "
        "start, the start by gradients and x_T = 0, by ancestral sampling (DDPM), and the posterior mean.",
        _images,
        share=1.5,
    ),
    Picture(
        "plane",
        "The search",
        "Gray dots: mean scores of the candidates on test images, by two metrics. Line: minimum so far; play to add "
        "candidates. Other dots: starts that need no search, refined starts, and ancestral sampling.",
        _plane,
        plays="tried",
    ),
    Picture(
        "agreement",
        "Agreement of images",
        "Line: rank correlation of the mean scores of two disjoint groups of images. Dashed: the same if all images shared "
        "one ranking; it is below 1 because each image is one draw of its posterior.",
        _agreement,
        finds=_agreement_finding,
    ),
    Picture(
        "histogram",
        "Held-out error of the candidates",
        "Bars: number of candidates by their mean score on test images. Vertical lines: other starts and methods.",
        _histogram,
        finds=_histogram_finding,
    ),
    Picture(
        "sizes",
        "Candidates and images",
        "Color: test score of the start that R reference images select among K candidates.",
        _sizes,
        finds=_sizes_finding,
    ),
    Picture(
        "elsewhere",
        "Other degradations",
        "Bars: test score relative to a random start (1) under three degradations. The search used one of them.",
        _elsewhere,
        finds=_elsewhere_finding,
    ),
    Picture(
        "line",
        "Two modes on a line",
        "Blue: flow from x_T to x₀. Orange: density of x₀ given y. Green: from its mode back to the optimal start. Dashed: "
        "from x_T = 0 to the median. Play to move y: where two modes compete, no start serves all y.",
        _line,
        plays="y",
        finds=_line_finding,
    ),
    Picture(
        "budget",
        "Number of steps",
        "Lines: mean score on test images of three starts, and of ancestral sampling with as many denoiser evaluations.",
        _budget,
        along={"steps": _STEPS, "refine": (False,)},
        needs=("random", "searched", "zero", "ancestral"),
        finds=_budget_finding,
    ),
)

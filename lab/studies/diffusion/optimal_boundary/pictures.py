"""The pictures of the search over starts."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .exact import dimensions, line, of_groups, shared

_STEPS = (5, 10, 20, 40)
_NOISES = (0.001, 0.005, 0.02, 0.1, 0.3, 1.0)
_NAMED = 40  # pixels of an image with room for its name
NAMES = {"mse": "mean squared error", "perc": "unlike gradients", "1-ssim": "1 - SSIM", "own": "your metric"}
_WAYS = ("random", "searched", "by gradients", "zero", "ancestral", "posterior mean")
LABELS = {"random": "random", "searched": "searched", "nearby": "nearby", "by gradients": "by gradients", "zero": "x_T = 0",
           "ancestral": "ancestral", "posterior mean": "posterior mean"}


def _tints() -> dict[str, str]:
    others = draw.colours(6)
    return {"random": draw.MUTED, "searched": draw.SOURCE, "nearby": others[2], "by gradients": others[3], "zero": draw.TARGET,
            "ancestral": draw.INK, "posterior mean": others[4]}


def decides(result: xr.Dataset) -> str:
    return "own" if "own" in result.by.values else str(sweeping.parameters(result)["metric"])


def way_score(result: xr.Dataset, way: str) -> float:
    return float(result.way_score.sel(by=decides(result), way=way))


# ---- one run -----------------------------------------------------------------------------------------------------


def _images(result: xr.Dataset) -> Any:
    names, look = [str(name) for name in result.tile.values], draw.current()
    if look.wide:  # of the random starts, as many as leave the others room for their names
        drawn = [name for name in names if name.startswith("random ")]
        rest = len(names) - len(drawn)
        drawn = drawn[max(1, int(look.wide / _NAMED) - rest) :]
        result, names = result.drop_sel(tile=drawn), [name for name in names if name not in drawn]
    short = {"measured": "LR", "truth": "HR", "searched": "found", "ancestral": "DDPM", "gradients": "grad.", "zero": "0"}
    heads = [short.get(name, name.replace("random ", "")) for name in names]
    return draw.mosaic(result.samples.values, cols=heads)


def _plane(result: xr.Dataset, at: int) -> Any:
    """Candidates one after the other in the plane of two metrics; the winners so far as a path."""
    tints, mine = _tints(), decides(result)
    other = "perc" if mine != "perc" else "mse"
    x, y = (result.test_score.sel(by=name).values for name in (mine, other))
    tried = int(result.tried[at])
    order = result.best.values[: at + 1]
    path = order[np.r_[True, np.diff(order) != 0]]
    ways = [name for name in LABELS if np.isfinite(way_score(result, name)) and name not in ("random", "searched")]
    spots = {name: [float(result.way_score.sel(by=each, way=name)) for each in (mine, other)] for name in ways}
    ends = np.array([*spots.values(), [np.nanmin(x), np.nanmin(y)], [np.nanmax(x), np.nanmax(y)]])
    (left, low), (right, high) = np.nanmin(ends, axis=0), np.nanmax(ends, axis=0)
    wide, tall = right - left or 1.0, high - low or 1.0
    shown = np.where(np.arange(len(x)) < tried, x, np.nan)
    rows = [("a random start", draw.MUTED), ("the best so far", draw.SOURCE), *((LABELS[name], tints[name]) for name in ways)]
    return draw.plot(
        draw.points(shown, y, color=draw.MUTED, size=0.7, alpha=0.7),
        draw.curve(x[path], y[path], color=draw.SOURCE),
        draw.points(x[path[-1:]], y[path[-1:]], color=draw.SOURCE, size=3.5),
        *(draw.points(spots[name][:1], spots[name][1:], color=tints[name], size=2.5) for name in ways),
        *draw.legend(rows, left - 0.02 * wide, (high - 0.85 * tall, high + 0.06 * tall)),
        xlabel=f"{NAMES[mine]}, on test images", ylabel=f"{NAMES[other]}, on test images",
        xlim=(left - 0.06 * wide, right + 0.06 * wide), ylim=(low - 0.08 * tall, high + 0.2 * tall), height=400,
        note=f"K = {tried}",
    )


def _ranks(result: xr.Dataset) -> Any:
    """Of images by candidates, the best candidates first."""
    score = result.score.sel(by=decides(result)).values
    ranks = score.argsort(axis=1).argsort(axis=1)
    order = score.mean(axis=0).argsort()
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    similar = centred @ centred.mean(axis=0)
    return draw.heatmap(
        ranks[similar.argsort()][:, order], xlabel="candidate, by its mean score", ylabel="image, by its agreement",
        clabel="rank", outline=False, equal=False, height=330,
    )


def _histogram(result: xr.Dataset) -> Any:
    tints, scores = _tints(), result.test_score.sel(by=decides(result)).values
    counts, edges = np.histogram(scores[np.isfinite(scores)], bins=24)
    top = 1.35 * counts.max()
    ways = [name for name in _WAYS[1:] if np.isfinite(way_score(result, name))]
    rows = [("candidates", draw.MUTED), *((LABELS[name], tints[name]) for name in ways)]
    ends = [*edges[[0, -1]], *(way_score(result, name) for name in ways)]
    wide = max(ends) - min(ends)
    words = 1.1 * wide * draw.current().letter * (max(len(name) for name, _ in rows) + 1)
    return draw.plot(
        draw.bars((edges[1:] + edges[:-1]) / 2, counts, color=draw.MUTED),
        *(draw.vline(way_score(result, name), color=tints[name]) for name in ways),
        *draw.legend(rows, max(ends) + 0.05 * wide - words, (0.0, 0.97 * top)),
        xlabel=f"{NAMES[decides(result)]}, on test images", ylabel="candidates", ylim=(0, top),
        xlim=(min(ends) - 0.05 * wide, max(ends) + 0.05 * wide), height=300,
    )


def _best(result: xr.Dataset) -> Any:
    guides = {"chi-square": result.predicted.values} if "predicted" in result else {}
    return draw.over(
        result.tried, {"on its images": result.best_score.values, "on others": result.best_test.values}, guides=guides,
        levels={"x_T = 0": way_score(result, "zero"), "random": way_score(result, "random")}, logx=True, ticks=False,
        colors={"on its images": draw.SOURCE, "on others": draw.TARGET},
        ylabel=f"{NAMES[decides(result)]} of the best", height=320,
    )


def _sizes(result: xr.Dataset) -> Any:
    return draw.heatmap(
        result.size_score.values, rows=[str(n) for n in result.used.values], cols=[str(n) for n in result.tried.values],
        xlabel="candidates K", ylabel="reference images R", clabel="score on others", outline=False, equal=False, height=320,
        clim=(float(result.size_score.min()), float(result.size_score.max())),
    )


def _agreement(result: xr.Dataset) -> Any:
    n = result.group.values
    exact = of_groups(n)
    return draw.over(
        result.group, {"here": result.agreement.values}, guides={"if all shared one ranking": exact}, logx=True, ylim=(0, 1.05),
        ylabel="rank correlation of two groups", height=320,
    )


def _density(result: xr.Dataset) -> Any:
    x, y = result.log_density.values, result.score.sel(by=decides(result)).mean("image").values
    zero = float(result.zero_density)
    return draw.plot(
        draw.points(x, y, color=draw.MUTED, size=0.8), draw.vline(zero, "x_T = 0", color=draw.TARGET),
        xlabel="log-density of the end given y, mean over images", ylabel=NAMES[decides(result)], height=320,
    )


def _elsewhere(result: xr.Dataset) -> Any:
    tints, here = _tints(), sweeping.parameters(result)["damage"]
    names = [str(name) for name in result.damage_used.values]
    layers = []
    for number, start in enumerate(result.start.values):
        share = (result.elsewhere.sel(start=start) / result.elsewhere.sel(start="random")).values
        layers.append(draw.bars(np.arange(len(names)) + 0.26 * (number - 1), share, color=tints[str(start)], width=0.24))
    rows = [(LABELS[str(start)], tints[str(start)]) for start in result.start.values]
    return draw.plot(
        *layers, *draw.legend(rows, -0.45, (0.0, 1.62)), xticks=list(enumerate(names)), ylim=(0, 1.7),
        xlabel=f"damage of the images; searched on {here}",
        ylabel="score over that of a random start", height=320,
    )


def _starts(result: xr.Dataset) -> Any:
    tiles = draw.signed(result.starts.values)[None]
    return draw.mosaic(tiles, cols=[str(name) for name in result.begin.values], height=220,
                       note="each on its own scale: blue below 0, orange above")


def _table(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"start": [LABELS[str(name)] for name in result.way.values]}
    columns |= {NAMES[str(name)]: result.way_score.sel(by=name).values for name in result.by.values}
    return draw.table(columns | {"PSNR": result.psnr.values})


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _budget(result: xr.Dataset) -> Any:
    lines = {LABELS[name]: result[name].values for name in ("random", "searched", "zero", "ancestral")}
    tints = {LABELS[name]: tint for name, tint in _tints().items()}
    return draw.over(result.steps, lines, colors={name: tints[name] for name in lines}, logx=True,
                     ylabel="score on test images", height=340)


def _reuse(result: xr.Dataset) -> Any:
    names = [str(n) for n in result.steps.values]
    values = result.reused.sel(steps_used=result.steps.values).transpose("steps", "steps_used").values
    own = np.diagonal(values)
    return draw.heatmap(
        values / own[None], rows=names, cols=names,
        xlabel="steps it is used with", ylabel="steps it was searched with",
        clabel="score over that of the start searched so", clim=(0.9, 1.15), outline=False, height=340,
    )


def _noises(result: xr.Dataset) -> Any:
    lines = {"halves": result.spearman_halves.values, "two images": result.spearman_pairs.values, "gain": result.gain.values}
    return draw.over(result.noise, lines, guides={"gain of x_T = 0": (1 - result.zero / result.random).values}, logx=True,
                     ylim=(0, 1), ylabel="agreement; gain over a random start", height=320,
                     colors={"gain": draw.GOOD, "gain of x_T = 0": draw.GOOD})


_SWEPT = ("random", "searched", "zero", "spearman_pairs", "spearman_halves", "gain")
PICTURES = Pictures(
    Picture("images", "The same image from other starts", "Rows: test images, as measured (LR), as they are (HR), from "
            "five random starts, the one found, one by gradients, 0, with fresh noise (DDPM), and the posterior mean.",
            _images, share=1.5),
    Picture("plane", "The search", "Each dot is a start: its mean scores on test images. Play: the path visits each new "
            "minimum. x_T = 0 needs no search.", _plane, plays="tried"),
    Picture("ranks", "Does one start serve all images?", "Dark: low error for that image. If one start served all, columns "
            "would have one shade.", _ranks),
    Picture("agreement", "How many images agree", "Rank correlation of the mean scores of two groups of images; dashed: what "
            "it is where all share one ranking exactly, since each image is one draw of what it could be.", _agreement),
    Picture("histogram", "Where the found start lies", "Mean scores of all candidates on test images.", _histogram),
    Picture("best", "What more candidates bring", "Minimum error of the first K, on the images of the search and on others; "
                                                  "dashed: "
            "the minimum of K chi-squares of the effective dimension.", _best),
    Picture("dimensions", "Gain of random search by dimension", "Excess error that K candidates leave, relative to a random "
            "start; exact where all directions are alike.", dimensions),
    Picture("sizes", "Candidates and images", "Score on others of the start that R images choose among K: of few images more "
            "candidates do not help.", _sizes),
    Picture("density", "Is it the density?", "Each dot a start: how probable its ends are, and what they score.", _density),
    Picture("elsewhere", "Other damages", "The start that was found for one damage, where images are damaged otherwise.",
            _elsewhere),
    Picture("starts", "What was found", "The starts as images.", _starts),
    Picture("table", "In numbers", "Mean errors on test images, by each metric; PSNR in dB.", _table),
    Picture("line", "Two modes on a line", "Green: from the mode of x₀ given y back through the flow to the optimal start. "
                                           "Gray: "
            "from 0 to the median. Play it: where two modes compete, no start serves all y.", line, plays="y"),
    Picture("shared", "The optimal start by y", "Near 0 where the law of x₀ has one mode, far from it in between; there it "
                                                "jumps.",
            shared),
    Picture("budget", "By the number of steps", "From each start by the sampler, and by ancestral sampling in as many steps.",
            _budget, along={"steps": _STEPS, "refine": (False,)}, needs=("random", "searched", "zero", "ancestral")),
    Picture("reuse", "Searched with some steps, used with others", "Against the start that was searched with the steps it is "
            "used with: a cheap search with few steps is nearly as good.", _reuse,
            along={"steps": _STEPS, "refine": (False,)}, needs=("reused",)),
    Picture("noise", "By the noise of the measurement", "The more is unknown, the more candidates differ.", _noises,
            along={"noise": _NOISES, "refine": (False,)}, needs=_SWEPT),
)

"""The pictures of the common study of inverse problems."""

from typing import Any

import numpy as np
import xarray as xr

from lab.inverse.meeting import METHODS, PLAIN, REASONS, SAMPLERS
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.studies.inverse.pictures_of_images import clicked_pixel, grid, tiles

from .by_method import along, ranked, seconds, short, there, tint

_BINS = 8  # of true deviations


def _mark(result: xr.Dataset) -> list[tuple[int, int]]:
    given = sweeping.parameters(result)
    return [(given["row"], given["column"])]


def _answers(result: xr.Dataset) -> Any:
    example = sweeping.parameters(result)["example"]
    at = result.psnr.isel(test=example)
    images = {"truth": tiles(result.clean)}
    if "posterior_mean" in result:
        images[f"E[x|y] {float(result.psnr_posterior[example]):.1f}"] = tiles(result.posterior_mean)
    for name in there(result):
        images[f"{short(name).replace('-d', 'd')} {float(at.sel(solver=name)):.1f}"] = tiles(result.answer.sel(solver=name))
    return grid(images, marks=_mark(result), note="above each its PSNR in dB; click a pixel", height=380)


def _errors(result: xr.Dataset) -> Any:
    """All on one scale."""
    off = {name: tiles(result.answer.sel(solver=name) - result.clean) for name in there(result)}
    flat = {name: each.mean(axis=-1) if each.ndim == 3 else each for name, each in off.items()}
    peak = max(float(np.abs(each).max()) for each in flat.values())
    stacked = np.stack(list(flat.values()))
    shades = draw.signed(stacked.reshape(1, -1, stacked.shape[-1])).reshape(*stacked.shape, 3)
    return grid({short(name): shade for name, shade in zip(flat, shades, strict=True)}, marks=_mark(result),
                 note=f"orange: too bright, blue: too dark, by at most {peak:.2g}")


def _spreads(result: xr.Dataset) -> Any:
    maps = {"posterior": result.posterior_std} if "posterior_std" in result else {}
    maps |= {short(name): result.deviation.sel(solver=name) for name in there(result, SAMPLERS)}
    peak = max(float(each.max()) for each in maps.values()) or 1.0
    shown = {name: tiles(2 * each / peak - 1) for name, each in maps.items()}
    return grid(shown, marks=_mark(result), note=f"black: 0, white: {peak:.2g}; over {result.sizes['draw']} answers")


def _some(result: xr.Dataset) -> Any:
    names = there(result, SAMPLERS)
    found = tiles(result.some.sel(solver=names).transpose("solver", "shown", "channel", "y", "x"))
    return draw.mosaic(found, [short(name) for name in names], marks=_mark(result))


def _pixel(result: xr.Dataset) -> Any:
    """Histograms of each method above one another, each over the true law."""
    names, at = there(result, SAMPLERS)[::-1], result.bin.values
    width, layers = float(at[1] - at[0]), []
    edges = np.append(at - width / 2, at[-1] + width / 2)
    law = result.pixel_law.values if "pixel_law" in result else None
    counts = {name: np.histogram(np.clip(result.pixel.sel(solver=name), edges[0], edges[-1]), edges)[0] for name in names}
    shares = {name: count / max(count.sum(), 1) for name, count in counts.items()}
    peak = max(float(np.max(share)) for share in [*shares.values(), *([] if law is None else [law])])
    for height, name in enumerate(names):
        if law is not None:
            layers.append(draw.bars(at, height + 0.85 * law / peak, base=float(height), color=draw.MUTED))
        own = height + 0.85 * shares[name] / peak
        layers.append(draw.bars(at, own, base=float(height), color=tint(name), width=0.5 * width))
    given = sweeping.parameters(result)
    truth = float(result.clean[0, given["row"], given["column"]])
    return draw.plot(
        *layers, draw.vline(truth, "truth", color=draw.TARGET), xlabel="grey value of the framed pixel", ylabel="",
        yticks=[(height + 0.3, short(name)) for height, name in enumerate(names)], xlim=(edges[0], edges[-1]),
        ylim=(0, len(names) + 0.35), height=380,
        note="grey: the posterior" if law is not None else "the exact posterior is not known",
    )


def by_width(result: xr.Dataset) -> dict[str, np.ndarray]:
    """True and own deviations, of the pixels of this image in groups of equal number by the true one."""
    true, found = result.posterior_std.values.ravel(), {}
    order = [group for group in np.array_split(np.argsort(true), _BINS) if group.size]
    for name in there(result, SAMPLERS):
        own = result.deviation.sel(solver=name).values.ravel()
        found[name] = np.array([(true[k].mean(), own[k].mean()) for k in order]).T
    return found


def _calibration(result: xr.Dataset) -> Any:
    top = 1.35 * float(result.posterior_std.max())
    lines = [
        draw.curve(at, own, short(name), color=tint(name), markers=True) for name, (at, own) in by_width(result).items()
    ]
    return draw.plot(draw.curve([0, top], [0, top], color=draw.MUTED, dash=True), *lines, ylim=(0, top), height=340,
                     xlabel="posterior standard deviation, an eighth of the pixels each", ylabel="spread of the answers",
                     note="dashed: as wide as the posterior")


def _perception(result: xr.Dataset) -> Any:
    names = [name for name in there(result) if name not in PLAIN[:2]]
    x, y = (result[of].mean("test").sel(solver=names).values for of in ("nearest", "psnr"))
    beside = float(result.nearest_clean.mean())
    left, right = min(x.min(), beside), max(x.max(), beside)
    low, high = (float(end) for end in (y.min() - 1, y.max() + 1))
    dots = [draw.points([a], [b], color=tint(name), size=2.5) for name, a, b in zip(names, x, y, strict=True)]
    names_at, beyond, step = right + 0.12 * (right - left), right + 0.55 * (right - left), 0.06 * (high - low)
    told, half = [(short(name), tint(name)) for name in names], -(-len(names) // 2)
    return draw.plot(
        *dots, draw.vline(beside, "unseen images", color=draw.TARGET, dash=True),
        *draw.legend(told[:half], names_at, (low, high - step)), *draw.legend(told[half:], beyond, (low, high - step)),
        xlim=(left - 0.05 * (right - left) - 0.01, beyond + 0.4 * (right - left)), ylim=(low, high), height=380,
        ylabel="PSNR of one answer, dB",
        xlabel="distance from the nearest training image, RMS a pixel",
    )


def _table(result: xr.Dataset) -> Any:
    rows = there(result)
    columns: dict[str, list[str]] = {"": [short(name) for name in rows]}
    of = {"PSNR": ("psnr", ".2f"), "of mean": ("psnr_mean", ".2f"), "SSIM": ("ssim", ".3f"), "to E[x|y]": ("to_mean", ".3f"),
          "spread": ("spread", ".3f"), "coverage": ("coverage", ".2f"), "training": ("nearest", ".3f")}
    for head, (variable, form) in of.items():
        means = result[variable].mean("test", skipna=False)
        columns[head] = [_number(float(means.sel(solver=name)), form) for name in rows]
    if "posterior_mean" in result:
        bound = {"": "E[x|y]", "PSNR": f"{float(result.psnr_bound):.2f}", "of mean": f"{float(result.psnr_bound):.2f}",
                 "to E[x|y]": "0", "spread": f"{float(result.spread_true):.3f}"}
        columns = {head: [*values, bound.get(head, "–")] for head, values in columns.items()}
    return draw.table(columns)


def _calls(result: xr.Dataset) -> Any:
    rows: list[str] = list(METHODS)
    told: dict[str, list[str]] = {"": rows}
    for head, variable in (("calls", "calls"), ("derivatives", "slopes")):
        told[head] = [str(int(result[variable].sel(solver=name))) if name in there(result) else "" for name in rows]
    return draw.table(told | {"absent, for it": [REASONS[int(result.why.sel(solver=name))] for name in rows]})


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"


_SWEPT: Any = {"needs": ("psnr_mean",), "also": ("psnr_posterior",)}
PICTURES = Pictures(
    Picture("answers", "One measurement, every method", "One answer of each for the same image; click a pixel to see its "
            "posterior.", _answers, clicks=clicked_pixel(lambda result: 1 + ("posterior_mean" in result) + len(there(result))),
            share=1.5),
    Picture("pixel", "What each says of this pixel", "Histogram of the answers at the framed pixel, over the exact posterior.",
            _pixel),
    Picture("quality", "PSNR of each method", "PSNR of the mean over answers: large dots are means over images with "
            "95% intervals, the pale one is a single answer's.",
            ranked("psnr_mean", better="dB", levels={"psnr_bound": "E[x|y]"}, also="psnr")),
    Picture("away", "And to the posterior mean?", "Of the mean over answers: 0 is exact; where answers are drawn a rest "
            "is left, as by the exact ones.", ranked("to_mean", better="RMS a pixel"), needs=("posterior_mean",)),
    Picture("errors", "Where they err", "One answer less the truth, all on one scale.", _errors,
            clicks=clicked_pixel(lambda result: len(there(result)))),
    Picture("spreads", "Where the variance sits", "Standard deviation over answers, beside that of the exact posterior.",
            _spreads, clicks=clicked_pixel(lambda result: ("posterior_std" in result) + len(there(result, SAMPLERS)))),
    Picture("some", "Answers one by one", "A row is a method, a column a seed.", _some),
    Picture("calibration", "Do answers differ where they should?", "Spread of the answers against the posterior's, pixel by "
            "pixel: below the line a method is too sure.", _calibration, needs=("posterior_std",)),
    Picture("coverage", "How often is the truth inside?", "Share of pixels whose true value lies in the interval of 90% of "
            "the answers; exact samples set the bar, as quantiles of few answers lie too close.",
            ranked("coverage", better="of 90%", levels={"coverage_exact": "exact"}, names=SAMPLERS)),
    Picture("perception", "Near the truth, or like an image?", "High: near the truth. Left: near to a training image, which "
            "is memory where it is left of unseen images.", _perception),
    Picture("table", "Numbers", "Means over test images; PSNR in dB; distances to E[x|y] and to the nearest training image "
            "and spread, RMS a pixel.", _table),
    Picture("calls", "Calls, and who is absent", "Of the denoiser, and of its derivative, for each answer.", _calls),
    Picture("budget", "How many calls are needed?", "Each method with budgets of so many denoiser calls.",
            along("steps", logx=True), along={"steps": (5, 15, 50)}, **_SWEPT),
    Picture("noise", "From little noise to much", "All methods, with the strengths as they are.", along("noise"),
            along={"noise": (0.03, 0.1, 0.3, 1.0)}, **_SWEPT),
    Picture("share", "From few pixels to all", "Of a random mask, or of the frequencies.", along("seen"),
            along={"seen": (0.1, 0.3, 0.5, 0.7, 0.9)}, when={"damage": ("random mask", "magnetic resonance")},
            why="with this damage no share is seen", **_SWEPT),
    Picture("seconds", "What does it cost?", "Seconds on this machine, once compiled; they differ from run to run.", seconds,
            along={"timed": (True,)}, needs=("seconds", "why")),
)

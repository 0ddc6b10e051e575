"""Pictures with an image, a color or a line for each method, each with its caption and finding."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.numerics.statistics import mean_interval
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.studies.inverse.pictures_of_images import clicked_pixel, grid, tiles
from lab.studies.inverse.solver_comparison import ASKING, EXACT, METHODS, PLAIN, REASONS, SAMPLERS
from lab.words import number

_SHORT = {
    "pseudo-inverse": "pinv",
    "Tikhonov": "Tikh.",
    "backprojection": "FBP",
    "total variation": "TV",
    "PnP-ADMM": "ADMM",
    "PnP-HQS": "HQS",
    EXACT: "exact",
}
_BINS = 8  # groups of pixels by posterior standard deviation
_DRAWING = SAMPLERS[:-1]  # without the exact ones
_LOST = "No method has a finite sample here"
_WORDS = {name: name for name in METHODS}
_WORDS |= {EXACT: "the exact sample", METHODS[0]: "the pseudo-inverse", "linear": "the linear method"}
_COMPARED: Any = {"along": "solver", "over": "test", "repeats": "test images"}
PSNR = Comparison("psnr", "PSNR of the mean over samples", _WORDS, "higher", result="psnr_mean", **_COMPARED)
AWAY = Comparison("away", "distance to the posterior mean", _WORDS, result="to_mean", **_COMPARED)


def _there(result: xr.Dataset, names: Sequence[str] = METHODS) -> list[str]:
    """The methods that apply."""
    why = dict(zip(result.solver.values, result.why.values, strict=True))
    return [name for name in names if not why[name]]


def _tint(name: str) -> str:
    """One color for a method in all pictures."""
    if name in (*PLAIN, EXACT):
        return {"total variation": draw.WARN, EXACT: draw.INK}.get(name, draw.MUTED)
    series = draw.colours(6)
    shades = (draw.blend(series[5], share) for share in (0.5, 0.7, 1.0))  # of the three plug-and-play methods
    tints: dict[str, str] = dict(zip(ASKING, (*shades, *series[:5]), strict=True))
    return tints[name]


def _short(name: str) -> str:
    return _SHORT.get(name, name)


def _mark(result: xr.Dataset) -> list[tuple[int, int]]:
    given = sweeping.parameters(result)
    return [(given["row"], given["column"])]


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _means(result: xr.Dataset, variable: str, names: Sequence[str]) -> dict[str, float]:
    """Finite means over test images."""
    means = result[variable].mean("test", skipna=False)
    return _finite({name: float(means.sel(solver=name)) for name in _there(result, names)})


def _ends(values: Mapping[str, float]) -> tuple[str, str]:
    """The names of the maximum and the minimum."""
    return max(values, key=lambda name: values[name]), min(values, key=lambda name: values[name])


def _part(share: float) -> str:
    return "less than 1%" if 0 < share < 0.01 else "above 99%" if 0.99 < share < 1 else f"{share:.0%}"


# ---- one image ------------------------------------------------------------------------------------------------


def _answers(result: xr.Dataset) -> Any:
    example = sweeping.parameters(result)["example"]
    at = result.psnr.isel(test=example)
    images = {"truth": tiles(result.clean)}
    if "posterior_mean" in result:
        images[f"E[x|y] {float(result.psnr_posterior[example]):.1f}"] = tiles(result.posterior_mean)
    for name in _there(result):
        head = f"{_short(name).replace('-d', 'd')} {float(at.sel(solver=name)):.1f}"
        images[head] = tiles(result.answer.sel(solver=name))
    return grid(images, marks=_mark(result), note="numbers: PSNR in dB; click a pixel", height=380)


def _pixel(result: xr.Dataset) -> Any:
    names, at = _there(result, SAMPLERS)[::-1], result.bin.values
    width, layers = float(at[1] - at[0]), []
    edges = np.append(at - width / 2, at[-1] + width / 2)
    law = result.pixel_law.values if "pixel_law" in result else None
    clipped = {name: np.clip(result.pixel.sel(solver=name), edges[0], edges[-1]) for name in names}
    counts = {name: np.histogram(values, edges)[0] for name, values in clipped.items()}
    shares = {name: count / max(count.sum(), 1) for name, count in counts.items()}
    peak = max(float(np.max(share)) for share in [*shares.values(), *([] if law is None else [law])])
    for height, name in enumerate(names):
        if law is not None:
            layers.append(draw.bars(at, height + 0.85 * law / peak, base=float(height), color=draw.MUTED))
        own = height + 0.85 * shares[name] / peak
        layers.append(draw.bars(at, own, base=float(height), color=_tint(name), width=0.5 * width))
    ((row, column),) = _mark(result)
    return draw.plot(
        *layers,
        draw.vline(float(result.clean[0, row, column]), "truth", color=draw.TARGET),
        xlabel="gray value of the framed pixel",
        ylabel="",
        yticks=[(height + 0.3, _short(name)) for height, name in enumerate(names)],
        xlim=(edges[0], edges[-1]),
        ylim=(0, len(names) + 0.35),
        height=380,
        note="gray: the posterior" if law is not None else "the exact posterior is not known",
    )


def _spreads(result: xr.Dataset) -> Any:
    maps = {"posterior": result.posterior_std} if "posterior_std" in result else {}
    maps |= {_short(name): result.deviation.sel(solver=name) for name in _there(result, SAMPLERS)}
    peak = max(float(each.max()) for each in maps.values()) or 1.0
    shown = {name: tiles(2 * each / peak - 1) for name, each in maps.items()}
    return grid(shown, marks=_mark(result), note=f"black: 0, white: {peak:.2g}; over {result.sizes['draw']} samples")


def _spreads_finding(result: xr.Dataset) -> str:
    squares = {n: float((result.deviation.sel(solver=n) ** 2).mean(skipna=False)) for n in _there(result, _DRAWING)}
    values = {name: value**0.5 for name, value in _finite(squares).items()}
    if not values:
        return _LOST
    widest, least = _ends(values)
    true = float((result.posterior_std**2).mean()) ** 0.5 if "posterior_std" in result else 0.0
    if not true > 1e-9:
        told = f"Standard deviation over samples: {number(values[widest], 2)} per pixel ({_short(widest)})"
        return told if widest == least else f"{told} to {number(values[least], 2)} ({_short(least)})"
    told = f"The spread of {_short(widest)} is {values[widest] / true:.0%} of the posterior spread"
    return told if widest == least else f"{told}, of {_short(least)} {_part(values[least] / true)}"


def _by_width(result: xr.Dataset) -> dict[str, np.ndarray]:
    """Posterior and sample standard deviations, averaged over groups of pixels by the posterior one."""
    true, found = result.posterior_std.values.ravel(), {}
    order = [group for group in np.array_split(np.argsort(true), _BINS) if group.size]
    for name in _there(result, SAMPLERS):
        own = result.deviation.sel(solver=name).values.ravel()
        found[name] = np.array([(true[k].mean(), own[k].mean()) for k in order]).T
    return found


def _calibration(result: xr.Dataset) -> Any:
    top = 1.35 * float(result.posterior_std.max())
    lines = [
        draw.curve(at, own, _short(name), color=_tint(name), markers=True)
        for name, (at, own) in _by_width(result).items()
    ]
    return draw.plot(
        draw.curve([0, top], [0, top], color=draw.MUTED, dash=True),
        *lines,
        ylim=(0, top),
        height=340,
        xlabel="posterior standard deviation, an eighth of the pixels each",
        ylabel="standard deviation over samples",
    )


def _calibration_finding(result: xr.Dataset) -> str:
    lines = {name: line for name, line in _by_width(result).items() if name != EXACT}
    ratios = {name: own[-1] / max(true[-1], 1e-12) for name, (true, own) in lines.items() if true[-1] > 1e-9}
    if not (values := _finite(ratios)):
        return "The posterior has no spread in this image"
    widest, least = _ends(values)
    told = f"Where the posterior is widest, the spread of {_short(widest)} is {values[widest]:.0%} of it"
    return told if widest == least else f"{told}, of {_short(least)} {_part(values[least])}"


# ---- all test images ------------------------------------------------------------------------------------------


def _ranked(
    value: str, unit: str, level: str, words: str, names: Sequence[str] = METHODS, also: str = ""
) -> Callable[[xr.Dataset], Any]:
    """A row for each method: every test image, the mean and its 95% interval; ``also`` is a variable drawn pale."""

    def drawn(result: xr.Dataset) -> Any:
        finite = [name for name in _there(result, names) if np.isfinite(result[value].sel(solver=name)).all()]
        shown, layers = finite[::-1], []
        for height, name in enumerate(shown):
            each = result[value].sel(solver=name).values
            found, tint = mean_interval(each), _tint(name)
            layers.append(draw.points(each, np.full(each.size, float(height)), color=tint, size=0.35, alpha=0.5))
            layers.append(draw.segments([found.low], [height], [found.high], [height], color=tint, width=2))
            layers.append(draw.points([found.mean], [float(height)], color=tint, size=2.2))
            if also:
                single = float(result[also].sel(solver=name).mean())
                layers.append(draw.points([single], [float(height)], color=draw.blend(tint, 0.3), size=1.5))
        if level in result:
            layers.append(draw.vline(float(result[level].mean()), words, color=draw.TARGET, dash=True))
        return draw.plot(
            *layers,
            xlabel=f"{result[value].attrs['long_name']}, {unit}",
            ylabel="",
            height=360,
            yticks=[(height, _short(name)) for height, name in enumerate(shown)],
            ylim=(-0.6, len(shown) + 0.2),
        )

    return drawn


def _coverage_finding(result: xr.Dataset) -> str:
    values = _means(result, "coverage", SAMPLERS)
    exact = values.pop(EXACT, None)
    if not values:
        return _LOST
    told = [f"{_short(name)} {_part(values[name])}" for name in dict.fromkeys(_ends(values))]
    told = told if exact is None else [f"exact samples {_part(exact)}", *told]
    return f"Pixels whose truth is inside the interval: {', '.join(told)}"


def _table(result: xr.Dataset) -> Any:
    rows, format_ = _there(result), {"PSNR": ".2f", "of mean": ".2f", "coverage": ".2f"}
    of = {"PSNR": "psnr", "of mean": "psnr_mean", "SSIM": "ssim", "to E[x|y]": "to_mean", "spread": "spread"}
    columns: dict[str, list[str]] = {"": [_short(name) for name in METHODS]}
    for head, variable in (of | {"coverage": "coverage", "training": "nearest"}).items():
        means = result[variable].mean("test", skipna=False)
        found = {name: float(means.sel(solver=name)) for name in rows}
        texts = {name: format(value, format_.get(head, ".3f")) for name, value in _finite(found).items()}
        columns[head] = [texts.get(name, "–") for name in METHODS]
    columns["absent: it"] = [REASONS[int(result.why.sel(solver=name))] for name in METHODS]
    if "posterior_mean" in result:
        bound = {head: f"{float(result.psnr_bound):.2f}" for head in ("PSNR", "of mean")}
        bound |= {"": "E[x|y]", "to E[x|y]": "0", "spread": f"{float(result.spread_true):.3f}", "absent: it": ""}
        columns = {head: [*values, bound.get(head, "–")] for head, values in columns.items()}
    return draw.table(columns)


def _table_finding(result: xr.Dataset) -> str:
    one, mean = _means(result, "psnr", SAMPLERS), _means(result, "psnr_mean", SAMPLERS)
    gain = {name: mean[name] - one[name] for name in mean if name in one}
    exact = gain.pop(EXACT, None)
    if not gain:
        return _LOST
    told = {"exact samples": exact} if exact is not None else {}
    told |= {_short(name): gain[name] for name in _ends(gain)}
    return f"PSNR gained by averaging samples, in dB: {', '.join(f'{name} {x:.1f}' for name, x in told.items())}"


def _noise(result: xr.Dataset) -> Any:
    mean = result.psnr_mean.mean("test", skipna=False)
    some = [name for name in ("total variation", *ASKING) if np.isfinite(mean.sel(solver=name)).any()]
    return draw.over(
        result.noise,
        {_short(name): mean.sel(solver=name) for name in some},
        guides={"E[x|y]": result.psnr_posterior.mean("test")} if "psnr_posterior" in result else {},
        colors={_short(name): _tint(name) for name in some},
        ylabel="PSNR of the mean over samples, dB",
        height=360,
    )


def _noise_finding(result: xr.Dataset) -> str:
    mean = result.psnr_mean.mean("test", skipna=False).sortby("noise")
    first, last = mean.isel(noise=0), mean.isel(noise=-1)
    change = _finite({name: float((last - first).sel(solver=name)) for name in ASKING})
    if not change:
        return _LOST
    told = [f"{change[name]:+.1f} dB ({_short(name)})" for name in dict.fromkeys(reversed(_ends(change)))]
    ends = f"{float(first.noise):g} to {float(last.noise):g}"
    return f"From noise {ends}, PSNR changes by {' to '.join(told)}"


PICTURES = Pictures(
    Picture(
        "answers",
        "One measurement, all methods",
        "Images: one sample of each method for the same measurement. Click a pixel to see its posterior.",
        _answers,
        clicks=clicked_pixel(lambda result: 1 + ("posterior_mean" in result) + len(_there(result))),
        share=1.5,
    ),
    Picture(
        "pixel",
        "Distribution of one pixel",
        "Colored bars: histogram of the samples at the framed pixel. Gray bars: exact posterior. Line: truth.",
        _pixel,
    ),
    Picture(
        "quality",
        "PSNR of each method",
        "Small dots: PSNR of the mean over samples, per image. Large dots and bars: mean, 95% interval. Pale: single "
        "samples. Dashed: posterior mean.",
        _ranked("psnr_mean", "dB", "psnr_bound", "E[x|y]", also="psnr"),
        finds=PSNR.finding,
    ),
    Picture(
        "spreads",
        "Where samples differ",
        "Brightness: standard deviation over samples at each pixel, beside that of the exact posterior.",
        _spreads,
        clicks=clicked_pixel(lambda result: ("posterior_std" in result) + len(_there(result, SAMPLERS))),
        finds=_spreads_finding,
    ),
    Picture(
        "calibration",
        "Calibration",
        "Lines: standard deviation over samples against that of the posterior. Dashed: equality; below it a method is "
        "overconfident.",
        _calibration,
        needs=("posterior_std",),
        finds=_calibration_finding,
    ),
    Picture(
        "coverage",
        "Coverage",
        "Dots: fraction of pixels whose truth is in the 90% interval of the samples. Dashed: exact samples, below 90% "
        "because few samples give narrow quantiles.",
        _ranked("coverage", "of 90%", "coverage_exact", "exact", SAMPLERS),
        finds=_coverage_finding,
    ),
    Picture(
        "table",
        "Numbers",
        "Means over test images. PSNR in dB; distances to E[x|y] and to the nearest training image, and spread: RMS per "
        "pixel.",
        _table,
        finds=_table_finding,
    ),
    Picture(
        "noise",
        "PSNR by noise",
        "Lines: PSNR of the mean over samples, with fixed weights. Dashed: posterior mean.",
        _noise,
        along={"noise": (0.03, 0.1, 0.3, 1.0)},
        needs=("psnr_mean",),
        also=("psnr_posterior",),
        finds=_noise_finding,
    ),
)

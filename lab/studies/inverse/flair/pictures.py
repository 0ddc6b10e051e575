"""The pictures of FLAIR, each with its caption and its finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.studies.inverse.pictures_of_images import tiles
from lab.words import number

PSNR = Comparison(
    "psnr",
    "PSNR",
    {
        "psnr_one": "one FLAIR sample",
        "psnr_fresh": "one sample without DTA",
        "psnr_average": "the mean of FLAIR samples",
        "psnr_exact": "the posterior mean",
    },
    "higher",
    ours="psnr_one",
    best_at={"prior": "optimal"},
)
PLANE = Comparison(
    "plane",
    "W₁ to the posterior in the plane",
    {"plane_distance": "FLAIR", "plane_distance_fresh": "FLAIR without DTA"},
    ours="plane_distance",
    best_at={"crw": False, "c": 0.5, "t_min": 0.02},
)

_COLUMNS = 8  # of the filmstrip
_LOST = "The samples are not finite"
_SWITCHES = {"DTA": "alpha_scale", "HDC": "hdc", "CRW": "crw"}
_ON: dict[str, Any] = {"alpha_scale": 1.0, "hdc": "auto", "crw": True}
_OFF: dict[str, Any] = {"alpha_scale": 0.0, "hdc": "one step", "crw": False}
_C = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
_EXACT = ("psnr_exact", "spread_exact")
_SD3 = np.array(
    [  # t, e(t) and λ(t) with c = 0.5, as published for Stable Diffusion 3 on DIV2K
        *((1, 0.646, 0.106), (0.95, 0.305, 0.398), (0.9, 0.258, 0.499), (0.8, 0.233, 0.570), (0.7, 0.237, 0.558)),
        *((0.6, 0.257, 0.502), (0.5, 0.289, 0.430), (0.4, 0.342, 0.338), (0.3, 0.422, 0.244), (0.2, 0.552, 0.150)),
        *((0.1, 0.768, 0.064), (0, 1.087, 0)),
    ]
)


def _signed(value: float) -> str:
    rounded = round(value, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


# ---- one run -----------------------------------------------------------------------------------------------------


def _answers(result: xr.Dataset) -> Any:
    names = {"image": "clean", "measured": "start", "sample mean": "average"}
    names |= {"E[x | y]": "posterior_mean"} if "posterior_mean" in result else {}
    above, below = np.stack([tiles(result[name]) for name in names.values()]), tiles(result.samples[: len(names)])
    return draw.mosaic(np.stack([above, below]), ["", "samples"], list(names), height=340)


def _spread(result: xr.Dataset) -> Any:
    maps = {"samples": result.std_map}
    if "posterior_std" in result:
        maps["posterior"] = result.posterior_std
    peak = max(float(each.max()) for each in maps.values()) or 1.0
    shown = [tiles(1 - 2 * result.hidden), *(tiles(2 * each / peak - 1) for each in maps.values())]
    note = f"black 0, white {peak:.2f}; masked pixels: mean {float(result.spread):.2f}"
    if "spread_exact" in result:
        note += f", posterior {float(result.spread_exact):.2f}"
    return draw.mosaic(np.stack(shown)[None], cols=["observed", *maps], height=340, note=note)


def _calibration(result: xr.Dataset) -> Any:
    t, top = result.t.values[::-1], 1.25
    steep = np.array([0, 0.4])
    rows = [("e(t)", draw.SOURCE), ("λ(t)", draw.TARGET), ("dashed: SD3, as published", draw.MUTED)]
    return draw.plot(
        draw.curve(t, np.minimum(result.e.values[::-1], 2 * top)),
        draw.curve(t, result.lambda_R.values[::-1], color=draw.TARGET),
        draw.curve(_SD3[:, 0], _SD3[:, 1], dash=True),
        draw.curve(_SD3[:, 0], _SD3[:, 2], color=draw.TARGET, dash=True),
        draw.curve(steep, 2 * steep, "2t: unstable above", color=draw.WARN),
        draw.vline(sweeping.parameters(result)["t_min"], "final time", color=draw.MUTED, dash=True),
        *draw.legend(rows, 0.5, (0, 1.2)),
        xlabel="time t: noise at 1, data at 0",
        ylabel="velocity error, weight",
        xlim=(0, 1),
        ylim=(0, top),
    )


def _calibration_finding(result: xr.Dataset) -> str:
    own, theirs = float(result.t[result.e.values.argmin()]), float(_SD3[_SD3[:, 1].argmin(), 0])
    weight = number(float(result.lambda_R.max()), 2)
    return f"The velocity error is minimal at t = {own:.2g} (SD3: {theirs:.2g}); the maximum weight is {weight}"


def _filmstrip(result: xr.Dataset) -> Any:
    at = np.unique(np.linspace(0, result.sizes["step"] - 1, _COLUMNS).round().astype(int))
    rows = {"estimate μ": "mu", "noised, x_t": "x_t", "denoised": "x0_hat", "noise end": "x1_hat"}
    shown = np.stack([tiles(result[name].isel(step=at)) for name in rows.values()])
    shown[3] = shown[3] / 3  # a standard normal on the scale of gray values
    return draw.mosaic(shown, list(rows), [f"{float(t):.2f}" for t in result.time[at]], note="time t above")


def _filmstrip_finding(result: xr.Dataset) -> str:
    off = np.sqrt(((result.mu - result.clean) ** 2).mean(("channel", "y", "x"), skipna=False).values)
    there = np.flatnonzero(np.isfinite(off))
    if not there.size:
        return _LOST
    first, last = number(off[there[0]], 2), number(off[there[-1]], 2)
    return f"The RMS error of μ is {first} after the first step and {last} after the last"


def _plane(result: xr.Dataset, at: int) -> Any:
    tints = np.array([draw.current().colour(tint) for tint in (draw.SOURCE, draw.TARGET, draw.GOOD)])
    methods = {str(way): draw.plane(result.plane_path.sel(way=way), "moment") for way in result.way.values}
    colors = {str(way): list(tints[result.plane_mode.sel(way=way).values]) for way in result.way.values}
    shades, ends = result.plane_density.values, (float(result.gx[0]), float(result.gx[-1]))
    t = float(np.append(result.time, 0.0)[int(result.moment[at]) - 1])
    return draw.film(
        methods,
        at,
        density=shades / np.maximum(shades.max(axis=(1, 2), keepdims=True), 1e-30),
        peak=0.9,
        limits=(ends, ends),
        colors=colors,
        note=f"t = {t:.2f}" + ("" if t else ", final samples"),
        tails=25,
        age=3,
        height=330,
    )


def _plane_finding(result: xr.Dataset) -> str:
    times = np.append(result.time.values, 0.0)[result.moment.values - 1]
    sides = np.sign(result.plane_path.transpose("way", "moment", "particle", "axis").values[..., 0])
    if not np.isfinite(sides).all():
        return _LOST
    found = []
    for way, side in zip(result.way.values, sides, strict=True):
        undecided = np.flatnonzero((side == side[-1]).mean(axis=1) < 0.9)
        since = times[undecided[-1] + 1 if undecided.size else 0]
        found.append(f"{way.removesuffix(' DTA')} DTA {f'from t = {since:.2f}' if since else 'at the end'}")
    return f"90% of samples are on their final side {', '.join(found)}"


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _parts(result: xr.Dataset) -> Any:
    cases = {"all": _ON, **{f"no {key}": _ON | {name: _OFF[name]} for key, name in _SWITCHES.items()}, "none": _OFF}
    cells = [result.sel(case) for case in cases.values()]
    at, quality = np.arange(len(cases)), np.array([float(cell.psnr_one) for cell in cells])
    above, spreads = [f"{q:.1f}" for q in quality], [f"±{float(cell.spread):.2f}" for cell in cells]
    levels = [draw.hline(float(result.psnr_exact.max()), "E[x | y]")] if "psnr_exact" in result else []
    return draw.plot(
        draw.bars(at, quality, width=0.6),
        draw.text(at, quality - 0.3, above, color="#ffffff", side="center", up="top"),
        *levels,
        draw.text(at, np.full(len(at), 1.0), spreads, color="#ffffff", side="center"),
        xlabel="components switched on",
        ylabel="PSNR of a sample, dB",
        xticks=list(zip(at.tolist(), cases, strict=True)),
        xlim=(-0.6, len(at) - 0.4),
        ylim=(min(0.0, 1.1 * float(np.nanmin(quality))), 1.35 * max(float(np.nanmax(quality)), 1.0)),
        note="±: standard deviation of samples",
    )


def _parts_finding(result: xr.Dataset) -> str:
    every = float(result.psnr_one.sel(_ON))
    change = {key: float(result.psnr_one.sel(_ON | {name: _OFF[name]})) - every for key, name in _SWITCHES.items()}
    change = {key: value for key, value in change.items() if np.isfinite(value)}
    if not change:
        return _LOST
    first, *others = sorted(change, key=lambda key: change[key])
    rest = "".join(f", without {key} by {_signed(change[key])}" for key in others)
    return f"Without {first} PSNR changes by {_signed(change[first])} dB{rest}"


def _tradeoff(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    for own, tint in ((result.sel(alpha_scale=0.0), draw.TARGET), (result.sel(alpha_scale=1.0), draw.SOURCE)):
        for name, dash in (("psnr_one", False), ("psnr_average", True)):
            layers.append(draw.curve(own.spread.values, own[name].values, color=tint, dash=dash, markers=True))
    layers.append(
        draw.text(own.spread.values, own.psnr_one.values - 0.3, [f"{c:g}" for c in own.c.values], side="center")
    )
    values = np.concatenate([result[name].values.ravel() for name in ("psnr_one", "psnr_average")])
    low, top, right = float(np.nanmin(values)) - 1.5, float(np.nanmax(values)) + 1, 1.3 * float(result.spread.max())
    if "psnr_exact" in result:
        exact, wide = (float(result[name].max()) for name in _EXACT)
        layers += [draw.hline(exact, "E[x | y]"), draw.vline(wide, "posterior", color=draw.GOOD, dash=True)]
        top, right = max(top, exact + 1), max(right, 1.3 * wide)
    rows = [("with DTA", draw.SOURCE), ("without", draw.TARGET), ("dashed: sample mean", draw.MUTED)]
    layers += draw.legend(rows, 0.3 * right, (1.7 * low - 0.7 * top, 0.7 * low + 0.3 * top))
    return draw.plot(
        *layers,
        xlabel="standard deviation of samples; numbers: c",
        ylabel="PSNR, dB",
        xlim=(0, right),
        ylim=(low, top),
    )


def _tradeoff_finding(result: xr.Dataset) -> str:
    own = result.sel(alpha_scale=1.0)
    if not np.isfinite(own.psnr_one).any():
        return _LOST
    peak = own.isel(c=int(np.nanargmax(own.psnr_one.values)))
    quality = f"{float(peak.psnr_one):.1f}".replace("-", "−")
    told = f"A sample's PSNR peaks at c = {float(peak.c):g} ({quality} dB); the standard deviation is"
    known = float(result.spread_exact.max()) if "spread_exact" in result else 0.0
    if not known > 1e-9:
        return f"{told} {number(float(peak.spread), 2)}"
    return f"{told} {float(peak.spread) / known:.0%} of exact"


PICTURES = Pictures(
    Picture(
        "answers",
        "Samples",
        "Top: image, measurement, mean of all samples, exact posterior mean. Bottom: samples from independent noise.",
        _answers,
        finds=PSNR.finding,
    ),
    Picture(
        "spread",
        "Standard deviation",
        "Left: observed pixels (white). Right: standard deviation of samples and of the posterior, on one scale.",
        _spread,
        finds="The standard deviation of samples is {spread:.2f} at masked pixels and {spread_seen:.2g} at observed pixels",
    ),
    Picture(
        "calibration",
        "Calibration",
        "Blue: velocity error e(t). Orange: weight λ(t). Dashed: Stable Diffusion 3, as published. Red: 2t, the limit of "
        "stability.",
        _calibration,
        finds=_calibration_finding,
    ),
    Picture(
        "filmstrip",
        "One sample, step by step",
        "Columns: times. Rows: estimate μ, noised μ, denoised image, and the model's noise endpoint, from which DTA makes the "
        "next noise.",
        _filmstrip,
        finds=_filmstrip_finding,
    ),
    Picture(
        "plane",
        "Two modes in the plane",
        "Dots: x_t of 300 samples, colored by final mode; only x₂ is measured. Shading: exact posterior samples with equal "
        "noise.",
        _plane,
        plays="moment",
        finds=_plane_finding,
    ),
    Picture(
        "parts",
        "Ablation",
        "Bars: PSNR of a sample with components switched off. Bottom: standard deviation of samples. Line: exact posterior "
        "mean.",
        _parts,
        along={"alpha_scale": (1.0, 0.0), "hdc": ("auto", "one step"), "crw": (True, False)},
        needs=("psnr_one", "spread"),
        also=_EXACT,
        finds=_parts_finding,
    ),
    Picture(
        "tradeoff",
        "PSNR and standard deviation",
        "Solid: PSNR of a sample. Dashed: PSNR of the sample mean. Numbers: c. Level lines: posterior mean and its standard "
        "deviation.",
        _tradeoff,
        along={"c": _C, "alpha_scale": (1.0, 0.0)},
        needs=("psnr_one", "psnr_average", "spread"),
        also=_EXACT,
        finds=_tradeoff_finding,
    ),
)

"""The pictures of FLAIR."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.studies.inverse.pictures_of_images import tiles

_MOMENTS = 8  # columns of the filmstrip
SWITCHES = {"DTA": "alpha_scale", "HDC": "hdc", "CRW": "crw"}
ON: dict[str, Any] = {"alpha_scale": 1.0, "hdc": "auto", "crw": True}
OFF: dict[str, Any] = {"alpha_scale": 0.0, "hdc": "one step", "crw": False}
SD3 = np.array([  # t, e(t) and λ(t) with c = 0.5
    (1, 0.646, 0.106), (0.95, 0.305, 0.398), (0.9, 0.258, 0.499), (0.8, 0.233, 0.570), (0.7, 0.237, 0.558), (0.6, 0.257, 0.502),
    (0.5, 0.289, 0.430), (0.4, 0.342, 0.338), (0.3, 0.422, 0.244), (0.2, 0.552, 0.150), (0.1, 0.768, 0.064), (0, 1.087, 0),
])
"""What was published of Stable Diffusion 3 on DIV2K, for comparison."""


# ---- one run -----------------------------------------------------------------------------------------------------


def _answers(result: xr.Dataset) -> Any:
    names = {"image": "clean", "measured": "start", "mean answer": "average"}
    names |= {"E[x | y]": "posterior_mean"} if "posterior_mean" in result else {}
    above, below = np.stack([tiles(result[name]) for name in names.values()]), tiles(result.samples[: len(names)])
    return draw.mosaic(np.stack([above, below]), ["", "answers"], list(names), height=340)


def _spread(result: xr.Dataset) -> Any:
    maps = {"answers": result.std_map}
    if "posterior_std" in result:
        maps["posterior"] = result.posterior_std
    peak = max(float(each.max()) for each in maps.values()) or 1.0
    shown = [tiles(1 - 2 * result.hidden), *(tiles(2 * each / peak - 1) for each in maps.values())]
    return draw.mosaic(
        np.stack(shown)[None], cols=["seen", *maps], height=340,
        note=f"black 0, white {peak:.2f}; mean where hidden {float(result.spread):.2f}"
        + (f" and {float(result.spread_exact):.2f}" if "spread_exact" in result else ""),
    )


def _calibration(result: xr.Dataset) -> Any:
    t, top = result.t.values[::-1], 1.25
    steep = np.array([0, 0.4])
    rows = [("e(t), here", draw.SOURCE), ("λ(t), here", draw.TARGET), ("dashed: SD3, as published", draw.MUTED)]
    return draw.plot(
        draw.curve(t, np.minimum(result.e.values[::-1], 2 * top)),
        draw.curve(t, result.lambda_R.values[::-1], color=draw.TARGET),
        draw.curve(SD3[:, 0], SD3[:, 1], dash=True), draw.curve(SD3[:, 0], SD3[:, 2], color=draw.TARGET, dash=True),
        draw.curve(steep, 2 * steep, "2t: unstable above", color=draw.WARN), _last(result), *draw.legend(rows, 0.5, (0, 1.2)),
        xlabel="time t: noise at 1, data at 0", ylabel="error of the velocity, weight", xlim=(0, 1), ylim=(0, top),
    )


def _last(result: xr.Dataset) -> Any:
    return draw.vline(sweeping.parameters(result)["t_min"], "last time", color=draw.MUTED, dash=True)


def _relaxation(result: xr.Dataset) -> Any:
    t, inner = result.t.values[-2:0:-1], SD3[-2:0:-1]
    return draw.plot(
        draw.curve(t, np.minimum(result.relaxation.values[-2:0:-1], 3), "here"),
        draw.curve(inner[:, 0], inner[:, 2] / inner[:, 0], color=draw.MUTED, dash=True), draw.text(0.55, 0.7, "SD3, c = 0.5"),
        draw.hline(1, "all the way"), draw.hline(2, "unstable above", color=draw.WARN), _last(result),
        xlabel="time t", ylabel="λ(t)/t", xlim=(0, 1), ylim=(0, 2.5),
    )


def _filmstrip(result: xr.Dataset) -> Any:
    at = np.unique(np.linspace(0, result.sizes["step"] - 1, _MOMENTS).round().astype(int))
    rows = {"estimate μ": "mu", "shown, x_t": "x_t", "denoised": "x0_hat", "noise end": "x1_hat"}
    shown = np.stack([tiles(result[name].isel(step=at)) for name in rows.values()])
    shown[3] = shown[3] / 3  # a standard normal on the greys
    return draw.mosaic(shown, list(rows), [f"{float(t):.2f}" for t in result.time[at]], note="time t above")


def _plane(result: xr.Dataset, at: int) -> Any:
    tints = np.array([draw.current().colour(tint) for tint in (draw.SOURCE, draw.TARGET, draw.GOOD)])
    ways = {str(way): draw.plane(result.plane_path.sel(way=way), "moment") for way in result.way.values}
    colors = {str(way): list(tints[result.plane_mode.sel(way=way).values]) for way in result.way.values}
    shades, ends = result.plane_density.values, (float(result.gx[0]), float(result.gx[-1]))
    t = float(np.append(result.time, 0.0)[int(result.moment[at]) - 1])
    return draw.film(
        ways, at, density=shades / np.maximum(shades.max(axis=(1, 2), keepdims=True), 1e-30), peak=0.9, limits=(ends, ends),
        colors=colors, note=f"t = {t:.2f}" + ("" if t else ", the answers"), tails=25, age=3, height=330,
    )


def _modes(result: xr.Dataset) -> Any:
    laws, at = [str(law) for law in result.law.values], np.arange(result.sizes["mode"])
    tints = (draw.MUTED, draw.SOURCE, draw.TARGET)
    distances = (0.0, float(result.plane_distance), float(result.plane_distance_fresh))
    names = ["posterior", *(f"{law}: W₁ = {far:.2f}" for law, far in zip(laws[1:], distances[1:], strict=True))]
    return draw.plot(
        *(draw.bars(at + 0.26 * (k - 1), result.plane_share.sel(law=law).values, width=0.24, color=tints[k])
          for k, law in enumerate(laws)),
        *draw.legend(list(zip(names, tints, strict=True)), 1.5, (0, 0.95)), xlabel="mode in the plane",
        ylabel="share of the answers", xticks=[(0, "left"), (1, "right"), (2, "below")], ylim=(0, 1), xlim=(-0.5, 2.9),
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _parts(result: xr.Dataset) -> Any:
    """Each part off, the others on; below how far answers spread."""
    cases = {"all": ON, **{f"no {key}": ON | {name: OFF[name]} for key, name in SWITCHES.items()}, "none": OFF}
    cells = [result.sel(case) for case in cases.values()]
    at, quality = np.arange(len(cases)), np.array([float(cell.psnr_one) for cell in cells])
    above, spreads = [f"{q:.1f}" for q in quality], [f"±{float(cell.spread):.2f}" for cell in cells]
    levels = [draw.hline(float(result.psnr_exact.max()), "E[x | y]")] if "psnr_exact" in result else []
    return draw.plot(
        draw.bars(at, quality, width=0.6), draw.text(at, quality - 0.3, above, color="#ffffff", side="center", up="top"),
        *levels, draw.text(at, np.full(len(at), 1.0), spreads, color="#ffffff", side="center"), xlabel="parts that are on",
        ylabel="PSNR of an answer, dB", xticks=list(zip(at.tolist(), cases, strict=True)), xlim=(-0.6, len(at) - 0.4),
        ylim=(min(0.0, 1.1 * float(np.nanmin(quality))), 1.35 * max(float(np.nanmax(quality)), 1.0)),
        note="±: how far answers spread",
    )


def _tradeoff(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    for own, tint in ((result.sel(alpha_scale=0.0), draw.TARGET), (result.sel(alpha_scale=1.0), draw.SOURCE)):
        for name, dash in (("psnr_one", False), ("psnr_average", True)):
            layers.append(draw.curve(own.spread.values, own[name].values, color=tint, dash=dash, markers=True))
    layers.append(draw.text(own.spread.values, own.psnr_one.values - 0.3, [f"{c:g}" for c in own.c.values], side="center"))
    values = np.concatenate([result[name].values.ravel() for name in ("psnr_one", "psnr_average")])
    low, top, right = float(np.nanmin(values)) - 1.5, float(np.nanmax(values)) + 1, 1.3 * float(result.spread.max())
    if "psnr_exact" in result:
        best, wide = (float(result[name].max()) for name in _EXACT)
        layers += [draw.hline(best, "E[x | y]"), draw.vline(wide, "posterior", color=draw.GOOD, dash=True)]
        top, right = max(top, best + 1), max(right, 1.3 * wide)
    rows = [("with DTA", draw.SOURCE), ("without", draw.TARGET), ("dashed: their mean", draw.MUTED)]
    layers += draw.legend(rows, 0.3 * right, (1.7 * low - 0.7 * top, 0.7 * low + 0.3 * top))
    told: dict[str, Any] = {"xlabel": "spread of the answers; numbers: c", "ylabel": "PSNR, dB"}
    return draw.plot(*layers, xlim=(0, right), ylim=(low, top), **told)


def _table(result: xr.Dataset) -> Any:
    """The sheet's table: a row for each c and DTA."""
    wide, narrow = (result.sel(t_min=t) for t in (0.18, 0.02))
    places = [(c, scale) for c in result.c.values for scale in (1.0, 0.0)]
    cell = lambda of, name, digits: [f"{float(of[name].sel(c=c, alpha_scale=a)):.{digits}f}" for c, a in places]  # noqa: E731
    return draw.table({
        "c": [f"{c:g}" for c, _ in places], "DTA": ["on" if a else "off" for _, a in places],
        "one, dB": cell(wide, "psnr_one", 1), f"mean of {result.sizes['sample']}": cell(wide, "psnr_average", 1),
        "spread": cell(wide, "spread", 3), "one, t_min = .02": cell(narrow, "psnr_one", 1),
    })


def _stability(result: xr.Dataset) -> Any:
    names = {"calibrated": True, "constant": False}
    lines = {name: result.psnr_one.sel(crw=crw) for name, crw in names.items()}
    low = float(min(line.min() for line in lines.values()))
    return draw.over(
        result.t_min, lines, logx=True, xlabel="last time t_min", ylabel="PSNR of an answer, dB",
        ylim=(max(low - 3, -60), 30),
        note=f"weight c = {sweeping.parameters(result)['c']:g}, calibrated or constant",
    )


def _priors(result: xr.Dataset) -> Any:
    priors = [str(prior) for prior in result.prior.values]
    lines = {prior: result.dta_gain.sel(prior=prior) for prior in priors}
    halves = {prior: result.dta_gain_half.sel(prior=prior) for prior in priors}
    bands = {prior: (line - halves[prior], line + halves[prior]) for prior, line in lines.items()}
    return draw.over(
        result.c, lines, bands=bands, levels={"no gain": 0.0}, ylabel="gain of PSNR by DTA, dB", logx=True,
        note="mean over test images and 95%",
    )


_C = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
_QUALITY = ("psnr_one", "psnr_average", "spread")
_EXACT = ("psnr_exact", "spread_exact")

PICTURES = Pictures(
    Picture("answers", "Answers", "Above, the image, what was measured and the mean of all answers beside that of the exact "
            "posterior; below, some answers from different noise.", _answers),
    Picture("spread", "Where they differ", "Standard deviation pixel by pixel, on one scale: it should sit where nothing was "
            "seen, and be as large as that of the posterior.", _spread),
    Picture("calibration", "Calibration", "Error of the model's velocity at each time (blue), and the weight that follows from "
            "it (orange). Dashed: Stable Diffusion 3, as published.", _calibration),
    Picture("relaxation", "How far a step goes", "A step moves μ by the share λ/t of the way to the denoised image: above 1 it "
            "overshoots, above 2 errors grow.", _relaxation),
    Picture("filmstrip", "An answer on its way", "Columns are times. The noise end is what the next noise is made of: with DTA "
            "it comes to rest towards the end, without it every step has fresh noise.", _filmstrip),
    Picture("plane", "Two answers in the plane", "Only x₂ was measured, and two modes agree with it. Points: x_t of 300 "
            "answers, coloured by the mode they end in; shaded: exact posterior samples with as much noise. Play it.", _plane,
            plays="moment"),
    Picture("modes", "Which of the two", "How many answers end in each mode, and how far their law is from the posterior (W₁ "
            "along x₁).", _modes),
    Picture("parts", "Which part matters", "PSNR of one answer with each of the three parts off. In the paper DTA has a larger "
            "effect than HDC, and HDC than CRW.", _parts,
            along={"alpha_scale": (1.0, 0.0), "hdc": ("auto", "one step"), "crw": (True, False)}, needs=("psnr_one", "spread"),
            also=_EXACT),
    Picture("priors", "Does DTA help?", "Gain over fresh noise in every step: next to nothing under a Gaussian prior, "
            "much under one that knows the training images alone.", _priors,
            along={"prior": ("Wiener", "optimal"), "c": (0.1, 0.25, 0.5, 1.0)}, needs=("dta_gain", "dta_gain_half")),
    Picture("tradeoff", "Fidelity or diversity", "As c grows answers spread as they should, and each for itself is further "
            "from the image; their mean is not.", _tradeoff, along={"c": _C, "alpha_scale": (1.0, 0.0)}, needs=_QUALITY,
            also=_EXACT),
    Picture("table", "Numbers", "Weight and trajectory adjustment.", _table,
            along={"c": (0.1, 0.25, 0.5, 1.0), "alpha_scale": (1.0, 0.0), "t_min": (0.18, 0.02)},
            needs=("psnr_one", "psnr_average", "spread", "sample_std", "psnr")),
    Picture("stability", "Where to stop", "A constant weight is above 2t near the data, and what it does there grows in every "
            "step; the calibrated one vanishes in time.", _stability,
            along={"t_min": (0.02, 0.05, 0.1, 0.18, 0.3, 0.5), "crw": (True, False), "c": (0.5,)},
            needs=("psnr_one",)),
)

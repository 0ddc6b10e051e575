"""The pictures of RED-diff."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.studies.inverse import pictures_of_images as common
from lab.studies.inverse.pictures_of_images import amplitudes, tiles

_ROWS = 8  # frames of the strip
_BANDS = 8  # shades of the ways in the plane
DRAWN_TIMES = slice(9, None, 10)  # of 1000
_QUALITIES = ("quality_posterior", "quality_start")


def _tints(names: list[str]) -> dict[str, str]:
    return dict(zip(names, draw.colours(6), strict=False)) | {"const": draw.MUTED}


def _film(result: xr.Dataset, at: int) -> Any:
    now, peak = result.isel(frame=at), float(result.clean_amplitude.max())
    start, x, mu, truth = (tiles(image) for image in (result.start, now.x_path, now.mu_path, result.clean))
    blank = np.full_like(truth, np.nan)
    mean = tiles(result.posterior_mean) if "posterior_mean" in result else blank
    fourier = [amplitudes(each, peak, mu) for each in (now.x_amplitude, now.mu_amplitude, result.clean_amplitude)]
    rows = [np.stack([start, x, mu, mean, truth]), np.stack([blank, *fourier[:2], blank, fourier[2]])]
    heads = ["measured", "x_t / α_t", "answer μ", "E[x | y]" if "posterior_mean" in result else "", "truth"]
    note = f"step {int(result.frame[at])} of {result.sizes['step']}"
    return draw.mosaic(np.stack(rows), ["image", "|FFT|"], heads, note=note, height=360)


def _strip(result: xr.Dataset) -> Any:
    some = result.isel(frame=np.unique(np.linspace(0, result.sizes["frame"] - 1, _ROWS).astype(int)))
    mu, x, peak = tiles(some.mu_path), tiles(some.x_path), float(result.clean_amplitude.max())
    rows = [mu, amplitudes(some.mu_amplitude, peak, mu), x, amplitudes(some.x_amplitude, peak, mu)]
    names = ["μ", "|FFT| of μ", "x_t / α_t", "|FFT| of it"]
    return draw.mosaic(np.stack(rows), names, [str(k) for k in some.frame.values], note="number of the step above")


def _rings(result: xr.Dataset) -> Any:
    lines = {f"{ring} frequencies": result.ring_error.sel(ring=ring).values for ring in result.ring.values}
    return draw.plot(
        *(draw.curve(result.step.values, line, name, color=tint)
          for (name, line), tint in zip(lines.items(), draw.colours(3), strict=True)),
        logy=True, xlabel="step", ylabel="error / what the image has there",
    )


def _strengths(result: xr.Dataset) -> Any:
    values, own = result.lambda_t, sweeping.parameters(result)["weight"]
    names = [str(name) for name in values.family.values]
    tints = _tints(names)
    return draw.plot(
        *(draw.curve(result.level.values[DRAWN_TIMES], values.sel(family=name).values[DRAWN_TIMES], name, color=tints[name])
          for name in names),
        logy=True, xlabel="time t, of 1000", ylabel="λ_t", note=f"in use: {own}",
    )


def _modes(result: xr.Dataset) -> Any:
    way = result.modes_path.transpose("tick", "particle", "axis").values
    cuts, tints = np.linspace(0, len(way) - 1, _BANDS + 1).astype(int), draw.colours(_BANDS, True, draw.TARGET)
    layers: list[Any] = []
    for first, last, tint in zip(cuts[:-1], cuts[1:], tints, strict=True):
        a, b = way[first:last], way[first + 1 : last + 1]
        ends = (side.ravel() for side in (a[..., 0], a[..., 1], b[..., 0], b[..., 1]))
        layers.append(draw.segments(*ends, color=tint, width=0.5))
    told = zip(result.modes_share.values, result.modes_weight.values, (1.37, 0.37, -0.63), strict=True)
    words = [(at, f"{share:.0%} of seeds, {weight:.0%} of posterior") for share, weight, at in told]
    return draw.heatmap(
        result.modes_density.values, result.gy.values, result.gx.values, xlabel="x₁, measured", ylabel="x₂, hidden",
        clabel="posterior density", equal=False, height=400, outline=False,
        marks=[*layers, draw.points(way[-1, :, 0], way[-1, :, 1], color=draw.INK, size=0.4),
               draw.text([-1.15] * len(words), [at for at, _ in words], [word for _, word in words], color=draw.INK)],
    )


def _heat(result: xr.Dataset) -> Any:
    values = result.quality.transpose("lam", "rate")
    return draw.heatmap(
        values.values, [f"{lam:g}" for lam in values.lam.values], [f"{rate:g}" for rate in values.rate.values],
        xlabel="learning rate η", ylabel="λ", clabel="PSNR, dB", clim=(float(values.min()), float(values.max())), outline=False,
    )


def _bed(result: xr.Dataset) -> Any:
    names, at = [str(name) for name in result.weight.values], result.lam.values
    tints = _tints(names)
    return draw.plot(
        *(draw.curve(at, result.rest_apart.sel(weight=name).values, name, color=tints[name], dash=True) for name in names),
        *(draw.curve(at, result.apart.sel(weight=name).values, color=tints[name], markers=True) for name in names),
        logx=True, xlabel="λ", ylabel="distance from the posterior mean, RMS", ylim=(0, None),
        note="dashed: at rest; below: the answers",
    )


PICTURES = Pictures(
    Picture("film", "From noise to an answer", "The denoiser sees x_t, at first mostly noise; what it makes of it pulls μ. "
            "Below: amplitudes of frequencies, low ones in the middle. Play it.", _film, plays="frame"),
    Picture("strip", "Step by step", "Coarse things settle first, high frequencies enter last.", _strip),
    Picture("rings", "Which frequencies when", "Error of μ in three rings of frequencies.", _rings),
    Picture("trace", "PSNR by step", "Of the answer in the film.", common.progress),
    Picture("answers", "Answers beside the posterior mean", "One for each noise of the method; below less the posterior mean.",
            common.answers),
    Picture("spread", "Do answers spread as they should?", "A dot is a pixel; below the line answers are too much alike.",
            common.spread, needs=("spread", "spread_posterior")),
    Picture("seeds", "Every answer", "Blue: answers; grey: the start; green: the posterior mean; orange: a draw from the "
            "posterior.", common.each_answer),
    Picture("perception", "Perception and distortion", "High: near the truth; left: like an image of the training set. Large "
            "dots are means.", common.perception),
    Picture("strengths", "Weights of the family", "λ_t against time: how hard the denoiser pulls when there is much noise.",
            _strengths),
    Picture("modes", "Three modes in the plane", "x₁ is measured, x₂ is not. The ways of 50 answers, dark late: each ends in "
            "one mode, and there they lie closer together than the posterior.", _modes),
    Picture("order", "The order is part of the method", "The same steps in another order. Green: the posterior mean; orange: "
            "where the averaged objective rests; grey: the start.",
            common.by_choice("order", "order of times"), along={"order": ("descending", "random", "ascending")},
            needs=("quality",), also=(*_QUALITIES, "quality_rest")),
    Picture("heat", "Strength and rate", "PSNR; along λ less changes than along η, since Adam does not see how "
            "large a slope is.", _heat,
            along={"lam": (0.001, 0.01, 0.1, 1.0, 10.0), "rate": (0.001, 0.004, 0.016, 0.064, 0.25, 1.0)}, needs=("quality",)),
    Picture("bed", "Beside the closed form", "Distance from the exact posterior mean, for each weight: in descending order it "
            "ends nearer than where its objective rests.", _bed,
            along={"weight": ("linear", "sqrt", "square", "log", "trunc_linear", "power2over3", "const"),
                   "lam": (0.001, 0.01, 0.1, 1.0)}, needs=("apart", "rest_apart")),
    Picture("steps", "How many steps", "PSNR against the number of steps.", common.against("steps", logx=True),
            along={"steps": (30, 100, 300, 1000)}, needs=("quality",), also=_QUALITIES),
    Picture("noise", "Noise of the measurement", "PSNR against its standard deviation.", common.against("noise"),
            along={"noise": (0.02, 0.05, 0.1, 0.2, 0.5)}, needs=("quality",), also=_QUALITIES),
    Picture("priors", "Which denoiser", "PSNR of two images in 100 steps. Green: the posterior mean, of the images themselves "
            "under “optimal”, else of a Gaussian.",
            common.by_choice("prior", "prior"),
            along={"prior": ("Wiener", "PCA locality", "LS", "optimal"), "tests": (2,), "seeds": (1,), "steps": (100,)},
            needs=("quality",), also=_QUALITIES),
)

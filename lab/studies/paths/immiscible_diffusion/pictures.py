"""The pictures of immiscible diffusion."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

_TINTS = {"independent": draw.MUTED, "assignment": draw.TARGET, "nearest": draw.SOURCE}
_DRAWN = 300  # particles
_LINES = 90
_SHADES = 5  # of how sure it is whose a noise is
_KS = (1, 2, 4, 8, 16, 32, 64)
_BATCHES = (16, 32, 64, 128, 256, 512, 1024)
_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)


def _titles(result: xr.Dataset) -> dict[str, str]:
    given = sweeping.parameters(result)
    return {"independent": "independent", "assignment": f"B = {given['batch']}", "nearest": f"k = {given['k']}"}


def known_rules(result: xr.Dataset, name: str) -> list[str]:
    """The rules under which this is known: of many images it is not under assignment."""
    return [rule for rule in _TINTS if rule != "assignment" or np.isfinite(result[name].sel(rule=rule)).any()]


def _tint(number: int) -> str:
    """Of an image: neighbours in number differ."""
    series = draw.current().series
    return draw.blend(series[number % len(series)], (1.0, 0.6, 0.35)[number // len(series) % 3])


# ---- one run -----------------------------------------------------------------------------------------------------


def _territory(rule: str) -> Callable[[xr.Dataset], Any]:
    def drawn(result: xr.Dataset) -> Any:
        owner = result.territory.sel(rule=rule).values.astype(int)
        sharp = result.sharpness.sel(rule=rule).values
        count, limit = result.sizes["image"], float(result.limit)
        unsure = 1 / count
        shade = np.clip((sharp - unsure) / (1 - unsure) * _SHADES, 0, _SHADES - 1e-9).astype(int)
        tints = [draw.blend(_tint(i), 0.14 + 0.7 * s / (_SHADES - 1)) for i in range(count) for s in range(_SHADES)]
        at = result.image_at.values
        inside = np.flatnonzero(np.abs(at).max(axis=1) <= limit)[:40]
        marks = [draw.points(*at[inside].T, color=[_tint(i) for i in inside], size=2.0 if count <= 12 else 0.8)]
        x, y = result.axis.values
        return draw.cells(
            owner * _SHADES + shade, (-limit, limit), (-limit, limit), tints=tints, marks=marks,
            xlabel=f"noise, {x}", ylabel=f"noise, {y}", height=400,
        )

    return drawn


def _trajectories(result: xr.Dataset) -> Any:
    pairs = result[["pair_noise", "pair_image"]].to_array("end").assign_coords(end=[0.0, 1.0])
    ways = {rule: draw.plane(pairs.sel(rule=rule), "end") for rule in _TINTS}
    (left, right), (low, high) = draw.window(*np.stack(list(ways.values()), axis=1))
    wide, tall = right - left, high - low
    layers = []
    for number, (rule, way) in enumerate(ways.items()):
        (start, end), whose = way[:, :_LINES] + (number * 1.1 * wide, 0), result.pair_index.sel(rule=rule).values[:_LINES]
        tints = np.array([_tint(image) for image in whose])
        for tint in dict.fromkeys(tints.tolist()):
            a, b = start[tints == tint].T, end[tints == tint].T
            layers += [draw.segments(*a, *b, color=tint, width=0.45), draw.points(*a, color=tint, size=0.16)]
        seen, first = np.unique(whose, return_index=True)
        layers += [
            draw.points(*end[first].T, color=tints[first].tolist(), size=1.2 if len(seen) < 20 else 0.5),
            draw.text([left + number * 1.1 * wide], [high + 0.05 * tall], _titles(result)[rule], color=draw.INK),
        ]
    return draw.frame(layers, (left, left + 3.2 * wide), (low, high + 0.13 * tall), equal=True, bare=True, height=300)


def _sampling(result: xr.Dataset, moment: int) -> Any:
    ways, goals, colors = {}, {}, {}
    for rule in known_rules(result, "paths"):
        title = f"{_titles(result)[rule]}: {float(result.share_error.sel(rule=rule)):.0%}"
        ways[title] = draw.plane(result.paths.sel(rule=rule)[:, :_DRAWN], "moment")
        goals[title] = draw.behind(result.image_at.values[:500], ways[title])
        colors[title] = [_tint(image) for image in result.end_index.sel(rule=rule).values[:_DRAWN]]
    steps = sweeping.parameters(result)["euler_steps"]
    return draw.film(
        ways, moment, goals=goals, colors=colors, tails=60, age=8, height=380,
        note=f"t = {float(result.moment[moment]):.2f}, {steps} Euler step{'s' if steps > 1 else ''}; %: misplaced "
        f"({float(result.share_floor):.0%} by chance)",
    )


def _by_level(name: str, ylabel: str, top: float | None = None) -> Callable[[xr.Dataset], Any]:
    def drawn(result: xr.Dataset) -> Any:
        titles, lines, bands, colors = _titles(result), {}, {}, {}
        for rule in known_rules(result, name):
            value, error = result[name].sel(rule=rule), 2 * result[f"{name}_error"].sel(rule=rule)
            lines[titles[rule]], bands[titles[rule]] = value, (value - error, value + error)
            colors[titles[rule]] = _TINTS[rule]
        here = float(sweeping.parameters(result)["alpha_bar"])
        return draw.over(result.t, lines, bands=bands, colors=colors, here=here, ylabel=ylabel, ylim=(0, top))

    return drawn


def _posterior(result: xr.Dataset) -> Any:
    shown = {}
    for rule in known_rules(result, "w"):
        order = np.argsort(result.query_image.sel(rule=rule).values, kind="stable")
        shown[_titles(result)[rule]] = draw.shaded(_tall(result.w.sel(rule=rule).values[order]))
    return draw.strip(shown, height=300)


def _tall(w: np.ndarray) -> np.ndarray:
    """Posteriors with square-ish cells that can be seen: few images are made wider, of many the likeliest are kept."""
    if w.shape[1] > 48:
        best = np.unique(np.argsort(-w.max(axis=0))[:48])
        w = w[:, best]
    return np.repeat(np.repeat(w, 8, axis=0), max(1, 8 * w.shape[0] // w.shape[1]), axis=1)


def _radius(result: xr.Dataset) -> Any:
    at, titles = result.bin.values, _titles(result)
    layers = [draw.band(at, 0 * at, result.radius_exact, color=draw.MUTED)]
    for rule in ("assignment", "nearest"):
        p = float(result.ks_p.sel(rule=rule))
        sign = "p < 0.001" if p < 1e-3 else f"p = {p:.2f}"
        layers.append(draw.curve(at, result.radius.sel(rule=rule), f"{titles[rule]}, {sign}", color=_TINTS[rule]))
    top = 1.15 * float(np.nanmax(np.append(result.radius.values[1:], result.radius_exact.values)))
    return draw.plot(*layers, xlabel="squared length of the noise, |n|²/d", ylabel="density", ylim=(0, min(top, 4.0)))


def _denoised(result: xr.Dataset) -> Any:
    rules = known_rules(result, "denoised")
    tiles = [result[name].sel(rule=rule).values for rule in rules for name in ("clean", "denoised")]
    return draw.mosaic(tiles, rows=[title for rule in rules for title in (_titles(result)[rule], "denoised")])


def _training(result: xr.Dataset) -> Any:
    width = result.sizes["step"] // 60
    return draw.training(
        {rule: result.loss.sel(rule=rule) for rule in _TINTS}, colors=_TINTS, bins=60, ylim=(0, None),
        ylabel="loss of the velocity" + (f", mean of {width} steps" if width > 1 else ""),
    )


def _learnt(result: xr.Dataset) -> Any:
    at = np.linspace(0, result.sizes["step"], result.sizes["check"] + 1)[1:]
    return draw.over(
        at, {rule: result.sliced_w2sq.sel(rule=rule) for rule in _TINTS}, colors=_TINTS, ticks=False, logy=True,
        xlabel="training step", ylabel="sliced W₂² of samples",
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _curves(result: xr.Dataset) -> Any:
    H = result.H.sel(rule="nearest")
    tints = draw.colours(result.sizes["k"], ordered=True)
    layers, last = [], np.inf
    for k, tint in zip(result.k.values, tints, strict=True):
        layers.append(draw.curve(result.t, H.sel(k=k), color=tint))
    for k, tint in zip(result.k.values, tints, strict=True):  # the lines meet on the right: each is named where it begins
        last = min(float(H.sel(k=k)[0]), last - 0.06)
        layers.append(draw.text([-0.015], [last], f"k = {int(k)}", color=tint, side="right"))
    return draw.plot(
        *layers, xlabel=draw.label(result.t), ylabel="H, 1: nothing is known of the image", xlim=(-0.16, 1),
        ylim=(min(0.0, last - 0.04), 1.05), xticks=(0, 0.2, 0.4, 0.6, 0.8, 1),
    )


def _bargain(result: xr.Dataset) -> Any:
    k, near = result.k.values, result.sel(rule="nearest")
    layers = [
        draw.curve(k, near.reduction, "nearer", markers=True),
        draw.curve(k, near.norm_drift, "drift of |n|²", color=draw.TARGET, markers=True),
        draw.curve(k, 100 * near.share_error, "misplaced", color=draw.GOOD, markers=True),
    ]
    if float(result.norm_drift_predicted.min()) > -60:  # its expansion holds
        layers += [
            draw.curve(k, result.reduction_predicted, color=draw.SOURCE, dash=True),
            draw.curve(k, result.norm_drift_predicted, color=draw.TARGET, dash=True),
        ]
    level = float(result.reduction.sel(rule="assignment").mean())
    return draw.plot(
        *layers, draw.hline(level),
        draw.text([float(k[0])], [level], f"assignment, B = {sweeping.parameters(result)['batch']}", up="bottom"),
        xlabel="noises to choose from, k", ylabel="%", logx=True, xticks=list(k),
    )


def _features(result: xr.Dataset) -> Any:
    run = result.sel(rule="nearest").transpose("k", "shown", ...)
    tiles = np.stack([run.clean.values[0], *run.denoised.values], axis=1)
    return draw.mosaic(tiles, cols=["images", *(f"k = {int(k)}" for k in run.k.values)], height=380)


def _batch_sizes(study: Study, data: Data) -> list[int]:
    most = 1024 if len(data.arrays["x"]) >= 256 else 256  # ties make it slow, and there is nothing to win
    return [batch for batch in _BATCHES if batch <= most]


def _batches(result: xr.Dataset) -> Any:
    value, error = (result[name].sel(rule="assignment") for name in ("reduction", "reduction_error"))
    nearest = f"nearest, k = {sweeping.parameters(result)['k']}"
    return draw.over(
        result.batch, {"assignment": value}, bands={"assignment": (value - 2 * error, value + 2 * error)},
        levels={nearest: float(result.reduction.sel(rule="nearest").mean())}, colors=_TINTS | {nearest: draw.SOURCE},
        xlabel="batch B", ylabel="nearer by (%)", ylim=(0, None),
    )


def _times(result: xr.Dataset) -> Any:
    return draw.over(
        result.batch, {rule: result.time_ms.sel(rule=rule) for rule in _TINTS}, colors=_TINTS, logy=True,
        xlabel="batch B", ylabel="time of a batch (ms)",
        note=f"k = {sweeping.parameters(result)['k']}, on {result.attrs['device']}",
    )


def _scales(result: xr.Dataset) -> Any:
    lines = {rule: result[f"H_{rule}"] for rule in _TINTS}
    if not np.isfinite(lines["assignment"]).any():
        del lines["assignment"]
    return draw.over(
        result.scaling, lines, colors=_TINTS, xlabel="image scaling c", ylim=(0, 1.05),
        ylabel=f"H at ᾱ = {sweeping.parameters(result)['alpha_bar']:.3g}",
    )


def _size_of_data(study: Study, data: Data) -> dict[str, list]:
    """The parameter that sets the dimension or the number of images of these data."""
    if data.name == "mnist-samples":
        return {"side": ["7", "14", "28"]}
    if data.name == "gaussian-points":
        return {"dimension": [2, 8, 32, 128, 512]}
    most = len(data.arrays["x"])
    return {"n": sorted({n for n in (4, 16, 64, 256) if n < most} | {min(most, 256)})}


def _one_size(result: xr.Dataset) -> str:
    swept = [name for name in sweeping.swept(result) if result.sizes[name] > 1]
    if swept in (["side"], ["dimension"], ["n"]):
        return ""
    return "it shows a sweep over one of side (of MNIST), dimension (of Gaussian points) and n (of digits)"


def size_swept(result: xr.Dataset) -> tuple[str, list[int], xr.Dataset]:
    """The parameter that was swept, the dimensions or numbers of images that it stands for, and the result along it."""
    run = result.squeeze()
    (name,) = sweeping.swept(run)
    values = [int(value) for value in run[name].values]
    return name, [value * value for value in values] if name == "side" else values, run


def _sizes(result: xr.Dataset) -> Any:
    name, at, run = size_swept(result)
    layers = [
        draw.curve(at, run.reduction.sel(rule=rule), rule, color=_TINTS[rule], markers=True)
        for rule in ("assignment", "nearest")
    ]
    if name != "n":
        layers.append(draw.curve(at, run.reduction_predicted, color=draw.SOURCE, dash=True))
    layers.append(draw.curve(at, run.norm_drift.sel(rule="nearest"), "drift of |n|²", color=draw.GOOD, markers=True))
    return draw.plot(
        *layers, xlabel={"side": "dimension d, by pooling", "dimension": "dimension d", "n": "images N"}[name], ylabel="%",
        logx=True, xticks=at,
    )


_OVER_K = ("H", "reduction", "norm_drift", "share_error", "reduction_predicted", "norm_drift_predicted")
PICTURES = Pictures(
    Picture("territories", "Whose noise is it? Nearest of k", "Color: the image of maximum posterior probability for a noise; "
            "stronger: more probable. Dots: images.",
            _territory("nearest"), needs=("territory",)),
    Picture("assigned", "Whose noise is it? Assignment", "The same where the noises of a batch are assigned to its images: a "
            "larger batch has sharper borders.", _territory("assignment"), needs=("territory",)),
    Picture("trajectories", "Which noise goes with which image", "Pairs of each rule, coloured by their image. Where lines of "
            "two colours cross, the denoiser can but average.", _trajectories, share=1.6),
    Picture("sampling", "Sampling from N(0, I)", "The same noise moved by the exact velocity of each rule, coloured by where "
            "it ends. %: samples too many at some image. Nearest was trained on another law of noise.", _sampling,
            plays="moment"),
    Picture("miscibility", "Miscibility by noise level", "How little a noisy image tells of which one it was: from pure noise "
            "(left) to nearly clean. Bands: two standard errors.",
            _by_level("H", "H, 1: nothing is known of the image", 1.05)),
    Picture("loss", "What no network can learn", "The minimum training loss at each noise level, due to the mixing of "
            "images.", _by_level("eps_mse", "ε-MSE, minimum training loss")),
    Picture("posterior", "The posterior of some queries", "Rows: noisy images at ᾱ, in order of where they come from; columns: "
            "images, of many the likeliest; dark: sure.", _posterior),
    Picture("radius", "The law of the noise", "Squared length of the noise: shaded N(0, I), which assignment keeps and nearest "
            "does not. p: of Kolmogorov's test.", _radius),
    Picture("denoised", "What the denoiser sees", "At ᾱ, image above, what is made of its noisy form below.", _denoised,
            needs=("denoised", "clean")),
    Picture("training", "Loss of networks", "Under each rule, of the same first weights.", _training, needs=("loss",)),
    Picture("learnt", "Samples of the networks", "Distance from the data after so many steps.", _learnt,
            needs=("sliced_w2sq", "loss")),
    Picture("curves", "Miscibility by k", "From light, k = 1, to dark, k = 64: the more noises to choose from, the less images "
            "mix.", _curves, along={"k": _KS}, needs=_OVER_K[:1], also=_OVER_K[1:]),
    Picture("bargain", "Benefit and bias", "Nearer noise is the benefit; noise of another law than the sampler's, and so "
            "samples at the wrong image, the price. Dashed: predicted for many dimensions.", _bargain, along={"k": _KS},
            needs=_OVER_K),
    Picture("features", "Pure noise, denoised", "Left: images whose noise was chosen; then what the denoiser makes of that "
            "noise alone: the grey mean for k = 1, something of the image for large k.", _features,
            along={"k": (1, 4, 16, 64), "alpha_bar": (0.0,)}, needs=("denoised", "clean")),
    Picture("batches", "Assignment by batch", "How much nearer the noise is, by the size of the batch.", _batches,
            along={"batch": _batch_sizes, "draws": (8,)}, needs=("reduction", "reduction_error")),
    Picture("times", "Time by batch", "Of pairing one batch, drawing included: assignment grows with the cube of the batch.",
            _times, along={"batch": _BATCHES, "draws": (2,), "timed": (True,)}, needs=("time_ms",)),
    Picture("scales", "Image scaling", "Miscibility at the same ᾱ where the images are multiplied by c.", _scales,
            along={"scaling": _SCALES}, needs=("H_independent", "H_assignment", "H_nearest")),
    Picture("sizes", "By dimension or number of images", "How much nearer each rule brings the noise, and what nearest does "
            "to its length. Dashed: predicted for many dimensions.", _sizes, where=_one_size, along=_size_of_data,
            needs=("reduction", "norm_drift", "reduction_predicted")),
)

"""The pictures of immiscible diffusion."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw.axes import frame
from lab.studies.draw.look import blend
from lab.studies.paths.path_parts import window

_TINTS = {"independent": draw.MUTED, "assignment": draw.TARGET, "nearest": draw.SOURCE}
_TAIL, _TAILED, _DRAWN = 8, 60, 300
_LINES = 90
_SHADES = 5  # of how sure it is whose a noise is
_KS = (1, 2, 4, 8, 16, 32, 64)
_BATCHES = (16, 32, 64, 128, 256, 512, 1024)
_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)


def _with(name: str, why: str) -> Callable[[xr.Dataset], str]:
    return lambda result: sweeping.single(result) or ("" if name in result else why)


def _over(name: str, variable: str = "", why: str = "") -> Callable[[xr.Dataset], str]:
    """A sweep over this parameter, and of others one value."""

    def applies(result: xr.Dataset) -> str:
        if name not in sweeping.swept(result):
            return f"it shows a sweep over {name}"
        if variable and variable not in result:
            return why
        more = [other for other in sweeping.swept(result) if other != name and result.sizes[other] > 1]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _flat(result: xr.Dataset, *kept: str) -> xr.Dataset:
    """Without the dimensions of parameters that have one value."""
    return result.isel({name: 0 for name in sweeping.swept(result) if name not in kept})


def _titles(result: xr.Dataset) -> dict[str, str]:
    given = sweeping.parameters(result)
    return {"independent": "independent", "assignment": f"B = {given['batch']}", "nearest": f"k = {given['k']}"}


def _tint(number: int) -> str:
    """Of an image: neighbours in number differ."""
    series = draw.current().series
    return blend(series[number % len(series)], (1.0, 0.6, 0.35)[number // len(series) % 3])


def _two(values: np.ndarray, beside: Any) -> np.ndarray:
    """In the plane: on a line, what it goes along (a time) is the first coordinate."""
    if values.shape[-1] == 2:
        return values
    return np.concatenate([np.broadcast_to(beside, values.shape), values], axis=-1)


def _span(values: np.ndarray) -> float:
    return float(np.ptp(values[np.isfinite(values)])) or 1.0


# ---- one run -----------------------------------------------------------------------------------------------------


def _territory(rule: str) -> Callable[[xr.Dataset], Any]:
    def drawn(result: xr.Dataset) -> Any:
        owner = result.territory.sel(rule=rule).values.astype(int)
        sharp = result.sharpness.sel(rule=rule).values
        count, limit = result.sizes["image"], float(result.limit)
        flat = 1 / count
        shade = np.clip((sharp - flat) / (1 - flat) * _SHADES, 0, _SHADES - 1e-9).astype(int)
        tints = [blend(_tint(i), 0.14 + 0.7 * s / (_SHADES - 1)) for i in range(count) for s in range(_SHADES)]
        at = result.image_at.values
        inside = np.abs(at).max(axis=1) <= limit
        chosen = [i for i in range(count) if inside[i]][:40]
        marks = [draw.points(*at[chosen].T, color=[_tint(i) for i in chosen], size=2.0 if count <= 12 else 0.8)]
        names = [str(axis) for axis in result.axis.values]
        return draw.cells(
            owner * _SHADES + shade, (-limit, limit), (-limit, limit), tints=tints, marks=marks,
            xlabel=f"noise, {names[0]}", ylabel=f"noise, {names[1]}", height=400,
        )  # fmt: skip

    return drawn


def _has_territory(rule: str) -> Callable[[xr.Dataset], str]:
    return _with("territory", "it needs at most 64 images of more than one dimension: choose fewer (images, under n)")


def _trajectories(result: xr.Dataset) -> Any:
    titles, layers = _titles(result), []
    noise, image = result.pair_noise.values, result.pair_image.values
    span = _span(np.concatenate([noise, image], axis=1))
    noise, image = _two(noise, 0.0), _two(image, span)
    index = result.pair_index.values
    (left, right), (low, high) = window(noise[np.isfinite(noise).all(axis=2)], image)
    wide, tall = right - left, high - low
    for at, rule in enumerate(result.rule.values.tolist()):
        off = at * 1.1 * wide
        order = np.arange(min(_LINES, index.shape[1]))
        for tint in dict.fromkeys(_tint(i) for i in index[at, order]):
            some = [j for j in order if _tint(index[at, j]) == tint]
            a, b = noise[at, some], image[at, some]
            layers += [
                draw.segments(a[:, 0] + off, a[:, 1], b[:, 0] + off, b[:, 1], color=tint, width=0.45),
                draw.points(a[:, 0] + off, a[:, 1], color=tint, size=0.16),
            ]
        seen = np.unique(index[at, order])
        first = [int(np.flatnonzero(index[at] == i)[0]) for i in seen]
        ends = image[at, first]
        layers.append(
            draw.points(
                ends[:, 0] + off, ends[:, 1], color=[_tint(i) for i in seen], size=1.2 if len(seen) < 20 else 0.5
            )
        )
        layers.append(draw.text([left + off], [high + 0.05 * tall], titles[rule], color=draw.INK))
    return frame(layers, (left, left + 3.2 * wide), (low, high + 0.13 * tall), equal=True, bare=True, height=300)


def _sampling(result: xr.Dataset, moment: int) -> Any:
    titles, panels = _titles(result), {}
    way = result.paths.values[:, :, :_DRAWN]
    span = _span(way)
    way = _two(way, span * result.moment.values[:, None, None, None])
    goal = _two(result.image_at.values, way[-1, 0, 0, 0])
    before = np.clip(np.arange(moment - _TAIL + 1, moment + 1), 0, None)
    for at, rule in enumerate(result.rule.values.tolist()):
        some = way[:, at]
        if not np.isfinite(some).all():
            continue
        tints = [_tint(i) for i in result.end_index.values[at, : some.shape[1]]]
        panels[f"{titles[rule]}: {float(result.share_error[at]):.0%}"] = draw.Panel(
            some[moment], some[before][:, :_TAILED], goal=goal[:500], color=tints
        )
    xlim, ylim = window(way[np.isfinite(way).all(axis=-1)], goal)
    steps = sweeping.parameters(result)["euler_steps"]
    return draw.particles(
        panels, xlim, ylim,
        note=f"t = {float(result.moment[moment]):.2f}, {steps} Euler step{'s' if steps > 1 else ''}; %: misplaced "
        f"({float(result.share_floor):.0%} by chance)",
    )  # fmt: skip


def _by_level(name: str) -> Callable[[xr.Dataset], Any]:
    def drawn(result: xr.Dataset) -> Any:
        layers, titles = [], _titles(result)
        at = result.t.values
        for rule in result.rule.values.tolist():
            value = result[name].sel(rule=rule).values
            if not np.isfinite(value).any():
                continue
            error = 2 * result[f"{name}_error"].sel(rule=rule).values
            layers += [
                draw.band(at, value - error, value + error, color=_TINTS[rule]),
                draw.curve(at, value, titles[rule], color=_TINTS[rule], markers=True),
            ]
        here = float(sweeping.parameters(result)["alpha_bar"])
        return draw.plot(
            *layers, draw.vline(here, "ᾱ", color=draw.MUTED, dash=True), xlabel=draw.label(result.t),
            ylabel="H, 1: nothing is known of the image" if name == "H" else "ε-MSE, least loss of training",
            ylim=(0, 1.05 if name == "H" else None),
        )  # fmt: skip

    return drawn


def _posterior(result: xr.Dataset) -> Any:
    shown = {}
    for at, rule in enumerate(result.rule.values.tolist()):
        w = result.w.values[at]
        if not np.isfinite(w).all():
            continue
        order = np.argsort(result.query_image.values[at], kind="stable")
        shown[f"{_titles(result)[rule]}"] = draw.shaded(_tall(w[order]))
    return draw.strip(shown, height=300)


def _tall(w: np.ndarray) -> np.ndarray:
    """Posteriors with square-ish cells that can be seen: few images are made wider, of many the likeliest are kept."""
    if w.shape[1] > 48:
        best = np.unique(np.argsort(-w.max(axis=0))[:48])
        w = w[:, best]
    return np.repeat(np.repeat(w, 8, axis=0), max(1, 8 * w.shape[0] // w.shape[1]), axis=1)


def _radius(result: xr.Dataset) -> Any:
    at, titles = result.bin.values, _titles(result)
    layers = [draw.band(at, 0 * at, result.radius_exact.values, color=draw.MUTED)]
    for rule in ("assignment", "nearest"):
        p = float(result.ks_p.sel(rule=rule))
        sign = "p < 0.001" if p < 1e-3 else f"p = {p:.2f}"
        layers.append(draw.curve(at, result.radius.sel(rule=rule).values, f"{titles[rule].split(',')[0]}, {sign}",
                                 color=_TINTS[rule]))  # fmt: skip
    top = 1.15 * float(np.nanmax(np.append(result.radius.values[1:], result.radius_exact.values)))
    return draw.plot(*layers, xlabel="squared length of the noise, |n|²/d", ylabel="density", ylim=(0, min(top, 4.0)))


def _mosaic(pixels: np.ndarray) -> np.ndarray:
    """(images, h, w) between -1 and 1, in one row."""
    pixels = np.pad(np.clip((pixels + 1) / 2, 0, 1), ((0, 0), (1, 0), (1, 0)), constant_values=0.5)
    return np.concatenate(list(pixels), axis=1)


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(rows, axis=0)


def _denoised(result: xr.Dataset) -> Any:
    shown, titles = {}, _titles(result)
    for at, rule in enumerate(result.rule.values.tolist()):
        found = result.denoised.values[at]
        if np.isfinite(found).all():
            clean, found = result.clean.values[at], found
            rows = [
                _mosaic(part)
                for half in np.array_split(np.arange(len(found)), 2)
                for part in (clean[half], found[half])
            ]
            shown[titles[rule]] = _stacked(rows)
    return draw.strip(shown, height=300)


def _training(result: xr.Dataset) -> Any:
    steps, layers = result.sizes["step"], []
    width = max(1, steps // 60)
    at = (np.arange(steps // width) + 0.5) * width
    for rule in result.rule.values.tolist():
        loss = result.loss.sel(rule=rule).values[: at.size * width].reshape(-1, width).mean(axis=1)
        layers.append(draw.curve(at, loss, rule, color=_TINTS[rule]))
    return draw.plot(
        *layers,
        xlabel="training step",
        ylabel="loss of the velocity" + (f", mean of {width} steps" if width > 1 else ""),
        ylim=(0, None),
    )


def _learnt(result: xr.Dataset) -> Any:
    steps = result.sizes["step"]
    at = np.linspace(0, steps, result.sizes["check"] + 1)[1:]
    layers = [
        draw.curve(at, result.sliced_w2sq.sel(rule=rule).values, rule, color=_TINTS[rule], markers=True)
        for rule in result.rule.values.tolist()
    ]
    return draw.plot(*layers, xlabel="training step", ylabel="sliced W₂² of samples", logy=True)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _over_k(study: Study, data: Data) -> dict[str, list]:
    return {"k": list(_KS)}


def _curves(result: xr.Dataset) -> Any:
    run = _flat(result, "k").sel(rule="nearest")
    layers = [
        draw.curve(run.t.values, run.H.sel(k=k).values, color=tint)
        for k, tint in zip(run.k.values, draw.colours(run.sizes["k"], ordered=True), strict=True)
    ]
    # the lines meet on the right: each is named where it begins
    start = run.H.isel(t=0).values
    names = [f"k = {int(k)}" for k in run.k.values]
    place, last = [], np.inf
    for level in start:
        last = min(float(level), last - 0.06)
        place.append(last)
    return draw.plot(
        *layers,
        *(
            draw.text([-0.015], [y], [name], color=tint, side="right")
            for y, name, tint in zip(place, names, draw.colours(run.sizes["k"], ordered=True), strict=True)
        ),
        xlabel=draw.label(result.t), ylabel="H, 1: nothing is known of the image", xlim=(-0.16, 1),
        ylim=(min(0.0, min(place) - 0.04), 1.05), xticks=(0, 0.2, 0.4, 0.6, 0.8, 1),
    )  # fmt: skip


def _bargain(result: xr.Dataset) -> Any:
    run = _flat(result, "k")
    k = run.k.values
    near = run.sel(rule="nearest")
    layers = [
        draw.curve(k, near.reduction.values, "nearer", markers=True),
        draw.curve(k, near.norm_drift.values, "drift of |n|²", color=draw.TARGET, markers=True),
        draw.curve(k, 100 * near.share_error.values, "misplaced", color=draw.GOOD, markers=True),
    ]
    if float(run.norm_drift_predicted.min()) > -60:  # its expansion holds
        layers += [
            draw.curve(k, run.reduction_predicted.values, color=draw.SOURCE, dash=True),
            draw.curve(k, run.norm_drift_predicted.values, color=draw.TARGET, dash=True),
        ]
    level = float(run.reduction.sel(rule="assignment").mean())
    return draw.plot(
        *layers, draw.hline(level),
        draw.text([float(k[0])], [level], f"assignment, B = {sweeping.parameters(result)['batch']}", up="bottom"),
        xlabel="noises to choose from, k", ylabel="%", logx=True, xticks=list(k),
    )  # fmt: skip


def _over_k_at_noise(study: Study, data: Data) -> dict[str, list]:
    return {"k": [1, 4, 16, 64], "alpha_bar": [0.0]}


def _features(result: xr.Dataset) -> Any:
    run = _flat(result, "k").sel(rule="nearest")
    shown = {"images": _mosaic(run.clean.isel(k=0).values)}
    for k in run.k.values:
        shown[f"k = {int(k)}"] = _mosaic(run.denoised.sel(k=k).values)
    columns = {}
    for title, row in shown.items():  # upright, so that they fit side by side
        count = run.sizes["shown"]
        size = row.shape[1] // count
        columns[title] = np.concatenate([row[:, i * size : (i + 1) * size] for i in range(count)], axis=0)
    return draw.strip(columns, height=380)


def _over_batch(study: Study, data: Data) -> dict[str, list]:
    most = 1024 if len(data.arrays["x"]) >= 256 else 256  # ties make it slow, and there is nothing to win
    return {"batch": [b for b in _BATCHES if b <= most], "draws": [8]}


def _batches(result: xr.Dataset) -> Any:
    run = _flat(result, "batch")
    b = run.batch.values
    value, error = (run[name].sel(rule="assignment").values for name in ("reduction", "reduction_error"))
    level = float(run.reduction.sel(rule="nearest").mean())
    return draw.plot(
        draw.band(b, value - 2 * error, value + 2 * error, color=draw.TARGET),
        draw.curve(b, value, "assignment", color=draw.TARGET, markers=True),
        draw.hline(level, f"nearest, k = {sweeping.parameters(result)['k']}", color=draw.SOURCE),
        xlabel="batch B", ylabel="nearer by (%)", logx=True, xticks=list(b), ylim=(0, None),
    )  # fmt: skip


def _over_time(study: Study, data: Data) -> dict[str, list]:
    return {"batch": list(_BATCHES), "draws": [2], "timed": [True]}


def _times(result: xr.Dataset) -> Any:
    run = _flat(result, "batch")
    b = run.batch.values
    return draw.plot(
        *(
            draw.curve(b, run.time_ms.sel(rule=rule).values, rule, color=_TINTS[rule], markers=True)
            for rule in run.rule.values.tolist()
        ),
        xlabel="batch B", ylabel="time of a batch (ms)", logx=True, logy=True, xticks=list(b),
        note=f"k = {sweeping.parameters(result)['k']}, on {result.attrs['device']}",
    )  # fmt: skip


def _over_scaling(study: Study, data: Data) -> dict[str, list]:
    return {"scaling": list(_SCALES)}


def _scales(result: xr.Dataset) -> Any:
    run = _flat(result, "scaling")
    c = run.scaling.values
    layers = [
        draw.curve(c, run[f"H_{rule}"].values, rule, color=_TINTS[rule], markers=True)
        for rule in _TINTS
        if np.isfinite(run[f"H_{rule}"].values).any()
    ]
    return draw.plot(
        *layers, xlabel="image scaling c", ylabel=f"H at ᾱ = {sweeping.parameters(result)['alpha_bar']:.3g}", logx=True,
        xticks=list(c), ylim=(0, 1.05),
    )  # fmt: skip


def _over_size(study: Study, data: Data) -> dict[str, list]:
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


def _sizes(result: xr.Dataset) -> Any:
    (name,) = (each for each in sweeping.swept(result) if result.sizes[each] > 1)
    run = _flat(result, name)
    values = [int(v) for v in run[name].values]
    at = [v * v for v in values] if name == "side" else values
    layers = [
        draw.curve(at, run.reduction.sel(rule=rule).values, rule, color=_TINTS[rule], markers=True)
        for rule in ("assignment", "nearest")
    ]
    if name != "n":
        layers.append(draw.curve(at, run.reduction_predicted.values, color=draw.SOURCE, dash=True))
    layers.append(
        draw.curve(at, run.norm_drift.sel(rule="nearest").values, "drift of |n|²", color=draw.GOOD, markers=True)
    )
    return draw.plot(
        *layers, xlabel={"side": "dimension d, by pooling", "dimension": "dimension d", "n": "images N"}[name], ylabel="%",
        logx=True, xticks=at,
    )  # fmt: skip


_KEPT = "H", "reduction", "norm_drift", "share_error", "reduction_predicted", "norm_drift_predicted"
_NO_IMAGES = "the data are no grey images: choose digits or MNIST"
PICTURES = Pictures(
    Picture("territories", "Whose noise is it? Nearest of k", "The image that a noise most likely belongs to; the stronger the "
            "colour, the surer. Dots: the images. Of more dimensions a slice through 0. At k = 1 no noise belongs to any.",
            _territory("nearest"), where=_has_territory("nearest")),
    Picture("assigned", "Whose noise is it? Assignment", "The same where the noises of a batch are assigned to its images: a "
            "larger batch has sharper borders.", _territory("assignment"), where=_has_territory("assignment")),
    Picture("trajectories", "Which noise goes with which image", "Pairs of each rule, coloured by their image. Where lines of "
            "two colours cross, the denoiser can but average.", _trajectories),
    Picture("sampling", "Sampling from N(0, I)", "The same noise moved by the exact velocity of each rule, coloured by where "
            "it ends. %: samples too many at some image. Nearest was trained on another law of noise.", _sampling,
            plays="moment"),
    Picture("miscibility", "Miscibility by noise level", "How little a noisy image tells of which one it was: from pure noise "
            "(left) to nearly clean. Bands: two standard errors.", _by_level("H")),
    Picture("loss", "What no network can learn", "The least loss of training at each level of noise: what is left where images "
            "mix.", _by_level("eps_mse")),
    Picture("posterior", "The posterior of some queries", "Rows: noisy images at ᾱ, in order of where they come from; columns: "
            "images, of many the likeliest; dark: sure.", _posterior),
    Picture("radius", "The law of the noise", "Squared length of the noise: shaded N(0, I), which assignment keeps and nearest "
            "does not. p: of Kolmogorov's test.", _radius),
    Picture("denoised", "What the denoiser sees", "At ᾱ, image above, what is made of its noisy form below.", _denoised,
            where=_with("denoised", _NO_IMAGES)),
    Picture("training", "Loss of networks", "Under each rule, of the same first weights.", _training,
            where=_with("loss", "nothing was trained: set training steps above 0")),
    Picture("learnt", "Samples of the networks", "Distance from the data after so many steps.", _learnt,
            where=_with("loss", "nothing was trained: set training steps above 0")),
    Picture("curves", "Miscibility by k", "From light, k = 1, to dark, k = 64: the more noises to choose from, the less images "
            "mix.", _curves, where=_over("k"), along=_over_k, also=_KEPT),
    Picture("bargain", "Benefit and bias", "Nearer noise is the benefit; noise of another law than the sampler's, and so "
            "samples at the wrong image, the price. Dashed: predicted for many dimensions.", _bargain, where=_over("k"),
            along=_over_k,
            also=_KEPT),
    Picture("features", "Pure noise, denoised", "Left: images whose noise was chosen; then what the denoiser makes of that "
            "noise alone: the grey mean for k = 1, something of the image for large k.", _features,
            where=_over("k", "denoised", _NO_IMAGES), along=_over_k_at_noise, also=("denoised", "clean")),
    Picture("batches", "Assignment by batch", "How much nearer the noise is, by the size of the batch.", _batches,
            where=_over("batch"), along=_over_batch, also=("reduction", "reduction_error")),
    Picture("times", "Time by batch", "Of pairing one batch, drawing included: assignment grows with the cube of the batch.",
            _times, where=_over("batch", "time_ms", "no time was measured: set it"), along=_over_time, also=("time_ms",)),
    Picture("scales", "Image scaling", "Miscibility at the same ᾱ where the images are multiplied by c.", _scales,
            where=_over("scaling"), along=_over_scaling, also=("H_independent", "H_assignment", "H_nearest")),
    Picture("sizes", "By dimension or number of images", "How much nearer each rule brings the noise, and what nearest does "
            "to its length. Dashed: predicted for many dimensions.", _sizes, where=_one_size, along=_over_size,
            also=("reduction", "norm_drift", "reduction_predicted")),
)  # fmt: skip

"""The pictures of the locality of denoisers, and what clicks in them choose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.statistics import mean_interval
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw import current

_SHORT = {"PCA locality": "local", "perceptron": "MLP", "transformer": "transf."}
_MANY = 4  # columns with a name, above which the names are short
_SHOWN = (2, 4, 5, 6, 7, 8)  # levels of curves against something else
_LARGE = 2e10  # products of a level, above which a picture does not sweep by itself
_THETAS = np.geomspace(0.005, 0.5, 7).round(4).tolist()
_RADII = (0, 1, 2, 3, 5, 8)
_STRENGTHS = (0.0, 1.0, 2.0, 4.0, 8.0)


# ---- what a result is --------------------------------------------------------------------------------------------


def _needs(name: str) -> Callable[[xr.Dataset], str]:
    """A sweep over this parameter, and no other of more than one value."""

    def applies(result: xr.Dataset) -> str:
        swept = [each for each in sweeping.parameters(result) if each in result.dims]
        if name not in swept:
            return f"it shows a sweep over {name}"
        more = [each for each in swept if each != name and result.sizes[each] > 1]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _with_network(result: xr.Dataset) -> str:
    return sweeping.single(result) or (
        "" if "r2_net" in result else "no network was trained: choose one under “networks”"
    )


def _with_pattern(result: xr.Dataset) -> str:
    return sweeping.single(result) or ("" if "pattern_field" in result else "no pattern is planted: switch it on")


def _known(values: xr.DataArray) -> list[str]:
    """The methods that have numbers."""
    table = values.transpose("denoiser", ...).values
    return [str(name) for name, row in zip(values.denoiser.values, table, strict=True) if np.isfinite(row).any()]


def _tint(name: str) -> str:
    tints = draw.colours(6)
    return {
        "PCA locality": tints[0], "Wiener": tints[1], "LS": tints[2], "optimal": current().muted, "U-Net": current().ink,
        "PSPC": tints[3], "ELS": tints[4], "nearest": tints[5], "perceptron": tints[3], "transformer": tints[4],
    }[name]


def _tiles(values: xr.DataArray) -> np.ndarray:
    """Images as the mosaic takes them: (..., H, W) greys, or (..., H, W, 3)."""
    values = values.transpose(..., "channel", "y", "x")
    return values.values[..., 0, :, :] if values.sizes["channel"] == 1 else np.moveaxis(values.values, -3, -1)


def _coloured(tiles: np.ndarray, grey: bool) -> np.ndarray:
    return np.repeat(tiles[..., None], 3, axis=-1) if grey else tiles


def _grey(result: xr.Dataset) -> bool:
    return result.sizes["channel"] == 1


def _named(names: Sequence[str]) -> list[str]:
    return [_SHORT.get(name, name) for name in names] if len(names) > _MANY else list(names)


def _pixel(result: xr.Dataset) -> list[tuple[int, int]]:
    given = sweeping.parameters(result)
    return [(given["row"], given["column"])]


def _level(value: float) -> str:
    return f"σ {value:.2g}" if value < 1 else f"σ {value:.3g}"


# ---- one run -----------------------------------------------------------------------------------------------------


def _look_names(result: xr.Dataset) -> list[str]:
    return _known(result.estimate_here)


def _look(result: xr.Dataset) -> Any:
    names, grey = _look_names(result), _grey(result)
    top = np.concatenate([_tiles(result.noisy)[None], _tiles(result.estimate_here.sel(denoiser=names))])
    fields = draw.signed(result.field.sel(denoiser=names).values)
    below = np.concatenate([_coloured(_tiles(result.clean)[None], grey), fields])
    tiles = np.stack([_coloured(top, grey), below])
    return draw.mosaic(
        tiles, ["noisy, denoised", "clean, field"], ["image", *_named(names)], marks=_pixel(result),
        note="fields: orange above zero, blue below, each on its own scale",
    )


def _at(result: xr.Dataset, x: float, y: float, rows: int, cols: int) -> tuple[int, int, int, int] | None:
    return draw.tile_at(x, y, (rows, cols, result.sizes["y"], result.sizes["x"]))


def _click_look(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    found = _at(result, x, y, 2, 1 + len(_look_names(result)))
    return {"row": found[2], "column": found[3]} if found else {}


def _sigma(value: float) -> dict[str, float]:
    return {"sigma": float(f"{np.clip(value, 0.003, 150):.3g}")}


def _sensitivity_rows(result: xr.Dataset) -> list[str]:
    return _known(result.sensitivity)


def _sensitivity(result: xr.Dataset) -> Any:
    names = _sensitivity_rows(result)
    order = slice(None, None, -1)  # levels rise to the right
    fields = result.sensitivity.sel(denoiser=names).transpose("denoiser", "field_level", "y", "x").values[:, order]
    mask = result["mask"].transpose("field_level", "y", "x").values[None, order]
    tiles = draw.signed(np.concatenate([fields, mask]))
    heads = [f"{value:.2g}" for value in result.field_level.values[order]]
    return draw.mosaic(tiles, [*names, "mask"], heads, marks=_pixel(result), note="noise level σ above")


def _click_sensitivity(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    levels = result.field_level.values[::-1]
    found = _at(result, x, y, len(_sensitivity_rows(result)) + 1, len(levels))
    return {"row": found[2], "column": found[3], **_sigma(levels[found[1]])} if found else {}


def _estimates(result: xr.Dataset) -> Any:
    names = _known(result.estimate)
    tiles = _tiles(result.estimate.sel(denoiser=names).transpose("denoiser", "level", "channel", "y", "x"))[:, ::-1]
    return draw.mosaic(
        tiles, names, [f"{value:.2g}" for value in result.level.values[::-1]], note="noise level σ above"
    )


def _click_estimates(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    levels = result.level.values[::-1]
    found = _at(result, x, y, len(_known(result.estimate)), len(levels))
    return _sigma(levels[found[1]]) if found else {}


def _spectrum(result: xr.Dataset) -> Any:
    values = result.eigenvalue.values
    variance = sweeping.parameters(result)["sigma"] ** 2
    shown = values[values > 1e-6 * values[0]] if values[0] > 0 else values[:0]
    at = np.arange(1, len(shown) + 1)
    count = int((shown > variance).sum())
    return draw.plot(
        draw.curve(at, shown, "λ"),
        draw.curve(at, shown / (shown + variance), "λ / (λ + σ²)", color=draw.GOOD),
        draw.hline(variance, "σ²", color=draw.TARGET, dash=False),
        logx=True, logy=True, xlabel="eigenvalue number", ylabel="λ, and the share that passes",
        note=f"{count} of {len(values)} directions have λ > σ²", xlim=(1, None),
        ylim=(None, 20 * max(float(values[0]), variance)),
    )


def _click_spectrum(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _sigma(y**0.5) if y > 0 else {}


def _errors(result: xr.Dataset) -> Any:
    result = result.sortby("level")  # a curve has its name at its end
    mean = result.mse_clean.mean("test").transpose("denoiser", "level")
    lines = [draw.curve(result.level.values, mean.sel(denoiser=n).values, n, color=_tint(n)) for n in _known(mean)]
    here = draw.vline(sweeping.parameters(result)["sigma"], "σ here", color=draw.MUTED, dash=True)
    low, high = float(np.nanmin(mean.values)), float(np.nanmax(mean.values))
    return draw.plot(
        *lines,
        here,
        logx=True,
        logy=True,
        xlabel="noise level σ",
        ylabel="mean squared error to the clean image",
        # of pixels with few levels an error can be 0 but for rounding: that should not take all of the picture
        ylim=(max(low / 2, 1e-8 * high), 12 * high),
    )


def _click_level(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _sigma(x) if x > 0 else {}


def _reference(result: xr.Dataset) -> str:
    return next(name for name in ("U-Net", "perceptron", "transformer") if name in _known(result.r2_net))


def _agreement(result: xr.Dataset) -> Any:
    result = result.sortby("level")
    reference = _reference(result)
    names = [name for name in _known(result.r2_net) if name != reference]
    table = result.r2_net.mean("test").transpose("denoiser", "level")
    lines: list[Any] = []
    for name in names:
        mean, half = table.sel(denoiser=name).values, result.r2_half.sel(denoiser=name).values
        lines += [
            draw.band(result.level.values, mean - half, mean + half, color=_tint(name)),
            draw.curve(result.level.values, mean, name, color=_tint(name)),
        ]
    low = float(table.sel(denoiser=names).min())
    return draw.plot(
        *lines, draw.vline(sweeping.parameters(result)["sigma"], "σ here", color=draw.MUTED, dash=True), logx=True,
        xlabel="noise level σ", ylim=(max(low - 0.05, -0.5), 1.1),
        ylabel=f"r² with the {reference}, mean of {result.sizes['test']} images and 95 %",
    )


def _samples(result: xr.Dataset, at: int) -> Any:
    names = _known(result.path)
    tiles = _tiles(result.path.sel(denoiser=names).isel(step=at).transpose("denoiser", "sample", "channel", "y", "x"))
    return draw.mosaic(tiles[:, :10], names, note=f"σ = {float(result.level[at]):.3g}")


def _memory(result: xr.Dataset) -> Any:
    names = _known(result.nearest_distance)
    rows = [*names[::-1], "test images"]
    layers = []
    for place, name in enumerate(rows):
        x = result.test_distance.values if name == "test images" else result.nearest_distance.sel(denoiser=name).values
        tint = draw.INK if name == "test images" else _tint(name)
        layers.append(draw.points(x, np.full(x.shape, float(place)), color=tint, alpha=0.8))
    return draw.plot(
        *layers, xlabel="distance from the nearest training image, RMS a pixel", ylabel="",
        yticks=list(enumerate(rows)), ylim=(-0.6, len(rows) - 0.4), xlim=(-0.01, None),
    )


def _sizes(result: xr.Dataset) -> Any:
    result = result.sortby("level")
    level = result.level.values

    def at_least(values: np.ndarray) -> np.ndarray:
        return np.where(values >= 0.5, values, np.nan)  # a curve has its name where it leaves the picture

    return draw.plot(
        draw.curve(level, at_least(result.mask_size.values), "pixels in the mask"),
        draw.curve(level, at_least(result.trace_W.values), "directions, tr W", color=draw.TARGET),
        draw.curve(level, result.ess.values, "images averaged", color=draw.GOOD),
        draw.vline(sweeping.parameters(result)["sigma"], "σ here", color=draw.MUTED, dash=True),
        logx=True, logy=True, xlabel="noise level σ", ylabel="number", ylim=(0.5, None),
    )


def _directions(result: xr.Dataset) -> Any:
    values, variance = result.eigenvalue.values, sweeping.parameters(result)["sigma"] ** 2
    shown = result.eigenvector.sum("channel").transpose("direction", "y", "x").values
    shown = shown[: len(shown) // 2 * 2]
    half = len(shown) // 2
    gains = values[: len(shown)] / (values[: len(shown)] + variance)
    tiles = draw.signed(shown).reshape(2, half, *shown.shape[1:], 3)
    rows = [f"{g[0]:.0%} to {g[-1]:.0%}" for g in (gains[:half], gains[half:])]
    return draw.mosaic(tiles, rows, note="left: the shares of them that pass the Wiener filter at σ")


def _click_direction(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    half = result.sizes["direction"] // 2
    found = _at(result, x, y, 2, half)
    value = float(result.eigenvalue[found[0] * half + found[1]]) if found else 0.0
    return _sigma(value**0.5) if value > 0 else {}


def _table(result: xr.Dataset) -> Any:
    against = "r2_net" in result
    values = (result.r2_net if against else result.mse_clean).mean("test").transpose("denoiser", "level")
    names = [name for name in _known(values) if not against or name != _reference(result)]
    heads = _named(names)
    columns: dict[str, list[str]] = {"σ": [f"{value:.3g}" for value in result.level.values] + ["mean"]}
    columns["σ"] += ["± 95 %", "pooled"] if against else []
    for head, name in zip(heads, names, strict=True):
        row = values.sel(denoiser=name).values
        more = [result.r2_mean_half, result.r2_pooled.mean("level")] if against else []
        columns[head] = [f"{value:.3f}" for value in [*row, row.mean(), *(float(m.sel(denoiser=name)) for m in more)]]
    return draw.table(columns)


def _error_table(result: xr.Dataset) -> Any:
    """Under each mean, half of its interval: side by side they do not fit on a column."""
    values = result.table_mse.transpose("denoiser", "table_level", "test")
    names = _known(values)
    columns = {
        "σ": _alternately([f"{value:g}" for value in result.table_level.values], ["±"] * len(result.table_level))
    }
    for name in names:
        found = [mean_interval(row) for row in values.sel(denoiser=name).values]
        columns[_SHORT.get(name, name)] = _alternately(
            [f"{error.mean:.2g}" for error in found], [f"{error.half:.1g}" for error in found]
        )
    rest = {"mask": result.table_mask_size, "images": result.table_ess}
    for head, numbers in rest.items():
        columns[head] = _alternately([f"{value:.3g}" for value in numbers.values], [""] * len(numbers))
    return draw.table(columns)


def _alternately(one: Sequence[str], two: Sequence[str]) -> list[str]:
    return [text for pair in zip(one, two, strict=True) for text in pair]


def _pattern_names(result: xr.Dataset) -> list[str]:
    return _known(result.pattern_field)


def _pattern(result: xr.Dataset) -> Any:
    names = _pattern_names(result)
    P = result.pattern.values[None]
    rows = [np.concatenate([P, v.sel(denoiser=names).values]) for v in (result.field, result.pattern_field)]
    return draw.mosaic(
        draw.signed(np.stack(rows)), ["one pixel", "Jᵀ P"], ["P", *(_SHORT.get(name, name) for name in names)],
        marks=_pixel(result),
        note="click a pixel on the letter, and one beside it", height=330,
    )


def _click_pattern(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    found = _at(result, x, y, 2, 1 + len(_pattern_names(result)))
    return {"row": found[2], "column": found[3]} if found else {}


def _pattern_table(result: xr.Dataset) -> Any:
    names = _pattern_names(result)
    rows = result.pattern_rows.sel(denoiser=names).transpose("denoiser", "stroke").values
    single = {"this pixel": result.pattern_pixel, "Jᵀ P": result.pattern_match}
    count = int(np.isfinite(rows[0]).sum())
    columns = {"field of": [*single, f"{count} pixels, median", "least", "gain ⟨P, J P⟩"]}
    for head, name, row in zip(_named(names), names, rows, strict=True):
        own = [float(values.sel(denoiser=name)) for values in single.values()]
        told = [*own, np.nanmedian(row), np.nanmin(row), float(result.pattern_gain.sel(denoiser=name))]
        columns[head] = [f"{value:.3f}" for value in told]
    return draw.table(columns)


def _training(result: xr.Dataset) -> Any:
    lines = []
    for name in ("U-Net", "perceptron", "transformer"):
        loss = result.curve_loss.sel(network=name).values
        loss = loss[np.isfinite(loss)]
        if loss.size:
            width = max(1, loss.size // 50)
            blocks = loss[: loss.size // width * width].reshape(-1, width).mean(axis=1)
            lines.append(draw.curve((np.arange(len(blocks)) + 0.5) * width, blocks, name, color=_tint(name)))
    return draw.plot(*lines, xlabel="training step", ylabel="loss", logy=True, ylim=(None, None))


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _modest(study: Any, data: Data) -> None:
    limits = study.limits(data)
    n = data.arrays["pixels"].shape[1] * (limits["row"].high + 1) * (limits["column"].high + 1)
    work = min(study.train, len(data.arrays["pixels"])) * n**2 * (study.tests + study.samples)
    if work > _LARGE:
        raise ValueError(
            "At this size a sweep takes minutes: begin it in the tab Sweep, or use fewer training images, or more pooling"
        )


def _over_theta(study: Study, data: Data) -> dict[str, Any]:
    _modest(study, data)
    return {"theta": _THETAS}


def _over_radius(study: Study, data: Data) -> dict[str, Any]:
    _modest(study, data)
    most = study.limits(data)["radius"].high
    return {"radius": [radius for radius in _RADII if radius <= most]}


def _over_train(study: Study, data: Data) -> dict[str, Any]:
    _modest(study, data)
    count = int((~np.asarray(data.arrays["held_out"])).sum())
    most = min(count, 2000)
    return {
        "train": sorted({max(2, round(most * share)) for share in (0.02, 0.06, 0.2, 0.5, 1.0)}),
        "networks": ["none"],
    }


def _over_strength(study: Study, data: Data) -> dict[str, Any]:
    _modest(study, data)
    return {"plant": [True], "strength": list(_STRENGTHS), "networks": [study.values()["networks"]]}


def _flat(result: xr.Dataset, name: str) -> xr.Dataset:
    """Without the parameters that the sweep only holds at one value."""
    given = sweeping.parameters(result)
    return result.isel({each: 0 for each in result.dims if each in given and each != name})


def _against(name: str, method: str, xlabel: str, **axes: Any) -> Callable[[xr.Dataset], Any]:
    """Agreement with the network where there is one, else the error, of a method at several levels."""

    def drawn(result: xr.Dataset) -> Any:
        flat = _flat(result, name)
        agreement = "r2_net" in flat
        values = (
            (flat.r2_net if agreement else flat.mse_clean).sel(denoiser=method).mean("test").transpose("level", name)
        )
        tints = draw.colours(len(_SHOWN), ordered=True)
        at = flat[name].values * 2 + 1 if name == "radius" else flat[name].values
        lines = [
            draw.curve(at, values.isel(level=k).values, _level(float(flat.level[k])), color=tint, markers=True)
            for k, tint in zip(_SHOWN, tints, strict=True)
        ]
        ylabel = f"r² of {method} with the network" if agreement else f"error of {method}"
        return draw.plot(*lines, xlabel=xlabel, ylabel=ylabel, logy=not agreement, **axes)

    return drawn


def _training_size(result: xr.Dataset) -> Any:
    flat = _flat(result, "train")
    level = _SHOWN[3]
    values = flat.mse_clean.isel(level=level).mean("test").transpose("denoiser", "train")
    lines = [
        draw.curve(flat.train.values, values.sel(denoiser=n).values, n, color=_tint(n), markers=True)
        for n in _known(values)
    ]
    return draw.plot(
        *lines, logx=True, logy=True, xlabel="training images", ylabel=f"error at σ = {float(flat.level[level]):.3g}"
    )


def _recovered(result: xr.Dataset) -> Any:
    flat = _flat(result, "strength")
    match = flat.pattern_rows.median("stroke").transpose("denoiser", "strength")
    lines = [
        draw.curve(flat.strength.values, match.sel(denoiser=n).values, n, color=_tint(n), markers=True)
        for n in _known(match)
    ]
    here = sweeping.parameters(result)["strength"]
    return draw.plot(
        *lines, draw.vline(here, "c here", color=draw.MUTED, dash=True), xlabel="strength c of the pattern",
        ylabel="correlation of single-pixel fields with P", ylim=(min(0.0, float(match.min())), 1.1),
    )


PICTURES = Pictures(
    Picture(
        "look", "Click a pixel",
        "above what each denoiser makes of the noisy image, below where it looks for the framed pixel: click another",
        _look, clicks=_click_look,
    ),
    Picture(
        "spectrum", "What the data allow", "directions with λ above σ² pass the Wiener filter; click a height to put σ² there",
        _spectrum, clicks=_click_spectrum,
    ),
    Picture(
        "sensitivity", "Where it looks, by noise level",
        "mean over test images, each on its own scale, orange above zero, blue below; click a pixel, which also sets σ",
        _sensitivity, clicks=_click_sensitivity,
    ),
    Picture(
        "errors", "Error by noise level", "to the clean image, mean over test images; click to set σ", _errors,
        clicks=_click_level,
    ),
    Picture(
        "agreement", "Agreement with the network", "1 where a denoiser gives what the network gives; click to set σ",
        _agreement, where=_with_network, clicks=_click_level,
    ),
    Picture(
        "estimates", "Estimates by noise level", "of the same image; rows are denoisers; click a column to set σ", _estimates,
        clicks=_click_estimates,
    ),
    Picture(
        "samples", "Samples", "ten steps of DDIM from the same noise in each column; rows are denoisers", _samples,
        plays="step",
    ),
    Picture(
        "memory", "Copies", "how far samples are from the nearest training image: 0 is a copy", _memory,
    ),
    Picture(
        "sizes", "How much is looked at", "pixels of the mask, directions of the Wiener filter, images of the optimal denoiser",
        _sizes, clicks=_click_level,
    ),
    Picture(
        "directions", "Largest directions", "eigenvectors of the covariance; click one to set σ where half of it passes",
        _directions, clicks=_click_direction,
    ),
    Picture("table", "Numbers", "r² with the network (pooled: of all images at once), or the error without one", _table),
    Picture("error_table", "Errors", "to the clean image, mean over test images with its 95 % interval; pixels in the mask; "
            "images that the optimal denoiser averages", _error_table),
    Picture(
        "pattern", "What a planted pattern does", "above the field of the framed pixel: on the letter it is the letter; below "
        "Jᵀ P, where the whole pattern is looked for; each on its own scale; click a pixel", _pattern, where=_with_pattern,
        clicks=_click_pattern,
    ),
    Picture(
        "pattern_table", "Does the field show the pattern?", "correlation with P: of the framed pixel's field in this image, "
        "of Jᵀ P, and of single pixels where P is strongest, mean over images", _pattern_table, where=_with_pattern,
    ),
    Picture("training", "Training", "loss of the networks, about 1 before it", _training,
            where=lambda result: _with_network(result)),
    Picture(
        "theta", "Threshold of the mask", "PCA locality against θ, a line for each noise level",
        _against("theta", "PCA locality", "θ", logx=True), where=_needs("theta"), along=_over_theta,
        also=("mse_clean", "r2_net"),
    ),
    Picture(
        "patch", "Size of the patch", "the local score machine (LS) against its patch, a line for each noise level",
        _against("radius", "LS", "side of the patch in pixels"), where=_needs("radius"), along=_over_radius,
        also=("mse_clean", "r2_net"),
    ),
    Picture(
        "training-size", "Number of training images", "at one noise level: local denoisers need few", _training_size,
        where=_needs("train"), along=_over_train, also=("mse_clean",),
    ),
    Picture(
        "recovered", "A pattern of rising strength", "how well fields of single pixels on the pattern show it at σ, median; "
        "without it they show their neighbours", _recovered, where=_needs("strength"), along=_over_strength,
        also=("pattern_rows",),
    ),
)

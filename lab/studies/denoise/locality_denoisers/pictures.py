"""The pictures of the locality of denoisers, and what clicks in them choose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.denoise.lineup import NETWORKS
from lab.numerics.statistics import mean_interval
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw import current

_SHORT = {"PCA locality": "local", "perceptron": "MLP", "transformer": "transf."}
_MANY = 4  # columns with a name, above which the names are short
SHOWN = (2, 4, 5, 6, 7, 8)  # levels of curves against something else
_LARGE = 2e10  # products of a level, above which a picture does not sweep by itself
_THETAS = np.geomspace(0.005, 0.5, 7).round(4).tolist()
_RADII = (0, 1, 2, 3, 5, 8)


# ---- what a result is --------------------------------------------------------------------------------------------


def known(values: xr.DataArray) -> list[str]:
    """The methods that have numbers."""
    table = values.transpose("denoiser", ...).values
    return [str(name) for name, row in zip(values.denoiser.values, table, strict=True) if np.isfinite(row).any()]


def _tint(name: str) -> str:
    tints = draw.colours(6)
    return {
        "PCA locality": tints[0], "Wiener": tints[1], "LS": tints[2], "optimal": current().muted, "U-Net": current().ink,
        "PSPC": tints[3], "ELS": tints[4], "nearest": tints[5], "perceptron": tints[3], "transformer": tints[4],
    }[name]


def _each(values: xr.DataArray, names: Sequence[str] | None = None) -> dict[str, xr.DataArray]:
    """What each denoiser has, by name."""
    return {name: values.sel(denoiser=name) for name in (known(values) if names is None else names)}


def _tints(names: Any) -> dict[str, str]:
    return {name: _tint(name) for name in names}


def _tiles(values: xr.DataArray) -> np.ndarray:
    """Images as the mosaic takes them: (..., H, W) greys, or (..., H, W, 3)."""
    values = values.transpose(..., "channel", "y", "x")
    return values.values[..., 0, :, :] if values.sizes["channel"] == 1 else np.moveaxis(values.values, -3, -1)


def _coloured(tiles: np.ndarray, result: xr.Dataset) -> np.ndarray:
    return np.repeat(tiles[..., None], 3, axis=-1) if result.sizes["channel"] == 1 else tiles


def _named(names: Sequence[str]) -> list[str]:
    return [_SHORT.get(name, name) for name in names] if len(names) > _MANY else list(names)


def _pixel(result: xr.Dataset) -> list[tuple[int, int]]:
    given = sweeping.parameters(result)
    return [(given["row"], given["column"])]


def _here(result: xr.Dataset) -> Any:
    return draw.vline(sweeping.parameters(result)["sigma"], "σ here", color=draw.MUTED, dash=True)


def reference(result: xr.Dataset) -> str:
    """The network that is compared with."""
    return next(name for name in NETWORKS if name in known(result.r2_net))


# ---- clicks ------------------------------------------------------------------------------------------------------


def _at(result: xr.Dataset, x: float, y: float, rows: int, cols: int) -> tuple[int, int, int, int] | None:
    return draw.tile_at(x, y, (rows, cols, result.sizes["y"], result.sizes["x"]))


def _sigma(value: float) -> dict[str, float]:
    return {"sigma": float(f"{np.clip(value, 0.003, 150):.3g}")}


def _click_pixel(shown: str) -> Callable[..., Mapping[str, Any]]:
    """Of two rows of images, one more than denoisers have ``shown``."""

    def clicked(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
        found = _at(result, x, y, 2, 1 + len(known(result[shown])))
        return {"row": found[2], "column": found[3]} if found else {}

    return clicked


def _click_sensitivity(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    levels = result.field_level.values[::-1]
    found = _at(result, x, y, len(known(result.sensitivity)) + 1, len(levels))
    return {"row": found[2], "column": found[3], **_sigma(levels[found[1]])} if found else {}


def _click_estimates(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    levels = result.level.values[::-1]
    found = _at(result, x, y, len(known(result.estimate)), len(levels))
    return _sigma(levels[found[1]]) if found else {}


def _click_spectrum(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _sigma(y**0.5) if y > 0 else {}


def _click_level(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return _sigma(x) if x > 0 else {}


def _click_direction(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    half = result.sizes["direction"] // 2
    found = _at(result, x, y, 2, half)
    value = float(result.eigenvalue[found[0] * half + found[1]]) if found else 0.0
    return _sigma(value**0.5) if value > 0 else {}


# ---- one run -----------------------------------------------------------------------------------------------------


def _look(result: xr.Dataset) -> Any:
    names = known(result.estimate_here)
    top = np.concatenate([_tiles(result.noisy)[None], _tiles(result.estimate_here.sel(denoiser=names))])
    fields = draw.signed(result.field.sel(denoiser=names).values)
    below = np.concatenate([_coloured(_tiles(result.clean)[None], result), fields])
    return draw.mosaic(
        np.stack([_coloured(top, result), below]), ["noisy, denoised", "clean, field"], ["image", *_named(names)],
        marks=_pixel(result), note="fields: orange above zero, blue below, each on its own scale", height=420,
    )


def _sensitivity(result: xr.Dataset) -> Any:
    names, turned = known(result.sensitivity), result.isel(field_level=slice(None, None, -1))  # levels rise to the right
    fields = turned.sensitivity.sel(denoiser=names).transpose("denoiser", "field_level", "y", "x").values
    mask = turned["mask"].transpose("field_level", "y", "x").values[None]
    heads = [f"{value:.2g}" for value in turned.field_level.values]
    tiles = draw.signed(np.concatenate([fields, mask]))
    return draw.mosaic(tiles, [*names, "mask"], heads, marks=_pixel(result), note="noise level σ above")


def _estimates(result: xr.Dataset) -> Any:
    names, turned = known(result.estimate), result.isel(level=slice(None, None, -1))
    tiles = _tiles(turned.estimate.sel(denoiser=names).transpose("denoiser", "level", "channel", "y", "x"))
    return draw.mosaic(tiles, names, [f"{value:.2g}" for value in turned.level.values], note="noise level σ above")


def _spectrum(result: xr.Dataset) -> Any:
    values = result.eigenvalue.values
    variance = sweeping.parameters(result)["sigma"] ** 2
    shown = values[values > 1e-6 * values[0]] if values[0] > 0 else values[:0]
    at = np.arange(1, len(shown) + 1)
    return draw.plot(
        draw.curve(at, shown, "λ"), draw.curve(at, shown / (shown + variance), "λ / (λ + σ²)", color=draw.GOOD),
        draw.hline(variance, "σ²", color=draw.TARGET, dash=False), logx=True, logy=True, xlabel="eigenvalue number",
        ylabel="λ, and the share that passes", note=f"{(shown > variance).sum()} of {len(values)} directions have λ > σ²",
        xlim=(1, None), ylim=(None, 20 * max(float(values[0]), variance)),
    )


def _errors(result: xr.Dataset) -> Any:
    result = result.sortby("level")  # a curve has its name at its end
    mean = result.mse_clean.mean("test")
    low, high = float(mean.min()), float(mean.max())
    return draw.plot(
        *(draw.curve(result.level.values, each.values, name, color=_tint(name)) for name, each in _each(mean).items()),
        _here(result), logx=True, logy=True, xlabel="noise level σ", ylabel="mean squared error to the clean image",
        # of pixels with few levels an error can be 0 but for rounding: that should not take all of the picture
        ylim=(max(low / 2, 1e-8 * high), 12 * high),
    )


def _agreement(result: xr.Dataset) -> Any:
    result, network = result.sortby("level"), reference(result)
    names = [name for name in known(result.r2_net) if name != network]
    mean, half = result.r2_net.mean("test"), result.r2_half
    lines: list[Any] = []
    for name in names:
        middle, apart = mean.sel(denoiser=name).values, half.sel(denoiser=name).values
        lines.append(draw.band(result.level.values, middle - apart, middle + apart, color=_tint(name)))
        lines.append(draw.curve(result.level.values, middle, name, color=_tint(name)))
    return draw.plot(
        *lines, _here(result), logx=True, xlabel="noise level σ",
        ylim=(max(float(mean.sel(denoiser=names).min()) - 0.05, -0.5), 1.1),
        ylabel=f"r² with the {network}, mean of {result.sizes['test']} images and 95%",
    )


def _samples(result: xr.Dataset, at: int) -> Any:
    names = known(result.path)
    tiles = _tiles(result.path.sel(denoiser=names).isel(step=at).transpose("denoiser", "sample", "channel", "y", "x"))
    return draw.mosaic(tiles[:, :10], names, note=f"σ = {float(result.level[at]):.3g}")


def _memory(result: xr.Dataset) -> Any:
    rows = dict(reversed(_each(result.nearest_distance).items())) | {"test images": result.test_distance}
    layers = []
    for place, (name, values) in enumerate(rows.items()):
        tint = draw.INK if name == "test images" else _tint(name)
        layers.append(draw.points(values.values, np.full(values.shape, float(place)), color=tint, alpha=0.8))
    return draw.plot(
        *layers, xlabel="distance from the nearest training image, RMS a pixel", ylabel="",
        yticks=list(enumerate(rows)), ylim=(-0.6, len(rows) - 0.4), xlim=(-0.01, None),
    )


def _sizes(result: xr.Dataset) -> Any:
    result = result.sortby("level")
    level = result.level.values
    # a curve has its name where it leaves the picture
    mask, trace = (np.where(each.values >= 0.5, each.values, np.nan) for each in (result.mask_size, result.trace_W))
    return draw.plot(
        draw.curve(level, mask, "pixels in the mask"), draw.curve(level, trace, "directions, tr W", color=draw.TARGET),
        draw.curve(level, result.ess.values, "images averaged", color=draw.GOOD), _here(result),
        logx=True, logy=True, xlabel="noise level σ", ylabel="number", ylim=(0.5, None),
    )


def _directions(result: xr.Dataset) -> Any:
    values, variance = result.eigenvalue.values, sweeping.parameters(result)["sigma"] ** 2
    shown = result.eigenvector.sum("channel").transpose("direction", "y", "x").values
    half = len(shown) // 2
    gains = (values / (values + variance))[: 2 * half].reshape(2, half)
    tiles = draw.signed(shown[: 2 * half]).reshape(2, half, *shown.shape[1:], 3)
    rows = [f"{row[0]:.0%} to {row[-1]:.0%}" for row in gains]
    return draw.mosaic(tiles, rows, note="left: the shares of them that pass the Wiener filter at σ")


def _table(result: xr.Dataset) -> Any:
    against = "r2_net" in result
    values = (result.r2_net if against else result.mse_clean).mean("test")
    names = [name for name in known(values) if not against or name != reference(result)]
    more = [result.r2_mean_half, result.r2_pooled.mean("level")] if against else []
    columns = {"σ": [*(f"{value:.3g}" for value in result.level.values), "mean", *(["± 95%", "pooled"] if against else [])]}
    for head, name in zip(_named(names), names, strict=True):
        row = values.sel(denoiser=name).values
        columns[head] = [f"{value:.3f}" for value in [*row, row.mean(), *(float(m.sel(denoiser=name)) for m in more)]]
    return draw.table(columns)


def _error_table(result: xr.Dataset) -> Any:
    """Under each mean, half of its interval: side by side they do not fit on a column."""
    levels = result.table_level.values
    columns = {"σ": _alternately([f"{value:g}" for value in levels], ["±"] * len(levels))}
    for name, values in _each(result.table_mse).items():
        found = [mean_interval(row) for row in values.transpose("table_level", "test").values]
        columns[_SHORT.get(name, name)] = _alternately(
            [f"{error.mean:.2g}" for error in found], [f"{error.half:.1g}" for error in found]
        )
    for head, numbers in {"mask": result.table_mask_size, "images": result.table_ess}.items():
        columns[head] = _alternately([f"{value:.3g}" for value in numbers.values], [""] * len(levels))
    return draw.table(columns)


def _alternately(one: Sequence[str], two: Sequence[str]) -> list[str]:
    return [text for pair in zip(one, two, strict=True) for text in pair]


def _pattern(result: xr.Dataset) -> Any:
    names, P = known(result.pattern_field), result.pattern.values[None]
    rows = [np.concatenate([P, v.sel(denoiser=names).values]) for v in (result.field, result.pattern_field)]
    heads = ["P", *(_SHORT.get(name, name) for name in names)]
    return draw.mosaic(
        draw.signed(np.stack(rows)), ["one pixel", "Jᵀ P"], heads, marks=_pixel(result),
        note="click a pixel on the letter, and one beside it", height=330,
    )


def _pattern_table(result: xr.Dataset) -> Any:
    names = known(result.pattern_field)
    rows = result.pattern_rows.sel(denoiser=names).transpose("denoiser", "stroke").values
    count = int(np.isfinite(rows[0]).sum())
    columns = {"field of": ["this pixel", "Jᵀ P", f"{count} pixels, median", "least", "gain ⟨P, J P⟩"]}
    for head, name, row in zip(_named(names), names, rows, strict=True):
        own = result.sel(denoiser=name)
        numbers = (own.pattern_pixel, own.pattern_match, np.nanmedian(row), np.nanmin(row), own.pattern_gain)
        columns[head] = [f"{float(value):.3f}" for value in numbers]
    return draw.table(columns)


def _training(result: xr.Dataset) -> Any:
    losses = {name: result.curve_loss.sel(network=name) for name in NETWORKS}
    trained = {name: loss for name, loss in losses.items() if np.isfinite(loss).any()}
    return draw.training(trained, colors=_tints(trained), bins=50, logy=True, ylim=(None, None))


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _modest(values: Callable[[Study, Data], Sequence[Any]]) -> Callable[[Any, Data], Sequence[Any]]:
    """These values, where a sweep over them takes seconds."""

    def chosen(study: Any, data: Data) -> Sequence[Any]:
        limits = study.limits(data)
        n = data.arrays["pixels"].shape[1] * (limits["row"].high + 1) * (limits["column"].high + 1)
        if min(study.train, len(data.arrays["pixels"])) * n**2 * (study.tests + study.samples) > _LARGE:
            raise ValueError(
                "At this size a sweep takes minutes: begin it in the tab Sweep, or use fewer training images, or more pooling"
            )
        return values(study, data)

    return chosen


@_modest
def _radii(study: Study, data: Data) -> Sequence[int]:
    return [radius for radius in _RADII if radius <= study.limits(data)["radius"].high]


@_modest
def _counts(study: Study, data: Data) -> Sequence[int]:
    most = min(int((~np.asarray(data.arrays["held_out"])).sum()), 2000)
    return sorted({max(2, round(most * share)) for share in (0.02, 0.06, 0.2, 0.5, 1.0)})


def _against(name: str, method: str, xlabel: str) -> Callable[[xr.Dataset], Any]:
    """Agreement with the network where there is one, else the error, of a method at several levels."""

    def drawn(result: xr.Dataset) -> Any:
        agreement = "r2_net" in result
        values = (result.r2_net if agreement else result.mse_clean).sel(denoiser=method).mean("test")
        levels = {f"σ {float(at):.{2 if at < 1 else 3}g}": values.isel(level=k) for k, at in enumerate(result.level.values)}
        shown = {word: line for k, (word, line) in enumerate(levels.items()) if k in SHOWN}
        at = result[name] if name != "radius" else 2 * result[name].values + 1
        ylabel = f"r² of {method} with the network" if agreement else f"error of {method}"
        return draw.over(at, shown, ordered=True, ticks=False, xlabel=xlabel, ylabel=ylabel, logy=not agreement)

    return drawn


def _training_size(result: xr.Dataset) -> Any:
    at = result.isel(level=SHOWN[3])
    lines = _each(at.mse_clean.mean("test"))
    return draw.over(
        result.train, lines, colors=_tints(lines), ticks=False, logy=True, xlabel="training images",
        ylabel=f"error at σ = {float(at.level):.3g}",
    )


def _recovered(result: xr.Dataset) -> Any:
    lines = _each(result.pattern_rows.median("stroke"))
    here = draw.vline(sweeping.parameters(result)["strength"], "c here", color=draw.MUTED, dash=True)
    at = result.strength.values
    return draw.plot(
        *(draw.curve(at, line.values, name, color=_tint(name), markers=True) for name, line in lines.items()), here,
        xlabel="strength c of the pattern", ylabel="correlation of single-pixel fields with P",
        ylim=(min(0.0, *(float(line.min()) for line in lines.values())), 1.1),
    )


PICTURES = Pictures(
    Picture("look", "Click a pixel", "above what each denoiser makes of the noisy image, below where it looks for the framed "
            "pixel: click another", _look, clicks=_click_pixel("estimate_here")),
    Picture("spectrum", "What the data allow", "directions with λ above σ² pass the Wiener filter; click a height to put σ² "
            "there", _spectrum, clicks=_click_spectrum),
    Picture("sensitivity", "Where it looks, by noise level", "mean over test images, each on its own scale, orange above zero, "
            "blue below; click a pixel, which also sets σ", _sensitivity, clicks=_click_sensitivity),
    Picture("errors", "Error by noise level", "to the clean image, mean over test images; click to set σ", _errors,
            clicks=_click_level),
    Picture("agreement", "Agreement with the network", "1 where a denoiser gives what the network gives; click to set σ",
            _agreement, needs=("r2_net",), clicks=_click_level),
    Picture("estimates", "Estimates by noise level", "of the same image; rows are denoisers; click a column to set σ",
            _estimates, clicks=_click_estimates),
    Picture("samples", "Samples", "ten steps of DDIM from the same noise in each column; rows are denoisers", _samples,
            plays="step"),
    Picture("memory", "Copies", "how far samples are from the nearest training image: 0 is a copy", _memory),
    Picture("sizes", "How much is looked at", "pixels of the mask, directions of the Wiener filter, images of the optimal "
            "denoiser", _sizes, clicks=_click_level),
    Picture("directions", "Largest directions", "eigenvectors of the covariance; click one to set σ where half of it passes",
            _directions, clicks=_click_direction),
    Picture("table", "Numbers", "r² with the network (pooled: of all images at once), or the error without one", _table),
    Picture("error_table", "Errors", "to the clean image, mean over test images with its 95% interval; pixels in the mask; "
            "images that the optimal denoiser averages", _error_table),
    Picture("pattern", "What a planted pattern does", "above the field of the framed pixel: on the letter it is the letter; "
            "below Jᵀ P, where the whole pattern is looked for; each on its own scale; click a pixel", _pattern,
            needs=("pattern_field",), clicks=_click_pixel("pattern_field")),
    Picture("pattern_table", "Does the field show the pattern?", "correlation with P: of the framed pixel's field in this "
            "image, of Jᵀ P, and of single pixels where P is strongest, mean over images", _pattern_table,
            needs=("pattern_field",)),
    Picture("training", "Training", "loss of the networks, about 1 before it", _training, needs=("curve_loss",)),
    Picture("theta", "Threshold of the mask", "PCA locality against θ, a line for each noise level",
            _against("theta", "PCA locality", "θ"), along={"theta": _modest(lambda study, data: _THETAS)},
            needs=("mse_clean",), also=("r2_net",)),
    Picture("patch", "Size of the patch", "the local score machine (LS) against its patch, a line for each noise level",
            _against("radius", "LS", "side of the patch in pixels"), along={"radius": _radii},
            needs=("mse_clean",), also=("r2_net",)),
    Picture("training-size", "Number of training images", "at one noise level: local denoisers need few", _training_size,
            along={"train": _counts, "networks": ("none",)}, needs=("mse_clean",)),
    Picture("recovered", "A pattern of rising strength", "how well fields of single pixels on the pattern show it at σ, "
            "median; without it they show their neighbours", _recovered,
            along={"plant": (True,), "strength": _modest(lambda study, data: (0.0, 1.0, 2.0, 4.0, 8.0))},
            needs=("pattern_rows",)),
)

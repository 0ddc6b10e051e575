"""Pictures of locality-denoisers, each with its caption and finding."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.denoise.lineup import NETWORKS
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number, percent

from .story import LOW, NAMES

_SHORT = {"PCA locality": "local", "perceptron": "MLP", "transformer": "transf."}
_COPY = 0.02  # RMS distance from a training image, of values in [-1, 1], below which a sample counts as a copy


def known(values: xr.DataArray) -> list[str]:
    """The methods that have numbers."""
    table = values.transpose("denoiser", ...).values
    return [str(name) for name, row in zip(values.denoiser.values, table, strict=True) if np.isfinite(row).any()]


def reference(result: xr.Dataset) -> str:
    """The network of the comparison: the first that was trained."""
    return next(name for name in NETWORKS if name in known(result.r2_net))


def _tint(name: str) -> str:
    order = ("PCA locality", "Wiener", "LS", "PSPC", "ELS", "nearest")
    tints = dict(zip(order, draw.colours(6), strict=True)) | {
        "optimal": draw.current().muted,
        "U-Net": draw.current().ink,
    }
    return (tints | {"perceptron": tints["PSPC"], "transformer": tints["ELS"]})[name]


def _tiles(values: xr.DataArray) -> np.ndarray:
    """Images as the mosaic takes them: (..., H, W) gray, or (..., H, W, 3)."""
    values = values.transpose(..., "channel", "y", "x")
    return values.values[..., 0, :, :] if values.sizes["channel"] == 1 else np.moveaxis(values.values, -3, -1)


def _coloured(tiles: np.ndarray, result: xr.Dataset) -> np.ndarray:
    return np.repeat(tiles[..., None], 3, axis=-1) if result.sizes["channel"] == 1 else tiles


def _pixel(result: xr.Dataset) -> list[tuple[int, int]]:
    given = sweeping.parameters(result)
    return [(given["row"], given["column"])]


def _here(result: xr.Dataset) -> Any:
    return draw.vline(sweeping.parameters(result)["sigma"], "σ here", color=draw.MUTED, dash=True)


def _two(value: float) -> str:
    return number(float(value), 2)


def _ranked(values: xr.DataArray) -> list[tuple[str, float]]:
    """Denoisers that have a number, in increasing order."""
    pairs = [(str(name), float(value)) for name, value in zip(values.denoiser.values, values.values, strict=True)]
    return sorted((pair for pair in pairs if np.isfinite(pair[1])), key=lambda pair: pair[1])


def _at(result: xr.Dataset, x: float, y: float, rows: int, cols: int) -> tuple[int, int, int, int] | None:
    return draw.tile_at(x, y, (rows, cols, result.sizes["y"], result.sizes["x"]))


def _sigma(value: float) -> dict[str, float]:
    return {"sigma": float(f"{np.clip(value, 0.003, 150):.3g}")}


def _click_pixel(shown: str) -> Callable[..., Mapping[str, Any]]:
    """In two rows of images, one more than there are denoisers with ``shown``."""

    def clicked(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
        found = _at(result, x, y, 2, 1 + len(known(result[shown])))
        return {"row": found[2], "column": found[3]} if found else {}

    return clicked


def _click_sensitivity(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    levels = result.field_level.values[::-1]
    found = _at(result, x, y, len(known(result.sensitivity)) + 1, len(levels))
    return {"row": found[2], "column": found[3], **_sigma(levels[found[1]])} if found else {}


def _look(result: xr.Dataset) -> Any:
    names = known(result.estimate_here)
    top = np.concatenate([_tiles(result.noisy)[None], _tiles(result.estimate_here.sel(denoiser=names))])
    maps = draw.signed(result.field.sel(denoiser=names).values)
    below = np.concatenate([_coloured(_tiles(result.clean)[None], result), maps])
    return draw.mosaic(
        np.stack([_coloured(top, result), below]),
        ["noisy, denoised", "clean, map"],
        ["image", *(_SHORT.get(name, name) for name in names)],
        marks=_pixel(result),
        note="each map on its own scale",
        height=420,
    )


def _sensitivity(result: xr.Dataset) -> Any:
    names, turned = (
        known(result.sensitivity),
        result.isel(field_level=slice(None, None, -1)),
    )  # levels rise to the right
    maps = turned.sensitivity.sel(denoiser=names).transpose("denoiser", "field_level", "y", "x").values
    mask = turned["mask"].transpose("field_level", "y", "x").values[None]
    heads = [f"{value:.2g}" for value in turned.field_level.values]
    tiles = draw.signed(np.concatenate([maps, mask]))
    return draw.mosaic(tiles, [*names, "mask"], heads, marks=_pixel(result), note="noise level σ above")


def _sensitivity_finding(result: xr.Dataset) -> str:
    rows = result.sensitivity.sel(denoiser="Wiener").sortby("field_level").isel(field_level=[0, -1])
    squares = (rows**2).sum(["y", "x"]).values
    if not (squares > 0).all():
        return "The Wiener filter's map is zero: this pixel does not vary"
    low, high = (_two(each) for each in squares**2 / (rows**4).sum(["y", "x"]).values)
    one, two = (_two(each) for each in rows.field_level.values)
    return f"The Wiener filter's map covers {low} pixels at σ = {one}, {high} at σ = {two}"


def _spectrum(result: xr.Dataset) -> Any:
    values = result.eigenvalue.values
    variance = sweeping.parameters(result)["sigma"] ** 2
    shown = values[values > 1e-6 * values[0]] if values[0] > 0 else values[:0]
    at = np.arange(1, len(shown) + 1)
    return draw.plot(
        draw.curve(at, shown, "λ"),
        draw.curve(at, shown / (shown + variance), "λ / (λ + σ²)", color=draw.GOOD),
        draw.hline(variance, "σ²", color=draw.TARGET, dash=False),
        logx=True,
        logy=True,
        xlabel="eigenvalue number",
        ylabel="λ, and the fraction that passes",
        xlim=(1, None),
        ylim=(None, 20 * max(float(values[0]), variance)),
    )


def _spectrum_finding(result: xr.Dataset) -> str:
    values, variance = np.maximum(result.eigenvalue.values, 0), sweeping.parameters(result)["sigma"] ** 2
    above = values[values > variance]
    part = percent(above.sum() / max(values.sum(), 1e-300))
    return f"{above.size} of {values.size} directions have λ > σ², with {part} of the variance"


def _errors(result: xr.Dataset) -> Any:
    result = result.sortby("level")  # a curve has its name at its end
    mean = result.mse_clean.mean("test")
    low, high = float(mean.min()), float(mean.max())
    return draw.plot(
        *(draw.curve(result.level.values, mean.sel(denoiser=name), name, color=_tint(name)) for name in known(mean)),
        _here(result),
        logx=True,
        logy=True,
        xlabel="noise level σ",
        ylabel="mean squared error to the clean image",
        ylim=(max(low / 2, 1e-8 * high), 12 * high),  # an error of 0 up to rounding should not fill the picture
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
        *lines,
        _here(result),
        logx=True,
        xlabel="noise level σ",
        ylim=(max(float(mean.sel(denoiser=names).min()) - 0.05, -0.5), 1.1),
        ylabel=f"r² with the {network}, mean of {result.sizes['test']} images and 95%",
    )


def _agreement_finding(result: xr.Dataset) -> str:
    near = np.abs(np.log(result.level.values / sweeping.parameters(result)["sigma"])).argmin()
    at, network = result.isel(level=int(near)), reference(result)
    pairs = [pair for pair in _ranked(at.r2_net.mean("test")) if pair[0] != network]
    (last, low), *_, (first, high) = pairs
    return f"At σ = {_two(at.level)} r² with {NAMES[network]} is {_two(high)} ({first}) to {_two(low)} ({last})"


def _samples(result: xr.Dataset, at: int) -> Any:
    names = known(result.path)
    tiles = _tiles(result.path.sel(denoiser=names).isel(step=at).transpose("denoiser", "sample", "channel", "y", "x"))
    return draw.mosaic(tiles[:, :10], names, note=f"σ = {float(result.level[at]):.3g}")


def _copies(result: xr.Dataset) -> str:
    copies = result.nearest_distance.sel(denoiser=known(result.nearest_distance)) < _COPY
    ours, others = copies.sel(denoiser="optimal"), copies.drop_sel(denoiser="optimal")
    own = f"{int(ours.sum())} of {ours.size} samples of the optimal denoiser are copies"
    return f"{own} (within {_COPY}), {int(others.sum())} of {others.size} of the others"


def _pattern(result: xr.Dataset) -> Any:
    names, P = known(result.pattern_field), result.pattern.values[None]
    rows = [np.concatenate([P, v.sel(denoiser=names).values]) for v in (result.field, result.pattern_field)]
    heads = ["P", *(_SHORT.get(name, name) for name in names)]
    tiles = draw.signed(np.stack(rows))
    return draw.mosaic(
        tiles, ["one pixel", "Jᵀ P"], heads, marks=_pixel(result), note="each map on its own scale", height=330
    )


def _pattern_finding(result: xr.Dataset) -> str:
    of = {"this map": _ranked(result.pattern_pixel)[-1:], "Jᵀ P": _ranked(result.pattern_match)[-1:]}
    said = [f"{_two(value)} of {what} ({name})" for what, found in of.items() for name, value in found]
    return f"Largest correlation with P: {', '.join(said)}" if said else "All maps of this pixel are constant"


PICTURES = Pictures(
    Picture(
        "look",
        "Estimates and sensitivity maps",
        "Top: noisy image and its estimates. Bottom: clean image and the sensitivity maps of the framed pixel (orange: "
        "positive, blue: negative). Click another pixel.",
        _look,
        clicks=_click_pixel("estimate_here"),
        finds="Pixels in the PCA mask: {mask_pixels:.0f}; images averaged by the optimal denoiser: {ess_here:.2g}",
    ),
    Picture(
        "spectrum",
        "Spectrum of the covariance",
        "Blue: eigenvalues λ. Green: fraction of each direction that the Wiener filter passes. Orange line: σ². Click a "
        "height to set σ².",
        _spectrum,
        clicks=lambda result, x, y: _sigma(y**0.5) if y > 0 else {},
        finds=_spectrum_finding,
    ),
    Picture(
        "sensitivity",
        "Sensitivity maps by noise level",
        "Rows: denoisers, and the PCA mask. Columns: noise levels. Mean over test images, each on its own scale (orange: "
        "positive, blue: negative). Click a pixel, which also sets σ.",
        _sensitivity,
        clicks=_click_sensitivity,
        finds=_sensitivity_finding,
    ),
    Picture(
        "errors",
        "Error by noise level",
        "Lines: mean squared error to the clean image, mean over test images. Click to set σ.",
        _errors,
        clicks=lambda result, x, y: _sigma(x) if x > 0 else {},
        finds=LOW.finding,
    ),
    Picture(
        "agreement",
        "Agreement with the network",
        "Lines: r² with the network's estimates, mean over test images (1: equal). Bands: 95% intervals. Click to set σ.",
        _agreement,
        needs=("r2_net",),
        clicks=lambda result, x, y: _sigma(x) if x > 0 else {},
        finds=_agreement_finding,
    ),
    Picture(
        "samples",
        "Samples",
        "Rows: denoisers. Columns: samples from the same noise, in ten steps of DDIM.",
        _samples,
        plays="step",
        finds=_copies,
    ),
    Picture(
        "pattern",
        "Sensitivity maps of a planted pattern",
        "Top: planted pattern P and sensitivity maps of the framed pixel. Bottom: P and Jᵀ P, the sensitivity of its "
        "coefficient. Orange: positive, blue: negative. Click a pixel.",
        _pattern,
        needs=("pattern_field",),
        clicks=_click_pixel("pattern_field"),
        finds=_pattern_finding,
    ),
)

"""The pictures of DiffusionMBIR, and what clicks in them choose."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .variables import DIVERGED, METHODS, PLANES

_SHOWN = ("FBP", "TV", "slice-wise", "MBIR")  # beside the truth
_RHOS, _LAMS = (0.0025, 0.01, 0.025, 0.1, 0.3, 1.0), (0.0, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2)
_EXACT = 50.0  # dB that are drawn at most
_FOUR, _BOTH = {"share": (True, False), "inner": (1, 5)}, ("psnr_path", "residual_path")  # one sweep for two pictures


def named(result: xr.Dataset, method: str) -> str:
    return "zero-filled" if method == "FBP" and sweeping.parameters(result)["scanner"] == "MRI" else method.split("-")[0]


def place_of(result: xr.Dataset) -> tuple[int, ...]:
    return tuple(sweeping.parameters(result)[name] for name in ("slice", "row", "column"))


def _planes(result: xr.Dataset) -> Any:
    (z, row, column), above = place_of(result), _above(result)
    every = [result.truth.values, *(result.volumes.sel(solver=name).values for name in _SHOWN)]
    tall = max(every[0].shape)
    planes = [[each[z], each[:, row], each[:, :, column]] for each in every]
    tiles = np.full((3, len(every), tall, tall), np.nan)
    for k, of in enumerate(planes):
        for i, plane in enumerate(of):
            tiles[i, k, above[i] : above[i] + len(plane), : plane.shape[1]] = 2 * np.clip(plane, 0, 1) - 1
    decibels = result.psnr_of.sel(plane="volume")
    heads = ["truth", *(f"{named(result, name)} {float(decibels.sel(solver=name)):.1f}" for name in _SHOWN)]
    return draw.mosaic(
        tiles, ["axial", "coronal", "sagittal"], heads,
        crosses=[(above[0] + row, column), (above[1] + z, column), (above[2] + z, row)],
        note=f"slice {z}, row {row}, column {column}; above: PSNR in dB; slices go down in the lower planes", height=540,
    )


def _above(result: xr.Dataset) -> tuple[int, int, int]:
    """Free pixels above each plane: all have one place as large as the largest."""
    slices, n = result.sizes["z"], result.sizes["x"]
    return max(0, slices - n) // 2, max(0, n - slices) // 2, max(0, n - slices) // 2


def _click_plane(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    slices, n = result.sizes["z"], result.sizes["x"]
    found = draw.tile_at(x, y, (3, 1 + len(_SHOWN), max(slices, n), max(slices, n)))
    plane, down, right = (0, -1, -1) if found is None else (found[0], found[2] - _above(result)[found[0]], found[3])
    if not (0 <= down < (n, slices, slices)[plane] and 0 <= right < n):
        return {}
    return dict(zip((("row", "column"), ("slice", "column"), ("slice", "row"))[plane], (down, right), strict=True))


def _film(result: xr.Dataset, at: int) -> Any:
    path = result.coronal_path.isel(step=at)
    row = place_of(result)[1]
    tiles = [result.truth.isel(y=row).values, *(path.sel(diffusion=name).values for name in ("slice-wise", "MBIR"))]
    shown = 2 * np.clip(np.stack(tiles)[None], 0, 1) - 1
    note = f"row {row}, step {at + 1} of {result.sizes['step']}, σ = {float(result.sigma[at]):.3g}"
    return draw.mosaic(shown, cols=["truth", "slice-wise", "MBIR"], note=note, height=300)


def _profile(result: xr.Dataset) -> Any:
    (z, row, column), tints = place_of(result), (draw.MUTED, draw.TARGET, draw.SOURCE)
    lines = [draw.curve(result.z.values, result.volumes.sel(solver=name).isel(y=row, x=column).values, name, color=tint)
             for name, tint in zip(("TV", "slice-wise", "MBIR"), tints, strict=True)]
    truth = draw.curve(result.z.values, result.truth.isel(y=row, x=column).values, "truth", color=draw.INK, dash=True)
    return draw.plot(*lines, truth, draw.vline(z, "z", color=draw.MUTED, dash=True), xlabel="slice z",
                     ylabel=f"grey value at row {row}, column {column}")


def _click_slice(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return {"slice": int(np.clip(round(x), 0, result.sizes["z"] - 1))}


def _marked(at: np.ndarray, high: int) -> Any:
    return draw.segments(at, np.full(at.size, -0.5), at, np.full(at.size, high - 0.5), color=draw.TARGET, width=1.2)


def _sinogram(result: xr.Dataset) -> Any:
    marks = [_marked(result.measured.dropna("view").values, result.sizes["detector"])]
    return draw.heatmap(result.sinogram.values, cols=result.angle.values, xlabel="angle (°)", ylabel="detector", marks=marks,
                        clabel="sum along lines", equal=False, outline=False)


def _spectrum(result: xr.Dataset) -> Any:
    values, marks = np.maximum(result.spectrum.values, -3), _marked(np.flatnonzero(result.lines), result.sizes["ky"])
    return draw.heatmap(values, xlabel="frequency, columns", ylabel="frequency, rows", clabel="log₁₀ |F x|",
                        clim=(-3.0, float(values.max())), marks=[marks], outline=False)


def _roughness(result: xr.Dataset) -> Any:
    lines = {"MBIR": result.roughness_path.values, "σ": result.sigma.values, "unrelated slices": result.unrelated.values}
    return draw.convergence(lines, xlabel="step", ylabel="roughness across slices")


def _table(result: xr.Dataset) -> Any:
    columns = {"PSNR": [named(result, name) for name in METHODS]}
    columns |= {plane: [f"{value:.1f}" for value in result.psnr_of.sel(plane=plane).values] for plane in PLANES}
    return draw.table(columns | {"residual": [float(f"{value:.1g}") for value in result.residual_of.values],
                                 "flicker": [f"{value:.4f}" for value in result.tv_of.values]})


def _similarity(result: xr.Dataset) -> Any:
    columns = {"SSIM": [named(result, name) for name in METHODS]}
    return draw.table(columns | {plane: [f"{value:.3f}" for value in result.ssim_of.sel(plane=plane).values]
                                 for plane in PLANES[:3]})


def _views(result: xr.Dataset) -> Any:
    lines = {name: np.minimum(result.psnr_of.sel(solver=name, plane="volume").values, _EXACT) for name in METHODS}
    return draw.over(result.views, lines, ylabel="PSNR of the volume (dB)")


def _weights(result: xr.Dataset) -> Any:
    table = result.transpose("lam", "rho", ...)
    wild = np.argwhere(~(table.roughness.values <= DIVERGED))
    bound = float(np.interp(0.0, np.log(_RHOS), np.arange(len(_RHOS)))) if len(table.rho) == len(_RHOS) else np.nan
    return draw.heatmap(
        np.maximum(table.psnr.values, 0), table.lam.values, table.rho.values, xlabel="ADMM weight ρ, in units of |A|²",
        ylabel="penalty λ", clabel="PSNR (dB)", clim=(10.0, float(np.nanmax(table.psnr))), outline=False,
        marks=[draw.text(wild[:, 1], wild[:, 0], ["×"] * len(wild), color=draw.WARN, side="center"),
               draw.vline(bound, "", color=draw.TARGET, dash=True)],
    )


def _four(name: str, ylabel: str, log: bool) -> Any:
    def drawn(result: xr.Dataset) -> Any:
        tints = {1: draw.TARGET, 5: draw.SOURCE}
        lines = [draw.curve(result.step.values, result[name].sel(share=share, inner=inner).values,
                            f"M = {inner}{'' if share else ', not shared'}", color=tints[inner], dash=not share)
                 for share in (True, False) for inner in (1, 5)]
        return draw.plot(*lines, xlabel="step", ylabel=ylabel, logy=log)

    return drawn


PICTURES = Pictures(
    Picture("planes", "Three planes", "click a place: the cross-hair goes there in all planes", _planes, clicks=_click_plane),
    Picture("film", "Step by step", "a coronal plane, through all slices: without a penalty it keeps flickering", _film,
            plays="step"),
    Picture("profile", "Through the slices", "grey values along z at the cross-hair; click to move it", _profile,
            clicks=_click_slice),
    Picture("sinogram", "What is measured", "sums of the slice from all sides; orange: the angles that are measured", _sinogram,
            needs=("sinogram", "measured")),
    Picture("spectrum", "What is measured", "frequencies of the slice; orange: the lines that are measured", _spectrum,
            needs=("spectrum", "lines")),
    Picture("roughness", "Does it diverge?", "above unrelated slices with noise of that level it does", _roughness),
    Picture("table", "Numbers", "PSNR in dB by plane, |A x - y| / |y|, and what differs between neighbours", _table),
    Picture("similarity", "Similarity", "SSIM by plane; planes along z show the flicker", _similarity),
    Picture("views", "By views", "each method; 50 dB and more, which is exact, are drawn as 50", _views, needs=("psnr_of",),
            along={"views": (2, 4, 8, 16, 32, 64)}, when={"scanner": ("sparse views", "limited angle")}, why="it has no views"),
    Picture("weights", "By penalty and weight", "×: it diverges; dashed: ρ = |A|²; from 10 dB on", _weights,
            along={"rho": _RHOS, "lam": _LAMS}, needs=("psnr", "roughness")),
    Picture("progress", "Shared or not", "PSNR after each step, by CG steps M", _four("psnr_path", "PSNR (dB)", False),
            along=_FOUR, needs=_BOTH),
    Picture("residuals", "How it comes to fit", "residual after each step", _four("residual_path", "|A x - y| / |y|", True),
            along=_FOUR, needs=_BOTH),
)

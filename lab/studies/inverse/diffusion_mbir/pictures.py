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
_FOUR = {"share": (True, False), "inner": (1, 5)}


# ---- one run -----------------------------------------------------------------------------------------------------


def _named(result: xr.Dataset, method: str) -> str:
    return "zero-filled" if method == "FBP" and sweeping.parameters(result)["scanner"] == "MRI" else method


def _place(result: xr.Dataset) -> tuple[int, int, int]:
    given = sweeping.parameters(result)
    return given["slice"], given["row"], given["column"]


def _planes(result: xr.Dataset) -> Any:
    z, row, column = _place(result)
    every = [result.truth.values, *(result.volumes.sel(solver=name).values for name in _SHOWN)]
    tall = max(every[0].shape)
    planes = [[each[z], each[:, row], each[:, :, column]] for each in every]
    tiles = [[np.pad(2 * np.clip(plane, 0, 1) - 1, [(0, tall - len(plane)), (0, tall - plane.shape[1])],
                     constant_values=np.nan) for plane in of] for of in planes]
    decibels = result.psnr_of.sel(plane="volume")
    heads = ["truth", *(f"{_named(result, name)} {float(decibels.sel(solver=name)):.1f} dB" for name in _SHOWN)]
    return draw.mosaic(
        np.swapaxes(tiles, 0, 1), [f"axial, z = {z}", f"coronal, row {row}", f"sagittal, column {column}"], heads,
        crosses=[(row, column), (z, column), (z, row)], note="in the lower planes z goes down",
    )


def _click_plane(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    slices, n, tall = result.sizes["z"], result.sizes["x"], max(result.truth.shape)
    found = draw.tile_at(x, y, (3, 1 + len(_SHOWN), tall, tall))
    if found is None or found[2] >= (n if found[0] == 0 else slices) or found[3] >= n:
        return {}
    plane, _, down, right = found
    return dict(zip((("row", "column"), ("slice", "column"), ("slice", "row"))[plane], (down, right), strict=True))


def _film(result: xr.Dataset, at: int) -> Any:
    path = result.coronal_path.isel(step=at)
    row = _place(result)[1]
    tiles = [result.truth.isel(y=row).values, *(path.sel(diffusion=name).values for name in ("slice-wise", "MBIR"))]
    shown = 2 * np.clip(np.stack(tiles)[None], 0, 1) - 1
    note = f"step {at + 1} of {result.sizes['step']}, σ = {float(result.sigma[at]):.3g}"
    return draw.mosaic(shown, [f"row {row}"], ["truth", "slice-wise", "MBIR"], note=note, height=300)


def _profile(result: xr.Dataset) -> Any:
    (z, row, column), tints = _place(result), (draw.MUTED, draw.TARGET, draw.SOURCE)
    fibre = result.volumes.isel(y=row, x=column)
    lines = [draw.curve(result.z.values, fibre.sel(solver=name).values, name, color=tint)
             for name, tint in zip(("TV", "slice-wise", "MBIR"), tints, strict=True)]
    truth = draw.curve(result.z.values, result.truth.isel(y=row, x=column).values, "truth", color=draw.INK, dash=True)
    return draw.plot(*lines, truth, draw.vline(z, "z", color=draw.MUTED, dash=True), xlabel="slice z",
                     ylabel=f"grey value at row {row}, column {column}")


def _click_slice(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
    return {"slice": int(np.clip(round(x), 0, result.sizes["z"] - 1))}


def _sinogram(result: xr.Dataset) -> Any:
    at, high = result.measured.values, result.sizes["detector"]
    at = at[np.isfinite(at)]
    marks = [draw.segments(at, np.full(at.size, -0.5), at, np.full(at.size, high - 0.5), color=draw.TARGET, width=1.2)]
    return draw.heatmap(result.sinogram.values, cols=result.angle.values, xlabel="angle (°)", ylabel="detector",
                        clabel="sum along lines", marks=marks, equal=False, outline=False)


def _spectrum(result: xr.Dataset) -> Any:
    at, high = np.flatnonzero(result.lines.values), result.sizes["ky"]
    marks = [draw.segments(at, np.full(at.size, -0.5), at, np.full(at.size, high - 0.5), color=draw.TARGET, width=1.2)]
    values = np.maximum(result.spectrum.values, -3)
    return draw.heatmap(values, xlabel="frequency, columns", ylabel="frequency, rows", clabel="log₁₀ |F x|",
                        clim=(-3.0, float(values.max())), marks=marks, outline=False)


def _roughness(result: xr.Dataset) -> Any:
    return draw.plot(
        draw.curve(result.step.values, result.roughness_path.values, "MBIR"),
        draw.curve(result.step.values, result.unrelated.values, "unrelated slices", color=draw.MUTED, dash=True),
        draw.curve(result.step.values, result.sigma.values, "σ", color=draw.TARGET, dash=True),
        logy=True, xlabel="step", ylabel="roughness across slices",
    )


def _table(result: xr.Dataset) -> Any:
    columns = {"": [_named(result, name) for name in METHODS]}
    columns |= {f"{plane}, dB": [f"{value:.1f}" for value in result.psnr_of.sel(plane=plane).values] for plane in PLANES}
    columns |= {f"SSIM {plane}": [f"{value:.3f}" for value in result.ssim_of.sel(plane=plane).values] for plane in PLANES[:3]}
    return draw.table(columns | {"residual": [f"{value:.2g}" for value in result.residual_of.values],
                                 "|D_z x|": [f"{value:.2g}" for value in result.tv_of.values]})


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _views(result: xr.Dataset) -> Any:
    lines = {_named(result, name): result.psnr_of.sel(solver=name, plane="volume") for name in METHODS}
    return draw.over(result.views, lines, ylabel="PSNR of the volume (dB)")


def _weights(result: xr.Dataset) -> Any:
    table = result.transpose("lam", "rho", ...)
    wild = np.argwhere(~(table.roughness.values <= DIVERGED))
    bound = float(np.interp(0.0, np.log(_RHOS), np.arange(len(_RHOS)))) if len(table.rho) == len(_RHOS) else np.nan
    return draw.heatmap(
        np.maximum(table.psnr.values, 0), table.lam.values, table.rho.values, xlabel="ADMM weight ρ, in units of |A|²",
        ylabel="penalty λ", clabel="PSNR (dB)", clim=(10.0, float(np.nanmax(table.psnr))), outline=False,
        marks=[draw.text(wild[:, 1], wild[:, 0], ["diverges"] * len(wild), color=draw.WARN, side="center"),
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
    Picture("table", "Numbers", "PSNR, SSIM and flicker by plane; those of planes along z tell flicker", _table),
    Picture("views", "By views", "each method", _views, along={"views": (2, 4, 8, 16, 32, 64)}, needs=("psnr_of",),
            when={"scanner": ("sparse views", "limited angle")}, why="MRI has no views"),
    Picture("weights", "By penalty and weight", "dashed: ρ = |A|²; PSNR below 10 dB has the lightest shade", _weights,
            along={"rho": _RHOS, "lam": _LAMS}, needs=("psnr", "roughness")),
    Picture("progress", "Shared or not", "PSNR after each step, by CG steps M", _four("psnr_path", "PSNR (dB)", False),
            along=_FOUR, needs=("psnr_path",)),
    Picture("residuals", "How it comes to fit", "residual after each step", _four("residual_path", "|A x - y| / |y|", True),
            along=_FOUR, needs=("residual_path",)),
)

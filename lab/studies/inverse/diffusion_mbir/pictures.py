"""Pictures: what each shows, its caption and its finding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

from .experiment import DIVERGED, METHODS, PLANES

PSNR = Comparison(
    "psnr",
    "volume PSNR",
    {
        "FBP": "direct inversion",
        "least norm": "the minimum-norm solution",
        "MAP": "Gaussian MAP",
        "TV": "total variation",
        "slice-wise": "slice-wise diffusion",
        "MBIR": "DiffusionMBIR",
    },
    "higher",
    result="psnr_of",
    along="solver",
    at={"plane": "volume"},
    ours="MBIR",
)

_SHOWN = ("FBP", "TV", "slice-wise", "MBIR")  # beside the truth
_RHOS, _LAMS = (0.0025, 0.01, 0.025, 0.1, 0.3, 1.0), (0.0, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2)
_EXACT = 50.0  # dB, the upper end of the scale
_WILD = "The diffusion diverged: its numbers are not finite"


def _named(result: xr.Dataset, method: str) -> str:
    return (
        "zero-filled" if method == "FBP" and sweeping.parameters(result)["scanner"] == "MRI" else method.split("-")[0]
    )


def _place(result: xr.Dataset) -> tuple[int, ...]:
    return tuple(sweeping.parameters(result)[name] for name in ("slice", "row", "column"))


def _planes(result: xr.Dataset) -> Any:
    (z, row, column), above = _place(result), _above(result)
    every = [result.truth.values, *(result.volumes.sel(solver=name).values for name in _SHOWN)]
    tall = max(every[0].shape)
    planes = [[each[z], each[:, row], each[:, :, column]] for each in every]
    tiles = np.full((3, len(every), tall, tall), np.nan)
    for k, of in enumerate(planes):
        for i, plane in enumerate(of):
            tiles[i, k, above[i] : above[i] + len(plane), : plane.shape[1]] = 2 * np.clip(plane, 0, 1) - 1
    decibels = result.psnr_of.sel(plane="volume")
    heads = ["truth", *(f"{_named(result, name)} {float(decibels.sel(solver=name)):.1f}" for name in _SHOWN)]
    return draw.mosaic(
        tiles,
        ["axial", "coronal", "sagittal"],
        heads,
        crosses=[(above[0] + row, column), (above[1] + z, column), (above[2] + z, row)],
        note=f"slice {z}, row {row}, column {column}; numbers: PSNR in dB; lower planes: slices from top to bottom",
        height=540,
    )


def _above(result: xr.Dataset) -> tuple[int, int, int]:
    """Free pixels above each plane: all tiles have the size of the largest plane."""
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
    path, row = result.coronal_path.isel(step=at), _place(result)[1]
    tiles = [result.truth.isel(y=row).values, *(path.sel(diffusion=name).values for name in ("slice-wise", "MBIR"))]
    shown = 2 * np.clip(np.stack(tiles)[None], 0, 1) - 1
    note = f"row {row}, step {at + 1} of {result.sizes['step']}, σ = {float(result.sigma[at]):.3g}"
    return draw.mosaic(shown, cols=["truth", "slice-wise", "MBIR"], note=note, height=300)


def _film_finding(result: xr.Dataset) -> str:
    last, row = result.coronal_path.isel(step=-1), _place(result)[1]
    ends = [result.truth.isel(y=row), *(last.sel(diffusion=name) for name in ("slice-wise", "MBIR"))]
    apart = [float(np.abs(np.diff(end.transpose("z", "x").values, axis=0)).mean()) for end in ends]
    if not np.isfinite(apart).all():
        return _WILD
    truth, alone, ours = (number(each, 2) for each in apart)
    return f"Final slices differ by {ours} with the penalty, {alone} without it, {truth} in truth"


def _table(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"method": [_named(result, name) for name in METHODS]}
    columns |= {plane: [f"{value:.1f}" for value in result.psnr_of.sel(plane=plane).values] for plane in PLANES}
    for plane in ("axial", "coronal"):
        columns[f"SSIM {plane}"] = [f"{value:.3f}" for value in result.ssim_of.sel(plane=plane).values]
    columns["residual"] = [float(f"{value:.1g}") for value in result.residual_of.values]
    return draw.table(columns | {"flicker": [f"{value:.4f}" for value in result.tv_of.values]})


def _measured(result: xr.Dataset) -> Any:
    if "sinogram" in result:
        return draw.heatmap(
            result.sinogram.values,
            cols=result.angle.values,
            xlabel="angle (°)",
            ylabel="detector",
            marks=[_marked(result.measured.dropna("view").values, result.sizes["detector"])],
            clabel="sum along lines",
            equal=False,
            outline=False,
        )
    values = np.maximum(result.spectrum.values, -3)
    return draw.heatmap(
        values,
        xlabel="frequency, columns",
        ylabel="frequency, rows",
        clabel="log₁₀ |F x|",
        clim=(-3.0, float(values.max())),
        marks=[_marked(np.flatnonzero(result.lines), result.sizes["ky"])],
        outline=False,
    )


def _marked(at: np.ndarray, high: int) -> Any:
    return draw.segments(at, np.full(at.size, -0.5), at, np.full(at.size, high - 0.5), color=draw.TARGET, width=1.2)


def _measured_finding(result: xr.Dataset) -> str:
    if "sinogram" in result:
        views, pixels = result.measured.dropna("view").size, result.sizes["x"] * result.sizes["y"]
        begun = f"{views} views measure" if views > 1 else "One view measures"
        return f"{begun} {views * result.sizes['detector']} numbers in each slice of {pixels} pixels"
    energy, lines = 10 ** (2 * result.spectrum.values), result.lines.values > 0
    share = percent(min(energy[:, lines].sum() / energy.sum(), 1.0 if lines.all() else 0.999))
    return f"{lines.sum()} of {lines.size} frequency lines are measured, with {share} of the slice's energy"


def _views(result: xr.Dataset) -> Any:
    lines = {name: np.minimum(result.psnr_of.sel(solver=name, plane="volume").values, _EXACT) for name in METHODS}
    return draw.over(result.views, lines, ylabel="PSNR of the volume (dB)")


def _roughness(result: xr.Dataset) -> Any:
    lines = {
        "MBIR": result.roughness_path.values,
        "σ": result.sigma.values,
        "unrelated slices": result.unrelated.values,
    }
    return draw.convergence(lines, xlabel="step", ylabel="roughness across slices")


def _roughness_finding(result: xr.Dataset) -> str:
    ratio = result.roughness_path.values / result.unrelated.values
    wild = np.flatnonzero(ratio > DIVERGED)
    if wild.size:
        return f"It diverges: in step {int(result.step[wild[0]])} slices become rougher than unrelated slices"
    if not np.isfinite(result.roughness):
        return _WILD
    return f"It does not diverge: slices reach {percent(np.nanmax(ratio))} of the roughness of unrelated slices"


def _weights(result: xr.Dataset) -> Any:
    table = result.transpose("lam", "rho", ...)
    wild = np.argwhere(~(table.roughness.values <= DIVERGED))
    bound = float(np.interp(0.0, np.log(_RHOS), np.arange(len(_RHOS)))) if len(table.rho) == len(_RHOS) else np.nan
    return draw.heatmap(
        np.maximum(table.psnr.values, 0),
        table.lam.values,
        table.rho.values,
        xlabel="ADMM weight ρ, in units of |A|²",
        ylabel="penalty λ",
        clabel="PSNR (dB)",
        clim=(10.0, float(np.nanmax(table.psnr))),
        outline=False,
        marks=[
            draw.text(wild[:, 1], wild[:, 0], ["×"] * len(wild), color=draw.WARN, side="center"),
            draw.vline(bound, "", color=draw.TARGET, dash=True),
        ],
    )


def _weights_finding(result: xr.Dataset) -> str:
    table = result.transpose("lam", "rho", ...)
    wild = ~(table.roughness.values <= DIVERGED)
    psnr = np.where(wild | ~np.isfinite(table.psnr.values), -np.inf, table.psnr.values)
    if np.isinf(psnr).all():
        return "It diverges at all of these penalties and weights"
    i, j = np.unravel_index(psnr.argmax(), psnr.shape)
    at = f"λ = {float(table.lam[i]):g} and ρ = {float(table.rho[j]):g}"
    return f"PSNR peaks at {at}, {psnr[i, j]:.1f} dB; {wild.sum()} of {wild.size} runs diverge"


def _progress(result: xr.Dataset) -> Any:
    tints = {1: draw.TARGET, 5: draw.SOURCE}
    lines = [
        draw.curve(
            result.step.values,
            result.psnr_path.sel(share=share, inner=inner).values,
            f"M = {inner}{'' if share else ', not shared'}",
            color=tints[inner],
            dash=not share,
        )
        for share in (True, False)
        for inner in (1, 5)
    ]
    return draw.plot(*lines, xlabel="step", ylabel="PSNR (dB)")


def _progress_finding(result: xr.Dataset) -> str:
    end = result.psnr_path.isel(step=-1)
    gains = {m: float(end.sel(share=True, inner=m) - end.sel(share=False, inner=m)) for m in (5, 1)}
    finite = [f"{gain:+.1f} dB with M = {m}" for m, gain in gains.items() if np.isfinite(gain)]
    return f"Sharing the variables changes PSNR by {', '.join(finite)}" if finite else _WILD


PICTURES = Pictures(
    Picture(
        "planes",
        "Three planes",
        "Columns: truth and reconstructions. Rows: planes through the cross-hair. Click a pixel to move the cross-hair.",
        _planes,
        clicks=_click_plane,
    ),
    Picture(
        "film",
        "Step by step",
        "A coronal plane after each step; rows: slices. Middle: diffusion of single slices. Right: with the penalty.",
        _film,
        plays="step",
        finds=_film_finding,
    ),
    Picture(
        "table",
        "Numbers",
        "axial to volume: PSNR in dB. SSIM: structural similarity. residual: |A x - y| / |y|. flicker: mean |D_z x|.",
        _table,
        finds=PSNR.finding,
    ),
    Picture(
        "measured",
        "Measurements",
        "Color: sinogram of the slice, for MRI its spectrum. Orange lines: measured angles or frequency lines.",
        _measured,
        finds=_measured_finding,
    ),
    Picture(
        "views",
        "PSNR by views",
        "Lines: PSNR of the volume by each method; values above 50 dB are drawn at 50.",
        _views,
        needs=("psnr_of",),
        along={"views": (2, 4, 8, 16, 32, 64)},
        when={"scanner": ("sparse views", "limited angle")},
        why="it has no views",
        finds=lambda result: PSNR.finding_by(result, "views"),
    ),
    Picture(
        "roughness",
        "Roughness across slices",
        "Lines: roughness of the reconstruction, noise level σ, and roughness of unrelated slices with that noise.",
        _roughness,
        finds=_roughness_finding,
    ),
    Picture(
        "weights",
        "PSNR by penalty and weight",
        "Color: PSNR, from 10 dB. ×: the diffusion diverges. Dashed: ρ = |A|².",
        _weights,
        along={"rho": _RHOS, "lam": _LAMS},
        needs=("psnr", "roughness"),
        finds=_weights_finding,
    ),
    Picture(
        "progress",
        "Shared variables",
        "Lines: PSNR after each step, by CG steps M. Dashed: u and w restart at each level.",
        _progress,
        along={"share": (True, False), "inner": (1, 5)},
        needs=("psnr_path",),
        finds=_progress_finding,
    ),
)

"""What the pictures of DiffusionMBIR show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number

from .pictures import place_of
from .variables import DIVERGED

_WILD = "The diffusion diverged: its numbers are not finite"
PSNR = Comparison(
    "psnr", "volume PSNR",
    {"FBP": "direct inversion", "least norm": "the minimum-norm solution", "MAP": "Gaussian MAP", "TV": "total variation",
     "slice-wise": "slice-wise diffusion", "MBIR": "DiffusionMBIR"},
    "higher", result="psnr_of", along="solver", at={"plane": "volume"}, ours="MBIR",
)


def _film(result: xr.Dataset) -> str:
    ends = [result.truth.isel(y=place_of(result)[1]), *(result.coronal_path.isel(step=-1).sel(diffusion=name)
                                                        for name in ("slice-wise", "MBIR"))]
    true, alone, ours = (float(np.abs(np.diff(end.transpose("z", "x").values, axis=0)).mean()) for end in ends)
    if not np.isfinite([alone, ours]).all():
        return _WILD
    truth, alone, ours = (number(each, 2) for each in (true, alone, ours))
    return f"At the end neighbours differ by {ours} with the penalty, {alone} without; in truth by {truth}"


def _profile(result: xr.Dataset) -> str:
    _, row, column = place_of(result)
    line = result.isel(y=row, x=column)
    off = np.sqrt(((line.volumes - line.truth) ** 2).mean("z", skipna=False))
    ours, alone, flat = (float(off.sel(solver=name)) for name in ("MBIR", "slice-wise", "TV"))
    if not np.isfinite([ours, alone, flat]).all():
        return _WILD
    return f"Along this line MBIR errs by {number(ours, 2)}, slice-wise by {number(alone, 2)}, TV by {number(flat, 2)}"


def _similarity(result: xr.Dataset) -> str:
    gain = (result.ssim_of.sel(solver="MBIR") - result.ssim_of.sel(solver="slice-wise")).to_series()
    flat, along = float(gain["axial"]), float((gain["coronal"] + gain["sagittal"]) / 2)
    if not np.isfinite([flat, along]).all():
        return "Some planes have no SSIM: they are too small, or not finite"
    flat_, along_ = (f"{each:+.2f}".replace("-", "−") for each in (flat, along))
    return f"The penalty changes SSIM by {flat_} in axial planes, by {along_} in those along z"


def _sinogram(result: xr.Dataset) -> str:
    views, pixels = result.measured.dropna("view").size, result.sizes["x"] * result.sizes["y"]
    told = f"{views} views measure" if views > 1 else "One view measures"
    return f"{told} {views * result.sizes['detector']} numbers of {pixels} pixels"


def _spectrum(result: xr.Dataset) -> str:
    energy, lines = 10 ** (2 * result.spectrum.values), result.lines.values > 0
    share = min(energy[:, lines].sum() / energy.sum(), 1.0 if lines.all() else 0.999)
    told = f"{share:.1%}" if 0.99 < share < 1 else f"{share:.0%}"
    return f"{lines.sum()} of {lines.size} lines are measured; they hold {told} of the slice's energy"


def _roughness(result: xr.Dataset) -> str:
    ratio = result.roughness_path.values / result.unrelated.values
    wild = np.flatnonzero(ratio > DIVERGED)
    if wild.size:
        return f"It diverges: in step {int(result.step[wild[0]])} slices become rougher than unrelated ones"
    if not np.isfinite(result.roughness):
        return _WILD
    return f"It does not diverge: slices reach {np.nanmax(ratio):.0%} of the roughness of unrelated ones"


def _views(result: xr.Dataset) -> str:
    return PSNR.finding_by(result, "views")


def _weights(result: xr.Dataset) -> str:
    table = result.transpose("lam", "rho", ...)
    wild = ~(table.roughness.values <= DIVERGED)
    psnr = np.where(wild | ~np.isfinite(table.psnr.values), -np.inf, table.psnr.values)
    if np.isinf(psnr).all():
        return "It diverges at all of these penalties and weights"
    i, j = np.unravel_index(psnr.argmax(), psnr.shape)
    at = f"λ = {float(table.lam[i]):g} and ρ = {float(table.rho[j]):g}"
    return f"It is best at {at}, {psnr[i, j]:.1f} dB; {wild.sum()} of {wild.size} runs diverge"


def _progress(result: xr.Dataset) -> str:
    end = result.psnr_path.isel(step=-1)
    gains = {m: float(end.sel(share=True, inner=m) - end.sel(share=False, inner=m)) for m in (5, 1)}
    told = [f"{gain:+.1f} dB with M = {m}".replace("-", "−") for m, gain in gains.items() if np.isfinite(gain)]
    return f"Sharing the variables is worth {', '.join(told)}" if told else _WILD


def _residuals(result: xr.Dataset) -> str:
    told = []
    for m in (5, 1):
        below = np.flatnonzero(result.residual_path.sel(share=True, inner=m).values < 0.1)
        told.append(f"in step {int(result.step[below[0]])} with M = {m}" if below.size else f"never with M = {m}")
    return f"The residual of shared variables falls below 10% {', '.join(told)}"


FINDS = {
    "film": _film, "profile": _profile, "table": PSNR.finding, "similarity": _similarity, "sinogram": _sinogram,
    "spectrum": _spectrum, "roughness": _roughness, "views": _views, "weights": _weights, "progress": _progress,
    "residuals": _residuals,
}

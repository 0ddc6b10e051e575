"""The paper's numbers beside ours."""

from lab.studies.contract import Reported

_THEIRS = "AAPM CT, 256 × 256 × 448, trained 2-D score network"
_OURS = "random ellipsoids, 24 × 24 × 16, Gaussian prior, 50 noise levels"
_SIZE = "The volumes and the priors differ, so only the order of the methods can be compared."


def _of(solver, plane):
    return lambda runs: float(runs().psnr_of.sel(solver=solver, plane=plane))


REPORTED = (
    Reported("PSNR, axial, 8 views, DiffusionMBIR", "table of AAPM results", 33.49, _THEIRS, _OURS, ours="psnr_axial",
             unit="dB", checked=False, note=_SIZE),
    Reported("PSNR, coronal, 8 views, DiffusionMBIR", "table of AAPM results", 35.18, _THEIRS, _OURS, ours="psnr_coronal",
             unit="dB", checked=False),
    Reported("PSNR, sagittal, 8 views, DiffusionMBIR", "table of AAPM results", 32.18, _THEIRS, _OURS, ours="psnr_sagittal",
             unit="dB", checked=False),
    Reported("PSNR, axial, 8 views, diffusion slice by slice", "table of AAPM results", 28.61, _THEIRS + " (Chung et al. 2022)",
             _OURS, ours=_of("slice-wise", "axial"), unit="dB", checked=False),
    Reported("PSNR, coronal, 8 views, diffusion slice by slice", "table of AAPM results", 28.05,
             _THEIRS + " (Chung et al. 2022)", _OURS, ours=_of("slice-wise", "coronal"), unit="dB", checked=False),
    Reported("PSNR, axial, 8 views, total variation", "table of AAPM results", 16.79, _THEIRS, _OURS, ours=_of("TV", "axial"),
             unit="dB", checked=False,
             note="Total variation is nearer to DiffusionMBIR here: the ellipsoids are piecewise constant, CT volumes are not.",
             holds=lambda runs: _of("TV", "axial")(runs) < float(runs().psnr_axial)),
    Reported("PSNR, axial, 4 views, DiffusionMBIR", "table of AAPM results", 30.52, _THEIRS, _OURS,
             ours=lambda runs: float(runs(views=4).psnr_axial), unit="dB", checked=False),
)

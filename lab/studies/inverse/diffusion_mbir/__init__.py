"""Volumes from a diffusion of slices (DiffusionMBIR, Chung et al., CVPR 2023) as a study of scans and methods."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.inverse import scans
from lab.inverse.mbir import MBIR, total_variation
from lab.inverse.solving import solve
from lab.inverse.tomography import MOST
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.remembered import Remembered
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIVERGED, METHODS

_REMEMBERED = Remembered(bytes=512 << 20)
_MOST = 64  # pixels a side, beyond which the matrix of a slice is too large
_EASY = 32  # to which slices are averaged where nothing is said
_TOMOGRAPHY = ("sparse views", "limited angle")
_NO_VIEWS, _NO_LINES = "it is no tomograph: choose sparse views or a limited angle", "it is a tomograph: choose MRI"
_CORRECTORS = {"next level": "next", "same level": "same", "off": "none"}


class DiffusionMBIR(Study):
    """A volume from few measurements, with a diffusion of its slices and a penalty on what differs between neighbours."""

    slug = "diffusion-mbir"
    title = "DiffusionMBIR"
    field = "Inverse problems"
    paper = Paper(
        "Chung, Ryu, McCann, Klasky, Ye", "Solving 3D Inverse Problems using Pre-trained 2D Diffusion Models", "CVPR", 2023,
        "https://arxiv.org/abs/2211.10655",
    )
    text = "diffusion_mbir.md"
    kind = "volumes"
    needs = Needs(slices=(2, 512))
    data_options = ("side", "seed")
    ends: ClassVar = {Reason.NOT_FINITE: "The diffusion diverged: neighbours came to differ by more than unrelated slices."}

    data = DataSource("ellipsoid-volume", doc="a named volume, or yours: (slices, height, width)")
    scanner = Choice(
        [*_TOMOGRAPHY, "MRI"],
        doc="tomography by views over half a turn or a part of it, or magnetic resonance with some lines of frequencies",
    )
    views = Whole(
        8, bounds=(1, MOST), soft=(2, MOST), scale="log", label="views", symbol="Nᵥ", when={"scanner": _TOMOGRAPHY},
        doc="directions from which each slice is seen",
    )
    span = Real(
        90.0, bounds=(1, 180), label="span", unit="°", when={"scanner": "limited angle"},
        doc="over which the views are spread, from 0 on",
    )
    acceleration = Real(
        2.0, bounds=(1, 16), soft=(1, 8), label="acceleration", when={"scanner": "MRI"},
        doc="one line in so many is measured, the middle of the spectrum always",
    )
    noise = Real(0.0, bounds=(0, 1), soft=(0, 0.1), label="noise", doc="standard deviation, as a share of what is measured")
    lam = Real(
        4e-3, bounds=(0, None), soft=(1e-4, 1e-1), scale="log", label="penalty", symbol="λ",
        doc="on |D_z x|, differences between neighbours; with 0 nothing is shrunk, but ρ still ties x to its last step",
    )
    rho = positive(
        0.025, (1e-3, 1), label="ADMM weight", symbol="ρ",
        doc="in units of the squared norm of the operator: above 0.1, or with M > 1 above 0.05, the diffusion may diverge",
    )
    inner = Whole(5, bounds=(0, 50), soft=(1, 10), label="CG steps", symbol="M", doc="in each step of ADMM; released: 1")
    admm = Whole(1, bounds=(0, 50), soft=(1, 10), label="ADMM steps", symbol="K", doc="after each level of noise")
    steps = size(50, (2, 5000), (20, 1000), label="levels", symbol="N", doc="of noise, in equal ratios")
    sigma_max = positive(5.0, (1, 400), label="first level", symbol="σ₁", doc="with M > 1 from 5 to 20; released: 378")
    share = Switch(True, label="share variables", doc="u and w of ADMM go on from level to level; off: they start anew at each")
    prior = Choice(["Gaussian", "optimal"], doc="the denoiser: of mean and covariance, or of the training slices themselves")
    learnt = Choice(["its own kind", "ellipsoids", "digits"], label="learnt from", doc="slices of other volumes of its kind; "
                    "a volume of yours without training slices has ellipsoids")
    slice = Whole(7, bounds=(0, None), label="slice", symbol="z", doc="of the cross-hair; or click it")
    row = Whole(10, bounds=(0, None), label="row", doc="of the cross-hair, from the top; or click it")
    column = Whole(10, bounds=(0, None), label="column", doc="of the cross-hair, from the left; or click it")
    sigma_min = positive(0.01, (1e-3, 0.1), label="last level", symbol="σ_N", group="more", doc="grey values are from 0 to 1")
    corrector = Choice([*_CORRECTORS], group="more", doc="Langevin step, at the level that a step leads to; released: its own")
    snr = positive(0.16, (0.02, 0.5), label="corrector strength", symbol="r", group="more", doc="signal to noise of its step")
    boundary = Choice(["open", "periodic"], group="more", doc="after the last slice comes none, or as released the first one")
    finish = Switch(False, label="last step to the data", group="more", doc="a step of SIRT at the end, as released")
    tv_lam = positive(1e-3, (1e-4, 1e-1), label="penalty of TV", group="more", doc="of total variation alone")
    tv_rho = positive(0.05, (1e-3, 1), label="ADMM weight of TV", group="more", doc="how fast it converges, not to what")
    tv_steps = Whole(100, bounds=(1, 5000), soft=(20, 500), label="steps of TV", group="more", doc="of ADMM, each 4 of CG")
    side = Choice(["24", "16", "32"], label="pixels a side", group="more", doc="of the named volumes, of 16, 12 or 24 slices")
    pool = Whole(
        None, bounds=(1, 64), soft=(1, 8), label="pooling", traced=False, allow_None=True, group="more",
        doc="squares of so many pixels a side become one, their mean; auto: the least that leaves 32 pixels a side",
    )

    dims: ClassVar = {
        "method": ("solver", ""), "plane": ("plane", ""), "step": ("step", ""), "z": ("slice", ""), "y": ("row", "pixel"),
        "x": ("column", "pixel"), "diffusion": ("diffusion", ""), "detector": ("detector", ""), "angle": ("angle", "°"),
        "view": ("view", ""), "ky": ("frequency, rows", ""), "kx": ("frequency, columns", ""),
    }
    results = (
        Result("psnr", (), "PSNR", "of the volume by DiffusionMBIR, over the range of the truth", "dB", headline=True,
               judge=lambda value, result: "good" if value > max(result.psnr_tv, result.psnr_alone) else "warn"),
        Result("psnr_alone", (), "PSNR slice by slice", "PSNR of the same diffusion without a penalty", "dB", headline=True),
        Result("psnr_tv", (), "PSNR of TV alone", "of total variation across slices, and no diffusion", "dB", headline=True),
        Result("psnr_map", (), "PSNR of Gaussian MAP", "of each slice as is most probable for a Gaussian", "dB", headline=True),
        Result("residual", (), "residual", "|A x - y| / |y| by DiffusionMBIR", headline=True),
        Result("roughness", (), "roughness", "largest over levels, in units of unrelated slices with the noise of that level: "
               "above 1 the diffusion diverges", headline=True,
               judge=lambda value, result: "warn" if not value <= DIVERGED else "good"),
        *(Result(f"psnr_{plane}", (), f"{plane} PSNR", "mean over its slices", "dB") for plane in variables.PLANES[:3]),
        Result("tv_z", (), "flicker", "mean |D_z x| by DiffusionMBIR"),
        Result("tv_alone", (), "flicker", "mean |D_z x| slice by slice"),
        Result("tv_truth", (), "flicker", "mean |D_z x| of the truth"),
        Result("psnr_of", ("solver", "plane"), "PSNR", "of each method; mean over the slices of a plane", "dB"),
        Result("ssim_of", ("solver", "plane"), "SSIM", "mean over slices; windows of 7 x 7, range of the truth"),
        Result("residual_of", ("solver",), "residual", "|A x - y| / |y|"),
        Result("tv_of", ("solver",), "mean |D_z x|", "what differs between neighbouring slices"),
        Result("sigma", ("step",), "noise level σ", "of each step"),
        Result("residual_path", ("step",), "residual", "after each step"),
        Result("psnr_path", ("step",), "PSNR", "after each step", "dB"),
        Result("roughness_path", ("step",), "roughness", "standard deviation of D_z x over √2, after each step"),
        Result("unrelated", ("step",), "unrelated slices", "the roughness of unrelated slices with noise of that level"),
        Result("volume", ("z", "y", "x"), "grey value", "by DiffusionMBIR"),
        Result("volumes", ("solver", "z", "y", "x"), "grey value", "by each method"),
        Result("truth", ("z", "y", "x"), "grey value", "what was scanned"),
        Result("coronal_path", ("diffusion", "step", "z", "x"), "grey value", "the row of the cross-hair after each step"),
        Result("sinogram", ("detector", "angle"), "sum along lines", "of the cross-hair's slice", absent=_NO_VIEWS),
        Result("measured", ("view",), "angle", "of the views", "°", absent=_NO_VIEWS),
        Result("spectrum", ("ky", "kx"), "log₁₀ |F x|", "of the cross-hair's slice, 0 in the middle", absent=_NO_LINES),
        Result("lines", ("kx",), "measured", "1 where a line of frequencies is measured", absent=_NO_LINES),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The volume, slices to learn from where there are some, and a digest by which all is remembered."""
        return {"digest": np.frombuffer(bytes.fromhex(data.sha256), np.uint8)} | dict(data.arrays)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The cross-hair is in the volume."""
        slices, side = data.arrays["volume"].shape[:2]
        n = side // variables.pooling(side, self.pool, _EASY)
        pixels = f"since the slices have {n} pixels a side"
        last = Limit(0, slices - 1, f"since the volume has {slices} slices")
        return {"slice": last, "row": Limit(0, max(n - 1, 0), pixels), "column": Limit(0, max(n - 1, 0), pixels)}

    def check(self, data: Data) -> None:
        """Slices of a size for which there is a matrix; levels that fall."""
        side = data.arrays["volume"].shape[1]
        n = side // variables.pooling(side, self.pool, _EASY)
        if not 8 <= n <= _MOST:
            low, high = -(-side // _MOST), side // 8
            why = f"slices of {side} pixels a side would have {n}, but 8 to {_MOST} are taken: set it from {low} to {high}"
            raise ValueError(self.parameters()["pool"].refuse(self.pool, why))
        if not self.sigma_min < self.sigma_max:
            why = f"it must be less than sigma_max = {self.sigma_max:g}, the level that the diffusion begins with"
            raise ValueError(self.parameters()["sigma_min"].refuse(self.sigma_min, why))
        super().check(data)

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Scan, reconstruct by each method, compare. Each part is remembered, so that a click computes nothing of these."""
        by = variables.pooling(inputs["volume"].shape[1], p.pool, _EASY)
        remembered = _REMEMBERED.within((bytes(np.asarray(inputs["digest"])), by), p)
        truth, key = variables.pooled(inputs["volume"], by), jax.random.key(p.seed)
        own = {"MRI": (p.acceleration,), "limited angle": (p.views, p.span)}.get(p.scanner, (p.views,))
        scanned = (p.scanner, own, p.noise, p.seed)
        learnt = (p.learnt, p.prior)
        given = remembered(
            ("scan", scanned),
            lambda: scans.scan(truth, p.scanner, key, count=p.views, span=p.span, acceleration=p.acceleration, noise=p.noise),
        )
        prior = remembered(("prior", learnt), lambda: variables.prior(inputs.get("training"), by, truth.shape, *learnt))
        method = MBIR(
            p.lam, p.rho, p.steps, p.sigma_min, p.sigma_max, p.admm, p.inner, p.share, _CORRECTORS[p.corrector], p.snr,
            p.boundary == "periodic", p.finish,
        )

        def diffused(method: MBIR, *of: Any) -> Any:
            return remembered(
                ("diffusion", scanned, learnt, method),
                lambda: solve(given.problem, prior.denoiser, method, key=jax.random.fold_in(key, 1), keep=True, loop=loop),
                variables.is_whole,
            )

        found = diffused(method)
        alone = diffused(method._replace(lam=0.0, rho=variables.NOTHING, share=True))
        others = remembered(
            ("others", scanned, learnt, p.tv_lam, p.tv_rho, p.tv_steps, method.periodic),
            lambda: [
                scans.back_projected(given), scans.least_norm(given), scans.most_probable(given, prior.spectrum),
                total_variation(
                    given.problem, p.tv_lam, p.tv_rho, steps=p.tv_steps, inner=4, periodic=method.periodic, tolerance=0.0
                ).x,
            ],
        )
        output = remembered(
            ("numbers", scanned, learnt, method, p.tv_lam, p.tv_rho, p.tv_steps),
            lambda: variables.compared(found, alone, others, truth, given.problem, prior.spectrum, method.levels()),
            lambda _: variables.is_whole(found) and variables.is_whole(alone),
        )
        output = output | variables.seen(given, truth, (found.path, alone.path), p.slice, p.row)
        wild = jnp.where(output["roughness"] <= DIVERGED, Reason.CONVERGED, Reason.NOT_FINITE)
        return output | {"iterations": found.iterations, "reason": first_failure(found.reason, alone.reason, wild)}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Methods, planes, angles."""
        made = {"solver": list(METHODS), "plane": list(variables.PLANES), "diffusion": [METHODS[5], METHODS[4]],
                "step": np.arange(1, p.steps + 1)}
        return made | ({"angle": variables.ALL_SIDES} if "sinogram" in output else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What to do against divergence, and where the diffusion is not worth its time."""
        given = sweeping.parameters(result)
        if not float(result.roughness) <= DIVERGED:
            if given["lam"] == 0:
                return "With λ = 0 nothing is shrunk, and ρ ties x to its noisier last step: lower ρ, or raise λ."
            return "Lower ρ (with M > 1 to 0.05 or less), begin with less noise (σ₁ from 5 to 20), or take M = 1."
        best = max(("psnr_tv", "psnr_map", "psnr_alone"), key=lambda name: float(result[name]))
        if float(result.psnr) < float(result[best]) - 0.1:
            what = {"psnr_tv": "Total variation alone", "psnr_map": "The Gaussian MAP", "psnr_alone": "Slice by slice"}[best]
            return f"{what} comes nearer to the truth, {float(result[best]):.1f} dB: try another λ, more levels or a larger M."
        return ""

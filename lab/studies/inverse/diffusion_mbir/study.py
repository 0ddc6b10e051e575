"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.inverse.tomography import MOST
from lab.numerics import Reason
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED, TABLE
from .experiment import ALL_SIDES, CORRECTORS, DIVERGED, METHODS, PLANES, compute, pooling
from .pictures import PICTURES
from .story import STORY

_MOST = 64  # pixels a side, beyond which the matrix of a slice is too large
_TOMOGRAPHY = ("sparse views", "limited angle")
_VIEWS, _LIMITED, _MRI = {"scanner": _TOMOGRAPHY}, {"scanner": "limited angle"}, {"scanner": "MRI"}
_RELEASED = {"boundary": "periodic", "finish": True}


class DiffusionMBIR(Study):
    """A volume from few measurements: a diffusion prior on its slices and a penalty on differences between neighbors."""

    slug = "diffusion-mbir"
    title = "DiffusionMBIR"
    field = "Inverse problems"
    paper = Paper(
        "Chung, Ryu, McCann, Klasky, Ye",
        "Solving 3D Inverse Problems using Pre-trained 2D Diffusion Models",
        "CVPR",
        2023,
        "https://arxiv.org/abs/2211.10655",
    )
    text = "diffusion_mbir.md"
    kind = "volumes"
    needs = Needs(slices=(2, 512))
    data_options = ("side", "seed")
    ends: ClassVar = {
        Reason.NOT_FINITE: "The diffusion diverged: neighboring slices became rougher than unrelated slices."
    }

    data = DataSource("ellipsoid-volume", doc="a named volume, or yours: (slices, height, width)")
    scanner = Choice([*_TOMOGRAPHY, "MRI"], doc="tomography over half a turn or less, or magnetic resonance imaging")
    views = Whole(
        8, bounds=(1, MOST), soft=(2, MOST), scale="log", label="views", symbol="Nᵥ", when=_VIEWS, doc="ray directions"
    )
    span = Real(90.0, bounds=(1, 180), label="span", unit="°", when=_LIMITED, doc="angle that the views cover, from 0°")
    acceleration = Real(
        2.0, bounds=(1, 16), soft=(1, 8), label="acceleration", when=_MRI, doc="one line in so many is measured"
    )
    noise = Real(0.0, bounds=(0, 1), soft=(0, 0.1), label="noise", doc="standard deviation, relative to the RMS of y")
    lam = Real(
        4e-3, bounds=(0, None), soft=(1e-4, 1e-1), scale="log", label="penalty", symbol="λ", doc="weight of |D_z x|₁"
    )
    rho = positive(
        0.025, (1e-3, 1), label="ADMM weight", symbol="ρ", doc="in units of |A|²; above 0.05 the diffusion may diverge"
    )
    inner = Whole(5, bounds=(0, 50), soft=(1, 10), label="CG steps", symbol="M", doc="per ADMM step; released code: 1")
    admm = Whole(1, bounds=(0, 50), soft=(1, 10), label="ADMM steps", symbol="K", doc="per noise level")
    steps = size(50, (2, 5000), (20, 1000), label="noise levels", symbol="N", doc="geometric, from σ₁ to σ_N")
    sigma_max = positive(5.0, (1, 400), label="first noise level", symbol="σ₁", doc="5 to 20 with M > 1; released: 378")
    share = Switch(
        True, label="share variables", doc="u and w are carried from level to level; off: they restart from 0"
    )
    prior = Choice(["Gaussian", "optimal"], doc="moments of the training slices, or the exact posterior mean over them")
    learnt = Choice(
        ["its own kind", "ellipsoids", "digits"],
        label="training slices",
        doc="of the same kind of volume, or another; a volume without training slices uses ellipsoids",
    )
    slice = Whole(7, bounds=(0, None), label="slice", symbol="z", doc="of the cross-hair; or click it")
    row = Whole(10, bounds=(0, None), label="row", doc="of the cross-hair, from the top; or click it")
    column = Whole(10, bounds=(0, None), label="column", doc="of the cross-hair, from the left; or click it")
    sigma_min = positive(0.01, (1e-3, 0.1), label="last noise level", symbol="σ_N", group="more", doc="gray: 0 to 1")
    corrector = Choice([*CORRECTORS], group="more", doc="level of the Langevin step; released code: the same level")
    snr = positive(0.16, (0.02, 0.5), label="corrector strength", symbol="r", group="more", doc="signal to noise")
    boundary = Choice(
        ["open", "periodic"], group="more", doc="periodic: the last slice is tied to the first, as released"
    )
    finish = Switch(False, label="last step to the data", group="more", doc="one SIRT step at the end, as released")
    tv_lam = positive(1e-3, (1e-4, 1e-1), label="penalty of TV", group="more", doc="of total variation alone")
    tv_rho = positive(0.05, (1e-3, 1), label="ADMM weight of TV", group="more", doc="affects only its convergence")
    tv_steps = Whole(
        100, bounds=(1, 5000), soft=(20, 500), label="steps of TV", group="more", doc="each with 4 CG steps"
    )
    side = Choice(["24", "16", "32"], label="pixels a side", group="more", doc="of the volumes of 16, 12 or 24 slices")
    pool = Whole(
        None,
        bounds=(1, 64),
        soft=(1, 8),
        label="pooling",
        traced=False,
        allow_None=True,
        group="more",
        doc="pixels a side that are averaged; auto: the minimum that leaves 32 pixels a side",
    )

    dims: ClassVar = {
        "z": ("slice", ""),
        "y": ("row", "pixel"),
        "x": ("column", "pixel"),
        "angle": ("angle", "°"),
        "ky": ("frequency, rows", ""),
        "kx": ("frequency, columns", ""),
    }
    presets = (
        Preset("table", "The table at eight views", "24 slices of 32 × 32 and 200 noise levels, all methods.", TABLE),
        Preset("two-views", "Two views", "The paper's third row: two projections per slice.", {**TABLE, "views": 2}),
        Preset(
            "limited-angle",
            "A limited angle",
            "Views every 1.5° over 90° only: edges in the other directions are not measured.",
            {**TABLE, "scanner": "limited angle", "views": 60},
        ),
        Preset(
            "mri",
            "MRI, twice as fast",
            "Half of the frequency lines, and one CG step, which is nearly exact for this operator.",
            {**TABLE, "scanner": "MRI", "inner": 1},
        ),
        Preset(
            "released",
            "As released",
            "One CG step, 2000 levels from 378, corrector at the same level, periodic slices, a last step to the data.",
            {**TABLE, "steps": 2000, "sigma_max": 378.0, "inner": 1, "corrector": "same level", **_RELEASED},
        ),
        Preset(
            "digits",
            "A stack of digits",
            "Real digits morph into each other, with real training slices and larger differences along z.",
            {"data": "digit-stack"},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The volume, its training slices if there are any, and a digest, the key of the cached parts."""
        return {"digest": np.frombuffer(bytes.fromhex(data.sha256), np.uint8)} | dict(data.arrays)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The cross-hair is in the volume."""
        slices, side = data.arrays["volume"].shape[:2]
        n = side // pooling(side, self.pool)
        pixels = f"since the slices have {n} pixels a side"
        last = Limit(0, slices - 1, f"since the volume has {slices} slices")
        return {"slice": last, "row": Limit(0, max(n - 1, 0), pixels), "column": Limit(0, max(n - 1, 0), pixels)}

    def check(self, data: Data) -> None:
        """Reject slices whose matrix is too large, and noise levels that do not decrease."""
        side = data.arrays["volume"].shape[1]
        n = side // pooling(side, self.pool)
        if not 8 <= n <= _MOST:
            low, high = -(-side // _MOST), side // 8
            why = f"slices of {side} pixels a side would have {n}, but 8 to {_MOST} are taken: set it from {low} to {high}"
            raise ValueError(self.parameters()["pool"].refuse(self.pool, why))
        if not self.sigma_min < self.sigma_max:
            why = f"it must be less than sigma_max = {self.sigma_max:g}, the level that the diffusion begins with"
            raise ValueError(self.parameters()["sigma_min"].refuse(self.sigma_min, why))
        super().check(data)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Methods, planes, steps and angles."""
        made = {"solver": list(METHODS), "plane": list(PLANES), "diffusion": [METHODS[5], METHODS[4]]}
        made["step"] = np.arange(1, p.steps + 1)
        return made | ({"angle": ALL_SIDES} if "sinogram" in output else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """A remedy for divergence, or a method with a higher PSNR."""
        given = sweeping.parameters(result)
        if not float(result.roughness) <= DIVERGED:
            if given["lam"] == 0:
                return "With λ = 0 nothing is shrunk, and ρ ties x to its noisier previous step: lower ρ, or raise λ."
            return "Lower ρ (with M > 1 to 0.05 or less), start from less noise (σ₁ from 5 to 20), or set M = 1."
        named = {"psnr_tv": "Total variation alone", "psnr_map": "The Gaussian MAP", "psnr_alone": "Slice by slice"}
        first = max(named, key=lambda name: float(result[name]))
        if float(result.psnr) < float(result[first]) - 0.1:
            return (
                f"{named[first]} attains {float(result[first]):.1f} dB: try another λ, more noise levels or a larger M."
            )
        return ""

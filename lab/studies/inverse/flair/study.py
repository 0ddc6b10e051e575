"""The study: parameters and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.inverse.beds import NONLINEAR
from lab.inverse.flair import SCHEDULES
from lab.studies.contract import Choice, Paper, Preset, Real, Switch, Whole
from lab.studies.inverse.imaging import Imaging
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import GRID, ONE_STEP, moments, restore
from .pictures import PICTURES
from .story import STORY


class FLAIR(Imaging):
    """A restored image that is repeatedly noised, denoised by a flow model and projected onto the data."""

    slug = "flair"
    title = "FLAIR"
    paper = Paper(
        "Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler",
        "Solving Inverse Problems with FLAIR",
        "NeurIPS",
        2025,
        "https://arxiv.org/abs/2506.02680",
    )
    text = "flair.md"

    c = positive(
        0.25, (0.02, 2), label="weight of the prior", symbol="c", doc="scale of λ(t); the released code uses 0.5"
    )
    steps = size(50, (1, 2000), (10, 200), label="steps", symbol="N", doc="denoiser evaluations per sample")
    t_min = Real(
        0.18,
        bounds=(0, 1),
        inclusive_bounds=(False, False),
        soft=(0.02, 0.5),
        label="final time",
        symbol="t_min",
        doc="times decrease from 1 (noise) to this value, both excluded",
    )
    dta = Choice(
        [name for name in SCHEDULES if name != "none"],
        label="trajectory adjustment",
        symbol="α(t)",
        doc="weight of the model's noise endpoint in the next noise; the released code uses 1 - t",
    )
    alpha_scale = Real(
        1.0,
        bounds=(0, 1),
        label="scale of α",
        symbol="DTA",
        doc="factor of α(t); 0 draws new noise in each step: no DTA",
    )
    hdc = Choice(
        ["auto", "project", "prox", "sgd", ONE_STEP],
        label="data step",
        symbol="HDC",
        doc="auto: projection for masks, otherwise prox; sgd: gradient descent; one step: HDC off",
    )
    crw = Switch(True, label="calibrated weight", symbol="CRW", doc="when off, the weight is c at all times")
    data_steps = Whole(
        15, bounds=(0, 1000), soft=(0, 50), label="gradient steps", when={"hdc": "sgd"}, doc="maximum per data step"
    )
    data_rate = positive(
        0.1,
        (0.01, 0.5),
        bounds=(0, 1),
        label="learning rate",
        when={"hdc": ("sgd", ONE_STEP)},
        doc="of the gradient steps, in units of 1 / |A|²; the released code uses 0.1",
    )
    shift = Real(
        0.0,
        bounds=(0, 1),
        soft=(0, 0.3),
        label="shift",
        group="more",
        when={"crw": True},
        doc="added to the calibrated weights before they are scaled by c",
    )
    answers = Whole(
        16,
        bounds=(2, 256),
        soft=(2, 64),
        label="samples",
        traced=False,
        group="more",
        doc="per image, each with independent noise",
    )

    dims: ClassVar = {
        **Imaging.dims,
        "sample": ("sample", ""),
        "t": ("time t", ""),
        "step": ("step", ""),
        "moment": ("step", ""),
        "way": ("method", ""),
        "particle": ("sample", ""),
        "axis": ("coordinate", ""),
        "mode": ("mode", ""),
        "law": ("distribution", ""),
        "gx": ("x₁", ""),
        "gy": ("x₂", ""),
    }
    presets = (
        Preset(
            "box",
            "Box inpainting",
            "A third of the image is masked, as in the paper: samples differ only in the box.",
            {"damage": "box", "hole": 0.58, "c": 0.5},
        ),
        Preset(
            "super-resolution",
            "Super-resolution",
            "Means of 2 x 2 pixels with little noise; the data step is a prox.",
            {"damage": "average", "noise": 0.02},
        ),
        Preset(
            "released",
            "Settings of the released code",
            "c = 0.5, at most 15 gradient steps on the data with rate 0.1, noise 0.01.",
            {"c": 0.5, "hdc": "sgd", "data_steps": 15, "data_rate": 0.1, "noise": 0.01},
        ),
        Preset(
            "memory",
            "A prior that memorizes",
            "The optimal denoiser of the training images: here trajectory adjustment raises PSNR.",
            {"prior": "optimal"},
        ),
        Preset(
            "network",
            "A trained network as the prior",
            "A U-Net trained on the same images, about a minute, only once.",
            {"prior": "U-Net", "train_steps": 1200, "answers": 4},
        ),
    )
    compute = staticmethod(restore)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    def check(self, data: Data) -> None:
        """Reject projections and proxes of nonlinear operators."""
        super().check(data)
        if self.damage in NONLINEAR and self.hdc in ("project", "prox"):
            why = f"the forward operator {self.damage} is not linear: choose auto or sgd"
            raise ValueError(self.parameters()["hdc"].refuse(self.hdc, why))

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the calibration, steps, and the axes of the plane."""
        return {
            "t": np.linspace(1, 0, 100),
            "step": np.arange(1, p.steps + 1),
            "moment": moments(p.steps) + 1,
            "way": ["with DTA", "without"],
            "axis": ["x₁", "x₂"],
            "law": ["posterior", "with DTA", "without"],
            "gx": GRID,
            "gy": GRID,
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """A remedy where the weight makes steps unstable, or samples are no better than the initial image."""
        most, quality = float(result.relaxation_most), float(result.psnr_one)
        if most > 2:
            return (
                f"The weight λ reaches {most:.2g} t. Above 2 t errors grow in each step: lower c, raise the final time, or "
                "calibrate the weight."
            )
        if quality < float(result.psnr_start.mean()):
            return (
                f"PSNR, {quality:.1f} dB, is below that of the initial image: lower c, or choose the data step “auto”."
            )
        return ""

"""The study: parameters and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import xarray as xr

from lab.datasets import Data
from lab.numerics import Loop
from lab.studies.contract import Limit, Paper, Preset, Run, Switch, Whole
from lab.studies.inverse.imaging import Imaging, Own
from lab.studies.inverse.solver_comparison import METHODS
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import EDGES, Experiment, compare
from .pictures import PICTURES
from .story import STORY


class InverseProblems(Imaging):
    """All solvers on one measurement: reconstructions, their distance to the truth, and where their variance is."""

    slug = "inverse-problems"
    title = "Inverse problems"
    paper = Paper(
        "Daras, Chung, Lai, Mitsufuji, Ye, Milanfar, Dimakis and Delbracio",
        "A Survey on Diffusion Models for Inverse Problems",
        "arXiv",
        2024,
    )
    text = "inverse_problems.md"

    row = Whole(7, bounds=(0, None), label="row of the pixel", doc="of the posterior shown, from the top; or click it")
    column = Whole(9, bounds=(0, None), label="column of the pixel", doc="from the left; or click the pixel")
    seeds = size(16, (2, 64), (4, 64), label="samples", unit="", doc="per image, of each method that draws at random")
    steps = size(50, (2, 1000), (10, 300), label="denoiser evaluations", symbol="K", doc="budget of each method")
    plug = positive(
        0.3,
        (0.02, 2),
        label="plug-and-play level",
        symbol="σ",
        group="more",
        doc="noise level of the denoiser in ADMM and RED; half-quadratic splitting decreases from four times to a fifth",
    )
    red = positive(1.0, (0.1, 10), label="RED weight", symbol="λ", group="more", doc="weight of its prior")
    variation = positive(
        1.0,
        (0.1, 10),
        label="total variation",
        group="more",
        doc="weight, relative to the Laplace distribution with the mean difference of the training images",
    )
    zeta = positive(0.5, (0.05, 5), label="DPS weight", symbol="ζ", group="more", doc="of its step toward the data")
    reddiff = positive(0.25, (0.01, 10), label="RED-diff weight", symbol="λ", group="more", doc="of its prior, linear")
    rate = positive(0.1, (0.005, 0.5), label="RED-diff rate", group="more", doc="learning rate of Adam")
    flair = positive(0.25, (0.02, 4), label="FLAIR weight", symbol="c", group="more", doc="of its calibrated prior")
    timed = Switch(False, label="measure time", group="more", doc="run each method a second time and measure seconds")

    dims: ClassVar = {**Imaging.dims, "solver": ("method", ""), "draw": ("sample", ""), "bin": ("gray value", "")}
    presets = (
        Preset(
            "tomography",
            "Six views",
            "Filtered backprojection beside reconstructions from the same rays with a prior.",
            {"damage": "tomography", "views": 6},
        ),
        Preset(
            "resonance",
            "A third of the frequencies",
            "Lines of a Fourier transform, as in magnetic resonance.",
            {"damage": "magnetic resonance", "seen": 0.33},
        ),
        Preset(
            "memory",
            "The exact prior of the training images",
            "Posterior samples are training images: they look right and are wrong.",
            {"prior": "optimal", "noise": 0.5},
        ),
        Preset(
            "local",
            "A prior that generalizes",
            "PCA locality, without training; its posterior is not known in closed form.",
            {"prior": "PCA locality", "seeds": 4},
        ),
        Preset(
            "clip",
            "Overexposed",
            "Gray values above the limit are cut: methods for linear operators do not apply.",
            {"damage": "clip"},
        ),
        Preset("phase", "Phase retrieval", "Only Fourier amplitudes are observed.", {"damage": "phase retrieval"}),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The problem first, then the solvers."""
        found = super().parameters()
        first = [name for name in found if name in Imaging.param and name != "seed"]
        return {name: found.pop(name) for name in first} | found

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The pixel is in the image."""
        h, w = self.sides(data)
        return {
            **super().limits(data),
            "row": Limit(0, max(h - 1, 0), f"since the images have {h} rows"),
            "column": Limit(0, max(w - 1, 0), f"since the images have {w} columns"),
        }

    @classmethod
    def own(cls) -> Own | None:
        """The operator or prior of a study of one's own."""
        return None

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Apply all methods to all test images, and show one image and one pixel of it."""
        return compare(inputs, p, loop, cls.own())

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of the methods, and centers of the bins."""
        return {"solver": list(METHODS), "bin": (EDGES[1:] + EDGES[:-1]) / 2}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """A remedy for divergence, or for a posterior that is a single training image."""
        lost = result.diverged.max("solver")
        if float(lost) > 0:
            name = str(result.solver.values[int(result.diverged.fillna(0).argmax())])
            return f"{name} diverged for {float(lost):.0%} of its samples: lower its weight."
        if float(result.get("spread_true", 1.0)) < 0.01:
            return (
                "The posterior is concentrated on one training image, so exact samples copy it. Raise the noise, observe "
                "less, or choose another prior."
            )
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.diffusion import schedule_comparison
from lab.studies.diffusion.schedule_comparison import SAMPLERS
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import compute
from .pictures import PICTURES
from .story import STORY

_PAIRS = 100
_NOTHING = 1e-9  # power of a frequency, divided by the largest, that counts as zero
_DIGITS: dict[str, Any] = {"data": "digit-images", "known": 1400, "drawn": 100}


def _law(kind: Any, *values: Any, **declared: Any) -> Any:
    """A parameter of the power law."""
    return kind(*values, when={"spectrum": ("law",)}, **declared)


class ShortestPathDiffusion(Study):
    """Diffusion from images to white noise along the path of minimum Fisher length, and other schedules."""

    slug = "shortest-path-diffusion"
    title = "Shortest-path diffusion"
    field = "Diffusion"
    paper = Paper(
        "Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu, Bernacchia",
        "Image generation with shortest path diffusion",
        "ICML",
        2023,
        "https://arxiv.org/abs/2306.00501",
    )
    text = "shortest_path_diffusion.md"
    kind = "images"

    data = DataSource("photograph-tiles", doc="a named set of images, or yours: images, or the power of a spectrum")
    gamma = Real(
        1.0,
        bounds=(0, None),
        soft=(0, 2),
        symbol="γ",
        doc="exponent of the spectrum of the schedule; 1: shortest path; 0: one schedule for all frequencies",
    )
    warp = positive(1.0, (0.25, 4), label="time warp", symbol="p", doc="exponent of the remaining time: another speed")
    blend = Real(0.0, bounds=(0, 1), label="blend", symbol="w", doc="weight of the cosine schedule in the mixture")
    steps = size(100, (2, 4000), (10, 1000), label="steps", symbol="T", doc="number for the sampler on Gaussian data")
    sampler = Choice(
        list(SAMPLERS),
        doc="variance of a step: of a forward step (large, the paper's), of the posterior (small), zero (ddim)",
    )
    spectrum = Choice(
        ["measured", "fitted", "law"], doc="of the images, its fitted power law, or the law of c₁, c₂ and m"
    )
    c1 = _law(
        positive, 1.59, (0.01, 100), label="power", symbol="c₁", doc="factor of c₁ / (c₂ + |f|)^m; default: CIFAR-10"
    )
    c2 = _law(positive, 0.0086, (1e-3, 10), label="knee", symbol="c₂", doc="frequency above which the power decreases")
    m = _law(
        Real, 2.0, bounds=(0, None), soft=(0, 4), label="exponent", symbol="m", doc="of the decrease; 0: white data"
    )
    basis = Choice(["fft", "dct", "principal axes"], group="more", doc="in which the covariance is taken as diagonal")
    center = Switch(False, label="subtract the mean", group="more", doc="of the images, first")
    floor = Real(
        0.0,
        bounds=(0, None),
        soft=(0, 0.1),
        label="white noise in the data",
        group="more",
        doc="variance, for images that lack frequencies",
    )
    grid = Choice(["official", "exact"], group="more", doc="the final time is 1 - 1/T, as in the released code, or 1")
    few = size(10, (2, 200), (5, 50), label="drawing steps", group="more", doc="number of steps for drawn images")
    drawn = size(64, (2, 1000), (16, 200), label="drawn images", group="more", doc="number per schedule")
    known = size(
        400, (2, 5000), (100, 2000), label="known images", group="more", doc="maximum number in the optimal denoiser"
    )
    image = Whole(
        45, bounds=(0, None), soft=(0, 200), label="image", doc="number of the shown image, modulo their count"
    )

    dims: ClassVar = {
        "filmed": ("schedule", ""),
        "sampler_name": ("sampler", ""),
        "t": ("t / T", ""),
        "frame": ("t / T", ""),
        "radius": ("|f|", "periods"),
        "family": ("deviation", ""),
        "exponent": ("m", ""),
        "budget": ("steps", ""),
        "channel": ("color", ""),
        "example": ("image", ""),
        "way": ("path", ""),
        "axis": ("pixel", ""),
        "other": ("pixel", ""),
    }
    presets = (
        Preset("digits", "Digits", "8 × 8 pixels, and a denoiser that knows all of them.", _DIGITS),
        Preset(
            "principal",
            "Principal axes",
            "Digits in the eigenbasis of their covariance, with a little noise.",
            _DIGITS | {"basis": "principal axes", "floor": 0.01},
        ),
        Preset(
            "cifar",
            "The spectrum of CIFAR-10",
            "The power law that the paper fits, on 32 × 32 pixels.",
            {"spectrum": "law"},
        ),
        Preset("few-steps", "Few steps", "25 steps on Gaussian data, and 5 for drawn images.", {"steps": 25, "few": 5}),
        Preset("flow", "DDIM", "A sampler without noise in its steps.", {"sampler": "ddim"}),
        Preset(
            "all-alike",
            "One schedule for all frequencies",
            "γ = 0: the covariance moves along a straight line.",
            {"gamma": 0.0},
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY
    compute = staticmethod(compute)

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Images in random order, and pairs of neighboring pixels."""
        images, held = data.arrays["pixels"], data.arrays["held_out"]
        rng = np.random.default_rng(0)
        train, held = (rng.permutation(images[part]) for part in (~held, held))
        off = schedule_comparison.scaled(train[:2000])
        two = np.stack([off[..., :-1].ravel(), off[..., 1:].ravel()], axis=1) if train.shape[3] > 1 else np.ones((2, 2))
        spread = np.cov(two.T, bias=True) + 1e-6 * np.eye(2)
        pairs = two[rng.choice(len(two), _PAIRS)] - two.mean()
        found = {"images": images, "train": train, "held": held, "spread": spread, "two": pairs}
        return found | ({"power": data.arrays["power"].astype(float)} if "power" in data.arrays else {})

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names and values along the dimensions."""
        return schedule_comparison.PLACES

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Added noise if the images lack frequencies."""
        inputs = self.inputs(data)
        given = self.spectrum == "law" or ("power" in inputs and self.basis == "fft")
        if not given and not schedule_comparison.least_power(inputs["train"], self.basis, self.center) > _NOTHING:
            return {"floor": Limit(1e-6, np.inf, "since some frequencies have no power in these images")}
        return {}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Whether the data are white, or the steps too few."""
        if float(result.distance) < 1e-6:
            return "These data are white, so all schedules are equal: choose another spectrum."
        if float(result.error) > 10:
            return "The sampler ends far from the data: increase the steps, or choose γ closer to 1."
        return ""

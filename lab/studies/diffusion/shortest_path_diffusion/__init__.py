"""Shortest-path diffusion (Das et al., 2023) as a study: a schedule for each frequency, and what leaving the path costs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.diffusion import shortest_survey as survey
from lab.diffusion.shortest_survey import SAMPLERS
from lab.numerics import Loop, first_failure
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_PAIRS = 100
_NOTHING = 1e-9  # of the largest power: none, to rounding


class ShortestPathDiffusion(Study):
    """Images to white noise along the path of least Fisher length, beside the schedules of others."""

    slug = "shortest-path-diffusion"
    title = "Shortest-path diffusion"
    field = "Diffusion"
    paper = Paper(
        "Das, Fotiadis, Batra, Nabiei, Liao, Vakili, Shiu, Bernacchia", "Image generation with shortest path diffusion", "ICML",
        2023, "https://arxiv.org/abs/2306.00501",
    )
    text = "shortest_path_diffusion.md"
    kind = "images"

    data = DataSource("photograph-tiles", doc="a named set of images, or a file of yours: of images, or of a power, a spectrum")
    gamma = Real(
        1.0, bounds=(0, None), soft=(0, 2), symbol="γ",
        doc="the schedule is that of the spectrum to this power; 1: the shortest path; 0: all frequencies go together",
    )
    warp = positive(1.0, (0.25, 4), label="time warp", symbol="p", doc="the power of the time left: another speed")
    blend = Real(0.0, bounds=(0, 1), label="blend", symbol="w", doc="share of the cosine schedule, which is mixed in")
    steps = size(100, (2, 4000), (10, 1000), label="steps", symbol="T", doc="of the sampler on Gaussian data")
    sampler = Choice(
        list(SAMPLERS), doc="the variance that a step adds: that of a step forward (large, the paper's), that of the posterior "
        "(small), or none (ddim)",
    )
    spectrum = Choice(
        ["measured", "fitted", "law"], doc="of the images, the law of powers that fits them, or that with c₁, c₂ and m below"
    )
    c1 = positive(1.59, (0.01, 100), label="power", symbol="c₁", doc="of c₁ / (c₂ + |f|)^m; by default of CIFAR-10",
                  when={"spectrum": ("law",)})
    c2 = positive(0.0086, (1e-3, 10), label="knee", symbol="c₂", doc="frequency from which the power falls",
                  when={"spectrum": ("law",)})
    m = Real(2.0, bounds=(0, None), soft=(0, 4), label="exponent", symbol="m", doc="how fast it falls; 0: the data are white",
             when={"spectrum": ("law",)})
    basis = Choice(["fft", "dct", "principal axes"], group="more", doc="in which the covariance is taken as diagonal")
    center = Switch(False, label="without the mean", group="more", doc="take the mean image off first")
    floor = Real(0.0, bounds=(0, None), soft=(0, 0.1), label="white noise in the data", group="more", doc="its variance; "
                 "for images that lack frequencies")
    grid = Choice(["official", "exact"], group="more", doc="the last step is at 1/T of the way from white, as in the released "
                  "code, or at white")
    few = size(10, (2, 200), (5, 50), label="steps of drawing", group="more", doc="in which images are drawn")
    drawn = size(64, (2, 1000), (16, 200), label="drawn images", group="more", doc="along each schedule")
    known = size(400, (2, 5000), (100, 2000), label="known images", group="more", doc="that the best denoiser knows, at most")
    image = Whole(45, bounds=(0, None), soft=(0, 200), label="image", doc="number of the one that is shown, counted round")

    dims: ClassVar = {
        "schedule": ("schedule", ""), "filmed": ("schedule", ""), "sampler_name": ("sampler", ""), "t": ("t / T", ""),
        "frame": ("t / T", ""), "moment": ("t / T", ""), "radius": ("|f|", "periods"), "family": ("deviation", ""),
        "place": ("place", ""),
        "exponent": ("m", ""), "budget": ("steps", ""), "part": ("part", ""), "channel": ("colour", ""), "y": ("y", ""),
        "x": ("x", ""), "example": ("image", ""), "way": ("path", ""), "axis": ("pixel", ""), "other": ("pixel", ""),
        "pair": ("pair", ""), "number": ("number", ""),
    }
    results = (
        Result("distance", (), "Fisher distance", "from the data to white noise: the least length that a path can have",
               headline=True),
        Result("length", (), "length", "of the path of this schedule", headline=True,
               judge=lambda value, result: "warn" if value > 1.01 * float(result.distance) else "good"),
        Result("length_cosine", (), "length of the cosine schedule", "of one schedule for all frequencies", headline=True),
        Result("error", (), "KL", "of what the sampler ends in from Gaussian data, exact", headline=True),
        Result("error_cosine", (), "KL of the cosine schedule", "by the same sampler in as many steps", headline=True),
        Result("sliced", (), "sliced W₂²", "of images that are drawn in few steps to held out ones", headline=True),
        Result("sliced_cosine", (), "sliced W₂², cosine schedule", "the same", headline=True),
        Result("sliced_floor", (), "of known images", "as many, to held out ones: the floor", headline=True),
        Result("best_gamma", ("sampler_name",), "γ", "with the least KL, of those that are compared"),
        Result("kl", ("schedule", "sampler_name"), "KL", "of what a sampler ends in from Gaussian data"),
        Result("w2sq", ("schedule", "sampler_name"), "W₂²", "the same, as squared distance of Wasserstein (Fréchet)"),
        Result("fisher_length", ("schedule",), "Fisher length", "of the path, with its step to white noise"),
        Result("sum_kl", ("schedule",), "sum of KLs", "of each step to the next"),
        Result("family_value", ("family", "place"), "value", "of the parameter"),
        Result("family_kl", ("family", "place", "sampler_name"), "KL", "as one parameter leaves the shortest path"),
        Result("family_w2sq", ("family", "place", "sampler_name"), "W₂²", "as one parameter leaves the shortest path"),
        Result("family_length", ("family", "place"), "Fisher length", "as one parameter leaves the shortest path"),
        Result("law_length", ("exponent", "schedule"), "Fisher length", "of laws of powers with other exponents"),
        Result("law_kl", ("exponent", "schedule", "sampler_name"), "KL", "of laws of powers with other exponents"),
        Result("budget_kl", ("budget", "schedule", "sampler_name"), "KL", "in other numbers of steps"),
        Result("abar", ("schedule", "t", "radius"), "signal", "share of its power that is left, mean over |f|"),
        Result("noise", ("schedule", "t", "radius"), "noise", "its power, mean over |f|"),
        Result("snr", ("schedule", "t", "radius"), "signal to noise", "ratio of powers, mean over |f|"),
        Result("power", ("schedule", "t", "radius"), "power", "of signal and noise, geometric mean over |f|"),
        Result("half_time", ("schedule", "radius"), "half time", "t/T at which half of the signal's power is left"),
        Result("speed", ("schedule", "t"), "Fisher speed", "length in a unit of t/T"),
        Result("measured", ("radius",), "power", "of the images, geometric mean over |f|"),
        Result("fitted", ("radius",), "power", "of the law that fits them"),
        Result("fit", ("number",), "c₁, c₂, m", "of the law that fits them, and its error in log D"),
        Result("film", ("part", "filmed", "frame", "channel", "y", "x"), "pixel", "what is left of the image, and the noise"),
        Result("strip", ("filmed", "moment", "channel", "y", "x"), "pixel", "of image and noise together"),
        Result("pairs", ("way", "frame", "pair", "axis"), "pixel", "two neighbouring pixels, less the mean of all"),
        Result("covariance", ("way", "frame", "axis", "other"), "covariance", "of two neighbouring pixels"),
        Result("gone", ("way", "frame"), "Fisher length", "gone so far"),
        Result("way_length", ("way",), "Fisher length", "of the path of two pixels"),
        Result("images", ("schedule", "example", "channel", "y", "x"), "pixel", "of images that are drawn"),
        Result("held_out", ("example", "channel", "y", "x"), "pixel", "of held out images"),
        Result("sliced_all", ("schedule",), "sliced W₂²", "of drawn images to held out ones, mean over directions"),
        Result("nearest", ("schedule",), "to the nearest known", "root mean square of pixels, of drawn images"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Images in a random order, and some pairs of neighbouring pixels."""
        images, held = data.arrays["pixels"], data.arrays["held_out"]
        rng = np.random.default_rng(0)
        train, held = (rng.permutation(images[part]) for part in (~held, held))
        off = survey.scaled(train[:2000])
        two = np.stack([off[..., :-1].ravel(), off[..., 1:].ravel()], axis=1) if train.shape[3] > 1 else np.ones((2, 2))
        spread = np.cov(two.T, bias=True) + 1e-6 * np.eye(2)
        pairs = two[rng.choice(len(two), _PAIRS)] - two.mean()
        found = {"images": images, "train": train, "held": held, "spread": spread, "two": pairs}
        return found | ({"power": data.arrays["power"].astype(float)} if "power" in data.arrays else {})

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and places."""
        return survey.PLACES

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Noise, where images lack frequencies."""
        inputs = self.inputs(data)
        given = self.spectrum == "law" or ("power" in inputs and self.basis == "fft")
        if not given and not survey.least_power(inputs["train"], self.basis, self.center) > _NOTHING:
            return {"floor": Limit(1e-6, np.inf, "since some frequencies have no power in these images")}
        return {}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Measure the spectrum, score schedules on Gaussian data, corrupt an image and pairs of pixels, and draw images."""
        *_, height, width = inputs["train"].shape
        shape, keys = (height, width), survey.keys(p.only("seed"))
        bed = survey.bed(
            inputs["train"], inputs["held"], inputs["images"], inputs.get("power"), jnp.asarray(p.image), p.basis, p.center,
            p.spectrum, (p.c1, p.c2, p.m), p.floor, p.known,
        )
        away = survey.Deviation(p.gamma, p.warp, p.blend)
        law = (p.c1, p.c2) if p.spectrum == "law" else (bed.law.c1, bed.law.c2)
        scored = survey.scores(bed, away, law, p.steps, p.grid, loop)
        drawn = survey.draws(bed, away, shape, p.few, p.grid, p.drawn, p.sampler, keys[2], loop)
        output = survey.curves(bed, away, survey.rings(shape)) | survey.told(scored, drawn, list(SAMPLERS).index(p.sampler))
        moved = survey.pairs(inputs["spread"], inputs["two"], keys[1])
        return output | survey.film(bed, away, shape, keys[0]) | {
            "pairs": moved.points, "covariance": moved.covariance, "gone": moved.distance, "way_length": moved.length,
            "reason": first_failure(scored.reason, drawn.reason),
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where too few steps, or data that are white, leave little to see."""
        if float(result.distance) < 1e-6:
            return "These data are white, so all schedules are one: choose another spectrum."
        if float(result.error) > 10:
            return "The sampler ends far from the data: take more steps, or come nearer to the shortest path."
        return ""

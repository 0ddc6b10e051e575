"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.diffusion import few_steps
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.numerics.window import middles, window
from lab.paths import laws
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Switch, Whole
from lab.studies.diffusion.sampler_comparison import COMPARED, COUNTS, SCHEDULES, SPACINGS
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS, REPORTED
from .experiment import FRAMES, compute
from .pictures import PICTURES
from .story import STORY

_GUIDED, _EDM, _RANDOM = {"guided": (True,)}, {"sampler": ("edm-heun",)}, {"sampler": ("ancestral", "sde")}
_CELLS, _LINE = 32, 121  # a side, of densities in the plane and on a line


class PrinciplesOfDiffusion(Trained):
    """Samplers on distributions whose denoiser is known: true errors of schedules, samplers, grids and guidance."""

    slug = "principles-of-diffusion"
    title = "The principles of diffusion"
    field = "Diffusion"
    paper = Paper(
        "Lai, Song, Kim, Mitsufuji, Ermon",
        "The Principles of Diffusion Models: From Origins to Advances",
        "arXiv",
        2025,
        "https://arxiv.org/abs/2510.21890",
    )
    text = "principles_of_diffusion.md"
    kind = "samples"

    data = DataSource("three-gaussians", doc="named samples, or yours; without a known distribution, the empirical one")
    sampler = Choice(
        ["dpm++2m", "ddim", "euler", "heun", "edm-heun", "dpm-2", "ancestral", "sde", "corrected", "langevin"],
        doc="step from one time to the next; the last four draw random numbers",
    )
    steps = size(10, (1, 2000), (2, 200), label="steps", symbol="N", doc="steps; some samplers evaluate twice in each")
    spacing = Choice(
        ["log-snr", "time", "karras", "quadratic", "change"],
        label="grid",
        doc="evenly spaced quantity: log(a/s), time, σ to the power 1/ρ, root of the time, or change of the denoised points",
    )
    schedule = Choice(list(SCHEDULES), doc="weights of data and noise at each time")
    guided = Switch(False, label="guidance", doc="sample a class: a component of the distribution, or a label")
    condition = Whole(
        0,
        bounds=(0, None),
        soft=(0, 9),
        label="class",
        symbol="c",
        traced=False,
        when=_GUIDED,
        doc="number of the class",
    )
    w = Real(
        2.0,
        bounds=(-1, None),
        soft=(-1, 8),
        label="guidance strength",
        symbol="w",
        when=_GUIDED,
        doc="guidance; 0: class; -1: none",
    )
    eta = Real(
        1.0,
        bounds=(0, None),
        soft=(0, 1.5),
        label="noise",
        symbol="η",
        when=_RANDOM,
        doc="new noise in a step; 0: none",
    )
    rho = positive(7.0, (1, 12), label="exponent", symbol="ρ", group="more", doc="exponent of the Karras grid")
    churn = Real(
        0.0,
        bounds=(0, None),
        soft=(0, 80),
        label="churn",
        group="more",
        when=_EDM,
        doc="total noise added before steps",
    )
    learns = Choice(
        list(few_steps.LEARNS),
        label="network learns",
        group="more",
        when=TRAINING,
        doc="identity of the flow map that a network learns, to transport noise to data in one call or few",
    )
    particles = size(250, (2, 20_000), (50, 2000), label="particles", group="more", doc="number of sampled points")

    dims: ClassVar = {
        "t": ("progress from noise to data", ""),
        "goal": ("fresh point of the data", ""),
        "row": ("x₂", ""),
        "column": ("x₁", ""),
        "position": ("x", ""),
        "axis": ("coordinate", ""),
        "compared": ("sampler", ""),
        "budget": ("steps", ""),
        "knot": ("step", ""),
        "schedule_name": ("schedule", ""),
        "clock": ("progress from noise to data", ""),
        "few": ("calls", ""),
        "maker": ("by", ""),
        **Trained.dims,
    }
    presets = (
        Preset(
            "edm",
            "EDM",
            "Heun's method along σ, on the Karras grid.",
            {"schedule": "edm", "sampler": "edm-heun", "spacing": "karras", "steps": 18},
        ),
        Preset(
            "line",
            "On a line",
            "Flow lines through three modes, with straight steps of average velocity.",
            {"data": "modes-1d", "steps": 20},
        ),
        Preset(
            "guided",
            "Guidance",
            "The first Gaussian at w = 3: narrower than the tilted distribution.",
            {"guided": True, "w": 3.0, "steps": 40},
        ),
        Preset(
            "one-step",
            "One step",
            "A consistency model, distilled from the exact flow.",
            {"train_steps": 3000, "schedule": "edm"},
        ),
        Preset(
            "digits",
            "Digits",
            "64 dimensions: the exact denoiser of stored data leads back to these data.",
            {"data": "digit-samples", "steps": 20, "particles": 100},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The distribution, its classes, and the places of the pictures."""
        arrays = {
            name: np.asarray(v, float if np.asarray(v).dtype.kind == "f" else None) for name, v in data.arrays.items()
        }
        law, x = laws.target_of(arrays), arrays["x"]
        labels = (
            arrays["classes"]
            if isinstance(law, laws.Empirical) and "classes" in arrays
            else np.arange(len(law.weights))
        )
        plane = principal_plane(x[:4000])
        variance = float(np.trace(np.asarray(law.moments().covariance)) / x.shape[1])
        made: dict[str, Any] = {
            "law": law,
            "labels": np.unique(labels, return_inverse=True)[1],
            "axes": placed(np.asarray(plane.axes, float)),
            "centre": placed(np.asarray(plane.centre, float)),
            "variance": variance if variance > 0 else 1.0,
        }
        if x.shape[1] == 1:
            (low, high), _ = window(np.repeat(x, 2, axis=1), air=0.3)
            made["position"] = np.linspace(low, high, _LINE)
        if x.shape[1] == 2:
            ends = window(x, air=0.3)
            made["column"], made["row"] = (middles(*each, _CELLS) for each in ends)
        return made

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names and places."""
        names = data.axes.get("x", ("x₁", "x₂")) if data.arrays["x"].shape[1] <= 2 else ("first", "second")
        return {name: inputs[name] for name in ("position", "row", "column") if name in inputs} | {
            "t": np.linspace(0, 1, FRAMES),
            "way": ["sampler", "exact flow", "ancestral"],
            "compared": list(COMPARED),
            "budget": list(COUNTS),
            "grid": list(SPACINGS),
            "schedule_name": list(SCHEDULES),
            "clock": np.linspace(0, 1, FRAMES),
            "few": list(few_steps.COUNTS),
            "maker": list(few_steps.MAKERS),
            "axis": list(names[: inputs["axes"].shape[1]]),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Number of classes, and paths that fit into memory."""
        most = int(1e8 / (self.steps * data.arrays["x"].shape[1]))
        found = {"particles": Limit(2, max(most, 2), "so that paths fit into memory")} if most < 20_000 else {}
        if self.guided:
            found["condition"] = Limit(0, len(_classes(data)) - 1, "the number of the last class")
        return found

    def check(self, data: Data) -> None:
        """Require classes for guidance."""
        super().check(data)
        if self.guided and len(_classes(data)) < 2:
            raise ValueError(
                "guided = True is not allowed: the data have one class only; choose three-gaussians, or give labels as classes"
            )

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of numbers that are not finite, data at the last time, and large errors."""
        if int(result.lost):
            return f"Numbers were not finite after step {int(result.lost)}: take more steps, or another grid."
        if float(np.exp(2 * result.log_snr[0]) * result.goals.var("goal").mean()) > 0.05:
            return "The starts are noise, but the last time still contains data: scale the data to a spread of 1."
        if "error" in result and float(result.error) > float(result.spread):
            return "The error is larger than the spread of the samples: take more steps."
        return ""


def _classes(data: Data) -> np.ndarray:
    given = data.arrays
    known = given.get("centres", given.get("low"))
    return np.arange(len(known)) if known is not None else np.unique(given.get("classes", np.zeros(1)))

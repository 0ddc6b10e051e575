"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole, sweeping
from lab.studies.diffusion import expressway_comparison
from lab.studies.diffusion.expressway_inputs import most_stored, prepared
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import TESTED, compute
from .pictures import PICTURES
from .story import STORY

_DIGITS = {"data": "digit-samples", "m": 800, "particles": 300}
_MEMORIZED = _DIGITS | {"score": "points"}
_level = partial(Real, scale="log", group="more", unit="radius of the data")


class DPMOT(Study):
    """Jump from noise to noised data by a semi-discrete optimal transport map, then take the last few steps of a sampler."""

    slug = "dpm-ot"
    title = "DPM-OT"
    field = "Diffusion"
    paper = Paper(
        "Li, Li, Wang, Lei, Luo, Gu",
        "DPM-OT: A New Diffusion Probabilistic Model Based on Optimal Transport",
        "ICCV",
        2023,
        "https://arxiv.org/abs/2307.11308",
    )
    text = "dpm_ot.md"
    kind = "samples"
    data_options = ("seed",)

    data = DataSource("narrow-ring", doc="named samples, or yours; above 16 dimensions on their principal axes")
    k = Whole(
        5,
        bounds=(0, None),
        soft=(0, 40),
        label="last steps",
        symbol="k",
        doc="of the sampler after the jump; 0: jump alone",
    )
    m = size(400, (2, 100_000), (50, 2000), label="stored points", symbol="m", doc="data points that the map jumps to")
    extend = Choice(
        list(expressway_comparison.EXTENSIONS),
        label="between cells",
        doc="none: jump to the target of the cell; pair: to a random point between it and the target of the neighboring "
        "cell; mass-centre: between both, by the distances from the centers of their cells",
    )
    threshold = Real(
        0.7,
        bounds=(0, 1),
        label="singular angle",
        symbol="θ",
        doc="no extension above this fraction of the largest angle",
    )
    tau = Real(
        0.1,
        bounds=(0.01, 0.5),
        label="mixture threshold",
        symbol="τ",
        doc="probability that two modes of a mixed sample have",
    )
    score = Choice(["law", "points"], doc="law: of the smooth data distribution; points: of the stored points alone")
    sampler = Choice(
        list(expressway_comparison.LAST), label="last steps by", doc="one Langevin step per level, or another sampler"
    )
    step_size = positive(
        0.3, (0.02, 1), label="Langevin step", symbol="κ", group="more", doc="in units of the squared level; below 1"
    )
    source = Choice(["gaussian", "uniform"], group="more", doc="noise: N(0, I), or uniform on the cube")
    on_singular = Choice(
        ["first", "reject"],
        group="more",
        label="singular starts",
        doc="first: jump to the target of the cell; reject: draw another start",
    )
    angle = Choice(
        ["minmax", "raw"], group="more", label="angles", doc="scaled by minimum and maximum over the starts, or by π"
    )
    iterations = size(400, (1, 20_000), (100, 2000), group="more", doc="of the stochastic solver of the map")
    batch = size(2000, (10, 1_000_000), (200, 20_000), group="more", symbol="N", doc="noise points per iteration")
    rate = positive(
        0.02, (1e-4, 1), group="more", label="learning rate", doc="initial rate of the heights, in radii of the data"
    )
    doubling = Switch(
        False, group="more", doc="doubles the batch after 50 iterations without progress, at most three times"
    )
    levels = size(99, (1, 1000), (20, 300), group="more", symbol="L", doc="noise levels of the full sampler, geometric")
    sigma_max = _level(3.0, bounds=(0.5, 100), soft=(1, 10), label="largest level", symbol="σ₀", doc="of other methods")
    sigma_min = _level(
        0.01, bounds=(1e-5, 0.4), soft=(0.001, 0.1), label="smallest level", symbol="σ", doc="at the end of all methods"
    )
    particles = size(400, (2, 20_000), (100, 2000), group="more", doc="samples of each method")

    dims: ClassVar = {
        "way": ("method", ""),
        "particle": ("sample", ""),
        "axis": ("coordinate", ""),
        "t": ("time", ""),
        "shown": ("sample", ""),
        "stage": ("iteration", ""),
        "film": ("method", ""),
    }
    presets = (
        Preset("digits", "Digits", "Handwritten digits on 16 axes, with a smooth score.", _DIGITS),
        Preset(
            "digits-points",
            "Digits, memorized",
            "The score of the stored digits leads to one of them.",
            _MEMORIZED,
        ),
        Preset("remembers", "Score of the stored points", "All methods end in stored points.", {"score": "points"}),
        Preset(
            "uniform",
            "Uniform noise",
            "As in the official code.",
            {"source": "uniform"},
        ),
        Preset(
            "official", "The official schedule", "The batch doubles without progress.", {"doubling": True, "batch": 500}
        ),
        Preset("moons", "Two moons", "Wide moons: samples stay close to the stored points.", {"data": "noisy-moons"}),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The data on at most 16 axes, and their distribution and modes where these are known."""
        return prepared(data.arrays, data.axes.get("image"))

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of methods and axes, times and iterations."""
        names = data.axes.get("x", ("x₁", "x₂")) if data.arrays["x"].shape[1] <= 2 else ("first", "second")
        return {
            "way": list(expressway_comparison.WAYS),
            "film": list(expressway_comparison.FILMED),
            "kind": list(expressway_comparison.IMAGES),
            "t": np.linspace(0, 1, expressway_comparison.FRAMES),
            "stage": expressway_comparison.marks(p.iterations),
            "axis": list(names[: inputs["axes"].shape[1]]),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Bound stored points by the data, and steps by the levels."""
        points = Limit(
            2, most_stored(data.arrays), "all, or all but a fifth to compare with where their law is not known"
        )
        return {"m": points, "k": Limit(0, self.levels, "as many steps as there are")}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of cells that are not balanced, and of copies."""
        most = expressway_comparison.unmet(result.sizes["target"], TESTED * sweeping.parameters(result)["batch"])
        if float(result.tv) > max(0.05, 2 * float(result.tv_floor)) or int(result.empty) > most:
            found = f"total variation {float(result.tv):.2f}, {int(result.empty)} without a point"
            return f"The cells are not balanced ({found}): take more iterations, or a larger batch."
        if float(result.nn_express) < 0.5 * float(result.nn_fresh):
            return "The samples are much closer to the stored points than held-out data, almost copies: take more last steps."
        return ""

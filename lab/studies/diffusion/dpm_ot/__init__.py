"""DPM-OT (Li, Li, Wang, Lei, Luo, Gu, ICCV 2023) as a study: one jump by optimal transport, then few steps."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.diffusion import expressway_survey as survey
from lab.diffusion.expressway_inputs import most_stored, prepared
from lab.diffusion.modes import TAUS
from lab.numerics import Loop, first_failure, map_rows
from lab.numerics.host import placed
from lab.ot import semidiscrete
from lab.paths import metrics
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_TESTED = 50  # batches of the last estimate of the masses
_NO_MODES = "what modes there are is not known: choose data with few Gaussians or with classes"
_NO_PLANE = "the data are not in the plane: choose narrow-ring, say"
_NO_IMAGES = "the data are no images: choose digit-samples"


class DPMOT(Study):
    """An expressway from noise to data: a semi-discrete map to noised data, then the last few steps of a sampler."""

    slug = "dpm-ot"
    title = "DPM-OT"
    field = "Diffusion"
    paper = Paper(
        "Li, Li, Wang, Lei, Luo, Gu", "DPM-OT: A New Diffusion Probabilistic Model Based on Optimal Transport", "ICCV", 2023,
        "https://arxiv.org/abs/2307.11308",
    )
    text = "dpm_ot.md"
    kind = "samples"
    data_options = ("seed",)

    data = DataSource("narrow-ring", doc="a named set of samples, or yours; above 16 dimensions on its principal axes")
    k = Whole(
        5, bounds=(0, None), soft=(0, 40), label="steps kept", symbol="k",
        doc="the last steps of the sampler, which follow the jump; 0: the jump alone",
    )
    m = size(400, (2, 100_000), (50, 2000), label="stored points", symbol="m", doc="data that the map jumps to")
    extend = Choice(
        list(survey.EXTENSIONS), label="between cells",
        doc="none: to the target of the cell; pair: to a random point between it and that of the next best cell; mass-centre: "
        "between both by the distance from the middles of their cells",
    )
    threshold = Real(
        0.7, bounds=(0, 1), label="angle of the singular set", symbol="θ", doc="share of the largest angle between cells "
        "above which the map jumps and nothing is filled in",
    )
    tau = Real(
        0.1, bounds=(0.01, 0.5), label="level of mixture", symbol="τ",
        doc="a sample is mixed where two modes have at least this probability",
    )
    score = Choice(["law", "points"], doc="law: of the data's law, a smooth one; points: of the stored points alone")
    sampler = Choice(list(survey.LAST), label="last steps by", doc="one Langevin step at each level, or another sampler")
    step_size = positive(
        0.3, (0.02, 1), label="Langevin step", symbol="κ", group="more", doc="in units of the squared level; below 1",
    )
    source = Choice(["gaussian", "uniform"], group="more", doc="the noise that is mapped: N(0, I), or uniform on the cube")
    on_singular = Choice(
        ["first", "reject"], group="more", label="singular starts",
        doc="first: to the target of the best cell; reject: drawn again",
    )
    angle = Choice(
        ["minmax", "raw"], group="more", label="angles", doc="minmax: from the least to the largest of the starts; raw: of π"
    )
    iterations = size(400, (1, 20_000), (100, 2000), group="more", doc="of the stochastic solver of the map")
    batch = size(2000, (10, 1_000_000), (200, 20_000), group="more", symbol="N", doc="points of the source in an iteration")
    rate = positive(
        0.02, (1e-4, 1), group="more", label="learning rate", doc="of the heights at first, in radii of the data; it falls"
    )
    doubling = Switch(False, group="more", doc="twice the points after 50 iterations without progress, three times at most")
    levels = size(99, (1, 1000), (20, 300), group="more", symbol="L", doc="steps of the whole sampler, even in the logarithm")
    sigma_max = Real(
        3.0, bounds=(0.5, 100), soft=(1, 10), scale="log", group="more", label="largest level", symbol="σ₀",
        unit="radius of the data", doc="from which the other ways begin",
    )
    sigma_min = Real(
        0.01, bounds=(1e-5, 0.4), soft=(0.001, 0.1), scale="log", group="more", label="least level", symbol="σ",
        unit="radius of the data", doc="at which all end",
    )
    particles = size(400, (2, 20_000), (100, 2000), group="more", doc="samples that are drawn and compared")

    dims: ClassVar = {
        "way": ("way", ""), "level": ("τ", ""), "particle": ("sample", ""), "axis": ("coordinate", ""), "t": ("way", ""),
        "shown": ("sample", ""), "target": ("target", ""), "iteration": ("iteration", ""), "stage": ("iteration", ""),
        "film": ("way", ""), "newton": ("Newton steps", ""), "site": ("target", ""), "kind": ("what", ""),
        "image": ("image", ""), "row": ("row", ""), "column": ("column", ""),
    }
    results = (
        Result("nfe_express", (), "evaluations", "of the denoiser, by DPM-OT and by the ways with as many", headline=True),
        Result("w2_express", (), "W₂ of DPM-OT", "distance of its samples from fresh data, exact", headline=True),
        Result("w2_stored", (), "W₂ of the stored points", "the same, of draws among those", headline=True),
        Result("w2_floor", (), "W₂ of the data", "of two samples of the data: the floor"),
        Result("nn_express", (), "distance to the stored", "mean distance of a sample from the next stored one", headline=True,
               judge=lambda value, result: "warn" if value < 0.5 * float(result.nn_fresh) else ""),
        Result("nn_fresh", (), "distance of fresh data", "the same of fresh data", headline=True),
        Result("from_own", (), "distance to its target", "mean distance of a sample from what it jumped to", headline=True),
        Result("tv", (), "TV of the cells", "total variation of their masses from equal ones, estimated", headline=True,
               judge=lambda value, result: "good" if value < 1.5 * float(result.tv_floor) else "warn"),
        Result("tv_floor", (), "its floor", "what the estimate has where the masses are right"),
        Result("mmr_express", (), "mixed", "share of its samples that two modes claim", headline=True, absent=_NO_MODES),
        Result("mmr_fresh", (), "mixed, of the data", "the same, of fresh data", absent=_NO_MODES),
        Result("off_express", (), "off the modes", "share of its samples outside of all", headline=True, absent=_NO_MODES),
        Result("off_flow", (), "of the flow", "the same, in as many evaluations", headline=True, absent=_NO_MODES),
        Result("empty", (), "empty cells", "without a point of the last estimate"),
        Result("chi_squared", (), "χ²", "of the masses of the cells, without bias"),
        Result("kept", (), "kept", "share of starts that are not singular, where those are rejected"),
        Result("w2", ("way",), "W₂", "distance from fresh data, exact"),
        Result("nfe", ("way",), "evaluations", "of the denoiser"),
        Result("nn_to_target", ("way",), "distance", "mean, from the nearest stored point"),
        Result("mmr", ("way",), "mixed", "share of samples that two modes claim", absent=_NO_MODES),
        Result("mmr_by_tau", ("way", "level"), "mixed", "by the level of mixture", absent=_NO_MODES),
        Result("mode_mass", ("way",), "masses of modes", "total variation from those of the law", absent=_NO_MODES),
        Result("off_mode", ("way",), "off the modes", "share outside of all modes", absent=_NO_MODES),
        Result("samples", ("way", "particle", "axis"), "position", "on at most two axes"),
        Result("mixed", ("way", "particle"), "mixed", "1 where two modes claim the sample", absent=_NO_MODES),
        Result("off", ("way", "particle"), "off", "1 where it is outside of all modes", absent=_NO_MODES),
        Result("starts", ("particle", "axis"), "noise", "where DPM-OT began, on at most two axes"),
        Result("angles", ("particle",), "angle", "between the best cells of the start of DPM-OT", "rad"),
        Result("singular", ("particle",), "singular", "1 where the angle is beyond the threshold"),
        Result("stored", ("target", "axis"), "position", "of the stored points"),
        Result("paths", ("t", "film", "shown", "axis"), "position", "on the scale of the data, on at most two axes"),
        Result("tv_trace", ("iteration",), "TV", "of a batch's masses"),
        Result("grad_norm", ("iteration",), "|w - ν|", "of a batch"),
        Result("n_empty", ("iteration",), "empty cells", "of a batch"),
        Result("n_points", ("iteration",), "points", "of a batch"),
        Result("heights", ("stage", "target"), "height", "on the way", absent=_NO_PLANE),
        Result("cell_mass", ("stage", "target"), "mass", "of the cells on the way", absent=_NO_PLANE),
        Result("targets", ("target", "axis"), "position", "of noised stored points", absent=_NO_PLANE),
        Result("target_mode", ("target",), "mode", "of each stored point", absent=_NO_MODES),
        Result("newton_heights", ("newton", "site"), "height", "by Newton's method, in the square", absent=_NO_PLANE),
        Result("newton_areas", ("newton", "site"), "area", "of the cells, exactly", absent=_NO_PLANE),
        Result("sites", ("site", "axis"), "position", "of some stored points, brought into the square", absent=_NO_PLANE),
        Result("images", ("kind", "image", "row", "column"), "intensity", "samples and stored points", absent=_NO_IMAGES),
        Result("iterations", (), "iterations", "of the solver of the map"),
        Result("converged", (), "done", "whether all iterations were done and all numbers are finite"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The data on at most 16 axes, what is known of their law, and Newton's way in the square."""
        return prepared(data.arrays, data.axes.get("image"))

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and places."""
        names = data.axes.get("x", ("x₁", "x₂")) if data.arrays["x"].shape[1] <= 2 else ("first", "second")
        return {
            "way": list(survey.WAYS), "level": list(TAUS), "film": list(survey.FILMED), "kind": list(survey.IMAGES),
            "t": np.linspace(0, 1, survey.FRAMES), "stage": survey.marks(p.iterations),
            "axis": list(names[: inputs["axes"].shape[1]]),
        } | ({"newton": inputs["newton_at"]} if inputs["newton"] else {})

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """As many points as there are, as many steps."""
        points = Limit(2, most_stored(data.arrays), "all, or all but a fifth to compare with where their law is not known")
        return {"m": points, "k": Limit(0, self.levels, "as many steps as there are")}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Balance the cells, carry samples along all ways, measure and look."""
        x = inputs["x"]
        stored, rest = placed(x[: p.m]), placed(x[p.m :] if len(x) > p.m + 1 else x)
        law = survey.law_of(inputs["law"], p.score, stored, rest)
        draw, k, radius = survey.source(p.source, stored.shape[1]), placed(p.k), inputs["radius"]
        levels = p.sigma_max * radius, p.sigma_min * radius
        begun = survey.begin(law, stored, draw, jax.random.key(p.seed), k, p.levels, levels, p.particles)
        cells = semidiscrete.by_samples(
            draw, begun.y, key=begun.keys[2], iterations=p.iterations, batch=p.batch, rate=p.rate * radius,
            patience=50 if p.doubling else 0, marks=survey.marks(p.iterations), tested=_TESTED, loop=loop,
        )
        last = survey.sampler(p.sampler, p.step_size)
        relative = p.angle == "minmax"
        ways = survey.carry(
            law, begun, cells.heights, draw, k, last, p.step_size, p.threshold * (1.0 if relative else np.pi), relative,
            p.extend, p.on_singular == "reject",
        )
        w2sq, compared = map_rows(loop, metrics.cloud_distance, ways.clouds)
        told = {"masses": cells.masses, "path": cells.path, "points": float(_TESTED * p.batch)}
        seen = inputs["centre"], inputs["axes"], inputs["variance"], inputs["off_radius"]
        output = survey.look(law, begun, stored, ways, told, draw, k, p.tau, seen, w2sq, inputs.get("lift"))
        trace = {"tv_trace": "apart", "grad_norm": "norm", "n_empty": "empty", "n_points": "points"}
        output |= {name: cells.trace[of] for name, of in trace.items()} | inputs["newton"]
        return output | {"iterations": cells.iterations, "reason": first_failure(cells.reason, compared)}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Cells that are not balanced, or copies."""
        most = survey.unmet(result.sizes["target"], _TESTED * sweeping.parameters(result)["batch"])
        if float(result.tv) > max(0.05, 2 * float(result.tv_floor)) or int(result.empty) > most:
            told = f"total variation {float(result.tv):.2f}, {int(result.empty)} without a point"
            return f"The cells are not balanced ({told}): take more iterations, or more points in each."
        if float(result.nn_express) < 0.5 * float(result.nn_fresh):
            return "The samples are the stored points all but again, much nearer to them than fresh data: keep more steps."
        return ""

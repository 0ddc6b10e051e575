"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji, Ermon, 2025) as a study: samplers with their true errors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import diffusion
from lab.datasets import Data
from lab.diffusion import flow_maps, survey
from lab.diffusion.comparison import COMPARED, COUNTS, SCHEDULES, SPACINGS
from lab.diffusion.parametrisations import KINDS
from lab.diffusion.survey import FRAMES, MATCHED, NOISY
from lab.numerics import Loop, first_failure, map_rows
from lab.numerics.principal import principal_plane
from lab.numerics.window import middles, window
from lab.paths import laws, metrics
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .story import STORY

CELLS, PLACES, LINE = 32, 9, 121  # a side: of densities in the plane, of arrows, of densities on a line
WAYS = ("sampler", "exact flow", "ancestral")
_DRAWS = "the sampler draws random numbers, so that no start has an end of its own: choose ddim, say"
_FREE = "no class is asked for: switch guidance on"
_NO_PLANE = "the data are not in the plane: choose three-gaussians, say"
_NO_LINE = "the data are not on a line: choose modes-1d, say"


class PrinciplesOfDiffusion(Study):
    """From noise to data on laws whose denoiser is known: what schedules, samplers, grids and guidance do, in true errors."""

    slug = "principles-of-diffusion"
    title = "The principles of diffusion"
    field = "Diffusion"
    paper = Paper(
        "Lai, Song, Kim, Mitsufuji, Ermon", "The Principles of Diffusion Models: From Origins to Advances", "arXiv", 2025,
        "https://arxiv.org/abs/2510.21890",
    )
    text = "principles_of_diffusion.md"
    kind = "samples"

    data = DataSource(
        "three-gaussians", doc="a named set of samples, or yours; without a known law the data themselves are the law"
    )
    sampler = Choice(
        ["dpm++2m", "ddim", "euler", "heun", "edm-heun", "dpm-2", "ancestral", "sde", "corrected", "langevin"],
        doc="how one gets from a time to the next; the last four draw random numbers on the way",
    )
    steps = size(10, (1, 2000), (2, 200), label="steps", symbol="N", doc="from noise to data; some samplers ask twice in one")
    spacing = Choice(
        ["log-snr", "time", "karras", "quadratic", "change"], label="grid",
        doc="what is even between steps: log(a/s), the time, σ to the power 1/ρ, the root of the time, or how much the "
        "denoised points change",
    )
    schedule = Choice(list(SCHEDULES), doc="how much of data and of noise is in a point at each time")
    guided = Switch(False, label="guidance", doc="ask for a class: a component of the law, or a label of the data")
    condition = Whole(
        0, bounds=(0, None), soft=(0, 9), label="class", symbol="c", traced=False, when={"guided": (True,)},
        doc="number of the component, or of the label in order",
    )
    w = Real(
        2.0, bounds=(-1, None), soft=(-1, 8), label="guidance strength", symbol="w", when={"guided": (True,)},
        doc="0: the class as it is; above: away from what is likely without it; -1: no class",
    )
    eta = Real(
        1.0, bounds=(0, None), soft=(0, 1.5), label="noise", symbol="η", when={"sampler": ("ancestral", "sde")},
        doc="how much is drawn anew in a step; 0: none, which is ddim, and Euler's method of the flow",
    )
    rho = positive(
        7.0, (1, 12), label="crowding", symbol="ρ", group="more", when={"spacing": ("karras",)},
        doc="of Karras' grid: the larger, the more steps are near the data",
    )
    churn = Real(
        0.0, bounds=(0, None), soft=(0, 80), label="churn", group="more", when={"sampler": ("edm-heun",)},
        doc="noise that EDM adds before its steps, of all of them together",
    )
    particles = size(250, (2, 20_000), (50, 2000), label="particles", group="more", doc="points that are carried")

    dims: ClassVar = {
        "t": ("way from noise to data", ""), "way": ("way", ""), "particle": ("particle", ""), "axis": ("coordinate", ""),
        "goal": ("fresh point of the data", ""), "row": ("x₂", ""), "column": ("x₁", ""), "position": ("x", ""),
        "place": ("place", ""), "kind": ("prediction", ""), "compared": ("sampler", ""), "budget": ("steps", ""),
        "grid": ("grid", ""), "knot": ("step", ""), "schedule_name": ("schedule", ""), "clock": ("way from noise to data", ""),
    }
    results = (
        Result("error", (), "error", "root mean square distance of its ends from those of the exact flow", headline=True,
               absent=_DRAWS),
        Result("w2sq", (), "W₂² of the sampler", "squared distance of its ends from fresh data, exact", headline=True),
        Result("w2sq_exact", (), "W₂² of the exact flow", "the same, without errors of steps", headline=True),
        Result("w2sq_floor", (), "W₂² of the data", "of two samples of the data: the floor", headline=True),
        Result("evaluations", (), "evaluations", "of the denoiser, for all points at once", headline=True),
        Result("spread", (), "spread", "root mean variance of a coordinate where the sampler ends", headline=True),
        Result("share", (), "in the class", "mean probability of the class at the ends", headline=True, absent=_FREE),
        Result("spread_tilted", (), "spread of the tilted law", "of the law p(x|c)^(1+w) p(x)^-w, which guidance does not draw "
               "from", absent=f"{_FREE}, of data in the plane or on a line"),
        Result("errors", ("compared", "budget"), "error", "of each sampler with each number of steps, over 64 starts, or 16"),
        Result("calls", ("compared", "budget"), "evaluations", "of the denoiser"),
        Result("order", ("compared",), "observed order", "of the error, from 80 to 160 steps"),
        Result("grid_error", ("grid",), "error", "of the sampler with its steps on each grid", absent=_DRAWS),
        Result("knots", ("grid", "knot"), "log-SNR", "log(a/s) of the times of each grid"),
        Result("paths", ("t", "way", "particle", "axis"), "position", "on the scale of the data, on at most two axes"),
        Result("goals", ("goal", "axis"), "position", "fresh data"),
        Result("log_snr", ("t",), "log-SNR", "log(a/s) of the frames"),
        Result("density", ("t", "row", "column"), "density", "of the noised law, on the scale of the data", absent=_NO_PLANE),
        Result("line", ("t", "position"), "density", "of the noised law, on the scale of the data", absent=_NO_LINE),
        Result("arrows", ("t", "kind", "place", "axis"), "prediction", "all five kinds, of the data from the place",
               absent=_NO_PLANE),
        Result("places", ("place", "axis"), "position", "of the arrows", absent=_NO_PLANE),
        Result("tilted", ("row", "column"), "mass", "of the tilted law in each cell", absent=f"{_FREE}; {_NO_PLANE}"),
        Result("table_log_snr", ("schedule_name", "clock"), "log-SNR", "log(a/s)"),
        Result("weight", ("schedule_name", "kind", "clock"), "weight", "of the data's squared error, in a loss of each kind"),
        Result("lost", (), "lost after step", "after which something was not finite; 0: nowhere"),
        Result("iterations", (), "steps", "that were done"),
        Result("converged", (), "finite", "whether all steps were done and all numbers are finite"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The law, its classes, and where one looks."""
        arrays = {name: np.asarray(v, float if np.asarray(v).dtype.kind == "f" else None) for name, v in data.arrays.items()}
        law, x = laws.target_of(arrays), arrays["x"]
        labels = arrays["classes"] if isinstance(law, laws.Empirical) and "classes" in arrays else np.arange(len(law.weights))
        plane = principal_plane(x[:4000])
        variance = float(np.trace(np.asarray(law.moments().covariance)) / x.shape[1])
        made: dict[str, Any] = {
            "law": law, "labels": np.unique(labels, return_inverse=True)[1], "axes": jnp.asarray(plane.axes, float),
            "centre": jnp.asarray(plane.centre, float), "variance": variance if variance > 0 else 1.0,
        }
        if x.shape[1] == 1:
            (low, high), _ = window(np.repeat(x, 2, axis=1), air=0.3)
            made["position"] = np.linspace(low, high, LINE)
        if x.shape[1] == 2:
            ends = window(x, air=0.3)
            made["column"], made["row"] = (middles(*each, CELLS) for each in ends)
            spots = np.meshgrid(*(middles(*each, PLACES) for each in ends))
            made["places"] = np.stack([each.ravel() for each in spots], axis=1)
        return made

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and places."""
        names = data.axes.get("x", ("x₁", "x₂")) if data.arrays["x"].shape[1] <= 2 else ("first", "second")
        return {name: inputs[name] for name in ("position", "row", "column") if name in inputs} | {
            "t": np.linspace(0, 1, FRAMES), "way": list(WAYS), "kind": list(KINDS), "compared": list(COMPARED),
            "budget": list(COUNTS), "grid": list(SPACINGS), "schedule_name": list(SCHEDULES),
            "clock": np.linspace(0, 1, FRAMES), "axis": list(names[: inputs["axes"].shape[1]]),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """A class that there is, and paths that fit into memory."""
        most = int(1e8 / (self.steps * data.arrays["x"].shape[1]))
        found = {"particles": Limit(2, max(most, 2), "so that paths fit into memory")} if most < 20_000 else {}
        if self.guided:
            found["condition"] = Limit(0, len(_classes(data)) - 1, "the number of the last class")
        return found

    def check(self, data: Data) -> None:
        """Refuse guidance without classes."""
        super().check(data)
        if self.guided and len(_classes(data)) < 2:
            raise ValueError(
                "guided = True is not allowed: the data have one class only; choose three-gaussians, or give labels as classes"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Carry noise to data by the sampler, by the exact flow and by ancestral sampling; then measure, and look."""
        key = jax.random.key(p.seed)
        noise, whole = diffusion.noise(p.schedule), diffusion.Exact(inputs["law"])
        members = np.flatnonzero(inputs["labels"] == p.condition) if p.guided else None
        asked: Any = whole if members is None else diffusion.Exact(diffusion.of_class(inputs["law"], members))
        predict = whole if members is None else diffusion.Guided(asked, whole, jnp.asarray(p.w, float))
        rho, few = jnp.asarray(p.rho, float), min(p.particles, MATCHED)
        begun = survey.begin(predict, asked, noise, key, p.particles, inputs["centre"].size, p.steps, rho, few)
        sampler = survey.sampler(p.sampler, jnp.asarray(p.eta, float), jnp.asarray(p.churn, float))
        run = diffusion.sample(
            predict, noise, begun.times[SPACINGS.index(p.spacing)], begun.x, sampler, key=begun.keys[0], loop=loop
        )
        flow = flow_maps.solved_at(predict, noise, begun.x, begun.frames)
        noisy = diffusion.sample(predict, noise, begun.reference, begun.x, "ancestral", key=begun.keys[1], loop=loop)
        clouds = jnp.stack([jnp.stack([z[:few], begun.fresh]) for z in (run.end, flow[-1], begun.goals)])
        w2sq, compared = map_rows(loop, metrics.cloud_distance, clouds)
        alone = p.sampler not in NOISY and not (p.sampler == "edm-heun" and p.churn)
        part = None if members is None else float(np.asarray(inputs["law"].weights)[members].sum())
        places = {name: jnp.asarray(inputs[name]) for name in ("position", "row", "column", "places") if name in inputs}
        seen = (inputs["centre"], inputs["axes"], jnp.asarray(inputs["variance"], float))
        output = survey.look(
            noise, predict, asked, whole, part, begun, run, flow, noisy, sampler if alone else None, places, seen, w2sq,
            "log-snr" if p.spacing == "change" else p.spacing, rho, jnp.asarray(p.w, float),
        )
        steps = run.evaluations // sampler.evaluations
        reason = first_failure(run.reason, noisy.reason, compared)
        return output | {"evaluations": run.evaluations, "lost": run.lost, "iterations": steps, "reason": reason}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What went wrong, or is far from the exact flow."""
        if int(result.lost):
            return f"Numbers were not finite after step {int(result.lost)}: take more steps, or another grid."
        if float(np.exp(2 * result.log_snr[0]) * result.goals.var("goal").mean()) > 0.05:
            return "The starts are noise, but at the last time data are still seen: scale the data to a spread of 1."
        if "error" in result and float(result.error) > float(result.spread):
            return "The ends are farther from those of the exact flow than the samples are wide: take more steps."
        return ""


def _classes(data: Data) -> np.ndarray:
    given = data.arrays
    known = given.get("centres", given.get("low"))
    return np.arange(len(known)) if known is not None else np.unique(given.get("classes", np.zeros(1)))

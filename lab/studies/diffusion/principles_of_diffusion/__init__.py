"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji, Ermon, 2025) as a study: samplers with their true errors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import diffusion
from lab.datasets import Data
from lab.diffusion import few_steps, flow_maps, survey
from lab.diffusion.comparison import COMPARED, COUNTS, SCHEDULES, SPACINGS
from lab.diffusion.parametrisations import KINDS
from lab.diffusion.survey import FRAMES, MATCHED, NOISY
from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.numerics.window import middles, window
from lab.paths import laws, metrics
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Switch, Whole
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, RESULTS

CELLS, PLACES, LINE = 32, 9, 121  # a side: of densities in the plane, of arrows, of densities on a line
WAYS = ("sampler", "exact flow", "ancestral")


class PrinciplesOfDiffusion(Trained):
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
        7.0, (1, 12), label="crowding", symbol="ρ", group="more",
        doc="of Karras' grid: the larger, the more steps are near the data",
    )
    churn = Real(
        0.0, bounds=(0, None), soft=(0, 80), label="churn", group="more", when={"sampler": ("edm-heun",)},
        doc="noise that EDM adds before its steps, of all of them together",
    )
    learns = Choice(
        list(few_steps.LEARNS), label="network learns", group="more", when=TRAINING,
        doc="which identity of the flow's map a network is taught, to lead from noise to data in one call or few",
    )
    particles = size(250, (2, 20_000), (50, 2000), label="particles", group="more", doc="points that are carried")

    dims: ClassVar = DIMS
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
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
            "law": law, "labels": np.unique(labels, return_inverse=True)[1], "axes": placed(np.asarray(plane.axes, float)),
            "centre": placed(np.asarray(plane.centre, float)), "variance": variance if variance > 0 else 1.0,
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
            "clock": np.linspace(0, 1, FRAMES), "few": list(few_steps.COUNTS), "maker": list(few_steps.MAKERS),
            "identity": list(few_steps.IDENTITIES), "axis": list(names[: inputs["axes"].shape[1]]),
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
        noise, whole = diffusion.noise(p.schedule), diffusion.Exact(inputs["law"])
        members = np.flatnonzero(inputs["labels"] == p.condition) if p.guided else None
        asked: Any = whole if members is None else diffusion.Exact(diffusion.of_class(inputs["law"], members))
        predict = whole if members is None else diffusion.Guided(asked, whole, jnp.asarray(p.w, float))
        rho, few = jnp.asarray(p.rho, float), min(p.particles, MATCHED)
        begun = survey.begin(predict, asked, noise, p.only("seed", "rho"), p.particles, inputs["centre"].size, p.steps, few)
        sampler = survey.sampler(p.sampler, jnp.asarray(p.eta, float), jnp.asarray(p.churn, float))
        run = diffusion.sample(
            predict, noise, begun.times[SPACINGS.index(p.spacing)], begun.x, sampler, key=begun.keys[0], loop=loop
        )
        flow = flow_maps.solved_at(predict, noise, begun.x, begun.frames)
        noisy = diffusion.sample(predict, noise, begun.reference, begun.x, "ancestral", key=begun.keys[1], loop=loop)
        w2sq, compared = map_rows(loop, metrics.cloud_distance, survey.clouds(begun, run.end, flow))
        alone = p.sampler not in NOISY and not (p.sampler == "edm-heun" and p.churn)
        part = None if members is None else float(np.asarray(inputs["law"].weights)[members].sum())
        places = {name: placed(inputs[name]) for name in ("position", "row", "column", "places") if name in inputs}
        seen = (inputs["centre"], inputs["axes"], jnp.asarray(inputs["variance"], float))
        output = survey.look(
            noise, predict, asked, whole, part, begun, run, flow, noisy, sampler if alone else None, places, seen, w2sq,
            "log-snr" if p.spacing == "change" else p.spacing, rho, jnp.asarray(p.w, float),
        )
        learned: Any = Reason.CONVERGED
        if p.train_steps:
            taught = few_steps.train(
                loop, begun.keys[2], asked.law, noise, p.learns, teacher=predict if p.learns in few_steps.TAUGHT else None,
                units=p.units, steps=p.train_steps, learning_rate=p.learning_rate,
            )
            learned = taught.learned.reason
            found = few_steps.judged(taught.map, predict, noise, flow, begun.frames, begun.goals, begun.keys[3])
            output |= survey.seen_few(found, seen) | {"curve_loss": taught.learned.loss}
        steps = run.evaluations // sampler.evaluations
        reason = first_failure(run.reason, noisy.reason, compared, learned)
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

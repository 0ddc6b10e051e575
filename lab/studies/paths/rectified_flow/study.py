"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics.host import placed
from lab.numerics.window import window
from lab.paths import laws, rectified
from lab.paths.rectified import FEW, POWERS
from lab.studies.contract import Choice, DataSource, Paper, Preset, Whole
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS, REPORTED
from .experiment import FRAMES, MOST_STEPS, SCHEDULES, compute
from .pictures import PICTURES
from .story import STORY

_GRID = 40  # points along each axis of the density


class RectifiedFlow(Trained):
    """Flows along the mean velocity of lines between pairs, fitted to their own pairs until the paths are straight."""

    slug = "rectified-flow"
    title = "Rectified flow"
    field = "Probability paths"
    paper = Paper(
        "Liu, Gong, Liu",
        "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
        "ICLR",
        2023,
        "https://arxiv.org/abs/2209.03003",
    )
    text = "rectified_flow.md"
    kind = "samples"
    data_options = ("side", "seed")

    data = DataSource(
        "two-mode-pair", doc="a named set of samples, or yours: x, and x0 where the source is not N(0, I)"
    )
    k = Whole(
        1,
        bounds=(0, rectified.ROUNDS),
        label="rectifications",
        symbol="k",
        doc="number of rectifications; 0: lines between random pairs, 1: flow matching, 2: one reflow",
    )
    euler_steps = Whole(
        1,
        bounds=(1, MOST_STEPS),
        soft=(1, 128),
        scale="log",
        label="Euler steps",
        symbol="K",
        doc="steps of Euler's method from source to data; one is exact where paths are straight",
    )
    bandwidth = positive(
        0.1,
        (0.02, 1),
        label="bandwidth",
        symbol="h",
        unit="std of the data",
        doc="kernel width of the velocity estimate from pairs, used from k = 2 on; large values blur the data",
    )
    schedule = Choice(
        list(SCHEDULES),
        label="schedule of the first flow",
        doc="linear: straight lines; vp and sub-vp: probability flows of diffusions; later flows use straight lines",
    )
    pairs = size(
        400,
        (2, 100_000),
        (100, 4000),
        label="pairs",
        symbol="N",
        doc="initial samples and endpoints to which each next flow is fitted; time grows with their square",
    )
    particles = size(
        400,
        (2, 100_000),
        (100, 2000),
        label="particles",
        symbol="n",
        group="more",
        doc="points that follow the flow and are measured; no field is fitted to them",
    )
    learns = Choice(
        ["flow", "one step"],
        label="network learns",
        group="more",
        when=TRAINING,
        doc="flow: the velocity of the k-rectified flow; one step: the map from its initial samples to its endpoints "
        "(distillation)",
    )
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="side length after pooling MNIST images"
    )

    dims: ClassVar = {
        "t": ("time", ""),
        "axis": ("coordinate", ""),
        "p": ("power of the cost", ""),
        "few": ("Euler steps", ""),
        "shown": ("particle", ""),
        "iteration": ("rectification", ""),
        "gx": ("x₁", ""),
        "gy": ("x₂", ""),
        **Trained.dims,
    }
    presets = (
        Preset(
            "reflow",
            "Straight after one reflow (Fig. 2)",
            "The flow fitted to its own pairs: their lines do not cross, and one Euler step is exact.",
            {"k": 2},
        ),
        Preset(
            "eight-gaussians",
            "Noise to eight Gaussians",
            "The cost of the 1-rectified flow is within 1% of optimal transport, yet one Euler step fails.",
            {"data": "eight-gaussians"},
        ),
        Preset("line", "Optimal on a line", "The first rectification is the monotone map.", {"data": "modes-1d"}),
        Preset(
            "not-optimal",
            "Straight, but not optimal",
            "Gaussians whose covariances do not commute: a reflow changes nothing, and the cost is 7% above the optimum.",
            {"data": "crossed-gaussians", "particles": 800},
        ),
        Preset(
            "diffusion",
            "The probability flow of a diffusion (Fig. 5)",
            "The VP schedule: the same marginals at both ends along curved paths, with uneven speed.",
            {"schedule": "vp", "euler_steps": 8},
        ),
        Preset("network", "Training a network", "The loss decreases toward its lower bound V.", {"train_steps": 2000}),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Both distributions, the plane of the pictures, and the grid of the density."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        source, target = laws.source_of(arrays), laws.target_of(arrays)
        center, axes = np.zeros(d, dtype), np.eye(d, dtype=dtype)
        if d > 2:
            center, axes = x.mean(axis=0), np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2].T
        made: dict[str, Any] = {"source": source, "target": target}
        made |= {"center": placed(np.asarray(center, dtype)), "axes": placed(np.asarray(axes, dtype))}
        made["scale"] = float(np.sqrt(x.var(axis=0).mean())) or 1.0
        if d == 2 and laws.is_known(arrays) and isinstance(source, paths.Mixture):
            limits = window(source.sample(jax.random.key(0), 2000), x)
            made["gx"], made["gy"] = (placed(np.linspace(low, high, _GRID)) for low, high in limits)
            if all(isinstance(law, paths.Mixture) and len(law.weights) == 1 for law in (source, target)):
                made["ellipse"] = np.stack([_ellipse(*map(np.asarray, law.moments())) for law in (source, target)])  # type: ignore[arg-type]
        return made

    def check(self, data: Data) -> None:
        """Reject curved schedules where both distributions are known by samples only."""
        super().check(data)
        points = "x0" in data.arrays and "source_centres" not in data.arrays
        if points and not laws.is_known(data.arrays) and self.schedule != "linear":
            raise ValueError(
                f"schedule = {self.schedule!r} needs the distribution of the source or of the data, and {data.name} has "
                "only samples of both: choose linear"
            )

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the frames, powers of the costs, numbers of Euler steps, names of the axes."""
        names = ["x₁", "x₂"][: inputs["axes"].shape[1]] if len(inputs["center"]) <= 2 else ["first", "second"]
        made = {"t": FRAMES, "p": list(POWERS), "few": list(FEW), "axis": names}
        if "ellipse" in inputs:
            made["end"] = ["source", "data"]
        return made | {name: np.asarray(inputs[name]) for name in ("gx", "gy") if name in inputs}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Why samples differ from the data, and the remedy."""
        fine, coarse, floor = (float(result[name]) for name in ("w2sq_fine", "w2sq", "w2sq_floor"))
        reflowed, alone = int(result.iterations) > 1, float(result.neighbours) < 2
        sees = f"averages {float(result.neighbours):.1f} pairs at a time"
        if reflowed and alone:
            return (
                f"The kernel {sees}, so the reflow repeats single pairs: raise the bandwidth or the number of pairs, or "
                "train a network."
            )
        if reflowed and fine > 3 * floor and fine > 0.01 * float(result.square_cost):
            return (
                f"The reflow misses the data: W₂² = {fine:.3g}, and two samples of the data have {floor:.3g}. Lower the "
                "bandwidth, take more pairs, or rectify less often."
            )
        if coarse > 2 * max(fine, floor):
            return (
                f"Euler steps end at W₂² = {coarse:.3g}, the finely integrated flow at {fine:.3g}: raise K, or straighten "
                "the flow by raising k."
            )
        if alone and int(result.iterations):
            return f"The kernel {sees}, so V is unreliable: raise the bandwidth or the number of pairs."
        return ""


def _ellipse(mean: np.ndarray, covariance: np.ndarray, points: int = 73) -> np.ndarray:
    """(points, 2) at one standard deviation from the mean of a Gaussian in the plane."""
    angle = np.linspace(0, 2 * np.pi, points)
    return mean + np.stack([np.cos(angle), np.sin(angle)], 1) @ np.linalg.cholesky(covariance).T

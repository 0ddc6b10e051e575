"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.datasets.gaussians import SPECTRA
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.paths import separation
from lab.paths.laws import is_known, target_of
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Study, Whole
from lab.studies.paths import separation_estimate
from lab.studies.paths.schedule_family import SCHEDULES
from lab.studies.vocabulary import size

from .claims import CLAIMS, REPORTED
from .experiment import GRID, MOMENTS, MOST, TIMES, Inputs, compute
from .pictures import PICTURES
from .story import STORY


class KineticOptimalPaths(Study):
    """The schedule of minimum kinetic energy and four common ones, on exact fields."""

    slug = "kinetic-optimal-paths"
    title = "Kinetic-optimal paths"
    field = "Probability paths"
    paper = Paper(
        "Shaul, Chen, Nickel, Le, Lipman",
        "On Kinetic Optimal Probability Paths for Generative Models",
        "ICML",
        2023,
        "https://arxiv.org/abs/2306.06626",
    )
    text = "kinetic_optimal_paths.md"
    kind = "samples"
    data_options = ("n", "dimension", "side", "spectrum", "seed")

    data = DataSource("checkerboard", doc="a named set of samples, or your file; the noise is N(0, I)")
    nfe = Whole(
        2,
        bounds=(1, MOST),
        soft=(1, MOST),
        scale="log",
        label="Euler steps",
        symbol="K",
        doc="equal steps from noise to data; each evaluates the velocity once",
    )
    weight = Real(
        0.5,
        bounds=(0, 1),
        label="weight of linear",
        symbol="w",
        doc="mixing weight of the schedule between: 0 is the kinetic optimal one, 1 the linear one",
    )
    beside = Choice(
        ["trigonometric", "VP", "between"],
        label="third schedule",
        doc="shown beside the kinetic optimal and the linear schedule; all five are computed",
    )
    particles = size(
        500,
        (10, 5000),
        (100, 2000),
        label="particles",
        doc="more particles lower the floor of W₂²; time grows with their cube",
    )
    n = size(
        None,
        (2, 100_000),
        (10, 5000),
        label="points",
        allow_None=True,
        doc="number of data points; auto: all. Where the distribution is known, only the points that are drawn",
    )
    dimension = size(
        2, (1, 4096), (1, 2048), label="dimension", symbol="d", doc="dimension of the set of a few Gaussian points"
    )
    side = Choice(["28", "14", "7"], label="pixels a side", doc="side length after pooling MNIST images")
    spectrum = Choice(list(SPECTRA), label="eigenvalues", doc="eigenvalues of the covariance of the stretched Gaussian")
    draws = size(
        None,
        (2, 10_000_000),
        (100, 100_000),
        label="noise samples",
        group="more",
        allow_None=True,
        doc="antithetic pairs, over all points, that estimate the curve; auto: 2000 for a known distribution, 4 per point "
        "or more for points",
    )
    training_steps = Whole(
        0,
        bounds=(0, 100_000),
        soft=(0, 5000),
        label="training steps",
        group="more",
        traced=False,
        doc="steps, with 256 pairs each, of a small network for each of the three schedules shown; 0: exact fields only",
    )

    dims: ClassVar = {
        "panel": ("schedule shown", ""),
        "theta": ("angle θ, tan θ = a/m", "rad"),
        "t": ("time t", ""),
        "moment": ("time t", ""),
        "step": ("training step", ""),
        "u": ("x₁", ""),
        "v": ("x₂", ""),
    }
    presets = (
        Preset(
            "diffusion",
            "With a diffusion",
            "The variance preserving diffusion as third schedule: its particles hardly move until the end.",
            {"beside": "VP", "nfe": 8},
        ),
        Preset(
            "two-points",
            "Two points on a line",
            "Data at -1 and 1, where the curve is known. The map from initial sample to endpoint becomes a step.",
            {"data": "two-points", "nfe": 8},
        ),
        Preset(
            "digits",
            "Handwritten digits",
            "600 digits of 64 pixels: little signal separates nearly all, so straight lines are nearly optimal.",
            {"data": "digit-samples", "n": 600, "nfe": 8, "particles": 200},
        ),
        Preset(
            "network",
            "With trained networks",
            "A thousand training steps for each of three schedules: a learned velocity reduces their differences.",
            {"training_steps": 1000, "nfe": 6},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The distribution of the data, centered and divided by one scale, and the plane of the pictures."""
        arrays = data.arrays
        dtype = jnp.result_type(float)
        x = placed(np.asarray(arrays["x"], dtype))
        curve = None
        if "eigenvalues" in arrays:
            e = jnp.asarray(arrays["eigenvalues"], dtype)
            target: Any = paths.Mixture(jnp.ones(1, dtype), jnp.zeros((1, e.size), dtype), e[None])
            centre, scale = jnp.zeros(e.size, dtype), jnp.ones((), dtype)
            curve = separation.of_gaussian(e, jnp.asarray(separation_estimate.angles(dtype)[1:-1]))
        elif is_known(arrays):
            law: Any = target_of(arrays)
            target, centre, scale = separation.normalize_law(law)
        else:
            points, centre, scale = separation.normalize(x)
            target = paths.Empirical(points)
        x = (np.asarray(x) - np.asarray(centre)[None, :]) / np.asarray(scale)
        plane = principal_plane(x).axes.astype(dtype)
        shown = x[:: max(1, x.shape[0] // 500)][:500] @ plane
        limit = max(2.8, 1.12 * float(np.quantile(np.abs(shown), 0.998)))
        sha = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)
        return Inputs(target, curve, scale, placed(plane), placed(shown), limit, sha)

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of schedules, angles, times, and the sides of the window."""
        side = np.linspace(-inputs.limit, inputs.limit, GRID)
        plane = not isinstance(inputs.target, paths.Empirical) and inputs.target.dimension == 2
        return {
            "schedule": list(SCHEDULES),
            "theta": separation_estimate.angles(),
            "t": np.linspace(0, 1, TIMES),
            "moment": np.linspace(0, 1, MOMENTS),
        } | ({"u": side, "v": side} if plane else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Ask for more noise samples where the curve is uncertain."""
        if float(result.phi_error) > 0.04 * float(result.phi_total):
            return (
                f"The relative error of the angle Φ is {float(result.phi_error / result.phi_total):.0%}: raise the noise "
                "samples (under more)."
            )
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.inverse import restoring
from lab.inverse.restoring import COUNTS, FLOWS, METHODS, MOST
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Whole
from lab.studies.inverse import pmrf_training as training
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS, REPORTED, RING
from .experiment import FRAMES, Inputs, bed_of, compute, inputs_of
from .pictures import PICTURES
from .story import STORY

TASKS = ("denoising", "coloured noise", "mixing", "inpainting", "super-resolution", "blur")
_BY_STEPS = tuple(f"{k} step{'s' * (k > 1)}" for k in COUNTS[:3])
_ROWS = ("measurement", "posterior mean", *_BY_STEPS, "K steps", "posterior sample", "truth")
_MOST = {"moments": 1024, "law": 16}  # numbers of x, beyond which matrices take too long


class PMRF(Trained):
    """The posterior mean, transported by a rectified flow to the distribution of clean data, and its competitors."""

    slug = "pmrf"
    title = "Posterior-mean rectified flow"
    field = "Inverse problems"
    paper = Paper(
        "Ohayon, Michaeli, Elad",
        "Posterior-Mean Rectified Flow: Towards Minimum MSE Photo-Realistic Image Restoration",
        "ICLR",
        2025,
        "https://arxiv.org/abs/2410.00418",
    )
    text = "pmrf.md"
    kind = "samples"
    needs = Needs(n=(3, None))
    data_options = ("side", "dimension", "seed")

    data = DataSource(
        "digit-samples", doc="a named set of samples, or yours: x, and its distribution where it is known"
    )
    euler_steps = Whole(
        25,
        bounds=(1, MOST),
        soft=(1, MOST),
        scale="log",
        label="Euler steps",
        symbol="K",
        doc="steps of the flow; one returns the posterior mean, many reach the distribution of the data",
    )
    sigma_s = Real(
        0.05,
        bounds=(0, None),
        soft=(1e-3, 1),
        scale="log",
        label="noise of the start",
        symbol="σₛ",
        doc="standard deviation of the noise added to the posterior mean; needed where that has fewer dimensions than x",
    )
    noise = positive(
        0.7, (0.05, 3), label="noise of the measurement", symbol="s", doc="standard deviation, in units of x"
    )
    task = Choice(list(TASKS), doc="degradation of x; the colored noise and the mixing matrix are drawn with the seed")
    knows = Choice(
        ["moments", "law", "pairs"],
        label="restorer knows",
        doc="moments: mean and covariance, exact and linear; law: the mixture; pairs: samples (X, Y), no closed form",
    )
    pairs = size(
        1000,
        (2, 50_000),
        (200, 4000),
        label="pairs",
        symbol="N",
        when={"knows": ("law", "pairs")},
        doc="samples that represent the distribution of (X, Y) in a flow; at most the points that are not held out",
    )
    least = positive(
        0.02,
        (1e-3, 0.3),
        label="minimum width",
        symbol="h",
        group="more",
        when={"knows": ("law", "pairs")},
        doc="minimum kernel width of a pair; without it a flow of pairs ends in the x of single pairs",
    )
    particles = size(
        400, (10, 5000), (100, 1000), label="particles", symbol="n", group="more", doc="points that are restored"
    )
    solver = Choice(
        ["euler", "heun"], group="more", doc="solver of the flows: Euler's method as in the paper, or Heun's"
    )
    learns = Choice(
        list(training.LEARNS),
        label="network learns",
        group="more",
        when=TRAINING,
        doc="PMRF, or one of its competitors",
    )
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="side length after pooling MNIST images"
    )
    dimension = size(
        4, (1, 64), (1, 16), label="dimension", symbol="d", group="more", doc="of the Gaussian of random covariance"
    )

    dims: ClassVar = {
        "count": ("Euler steps K", ""),
        "part": ("s", ""),
        "t": ("time", ""),
        "axis": ("coordinate", ""),
    } | {"shown": ("row", ""), **Trained.dims}
    presets = (
        Preset(
            "super-resolution",
            "Half the resolution (section 5)",
            "Four pixels become one: the posterior mean has fewer dimensions, and only σₛ fills the others.",
            {"task": "super-resolution", "noise": 0.05, "sigma_s": 0.1},
        ),
        Preset(
            "inpainting",
            "The middle is missing (section 5)",
            "The pixels around the middle are measured; the middle has to be generated.",
            {"task": "inpainting", "noise": 0.05, "sigma_s": 0.1},
        ),
        Preset(
            "from-measurement",
            "A flow from Y that fails",
            "A random mixing matrix: the flow from Y has a larger error than posterior sampling, PMRF a smaller one.",
            {"data": "random-gaussian", "dimension": 3, "task": "mixing", "sigma_s": 0.0, "euler_steps": 100},
        ),
        Preset("ring", "Three modes in the plane", "The exact velocity moves the posterior mean to the modes.", RING),
        Preset(
            "network-images",
            "A network on digits (figure 1)",
            "Images of 8 x 8: the network learns more than mean and covariance. A minute or two.",
            {"train_steps": 2000, "units": 256, "sigma_s": 0.1},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Samples minus their mean; a fifth of the points is held out."""
        return inputs_of(data)

    def check(self, data: Data) -> None:
        """Reject data without the knowledge that the restorer needs, and starts without noise in fewer dimensions."""
        x = data.arrays["x"]
        d = x.shape[1]
        if (x == x[0]).all():
            raise ValueError(f"all rows of {data.name} are equal: nothing is to be restored; bring data that differ")
        if self.knows == "law" and "centres" not in data.arrays:
            raise ValueError(
                f"knows = 'law' needs a law that is a mixture of Gaussians, and none is known of {data.name}: choose moments "
                "or pairs"
            )
        if d > _MOST.get(self.knows, d):
            raise ValueError(
                f"{data.name} has {d} numbers in each x, but knows = {self.knows!r} takes at most {_MOST[self.knows]}: "
                f"{'pool the images (side)' if 'image' in data.axes else 'take fewer'}, or choose pairs"
            )
        h, _ = restoring.task(self.task, d, (), 1.0, jax.random.key(0))  # raises for tasks that need more coordinates
        if self.learns == "flow from Y" and self.train_steps and h.shape[0] != d:
            raise ValueError(
                f"learns = 'flow from Y' needs Y of the dimension of X, and {self.task} shortens it: take another"
            )
        if self.sigma_s == 0 and self.knows == "pairs":
            raise ValueError(
                "sigma_s = 0 is not allowed with knows = 'pairs': without noise pairs say nothing between them"
            )
        if self.sigma_s == 0 and self.knows == "moments":
            inputs = type(self).inputs(data)
            try:
                bed_of(inputs, self.task, jnp.asarray(self.noise), jnp.asarray(self.seed)).linear.flow(0.0)
            except ValueError as problem:
                raise ValueError(f"sigma_s = 0 is not allowed here: {problem}") from None

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of estimators and flows, numbers of steps, times."""
        d = len(inputs.mean)
        made = {
            "estimator": list(METHODS),
            "flow": list(FLOWS),
            "count": list(COUNTS),
            "of": ["error", "W₂"],
            "t": FRAMES,
            "part": np.linspace(0, 1, output["curve"].shape[1]),
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
        }
        return made | ({"shown": list(_ROWS)} if "images" in output else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Too few steps, or more noise at the start than is useful."""
        error, sampling = float(result.mse_pmrf), float(result.mse_sampling)
        w2, mean, floor = (float(result[name]) for name in ("w2_pmrf", "w2_mean", "w2_floor"))
        if error > sampling + 4 * float(result.mse_error.max()):
            return (
                f"PMRF has an error of {error:.3g}, samples of the posterior {sampling:.3g}: the noise of the start is "
                "large, lower σₛ."
            )
        if w2 > 0.5 * mean and w2 > 2 * floor:
            return f"K steps reduce W₂ only from {mean:.3g} to {w2:.3g}: raise K, or σₛ where Y does not determine all of x."
        return ""

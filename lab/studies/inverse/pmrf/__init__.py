"""Posterior-mean rectified flow (Ohayon, Michaeli, Elad, ICLR 2025) as a study: from the least error to the law of the data."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.inverse import pmrf_training as training
from lab.inverse import restoring
from lab.inverse.restoring import COUNTS, FLOWS, METHODS, MOST
from lab.numerics import Loop, first_failure
from lab.paths.points import View
from lab.studies.contract import Choice, DataSource, Paper, Real, Whole
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import FRAMES, MOMENTS, RESULTS, ROWS, Inputs

TASKS = ("denoising", "coloured noise", "mixing", "inpainting", "super-resolution", "blur")
_MOST = {"moments": 1024, "law": 16}  # numbers of x, beyond which matrices take too long


class PMRF(Trained):
    """The posterior mean, carried by a rectified flow to the law of clean data, beside all that one can do instead."""

    slug = "pmrf"
    title = "Posterior-mean rectified flow"
    field = "Inverse problems"
    paper = Paper(
        "Ohayon, Michaeli, Elad", "Posterior-Mean Rectified Flow: Towards Minimum MSE Photo-Realistic Image Restoration",
        "ICLR", 2025, "https://arxiv.org/abs/2410.00418",
    )
    text = "pmrf.md"
    kind = "samples"
    needs = Needs(n=(3, None))
    data_options = ("side", "dimension", "seed")

    data = DataSource("digit-samples", doc="a named set of samples, or yours: x, and its law where it is known")
    euler_steps = Whole(
        25, bounds=(1, MOST), soft=(1, MOST), scale="log", label="Euler steps", symbol="K",
        doc="steps of the flow; one gives the posterior mean back, many reach the law of the data",
    )
    sigma_s = Real(
        0.05, bounds=(0, None), soft=(1e-3, 1), scale="log", label="noise of the start", symbol="σₛ",
        doc="standard deviation of what is added to the posterior mean; needed where that lives on fewer dimensions than x",
    )
    noise = positive(0.7, (0.05, 3), label="noise of the measurement", symbol="s", doc="standard deviation, in units of x")
    task = Choice(list(TASKS), doc="what is measured of x; coloured noise and the mixing matrix are drawn by the seed")
    knows = Choice(
        ["moments", "law", "pairs"], label="restorer knows",
        doc="moments: mean and covariance, all exact and linear; law: the mixture; pairs: so many pairs (X, Y), no closed form",
    )
    pairs = size(
        1000, (2, 50_000), (200, 4000), label="pairs", symbol="N", when={"knows": ("law", "pairs")},
        doc="that stand for the law of (X, Y) in a flow; of points at most those that are not held out",
    )
    least = positive(
        0.02, (1e-3, 0.3), label="least width", symbol="h", group="more", when={"knows": ("law", "pairs")},
        doc="of a pair's kernel: without it a flow of pairs ends in the x of single pairs",
    )
    particles = size(
        400, (10, 5000), (100, 1000), label="particles", symbol="n", group="more",
        doc="that are measured and restored; of points at most a third of those held out",
    )
    solver = Choice(["euler", "heun"], group="more", doc="of the flows: Euler's method as in the paper, or Heun's")
    learns = Choice(
        list(training.LEARNS), label="network learns", group="more", when=TRAINING,
        doc="PMRF, or one of its competitors, where a network is trained",
    )
    side = Choice(["7", "14", "28"], label="pixels of MNIST", group="more", doc="to how many pixels a side MNIST is pooled")
    dimension = size(
        4, (1, 64), (1, 16), label="dimension", symbol="d", group="more", doc="of the Gaussian of random covariance"
    )

    dims: ClassVar = {
        "estimator": ("estimator", ""), "flow": ("flow", ""), "count": ("Euler steps K", ""), "part": ("s", ""),
        "t": ("time", ""), "moment": ("time", ""), "particle": ("particle", ""), "axis": ("coordinate", ""),
        "kind": ("what", ""), "x": ("x", ""), "gx": ("x₁", ""), "gy": ("x₂", ""), "of": ("of", ""),
        "shown": ("row", ""), "image": ("image", ""), "row": ("row", ""), "column": ("column", ""), **Trained.dims,
    }
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """About the mean; of points a fifth is held out."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """What the restorer knows must be there, and noise where a flow has no start of full dimension."""
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
        h, _ = restoring.task(self.task, d, (), 1.0, jax.random.key(0))  # refuses tasks of too few numbers
        if self.learns == "flow from Y" and self.train_steps and h.shape[0] != d:
            raise ValueError(f"learns = 'flow from Y' needs Y of the dimension of X, and {self.task} shortens it: take another")
        if self.sigma_s == 0 and self.knows == "pairs":
            raise ValueError("sigma_s = 0 is not allowed with knows = 'pairs': without noise pairs say nothing between them")
        if self.sigma_s == 0 and self.knows == "moments":
            inputs = type(self).inputs(data)
            try:
                variables.bed(inputs, self.task, jnp.asarray(self.noise), jnp.asarray(self.seed)).linear.flow(0.0)
            except ValueError as problem:
                raise ValueError(f"sigma_s = 0 is not allowed here: {problem}") from None

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Restore by all estimators, PMRF in several numbers of steps too; train a network where asked to."""
        dtype = inputs.mean.dtype
        sigma_s, least, noise = (jnp.asarray(value, dtype) for value in (p.sigma_s, p.least, p.noise))
        bed, seed = variables.bed(inputs, p.task, noise, jnp.asarray(p.seed)), jnp.asarray(p.seed)
        n = p.particles if len(inputs.tests) == 0 else min(p.particles, max(1, len(inputs.tests) // 3))
        x, fresh = variables.drawn(inputs, n, seed)
        view = View(-inputs.mean if x.shape[1] <= 2 else jnp.zeros_like(inputs.mean), inputs.axes)
        found = restoring.experiment(
            loop, bed, p.knows, x, fresh, jax.random.key(p.seed), sigma_s=sigma_s, least=least, steps=p.euler_steps,
            nodes=p.pairs if inputs.law is not None else min(p.pairs, len(inputs.points)), solver=p.solver, view=view,
            frames=jnp.asarray(FRAMES, dtype),
        )
        output, reasons = variables.described(inputs, bed, found._replace(reason=None), view), [found.reason]
        if p.train_steps:
            taught = training.train(
                loop, jax.random.fold_in(jax.random.key(p.seed), 1), bed, p.knows, p.learns, sigma_s, units=p.units,
                learning_rate=p.learning_rate, steps=p.train_steps,
            )
            again = jax.random.key(p.seed)
            run = training.restore(loop, taught.model, p.learns, found.made, sigma_s, p.euler_steps, p.solver, again)
            output |= variables.of_network(inputs, x, fresh, run.end, view) | {"curve_loss": taught.loss}
            reasons += [taught.reason, run.reason]
        return output | {"reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Estimators by name, steps and times in numbers; on a line and in the plane where x is."""
        d, mean = len(inputs.mean), np.asarray(inputs.mean)
        made = {
            "estimator": list(METHODS), "flow": list(FLOWS), "count": list(COUNTS), "of": ["error", "W₂"], "t": FRAMES,
            "part": np.linspace(0, 1, output["curve"].shape[1]),
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
        }
        if "density" in output:
            middle = np.asarray(inputs.edges[1:] + inputs.edges[:-1]) / 2
            made |= {"kind": ["posterior mean", "PMRF", "X"], "x": middle + mean[0]}
        if "velocity" in output:
            made |= {"moment": MOMENTS, "gx": np.asarray(inputs.grid[0]), "gy": np.asarray(inputs.grid[1])}
        return made | ({"shown": list(ROWS)} if "images" in output else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where K steps are too few, and where the noise of the start costs more than it gives."""
        error, sampling = float(result.mse_pmrf), float(result.mse_sampling)
        w2, mean, floor = (float(result[name]) for name in ("w2_pmrf", "w2_mean", "w2_floor"))
        if error > sampling + 4 * float(result.mse_error.max()):
            return (
                f"PMRF errs by {error:.3g}, more than samples of the posterior, {sampling:.3g}: the noise of its start is "
                "large, lower σₛ."
            )
        if w2 > 0.5 * mean and w2 > 2 * floor:
            return f"These steps leave W₂ = {w2:.3g} of {mean:.3g}: raise K, or σₛ where Y does not tell all of x."
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Run, Study, Switch, Whole
from lab.studies.diffusion import boundary_search
from lab.studies.vocabulary import positive, size

from . import experiment
from .claims import CLAIMS, REPORTED
from .experiment import DAMAGES, MOST, Experiment, Inputs, Own
from .pictures import PICTURES
from .story import STORY

_LARGEST = 4_000_000  # scores in the table
_REFINED = {"refine": (True,)}
_more = partial(Whole, traced=False, group="more")


class OptimalBoundary(Study):
    """Search one initial sample for all inputs on a few reference images, and test it on others."""

    slug = "optimal-boundary"
    title = "Optimal boundary conditions"
    field = "Diffusion"
    paper = Paper(
        "Ma, Yang, Yang, Fu, Liu",
        "Solving Diffusion ODEs with Optimal Boundary Conditions for Better Image Super-Resolution",
        "ICLR",
        2024,
        "https://arxiv.org/abs/2305.15357",
    )
    text = "optimal_boundary.md"
    kind = "images"
    needs = Needs(height=(4, None), width=(4, None))
    data_options = ()
    own: ClassVar[Own] = Own()

    data = DataSource("digit-images", doc="a named set of images, or yours: pictures, a zip file of them, or an array")
    candidates = size(
        100, (1, 5000), (10, 1000), label="candidates", symbol="K", doc="starts that the search tries, draws of N(0, I)"
    )
    references = size(
        50, (1, 2000), (1, 150), label="reference images", symbol="R", doc="held-out images that select the start"
    )
    steps = size(10, (1, 200), (2, 40), label="steps", symbol="N", doc="of the sampler, in the search and in the tests")
    metric = Choice(
        ["mse", "perc", "1-ssim"],
        doc="criterion of the search: mean squared error, difference of local gradients at two scales, or 1 - SSIM",
    )
    sampler = Choice(["ddim", "edm-heun", "dpm-2", "dpm++2m"], doc="solver of the ODE; all are deterministic")
    damage = Choice(
        list(DAMAGES), label="degradation", doc="forward operator; means of 2 x 2 pixels are super-resolution"
    )
    noise = positive(
        0.02, (1e-3, 1), label="noise", symbol="σ_y", bounds=(1e-4, 10), doc="of the measurement; black is -1, white 1"
    )
    modes = size(10, (1, 64), (1, 30), label="modes", doc="Gaussians of the prior, fitted to the training images")
    refine = Switch(True, doc="refines the searched start by random tries nearby and by gradients through the sampler")
    tests = size(80, (1, 5000), (20, 200), label="test images", group="more", doc="held-out images that test the start")
    pool = _more(1, bounds=(1, 16), soft=(1, 4), label="pooling", doc="side of the squares averaged into one pixel")
    rounds = size(
        6,
        (1, 200),
        (2, 40),
        label="rounds of refinement",
        group="more",
        when=_REFINED,
        doc="each has ten tries and five gradient steps",
    )
    line_noise = positive(
        0.5,
        (0.1, 2),
        label="noise on the line",
        symbol="σ",
        group="more",
        doc="of the example with two modes on a line",
    )

    dims: ClassVar = {
        "by": ("metric", ""),
        "image": ("reference image", ""),
        "way": ("start", ""),
        "tried": ("candidates K", ""),
        "used": ("reference images R", ""),
        "group": ("images per group", ""),
        "damage_used": ("degradation", ""),
        "shown": ("test image", ""),
        "tile": ("panel", ""),
        "row": ("row", "pixel"),
        "column": ("column", "pixel"),
        "place": ("x₀", ""),
        "x_start": ("x_T", ""),
    }
    presets = (
        Preset("perceptual", "Gradient metric", "This metric penalizes blur more.", {"metric": "perc"}),
        Preset("few-steps", "Five steps", "All samples are close to the sample of x_T = 0.", {"steps": 5}),
        Preset("one-gaussian", "One Gaussian prior", "All images share one ranking of the starts.", {"modes": 1}),
        Preset(
            "paper-like",
            "As in the paper",
            "More candidates and images, and a perceptual metric.",
            {"candidates": 300, "references": 100, "metric": "perc", "refine": False},
        ),
        Preset("loud", "A noisy measurement", "The posterior is wide, so candidates differ more.", {"noise": 0.5}),
        Preset("patches", "Photographs", "Patches of 8 x 8 pixels.", {"data": "natural-patches", "pool": 2}),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Training images and held-out images."""
        return experiment.inputs(data)

    @classmethod
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Search with the metric, sampler and decoder of this class."""
        return experiment.compute(inputs, p, loop, own=cls.own)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Bound the table of scores by the memory, the pooling by the sizes, and the modes by the training images."""
        sides = (experiment.sides(data.arrays["pixels"].shape, pool) for pool in range(1, 17))
        least = next((pool for pool, (h, w) in enumerate(sides, 1) if h * w <= MOST and not (h % 2 or w % 2)), 1)
        most, train = _LARGEST // (self.references + self.tests), int((~np.asarray(data.arrays["held_out"])).sum())
        found = {}
        if most < 5000:
            found["candidates"] = Limit(1, max(most, 1), "so that the table of scores fits into memory")
        if least > 1:
            found["pool"] = Limit(least, 16, f"so that images have at most {MOST} pixels and even sides")
        if train < 128:
            found["modes"] = Limit(1, max(train // 2, 1), "so that there are two training images for each")
        return found

    def check(self, data: Data) -> None:
        """Require images with even sides whose covariance matrices can be factorized, and two held-out images."""
        super().check(data)
        pixels, held = data.arrays["pixels"], int(np.asarray(data.arrays["held_out"]).sum())
        h, w = experiment.sides(pixels.shape, self.pool)
        refuse = self.parameters()["pool"].refuse
        if h * w > MOST:
            raise ValueError(
                refuse(self.pool, f"images may have at most {MOST} pixels, these have {h} x {w}: pool more")
            )
        if min(h, w) < 4 or h % 2 or w % 2:
            raise ValueError(refuse(self.pool, f"sides must be even numbers from 4 on, these are {h} x {w}"))
        if self.own.metric is None and self.metric == "1-ssim" and min(h, w) < 7:
            reason = f"windows of 7 x 7 must fit into the images, and these have {h} x {w} pixels"
            raise ValueError(self.parameters()["metric"].refuse(self.metric, reason))
        if held < 2:
            raise ValueError(f"{data.name} holds out {held} images, but the search needs one and the test another")

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of starts, metrics and panels, and sizes."""
        decides, (r, k) = experiment.decides(p, cls.own), output["score"].shape[1:]
        return {
            "by": list(experiment.measures(experiment.sides(inputs.train.shape, p.pool), decides, cls.own)),
            "way": list(boundary_search.WAYS),
            "tried": boundary_search.counts(k),
            "used": boundary_search.rows(r),
            "group": list(boundary_search.GROUPS),
            "damage_used": list(DAMAGES),
            "start": list(boundary_search.ELSEWHERE),
            "tile": boundary_search.tiles(k, p.refine),
            "y": boundary_search.ROWS,
            "place": boundary_search.PLACES,
            "x_start": boundary_search.STARTS,
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn where the search does not pay off, or where scores are not finite."""
        random, searched, zero = (float(result[name]) for name in ("random", "searched", "zero"))
        if int(result.excluded):
            return (
                f"{int(result.excluded)} candidates have scores that are not finite and were left out: take more steps."
            )
        if searched > random:
            return "On the test images the searched start is worse than a random one: take more reference images."
        if zero < searched:
            return f"x_T = 0 has a score of {zero:.3g}, the searched start {searched:.3g}: this metric needs no search."
        return ""

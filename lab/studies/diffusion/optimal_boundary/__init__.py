"""Optimal boundary conditions of diffusion flows (Ma, Yang, Yang, Fu, Liu, ICLR 2024) as a study: one start for all inputs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.diffusion import boundary
from lab.diffusion import boundary_survey as survey
from lab.diffusion.boundary_survey import Seen
from lab.numerics import Loop, first_failure
from lab.numerics.host import placed
from lab.studies.contract import Choice, DataSource, Limit, Paper, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DAMAGES, MOST, RESULTS, Inputs, Own

_LARGEST = 4_000_000  # scores in the table


class OptimalBoundary(Study):
    """One start for all inputs: searched on a few reference images, then used for every later one, beside what is exact."""

    slug = "optimal-boundary"
    title = "Optimal boundary conditions"
    field = "Diffusion"
    paper = Paper(
        "Ma, Yang, Yang, Fu, Liu", "Solving Diffusion ODEs with Optimal Boundary Conditions for Better Image Super-Resolution",
        "ICLR", 2024, "https://arxiv.org/abs/2305.15357",
    )
    text = "optimal_boundary.md"
    kind = "images"
    needs = Needs(height=(4, None), width=(4, None))
    data_options = ()
    own: ClassVar[Own] = Own()

    data = DataSource("digit-images", doc="a named set of images, or yours: pictures, a zip of them, or an array")
    candidates = size(100, (1, 5000), (10, 1000), label="candidates", symbol="K", doc="starts that are tried, draws of N(0, I)")
    references = size(
        50, (1, 2000), (1, 150), label="reference images", symbol="R",
        doc="held out images on which the start is chosen; at most half of them",
    )
    steps = size(10, (1, 200), (2, 40), label="steps", symbol="N", doc="of the sampler, in the search and afterwards")
    metric = Choice(
        ["mse", "perc", "1-ssim"],
        doc="what decides: the mean squared error; how unlike local gradients are at two scales; or 1 - SSIM",
    )
    sampler = Choice(["ddim", "edm-heun", "dpm-2", "dpm++2m"], doc="how one gets from a time to the next; none draws noise")
    damage = Choice(list(DAMAGES), doc="what is measured of the images: of 2 x 2 pixels the mean is super-resolution")
    noise = positive(
        0.02, (1e-3, 1), label="noise", symbol="σ_y", bounds=(1e-4, 10), doc="of the measurement; black is -1 and white 1"
    )
    modes = size(
        10, (1, 64), (1, 30), label="modes", doc="Gaussians in the mixture that the training images are taken to come from"
    )
    refine = Switch(True, doc="improve on the start that was found, by tries nearby and by gradients through the sampler")
    tests = size(80, (1, 5000), (20, 200), label="test images", group="more", doc="held out images on which starts are judged")
    pool = Whole(
        1, bounds=(1, 16), soft=(1, 4), label="pooling", traced=False, group="more",
        doc="squares of so many pixels a side become one: 2 for MNIST",
    )
    rounds = size(6, (1, 200), (2, 40), label="rounds of refinement", group="more", when={"refine": (True,)},
                  doc="of ten tries nearby each, and five steps of gradients each")
    line_noise = positive(
        0.5, (0.1, 2), label="noise on the line", symbol="σ", group="more", doc="of the measurement of two modes on a line"
    )

    dims: ClassVar = {
        "by": ("metric", ""), "image": ("reference image", ""), "candidate": ("candidate", ""), "way": ("start", ""),
        "tried": ("candidates K", ""), "used": ("reference images R", ""), "group": ("images in each group", ""),
        "steps_used": ("steps used", ""), "damage_used": ("damage", ""), "start": ("start", ""), "shown": ("image", ""),
        "tile": ("what", ""), "row": ("row", "pixel"), "column": ("column", "pixel"), "begin": ("start", ""),
        "y": ("y", ""), "place": ("x₀", ""), "x_start": ("x_T", ""),
    }
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Training images, and those held out."""
        return variables.inputs(data)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Scores that fit into memory, images that can be halved and factorized, and Gaussians that there are images for."""
        sides = (variables.sides(data.arrays["pixels"].shape, pool) for pool in range(1, 17))
        least = next((pool for pool, (h, w) in enumerate(sides, 1) if h * w <= MOST and not (h % 2 or w % 2)), 1)
        most, train = _LARGEST // (self.references + self.tests), int((~np.asarray(data.arrays["held_out"])).sum())
        found = {"candidates": Limit(1, max(most, 1), "so that the table of scores fits into memory")} if most < 5000 else {}
        if least > 1:
            found["pool"] = Limit(least, 16, f"which leaves at most {MOST} pixels and sides of even numbers")
        if train < 128:
            found["modes"] = Limit(1, max(train // 2, 1), "so that there are two training images for each")
        return found

    def check(self, data: Data) -> None:
        """Images that can be halved, and whose matrices can be factorized."""
        super().check(data)
        pixels, held = data.arrays["pixels"], int(np.asarray(data.arrays["held_out"]).sum())
        h, w = variables.sides(pixels.shape, self.pool)
        refuse = self.parameters()["pool"].refuse
        if h * w > MOST:
            raise ValueError(refuse(self.pool, f"images of at most {MOST} pixels are taken, these are {h} x {w}: pool more"))
        if min(h, w) < 4 or h % 2 or w % 2:
            raise ValueError(refuse(self.pool, f"sides of even numbers from 4 on are needed, these are {h} x {w}"))
        if self.own.metric is None and self.metric == "1-ssim" and min(h, w) < 7:
            raise ValueError(self.parameters()["metric"].refuse(
                self.metric, f"windows of 7 x 7 must fit into the images, and these are {h} x {w}"))
        if held < 2:
            raise ValueError(f"{data.name} holds out {held} images, but one to search on and one to test on are needed")

    @classmethod
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Search, refine, and look at what one start does for all."""
        shape, own = variables.sides(inputs.train.shape, p.pool), cls.own
        references, tests = variables.numbers(inputs, p)
        law, fit = variables.prior(inputs, p.pool, p.modes, loop)
        numbers, z = p.only("noise", "line_noise", "seed"), variables.chosen(inputs, p.pool, references, tests)
        made = survey.bed(law, placed(z), variables.Damaged(p.damage, shape), numbers, p.candidates)
        walk, fresh = variables.walks(made.made, "ddim" if own.sampler is not None else p.sampler, p.steps, shape, own)
        decides = "own" if own.metric is not None else p.metric
        metrics = variables.measures(shape, decides, own)
        first, others = metrics[decides], tuple(each for name, each in metrics.items() if name != decides)
        rows = (made.z, made.given)
        also = (*others, survey.Density(made.made))
        found = boundary.search(walk, made.starts, rows, made.given, first, also=also, loop=loop)
        reasons, further = [fit, found.reason], ()
        if p.refine:
            start, (shown, known), key = survey.reference(made, found.scores, numbers, references, p.candidates)
            near = boundary.around(walk, start, shown, known, first, key=key, rounds=p.rounds, tries=10, loop=loop)
            slope = boundary.down(walk, start, shown, known, first, steps=5 * p.rounds, loop=loop)
            further, reasons = (near.x, slope.x), [*reasons, near.reason, slope.reason]
        seen = Seen(made, walk, fresh, tuple(metrics.values()), found.scores, found.also, further, law, numbers)
        output = survey.look(seen, tuple(metrics), decides, variables.damages(shape), shape, references)
        calls = np.float64(p.candidates * references * walk.evaluations)
        return output | {"calls": calls, "reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ways to begin by name, sizes in numbers."""
        decides = "own" if cls.own.metric is not None else p.metric
        return variables.coords(variables.sides(inputs.train.shape, p.pool), decides, cls.own, output)

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where a search is not worth its cost, or its choice is luck."""
        random, searched, zero = (float(result[name]) for name in ("random", "searched", "zero"))
        if int(result.excluded):
            return f"{int(result.excluded)} candidates have scores that are not finite and were left out: take more steps."
        if searched > random:
            return "The start that was found is worse than a random one on the test images: take more reference images."
        if zero < searched:
            return f"x_T = 0 scores {zero:.3g}, the start that was found {searched:.3g}: this metric needs no search."
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics.host import placed
from lab.paths import laws
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Switch, Whole
from lab.studies.paths.coupling_comparison import ENTROPIC, INDEPENDENT, METHODS, MINIBATCH, WEIGHTED
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS, REPORTED
from .experiment import DEGENERATE, FRAMES, KAPPAS, below, compute, misses
from .pictures import PICTURES
from .story import STORY


class WeightedCFM(Trained):
    """Independent pairs with Gibbs weights: close to entropic transport, but with tilted marginals."""

    slug = "weighted-cfm"
    title = "Weighted conditional flow matching"
    field = "Probability paths"
    paper = Paper(
        "Calvo-Ordonez, Meunier, Cartea, Reisinger, Gal, Hernandez-Lobato",
        "Weighted Conditional Flow Matching",
        "arXiv",
        2025,
        "https://arxiv.org/abs/2507.22270",
    )
    text = "weighted_cfm.md"
    kind = "samples"
    needs = Needs("source density")
    data_options = ("n", "side", "seed")

    data = DataSource("eight-gaussians", doc="a named set of samples, or yours: x, the data points")
    epsilon = positive(
        2.0,
        (0.1, 100),
        label="epsilon",
        symbol="ε",
        unit="cost",
        doc="scale of the weights exp(-cost / ε); large: independent pairs, small: only close pairs have weight",
    )
    cost = Choice(
        ["norm", "half-squared"],
        doc="cost of a pair: its distance, as in the paper, or half the squared distance, which needs larger ε",
    )
    start = Choice(
        ["source", "tilted source"],
        label="W-CFM starts from",
        doc="source: the noise itself; tilted source: the noise reweighted, from which the flow ends at the tilted data",
    )
    batch = Whole(
        128,
        bounds=(1, 10_000),
        soft=(1, 1024),
        scale="log",
        label="batch of OT-CFM",
        symbol="B",
        doc="number of pairs that OT-CFM couples together; 1: independent pairs",
    )
    n = size(500, (2, 50_000), (100, 2000), label="data points", doc="number of points of a named set")
    particles = size(
        400, (2, 200_000), (100, 2000), label="particles", doc="points that follow the flows and are measured"
    )
    compare = Switch(
        True,
        label="OT-CFM and EOT-CFM",
        doc="follow these too, on a line or in the plane; entropic transport only for up to 4000 data points",
    )
    learns = Choice(
        [WEIGHTED, INDEPENDENT, MINIBATCH, ENTROPIC],
        label="network learns",
        group="more",
        when=TRAINING,
        doc="coupling of the training pairs, in batches of 256; OT-CFM couples B of them, at most 256",
    )
    centred = Switch(
        False,
        label="center the data",
        group="more",
        doc="move the data so that their mean is the mean of the source, which reduces the tilt",
    )
    bandwidth = positive(
        0.05,
        (0.01, 0.5),
        label="bandwidth",
        symbol="h",
        unit="std of the data",
        group="more",
        doc="kernel width of the velocity estimate from the pairs of OT-CFM; large values blur the data",
    )
    pairs = size(
        2048,
        (16, 100_000),
        (512, 8192),
        label="pairs of OT-CFM",
        group="more",
        doc="number of pairs from which the velocity of OT-CFM is estimated",
    )
    steps = size(
        48, (8, 1000), (16, 200), label="steps", group="more", doc="steps of Heun's method, shorter near the end"
    )
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="side length after pooling MNIST images"
    )

    dims: ClassVar = {
        "t": ("time t", ""),
        "axis": ("coordinate", ""),
        "sample": ("data point", ""),
        "goal": ("held-out point of the data", ""),
        "kappa": ("κ", ""),
        "i": ("source, sorted", ""),
        "j": ("data, sorted", ""),
        "atom": ("data point", ""),
        **Trained.dims,
    }
    presets = (
        Preset(
            "moons",
            "Noisy moons: low energy, wrong samples",
            "At ε = 4 the NPE is near 0, but mass moved to the origin and W₂² is near three times that of I-CFM.",
            {"data": "noisy-moons", "epsilon": 4.0},
        ),
        Preset(
            "atoms-tilted",
            "Four points, from the tilted source",
            "From there W-CFM ends exactly at the masses under the weights.",
            {
                "data": "four-atoms",
                "cost": "half-squared",
                "epsilon": 1.0,
                "particles": 2000,
                "start": "tilted source",
            },
        ),
        Preset(
            "digits",
            "Digits",
            "64 dimensions, centered, ε = κ√d with κ = 0.5.",
            {"data": "digit-samples", "epsilon": 4.0, "centred": True, "particles": 200},
        ),
        Preset(
            "network", "Training a network", "A small network learns W-CFM from weighted pairs.", {"train_steps": 2000}
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The points, both distributions, and the plane of the pictures."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        plane = np.eye(d, dtype=dtype)
        if d > 2:
            plane = np.linalg.svd(x[:4000] - x[:4000].mean(axis=0), full_matrices=False)[2][:2].T
            plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1][: plane.shape[1]]])
        return {
            "points": placed(x),
            "source": laws.source_of(arrays),
            "target": laws.target_of(arrays),
            "plane": placed(plane),
            "scale": float(np.sqrt(x.var(axis=0).mean())) or 1.0,
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Bound the particles by memory, and a batch by the number of pairs."""
        most = int(4e7 / (4 * (self.steps + 2) * data.arrays["x"].shape[1]))
        return {
            "particles": Limit(2, max(most, 2), "so that their paths fit into memory"),
            "batch": Limit(1, self.pairs, "the number of pairs of OT-CFM"),
        }

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the frames, names of couplings, kappa, names of the axes."""
        d = inputs["points"].shape[1]
        return {
            "t": FRAMES,
            "coupling": list(METHODS),
            "kappa": KAPPAS,
            "end": ["source", "data"],
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Degenerate weights, low energy at wrong marginals, and too few points, each with the remedy."""
        ess, floor = float(result.ess), float(result.w2sq_floor)
        if result.sizes["sample"] == 1 or not float(np.ptp(result.points.values, axis=0).max()) > 0:
            return (
                "All data are one point, so all couplings are the same: choose data with at least two different points."
            )
        if ess < DEGENERATE:
            return f"Weights degenerate: the effective fraction of the pairs is {ess:.2g}. Raise ε."
        if result.sizes["goal"] < 50:
            return f"{result.sizes['goal']} particles are too few: W₂² is mostly sampling error. Take more."
        if misses(result):
            fit, plain = float(result.w2sq), float(result.w2sq_independent)
            said = f"W-CFM misses the data: W₂² = {fit:.3g}, for independent pairs {plain:.3g} (floor {floor:.3g}). "
            if float(result.npe_weighted) < float(result.npe_independent) or below(result):
                said += "Its low energy is a trap: mass moved to the region where source and data meet. "
            return said + "Raise ε."
        if below(result):
            return (
                "The path energy of W-CFM is below W₂² of source and data, which is impossible for a path between them: "
                "the weights changed the marginals. Raise ε."
            )
        if "neighbours" in result and float(result.neighbours) < 2:
            return (
                f"The kernel of OT-CFM averages {float(result.neighbours):.1f} pairs at a time and repeats single pairs: "
                "raise the bandwidth or the number of pairs."
            )
        return ""

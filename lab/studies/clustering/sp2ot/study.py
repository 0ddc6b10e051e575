"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.labelled import KIND
from lab.numerics.host import placed
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED, SEMANTIC
from .experiment import compute
from .pictures import PICTURES
from .story import STORY


class SP2OT(Study):
    """Clustering by a plan that labels confident samples first and leaves cluster sizes flexible."""

    slug = "sp2ot"
    title = "Progressive partial transport"
    field = "Optimal transport"
    paper = Paper(
        "Zhang, Ren, He",
        "SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering",
        "arXiv",
        2024,
        "https://arxiv.org/abs/2404.03446",
    )
    text = "sp2ot.md"
    kind = KIND
    data_options = ("ratio", "seed")

    data = DataSource("long-tailed-digits", doc="labelled samples: named, or yours; classes are used for scores only")
    algorithm = Choice(
        ["p2ot", "sp2ot", "uot", "balanced"],
        label="algorithm",
        doc="p2ot: some samples labelled, flexible sizes; sp2ot: similar labels for neighbors too; uot: all samples, flexible "
        "sizes; balanced: all samples, equal sizes",
    )
    rho = Real(
        0.3,
        bounds=(0, 1),
        inclusive_bounds=(False, True),
        soft=(0.05, 1),
        label="labelled share",
        symbol="ρ",
        when={"algorithm": ("p2ot", "sp2ot")},
        doc="share of the samples that the plan labels",
    )
    lam = positive(
        1.0,
        (0.01, 100),
        label="KL weight",
        symbol="λ",
        unit="nat",
        when={"algorithm": ("p2ot", "sp2ot", "uot")},
        doc="weight of the KL of cluster sizes to the prior; large: equal",
    )
    epsilon = positive(
        0.1, (0.01, 1), label="entropy", symbol="ε", unit="nat", doc="strength of the entropy; large: blurred labels"
    )
    strength = Real(
        0.1,
        bounds=(0, None),
        soft=(0, 1),
        label="semantic weight",
        symbol="μ/n",
        unit="nat",
        when={"algorithm": ("sp2ot",)},
        doc="weight of the semantic term, per sample",
    )
    epochs = Whole(
        0,
        bounds=(0, 1000),
        soft=(0, 60),
        label="epochs",
        traced=False,
        doc="training epochs, while the labelled share grows from 0.1 to 1; 0: clusters of k-means",
    )
    ratio = size(
        10, (1, 100), (1, 100), label="imbalance", symbol="r", doc="size of the largest class divided by the smallest"
    )
    psd_shift = Switch(
        False,
        label="descent",
        symbol="descent",
        group="more",
        when={"algorithm": ("sp2ot",)},
        doc="make the similarity positive semi-definite, so that the objective descends",
    )
    solver = Choice(
        ["newton", "scaling"],
        label="solver",
        group="more",
        when={"algorithm": ("p2ot", "uot", "balanced")},
        doc="newton: about 5 steps on the semi-dual; scaling: generalized Sinkhorn iteration, hundreds or more",
    )
    neighbours = Whole(
        10,
        bounds=(1, None),
        soft=(1, 50),
        label="neighbors",
        group="more",
        traced=False,
        when={"algorithm": ("sp2ot",)},
        doc="number of similar samples of each sample",
    )

    dims: ClassVar = {
        "cluster": ("cluster, by its matched class", ""),
        "axis": ("principal axis", ""),
        "group": ("classes by frequency", ""),
    }
    presets = (
        Preset(
            "balanced",
            "Clusters of equal size",
            "All digits labelled, in ten clusters of equal size: frequent digits are split.",
            {"algorithm": "balanced"},
        ),
        Preset(
            "blobs",
            "Five blobs in the plane",
            "Labels begin in the center of each blob.",
            {"data": "long-tailed-blobs", "rho": 0.3},
        ),
        Preset(
            "neighbours",
            "The objective increases",
            "The authors' similarity is indefinite, so the objective need not descend.",
            SEMANTIC,
        ),
        Preset(
            "descent",
            "A similarity that descends",
            "With a diagonal that makes the similarity positive semi-definite, the objective descends.",
            SEMANTIC | {"psd_shift": True},
        ),
        Preset("trained", "Training", "Forty epochs on growing pseudo-labels.", {"epochs": 40, "rho": 1.0}),
        Preset(
            "trained-balanced",
            "Training, equal sizes",
            "The same training with labels of equal cluster sizes.",
            {"epochs": 40, "algorithm": "balanced", "rho": 1.0},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The samples in the lab's precision, and the sizes of the classes."""
        classes = np.asarray(data.arrays["classes"], np.int32)
        return {
            "x": placed(np.asarray(data.arrays["x"], jnp.result_type(float))),
            "x_2d": data.arrays["x_2d"],
            "classes": placed(classes),
            "sizes": np.bincount(classes).astype(float),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Number of neighbors."""
        return {"neighbours": Limit(1, len(data.arrays["classes"]) - 1, "the number of other samples")}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of the groups."""
        return {"group": ["head", "middle", "tail"]}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of an increasing objective."""
        if float(result.rise) <= 1e-9:
            return ""
        return (
            f"The similarity is indefinite, and the objective increased by up to {float(result.rise):.2g} in a step. "
            "Lower μ/n, or switch descent on (under more)."
        )

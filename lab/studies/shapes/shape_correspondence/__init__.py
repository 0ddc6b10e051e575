"""Shape correspondence by functional maps and sliced transport (Le, Nguyen, Sun, Ho, Xie, CVPR 2024) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.datasets.shapes import KIND
from lab.numerics import Loop, frames
from lab.numerics.host import placed
from lab.shapes import correspondence, survey
from lab.shapes.mesh import mesh
from lab.studies.contract import Choice, DataSource, Paper, Real, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import TRAINING, positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, RESULTS, THRESHOLDS, WAYS

MOST = 100  # eigenfunctions of a surface


class ShapeCorrespondence(Study):
    """Which point of one surface is which of another, without labels."""

    slug = "shape-correspondence"
    title = "Shape correspondence"
    field = "Shapes"
    paper = Paper(
        "Le, Nguyen, Sun, Ho, Xie",
        "Integrating Efficient Optimal Transport and Functional Maps for Unsupervised Shape Correspondence Learning", "CVPR",
        2024, "https://arxiv.org/abs/2403.01781",
    )
    text = "shape_correspondence.md"
    kind = KIND
    needs = Needs(n=(survey.LEAST, None), m=(survey.LEAST, None))
    data_options = ("pose", "seed")
    own: ClassVar[Any] = None  # features or a network of one's own

    data = DataSource("person-in-a-pose", doc="a named pair of surfaces, or yours: two meshes")
    pose = Real(1.0, bounds=(0, 1.5), label="pose", doc="how far the limbs of a named body are turned")
    k = size(30, (5, MOST), (10, 60), label="eigenfunctions", symbol="k", doc="of each surface, in the functional map")
    zoom = Whole(60, bounds=(0, MOST), soft=(0, MOST), label="sharpen to", traced=False,
                 doc="eigenfunctions, by ZoomOut, one more at a time; up to k: not at all")
    strength = positive(100.0, (1, 1e4), label="strength of the mask", symbol="λ", group="more",
                        doc="asks that the functional map keep the Laplacian; 100 in the paper")
    tau = positive(0.07, (0.01, 1), label="temperature", symbol="τ", group="more", doc="of the soft correspondence")
    point = Whole(40, bounds=(0, 5000), soft=(0, 800), label="marked vertex", group="more",
                  doc="of Y, and its image on X; a click on a surface marks one")

    train_steps = Whole(0, bounds=(0, 20_000), soft=(0, 300), label="training steps", traced=False,
                        doc="in which a network learns features; 0: those of wave kernel signatures are compared")
    ot_weight = Real(10.0, bounds=(0, None), soft=(0, 100), label="weight of transport", symbol="w", when=TRAINING,
                     doc="beside the losses of the functional maps; 100 in the paper")
    transport = Choice(["biSW", "uniSW", "EBSW", "maxSW", "none"], label="transport", group="more",
                       when=TRAINING,
                       doc="the sliced distance of features: both ways, one way, energy-based, the best direction, or none")
    directions = size(100, (1, 1000), (8, 512), label="directions", group="more", when=TRAINING,
                      doc="of the sliced distance at a step")
    learning_rate = positive(1e-3, (1e-4, 1e-2), label="learning rate", group="more", when=TRAINING,
                             doc="of the network (Adam)")
    units = size(64, (4, 256), (16, 128), label="units", group="more", when=TRAINING, doc="of each layer of the network")
    blocks = Whole(3, bounds=(1, 6), label="blocks", group="more", traced=False, when=TRAINING,
                   doc="of the network, each with a diffusion")
    gradients = Switch(False, label="slopes", group="more", when=TRAINING,
                       doc="features that tell left from right; twice the time of a step")
    refine_steps = Whole(0, bounds=(0, 200), soft=(0, 30), label="steps of refining", group="more", traced=False,
                         when=TRAINING, doc="after the training, with an entropic plan in place of the soft correspondence")

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Both surfaces with their spectra and descriptors, and the distances on X."""
        arrays = data.arrays
        x, y = (mesh(arrays[key], arrays[f"{key}_faces"].astype(int)) for key in "xy")
        others = [mesh(vertices, x.faces) for vertices in arrays.get("poses", ())]
        pair = survey.pair(x, y, arrays.get("truth"), others, k=MOST, dtype=jnp.result_type(float))
        made = {"pair": pair, "faces": tuple(placed(each.faces.astype(np.int32)) for each in (x, y))}
        return made if cls.own is None else made | variables.own_features(cls.own, pair)

    def check(self, data: Data) -> None:
        """No more eigenfunctions than surfaces have."""
        super().check(data)
        least = min(len(data.arrays["x"]), len(data.arrays["y"])) - 2
        for name in ("k", "zoom"):
            if getattr(self, name) > least:
                raise ValueError(f"{name} = {getattr(self, name)} is not allowed with {data.name}: it has at most {least}")

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Match the surfaces, and look at how well."""
        return variables.run(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names and numbers."""
        made: dict[str, Any] = {
            "axis": ["x", "y", "z"], "way": list(WAYS), "threshold": THRESHOLDS, "lines": list(survey.COUNTS),
            "size": [size for size in survey.SIZES if size <= inputs["pair"].x.values.size],
            "shown": np.arange(1, 1 + variables.SHOWN),
        }
        if "maps" in output:
            made |= {"frame": frames.places(p.train_steps)[: len(output["maps"])], "term": [*correspondence.TERMS, "norm"]}
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where a better map is near at hand."""
        p = sweeping.parameters(result)
        if "floor" in result and cls.own is None and not p["train_steps"] and float(result.error) > 5 * float(result.floor) + 5:
            return "Signatures are alike on limbs that are alike. Set training steps of 100, say, to learn features."
        return ""

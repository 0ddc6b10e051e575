"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.datasets.shapes import KIND
from lab.numerics import Loop, frames
from lab.numerics.host import placed
from lab.shapes.mesh import mesh
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Run, Study, Switch, Whole, sweeping
from lab.studies.shapes.surface_pair import LEAST, pair
from lab.studies.vocabulary import TRAINING, positive, size

from . import experiment
from .claims import CLAIMS, LEARNED, REPORTED
from .experiment import SHOWN, SIZES, THRESHOLDS, WAYS, Experiment
from .pictures import PICTURES
from .story import STORY

MOST = 100  # eigenfunctions of a surface


def _more(kind: Any, *values: Any, **declared: Any) -> Any:
    """A parameter of the training that the page shows on request."""
    return kind(*values, group="more", when=TRAINING, **declared)


class ShapeCorrespondence(Study):
    """Correspondence of two surfaces without labels, by functional maps and sliced transport."""

    slug = "shape-correspondence"
    title = "Shape correspondence"
    field = "Shapes"
    paper = Paper(
        "Le, Nguyen, Sun, Ho, Xie",
        "Integrating Efficient Optimal Transport and Functional Maps for Unsupervised Shape Correspondence Learning",
        "CVPR",
        2024,
        "https://arxiv.org/abs/2403.01781",
    )
    text = "shape_correspondence.md"
    kind = KIND
    needs = Needs(n=(LEAST, None), m=(LEAST, None))
    data_options = ("pose", "seed")
    own: ClassVar[Any] = None  # a user's features or network

    data = DataSource("person-in-a-pose", doc="a named pair of surfaces, or yours: two meshes")
    pose = Real(1.0, bounds=(0, 1.5), label="pose", doc="factor of the angles of the limbs of a named body")
    k = size(
        30, (5, MOST), (10, 60), label="eigenfunctions", symbol="k", doc="number per surface in the functional map"
    )
    zoom = Whole(
        60,
        bounds=(0, MOST),
        soft=(0, MOST),
        label="ZoomOut to",
        traced=False,
        doc="final number of eigenfunctions, one more per iteration; up to k: no ZoomOut",
    )
    strength = positive(
        100.0,
        (1, 1e4),
        label="weight of the mask",
        symbol="λ",
        group="more",
        doc="penalty for entries between different eigenvalues; 100 in the paper",
    )
    tau = positive(0.07, (0.01, 1), label="temperature", symbol="τ", group="more", doc="of the soft correspondence")
    point = Whole(
        40,
        bounds=(0, 5000),
        soft=(0, 800),
        label="marked vertex",
        group="more",
        doc="of Y, shown with its image on X; click on a surface to mark one",
    )
    train_steps = Whole(
        0,
        bounds=(0, 20_000),
        soft=(0, 300),
        label="training steps",
        traced=False,
        doc="of a network that learns features; 0: wave kernel signatures are the features",
    )
    ot_weight = Real(
        10.0,
        bounds=(0, None),
        soft=(0, 100),
        label="weight of transport",
        symbol="w",
        when=TRAINING,
        doc="of the sliced distance in the loss; 100 in the paper",
    )
    transport = Choice(
        ["biSW", "uniSW", "EBSW", "maxSW", "none"],
        label="transport",
        group="more",
        when=TRAINING,
        doc="sliced distance of features: both directions, one direction, energy-based, maximum, or none",
    )
    directions = _more(size, 100, (1, 1000), (8, 512), label="directions", doc="of the sliced distance per step")
    learning_rate = _more(positive, 1e-3, (1e-4, 1e-2), label="learning rate", doc="of Adam")
    units = _more(size, 64, (4, 256), (16, 128), label="units", doc="of each layer of the network")
    blocks = _more(Whole, 3, bounds=(1, 6), label="blocks", traced=False, doc="of the network, each with a diffusion")
    gradients = _more(
        Switch, False, label="gradient features", doc="which distinguish left and right; steps take twice as long"
    )
    refine_steps = _more(
        Whole,
        0,
        bounds=(0, 200),
        soft=(0, 30),
        label="steps of refinement",
        traced=False,
        doc="after the training, with an entropic plan instead of the soft correspondence",
    )

    dims: ClassVar = {
        "v": ("vertex of X", ""),
        "w": ("vertex of Y", ""),
        "face": ("face of X", ""),
        "side": ("face of Y", ""),
        "row": ("eigenfunction of Y", ""),
        "column": ("eigenfunction of X", ""),
        "i": ("number", ""),
        "shown": ("eigenfunction", ""),
        "way": ("correspondence", ""),
        "threshold": ("error", "%"),
        "size": ("eigenfunctions", ""),
        "zoomed": ("iteration", ""),
        "frame": ("step", ""),
    }
    presets = (
        Preset("learned", "Learned features", "A network learns features of this pair, without labels.", LEARNED),
        Preset(
            "poses",
            "Learned from five poses",
            "The same network, trained on all ten pairs of five poses.",
            LEARNED | {"data": "person-in-poses"},
        ),
        Preset(
            "alone", "Without transport", "The same network without the transport loss.", LEARNED | {"ot_weight": 0.0}
        ),
        Preset(
            "heavy",
            "Large transport weight",
            "The weight of the paper, where the training set has many pairs.",
            LEARNED | {"ot_weight": 100.0},
        ),
        Preset(
            "refined",
            "Refined",
            "Fifteen more steps with an entropic plan.",
            LEARNED | {"ot_weight": 100.0, "refine_steps": 15},
        ),
        Preset(
            "inflated",
            "Inflated cortex",
            "A hard pair: edges change their lengths by a half.",
            {"data": "cortex-inflated"},
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Both surfaces with spectra and descriptors, and distances on X."""
        arrays = data.arrays
        x, y = (mesh(arrays[key], arrays[f"{key}_faces"].astype(int)) for key in "xy")
        others = [mesh(vertices, x.faces) for vertices in arrays.get("poses", ())]
        surfaces = pair(x, y, arrays.get("truth"), others, k=MOST, dtype=jnp.result_type(float))
        made = {"pair": surfaces, "faces": tuple(placed(each.faces.astype(np.int32)) for each in (x, y))}
        return made if cls.own is None else made | experiment.own_features(cls.own, surfaces)

    def check(self, data: Data) -> None:
        """Surfaces have enough eigenfunctions."""
        super().check(data)
        least = min(len(data.arrays["x"]), len(data.arrays["y"])) - 2
        for name in ("k", "zoom"):
            if getattr(self, name) > least:
                raise ValueError(
                    f"{name} = {getattr(self, name)} is not allowed with {data.name}: it has at most {least}"
                )

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Match the surfaces, with the user's features if there are any, and measure the errors."""
        return experiment.compute(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of correspondences; thresholds, sizes and steps."""
        made: dict[str, Any] = {
            "axis": ["x", "y", "z"],
            "way": list(WAYS),
            "threshold": THRESHOLDS,
            "size": [size for size in SIZES if size <= inputs["pair"].x.values.size],
            "shown": np.arange(1, 1 + SHOWN),
        }
        if "film_error" in output:
            made["frame"] = frames.places(p.train_steps)[: len(output["film_error"])]
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Whether learned features would help."""
        p = sweeping.parameters(result)
        if (
            "floor" in result
            and cls.own is None
            and not p["train_steps"]
            and float(result.error) > 5 * float(result.floor) + 5
        ):
            return "Signatures of similar limbs are similar. Set the training steps to 100, for example, to learn features."
        return ""

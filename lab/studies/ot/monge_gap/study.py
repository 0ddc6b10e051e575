"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics import Loop
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.ot import monge
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Run, Study, Whole, sweeping
from lab.studies.ot import map_comparison
from lab.studies.vocabulary import SOME, TRAINING, positive, size

from . import experiment
from .claims import CLAIMS, LEARNED, REPORTED
from .experiment import COSTS, Experiment
from .pictures import PICTURES
from .story import STORY


class MongeGap(Study):
    """Maps that push one distribution forward to another, told apart by their excess cost, the Monge gap."""

    slug = "monge-gap"
    title = "The Monge gap"
    field = "Optimal transport"
    paper = Paper(
        "Uscidda, Cuturi",
        "The Monge Gap: A Regularizer to Learn All Transport Maps",
        "ICML",
        2023,
        "https://arxiv.org/abs/2302.04953",
    )
    text = "monge_gap.md"
    kind = "samples"
    needs = Needs("x0", d=(2, 64), n=(8, None))
    data_options = ("dimensions", "bend", "seed")
    own: ClassVar[Any] = None  # a user's map, instead of the rotated one

    data = DataSource("moons-to-s-curve", doc="a named set of samples, or yours: x0, the sources, and x, the targets")
    angle = Real(
        60.0,
        bounds=(-180, 180),
        label="rotation",
        symbol="θ",
        unit="°",
        when={"train_steps": (0,)},
        doc="of the Gaussian map (0°); all rotations push Gaussians forward to the same image",
    )
    cost = Choice(
        list(COSTS), doc="squared distance, distance, Σ|z|^1.5 / 1.5, or the angle between points of a sphere"
    )
    share = positive(
        0.01,
        (1e-3, 1),
        label="ε of the gap",
        symbol="ε",
        unit="mean cost",
        doc="entropic regularization of the gap in the loss; it adds between ε log n and 2 ε log n",
    )
    points = size(
        200, (4, 2000), (50, 1000), label="points", symbol="n", group="more", doc="held-out points that test the map"
    )
    dimensions = size(2, (2, 64), (2, 32), label="dimensions", group="more", doc="of the planted map")
    bend = size(1, (1, 10), (1, 10), label="bend", group="more", doc="distance of the planted map from an affine map")
    train_steps = Whole(
        0,
        bounds=(0, 100_000),
        soft=(0, 5000),
        label="training steps",
        traced=False,
        doc="of a network that learns the map; 0: the rotated map is shown, without training",
    )
    strength = Real(
        1.0,
        bounds=(0, None),
        soft=(0, 10),
        label="weight of the gap",
        symbol="λ",
        when=TRAINING,
        doc="in the loss, added to the divergence to the targets",
    )
    form = Choice(
        ["plain", "residual", "gaussian", "structured", "sphere", "convex"],
        label="form of the map",
        group="more",
        when=TRAINING,
        doc="the network is the map, a residual of the point or of the Gaussian map, a field, a map of the sphere, or a "
        "convex function trained by its dual",
    )
    conservative = positive(
        0.01,
        (1e-3, 1),
        label="weight of symmetry",
        symbol="κ",
        group="more",
        when={"form": ("structured",), "train_steps": SOME},
        doc="penalizes a field of the structured map that is not a gradient",
    )
    batch = size(
        256, (2, 4096), (64, 1024), label="batch", group="more", when=TRAINING, doc="points of each side per step"
    )
    fit_share = positive(
        0.05, (0.01, 1), label="ε of the fit", unit="mean cost", group="more", doc="regularization of the divergence"
    )
    learning_rate = positive(
        1e-3, (1e-4, 1e-1), label="learning rate", group="more", when=TRAINING, doc="of Adam; 0.03 for convex networks"
    )

    dims: ClassVar = {
        "axis": ("coordinate", ""),
        "goal": ("target", ""),
        "turn": ("rotation", "°"),
        "epsilon_share": ("ε", "mean cost"),
        "rival": ("map", ""),
        "space": ("axis", ""),
    }
    presets = (
        Preset("gaussian", "The Gaussian map", "Without rotation: the gradient of a convex function.", {"angle": 0.0}),
        Preset("learned", "A planted map", "A network learns the gradient of a convex function from samples.", LEARNED),
        Preset(
            "without",
            "Without the gap",
            "The same network, trained with the divergence alone: it learns another map.",
            LEARNED | {"strength": 0.0},
        ),
        Preset(
            "convex",
            "A convex network",
            "The gradient of an input-convex network, trained by its dual: its gap is zero.",
            LEARNED | {"form": "convex", "learning_rate": 0.03},
        ),
        Preset(
            "distance",
            "Distance as cost",
            "The lines of an optimal map do not cross.",
            {"cost": "distance", "train_steps": 600, "batch": 128, "strength": 2.0, "form": "residual"},
        ),
        Preset(
            "sphere",
            "On the sphere (Fig. 4)",
            "The geodesic cost, between two patches of the sphere.",
            {"data": "patches-of-the-sphere", "cost": "geodesic", "train_steps": 400, "batch": 128, "form": "sphere"},
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Every second point is for training, the others are held out; the plane of the pictures."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(data.arrays[name], dtype) for name in ("x0", "x", "moved") if name in data.arrays}
        made: dict[str, Any] = {"plane": principal_plane(np.concatenate([arrays["x0"], arrays["x"]]))}
        for name, values in arrays.items():
            made |= {f"{name}_seen": placed(values[::2]), f"{name}_held": placed(values[1::2])}
        made["spread"], made["mean"] = experiment.scales(made["x0_seen"], made["x_seen"])
        return made

    def check(self, data: Data) -> None:  # the rotated map needs covariances with an inverse
        super().check(data)
        if self.cost == "geodesic" or self.form == "sphere":
            off = max(float(np.abs(np.linalg.norm(data.arrays[name], axis=1) - 1).max()) for name in ("x0", "x"))
            if off > monge.OFF_SPHERE:
                raise ValueError(
                    f"the points of {data.name} are off the unit sphere by {off:.2g}, where this cost is: choose another cost, "
                    "or points of the sphere"
                )
        if (self.cost == "geodesic") != (self.form == "sphere") and self.train_steps:
            raise ValueError(
                f"form = {self.form} is not allowed with cost = {self.cost} where a map is learned: the geodesic cost and the "
                "form sphere go together"
            )
        if self.form == "convex" and self.cost != "squared" and self.train_steps:
            raise ValueError(f"form = convex is of the cost squared, not of {self.cost}: choose another form")
        if self.form == "structured" and self.train_steps and self.cost not in ("squared", "power"):
            raise ValueError(f"form = structured has no map for the cost {self.cost}: choose squared or power")
        for name in ("x0", "x"):
            points = np.asarray(data.arrays[name], float)
            spread = np.linalg.eigvalsh(np.cov(points[::2].T, bias=True).reshape(2 * (points.shape[1],)))
            if spread[0] <= 1e-10 * max(spread[-1], 1e-30):
                raise ValueError(f"the {name} of {data.name} lie in one place or on a line: bring points that spread")

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Measure the rotated, the learned or the user's map."""
        return experiment.compute(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Rotations in degrees, ε as fractions, maps by name, coordinates."""
        d = data.arrays["x"].shape[1]
        name = "own" if cls.own else "learned" if p.train_steps else "turned"
        return {
            "turn": map_comparison.ANGLES,
            "epsilon_share": list(map_comparison.SHARES),
            "rival": ["constant", "Gaussian", "entropic", name],
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
            "space": ["x₁", "x₂", "x₃"],
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Whether the images differ from the targets."""
        p = sweeping.parameters(result)
        if p.get("train_steps") and float(result.fit) > 4 * float(result.fit_of.sel(rival="entropic")) + 1e-3:
            return (
                f"The images miss the targets: their divergence is {float(result.fit):.3g}, that of the entropic map "
                f"{float(result.fit_of.sel(rival='entropic')):.3g}. Lower λ, or train longer."
            )
        return ""

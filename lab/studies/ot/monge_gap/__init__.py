"""The Monge gap (Uscidda, Cuturi, ICML 2023) as a study: what a map costs beyond the least, and maps that are learned by it."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics import Loop, Reason, frames
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.numerics.window import window
from lab.ot import monge, monge_survey
from lab.studies.contract import Choice, DataSource, Paper, Real, Study, Whole, sweeping
from lab.studies.vocabulary import SOME, TRAINING, positive, size

from . import learning, looks
from .claims import CLAIMS
from .learning import COSTS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import RESULTS


class MongeGap(Study):
    """Many maps have the right image: the gap says what each costs beyond the least."""

    slug = "monge-gap"
    title = "The Monge gap"
    field = "Optimal transport"
    paper = Paper(
        "Uscidda, Cuturi", "The Monge Gap: A Regularizer to Learn All Transport Maps", "ICML", 2023,
        "https://arxiv.org/abs/2302.04953",
    )
    text = "monge_gap.md"
    kind = "samples"
    needs = Needs("x0", d=(2, 64), n=(8, None))
    data_options = ("dimensions", "bend", "seed")
    own: ClassVar[Any] = None  # a map of one's own, in place of the turned one

    data = DataSource("moons-to-s-curve", doc="a named set of samples, or yours: x0, the sources, and x, the targets")
    angle = Real(
        60.0, bounds=(-180, 180), label="turn", symbol="θ", unit="°", when={"train_steps": (0,)},
        doc="of the map; all turns have the image of the Gaussian map, which is the one at 0, and other pairs",
    )
    cost = Choice(list(COSTS), doc="squared distance, distance, Σ|z|^1.5 / 1.5, or the angle between points of a sphere")
    share = positive(
        0.01, (1e-3, 1), label="epsilon of the gap", symbol="ε", unit="mean cost",
        doc="strength of the entropy in the gap that is learned by; it adds between ε log n and twice that",
    )
    points = size(200, (4, 2000), (50, 1000), label="points", symbol="n", group="more",
                  doc="held out of the training, on which a map is looked at")
    dimensions = size(2, (2, 64), (2, 32), label="dimensions", group="more",
                      doc="of the known map")
    bend = size(1, (1, 10), (1, 10), label="bend", group="more",
                doc="how far the known map is from an affine one")

    train_steps = Whole(0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", traced=False,
                        doc="in which a network learns the map; 0: none is learned, and the turned map is looked at")
    strength = Real(1.0, bounds=(0, None), soft=(0, 10), label="weight of the gap", symbol="λ", when=TRAINING,
                    doc="beside the divergence from the targets; at 0 that alone is learned by")
    form = Choice(["plain", "residual", "gaussian", "structured", "sphere", "convex"], label="form of the map", group="more",
                  when=TRAINING, doc="what the network is: the map, what is added to the point or to the Gaussian map, a "
                  "field, a map of the sphere; or a convex function, whose gradient is learned by its dual and no gap")
    conservative = positive(0.01, (1e-3, 1), label="weight of symmetry", symbol="κ", group="more",
                            when={"form": ("structured",), "train_steps": SOME},
                            doc="asks that the field in a structured map be a gradient")
    batch = size(256, (2, 4096), (64, 1024), label="batch", group="more", when=TRAINING,
                 doc="points of each side at a step")
    fit_share = positive(0.05, (0.01, 1), label="epsilon of the fit", unit="mean cost", group="more",
                         doc="strength of the entropy in the divergence from the targets")
    learning_rate = positive(1e-3, (1e-4, 1e-1), label="learning rate", group="more", when=TRAINING,
                             doc="of the network (Adam); that of a convex network is best at some 0.03")

    dims: ClassVar = {
        "point": ("point", ""), "axis": ("coordinate", ""), "goal": ("target", ""), "turn": ("turn", "°"),
        "epsilon_share": ("epsilon", "mean cost"), "rival": ("map", ""), "gy": ("x₂", ""), "gx": ("x₁", ""),
        "train_step": ("training step", ""), "frame": ("step", ""), "space": ("axis", ""),
    }
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Every second point is learned from, the others are held out; the plane that is looked at."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(data.arrays[name], dtype) for name in ("x0", "x", "moved") if name in data.arrays}
        made: dict[str, Any] = {"plane": principal_plane(np.concatenate([arrays["x0"], arrays["x"]]))}
        for name, values in arrays.items():
            made |= {f"{name}_seen": placed(values[::2]), f"{name}_held": placed(values[1::2])}
        made["spread"], made["mean"] = looks.scales(made["x0_seen"], made["x_seen"])
        if arrays["x"].shape[1] == 2:
            made["sides"] = [np.linspace(low, high, looks.GRID) for low, high in window(arrays["x0"])]
            made["grid"] = placed(np.stack(np.meshgrid(*made["sides"]), axis=-1).reshape(-1, 2).astype(dtype))
        return made

    def check(self, data: Data) -> None:  # the turned map needs covariances with an inverse
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
            spread = np.linalg.eigvalsh(np.cov(np.asarray(data.arrays[name], float)[::2].T, bias=True).reshape(
                2 * (data.arrays[name].shape[1],)))
            if spread[0] <= 1e-10 * max(spread[-1], 1e-30):
                raise ValueError(f"the {name} of {data.name} lie in one place or on a line: bring points that spread")

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Turn a map, or learn one; then look at what its pairs cost."""
        angle = None if cls.own else p.angle
        bench, (constant, gaussian, entropic), move = looks.begin(inputs, p.only("points", "cost", "fit_share"), angle)
        x, cost, reason = bench.x, bench.cost, Reason.CONVERGED
        move, output = cls.own or move, {"iterations": 0}
        if not cls.own and p.train_steps:
            learn, begun = learning.lesson(inputs, p, bench.epsilon)
            taught = monge_survey.teach(loop, x, begun or gaussian, learn, steps=p.train_steps)
            move, reason, output = taught.map, taught.reason, learning.seen(inputs, p, x, taught, bench)
        moves = constant, gaussian, entropic, move
        if p.cost == "geodesic":
            moves = [monge_survey.OnSphere(each) for each in moves]
        images = [each(x) for each in moves]
        here = monge.gap(x, images[-1], cost, epsilon=looks.mean(x, images[-1], cost, p.share), tolerance=1e-6, loop=loop)
        to = moves[-1](inputs["grid"]) if "grid" in inputs else None
        output |= looks.looked(inputs, bench, images, to, here, jnp.asarray(reason), not cls.own)
        if p.cost == "geodesic" and x.shape[1] == 3:
            output |= {"on_sphere": x, "mapped_on_sphere": images[-1]}
        return output

    @classmethod
    def _name(cls, p: Any) -> str:
        return "own" if cls.own else "learned" if p.train_steps else "turned"

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Turns in degrees, epsilons as shares, maps by name, the plane in numbers."""
        d = data.arrays["x"].shape[1]
        made: dict[str, Any] = {
            "turn": monge_survey.ANGLES, "epsilon_share": list(monge_survey.SHARES),
            "rival": ["constant", "Gaussian", "entropic", cls._name(p)],
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"], "space": ["x₁", "x₂", "x₃"],
        }
        made |= dict(zip(("gx", "gy"), inputs.get("sides", ()), strict=False))
        if "film" in output:
            made["frame"] = frames.places(p.train_steps)[: len(output["film"])]
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where the images are not those of the targets."""
        p = sweeping.parameters(result)
        if p.get("train_steps") and float(result.fit) > 4 * float(result.fit_of.sel(rival="entropic")) + 1e-3:
            return (
                f"The images miss the targets: their divergence is {float(result.fit):.3g}, that of the entropic map "
                f"{float(result.fit_of.sel(rival='entropic')):.3g}. Lower λ, or train longer."
            )
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics import Loop
from lab.paths.potentials import PDES
from lab.studies.contract import Choice, DataSource, Paper, Preset, Run, Study, Switch, Whole, sweeping
from lab.studies.paths import traversals
from lab.studies.paths.flow_comparison import COUNTS, FLOWS, FRAMES, KINDS, SOLVERS
from lab.studies.vocabulary import SOME, TRAINING, positive, size
from lab.studies.vocabulary.training import Trained

from .claims import CLAIMS, CROSSED, DIGITS, LONG, REPORTED, SHOCK
from .experiment import Experiment, Inputs, binned, inputs_of, run
from .pictures import PICTURES
from .story import STORY

_MOST_DIMENSIONS = 1024  # of data that a generator is trained on
_MORE: dict[str, Any] = {"group": "more", "when": TRAINING}
_DECODER: dict[str, Any] = {"group": "more", "when": {"generator": ("autoencoder",), "train_steps": SOME}}


class PotentialFlows(Study):
    """Flows of potentials that solve an equation: their kinetic energy, and what trained potentials change in images."""

    slug = "potential-flows"
    title = "Latent traversals as potential flows"
    field = "Probability paths"
    paper = Paper(
        "Song, Keller, Sebe, Welling",
        "Latent Traversals in Generative Models as Potential Flows",
        "ICML",
        2023,
        "https://arxiv.org/abs/2304.12944",
    )
    text = "potential_flows.md"
    kind = "samples"
    needs = Needs(d=(2, None), n=(3, None))
    own: ClassVar[Any] = None
    """A generator of the user's own; see ``traversal_study``."""

    data = DataSource(
        "noisy-moons", doc="a named set of samples, or yours: the target of the flows, and training data of a generator"
    )
    potential = Choice(
        list(KINDS[::-1]),
        doc="ripples: sums of plane waves; quadratic: one map from the source to the data's mean and covariance",
    )
    time = positive(1.5, (0.2, 6), label="duration", symbol="T", unit="time", doc="how long points move")
    speed = positive(
        1.0,
        (0.2, 3),
        label="speed",
        symbol="c",
        doc="of waves; c² is the diffusivity of heat. It changes the height of quadratic potentials, not their points",
    )
    amplitude = positive(
        1.0, (0.1, 3), label="amplitude", symbol="B", when={"potential": ("ripples",)}, doc="of the sum of ripples"
    )
    wavelength = positive(
        4.0, (1, 10), label="wavelength", when={"potential": ("ripples",)}, group="more", doc="in units of z"
    )
    particles = size(
        120, (3, 1000), (50, 1000), label="points", symbol="n", group="more", doc="number of points of each exact flow"
    )
    downhill = Switch(False, group="more", doc="on: points follow z' = -∇u, the sign of some texts")

    train_steps = Whole(
        0,
        bounds=(0, 100_000),
        soft=(0, 5000),
        label="training steps",
        traced=False,
        doc="of K potentials on a generator; 0: only the exact flows of the plane",
    )
    pde = Choice(list(PDES), label="equation", when=TRAINING, doc="of the trained potentials")
    potentials = size(
        4, (2, 64), (2, 32), label="potentials", symbol="K", when=TRAINING, doc="number of potentials trained together"
    )
    weight = positive(
        1.0,
        (1e-2, 1e2),
        label="weight of the equation",
        symbol="λₚ",
        when=TRAINING,
        doc="of residual, initial velocity and change of the output; the classifier has weight 1",
    )
    generator = Choice(
        ["autoencoder", "linear"],
        doc="maps latent points to outputs: a small variational autoencoder, trained first, or the principal axes of the data",
        **_MORE,
    )
    latent = size(8, (2, 64), (2, 16), label="latent dimension", symbol="d", doc="of the generator", **_MORE)
    times = size(5, (2, 50), (2, 20), label="steps of a traversal", symbol="T'", doc="of unit time", **_MORE)
    bound = positive(3.0, (0.5, 10), label="bound of u", symbol="a", doc="scale of the last tanh", **_MORE)
    shared = Switch(
        True,
        label="one index per batch",
        doc="as published; off: every batch contains all potentials, and the classifier learns sooner",
        **_MORE,
    )
    decoder_steps = size(
        2500,
        (1, 100_000),
        (200, 10_000),
        label="steps of the autoencoder",
        doc="training steps of the generator",
        **_DECODER,
    )
    units = size(32, (1, 1024), (8, 128), label="units of a potential", doc="in each hidden layer", **_MORE)
    learning_rate = positive(
        1e-3, (1e-4, 1e-2), label="learning rate", doc="of potentials and classifier (Adam)", **_MORE
    )

    dims: ClassVar = {
        "t": ("time t / T", ""),
        "particle": ("point", ""),
        "gx": ("z₁", ""),
        "gy": ("z₂", ""),
        "count": ("steps", ""),
        "k": ("potential", ""),
        "kk": ("potential", ""),
        "start": ("initial point", ""),
        "image": ("initial point", ""),
        "way": ("path", ""),
        "length": ("steps", ""),
        "ly": ("second axis", ""),
        "lx": ("first axis", ""),
        **Trained.dims,
    }
    presets = (
        Preset(
            "crossed",
            "Covariances that do not commute",
            "From one Gaussian to another with other principal axes, in closed form, and relaxation by Fokker-Planck.",
            CROSSED,
        ),
        Preset("shock", "After straight lines cross", "Straight lines are no longer optimal.", SHOCK),
        Preset(
            "digits",
            "Four waves on digits (Sec. 4)",
            "Potentials of the wave equation on a small autoencoder of digits: images, classifier, VP score.",
            DIGITS,
        ),
        Preset(
            "digits-none",
            "No equation, 6,000 steps",
            "Without an equation the change of the output dominates the loss, and the classification accuracy falls.",
            LONG,
        ),
        Preset(
            "plane",
            "Trained potentials of the plane",
            "A linear generator with two latent dimensions: the picture shows each potential completely.",
            DIGITS | {"generator": "linear", "latent": 2, "train_steps": 1000},
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Distributions in the plane, and rows between 0 and 1."""
        return inputs_of(data)

    def check(self, data: Data) -> None:
        """Require a covariance with an inverse, and data that vary along enough axes for the generator."""
        super().check(data)
        x = data.arrays["x"]
        inputs = type(self).inputs(data)
        spreads = [np.linalg.eigvalsh(np.asarray(each)) for each in (inputs.covariance, inputs.goal_covariance)]
        if any(each[0] <= 1e-10 * max(each[-1], 1e-30) for each in spreads):
            raise ValueError(f"the points of {data.name} lie on a line or in one place: choose data that vary in 2-D")
        if self.train_steps and self.own is None:
            if x.shape[1] > _MOST_DIMENSIONS:
                raise ValueError(
                    f"{data.name} has {x.shape[1]} numbers in each x, but a generator takes at most {_MOST_DIMENSIONS}: "
                    "choose smaller data, or train_steps = 0"
                )
            if self.generator == "linear":
                traversals.linear_generator(inputs.rows, self.latent)

    @classmethod
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Carry points along the exact flows; train potentials if training steps are set."""
        return run(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Flows by name, times as a fraction of T, grids of the plane, and potentials u1 to uK."""
        gx, gy = map(np.asarray, inputs.grids[KINDS.index(p.potential)])
        found: dict[str, Any] = {
            "flow": list(FLOWS),
            "t": np.linspace(0, 1, FRAMES),
            "gx": gx,
            "gy": gy,
            "axis": ["z₁", "z₂"],
            "solver": list(SOLVERS),
            "count": list(COUNTS),
        }
        if "curve_loss" in output:
            found["train_step"] = (np.arange(len(output["curve_loss"])) + 0.5) * binned(p.train_steps)
        if "plane" in output:
            limit = float(output["plane"])
            names, side = [f"u{k + 1}" for k in range(p.potentials)], limit * np.linspace(-1, 1, traversals.GRID)
            found |= {"k": names, "kk": names[: traversals.LANDSCAPES], "ly": side, "lx": side}
            found |= {"way": list(traversals.WAYS), "length": np.arange(1, p.times + 1), "plane": ((), limit, {})}
        return found

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """A remedy for a loss that is not finite, for a low classification accuracy, and for lines that cross."""
        if "curve_loss" in result and result.attrs["reason"] == "not_finite":
            known = {name: int(np.isfinite(result[f"curve_{name}"]).sum()) for name in ("ce", "residual", "ic", "jvp")}
            lost = [name for name, count in known.items() if count < max(known.values())] or ["all"]
            return f"Terms of the loss became infinite or NaN ({', '.join(lost)}): lower the learning rate or λₚ."
        if "accuracy" in result and float(result.accuracy) < 0.9:
            free = sweeping.parameters(result)["pde"] == "none"
            remedy = "choose an equation" if free else "lower λₚ, choose fewer potentials, or train longer"
            return f"The classifier is right for only {float(result.accuracy):.0%} of pairs: {remedy}."
        if float(result.met) > 0.02:
            return f"Lines cross from t = {float(result.shock):.2g} on: beyond it, straight lines are not optimal."
        return ""

"""Latent traversals as potential flows (Song, Keller, Sebe, Welling, ICML 2023) as a study: exact flows, and trained ones."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.paths import potential_flows, traversals
from lab.paths.potential_flows import COUNTS, FLOWS, FRAMES, KINDS, SOLVERS
from lab.paths.potentials import PDES
from lab.studies.contract import Choice, DataSource, Paper, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import SOME, TRAINING, positive, size

from . import learning, variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, RESULTS, Inputs

_MOST_DIMENSIONS = 1024  # of data that a generator is trained on
_TRAINING = (1, 100_000)


class PotentialFlows(Study):
    """Points climb potentials that keep an equation: what each costs, and what trained ones do to images."""

    slug = "potential-flows"
    title = "Latent traversals as potential flows"
    field = "Probability paths"
    paper = Paper(
        "Song, Keller, Sebe, Welling", "Latent Traversals in Generative Models as Potential Flows", "ICML", 2023,
        "https://arxiv.org/abs/2304.12944",
    )
    text = "potential_flows.md"
    kind = "samples"
    needs = Needs(d=(2, None), n=(3, None))
    own: ClassVar[Any] = None
    """A generator that is not trained here; see ``traversal_study``."""

    data = DataSource("noisy-moons", doc="a named set of samples, or yours: where points go, and what trains a generator")
    potential = Choice(list(KINDS[::-1]), doc="ripples: sums of plane waves; quadratic: each equation takes the source to "
                       "the data's mean and covariance, by the same map")
    time = positive(1.5, (0.2, 6), label="end", symbol="T", unit="time", doc="how long points climb")
    speed = positive(
        1.0, (0.2, 3), label="speed", symbol="c", doc="of waves; its square is the diffusivity of heat. Moves the height of "
        "quadratic potentials, not their points",
    )
    amplitude = positive(1.0, (0.1, 3), label="amplitude", symbol="B", when={"potential": ("ripples",)},
                         doc="of the ripples together")
    wavelength = positive(4.0, (1, 10), label="wavelength", when={"potential": ("ripples",)}, group="more",
                          doc="of the ripples, in units of z")
    particles = size(120, (3, 1000), (50, 1000), label="points", symbol="n", group="more",
                     doc="that are carried along the exact flows")
    downhill = Switch(False, group="more", doc="points go down the gradient instead, z' = -∇u, as some texts have it")

    train_steps = Whole(0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", traced=False,
                        doc="in which K potentials are learned on a generator; 0: none, the flows of the plane are exact")
    pde = Choice(list(PDES), label="equation", when=TRAINING, doc="that the trained potentials keep")
    potentials = size(4, (2, 64), (2, 32), label="potentials", symbol="K", when=TRAINING,
                      doc="directions that are learned together")
    weight = positive(1.0, (1e-2, 1e2), label="weight of the equation", symbol="λₚ", when=TRAINING,
                      doc="of equation, rest at the start and change of the output; that of the classifier is 1")
    generator = Choice(
        ["autoencoder", "linear"], group="more", when=TRAINING,
        doc="what makes outputs of latent points: a small variational autoencoder, trained first and kept, or the principal "
        "axes of the data",
    )
    latent = size(8, (2, 64), (2, 16), label="latent dimension", symbol="d", group="more", when=TRAINING,
                  doc="of the generator")
    times = size(5, (2, 50), (2, 20), label="steps of a traversal", symbol="T'", group="more", when=TRAINING,
                 doc="each of unit time")
    bound = positive(3.0, (0.5, 10), label="bound of u", symbol="a", group="more", when=TRAINING,
                     doc="the scale of the last tanh")
    shared = Switch(True, label="one index a batch", group="more", when=TRAINING,
                    doc="as published; off: each potential has its share of every batch, which trains the classifier better")
    decoder_steps = size(2500, _TRAINING, (200, 10_000), label="steps of the autoencoder", group="more",
                         when={"generator": ("autoencoder",), "train_steps": SOME}, doc="in which the generator is trained")
    units = size(32, (1, 1024), (8, 128), label="units of a potential", group="more", when=TRAINING,
                 doc="in each of its two hidden layers")
    learning_rate = positive(1e-3, (1e-4, 1e-2), label="learning rate", group="more", when=TRAINING,
                             doc="of potentials and classifier (Adam)")

    dims: ClassVar = DIMS
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The laws in the plane, and rows between 0 and 1."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """Quadratic potentials need a covariance with an inverse, generators data that vary enough."""
        super().check(data)
        x = data.arrays["x"]
        inputs = type(self).inputs(data)
        spreads = [np.linalg.eigvalsh(np.asarray(each)) for each in (inputs.covariance, inputs.goal_covariance)]
        if any(each[0] <= 1e-10 * max(each[-1], 1e-30) for each in spreads):
            raise ValueError(f"the points of {data.name} lie on a line or in one place: bring data that spread in the plane")
        if self.train_steps and self.own is None:
            if x.shape[1] > _MOST_DIMENSIONS:
                raise ValueError(f"{data.name} has {x.shape[1]} numbers in each x, but a generator takes {_MOST_DIMENSIONS}")
            if self.generator == "linear":
                traversals.linear_generator(inputs.rows, self.latent)

    @classmethod
    def compute(cls, inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Carry points along the exact flows; train potentials where asked to, and look at them."""
        key = jax.random.key(p.seed)
        start = _drawn(inputs.source, key, p.particles)
        gx, gy = inputs.grids[KINDS.index(p.potential)]
        given = variables.setting(inputs, p, start)
        output, reason = potential_flows.experiment(loop, p.potential, given, key, gx, gy)
        output["displacement_flow"] = output.pop("displacement")
        if p.potential != "quadratic":
            del output["gap"], output["missed"]
        reasons = [reason]
        if p.train_steps and not (isinstance(reason, int) and reason == Reason.STOPPED):
            made, whys = learning.learned(cls.own, inputs, p, loop)
            output, reasons = output | made, [*reasons, *whys]
        return output | {"reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Flows by name, times as a share of T, the plane in numbers."""
        gx, gy = map(np.asarray, inputs.grids[KINDS.index(p.potential)])
        made = {"flow": list(FLOWS), "t": np.linspace(0, 1, FRAMES), "gx": gx, "gy": gy, "axis": ["z₁", "z₂"],
                "solver": list(SOLVERS), "count": list(COUNTS)}
        for dim, name, steps in (("train_step", "curve_loss", "train_steps"), ("vae_step", "vae_loss", "decoder_steps")):
            if name in output:
                made[dim] = (np.arange(len(output[name])) + 0.5) * learning.binned(getattr(p, steps))
        if "plane" in output:
            names = [f"u{k + 1}" for k in range(p.potentials)]
            side = float(output["plane"]) * np.linspace(-1, 1, traversals.GRID)
            made |= {
                "k": names, "guess": names, "other": names, "kk": names[: traversals.LANDSCAPES], "ly": side, "lx": side,
                "way": list(traversals.WAYS), "length": np.arange(1, p.times + 1), "plane": ((), float(output["plane"]), {}),
            }
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where lines met, where a term of the loss was not finite, where potentials are not told apart."""
        if "curve_loss" in result and result.attrs["reason"] == "not_finite":
            known = {name: int(np.isfinite(result[f"curve_{name}"]).sum()) for name in ("ce", "residual", "ic", "jvp")}
            lost = [name for name, count in known.items() if count < max(known.values())] or ["all"]
            return f"Of the terms of the loss {', '.join(lost)} became infinite or NaN: lower the learning rate or λₚ."
        if "accuracy" in result and float(result.accuracy) < 0.9:
            how = {"none": "choose an equation"}.get(sweeping.parameters(result)["pde"], "lower λₚ, take fewer, train longer")
            return f"Potentials are told apart in {float(result.accuracy):.0%} of pairs only: {how}."
        if float(result.met) > 0.02:
            return f"Lines met from t = {float(result.shock):.2g} on: what goes straight beyond it is not optimal."
        return ""


@jit
def _drawn(source: Any, key: Any, n: int) -> Any:
    return source.sample(key, n)

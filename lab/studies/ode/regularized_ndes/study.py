"""The study: parameters, data and presets."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.host import placed
from lab.numerics.principal import principal_axes
from lab.ode import KINDS, learning
from lab.studies.contract import Choice, DataSource, Live, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.ode.analysis import CONTROLLERS, FRAMES, MOST
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, DIGITS, NOISE_ER, NOISE_VANILLA, REPORTED, STIFF, VANILLA
from .experiment import FIELDS, NETWORK, NEURAL, SYSTEMS, TIMES, compute
from .pictures import PICTURES
from .story import STORY

_TESTS = 250
_LEARNS = {"system": (NETWORK, NEURAL)}
_CLASSIFIES = {"system": (NETWORK,)}
_SOLVES = {"system": FIELDS}


class RegularizedNDEs(Study):
    """An adaptive solver with its error and stiffness estimates at each step, and fields trained to be cheap to solve."""

    slug = "regularized-ndes"
    title = "Regularized neural differential equations"
    field = "Differential equations"
    paper = Paper(
        "Pal, Ma, Shah, Rackauckas",
        "Opening the Blackbox: Accelerating Neural Differential Equations by Regularizing Internal Solver Heuristics",
        "ICML",
        2021,
        "https://arxiv.org/abs/2105.03918",
    )
    text = "regularized_ndes.md"
    kind = "labelled"
    data_options = ("seed",)

    data = DataSource(
        "digit-classes",
        doc="samples with classes for the classifier: a named data set, or yours; the last in a fixed order are for testing",
    )
    system = Choice(
        list(SYSTEMS),
        doc="a vector field in the plane; a classifier whose features follow a learned field; or a stochastic equation, the "
        "spiral or a neural SDE that learns its moments",
    )
    mu = positive(
        10.0,
        (0.5, 100),
        label="stiffness",
        symbol="μ",
        when=_SOLVES,
        doc="parameter of the field: steepness of the jumps, rate of the relaxation, speed of the spiral",
    )
    length = positive(
        20.0, (0.5, 60), label="final time", symbol="t₁", when=_SOLVES, doc="time at which the solution ends"
    )
    tolerance = positive(
        1e-6, (1e-9, 1e-1), label="tolerance", doc="relative and absolute; a step with a larger error is rejected"
    )
    h0 = positive(
        0.01, (1e-4, 1), label="first step", symbol="h₀", group="more", when=_SOLVES, doc="size of the first step"
    )
    pair = Choice(
        ["tsit5", "dopri5"], label="pair", group="more", when=_SOLVES, doc="embedded Runge-Kutta pair of order 5(4)"
    )
    controller = Choice(
        list(CONTROLLERS),
        label="controller",
        group="more",
        when=_SOLVES,
        doc="uses this error, or also the previous one",
    )
    term = Choice(
        list(KINDS),
        default="ER",
        label="regularizer",
        when=_LEARNS,
        doc="added to the loss: error (ER, ER2), stiffness (SR), both, error of one random step (local), Taylor coefficients "
        "(Tay); STEER: random final times",
    )
    strength = Real(
        1.0,
        bounds=(0, None),
        soft=(1e-2, 1e2),
        scale="log",
        label="strength",
        symbol="λ₀",
        when=_LEARNS,
        doc="weight of the regularizer; for the classifier it falls to a tenth during training",
    )
    diff_h = Switch(
        False, label="exact gradient", group="more", when=_CLASSIFIES, doc="on: differentiates the step sizes too"
    )
    how = Choice(
        ["mean", "sum", "max"], label="aggregation", group="more", when=_LEARNS, doc="over the steps of a solution"
    )
    spread = Real(
        0.5, bounds=(0, 0.99), label="random end", symbol="b", group="more", when=_CLASSIFIES, doc="STEER ends in 1 ± b"
    )
    train_steps = Whole(
        240, bounds=(0, 20_000), soft=(0, 1000), label="training steps", traced=False, when=_LEARNS, doc="0: untrained"
    )
    batch = size(250, (1, 10_000), (20, 500), label="batch", group="more", when=_CLASSIFIES, doc="samples per step")
    units = size(32, (1, 1024), (8, 128), label="units", group="more", when=_LEARNS, doc="hidden units of the field")
    learning_rate = positive(
        0.1,
        (1e-3, 1),
        label="learning rate",
        group="more",
        when=_LEARNS,
        doc="of momentum 0.9, or AdaBelief (SDE: 0.01)",
    )

    dims: ClassVar = {
        "step": ("attempted step", ""),
        "axis": ("coordinate", ""),
        "share": ("fraction of the evaluations", ""),
        "t": ("time", ""),
        "particle": ("sample", ""),
        "train_step": ("training step", ""),
    }
    live = (
        Live("loss", {"loss": "loss", "cross-entropy": "ce", "misfit": "misfit"}),
        Live("scaled error E", {"E": "E"}, 1.0),
    )
    presets = (
        Preset(
            "stiff-loose",
            "Stiff, loose tolerance",
            "Solutions relax to cos t at the rate μ. A larger tolerance hardly saves work: stability limits the steps.",
            STIFF | {"tolerance": 1e-3},
        ),
        Preset(
            "spiral",
            "The cubic spiral",
            "Smooth, not stiff: the error limits the steps.",
            {"system": "spiral", "mu": 2.0},
        ),
        Preset("digits", "Digits, error regularizer", "Table 1 at a small scale: half of the evaluations.", DIGITS),
        Preset("digits-vanilla", "Digits, unregularized", "Training with the cross-entropy alone.", VANILLA),
        Preset(
            "noise", "Neural SDE, error regularizer", "Table 3: drift and diffusion learned from moments.", NOISE_ER
        ),
        Preset("noise-vanilla", "Neural SDE, unregularized", "The same training without regularizer.", NOISE_VANILLA),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Samples in a fixed order, so that the last ones can test; large numbers in units of their standard deviation."""
        x, classes = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["classes"])
        order = np.random.default_rng(0).permutation(len(x))
        x = x[order] / (1.0 if np.abs(x).max() <= 5 else x.std())
        labels = np.unique(classes[order], return_inverse=True)[1].astype(np.int32)
        tests = min(_TESTS, max(1, len(x) // 6))
        train = min(len(x) - tests, 6 * _TESTS)
        cut = slice(0, train), slice(train, train + tests)
        samples = learning.Samples(*[placed(each[part]) for part in cut for each in (x, labels)])
        flat = x.shape[1] != 2
        axes = principal_axes(x - x.mean(axis=0), 2) if flat and x.shape[1] > 2 else np.eye(x.shape[1], 2)
        digest = sha256(x.tobytes() + labels.tobytes()).hexdigest()
        return {"samples": samples, "classes": int(labels.max()) + 1, "axes": placed(axes), "digest": digest}

    def check(self, data: Data) -> None:
        """Terms that an equation with noise does not have."""
        super().check(data)
        if self.system == NEURAL and self.term.startswith(("STEER", "Tay")):
            raise ValueError(
                f"term = {self.term!r} is not allowed with noise: paths have no Taylor coefficients, and moments are of given "
                "times; choose vanilla, ER, ER2, SR, ER+SR or local"
            )

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times, fractions of the evaluations, and names of axes."""
        found: dict[str, Any] = {"step": np.arange(MOST)}
        if p.system in FIELDS:
            return found | {"share": np.linspace(0, 1, FRAMES), "axis": ["y₁", "y₂"]}
        if p.system != NETWORK:
            return found
        names = ["x₁", "x₂"] if inputs["samples"].x.shape[1] == 2 else ["first", "second"]
        return found | {"t": np.linspace(0, 1, TIMES), "axis": names}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Solutions that were cut short, steps that are not drawn, steps that stability limits."""
        if float(result.get("short", 0)) > 0:
            return (
                f"{int(result.short)} solutions in training were cut short, since they took too many steps: loosen the "
                "tolerance, or strengthen the regularizer."
            )
        if float(result.accepted + result.rejected) >= MOST:
            return f"Only the first {MOST} steps are drawn one by one: shorten the solution, or loosen the tolerance."
        if "edge" in result and float(result.edge) > 0.5:
            return (
                f"{float(result.edge):.0%} of the steps are near the stability limit: a looser tolerance saves little; "
                "an implicit method would."
            )
        return ""

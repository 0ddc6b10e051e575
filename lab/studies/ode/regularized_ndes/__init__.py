"""Regularised neural differential equations (Pal, Ma, Shah, Rackauckas, ICML 2021) as a study: a solver's errors as a loss."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics import Loop
from lab.ode import KINDS
from lab.ode.survey import CONTROLLERS, FRAMES, MOST
from lab.studies.contract import Choice, DataSource, Live, Paper, Real, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, FIELDS, MOMENTS, NETWORK, NEURAL, NOISE, RESULTS, SYSTEMS, TIMES

_LEARNS = {"system": (NETWORK, NEURAL)}
_CLASSIFIES = {"system": (NETWORK,)}
_SOLVES = {"system": FIELDS}


class RegularizedNDEs(Study):
    """An adaptive solver that tells error and stiffness of every step, and fields that are trained to be cheap to solve."""

    slug = "regularized-ndes"
    title = "Regularized neural differential equations"
    field = "Differential equations"
    paper = Paper(
        "Pal, Ma, Shah, Rackauckas",
        "Opening the Blackbox: Accelerating Neural Differential Equations by Regularizing Internal Solver Heuristics", "ICML",
        2021, "https://arxiv.org/abs/2105.03918",
    )
    text = "regularized_ndes.md"
    kind = "labelled"
    data_options = ("seed",)

    data = DataSource(
        "digit-classes", doc="samples with classes, for the classifier: a named set, or yours; the last of a fixed order test"
    )
    system = Choice(
        list(SYSTEMS),
        doc="what is solved: a field in the plane; a classifier whose features are carried along a learned field; paths with "
        "noise, of the spiral or of an equation that learns its moments",
    )
    mu = positive(
        10.0, (0.5, 100), label="stiffness", symbol="μ", when=_SOLVES,
        doc="of the field; how steep the jumps are, how fast the relaxation, how fast the spiral turns",
    )
    length = positive(20.0, (0.5, 60), label="end", symbol="t₁", when=_SOLVES, doc="time at which the solution ends")
    tolerance = positive(
        1e-6, (1e-9, 1e-1), label="tolerance", doc="relative and absolute: a step is accepted where its error is below it"
    )
    h0 = positive(0.01, (1e-4, 1), label="first step", symbol="h₀", group="more", when=_SOLVES, doc="length of the first step")
    pair = Choice(["tsit5", "dopri5"], label="pair", group="more", when=_SOLVES, doc="of Runge-Kutta formulas of order 5(4)")
    controller = Choice(
        list(CONTROLLERS), label="controller", group="more", when=_SOLVES,
        doc="of lengths: by the error of this step, or of that before too",
    )
    term = Choice(
        list(KINDS), default="ER", label="term", when=_LEARNS,
        doc="what is added to the loss: error (ER, ER2), stiffness (SR), both, of one random step (local), derivatives (Tay); "
        "STEER ends at random times",
    )
    strength = Real(
        1.0, bounds=(0, None), soft=(1e-2, 1e2), scale="log", label="strength", symbol="λ₀", when=_LEARNS,
        doc="of the term; of the classifier it falls to a tenth until the end of training",
    )
    diff_h = Switch(
        False, label="slope through h", group="more", when=_CLASSIFIES,
        doc="differentiate the lengths of steps too, which is the true slope of the term and trains worse",
    )
    how = Choice(
        ["mean", "sum", "max"], label="put together", group="more", when=_LEARNS, doc="how, over the steps of a solution"
    )
    spread = Real(
        0.5, bounds=(0, 0.99), label="random end", symbol="b", group="more", when=_CLASSIFIES,
        doc="STEER ends at 1 ± so much",
    )
    train_steps = Whole(
        240, bounds=(0, 20_000), soft=(0, 1000), label="training steps", traced=False, when=_LEARNS,
        doc="of the classifier or the equation; 0: as it was before",
    )
    batch = size(250, (1, 10_000), (20, 500), label="batch", group="more", when=_CLASSIFIES, doc="samples that are one state")
    units = size(32, (1, 1024), (8, 128), label="units", group="more", when=_LEARNS, doc="of the hidden layer of the field")
    learning_rate = positive(
        0.1, (1e-3, 1), label="learning rate", group="more", when=_LEARNS,
        doc="of momentum 0.9 (classifier) or AdaBelief (equation with noise, for which 0.01 is usual)",
    )

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    live = (Live("loss", {"loss": "loss", "cross-entropy": "ce", "misfit": "misfit"}), Live("scaled error E", {"E": "E"}, 1.0))
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Samples to train on and to test on."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """Terms that an equation with noise does not have."""
        super().check(data)
        if self.system == NEURAL and self.term.startswith(("STEER", "Tay")):
            raise ValueError(
                f"term = {self.term!r} is not allowed with noise: paths have no Taylor coefficients, and moments are of given "
                "times; choose vanilla, ER, ER2, SR, ER+SR or local"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Solve a field; or train one, by the store where it was trained before, and solve that."""
        if p.system in FIELDS:
            return variables.of_field(p, loop)
        return variables.of_noise(p, loop) if p.system in NOISE else variables.of_classifier(inputs, p, loop)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times, shares and names."""
        found: dict[str, Any] = {"step": np.arange(MOST)}
        if p.system in FIELDS:
            return found | {"share": np.linspace(0, 1, FRAMES), "axis": ["y₁", "y₂"]}
        if p.system in NOISE:
            times = np.arange(1, MOMENTS + 1) / MOMENTS
            return found | {"axis": ["u₁", "u₂"], "of": ["data", "model"], "moment": times}
        epochs = {"epoch": 1 + np.arange(len(output["nfe_epoch"]))} if "nfe_epoch" in output else {}
        names = ["x₁", "x₂"] if inputs["samples"].x.shape[1] == 2 else ["first", "second"]
        return found | epochs | {"t": np.linspace(0, 1, TIMES), "axis": names}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Solutions that were cut short, steps that are not shown, work that the tolerance does not ask for."""
        if float(result.get("short", 0)) > 0:
            return (
                f"{int(result.short)} solutions in training were cut short, since they took too many steps: loosen the "
                "tolerance, or strengthen the term."
            )
        steps = float(result.accepted + result.rejected)
        if steps >= MOST:
            return f"Only the first {MOST} steps are drawn one by one: shorten the solution, or loosen the tolerance."
        if "edge" in result and float(result.edge) > 0.5:
            return (
                f"{float(result.edge):.0%} of the steps are near the longest that is stable: a looser tolerance saves "
                f"little, and an "
                "implicit method would."
            )
        return ""

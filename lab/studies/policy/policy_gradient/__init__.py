"""Policy gradients with momentum (Fatkhullin et al., ICML 2023) as a study: N-PG-IGT and HARPG beside plain ascent."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.decisions import KIND
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Live, Paper, Real, Study
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, ENVIRONMENTS, LQR, RESULTS, RULES, SHORT, TABULAR

_NETWORK = {"environment": tuple(name for name in ENVIRONMENTS if name not in (TABULAR, LQR))}


class PolicyGradient(Study):
    """Five ways to learn a policy from one or a few episodes per update, and how far each is from the true gradient."""

    slug = "policy-gradient"
    title = "Policy gradients with momentum"
    field = "Learning to act"
    paper = Paper(
        "Fatkhullin, Barakat, Kireeva, He",
        "Stochastic Policy Gradient Methods: Improved Sample Complexity for Fisher-non-degenerate Policies", "ICML", 2023,
        "https://arxiv.org/abs/2302.01734",
    )
    text = "policy_gradient.md"
    kind = KIND
    data_options = ()
    own: ClassVar[Any] = None
    """An environment that is not among those to choose from; see ``environment_study``."""

    data = DataSource(
        "five-states", doc="of tabular: a named decision process, or yours (transitions, rewards, start)",
        when={"environment": (TABULAR,)},
    )
    environment = Choice(
        list(ENVIRONMENTS), doc="what is acted in: a finite process, whose gradients are known; a pole on a cart; two links; a "
        "pendulum; a linear system with quadratic costs, whose gradients are known too",
    )
    method = Choice(["all", *RULES], label="methods", doc="all five side by side, or one")
    g0 = positive(
        1.0, (1e-3, 3), label="step", symbol="γ₀", doc="length of the first step of normalised methods; it falls as 2/(t+2)",
    )
    ratio = positive(
        0.1, (1e-5, 1), label="share of PG and HARPG", doc="their γ₀, which multiplies whole gradients, as a share of γ₀",
    )
    batch = size(1, (1, 1000), (1, 50), label="episodes", symbol="N", doc="from which a gradient is estimated")
    batch_hessian = size(
        1, (1, 1000), (1, 50), label="episodes for B v", symbol="M", when={"method": ("all", "N-HARPG", "HARPG")},
        doc="others, from which HARPG estimates a Hessian-vector product",
    )
    horizon = size(20, (1, 1000), (5, 500), label="steps of an episode", symbol="H", doc="at most")
    discount = Real(
        0.95, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.5, 1), label="discount", symbol="γ", doc="of a step",
    )
    seeds = size(12, (1, 200), (1, 24), label="seeds", doc="climbs that are averaged, each from its own start")
    updates = size(1200, (2, 100_000), (20, 5000), label="updates", symbol="T", doc="of the parameters")
    baseline = Choice(
        ["none", "others"], group="more", doc="what is taken off returns: nothing, or their mean over the other episodes",
    )
    curvature = Choice(
        ["product", "dice"], label="estimate of B v", group="more", when={"method": ("all", "N-HARPG", "HARPG")},
        doc="with the product of two gradients of an episode, or by differentiating twice (less variance)",
    )
    eta0 = Real(
        1.0, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.1, 1), label="weight", symbol="η₀", group="more",
        doc="factor of η, the weight of a new gradient",
    )
    units = size(32, (1, 512), (8, 64), label="units", group="more", when=_NETWORK, doc="in both hidden layers of a network")
    shown = Choice(
        list(RULES), "N-PG-IGT", label="show", when={"method": ("all",)},
        doc="the method whose policy, episode and spectrum are shown",
    )

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    live = (Live("return", {name: name for name in RULES}),)
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The process."""
        return variables.inputs(data)

    def check(self, data: Data) -> None:
        """A baseline from others where there are others."""
        super().check(data)
        least = min(self.batch, self.batch_hessian if "HARPG" in self.method or self.method == "all" else self.batch)
        if self.baseline == "others" and least < 2:
            raise ValueError(
                f"baseline = 'others' is not allowed with {least} episode: it is the mean over the other episodes of an "
                "estimate, so take more of them (batch, batch_hessian), or the baseline 'none'"
            )

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Climb, then look."""
        return variables.run(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Methods, updates, and what the map of choices is over."""
        found: dict[str, Any] = {
            "rule": list(variables.chosen(p)), "update": np.asarray(output["update"]), "look": np.asarray(output["look"]),
            "part": ["before", "after"], "axis": ["first", "second"], "row": np.asarray(output["row"]),
            "column": np.asarray(output["column"]),
        }
        if cls.own is None and p.environment == TABULAR:
            actions = data.axes.get("actions", [str(i) for i in range(output["choice"].shape[1])])
            found |= {"column": list(actions), "row": list(data.axes.get("states", range(output["choice"].shape[0])))}
        return found

    @classmethod
    def facts(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the axes of the map of choices are, and which method is watched."""
        return {"plane": " | ".join(variables.plane_of(p, cls.own)), "watching": variables.chosen(p)[variables.shown_rule(p)]}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Steps that were too large for HARPG."""
        lost = [name for name, short in SHORT.items() if "HARPG" in name and f"last_{short}" in result]
        others = [float(result[f"last_{SHORT[name]}"]) for name in ("N-PG-M", "N-PG-IGT")]
        for name in lost:
            last = float(result[f"last_{SHORT[name]}"])
            if np.isfinite([last, *others]).all() and last < min(others) - 0.5 * abs(min(others)):
                return f"{name} fell far behind: take a smaller step, or more episodes for B v."
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.decisions import KIND
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Live, Paper, Preset, Real, Run, Study
from lab.studies.vocabulary import positive, size

from .claims import CART, CLAIMS, LINKS, REGULATOR, REPORTED, SWING
from .experiment import ENVIRONMENTS, LQR, RULES, SHORT, TABULAR, Experiment, chosen, inputs_of, learn, plane_of
from .pictures import PICTURES
from .story import STORY

_NETWORK = {"environment": tuple(name for name in ENVIRONMENTS if name not in (TABULAR, LQR))}
_HARPG = {"method": ("all", "N-HARPG", "HARPG")}
_weight = partial(Real, bounds=(0, 1), inclusive_bounds=(False, True))


class PolicyGradient(Study):
    """Five methods that learn a policy from one or a few episodes per update, and their gradient errors."""

    slug = "policy-gradient"
    title = "Policy gradients with momentum"
    field = "Learning to act"
    paper = Paper(
        "Fatkhullin, Barakat, Kireeva, He",
        "Stochastic Policy Gradient Methods: Improved Sample Complexity for Fisher-non-degenerate Policies",
        "ICML",
        2023,
        "https://arxiv.org/abs/2302.01734",
    )
    text = "policy_gradient.md"
    kind = KIND
    data_options = ()
    own: ClassVar[Any] = None
    """An environment of the user's own; see ``environment_study``."""

    data = DataSource(
        "five-states",
        doc="of tabular: a named decision process, or yours (transitions, rewards, start)",
        when={"environment": (TABULAR,)},
    )
    environment = Choice(
        list(ENVIRONMENTS),
        doc="a finite process with exact gradients; a pole on a cart; two links; a pendulum; or the linear-quadratic regulator "
        "with exact gradients",
    )
    method = Choice(["all", *RULES], label="methods", doc="all five, or one")
    g0 = positive(
        1.0, (1e-3, 3), label="first step", symbol="γ₀", doc="length of a normalized step at t = 0; it falls as 2/(t+2)"
    )
    ratio = positive(
        0.1, (1e-5, 1), label="step ratio of PG and HARPG", doc="their γ₀, which multiplies gradients, relative to γ₀"
    )
    batch = size(1, (1, 1000), (1, 50), label="episodes", symbol="N", doc="episodes per gradient estimate")
    batch_hessian = size(
        1,
        (1, 1000),
        (1, 50),
        label="episodes for B v",
        symbol="M",
        when=_HARPG,
        doc="per Hessian-vector product of HARPG",
    )
    horizon = size(20, (1, 1000), (5, 500), label="horizon", symbol="H", doc="maximum number of steps of an episode")
    discount = _weight(0.95, soft=(0.5, 1), label="discount", symbol="γ", doc="factor of the reward per step")
    seeds = size(12, (1, 200), (1, 24), label="seeds", doc="independent trainings, whose results are averaged")
    updates = size(
        1200, (2, 100_000), (20, 5000), label="updates", symbol="T", doc="number of updates of the parameters"
    )
    baseline = Choice(
        ["none", "others"],
        group="more",
        doc="subtracted from returns: nothing, or the mean return of the other episodes",
    )
    curvature = Choice(
        ["product", "dice"], label="estimate of B v", group="more", when=_HARPG, doc="dice: the less noisy estimate"
    )
    eta0 = _weight(
        1.0, soft=(0.1, 1), label="weight", symbol="η₀", group="more", doc="factor of η, a new gradient's weight"
    )
    units = size(
        32, (1, 512), (8, 64), label="units", group="more", when=_NETWORK, doc="of both hidden layers of a network"
    )
    shown = Choice(
        list(RULES), "N-PG-IGT", label="shown method", when={"method": ("all",)}, doc="of policy, episode and spectrum"
    )

    dims: ClassVar = {
        "rule": ("method", ""),
        "run": ("seed", ""),
        "update": ("update t", ""),
        "look": ("update t", ""),
    } | {"eigen": ("eigenvalue", ""), "part": ("policy", "")}
    live = (Live("return", {name: name for name in RULES}),)
    presets = (
        Preset("long", "A longer training with 24 seeds", "4,000 updates.", {"seeds": 24, "updates": 4000}),
        Preset(
            "chain",
            "A reward at the end of a chain",
            "A small reward at once, or a large one later.",
            {"data": "chain"},
        ),
        Preset("regulator", "Linear-quadratic regulator", "The Fisher matrix is never degenerate.", REGULATOR),
        Preset("cart", "A pole on a cart", "N-PG-IGT balances it within 60 updates; about a minute.", CART),
        Preset(
            "links",
            "Two links that swing up",
            "From 400 steps without success to 133 (mean of five seeds; 95% interval 67 to 199); about half a minute.",
            LINKS,
        ),
        Preset("swing", "A pendulum", "N-PG-IGT halves the cost of an episode; about half a minute.", SWING),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The process as arrays of JAX."""
        return inputs_of(data)

    def check(self, data: Data) -> None:
        """Reject a baseline from the other episodes of a single episode."""
        super().check(data)
        least = min(self.batch, self.batch_hessian if "HARPG" in self.method or self.method == "all" else self.batch)
        if self.baseline == "others" and least < 2:
            raise ValueError(
                f"baseline = 'others' is not allowed with {least} episode: it is the mean over the other episodes of an "
                "estimate, so take more of them (batch, batch_hessian), or the baseline 'none'"
            )

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
        """Train by the chosen methods, and analyze the policy of the shown one."""
        return learn(inputs, p, loop, cls.own)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Methods, policies, and the names of states and actions."""
        found: dict[str, Any] = {"rule": list(chosen(p)), "part": ["before", "after"], "axis": ["first", "second"]}
        if cls.own is None and p.environment == TABULAR:
            states, actions = output["choice"].shape
            found["column"] = list(data.axes.get("actions", [str(i) for i in range(actions)]))
            found["row"] = list(data.axes.get("states", range(states)))
        return found

    @classmethod
    def facts(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Axes of the map of choices."""
        return {"plane": " | ".join(plane_of(p, cls.own))}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """A remedy for steps that are too large for HARPG."""
        others = [float(result[f"last_{SHORT[name]}"]) for name in ("N-PG-M", "N-PG-IGT")]
        for name in ("N-HARPG", "HARPG"):
            last = float(result[f"last_{SHORT[name]}"])
            if np.isfinite([last, *others]).all() and last < min(others) - 0.5 * abs(min(others)):
                return f"{name} has a much lower return: choose a smaller step, or more episodes for B v."
        return ""

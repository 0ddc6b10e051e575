"""Road agents (Chandra et al., RA-L 2020) as a study: graphs of traffic, their spectra, behaviour, and where all will be."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.roads import KIND
from lab.numerics import Loop
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import TRAINING, positive, size
from lab.traffic import behaviour, survey

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY
from .variables import DIMS, KINDS, PAIRS, RESULTS, Inputs

_ENTRIES = 1_500_000  # of the graphs of one road
_WHOLE = 30_000_000  # of those of all roads


def _share(which: str) -> Real:
    return Real(0.25, bounds=(0, 1), soft=(0, 0.5), label=f"{which} drivers", traced=False,
                doc=f"share of {which} drivers, where the road is simulated")


class RoadAgents(Study):
    """Who is near whom on a road, what the spectrum of that tells of drivers, and where everybody will be."""

    slug = "road-agents"
    title = "Road agents: behaviour and forecasts from traffic graphs"
    field = "Traffic"
    paper = Paper(
        "Chandra, Guan, Panuganti, Mittal, Bhattacharya, Bera, Manocha",
        "Forecasting Trajectory and Behavior of Road-Agents Using Spectral Clustering in Graph-LSTMs", "IEEE RA-L", 2020,
        "https://arxiv.org/abs/1912.01118",
    )
    text = "road_agents.md"
    kind = KIND
    data_options = ("seed", "agents", "recorded", "warmup", "slow", "fast")

    data = DataSource("highway-drivers", doc="trajectories: a named set, or yours; columns frame, agent, x, y")
    radius = positive(10.0, (3, 50), label="radius", symbol="r", unit="m", doc="who is farther away is no neighbour")
    scale = positive(1.0, (0.5, 20), label="scale", symbol="s", unit="m", doc="distance over which a weight falls by e")
    threshold = Real(5e-4, bounds=(0, None), soft=(1e-4, 1e-1), scale="log", label="threshold", symbol="λ", unit="1/s",
                     doc="of the rate: above it an agent is over, below -λ under")
    forecast = Choice(list(survey.MODELS), default="ridge", label="forecast", doc="that is drawn, and that foretells labels; "
                      "streams must be trained")
    road = Whole(0, bounds=(0, 100), soft=(0, 3), label="road", sweepable=False, doc="that is shown, of those that test")
    train_steps = Whole(0, bounds=(0, 20_000), soft=(0, 1000), label="training steps", traced=False,
                        doc="in which the streams learn; 0: none is trained; 800 take about a minute")
    b1 = Real(0.1, bounds=(0, None), soft=(0, 1), label="pull of clusters", symbol="b₁", unit="1/m", when=TRAINING,
              doc="of a predicted position to the centre of its cluster, in training")
    neighbours = Choice(["radius", "nearest"], label="neighbours", group="more", doc="all within the radius, or the nearest")
    nearest = size(4, (1, 40), (1, 10), label="nearest", group="more", when={"neighbours": ("nearest",)},
                   doc="how many each agent chooses")
    edges = Choice(["instant", "cumulative"], label="edges", group="more",
                    doc="of each frame by itself, or kept while a window lasts, with their largest weight")
    k = size(3, (1, 64), (1, 6), label="eigenvectors", symbol="k", group="more",
             doc="at each end of the spectrum, and how many clusters")
    observed = size(6, (2, 60), (2, 20), label="seen", unit="frames", group="more", doc="frames that a forecast is made from")
    predicted = size(10, (1, 100), (2, 20), label="predicted", unit="frames", group="more", doc="frames that are predicted")
    every = size(1, (1, 50), (1, 10), label="every", unit="frames", group="more",
                 doc="take each so-manieth frame: of 10 Hz, 5 makes 2 Hz")
    turn = Switch(False, label="along headings", group="more", doc="agents look along their heading, not along the first axis")
    penalty = positive(1e-2, (1e-4, 1e4), label="penalty", symbol="α", unit="m²", group="more", doc="of the ridge")
    units = size(64, (1, 512), (8, 128), label="units", group="more", when=TRAINING, doc="of each LSTM")
    batch = size(8, (1, 256), (2, 32), label="batch", unit="scenes", group="more", when=TRAINING,
                 doc="of a training step, all their agents")
    learning_rate = positive(1e-2, (1e-4, 1e-1), label="learning rate", group="more", when=TRAINING,
                             doc="of Adam; it falls to 0")
    agents = size(20, (2, 40), (4, 40), label="agents", group="more", doc="on each road, where it is simulated")
    recorded = size(32, (4, 240), (20, 100), label="frames", group="more", doc="of each road, where it is simulated")
    warmup = Whole(0, bounds=(0, 240), soft=(0, 60), label="warm-up", unit="frames", group="more", traced=False,
                   doc="half seconds that a simulated road drives before it is recorded; at first it is a platoon")
    slow = _share("slow")
    fast = _share("fast")

    dims: ClassVar = dict(DIMS)
    results = RESULTS
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """All roads."""
        return variables.inputs(data)

    def load(self) -> Data:
        """The data; shares that are none are told by their names here."""
        if self.slow + self.fast > 1:
            raise ValueError(f"slow = {self.slow:g} and fast = {self.fast:g} are more than all drivers: lower one of them")
        return super().load()

    def _size(self, data: Data) -> tuple[int, int, int]:
        shape = data.arrays["positions"].shape
        return shape[0] if len(shape) == 4 else 1, -(-shape[-3] // self.every), shape[-2]

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Roads and eigenvectors that there are."""
        roads, _, n = self._size(data)
        tests = max(1, roads // 4)
        return {**super().limits(data), "road": Limit(0, tests - 1, f"since {tests} of the roads test"),
                "k": Limit(1, n, f"since there are {n} agents")}

    def check(self, data: Data) -> None:
        """Frames for windows to learn from and to test on, streams that were trained, and graphs that can be kept."""
        super().check(data)
        roads, frames, n = self._size(data)
        variables.tested(roads, frames, self.observed, self.predicted)
        if self.forecast in survey.MODELS[2:] and not self.train_steps:
            raise ValueError(
                f"forecast = {self.forecast!r} is not allowed with train_steps = 0, which trains no stream: set train_steps "
                "above 0, or choose 'ridge'"
            )
        if frames * n * n > _ENTRIES or roads * frames * n * n > _WHOLE:
            raise ValueError(
                f"{data.name} has {roads} x {frames} frames of {n} agents, whose graphs are too many: cut it into shorter "
                "parts with fewer agents, or take every second frame"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Graphs road by road, forecasts, labels; the streams are trained only where steps are asked for."""
        return variables.run(inputs, p, loop)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and times in seconds."""
        dt, k = float(inputs.dt) * p.every, p.k
        return {
            "model": list(survey.MODELS), "step": np.arange(1, p.predicted + 1), "axis": ["x", "y"],
            "frame": dt * np.arange(len(output["theta"])),
            "moment": dt * np.arange(p.observed - 1, len(output["theta"]) - p.predicted), "kind": list(KINDS),
            "vector": [f"large {i + 1}" for i in range(k)] + [f"small {i + 1}" for i in range(k)], "pair": list(PAIRS),
            "part": ["along", "across", "correlation"], "class": list(behaviour.CLASSES), "truth": list(behaviour.CLASSES),
            "told": list(behaviour.CLASSES),
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Nobody near anybody, all neutral, too few windows."""
        if float(result.weight.max()) == 0:
            return "Nobody is within the radius of anybody: enlarge it."
        if float(result.neutral) > 0.97:
            return f"The rule calls {float(result.neutral):.0%} neutral: lower the threshold, or enlarge the scale."
        if float(result.tested) < 40:
            return f"Only {int(result.tested)} windows test: errors are rough; bring a longer recording."
        if sweeping.parameters(result)["train_steps"] and float(result.ade_one) > float(result.ade_ridge):
            return "The streams are not yet as good as the ridge: train longer."
        return ""

"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.roads import KIND
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole, sweeping
from lab.studies.traffic import road_comparison
from lab.studies.vocabulary import TRAINING, positive, size
from lab.traffic.behaviour import CLASSES

from .claims import CLAIMS, LATER, PULLED, REPORTED, SECTION, STREAMS, WIDE
from .experiment import KINDS, PAIRS, Inputs, compute, inputs_of, tested
from .pictures import PICTURES
from .story import STORY

_ENTRIES = 1_500_000  # of the graphs of one road
_WHOLE = 30_000_000  # of the graphs of all roads
_real, _steps = partial(Real, bounds=(0, None)), partial(Whole, 0, traced=False)
_share = partial(Real, 0.25, bounds=(0, 1), soft=(0, 0.5), traced=False)
_meter, _choice = partial(positive, unit="m"), partial(Choice, group="more")
_more, _frames = partial(size, group="more"), partial(size, unit="frames", group="more")
_learns = partial(size, group="more", when=TRAINING)


class RoadAgents(Study):
    """Traffic graphs: labels of behavior from degrees, clusters from spectra, and forecasts of positions."""

    slug = "road-agents"
    title = "Road agents: behavior and forecasts from traffic graphs"
    field = "Traffic"
    paper = Paper(
        "Chandra, Guan, Panuganti, Mittal, Bhattacharya, Bera, Manocha",
        "Forecasting Trajectory and Behavior of Road-Agents Using Spectral Clustering in Graph-LSTMs",
        "IEEE RA-L",
        2020,
        "https://arxiv.org/abs/1912.01118",
    )
    text = "road_agents.md"
    kind = KIND
    data_options = ("seed", "agents", "recorded", "warmup", "slow", "fast")

    data = DataSource("highway-drivers", doc="trajectories: a named set, or yours; columns frame, agent, x, y")
    radius = _meter(10.0, (3, 50), label="radius", symbol="r", doc="distance within which agents are neighbors")
    scale = _meter(1.0, (0.5, 20), label="scale", symbol="s", doc="distance over which an edge weight falls by e")
    threshold = _real(
        5e-4,
        soft=(1e-4, 1e-1),
        scale="log",
        label="threshold",
        symbol="λ",
        unit="1/s",
        doc="rate of the degree above which a label is over; below -λ it is under",
    )
    forecast = Choice(
        list(road_comparison.MODELS),
        default="ridge",
        label="forecast",
        doc="forecast that is drawn and that predicts labels; streams must be trained",
    )
    road = Whole(0, bounds=(0, 100), soft=(0, 3), label="road", sweepable=False, doc="test road that is shown")
    train_steps = _steps(
        bounds=(0, 20_000), soft=(0, 1000), label="training steps", doc="of the streams; 0: none; 800 take a minute"
    )
    b1 = _real(
        0.1, soft=(0, 1), label="regularization", symbol="b₁", unit="1/m", when=TRAINING, doc="pull to cluster means"
    )
    neighbours = _choice(["radius", "nearest"], label="neighbors", doc="all within the radius, or the nearest")
    nearest = _more(4, (1, 40), (1, 10), label="nearest", when={"neighbours": ("nearest",)}, doc="per agent")
    edges = _choice(["instant", "cumulative"], label="edges", doc="of each frame, or the largest weights in a window")
    k = _more(3, (1, 64), (1, 6), label="eigenvectors", symbol="k", doc="number at each end, and of clusters")
    observed = _frames(6, (2, 60), (2, 20), label="observed", doc="number of frames before a forecast")
    predicted = _frames(10, (1, 100), (2, 20), label="predicted", doc="number of predicted frames")
    every = _frames(1, (1, 50), (1, 10), label="every", doc="distance between the frames in use: 5 of 10 Hz is 2 Hz")
    turn = Switch(False, label="along headings", group="more", doc="on: the first axis of an agent is its heading")
    penalty = positive(1e-2, (1e-4, 1e4), label="penalty", symbol="α", unit="m²", group="more", doc="of the ridge")
    units = _learns(64, (1, 512), (8, 128), label="units", doc="units of each LSTM")
    batch = _learns(8, (1, 256), (2, 32), label="batch", unit="scenes", doc="scenes in a training step")
    learning_rate = positive(
        1e-2, (1e-4, 1e-1), label="learning rate", group="more", when=TRAINING, doc="initial rate of Adam; decays to 0"
    )
    agents = _more(20, (2, 40), (4, 40), label="agents", doc="agents on each simulated road")
    recorded = _more(32, (4, 240), (20, 100), label="frames", doc="frames of each simulated road")
    warmup = _steps(
        bounds=(0, 240), soft=(0, 60), label="warm-up", unit="frames", group="more", doc="frames before recording"
    )
    slow = _share(label="slow drivers", doc="fraction of slow drivers on a simulated road")
    fast = _share(label="fast drivers", doc="fraction of fast drivers on a simulated road")

    dims: ClassVar = {
        **dict.fromkeys(("frame", "moment"), ("time", "s")),
        "model": ("forecast", ""),
        "step": ("steps ahead", "frames"),
        "other": ("agent", ""),
        "axis": ("coordinate", "m"),
        "told": ("predicted", ""),
        "train_step": ("training step", ""),
    }
    presets = (
        Preset("later", "After half a minute", "Fast drivers are ahead; many agents have no neighbors.", LATER),
        Preset("wide", "A graph with a large radius", "Weights decay over 10 m; neighbors within 50 m.", WIDE),
        Preset("nearest", "Four nearest neighbors", "The other graph of the released code.", {"neighbours": "nearest"}),
        Preset("section", "A section of the road", "Agents enter and leave; absent agents have no edges.", SECTION),
        Preset("streams", "Two streams of LSTMs", "About a minute of training. Compare with the ridge.", STREAMS),
        Preset("pulled", "Strong regularization", "Predictions shrink to the means of their clusters.", PULLED),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The roads of the data."""
        return inputs_of(data)

    def load(self) -> Data:
        """The data; reject fractions of drivers that exceed 1."""
        if self.slow + self.fast > 1:
            raise ValueError(f"slow = {self.slow:g} and fast = {self.fast:g} are more than all drivers: lower one")
        return super().load()

    def _size(self, data: Data) -> tuple[int, int, int]:
        shape = data.arrays["positions"].shape
        return shape[0] if len(shape) == 4 else 1, -(-shape[-3] // self.every), shape[-2]

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Limit the road and the number of eigenvectors."""
        roads, _, n = self._size(data)
        tests = max(1, roads // 4)
        road = Limit(0, tests - 1, f"since {tests} of the roads are for testing")
        return {**super().limits(data), "road": road, "k": Limit(1, n, f"since there are {n} agents")}

    def check(self, data: Data) -> None:
        """Require frames for training and testing, trained streams if one is drawn, and graphs that fit into memory."""
        super().check(data)
        roads, frames, n = self._size(data)
        tested(roads, frames, self.observed, self.predicted)
        if self.forecast in road_comparison.MODELS[2:] and not self.train_steps:
            text = f"forecast = {self.forecast!r} is not allowed with train_steps = 0, which trains no stream"
            raise ValueError(f"{text}: set train_steps above 0, or choose 'ridge'")
        if frames * n * n > _ENTRIES or roads * frames * n * n > _WHOLE:
            text = f"{data.name} has {roads} x {frames} frames of {n} agents, whose graphs are too many"
            raise ValueError(f"{text}: cut it into shorter parts with fewer agents, or use every second frame")

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names, and times in seconds."""
        dt, k, frames = float(inputs.dt) * p.every, range(1, p.k + 1), len(output["theta"])
        times = {"frame": dt * np.arange(frames), "moment": dt * np.arange(p.observed - 1, frames - p.predicted)}
        return times | {
            "model": list(road_comparison.MODELS),
            "step": np.arange(1, p.predicted + 1),
            "axis": ["x", "y"],
            "kind": list(KINDS),
            "vector": [f"{end} {i}" for end in ("large", "small") for i in k],
            "pair": list(PAIRS),
            "part": ["along", "across", "correlation"],
            **{name: list(CLASSES) for name in ("truth", "told")},
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of a graph without edges, of neutral labels, of few windows, and of streams that need more training."""
        if float(result.weight.max()) == 0:
            return "No agent has a neighbor: enlarge the radius."
        if float(result.neutral) > 0.97:
            return f"The rule labels {float(result.neutral):.0%} neutral: lower the threshold, or enlarge the scale."
        if float(result.tested) < 40:
            return f"Only {int(result.tested)} windows are for testing, so errors are rough: use a longer recording."
        if sweeping.parameters(result)["train_steps"] and float(result.ade_one) > float(result.ade_ridge):
            return "The streams are not yet as good as the ridge: train longer."
        return ""

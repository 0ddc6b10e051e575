"""Clustering without labels by optimal transport, when the classes are of very different sizes."""

from lab.clustering.labels import Judged, Labels, judge, label
from lab.clustering.semantic import Similarity, similarity
from lab.clustering.semantic import objective as sp2ot_objective
from lab.clustering.semantic import solve as sp2ot
from lab.clustering.training import METHODS, Schedule, Settings, Training, train
from lab.parts import parts

__all__ = [
    "METHODS",
    "Judged",
    "Labels",
    "Schedule",
    "Settings",
    "Similarity",
    "Training",
    "judge",
    "label",
    "similarity",
    "sp2ot",
    "sp2ot_objective",
    "train",
]

__getattr__, __dir__ = parts(__name__)

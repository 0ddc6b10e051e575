"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

_BLOBS = {"data": "long-tailed-blobs"}
_TRAINED = {"epochs": 40}

PRESETS = (
    Preset(
        "confident-first", "The confident samples first",
        "A third of the digits is labelled from the clusters of k-means: move rho and watch the rest join.", {},
    ),
    Preset(
        "balanced", "Clusters of equal size",
        "The same digits, all labelled, in ten clusters of one size: the frequent digits are cut to pieces.",
        {"algorithm": "balanced"},
    ),
    Preset(
        "blobs", "Five blobs in the plane",
        "Where the curriculum can be seen: labels start in the middle of each blob.", _BLOBS | {"rho": 0.3},
    ),
    Preset(
        "neighbours", "Neighbours agree, and the objective rises",
        "The semantic term with the authors' similarity, which is indefinite: the objective need not fall.",
        _BLOBS | {"algorithm": "sp2ot", "rho": 0.8, "strength": 2.0},
    ),
    Preset(
        "descent", "A similarity that descends", "The same with the diagonal that makes it positive: it only falls.",
        _BLOBS | {"algorithm": "sp2ot", "rho": 0.8, "strength": 2.0, "psd_shift": True},
    ),
    Preset(
        "trained", "End to end",
        "Forty epochs on growing pseudo-labels: how accuracy, precision and the labelled share go together.",
        _TRAINED | {"rho": 1.0},
    ),
    Preset(
        "trained-balanced", "End to end, equal sizes", "The same training on labels of clusters of equal size.",
        _TRAINED | {"algorithm": "balanced", "rho": 1.0},
    ),
)

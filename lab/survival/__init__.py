"""Survival prediction from bags of patches: pooling, losses, statistics of censored times, training."""

from lab.parts import parts
from lab.survival.bags import Bags, bags
from lab.survival.losses import cox, nll, ranking
from lab.survival.pooling import AttentionPooling, MeanPooling, OTPooling, Pooled, Transport
from lab.survival.statistics import cindex, kaplan_meier, log_rank
from lab.survival.training import LOSSES, POOLINGS, Model, Scores, Settings, Training, model, score, train

__all__ = [
    "LOSSES", "POOLINGS", "AttentionPooling", "Bags", "MeanPooling", "Model", "OTPooling", "Pooled", "Scores", "Settings",
    "Training", "Transport", "bags", "cindex", "cox", "kaplan_meier", "log_rank", "model", "nll", "ranking", "score", "train",
]  # fmt: skip

__getattr__, __dir__ = parts(__name__)

"""Survival prediction from bags of patches: pooling, losses, statistics of censored times, training."""

from lab.parts import parts
from lab.survival.bags import Bags, bags
from lab.survival.folds import Evaluation, Folds, Parts, evaluate
from lab.survival.losses import cox, nll, ranking
from lab.survival.pooling import AttentionPooling, MeanPooling, OTPooling, Pooled, Transport
from lab.survival.scoring import BagPlan, Scores, bag_plan, mean_by_kind, score
from lab.survival.statistics import cindex, kaplan_meier, log_rank
from lab.survival.training import LOSSES, POOLINGS, Model, Settings, Training, model, train

__all__ = [
    "LOSSES",
    "POOLINGS",
    "AttentionPooling",
    "BagPlan",
    "Bags",
    "Evaluation",
    "Folds",
    "MeanPooling",
    "Model",
    "OTPooling",
    "Parts",
    "Pooled",
    "Scores",
    "Settings",
    "Training",
    "Transport",
    "bag_plan",
    "bags",
    "cindex",
    "cox",
    "evaluate",
    "kaplan_meier",
    "log_rank",
    "mean_by_kind",
    "model",
    "nll",
    "ranking",
    "score",
    "train",
]

__getattr__, __dir__ = parts(__name__)

"""What many studies say: parameters, parts with their results and pictures, measures for claims."""

from .measures import Measure, apart, interval, largest, least, mean, number, of, rise
from .parameters import SOME, TRAINING, positive, size

__all__ = [
    "SOME",
    "TRAINING",
    "Measure",
    "apart",
    "interval",
    "largest",
    "least",
    "mean",
    "number",
    "of",
    "positive",
    "rise",
    "size",
]

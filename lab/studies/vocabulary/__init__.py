"""What many studies say: parameters, parts with their results and pictures, measures for claims."""

from .measures import Measure, apart, interval, largest, least, mean, number, of, rise
from .parameters import positive, size

__all__ = ["Measure", "apart", "interval", "largest", "least", "mean", "number", "of", "positive", "rise", "size"]

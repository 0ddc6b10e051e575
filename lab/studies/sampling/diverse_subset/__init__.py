"""A diverse subset of the rows of a data set, by a k-DPP, as a study."""

from .study import DiverseSubset

__all__ = ["DiverseSubset"]

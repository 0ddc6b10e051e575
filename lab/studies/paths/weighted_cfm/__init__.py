"""Weighted conditional flow matching (Calvo-Ordonez et al., 2025) as a study."""

from .study import WeightedCFM

__all__ = ["WeightedCFM"]

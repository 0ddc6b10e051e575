"""Weighted least squares on the points of determinantal processes (Nouy and Michel, 2023) as a study."""

from .study import DPPLeastSquares

__all__ = ["DPPLeastSquares"]

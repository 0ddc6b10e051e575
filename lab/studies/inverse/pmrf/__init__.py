"""Posterior-mean rectified flow (Ohayon, Michaeli, Elad, ICLR 2025) as a study."""

from .study import PMRF

__all__ = ["PMRF"]

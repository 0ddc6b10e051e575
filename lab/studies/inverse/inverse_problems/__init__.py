"""Solvers of inverse problems with a denoiser as the prior, side by side on one measurement, as a study."""

from .study import InverseProblems

__all__ = ["InverseProblems"]

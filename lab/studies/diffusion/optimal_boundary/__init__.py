"""Optimal boundary conditions of diffusion flows (Ma, Yang, Yang, Fu, Liu, ICLR 2024) as a study."""

from .study import OptimalBoundary

__all__ = ["OptimalBoundary"]

"""Kinetic-optimal Gaussian probability paths (Shaul, Chen, Nickel, Le, Lipman, ICML 2023) as a study."""

from .study import KineticOptimalPaths

__all__ = ["KineticOptimalPaths"]

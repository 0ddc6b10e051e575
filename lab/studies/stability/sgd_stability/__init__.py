"""Dynamical stability of SGD (Wu and Su, 2023) as a study: minima at which SGD is stable, by learning rate and batch size."""

from .study import SGDStability

__all__ = ["SGDStability"]

"""Regularized neural differential equations (Pal, Ma, Shah, Rackauckas, ICML 2021) as a study: a solver's errors as a loss."""

from .study import RegularizedNDEs

__all__ = ["RegularizedNDEs"]

"""Survival prediction from bags of patches by transport (Ren et al., MICCAI 2025) as a study."""

from .study import OTSurv

__all__ = ["OTSurv"]

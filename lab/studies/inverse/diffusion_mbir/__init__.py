"""Volumes from a diffusion prior on slices (DiffusionMBIR, Chung et al., CVPR 2023) as a study."""

from .study import DiffusionMBIR

__all__ = ["DiffusionMBIR"]

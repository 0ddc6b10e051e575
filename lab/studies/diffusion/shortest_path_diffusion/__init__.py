"""Shortest-path diffusion (Das et al., ICML 2023) as a study."""

from .study import ShortestPathDiffusion

__all__ = ["ShortestPathDiffusion"]

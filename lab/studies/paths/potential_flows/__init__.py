"""Latent traversals as potential flows (Song, Keller, Sebe, Welling, ICML 2023) as a study."""

from .study import PotentialFlows

__all__ = ["PotentialFlows"]

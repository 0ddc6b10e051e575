"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji, Ermon, 2025) as a study."""

from .study import PrinciplesOfDiffusion

__all__ = ["PrinciplesOfDiffusion"]

"""Projektor (Kang, Just, Sahu, Jia, NeurIPS 2023) as a study: predict the score of a mixture of sources from two pilots."""

from .study import Projektor

__all__ = ["Projektor"]

"""FLAIR (Erbach et al., NeurIPS 2025) as a study."""

from .study import FLAIR

__all__ = ["FLAIR"]

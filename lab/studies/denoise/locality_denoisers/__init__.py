"""Locality of image denoisers (Lukoianov, Yuan, Solomon, Sitzmann, NeurIPS 2025) as a study."""

from .study import LocalityDenoisers

__all__ = ["LocalityDenoisers"]

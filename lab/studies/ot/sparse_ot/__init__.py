"""Sparsity-constrained optimal transport (Liu, Puigcerver, Blondel, ICLR 2023) as a study."""

from .study import SparseOT

__all__ = ["SparseOT"]

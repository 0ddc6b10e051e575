"""Sinkhorn-Newton-Sparse (Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying, ICLR 2024) as a study."""

from .study import SinkhornNewtonSparse

__all__ = ["SinkhornNewtonSparse"]

"""Progressive partial transport for clusters of uneven size (Zhang, Ren, He, ICLR 2024 and 2024) as a study."""

from .study import SP2OT

__all__ = ["SP2OT"]

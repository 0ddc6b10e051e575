"""Rectified flow (Liu, Gong, Liu, ICLR 2023) as a study."""

from .study import RectifiedFlow

__all__ = ["RectifiedFlow"]

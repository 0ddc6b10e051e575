"""Shape correspondence by functional maps and sliced transport (Le, Nguyen, Sun, Ho, Xie, CVPR 2024) as a study."""

from .study import ShapeCorrespondence

__all__ = ["ShapeCorrespondence"]

"""Three points in the plane, of which the miscibility is known, in the kind of data ``samples``."""

from typing import Any

import numpy as np

from lab.datasets.registry import register

POINTS = np.array([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]])


@register(
    name="three-points",
    title="Three points",
    kind="samples",
    summary="Three points in the plane, each standing for an image: what noise belongs to which can be seen.",
)
def three_points() -> dict[str, Any]:
    return {"arrays": {"x": POINTS.copy()}, "axes": {"x": ("x₁", "x₂")}}

"""What is worth trying, as parameter values."""

from typing import Any

from lab.studies.contract import Preset

LEARNED: dict[str, Any] = {"data": "planted-map", "train_steps": 400, "batch": 128}

PRESETS = (
    Preset("turned", "One image, many maps", "The Gaussian map, turned by 60 degrees: the same image, at a higher cost.", {}),
    Preset("gaussian", "The Gaussian map", "Not turned it has no gap: a gradient of a convex function.", {"angle": 0.0}),
    Preset("learned", "A map that is known (Sec. 5)", "A network finds the gradient of a convex function from samples alone.",
           LEARNED),
    Preset("without", "Without the gap", "The same network, by the divergence alone: the image is right, the map is another.",
           LEARNED | {"strength": 0.0}),
    Preset("convex", "A convex network", "The gradient of an input-convex network, learned by its dual: it has no gap.",
           LEARNED | {"form": "convex", "learning_rate": 0.03}),
    Preset("distance", "Lines that cross less", "The distance as cost: at the optimum no lines cross.",
           {"cost": "distance", "train_steps": 600, "batch": 128, "strength": 2.0, "form": "residual"}),
    Preset("sphere", "On the sphere (Fig. 4)", "The geodesic cost, between two patches of the sphere.",
           {"data": "patches-of-the-sphere", "cost": "geodesic", "train_steps": 400, "batch": 128, "form": "sphere"}),
)

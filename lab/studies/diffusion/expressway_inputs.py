"""Prepare the distribution, modes and plane of a data set for the comparison of expressways."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lab.diffusion import modes
from lab.diffusion.predictions import Exact
from lab.numerics.host import placed
from lab.numerics.mixtures import Mixture
from lab.numerics.principal import principal_axes, principal_plane
from lab.paths import laws
from lab.studies.diffusion.expressway_comparison import Law

_MOST = 16  # dimensions; data of more are looked at on their principal axes, unless their law is known
_FEW = 32  # components that are modes; more of them trace a curve
_KERNELS = 1000  # points of a kernel estimate
_MIXING = 0.08  # noise of the classifier of a known mixture, in radii of the data


def prepared(arrays: Mapping[str, np.ndarray], image: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Of data of kind samples, as arrays by name.

    Args:
        image: height and width, where the points are images of grey values.

    The score is that of the law where it is known, else of a Gaussian for each class, else of a kernel estimate (Scott's rule).
    """
    given = {name: np.asarray(v, float if np.asarray(v).dtype.kind == "f" else None) for name, v in arrays.items()}
    # what is stored are the first points: of data that come in order, by class say, they would be some of the law only
    order = np.random.default_rng(0).permutation(len(given["x"]))
    given |= {name: given[name][order] for name in ("x", "classes") if name in given}
    x, made = given["x"], {}
    known = laws.is_known(given)
    if x.shape[1] > _MOST and not known:
        mean, axes = x.mean(axis=0), principal_axes(x, _MOST)
        scale = float(((x - mean) @ axes).std()) or 1.0
        if image is not None and len(image) == 2 and np.prod(image) == x.shape[1]:
            made["lift"] = {"mean": mean, "axes": axes, "scale": scale, "image": tuple(map(int, image))}
        x = (x - mean) @ axes / scale
    d = x.shape[1]
    radius = float(np.sqrt(x.var(axis=0).sum())) or 1.0
    plane = principal_plane(x[:4000])
    made |= {
        "x": x,
        "radius": radius,
        "variance": radius**2 / d,
        "off_radius": modes.radius_squared(d),
        "centre": placed(plane.centre),
        "axes": placed(plane.axes),
        "law": _law(given if known else given | {"x": x}, radius),
    }
    return made


def most_stored(arrays: Mapping[str, np.ndarray]) -> int:
    """How many of the data can be stored: a fifth is left to compare with, where their law is not known."""
    n = len(arrays["x"])
    return n if laws.is_known(arrays) else max(2, n - max(2, n // 5))


def _law(given: Mapping[str, np.ndarray], radius: float) -> Law:
    target = laws.target_of(given)
    if isinstance(target, Mixture):
        several = 2 <= len(target.weights) <= _FEW
        if not several:
            return Law(Exact(target), target, None, None, None)
        return Law(Exact(target), target, modes.Posterior(target, _MIXING * radius), target, target.weights)
    if isinstance(target, laws.Boxes):
        return Law(Exact(target), target, None, None, None)
    x = given["x"]
    if "classes" in given and len(np.unique(given["classes"])) > 1:
        classes = np.unique(given["classes"], return_inverse=True)[1]
        smooth = modes.of_classes(x, classes)
        return Law(Exact(smooth), None, modes.classifier(x, classes), smooth, smooth.weights)
    kernels = x[:_KERNELS]
    width = len(kernels) ** (-1 / (x.shape[1] + 4)) * radius / np.sqrt(x.shape[1])
    few = len(kernels)
    return Law(Exact(Mixture(np.full(few, 1 / few), kernels, np.full(few, width**2))), None, None, None, None)

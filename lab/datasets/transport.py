"""The named sets of kind ``transport``. The first is the default."""

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np

from . import packaged
from .colours import Palette, palette
from .registry import register

Fields = dict[str, Any]

_SEED = (0, (0, 2**32 - 1))
_COLOURS = (64, (2, 1024))
_DIGIT = (0, 9)
_PICTURES = ("astronaut", "coffee", "chelsea", "rocket", "china", "flower")
_SHEET = "Liu, Puigcerver and Blondel, Sparsity-Constrained Optimal Transport, ICLR 2023"


def planar(x: np.ndarray, y: np.ndarray) -> Fields:
    """``x_2d`` and ``y_2d``: both clouds on the first two principal axes of their union; empty up to two dimensions.

    Rounded to 6 digits: they are drawn, not computed with, and the content hash should not hang on the last bit of a
    linear algebra library.
    """
    from lab.numerics.principal import principal_plane

    if x.shape[1] <= 2:
        return {}
    both = np.concatenate([x, y]).astype(float)
    plane = principal_plane(both)
    scale = np.abs(both - plane.centre).max() or 1.0
    flat = np.round(plane.project(both) / scale, 6) * scale
    return {"x_2d": flat[: len(x)], "y_2d": flat[len(x) :]}


def points(x: np.ndarray, y: np.ndarray, a: np.ndarray | None = None, b: np.ndarray | None = None) -> Fields:
    """The arrays of two clouds, with uniform masses of total 1 unless given."""
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    return {"x": x, "y": y, "a": a, "b": b, **planar(x, y)}


def colour_transfer(source: Palette, target: Palette) -> tuple[Fields, Fields]:
    """Arrays and axes of the transport between the colours of two pictures."""
    arrays = points(source.colours, target.colours, source.weights, target.weights)
    arrays |= {"source_image": source.image, "source_label": source.label}
    arrays |= {"target_image": target.image, "target_label": target.label}
    return arrays, {"x": ("red", "green", "blue"), "unit": "1/256"}


# -- colours of photographs --------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _palette_of(key: str, n: int, seed: int) -> Palette:
    from PIL import Image

    return palette(np.asarray(Image.open(BytesIO(packaged.content(key))).convert("RGB")), n, seed)


def _photographs(source: str, target: str, n: int, seed: int) -> Fields:
    files = [packaged.FILES[key] for key in dict.fromkeys((source, target))]
    arrays, axes = colour_transfer(_palette_of(source, n, seed), _palette_of(target, n, seed))
    return {
        "arrays": arrays,
        "axes": axes,
        "title": f"Colours of {source} to colours of {target}",
        "source": "; ".join(file.source for file in files),
        "licence": "; ".join(dict.fromkeys(file.licence for file in files)),
    }


_PHOTOGRAPHS = "RGB colours by k-means, weighted by how many pixels have them; squared distances of RGB/256."

register(
    name="photographs",
    title="Colours of two photographs",
    summary=_PHOTOGRAPHS,
    source="scikit-image and scikit-learn",
    licence="public domain, CC0 or CC BY 2.0, by picture",
    real=True,
    options={"source": ("astronaut", _PICTURES), "target": ("coffee", _PICTURES), "n": _COLOURS, "seed": _SEED},
    sizes={"d": 3},
    raw=packaged.hashes(*_PICTURES),
)(_photographs)


def _pair(source: str, target: str) -> None:
    files = [packaged.FILES[key] for key in (source, target)]

    @register(
        name=f"photographs-{source}-{target}",
        title=f"Colours of {source} to colours of {target}",
        summary=_PHOTOGRAPHS,
        source="; ".join(file.source for file in files),
        licence="; ".join(dict.fromkeys(file.licence for file in files)),
        real=True,
        options={"n": _COLOURS, "seed": _SEED},
        sizes={"d": 3},
        raw=packaged.hashes(source, target),
    )
    def build(n: int, seed: int) -> Fields:
        return _photographs(source, target, n, seed)


_pair("china", "flower")
_pair("chelsea", "rocket")


# -- digits ------------------------------------------------------------------------------------------------------------


def _drawn(key: str, digit: int, seed: int, side: int) -> np.ndarray:
    """The images of one class in the random order of one side (0 source, 1 target): (count, pixels) uint8."""
    images, classes = packaged.labelled_images(key)
    mine = images[classes == digit]
    order = np.random.default_rng([seed, digit]).permutation(len(mine))
    return mine[order if side == 0 else order[::-1]]  # one class twice: disjoint as long as there are enough


def _histogram(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Positions (count, 2) with the side of the image as unit, masses (count,), and how many pixels were empty."""
    side = int(np.sqrt(image.size))
    row, column = np.divmod(np.flatnonzero(image), side)
    mass = image[image > 0].astype(float)
    return np.stack([column, side - 1 - row], axis=1) / (side - 1), mass / mass.sum(), int((image == 0).sum())


def _two_histograms(key: str, source: int, target: int, seed: int) -> Fields:
    images = [_drawn(key, digit, seed, side) for side, digit in enumerate((source, target))]
    (x, a, empty), (y, b, more) = (_histogram(drawn[0]) for drawn in images)
    return {
        "arrays": points(x, y, a, b),
        "axes": {"x": ("column", "row"), "unit": "image side"},
        "title": f"A {source} to a {target}, pixel by pixel",
        "notices": (f"{empty} pixels of the source and {more} of the target have no mass and are left out",),
    }


def _two_clouds(key: str, source: int, target: int, n: int, seed: int, top: int) -> Fields:
    images = [_drawn(key, digit, seed, side) for side, digit in enumerate((source, target))]
    x, y = (drawn[:n] / top for drawn in images)
    side = int(np.sqrt(x.shape[1]))
    shared = max(0, 2 * n - len(images[0])) if source == target else 0
    return {
        "arrays": points(x, y),
        "axes": {"unit": "full ink", "image": (side, side)},
        "title": f"{n} images of {source} to {n} images of {target}",
        "notices": (f"both sides share {shared} images",) if shared else (),
    }


_CLOUDS = "Images as points, one coordinate a pixel, all of one mass; pictures show the first two principal components."
_HISTOGRAMS = "Two images as distributions of ink over the pixels; squared distances with the image side as unit."


def _digits(key: str, small: str, top: int, most: int, names: tuple[str, str]) -> None:
    origin = packaged.facts(key)

    def histograms(source: int, target: int, seed: int) -> Fields:
        return _two_histograms(key, source, target, seed)

    def clouds(source: int, target: int, n: int, seed: int) -> Fields:
        return _two_clouds(key, source, target, n, seed, top)

    register(
        name=names[0],
        title=f"Two handwritten digits, {small}",
        summary=_HISTOGRAMS,
        options={"source": (2, _DIGIT), "target": (7, _DIGIT), "seed": _SEED},
        sizes={"d": 2},
        **origin,
    )(histograms)
    register(
        name=names[1],
        title=f"Two classes of handwritten digits, {small}",
        summary=_CLOUDS,
        options={"source": (3, _DIGIT), "target": (8, _DIGIT), "n": (64, (2, most)), "seed": _SEED},
        sizes={"m": "n", "n": "n", "d": 64 if key == "digits" else 784},
        **origin,
    )(clouds)


_digits("digits", "8 x 8", 16, 174, ("digits-8x8", "digit-clouds"))
_digits("mnist", "28 x 28", 255, 500, ("mnist-pair", "mnist-clouds"))


_BACKGROUND = 0.01  # of the brightest pixel, everywhere: every mass is positive


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """A square image at a smaller side, each pixel the mean of the area that it covers, in whole grey levels."""
    edges = np.linspace(0, len(image), side + 1)
    pixel = np.arange(len(image))
    cover = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, None)
    return np.round(cover @ image @ cover.T / (edges[1] - edges[0]) ** 2)


def _two_images(key: str, source: int, target: int, side: int, seed: int) -> Fields:
    images = [_drawn(key, digit, seed, s) for s, digit in enumerate((source, target))]
    whole = int(np.sqrt(images[0].shape[1]))
    a, b = (_shrunk(drawn[0].reshape(whole, whole).astype(float), side) for drawn in images)
    row, column = np.divmod(np.arange(side * side), side)
    grid = np.stack([column, side - 1 - row], axis=1) / (side - 1)
    a, b = ((ink + _BACKGROUND * ink.max()).ravel() for ink in (a, b))
    return {
        "arrays": points(grid, grid, a / a.sum(), b / b.sum()),
        "axes": {"x": ("column", "row"), "unit": "image side"},
        "title": f"A {source} to a {target}, all {side} x {side} pixels",
        "notices": (f"every pixel has {_BACKGROUND:.0%} of the brightest one's mass more",),
    }


def _pixels(name: str, key: str, most: int, side: int) -> None:
    @register(
        name=name,
        title=f"Two handwritten digits with their background, {most} x {most} or smaller",
        summary="Two images as distributions of ink over all pixels, a little everywhere; squared distances.",
        options={"source": (2, _DIGIT), "target": (7, _DIGIT), "side": (side, (2, most)), "seed": _SEED},
        sizes={"d": 2},
        **packaged.facts(key),
    )
    def build(source: int, target: int, side: int, seed: int) -> Fields:
        return _two_images(key, source, target, side, seed)


_pixels("mnist-pixels", "mnist", 28, 14)
_pixels("digits-pixels", "digits", 8, 8)


# -- synthetic, with known truth ---------------------------------------------------------------------------------------


def _bump(x: np.ndarray, mean: float, width: float) -> np.ndarray:
    mass = np.exp(-((x - mean) ** 2) / (2 * width**2))
    return mass / mass.sum()


def monotone_cost(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> float:
    """Exact optimal cost between histograms on ordered bins of a line, for a convex cost: mass keeps its order."""
    edges_a, edges_b = np.cumsum(a), np.cumsum(b)
    edges = np.sort(np.concatenate([edges_a, edges_b]))
    mass = np.diff(edges, prepend=0.0)
    middle = edges - mass / 2
    i = np.minimum(np.searchsorted(edges_a, middle), len(a) - 1)
    j = np.minimum(np.searchsorted(edges_b, middle), len(b) - 1)
    return float(mass @ cost[i, j])


def _bumps(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> Fields:
    cost = (x[:, None] - x[None, :]) ** 2 / (len(x) - 1) ** 2
    optimum = monotone_cost(a, b, cost)
    return {
        "arrays": {"x": x[:, None], "y": x[:, None], "a": a, "b": b, "cost": cost},
        "axes": {"x": ("bin",), "unit": "bin"},
        "truth": {"lp": optimum, "value_k1": optimum + float(b @ b) / 2},
    }


_BINS = {"n": (32, (4, 1024))}
_OWN = {"licence": "no data, only a formula", "real": False}


@register(
    name="bump-to-bump",
    title="One bump to another, on a line",
    summary="Gaussian histograms N(10, 4) and N(16, 5) on 32 bins, or scaled to n of them; squared distances over the "
    "squared length.",
    source=f"{_SHEET}, 1-D figure",
    options=_BINS,
    has=("cost", "x", "y", "a", "b"),
    sizes={"m": "n", "n": "n", "d": 1},
    **_OWN,
)
def _bump_to_bump(n: int) -> Fields:
    x, unit = np.arange(n, dtype=float), (n - 1) / 31
    fields = _bumps(_bump(x, 10 * unit, 4 * unit), _bump(x, 16 * unit, 5 * unit), x)
    if n == 32:
        fields["truth"]["value_quadratic"] = 0.0457701  # independent conic solver, all digits that are known
    return fields


@register(
    name="one-bump-to-two",
    title="One bump to two, on a line",
    summary="Gaussian histograms N(16, 5) and half N(8, 5), half N(24, 5) on 32 bins, or scaled to n of them.",
    source=f"{_SHEET}, 1-D figure",
    options=_BINS,
    has=("cost", "x", "y", "a", "b"),
    sizes={"m": "n", "n": "n", "d": 1},
    **_OWN,
)
def _one_bump_to_two(n: int) -> Fields:
    x, unit = np.arange(n, dtype=float), (n - 1) / 31
    two = (_bump(x, 8 * unit, 5 * unit) + _bump(x, 24 * unit, 5 * unit)) / 2
    return _bumps(_bump(x, 16 * unit, 5 * unit), two, x)


def _assignment_cost(cost: np.ndarray) -> float:
    """Exact optimal cost between uniform masses of total 1: an assignment (Birkhoff and von Neumann)."""
    from scipy.optimize import linear_sum_assignment

    return float(cost[linear_sum_assignment(cost)].mean())


@register(
    name="gaussians-2d",
    title="Two Gaussian clouds in the plane",
    summary="Equal masses drawn from N(0, I) and from a correlated Gaussian around (4, 4).",
    source=f"{_SHEET}, 2-D figure",
    options={"n": (20, (2, 1024)), "seed": _SEED},
    sizes={"m": "n", "n": "n", "d": 2},
    **_OWN,
)
def _gaussians(n: int, seed: int) -> Fields:
    # The paper's table [[1, -.8], [-.6, 1]] is no covariance: it is not symmetric. As in POT's make_2D_samples_gauss,
    # which takes any table, the points are mean + z P with P its principal root, so that the covariance is P'P.
    table = np.array([[1.0, -0.8], [-0.6, 1.0]])
    root = np.sqrt(np.linalg.det(table))
    P = (table + root * np.eye(2)) / np.sqrt(np.trace(table) + 2 * root)
    rng = np.random.RandomState(seed)
    x, y = rng.randn(n, 2), rng.randn(n, 2) @ P + 4.0
    cost = ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=-1)
    return {
        "arrays": points(x, y),
        "axes": {"x": ("first coordinate", "second coordinate"), "unit": "standard deviation of the source"},
        "truth": {"lp": _assignment_cost(cost)},
    }


@register(
    name="random-assignment",
    title="Random assignment",
    summary="Independent costs, uniform on [0, 1]: no geometry at all.",
    source="drawn by NumPy from the seed",
    options={"n": (32, (2, 1024)), "seed": _SEED},
    has=("cost", "a", "b"),
    sizes={"m": "n", "n": "n"},
    **_OWN,
)
def _random_assignment(n: int, seed: int) -> Fields:
    cost = np.random.default_rng(seed).random((n, n))
    mass = np.full(n, 1 / n)
    return {"arrays": {"cost": cost, "a": mass, "b": mass}, "truth": {"lp": _assignment_cost(cost)}}


@register(
    name="normal-clouds",
    title="Two normal clouds",
    summary="Equal masses drawn from N(0, I) and from 0.8 N(0, I) + 0.5 in any dimension.",
    source="drawn by NumPy from the seed",
    options={"n": (128, (2, 4096)), "dimension": (2, (1, 64)), "seed": _SEED},
    sizes={"m": "n", "n": "n", "d": "dimension"},
    **_OWN,
)
def _normal_clouds(n: int, dimension: int, seed: int) -> Fields:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, dimension)), 0.8 * rng.normal(size=(n, dimension)) + 0.5
    names = tuple(f"x{'₁₂₃'[k]}" for k in range(dimension)) if dimension <= 3 else ()
    return {"arrays": points(x, y), "axes": {"x": names} if names else {}}


@register(
    name="tokens-to-experts",
    title="Tokens to experts",
    summary="Routing in a mixture of experts: the cost is minus the gate, each expert takes its share of the tokens.",
    source=f"{_SHEET}, scaled-down routing",
    options={"n": (256, (8, 8192)), "experts": (8, (2, 64)), "seed": _SEED},
    has=("cost", "a", "b"),
    sizes={"m": "n", "n": "experts"},
    **_OWN,
)
def _tokens_to_experts(n: int, experts: int, seed: int) -> Fields:
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((32, experts))
    logits = (rng.standard_normal((n, 32)) + rng.standard_normal(32)) @ W / np.sqrt(32)
    gates = np.exp(logits - logits.max(axis=1, keepdims=True))
    gates /= gates.sum(axis=1, keepdims=True)
    return {
        "arrays": {"cost": -gates, "a": np.ones(n), "b": np.full(experts, n / experts), "gates": gates},
        "axes": {"rows": "token", "columns": "expert", "unit": "tokens"},
    }

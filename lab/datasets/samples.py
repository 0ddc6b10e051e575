"""The named sets of kind ``samples``, points that a path leads to, and such points out of a user's files.

Arrays: ``x`` (n, d), the data. Where they are known, the law that the data were drawn from: a Gaussian mixture with
``weights`` (k,), ``centres`` (k, d) and ``variances``, (k,) one for all directions, (k, d) diagonals or (k, d, d); or
boxes ``low`` and ``high`` (k, d), each of probability ``weights``. Where the path does not begin at N(0, I): ``x0`` (m, d),
samples of its source, and ``source_weights``, ``source_centres`` and ``source_variances``. Images come with
``axes["image"]``, their (height, width), and ``classes`` (n,) where these are known. ``x_2d`` (n, 2): points of more
than two dimensions on their principal axes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import formats, packaged
from .data import Data
from .kinds import Files, Kind, Trait, add_kind, number_columns, one_file, real_numbers, unread
from .registry import register
from .tables import Table
from .transport import planar

KIND = "samples"
LIMIT = 200_000_000
"""The most numbers that the points of a file may have."""

SEED = (0, (0, 2**32 - 1))
"""The option of a set that is drawn: its default, and what is allowed."""
N = (1000, (2, 100_000))
_SIDE = 16  # pixels of a side that pictures of a folder are brought to


def _points(x: np.ndarray, **law: Any) -> dict[str, np.ndarray]:
    flat = planar(x, x).get("x_2d") if x.shape[1] > 2 else None
    return {"x": x, **law} | ({} if flat is None else {"x_2d": flat})


def _mixture(
    rng: np.random.Generator, n: int, centres: np.ndarray, variances: Any, weights: Any = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    k = len(centres)
    weights = np.full(k, 1 / k) if weights is None else np.asarray(weights, float)
    variances = np.broadcast_to(np.asarray(variances, float), (k,)).copy()
    which = rng.choice(k, n, p=weights)
    x = centres[which] + np.sqrt(variances[which])[:, None] * rng.normal(size=(n, centres.shape[1]))
    return x, {"weights": weights, "centres": np.asarray(centres, float), "variances": variances}


def _ring(k: int, radius: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(k) / k
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


LAW = ("weights", "centres", "variances")
SOURCE = ("x0", "source_weights", "source_centres", "source_variances")


def _synthetic(
    name: str, title: str, summary: str, n: int = N[0], *, has: tuple[str, ...] = (), d: int | str = 2, **options: Any
):
    options = {"n": (n, N[1]), "seed": SEED} | options
    sizes = {"n": "n", "d": d}
    return register(name=name, title=title, kind=KIND, summary=summary, options=options, has=("x", *has), sizes=sizes)


@_synthetic(
    "checkerboard",
    "Checkerboard",
    "Uniform on eight unit squares of a 4 x 4 board, scaled to mean square 1; the law is known.",
    has=("low", "high", "weights"),
)
def checkerboard(n: int, seed: int) -> dict[str, Any]:
    """``n`` points uniform on eight squares, with their law."""
    rng = np.random.default_rng(seed)
    corners = np.array([(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0], float) - 2
    scale = np.sqrt(3 / 4)  # the mean square of a coordinate uniform on [-2, 2] is 4/3
    which = rng.integers(8, size=n)
    x = scale * (corners[which] + rng.random((n, 2)))
    law = {"low": scale * corners, "high": scale * (corners + 1), "weights": np.full(8, 1 / 8)}
    return {"arrays": _points(x, **law), "axes": {"x": ("x₁", "x₂")}}


@_synthetic(
    "eight-gaussians",
    "Eight Gaussians",
    "Eight narrow Gaussians on a ring of radius 5; the law is known.",
    has=LAW,
    radius=(5, (1, 20)),
)
def eight_gaussians(n: int, seed: int, radius: int) -> dict[str, Any]:
    """``n`` points of eight Gaussians on a ring, with their law."""
    x, law = _mixture(np.random.default_rng(seed), n, _ring(8, float(radius)), np.sqrt(0.1))
    return {"arrays": _points(x, **law), "axes": {"x": ("x₁", "x₂")}}


@_synthetic(
    "two-moons",
    "Two moons",
    "Two interleaved half circles with a little noise, scaled by 3 and shifted by -1, as is usual.",
)
def two_moons(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of two interleaved half circles."""
    rng = np.random.default_rng(seed)
    angle, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[~upper] = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)[~upper]
    return {"arrays": _points(3 * (x + 0.05 * rng.normal(size=(n, 2))) - 1), "axes": {"x": ("x₁", "x₂")}}


_ARC = 128  # Gaussians of a noisy moon


@register(
    name="noisy-moons",
    title="Two noisy moons",
    kind=KIND,
    summary="scikit-learn's moons with noise 0.2, then three times as large and less 1, as is usual; the law is known.",
    options={"n": N, "seed": SEED},
    has=("x", *LAW),
    sizes={"n": "n", "d": 2},
)
def noisy_moons(n: int, seed: int) -> dict[str, Any]:
    """As ``make_moons`` has it: half of the points at equal angles on each arc, and a Gaussian about each.

    The law is that of the limit, with 128 places an arc.
    """

    def arcs(first: int, second: int) -> np.ndarray:
        a, b = np.linspace(0, np.pi, first), np.linspace(0, np.pi, second)
        return 3 * np.concatenate([np.c_[np.cos(a), np.sin(a)], np.c_[1 - np.cos(b), 0.5 - np.sin(b)]]) - 1

    centres, variance, k = arcs(_ARC, _ARC), 0.6**2, 2 * _ARC
    x = arcs(n // 2, n - n // 2) + np.sqrt(variance) * np.random.default_rng(seed).normal(size=(n, 2))
    law = {"weights": np.full(k, 1 / k), "centres": centres, "variances": np.full(k, variance)}
    return {"arrays": {"x": x, **law}, "axes": {"x": ("x₁", "x₂")}}


@_synthetic(
    "narrow-ring",
    "Eight narrow Gaussians",
    "Eight Gaussians of standard deviation 0.06 on the unit circle: modes with wide gaps; the law is known.",
    has=LAW,
)
def narrow_ring(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of eight narrow Gaussians on the unit circle, with their law."""
    x, law = _mixture(np.random.default_rng(seed), n, _ring(8, 1.0), 0.06**2)
    return {"arrays": _points(x, **law), "axes": {"x": ("x₁", "x₂")}}


@_synthetic(
    "two-mode-pair",
    "Two modes to two modes",
    "From two Gaussians at (0, ±3) to two at (5, ±3), of standard deviation a half; both laws are known.",
    has=(*LAW, *SOURCE),
)
def two_mode_pair(n: int, seed: int) -> dict[str, Any]:
    """``n`` points each of two Gaussians and of two others, with both laws."""
    rng = np.random.default_rng(seed)
    x, law = _mixture(rng, n, np.array([[5.0, 3.0], [5.0, -3.0]]), 0.25)
    x0, source = _mixture(rng, n, np.array([[0.0, 3.0], [0.0, -3.0]]), 0.25)
    return {
        "arrays": _points(x, **law) | {"x0": x0} | {f"source_{key}": value for key, value in source.items()},
        "axes": {"x": ("x₁", "x₂")},
    }


@_synthetic(
    "moons-to-s-curve",
    "Moons to an S",
    "From two half circles, turned and moved, to a curve like an S: known by points.",
    has=("x0",),
)
def moons_to_s_curve(n: int, seed: int) -> dict[str, Any]:
    """The pair of OTT's tutorial on Monge gaps: scikit-learn's moons and S curve, noise 0.05."""
    rng = np.random.default_rng(seed)

    def turn(x: np.ndarray, angle: float) -> np.ndarray:
        cos, sin = np.cos(angle), np.sin(angle)
        return x @ np.array([[cos, sin], [-sin, cos]])

    angle, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    moons = np.where(upper[:, None], np.c_[np.cos(angle), np.sin(angle)], np.c_[1 - np.cos(angle), 0.5 - np.sin(angle)])
    along = 3 * np.pi * (rng.random(n) - 0.5)
    curve = np.c_[np.sign(along) * (np.cos(along) - 1), np.sin(along)]
    x0 = turn(moons + 0.05 * rng.normal(size=(n, 2)), np.pi / 6) + np.array([0, -0.5])
    x = turn(0.6 * (curve + 0.05 * rng.normal(size=(n, 2))), np.pi / 2) + np.array([1, -2])
    return {"arrays": _points(x, x0=x0), "axes": {"x": ("x₁", "x₂")}}


@register(
    name="planted-map",
    title="A map that is known",
    kind=KIND,
    summary="From N(0, I) by the gradient of a convex function: samples, and where that best map takes x0.",
    options={"n": (2000, N[1]), "dimensions": (2, (2, 64)), "bend": (1, (1, 10)), "seed": SEED},
    has=("x", "x0", "moved"),
    sizes={"n": "n", "d": "dimensions"},
)
def planted_map(n: int, dimensions: int, bend: int, seed: int) -> dict[str, Any]:
    r"""$T(x) = A x + \sum_k w_k \tanh(u_k \cdot x) u_k + 2$, A symmetric with eigenvalues from 0.3 to 2, eight $w_k$
    of 0.2 to 1 times the bend. The map is the same for all seeds."""
    fixed, rng, d = np.random.default_rng(123), np.random.default_rng(seed), dimensions
    q = np.linalg.qr(fixed.normal(size=(d, d)))[0]
    matrix = q @ np.diag(np.linspace(0.3, 2, d)) @ q.T
    u, w = fixed.normal(size=(8, d)) / np.sqrt(d), bend * fixed.uniform(0.2, 1, 8)

    def move(x: np.ndarray) -> np.ndarray:
        return x @ matrix.T + (w * np.tanh(x @ u.T)) @ u + 2

    x0 = rng.normal(size=(n, d))
    return {"arrays": _points(move(rng.normal(size=(n, d))), x0=x0, moved=move(x0))}


@_synthetic(
    "patches-of-the-sphere",
    "Two patches of the sphere",
    "Points about two places of the unit sphere, a quarter turn apart.",
    has=("x0",),
    d=3,
)
def patches_of_the_sphere(n: int, seed: int) -> dict[str, Any]:
    """``n`` points each about two places of the unit sphere."""
    rng = np.random.default_rng(seed)

    def about(place: np.ndarray, spread: np.ndarray) -> np.ndarray:
        out = place + rng.normal(size=(n, 3)) * spread
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    x0 = about(np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.2, 0.1]))
    x = about(np.array([1.0, 0.0, 0.0]), np.array([0.1, 0.5, 0.2]))
    return {"arrays": _points(x, x0=x0)}


@_synthetic(
    "modes-1d",
    "Modes on a line",
    "From two modes at -3 and 3 to three at -6, 0 and 6, on a line; both laws are known.",
    has=(*LAW, *SOURCE),
    d=1,
)
def modes_1d(n: int, seed: int) -> dict[str, Any]:
    """``n`` points each of two and of three Gaussians on a line, with both laws."""
    rng = np.random.default_rng(seed)
    x, law = _mixture(rng, n, np.array([[-6.0], [0.0], [6.0]]), [0.5, 0.33, 0.5])
    x0, source = _mixture(rng, n, np.array([[-3.0], [3.0]]), 0.25)
    return {"arrays": {"x": x, **law, "x0": x0} | {f"source_{key}": value for key, value in source.items()}}


@_synthetic(
    "three-gaussians",
    "Three Gaussians",
    "Three Gaussians of unlike size and weight in the plane; the law is known.",
    has=LAW,
)
def three_gaussians(n: int, seed: int) -> dict[str, Any]:
    """``n`` points of three unlike Gaussians in the plane, with their law."""
    rng = np.random.default_rng(seed)
    centres = np.array([[-3.0, -1.0], [2.5, 2.5], [3.0, -3.0]])
    x, law = _mixture(rng, n, centres, [0.5, 1.0, 0.25], [0.5, 0.3, 0.2])
    return {"arrays": _points(x, **law), "axes": {"x": ("x₁", "x₂")}}


@_synthetic("two-points", "Two points", "The points -1 and 1 on a line: much is known in closed form.", n=2, d=1)
def two_points(n: int, seed: int) -> dict[str, Any]:
    """``n`` points that are 1 and -1 in turn, -1 first."""
    return {"arrays": {"x": np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]}}


THREE_POINTS = np.array([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]])


@register(
    name="three-points",
    title="Three points",
    kind=KIND,
    summary="Three points in the plane, each standing for an image: what noise belongs to which can be seen.",
    sizes={"n": 3, "d": 2},
)
def three_points() -> dict[str, Any]:
    """Three given points in the plane."""
    return {"arrays": {"x": THREE_POINTS.copy()}, "axes": {"x": ("x₁", "x₂")}}


ATOMS = np.array([[-2.0], [-0.5], [1.0], [3.0]])
"""Four points on a line, for which the masses are known."""


@register(
    name="four-atoms",
    title="Four points on a line",
    kind=KIND,
    summary="The points -2, -0.5, 1 and 3 of equal mass: where each method carries how much is known.",
    sizes={"n": 4, "d": 1},
)
def four_atoms() -> dict[str, Any]:
    """The points -2, -0.5, 1 and 3."""
    return {"arrays": {"x": ATOMS}}


@register(
    name="circle-points",
    title="Points on a circle",
    kind=KIND,
    summary="Eight points at equal distance from the origin: data of constant norm, which the weights do not tilt.",
    sizes={"n": 8, "d": 2},
)
def circle_points() -> dict[str, Any]:
    """Eight points at distance 3 from the origin."""
    return {"arrays": {"x": _ring(8, 3.0)}, "axes": {"x": ("x₁", "x₂")}}


@_synthetic(
    "gaussian-points",
    "A few Gaussian points",
    "Points drawn once from N(0, I) and kept: a small data set of any dimension.",
    n=50,
    d="dimension",
    dimension=(2, (1, 4096)),
)
def gaussian_points(n: int, seed: int, dimension: int) -> dict[str, Any]:
    """``n`` points of N(0, I) in ``dimension`` dimensions."""
    return {"arrays": _points(np.random.default_rng(seed).normal(size=(n, dimension)))}


@register(
    name="digit-samples",
    title="Handwritten digits",
    kind=KIND,
    summary="1797 images of 8 x 8 pixels between -1 and 1; fewer where n is smaller.",
    options={"n": (1797, (2, 1797)), "seed": SEED},
    has=("x", "classes"),
    sizes={"n": "n", "d": 64},
    **packaged.facts("digits"),
)
def digit_samples(n: int, seed: int) -> dict[str, Any]:
    """``n`` digits of 8 x 8 pixels between -1 and 1, with their classes."""
    return _images("digits", 16, 8, 1, n, seed)


@register(
    name="mnist-samples",
    title="MNIST",
    kind=KIND,
    summary="5000 images of digits, 28 x 28 pixels between -1 and 1, or pooled to 14 or 7; fewer where n is smaller.",
    options={"n": (5000, (2, 5000)), "side": ("28", ("7", "14", "28")), "seed": SEED},
    has=("x", "classes"),
    sizes={"n": "n"},
    **packaged.facts("mnist"),
)
def mnist_samples(n: int, side: str, seed: int) -> dict[str, Any]:
    """``n`` digits of MNIST between -1 and 1, pooled to ``side`` pixels, with their classes."""
    return _images("mnist", 255, 28, 28 // int(side), n, seed)


def _images(key: str, white: int, side: int, pool: int, n: int, seed: int) -> dict[str, Any]:
    pixels, classes = packaged.labelled_images(key)
    kept = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:n])
    small = side // pool
    x = pixels[kept].astype(float).reshape(-1, small, pool, small, pool).mean(axis=(2, 4)).reshape(len(kept), -1)
    arrays = _points(2 * x / white - 1) | {"classes": classes[kept].astype(np.int32)}
    return {"arrays": arrays, "axes": {"image": (small, small)}}


# -- what a user brings ------------------------------------------------------------------------------------------------

_LAWS = {
    "x": (("centres", "weights", "variances"), ("low", "high", "weights")),
    "the source": (("source_centres", "source_weights", "source_variances"),),
}
"""Of what a law may be known, and the arrays that say it: whole or not at all, the first that is whole."""


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
) -> Data:
    """Samples out of ``x`` (n, d), or images (n, height, width) or (n, height, width, channels), and what else is known.

    Raises:
        ValueError: arrays that are no samples; the sentence says where.
    """
    SAMPLES.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", arrays[key]) for key in SAMPLES.arrays if key in arrays}
    axes, notices = dict(axes or {}), [*notices, *unread(name, ignored, set(SAMPLES.arrays) - set(given))]
    shape = given["x"].shape
    if len(shape) in (3, 4) and 0 not in shape:
        axes.setdefault("image", tuple(int(size) for size in shape[1:]))
    for key in ("x", "x0"):
        if key in given and given[key].ndim != 2 and given[key].ndim in (1, 3, 4):
            given[key] = given[key].reshape(len(given[key]), -1)
    SAMPLES.check(name, given)
    notices += _drop_idle(name, given)
    if "classes" in given:
        given["classes"] = given["classes"].astype(np.int32)
    return Data(
        name, name, KIND, _points(given.pop("x"), **given), "brought by the user", "the user's", axes, tuple(notices)
    )


def _drop_idle(name: str, given: dict[str, np.ndarray]) -> list[str]:
    """Take out what is part of no whole law, and say so: ``weights`` alone are no masses of the samples."""
    said = []
    for of, laws in _LAWS.items():
        whole = next((law for law in laws if given.keys() >= set(law)), ())
        idle = list(dict.fromkeys(key for law in laws for key in law if key in given and key not in whole))
        if idle:
            needed = " or ".join(", ".join(law) for law in laws)
            alike = "" if whole else "; without one the samples count alike"
            said.append(f"{', '.join(idle)} in {name} ignored: a law of {of} is {needed}, all three of them{alike}")
        for key in idle:
            del given[key]
    return said


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """Samples out of a table with a point in each row."""
    columns, ignored = number_columns(name, table)
    if not columns:
        raise ValueError(f"{name} has no column of coordinates")
    x = np.stack(list(columns.values()), axis=1)
    return from_arrays(name, {"x": x}, ignored, {"x": tuple(columns)}, notices)


def from_files(files: Files, n: int | None, seed: int) -> Data:
    """Samples from one file of arrays or a table, or from pictures, brought to one small size."""
    if {formats.format_of(name, payload) for name, payload in files} == {"image"}:
        return _from_pictures(files)
    return one_file(SAMPLES, files)


def _from_pictures(files: Files) -> Data:
    from PIL import Image

    x, notices, shapes = [], [], set()
    for name, payload in files:
        pixels, notes = formats.picture(name, payload)
        notices += notes
        shapes.add(pixels.shape[:2])
        grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        x.append(np.asarray(grey, float).ravel() / 127.5 - 1)
    sizes = ", ".join(f"{w} x {h}" for h, w in sorted(shapes)[:3]) + (" ..." if len(shapes) > 3 else "")
    notices.append(
        f"{len(files)} pictures of {sizes} pixels were brought to {_SIDE} x {_SIDE} in grey, between -1 and 1"
    )
    name = files[0][0] if len(files) == 1 else f"{len(files)} pictures"
    return from_arrays(name, {"x": np.array(x)}, axes={"image": (_SIDE, _SIDE)}, notices=notices)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse laws that are none, and more samples than are taken."""
    x = arrays["x"]
    if x.size > LIMIT:
        raise ValueError(f"x in {name} has {x.size:,} numbers, but at most {LIMIT:,} are taken: keep fewer samples")
    for prefix in ("", "source_"):
        weights, spread = (arrays.get(f"{prefix}{key}") for key in ("weights", "variances"))
        if weights is not None and (not (weights > 0).all() or abs(float(weights.sum()) - 1) > 1e-6):
            raise ValueError(f"{prefix}weights in {name} must be positive and sum to 1")
        if spread is None:
            continue
        whole = spread.ndim == 3
        if whole and not np.allclose(spread, spread.swapaxes(1, 2)):
            raise ValueError(f"{prefix}variances in {name} must be symmetric matrices")
        if not ((np.linalg.eigvalsh(spread) if whole else spread) > 0).all():
            raise ValueError(f"{prefix}variances in {name} must be positive{' definite' if whole else ''}")


SAMPLES = add_kind(
    Kind(
        KIND,
        {
            "x": ("n", "d"),
            "x0": ("m", "d"),
            "moved": ("m", "d"),
            "classes": ("n",),
            "weights": ("k",),
            "centres": ("k", "d"),
            "variances": [("k",), ("k", "d"), ("k", "d", "d")],
            "low": ("k", "d"),
            "high": ("k", "d"),
            "source_weights": ("l",),
            "source_centres": ("l", "d"),
            "source_variances": [("l",), ("l", "d"), ("l", "d", "d")],
        },
        needed=(("x",),),
        from_arrays=from_arrays,
        takes=".npz, .npy, .csv, .parquet, .feather, .nc with a sample in each row, or pictures",
        dims={"n": "samples", "d": "coordinates", "m": "samples of the source", "k": "components", "l": "components"},
        traits={
            "law": Trait(
                lambda keys: "centres" in keys or "low" in keys,
                "the data of {name} are known by points only, but their law",
                "give centres, weights and variances, or low, high and weights",
            ),
            "source density": Trait(
                lambda keys: "x0" not in keys or "source_centres" in keys,
                "the source of {name} is known by points only, but its density",
                "leave out x0, for N(0, I), or give source_weights, source_centres and source_variances",
            ),
        },
        values=_values,
        from_table=from_table,
        bare={1: ("x",), 2: ("x", "x0")},
        from_files=from_files,
        pictures=(1, 20_000),
        clouds=1,
    )
)

"""Locality of image denoisers (Lukoianov et al., 2025) as a study: where denoisers look, computed from the data alone."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer
from jaxtyping import Array, Float

from lab import denoise
from lab.datasets import Data
from lab.denoise import planted
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Switch, Whole

from .claims import CLAIMS
from .levels import (
    ELS,
    FIELDS,
    LEVELS,
    LOCAL,
    LS,
    METHODS,
    NEAREST,
    NETWORKS,
    OPTIMAL,
    SQUARES,
    TABLE,
    TABLED,
    WALK,
    WIENER,
    Case,
    Set,
    State,
    Tabled,
    Walk,
    spectrum_of,
)
from .looking import correlation, fields, look, pulled
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS
from .trained import trained

_WIDE = 1e8  # products for an image at a level, above which the work is in float32
_MOST = 3072  # numbers of an image, beyond which the covariance takes too long
_DIRECTIONS = 12  # eigenvectors that are shown
_LEAST = 5  # pixels a side
_EASY = 256  # pixels to which images are pooled where nothing is said


class LocalityDenoisers(Study):
    """Analytic denoisers of one's own images, where each pixel of them looks, and how near they come to a trained network."""

    slug = "locality-denoisers"
    title = "Locality denoisers"
    field = "Denoisers"
    paper = Paper(
        "Lukoianov, Yuan, Solomon, Sitzmann",
        "Locality in Image Diffusion Models Emerges from Data Statistics",
        "NeurIPS",
        2025,
        "https://arxiv.org/abs/2509.09672",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "images"

    data = DataSource("mnist-images", doc="a named set of images, or yours: pictures, a zip of them, or an array")
    sigma = Real(
        0.5, bounds=(0.003, 150), soft=(0.02, 20), scale="log", label="noise level", symbol="σ",
        doc="standard deviation of the noise; black is -1 and white 1",
    )  # fmt: skip
    row = Whole(
        7, bounds=(0, None), label="row of the pixel", doc="whose sensitivity is shown, from the top; or click it"
    )
    column = Whole(7, bounds=(0, None), label="column of the pixel", doc="from the left; or click the pixel")
    example = Whole(0, bounds=(0, None), label="image", doc="which of the test images is shown")
    theta = Real(
        0.1, bounds=(0, 1), soft=(0.002, 0.5), scale="log", label="theta", symbol="θ",
        doc="threshold of the mask, as a share of its largest entry; 0 keeps the numbers themselves. The paper has 0.005 for "
        "MNIST with row normalisation",
    )  # fmt: skip
    radius = Whole(
        2, bounds=(0, None), soft=(0, 13), label="patch radius", symbol="r",
        doc="patch methods see squares of 2r + 1 pixels a side, all of the image where that is larger",
    )  # fmt: skip
    train = Whole(
        500, bounds=(2, 60_000), soft=(50, 5000), scale="log", label="training images", traced=False,
        doc="the first so many of the set, or all where it has fewer",
    )  # fmt: skip
    pool = Whole(
        None, bounds=(1, 64), soft=(1, 4), label="pooling", traced=False, allow_None=True,
        doc="squares of so many pixels a side become one, their mean; auto: the least that leaves at most 256 pixels, 2 for "
        "MNIST, which makes all 16 times faster",
    )  # fmt: skip
    networks = Choice(
        ["none", *NETWORKS, "all"],
        doc="trained on the same images, with progress and Stop, and kept; minutes at full size, seconds on digits",
    )
    train_steps = Whole(
        800, bounds=(10, 100_000), soft=(200, 5000), scale="log", label="training steps", traced=False,
        when={"networks": (*NETWORKS, "all")}, doc="of each network, of 64 images",
    )  # fmt: skip
    plant = Switch(
        False,
        label="plant a pattern",
        doc="add a letter W, or the data's own pattern, of random strength to every image",
    )
    strength = Real(
        4.0, bounds=(0, 100), soft=(0, 10), label="its strength", symbol="c", when={"plant": True},
        doc="standard deviation of what is added, along a pattern of norm 1",
    )  # fmt: skip
    normalize = Choice(
        ["symmetric", "row"], group="more",
        doc="of the mask: by both variances, or by that of the row, as in the paper, where θ must be small",
    )  # fmt: skip
    orientation = Choice(
        ["column", "row"], group="more", doc="of the mask: a pixel looks through its column, as released, or row"
    )
    accumulate = Choice(
        ["exact", "chunk_mean"], label="softmax", group="more",
        doc="over all training images, or in chunks that are averaged, as released, which depends on their order",
    )  # fmt: skip
    chunk = Whole(
        256, bounds=(1, 60_000), label="chunk", traced=False, group="more", when={"accumulate": "chunk_mean"},
        doc="training images in each of these softmaxes",
    )  # fmt: skip
    tau = Real(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.25, 4), scale="log", label="temperature", symbol="τ",
        group="more", doc="of every softmax; 1 is exact",
    )  # fmt: skip
    tests = Whole(
        8, bounds=(2, 1000), label="test images", traced=False, group="more",
        doc="held out images on which all is measured, or all where there are fewer",
    )  # fmt: skip
    samples = Whole(
        8, bounds=(1, 256), label="samples", traced=False, group="more", doc="made by each method, from the same noise"
    )
    others = Switch(
        False, label="more denoisers", group="more", doc="also the nearest image and patch composites (PSPC)"
    )
    equivariant = Choice(
        ["off", "3", "5", "7"], label="ELS", group="more",
        doc="the machine whose patches, of so many pixels a side, may come from anywhere, of at most 100 images; slow",
    )  # fmt: skip

    dims: ClassVar = {
        "denoiser": ("denoiser", ""),
        "level": ("noise level σ", ""),
        "field_level": ("noise level σ", ""),
        "table_level": ("noise level σ", ""),
        "stroke": ("pixel of the pattern", ""),
        "test": ("test image", ""),
        "sample": ("sample", ""),
        "step": ("DDIM step", ""),
        "channel": ("channel", ""),
        "y": ("row", "pixel"),
        "x": ("column", "pixel"),
        "component": ("eigenvalue", ""),
        "direction": ("eigenvector", ""),
        "network": ("network", ""),
        "train_step": ("training step", ""),
    }
    results = (
        Result("error_locality", (), "error of PCA locality", "mean squared error a pixel, of this image at this level",
               headline=True, judge=lambda value, result: _best(value, result)),
        Result("error_wiener", (), "error of Wiener", "the same, of the best linear denoiser", headline=True),
        Result("error_optimal", (), "error of optimal", "the same, of the posterior mean over the training images",
               headline=True),
        Result("field_pixels", (), "pixels in sight", "of the Wiener filter at this pixel: (Σw²)² / Σw⁴", headline=True),
        Result("mask_pixels", (), "pixels in the mask", "of the paper's denoiser, mean over pixels", headline=True),
        Result("ess_here", (), "images averaged", "by the optimal denoiser: 1 / Σw²; near 1 it only memorises", headline=True),
        Result("r2_locality", (), "r² of PCA locality", "with the network, mean over levels and images, and the half width of "
               "its 95 % interval", headline=True, optional=True, half="r2_locality_half",
               judge=lambda value, result: "good" if value - result.r2_locality_half >= 0.92 else ""),
        Result("r2_wiener", (), "r² of Wiener", "with the network", headline=True, optional=True, half="r2_wiener_half"),
        Result("r2_optimal", (), "r² of optimal", "with the network", headline=True, optional=True, half="r2_optimal_half"),
        *(Result(f"r2_{name}_half", (), "± r²", "half width of the 95 % interval of that mean: Student's t over test images",
                 optional=True) for name in ("locality", "wiener", "optimal")),
        Result("mse_clean", ("denoiser", "level", "test"), "error", "mean squared error a pixel to the clean image"),
        Result("mse_net", ("denoiser", "level", "test"), "distance", "mean squared difference from the network", optional=True),
        Result("r2_net", ("denoiser", "level", "test"), "r²", "agreement with the network, image by image", optional=True),
        Result("r2_half", ("denoiser", "level"), "± r²", "half width of the 95 % interval of its mean over test images",
               optional=True),
        Result("r2_mean", ("denoiser",), "mean r²", "over levels and images", optional=True),
        Result("r2_mean_half", ("denoiser",), "± mean r²", "half width of its 95 % interval", optional=True),
        Result("r2_pooled", ("denoiser", "level"), "pooled r²", "agreement over all images at once", optional=True),
        Result("sensitivity", ("denoiser", "field_level", "y", "x"), "sensitivity", "∂D/∂x of the pixel, mean over images"),
        Result("mask", ("field_level", "y", "x"), "mask", "of the pixel"),
        Result("field", ("denoiser", "y", "x"), "sensitivity", "∂D/∂x of the pixel, of this image at this level"),
        Result("mask_here", ("y", "x"), "mask", "of the pixel at this level"),
        Result("clean", ("channel", "y", "x"), "grey value", "the image"),
        Result("noisy", ("channel", "y", "x"), "grey value", "with noise of this level"),
        Result("estimate_here", ("denoiser", "channel", "y", "x"), "grey value", "what each denoiser makes of it"),
        Result("error_here", ("denoiser",), "error", "of these, mean squared a pixel"),
        Result("estimate", ("denoiser", "level", "channel", "y", "x"), "grey value", "of this image at each level"),
        Result("path", ("step", "denoiser", "sample", "channel", "y", "x"), "grey value", "estimates along DDIM"),
        Result("nearest_distance", ("denoiser", "sample"), "distance", "of a sample from the nearest training image, RMS"),
        Result("test_distance", ("test",), "distance", "of a test image from the nearest training image, RMS a pixel"),
        Result("mask_size", ("level",), "pixels in the mask", "mean over pixels"),
        Result("ess", ("level",), "images averaged", "by the optimal denoiser, mean over test images"),
        Result("trace_W", ("level",), "tr W", "directions that pass the Wiener filter"),
        Result("table_mse", ("denoiser", "table_level", "test"), "error", "mean squared error a pixel to the clean image"),
        Result("table_mask_size", ("table_level",), "pixels in the mask", "mean over pixels"),
        Result("table_ess", ("table_level",), "images averaged", "by the optimal denoiser, mean over test images"),
        Result("eigenvalue", ("component",), "λ", "of the covariance of the training images"),
        Result("eigenvector", ("direction", "channel", "y", "x"), "eigenvector", "of the largest eigenvalues"),
        Result("curve_loss", ("network", "train_step"), "loss", "of the training, a pixel, about 1 before it", optional=True),
        Result("pattern", ("y", "x"), "pattern", "that was planted, norm 1", optional=True),
        Result("pattern_gain", ("denoiser",), "gain", "⟨P, J P⟩: how much of the pattern passes at this level", optional=True),
        Result("pattern_match", ("denoiser",), "correlation", "of Jᵀ P with the pattern P", optional=True),
        Result("pattern_pixel", ("denoiser",), "correlation", "of this pixel's field in this image with P", optional=True),
        Result("pattern_rows", ("denoiser", "stroke"), "correlation", "with P of single pixels' fields, mean over images; "
               "of the strongest pixels of P, at least half its largest", optional=True),
        Result("pattern_field", ("denoiser", "y", "x"), "sensitivity", "Jᵀ P: where the pattern is looked for", optional=True),
        Result("iterations", (), "levels", "that were done"),
        Result("converged", (), "converged", "whether all levels were done and networks trained to their end"),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Training and test images."""
        held = np.asarray(data.arrays["held_out"])
        pixels = np.asarray(data.arrays["pixels"])
        made = {"train": jnp.asarray(pixels[~held]), "test": jnp.asarray(pixels[held])}
        if "pattern" in data.arrays:
            made["pattern"] = jnp.asarray(data.arrays["pattern"])
        return made

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The pixel and the image are there, and enough pixels are left."""
        h, w = _sides(data.arrays["pixels"].shape, self.pool)
        shown = min(self.tests, int(data.arrays["held_out"].sum()))
        return {
            "row": Limit(0, max(h - 1, 0), f"since the images have {h} rows"),
            "column": Limit(0, max(w - 1, 0), f"since the images have {w} columns"),
            "radius": Limit(0, max(h, w, 1) - 1, "which sees all of the image"),
            "example": Limit(0, shown - 1, "the last of the test images"),
        }

    def check(self, data: Data) -> None:
        """The covariance must be of a size that can be factorized."""
        c, height, width = data.arrays["pixels"].shape[1:]
        h, w = _sides(data.arrays["pixels"].shape, self.pool)
        if min(height, width) < _LEAST:
            raise ValueError(f"images of {height} x {width} pixels were given, but at least {_LEAST} a side are needed")
        if min(h, w) < _LEAST:
            most = min(height, width) // _LEAST
            raise ValueError(
                self.parameters()["pool"].refuse(
                    self.pool, f"at most {most} leaves {_LEAST} pixels a side of these images"
                )
            )
        if c * h * w > _MOST:
            least = next(p for p in range(1, 10_000) if c * (height // p) * (width // p) <= _MOST)
            raise ValueError(
                f"images of {c} x {h} x {w} have {c * h * w} numbers, but at most {_MOST} are taken: set the pooling to "
                f"{least} or more"
            )
        super().check(data)

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """All denoisers at all levels, then what this image, this level and this pixel show. Each part is kept for the next
        run, so that a click computes only fields."""
        memory = _Memory(
            inputs["train"], warm, live=not any(isinstance(v, Tracer) for v in (inputs["train"], *jax.tree.leaves(p)))
        )
        wide = jnp.zeros(()).dtype
        values = {name: jnp.asarray(getattr(p, name), wide) for name in ("sigma", "theta", "tau", "strength")}
        places = {name: jnp.asarray(getattr(p, name), jnp.int32) for name in ("row", "column", "example", "radius")}
        case, sizes = _case(inputs, p)
        strength = values["strength"] if p.plant else jnp.zeros((), wide)

        pool = _pooling(inputs["train"].shape, p.pool)
        what = (case.shape, pool, p.seed, sizes)
        planted_now = (p.plant, p.strength if p.plant else 0.0)
        made = memory.part("images", (*what, planted_now), lambda: _images(inputs, strength, pool, sizes, p.seed))
        asked = () if p.networks == "none" else NETWORKS if p.networks == "all" else (p.networks,)
        learnt = memory.part(
            "networks", (*what, planted_now, asked, p.train_steps),
            lambda: [trained(kind, made.pixels, case.shape, p.train_steps, p.seed, loop) for kind in asked],
            lambda each: all(one.reason == Reason.CONVERGED for one in each),
        )  # fmt: skip
        networks = tuple(each.network for each in learnt)
        data = Set(made.pixels, made.spectrum, networks, values["theta"], places["radius"], values["tau"], case)
        how = (*what, planted_now, asked, p.train_steps, case, p.theta, p.radius, p.tau)
        walk = Walk(data, made.clean, made.noise, made.start, jnp.asarray(np.append(LEVELS, 0.0), wide))
        run = memory.part(
            "levels",
            how,
            lambda: loop(WALK, walk, max_iterations=len(LEVELS)),
            lambda run: run.reason == Reason.CONVERGED,
        )
        state: State = run.state
        # afterwards, since it is only told: a run that was stopped has none of it
        table = memory.part(
            "table",
            how,
            lambda: loop(TABLED, walk, max_iterations=len(TABLE)),
            lambda run: run.reason == Reason.CONVERGED,
        )
        told = memory.part("numbers", how, lambda: _numbers(data, state, table.state, made.clean),
                           lambda _: _whole(run.reason) and _whole(table.reason))  # fmt: skip

        h, w = case.shape[1:]
        image, level = places["example"], values["sigma"]
        there = (*how, p.example, p.sigma)
        here = memory.part("here", there, lambda: look(data, made.clean, made.noise, image, level))
        place = places["row"] * w + places["column"]
        seen = memory.part(
            "fields", (*there, p.row, p.column),
            lambda: fields(data, state.masks, here.mask, made.clean, made.noise, image, level, place),
            lambda _: _whole(run.reason),
        )  # fmt: skip
        output = _described(data, made, state, here, seen, image, told)
        if p.plant:
            pull = memory.part(
                "pattern", there, lambda: pulled(data, here.mask, made.clean, made.noise, level, made.pattern)
            )
            plane = made.pattern.reshape(case.shape).mean(axis=0)
            output["pattern"] = plane
            output["pattern_gain"] = _all(data, pull.gain)
            output["pattern_match"] = _all(data, pull.match)
            output["pattern_rows"] = _all(data, pull.rows)
            output["pattern_pixel"] = _all(data, correlation(seen.field.astype(pull.rows.dtype), plane.reshape(-1)))
            output["pattern_field"] = _all(data, pull.field).reshape(-1, h, w)
        if learnt:
            output["curve_loss"] = _by_network(learnt)
        reason = jnp.asarray(run.reason, jnp.int32)
        reason = jnp.where(reason == Reason.CONVERGED, jnp.asarray(table.reason, jnp.int32), reason)
        for each in learnt:
            reason = jnp.where(reason == Reason.CONVERGED, jnp.asarray(each.reason, jnp.int32), reason)
        return output | {"iterations": run.iterations, "reason": reason, "warm": memory.kept}

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Levels and names."""
        return {
            "denoiser": list(METHODS), "level": LEVELS, "field_level": LEVELS[list(FIELDS)], "network": list(NETWORKS),
            "table_level": TABLE, "step": np.arange(1, len(LEVELS) + 1),
        }  # fmt: skip

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What must not be overlooked: empty masks, and a reference that is too weak to judge by."""
        if not float(result.eigenvalue[0]) > 0:
            return "All training images are equal: every denoiser gives that image, whatever it sees; bring images that differ."
        empty = float(result.mask_pixels)
        if empty < 1 and json.loads(result.attrs["parameters"])["normalize"] == "row":
            return (
                f"The masks are almost empty, {empty:.2g} pixels each: most pixels average all training images. Lower θ, or "
                "normalise symmetrically."
            )
        if "r2_net" in result:
            reference = _reference(result)
            error = result.mse_clean.sel(level=slice(4, 0.3)).mean(["test", "level"])
            if float(error.sel(denoiser=reference)) > float(error.sel(denoiser=LOCAL)):
                other = "" if reference == "U-Net" else ", or take the U-Net"
                return (
                    f"The {reference} denoises worse than PCA locality between σ = 0.3 and 4: it has not learnt enough to be "
                    f"the reference. Train it for more steps, or on more images{other}."
                )
        return ""


# ---- what is kept from run to run --------------------------------------------------------------------------------


class _Part(NamedTuple):
    source: Any  # the training images themselves, which tell one data set from another
    key: tuple
    value: Any


class _Memory:
    """What the last run computed. A part is taken over where nothing that it depends on has changed: the same numbers."""

    def __init__(self, source: Array, warm: Mapping[str, _Part] | None, live: bool):
        self._source, self._before, self._live = source, dict(warm or {}), live
        self.kept: dict[str, _Part] = {}

    def part(
        self, name: str, key: tuple, make: Callable[[], Any], worth: Callable[[Any], Any] = lambda made: True
    ) -> Any:
        """``make()``, or what it gave last time; only what is ``worth`` it is kept."""
        if not self._live:
            return make()
        before = self._before.get(name)
        if before is not None and before.source is self._source and before.key == key:
            self.kept[name] = before
            return before.value
        made = make()
        if worth(made):
            self.kept[name] = _Part(self._source, key, made)
        return made


# ---- the images --------------------------------------------------------------------------------------------------


class _Sizes(NamedTuple):
    train: int
    tests: int
    samples: int


class _Images(NamedTuple):
    """What the denoisers are made of and tried on."""

    pixels: Float[Array, "N n"]
    clean: Float[Array, "B n"]
    noise: Float[Array, "B n"]
    start: Float[Array, "S n"]
    spectrum: denoise.Spectrum
    pattern: Float[Array, " n"]


def _case(inputs: Mapping[str, Any], p: Any) -> tuple[Case, _Sizes]:
    count, c = inputs["train"].shape[:2]
    names = [OPTIMAL, *([NEAREST] if p.others else []), WIENER, LOCAL, LS]
    names += [SQUARES] if p.others else []
    names += [ELS] if p.equivariant != "off" else []
    chunk = p.chunk if p.accumulate == "chunk_mean" else None
    patch = 3 if p.equivariant == "off" else int(p.equivariant)
    case = Case((c, *_sides(inputs["train"].shape, p.pool)), tuple(names), p.normalize, p.orientation, chunk, patch)
    return case, _Sizes(min(p.train, count), min(p.tests, len(inputs["test"])), p.samples)


def _pooling(shape: tuple[int, ...], pool: int | None) -> int:
    """The pooling, where it is auto the least that leaves at most 256 pixels."""
    height, width = shape[2:]
    return pool or next(p for p in range(1, 10_000) if (height // p) * (width // p) <= _EASY)


def _sides(shape: tuple[int, ...], pool: int | None) -> tuple[int, int]:
    """Height and width after pooling."""
    by = _pooling(shape, pool)
    return shape[2] // by, shape[3] // by


def _images(inputs: Mapping[str, Any], strength: Array, pool: int, sizes: _Sizes, seed: int) -> _Images:
    """Pooled images with their pattern, noise, and the spectrum. The noise is NumPy's, so that others can have the same."""
    c, h, w = inputs["train"].shape[1:]
    shape = c, h // pool, w // pool
    n = int(np.prod(shape))
    wide = jnp.zeros(()).dtype
    dtype = wide if sizes.train * n**2 <= _WIDE else jnp.float32
    rng = [np.random.default_rng(each) for each in (seed, [seed, 1], [seed, 2])]
    noise = jnp.asarray(rng[0].standard_normal((sizes.tests, n)), dtype)
    start = jnp.asarray(rng[1].standard_normal((sizes.samples, n)), dtype)
    strengths = jnp.asarray(rng[2].standard_normal(sizes.train + sizes.tests), dtype)
    given = inputs.get("pattern")
    pattern = jnp.asarray(planted.letter(shape), wide) if given is None else _pooled(given[None], pool)[0]
    pattern = pattern.reshape(n) / jnp.linalg.norm(pattern.reshape(n))
    return _made(
        inputs["train"][: sizes.train], inputs["test"][: sizes.tests], noise, start, strengths, strength, pattern, pool
    )


@partial(jax.jit, static_argnames="pool")
def _made(
    train: Array, test: Array, noise: Array, start: Array, g: Array, strength: Array, pattern: Array, pool: int
) -> _Images:
    dtype = noise.dtype
    added = (strength.astype(dtype) * g)[:, None] * pattern.astype(dtype)[None, :]
    pixels = _pooled(train, pool).astype(dtype).reshape(len(train), -1) + added[: len(train)]
    clean = _pooled(test, pool).astype(dtype).reshape(len(test), -1) + added[len(train) :]
    high = float(LEVELS[0])
    return _Images(pixels, clean, noise, start * float(np.sqrt(1 + high**2)), spectrum_of(pixels), pattern)


def _pooled(pixels: Array, pool: int) -> Array:
    """(N, C, H, W) numbers between -1 and 1, squares of so many pixels averaged; what does not fill one is left out."""
    numbers = pixels.astype(jnp.zeros(()).dtype)
    if pixels.dtype == jnp.uint8:
        numbers = numbers / 127.5 - 1
    n, c, h, w = numbers.shape
    h, w = h // pool, w // pool
    return numbers[:, :, : h * pool, : w * pool].reshape(n, c, h, pool, w, pool).mean(axis=(3, 5))


# ---- what is told of them ----------------------------------------------------------------------------------------


@jit
def _numbers(data: Set, state: State, table: Tabled, clean: Array) -> dict[str, Array]:
    """What depends on neither pixel nor image nor level: errors, agreement, and distances from the training images."""
    wide = jnp.zeros(()).dtype
    flat = data.pixels.astype(wide)
    single = state.single.astype(wide).transpose(1, 0, 2, 3)  # (M, L, B, n)
    told = {"mse_clean": _all(data, ((single - clean.astype(wide)[None, None]) ** 2).mean(axis=3))}
    if data.networks:
        reference = single[len(data.case.names)]
        over = jax.vmap(jax.vmap(denoise.r2), in_axes=(0, None))
        told["r2_net"] = _all(data, over(single, reference))
        told["r2_pooled"] = _all(data, jax.vmap(jax.vmap(denoise.pooled_r2), in_axes=(0, None))(single, reference))
        told["mse_net"] = _all(data, ((single - reference[None]) ** 2).mean(axis=3))
        told["r2_half"] = _half(told["r2_net"])
        each = told["r2_net"].mean(axis=1)  # an image is what is drawn: its levels share the noise
        told["r2_mean"], told["r2_mean_half"] = each.mean(axis=1), _half(each)
        for name, method in (("r2_locality", LOCAL), ("r2_wiener", WIENER), ("r2_optimal", OPTIMAL)):
            told[name] = told["r2_mean"][METHODS.index(method)]
            told[f"{name}_half"] = told["r2_mean_half"][METHODS.index(method)]

    def from_training(x: Array) -> Array:
        squared = ((x**2).sum(axis=1)[:, None] - 2 * x @ flat.T + (flat**2).sum(axis=1)[None, :]) / x.shape[1]
        return jnp.sqrt(jnp.maximum(squared.min(axis=1), 0))

    ends = state.path[-1].astype(wide)
    distances = from_training(ends.reshape(-1, ends.shape[2])).reshape(ends.shape[:2])
    told["nearest_distance"] = _all(data, distances)
    told["test_distance"] = from_training(clean.astype(wide))
    told["mask_size"], told["ess"] = state.sizes, state.ess.mean(axis=1)
    told["table_mse"] = _all(data, table.errors.transpose(1, 0, 2))
    told["table_mask_size"], told["table_ess"] = table.sizes, table.ess.mean(axis=1)
    told["trace_W"] = jax.vmap(lambda sigma: data.spectrum.gains(sigma).sum())(jnp.asarray(LEVELS, wide))
    vectors = data.spectrum.vectors[:, :_DIRECTIONS].T
    signs = jnp.sign(jnp.take_along_axis(vectors, jnp.abs(vectors).argmax(axis=1)[:, None], axis=1))
    told["eigenvalue"] = data.spectrum.values
    told["eigenvector"] = (vectors * signs).reshape(-1, *data.case.shape)
    path = _all(data, state.path.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    told["path"] = path.reshape(*path.shape[:3], *data.case.shape)
    return told


def _half(values: Float[Array, "*batch B"]) -> Float[Array, "*batch"]:
    """Half the width of the 95 % interval of a mean over the last axis: Student's t."""
    from scipy.stats import t

    count = values.shape[-1]
    return float(t.ppf(0.975, count - 1)) / count**0.5 * values.std(axis=-1, ddof=1)


@jit
def _described(
    data: Set, made: _Images, state: State, here: Any, seen: Any, image: Array, told: dict[str, Array]
) -> dict[str, Array]:
    """The results of a run."""
    shape, wide = data.case.shape, jnp.zeros(()).dtype
    plane = shape[1:]
    clean = made.clean[image]
    error = _all(data, ((here.estimate.astype(wide) - clean.astype(wide)[None]) ** 2).mean(axis=1))
    estimate = _all(data, jnp.take(state.single, image, axis=2).transpose(1, 0, 2))
    own = {
        "error_locality": error[METHODS.index(LOCAL)], "error_wiener": error[METHODS.index(WIENER)],
        "error_optimal": error[METHODS.index(OPTIMAL)], "error_here": error,
        "mask_pixels": here.mask_pixels, "ess_here": here.ess.astype(wide), "field_pixels": seen.pixels,
        "clean": clean.reshape(shape), "noisy": here.noisy.reshape(shape),
        "estimate_here": _all(data, here.estimate).reshape(-1, *shape),
        "estimate": estimate.reshape(*estimate.shape[:2], *shape),
        "field": _all(data, seen.field).reshape(-1, *plane),
        "sensitivity": _all(data, seen.sensitivity).reshape(-1, len(FIELDS), *plane),
        "mask": seen.mask.reshape(-1, *plane), "mask_here": seen.mask_here.reshape(plane),
    }  # fmt: skip
    return told | own


def _all(data: Set, values: Array) -> Array:
    """With a row for each of METHODS, NaN for those that are not there."""
    at = np.array([METHODS.index(name) for name in data.names])
    return jnp.full((len(METHODS), *values.shape[1:]), jnp.nan, values.dtype).at[at].set(values)


def _by_network(learnt: Any) -> Array:
    rows = {each.network.name: each.loss for each in learnt}
    none = jnp.full_like(learnt[0].loss, jnp.nan)
    return jnp.stack([rows.get(name, none) for name in NETWORKS])


def _whole(reason: Any) -> bool:
    return bool(reason == Reason.CONVERGED)


def _reference(result: xr.Dataset) -> str:
    """The network that is compared with: the first that was trained."""
    return next(name for name in NETWORKS if bool(np.isfinite(result.mse_net.sel(denoiser=name)).any()))


def _best(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= min(float(result.error_wiener), float(result.error_optimal)) else ""

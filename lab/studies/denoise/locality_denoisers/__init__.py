"""Locality of image denoisers (Lukoianov et al., 2025) as a study: where denoisers look, computed from the data alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab.datasets import Data, Needs
from lab.denoise.comparison import COMPARISON, ERRORS, Comparison, ErrorTable
from lab.denoise.images import pooling
from lab.denoise.lineup import LOCAL, METHODS, NETWORKS, Design, Lineup
from lab.denoise.reference import Reference, reference
from lab.denoise.sampling import released
from lab.denoise.sensitivity import one_image, pixel_fields, pull_back
from lab.denoise.trial import trial
from lab.numerics import Loop, Reason, Run, first_failure
from lab.numerics.remembered import Remembered, anew
from lab.store import weights
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

LEVELS = released(10)[:-1]
FIELDS = (2, 4, 5, 6, 7, 8)
"""Levels at which sensitivity fields are looked at, by number: 12, 3.4, 2.0, 1.2, .72 and .34."""
TABLE = np.array([0.1, 0.3, 1.0, 3.0, 10.0])
"""Levels of the table of errors."""
_REMEMBERED = Remembered(bytes=512 << 20)  # one run of 5000 images of 3072 numbers
_MOST = 3072  # numbers of an image, beyond which the covariance takes too long
_LEAST = 5  # pixels a side
_of_network = partial(Result, absent="no network was trained: choose one under “networks”")
_of_pattern = partial(Result, absent="no pattern is planted: switch it on")


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
    text = "locality_denoisers.md"
    kind = "images"
    needs = Needs(height=(_LEAST, None), width=(_LEAST, None))

    data = DataSource("mnist-images", doc="a named set of images, or yours: pictures, a zip of them, or an array")
    sigma = Real(
        0.5, bounds=(0.003, 150), soft=(0.02, 20), scale="log", label="noise level", symbol="σ",
        doc="standard deviation of the noise; black is -1 and white 1",
    )
    row = Whole(
        7, bounds=(0, None), label="row of the pixel", doc="whose sensitivity is shown, from the top; or click it"
    )
    column = Whole(7, bounds=(0, None), label="column of the pixel", doc="from the left; or click the pixel")
    example = Whole(0, bounds=(0, None), label="image", doc="which of the test images is shown")
    theta = Real(
        0.1, bounds=(0, 1), soft=(0.002, 0.5), scale="log", label="theta", symbol="θ",
        doc="threshold of the mask, as a share of its largest entry; 0 keeps the numbers themselves. The paper has 0.005 for "
        "MNIST with row normalisation",
    )
    radius = Whole(
        2, bounds=(0, None), soft=(0, 13), label="patch radius", symbol="r",
        doc="patch methods see squares of 2r + 1 pixels a side, all of the image where that is larger",
    )
    train = size(
        500, (2, 60_000), (50, 5000), label="training images",
        doc="the first so many of the set, or all where it has fewer",
    )
    pool = Whole(
        None, bounds=(1, 64), soft=(1, 4), label="pooling", traced=False, allow_None=True,
        doc="squares of so many pixels a side become one, their mean; auto: the least that leaves at most 256 pixels, 2 for "
        "MNIST, which makes all 16 times faster",
    )
    networks = Choice(
        ["none", *NETWORKS, "all"],
        doc="trained on the same images, with progress and Stop, and kept; minutes at full size, seconds on digits",
    )
    train_steps = size(
        800, (10, 100_000), (200, 5000), label="training steps", when={"networks": (*NETWORKS, "all")},
        doc="of each network, of 64 images",
    )
    plant = Switch(
        False,
        label="plant a pattern",
        doc="add a letter W, or the data's own pattern, of random strength to every image",
    )
    strength = Real(
        4.0, bounds=(0, 100), soft=(0, 10), label="its strength", symbol="c", when={"plant": True},
        doc="standard deviation of what is added, along a pattern of norm 1",
    )
    normalize = Choice(
        ["symmetric", "row"], group="more",
        doc="of the mask: by both variances, or by that of the row, as in the paper, where θ must be small",
    )
    orientation = Choice(
        ["column", "row"], group="more", doc="of the mask: a pixel looks through its column, as released, or row"
    )
    accumulate = Choice(
        ["exact", "chunk_mean"], label="softmax", group="more",
        doc="over all training images, or in chunks that are averaged, as released, which depends on their order",
    )
    chunk = Whole(
        256, bounds=(1, 60_000), label="chunk", traced=False, group="more", when={"accumulate": "chunk_mean"},
        doc="training images in each of these softmaxes",
    )
    tau = positive(1.0, (0.25, 4), label="temperature", symbol="τ", group="more", doc="of every softmax; 1 is exact")
    tests = Whole(
        8, bounds=(2, 1000), label="test images", traced=False, group="more",
        doc="held out images on which all is measured, or all where there are fewer",
    )
    samples = Whole(
        8, bounds=(1, 256), label="samples", traced=False, group="more", doc="made by each method, from the same noise"
    )
    others = Switch(
        False, label="more denoisers", group="more", doc="also the nearest image and patch composites (PSPC)"
    )
    equivariant = Choice(
        ["off", "3", "5", "7"], label="ELS", group="more",
        doc="the machine whose patches, of so many pixels a side, may come from anywhere, of at most 100 images; slow",
    )

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
        _of_network("r2_locality", (), "r² of PCA locality", "with the network, mean over levels and images, and the half "
                    "width of its 95% interval", headline=True, half="r2_locality_half",
                    judge=lambda value, result: "good" if value - result.r2_locality_half >= 0.92 else ""),
        _of_network("r2_wiener", (), "r² of Wiener", "with the network", headline=True, half="r2_wiener_half"),
        _of_network("r2_optimal", (), "r² of optimal", "with the network", headline=True, half="r2_optimal_half"),
        *(_of_network(f"r2_{name}_half", (), "± r²", "half width of the 95% interval of that mean: Student's t over "
                      "test images") for name in ("locality", "wiener", "optimal")),
        Result("mse_clean", ("denoiser", "level", "test"), "error", "mean squared error a pixel to the clean image"),
        _of_network("mse_net", ("denoiser", "level", "test"), "distance", "mean squared difference from the network"),
        _of_network("r2_net", ("denoiser", "level", "test"), "r²", "agreement with the network, image by image"),
        _of_network("r2_half", ("denoiser", "level"), "± r²", "half width of the 95% interval of its mean over test images"),
        _of_network("r2_mean", ("denoiser",), "mean r²", "over levels and images"),
        _of_network("r2_mean_half", ("denoiser",), "± mean r²", "half width of its 95% interval"),
        _of_network("r2_pooled", ("denoiser", "level"), "pooled r²", "agreement over all images at once"),
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
        _of_network("curve_loss", ("network", "train_step"), "loss", "of the training, a pixel, about 1 before it"),
        _of_pattern("pattern", ("y", "x"), "pattern", "that was planted, norm 1"),
        _of_pattern("pattern_gain", ("denoiser",), "gain", "⟨P, J P⟩: how much of the pattern passes at this level"),
        _of_pattern("pattern_match", ("denoiser",), "correlation", "of Jᵀ P with the pattern P"),
        _of_pattern("pattern_pixel", ("denoiser",), "correlation", "of this pixel's field in this image with P"),
        _of_pattern("pattern_rows", ("denoiser", "stroke"), "correlation", "with P of single pixels' fields, mean over "
                    "images; of the strongest pixels of P, at least half its largest"),
        _of_pattern("pattern_field", ("denoiser", "y", "x"), "sensitivity", "Jᵀ P: where the pattern is looked for"),
        Result("iterations", (), "levels", "that were done"),
        Result("converged", (), "converged", "whether all levels were done and networks trained to their end"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Training and test images."""
        held = np.asarray(data.arrays["held_out"])
        pixels = np.asarray(data.arrays["pixels"])
        digest = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)  # what is remembered is known by it
        made = {"train": jnp.asarray(pixels[~held]), "test": jnp.asarray(pixels[held]), "digest": digest}
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
        """All denoisers at all levels, then what this image, this level and this pixel show. Each part is remembered, so that
        a click computes only fields."""
        remembered, wide = _remembering(inputs, p), jnp.result_type(float)
        sigma, theta, tau = (jnp.asarray(value, wide) for value in (p.sigma, p.theta, p.tau))
        image, radius = (jnp.asarray(n, jnp.int32) for n in (p.example, p.radius))
        train, test, design = inputs["train"][: p.train], inputs["test"][: p.tests], _design(inputs["train"].shape, p)

        # of each part, what it depends on: the parts before it, and more
        images = (design.shape, p.pool, p.seed, p.train, p.tests, p.samples, p.plant and p.strength)
        tried = remembered(
            ("images", images),
            lambda: trial(
                train, test, by=pooling(train.shape[2:], p.pool), samples=p.samples, level=float(LEVELS[0]), seed=p.seed,
                strength=jnp.asarray(p.strength, wide) if p.plant else 0.0, pattern=inputs.get("pattern"),
            ),
        )
        kinds = {"none": (), "all": NETWORKS}.get(p.networks, (p.networks,))
        networks = (images, kinds, p.train_steps)
        references = remembered(
            ("networks", networks),
            lambda: [
                reference(kind, tried.pixels, design.shape, p.train_steps, p.seed, loop=loop, keep=weights.kept)
                for kind in kinds
            ],
            _trained,
        )
        remembered = remembered if _trained(references) else anew  # what an unfinished network shows is not kept
        lineup = Lineup(
            tried.pixels, tried.spectrum, tuple(known.network for known in references), theta, radius, tau, design
        )
        clean, noise, levels = tried.clean, tried.noise, jnp.asarray(LEVELS, wide)
        every = (networks, design, p.theta, p.radius, p.tau)
        run = remembered(
            ("levels", every),
            lambda: loop(
                COMPARISON, Comparison(lineup, clean, noise, tried.start, jnp.append(levels, 0.0), FIELDS),
                max_iterations=len(LEVELS),
            ),
            _whole,
        )
        # afterwards, since it is only told: a run that was stopped has none of it
        table = remembered(
            ("table", every),
            lambda: loop(ERRORS, ErrorTable(lineup, clean, noise, jnp.asarray(TABLE, wide)), max_iterations=len(TABLE)),
            _whole,
        )
        output = remembered(
            ("numbers", every),
            lambda: variables.of_levels(lineup, run.state, table.state, clean, levels),
            lambda _: _whole(run) and _whole(table),
        )
        there = (every, p.example, p.sigma)
        one = remembered(("image", there), lambda: one_image(lineup, clean, noise, image, sigma))
        looked = remembered(
            ("fields", there, p.row, p.column),
            lambda: pixel_fields(
                lineup, jnp.asarray(LEVELS[list(FIELDS)], wide), run.state.masks, one.mask, clean, noise, image, sigma,
                jnp.asarray(p.row * design.shape[2] + p.column, jnp.int32),
            ),
            lambda _: _whole(run),
        )
        output = output | variables.of_pixel(lineup, tried, run.state.single, one, looked, image)
        if p.plant:
            pulled = remembered(
                ("pattern", there), lambda: pull_back(lineup, one.mask, clean, noise, sigma, tried.pattern)
            )
            output |= variables.of_pattern(lineup, tried.pattern, pulled, looked.field)
        reason = first_failure(run.reason, table.reason, *(known.reason for known in references))
        return output | variables.of_training(references) | {"iterations": run.iterations, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Levels and names."""
        return {
            "denoiser": list(METHODS), "level": LEVELS, "field_level": LEVELS[list(FIELDS)], "network": list(NETWORKS),
            "table_level": TABLE, "step": np.arange(1, len(LEVELS) + 1),
        }

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


def _remembering(inputs: Mapping[str, Any], p: Any) -> Callable[..., Any]:
    """What is remembered of these images, as ``Remembered.get``; where values are traced, nothing is."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((inputs, p))):
        return anew
    return _REMEMBERED.within((bytes(np.asarray(inputs["digest"])), str(jnp.result_type(float))))


def _trained(references: Sequence[Reference]) -> bool:
    return all(bool(known.reason == Reason.CONVERGED) for known in references)


def _whole(run: Run) -> bool:
    return bool(run.reason == Reason.CONVERGED)


def _design(shape: tuple[int, ...], p: Any) -> Design:
    """Of images (N, C, H, W)."""
    chunk = p.chunk if p.accumulate == "chunk_mean" else None
    patch = None if p.equivariant == "off" else int(p.equivariant)
    how = {"others": p.others, "normalize": p.normalize, "orientation": p.orientation}
    return Design.of((shape[1], *_sides(shape, p.pool)), equivariant=patch, chunk=chunk, **how)


def _sides(shape: tuple[int, ...], pool: int | None) -> tuple[int, int]:
    """Height and width after pooling."""
    by = pooling(shape[2:], pool)
    return shape[2] // by, shape[3] // by


def _reference(result: xr.Dataset) -> str:
    """The network that is compared with: the first that was trained."""
    return next(name for name in NETWORKS if bool(np.isfinite(result.mse_net.sel(denoiser=name)).any()))


def _best(value: float, result: xr.Dataset) -> Mood:
    return "good" if value <= min(float(result.error_wiener), float(result.error_optimal)) else ""

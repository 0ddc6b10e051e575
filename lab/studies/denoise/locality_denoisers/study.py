"""The study: parameters, data and presets."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.denoise.lineup import LOCAL, METHODS, NETWORKS
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, FULL, PLANTED, REPORTED
from .experiment import FIELDS, LEVELS, TABLE, compute, sides
from .pictures import PICTURES, reference
from .story import STORY

_MOST = 3072  # numbers of an image, beyond which the covariance takes too long
_LEAST = 5  # pixels a side
_TRAINED = {"networks": (*NETWORKS, "all")}
_FIXED: dict[str, Any] = {"traced": False, "group": "more"}


def _log(low: float, high: float) -> dict[str, Any]:
    return {"soft": (low, high), "scale": "log"}


class LocalityDenoisers(Study):
    """Analytic denoisers of any set of images, their sensitivity maps, and their agreement with a trained network."""

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
        0.5, bounds=(0.003, 150), **_log(0.02, 20), label="noise level", symbol="σ", doc="black is -1 and white 1"
    )
    row = Whole(7, bounds=(0, None), label="row of the pixel", doc="row, from the top; or click the pixel")
    column = Whole(7, bounds=(0, None), label="column of the pixel", doc="column, from the left; or click the pixel")
    example = Whole(0, bounds=(0, None), label="image", doc="number of the test image that is shown")
    theta = Real(
        0.1,
        bounds=(0, 1),
        **_log(0.002, 0.5),
        label="threshold of the mask",
        symbol="θ",
        doc="0 uses entries as weights",
    )
    radius = Whole(
        2, bounds=(0, None), soft=(0, 13), label="patch radius", symbol="r", doc="patches have 2r + 1 pixels a side"
    )
    train = size(500, (2, 60_000), (50, 5000), label="training images", doc="the first images of the set")
    pool = Whole(
        None,
        bounds=(1, 64),
        soft=(1, 4),
        label="pooling",
        allow_None=True,
        traced=False,
        doc="side of the squares of pixels that are averaged; auto leaves at most 256 pixels (2 for MNIST)",
    )
    networks = Choice(
        ["none", *NETWORKS, "all"], doc="trained on the same images and cached; minutes at full size, seconds on digits"
    )
    train_steps = size(
        800, (10, 100_000), (200, 5000), label="training steps", when=_TRAINED, doc="batches of 64 for each network"
    )
    plant = Switch(False, label="plant a pattern", doc="when on, each image contains a W, or the data's pattern")
    strength = Real(
        4.0,
        bounds=(0, 100),
        soft=(0, 10),
        label="strength of the pattern",
        symbol="c",
        when={"plant": True},
        doc="standard deviation of the coefficient of the pattern, which has norm 1",
    )
    normalize = Choice(
        ["symmetric", "row"], group="more", doc="of the mask: by both variances, or by the row's (the paper)"
    )
    orientation = Choice(
        ["column", "row"], group="more", doc="a pixel uses its column of the mask, as in the released code, or its row"
    )
    accumulate = Choice(
        ["exact", "chunk_mean"],
        label="softmax",
        group="more",
        doc="over all training images, or its mean over chunks, as in the released code (depends on their order)",
    )
    chunk = Whole(
        256, bounds=(1, 60_000), label="chunk", when={"accumulate": "chunk_mean"}, **_FIXED, doc="images of a softmax"
    )
    tau = positive(1.0, (0.25, 4), label="temperature", symbol="τ", group="more", doc="of every softmax; 1 is exact")
    tests = Whole(8, bounds=(2, 1000), label="test images", **_FIXED, doc="held-out images, at most all of them")
    samples = Whole(8, bounds=(1, 256), label="samples", **_FIXED, doc="samples of each method, from the same noise")
    others = Switch(False, label="more denoisers", group="more", doc="when on, adds the nearest image and PSPC")
    equivariant = Choice(
        ["off", "3", "5", "7"],
        label="ELS",
        group="more",
        doc="side, in pixels, of the patches of the equivariant local score machine, from at most 100 images; slow",
    )

    dims: ClassVar = dict.fromkeys(("level", "field_level", "table_level"), ("noise level σ", "")) | {
        "stroke": ("pixel of the pattern", ""),
        "test": ("test image", ""),
        "step": ("DDIM step", ""),
        "y": ("row", "pixel"),
        "x": ("column", "pixel"),
        "component": ("eigenvalue", ""),
    }
    presets = (
        Preset(
            "agreement",
            "Agreement with a U-Net",
            "The paper's comparison on small images: about a minute of training.",
            {"networks": "U-Net", "train": 2000, "train_steps": 1200, "tests": 16},
        ),
        Preset(
            "table",
            "The paper's comparison at full size",
            "MNIST at 28 x 28 and a U-Net: ten minutes on two cores.",
            {**FULL, "networks": "U-Net", "train_steps": 1200, "tests": 32},
        ),
        Preset(
            "architectures",
            "Digits and three architectures",
            "A U-Net, a perceptron and a transformer have similar maps.",
            {"data": "digit-images", "train": 1400, "networks": "all", "row": 4, "column": 4, "sigma": 0.6},
        ),
        Preset("planted", "A planted pattern", "The map of a pixel on the letter is the whole letter.", PLANTED),
        Preset("memory", "Few images, large masks", "Samples are copies.", {"train": 50, "theta": 0.002}),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Training and test images."""
        held = np.asarray(data.arrays["held_out"])
        pixels = np.asarray(data.arrays["pixels"])
        digest = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)  # identifies the data in the cache
        made = {"train": jnp.asarray(pixels[~held]), "test": jnp.asarray(pixels[held]), "digest": digest}
        if "pattern" in data.arrays:
            made["pattern"] = jnp.asarray(data.arrays["pattern"])
        return made

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The pixel, the patch and the image must exist."""
        h, w = sides(data.arrays["pixels"].shape, self.pool)
        shown = min(self.tests, int(data.arrays["held_out"].sum()))
        return {
            "row": Limit(0, max(h - 1, 0), f"since the images have {h} rows"),
            "column": Limit(0, max(w - 1, 0), f"since the images have {w} columns"),
            "radius": Limit(0, max(h, w, 1) - 1, "a patch that covers the whole image"),
            "example": Limit(0, shown - 1, "the last of the test images"),
        }

    def check(self, data: Data) -> None:
        """Reject images whose covariance is too large to factorize, or that pooling makes too small."""
        c, height, width = data.arrays["pixels"].shape[1:]
        h, w = sides(data.arrays["pixels"].shape, self.pool)
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
                f"images of {c} x {h} x {w} have {c * h * w} numbers, but at most {_MOST} are allowed: set the pooling to "
                f"{least} or more"
            )
        super().check(data)

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Levels and names."""
        return {
            "denoiser": list(METHODS),
            "level": LEVELS,
            "field_level": LEVELS[list(FIELDS)],
            "table_level": TABLE,
            "step": np.arange(1, len(LEVELS) + 1),
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Equal images, empty masks, and a network too weak to be a reference."""
        if not float(result.eigenvalue[0]) > 0:
            return "All training images are equal, so every denoiser returns that image: use images that differ."
        empty = float(result.mask_pixels)
        if empty < 1 and json.loads(result.attrs["parameters"])["normalize"] == "row":
            return (
                f"The masks are almost empty, {empty:.2g} pixels each, so many pixels average all training images. Lower θ, "
                "or normalize symmetrically."
            )
        if "r2_net" in result:
            name = reference(result)
            error = result.mse_clean.sel(level=slice(4, 0.3)).mean(["test", "level"])
            if float(error.sel(denoiser=name)) > float(error.sel(denoiser=LOCAL)):
                other = "" if name == "U-Net" else ", or choose the U-Net"
                return (
                    f"The {name} denoises worse than PCA locality between σ = 0.3 and 4, so it is a weak reference. Train it "
                    f"for more steps, or on more images{other}."
                )
        return ""

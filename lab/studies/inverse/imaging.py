"""What studies of damaged images have in common: images, a damage, noise, a prior, and the posterior beside it."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import PRNGKeyArray

from lab import denoise, inverse
from lab.datasets import Data, Needs
from lab.denoise import Denoiser, Images, Spectrum
from lab.denoise.images import pooling
from lab.denoise.lineup import LOCAL, LS, NETWORKS, OPTIMAL, WIENER
from lab.denoise.reference import reference
from lab.denoise.trial import trial
from lab.inverse import Problem
from lab.inverse.beds import Extent, Known, damage, empirical_posterior, gaussian_posterior
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.numerics.remembered import Remembered, anew
from lab.store import weights
from lab.studies.contract import Choice, DataSource, Limit, Real, Result, Study, Whole
from lab.studies.vocabulary import positive, size

PRIORS = (WIENER, OPTIMAL, LOCAL, LS, *NETWORKS)
_REMEMBERED = Remembered(bytes=256 << 20)
_MOST = 1024  # numbers of an image, beyond which a posterior takes too long
_UNKNOWN = "the posterior is known of linear damages, or under the prior “optimal”"


class Bed(NamedTuple):
    """What the solvers of a run have in common; images are vectors of n numbers between -1 and 1."""

    shape: tuple[int, int, int]
    pixels: Array  # (N, n), to train on
    spectrum: Spectrum
    clean: Array  # (B, n), to test on
    problem: Problem  # of all test images
    prior: Denoiser
    start: Array  # (B, n)
    known: Known | None
    key: Array  # of the solvers
    reason: Any  # of the training of a network


class Own(NamedTuple):
    """What a user brings in place of a damage or of a prior.

    Attributes:
        name: what tells it from any other, by content.
        operator: of the shape of an image.
        prior: of the shape of an image.
        y: the measurements of the test images, where they were made and are not simulated.
    """

    name: str
    operator: Callable[[tuple[int, int, int]], inverse.Operator] | None = None
    prior: Callable[[tuple[int, int, int]], Denoiser] | None = None
    y: Array | None = None


class Imaging(Study):
    """Parameters and results of a study of damaged images; ``bed`` makes what it begins with."""

    field = "Inverse problems"
    kind = "images"
    needs = Needs(height=(5, None), width=(5, None))

    data = DataSource("mnist-images", doc="a named set of images, or yours: pictures, a zip of them, or an array")
    damage = Choice(
        [*inverse.beds.LINEAR, *inverse.beds.NONLINEAR], doc="what is done to the images before they are measured"
    )
    noise = positive(
        0.1,
        (0.01, 1),
        label="noise",
        symbol="σ_y",
        bounds=(1e-4, 10),
        doc="standard deviation of the measurement's noise; black is -1 and white 1",
    )
    prior = Choice(
        list(PRIORS),
        doc="the denoiser that knows what images look like: the best linear one, the training images "
        "themselves, local ones, or a network that is trained on them",
    )
    seen = Real(
        0.5,
        bounds=(0.01, 1),
        soft=(0.05, 1),
        label="share that is seen",
        when={"damage": ("random mask", "magnetic resonance")},
        doc="of the pixels, or of the frequencies",
    )
    hole = Real(
        0.4,
        bounds=(0.05, 0.95),
        soft=(0.1, 0.8),
        label="size of the hole",
        when={"damage": ("box", "strokes")},
        doc="its side, as a share of that of the image",
    )
    blur = positive(
        1.0,
        (0.3, 3),
        label="width of the blur",
        unit="pixel",
        when={"damage": ("blur", "blur of light")},
        doc="standard deviation of its kernel",
    )
    factor = size(
        2,
        (1, 16),
        (1, 7),
        label="factor",
        when={"damage": ("average", "bicubic", "motion blur")},
        doc="pixels a side that become one, which must divide the sides; half the length of a motion blur",
    )
    views = size(
        8, (1, 180), (2, 30), label="views", when={"damage": "tomography"}, doc="directions of rays, over half a turn"
    )
    gain = positive(
        2.0, (1, 5), label="gain", when={"damage": "clip"}, doc="what grey values are multiplied by before the cut"
    )
    example = Whole(0, bounds=(0, None), label="image", doc="which of the test images is shown")
    train = size(
        1000,
        (2, 60_000),
        (50, 5000),
        label="training images",
        group="more",
        doc="the first so many of the set, or all where it has fewer",
    )
    pool = Whole(
        None,
        bounds=(1, 64),
        soft=(1, 4),
        label="pooling",
        traced=False,
        allow_None=True,
        group="more",
        doc="squares of so many pixels a side become one, their mean; auto: the least that leaves at most 256 pixels, 2 for "
        "MNIST",
    )
    tests = Whole(
        8,
        bounds=(1, 256),
        soft=(1, 32),
        label="test images",
        traced=False,
        group="more",
        doc="held out images on which errors are measured, or all where there are fewer",
    )
    theta = Real(
        0.1,
        bounds=(0, 1),
        soft=(0.002, 0.5),
        scale="log",
        label="theta",
        symbol="θ",
        group="more",
        when={"prior": LOCAL},
        doc="threshold of its mask, as a share of its largest entry",
    )
    radius = Whole(
        2,
        bounds=(0, None),
        soft=(0, 13),
        label="patch radius",
        symbol="r",
        group="more",
        when={"prior": LS},
        doc="it sees squares of 2r + 1 pixels a side",
    )
    train_steps = size(
        800,
        (10, 100_000),
        (200, 5000),
        label="training steps",
        group="more",
        when={"prior": NETWORKS},
        doc="of the network, of 64 images",
    )

    dims: ClassVar = {
        "channel": ("channel", ""),
        "y": ("row", "pixel"),
        "x": ("column", "pixel"),
        "test": ("test image", ""),
    }
    results = (
        Result("clean", ("channel", "y", "x"), "grey value", "the image"),
        Result(
            "start", ("channel", "y", "x"), "grey value", "the measurement as an image: its pseudo-inverse or adjoint"
        ),
        Result("posterior_mean", ("channel", "y", "x"), "grey value", "the exact posterior mean", absent=_UNKNOWN),
        Result("posterior_std", ("channel", "y", "x"), "standard deviation", "of the exact posterior", absent=_UNKNOWN),
        Result("psnr_start", ("test",), "PSNR of the start", "in dB, over the range 2"),
        Result("psnr_posterior", ("test",), "PSNR of the posterior mean", "in dB, over the range 2", absent=_UNKNOWN),
    )

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """Training and test images."""
        held, pixels = np.asarray(data.arrays["held_out"]), np.asarray(data.arrays["pixels"])
        digest = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)  # what is remembered is known by it
        return {"train": jnp.asarray(pixels[~held]), "test": jnp.asarray(pixels[held]), "digest": digest}

    def sides(self, data: Data) -> tuple[int, int]:
        """Height and width of the images after pooling."""
        return _sides(data.arrays["pixels"].shape, self.pool)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """The image is there, and the patch in it."""
        shown = min(self.tests, int(data.arrays["held_out"].sum()))
        side = max(*_sides(data.arrays["pixels"].shape, self.pool), 1)
        return {
            "example": Limit(0, shown - 1, "the last of the test images"),
            "radius": Limit(0, side - 1, "which sees all of the image"),
        }

    def check(self, data: Data) -> None:
        """The covariance must be of a size that can be factorized, and the damage one that images of this size can have."""
        pixels = data.arrays["pixels"]
        channels = pixels.shape[1]
        if (pixels[:9] == pixels[0]).all() and (pixels == pixels[0]).all():
            raise ValueError(
                f"all images of {data.name} are equal: nothing is to be restored; bring images that differ"
            )
        h, w = _sides(data.arrays["pixels"].shape, self.pool)
        if channels * h * w > _MOST or min(h, w) < 5:
            raise ValueError(
                self.parameters()["pool"].refuse(
                    self.pool,
                    f"images of at least 5 x 5 and at most {_MOST} numbers are taken, these are {channels} x {h} x {w}",
                )
            )
        if self.damage in ("average", "bicubic") and (h % self.factor or w % self.factor):
            raise ValueError(
                self.parameters()["factor"].refuse(self.factor, f"it must divide the sides of the images, {h} and {w}")
            )
        if self.damage == "tomography" and h != w:
            raise ValueError(
                self.parameters()["damage"].refuse(self.damage, f"it needs square images, these are {h} x {w}")
            )
        super().check(data)


@jit
def _keys(seed: Array) -> tuple[PRNGKeyArray, PRNGKeyArray, PRNGKeyArray]:
    """Of what a study draws, of the damage, and of the noise."""
    key, draws, noises = jax.random.split(jax.random.key(seed), 3)
    return key, draws, noises


def depends(p: Any, own: Own | None = None) -> tuple[Any, ...]:
    """All that a bed of the same data depends on."""
    there = set(p) - {"example"}
    parameters = {name: each for name, each in Imaging.parameters().items() if name in there}
    acts = lambda when: all(getattr(p, name) in allowed for name, allowed in when.items() if name in there)  # noqa: E731
    return own and own.name, *(getattr(p, name) for name, each in parameters.items() if acts(each.when))


def bed(inputs: Mapping[str, Any], p: Any, loop: Loop, own: Own | None = None) -> Bed:
    """The images, what was measured of them, the prior and the posterior; remembered, as far as nothing is traced."""
    wide = jnp.result_type(float)
    count, by = len(inputs["train"]), pooling(inputs["train"].shape[2:], p.pool)
    train, test = inputs["train"][: min(p.train, count)], inputs["test"][: p.tests]
    shape = (inputs["train"].shape[1], *_sides(inputs["train"].shape, p.pool))
    remembered = remembering(inputs, p)
    images = (p.train, p.pool, p.tests, p.seed)
    tried = remembered(("images", images), lambda: trial(train, test, by=by, samples=1, level=1.0, seed=p.seed))
    pixels, clean = tried.pixels.astype(wide), tried.clean.astype(wide)
    key, draws, noises = _keys(jnp.asarray(p.seed, jnp.uint32))
    if own is not None and own.operator is not None:
        operator, did = own.operator(shape), (own.name,)
    else:
        extent = Extent(p.seen, p.hole, p.blur, p.factor, p.views, p.gain)
        operator, did = damage(p.damage, shape, extent, draws), (p.damage, extent)
    if own is not None and own.y is not None:
        problem = inverse.problem(operator, own.y[: len(clean)], jnp.asarray(p.noise, wide))
    else:
        problem = inverse.measure(operator, clean.reshape(-1, *shape), jnp.asarray(p.noise, wide), noises)
    if own is not None and own.prior is not None:
        start = problem.start().reshape(len(clean), -1)
        return Bed(shape, pixels, tried.spectrum, clean, problem, own.prior(shape), start, None, key, Reason.CONVERGED)
    found = remembered(
        ("network", images, p.prior, p.train_steps)
        if p.prior in NETWORKS
        else ("prior", images, p.prior, p.theta, p.radius),
        lambda: _prior(p, pixels, tried.spectrum, shape, loop),
        lambda made: made[1] == Reason.CONVERGED,
    )
    measured = (images, did, p.noise)
    known = remembered(("posterior", measured, p.prior == OPTIMAL), lambda: _known(p, problem, pixels, tried.spectrum))
    start = problem.start().reshape(len(clean), -1)
    return Bed(shape, pixels, tried.spectrum, clean, problem, found[0], start, known, key, found[1])


def shared(made: Bed, example: Any) -> dict[str, Array]:
    """The variables of ``Imaging.results``."""
    return _shared(made.clean, made.start, made.known, jnp.asarray(example, jnp.int32), made.shape)


@jit
def _shared(clean: Array, start: Array, known: Known | None, image: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    as_image = lambda rows: jnp.take(rows, image, axis=0).reshape(shape)  # noqa: E731
    output = {"clean": as_image(clean), "start": as_image(start), "psnr_start": psnr(start, clean)}
    if known is not None:
        output |= {
            "posterior_mean": as_image(known.mean),
            "posterior_std": as_image(known.deviation),
            "psnr_posterior": psnr(known.mean, clean),
        }
    return output


def psnr(x: Array, clean: Array) -> Array:
    """Of vectors (..., n), in dB over the range of grey values."""
    return inverse.metrics.psnr(x, clean, axes=1)


def remembering(inputs: Mapping[str, Any], p: Any) -> Callable[..., Any]:
    """What is remembered of these images, as ``Remembered.get``; where values are traced, nothing is."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((inputs, p))):
        return anew
    return _REMEMBERED.within((bytes(np.asarray(inputs["digest"])), str(jnp.result_type(float))))


def _prior(p: Any, pixels: Array, spectrum: Spectrum, shape: tuple[int, int, int], loop: Loop) -> tuple[Denoiser, Any]:
    images = Images(pixels, shape)
    match p.prior:
        case "Wiener":
            made: Denoiser = denoise.Wiener(spectrum, shape)
        case "optimal":
            made = denoise.Optimal(images)
        case "PCA locality":
            made = denoise.PCALocality(images, spectrum, jnp.asarray(p.theta, pixels.dtype), jnp.ones((), pixels.dtype))
        case "LS":
            made = denoise.LS(images, 2 * jnp.asarray(p.radius, jnp.int32) + 1)
        case _:
            known = reference(p.prior, pixels, shape, p.train_steps, p.seed, loop=loop, keep=weights.kept)
            return known.network, known.reason
    return made, Reason.CONVERGED


def _known(p: Any, problem: Problem, pixels: Array, spectrum: Spectrum) -> Known | None:
    if p.prior == OPTIMAL:
        return empirical_posterior(problem, pixels)
    return gaussian_posterior(problem, spectrum) if isinstance(problem.operator, inverse.Linear) else None


def _sides(shape: tuple[int, ...], pool: int | None) -> tuple[int, int]:
    """Height and width after pooling."""
    by = pooling(shape[2:], pool)
    return shape[2] // by, shape[3] // by

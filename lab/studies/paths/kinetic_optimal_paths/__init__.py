"""Kinetic-optimal Gaussian probability paths (Shaul, Chen, Nickel, Le, Lipman, ICML 2023) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.datasets.gaussians import SPECTRA
from lab.numerics import Loop, Reason, Remembered, first_failure, pure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.paths import kinetic_family, metrics, separation, separation_estimate
from lab.paths.kinetic import KineticOptimal
from lab.paths.kinetic_family import SCHEDULES
from lab.paths.laws import is_known, target_of
from lab.paths.points import Look, View
from lab.studies.contract import Choice, DataSource, Paper, Real, Result, Study, Whole
from lab.studies.vocabulary import size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

MOST = 64  # Euler steps
_TIMES, _MOMENTS, _GRID = 201, 41, 32
_IMAGES = 12
_LATEST = 0.985  # of the density, which at t = 1 has jumps
_UNTRAINED = "nothing was trained: set training steps above 0"
_CURVES = Remembered(bytes=1_000_000)  # a curve depends on the data and on little that one moves


class Inputs(NamedTuple):
    """Data of mean 0 and mean square 1, and what is known of them."""

    target: Any  # the law
    curve: separation.Separation | None  # where it is exact
    scale: Any  # the data were centre + scale x
    centre: Any  # (d,)
    plane: Any  # (d, 2) principal axes; (1, 1) on the line
    shown: Any  # (k, 2) some points on them
    limit: Any  # half the side of the window
    image: Any  # (height, width) empty, of images
    sha: Any  # (32,) bytes, of the data


class KineticOptimalPaths(Study):
    """The schedule of least kinetic energy beside the usual ones, on exact fields."""

    slug = "kinetic-optimal-paths"
    title = "Kinetic-optimal paths"
    field = "Probability paths"
    paper = Paper(
        "Shaul, Chen, Nickel, Le, Lipman", "On Kinetic Optimal Probability Paths for Generative Models", "ICML", 2023,
        "https://arxiv.org/abs/2306.06626",
    )
    text = "kinetic_optimal_paths.md"
    kind = "samples"
    data_options = ("n", "dimension", "side", "spectrum", "seed")

    data = DataSource("checkerboard", doc="a named set of samples, or a file of yours; noise is N(0, I) always")
    nfe = Whole(
        2, bounds=(1, MOST), soft=(1, MOST), scale="log", label="Euler steps", symbol="K",
        doc="equal steps from noise to data; each costs one evaluation of the velocity",
    )
    weight = Real(
        0.5, bounds=(0, 1), label="towards linear", symbol="w",
        doc="of the schedule between: 0 is the kinetic optimal one, 1 the linear one",
    )
    beside = Choice(
        ["trigonometric", "VP", "between"], label="third schedule",
        doc="shown beside the kinetic optimal and the linear schedule; all five are computed",
    )
    particles = size(
        500, (10, 5000), (100, 2000), label="particles",
        doc="how many; more lower the floor of W₂², at a cost that grows with their cube",
    )
    n = size(
        None, (2, 100_000), (10, 5000), label="points", allow_None=True,
        doc="of the data set; auto: as many as it has. Where the law is known only the points drawn for the eye",
    )
    dimension = size(
        2, (1, 4096), (1, 2048), label="dimension", symbol="d",
        doc="of the set of a few Gaussian points; other sets have their own",
    )
    side = Choice(["28", "14", "7"], label="pixels a side", doc="of MNIST, pooled; other sets have their own")
    spectrum = Choice(list(SPECTRA), label="eigenvalues", doc="of the covariance of the stretched Gaussian")
    draws = size(
        None, (2, 10_000_000), (100, 100_000), label="draws of noise", group="more", allow_None=True,
        doc="antithetic pairs, of all points, that the curve is estimated with; auto: 2000 for a known law, "
        "4 a point or more for points, fewer where that takes long",
    )
    training_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", group="more", traced=False,
        doc="of a small network for each of the three schedules shown, 256 pairs a step; 0: exact fields only",
    )

    dims: ClassVar = {
        "schedule": ("schedule", ""), "panel": ("schedule shown", ""), "theta": ("angle θ, tan θ = a/m", "rad"),
        "t": ("time t", ""), "moment": ("time t", ""), "step": ("training step", ""),
        "particle": ("particle", ""), "axis": ("axis", ""), "point": ("point", ""), "u": ("x₁", ""), "v": ("x₂", ""),
        "image": ("image", ""), "row": ("row", "pixel"), "column": ("column", "pixel"),
    }
    results = (
        Result("phi_total", (), "angle Φ", "∫√γ dθ, the opening of the chord; π/2 where straight lines are best", unit="rad",
               headline=True),
        Result("least", (), "least energy E*", "2 - 2 cos Φ, of the kinetic optimal schedule, per dimension", headline=True),
        Result("gain", (), "W₂² linear : optimal", "squared distance to the data, of the linear over the optimal schedule",
               headline=True, judge=lambda value, result: "good" if value > 1 else ""),
        Result("w2sq_floor", (), "floor of W₂²", "between two sets of fresh samples of the data", headline=True),
        Result("phi_error", (), "error of Φ", "standard error, if those of all angles went the same way", unit="rad"),
        Result("deficit", (), "∫(1 - λ) ds", "how far the points are from being told apart at once"),
        Result("scale", (), "scale", "that the centred data were divided by"),
        Result("energy", ("schedule",), "energy E", "of the marginal velocity, per dimension; of VP to t = 0.999"),
        Result("energy_conditional", ("schedule",), "energy of pairs", "of single pairs, per dimension; of VP to t = 0.999, of "
               "the optimal schedule and between from t = 0.001"),
        Result("w2sq", ("schedule",), "W₂²", "squared distance of the particles from as many fresh samples"),
        Result("gamma", ("theta",), "γ", "how much better than linear denoising is, by the angle"),
        Result("gamma_error", ("theta",), "error of γ", "standard error"),
        Result("lam", ("theta",), "λ", "data separation function: 1 less the error of the best denoiser, per dimension"),
        Result("a", ("schedule", "t"), "a", "factor of the data"),
        Result("m", ("schedule", "t"), "m", "factor of the noise"),
        Result("density", ("schedule", "t"), "E|u|²/d", "energy of the marginal velocity at each time"),
        Result("density_conditional", ("schedule", "t"), "energy of pairs", "a'² + m'² at each time"),
        Result("position", ("schedule", "moment", "particle", "axis"), "position", "of the particles; of more dimensions "
               "than two, on the principal axes of the data; on the line, beside where they began"),
        Result("data_position", ("point", "axis"), "data", "some points of the data, likewise"),
        Result("limit", (), "half side", "of the window that holds them"),
        Result("marginal", ("panel", "moment", "v", "u"), "density", "exact, of the path, where the law is known in the plane",
               absent="the law is not known in the plane: choose a set with a density, such as checkerboard"),
        Result("sample_image", ("schedule", "image", "row", "column"), "picture", "that the first particles end as",
               absent="the data are no grey images: choose digits or MNIST, data = digit-samples or mnist-samples"),
        Result("loss", ("panel", "step"), "loss", "of the network, by training step", absent=_UNTRAINED),
        Result("loss_least", ("panel",), "least loss", "d (energy of pairs - energy), that of the exact velocity",
               absent=_UNTRAINED),
        Result("w2sq_network", ("panel",), "W₂² with network", "of particles moved by the trained network", absent=_UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The law of the data, centred and divided by one scale, and the plane that one looks at."""
        arrays = data.arrays
        dtype = jnp.result_type(float)
        x = placed(np.asarray(arrays["x"], dtype))
        curve = None
        if "eigenvalues" in arrays:
            e = jnp.asarray(arrays["eigenvalues"], dtype)
            target: Any = paths.Mixture(jnp.ones(1, dtype), jnp.zeros((1, e.size), dtype), e[None])
            centre, scale = jnp.zeros(e.size, dtype), jnp.ones((), dtype)
            curve = separation.of_gaussian(e, jnp.asarray(separation_estimate.angles(dtype)[1:-1]))
        elif is_known(arrays):
            law: Any = target_of(arrays)
            target, centre, scale = separation.normalize_law(law)
        else:
            points, centre, scale = separation.normalize(x)
            target = paths.Empirical(points)
        x = (np.asarray(x) - np.asarray(centre)[None, :]) / np.asarray(scale)
        plane = principal_plane(x).axes.astype(dtype)
        every = max(1, x.shape[0] // 500)
        shown = x[::every][:500] @ plane
        limit = max(2.8, 1.12 * float(np.quantile(np.abs(shown), 0.998)))
        shape = data.axes.get("image", ())
        sha = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)
        image = np.zeros(shape if len(shape) == 2 else (0, 0), np.int8)
        return Inputs(target, curve, scale, centre, placed(plane), placed(shown), limit, image, sha)

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """The curve, the schedules and their energies, then particles by Euler steps."""
        curve, estimated = _curve(inputs, p.draws, p.seed, loop)
        weight = jnp.asarray(p.weight, curve.theta.dtype)
        optimal, cloud, learning = _drawn(curve, inputs.target, p.only("seed"), p.particles)
        velocities = kinetic_family.ExactVelocities(optimal, weight, placed(np.arange(len(SCHEDULES))), inputs.target)
        moved = _moved(velocities, len(SCHEDULES), cloud, inputs, p.nfe, loop)
        output = _described(curve, weight) | _judged(moved.x, moved.end, cloud, inputs.plane)
        output |= {
            "scale": inputs.scale, "limit": inputs.limit, "data_position": _in_plane(inputs.shown, -inputs.limit),
        }
        shown = kinetic_family.ExactVelocities(
            optimal, weight, placed(np.asarray([0, 1, SCHEDULES.index(p.beside)])), inputs.target
        )
        if inputs.target.dimension == 2 and not isinstance(inputs.target, paths.Empirical):
            output["marginal"] = _marginal(shown, inputs.limit)
        if inputs.image.size:
            pictures = moved.end[:, :_IMAGES] * inputs.scale + inputs.centre[None, None, :]
            output["sample_image"] = pictures.reshape(*pictures.shape[:2], *inputs.image.shape)
        reasons = [estimated, moved.reason]
        if p.training_steps:
            learned = kinetic_family.learn(learning, shown, p.training_steps, loop)
            ends = _moved(learned.velocities, 3, cloud, inputs, p.nfe, loop)
            output |= {
                "loss": learned.loss, "loss_least": learned.least, "w2sq_network": _distances(ends.end, cloud.fresh),
            }
            reasons += [learned.reason, ends.reason]
        return output | {"reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Angles, times and the window in numbers, schedules by name."""
        side = np.linspace(-inputs.limit, inputs.limit, _GRID)
        plane = not isinstance(inputs.target, paths.Empirical) and inputs.target.dimension == 2
        return {
            "schedule": list(SCHEDULES), "theta": separation_estimate.angles(), "t": np.linspace(0, 1, _TIMES),
            "moment": np.linspace(0, 1, _MOMENTS),
        } | ({"u": side, "v": side} if plane else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """When a number can't be told from chance."""
        if float(result.phi_error) > 0.04 * float(result.phi_total):
            return (
                f"The curve is known to {float(result.phi_error / result.phi_total):.0%} only: raise the draws of noise "
                "(under more)."
            )
        return ""


class _Cloud(NamedTuple):
    """Particles at their start, and two sets of as many samples of the data."""

    start: Any  # (n, d)
    fresh: Any
    other: Any


def _curve(inputs: Inputs, draws: int | None, seed: Any, loop: Loop) -> tuple[separation.Separation, Any]:
    """The separation curve: what is known exactly, what is remembered of these data, or what is estimated now."""
    if inputs.curve is not None:
        return inputs.curve, Reason.CONVERGED
    target = inputs.target
    pairs = separation_estimate.pairs_of(target) if draws is None else draws

    def estimate() -> separation_estimate.Estimated:
        key = jax.random.fold_in(jax.random.key(seed), 1)
        return separation_estimate.estimate(key, target, pairs, loop)

    if loop is pure:  # where the seed may be traced
        return estimate()
    known = np.asarray(inputs.sha).tobytes(), str(inputs.plane.dtype), seed, pairs
    return _CURVES.get(known, estimate, worth=lambda found: found.reason == Reason.CONVERGED)


def _moved(velocities: Any, flows: int, cloud: _Cloud, inputs: Inputs, steps: Any, loop: Loop) -> paths.Carried:
    """The particles of so many flows by Euler steps, seen in the plane at the moments of the film."""
    start = jnp.broadcast_to(cloud.start, (flows, *cloud.start.shape))
    look = Look(View(placed(np.zeros(start.shape[-1], start.dtype)), inputs.plane))
    moments = placed(np.linspace(0, 1, _MOMENTS))
    return paths.carry(
        loop, velocities, start, paths.even(steps, MOST), solver="euler", steps=steps, keep=look, frames=moments
    )


def _in_plane(seen: Any, start: Any) -> Any:
    """In the plane: points of the line are set above where they began."""
    return seen if seen.shape[-1] == 2 else jnp.concatenate([jnp.broadcast_to(start, seen.shape), seen], axis=-1)


@jit
def _drawn(curve: separation.Separation, target: Any, p: Any, n: int) -> tuple[KineticOptimal, _Cloud, Any]:
    """The optimal schedule, and everything that is drawn but the curve; and a key."""
    noise, fresh, other, learning = jax.random.split(jax.random.fold_in(jax.random.key(p.seed), 2), 4)
    dtype = jax.tree.leaves(target)[0].dtype
    start = random.normal(noise, (n, target.dimension), dtype)
    return KineticOptimal(curve), _Cloud(start, target.sample(fresh, n), target.sample(other, n)), learning


@jit
def _described(curve: separation.Separation, weight: Any) -> dict[str, Any]:
    """The curve, the schedules, and their energies."""
    found = kinetic_family.energies(curve, weight, jnp.linspace(0, 1, _TIMES, dtype=curve.theta.dtype))
    return {
        "a": found.beta, "m": found.alpha, "density": found.density, "density_conditional": found.density_conditional,
        "energy": found.energy, "energy_conditional": found.energy_conditional,
        "phi_total": curve.total, "phi_error": curve.total_error, "least": curve.least, "deficit": curve.deficit,
        "gamma": curve.gamma, "gamma_error": curve.error, "lam": curve.lam,
    }


@jit
def _judged(seen: Any, ends: Any, cloud: _Cloud, plane: Any) -> dict[str, Any]:
    """Particles at the moments of the film, and their distance from the data at its end."""
    distance = _distances(ends, cloud.fresh)
    return {
        "position": _in_plane(seen.swapaxes(0, 1), (cloud.start @ plane)[None, None]).astype(jnp.float32),
        "w2sq": distance,
        "w2sq_floor": metrics.squared_wasserstein(cloud.other, cloud.fresh),
        "gain": distance[1] / distance[0],
    }


def _distances(x: Any, fresh: Any) -> Any:
    return jax.vmap(lambda x: metrics.squared_wasserstein(x, fresh))(x)


@jit
def _marginal(velocities: kinetic_family.ExactVelocities, limit: Any) -> Any:
    """The exact density of the path on a grid, at the moments of the film."""
    dtype = velocities.optimal.curve.knots.dtype
    side = jnp.linspace(-1, 1, _GRID, dtype=dtype) * limit
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    times = jnp.clip(jnp.linspace(0, 1, _MOMENTS, dtype=dtype), None, _LATEST)
    found = kinetic_family.densities(velocities, times, grid)
    return found.reshape(*found.shape[:2], _GRID, _GRID).astype(jnp.float32)

"""Kinetic-optimal Gaussian probability paths (Shaul, Chen, Nickel, Le, Lipman, ICML 2023) as a study."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.jit import jit
from lab.paths import kinetic, metrics, network, training
from lab.studies.contract import Choice, DataSource, Paper, Real, Result, Study, Whole
from lab.studies.paths.path_parts import is_known, target_of

from .claims import CLAIMS
from .data import SPECTRA
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

SCHEDULES = ("kinetic optimal", "linear", "trigonometric", "VP", "between")
MOST = 64  # Euler steps
_CHUNKS, _ANGLES = 8, 12  # of the curve: so many angles are computed at once
_TIMES, _MOMENTS, _GRID = 201, 41, 32
_CUT = 1e-3  # of times where an energy diverges
_IMAGES = 12
_LATEST = 0.985  # of the density, which at t = 1 has jumps


class Inputs(NamedTuple):
    """Data of mean 0 and mean square 1, and what is known of them."""

    target: Any  # the law
    curve: kinetic.Separation | None  # where it is exact
    scale: Any  # the data were centre + scale x
    centre: Any  # (d,)
    plane: Any  # (d, 2) principal axes; (1, 1) on the line
    shown: Any  # (k, 2) some points on them
    limit: Any  # half the side of the window
    image: Any  # (height, width) empty, of images
    sha: Any  # (32,) bytes, of the data


class Family(eqx.Module):
    """The schedule of this number in ``SCHEDULES``."""

    optimal: kinetic.KineticOptimal
    weight: Any  # of the linear schedule in "between"
    number: Any

    def __call__(self, t: Any) -> paths.Coefficients:
        t = jnp.asarray(t, self.optimal.curve.knots.dtype)
        optimal, linear = self.optimal(t), paths.Linear()(t)
        w = jnp.asarray(self.weight, t.dtype)
        between = jax.tree.map(lambda a, b: (1 - w) * a + w * b, optimal, linear)
        each = optimal, linear, paths.Trigonometric()(t), paths.VP()(t), between
        return jax.tree.map(lambda *values: jnp.stack(values)[self.number], *each)


# --- the curve of the data, some angles at a time -----------------------------------------------------------------------


class Angles(eqx.Module):
    key: Any
    target: Any
    theta: Any  # (chunks, angles)
    pairs: int = eqx.field(static=True)


class Found(NamedTuple):
    step: Any
    gamma: Any  # (chunks, angles)
    error: Any


def _curve_step(work: Angles, state: Found) -> Found:
    theta, k = work.theta[state.step], state.step
    n = work.target.points.shape[0] if isinstance(work.target, paths.Empirical) else 0
    if n and work.pairs >= n:
        found = kinetic.of_points(work.key, work.target.points, theta, work.target.weights, draws=work.pairs // n)
    else:
        found = kinetic.of_law(work.key, work.target, theta, n=work.pairs)
    return Found(k + 1, state.gamma.at[k].set(found.gamma[1:-1]), state.error.at[k].set(found.error[1:-1]))


CURVE = Method(
    lambda work: Found(jnp.int32(0), jnp.zeros_like(work.theta), jnp.zeros_like(work.theta)),
    _curve_step,
    lambda work, state: jnp.where(state.step < work.theta.shape[0], Reason.RUNNING, Reason.CONVERGED),
    lambda work, state: {"gamma": state.gamma[state.step - 1].mean()},
)


def _pairs(draws: int | None, target: Any) -> int:
    """Of noise, by default: many enough for an angle Φ good to half a per cent, at a cost of seconds."""
    if draws is not None:
        return draws
    if not isinstance(target, paths.Empirical):
        return 2000
    n, d = target.points.shape
    wanted = max(4, round(min(200_000, 2_000_000 / n) / n)) * n
    return int(
        min(wanted, max(500, min(1e10 / (n * d), 3.5e7 / n)))
    )  # products count in many dimensions, exponentials in few


def _theta(dtype: Any) -> np.ndarray:
    return np.linspace(0, np.pi / 2, _CHUNKS * _ANGLES + 2).astype(dtype)


_curves: OrderedDict[Any, kinetic.Separation] = OrderedDict()


def _curve(inputs: Inputs, p: Any, loop: Loop) -> tuple[kinetic.Separation, Any]:
    """The separation curve, remembered for the last few data sets: it depends on nothing else that one moves."""
    if inputs.curve is not None:
        return inputs.curve, Reason.CONVERGED
    pairs = _pairs(p.draws, inputs.target)
    kept = (np.asarray(inputs.sha).tobytes(), p.seed, pairs) if loop is not pure else None
    if kept in _curves:
        return _curves[kept], Reason.CONVERGED
    dtype = inputs.plane.dtype
    theta = _theta(dtype)
    # each chunk spans all angles, so that what a stop leaves out can be interpolated
    work = Angles(
        jax.random.fold_in(jax.random.key(p.seed), 1),
        inputs.target,
        jnp.asarray(theta[1:-1].reshape(_ANGLES, -1).T),
        pairs,
    )
    run = loop(CURVE, work, max_iterations=_CHUNKS)
    end = 1.0 if isinstance(inputs.target, paths.Empirical) else 0.0
    curve = _assembled(jnp.asarray(theta), run.state.gamma, run.state.error, end)
    if kept is None:
        return curve, run.reason
    if run.reason != Reason.CONVERGED:
        known = np.r_[True, np.arange(_CHUNKS * _ANGLES) % _CHUNKS < int(run.state.step), True]
        gamma, error = (
            jnp.asarray(np.interp(theta, theta[known], np.asarray(values)[known]), dtype)
            for values in (curve.gamma, curve.error)
        )
        return kinetic.Separation(curve.theta, gamma, error), run.reason
    _curves[kept] = curve
    while len(_curves) > 16:
        _curves.popitem(last=False)
    return curve, run.reason


@jax.jit
def _assembled(theta: Any, gamma: Any, error: Any, end: Any) -> kinetic.Separation:
    """From chunks of angles, and the ends where it is known."""
    first, last = jnp.zeros(1, theta.dtype), jnp.asarray(end, theta.dtype)[None]
    return kinetic.Separation(
        theta, jnp.concatenate([first, gamma.T.ravel(), last]), jnp.concatenate([first, error.T.ravel(), first])
    )


_optimal = jit(kinetic.KineticOptimal)


# --- Euler steps ----------------------------------------------------------------------------------------------------------


class Exact(eqx.Module):
    """The exact velocities of some schedules: (schedules, n, d) at a time."""

    optimal: kinetic.KineticOptimal
    weight: Any
    numbers: Any
    target: Any

    def field(self, number: Any) -> paths.Exact:
        return paths.exact(
            Family(self.optimal, self.weight, number), paths.standard(self.target.dimension), self.target
        )

    def __call__(self, t: Any, x: Any) -> Any:
        return jax.vmap(lambda number, x: self.field(number).velocity(t, x))(self.numbers, x)


class Networks(eqx.Module):
    """Those of trained networks, stacked."""

    each: Any

    def __call__(self, t: Any, x: Any) -> Any:
        return jax.vmap(lambda net, x: net(t, x))(self.each, x)


class Walk(eqx.Module):
    velocity: Any
    x: Any  # (schedules, n, d)
    plane: Any
    steps: Any


class Walked(NamedTuple):
    step: Any
    x: Any
    way: Any  # (schedules, MOST + 1, n, 1 or 2), what is seen of the particles


def _walk_init(work: Walk) -> Walked:
    seen = work.x @ work.plane
    return Walked(jnp.int32(0), work.x, jnp.broadcast_to(seen[:, None], (seen.shape[0], MOST + 1, *seen.shape[1:])))


def _walk_step(work: Walk, state: Walked) -> Walked:
    h = 1 / jnp.asarray(work.steps, state.x.dtype)
    x = state.x + h * work.velocity(state.step * h, state.x)
    later = (jnp.arange(MOST + 1) > state.step)[None, :, None, None]
    return Walked(state.step + 1, x, jnp.where(later, (x @ work.plane)[:, None], state.way))


EULER = Method(
    _walk_init,
    _walk_step,
    lambda work, state: jnp.where(
        jnp.isfinite(state.x).all(),
        jnp.where(state.step < work.steps, Reason.RUNNING, Reason.CONVERGED),
        Reason.NOT_FINITE,
    ),
    lambda work, state: {"square": (state.x**2).mean()},
)


# --- the study --------------------------------------------------------------------------------------------------------------


class KineticOptimalPaths(Study):
    """The schedule of least kinetic energy beside the usual ones, on exact fields."""

    slug = "kinetic-optimal-paths"
    title = "Kinetic-optimal paths"
    field = "Probability paths"
    paper = Paper(
        "Shaul, Chen, Nickel, Le, Lipman", "On Kinetic Optimal Probability Paths for Generative Models", "ICML", 2023,
        "https://arxiv.org/abs/2306.06626",
    )  # fmt: skip
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"
    data_options = ("n", "dimension", "side", "spectrum", "seed")

    data = DataSource("checkerboard", doc="a named set of samples, or a file of yours; noise is N(0, I) always")
    nfe = Whole(
        2, bounds=(1, MOST), soft=(1, MOST), scale="log", label="Euler steps", symbol="K",
        doc="equal steps from noise to data; each costs one evaluation of the velocity",
    )  # fmt: skip
    weight = Real(
        0.5, bounds=(0, 1), label="towards linear", symbol="w",
        doc="of the schedule between: 0 is the kinetic optimal one, 1 the linear one",
    )  # fmt: skip
    beside = Choice(
        ["trigonometric", "VP", "between"], label="third schedule",
        doc="shown beside the kinetic optimal and the linear schedule; all five are computed",
    )  # fmt: skip
    particles = Whole(
        500, bounds=(10, 5000), soft=(100, 2000), scale="log", label="particles", traced=False,
        doc="how many; more lower the floor of W₂², at a cost that grows with their cube",
    )  # fmt: skip
    n = Whole(
        None, bounds=(2, 100_000), soft=(10, 5000), scale="log", label="points", traced=False, allow_None=True,
        doc="of the data set; auto: as many as it has. Where the law is known only the points drawn for the eye",
    )  # fmt: skip
    dimension = Whole(
        2, bounds=(1, 4096), soft=(1, 2048), scale="log", label="dimension", symbol="d", traced=False,
        doc="of the set of a few Gaussian points; other sets have their own",
    )  # fmt: skip
    side = Choice(["28", "14", "7"], label="pixels a side", doc="of MNIST, pooled; other sets have their own")
    spectrum = Choice(list(SPECTRA), label="eigenvalues", doc="of the covariance of the stretched Gaussian")
    draws = Whole(
        None, bounds=(2, 10_000_000), soft=(100, 100_000), scale="log", label="draws of noise", group="more", traced=False,
        allow_None=True, doc="antithetic pairs, of all points, that the curve is estimated with; auto: 2000 for a known law, "
        "4 a point or more for points, fewer where that takes long",
    )  # fmt: skip
    training_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", group="more", traced=False,
        doc="of a small network for each of the three schedules shown, 256 pairs a step; 0: exact fields only",
    )  # fmt: skip

    dims: ClassVar = {
        "schedule": ("schedule", ""),
        "theta": ("angle θ, tan θ = a/m", "rad"),
        "t": ("time t", ""),
        "moment": ("time t", ""),
        "particle": ("particle", ""),
        "axis": ("axis", ""),
        "point": ("point", ""),
        "panel": ("schedule shown", ""),
        "u": ("x₁", ""),
        "v": ("x₂", ""),
        "image": ("image", ""),
        "row": ("row", "pixel"),
        "column": ("column", "pixel"),
        "step": ("training step", ""),
    }
    results = (
        Result("phi_total", (), "angle Φ", "∫√γ dθ, the opening of the chord; π/2 where straight lines are best", unit="rad",
               headline=True),
        Result("least", (), "least energy E*", "2 - 2 cos Φ, of the kinetic optimal schedule, per dimension", headline=True),
        Result("gain", (), "W₂² linear : optimal", "squared distance to the data, of the linear over the optimal schedule",
               headline=True, judge=lambda value, result: "good" if value > 1 else ""),
        Result("w2sq_floor", (), "floor of W₂²", "between two sets of fresh samples of the data", headline=True),
        Result("converged", (), "finished", "whether the curve and all steps were computed", headline=True,
               judge=lambda value, result: "good" if value else "warn"),
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
               optional=True),
        Result("sample_image", ("schedule", "image", "row", "column"), "picture", "that the first particles end as",
               optional=True),
        Result("loss", ("panel", "step"), "loss", "of the network, by training step", optional=True),
        Result("loss_least", ("panel",), "least loss", "d (energy of pairs - energy), that of the exact velocity",
               optional=True),
        Result("w2sq_network", ("panel",), "W₂² with network", "of particles moved by the trained network", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The law of the data, centred and divided by one scale, and the plane that one looks at."""
        arrays = data.arrays
        dtype = jnp.zeros(()).dtype
        x = jnp.asarray(arrays["x"], dtype)
        curve = None
        if "eigenvalues" in arrays:
            e = jnp.asarray(arrays["eigenvalues"], dtype)
            target: Any = paths.Mixture(jnp.ones(1, dtype), jnp.zeros((1, e.size), dtype), e[None])
            centre, scale = jnp.zeros(e.size, dtype), jnp.ones((), dtype)
            curve = kinetic.of_gaussian(e, jnp.asarray(_theta(dtype)[1:-1]))
        elif is_known(arrays):
            law = target_of(arrays)
            mean, covariance = law.moments()
            centre, scale = mean, jnp.sqrt(jnp.trace(covariance) / mean.size)
            target = _moved(law, centre, scale)
        else:
            found = kinetic.normalize(x)
            centre, scale = found.centre, found.scale
            target = paths.Empirical(found.x)
        x = (x - centre[None, :]) / scale
        plane = _plane(np.asarray(x)).astype(dtype)
        every = max(1, x.shape[0] // 500)
        shown = np.asarray(x[::every][:500] @ plane)
        limit = max(2.8, 1.12 * float(np.quantile(np.abs(shown), 0.998)))
        shape = data.axes.get("image", ())
        sha = np.frombuffer(bytes.fromhex(data.sha256), np.uint8)
        image = np.zeros(shape if len(shape) == 2 else (0, 0), np.int8)
        return Inputs(target, curve, scale, centre, jnp.asarray(plane), jnp.asarray(shown), limit, image, sha)

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """The curve, the schedules and their energies, then particles by Euler steps."""
        curve, curved = _curve(inputs, p, loop)
        optimal = _optimal(curve)
        weight = jnp.asarray(p.weight, curve.theta.dtype)
        noise, fresh, other, trained = jax.random.split(jax.random.fold_in(jax.random.key(p.seed), 2), 4)
        draw = _drawn(inputs.target, noise, fresh, other, p.particles)
        velocity = Exact(optimal, weight, jnp.arange(len(SCHEDULES)), inputs.target)
        steps = jnp.asarray(p.nfe, jnp.int32)
        x0 = jnp.broadcast_to(draw["x0"], (len(SCHEDULES), *draw["x0"].shape))
        walk = loop(EULER, Walk(velocity, x0, inputs.plane, steps), max_iterations=MOST)
        shown = jnp.asarray([0, 1, SCHEDULES.index(p.beside)])
        output = _described(curve, optimal, weight) | _judged(walk.state, draw, steps, inputs.plane)
        output |= {
            "scale": inputs.scale, "data_position": _two(inputs.shown, -inputs.limit), "limit": inputs.limit,
            "reason": _first(curved, walk.reason),
        }  # fmt: skip
        if inputs.target.dimension == 2 and not isinstance(inputs.target, paths.Empirical):
            output["marginal"] = _marginal(velocity, shown, inputs.limit)
        if inputs.image.size:
            pictures = walk.state.x[:, :_IMAGES] * inputs.scale + inputs.centre[None, None, :]
            output["sample_image"] = pictures.reshape(*pictures.shape[:2], *inputs.image.shape)
        if p.training_steps:
            output |= _trained(trained, velocity, shown, inputs, draw, steps, p.training_steps, output["reason"], loop)
        return output

    @classmethod
    def coords(cls, data: Data, inputs: Inputs) -> Mapping[str, Any]:
        """Angles, times and the window in numbers, schedules by name."""
        side = np.linspace(-inputs.limit, inputs.limit, _GRID)
        plane = not isinstance(inputs.target, paths.Empirical) and inputs.target.dimension == 2
        return {
            "schedule": list(SCHEDULES), "theta": _theta(float), "t": np.linspace(0, 1, _TIMES),
            "moment": np.linspace(0, 1, _MOMENTS),
        } | ({"u": side, "v": side} if plane else {})  # fmt: skip

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """When a number can't be told from chance."""
        if float(result.phi_error) > 0.04 * float(result.phi_total):
            return (
                f"The curve is known to {float(result.phi_error / result.phi_total):.0%} only: raise the draws of noise "
                "(under more)."
            )
        return ""


def _plane(x: np.ndarray) -> np.ndarray:
    """The first two principal axes (d, 2), those of the plane itself, or the line."""
    d = x.shape[1]
    if d <= 2:
        return np.eye(d)
    few = x.shape[0] < d
    axes = np.linalg.svd(x, full_matrices=False)[2][:2].T if few else np.linalg.eigh(x.T @ x)[1][:, :-3:-1]
    return axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)[None, :]


def _moved(law: Any, centre: Any, scale: Any) -> Any:
    if isinstance(law, paths.Mixture):
        return paths.Mixture(law.weights, (law.means - centre[None, :]) / scale, law.covariances / scale**2)
    return paths.Boxes((law.low - centre[None, :]) / scale, (law.high - centre[None, :]) / scale, law.weights)


def _first(*reasons: Any) -> Any:
    """The first that is not CONVERGED."""
    found: Any = jnp.int32(Reason.CONVERGED)
    for reason in reversed(reasons):
        found = jnp.where(jnp.asarray(reason) == Reason.CONVERGED, found, reason)
    return found


def _two(seen: Any, start: Any) -> Any:
    """In the plane: points of the line are set above where they began."""
    return seen if seen.shape[-1] == 2 else jnp.concatenate([jnp.broadcast_to(start, seen.shape), seen], axis=-1)


@jit
def _drawn(target: Any, noise: Any, fresh: Any, other: Any, n: int) -> dict[str, Any]:
    dtype = jax.tree.leaves(target)[0].dtype
    x0 = jax.random.normal(noise, (n, target.dimension), dtype)
    return {"x0": x0, "fresh": target.sample(fresh, n), "other": target.sample(other, n)}


@jax.jit
def _described(curve: kinetic.Separation, optimal: kinetic.KineticOptimal, weight: Any) -> dict[str, Any]:
    """The curve, the schedules, and their energies."""
    dtype = curve.theta.dtype
    t = jnp.linspace(0, 1, _TIMES, dtype=dtype)
    inner = jnp.clip(t, _CUT, 1 - _CUT)  # a derivative may be infinite at the ends

    def of(number):
        schedule = Family(optimal, weight, number)
        c = jax.vmap(schedule)(t)
        density = kinetic.energy_density(schedule, curve, inner)
        stop = jnp.where(number == SCHEDULES.index("VP"), 1 - _CUT, 1.0)
        steep = (number == 0) | (number == SCHEDULES.index("between")) & (weight < 1)
        starts = jnp.stack([jnp.zeros((), dtype), jnp.where(steep, _CUT, 0.0).astype(dtype)])
        energy = jax.vmap(lambda start: kinetic.energy(schedule, curve, start, stop))(starts)
        return c.beta, c.alpha, density.marginal, density.conditional, energy.marginal[0], energy.conditional[1]

    names = "a", "m", "density", "density_conditional", "energy", "energy_conditional"
    root = jnp.sqrt(jnp.maximum(curve.gamma, 1e-12))
    return dict(zip(names, jax.vmap(of)(jnp.arange(len(SCHEDULES))), strict=True)) | {
        "phi_total": curve.total, "least": curve.least, "deficit": curve.deficit, "gamma": curve.gamma,
        "phi_error": jnp.trapezoid(jnp.minimum(curve.error / (2 * root), jnp.sqrt(curve.error)), curve.theta),
        "gamma_error": curve.error, "lam": curve.lam,
    }  # fmt: skip


@jax.jit
def _judged(state: Walked, draw: dict[str, Any], steps: Any, plane: Any) -> dict[str, Any]:
    """Particles at the moments of the film, and their distance from the data at its end."""
    at = jnp.minimum(jnp.linspace(0, 1, _MOMENTS) * steps, state.step)
    left = jnp.minimum(jnp.floor(at), MOST - 1).astype(jnp.int32)
    share = (at - left).astype(state.x.dtype)[None, :, None, None]
    seen = (1 - share) * state.way[:, left] + share * state.way[:, left + 1]  # straight between two steps
    distance = jax.vmap(lambda x: metrics.squared_wasserstein(x, draw["fresh"]))(state.x)
    return {
        "position": _two(seen, (draw["x0"] @ plane)[None, None]).astype(jnp.float32),
        "w2sq": distance,
        "w2sq_floor": metrics.squared_wasserstein(draw["other"], draw["fresh"]),
        "gain": distance[1] / distance[0],
    }


@jax.jit
def _marginal(velocity: Exact, numbers: Any, limit: Any) -> Any:
    """The exact density of the path on a grid, at the moments of the film."""
    dtype = jax.tree.leaves(velocity.target)[0].dtype
    side = jnp.linspace(-1, 1, _GRID, dtype=dtype) * limit
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    times = jnp.clip(jnp.linspace(0, 1, _MOMENTS, dtype=dtype), None, _LATEST)

    def of(number):
        field = velocity.field(number)
        return jax.lax.map(lambda t: jnp.exp(field.log_density(t, grid)), times)

    return jax.vmap(of)(numbers).reshape(numbers.shape[0], _MOMENTS, _GRID, _GRID).astype(jnp.float32)


def _trained(
    key: Any, velocity: Exact, shown: Any, inputs: Inputs, draw: dict, steps: Any, count: int, before: Any, loop: Loop
) -> dict[str, Any]:
    """A network for each schedule shown, trained, and particles moved by it."""
    d, dtype = inputs.target.dimension, draw["x0"].dtype
    start, train = jax.random.split(key)
    made = (network.Perceptron if d <= 2 else network.Residual)(start, d, width=64 if d <= 2 else 128, dtype=dtype)
    settings = training.Settings(warmup=50.0, anneal=1.0, clip=10.0, earliest=_CUT, latest=1 - _CUT)
    runs = [
        training.train(
            train, made, paths.standard(d), inputs.target, Family(velocity.optimal, velocity.weight, shown[k]), None, settings,
            steps=count, latent=False, loop=loop,
        )
        for k in range(3)
    ]  # fmt: skip
    nets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(run.average for run in runs))
    x0 = jnp.broadcast_to(draw["x0"], (3, *draw["x0"].shape))
    walk = loop(EULER, Walk(Networks(nets), x0, inputs.plane, steps), max_iterations=MOST)
    losses = [jnp.pad(jnp.asarray(run.loss), (0, count - len(run.loss)), constant_values=jnp.nan) for run in runs]
    return {
        "loss": jnp.stack(losses),
        "loss_least": d * _least_loss(velocity, shown),
        "w2sq_network": jax.vmap(lambda x: metrics.squared_wasserstein(x, draw["fresh"]))(walk.state.x),
        "reason": _first(before, *(run.reason for run in runs), walk.reason),
    }


@jax.jit
def _least_loss(velocity: Exact, numbers: Any) -> Any:
    """Over the times that training draws from."""

    def of(number):
        schedule = Family(velocity.optimal, velocity.weight, number)
        found = kinetic.energy(schedule, velocity.optimal.separation, _CUT, 1 - _CUT)
        return (found.conditional - found.marginal) / (1 - 2 * _CUT)

    return jax.vmap(of)(numbers)

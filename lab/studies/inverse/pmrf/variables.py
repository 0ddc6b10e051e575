"""The variables of a result of PMRF: what they are called, and what they are made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lab import paths
from lab.datasets import Data
from lab.inverse import restoring
from lab.inverse.restoring import COUNTS, FLOWS
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture
from lab.numerics.principal import principal_plane
from lab.numerics.window import window
from lab.paths.laws import target_of
from lab.paths.points import View, stratified
from lab.studies.contract import Result, Study
from lab.studies.vocabulary.training import UNTRAINED

FRAMES = np.linspace(0.0, 1.0, 33)
MOMENTS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
ROWS = ("measurement", "posterior mean", *(f"{k} step{'s' * (k > 1)}" for k in COUNTS[:3]), "K steps",
        "posterior sample", "truth")
_IMAGES, _GRID, _BINS = 8, 13, 60
_LINEAR = "it is for data on a line: choose two-unlike-modes"
_NO_IMAGES = "the data are no grey images: choose MNIST or digits"
_NO_PLANE = "it is for data in the plane: choose ring-of-three"

RESULTS = (
    Result("mse_pmrf", (), "error of PMRF", "E|X - X̂|² after K steps, a sum over the numbers of x", headline=True,
           judge=lambda value, result: "warn" if value > float(result.mse_sampling) else "good"),
    Result("w2_pmrf", (), "W₂ of PMRF", "distance of the law of X̂ from that of X; of mean and covariance, if it knows no more",
           headline=True, judge=lambda value, result: "warn" if value > 0.5 * float(result.w2_mean) else ""),
    Result("mmse", (), "least error", "MMSE, that of the posterior mean", headline=True),
    Result("d_max", (), "least error of its kind", "of all estimators with the law of X: MMSE + W₂² between X* and X",
           headline=True),
    Result("mse_sampling", (), "error of sampling", "of a sample of the posterior: 2 MMSE", headline=True),
    Result("mse_from_y", (), "error from Y", "of the flow from Y itself", headline=True,
           undefined="Y has fewer coordinates than X, so no flow leads from Y to X"),
    Result("w2_mean", (), "W₂ of the posterior mean", "from X"),
    Result("w2_floor", (), "W₂ of two samples", "of X, as many as particles; 0 where distances are exact"),
    Result("mse_limit", (), "error of the flow", "of PMRF in infinitely many steps; NaN by particles"),
    Result("gap_share", (), "share of the gap", "(error of the flow - D_max) / (2 MMSE - D_max): 0 is optimal, 1 is sampling",
           undefined="sampling the posterior is already optimal"),
    Result("law_error", (), "law of the flow", "relative error of its covariance in infinitely many steps"),
    Result("mse", ("estimator",), "E|X - X̂|²", "of each estimator"),
    Result("mse_error", ("estimator",), "standard error", "of that, over particles; 0 where it is exact"),
    Result("w2", ("estimator",), "W₂ to X", "of each estimator"),
    Result("cov_error", ("estimator",), "error of the covariance", "|Cov X̂ - Cov X| / |Cov X|, Frobenius"),
    Result("mse_steps", ("count",), "E|X - X̂|²", "of PMRF in so many Euler steps"),
    Result("w2_steps", ("count",), "W₂ to X", "of PMRF in so many Euler steps"),
    Result("cov_error_steps", ("count",), "error of the covariance", "of PMRF in so many Euler steps"),
    Result("curve", ("of", "part"), "best", "error and W₂ of the best estimators: (1 - s) X* + s T(X*)"),
    Result("path", ("t", "flow", "particle", "axis"), "position", "of particles along each flow, in K steps"),
    Result("goal", ("particle", "axis"), "position", "the x that were measured"),
    Result("density", ("kind", "x"), "density", "of the posterior mean, of PMRF and of X", absent=_LINEAR),
    Result("velocity", ("moment", "gy", "gx", "axis"), "velocity", "of PMRF", absent=_NO_PLANE),
    Result("images", ("shown", "image", "row", "column"), "intensity", "of some particles", absent=_NO_IMAGES),
    Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", absent=UNTRAINED),
    Result("net_mse", (), "error of the network", "E|X - X̂|² of its flow in K steps", absent=UNTRAINED),
    Result("net_w2", (), "W₂ of the network", "of samples, to be compared with that of two samples", absent=UNTRAINED),
    Result("net_floor", (), "W₂ of two samples", "of X, as many as the network restored", absent=UNTRAINED),
    Result("net_end", ("particle", "axis"), "position", "where the network's flow ends", absent=UNTRAINED),
    Result("net_images", ("image", "row", "column"), "intensity", "that the network restored",
           absent="no network was trained on grey images: set the training steps above 0"),
    Result("converged", (), "converged", "whether all flows, and the training, came to their end"),
)


class Inputs(NamedTuple):
    """X about its mean: its law where that is a mixture, points to learn from, points to restore."""

    law: Mixture | None
    mean: Any  # (d,)
    covariance: Any  # (d, d)
    points: Any  # (N, d)
    tests: Any  # (n, d), none where the law is known
    axes: Any  # (d, e) of the plane that is looked at
    image: Any  # (height, width) empty, of images
    edges: Any  # (bins + 1,) on a line
    grid: Any  # (2, grid) in the plane


def inputs(data: Data) -> Inputs:
    """Of a data set, on the host; of points a fifth is held out."""
    dtype = jnp.result_type(float)
    x = np.asarray(data.arrays["x"], dtype)
    d, rng = x.shape[1], np.random.default_rng(0)
    axes, edges = principal_plane(x).axes, np.zeros(0)
    given = target_of({key: np.asarray(a, dtype) if a.dtype.kind == "f" else a for key, a in data.arrays.items()})
    law = given if isinstance(given, Mixture) else None
    if law is None:
        mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True).reshape(d, d)
    else:
        mean, covariance = map(np.asarray, law.moments())
        law = Mixture(law.weights, law.means - mean[None], law.covariances)
    x = x[rng.permutation(len(x))] - mean
    held = len(x) // 5 if law is None else 0
    tests = x[:held] if held > 2 else x  # of a few points each is all there is
    if d == 1:
        spread = 4.5 * float(np.sqrt(covariance[0, 0]))
        edges = np.linspace(-spread, spread, _BINS + 1)
    shape = data.axes.get("image", ())
    image = np.zeros(shape if len(shape) == 2 and np.prod(shape) == d else (0, 0), np.int8)
    grid = np.stack([np.linspace(*ends, _GRID) for ends in window(x)]) if d == 2 else np.zeros((2, 0))
    mean, covariance, x, tests, axes = (jnp.asarray(a, dtype) for a in (mean, covariance, x, tests, axes))
    known = tests[:0] if law is not None else tests
    return Inputs(law, mean, covariance, x[held:], known, axes, image, jnp.asarray(edges), jnp.asarray(grid))


@jit
def bed(inputs: Inputs, task: str, noise: Any, seed: Any) -> restoring.Bed:
    """X, and what is measured of it."""
    image = inputs.image.shape if inputs.image.size else ()
    h, q = restoring.task(task, inputs.points.shape[1], image, noise, jax.random.key(seed))
    return restoring.Bed(inputs.law, inputs.points, h, q, restoring.restoration(inputs.covariance, h, q))


@jit
def drawn(inputs: Inputs, n: int, seed: Any) -> tuple[Any, Any]:
    """What is restored, and two other samples: one to compare with, and one to know the distance of two samples."""
    key = jax.random.fold_in(jax.random.key(seed), 3)
    if inputs.law is None:
        every = jax.random.permutation(key, inputs.tests)[jnp.arange(3 * n) % len(inputs.tests)].reshape(3, n, -1)
        return every[0], every[1:]
    even, other = stratified(inputs.law, key, n, 2), inputs.law.sample(jax.random.fold_in(key, 1), n)
    return even[0], jnp.stack([even[1], other])


@jit
def described(inputs: Inputs, bed: restoring.Bed, found: restoring.Experiment, view: View) -> dict[str, Any]:
    """The variables of a result."""
    made, plane, seen, ends, _ = found
    methods, walk, d = plane.methods, plane.walk, len(inputs.mean)
    missing = [(0, 0), (0, len(FLOWS) - len(made.fields)), (0, 0), (0, 0)]
    path = jnp.pad(seen, missing, constant_values=jnp.nan)
    output = {
        "mse": methods.mse, "w2": methods.w2, "cov_error": methods.cov_error, "mse_error": methods.mse_error,
        "mse_steps": walk.mse, "w2_steps": walk.w2, "cov_error_steps": walk.cov_error, "curve": plane.curve,
        "mmse": plane.mmse, "d_max": plane.best, "mse_pmrf": methods.mse[1], "w2_pmrf": methods.w2[1],
        "mse_sampling": methods.mse[3], "mse_from_y": methods.mse[5], "w2_mean": jnp.sqrt(plane.w2sq),
        "w2_floor": jnp.sqrt(plane.floor), "mse_limit": plane.limit.mse, "law_error": plane.limit.cov_error,
        "gap_share": (plane.limit.mse - plane.best) / (2 * plane.mmse - plane.best),
        "path": path.astype(jnp.float32), "goal": view(made.x),
    }
    if d == 1:
        width = jnp.diff(inputs.edges)
        output["density"] = jnp.stack([
            jnp.histogram(z[:, 0], inputs.edges)[0] / (len(z) * width) for z in (made.star, ends[-1], made.x)
        ])
        if inputs.law is not None:
            middle = (inputs.edges[1:] + inputs.edges[:-1]) / 2
            output["density"] = output["density"].at[2].set(jnp.exp(inputs.law.log_prob(middle[:, None])))
    if d == 2:
        gx, gy = jnp.meshgrid(*inputs.grid)
        at = jnp.stack([gx.ravel(), gy.ravel()], axis=1)
        slopes = jax.lax.map(lambda t: made.fields[0](t, at), jnp.asarray(MOMENTS))
        output["velocity"] = slopes.reshape(len(MOMENTS), *gx.shape, 2).astype(jnp.float32)
    if inputs.image.size:
        back = made.y @ jnp.linalg.pinv(bed.operator).T
        rows = jnp.stack([each[:_IMAGES] for each in (back, made.star, *ends[:3], ends[-1], made.sampled, made.x)])
        output["images"] = (rows + inputs.mean[None, None]).reshape(*rows.shape[:2], *inputs.image.shape).astype(jnp.float32)
    return output


@jit
def of_network(inputs: Inputs, x: Any, fresh: Any, ends: Any, view: View) -> dict[str, Any]:
    """What a result says of a trained network, of the ends that it leads to."""
    w2, floor = (jnp.sqrt(paths.metrics.squared_wasserstein(z, fresh[0])) for z in (ends, fresh[1]))
    output = {"net_mse": ((x - ends) ** 2).sum(axis=1).mean(), "net_w2": w2, "net_floor": floor}
    output["net_end"] = view(ends)
    if inputs.image.size:
        output["net_images"] = (ends[:_IMAGES] + inputs.mean[None]).reshape(-1, *inputs.image.shape).astype(jnp.float32)
    return output


def possible(study: Study, data: Data) -> list[str]:
    """The tasks that the study takes as it is: some are too short for the data, or without noise at the start."""

    def is_taken(task: str) -> bool:
        try:
            study.but(task=task).check(data)
        except ValueError:
            return False
        return True

    return [task for task in study.parameters()["task"].objects if is_taken(task)]

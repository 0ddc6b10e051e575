"""Restore by all estimators, follow PMRF in several numbers of steps, and train a network if requested."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab import paths
from lab.datasets import Data
from lab.inverse import restoring
from lab.inverse.restoring import FLOWS
from lab.numerics import Loop, first_failure
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture
from lab.numerics.principal import principal_plane
from lab.paths.laws import target_of
from lab.paths.points import View, stratified
from lab.studies.contract import Outputs, Run, out
from lab.studies.inverse import pmrf_training as training
from lab.studies.vocabulary.training import UNTRAINED

FRAMES = np.linspace(0.0, 1.0, 33)
_IMAGES = 8


class Experiment(Outputs):
    """Error and distance from the data of every estimator, and trajectories of the flows."""

    mse_pmrf: Float[Array, ""] = out(
        "error of PMRF",
        "E|X - X̂|² after K steps, a sum over the coordinates of x",
        headline=True,
        judge=lambda value, result: "warn" if value > float(result.mse_sampling) else "good",
    )
    w2_pmrf: Float[Array, ""] = out(
        "W₂ of PMRF",
        "distance between the distributions of X̂ and X; of mean and covariance, if the restorer knows no more",
        headline=True,
        judge=lambda value, result: "warn" if value > 0.5 * float(result.w2_mean) else "",
    )
    mmse: Float[Array, ""] = out("MMSE", "minimum mean squared error, attained by the posterior mean", headline=True)
    d_max: Float[Array, ""] = out(
        "D_max", "minimum error of estimators distributed like X: MMSE + W₂² between X* and X", headline=True
    )
    mse_sampling: Float[Array, ""] = out("error of sampling", "error of a posterior sample: 2 MMSE", headline=True)
    mse_from_y: Float[Array, ""] = out(
        "error from Y",
        "error of the flow from Y to X",
        headline=True,
        undefined="Y has fewer coordinates than X, so no flow leads from Y to X",
    )
    w2_mean: Float[Array, ""] = out("W₂ of the posterior mean", "distance from the distribution of X")
    w2_floor: Float[Array, ""] = out(
        "W₂ of two samples", "two samples of X, one point per particle; 0 where distances are exact"
    )
    mse_limit: Float[Array, ""] = out("error of the flow", "PMRF in infinitely many steps; NaN for particles")
    gap_share: Float[Array, ""] = out(
        "fraction of the gap",
        "(error of the flow - D_max) / (2 MMSE - D_max): 0 is optimal, 1 is sampling",
        undefined="sampling the posterior is already optimal",
    )
    law_error: Float[Array, ""] = out(
        "covariance error of the flow", "relative error of the covariance in infinitely many steps"
    )
    mse: Float[Array, " estimator"] = out("E|X - X̂|²", "mean squared error of each estimator")
    mse_error: Float[Array, " estimator"] = out("standard error", "of the error, over particles; 0 where it is exact")
    w2: Float[Array, " estimator"] = out("W₂ to X", "distance of each estimator")
    mse_steps: Float[Array, " count"] = out("E|X - X̂|²", "PMRF by number of Euler steps")
    w2_steps: Float[Array, " count"] = out("W₂ to X", "PMRF by number of Euler steps")
    cov_error_steps: Float[Array, " count"] = out(
        "covariance error", "|Cov X̂ - Cov X| / |Cov X| (Frobenius) of PMRF by number of Euler steps"
    )
    curve: Float[Array, "of part"] = out("trade-off", "error and W₂ of the optimal estimators (1 - s) X* + s T(X*)")
    path: Float[Array, "t flow particle axis"] = out("position", "particles along each flow, in K steps")
    goal: Float[Array, "particle axis"] = out("position", "the clean x")
    images: Float[Array, "shown image row column"] | None = out(
        "intensity", "images of some particles", absent="the data are not gray images: choose MNIST or digits"
    )
    curve_loss: Float[Array, " train_step"] | None = out(
        "loss", "training loss of the network, on the batch of each step", absent=UNTRAINED
    )
    net_mse: Float[Array, ""] | None = out("error of the network", "E|X - X̂|² of its flow in K steps", absent=UNTRAINED)
    net_w2: Float[Array, ""] | None = out(
        "W₂ of the network", "distance of samples, to be compared with that of two samples", absent=UNTRAINED
    )
    net_floor: Float[Array, ""] | None = out(
        "W₂ of two samples", "two samples of X, as large as the network's", absent=UNTRAINED
    )
    net_end: Float[Array, "particle axis"] | None = out("position", "endpoints of the network's flow", absent=UNTRAINED)
    net_images: Float[Array, "image row column"] | None = out(
        "intensity",
        "images restored by the network",
        absent="no network was trained on gray images: set the training steps above 0",
    )


class Inputs(NamedTuple):
    """X minus its mean: its distribution where that is a mixture, points to learn from, points to restore."""

    law: Mixture | None
    mean: Any  # (d,)
    covariance: Any  # (d, d)
    points: Any  # (N, d)
    tests: Any  # (n, d), empty where the distribution is known
    axes: Any  # (d, e) of the plane of the pictures
    image: Any  # (height, width), empty unless x is an image


def inputs_of(data: Data) -> Inputs:
    """The arrays of a data set; a fifth of the points is held out."""
    dtype = jnp.result_type(float)
    x = np.asarray(data.arrays["x"], dtype)
    d, rng = x.shape[1], np.random.default_rng(0)
    axes = principal_plane(x).axes
    given = target_of({key: np.asarray(a, dtype) if a.dtype.kind == "f" else a for key, a in data.arrays.items()})
    law = given if isinstance(given, Mixture) else None
    if law is None:
        mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True).reshape(d, d)
    else:
        mean, covariance = map(np.asarray, law.moments())
        law = Mixture(law.weights, law.means - mean[None], law.covariances)
    x = x[rng.permutation(len(x))] - mean
    held = len(x) // 5 if law is None else 0
    tests = x[:held] if held > 2 else x  # of a few points, all
    shape = data.axes.get("image", ())
    image = np.zeros(shape if len(shape) == 2 and np.prod(shape) == d else (0, 0), np.int8)
    mean, covariance, x, tests, axes = (jnp.asarray(a, dtype) for a in (mean, covariance, x, tests, axes))
    return Inputs(law, mean, covariance, x[held:], tests[:0] if law is not None else tests, axes, image)


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Restore by all estimators, PMRF also in several numbers of steps; train a network if requested."""
    dtype = inputs.mean.dtype
    sigma_s, least, noise = (jnp.asarray(value, dtype) for value in (p.sigma_s, p.least, p.noise))
    bed, seed = bed_of(inputs, p.task, noise, jnp.asarray(p.seed)), jnp.asarray(p.seed)
    n = p.particles if len(inputs.tests) == 0 else min(p.particles, max(1, len(inputs.tests) // 3))
    x, fresh = drawn(inputs, n, seed)
    view = View(-inputs.mean if x.shape[1] <= 2 else jnp.zeros_like(inputs.mean), inputs.axes)
    found = restoring.experiment(
        loop,
        bed,
        p.knows,
        x,
        fresh,
        jax.random.key(p.seed),
        sigma_s=sigma_s,
        least=least,
        steps=p.euler_steps,
        nodes=p.pairs if inputs.law is not None else min(p.pairs, len(inputs.points)),
        solver=p.solver,
        view=view,
        frames=jnp.asarray(FRAMES, dtype),
    )
    output, reasons = _described(inputs, bed, found._replace(reason=None), view), [found.reason]
    if p.train_steps:
        key, how = jax.random.fold_in(jax.random.key(p.seed), 1), {"units": p.units, "steps": p.train_steps}
        taught = training.train(loop, key, bed, p.knows, p.learns, sigma_s, learning_rate=p.learning_rate, **how)
        args = taught.model, p.learns, found.made, sigma_s, p.euler_steps, p.solver
        run = training.restore(loop, *args, jax.random.key(p.seed))
        output |= _of_network(inputs, x, fresh, run.end, view) | {"curve_loss": taught.loss}
        reasons += [taught.reason, run.reason]
    return Run(Experiment(**output), first_failure(*reasons))


@jit
def bed_of(inputs: Inputs, task: str, noise: Any, seed: Any) -> restoring.Bed:
    """X and its measurement."""
    image = inputs.image.shape if inputs.image.size else ()
    h, q = restoring.task(task, inputs.points.shape[1], image, noise, jax.random.key(seed))
    return restoring.Bed(inputs.law, inputs.points, h, q, restoring.restoration(inputs.covariance, h, q))


@jit
def drawn(inputs: Inputs, n: int, seed: Any) -> tuple[Any, Any]:
    """The x to restore, and two other samples: one for distances, one for the distance of two samples."""
    key = jax.random.fold_in(jax.random.key(seed), 3)
    if inputs.law is None:
        every = jax.random.permutation(key, inputs.tests)[jnp.arange(3 * n) % len(inputs.tests)].reshape(3, n, -1)
        return every[0], every[1:]
    even, other = stratified(inputs.law, key, n, 2), inputs.law.sample(jax.random.fold_in(key, 1), n)
    return even[0], jnp.stack([even[1], other])


@jit
def _described(inputs: Inputs, bed: restoring.Bed, found: restoring.Experiment, view: View) -> dict[str, Any]:
    """The outputs without a network."""
    made, plane, seen, ends, _ = found
    methods, walk = plane.methods, plane.walk
    missing = [(0, 0), (0, len(FLOWS) - len(made.fields)), (0, 0), (0, 0)]
    path = jnp.pad(seen, missing, constant_values=jnp.nan)
    output = {
        "mse": methods.mse,
        "w2": methods.w2,
        "mse_error": methods.mse_error,
        "mse_steps": walk.mse,
        "w2_steps": walk.w2,
        "cov_error_steps": walk.cov_error,
        "curve": plane.curve,
        "mmse": plane.mmse,
        "d_max": plane.best,
        "mse_pmrf": methods.mse[1],
        "w2_pmrf": methods.w2[1],
        "mse_sampling": methods.mse[3],
        "mse_from_y": methods.mse[5],
        "w2_mean": jnp.sqrt(plane.w2sq),
        "w2_floor": jnp.sqrt(plane.floor),
        "mse_limit": plane.limit.mse,
        "law_error": plane.limit.cov_error,
        "gap_share": (plane.limit.mse - plane.best) / (2 * plane.mmse - plane.best),
        "path": path.astype(jnp.float32),
        "goal": view(made.x),
    }
    if inputs.image.size:
        back = made.y @ jnp.linalg.pinv(bed.operator).T
        rows = [each[:_IMAGES] for each in (back, made.star, *ends[:3], ends[-1], made.sampled, made.x)]
        output["images"] = _images(inputs, jnp.stack(rows))
    return output


@jit
def _of_network(inputs: Inputs, x: Any, fresh: Any, ends: Any, view: View) -> dict[str, Any]:
    """The outputs of a trained network, from the endpoints of its flow."""
    w2, floor = (jnp.sqrt(paths.metrics.squared_wasserstein(z, fresh[0])) for z in (ends, fresh[1]))
    output = {"net_mse": ((x - ends) ** 2).sum(axis=1).mean(), "net_w2": w2, "net_floor": floor, "net_end": view(ends)}
    return output | ({"net_images": _images(inputs, ends[:_IMAGES])} if inputs.image.size else {})


def _images(inputs: Inputs, rows: Any) -> Any:
    mean = jnp.broadcast_to(inputs.mean, rows.shape)
    return (rows + mean).reshape(*rows.shape[:-1], *inputs.image.shape).astype(jnp.float32)

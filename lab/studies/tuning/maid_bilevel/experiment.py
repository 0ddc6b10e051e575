"""Descend on a bilevel problem, examine the steps, and compare with fixed accuracies and HOAG."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab.datasets import Data
from lab.numerics import Loop, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.studies.contract import Outputs, Run, out
from lab.studies.tuning import descents
from lab.tuning import denoising, maid, quadratic, regression, rivals
from lab.tuning.descent import Descent, Ending, Rules
from lab.tuning.problem import Bilevel, Constants

TV, EXPERTS, DIGITS, QUADRATIC = PROBLEMS = (
    "total variation",
    "field of experts",
    "multinomial regression",
    "quadratic",
)
IMAGES = (TV, EXPERTS)
RULES = ("MAID", "fixed accuracy", *(f"HOAG {schedule}" for schedule in rivals.SCHEDULES))
ENDINGS = {ending.value: ending.advice for ending in Ending}
_ROWS = 600  # for training and for validation
_LOGS = -5.0, -4.0  # initial hyperparameters of total variation and of decays
_TRACE = ("eps", "delta", "alpha", "grad_norm", "omega", "cost_lower", "cost_cg")

_NO_CLASSES = "there are no classes: choose multinomial regression"
_image = partial(out, absent="the problem has no images: choose total variation or field of experts")
_rival = partial(out, absent="no other run was made: switch the comparison on")
_planar = partial(out, absent="one hyperparameter has no plane: share it less")


class Experiment(Outputs):
    """Loss and cost of the descent, accuracies and errors of its steps, and the runs of the comparison."""

    loss: Float[Array, ""] = out("loss", "final f, for a minimizer accurate to 1e-9", headline=True)
    loss_start: Float[Array, ""] = out("initial loss", "f at the initial hyperparameters")
    psnr_noisy: Float[Array, ""] | None = _image("noisy", "PSNR of the noisy images", unit="dB", headline=True)
    psnr: Float[Array, ""] | None = _image("denoised", "PSNR of the training images", unit="dB", headline=True)
    psnr_test: Float[Array, ""] | None = _image(
        "denoised, held out", "PSNR of held-out images", unit="dB", headline=True
    )
    accuracy: Float[Array, ""] | None = out(
        "test accuracy", "on held-out rows", unit="%", headline=True, absent=_NO_CLASSES
    )
    cost: Int[Array, ""] = out("cost", "lower gradients and products with the Hessian", headline=True)
    agreement: Float[Array, ""] | None = _rival(
        "range of MAID", "range of its five final losses, relative to the decrease of the loss", headline=True
    )
    fixed_spread: Float[Array, ""] | None = _rival(
        "range of fixed accuracies", "range of their five final losses, relative to the decrease", headline=True
    )
    maid_cost: Float[Array, ""] | None = _rival(
        "cost of MAID to 1%", "cost to 1% of the initial loss gap, from accuracy 0.1"
    )
    fixed_cost: Float[Array, ""] | None = _rival("cost of a fixed accuracy to 1%", "minimum over five fixed accuracies")
    hoag_cost: Float[Array, ""] | None = _rival("cost of HOAG to 1%", "with the geometric schedule")
    hoag_other: Float[Array, ""] | None = _rival("cost of HOAG to 1%, cubic", "with the cubic schedule")
    looseness: Float[Array, ""] = out("error / bound", "median of ||z - ∇f|| / ω over the examined steps")
    violations: Int[Array, ""] = out("violations", "examined steps with an error above the bound")
    certified: Float[Array, ""] = out("certified", "1: all constants are bounds; 0: some are estimated")
    rises: Int[Array, ""] = out("increases", "intervals between examined steps in which the true loss increased")
    ending: Int[Array, ""] = out("ending", "0: maximum number of steps; 2: budget; 4: no step can be certified")
    trace_loss: Float[Array, " iteration"] = out("loss", "at the inexact minimizer")
    eps: Float[Array, " iteration"] = out("ε", "requested accuracy of the lower solve")
    delta: Float[Array, " iteration"] = out("δ", "accuracy of the linear solve")
    alpha: Float[Array, " iteration"] = out("α", "accepted step length")
    grad_norm: Float[Array, " iteration"] = out("‖z‖", "norm of the inexact gradient")
    omega: Float[Array, " iteration"] = out("ω", "bound on its error; NaN for HOAG")
    cost_lower: Float[Array, " iteration"] = out("gradients", "cumulative lower gradients")
    cost_cg: Float[Array, " iteration"] = out("products", "cumulative products with the Hessian")
    run_loss: Float[Array, "run stage"] | None = _rival("loss", "of each run, at its inexact minimizers")
    run_cost: Float[Array, "run stage"] | None = _rival("cost", "cumulative lower gradients and products")
    run_last: Float[Array, " run"] | None = _rival("loss", "final f of each run, for a minimizer accurate to 1e-9")
    run_ending: Float[Array, " run"] | None = _rival("ending", "as for the single run")
    least: Float[Array, ""] | None = _rival("minimum loss", "over all runs; in closed form for the quadratic")
    frame_loss: Float[Array, " frame"] = out("loss", "f at the examined steps")
    frame_step: Int[Array, " frame"] = out("step", "number of each examined step")
    error: Float[Array, " frame"] = out("true error", "‖z - ∇f‖ of the gradient of that step; NaN for the last one")
    bound: Float[Array, " frame"] = out("bound ω", "on that error; NaN for HOAG")
    frame_psnr: Float[Array, " frame"] | None = _image("PSNR", "of the training images", unit="dB")
    clean: Float[Array, "picture y x"] | None = _image("gray value", "without noise")
    noisy: Float[Array, "picture y x"] | None = _image("gray value", "with noise")
    denoised: Float[Array, "frame picture y x"] | None = _image("gray value", "minimizers at the examined steps")
    path: Float[Array, "place which"] | None = _planar("position", "of each step in the plane")
    plane: Float[Array, "v u"] | None = _planar("loss", "f in a plane through the path")
    plane_u: Float[Array, " u"] | None = _planar("first axis", "of the plane")
    plane_v: Float[Array, " v"] | None = _planar("second axis", "of the plane")
    decay: Float[Array, "class y x"] | None = out(
        "log decay",
        "of each pixel, and of each class where they differ",
        absent="no decay of a pixel is learned: choose multinomial regression with a decay for each feature or weight",
    )


class Inputs(eqx.Module):
    """Gray values in [0, 1] for training and testing, with classes; -1 if there are none."""

    train: Array  # (n, H, W)
    test: Array
    labels: Array  # (n,)
    labels_test: Array
    extent: Array  # for constants of the regression: squared norms of both halves of the rows, and the largest norm
    classes: int = eqx.field(static=True)


def inputs_of(data: Data) -> Inputs:
    """The images of a data set."""
    pixels = np.asarray(data.arrays["pixels"])
    grays = (pixels / 255.0 if pixels.dtype == np.uint8 else (pixels.astype(float) + 1) / 2).mean(axis=1)
    held = np.asarray(data.arrays["held_out"])
    labels = np.asarray(data.arrays.get("classes", np.full(len(held), -1))).astype(np.int64)
    train, test = grays[~held][: 2 * _ROWS], grays[held][:_ROWS]
    half, rows = len(train) // 2, train.reshape(len(train), -1)
    extent = [np.linalg.norm(part, 2) ** 2 / len(part) for part in (rows[:half], rows[half:])]
    extent.append(np.linalg.norm(rows[:half], axis=1).max())
    parts = (train, test, labels[~held][: 2 * _ROWS], labels[held][:_ROWS], np.array(extent))
    return Inputs(*map(placed, parts), int(labels.max()) + 1)  # type: ignore[call-arg]


class Case(NamedTuple):
    """A problem, the initial hyperparameters, and held-out data."""

    problem: Bilevel
    theta: Array
    test: Any  # the problem of held-out images, or rows and labels


def _case(given: Inputs, p: Any) -> Case:
    if p.problem == QUADRATIC:
        return _quadratic(p.seed, p.start)
    read = p.only("noise", "seed", "start", "images", "filters", "known", "problem")
    return _of_images(given, read) if p.problem in IMAGES else _of_digits(given, p)


def _quadratic(seed: Any, start: Any) -> Case:
    """The matrices are drawn on the host."""

    def drawn(seed: Any) -> tuple[np.ndarray, ...]:
        made = quadratic.random_quadratic(int(seed))
        return tuple(np.asarray(each) for each in (made.a1, made.a2, made.a3, made.b1, made.b2, *made.known[:5]))

    shapes = [(1000, 10)] * 3 + [(1000,)] * 2 + [()] * 5
    dtype = jnp.result_type(float)
    if isinstance(seed, jax.core.Tracer):  # type: ignore[attr-defined]
        kinds = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
        arrays = jax.pure_callback(drawn, kinds, seed, vmap_method="sequential")
    else:
        arrays = tuple(map(placed, drawn(seed)))
    a1, a2, a3, b1, b2, mu, smooth, upper, inverse, cross = arrays
    problem = quadratic.Quadratic(a1, a2, a3, b1, b2, Constants(mu, smooth, upper, inverse, cross))
    return Case(problem, _first(placed(np.ones(10)), start), None)


@jit
def _first(theta: Array, start: Any) -> Array:
    return theta + start


@jit
def _of_images(given: Inputs, p: Any) -> Case:
    clean, test = given.train[: p.images], given.test[: p.images]
    one, two = jax.random.split(jax.random.key(p.seed))
    noisy, noisy_test = denoising.noisy(clean, p.noise, one), denoising.noisy(test, p.noise, two)
    if p.problem == TV:
        theta, bounds = jnp.full(2, _LOGS[0], clean.dtype), p.known == "bounds"
        make = lambda y, x: denoising.TotalVariation(y, x, bounds)  # noqa: E731
    else:
        theta = denoising.first_experts(0, p.filters)
        make = lambda y, x: denoising.FieldOfExperts(y, x, p.filters, 5)  # noqa: E731
    shift = jnp.ones_like(theta) if p.problem == TV else jnp.zeros_like(theta).at[0].set(1.0)
    return Case(make(noisy, clean), theta + p.start * shift, make(noisy_test, test))


def _of_digits(given: Inputs, p: Any) -> Case:
    rows = given.train.reshape(len(given.train), -1)
    half = len(rows) // 2
    problem = regression.Multinomial(
        rows[:half],
        given.labels[:half],
        rows[half:],
        given.labels[half:],
        given.extent,
        given.classes,
        p.share,
        p.known == "bounds",
    )
    count = {"weight": rows.shape[1] * given.classes, "feature": rows.shape[1], "all": 1}[p.share]
    theta = _first(placed(np.full(count, _LOGS[1])), p.start)
    return Case(problem, theta, (given.test.reshape(len(given.test), -1), given.labels_test))


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Descend, examine some steps, and run the rivals."""
    case = _case(inputs, p)
    least = case.problem.least()[1] if isinstance(case.problem, quadratic.Quadratic) else None
    found, looked, output, reason = learn(case.problem, case.theta, p, loop, least)
    return Run(Experiment(**output, **_seen(case, found, looked, p)), reason, found.iterations)


def learn(
    problem: Bilevel, theta: Array, p: Any, loop: Loop, least: Array | None = None
) -> tuple[Descent, descents.Looked, dict[str, Any], Any]:
    """Descend on any problem, examine some steps, and run the rivals.

    Args:
        least: the minimum loss if it is known; otherwise the minimum over all runs is used.
    """
    rules = Rules(eta=p.eta, lam=p.eta * p.lam, rho=p.rho, nu=p.nu, nu_up=p.nu_up, budget=p.budget)
    found = _descend(problem, theta, rules, p, loop)
    count, reasons = found.state.step, [found.reason]
    looked = descents.look(problem, found.path, found.state.slopes, count)
    output = _of_frames(looked, descents.filled(found.trace["omega"], p.steps), count)
    output |= {"trace_loss": found.trace["loss"], "certified": placed(np.float64(found.certified))}
    output |= {"ending": found.state.ending, "cost": _sum(found.state.lower_cost, found.state.linear_cost)}
    output |= {name: found.trace[name] for name in _TRACE}
    if theta.size > 1:
        seen = descents.plane(problem, found.path, count)
        output |= {"plane": seen.loss, "path": seen.path, "plane_u": seen.u, "plane_v": seen.v}
    if p.compare:
        runs, reason = descents.fan(problem, theta, p.alpha0, rules, p.steps, loop)
        output |= _compared(runs, output["loss_start"], output["loss"], least)
        reasons.append(reason)
    return found, looked, output, first_failure(*reasons)


def _descend(problem: Bilevel, theta: Array, rules: Rules, p: Any, loop: Loop) -> Descent:
    settings: dict[str, Any] = {"alpha": p.alpha0, "rules": rules, "max_iterations": p.steps, "loop": loop}
    if p.rule.startswith("HOAG"):
        return rivals.hoag(problem, theta, p.eps0, schedule=p.rule.removeprefix("HOAG "), **settings)  # type: ignore[arg-type]
    return maid.minimise(problem, theta, p.eps0, adaptive=p.rule == "MAID", **settings)


def _seen(case: Case, found: Descent, looked: descents.Looked, p: Any) -> dict[str, Any]:
    """Outputs of one kind of problem: images, or decays."""
    problem = case.problem
    if isinstance(problem, denoising.Denoising):
        return _of_pictures(problem, case.test, looked, found.theta)
    if not isinstance(problem, regression.Multinomial):
        return {}
    output = {"accuracy": _percent(looked.x[-1], *case.test)}
    if p.share != "all":
        output["decay"] = _maps(found.theta, int(np.sqrt(problem.a.shape[1])), p.share == "weight")
    return output


@jit
def _sum(one: Array, two: Array) -> Array:
    return one + two


@jit
def _of_frames(looked: descents.Looked, omega: Array, count: Array) -> dict[str, Array]:
    bound = jnp.where(looked.step < count, omega[jnp.minimum(looked.step, len(omega) - 1)], jnp.nan)
    error = jnp.where(looked.step < count, looked.error, jnp.nan)
    return {
        "loss": looked.loss[-1],
        "loss_start": looked.loss[0],
        "frame_loss": looked.loss,
        "frame_step": looked.step,
        "error": error,
        "bound": bound,
        "looseness": jnp.nanmedian(error / bound),
        "violations": jnp.sum(error > bound),
        "rises": jnp.sum(jnp.diff(looked.loss) > 1e-9 * looked.loss[0]),
    }


@jit
def _of_pictures(problem: Any, test: Any, looked: descents.Looked, theta: Array) -> dict[str, Array]:
    whole = lambda x, clean: -10 * jnp.log10(jnp.mean((x - clean) ** 2))  # noqa: E731
    known = test.constants(test.noisy, theta)
    unseen = descents.lower.solve(test, theta, test.noisy, 1e-6, known).x
    frames = jax.vmap(lambda x: whole(x, problem.clean))(looked.x)
    return {
        "psnr_noisy": whole(problem.noisy, problem.clean),
        "psnr": frames[-1],
        "frame_psnr": frames,
        "psnr_test": whole(unseen, test.clean),
        "clean": problem.clean,
        "noisy": problem.noisy,
        "denoised": looked.x,
    }


@jit
def _percent(x: Array, rows: Array, labels: Array) -> Array:
    return 100 * regression.accuracy(x, rows, labels)


@jit
def _maps(theta: Array, side: int, each: bool) -> Array:
    return jnp.moveaxis(theta.reshape(side, side, -1), 2, 0)


@jit
def _compared(runs: dict[str, Array], start: Array, mine: Array, least: Array | None) -> dict[str, Array]:
    last, n = runs["last"], len(descents.STARTS)
    lowest = jnp.minimum(last.min(), mine) if least is None else least
    fall = start - lowest
    ours, fixed = last[:n], last[n : 2 * n]
    near = lowest + 0.01 * fall
    first = jnp.nanmin(jnp.where(runs["loss"] <= near, runs["cost"], jnp.nan), axis=1)
    reached = jnp.where(last <= near, first, jnp.nan)  # in the true loss, not only at an inexact minimizer
    output = {f"run_{name}": runs[name] for name in ("loss", "cost", "last", "ending")}
    output |= {"least": lowest, "agreement": jnp.ptp(ours) / fall, "fixed_spread": jnp.ptp(fixed) / fall}
    output |= {"maid_cost": reached[2], "fixed_cost": jnp.nanmin(reached[n : 2 * n])}
    return output | {"hoag_cost": reached[2 * n], "hoag_other": reached[2 * n + 2]}

"""What the study of MAID computes: a bilevel problem, the descent that is looked at, and the runs that it is compared with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lab.datasets import Data
from lab.numerics import Loop, first_failure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.studies.contract import Result
from lab.tuning import denoising, maid, quadratic, regression, rivals, survey
from lab.tuning.descent import Descent, Ending, Rules
from lab.tuning.problem import Bilevel, Constants

TV, EXPERTS, DIGITS, QUADRATIC = PROBLEMS = (
    "total variation", "field of experts", "multinomial regression", "quadratic",
)
IMAGES = (TV, EXPERTS)
RULES = ("MAID", "fixed accuracy", *(f"HOAG {schedule}" for schedule in rivals.SCHEDULES))
_ROWS = 600  # to train on and to validate on
_LOGS = -5.0, -4.0  # first hyperparameters of total variation and of decays
_NO_IMAGES = "the problem has no images: choose total variation or field of experts"
_NO_FAN = "other runs were not made: switch the comparison on"
_NO_PLANE = "one hyperparameter has no plane: share it less"
_NO_FILTERS = "there are no filters: choose field of experts"
_NO_CLASSES = "nothing is classified: choose multinomial regression"

RESULTS = (
    Result("loss", (), "loss", "f at the end, of a minimiser to 1e-9", headline=True),
    Result("loss_start", (), "loss at the start", "f at the first hyperparameters"),
    Result("psnr_noisy", (), "noisy", "PSNR of the noisy images, of their mean squared error", "dB", headline=True,
           absent=_NO_IMAGES),
    Result("psnr", (), "denoised", "PSNR of the images that are learned from", "dB", headline=True, absent=_NO_IMAGES),
    Result("psnr_test", (), "denoised, held out", "PSNR of images that are held out, with the learned hyperparameters", "dB",
           headline=True, absent=_NO_IMAGES),
    Result("accuracy", (), "test accuracy", "of rows that are held out", "%", headline=True, absent=_NO_CLASSES),
    Result("cost", (), "cost", "lower gradients and products with the Hessian", headline=True),
    Result("agreement", (), "spread of MAID", "of its losses from five first accuracies, relative to the fall of the loss",
           headline=True, absent=_NO_FAN),
    Result("fixed_spread", (), "spread of fixed accuracies", "the same, of accuracies that stay", headline=True,
           absent=_NO_FAN),
    Result("maid_worst", (), "worst of MAID", "largest loss at the end, of five first accuracies", absent=_NO_FAN),
    Result("fixed_best", (), "best fixed accuracy", "least loss at the end, of five", absent=_NO_FAN),
    Result("fixed_worst", (), "worst fixed accuracy", "largest loss at the end, of five", absent=_NO_FAN),
    Result("maid_cost", (), "cost of MAID to 1%", "until the loss is 1% of its fall above the least, from 0.1",
           absent=_NO_FAN),
    Result("fixed_cost", (), "the same of a fixed accuracy", "of those that come there, the cheapest", absent=_NO_FAN),
    Result("hoag_cost", (), "the same of HOAG", "with the geometric schedule", absent=_NO_FAN),
    Result("hoag_other", (), "the same of HOAG, cubic", "with the cubic schedule", absent=_NO_FAN),
    Result("looseness", (), "error by bound", "median of ||z - ∇f|| / ω, at the steps that are looked at"),
    Result("violations", (), "violations", "steps of those with an error above the bound"),
    Result("certified", (), "certified", "1: all constants are bounds; 0: some are estimated along the iterates"),
    Result("rises", (), "rises", "accepted steps, of those looked at, between which the true loss rose"),
    Result("ending", (), "ending", "number of the reason: 2 budget, 4 no step can be certified, 0 the most steps"),
    *(Result(name, ("iteration",), label, doc) for name, label, doc in (
        ("trace_loss", "loss", "at the inexact minimiser"), ("eps", "ε", "accuracy of the lower solve that was asked for"),
        ("delta", "δ", "accuracy of the linear solve"), ("alpha", "α", "step length that was accepted"),
        ("grad_norm", "‖z‖", "length of the inexact slope"), ("omega", "ω", "bound of its error; none of HOAG"),
        ("cost_lower", "gradients", "lower gradients so far"), ("cost_cg", "products", "products with the Hessian so far"),
        ("backtracks", "backtracks", "trials of a step length that failed"),
        ("shrinks", "shrinks", "times that both accuracies were tightened"),
    )),
    Result("run_loss", ("run", "stage"), "loss", "of each run, at its inexact minimisers", absent=_NO_FAN),
    Result("run_cost", ("run", "stage"), "cost", "lower gradients and products so far", absent=_NO_FAN),
    Result("run_last", ("run",), "loss", "f at the end of each run, of a minimiser to 1e-9", absent=_NO_FAN),
    Result("run_ending", ("run",), "ending", "number of the reason", absent=_NO_FAN),
    Result("least", (), "least loss", "of all runs; of the quadratic in closed form", absent=_NO_FAN),
    Result("frame_loss", ("frame",), "loss", "f at some steps"),
    Result("frame_step", ("frame",), "step", "which steps these are"),
    Result("error", ("frame",), "true error", "‖z - ∇f‖ of the slope of that step; none of the last one"),
    Result("bound", ("frame",), "bound ω", "of that error; none of HOAG"),
    Result("frame_psnr", ("frame",), "PSNR", "of the images that are learned from", "dB", absent=_NO_IMAGES),
    Result("clean", ("picture", "y", "x"), "grey value", "without noise", absent=_NO_IMAGES),
    Result("noisy", ("picture", "y", "x"), "grey value", "with noise", absent=_NO_IMAGES),
    Result("denoised", ("frame", "picture", "y", "x"), "grey value", "minimisers at some steps", absent=_NO_IMAGES),
    Result("path", ("place", "which"), "place", "of each step in the plane", absent=_NO_PLANE),
    Result("plane", ("v", "u"), "loss", "f in a plane through the path", absent=_NO_PLANE),
    Result("plane_u", ("u",), "first axis", "of the plane", absent=_NO_PLANE),
    Result("plane_v", ("v",), "second axis", "of the plane", absent=_NO_PLANE),
    Result("filters", ("filter", "fy", "fx"), "filter", "learned, the strongest first", absent=_NO_FILTERS),
    Result("filters_start", ("filter", "fy", "fx"), "filter", "at the start, in the same order", absent=_NO_FILTERS),
    Result("strength", ("filter",), "strength", "weight of each filter", absent=_NO_FILTERS),
    Result("decay", ("class", "y", "x"), "log decay", "learned, for each pixel, and class where they differ",
           absent="no decay of each pixel is learned: choose multinomial regression, shared by no more than a feature"),
    Result("lower_residual", ("evaluation",), "distance bound", "‖∇h‖/μ of a lower solve at the last hyperparameters"),
    Result("cg_residual", ("product",), "residual", "of conjugate gradients there"),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "iteration": ("step", ""), "run": ("run", ""), "stage": ("step", ""), "frame": ("step", ""), "picture": ("image", ""),
    "y": ("row", ""), "x": ("column", ""), "place": ("step", ""), "which": ("axis", ""), "u": ("first axis", ""),
    "v": ("second axis", ""), "filter": ("filter", ""), "fy": ("row", ""), "fx": ("column", ""), "class": ("class", ""),
    "evaluation": ("gradient", ""), "product": ("product", ""),
}


class Inputs(eqx.Module):
    """Greys between 0 and 1, to learn from and held out, and their classes, -1 where there are none."""

    train: Array  # (n, H, W)
    test: Array
    labels: Array  # (n,)
    labels_test: Array
    extent: Array  # what the constants of a regression need: of both halves of the rows, and the largest norm
    classes: int = eqx.field(static=True)


def inputs(data: Data) -> Inputs:
    """The images of a set."""
    pixels = np.asarray(data.arrays["pixels"])
    greys = (pixels / 255.0 if pixels.dtype == np.uint8 else (pixels.astype(float) + 1) / 2).mean(axis=1)
    held = np.asarray(data.arrays["held_out"])
    labels = np.asarray(data.arrays.get("classes", np.full(len(held), -1))).astype(np.int64)
    train, test = greys[~held][: 2 * _ROWS], greys[held][:_ROWS]
    half, rows = len(train) // 2, train.reshape(len(train), -1)
    extent = [np.linalg.norm(part, 2) ** 2 / len(part) for part in (rows[:half], rows[half:])]
    extent.append(np.linalg.norm(rows[:half], axis=1).max())
    parts = (train, test, labels[~held][: 2 * _ROWS], labels[held][:_ROWS], np.array(extent))
    return Inputs(*map(placed, parts), int(labels.max()) + 1)  # type: ignore[call-arg]


class Case(NamedTuple):
    """A problem, where it begins, and its images with noise."""

    problem: Bilevel
    theta: Array
    test: Any  # held out: the problem of these images, or rows and labels


def case(given: Inputs, p: Any) -> Case:
    """The problem of a run."""
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
        rows[:half], given.labels[:half], rows[half:], given.labels[half:], given.extent, given.classes, p.share,
        p.known == "bounds",
    )
    count = {"weight": rows.shape[1] * given.classes, "feature": rows.shape[1], "all": 1}[p.share]
    theta = _first(placed(np.full(count, _LOGS[1])), p.start)
    return Case(problem, theta, (given.test.reshape(len(given.test), -1), given.labels_test))


def run(given: Inputs, p: Any, loop: Loop) -> dict[str, Any]:
    """Descend on the problem of a run, look at what it came to, and compare."""
    made = case(given, p)
    least = made.problem.least()[1] if isinstance(made.problem, quadratic.Quadratic) else None
    found, looked, told = learn(made.problem, made.theta, p, loop, least)
    return told | _seen(made, found, looked, p)


def learn(
    problem: Bilevel, theta: Array, p: Any, loop: Loop, least: Array | None = None
) -> tuple[Descent, survey.Looked, dict[str, Any]]:
    """Descend on any problem, look at some steps, and run what it is compared with.

    Args:
        least: the least loss, where it is known; else the lowest of all runs stands for it.
    """
    rules = Rules(eta=p.eta, lam=p.eta * p.lam, rho=p.rho, nu=p.nu, nu_up=p.nu_up, budget=p.budget)
    found = _descend(problem, theta, rules, p, loop)
    count = found.state.step
    looked = survey.look(problem, found.path, found.state.slopes, count)
    told = _told(found, looked, p)
    told |= dict(zip(("lower_residual", "cg_residual"), survey.residuals(problem, found.theta), strict=True))
    if theta.size > 1:
        seen = survey.plane(problem, found.path, count)
        told |= {"plane": seen.loss, "path": seen.path, "plane_u": seen.u, "plane_v": seen.v}
    reasons = [found.reason]
    if p.compare:
        runs, reason = survey.fan(problem, theta, p.alpha0, rules, p.steps, loop)
        told |= _compared(runs, told["loss_start"], told["loss"], least)
        reasons.append(reason)
    return found, looked, told | {"reason": first_failure(*reasons), "iterations": found.iterations}


def _descend(problem: Bilevel, theta: Array, rules: Rules, p: Any, loop: Loop) -> Descent:
    settings: dict[str, Any] = {"alpha": p.alpha0, "rules": rules, "max_iterations": p.steps, "loop": loop}
    if p.rule.startswith("HOAG"):
        return rivals.hoag(problem, theta, p.eps0, schedule=p.rule.removeprefix("HOAG "), **settings)  # type: ignore[arg-type]
    return maid.minimise(problem, theta, p.eps0, adaptive=p.rule == "MAID", **settings)


def _told(found: Descent, looked: survey.Looked, p: Any) -> dict[str, Any]:
    trace = {name: found.trace[name] for name in (
        "eps", "delta", "alpha", "grad_norm", "omega", "cost_lower", "cost_cg", "backtracks", "shrinks",
    )}
    told = _of_frames(looked, survey.filled(found.trace["omega"], p.steps), found.state.step)
    told |= {"trace_loss": found.trace["loss"], "certified": placed(np.float64(found.certified))}
    told |= {"ending": found.state.ending, "cost": _sum(found.state.lower_cost, found.state.linear_cost)}
    return told | trace


def _seen(made: Case, found: Descent, looked: survey.Looked, p: Any) -> dict[str, Any]:
    """What only a problem of this kind has: images, filters, or decays."""
    problem = made.problem
    told = {}
    if isinstance(problem, denoising.Denoising):
        told |= _of_pictures(problem, made.test, looked, found.theta)
    if isinstance(problem, denoising.FieldOfExperts):
        told |= _of_filters(problem, made.theta, found.theta)
    if isinstance(problem, regression.Multinomial):
        told["accuracy"] = _percent(looked.x[-1], *made.test)
        if p.share != "all":
            side = np.sqrt(problem.a.shape[1])
            told["decay"] = _maps(found.theta, int(side), p.share == "weight")
    return told


@jit
def _sum(one: Array, two: Array) -> Array:
    return one + two


@jit
def _of_frames(looked: survey.Looked, omega: Array, count: Array) -> dict[str, Array]:
    bound = jnp.where(looked.step < count, omega[jnp.minimum(looked.step, len(omega) - 1)], jnp.nan)
    error = jnp.where(looked.step < count, looked.error, jnp.nan)
    return {
        "loss": looked.loss[-1], "loss_start": looked.loss[0], "frame_loss": looked.loss, "frame_step": looked.step,
        "error": error, "bound": bound, "looseness": jnp.nanmedian(error / bound),
        "violations": jnp.sum(error > bound), "rises": jnp.sum(jnp.diff(looked.loss) > 1e-9 * looked.loss[0]),
    }


@jit
def _of_pictures(problem: Any, test: Any, looked: survey.Looked, theta: Array) -> dict[str, Array]:
    whole = lambda x, clean: -10 * jnp.log10(jnp.mean((x - clean) ** 2))  # noqa: E731
    known = test.constants(test.noisy, theta)
    unseen = survey.lower.solve(test, theta, test.noisy, 1e-6, known).x
    frames = jax.vmap(lambda x: whole(x, problem.clean))(looked.x)
    return {
        "psnr_noisy": whole(problem.noisy, problem.clean), "psnr": frames[-1], "frame_psnr": frames,
        "psnr_test": whole(unseen, test.clean), "clean": problem.clean, "noisy": problem.noisy, "denoised": looked.x,
    }


@jit
def _of_filters(problem: Any, first: Array, last: Array) -> dict[str, Array]:
    start, end = problem.parts(first), problem.parts(last)
    strength = jnp.exp(end.scale + end.weights) * jnp.sqrt(jnp.sum(end.filters**2, axis=(1, 2)))
    order = jnp.argsort(-strength)
    return {"filters": end.filters[order], "filters_start": start.filters[order], "strength": strength[order]}


@jit
def _percent(x: Array, rows: Array, labels: Array) -> Array:
    return 100 * regression.accuracy(x, rows, labels)


@jit
def _maps(theta: Array, side: int, each: bool) -> Array:
    return jnp.moveaxis(theta.reshape(side, side, -1), 2, 0)


@jit
def _compared(runs: dict[str, Array], start: Array, mine: Array, least: Array | None) -> dict[str, Array]:
    last, n = runs["last"], len(survey.STARTS)
    lowest = jnp.minimum(last.min(), mine) if least is None else least
    fall = start - lowest
    ours, fixed = last[:n], last[n : 2 * n]
    near = lowest + 0.01 * fall
    first = jnp.nanmin(jnp.where(runs["loss"] <= near, runs["cost"], jnp.nan), axis=1)
    there = last <= near  # at the true loss, not at that of an inexact minimiser alone
    reached = jnp.where(there, first, jnp.nan)
    return {
        "run_loss": runs["loss"], "run_cost": runs["cost"], "run_last": last, "run_ending": runs["ending"],
        "least": lowest, "agreement": (ours.max() - ours.min()) / fall, "fixed_spread": (fixed.max() - fixed.min()) / fall,
        "maid_worst": ours.max(), "fixed_best": fixed.min(), "fixed_worst": fixed.max(),
        "maid_cost": reached[2], "fixed_cost": jnp.nanmin(reached[n : 2 * n]), "hoag_cost": reached[2 * n],
        "hoag_other": reached[2 * n + 2],
    }


ENDINGS = {ending.value: ending.advice for ending in Ending}

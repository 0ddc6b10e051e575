"""Draw replicates of five designs, fit least squares on each, and thin some."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Loop
from lab.numerics.jit import jit
from lab.sampling import bases, replicates
from lab.sampling.conditional import densities, places
from lab.sampling.nested import DESIGNS, DPP, IID_OPTIMAL
from lab.sampling.replicates import Replicates, Replication
from lab.sampling.responses import FUNCTIONS, Response
from lab.studies.contract import Outputs, Run, out

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_EXACT = "the best error is 0, because the space contains the function"
_UNTHINNED = "no design was thinned: set how many"


class Inputs(eqx.Module):
    """A function by its name, or a table."""

    x: Any
    y: Any
    plane: Any  # (N, 1 or 2), where rows are shown
    formula: str = eqx.field(static=True, default="")


class Experiment(Outputs):
    """Replicates of five designs with their fits."""

    stable: Float[Array, ""] = out(
        "fraction of stable designs",
        "fraction of the draws of this design with λmin(G) at least 1 - δ",
        headline=True,
        judge=lambda value, result: "good" if value >= 0.5 else "warn" if value < 0.05 else "",
    )
    stable_iid: Float[Array, ""] = out(
        "fraction stable, independent", "the same for independent points of the Christoffel measure", headline=True
    )
    ratio_here: Float[Array, ""] = out(
        "error / best",
        "squared L2 error divided by the best one: median of this design",
        headline=True,
        undefined=_EXACT,
    )
    ratio_iid: Float[Array, ""] = out(
        "error / best, independent",
        "the same for independent points of the Christoffel measure",
        headline=True,
        undefined=_EXACT,
    )
    best: Float[Array, ""] = out("best error", "L2 distance of f from the space", headline=True)
    functions: Int[Array, ""] = out("m", "number of basis functions", headline=True)
    points_used: Int[Array, ""] = out("n", "number of evaluations", headline=True)
    iterations: Int[Array, ""] | None = out("batches", "batches of draws")
    err2_best: Float[Array, ""] = out("best squared error", "squared L2 distance of f from the space")
    lambda_min: Float[Array, "design n_over_m draw"] = out("λmin(G)", "smallest eigenvalue of the Gram matrix")
    cond: Float[Array, "design n_over_m draw"] = out("condition", "of the Gram matrix")
    err2: Float[Array, "design n_over_m draw"] = out("squared error", "of the fit, in L2")
    ratio: Float[Array, "design n_over_m draw"] = out(
        "error / best", "squared L2 error divided by the best one", undefined=_EXACT
    )
    probability: Float[Array, "design n_over_m"] = out("P(λmin ≥ 1 - δ)", "fraction of stable designs")
    probability_error: Float[Array, "design n_over_m"] = out("standard error", "of the fraction of stable designs")
    lambda_median: Float[Array, "design n_over_m"] = out("median λmin(G)", "over draws")
    ratio_mean: Float[Array, "design n_over_m"] = out(
        "mean error / best", "over draws; heavy tails make it unreliable", undefined=_EXACT
    )
    ratio_quantile: Float[Array, "design n_over_m level"] = out(
        "error / best", "quantiles over draws", undefined=_EXACT
    )
    ratio_stable: Float[Array, "design n_over_m"] = out(
        "mean error / best, if stable", "over stable draws", undefined=_EXACT
    )
    linear: Float[Array, "design draw"] = out("Σ |x|²", "over the first m points")
    n_proposals: Float[Array, " draw"] = out(
        "proposals", "points proposed for one projection DPP; m where it is a random matrix"
    )
    points: Float[Array, "design kept point coord"] = out("coordinate", "points of a few draws, at the largest n")
    weights: Float[Array, "design kept point"] = out("weight", "of these points")
    values: Float[Array, "design kept point"] = out("f", "at these points")
    coefficients: Float[Array, "design kept function"] = out("coefficient", "for the fits of these draws at this n/m")
    truth: Float[Array, " function"] = out("coefficient", "for the best approximation")
    grid: Float[Array, "place axis"] = out("coordinate", "places of the pictures")
    tabled: Bool[Array, ""] = out("a table", "whether f is known at rows of a table only")
    christoffel: Float[Array, " place"] = out("density of ν", "Christoffel density")
    conditional: Float[Array, "step place"] = out(
        "density of the next point", "conditional density of a DPP, given the points so far"
    )
    f: Float[Array, " place"] = out("f", "the function")
    best_fit: Float[Array, " place"] = out("Pf", "best approximation of f")
    fit: Float[Array, "design place"] = out("fit", "fit of the first draw at this n/m")
    n_used: Float[Array, " thin"] | None = out("points left", "after thinning", absent=_UNTHINNED)
    thin_lambda_min: Float[Array, " thin"] | None = out("λmin(G)", "after thinning", absent=_UNTHINNED)
    thin_ratio: Float[Array, " thin"] | None = out(
        "error / best", "after thinning", absent=_UNTHINNED, undefined=_EXACT
    )
    thin_estimate: Float[Array, " thin"] | None = out(
        "estimate / error",
        "after thinning: estimated squared error divided by the true one",
        absent=_UNTHINNED,
        undefined=_EXACT,
    )
    whole_ratio: Float[Array, " thin"] | None = out(
        "error / best", "the same designs before thinning", absent=_UNTHINNED, undefined=_EXACT
    )
    whole_estimate: Float[Array, " thin"] | None = out(
        "estimate / error", "the same designs before thinning", absent=_UNTHINNED, undefined=_EXACT
    )


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Draw and fit all replicates, summarize them, and thin some."""
    made, delta = response(inputs, p), jnp.asarray(p.delta, jnp.result_type(float))
    n_over_m = jnp.asarray(p.oversampling, jnp.int32)
    problem, run = replicates.replicate(jax.random.key(p.seed), made, p.replicates, p.t, loop=loop)
    found = _summary(problem, run.state, n_over_m, delta) | _shown(problem, run.state, inputs.plane, n_over_m)
    which = np.int32(DESIGNS.index(p.sampler))
    found |= _headlines(found["probability"], found["ratio_quantile"], which, n_over_m)
    if p.thinned:
        found |= _thin(problem, run.state.lambda_min, which, n_over_m, delta, p.thinned)
    return Run(Experiment(**found), run.reason, run.iterations)


def response(inputs: Inputs, p: Any) -> Response:
    """The basis and the function; shapes only depend on static parameters."""
    if inputs.formula:
        return Response(bases.largest(p.family, p.dimension, p.m, p.space), function=FUNCTIONS[inputs.formula])
    return Response(bases.polynomials(inputs.x, p.m), inputs.y)


@jit
def _summary(problem: Replication, drawn: Replicates, n_over_m: Any, delta: Any) -> dict[str, Any]:
    """Statistics of all replicates."""
    m, truth = problem.response.basis.m, problem.truth
    return replicates.summary(problem, drawn, delta, LEVELS)._asdict() | {
        "err2_best": truth.best,
        "best": jnp.sqrt(truth.best),
        "truth": truth.coefficients,
        "functions": jnp.asarray(m),
        "points_used": n_over_m * m,
    }


@jit
def _headlines(probability: Any, quantile: Any, which: Any, n_over_m: Any) -> dict[str, Any]:
    """Median error and fraction of stable draws, for the chosen design and for independent points."""
    made, median = {}, quantile[..., LEVELS.index(0.5)]
    for name, design in (("", which), ("_iid", DESIGNS.index(IID_OPTIMAL))):
        made[f"stable{name}"] = probability[design, n_over_m - 1]
        made[f"ratio{name or '_here'}"] = median[design, n_over_m - 1]
    return made


@jit
def _shown(problem: Replication, drawn: Replicates, plane: Any, n_over_m: Any) -> dict[str, Any]:
    """Points of a few draws, and the fit of the first."""
    response, basis = problem.response, problem.response.basis
    tabled, points = response.rows is not None, drawn.points.swapaxes(0, 1)
    fits = replicates.kept_fits(problem, drawn, n_over_m)
    at = places(basis, plane)
    law = densities(basis, drawn.points[0, DESIGNS.index(DPP), : basis.m], at)
    functions = basis(at.points)
    return {
        "points": plane[points[..., 0]] if tabled else points,
        "weights": drawn.weights.swapaxes(0, 1),
        "values": fits.values,
        "coefficients": fits.coefficients,
        "grid": at.grid,
        "tabled": jnp.asarray(tabled),
        "christoffel": law.christoffel,
        "conditional": law.conditional,
        "f": response(at.points),
        "best_fit": functions @ problem.truth.coefficients,
        "fit": fits.coefficients[:, 0] @ functions.T,
    }


@jit
def _thin(problem: Replication, lambda_min: Any, which: Any, n_over_m: Any, delta: Any, count: int) -> dict[str, Any]:
    """Designs before and after thinning."""
    found = replicates.thinned(problem, lambda_min[which, n_over_m - 1], which, n_over_m, delta, count)
    best = problem.truth.best
    return {
        "n_used": found.n_used,
        "thin_lambda_min": found.lambda_min,
        "thin_ratio": found.err2 / best,
        "thin_estimate": found.estimate / found.err2,
        "whole_ratio": found.before_err2 / best,
        "whole_estimate": found.before_estimate / found.before_err2,
    }

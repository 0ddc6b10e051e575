"""Weighted least squares on the points of determinantal processes (Nouy and Michel, 2023) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data, responses
from lab.datasets.transport import planar
from lab.numerics import Loop
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.sampling import bases, conditional, replicates
from lab.sampling.families import FAMILIES
from lab.sampling.nested import DESIGNS, DPP, IID_OPTIMAL, MOST
from lab.sampling.replicates import Replicates, Replication
from lab.sampling.responses import FUNCTIONS, Response
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Whole
from lab.studies.vocabulary import size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_EXACT = "the best error is 0, because the space contains the function"
_UNTHINNED = "no design was thinned: set how many"


class Inputs(eqx.Module):
    """A function by its name, or a table."""

    x: Any
    y: Any
    plane: Any  # (N, 1 or 2), where rows are shown
    formula: str = eqx.field(static=True, default="")


class DPPLeastSquares(Study):
    """Stable least squares from close to m evaluations, at points that repel each other."""

    slug = "dpp-least-squares"
    title = "Least squares on repelling points"
    field = "Diverse sampling"
    paper = Paper(
        "Nouy, Michel",
        "Weighted least-squares approximation with determinantal point processes and generalized volume sampling",
        "arXiv",
        2023,
        "https://arxiv.org/abs/2312.14057",
    )
    text = "dpp_least_squares.md"
    kind = responses.KIND

    data = DataSource(
        "runge", doc="a named function, or a table: points, and in the last column (or y) the values there"
    )
    family = Choice(
        list(FAMILIES), label="functions",
        doc="legendre: polynomials on [-1, 1]; hermite: polynomials, normal law; fourier: waves on [0, 1), m odd; haar: steps "
        "on [0, 1), m a power of 2; a table has polynomials of its columns",
    )
    m = Whole(
        10, bounds=(1, 100), soft=(2, 40), symbol="m", traced=False,
        doc="how many functions; in more variables the largest whole set of at most so many",
    )
    oversampling = Whole(
        3, bounds=(1, MOST), symbol="n/m", label="points per function", doc="n, the evaluations, over m"
    )
    sampler = Choice(
        [DPP, *(name for name in DESIGNS[::-1] if name != DPP)], label="design",
        doc="whose numbers are shown, and which is thinned; all five are always drawn",
    )
    delta = Real(
        0.5, bounds=(0, 1), inclusive_bounds=(False, False), soft=(0.2, 0.9), symbol="δ",
        doc="a design is stable where the least eigenvalue of G is at least 1 - δ",
    )
    dimension = Whole(
        1, bounds=(1, 3), symbol="d", label="variables", traced=False, doc="of the function; a table has its own"
    )
    space = Choice(
        list(bases.SPACES), label="index set", doc="which products of functions of one variable, for d above 1"
    )
    replicates = size(500, (10, 50_000), (100, 5000), label="draws", doc="independent replicates of every design")
    thinned = Whole(
        0, bounds=(0, 1000), soft=(0, 50), label="thin so many designs", traced=False,
        doc="of the stable ones, deleting points while they stay stable; 0: none",
    )
    t = Real(
        1.0, bounds=(0, 1), soft=(0, 1), symbol="t", label="share of the Christoffel law", group="more",
        doc="independent points come from (1 - t) μ + t ν; 1: optimal, 1/2: no weight above 2",
    )

    dims: ClassVar = {
        "design": ("design", ""),
        "n_over_m": ("n/m", ""),
        "draw": ("draw", ""),
        "kept": ("draw", ""),
        "point": ("point", ""),
        "coord": ("coordinate", ""),
        "step": ("points so far", ""),
        "place": ("place", ""),
        "axis": ("coordinate", ""),
        "level": ("quantile", ""),
        "function": ("function", ""),
        "thin": ("thinned design", ""),
    }
    results = (
        Result("stable", (), "share of stable designs", "share of this design's draws with λmin(G) at least 1 - δ",
               headline=True,
               judge=lambda value, result: _mood(value)),
        Result("stable_iid", (), "share stable, independent", "the same of independent points of the Christoffel law",
               headline=True),
        Result("ratio_here", (), "error / best", "squared L2 error over the best one: median of this design", headline=True,
               undefined=_EXACT),
        Result("ratio_iid", (), "error / best, independent", "the same of independent points of the Christoffel law",
               headline=True, undefined=_EXACT),
        Result("best", (), "best error", "L2 distance of f from the space", headline=True),
        Result("functions", (), "m", "functions in use", headline=True),
        Result("points_used", (), "n", "evaluations of a design", headline=True),
        Result("iterations", (), "batches", "of draws that were made"),
        Result("err2_best", (), "best squared error", "squared L2 distance of f from the space"),
        Result("lambda_min", ("design", "n_over_m", "draw"), "λmin(G)", "least eigenvalue of the Gram matrix"),
        Result("cond", ("design", "n_over_m", "draw"), "condition", "of the Gram matrix"),
        Result("err2", ("design", "n_over_m", "draw"), "squared error", "of the fit, in L2"),
        Result("ratio", ("design", "n_over_m", "draw"), "error / best", "squared L2 error over the best one", undefined=_EXACT),
        Result("probability", ("design", "n_over_m"), "P(λmin ≥ 1 - δ)", "share of stable designs"),
        Result("probability_error", ("design", "n_over_m"), "standard error", "of that share"),
        Result("lambda_median", ("design", "n_over_m"), "median λmin(G)", "over draws"),
        Result("ratio_mean", ("design", "n_over_m"), "mean error / best", "over draws; of heavy tails, to be read with care",
               undefined=_EXACT),
        Result("ratio_quantile", ("design", "n_over_m", "level"), "error / best", "quantiles over draws", undefined=_EXACT),
        Result("ratio_stable", ("design", "n_over_m"), "mean error / best, if stable", "over stable draws: what conditioning "
               "gives", undefined=_EXACT),
        Result("tries", ("design", "n_over_m"), "designs to draw", "until one is stable, on average: 1 / P",
               undefined="no design that was drawn is stable"),
        Result("linear", ("design", "draw"), "Σ |x|²", "over the first m points"),
        Result("n_proposals", ("draw",), "points drawn", "for one projection DPP; m where it is a random matrix"),
        Result("points", ("design", "kept", "point", "coord"), "coordinate", "of a few draws, at the largest n"),
        Result("weights", ("design", "kept", "point"), "weight", "of these points"),
        Result("values", ("design", "kept", "point"), "f", "at these points"),
        Result("estimate", ("design", "kept"), "estimated squared error", "of their fits at this n/m, by cross-validation",
               undefined="each point determines a coefficient, so none can be left out"),
        Result("coefficients", ("design", "kept", "function"), "coefficient", "of their fits at this n/m"),
        Result("truth", ("function",), "coefficient", "of the best approximation"),
        Result("grid", ("place", "axis"), "coordinate", "where pictures are drawn"),
        Result("tabled", (), "a table", "whether f is known on rows only"),
        Result("law", ("place",), "density of μ", "of the reference law; its mass at each row of a table"),
        Result("christoffel", ("place",), "density of ν", "of the Christoffel law"),
        Result("conditional", ("step", "place"), "density of the next point", "of a DPP, given the points so far"),
        Result("f", ("place",), "f", "the function"),
        Result("best_fit", ("place",), "Pf", "its best approximation"),
        Result("fit", ("design", "place"), "fit", "of the first draw at this n/m"),
        Result("n_used", ("thin",), "points left", "after thinning", absent=_UNTHINNED),
        Result("thin_lambda_min", ("thin",), "λmin(G)", "after thinning", absent=_UNTHINNED),
        Result("thin_ratio", ("thin",), "error / best", "after thinning", absent=_UNTHINNED, undefined=_EXACT),
        Result("thin_estimate", ("thin",), "estimate / error", "after thinning: what the points alone say, over the truth",
               absent=_UNTHINNED, undefined=_EXACT),
        Result("whole_ratio", ("thin",), "error / best", "of the same designs before", absent=_UNTHINNED, undefined=_EXACT),
        Result("whole_estimate", ("thin",), "estimate / error", "of the same designs before", absent=_UNTHINNED,
               undefined=_EXACT),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The name of the function, or the table and where its rows are shown."""
        if "formula" in data.arrays:
            none = placed(np.zeros((0, 1)))
            return Inputs(none, placed(np.zeros(0)), none, responses.function_of(data.arrays))
        x, y = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["y"], float)
        plane = x
        if x.shape[1] > 2:
            spread = x.std(axis=0)
            z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            plane = planar(z, z)["x_2d"]
        return Inputs(placed(x), placed(y), placed(plane))

    def check(self, data: Data) -> None:
        """The basis must exist, with a sentence where it does not."""
        super().check(data)
        _response(self.inputs(data), self)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """No more functions than rows."""
        if "formula" in data.arrays:
            return {}
        most = min(100, len(np.unique(data.arrays["x"], axis=0)))
        return {"m": Limit(1, most, "the number of different rows, and 100 at most")}

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Draw and fit all replicates, then look at them, and thin some."""
        response, delta = _response(inputs, p), jnp.asarray(p.delta, jnp.result_type(float))
        n_over_m = jnp.asarray(p.oversampling, jnp.int32)
        problem, run = replicates.replicate(jax.random.key(p.seed), response, p.replicates, p.t, loop=loop)
        output = _summary(problem, run.state, n_over_m, delta) | _shown(problem, run.state, inputs.plane, n_over_m)
        which = np.int32(DESIGNS.index(p.sampler))
        output |= _headlines(output["probability"], output["ratio_quantile"], which, n_over_m)
        if p.thinned:
            output |= _thin(problem, run.state.lambda_min, which, n_over_m, delta, p.thinned)
        return output | {"iterations": run.iterations, "reason": run.reason}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Designs by name."""
        made = {"design": list(DESIGNS), "n_over_m": np.arange(1, MOST + 1), "level": np.array(_LEVELS)}
        if not inputs.formula:
            d = inputs.x.shape[1]
            names = data.axes.get("x", [f"column {i}" for i in range(1, d + 1)])
            made["axis"] = list(names) if d <= 2 else ["first principal axis", "second principal axis"]
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where no design is stable, nothing can be thinned, or estimates mislead."""
        if "n_over_m" not in result.dims:
            return ""
        if float(result.stable) == 0:
            return (
                "No draw of this design is stable: raise n/m or δ, or choose the DPP; the means below are those of "
                "unstable fits."
            )
        if "thin_estimate" in result and np.isfinite(result.thin_estimate).any():
            over = float(np.nanmedian(result.thin_estimate))
            if over > 3:
                return (
                    f"Thinned to n = {float(np.nanmean(result.n_used)):.3g}, near m: the error estimate from the points "
                    f"alone is {over:.2g} times the true squared error. Trust that of the whole design."
                )
        if float(result.err2_best) == 0:
            return "f lies in the space: every fit is exact, and there is no best error to compare with."
        return ""


def _mood(value: float) -> Mood:
    return "good" if value >= 0.5 else "warn" if value < 0.05 else ""


def _response(inputs: Inputs, p: Any) -> Response:
    """The basis and the function; shapes only depend on static parameters."""
    if inputs.formula:
        return Response(bases.largest(p.family, p.dimension, p.m, p.space), function=FUNCTIONS[inputs.formula])
    return Response(bases.polynomials(inputs.x, p.m), inputs.y)


@jit
def _summary(problem: Replication, drawn: Replicates, n_over_m: Any, delta: Any) -> dict[str, Any]:
    """What the replicates say together."""
    m, truth = problem.response.basis.m, problem.truth
    return replicates.summary(problem, drawn, delta, _LEVELS)._asdict() | {
        "err2_best": truth.best, "best": jnp.sqrt(truth.best), "truth": truth.coefficients,
        "functions": jnp.asarray(m), "points_used": n_over_m * m,
    }


@jit
def _headlines(probability: Any, quantile: Any, which: Any, n_over_m: Any) -> dict[str, Any]:
    """Of the design that is asked for, and of independent points."""
    made, median = {}, quantile[..., _LEVELS.index(0.5)]
    for name, design in (("", which), ("_iid", DESIGNS.index(IID_OPTIMAL))):
        made[f"stable{name}"] = probability[design, n_over_m - 1]
        made[f"ratio{name or '_here'}"] = median[design, n_over_m - 1]
    return made


@jit
def _shown(problem: Replication, drawn: Replicates, plane: Any, n_over_m: Any) -> dict[str, Any]:
    """A few draws with their points, and the first of them in pictures."""
    response, basis = problem.response, problem.response.basis
    tabled, points = response.rows is not None, drawn.points.swapaxes(0, 1)
    fits = replicates.kept_fits(problem, drawn, n_over_m)
    places = conditional.places(basis, plane)
    densities = conditional.densities(basis, drawn.points[0, DESIGNS.index(DPP), : basis.m], places)
    functions = basis(places.points)
    return {
        "points": plane[points[..., 0]] if tabled else points, "weights": drawn.weights.swapaxes(0, 1),
        "values": fits.values, "coefficients": fits.coefficients, "estimate": fits.estimate,
        "grid": places.grid, "tabled": jnp.asarray(tabled), "law": densities.law, "christoffel": densities.christoffel,
        "conditional": densities.conditional, "f": response(places.points),
        "best_fit": functions @ problem.truth.coefficients, "fit": fits.coefficients[:, 0] @ functions.T,
    }


@jit
def _thin(problem: Replication, lambda_min: Any, which: Any, n_over_m: Any, delta: Any, count: int) -> dict[str, Any]:
    """Designs before and after points were deleted."""
    found = replicates.thinned(problem, lambda_min[which, n_over_m - 1], which, n_over_m, delta, count)
    best = problem.truth.best
    return {
        "n_used": found.n_used, "thin_lambda_min": found.lambda_min, "thin_ratio": found.err2 / best,
        "thin_estimate": found.estimate / found.err2, "whole_ratio": found.before_err2 / best,
        "whole_estimate": found.before_estimate / found.before_err2,
    }

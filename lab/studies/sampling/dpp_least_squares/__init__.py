"""Weighted least squares on the points of determinantal processes (Nouy and Michel, 2023) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import sampling
from lab.datasets import Data
from lab.datasets.transport import planar
from lab.numerics import Loop
from lab.numerics.jit import jit
from lab.sampling.bases import SPACES, Product
from lab.sampling.families import FAMILIES
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Whole

from . import data as _sets
from . import designs
from .claims import CLAIMS
from .designs import DESIGNS, DPP, IID_OPTIMAL, MOST
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_LINE, _SIDE = 401, 48  # places of the pictures, on a line and a side of the plane


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
    about = ABOUT
    mathematics = MATHEMATICS
    kind = _sets.KIND

    data = DataSource(
        "runge", doc="a named function, or a table: points, and in the last column (or y) the values there"
    )
    family = Choice(
        list(FAMILIES), label="functions",
        doc="legendre: polynomials on [-1, 1]; hermite: polynomials, normal law; fourier: waves on [0, 1), m odd; haar: steps "
        "on [0, 1), m a power of 2; a table has polynomials of its columns",
    )  # fmt: skip
    m = Whole(
        10, bounds=(1, 100), soft=(2, 40), symbol="m", traced=False,
        doc="how many functions; in more variables the largest whole set of at most so many",
    )  # fmt: skip
    oversampling = Whole(
        3, bounds=(1, MOST), symbol="n/m", label="points per function", doc="n, the evaluations, over m"
    )
    sampler = Choice(
        [DPP, *(name for name in DESIGNS[::-1] if name != DPP)], label="design",
        doc="whose numbers are shown, and which is thinned; all five are always drawn",
    )  # fmt: skip
    delta = Real(
        0.5, bounds=(0, 1), inclusive_bounds=(False, False), soft=(0.2, 0.9), symbol="δ",
        doc="a design is stable where the least eigenvalue of G is at least 1 - δ",
    )  # fmt: skip
    dimension = Whole(
        1, bounds=(1, 3), symbol="d", label="variables", traced=False, doc="of the function; a table has its own"
    )
    space = Choice(list(SPACES), label="index set", doc="which products of functions of one variable, for d above 1")
    replicates = Whole(
        500, bounds=(10, 50_000), soft=(100, 5000), scale="log", label="draws", traced=False,
        doc="independent replicates of every design",
    )  # fmt: skip
    thinned = Whole(
        0, bounds=(0, 1000), soft=(0, 50), label="thin so many designs", traced=False,
        doc="of the stable ones, deleting points while they stay stable; 0: none",
    )  # fmt: skip
    t = Real(
        1.0, bounds=(0, 1), soft=(0, 1), symbol="t", label="share of the Christoffel law", group="more",
        doc="independent points come from (1 - t) μ + t ν; 1: optimal, 1/2: no weight above 2",
    )  # fmt: skip

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
        Result("stable", (), "stable", "share of this design's draws with λmin(G) at least 1 - δ", headline=True,
               judge=lambda value, result: _mood(value)),
        Result("stable_iid", (), "stable, i.i.d.", "the same of independent points of the Christoffel law", headline=True),
        Result("ratio_here", (), "error / best", "squared L2 error over the best one: median of this design", headline=True),
        Result("ratio_iid", (), "error / best, i.i.d.", "the same of independent points of the Christoffel law",
               headline=True),
        Result("best", (), "best error", "L2 distance of f from the space", headline=True),
        Result("functions", (), "m", "functions in use", headline=True),
        Result("points_used", (), "n", "evaluations of a design", headline=True),
        Result("converged", (), "finished", "whether all draws were made"),
        Result("iterations", (), "batches", "of draws that were made"),
        Result("err2_best", (), "best squared error", "squared L2 distance of f from the space"),
        Result("lambda_min", ("design", "n_over_m", "draw"), "λmin(G)", "least eigenvalue of the Gram matrix"),
        Result("cond", ("design", "n_over_m", "draw"), "condition", "of the Gram matrix"),
        Result("err2", ("design", "n_over_m", "draw"), "squared error", "of the fit, in L2"),
        Result("ratio", ("design", "n_over_m", "draw"), "error / best", "squared L2 error over the best one"),
        Result("probability", ("design", "n_over_m"), "P(λmin ≥ 1 - δ)", "share of stable designs"),
        Result("probability_error", ("design", "n_over_m"), "standard error", "of that share"),
        Result("lambda_median", ("design", "n_over_m"), "median λmin(G)", "over draws"),
        Result("ratio_mean", ("design", "n_over_m"), "mean error / best", "over draws; of heavy tails, to be read with care"),
        Result("ratio_quantile", ("design", "n_over_m", "level"), "error / best", "quantiles over draws"),
        Result("ratio_stable", ("design", "n_over_m"), "mean error / best, if stable", "over stable draws: what conditioning "
               "gives"),
        Result("tries", ("design", "n_over_m"), "designs to draw", "until one is stable, on average: 1 / P"),
        Result("linear", ("design", "draw"), "Σ |x|²", "over the first m points"),
        Result("n_proposals", ("draw",), "points drawn", "for one projection DPP; m where it is a random matrix"),
        Result("points", ("design", "kept", "point", "coord"), "coordinate", "of a few draws, at the largest n"),
        Result("weights", ("design", "kept", "point"), "weight", "of these points"),
        Result("values", ("design", "kept", "point"), "f", "at these points"),
        Result("estimate", ("design", "kept"), "estimated squared error", "of their fits at this n/m, by cross-validation"),
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
        Result("n_used", ("thin",), "points left", "after thinning", optional=True),
        Result("thin_lambda_min", ("thin",), "λmin(G)", "after thinning", optional=True),
        Result("thin_ratio", ("thin",), "error / best", "after thinning", optional=True),
        Result("thin_estimate", ("thin",), "estimate / error", "after thinning: what the points alone say, over the truth",
               optional=True),
        Result("whole_ratio", ("thin",), "error / best", "of the same designs before", optional=True),
        Result("whole_estimate", ("thin",), "estimate / error", "of the same designs before", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The name of the function, or the table and where its rows are shown."""
        if "formula" in data.arrays:
            none = jnp.zeros((0, 1))
            return Inputs(none, none[:, 0], none, _sets.function_of(data.arrays))
        x, y = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["y"], float)
        plane = x
        if x.shape[1] > 2:
            spread = x.std(axis=0)
            z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            plane = planar(z, z)["x_2d"]
        return Inputs(jnp.asarray(x), jnp.asarray(y), jnp.asarray(plane))

    def check(self, data: Data) -> None:
        """The basis must exist, with a sentence where it does not."""
        _sets.check(data.name, data.arrays)
        super().check(data)
        _setting(self.inputs(data), self)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """No more functions than rows."""
        if "formula" in data.arrays:
            return {}
        most = min(100, len(np.unique(data.arrays["x"], axis=0)))
        return {"m": Limit(1, most, "the number of different rows, and 100 at most")}

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Draw and fit all replicates, then look at them, and thin some."""
        setting = _setting(inputs, p)
        delta, t = (jnp.asarray(value, jnp.zeros(()).dtype) for value in (p.delta, p.t))
        r = jnp.asarray(p.oversampling, jnp.int32)
        truth = _truth(setting)
        work = designs.Work(setting, truth, jax.random.key(p.seed), t, p.replicates)
        run = loop(designs.DRAW, work, max_iterations=-(-p.replicates // work.batch))
        output = _describe(work, run.state, r, delta) | _looked(work, run.state, inputs.plane, r)
        which = DESIGNS.index(p.sampler)
        median = output["ratio_quantile"][..., _LEVELS.index(0.5)]
        for name, number in (("", which), ("_iid", DESIGNS.index(IID_OPTIMAL))):
            output[f"stable{name}"] = output["probability"][number, r - 1]
            output[f"ratio{name or '_here'}"] = median[number, r - 1]
        if p.thinned:
            output |= _thin(work, run.state.lambda_min, jnp.asarray(which), r, delta, p.thinned)
        return output | {"iterations": run.iterations, "reason": run.reason}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs) -> Mapping[str, Any]:
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


def _setting(inputs: Inputs, p: Any) -> designs.Setting:
    """The basis and the function; shapes only depend on static parameters."""
    if inputs.formula:
        return designs.Setting(designs.basis_of(p.family, p.dimension, p.m, p.space), formula=inputs.formula)
    return designs.Setting(designs.table_basis(inputs.x, p.m), inputs.y)


_truth = jit(designs.truth_of)


@jit
def _describe(work: designs.Work, drawn: designs.Drawn, r: Any, delta: Any) -> dict[str, Any]:
    """What the replicates say together."""
    m, best = work.setting.basis.m, work.truth.best
    cut = (..., slice(work.total))
    lambda_min, err2 = drawn.lambda_min[cut], drawn.err2[cut]
    ratio = jnp.where(best > 0, err2 / jnp.where(best > 0, best, 1.0), jnp.nan)
    count = (~jnp.isnan(lambda_min)).sum(axis=-1)
    stable = lambda_min >= 1 - delta
    share = stable.sum(axis=-1) / count
    return {
        "lambda_min": lambda_min, "cond": drawn.cond[cut], "err2": err2, "ratio": ratio,
        "err2_best": best, "best": jnp.sqrt(best), "functions": jnp.asarray(m), "points_used": r * m,
        "probability": share, "probability_error": jnp.sqrt(share * (1 - share) / count), "tries": 1 / share,
        "lambda_median": designs.quantiles(lambda_min, (0.5,))[..., 0],
        "ratio_mean": jnp.nanmean(ratio, axis=-1), "ratio_quantile": designs.quantiles(ratio, _LEVELS),
        "ratio_stable": jnp.where(stable, ratio, 0.0).sum(axis=-1) / stable.sum(axis=-1),
        "linear": drawn.linear[cut], "n_proposals": drawn.proposals[cut], "truth": work.truth.coefficients,
    }  # fmt: skip


@jit
def _looked(work: designs.Work, drawn: designs.Drawn, plane: Any, r: Any) -> dict[str, Any]:
    """A few draws with their points, and the first of them in pictures."""
    setting, basis = work.setting, work.setting.basis
    m = basis.m
    used = jnp.arange(MOST * m) < r * m

    def of(x, w, repeated):
        values = setting.values(x)
        c = sampling.fit(basis(x), w, values, used).coefficients
        seen = plane[x[:, 0]] if setting.y is not None else basis.coordinates(x)
        return seen, w, values, c, designs.estimates(setting, x, w, used, repeated)

    repeated = jnp.arange(len(DESIGNS)) == DESIGNS.index(DPP)
    made = jax.lax.map(lambda each: jax.vmap(of)(each[0], each[1], repeated), (drawn.points, drawn.weights))
    seen, weights, values, c, estimate = (each.swapaxes(0, 1) for each in made)
    places = _places(basis, plane)
    first = drawn.points[0, DESIGNS.index(DPP), :m]
    chain, density, law = _chain(basis, first, places)
    slice_ = basis.evaluate(places.slice) if isinstance(basis, Product) else basis(places.slice)
    return {
        "points": seen, "weights": weights, "values": values, "coefficients": c, "estimate": estimate,
        "grid": places.grid, "tabled": jnp.asarray(setting.y is not None), "law": law, "christoffel": density,
        "conditional": chain,
        "f": setting.values(places.slice), "best_fit": slice_ @ work.truth.coefficients, "fit": c[:, 0] @ slice_.T,
    }  # fmt: skip


class _Places(NamedTuple):
    grid: Any  # (place, 1 or 2)
    slice: Any  # (place, d) points of the basis
    deep: Any  # (layer, place, d) points that are integrated over layers
    masses: Any  # (layer,)


def _places(basis: Any, plane: Any) -> _Places:
    """Where pictures look: a line, a plane, or the rows."""
    if not isinstance(basis, Product):
        rows = jnp.arange(plane.shape[0])[:, None]
        return _Places(plane, rows, rows[None], jnp.ones(1))
    low, high = basis.families[0].bracket
    edge = 2 * max(f.size for f in basis.families) ** 0.5 + 1
    low, high = max(low, -edge), min(high, edge)  # of a normal law only where the functions live
    if basis.d == 1:
        grid = ((jnp.arange(_LINE) + 0.5) / _LINE * (high - low) + low)[:, None]
        return _Places(grid, grid, grid[None], jnp.ones(1))
    middle = (jnp.arange(_SIDE) + 0.5) / _SIDE * (high - low) + low
    grid = jnp.stack(jnp.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    if basis.d == 2:
        return _Places(grid, grid, grid[None], jnp.ones(1))
    nodes, masses = basis.families[2].gauss(basis.families[2].size)
    nodes, masses = jnp.asarray(nodes), jnp.asarray(masses)
    deep = jnp.concatenate(
        [
            jnp.broadcast_to(grid, (len(masses), *grid.shape)),
            jnp.broadcast_to(nodes[:, None, None], (len(masses), len(grid), 1)),
        ],
        axis=2,
    )
    third = jnp.full((len(grid), 1), (low + high) / 2)
    return _Places(grid, jnp.concatenate([grid, third], axis=1), deep, masses)


def _chain(basis: Any, first: Any, places: _Places) -> tuple[Any, Any, Any]:
    """Densities of the next point, of the Christoffel law and of the reference law, for Lebesgue measure or by rows."""

    def layer(x):
        return sampling.conditional_densities(basis, first, x)

    chain = jnp.tensordot(places.masses, jax.vmap(layer)(places.deep), 1)
    if isinstance(basis, Product):
        law = jnp.stack(
            [family.density(places.grid[:, i]) for i, family in enumerate(basis.families[: places.grid.shape[1]])]
        ).prod(axis=0)
    else:
        law = basis.masses
    return chain * law[None, :], chain[0] * law, law


@jit
def _thin(work: designs.Work, lambda_min: Any, number: Any, r: Any, delta: Any, count: int) -> dict[str, Any]:
    found = designs.thinned(work, lambda_min[number, r - 1], number, r, delta, count)
    best = work.truth.best
    return {
        "n_used": found.n_used, "thin_lambda_min": found.lambda_min, "thin_ratio": found.err2 / best,
        "thin_estimate": found.estimate / found.err2, "whole_ratio": found.before_err2 / best,
        "whole_estimate": found.before_estimate / found.before_err2,
    }  # fmt: skip

"""Train a grid of mixtures at two pilot sizes, fit the scores, project them to N, and select a mixture."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Reason, Remembered, first_failure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.remembered import anew
from lab.studies.contract import Outputs, Run, out
from lab.studies.valuation import pilots
from lab.valuation import designs, distance, draws, fits, projection, selection

MOST = 5000  # training points
SOURCES = ("first", "second", "third")
_CHECKS = 10  # mixtures of the grid that are also trained at N
_CURVE = 25  # sizes along a curve
_REMEMBERED = Remembered(bytes=64 << 20)


class Inputs(eqx.Module):
    """Points of the sources, and the number of classes."""

    sources: pilots.Sources
    digest: str = eqx.field(static=True)
    classes: int = eqx.field(static=True)


class Experiment(Outputs):
    """Scores are accuracies in %, or log-losses; ``score`` and ``pred`` have the logarithms of log-losses."""

    predicted: Float[Array, ""] = out("predicted at N", "predicted score of your mixture", headline=True)
    measured: Float[Array, ""] = out("measured at N", "score after training on N points of your mixture", headline=True)
    ot_here: Float[Array, ""] = out("distance", "from your mixture to the validation set", unit="cost", headline=True)
    best_predicted: Float[Array, ""] = out("predicted at p*", "predicted score of the selected mixture", headline=True)
    best_measured: Float[Array, ""] = out("measured at p*", "score after training on N points of p*", headline=True)
    equal_measured: Float[Array, ""] = out("measured at equal weights", "score with a third of N points per source")
    correlation: Float[Array, ""] = out(
        "correlation", "of distance and score at N₁", headline=True, undefined="all distances or all scores are equal"
    )
    mae_ot: Float[Array, ""] = out(
        "error of linear-OT",
        "mean absolute error at N₁ where source 2 has half or more, fitted to the rest",
        headline=True,
    )
    mae_pq: Float[Array, ""] = out("error of PQ-OT", "the same error, with the paper's ten columns", headline=True)
    mae_quadratic: Float[Array, ""] = out("error without the distance", "the same error, quadratic in the weights")
    mae_between: Float[Array, ""] = out("error between mixtures", "of PQ-OT at N₁, fitted to a random part of the grid")
    mae_projected: Float[Array, ""] = out("projection error", "mean absolute error at N, by fits", headline=True)
    mae_raw: Float[Array, ""] = out("error of raw projection", "the same error, from measured scores instead of fits")
    mae_same: Float[Array, ""] = out(
        "error without projection", "the same error, with the score at N₁ as the prediction"
    )
    amplification: Float[Array, ""] = out("error growth", "ratio of standard deviations at N and at the pilot sizes")
    condition: Float[Array, ""] = out("condition number", "of the standardized columns of the fit")
    shares: Float[Array, "mixture source"] = out("weight", "of each source in each mixture of the grid")
    ot: Float[Array, " mixture"] = out("distance", "from each mixture to the validation set", unit="cost")
    grad: Float[Array, "mixture source"] = out("slope", "gradient of the distance along the simplex", unit="cost")
    accuracy: Float[Array, "size mixture rep"] = out("accuracy", "of each training", unit="%")
    score: Float[Array, "size mixture"] = out("measured", "median accuracy in %, or logarithm of the median log-loss")
    pred: Float[Array, "split form size mixture"] = out("predicted", "by a fit to a part of the mixtures")
    fitted: Float[Array, "split mixture"] = out("fitted", "1 for mixtures that are fitted, 0 for test mixtures")
    mae: Float[Array, "split form size"] = out("mean absolute error", "on the test mixtures")
    coef: Float[Array, "fit size term"] = out("coefficient", "of each column; the intercept comes first")
    proj: Float[Array, " mixture"] = out("predicted at N", "by the chosen fit to all mixtures")
    mix: Float[Array, " source"] = out("your weight", "of each source")
    best: Float[Array, " source"] = out("selected weight", "of each source")
    path: Float[Array, "step source"] = out("weight", "along the ascent that ends at p*")
    worth: Float[Array, " source"] = out(
        "calibrated gradient",
        "decrease of the distance per unit of weight that a source gains; NaN at weight 1",
        unit="cost",
    )
    potential: Float[Array, " sample"] = out(
        "potential", "slope of the distance in the mass of a pilot point", unit="cost"
    )
    sample_source: Int[Array, " sample"] = out("source", "of each pilot point, counted from 0")
    line: Float[Array, "which part"] = out("predicted", "score by size")
    line_size: Float[Array, " part"] = out("N", "sizes along the curve", unit="points")
    pilot: Float[Array, "which of"] = out("fitted", "predicted score at N₀, N₁ and N")
    trained: Float[Array, "which of"] = out("measured", "score at N₀, N₁ and N")
    check: Float[Array, "kind tested"] = out("score at N", "of ten mixtures: measured, and three predictions")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Train the grid, fit, select, and train the selected mixture. Steps that do not depend on your mixture are cached."""
    data, classes, keep = inputs.sources, inputs.classes, _remembering(inputs, p)
    noisy = placed(np.int32(SOURCES.index(p.noisy)))
    case = _case(data, classes, noisy, p.only("first", "second", "third", "noise", "n0", "n1", "n", "seed"))
    grid = placed(designs.simplex_grid(3, p.grid).astype(data.x.dtype))
    logs = p.measure == "log-loss"

    def train(key: Array, mixtures: Array, sizes: Array) -> pilots.Scores:
        settings = {"reps": p.reps, "most": MOST, "penalty": p.penalty, "steps": p.steps, "loop": loop}
        return pilots.measure(key, data, case.labels, mixtures, sizes, classes=classes, **settings)

    labels = _key(keep, p, "noise", "noisy", "seed")
    costs_key = ("costs", *labels, *_key(keep, p, "metric", "label_weight", "distance"))
    points = case.features, case.pilot_labels, data.y, data.y_labels
    costs = keep(
        costs_key, lambda: distance.costs(*points, classes, p.metric, p.label_weight, p.distance == "debiased")
    )
    training_key = ("trained", *labels, *_key(keep, p, "n0", "n1", "grid", "reps", "steps", "penalty"))
    found = keep(
        training_key,
        lambda: tuple(train(key, grid, sizes) for key, sizes in _pilots(case, len(grid))),
        lambda found: all(int(each.reason) == Reason.CONVERGED for each in found),
    )
    measured, epsilon = _scales(found, costs, p.epsilon, logs)
    distance.check_epsilon(costs, epsilon)
    distances = _distances(grid, case, costs, epsilon)
    fitted = pilots.fit_all(case.key, grid, distances.ot, measured, case.sizes[:2], p.ridge, logs)
    score, rate, starts = _ascent(case, fitted, measured, fits.MODELS.index(p.model), logs)
    chosen = keep(
        (*costs_key, *training_key, *_key(keep, p, "epsilon", "model", "measure", "ridge", "n")),
        lambda: selection.select(score, costs, case.pilot_source, epsilon, p.model, begin=starts, rate=rate, loop=loop),
        lambda each: int(each.reason) == Reason.CONVERGED,
    )
    key, mixtures, sizes, checks = _rows(case, chosen.p, grid)
    last = train(key, mixtures, sizes)
    outputs = _outputs(case, grid, found, measured, distances, fitted, score, chosen, last, checks, p.model, logs)
    counts = [each.iterations for each in (*found, last)]
    return Run(
        outputs,
        first_failure(found[0].reason, found[1].reason, distances.reason, chosen.reason, last.reason),
        sum(counts) if any(isinstance(each, Tracer) for each in counts) else sum(map(int, counts)),
    )


def _remembering(inputs: Inputs, p: Any) -> Callable[..., Any]:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((inputs, p))):
        return anew
    return _REMEMBERED.within((inputs.digest, str(jnp.result_type(float))))


def _key(keep: Callable[..., Any], p: Any, *names: str) -> tuple:
    values = () if keep is anew else tuple(getattr(p, name) for name in names)
    return tuple(np.asarray(value).item() if hasattr(value, "dtype") else value for value in values)


class _Case(NamedTuple):
    key: Array
    mix: Float[Array, "3"]
    labels: Int[Array, " n"]  # with the wrong ones
    sizes: Float[Array, "3"]  # N0, N1, N
    features: Float[Array, "m e"]  # of the pilot points
    pilot_labels: Int[Array, " m"]
    pilot_source: Int[Array, " m"]


@jit
def _case(data: pilots.Sources, classes: int, noisy: Any, p: Any) -> _Case:
    weights = jnp.asarray([p.first, p.second, p.third], data.x.dtype)
    draw, flip = jax.random.split(jax.random.key(p.seed))
    labels = draws.flipped(flip, data.labels, classes, p.noise, data.source == noisy, data.kept)
    sizes = jnp.asarray([p.n0, p.n1, p.n], data.x.dtype)
    at = data.pilots
    return _Case(draw, weights / weights.sum(), labels, sizes, data.features[at], labels[at], data.source[at])


@jit
def _pilots(case: _Case, count: int) -> list[tuple[Array, Array]]:
    """The key and the training sizes at each pilot size."""
    return [(jax.random.fold_in(case.key, i), jnp.full(count, case.sizes[i])) for i in (0, 1)]


@jit
def _scales(found: tuple, costs: distance.Costs, relative: Any, logs: bool) -> tuple[Array, Array]:
    """Measured scores at both pilot sizes, and epsilon in units of the cost."""
    medians = [pilots.scored(scores, "log-loss" if logs else "accuracy") for scores in found]
    return jnp.stack(medians), relative * costs.matrix.mean()


class _Grid(NamedTuple):
    ot: Float[Array, " k"]
    mean: Float[Array, "k 3"]  # mean potentials
    here: distance.Distances  # of your mixture, in a batch of one
    reason: Array


@jit
def _distances(grid: Array, case: _Case, costs: distance.Costs, epsilon: Array) -> _Grid:
    found = distance.distances(jnp.concatenate([grid, case.mix[None]]), costs, case.pilot_source, epsilon)
    here = jax.tree.map(lambda each: each[-1:] if each.ndim else each, found)
    reason = jnp.where(found.converged, Reason.CONVERGED, Reason.MAX_ITERATIONS)
    return _Grid(found.value[:-1], found.mean[:-1], here, reason)


@jit
def _ascent(case: _Case, fitted: pilots.Fitted, measured: Array, which: int, logs: bool) -> tuple:
    """The score that selection ascends, the learning rate, and the starts."""
    n0, n1, n = case.sizes
    fit, sign = jax.tree.map(lambda each: each[which], fitted.whole), -1.0 if logs else 1.0
    span = measured.max() - measured.min()
    rate = 1 / jnp.where(span > 0, span, 1.0)
    return selection.Score(fit, sign * projection.weights(n, n0, n1)), rate, selection.starts(3).astype(case.mix.dtype)


@jit
def _rows(case: _Case, best: Array, grid: Array) -> tuple[Array, Array, Array, Array]:
    """The key, mixtures and sizes of the last trainings, and which mixtures of the grid are among them."""
    checks = jnp.argsort(random.uniform(jax.random.fold_in(case.key, 3), (len(grid),)))[:_CHECKS]
    equal = jnp.full((1, 3), 1 / 3, grid.dtype)
    rows = jnp.concatenate([jnp.tile(case.mix[None], (3, 1)), jnp.tile(best[None], (3, 1)), equal, grid[checks]])
    sizes = jnp.concatenate([case.sizes, case.sizes, jnp.full(1 + _CHECKS, case.sizes[2])])
    return jax.random.fold_in(case.key, 2), rows, sizes, checks


@jit
def _outputs(
    case: _Case,
    grid: Array,
    found: tuple,
    measured: Array,
    distances: _Grid,
    fitted: pilots.Fitted,
    score: selection.Score,
    chosen: selection.Selection,
    last: pilots.Scores,
    checks: Array,
    model: str,
    logs: bool,
) -> Experiment:
    n0, n1, n = case.sizes
    kind, back = ("log-loss", jnp.exp) if logs else ("accuracy", lambda y: y)

    def at_pilots(p: Array, t: Array) -> Array:
        return jax.vmap(lambda fit: fits.predict(fit, p, t, model))(score.fit)

    def at(sizes: Array, values: Array) -> Array:
        """The projection of scores at both pilot sizes (2, ...) to each size."""
        low, high = back(values)
        return jax.vmap(lambda n: projection.project(n, n0, n1, low, high, kind))(sizes)

    sizes = jnp.exp(jnp.linspace(jnp.log(n0 / 2), jnp.log(2 * case.sizes.max()), _CURVE))
    here = distances.here
    values = at_pilots(jnp.stack([case.mix, chosen.p]), jnp.stack([here.value[0], chosen.distance]))
    pilot, proj = at(case.sizes, values).T, at(case.sizes[2:], at_pilots(grid, distances.ot))[0]
    scores = back(pilots.scored(last, kind))
    check = jnp.stack([scores[7:], proj[checks], at(case.sizes[2:], measured[:, checks])[0], back(measured[1, checks])])
    projected, unfitted, same = jnp.abs(check[1:] - check[:1]).mean(axis=1)

    def error(split: str, model: str) -> Array:
        return fitted.mae[pilots.SPLITS.index(split), pilots.MODELS.index(model), 1]

    return Experiment(
        predicted=pilot[0, 2],
        measured=scores[2],
        ot_here=here.value[0],
        best_predicted=pilot[1, 2],
        best_measured=scores[5],
        equal_measured=scores[6],
        correlation=jnp.corrcoef(distances.ot, measured[1])[0, 1],
        mae_ot=error("extrapolation", "linear-OT"),
        mae_pq=error("extrapolation", "PQ-OT"),
        mae_quadratic=error("extrapolation", "quadratic"),
        mae_between=error("interpolation", "PQ-OT"),
        mae_projected=projected,
        mae_raw=unfitted,
        mae_same=same,
        amplification=jnp.sqrt(projection.amplification(n, n0, n1)),
        condition=score.fit.condition[1],
        shares=grid,
        ot=distances.ot,
        grad=distances.mean - distances.mean.mean(axis=1, keepdims=True),
        accuracy=jnp.stack([each.accuracy.T for each in found]),
        score=measured,
        pred=fitted.pred,
        fitted=pilots.splits(case.key, grid)[1:3],
        mae=fitted.mae,
        coef=jnp.concatenate([fitted.whole.intercept[..., None], fitted.whole.slopes], axis=-1),
        proj=proj,
        mix=case.mix,
        best=chosen.p,
        path=chosen.path,
        worth=-distance.calibrated(here.mean, case.mix[None])[0],
        potential=here.f[0],
        sample_source=case.pilot_source,
        line=at(sizes, values).T,
        line_size=sizes,
        pilot=pilot,
        trained=scores[:6].reshape(2, 3),
        check=check,
    )

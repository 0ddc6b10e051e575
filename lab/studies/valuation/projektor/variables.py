"""The results of the study, and what a run fills them with."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from lab.datasets import Data
from lab.numerics import Loop, Reason, Remembered, first_failure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.remembered import anew
from lab.studies.contract import Result
from lab.valuation import designs, distance, draws, fits, projection, selection, survey

MOST = 5000  # of a size
CHECKS = 10  # mixtures of the grid that are trained at N too
ALONG = 25  # sizes of a curve
SOURCES = ("first", "second", "third")
_REMEMBERED = Remembered(bytes=64 << 20)

RESULTS = (
    Result("predicted", (), "predicted at N", "accuracy in %, or log-loss, of your mixture", headline=True),
    Result("measured", (), "measured at N", "of models trained on N points of your mixture", headline=True),
    Result("ot_here", (), "distance", "of your mixture to the validation set", "cost", headline=True),
    Result("best_predicted", (), "predicted of p*", "of the mixture that was selected", headline=True),
    Result("best_measured", (), "measured of p*", "of models trained on N points of it", headline=True),
    Result("equal_measured", (), "measured of equal shares", "of models trained on N points, a third of each source"),
    Result("correlation", (), "correlation", "of distance and score at N₁, over the grid", headline=True,
           undefined="the distances or the scores of all mixtures are equal"),
    Result("mae_ot", (), "error of linear-OT", "at N₁, of mixtures with half or more of source 2, fitted to the others",
           headline=True),
    Result("mae_pq", (), "error of PQ-OT", "the same, of ten columns", headline=True),
    Result("mae_quadratic", (), "error without distance", "the same, quadratic in p"),
    Result("mae_between", (), "error between mixtures", "of PQ-OT at N₁, fitted to a random part of the grid"),
    Result("mae_projected", (), "error of projection", "at N, of ten mixtures, fitted at both pilot sizes", headline=True),
    Result("mae_raw", (), "error of raw projection", "the same, from single trainings"),
    Result("mae_same", (), "error of staying", "the same, if nothing changed from N₁ to N"),
    Result("amplification", (), "growth of errors", "of a standard deviation, from pilot sizes to N"),
    Result("condition", (), "condition", "of the standardised columns of the model"),
    Result("residual", (), "residual of plans", "largest L1 error of a marginal"),
    Result("shares", ("mixture", "source"), "share", "of each source in each mixture of the grid"),
    Result("ot", ("mixture",), "distance", "of each mixture to the validation set", "cost"),
    Result("grad", ("mixture", "source"), "slope", "of the distance along the simplex", "cost"),
    Result("accuracy", ("size", "mixture", "rep"), "accuracy", "of a training", "%"),
    Result("loss", ("size", "mixture", "rep"), "log-loss", "of a training", "nats"),
    Result("score", ("size", "mixture"), "measured", "median accuracy in %, or logarithm of the median log-loss"),
    Result("pred", ("split", "form", "size", "mixture"), "predicted", "the same, by a fit to a part of the mixtures"),
    Result("fitted", ("split", "mixture"), "fitted", "1 where a mixture was fitted, 0 where it tests"),
    Result("mae", ("split", "form", "size"), "mean absolute error", "of the mixtures that test"),
    Result("r2", ("split", "form", "size"), "R²", "of the mixtures that test"),
    Result("curve", ("form", "count"), "mean absolute error", "at N₁, of mixtures that were not fitted, by how many were"),
    Result("coef", ("fit", "size", "term"), "coefficient", "of each column, the intercept first"),
    Result("proj", ("mixture",), "predicted at N", "by the model, fitted to all mixtures"),
    Result("mix", ("source",), "your share", "of each source"),
    Result("best", ("source",), "selected share", "of each source"),
    Result("path", ("step", "source"), "share", "on the way of the start that came to p*"),
    Result("worth", ("source",), "worth", "by how much the distance falls for each unit of share that the source gains, the "
           "others losing in proportion; NaN of a source that is all", "cost"),
    Result("potential", ("sample",), "potential", "of each pilot point: what one more there costs", "cost"),
    Result("sample_source", ("sample",), "source", "of each pilot point, counted from 0"),
    Result("plan", ("source", "class", "label"), "mass", "from points of a source and class to those of a validation class"),
    Result("line", ("which", "part"), "predicted", "by size"),
    Result("line_size", ("part",), "N", "sizes of the line", "points"),
    Result("pilot", ("which", "of"), "fitted", "at N₀, N₁ and N"),
    Result("trained", ("which", "of"), "measured", "at N₀, N₁ and N"),
    Result("check", ("kind", "tested"), "at N", "of ten mixtures: measured, and predicted in three ways"),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "mixture": ("mixture", ""), "source": ("source", ""), "size": ("size", ""), "rep": ("repetition", ""),
    "split": ("split", ""), "form": ("fit", ""), "fit": ("fit", ""), "term": ("column", ""),
    "count": ("fitted mixtures", ""), "step": ("step", ""), "sample": ("pilot point", ""), "class": ("class", ""),
    "label": ("validation class", ""), "which": ("mixture", ""), "part": ("part", ""), "of": ("size", ""),
    "kind": ("what", ""), "tested": ("mixture", ""),
}


class Inputs(eqx.Module):
    """The sources, and how many classes there are."""

    sources: survey.Sources
    digest: str = eqx.field(static=True)
    classes: int = eqx.field(static=True)


def inputs(data: Data) -> Inputs:
    """The points of three sources in an order of their own, with the features that distances are measured along."""
    arrays = data.arrays
    found = survey.sources(arrays["x"], arrays["classes"], arrays["source"])
    return Inputs(found, data.sha256, int(arrays["classes"].max()) + 1)


class _Case(NamedTuple):
    """What is drawn and asked for, of one run."""

    key: Array
    mix: Array  # (3,)
    labels: Array  # (n,) as the sources say
    sizes: Array  # N0, N1, N
    features: Array  # of the pilots
    pilot_labels: Array
    pilot_source: Array


@jit
def _case(data: survey.Sources, classes: int, noisy: Any, p: Any) -> _Case:
    parts = jnp.asarray([p.first, p.second, p.third], data.x.dtype)
    draw, flip = jax.random.split(jax.random.key(p.seed))
    labels = draws.flipped(flip, data.labels, classes, p.noise, data.source == noisy, data.kept)
    sizes = jnp.asarray([p.n0, p.n1, p.n], data.x.dtype)
    at = data.pilots
    return _Case(draw, parts / parts.sum(), labels, sizes, data.features[at], labels[at], data.source[at])


def _remembering(given: Inputs, p: Any) -> Callable[..., Any]:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((given, p))):
        return anew
    return _REMEMBERED.within((given.digest, str(jnp.result_type(float))))


def _key(p: Any, *names: str) -> tuple:
    return tuple(np.asarray(value).item() if hasattr(value, "dtype") else value for value in (getattr(p, n) for n in names))


def _worth(found: tuple) -> bool:
    return all(int(scores.reason) == Reason.CONVERGED for scores in found)


def run(given: Inputs, p: Any, loop: Loop) -> dict[str, Any]:
    """Survey the grid, fit, select, and train on what was selected. What does not hang on the mixture is remembered."""
    data, keep = given.sources, _remembering(given, p)
    noisy = placed(np.int32(SOURCES.index(p.noisy)))
    numbers = p.only("first", "second", "third", "noise", "n0", "n1", "n", "seed")
    case = _case(data, given.classes, noisy, numbers)
    grid = placed(designs.simplex_grid(3, p.grid).astype(data.x.dtype))
    logs = p.measure == "log-loss"

    said = () if keep is anew else _key(p, "noise", "noisy", "seed")
    costs_key = () if keep is anew else ("costs", *said, *_key(p, "metric", "label_weight", "distance"))
    costs = keep(costs_key, lambda: distance.costs(
        case.features, case.pilot_labels, data.y, data.y_labels, given.classes, p.metric, p.label_weight,
        p.distance == "debiased",
    ))
    training_key = () if keep is anew else ("trained", *said, *_key(p, "n0", "n1", "grid", "reps", "steps", "penalty"))
    found = keep(training_key, lambda: _pilots(data, case, grid, given.classes, p, loop), _worth)
    measured, epsilon = _scales(found, costs, p.epsilon, logs)
    distance.check_epsilon(costs, epsilon)
    looked = _distances(grid, case, costs, epsilon)
    fitted = survey.fit_all(case.key, grid, looked.ot, measured, case.sizes[:2], p.ridge, logs)
    score, rate = _score(fitted, measured, case.sizes, fits.MODELS.index(p.model), logs)
    select_key = () if keep is anew else (*costs_key, *training_key, *_key(p, "epsilon", "model", "measure", "ridge", "n"))
    chosen = keep(select_key, lambda: selection.select(
        score, costs, case.pilot_source, epsilon, p.model, begin=_starts(case), rate=rate, loop=loop,
    ), lambda each: int(each.reason) == Reason.CONVERGED)
    key, rows, sizes, checks = _rows(case, chosen.p, grid)
    last = survey.measure(
        key, data, case.labels, rows, sizes, classes=given.classes, reps=p.reps, most=MOST, penalty=p.penalty, steps=p.steps,
        loop=loop,
    )
    told = _told(data, case, grid, found, measured, looked, fitted, score, chosen, last, checks, costs, epsilon,
                 given.classes, p.model, logs)
    reason = first_failure(found[0].reason, found[1].reason, looked.reason, chosen.reason, last.reason)
    return told | {"reason": reason, "iterations": _count(found[0].iterations, found[1].iterations, last.iterations)}


def _count(*iterations: Any) -> Any:
    return sum(int(each) for each in iterations) if not any(isinstance(e, Tracer) for e in iterations) else sum(iterations)


def _pilots(data: survey.Sources, case: _Case, grid: Array, classes: int, p: Any, loop: Loop) -> tuple:
    """Trainings of the grid at both pilot sizes."""
    return tuple(
        survey.measure(
            key, data, case.labels, grid, sizes, classes=classes, reps=p.reps, most=MOST, penalty=p.penalty, steps=p.steps,
            loop=loop,
        )
        for key, sizes in _of_pilots(case, len(grid))
    )


@jit
def _of_pilots(case: _Case, count: int) -> list[tuple[Array, Array]]:
    """The key, and the sizes of the mixtures, of each pilot size."""
    return [(jax.random.fold_in(case.key, i), jnp.full(count, case.sizes[i])) for i in (0, 1)]


@jit
def _scales(found: tuple, costs: distance.Costs, share: Any, logs: bool) -> tuple[Array, Array]:
    """Measured scores at both sizes, and epsilon in units of the cost."""
    medians = [survey.scored(scores, "log-loss" if logs else "accuracy") for scores in found]
    return jnp.stack(medians), share * costs.matrix.mean()


class _Looked(NamedTuple):
    ot: Array  # of the grid
    mean: Array  # h
    here: distance.Distances  # of your mixture, in a batch of one
    reason: Array
    error: Array


@jit
def _distances(grid: Array, case: _Case, costs: distance.Costs, epsilon: Array) -> _Looked:
    found = distance.distances(jnp.concatenate([grid, case.mix[None]]), costs, case.pilot_source, epsilon)
    here = jax.tree.map(lambda each: each[-1:] if each.ndim else each, found)
    reason = jnp.where(found.converged, Reason.CONVERGED, Reason.MAX_ITERATIONS)
    return _Looked(found.value[:-1], found.mean[:-1], here, reason, found.error.max())


@jit
def _score(fitted: survey.Fitted, measured: Array, sizes: Array, which: int, logs: bool) -> tuple[selection.Score, Array]:
    """What selection climbs, and how fast."""
    sign = -1.0 if logs else 1.0
    made = selection.Score(jax.tree.map(lambda each: each[which], fitted.whole), sign * projection.weights(*_order(sizes)))
    spread = measured.max() - measured.min()
    return made, 1 / jnp.where(spread > 0, spread, 1.0)


def _order(sizes: Array) -> tuple[Array, Array, Array]:
    return sizes[2], sizes[0], sizes[1]


@jit
def _starts(case: _Case) -> Array:
    return selection.starts(3).astype(case.mix.dtype)


@jit
def _rows(case: _Case, best: Array, grid: Array) -> tuple[Array, Array, Array, Array]:
    """Key of the trainings, the mixtures that are trained last, the size of each, and which of the grid are among them."""
    checks = jnp.argsort(random.uniform(jax.random.fold_in(case.key, 3), (len(grid),)))[:CHECKS]
    three = lambda p: jnp.tile(p[None], (3, 1))  # noqa: E731
    equal = jnp.full((1, 3), 1 / 3, grid.dtype)
    rows = jnp.concatenate([three(case.mix), three(best), equal, grid[checks]])
    sizes = jnp.concatenate([case.sizes, case.sizes, jnp.full(1 + CHECKS, case.sizes[2])])
    return jax.random.fold_in(case.key, 2), rows, sizes, checks


@jit
def _told(
    data: survey.Sources, case: _Case, grid: Array, found: tuple, measured: Array, looked: _Looked, fitted: survey.Fitted,
    score: selection.Score, chosen: selection.Selection, last: survey.Scores, checks: Array, costs: distance.Costs,
    epsilon: Array, classes: int, model: str, logs: bool,
) -> dict[str, Any]:
    kind = "log-loss" if logs else "accuracy"
    back = jnp.exp if logs else lambda y: y
    both = lambda p, t: jax.vmap(lambda fit: fits.predict(fit, p, t, model))(score.fit)  # noqa: E731

    def at(sizes: Array, values: Array) -> Array:
        """The projection of fitted scores (2, ...) to each size."""
        low, high = back(values)
        one = lambda n: projection.project(n, case.sizes[0], case.sizes[1], low, high, kind)  # noqa: E731
        return jax.vmap(one)(sizes)

    sizes = jnp.exp(jnp.linspace(jnp.log(case.sizes[0] / 2), jnp.log(2 * case.sizes.max()), ALONG))
    mixtures = jnp.stack([case.mix, chosen.p])
    values = both(mixtures, jnp.stack([looked.here.value[0], chosen.distance]))
    pilot, line, proj = at(case.sizes, values).T, at(sizes, values).T, at(case.sizes[2:], both(grid, looked.ot))[0]
    trained = back(survey.scored(last, kind))
    which, rest = trained[:6].reshape(2, 3), trained[7:]
    check = jnp.stack([rest, proj[checks], at(case.sizes[2:], measured[:, checks])[0], back(measured[1, checks])])
    apart = jnp.abs(check[1:] - check[:1]).mean(axis=1)
    plan = distance.plan(case.mix[None], looked.here.g, costs.matrix, case.pilot_source, epsilon)[0]
    ones = [jax.nn.one_hot(each, n, dtype=plan.dtype) for each, n in
            ((case.pilot_source, 3), (case.pilot_labels, classes), (data.y_labels, classes))]
    sums = jnp.einsum("mn,ms,mc,nl->scl", plan, *ones)
    slope = looked.mean - looked.mean.mean(axis=1, keepdims=True)
    coef = jnp.concatenate([fitted.whole.intercept[..., None], fitted.whole.slopes], axis=-1)
    told = {name: fitted.mae[split, survey.MODELS.index(of), 1] for name, split, of in (
        ("mae_ot", 0, "linear-OT"), ("mae_pq", 0, "PQ-OT"), ("mae_quadratic", 0, "quadratic"), ("mae_between", 1, "PQ-OT"),
    )}
    return told | {
        "predicted": pilot[0, 2], "measured": which[0, 2], "ot_here": looked.here.value[0],
        "best_predicted": pilot[1, 2], "best_measured": which[1, 2], "equal_measured": trained[6],
        "correlation": jnp.corrcoef(looked.ot, measured[1])[0, 1],
        "mae_projected": apart[0], "mae_raw": apart[1], "mae_same": apart[2],
        "amplification": jnp.sqrt(projection.amplification(*_order(case.sizes))),
        "condition": score.fit.condition[1], "residual": jnp.maximum(looked.error, chosen.error),
        "shares": grid, "ot": looked.ot, "grad": slope, "score": measured,
        "accuracy": jnp.stack([each.accuracy.T for each in found]), "loss": jnp.stack([each.loss.T for each in found]),
        "pred": fitted.pred, "fitted": survey.splits(case.key, grid)[1:3], "mae": fitted.mae, "r2": fitted.r2,
        "curve": fitted.curve, "coef": coef, "proj": proj, "mix": case.mix, "best": chosen.p, "path": chosen.path,
        "worth": -distance.calibrated(looked.here.mean, case.mix[None])[0], "potential": looked.here.f[0],
        "sample_source": case.pilot_source, "plan": sums, "line": line, "line_size": sizes, "pilot": pilot,
        "trained": which, "check": check,
    }

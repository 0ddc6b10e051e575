"""Derivatives of ``lab.valuation``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import valuation
from lab.valuation import fits

SOURCE = np.repeat(np.arange(3), (3, 2, 4))
LABELS, OTHERS = np.resize([0, 1], 9), np.resize([0, 1], 8)


def _points(rng):
    x = rng.normal(size=(9, 2)) + np.array([[0, 0], [1.5, 0], [0, 2]])[SOURCE]
    return x, rng.normal(size=(8, 2)) + 0.4


def _costs(rng):
    x, y = _points(rng)
    apart = lambda u, v: ((u[:, None] - v[None]) ** 2).sum(2) / 2  # noqa: E731
    return apart(x, y), apart(x, x), apart(y, y)


def _tangent(d):
    return d - d.mean(axis=-1, keepdims=True)


def _symmetric(d):
    return (d + d.T) * (1 - np.eye(len(d)))


def _read(found):  # g up to its constant; the error of the marginals is rounding
    return found.value, found.f, found.g - found.g.mean(axis=1, keepdims=True), found.mean


def _distances(debiased, value=False):
    def make(rng):
        matrix, own, other = _costs(rng)
        given = {"p": rng.dirichlet(np.ones(3), 2), "matrix": matrix, "epsilon": 0.5}
        if debiased:
            given |= {"own": own, "other": other}

        def function(p, matrix, epsilon, own=None, other=None):
            costs = valuation.Costs(*(each if each is None else jnp.asarray(each) for each in (matrix, own, other)))
            found = valuation.distances(p, costs, SOURCE, epsilon, tolerance=1e-14, sweeps=20_000)
            return _read(found)

        return function, given

    return make


def _features(metric):
    def make(rng):
        x, y = _points(rng)

        def function(x, y, label_weight):
            return valuation.costs(*(x, LABELS, y, OTHERS), 2, metric, label_weight)

        wrapped = lambda **given: function(**{name: jnp.asarray(each) for name, each in given.items()})  # noqa: E731
        return wrapped, {"x": x, "y": y, "label_weight": 0.7}

    return make


def _fit(model, ridge, read):
    def make(rng):
        p = rng.dirichlet(np.ones(2), 12)
        given = {
            "p": p,
            "distance": rng.random(12),
            "y": rng.random(12),
            "weights": 0.5 + rng.random(12),
            "ridge": ridge,
        }
        return lambda **given: read(valuation.fit(model=model, **given)), given

    return make


def _slopes(found):
    return found.intercept, found.slopes


def _predict(rng):
    given = {"p": rng.dirichlet(np.ones(3), 4), "distance": rng.random(4), "slopes": rng.normal(size=9)}

    def function(p, distance, slopes):
        return valuation.predict(fits.Fit(jnp.ones(()), slopes, jnp.ones(()), jnp.zeros(())), p, distance, "PQ-OT")

    return function, given


def _project(kind):
    def make(rng):
        given = {
            "size": 700.0,
            "first": 100.0,
            "second": 210.0,
            "at_first": 50 + rng.random(3),
            "at_second": 51 + rng.random(3),
        }
        return lambda **given: valuation.project(kind=kind, **given), given

    return make


def _select(read):
    """Linear in the distance: a concave score, whose maximum is inside the simplex."""

    def make(rng):
        matrix = _costs(rng)[0]
        slopes = np.zeros((2, 9))
        slopes[:, 0] = -1.0, -1.5
        given = {"matrix": matrix, "epsilon": 0.5, "slopes": slopes, "weights": np.array([-0.3, 1.3])}
        given |= {"begin": np.full((1, 3), 1 / 3), "rate": 4.0}

        def function(matrix, epsilon, slopes, weights, begin, rate):
            none = jnp.zeros(2)
            score = valuation.Score(fits.Fit(none, jnp.asarray(slopes), none, none), jnp.asarray(weights))
            costs = valuation.Costs(jnp.asarray(matrix))
            found = valuation.select(score, costs, SOURCE, epsilon, "linear-OT", begin=begin, rate=rate, steps=300)
            return read(found)

        return function, given

    return make


_JUMP = "the best of all candidates jumps"
_P = {"p": _tangent}
_OWN = {"own": _symmetric, "other": _symmetric}
TABLE = {
    "calibrated": Entry(
        (
            Case(
                lambda rng: (valuation.calibrated, {"mean": rng.normal(size=(2, 3)), "p": rng.dirichlet(np.ones(3), 2)}),
                ("mean", "p"),
            ),
        )
    ),
    "costs": Entry(
        (
            Case(_features("gaussian"), ("x", "y", "label_weight")),
            Case(_features("means"), ("x", "y", "label_weight")),
            Case(_features("exact"), ("x", "y", "label_weight")),
        ),
        fixed=("labels", "others", "classes", "metric", "debiased"),
    ),
    "counts": Entry(
        (
            Case(
                lambda rng: (
                    lambda p, size: valuation.counts(jax.random.key(0), p, SOURCE, size, 9),
                    {"p": rng.dirichlet(np.ones(3), 2), "size": 7.0},
                ),
                refused={"p": "sampling", "size": "sampling"},
            ),
        ),
        fixed=("key", "source", "most"),
    ),
    "dirichlet": Entry(
        (
            Case(
                lambda rng: (
                    lambda concentration: valuation.dirichlet(jax.random.key(1), 3, 4, concentration),
                    {"concentration": 1.3},
                ),
                refused={"concentration": "sampling by rejection, which jumps"},
            ),
        ),
        fixed=("key", "count", "sources"),
    ),
    "distances": Entry(
        (
            Case(_distances(False), ("p", "matrix", "epsilon"), moves=_P),
            Case(_distances(True), ("p", "own", "other", "epsilon"), moves=_P | _OWN),
        ),
        fixed=("source", "tolerance", "sweeps"),
        also={"costs": "matrix"},
    ),
    "errors": Entry(
        (
            Case(
                lambda rng: (
                    valuation.errors,
                    {"predicted": rng.random(5), "measured": rng.random(5), "weights": 0.5 + rng.random(5)},
                ),
                ("predicted", "measured", "weights"),
            ),
        )
    ),
    "fit": Entry(
        (
            Case(_fit("PQ-OT", 0.0, _slopes), ("p", "distance", "y", "weights"), tolerance=1e-4),
            Case(_fit("quadratic", 0.4, _slopes), ("p", "y", "weights", "ridge")),
            Case(_fit("quadratic", 0.4, lambda found: (found.condition, found.ridge)), ("p", "weights", "ridge")),
        ),
        fixed=("model",),
    ),
    "mixtures": Entry(
        (Case(lambda rng: (valuation.mixtures, {"p": rng.dirichlet(np.ones(3), 2)}), ("p",), moves=_P),), ("sources",)
    ),
    "predict": Entry((Case(_predict, ("p", "distance", "slopes")),), ("model",), {"fit": "slopes"}),
    "project": Entry(
        tuple(Case(_project(kind), ("size", "first", "second", "at_first", "at_second")) for kind in ("accuracy", "log-loss")),
        fixed=("kind",),
    ),
    "select": Entry(
        (
            Case(
                _select(lambda found: (found.p, found.score, found.distance)),
                ("matrix", "epsilon", "slopes", "weights"),
                refused={"begin": _JUMP, "rate": _JUMP},
                tolerance=1e-3,
            ),
        ),
        fixed=("source", "model", "steps", "loop"),
        also={"score": "slopes", "costs": "matrix"},
    ),
    "simplex_grid": Entry(fixed=("sources", "steps")),
}  # fmt: skip

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("valuation", TABLE)
test_derivative = pytest.mark.slow(test_derivative)


@pytest.mark.slow
def test_hessian_of_the_distance_in_the_shares():
    """Forward over reverse against differences of the gradient, which is the mean potential of each source."""
    function, given = _distances(True)(np.random.default_rng(3))
    rest = {name: value for name, value in given.items() if name != "p"}
    slope = jax.grad(lambda p: function(p, **rest)[0].sum())
    p, v = jnp.asarray(given["p"]), jnp.asarray(_tangent(np.random.default_rng(4).normal(size=(2, 3))))
    found = jax.jvp(slope, (p,), (v,))[1]
    known = (slope(p + 1e-5 * v) - slope(p - 1e-5 * v)) / 2e-5
    np.testing.assert_allclose(_tangent(found), _tangent(known), rtol=1e-5, atol=1e-7)

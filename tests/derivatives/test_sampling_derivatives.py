"""Derivatives of ``lab.sampling``."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import sampling
from lab.sampling import distributions, ensembles, least_squares, subsets

KEY = jax.random.key(0)
LEGENDRE = sampling.legendre(3)
JUMPS = "sampling: what is drawn jumps"


def features(rng):
    return {"features": rng.normal(size=(5, 3))}


def of(make, function):
    return lambda rng: (function, make(rng))


def of_kernel(function):
    return of(lambda rng: {"f": rng.normal(size=(5, 5))}, lambda f: function(f @ f.T))


def spectrum(found):
    return (found.values**3).sum(), (found.vectors * found.values[None]) @ found.vectors.T


def draws(rng):
    f = rng.normal(size=(6, 2))
    return {"phi": f, "weights": 1 + rng.random(6), "values": rng.random(6)}


USED = jnp.arange(6) != 2


def fitted(used):
    return lambda phi, weights, values: sampling.fit(phi, weights, values, used)


def designed(bounds, slope):
    found = sampling.design(
        lambda x: jnp.exp(slope * x[:, 0]), bounds=bounds, degree=2, rule=sampling.Repeated(sampling.Projection(), 2)
    )
    return found.integral, found.points, found.values, found.fit.coefficients, found.error, found.integral_weights


def replicated(rows, t=1.0):
    basis = sampling.finite(np.stack([np.ones(6), np.arange(6.0)], axis=1))
    _, run = sampling.replicate(KEY, sampling.Response(basis, rows=rows), 2, t)
    return run.state.err2


def thinned(points, weights, delta):
    basis = sampling.finite(np.stack([np.ones(6), np.arange(6.0)], axis=1))
    found = sampling.sample(KEY, sampling.Independent(5), basis)
    return sampling.thin(found._replace(weights=weights), basis, delta)


PLACES = {"points": np.array([[0.3], [-0.4]]), "at": np.array([[0.1], [0.7], [-0.9]])}
TABLE = {
    "cholesky": Entry(
        (
            Case(
                lambda rng: (lambda marginal: sampling.cholesky(KEY, marginal), {"marginal": np.diag([0.2, 0.5])}),
                refused={"marginal": JUMPS},
            ),
        ),
        ("key", "size"),
    ),
    "conditional_densities": Entry(
        (
            Case(
                lambda rng: (lambda points, at: sampling.conditional_densities(LEGENDRE, points, at), PLACES),
                ("points", "at"),
            ),
        ),
        ("basis",),
    ),
    "design": Entry(
        (
            Case(
                lambda rng: (designed, {"bounds": np.array([[0.0, 2.0]]), "slope": np.array(0.5)}),
                ("bounds", "slope"),
                compiled=False,
            ),
        ),
        ("basis", "degree", "space", "rule", "key", "vectorized"),
        {"f": "slope"},
    ),
    "diverse": Entry(
        (
            Case(
                lambda rng: (
                    lambda rows, length_scale: sampling.diverse(KEY, rows, 2, length_scale=length_scale).weights,
                    {"rows": rng.normal(size=(5, 2)), "length_scale": np.array(1.0)},
                ),
                refused={"rows": JUMPS, "length_scale": JUMPS},
            ),
        ),
        ("key", "k", "kernel", "size"),
    ),
    "finite": Entry(
        (
            Case(
                lambda rng: (
                    lambda features, masses, nodes: (
                        lambda found: (found.rows, found.masses, found.nodes, found.triangle)
                    )(sampling.finite(features, masses, nodes)),
                    features(rng) | {"masses": 1 + rng.random(5), "nodes": rng.random((5, 1))},
                ),
                ("features", "masses", "nodes"),
            ),
        ),
        ("check",),
    ),
    "fit": Entry(
        (
            Case(of(draws, fitted(None)), ("phi", "weights", "values")),
            Case(of(draws, fitted(USED)), ("phi", "weights", "values")),
        ),
        ("used",),
    ),
    **{name: Entry((), ("m",)) for name in ("fourier", "haar", "hermite", "legendre")},
    "k_dpp": Entry(
        (Case(of_kernel(lambda kernel: sampling.k_dpp(KEY, sampling.spectrum(kernel), 2)), refused={"f": JUMPS}),),
        ("key", "k", "size"),
        {"given": "f"},
    ),
    "l_ensemble": Entry(
        (
            Case(
                of_kernel(lambda kernel: sampling.l_ensemble(KEY, sampling.spectrum(kernel))),
                refused={"f": JUMPS},
            ),
        ),
        ("key", "size"),
        {"given": "f"},
    ),
    "linear_statistic": Entry(
        (
            Case(
                lambda rng: (
                    lambda s: tuple(sampling.linear_statistic(LEGENDRE, lambda x: jnp.exp(s * x[:, 0]), 9)),
                    {"s": np.array(0.7)},
                ),
                ("s",),
            ),
        ),
        ("basis", "n"),
        {"f": "s"},
    ),
    "named": Entry((), ("name", "n", "basis")),
    "polynomials": Entry(
        (Case(lambda rng: (lambda x: sampling.polynomials(x, 4).rows, {"x": rng.normal(size=(6, 2))}), ("x",)),),
        ("m",),
    ),
    "product": Entry((), ("family", "d", "degree", "space")),
    "replicate": Entry(
        (
            Case(
                lambda rng: (replicated, {"rows": rng.random(6), "t": np.array(0.5)}),
                refused={"rows": JUMPS, "t": JUMPS},
            ),
        ),
        ("key", "size", "loop"),
        {"response": "rows"},
    ),
    "sample": Entry(
        (
            Case(
                lambda rng: (
                    lambda t, features: sampling.sample(KEY, sampling.Independent(4, t), sampling.finite(features)),
                    features(rng) | {"t": np.array(0.5)},
                ),
                refused={"t": JUMPS, "features": JUMPS},
            ),
        ),
        ("key", "size"),
        {"rule": "t", "basis": "features"},
    ),
    "spectrum": Entry(
        (Case(of_kernel(lambda kernel: spectrum(sampling.spectrum(kernel))), ("f",)),), also={"kernel": "f"}
    ),
    "spectrum_of_features": Entry(
        (
            Case(of(features, lambda features: spectrum(sampling.spectrum_of_features(features))), ("features",)),
            Case(
                of(
                    lambda rng: {"f": rng.normal(size=(5, 2))},
                    lambda f: spectrum(sampling.spectrum_of_features(f @ jnp.array([[1.0, 1, 1], [0, 1, 2]]))),
                ),  # of rank 2
                ("f",),
            ),
        ),
    ),
    "subset": Entry(
        (Case(of(features, lambda features: sampling.subset(KEY, features)), refused={"features": JUMPS}),),
        ("key", "method", "size"),
        {"rows": "features"},
    ),
    "thin": Entry(
        (
            Case(
                lambda rng: (
                    lambda weights, delta: thinned(None, weights, delta),
                    {"weights": np.ones(5), "delta": np.array(0.9)},
                ),
                refused={"weights": "the points deleted jump", "delta": "the points deleted jump"},
            ),
        ),
        ("basis",),
        {"design": "weights"},
    ),
    "truth": Entry(
        (
            Case(
                lambda rng: (
                    lambda s: tuple(sampling.truth(LEGENDRE, lambda x: jnp.exp(s * x[:, 0]), 9)),
                    {"s": np.array(0.7)},
                ),
                ("s",),
            ),
        ),
        ("basis", "n"),
        {"f": "s"},
    ),
    "volume": Entry(
        (Case(of(features, lambda features: sampling.volume(KEY, features, 4)), refused={"features": JUMPS}),),
        ("key", "s", "size"),
        {"rows": "features"},
    ),
    "weight": Entry(
        (
            Case(
                lambda rng: (
                    lambda points, t: sampling.weight(LEGENDRE, points, t),
                    {"points": PLACES["points"], "t": np.array(0.4)},
                ),
                ("points", "t"),
            ),
        ),
        ("basis",),
    ),
    "ensembles.marginals": Entry(
        (
            Case(of_kernel(lambda kernel: ensembles.marginals(sampling.spectrum(kernel), 2)), ("f",)),
            Case(of_kernel(lambda kernel: ensembles.marginals(sampling.spectrum(kernel))), ("f",)),
            Case(of_kernel(lambda kernel: ensembles.marginal_kernel(sampling.spectrum(kernel))), ("f",)),
        )
    ),
    "ensembles.log_elementary": Entry(
        (
            Case(
                lambda rng: (lambda values: ensembles.log_elementary(values, 2), {"values": rng.random(4)}), ("values",)
            ),
            Case(  # at repeated values and at zeros
                lambda rng: (
                    lambda values: jax.grad(ensembles.log_elementary)(values, 2),
                    {"values": np.array([1.0, 1.0, 0.5, 0.5])},
                ),
                ("values",),
            ),
        )
    ),
    "ensembles.log_volume": Entry(
        (Case(of(features, lambda features: ensembles.log_volume(features, jnp.array([0, 1, 3, 4]))), ("features",)),)
    ),
    "subsets.residuals": Entry(
        (
            Case(
                lambda rng: (
                    lambda rows, length_scale: (
                        subsets.residuals(rows, jnp.array([0, 2]), "matern", length_scale),
                        subsets.coverage(rows, jnp.array([0, 2])),
                        subsets.low_rank(rows, 2, "gaussian", length_scale).remainder,
                    ),
                    {"rows": rng.normal(size=(5, 2)), "length_scale": np.array(1.3)},
                ),
                ("rows", "length_scale"),
            ),
        )
    ),
    "least_squares.cross_validation": Entry(
        (
            Case(
                of(draws, lambda phi, weights, values: tuple(least_squares.cross_validation(phi, weights, values, 3))),
                ("phi", "weights", "values"),
            ),
        )
    ),
    "least_squares.failure_bound": Entry(
        (
            Case(
                lambda rng: (
                    lambda n, delta: least_squares.failure_bound(2, n, delta),
                    {"n": np.array(40.0), "delta": np.array(0.5)},
                ),
                ("n", "delta"),
            ),
        )
    ),
    "KDPP.log_prob": Entry(
        (
            Case(of_kernel(lambda kernel: distributions.KDPP(kernel, 2).log_prob(jnp.array([0, 3]))), ("f",)),
            Case(  # at an eigenvalue of multiplicity four
                lambda rng: (
                    lambda kernel: distributions.KDPP(kernel, 2).log_prob(jnp.array([0, 3])),
                    {"kernel": np.eye(4)},
                ),
                ("kernel",),
                moves={"kernel": lambda d: d + d.T},
            ),
        )
    ),
    "LEnsemble.log_prob": Entry(
        (
            Case(
                of_kernel(
                    lambda kernel: distributions.LEnsemble(kernel).log_prob(
                        jnp.array([True, False, True, True, False])
                    ),
                ),
                ("f",),
            ),
        )
    ),
    "ProjectionDPP.log_prob": Entry(
        (
            Case(
                of(features, lambda features: distributions.ProjectionDPP(features).log_prob(jnp.array([0, 2, 3]))),
                ("features",),
            ),
        )
    ),
    "ContinuousDPP.log_prob": Entry(
        (
            Case(
                lambda rng: (
                    lambda x: distributions.ContinuousDPP(sampling.hermite(2)).log_prob(x),
                    {"x": rng.normal(size=(2, 1))},
                ),
                ("x",),
            ),
        )
    ),
}


def with_arrays(case):
    """Inputs as arrays of JAX, which functions below the public ones take."""

    def make(rng):
        function, inputs = case.make(rng)
        return function, {name: jnp.asarray(value) for name, value in inputs.items()}

    return dataclasses.replace(case, make=make)


TABLE = {name: dataclasses.replace(entry, cases=tuple(map(with_arrays, entry.cases))) for name, entry in TABLE.items()}
test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("sampling", TABLE)
test_derivative = pytest.mark.slow(test_derivative)

"""Derivatives of ``lab.stability``."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import stability
from lab.numerics.differentiation import NotDifferentiableError
from lab.stability import closed

KEY = jax.random.key(0)
N, D = 4, 3


def network(w, x):
    return jnp.tanh(w * x).sum()


def two(w, x):
    return jnp.stack([jnp.vdot(w, x), jnp.sin(w * x).sum()])


def bowl(w, x, y):
    return ((jnp.sin(w * x) - y) ** 2).sum() + w.prod()


class Matrix(eqx.Module):
    """A symmetric matrix as an operator."""

    h: jax.Array

    size = D + 1
    dtype = jnp.dtype(float)

    def __call__(self, v):
        return (self.h + self.h.T) @ v / 2


def data(rng):
    return {"w": rng.normal(size=D), "x": rng.normal(size=(N, D)), "y": rng.normal(size=N)}


def matrix(rng):
    m = rng.normal(size=(D + 1, D + 1))
    return {"h": m + m.T + np.diag(np.arange(D + 1.0))}


def of_data(function, *names):
    def make(rng):
        given = data(rng)
        return (lambda **given: function(**given)), {name: given[name] for name in names}

    return make


def of_matrix(function):
    return lambda rng: ((lambda h: function(Matrix(h))), matrix(rng))


def of_hessian(function):
    """A function of the Hessian of a loss, whose parameters and data are differentiated by."""

    def make(rng):
        given = data(rng) | {"y": rng.normal(size=D)}
        return (
            lambda w, x, y: function(stability.hessian(bowl, w, x[0], y)),
            {name: given[name] for name in ("w", "x", "y")},
        )

    return make


def of_gradients(function, **more):
    """A function of ``Modes`` made of gradients of four samples and two outputs."""

    def make(rng):
        return (
            lambda a, **rest: function(stability.modes_of(a), **rest),
            {"a": rng.normal(size=(N, 2, D))} | {name: np.asarray(value) for name, value in more.items()},
        )

    return make


def up_to_sign(found):
    vectors = found.vectors * jnp.sign(found.vectors[:, :1])
    return found.values, vectors


def symmetric(d):
    return d + d.T


def trained(learning_rate, momentum, clip, w, x, y, **options):
    settings = stability.Settings(learning_rate, 2, momentum, clip)
    found = stability.train(KEY, w, stability.Data(x, y), settings, predict=network, steps=4, every=2, **options)
    return found.params, found.trace


def settings(rng):
    return data(rng) | {"learning_rate": np.array(0.1), "momentum": np.array(0.3), "clip": np.array(0.2)}


def swept(learning_rates, w, x, y):
    keys = jax.random.split(KEY, 1)
    make = lambda key: (w, stability.Data(x, y))  # noqa: E731
    found = stability.sweep(keys, make, learning_rates, (2,), predict=network, steps=4, every=2, track=("tr",))
    return found.params, found.trace


def rates(rng):
    return data(rng) | {"learning_rates": np.array([0.1, 0.2])}


def minimum(w, x):
    y = jax.vmap(lambda each: network(w, each))(x) + 0.1
    found = stability.stability(network, w, x, y, [2])
    return found.eta.value, found.mu, found.residual, found.sizes, found.bounds


def analyzed(w, x, y):
    found = stability.analyze(bowl, w, x[0], y[:D], key=KEY, top=1, probes=2, products=6)
    return (found.loss, found.gradient_norm, found.matrix, found.top.values, found.trace.value, found.density.density)


IN_OPERATOR = {"operator": "h", "key": "h"}
PREDICTED = ("predict", "chunk")
DRAWN = ("key", "d", "n", "m", "dtype", "test")

TABLE = {
    "alignment": Entry(
        (Case(lambda rng: (stability.alignment, {"k": rng.random((N, N)), "e": rng.random((N, 1))}), ("k", "e")),)
    ),
    "analyze": Entry(
        (Case(of_data(analyzed, "w", "x", "y"), ("w", "x", "y"), tolerance=1e-4),),
        (
            "loss",
            "key",
            "predict",
            "batch_sizes",
            "only",
            "top",
            "steps",
            "probes",
            "products",
            "limit",
            "chunk",
            "loop",
        ),
        {"params": "w", "data": "x"},
    ),
    "block_norms": Entry(
        (Case(of_hessian(lambda op: stability.block_norms(KEY, op, (0, 1, 3), 3)), ("w", "x")),),
        ("key", "cuts", "probes"),
        {"operator": "w"},
    ),
    "blocks": Entry((), ("params", "only")),  # names and shapes
    "bounds": Entry(
        (
            Case(
                lambda rng: (
                    lambda c, **of: stability.bounds(stability.Sizes(**of), c),
                    dict(zip((*stability.Sizes._fields, "c"), np.asarray([3.0, 2.0, 1.5, 9.0, 0.4]), strict=True)),
                ),
                (*stability.Sizes._fields, "c"),
            ),
        ),
        ("outputs",),
        {"of": "trace"},
    ),
    "call": Entry(
        (Case(lambda rng: (lambda x: stability.call(jnp.sin, x), {"x": rng.random(2)}), ("x",)),), ("model",)
    ),
    "convolutional": Entry(
        (
            Case(
                lambda rng: (
                    lambda scale: stability.convolutional(KEY, (4, 4), 2, 2, "tanh", scale)(jnp.ones((4, 4))),
                    {"scale": np.array(0.7)},
                ),
                ("scale",),
            ),
        ),
        ("key", "shape", "channels", "outputs", "activation", "dtype"),
    ),
    "critical": Entry(
        (
            Case(of_gradients(lambda basis, c: stability.critical(basis, c).value, c=[0.3, 0.8]), ("a", "c")),
            Case(
                of_gradients(lambda basis, c, beta: stability.critical(basis, c, beta).value, c=0.7, beta=0.4),
                ("a", "beta"),
                step=1e-4,
            ),
        ),
        ("steps", "tolerance"),
        {"basis": "a"},
    ),
    "density": Entry(
        (
            Case(
                lambda rng: (
                    lambda nodes, weights, grid, width: stability.density(
                        stability.Quadrature(nodes, weights, 3, 1, None), grid, width
                    ),
                    {
                        "nodes": rng.random((2, 3)),
                        "weights": rng.dirichlet(np.ones(3), 2),
                        "grid": np.linspace(0, 1, 4),
                        "width": np.array(0.3),
                    },
                ),
                ("nodes", "weights", "grid", "width"),
            ),
        ),
        ("points",),
        {"of": "nodes"},
    ),
    "diagonal": Entry(
        (
            Case(
                lambda rng: (lambda scale: stability.diagonal(KEY, 3, scale).beta, {"scale": np.array(0.7)}), ("scale",)
            ),
        ),
        DRAWN,
    ),
    "eigenpairs": Entry(
        tuple(
            Case(of_matrix(lambda op, which=which: up_to_sign(stability.eigenpairs(op, KEY, 2, which=which))), ("h",))
            for which in ("largest", "magnitude")
        ),
        ("start", "count", "steps", "which", "tolerance", "state", "loop"),  # the pairs do not depend on the start
        {"operator": "h"},
    ),
    "full": Entry((Case(of_hessian(stability.full), ("w", "x", "y")),), ("limit", "chunk"), {"operator": "w"}),
    "gram": Entry(
        (
            Case(of_data(lambda w, x: stability.gram(two, w, x), "w", "x"), ("w", "x")),
            Case(of_data(lambda w, x: stability.gram(two, w, x, 2, 1), "w", "x"), ("w", "x")),
        ),
        (*PREDICTED, "entries"),
        {"params": "w"},
    ),
    "growth": Entry(
        (
            Case(
                of_gradients(lambda basis, eta, c: stability.growth(basis, eta, c).value, eta=0.3, c=0.6),
                ("a", "eta", "c"),
            ),
            Case(
                of_gradients(
                    lambda basis, eta, c, beta: stability.growth(basis, eta, c, beta).value, eta=0.3, c=0.6, beta=0.4
                ),
                ("eta", "beta"),
                step=1e-4,
            ),
        ),
        ("steps", "tolerance"),
        {"basis": "a"},
    ),
    "hessian": Entry(
        (Case(of_hessian(lambda op: op(jnp.arange(3.0))), ("w", "x", "y")),),
        ("loss", "only", "chunk"),
        {"params": "w", "data": "x"},
    ),
    "jacobian": Entry(
        (Case(of_data(lambda w, x: stability.jacobian(two, w, x), "w", "x"), ("w", "x")),), PREDICTED, {"params": "w"}
    ),
    "landscape": Entry(
        (
            Case(
                lambda rng: (
                    lambda w, directions, offsets: stability.landscape(
                        stability.hessian(bowl, w, jnp.ones(D), jnp.zeros(D)), directions, offsets
                    ),
                    {"w": rng.random(D), "directions": rng.random((2, D)), "offsets": rng.random(2)},
                ),
                ("w", "directions", "offsets"),
            ),
        ),
        ("chunk",),
        {"operator": "w"},
    ),
    "limits": Entry(
        (
            Case(lambda rng: (lambda c: stability.limits(c), {"c": np.array([0.2, 0.5])}), ("c",)),
            Case(lambda rng: (lambda beta: stability.limits(0.5, 1, beta).descent, {"beta": np.array(0.3)}), ("beta",)),
        ),
        ("outputs",),
    ),
    "loss_bound": Entry(
        (
            Case(
                lambda rng: (stability.loss_bound, {name: 1 + rng.random() for name in ("frobenius", "batch", "mu")}),
                ("frobenius", "batch", "mu"),
            ),
        ),
    ),
    "modes": Entry(
        (
            Case(
                lambda rng: (lambda a: stability.modes(a @ a.T, 2).values, {"a": rng.normal(size=(2 * N, D))}), ("a",)
            ),  # of rank 3
            Case(
                lambda rng: (
                    lambda a: [abs(each) for each in stability.modes(a @ a.T)],
                    {"a": rng.normal(size=(N, D))},
                ),
                ("a",),
            ),
        ),
        ("outputs",),
        {"k": "a"},
    ),
    "modes_of": Entry((Case(of_gradients(lambda basis: (abs(basis.rows), basis.values)), ("a",)),)),
    "noise": Entry(
        (
            Case(lambda rng: (lambda batch: stability.noise(9, batch), {"batch": np.array(3.0)}), ("batch",)),
            Case(lambda rng: (lambda batch: stability.noise(9, batch, False), {"batch": np.array(3.0)}), ("batch",)),
        ),
        ("n", "replacement"),
    ),
    "perceptron": Entry(
        (
            Case(
                lambda rng: (
                    lambda scale: stability.perceptron(KEY, (2, 3, 2), "tanh", scale)(jnp.ones(2)),
                    {"scale": np.array(0.7)},
                ),
                ("scale",),
            ),
        ),
        ("key", "sizes", "activation", "dtype"),
    ),
    "pooled": Entry(
        (Case(of_hessian(lambda op: stability.pooled(op, (0, 1, 3))), ("w", "x")),), ("cuts",), {"operator": "w"}
    ),
    "quadrature": Entry(
        (
            Case(
                of_matrix(
                    lambda op: (lambda found: (found.nodes, found.weights))(
                        stability.quadrature(KEY, op, probes=2, steps=3)
                    )
                ),
                ("h",),
            ),
        ),
        ("key", "probes", "steps", "state", "loop"),
        {"operator": "h"},
    ),
    "reshuffled": Entry(
        (
            Case(
                of_gradients(
                    lambda basis, eta: stability.reshuffled(KEY, basis, eta, 2, permutations=3, iterations=60), eta=0.3
                ),
                ("a", "eta"),
            ),
        ),
        ("key", "batch", "permutations", "iterations"),
        {"basis": "a"},
    ),
    "residuals": Entry(
        (Case(of_data(lambda w, x, y: stability.residuals(network, w, x, y), "w", "x", "y"), ("w", "x", "y")),),
        PREDICTED,
        {"params": "w"},
    ),
    "sharpness": Entry(
        (
            Case(
                lambda rng: (
                    lambda h, gradient: stability.sharpness(Matrix(h), gradient),
                    matrix(rng) | {"gradient": rng.normal(size=D + 1)},
                ),
                ("h", "gradient"),
            ),
        ),
        also={"operator": "h"},
    ),
    "sizes": Entry(
        (
            Case(
                lambda rng: (lambda k: stability.sizes(k, 2), {"k": np.diag(np.arange(1.0, 5))}),
                ("k",),
                moves={"k": symmetric},
            ),
        ),
        ("outputs",),
    ),
    "sparse_regression": Entry((), (*DRAWN, "nonzero")),
    "split": Entry(
        (
            Case(
                of_data(
                    lambda w, x, y: [part(jnp.arange(3.0)) for part in stability.split(network, w, x, y)], "w", "x", "y"
                ),
                ("w", "x", "y"),
            ),
        ),
        (*PREDICTED, "criterion", "only"),
        {"params": "w"},
    ),
    "square": Entry(
        (Case(lambda rng: (stability.square, {"output": rng.random(3), "y": rng.random(3)}), ("output", "y")),),
    ),
    "stability": Entry(
        (Case(of_data(minimum, "w", "x"), ("w", "x"), tolerance=1e-4),),
        (*PREDICTED, "batch_sizes"),
        {"params": "w", "y": "w"},
    ),
    "sweep": Entry(
        (Case(lambda rng: (swept, rates(rng)), ("learning_rates", "w", "x")),),
        (
            "keys",
            "batch_sizes",
            "settings",
            "predict",
            "sampling",
            "steps",
            "every",
            "track",
            "measured",
            "optimizer",
            "state",
            "loop",
        ),
        {"make": "w"},
    ),
    "teacher": Entry((), (*DRAWN, "units")),
    "trace": Entry(
        tuple(
            Case(
                of_matrix(lambda op, method=method, n=n: stability.trace(KEY, op, n, method)[:2]),
                ("h",),
                tolerance=1e-4,
            )
            for method, n in (("xtrace", 6), ("hutch++", 6), ("hutchinson", 4))
        ),
        ("key", "products", "method", "chunk"),
        {"operator": "h"},
    ),
    "train": Entry(
        (Case(lambda rng: (trained, settings(rng)), ("learning_rate", "momentum", "clip", "w", "x", "y")),),
        ("key", "predict", "sampling", "steps", "every", "batch", "track", "measured", "optimizer", "state", "loop"),
        {"params": "w", "data": "x", "settings": "learning_rate"},
    ),
    "tridiagonal": Entry(
        (
            Case(
                lambda rng: (
                    lambda h, start: stability.tridiagonal(Matrix(h), start, D + 1)[:3],
                    matrix(rng) | {"start": rng.normal(size=D + 1)},
                ),
                ("h", "start"),
            ),
        ),
        ("steps",),
        {"operator": "h"},
    ),
    "two_layer": Entry(
        (
            Case(
                lambda rng: (lambda scale: stability.two_layer(KEY, 2, 3, scale).norm(), {"scale": np.array(0.7)}),
                ("scale",),
            ),
        ),
        DRAWN,
    ),
    "closed.gaussian": Entry(
        (
            Case(
                lambda rng: (closed.gaussian, {"values": 1 + rng.random(3), "batch": np.array(3.0)}),
                ("values", "batch"),
            ),
        )
    ),
    "Quadrature.trace_of": Entry(
        (Case(of_matrix(lambda op: stability.quadrature(KEY, op, probes=2, steps=3).trace_of(jnp.sin)[:2]), ("h",)),)
    ),
}


def with_arrays(case):
    """Inputs as arrays of JAX, which functions below the public ones take."""

    def make(rng):
        function, inputs = case.make(rng)
        return function, {name: jnp.asarray(value) for name, value in inputs.items()}

    return dataclasses.replace(case, make=make)


TABLE = {name: dataclasses.replace(entry, cases=tuple(map(with_arrays, entry.cases))) for name, entry in TABLE.items()}
test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("stability", TABLE)
test_derivative = pytest.mark.slow(test_derivative)


@pytest.mark.slow
def test_thresholds_have_second_derivatives_and_say_so_where_they_have_none():
    a, direction = np.random.default_rng(0).normal(size=(2, N, 2, D))

    def along(t, beta=None):
        return stability.critical(stability.modes_of(a + t * direction), 0.7, beta).value

    slope = jax.jit(jax.grad(along))
    second = jax.jvp(slope, (0.1,), (1.0,))[1]
    assert float(second) == pytest.approx(float(slope(0.1 + 1e-5) - slope(0.1 - 1e-5)) / 2e-5, rel=1e-6)
    with pytest.raises(NotDifferentiableError, match="second derivative"):
        jax.grad(jax.grad(along))(0.1, 0.5)


def test_a_plain_function_that_closes_over_what_is_differentiated_has_a_derivative():
    h = np.diag([1.0, 2.0, 5.0])
    top = lambda t: stability.eigenpairs(lambda v: (h + t * jnp.ones((3, 3))) @ v, jnp.ones(3)).values[0]  # noqa: E731
    assert float(jax.grad(top)(0.0)) == pytest.approx(1.0)  # (v . 1)^2, v the last unit vector

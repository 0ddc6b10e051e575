"""Hessians as operators, Lanczos, traces and densities, against dense matrices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import stability
from lab.numerics import Chunked, Reason
from lab.stability import spectrum


class Low(eqx.Module):
    """A matrix of low rank."""

    rows: jax.Array

    @property
    def size(self):
        return self.rows.shape[1]

    @property
    def dtype(self):
        return self.rows.dtype

    def __call__(self, v):
        return self.rows.T @ (self.rows @ v)


def loss(model, x, y):
    return ((jax.vmap(model)(x) - y) ** 2).mean() / 2


@pytest.fixture(scope="module")
def net():
    key = jax.random.key(0)
    model = stability.perceptron(key, (6, 7, 4, 1))
    x = jax.random.normal(jax.random.key(1), (60, 6))
    y = jnp.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]
    operator = stability.hessian(loss, model, x, y)
    return model, x, y, operator, np.asarray(stability.full(operator))


@pytest.fixture(scope="module")
def outer(net):
    return stability.eigenpairs(net[3], jax.random.key(5), 3, tolerance=1e-8)


@pytest.fixture(scope="module")
def measured(net):
    return stability.quadrature(jax.random.key(0), net[3], probes=60)


@pytest.mark.slow
def test_products_blocks_and_chunks(net):
    model, x, y, operator, dense = net
    v = jax.random.normal(jax.random.key(3), (operator.size,))
    centre = jax.flatten_util.ravel_pytree(model)[0]
    slope = lambda at: stability.hessian(loss, operator.params(at), x, y).gradient()  # noqa: E731
    np.testing.assert_allclose(operator(v), (slope(centre + 1e-5 * v) - slope(centre - 1e-5 * v)) / 2e-5, atol=1e-5)
    np.testing.assert_allclose(operator(v), dense @ v, atol=1e-12)
    exact = jax.jit(jax.hessian(lambda at: loss(operator.params(at), x, y)))(centre)
    np.testing.assert_allclose(dense, exact, atol=1e-12)
    parts = stability.hessian(loss, model, x, y, chunk=25)
    np.testing.assert_allclose(parts(v), operator(v), atol=1e-13)
    np.testing.assert_allclose(parts.loss(), operator.loss(), rtol=1e-13)
    some = stability.hessian(loss, model, x, y, only=["layers/1", "layers/0/bias"])
    index = np.concatenate(
        [np.arange(b.start, b.stop) for b in operator.blocks if b.path in [c.path for c in some.blocks]]
    )
    assert some.size == index.size == 7 + 7 * 4 + 4
    part = np.random.default_rng(0).normal(size=index.size)
    np.testing.assert_allclose(some(jnp.asarray(part)), dense[np.ix_(index, index)] @ part, atol=1e-12)
    with pytest.raises(ValueError, match="no parameter is at 'layers/9'"):
        stability.blocks(model, "layers/9")
    with pytest.raises(ValueError, match="a scalar is needed"):
        stability.hessian(lambda m, x: jax.vmap(m)(x), model, x)


@pytest.mark.slow
def test_gauss_newton_and_fisher(net):
    model, x, y, _, dense = net
    parts = stability.split(stability.call, model, x, y, chunk=25)
    a = np.asarray(stability.jacobian(stability.call, model, x))[:, 0]
    e = np.asarray(stability.residuals(stability.call, model, x, y))
    newton = a.T @ a / 60
    v = np.random.default_rng(0).normal(size=len(dense))  # a matrix is its product with any one vector, but by chance
    for operator, matrix in (
        (parts.hessian, dense),
        (parts.gauss_newton, newton),
        (parts.rest, dense - newton),
        (parts.fisher, (e * a).T @ (e * a) / 60),
    ):
        np.testing.assert_allclose(operator(jnp.asarray(v)), matrix @ v, atol=1e-12 * np.linalg.norm(v))
    assert np.linalg.norm(dense - newton) > 0.05 * np.linalg.norm(newton)
    at_rest = stability.hessian(loss, model, x, jax.vmap(model)(x))  # interpolating: the Hessian is G
    np.testing.assert_allclose(stability.full(at_rest), newton, atol=1e-8 * np.abs(newton).max())


def test_cross_entropy_by_autodiff():
    key = jax.random.key(2)
    model, x = stability.perceptron(key, (3, 4, 3)), jax.random.normal(key, (10, 3))
    y = jnp.arange(10) % 3
    criterion = lambda out, label: -jax.nn.log_softmax(out)[label]  # noqa: E731
    found = stability.full(stability.split(stability.call, model, x, y, criterion).gauss_newton)
    a, p = stability.jacobian(stability.call, model, x), jax.nn.softmax(jax.vmap(model)(x))
    inner = jax.vmap(jnp.diag)(p) - p[:, :, None] * p[:, None, :]
    np.testing.assert_allclose(found, jnp.einsum("nki,nkl,nlj->ij", a, inner, a) / 10, atol=1e-12)


@pytest.mark.slow
def test_eigenpairs_and_breakdown(net, outer):
    _, _, _, operator, dense = net
    values = np.linalg.eigvalsh(dense)
    found = outer
    np.testing.assert_allclose(found.values, values[::-1][:3], atol=1e-12)
    for value, vector, residual in zip(found.values, found.vectors, found.residuals, strict=True):
        left = np.linalg.norm(dense @ vector - value * vector)
        assert left < 1e-6
        np.testing.assert_allclose(residual, left, atol=1e-10)
    pairs = eqx.filter_jit(stability.eigenpairs)  # what comes after the loop is many small programs else
    low = pairs(operator, jax.random.key(5), 1, which="smallest", steps=60)
    np.testing.assert_allclose(low.values, values[:1], atol=1e-8)
    with pytest.warns(UserWarning, match="did not converge"):
        early = stability.eigenpairs(operator, jax.random.key(5), 1, steps=5, tolerance=1e-12)
    assert abs(early.values[0] / values[-1] - 1) < 0.05
    # of rank 10: going on would give values far beyond the largest
    for dtype in (jnp.float64, jnp.float32):
        rank = Low(jax.random.normal(jax.random.key(1), (10, 200), dtype))
        few = pairs(rank, jax.random.key(2), 12, steps=24)
        truth = np.linalg.svd(np.asarray(rank.rows), compute_uv=False) ** 2
        assert few.exhausted
        assert few.iterations <= 12
        np.testing.assert_allclose(few.values[:10], truth, rtol=1e-9 if dtype == jnp.float64 else 1e-4)
        assert float(stability.quadrature(jax.random.key(0), rank, steps=24).nodes.max()) < truth[0] * 1.0001
    zero = Low(jnp.zeros((1, 5)))
    np.testing.assert_allclose(pairs(zero, jax.random.key(0)).values, 0)


def accuracy(operator, method, count, products=60):
    """Root mean squares of the errors of the trace and of what they were said to be."""
    found = [stability.trace(jax.random.key(i), operator, products, method, chunk=30) for i in range(count)]
    off = np.array([each.value for each in found]) - float((operator.rows**2).sum())
    return np.sqrt((off**2).mean()), np.sqrt(np.mean([each.error**2 for each in found]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decay", "limits"),
    [
        (np.linspace(1, 0, 200) ** 20, {"hutchinson": 0.06, "hutch++": 0.03, "xtrace": 0.015}),  # as Hessians do
        (np.arange(1, 201) ** -0.5, {"hutchinson": 0.03, "hutch++": 0.04, "xtrace": 0.04}),  # slowly: nothing is gained
    ],
)
def test_traces_of_spectra_that_decay(decay, limits):
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((200, 200)))[0]
    operator = Low(jnp.asarray(np.sqrt(decay)[:, None] * q.T))
    for method, limit in limits.items():
        off, told = accuracy(operator, method, 12)
        assert off < limit * decay.sum(), method
        assert 0.5 < off / told < 2, method


@pytest.mark.slow
def test_accuracies_of_the_sheet():
    """Invariant 14, on 910 parameters and 300 digits: errors of traces and density at most three times those of the sheet.

    Its weights are not known, and Lanczos depends on the gap: here it misses the sheet's 5e-5 after 5 steps; a bound is taken.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = jnp.asarray(digits.data[:300] / 16)
    model = stability.perceptron(jax.random.key(0), (64, 12, 10))
    newton = np.asarray(stability.jacobian(stability.call, model, x)).reshape(3000, 910) / 300**0.5
    operator = Low(
        jnp.asarray(np.linalg.qr(newton, mode="r"))
    )  # the Gauss-Newton matrix, which is the Hessian at a minimum
    values, vectors = np.linalg.eigh(np.asarray(operator.rows).T @ np.asarray(operator.rows))
    values, top = np.maximum(values[::-1], 0), vectors[:, -1]
    v = jax.random.normal(jax.random.key(3), (910,))
    state = eqx.filter_jit(stability.tridiagonal)(operator, v, 20)
    # at a given number of steps the error is one of the spectrum: Kaniel and Paige bound it, and after 20 it is rounding
    cosine, gap = abs(top @ v) / np.linalg.norm(v), (values[0] - values[1]) / (values[1] - values[-1])
    for steps in (5, 10, 20):
        t = np.diag(state.alpha[:steps]) + np.diag(state.beta[: steps - 1], 1) + np.diag(state.beta[: steps - 1], -1)
        bound = (1 / cosine**2 - 1) / np.cosh((steps - 1) * np.arccosh(1 + 2 * gap)) ** 2
        assert abs(np.linalg.eigvalsh(t)[-1] / values[0] - 1) < bound + 1e-14, steps
    assert bound < 1e-6
    for method, limit in (("hutchinson", 0.029), ("hutch++", 0.0064), ("xtrace", 0.0045)):
        assert accuracy(operator, method, 4, 90)[0] < 3 * limit * values.sum(), method
    square = stability.quadrature(jax.random.key(0), operator, probes=50, steps=20).trace_of(jnp.square)
    assert abs(square.value / (values**2).sum() - 1) < 3 * 0.047


@pytest.mark.slow
def test_traces(net):
    _, _, _, operator, dense = net
    rank = Low(jax.random.normal(jax.random.key(1), (200, 200)) * (jnp.arange(200) < 10)[:, None])
    for method in ("xtrace", "hutch++"):
        found = stability.trace(jax.random.key(0), rank, 60, method, chunk=30)
        np.testing.assert_allclose(found.value, (rank.rows**2).sum(), rtol=1e-10)
        assert found.error < 1e-10 * found.value
    whole = stability.trace(jax.random.key(0), operator, 60)
    assert abs(whole.value - np.trace(dense)) < 4 * whole.error
    with pytest.raises(ValueError, match="method = 'magic'"):
        stability.trace(jax.random.key(0), rank, method="magic")


@pytest.mark.slow
def test_density(net, measured):
    values, found = np.linalg.eigvalsh(net[4]), measured
    shape = stability.density(found)
    np.testing.assert_allclose(jnp.trapezoid(shape.density, shape.grid), 1, atol=1e-5)
    exact = np.exp(-0.5 * ((np.asarray(shape.grid)[:, None] - values) / shape.width) ** 2).mean(axis=1)
    exact = exact / (float(shape.width) * np.sqrt(2 * np.pi))
    far = np.abs(shape.density - exact) > 4 * np.asarray(shape.error) + 1e-3 * exact.max()
    assert far.mean() < 0.1
    for f in (lambda v: v, lambda v: v**2):
        each = found.trace_of(f)
        assert abs(each.value - f(values).sum()) < 4 * each.error
    # nodes and weights of a full recurrence are the whole measure of the probe
    m = Low(jnp.asarray(np.random.default_rng(1).standard_normal((6, 6))))
    whole = stability.quadrature(jax.random.key(3), m, probes=2, steps=6)
    v = jax.random.normal(jax.random.fold_in(jax.random.key(3), 0), (6,))
    exact, vectors = np.linalg.eigh(np.asarray(m.rows.T @ m.rows))
    np.testing.assert_allclose(whole.nodes[0], exact, rtol=1e-8)
    np.testing.assert_allclose(whole.weights[0], (vectors.T @ v) ** 2 / (v @ v), atol=1e-8)


@pytest.mark.slow
def test_they_stop_report_and_go_on(net, measured):
    operator = net[3]
    seen = []
    stop = Chunked(lambda progress: seen.append(progress.iteration) or progress.iteration >= 4)
    part = stability.quadrature(jax.random.key(0), operator, probes=60, loop=stop)
    assert part.reason == Reason.STOPPED
    assert seen
    assert np.isfinite(float(part.trace_of().value))
    rest = stability.quadrature(jax.random.key(0), operator, probes=60, state=part.state, loop=Chunked())
    np.testing.assert_array_equal(rest.nodes, measured.nodes)
    half = stability.eigenpairs(operator, jax.random.key(0), loop=Chunked(lambda progress: True))
    assert half.reason == Reason.STOPPED
    done = stability.eigenpairs(operator, jax.random.key(0), state=half.state, loop=Chunked())
    assert done.converged
    np.testing.assert_allclose(done.values, np.linalg.eigvalsh(net[4])[-1:], rtol=1e-10)


@pytest.mark.slow
def test_pooled_norms_and_landscape(net, outer):
    _, _, _, operator, dense = net
    cuts = [0, *(block.stop for block in operator.blocks)]
    means, norms = stability.pooled(operator, cuts), stability.block_norms(jax.random.key(0), operator, cuts, 30)
    means, norms = jax.tree.map(np.asarray, (means, norms))
    for i in range(len(cuts) - 1):
        for j in range(len(cuts) - 1):
            block = dense[cuts[i] : cuts[i + 1], cuts[j] : cuts[j + 1]]
            np.testing.assert_allclose(means[i, j], block.mean(), atol=1e-12)
            assert abs(norms.mean_square[i, j] - (block**2).mean()) < 6 * norms.error[i, j] + 1e-12
    seen = stability.landscape(operator, outer.vectors[:2], jnp.array([-1e-3, 0.0, 1e-3]))
    np.testing.assert_allclose(seen.loss, seen.quadratic, atol=1e-7)
    assert float(jnp.abs(seen.loss - seen.loss[1, 1]).max()) > 1e-5
    line = stability.landscape(operator, outer.vectors[:1], jnp.array([-1e-2, 0.0, 1e-2]))
    bend = (line.loss[0] - 2 * line.loss[1] + line.loss[2]) / 1e-4
    np.testing.assert_allclose(bend, outer.values[0], rtol=1e-2)


@pytest.mark.slow
def test_two_million_parameters_are_matrix_free():
    params = {"a": jnp.ones(2_000_000, jnp.float32), "b": jnp.ones(3, jnp.float32)}
    curved = stability.hessian(lambda p: (p["a"] ** 2).sum() / 2 + 2 * (p["b"] ** 4).sum(), params)
    found = stability.eigenpairs(curved, jnp.ones(curved.size, jnp.float32).at[-1].set(2), steps=3)
    np.testing.assert_allclose(found.values, 24, rtol=1e-3)
    with pytest.raises(ValueError, match=r"full matrix of 2,000,003 parameters would take 16,000.* only="):
        stability.full(curved)
    assert spectrum.hutchinson(jax.random.key(0), curved, 2).value == pytest.approx(2_000_072, rel=1e-3)


@pytest.mark.slow
def test_analyze(net):
    model, x, _, operator, dense = net
    y = jax.vmap(model)(x)
    found = stability.analyze(
        loss, model, x, y, key=jax.random.key(0), predict=stability.call, batch_sizes=(1, 60), probes=60
    )
    assert found.matrix.shape == dense.shape
    assert [block.path for block in found.blocks] == [block.path for block in operator.blocks]
    np.testing.assert_allclose(found.stability.eta.value[1, 1], 2 / found.top.values[0], rtol=1e-8)
    np.testing.assert_allclose(found.stability.sizes.trace, np.trace(found.matrix), rtol=1e-10)
    assert abs(found.trace.value - np.trace(found.matrix)) < 5 * found.trace.error + 1e-6
    with pytest.warns(UserWarning, match="no interpolating minimum: the residual has norm"):
        stability.stability(stability.call, model, x, y + 1, (1, 60))
    with pytest.raises(ValueError, match="the loss is nan"):
        stability.analyze(loss, model, x, y * jnp.nan, key=jax.random.key(0))

"""Second moments, thresholds and closed forms, against enumeration, simulation and dense algebra."""

from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import stability
from lab.stability import closed, models, moments


def rows(seed, n=6, p=8, k=1):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((n, k, p)) * rng.uniform(0.5, 2, (n, 1, 1)))


def matrix(seed, p):
    m = np.random.default_rng(seed).standard_normal((p, p))
    return jnp.asarray(m @ m.T)


def thresholds(basis, noises):
    """One after the other, so that one program serves any number of them."""
    return np.array([float(stability.critical(basis, c).value) for c in np.asarray(noises)])


def sheet():
    a = np.random.default_rng(0).standard_normal((6, 8)) * np.array([1, 0.5, 2, 1, 0.7, 1.3])[:, None]
    return jnp.asarray(a)[:, None]


def by_enumeration(a, m, eta, batch, replacement):
    a, m, (n, _, p) = np.asarray(a), np.asarray(m), a.shape
    h = np.einsum("nki,nkj->nij", a, a)
    every = product(range(n), repeat=batch) if replacement else combinations(range(n), batch)
    steps = [np.eye(p) - eta * h[list(s)].mean(axis=0) for s in every]
    return sum(j @ m @ j.T for j in steps) / len(steps), steps


@pytest.mark.parametrize(("batch", "replacement", "k"), [(2, True, 2), (3, True, 1), (2, False, 1), (3, False, 2)])
def test_the_operator_is_the_average_over_all_batches(batch, replacement, k):
    a, m = rows(batch, k=k), matrix(7, 8)
    want, _ = by_enumeration(a, m, 0.3, batch, replacement)
    c = stability.noise(6, batch, replacement)
    found = jax.jit(moments.second_moment)(a, m, 0.3, c)
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12 * np.abs(want).max())
    flat = a.reshape(-1, 8)
    gram = jax.jit(lambda flat: moments.gram_moment(flat @ flat.T, flat @ m @ flat.T, 0.3, c, k))
    outputs, flat = np.asarray(gram(flat)), np.asarray(flat)
    np.testing.assert_allclose(outputs, flat @ found @ flat.T, atol=1e-10 * np.abs(outputs).max())


@pytest.mark.slow
def test_self_adjoint_positive_and_the_same_in_every_basis():
    a, c = rows(3), stability.noise(6, 2)
    m, other = matrix(1, 8), matrix(2, 8) - 5 * jnp.eye(8)
    t = jax.jit(lambda x: moments.second_moment(a, x, 0.2, c))
    np.testing.assert_allclose(jnp.vdot(t(m), other), jnp.vdot(m, t(other)), rtol=1e-12)
    v = jnp.asarray(np.random.default_rng(5).standard_normal(8))
    assert jnp.linalg.eigvalsh(t(jnp.outer(v, v)))[0] > -1e-12
    # from the Gram matrix and from the features: thresholds are the same
    wide, tall = rows(3), rows(4, 5, 7, 2)
    for each in (wide, tall):
        flat = each.reshape(-1, each.shape[2])
        one = stability.critical(stability.modes(flat @ flat.T, each.shape[1]), 0.5).value
        two = stability.critical(stability.modes_of(each), 0.5).value
        np.testing.assert_allclose(one, two, rtol=1e-10)


@pytest.mark.slow
def test_reference_numbers_of_the_sheet():
    a = sheet()
    flat = a[:, 0]
    size = stability.sizes(flat @ flat.T)
    np.testing.assert_allclose([size.trace, size.lambda_max], [8.1338759, 4.4888351], atol=5e-8)
    c = jnp.stack([stability.noise(6, 1), stability.noise(6, 2), stability.noise(6, 2, False)])
    found = stability.critical(stability.modes_of(a), c)
    np.testing.assert_allclose(found.value, [0.1152885, 0.1850774, 0.2103798], atol=5e-8)
    assert found.converged.all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_critical_steps_by_four_ways(seed):
    a = rows(seed, 6, 4)
    flat, basis = a[:, 0], stability.modes_of(a)
    h = np.asarray(flat.T @ flat) / 6
    for batch, way in ((1, True), (2, False)):
        c = float(stability.noise(6, batch, way))
        eta = float(stability.critical(basis, c).value)
        # dense Kronecker matrices of C and D
        eye, each = np.eye(4), np.einsum("ni,nj->nij", flat, flat)
        left = (np.kron(h, eye) + np.kron(eye, h)) / 2
        right = (1 - c) * np.kron(h, h) + c * np.mean([np.kron(x, x) for x in each], axis=0)
        np.testing.assert_allclose(eta, 2 / np.linalg.eigvals(np.linalg.solve(left, right)).real.max(), rtol=1e-10)
        # rho crosses 1 there
        rho = stability.growth(basis, eta * jnp.array([0.95, 1, 1.05]), c).value
        assert rho[0] < 1 < rho[2]
        np.testing.assert_allclose(rho[1], 1, atol=1e-10)
        # rho is the spectral radius of the average over all batches
        _, steps = by_enumeration(a, np.eye(4), 1.05 * eta, batch, way)
        dense = np.mean([np.kron(j, j) for j in steps], axis=0)
        np.testing.assert_allclose(rho[2], np.abs(np.linalg.eigvals(dense)).max(), rtol=1e-10)


@pytest.mark.slow
def test_simulated_paths_grow_and_decay():
    # enough paths and few enough steps that the mean is not carried by a handful of them
    a = rows(4, 6, 4)
    basis = stability.modes_of(a)
    eta = float(stability.critical(basis, 1.0).value)
    rng, flat = np.random.default_rng(0), np.asarray(a[:, 0])
    move = jax.jit(lambda m, eta: moments.second_moment(a, m, eta, 1.0))
    for factor in (0.8, 0.95, 1.05, 1.3):
        delta, logs = rng.standard_normal((40_000, 4)), []
        for _ in range(16):
            g = flat[rng.integers(0, 6, len(delta))]
            delta = delta - factor * eta * g * (g * delta).sum(axis=1, keepdims=True)
            logs.append(np.log((delta**2).sum(axis=1).mean()))
        # the exact curve, from the operator
        m, exact = jnp.eye(4), []
        for _ in range(16):
            m = move(m, factor * eta)
            exact.append(np.log(np.trace(m)))
        np.testing.assert_allclose(logs[:8], exact[:8], atol=0.12)
        late = exact[-1] - exact[-2]
        assert (late > 0) == (factor > 1)
        if abs(factor - 1) > 0.1:
            assert ((logs[-1] - logs[7]) > 0) == (factor > 1)


@pytest.mark.slow
def test_limits_monotony_and_bounds():
    for seed, n, p, k in ((0, 6, 8, 1), (2, 5, 7, 2)):
        a = rows(seed, n, p, k)
        flat = a.reshape(n * k, p)
        basis, size = stability.modes_of(a), stability.sizes(flat @ flat.T, k)
        batch = jnp.arange(1, n + 1)
        with_, without = (stability.noise(n, batch, way) for way in (True, False))
        one, two = (thresholds(basis, each) for each in (with_, without))
        np.testing.assert_allclose(thresholds(basis, [0.0])[0], 2 / size.lambda_max, rtol=1e-10)
        assert (np.diff(one) > 0).all()
        assert (np.diff(two) > 0).all()
        assert (two >= one * (1 - 1e-9)).all()
        np.testing.assert_allclose(two[-1], 2 / size.lambda_max, rtol=1e-10)
        for eta, c in ((one, with_), (two, without)):
            for bound in map(np.asarray, stability.bounds(size, c, k)):
                assert (eta <= bound * (1 + 1e-9)).all()
        np.testing.assert_allclose(stability.bounds(size, 1.0).moments, 2 * size.trace / size.fourth)
    equal = jnp.asarray(np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0])[:, None] * 1.7
    np.testing.assert_allclose(stability.critical(stability.modes_of(equal), 1.0).value, 2 / 1.7**2, rtol=1e-10)


def test_trace_may_exceed_the_line_with_batches():
    equal = 1.7 * jnp.eye(5)[:, None]
    eta = stability.critical(stability.modes_of(equal), stability.noise(5, 4)).value
    assert 2 / eta < 1.7**2


@pytest.mark.slow
def test_limits_hold_and_are_reached():
    """No minimum is stable above them; and equal gradients of single samples, in as many outputs, come to within a part."""
    for k, batch in ((1, 3), (2, 1), (2, 9)):  # 9 of 5 samples: with replacement
        a = rows(2, 5, 7, k)
        size = stability.sizes(a.reshape(5 * k, 7) @ a.reshape(5 * k, 7).T, k)
        c = stability.noise(5, batch)
        eta, limit = stability.critical(stability.modes_of(a), c).value, stability.limits(c, k)
        assert limit.trace == k * batch
        assert eta * size.trace / 2 <= limit.trace
        assert eta * size.lambda_max / 2 <= limit.descent == 1
    equal = jnp.asarray([[[3.0, 0.0], [0.0, 3.0]]] * 4)  # two outputs, H_i = H: gradient descent
    eta = stability.critical(stability.modes_of(equal), 1.0).value
    np.testing.assert_allclose(eta * 18 / 2, stability.limits(1.0, 2).trace)
    momentum = stability.limits(jnp.asarray([0.0, 1.0]), 1, 0.5)
    np.testing.assert_array_equal(momentum.trace, [np.inf, np.inf])
    np.testing.assert_array_equal(momentum.descent, [1.5, 1.5])
    a = rows(2)
    eta = stability.critical(stability.modes_of(a), 0.0, 0.5).value
    top = stability.sizes(a[:, 0] @ a[:, 0].T).lambda_max
    np.testing.assert_allclose(eta * top / 2, 1.5, rtol=1e-6)


@pytest.mark.slow
def test_batches_above_n():
    """With replacement there is no end to them; without, no such batch."""
    x, w = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3))), jnp.ones(3)
    found = stability.stability(lambda w, x: w @ x, w, x, x @ w, batch_sizes=(2, 4, 9))
    basis = stability.modes_of(x[:, None])
    np.testing.assert_allclose(found.eta.value[0, 2], stability.critical(basis, 1 / 9).value, rtol=1e-9)
    for each in (found.eta.value, *found.bounds):
        np.testing.assert_array_equal(np.isnan(each), [[False] * 3, [False, False, True]])


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_momentum_against_dense_matrices(beta):
    a, c = rows(6, 4, 2), 0.5
    basis = stability.modes_of(a)
    h = np.einsum("nki,nkj->nij", basis.rows, basis.rows)

    def dense(eta):
        steps = []
        for i, j in product(range(4), repeat=2):
            pull = eta * (h[i] + h[j]) / 2
            steps.append(np.block([[np.eye(2) - pull, beta * np.eye(2)], [-pull, beta * np.eye(2)]]))
        return np.mean([np.kron(s, s) for s in steps], axis=0)

    m = matrix(3, 4)
    np.testing.assert_allclose(
        moments.momentum_moment(basis, m, 0.2, c, beta).ravel(),
        dense(0.2) @ np.asarray(m).ravel(),
        rtol=1e-11,
        atol=1e-11,
    )
    eta = float(stability.critical(basis, c, beta).value)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(dense(eta))).max(), 1, atol=1e-8)
    found = stability.growth(basis, 0.7 * eta, c, beta)
    np.testing.assert_allclose(found.value, np.abs(np.linalg.eigvals(dense(0.7 * eta))).max(), rtol=1e-8)
    if beta == 0:
        np.testing.assert_allclose(eta, stability.critical(basis, c).value, rtol=1e-8)


@pytest.mark.slow
def test_reshuffled_epochs_against_all_permutations():
    from itertools import permutations

    a, eta = rows(8, 4, 3), 0.1
    h = np.einsum("nki,nkj->nij", a, a)
    maps = []
    for order in permutations(range(4)):
        p = np.eye(3)
        for i in order:
            p = (np.eye(3) - eta * h[i]) @ p
        maps.append(np.kron(p, p))
    exact = np.abs(np.linalg.eigvals(np.mean(maps, axis=0))).max()
    found = stability.reshuffled(jax.random.key(0), stability.modes_of(a), eta, 1, 400)
    assert 0 < found.error < 0.01
    assert abs(found.rho - exact) < 4 * found.error
    np.testing.assert_allclose(found.per_step**4, found.rho)
    whole = stability.reshuffled(jax.random.key(0), stability.modes_of(a), eta, 4, 400)
    np.testing.assert_allclose(whole.rho, (1 - eta * np.linalg.eigvalsh(h.mean(axis=0))[0]) ** 2, rtol=1e-9)


@pytest.mark.slow
def test_gaussian_features():
    lam = jnp.array([3, 1, 0.5, 0.2])
    found = jnp.stack([closed.gaussian(lam, batch) for batch in (1, 4)])
    np.testing.assert_allclose(found, [0.204458516, 0.434789616], atol=5e-10)
    np.testing.assert_allclose(closed.gaussian(lam, 1e9), 2 / 3, rtol=1e-6)
    g = np.random.default_rng(0).standard_normal((40_000, 4)) * np.sqrt(np.asarray(lam))
    sampled = stability.critical(stability.modes_of(jnp.asarray(g)[:, None]), 1.0).value
    np.testing.assert_allclose(sampled, found[0], rtol=0.05)


@pytest.mark.slow
def test_closed_forms_of_the_networks():
    for seed in (0, 1):
        key, x = jax.random.key(seed), jax.random.normal(jax.random.key(seed + 9), (7, 5))
        for model, form in (
            (stability.diagonal(key, 5), closed.diagonal_trace),
            (stability.two_layer(key, 5, 4), closed.two_layer_trace),
        ):
            k = stability.gram(stability.call, model, x)
            np.testing.assert_allclose(form(model, x), stability.sizes(k).trace, rtol=1e-10)
    model = stability.diagonal(jax.random.key(3), 6)
    x = jnp.sqrt(6.0) * jnp.eye(6)  # E x x^T = I exactly
    size, of = stability.sizes(stability.gram(stability.call, model, x)), closed.diagonal_population(model)
    np.testing.assert_allclose(size[:3], of, rtol=1e-10)
    beta = model.beta
    for value, least in zip(of, (jnp.abs(beta).sum(), jnp.linalg.norm(beta), jnp.abs(beta).max()), strict=True):
        assert value > 2 * least
    even = models.Diagonal(model.a, -model.a)
    np.testing.assert_allclose(closed.diagonal_population(even).trace, 2 * even.norm(), rtol=1e-12)
    net = stability.two_layer(jax.random.key(1), 100, 100)
    data = stability.teacher(jax.random.key(2), 300, 100, test=1)
    ratio = closed.two_layer_trace(net, data.x) / closed.two_layer_population_trace(net)
    assert 0.93 < ratio < 1.03
    assert closed.two_layer_population_trace(net) > 10 * net.norm()
    balanced = models.TwoLayer(net.w, jnp.linalg.norm(net.w, axis=1) / 10)
    np.testing.assert_allclose(closed.two_layer_population_trace(balanced), 10 * balanced.norm(), rtol=1e-12)


@pytest.mark.slow
def test_alignment_and_chunks_against_dense():
    key = jax.random.key(0)
    model = stability.perceptron(key, (3, 4, 2))
    x = jax.random.normal(key, (5, 3))
    y = jax.random.normal(jax.random.key(1), (5, 2))
    a, e = stability.jacobian(stability.call, model, x), stability.residuals(stability.call, model, x, y)
    k = stability.gram(stability.call, model, x)
    np.testing.assert_allclose(stability.gram(stability.call, model, x, 2, entries=1), k, rtol=1e-10, atol=1e-12)
    s = jnp.einsum("nk,nkp->np", e, a)
    g = jnp.einsum("nki,nkj->ij", a, a) / 5
    noise = s.T @ s / 5 - jnp.outer(s.mean(axis=0), s.mean(axis=0))
    want = jnp.trace(noise @ g) / ((e**2).sum() / 5 * (g**2).sum())
    np.testing.assert_allclose(stability.alignment(k, e), want, rtol=1e-10)
    blocks = jnp.einsum("nki,nkj->nij", a, a)
    np.testing.assert_allclose(stability.sizes(k, 2).fourth, (blocks**2).sum() / 5, rtol=1e-10)


@pytest.mark.parametrize("noise", [stability.noise, moments.share_of_noise])
def test_a_batch_that_nobody_can_draw_is_refused(noise):
    for batch, way, why in ((0, True, "at least 1"), (-2, False, "at least 1"), (7, False, "at most n = 6")):
        with pytest.raises(ValueError, match=f"batch = {batch}.*{why}"):
            noise(6, batch, way)
    assert noise(6, 7, True) == 1 / 7
    assert noise(6, 6, False) == 0


@pytest.mark.slow
def test_bad_input_and_edges():
    a = rows(0)
    for batch, way in ((0, True), (7, False)):
        with pytest.raises(ValueError, match="batch ="):
            stability.noise(6, batch, way)
    with pytest.raises(ValueError, match="at most n = 1"):
        stability.noise(1, 2, False)
    assert stability.noise(1, 1, False) == 0
    with pytest.raises(ValueError, match="eta = "):
        stability.growth(stability.modes_of(a), 0.0, 1.0)
    with pytest.raises(ValueError, match="a must be finite"):
        stability.modes_of(a.at[0, 0, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="float64"):
        stability.critical(stability.modes_of(a.astype(jnp.float32)), 1.0)
    with pytest.raises(ValueError, match="momentum"):
        stability.critical(stability.modes_of(a), 1.0, 1.5)
    nothing = stability.modes_of(0 * a)
    assert stability.critical(nothing, 1.0).value == jnp.inf
    assert stability.critical(nothing, 1.0, 0.5).value == jnp.inf
    np.testing.assert_allclose(stability.growth(nothing, 0.1, 1.0).value, 1)
    twice = jnp.concatenate([a[:3], a[:3]])  # rank 3 of 6 samples: the same law, so the same threshold
    np.testing.assert_allclose(
        stability.critical(stability.modes_of(twice), 1.0).value,
        stability.critical(stability.modes_of(a[:3]), 1.0).value,
        rtol=1e-9,
    )

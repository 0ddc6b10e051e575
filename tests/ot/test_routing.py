import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.ot.routing import capacity, sinkhorn_routing, sparse_ot_routing, statistics, top_k_routing

ROUTERS = [top_k_routing, sinkhorn_routing, sparse_ot_routing]


def crowded_gates(rng: np.random.Generator, tokens: int = 256, experts: int = 8, dimension: int = 32) -> jax.Array:
    """Gates of tokens that share a direction, so that some experts are popular."""
    w = rng.standard_normal((dimension, experts))
    z = rng.standard_normal((tokens, dimension)) + rng.standard_normal(dimension)
    return jax.nn.softmax(jnp.asarray(z @ w / np.sqrt(dimension)), axis=-1)


@pytest.mark.slow
def test_sheet_table():
    gates = crowded_gates(np.random.default_rng(0))
    assert capacity(256, 8) == 32
    assert capacity(256, 8, 2.0) == 64

    def figures(routing):
        found = statistics(gates, routing)
        return [round(100 * float(found.uncovered), 1), round(float(found.gate_mass), 3)]

    assert figures(top_k_routing(gates, 32)) == [22.3, 0.328]
    expected = {20: [5.9, 0.314], 100: [2.0, 0.317], 1000: [1.2, 0.317]}
    assert {i: figures(sparse_ot_routing(gates, 32, iterations=i)) for i in expected} == expected
    assert figures(top_k_routing(gates, 64))[0] == 1.6
    assert figures(sparse_ot_routing(gates, 64))[0] == 0.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_transport_covers_more_tokens_than_top_k(seed):
    gates = crowded_gates(np.random.default_rng(seed), tokens=120, experts=5)
    k = capacity(120, 5)
    plain, ot = (statistics(gates, router(gates, k)) for router in (top_k_routing, sparse_ot_routing))
    assert ot.uncovered < 0.6 * plain.uncovered
    assert ot.gate_mass > 0.9 * plain.gate_mass
    assert (ot.load <= k).all()


def test_top_k_is_numpy_top_k():
    gates = crowded_gates(np.random.default_rng(4), 30, 6)
    for choice, axis, k in (("experts", 0, 7), ("tokens", 1, 2)):
        found = np.asarray(top_k_routing(gates, k, choice=choice).dispatch)
        threshold = -np.sort(-np.asarray(gates), axis=axis).take([k - 1], axis=axis)
        np.testing.assert_array_equal(found, np.asarray(gates) >= threshold)


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("choice", ["experts", "tokens"])
def test_cardinality_vmap_and_gradient(router, choice):
    rng = np.random.default_rng(5)
    groups = jnp.stack([crowded_gates(rng, 24, 4) for _ in range(3)])
    k = jnp.asarray(8 if choice == "experts" else 2)
    together = jax.jit(jax.vmap(lambda g, k: router(g, k, choice=choice), (0, None)))(groups, k)
    counts = together.dispatch.sum(1 if choice == "experts" else 2)
    assert ((counts >= 1) & (counts <= k)).all()
    for i in range(3):
        alone = router(groups[i], k, choice=choice)
        np.testing.assert_array_equal(together.dispatch[i], alone.dispatch)
        np.testing.assert_array_equal(alone.combine, np.where(alone.dispatch, groups[i], 0))
    slope = jax.grad(lambda g: (router(g, k, choice=choice).combine ** 2).sum())(groups[0])
    np.testing.assert_allclose(slope, 2 * np.where(together.dispatch[0], groups[0], 0))


@pytest.mark.slow
def test_tokens_choose_and_transport_balances_the_load():
    gates = crowded_gates(np.random.default_rng(6), 200, 5)
    plain = statistics(gates, top_k_routing(gates, 1, choice="tokens")).load
    for router in (sinkhorn_routing, sparse_ot_routing):
        balanced = statistics(gates, router(gates, 1, choice="tokens")).load
        assert balanced.sum() == plain.sum() == 200
        assert balanced.max() < 0.75 * plain.max()


def test_limit_serves_first_choices_and_earlier_tokens_first():
    gates = jnp.asarray([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1]])
    routing = top_k_routing(gates, 2, choice="tokens", limit=2)
    # Expert 0: first choice of tokens 0, 1, 3; expert 1: first choice of 2, then second choice of 0, 1, 3.
    np.testing.assert_array_equal(routing.dispatch, [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    found = statistics(gates, routing)
    assert found.uncovered == 0.25
    np.testing.assert_array_equal(found.load, [2, 2, 0])
    np.testing.assert_allclose(found.gate_mass, (0.6 + 0.3 + 0.5 + 0.7) / 4)


def test_sinkhorn_is_balanced_at_convergence():
    """With every entry dispatched by a uniform plan the choice is of the scaled gates, not of the gates."""
    gates = jnp.asarray([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert statistics(gates, top_k_routing(gates, 1, choice="tokens")).load[1] == 0
    np.testing.assert_array_equal(
        sinkhorn_routing(gates, 1, choice="tokens", iterations=200).dispatch, [[1, 0], [1, 0], [0, 1], [0, 1]]
    )


@pytest.mark.slow
def test_converged_route():
    gates = crowded_gates(np.random.default_rng(7), 48, 4)
    k = capacity(48, 4)
    few, converged = (
        statistics(gates, jax.jit(sparse_ot_routing, static_argnames="iterations")(gates, k, iterations=i))
        for i in (20, None)
    )
    assert converged.uncovered <= few.uncovered
    assert (converged.load <= k).all()


def test_float32_and_refusals():
    gates = crowded_gates(np.random.default_rng(8), 24, 4).astype(jnp.float32)
    for router in ROUTERS:
        assert router(gates, 6).combine.dtype == jnp.float32
    with pytest.raises(ValueError, match="must be positive"):
        capacity(0, 4)


@pytest.mark.parametrize(
    ("tokens", "experts", "factor", "expected"), [(256, 8, 1, 32), (100, 8, 1, 16), (10, 4, 1.25, 4), (6, 2, 3.0, 6)]
)
def test_capacity(tokens, experts, factor, expected):
    assert capacity(tokens, experts, factor) == expected

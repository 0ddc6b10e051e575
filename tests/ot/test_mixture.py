from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from lab.ot.mixture import ROUTERS, Labelled, Mixture, Settings, route, train


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x, y = jnp.asarray(x / 16, jnp.float32), jnp.asarray(y, jnp.int32)
    order = np.random.default_rng(0).permutation(len(y))
    return Labelled(x[order[:1280]], y[order[:1280]]), Labelled(x[order[1280:]], y[order[1280:]])


@pytest.fixture(scope="module")
def histories(digits):
    """Two seeds for each router, trained together."""
    keys = jax.random.split(jax.random.key(1), 2)
    run = jax.jit(
        jax.vmap(partial(train, classes=10), (0, None, None, None)),
        static_argnums=3,
        compiler_options={"xla_backend_optimization_level": 0},  # the training is short, its compilation is not
    )
    return {name: run(keys, *digits, Settings(router=name, epochs=10))[1] for name in ROUTERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTERS)
def test_digits_are_learned_with_every_router(histories, name):
    history = histories[name]
    assert history.accuracy.shape == (2, 10)
    assert (history.accuracy[:, -1] > 0.9).all()
    assert (history.loss[:, -1] < 0.2 * history.loss[:, 0]).all()
    assert not np.array_equal(history.loss[0], history.loss[1])
    np.testing.assert_allclose(history.load.sum(-1), 1, rtol=1e-6)


@pytest.mark.slow
def test_transport_covers_and_balances(histories):
    assert (histories["sparse-ot"].uncovered.mean(1) < 0.5 * histories["top-k"].uncovered.mean(1)).all()
    assert np.abs(histories["sparse-ot"].load - 0.25).max() < 0.01


@pytest.mark.slow
def test_untaken_tokens_keep_their_residual():
    settings = Settings(router="top-k", width=6)
    model = Mixture(5, 3, 4, 6, jnp.float64, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (32, 5))
    logits, statistics = jax.jit(lambda x: model(x, settings))(x)
    h = np.maximum(x @ model.embedding[0], 0)
    uncovered = ~np.asarray(route(jax.nn.softmax(h @ model.gate), settings).dispatch).any(1)
    assert 0 < uncovered.sum() < 32
    np.testing.assert_allclose(statistics.uncovered, uncovered.mean(), atol=1e-12)
    np.testing.assert_allclose(logits[uncovered], (h @ model.head[0])[uncovered], rtol=1e-12)
    assert (np.abs(logits - h @ model.head[0]).max(1)[~uncovered] > 1e-3).all()


@pytest.mark.slow
def test_tokens_may_choose():
    gates = jax.nn.softmax(3 * jax.random.normal(jax.random.key(2), (32, 4)))
    for name in ROUTERS:
        settings = Settings(router=name, choice="tokens", experts_per_token=2)
        counts = np.asarray(route(gates, settings).dispatch).sum(1)
        assert counts.max() == 2
        assert counts.min() >= 1


@pytest.mark.slow
def test_gates_learn_through_the_weights():
    model = Mixture(5, 3, 4, 6, jnp.float64, jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (32, 5))
    slope = jax.jit(jax.grad(lambda model: (model(x, Settings(width=6))[0] ** 2).sum()))(model)
    assert (np.abs(slope.gate).max(0) > 0).all()


def test_too_few_points(digits):
    few = Labelled(digits[0].x[:10], digits[0].y[:10])
    with pytest.raises(ValueError, match="10 training points"):
        train(jax.random.key(0), few, few, Settings(), classes=10)

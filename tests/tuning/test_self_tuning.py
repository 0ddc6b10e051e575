"""Self-tuning networks: the linear theory, responses, two players, and where they come to."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize_scalar

from lab.numerics import pure
from lab.numerics.differentiation import NotDifferentiableError
from lab.studies.tuning import tuned_networks
from lab.tuning import responses, ridge
from lab.tuning import self_tuning as stn
from lab.tuning.ranges import Range, inverse_softplus, values

KEY = jax.random.key(3)
rng = np.random.default_rng(8)


@pytest.fixture(scope="module")
def table():
    return ridge.made(KEY, 1.0, jnp.asarray(ridge.grouped(20, 1)))


@pytest.fixture(scope="module")
def found(table):
    """Three starts, with and without entropy, in one program."""
    starts = jnp.array([[-4.0], [0.0], [2.0]])

    def run(entropy):
        rates = stn.Rates(learning=3e-3, entropy=entropy, warmup=500)
        return stn.tune(pure, ridge.RidgeTask(table, 32), KEY, starts, frames=50, every=120, rates=rates)

    return {entropy: run(entropy) for entropy in (0.0, 1e-3, 1e-1)}


# -- what is known exactly -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [-3.0, 0.4, 5.0])
def test_a_linear_network_is_gated_by_sigmoids(lam):
    x, t = rng.normal(size=(15, 6)) * np.arange(1, 7), rng.normal(size=15)
    expected = np.linalg.solve(x.T @ x + np.exp(lam) * np.eye(6), x.T @ t)
    unit = ridge.linear_network(ridge.Part(jnp.asarray(x), jnp.asarray(t)))
    np.testing.assert_allclose(unit.weights(lam), expected, rtol=0, atol=1e-12)
    d2 = np.linalg.svd(x, compute_uv=False) ** 2
    np.testing.assert_allclose(unit.gates(lam), d2 / (d2 + np.exp(lam)), rtol=1e-12)


@pytest.mark.slow
def test_the_best_response_and_its_slope_are_those_of_the_definition():
    two = ridge.made(jax.random.key(0), 1.0, jnp.asarray(ridge.grouped(20, 2)))
    lam = np.array([-1.3, 0.4])
    strengths = np.exp(lam)[np.arange(20) * 2 // 20]
    x, t = map(np.asarray, two.train)
    expected = np.linalg.solve(x.T @ x / 60 + np.diag(strengths), x.T @ t / 60)
    at = jnp.asarray(lam)
    np.testing.assert_allclose(two.best(at), expected, atol=1e-12)
    np.testing.assert_allclose(jax.grad(two.loss, argnums=1)(at, two.best(at)), np.zeros(20), atol=1e-12)
    np.testing.assert_allclose(two.jacobian(at), jax.jacfwd(two.best)(at), atol=1e-12)
    np.testing.assert_allclose(two.hypergradient(at), jax.grad(two.validated)(at), atol=1e-12)
    best = ridge.optimum(two)
    np.testing.assert_allclose(two.hypergradient(best), np.zeros(2), atol=1e-6)


@pytest.mark.slow
def test_the_optimum_is_that_of_a_search_along_the_line(table):
    known: Any = minimize_scalar(lambda lam: float(table.validated(jnp.array([lam]))), bounds=(-6, 3), method="bounded")
    best = ridge.optimum(table)
    assert float(best[0]) == pytest.approx(known.x, abs=1e-3)
    assert float(table.validated(best)) <= known.fun + 1e-12


class Quadratic(eqx.Module):
    """w A w / 2 + w B lambda + c w, whose best response is affine; validation is the distance to a point."""

    A: Any
    B: Any
    c: Any
    goal: Any
    batch: int = eqx.field(static=True)

    def start(self, key):
        return responses.Affine(jnp.zeros(4), jnp.zeros((4, 2)))

    def train(self, model, lam, gate, key):
        w = model(gate)
        return (0.5 * w * (w @ self.A) + w * (lam @ self.B.T + self.c[None])).sum(axis=1).mean()

    def valid(self, model, lam, gate, key):
        return 0.5 * ((model(gate) - self.goal[None]) ** 2).sum(axis=1).mean()

    def seen(self, model, lam, gate):
        return {"val_loss": 0.5 * ((model(gate) - self.goal) ** 2).sum()}


@pytest.mark.slow
@pytest.mark.parametrize("centred", [False, True])
def test_perturbations_find_the_slope_of_a_quadratic_for_any_scale(centred):
    root = rng.normal(size=(4, 4))
    A, B, c = root @ root.T / 4 + np.eye(4), rng.normal(size=(4, 2)), rng.normal(size=4)
    A, B, c, goal = (jnp.asarray(each) for each in (A, B, c, rng.normal(size=4)))
    task = Quadratic(A, B, c, goal, 8)
    rules, rates = stn.Rules(tuned=False, centred=centred), stn.Rates(learning=0.03, hyper=0.0)
    lam = jnp.array([[0.3, -0.8]] * 2)
    run = stn.tune(
        pure,
        task,
        KEY,
        lam,
        frames=2,
        every=1500,
        sigma=jnp.array([0.5, 1.5]),
        rates=rates,
        rules=rules,
        optimizer=optax.identity(),
    )
    slope = -np.linalg.solve(A, B)
    best = -np.linalg.solve(A, B @ np.asarray(lam[0]) + c)
    for i in range(2):
        model = jax.tree.map(lambda leaf, i=i: leaf[i], run.now.model)
        np.testing.assert_allclose(model.slope, slope, atol=1e-8)
        np.testing.assert_allclose(model(jnp.zeros(2) if centred else lam[0]), best, atol=1e-8)
    np.testing.assert_array_equal(run.now.lam, lam)  # at the rate 0 they stay


# -- responses ----------------------------------------------------------------------------------------------------------


def _layer(made):
    """With gates that are open."""
    return eqx.tree_at(
        lambda layer: (layer.of_weight, layer.of_bias),
        made,
        replace_fn=lambda gate: jnp.asarray(rng.normal(size=gate.shape)),
    )


def test_a_gated_layer_is_the_matrix_of_each_example():
    layer = _layer(responses.gated(KEY, 5, 3, 2))
    x, lam = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(4, 2)))
    found, squares = layer(x, lam), layer.squares(lam)
    for i in range(4):
        weight, bias = layer.at(lam[i])
        np.testing.assert_allclose(found[i], weight @ x[i] + bias, rtol=1e-12)
        assert float(squares[i]) == pytest.approx(float((np.asarray(weight) ** 2).sum()), rel=1e-12)
        gate = np.asarray(layer.of_weight) @ np.asarray(lam[i])
        np.testing.assert_allclose(weight, np.asarray(layer.weight) + np.diag(gate) @ np.asarray(layer.gated_weight))


@pytest.mark.slow
def test_a_gated_convolution_is_the_kernels_of_each_example():
    layer = _layer(responses.gated_conv(KEY, 2, 3, 3, 2))
    x, lam = rng.normal(size=(2, 3, 5, 6)), jnp.asarray(rng.normal(size=(2, 2)))
    found = layer(jnp.asarray(x), lam)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i in range(2):
        kernels, bias = map(np.asarray, layer.at(lam[i]))
        windows = np.lib.stride_tricks.sliding_window_view(padded[i], (3, 3), axis=(1, 2))
        expected = np.einsum("cabij,ocij->oab", windows, kernels) + bias[:, None, None]
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def test_with_shut_gates_a_layer_is_plain_and_its_second_weights_do_not_learn():
    layer = responses.gated(KEY, 5, 3, 2)
    shut = eqx.tree_at(lambda each: (each.of_weight, each.of_bias), layer, replace_fn=jnp.zeros_like)
    x, lam = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(4, 2)))
    np.testing.assert_allclose(shut(x, lam), x @ layer.weight.T + layer.bias[None], rtol=1e-14)
    slope = jax.grad(lambda each: (each(x, lam) ** 2).sum())(shut)
    assert not np.abs(slope.gated_weight).any()
    assert np.abs(slope.of_weight).any()


# -- ranges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "at"),
    [
        (Range(), [-3.0, 2.0]),
        (Range(0.5), [0.5001, 2.0, 80.0]),
        (Range(high=-1.0), [-1.001, -40.0]),
        (Range(0.0, 0.95), [0.001, 0.5, 0.949]),
        (Range(log=True), [1e-6, 30.0]),
        (Range(1.0, 6.0, whole=True), [1, 3, 5]),
    ],
)
def test_a_value_comes_back_through_its_inverse(span, at):
    np.testing.assert_allclose(span.value(span.inverse(np.array(at))), at, rtol=1e-9)


def test_whole_values_are_whole_and_within_the_range():
    span = Range(1.0, 6.0, whole=True)
    found = np.asarray(span.value(jnp.linspace(-30, 30, 301)))
    assert set(found) == {1, 2, 3, 4, 5}  # the end is not reached
    with pytest.raises(NotDifferentiableError, match=r"use Range\.smooth"):
        jax.grad(span.value)(0.2)
    assert float(jax.grad(lambda lam: span.smooth(lam))(0.2)) > 1
    np.testing.assert_allclose(
        jax.nn.softplus(inverse_softplus(jnp.array([1e-9, 0.5, 700.0]))), [1e-9, 0.5, 700], rtol=1e-12
    )
    both = values((Range(), Range(log=True)), jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(both, [[1, 1]])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: Range(1.0, 1.0), "is empty"),
        (lambda: Range(1.0, whole=True), "needs both ends"),
        (lambda: Range(0.0, log=True), "logarithmic"),
        (lambda: Range(0.0, 0.95).inverse(0.95), "outside its range: give one between 0 and 0.95"),
        (lambda: Range(0.0).inverse(np.array([1.0, -2.0])), "above 0"),
        (lambda: Range(high=2.0).inverse(np.nan), "below 2"),
    ],
)
def test_ranges_that_cannot_be_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


# -- two players --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def game(table):
    rules, none = stn.Rules(), None
    rates = stn.Rates(*(jnp.asarray(rate) for rate in stn.Rates(clip=1e9)))
    task = ridge.RidgeTask(table, 32)
    return stn.Game(task, KEY, jnp.array([[-1.0]]), jnp.array([0.5]), rates, none, stn.ADAM, rules, 1, 1)


@pytest.mark.slow
def test_each_player_leaves_alone_what_is_the_others(game):
    now = jax.tree.map(lambda leaf: leaf[0], stn._init(game).now)
    trained, validated = stn.train_step(game, now, KEY), stn.valid_step(game, now, KEY)
    for name in ("lam", "scale"):
        np.testing.assert_array_equal(getattr(trained, name), getattr(now, name))
        assert name == "lam" or (getattr(validated, name) != getattr(now, name)).all()
    assert (np.asarray(trained.model.anchor) != np.asarray(now.model.anchor)).all()
    assert eqx.tree_equal(validated.model, now.model)


@pytest.mark.slow
def test_at_the_best_response_the_slope_is_the_hypergradient(game, table):
    lam = jnp.array([-1.7])
    slope = table.jacobian(lam)
    model = responses.Affine(table.best(lam) - slope @ lam, slope)
    still = replace(game, rules=stn.Rules(tuned=False))
    now = jax.tree.map(lambda leaf: leaf[0], stn._init(game).now)._replace(lam=lam, model=model)
    of_lam, of_scale = stn.valid_slopes(still, now, KEY)
    np.testing.assert_allclose(of_lam, table.hypergradient(lam), rtol=1e-10)
    assert float(of_scale[0]) == 0
    # and the response is where training leaves it: no slope at first order in a small perturbation
    quiet = now._replace(scale=inverse_softplus(jnp.array([1e-4])))
    step = stn.train_step(still, quiet, KEY)
    assert float(step.train_loss) == pytest.approx(float(table.loss(lam, table.best(lam))), rel=1e-4)


def test_entropy_has_the_slope_of_a_logarithm():
    sigma = jnp.array([0.3, 2.0])
    np.testing.assert_allclose(jax.grad(stn.entropy)(sigma), 1 / np.asarray(sigma), rtol=1e-12)
    assert float(stn.entropy(sigma)) == pytest.approx(np.log(0.6) + np.log(2 * np.pi * np.e), rel=1e-12)


@pytest.mark.slow
def test_all_starts_come_to_the_optimum(found, table):
    best = float(table.validated(ridge.optimum(table)))
    seen = found[1e-3].seen
    assert np.asarray(seen["val_loss"][-1]) == pytest.approx(best, rel=5e-3)
    assert np.ptp(seen["lam"][-1]) < 0.1
    assert (np.asarray(seen["weight_error"][-1]) < 0.01).all()
    assert (np.asarray(seen["jac_error"][-1]) < 0.1).all()
    assert np.isfinite(seen["train_loss"]).all()


@pytest.mark.slow
def test_entropy_raises_the_scale_and_without_it_it_shrinks(found):
    last = {entropy: np.asarray(run.seen["sigma"][-1]) for entropy, run in found.items()}
    assert (last[0.0] < 0.5).all()
    assert (last[0.0] < last[1e-3]).all()
    assert (last[1e-1] > 0.5).all()


@pytest.mark.slow
def test_starts_side_by_side_are_those_one_by_one_and_a_seed_is_a_schedule(found, table):
    rates = stn.Rates(learning=3e-3, entropy=1e-3, warmup=500)
    one = stn.tune(pure, ridge.RidgeTask(table, 32), KEY, jnp.array([[2.0]]), frames=50, every=120, rates=rates)
    np.testing.assert_allclose(one.seen["lam"][:20, 0], found[1e-3].seen["lam"][:20, 2], atol=1e-9)


@pytest.mark.slow
def test_a_schedule_is_followed_and_weights_do_not_respond(table):
    task = ridge.RidgeTask(table, 32)
    follow = jnp.stack([jnp.full((40, 1), -2.0), jnp.linspace(2, -2, 40)[:, None]])
    rules = stn.Rules(responds=False)
    run = stn.tune(
        pure,
        task,
        KEY,
        follow[:, 0],
        frames=40,
        every=60,
        sigma=0.0,
        rules=rules,
        schedule=follow,
        rates=stn.Rates(learning=3e-3, warmup=0),
    )
    np.testing.assert_array_equal(run.seen["lam"], np.asarray(follow).swapaxes(0, 1))
    assert not np.asarray(run.now.model.slope).any()
    assert (np.asarray(run.seen["weight_error"][-1]) < 1e-2).all()
    with pytest.raises(ValueError, match="scale above 0"):
        stn.tune(pure, task, KEY, follow[:, 0], sigma=0.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rules": stn.Rules(trains=0)}, "trains = 0"),
        ({"rules": stn.Rules(validates=0)}, "validates = 0"),
        ({"sigma": -1.0}, "sigma = -1"),
        ({"rates": stn.Rates(entropy=-0.1)}, "entropy is -0.1"),
    ],
)
def test_what_no_training_can_be_made_of_is_refused(table, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        stn.tune(pure, ridge.RidgeTask(table, 32), KEY, jnp.array([[0.0]]), **wrong)


# -- networks -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples():
    rows = [
        tuned_networks.Rows(jnp.asarray(rng.normal(size=(n, 36))), jnp.asarray(rng.integers(0, 3, n)))
        for n in (20, 12, 12)
    ]
    return tuned_networks.Samples(*rows)


@pytest.mark.slow
def test_regularization_is_of_the_training_alone_and_responses_carry_whole_numbers(samples):
    task = tuned_networks.ConvolutionalTask(samples, 3, 16, 8)
    model = task.start(KEY)
    lam = jnp.asarray([span.inverse(at) for span, at in zip(task.ranges, (0.3, 0.5, 2, 1), strict=True)])

    @jax.jit
    def slopes(lam):
        def of(loss, lam):
            each = jnp.broadcast_to(lam, (8, 4))
            return loss(model, each, each, KEY)

        return (
            jax.grad(lambda lam: of(task.valid, lam))(lam),
            of(task.train, lam),
            of(task.valid, lam),
            of(task.valid, 9 * lam),
        )

    of_valid, train, valid, elsewhere = slopes(lam)
    assert (np.asarray(of_valid) != 0).all()
    assert float(train) != float(valid)
    assert float(elsewhere) != float(valid)  # through the gates alone
    told = task.seen(model, lam, lam)
    assert set(told) == {"train_loss", "val_loss", "test_loss", "accuracy"}
    rows = samples.valid
    logits = np.asarray(task.logits(model, rows.x, jnp.broadcast_to(lam, (12, 4))))
    expected = -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(12), rows.y].mean()
    assert float(told["val_loss"]) == pytest.approx(expected, rel=1e-12)


def test_squares_are_cut_out_of_each_image_as_it_asks():
    image = jnp.ones((6, 1, 9, 8))
    length, count = jnp.array([0.0, 3, 3, 2, 5, 9]), jnp.array([3.0, 0, 1, 3, 1, 1])
    holes = np.asarray(tuned_networks.cut_out(image, length, count, KEY))[:, 0] == 0
    gone = holes.sum(axis=(1, 2))
    assert gone[0] == gone[1] == 0
    assert 0 < gone[2] <= 9
    assert 0 < gone[3] <= 12
    rows, columns = np.flatnonzero(holes[4].any(axis=1)), np.flatnonzero(holes[4].any(axis=0))
    assert holes[4][np.ix_(rows, columns)].all()
    assert len(rows) <= 5
    assert np.ptp(rows) + 1 == len(rows)
    assert gone[4] == len(rows) * len(columns)


def test_each_image_is_scaled_by_a_number_of_its_own():
    factor = np.asarray(tuned_networks.scaled(jnp.ones((4000, 1, 2, 2)), jnp.full(4000, 1.0), KEY))
    assert (np.ptp(factor.reshape(4000, -1), axis=1) == 0).all()
    assert factor.min() >= 0.5
    assert factor.max() <= 2
    assert factor.mean() == pytest.approx(1.25, abs=4 * 0.433 / 4000**0.5)


def test_dropout_has_the_rate_of_each_example_and_keeps_the_mean():
    rate = jnp.array([0.0, 0.3, 0.9])
    found = np.asarray(tuned_networks._dropped(jnp.ones((3, 20_000)), rate, KEY))
    np.testing.assert_allclose((found == 0).mean(axis=1), [1e-3, 0.3, 0.9], atol=0.015)
    np.testing.assert_allclose(found.mean(axis=1), 1, atol=0.09)


@pytest.mark.slow
def test_a_perceptron_learns_with_a_decay_of_its_own(samples):
    task = tuned_networks.PerceptronTask(samples, 3, 16, 8, decays=True)
    model = task.start(KEY)
    lam = jnp.broadcast_to(jnp.array([-9.0, -9.0, -9.0, 1.0]), (8, 4))
    with_decay, without = (task.train(model, lam.at[:, 3].set(at), lam, KEY) for at in (1.0, -40.0))
    squares = sum((np.asarray(layer.at(lam[0])[0]) ** 2).sum() for layer in model.layers)
    assert float(with_decay - without) == pytest.approx(np.e * squares / 2, rel=1e-9)


def test_samples_that_are_no_squares_have_no_convolutional_network(samples):
    flat = jax.tree.map(lambda leaf: leaf[:, :35] if leaf.ndim == 2 else leaf, samples)
    with pytest.raises(ValueError, match="needs square images, and these samples have 35 features"):
        _ = tuned_networks.ConvolutionalTask(flat, 3, 16, 8).ranges

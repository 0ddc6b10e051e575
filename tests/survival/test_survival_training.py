"""The training: its schedule, its first step by hand, its data, stopping, seeds side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import Chunked, Reason
from lab.survival import losses, statistics
from lab.survival.bags import bags
from lab.survival.pooling import Transport
from lab.survival.scoring import score
from lab.survival.training import Settings, model, train

D0, D, K = 3, 6, 2
SIZES = np.array([5, 12, 3, 17, 9, 30, 8, 14, 6, 11])  # padded to 16 or to 30


@pytest.fixture(scope="module")
def small():
    """Ten bags of different sizes, the patches in random order, risk in the mean of the first feature."""
    rng = np.random.default_rng(0)
    bag = np.repeat(np.arange(10), SIZES)
    level = rng.normal(size=10)
    x = rng.normal(size=(bag.size, D0)) + level[bag][:, None] * np.array([1.0, 0, 0])
    time = rng.exponential(np.exp(-2 * level))
    event = (np.arange(10) % 4 > 0).astype(int)
    mixed = rng.permutation(bag.size)
    return bags(x[mixed], bag[mixed], time, event), (x[mixed], bag[mixed])


def fit(bags, epochs, settings=None, loop=None, key=0, **options):
    """In chunks, whose program is compiled once for every number of epochs."""
    return train(
        jax.random.key(key),
        bags,
        settings or Settings(),
        k=K,
        width=D,
        batch=4,
        epochs=epochs,
        loop=loop or Chunked(),
        **options,
    )


def test_schedule_has_the_values_of_the_sheet():
    share = Settings().share
    np.testing.assert_allclose(share(0.0), 0.1 + np.exp(-5), atol=1e-15)
    np.testing.assert_allclose(share(0.0), 0.1067, atol=5e-5)
    assert float(share(8.54)) < 1  # the cap is reached at t / T = 0.8548
    assert float(share(8.55)) == float(share(12.0)) == 1
    np.testing.assert_allclose(Settings(rho=0.5).share(jnp.array([2.0, 9.0])), [0.1 + np.exp(-3.2), 0.5], atol=1e-15)
    np.testing.assert_allclose(Settings(rho=0.3, ramp=0).share(0.0), 0.3)


def test_bags_keep_their_patches(small):
    made, (x, bag) = small
    assert made.widths == (16, 30)
    for i in range(10):
        patches, here = made.take(jnp.array([i]), made.widths[-1])
        np.testing.assert_array_equal(patches[0][: SIZES[i]], x[bag == i])
        np.testing.assert_array_equal(here[0], np.arange(30) < SIZES[i])


@pytest.mark.slow
def test_score_is_the_model_bag_by_bag(small):
    made, (x, bag) = small
    net = model(jax.random.key(3), D0, k=K, width=D)
    found = score(net, made, Transport(0.6))
    said, pooled = jax.jit(lambda x: net(x, jnp.ones(len(x), bool), Transport(0.6)))(jnp.asarray(x[bag == 1]))
    np.testing.assert_allclose(found.risk[1], said[0], atol=1e-8)
    np.testing.assert_allclose(found.mass[1], pooled.weights.sum(0), atol=1e-8)
    np.testing.assert_allclose(found.row_mass[1, :12], 12 * 0.6 * pooled.weights.sum(1), atol=1e-7)
    np.testing.assert_array_equal(found.main[1, :12], pooled.weights.argmax(1))
    np.testing.assert_array_equal(found.main[1, 12:], -1)
    assert float(found.residual.max()) < 1e-9


@pytest.mark.slow
def test_first_batch_is_a_step_of_adamw_on_the_cox_loss(small):
    """By hand, of mean pooling: the batch's bags one by one, Breslow's loss, Adam's first step, decay, the warm-up's rate."""
    made, (x, bag) = small
    first, later = jax.random.split(jax.random.key(0))
    begin = model(first, D0, pooling="mean", width=D)
    index = np.asarray(jax.random.permutation(jax.random.fold_in(later, 0), 10))[:4]

    @jax.jit
    @jax.value_and_grad
    def loss(net):
        def risk(x):
            h = jnp.maximum(x @ net.encoder.weight.T + net.encoder.bias[None], 0).mean(axis=0)
            return (net.mix.weight[0, 0] * h + net.mix.bias[0]) @ net.head.weight[0] + net.head.bias[0]

        return losses.cox(jnp.stack([risk(x[bag == i]) for i in index]), made.time[index], made.event[index])

    value, slope = loss(begin)
    settings = Settings(rate=0.1, decay=0.01)
    run = fit(made, 1, settings, lambda *given, max_iterations: Chunked()(*given, max_iterations=1), pooling="mean")
    assert int(run.reason) == Reason.MAX_ITERATIONS
    np.testing.assert_allclose(run.curves.loss, [value], rtol=1e-12)
    np.testing.assert_allclose(run.curves.rho, [0.1 + np.exp(-5)], atol=1e-12)
    rate = 0.1 / 3  # a third of the first epoch
    for after, before, g in zip(*(jax.tree.leaves(v) for v in (run.model, begin, slope)), strict=True):
        sure = (np.abs(g) > 1e-9) | (g == 0)  # the sign of what rounds to nothing is no one's
        step = before - rate * (g / (jnp.abs(g) + 1e-8) + 0.01 * before)
        np.testing.assert_allclose(after[sure], step[sure], atol=1e-8)


@pytest.mark.slow
def test_training_learns_converges_and_is_one_computation_in_pieces(small):
    made, _ = small
    whole = fit(made, 12, Settings(rate=0.05, ramp=4))
    assert int(whole.reason) == Reason.CONVERGED
    assert whole.steps_per_epoch == 3
    assert whole.curves.loss.shape == (36,)
    assert whole.curves.loss[-6:].mean() < whole.curves.loss[:6].mean() - 0.1
    np.testing.assert_allclose(whole.curves.rho[3::3][:3], [float(Settings(ramp=4).share(e)) for e in (1.0, 2, 3)])
    assert whole.curves.rho[-1] == 1
    risk = score(whole.model, made, Transport()).risk
    assert float(statistics.cindex(risk, made.time, made.event)) > 0.8

    stopped = Chunked(lambda progress: progress.iteration >= 5)
    part = fit(made, 12, Settings(rate=0.05, ramp=4), stopped)
    assert int(part.reason) == Reason.STOPPED
    assert 5 <= part.steps < 36
    np.testing.assert_array_equal(part.curves.loss, whole.curves.loss[: part.steps])
    paused = Chunked(pause=0.0)
    fit(made, 12, Settings(rate=0.05, ramp=4), paused)
    assert paused.paused
    paused.replay()
    resumed = fit(made, 12, Settings(rate=0.05, ramp=4), paused)
    for one, other in zip(jax.tree.leaves(resumed.model), jax.tree.leaves(whole.model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_seeds_train_side_by_side(small):
    """Under vmap in one loop: each as alone in chunks; another key is another run."""
    made, _ = small
    settings = Settings(dropout=0.2)

    def trained(key):
        return train(key, made, settings, pooling="mean", width=D, batch=4, epochs=2).model.encoder.weight

    together = jax.jit(jax.vmap(trained))(jax.vmap(jax.random.key)(jnp.arange(3)))
    alone = fit(made, 2, settings, key=1, pooling="mean").model.encoder.weight
    np.testing.assert_allclose(together[1], alone, atol=1e-9)
    assert float(jnp.abs(together[0] - together[1]).max()) > 1e-3


@pytest.mark.slow
def test_bags_to_check_end_the_training_and_choose_the_model(small):
    """The loss after each epoch is that of the model then, and the one returned is the best after the first two."""
    made, _ = small
    settings, check = Settings(rate=0.5, patience=3, settle=2, dropout=0.1), jnp.array([1, 3, 5, 6, 9])
    options = {"pooling": "mean", "which": jnp.array([0, 2, 4, 7, 8]), "check": check}
    found = fit(made, 40, settings, **options)
    assert int(found.reason) == Reason.CONVERGED
    assert (found.batches, found.steps_per_epoch) == (2, 4)
    epochs, rest = divmod(int(found.steps), 4)
    assert rest == 0
    losses_ = np.asarray(found.curves.check).reshape(epochs, 4)
    assert np.isnan(losses_[:, :3]).all()
    counted = losses_[2:, 3]
    best = int(counted.argmin())
    assert epochs == 2 + best + 1 + 3 < 40  # it waited for three epochs

    def loss_of(net):
        risk = score(net, made, Transport()).risk[check]
        return losses.cox(risk, made.time[check], made.event[check])

    np.testing.assert_allclose(loss_of(found.model), counted[best], rtol=1e-10)
    short = fit(made, 40, settings, lambda *given, max_iterations: Chunked()(*given, max_iterations=4), **options)
    np.testing.assert_allclose(loss_of(short.model), losses_[0, 3], rtol=1e-10)  # none counts yet: the last one
    np.testing.assert_array_equal(short.curves.loss[1], short.curves.loss[3])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["efron", "nll", "ranking"])
def test_other_losses_fall(small, loss):
    made, _ = small
    found = fit(made, 10, Settings(rate=0.05), pooling="mean", loss=loss)
    assert int(found.reason) == Reason.CONVERGED
    assert found.curves.loss[-6:].mean() < found.curves.loss[:6].mean()
    risk = score(found.model, made, Transport()).risk
    assert float(statistics.cindex(risk, made.time, made.event)) > 0.7  # larger is riskier, of hazards too


def test_refusals(small):
    made, _ = small
    for options, sentence in (
        ({"loss": "mse"}, "loss = 'mse', but it must be one of 'cox', 'efron', 'nll', 'ranking'"),
        ({"which": [0, 4, 8]}, "all bags to learn from are censored"),
        ({"k": 0}, "k = 0, but pooling needs at least one prototype"),
        ({"batch": 1}, "batch = 1, but a loss that compares bags needs at least 2"),
        ({"epochs": -1}, "epochs = -1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            train(jax.random.key(0), made, Settings(), **options)
    good = {"x": np.ones((4, 2)), "bag": np.array([0, 0, 1, 1]), "time": np.array([1.0, 2]), "event": np.array([0, 1])}
    for change, sentence in (
        ({"bag": np.array([0, 0, 0, 0])}, "bag 1 of the bags is empty: every bag needs at least one patch"),
        ({"bag": np.array([0, 0, 2, 1])}, "bag of the bags is 2 at patch 2, but it must be a whole number from 0 to 1"),
        ({"bag": np.array([0, 1])}, r"bag of the bags has shape \(2,\), but there are 4 patches"),
        ({"x": np.array([[1, 2], [1, np.nan], [0, 0], [0, 0.0]])}, "x of the bags is nan at patch 1, feature 1"),
        ({"x": np.ones(4)}, r"x of the bags has shape \(4,\)"),
        ({"x": np.array([["a", "b"]] * 4)}, "x of the bags has the type <U1, but real numbers are needed"),
        ({"time": np.array([1.0, -2])}, "time of the bags is -2.0 for bag 1, but it must be finite and not negative"),
        (
            {"event": np.array([0, 2])},
            r"event of the bags is 2 for bag 1, but it must be 1 \(it came\) or 0 \(censored\)",
        ),
        ({"event": np.array([0])}, "one number for each bag is needed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            bags(**(good | change))

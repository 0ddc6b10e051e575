"""Training: steps against a loop by hand, batches, resuming, divergence, and what is recorded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import stability
from lab.numerics import Chunked, Reason
from lab.stability import training


def make(key, n=20, d=30):
    one, two = jax.random.split(key)
    return stability.diagonal(one, d, 0.5), stability.sparse_regression(two, n, d, test=10)


MODEL, DATA = make(jax.random.key(0))


def work(sampling, batch, n=20):
    settings = stability.Settings(0.05, batch)
    return training.prepare(
        jax.random.key(4), MODEL, DATA, settings, stability.call, sampling, 400, 400, None, ("loss",), None
    )


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["replacement", "without", "reshuffle"])
def test_batches(sampling):
    w = work(sampling, 6)
    chosen, live = (np.asarray(each) for each in jax.jit(training.batches, static_argnums=2)(w, jnp.int32(0), 400))
    later, _ = jax.jit(training.batches, static_argnums=2)(w, jnp.int32(100), 300)
    np.testing.assert_array_equal(later, chosen[100:])  # a function of the step, whatever the segment
    counts = np.bincount(chosen[live], minlength=20)
    assert abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())
    distinct = [len(set(row[on])) == on.sum() for row, on in zip(chosen, live, strict=True)]
    assert all(distinct) == (sampling != "replacement")
    if sampling == "reshuffle":
        for epoch in range(4):
            part = slice(4 * epoch, 4 * epoch + 4)
            assert live[part].sum(axis=1).tolist() == [6, 6, 6, 2]
            assert sorted(chosen[part][live[part]]) == list(range(20))
    if sampling == "without":  # pairs of samples are together as often as they should be
        together = np.mean([(0 in row) and (19 in row) for row in chosen])
        assert abs(together - 6 * 5 / (20 * 19)) < 0.05


@pytest.mark.parametrize(
    ("sampling", "batch"),
    [
        pytest.param("replacement", 3, marks=pytest.mark.slow),
        pytest.param("without", 12, marks=pytest.mark.slow),
        ("full", 1),
    ],
)
def test_steps_are_those_of_a_loop_by_hand(sampling, batch):
    settings = stability.Settings(0.05, batch, momentum=0.5, clip=0.7)
    found = stability.train(
        jax.random.key(4), MODEL, DATA, settings, sampling=sampling, steps=12, every=4, track=("tr", "mu")
    )
    w = training.prepare(
        jax.random.key(4), MODEL, DATA, settings, stability.call, sampling, 12, 4, None, ("loss",), None
    )
    x, y = np.asarray(DATA.x), np.asarray(DATA.y)
    rows = [np.arange(20)] * 12 if sampling == "full" else np.asarray(training.batches(w, jnp.int32(0), 12)[0])
    a, b = np.asarray(MODEL.a), np.asarray(MODEL.b)
    v = np.zeros((2, 30))
    for chosen in rows:
        slope = ((x[chosen] @ (a * b) - y[chosen])[:, None] * x[chosen]).mean(axis=0)
        g = np.stack([slope * b, slope * a])
        v = 0.5 * v - 0.05 * min(1, 0.7 / np.linalg.norm(g)) * g
        a, b = a + v[0], b + v[1]
    np.testing.assert_allclose(found.params.a, a, atol=1e-12)
    np.testing.assert_allclose(found.trace["loss"][-1], ((x @ (a * b) - y) ** 2).mean() / 2, rtol=1e-10)
    np.testing.assert_allclose(found.trace["tr"][-1], (x**2).mean(axis=0) @ (a**2 + b**2), rtol=1e-10)
    assert found.steps.tolist() == [0, 4, 8, 12]


@pytest.fixture(scope="module")
def swept():
    keys, rates = jax.random.split(jax.random.key(1), 2), jnp.array([0.02, 0.1, 50.0])

    def run(batches=(1, 8), **more):
        return stability.sweep(keys, make, rates, batches, steps=600, every=100, **more)

    return keys, rates, run, run(track=("tr",), loop=Chunked())


@pytest.mark.slow
def test_a_sweep_is_the_runs_one_by_one(swept):
    keys, rates, run, many = swept
    assert many.trace["loss"].shape == (2, 2, 3, 7)
    model, data = make(keys[1])
    one = stability.train(keys[1], model, data, stability.Settings(rates[1], 8), steps=600, every=100, track=("tr",))
    np.testing.assert_allclose(many.trace["tr"][1, 1, 1], one.trace["tr"], rtol=1e-8)
    np.testing.assert_allclose(many.params.a[1, 1, 1], one.params.a, rtol=1e-7, atol=1e-9)
    # divergence is marked and does not end the others; interpolation is marked too
    assert many.diverged[..., 2].all()
    assert not many.diverged[..., :2].any()
    np.testing.assert_array_equal(many.interpolated, many.trace["loss"][..., -1] < 1e-3)
    assert many.interpolated[:, 0, 1].all()
    assert not many.interpolated[..., 2].any()
    assert many.reason == Reason.CONVERGED
    # what is recorded, against dense algebra
    many = run((1,), track=(*training.TRACKED, "sharpness"))
    _, data = make(keys[0])
    model = jax.tree.map(lambda leaf: leaf[0, 0, 1], many.params)
    k = stability.gram(stability.call, model, data.x)
    last = {name: float(rows[0, 0, 1, -1]) for name, rows in many.trace.items()}
    want = stability.sizes(k)
    np.testing.assert_allclose([last["tr"], last["fro"], last["lmax"]], want[:3], rtol=1e-6)
    np.testing.assert_allclose(last["norm"], jnp.abs(model.beta).sum(), rtol=1e-12)
    np.testing.assert_allclose(last["sharpness"], last["lmax"], rtol=0.05)
    np.testing.assert_allclose(last["test_error"], ((data.x_test @ model.beta - data.y_test) ** 2).mean(), rtol=1e-9)
    # at a minimum, the sharpness of a batch of one is about the squared norm of its gradient
    squares = jnp.diag(k)
    assert 0.9 * squares.min() < last["batch_sharpness"] < 1.1 * squares.max()
    assert rates[1] * last["tr"] / 2 < 1.05


@pytest.mark.slow
def test_stop_and_resume_bit_for_bit(swept):
    _, _, run, whole = swept
    seen = []

    def report(progress):
        seen.append(progress.iteration)
        return True

    part = run(track=("tr",), loop=Chunked(report))
    assert part.reason == Reason.STOPPED
    assert len(seen) == 1
    assert np.isnan(part.trace["loss"][0, 0, 0, -1])
    assert not part.diverged[..., 0].any()
    rest = run(track=("tr",), state=part.state, loop=Chunked())
    np.testing.assert_array_equal(rest.trace["tr"], whole.trace["tr"])
    np.testing.assert_array_equal(rest.params.a, whole.params.a)


@pytest.mark.slow
def test_networks_and_refusals():
    x = jax.random.normal(jax.random.key(0), (6, 8, 8))
    net = stability.convolutional(jax.random.key(1), (8, 8), 2, 3)
    data = stability.Data(x, jax.nn.one_hot(jnp.arange(6) % 3, 3))
    found = stability.train(
        jax.random.key(0), net, data, stability.Settings(0.05, 2), sampling="reshuffle", steps=40, every=20
    )
    assert found.trace["loss"][-1] < found.trace["loss"][0]
    assert "test_error" not in found.trace
    # the convolution is a convolution
    kernel = net.first.weight.reshape(2, 3, 3)
    from scipy.signal import correlate2d

    from lab.stability.models import _patches

    np.testing.assert_allclose(
        net.first(_patches(x[0][:, :, None]))[..., 1], correlate2d(x[0], kernel[1], mode="same"), atol=1e-12
    )
    train = lambda **k: stability.train(jax.random.key(0), MODEL, DATA, **k)  # noqa: E731
    for match, more in (
        ("multiple of every", {"steps": 10, "every": 3}),
        ("learning_rate = 0", {"settings": stability.Settings(0.0)}),
        ("between 1 and", {"settings": stability.Settings(0.1, 0)}),
        ("at most n = 20", {"settings": stability.Settings(0.1, 21), "sampling": "without"}),
        ("momentum = 1", {"settings": stability.Settings(0.1, 1, 1.0)}),
        ("sampling = 'some'", {"sampling": "some"}),
        ("cannot track foo", {"track": ("foo",)}),
    ):
        with pytest.raises(ValueError, match=match):
            train(**more)
    with pytest.raises(ValueError, match="y has shape"):
        stability.train(jax.random.key(0), MODEL, DATA._replace(y=DATA.y[:, None]))
    lost = train(settings=stability.Settings(1e3), steps=400, every=100, track=("loss",))
    assert lost.diverged
    assert lost.reason == Reason.NOT_FINITE


@pytest.mark.slow
def test_an_optimizer_of_optax_takes_the_steps_that_optax_takes():
    import optax

    found = stability.train(
        jax.random.key(4),
        MODEL,
        DATA,
        stability.Settings(0.02),
        sampling="full",
        steps=8,
        every=4,
        track=("loss",),
        optimizer=optax.scale_by_adam(),
    )
    adam, params = optax.adam(0.02), (MODEL.a, MODEL.b)
    state = adam.init(params)
    slope = jax.grad(lambda p: ((DATA.x @ (p[0] * p[1]) - DATA.y) ** 2).mean() / 2)
    for _ in range(8):
        updates, state = adam.update(slope(params), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(found.params.a, params[0], atol=1e-12)
    np.testing.assert_allclose(found.params.b, params[1], atol=1e-12)


@pytest.mark.slow
def test_an_optimizer_goes_on_and_is_swept():
    import optax

    adam = optax.scale_by_adam()  # one object: another would be another program
    train = lambda steps, **more: stability.train(  # noqa: E731
        jax.random.key(4),
        MODEL,
        DATA,
        stability.Settings(0.02, 3),
        steps=8,
        every=4,
        track=("loss",),
        optimizer=adam,
        **more,
    )
    whole = train(8)
    half = train(8, loop=Chunked(lambda progress: progress.iteration >= 1))
    assert half.reason == Reason.STOPPED
    np.testing.assert_array_equal(train(8, state=half.state).params.a, whole.params.a)
    keys = jax.random.split(jax.random.key(1), 2)
    rates = jnp.array([0.01, 0.02])
    many = stability.sweep(keys, make, rates, (1, 4), steps=8, every=4, track=("loss",), optimizer=adam)
    model, data = make(keys[1])
    one = stability.train(
        keys[1], model, data, stability.Settings(0.02, 4), steps=8, every=4, track=("loss",), optimizer=adam
    )
    np.testing.assert_allclose(many.trace["loss"][1, 1, 1], one.trace["loss"], rtol=1e-9)


@pytest.mark.slow
def test_an_optimizer_with_a_rate_of_its_own_is_refused():
    import optax

    train = lambda settings, optimizer: stability.train(  # noqa: E731
        jax.random.key(4), MODEL, DATA, settings, steps=4, every=4, optimizer=optimizer
    )
    with pytest.raises(ValueError, match="the optimizer has a learning rate of its own"):
        train(stability.Settings(), optax.adam(1e-3))
    with pytest.raises(ValueError, match=r"settings.momentum and an optimizer were given"):
        train(stability.Settings(momentum=0.9), optax.scale_by_adam())
    with pytest.raises(ValueError, match="the optimizer needs more than gradients to take a step"):
        train(stability.Settings(), optax.lbfgs())

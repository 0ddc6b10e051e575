"""The training loop: what it learns, that it resumes bit for bit, and that every setting does what it says."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.numerics import Chunked, NotConverged, Reason
from lab.numerics.mixtures import gaussian, standard
from lab.paths.couplings import Assignment, Given, Independent, Pairs, Weighted, cost_between
from lab.paths.fields import exact
from lab.paths.laws import Joint
from lab.paths.network import Perceptron, Residual, time_features
from lab.paths.sampling import ode
from lab.paths.schedules import Brownian, Linear, Trigonometric
from lab.paths.training import Settings, draw, loss, prepare, train

KEY = jax.random.key(0)
SOURCE, DATA = standard(2), gaussian(jnp.asarray([2.0, -1.0]), jnp.asarray([[0.6, 0.3], [0.3, 0.4]]))
NETWORK = Perceptron(jax.random.key(1), 2, width=32, depth=2)
SETTINGS = Settings(learning_rate=1e-2, anneal=1.0)


def learn(loop=None, steps=1500, state=None, settings=SETTINGS):
    loop = Chunked() if loop is None else loop
    return train(KEY, NETWORK, SOURCE, DATA, settings=settings, steps=steps, batch=128, state=state, loop=loop)


@pytest.fixture(scope="module")
def trained():
    return learn()


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.slow
def test_it_learns_the_exact_velocity(trained):
    assert trained.reason == Reason.CONVERGED
    assert trained.loss.shape == trained.ess.shape == (1500,)
    field = exact(Linear(), SOURCE, DATA)
    x0, x1 = SOURCE.sample(jax.random.key(5), 2000), DATA.sample(jax.random.key(6), 2000)
    excess, before, energy, floor = 0.0, 0.0, 0.0, 0.0
    for t in (0.1, 0.3, 0.5, 0.7, 0.9):
        x = (1 - t) * x0 + t * x1
        v = field(t, x).velocity
        excess += ((trained.average(jnp.asarray(t), x) - v) ** 2).sum(1).mean()
        before += ((NETWORK(jnp.asarray(t), x) - v) ** 2).sum(1).mean()
        energy += (v**2).sum(1).mean()
        floor += ((x1 - x0 - v) ** 2).sum(1).mean()
    assert excess < 0.01 * energy < 0.02 * before
    last = trained.loss[-300:]
    assert abs(last.mean() - floor / 5) < 0.15 * floor / 5
    np.testing.assert_allclose(trained.ess, 1, rtol=1e-14)


class Own(eqx.Module):
    """A network as users write them: equinox's, whose activation is a leaf."""

    mlp: eqx.nn.MLP

    def __call__(self, t, x):
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        return jax.vmap(self.mlp)(jnp.concatenate([x, t[:, None]], axis=1))


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained():
    net = Own(eqx.nn.MLP(3, 2, 8, 1, key=jax.random.key(2)))
    first = train(KEY, net, SOURCE, DATA, settings=SETTINGS, steps=20, batch=16, loop=Chunked())
    assert isinstance(first.average, Own)
    assert first.average.mlp.activation is net.mlp.activation
    assert ode(first.average, SOURCE.sample(KEY, 4), steps=2).end.shape == (4, 2)
    half = train(
        KEY, net, SOURCE, DATA, settings=SETTINGS, steps=20, batch=16, loop=Chunked(lambda p: p.iteration >= 5)
    )
    assert half.reason in (Reason.STOPPED, Reason.CONVERGED)
    rest = train(KEY, net, SOURCE, DATA, settings=SETTINGS, steps=20, batch=16, state=half.state, loop=Chunked())
    assert same(eqx.filter(rest.average, eqx.is_array), eqx.filter(first.average, eqx.is_array))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_end(trained):
    seen = []

    def report(progress):
        seen.append(progress.iteration)
        assert progress.state.average(jnp.zeros(1), jnp.ones((1, 2))).shape == (1, 2)
        return progress.iteration >= 300

    first = learn(Chunked(report))
    assert first.reason == Reason.STOPPED
    assert 300 <= first.iterations == seen[-1] < 1500
    rest = learn(state=first.state)
    assert rest.iterations == 1500 - first.iterations
    assert same(rest.state, trained.state)
    np.testing.assert_array_equal(np.r_[first.loss, rest.loss], trained.loss)


@pytest.mark.slow
def test_learning_rate_batch_size_and_seed_are_swept_by_vmap():
    rates, sizes, keys = jnp.asarray([1e-3, 1e-2, 3e-3]), jnp.asarray([16, 64, 40]), jax.random.split(KEY, 3)

    def one(rate, size, key):
        settings = Settings(learning_rate=rate, batch_size=size)
        return train(key, NETWORK, SOURCE, DATA, settings=settings, steps=30, batch=64)

    found = jax.vmap(one)(rates, sizes, keys)
    assert found.loss.shape == (3, 30)
    assert (found.reason == Reason.CONVERGED).all()

    @jax.jit
    def first(key, size):
        work = prepare(key, NETWORK, SOURCE, DATA, settings=Settings(batch_size=size), batch=64)
        batch = draw(work, jnp.int32(0))
        return batch, NETWORK(batch.t, (1 - batch.t)[:, None] * batch.x0 + batch.t[:, None] * batch.x1)

    for i, size in enumerate(sizes.tolist()):
        batch, guess = first(keys[i], sizes[i])
        assert (np.asarray(batch.live) == (np.arange(64) < size)).all()
        error = ((np.asarray(guess) - (np.asarray(batch.x1) - np.asarray(batch.x0))) ** 2).sum(1)
        np.testing.assert_allclose(found.loss[i, 0], error[:size].mean(), rtol=1e-10)
    assert len({float(each[-1]) for each in found.loss}) == 3


@pytest.mark.slow
def test_settings_by_hand():
    """Three steps of plain gradient descent with warm-up, annealing, clipping and the moving average, in NumPy's words."""
    settings = Settings(0.1, batch_size=20, decay=0.15, warmup=2.0, anneal=1.0, clip=3.0)
    options = {"coupling": Assignment(), "settings": settings, "steps": 3, "batch": 32, "optimizer": optax.identity()}
    network = Perceptron(jax.random.key(2), 2, width=4, depth=1, frequencies=1)
    found = train(KEY, network, SOURCE, DATA, **options, loop=Chunked())
    work = prepare(KEY, network, SOURCE, DATA, **options)
    model = average = jax.tree.map(np.asarray, network)
    pairs, alone = draw(work, jnp.int32(0)), draw(prepare(KEY, network, SOURCE, DATA, batch=32), jnp.int32(0))
    np.testing.assert_array_equal(pairs.x1, alone.x1)
    squares = [cost_between(each.x0, each.x1, "half-squared")[:20].mean() for each in (pairs, alone)]
    assert squares[0] < 0.9 * squares[1]
    clipped, network_of = 0, jax.jit(lambda model, t, x: model(t, x))
    drawn = jax.jit(lambda i: draw(work, i))
    slope_of = jax.jit(jax.grad(lambda model, batch: loss(model, work, batch)))
    for i in range(3):
        batch = drawn(jnp.int32(i))
        x = (1 - batch.t)[:, None] * batch.x0 + batch.t[:, None] * batch.x1
        error = ((network_of(model, batch.t, x) - (batch.x1 - batch.x0)) ** 2).sum(1)
        np.testing.assert_allclose(found.loss[i], error[:20].mean(), rtol=1e-10)
        slope = jax.tree.map(np.asarray, slope_of(model, batch))
        norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(slope)))
        clipped += norm > 3
        rate = 0.1 * min(1, (i + 1) / 2) * (1 + np.cos(np.pi * i / 3)) / 2 * min(1, 3 / norm)
        model = jax.tree.map(lambda w, g, rate=rate: w - rate * g, model, slope)
        decay = min(0.15, (1 + i) / (10 + i))
        average = jax.tree.map(lambda a, w, decay=decay: decay * a + (1 - decay) * w, average, model)
    assert clipped
    for got, wanted in ((found.model, model), (found.average, average)):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "target", ["velocity", *(pytest.param(name, marks=pytest.mark.slow) for name in ("denoiser", "noise", "latent"))]
)
def test_the_exact_field_is_the_minimum_of_every_loss(target):
    """loss(f + h) - loss(f) = E|h|^2 for any h of (t, x): what the target is left out of, is orthogonal to it."""
    schedule = Linear(Brownian(0.5))
    work = prepare(
        KEY, NETWORK, SOURCE, DATA, schedule, settings=Settings(earliest=0.4, latest=0.4), target=target, batch=20_000
    )
    field = exact(schedule, SOURCE, DATA)
    name = {"velocity": "velocity", "denoiser": "x1", "noise": "x0", "latent": "z"}[target]

    @jax.jit
    def looked():
        batch = draw(work, jnp.int32(0))

        def best(t, x):
            return getattr(field(0.4, x), name)

        return batch, loss(lambda t, x: best(t, x) + 0.7 * x, work, batch) - loss(best, work, batch)

    batch, apart = looked()
    assert (batch.t == 0.4).all()
    x = 0.6 * np.asarray(batch.x0) + 0.4 * np.asarray(batch.x1)
    spread = 0.49 * ((x**2).sum(1).mean() + 2 * 0.5 * 0.24)
    np.testing.assert_allclose(apart, spread, rtol=0.04)


@pytest.mark.slow
def test_weights_enter_the_loss_and_its_gradient():
    options = {"settings": Settings(batch_size=50), "batch": 64}
    work = prepare(KEY, NETWORK, SOURCE, DATA, coupling=Weighted(1.5), **options)
    batch = draw(work, jnp.int32(3))
    assert (batch.live == (jnp.arange(64) < 50)).all()
    w = jnp.exp(-jnp.linalg.norm(batch.x0 - batch.x1, axis=1) / 1.5)[:50]

    def raw(model):
        x = (1 - batch.t)[:, None] * batch.x0 + batch.t[:, None] * batch.x1
        return (w * ((model(batch.t, x) - (batch.x1 - batch.x0)) ** 2).sum(1)[:50]).mean()

    look = jax.jit(jax.value_and_grad(lambda model: loss(model, work, batch)))
    value, slope = look(NETWORK)
    plain, other = jax.jit(jax.value_and_grad(raw))(NETWORK)
    np.testing.assert_allclose(value, plain / w.mean(), rtol=1e-10)
    got, wanted = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in (slope, other))
    assert got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted) > 1 - 1e-10
    step = 1e-5
    up, down = (look(jax.tree.map(lambda a, s=s: np.asarray(a) + s, NETWORK))[0] for s in (step, -step))
    np.testing.assert_allclose(got.sum(), (up - down) / (2 * step), rtol=1e-6)


@pytest.mark.slow
def test_pairs_that_belong_together_stay_so():
    x0 = jax.random.normal(KEY, (40, 2))
    x1 = 3 * x0 + 1
    work = prepare(KEY, NETWORK, x0, x1, coupling=Given(), times=jnp.zeros(1), batch=64)
    batch = draw(work, jnp.int32(0))
    np.testing.assert_allclose(batch.x1, 3 * batch.x0 + 1)
    assert len(np.unique(np.asarray(batch.x0)[:, 0])) > 20
    np.testing.assert_array_equal(batch.t, 0)  # distillation of one Euler step
    np.testing.assert_allclose(
        loss(NETWORK, work, batch), ((batch.x0 + NETWORK(0.0, batch.x0) - batch.x1) ** 2).sum(1).mean(), rtol=1e-12
    )
    apart = draw(prepare(KEY, NETWORK, x0, x1, batch=64), jnp.int32(0))
    assert not np.allclose(apart.x1, 3 * apart.x0 + 1)
    law = Joint(jnp.ones(1), jnp.zeros((1, 2)), jnp.ones((1, 2)), jnp.ones(1), jnp.ones(1), 0.999 * jnp.eye(2)[None])
    joint = draw(prepare(KEY, NETWORK, law, batch=64), jnp.int32(0))
    assert jnp.abs(joint.x1 - joint.x0 - 1).max() < 0.3

    def own(key, x0, x1, live=None):  # a user's coupling: a plain function
        return Pairs(x0, x1 + 100, jnp.zeros(x0.shape[0]))

    assert (draw(prepare(KEY, NETWORK, x0, x1, coupling=own, batch=8), jnp.int32(0)).x1 > 50).all()


@pytest.mark.slow
def test_rows_come_as_often_as_their_masses():
    from lab.paths.laws import Empirical

    points = jnp.arange(4.0)[:, None] * jnp.ones((1, 2))
    masses = jnp.asarray([0.1, 0.0, 0.6, 0.3])
    batch = draw(prepare(KEY, NETWORK, SOURCE, Empirical(points, masses), batch=20_000), jnp.int32(0))
    counts = np.bincount(np.asarray(batch.x1[:, 0]).astype(int), minlength=4)
    np.testing.assert_allclose(counts / 20_000, masses, atol=4 * 0.5 / np.sqrt(20_000))
    assert counts[1] == 0


@pytest.mark.slow
def test_networks():
    t, x = jnp.asarray([0.0, 0.25, 1.0]), jax.random.normal(KEY, (3, 2))
    np.testing.assert_allclose(
        time_features(t, 2)[1], [0.25, np.cos(np.pi / 4), np.cos(np.pi / 2), np.sin(np.pi / 4), 1], atol=1e-12
    )
    for network in (
        Perceptron(KEY, 2, width=8, frequencies=2, dtype=jnp.float32),
        Residual(KEY, 2, width=8, depth=2, dtype=jnp.float32),
    ):
        y = network(t.astype(jnp.float32), x.astype(jnp.float32))
        assert y.dtype == jnp.float32
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(network))
        np.testing.assert_allclose(network(0.25, x.astype(jnp.float32))[1], y[1], atol=1e-6)
    # a linear layer by hand
    flat = Perceptron(KEY, 2, width=5, depth=1, activation=jnp.tanh)
    (a, b), (c, d) = ((layer.weight, layer.bias) for layer in flat.layers)
    h = np.tanh(np.c_[x, t] @ a.T + b[None])
    np.testing.assert_allclose(flat(t, x), h @ c.T + d[None], rtol=1e-12)


@pytest.mark.slow
def test_float32_stays_float32():
    x = jax.random.normal(KEY, (50, 2), jnp.float32)
    network = Perceptron(KEY, 2, width=8, depth=1, dtype=jnp.float32)
    found = train(
        KEY,
        network,
        x,
        x + 1,
        Trigonometric(),
        Weighted(1.0),
        Settings(batch_size=8),
        steps=2,
        batch=16,
        loop=Chunked(),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(found.average)} == {jnp.dtype("float32")}
    assert found.loss.dtype == found.ess.dtype == jnp.float32


@pytest.mark.slow
def test_refusals_and_a_loss_that_explodes():
    x = jnp.ones((3, 2))
    for change, kind, sentence in (
        ({"target": "speed"}, ValueError, "target = 'speed', but it must be one of 'velocity'"),
        ({"target": "latent"}, ValueError, "the schedule has no latent noise"),
        ({"steps": 0}, ValueError, "steps = 0"),
        ({"settings": Settings(-1.0)}, ValueError, "learning_rate = -1.0"),
        (
            {"settings": Settings(batch_size=300)},
            ValueError,
            "batch_size = 300, but it must be between 1 and batch = 256",
        ),
        ({"settings": Settings(decay=1.0)}, ValueError, "decay = 1.0"),
        ({"settings": Settings(earliest=0.7, latest=0.2)}, ValueError, "times from 0.7 to 0.2"),
        ({"data": jnp.ones((3, 4))}, ValueError, "the source has dimension 2 and the data 4"),
        ({"data": x.at[0, 0].set(jnp.nan)}, ValueError, "finite"),
        ({"data": jnp.ones((4, 2)), "coupling": Given()}, ValueError, "one shape"),
        ({"data": None}, TypeError, "without data the source must be a joint law"),
    ):
        with pytest.raises(kind, match=sentence):
            prepare(KEY, NETWORK, **({"source": x, "data": x} | change))
    network = Perceptron(KEY, 2, width=4, depth=1)
    with pytest.warns(NotConverged, match="infinite or NaN"):
        found = train(
            KEY,
            network,
            x,
            x,
            coupling=Independent(),
            settings=Settings(1e200),
            steps=20,
            batch=4,
            optimizer=optax.identity(),
        )
    assert found.reason == Reason.NOT_FINITE
    assert found.iterations < 20

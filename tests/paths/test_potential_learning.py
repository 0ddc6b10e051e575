"""Training of potentials: its loss against one written out by hand, what it learns, how it stops, and the VP score."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import paths
from lab.numerics import Chunked, NotConverged, Reason, pure
from lab.paths import autoencoder, predictability
from lab.paths import potential_learning as learning
from lab.paths.potential_learning import Batch, Settings
from lab.paths.potentials import Climb
from lab.studies.paths import traversals

KEY = jax.random.key(3)
RNG = np.random.default_rng(5)
W = jnp.asarray(RNG.normal(size=(5, 3)))
SIZES = {"times": 3, "batch": 12, "hidden": 6, "dtype": jnp.float64}


def linear(z):
    return W @ z


def bent(z):
    return jnp.tanh(W @ z)


def _lesson(pde="wave", decoder=linear, **changes):
    settings = changes.pop("settings", Settings(0.7, 1.3, 0.9, 1.1))
    return learning.prepare(KEY, decoder, 3, 3, pde, settings, **(SIZES | changes))


def _batch(n=2):
    rng = np.random.default_rng(7)
    t = jnp.asarray(rng.integers(0, 2, (3, n)), jnp.int32)
    return Batch(jnp.arange(3, dtype=jnp.int32), jnp.asarray(rng.normal(size=(3, n, 3))), t, jnp.zeros((3, n), bool))


@cache
def _losses(pde):
    """A lesson, and its loss as one program."""
    lesson = _lesson(pde)
    return lesson, jax.jit(lambda model, batch: learning.loss(model, lesson, batch))


@jax.jit
@partial(jax.vmap, in_axes=(0, 0))
@partial(jax.vmap, in_axes=(None, 0))
def _way(u, z):
    """Four points of a traversal, and the derivatives of u at the first three: Hessians whole."""

    def step(at, i):
        slope = jax.grad(u)(at, i)
        return at + slope, (at, slope)

    when = jnp.arange(3.0)
    end, (points, slope) = jax.lax.scan(step, z, when)
    laplacian = jax.vmap(lambda at, i: jnp.trace(jax.hessian(u)(at, i)))(points, when)
    rate = jax.vmap(jax.grad(u, argnums=1))(points, when)
    acceleration = jax.vmap(jax.grad(jax.grad(u, argnums=1), argnums=1))(points, when)
    return jnp.concatenate([points, end[None]]), slope, laplacian, rate, acceleration


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def _log_shares(classifier, pair):
    return jax.nn.log_softmax(classifier(pair))


def _by_hand(lesson, model, batch):
    """The loss written out: loops, NumPy."""
    squares, rest, change, entropy = [], [], [], []
    found = [np.asarray(each) for each in _way(model.landscape, batch.z)]
    for row, k in enumerate(batch.index):
        c = float(model.c[k])
        for way, slope, laplacian, rate, acceleration, t in zip(
            *(each[row] for each in found), batch.t[row], strict=True
        ):
            left = {
                "wave": acceleration - c**2 * laplacian,
                "heat": rate - c**2 * laplacian,
                "hamilton-jacobi": rate + (slope**2).sum(axis=1) / 2,
                "none": np.zeros(3),
            }[lesson.pde]
            squares.extend(left**2)
            rest.append((slope[0] ** 2).sum())
            j = int(t) + 1
            push = np.asarray(W) @ slope[j]
            change.append((push**2).mean())  # of a linear generator: mean((W v)^2)
            pair = jnp.asarray(np.concatenate([np.asarray(W) @ way[j], np.asarray(W) @ way[j + 1]]))
            entropy.append(-float(_log_shares(model.classifier, pair[None])[0, k]))
    s = lesson.settings
    ic = np.mean(rest) if lesson.pde == "wave" else 0.0
    physics = float(s.weight_rest) * ic + np.mean(squares) - float(s.weight_jvp) * np.mean(change)
    return float(s.weight_class) * np.mean(entropy) + float(s.weight_pde) * physics, np.mean(squares), np.mean(change)


@pytest.mark.parametrize("pde", ["wave", "hamilton-jacobi", pytest.param("heat", marks=pytest.mark.slow), "none"])
def test_the_loss_is_that_of_the_formula(pde):
    (lesson, loss), batch = _losses(pde), _batch()
    model = lesson.model._replace(c=jnp.array([0.8, 1.2, -1.1]))
    value, terms = loss(model, batch)
    expected, squares, change = _by_hand(lesson, model, batch)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(terms.residual, squares, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(terms.jvp, change, rtol=1e-9)


@pytest.mark.slow
def test_a_detached_way_still_teaches_by_its_last_move():
    """The same loss; and the slope is that of points that are held fixed, from which one moves on."""
    whole, held, batch = _lesson(), _lesson(detach=True), _batch()

    def looked(lesson):
        def taught(model):
            value, terms = learning.loss(model, lesson, batch)
            return terms.ce, value

        slope, value = jax.jit(jax.grad(taught, has_aux=True))(lesson.model)
        return value, slope.landscape

    (value, full), (other, found) = looked(whole), looked(held)
    np.testing.assert_allclose(value, other, rtol=1e-12)

    @jax.jit
    @jax.grad
    def by_hand(landscape):
        def entropy(u, k, z, t):
            way = [z]
            for i in range(3):
                at = jax.lax.stop_gradient(way[-1])
                way.append(at + jax.grad(u)(at, jnp.asarray(float(i))))
            seen = jnp.stack(way) @ W.T
            scores = held.model.classifier(jnp.concatenate([seen[t + 1], seen[t + 2]]))
            return -jax.nn.log_softmax(scores)[k]

        of_rows = jax.vmap(jax.vmap(entropy, (None, None, 0, 0)))
        return of_rows(learning.one(landscape, batch.index), batch.index, batch.z, batch.t).mean()

    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(found)) > 1e-4
    for one, other in zip(*map(jax.tree.leaves, (found, by_hand(held.model.landscape))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)
    apart = [np.abs(np.asarray(a) - b).max() for a, b in zip(*map(jax.tree.leaves, (found, full)), strict=True)]
    assert max(apart) > 1e-6


def test_the_names_of_potentials_do_not_matter():
    """Indices and labels permuted alike leave the loss as it is."""
    import equinox as eqx

    (lesson, loss), batch, order = _losses("wave"), _batch(), jnp.array([2, 0, 1])
    value, _ = loss(lesson.model, batch)
    model = lesson.model
    last = model.classifier.layers[2]
    other = model._replace(
        landscape=learning.one(model.landscape, order),
        c=model.c[order],
        classifier=eqx.tree_at(
            lambda each: (each.layers[2].weight, each.layers[2].bias),
            model.classifier,
            (last.weight[order], last.bias[order]),
        ),
    )
    back = batch._replace(index=jnp.argsort(order)[batch.index].astype(jnp.int32))
    np.testing.assert_allclose(loss(other, back)[0], value, rtol=1e-12)
    assert abs(float(loss(other, batch)[0] - value)) > 1e-6


def test_the_change_of_the_output_is_its_derivative():
    """Of a generator that bends, by finite differences; and a reflected pair is that about the start."""
    lesson, z, t = _lesson("none", bent), jnp.array([0.3, -0.5, 0.8]), jnp.int32(1)
    u = learning.one(lesson.model.landscape, 1)
    seen = learning.roll(lesson, u, lesson.model.c[1], z, t, jnp.asarray(False))
    way = [z]
    for i in range(3):
        way.append(way[-1] + jax.grad(u)(way[-1], jnp.asarray(float(i))))
    slope, h = jax.grad(u)(way[2], jnp.asarray(2.0)), 1e-5
    differences = (bent(way[2] + h * slope) - bent(way[2] - h * slope)) / (2 * h)
    np.testing.assert_allclose(seen.change, (differences**2).mean(), rtol=1e-7)
    np.testing.assert_allclose(seen.pair, jnp.concatenate([bent(way[2]), bent(way[3])]), rtol=1e-12)
    np.testing.assert_allclose(seen.displacement, jnp.linalg.norm(way[3] - z), rtol=1e-12)
    mirrored = learning.roll(lesson, u, lesson.model.c[1], z, t, jnp.asarray(True))
    np.testing.assert_allclose(mirrored.pair, jnp.concatenate([bent(2 * z - way[3]), bent(2 * z - way[2])]), rtol=1e-12)


def test_a_step_draws_as_told():
    own, shared = _lesson(shared=False), _lesson(shared=True, settings=Settings(reflect=1.0))
    rows, alike = learning.draw(own, KEY), learning.draw(shared, KEY)
    assert rows.z.shape == (3, 4, 3)
    assert rows.index.tolist() == [0, 1, 2]
    assert set(np.unique(rows.t)) <= {0, 1}
    assert not rows.mirrored.any()
    assert alike.z.shape == (1, 12, 3)
    assert len(np.unique(alike.t)) == 1
    assert alike.mirrored.all()
    drawn = jax.jit(jax.vmap(lambda key: learning.draw(shared, key).index[0]))(jax.random.split(KEY, 40))
    assert set(drawn.tolist()) == {0, 1, 2}


@pytest.fixture(scope="module")
def taught():
    """Three potentials in three dimensions, in a second."""
    return _taught(Chunked())


def _taught(loop, steps=300, state=None, pde="wave"):
    settings = Settings(learning_rate=5e-3, weight_jvp=0.01)
    return learning.train(
        loop,
        KEY,
        bent,
        3,
        3,
        pde,
        settings,
        times=3,
        steps=steps,
        batch=48,
        hidden=16,
        shared=False,
        state=state,
        dtype=jnp.float64,
    )


@pytest.mark.slow
def test_waves_are_learned_from_rest_and_told_apart(taught):
    assert int(taught.reason) == Reason.CONVERGED
    mean = {name: float(each[-50:].mean()) for name, each in taught.trace.items()}
    assert mean["accuracy"] > 0.9
    assert mean["ic"] < 0.5 * float(taught.trace["ic"][0])
    assert mean["residual"] < 0.2
    np.testing.assert_array_equal(taught.model.landscape.amp, 3.0)  # no weight
    assert np.abs(np.asarray(taught.model.c) - 1).max() > 1e-3


@pytest.mark.slow
def test_a_training_stops_and_resumes_bit_for_bit(taught):
    stopped = _taught(Chunked(lambda progress: progress.iteration >= 120, seconds=0.02))
    assert stopped.reason == Reason.STOPPED
    at = int(stopped.iterations)
    assert 120 <= at < 300
    assert np.isnan(stopped.trace["loss"][at:]).all()
    resumed = _taught(Chunked(), state=stopped.state)
    for a, b in zip(jax.tree.leaves(resumed.model), jax.tree.leaves(taught.model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_ways_there_and_back(taught):
    u = learning.one(taught.model.landscape, 1)
    z = jnp.asarray(RNG.normal(size=(4, 3)))
    there = learning.traverse(pure, u, z, jnp.linspace(0.0, 3.0, 61), "rk4").end
    back = learning.traverse(pure, u, there, jnp.linspace(3.0, 0.0, 61), "rk4").end
    np.testing.assert_allclose(back, z, atol=1e-4)
    assert np.abs(there - z).max() > 0.1
    both = learning.Ways(taught.model.landscape)(1.0, jnp.broadcast_to(z, (3, 4, 3)))
    np.testing.assert_allclose(both[1], Climb(u)(1.0, z), rtol=1e-12)
    np.testing.assert_allclose(both[1][:1], Climb(u)(1.0, z[:1]), rtol=1e-12)  # samples don't mix
    with pytest.raises(ValueError, match="trained from 0 to 3"):
        learning.traverse(pure, u, z, jnp.linspace(0.0, 3.5, 5))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_training():
    def poles(z):
        return jnp.log(jnp.abs(W @ z)) * jnp.where(z[0] > 2.0, jnp.nan, 1.0)

    with pytest.warns(NotConverged, match="infinite or NaN"):
        made = learning.train(pure, KEY, poles, 3, 3, "none", steps=400, **(SIZES | {"batch": 48}))
    assert int(made.reason) == Reason.NOT_FINITE
    at = int(made.iterations) - 1
    assert not np.isfinite(made.trace["jvp"][at])  # the term that failed is told


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("d = 0, count = 3", {"d": 0}),
        ("one potential needs no classifier", {"count": 1}),
        ("times = 1, but a traversal needs at least 2", {"times": 1}),
        ("pde = 'sound', but it must be one of", {"pde": "sound"}),
        ("batch = 2, but each of 3 potentials", {"batch": 2, "shared": False}),
        ("the generator fails on a latent point of 4 numbers", {"d": 4}),
        (r"not finite at z = \(0\.5", {"decoder": lambda z: z * jnp.nan}),
        ("an array of real numbers", {"decoder": lambda z: jnp.int32(1)}),
    ],
)
def test_what_can_not_be_trained_is_refused(match, change):
    given = {"decoder": linear, "d": 3, "count": 3, "pde": "wave", **SIZES} | change
    with pytest.raises(ValueError, match=match) as caught:
        learning.prepare(KEY, given.pop("decoder"), given.pop("d"), given.pop("count"), given.pop("pde"), **given)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_one_potential_has_no_classifier():
    lesson = learning.prepare(KEY, linear, 3, 1, "heat", Settings(weight_class=0.0), **SIZES)
    assert lesson.model.classifier is None
    terms = jax.jit(lambda key: learning.loss(lesson.model, lesson, learning.draw(lesson, key))[1])(KEY)
    assert float(terms.ce) == 0
    assert np.isfinite(float(terms.residual))


# --- the generator ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_autoencoder_learns_a_line_of_images():
    s = RNG.uniform(-1, 1, size=(200, 1))
    x = 1 / (1 + np.exp(-3 * s * RNG.normal(size=(1, 6))))
    told = {}

    def keep(recipe, like, make):
        told.update(recipe)
        return make()

    made = autoencoder.train(x, 2, 300, 0, hidden=16, batch=32, learning_rate=1e-2, loop=Chunked(), keep=keep)
    assert made.reason == Reason.CONVERGED
    assert told["sizes"] == [6, 16, 2]
    assert float(autoencoder.error(made.model, jnp.asarray(x))) < 0.1 * x.var(axis=0).mean()
    stopped = autoencoder.train(x, 2, 300, 0, hidden=16, batch=32, loop=Chunked(lambda progress: True))
    assert stopped.reason == Reason.STOPPED
    assert np.isnan(stopped.loss).any()
    for bad, match in ((x * 3, "between 0 and 1"), (x * np.nan, "finite")):
        with pytest.raises(ValueError, match=match):
            autoencoder.train(bad, 2, 10, 0)
    with pytest.raises(ValueError, match="latent = 0"):
        autoencoder.autoencoder(KEY, 6, 0)


def test_the_bound_is_that_of_the_formula():
    model = autoencoder.autoencoder(KEY, 4, 2, 5)
    x, noise = jnp.asarray(RNG.uniform(size=(3, 4))), jnp.asarray(RNG.normal(size=(3, 2)))
    expected = 0.0
    for row, e in zip(x, noise, strict=True):
        mean, log = model.encoder(row)
        error = ((row - model.decoder(mean + jnp.exp(log / 2) * e)) ** 2).sum()
        s = np.exp(np.asarray(log) / 2)
        expected += 50 * float(error) + float((-np.log(s) + (s**2 + np.asarray(mean) ** 2 - 1) / 2).sum())
    np.testing.assert_allclose(autoencoder.negative_elbo(model, x, noise, 50.0), expected / 3, rtol=1e-10)


def test_a_linear_generator_has_the_covariance_of_its_data():
    x = RNG.normal(size=(50, 2)) @ RNG.normal(size=(2, 5)) + 1.0
    made = traversals.linear_generator(x, 2)
    np.testing.assert_allclose(made.axes @ made.axes.T, np.cov(x.T, bias=True), atol=1e-10)
    np.testing.assert_allclose(made(jnp.zeros(2)), x.mean(axis=0), atol=1e-12)
    with pytest.raises(ValueError, match="vary along 2 axes"):
        traversals.linear_generator(x, 3)


# --- the score --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_score_is_1_for_what_differs_and_chance_for_what_does_not():
    labels = jnp.asarray(RNG.integers(0, 3, 600))
    before = RNG.normal(size=(600, 4))
    axes = np.eye(3, 4)[np.asarray(labels)]
    apart, alike = np.hstack([before, before + 4 * axes]), np.hstack([before, before + RNG.normal(size=(600, 4))])
    found = predictability.score(pure, KEY, jnp.asarray(np.stack([apart, alike])), labels, 3)
    assert float(found.accuracy[0]) > 0.97
    assert abs(float(found.accuracy[1]) - 1 / 3) < 5 * float(found.error[1])
    with pytest.raises(ValueError, match="at least 10 pairs"):
        predictability.score(pure, KEY, jnp.asarray(apart[None, :3]), labels[:3], 3)


def test_a_stacked_path_is_what_carry_makes():
    lesson = _lesson()
    z = jnp.asarray(RNG.normal(size=(4, 3)))
    run = paths.carry(
        pure, learning.Ways(lesson.model.landscape), jnp.broadcast_to(z, (3, 4, 3)), jnp.arange(4.0), solver="euler"
    )
    u, at = learning.one(lesson.model.landscape, 2), z[0]
    for i in range(3):
        at = at + jax.grad(u)(at, jnp.asarray(float(i)))
        np.testing.assert_allclose(run.x[i + 1, 2, 0], at, rtol=1e-12)

"""Training with terms of the solver, in small: what it learns, that it resumes, that terms that are 0 change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import Chunked, Reason
from lab.ode import learning, stochastic
from lab.ode.learning import Samples, Settings, classifier, learn, look

RNG = np.random.default_rng(3)


def rings(n):
    """A disc within a ring, which no field in the plane can part without bending."""
    y = np.arange(n) % 2
    radius = np.where(y == 0, 0.7 * np.sqrt(RNG.uniform(size=n)), RNG.uniform(1.2, 1.8, n))
    angle = RNG.uniform(0, 2 * np.pi, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y.astype(np.int32)


(X, Y), (X_TEST, Y_TEST) = rings(60), rings(40)
SAMPLES = Samples(*map(jnp.asarray, (X, Y, X_TEST, Y_TEST)))
MODEL = classifier(jax.random.key(0), 2, 8, 2)


def trained(kind="ER", strength=1.0, steps=6, loop=None, state=None, **more):
    settings = Settings(strength=strength, **more)
    return learn(
        jax.random.key(1),
        MODEL,
        SAMPLES,
        settings,
        kind=kind,
        steps=steps,
        batch=30,
        max_steps=12,
        loop=Chunked() if loop is None else loop,
        state=state,
    )


def same(a, b):
    return all(np.array_equal(one, two) for one, two in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.slow
def test_a_training_stops_and_goes_on_bit_for_bit():
    whole = trained()
    assert whole.reason == Reason.CONVERGED
    half = trained(loop=Chunked(lambda told: told.iteration >= 2))
    assert half.reason == Reason.STOPPED
    assert np.isnan(half.seen.loss[-1])
    rest = trained(state=half.state)
    assert same(rest.model, whole.model)
    assert np.isfinite(whole.seen.test_accuracy).sum() == 3  # at ends of epochs of two steps
    assert (np.asarray(whole.seen.nfe) % 6 == 1).all()


@pytest.mark.slow
def test_a_strength_of_0_and_an_end_that_is_not_random_are_vanilla():
    """Bit for bit what is trained without a term; a strength of 0 in another program to rounding."""
    vanilla = trained("vanilla", 1.0)
    nothing = trained("ER", 0.0)
    for one, two in zip(jax.tree.leaves(vanilla.model), jax.tree.leaves(nothing.model), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-14)
    steer = trained("STEER", 1.0, spread=0.0)
    for one, two in zip(jax.tree.leaves(vanilla.model), jax.tree.leaves(steer.model), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-14)
    assert not same(trained("STEER", 1.0, spread=0.5).model, vanilla.model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ER+SR", "local", "Tay2"])
def test_the_slope_of_the_loss_is_a_finite_difference(kind):
    """In the direction of a weight, where lengths of steps are differentiated too (a fixed tolerance, no step changes)."""
    lesson = learning.Lesson(
        jax.random.key(1),
        MODEL,
        SAMPLES,
        Settings(*map(jnp.asarray, Settings(strength=0.5))),
        jnp.int32(1),
        kind,
        "mean",
        30,
        True,
        12,
    )

    def loss(shift):
        dynamics = MODEL.dynamics
        moved = learning.Dynamics(dynamics.first + shift, dynamics.first_bias, dynamics.second, dynamics.second_bias)
        model = learning.Classifier(moved, MODEL.head, MODEL.bias)
        return learning.loss(model, lesson, jax.random.key(2), SAMPLES.x, SAMPLES.y, 0.5)[0]

    value = jax.jit(jax.value_and_grad(loss))
    _, slope = value(0.0)
    apart = (value(1e-6)[0] - value(-1e-6)[0]) / 2e-6
    assert float(slope) == pytest.approx(float(apart), rel=2e-4, abs=1e-8)


@pytest.mark.slow
def test_what_is_seen_of_a_classifier():
    found = look(MODEL, SAMPLES, 1e-6, 9, 12)
    assert found.ways.shape == (9, 40, 2)
    np.testing.assert_allclose(found.ways[0], X_TEST, atol=1e-12)
    np.testing.assert_allclose(found.ways[-1], found.steps.y, atol=1e-12)
    right = (MODEL.logits(found.steps.y).argmax(axis=1) == Y_TEST).mean()
    assert float(found.accuracy) == pytest.approx(float(right))
    assert np.isfinite([float(found.train_accuracy), float(found.train_ce)]).all()
    short = look(MODEL, SAMPLES, 1e-6, 9, 2)  # two steps don't lead to the end
    numbers = short.accuracy, short.ce, short.train_accuracy, short.train_ce
    assert np.isnan([float(number) for number in numbers]).all()


def test_trainings_that_can_not_be_are_refused():
    for values, said in (
        ({"batch": 61}, "batch = 61"),
        ({"steps": 0}, "steps = 0"),
        ({"settings": Settings(spread=1.0)}, "spread = 1.0"),
        ({"settings": Settings(strength=-1.0)}, "strength = -1, but a number of at least 0"),
        ({"settings": Settings(tolerance=0.0)}, "tolerance = 0, but a positive number"),
        ({"settings": Settings(learning_rate=float("nan"))}, "learning_rate = nan"),
    ):
        with pytest.raises(ValueError, match=said):
            learn(jax.random.key(1), MODEL, SAMPLES, **({"batch": 30} | values))
    with pytest.raises(ValueError, match="equations with noise take"):
        stochastic.learn(jax.random.key(0), MODEL, stochastic.Moments(X, X), kind="Tay2")
    with pytest.raises(ValueError, match=r"strength = -0\.2, but a number of at least 0"):
        stochastic.learn(jax.random.key(0), MODEL, stochastic.Moments(X, X), strength=-0.2)


class Line(stochastic.Spiral):
    """dz = -3 z dt + 0.5 z dW, of Stratonovich."""

    def drift(self, t, z):
        return -3 * z

    def diffusion(self, t, z):
        return 0.5 * z


@pytest.mark.slow
def test_steps_with_noise_follow_the_path():
    """Of a line the solution is known: z exp(-3 t + W/2). Steps that are rejected are tried again on the same path."""
    key = jax.random.key(4)
    found = stochastic.carried(Line(), key, 50, 1e-3, times=2, max_steps=256)
    assert found.converged
    assert int(found.rejected) > 0
    w = stochastic.noise(key, (50, 2)).evaluate(0.0, 1.0, use_levy=True).W
    np.testing.assert_allclose(found.y, np.exp(-3 + 0.5 * w) * np.array([2.0, 0.0]), atol=5e-3)
    S = np.asarray(found.rows.S)[np.asarray(found.rows.accepted)]
    np.testing.assert_allclose(S, 3, rtol=1e-8)  # the stiffness of a linear drift is exact


@pytest.mark.slow
def test_moments_of_the_spiral():
    """The mean of u1 + u2 has no noise in its drift: for small times E u = u0 + t f(u0), Var u1 = g^2 u1^2 t."""
    short = stochastic.known_moments(stochastic.Spiral(), jax.random.key(0), 4000, 50, 4)
    t = 1 / 50
    np.testing.assert_allclose(short.mean[0], [2 - 0.1 * 8 * t, -2 * 8 * t], atol=0.03)
    assert float(short.variance[0, 0]) == pytest.approx(0.04 * 4 * t, rel=0.1)

"""Conversions: every form from every other against the exact field, on six schedules; coordinates there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.paths import convert, fields, sampling
from lab.paths.laws import Mixture, standard
from lab.paths.schedules import VE, VP, Brownian, ConstantSpeedVP, Linear, SubVP, Trigonometric

TARGET = Mixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[0.3, 0.5], [0.6, 0.2]])
SCHEDULES = [Linear(), Trigonometric(), VP(), SubVP(), VE(), ConstantSpeedVP()]
X = jax.random.normal(jax.random.key(0), (4, 2))


def named(schedule):
    return type(schedule).__name__


def forms(schedule, t, x):
    found, c = fields.exact(schedule, standard(2), TARGET)(t, x), schedule(t)
    return {
        "denoiser": found.x1,
        "noise": found.x0,
        "score": found.score,
        "velocity": found.velocity,
        "v": c.beta * found.x0 - c.alpha * found.x1,
    }


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES, ids=named)
def test_every_form_from_every_other(schedule):
    values = forms(schedule, 0.4, X)
    for have in convert.FORMS:
        for want in convert.FORMS:
            found = convert.convert(schedule, 0.4, X, values[have], have, want)
            np.testing.assert_allclose(found, values[want], rtol=1e-10, atol=1e-12, err_msg=f"{have} to {want}")


def test_no_division_by_zero_at_the_ends():
    start, end = forms(Linear(), 0.0, X), forms(Linear(), 1.0, X)
    for have in ("denoiser", "velocity", "v"):
        for want in convert.FORMS:
            found = convert.convert(Linear(), 0.0, X, start[have], have, want)
            np.testing.assert_allclose(found, start[want], atol=1e-12)
    for have in ("noise", "velocity", "v"):
        for want in ("denoiser", "noise", "velocity", "v"):
            found = convert.convert(Linear(), 1.0, X, end[have], have, want)
            np.testing.assert_allclose(found, end[want], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES, ids=named)
def test_coordinates_of_another_schedule(schedule):
    field = fields.exact(schedule, standard(2), TARGET)
    for other in (Linear(), VE()):
        t, x = convert.change(schedule, other, 0.4, X)
        np.testing.assert_allclose(convert.sigma(other, t), convert.sigma(schedule, 0.4), rtol=1e-12)
        own = fields.exact(other, standard(2), TARGET)(t, x)
        np.testing.assert_allclose(own.x1, field(0.4, X).x1, atol=1e-12)
        seen = convert.as_seen(field, schedule, other)
        np.testing.assert_allclose(seen(t, x), own.velocity, rtol=1e-9, atol=1e-10)
        back, y = convert.change(other, schedule, t, x)
        np.testing.assert_allclose(back, 0.4, atol=1e-12)
        np.testing.assert_allclose(y, X, atol=1e-12)


@pytest.mark.slow
def test_a_field_taken_along_samples_the_same_map():
    field = fields.exact(VP(), standard(2), TARGET)
    straight = sampling.ode(convert.as_seen(field, VP(), Linear()), X, 60, interval=(0.01, 1 - 1e-6), keep=False).end
    exact = sampling.ode(fields.exact(Linear(), standard(2), TARGET), X, 60, interval=(0.01, 1 - 1e-6), keep=False).end
    np.testing.assert_allclose(straight, exact, atol=1e-9)


def test_the_time_of_a_noise_level():
    t = jnp.asarray([0.1, 0.5, 0.9])
    np.testing.assert_allclose(convert.time_of(VP(), convert.sigma(VP(), t)), t, atol=1e-12)
    np.testing.assert_allclose(convert.time_of(Linear(), jnp.asarray([jnp.inf, 1.0, 0.0])), [0, 0.5, 1], atol=1e-15)
    first, x = convert.change(Linear(), Trigonometric(), 0.0, X)
    assert first == 0
    np.testing.assert_array_equal(x, X)
    assert convert.time_of(VP(), jnp.float32(2.0)).dtype == jnp.float32


def test_refusals():
    with pytest.raises(ValueError, match="have = 'flow'"):
        convert.convert(Linear(), 0.5, X, X, "flow", "score")
    with pytest.raises(ValueError, match="there is no data in x"):
        convert.convert(Linear(), 0.0, X, X, "noise", "denoiser")
    with pytest.raises(ValueError, match="there is no noise in x"):
        convert.convert(Linear(), 1.0, X, X, "denoiser", "velocity")
    with pytest.raises(ValueError, match="score is that of the data"):
        convert.convert(Linear(), 1.0, X, X, "velocity", "score")
    with pytest.raises(ValueError, match="latent noise"):
        convert.convert(Linear(Brownian()), 0.5, X, X, "noise", "score")

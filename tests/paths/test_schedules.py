"""Schedules: derivatives, ends, and a user's own against the built-in ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.paths import schedules
from lab.paths.schedules import (
    VE,
    VP,
    Brownian,
    Bump,
    ConstantSpeedVP,
    Custom,
    EncoderDecoder,
    ExpPolynomial,
    Linear,
    Mirror,
    Quadratic,
    SineSquared,
    SubVP,
    Trigonometric,
)

ALL = {
    "linear": Linear(),
    "linear brownian": Linear(Brownian(2.0)),
    "linear polynomial": Linear(ExpPolynomial(np.array([0.3, -0.5, 0.2]))),
    "trigonometric": Trigonometric(),
    "trigonometric brownian": Trigonometric(Brownian(0.7)),
    "trigonometric quadratic": Trigonometric(Quadratic(3.0)),
    "trigonometric bump": Trigonometric(Bump()),
    "constant speed": ConstantSpeedVP(),
    "vp": VP(),
    "sub-vp": SubVP(),
    "ve": VE(),
    "encoder-decoder": EncoderDecoder(),
    "encoder-decoder brownian": EncoderDecoder(Brownian(1.5)),
    "mirror": Mirror(SineSquared(0.8)),
    "custom": Custom(lambda t: (1 - t) ** 3, lambda t: jnp.sin(jnp.pi * t / 2), lambda t: (t * (1 - t)) ** 2),
}


@pytest.mark.parametrize("name", ALL)
def test_derivatives_are_those_of_the_values(name):
    schedule, h = ALL[name], 1e-5
    t = jnp.asarray([0.03, 0.2, 0.41, 0.55, 0.77, 0.96])  # clear of the kink of the encoder-decoder
    c, after, before = schedule(t), schedule(t + h), schedule(t - h)
    for value, slope in (("alpha", "d_alpha"), ("beta", "d_beta")):
        expected = (getattr(after, value) - getattr(before, value)) / (2 * h)
        np.testing.assert_allclose(getattr(c, slope), expected, rtol=1e-7, atol=2e-8)
    np.testing.assert_allclose(c.gg, (after.gamma**2 - before.gamma**2) / (4 * h), rtol=1e-7, atol=2e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_ends_and_shapes(name):
    schedule = ALL[name]
    c = schedule(jnp.asarray([[0.0, 0.5, 1.0]]))
    assert all(z.shape == (1, 3) for z in c)
    if name == "ve":
        np.testing.assert_allclose(c.alpha[0, [0, 2]], [50, 0.01], rtol=1e-12)
        return
    alpha = (0.0, 0.0) if name == "mirror" else (1.0, 0.0)
    beta = (1.0, 1.0) if name == "mirror" else (0.0, 1.0)
    tolerance = 0.007 if name in ("vp", "sub-vp") else 0  # beta(0) of the diffusions is not 0, by definition
    np.testing.assert_allclose(c.alpha[0, [0, 2]], alpha, rtol=0, atol=tolerance)
    np.testing.assert_allclose(c.beta[0, [0, 2]], beta, rtol=0, atol=tolerance)
    assert c.gamma[0, 0] == c.gamma[0, 2] == 0
    inside = schedules.inside(schedule, jnp.asarray([0.0, 1.0]))
    assert all(bool(jnp.isfinite(z).all()) for z in inside)


def test_where_the_derivative_is_infinite_the_product_has_its_limit():
    c = schedules.inside(ConstantSpeedVP(), 1.0)
    np.testing.assert_allclose(c.alpha * c.d_alpha, -1, rtol=1e-12)  # (1 - t^2)' / 2
    assert c.alpha < 1e-7
    vp = schedules.inside(VP(0.1, 20.0), 1.0)
    np.testing.assert_allclose(vp.alpha * vp.d_alpha, -0.05, rtol=1e-7)  # -beta beta' = -b0 / 2
    single = schedules.inside(ConstantSpeedVP(), np.float32(1))
    assert single.alpha.dtype == jnp.float32
    np.testing.assert_allclose(single.alpha * single.d_alpha, -1, rtol=1e-5)


def test_vp_preserves_the_variance_and_has_the_rate_of_its_equation():
    t = jnp.linspace(0, 1, 11)
    c = VP(0.1, 20.0)(t)
    np.testing.assert_allclose(c.alpha**2 + c.beta**2, 1, rtol=1e-14)
    np.testing.assert_allclose(c.d_beta / c.beta, (0.1 + 19.9 * (1 - t)) / 2, rtol=1e-13)
    np.testing.assert_allclose(c.beta[0], 0.0066, atol=5e-5)
    sub = SubVP(0.1, 20.0)(t)
    np.testing.assert_allclose(sub.alpha, 1 - sub.beta**2, atol=1e-15)


def test_trigonometric_with_latent_preserves_the_variance():
    c = Trigonometric(Brownian(2.0))(jnp.linspace(0, 1, 9))
    np.testing.assert_allclose(c.alpha**2 + c.beta**2 + c.gamma**2, 1, rtol=1e-14)


def test_a_custom_schedule_equals_the_built_in_one():
    own = Custom(lambda t: 1 - t, lambda t: t, lambda t: 2.0 * t * (1 - t))
    built_in = Linear(Brownian(2.0))
    t = jnp.linspace(0, 1, 7)  # with both ends
    for mine, theirs in zip(own(t), built_in(t), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-15)
    compiled = jax.jit(lambda schedule, t: schedule(t).gg)  # functions need no static argument
    np.testing.assert_allclose(compiled(own, t), built_in(t).gg, atol=1e-15)


@pytest.mark.slow
def test_numbers_are_traced_and_differentiable_up_to_the_ends():
    def total(a, t):
        c = Trigonometric(Brownian(a))(t)
        return c.gamma.sum() + (c.alpha * c.d_alpha).sum() + c.d_beta.sum()

    inner, h = jnp.asarray([0.2, 0.7]), 1e-6
    expected = (total(1.3 + h, inner) - total(1.3 - h, inner)) / (2 * h)
    np.testing.assert_allclose(jax.grad(total)(1.3, inner), expected, rtol=1e-7)
    assert jnp.isfinite(jax.grad(total)(1.3, jnp.asarray([0.0, 0.5, 1.0])))
    assert jax.vmap(lambda b: VP(0.1, b)(0.3).beta)(jnp.asarray([5.0, 20.0])).shape == (2,)


def test_interpolation_and_its_velocity():
    schedule = Linear(Brownian(0.5))
    x0, x1, z = jax.random.normal(jax.random.key(0), (3, 4, 2))
    t, h = jnp.asarray([0.1, 0.3, 0.6, 0.9]), 1e-6
    moved = schedules.interpolate(schedule, t + h, x0, x1, z) - schedules.interpolate(schedule, t - h, x0, x1, z)
    np.testing.assert_allclose(
        schedules.conditional_velocity(schedule, t, x0, x1, z), moved / (2 * h), rtol=1e-6, atol=1e-8
    )
    one = schedules.interpolate(schedule, 0.25, x0, x1)
    np.testing.assert_allclose(one, 0.75 * x0 + 0.25 * x1, rtol=1e-15)
    assert schedules.interpolate(schedule, 0.25, jnp.float32(x0), jnp.float32(x1)).dtype == jnp.float32


def test_refusals_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"alpha\(1\) = 0.5, but it must be 0"):
        Custom(lambda t: 1 - t / 2, lambda t: t)
    with pytest.raises(ValueError, match=r"gamma_squared\(0\) = 1"):
        Custom(lambda t: 1 - t, lambda t: t, lambda t: 1 - t)
    with pytest.raises(ValueError, match="not negative"):
        Custom(lambda t: 1 - t, lambda t: t * (2 * t - 1))
    with pytest.raises(TypeError, match="a function of the time"):
        Custom(lambda t: 1 - t, 2.0)
    with pytest.raises(ValueError, match="must not exceed 1"):
        Trigonometric(Brownian(4.1))
    with pytest.raises(ValueError, match="positive"):
        Brownian(-1.0)
    with pytest.raises(ValueError, match="positive"):
        VP(0.1, np.nan)

    class Nothing(schedules.Latent):
        def __call__(self, t):
            return jnp.zeros_like(t), jnp.zeros_like(t)

    with pytest.raises(ValueError, match="encoder-decoder"):
        EncoderDecoder(Nothing())


@pytest.mark.parametrize("latent", [SineSquared(1.0), Quadratic(4.0), Brownian(4.0)])
def test_a_latent_may_touch_one(latent):
    """In the middle only noise is left; the derivatives on both sides are those of the values, and means in the corner."""
    schedule = Trigonometric(latent)
    c = schedule(jnp.asarray([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(c.gamma, [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(c.alpha, [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(c.beta, [0, 0, 1], atol=1e-15)
    assert all(np.isfinite(each).all() for each in c)
    t, h = jnp.asarray([0.2, 0.49, 0.5 - 1e-3, 0.5 + 1e-3, 0.7]), 1e-6
    up, down = schedule(t + h), schedule(t - h)
    np.testing.assert_allclose(schedule(t).d_alpha, (up.alpha - down.alpha) / (2 * h), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(schedule(t).d_beta, (up.beta - down.beta) / (2 * h), rtol=1e-6, atol=1e-6)
    near = schedule(jnp.asarray([0.5 - 1e-6, 0.5 + 1e-6]))
    np.testing.assert_allclose(near.d_alpha.mean(), c.d_alpha[1], atol=1e-4)


def test_variance_exploding_noise_falls():
    with pytest.raises(ValueError, match="must fall to the data"):
        VE(50.0, 0.01)

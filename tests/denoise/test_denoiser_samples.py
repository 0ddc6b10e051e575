"""Samples from denoisers: the levels of the paper, both solvers, the fixed points of patch machines."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise
from lab.denoise import ELS, Given, Images, Network, Optimal, denoiser, sample
from lab.numerics import Chunked, NotConverged, Reason, pure
from lab.numerics.mixtures import gaussian

LAW = denoiser(gaussian(jnp.asarray([0.5, -0.25]), jnp.asarray([0.3, 0.05])), (1, 1, 2))
SPREAD = jnp.asarray([0.3, 0.05])


def test_the_levels_of_the_paper():
    levels = denoise.released_levels(10)
    given = [60.8, 25.7, 12.0, 6.17, 3.44, 2.04, 1.24, 0.724, 0.342, 0.0100, 0]
    np.testing.assert_allclose(levels, given, rtol=6e-3)
    np.testing.assert_allclose(denoise.edm_levels(18)[jnp.asarray([0, -2, -1])], [80, 0.002, 0], rtol=1e-12)
    ratios = denoise.geometric_levels(5, 0.1, 10.0)[:-1]
    np.testing.assert_allclose(ratios[1:] / ratios[:-1], np.full(4, 100 ** (-1 / 4)), rtol=1e-12)


def test_ddim_is_the_released_step_in_other_units():
    """Euler in VE coordinates against the formula of the sheet in VP coordinates."""
    levels = denoise.released_levels(10)
    abar = np.append(1 / (1 + np.asarray(levels[:-1]) ** 2), 1.0)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    found = sample(LAW, z / abar[0] ** 0.5, levels, keep=True)
    for i in range(10):
        x0 = LAW.x0_from_vp(z, abar[i])
        eps = LAW.eps(z, abar[i])
        np.testing.assert_allclose(found.path[i], x0, atol=1e-12)
        z = abar[i + 1] ** 0.5 * x0 + (1 - abar[i + 1]) ** 0.5 * eps
    np.testing.assert_allclose(found.x, x0, atol=1e-12)
    assert found.steps == 10
    assert found.reason == Reason.CONVERGED


def test_the_order_of_both_solvers():
    """The flow of a Gaussian: (x - mean) goes as the root of (variance + sigma^2)."""
    mean, spread = jnp.asarray([[0.5, -0.25]]), SPREAD[None]
    x, high, low = jnp.asarray([[3.0, -2.0]]), 2.0, 0.2
    wanted = mean + (x - mean) * jnp.sqrt((spread + low**2) / (spread + high**2))

    def error(solver, steps):
        levels = jnp.geomspace(high, low, steps + 1)
        run = denoise.sampling._WALK
        walk = denoise.sampling._Walk(LAW, x, levels, False, solver == "heun", False)
        state = run.init(walk)
        for _ in range(steps):
            state = run.step(walk, state)
        return float(jnp.abs(state.x - wanted).max())

    for solver, order in (("ddim", 1), ("heun", 2)):
        ratio = error(solver, 20) / error(solver, 40)
        assert 2**order * 0.9 < ratio < 2**order * 1.15


@pytest.mark.slow
def test_patches_end_where_the_theorem_says():
    """Black and white images: each pixel of a sample has the majority colour of its 3 x 3 window."""
    images = Images(np.stack([np.full((1, 8, 8), -1.0), np.full((1, 8, 8), 1.0)]))
    levels = denoise.geometric_levels(200, 1e-3, 20.0)
    x = denoise.start(jax.random.key(0), 20, 64, 20.0)
    found = np.asarray(sample(ELS(images, 3), x, levels).x).reshape(20, 8, 8)
    np.testing.assert_allclose(np.abs(found), np.ones_like(found), atol=1e-6)
    majority = sum(np.roll(found, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) > 0
    assert (majority == (found > 0)).mean() >= 0.95
    assert (np.abs(found.mean(axis=(1, 2))) < 0.999).sum() >= 4


def test_the_optimal_denoiser_memorises():
    pixels = np.random.default_rng(1).normal(size=(6, 1, 2, 2))
    x = denoise.start(jax.random.key(1), 12, 4, 10.0, vp=False)
    found = sample(Optimal(Images(pixels)), x, denoise.geometric_levels(60, 1e-3, 10.0)).x
    distance = np.sqrt(((np.asarray(found)[:, None] - pixels.reshape(6, 4)) ** 2).sum(2)).min(1)
    assert distance.max() < 1e-3


class Own(eqx.Module):
    """A network as users write them: a function is among its leaves."""

    mlp: eqx.nn.MLP

    def __call__(self, x, sigma):
        return jax.vmap(lambda image, s: self.mlp(jnp.append(image.ravel(), s)))(x, sigma).reshape(x.shape)


@pytest.mark.slow
@jax.numpy_rank_promotion("allow")
def test_samples_from_denoisers_of_ones_own():
    """A plain function, the same through ``denoiser``, a network, and a network as a core; each in both loops."""
    mean, spread = jnp.asarray([0.5, -0.25]).reshape(1, 1, 2), SPREAD.reshape(1, 1, 2)

    def best(x, sigma):  # the level divides, as one writes it first
        return (mean * sigma**2 + spread * x) / (spread + sigma**2)

    x, levels = denoise.start(jax.random.key(0), 2, 2, 5.0), denoise.geometric_levels(4, 0.1, 5.0)  # as many as columns
    wanted = sample(LAW, x, levels).x
    net = Own(eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(1)))
    core = lambda t, x: jnp.zeros_like(x)  # noqa: E731
    for each in (
        Given(best, (1, 1, 2)),
        denoiser(best, (1, 1, 2)),
        Given(net, (1, 1, 2)),
        Network(core, 1.0, (1, 1, 2)),
    ):
        found = [
            sample(each, x, levels, solver=solver, loop=loop).x
            for solver, loop in (("ddim", pure), ("heun", pure), ("ddim", Chunked()))
        ]
        np.testing.assert_array_equal(found[0], found[2])
        assert np.isfinite(found[1]).all()
        if each.name == "yours" and not isinstance(each.function, Own):
            np.testing.assert_allclose(found[0], wanted, atol=1e-12)
            jax.jit(lambda d, x: d(x, 1.0))(each, x)  # a pytree of numbers
    one = jax.vmap(lambda z: Given(best, (1, 1, 2))(z, 0.7))(x)
    np.testing.assert_allclose(one, LAW(x, 0.7), atol=1e-12)


@jax.numpy_rank_promotion("allow")
def test_a_level_meets_its_own_image_only():
    """Three images of 3 x 3, each with its level, by a function that lets a level broadcast over columns."""
    x, sigma = jax.random.normal(jax.random.key(0), (3, 1, 3, 3)), jnp.asarray([0.5, 1.0, 2.0])
    found = Given(lambda x, s: x / (1 + s**2), (1, 3, 3))(x, sigma)
    np.testing.assert_allclose(found, x / (1 + sigma**2)[:, None, None, None], rtol=1e-12)


@pytest.mark.slow
def test_clipping_reports_and_stops():
    far = denoiser(gaussian(jnp.asarray([3.0, 0.0]), 0.01), (1, 1, 2))
    x = denoise.start(jax.random.key(0), 3, 2, 60.8)
    levels = denoise.released_levels(10)
    path = np.asarray(sample(far, x, levels, clip=True, keep=True).path)
    assert path.max() == 1
    assert path.min() >= -1
    assert float(sample(far, x, levels).x.max()) > 2
    seen = []
    with pytest.warns(NotConverged):
        part = sample(LAW, x, levels, keep=True, loop=Chunked(lambda p: seen.append(p.iteration) or p.iteration == 3))
    assert seen == [1, 2, 3]
    assert part.steps == 3
    np.testing.assert_allclose(part.path[2], part.x)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sample(LAW, jnp.ones((1, 2)), jnp.asarray([1.0, 2.0])), "must fall"),
        (lambda: sample(LAW, jnp.ones((1, 2)), jnp.asarray([1.0])), "at least two"),
        (lambda: sample(LAW, jnp.ones((1, 2)), jnp.asarray([1.0, 0.0]), solver="euler"), "'ddim', 'heun'"),
        (lambda: sample(LAW, jnp.ones((1, 2)), jnp.asarray([1.0, 0.0]), solver="heun", clip=True), "goes with"),
        (lambda: denoise.released_levels(0), "steps = 0 is not allowed"),
        (lambda: denoise.edm_levels(5, 2.0, 1.0), "low must be at most high"),
        (lambda: Given(lambda x, s: x, (1, 1, 2), levels=(10.0, 0.1)), "the smallest sigma and then the largest"),
        (lambda: Given(lambda x, s: x, (1, 1, 2), levels=(float("nan"), 1.0)), "the smallest sigma and then"),
    ],
)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

"""Networks as denoisers: preconditioning, what the loss of the loop is, that they learn, and that weights are kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise
from lab.denoise import Images, Network, networks
from lab.numerics import Chunked, Reason
from lab.numerics.mixtures import standard
from lab.paths.laws import Empirical
from lab.paths.network import Residual
from lab.paths.schedules import Trigonometric
from lab.paths.training import draw, loss, prepare
from lab.store import weights
from lab.store.store import Store

KEY, SHAPE = jax.random.key(0), (1, 8, 8)
RNG = np.random.default_rng(3)
# images of two independent numbers: a brightness and a slope
PIXELS = 0.3 * (RNG.normal(size=(300, 1, 1, 1)) + RNG.normal(size=(300, 1, 1, 1)) * np.linspace(-1.5, 1.5, 8))
IMAGES = Images(jnp.asarray(np.broadcast_to(PIXELS, (300, *SHAPE)), jnp.float32))


@pytest.mark.slow
def test_preconditioning():
    each = Network(core=lambda noise, x: jnp.tanh(x) + noise[:, None], sigma_data=jnp.asarray(0.5), shape=SHAPE)
    each = eqx.tree_at(lambda e: e.core, each, Residual(KEY, 64, width=8, depth=1))
    x, s = jnp.asarray(RNG.normal(size=(2, 64))), 0.7
    root = (s**2 + 0.25) ** 0.5
    F = eqx.filter_jit(each.core)(jnp.full(2, np.log(s) / 4), x / root)
    np.testing.assert_allclose(each(x, s), 0.25 / root**2 * x + s * 0.5 / root * F, atol=1e-12)
    low, high = each.sigma_range
    assert low < 0.01
    assert high > 60.8
    with pytest.raises(ValueError, match="knows"):
        each(x, 1000.0)


@pytest.mark.slow
def test_the_loss_of_the_loop_is_the_weighted_loss_of_edm():
    s = 0.5
    core = Residual(KEY, 64, width=8, depth=1)
    core = eqx.tree_at(lambda e: e.last.weight, core, 0.1 * jnp.ones_like(core.last.weight))
    flow, data = networks.Flow(core, jnp.asarray(s)), Empirical(jnp.asarray(IMAGES.numbers()) / s)
    work = prepare(KEY, flow, standard(64), data, Trigonometric(), steps=1, batch=16, latent=False)
    batch = jax.jit(draw)(work, jnp.int32(0))
    theta = np.pi / 2 * (1 - np.asarray(batch.t))
    sigma, clean = s * np.tan(theta), s * np.asarray(batch.x1)
    D = Network(core=core, sigma_data=jnp.asarray(s), shape=SHAPE)
    x = clean + sigma[:, None] * np.asarray(batch.x0)
    found = eqx.filter_jit(D.denoise_each)(jnp.asarray(x), jnp.asarray(sigma))
    weight = (sigma**2 + s**2) / (sigma * s) ** 2
    wanted = (weight * ((np.asarray(found) - clean) ** 2).sum(1)).mean() * np.pi**2 / 4
    np.testing.assert_allclose(jax.jit(loss)(flow, work, batch), wanted, rtol=1e-9)


def test_a_convolution_is_one():
    x, w = jnp.asarray(RNG.normal(size=(2, 5, 6, 3))), jnp.asarray(RNG.normal(size=(27, 4)))
    wanted = jax.lax.conv_general_dilated(
        x, w.reshape(3, 3, 3, 4), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(networks._convolved(x, w), wanted, atol=1e-12)


@pytest.fixture(scope="module")
def learned():
    core = Residual(KEY, 64, width=64, depth=1, frequencies=3, dtype=jnp.float32)
    seen = []

    def report(progress):
        if not seen:
            seen.append(networks.network_of(progress.state, SHAPE))

    return core, denoise.learn(jax.random.key(1), core, IMAGES, steps=600, batch=64, loop=Chunked(report)), seen[0]


@pytest.mark.slow
def test_a_network_comes_close_to_the_best_denoiser(learned):
    """The images are Gaussian, so that the Wiener filter is the best denoiser."""
    _, done, early = learned
    assert done.denoiser.core.first.weight.dtype == jnp.float32
    best = denoise.Wiener(denoise.spectrum(IMAGES), SHAPE)
    clean = IMAGES.numbers(dtype=jnp.float32)[:64]
    errors = [each.mse_curve(clean, [1.0, 2.5], jax.random.key(2)).mean for each in (best, done.denoiser, early)]
    assert (errors[1] < 2 * errors[0]).all()
    assert (errors[1] < 0.7 * errors[2]).all()
    assert float(done.loss[-50:].mean()) < 0.5 * float(done.loss[:5].mean())


@pytest.mark.slow
def test_its_sensitivity_is_a_row_of_its_jacobian(learned):
    each, x = learned[1].denoiser, IMAGES.numbers(dtype=jnp.float32)[:1]
    step = 1e-2 * jnp.zeros_like(x).at[0, 20].set(1)
    slope = (each(x + step, 0.5) - each(x - step, 0.5))[0, 27] / 2e-2
    np.testing.assert_allclose(each.sensitivity(x, 0.5, 27)[0, 20], slope, atol=2e-3)
    assert each(x, jnp.asarray([0.5])).dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["U-Net", "transformer"])
def test_architectures(kind):
    core = networks.core(kind, KEY, SHAPE)
    x = jnp.asarray(RNG.normal(size=(3, 64)), jnp.float32)
    core = jax.tree.map(lambda leaf: leaf + 0.02, core)  # the last layer begins at 0
    run = eqx.filter_jit(core)
    before = run(jnp.zeros(3, jnp.float32), x)
    assert before.shape == x.shape
    changed = run(jnp.zeros(3, jnp.float32), x.at[1].add(1))  # images do not see each other
    np.testing.assert_array_equal(before[0], changed[0])
    flow = networks.Flow(core, jnp.asarray(0.5, jnp.float32))
    work = prepare(
        KEY,
        flow,
        standard(64, jnp.float32),
        Empirical(IMAGES.numbers(dtype=jnp.float32)),
        Trigonometric(),
        steps=1,
        batch=8,
        latent=False,
    )
    slope = jax.eval_shape(
        jax.grad(loss), flow, work, jax.eval_shape(draw, work, jnp.int32(0))
    )  # traces, compiles nothing
    assert jax.tree.map(lambda leaf: leaf.dtype, slope) == jax.tree.map(lambda leaf: leaf.dtype, flow)


@pytest.mark.slow
def test_the_unet_takes_any_size():
    core = jax.tree.map(lambda leaf: leaf + 0.02, networks.UNet(KEY, (3, 6, 9), width=4))
    x = jnp.asarray(RNG.normal(size=(2, 3, 6, 9)), jnp.float32)
    found = jax.eval_shape(core, jnp.zeros(2, jnp.float32), x.reshape(2, -1))
    assert found.shape == (2, 3 * 6 * 9)
    whole = networks.UNet(KEY, (3, 8, 12), width=4)
    whole = eqx.tree_at(
        lambda each: (each.enter, each.blocks, each.leave), whole, (core.enter, core.blocks, core.leave)
    )
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 2), (0, 3)), mode="edge")
    wanted = eqx.filter_jit(whole)(0.3, padded.reshape(2, -1)).reshape(2, 3, 8, 12)[:, :, :6, :9]
    np.testing.assert_allclose(eqx.filter_jit(core)(0.3, x.reshape(2, -1)), wanted.reshape(2, -1), atol=1e-6)


@pytest.mark.slow
def test_weights_are_kept_by_recipe(learned, tmp_path):
    core, done, _ = learned
    store, made, recipe = Store(tmp_path), [], {"title": "U-Net", "seed": 0}

    def make():
        made.append(1)
        return done.denoiser

    like = Network(core=core, sigma_data=jnp.zeros((), jnp.float32), shape=SHAPE)
    for _ in range(2):
        again = weights.kept(recipe, like, make, store)
    assert len(made) == 1
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(done.denoiser), strict=True):
        np.testing.assert_array_equal(a, b)
    weights.kept(recipe | {"seed": 1}, like, make, store)
    assert len(made) == 2
    assert {entry.study for entry in store.entries()} == {"weights"}


@pytest.mark.slow
def test_bad_input_gets_one_sentence(learned):
    core = learned[0]
    with pytest.raises(ValueError, match="must fit"):
        networks.Transformer(KEY, (1, 10, 10), patch=4)
    with pytest.raises(ValueError, match="must be one of"):
        networks.core("forest", KEY, SHAPE)
    with pytest.raises(ValueError, match="nothing to learn"):
        denoise.learn(KEY, core, Images(np.ones((4, *SHAPE))))
    stopped = denoise.learn(KEY, core, IMAGES, steps=600, batch=64, loop=Chunked(lambda progress: True))
    assert stopped.reason == Reason.STOPPED

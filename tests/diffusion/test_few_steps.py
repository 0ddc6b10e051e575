"""Learned maps of the flow: what is made of the network, what the losses ask, and what a short training reaches."""

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import diffusion
from lab.diffusion import few_steps, flow_maps
from lab.diffusion.few_steps import LEARNS, Map
from lab.diffusion.parametrisations import preconditioning
from lab.numerics import Chunked, Reason, pure
from lab.paths import Mixture
from lab.paths.network import Perceptron

MEAN, VARIANCE = jnp.array([0.7, -1.1]), 0.3
LAW = Mixture([1.0], MEAN[None], [VARIANCE])
EDM = diffusion.noise("edm", first=0.01, last=20.0)
DEVIATION = jnp.asarray(0.55)


def exact(y, sigma, rho):
    """The map of one isotropic Gaussian."""
    return MEAN[None] + jnp.sqrt((VARIANCE + rho**2) / (VARIANCE + sigma**2)) * (y - MEAN[None])


class Known(eqx.Module):
    """A network that gives the exact map of the Gaussian, moved by ``by``: a number, and a multiple of the input."""

    by: jax.Array
    learns: str = eqx.field(static=True)

    def __call__(self, now, seen):
        x, other, now = seen[:, :2], seen[:, 2:], now[:, None]
        if self.learns in few_steps.TAUGHT:
            sigma = jnp.exp(4 * now)
            c = preconditioning(sigma, DEVIATION)
            y = x / c.into
            if self.learns == "ctm":
                rho = jnp.minimum(jnp.exp(4 * other), sigma * (1 - 1e-6))  # its limit at rho = sigma is D
                wanted = ((exact(y, sigma, rho) - rho / sigma * y) / (1 - rho / sigma) - c.skip * y) / c.out
            else:
                above, v = jnp.maximum(sigma - 0.01, 1e-12), DEVIATION**2
                wanted = (exact(y, sigma, 0.01) - v / (above**2 + v) * y) * jnp.sqrt(sigma**2 + v) / (above * DEVIATION)
        else:
            later = now - jnp.maximum(other, 1e-6)
            z = x * jnp.sqrt((1 - now) ** 2 * DEVIATION**2 + now**2)
            image = (1 - later) * exact(z / (1 - now), now / (1 - now), later / (1 - later))
            wanted = (z - image) / (now - later) / jnp.sqrt(DEVIATION**2 + 1)
        moved = wanted + self.by[0] + self.by[1] * x
        return jnp.concatenate([moved, other], axis=1)


def known(learns: str, by: Any = (0.0, 0.0)) -> Map:
    return Map(Known(jnp.asarray(by, float), learns), DEVIATION, jnp.asarray(0.01), learns)


@pytest.mark.parametrize("learns", LEARNS)
def test_a_map_ends_where_it_begins_whatever_the_network(learns):
    network = Perceptron(jax.random.key(0), 3, 8)
    psi = Map(network, DEVIATION, jnp.asarray(0.01), learns)
    y = jax.random.normal(jax.random.key(1), (5, 2))
    least = 0.01 if learns == "consistency" else 1.3
    np.testing.assert_allclose(psi(y, least, least), y, atol=1e-12)
    assert float(jnp.abs(psi(y, 3.0, 0.01) - y).max()) > 0.1


@pytest.mark.parametrize("learns", LEARNS)
def test_the_network_of_the_exact_map_gives_the_exact_map(learns):
    y = MEAN[None] + 3 * jax.random.normal(jax.random.key(2), (7, 2))
    sigma = jnp.array([0.02, 0.3, 1.0, 2.0, 5.0, 9.0, 20.0])
    rho = jnp.full(7, 0.01) if learns == "consistency" else sigma / 3
    np.testing.assert_allclose(known(learns)(y, sigma, rho), exact(y, sigma[:, None], rho[:, None]), rtol=1e-9)


@pytest.mark.parametrize("learns", LEARNS)
@pytest.mark.parametrize("name", ["vp", "linear"])
def test_a_map_serves_every_schedule(learns, name):
    noise = diffusion.noise(name, first=1e-4)
    t = noise.last
    r = noise.time(-jnp.log(jnp.asarray(0.01)))
    x = jax.random.normal(jax.random.key(3), (6, 2))
    truth = flow_maps.of_gaussian(MEAN, VARIANCE * jnp.eye(2), noise, x, t, r)
    np.testing.assert_allclose(known(learns).on(noise)(x, t, r), truth, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learns", "taught"), [(each, False) for each in LEARNS] + [(each, True) for each in few_steps.TAUGHT]
)
def test_the_loss_is_least_at_the_exact_map(learns, taught):
    """Its slope in two directions is zero within its standard error there, and points back from a map that is not it."""
    teacher = diffusion.Exact(LAW) if taught else None

    def slopes(by, keys):
        def loss(by, key):
            problem = few_steps.problem(LAW, known(learns), EDM, teacher)
            return problem.loss(Known(by, learns), key)

        return jax.lax.map(lambda key: jax.grad(loss)(jnp.asarray(by), key), keys)

    keys = jax.random.split(jax.random.key(4), 60)
    slopes = jax.jit(slopes)
    at, away = slopes(jnp.zeros(2), keys), slopes(jnp.array([0.2, -0.2]), keys)
    error = at.std(axis=0) / np.sqrt(len(keys))
    size = jnp.abs(away.mean(axis=0))
    assert (away.mean(axis=0) * jnp.array([1.0, -1.0]) > 4 * error).all()
    # steps between levels are finite: Heun's, or the same noise
    assert (jnp.abs(at.mean(axis=0)) < 4 * error + 0.02 * size).all()


@pytest.mark.slow
def test_calls_lead_along_the_exact_flow_and_noise_keeps_the_law():
    x = 20.0 * jax.random.normal(jax.random.key(5), (4000, 2))
    truth = exact(x, 20.0, 0.01)
    times = jnp.array([20.0, 2.0, 0.5, 0.01])
    for learns in ("ctm", "meanflow"):
        end = few_steps.sampled(known(learns), EDM, x, times, jax.random.key(6), 0.0)
        np.testing.assert_allclose(end, truth, atol=1e-8)
        half = few_steps.sampled(known(learns), EDM, x, times, jax.random.key(6), 0.6)
        assert float(jnp.abs(half - truth).max()) > 0.1
        np.testing.assert_allclose(half.mean(axis=0), MEAN, atol=4 * np.sqrt(0.3 / 4000))
        np.testing.assert_allclose(half.var(axis=0), VARIANCE, atol=4 * 0.3 * np.sqrt(2 / 4000))
    again = few_steps.sampled(known("consistency"), EDM, x, times, jax.random.key(6))
    np.testing.assert_allclose(again.var(axis=0), VARIANCE, atol=4 * 0.3 * np.sqrt(2 / 4000))
    one = few_steps.sampled(known("consistency"), EDM, x, times[jnp.array([0, 3])], jax.random.key(6))
    np.testing.assert_allclose(one, truth, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("learns", ["consistency", "shortcut"])
def test_what_is_judged_of_the_exact_map_is_nothing(learns):
    x = 20.0 * jax.random.normal(jax.random.key(7), (40, 2))
    log_snr = jnp.linspace(-jnp.log(20.0), -jnp.log(0.01), 17)
    flow = jax.vmap(lambda level: exact(x, 20.0, jnp.exp(-level)))(log_snr)
    fresh = LAW.sample(jax.random.key(8), 30)
    found = few_steps.judged(known(learns), diffusion.Exact(LAW), EDM, flow, log_snr, fresh, jax.random.key(9))
    asked = found.residuals[:1] if learns == "consistency" else found.residuals
    assert float(asked.max()) < 1e-4  # the network is one of limits
    assert float(found.errors[0, 0]) < 1e-8
    assert np.isnan(found.errors[0, 1:]).all() == np.isnan(found.residuals[1:]).all() == (learns == "consistency")
    assert (np.diff(found.errors[1]) < 0).all()  # DDIM, with the exact denoiser
    moved = few_steps.judged(
        known(learns, (0.3, 0.0)), diffusion.Exact(LAW), EDM, flow, log_snr, fresh, jax.random.key(9)
    )
    assert float(moved.residuals[0].max()) > 0.05
    assert float(moved.errors[0, 0]) > 0.1


KEY = jax.random.key(10)


@cache
def taught(learns):
    return few_steps.train(pure, KEY, LAW, EDM, learns, **asked(learns))


def asked(learns) -> Any:
    teacher = diffusion.Exact(LAW) if learns == "ctm" else None
    return {"teacher": teacher, "units": 16, "steps": 1500, "learning_rate": 1e-2}


@pytest.mark.slow
@pytest.mark.parametrize("learns", ["ctm", "shortcut"])
def test_a_short_training_ends_nearer_than_ddim(learns):
    found = taught(learns)
    assert found.learned.reason == Reason.CONVERGED
    x = 20.0 * jax.random.normal(jax.random.key(11), (300, 2))
    truth = exact(x, 20.0, 0.01)
    ends = jnp.array([20.0, 0.01])
    end = few_steps.sampled(found.map, EDM, x, ends, KEY)
    ddim = diffusion.sample(diffusion.Exact(LAW), EDM, ends, x, "ddim").end
    assert float(((end - truth) ** 2).mean()) < 0.6 * float(((ddim - truth) ** 2).mean())


@pytest.mark.slow
def test_a_training_goes_on_where_it_was_stopped():
    learns, own = "shortcut", asked("shortcut")
    halted = few_steps.train(Chunked(lambda progress: progress.iteration >= 100), KEY, LAW, EDM, learns, **own)
    assert halted.learned.reason == Reason.STOPPED
    assert np.isnan(halted.learned.loss[-1])
    assert not np.isnan(halted.learned.loss[99])
    on = few_steps.train(pure, KEY, LAW, EDM, learns, state=halted.learned.state, **own)
    for one, other in zip(jax.tree.leaves(on.map), jax.tree.leaves(taught(learns).map), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match=r"learns = 'meanflow' asks none: leave it out"):
        few_steps.train(pure, jax.random.key(0), LAW, EDM, "meanflow", teacher=diffusion.Exact(LAW))
    with pytest.raises(ValueError, match="both must be positive and finite"):
        few_steps.train(pure, jax.random.key(0), LAW, diffusion.noise("linear", last=1.0), "ctm")
    with pytest.raises(ValueError, match="learns = 'mean'"):
        few_steps.train(pure, jax.random.key(0), LAW, EDM, "mean")

"""Input that was accepted although it has no meaning, or that raised an error of another library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.inverse.mixture_flows import MixtureFlow, posteriors
from lab.paths import Mixture

KEY = jax.random.key(0)
WHITE = denoise.Wiener(denoise.Spectrum(jnp.zeros(2), jnp.ones(2), jnp.eye(2), jnp.asarray(2.0)), (1, 1, 2))


def test_a_mixture_flow_without_noise_needs_a_smallest_width():
    y = jnp.asarray([[0.5], [1.0]])
    nodes = posteriors(Mixture([1.0], [[0.0]], [1.0]), jnp.eye(1), jnp.eye(1), y)
    with pytest.raises(ValueError, match="noise = 0 and least = 0 are not allowed"):
        MixtureFlow(nodes, nodes.mean, jnp.zeros(2), 0.0)
    assert np.isfinite(MixtureFlow(nodes, nodes.mean, jnp.zeros(2), 0.0, 0.1)(0.0, y)).all()
    with pytest.raises(ValueError, match="noise = -1 is not allowed"):
        MixtureFlow(nodes, nodes.mean, jnp.zeros(2), -1.0)


def test_a_calibration_of_lists_has_the_weights_of_its_arrays():
    table = [1.0, 0.5, 0.0], [2.0, 1.0, 1.5]
    of_lists, of_arrays = inverse.Calibration(*table), inverse.Calibration(*map(jnp.asarray, table))
    np.testing.assert_allclose(of_lists.weights(0.5, 0.1), of_arrays.weights(0.5, 0.1))
    b = 1 / (np.asarray(table[1]) + 1e-7)
    b /= b.mean()
    np.testing.assert_allclose(of_lists.at([0.9, 0.4], 0.5), 0.5 * np.maximum(b - b[-1], 0)[[0, 1]], rtol=1e-12)
    found = inverse.solve(
        inverse.problem(inverse.Identity((1, 1, 2)), [[[1, 2]]], 0.1), WHITE, inverse.Flair(of_lists, steps=3), key=KEY
    )
    assert np.isfinite(found.x).all()


def test_a_calibration_whose_weights_are_all_0_is_reported():
    """Errors that are smallest at t = 0 leave no weight at any time."""
    useless = inverse.Calibration(jnp.asarray([1.0, 0.5, 0.0]), jnp.asarray([3.0, 2.0, 1.0]))
    given = inverse.problem(inverse.Identity((1, 1, 2)), [[[1.0, 2.0]]], 0.1)
    with pytest.raises(ValueError, match="the calibrated weights are 0 at all times"):
        inverse.solve(given, WHITE, inverse.Flair(useless), key=KEY)
    assert float(inverse.Flair(useless, shift=0.5).weights().max()) > 0


def test_only_a_wiener_denoiser_is_calibrated_without_images():
    mine = denoise.denoiser(lambda x, sigma: x / 2, (1, 1, 2))
    with pytest.raises(ValueError, match=r"images = None is not allowed .* Give clean images \(count, 2\)"):
        inverse.calibrate(mine, None, KEY)
    found = inverse.calibrate(mine, [[1, 0], [0, 1]], KEY)
    np.testing.assert_allclose(found.error, inverse.calibrate(mine, jnp.eye(2), KEY).error)


@pytest.mark.parametrize("make", [denoise.denoiser, denoise.Given])
def test_a_module_of_pytorch_is_rejected_with_the_way_to_call_it(make):
    base = type("Module", (), {"__module__": "torch.nn.modules.module", "__call__": lambda self, x, sigma: x})
    module = type("Net", (base,), {"__module__": "mine"})()
    with pytest.raises(TypeError, match=r"PyTorch object \(Net\).*jax.pure_callback.*docs/how-to/own-model.md"):
        make(module, (1, 1, 2))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("gain", lambda: inverse.Clip((1, 4, 4), jnp.inf)),
        ("gamma", lambda: inverse.LinearLightBlur(inverse.Blur((1, 4, 4), jnp.ones((3, 3)) / 9), 0.0)),
    ],
)
def test_an_error_names_the_invalid_number(name, call):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()

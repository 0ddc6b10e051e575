"""Total variation in the plane against closed forms, a general optimizer, and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from skimage.restoration import denoise_tv_chambolle

from lab import denoise, inverse
from lab.inverse.variation import gradient, gradient_adjoint

RANDOM = np.random.default_rng(11)
ANY = lambda shape: denoise.denoiser(lambda x, sigma: x, shape)  # noqa: E731


def solved(operator, y, noise, **settings):
    given = inverse.problem(operator, jnp.asarray(y), noise)
    found = inverse.solve(given, ANY(operator.inputs), inverse.Variation(**settings))
    return np.asarray(found.x[0]), found


def total(x, kind):
    down, right = np.zeros_like(x), np.zeros_like(x)
    down[:, :-1], right[:, :, :-1] = np.diff(x, axis=1), np.diff(x, axis=2)
    return np.hypot(down, right).sum() if kind == "isotropic" else (np.abs(down) + np.abs(right)).sum()


def test_the_adjoint_of_the_differences():
    x, p = RANDOM.normal(size=(3, 5, 4)), RANDOM.normal(size=(2, 3, 5, 4))
    np.testing.assert_allclose((gradient(jnp.asarray(x)) * p).sum(), (x * gradient_adjoint(jnp.asarray(p))).sum())


@pytest.mark.parametrize("kind", ["isotropic", "anisotropic"])
def test_an_edge_moves_by_its_length_over_the_area_beside_it(kind):
    y = np.full((1, 6, 9), -0.4)
    y[:, :, 4:] = 0.7
    found, _ = solved(inverse.Identity(y.shape), y, 0.5, lam=1.2, steps=400, kind=kind)
    cut = 1.2 * 0.25  # of each row
    expected = np.where(np.arange(9) < 4, -0.4 + cut / 4, 0.7 - cut / 5)
    np.testing.assert_allclose(found, np.broadcast_to(expected, y.shape), atol=1e-8)


def test_a_strong_prior_leaves_the_mean():
    y = RANDOM.normal(size=(1, 6, 7))
    found, _ = solved(inverse.Identity(y.shape), y, 1.0, lam=100.0, rate=0.05, steps=1000)
    np.testing.assert_allclose(found, y.mean(), atol=1e-6)


@pytest.mark.slow
def test_denoising_is_that_of_chambolle():
    y = RANDOM.normal(size=(8, 10))
    found, _ = solved(inverse.Identity((1, 8, 10)), y[None], 0.5, lam=1.4, steps=500)
    theirs = denoise_tv_chambolle(y, weight=1.4 * 0.25, eps=1e-12, max_num_iter=20_000)
    np.testing.assert_allclose(found[0], theirs, atol=2e-3)  # theirs is cut short by its own step
    value = lambda x: ((x - y) ** 2).sum() / 2 + 0.35 * total(x[None], "isotropic")  # noqa: E731
    assert value(found[0]) <= value(theirs) + 1e-9


def test_anisotropic_of_a_matrix_is_the_quadratic_program():
    """Beside it t >= |D x| with the sum of t, by SciPy's solver of constrained problems."""
    inputs, h = (1, 3, 4), RANDOM.normal(size=(7, 12))
    y, noise, lam = RANDOM.normal(size=7), 0.6, 0.9
    found, _ = solved(inverse.Dense(h, inputs), y, noise, lam=lam, steps=3000, inner=12, kind="anisotropic")
    d = np.stack([np.asarray(gradient(e.reshape(inputs))).ravel() for e in jnp.eye(12)], axis=1)
    d = d[np.abs(d).sum(axis=1) > 0]
    both = np.block([[d, np.eye(len(d))], [-d, np.eye(len(d))]])

    def value(z):
        return ((h @ z[:12] - y) ** 2).sum() / (2 * noise**2) + lam * z[12:].sum()

    def slope(z):
        return np.concatenate([h.T @ (h @ z[:12] - y) / noise**2, np.full(len(d), lam)])

    inside = {"type": "ineq", "fun": lambda z: both @ z, "jac": lambda z: both}
    settings = {"maxiter": 2000, "ftol": 1e-14}
    theirs = minimize(value, np.ones(12 + len(d)), jac=slope, constraints=inside, method="SLSQP", options=settings)
    ours = np.concatenate([found.ravel(), np.abs(d @ found.ravel())])
    assert value(ours) == pytest.approx(theirs.fun, rel=1e-7)
    np.testing.assert_allclose(found.ravel(), theirs.x[:12], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask", "blur", "views"])
def test_nothing_near_it_is_better(name):
    """A convex objective: what no small change lowers is the least. Changes are random, smooth, and flat on areas."""
    shape = (1, 8, 8)
    operator = {
        "mask": inverse.Mask(jnp.asarray(RANDOM.random((1, 8, 8)) < 0.5)),
        "blur": inverse.Blur(shape, inverse.gaussian(1.0, 5)),
        "views": inverse.radon(shape, 4),
    }[name]
    truth = np.full(shape, -1.0)
    truth[:, 2:6, 3:7] = 1
    given = inverse.measure(operator, jnp.asarray(truth), 0.2, jax.random.key(0))
    found = np.asarray(
        inverse.solve(given, ANY(shape), inverse.Variation(lam=3.0, rate=3.0, steps=1000, inner=10)).x[0]
    )
    value = lambda x: float(given.misfit(x)) / (2 * 0.04) + 3.0 * total(x, "isotropic")  # noqa: E731
    least = value(found)
    assert least < value(np.asarray(given.start())) * 0.9
    assert least < value(truth)
    rows, columns = np.mgrid[:8, :8]
    for trial in range(60):
        step = (
            RANDOM.normal(size=shape) if trial % 3 else (rows + RANDOM.normal() * columns > 8 * RANDOM.random())[None]
        )
        for size in (1e-1, 1e-2, 1e-3):
            assert value(found + size * step) > least - 1e-6 * abs(least)
            assert value(found - size * step) > least - 1e-6 * abs(least)


@pytest.mark.slow
def test_it_is_one_program_for_several_images_and_falls():
    shape = (1, 6, 6)
    x = jnp.asarray(RANDOM.normal(size=(2, *shape)))
    given = inverse.measure(inverse.Identity(shape), x, 0.3, jax.random.key(1))
    found = inverse.solve(given, ANY(shape), inverse.Variation(lam=2.0, steps=60), keep=True)
    assert found.x.shape == (2, 1, *shape)
    assert found.path.shape == (60, 2, 1, *shape)
    alone = inverse.solve(
        inverse.problem(given.operator, given.y[1], 0.3), ANY(shape), inverse.Variation(lam=2.0, steps=60)
    )
    np.testing.assert_allclose(found.x[1, 0], alone.x[0], atol=1e-12)
    assert float(found.trace["objective"][-1]) < float(found.trace["objective"][0])


def test_what_it_refuses():
    shape = (1, 4, 4)
    given = inverse.problem(inverse.Identity(shape), jnp.zeros(shape), 0.1)
    for settings, said in (({"lam": 0.0}, "lam = 0.0"), ({"steps": 0}, "at least 1"), ({"kind": "odd"}, "odd")):
        with pytest.raises(ValueError, match=said):
            inverse.solve(given, ANY(shape), inverse.Variation(**settings))
    with pytest.raises(ValueError, match="noise = 0"):
        inverse.solve(inverse.problem(given.operator, given.y, 0.0), ANY(shape), inverse.Variation())
    with pytest.raises(ValueError, match="linear operator"):
        inverse.solve(inverse.problem(inverse.Clip(shape, 2.0), given.y, 0.1), ANY(shape), inverse.Variation())

"""Nested designs and their replicates, and how well a few rows stand for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import sampling
from lab.numerics import Reason
from lab.sampling import conditional, coresets, nested, replicates, subsets
from lab.sampling.nested import DESIGNS, DPP, MOST
from lab.sampling.responses import FUNCTIONS, Response

BELL = Response(sampling.legendre(3), function=FUNCTIONS["bell"])


@pytest.fixture(scope="module")
def drawn():
    return replicates.replicate(jax.random.key(0), BELL, 30)


@pytest.mark.slow
def test_the_first_blocks_are_the_smaller_designs(drawn):
    """Of a kept draw, fits at every size against NumPy."""
    problem, run = drawn
    assert int(run.reason) == Reason.CONVERGED
    basis, place = BELL.basis, DESIGNS.index(DPP)
    x, w = run.state.points[4, place], run.state.weights[4, place]
    phi, f = np.asarray(basis(x)), np.asarray(BELL(x))
    found = jax.jit(nested.fits)(basis(x), w, BELL(x))
    for r in (1, 5, MOST):
        root = np.sqrt(np.asarray(w))[: 3 * r, None]
        c = np.linalg.lstsq(root * phi[: 3 * r], root[:, 0] * f[: 3 * r], rcond=None)[0]
        np.testing.assert_allclose(found.coefficients[r - 1], c, atol=1e-9)
        np.testing.assert_allclose(run.state.lambda_min[place, r - 1, 4], found.lambda_min[r - 1], rtol=1e-9)
        err2 = problem.truth.best + ((c - np.asarray(problem.truth.coefficients)) ** 2).sum()
        np.testing.assert_allclose(run.state.err2[place, r - 1, 4], err2, rtol=1e-7)


@pytest.mark.slow
def test_thinned_designs_stay_stable(drawn):
    problem, run = drawn
    place, r = jnp.asarray(DESIGNS.index(DPP)), jnp.asarray(5)
    thin = jax.jit(replicates.thinned, static_argnames="count")
    found = thin(problem, run.state.lambda_min[place, r - 1], place, r, jnp.asarray(0.5), count=3)
    assert (found.lambda_min >= 0.5).all()
    assert ((found.n_used >= 3) & (found.n_used < 15)).all()


def test_a_response_is_a_table_or_a_function():
    with pytest.raises(ValueError, match="give one of them"):
        Response(BELL.basis)
    lost = Response(sampling.legendre(4), function=FUNCTIONS["cubic"]).truth()
    assert float(lost.best) == 0.0  # it lies in the space


@pytest.mark.slow
def test_densities_have_mass_one():
    basis = sampling.product("legendre", 3, 1)
    places = conditional.places(basis, jnp.zeros((0, 1)))
    points = sampling.Projection()(jax.random.key(1), basis).points
    found = jax.jit(conditional.densities)(basis, points, places)
    cell = (places.grid[1, 0] - places.grid[0, 0]) ** 2
    np.testing.assert_allclose(found.conditional.sum(axis=1) * cell, 1, atol=2e-3)
    np.testing.assert_allclose(found.law.sum() * cell, 1, rtol=1e-12)


def test_what_rows_add_falls_to_nothing():
    rows = jnp.asarray(np.random.default_rng(2).normal(size=(12, 2)))
    kernel = np.asarray(subsets.kernel_matrix(rows, rows, "gaussian", 1.0))
    left = subsets.residuals(rows, jnp.asarray([3, 7]), "gaussian", 1.0)
    np.testing.assert_allclose(left[1], 1 - kernel[3] ** 2, atol=1e-10)
    np.testing.assert_allclose(left[2, [3, 7]], 0, atol=1e-10)


@pytest.mark.slow
def test_best_weights_err_least():
    rows = jnp.asarray(np.random.default_rng(3).normal(size=(30, 2)))
    spectrum = subsets.decompose(rows, 4, "gaussian", 1.0)
    one = jnp.ones(())
    problem = coresets.Comparison(
        rows, one, one, spectrum, jax.random.key(0), jnp.zeros(30, int), k=4, kernel="gaussian", size=5
    )
    state = coresets.COMPARE.step(problem, coresets.COMPARE.init(problem))
    assert coresets.COMPARE.done(problem, state) == Reason.CONVERGED
    found = coresets.summary(problem, state)
    assert (found.quality.mmd_best <= found.quality.mmd + 1e-9).all()
    assert found.quality.mmd.shape == (3, 5)
    assert float(found.probability.sum()) == pytest.approx(4)

"""The study of least squares on repelling points beyond the contract that every study keeps."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special

from lab import sampling
from lab.datasets import Data
from lab.sampling.nested import DESIGNS, MOST
from lab.studies.sampling.dpp_least_squares import DPPLeastSquares

SHEET_NAMES = "lambda_min cond err2 err2_best ratio n_proposals points weights"
TABLE = np.random.default_rng(0).normal(size=(60, 3))


def table(x=TABLE, y=None) -> Data:
    y = x[:, 0] + x[:, 1] ** 2 if y is None else y
    return Data("mine", "Mine", "response", {"x": np.asarray(x, float), "y": np.asarray(y, float)}, "a test", "none")


@pytest.fixture(scope="module")
def run() -> xr.Dataset:
    return DPPLeastSquares(thinned=8).run()


@pytest.fixture(scope="module")
def rows() -> xr.Dataset:
    return DPPLeastSquares(data=table(), m=4, replicates=100).run()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(run):
    for name in (*SHEET_NAMES.split(), "n_used"):
        assert name in run, name
    assert run.design.values.tolist() == list(DESIGNS)
    assert run.points.dims == ("design", "kept", "point", "coord")


@pytest.mark.slow
def test_a_fit_is_that_of_numpy_at_every_size(run):
    """Coefficients, condition, λmin and error of a kept draw, from its points and weights alone."""
    basis = sampling.legendre(10)
    for design in ("iid-optimal", "volume", "dpp"):
        one = run.sel(design=design).isel(kept=3, draw=3)
        x, w = one.points.values, one.weights.values
        phi = np.asarray(basis(jnp.asarray(x)))
        f = 1 / (1 + 25 * x[:, 0] ** 2)
        np.testing.assert_allclose(one["values"], f, rtol=1e-12)
        wanted = np.ones(len(x)) if design == "volume" else 10 / (phi**2).sum(axis=1)
        np.testing.assert_allclose(w, wanted, rtol=1e-10)
        for r in (3, 7, MOST):
            n, here = 10 * r, one.sel(n_over_m=r)
            root = np.sqrt(w[:n])[:, None]
            c = np.linalg.lstsq(root * phi[:n], root[:, 0] * f[:n], rcond=None)[0]
            values = np.linalg.eigvalsh((root * phi[:n]).T @ (root * phi[:n]) / n)
            np.testing.assert_allclose([here.lambda_min, here.cond], [values[0], values[-1] / values[0]], rtol=1e-8)
            np.testing.assert_allclose(here.err2, run.err2_best + ((c - run.truth.values) ** 2).sum(), rtol=1e-8)
            if r == 3:
                np.testing.assert_allclose(one.coefficients, c, atol=1e-10)


@pytest.mark.slow
def test_the_best_error_is_that_of_quadrature(run):
    f = lambda x: 1 / (1 + 25 * x * x)  # noqa: E731
    c = [
        np.sqrt(2 * j + 1) * integrate.quad(lambda x, j=j: f(x) * special.eval_legendre(j, x) / 2, -1, 1)[0]
        for j in range(10)
    ]
    np.testing.assert_allclose(run.truth, c, atol=1e-10)
    wanted = integrate.quad(lambda x: f(x) ** 2 / 2, -1, 1)[0] - np.sum(np.square(c))
    np.testing.assert_allclose(run.err2_best, wanted, rtol=1e-9)


@pytest.mark.slow
def test_summaries_are_those_of_the_draws(run):
    stable = run.lambda_min >= 0.5
    xr.testing.assert_allclose(run.probability, stable.mean("draw").rename("probability"))
    np.testing.assert_allclose(
        run.ratio_quantile, np.quantile(run.ratio, run.level, axis=-1).transpose(1, 2, 0), rtol=1e-9
    )
    np.testing.assert_allclose(run.ratio_mean, run.ratio.mean("draw"), rtol=1e-9)
    np.testing.assert_allclose(run.ratio_stable, run.ratio.where(stable).mean("draw"), rtol=1e-9)
    assert float(run.stable) == float(run.probability.sel(design="dpp", n_over_m=3))
    assert (
        (run.lambda_min <= 1 + 1e-12).sel(design=["iid-optimal", "volume-optimal", "dpp"]).all()
    )  # the trace of G is m


@pytest.mark.slow
def test_the_ranking_of_the_paper(run):
    means = run.lambda_min.sel(n_over_m=3).mean("draw")
    assert (np.diff(means.sel(design=["iid-optimal", "volume-optimal", "dpp"])) > 0.03).all()
    assert abs(float(run.stable) - 0.46) < 0.15
    assert float(run.stable_iid) < 0.1


@pytest.mark.slow
def test_the_chain_is_a_density_that_shuns_the_points(run):
    """Every conditional density has mass 1, and vanishes at the points so far."""
    x, chain = run.grid.values[:, 0], run.conditional.values
    np.testing.assert_allclose(chain.sum(axis=1) * (x[1] - x[0]), 1.0, atol=2e-3)  # midpoints
    np.testing.assert_allclose(chain[0], run.christoffel, rtol=1e-12)
    points = run.points.isel(kept=0).sel(design="dpp").values[:10]
    at = sampling.conditional_densities(sampling.legendre(10), jnp.asarray(points), jnp.asarray(points))
    for k in range(1, 10):
        assert np.abs(at[k, :k]).max() < 1e-8
        nearest = np.abs(x - points[k - 1, 0]).argmin()
        assert chain[k, nearest] < 0.05 * chain[k].max()


def test_thinned_designs_stay_stable_and_their_estimates_mislead(run):
    assert (run.thin_lambda_min >= 0.5).all()
    assert ((run.n_used >= 10) & (run.n_used <= 14)).all()
    assert float(np.median(run.thin_estimate)) > 5
    assert float(np.median(run.whole_estimate)) < 4
    assert "error estimate" in run.attrs["advice"]


@pytest.mark.slow
def test_a_draw_depends_on_seed_and_number_only(run):
    fewer = DPPLeastSquares(replicates=50, oversampling=5, delta=0.3).run()
    np.testing.assert_allclose(fewer.lambda_min, run.lambda_min.isel(draw=slice(50)), rtol=1e-9)
    np.testing.assert_array_equal(fewer.points.isel(kept=slice(10)), run.points.isel(kept=slice(10)))


@pytest.mark.slow
def test_a_table_is_fitted_as_by_least_squares_on_its_rows(rows):
    """Truth and best error against NumPy on all rows; points are rows."""
    low, high = TABLE.min(0), TABLE.max(0)
    z = (2 * TABLE - low - high) / (high - low)
    a, y = np.c_[np.ones(60), z], TABLE[:, 0] + TABLE[:, 1] ** 2
    fitted = a @ np.linalg.lstsq(a, y, rcond=None)[0]
    np.testing.assert_allclose(rows.best_fit, fitted, atol=1e-10)
    np.testing.assert_allclose(rows.err2_best, ((y - fitted) ** 2).mean(), rtol=1e-10)
    np.testing.assert_allclose(rows.conditional.sum("place"), 1.0, rtol=1e-10)
    assert set(np.unique(rows["values"])) <= set(y)


def test_bad_input_is_told_in_a_sentence():
    for study, words in (
        (DPPLeastSquares(family="fourier", m=10), "odd m, take 9 or 11"),
        (DPPLeastSquares(family="haar", m=10), "take 8 or 16"),
        (DPPLeastSquares(data=table(), m=61), "the number of different rows"),
        (DPPLeastSquares(data=table(np.ones((10, 2)), np.arange(10.0)), m=2), "the number of different rows"),
        (DPPLeastSquares(data=table(np.c_[np.arange(9.0), np.arange(9.0)], np.arange(9.0)), m=3), "linearly dependent"),
        (DPPLeastSquares(data=table(y=np.full(60, np.nan))), "y in mine is nan at entry 0"),
        (DPPLeastSquares(data=table(TABLE[:1])), "1 row of 3 columns"),
    ):
        with pytest.raises(ValueError, match=words):
            study.run()

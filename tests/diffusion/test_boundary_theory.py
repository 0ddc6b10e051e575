"""The best start where it is known, against simulation, SciPy and solved equations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq, minimize_scalar

from lab import diffusion
from lab.diffusion import boundary_theory as theory
from lab.diffusion import flow_maps
from lab.diffusion.conditional import Conditional, Given, conditional
from lab.numerics.mixtures import Mixture, gaussian

RNG = np.random.default_rng(11)
D = 6
HALF = RNG.normal(size=(D, D))
PRIOR = gaussian(RNG.normal(size=D), HALF @ HALF.T / D + 0.05 * np.eye(D))
A = RNG.normal(size=(3, D))
Y = RNG.normal(size=(4, 3))
X = RNG.normal(size=(8, D))


class Bed(NamedTuple):
    posterior: Conditional
    given: Given
    mean: jax.Array
    c: jax.Array
    vp: diffusion.Noise
    x: jax.Array

    def denoiser(self, i):
        return self.posterior(jax.tree.map(lambda each: each[i], self.given))

    def ends(self, i, *level):
        return theory.gaussian_end(jnp.broadcast_to(self.mean[i], self.x.shape), self.c, self.x, *level)


@pytest.fixture(scope="module")
def bed():
    posterior = conditional(PRIOR, A, 0.4)
    given = posterior.given(jnp.asarray(Y))
    c = posterior.law(jax.tree.map(lambda each: each[0], given)).covariances[0]
    return Bed(posterior, given, posterior.mean(given), c, diffusion.noise("vp", first=1e-4), jnp.asarray(X))


@pytest.mark.slow
def test_the_gaussian_map_is_the_flow(bed):
    vp, x = bed.vp, bed.x
    last, first = vp(vp.last), vp(vp.first)
    own = bed.denoiser(1)
    solved = flow_maps.solved(own, vp, x, vp.last, vp.first)
    np.testing.assert_allclose(solved, flow_maps.of_gaussian(bed.mean[1], bed.c, vp, x, vp.last, vp.first), atol=1e-5)
    edm = diffusion.noise("edm", first=1e-6, last=50.0)
    fine = flow_maps.solved(own, edm, 50.0 * x, 50.0, 1e-6)  # all but without noise at the end
    np.testing.assert_allclose(fine, bed.ends(1, 1 / 50, 1.0), atol=1e-5)
    np.testing.assert_allclose(own(solved, first.a, first.s), bed.ends(1, last.a, last.s), atol=1e-3)  # s = 0.003
    ddim = diffusion.sample(own, vp, diffusion.grid(vp, 500), x, "ddim").end
    np.testing.assert_allclose(ddim, solved, atol=1e-2)
    limit = bed.ends(1) - bed.mean[1][None]
    np.testing.assert_allclose(limit @ limit.T, (x @ bed.c) @ x.T, atol=1e-10)
    assert np.abs(bed.ends(1, last.a, last.s) - bed.ends(1)).max() < 0.05


@pytest.mark.slow
def test_a_flow_that_goes_back_returns_to_its_start(bed):
    vp = bed.vp
    end = flow_maps.solved(bed.denoiser(1), vp, bed.x, vp.last, vp.first)
    np.testing.assert_allclose(flow_maps.solved(bed.denoiser(1), vp, end, vp.first, vp.last), bed.x, atol=1e-5)


@pytest.mark.slow
def test_scores_of_starts(bed):
    """tr C + x' C x, by draws of the posterior; 2 tr C on average, and the same for all y."""
    for i in (0, 2):
        many = jax.tree.map(lambda each, i=i: jnp.repeat(each[i : i + 1], 100_000, axis=0), bed.given)
        draws = bed.posterior.sample(jax.random.key(i), many)
        found = jnp.stack([((end[None] - draws) ** 2).sum(axis=1).mean() for end in bed.ends(i)])
        np.testing.assert_allclose(found, theory.gaussian_score(bed.c, bed.x), rtol=0.01)
    starts = jax.random.normal(jax.random.key(0), (200_000, D))
    mean = float(theory.gaussian_score(bed.c, starts).mean())
    assert mean == pytest.approx(2 * float(jnp.trace(bed.c)), rel=0.01)
    assert 10 * np.log10(mean / float(theory.gaussian_score(bed.c, jnp.zeros((1, D)))[0])) == pytest.approx(
        3.01, abs=0.05
    )


@pytest.mark.slow
def test_the_start_at_zero_has_the_largest_density(bed):
    for i in range(4):
        own = bed.denoiser(i)
        apart = own.log_density(bed.ends(i)) - own.log_density(bed.mean[i][None])
        assert (apart < 0).all()
        # in the exact model the density of an end is that of its start, up to a constant
        np.testing.assert_allclose(apart, -(bed.x**2).sum(axis=1) / 2, atol=1e-9)


TABLE = {8: (0.388, 0.186, 0.0970), 64: (0.747, 0.614, 0.525), 1024: (0.933, 0.893, 0.863)}


def test_the_best_of_many_draws():
    for d, row in TABLE.items():
        np.testing.assert_allclose(theory.best_of(jnp.asarray([10, 100, 1000]), d), row, atol=6e-4)
    drawn = np.random.default_rng(0).chisquare(8, (20_000, 100)).min(axis=1).mean() / 8
    assert float(theory.best_of(100, 8)) == pytest.approx(drawn, rel=0.02)
    # of very many dimensions all of the excess lies in a narrow band; by quadrature with SciPy's chi-square in that band
    for k, d, excess in ((100, 1e4, 0.9649021181183), (1e4, 1e5, 0.9828678220468), (100, 1e6, 0.9964573753839)):
        assert float(theory.best_of(k, d)) == pytest.approx(excess, abs=1e-10)
    assert float(theory.best_of(1, 5.5)) == pytest.approx(1.0, abs=1e-6)
    # two starts in two dimensions: the least of two exponentials
    assert float(theory.best_of(2, 2)) == pytest.approx(0.5, abs=1e-6)
    # of many starts in one dimension the scale of the least falls as 1 / K^2
    ratio = float(theory.best_of(2000, 1) / theory.best_of(1000, 1))
    assert ratio == pytest.approx(0.25, rel=0.02)
    with pytest.raises(ValueError, match="k = 0 is not allowed: k must be at least 1"):
        theory.best_of(0, 3)


@pytest.mark.slow
def test_other_spectra_are_near_their_effective_dimension():
    values = np.geomspace(1, 0.05, 40)
    d = float(theory.effective_dimension(jnp.asarray(values)))
    assert d == pytest.approx(values.sum() ** 2 / (values**2).sum())
    drawn = (np.random.default_rng(1).normal(size=(3000, 100, 40)) ** 2 @ values).min(axis=1).mean() / values.sum()
    assert float(theory.best_of(100, d)) == pytest.approx(drawn, rel=0.06)
    assert float(theory.effective_dimension(jnp.ones(7))) == 7
    assert float(theory.mean_norm(64)) == pytest.approx(stats.chi(64).mean(), rel=1e-10)
    assert float(theory.spread_of_squares(64)) == pytest.approx(stats.chi2(64).std() / 64, rel=1e-10)


LINE = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])


def test_optimum_on_a_line():
    """Against quadrature of prior times likelihood, and root finding, of SciPy."""
    ys = np.array([-1.2, -0.4, 0.0, 0.3, 0.9])
    found = np.asarray(theory.line_optimum(LINE, 0.5, jnp.asarray(ys)))
    np.testing.assert_allclose(found, [-0.0010, -0.110, -0.744, 0.135, 0.0027], atol=6e-4)  # of the sheet
    grid = np.linspace(-5, 5, 200_001)
    for y, x in zip(ys, found, strict=True):

        def density(z, y=y):
            prior = 0.5 * stats.norm.pdf(z, -1, 0.2) + 0.5 * stats.norm.pdf(z, 1, 0.3)
            return prior * stats.norm.pdf(y, z, 0.5)

        values = density(grid)
        begun = grid[values.argmax()]
        mode = minimize_scalar(lambda z: -density(z), bracket=(begun - 0.01, begun + 0.01), tol=1e-12).x
        below = np.trapezoid(np.where(grid <= mode, values, 0), grid) / np.trapezoid(values, grid)
        assert x == pytest.approx(stats.norm.ppf(below), abs=1e-4)
    # not shared: other inputs have other optima
    assert np.ptp(found) > 0.8


def test_ends_on_a_line_are_quantiles():
    law = theory.on_line(LINE, 0.5, jnp.asarray([-0.3, 0.2]))
    starts = jnp.asarray([-3.0, -0.5, 0.0, 1.2, 4.0])
    ends = theory.line_end(law, starts)
    weights, means, deviations = (np.asarray(each) for each in law)
    for i in range(2):
        for x, end in zip(starts, ends[i], strict=True):

            def below(z, i=i):
                return weights[i] @ stats.norm.cdf(z, means[i], deviations)

            assert brentq(lambda z, x=x: below(z) - stats.norm.cdf(x), -6, 6, xtol=1e-13) == pytest.approx(
                float(end), abs=1e-6
            )
        np.testing.assert_allclose(theory.line_start(law, ends[:, 3]), [1.2, 1.2], atol=1e-9)
    area = np.trapezoid(theory.line_density(law, jnp.linspace(-4, 4, 4001)), np.linspace(-4, 4, 4001), axis=1)
    np.testing.assert_allclose(area, 1, atol=1e-9)
    with pytest.raises(ValueError, match="a line is needed"):
        theory.on_line(PRIOR, 0.5, jnp.zeros(1))
    with pytest.raises(ValueError, match=r"noise = .* is not allowed: noise must be greater than 0"):
        theory.on_line(LINE, 0.0, jnp.zeros(1))


@pytest.mark.slow
def test_the_sampler_ends_at_the_quantile():
    """Many steps of an independent sampler against the limit in closed form."""
    found = conditional(LINE, jnp.eye(1), 0.5)
    y = 0.1
    own = found(jax.tree.map(lambda each: each[0], found.given(jnp.asarray([[y]]))))
    edm = diffusion.noise("edm", last=5000.0)
    starts = jnp.linspace(-2.0, 2.0, 9)
    end = flow_maps.solved(own, edm, 5000.0 * starts[:, None], 5000.0, 2e-3)[:, 0]
    exact = theory.line_end(theory.on_line(LINE, 0.5, jnp.asarray([y])), starts)[0]
    np.testing.assert_allclose(end, exact, atol=2e-3)


@pytest.mark.slow
def test_single_images_agree_by_a_third_even_where_sharing_is_exact():
    """Scores beside draws of the data: the means of n images correlate by n / (n + 2), whatever the covariance."""
    rng = np.random.default_rng(2)
    values = np.geomspace(1, 0.1, 30)
    starts, apart = rng.normal(size=(4000, 30)), np.sqrt(values) * rng.normal(size=(400, 30))
    scores = ((apart[:, None] - (np.sqrt(values) * starts)[None]) ** 2).sum(axis=2)
    for n in (1, 5, 25):
        found = np.cov(scores.reshape(-1, n, 4000).mean(axis=1))
        alike = found[np.triu_indices(len(found), 1)].mean() / np.diag(found).mean()
        assert float(theory.agreement(n)) == pytest.approx(alike, abs=0.02)
    assert float(theory.agreement(1)) == pytest.approx(1 / 3)

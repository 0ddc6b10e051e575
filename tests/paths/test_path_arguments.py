"""What the functions of paths and diffusion do with lists, with values out of range, and where they used to be wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lab import diffusion, paths
from lab.diffusion import boundary_theory, expressway, predictions, sharing, shortest, spectra
from lab.numerics import NotConverged, pure, random
from lab.numerics.iterate import scanned
from lab.numerics.mixtures import Mixture
from lab.paths import chi_squared, metrics, potentials, steps

EYE = [[1.0, 0.0], [0.0, 1.0]]
X = np.arange(4.0).reshape(2, 2)


def test_the_best_of_very_many_draws_in_one_dimension():
    # P(chi^2 > u) = 2 - 2 Phi(sqrt u), near 1 - sqrt(2 u / pi): E min = pi / (K + 1)(K + 2) up to the next order
    for k in (5e5, 1e6):
        assert float(boundary_theory.best_of(k, 1)) == pytest.approx(np.pi / ((k + 1) * (k + 2)), rel=1e-5)
    assert float(boundary_theory.best_of(1e6, 2)) == pytest.approx(1e-6, rel=1e-11)  # of exponentials
    assert float(boundary_theory.best_of(1, 3.5)) == pytest.approx(1.0, rel=1e-12)


def test_a_flow_carries_one_point_as_it_carries_many():
    for u in (potentials.Wave(EYE, [1, 2]), potentials.Heat(EYE, [1, 2]), potentials.HamiltonJacobi(EYE, [1, 2])):
        flow = u.flow(0.5)
        np.testing.assert_array_equal(flow([3.0, 4.0]), flow([[3.0, 4.0]])[0])
        with pytest.raises(ValueError, match=r"z has shape \(3,\)"):
            flow(jnp.ones(3))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("t", lambda: diffusion.noise("linear")(1.5)),
        ("t", lambda: diffusion.noise("cosine")([0.5, -0.1])),
        ("t", lambda: diffusion.noise("edm")(-1.0)),
        ("t", lambda: paths.VP()(1.5)),
        ("t", lambda: paths.Brownian()(-0.5)),
        ("t", lambda: paths.interpolate(paths.Linear(), 1.5, X, X)),
        ("x1", lambda: paths.interpolate(paths.Linear(), 0.5, X, X[:1])),
        ("t", lambda: shortest.cosine_at([1.5])),
        ("deviation", lambda: predictions.guided_gaussian(1.0, -0.5, 1.0)),
        ("deviation", lambda: predictions.tilted_gaussian(1.0, [0.5, 0.0], 1.0)),
        ("sigma", lambda: diffusion.preconditioning(-1.0)),
        ("error", lambda: diffusion.bound([0.0, 1.0], [1.0, -1.0])),
        ("members", lambda: diffusion.of_class(paths.standard(1), [0.5])),
        ("eta", lambda: diffusion.samplers.SDE(-1.0)),
        ("tsit5", lambda: steps.RungeKutta("tsit5")),
        ("name", lambda: paths.interpolant("lines", "none", 1.0, paths.standard(1), paths.standard(1))),
        ("scores", lambda: sharing.gap(np.full((3, 3), np.nan), jax.random.key(0))),
        ("steps", lambda: paths.even(0)),
        ("interval", lambda: paths.ode(lambda t, x: x, X, interval=(0.0, 2.0))),
        ("rtol", lambda: paths.adaptive(lambda t, x: x, X, rtol=-1.0)),
        ("covariance", lambda: potentials.joined([0, 0], [[-1.0, 0.0], [0.0, 1.0]], [0, 0], EYE)),
        ("d", lambda: chi_squared.mean_square_density([1.0], 0)),
        ("power", lambda: spectra.fit([1.0, -1.0, 2.0], [0.0, 1.0, 2.0])),
    ],
)
def test_the_error_names_what_is_not_allowed(name, call):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        call()


def test_short_heights_are_an_error():
    vp, law = diffusion.noise("vp"), diffusion.Exact(Mixture([1.0], [[0.0]], [1.0]))
    y, z, key = [[-1.0], [1.0], [2.0]], [[0.3]], jax.random.key(0)
    with pytest.raises(ValueError, match=r"heights has shape \(2,\): shape \(3,\) is needed"):
        expressway.expressway(law, vp, diffusion.grid(vp, 3), 0, y, [0.0, 0.0], z, key=key)


def test_lists_are_arrays():
    prior = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])
    field, times = lambda t, x: -x, [0.0, 0.5, 1.0]
    vp, law = diffusion.noise("vp"), diffusion.Exact(paths.standard(2))
    for listed, wanted in (
        (shortest.geodesic(EYE, [[4, 0], [0, 4]], 0.5), 2 * np.eye(2)),
        (shortest.shortest([1, 2], [1, 0]).signal, [[1.0, 1.0], [0.0, 0.0]]),
        (
            boundary_theory.line_optimum(prior, 0.5, [-1.2, 0]),
            boundary_theory.line_optimum(prior, 0.5, np.array([-1.2, 0.0])),
        ),
        (chi_squared.log_survival([1, 4], 2, 0), [-0.5, -2.0]),
        (diffusion.bound([0, 1], [1, 0.5]).limit, 0.375),
        (paths.ode(field, X.astype(int).tolist(), 3).end, paths.ode(field, X, 3).end),
        (paths.carry(pure, field, X.tolist(), times).end, paths.carry(pure, field, X, times).end),
        (diffusion.sample(law, vp, [0.9, 0.5], X.tolist()).end, diffusion.sample(law, vp, np.array([0.9, 0.5]), X).end),
        (paths.between(times, [0, 1, 2], [0.25]), [0.5]),
    ):
        np.testing.assert_allclose(listed, wanted, atol=1e-12)


def test_a_gap_that_may_be_chance_warns():
    noise = np.random.default_rng(0).normal(size=(8, 4))
    with pytest.warns(NotConverged, match="search on more images"):
        sharing.gap(noise - noise.mean(axis=0), jax.random.key(0))


def test_density_of_squares_at_zero():
    np.testing.assert_allclose(chi_squared.mean_square_density([0.0, 1.0], 2), 2 * stats.chi2(2).pdf([0.0, 2.0]))


def test_the_scanned_loop_gives_what_the_loop_gives():
    def run(loop):
        return paths.carry(loop, lambda t, x: jnp.sin(x) * t, X, [0.0, 0.3, 1.0, 1.0], steps=2)

    one, other = run(pure), run(scanned)
    np.testing.assert_allclose(one.x, other.x, rtol=1e-14)
    assert int(one.steps) == int(other.steps) == 2
    assert int(one.reason) == int(other.reason)


def test_the_derivative_of_the_energy_distance_is_finite():
    x, y = random.normal(jax.random.key(0), (2, 5, 2), float)
    slope = jax.grad(lambda x: metrics.energy_distance(x, y).value)(x)
    step = 1e-6 * jnp.ones_like(x)
    change = metrics.energy_distance(x + step, y).value - metrics.energy_distance(x - step, y).value
    assert float(slope.sum()) == pytest.approx(float(change) / 2e-6, rel=1e-6)

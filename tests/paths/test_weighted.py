"""Gibbs weights: the tilt of both marginals, the exact fields, with and without potentials, and what they carry where."""

import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
import scipy.stats

from lab.numerics import NotConverged, Reason
from lab.numerics.jit import jit
from lab.paths import weighted
from lab.paths.couplings import cost_matrix
from lab.paths.fields import exact
from lab.paths.laws import Empirical, standard
from lab.paths.schedules import Linear
from lab.paths.weighted import Entropic, Gibbs, Uniform, gaussian_tilt, tilt

ATOMS = jnp.asarray([[-2.0], [-0.5], [1.0], [3.0]])
# midpoints of 4000 equal masses of N(0, 1): a sample without sampling error
SOURCE = jnp.asarray(scipy.stats.norm.ppf((np.arange(4000) + 0.5) / 4000))[:, None]


def flow(velocity, x, steps=100, stop=1 - 1e-3):
    """RK4, uniform in time."""
    h = stop / steps

    def step(x, i):
        t = i * h
        a = velocity(t, x)
        b = velocity(t + h / 2, x + h / 2 * a)
        c = velocity(t + h / 2, x + h / 2 * b)
        d = velocity(t + h, x + h * c)
        return x + h / 6 * (a + 2 * b + 2 * c + d), None

    return jax.lax.scan(step, x, jnp.arange(steps))[0]


@pytest.fixture(scope="module")
def potentials():
    return weighted.entropic(SOURCE, ATOMS, 1.0, "half-squared")


@pytest.fixture(scope="module")
def ends(potentials):
    """Where each point of the source is carried by three fields, and by the weighted one from its own source."""

    @jit
    def carried(tilt, x):
        field = exact(Linear(), standard(1), ATOMS, tilt=tilt)
        return flow(lambda t, x: field(t, x).velocity, x)

    def run(tilt, x):
        end = carried(tilt, x)
        return np.abs(np.asarray(end) - np.asarray(ATOMS).T).argmin(1)

    gibbs = Gibbs(1.0, "half-squared")
    fine = jnp.linspace(-6, 6, 4001)[:, None]
    return {
        "W-CFM": run(gibbs, fine),
        "EOT": run(potentials, fine),
        "I-CFM": run(Gibbs(1e9, "half-squared"), fine),
    }, fine


def masses(index, weights):
    return np.bincount(index, weights / weights.sum(), 4)


def test_gaussian_tilt_has_the_numbers_of_the_sheet():
    found = gaussian_tilt(2.0, 0.5, 1.0)
    np.testing.assert_allclose(found.mean, [2 / 2.25, 2 * (1 - 0.25 / 2.25)], rtol=1e-10)
    wanted = [[1 - 1 / 2.25, 0.25 / 2.25], [0.25 / 2.25, 0.25 - 0.0625 / 2.25]]
    np.testing.assert_allclose(found.covariance, wanted, rtol=1e-10)
    np.testing.assert_allclose([found.z, found.ess], [0.274075, 0.440665], atol=5e-7)
    np.testing.assert_allclose(found.velocity(0.4, jnp.asarray([0.3, 1.2])), [1.615385, 0.923077], atol=5e-7)
    precision = np.array([[2.0, -1.0], [-1.0, 1 / 0.25 + 1]])
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), rtol=1e-10)
    # by quadrature of the target, and exactly of both for the numbers of Tilt
    y = 2 + 0.5 * SOURCE
    sample = tilt(SOURCE[::4], y[2::4], 1.0, "half-squared")
    np.testing.assert_allclose([sample.z.value, sample.ess], [0.274075, 0.440665], rtol=2e-3)
    np.testing.assert_allclose(sample.log_z, np.log(sample.z.value), rtol=1e-12)
    np.testing.assert_allclose(jnp.mean(sample.target * y[2::4, 0]), found.mean[1], rtol=1e-3)


@pytest.mark.slow
def test_tilt_of_a_sample_within_its_error():
    z = jax.random.normal(jax.random.key(0), (2, 100, 400, 1))
    found = jax.jit(jax.vmap(lambda x, y: tilt(x, 2 + 0.5 * y, 1.0, "half-squared")))(z[0], z[1])
    scatter = found.z.value.std()
    assert abs(found.z.value.mean() - 0.274075) < 4 * scatter / 10
    np.testing.assert_allclose(found.z.error.mean(), scatter, rtol=0.25)


@pytest.mark.slow
def test_exact_field_is_that_of_gaussians():
    """A target of 4001 points on a grid, with the masses of N(2, 1/4)."""
    y = jnp.linspace(2 - 4.5, 2 + 4.5, 4001)
    nu = jnp.exp(-((y - 2) ** 2) / (2 * 0.25))
    target = Empirical(y[:, None], nu / nu.sum())
    x = jnp.asarray([[0.3], [1.2], [-0.7]])
    for epsilon in (1.0, 0.3):
        field = exact(Linear(), standard(1), target, tilt=Gibbs(epsilon, "half-squared"))
        for t in (0.0, 0.4, 0.9):
            wanted = gaussian_tilt(2.0, 0.5, epsilon).velocity(t, x)
            np.testing.assert_allclose(field(t, x).velocity, wanted, atol=1e-6)


@pytest.mark.slow
def test_costs_of_the_tilt_written_out():
    """The softmax of the sheet by hand, with a named cost, a cost of one's own, and a uniform source."""
    y = jax.random.normal(jax.random.key(1), (6, 2))
    x, t, epsilon = jax.random.normal(jax.random.key(2), (5, 2)), 0.35, 0.7
    x0 = (x[:, None] - t * y[None]) / (1 - t)
    norm = jnp.linalg.norm(x0 - y[None], axis=-1)
    city = jnp.abs(x0 - y[None]).sum(-1)
    own = lambda x, y: jnp.abs(x - y).sum()  # noqa: E731
    for rule, extra in (
        (Gibbs(epsilon), -norm / epsilon),
        (Gibbs(epsilon, own), -city / epsilon),
        (Gibbs(1e8), jnp.zeros_like(norm)),
    ):
        w = jax.nn.softmax(-(x0**2).sum(-1) / 2 + extra, axis=1)
        wanted = ((y[None] - x[:, None]) * w[:, :, None]).sum(1) / (1 - t)
        np.testing.assert_allclose(exact(Linear(), standard(2), y, tilt=rule)(t, x).velocity, wanted, atol=1e-6)
    box = Uniform(-2 * jnp.ones(2), 2 * jnp.ones(2))
    gibbs = Gibbs(epsilon)
    inside = (jnp.abs(x0) <= 2).all(-1)
    assert inside.any(1).all()
    assert not inside.all()
    w = jax.nn.softmax(jnp.where(inside, -norm / epsilon, -jnp.inf), axis=1)
    wanted = ((y[None] - x[:, None]) * w[:, :, None]).sum(1) / (1 - t)
    both = exact(Linear(), standard(2), y, tilt=lambda pair: box(pair) + gibbs(pair))
    np.testing.assert_allclose(both(t, x).velocity, wanted, atol=1e-9)


@pytest.mark.slow
def test_four_atoms(potentials, ends):
    """The tilted masses, the masses that each field carries there from each source, and the cost of transport."""
    index, x = ends
    nu_w = tilt(SOURCE, ATOMS, 1.0, "half-squared").target / 4
    np.testing.assert_allclose(nu_w, [0.1679, 0.4287, 0.3554, 0.0481], atol=2e-4)
    normal = np.exp(-(np.asarray(x[:, 0]) ** 2) / 2)
    tau = np.asarray(jnp.exp(-cost_matrix(x, ATOMS, "half-squared")).mean(1))
    np.testing.assert_allclose(masses(index["W-CFM"], normal * tau), nu_w, atol=2e-3)
    np.testing.assert_allclose(masses(index["W-CFM"], normal), [0.174, 0.4045, 0.3625, 0.059], atol=2e-3)
    np.testing.assert_allclose(masses(index["EOT"], normal), 0.25, atol=2e-3)
    np.testing.assert_allclose(masses(index["I-CFM"], normal), 0.25, atol=2e-3)
    g = np.asarray(potentials.g)
    np.testing.assert_allclose(g - g.mean(), [-0.2045, -1.1187, -0.6994, 2.0225], atol=2e-3)
    plan = np.exp(
        np.asarray(potentials.potential(SOURCE))[:, None] + g[None] - np.asarray(cost_matrix(SOURCE, ATOMS))
    ) / (4000 * 4)
    np.testing.assert_allclose(plan.sum(0), 0.25, atol=1e-7)
    np.testing.assert_allclose(plan.sum(1), 1 / 4000, rtol=1e-12)
    # what the flows cost: on the line each is the monotone map between its ends, whose cost is a sum over quantiles
    squares = (np.asarray(x) - np.asarray(ATOMS)[:, 0][None]) ** 2
    for name, weights, wanted in (
        ("EOT", normal, 1.14129),
        ("I-CFM", normal, 1.14129),
        ("W-CFM", normal, 0.2763),
        ("W-CFM", normal * tau, 0.26747),
    ):
        cost = (weights / weights.sum()) @ squares[np.arange(4001), index[name]]
        np.testing.assert_allclose(cost, wanted, atol=4e-3)


@pytest.mark.slow
def test_weighted_coupling_is_entropic_transport_of_its_own_marginals():
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(9, 2))), jnp.asarray(rng.normal(size=(7, 2)) + 1)
    for cost, epsilon in (("norm", 0.7), ("half-squared", 1.3)):
        costs = np.asarray(cost_matrix(x, y, cost))
        found = tilt(x, y, epsilon, cost)
        plan = np.exp(-costs / epsilon)
        plan /= plan.sum()
        np.testing.assert_allclose(found.source / 9, plan.sum(1), rtol=1e-12)
        np.testing.assert_allclose(found.target / 7, plan.sum(0), rtol=1e-12)
        np.testing.assert_allclose(found.transport, (plan * costs).sum(), rtol=1e-12)
        np.testing.assert_allclose(found.divergence, (plan * np.log(plan * 63)).sum(), rtol=1e-10)
        again = ot.sinkhorn(plan.sum(1), plan.sum(0), costs, epsilon, stopThr=1e-14, numItermax=10_000)
        np.testing.assert_allclose(plan, again, atol=1e-10)
        scaled = tilt(x, y, 3 * epsilon, lambda x, y, c=cost: 3 * cost_matrix(x[None], y[None], c)[0, 0])
        np.testing.assert_allclose(scaled.target, found.target, rtol=1e-10)
        even = np.ones(9) / 9, np.ones(7) / 7
        entropic = ot.sinkhorn(*even, costs, epsilon, stopThr=1e-13, numItermax=10_000)
        wanted = (plan * np.log(plan / entropic)).sum()
        np.testing.assert_allclose(weighted.divergence_from_entropic(x, y, epsilon, cost), wanted, atol=1e-7)


@pytest.mark.slow
def test_what_falls_with_epsilon():
    x, y = jax.random.normal(jax.random.key(4), (2, 60, 2)) + jnp.asarray([0.0, 1.0])[:, None, None]
    epsilons = jnp.asarray([1e-3, 0.05, 0.3, 1.0, 5.0, 1e3])
    found = jax.jit(jax.vmap(lambda e: tilt(x, y, e)))(epsilons)
    sharp, found = (jax.tree.map(lambda each, rows=rows: np.asarray(each)[rows], found) for rows in (0, slice(1, None)))
    assert found.target.shape == (5, 60)
    assert (np.diff(found.transport) > 0).all()
    assert found.transport[-1] <= cost_matrix(x, y, "norm").mean()
    assert (np.diff(found.source_variance) < 0).all()
    assert (np.diff(found.ess) > 0).all()
    np.testing.assert_allclose([found.ess[-1], found.z.value[-1]], 1, atol=0.01)
    assert found.source_variance[-1] < 1e-5
    assert found.target_variance[-1] < 1e-5
    assert weighted.divergence_from_entropic(x, y, 1e3) < 1e-5
    assert all(np.isfinite(each).all() for each in jax.tree.leaves(sharp))
    assert sharp.ess < 0.01


@pytest.mark.slow
def test_targets_of_constant_norm_are_not_tilted():
    angle = 2 * jnp.pi * jnp.arange(5) / 5
    circle = 2 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    turns = [jnp.asarray([[jnp.cos(a), -jnp.sin(a)], [jnp.sin(a), jnp.cos(a)]]) for a in angle]
    x = jax.random.normal(jax.random.key(0), (80, 2)) + 0.4
    x = jnp.concatenate([x @ turn.T for turn in turns])  # a sample with the symmetry of the target
    np.testing.assert_allclose(tilt(x, circle, 0.5).target, 1, rtol=1e-12)
    field = exact(Linear(), standard(2), circle, tilt=Gibbs(2.0))
    end = jax.jit(lambda x: flow(lambda t, x: field(t, x).velocity, x, 40))(x)
    nearest = np.asarray(cost_matrix(end, circle)).argmin(1)
    np.testing.assert_array_equal(np.bincount(nearest, minlength=5), 80)


@pytest.mark.slow
def test_tabulated_potentials_are_those_of_the_points(potentials):
    """On a line and in the plane, within the error of linear interpolation, and in the field; outside as at the edge."""
    plane = Entropic(2.0, jnp.concatenate([ATOMS, -ATOMS[::-1]], axis=1), jnp.full(4, 0.25), potentials.g)
    for exact_, size, d in ((potentials, 801, 1), (plane, 97, 2)):
        table = weighted.tabulated(exact_, -6 * jnp.ones(d), 6 * jnp.ones(d), size)
        x = jax.random.normal(jax.random.key(0), (200, d))
        ends = np.stack([np.full(d, 18.0), np.full(d, 6.0)])
        one, other = (
            jit(lambda each, x: each.potential(x))(each, np.concatenate([x, ends])) for each in (table, exact_)
        )
        np.testing.assert_allclose(one[:200], other[:200], atol=2e-2 if d == 2 else 2e-4)
        np.testing.assert_allclose(one[200], other[201], rtol=1e-9)
        a, b = (exact(Linear(), standard(d), exact_.points, tilt=each)(0.4, x).velocity for each in (table, exact_))
        np.testing.assert_allclose(a, b, atol=1e-3 if d == 1 else 2e-2)
    with pytest.raises(ValueError, match="the points have 3 dimensions"):
        weighted.tabulated(Entropic(1.0, jnp.ones((4, 3)), jnp.full(4, 0.25), potentials.g), 0 * x[0], x[0], 5)


@pytest.mark.slow
def test_potentials_say_how_they_were_found(potentials):
    assert int(potentials.reason) == Reason.CONVERGED
    with pytest.warns(NotConverged):
        few = weighted.entropic(SOURCE, ATOMS, 1e-3, "half-squared", max_iterations=5)
    assert int(few.reason) == Reason.MAX_ITERATIONS


@pytest.mark.slow
def test_refusals(potentials):
    assert isinstance(potentials, Entropic)
    for make, sentence in (
        (lambda: Gibbs(0.0), "epsilon = 0.0, but it must be positive"),
        (lambda: tilt(SOURCE, ATOMS, -1.0), "epsilon = -1.0"),
        (lambda: gaussian_tilt(1.0, 1.0, 0.0), "epsilon = 0.0"),
        (lambda: weighted.entropic(SOURCE, ATOMS, 0.0), "epsilon = 0.0"),
        (lambda: tilt(ATOMS, ATOMS, 1.0, lambda x, y: (x - y).sum()), "the cost is -5 somewhere"),
        (lambda: tilt(ATOMS, ATOMS, 1.0, lambda x, y: jnp.log(x - y).sum()), "or not a number"),
    ):
        with pytest.raises(ValueError, match=sentence):
            make()


def test_masses_and_corners_outside_the_domain():
    for call in (tilt, weighted.entropic, weighted.divergence_from_entropic):
        with pytest.raises(ValueError, match="the weights sum to 4"):
            call(SOURCE[:50], ATOMS, 1.0, weights=jnp.ones(4))
        with pytest.raises(ValueError, match="finite and not negative"):
            call(SOURCE[:50], ATOMS, 1.0, weights=jnp.asarray([-0.5, 0.5, 0.5, 0.5]))
    with pytest.raises(ValueError, match="low < high"):
        Uniform(jnp.ones(2), jnp.zeros(2))

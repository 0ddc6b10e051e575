"""Sliced distances: against POT, in closed form, and in order."""

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest

from lab.ot import sliced

RNG = np.random.default_rng(14)
X, Y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 5)) * 1.5 + 0.3
THETA = sliced.directions(jax.random.key(2), 64, 5)


@pytest.mark.slow
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("sizes", [(30, 30), (30, 17), (1, 8)])
def test_a_line_is_that_of_pot(p, sizes):
    u, v = (RNG.normal(size=size) for size in sizes)
    a, b = (RNG.dirichlet(np.ones(size)) for size in sizes)
    a = np.where(np.arange(a.size) == 3, 0, a) if a.size > 4 else a  # a point without mass
    a = a / a.sum()
    for masses in ((None, None), (a, b)):
        given = [None if each is None else jnp.asarray(each) for each in masses]
        found = float(sliced.on_line(jnp.asarray(u), jnp.asarray(v), *given, p=p))
        full = [np.full(size, 1 / size) if each is None else each for each, size in zip(masses, sizes, strict=True)]
        cost = np.abs(u[:, None] - v[None]) ** p
        assert found == pytest.approx(pot.emd2(*full, cost), rel=1e-9)
        assert found == pytest.approx(float(pot.wasserstein_1d(u, v, *full, p=p)), rel=1e-9)


@pytest.mark.slow
def test_equal_sizes_agree_with_the_way_of_all_sizes():
    u, v = jnp.asarray(X.T), jnp.asarray(Y.T)
    uniform = jnp.full(40, 1 / 40)
    np.testing.assert_allclose(sliced.on_line(u, v), sliced.on_line(u, v, uniform, uniform), rtol=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_it_is_pots_for_the_same_directions(p):
    found = sliced.sliced(jnp.asarray(X), jnp.asarray(Y[:23]), THETA, p=p)
    theirs = pot.sliced_wasserstein_distance(X, Y[:23], projections=np.asarray(THETA).T, p=p)
    assert float(found.value) == pytest.approx(float(theirs), rel=1e-9)


def test_a_translation_is_seen_as_its_projections():
    t = np.array([1.0, -2.0, 0.5, 0.0, 1.0])
    x, y = jnp.asarray(X), jnp.asarray(X + t)
    found = sliced.sliced(x, y, THETA)
    np.testing.assert_allclose(found.by_direction, (np.asarray(THETA) @ t) ** 2, rtol=1e-9)
    many = sliced.sliced(x, y, sliced.directions(jax.random.key(5), 4000, 5))
    assert float(many.value) == pytest.approx((t @ t / 5) ** 0.5, abs=4 * float(many.standard_error))
    assert float(many.standard_error) < 0.02
    best = sliced.max_sliced(x, y, THETA[:8])
    assert float(best.value) == pytest.approx((t @ t) ** 0.5, rel=1e-6)
    assert abs(best.theta @ t) == pytest.approx((t @ t) ** 0.5, rel=1e-6)


@pytest.mark.slow
def test_standard_errors_are_those_of_repeats():
    values, errors = [], []
    for seed in range(200):
        found = sliced.sliced(jnp.asarray(X), jnp.asarray(Y), sliced.directions(jax.random.key(seed), 30, 5))
        values.append(float(found.value))
        errors.append(float(found.standard_error))
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.2)
    assert np.isnan(sliced.sliced(jnp.asarray(X), jnp.asarray(Y), THETA[:1]).standard_error)


def test_the_mean_is_below_the_energy_which_is_below_the_best():
    x, y = jnp.asarray(X), jnp.asarray(Y)
    mean, energy = sliced.sliced(x, y, THETA), sliced.energy_based(x, y, THETA)
    weights = np.exp(np.asarray(mean.by_direction))
    assert float(energy.value) == pytest.approx(np.sqrt(weights @ mean.by_direction / weights.sum()), rel=1e-9)
    best = sliced.max_sliced(x, y, THETA)
    assert float(mean.value) < float(energy.value) < float(mean.by_direction.max() ** 0.5) <= float(best.value) + 1e-12
    assert (np.diff(best.trace) >= 0).all()
    angle = np.linspace(0, np.pi, 4000)  # in the plane all directions can be looked at
    circle = jnp.asarray(np.c_[np.cos(angle), np.sin(angle)])
    plane = jnp.asarray(X[:, :2]), jnp.asarray(Y[:, :2])
    found = sliced.max_sliced(*plane, circle[::400])
    assert float(found.value) == pytest.approx(float(sliced.by_direction(*plane, circle).max() ** 0.5), rel=1e-5)


def test_both_ways_together_or_apart():
    x, y = jnp.asarray(X), jnp.asarray(Y[:25])
    assign = jax.nn.softmax(x @ y.T, axis=1)
    back = jax.nn.softmax(y @ x.T, axis=1)
    seen = back @ x, assign @ y
    one = float(sliced.sliced(x, seen[1], THETA).value) ** 2
    other = float(sliced.sliced(y, seen[0], THETA).value) ** 2
    assert float(sliced.bidirectional(x, y, *seen, THETA)) == pytest.approx((one + other) ** 0.5, rel=1e-9)
    apart = float(sliced.bidirectional(x, y, *seen, THETA, root="separate"))
    assert apart == pytest.approx(one**0.5 + other**0.5, rel=1e-9)
    assert float(sliced.bidirectional(x, y, *seen, THETA, energy=True)) > (one + other) ** 0.5
    mixed = RNG.permutation(40)
    assert float(sliced.bidirectional(x, x[mixed], x[mixed], x, THETA)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sliced", "energy_based", "max_sliced", "uneven"])
def test_slopes_are_those_of_differences(name):
    wide = 1.3 * X + np.array([0.4, 0.0, -0.3, 0.2, 0.0])
    y = jnp.asarray({"uneven": Y[:23], "max_sliced": wide}.get(name, Y))

    def value(x):
        if name == "max_sliced":
            return sliced.max_sliced(x, y, THETA[:4], steps=400).value
        return (sliced.sliced if name == "uneven" else getattr(sliced, name))(x, y, THETA, p=2.0).value

    step = 1e-6 * RNG.normal(size=X.shape)
    apart = float(value(jnp.asarray(X + step)) - value(jnp.asarray(X - step))) / 2
    assert float((jax.grad(value)(jnp.asarray(X)) * step).sum()) == pytest.approx(apart, rel=2e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"p = 0.5, but the power of the distance must be at least 1"):
        sliced.on_line(jnp.zeros(3), jnp.zeros(3), p=0.5)
    with pytest.raises(ValueError, match=r"y has shape \(40, 4\): shape \(n, d\) is needed, with d = 5"):
        sliced.by_direction(X, Y[:, :4], THETA)
    with pytest.raises(ValueError, match=r"y\[0, 0\] = inf"):
        sliced.by_direction(X, np.full((2, 5), np.inf), THETA)
    with pytest.raises(ValueError, match=r"x\[0, 0\] = nan"):
        sliced.sliced(jnp.full((3, 5), jnp.nan), jnp.asarray(Y), THETA)
    with pytest.raises(ValueError, match=r"a has shape \(2,\)"):
        sliced.on_line([0, 1, 5], [2], a=[0.5, 0.5], b=[1])
    for masses, words in (([0.5, 0.6, 0.5], "a sums to 1.6"), ([-0.5, 1.0, 0.5], r"a\[0\] = -0.5")):
        with pytest.raises(ValueError, match=words):
            sliced.on_line([0, 1, 5], [2], a=masses)
    assert float(sliced.on_line([0, 1, 5], [2], a=[0.25, 0.25, 0.5])) == 0.25 * 4 + 0.25 * 1 + 0.5 * 9
    with pytest.raises(ValueError, match="root = 'both', but it must be one of 'joint', 'separate'"):
        sliced.bidirectional(*(jnp.asarray(X),) * 4, THETA, root="both")


@pytest.mark.parametrize("p", [0.5, 0.0, -1.0, float("inf"), float("nan")])
def test_a_power_below_one_is_refused_by_every_door(p):
    x, theta = jnp.ones((3, 2)), jnp.eye(2)
    for door in (sliced.sliced, sliced.by_direction):
        with pytest.raises(ValueError, match="at least 1 and finite"):
            door(x, x + 1, theta, p=p)

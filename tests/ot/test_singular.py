"""The singular set of semi-discrete maps: best cells by a whole matrix, angles in closed form, what extensions may do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.ot import semidiscrete, singular

RNG = np.random.default_rng(11)
Y, X, H = RNG.normal(size=(23, 3)), RNG.normal(size=(60, 3)), 0.3 * RNG.normal(size=23)


def test_best_cells_are_those_of_the_whole_matrix():
    scores = X @ Y.T + H
    order = np.argsort(-scores, axis=1, kind="stable")
    for k, block in ((1, 23), (4, 5), (4, 1), (23, 7)):
        found = singular.best(jnp.asarray(H), jnp.asarray(Y), jnp.asarray(X), k, block)
        np.testing.assert_array_equal(found.index, order[:, :k])
        np.testing.assert_allclose(found.score, np.take_along_axis(scores, order[:, :k], axis=1), atol=1e-12)
    with pytest.raises(ValueError, match="k = 24, but of 23 targets"):
        singular.best(jnp.asarray(H), jnp.asarray(Y), jnp.asarray(X), 24)


def test_angles():
    y = jnp.asarray(Y)
    theta = np.asarray(singular.angle(jnp.repeat(y, 23, axis=0), jnp.tile(y, (23, 1)))).reshape(23, 23)
    length = np.sqrt((Y**2).sum(1) + 1)
    np.testing.assert_allclose(np.cos(theta), (Y @ Y.T + 1) / length[:, None] / length[None], atol=1e-12)
    np.testing.assert_array_equal(np.diag(theta), 0)
    np.testing.assert_array_equal(theta, theta.T)
    assert (theta >= 0).all()
    assert (theta <= np.pi).all()
    # of slopes a and b on a line the angle is |atan a - atan b|
    slopes = RNG.normal(scale=5, size=(2, 8, 1))
    expected = np.abs(np.arctan(slopes[0]) - np.arctan(slopes[1]))[:, 0]
    np.testing.assert_allclose(singular.angle(*map(jnp.asarray, slopes)), expected, atol=1e-12)


def test_thresholds_at_both_ends():
    arrays = tuple(map(jnp.asarray, (H, Y, X)))
    none, every = singular.jump(*arrays, jnp.pi), singular.jump(*arrays, 0.0)
    assert not none.singular.any()
    assert every.singular.all()
    np.testing.assert_array_equal(none.x, Y[np.asarray(none.index)])
    np.testing.assert_array_equal(none.index, semidiscrete.assign(*arrays))
    relative = singular.jump(*arrays, 0.7, relative=True)
    share = (relative.angle - relative.angle.min()) / np.ptp(relative.angle)
    np.testing.assert_array_equal(relative.singular, share > 0.7)


@pytest.mark.parametrize("extend", ["pair", "mass-centre"])
def test_extensions_stay_between_neighbours_and_off_the_singular_set(extend):
    arrays = tuple(map(jnp.asarray, (H, Y, X)))
    middle = singular.centres(*arrays[:2], jnp.asarray(RNG.normal(size=(4000, 3))))
    found = singular.jump(*arrays, 0.6, extend=extend, centres=middle, key=jax.random.key(3))
    one, two = Y[np.asarray(found.index)], Y[np.asarray(found.other)]
    along = ((np.asarray(found.x) - one) * (two - one)).sum(1) / ((two - one) ** 2).sum(1)
    np.testing.assert_allclose(found.x, one + along[:, None] * (two - one), atol=1e-12)
    off = np.asarray(found.singular)
    assert 0.1 < off.mean() < 0.95
    np.testing.assert_array_equal(along[off], 0)
    assert (along >= 0).all()
    assert (along <= 1).all()
    if extend == "mass-centre":
        near, far = (
            np.linalg.norm(X - np.asarray(middle)[np.asarray(which)], axis=1) for which in (found.index, found.other)
        )
        np.testing.assert_allclose(along[~off], (1 / far / (1 / near + 1 / far))[~off], atol=1e-12)
    else:
        assert along[~off].std() == pytest.approx(12**-0.5, abs=0.12)


def test_mass_centres_halve_a_line():
    """Two targets of equal mass under N(0, 1): the cells are half lines, of mean plus and minus sqrt(2 / pi)."""
    found = semidiscrete.on_line([-1.0, 2.0], source="gaussian")
    x = jnp.asarray(RNG.normal(size=(40_000, 1)))
    middle = singular.centres(found.heights, jnp.array([[-1.0], [2.0]]), x)
    np.testing.assert_allclose(middle[:, 0], [-np.sqrt(2 / np.pi), np.sqrt(2 / np.pi)], atol=0.02)
    empty = singular.centres(jnp.array([0.0, -1e9]), jnp.array([[-1.0], [2.0]]), x)
    np.testing.assert_allclose(empty[1], x.mean(axis=0))


def test_what_is_missing_gets_a_sentence():
    arrays = tuple(map(jnp.asarray, (H, Y, X)))
    with pytest.raises(ValueError, match="needs the mass centres"):
        singular.jump(*arrays, extend="mass-centre")
    with pytest.raises(ValueError, match="give a key"):
        singular.jump(*arrays, extend="pair")
    with pytest.raises(ValueError, match="extend"):
        singular.jump(*arrays, extend="both")

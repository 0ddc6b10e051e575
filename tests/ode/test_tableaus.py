"""Pairs: their conditions of order, and where they are stable."""

import numpy as np
import pytest

from lab import ode
from lab.ode.tableaus import PAIRS, Tableau


@pytest.mark.parametrize("tableau", PAIRS.values(), ids=PAIRS)
def test_rows_and_weights_are_consistent(tableau):
    np.testing.assert_allclose(tableau.a.sum(axis=1), tableau.c, atol=1e-14)
    assert abs(tableau.error.sum()) < 1e-14
    assert abs(tableau.b.sum() - 1) < 1e-14
    assert np.array_equal(tableau.a, np.tril(tableau.a, -1))
    for power in range(1, 5):  # quadrature conditions up to order 5, of the embedded weights up to 4
        assert abs(tableau.b @ tableau.c**power - 1 / (power + 1)) < 1e-13
    for power in range(1, 4):
        assert abs(tableau.error @ tableau.c**power) < 1e-13


def test_the_pairs_are_those_of_diffrax():
    import diffrax

    for tableau, theirs in ((ode.TSIT5, diffrax.Tsit5.tableau), (ode.DOPRI5, diffrax.Dopri5.tableau)):
        for row, known in zip(tableau.a[1:], theirs.a_lower, strict=True):
            np.testing.assert_allclose(row[: len(known)], known, atol=1e-14)
        np.testing.assert_allclose(tableau.b, theirs.b_sol, atol=1e-14)
        np.testing.assert_allclose(tableau.error, theirs.b_error, atol=1e-14)


def test_the_stability_polynomial_and_its_limit():
    z = np.array([-3.0, -1.0, 0.5])
    known = sum(z**k / np.prod(np.arange(1, k + 1)) for k in range(6)) + 0.0014322113248 * z**6
    np.testing.assert_allclose(ode.amplification(ode.TSIT5, z), known, rtol=1e-10)
    assert ode.real_limit(ode.TSIT5) == pytest.approx(3.5068470, abs=1e-7)
    assert ode.real_limit(ode.TSIT5) == pytest.approx(ode.TSIT5.limit, abs=1e-12)
    assert ode.real_limit(ode.DOPRI5) == pytest.approx(ode.DOPRI5.limit, abs=1e-12)


def test_a_pair_by_name_or_of_ones_own():
    assert ode.pair("dopri5") is ode.DOPRI5
    assert ode.pair(ode.TSIT5) is ode.TSIT5
    with pytest.raises(ValueError, match="name = 'euler'"):
        ode.pair("euler")
    heun = Tableau(
        "heun", np.array([[0.0, 0], [1, 0]]), np.array([0.5, 0.5]), np.array([-0.5, 0.5]), np.array([0.0, 1]), 2, 2.0
    )
    with pytest.raises(ValueError, match="heun does not end with two stages"):
        ode.pair(heun)

"""A path of one's own as a study."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import paths, studies
from lab.paths import weighted


@pytest.mark.slow
def test_a_straight_path_of_ones_own_is_the_straight_one():
    mine = studies.path_study("Plain", paths.Custom(lambda t: 1 - t, lambda t: t))
    result = mine(data="three-gaussians", n=64, steps=6, solver="heun").run()
    np.testing.assert_allclose(result.paths[0], result.paths[1], atol=1e-12)
    assert int(result.nfe) == 12
    assert float(result.own_fit) == pytest.approx(float(result.straight_fit), abs=1e-10)
    np.testing.assert_allclose(result.alpha, 1 - result.moment, atol=1e-12)
    # the energy of a polygon is that of its chord and its bends
    chord = ((result.paths[0, -1] - result.paths[0, 0]) ** 2).sum("axis").mean()
    assert float(result.energy[0]) == pytest.approx(float(chord + result.straightness[0]), rel=1e-10)
    assert studies.find("plain") is mine


@pytest.mark.slow
def test_a_faster_clock_leaves_the_curves_and_changes_the_times():
    squared = studies.path_study("Late", paths.Custom(lambda t: 1 - t**2, lambda t: t**2))
    late = squared(data="two-mode-pair", n=32, steps=256, solver="rk4").run()
    np.testing.assert_allclose(late.paths[0, -1], late.paths[1, -1], atol=2e-3)  # they end at the same places
    half = int(np.argmin(np.abs(late.t.values - 0.5)))
    quarter = int(np.argmin(np.abs(late.t.values - 0.25)))
    np.testing.assert_allclose(late.paths[0, half], late.paths[1, quarter], atol=2e-3)  # by t squared
    assert float(late.own_energy) > float(late.straight_energy)


@pytest.mark.slow
def test_a_coupling_of_ones_own():
    tilted = studies.path_study("Gibbs", tilt=weighted.Gibbs(jnp.asarray(8.0), "norm"))
    result = tilted(data="eight-gaussians", n=48, steps=12).run()
    assert float(result.own_energy) < float(result.straight_energy)  # near pairs weigh more


def test_bad_paths_are_refused():
    with pytest.raises(ValueError, match="schedule, or a coupling"):
        studies.path_study("Nothing")
    with pytest.raises(ValueError, match=r"alpha\(1\)"):
        studies.path_study("Off", paths.Custom(lambda t: 1 - t / 2, lambda t: t))
    with pytest.raises(ValueError, match="give a slug"):
        studies.path_study("!!", paths.Linear())

"""The study of regularized neural differential equations, and a field of one's own, beyond the contract."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import ode, studies
from lab.ode import fields
from lab.studies.ode import analysis
from lab.studies.ode.regularized_ndes import RegularizedNDEs

pytestmark = pytest.mark.slow

SMALL = {"system": "classifier", "data": "disc-in-ring", "train_steps": 6, "units": 8, "batch": 100}


@pytest.fixture(scope="module")
def trained():
    return RegularizedNDEs(**SMALL).run()


def test_the_steps_are_those_of_the_solver():
    run = RegularizedNDEs(mu=20.0, length=1.0).run()
    known = ode.solve(fields.field("van-der-pol", 20.0), jnp.array([2.0, 0.0]), h0=0.01)
    count = int(known.accepted + known.rejected)
    assert int(run.iterations) == count
    np.testing.assert_allclose(run.step_h[:count], known.rows.h[:count], rtol=1e-6)
    assert np.isnan(run.step_h[count:]).all()
    taken = run.step_accepted.values[:count] > 0
    np.testing.assert_allclose(run.way.values[:count][taken][-1], known.y, rtol=1e-10)
    assert float(run.reg_E) == pytest.approx(float(ode.error_of(known)), rel=1e-6)
    np.testing.assert_allclose(run.spent[0], [2, 0])
    np.testing.assert_allclose(run.spent[-1], known.y, rtol=1e-10)


def test_a_classifier_comes_from_the_store_when_it_is_asked_for_again(trained):
    reports = []
    again = RegularizedNDEs(**SMALL).run(lambda told: reports.append(told) and False)
    assert not reports
    for name, variable in trained.data_vars.items():
        np.testing.assert_array_equal(again[name], variable, name)
    assert {"paths", "curve_loss", "nfe_train"} <= set(trained)
    assert {"way", "misfit", "slope_held"}.isdisjoint(trained)


def test_a_training_that_was_stopped_is_shown_and_not_kept():
    given = SMALL | {"seed": 3}
    half = RegularizedNDEs(**given).run(lambda told: told.iteration >= 2)
    assert half.attrs["reason"] == "stopped"
    assert np.isnan(half.curve_loss[-1])
    assert np.isfinite(half.paths).all()
    whole = RegularizedNDEs(**given).run()
    assert whole.attrs["reason"] == "converged"
    assert np.isfinite(whole.curve_loss).all()


def test_pictures_of_a_training_and_of_sweeps_are_drawn(trained):
    import holoviews as hv

    study = RegularizedNDEs(**SMALL)
    for name in ("steps", "flow", "errors"):
        hv.renderer("matplotlib").get_plot(study.pictures[name](trained))
    assert "no classifier was trained" in study.pictures.flow.applies(RegularizedNDEs(length=1.0).run())
    swept = study.along(strength=[0.0, 1.0])
    assert not study.pictures.pareto.applies(swept)
    hv.renderer("matplotlib").get_plot(study.pictures.pareto(swept))
    terms = study.along(term=["ER", "vanilla"])
    hv.renderer("matplotlib").get_plot(study.pictures.bars(terms))


def test_what_is_not_allowed_gets_a_sentence():
    with pytest.raises(ValueError, match="term = 'Tay2' is not allowed with noise"):
        RegularizedNDEs(system="neural SDE", term="Tay2").run()
    with pytest.raises(ValueError, match=r"strength = -1.0 is not allowed"):
        RegularizedNDEs(strength=-1.0)
    with pytest.raises(ValueError, match=r"tolerance = 0.0 is not allowed"):
        RegularizedNDEs(tolerance=0.0)


def test_too_many_steps_are_told():
    """Of more steps than are drawn, sums are of all: against the other loop."""
    study = RegularizedNDEs(system="relaxation", mu=100.0, length=60.0)
    run = study.run()
    assert "Only the first 1000 steps are drawn" in run.attrs["advice"]
    steps = ode.solve(
        fields.field("relaxation", 100.0),
        jnp.asarray(fields.FIELDS["relaxation"].y0),
        0.0,
        60.0,
        rtol=study.tolerance,
        atol=study.tolerance,
        h0=study.h0,
        max_steps=8000,
        controller=analysis.CONTROLLERS[study.controller],
    )
    assert int(steps.accepted) > 1000
    assert int(run.nfe) == int(steps.evaluations)
    assert (int(run.accepted), int(run.rejected)) == (int(steps.accepted), int(steps.rejected))
    assert float(run.reg_E) == pytest.approx(float(ode.error_of(steps)), rel=1e-6)
    assert float(run.when[-1]) == pytest.approx(60.0)
    assert run.sizes["step"] == 1000


def test_a_field_of_ones_own():
    """A relaxation at a rate of its own: its stiffness is that rate; several starts are one state."""
    made = studies.field_study(
        "My relaxation",
        lambda t, y, mu: jnp.stack([-mu * (y[0] - jnp.cos(t)), -y[1]]),
        [[0.0, 1.0], [1.0, 2.0]],
        mu=150.0,
        length=4.0,
    )
    run = made().run()
    assert made().mu == 150
    late = run.step_S.values[(run.step_accepted > 0).values & (run.step_t > 1).values]
    assert np.median(late) == pytest.approx(150, rel=1e-3)
    known = ode.solve(
        lambda t, y: jnp.stack([-150 * (y[:, 0] - jnp.cos(t)), -y[:, 1]], axis=1),
        jnp.array([[0.0, 1.0], [1.0, 2.0]]),
        0.0,
        4.0,
        h0=0.01,
        max_steps=512,
    )
    assert int(run.accepted) == int(known.accepted)
    assert studies.find("my-relaxation") is made
    assert made.pictures.steps(run) is not None
    again = made.from_recipe(run.attrs and made().recipe())
    assert again.values() == made().values()


def test_fields_of_ones_own_that_can_not_be_are_refused():
    with pytest.raises(ValueError, match=r"the field gives \(1,\) for y of shape \(2,\)"):
        studies.field_study("Short", lambda t, y: y[:1], [1.0, 2.0])
    with pytest.raises(TypeError, match="can't be called"):
        studies.field_study("Long", lambda t, y: y[5] @ y, [1.0, 2.0])
    with pytest.raises(ValueError, match="there are only"):
        studies.field_study("Odd", lambda t, y: -y, [1.0], mu=2.0)
    with pytest.raises(ValueError, match="give a slug"):
        studies.field_study("!!", lambda t, y: -y, [1.0])

"""The study of policy gradients, beyond the contract that every study keeps."""

import re

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets, studies
from lab.policy import environments
from lab.studies.policy.policy_gradient import PolicyGradient
from lab.studies.policy.policy_gradient.experiment import RULES, SHORT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run():
    return PolicyGradient().run()


def test_numbers_are_what_the_curves_say(run):
    t = run["update"].values
    since = np.diff(t, prepend=-1)
    late, tenth, third = t >= 60, t >= 0.9 * 1199, t >= 1199 * 2 / 3
    for rule, short in SHORT.items():
        error = run.err.sel(rule=rule).mean("run").values
        slope = np.polyfit(np.log(t[late]), np.log(error[late]), 1)[0]
        assert float(run[f"slope_{short}"]) == pytest.approx(slope, rel=1e-9)
        assert float(run[f"err_{short}"]) == pytest.approx(np.average(error[tenth], weights=since[tenth]), rel=1e-9)
        earned = run.ret.sel(rule=rule).mean("run").values
        assert float(run[f"last_{short}"]) == pytest.approx(np.average(earned[third], weights=since[third]), rel=1e-9)
        gap = float(run.best) - run.value.sel(rule=rule)[:, -1].mean()
        assert float(run[f"gap_{short}"]) == pytest.approx(float(gap), abs=0.02)  # one update later
    assert float(run.best) == pytest.approx(9.7874, abs=1e-4)
    np.testing.assert_array_equal(run.steps.sel(rule="PG")[0], 20 * (t + 1))
    # at first all of J is known: of the process, by NumPy
    P, R, law = (PolicyGradient().load().arrays[key] for key in ("transitions", "rewards", "start"))
    J, law = 0.0, law.copy()
    for h in range(20):
        J += 0.95**h * law @ R.mean(axis=1)
        law = law @ P.mean(axis=1)
    np.testing.assert_allclose(run.value[:, :, 0], J, rtol=1e-12)


def test_what_is_looked_at_is_of_the_method_that_is_shown(run):
    np.testing.assert_allclose(run.choice.sum("column"), 1, atol=1e-12)
    other = PolicyGradient(shown="PG").run()
    np.testing.assert_array_equal(other.err, run.err)  # nothing is trained anew
    assert np.abs(other.choice.values - run.choice.values).max() > 0.01
    assert other.attrs["programs_compiled"] == 0
    # eigenvalues at first: uniform over three actions, (diag - outer) has 1/3 twice and 0
    assert run.spectrum.shape == (9, 15)
    np.testing.assert_allclose(run.spectrum[0, 10:], 0, atol=1e-12)
    law = np.repeat(3 * run.spectrum[0, :10].values.reshape(5, 2).mean(axis=1), 2)
    np.testing.assert_allclose(3 * run.spectrum[0, :10], law, atol=1e-9)
    assert law[::2].sum() == pytest.approx(1, abs=1e-9)


def test_an_episode_of_the_table_walks_on_the_circle(run):
    np.testing.assert_allclose(np.hypot(*run.line.values[:, :, 0].T), 1, atol=1e-12)
    np.testing.assert_array_equal(run.line[0, 0], run.line[1, 0])  # from one start
    rewards = PolicyGradient().load().arrays["rewards"]
    assert np.isin(run.reward.values.round(9), rewards.round(9)).all()


def test_poles_report_stop_and_are_drawn():
    small = {
        "environment": "CartPole",
        "batch": 4,
        "batch_hessian": 4,
        "baseline": "others",
        "seeds": 2,
        "updates": 6,
        "units": 4,
    }
    seen = []
    found = PolicyGradient(method="N-PG-IGT", g0=0.3, **small).run(lambda progress: seen.append(progress.iteration))
    assert seen[-1] == 6
    assert "err" not in found
    assert np.isnan(found.slope_igt)
    assert np.isfinite(found.last_igt)
    assert found.attrs["plane"].startswith("angle (rad)")
    for picture in PolicyGradient.pictures:
        told = picture.applies(found)
        if picture.name in ("errors", "gaps"):
            assert "choose tabular or LQR" in told
        elif picture.along is None:
            hv.renderer("matplotlib").get_plot(picture(found))
    stopped = PolicyGradient(method="N-PG-IGT", g0=0.29, **small).run(lambda progress: progress.iteration >= 2)
    assert stopped.attrs["reason"] == "stopped"
    assert np.isnan(stopped.ret[0, 0, -1])


def test_an_environment_of_ones_own():
    def step(state, action):  # no number from some starts
        return state + action - 0.5, jnp.where(state > 3.9, jnp.nan, -(state**2)), jnp.abs(state) > 4

    settings = {"updates": 5, "units": 3, "batch": 3, "batch_hessian": 3, "seeds": 2, "horizon": 2}
    Walk = studies.environment_study("Walk", step, lambda key: 4 * jax.random.uniform(key), 2, **settings)
    assert studies.find("walk") is Walk
    assert "environment" not in Walk.parameters()
    told, result = "", None
    for seed in range(20):
        try:
            result = Walk(seed=seed).run()
        except ValueError as refusal:
            told = str(refusal)
        if told and result is not None:
            break
    assert result is not None
    assert re.match(
        r"at update \d, with seed [01] of N-PG-IGT, the return is not a finite number: mend the reward", told
    )
    assert (result.ret <= 0).all()
    for picture in Walk.pictures:
        if picture.along is None:
            hv.renderer("matplotlib").get_plot(picture(result))
    assert "no number from some starts" in Walk.definition
    made = studies.environment_study("Pole", environments.CartPole(), slug="own-pole", **settings)
    assert made.own.observations == 4
    for told, call in (
        ("give a slug", lambda: studies.environment_study("!!", step, 0.0, 2)),
        ("no such parameter", lambda: studies.environment_study("More", step, 0.0, 2, speed=3)),
        ("actions = 0", lambda: studies.environment_study("None", step, 0.0)),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def test_an_environment_in_a_file_is_a_study_of_that_file(tmp_path):
    path = tmp_path / "my_environment.py"
    path.write_text(
        "from lab import studies\n"
        "step = lambda s, a: (s + a - 0.5, -(s**2), abs(s) > 5)\n"
        "study = studies.environment_study('My environment', step, 3.0, 2, updates=8)\n"
    )
    assert [study.slug for study in studies.load_file(path)] == ["my-environment"]


def test_a_process_of_ones_own_is_read_and_others_are_refused(tmp_path):
    P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]])
    np.savez(tmp_path / "mine.npz", transitions=P, rewards=np.eye(2), start=np.array([1.0, 0.0]), extra=np.ones(2))
    data = PolicyGradient(data=str(tmp_path / "mine.npz")).load()
    assert data.notices == ("extra in mine.npz ignored",)
    good = {"transitions": P, "rewards": np.eye(2), "start": np.array([1.0, 0.0])}
    for told, changed in (
        (
            "transitions in .* at state 0, action 1 sum to 1.5",
            {"transitions": P + np.array([0, 0.5])[None, :, None] / 2},
        ),
        ("start in .* sum to 2", {"start": np.ones(2)}),
        (
            "21 states and 20 actions, but at most 400",
            {"transitions": np.full((21, 20, 21), 1 / 21), "rewards": np.zeros((21, 20)), "start": np.full(21, 1 / 21)},
        ),
        ("rewards in .* has shape", {"rewards": np.eye(3)}),
    ):
        with pytest.raises(ValueError, match=told):
            datasets.held(good | changed, "mdp")


def test_what_is_not_allowed_gets_a_sentence():
    for told, call in (
        ("baseline = 'others' is not allowed with 1 episode", lambda: PolicyGradient(baseline="others").run()),
        ("discount = 0 is not allowed", lambda: PolicyGradient(discount=0)),
        ("g0 = 0 is not allowed", lambda: PolicyGradient(g0=0)),
        (
            "environment = 'Hopper' is not allowed: it must be one of tabular, CartPole",
            lambda: PolicyGradient(environment="Hopper"),
        ),
    ):
        with pytest.raises(ValueError, match=told):
            call()
    assert tuple(SHORT) == RULES

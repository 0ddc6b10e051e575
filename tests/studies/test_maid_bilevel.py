"""The study of bilevel learning, beyond the contract that every study keeps."""

import numpy as np
import pytest

from lab import datasets
from lab.studies import MaidBilevel
from lab.studies.tuning import descents

pytestmark = pytest.mark.slow

SMALL = {"images": 1, "budget": 300, "compare": False, "steps": 20}


@pytest.fixture(scope="module")
def run():
    return MaidBilevel().run()


def test_five_first_accuracies_are_one_curve_and_fixed_ones_fan_out(run):
    last, fall = run.run_last.values, float(run.loss_start - run.least)
    assert list(run.run.values) == descents.names()
    assert np.ptp(last[:5]) / fall == pytest.approx(float(run.agreement))
    assert np.ptp(last[:5]) < 1e-3 * fall
    assert np.ptp(last[5:10]) > 0.5 * fall
    assert (run.run_ending.values[:5] == 2).all()
    np.testing.assert_array_equal(run.run_loss.values[2, : run.sizes["iteration"]], run.trace_loss)
    for number in range(5):  # costs and losses of accepted steps
        cost, loss = run.run_cost.values[number], run.run_loss.values[number]
        seen = np.isfinite(loss)
        assert (np.diff(cost[seen]) > 0).all()
        assert cost[seen][-1] >= 2000
    assert float(run.cost) == float(run.cost_lower[-1] + run.cost_cg[-1])


def test_images_and_losses_are_what_they_say(run):
    clean, noisy, denoised = (run[name].values for name in ("clean", "noisy", "denoised"))
    for values, name in ((noisy, "psnr_noisy"), (denoised[-1], "psnr")):
        assert float(run[name]) == pytest.approx(-10 * np.log10(np.mean((values - clean) ** 2)), rel=1e-9)
    assert float(run.loss) == pytest.approx(0.5 * ((denoised[-1] - clean) ** 2).sum() / 2, rel=1e-9)
    assert np.std(noisy - clean) == pytest.approx(0.1, rel=0.05)
    assert float(run.psnr_test) > float(run.psnr_noisy) + 3
    theta, across, down = (
        np.exp(run.path.values[run.frame_step.values[-1]]),
        *(np.diff(denoised[-1], axis=a) for a in (2, 1)),
    )
    pull = denoised[-1] - noisy
    for axis, d in ((2, across), (1, down)):
        pull -= theta[0] * np.diff(d / np.sqrt(d**2 + theta[1] ** 2), axis=axis, prepend=0, append=0)
    np.testing.assert_allclose(pull, 0, atol=1e-8)  # the minimiser of total variation at the end of the path


def test_the_player_counts_in_the_steps_that_were_recorded(run):
    places = MaidBilevel.pictures.images.frames(run)
    np.testing.assert_array_equal(places, run.frame_step)
    assert places[-1] == len(run.iteration) > run.sizes["frame"]


def test_the_plane_holds_the_path_and_its_losses(run):
    u, v, plane = run.plane_u.values, run.plane_v.values, run.plane.values
    way = run.path.values[np.isfinite(run.path.values).all(axis=1)]
    assert (way >= [u[0], v[0]]).all()
    assert (way <= [u[-1], v[-1]]).all()
    i, j = np.abs(v - way[0, 1]).argmin(), np.abs(u - way[0, 0]).argmin()
    assert plane[i, j] == pytest.approx(float(run.loss_start), rel=0.5)
    assert plane.min() > float(run.least) - 0.01


def test_photographs_are_squares_and_two_are_held_out():
    for side in ("48", "96"):
        arrays = datasets.load("photograph-squares", pixels=side).arrays
        assert arrays["pixels"].shape == (12, 1, int(side), int(side))
        assert set(arrays["classes"][arrays["held_out"]]) == {4, 5}
        assert arrays["pixels"].std(axis=(1, 2, 3)).min() > 5


def test_ones_own_images_are_taken_and_what_is_not_allowed_gets_a_sentence():
    mine = {"pixels": np.random.default_rng(0).integers(0, 255, (6, 12, 12), np.uint8).repeat(4, 1).repeat(4, 2)}
    learned = MaidBilevel(data=mine, **SMALL).run()
    assert float(learned.psnr) > float(learned.psnr_noisy) + 3
    for told, call in (
        ("has no classes, but multinomial", lambda: MaidBilevel(problem="multinomial regression", data=mine)),
        ("images = 40 of 48 x 48 pixels is not allowed", lambda: MaidBilevel(images=40)),
        ("eps0 = 0.0 is not allowed", lambda: MaidBilevel(eps0=0.0)),
        ("eta = 1.5 is not allowed", lambda: MaidBilevel(eta=1.5)),
    ):
        with pytest.raises(ValueError, match=told):
            call().run()

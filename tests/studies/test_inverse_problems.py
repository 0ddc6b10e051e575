"""The common study of inverse problems beyond the contract that every study keeps, and problems of one's own."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse, studies
from lab.numerics import pure
from lab.studies.inverse import imaging, solver_comparison
from lab.studies.inverse.imaging import bed
from lab.studies.inverse.inverse_problems import InverseProblems
from lab.studies.inverse.solver_comparison import METHODS, SAMPLERS


@pytest.fixture(scope="module")
def study():
    return InverseProblems()  # whose programs the tests of the contract have too


@pytest.fixture(scope="module")
def result(study):
    return study.run()


@pytest.mark.slow
def test_numbers_of_the_story_are_means_of_the_table(result):
    mean = result.psnr_mean.mean("test")
    assert float(result.psnr_dps) == pytest.approx(float(mean.sel(solver="DPS")))
    assert float(result.psnr_variation) == pytest.approx(float(mean.sel(solver="total variation")))
    asking = [name for name, calls in zip(METHODS, result.calls.values, strict=True) if calls]
    assert float(result.psnr_best) == pytest.approx(float(mean.sel(solver=asking).max()))
    assert float(result.spread_true) == pytest.approx(float(result.spread_posterior.mean()))
    np.testing.assert_allclose(result.psnr.sel(solver="pseudo-inverse"), result.psnr_start)
    drawn = np.isfinite(result.spread).all("test")
    assert [str(name) for name in result.solver.values[drawn]] == list(SAMPLERS)


@pytest.mark.slow
def test_the_pixel_is_the_one_that_was_asked_for(study, result):
    assert float(result.pixel.sel(solver="linear")[0]) == float(result.answer.sel(solver="linear")[0, 7, 9])
    assert float(result.pixel.sel(solver="DPS")[0]) == float(result.answer.sel(solver="DPS")[0, 7, 9])
    assert float(result.pixel_law.sum()) == pytest.approx(1)
    study.but(row=5, example=1).run()  # programs may have been given up between two tests
    other = study.but(row=6, example=2).run()
    assert other.attrs["programs_compiled"] == 0
    assert float(other.pixel.sel(solver="DPS")[0]) == float(other.answer.sel(solver="DPS")[0, 6, 9])
    np.testing.assert_array_equal(other.psnr, result.psnr)
    assert float(abs(other.clean - result.clean).max()) > 0


@pytest.mark.slow
def test_clicks_choose_the_pixel(result):
    side = result.sizes["y"]
    down, across_step = side + round(0.3 * side), side + round(0.1 * side)  # words stand above the images
    for name, count in (("answers", 14), ("spreads", 7)):
        picture = InverseProblems.pictures[name]
        across = -(-count // -(-count // 5))
        rows = -(-count // across)
        top = (rows - 1) * down + side
        assert picture.clicked(result, 2.5, top - 5.5) == {"row": 5, "column": 2}
        assert picture.clicked(result, across_step + 2.5, top - 5.5) == {"row": 5, "column": 2}
        assert picture.clicked(result, side + 0.5, 0.5) == {}


@pytest.mark.slow
def test_a_strength_moves_its_method_alone(study, result):
    moved = study.but(zeta=1.0).run()
    apart = abs(moved.psnr - result.psnr).max("test")
    assert [str(name) for name in moved.solver.values[(apart > 0).values]] == ["DPS"]


@pytest.mark.slow
def test_time_is_taken_when_asked_for(study):
    seconds = study.but(timed=True).run().seconds
    assert (seconds.sel(solver=["DPS", "linear"]) > 0).all()
    assert np.isnan(seconds.sel(solver="backprojection"))
    assert "seconds" not in study.run()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="factor = 3 is not allowed: it must divide the sides"):
        InverseProblems(data="digit-images", damage="average", factor=3, row=3, column=3).run()
    with pytest.raises(ValueError, match=r"column = 8 is not allowed.*8 columns"):
        InverseProblems(data="digit-images", row=3, column=8).run()
    with pytest.raises(ValueError, match=r"damage = 'fog' is not allowed"):
        InverseProblems(damage="fog")


# --- one's own ---

PIXELS = np.random.default_rng(8).uniform(-1, 1, (60, 1, 6, 6)).cumsum(axis=3).clip(-4, 4) / 4


@pytest.mark.slow
def test_three_lines_solve_a_problem_of_ones_own():
    half = inverse.operator(lambda x: x[:, :, :3], (1, 6, 6), linear=True)
    found = inverse.solve(
        inverse.problem(half, PIXELS[0][:, :, :3], 0.1),
        denoise.denoiser(lambda x, sigma: 0.8 * x, (1, 6, 6)),
        inverse.DDRM(steps=4),
    )
    assert found.x.shape == (1, 1, 6, 6)
    assert np.isfinite(found.x).all()


@pytest.mark.slow
def test_a_damage_of_ones_own_is_the_same_as_a_named_one():
    """Squares of two pixels averaged, written by hand; the noise is drawn from the same key."""

    def squares(x):
        return x.reshape(1, 3, 2, 3, 2).mean(axis=(2, 4))

    Mine = studies.inverse_study("My squares", squares, PIXELS, tests=2, seeds=2, steps=4)
    assert "damage" not in Mine.parameters()
    named = InverseProblems(data="my-squares-images", damage="average", pool=1, tests=2, row=5, column=5)
    ours, theirs = (
        bed(made.inputs(made.load()), made.given(), pure, own) for made, own in ((Mine(), Mine.own()), (named, None))
    )
    np.testing.assert_allclose(ours.problem.y, theirs.problem.y, atol=1e-12)
    np.testing.assert_allclose(ours.known.mean, theirs.known.mean, atol=1e-9)
    np.testing.assert_allclose(ours.known.deviation, theirs.known.deviation, atol=1e-9)
    assert studies.find("my-squares") is Mine


@pytest.mark.slow
def test_a_denoiser_of_ones_own_has_no_known_posterior():
    """That of a standard Gaussian, whose posterior mean after noise of 0.5 is y / 1.25."""

    def shrink(x, sigma):
        return x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)

    Mine = studies.inverse_study("Shrink", denoiser=shrink, images=PIXELS, damage="noise", noise=0.5)
    assert "prior" not in Mine.parameters()
    made = bed(Mine.inputs(Mine().load()), Mine().given(), pure, Mine.own())
    assert made.known is None
    met = solver_comparison.meet(made.problem, made.prior, made.pixels, made.spectrum, None, made.clean)
    assert solver_comparison.absent("exact sample", met)
    found = solver_comparison.answers("PnP-ADMM", met, 30, 1, solver_comparison.Strengths(), made.key, pure)
    np.testing.assert_allclose(found.x[:, 0], made.start / 1.25, atol=1e-4)


@pytest.mark.slow
def test_measurements_of_ones_own_are_what_is_solved():
    truth, y = PIXELS[50:52], 2 * PIXELS[50:52] + 0.01
    Mine = studies.inverse_study(
        "Doubled", lambda x: 2 * x, PIXELS[:50], measured=(truth, y), noise=0.01, tests=2, seeds=2, steps=4
    )
    made = bed(Mine.inputs(Mine().load()), Mine().given(), pure, Mine.own())
    np.testing.assert_array_equal(made.problem.y, y)
    np.testing.assert_allclose(made.clean, truth.reshape(2, -1))
    np.testing.assert_allclose(made.start, truth.reshape(2, -1) + 0.005, atol=1e-9)


def test_what_is_brought_is_checked():
    with pytest.raises(ValueError, match="nothing of your own"):
        studies.inverse_study("Nothing")
    with pytest.raises(ValueError, match="give a slug"):
        studies.inverse_study("!!", lambda x: x, PIXELS)
    with pytest.raises(ValueError, match="can't be applied to an image"):
        studies.inverse_study("Wrong", lambda x: x.reshape(5, 5), PIXELS)
    with pytest.raises(ValueError, match=r"the operator takes \(1, 4, 4\)"):
        studies.inverse_study("Other", inverse.Identity((1, 4, 4)), PIXELS)
    with pytest.raises(TypeError, match="is a int"):
        studies.inverse_study("Number", 3, PIXELS)
    with pytest.raises(ValueError, match="no such parameter"):
        studies.inverse_study("Odd", lambda x: x, PIXELS, stepps=3)
    with pytest.raises(ValueError, match="2 measurements of 3 images"):
        studies.inverse_study("Few", lambda x: x, PIXELS[:50], measured=(PIXELS[50:53], PIXELS[50:52]))
    with pytest.raises(ValueError, match=r"both must agree|keep the shape"):
        studies.inverse_study("Flat", denoiser=lambda x, sigma: x[..., :2], images=PIXELS)
    with pytest.raises(ValueError, match="not finite"):
        studies.inverse_study(
            "Holes", lambda x: x, PIXELS[:50], measured=(PIXELS[50:52], np.full((2, 1, 6, 6), np.nan))
        )


def test_a_file_of_ten_lines_has_a_page(tmp_path):
    path = tmp_path / "my_problem.py"
    path.write_text(
        "import numpy as np\n"
        "from lab import studies\n\n"
        "pixels = np.random.default_rng(0).uniform(-1, 1, (40, 6, 6))\n\n\n"
        "def left(image):\n"
        "    return image[..., :3]\n\n\n"
        "Left = studies.inverse_study('The left half', left, pixels)\n"
    )
    (study,) = studies.load_file(path)
    assert study.slug == "the-left-half"
    assert study().load().arrays["pixels"].shape == (40, 1, 6, 6)
    assert jnp.isfinite(study.inputs(study().load())["test"]).all()


@pytest.mark.slow
def test_what_a_stopped_run_leaves_behind_is_not_taken_by_the_next():
    made = InverseProblems(seed=11, tests=2, seeds=2, steps=5, train=100)
    assert made.run(lambda progress: True).attrs["reason"] == "stopped"
    after = made.run()
    imaging._REMEMBERED.clear()
    fresh = made.run()
    for name in fresh.data_vars:
        np.testing.assert_allclose(after[name].values, fresh[name].values, rtol=1e-6, atol=1e-9, err_msg=name)

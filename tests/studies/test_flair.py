"""The study of FLAIR beyond the contract that every study keeps."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm, wasserstein_distance

from lab.datasets import Data
from lab.studies.inverse.flair import FLAIR

SHEET_NAMES = "psnr data_residual e lambda_R mu x_t x0_hat x1_hat"


class Runs(dict):
    """Runs by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = FLAIR(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


def _mine() -> Data:
    """Images that no named set has: smooth random fields of 6 x 6."""
    rng = np.random.default_rng(11)
    at = np.arange(6)
    smooth = np.exp(-(np.subtract.outer(at, at) ** 2) / 8)
    fields = np.tanh(np.einsum("ab,nbc,cd->nad", smooth, rng.normal(size=(90, 6, 6)), smooth) / 2)
    arrays = {"pixels": fields[:, None].astype(np.float32), "held_out": np.arange(90) >= 60}
    return Data("mine", "Mine", "images", arrays, "a test", "none")


SMALL = FLAIR(data=_mine(), tests=4, steps=12, answers=5, seen=0.6)


@pytest.fixture(scope="module")
def small() -> xr.Dataset:
    return SMALL.run()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(runs):
    for name in SHEET_NAMES.split():
        assert name in runs(), name


@pytest.mark.slow
def test_numbers_are_those_of_the_answers(runs):
    """PSNR, spread and misfit from the answers for the image that is shown, and the film's answer is the first of them."""
    run = runs(example=3)
    x, clean = run.samples.values.reshape(16, -1), run.clean.values.ravel()
    hidden = run.hidden.values.ravel() == 1
    np.testing.assert_allclose(run.psnr.sel(test=3), 10 * np.log10(4 / ((x - clean) ** 2).mean(axis=1)), rtol=1e-10)
    np.testing.assert_allclose(run.std_map.values.ravel(), x.std(axis=0, ddof=1), atol=1e-12)
    each = [float(runs(example=k).std_map.values.ravel()[hidden].mean()) for k in range(8)]
    np.testing.assert_allclose(run.spread, np.mean(each), rtol=1e-10)
    np.testing.assert_allclose(run.psnr_one, run.psnr.mean(), rtol=1e-12)
    np.testing.assert_allclose(run.mu.values[-1].ravel(), x[0], atol=1e-12)
    assert float(run.residual) == 0
    off = runs(hdc="one step")
    miss = (off.samples - off.start).values.reshape(16, -1)[:, ~hidden]
    np.testing.assert_allclose(off.data_residual.sel(test=0), np.sqrt((miss**2).mean(axis=1)) / 0.1, rtol=1e-9)


@pytest.mark.slow
def test_the_gain_is_that_of_a_run_without_adjustment(runs):
    fresh = runs(alpha_scale=0.0)
    each = (runs().psnr - fresh.psnr).mean("sample").values
    np.testing.assert_allclose(runs().dta_gain, each.mean(), atol=1e-9)
    np.testing.assert_allclose(runs().dta_gain_half, 2.3646 * each.std(ddof=1) / 8**0.5, rtol=1e-4)
    assert float(fresh.dta_gain) == 0
    np.testing.assert_allclose(fresh.psnr_one, runs().psnr_fresh, rtol=1e-10)


@pytest.mark.slow
def test_the_calibration_of_a_network_like_prior_is_the_error_of_its_velocity(runs):
    """By drawing, with NumPy's softmax over the training images, on other noise than the calibration's."""
    from lab import datasets

    run = runs(prior="optimal")
    data = datasets.load("mnist-images").arrays
    half = lambda held: (data["pixels"][held].astype(float) / 127.5 - 1).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))  # noqa: E731
    train = half(~data["held_out"])[:1000].reshape(1000, 196)
    clean = half(data["held_out"])[8:72].reshape(-1, 196)
    rng = np.random.default_rng(4)
    for at in (20, 50, 70):
        t = float(run.t[at])
        eps = rng.normal(size=clean.shape)
        x = (1 - t) * clean + t * eps
        logits = -((x[:, None] - (1 - t) * train[None]) ** 2).sum(axis=2) / (2 * t**2)
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        v = (x - (w / w.sum(axis=1, keepdims=True)) @ train) / t
        error = ((v - (eps - clean)) ** 2).mean(axis=1)
        assert abs(error.mean() - float(run.e[at])) < 4 * error.std() / 8, t


@pytest.mark.slow
def test_a_constant_weight_is_flagged_and_grows(runs):
    run = runs(crw=False, c=0.5, t_min=0.02)
    assert (run.lambda_R == 0.5).all()
    assert "Above 2 t" in run.attrs["advice"]
    assert float(run.relaxation_most) == pytest.approx(0.5 / float(run.time[-1]))
    assert float(run.psnr_one) < 0
    assert runs().attrs["advice"] == ""
    assert float(runs().relaxation_most) == pytest.approx(
        float((runs().lambda_R / runs().t).interp(t=runs().time).max()), rel=0.05
    )


@pytest.mark.slow
def test_images_of_ones_own(small):
    """The posterior beside the answers is that of the Gaussian of these training images."""
    pixels = SMALL.data.arrays["pixels"].reshape(90, 36)
    train = pixels[:60]
    mean, S = train.mean(axis=0), np.cov(train.T)
    seen, y = small.hidden.values.ravel() == 0, small.start.values.ravel()
    gain = S[:, seen] @ np.linalg.inv(S[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum()))
    exact = mean + gain @ (y - mean)[seen]
    np.testing.assert_allclose(small.posterior_mean.values.ravel(), exact, atol=1e-6)  # of float32 images
    assert float(small.spread_seen) < 1e-12
    assert float(small.psnr_average) > float(small.psnr_start.mean())
    prox = SMALL.but(hdc="prox").run()
    assert float(prox.data_residual.max()) <= 1 + 1e-6  # until the misfit is that of the noise
    assert float(prox.spread_seen) > 0


@pytest.mark.slow
def test_released_data_steps_come_near_the_data():
    far, near = (SMALL.but(hdc="sgd", data_steps=steps, noise=0.01).run() for steps in (1, 40))
    assert float(near.residual) < 0.5 * float(far.residual)
    one = SMALL.but(hdc="one step", noise=0.01).run()
    np.testing.assert_allclose(one.samples, far.samples, atol=1e-12)


@pytest.mark.slow
def test_what_cannot_be_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="the forward operator phase retrieval is not linear: choose auto or sgd"):
        SMALL.but(damage="phase retrieval", hdc="project").run()
    for values, sentence in (
        ({"t_min": 0.0}, "t_min = 0.0 is not allowed: it must be a number above 0"),
        ({"t_min": 1.0}, "t_min = 1.0 is not allowed"),
        ({"steps": 0}, "steps = 0 is not allowed"),
        ({"alpha_scale": 1.5}, "alpha_scale = 1.5 is not allowed: it must be a number from 0 to 1"),
        ({"hdc": "exact"}, "hdc = 'exact' is not allowed"),
        ({"seen": 0.0}, "seen = 0.0 is not allowed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            FLAIR(**values)


@pytest.mark.slow
def test_the_plane_is_compared_with_its_exact_posterior(runs):
    """Two modes agree with y = 1; by hand, and by draws."""
    run, rng = runs(), np.random.default_rng(3)
    weights = np.array([0.3, 0.4, 0.3]) * norm.pdf(1, [1, 1, -1], 0.05**0.5)
    weights /= weights.sum()
    np.testing.assert_allclose(run.plane_share.sel(law="posterior"), weights, atol=1e-12)
    draws = np.array([-1, 1, 0])[rng.choice(3, 40_000, p=weights)] + 0.2 * rng.normal(size=40_000)
    for way, name in (("with DTA", "plane_distance"), ("without", "plane_distance_fresh")):
        ends = run.plane_path.sel(way=way).isel(moment=-1).transpose("particle", "axis").values
        assert float(run[name]) == pytest.approx(wasserstein_distance(ends[:, 0], draws), abs=0.015)
        nearest = np.linalg.norm(ends[:, None] - np.array([[-1, 1], [1, 1], [0, -1]]), axis=2).argmin(axis=1)
        assert (run.plane_mode.sel(way=way).values == nearest).mean() > 0.98  # but for what lies between
        share = np.bincount(run.plane_mode.sel(way=way).values, minlength=3) / 300
        np.testing.assert_allclose(run.plane_share.sel(law=way), share, atol=1e-12)
        assert np.abs(ends[:, 1] - 1).max() < 0.35  # the prox leaves what the noise allows
    # at the last moment x2 has the mean and the variance of y = 1 with noise 0.1 under the two modes
    density = run.plane_density.isel(moment=-1).transpose("gy", "gx").values
    assert density.sum() * float(run.gx[1] - run.gx[0]) ** 2 == pytest.approx(1, abs=0.02)
    up = norm.pdf(run.gy, 1, 0.008**0.5)
    exact = np.multiply.outer(up, weights[0] * norm.pdf(run.gx, -1, 0.2) + weights[1] * norm.pdf(run.gx, 1, 0.2))
    np.testing.assert_allclose(density, exact, atol=1e-4 * exact.max())

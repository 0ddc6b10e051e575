"""The study of posterior-mean rectified flow beyond the contract that every study keeps, and its mathematics."""

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pytest
from scipy.linalg import sqrtm
from scipy.stats import norm

from lab.datasets import Data, load
from lab.inverse import mixture_flows, pmrf, restoring
from lab.inverse.restoring import METHODS
from lab.numerics import pure
from lab.numerics.mixtures import Mixture
from lab.studies import PMRF
from lab.studies.inverse import pmrf_training
from lab.studies.inverse.pmrf import experiment
from lab.studies.inverse.pmrf.study import TASKS

SHEET_NAMES = "mse w2 path"


def mine(x, **more) -> Data:
    return Data("mine", "Mine", "samples", {"x": np.asarray(x, float), **more}, "a test", "none")


def cloud(n=120, d=3, seed=3) -> np.ndarray:
    """Skewed, so that no law is near a Gaussian."""
    rng = np.random.default_rng(seed)
    return rng.exponential(size=(n, d)) @ rng.normal(size=(d, d)) + 2


@pytest.fixture(scope="module")
def skewed():
    study = PMRF(data=mine(cloud()), task="mixing", noise=0.6, sigma_s=0.2, euler_steps=7, particles=20, seed=4)
    return study, study.run()


@pytest.fixture(scope="module")
def line():
    """A mixture of three on a line that no named set has, with quadrature."""
    law = {
        "weights": np.array([0.2, 0.5, 0.3]),
        "centres": np.array([[-2.0], [0.3], [2.5]]),
        "variances": np.array([0.1, 0.2, 0.4]),
    }
    x = np.random.default_rng(0).normal(size=(30, 1))
    study = PMRF(
        data=mine(x, **law), knows="law", noise=0.8, sigma_s=0.0, euler_steps=40, solver="heun", particles=40, pairs=600
    )
    return law, study.run()


@pytest.mark.slow
def test_linear_estimators_against_numpy(skewed):
    """Every formula once more, by loops and SciPy's roots; errors are those of the data themselves, which are no Gaussian."""
    _, run = skewed
    x = cloud() - cloud().mean(axis=0)
    s = x.T @ x / len(x)
    h, q = map(np.asarray, restoring.task("mixing", 3, (), 0.6, jax.random.key(4)))
    gain = s @ h.T @ np.linalg.inv(h @ s @ h.T + q)
    star = gain @ h @ s
    np.testing.assert_allclose(run.mmse, np.trace(s - star), rtol=1e-9)
    root = sqrtm(s)
    w2sq = np.trace(s + star - 2 * np.real(sqrtm(root @ star @ root)))
    np.testing.assert_allclose(run.d_max, np.trace(s - star) + w2sq, rtol=1e-7)

    def euler(c0, c1, cross, steps):
        m = np.eye(3)
        for i in range(steps):
            t = i / steps
            c = (1 - t) ** 2 * c0 + t**2 * c1 + t * (1 - t) * (cross + cross.T)
            b = (1 - t) * cross.T + t * c1 - (1 - t) * c0 - t * cross
            m = m + b @ np.linalg.inv(c) @ m / steps
        return m

    extra = 0.04 * np.eye(3)
    starts = {"PMRF": (star + extra, star, 0 * s), "flow from Y": (h @ s @ h.T + q + extra, h @ s, 0 * s)}
    starts["flow given Y"] = (np.eye(3), 0 * s, star)
    ends = {"flow given Y": s - star}
    for name, (c0, cross, mean) in starts.items():
        m = euler(c0, ends.get(name, s), cross, 7)
        covariance, along = m @ c0 @ m.T + mean, m @ cross + mean
        np.testing.assert_allclose(run.mse.sel(estimator=name), np.trace(s + covariance - 2 * along), rtol=1e-8)
        apart = np.trace(s + covariance - 2 * np.real(sqrtm(root @ covariance @ root)))
        np.testing.assert_allclose(run.w2.sel(estimator=name) ** 2, apart, atol=1e-6)
    for steps in (1, 5, 100):
        m = euler(star + extra, s, star, steps)
        expected = np.trace(s + m @ (star + extra) @ m.T - 2 * m @ star)
        np.testing.assert_allclose(run.mse_steps.sel(count=steps), expected, rtol=1e-8)
    np.testing.assert_allclose(run.mse.sel(estimator="posterior sampling"), 2 * np.trace(s - star), rtol=1e-9)
    assert float(run.law_error) < 1e-6
    np.testing.assert_allclose(run.mse_steps.sel(count=100), run.mse_limit, rtol=0.02)


@pytest.mark.slow
def test_what_is_seen_is_what_is_measured(skewed):
    """The particles' mean square over all data is the exact error: the same linear map moves both."""
    _, run = skewed
    start, end = run.path.sel(flow="PMRF").isel(t=0).values, run.path.sel(flow="PMRF").isel(t=-1).values
    assert start.shape == end.shape == (8, 2)  # a third of those held out
    assert np.isfinite(run.path).all()
    assert run.attrs["reason"] == "converged"
    for name in SHEET_NAMES.split()[:-1]:
        assert name in run, name


@pytest.mark.slow
def test_on_a_line_the_flow_matches_quantiles(line):
    law, run = line
    weights, means, spread = law["weights"], law["centres"][:, 0], np.sqrt(law["variances"])
    y, x = np.linspace(-9, 9, 20_001)[:, None], np.linspace(-6, 6, 20_001)[:, None]
    wide = np.sqrt(spread**2 + 0.64)
    share = weights * norm.pdf(y, means, wide)
    star = (share * (means + spread**2 / wide**2 * (y - means))).sum(1) / share.sum(1)
    way = run.path.sel(flow="PMRF").values[..., 0]
    level = np.interp(way[0], star, norm.cdf(y, means, wide) @ weights)
    goal = np.interp(level, norm.cdf(x, means, spread) @ weights, x[:, 0])
    inside = abs(level - 0.5) < 0.48
    assert abs(goal - way[-1])[inside].max() < 0.03
    assert (np.diff(way[-1][np.argsort(way[0])]) > -1e-6).all()
    other = run.path.sel(flow="flow from Y").values[-1, :, 0]  # X* increases with Y: the same map
    assert abs(other - way[-1])[inside].max() < 0.03


@pytest.mark.slow
def test_posteriors_and_mixture_flow_by_definition():
    """Against Mixture.observe, and against the mean of 120,000 draws of (X, Z_t) that come near a point."""
    prior = Mixture([0.3, 0.7], [[-1.0, 0.5], [1.0, -0.2]], [[[0.5, 0.1], [0.1, 0.3]], [[0.2, 0.0], [0.0, 0.4]]])
    h, q = jnp.asarray([[1.0, 0.5], [-0.3, 0.8]]), jnp.asarray([[0.4, 0.1], [0.1, 0.3]])
    y = jnp.asarray([[0.3, -0.2], [1.5, 0.7]])
    found = mixture_flows.posteriors(prior, h, q, y)
    observed = jax.jit(lambda seen: (law := prior.observe(h, seen, q), law.moments()))
    for row in (0, 1):
        own, moments = observed(y[row])
        np.testing.assert_allclose(found.weights[row], own.weights, rtol=1e-9)
        np.testing.assert_allclose(found.means[row], own.means, rtol=1e-9)
        np.testing.assert_allclose(found.covariances, own.covariances, rtol=1e-8)
        np.testing.assert_allclose(found.mean[row], moments.mean, rtol=1e-9)
    keys = jax.random.split(jax.random.key(0), 5)
    n, t, sigma_s = 120_000, 0.45, 0.3
    x = prior.sample(keys[0], n)
    many = x @ h.T + jax.random.normal(keys[1], x.shape) @ jnp.linalg.cholesky(q).T
    everyone = mixture_flows.posteriors(prior, h, q, many)
    z = np.asarray(t * x + (1 - t) * (everyone.mean + sigma_s * jax.random.normal(keys[2], x.shape)))
    nodes = mixture_flows.Posteriors(*(a[:3000] for a in everyone[:2]), everyone[2], everyone[3][:3000])
    flow = mixture_flows.MixtureFlow(nodes, nodes.mean, jnp.zeros(3000), sigma_s)
    for at in ([0.2, 0.1], [-0.5, 0.3]):
        near = np.linalg.norm(z - at, axis=1) < 0.1
        assert near.sum() > 200
        expected, error = np.asarray(x)[near].mean(0), np.asarray(x)[near].std(0) / near.sum() ** 0.5
        here = flow.clean(t, jnp.asarray([at]))[0]
        assert (abs(here - expected) < 4 * error + 0.02).all(), at
        np.testing.assert_allclose(flow(t, jnp.asarray([at]))[0], (here - np.array(at)) / (1 - t), rtol=1e-9)
    samples = found.sample(keys[3])
    assert samples.shape == (2, 2)
    one = mixture_flows.Posteriors(*(np.repeat(a[:1], 20_000, 0) for a in found[:2]), found[2], found[3][:1])
    one = jax.tree.map(jnp.asarray, one)
    drawn = np.asarray(one.sample(keys[4]))
    _, moments = observed(y[0])
    np.testing.assert_allclose(drawn.mean(0), moments.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), moments.covariance, atol=0.02)


@pytest.mark.slow
def test_conditional_flows_end_in_the_posterior():
    prior = Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.1, 0.1])
    y = jnp.full((400, 1), 0.3)
    own = mixture_flows.posteriors(prior, jnp.eye(1), jnp.eye(1), y)
    z = jnp.asarray(norm.ppf((np.arange(400) + 0.5) / 400))[:, None]
    end = pmrf.restore(mixture_flows.GivenMixture(own), z, 200).end
    np.testing.assert_allclose(end.mean(), own.mean[0, 0], atol=0.01)
    moments = prior.observe(jnp.eye(1), y[0], jnp.eye(1)).moments()
    np.testing.assert_allclose(end.var(), moments.covariance[0, 0], atol=0.02)
    points = jnp.asarray([[-1.0], [0.5], [2.0]])
    likelihood = jnp.broadcast_to(jnp.log(jnp.asarray([0.2, 0.5, 0.3])), (400, 3))
    ends = pmrf.restore(mixture_flows.GivenPoints(points, likelihood), z, 400).end
    share = [(abs(ends - point) < 0.1).mean() for point in points[:, 0]]
    np.testing.assert_allclose(share, [0.2, 0.5, 0.3], atol=0.02)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_what_they_say(name):
    h, q = map(np.asarray, restoring.task(name, 12, (3, 4), 0.5, jax.random.key(1)))
    image = np.random.default_rng(0).normal(size=(3, 4))
    seen = h @ image.ravel()
    np.testing.assert_allclose(np.trace(q) / len(q), 0.25)
    assert (np.linalg.eigvalsh(q) > 0).all()
    expected = {
        "denoising": image.ravel(),
        "coloured noise": image.ravel(),
        "inpainting": image.ravel()[[i for i in range(12) if i not in (5, 6)]],
        "super-resolution": np.array([image[:2, :2], image[:2, 2:], image[2:, :2], image[2:, 2:]], object),
        "blur": None,
    }
    if name == "super-resolution":
        expected[name] = np.array([block.mean() for block in expected[name]])
    if name == "blur":
        smooth = image
        for axis in (0, 1):
            for _ in range(2):
                smooth = (np.roll(smooth, 1, axis) + 2 * smooth + np.roll(smooth, -1, axis)) / 4
        expected[name] = smooth.ravel()
    if name in expected:
        np.testing.assert_allclose(seen, expected[name].astype(float))


@pytest.mark.slow
def test_pairs_of_points_leave_their_own_out():
    """The posterior mean of a restored point by all others, and of a pair without its own x; W2 by POT."""
    x = cloud(200, 2, 7)
    study = PMRF(data=mine(x), knows="pairs", noise=0.7, sigma_s=0.3, euler_steps=4, particles=13, pairs=100)
    run = study.run()
    inputs = PMRF.inputs(study.load())
    assert len(inputs.tests) == 40
    assert len(inputs.points) == 160
    points = np.asarray(inputs.points)
    made = restoring.bed(None, inputs.points, inputs.covariance, jnp.eye(2), 0.49 * jnp.eye(2))
    y = jnp.asarray([[0.3, -0.4], [1.0, 0.2]])
    for own in (False, True):
        for row in (0, 1):
            kept = [i for i in range(160) if not (own and i == row)]
            w = np.exp(-((points[kept] - np.asarray(y[row])) ** 2).sum(1) / (2 * 0.49))
            mean = restoring.given(made, "pairs", y, own=own).mean[row]
            np.testing.assert_allclose(mean, w @ points[kept] / w.sum(), rtol=1e-8)
    assert np.isfinite(run.mse).all()
    ot = run.mse.sel(estimator="optimal transport") - run.mmse
    assert 0.2 * float(run.w2_mean) ** 2 < float(ot) < 5 * float(run.w2_mean) ** 2
    end = run.path.sel(flow="PMRF").isel(t=-1).values
    np.testing.assert_allclose(((end - run.goal.values) ** 2).sum(1).mean(), run.mse_pmrf, rtol=1e-4)
    _, fresh = experiment.drawn(inputs, 13, jnp.asarray(0))
    other = pot.emd2([], [], pot.dist(end - np.asarray(inputs.mean), np.asarray(fresh[0])))
    np.testing.assert_allclose(float(run.w2_pmrf) ** 2, other, rtol=1e-3)


def test_times_are_stratified():
    t = np.asarray(pmrf_training.stratified_times(jax.random.key(3), 50))
    np.testing.assert_array_equal(np.floor(t * 50), np.arange(50))
    assert abs(t.mean() - 0.5) <= 1 / 100


@pytest.mark.slow
def test_a_network_learns_the_flow():
    """Of a Gaussian: after a short training the loss is near the least one, E|X - Z_0 - v|^2."""
    law = Mixture([1.0], [[0.0]], [1.0])
    h, q = jnp.eye(1), jnp.eye(1)
    bed = restoring.bed(law, jnp.zeros((4, 1)), jnp.eye(1), h, q)
    # PMRF, sigma_s = 0.5: the residual variance of X - Z_0 given Z_t, averaged over time
    t = np.linspace(0, 1, 2001)
    c0, cross = 0.75, 0.5
    c = (1 - t) ** 2 * c0 + t**2 + 2 * t * (1 - t) * cross
    b = (1 - t) * cross + t - (1 - t) * c0 - t * cross
    least = np.trapezoid(1 + c0 - 2 * cross - b**2 / c, t)
    taught = pmrf_training.train(
        pure, jax.random.key(0), bed, "law", "PMRF", 0.5, units=16, learning_rate=5e-3, steps=250
    )
    np.testing.assert_allclose(taught.loss[-100:].mean(), least, rtol=0.1)
    wide = restoring.bed(None, jnp.zeros((4, 3)), jnp.eye(3), jnp.eye(3)[:2], jnp.eye(2))
    with pytest.raises(ValueError, match="Y has 2 numbers and X 3"):
        pmrf_training.train(
            pure, jax.random.key(0), wide, "moments", "flow from Y", 0.5, units=4, learning_rate=1e-3, steps=1
        )


@pytest.mark.slow
def test_images_and_network_are_drawn():
    run = PMRF(task="inpainting", train_steps=5, units=4, learns="flow given X*").run()
    assert run.images.shape == (8, 8, 8, 8)
    assert run.net_images.shape == (8, 8, 8)
    digits = load("digit-samples").arrays["x"].reshape(-1, 8, 8)
    for image in run.images.sel(shown="truth").values:
        assert abs(digits - image).max(axis=(1, 2)).min() < 1e-6  # one of the digits, and not about its mean
    assert np.isnan(run.mse.sel(estimator="flow from Y"))
    assert np.isfinite(run.mse.drop_sel(estimator="flow from Y")).all()
    assert list(run.estimator.values) == list(METHODS)
    assert run.sizes["train_step"] == 5
    for name in ("images", "plane", "network", "training", "paths"):
        hv.renderer("matplotlib").get_plot(PMRF.pictures[name](run))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigma", "tasks"])
def test_pictures_of_sweeps_are_drawn(name):
    picture = PMRF.pictures[name]
    study = PMRF(data=mine(cloud()), particles=10)
    grid = {key: list(values)[:2] for key, values in picture.grid(study, study.load()).items()}
    result = study.along(keep=picture.keep, **grid)
    assert picture.applies(result) == ""
    hv.renderer("matplotlib").get_plot(picture(result))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sigma_s": -0.1}, "sigma_s = -0.1 is not allowed: it must be a number of at least 0"),
        ({"euler_steps": 0}, "euler_steps = 0 is not allowed: it must be a whole number from 1"),
        ({"noise": 0.0}, "noise = 0.0 is not allowed: it must be a number greater than 0"),
        ({"task": "haze"}, "task = 'haze' is not allowed: it must be one of denoising"),
        ({"knows": "all"}, "knows = 'all' is not allowed: it must be one of moments, law, pairs"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  # the sentence is compared below
        PMRF(**values)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"knows": "law"}, "knows = 'law' needs a law that is a mixture"),
        (
            {"data": mine(np.eye(1100))},
            "1100 numbers in each x, but knows = 'moments' takes at most 1024: take fewer",
        ),
        ({"data": "two-unlike-modes", "task": "inpainting"}, "inpainting needs at least two numbers"),
        ({"knows": "pairs", "sigma_s": 0.0}, "sigma_s = 0 is not allowed with knows = 'pairs'"),
        ({"sigma_s": 0.0, "task": "inpainting"}, "sigma_s = 0 is not allowed here: .*the posterior mean is singular"),
        ({"learns": "flow from Y", "train_steps": 5, "task": "inpainting"}, "needs Y of the dimension of X"),
    ],
)
def test_what_data_do_not_allow_gets_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        PMRF(**values).run()


@pytest.mark.parametrize(
    ("x", "sentence"),
    [(np.ones((9, 2)), "all rows of .* are equal"), (np.eye(2), "n = 2 samples, but at least 3 are taken here")],
)
def test_too_few_or_equal_rows_get_a_sentence(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        PMRF(data={"x": x}).run()


def test_bad_input_of_the_mathematics():
    own = mixture_flows.posteriors(Mixture([1.0], [[0.0]], [1.0]), jnp.eye(1), jnp.eye(1), jnp.ones((3, 1)))
    weights = jnp.zeros(3)
    for call, sentence in (
        (lambda: mixture_flows.MixtureFlow(own, own.mean, weights, -0.1), "noise = -0.1"),
        (lambda: mixture_flows.MixtureFlow(own, jnp.ones((2, 1)), weights[:2], 0.1), r"anchors have shape \(2, 1\)"),
        (lambda: mixture_flows.MixtureFlow(own, own.mean, weights, 0.1)(1.0, jnp.ones((1, 1))), "for t below 1"),
        (lambda: restoring.task("haze", 3, (), 1.0, jax.random.key(0)), "haze"),
        (
            lambda: pmrf_training.begun("flow from Y", jnp.ones((2, 3)), jnp.ones((2, 2)), 0.1, jnp.ones((2, 3))),
            "one dim",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


@pytest.mark.slow
def test_advice_says_what_to_move():
    few = PMRF(data=mine(cloud()), euler_steps=1, sigma_s=0.01, particles=10).run()
    assert "raise K" in few.attrs["advice"]
    loud = PMRF(data=mine(cloud()), sigma_s=5.0, particles=10, euler_steps=50).run()
    assert "lower σₛ" in loud.attrs["advice"]


def test_the_named_sets_have_the_laws_that_they_state():
    for name, moments in (("ring-of-three", (0.0, 2 + 0.0625)), ("two-unlike-modes", (0.0, 0.4 * 2.25 + 0.6 + 0.24))):
        arrays = load(name, n=20_000).arrays
        law = Mixture(arrays["weights"], arrays["centres"], arrays["variances"]).moments()
        np.testing.assert_allclose(law.mean, moments[0], atol=1e-12)
        np.testing.assert_allclose(law.covariance[0, 0], moments[1])
        np.testing.assert_allclose(np.cov(arrays["x"].T), law.covariance, atol=0.06)
    arrays = load("random-gaussian", dimension=5, n=20_000, seed=3).arrays
    np.testing.assert_allclose(np.trace(arrays["variances"][0]), 5)
    np.testing.assert_allclose(np.cov(arrays["x"].T), arrays["variances"][0], atol=0.08)
    np.testing.assert_array_equal(load("random-gaussian", dimension=1).arrays["variances"], [[[1.0]]])

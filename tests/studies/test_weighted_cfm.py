"""The study of weighted flow matching beyond the contract that every study keeps."""

from typing import Any

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot
import pytest
import xarray as xr
from scipy.stats import norm

from lab import paths
from lab.datasets import Data
from lab.paths import couplings, training
from lab.paths.network import Perceptron
from lab.paths.weighted import gaussian_tilt
from lab.studies.paths.coupling_comparison import METHODS
from lab.studies.paths.weighted_cfm import WeightedCFM
from lab.studies.paths.weighted_cfm.claims import TAU

NAMES = "fit_w2sq npe ess tilt_var tau paths plan"
ATOMS = WeightedCFM(data="four-atoms", cost="half-squared", epsilon=1.0, particles=1000, pairs=64, batch=16)


class Runs(dict):
    """Runs of the default data by their parameters, made when first asked for."""

    def __call__(self, **values) -> xr.Dataset:
        key = tuple(sorted(values.items()))
        if key not in self:
            self[key] = WeightedCFM(**values).run()
        return self[key]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.fixture(scope="module")
def swept() -> xr.Dataset:
    """Of four points, by the programs of the runs on them."""
    return ATOMS.along(epsilon=[0.5, 1.0, 2.0, 8.0, 1e8])


def mine(**arrays: Any) -> Data:
    return Data("mine", "Mine", "samples", {k: np.asarray(a, float) for k, a in arrays.items()}, "a test", "none")


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper(runs):
    for name in NAMES.split():
        assert name in runs(), name
    assert runs().coupling.values.tolist() == list(METHODS)


@pytest.mark.slow
def test_eight_gaussians_gain_and_moons_are_the_trap(runs):
    run, moons = runs(), runs(data="noisy-moons", epsilon=4.0)
    assert float(run.npe_weighted) < 0.15 * float(run.npe_independent)
    assert float(run.w2sq) < float(run.w2sq_independent)
    assert run.attrs["advice"] == ""
    assert float(moons.npe_weighted) < 0.1 * float(moons.npe_independent)
    assert float(moons.w2sq) > 2.5 * float(moons.w2sq_independent)
    assert "W-CFM misses the data: W₂² = " in moons.attrs["advice"]
    assert "low energy is a trap" in moons.attrs["advice"]
    for name in ("EOT-CFM", "OT-CFM"):  # which keep the marginals
        assert float(moons.fit_w2sq.sel(coupling=name)) < 1.3 * float(moons.w2sq_independent)


@pytest.mark.slow
def test_what_epsilon_does(swept, atoms):
    """Costs and energies rise with it, tilts fall, and at last W-CFM is I-CFM."""
    assert (np.diff(swept.pair_cost.sel(coupling="W-CFM")) > 0).all()
    assert (np.diff(swept.ess) > 0).all()
    assert (np.diff(swept.tilt_var, axis=0) < 0).all()
    assert (np.diff(swept.kl_entropic[1:]) < 0).all()
    assert (swept.pair_cost.sel(coupling="W-CFM") <= swept.pair_cost.sel(coupling="I-CFM") + 1e-9).all()
    last = swept.isel(epsilon=-1)
    for name in ("W-CFM", "EOT-CFM"):
        np.testing.assert_allclose(last.paths.sel(coupling=name), last.paths.sel(coupling="I-CFM"), atol=1e-5)
    assert float(last.kl_entropic) < 1e-6
    assert float(last.tilt_var.max()) < 1e-12
    np.testing.assert_allclose(last.tau, 1, atol=1e-6)
    np.testing.assert_allclose(atoms["source"].pe.sel(coupling="I-CFM"), last.pe.sel(coupling="I-CFM"), rtol=1e-12)


@pytest.mark.slow
def test_couplings_that_are_shown(runs):
    """Each sums to one; the weighted one is entropic transport of its own marginals, the last a permutation."""
    plan = runs().plan
    np.testing.assert_allclose(plan.sum(["i", "j"]), 1, rtol=1e-12)
    shown = plan.sel(coupling="W-CFM").values
    again = ot.sinkhorn(shown.sum(1), shown.sum(0), -2.0 * np.log(shown), 2.0, stopThr=1e-14, numItermax=10_000)
    np.testing.assert_allclose(shown, again, atol=1e-10)
    assert (plan.sel(coupling="OT-CFM") > 0).sum() == plan.sizes["i"]


@pytest.mark.slow
def test_energy_is_near_that_of_the_continuous_law(runs):
    np.testing.assert_allclose(runs().pe.sel(coupling="I-CFM"), 17.83, rtol=0.03)
    away = abs(runs().pe.values - float(runs().w2sq_laws))
    np.testing.assert_allclose(runs().npe, away / float(runs().w2sq_laws), rtol=1e-12)


@pytest.fixture(scope="module")
def atoms() -> dict[str, xr.Dataset]:
    """By where W-CFM starts."""
    return {"source": ATOMS.run(), "tilted source": ATOMS.but(start="tilted source").run()}


@pytest.mark.slow
def test_four_points_get_their_masses(atoms):
    """From the source, and from the tilted one: of the weights; of entropic transport all are equal."""
    source, tilted = atoms["source"], atoms["tilted source"]
    np.testing.assert_allclose(source.mass_weighted, TAU, atol=1e-3)
    np.testing.assert_allclose(tilted.mass.sel(coupling="W-CFM"), TAU, atol=2e-3)
    np.testing.assert_allclose(source.mass.sel(coupling="W-CFM"), [0.174, 0.4045, 0.3625, 0.059], atol=2e-3)
    for name in ("I-CFM", "EOT-CFM"):
        np.testing.assert_allclose(source.mass.sel(coupling=name), 0.25, atol=4e-3)
    costs = [2 * float(run.transport.sel(coupling="W-CFM")) for run in (source, tilted)]
    np.testing.assert_allclose(costs, [0.2763, 0.2675], atol=2e-3)
    np.testing.assert_allclose(2 * source.transport.sel(coupling=["I-CFM", "EOT-CFM"]), 1.1413, atol=6e-3)
    assert float(tilted.w2sq_own) < 0.2 * float(source.w2sq_own) + 2e-3


@pytest.mark.slow
def test_gaussian_off_the_origin_is_tilted_as_in_closed_form():
    """Of 1000 points of its own quantiles, so that nothing is left to chance."""
    y = norm.ppf((np.arange(1000) + 0.5) / 1000, 2.0, 0.5)
    run = WeightedCFM(data=mine(x=y[:, None]), cost="half-squared", epsilon=1.0, particles=100, compare=False).run()
    closed = gaussian_tilt(2.0, 0.5, 1.0)
    found = [run.ess, np.exp(run.log_z), (run.tau * run.points[:, 0]).mean(), run.pair_cost.sel(coupling="W-CFM")]
    (mx, my), c = closed.mean, closed.covariance
    cost = (c[0, 0] + c[1, 1] - 2 * c[0, 1] + (my - mx) ** 2) / 2
    np.testing.assert_allclose(found, [closed.ess, closed.z, my, cost], rtol=2e-3)
    way = run.paths.sel(coupling="W-CFM").values
    ends = np.asarray(paths.ode(lambda t, x: closed.velocity(t, x), jnp.asarray(way[0]), 50).end)
    inside = ends > 0.8  # farther out there are few data to end in
    np.testing.assert_allclose(way[-1][inside], ends[inside], atol=0.02)


@pytest.mark.slow
def test_data_of_constant_norm_are_not_tilted():
    """Two points on a line, off the origin, until they are centred; of as many as the four, for the same programs."""
    study = ATOMS.but(data=mine(x=np.array([[-2.0], [4.0], [-2.0], [4.0]])))
    assert float(study.run().tilt_data) > 0.1
    centred = study.but(centred=True).run()
    np.testing.assert_allclose(centred.tau, 1, atol=0.03)
    np.testing.assert_allclose(centred.points.mean("sample"), 0, atol=1e-12)
    end = centred.paths.sel(coupling="W-CFM").values[-1]
    assert abs((end > 0).sum() - len(end) / 2) <= 3


@pytest.mark.slow
def test_normalised_and_raw_weights_have_parallel_gradients():
    x = jax.random.normal(jax.random.key(0), (300, 2)) * 2
    model = Perceptron(jax.random.key(1), 2, 8, 1, dtype=x.dtype)
    work = training.prepare(jax.random.key(2), model, paths.standard(2), x, coupling=couplings.Weighted(1.0), batch=128)
    batch = training.draw(work, jnp.int32(0))

    def raw(model):
        z = (1 - batch.t)[:, None] * batch.x0 + batch.t[:, None] * batch.x1
        each = ((model(batch.t, z) - (batch.x1 - batch.x0)) ** 2).sum(1)
        return (jnp.exp(-jnp.linalg.norm(batch.x0 - batch.x1, axis=1)) * each).mean()

    a, b = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(jax.grad(f)(model))])
        for f in (raw, lambda model: training.loss(model, work, batch))
    )
    assert a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b)) > 1 - 1e-6


@pytest.mark.slow
def test_tiny_epsilon_is_finite_and_all_that_is_wrong_is_said():
    """Entropic transport would need more sweeps than are made, and the weights leave next to nothing."""
    run = ATOMS.but(epsilon=1e-5).run()
    assert np.isfinite(run.w2sq)
    assert np.isfinite(run.tau).all()
    assert not run.converged
    for words in ("Not converged", "Weights degenerate", "Raise ε"):
        assert words in run.attrs["advice"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_data_in_one_place_are_said_to_be(count):
    """Of one, whose plans are of one column, the two exact flows only; of four all, by the programs of the four points."""
    run = ATOMS.but(data=mine(x=np.full((count, 1), 2.0)), compare=count > 1).run()
    assert run.attrs["advice"].startswith("All data are one point")
    assert float(run.w2sq) == 0


@pytest.mark.slow
def test_images_and_a_stopped_run():
    """Digits in 64 dimensions: the two exact flows only."""
    study = WeightedCFM(data="digit-samples", n=40, particles=24, epsilon=5.0, centred=True, steps=16, compare=False)
    run = study.run()
    np.testing.assert_array_equal(np.isfinite(run.fit_w2sq), [True, True, False, False])
    far = np.linalg.norm(run.paths.values[-1, :2, :, None] - run.points.values[None, None], axis=-1)
    assert far.min(-1).max() < 1e-2
    seen = []
    assert "24 particles are too few" in run.attrs["advice"]
    stopped = study.run(lambda progress: seen.append(progress) or True)
    assert stopped.attrs["reason"] == "stopped"
    assert np.isfinite(stopped.paths[:, :2]).all()


@pytest.mark.slow
def test_network():
    run = ATOMS.but(train_steps=40, units=8).run()
    assert run.sizes["train_step"] == 40
    assert 0.4 < float(run.curve_ess.mean()) < 0.9
    assert np.isfinite(run.net_w2sq)
    hv.renderer("matplotlib").get_plot(WeightedCFM.pictures.training(run))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epsilon": 0.0}, "epsilon = 0.0 is not allowed: it must be a number greater than 0"),
        ({"cost": "squared"}, "cost = 'squared' is not allowed: it must be one of norm, half-squared"),
        ({"batch": 0}, "batch = 0 is not allowed: it must be a whole number from 1"),
        ({"batch": 4000}, "batch = 4000 is not allowed: it must be a whole number from 1 to 2048, the number of pairs"),
        ({"data": mine(x=np.eye(3), x0=np.eye(3))}, "the source of mine is known by points only"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        WeightedCFM(**values).run()
    assert str(refusal.value).startswith(sentence)


@pytest.mark.slow
def test_pictures_of_sweeps_and_frames(runs, swept, atoms):
    batches = ATOMS.along(batch=[1, 16])
    for name, result in {"trap": swept, "batches": batches}.items():
        for backend in ("bokeh", "matplotlib"):
            hv.renderer(backend).get_plot(WeightedCFM.pictures[name](result))
    for name in ("motion", "reweighted"):
        hv.renderer("matplotlib").get_plot(WeightedCFM.pictures[name](atoms["source"]))
    kinds = [[type(layer) for layer in WeightedCFM.pictures.motion(runs(), at=at)] for at in (0.0, 0.4, 1.0)]
    assert kinds[0] == kinds[1] == kinds[2]
    costs = batches.pair_cost.sel(coupling="OT-CFM").values
    assert costs[0] > 1.1 * costs[1]
    with pytest.raises(ValueError, match="no network was trained: set the training steps above 0"):
        WeightedCFM.pictures.training(runs())
    with pytest.raises(ValueError, match="it shows a sweep over epsilon"):
        WeightedCFM.pictures.trap(runs())
    alone = batches.assign(pair_cost=batches.pair_cost.where(batches.coupling != "OT-CFM"))
    with pytest.raises(ValueError, match="OT-CFM was not followed: switch it on"):
        WeightedCFM.pictures.batches(alone)

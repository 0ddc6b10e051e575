"""The study of the search over starts, beyond the contract."""

import jax.numpy as jnp
import numpy as np
import pytest

from lab import studies
from lab.cli import main
from lab.diffusion import sharing
from lab.studies.diffusion.optimal_boundary import OptimalBoundary

SMALL = {"candidates": 20, "references": 16, "tests": 20, "steps": 5, "refine": False, "modes": 3}


@pytest.fixture(scope="module")
def small():
    return OptimalBoundary(**SMALL, metric="1-ssim").run()


@pytest.mark.slow
def test_scalars_are_those_of_the_tables(small):
    assert list(small.by.values) == ["mse", "perc", "1-ssim"]
    mine, test = small.score.sel(by="1-ssim"), small.test_score.sel(by="1-ssim")
    best = int(mine.mean("image").argmin())
    assert int(small.best[-1]) == best
    assert float(small.searched) == pytest.approx(float(test[best]), rel=1e-5)
    assert float(small.random) == pytest.approx(float(test.mean()), rel=1e-5)
    assert float(small.spearman_pairs) == pytest.approx(float(sharing.pairs(jnp.asarray(mine.values))), abs=1e-6)
    means = mine.mean("image").values[small.best]
    assert (np.diff(means) <= 0).all()
    assert means[-1] == mine.mean("image").min()
    assert float(small.size_score[-1, -1]) == pytest.approx(float(small.searched), rel=1e-5)
    assert int(small.calls) == 20 * 16 * 6
    assert int(small.excluded) == 0
    ways = small.way_score.sel(by="1-ssim")
    assert float(small.searched) == pytest.approx(float(ways.sel(way="searched")))
    assert float(small.zero) == pytest.approx(float(ways.sel(way="zero")), rel=1e-6)
    assert np.isnan(ways.sel(way="nearby"))
    assert "refined" not in small


@pytest.mark.slow
def test_what_is_seen_is_what_was_scored(small):
    """The tiles of the shown images against their table."""
    tiles, names = small.samples.values, [str(name) for name in small.tile.values]
    assert names == [
        "measured",
        "truth",
        *(f"random {i}" for i in range(1, 6)),
        "searched",
        "zero",
        "ancestral",
        "mean",
    ]
    truth, mean = (tiles[:, names.index(name)] for name in ("truth", "mean"))
    wrong = [((tiles[:, names.index(name)] - truth) ** 2).mean() for name in ("mean", "zero", "random 1")]
    assert wrong[0] < wrong[2]
    assert wrong[1] < wrong[2]
    low = tiles[:, 0].reshape(-1, 4, 2, 4, 2)
    np.testing.assert_array_equal(low.std(axis=(2, 4)), 0)  # four pixels seen as one
    np.testing.assert_allclose(
        low.mean(axis=(2, 4)), truth.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)), atol=0.08
    )  # 4 sigma
    assert np.abs(mean).max() < 2


@pytest.mark.slow
def test_a_metric_a_tableau_and_a_decoder_of_ones_own():
    made = studies.boundary_study(
        "Worst pixel",
        metric=lambda x, z: jnp.abs(x - z).max(),
        sampler=([[], [1.0]], [0.5, 0.5]),
        decoder=lambda x: jnp.clip(x, -1, 1),
        **SMALL,
    )
    assert {"metric", "sampler"}.isdisjoint(made.parameters())
    run = made().run()
    assert list(run.by.values) == ["mse", "perc", "own"]
    assert float(run.searched) == pytest.approx(float(run.way_score.sel(by="own", way="searched")))
    assert np.abs(run.samples.sel(tile="searched")).max() <= 1
    assert int(run.calls) == 20 * 16 * (2 * 5 + 1)
    assert studies.find("worst-pixel") is made
    for picture in made.pictures:
        if picture.along is None:
            assert picture.applies(run) == ""
            picture(run)


def test_what_does_not_fit_is_refused():
    for told, change in (
        ("nothing of your own", {}),
        ("an image of the same shape", {"decoder": lambda x: x[:4]}),
        ("one number is needed", {"metric": lambda x, z: x - z}),
        ("can't be applied", {"metric": lambda x: x}),
        ("sum to one", {"sampler": ([[]], [0.5])}),
        ("no such parameter", {"metric": lambda x, z: jnp.abs(x - z).max(), "kandidates": 3}),
    ):
        with pytest.raises(ValueError, match=told):
            studies.boundary_study("Wrong", **change)
    images = np.random.default_rng(0).random((30, 12, 12))
    half = studies.boundary_study("Halves", metric=lambda x, z: (x[5] - z[5]).sum(), pictures=images, pool=2)
    assert (
        half.definition
        != studies.boundary_study("Pixels", metric=lambda x, z: x[11, 11] - z[0, 0], pictures=images).definition
    )
    with pytest.raises(TypeError, match="a Sampler, a tableau"):
        studies.boundary_study("Wrong", sampler=3)
    with pytest.raises(ValueError, match=r"pool = 1 .* at most 256 pixels"):
        OptimalBoundary(data="mnist-images").run()
    with pytest.raises(ValueError, match="sides must be even numbers"):
        OptimalBoundary(data="mnist-images", pool=4).run()


@pytest.mark.slow
def test_a_step_function_in_a_file_is_a_study_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "my_start.py"
    path.write_text(
        "from lab import studies\n"
        "def ddim(predict, now, later, x):\n"
        "    data = predict(x, now.a, now.s)\n"
        "    return later.a * data + later.s * (x - now.a * data) / now.s\n"
        "study = studies.boundary_study('My step', sampler=ddim, candidates=20, references=16, tests=20, steps=5, modes=3,\n"
        "                               refine=False)\n"
    )
    assert main(["run", str(path), "-o", str(tmp_path / "run.nc")]) == 0
    import xarray as xr

    with xr.open_dataset(tmp_path / "run.nc") as run:
        assert float(run.searched) == pytest.approx(float(OptimalBoundary(**SMALL).run().searched), rel=1e-4)
    assert main(["show", str(path), "--json"]) == 0
    assert '"my-step"' in capsys.readouterr().out


@pytest.mark.slow
def test_another_damage_and_few_images_of_ones_own():
    few = np.random.default_rng(0).uniform(-1, 1, (30, 1, 4, 4))
    made = OptimalBoundary(
        data=_own(few),
        candidates=1,
        references=50,
        modes=2,
        steps=3,
        refine=False,
        damage="random mask",
        sampler="dpm++2m",
    ).run()
    assert made.attrs["converged"]
    assert made.sizes["image"] == 3  # half of those held out
    assert list(made.by.values) == ["mse", "perc"]
    assert {"spearman_pairs", "spearman_halves", "density_agrees"}.isdisjoint(made.data_vars)
    assert np.isfinite([float(made[name]) for name in ("random", "searched", "zero", "ancestral", "gain")]).all()


def _own(pixels):
    from lab.datasets import images

    return images.from_arrays("mine", {"pixels": pixels})

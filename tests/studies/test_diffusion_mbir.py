"""The study of DiffusionMBIR beyond the contract that every study keeps, on a small volume of its own."""

from typing import Any

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, inverse
from lab.datasets import Data, volumes
from lab.inverse import mbir
from lab.studies.inverse.diffusion_mbir import DiffusionMBIR
from lab.studies.inverse.diffusion_mbir.experiment import METHODS

SHEET_NAMES = "psnr_axial psnr_coronal psnr_sagittal residual tv_z residual_path psnr_path sigma volume"  # section 7
RNG = np.random.default_rng(7)


def mine(volume: Any, training: Any = None) -> Data:
    arrays = {"volume": np.asarray(volume, np.float32)}
    if training is not None:
        arrays["training"] = np.asarray(training, np.float32)
    return Data("mine", "Mine", "volumes", arrays, "a test", "none")


def blobs(count: int, side: int = 12, seed: int = 0) -> np.ndarray:
    """Volumes of another kind than the named ones: Gaussian blobs that drift from slice to slice."""
    rng = np.random.default_rng(seed)
    z, i, j = np.ogrid[:count, :side, :side]
    found = np.zeros((count, side, side))
    for _ in range(3):
        row, column, drift = rng.uniform(3, 8), rng.uniform(3, 8), rng.uniform(-0.2, 0.2, 2)
        found += rng.uniform(0.3, 0.6) * np.exp(-((i - row - drift[0] * z) ** 2 + (j - column - drift[1] * z) ** 2) / 5)
    middle = (side - 12) // 2 + 6
    return np.clip(np.where(np.hypot(i - middle, j - middle) <= 5, found, 0), 0, 1)


VOLUME = blobs(6)
TRAINING = np.concatenate([blobs(6, seed=seed) for seed in range(1, 41)])
PLACE = {"slice": 2, "row": 5, "column": 6}
STUDY = DiffusionMBIR(data=mine(VOLUME, TRAINING), views=4, steps=20, tv_steps=20, inner=3, **PLACE)


@pytest.fixture(scope="module")
def first():
    return STUDY.execute()


@pytest.mark.slow
def test_variables_have_the_names_of_the_paper_sheet(first):
    for name in SHEET_NAMES.split():
        assert name in first.result, name
    assert first.result.volume.dims == ("z", "y", "x")
    np.testing.assert_allclose(first.result.sigma[[0, -1]], [5.0, 0.01], rtol=1e-9)
    np.testing.assert_array_equal(first.result.truth, VOLUME.astype(np.float32))


@pytest.mark.slow
def test_everything_is_what_the_methods_themselves_give(first):
    """Each made without the study."""
    import jax

    run, key = first.result, jax.random.key(0)
    made = inverse.radon((6, 12, 12), 4)
    given = inverse.problem(made, made(jnp.asarray(run.truth.values)), 0.0)
    spectrum = denoise.dense_spectrum(jnp.asarray(TRAINING.astype(np.float32), float).reshape(-1, 144))
    prior = inverse.Slices(denoise.Wiener(spectrum, (1, 12, 12)), 6)
    method = inverse.MBIR(steps=20, sigma_max=5.0, inner=3)
    found = inverse.solve(given, prior, method, key=jax.random.fold_in(key, 1), keep=True)
    np.testing.assert_allclose(run.volume, found.x[0], atol=1e-7)
    np.testing.assert_allclose(run.coronal_path.sel(diffusion="MBIR"), found.path[:, 0, :, 5], atol=1e-7)
    np.testing.assert_allclose(run.residual_path, found.trace["residual"][:20], atol=1e-9)
    np.testing.assert_allclose(run.residual, run.residual_path[-1], rtol=1e-6)
    alone = inverse.solve(given, prior, method._replace(lam=0.0, rho=1e-30), key=jax.random.fold_in(key, 1), keep=True)
    np.testing.assert_allclose(run.volumes.sel(solver="slice-wise"), alone.x[0], atol=1e-7)
    np.testing.assert_allclose(run.volumes.sel(solver="least norm"), made.pinv(given.y), atol=1e-7)
    total = inverse.total_variation(given, 1e-3, 0.05, steps=20, inner=4).x
    np.testing.assert_allclose(run.volumes.sel(solver="TV"), total, atol=1e-7)
    angles = np.arange(4) * 45.0
    np.testing.assert_allclose(
        run.volumes.sel(solver="FBP"), inverse.filtered_backprojection(given.y, angles), atol=1e-9
    )
    for name, x in zip(METHODS, run.volumes.values, strict=True):
        wanted = mbir.planes(jnp.asarray(x), run.truth.values)
        np.testing.assert_allclose(run.psnr_of.sel(solver=name), np.stack(wanted), rtol=1e-9)
    rough = float(mbir.differences(found.x[0]).std()) / 2**0.5
    np.testing.assert_allclose(run.roughness_path[-1], rough, rtol=1e-6)
    variance = TRAINING.reshape(-1, 144).var(axis=0, ddof=1).mean()
    np.testing.assert_allclose(run.unrelated, np.sqrt(variance + run.sigma.values**2), rtol=1e-5)


@pytest.mark.slow
def test_a_click_computes_nothing_but_what_is_shown(first):
    STUDY.but(slice=3, row=2, column=2).execute(warm=first.warm)  # programs may have been given up between two tests
    moved = STUDY.but(slice=4, row=3, column=1)
    reports = []
    warm = moved.execute(reports.append, warm=first.warm).result
    assert not reports  # no diffusion ran
    assert warm.attrs["programs_compiled"] == 0
    np.testing.assert_array_equal(warm.volume, first.result.volume)
    np.testing.assert_allclose(warm.coronal_path[0, -1], warm.volume.isel(y=3), atol=1e-12)
    from skimage.transform import radon

    assert warm.truth.values[4][np.hypot(*(np.mgrid[:12, :12] - 6)) > 5].max() == 0  # beyond the disc the two differ
    wanted = radon(warm.truth.values[4].astype(float), warm.angle.values, circle=True)
    np.testing.assert_allclose(warm.sinogram, wanted, atol=1e-6)


@pytest.mark.slow
def test_clicks_go_where_they_are_drawn(first):
    pictures, run = DiffusionMBIR.pictures, first.result
    n, down = 12, 13
    tall = 3 * down - 1
    assert pictures["planes"].clicked(run, 5.5, tall - 3.5) == {"row": 3, "column": 5}
    assert pictures["planes"].clicked(run, down + 7.5, tall - down - 3 - 1.5) == {"slice": 1, "column": 7}
    assert pictures["planes"].clicked(run, 4 * down + 7.5, tall - 2 * down - 3 - 5.5) == {"slice": 5, "row": 7}
    assert pictures["planes"].clicked(run, 7.5, tall - down - 1.5) == {}  # above the plane: six slices in twelve pixels
    assert pictures["planes"].clicked(run, n + 0.5, tall - 3.5) == {}
    drawn: Any = pictures["planes"](run)
    canvas = next(layer for layer in drawn if isinstance(layer, hv.RGB))
    at = canvas.data[down + 3 + 1, down + 7, 0] / 127.5 - 1  # the coronal plane by FBP, slice 1, column 7
    value = float(run.volumes.sel(solver="FBP")[1, 5, 7])
    assert at == pytest.approx(2 * np.clip(value, 0, 1) - 1, abs=0.01)
    assert canvas.data[down + 1, down + 7, 3] < 255 or canvas.data[down + 1, down + 7, 0] == 255  # nothing is there


@pytest.mark.slow
def test_where_it_diverges_is_said(first):
    wild = STUDY.but(rho=1.0, sigma_max=50.0, inner=8).run()
    assert wild.attrs["reason"] == "not_finite"
    assert float(wild.roughness) > 1.1 > float(first.result.roughness)
    assert "The diffusion diverged" in wild.attrs["advice"]
    assert "Lower ρ" in wild.attrs["advice"]
    tied = STUDY.but(lam=0.0, inner=8).run()
    assert "With λ = 0 nothing is shrunk" in tied.attrs["advice"]
    assert first.result.attrs["reason"] == "converged"


@pytest.mark.slow
def test_a_run_that_is_stopped_is_not_remembered():
    study = STUDY.but(lam=6e-3)
    stopped = study.run(lambda progress: True)
    assert stopped.attrs["reason"] == "stopped"
    done = int(np.isfinite(stopped.psnr_path).sum())
    assert done == int(stopped.iterations) < 20 or done == 20
    whole = study.run()
    assert whole.attrs["reason"] == "converged"
    assert np.isfinite(whole.psnr_path).all()


@pytest.mark.slow
def test_resonance_and_a_volume_without_training_slices():
    """It is reconstructed with slices of ellipsoids, of its own size."""
    run = DiffusionMBIR(data=mine(VOLUME), scanner="MRI", acceleration=3, steps=10, tv_steps=5, **PLACE).run()
    assert "sinogram" not in run
    assert int(run.lines.sum()) == 4
    assert run.lines[6] == 1  # frequency 0
    spectrum = np.fft.fftshift(np.fft.fft2(run.truth.values[2], norm="ortho"))
    np.testing.assert_allclose(run.spectrum, np.log10(np.abs(spectrum) + 1e-6), atol=1e-9)
    seen = np.fft.ifftshift(np.broadcast_to(run.lines.values, (12, 12)))
    zero = np.fft.ifft2(np.fft.fft2(run.truth.values) * seen).real
    np.testing.assert_allclose(run.volumes.sel(solver="FBP"), zero, atol=1e-10)
    drawn = DiffusionMBIR.pictures
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(drawn["measured"](run))
        hv.renderer(backend).get_plot(drawn["planes"](run))
    assert drawn["measured"].finds(run).startswith("4 of 12 frequency lines are measured, with ")
    slices = volumes.ellipsoid_slices(12).reshape(-1, 144) / 255
    np.testing.assert_allclose(run.unrelated[-1], np.sqrt(slices.var(axis=0, ddof=1).mean() + 1e-4), rtol=1e-6)


@pytest.mark.slow
def test_pooling_noise_and_the_optimal_denoiser():
    volume = blobs(5, 40, seed=3)
    study = DiffusionMBIR(
        data=mine(volume, np.concatenate([blobs(5, 40, seed=s) for s in range(4, 9)])),
        prior="optimal",
        noise=0.1,
        views=3,
        steps=10,
        tv_steps=5,
        scanner="limited angle",
        span=60.0,
        slice=1,
        row=2,
        column=3,
    )
    run = study.run()
    assert run.volume.shape == (5, 20, 20)
    np.testing.assert_allclose(
        run.truth, volume.astype(np.float32).reshape(5, 20, 2, 20, 2).mean(axis=(2, 4)), atol=1e-6
    )
    np.testing.assert_allclose(run.measured.dropna("view"), [0, 20, 40])
    assert float(run.residual_of.sel(solver="MBIR")) > 0.01  # the noise can't be explained
    with pytest.raises(ValueError, match=r"row = 20 is not allowed: .* since the slices have 20 pixels a side"):
        study.but(row=20).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", [p.name for p in DiffusionMBIR.pictures if p.along is not None])
def test_pictures_of_sweeps_are_drawn(name):
    picture = DiffusionMBIR.pictures[name]
    small = mine(VOLUME[:3, 2:10, 2:10], TRAINING[:60, 2:10, 2:10])
    study = STUDY.but(data=small, steps=3, tv_steps=1)
    grid = {key: list(values)[:2] for key, values in picture.grid(study, study.load()).items()}
    result = study.along(keep=picture.keep, **grid)
    assert picture.applies(result) == ""
    for backend in ("bokeh", "matplotlib"):
        hv.renderer(backend).get_plot(picture(result))


@pytest.mark.slow
def test_frames_have_the_same_layers(first):
    picture = DiffusionMBIR.pictures.film
    kinds = [[type(layer) for layer in picture(first.result, at=at)] for at in (1, 10, 20)]
    assert kinds[0] == kinds[1] == kinds[2]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rho": 0.0}, "rho = 0.0 is not allowed: it must be a number greater than 0"),
        ({"lam": -1.0}, "lam = -1.0 is not allowed: it must be a number of at least 0"),
        ({"views": 0}, "views = 0 is not allowed: it must be a whole number from 1 to 64"),
        ({"steps": 1}, "steps = 1 is not allowed: it must be a whole number from 2"),
        ({"sigma_max": 0.005}, "sigma_min = 0.01 is not allowed: it must be less than sigma_max = 0.005"),
        (
            {"slice": 16},
            "slice = 16 is not allowed: it must be a whole number from 0 to 15, since the volume has 16 slices",
        ),
        (
            {"pool": 6},
            "pool = 6 is not allowed: slices of 24 pixels a side would have 4, but 8 to 64 are taken: set it from 1",
        ),
        ({"data": mine(VOLUME[:1])}, "mine has one slice, but a volume has at least 2"),
        ({"data": mine(np.where(VOLUME > 0.5, np.nan, VOLUME))}, "volume in mine is nan at entry"),
        ({"data": mine(VOLUME[:, :10])}, "volume in mine has shape (6, 10, 12), but (slices, side, side) is needed"),
        ({"data": "mnist-images"}, "the data mnist-images are of kind images, but volumes is needed here"),
    ],
)
def test_bad_parameters_get_a_sentence(values, sentence):
    with pytest.raises((ValueError, TypeError)) as refusal:
        DiffusionMBIR(**values).run()
    assert str(refusal.value).startswith(sentence)

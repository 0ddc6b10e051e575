"""The named sets: what they promise, and the numbers of the paper sheet."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import linprog

from lab import datasets

NAMES = [entry.name for entry in datasets.catalogue("transport")]


def linear_program(data):
    """The optimum by HiGHS, from the marginal constraints written out."""
    a, b = data.arrays["a"], data.arrays["b"]
    m, n = len(a), len(b)
    cost = data.arrays.get("cost")
    if cost is None:
        cost = ((data.arrays["x"][:, None, :] - data.arrays["y"][None, :, :]) ** 2).sum(-1)
    rows, columns = np.kron(np.eye(m), np.ones((1, n))), np.kron(np.ones((1, m)), np.eye(n))
    return linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=np.concatenate([a, b])).fun


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_a_transport_problem_with_origin(name):
    data = datasets.load(name)
    a, b = data.arrays["a"], data.arrays["b"]
    assert data.kind == "transport"
    assert data.name == name
    assert data.source
    assert data.licence
    assert data.title
    assert (a > 0).all()
    assert (b > 0).all()
    total = len(a) if name == "tokens-to-experts" else 1.0
    assert a.sum() == pytest.approx(total, rel=1e-12)
    assert b.sum() == pytest.approx(total, rel=1e-12)
    if "cost" in data.arrays:
        assert data.arrays["cost"].shape == (len(a), len(b))
        assert np.isfinite(data.arrays["cost"]).all()
    else:
        assert {"x", "y"} <= set(data.arrays)
    if "x" in data.arrays:
        x, y = data.arrays["x"], data.arrays["y"]
        assert x.shape == (len(a), x.shape[1])
        assert y.shape == (len(b), x.shape[1])
        assert ("x_2d" in data.arrays) == (x.shape[1] > 2)
    assert not data.notices or all(isinstance(notice, str) for notice in data.notices)
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in datasets.catalogue("transport") if "n" in entry.options])
def test_n_is_the_number_of_sources_and_another_n_another_content(name):
    data = datasets.load(name, n=17)
    assert len(data.arrays["a"]) == 17
    assert len(data.arrays["b"]) == (8 if name == "tokens-to-experts" else 17)
    assert data.sha256 != datasets.load(name).sha256


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in datasets.catalogue("transport") if "seed" in entry.options])
def test_the_seed_chooses_the_content(name):
    one, other = datasets.load(name, seed=1), datasets.load(name, seed=2)
    assert one.sha256 != other.sha256
    assert one.sha256 == datasets.load(name, seed=1).sha256


@pytest.mark.slow
def test_two_processes_on_other_numbers_of_threads_agree_on_every_bit():
    code = (
        "import json; from lab import datasets as d;"
        "print(json.dumps({e.name: d.load(e.name).sha256 for e in d.catalogue('transport')}))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == {name: datasets.load(name).sha256 for name in NAMES}


def test_listing_imports_no_heavy_module():
    code = (
        "import sys; from lab import datasets as d; d.catalogue();"
        "heavy = 'sklearn', 'skimage', 'scipy', 'pandas', 'jax', 'xarray', 'PIL';"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_files_that_ship_are_those_recorded():
    from lab.datasets import packaged

    told = (packaged.folder() / "README.md").read_text()
    for key, file in packaged.FILES.items():
        assert packaged.content(key)
        assert (packaged.folder() / file.name).stat().st_size < 2 * 2**20
        assert f"`{file.name}`" in told
    for licence in (packaged.folder() / "licences").iterdir():
        assert f"(licences/{licence.name})" in told


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:-9],
        lambda payload: payload + b"x",
        lambda payload: payload[:99] + bytes(20) + payload[119:],
        lambda payload: b"",
    ],
)
@pytest.mark.parametrize("key", ["rocket", "digits"])
def test_a_damaged_file_of_the_lab_is_refused(key, spoil, tmp_path, monkeypatch):
    from lab.datasets import packaged

    name = packaged.FILES[key].name
    payload = (packaged.folder() / name).read_bytes()
    monkeypatch.setattr(packaged, "folder", lambda: tmp_path)
    for present in (False, True):
        if present:
            (tmp_path / name).write_bytes(spoil(payload))
        with pytest.raises(ValueError, match=rf"{name} is missing or damaged: install the lab again"):
            packaged.content(key)


def test_catalogue_states_defaults_within_what_is_allowed():
    assert NAMES[0] == "photographs"
    assert len(set(NAMES)) == len(NAMES)
    assert datasets.catalogue("no such kind") == []
    for entry in datasets.catalogue("transport"):
        assert entry.summary
        assert entry.source
        assert entry.licence
        assert entry.options.keys() == entry.allowed.keys()
        for key, default in entry.options.items():
            allowed = entry.allowed[key]
            assert default in allowed if isinstance(default, str) else allowed[0] <= default <= allowed[1]


# -- truth -------------------------------------------------------------------------------------------------------------


def test_bumps_are_those_of_the_paper():
    data = datasets.load("bump-to-bump")
    x = np.arange(32.0)
    a, b = np.exp(-((x - 10) ** 2) / 32), np.exp(-((x - 16) ** 2) / 50)
    np.testing.assert_allclose(data.arrays["a"], a / a.sum(), rtol=1e-14)
    np.testing.assert_allclose(data.arrays["b"], b / b.sum(), rtol=1e-14)
    np.testing.assert_allclose(data.arrays["cost"], np.subtract.outer(x, x) ** 2 / 31**2, rtol=1e-14)
    assert linear_program(data) == pytest.approx(0.038042, abs=5e-7)
    assert data.truth["value_k1"] == pytest.approx(0.0663317, abs=5e-8)
    assert data.truth["lp"] <= data.truth["value_quadratic"] <= data.truth["value_k1"]
    two = datasets.load("one-bump-to-two").arrays
    left, right = np.exp(-((x - 8) ** 2) / 50), np.exp(-((x - 24) ** 2) / 50)
    np.testing.assert_allclose(two["a"], b / b.sum(), rtol=1e-14)
    np.testing.assert_allclose(two["b"], (left / left.sum() + right / right.sum()) / 2, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bump-to-bump", {}),
        ("bump-to-bump", {"n": 23}),
        ("one-bump-to-two", {}),
        ("gaussians-2d", {"seed": 3}),
        ("random-assignment", {"n": 25, "seed": 5}),
    ],
)
def test_the_stated_optimum_is_that_of_a_linear_program(name, options):
    data = datasets.load(name, **options)
    assert data.truth["lp"] == pytest.approx(linear_program(data), rel=1e-9)


@pytest.mark.slow
def test_gaussians_follow_the_table_of_the_paper():
    data = datasets.load("gaussians-2d", n=1024)
    table = np.array([[1, -0.8], [-0.6, 1]])
    x, y = data.arrays["x"], data.arrays["y"]
    np.testing.assert_allclose(x, np.random.RandomState(0).randn(1024, 2))
    np.testing.assert_allclose(y.mean(0), [4, 4], atol=0.15)
    from scipy.linalg import sqrtm

    root = sqrtm(table)
    np.testing.assert_allclose(np.cov(y.T), root.T @ root, atol=0.15)


def test_gates_are_those_of_the_sheet():
    data = datasets.load("tokens-to-experts")
    rng = np.random.default_rng(0)
    W = rng.standard_normal((32, 8))
    logits = (rng.standard_normal((256, 32)) + rng.standard_normal(32)) @ W / np.sqrt(32)
    gates = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(data.arrays["gates"], gates, rtol=1e-12)
    np.testing.assert_array_equal(data.arrays["cost"], -data.arrays["gates"])
    np.testing.assert_array_equal(data.arrays["b"], np.full(8, 32.0))
    # Expert choice without transport at capacity factor 1 leaves 22.3% of the tokens to no expert (sheet, 5.5).
    picked = np.unique(np.argsort(-data.arrays["gates"], axis=0)[:32])
    assert 1 - len(picked) / 256 == pytest.approx(0.223, abs=5e-4)


# -- photographs and digits --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_weights_are_the_share_of_pixels_nearest_to_each_colour():
    from skimage.data import astronaut

    data = datasets.load("photographs", n=16)
    pixels, colours = astronaut().reshape(-1, 3) / 256, data.arrays["x"]
    nearest = ((pixels[:, None, :] - colours[None, :, :]) ** 2).sum(-1).argmin(1)
    np.testing.assert_allclose(data.arrays["a"], np.bincount(nearest, minlength=16) / len(pixels), atol=1e-5)


def test_labels_paint_the_small_picture():
    data = datasets.load("photographs")
    for side, points in (("source", "x"), ("target", "y")):
        image, label = data.arrays[f"{side}_image"], data.arrays[f"{side}_label"]
        assert image.dtype == np.uint8
        assert label.shape == image.shape[:2]
        assert max(label.shape) == 160
        assert label.min() >= 0
        assert label.max() < 64
        painted = data.arrays[points][label] * 256
        assert np.abs(painted - image).mean() < 8  # of 255


@pytest.mark.slow
def test_colours_are_as_good_as_those_of_scikit_learn():
    from skimage.data import coffee
    from sklearn.cluster import KMeans

    pixels = coffee().reshape(-1, 3)[::16] / 256.0
    reference = KMeans(32, n_init=1, random_state=0).fit(pixels).inertia_
    ours = ((pixels[:, None, :] - datasets.load("photographs", n=32).arrays["y"][None]) ** 2).sum(-1).min(1).sum()
    assert ours < 1.1 * reference


def test_digits_are_images_of_their_classes():
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = datasets.load("digit-clouds", source=4, target=9, n=174, seed=2)
    fours = {tuple(image) for image in digits.data[digits.target == 4] / 16}
    nines = {tuple(image) for image in digits.data[digits.target == 9] / 16}
    assert {tuple(point) for point in data.arrays["x"]} <= fours
    assert {tuple(point) for point in data.arrays["y"]} <= nines
    pair = datasets.load("digits-8x8", source=4, target=9, seed=2).arrays
    image = np.zeros((8, 8))
    column, row = np.rint(pair["x"].T * 7).astype(int)
    image[7 - row, column] = pair["a"]
    assert any(np.allclose(image.ravel(), np.array(four) / sum(four)) for four in fours)


@pytest.mark.slow
def test_one_class_twice_shares_no_image_until_it_must():
    data = datasets.load("mnist-clouds", source=5, target=5, n=250)
    assert not {tuple(p) for p in data.arrays["x"]} & {tuple(p) for p in data.arrays["y"]}
    assert not data.notices
    assert "share 20 images" in datasets.load("mnist-clouds", source=5, target=5, n=260).notices[0]


def test_the_plane_keeps_the_most_variance():
    data = datasets.load("digit-clouds")
    both = np.concatenate([data.arrays["x"], data.arrays["y"]])
    flat = np.concatenate([data.arrays["x_2d"], data.arrays["y_2d"]])
    eigenvalues = np.linalg.eigvalsh(np.cov(both.T))
    np.testing.assert_allclose(flat.var(axis=0, ddof=1), eigenvalues[:-3:-1], rtol=1e-4)
    assert abs(np.corrcoef(flat.T)[0, 1]) < 1e-4


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "error", "sentence"),
    [
        ("photographs", {"n": 1}, ValueError, "n = 1, .* allows 2 to 1024"),
        ("photographs", {"n": 64.0}, TypeError, "needs an integer"),
        ("photographs", {"n": True}, TypeError, "needs an integer"),
        ("photographs", {"source": "lena"}, ValueError, "'lena', .* only astronaut, coffee"),
        ("bump-to-bump", {"seed": 1}, ValueError, "no option 'seed'; its options are n"),
        ("digits-8x8", {"source": 10}, ValueError, "source = 10, .* allows 0 to 9"),
        ("fotographs", {}, ValueError, "no data set 'fotographs'; did you mean photographs"),
        ("zzz", {}, ValueError, "the data sets are photographs, "),
    ],
)
def test_options_are_refused_in_a_sentence(name, options, error, sentence):
    with pytest.raises(error, match=sentence):
        datasets.load(name, **options)


def test_studies_may_pass_options_that_a_set_lacks():
    assert datasets.load("bump-to-bump", strict=False, seed=3, n=None) is datasets.load("bump-to-bump")
    assert datasets.resolve("bump-to-bump", "transport", seed=3, n=16).arrays["a"].shape == (16,)

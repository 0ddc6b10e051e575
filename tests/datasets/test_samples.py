"""Samples: named sets whose laws are known, and files that a user brings."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from lab import datasets


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def read(name, payload):
    return datasets.read_bytes(name, payload, kind="samples")


@pytest.mark.parametrize("name", ["eight-gaussians", "narrow-ring", "two-mode-pair", "modes-1d", "three-gaussians"])
def test_samples_follow_the_mixture_that_comes_with_them(name):
    arrays = datasets.load(name, n=20_000, seed=11).arrays
    for x, prefix in ((arrays["x"], ""), (arrays.get("x0"), "source_")):
        if x is None:
            continue
        weights, centres, variances = (arrays[prefix + key] for key in ("weights", "centres", "variances"))
        for axis in range(x.shape[1]):

            def law(value, axis=axis, weights=weights, centres=centres, variances=variances):
                each = stats.norm.cdf(np.asarray(value)[..., None], centres[:, axis], np.sqrt(variances))
                return each @ weights

            assert stats.kstest(x[:, axis], law).pvalue > 1e-3


def test_the_checkerboard_is_uniform_on_its_boxes_and_of_mean_square_one():
    arrays = datasets.load("checkerboard", n=40_000, seed=5).arrays
    x, low, high = arrays["x"], arrays["low"], arrays["high"]
    inside = ((x[:, None] >= low[None]) & (x[:, None] <= high[None])).all(axis=2)
    assert (inside.sum(axis=1) == 1).all()
    assert stats.chisquare(inside.sum(axis=0)).pvalue > 1e-3
    np.testing.assert_allclose(((low**2 + low * high + high**2) / 3).mean(), 1.0, rtol=1e-12)


def test_images_are_pooled_and_keep_their_shape():
    fine, coarse = (datasets.load("mnist-samples", n=50, side=side) for side in ("28", "7"))
    assert coarse.axes["image"] == (7, 7)
    whole = fine.arrays["x"].reshape(50, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(50, 49)
    np.testing.assert_allclose(coarse.arrays["x"], whole, atol=1e-12)
    assert fine.arrays["x"].min() == -1
    np.testing.assert_array_equal(fine.arrays["classes"], coarse.arrays["classes"])


def test_a_users_samples():
    x = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(read("m.npz", npz(x=x, other=x)).arrays["x"], x)
    images = read("m.npz", npz(x=np.zeros((5, 4, 6))))
    assert images.axes["image"] == (4, 6)
    assert images.arrays["x"].shape == (5, 24)
    table = read("m.csv", b"u,v\n1,2\n3,4.5\n")
    np.testing.assert_array_equal(table.arrays["x"], [[1, 2], [3, 4.5]])
    assert table.axes["x"] == ("u", "v")
    assert datasets.unpack(datasets.pack(images)).sha256 == images.sha256
    law = {"weights": [1.0], "centres": np.zeros((1, 3)), "variances": np.eye(3)[None] + 0.5}
    assert read("m.npz", npz(x=x, **law)).arrays["variances"].shape == (1, 3, 3)


def test_a_folder_of_pictures(tmp_path):
    for name, shape in (("a.png", (40, 30)), ("b.png", (20, 20))):
        Image.fromarray(np.full((*shape, 3), 255, np.uint8)).save(tmp_path / name)
    data = datasets.read(tmp_path, kind="samples")
    np.testing.assert_allclose(data.arrays["x"], np.ones((2, 256)))
    assert "2 pictures of 20 x 20, 30 x 40 pixels were brought to 16 x 16" in data.notices[-1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((3, 2))}, r"has no x, but x \(n, d\) is needed"),
        ({"x": np.zeros((0, 2))}, "has shape"),
        ({"x": np.array([[1.0, np.nan]])}, "must be finite"),
        ({"x": np.zeros((3, 2)), "x0": np.zeros((3, 4))}, r"\(m, d\) is needed, and x has d = 2 coordinates"),
        ({"x": np.zeros((3, 2)), "weights": [0.5, 0.6], "centres": np.zeros((2, 2))}, "sum to 1"),
        ({"x": np.zeros((3, 2)), "weights": [0.5, 0.5], "centres": np.zeros((2, 3))}, "centres in"),
        ({"x": np.zeros((3, 2)), "weights": [1.0], "variances": [[[1, 2], [2, 1]]]}, "positive definite"),
        ({"x": np.zeros((3, 2)), "weights": [1.0], "variances": [[[1, 0.5], [0, 1]]]}, "symmetric"),
        (
            {"x": np.zeros((3, 2)), "weights": [1.0], "variances": [[1, 1, 1]]},
            r"\(k, d, d\) is needed, and x has d = 2 coordinates, and weights has k = 1 components",
        ),
        ({"x": np.zeros((3, 2)), "classes": [0, 1]}, r"\(n,\) is needed, and x has n = 3 samples"),
        ({"x": np.array(["a", "b"])}, "real numbers are needed"),
    ],
)
def test_what_is_no_sample_gets_a_sentence(arrays, message):
    with pytest.raises(ValueError, match=message):
        read("bad.npz", npz(**arrays))


def test_nothing_is_unpickled_and_other_kinds_are_told():
    with pytest.raises(ValueError, match="Python objects"):
        read("bad.npz", npz(x=np.array([{}], object)))
    with pytest.raises(ValueError, match="does not hold numbers"):
        read("bad.csv", b"u,v\n1,a\n")
    with pytest.raises(ValueError, match="files are read as data of kind"):
        datasets.read_bytes("m.npz", npz(x=np.zeros((2, 2))), kind="weather")


def test_arrays_that_nothing_reads_are_named():
    x, k = np.ones((3, 2)), np.full(3, 1 / 3)
    for given, said in (
        ({"weights": k}, "weights in f.npz ignored: a law of x is centres, weights, variances or low, high, weights"),
        ({"wieghts": k}, "wieghts in f.npz ignored: did you mean weights?"),
        ({"centres": x, "variances": k}, "centres, variances in f.npz ignored"),
        ({"source_centres": x}, "source_centres in f.npz ignored: a law of the source is"),
        ({"centres": x, "variances": k, "weights": k, "low": x}, "low in f.npz ignored"),
    ):
        (notice,) = read("f.npz", npz(x=x, **given)).notices
        assert notice.startswith(said)
    assert read("f.npz", npz(x=x, centres=x, variances=k, weights=k)).notices == ()
    assert read("f.csv", b",u,v\n0,1,2\n1,2,3\n").notices == ("Unnamed: 0 in f.csv ignored",)

"""Sets of bags against the numbers of the paper sheet."""

import numpy as np
import pytest

from lab import datasets
from lab.datasets import bags


def test_synthetic_bags_are_those_of_the_sheet():
    """C-index of the true risk on the last third, and the share of events, as they were measured independently."""
    from lifelines.utils import concordance_index

    for seed, expected in enumerate((0.835, 0.803, 0.792)):
        made = datasets.load("morphology-bags", seed=seed).arrays
        test = made["fold"] == 0
        assert (np.flatnonzero(test) == np.arange(160, 240)).all()
        found = concordance_index(made["time"][test], -made["true_risk"][test], made["event"][test])
        assert found == pytest.approx(expected, abs=6e-4)
    assert datasets.load("morphology-bags").arrays["event"].mean() == pytest.approx(0.48, abs=0.005)
    shares = np.array([np.bincount(k, minlength=6) / 100 for k in made["kind"].reshape(240, 100)])
    standard = (shares - shares.mean(0)) / shares.std(0)
    np.testing.assert_allclose(made["true_risk"], 1.2 * standard[:, 4] + 1.2 * standard[:, 5], atol=1e-12)


def test_stains_are_those_of_scikit_image():
    from skimage.color import rgb2hed

    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image[0, 0] = 0
    np.testing.assert_allclose(bags.stains(image), rgb2hed(image), rtol=1e-12, atol=1e-12)


def test_artefacts_and_tissue():
    spoilt = datasets.load("artefact-bags").arrays
    share = (spoilt["kind"] == 6).reshape(240, 100).mean(1)
    assert 0.3 <= share.min() < 0.35 < 0.55 < share.max() <= 0.6
    assert spoilt["x"][spoilt["kind"] == 6].std() > 1.5 * spoilt["x"][spoilt["kind"] < 6].std()
    tissue = datasets.load("stained-tissue").arrays
    assert tissue["x"].shape == (4096, 10)
    np.testing.assert_allclose(tissue["x"].std(0), 1, atol=1e-6)
    image, (row, column) = tissue["image"] / 255, tissue["position"][1234]
    patch = image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]  # the shown picture has every other pixel
    level = tissue["x"][:, :3]
    others = [image[4 * r : 4 * r + 4, 4 * c : 4 * c + 4].mean((0, 1)) for r, c in tissue["position"]]
    assert np.corrcoef(np.array(others)[:, 0], level[:, 0])[0, 1] > 0.98
    assert patch.shape == (4, 4, 3)
    brown = np.array([tissue["true_risk"][b] for b in tissue["bag"]])
    assert np.corrcoef(brown, tissue["x"][:, 4])[0, 1] > 0.3  # more of the brown stain, more risk

"""Sets of labelled samples whose classes have a long tail."""

import numpy as np
import pytest

from lab import datasets
from lab.datasets.labelled import long_tail


@pytest.mark.slow
def test_sets_have_a_long_tail_and_known_classes():
    for name, most in (("long-tailed-digits", 174), ("long-tailed-mnist", 250), ("long-tailed-blobs", 200)):
        data = datasets.load(name)
        sizes = np.bincount(data.arrays["classes"])
        assert sizes[0] == most
        assert sizes[-1] == most // 10
        assert (np.diff(sizes) <= 0).all()
        np.testing.assert_allclose(data.arrays["x"].mean(0), 0, atol=1e-5)
        assert datasets.load(name, seed=1).sha256 != data.sha256
        assert (np.bincount(datasets.load(name, ratio=1).arrays["classes"]) == most).all()


def test_long_tail_has_the_sizes_of_the_sheet_and_another_seed_other_samples():
    classes = np.repeat(np.arange(10), 200)
    kept = long_tail(classes, 10.0, 0, 174)
    sizes = np.bincount(classes[kept])
    np.testing.assert_array_equal(sizes, (174 * 10.0 ** (-np.arange(10) / 9) + 1e-9).astype(int))
    assert sizes.sum() == 707
    assert len(np.unique(kept)) == 707
    assert len(np.intersect1d(kept, long_tail(classes, 10.0, 1, 174))) < 707
    assert (np.bincount(classes[long_tail(classes, 1.0, 0)]) == 200).all()


def test_a_tail_that_the_classes_do_not_have_is_refused():
    classes = np.repeat(np.arange(3), [100, 40, 16])
    with pytest.raises(ValueError, match=r"ratio = 0.5, but"):
        long_tail(classes, 0.5, 0)
    with pytest.raises(ValueError, match="500 samples of the largest class"):
        long_tail(classes, 2.0, 0, 500)

"""Functions by name and tables, to be approximated."""

import numpy as np
import pytest

from lab import datasets
from lab.sampling.responses import FUNCTIONS

TABLE = np.random.default_rng(0).normal(size=(60, 3))


def test_files_are_read_as_tables(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,out\n1,2,3\n2,5,4\n3,1,9\n")
    made = datasets.read(tmp_path / "t.csv", kind="response")
    np.testing.assert_array_equal(made.arrays["y"], [3, 4, 9])
    assert "the column 'out'" in made.notices[0]
    np.savez(tmp_path / "t.npz", x=TABLE, y=TABLE[:, 0])
    assert datasets.read(tmp_path / "t.npz", kind="response").arrays["x"].shape == (60, 3)
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    with pytest.raises(ValueError, match="has 1 column, but coordinates and a value"):
        datasets.read(tmp_path / "one.csv", kind="response")


def test_every_named_function_has_a_formula():
    named = [entry for entry in datasets.catalogue("response") if not entry.real]
    assert [entry.name for entry in named] == list(FUNCTIONS)
    for entry in named:
        arrays = datasets.load(entry.name).arrays
        assert FUNCTIONS[datasets.responses.function_of(arrays)](TABLE).shape == (60,)

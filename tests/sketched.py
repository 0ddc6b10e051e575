"""The sketch of a study that shows surfaces: it and its data set are in the catalogues only while their own tests run."""

import sys
from pathlib import Path

import pytest

from lab.datasets.registry import _entries
from lab.studies import load_file
from lab.studies.contract.registry import _found

SKETCH = Path(__file__).parent / "studies" / "sketches" / "two_shapes.py"
TwoShapes = load_file(SKETCH)[0]
bodies_of = sys.modules[TwoShapes.__module__].bodies
DATA = _entries.pop("two-shapes")
_found.pop("two-shapes")


@pytest.fixture(autouse=True, scope="module")
def sketch_in_catalogues():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_entries, "two-shapes", DATA)
        patch.setitem(_found, "two-shapes", TwoShapes)
        yield

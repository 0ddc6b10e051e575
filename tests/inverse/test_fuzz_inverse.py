"""The fuzz of inverse problems and denoisers at its smallest size."""

import pytest

from benchmarks import fuzz_inverse
from benchmarks.fuzzing import run


@pytest.mark.slow
def test_one_problem_of_each_kind(capsys):
    assert run(fuzz_inverse.CHECKS, len(fuzz_inverse.CHECKS))["failed"] == 0

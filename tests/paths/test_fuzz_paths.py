"""The fuzz of ``lab.paths`` and ``lab.diffusion`` at its smallest size."""

import pytest

from benchmarks.fuzz_paths import CHECKS
from benchmarks.fuzzing import run


@pytest.mark.slow
def test_random_problems_agree_with_their_oracles():
    assert run(CHECKS, len(CHECKS))["failed"] == 0

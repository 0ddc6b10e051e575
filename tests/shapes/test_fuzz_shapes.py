"""The fuzz of shapes, traffic and the modules of ``lab.ot`` at its smallest size."""

import pytest

from benchmarks import fuzz_shapes


@pytest.mark.slow
def test_no_problem_fails():
    found = fuzz_shapes.main(problems=len(fuzz_shapes.CHECKS), seed=0)
    assert found["failed"] == 0

"""The smallest fuzz of ode, tuning, policy, valuation, survival and clustering: one problem of each check."""

import pytest

from benchmarks import fuzz_learning


@pytest.mark.slow
def test_one_problem_of_each_check_holds():
    found = fuzz_learning.main(problems=1)
    assert found["problems"] == len(fuzz_learning.CHECKS)
    assert found["failed"] == 0, found

"""The fuzz of ``lab.sampling`` and ``lab.stability`` at its smallest size."""

import pytest

from benchmarks import fuzz_sampling


@pytest.mark.slow
def test_a_problem_of_each_function_agrees_with_its_oracle(capsys):
    found = fuzz_sampling.main(problems=len(fuzz_sampling.CHECKS))
    assert found["failed"] == 0, capsys.readouterr().out

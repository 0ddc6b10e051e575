"""Grids as texts and lists: what they mean, and one sentence for what is wrong with them."""

import shlex

import numpy as np
import pytest
from toy import Toy

from lab import studies
from lab.app.sweep_views import suggested
from lab.sweeps import Plan
from lab.sweeps.execute import _command
from lab.sweeps.grid import split


def grid(**given):
    return split(Toy, given)[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"power": "1,2,4"}, [1, 2, 4]),
        ({"power": "1:4"}, [1, 2, 3, 4]),
        ({"power": "1:3,8"}, [1, 2, 3, 8]),
        ({"power": "1:13:4"}, [1, 5, 9, 13]),
        ({"power": "1:64:log7"}, [1, 2, 4, 8, 16, 32, 64]),
        ({"power": "1:4:log9"}, [1, 2, 3, 4]),
        ({"power": range(1, 4)}, [1, 2, 3]),
        ({"power": np.array([3, 1])}, [3, 1]),
        ({"power": "2,"}, [2]),
        ({"seed": "0:5"}, [0, 1, 2, 3, 4]),
        ({"rate": "0.1:0.5:5"}, np.linspace(0.1, 0.5, 5)),
        ({"rate": "1e-3:1:log4"}, [1e-3, 1e-2, 1e-1, 1.0]),
        ({"spoiled": "true,false"}, [True, False]),
    ],
)
def test_values(given, expected):
    (values,) = grid(**given).values()
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert all(type(value) in (int, float, bool) for value in values)


def test_one_value_is_fixed():
    fixed, swept = split(Toy, {"rate": "0.25", "power": [1, 2], "steps": 7})
    assert fixed == {"rate": 0.25, "steps": 7}
    assert swept == {"power": [1, 2]}


def test_options_with_commas_are_listed_by_semicolons():
    kinetic = studies.find("kinetic-optimal-paths")
    assert split(kinetic, {"spectrum": "2, 0.9, 0.1"}) == ({"spectrum": "2, 0.9, 0.1"}, {})
    assert split(kinetic, {"spectrum": "1, 1; 2, 0.9, 0.1"}) == ({}, {"spectrum": ["1, 1", "2, 0.9, 0.1"]})
    offered = suggested(kinetic(spectrum="1, 1"), "spectrum", None)
    assert split(kinetic, {"spectrum": offered})[1]["spectrum"] == list(kinetic.parameters()["spectrum"].objects)


@pytest.mark.parametrize(
    "grid", [{"spectrum": ["1, 1", "2, 0.9, 0.1"]}, {"spectrum": ["1, 1"], "draws": [8]}, {"seed": [3, 5]}]
)
def test_the_command_of_a_sweep_gives_its_grid(grid, store):
    kinetic = studies.find("kinetic-optimal-paths")
    words = shlex.split(_command(Plan(kinetic, grid, store=store)))
    given = {words[i].removeprefix("--"): words[i + 1] for i in range(3, len(words), 2)}
    assert split(kinetic, given)[1] == grid


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"power": "8:1"}, "power = 8:1 runs backwards"),
        ({"rate": "0:1:log5"}, "rate = 0:1:log5 starts at 0, which has no logarithm"),
        ({"rate": "0.1:1"}, "say how many, 0.1:1:9"),
        ({"rate": "0.1:1:log"}, "how many values"),
        ({"rate": "0.1:1:1"}, "at least 2"),
        ({"rate": "0.1:1:2:3"}, "too many colons"),
        ({"rate": "0.1:b:4"}, "'b' is no number"),
        ({"power": "1:2.5"}, "'2.5' is no whole number"),
        ({"power": "1:1000000000"}, "1,000,000,000 values"),
        ({"rate": "0.1:1:2000000"}, "2,000,000 values"),
        ({"power": "1,2,1"}, "power has the value 1 twice"),
        ({"power": []}, "power has an empty list"),
        ({"power": ""}, "power has an empty list"),
        ({"power": ","}, "power has an empty list"),
        ({"pover": [1]}, "did you mean power?"),
        ({"data": ["a", "a"]}, "data has the value a twice"),
        ({"data": "a;;b"}, "data = 'a;;b' has an empty place: give values with one ; between them"),
        ({"rate": [0.5, 2.0]}, "rate = 2.0 is not allowed"),
        ({"rate": [0.5, float("nan")]}, "rate = nan is not allowed"),
        ({"power": [1, 2.5]}, "power = 2.5 is not allowed"),
        ({"power": [1, "two"]}, "power = 'two' is not allowed"),
    ],
)
def test_refusals(given, says):
    with pytest.raises((ValueError, TypeError)) as refused:
        grid(**given)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)

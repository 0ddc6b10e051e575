"""Trajectories: simulated highways, and those out of a user's tables and arrays."""

import io
from typing import Any

import numpy as np
import pytest

from lab import datasets
from lab.datasets import roads

LINES = ("3,7,0,1", "5,7,2,1.5", "7,7,4,2", "3,2,9,8", "7,2,9.5,8", "9,2,10,8")
SMALL: dict[str, Any] = {"agents": 6, "recorded": 32}


def table(lines, header="frame,agent,x,y"):
    return datasets.read_bytes("road.csv", "\n".join([header, *lines]).encode(), kind="trajectories")


def test_a_table_is_a_road_where_agents_come_and_go():
    data = table(LINES)
    positions, mask = data.arrays["positions"][0], data.arrays["mask"][0]
    assert positions.shape == (4, 2, 2)  # every second frame number, the agents 2 and 7
    np.testing.assert_array_equal(mask, [[1, 1], [0, 1], [1, 1], [1, 0]])
    np.testing.assert_array_equal(positions[:, 1, 0], [0, 2, 4, 0])
    np.testing.assert_array_equal(positions[3, 0], [10, 8])
    assert data.arrays["dt"] == 0.1
    assert "taken to be 0.1 s apart" in data.said
    again = table(np.random.default_rng(0).permutation(LINES))
    assert again.sha256 == data.sha256


def test_a_table_says_times_and_who_drives():
    lines = [f"{line},{0.25 * int(line[0]) + 4},{1 if ',7,' in line else -1}" for line in LINES]
    data = table(lines, "frame,agent,x,y,time,profile")
    assert data.arrays["dt"][0] == pytest.approx(0.5)
    np.testing.assert_array_equal(data.arrays["profile"], [[-1, 1]])
    assert "apart" not in data.said


def test_a_parquet_table_is_the_same():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.read_csv(io.StringIO("\n".join(["frame,agent,x,y", *LINES])))
    out = io.BytesIO()
    frame.to_parquet(out)
    data = datasets.read_bytes("road.parquet", out.getvalue(), kind="trajectories")
    assert data.sha256 == table(LINES).sha256


@pytest.mark.parametrize(
    ("sentence", "made"),
    [
        ("has no column y", lambda: table([line[:5] for line in LINES], "frame,agent,x")),
        ("has two rows of agent 7 in frame 5", lambda: table([*LINES, "5,7,0,0"])),
        ("column frame of road.csv has what is no whole number", lambda: table(["0.5,1,0,0", *LINES])),
        ("profile in road.csv has 2.0", lambda: table([f"{line},2" for line in LINES], "frame,agent,x,y,profile")),
        (
            "column time of road.csv does not go on by equal steps",
            lambda: table(
                [f"{line},{time}" for line, time in zip(LINES, (0, 9, 1, 3, 8, 2), strict=True)], "frame,agent,x,y,time"
            ),
        ),
        (
            "dt in your dict is -1 s",
            lambda: datasets.held({"positions": np.zeros((9, 3, 2)), "dt": np.array([-1.0])}, "trajectories"),
        ),
        (
            "is nan at entry",
            lambda: datasets.held({"positions": np.full((9, 3, 2), np.nan)}, "trajectories"),
        ),
        (
            r"mask in .* has shape \(9, 4\)",
            lambda: datasets.held({"positions": np.zeros((9, 3, 2)), "mask": np.ones((9, 4))}, "trajectories"),
        ),
    ],
)
def test_what_is_no_road_gets_a_sentence(sentence, made):
    with pytest.raises(ValueError, match=sentence):
        made()


def test_what_is_masked_may_be_anything():
    positions = np.random.default_rng(1).uniform(size=(2, 9, 3, 2))
    mask = np.ones((9, 3))
    mask[4, 1] = 0
    positions[:, 4, 1] = np.nan
    data = datasets.held({"positions": positions, "mask": mask, "profile": np.array([-1, 0, 1])}, "trajectories")
    assert data.arrays["mask"].shape == (2, 9, 3)
    np.testing.assert_array_equal(data.arrays["positions"][:, 4, 1], 0)
    np.testing.assert_array_equal(data.arrays["profile"], [[-1, 0, 1]] * 2)


@pytest.mark.slow
def test_highways_are_simulated_by_their_seed():
    from lab.traffic import simulation

    data = datasets.load("highway-drivers", **SMALL)
    found, profile = simulation.roads([*range(12), *range(100, 104)], 6, 32)
    np.testing.assert_allclose(data.arrays["positions"], found.position, atol=1e-4)
    np.testing.assert_array_equal(data.arrays["profile"], profile)
    other = datasets.load("highway-drivers", seed=1, **SMALL)
    assert (other.arrays["positions"] != data.arrays["positions"]).any()
    part = datasets.load("highway-section", **SMALL)
    there = part.arrays["mask"] == 1
    assert 0.2 < there.mean() < 0.95
    np.testing.assert_array_equal(part.arrays["positions"][there], data.arrays["positions"][there])
    assert (np.diff(part.arrays["mask"].astype(int), axis=1) > 0).any()  # some come
    assert (np.diff(part.arrays["mask"].astype(int), axis=1) < 0).any()  # and some go
    assert part.kind == roads.KIND

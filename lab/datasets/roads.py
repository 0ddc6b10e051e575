"""The named sets of kind ``trajectories``: simulated highways, and recorded traffic out of a user's files.

Arrays: ``positions`` (roads, frames, agents, 2), in metres; ``mask`` (roads, frames, agents), 1 where an agent is there;
``profile`` (roads, agents), -1, 0 or 1, who drives: slower, neutral or faster, where it is known; ``dt`` (1,), seconds from a
frame to the next. Where an agent is absent its position is 0, and means nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.inputs import shown

from .data import Data
from .kinds import Kind, add_kind, number_columns, real_numbers, unread
from .registry import register
from .tables import Table

KIND = "trajectories"
_SOURCE = "simulated: intelligent driver model and MOBIL, as in highway-env (Leurent, MIT licence)"
_TRAIN, _TEST = 12, 4  # roads
_EVERY, _STEP = 5, 0.1  # steps of a frame; s of a step
_SECTION = 250.0  # m along the road
_DT = 0.1  # s, where a file does not say
_MOST = 4_000_000  # positions that are read of a table, absent ones too

_OPTIONS: dict[str, Any] = {
    "seed": (0, (0, 2**32 - 1)),
    "agents": (20, (2, 40)),
    "recorded": (32, (4, 240)),
    "warmup": (0, (0, 240)),
    "slow": (0.25, (0.0, 1.0)),
    "fast": (0.25, (0.0, 1.0)),
}


def _roads(
    seed: int, agents: int, recorded: int, warmup: int, slow: float, fast: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of all roads and who drives, the roads that test last; of seed 0 those of the seeds 0 to 11 and 100 to 103."""
    import jax

    from lab.traffic import simulation

    seeds = [1000 * seed + each for each in (*range(_TRAIN), *range(100, 100 + _TEST))]
    with jax.enable_x64(True):  # a simulation in float32 would take other turns
        found, profile = simulation.roads(seeds, agents, recorded, every=_EVERY, warmup=warmup, slow=slow, fast=fast)
        # rounded, so that the content hash does not hang on the last bit of a mathematics library
        return np.round(np.asarray(jax.device_get(found.position), float), 4), profile.astype(np.int8)


@register(
    name="highway-drivers",
    title="A highway of three kinds of drivers",
    kind=KIND,
    summary="16 platoons on four lanes, at 2 Hz: drivers who want 18, 25 or 33 m/s, follow each other and change lanes.",
    source=_SOURCE,
    options=_OPTIONS,
    has=("positions", "mask", "profile", "dt"),
    sizes={"roads": _TRAIN + _TEST, "frames": "recorded", "agents": "agents"},
)
def highway(seed: int, agents: int, recorded: int, warmup: int, slow: float, fast: float) -> dict[str, Any]:
    """Simulated platoons on four lanes, all agents seen in every frame."""
    positions, profile = _roads(seed, agents, recorded, warmup, slow, fast)
    mask = np.ones(positions.shape[:3], np.int8)
    return {"arrays": {"positions": positions, "mask": mask, "profile": profile, "dt": np.array([_EVERY * _STEP])}}


@register(
    name="highway-section",
    title="A section of that highway",
    kind=KIND,
    summary="The same platoons, seen while they are on 250 m of the road: agents come and go.",
    source=_SOURCE,
    options=_OPTIONS,
    has=("positions", "mask", "profile", "dt"),
    sizes={"roads": _TRAIN + _TEST, "frames": "recorded", "agents": "agents"},
)
def section(seed: int, agents: int, recorded: int, warmup: int, slow: float, fast: float) -> dict[str, Any]:
    """The same platoons, each agent seen while it is on a section of the road."""
    positions, profile = _roads(seed, agents, recorded, warmup, slow, fast)
    x = positions[..., 0] - np.median(positions[:, 0, :, 0], axis=1)[:, None, None]  # wherever the warm-up ended
    there = (x >= 0) & (x <= _SECTION)
    arrays = {
        "positions": np.where(there[..., None], positions, 0.0),
        "mask": there.astype(np.int8),
        "profile": profile,
        "dt": np.array([_EVERY * _STEP]),
    }
    return {"arrays": arrays}


# -- a user's own ------------------------------------------------------------------------------------------------------


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), notices: Sequence[str] = ()) -> Data:
    """Trajectories out of ``positions`` (frames, agents, 2), or (roads, frames, agents, 2), and, if they are known, the others.

    Positions where the mask is 0 may be anything.

    Raises:
        ValueError: arrays that are none; the sentence says where.
    """
    TRAJECTORIES.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", value) for key, value in arrays.items()}
    notices = [*notices, *unread(name, ignored, set(TRAJECTORIES.arrays) - set(given))]
    if "mask" in given and given["mask"].shape == given["positions"].shape[-3:-1]:
        given["mask"] = np.broadcast_to(given["mask"], given["positions"].shape[:-1])
    if "mask" in given and given["mask"].shape == given["positions"].shape[:-1]:
        given["positions"] = np.where(given["mask"][..., None] != 0, given["positions"], 0.0)
    if "dt" in given:
        given["dt"] = given["dt"].reshape(-1)
    else:
        notices.append(f"the frames of {name} are taken to be {_DT} s apart: say so by dt, or a column time")
    TRAJECTORIES.check_given(name, given)
    positions = given["positions"].astype(float)
    made = {
        "positions": positions,
        "mask": given.get("mask", np.ones(positions.shape[:-1])).astype(np.int8),
        "dt": given.get("dt", np.array([_DT])).astype(float),
    }
    if "profile" in given:
        made["profile"] = np.broadcast_to(given["profile"], (*positions.shape[:-3], positions.shape[-2])).astype(
            np.int8
        )
    if positions.ndim == 3:
        made = {key: value if key == "dt" else value[None] for key, value in made.items()}
    return Data(name, name, KIND, made, "brought by the user", "the user's", {"unit": "m"}, tuple(notices))


def from_table(name: str, table: Table, notices: Sequence[str]) -> Data:
    """One road out of a table with a row for each agent in each frame: frame, agent, x, y; optional profile, and time in s."""
    columns, ignored = number_columns(name, table, "write a number for each frame, agent, x and y")
    if missing := [key for key in ("frame", "agent", "x", "y") if key not in columns]:
        raise ValueError(
            f"{name} has no column {' and no column '.join(missing)}, but frame, agent, x and y are needed"
        )
    frame, agent = columns["frame"], columns["agent"]
    for key in ("frame", "agent"):
        if not np.isfinite(columns[key]).all() or (columns[key] != np.round(columns[key])).any():
            raise ValueError(f"the column {key} of {name} has what is no whole number: number frames and agents")
    which, who = np.unique(agent, return_inverse=True)
    numbers = np.unique(frame).astype(int)
    apart = int(np.gcd.reduce(np.diff(numbers))) if numbers.size > 1 else 1
    when = ((frame - numbers[0]) / apart).astype(int)
    frames, agents = int(when.max()) + 1, which.size
    if frames * agents > _MOST:
        raise ValueError(
            f"{name} has {frames:,} frames of {agents:,} agents, but at most {_MOST:,} positions are read: cut it"
        )
    there = np.zeros((frames, agents), np.int8)
    np.add.at(there, (when, who), 1)
    if (there > 1).any():
        twice = np.argwhere(there > 1)[0]
        raise ValueError(
            f"{name} has two rows of agent {which[twice[1]]:g} in frame {numbers[0] + apart * twice[0]:g}: keep one of them"
        )
    positions = np.zeros((frames, agents, 2))
    positions[when, who] = np.stack([columns["x"], columns["y"]], axis=1)
    given: dict[str, Any] = {"positions": positions, "mask": there}
    if "time" in columns and frames > 1:
        given["dt"] = np.array([_seconds(name, when, columns["time"])])
    if "profile" in columns:
        given["profile"] = np.zeros(agents)
        given["profile"][who] = columns["profile"]
    known = {"frame", "agent", "x", "y", "time", "profile"}
    return from_arrays(name, given, [*ignored, *(key for key in columns if key not in known)], notices)


def _seconds(name: str, when: np.ndarray, time: np.ndarray) -> float:
    """From a frame to the next, by the column time."""
    slope, start = np.polyfit(when, time, 1)
    if not np.isfinite(slope) or np.abs(start + slope * when - time).max() > 0.1 * abs(slope):
        raise ValueError(
            f"the column time of {name} does not go on by equal steps from frame to frame: correct it, or leave it out"
        )
    return float(slope)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse times that do not go on, profiles and masks that are none."""
    if "dt" in arrays and not (arrays["dt"] > 0).all():
        raise ValueError(f"dt in {name} is {arrays['dt'][0]:g} s, but the time between frames must be above 0")
    for key, allowed in (("mask", (0, 1)), ("profile", (-1, 0, 1))):
        if key in arrays and not np.isin(arrays[key], allowed).all():
            wrong = arrays[key][~np.isin(arrays[key], allowed)].flat[0]
            raise ValueError(
                f"{key} in {name} has {shown(float(wrong))}, but {' or '.join(map(str, allowed))} is needed"
            )


TRAJECTORIES = add_kind(
    Kind(
        KIND,
        {
            "positions": [("frames", "agents", 2), ("roads", "frames", "agents", 2)],
            "mask": [("frames", "agents"), ("roads", "frames", "agents")],
            "profile": [("agents",), ("roads", "agents")],
            "dt": (1,),
        },
        needed=(("positions",),),
        from_arrays=from_arrays,
        takes=".csv with a row for each agent in each frame and the columns frame, agent, x and y, or .npz, .nc with positions",
        made=("mask", "dt"),
        dims={"roads": "roads", "frames": "recorded", "agents": "agents"},
        values=_values,
        from_table=from_table,
        bare={1: ("positions",)},
    )
)

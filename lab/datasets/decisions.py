"""Finite decision processes: named ones, and such out of a user's files.

Arrays of kind ``mdp``: ``transitions`` (states, actions, states), the probability of the next state; ``rewards`` (states,
actions); ``start`` (states,), the law of the first state. ``axes["states"]`` and ``axes["actions"]`` name them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .data import Data
from .kinds import Kind, add_kind, real_numbers, unread
from .registry import register

KIND = "mdp"
MOST = 400
"""The most pairs of state and action."""


@register(
    name="five-states",
    title="Five states at random",
    kind=KIND,
    summary="Five states, three actions: transitions and rewards are random, the start is anywhere.",
    sizes={"states": 5, "actions": 3},
)
def five_states() -> dict[str, Any]:
    """Transitions and rewards drawn once, and a uniform start."""
    rng = np.random.default_rng(1)
    transitions = rng.dirichlet(0.5 * np.ones(5), (5, 3))
    return {"arrays": {"transitions": transitions, "rewards": rng.random((5, 3)), "start": np.full(5, 0.2)}}


@register(
    name="chain",
    title="A chain with its reward at the end",
    kind=KIND,
    summary="Six states in a row: to the left a small reward at once, to the right a large one after five steps.",
    sizes={"states": 6, "actions": 2},
)
def chain() -> dict[str, Any]:
    """Six states in a row; one move in ten goes the other way."""
    transitions = np.zeros((6, 2, 6))
    for s in range(6):
        for action, (wanted, other) in enumerate(((max(s - 1, 0), min(s + 1, 5)), (min(s + 1, 5), max(s - 1, 0)))):
            transitions[s, action, wanted] += 0.9
            transitions[s, action, other] += 0.1
    rewards = np.zeros((6, 2))
    rewards[0, 0], rewards[5, 1] = 0.1, 1.0
    arrays = {"transitions": transitions, "rewards": rewards, "start": np.eye(6)[0]}
    return {"arrays": arrays, "axes": {"actions": ("left", "right")}}


@register(
    name="grid",
    title="A grid with a hole",
    kind=KIND,
    summary="Sixteen squares, four ways to go, one slip in five: 1 in the corner, -1 in the hole beside it.",
    sizes={"states": 16, "actions": 4},
)
def grid() -> dict[str, Any]:
    """Sixteen squares, on which a move slips to either side with probability 0.1 each."""
    ways = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
    transitions = np.zeros((16, 4, 16))
    for s in range(16):
        ends = [4 * y + x for x, y in np.clip(np.array([s % 4, s // 4]) + ways, 0, 3)]
        for action, end in enumerate(ends):
            transitions[s, action, end] += 0.8
            for side in (-1, 1):
                transitions[s, action, ends[(action + side) % 4]] += 0.1
    rewards = np.zeros((16, 4))
    rewards[15], rewards[11] = 1.0, -1.0
    arrays = {"transitions": transitions, "rewards": rewards, "start": np.eye(16)[0]}
    return {"arrays": arrays, "axes": {"actions": ("up", "right", "down", "left")}}


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
) -> Data:
    """A process out of its three arrays.

    Raises:
        ValueError: arrays that are none; the sentence says where.
    """
    MDP.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", arrays[key]).astype(float) for key in MDP.arrays if key in arrays}
    MDP.check(name, given)
    notes = (*notices, *unread(name, ignored, set(MDP.arrays) - set(given)))
    return Data(name, name, KIND, given, "brought by the user", "the user's", dict(axes or {}), tuple(notes))


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse rows that are no probabilities, and more states and actions than are taken."""
    states, actions = arrays["rewards"].shape
    if states * actions > MOST:
        raise ValueError(
            f"{name} has {states} states and {actions} actions, but at most {MOST} pairs of them are taken: leave some out"
        )
    for key in ("transitions", "start"):
        rows = arrays[key]
        off = (rows < 0).any(axis=-1) | (np.abs(rows.sum(axis=-1) - 1) > 1e-6)
        if off.any():
            place = np.argwhere(np.atleast_1d(off))[0].tolist()
            where = f" at state {place[0]}, action {place[1]}" if key == "transitions" else ""
            raise ValueError(
                f"{key} in {name}{where} sum to {rows[off].sum(axis=-1).flat[0]:.6g}, with the least at "
                f"{rows[off].min():.6g}: probabilities must be at least 0 and sum to 1"
            )


MDP = add_kind(
    Kind(
        KIND,
        {
            "transitions": ("states", "actions", "states"),
            "rewards": ("states", "actions"),
            "start": ("states",),
        },
        needed=(("transitions", "rewards", "start"),),
        from_arrays=from_arrays,
        takes=".npz, .nc or .zarr with transitions, rewards and start",
        dims={"states": "states", "actions": "actions"},
        values=_values,
    )
)

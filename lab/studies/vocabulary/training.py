"""The part of a study in which a small network learns what the study knows exactly."""

from typing import Any, ClassVar

import numpy as np

from lab.studies.contract import Result, Study, Whole
from lab.words import number

from .parameters import TRAINING, positive, size

UNTRAINED = "no network was trained: set the training steps above 0"


class Trained(Study):
    """Parameters and results of a training; ``draw.training`` shows its losses."""

    train_steps = Whole(
        0,
        bounds=(0, 100_000),
        soft=(0, 5000),
        label="training steps",
        traced=False,
        doc="steps in which a small network learns what is known exactly; 0: none is trained",
    )
    units = size(
        64,
        (1, 1024),
        (16, 256),
        label="units of the network",
        group="more",
        when=TRAINING,
        doc="in each of its three hidden layers",
    )
    learning_rate = positive(
        2e-3,
        (1e-4, 1e-2),
        label="learning rate",
        group="more",
        when=TRAINING,
        doc="of the network's optimizer (Adam)",
    )
    dims: ClassVar = {"train_step": ("training step", "")}
    results = (
        Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", absent=UNTRAINED),
    )


def settled(loss: Any) -> float:
    """Where a loss ends, as the mean of its last tenth: that of a single batch says little. NaN of none.

    Args:
        loss: (steps,) NaN where a training was stopped, or diverged.
    """
    known = np.asarray(loss, float)
    known = known[np.isfinite(known)]
    return float(known[-max(1, known.size // 10) :].mean()) if known.size else np.nan


def course(loss: Any) -> str:
    """What a loss does over a training, in words: its first and last twentieth.

    Args:
        loss: (steps,) NaN where a training was stopped, or diverged.
    """
    known = np.asarray(loss, float)
    known = known[np.isfinite(known)]
    if not known.size:
        return "The loss was not finite in any step"
    parts = np.array_split(known, min(20, known.size))
    first, last = (float(parts[at].mean()) for at in (0, -1))
    return (
        f"The loss {'falls' if last < first else 'does not fall: it goes'} from {number(first, 2)} to {number(last, 2)}"
    )

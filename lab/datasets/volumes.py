"""The named sets of kind ``volumes``, stacks of slices that a scanner sees, and volumes out of a user's files.

Arrays:

- ``volume`` (slices, side, side): float32, usually between 0 and 1, slice 0 on top;
- ``training`` (count, side, side): slices of other volumes of the same kind, for a prior of slices; uint8, which stands for
  v / 255, or float32.

Real scans are far too large to come along: the sets are made, one of them of real digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import packaged
from .data import Data
from .kinds import Kind, add_kind, real_numbers, unread
from .registry import register

KIND = "volumes"
LIMIT = 1 << 26
"""The most numbers that a volume, or its training slices, may have."""

SLICES = {16: 12, 24: 16, 32: 24}
"""How many slices a named set has, by its pixels a side."""

_SIDE = ("24", tuple(map(str, SLICES)))
_SEED = (0, (0, 2**32 - 1))
_OTHERS = 200  # volumes whose slices are for training
_EACH = 8  # ellipsoids in a volume
_FRAME = 32  # pixels a side in which a digit of 28 x 28 stands
_DIGITS = 3  # that a stack goes through
_HAS = ("volume", "training")


def ellipsoids(rng: np.random.Generator, slices: int, side: int) -> np.ndarray:
    """A volume of overlapping ellipsoids, long across slices, within an ellipse: (slices, side, side) in [0, 1]."""
    z, i, j = np.ogrid[:slices, :side, :side]
    i, j = ((each - side / 2 + 0.5) * 32 / side for each in (i, j))  # lengths are those of 32 pixels
    z = z * 32 / side
    inside = (i / 14) ** 2 + (j / 12) ** 2 <= 1
    volume = np.where(inside, 0.3, 0.0) + np.zeros((slices, 1, 1))
    for _ in range(_EACH):
        radius, turn = 9 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        middle = rng.uniform(0, z[-1, 0, 0] + 1), radius * np.sin(turn), radius * np.cos(turn)
        half = 2 * rng.uniform(3, 7), rng.uniform(2, 6), rng.uniform(2, 6)
        far = sum(((at - of) / reach) ** 2 for at, of, reach in zip((z, i, j), middle, half, strict=True))
        grey = rng.uniform(-0.25, 0.4)
        volume = np.where((far <= 1) & inside, volume + grey, volume)
    return np.clip(volume, 0, 1).astype(np.float32)


def ellipsoid_slices(side: int, seed: int = 0, slices: int = 16) -> np.ndarray:
    """Slices of 200 such volumes, as bytes: (200 slices, side, side)."""
    rng = np.random.default_rng([seed, 1])
    return _bytes(np.concatenate([ellipsoids(rng, slices, side) for _ in range(_OTHERS)]))


def digit_slices(side: int) -> np.ndarray:
    """The first 4000 digits of MNIST in the order of the lab's sets, as bytes: (4000, side, side)."""
    pixels = packaged.labelled_images("mnist")[0].reshape(-1, 28, 28)
    chosen = pixels[np.random.default_rng(0).permutation(len(pixels))[:4000]]
    return _bytes(_framed(chosen, side))


def _bytes(volume: np.ndarray) -> np.ndarray:
    return np.round(255 * volume).astype(np.uint8)


def _framed(digits: np.ndarray, side: int) -> np.ndarray:
    """Digits (n, 28, 28) of bytes in a frame of 32 x 32, brought to side x side by linear interpolation, in [0, 1]."""
    edge = (_FRAME - 28) // 2
    whole = np.pad(digits / 255, [(0, 0), (edge, edge), (edge, edge)])
    at = np.clip((np.arange(side) + 0.5) * _FRAME / side - 0.5, 0, _FRAME - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(_FRAME)[None, :]), 0)
    return weights @ whole @ weights.T


@register(
    name="ellipsoid-volume",
    title="Ellipsoids",
    kind=KIND,
    summary="Overlapping ellipsoids, long across slices, within an ellipse; for training, slices of 200 other such volumes.",
    options={"side": _SIDE, "seed": _SEED},
    has=_HAS,
    sizes={"side": "side"},
)
def ellipsoid_volume(side: str, seed: int) -> dict[str, Any]:
    """One volume of overlapping ellipsoids, and slices of others for training."""
    n = int(side)
    volume = ellipsoids(np.random.default_rng([seed, 0]), SLICES[n], n)
    return {"arrays": {"volume": volume, "training": ellipsoid_slices(n, seed, SLICES[n])}}


@register(
    name="digit-stack",
    title="Digits that turn into each other",
    kind=KIND,
    summary="Three handwritten digits, and between them their mixtures, slice by slice; for training, 4000 other digits.",
    options={"side": _SIDE, "seed": _SEED},
    has=_HAS,
    sizes={"count": 4000, "side": "side"},
    **packaged.facts("mnist"),
)
def digit_stack(side: str, seed: int) -> dict[str, Any]:
    """Slices in which three digits turn into each other, and 4000 other digits for training."""
    n = int(side)
    pixels = packaged.labelled_images("mnist")[0].reshape(-1, 28, 28)
    unseen = np.random.default_rng(0).permutation(len(pixels))[4000:]
    few = _framed(pixels[np.random.default_rng([seed, 0]).choice(unseen, _DIGITS, replace=False)], n)
    at = np.linspace(0, _DIGITS - 1, SLICES[n])
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(_DIGITS)[None, :]), 0)
    volume = np.einsum("zk,kij->zij", weights, few).astype(np.float32)
    return {"arrays": {"volume": volume, "training": digit_slices(n)}}


# -- what a user brings ------------------------------------------------------------------------------------------------

_NAMES = ("volume", "x", "data")  # the first that is there is read


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
) -> Data:
    """A volume out of ``volume`` (or ``x``, or ``data``), (Z, H, W), and perhaps ``training``, slices of H x W.

    Slices that are not square are set in the middle of a square of zeros, and values that are not between 0 and 1 brought
    there, each with a notice.

    Raises:
        ValueError: arrays that are no volume; the sentence says where.
    """
    key, *others = [key for key in _NAMES if key in arrays] or [""]
    if not key:
        VOLUMES.check_there(name, [*arrays, *ignored])
    notices = [*notices, *unread(name, [*others, *ignored], {"training"} - set(arrays))]
    given = {"volume": real_numbers(f"{key} in {name}", arrays[key])}
    if given["volume"].ndim != 3:
        raise ValueError(
            f"{key} in {name} has shape {given['volume'].shape}, but one volume (slices, height, width) is needed: choose one "
            "channel, or stack the slices"
        )
    if "training" in arrays:
        given["training"] = real_numbers(f"training in {name}", arrays["training"])
        if given["training"].shape[1:] != given["volume"].shape[1:]:
            raise ValueError(
                f"training in {name} has shape {given['training'].shape}, but slices (count, height, width) of "
                f"{given['volume'].shape[1:]}, the size of those of the volume, are needed"
            )
    _finite(name, given["volume"])
    low, high = (float(end(given["volume"])) if given["volume"].size else 0.0 for end in (np.min, np.max))
    if not 0 <= low <= high <= 1 and high > low:
        notices.append(f"the values of {name}, from {low:.4g} to {high:.4g}, were brought to [0, 1]")
        given = {key: (array - low) / (high - low) for key, array in given.items()}
    height, width = given["volume"].shape[1:]
    if height != width:
        notices.append(
            f"the slices of {name}, {height} x {width}, were set in squares of {max(height, width)} pixels of zeros"
        )
        given = {key: _squared(array) for key, array in given.items()}
    made = {key: array.astype(np.float32) for key, array in given.items()}
    VOLUMES.check(name, made)
    return Data(name, name, KIND, made, "brought by the user", "the user's", dict(axes or {}), tuple(notices))


def _finite(name: str, volume: np.ndarray) -> None:
    bad = ~np.isfinite(volume)
    if bad.any():
        place, count = np.argwhere(bad)[0], int(bad.sum())
        many = "1 value that is" if count == 1 else f"{count} values that are"
        raise ValueError(
            f"the volume in {name} has {many} not finite, the first in slice {place[0]} at row {place[1]}, column {place[2]}: "
            "fill them in"
        )


def _squared(slices: np.ndarray) -> np.ndarray:
    """Slices in the middle of squares of zeros."""
    side = max(slices.shape[1:])
    spare = [(side - size) // 2 for size in slices.shape[1:]]
    return np.pad(
        slices, [(0, 0), *((first, side - size - first) for first, size in zip(spare, slices.shape[1:], strict=True))]
    )


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse one slice, tiny or huge volumes, and those that are the same everywhere."""
    volume = arrays["volume"]
    if len(volume) < 2:
        raise ValueError(
            f"{name} has one slice, but a volume has at least 2: nothing can be compared across slices; bring more of them"
        )
    if volume.shape[1] < 8:
        raise ValueError(f"the slices of {name} have {volume.shape[1]} pixels a side, but at least 8 are needed")
    if max(array.size for array in arrays.values()) > LIMIT:
        raise ValueError(f"{name} has more than {LIMIT:,} numbers: keep fewer slices, or average pixels before")
    if float(volume.max()) == float(volume.min()):
        raise ValueError(
            f"the volume in {name} is {float(volume.max()):.4g} everywhere: there is nothing to be seen in it"
        )
    if "training" in arrays and len(arrays["training"]) < 2:
        raise ValueError(f"training in {name} has one slice, but a prior needs at least 2: bring more, or leave it out")


VOLUMES = add_kind(
    Kind(
        KIND,
        {"volume": ("slices", "side", "side"), "training": ("count", "side", "side")},
        needed=(("volume",),),
        from_arrays=from_arrays,
        takes=".npy, .npz or .nc with a volume (slices, height, width)",
        dims={"slices": "slices", "side": "pixels", "count": "training slices"},
        values=_values,
        aliases=_NAMES[1:],
        bare={1: ("volume",), 2: ("volume", "training")},
    )
)

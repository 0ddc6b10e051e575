"""The named sets of kind ``bags``, and such bags out of a user's files.

Bags of patches with the time that each was seen: synthetic ones with known risk, and stained tissue. Arrays: ``x`` (patches,
d), features; ``bag`` (patches,), the bag 0 ... n - 1 of each; ``time`` (n,) and ``event`` (n,), 1 where the event came at that
time and 0 where it had not come yet; ``fold`` (n,), the part that each bag is tested in. Where they are known: ``true_risk``
(n,), the log risk that the times were drawn with; ``kind`` (patches,), what each patch is, with its names in
``axes["kinds"]``; ``position`` (patches, 2), row and column in a picture of patches; ``image`` (h, w, 3), that picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from . import packaged
from .data import Data
from .kinds import Files, Kind, add_kind, one_file, unread
from .registry import register

KIND = "bags"
_FOLDS = 3
_SHARES = 12 * np.array([0.45, 0.25, 0.15, 0.08, 0.05, 0.02])
_SEED = (0, (0, 2**32 - 1))
_KNOWN = ("x", "bag", "time", "event", "fold", "true_risk")
_OPTIONS = {"n": (240, (12, 4000)), "patches": (100, (4, 4000)), "seed": _SEED}
_KINDS = tuple(f"kind {k}" for k in range(1, 7))
_SHEET = "simulated: known log risk, exponential times and censoring"
_DYES = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""What haematoxylin, eosin and diaminobenzidine (rows) take of red, green and blue (Ruifrok and Johnston 2001)."""


def standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std()


def times(risk: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    r"""Exponential times of rate $e^{r}$, seen until an exponential time of mean 1.5."""
    event_at, censored_at = rng.exponential(np.exp(-risk)), rng.exponential(1.5, risk.size)
    return {
        "time": np.minimum(event_at, censored_at),
        "event": (event_at <= censored_at).astype(np.int8),
        "true_risk": risk,
    }


def _morphologies(n: int, patches: int, seed: int, artefacts: bool) -> dict[str, np.ndarray]:
    """Patches of six kinds round their centres; the risk is in the shares of the two rarest."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(6, 16))
    x, kind, shares = [], [], []
    for _ in range(n):
        kinds = rng.choice(6, patches, p=rng.dirichlet(_SHARES))
        features = centres[kinds] + 1.5 * rng.normal(size=(patches, 16))
        if artefacts:
            spoilt = rng.permutation(patches)[: round(rng.uniform(0.3, 0.6) * patches)]
            kinds[spoilt], features[spoilt] = 6, 6 * rng.normal(size=(spoilt.size, 16))
        tissue = kinds[kinds < 6]
        shares.append(np.bincount(tissue, minlength=6) / tissue.size)
        x.append(features)
        kind.append(kinds)
    rare = np.array(shares)[:, 4:]
    risk = 1.2 * standard(rare[:, 0]) + 1.2 * standard(rare[:, 1])
    features = (np.round(64 * np.concatenate(x)) / 64).astype(np.float32)  # short enough to travel in a recipe
    return times(risk, rng) | {
        "x": features,
        "kind": np.concatenate(kind).astype(np.int8),
        "bag": np.repeat(np.arange(n), patches),
        "fold": _FOLDS - 1 - np.arange(n) * _FOLDS // n,
    }


@register(
    name="morphology-bags",
    title="Bags of six morphologies",
    kind=KIND,
    summary="Patches of six Gaussian kinds; the log risk of a bag is linear in the shares of the two rarest.",
    source=_SHEET,
    licence="none needed",
    real=False,
    options=_OPTIONS,
    has=(*_KNOWN, "kind"),
    sizes={"bags": "n", "d": 16},
)
def morphologies(n: int, patches: int, seed: int) -> dict[str, Any]:
    """Bags whose log risk is linear in the shares of their two rarest kinds of patches."""
    return {"arrays": _morphologies(n, patches, seed, False), "axes": {"kinds": _KINDS}}


@register(
    name="artefact-bags",
    title="Bags with artefacts",
    kind=KIND,
    summary="The same six kinds, but 30 to 60% of the patches of each bag are broad noise that says nothing of the risk.",
    source=_SHEET,
    licence="none needed",
    real=False,
    options=_OPTIONS,
    has=(*_KNOWN, "kind"),
    sizes={"bags": "n", "d": 16},
)
def artefacts(n: int, patches: int, seed: int) -> dict[str, Any]:
    """The same bags, in which part of the patches is noise."""
    return {"arrays": _morphologies(n, patches, seed, True), "axes": {"kinds": (*_KINDS, "artefact")}}


def stains(image: np.ndarray) -> np.ndarray:
    r"""How much of each dye colours a pixel, by colour deconvolution: $\max(0,\, D^{-\top} \log I / \log 10^{-6})$.

    Args:
        image: (h, w, 3) uint8.

    Returns:
        (h, w, 3): haematoxylin, eosin, diaminobenzidine.
    """
    density = np.log(np.maximum(image * (1 / 255), 1e-6)) / np.log(1e-6)
    return np.maximum(density @ np.linalg.inv(_DYES), 0)


@register(
    name="stained-tissue",
    title="Stained tissue",
    kind=KIND,
    summary="Windows of a photograph of stained tissue, cut into patches of 8 x 8 pixels with their colour and texture; the "
    "times are simulated, with more risk where more of a window is brown.",
    source=packaged.FILES["ihc"].source + "; times simulated",
    licence=packaged.FILES["ihc"].licence,
    real=True,
    options={"seed": _SEED},
    has=(*_KNOWN, "position"),
    sizes={"d": 10},
    raw=packaged.hashes("ihc"),
)
def tissue(seed: int) -> dict[str, Any]:
    """Windows of a photograph as bags of patches; the times are drawn by ``seed``."""
    from PIL import Image

    image = np.asarray(Image.open(BytesIO(packaged.content("ihc"))).convert("RGB"))
    side, window = 8, 4  # pixels of a patch; patches of a window
    rows = image.shape[0] // side
    channels = np.concatenate([image / 255.0, stains(image)[..., [0, 2]]], axis=2)
    cut = channels.reshape(rows, side, rows, side, 5).transpose(0, 2, 1, 3, 4).reshape(rows * rows, side * side, 5)
    features = np.concatenate([cut.mean(axis=1), cut.std(axis=1)], axis=1)
    # rounded, so that the content hash does not hang on the last bit of a mathematics library
    features = np.round((features - features.mean(axis=0)) / features.std(axis=0), 6)
    position = np.stack(np.divmod(np.arange(rows * rows), rows), axis=1)
    bag = position[:, 0] // window * (rows // window) + position[:, 1] // window
    order = np.argsort(bag, kind="stable")
    stain = features[:, 4]  # mean of the brown one (diaminobenzidine)
    brown = np.bincount(bag, stain > np.quantile(stain, 0.75)) / window**2
    rng = np.random.default_rng(seed)
    small = image.reshape(rows, side, rows, side, 3)[:, ::2, :, ::2].reshape(rows * side // 2, rows * side // 2, 3)
    arrays = times(1.5 * standard(brown), rng) | {
        "x": features[order],
        "bag": bag[order],
        "position": position[order].astype(np.int32),
        "image": small,
        "fold": rng.permutation(np.arange(brown.size) % _FOLDS),
    }
    return {"arrays": arrays}


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), *, seed: int = 0) -> Data:
    """Bags out of what a user brings.

    Args:
        name: what sentences call it.
        arrays: ``x`` (patches, d), ``bag`` (patches,) whole numbers 0 ... n - 1, ``time`` (n,), ``event`` (n,). Optional
            ``fold`` (n,), whole numbers from 0 without a gap, ``true_risk`` (n,), ``kind`` (patches,) and ``position``
            (patches, 2).
        seed: of the folds where there is no ``fold``: three, events spread evenly.

    Raises:
        ValueError: arrays that are no bags; the sentence says where.
    """
    BAGS.check_there(name, [*arrays, *ignored])
    given = {key: np.asarray(arrays[key]) for key in BAGS.arrays if key in arrays}
    notices = unread(name, ignored, set(BAGS.arrays) - set(given))
    BAGS.check_given(name, given)
    given["bag"] = given["bag"].astype(np.int64)
    order = np.argsort(given["bag"], kind="stable")
    for key in ("x", "bag", "kind", "position"):
        if key in given:
            given[key] = given[key][order]
    if given["x"].dtype not in (np.float32, np.float64):
        given["x"] = given["x"].astype(np.float64)
    given["time"], given["event"] = given["time"].astype(np.float64), given["event"].astype(np.int8)
    if "fold" not in given:
        given["fold"] = _spread(given["event"], seed)
        notices.append(f"{name} has no fold: its bags were dealt into {_FOLDS} folds with equally many events")
        _check_folds(name, given["fold"], given["event"])
    given["fold"] = given["fold"].astype(np.int64)
    axes = {"kinds": tuple(f"kind {k}" for k in range(int(given["kind"].max()) + 1))} if "kind" in given else {}
    return Data(name, name, KIND, given, "brought by the user", "the user's", axes, tuple(notices))


def _from_files(files: Files, n: int | None, seed: int) -> Data:
    return one_file(replace(BAGS, from_arrays=partial(from_arrays, seed=seed)), files)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse bags, times, events, folds and kinds of patches that are none."""
    from lab.survival.bags import check  # needs JAX, and a list of names does not

    check(name, arrays)
    for key in ("fold", "kind"):
        array = arrays.get(key, np.zeros(1))
        if ((array != np.floor(array)) | (array < 0) | (array > 1000)).any():
            raise ValueError(f"{key} of {name} must hold whole numbers from 0 to 1000")
    if "fold" in arrays:
        _check_folds(name, arrays["fold"], arrays["event"])


def _check_folds(name: str, fold: np.ndarray, event: np.ndarray) -> None:
    counts = np.bincount(fold.astype(np.int64))
    if counts.size < 2 or not counts.all():
        raise ValueError(
            f"the folds of {name} have {counts.tolist()} bags, but two folds or more are needed, none empty"
        )
    for k in range(counts.size):
        for part, where in (("to learn from", fold != k), ("to test on", fold == k)):
            if not event[where].any():
                raise ValueError(
                    f"all bags of {name} {part} in fold {k} are censored: without an event nothing can be learnt or judged"
                )


def _spread(event: np.ndarray, seed: int) -> np.ndarray:
    """Folds by turns, first through the events and then through the others, each in random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(event.size)
    order = order[np.argsort(-event[order], kind="stable")]
    fold = np.empty(event.size, np.int64)
    fold[order] = np.arange(event.size) % min(_FOLDS, event.size)
    return fold


BAGS = add_kind(
    Kind(
        KIND,
        {
            "x": ("patches", "d"),
            "bag": ("patches",),
            "time": ("bags",),
            "event": ("bags",),
            "fold": ("bags",),
            "true_risk": ("bags",),
            "kind": ("patches",),
            "position": ("patches", 2),
        },
        needed=(("x", "bag", "time", "event"),),
        made=("fold",),
        from_arrays=from_arrays,
        takes=".npz or .nc with x, bag, time and event",
        dims={"d": "features"},
        values=_values,
        from_files=_from_files,
    )
)

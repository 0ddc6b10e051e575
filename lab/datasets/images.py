"""The named sets of kind ``images``, and images out of a user's files.

A kind beside ``samples``, whose points may be of any dimension: what takes images needs channels, keeps them as bytes (50,000
of 3 x 32 x 32 are 154 MB, not 1.2 GB), and needs a part that no training sees. Arrays:

- ``pixels`` (N, C, H, W): uint8, which stands for v / 127.5 - 1, or float32, usually between -1 and 1;
- ``held_out`` (N,) bool: the fifth that is for tests;
- ``classes`` (N,) int32, where they are known;
- ``power`` (H, W), where images are drawn from the Gaussian of a spectrum, or one is brought beside them;
- ``pattern`` (C, H, W), where one was planted.
"""

import gzip
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from . import downloads, formats, isolated, packaged
from .data import Data
from .kinds import Files, Kind, add_kind, one_file, real_numbers, unread
from .registry import register

KIND = "images"
LIMIT = 200_000_000
"""The most numbers that the images of a set may have."""

_SEED = (0, (0, 2**32 - 1))
_LABELLED = ("pixels", "held_out", "classes")
_PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "china", "flower")
_SIDE = 32  # pixels that pictures of unlike or large sizes are brought to
_KEPT = 64  # pixels up to which pictures of one size keep it
_DRAWN = 256  # images, from a spectrum that comes alone
_LEAST = 3  # images: two to train on, one to test


def _split(count: int) -> np.ndarray:
    """The last fifth, at least one."""
    return np.arange(count) >= count - max(1, count // 5)


def _labelled(key: str, side: int, n: int, seed: int) -> dict[str, Any]:
    pixels, classes = packaged.labelled_images(key)
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:n]
    arrays = {"pixels": pixels[chosen].reshape(-1, 1, side, side), "held_out": _split(len(chosen))}
    return {"arrays": arrays | {"classes": classes[chosen].astype(np.int32)}}


@register(
    name="mnist-images",
    title="MNIST",
    kind=KIND,
    summary="5000 handwritten digits of 28 x 28 pixels in a random order, 1000 of them held out; fewer where n is smaller.",
    options={"n": (5000, (10, 5000)), "seed": _SEED},
    has=_LABELLED,
    sizes={"n": "n", "channels": 1, "height": 28, "width": 28},
    **packaged.facts("mnist"),
)
def mnist_images(n: int, seed: int) -> dict[str, Any]:
    """``n`` of the 5000 digits that are packaged, a fifth of them held out."""
    return _labelled("mnist", 28, n, seed)


@register(
    name="digit-images",
    title="Handwritten digits",
    kind=KIND,
    summary="1797 images of 8 x 8 pixels in a random order, a fifth held out: everything takes seconds.",
    options={"n": (1797, (10, 1797)), "seed": _SEED},
    has=_LABELLED,
    sizes={"n": "n", "channels": 1, "height": 8, "width": 8},
    **packaged.facts("digits"),
)
def digit_images(n: int, seed: int) -> dict[str, Any]:
    """``n`` digits of 8 x 8 pixels between -1 and 1, a fifth of them held out."""
    fields = _labelled("digits", 8, n, seed)
    fields["arrays"]["pixels"] = fields["arrays"]["pixels"].astype(np.float32) / 8 - 1  # from 0 to 16
    return fields


@register(
    name="natural-patches",
    title="Patches of photographs",
    kind=KIND,
    summary="Squares cut from six photographs at half their size; the held out ones come from a strip that no other touches.",
    source="; ".join(packaged.FILES[key].source for key in _PHOTOGRAPHS),
    licence="public domain, CC0 and CC BY 2.0",
    real=True,
    options={
        "n": (2500, (10, 60_000)),
        "side": ("16", ("8", "16", "32")),
        "colour": ("grey", ("grey", "colour")),
        "seed": _SEED,
    },
    has=_LABELLED,
    sizes={"height": "side", "width": "side"},
    raw=packaged.hashes(*_PHOTOGRAPHS),
)
def natural_patches(n: int, side: str, colour: str, seed: int) -> dict[str, Any]:
    """``n`` squares of six photographs, ``side`` pixels wide, in grey or colour."""
    pixels, classes, held_out, notices = _patches(n, int(side), colour == "colour", seed)
    arrays = {"pixels": pixels, "held_out": held_out, "classes": classes}
    return {"arrays": arrays, "axes": {"classes": _PHOTOGRAPHS}, "notices": notices}


def _patches(n: int, side: int, colour: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Places drawn uniformly, each at most once; the right fifth of each photograph is for tests."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    pictures, places = [], []
    for index, key in enumerate(_PHOTOGRAPHS):
        whole = Image.fromarray(isolated.trusted(formats.picture)(key, packaged.content(key))[0])
        small = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.BOX)
        pictures.append(np.asarray(small if colour else small.convert("L")).reshape(small.height, small.width, -1))
        border = small.width - small.width // 5
        left = np.r_[0 : border - side + 1, border : small.width - side + 1]
        top, left = (each.ravel() for each in np.meshgrid(np.arange(small.height - side + 1), left, indexing="ij"))
        places.append(np.stack([np.full(len(top), index), top, left, left >= border], axis=1))
    every = np.concatenate(places)
    tested = every[:, 3] == 1
    held = max(1, n // 5)
    chosen = [
        every[group][rng.permutation(int(group.sum()))[:count]]
        for group, count in ((~tested, n - held), (tested, held))
    ]
    cut = np.concatenate(chosen)
    notices = ()
    if len(cut) < n:
        notices = (f"the photographs have only {len(cut)} places for squares of {side} pixels, fewer than n = {n}",)
    pixels = np.stack([pictures[k][i : i + side, j : j + side] for k, i, j, _ in cut]).transpose(0, 3, 1, 2)
    return pixels, cut[:, 0].astype(np.int32), cut[:, 3] == 1, notices


@register(
    name="photograph-tiles",
    title="Tiles of photographs",
    kind=KIND,
    summary="Squares of 32 pixels, every 16, of six photographs at half their size, in grey; held out ones touch no other.",
    source="; ".join(packaged.FILES[key].source for key in _PHOTOGRAPHS),
    licence="public domain, CC0 and CC BY 2.0",
    real=True,
    has=_LABELLED,
    sizes={"channels": 1, "height": _SIDE, "width": _SIDE},
    raw=packaged.hashes(*_PHOTOGRAPHS),
)
def photograph_tiles() -> dict[str, Any]:
    """All squares of 32 pixels, every 16, of six photographs at half their size."""
    parts: dict[str, list[np.ndarray]] = {key: [] for key in _LABELLED}
    for index, key in enumerate(_PHOTOGRAPHS):
        grey = isolated.trusted(formats.picture)(key, packaged.content(key))[0].mean(axis=2)
        down, across = (side // 2 for side in grey.shape)
        half = grey[: 2 * down, : 2 * across].reshape(down, 2, across, 2).mean(axis=(1, 3))
        cut = np.lib.stride_tricks.sliding_window_view(half, (_SIDE, _SIDE))[::16, ::16]
        left, border = np.arange(cut.shape[1]) * 16, across - across // 5
        apart = (left + _SIDE <= border) | (left >= border)
        cut, held = cut[:, apart], left[apart] >= border
        parts["pixels"].append(np.round(cut.reshape(-1, 1, _SIDE, _SIDE)).astype(np.uint8))
        parts["held_out"].append(np.tile(held, len(cut)))
        parts["classes"].append(np.full(cut.shape[0] * cut.shape[1], index, np.int32))
    return {"arrays": {key: np.concatenate(each) for key, each in parts.items()}, "axes": {"classes": _PHOTOGRAPHS}}


@register(
    name="planted-pattern",
    title="A planted pattern",
    kind=KIND,
    summary="Images with the same letter W added, each with a random strength: it appears in where every denoiser looks.",
    source=f"{packaged.FILES['mnist'].source}, or the photographs of natural-patches, and a formula",
    licence=packaged.FILES["mnist"].licence,
    real=False,
    options={
        "images": ("mnist", ("mnist", "patches")),
        "n": (5000, (10, 60_000)),
        "strength": (5, (0, 100)),
        "seed": _SEED,
    },
    has=(*_LABELLED, "pattern"),
    sizes={"channels": 1},
    raw=packaged.hashes("mnist", *_PHOTOGRAPHS),
)
def planted_pattern(images: str, n: int, strength: int, seed: int) -> dict[str, Any]:
    """Images plus a fixed pattern, each times ``strength`` and a number of its own from N(0, 1)."""
    from lab.denoise.planted import letter

    fields = _labelled("mnist", 28, min(n, 5000), seed) if images == "mnist" else natural_patches(n, "16", "grey", seed)
    pixels = fields["arrays"]["pixels"]
    pattern = letter(pixels.shape[1:])
    g = np.random.default_rng([seed, 1]).standard_normal((len(pixels), 1, 1, 1))
    planted = (pixels / 127.5 - 1 + strength * g * pattern).astype(np.float32)
    fields["arrays"] |= {"pixels": planted, "pattern": pattern}
    fields["truth"] = {"strength": float(strength)}
    return fields


# -- downloaded --------------------------------------------------------------------------------------------------------


@register(
    name="cifar-10",
    title="CIFAR-10",
    kind=KIND,
    summary="Colour photographs of 32 x 32 pixels in ten classes; held out are images of its test set. Downloads 170 MB once.",
    source="A. Krizhevsky, Learning multiple layers of features from tiny images, 2009",
    licence="none stated; from the Tiny Images collection",
    real=True,
    options={"n": (5000, (10, 60_000)), "seed": _SEED},
    has=_LABELLED,
    sizes={"channels": 3, "height": 32, "width": 32},
)
def cifar_10(n: int, seed: int) -> dict[str, Any]:
    """``n`` images of CIFAR-10, which is downloaded once."""
    train, test = _cifar(downloads.content("cifar-10"))
    return {"arrays": _drawn(train, test, n, seed)}


def _cifar(payload: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The records of training and test, (count, 3073): a class and an image. Members are read by name, nothing is unpacked."""
    record = 1 + 3 * 32 * 32
    names = [f"cifar-10-batches-bin/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]
    with tarfile.open(fileobj=BytesIO(payload), mode="r:gz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.name in names}
        parts = [
            np.frombuffer(file.read(), np.uint8).reshape(-1, record) for name in names if (file := found.get(name))
        ]
    return np.concatenate(parts[:-1]), parts[-1]


def _drawn(train: np.ndarray, test: np.ndarray, n: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    held = min(max(1, n // 5), len(test))
    kept = min(n - held, len(train))
    records = np.concatenate([train[rng.permutation(len(train))[:kept]], test[rng.permutation(len(test))[:held]]])
    return {
        "pixels": records[:, 1:].reshape(-1, 3, 32, 32),
        "held_out": np.arange(len(records)) >= kept,
        "classes": records[:, 0].astype(np.int32),
    }


@register(
    name="fashion-mnist",
    title="Fashion-MNIST",
    kind=KIND,
    summary="Articles of clothing, 28 x 28 pixels in grey, ten classes; a fifth is held out. Downloads 26 MB once.",
    source="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, 2017",
    licence="MIT",
    real=True,
    options={"n": (5000, (10, 60_000)), "seed": _SEED},
    has=_LABELLED,
    sizes={"n": "n", "channels": 1, "height": 28, "width": 28},
)
def fashion_mnist(n: int, seed: int) -> dict[str, Any]:
    """``n`` images of Fashion-MNIST, which is downloaded once."""
    pixels = _idx(downloads.content("fashion-mnist images"))
    classes = _idx(downloads.content("fashion-mnist labels"))
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:n]
    arrays = {"pixels": pixels[chosen][:, None], "held_out": _split(len(chosen))}
    return {"arrays": arrays | {"classes": classes[chosen].astype(np.int32)}}


def _idx(payload: bytes) -> np.ndarray:
    """The array of a gzipped IDX file of bytes, whose hash was checked."""
    raw = gzip.decompress(payload)
    shape = np.frombuffer(raw, ">i4", raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


# -- what a user brings ------------------------------------------------------------------------------------------------

_PIXELS = ("pixels", "images", "x")  # the first that is there is read


def from_arrays(
    name: str,
    arrays: Mapping[str, Any],
    ignored: Sequence[str] = (),
    axes: Mapping[str, Any] | None = None,
    notices: Sequence[str] = (),
    seed: int = 0,
) -> Data:
    """Images out of ``pixels`` (or ``images``, or ``x``): (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1 or 3.

    Bytes are kept. Other numbers are taken as they are between -1 and 1, and brought there from 0 to 1 or 0 to 255, with a
    notice. Without ``held_out`` a random fifth is. Of a ``power`` (H, W) alone, a spectrum at the frequencies of
    ``np.fft.fftfreq``, 256 images are drawn from its Gaussian.

    Raises:
        ValueError: arrays that are no images; the sentence says where.
    """
    key, *others = [key for key in _PIXELS if key in arrays] or [""]
    if not key and "power" in arrays:
        drawn = _of_spectrum(f"power in {name}", np.asarray(arrays["power"]), seed)
        arrays, key = {**arrays, "pixels": drawn}, "pixels"
        notices = [*notices, f"{_DRAWN} images were drawn from the Gaussian with the power in {name}"]
    if not key:
        IMAGES.check_there(name, [*arrays, *ignored])
    lacking = set(IMAGES.arrays) - {"pixels"} - set(arrays)
    notices = [*notices, *unread(name, [*others, *ignored], lacking)]
    pixels = np.asarray(arrays[key])
    if pixels.dtype != np.uint8:
        pixels = real_numbers(f"{key} in {name}", pixels)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[3] in (1, 3) and pixels.shape[1] not in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.dtype != np.uint8:
        pixels, more = _scaled(name, pixels, keep="power" in arrays)  # whose scale is that of the images
        notices += more
    count = len(pixels) if pixels.ndim else 0
    made = {"pixels": pixels}
    if "held_out" in arrays:
        made["held_out"] = np.asarray(arrays["held_out"]).astype(bool)
    else:
        made["held_out"] = np.zeros(count, bool)
        made["held_out"][np.random.default_rng(seed).permutation(count)[: max(1, count // 5)]] = True
    if "classes" in arrays:
        made["classes"] = real_numbers(f"classes in {name}", arrays["classes"]).astype(np.int32)
    if "pattern" in arrays:
        made["pattern"] = real_numbers(f"pattern in {name}", arrays["pattern"])
    if "power" in arrays:
        made["power"] = real_numbers(f"power in {name}", arrays["power"])
    IMAGES.check(name, made)
    return Data(name, name, KIND, made, "brought by the user", "the user's", dict(axes or {}), tuple(notices))


def _of_spectrum(what: str, power: np.ndarray, seed: int) -> np.ndarray:
    """Real images whose Fourier coefficients have this variance."""
    power = real_numbers(what, power)
    if power.ndim != 2 or 0 in power.shape:
        raise ValueError(f"{what} has shape {power.shape}, but (height, width) is needed")
    _check_power(what, power)
    fresh = np.random.default_rng(seed).standard_normal((_DRAWN, *power.shape))
    return np.fft.ifft2(np.sqrt(power) * np.fft.fft2(fresh)).real[:, None].astype(np.float32)


def _check_power(what: str, power: np.ndarray) -> None:
    bad = ~(np.isfinite(power) & (power > 0))
    if bad.any():
        raise ValueError(f"{what} has the value {power[bad][0]:g}, but a spectrum is positive and finite everywhere")
    if not np.allclose(power, np.roll(power[::-1, ::-1], (1, 1), (0, 1))):
        raise ValueError(f"{what} differs between f and -f, which no real image's does: take the mean of both")


def _scaled(name: str, pixels: np.ndarray, keep: bool = False) -> tuple[np.ndarray, list[str]]:
    """As they are, if they are to ``keep`` their scale; else between -1 and 1."""
    if not np.isfinite(pixels).all():
        image = int(np.argwhere(~np.isfinite(pixels))[0][0])
        raise ValueError(f"image {image} in {name} has pixels that are not finite: fill them in, or leave it out")
    if keep:
        return pixels.astype(np.float32), []
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if low < 0 and max(-low, high) <= 1 + 1e-6:
        return pixels.astype(np.float32), []
    if low >= 0 and high <= 1:
        return (2 * pixels - 1).astype(np.float32), [f"the pixels in {name} were brought from [0, 1] to [-1, 1]"]
    if low >= 0 and high <= 255:
        return (pixels / 127.5 - 1).astype(np.float32), [f"the pixels in {name} were brought from [0, 255] to [-1, 1]"]
    raise ValueError(
        f"the pixels in {name} go from {low:.4g} to {high:.4g}, but bytes, or numbers in [-1, 1], [0, 1] or [0, 255] are needed"
    )


def from_files(files: Files, n: int | None, seed: int) -> Data:
    """Images from pictures, from a zip archive of pictures, or from one file of arrays; a random n of the pictures.

    Pictures of one size up to 64 pixels keep it; others are cut to their middle square and brought to 32 x 32, with a notice.
    They are grey where all of them are.
    """
    found = [formats.format_of(name, payload) for name, payload in files]
    if len(files) == 1 and found == ["npz"] and formats.holds_pictures(files[0][1]):
        return _from_pictures(files[0][0], formats.zipped_pictures(*files[0]), n, seed)
    if set(found) == {"image"}:
        name = files[0][0] if len(files) == 1 else f"{len(files)} pictures"
        return _from_pictures(name, files, n, seed)
    return one_file(replace(IMAGES, from_arrays=partial(from_arrays, seed=seed)), files)


def _from_pictures(name: str, files: Files, n: int | None, seed: int) -> Data:
    from PIL import Image, ImageOps

    if len(files) < _LEAST:
        raise ValueError(f"{name}: {len(files)} picture was given, but a data set needs at least {_LEAST}")
    notices, whole, small, shapes = [], [], [], set()
    if n is not None and n < len(files):
        kept = np.sort(np.random.default_rng(seed).permutation(len(files))[: max(n, _LEAST)])
        notices.append(f"{len(kept)} of the {len(files)} pictures in {name} were drawn")
        files = [files[i] for i in kept]
    for each, payload in files:
        pixels, notes = formats.picture(each, payload)
        notices += notes
        shapes.add(pixels.shape[:2])
        if len(shapes) == 1 and max(pixels.shape[:2]) <= _KEPT:
            whole.append(pixels)
        fitted = ImageOps.fit(Image.fromarray(pixels), (_SIDE, _SIDE), Image.Resampling.BOX)
        small.append(np.asarray(fitted))
    if len(whole) < len(files):
        sizes = ", ".join(f"{w} x {h}" for h, w in sorted(shapes)[:3]) + (" ..." if len(shapes) > 3 else "")
        notices.append(
            f"{len(files)} pictures of {sizes} pixels were cut to their middle and brought to {_SIDE} x {_SIDE}"
        )
    every = np.stack(whole if len(whole) == len(files) else small)
    if (every == every[..., :1]).all():
        every = every[..., :1]
    return from_arrays(name, {"pixels": every.transpose(0, 3, 1, 2)}, notices=notices, seed=seed)


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse too many or too few images, and pixels and held out ones that are none."""
    pixels, held = arrays["pixels"], arrays["held_out"]
    count = len(pixels)
    if pixels.shape[1] not in (1, 3):
        raise ValueError(
            f"pixels in {name} has shape {pixels.shape}, but images (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1 or 3, "
            "are needed"
        )
    if pixels.size > LIMIT:
        raise ValueError(
            f"pixels in {name} has {pixels.size:,} numbers, but at most {LIMIT:,} are taken: keep fewer images"
        )
    if pixels.dtype not in (np.uint8, np.float32):
        raise ValueError(f"pixels in {name} must be bytes, or finite numbers in float32")
    if count < _LEAST:
        raise ValueError(f"{name} has {count} image{'s' * (count != 1)}, but a data set needs at least {_LEAST}")
    if "power" in arrays:
        _check_power(f"power in {name}", arrays["power"])
    if held.dtype != bool or not held.any() or (~held).sum() < 2:
        raise ValueError(
            f"held_out in {name} must say of each of {count} images whether it is for tests: some are, two are not"
        )


IMAGES = add_kind(
    Kind(
        KIND,
        {
            "pixels": ("n", "channels", "height", "width"),
            "held_out": ("n",),
            "classes": ("n",),
            "pattern": ("channels", "height", "width"),
            "power": ("height", "width"),
        },
        needed=(("pixels",),),
        made=("held_out",),
        from_arrays=from_arrays,
        takes=".npz, .npy, .nc with images, pictures, or a .zip of pictures",
        dims={"n": "images", "channels": "colours", "height": "pixels", "width": "pixels"},
        values=_values,
        aliases=_PIXELS[1:],
        bare={1: ("pixels",), 2: ("pixels", "classes")},
        from_files=from_files,
        pictures=(_LEAST, 60_000),
    )
)

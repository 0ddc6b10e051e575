"""What can be made again but takes a while, thumbnails and verdicts, is kept between visits.

A name says which code, data and machine made the thing, so that nothing stale is ever shown; ``lab.disk.cache`` reads and
writes it, so that nothing spoilt is.
"""

import json
from hashlib import sha256
from pathlib import Path

from lab import code, datasets, home
from lab.studies import Study
from lab.studies.contract.recipe import device, versions

_SHOWN_ONLY = ("app", "cli")  # floors that can't change a number or a picture


def identity(study: type[Study]) -> str:
    """A hash over all that a study's default result depends on: its code and ours, parameters, data, versions."""
    default = study()
    values = default.values()
    data = values.pop("data")
    if not isinstance(data, str) or datasets.entry_of(data) is None:  # a file may change under its name
        data = default.load().sha256
    what = [study.slug, study.version, values, data, versions(), device(), _dtype(), _our_code(), code.of_user(study)]
    return sha256(json.dumps(what, default=str).encode()).hexdigest()[:20]


def folder(name: str) -> Path:
    """The folder of that name among what can be made again."""
    made = home.cache() / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def _dtype() -> str:
    import jax

    return str(jax.dtypes.canonicalize_dtype(float))


def _our_code() -> str:
    return code.ours(_SHOWN_ONLY)

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

_SHARED = ("datasets", "figures", "studies/draw", "studies/contract/declare", "studies/contract/verify")
"""What makes data, draws a picture and judges a claim."""


def identity(study: type[Study]) -> str:
    """A hash over all that a study's default result, its pictures and its verdicts depend on.

    That is the code that they reach, parameters, data and versions.
    """
    default = study()
    values = default.values()
    data = values.pop("data", default.data)
    if not isinstance(data, str) or datasets.entry_of(data) is None:  # a file may change under its name
        data = default.load().sha256
    what = [study.slug, study.version, values, data, versions(), device(), _dtype(), _our_code(), *_code_of(study)]
    return sha256(json.dumps(what, default=str).encode()).hexdigest()[:20]


def identity_of_code(study: type[Study]) -> str:
    """A hash over the code alone."""
    return sha256("".join((_our_code(), *_code_of(study))).encode()).hexdigest()[:20]


def folder(name: str) -> Path:
    """The folder of that name among what can be made again."""
    made = home.cache() / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def has(name: str, study: type[Study]) -> bool:
    """Whether the folder may hold anything of a study: to find out under what name takes a while."""
    return any(folder(name).glob(f"{study.slug}-*"))


def _dtype() -> str:
    import jax

    return str(jax.dtypes.canonicalize_dtype(float))


def _our_code() -> str:
    return code.floors(*_SHARED)


def _code_of(study: type[Study]) -> tuple[str, str]:
    """What the study reaches, and all that stands beside it in its folder, or where its data are made, as it is written."""
    modules = {study.__module__, *(entry.build.__module__ for entry in datasets.catalogue(study.kind))}
    return code.of_run(study, "pictures", "claims"), code.floors(*sorted("/".join(m.split(".")[1:]) for m in modules))

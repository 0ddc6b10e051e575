"""What can be made again but takes a while, thumbnails and verdicts, is kept between visits.

A name says which code, data and machine made the thing, so that nothing stale is ever shown. Writing is atomic and
reading tolerates a missing or broken file: two servers may share the folder.
"""

import json
import os
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from lab import code, datasets, home
from lab.studies import Study
from lab.studies.base import device, versions

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


def read(path: Path) -> bytes | None:
    """The bytes of a kept file, None where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def write(path: Path, content: bytes) -> None:
    """Write all or nothing; a folder that can't be written to costs only the time to make the thing again."""
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)


def _dtype() -> str:
    import jax

    return str(jax.dtypes.canonicalize_dtype(float))


def _our_code() -> str:
    return code.ours(_SHOWN_ONLY)

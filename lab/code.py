"""Which code made a result: a version does not tell two states of a working tree apart."""

import inspect
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import lab


@cache
def ours(without: tuple[str, ...]) -> str:
    """A hash over the lab's own code, less the floors that can't change what is meant."""
    digest = sha256()
    root = Path(lab.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in without:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def of_user(study: type) -> str:
    """A hash over the file, or the notebook's cell, of a study that is not the lab's own; "" for ours.

    A class that a function has made has no text of its own: its ``definition`` says what it is.
    """
    if study.__module__.startswith("lab."):
        return ""
    file = getattr(sys.modules.get(study.__module__), "__file__", None)
    try:
        source = Path(file).read_bytes() if file else inspect.getsource(study).encode()
    except (OSError, TypeError):
        source = b""
    return sha256(source + getattr(study, "definition", "").encode()).hexdigest()


def text_of(made: Any) -> str:
    """The source of a function, or of the class of an object; where there is none, what it is printed as."""
    try:
        return inspect.getsource(made if inspect.isroutine(made) or isinstance(made, type) else type(made))
    except (OSError, TypeError):
        return repr(made)

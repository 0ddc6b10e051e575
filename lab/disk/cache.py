"""What can be made again but takes a while: a file with its hash at its end, so that nothing spoilt is ever taken."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from .whole import write as _write

_HASH = 32  # bytes


def read(path: Path) -> bytes | None:
    """The content of a kept file, None where there is none or it is not as it was written."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    content, found = kept[:-_HASH], kept[-_HASH:]
    return content if sha256(content).digest() == found else None


def write(path: Path, content: bytes) -> None:
    """Keep it; a folder that can't be written to costs only the time to make the thing again."""
    with suppress(OSError):
        _write(path, content + sha256(content).digest(), durable=False)

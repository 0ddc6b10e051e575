"""Files that are downloaded when a set that needs them is asked for: checked by SHA-256 and kept in ``LAB_HOME``."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lab.disk import write
from lab.home import home

_PATIENCE = 20.0  # seconds without an answer
_PIECE = 1 << 20


class Remote(NamedTuple):
    """A file elsewhere: its size and hash are known before it is fetched."""

    url: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        return Path(urlsplit(self.url).path).name


_FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"

REMOTES = {
    "cifar-10": Remote(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        170052171,
    ),
    "fashion-mnist images": Remote(
        f"{_FASHION}train-images-idx3-ubyte.gz",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26421880,
    ),
    "fashion-mnist labels": Remote(
        f"{_FASHION}train-labels-idx1-ubyte.gz",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29515,
    ),
}


def folder() -> Path:
    """Where downloads are kept."""
    return home() / "downloads"


def content(key: str) -> bytes:
    """The bytes of a file of ``REMOTES``, from the disk, or from the network and then kept.

    Raises:
        ValueError: it is neither here nor to be had, or what came is not the file; the sentence says where to put it by hand.
    """
    remote = REMOTES[key]
    place = folder() / remote.name
    try:
        payload = place.read_bytes()
    except OSError:
        payload = b""
    if sha256(payload).hexdigest() == remote.sha256:
        return payload
    payload = _fetched(remote, place)
    with suppress(OSError):  # a read-only home: the next start downloads again
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, payload, durable=False)
    return payload


def _fetched(remote: Remote, place: Path) -> bytes:
    from urllib.request import Request, urlopen

    host = urlsplit(remote.url).netloc
    by_hand = f"put {remote.name} (SHA-256 {remote.sha256[:12]}...) into {place.parent} by hand"
    digest, pieces, size = sha256(), [], 0
    try:
        with urlopen(Request(remote.url, headers={"User-Agent": "transport-lab"}), timeout=_PATIENCE) as answer:
            while piece := answer.read(_PIECE):
                digest.update(piece)
                pieces.append(piece)
                size += len(piece)
                if size > remote.bytes:
                    break
    except OSError as error:
        why = getattr(error, "reason", None) or error
        raise ValueError(
            f"{remote.name} ({remote.bytes / 1e6:.3g} MB) is not on this machine and can't be downloaded from {host} ({why}): "
            f"connect to the network, or {by_hand}"
        ) from None
    if digest.hexdigest() != remote.sha256:
        raise ValueError(
            f"what {host} sent is not the {remote.name} that the lab knows, and was thrown away: {by_hand}"
        )
    return b"".join(pieces)

"""Named real data, synthetic data with known truth, and files that a user brings.

    >>> from lab import datasets
    >>> datasets.load("bump-to-bump").arrays["cost"].shape
    (32, 32)

Listing is cheap; what a set needs is imported when it is loaded. Nothing is unpickled, downloaded or executed.
"""

from . import transport as transport  # registers its sets
from .data import Data
from .files import pack, read, read_bytes, resolve, unpack
from .formats import UPLOAD_LIMIT
from .registry import Entry, catalogue, entry_of, load
from .transport_files import from_arrays

__all__ = [
    "UPLOAD_LIMIT",
    "Data",
    "Entry",
    "catalogue",
    "entry_of",
    "from_arrays",
    "load",
    "pack",
    "read",
    "read_bytes",
    "resolve",
    "unpack",
]

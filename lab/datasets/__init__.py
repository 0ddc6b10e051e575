"""Named real data, synthetic data with known truth, and files that a user brings.

    >>> from lab import datasets
    >>> datasets.load("bump-to-bump").arrays["cost"].shape
    (32, 32)

Listing is cheap; what a set needs is imported when it is loaded. Nothing is unpickled or executed. What two sets of images
need is downloaded when they are asked for by name, and checked by its hash; nothing else is.
"""

from . import images as images  # registers its sets
from . import samples as samples
from . import transport as transport
from .data import Data
from .files import pack, read, read_bytes, resolve, unpack
from .formats import UPLOAD_LIMIT, inside
from .readers import Reader, add_reader, array_file, can_read, reader_of
from .registry import Entry, catalogue, entry_of, load
from .transport_files import from_arrays

__all__ = [
    "UPLOAD_LIMIT",
    "Data",
    "Entry",
    "Reader",
    "add_reader",
    "array_file",
    "can_read",
    "catalogue",
    "entry_of",
    "from_arrays",
    "inside",
    "load",
    "pack",
    "read",
    "read_bytes",
    "reader_of",
    "resolve",
    "unpack",
]

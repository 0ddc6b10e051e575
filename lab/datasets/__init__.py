"""Named real data, synthetic data with known truth, and files that a user brings.

    >>> from lab import datasets
    >>> datasets.load("bump-to-bump").arrays["cost"].shape
    (32, 32)

Listing is cheap; what a set needs is imported when it is loaded. Nothing is unpickled or executed. What two sets of images
need is downloaded when they are asked for by name, and checked by its hash; nothing else is.
"""

# isort: off
from . import transport as transport  # registers its sets, in the order of the list of all
from . import samples as samples
from . import images as images
from . import labelled as labelled
from . import bags as bags
from . import responses as responses
from . import training as training
from . import gaussians as gaussians

# isort: on
from .at_hand import held
from .data import Data
from .files import kept, pack, read, read_bytes, resolve, unpack
from .formats import UPLOAD_LIMIT
from .readers import Reader, add_reader, can_read, one_file, reader_of
from .registry import Entry, catalogue, entry_of, load
from .transport_files import from_arrays

__all__ = [
    "UPLOAD_LIMIT",
    "Data",
    "Entry",
    "Reader",
    "add_reader",
    "can_read",
    "catalogue",
    "entry_of",
    "from_arrays",
    "held",
    "kept",
    "load",
    "one_file",
    "pack",
    "read",
    "read_bytes",
    "reader_of",
    "resolve",
    "unpack",
]

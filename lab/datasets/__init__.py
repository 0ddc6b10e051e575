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
from . import volumes as volumes
from . import labelled as labelled
from . import sources as sources
from . import shapes as shapes
from . import bags as bags
from . import responses as responses
from . import roads as roads
from . import training as training
from . import gaussians as gaussians
from . import restoration as restoration
from . import decisions as decisions
from . import squares as squares

# isort: on
from .at_hand import held
from .data import Data
from .files import kept, pack, read, read_bytes, resolve, unpack
from .formats import UPLOAD_LIMIT
from .kinds import Kind, Needs, Trait, add_kind, is_kind, kind_named, one_file
from .registry import NO_DATA, Entry, catalogue, entry_of, load
from .transport_files import from_arrays

__all__ = [
    "NO_DATA",
    "UPLOAD_LIMIT",
    "Data",
    "Entry",
    "Kind",
    "Needs",
    "Trait",
    "add_kind",
    "catalogue",
    "entry_of",
    "from_arrays",
    "held",
    "is_kind",
    "kept",
    "kind_named",
    "load",
    "one_file",
    "pack",
    "read",
    "read_bytes",
    "resolve",
    "unpack",
]

"""Named real data, synthetic data with known truth, and files that a user brings.

    >>> from lab import datasets
    >>> datasets.load("bump-to-bump").arrays["cost"].shape
    (32, 32)

Listing is cheap; what a set needs is imported when it is loaded. Nothing is unpickled, downloaded or executed.
"""

from . import transport as _transport  # registers its sets
from .data import Data
from .registry import Entry, catalogue, load

__all__ = ["Data", "Entry", "catalogue", "load"]

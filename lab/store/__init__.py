"""The store: content-addressed runs under one folder, safe against kills, shared by threads and processes."""

from .packing import pack, unpack
from .store import Claim, Entry, Store

__all__ = ["Claim", "Entry", "Store", "pack", "unpack"]

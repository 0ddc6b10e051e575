"""The store: content-addressed runs under one folder, safe against kills, shared by threads and processes."""

from .packing import pack, unpack
from .shipped import Key
from .store import Claim, Entry, Store, canonical

__all__ = ["Claim", "Entry", "Key", "Store", "canonical", "pack", "unpack"]

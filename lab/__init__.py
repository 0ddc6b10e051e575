"""The transport lab: studies of transport, probability paths, denoisers, sampling and SGD.

Importing this package is cheap: JAX, HoloViews and Panel are loaded by the parts that need them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PARTS = (
    "app",
    "clustering",
    "datasets",
    "figures",
    "numerics",
    "ot",
    "paths",
    "store",
    "studies",
    "survival",
    "sweeps",
)


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"lab.{name}")
    if name == "sweep":
        return import_module("lab.sweeps").sweep
    raise AttributeError(f"module 'lab' has no attribute {name!r}")


def notebook() -> None:
    """First cell of a notebook: float64, the cache of compiled programs, and pictures that need no network."""
    from lab import offline
    from lab.home import start

    start()
    offline.load()

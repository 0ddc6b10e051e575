"""The transport lab: studies of transport, probability paths, denoisers, sampling and SGD.

Importing this package is cheap: JAX, HoloViews and Panel are loaded by the parts that need them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "studies": "lab.studies",
    "datasets": "lab.datasets",
    "figures": "lab.figures",
    "numerics": "lab.numerics",
    "ot": "lab.ot",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(_LAZY[name])
    raise AttributeError(f"module 'lab' has no attribute {name!r}")

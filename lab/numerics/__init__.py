"""What several fields share: the iteration loop, work on many items, selection, projections, what is remembered."""

from lab.numerics.iterate import (
    Chunked,
    Loop,
    Method,
    NotConverged,
    Progress,
    Reason,
    Report,
    Run,
    first_failure,
    pure,
    tell,
)
from lab.numerics.mapping import map_rows
from lab.numerics.remembered import Remembered
from lab.parts import parts

__all__ = [
    "Chunked",
    "Loop",
    "Method",
    "NotConverged",
    "Progress",
    "Reason",
    "Remembered",
    "Report",
    "Run",
    "first_failure",
    "map_rows",
    "pure",
    "tell",
]

__getattr__, __dir__ = parts(__name__)

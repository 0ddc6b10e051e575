"""What several fields share: the iteration loop, selection, projections, what is remembered."""

from lab.numerics.iterate import Chunked, Loop, Method, NotConverged, Progress, Reason, Report, Run, pure, tell
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
    "pure",
    "tell",
]

__getattr__, __dir__ = parts(__name__)
